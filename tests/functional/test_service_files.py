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
"""The files in etc/: what uWSGI and systemd are given to run the service."""

import configparser
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import time
from typing import Any
from urllib import request
import uuid

import fixtures
import testtools

from marconi_swift.standalone import ports
from tests.fixtures import conf

_ETC = pathlib.Path(__file__).parents[2] / 'etc'

#: Where the files expect the environment, and where it is here.
_INSTALLED, _HERE = '/opt/zaqar', sys.prefix

#: Seconds to start, answer or stop on a busy machine.
_PATIENCE = 180.0


class Service(fixtures.Fixture):
    """uWSGI with the file in etc/, on an empty account of a Swift.

    Gives the ``url`` of Zaqar's API. It is started as systemd would, and told
    to be ready before this is set up.
    """

    def _setUp(self) -> None:
        home = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        zaqar = self.useFixture(conf.ZaqarConf())
        (home / '.zaqar').mkdir()
        shutil.copy(zaqar.path, home / '.zaqar' / 'zaqar.conf')
        held = ports.Reservation()
        self.addCleanup(held.release)
        address = f'{ports.HOST}:{held.port}'
        self.url = f'http://{address}/v2'
        ini = home / 'zaqar.ini'
        ini.write_text(
            (_ETC / 'uwsgi' / 'zaqar.ini').read_text()
            .replace(_INSTALLED, _HERE).replace('127.0.0.1:8888', address))
        self.log = home / 'log'
        self.ready = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(self.ready.close)
        self.ready.bind(str(home / 'notify'))
        self.ready.settimeout(_PATIENCE)
        with self.log.open('w') as log:
            self.process = subprocess.Popen(
                [pathlib.Path(_HERE, 'bin', 'uwsgi'), '--ini', ini],
                env={**os.environ, 'HOME': str(home),
                     'NOTIFY_SOCKET': str(home / 'notify')},
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.addCleanup(self.stop)
        self.wait_until_ready()

    def wait_until_ready(self) -> None:
        """Wait for what Type=notify waits for."""
        deadline = time.monotonic() + _PATIENCE
        while time.monotonic() < deadline:
            if b'READY=1' in self.ready.recv(4096):
                return
        raise AssertionError(f'It was never ready:\n{self.log.read_text()}')

    def reload(self) -> None:
        """Replace its processes, and wait until both of them are there."""
        spawned = 'spawned uWSGI worker'
        before = self.log.read_text().count(spawned)
        self.process.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + _PATIENCE
        while self.log.read_text().count(spawned) < before + 2:
            if time.monotonic() > deadline:
                raise AssertionError(
                    f'It was never back:\n{self.log.read_text()}')
            time.sleep(0.1)

    def stop(self) -> int:
        """Stop it as systemd would; returns its status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(_PATIENCE)


class TestUwsgi(testtools.TestCase):

    def setUp(self) -> None:
        super().setUp()
        self.service = self.useFixture(Service())

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        asked = request.Request(
            self.service.url + path,
            None if body is None else json.dumps(body).encode(),
            {'Client-ID': str(uuid.uuid4()), 'X-Project-ID': 'demo',
             'Content-Type': 'application/json'}, method=method)
        with request.urlopen(asked, timeout=_PATIENCE) as answer:
            content = answer.read()
        return json.loads(content) if content else None

    def work(self, body: str) -> None:
        """Post a message, claim it and delete it."""
        self.ask('POST', '/queues/orders/messages',
                 {'messages': [{'ttl': 300, 'body': body}]})
        [claimed] = self.ask('POST', '/queues/orders/claims',
                             {'ttl': 60, 'grace': 60})['messages']
        self.assertEqual(body, claimed['body'])
        self.ask('DELETE', claimed['href'].removeprefix('/v2'))

    def test_it_serves_and_goes_on_serving_when_it_is_reloaded(self) -> None:
        self.work('before')
        self.service.reload()
        self.work('after')

        self.assertEqual(0, self.service.stop())
        self.assertNotIn('Traceback', self.service.log.read_text())


class TestUnits(testtools.TestCase):

    def units(self) -> dict[str, str]:
        """The units, as if this environment and user were meant."""
        return {
            path.name: path.read_text().replace(_INSTALLED, _HERE)
            .replace('=zaqar\n', '=root\n')
            for path in (_ETC / 'systemd').iterdir()}

    def test_what_they_start_is_there(self) -> None:
        for name, text in self.units().items():
            if name.endswith('.service'):
                parser = configparser.ConfigParser(
                    strict=False, interpolation=None)
                parser.optionxform = str  # type: ignore[assignment]
                parser.read_string(text)
                command = parser['Service']['ExecStart'].split()
                self.assertTrue(os.access(command[0], os.X_OK), command)

    def test_systemd_takes_them(self) -> None:
        folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        for name, text in self.units().items():
            (folder / name).write_text(text)

        done = subprocess.run(
            ['systemd-analyze', 'verify', *folder.iterdir()],
            stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=_PATIENCE)

        self.assertEqual((0, ''), (done.returncode, done.stderr))
