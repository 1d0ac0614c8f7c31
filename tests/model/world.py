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
"""Processes of this driver that share one Swift, moved a step at a time.

The code that runs is the real one, controllers and all. Simulated are Swift
(:mod:`tests.fixtures.fake_swift`), the clocks, the ids, and who is a process
of its own. A process runs its script in a thread that stops before each
*point*; one thread runs at a time, and which is next is the test's choice,
so a run is determined by its choices alone.

========  ==================  ==========================================
request   points, by default  why
========  ==================  ==========================================
PUT of    arrive check        its stamp, its verdict and its write each
a gate    commit              race with those of others
other     arrive answer       it has one writer: what counts is before and
PUTs                          after it
POST      arrive commit       it is judged on what is there when it
DELETE                        arrives, and may land after what is newer
GET HEAD  arrive              a read is one step
========  ==================  ==========================================

No points are requests to containers: listings are hints, read before
anybody writes, and containers are made in advance.
"""

from collections.abc import Callable
from collections.abc import Iterator
import itertools
import pathlib
import random
import re
import threading
import types
from typing import Any

import fixtures

from marconi_swift import driver
from marconi_swift import names
from marconi_swift.data import contention
from marconi_swift.store import transport
from tests.fixtures import conf
from tests.fixtures import fake_swift

QUEUE, PROJECT = 'q', 'p'
MESSAGES = names.messages('marconi', PROJECT, QUEUE)
CLAIMS = names.claims('marconi', PROJECT, QUEUE)

START = 1_000_000_000.0

#: The options that bound an attempt, and when its names are void.
LIMIT, SKEW = 10.0, 2.0
SETTLED = 2 * LIMIT + SKEW + 1

#: Seconds of a claim, well over the time after which names are void.
TTL = 300

Points = Callable[[str, fake_swift.Request], bool]
Script = Callable[['Process'], Any]

#: In a listing's row; it is made of a stamp, and this driver ignores it.
_LAST_MODIFIED = re.compile(rb'"last_modified": "[^"]*"')

_here = threading.local()


class Crashed(BaseException):
    """Ends the thread of a process that is no more.

    No Exception, so that nothing on its way handles it.
    """


def default_points(step: str, request: fake_swift.Request) -> bool:
    if request.name is None:
        return False
    if request.method == 'PUT' and request.name.startswith('gate/'):
        return step in ('arrive', 'check', 'commit')
    if request.method in ('POST', 'DELETE'):
        return step in ('arrive', 'commit')
    return step == 'arrive' or (
        request.method == 'PUT' and step == 'answer')


class Process:
    """What processes do not share: drivers, contention, ids, a thread."""

    def __init__(self, number: int, data: driver.DataDriver) -> None:
        self.number = number
        self.claims = data.claim_controller
        self.messages = data.message_controller
        self.elections = data.account.elections
        self.known = data.account.spread.known
        self.reset()

    def reset(self) -> None:
        self.contention = contention.Contention()
        self.known.clear()
        self._made = itertools.count()

    def new_id(self, now: float, part: int | None = None) -> str:
        time = f'{int(now * 1000):012x}'
        version = 7 if part is None else 8
        return (f'{time[:8]}-{time[8:]}-{version}{self.number:03x}-8000-'
                f'{self.number:02x}00{part or 0:x}{next(self._made):07x}')

    def create(
        self, ttl: int = TTL, limit: int = 10,
    ) -> tuple[str | None, list[str]]:
        """Claim; the claim's id and those of its messages."""
        claim, messages = self.claims.create(
            QUEUE, {'ttl': ttl, 'grace': 60}, PROJECT, limit)
        return claim, [message['id'] for message in messages]

    def renew(self, claim: str, ttl: int = TTL) -> None:
        self.claims.update(QUEUE, claim, {'ttl': ttl, 'grace': 60}, PROJECT)

    def release(self, claim: str) -> None:
        self.claims.delete(QUEUE, claim, PROJECT)

    def delete(self, message: str, claim: str | None = None) -> None:
        self.messages.delete(QUEUE, message, PROJECT, claim)

    def pop(self, limit: int = 10) -> list[str]:
        return [message['id'] for message in
                self.messages.pop(QUEUE, limit, PROJECT)]

    def post(self, count: int = 1, ttl: int = 100_000) -> list[str]:
        return self.messages.post(
            QUEUE, [{'ttl': ttl, 'body': number} for number in range(count)],
            'poster', PROJECT)


class Actor:
    """A process at its script.

    :ivar result: what the script returned, once it is ``done``.
    :ivar error: or what it raised.
    :ivar history: what it has learned: answers, and times.
    """

    def __init__(self, process: Process, script: Script) -> None:
        self.process = process
        self.done = False
        self.result: Any = None
        self.error: Exception | None = None
        self.history: list[str] = []
        self.step = ''
        self.request: fake_swift.Request | None = None
        #: That of the request under way, once it has arrived.
        self.stamp: float | None = None
        self._script = script
        self.crashed = False
        # Each is released by the one and acquired by the other, in turn: a
        # semaphore would do the same in twice the time.
        self._go, self._paused = threading.Lock(), threading.Lock()
        self._go.acquire()
        self._paused.acquire()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def name(self) -> str:
        return chr(ord('A') + self.process.number)

    @property
    def where(self) -> str:
        """The step that it will take next."""
        if self.done or self.request is None:
            return 'done' if self.done else 'begin'
        name = (self.request.name or '').split('/')[0]
        kind = name if name in ('gate', 'claim') else 'message'
        return f'{self.request.method} {kind} {self.step}'

    @property
    def place(self) -> tuple[str | None, str | None]:
        """The object that its request is for."""
        if self.request is None:
            return None, None
        return self.request.container, self.request.name

    def advance(self) -> None:
        """Take the next step, up to the point after it."""
        self._go.release()
        self._paused.acquire()

    def to(self, where: str) -> None:
        """Go on until the next step is this one."""
        while not self.where.startswith(where):
            if self.done:
                raise AssertionError(f'{self.name} never came to {where}')
            self.advance()

    def finish(self) -> Any:
        while not self.done:
            self.advance()
        if self.error:
            raise self.error
        return self.result

    def crash(self) -> None:
        """Stop for ever; the step it stands before is not taken."""
        if not self.done:
            self.crashed = True
            self.advance()
            self._thread.join()

    def pause(self, step: str, request: fake_swift.Request) -> None:
        self.step, self.request = step, request
        self._paused.release()
        self._go.acquire()
        if self.crashed:
            raise Crashed

    def _run(self) -> None:
        _here.actor = self
        self._go.acquire()
        try:
            if not self.crashed:
                self.result = self._script(self.process)
        except Exception as exc:
            # What the script was refused; the test knows what may be.
            self.error = exc
        except Crashed:
            self.result = None
        finally:
            self.done = True
            self._paused.release()


class World:
    """One Swift, one clock, and the processes that act on them.

    :param parts: over how many containers the queue is spread.
    :ivar observer: a process that acts at once, and at no point.
    """

    def __init__(
        self, processes: list[Process], points: Points, parts: int = 1,
    ) -> None:
        self.now = START
        self.swift = fake_swift.FakeSwift(clock=lambda: self.now)
        for container, number in itertools.product(
                (MESSAGES, CLAIMS), range(parts)):
            self.swift.request(
                'PUT', names.part(container, number),
                headers={f'X-Container-Meta-Spread-{parts}': '1'})
        self.swift.on_step = self._on_step
        self.random = random.Random(0)
        self.actors: list[Actor] = []
        self.ids: dict[str, int] = {}
        self.observer = processes[-1]
        self._processes = processes
        self._points = points
        for process in processes:
            process.reset()

    def start(self, script: Script, *, at_once: bool = True) -> Actor:
        """Let another process begin, up to its first point.

        :param at_once: otherwise to begin is a step of its own, so that
            clocks and listings can have moved on by then.
        """
        actor = Actor(self._processes[len(self.actors)], script)
        self.actors.append(actor)
        if at_once:
            actor.advance()
        return actor

    def end(self) -> None:
        for actor in self.actors:
            actor.crash()

    def key(self, symmetric: bool = False) -> str:
        """All that what happens next depends on, in a canonical form.

        Of stamps it is only their order within each object, those of
        requests under way included: whatever arrives later is newer than
        all of them. A process is where its history has brought it, since
        its code is deterministic. Rows of listings are left out: without
        ``lag`` they follow from the objects.

        :param symmetric: the scripts are the same, so states that differ
            only in who is who are one.
        """
        ranks = dict[Any, list[float]]()
        stored = []
        for place, files in self.swift.stored():
            ranks[place] = sorted(
                {stamp for stamp, _ in files}
                | {actor.stamp for actor in self.actors
                   if actor.place == place and actor.stamp})
            stored.append(f'{place}' + '.'.join(
                f'{ranks[place].index(stamp)}{what}'
                for stamp, what in files))
        parts = []
        for actor in self.actors:
            # A place that was never looked at has no stamps but this one.
            others = ranks.get(actor.place, [])
            rank = others.index(actor.stamp) if (
                actor.stamp in others) else len(others)
            parts.append(f'{actor.where}@{rank if actor.stamp else ""}:'
                         f'{"|".join(actor.history)}')
        text = '\n'.join([str(self.now), *stored])
        if not symmetric:
            return '\n'.join([text, *parts])
        return min(self._renamed(text, parts))

    def _renamed(self, text: str, parts: list[str]) -> Iterator[str]:
        for order in itertools.permutations(range(len(parts))):
            key = '\n'.join([text, *(parts[number] for number in order)])
            for claim, number in self.ids.items():
                if number < len(parts):
                    key = key.replace(claim, f'<{order.index(number)}>')
            yield key

    def _on_step(self, step: str, request: fake_swift.Request) -> None:
        actor = getattr(_here, 'actor', None)
        if actor is None:
            return
        if step == 'check':
            # It arrived in this very step.
            actor.stamp = self.swift.last_stamp
        if self._points(step, request):
            actor.pause(step, request)


class _Wire:
    """The connection of all drivers: to the Swift of the current world."""

    def __init__(self, simulation: 'Simulation') -> None:
        self._simulation = simulation

    def request(self, method: str, container: str | None = None,
                name: str | None = None, **rest: Any) -> transport.Response:
        actor = getattr(_here, 'actor', None)
        answer = self._simulation.world.swift.request(
            method, container, name, **rest)
        if actor is not None:
            actor.stamp = None
            body = _LAST_MODIFIED.sub(b'', answer.body)
            actor.history.append(
                f'{answer.status}{answer.headers.get("content-type")}{body!r}')
        return answer

    def info(self) -> transport.Response:
        return self._simulation.world.swift.info()

    def close(self) -> None:
        """Nothing is open."""


class Simulation(fixtures.Fixture):
    """Makes worlds, one after the other, with the same processes.

    :param width: how many processes there are beside the observer.
    :param parts: over how many containers the queue is spread.
    """

    def __init__(
        self, width: int, parts: int = 1, **settings: Any,
    ) -> None:
        super().__init__()
        self._width = width
        self._parts = parts
        self._settings = settings
        if parts > 1:
            # What is known stays so, however long a run takes.
            self._settings |= {
                'containers_per_queue': parts, 'cache_time': 1_000_000}

    def _setUp(self) -> None:
        self._patch('marconi_swift.driver.connect',
                    lambda settings: _Wire(self))
        folder = self.useFixture(fixtures.TempDir()).path
        path = str(pathlib.Path(folder, 'zaqar.conf'))
        conf.write(
            path, auth_type='none', endpoint_override='http://[::1]/',
            fan_out=1, claim_attempt_limit=LIMIT, clock_skew=SKEW,
            **self._settings)
        read = conf.read(path)
        control = driver.ControlDriver(read, None)
        self._processes = [
            Process(number, driver.DataDriver(read, None, control))
            for number in range(self._width + 1)]
        self._patch('oslo_utils.timeutils.utcnow_ts', self._time)
        self._patch('marconi_swift.data.taking.time',
                    types.SimpleNamespace(monotonic=self._time))
        self._patch('marconi_swift.election.time',
                    types.SimpleNamespace(monotonic=self._time))
        self._patch('marconi_swift.election.uuid', types.SimpleNamespace(
            uuid4=lambda: types.SimpleNamespace(hex=self._new_id())))
        self._patch('marconi_swift.data.contention.of_this_process',
                    types.SimpleNamespace(
                        get=lambda: self._process().contention))
        self._patch('marconi_swift.data.taking.random',
                    types.SimpleNamespace(
                        sample=lambda *args: self.world.random.sample(*args)))
        self._patch('marconi_swift.data.spread.random',
                    types.SimpleNamespace(
                        randrange=lambda count:
                            self.world.random.randrange(count)))
        self._patch('marconi_swift.names.new_message_id', self._new_id)
        self._patch('tenacity.nap.time.sleep', lambda seconds: None)
        # This Swift finds what it has; and what a process remembers of that
        # from one world would make it take other steps in the next.
        self._patch('marconi_swift.store.objects.ObjectStore._is_looked_up',
                    lambda store, container: False)

    def begin(self, points: Points = default_points) -> World:
        self.world = World(self._processes, points, self._parts)
        return self.world

    def _patch(self, name: str, value: Any) -> None:
        self.useFixture(fixtures.MonkeyPatch(name, value))

    def _process(self) -> Process:
        actor = getattr(_here, 'actor', None)
        return actor.process if actor else self.world.observer

    def _time(self, *args: Any) -> float:
        actor = getattr(_here, 'actor', None)
        seen = f'at {self.world.now}'
        if actor and seen not in actor.history:
            # Which of its readings of a clock was the first after a change.
            actor.history.append(seen)
        return self.world.now

    def _new_id(self, part: int | None = None) -> str:
        process = self._process()
        made = process.new_id(self.world.now, part)
        self.world.ids[made] = process.number
        return made
