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

"""The standalone program with a Keystone: one command, and it leaves nothing.

What it says and does without one is tested in ``tests/functional``.
"""

import pathlib
import signal
import stat
import subprocess
import sys

import fixtures
import testtools

from tests.fixtures import cloud
from tests.functional import test_standalone

PATIENCE = '180'


class ProgramTest(testtools.TestCase):

    def setUp(self) -> None:
        super().setUp()
        self.path = self.useFixture(fixtures.TempDir()).path
        self.clouds = pathlib.Path(self.path, 'clouds.yaml')

    def program(self) -> subprocess.Popen[str]:
        """Start the program, and return it when it says that it serves."""
        program = subprocess.Popen(
            [sys.executable, '-m', 'marconi_swift.standalone', '--keystone',
             '--data', self.path, '--patience', PATIENCE],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(program.communicate)
        self.addCleanup(program.kill)
        assert program.stdout is not None
        for line in program.stdout:
            if str(self.clouds) in line:
                return program
        self.fail(program.communicate()[1])
        return program

    def demo(self) -> cloud.Person:
        return cloud.Person(str(self.clouds), 'demo')

    def test_messages_survive_a_crash_and_processes_do_not(self) -> None:
        program = self.program()
        self.demo().post('/queues/greetings/messages', {
            'messages': [{'ttl': 300, 'body': 'hello'}]})
        self.assertEqual(
            0o600, stat.S_IMODE(self.clouds.stat().st_mode))
        credentials = self.clouds.read_text()

        program.kill()
        self.assertTrue(test_standalone.poll(
            lambda: not test_standalone.pids_of(self.path)))

        again = self.program()
        self.assertEqual(credentials, self.clouds.read_text())
        found = self.demo().get('/queues/greetings/messages?echo=true')
        self.assertEqual(['hello'], [m['body'] for m in found['messages']])

        again.send_signal(signal.SIGTERM)
        _, complaint = again.communicate(timeout=float(PATIENCE))
        self.assertEqual((0, ''), (again.returncode, complaint))
        self.assertEqual([], test_standalone.pids_of(self.path))
