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
"""Claim records: the authority on which messages a claim holds.

========================  ===============================================
container                 ``<prefix>:claims:<project>:<queue>``
object                    ``claim/<claim id>``
Content-Type, body        :class:`marconi_swift.records.Claim`
========================  ===============================================

Only the claim's owner writes its record. Of a queue that is spread, its id
says in which part it is. The gates of the queue's messages are in the same
containers; see :mod:`marconi_swift.gate`.
"""

import collections
from collections.abc import Iterator
from collections.abc import Mapping
import dataclasses
import heapq
import itertools

from marconi_swift import gate
from marconi_swift import names
from marconi_swift import notices
from marconi_swift import records
from marconi_swift.store import errors
from marconi_swift.store import objects

_PREFIX = 'claim/'

#: Claims that are read side by side.
_READ_AHEAD = 100


@dataclasses.dataclass(frozen=True)
class ClaimRecords:
    """The claims of one queue.

    :param container: the first.
    :param policy: storage policy for containers, made when first needed.
    """

    store: objects.ObjectStore
    container: str
    policy: str | None

    def read(self, claim_id: str) -> records.Claim | None:
        """Return a claim's record.

        None if there is none, or if this is no claim id at all. What it won
        is right; until when it lasts can be what it was before a renewal
        that one of the replicas missed: see :meth:`current`.
        """
        if not names.is_message_id(claim_id):
            return None
        container, name = self._place(claim_id)
        stored = self.store.read(container, name, newest=True)
        if stored is None:
            return None
        claim = records.Claim.parse(
            claim_id, stored.content_type, stored.body)
        if claim is None:
            notices.foreign(container, name, 'claim')
        return claim

    def live(self, at: float, parts: int) -> Iterator[records.Claim]:
        """Read all claims that are live at a moment, oldest first.

        As far as it is iterated. One that is missing in the listing yet is
        left out.

        :param parts: how many the queue has.
        """
        rows = heapq.merge(*(
            self.store.rows(container, prefix=_PREFIX)
            for container in self._parts(parts)))
        while batch := list(itertools.islice(rows, _READ_AHEAD)):
            for claim in self.store.each(
                    lambda row: self.read(row.name.removeprefix(_PREFIX)),
                    batch):
                if claim is not None and claim.live(at):
                    yield claim

    def current(self, claim_id: str, at: float) -> records.Claim | None:
        """Return a claim as its last renewal left it, or None.

        A renewal is a POST, which X-Newest may miss; but it wrote into the
        gates of all its messages first. So one that seems to be over lasts
        until the first of these says, if it is named in all of them: else the
        renewal was not finished, and others may have its messages.
        """
        claim = self.read(claim_id)
        if claim is None or claim.live(at):
            return claim
        gates = gate.Gates(self.store, self.container, policy=None)
        named = self.store.each(gates.named, claim.won)
        until = min((each.hold.until if each and each.hold.claim == claim_id
                     else 0 for each in named), default=0)
        if until <= at:
            return claim
        return dataclasses.replace(
            claim, until=until, lasts=max(until, claim.lasts))

    def create(self, claim: records.Claim) -> None:
        """Store the record of a new claim.

        :raises marconi_swift.store.errors.SwiftError: it may be stored or
            not.
        """
        container, name = self._place(claim.id)

        def write() -> objects.Outcome:
            return self.store.prevail(lambda: self.store.create(
                container, name, body=claim.body(),
                content_type=claim.content_type(), delete_at=claim.delete_at))

        outcome = write()
        if outcome is objects.Outcome.MISSING:
            # Gates are made with their containers, but of other parts.
            outcome = self.store.insist(container, self.policy, write)
        if outcome is objects.Outcome.EXISTS and self.renew(claim):
            # Our own first try, of which we heard nothing, may have reached
            # one replica alone. Most of them took this.
            return
        if outcome is not objects.Outcome.DONE:
            raise errors.SwiftError(
                f'Claim {claim.id} could not be recorded in container '
                f'{container}: {outcome.value}.')

    def renew(self, claim: records.Claim) -> bool:
        """Store what a renewal changed; False if there is no record."""
        return self.store.prevail(lambda: self.store.annotate(
            *self._place(claim.id), content_type=claim.content_type(),
            delete_at=claim.delete_at),
        ) is not objects.Outcome.MISSING

    def delete(self, claim_id: str) -> None:
        """Remove a claim's record, if it is there."""
        self.store.delete(*self._place(claim_id))

    def give_up(self, claim: records.Claim) -> None:
        """Replace the record of a claim that nobody was told of.

        Which may not be there yet: what Swift does late finds this one,
        which holds nothing, until it expires.
        """
        container, name = self._place(claim.id)
        void = claim.given_up(records.now())
        self.store.prevail(lambda: self.store.replace(
            container, name, body=void.body(),
            content_type=void.content_type(), delete_at=void.delete_at))

    def holders(
        self, at: float, parts: int,
    ) -> Mapping[str, Mapping[str, int]]:
        """Live claims, by the short forms of the messages that they won.

        And until when each lasts.

        A hint, as all listings: see :func:`marconi_swift.records.digests`.

        :param parts: how many the queue has.
        """
        holders = collections.defaultdict[str, dict[str, int]](dict)
        for rows in self.store.each(self._rows, self._parts(parts)):
            for row in rows:
                claim = row.name.removeprefix(_PREFIX)
                for digest, until in records.digests(
                        row.content_type, at).items():
                    holders[digest][claim] = until
        return holders

    def _parts(self, count: int) -> list[str]:
        return [names.part(self.container, number)
                for number in range(count)]

    def _rows(self, container: str) -> list[objects.Row]:
        return list(self.store.rows(container, prefix=_PREFIX))

    def _place(self, claim_id: str) -> tuple[str, str]:
        """The container and the name of a claim's record."""
        return names.home(self.container, claim_id), _PREFIX + claim_id
