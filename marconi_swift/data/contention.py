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
"""What the threads of a process tell one another of their claims."""

import collections
from collections.abc import Iterable
from collections.abc import Iterator
import contextlib
import threading

from marconi_swift import records
from marconi_swift.store import per_process

#: The widest window of candidates is two to this power times what is wanted.
_WIDEST = 6

#: Queues whose contention a process remembers, claims on messages that it
#: knows to be rightful, and messages whose gates it found shut.
_REMEMBERED = 1000
_REMEMBERED_HOLDS = 20000
_REMEMBERED_SHUT = 20000

#: Seconds after which whoever is at a message has most likely won it or gone.
_PASSING = 1.0


class Contention:
    """What the threads of a process tell one another of their claims."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._busy: set[tuple[str, str]] = set()
        self._levels: collections.OrderedDict[str, int] = (
            collections.OrderedDict())
        self._rightful: dict[tuple[str, records.Hold], float] = {}
        self._shut: collections.OrderedDict[str, float] = (
            collections.OrderedDict())

    @contextlib.contextmanager
    def reserved(
        self, container: str, candidates: Iterable[records.Message],
    ) -> Iterator[list[records.Message]]:
        """Keep other threads from these; yields those that were free."""
        mine = []
        with self._lock:
            for message in candidates:
                if (container, message.id) not in self._busy:
                    self._busy.add((container, message.id))
                    mine.append(message)
        try:
            yield mine
        finally:
            with self._lock:
                self._busy -= {(container, message.id) for message in mine}

    def rightful(
        self, message_id: str, hold: records.Hold, at: float,
    ) -> bool:
        """Whether a hold was seen in the record of a claim, live then."""
        return self._rightful.get((message_id, hold), 0.0) > at

    def learn_rightful(
        self, message_id: str, hold: records.Hold, until: float,
    ) -> None:
        """Remember that a record lists a hold, and lasts until a moment."""
        with self._lock:
            if len(self._rightful) >= _REMEMBERED_HOLDS:
                self._rightful.clear()
            self._rightful[message_id, hold] = until

    def still_shut(self, message_id: str, at: float) -> bool:
        """Whether a gate that is shut was so a second ago, too.

        That it was is forgotten, so the next to ask begins anew.

        :param at: now, by ``time.monotonic``.
        """
        with self._lock:
            since = self._shut.setdefault(message_id, at)
            if at - since > _PASSING:
                del self._shut[message_id]
                return True
            if len(self._shut) > _REMEMBERED_SHUT:
                self._shut.popitem(last=False)
            return False

    def level(self, container: str) -> int:
        return self._levels.get(container, 0)

    def learn(self, container: str, lost: bool) -> None:
        with self._lock:
            level = self._levels.pop(container, 0) + (1 if lost else -1)
            if level > 0:
                self._levels[container] = min(level, _WIDEST)
            if len(self._levels) > _REMEMBERED:
                self._levels.popitem(last=False)


#: That of this process.
of_this_process = per_process.PerProcess(Contention)
