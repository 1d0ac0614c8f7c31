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
"""A paste filter that lets Swift's proxy misbehave, for tests.

``PUT /__trouble__`` says how, as JSON; what it does not
name is as it should be; :func:`tests.history.troubling.make` sends it:

``seed``
    of the generator that decides which requests are struck.
``status``, ``refused``
    this share of the requests is answered with one of these statuses, and has
    no effect.
``dropped``
    for this share of the requests the connection is closed when the request
    has taken effect, without an answer.
``delayed``, ``seconds``
    this share of the requests is held up for up to so many seconds before
    anything is done.
``forgetful``
    the cache keeps nothing but tokens, as if there were no memcached.

Only requests below ``/v1/`` are touched, not those for a token.
"""

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Mapping
import contextlib
import json
import random
import socket
from typing import Any

import eventlet
from swift.common import swob

from tests.history import troubling

Environment = dict[str, Any]
Application = Callable[[Environment, Any], Iterable[bytes]]


class _Forgetful:
    """A cache that forgets all but tempauth's tokens."""

    def __init__(self, cache: Any) -> None:
        self._cache = cache

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cache, name)

    def get(self, key: str, *args: Any, **kwargs: Any) -> Any:
        if key.startswith('AUTH_'):
            return self._cache.get(key, *args, **kwargs)
        return None


class TroubleFilter:
    """See the module."""

    def __init__(self, app: Application) -> None:
        self._app = app
        self._arm({})

    def _arm(self, orders: Mapping[str, Any]) -> None:
        self._orders = orders
        self._random = random.Random(orders.get('seed'))

    def _strikes(self, share: str) -> bool:
        return self._random.random() < self._orders.get(share, 0.0)

    def __call__(
        self, env: Environment, start_response: Any,
    ) -> Iterable[bytes]:
        path = env['PATH_INFO']
        if path == troubling.CONTROL:
            return self._control(swob.Request(env))(env, start_response)
        if path.startswith('/v1/') and self._orders:
            return self._trouble(env, start_response)
        return self._app(env, start_response)

    def _control(self, request: Any) -> Any:
        self._arm(json.loads(request.body))
        return swob.HTTPNoContent(request=request)

    def _trouble(
        self, env: Environment, start_response: Any,
    ) -> Iterable[bytes]:
        if self._orders.get('forgetful'):
            env['swift.cache'] = _Forgetful(env['swift.cache'])
        if self._strikes('delayed'):
            eventlet.sleep(self._random.uniform(0, self._orders['seconds']))
        if self._strikes('refused'):
            status = self._random.choice(self._orders['status'])
            return swob.Response(status=status)(env, start_response)
        if self._strikes('dropped'):
            return self._drop(env)
        return self._app(env, start_response)

    def _drop(self, env: Environment) -> Iterable[bytes]:
        for _ in self._app(env, lambda *_: None):
            pass
        with contextlib.suppress(OSError):
            env['wsgi.input'].get_socket().shutdown(socket.SHUT_RDWR)
        raise ConnectionError('This answer is dropped on purpose.')


def filter_factory(
    global_conf: Mapping[str, str], **local_conf: str,
) -> Callable[[Application], TroubleFilter]:
    """The paste.deploy filter factory."""
    return TroubleFilter
