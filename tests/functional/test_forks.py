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
"""Drivers that were made before their process forked, as under uWSGI.

The forking is done by a worker, not by the process that runs the tests.
"""

from collections.abc import Callable
from collections.abc import Iterable
import contextlib
import functools
import itertools
import json
import os
import select
import signal
import stat
import threading
import traceback
from typing import Any
from typing import NamedTuple
import uuid

import testtools
from testtools import matchers

from tests.fixtures import conf
from tests.fixtures import workers

PROJECT = 'project'
QUEUE = 'queue'

# One for each of three processes.
QUEUES = ('queue-0', 'queue-1', 'queue-2')

# Seconds after which a child that has not answered is given up.
PATIENCE = 60.0


class Made(NamedTuple):
    """What appeared while drivers were made."""

    threads: int
    sockets: int


def make_drivers(site: workers.Site) -> Made:
    threads, sockets = threading.active_count(), count_sockets()
    controllers(site)
    return Made(threading.active_count() - threads,
                count_sockets() - sockets)


def controllers(site: workers.Site) -> tuple[Any, Any, Any]:
    return (site.data.message_controller, site.data.claim_controller,
            site.queues)


def count_sockets() -> int:
    """Count this process's open sockets."""
    count = 0
    for number in os.listdir('/proc/self/fd'):
        # The descriptor of that directory itself is gone again.
        with contextlib.suppress(OSError):
            count += stat.S_ISSOCK(os.fstat(int(number)).st_mode)
    return count


def post_in_three(site: workers.Site) -> list[list[str]]:
    """Post from this process and two of its children at once."""
    controllers(site)
    return in_three(lambda _: post(site))


def post_before_and_in_three(site: workers.Site) -> list[list[str]]:
    """The same, having posted before, with threads and connections."""
    return [post(site), *in_three(lambda _: post(site))]


def drain_in_three(site: workers.Site) -> list[list[str]]:
    """Claim and delete in this process and two children that know it."""
    site.data.is_alive()
    return in_three(lambda _: drain(site))


def drain_one_each(site: workers.Site) -> list[list[str]]:
    """The same, from a queue for each."""
    site.data.is_alive()
    return in_three(lambda number: drain(site, QUEUES[number]))


def post(site: workers.Site, queue: str = QUEUE) -> list[str]:
    ids: list[str] = site.data.message_controller.post(
        queue, [{'ttl': 3600, 'body': number} for number in range(10)],
        uuid.uuid4(), project=PROJECT)
    return ids


def drain(site: workers.Site, queue: str = QUEUE) -> list[str]:
    """Claim what can be claimed at once, and delete it."""
    taken = []
    for _ in range(3):
        claim, messages = site.data.claim_controller.create(
            queue, {'ttl': 3600, 'grace': 60}, project=PROJECT)
        for message in messages:
            site.data.message_controller.delete(
                queue, message['id'], project=PROJECT, claim=claim)
            taken.append(message['id'])
    return taken


def in_three(task: Callable[[int], list[str]]) -> list[list[str]]:
    """Call a task here and in two forked children, all at once.

    :param task: is told which of them it is in, from 0.
    """
    starts, start = os.pipe()
    children = [_fork(functools.partial(task, number), starts, start)
                for number in (1, 2)]
    os.close(starts)
    # Both children wait for the end of this pipe.
    os.close(start)
    try:
        return [task(0), *(_outcome(answers) for _, answers in children)]
    finally:
        for pid, answers in children:
            os.close(answers)
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def _fork(
    task: Callable[[], list[str]], starts: int, start: int,
) -> tuple[int, int]:
    """Start a child; returns its pid, and where its answer comes."""
    answers, answer = os.pipe()
    pid = os.fork()
    if pid:
        os.close(answer)
        return pid, answers
    # Nothing of the parent's may run in the child, not even on the way out.
    try:
        os.close(start)
        os.read(starts, 1)
        told = json.dumps(task())
    except BaseException:
        told = json.dumps({'failed': traceback.format_exc()})
    with open(answer, 'w') as pipe:
        pipe.write(told)
    os._exit(0)


def _outcome(answers: int) -> list[str]:
    told = b''
    while True:
        if not select.select([answers], [], [], PATIENCE)[0]:
            raise workers.Failure('A child was not done in time.')
        read = os.read(answers, 65536)
        if not read:
            break
        told += read
    outcome: list[str] = json.loads(told)
    if isinstance(outcome, dict):
        raise workers.Failure(outcome['failed'])
    return outcome


def all_of(lists: Iterable[list[str]]) -> list[str]:
    return sorted(itertools.chain.from_iterable(lists))


class ForksTest(testtools.TestCase):

    def setUp(self) -> None:
        super().setUp()
        path = self.useFixture(conf.ZaqarConf(post_time_limit=60)).path
        self.worker = self.useFixture(workers.Workers(path, 1))
        self.site = workers.Site(path)
        self.site.queues.create(QUEUE, project=PROJECT)

    def run_in_worker(self, task: Callable[..., Any]) -> Any:
        [outcome] = self.worker.each(task, within=2 * PATIENCE)
        return outcome

    def stored(self) -> list[str]:
        return [message['id'] for message in next(
            self.site.data.message_controller.list(
                QUEUE, project=PROJECT, limit=100))]

    def test_making_drivers_opens_nothing(self) -> None:
        made = self.run_in_worker(make_drivers)

        self.assertEqual(Made(threads=0, sockets=0), made)

    def test_all_post_with_drivers_made_before_the_fork(self) -> None:
        posted = self.run_in_worker(post_in_three)

        self.assertThat(posted, matchers.HasLength(3))
        self.assert_stored_once(posted)

    def test_all_post_with_drivers_used_before_the_fork(self) -> None:
        posted = self.run_in_worker(post_before_and_in_three)

        self.assertThat(posted, matchers.HasLength(4))
        self.assert_stored_once(posted)

    def test_all_claim_with_drivers_used_before_the_fork(self) -> None:
        posted = [post(self.site) for _ in range(2)]

        taken = self.run_in_worker(drain_in_three)

        # What nobody won is still there, and nothing was won twice.
        self.assertEqual(
            all_of(posted), sorted([*all_of(taken), *self.left()]))

    def test_each_claims_all_of_its_own_queue_after_the_fork(self) -> None:
        for queue in QUEUES:
            self.site.queues.create(queue, project=PROJECT)
        posted = [post(self.site, queue) for queue in QUEUES]

        taken = self.run_in_worker(drain_one_each)

        self.assertEqual(posted, taken)

    def left(self) -> list[str]:
        return [message['id'] for message in next(
            self.site.data.message_controller.list(
                QUEUE, project=PROJECT, limit=100, include_claimed=True))]

    def assert_stored_once(self, posted: list[list[str]]) -> None:
        self.assertEqual(all_of(posted), self.stored())
