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
"""What is swept where no expirer runs and deletions were cut short."""

from collections.abc import Callable
import functools
import json
from typing import Any

import fixtures
from oslo_utils import timeutils

from marconi_swift import driver
from marconi_swift import names
from marconi_swift import records
from marconi_swift.data import sweeping
from marconi_swift.store import errors
from marconi_swift.store import objects
from tests.fixtures import fake_swift
from tests.unit import test_claims

_URI = 'marconi-swift://'

_LONG = 6000


def small_pages(rows: int) -> fixtures.Fixture:
    """Let Swift list no more than this at a time."""
    page = objects.ObjectStore.page

    def small(store: Any, container: str, **kwargs: Any) -> Any:
        return page(store, container, **{'limit': rows, **kwargs})

    return fixtures.CompoundFixture([
        fixtures.MonkeyPatch('marconi_swift.store.objects.PAGE', rows),
        fixtures.MonkeyPatch(
            'marconi_swift.store.objects.ObjectStore.page', small)])


class SweepingTest(test_claims.ClaimTest):
    """Has a queue, a clock, and a Swift without an expirer."""

    def setUp(self) -> None:
        super().setUp()
        self.data, self.control = self.drivers.data, self.drivers.control
        self.store = self.data.account.store
        self.claims_container = names.claims('marconi', 'p', 'q')

    def sweep(self, **kwargs: Any) -> dict[str, tuple[int, int, bool]]:
        """What was found, by container, where anything was."""
        return {swept.container: swept[1:]
                for swept in sweeping.sweep(self.data, **kwargs) if swept}

    def stored(self, container: str) -> list[str]:
        """What a container holds, and Swift shows or has not removed yet."""
        return [row.name for row in self.store.page(container)]

    def containers(self) -> list[str]:
        return [row['name'] for row in json.loads(self.swift.request(
            'GET', query={'format': 'json'}).body)]

    def post_to(self, queue: str, *bodies: Any, ttl: int = _LONG) -> list[str]:
        return self.messages.post(
            queue, [{'ttl': ttl, 'body': body} for body in bodies],
            client_uuid='x', project='p')

    def half_delete(self, queue: str = 'half', *bodies: Any) -> str:
        """Leave what a crash in the middle of a deletion leaves."""
        self.queues.create(queue, project='p')
        self.post_to(queue, *bodies)
        self.control.queue_controller.delete(queue, project='p')
        return names.messages('marconi', 'p', queue)

    def put(self, container: str, name: str, content_type: str) -> None:
        self.store.make_container(container, None)
        self.store.replace(container, name, content_type=content_type)

    def put_brief(self, container: str) -> None:
        """Put what looks like ours, and is over after ten seconds."""
        until = int(records.now()) + 10
        self.store.make_container(container, None)
        self.store.replace(
            container, 'brief', content_type=records.until_type(until),
            delete_at=until)

    def on_nth_step(self, number: int, call: Callable[[], Any]) -> None:
        """Call once, before that step from now on of all requests."""
        left = [number]

        def on_step(step: str, request: fake_swift.Request) -> None:
            left[0] -= 1
            if not left[0]:
                self.swift.on_step = None
                call()

        self.swift.on_step = on_step

    def on_answer(
        self, method: str, container: str, call: Callable[[], Any],
    ) -> None:
        """Call once, before the answer to such a request leaves."""
        def on_step(step: str, request: fake_swift.Request) -> None:
            if (step, request.method, request.container, request.name) == (
                    'answer', method, container, None):
                self.swift.on_step = None
                call()

        self.swift.on_step = on_step


class TestWhatHasExpired(SweepingTest):

    def test_is_removed_and_what_has_not_stays(self) -> None:
        self.post(1, ttl=60)
        [kept] = self.post(2, ttl=61)
        self.pass_time(60 + records.SWEEP_AFTER - 0.001)
        self.assertEqual({}, self.sweep())
        self.assertEqual(2, len(self.stored(self.container)))

        self.pass_time(0.001)

        self.assertEqual({self.container: (1, 0, False)}, self.sweep())
        self.assertEqual([kept], self.stored(self.container))
        self.assertEqual({}, self.sweep())

    def test_is_claims_and_gates(self) -> None:
        self.post(1, 2, ttl=_LONG)
        over, [gone] = self.claim(limit=1, ttl=60)
        live, [held] = self.claim(limit=1, ttl=_LONG)
        record, gate = f'claim/{live}', f'gate/{held["id"]}'
        self.assertEqual({f'claim/{over}', f'gate/{gone["id"]}', record, gate},
                         set(self.stored(self.claims_container)))

        self.pass_time(60 + records.KEEP_CLAIM - 1)
        self.assertEqual({}, self.sweep())
        self.pass_time(1)
        self.assertEqual({self.claims_container: (1, 0, False)}, self.sweep())
        self.assertEqual({f'gate/{gone["id"]}', record, gate},
                         set(self.stored(self.claims_container)))
        self.pass_time(records.KEEP_GATE - records.KEEP_CLAIM)
        self.assertEqual({self.claims_container: (1, 0, False)}, self.sweep())

        self.assertEqual([record, gate], self.stored(self.claims_container))
        self.delete(held['id'], live)
        self.get(gone['id'])

    def test_is_what_elections_left(self) -> None:
        elections = self.data.account.elections
        self.swift.faults[:] = [
            fake_swift.Fault(number, 'before', 503, lambda request: (
                request.method, request.container) == (
                    'DELETE', elections.container))
            for number in range(1, 10)]
        self.control.queue_controller.create('crashed', project='p')
        self.swift.faults.clear()
        self.assertEqual(2, len(self.stored(elections.container)))

        self.assertEqual({}, self.sweep())
        self.assertEqual(2, len(self.stored(elections.container)))
        self.pass_time(elections.void_after + 1)

        self.assertEqual({elections.container: (2, 0, False)}, self.sweep())
        self.assertEqual([], self.stored(elections.container))
        self.assertIn(elections.container, self.containers())

    def test_is_subscriptions_and_their_holders(self) -> None:
        subscriptions = self.data.subscription_controller
        subscriptions.create('q', 'http://brief', 60, {}, project='p')
        long = subscriptions.create('q', 'http://long', _LONG, {}, project='p')
        container = names.subscriptions('marconi', 'p', 'q')
        self.pass_time(120)

        self.assertEqual({container: (2, 0, False)}, self.sweep())

        self.assertEqual(
            {names.subscription(long), names.subscriber('http://long')},
            set(self.stored(container)))
        self.assertTrue(subscriptions.exists('q', long, project='p'))

    def test_is_known_whatever_the_fraction_of_its_second(self) -> None:
        subscriptions = self.data.subscription_controller
        container = names.subscriptions('marconi', 'p', 'q')
        for fraction in (0, 0.0003, 0.0007, 0.25, 0.4996, 0.9994, 0.9999):
            self.clock.advance_time_seconds(
                1 - records.now() % 1 + fraction)
            self.post(1, ttl=60)
            subscriptions.create('q', 'http://brief', 60, {}, project='p')

            # Within the second in which Swift does not yet call it expired.
            self.pass_time(60 + records.SWEEP_AFTER + 0.001)

            self.assertEqual(
                {self.container: (1, 0, False), container: (2, 0, False)},
                self.sweep(), fraction)

    def test_is_left_alone_if_it_was_renewed_meanwhile(self) -> None:
        subscriptions = self.data.subscription_controller
        subscriptions.create('q', 'http://me', 60, {}, project='p')
        container = names.subscriptions('marconi', 'p', 'q')
        self.pass_time(120)
        made: list[Any] = []
        # Its holder has the name that the first one's had.
        self.on_answer('GET', container, lambda: made.append(
            subscriptions.create('q', 'http://me', _LONG, {}, project='p')))

        self.assertEqual({container: (1, 0, False)}, self.sweep())

        self.assertEqual(
            {names.subscription(made[0]), names.subscriber('http://me')},
            set(self.stored(container)))
        self.assertEqual(made[0], subscriptions.get_with_subscriber(
            'q', 'http://me', project='p')['id'])

    def test_is_left_alone_if_it_is_over_here_and_not_in_swift(self) -> None:
        self.post(1, ttl=60)
        self.swift.clock = lambda: timeutils.utcnow_ts(True) - 3600
        self.pass_time(3000)

        self.assertEqual({}, self.sweep())

        self.swift.clock = lambda: timeutils.utcnow_ts(True)
        self.assertEqual({self.container: (1, 0, False)}, self.sweep())

    def test_is_not_what_a_listing_says_that_is_late(self) -> None:
        [posted] = self.post(1, ttl=70)
        self.swift.lag = True
        self.claim(ttl=1000)
        self.pass_time(200)

        self.assertEqual({}, self.sweep())
        self.swift.flush_listings()

        self.assertEqual([posted], self.stored(self.container))
        self.assertEqual(1, self.get(posted)['claim_count'])

    def test_is_found_on_every_page(self) -> None:
        self.useFixture(small_pages(3))
        for number in range(8):
            self.post(number, ttl=_LONG if number % 4 == 3 else 60)
        self.pass_time(200)

        self.assertEqual({self.container: (6, 0, False)}, self.sweep())
        self.assertEqual([3, 7], self.bodies())

    def test_is_removed_of_queues_whose_names_nobody_can_tell(self) -> None:
        project = 'ü' * 100
        self.queues.create('q', project=project)
        container = names.messages('marconi', project, 'q')
        for ttl in (60, _LONG):
            self.messages.post('q', [{'ttl': ttl, 'body': ttl}],
                               client_uuid='x', project=project)
        # Nobody can tell that it is gone, either.
        self.control.queue_controller.delete('q', project=project)
        self.pass_time(200)

        self.assertEqual({container: (1, 0, False)}, self.sweep())
        self.pass_time(_LONG)
        self.assertEqual({container: (1, 0, False)}, self.sweep())

        self.assertIn(container, self.containers())


class TestWhatIsLeftOfDeletedQueues(SweepingTest):

    def test_is_removed_with_its_containers(self) -> None:
        [kept] = self.post(0, ttl=_LONG)
        self.queues.create('half', project='p')
        self.post_to('half', 1, 2, 3)
        self.claims.create('half', {'ttl': 60, 'grace': 60}, 'p', limit=1)
        self.post_to('half', 4, ttl=60)
        self.control.queue_controller.delete('half', project='p')
        self.pass_time(120)

        self.assertEqual({
            # The message that was claimed is one of the three.
            names.messages('marconi', 'p', 'half'): (1, 3, True),
            names.claims('marconi', 'p', 'half'): (0, 2, True),
        }, self.sweep())

        self.assertEqual(
            [self.claims_container, 'marconi:elections', self.container,
             'marconi:queues'], self.containers())
        self.assertEqual([kept], self.stored(self.container))

    def test_is_removed_if_there_is_nothing_in_it(self) -> None:
        container = self.half_delete()

        self.assertEqual(
            {container: (0, 0, True),
             names.claims('marconi', 'p', 'half'): (0, 0, True)},
            self.sweep())
        self.assertNotIn(container, self.containers())

    def test_is_removed_page_by_page(self) -> None:
        self.useFixture(small_pages(3))
        container = self.half_delete('half', *range(7))

        self.assertEqual((0, 7, True), self.sweep()[container])
        self.assertNotIn(container, self.containers())

    def test_is_not_what_is_left_of_topics(self) -> None:
        for name in ('q', 'live', 'half'):
            self.pipeline.topic_controller.create(name, project='p')
            self.put(names.topic_messages('marconi', 'p', name), 'a-message',
                     'text/plain')
        # Of one name there is a topic and no queue, and of one the reverse.
        self.half_delete('live', 1)
        self.control.topic_controller.delete('q', project='p')
        self.control.topic_controller.delete('half', project='p')
        [kept] = self.post(1, ttl=_LONG)

        self.assertEqual({
            names.claims('marconi', 'p', 'live'): (0, 0, True),
            names.messages('marconi', 'p', 'live'): (0, 1, True),
            names.topic_messages('marconi', 'p', 'q'): (0, 1, True),
            names.topic_messages('marconi', 'p', 'half'): (0, 1, True),
        }, self.sweep())

        self.assertEqual(['a-message'], self.stored(
            names.topic_messages('marconi', 'p', 'live')))
        self.assertEqual([kept], self.stored(self.container))

    def test_is_not_subscriptions_made_before_there_is_one(self) -> None:
        subscriptions = self.data.subscription_controller
        made = subscriptions.create('none', 'http://me', 60, {}, project='p')
        container = names.subscriptions('marconi', 'p', 'none')

        self.assertEqual({}, self.sweep())
        self.assertTrue(subscriptions.exists('none', made, project='p'))
        self.pass_time(120)

        self.assertEqual({container: (2, 0, True)}, self.sweep())
        self.assertNotIn(container, self.containers())

    def test_is_removed_though_the_queue_is_remembered(self) -> None:
        queues = self.control.queue_controller
        self.queues.create('half', project='p')
        self.post_to('half', 1)
        queues.get_metadata('half', 'p')
        another = driver.ControlDriver(self.drivers.conf, None)
        another.queue_controller.delete('half', project='p')
        self.assertTrue(queues.exists('half', 'p'))

        self.assertEqual((0, 1, True), self.sweep()[
            names.messages('marconi', 'p', 'half')])

    def test_is_not_a_queue_that_is_made_anew_meanwhile(self) -> None:
        steps = 0

        def anew() -> None:
            nonlocal steps
            steps += 1
            self.queues.create('half', project='p')
            posted[:] = self.post_to('half', 'new')

        posted: list[str] = []
        while True:
            self.half_delete('half', 'old', 'older')
            posted.clear()
            self.on_nth_step(steps + 1, anew)
            self.sweep()
            self.swift.on_step = None
            if not posted:
                break
            self.assertEqual(
                'new', self.messages.get('half', posted[0], 'p')['body'])
            self.assertIn(posted[0], [message['id'] for message in next(
                self.messages.list('half', 'p', echo=True))])
            self.queues.delete('half', project='p')

        self.assertGreater(steps, 40)

    def test_is_not_a_queue_that_is_being_made_anew(self) -> None:
        for number in range(1, 1000):
            self.half_delete('half', 'old')
            self.on_nth_step(number, self.sweep)
            self.queues.create('half', project='p')
            [posted] = self.post_to('half', 'new')
            _claim_id, claimed = self.claims.create(
                'half', {'ttl': 60, 'grace': 60}, 'p')
            if self.swift.on_step:
                break
            self.assertIn(posted, [message['id'] for message in claimed])
            self.assertEqual({}, self.sweep())
            self.queues.delete('half', project='p')

        self.swift.on_step = None
        self.assertGreater(number, 60)

    def test_is_not_a_queue_posted_to_long_after_it_is_made(self) -> None:
        # It is made and posted to at any two moments of the sweep.
        posted: list[str] = []

        def make(later: int) -> None:
            self.queues.create('half', project='p')
            self.on_nth_step(later, lambda: posted.extend(
                self.post_to('half', 'new')))

        for earlier in range(1, 1000):
            for later in range(1, 1000):
                self.half_delete('half', 'old')
                posted.clear()
                self.on_nth_step(earlier, functools.partial(make, later))
                self.sweep(after='marconi:elections')
                reached, self.swift.on_step = bool(posted), None
                if not reached:
                    break
                self.messages.get('half', posted[0], 'p')
                self.queues.delete('half', project='p')
            if later == 1:
                break

        self.assertGreater(earlier, 15)

    def test_is_not_dead_letters_in_a_queue_half_deleted_before(self) -> None:
        self.half_delete('dead')
        self.queues.set_metadata('q', {
            '_max_claim_count': 1, '_dead_letter_queue': 'dead'}, project='p')
        self.post('bad', ttl=6000)
        claim, _ = self.claim()
        self.claims.delete('q', claim, project='p')
        self.claim()

        self.assertEqual({}, self.sweep())

    def test_is_not_dead_letters_in_a_queue_that_nobody_made(self) -> None:
        self.queues.set_metadata('q', {
            '_max_claim_count': 1, '_dead_letter_queue': 'dead'}, project='p')
        [posted] = self.post('bad', ttl=_LONG)
        claim_id, _ = self.claim()
        self.claims.delete('q', claim_id, project='p')
        self.assertEqual((None, []), self.claim())

        self.assertEqual({}, self.sweep())

        [dead] = next(self.messages.list('dead', project='p', echo=True))
        self.assertEqual((posted, 'bad'), (dead['id'], dead['body']))


class TestWhatIsNotOurs(SweepingTest):

    def test_is_never_asked_for(self) -> None:
        foreign = (
            # Of deployments with other prefixes,
            'marconi2:messages:p:q', 'marcon:messages:p:q', 'messages:p:q',
            'other:claims:p:q', 'other:elections', 'marconi',
            # of the management store, and of nobody.
            'marconi:queues', 'marconi:topics', 'marconi:pools',
            'marconi:flavors', 'marconi:catalogue', 'marconi:backup:p:q',
            'marconi:messages:p', 'marconi:messages:p:q:r',
            'marconi:elections:p:q')
        for container in foreign:
            self.put_brief(container)
        self.pass_time(20)
        self.swift.requests.clear()

        self.assertEqual({}, self.sweep())

        self.assertEqual(set(), {
            (request.method, request.container)
            for request in self.swift.requests
            if request.container in foreign
            and request.name != 'p:q'})  # the record of our queue
        for container in foreign:
            self.assertIn('brief', self.stored(container))

    def test_stays_in_queues_that_there_are(self) -> None:
        self.put(self.container, 'a-file', 'text/plain')
        self.put(self.claims_container, 'b-file', 'application/json;v=2')
        self.put('marconi:elections', 'c-file', 'text/plain')
        self.pass_time(10 * _LONG)

        self.assertEqual({}, self.sweep())

        self.assertEqual([['a-file'], ['b-file'], ['c-file']], [
            self.stored(container) for container in (
                self.container, self.claims_container, 'marconi:elections')])

    def test_has_a_prefix_of_its_own(self) -> None:
        self.drivers.conf.set_override(
            'container_prefix', 'm', 'drivers:message_store:marconi-swift')
        data = driver.DataDriver(self.drivers.conf, None, self.control)
        foreign = 'marconi:messages:p:half', 'messages:p:half'
        for container in ('m:messages:p:half', *foreign):
            self.put_brief(container)
        self.pass_time(20)

        swept = list(sweeping.sweep(data))

        self.assertEqual([('m:messages:p:half', 1, 0, True)], swept)
        for container in foreign:
            self.assertEqual(['brief'], self.stored(container))


class TestSweep(SweepingTest):

    def setUp(self) -> None:
        super().setUp()
        self.half = self.half_delete('half', 1, 2)
        self.post(1, ttl=60)
        self.post(2, ttl=_LONG)
        self.data.subscription_controller.create(
            'q', 'http://me', 60, {}, project='p')
        self.pass_time(120)

    def test_that_is_rehearsed_removes_nothing_and_counts_the_same(
        self,
    ) -> None:
        before = self.swift.stored()
        containers = self.containers()
        self.swift.requests.clear()

        rehearsed = list(sweeping.sweep(self.data, rehearse=True))

        self.assertEqual({'GET', 'HEAD'}, {
            request.method for request in self.swift.requests})
        self.assertEqual(before, self.swift.stored())
        self.assertEqual(containers, self.containers())
        self.assertEqual({
            names.claims('marconi', 'p', 'half'): (0, 0, True),
            self.half: (0, 2, True),
            self.container: (1, 0, False),
            names.subscriptions('marconi', 'p', 'q'): (2, 0, False),
        }, {swept.container: swept[1:] for swept in rehearsed if swept})
        self.assertEqual(rehearsed, list(sweeping.sweep(self.data)))

    def test_is_of_each_container_in_order(self) -> None:
        swept = [swept.container for swept in sweeping.sweep(self.data)]

        self.assertEqual([
            'marconi:claims:p:half', 'marconi:claims:p:q',
            'marconi:elections', 'marconi:messages:p:half',
            'marconi:messages:p:q', 'marconi:subscriptions:p:q'], swept)

    def test_goes_on_after_a_container(self) -> None:
        first = []
        for swept in sweeping.sweep(self.data):
            first.append(swept.container)
            if swept.container == self.half:
                break
        self.assertEqual(2, len(self.stored(self.container)))

        rest = [swept.container for swept in sweeping.sweep(
            self.data, after=first[-1])]

        self.assertEqual('marconi:messages:p:half', first[-1])
        self.assertEqual(
            ['marconi:messages:p:q', 'marconi:subscriptions:p:q'], rest)
        self.assertEqual(1, len(self.stored(self.container)))
        self.assertEqual({}, self.sweep())

    def test_goes_through_many_containers(self) -> None:
        self.useFixture(fixtures.MonkeyPatch(
            'marconi_swift.store.objects.PAGE', 2))

        self.assertEqual(6, len(list(sweeping.sweep(
            self.data, rehearse=True))))

    def test_without_orphans_takes_what_has_expired(self) -> None:
        self.assertEqual(
            {self.container: (1, 0, False),
             names.subscriptions('marconi', 'p', 'q'): (2, 0, False)},
            self.sweep(orphans=False))

        self.assertEqual(2, len(self.stored(self.half)))
        self.assertIn(
            names.claims('marconi', 'p', 'half'), self.containers())

    def test_that_fails_is_an_error(self) -> None:
        self.swift.faults.append(fake_swift.Fault(
            1, 'before', 503, lambda request: request.method == 'DELETE'
            and request.container == self.half))

        self.assertRaises(errors.SwiftError, self.sweep)

        self.assertEqual({
            self.half, self.container,
            names.subscriptions('marconi', 'p', 'q')}, set(self.sweep()))


class TestDriver(SweepingTest):
    """The message store's own words for it."""

    def test_collects_what_is_left_if_it_knows_its_queues(self) -> None:
        half = self.half_delete('half', 1)
        self.post(1, ttl=60)
        self.pass_time(120)

        self.assertTrue(sweeping.knows_its_queues(self.data))
        self.data.gc()

        self.assertNotIn(half, self.containers())
        self.assertEqual([], self.stored(self.container))
        self.assertIn(self.container, self.containers())

    def test_leaves_queues_alone_if_it_knows_none_of_them(self) -> None:
        self.post(1, ttl=60)
        self.post(2, ttl=_LONG)
        topic = names.topic_messages('marconi', 'p', 't')
        self.pipeline.topic_controller.create('t', project='p')
        self.put(topic, 'a-message', 'text/plain')
        self.pass_time(120)
        # As it were with the management store of another Zaqar.
        for container in ('marconi:queues', 'marconi:topics'):
            self.store.empty_container(container)

        self.assertFalse(sweeping.knows_its_queues(self.data))
        self.data.gc()

        self.assertEqual(1, len(self.stored(self.container)))
        self.assertEqual(1, len(self.stored(topic)))
        self.assertEqual((0, 1, True), self.sweep()[self.container])
        self.assertEqual([], self.stored(topic))

    def test_knows_its_queues_by_a_topic(self) -> None:
        self.control.queue_controller.delete('q', project='p')
        self.assertFalse(sweeping.knows_its_queues(self.data))

        self.pipeline.topic_controller.create('t', project='p')

        self.assertTrue(sweeping.knows_its_queues(self.data))

    def test_knows_its_queues_if_it_has_none(self) -> None:
        self.queues.delete('q', project='p')
        self.data.subscription_controller.create(
            'none', 'http://me', 60, {}, project='p')

        self.assertTrue(sweeping.knows_its_queues(self.data))

    def test_knows_none_by_a_name_that_nobody_can_tell(self) -> None:
        self.queues.create('q', project='ü' * 100)
        self.control.queue_controller.delete('q', project='p')

        self.assertFalse(sweeping.knows_its_queues(self.data))

    def test_asks_until_one_queue_is_known(self) -> None:
        for number in range(20):
            self.queues.create(f'q{number:02}', project='p')
        self.swift.requests.clear()

        self.assertTrue(sweeping.knows_its_queues(self.data))

        self.assertEqual(['GET', 'HEAD'], [
            request.method for request in self.swift.requests])

    def test_works_again_after_it_was_closed(self) -> None:
        closed: list[str] = []
        for name, each in (('data', self.data), ('control', self.control)):
            each.account.transport = fake_swift.FakeSwift()
            each.account.transport.close = (  # type: ignore[method-assign]
                lambda name=name: closed.append(name))

        self.data.close()
        self.assertEqual(['data'], closed)
        self.control.close()
        self.data.close()

        self.assertEqual(['data', 'control', 'data'], closed)
        [posted] = self.post(1)
        self.assertEqual(1, self.get(posted)['body'])
        self.assertEqual({}, self.sweep())


class TestPools(SweepingTest):

    def setUp(self) -> None:
        super().setUp()
        self.drivers.conf.set_override('pooling', True)
        self.catalogue = self.control.catalogue_controller
        self.pools = self.control.pools_controller
        self.pools.create('ours', 1, _URI)
        self.pools.create('other', 1, f'{_URI}other')
        self.catalogue.insert('p', 'q', 'other')

    def has_lost(self) -> bool:
        lost: bool = self.data.has_lost('q', 'p')
        return lost

    def test_have_lost_what_is_in_another(self) -> None:
        self.assertTrue(self.has_lost())
        self.catalogue.update('p', 'q', 'ours')
        self.assertFalse(self.has_lost())

    def test_have_lost_nothing_that_nobody_knows_the_place_of(self) -> None:
        self.catalogue.update('p', 'q', 'a pool that is gone')
        self.assertFalse(self.has_lost())
        self.catalogue.delete('p', 'q')
        self.assertFalse(self.has_lost())

    def test_have_lost_nothing_when_their_uri_was_changed(self) -> None:
        self.pools.update('ours', uri=f'{_URI}changed')

        self.assertFalse(self.has_lost())

    def test_have_lost_nothing_where_there_are_none(self) -> None:
        self.drivers.conf.set_override('pooling', False)

        self.assertFalse(self.has_lost())

    def test_lose_containers_that_are_empty(self) -> None:
        self.post(1, ttl=60)
        self.claim(ttl=60)
        self.assertEqual({}, self.sweep())
        self.pass_time(1000)

        self.assertEqual({
            self.container: (1, 0, True),
            self.claims_container: (2, 0, True)}, self.sweep())

        self.assertEqual([], [container for container in self.containers()
                              if container.endswith(':p:q')])
        self.assertTrue(self.control.queue_controller.exists('q', 'p'))

    def test_keep_the_messages_of_a_queue_that_left(self) -> None:
        self.post(1, ttl=60)
        [kept] = self.post(2, ttl=_LONG)
        self.pass_time(120)

        self.assertEqual({
            self.container: (1, 0, False),
            self.claims_container: (0, 0, True)}, self.sweep())

        self.assertEqual([kept], self.stored(self.container))

    def test_keep_the_containers_of_what_is_theirs(self) -> None:
        self.catalogue.update('p', 'q', 'ours')

        self.assertEqual({}, self.sweep())
        self.assertIn(self.container, self.containers())

    def test_keep_what_is_posted_to_them_at_the_last_moment(self) -> None:
        # By somebody whose catalogue still says that the queue is theirs.
        def post() -> None:
            self.catalogue.update('p', 'q', 'ours')
            self.post(1, ttl=_LONG)

        for number in range(1, 1000):
            self.on_nth_step(number, post)
            swept = self.sweep()
            if self.swift.on_step:
                break
            self.assertIn(self.container, self.containers())
            [posted] = self.stored(self.container)
            self.assertEqual(1, self.get(posted)['body'])
            self.messages.bulk_delete('q', [posted], project='p')
            self.catalogue.update('p', 'q', 'other')
            self.queues.create('q', project='p')

        self.swift.on_step = None
        self.assertGreater(number, 10)
        self.assertEqual({self.container: (0, 0, True),
                          self.claims_container: (0, 0, True)}, swept)

    def test_do_not_say_that_they_dropped_what_they_kept(self) -> None:
        self.on_answer('GET', self.container, lambda: self.post(
            1, ttl=_LONG))

        self.assertEqual({self.claims_container: (0, 0, True)}, self.sweep())
        self.assertEqual([1], self.bodies())

    def test_rehearse_to_drop_no_more_than_they_would(self) -> None:
        self.useFixture(small_pages(2))
        # What stays is on the first page alone.
        self.post(1, ttl=_LONG)
        self.post(2, 3, 4, ttl=60)
        self.pass_time(200)

        self.assertEqual(
            {self.container: (3, 0, False),
             self.claims_container: (0, 0, True)}, self.sweep(rehearse=True))

    def test_rehearse_to_drop_what_is_emptied(self) -> None:
        self.post(1, 2, 3, ttl=60)
        self.pass_time(200)

        self.assertEqual(
            {self.container: (3, 0, True),
             self.claims_container: (0, 0, True)}, self.sweep(rehearse=True))
        self.assertEqual(3, len(self.stored(self.container)))
