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

"""Single operations, as work that is measured and checked."""

from collections.abc import Sequence
from typing import Any
from typing import NamedTuple

from marconi_swift.bench import drivers
from marconi_swift.bench import verdict

KIB = 1024

#: Messages that one request of the API can post, list or claim.
PAGE = 20


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
    #: Whether it is also measured with three replicas and a network's delay;
    #: see :mod:`marconi_swift.bench.plan`.
    central = False
    #: Whether several do it at once, so that the longest chain says nothing.
    concurrent = False
    #: Whether other processes do it, so that this one's time says nothing.
    elsewhere = False
    #: How many messages it is about.
    messages = 1

    def __init__(self, name: str) -> None:
        self.name = name

    def keep(self, driver: drivers.Driver) -> None:
        """Make what all times share; it counts against no budget."""

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
        size: int = drivers.SIZE,
    ) -> None:
        where = f'{claimed:,} claimed' if claimed else f'{free:,}'
        super().__init__(
            f'list {count}{sized(size)} '
            f'{"behind" if claimed else "of"} {where}')
        self.messages = count
        self._filled = free, claimed, size

    def keep(self, driver: drivers.Driver) -> None:
        driver.kept(*self._filled)

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

    def prepare(self, driver: drivers.Driver) -> Task:
        return Task(driver.fresh(self.messages))

    def run(self, driver: drivers.Driver, task: Task) -> Any:
        return driver.claim(task.queue.name, self.messages)

    def check(
        self, driver: drivers.Driver, task: Task, outcome: Any,
    ) -> verdict.Verdict:
        claim, messages = outcome
        held = {message['id'] for message in
                driver.get_claim(task.queue.name, claim)} if claim else ()
        return verdict.compare(
            task.queue.free,
            [message for message in messages if message['id'] in held],
            task.queue.size)


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
        held = driver.get_claim(task.queue.name, task.claim)
        # Else it is lost when the claim would have ended.
        lasts = driver.lifetime(task.queue.name, task.claim) > drivers.TTL
        return verdict.compare(
            task.queue.free, held if lasts else (), task.queue.size)


class Release(_Claimed):
    """Release a claim, whose messages are free then."""

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

    def __init__(self) -> None:
        super().__init__('delete 1 with its claim', 1)

    def run(self, driver: drivers.Driver, task: Task) -> Any:
        driver.delete(task.queue.name, task.given[0], task.claim)

    def check(
        self, driver: drivers.Driver, task: Task, outcome: Any,
    ) -> verdict.Verdict:
        return checked_gone(driver, task.queue, task.given)


def checked_gone(
    driver: drivers.Driver, queue: drivers.Queue, ids: Sequence[str],
) -> verdict.Verdict:
    """Check that nothing is in a queue that was given out before."""
    return verdict.compare((), driver.read(queue.name, ids), queue.size)


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
        return checked_gone(driver, task.queue, task.given)


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
        return verdict.compare(
            task.queue.free, outcome, task.queue.size,
        ) + checked_gone(
            driver, task.queue, [message['id'] for message in outcome])


class Stats(Work):
    """Count a queue's messages."""

    def __init__(self, free: int) -> None:
        super().__init__(f'stats of {free:,}')
        self.messages = free

    def keep(self, driver: drivers.Driver) -> None:
        driver.kept(self.messages)

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
