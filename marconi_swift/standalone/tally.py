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

"""A paste filter that counts what Swift's proxy is asked, for tests. ::

    [filter:tally]
    paste.filter_factory = marconi_swift.standalone.tally:filter_factory

It stands before authentication, and sees requests below ``/v1/`` only, so not
those for a token. ``/__tally__`` controls it, without a token and from the
same machine only; :class:`marconi_swift.standalone.tallying.Tally` speaks to
it:

``GET``
    answers all requests since the last reset, and all waves.
``PUT {"waves": [1, 20], "timeout": 10}``
    arms waves. The next request that comes waits until there is one, the
    twenty after that until there are twenty; then each wave is let through
    whole, and later requests are not held. So a full wave proves that so many
    requests were in flight at once, and full waves that add up to all
    requests prove how many had to wait for others, without a clock. A wave
    that is not full after the timeout (seconds) lets through what waits, and
    ends all waves.
``PUT {"delay": 0.02}``
    makes each request wait so many seconds, as on a slow network.
``DELETE``
    forgets all of this, and lets through what waits.
"""

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
import json
import time
from typing import Any

import eventlet
from eventlet import event
from swift.common import swob

from marconi_swift.standalone import tallying

LOOPBACK = '127.0.0.1'
TIMEOUT = 10.0

Environment = dict[str, Any]
Application = Callable[[Environment, Any], Iterable[bytes]]


class Wave:
    """Requests that wait until there are enough of them."""

    def __init__(self, wanted: int) -> None:
        self.wanted = wanted
        self.got = 0
        self._opened = event.Event()

    @property
    def open(self) -> bool:
        """Whether nobody is held any more."""
        return bool(self._opened.ready())

    def let_go(self) -> None:
        """Hold nobody any more."""
        if not self.open:
            self._opened.send(True)

    def join(self, timeout: float) -> bool:
        """Wait for the others; return whether they came in time."""
        self.got += 1
        if self.got == self.wanted:
            self.let_go()
        return bool(self._opened.wait(timeout))


class Waves:
    """Waves that fill one after another."""

    def __init__(
        self, counts: Sequence[int] = (), timeout: float = TIMEOUT
    ) -> None:
        self._timeout = timeout
        self._waves = [Wave(count) for count in counts]

    def join(self) -> None:
        """Wait in the first wave that is not full, if there is one."""
        wave = next((wave for wave in self._waves if not wave.open), None)
        if wave and not wave.join(self._timeout):
            self.let_go()

    def let_go(self) -> None:
        """End all waves, full or not."""
        for wave in self._waves:
            wave.let_go()

    def report(self) -> list[dict[str, int]]:
        """Return what was wanted and what came."""
        return [
            {'wanted': wave.wanted, 'got': wave.got} for wave in self._waves
        ]


class Body:
    """An answer's body that calls back before each of its chunks is sent."""

    def __init__(
        self, chunks: Iterable[bytes], sending: Callable[[], None]
    ) -> None:
        self._chunks = chunks
        self._sending = sending

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._chunks:
            self._sending()
            yield chunk

    def close(self) -> None:
        """Close what is below; WSGI servers call this exactly once."""
        close = getattr(self._chunks, 'close', None)
        if close:
            close()


class TallyFilter:
    """Counts, holds and delays requests; see the module."""

    def __init__(self, app: Application) -> None:
        self._app = app
        self._forget()

    def _forget(self) -> None:
        self._requests: list[dict[str, Any]] = []
        self._waves = Waves()
        self._delay = 0.0

    def __call__(
        self, env: Environment, start_response: Any
    ) -> Iterable[bytes]:
        path = env['PATH_INFO']
        if path.startswith('/v1/'):
            return self._pass(env, start_response)
        if path == tallying.CONTROL and env.get('REMOTE_ADDR') == LOOPBACK:
            answer = self._control(swob.Request(env))
            chunks: Iterable[bytes] = answer(env, start_response)
            return chunks
        return self._app(env, start_response)

    def _pass(self, env: Environment, start_response: Any) -> Iterable[bytes]:
        record = self._record(env)

        def start(status: str, headers: Any, exc_info: Any = None) -> Any:
            record['status'] = int(status.split()[0])
            sending()
            return start_response(status, headers, exc_info)

        # Not when it has been sent: the client may have it, and ask for the
        # tally, before we are told.
        def sending() -> None:
            record['end'] = time.monotonic()

        eventlet.sleep(self._delay)
        self._waves.join()
        return Body(self._app(env, start), sending)

    def _record(self, env: Environment) -> dict[str, Any]:
        record = {
            'method': env['REQUEST_METHOD'],
            'path': swob.wsgi_to_str(env['PATH_INFO']),
            'query': swob.wsgi_to_str(env.get('QUERY_STRING', '')),
            'status': None,
            'start': time.monotonic(),
            'end': None,
        }
        self._requests.append(record)
        return record

    def _control(self, request: Any) -> Any:
        if request.method == 'GET':
            report = {
                'requests': self._requests,
                'waves': self._waves.report(),
            }
            return swob.Response(
                body=json.dumps(report).encode(),
                content_type='application/json',
            )
        if request.method == 'PUT':
            self._arm(json.loads(request.body))
        elif request.method == 'DELETE':
            self._waves.let_go()
            self._forget()
        else:
            return swob.HTTPMethodNotAllowed(request=request)
        return swob.HTTPNoContent(request=request)

    def _arm(self, orders: Mapping[str, Any]) -> None:
        self._delay = float(orders.get('delay', self._delay))
        if 'waves' in orders:
            self._waves.let_go()
            timeout = float(orders.get('timeout', TIMEOUT))
            self._waves = Waves(orders['waves'], timeout)


def filter_factory(
    global_conf: Mapping[str, str], **local_conf: str
) -> Callable[[Application], TallyFilter]:
    """The paste.deploy filter factory."""
    return TallyFilter
