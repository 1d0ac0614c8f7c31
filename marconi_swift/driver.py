# Licensed under the Apache License, Version 2.0 (the "License"); you may
# not use this file except in compliance with the License. You may obtain
# a copy of the License at
#
#      http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS, WITHOUT
# WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the
# License for the specific language governing permissions and limitations
# under the License.
"""The two drivers that Zaqar loads by the name ``marconi-swift``.

Stages in front of the queue and topic controllers are found by Zaqar under
the name of this module (``marconi_swift.driver.queue.stages``).
"""

from collections.abc import Mapping
import functools
from typing import Any
from typing import TypeVar
import weakref

from oslo_config import cfg
from osprofiler import profiler
from zaqar import storage
from zaqar.storage import errors as zaqar_errors

from marconi_swift import cache as caches
from marconi_swift import election
from marconi_swift import options
from marconi_swift.control import catalogue
from marconi_swift.control import flavors
from marconi_swift.control import openings
from marconi_swift.control import pools
from marconi_swift.control import queues
from marconi_swift.control import registry
from marconi_swift.data import claims
from marconi_swift.data import messages
from marconi_swift.data import probing
from marconi_swift.data import spread
from marconi_swift.data import subscriptions
from marconi_swift.data import sweeping
from marconi_swift.data import volume
from marconi_swift.store import fan_out
from marconi_swift.store import objects
from marconi_swift.store import outages
from marconi_swift.store import retry
from marconi_swift.store import swift
from marconi_swift.store import transport

_T = TypeVar('_T')

#: Queues, topics or catalogue entries that a process remembers at a time.
_CACHED = 1000

#: What their configurations say of the message store without pools, by
#: control drivers of other stores.
_configured: weakref.WeakKeyDictionary[Any, Mapping[str, Any]] = (
    weakref.WeakKeyDictionary())


class Account:
    """What both drivers have: settings, and an account to keep things in.

    Constructing it does no I/O and starts no thread.

    :param told: options that are not what the group says by now.
    """

    def __init__(
        self, conf: cfg.ConfigOpts, group: str,
        told: Mapping[str, Any] | None = None,
    ) -> None:
        self.settings = options.read(conf, group, told)
        self.transport = connect(self.settings)
        self.store = objects.ObjectStore(
            self.transport,
            retry.Policy(self.settings.retries,
                         self.settings.retry_time_limit),
            fan_out.FanOut(self.settings.fan_out),
            outages.of(self.settings.place))
        self.elections = election.Elections(
            self.store, self.settings.container_prefix,
            self.settings.storage_policy, self.settings.clock_skew)
        self.spread = spread.Spread.configured(self.settings)


def connect(settings: options.Settings) -> transport.Transport:
    """Make the connection to Swift, which opens when it is first used."""
    return swift.SwiftTransport(settings)


class DataDriver(storage.DataDriverBase):
    """Message store; see :class:`zaqar.storage.base.DataDriverBase`."""

    _DRIVER_OPTIONS = options.driver_options(options.DATA_GROUP)

    BASE_CAPABILITIES = (
        storage.Capabilities.CLAIMS,
        storage.Capabilities.DURABILITY,
        storage.Capabilities.AOD,
    )

    def __init__(
        self, conf: cfg.ConfigOpts, cache: Any, control_driver: Any,
    ) -> None:
        super().__init__(conf, cache, control_driver)
        self.account = Account(
            conf, options.DATA_GROUP, _told(conf, control_driver))

    @property
    def capabilities(self) -> tuple[storage.Capabilities, ...]:
        return self.BASE_CAPABILITIES

    def is_alive(self) -> bool:
        """Whether the account answers to our credentials; never raises."""
        try:
            self.account.store.check_account()
        except zaqar_errors.ConnectionError:
            return False
        return True

    def _health(self) -> dict[str, Any]:
        """Whether it works, and how much is in it.

        See :func:`marconi_swift.data.volume.message_volume` for how exact
        that is.
        """
        if not self.is_alive():
            return {'storage_reachable': False, 'operation_status': {},
                    'message_volume': {}}
        return {
            'storage_reachable': True,
            'operation_status': probing.operation_status(self),
            'message_volume': volume.message_volume(self.account),
        }

    def gc(self) -> None:
        """Remove what crashes left; see :mod:`.data.sweeping`.

        Zaqar's own ``zaqar-gc`` never calls this.
        """
        orphans = sweeping.knows_its_queues(self)
        for _ in sweeping.sweep(self, orphans=orphans):
            pass
        probing.clear(self)

    def has_lost(self, queue: str, project: str | None) -> bool:
        """Whether a queue is in another pool than this one by now.

        False if no pool has the URI that this one was made with: then it
        was changed, and Zaqar goes on with the driver that it has.
        """
        if not self.conf.pooling:
            return False
        control, ours = self.control_driver, self.account.settings.uri
        try:
            entry = control.catalogue_controller.get(project, queue)
        except zaqar_errors.DoesNotExist:
            return False
        uris = {pool['name']: pool['uri']
                for pool in next(control.pools_controller.list(limit=0))}
        return uris.get(entry['pool'], ours) != ours and (
            ours in uris.values())

    def close(self) -> None:
        self.account.transport.close()

    @functools.cached_property
    def message_controller(self) -> messages.MessageController:
        return self._traced('message', messages.MessageController(self))

    @functools.cached_property
    def claim_controller(self) -> claims.ClaimController:
        return self._traced('claim', claims.ClaimController(self))

    @functools.cached_property
    def subscription_controller(
        self,
    ) -> subscriptions.SubscriptionController:
        return self._traced('subscription',
                            subscriptions.SubscriptionController(self))

    def _traced(self, name: str, controller: _T) -> _T:
        return _traced(name, controller, self.conf, 'trace_message_store')


class ControlDriver(storage.ControlDriverBase):
    """Management store; see :class:`zaqar.storage.base.ControlDriverBase`."""

    # The message store's too, before Zaqar makes its own of a pool's.
    _DRIVER_OPTIONS = options.driver_options(
        options.CONTROL_GROUP, options.DATA_GROUP)

    def __init__(self, conf: cfg.ConfigOpts, cache: Any) -> None:
        super().__init__(conf, cache)
        #: Which pools threads are opening.
        self.openings = openings.Openings(conf)
        self.account = Account(conf, options.CONTROL_GROUP)
        #: What controllers of a kind remember of what they read.
        self.caches: dict[str, caches.Cache[str, str]] = {
            controller.KIND: caches.Cache(
                self.account.settings.cache_time, _CACHED)
            for controller in (queues.QueueController, queues.TopicController,
                               catalogue.CatalogueController)}

    def registry(self, kind: str) -> registry.Registry:
        """The records of one kind, such as ``queues``."""
        return registry.Registry(
            self.account.store, self.account.elections, kind)

    def forget(self) -> None:
        """Read everything anew: something that was read proved wrong."""
        for remembered in self.caches.values():
            remembered.clear()

    def close(self) -> None:
        self.account.transport.close()

    @functools.cached_property
    def queue_controller(self) -> queues.QueueController:
        return self._traced('queues', queues.QueueController(self))

    @functools.cached_property
    def topic_controller(self) -> queues.TopicController:
        return self._traced('topics', queues.TopicController(self))

    @functools.cached_property
    def pools_controller(self) -> pools.PoolsController:
        return self._traced('pools', pools.PoolsController(self))

    @functools.cached_property
    def flavors_controller(self) -> flavors.FlavorsController:
        return self._traced('flavors', flavors.FlavorsController(self))

    @functools.cached_property
    def catalogue_controller(self) -> catalogue.CatalogueController:
        return self._traced('catalogue', catalogue.CatalogueController(self))

    def _traced(self, name: str, controller: _T) -> _T:
        return _traced(name, controller, self.conf, 'trace_management_store')


def _told(conf: Any, control: Any) -> Mapping[str, Any]:
    """Of which options a message store is made, whatever others are.

    Those that are not among them are as its configuration says.
    """
    if isinstance(control, ControlDriver):
        return control.openings.told(conf)
    # Zaqar wraps the configuration of a pool, but not that of its virtual
    # pool, which it reads right after this.
    if control is None or not (
            isinstance(conf, cfg.ConfigOpts) and conf.pooling):
        return {}
    # Once, for other threads are opening pools: Zaqar makes this for each
    # call for a queue that is in none, and keeps the virtual pool.
    if control not in _configured:
        options.forget_pools(conf)
        _configured[control] = options.configured(conf)
    return _configured[control]


def _traced(
    name: str, controller: _T, conf: cfg.ConfigOpts, option: str,
) -> _T:
    """Have osprofiler trace a controller, if it is told to."""
    if not (conf.profiler.enabled and conf.profiler[option]):
        return controller
    traced: Any = profiler.trace_cls(f'marconi_swift_{name}_controller')
    return traced(controller)  # type: ignore[no-any-return]
