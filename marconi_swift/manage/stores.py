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

import argparse
from collections.abc import Callable
from collections.abc import Sequence
import functools
from typing import Any
from typing import NamedTuple

from oslo_config import cfg
from osprofiler import opts as profiler_options
from zaqar.common import errors
from zaqar.conf import default
from zaqar.conf import drivers
from zaqar.conf import pooling_catalog
from zaqar.conf import profiler
from zaqar.storage import utils

from marconi_swift import driver
from marconi_swift import options


class NothingOfOurs(Exception):
    """No message store of this configuration is this driver's."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        '--config-file', action='append', metavar='PATH', dest='config_files',
        help="Zaqar's configuration; can be given several times. Else it is "
             'looked for where Zaqar looks for it.')


def read(config_files: Sequence[str] | None) -> cfg.ConfigOpts:
    """Read Zaqar's configuration, with the options that drivers need.

    :param config_files: None for Zaqar's usual places.
    """
    conf = cfg.ConfigOpts()
    conf(args=[], project='zaqar', prog='zaqar',
         default_config_files=list(config_files) if config_files else None)
    conf.register_opts(default.ALL_OPTS)
    conf.register_opts(drivers.ALL_OPTS, group=drivers.GROUP_NAME)
    conf.register_opts(pooling_catalog.ALL_OPTS,
                       group=pooling_catalog.GROUP_NAME)
    profiler_options.set_defaults(conf)
    conf.register_opts(profiler.ALL_OPTS, group=profiler.GROUP_NAME)
    return conf


class Store(NamedTuple):
    """A message store, and how to make a driver for it."""

    name: str
    open: Callable[[], driver.DataDriver]


def message_stores(config_files: Sequence[str] | None) -> list[Store]:
    """Return this driver's message stores.

    With pooling they are the pools that are registered, and the one of the
    configuration if there is a virtual pool.

    :raises NothingOfOurs: there is none.
    """
    conf = read(config_files)
    control = _load(conf, control_mode=True)
    ours = options.SCHEME
    stores = []
    configured = (
        not conf.pooling
        or conf[pooling_catalog.GROUP_NAME].enable_virtual_pool)
    if configured and conf.drivers.message_store == ours:
        stores.append(Store(
            ours, lambda: _load(conf, control_driver=control)))
    if conf.pooling:
        stores += [
            Store(pool['name'], functools.partial(
                _open_pool, config_files, control, pool))
            for pool in next(control.pools_controller.list(
                limit=0, detailed=True))
            if pool['uri'].startswith(f'{ours}:')]
    if not stores:
        raise NothingOfOurs(
            f'Neither message_store in [drivers] nor a pool is {ours} in '
            f'{", ".join(conf.config_file or ()) or "no configuration file"}.')
    return stores


def _open_pool(
    config_files: Sequence[str] | None, control: Any, pool: dict[str, Any],
) -> driver.DataDriver:
    # With a configuration of its own: one pool's settings would stay in it,
    # and become those of the next.
    conf = utils.dynamic_conf(
        pool['uri'], pool['options'], conf=read(config_files))
    opened: driver.DataDriver = _load(conf, control_driver=control)
    return opened


def _load(conf: Any, **kwargs: Any) -> Any:
    """Load a driver as Zaqar does.

    :raises zaqar.common.errors.InvalidDriver: its settings are wrong.
    """
    loaded = utils.load_storage_driver(conf, None, **kwargs)
    if loaded is None:
        # zaqar.storage.utils.load_storage_driver
        raise errors.InvalidDriver(
            'With enabled = True in [profiler], Zaqar also needs '
            'trace_message_store and trace_management_store = True there.')
    return loaded
