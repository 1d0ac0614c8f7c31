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
"""No message is handed to two live claims, however many processes claim.

Threads of one process never race for a message, so all of this takes
processes.
"""

import collections
from collections.abc import Iterable
from collections.abc import Sequence
import itertools
import time
from typing import Any
from typing import NamedTuple
import uuid

import testtools
from testtools import content
from testtools import matchers

from marconi_swift.standalone import tallying
from tests.fixtures import conf
from tests.fixtures import workers

PROJECT = 'project'
CLIENT = uuid.uuid4()

# Nothing here may end by itself before the test does.
LONG = 3600

# Seconds between two looks at a queue that has nothing to claim.
PAUSE = 0.1

# Seconds between two looks at what nobody won, which takes many to be free.
LOOK = 1.0

# Options, and with them the longest time for which a message that
# nobody won can not be claimed.
ATTEMPT_LIMIT = 10.0
CLOCK_SKEW = 2.0
BOUND = 2 * ATTEMPT_LIMIT + CLOCK_SKEW

# Seconds that the requests of one claim and some more may take.
SLACK = 10.0


class Delivery(NamedTuple):
    """A message, as one process was given it; times are of one clock."""

    message: str
    claim: str
    asked: float
    answered: float
    deleted: float


class Drained(NamedTuple):
    """What one process got out of a queue."""

    deliveries: list[Delivery]
    #: When it asked for messages, and when it was told that there are none.
    refusals: list[tuple[float, float]]


def drain(
    site: workers.Site, queue: str, lasts: float,
) -> Drained:
    """Claim and delete until the queue is empty, or time is up."""
    drained = Drained([], [])
    deadline = time.monotonic() + lasts
    while time.monotonic() < deadline:
        asked = time.monotonic()
        claim, messages = site.data.claim_controller.create(
            queue, {'ttl': 60, 'grace': 60}, project=PROJECT, limit=5)
        answered = time.monotonic()
        for message in messages:
            site.data.message_controller.delete(
                queue, message['id'], project=PROJECT, claim=claim)
            drained.deliveries.append(Delivery(
                message['id'], claim, asked, answered, time.monotonic()))
        if claim is None:
            drained.refusals.append((asked, answered))
            if not stats(site, queue)['total']:
                break
            time.sleep(PAUSE)
    return drained


class Answer(NamedTuple):
    """What a claim won, and how many seconds it took."""

    messages: list[str]
    took: float


def claim_ten(site: workers.Site, queue: str) -> Answer:
    """Claim ten messages."""
    asked = time.monotonic()
    _, messages = site.data.claim_controller.create(
        queue, {'ttl': LONG, 'grace': 60}, project=PROJECT, limit=10)
    return Answer([message['id'] for message in messages],
                  time.monotonic() - asked)


def stats(site: workers.Site, queue: str) -> dict[str, Any]:
    counted: dict[str, Any] = site.queues.stats(queue, project=PROJECT)
    return counted['messages']


def log_in(site: workers.Site) -> bool:
    return site.data.is_alive()


class _Claiming(testtools.TestCase):
    """Several processes that claim from the same queues."""

    replicas = 1
    containers = 1

    def setUp(self) -> None:
        super().setUp()
        configured = self.useFixture(conf.ZaqarConf(
            self.replicas, containers_per_queue=self.containers,
            claim_attempt_limit=ATTEMPT_LIMIT, clock_skew=CLOCK_SKEW,
            post_time_limit=120))
        self.path = configured.path
        self.tally = configured.swift.tally
        self.site = workers.Site(self.path)

    def start(self, count: int) -> workers.Workers:
        started: workers.Workers = self.useFixture(
            workers.Workers(self.path, count))
        started.each(log_in, within=30)
        return started

    def make_queue(self, name: str, size: int) -> list[str]:
        """Make a queue with so many messages; returns their ids."""
        self.site.queues.create(name, project=PROJECT)
        ids: list[str] = self.site.data.message_controller.post(
            name, ({'ttl': LONG, 'body': number} for number in range(size)),
            CLIENT, project=PROJECT)
        return ids

    def report(self, figures: dict[str, Any]) -> None:
        """Add figures to what is known of this test."""
        text = '\n'.join(f'{key}: {value}' for key, value in figures.items())
        self.addDetail('figures', content.text_content(text))


class DrainTest(_Claiming):
    """Processes that work a queue off together."""

    size = workers.scaled(40, 500)

    def test_two_processes(self) -> None:
        self.check_drain(2)

    def test_four_processes(self) -> None:
        self.check_drain(4)

    def test_eight_processes(self) -> None:
        self.check_drain(8)

    def check_drain(self, count: int) -> None:
        processes = self.start(count)
        posted = self.make_queue('queue', self.size)
        self.tally.reset()
        # Generous: the longest pause between deliveries is checked below.
        lasts = 120.0 + self.size

        began = time.monotonic()
        drained = processes.each(drain, 'queue', lasts, within=lasts + SLACK)

        took = time.monotonic() - began
        deliveries = sorted(
            itertools.chain.from_iterable(got.deliveries for got in drained),
            key=lambda delivery: delivery.answered)
        requests = self.tally.read().requests
        entered = entries(requests)
        tries = collections.Counter(request.path for request in entered)
        pause = longest_pause(began, deliveries, entered)
        self.report({
            'processes': count,
            'replicas': self.replicas,
            'containers': self.containers,
            'messages': self.size,
            'messages per process': [len(got.deliveries) for got in drained],
            'claims': len({delivery.claim for delivery in deliveries}),
            'claims refused': sum(len(got.refusals) for got in drained),
            'claims refused though something was free':
                refused_in_vain(drained, deliveries),
            'messages by how often somebody tried for them': dict(
                collections.Counter(tries.values())),
            'seconds': round(took, 1),
            'longest pause': round(pause, 1),
            'requests per message': round(len(requests) / self.size, 1)})
        self.assertEqual(
            posted, sorted(delivery.message for delivery in deliveries))
        self.assertEqual({'claimed': 0, 'free': 0, 'total': 0},
                         stats(self.site, 'queue'))
        self.assertThat(pause, matchers.LessThan(SLACK + BOUND))
        # Each try that nobody won hides a message once more.
        self.assertThat(
            longest_pause(began, deliveries, ()),
            matchers.LessThan(SLACK + max(tries.values()) * BOUND))


class ThreeReplicasDrainTest(DrainTest):
    replicas = 3
    size = workers.scaled(20, 500)


class SpreadDrainTest(DrainTest):
    containers = 4


class HerdTest(_Claiming):
    """Sixteen processes that want the same ten messages at once."""

    rounds = workers.scaled(4, 100)

    def test_nobody_wins_what_another_has(self) -> None:
        herd = self.start(16)
        posted: dict[str, list[str]] = {}
        answers: dict[str, list[Answer]] = {}

        for number in range(self.rounds):
            queue = f'round-{number}'
            posted[queue] = self.make_queue(queue, 10)
            answers[queue] = herd.each(claim_ten, queue, within=60)

        won = {queue: [message for answer in answers[queue]
                       for message in answer.messages] for queue in posted}
        left = {queue: 10 - len(won[queue]) for queue in posted}
        slowest = sorted(answer.took for round_ in answers.values()
                         for answer in round_)
        self.report({
            'replicas': self.replicas,
            'containers': self.containers,
            'rounds': self.rounds,
            'messages': 10 * self.rounds,
            'messages that nobody won': sum(left.values()),
            'rounds by messages that nobody won': dict(
                sorted(collections.Counter(left.values()).items())),
            'rounds by claims that won something': dict(
                sorted(collections.Counter(
                    sum(bool(answer.messages) for answer in round_)
                    for round_ in answers.values()).items())),
            'seconds of a claim, median and worst': (
                round(slowest[len(slowest) // 2], 1), round(slowest[-1], 1)),
            'claims over their time': sum(
                seconds > ATTEMPT_LIMIT for seconds in slowest)})
        for queue in posted:
            self.assertEqual(sorted(set(won[queue])), sorted(won[queue]))
        self.check_each_is_won_once(posted, won)

    def check_each_is_won_once(
        self, posted: dict[str, list[str]], won: dict[str, list[str]],
    ) -> None:
        """What nobody won is there for who asks later; the rest is not."""
        deadline = time.monotonic() + BOUND
        waiting = set(posted)
        while waiting:
            # By then the names of all who lost count for nothing.
            last = time.monotonic() > deadline
            for queue in sorted(waiting):
                won[queue] += claim_ten(self.site, queue).messages
                if last:
                    waiting.remove(queue)
            time.sleep(LOOK)
        for queue in posted:
            self.assertEqual(posted[queue], sorted(won[queue]))


class ThreeReplicasHerdTest(HerdTest):
    replicas = 3
    rounds = workers.scaled(2, 100)


class SpreadHerdTest(HerdTest):
    containers = 4


def entries(requests: Iterable[tallying.Request]) -> list[tallying.Request]:
    """Those by which claimers came into gates, to win a message or lose it."""
    return [request for request in requests
            if (request.method, request.status) == ('PUT', 201)
            and '/gate/' in request.path]


def longest_pause(
    began: float, deliveries: Iterable[Delivery],
    entered: Iterable[tallying.Request],
) -> float:
    """Seconds for which nobody could try for anything that there was."""
    times = sorted([
        began, *(delivery.answered for delivery in deliveries),
        *(request.end for request in entered if request.end)])
    return max(after - before for before, after in itertools.pairwise(times))


def refused_in_vain(
    drained: Iterable[Drained], deliveries: Sequence[Delivery],
) -> int:
    """Count refusals after which somebody else asked, and got something."""
    return sum(
        any(delivery.asked > answered for delivery in deliveries)
        for got in drained for _, answered in got.refusals)
