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
"""What was read a moment ago, so that it need not be read again."""

from collections.abc import Callable
from collections.abc import Hashable
import dataclasses
import threading
import time
from typing import Any
from typing import Generic
from typing import NamedTuple
from typing import TypeVar

import cachetools

from marconi_swift.store import per_process

_K = TypeVar('_K', bound=Hashable)
_V = TypeVar('_V')


class _Entry(NamedTuple, Generic[_V]):
    since: float
    value: _V


@dataclasses.dataclass
class _Kept(Generic[_K, _V]):
    values: Any
    lock: threading.Lock = dataclasses.field(default_factory=threading.Lock)
    #: What is being loaded: for each key, a token for each load that may
    #: still be kept.
    loading: dict[_K, set[object]] = dataclasses.field(default_factory=dict)


class Cache(Generic[_K, _V]):
    """Values by key, of one process, shared by its threads.

    Everybody is handed the same value, so it must be one that can not be
    changed.

    :param lifetime: seconds for which a value is kept, from when it began to
        be loaded; 0 keeps none.
    :param size: how much is kept at most; what was not used for the longest
        time goes first.
    :param weigh: how much a value counts.
    """

    def __init__(
        self, lifetime: float, size: int,
        weigh: Callable[[_V], int] = lambda value: 1,
    ) -> None:
        self._kept = per_process.PerProcess[_Kept[_K, _V]](
            lambda: _Kept(cachetools.TLRUCache(
                size, lambda key, entry, now: entry.since + lifetime,
                timer=time.monotonic,
                getsizeof=lambda entry: weigh(entry.value))))

    def get(self, key: _K, load: Callable[[], _V]) -> _V:
        """Return the value of a key, calling ``load`` if it is not kept.

        What ``load`` raises is raised, and nothing is kept then.
        """
        kept = self._kept.get()
        with kept.lock:
            entry: _Entry[_V] | None = kept.values.get(key)
        if entry is not None:
            return entry.value
        return self.renew(key, load)

    def renew(self, key: _K, load: Callable[[], _V]) -> _V:
        """Return what ``load`` returns, and keep it.

        It is not kept if the key was forgotten while it was loaded.
        """
        kept, token, began = self._kept.get(), object(), time.monotonic()
        with kept.lock:
            kept.loading.setdefault(key, set()).add(token)
        try:
            value = load()
            with kept.lock:
                if token in kept.loading.get(key, ()):
                    _keep(kept.values, key, _Entry(began, value))
            return value
        finally:
            with kept.lock:
                loading = kept.loading.get(key, set())
                loading.discard(token)
                if not loading:
                    kept.loading.pop(key, None)

    def find(self, key: _K) -> _V | None:
        """Return a value that is kept, or None."""
        kept = self._kept.get()
        with kept.lock:
            entry: _Entry[_V] | None = kept.values.get(key)
        return None if entry is None else entry.value

    def keep(self, key: _K, value: _V) -> None:
        """Keep a value in the place of what was kept."""
        kept = self._kept.get()
        with kept.lock:
            _keep(kept.values, key, _Entry(time.monotonic(), value))

    def __contains__(self, key: _K) -> bool:
        kept = self._kept.get()
        with kept.lock:
            return key in kept.values

    def forget(self, key: _K) -> None:
        """Forget a value, and what is being loaded."""
        kept = self._kept.get()
        with kept.lock:
            kept.values.pop(key, None)
            kept.loading.pop(key, None)

    def clear(self) -> None:
        """Forget everything."""
        kept = self._kept.get()
        with kept.lock:
            kept.values.clear()
            kept.loading.clear()


def _keep(values: Any, key: Any, entry: _Entry[Any]) -> None:
    """Keep an entry, unless it alone is too large."""
    values.pop(key, None)
    if values.getsizeof(entry) <= values.maxsize:
        values[key] = entry
