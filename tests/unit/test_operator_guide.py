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

"""What the administrator's guide shows, without a cloud.

Its zaqar.conf has options that exist, and its backup fails unless all is
saved.
"""

import configparser
import os
import pathlib
import subprocess

import fixtures
from keystoneauth1 import loading
from keystonemiddleware.auth_token import _opts as middleware
from oslo_log import _options as log
import testtools
from zaqar.conf import opts as zaqar

from marconi_swift import options
import tests

EXAMPLES = pathlib.Path(tests.__file__).parents[1].joinpath(
    'doc/source/admin/examples')

#: In the place of the swift command: "list" and "download CONTAINER
#: --output-dir FOLDER".
SWIFT = """\
#!/bin/sh
case $1 in
    list) printf '%s\\n' {listed}; exit {status} ;;
    download) [ "$2" != {failing} ] && mkdir -p "$4" && touch "$4/p:q" ;;
esac
"""


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
        self.example.read_string((EXAMPLES / 'zaqar.conf').read_text())

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


class TestBackup(testtools.TestCase):

    def setUp(self) -> None:
        super().setUp()
        self.home = pathlib.Path(self.useFixture(fixtures.TempDir()).path)

    def back_up(
        self, *listed: str, status: int = 0, failing: str = 'none',
    ) -> int:
        """Back up what a Swift lists; return the status.

        :param status: that of the listing.
        :param failing: the container that can not be downloaded.
        """
        programs = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        swift = programs / 'swift'
        swift.write_text(SWIFT.format(
            listed=' '.join(listed), status=status, failing=failing))
        swift.chmod(0o755)
        return subprocess.run(
            ['sh', str(EXAMPLES / 'backup.sh'), 'saved'], cwd=self.home,
            env={'PATH': f'{programs}:{os.environ["PATH"]}'},
            capture_output=True).returncode

    def saved(self) -> set[str]:
        return {str(path.relative_to(self.home))
                for path in self.home.rglob('*') if path.is_file()}

    def test_saves_the_control_plane(self) -> None:
        self.assertEqual(0, self.back_up(
            'marconi:messages:p:q', 'marconi:queues', 'marconi:topics'))

        self.assertEqual(
            {'saved/marconi:queues/p:q', 'saved/marconi:topics/p:q'},
            self.saved())
        self.assertEqual(0o700, (self.home / 'saved').stat().st_mode & 0o777)

    def test_fails_if_swift_lists_nothing_or_not_all(self) -> None:
        for listed in ((), ('marconi:queues',)):
            self.assertNotEqual(0, self.back_up(*listed, status=1))

        self.assertEqual(set(), self.saved())

    def test_fails_if_there_is_nothing_to_save(self) -> None:
        self.assertNotEqual(0, self.back_up('marconi:messages:p:q'))

    def test_fails_if_any_container_can_not_be_saved(self) -> None:
        self.assertNotEqual(0, self.back_up(
            'marconi:queues', 'marconi:topics', failing='marconi:queues'))

    def test_adds_nothing_to_an_earlier_one(self) -> None:
        self.back_up('marconi:queues')

        self.assertNotEqual(0, self.back_up('marconi:topics'))

        self.assertEqual({'saved/marconi:queues/p:q'}, self.saved())
