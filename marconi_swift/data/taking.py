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
"""Winning messages for a claim, or to pop them.

For each candidate, all candidates at once: its gate, the message, the
message's claim, and the gate again; see :mod:`marconi_swift.gate` for why at
most one claimer wins. A message is free if its own Content-Type names no
live claim. Candidates come from the queue's listing, oldest first while
nobody else is at them; after a loss they are drawn at random from a window
that grows with each loss and shrinks with each round without one.

A claimer that loses, or dies, can leave its name in a message or a gate, and
write over that of the winner, whose record alone then says what it holds. So
an attempt has a limit in time, and one that took longer has lost, whatever
its requests say. A name is void once every attempt that met its own must be
over too, unless its claim's record lists the message. And before a message
that somebody has named is won, the records of all claims are searched for
it, by their listing. A message that was never named needs no search.
"""

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
import dataclasses
import enum
import itertools
import math
import random
import time
from typing import Any
from typing import NamedTuple

from oslo_log import log as logging

from marconi_swift import gate
from marconi_swift import names
from marconi_swift import records
from marconi_swift.data import claim_records
from marconi_swift.data import contention
from marconi_swift.data import dead_letters
from marconi_swift.data import listing
from marconi_swift.data import once
from marconi_swift.data import spread
from marconi_swift.store import errors
from marconi_swift.store import objects

LOG = logging.getLogger(__name__)

#: Seconds after which the claims are listed again, to see whether those that
#: hold messages still do.
_BELIEVED = 60.0


@dataclasses.dataclass(frozen=True)
class Attempt:
    """One claimer's try for some messages.

    :param mine: what it writes into gates.
    :param at: when it began, by the clock that decides what has expired.
    :param began: the same moment by ``time.monotonic``.
    :param deadline: when it has lost, by ``time.monotonic``.
    """

    mine: records.Pass
    at: float
    began: float
    deadline: float

    @property
    def over(self) -> bool:
        return time.monotonic() >= self.deadline

    @property
    def half_over(self) -> bool:
        """Whether what is left is needed to win what is tried for.

        And to record it.
        """
        return time.monotonic() >= (self.began + self.deadline) / 2


@dataclasses.dataclass(frozen=True)
class Queue:
    """What taking messages needs to know of a queue."""

    store: objects.ObjectStore
    #: The containers of its messages.
    parts: spread.Parts
    claims: claim_records.ClaimRecords
    gates: gate.Gates
    dead_letters: dead_letters.DeadLetters
    #: Seconds; see the option claim_attempt_limit.
    attempt_limit: float
    #: Seconds; see the option clock_skew.
    clock_skew: float

    @property
    def messages(self) -> str:
        """Name of the first container of its messages."""
        return self.parts.first

    def attempt(self, ttl: int, grace: int) -> Attempt:
        """Begin to try for messages, for a claim of ``ttl`` seconds."""
        began = time.monotonic()
        at = records.now()
        claim = names.new_message_id(spread.draw(self.parts.count))
        hold = records.Hold(claim, math.floor(at) + ttl)
        return Attempt(records.Pass(hold, grace), at, began,
                       began + self.attempt_limit)

    def hurried(self, attempt: Attempt) -> 'Queue':
        """This queue, asking nothing again when an attempt is over."""
        return self.until(attempt.deadline)

    def until(self, deadline: float) -> 'Queue':
        """This queue, asking nothing again after a moment.

        :param deadline: by ``time.monotonic``.
        """
        store = self.store.until(deadline)
        return dataclasses.replace(
            self, store=store, parts=self.parts.until(deadline),
            claims=dataclasses.replace(self.claims, store=store),
            gates=dataclasses.replace(self.gates, store=store))

    def settled(self, hold: records.Hold, at: float) -> bool:
        """Whether all who met a name when it was written have recorded.

        What they won, that is; by everybody's clock.
        """
        begun = (names.posted_at(hold.claim)
                 if names.is_message_id(hold.claim) else 0.0)
        return (at - max(begun, hold.renewed)
                > self.attempt_limit * 2 + self.clock_skew)


class Won(NamedTuple):
    """A message that was won: its record and body, and what it was before."""

    message: records.Message
    body: Any
    before: records.Message


def take(
    queue: Queue, attempt: Attempt, limit: int,
) -> list[Won]:
    """Win up to ``limit`` messages, oldest first.

    Each message returned says so itself: it carries the attempt's hold, and
    nobody else is told that he won it while that hold lives, provided that
    it is recorded before the attempt is over.

    :raises marconi_swift.store.errors.SwiftError: nothing was won, and the
        queue could not be read or written.
    """
    return _Taking(queue.hurried(attempt), attempt, limit).run()


class Miss(enum.Enum):
    """Why a candidate was not won."""

    #: Somebody else is at it, or was.
    CONTENDED = 'contended'
    #: It is not to be had.
    GONE = 'gone'
    #: There was no time left to try for it.
    LATE = 'late'


class _Taking:
    """The state of one call of :func:`take`."""

    def __init__(self, queue: Queue, attempt: Attempt, limit: int) -> None:
        self._queue = queue
        self._attempt = attempt
        self._limit = limit
        self._contention = contention.of_this_process.get()
        self._won: list[Won] = []
        #: Hints of messages that seemed to be free, but whose gate was shut.
        self._shut: list[records.Message] = []
        self._error: Exception | None = None
        self._contended = False
        #: Whether candidates were tried for, and left out for want of time.
        self._tried = self._late = False
        #: Claims that were listed, and those whose records were read, for
        #: all candidates.
        self._holders = once.Once(lambda: queue.claims.holders(
            self._others_now, queue.parts.count))
        self._read: dict[str, once.Once[records.Claim | None]] = {}

    def run(self) -> list[Won]:
        candidates = self._candidates()
        left: list[records.Message] = []
        while self._wants_more():
            try:
                chosen, left = self._choose(left, candidates)
            except errors.SwiftError as error:
                self._error = error
                break
            if not chosen:
                break
            self._round(chosen, self._approach)
        if not self._won and self._wants_more():
            self._round(self._shut[:self._limit], self._retake)
        if self._late and not self._tried:
            raise errors.SwiftError(
                'Swift took so long to list the messages and claims of '
                f'container {self._queue.messages} that none can be claimed '
                'within claim_attempt_limit.')
        if self._error is not None:
            if not self._won:
                raise self._error
            LOG.log(
                logging.DEBUG if getattr(self._error, 'told', False)
                else logging.WARNING,
                'Claiming %(won)d of up to %(limit)d messages from container '
                '%(container)s; the others failed: %(error)s',
                {'won': len(self._won), 'limit': self._limit,
                 'container': self._queue.messages, 'error': self._error})
        return sorted(self._won, key=lambda won: won.message.id)

    def _wants_more(self) -> bool:
        """Whether to go on: not for long, and not to fight for the rest."""
        return (len(self._won) < self._limit and self._error is None
                and not (self._won and self._contended)
                and not self._attempt.half_over)

    def _candidates(self) -> Iterator[records.Message]:
        """Messages that may be had, oldest first, by the listings.

        Those that are free by their own word, and those that were claimed
        so long ago that a claimer who is not known to hold them does not.
        """
        queue, at = self._queue, self._attempt.at
        for hint in listing.search(queue.parts):
            self._check_parts()
            held = hint.held(self._others_now)
            if hint.delayed(at):
                continue
            if held is None or (
                    queue.settled(held, at)
                    and not self._contention.rightful(
                        hint.id, held, self._others_now)
                    and not self._listed_as_held(hint.id, held)):
                yield hint

    def _check_parts(self) -> None:
        """See that others will find a record of this claim."""
        if names.part_number(
                self._attempt.mine.hold.claim) >= self._queue.parts.count:
            raise errors.SwiftError(
                f'The queue of container {self._queue.messages} was created '
                'anew, with fewer containers: claim again.')

    def _listed_as_held(self, message_id: str, held: records.Hold) -> bool:
        """Whether a claim's row says that it won a message."""
        until = self._listed(message_id).get(held.claim)
        if until is None:
            return False
        # The message may say more: that of a renewal which nobody finished.
        # The record may be withdrawn: its claimer may not know yet that it
        # was stored.
        self._contention.learn_rightful(
            message_id, held, min(until, self._others_now + _BELIEVED))
        return True

    def _listed(self, message_id: str) -> Mapping[str, int]:
        """Live claims whose rows say that they won a message, until when."""
        return self._holders.get().get(records.digest(message_id), {})

    def _recorded(self, message_id: str) -> bool:
        """Whether a live claim's record lists a message.

        Searched for by the claims' listing, which was read when all who
        were trying for the message before had recorded what they won.
        """
        return any(self._holds(claim, message_id)
                   for claim in self._listed(message_id))

    def _holds(
        self, claim_id: str, message_id: str, until: float = 0.0,
    ) -> bool:
        """Whether a claim's record lists a message, and the claim is live.

        :param until: what else is known of when it ends. A renewal writes
            to the message and its gate before the record, whose replicas
            may have missed it.
        """
        claim = self._read.setdefault(claim_id, once.Once(
            lambda: self._queue.claims.read(claim_id))).get()
        if claim is None:
            return False
        return message_id in claim.won and (
            max(claim.until, until) > self._others_now)

    def _choose(
        self, left: list[records.Message],
        candidates: Iterator[records.Message],
    ) -> tuple[list[records.Message], list[records.Message]]:
        """Draw from a window of candidates; return what remains, too."""
        wanted = self._limit - len(self._won)
        level = self._contention.level(self._queue.messages)
        window = left + list(itertools.islice(
            candidates, max(0, (wanted << level) - len(left))))
        if not level:
            return window[:wanted], window[wanted:]
        drawn = set(random.sample(  # nosec B311 # no secret
            range(len(window)), min(wanted, len(window))))
        return ([window[index] for index in sorted(drawn)],
                [hint for index, hint in enumerate(window)
                 if index not in drawn])

    def _round(
        self, candidates: list[records.Message],
        attempt: Callable[[records.Message], Won | Miss],
    ) -> None:
        """Try all candidates at once, but those other threads are at.

        Swift may be too slow for all of them: then those that were begun in
        time are won, rather than none.
        """
        queue = self._queue

        def begin(hint: records.Message) -> Won | Miss:
            return Miss.LATE if self._attempt.half_over else attempt(hint)

        with self._contention.reserved(queue.messages, candidates) as mine:
            outcomes = queue.store.outcomes(begin, mine)
        for outcome in outcomes:
            if isinstance(outcome, Won):
                self._won.append(outcome)
            elif isinstance(outcome, Exception):
                self._error = self._error or outcome
            self._tried |= outcome is not Miss.LATE
            self._late |= outcome is Miss.LATE
        self._contended = Miss.CONTENDED in outcomes
        self._contention.learn(queue.messages, self._contended)

    def _approach(self, hint: records.Message) -> Won | Miss:
        # A claim that is over is still named in the gate, for as long as
        # Swift keeps that.
        return self._retake(hint) if hint.hold else self._try(hint)

    def _try(self, hint: records.Message) -> Won | Miss:
        """Try for a message that seems to be free."""
        if self._queue.gates.enter(
                hint.id, self._attempt.mine) is gate.Entry.ENTERED:
            return self._go_through(hint.id)
        # Most likely somebody is at it just now. Who stands there may be
        # void if the message is older than an attempt may take: nobody who
        # tried for a younger one is settled.
        age = self._attempt.at - names.posted_at(hint.id)
        if age > self._queue.attempt_limit:
            # Not left for a claim that wins nothing: while others are posted,
            # there may be none.
            if self._contention.still_shut(hint.id, self._attempt.began):
                return self._retake(hint)
            self._shut.append(hint)
        return Miss.CONTENDED

    def _retake(self, hint: records.Message) -> Won | Miss:
        """Try for a message whose gate may name somebody who is void."""
        queue = self._queue
        named = queue.gates.named(hint.id)
        if named is gate.UNREADABLE:
            return Miss.GONE
        if named is not None:
            if not self._void(named.hold, hint.id):
                return (Miss.GONE if self._settled(named.hold)
                        else Miss.CONTENDED)
            if not queue.gates.clear(hint.id, named):
                return Miss.CONTENDED
        if self._attempt.half_over:
            return Miss.LATE
        if queue.gates.enter(
                hint.id, self._attempt.mine) is gate.Entry.SHUT:
            if queue.gates.named(hint.id) is not None:
                return Miss.CONTENDED
            if self._attempt.half_over:
                return Miss.LATE
            # A replica missed that the gate was cleared, and refuses
            # whatever is conditional.
            queue.gates.write(hint.id, self._attempt.mine)
        return self._go_through(hint.id)

    def _go_through(self, message_id: str) -> Won | Miss:
        """Having entered the gate: read, write, and look back."""
        queue, attempt = self._queue, self._attempt
        found = listing.read(queue.store, queue.messages, message_id,
                             newest=True)
        if found is None:
            return Miss.GONE
        message = found.message
        held = message.held(self._others_now)
        if ((held is not None and not self._void(held, message_id))
                or message.delayed(attempt.at)
                or (message.claim_count and self._recorded(message_id))):
            self._turn_back(message_id)
            return Miss.CONTENDED
        if held is not None:
            # Nobody was given it by a claim that is void.
            message = dataclasses.replace(
                message, claim_count=max(0, message.claim_count - 1))
        taken = self._write(message, attempt.mine)
        if taken is None:
            if not attempt.over:
                self._turn_back(message_id)
            return Miss.CONTENDED
        named = queue.gates.named(message_id)
        if named in (None, gate.UNREADABLE) or attempt.over:
            return Miss.CONTENDED
        if named != attempt.mine:
            self._write(message, named)
            return Miss.CONTENDED
        if queue.dead_letters.due(message) and queue.dead_letters.opened():
            return self._bury(found)
        return Won(taken, found.body, message)

    def _bury(self, found: listing.Read) -> Miss:
        """Move a dead letter that was won, unless it is too late for that."""
        queue, attempt = self._queue, self._attempt
        # When nobody can have found our name void yet.
        end = attempt.began + 2 * queue.attempt_limit
        try:
            queue.store.check_time()
            queue.dead_letters.bury(
                found, queue.store, queue.store.until(end))
        except errors.SwiftError:
            if not attempt.over:
                raise
            return Miss.CONTENDED
        return Miss.GONE

    def _write(
        self, message: records.Message, holder: records.Pass,
    ) -> records.Message | None:
        """Write a claim to a message; None if it is too late for that."""
        if self._attempt.over:
            return None
        taken = dataclasses.replace(
            message.taken(holder.hold, self._attempt.at, holder.grace),
            claim_count=message.claim_count + 1)
        outcome = self._queue.store.annotate(
            names.home(self._queue.messages, message.id), message.id,
            content_type=taken.content_type(), delete_at=taken.delete_at)
        return taken if outcome is objects.Outcome.DONE else None

    def _turn_back(self, message_id: str) -> None:
        """Take our name out of a gate that we need not go through."""
        gates, mine = self._queue.gates, self._attempt.mine
        if gates.named(message_id) == mine:
            gates.clear(message_id, mine)

    @property
    def _others_now(self) -> float:
        """The earliest time that another process may think it is."""
        return self._attempt.at - self._queue.clock_skew

    def _settled(self, hold: records.Hold) -> bool:
        return self._queue.settled(hold, self._attempt.at)

    def _void(self, hold: records.Hold, message_id: str) -> bool:
        """Whether a name in a gate or a message counts for nothing."""
        if hold.until > self._others_now and not self._settled(hold):
            return False
        return not self._holds(hold.claim, message_id, hold.until)
