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
"""What the threads of an operation find out once for all of them."""

from collections.abc import Callable
import threading
from typing import Generic
from typing import TypeVar

_T = TypeVar('_T')


class Once(Generic[_T]):
    """The outcome of a call that is made when somebody first wants it.

    Others wait for it, and share what it raised, too: where what is asked
    hangs, they would wait for it one after the other.
    """

    def __init__(self, call: Callable[[], _T]) -> None:
        self._call = call
        self._lock = threading.Lock()
        self._results: list[_T] = []
        self._error: Exception | None = None

    def get(self) -> _T:
        with self._lock:
            if self._error is not None:
                raise self._error
            if not self._results:
                try:
                    self._results.append(self._call())
                except Exception as exc:
                    self._error = exc
                    raise
            return self._results[0]
