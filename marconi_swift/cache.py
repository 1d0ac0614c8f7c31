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
from collections.abc import MutableMapping
import copy
import dataclasses
import threading
from typing import Generic
from typing import TypeVar

import cachetools

from marconi_swift.store import per_process

_K = TypeVar('_K', bound=Hashable)
_V = TypeVar('_V')


@dataclasses.dataclass
class _Kept(Generic[_K, _V]):
    values: MutableMapping[_K, _V]
    lock: threading.Lock = dataclasses.field(default_factory=threading.Lock)
    #: How often something was forgotten.
    changes: int = 0


class Cache(Generic[_K, _V]):
    """Values by key, of one process, shared by its threads.

    What is handed out is a copy, the caller's to change.

    :param lifetime: seconds for which a value is kept; 0 keeps none.
    :param size: how many are kept at most; those kept first go first.
    """

    def __init__(self, lifetime: float, size: int) -> None:
        self._kept = per_process.PerProcess[_Kept[_K, _V]](
            lambda: _Kept(cachetools.TTLCache(size, lifetime)))

    def get(self, key: _K, load: Callable[[], _V]) -> _V:
        """Return the value of a key, calling ``load`` if it is not kept.

        What ``load`` raises is raised, and nothing is kept then; nor is what
        it returns if anything was forgotten while it ran.
        """
        kept = self._kept.get()
        with kept.lock:
            if key in kept.values:
                return copy.deepcopy(kept.values[key])
            changes = kept.changes
        value = load()
        with kept.lock:
            if changes == kept.changes:
                kept.values[key] = value
        return copy.deepcopy(value)

    def find(self, key: _K) -> _V | None:
        """Return a value that is kept, or None."""
        kept = self._kept.get()
        with kept.lock:
            return copy.deepcopy(kept.values.get(key))

    def keep(self, key: _K, value: _V) -> None:
        """Keep a value that can not change while it has this key."""
        kept = self._kept.get()
        with kept.lock:
            kept.values[key] = value

    def __contains__(self, key: _K) -> bool:
        kept = self._kept.get()
        with kept.lock:
            return key in kept.values

    def forget(self, key: _K) -> None:
        """Forget a value, and what is being loaded."""
        kept = self._kept.get()
        with kept.lock:
            kept.changes += 1
            kept.values.pop(key, None)

    def clear(self) -> None:
        """Forget everything."""
        kept = self._kept.get()
        with kept.lock:
            kept.changes += 1
            kept.values.clear()
