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
    locks and threads made then would be shared, or held for ever.

    :param make: must be cheap and do no I/O. Threads that race for the
        first use may each make a value; all but the last made are dropped
        when their user is done.
    """

    def __init__(self, make: Callable[[], _T]) -> None:
        self._make = make
        self._made: tuple[int, _T] | None = None

    def get(self) -> _T:
        made = self._made
        if made is None or made[0] != os.getpid():
            made = self._made = (os.getpid(), self._make())
        return made[1]

    def drop(self) -> _T | None:
        """Forget the value; return it if this process had made it."""
        made, self._made = self._made, None
        return made[1] if made and made[0] == os.getpid() else None
