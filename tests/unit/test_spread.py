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
"""Queues that are spread over several containers."""

from collections.abc import Callable
import itertools
import types
from typing import Any
from typing import ClassVar

import fixtures
from hypothesis import given
from hypothesis import HealthCheck
from hypothesis import settings
from hypothesis import strategies
import testtools
from testtools import matchers

from marconi_swift import cache
from marconi_swift import names
from marconi_swift.data import listing
from marconi_swift.data import spread
from marconi_swift.store import errors
from marconi_swift.store import fan_out
from marconi_swift.store import objects
from marconi_swift.store import outages
from marconi_swift.store import retry
from tests.fixtures import conf
from tests.fixtures import fake_swift
from tests.fixtures import workers
from tests.unit import test_claims
from tests.unit import test_messages
from tests.unit import test_stages

_FIRST = names.messages('marconi', 'p', 'q')
_CLAIMS = names.claims('marconi', 'p', 'q')


class TestRows(testtools.TestCase):
    """What is listed of several containers."""

    # A busy machine takes longer than Hypothesis expects of one example.
    @settings(deadline=None, max_examples=50,
              suppress_health_check=[HealthCheck.too_slow])
    @given(
        strategies.lists(strategies.sets(strategies.integers(0, 99)),
                         min_size=1, max_size=5),
        strategies.integers(1, 20), strategies.booleans(),
        strategies.sampled_from(['', '00', '50', '99']),
        strategies.integers(0, 5))
    def test_are_all_there_is_in_order(
        self, parts: list[set[int]], first: int, reverse: bool, marker: str,
        known: int,
    ) -> None:
        _, listed = _given(parts, known)
        there = sorted({(f'{number:02}.{part}', names.part('c', part))
                        for part, numbers in enumerate(parts)
                        for number in numbers}, reverse=reverse)
        after = [(container, name) for name, container in there
                 if not marker or (
                     name < marker if reverse else name > marker)]

        rows = listed.rows(marker=marker, first=first, reverse=reverse)

        self.assertEqual(
            after, [(container, row.name) for container, row in rows])
        self.assertEqual(len(parts), listed.count)

    def test_are_listed_as_far_as_they_are_asked_for(self) -> None:
        swift, listed = _given([set(range(90))] * 3, known=3)

        rows = listed.rows(first=30)
        self.assertEqual(0, len(swift.requests))
        for _ in range(28):
            next(rows)

        self.assertEqual(['10'] * 3, [
            request.query['limit'] for request in swift.requests])

    def test_of_all_parts_are_listed_on_together(self) -> None:
        swift, listed = _given([set(range(90))] * 3, known=3)

        list(listed.rows(first=30))

        # Ten of each, then up to a hundred of each.
        self.assertEqual(6, len(swift.requests))

    def test_go_on_where_swift_did_not_find_what_was_there(self) -> None:
        swift, listed = _given([set(range(90))] * 2, known=2)
        rows = listed.rows(first=10)
        next(rows)
        swift.faults.append(fake_swift.Fault(1, 'before', 404, _lists))

        self.assertEqual(179, len(list(rows)))

    def test_fail_where_swift_can_not_tell_if_there_are_more(self) -> None:
        swift, listed = _given([set(range(90))] * 2, known=2)
        rows = listed.rows(first=10)
        next(rows)
        _lose_account(swift)

        self.assertRaises(errors.Refused, list, rows)

    def test_fail_where_swift_can_not_tell_if_there_are_any(self) -> None:
        swift, listed = _given([set(range(90))] * 2, known=2)
        _lose_account(swift)

        self.assertRaises(errors.Refused, list, listed.rows())

    def test_end_where_the_queue_is_deleted_meanwhile(self) -> None:
        swift, listed = _given([set(range(90))], known=1)
        rows = listed.rows(first=10)
        next(rows)
        for place, _ in swift.stored():
            swift.request('DELETE', *place)
        swift.request('DELETE', 'c')

        self.assertEqual(9, len(list(rows)))

    def test_of_one_container_cost_what_they_always_did(self) -> None:
        swift, listed = _given([set(range(90))], known=0)
        rows = listed.rows(first=10)

        for _ in range(10):
            next(rows)
        self.assertEqual(1, len(swift.requests))
        list(rows)

        self.assertEqual(2, len(swift.requests))


def _lists(request: fake_swift.Request) -> bool:
    return request.method == 'GET' and request.name is None


def _lose_account(swift: fake_swift.FakeSwift) -> None:
    """Have Swift's proxies not find the account's containers.

    As ``swift/proxy/controllers/container.py`` where no account server
    answers.
    """
    swift.faults += [
        fault for number in range(1, 20) for fault in (
            fake_swift.Fault(number, 'before', 404, lambda request: (
                request.container is not None)),
            fake_swift.Fault(number, 'before', 503, lambda request: (
                request.container is None)))]


def _given(
    parts: list[set[int]], known: int,
) -> tuple[fake_swift.FakeSwift, spread.Parts]:
    """A queue whose parts hold these, and what one knows of it."""
    swift = fake_swift.FakeSwift()
    store = objects.ObjectStore(
        swift, retry.Policy(retries=0, time_limit=60), fan_out.FanOut(4),
        outages.of('swift'))
    remembered: cache.Cache[str, int] = cache.Cache(60, 10)
    queue = spread.Parts(spread.Spread(1, 5, None, remembered), store, 'c')
    queue.make(len(parts))
    for part, numbers in enumerate(parts):
        for number in numbers:
            store.create(names.part('c', part), f'{number:02}.{part}',
                         content_type='a/b')
    swift.requests.clear()
    if known:
        remembered.keep('c', known)
    return swift, spread.Parts(
        spread.Spread(1, 5, None, remembered), store, 'c')


class TestWanted(testtools.TestCase):

    def test_is_what_the_metadata_ask_for_within_the_limit(self) -> None:
        configured = spread.Spread(2, 8, None, cache.Cache(1, 1))

        for asked, wanted in ((4, 4), (1, 1), (8, 8), (9, 8), (0, 1),
                              (-3, 1), (True, 2), ('4', 2), (None, 2),
                              (4.0, 2), ([], 2)):
            self.assertEqual(
                wanted, configured.wanted({'_containers': asked}), asked)
        self.assertEqual(2, configured.wanted(None))
        self.assertEqual(2, configured.wanted({}))


class SpreadTest(testtools.TestCase):
    """Has processes with these settings, on one model of Swift."""

    settings: ClassVar[dict[str, Any]] = {'containers_per_queue': 4}

    def setUp(self) -> None:
        super().setUp()
        drivers = self.useFixture(conf.FakeDrivers(
            retries=0, **self.settings))
        self.swift = drivers.swift
        self.site, self.other = (workers.Site(drivers.path) for _ in 'ab')

    def with_other(self, **settings: Any) -> workers.Site:
        """A process that was configured otherwise."""
        path = self.useFixture(fixtures.TempDir()).path + '/zaqar.conf'
        conf.write(path, auth_type='none', retries=0,
                   endpoint_override='http://[::1]/', **settings)
        return workers.Site(path)

    def create(self, **metadata: Any) -> None:
        self.site.queues.create('q', project='p', metadata=metadata)

    def post(self, count: int, site: workers.Site | None = None) -> list[str]:
        ids: list[str] = (site or self.site).data.message_controller.post(
            'q', ({'ttl': 600, 'body': number} for number in range(count)),
            'poster', project='p')
        return ids

    def listed(
        self, site: workers.Site | None = None, *, claimed: bool = False,
    ) -> list[str]:
        """Read all, a few at a time."""
        marker, read = None, []
        while True:
            cursor = (site or self.site).data.message_controller.list(
                'q', project='p', echo=True, limit=3, marker=marker,
                include_claimed=claimed)
            page = [message['id'] for message in next(cursor)]
            if not page:
                return read
            read += page
            marker = next(cursor)

    def claim(
        self, site: workers.Site | None = None, limit: int = 10,
    ) -> tuple[str | None, list[str]]:
        claim, messages = (site or self.site).data.claim_controller.create(
            'q', {'ttl': 60, 'grace': 60}, project='p', limit=limit)
        return claim, [message['id'] for message in messages]

    def containers(self) -> dict[str, int]:
        """How much there is in each of the queue's containers."""
        listed = self.site.data.account.store.containers('marconi:')
        store = self.site.data.account.store
        return {container.name: len(store.page(container.name))
                for container in listed
                if container.name.startswith((_FIRST, _CLAIMS))}

    def assert_all_listed(self) -> list[str]:
        """Who knows nothing of the queue is shown all that is stored."""
        listed = self.listed(self.with_other(), claimed=True)
        self.assertEqual(
            sum(count for name, count in self.containers().items()
                if name.startswith(_FIRST)), len(listed))
        return listed

    def at(self, number: int, do: Callable[[], Any]) -> None:
        """Do something once, just before so many requests have arrived."""
        left = itertools.count(number - 1, -1)

        def look(step: str, request: fake_swift.Request) -> None:
            if step == 'arrive' and not next(left):
                self.swift.on_step = None
                do()

        self.swift.on_step = look

    def draw(self, *parts: int) -> None:
        """Let these be drawn, over and over."""
        turns = itertools.cycle(parts)
        self.useFixture(fixtures.MonkeyPatch(
            'marconi_swift.data.spread.random', types.SimpleNamespace(
                randrange=lambda count: next(turns) % count)))


class TestQueue(SpreadTest):

    def test_has_no_part_that_nothing_counts_if_its_making_fails(
        self,
    ) -> None:
        self.swift.faults.append(fake_swift.Fault(
            1, 'before', 503, lambda request: request.method == 'PUT'
            and request.container == 'marconi:messages:p:q'))

        self.assertRaises(errors.SwiftError, self.create)

        self.assertEqual([], [
            container.name for container in
            self.site.data.account.store.containers('marconi:messages:')])

    def test_is_made_of_as_many_containers(self) -> None:
        self.create()

        self.assertEqual(
            {names.part(kind, number): 0
             for kind in (_FIRST, _CLAIMS) for number in range(4)},
            self.containers())

    def test_keeps_the_order_over_all_of_them(self) -> None:
        self.create()

        ids = self.post(60)

        self.assertEqual(ids, sorted(ids))
        self.assertEqual(ids, self.listed())
        self.assertEqual(ids, self.listed(self.other))
        messages = self.site.data.message_controller
        self.assertEqual(ids[0], messages.first('q', project='p')['id'])
        self.assertEqual(ids[-1], messages.first(
            'q', project='p', sort=-1)['id'])
        stats = self.site.queues.stats('q', project='p')['messages']
        self.assertEqual((60, ids[0], ids[-1]), (
            stats['total'], stats['oldest']['id'], stats['newest']['id']))
        self.assertThat(
            [self.containers()[names.part(_FIRST, number)]
             for number in range(4)],
            matchers.AllMatch(matchers.GreaterThan(3)))

    def test_needs_one_request_for_what_has_an_id(self) -> None:
        self.create()
        ids = self.post(8)
        self.swift.requests.clear()

        # A process that knows nothing of the queue.
        self.other.data.message_controller.get('q', ids[3], project='p')

        self.assertEqual(1, len(self.swift.requests))
        self.other.data.message_controller.bulk_delete(
            'q', ids, project='p')
        self.assertEqual([], self.listed())

    def test_is_claimed_oldest_first_and_released(self) -> None:
        self.create()
        ids = self.post(20)
        self.listed()

        claims = [self.claim(limit=10), self.claim(limit=10)]

        self.assertEqual(ids, [*claims[0][1], *claims[1][1]])
        self.assertEqual((None, []), self.claim(self.other))
        for name, messages in claims:
            controller = self.other.data.claim_controller
            controller.update('q', name, {'ttl': 90, 'grace': 60},
                              project='p')
            _, held = controller.get('q', name, project='p')
            self.assertEqual(messages, [message['id'] for message in held])
            controller.delete('q', name, project='p')
        self.assertEqual(ids, self.claim(limit=20)[1])

    def test_spreads_its_claims_and_gates(self) -> None:
        self.create()
        self.post(40)
        self.listed()

        for _ in range(40):
            self.claim(limit=1)

        counted = self.containers()
        for number in range(4):
            container = names.part(_CLAIMS, number)
            kinds = {row.name.partition('/')[0] for row in
                     self.site.data.account.store.page(container)}
            self.assertEqual({'claim', 'gate'}, kinds)
            self.assertGreaterEqual(
                counted[container], counted[names.part(_FIRST, number)])

    def test_gives_nobody_what_a_claim_of_any_part_holds(self) -> None:
        self.create()
        self.listed()
        store = self.site.data.account.store
        for number in range(4):
            self.draw(number)
            [posted] = self.post(1)
            claim, held = self.claim()
            self.assertEqual([posted], held)
            # A loser wrote over the winner's name, and that is void by now:
            # the record alone tells.
            container = names.part(_FIRST, number)
            found = listing.read(store, _FIRST, posted)
            store.annotate(
                container, posted,
                content_type=found.message.released().content_type(),
                delete_at=found.message.delete_at)
            store.delete(names.part(_CLAIMS, number), f'gate/{posted}')

            self.assertEqual((None, []), self.claim(self.other))

            self.site.data.message_controller.delete(
                'q', posted, project='p', claim=claim)

    def test_is_popped(self) -> None:
        self.create()
        ids = self.post(20)

        popped = self.site.data.message_controller.pop(
            'q', 20, project='p')

        self.assertEqual(ids, [message['id'] for message in popped])
        self.assertEqual([], self.listed())

    def test_is_deleted_with_all_that_is_in_it(self) -> None:
        self.create()
        self.post(40)
        self.claim()

        self.site.queues.delete('q', project='p')

        self.assertEqual({}, self.containers())


class TestLazyQueue(SpreadTest):
    """One that Zaqar creates in the control plane alone, as with pools."""

    def create(self, **metadata: Any) -> None:
        self.site.control.queue_controller.create(
            'q', project='p', metadata=metadata)

    def test_is_spread_from_its_first_post_on(self) -> None:
        self.create()

        ids = self.post(40) + self.post(40)

        self.assertEqual(ids, self.listed(self.other))
        self.assertEqual(
            80, sum(self.containers()[names.part(_FIRST, number)]
                    for number in range(4)))

    def test_is_made_as_its_metadata_say(self) -> None:
        site = self.with_other(max_containers_per_queue=16)
        site.control.queue_controller.create(
            'q', project='p', metadata={'_containers': 9})

        self.post(1, site)

        self.assertIn(names.part(_FIRST, 8), self.containers())
        self.assertNotIn(names.part(_FIRST, 9), self.containers())

    def test_claims_where_there_is_no_container_for_the_record(self) -> None:
        self.create()
        ids = self.post(40)
        self.listed()

        # Only the gates' containers are made with what is put into them.
        claims = [self.claim(limit=1) for _ in range(20)]

        self.assertEqual(ids[:20], [one for _, held in claims
                                    for one in held])


class TestKey(SpreadTest):
    """A queue whose metadata ask for containers."""

    settings: ClassVar[dict[str, Any]] = {'max_containers_per_queue': 8}

    def test_is_given_them_up_to_the_limit(self) -> None:
        for asked, made in ((3, 3), (99, 8)):
            self.create(_containers=asked)
            ids = self.post(60)

            self.assertEqual(2 * made, len(self.containers()))
            self.assertEqual(ids, self.listed())
            self.site.queues.delete('q', project='p')

    def test_whose_deletion_fails_can_be_deleted_again(self) -> None:
        for number in range(1, 200):
            self.create(_containers=3)
            self.post(8)
            self.claim()
            fault = fake_swift.Fault(
                number, 'before', errors.Unanswered('lost'))
            self.swift.faults[:] = [fault]

            deleted = self.is_deleted()

            self.swift.faults.clear()
            if deleted:
                break
            self.assert_all_listed()
            self.site.queues.delete('q', project='p')
            self.assertEqual({}, self.containers())
        self.assertGreater(number, 20)

    def is_deleted(self) -> bool:
        try:
            self.site.queues.delete('q', project='p')
        except errors.SwiftError:
            return False
        return True

    def test_others_have_one(self) -> None:
        self.create()
        self.post(10)

        self.assertEqual({_FIRST: 10, _CLAIMS: 0}, self.containers())

    def test_can_be_given_more_by_creating_it_again(self) -> None:
        self.create()
        ids = self.post(10)
        self.listed(self.other)
        self.create(_containers=4)

        ids += self.post(40)

        # The other knows of one container.
        self.assertEqual(ids, self.listed(self.other))
        self.assertEqual(8, len(self.containers()))


class TestNumberOutOfDate(SpreadTest):
    """Processes remember how many containers there were."""

    settings: ClassVar[dict[str, Any]] = {
        'max_containers_per_queue': 8, 'cache_time': 1000, 'fan_out': 1}

    def create_anew(self, count: int) -> None:
        self.other.queues.delete('q', project='p')
        self.other.queues.create(
            'q', project='p', metadata={'_containers': count})

    def test_a_reader_who_knows_of_fewer_reads_all(self) -> None:
        self.create()
        self.assertEqual([], self.listed())
        self.create_anew(4)
        ids = self.post(40, self.other)

        self.assertEqual(ids, self.listed())
        self.assertEqual(ids, self.claim(limit=40)[1])

    def test_a_poster_who_knows_of_fewer_posts_to_those(self) -> None:
        self.create()
        self.post(1)
        self.create_anew(4)

        ids = self.post(40)

        self.assertEqual(ids, self.listed(self.other))
        self.assertEqual(40, self.containers()[_FIRST])

    def test_a_poster_who_knows_of_more_makes_them(self) -> None:
        self.create(_containers=4)
        self.post(40)
        self.create_anew(1)

        ids = self.post(40) + self.post(4, self.other)

        self.assertEqual(ids, self.listed())
        self.assertEqual(ids, self.listed(self.with_other()))

    def test_a_poster_whose_queue_is_created_anew_meanwhile(self) -> None:
        """Before whichever request that is, nothing is stored unseen."""
        for number in itertools.count(1):
            self.draw(2, 0, 1)
            self.site.queues.delete('q', project='p')
            self.create(_containers=3)
            self.post(1)
            self.create_anew(1)
            self.at(number, lambda: self.create_anew(1))

            ids = self.post(4)

            ended = self.swift.on_step is not None
            self.swift.on_step = None
            # What was stored before the queue was deleted went with it.
            self.assertEqual(set(), {*self.assert_all_listed()} - {*ids})
            last = self.post(3)
            self.assertEqual(last, self.assert_all_listed()[-3:])
            if ended:
                break
        self.assertGreater(number, 10)

    def test_a_part_that_was_made_while_the_queue_was_deleted_is_counted(
        self,
    ) -> None:
        self.create(_containers=4)
        self.draw(3)
        self.post(1)
        knowing = self.with_other(**self.settings)
        self.post(1, knowing)
        last = names.part(_FIRST, 3)
        # The first goes last, and what is left is looked for after the
        # record has gone.
        meanwhile = [
            (('DELETE', _FIRST), lambda: self.post(1)),
            (('GET', last), lambda: self.with_other().queues.create(
                'q', project='p'))]

        def look(step: str, request: fake_swift.Request) -> None:
            if step == 'arrive' and meanwhile and meanwhile[0][0] == (
                    request.method, request.container):
                _, do = meanwhile.pop(0)
                self.swift.on_step = None
                do()
                self.swift.on_step = look

        self.swift.on_step = look
        self.other.queues.delete('q', project='p')
        self.assertEqual([], meanwhile)

        [posted] = self.post(1, knowing)

        self.assertEqual(2, self.containers()[last])
        self.assertEqual(posted, self.assert_all_listed()[-1])

    def test_a_claimer_who_knows_of_more_is_refused_once(self) -> None:
        self.create(_containers=8)
        self.listed()
        self.create_anew(1)
        ids = self.post(3, self.other)
        self.draw(7)

        error = self.assertRaises(errors.SwiftError, self.claim)

        self.assertIn('claim again', str(error))
        self.assertEqual(0, self.containers()[_CLAIMS])
        self.assertEqual(ids, self.claim()[1])


class TestNotSpread(SpreadTest):
    """A process that is not told of spreading, and queues that are."""

    settings: ClassVar[dict[str, Any]] = {}

    def setUp(self) -> None:
        super().setUp()
        self.spreading = self.with_other(containers_per_queue=4)
        self.spreading.queues.create('q', project='p')
        self.ids = self.post(40, self.spreading)

    def test_reads_and_claims_all(self) -> None:
        self.assertEqual(self.ids, self.listed())
        self.assertEqual(self.ids, self.claim(limit=40)[1])

    def test_posts_to_the_first(self) -> None:
        self.listed()
        before = self.containers()

        ids = self.post(10)

        self.assertEqual(before[_FIRST] + 10, self.containers()[_FIRST])
        self.assertEqual(self.ids + ids, self.listed(self.spreading))

    def test_leaves_the_others_to_be_swept(self) -> None:
        self.site.queues.delete('q', project='p')

        self.site.queues.create('other')
        self.assertEqual(6, len(self.containers()))
        self.site.data.gc()
        self.assertEqual({}, self.containers())


class TestSweeping(SpreadTest):

    def test_removes_all_parts_of_a_queue_that_is_gone(self) -> None:
        self.create()
        self.post(40)
        self.claim()
        self.site.queues.create('other')

        self.site.control.queue_controller.delete('q', project='p')
        self.site.data.gc()

        self.assertEqual({}, self.containers())

    def test_leaves_those_of_a_queue_alone(self) -> None:
        self.create()
        ids = self.post(40)
        before = self.containers()

        self.site.data.gc()

        self.assertEqual(before, self.containers())
        self.assertEqual(ids, self.listed())

    def test_of_the_first_while_it_is_created_hides_nothing(self) -> None:
        self.create()
        self.listed()
        # It was swept while there was no record of the queue yet.
        self.site.data.account.store.drop_container(_FIRST)
        self.draw(2)

        ids = self.post(1)

        self.assertEqual(ids, self.listed(self.other))
        self.draw(0)
        self.assertEqual(ids + self.post(1), self.listed(self.other))


class TestDeadLetters(SpreadTest):

    settings: ClassVar[dict[str, Any]] = {'max_containers_per_queue': 4}

    def test_are_moved_to_the_same_part(self) -> None:
        messages = self.site.data.message_controller
        self.create(_containers=4, _max_claim_count=1,
                    _dead_letter_queue='dead')
        ids = self.post(20)
        self.listed()
        claim, held = self.claim(limit=20)
        self.assertEqual(ids, held)
        self.site.data.claim_controller.delete('q', claim, project='p')

        self.assertEqual((None, []), self.claim(limit=20))

        self.assertEqual([], self.listed())
        dead = self.with_other().data.message_controller.list(
            'dead', project='p', echo=True, limit=20)
        self.assertEqual(ids, [message['id'] for message in next(dead)])
        self.assertEqual(ids, [message['id'] for message in
                               messages.bulk_get('dead', ids, project='p')])


# What is known of queues that are not spread holds for these as well.


class TestPosting(test_messages.TestPosting):
    spread_over = 4


class TestDelete(test_claims.TestDelete):
    spread_over = 4


class TestDeleting(test_stages.TestDeleting):
    spread_over = 4
