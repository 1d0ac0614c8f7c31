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
"""A connection to a model of Swift that fails at a request of one's choice.

It stands where swiftclient's connection does, so that all of this driver's
code runs above it, the translation of errors and the renewal of tokens
included.
"""

from collections.abc import Callable
from collections.abc import Mapping
import enum
import types
from typing import Any
from typing import NamedTuple
from urllib import parse

import urllib3

from tests.fixtures import fake_swift


class Died(BaseException):
    """The process that sent the request is no more.

    No Exception, so that nothing on its way handles it.
    """


class Lasts(enum.Enum):
    """How long it goes on, from the request that is struck."""

    ONCE = 'once'
    #: Swift can not be reached any more.
    GONE = 'gone'
    #: The process sends nothing any more.
    DEAD = 'dead'


class Fault(NamedTuple):
    """What becomes of a request that is struck."""

    name: str
    #: Whether it takes effect.
    takes_effect: bool
    #: The status to answer, or what makes the exception to raise.
    answer: int | Callable[[], BaseException]

    def __str__(self) -> str:
        return f'{self.name} {"after" if self.takes_effect else "before"}'


def _reset() -> Exception:
    return urllib3.exceptions.ProtocolError(
        'Connection aborted.', ConnectionResetError(104, 'reset by peer'))


def _cut() -> Exception:
    return urllib3.exceptions.IncompleteRead(7, 50)


def _unconnected() -> Exception:
    return urllib3.exceptions.ConnectTimeoutError('no connection')


def _silent() -> Exception:
    return urllib3.exceptions.ReadTimeoutError(
        urllib3.HTTPConnectionPool('swift'), '/', 'no answer')


#: Swift or what stands before it did nothing.
REFUSED = [
    *(Fault(str(status), False, status)
      for status in (401, 429, 498, 500, 503, 507)),
    Fault('no connection', False, _unconnected),
    Fault('reset', False, _reset),
]

#: It did what it was asked for, and nobody was told.
UNTOLD = [
    *(Fault(str(status), True, status) for status in (500, 503, 504, 507)),
    Fault('timeout', True, _silent),
    Fault('reset', True, _reset),
    Fault('cut off', True, _cut),
]

DEATHS = [Fault('death', takes_effect, Died)
          for takes_effect in (False, True)]


class Wire:
    """All connections, one request after the other.

    :ivar sent: how many requests were sent since :meth:`arm`.
    """

    def __init__(self, swift: fake_swift.FakeSwift) -> None:
        self._swift = swift
        self.arm(None)

    def arm(self, fault: Fault | None, lasts: Lasts = Lasts.ONCE,
            number: int = 0) -> None:
        """Strike the `number`-th request from now on; nothing if no fault."""
        self.sent = 0
        self._fault, self._lasts, self._number = fault, lasts, number

    def connect(self, endpoint: str, settings: Any) -> 'Wire':
        return self

    def request(
        self, method: str, path: str, data: bytes, headers: Mapping[str, str],
    ) -> Any:
        """Send a request, as the connection that this stands for does."""
        self.sent += 1
        fault = self._fault
        if fault is None or self.sent < self._number or (
                self._lasts is Lasts.ONCE and self.sent > self._number):
            return self._deliver(method, path, data, headers)
        if fault.takes_effect and self.sent == self._number:
            self._deliver(method, path, data, headers)
        if isinstance(fault.answer, int):
            return _response(fault.answer)
        raise fault.answer()

    def close(self) -> None:
        """Nothing is open."""

    def _deliver(
        self, method: str, path: str, data: bytes, headers: Mapping[str, str],
    ) -> Any:
        if path == '/info':
            return _response(*self._swift.info())
        path, _, query = path.partition('?')
        container, _, name = path.lstrip('/').partition('/')
        return _response(*self._swift.request(
            method, parse.unquote(container, errors='surrogatepass') or None,
            parse.unquote(name, errors='surrogatepass') or None,
            query=dict(parse.parse_qsl(query, keep_blank_values=True)),
            headers=headers, body=data))


def _response(
    status: int, headers: Mapping[str, str] = types.MappingProxyType({}),
    body: bytes = b'',
) -> Any:
    """An answer as urllib3 gives it."""
    return types.SimpleNamespace(status=status, headers=headers, data=body)
