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

"""Zaqar's WSGI application, with a configuration file of our choice.

Zaqar's own module takes none: it reads the files in the home folder and /etc.
"""

from typing import Any

from oslo_config import cfg
from oslo_log import log
from zaqar import bootstrap


def application(path: str) -> Any:
    """Return the application that one configuration file describes."""
    # Drivers and Zaqar's own modules expect the global object.
    conf = cfg.CONF
    log.register_options(conf)
    conf(
        ['--config-file', path],
        project='zaqar',
        prog='marconi-swift-standalone',
        default_config_dirs=[],
    )
    log.setup(conf, 'zaqar')
    return bootstrap.Bootstrap(conf).transport.app
