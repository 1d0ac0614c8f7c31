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

"""The zaqar.conf of the administrator's guide has options that exist."""

import configparser
import pathlib

from keystoneauth1 import loading
from keystonemiddleware.auth_token import _opts as middleware
from oslo_log import _options as log
import testtools
from zaqar.conf import opts as zaqar

from marconi_swift import options
import tests

EXAMPLE = pathlib.Path(tests.__file__).parents[1].joinpath(
    'doc/source/admin/examples/zaqar.conf')


def _known() -> dict[str, set[str]]:
    """The options of each section, as they are written in a file."""
    password = [*loading.get_auth_common_conf_options(),
                *loading.get_auth_plugin_conf_options('password')]
    known: dict[str, set[str]] = {
        'swift': {opt.dest for opt in password},
        'keystone_authtoken': {opt.dest for opt in password},
        'trustee': {opt.dest for opt in password},
    }
    for listed in (zaqar.list_opts(), options.list_opts(),
                   middleware.list_opts(), log.list_opts()):
        for group, opts in listed:
            known.setdefault(str(group or 'DEFAULT'), set()).update(
                opt.dest for opt in opts)
    return known


class TestOperatorGuide(testtools.TestCase):

    def setUp(self) -> None:
        super().setUp()
        self.example = configparser.RawConfigParser(default_section='none')
        self.example.read_string(EXAMPLE.read_text())

    def test_options_of_the_example_exist(self) -> None:
        known = _known()

        unknown = [(section, name) for section in self.example.sections()
                   for name in self.example[section]
                   if name.replace('-', '_') not in known.get(section, set())]

        self.assertEqual([], unknown)

    def test_both_ports_for_websocket_are_those_of_the_host_alone(
        self,
    ) -> None:
        listens = self.example['drivers:transport:websocket']

        self.assertEqual(
            ['127.0.0.1'] * 2,
            [listens['bind'], listens['notification_bind']])
        # Zaqar's default is a random one.
        self.assertIn('notification_port', listens)
