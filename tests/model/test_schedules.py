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
"""Claims, pops, deletions and failures, in many orders drawn at random.

Where :mod:`tests.model.test_interleavings` tries every order of a little,
this tries some orders of all there is: claimers with clocks of their own,
requests that are slow, lost or answered in vain, crashes, listings that lag.
Whatever happens is within the promise of ``claims.rst``.

A seed says all of a schedule. ``MARCONI_SWIFT_TEST_SCHEDULES`` says how many
to run and ``MARCONI_SWIFT_TEST_SEED`` the first; the others follow it.
"""

import collections
from collections.abc import Iterator
import contextlib
import math
import os
import random
import types
from typing import Any

import testtools
from testtools import content
from zaqar.storage import errors as zaqar_errors

from marconi_swift.store import errors
from tests.fixtures import fake_swift
from tests.model import history
from tests.model import world as worlds

SCHEDULES = int(os.environ.get('MARCONI_SWIFT_TEST_SCHEDULES', '250'))
SEED = int(os.environ.get('MARCONI_SWIFT_TEST_SEED', '1'))

MESSAGES = 3
CLAIMERS = (3, 6)

#: Seconds by which something is within its bound.
_WITHIN = 0.01

#: Steps after which a schedule is given up: it does not come to an end.
_STEPS = 20_000

#: A process that waits between two calls stands before this.
_IDLE = fake_swift.Request('IDLE', None, None, {}, {})

_UNDER_WAY = ('arrive', 'check', 'commit')


def points(step: str, request: fake_swift.Request) -> bool:
    """Before it arrives, between its stamp and its effect, and after.

    What was written is listed, sooner or later, whoever crashes.
    """
    writes = request.method not in ('GET', 'HEAD')
    return step in ('arrive', 'answer') or (
        writes and step in ('check', 'commit'))


class Simulation(worlds.Simulation):
    """One whose processes' clocks differ, and time their retries, too.

    :ivar skews: by how much each clock is fast, by the number of a process.
    """

    def _setUp(self) -> None:
        self.skews: dict[int, float] = {}
        super()._setUp()
        clock = types.SimpleNamespace(monotonic=self._time)
        self._patch('marconi_swift.store.retry.time', clock)
        self._patch('tenacity.time', clock)
        self._patch('marconi_swift.store.retry._backoff', lambda state: 0.1)

    def _time(self, *args: Any) -> float:
        return super()._time(*args) + self.skew(self._process())

    def skew(self, process: worlds.Process) -> float:
        return self.skews.get(process.number, 0.0)

    def _new_id(self, part: int | None = None) -> str:
        process = self._process()
        return process.new_id(self.world.now + self.skew(process), part)


class Chance(fake_swift.Fault):
    """Strikes whatever a claimer sends, now and then."""

    def __init__(self, schedule: 'Schedule', often: float) -> None:
        super().__init__(0, 'before', 0)
        self._schedule = schedule
        self._often = often
        self._drawn: str | None = None
        #: Who was struck last, and may well be struck again.
        self._victim: str | None = None

    def strikes(
        self, request: fake_swift.Request, when: fake_swift.When,
    ) -> bool:
        actor = self._schedule.acting
        if actor is None:
            return False
        draw = self._schedule.random
        if when == 'before':
            self._schedule.sent(request)
            often = 0.5 if self._victim == actor.name else self._often
            self._drawn = draw.choice(
                ('before', 'late', 'after')
            ) if self._often and draw.random() < often else None
            self._victim = actor.name if self._drawn else None
            self.outcome = draw.choice(
                (503, errors.Unanswered('Nobody knows.')))
        if when != self._drawn:
            return False
        self._schedule.struck(when)
        return True


class Schedule:
    """One run, as its seed says."""

    def __init__(self, simulation: Simulation, seed: int) -> None:
        self.events = collections.Counter[str]()
        self.trace: list[str] = []
        self.acting: worlds.Actor | None = None
        self.random = draw = random.Random(seed)
        self._simulation = simulation
        self._world = simulation.begin(points)
        self._world.random = random.Random(seed)
        claimers = draw.randint(*CLAIMERS)
        skew = draw.choice((0, worlds.SKEW / 2))
        simulation.skews = {
            number: draw.uniform(-skew, skew) for number in range(claimers)}
        self._history = history.History(
            self._world.observer.post(MESSAGES), slack=worlds.SKEW / 2)
        #: How often a moment is one of these.
        self._switches = draw.choice((0.05, 0.3, 1.0))
        self._crashes = draw.choice((0, 0.002, 0.01))
        self._moves = draw.choice((0.02, 0.1))
        self._lists = draw.choice((0.02, 0.3, 1.0))
        self._world.swift.faults.append(
            Chance(self, draw.choice((0, 0.02, 0.1))))
        self._world.swift.lag = self._lists < 1
        #: When what is late, or not listed, was sent or written.
        self._late: list[float] = []
        self._unlisted: list[float] = []
        #: When requests under way were sent, and to what they belong.
        self._sent: dict[str, float] = {}
        self._trying: set[str] = set()
        self._ends: list[float] = []
        for _ in range(claimers):
            self._world.start(self._client, at_once=False)

    # What happens

    def run(self) -> list[str]:
        """Run it to its end; what was wrong."""
        draw, actors = self.random, self._world.actors
        actor = actors[0]
        for _ in range(_STEPS):
            going = [actor for actor in actors if not actor.done]
            if not going:
                break
            if actor.done or draw.random() < self._switches:
                actor = draw.choice(going)
            if draw.random() < self._moves:
                self._move_clock()
            elif draw.random() < self._crashes:
                self._note(f'crash {actor.where}', f'{actor.name} crashes')
                actor.crash()
            else:
                self._advance(actor)
            self._catch_up()
        else:
            raise AssertionError('It does not end.')
        wrong = [f'{actor.name} raised {actor.error!r}'
                 for actor in actors if actor.error]
        self._end()
        return wrong + self._history.violations

    def _advance(self, actor: worlds.Actor) -> None:
        before = actor.where
        self.acting = actor
        actor.advance()
        self.acting = None
        self._note('step', f'{actor.name} {before}')
        if actor.step == 'arrive':
            self._sent[actor.name] = self._world.now

    def _move_clock(self) -> None:
        draw, now = self.random, self._world.now
        ahead = [end - now for end in self._ends if end > now]
        wanted = draw.choice([
            draw.uniform(0, 1), draw.uniform(0, worlds.LIMIT),
            draw.uniform(0, worlds.SETTLED),
            *(max(0, end + draw.uniform(-1, 4)) for end in ahead)])
        moved = round(min(wanted, self._patience()), 3)
        if moved > 0:
            self._world.now += moved
            self._note('clock', f'{moved} later')

    def _patience(self) -> float:
        """How long it may take until the next thing happens."""
        now = self._world.now
        sent = self._late + [
            self._sent[actor.name] for actor in self._world.actors
            if not actor.done and actor.step in _UNDER_WAY]
        bounds = [at + worlds.LIMIT - now for at in sent] + [
            at + 2 * worlds.LIMIT - now for at in self._unlisted]
        return min(bounds, default=math.inf) - _WITHIN

    def _catch_up(self) -> None:
        """Let some of what is late arrive, and list some of the rest."""
        draw, swift, now = self.random, self._world.swift, self._world.now
        if self._late and draw.random() < 0.05:
            swift.deliver()
            self._note('delivered', 'what was late arrives')
            self._late.clear()
        self._unlisted += [now] * (len(swift.pending) - len(self._unlisted))
        if self._unlisted and draw.random() < self._lists:
            number = draw.randrange(len(self._unlisted))
            container, name, row = swift.pending.pop(number)
            container.merge(name, row)
            self._note('listed late', f'{name} is listed')
            del self._unlisted[number]
        if draw.random() < 0.005:
            swift.expire()
            self._note('expirer', 'the expirer runs')

    def _end(self) -> None:
        """Pass every bound, and see what can be claimed."""
        world = self._world
        world.swift.deliver()
        world.swift.lag = False
        world.swift.flush_listings()
        found: list[str] = []
        world.now = max([world.now, *self._ends]) + worlds.TTL
        for _ in range(3):
            found += world.observer.create(limit=MESSAGES)[1]
            world.now += worlds.SETTLED
        self._history.remain(found)
        if len(found) > len(set(found)):
            self._history.violations.append('shared: in the end.')

    # What claimers do

    def _client(self, process: worlds.Process) -> None:
        draw = self.random
        for _ in range(draw.randint(1, 4)):
            self._idle()
            if draw.random() < 0.2:
                self._pop(process)
                continue
            claim, held = self._claim(process)
            while claim and draw.random() < 0.7:
                self._idle()
                what = draw.random()
                if what < 0.4:
                    self._delete(process, claim, draw.choice(held))
                elif what < 0.75:
                    claim = self._renew(process, claim)
                else:
                    self._release(process, claim)
                    claim = None

    def _idle(self) -> None:
        if self.acting is not None:
            self.acting.pause('idle', _IDLE)

    def _claim(self, process: worlds.Process) -> tuple[str | None, list[str]]:
        began, ttl = self._history.begin(), self._ttl()
        until = self._until(process, ttl)
        with self._answered('claim'):
            claim, messages = process.create(ttl, 2)
            if claim is None:
                self._note('claim of nothing', f'{process.number}: nothing')
                return None, []
            self._history.claimed(
                began, claim, messages, until, self._world.now)
            self._note('claim', f'{process.number}: {claim} {messages}')
            return claim, messages
        return None, []

    def _renew(self, process: worlds.Process, claim: str) -> str | None:
        """Renew a claim; None if there is none any more."""
        ttl = self._ttl()
        until = self._until(process, ttl)
        self._history.renews(claim, until)
        with self._answered('renew', process, claim):
            process.renew(claim, ttl)
            self._history.renewed(claim, until)
            self._note('renew', f'{claim} is renewed')
        return claim if self._history.knows(claim) else None

    def _release(self, process: worlds.Process, claim: str) -> None:
        self._history.ends(claim)
        with self._answered('release', process, claim):
            process.release(claim)
            self._note('release', f'{claim} is released')

    def _delete(
        self, process: worlds.Process, claim: str, message: str,
    ) -> None:
        with self._answered('delete', process, claim, message):
            process.delete(message, claim)
            self._history.deleted(message)
            self._note('delete', f'{claim} deletes {message}')

    def _pop(self, process: worlds.Process) -> None:
        began = self._history.begin()
        with self._answered('pop'):
            messages = process.pop(self.random.randint(1, 2))
            self._history.popped(began, messages, self._world.now)
            self._note('pop' if messages else 'pop of nothing',
                       f'{process.number} pops {messages}')

    @contextlib.contextmanager
    def _answered(
        self, what: str, process: worlds.Process | None = None,
        claim: str | None = None, message: str | None = None,
    ) -> Iterator[None]:
        try:
            yield
        except zaqar_errors.ConnectionError:
            self._note(f'{what} unanswered', f'{what} has no answer')
        except (zaqar_errors.ClaimDoesNotExist,
                zaqar_errors.MessageNotClaimed,
                zaqar_errors.MessageNotClaimedBy) as exc:
            self._note(f'{what} refused', f'{what} is refused: {exc!r}')
            if process is None or claim is None:
                raise
            self._history.refused(
                claim, message,
                self._world.now + self._simulation.skew(process))
            if message is None:
                self._history.ends(claim)

    def _ttl(self) -> int:
        return self.random.choice((21, 25, 40, 60, 150))

    def _until(self, process: worlds.Process, ttl: int) -> float:
        """The end of what is claimed or renewed now, or later."""
        at = self._world.now + self._simulation.skew(process)
        self._ends.append(float(math.floor(at) + ttl))
        return self._ends[-1]

    # What befalls requests

    def sent(self, request: fake_swift.Request) -> None:
        if (request.method == 'DELETE' and request.container
                and request.container.startswith(worlds.MESSAGES)):
            self._history.doubt(request.name or '')

    def struck(self, when: str) -> None:
        if when == 'late':
            self._late.append(self._world.now)
        self._note(f'fault {when}', f'fault {when}')

    def _note(self, kind: str, text: str) -> None:
        self.events[kind] += 1
        self.trace.append(f'{self._world.now - worlds.START:.3f} {text}')


class TestSchedules(testtools.TestCase):

    parts = 1

    def setUp(self) -> None:
        super().setUp()
        self.simulation = self.useFixture(
            Simulation(CLAIMERS[1], self.parts))

    def schedule(self, seed: int) -> tuple[Schedule, list[str]]:
        schedule = Schedule(self.simulation, seed)
        try:
            return schedule, schedule.run()
        finally:
            self.simulation.world.end()

    def test_keep_the_promise(self) -> None:
        events = collections.Counter[str]()
        for seed in range(SEED, SEED + SCHEDULES):
            schedule, wrong = self.schedule(seed)
            events += schedule.events
            if wrong:
                self.addDetail('trace', content.text_content(
                    '\n'.join(schedule.trace)))
                self.fail(f'MARCONI_SWIFT_TEST_SEED={seed} '
                          f'MARCONI_SWIFT_TEST_SCHEDULES=1: {wrong}')
        self.addDetail('events', content.text_content(str(events)))

    def test_are_determined_by_their_seeds(self) -> None:
        for seed in range(SEED, SEED + 5):
            once, _ = self.schedule(seed)
            again, _ = self.schedule(seed)
            self.assertEqual(once.trace, again.trace)


class TestSchedulesOfSpreadQueue(TestSchedules):

    parts = 2


class TestHistory(testtools.TestCase):
    """The checker finds what it is there for."""

    def setUp(self) -> None:
        super().setUp()
        self.history = history.History(['m', 'n'], slack=1)

    def found(self, *kinds: str) -> None:
        self.assertEqual(list(kinds), [
            violation.split(': ')[1]
            for violation in self.history.violations])

    def claim(self, name: str, until: float, now: float,
              message: str = 'm') -> None:
        self.history.claimed(
            self.history.begin(), name, [message], until, now)

    def test_one_claim_after_the_other_is_well(self) -> None:
        self.claim('a', 10, now=0)
        self.history.renews('a', 20)
        self.history.renewed('a', 20)
        self.claim('b', 40, now=21)
        self.history.ends('b')
        self.claim('c', 60, now=22)
        self.history.deleted('m')
        self.claim('d', 60, now=22, message='n')
        self.history.remain(['n'])
        self.found()

    def test_two_claims_at_once(self) -> None:
        self.claim('a', 10, now=0)
        self.claim('b', 20, now=10.5)
        self.found('shared')

    def test_after_a_renewal(self) -> None:
        self.claim('a', 10, now=0)
        self.history.renews('a', 30)
        self.history.renewed('a', 30)
        self.claim('b', 40, now=20)
        self.found('shared')

    def test_popped_by_two_at_once(self) -> None:
        one, other = self.history.begin(), self.history.begin()
        self.history.popped(one, ['m'], 1)
        self.history.popped(other, ['m'], 2)
        self.found('shared')

    def test_delivered_after_its_deletion(self) -> None:
        self.claim('a', 10, now=0)
        self.history.deleted('m')
        self.claim('b', 40, now=20)
        self.history.popped(self.history.begin(), ['n'], 30)
        self.history.popped(self.history.begin(), ['n'], 30)
        self.found('deleted', 'deleted')

    def test_never_posted(self) -> None:
        self.claim('a', 10, now=0, message='x')
        self.found('unknown')

    def test_lost(self) -> None:
        self.history.doubt('n')
        self.history.remain([])
        self.found('lost')

    def test_a_live_claim_refused(self) -> None:
        self.claim('a', 10, now=0)
        self.history.refused('a', 'n', 5)
        self.history.refused('a', 'm', 11)
        self.found()
        self.history.refused('a', 'm', 5)
        self.found('refused')
