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

"""How costs grow: with messages, with what was deleted, and with queues."""

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Sequence
import dataclasses
import pathlib
import resource
from typing import Any
import uuid

from marconi_swift.bench import drivers
from marconi_swift.bench import measuring
from marconi_swift.bench import report
from marconi_swift.bench import verdict
from marconi_swift.bench import work

#: What grows.
MESSAGES, DELETED, QUEUES = (
    'messages in the queue', 'messages deleted from the queue', 'queues')

#: Messages that are claimed, and that a queue has after deletions.
_CLAIMED, _FEW = 10, 100


@dataclasses.dataclass(frozen=True)
class Sizes:
    """The points at which each curve is measured, smallest first."""

    messages: Sequence[int] = (100, 1000, 10000, 100000)
    deleted: Sequence[int] = (0, 10000, 100000)
    queues: Sequence[int] = (1, 100, 1000, 10000)


class _OnQueue(work.Work):
    """Something that is done to one queue, however often."""

    bare = False

    def __init__(self, name: str, queue: drivers.Queue, messages: int) -> None:
        super().__init__(name)
        self.messages = messages
        self._queue = queue

    def prepare(self, driver: drivers.Driver) -> work.Task:
        return work.Task(self._queue)


class _Post(_OnQueue):

    def prepare(self, driver: drivers.Driver) -> work.Task:
        return work.Task(self._queue, self._queue.bodies(self.messages))

    def run(self, driver: drivers.Driver, task: work.Task) -> Any:
        return driver.post(task.queue.name, task.given)

    def check(
        self, driver: drivers.Driver, task: work.Task, outcome: Any,
    ) -> verdict.Verdict:
        found = verdict.compare(
            range(self.messages), driver.read(task.queue.name, outcome),
            drivers.SIZE)
        driver.bulk_delete(task.queue.name, outcome)
        return found


class _Page(_OnQueue):

    def run(self, driver: drivers.Driver, task: work.Task) -> Any:
        return driver.page(task.queue.name, self.messages)

    def check(
        self, driver: drivers.Driver, task: work.Task, outcome: Any,
    ) -> verdict.Verdict:
        return verdict.Verdict(lost=self.messages - len(outcome))


class _Claim(_OnQueue):

    def run(self, driver: drivers.Driver, task: work.Task) -> Any:
        return driver.claim(task.queue.name, self.messages)

    def check(
        self, driver: drivers.Driver, task: work.Task, outcome: Any,
    ) -> verdict.Verdict:
        # Others for the next time: one that was claimed before costs more.
        _, messages = outcome
        driver.bulk_delete(
            task.queue.name, [message['id'] for message in messages])
        driver.post(task.queue.name, task.queue.bodies(len(messages)))
        return verdict.Verdict(lost=self.messages - len(messages))


class _Stats(_OnQueue):

    def run(self, driver: drivers.Driver, task: work.Task) -> Any:
        return driver.stats(task.queue.name)

    def check(
        self, driver: drivers.Driver, task: work.Task, outcome: Any,
    ) -> verdict.Verdict:
        return verdict.Verdict(lost=max(0, self.messages - outcome['total']))


class _Create(work.Work):
    """Create a queue beside those that are there, and delete it."""

    bare = False

    def prepare(self, driver: drivers.Driver) -> work.Task:
        return work.Task(_new_queue())

    def run(self, driver: drivers.Driver, task: work.Task) -> Any:
        driver.create(task.queue.name)

    def check(
        self, driver: drivers.Driver, task: work.Task, outcome: Any,
    ) -> verdict.Verdict:
        driver.delete_queue(task.queue.name)
        return verdict.Verdict()


class _ListQueues(work.Work):
    """List the names of a project's queues."""

    bare = False

    def __init__(self, count: int) -> None:
        super().__init__(f'list {work.PAGE} queues')
        self._wanted = min(work.PAGE, count)

    def prepare(self, driver: drivers.Driver) -> work.Task:
        return work.Task(_new_queue())

    def run(self, driver: drivers.Driver, task: work.Task) -> Any:
        return driver.list_queues(work.PAGE)

    def check(
        self, driver: drivers.Driver, task: work.Task, outcome: Any,
    ) -> verdict.Verdict:
        return verdict.Verdict(lost=max(0, self._wanted - len(outcome)))


def _new_queue() -> drivers.Queue:
    return drivers.Queue(uuid.uuid4().hex, range(0), drivers.SIZE)


def _on(queue: drivers.Queue, there: int) -> list[work.Work]:
    """What is done to a queue with so many messages."""
    return [
        _Post(f'post {work.PAGE}', queue, work.PAGE),
        _Page(f'list {work.PAGE}', queue, work.PAGE),
        _Claim(f'claim {_CLAIMED}', queue, _CLAIMED),
        _Stats('stats', queue, there)]


@dataclasses.dataclass
class Growth:
    """Grows what one driver keeps, and measures on the way."""

    driver: drivers.Ours
    meter: measuring.Meter
    told: report.Report
    #: Called before each point.
    step: Callable[[], None]

    def __post_init__(self) -> None:
        #: The queue that was grown, and how many messages were put in it.
        self._grown = self.driver.fresh(), 0

    def with_messages(self, sizes: Iterable[int]) -> None:
        """Let one queue grow."""
        for size in sizes:
            self.step()
            self._grow_to(size)
            self._measure(MESSAGES, size, _on(self._grown[0], size))

    def with_deleted(self, sizes: Iterable[int]) -> None:
        """Let the deleted rows of a container grow; Swift keeps them a week.

        Those of the queue that was grown before are deleted last.
        """
        for size in sizes:
            self.step()
            queue, filled = self.driver.fresh(), 0
            if size >= self._grown[1] > 0:
                queue, filled = self._grown
            self.driver.fill(
                queue.name, range(filled, size), drivers.SIZE, claimed=False)
            self.driver.empty(queue.name)
            self.driver.fill(
                queue.name, range(_FEW), drivers.SIZE, claimed=False)
            self._measure(DELETED, size, _on(queue, _FEW))

    def with_queues(self, sizes: Iterable[int]) -> None:
        """Let the queues of one project grow."""
        queue, there = self.driver.fresh(_FEW), 1
        for size in sizes:
            self.step()
            self.driver.create_many(size - there)
            there = max(size, there)
            self._measure(QUEUES, size, [
                _Create('create a queue'), _ListQueues(size),
                *_on(queue, _FEW)])

    def _grow_to(self, size: int) -> None:
        queue, filled = self._grown
        self.driver.fill(
            queue.name, range(filled, size), drivers.SIZE, claimed=False)
        self._grown = queue, size

    def _measure(
        self, curve: str, size: int, works: Iterable[work.Work],
    ) -> None:
        self.told.add_points(
            {'curve': curve, 'size': size, 'memory': memory(),
             **one.result(replicas=1)}
            for each in works for one in self.meter.measure(each, 0.0))


def memory() -> int:
    """Bytes of memory that this process has."""
    pages = int(pathlib.Path('/proc/self/statm').read_text().split()[1])
    return pages * resource.getpagesize()
