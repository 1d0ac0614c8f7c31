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

"""Reads and controls the filter that counts requests at Swift's proxy."""

from collections.abc import Sequence
import contextlib
from http import client as http
import json
from typing import Any
from typing import NamedTuple
from urllib import parse

from marconi_swift.standalone import tls

CONTROL = '/__tally__'

# Seconds that the proxy gets to answer.
PATIENCE = 30.0


class Request(NamedTuple):
    """One request, as the proxy saw it.

    ``path`` and ``query`` are as sent, the path unquoted. ``start`` and
    ``end`` are seconds of the proxy's monotonic clock; ``status`` and ``end``
    are None while there is no answer.
    """

    method: str
    path: str
    query: str
    status: int | None
    start: float
    end: float | None


class Wave(NamedTuple):
    """How many requests should have been in flight at once, and were."""

    wanted: int
    got: int

    @property
    def full(self) -> bool:
        """Whether all that were wanted came."""
        return self.got == self.wanted


class Reading(NamedTuple):
    """What the filter knows at one moment."""

    requests: tuple[Request, ...]
    waves: tuple[Wave, ...]


class Tally:
    """The filter in one proxy; :mod:`marconi_swift.standalone.tally`."""

    def __init__(
        self, url: str, certificate: tls.Certificate | None = None
    ) -> None:
        """Speak to the filter in the proxy at this URL.

        :param certificate: what the proxy serves TLS with, if it does.
        """
        self._address = parse.urlsplit(url).netloc
        self._certificate = certificate

    def reset(self) -> None:
        """Forget all requests and waves, and delay nothing."""
        self._ask('DELETE')

    def waves(self, counts: Sequence[int], timeout: float = 10.0) -> None:
        """Hold requests from now on until so many wait together, in turn."""
        self._ask('PUT', {'waves': list(counts), 'timeout': timeout})

    def delay(self, seconds: float) -> None:
        """Make every request take so much longer, as a network would."""
        self._ask('PUT', {'delay': seconds})

    def read(self) -> Reading:
        """Return all requests since the last reset, and all waves."""
        answer = json.loads(self._ask('GET'))
        return Reading(
            tuple(Request(**request) for request in answer['requests']),
            tuple(Wave(**wave) for wave in answer['waves']),
        )

    def _ask(self, method: str, orders: dict[str, Any] | None = None) -> bytes:
        connection = http.HTTPConnection(self._address, timeout=PATIENCE)
        if self._certificate:
            connection = http.HTTPSConnection(
                self._address,
                timeout=PATIENCE,
                context=self._certificate.context(),
            )
        with contextlib.closing(connection):
            connection.request(method, CONTROL, json.dumps(orders))
            answer = connection.getresponse()
            content = answer.read()
        if answer.status not in (200, 204):
            raise RuntimeError(f'{self._address} has no tally: {content!r}')
        return content
