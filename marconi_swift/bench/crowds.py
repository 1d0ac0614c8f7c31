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

"""Work that several threads or processes do at once."""

from collections.abc import Callable
from collections.abc import Sequence
from concurrent import futures
import multiprocessing
import threading
import time
from typing import Any
from typing import NamedTuple

from marconi_swift.bench import drivers
from marconi_swift.bench import making
from marconi_swift.bench import verdict
from marconi_swift.bench import work

#: What a consumer of many messages claims at a time.
BATCH = 10

#: Seconds after which consumers give up on what is left.
PATIENCE = 60.0

#: Seconds between two looks at queues that gave nothing.
PAUSE = 0.1


class Delivered(NamedTuple):
    """What consumers got, and what went wrong meanwhile."""

    messages: list[verdict.Message]
    verdict: verdict.Verdict
    #: What was posted meanwhile, by queue.
    ids: dict[str, list[str]]
    seconds: float | None = None


class Life(work.Work):
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
        self._threads = threads
        self._queues = queues

    def prepare(self, driver: drivers.Driver) -> work.Task:
        made = [driver.fresh() for _ in range(self._queues)]
        return work.Task(made[0], made)

    def run(self, driver: drivers.Driver, task: work.Task) -> Any:
        life = _Living(driver, task.given, self.messages)
        with futures.ThreadPoolExecutor(self._threads) as threads:
            done = [threads.submit(life.work) for _ in range(self._threads)]
        for each in done:
            each.result()
        life.finish()
        return Delivered(life.got, life.verdict, life.ids)

    def check(
        self, driver: drivers.Driver, task: work.Task, outcome: Any,
    ) -> verdict.Verdict:
        there = [message for queue, ids in outcome.ids.items()
                 for message in driver.read(queue, ids)]
        # Whoever was given one has deleted it.
        given = {message['id'] for message in outcome.messages}
        kept = [message for message in there if message['id'] in given]
        found: verdict.Verdict = outcome.verdict
        return found + verdict.compare(
            range(self.messages), outcome.messages, task.queue.size, there,
        ) + verdict.compare((), kept, task.queue.size)


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


class Race(work.Work):
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

    def prepare(self, driver: drivers.Driver) -> work.Task:
        if driver.spec not in self._pools:
            self._pools[driver.spec] = _processes(
                driver.spec, self._processes)
            self._on_all(driver, _warm_up)
        queue = driver.fresh()
        ids = driver.post(queue.name, queue.bodies(self.messages))
        return work.Task(queue, ids)

    def run(self, driver: drivers.Driver, task: work.Task) -> Any:
        parts = self._on_all(driver, _claim_all, task.queue.name)
        return Delivered(
            [message for part in parts for message in part.messages],
            sum((part.verdict for part in parts), verdict.Verdict()), {},
            max(part.ended for part in parts)
            - min(part.began for part in parts))

    def seconds(self, outcome: Any) -> float | None:
        return float(outcome.seconds)

    def check(
        self, driver: drivers.Driver, task: work.Task, outcome: Any,
    ) -> verdict.Verdict:
        found: verdict.Verdict = outcome.verdict
        return found + verdict.compare(
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
