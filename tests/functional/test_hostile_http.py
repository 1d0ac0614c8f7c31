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

"""Hostile HTTP, as bytes, to Zaqar's API as the standalone program runs it."""

from collections.abc import Iterator
import errno
import json
import re
import shutil
import socket
import tempfile
import time
from typing import Any
from typing import NamedTuple
import uuid

import testtools

from marconi_swift.standalone import ports
from marconi_swift.standalone import swift
from marconi_swift.standalone import zaqar
from tests.fixtures import swift as swift_fixtures

#: Seconds within which a server answers or hangs up: what it is sent is all
#: there is, and it sees the end of it.
PATIENCE = 20.0

#: What nobody else may see.
SECRET = 'only-of-the-neighbour'

_NEIGHBOUR, _PROJECT = 'neighbour', 'attacker'

_STATUS = re.compile(rb'HTTP/1\.1 (\d{3}) ')

_KIB = 1024

#: Zaqar answers so what Python's json calls too deep to be read.
_TOO_DEEP = 503

#: What HTTP wants to be said of a Transfer-Encoding that is unknown.
_NOT_IMPLEMENTED = 501

#: What says that a server has closed a connection.
_HUNG_UP = (errno.ECONNRESET, errno.EPIPE, errno.ENOTCONN)


class Attack(NamedTuple):
    what: str
    sent: bytes
    #: Of Zaqar's own, with the reason; 0 if it is to be none.
    error: int = 0


def request(
    method: bytes = b'GET', path: bytes = b'/v2/queues/q/messages',
    body: bytes = b'', **headers: bytes | None,
) -> bytes:
    """Write a request of our project; None for a header leaves it out."""
    given: dict[str, bytes | None] = {
        'Host': b'zaqar', 'Connection': b'close',
        'Client-ID': str(uuid.uuid4()).encode(),
        'X-Project-ID': _PROJECT.encode(),
        'Content-Type': b'application/json',
        'Content-Length': b'%d' % len(body),
        **{name.replace('_', '-'): value for name, value in headers.items()}}
    lines = [method + b' ' + path + b' HTTP/1.1', *(
        name.encode() + b': ' + value
        for name, value in given.items() if value is not None)]
    return b'\r\n'.join([*lines, b'', body])


def post(body: bytes, **headers: bytes | None) -> bytes:
    return request(b'POST', body=body, **headers)


def message(ttl: bytes = b'60', body: bytes = b'1') -> bytes:
    return b'{"messages": [{"ttl": %s, "body": %s}]}' % (ttl, body)


_ODD_PARTS = (
    b'%2F', b'..%2F..%2F', b'%00', b'%0d%0aX-Project-ID:%20neighbour', b'..',
    b'.', b'%2e%2e', b'..;', b'%ED%A0%80', b'\xed\xa0\x80', b'\xff', b'%',
    b'%zz', b'%u0000', b'*', b'q%2Fmessages', b'%25%32%66', b'a' * 3 * _KIB,
    b'marconi:messages:neighbour:q', b'neighbour%3Aq', b'..%2Fneighbour%2Fq')


def paths() -> Iterator[Attack]:
    for odd in _ODD_PARTS:
        for method, path in (
                (b'GET', b'/v2/queues/%s'), (b'PUT', b'/v2/queues/%s'),
                (b'GET', b'/v2/queues/%s/messages'), (b'GET', b'/%s'),
                (b'GET', b'/v2/queues/q/messages/%s'),
                (b'DELETE', b'/v2/queues/q/claims/%s'),
                (b'GET', b'/v2/queues?marker=%s'),
                (b'DELETE', b'/v2/queues/q/messages?ids=%s')):
            yield Attack('path', request(method, path.replace(b'%s', odd)))
    for path in (b'', b'*', b'//', b'/v2//queues', b'http://other/v2/queues',
                 b'/v2/queues/../../v2/queues', b'?', b'/v2/queues/q?' + (
                     b'&'.join([b'limit=1'] * 500)),
                 b'/v2/' + b'a' * 64 * _KIB,
                 b'/v2/queues?' + b'a' * 64 * _KIB):
        yield Attack('path', request(path=path))


def headers() -> Iterator[Attack]:
    for odd in (None, b'', b'\xff', b'\xed\xa0\x80', b'\0', b'x' * 7 * _KIB,
                b'x' * 64 * _KIB, b'neighbour', b'-1', b'..', b'1, 2',
                b'a\r\n b', b'3381af92-2b9e-11e3-b191-71861300734c' * 2):
        for name in ('Client_ID', 'Content_Type', 'Accept', 'Host',
                     'X_HTTP_Method_Override', 'Transfer_Encoding',
                     'Content_Length', 'Expect', 'URL_Signature', 'Range'):
            given: dict[str, Any] = {name: odd}
            yield Attack(name, post(message(), **given))
    # All of these are no project of the neighbour's.
    for odd in (None, b'', b'\xff', b'\0', b'..', b'neighbour/',
                b'%6eeighbour', b'/neighbour', b'Neighbour', b'x' * 7 * _KIB,
                b'x' * 64 * _KIB):
        yield Attack('project', request(X_Project_ID=odd))
    yield Attack('many headers', request(**{
        f'X-{number}': b'1' for number in range(1000)}))
    for method in (b'', b'BREW', b'get', b'TRACE', b'CONNECT', b'OPTIONS',
                   b'HEAD', b'PROPFIND', b'G' * 5000, b'G\0T', b'\xff'):
        yield Attack('method', request(method))


def bodies() -> Iterator[Attack]:
    for body in (
            b'', b'{', b'\xff', b'\xef\xbb\xbf{}', b'\0', b'null', b'1',
            b'[]', b'{"messages": null}', b'{"messages": {}}', message(b'1e9'),
            message(b'9' * 4000), message(b'1e400'), message(b'NaN'),
            message(b'-Infinity'), message(b'"60"'), message(b'{}'),
            message(body=b'9' * 4000), message(body=b'1e400'),
            message(body=b'"\\ud800"'), message(body=b'"\xed\xa0\x80"'),
            message(body=b'"\\u0000"'), message(body=b'"' + b'x' * 300 * _KIB
                                                + b'"'),
            b'{"messages": [%s]}' % b','.join([b'{"ttl": 60}'] * 5000),
            b'{"messages": [], "messages": []}', b'{"a":' * 400 + b'1'):
        yield Attack('body', post(body))
    for levels in (400, 5_000, 100_000):
        yield Attack('deep', post(message(
            body=b'[' * levels + b']' * levels)), _TOO_DEEP)
        yield Attack('deep', post(b'[' * levels), _TOO_DEEP)


def framing() -> Iterator[Attack]:
    body = message()
    chunked: dict[str, Any] = {
        'Transfer_Encoding': b'chunked', 'Content_Length': None}
    for sent in (
            b'%x\r\n%s\r\n0\r\n\r\n' % (len(body), body), b'zz\r\n',
            b'-1\r\n', b'ffffffffffffffff\r\n', b'5\r\nabc',
            b'0' * 9000 + b'1\r\na\r\n0\r\n\r\n', b'1;' + b'x' * 9000,
            b'0\r\n' + b'X-A: b\r\n' * 5000 + b'\r\n'):
        yield Attack('chunks', post(sent, **chunked))
        yield Attack('chunks and a length', post(
            sent, Transfer_Encoding=b'chunked'))
    for length in (b'-1', b'1', b'%d' % (len(body) + 1), b'9' * 30, b'x',
                   b'+5', b'0x10', b'5, 6', b'\xb2'):
        yield Attack('length', post(body, Content_Length=length))
    for sent in (b'', b'\0', b'\r\n' * 100, b'GET', b'GET /\r\n\r\n',
                 b'GET / HTTP/9.9\r\n\r\n', b'\x16\x03\x01\x02\0\x01',
                 b'GET /v2 HTTP/1.1\r\nno colon\r\n\r\n', b'x' * 64 * _KIB,
                 b'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
                 b'GET /v2 HTTP/1.1\r\n X: folded\r\n\r\n',
                 b'PROXY TCP4 1.2.3.4 1.2.3.4 1 1\r\n' + request()):
        yield Attack('no request', sent)
    # A request in the body of another one is none.
    yield Attack('smuggled', post(
        b'0\r\n\r\n' + request(X_Project_ID=_NEIGHBOUR.encode()),
        Transfer_Encoding=b'identity, chunked'))


class HttpTest(testtools.TestCase):

    port: int

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        folder = tempfile.mkdtemp(prefix='marconi-http-')
        cls.addClassCleanup(shutil.rmtree, folder, ignore_errors=True)
        cluster = swift.SwiftCluster(
            folder, sweep_interval=swift_fixtures.SWEEP_INTERVAL,
            patience=swift_fixtures.PATIENCE)
        cls.addClassCleanup(cluster.stop)
        cluster.start()
        server = zaqar.ZaqarServer(
            cluster, patience=swift_fixtures.PATIENCE)
        cls.addClassCleanup(server.stop)
        server.start()
        cls.port = int(server.url.rpartition(':')[2])

    def setUp(self) -> None:
        super().setUp()
        for project, body in ((_NEIGHBOUR, SECRET), (_PROJECT, 'mine')):
            for method, path, sent in (
                    (b'PUT', b'/v2/queues/q', b'{}'),
                    (b'POST', b'/v2/queues/q/messages', message(
                        b'3000', json.dumps(body).encode()))):
                self.assertIn(self.status(self.send(request(
                    method, path, sent, X_Project_ID=project.encode()))),
                    (201, 204))

    def send(self, sent: bytes) -> bytes:
        """Send bytes and an end; return all that is answered."""
        with socket.create_connection(
                (ports.HOST, self.port), PATIENCE) as connection:
            try:
                connection.sendall(sent)
                connection.shutdown(socket.SHUT_WR)
                return b''.join(iter(lambda: connection.recv(65536), b''))
            except OSError as error:
                if error.errno not in _HUNG_UP:
                    raise
                # It had enough.
                return b''

    def status(self, answer: bytes) -> int:
        """The status of an answer; 0 if it hung up."""
        found = _STATUS.match(answer)
        return int(found[1]) if found else 0

    def strike(self, attacks: Iterator[Attack]) -> None:
        wrong: list[Any] = []
        seen: set[int] = set()
        for what, sent, allowed in attacks:
            began = time.monotonic()
            try:
                answer = self.send(sent)
            except TimeoutError:
                wrong.append((what, sent[:200], 'hangs'))
                continue
            status = self.status(answer)
            seen.add(status)
            failed = status >= 500 and status not in (
                allowed, _NOT_IMPLEMENTED)
            if failed or SECRET.encode() in answer:
                wrong.append((what, sent[:200], answer[:300],
                              time.monotonic() - began))
        self.assertEqual([], wrong)
        self.assertTrue(seen & {400, 404}, seen)
        self.assert_is_well()

    def assert_is_well(self) -> None:
        """The service goes on, and nothing of the neighbour's was touched."""
        answer = self.send(request(
            path=b'/v2/queues/q/messages?echo=true&limit=20',
            X_Project_ID=_NEIGHBOUR.encode()))
        self.assertEqual(200, self.status(answer))
        found = json.loads(answer.partition(b'\r\n\r\n')[2])
        self.assertEqual({SECRET}, {
            each['body'] for each in found['messages']})
        answer = self.send(request(
            path=b'/v2/queues', X_Project_ID=_NEIGHBOUR.encode()))
        found = json.loads(answer.partition(b'\r\n\r\n')[2])
        self.assertEqual(['q'], [each['name'] for each in found['queues']])

    def test_paths(self) -> None:
        self.strike(paths())

    def test_headers_and_methods(self) -> None:
        self.strike(headers())

    def test_bodies(self) -> None:
        self.strike(bodies())

    def test_framing(self) -> None:
        self.strike(framing())
