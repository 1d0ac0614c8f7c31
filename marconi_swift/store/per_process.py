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

"""Values that must not cross a fork."""

from collections.abc import Callable
import os
from typing import Generic
from typing import TypeVar

_T = TypeVar('_T')


class PerProcess(Generic[_T]):
    """A value made on first use, anew in each process.

    Zaqar builds its drivers before a pre-forking server forks; sockets,
    locks and threads made then would be shared, or held for ever. So there
    is no lock here either: a forked process may find it taken.

    :param make: must be cheap and do no I/O. Threads that race for the
        first use may each make a value; all of them get the same one.
    """

    def __init__(self, make: Callable[[], _T]) -> None:
        self._make = make
        self._made: dict[int, _T] = {}

    def get(self) -> _T:
        process = os.getpid()
        try:
            return self._made[process]
        except KeyError:
            # What a parent made is of no use, and pids come back. A list is
            # made at once, whatever other threads do to the dictionary.
            for other in list(self._made):
                if other != process:
                    self._made.pop(other, None)
            return self._made.setdefault(process, self._make())

    def drop(self) -> _T | None:
        """Forget the value; return it if this process had made it."""
        return self._made.pop(os.getpid(), None)
