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
"""The message stores of a deployment, as its zaqar.conf describes them."""

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
import contextlib
import functools
import logging
from typing import Any
from typing import NamedTuple
from typing import Self

from oslo_config import cfg
from oslo_log import log
from osprofiler import opts as profiler_options
from zaqar.common import cache
from zaqar.common import errors
from zaqar.conf import default
from zaqar.conf import drivers
from zaqar.conf import pooling_catalog
from zaqar.conf import profiler
from zaqar.storage import errors as storage_errors
from zaqar.storage import pipeline
from zaqar.storage import utils

from marconi_swift import options

#: What oslo.config looks for configuration files by.
PROJECT = 'zaqar'


class NothingOfOurs(Exception):
    """No message store of this configuration is this driver's."""


def named(*config_files: str) -> list[str]:
    """The arguments that name configuration files, the last of which wins."""
    return [f'--config-file={file}' for file in config_files]


def read(arguments: Sequence[str] = ()) -> cfg.ConfigOpts:
    """Read Zaqar's configuration, with the options that drivers need.

    :param arguments: what ``zaqar-server`` is given to find it, in its order;
        without any, it is in Zaqar's usual places.
    :raises oslo_config.cfg.Error: it is not there, or can not be read.
    """
    conf = cfg.ConfigOpts()
    # Zaqar's own swift driver looks at its option debug.
    log.register_options(conf)
    conf(args=list(arguments), project=PROJECT, prog='zaqar')
    register(conf)
    return conf


def register(conf: cfg.ConfigOpts) -> None:
    """Register the options of Zaqar's that drivers need."""
    conf.register_opts(default.ALL_OPTS)
    conf.register_opts(drivers.ALL_OPTS, group=drivers.GROUP_NAME)
    conf.register_opts(pooling_catalog.ALL_OPTS,
                       group=pooling_catalog.GROUP_NAME)
    cache.register_config(conf)
    profiler_options.set_defaults(conf)
    conf.register_opts(profiler.ALL_OPTS, group=profiler.GROUP_NAME)


class Store(NamedTuple):
    """A message store, and how to make a driver for it."""

    name: str
    #: Name of its driver, such as ``marconi-swift`` or ``redis``.
    scheme: str
    open: Callable[[], Any]
    #: A pool may have the name of the store of the configuration.
    is_pool: bool = False


class NoSuchQueue(Exception):
    """The management store does not know a queue."""


class Deployment:
    """The stores of one zaqar.conf, opened as Zaqar opens them.

    Close it at the end, or use it in ``with``.
    """

    def __init__(self, arguments: Sequence[str] = ()) -> None:
        """Open the management store.

        :param arguments: what finds the configuration; see :func:`read`.
        :raises zaqar.common.errors.InvalidDriver: its settings are wrong.
        """
        self._arguments = arguments
        self.conf = read(arguments)
        self.control = _load(self.conf, control_mode=True)
        self._opened: dict[tuple[str, bool], Any] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close whatever was opened."""
        for opened in (*self._opened.values(), self.control):
            opened.close()
        self._opened.clear()

    def stores(self) -> list[Store]:
        """All message stores, whosoever driver they are of.

        With pooling they are the pools that are registered, and the one of
        the configuration if there is a virtual pool.
        """
        found = [self.configured()] if self._uses_configured() else []
        if self.conf.pooling:
            found += map(self._pool, next(self.control.pools_controller.list(
                limit=0, detailed=True)))
        return found

    def ours(self) -> list[Store]:
        """This driver's message stores.

        :raises NothingOfOurs: there is none.
        """
        found = self.any_of_ours()
        if not found:
            raise NothingOfOurs(
                'Neither message_store in [drivers] nor a pool is '
                f'{options.SCHEME} in {self.files()}.')
        return found

    def any_of_ours(self) -> list[Store]:
        """The same, if there is any."""
        return [store for store in self.stores()
                if store.scheme == options.SCHEME]

    def files(self) -> str:
        """The configuration files and their folders, for a message."""
        return ', '.join(self.sources()) or 'no configuration file'

    def sources(self) -> list[str]:
        """The configuration files and their folders."""
        # Of several folders, oslo.config tells only the last.
        return [
            path for option, usual in (
                ('--config-file=', self.conf.config_file),
                ('--config-dir=', self.conf.config_dir))
            for path in [given.removeprefix(option)
                         for given in self._arguments
                         if given.startswith(option)] or usual or ()]

    def configured(self) -> Store:
        """The message store of the configuration itself."""
        scheme = self.conf.drivers.message_store
        return Store(scheme, scheme, lambda: _load(
            self.conf, control_driver=self.control))

    def check_queue(self, queue: str, project: str | None) -> None:
        """See that there is a queue.

        :raises NoSuchQueue: the management store does not know it.
        """
        if not self.control.queue_controller.exists(queue, project=project):
            raise NoSuchQueue(
                f'There is no queue {queue} in project {project}.')

    def store_of(self, queue: str, project: str | None) -> Store:
        """The message store that a queue's messages are in.

        :raises zaqar.storage.errors.QueueNotMapped: it is in no pool.
        """
        if not self.conf.pooling:
            return self.configured()
        try:
            entry = self.control.catalogue_controller.get(project, queue)
        except storage_errors.QueueNotMapped:
            if not self._uses_configured():
                raise
            return self.configured()
        return self._pool(self.control.pools_controller.get(
            entry['pool'], detailed=True))

    def driver_of(self, queue: str, project: str | None) -> Any:
        """The data driver of a queue, open until this is closed.

        :raises NoSuchQueue: there is no such queue.
        :raises zaqar.storage.errors.QueueNotMapped: it is in no pool.
        """
        self.check_queue(queue, project)
        return self.opened(self.store_of(queue, project))

    def driver_for(
        self, queue: str, project: str | None,
        metadata: Callable[[], dict[str, Any]] | None,
    ) -> Any:
        """The same, and if there is no such queue, the one it is made in.

        :param metadata: gives what a new queue gets; None makes none.
        :raises ValueError: there is none, and only Zaqar can choose a pool.
        """
        try:
            return self.driver_of(queue, project)
        except NoSuchQueue as exc:
            if self.conf.pooling:
                raise ValueError(
                    f'{exc} Make it through Zaqar first, which chooses one '
                    'of the pools.') from None
        driver = self.opened(self.configured())
        if metadata:
            self.queues(driver).create(
                queue, metadata=metadata(), project=project)
        return driver

    def opened(self, store: Store) -> Any:
        """The data driver of a store, open until this is closed."""
        which = store.name, store.is_pool
        if which not in self._opened:
            self._opened[which] = store.open()
        return self._opened[which]

    def queues(self, driver: Any) -> Any:
        """Zaqar's queue controller in front of a data driver.

        It is the one that counts messages, and removes a queue's.
        """
        return pipeline.DataDriver(
            driver.conf, driver, self.control).queue_controller

    def _uses_configured(self) -> bool:
        return not self.conf.pooling or bool(
            self.conf[pooling_catalog.GROUP_NAME].enable_virtual_pool)

    def _pool(self, pool: dict[str, Any]) -> Store:
        return Store(
            pool['name'], pool['uri'].partition(':')[0], functools.partial(
                _open_pool, self._arguments, self.control, pool), is_pool=True)


def chosen(known: list[Store], name: str | None) -> list[Store]:
    """Those of the stores that are called so; None chooses all of them.

    :raises ValueError: there is none of that name.
    """
    wanted = [store for store in known if name in (None, store.name)]
    if not wanted:
        raise ValueError(
            f'There is no store {name}, but '
            f'{", ".join(store.name for store in known)}.')
    return wanted


def _open_pool(
    arguments: Sequence[str], control: Any, pool: dict[str, Any],
) -> Any:
    return _load(pool_conf(arguments, pool), control_driver=control)


def pool_conf(arguments: Sequence[str], pool: dict[str, Any]) -> Any:
    """The configuration as one pool changes it."""
    # A configuration of its own: one pool's settings would stay in it, and
    # become those of the next.
    return utils.dynamic_conf(
        pool['uri'], pool['options'], conf=read(arguments))


def _load(conf: Any, **kwargs: Any) -> Any:
    """Load a driver as Zaqar does.

    :raises zaqar.common.errors.InvalidDriver: its settings are wrong.
    """
    with _unlogged():
        loaded = utils.load_storage_driver(
            conf, cache.get_cache(conf), **kwargs)
    if loaded is None:
        # zaqar.storage.utils.load_storage_driver
        raise errors.InvalidDriver(
            'With enabled = True in [profiler], Zaqar also needs '
            'trace_message_store and trace_management_store = True there.')
    return loaded


@contextlib.contextmanager
def _unlogged() -> Iterator[None]:
    """Let Zaqar not log the traceback of what it raises: a command tells."""
    logger = logging.getLogger(utils.__name__)
    before = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(before)
