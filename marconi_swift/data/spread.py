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
"""Queues that are spread over several containers.

==============================  =========================================
container of a part             ``<first container>:<part>``, see
                                :func:`marconi_swift.names.part`
metadata of the first           ``Spread-<n>``: there are *n* at least
==============================  =========================================

A message's id says which part it is in, so whoever has an id need not know
how many parts there are. Those who list and those who post do. The first
container says so in its metadata, which come with each listing of it.

As long as a queue is there, their number only grows: each count has a name
of its own in the metadata, which nobody takes away, and the greatest counts.
So a number that is out of date does no harm. Who lists hears the new one
with the listing of the first container; who posts uses fewer parts than there
are. And who finds a part missing that he was told of, since the queue was
deleted and created anew, makes it, for the new queue.

A part is made after the first container counts it, and removed before that
is. So a crash leaves no part that is not listed.
"""

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
import math
import random
import re
from typing import Any
from typing import Self

from marconi_swift import cache
from marconi_swift import names
from marconi_swift import notices
from marconi_swift import options
from marconi_swift.store import objects

#: The key of a queue's metadata that asks for so many containers.
KEY = '_containers'

_COUNT = 'spread-'
_NUMBER = re.compile('[0-9]{1,9}')

#: Queues whose number of parts a process remembers at a time.
_REMEMBERED = 1000

#: A row, and the container that it is of.
Found = tuple[str, objects.Row]


def draw(count: int) -> int | None:
    """Choose one of so many parts for something new.

    None if there is only one, for :func:`marconi_swift.names.new_message_id`.
    """
    if count <= 1:
        return None
    return random.randrange(count)  # noqa: S311 # nosec B311 # no secret


@dataclasses.dataclass(frozen=True)
class Spread:
    """What is known of how the queues of one account are spread.

    :param usual: parts of a queue whose metadata do not ask for others.
    :param most: parts that they can ask for.
    :param known: the number of parts, by the first container.
    """

    usual: int
    most: int
    policy: str | None
    known: cache.Cache[str, int]

    @classmethod
    def configured(cls, settings: options.Settings) -> Self:
        usual = settings.containers_per_queue
        return cls(usual, max(usual, settings.max_containers_per_queue),
                   settings.storage_policy,
                   cache.Cache(settings.cache_time, _REMEMBERED))

    def to_one(self) -> Self:
        """The same, for what is never spread."""
        return dataclasses.replace(self, usual=1, most=1)

    @property
    def used(self) -> bool:
        """Whether to ask how many parts a queue has, at the cost of that."""
        return self.most > 1

    def wanted(self, metadata: Mapping[str, Any] | None) -> int:
        """How many parts a queue with these metadata is to have."""
        asked = (metadata or {}).get(KEY)
        if not isinstance(asked, int) or isinstance(asked, bool):
            return self.usual
        return min(max(asked, 1), self.most)


class Parts:
    """The containers of one kind of a queue, for the time of one operation.

    :ivar first: the name of the first.
    :ivar count: how many there are; 1 until :meth:`rows` or :meth:`ask` has
        heard more.
    """

    def __init__(
        self, spread: Spread, store: objects.ObjectStore, first: str,
    ) -> None:
        self.first = first
        self.count = spread.known.find(first) or 1
        self._spread = spread
        self._store = store

    def until(self, deadline: float) -> 'Parts':
        """The same containers, asking nothing again after a moment.

        :param deadline: by ``time.monotonic``.
        """
        return Parts(self._spread, self._store.until(deadline), self.first)

    def all(self, count: int) -> list[str]:
        """Their names, the first first."""
        return [names.part(self.first, number) for number in range(count)]

    def ask(self) -> int:
        """Ask the first container how many there are.

        If queues are not spread, nothing is asked: one.
        """
        if self._spread.used:
            self._heard(self._store.container_metadata(self.first))
        return self.count

    def for_posting(self) -> int:
        """As :meth:`ask`, unless it is known."""
        if not self._spread.used:
            return 1
        if self._spread.known.find(self.first) is None:
            self.ask()
        return self.count

    def make(self, count: int) -> None:
        """Make as many, if they are not there. May be repeated."""
        self.count_in(count)
        self._store.each(self._make, self.all(count)[1:])

    def count_in(self, count: int) -> None:
        """Make the first, which counts as many."""
        self._make(self.first,
                   {f'{_COUNT}{count}': '1'} if count > 1 else {})
        self._spread.known.forget(self.first)

    def insist(
        self, made_id: str, write: Callable[[], objects.Outcome],
    ) -> objects.Outcome:
        """Repeat a write that found the part of an id MISSING, making that.

        See :meth:`marconi_swift.store.objects.ObjectStore.insist`.
        """
        number = names.part_number(made_id)
        if number:
            self.count_in(number + 1)
        return self._store.insist(
            names.part(self.first, number), self._spread.policy, write)

    def _make(
        self, container: str, metadata: Mapping[str, str] | None = None,
    ) -> None:
        self._store.make_container(
            container, self._spread.policy, metadata or {})

    def rows(
        self, *, marker: str = '', first: int = objects.PAGE,
        reverse: bool = False,
    ) -> Iterator[Found]:
        """All rows by name, each with the container that it is of.

        Listed as far as they are asked for, the containers side by side.

        :param first: how many rows are listed at first, of all; later
            listings grow.
        """
        def begin(containers: Sequence[str]) -> list[_Listed]:
            share = math.ceil(first / max(1, len(containers)))
            begun = [_Listed(self._store, container, marker, share, reverse)
                     for container in containers]
            self._store.each(_Listed.extend, begun)
            return begun

        known = self.count
        listed = begin(self.all(known))
        self._heard(listed[0].metadata)
        listed += begin(self.all(self.count)[known:])
        while True:
            open_ends = [one.end for one in listed if not one.complete]
            # Beyond the nearest end, what comes next is not known.
            horizon = (max if reverse else min)(open_ends, default=None)
            yield from sorted(
                ((one.container, row)
                 for one in listed for row in one.take(horizon)),
                key=lambda found: found[1].name, reverse=reverse)
            if horizon is None:
                return
            self._store.each(
                _Listed.extend, [one for one in listed if one.low])

    def _heard(self, metadata: Mapping[str, str] | None) -> None:
        """Learn what the first container says; None if it is not there.

        Who created the queue may have been told so, and somebody removed
        it as one that no queue uses. What was posted then is listed still.
        """
        if metadata is None:
            self.count = max(self.count, self._spread.usual)
            return
        marks = [name for name in metadata if name.startswith(_COUNT)]
        for name in marks:
            if _counted(name) is None:
                notices.foreign(
                    self.first, name, 'number of containers')
        self.count = max([1, *filter(None, map(_counted, marks))])
        self._spread.known.keep(self.first, self.count)


def _counted(name: str) -> int | None:
    """The number of parts that metadata of a container tell of.

    None if it is none that this release makes.
    """
    count = name.removeprefix(_COUNT)
    if not _NUMBER.fullmatch(count) or int(count) > names.PARTS_MAX:
        return None
    return int(count)


class _Listed:
    """What was listed of one container, and is not handed out yet.

    :ivar container: its name.
    :ivar metadata: the container's; None if there is none.
    :ivar complete: whether there is no more than that.
    :ivar end: name of the last row that was listed.
    """

    def __init__(
        self, store: objects.ObjectStore, container: str, marker: str,
        limit: int, reverse: bool,
    ) -> None:
        self.metadata: Mapping[str, str] | None = None
        self.complete = False
        self.end = marker
        self._rows: list[objects.Row] = []
        self.container = container
        self._store = store
        self._reverse = reverse
        self._limit = self._last = min(limit, objects.PAGE)

    @property
    def low(self) -> bool:
        """Whether more should be listed when any container is."""
        return not self.complete and len(self._rows) * 2 < self._last

    def extend(self) -> None:
        """List more."""
        limit = self._limit
        listing = self._store.listing(
            self.container, marker=self.end, limit=limit,
            reverse=self._reverse)
        self.metadata = listing.metadata
        self._rows += listing.rows
        self.complete = len(listing.rows) < limit
        if listing.rows:
            self.end = listing.rows[-1].name
        self._last, self._limit = limit, min(limit * 10, objects.PAGE)

    def take(self, horizon: str | None) -> list[objects.Row]:
        """Hand out the rows up to a name, or all."""
        taken = [row for row in self._rows if horizon is None or (
            row.name >= horizon if self._reverse else row.name <= horizon)]
        self._rows = self._rows[len(taken):]
        return taken
