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
"""Copying a queue's messages from another store to this driver's, once each.

A message's id here is derived from what it is called there, so that whoever
copies it again, after a crash at any point, finds it. Nothing else is
remembered of a copy that was begun.
"""

import bisect
from collections.abc import Iterator
from collections.abc import Sequence
import dataclasses
import functools
import hashlib
import itertools
import logging
from typing import Any
from typing import NamedTuple
import uuid

from marconi_swift import acceptable
from marconi_swift import driver as drivers
from marconi_swift import names
from marconi_swift import records
from marconi_swift.manage import sources
from marconi_swift.store import objects

LOG = logging.getLogger(__name__)

#: Seconds by which the API's whole seconds of age can blur when a message
#: was posted, in both directions.
_BLUR = 3

#: Ticks between messages of one second whose order is all that is known. It
#: leaves room for what was claimed when those around it were copied.
_STEP = 1000


@dataclasses.dataclass
class Tally:
    """What became of a queue's messages."""

    found: int = 0
    copied: int = 0
    #: Copied before, with the same body.
    there: int = 0
    #: Not there, by who only verifies.
    missing: int = 0
    #: Expired between the listing and the reading.
    expired: int = 0
    #: Left alone: a claim holds them in the source.
    claimed: int = 0
    failed: int = 0


class _Place(NamedTuple):
    """Where a message belongs, and the MD5 of the body that is there."""

    id: str
    etag: str | None


@dataclasses.dataclass(frozen=True)
class Terms:
    """What is asked for."""

    #: Copy also what is claimed in the source; it is free here.
    include_claimed: bool = False
    #: Count what would be copied.
    dry_run: bool = False
    #: Copy nothing: what is not there is missing.
    verify: bool = False


class Copier:
    """Copies one queue."""

    def __init__(
        self, target: drivers.DataDriver, queue: str, project: str | None,
        terms: Terms,
    ) -> None:
        self.tally = Tally()
        self._target, self._terms = target, terms
        self._queue, self._project = queue, project
        account = target.account
        self._store: objects.ObjectStore = account.store
        self._container = names.messages(
            account.settings.container_prefix, project, queue)
        #: Who posted what the source tells no poster of.
        self._unknown = str(uuid.uuid4())
        #: Tick of the last message of a source that tells none.
        self._last = 0

    def copy(self, page: Sequence[sources.Found]) -> None:
        """Copy a page; those before it, in their order, are done.

        What fails is logged and counted, and the rest is copied.

        :raises zaqar.storage.errors.QueueDoesNotExist: nothing was copied.
        :raises zaqar.storage.errors.ConnectionError: nobody can tell what
            is there.
        """
        self.tally.found += len(page)
        readable = list(filter(self._is_acceptable, self._readable(page)))
        absent = []
        for found, place in zip(
                readable, self._places(readable), strict=True):
            if place.etag is not None:
                self._compare(found, place.etag)
            elif found.claimed and not self._terms.include_claimed:
                self.tally.claimed += 1
            elif self._terms.verify:
                self.tally.missing += 1
                self._say(found, 'is not there')
            else:
                absent.append((found, place.id))
        if self._terms.dry_run:
            self.tally.copied += len(absent)
        elif absent:
            self._put(absent)

    def _readable(
        self, page: Sequence[sources.Found],
    ) -> Iterator[sources.Found]:
        for found in page:
            if found.error is not None:
                self._fail(found, f'could not be read: {found.error!r}')
            elif found.message is None:
                self.tally.expired += 1
            else:
                yield found

    def _is_acceptable(self, found: sources.Found) -> bool:
        """Whether it can be stored, so that nothing later fails at its body.

        Other drivers store MessagePack, which says more than JSON.
        """
        assert found.message is not None
        try:
            acceptable.check(found.message.body, 'its body')
        except acceptable.Unacceptable as exc:
            self._fail(found, f'could not be stored: {exc!r}')
            return False
        return True

    def _compare(self, found: sources.Found, etag: str) -> None:
        assert found.message is not None
        body = records.dump(found.message.body)
        if hashlib.md5(body, usedforsecurity=False).hexdigest() == etag:
            self.tally.there += 1
        else:
            self._fail(found, 'is there with another body')

    def _put(self, absent: list[tuple[sources.Found, str]]) -> None:
        outcomes = self._target.message_controller.adopt(
            self._queue, [self._adopted(found, name)
                          for found, name in absent], self._project)
        for (found, _), outcome in zip(absent, outcomes, strict=True):
            if outcome is objects.Outcome.DONE:
                self.tally.copied += 1
            elif outcome is objects.Outcome.EXISTS:
                self.tally.there += 1
            else:
                self._fail(found, f'could not be stored: {outcome!r}')

    def _adopted(
        self, found: sources.Found, name: str,
    ) -> tuple[records.Message, Any]:
        message = found.message
        assert message is not None
        return records.Message(
            id=name, ttl=message.ttl, expires=found.expires,
            poster=records.poster(message.client or self._unknown),
            delayed_until=found.delayed_until,
            checksum=self._target.message_controller.checksum(message.body),
            claim_count=message.claims), message.body

    # Where messages belong

    def _places(self, page: list[sources.Found]) -> list[_Place]:
        """The places of messages, in their order."""
        if any(found.tick is None for found in page):
            return self._between(page)
        if self._begins:
            return [_Place(_exact_id(found), None) for found in page]
        return self._store.each(self._exactly, page)

    def _exactly(self, found: sources.Found) -> _Place:
        name = _exact_id(found)
        there = self._store.head(self._container, name)
        return _Place(name, there.etag if there else None)

    @functools.cached_property
    def _begins(self) -> bool:
        """Whether nothing is there yet, so that nobody has to ask for each.

        Where a listing missed some, storing tells that they are there.
        """
        return not self._terms.verify and not any(
            True for _ in self._store.rows(self._container, first=1))

    def _between(self, page: list[sources.Found]) -> list[_Place]:
        """Places in the order of the source, by what is there already."""
        rows = self._around([found.message.created for found in page
                             if found.message])
        known = {names.end_of(row.name): row for row in rows}
        ticks = [names.derived_tick(row.name) for row in rows]
        places = []
        for found in page:
            row = known.get(names.derived_end(found.id))
            self._last = (names.derived_tick(row.name) if row
                          else self._next(found, ticks))
            places.append(_Place(
                names.derived_id(self._last, found.id),
                row.etag if row else None))
        return places

    def _around(self, created: list[int]) -> list[objects.Row]:
        """What is there of the time in which a page was posted."""
        # Clocks of posters may have gone back, where the order did not.
        latest = max(*created, self._last // sources.TICKS)
        end = names.first_id(latest + _BLUR)
        rows = self._store.rows(
            self._container, marker=names.first_id(min(created) - _BLUR))
        return [row for row in itertools.takewhile(
            lambda row: row.name < end, rows)
            if names.is_message_id(row.name)]

    def _next(self, found: sources.Found, ticks: list[int]) -> int:
        """A tick after the last one, and before what is there after that."""
        assert found.message is not None
        tick = max(found.message.created * sources.TICKS, self._last + _STEP)
        after = bisect.bisect_right(ticks, self._last)
        if after == len(ticks) or tick < ticks[after]:
            return tick
        return self._last + 1 if self._last else ticks[after] - _STEP

    def _fail(self, found: sources.Found, what: str) -> None:
        self.tally.failed += 1
        self._say(found, what)

    def _say(self, found: sources.Found, what: str) -> None:
        LOG.error('Queue %s: message %s of the source %s.',
                  self._queue, found.id, what)


def _exact_id(found: sources.Found) -> str:
    """The id of a message whose source tells when it was posted."""
    assert found.tick is not None
    return names.derived_id(found.tick, found.id)
