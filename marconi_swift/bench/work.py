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

"""The work that is measured, and how its outcome is checked."""

from collections.abc import Callable
from collections.abc import Sequence
from concurrent import futures
import dataclasses
import multiprocessing
import threading
import time
from typing import Any
from typing import NamedTuple

from marconi_swift.bench import drivers
from marconi_swift.bench import making
from marconi_swift.bench import verdict

KIB = 1024

#: Messages that one request of the API can post, list or claim.
PAGE = 20

#: What a consumer of many messages claims at a time.
BATCH = 10

#: Seconds after which consumers give up on what is left.
PATIENCE = 60.0

#: Seconds between two looks at queues that gave nothing.
PAUSE = 0.1


@dataclasses.dataclass(frozen=True)
class Sizes:
    """How much of each kind of work there is."""

    queues: Sequence[int] = (20, 1000, 10000)
    #: Messages that are claimed, in front of those that are listed.
    claimed: Sequence[int] = (500, 5000)
    #: Messages of one life of messages, and of a race.
    messages: int = 200
    threads: Sequence[int] = (1, 8, 32)
    processes: int = 8
    #: Queues that are worked on at once.
    many: int = 32
    #: Bytes of messages' bodies.
    bodies: Sequence[int] = (16 * KIB, 256 * KIB)


#: What is measured in a hurry.
QUICK = Sizes(
    queues=(20, 100), claimed=(50,), messages=30, threads=(1, 8),
    processes=2, many=8, bodies=(16 * KIB,))


class Task(NamedTuple):
    """One piece of work, prepared for one driver."""

    queue: drivers.Queue
    #: What a claim gave, or ids; whatever the work needs.
    given: Any = None
    claim: str = ''


class Work:
    """One kind of work.

    It is prepared and checked anew each time, and neither is measured.
    """

    #: Whether requests to Swift alone can do it.
    bare = True
    #: Whether it is so central that it is also measured with three replicas
    #: and a network's delay.
    central = False
    #: Whether several do it at once, so that the longest chain says nothing.
    concurrent = False
    #: Whether other processes do it, so that this one's time says nothing.
    elsewhere = False
    #: How many messages it is about.
    messages = 1

    def __init__(self, name: str) -> None:
        self.name = name

    def prepare(self, driver: drivers.Driver) -> Task:
        """Make all that is needed to do it once."""
        raise NotImplementedError

    def run(self, driver: drivers.Driver, task: Task) -> Any:
        """Do it; only this is measured."""
        raise NotImplementedError

    def check(
        self, driver: drivers.Driver, task: Task, outcome: Any,
    ) -> verdict.Verdict:
        """Find what was done wrong."""
        raise NotImplementedError

    def seconds(self, outcome: Any) -> float | None:
        """How long it took, if it was not all the time of :meth:`run`."""
        return None

    def close(self) -> None:
        """End what it has started."""


def sized(size: int) -> str:
    """Describe a body's size, unless it is the usual one."""
    if size == drivers.SIZE:
        return ''
    return f' of {size // KIB} KiB' if size >= KIB else f' of {size} bytes'


class Post(Work):
    """Post messages by one call."""

    def __init__(self, count: int, size: int = drivers.SIZE) -> None:
        super().__init__(f'post {count}{sized(size)}')
        self.messages = count
        self._size = size
        self.central = count == PAGE

    def prepare(self, driver: drivers.Driver) -> Task:
        queue = driver.kept(size=self._size)
        return Task(queue, queue.bodies(self.messages))

    def run(self, driver: drivers.Driver, task: Task) -> Any:
        return driver.post(task.queue.name, task.given)

    def check(
        self, driver: drivers.Driver, task: Task, outcome: Any,
    ) -> verdict.Verdict:
        return verdict.compare(
            range(self.messages), driver.read(task.queue.name, outcome),
            self._size)


class Page(Work):
    """List the first free messages of a queue."""

    def __init__(
        self, count: int, free: int, claimed: int = 0,
        size: int = drivers.SIZE, central: bool = False,
    ) -> None:
        where = f'{claimed:,} claimed' if claimed else f'{free:,}'
        super().__init__(
            f'list {count}{sized(size)} '
            f'{"behind" if claimed else "of"} {where}')
        self.messages = count
        self.central = central
        self._filled = free, claimed, size

    def prepare(self, driver: drivers.Driver) -> Task:
        return Task(driver.kept(*self._filled))

    def run(self, driver: drivers.Driver, task: Task) -> Any:
        return driver.page(task.queue.name, self.messages)

    def check(
        self, driver: drivers.Driver, task: Task, outcome: Any,
    ) -> verdict.Verdict:
        # Zaqar's own driver keeps no order, so any free messages will do.
        return checked_part(task.queue, outcome, self.messages)


def checked_part(
    queue: drivers.Queue, messages: Sequence[verdict.Message], count: int,
) -> verdict.Verdict:
    """Check that some ``count`` of a queue's free messages came."""
    found = verdict.compare(queue.free, messages, queue.size)
    found.lost = max(0, found.lost - (len(queue.free) - count))
    return found


class Claim(Work):
    """Claim messages of a queue that has just so many."""

    def __init__(self, count: int) -> None:
        super().__init__(f'claim {count}')
        self.messages = count
        self.central = count == BATCH

    def prepare(self, driver: drivers.Driver) -> Task:
        return Task(driver.fresh(self.messages))

    def run(self, driver: drivers.Driver, task: Task) -> Any:
        return driver.claim(task.queue.name, self.messages)

    def check(
        self, driver: drivers.Driver, task: Task, outcome: Any,
    ) -> verdict.Verdict:
        _, messages = outcome
        return verdict.compare(task.queue.free, messages, task.queue.size)


class _Claimed(Work):
    """Something that is done with a claim."""

    def __init__(self, name: str, count: int) -> None:
        super().__init__(name)
        self.messages = count

    def prepare(self, driver: drivers.Driver) -> Task:
        queue = driver.fresh(self.messages)
        claim, messages = driver.claim(queue.name, self.messages)
        if claim is None or len(messages) < self.messages:
            raise RuntimeError(f'{driver.name} did not let itself be claimed '
                               f'from while nobody else did.')
        return Task(queue, [message['id'] for message in messages], claim)


class GetClaim(_Claimed):
    """Read a claim and its messages."""

    def __init__(self, count: int) -> None:
        super().__init__(f'get a claim of {count}', count)

    def run(self, driver: drivers.Driver, task: Task) -> Any:
        return driver.get_claim(task.queue.name, task.claim)

    def check(
        self, driver: drivers.Driver, task: Task, outcome: Any,
    ) -> verdict.Verdict:
        return verdict.compare(task.queue.free, outcome, task.queue.size)


class Renew(_Claimed):
    """Renew a claim."""

    def __init__(self, count: int) -> None:
        super().__init__(f'renew a claim of {count}', count)

    def run(self, driver: drivers.Driver, task: Task) -> Any:
        driver.renew(task.queue.name, task.claim)

    def check(
        self, driver: drivers.Driver, task: Task, outcome: Any,
    ) -> verdict.Verdict:
        return verdict.compare(
            task.queue.free, driver.get_claim(task.queue.name, task.claim),
            task.queue.size)


class Release(_Claimed):
    """Release a claim, whose messages are free then."""

    central = True

    def __init__(self, count: int) -> None:
        super().__init__(f'release a claim of {count}', count)

    def run(self, driver: drivers.Driver, task: Task) -> Any:
        driver.release(task.queue.name, task.claim)

    def check(
        self, driver: drivers.Driver, task: Task, outcome: Any,
    ) -> verdict.Verdict:
        return verdict.compare(
            task.queue.free, driver.page(task.queue.name, self.messages),
            task.queue.size)


class DeleteClaimed(_Claimed):
    """Delete one message with the claim that holds it."""

    central = True

    def __init__(self) -> None:
        super().__init__('delete 1 with its claim', 1)

    def run(self, driver: drivers.Driver, task: Task) -> Any:
        driver.delete(task.queue.name, task.given[0], task.claim)

    def check(
        self, driver: drivers.Driver, task: Task, outcome: Any,
    ) -> verdict.Verdict:
        return checked_gone(driver, task)


def checked_gone(
    driver: drivers.Driver, task: Task,
) -> verdict.Verdict:
    """Check that nothing is in a queue that was given out before."""
    return verdict.compare(
        (), driver.read(task.queue.name, task.given),
        task.queue.size)


class Delete(Work):
    """Delete messages that nobody claimed: one, or several by one call."""

    def __init__(self, count: int) -> None:
        super().__init__(
            'delete 1' if count == 1 else f'bulk delete {count}')
        self.messages = count

    def prepare(self, driver: drivers.Driver) -> Task:
        queue = driver.fresh()
        return Task(queue, driver.post(
            queue.name, queue.bodies(self.messages)))

    def run(self, driver: drivers.Driver, task: Task) -> Any:
        if self.messages == 1:
            driver.delete(task.queue.name, task.given[0])
        else:
            driver.bulk_delete(task.queue.name, task.given)

    def check(
        self, driver: drivers.Driver, task: Task, outcome: Any,
    ) -> verdict.Verdict:
        return checked_gone(driver, task)


class Pop(Work):
    """Take messages out of a queue that has just so many."""

    def __init__(self, count: int) -> None:
        super().__init__(f'pop {count}')
        self.messages = count

    def prepare(self, driver: drivers.Driver) -> Task:
        return Task(driver.fresh(self.messages))

    def run(self, driver: drivers.Driver, task: Task) -> Any:
        return driver.pop(task.queue.name, self.messages)

    def check(
        self, driver: drivers.Driver, task: Task, outcome: Any,
    ) -> verdict.Verdict:
        return verdict.compare(task.queue.free, outcome, task.queue.size)


class Stats(Work):
    """Count a queue's messages."""

    central = True

    def __init__(self, free: int) -> None:
        super().__init__(f'stats of {free:,}')
        self.messages = free

    def prepare(self, driver: drivers.Driver) -> Task:
        return Task(driver.kept(self.messages))

    def run(self, driver: drivers.Driver, task: Task) -> Any:
        return driver.stats(task.queue.name)

    def check(
        self, driver: drivers.Driver, task: Task, outcome: Any,
    ) -> verdict.Verdict:
        return verdict.Verdict(
            lost=max(0, self.messages - outcome['free']),
            unexpected=max(0, outcome['total'] - self.messages))


class DeleteQueue(Work):
    """Delete a queue with messages in it."""

    bare = False

    def __init__(self, free: int) -> None:
        super().__init__(f'delete a queue of {free:,}')
        self.messages = free

    def prepare(self, driver: drivers.Driver) -> Task:
        return Task(driver.fresh(self.messages))

    def run(self, driver: drivers.Driver, task: Task) -> Any:
        driver.delete_queue(task.queue.name)

    def check(
        self, driver: drivers.Driver, task: Task, outcome: Any,
    ) -> verdict.Verdict:
        driver.create(task.queue.name)
        return verdict.compare(
            (), driver.page(task.queue.name, PAGE), task.queue.size)


class Delivered(NamedTuple):
    """What consumers got, and what went wrong meanwhile."""

    messages: list[verdict.Message]
    verdict: verdict.Verdict
    #: What was posted meanwhile, by queue.
    ids: dict[str, list[str]]
    seconds: float | None = None


class Life(Work):
    """Post, claim and delete messages, each thread for itself.

    A thread posts ten, claims ten, and deletes each with its claim. When
    all is posted, threads go on until a claim gives nothing; what is left
    then is worked off by one.
    """

    concurrent = True

    def __init__(self, messages: int, threads: int, queues: int = 1) -> None:
        where = f', {queues} queues' if queues > 1 else ''
        super().__init__(
            f'life of {messages:,}, {threads} '
            f'thread{"s" if threads > 1 else ""}{where}')
        self.messages = messages
        self.central = threads == 8 and queues == 1
        self._threads = threads
        self._queues = queues

    def prepare(self, driver: drivers.Driver) -> Task:
        made = [driver.fresh() for _ in range(self._queues)]
        return Task(made[0], made)

    def run(self, driver: drivers.Driver, task: Task) -> Any:
        life = _Living(driver, task.given, self.messages)
        with futures.ThreadPoolExecutor(self._threads) as threads:
            done = [threads.submit(life.work) for _ in range(self._threads)]
        for each in done:
            each.result()
        life.finish()
        return Delivered(life.got, life.verdict, life.ids)

    def check(
        self, driver: drivers.Driver, task: Task, outcome: Any,
    ) -> verdict.Verdict:
        there = [message for queue, ids in outcome.ids.items()
                 for message in driver.read(queue, ids)]
        return outcome.verdict + verdict.compare(
            range(self.messages), outcome.messages, task.queue.size, there)


class _Living:
    """Threads that work on the same messages."""

    def __init__(
        self, driver: drivers.Driver, queues: Sequence[drivers.Queue],
        messages: int,
    ) -> None:
        self._driver = driver
        self._queues = [queue.name for queue in queues]
        bodies = queues[0].bodies(messages)
        self._todo = [
            (self._queues[turn % len(queues)], bodies[start:start + BATCH])
            for turn, start in enumerate(range(0, messages, BATCH))]
        self._lock = threading.Lock()
        self._wanted = messages
        self.got: list[verdict.Message] = []
        self.ids: dict[str, list[str]] = {name: [] for name in self._queues}
        self.verdict = verdict.Verdict()

    def work(self) -> None:
        """Post and consume, then consume until there is nothing."""
        queue = self._queues[0]
        while True:
            with self._lock:
                batch = self._todo.pop() if self._todo else None
            if batch is not None:
                queue = batch[0]
                self._attempt(self._post, *batch)
            if not self._attempt(self._consume, queue) and batch is None:
                return

    def finish(self) -> None:
        """Consume what is left, for a while."""
        deadline = time.monotonic() + PATIENCE
        while self._missing and time.monotonic() < deadline:
            for queue in self._queues:
                while self._attempt(self._consume, queue):
                    pass
            if self.verdict.errors:
                # What failed may be claimed until long after.
                return
            if self._missing:
                time.sleep(PAUSE)

    @property
    def _missing(self) -> bool:
        return len({message['id'] for message in self.got}) < self._wanted

    def _post(self, queue: str, batch: list[dict[str, Any]]) -> None:
        ids = self._driver.post(queue, batch)
        with self._lock:
            self.ids[queue] += ids

    def _consume(self, queue: str) -> bool:
        """Claim and delete once; whether there was anything."""
        claim, messages = self._driver.claim(queue, BATCH)
        with self._lock:
            self.got += messages
        for message in messages:
            self._attempt(self._driver.delete, queue, message['id'], claim)
        return bool(messages)

    def _attempt(self, function: Callable[..., Any], *args: Any) -> Any:
        """Call a function; what it raises is counted."""
        try:
            return function(*args)
        except Exception as error:
            with self._lock:
                self.verdict.failed(error)
            return None


class Race(Work):
    """Claim the messages of one queue from several processes at once.

    Each process claims ten at a time, until three claims in a row give
    nothing.
    """

    bare = False
    concurrent = elsewhere = True

    def __init__(self, messages: int, processes: int) -> None:
        super().__init__(f'claim {messages:,}, {processes} processes')
        self.messages = messages
        self._processes = processes
        self._pools: dict[drivers.Spec, futures.ProcessPoolExecutor] = {}

    def prepare(self, driver: drivers.Driver) -> Task:
        if driver.spec not in self._pools:
            self._pools[driver.spec] = _processes(
                driver.spec, self._processes)
            self._on_all(driver, _warm_up)
        queue = driver.fresh()
        ids = driver.post(queue.name, queue.bodies(self.messages))
        return Task(queue, ids)

    def run(self, driver: drivers.Driver, task: Task) -> Any:
        parts = self._on_all(driver, _claim_all, task.queue.name)
        return Delivered(
            [message for part in parts for message in part.messages],
            sum((part.verdict for part in parts), verdict.Verdict()), {},
            max(part.ended for part in parts)
            - min(part.began for part in parts))

    def seconds(self, outcome: Any) -> float | None:
        return float(outcome.seconds)

    def check(
        self, driver: drivers.Driver, task: Task, outcome: Any,
    ) -> verdict.Verdict:
        return outcome.verdict + verdict.compare(
            range(self.messages), outcome.messages, task.queue.size,
            driver.read(task.queue.name, task.given))

    def _on_all(
        self, driver: drivers.Driver, task: Callable[..., Any], *args: Any,
    ) -> list[Any]:
        """Have each process do something, all from the same moment."""
        pool = self._pools[driver.spec]
        return [each.result() for each in [
            pool.submit(task, *args) for _ in range(self._processes)]]

    def close(self) -> None:
        """End the processes."""
        while self._pools:
            self._pools.popitem()[1].shutdown()


class _Part(NamedTuple):
    """What one process did; times are of ``time.monotonic``."""

    messages: list[verdict.Message]
    verdict: verdict.Verdict
    began: float
    ended: float


#: This process's driver, and where all processes meet.
_mine: dict[str, Any] = {}


def _processes(
    spec: drivers.Spec, count: int,
) -> futures.ProcessPoolExecutor:
    context: Any = multiprocessing.get_context('forkserver')
    return futures.ProcessPoolExecutor(
        count, mp_context=context, initializer=_join,
        initargs=(spec, context.Barrier(count, timeout=PATIENCE)))


def _join(spec: drivers.Spec, barrier: Any) -> None:
    _mine.update(driver=making.make(spec), barrier=barrier)


def _warm_up() -> None:
    # No process does this twice, and each does it.
    _mine['barrier'].wait()
    _mine['driver'].warm_up()


def _claim_all(queue: str) -> _Part:
    driver, found = _mine['driver'], verdict.Verdict()
    got: list[verdict.Message] = []
    _mine['barrier'].wait()
    began = time.monotonic()
    empty = 0
    while empty < 3 and time.monotonic() < began + PATIENCE:
        try:
            _, messages = driver.claim(queue, BATCH)
        except Exception as error:
            found.failed(error)
            messages = []
        got += messages
        empty = 0 if messages else empty + 1
    return _Part(got, found, began, time.monotonic())


def everything(sizes: Sizes) -> list[Work]:
    """All work, in the order in which it is measured."""
    return [
        Post(1),
        Post(PAGE),
        *(Page(PAGE, size, central=size == sizes.queues[1])
          for size in sizes.queues),
        *(Page(PAGE, PAGE, claimed, central=claimed == sizes.claimed[0])
          for claimed in sizes.claimed),
        *(Claim(count) for count in (1, 10, PAGE)),
        GetClaim(10),
        Renew(10),
        Release(PAGE),
        DeleteClaimed(),
        Delete(1),
        Delete(PAGE),
        Pop(10),
        Stats(sizes.queues[1]),
        DeleteQueue(sizes.queues[1]),
        *(Post(_page_of(size), size) for size in sizes.bodies),
        *(Page(_page_of(size), _page_of(size), size=size)
          for size in sizes.bodies),
        *(Life(sizes.messages, threads) for threads in sizes.threads),
        Life(sizes.messages, 8, sizes.many),
        Race(sizes.messages, sizes.processes),
    ]


def _page_of(size: int) -> int:
    """Messages of such bodies that Zaqar takes in one post: 256 KiB."""
    return max(1, min(10, 256 * KIB // size))
