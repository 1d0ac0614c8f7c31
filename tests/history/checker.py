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
"""Whether what clients saw is what was promised, in the manner of Jepsen.

Pure: from the calls of all clients, and what was in the queue when all was
over, to a verdict. A call whose outcome is unknown may have taken effect at
any time from when it began, or never, and is counted on neither way.

A claim holds its messages *for certain* from the moment at which it was
answered until the first of: its release begins, the message's deletion
begins, or its time is over, which runs from when it was asked for and counts
one second less, since claims end by whole seconds. A renewal counts when it
was answered; one whose outcome is unknown only if it makes the claim shorter.

A claim *may hold* its messages until its release is acknowledged, or until
the longest time that it or a renewal asked for is over, which runs from when
they were answered. A renewal whose outcome is unknown was under way before
the claim was over.

Each claim is used by the process that made it: all of its times are by one
clock, whichever that is.
"""

import collections
from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
import itertools
import math

from tests.history import calls as recorded

OK, REFUSED, UNKNOWN = (
    recorded.Outcome.OK, recorded.Outcome.REFUSED, recorded.Outcome.UNKNOWN)

#: Calls whose messages come in the order in which they were posted.
_ORDERED = ('list', 'claim')

#: Claims end by whole seconds.
_ROUNDING = 1.0


@dataclasses.dataclass(frozen=True)
class Verdict:
    """Numbers of messages or calls, and a sentence for each that is wrong.

    ``lost``, ``unexpected``, ``shared``, ``returned``, ``stolen``,
    ``refused`` and ``misordered`` are wrong.
    """

    #: By how they ended, for example ``post ok``.
    calls: Mapping[str, int]
    #: Messages whose post was acknowledged.
    posted: int
    #: Of those whose post ended unknown: how many came out.
    recovered: int
    #: Messages that were claimed, listed or found in the end.
    seen: int
    #: Not deleted by a claim that may hold it, and not there in the end (P1).
    lost: int
    #: Came out though nobody posted it, or not as it went in (P2).
    unexpected: int
    #: Held by two live claims at once for certain (P3).
    shared: int
    #: Claimed after its deletion was acknowledged (P1, P3).
    returned: int
    #: Deleted with a claim that can not have held it then (P4).
    stolen: int
    #: Deletions and renewals of a live claim that was told that it is none
    #: (P3), and all other calls that were refused: the queue is there.
    refused: int
    #: Listed or claimed before what the same process had posted, and been
    #: acknowledged, earlier (P6).
    misordered: int
    #: Listed after its deletion was acknowledged: allowed (P8).
    stale: int
    violations: tuple[str, ...]

    @property
    def duplicated(self) -> int:
        return self.shared + self.returned

    @property
    def wrong(self) -> bool:
        return bool(self.violations)


@dataclasses.dataclass(frozen=True)
class Hold:
    """For how long a claim holds a message for certain."""

    message: str
    claim: str
    since: float
    until: float
    #: When it is over, unless the message was deleted before.
    over: float

    def overlaps(self, other: 'Hold') -> bool:
        return (max(self.since, other.since)
                < min(self.until, other.until))


def check(
    calls: Iterable[recorded.Call], remained: Iterable[str],
) -> Verdict:
    """Judge a history.

    :param remained: messages that were in the queue in the end, when
        nothing was wrong with Swift any more.
    """
    return _Checker(list(calls), set(remained)).verdict()


def remaining(calls: Iterable[recorded.Call]) -> set[str]:
    """Messages that must be in the queue when all calls have ended."""
    return _Checker(list(calls), set()).kept()


class _Checker:

    def __init__(
        self, calls: Sequence[recorded.Call], remained: set[str],
    ) -> None:
        self._calls = calls
        self._remained = remained
        self._by_claim = collections.defaultdict(list)
        self._deletions = collections.defaultdict(list)
        for call in calls:
            if call.claim and call.kind != 'claim':
                self._by_claim[call.claim].append(call)
            if call.kind == 'delete':
                for message in call.messages:
                    self._deletions[message].append(call)
        self._holds = list(self._all_holds())
        self._held = collections.defaultdict(list)
        for hold in self._holds:
            self._held[hold.message].append(hold)

    def kept(self) -> set[str]:
        """Messages that were posted, and that nobody can have deleted."""
        return {message for message in self._messages('post', OK)
                if not any(call.outcome is not REFUSED
                           and self._may_delete(message, call)
                           for call in self._deletions[message])}

    def verdict(self) -> Verdict:
        posted = set(self._messages('post', OK))
        doubtful = set(self._messages('post', UNKNOWN))
        seen = self._remained | set(self._messages('claim', OK)) | set(
            self._messages('list', OK))
        found = {
            'lost': [f'{each} was posted, and is gone'
                     for each in sorted(self.kept() - self._remained)],
            'unexpected': [f'{each} was never posted'
                           for each in sorted(seen - posted - doubtful)],
            'shared': list(self._shared()),
            'returned': list(self._returned()),
            'stolen': list(self._stolen()),
            'refused': list(self._refused()),
            'misordered': list(self._misordered()),
        }
        return Verdict(
            calls=dict(collections.Counter(
                f'{call.kind} {call.outcome.value}' for call in self._calls)),
            posted=len(posted), recovered=len(seen & doubtful),
            seen=len(seen), stale=sum(1 for _ in self._stale()),
            violations=tuple(
                f'{kind}: {what}' for kind, all_of_it in found.items()
                for what in all_of_it),
            **{kind: len(all_of_it) for kind, all_of_it in found.items()})

    def _messages(
        self, kind: str, outcome: recorded.Outcome,
    ) -> Iterable[str]:
        for call in self._calls:
            if call.kind == kind and call.outcome is outcome:
                yield from call.messages

    def _misordered(self) -> Iterable[str]:
        posts = sorted((call for call in self._calls
                        if call.kind == 'post' and call.outcome is OK),
                       key=lambda call: call.completed)
        posted = {message: (place, call.client) for place, (call, message)
                  in enumerate((call, message) for call in posts
                               for message in call.messages)}
        for call in self._calls:
            if call.kind not in _ORDERED:
                continue
            last: dict[str, int] = {}
            for message in filter(posted.__contains__, call.messages):
                place, client = posted[message]
                if place < last.get(client, 0):
                    yield f'{message} came after what was posted later'
                last[client] = place

    # Holds

    def _all_holds(self) -> Iterable[Hold]:
        for call in self._calls:
            if call.kind == 'claim' and call.outcome is OK and call.claim:
                until, over = self._end(call), self._over(call)
                for message in call.messages:
                    yield Hold(message, call.claim, call.completed, min(
                        until, *(each.invoked for each in
                                 self._deletions[message]
                                 if each.claim == call.claim
                                 and each.outcome is not REFUSED),
                        math.inf), over)

    def _end(self, claim: recorded.Call) -> float:
        """When a claim may be over."""
        end = claim.invoked + claim.ttl - _ROUNDING
        for call in self._by_claim[claim.claim]:
            if call.invoked >= end:
                break
            if call.kind == 'release':
                end = min(end, call.invoked)
            elif call.kind == 'renew' and call.outcome is not REFUSED:
                renewed = call.invoked + call.ttl - _ROUNDING
                end = (renewed if call.outcome is OK
                       else min(end, renewed))
        return end

    def _over(self, claim: recorded.Call) -> float:
        """When a claim is over, whatever became of its renewals."""
        end = claim.completed + claim.ttl
        for call in self._by_claim[claim.claim]:
            if call.kind == 'renew' and call.outcome is not REFUSED:
                end = max(end, min(end, call.completed) + call.ttl)
            elif call.kind == 'release' and call.outcome is OK:
                end = min(end, call.completed)
        return end

    def _shared(self) -> Iterable[str]:
        for message, holds in self._held.items():
            for one, other in itertools.combinations(holds, 2):
                if one.overlaps(other):
                    yield (f'{message} was held by {one.claim} from '
                           f'{one.since:.3f} to {one.until:.3f} and by '
                           f'{other.claim} from {other.since:.3f} to '
                           f'{other.until:.3f}')

    def _holds_through(self, message: str, call: recorded.Call) -> list[str]:
        """Claims that hold a message all the time that a call takes."""
        return [hold.claim for hold in self._held[message]
                if hold.since <= call.invoked and call.completed < hold.until]

    # Deletions

    def _returned(self) -> Iterable[str]:
        for call in self._calls:
            if call.kind == 'claim':
                for message in self._gone_before(call):
                    yield f'{message} was claimed again, by {call.claim}'

    def _stale(self) -> Iterable[str]:
        for call in self._calls:
            if call.kind == 'list':
                yield from self._gone_before(call)

    def _gone_before(self, call: recorded.Call) -> Iterable[str]:
        """What a call returned though its deletion was acknowledged."""
        for message in call.messages:
            if any(each.outcome is OK and each.completed < call.invoked
                   for each in self._deletions[message]):
                yield message

    def _stolen(self) -> Iterable[str]:
        for message, deletions in self._deletions.items():
            for call in deletions:
                if (call.outcome is OK
                        and self._is_there_through(message, call)
                        and not self._may_delete(message, call)):
                    yield f'{message} was deleted with {call.claim}'

    def _may_delete(self, message: str, call: recorded.Call) -> bool:
        """Whether nothing forbids a deletion.

        The claim that it is made with, if any, may hold the message, and no
        other does for certain.
        """
        if any(each != call.claim
               for each in self._holds_through(message, call)):
            return False
        return call.claim is None or any(
            hold.claim == call.claim and call.invoked <= hold.over
            for hold in self._held[message])

    def _is_there_through(self, message: str, call: recorded.Call) -> bool:
        """Whether a message was there all the time, but for this call."""
        return any(
            post.kind == 'post' and post.outcome is OK
            and message in post.messages and post.completed < call.invoked
            for post in self._calls) and not self._gone_by_others(
                message, call)

    def _gone_by_others(self, message: str, call: recorded.Call) -> bool:
        """Whether another deletion may have been before a call was over."""
        return any(each is not call and each.outcome is not REFUSED
                   and each.invoked < call.completed
                   for each in self._deletions[message])

    # Refusals

    def _refused(self) -> Iterable[str]:
        for call in self._calls:
            if call.outcome is not REFUSED:
                continue
            if call.kind == 'delete':
                [message] = call.messages
                if call.claim in self._holds_through(
                        message, call) and not self._gone_by_others(
                            message, call):
                    yield f'{call.claim} was refused {message}'
            elif call.kind != 'renew':
                yield f'a {call.kind} was told: {call.error}'
            elif call.completed < self._claim_end(call.claim):
                yield f'{call.claim} was not renewed'

    def _claim_end(self, claim: str | None) -> float:
        for call in self._calls:
            if call.kind == 'claim' and call.claim == claim:
                return self._end(call)
        return -math.inf
