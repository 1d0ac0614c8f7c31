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

"""The administrator's guide, followed to the letter in a cloud without Zaqar.

The commands and files are those that the page shows, from
``doc/source/admin/examples`` and ``etc``; only what it tells the reader to
replace is replaced, and paths and ports, since here is neither root nor a load
balancer.
"""

from collections.abc import Callable
import configparser
import os
import pathlib
import shlex
import subprocess
import sys

import fixtures
import testtools

from marconi_swift.standalone import keystone as keystones
from marconi_swift.standalone import ports
from marconi_swift.standalone import processes
from marconi_swift.standalone import swift as swifts
import tests
from tests.fixtures import cloud
from tests.fixtures import swift as swift_fixtures
from tests.functional import test_standalone

_CHECKOUT = pathlib.Path(tests.__file__).parents[1]
_PAGES = _CHECKOUT / 'doc/source'
#: What systemd and uWSGI are given.
ETC = _CHECKOUT / 'etc'
EXAMPLES = _PAGES / 'admin/examples'
#: What the user's guide shows.
ORDERS = _PAGES / 'user/examples/orders.py'

#: The folder of Zaqar's and the clients' programs. This names that of another
#: installation, such as a fresh one that was made as the page says.
PROGRAMS = os.environ.get(
    'MARCONI_SWIFT_TEST_PROGRAMS', str(pathlib.Path(sys.executable).parent))

QUEUE = ['openstack', 'messaging', 'queue']

SECRETS = {
    'STORE_PASSWORD': 'what-stores',
    'ZAQAR_PASSWORD': 'what-serves',
    'SIGNING_KEY': 'what-signs',
}

#: The user of the driver, for the swift command, which knows no clouds.
STORE = 'marconi-swift'
STORE_USER = {
    'OS_IDENTITY_API_VERSION': '3',
    'OS_USERNAME': STORE,
    'OS_PASSWORD': SECRETS['STORE_PASSWORD'],
    'OS_PROJECT_NAME': 'messaging',
    'OS_USER_DOMAIN_NAME': 'Default',
    'OS_PROJECT_DOMAIN_NAME': 'Default',
}

KEYSTONE = 'https://keystone.example.org/v3'

WEBSOCKET = '\nport = 9000'
NOTIFICATIONS = 'notification_port = 9001'

#: Where the page has its programs, its configuration and its server.
INSTALLED, CONFIGURED = '/opt/zaqar', '/etc/zaqar'
ADDRESS = '127.0.0.1:8888'


class Site(fixtures.Fixture):
    """A cloud with Keystone and Swift, and a home folder for Zaqar."""

    def _setUp(self) -> None:
        self.home = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.keystone = keystones.KeystoneServer(patience=cloud.PATIENCE)
        self.swift = swifts.SwiftCluster(
            self.home / 'cloud', keystone=self.keystone,
            sweep_interval=swift_fixtures.SWEEP_INTERVAL,
            patience=cloud.PATIENCE)
        self.swift.start()
        self.addCleanup(self.swift.stop)
        # Where Zaqar looks beside /etc/zaqar.
        self.conf = self.home / '.zaqar' / 'zaqar.conf'
        self.conf.parent.mkdir()
        self.port = self.swift.site.hold_port('zaqar')
        self.websocket_port = self.swift.site.hold_port('zaqar-websocket')
        self.notification_port = self.swift.site.hold_port(
            'zaqar-notifications')
        self.run(['openstack', 'user', 'delete', 'zaqar', 'marconi-swift'])

    @property
    def url(self) -> str:
        return f'http://{ports.HOST}:{self.port}'

    def environment(self, who: str) -> dict[str, str]:
        """What is set in the shell of somebody: a cloud's name, or STORE."""
        return {
            **SECRETS,
            'HOME': str(self.home),
            'PATH': f'{PROGRAMS}:{os.environ["PATH"]}',
            'ZAQAR_URL': self.url,
            'WEBSOCKET_URL': f'ws://{ports.HOST}:{self.websocket_port}',
            **({'OS_AUTH_URL': self.keystone.url, **STORE_USER}
               if who == STORE else
               {'OS_CLIENT_CONFIG_FILE': self.keystone.clouds,
                'OS_CLOUD': who}),
        }

    def script(self, name: str, who: str = 'admin', *given: str) -> str:
        """Run a file that the page shows; return what it printed."""
        return self.run(['sh', '-eu', str(EXAMPLES / name), *given], who)

    def run(self, command: list[str], who: str = 'admin') -> str:
        done = subprocess.run(
            command, env=self.environment(who), capture_output=True,
            text=True, timeout=4 * cloud.PATIENCE, cwd=self.home)
        if done.returncode:
            raise AssertionError(
                f'{command} ended with {done.returncode}: {done.stdout}'
                f'{done.stderr}')
        return done.stdout

    def configure(self) -> None:
        """Write zaqar.conf and uwsgi.ini as the page says."""
        text = (EXAMPLES / 'zaqar.conf').read_text()
        for old, new in {
                **SECRETS, KEYSTONE: self.keystone.url,
                WEBSOCKET: f'\nport = {self.websocket_port}',
                NOTIFICATIONS: 'notification_port = '
                               f'{self.notification_port}'}.items():
            assert old in text, old
            text = text.replace(old, new)
        self.conf.write_text(text)
        self.conf.with_name('uwsgi.ini').write_text(
            self.here((ETC / 'uwsgi' / 'zaqar.ini').read_text()))

    def here(self, text: str) -> str:
        """What a file of the page's says, with the places of this site."""
        for old, new in ((INSTALLED, str(pathlib.Path(PROGRAMS).parent)),
                         (CONFIGURED, str(self.conf.parent)),
                         (ADDRESS, f'{ports.HOST}:{self.port}')):
            text = text.replace(old, new)
        return text

    def serve(self, unit: str, ready: Callable[[], bool]) -> None:
        """Start what a unit of systemd starts, and wait until it is ready."""
        read = configparser.RawConfigParser()
        read.read_string(self.here((ETC / 'systemd' / unit).read_text()))
        command = read['Service']['ExecStart']
        given = read.get('Service', 'Environment', fallback='')
        log = self.home / f'{unit}.log'
        with log.open('w') as output:
            server = subprocess.Popen(
                shlex.split(command), cwd=self.home,
                env={**self.environment('nobody'),
                     **dict(each.split('=', 1) for each in given.split())},
                stdout=output, stderr=subprocess.STDOUT)
        self.addCleanup(server.wait, cloud.PATIENCE)
        self.addCleanup(server.terminate)
        if not test_standalone.poll(ready):
            raise AssertionError(log.read_text())


class OperatorGuideTest(testtools.TestCase):

    def test_from_a_cloud_without_zaqar_to_a_message(self) -> None:
        site = self.useFixture(Site())

        site.script('keystone.sh')
        site.configure()
        # As a load balancer asks, and as it can not.
        site.serve('zaqar-api.service', lambda: processes.answers(
            site.port, '/', 300))
        self.assertTrue(processes.answers(site.port, '/v2/ping', 401))
        # What asks for no WebSocket gets a page that says what is here, and
        # what posts nothing for a subscriber gets an error.
        site.serve('zaqar-websocket.service', lambda: processes.answers(
            site.websocket_port, '/', 200) and processes.answers(
            site.notification_port, '/', 405))

        checked = site.script('check.sh')
        self.assertIn('True', checked)
        self.assertIn('storage_reachable', checked)
        self.assertNotIn('false', checked.lower())
        used = site.script('first-message.sh', 'demo')
        self.assertIn('hello', used)
        worked = site.run([f'{PROGRAMS}/python', str(ORDERS)], 'demo')
        self.assertEqual(
            [f"working on {{'order': {number}}}" for number in (1, 2, 3)],
            worked.splitlines())

        site.script('backup.sh', STORE, 'saved')
        site.run([*QUEUE, 'delete', 'greetings'], 'demo')
        site.script('restore.sh', STORE, 'saved')
        self.assertIn('greetings', site.run([*QUEUE, 'list'], 'demo'))

        demo = site.run([
            'openstack', 'project', 'show', 'demo', '-f', 'value', '-c', 'id',
        ]).strip()
        self.assertIn(demo, site.run(['swift', 'list'], STORE))
        site.script('forget-project.sh', STORE, demo)
        site.run(['marconi-swift-manage', 'gc', '--force'])
        self.assertNotIn(demo, site.run(['swift', 'list'], STORE))
        self.assertNotIn(
            demo, site.run(['swift', 'list', 'marconi:queues'], STORE))
