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

A claimer that loses can leave its name in a message. That name is void once
the claim's record is there and does not list the message; who won nothing,
but left its name, records that. A claimer can die before it does. So an
attempt has a limit in time, and one that took longer has lost, whatever its
requests say: the names of claims that were begun long enough ago, and have
no record, are void too. A claimer that finds too few free messages looks for
void names.
"""

import collections
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence
import contextlib
import dataclasses
import enum
import itertools
import math
import random
import threading
import time

from oslo_log import log as logging

from marconi_swift import gate
from marconi_swift import names
from marconi_swift import records
from marconi_swift.data import claim_records
from marconi_swift.data import dead_letters
from marconi_swift.data import listing
from marconi_swift.store import objects
from marconi_swift.store import per_process

LOG = logging.getLogger(__name__)

#: Rows of the first listing, enough to look past hundreds of claimed ones.
_FIRST_ROWS = 1000

#: The window of candidates is at most this power of two times what is
#: wanted.
_WIDEST = 6

#: Queues whose contention a process remembers, and claims on messages that
#: it knows to be rightful.
_REMEMBERED = 1000
_REMEMBERED_HOLDS = 20000


@dataclasses.dataclass(frozen=True)
class Attempt:
    """One claimer's try for some messages.

    :param mine: what it writes into gates.
    :param ttl: seconds for which it will hold what it wins.
    :param at: when it began, by the clock that decides what has expired.
    :param deadline: when it has lost, by ``time.monotonic``.
    """

    mine: records.Pass
    ttl: int
    at: float
    deadline: float

    @property
    def over(self) -> bool:
        return time.monotonic() >= self.deadline


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What became of an attempt.

    :param won: messages, oldest first, each as the attempt wrote it.
    :param traces: whether its name may stand in messages it did not win.
    :param answered: whether all of its requests were answered.
    """

    attempt: Attempt
    won: Sequence[listing.Read]
    traces: bool
    answered: bool

    def record(self) -> records.Claim:
        """The claim that says what was won, and so what was not."""
        mine = self.attempt.mine
        return records.Claim(
            id=mine.hold.claim, ttl=self.attempt.ttl, grace=mine.grace,
            renewed=self.attempt.at, until=mine.hold.until, entered=mine,
            messages={read.message.id: read.message for read in self.won},
            answered=self.answered)


@dataclasses.dataclass(frozen=True)
class Queue:
    """What taking messages needs to know of a queue."""

    store: objects.ObjectStore
    #: Name of the container of its messages.
    messages: str
    claims: claim_records.ClaimRecords
    gates: gate.Gates
    dead_letters: dead_letters.DeadLetters
    #: Seconds; see the option claim_attempt_limit.
    attempt_limit: float
    #: Seconds; see the option clock_skew.
    clock_skew: float

    def attempt(self, ttl: int, grace: int) -> Attempt:
        """Begin to try for messages, for a claim of ``ttl`` seconds."""
        deadline = time.monotonic() + self.attempt_limit
        at = records.now()
        hold = records.Hold(names.new_message_id(), math.floor(at) + ttl)
        return Attempt(records.Pass(hold, grace), ttl, at, deadline)

    def settled(self, claim: str, at: float) -> bool:
        """Whether the attempt of a claim is over by everybody's clock."""
        begun = names.posted_at(claim) if names.is_message_id(claim) else 0.0
        return at - begun > self.attempt_limit * 2 + self.clock_skew

    def free(self, message: records.Message, at: float) -> bool:
        """Whether a message can be claimed, as far as it knows itself.

        A claim of another process is over when it is by either clock.
        """
        held = message.held(at - self.clock_skew)
        return held is None and not message.delayed(at)


class _Contention:
    """What the threads of a process tell one another of their claims."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._busy: set[tuple[str, str]] = set()
        self._levels: collections.OrderedDict[str, int] = (
            collections.OrderedDict())
        self._rightful: set[tuple[str, records.Hold]] = set()

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

    def rightful(self, message_id: str, hold: records.Hold) -> bool:
        """Whether a hold was seen in a claim's record."""
        return (message_id, hold) in self._rightful

    def learn_rightful(self, message_id: str, hold: records.Hold) -> None:
        with self._lock:
            if len(self._rightful) >= _REMEMBERED_HOLDS:
                self._rightful.clear()
            self._rightful.add((message_id, hold))

    def level(self, container: str) -> int:
        return self._levels.get(container, 0)

    def learn(self, container: str, lost: bool) -> None:
        with self._lock:
            level = self._levels.pop(container, 0) + (1 if lost else -1)
            if level > 0:
                self._levels[container] = min(level, _WIDEST)
            if len(self._levels) > _REMEMBERED:
                self._levels.popitem(last=False)


_contention = per_process.PerProcess(_Contention)


def take(queue: Queue, attempt: Attempt, limit: int) -> Outcome:
    """Try to win up to ``limit`` messages.

    Each message that was won says so itself: it carries the attempt's hold,
    and nobody else is told that he won it while that hold lives, provided
    that it is recorded before the attempt is over.

    :raises marconi_swift.store.errors.SwiftError: nothing was won, and the
        queue could not be read or written.
    """
    return _Taking(queue, attempt, limit).run()


class Miss(enum.Enum):
    """Why a candidate was not won."""

    #: Somebody else is at it, or was.
    CONTENDED = 'contended'
    #: It is not to be had.
    GONE = 'gone'


class _Taking:
    """The state of one call of :func:`take`."""

    def __init__(self, queue: Queue, attempt: Attempt, limit: int) -> None:
        self._queue = queue
        self._attempt = attempt
        self._limit = limit
        self._won: list[listing.Read] = []
        #: Hints of messages whose gate or claim may be void.
        self._doubtful: list[records.Message] = []
        #: What remains of them to be looked at, once that has begun.
        self._suspects: list[records.Message] | None = None
        self._error: Exception | None = None
        self._traces = False

    def run(self) -> Outcome:
        free = self._free_hints()
        left: list[records.Message] = []
        while self._wants_more():
            chosen, left = self._choose(left, free)
            if not chosen:
                break
            self._round(chosen, self._try)
        while self._wants_more() and (chosen := self._next_doubtful()):
            self._round(chosen, self._retake)
        if self._error is not None:
            if not self._won:
                raise self._error
            LOG.warning(
                'Claiming %(won)d of up to %(limit)d messages from container '
                '%(container)s; the others failed: %(error)s',
                {'won': len(self._won), 'limit': self._limit,
                 'container': self._queue.messages, 'error': self._error})
        return Outcome(
            self._attempt, sorted(self._won, key=lambda won: won.message.id),
            traces=self._traces, answered=self._error is None)

    def _wants_more(self) -> bool:
        return (len(self._won) < self._limit and self._error is None
                and not self._attempt.over)

    def _free_hints(self) -> Iterator[records.Message]:
        """Free messages by the listing; sets aside those in doubt."""
        queue, at = self._queue, self._attempt.at
        for hint in listing.hints(queue.store, queue.messages,
                                  first=_FIRST_ROWS):
            if queue.free(hint, at):
                yield hint
            elif not hint.delayed(at):
                self._doubtful.append(hint)

    def _choose(
        self, left: list[records.Message], free: Iterator[records.Message],
    ) -> tuple[list[records.Message], list[records.Message]]:
        """Draw the next candidates from a window; what remains of it."""
        wanted = self._limit - len(self._won)
        level = _contention.get().level(self._queue.messages)
        window = left + list(itertools.islice(
            free, max(0, (wanted << level) - len(left))))
        if not level:
            return window[:wanted], window[wanted:]
        chosen = set(random.sample(range(len(window)),
                                   min(wanted, len(window))))
        return ([hint for index, hint in enumerate(window)
                 if index in chosen],
                [hint for index, hint in enumerate(window)
                 if index not in chosen])

    def _round(
        self, candidates: list[records.Message],
        attempt: Callable[[records.Message], listing.Read | Miss],
    ) -> None:
        """Try all candidates at once, but those other threads are at."""
        queue, contention = self._queue, _contention.get()
        with contention.reserved(queue.messages, candidates) as mine:
            outcomes = queue.store.outcomes(attempt, mine)
        for outcome in outcomes:
            if isinstance(outcome, listing.Read):
                self._won.append(outcome)
            elif isinstance(outcome, Exception):
                self._error = self._error or outcome
        contention.learn(queue.messages, Miss.CONTENDED in outcomes)

    def _try(self, hint: records.Message) -> listing.Read | Miss:
        """Try for a message that seems to be free."""
        if self._queue.gates.enter(
                hint.id, self._attempt.mine) is gate.Entry.SHUT:
            self._doubtful.append(hint)
            return Miss.CONTENDED
        return self._go_through(hint.id)

    def _retake(self, hint: records.Message) -> listing.Read | Miss:
        """Try for a message whose gate and claim are void, if they are."""
        queue = self._queue
        named = queue.gates.named(hint.id)
        if named is not None and not self._void(named.hold, hint.id):
            return Miss.GONE
        found = listing.read(queue.store, queue.messages, hint.id,
                             newest=True)
        if found is None:
            return Miss.GONE
        held = found.message.held(self._others_now)
        if held is not None and not self._void(held, hint.id):
            return Miss.GONE
        if named is not None and not queue.gates.clear(hint.id, named):
            return Miss.CONTENDED
        if queue.gates.enter(
                hint.id, self._attempt.mine) is gate.Entry.SHUT:
            return Miss.CONTENDED
        return self._go_through(hint.id, void=held)

    def _go_through(
        self, message_id: str, void: records.Hold | None = None,
    ) -> listing.Read | Miss:
        """Having entered the gate: read, write, and look back.

        :param void: a hold that counts for nothing.
        """
        queue, attempt = self._queue, self._attempt
        found = listing.read(queue.store, queue.messages, message_id,
                             newest=True)
        if found is None:
            return Miss.GONE
        held = found.message.held(self._others_now)
        if (held not in (None, void)
                or found.message.delayed(attempt.at)):
            self._turn_back(message_id)
            return Miss.CONTENDED
        taken = self._write(found.message, attempt.mine)
        if taken is None:
            return Miss.CONTENDED
        named = queue.gates.named(message_id)
        if named != attempt.mine or attempt.over:
            if named is None or self._write(found.message, named) is None:
                self._traces = True
            return Miss.CONTENDED
        if queue.dead_letters.due(found.message):
            queue.dead_letters.bury(found)
            return Miss.GONE
        return listing.Read(taken, found.body)

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
            self._queue.messages, message.id,
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

    def _void(self, hold: records.Hold, message_id: str) -> bool:
        """Whether a name in a gate or a message counts for nothing."""
        claim = self._queue.claims.read(hold.claim)
        if claim is not None and claim.holds(message_id, self._others_now):
            return False
        if claim is not None and claim.answered:
            return True
        return (hold.until <= self._others_now
                or self._queue.settled(hold.claim, self._attempt.at))

    def _next_doubtful(self) -> list[records.Message]:
        """The next messages to look at more closely, at most as wanted."""
        if self._suspects is None:
            self._suspects = self._unrecorded(self._doubtful)
        wanted = self._limit - len(self._won)
        chosen = self._suspects[:wanted]
        del self._suspects[:wanted]
        return chosen

    def _unrecorded(
        self, doubtful: list[records.Message],
    ) -> list[records.Message]:
        """Leave out what is rightly held, or still being tried for.

        By the listing of claims: a hint, but a fair one. It is not asked
        again about what it was asked before.
        """
        contention = _contention.get()
        held = {hint.id: hint.hold for hint in doubtful
                if hint.held(self._others_now)}
        unknown = {message_id: hold for message_id, hold in held.items()
                   if hold and not contention.rightful(message_id, hold)}
        listed = self._queue.claims.listed() if unknown else {}
        suspects = {hint.id for hint in doubtful if hint.id not in held}
        for message_id, hold in unknown.items():
            won = listed.get(hold.claim)
            if won is None:
                if self._queue.settled(hold.claim, self._attempt.at):
                    suspects.add(message_id)
            elif records.digest(message_id) in won:
                contention.learn_rightful(message_id, hold)
            else:
                suspects.add(message_id)
        return [hint for hint in doubtful if hint.id in suspects]
