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

import functools
import types
from typing import Any

from oslo_config import cfg
from zaqar import storage
from zaqar.common import pipeline
from zaqar.storage import errors as zaqar_errors

from marconi_swift import options
from marconi_swift.control import queues
from marconi_swift.control import registry
from marconi_swift.data import claims
from marconi_swift.data import messages
from marconi_swift.data import stages
from marconi_swift.store import fan_out
from marconi_swift.store import objects
from marconi_swift.store import retry
from marconi_swift.store import swift
from marconi_swift.store import transport


class _Account:
    """What both drivers have: settings, and an account to keep things in.

    Constructing it does no I/O and starts no thread.
    """

    def __init__(self, conf: cfg.ConfigOpts, group: str) -> None:
        self.settings = options.read(conf, group)
        self.transport = connect(self.settings)
        self.store = objects.ObjectStore(
            self.transport,
            retry.Policy(self.settings.retries,
                         self.settings.retry_time_limit),
            fan_out.FanOut(self.settings.fan_out))


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
        self.account = _Account(conf, options.DATA_GROUP)

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
        reachable = self.is_alive()
        return {
            'storage_reachable': reachable,
            'operation_status': self._probe() if reachable else {},
        }

    def _probe(self) -> dict[str, Any]:
        """Try every operation on a queue of its own, which is then deleted.

        Zaqar's probe deletes its queue in the control plane alone, so it is
        given a queue controller that has our stage in front of it.
        """
        status: dict[str, Any] = storage.DataDriverBase._get_operation_status(
            types.SimpleNamespace(
                queue_controller=pipeline.Pipeline([
                    stages.MessageQueueHandler(self, self.control_driver),
                    self.queue_controller]),
                message_controller=self.message_controller,
                claim_controller=self.claim_controller))
        return status

    def close(self) -> None:
        self.account.transport.close()

    @functools.cached_property
    def message_controller(self) -> messages.MessageController:
        return messages.MessageController(self)

    @functools.cached_property
    def claim_controller(self) -> claims.ClaimController:
        return claims.ClaimController(self)

    @property
    def subscription_controller(self) -> None:
        """None: this release keeps no subscriptions."""
        return None


class ControlDriver(storage.ControlDriverBase):
    """Management store; see :class:`zaqar.storage.base.ControlDriverBase`."""

    _DRIVER_OPTIONS = options.driver_options(options.CONTROL_GROUP)

    def __init__(self, conf: cfg.ConfigOpts, cache: Any) -> None:
        super().__init__(conf, cache)
        self.account = _Account(conf, options.CONTROL_GROUP)

    def registry(self, kind: str) -> registry.Registry:
        """The records of one kind, such as ``queues``."""
        settings = self.account.settings
        return registry.Registry(
            self.account.store, settings.container_prefix, kind,
            settings.storage_policy)

    def close(self) -> None:
        self.account.transport.close()

    @functools.cached_property
    def queue_controller(self) -> queues.QueueController:
        return queues.QueueController(self)

    @property
    def topic_controller(self) -> None:
        """None: this release keeps no topics."""
        return None

    @property
    def pools_controller(self) -> None:
        """None: this release keeps no pools."""
        return None

    @property
    def flavors_controller(self) -> None:
        """None: this release keeps no flavors."""
        return None

    @property
    def catalogue_controller(self) -> None:
        """None: this release keeps no catalogue."""
        return None
