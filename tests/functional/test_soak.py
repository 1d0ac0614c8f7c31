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

"""Posters and claimers who go on and on: nothing fails, nothing grows.

For some seconds, or for as many minutes as ``MARCONI_SWIFT_TEST_SOAK`` says;
``tools/run-tests soak`` says ten. With ``MARCONI_SWIFT_TEST_REPORT``, what was
measured is added to a file of that name, a line of JSON for each test.
"""

from collections.abc import Callable
from collections.abc import Sequence
import json
import math
import os
import random
import resource
import statistics
import threading
import time
from typing import Any
from typing import NamedTuple
import uuid

import swiftclient
import testtools
from testtools import content

from marconi_swift import names
from marconi_swift import records
from tests.fixtures import conf
from tests.fixtures import workers
from tests.functional import test_forks

MINUTES_VARIABLE = 'MARCONI_SWIFT_TEST_SOAK'
REPORT_VARIABLE = 'MARCONI_SWIFT_TEST_REPORT'

# Minutes of each test, unless told otherwise.
SHORT = 0.15

PROJECT = 'project'
# Processes, in the long form and in the short one.
PROCESSES = 8 if MINUTES_VARIABLE in os.environ else 3
BATCH = 10

# Messages of a claim that Zaqar allows (max_messages_per_claim_or_pop).
MOST = 20

# Seconds between two looks at what a process uses.
INTERVAL = 1.0

# Of claims; long enough that none ends while its messages are worked on.
TTL = 300

# Sockets and threads that are not for the fan-out.
OTHERS = 8

# Seconds: the options claim_attempt_limit and clock_skew.
ATTEMPT = 15
SKEW = 2

# Seconds in which some of the messages that nobody holds must be won, if only
# one claimer is about: what several tried for and nobody won is free again
# after the first, and the second are two attempts at it.
PATIENCE = (2 * ATTEMPT + SKEW) + 2 * ATTEMPT

# Messages, and leftovers of claims, that are looked at in the end.
SAMPLE = 100


class Used(NamedTuple):
    """What a process used at some moment."""

    mebibytes: float
    threads: int
    sockets: int


# By which the medians may grow from the second third of the time to the last:
# caches and arenas fill up for a while.
GROWTH = Used(mebibytes=6, threads=1, sockets=1)


class Told(NamedTuple):
    """What a process tells of its work."""

    #: Numbers of messages, and the sums of their ids.
    posted: tuple[int, int]
    deleted: tuple[int, int]
    #: Seconds that each operation took, by its name.
    took: dict[str, list[float]]
    used: list[Used]
    errors: list[str]


def minutes() -> float:
    return float(os.environ.get(MINUTES_VARIABLE, SHORT))


class Worker:
    """Posts, claims, deletes and releases, one after the other."""

    def __init__(self, site: workers.Site, queues: Sequence[str]) -> None:
        self._messages = site.data.message_controller
        self._claims = site.data.claim_controller
        self._queues = queues
        self._posted: list[int] = [0, 0]
        self._deleted: list[int] = [0, 0]
        self._took: dict[str, list[float]] = {}
        self._used: list[Used] = []
        self._errors: list[str] = []

    def work(self, seconds: float) -> None:
        """Post and consume, and look at what is used meanwhile."""
        deadline = look = time.monotonic()
        deadline += seconds
        while time.monotonic() < deadline:
            queue = random.choice(self._queues)
            self._attempt(self._post, queue)
            self._attempt(self._consume, queue)
            if time.monotonic() >= look:
                self._used.append(used())
                look += INTERVAL

    def drain(self, deadline: float) -> None:
        """Consume until there is nothing, or a moment is past."""
        for queue in self._queues:
            while time.monotonic() < deadline and self._attempt(
                    self._consume, queue):
                pass

    def told(self) -> Told:
        return Told((self._posted[0], self._posted[1]),
                    (self._deleted[0], self._deleted[1]),
                    self._took, self._used, self._errors)

    def _attempt(self, what: Callable[[str], Any], queue: str) -> Any:
        try:
            return what(queue)
        except Exception as error:
            self._errors.append(f'{type(error).__name__}: {error}')
            return True

    def _timed(self, name: str, call: Callable[..., Any], *args: Any,
               **kwargs: Any) -> Any:
        began = time.monotonic()
        result = call(*args, **kwargs)
        self._took.setdefault(name, []).append(time.monotonic() - began)
        return result

    def _post(self, queue: str) -> None:
        ids = self._timed(
            'post', self._messages.post, queue,
            [{'ttl': 3600, 'body': number} for number in range(BATCH)],
            uuid.uuid4(), project=PROJECT)
        _count(self._posted, ids)

    def _consume(self, queue: str) -> bool:
        claim, messages = self._timed(
            'claim', self._claims.create, queue,
            {'ttl': TTL, 'grace': 60}, project=PROJECT, limit=BATCH)
        for message in messages:
            self._timed('delete', self._messages.delete, queue,
                        message['id'], project=PROJECT, claim=claim)
            _count(self._deleted, [message['id']])
        if claim:
            self._timed('release', self._claims.delete, queue, claim,
                        project=PROJECT)
        return claim is not None


class Drainer(Worker):
    """Claims as many as Zaqar allows, and deletes them in bulk."""

    def _consume(self, queue: str) -> bool:
        claim, messages = self._timed(
            'claim', self._claims.create, queue,
            {'ttl': TTL, 'grace': 60}, project=PROJECT,
            limit=MOST)
        ids = [message['id'] for message in messages]
        if ids:
            self._timed('delete', self._messages.bulk_delete, queue, ids,
                        project=PROJECT, claim_ids=[claim])
            _count(self._deleted, ids)
        return claim is not None


def _count(counts: list[int], ids: Sequence[str]) -> None:
    counts[0] += len(ids)
    # The sum is that of the same ids in any order, and of no others.
    counts[1] += sum(uuid.UUID(each).int for each in ids)


def used() -> Used:
    with open('/proc/self/statm') as file:
        pages = int(file.read().split()[1])
    return Used(pages * resource.getpagesize() / 2**20,
                threading.active_count(), test_forks.count_sockets())


def soak(
    site: workers.Site, queues: Sequence[str], seconds: float,
) -> Told:
    worker = Worker(site, queues)
    worker.work(seconds)
    return worker.told()


def fill(site: workers.Site, queue: str, count: int) -> int:
    """Post so many messages."""
    return sum(
        len(site.data.message_controller.post(
            queue, [{'ttl': 36000, 'body': number}
                    for number in range(start, min(count, start + 100))],
            uuid.uuid4(), project=PROJECT))
        for start in range(0, count, 100))


def drain(site: workers.Site, queue: str, seconds: float) -> Told:
    worker = Drainer(site, [queue])
    deadline = time.monotonic() + seconds
    # With others about, a claim that gets nothing says little.
    while time.monotonic() < deadline and site.queues.stats(
            queue, project=PROJECT)['messages']['free']:
        worker.drain(deadline)
    return worker.told()


class SoakTest(testtools.TestCase):

    def setUp(self) -> None:
        super().setUp()
        # Several times as busy as a server should be, so posts take longer.
        made = self.useFixture(conf.ZaqarConf(
            post_time_limit=60, claim_attempt_limit=ATTEMPT,
            clock_skew=SKEW))
        self.swift = made.swift
        self.site = workers.Site(made.path)
        self.processes = self.useFixture(
            workers.Workers(made.path, PROCESSES))
        self.seconds = minutes() * 60

    def queues(self, count: int) -> list[str]:
        made = [f'soaked-{number}' for number in range(count)]
        for name in made:
            self.site.queues.create(name, project=PROJECT)
        return made

    def test_one_queue(self) -> None:
        self.soak_and_check(self.queues(1))

    def test_many_queues(self) -> None:
        self.soak_and_check(
            self.queues(200 if MINUTES_VARIABLE in os.environ else 20))

    def test_a_backlog_drains(self) -> None:
        [queue] = self.queues(1)
        count = round(float(os.environ.get(
            'MARCONI_SWIFT_TEST_BACKLOG', 200)) / PROCESSES)
        limit = 600 + count
        began = time.monotonic()
        filled = sum(self.processes.each(fill, queue, count, within=limit))
        filling = time.monotonic() - began
        began = time.monotonic()
        told = self.processes.each(drain, queue, limit, within=limit)
        draining = time.monotonic() - began
        rest = self.drain_rest([queue])

        self.report(told, rest, messages=filled, filling=round(filling),
                    draining=round(draining))
        told.append(rest)
        self.check_errors(told)
        self.check_left([queue])
        self.assertEqual(filled, sum(each.deleted[0] for each in told))

    def soak_and_check(self, queues: list[str]) -> None:
        told = self.processes.each(
            soak, queues, self.seconds, within=self.seconds + 120)
        rest = self.drain_rest(queues)

        self.report(told, rest, queues=len(queues))
        told.append(rest)
        self.check_errors(told)
        self.check_left(queues)
        # Each message that was posted was worked on once.
        for of in range(2):
            self.assertEqual(sum(each.posted[of] for each in told),
                             sum(each.deleted[of] for each in told))
        for each in told[:PROCESSES]:
            self.check_growth(each.used)

    def drain_rest(self, queues: list[str]) -> Told:
        """Work off what is left when nobody else is about.

        As long as that takes, unless nothing can be had for too long.
        """
        worker = Worker(self.site, queues)
        had, since = worker.told().deleted, time.monotonic()
        while (self.messages_left(queues)
               and time.monotonic() < since + PATIENCE):
            worker.drain(since + PATIENCE)
            if worker.told().deleted != had:
                had, since = worker.told().deleted, time.monotonic()
        return worker.told()

    def messages_left(self, queues: list[str]) -> int:
        return sum(
            self.site.queues.stats(name, project=PROJECT)['messages']['total']
            for name in queues)

    def check_errors(self, told: Sequence[Told]) -> None:
        self.assertEqual([], [error for each in told
                              for error in each.errors])

    def check_growth(self, seen: Sequence[Used]) -> None:
        """What a process uses does not grow after the first third."""
        third = max(1, len(seen) // 3)
        middle, last = seen[third:2 * third] or seen[:1], seen[-third:]
        for before, after, most in zip(
                zip(*middle, strict=True), zip(*last, strict=True), GROWTH,
                strict=True):
            self.assertLessEqual(
                statistics.median(after) - statistics.median(before), most)
        width = self.site.data.account.settings.fan_out
        for each in seen:
            self.assertLessEqual(each.threads, width + OTHERS)
            # Each thread has one for each store.
            self.assertLessEqual(each.sockets, 2 * (width + OTHERS))

    def check_left(self, queues: Sequence[str]) -> None:
        """No message is left; of claims what expires by itself, if any."""
        client = self.swift.connect()
        prefix = self.site.data.account.settings.container_prefix
        for queue in queues:
            of_claims = names.claims(prefix, PROJECT, queue)
            claims = _content_types(client, of_claims)
            messages = _content_types(
                client, names.messages(prefix, PROJECT, queue))
            # What each says of who holds it, and who stands in its gate.
            self.assertEqual([], [
                (name, content_type, claims.get(records.GATE + name))
                for name, content_type in messages.items()][:SAMPLE])
            for name in random.sample(
                    sorted(claims), min(SAMPLE, len(claims))):
                self.check_expires(client, of_claims, name)

    def check_expires(
        self, client: swiftclient.Connection, container: str, name: str,
    ) -> None:
        """It goes by itself, soon after a claim would have been over."""
        try:
            found = client.head_object(container, name)
        except swiftclient.ClientException as exc:
            # It expired; its row goes with the next sweep.
            self.assertEqual(404, exc.http_status)
            return
        self.assertLess(
            float(found.get('x-delete-at', math.inf)),
            time.time() + TTL + records.KEEP_GATE + 60)

    def report(
        self, told: Sequence[Told], rest: Told, **facts: Any,
    ) -> None:
        """Say what was measured, in the test's details and in a file.

        :param rest: what nobody measures, since it had Swift for itself.
        """
        took: dict[str, list[float]] = {}
        for each in told:
            for name, times in each.took.items():
                took.setdefault(name, []).extend(times)
        facts |= {
            'test': self.id().rpartition('.')[2],
            'minutes': round(minutes(), 2), 'processes': PROCESSES,
            'posted': sum(each.posted[0] for each in told),
            'deleted': sum(each.deleted[0] for each in (*told, rest)),
            'afterwards': rest.deleted[0],
            'errors': sum(len(each.errors) for each in (*told, rest)),
            'milliseconds': {
                name: {'p50': _percentile(times, 50),
                       'p99': _percentile(times, 99), 'count': len(times)}
                for name, times in sorted(took.items())},
            'left': self.left(),
            'used': [[_rounded(each.used[at]) for at in _thirds(each.used)]
                     for each in told if each.used]}
        line = json.dumps(facts)
        self.addDetail('measured', content.text_content(line))
        if path := os.environ.get(REPORT_VARIABLE):
            with open(path, 'a') as file:
                file.write(f'{line}\n')

    def left(self) -> int:
        """How many objects are in the account now."""
        credentials = self.swift.connect()
        _, containers = credentials.get_account()
        return sum(
            len(credentials.get_container(
                each['name'], full_listing=True)[1])
            for each in containers if ':claims:' in each['name']
            or ':messages:' in each['name'])


def _content_types(
    client: swiftclient.Connection, container: str,
) -> dict[str, str]:
    """What the listing of a container says of each object."""
    _, rows = client.get_container(container, full_listing=True)
    return {row['name']: row['content_type'] for row in rows}


def _percentile(times: Sequence[float], percent: int) -> float:
    ordered = sorted(times)
    at = math.ceil(len(ordered) * percent / 100) - 1
    return round(ordered[max(0, at)] * 1000, 1)


def _thirds(seen: Sequence[Used]) -> tuple[int, int, int]:
    return len(seen) // 3, 2 * len(seen) // 3, len(seen) - 1


def _rounded(one: Used) -> list[float]:
    return [round(each, 1) for each in one]
