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
"""Doing a thing once, whoever tries at the same time.

Whoever wants to create a record enters two gates, one after the other, and
looks at the first again: the splitter of :mod:`marconi_swift.gate`, with a
second gate for the thing. Of any number who try one at most finds itself
named in the first gate; it alone writes the record. The others wait for the
record to appear.

Nobody may win, if several come so close together that each sees another's
name. To make that rare, one who entered the first gate looks at it before it
goes on: of those who entered at the same moment, all but the last turn back.
What remains are names that are void after a time in which every attempt that
saw them must be over, and then the others try again: creation by several at
the same moment takes that long in the worst case, and ends with one creator.

The first gate may be given back at any time, since nothing is concluded from
its being empty. The second is what a late comer must see, and stays until
there is a record, or until it is void by Swift's clock.

=========  ==================================================================
container  ``<prefix>:elections``
objects    ``<hash of what is created>/1`` and ``/2``: the gates. Their user
           metadata names who entered; removed when the record is there, or by
           Swift when they are void.
=========  ==================================================================
"""

from collections.abc import Callable
import dataclasses
import hashlib
import math
import time
import uuid

from oslo_log import log as logging
import tenacity

from marconi_swift import names
from marconi_swift import records
from marconi_swift.store import errors
from marconi_swift.store import objects

LOG = logging.getLogger(__name__)

#: Seconds after which an attempt is given up, by its own clock.
_LIMIT = 5

#: How often names may become void before creating something is given up.
_ROUNDS = 3


@dataclasses.dataclass(frozen=True)
class Elections:
    """The elections held in one account.

    :param prefix: first part of the container's name.
    :param policy: storage policy for the container, made when first needed.
    :param clock_skew: seconds by which clocks may differ.
    """

    store: objects.ObjectStore
    prefix: str
    policy: str | None
    clock_skew: float

    def once(
        self, what: str, exists: Callable[[], bool],
        write: Callable[[objects.ObjectStore], object],
    ) -> bool:
        """Write a record unless there is one; whether this call did.

        Of those who call this for the same thing at the same time, while
        nobody removes it, exactly one is told True, as soon as it has
        written; the others are told False, and not before that.

        :param what: names the thing.
        :param exists: looks for the record itself, at its newest.
        :param write: stores it, with the account that it is given, which
            sends nothing again when it is too late.
        :raises marconi_swift.store.errors.SwiftError: undecided, because
            Swift does not answer in time, or something stands in the place
            of a gate.
        """
        candidate = _Candidate(
            self, hashlib.sha256(what.encode()).hexdigest(), exists, write)
        patience = _ROUNDS * self.void_after
        try:
            won = tenacity.Retrying(
                retry=tenacity.retry_if_result(lambda won: won is None),
                stop=tenacity.stop_after_delay(patience),
                wait=tenacity.wait_random_exponential(
                    multiplier=0.05, max=1))(candidate.stand)
        except tenacity.RetryError:
            raise errors.SwiftError(
                f'Nobody could create {what} within {patience:.0f} seconds: '
                'Swift is too slow, or others try all the time.',
            ) from None
        candidate.leave()
        return bool(won)

    @property
    def void_after(self) -> float:
        """Seconds until a name in a gate means nothing any more.

        One more than it takes: Swift tells its time in whole seconds.
        """
        return 2 * _LIMIT + self.clock_skew + 1

    @property
    def container(self) -> str:
        return names.registry(self.prefix, names.ELECTIONS)


class _Candidate:
    """Somebody who wants to be the one."""

    def __init__(
        self, elections: Elections, key: str, exists: Callable[[], bool],
        write: Callable[[objects.ObjectStore], object],
    ) -> None:
        self._elections = elections
        self._first, self._second = f'{key}/1', f'{key}/2'
        self._exists = exists
        self._write = write
        #: Until when the gates that we entered last name us.
        self._entered: dict[str, int] = {}

    def stand(self) -> bool | None:
        """Try once; None if it is undecided who is the one."""
        if self._exists():
            return False
        deadline = time.monotonic() + _LIMIT
        store = self._elections.store.until(deadline)
        me = uuid.uuid4().hex
        if not self._enter(store, self._first, me):
            self._check(store, self._first)
            return None
        if not self._is_named(store, self._first, me):
            return None
        if not self._enter(store, self._second, me):
            self._give_back(self._first)
            self._check(store, self._second)
            return None
        # A winner leaves the gates when its record is there. So, if they
        # stood open because it left, the record is there to be seen by now.
        named, exists = store.both(
            lambda: self._is_named(store, self._first, me), self._exists)
        if exists:
            return False
        if not named or time.monotonic() >= deadline:
            return None
        self._write(store)
        if time.monotonic() >= deadline + _LIMIT:
            raise errors.SwiftError(
                'Swift took so long to store a record that somebody else '
                'may have created it, too.')
        return True

    def leave(self) -> None:
        """Clear the gates that still name us, once the record is there."""
        self._give_back(*self._entered)

    def _give_back(self, *gates: str) -> None:
        """Clear gates that name us.

        What can not be cleared becomes void by itself.
        """
        for outcome in self._elections.store.outcomes(self._clear, gates):
            if isinstance(outcome, Exception):
                LOG.info('A gate in container %(container)s is left to '
                         "Swift's expirer: %(error)s", {
                             'container': self._elections.container,
                             'error': outcome})

    def _enter(self, store: objects.ObjectStore, gate: str, me: str) -> bool:
        """Write our name into a gate in which nobody is named."""
        elections = self._elections
        # It is Swift that decides until when it is there.
        until = math.ceil(store.now() + elections.void_after)

        def create() -> objects.Outcome:
            return store.create(
                elections.container, gate, delete_at=until, owner=me,
                content_type=records.until_type(until))

        outcome = create()
        if outcome is objects.Outcome.MISSING:
            outcome = store.insist(
                elections.container, elections.policy, create)
        if outcome is not objects.Outcome.DONE:
            return False
        self._entered[gate] = until
        return True

    def _check(self, store: objects.ObjectStore, gate: str) -> None:
        """Raise if what stands there is none of ours, which never goes."""
        container = self._elections.container
        found = store.head(container, gate)
        if found is not None and found.owner is None:
            raise errors.SwiftError(
                f'Nothing can be created where {gate} in container '
                f'{container} is: it is no gate that this release can read. '
                'Remove it, or upgrade.')

    def _is_named(
        self, store: objects.ObjectStore, gate: str, me: str,
    ) -> bool:
        named = store.head(self._elections.container, gate)
        return named is not None and named.owner == me

    def _clear(self, gate: str) -> None:
        """Take our name out of a gate, unless somebody else's is there.

        A name is known by the second in which it becomes void, so one of the
        same second goes as well. That is harmless now, and may not be later,
        so this is not sent again.
        """
        self._elections.store.until(time.monotonic()).delete(
            self._elections.container, gate,
            only_if_delete_at=self._entered.pop(gate))
