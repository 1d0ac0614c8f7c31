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

"""The contract, asked of a real Swift and of the model of it."""

from collections.abc import Callable
import socket
from urllib import parse

import fixtures
from oslo_config import cfg

from marconi_swift import options
from marconi_swift.standalone import swift as cluster
from marconi_swift.store import swift
from tests.contract import contract
from tests.fixtures import clock
from tests.fixtures import fake_swift
from tests.fixtures import swift as swift_fixture


class FakeSwiftTest(contract.Contract):
    def setUp(self) -> None:
        super().setUp()
        # Waiting takes no time here.
        now = self.useFixture(clock.Clock())
        self.useFixture(fixtures.MonkeyPatch('time.time', now))
        self.swift = self.fake = fake_swift.FakeSwift(now)

    def begin_put(
        self, container: str, name: str, headers: dict[str, str], body: bytes
    ) -> Callable[[], int]:
        steps = self.fake.begin(
            'PUT', container, name, headers=headers, body=body)
        while next(steps) != 'commit':
            pass

        def finish() -> int:
            try:
                while True:
                    next(steps)
            except StopIteration as done:
                status: int = done.value.status
                return status

        return finish


class RealSwiftTest(contract.Contract):
    """Without the daemons, which would change things behind the tests.

    Swift is part of the test requirements: where it can't be started, these
    tests fail.
    """

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        processes = swift_fixture.running(replicas=1).processes
        for daemon in (*cluster.UPDATERS, cluster.EXPIRER):
            processes[daemon].stop()
            cls.addClassCleanup(processes[daemon].start)

    def setUp(self) -> None:
        super().setUp()
        self.real = self.useFixture(swift_fixture.RealSwift())
        self.swift = self.connect()
        self.addCleanup(self.swift.close)

    def connect(self) -> swift.SwiftTransport:
        query = parse.urlencode({
            'auth_type': 'v1password', 'auth_url': self.real.auth_url,
            'username': self.real.username, 'password': self.real.password,
        })
        conf = cfg.ConfigOpts()
        for group, registered in options.driver_options(options.DATA_GROUP):
            conf.register_opts(registered, group=group)
        conf.set_override(
            'uri', f'{options.SCHEME}://?{query}', group=options.DATA_GROUP)
        return swift.SwiftTransport(options.read(conf, options.DATA_GROUP))

    def begin_put(
        self, container: str, name: str, headers: dict[str, str], body: bytes
    ) -> Callable[[], int]:
        """Send the headers, and the body when it is asked for.

        The proxy asks for it (100 Continue) when it first reads it, which
        is after the object servers have checked the request and asked for
        it in turn (proxy/controllers/obj.py `_get_put_connections`).
        """
        _, token = self.real.connect().get_auth()
        url = parse.urlsplit(self.real.storage_url)
        path = f'{url.path}/{parse.quote(container)}/{parse.quote(name)}'
        lines = [
            f'PUT {path} HTTP/1.1', f'Host: {url.netloc}',
            f'X-Auth-Token: {token}', f'Content-Length: {len(body)}',
            'Expect: 100-continue', 'Connection: close',
            *(f'{key}: {value}' for key, value in headers.items()), '', '',
        ]
        connection = socket.create_connection((url.hostname, url.port), 10)
        self.addCleanup(connection.close)
        connection.sendall('\r\n'.join(lines).encode())
        answers = connection.makefile('rb')
        self.addCleanup(answers.close)
        self.assertEqual(b'100', answers.readline().split()[1])

        def finish() -> int:
            connection.sendall(body)
            blank, status_line = answers.readline(), answers.readline()
            self.assertEqual(b'\r\n', blank)
            return int(status_line.split()[1])

        return finish
