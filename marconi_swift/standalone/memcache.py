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

"""A paste filter that gives Swift's proxy a cache in its own memory.

Swift asks for memcached to keep tokens (tempauth) and what it knows of
accounts and containers. One proxy process needs no server for that. ::

    [filter:cache]
    paste.filter_factory = marconi_swift.standalone.memcache:filter_factory
"""

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Mapping
import json
import time as clock
from typing import Any

Application = Callable[[dict[str, Any], Any], Iterable[bytes]]

# Entries; the oldest ones go first, as they would from a full memcached.
CAPACITY = 100_000


class MemoryCache:
    """What Swift calls of its ``MemcacheRing``, in a dictionary.

    Values go through JSON, because Swift's callers rely on what memcached
    makes of them: tuples come back as lists, and never shared with another
    caller. Green threads switch only at I/O, of which there is none here, so
    every method is atomic.
    """

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._entries: dict[str, tuple[float, str]] = {}

    def set(
        self,
        key: str,
        value: Any,
        serialize: bool = True,
        time: float = 0,
        min_compress_len: int = 0,
        raise_on_error: bool = False,
    ) -> None:
        """Keep a value.

        :param time: for how many seconds; 0 means until there is no room.
        """
        expiry = clock.monotonic() + time if time else float('inf')
        self._put(key, value, expiry)

    def get(self, key: str, raise_on_error: bool = False) -> Any:
        """Return a value of the caller's own, or None."""
        expiry, text = self._entries.get(key, (0.0, 'null'))
        if expiry <= clock.monotonic():
            self._entries.pop(key, None)
            return None
        return json.loads(text)

    def delete(self, key: str, server_key: str | None = None) -> None:
        """Forget a value, if it is there."""
        self._entries.pop(key, None)

    def incr(self, key: str, delta: int = 1, time: float = 0) -> int:
        """Add to a number, which never falls below 0, and return the sum.

        :param time: as in :meth:`set`, for a number that was not there.
        """
        number = self.get(key)
        total = max(0, (number or 0) + int(delta))
        if number is None:
            self.set(key, total, time=time)
        else:
            self._put(key, total, self._entries[key][0])
        return total

    def decr(self, key: str, delta: int = 1, time: float = 0) -> int:
        """Subtract from a number: see :meth:`incr`."""
        return self.incr(key, -delta, time)

    def set_multi(
        self,
        mapping: Mapping[str, Any],
        server_key: str,
        serialize: bool = True,
        time: float = 0,
        min_compress_len: int = 0,
    ) -> None:
        """Keep several values: see :meth:`set`."""
        for key, value in mapping.items():
            self.set(key, value, time=time)

    def get_multi(self, keys: Iterable[str], server_key: str) -> list[Any]:
        """Return a value, or None, for each key."""
        return [self.get(key) for key in keys]

    def _put(self, key: str, value: Any, expiry: float) -> None:
        self._entries.pop(key, None)
        if len(self._entries) >= self._capacity:
            del self._entries[next(iter(self._entries))]
        self._entries[key] = (expiry, json.dumps(value, default=bytes.decode))


class MemoryCacheFilter:
    """Puts one :class:`MemoryCache` where Swift looks for memcached."""

    def __init__(self, app: Application) -> None:
        self._app = app
        self._cache = MemoryCache()

    def __call__(
        self, env: dict[str, Any], start_response: Any
    ) -> Iterable[bytes]:
        env['swift.cache'] = self._cache
        return self._app(env, start_response)


def filter_factory(
    global_conf: Mapping[str, str], **local_conf: str
) -> Callable[[Application], MemoryCacheFilter]:
    """The paste.deploy filter factory."""
    return MemoryCacheFilter
