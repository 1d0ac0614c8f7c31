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
from collections.abc import Iterator
from collections.abc import Sequence

from oslo_config import cfg
from osprofiler import opts as profiler_options
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


def message_stores(
    conf: cfg.ConfigOpts,
) -> Iterator[tuple[str, driver.DataDriver]]:
    """Iterate over this driver's message stores: a name, and the driver.

    With pooling they are the pools that are registered, and the one of the
    configuration if there is a virtual pool.

    :raises NothingOfOurs: there is none.
    """
    control = utils.load_storage_driver(conf, None, control_mode=True)
    ours = options.SCHEME
    found = False
    configured = (
        not conf.pooling
        or conf[pooling_catalog.GROUP_NAME].enable_virtual_pool)
    # Before any pool's settings get into the configuration, for good.
    if configured and conf.drivers.message_store == ours:
        found = True
        yield ours, utils.load_storage_driver(
            conf, None, control_driver=control)
    if conf.pooling:
        for pool in next(control.pools_controller.list(
                limit=0, detailed=True)):
            if pool['uri'].startswith(f'{ours}:'):
                found = True
                yield pool['name'], utils.load_storage_driver(
                    utils.dynamic_conf(
                        pool['uri'], pool['options'], conf=conf),
                    None, control_driver=control)
    if not found:
        raise NothingOfOurs(
            f'Neither message_store in [drivers] nor a pool is {ours}.')
