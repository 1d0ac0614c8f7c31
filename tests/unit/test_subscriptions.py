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
"""What Zaqar's own tests of subscriptions do not ask for."""

from collections.abc import Callable
from concurrent import futures
import time
from typing import Any

import fixtures
import testtools
from zaqar.storage import errors

from marconi_swift import driver
from marconi_swift import names
from marconi_swift import records
from marconi_swift.store import errors as store_errors
from tests.fixtures import conf
from tests.fixtures import fake_swift

_CONTAINER = 'marconi:subscriptions:p:q'


class SubscriptionTest(testtools.TestCase):

    def setUp(self) -> None:
        super().setUp()
        self.sleep = time.sleep
        self.drivers = self.useFixture(conf.FakeDrivers())
        self.swift = self.drivers.swift
        self.now = time.time()
        self.swift.clock = lambda: self.now
        self.useFixture(fixtures.MonkeyPatch(
            'oslo_utils.timeutils.utcnow_ts', lambda *args: self.now))
        self.subscriptions = self.drivers.data.subscription_controller

    def another(self) -> Any:
        """The controller of another process."""
        return driver.DataDriver(
            self.drivers.conf, None, self.drivers.control,
        ).subscription_controller

    def create(self, subscriber: str = 'http://me', ttl: int = 600) -> Any:
        return self.subscriptions.create(
            'q', subscriber, ttl, {}, project='p')

    def get(self, subscription: str) -> dict[str, Any]:
        return self.subscriptions.get('q', subscription, project='p')

    def update(self, subscription: str, **changes: Any) -> None:
        self.subscriptions.update('q', subscription, project='p', **changes)

    def pages(
        self, limit: int = 10, controller: Any = None,
    ) -> list[list[str]]:
        """Subscribers, page by page, as Zaqar's notifier asks for them."""
        pages, marker = [], None
        while True:
            interaction = (controller or self.subscriptions).list(
                'q', 'p', marker=marker, limit=limit)
            pages.append([each['subscriber'] for each in next(interaction)])
            marker = next(interaction)
            if not marker:
                return pages

    def requests(self) -> list[str]:
        """Methods of the requests since the last time."""
        asked = [request.method for request in self.swift.requests]
        self.swift.requests.clear()
        return asked

    def later(self, seconds: float) -> None:
        """Let time go by."""
        self.now += seconds


class TestUniqueness(SubscriptionTest):

    def test_is_of_subscribers_of_any_length(self) -> None:
        for subscriber in ('http://me', 'http://me/' + 'x' * 5000,
                           'http://me/ü?a=b%2F', 'mailto:me@example.org'):
            made = self.create(subscriber)
            self.assertEqual(subscriber, self.get(made)['subscriber'])
            self.assertIsNone(self.create(subscriber))
            self.assertEqual(made, self.subscriptions.get_with_subscriber(
                'q', subscriber, project='p')['id'])

    def test_is_kept_by_many_at_the_same_time(self) -> None:
        # Who meets others waits until they are through, or until a name that
        # one of them has left in a gate is void: neither may be cut short.
        self.useFixture(fixtures.MonkeyPatch(
            'oslo_utils.timeutils.utcnow_ts', lambda *args: time.time()))
        self.useFixture(fixtures.MonkeyPatch(
            'tenacity.nap.time.sleep', self.sleep))
        self.swift.clock = time.time
        controllers = [self.another() for _ in range(6)]
        with futures.ThreadPoolExecutor(6) as threads:
            for number in range(10):
                made = list(threads.map(
                    lambda each, who=f'http://{number}': each.create(
                        'q', who, 600, {}, project='p'), controllers))
                [created] = filter(None, made)
                self.assertTrue(self.get(created))

    def test_ends_with_the_subscription(self) -> None:
        first = self.create()
        self.subscriptions.delete('q', first, project='p')
        second = self.create()
        self.assertNotIn(second, (None, first))

        self.later(601)
        self.assertRaises(errors.SubscriptionDoesNotExist, self.get, second)
        self.assertRaises(errors.SubscriptionDoesNotExist,
                          self.subscriptions.get_with_subscriber,
                          'q', 'http://me', project='p')
        # Swift has not swept the expired one yet.
        self.assertIsNotNone(self.create())

    def test_leaves_nothing_dangling_after_a_crash(self) -> None:
        self.create('http://other')

        def puts() -> int:
            return self.requests().count('PUT')

        self.requests()
        self.create('http://counted')
        for number in range(1, puts() + 1):
            for when in ('before', 'after'):
                who = f'http://{number}/{when}'
                self.swift.faults[:] = [fake_swift.Fault(
                    number, when, KeyboardInterrupt(),  # type: ignore
                    lambda request: request.method == 'PUT')]
                self.assertRaises(KeyboardInterrupt, self.create, who)
                self.later(30)
                found = self.pages(limit=100)[0].count(who)
                # It was created, or can be.
                self.assertEqual(bool(found), self.create(who) is None)


class TestUpdates(SubscriptionTest):

    def setUp(self) -> None:
        super().setUp()
        self.made = self.create()

    def test_touch_three_fields_only(self) -> None:
        before = self.get(self.made)
        self.update(self.made, confirmed=True, source='else', id='1', ttl=60)

        self.assertEqual({**before, 'ttl': 60}, self.get(self.made))
        self.assertRaises(AssertionError, self.update, self.made,
                          confirmed=True)

    def test_of_the_ttl_renew(self) -> None:
        self.later(500)
        self.update(self.made, ttl=700)
        self.assertEqual(0, self.get(self.made)['age'])
        self.later(600)
        self.assertEqual((600, 700), (
            self.get(self.made)['age'], self.get(self.made)['ttl']))

    def test_of_the_ttl_at_the_same_time_leave_one_subscription(self) -> None:
        def on_step(step: str, request: fake_swift.Request) -> None:
            if step == 'arrive' and request.method == 'POST' and (
                    request.name == names.subscription(self.made)):
                self.swift.on_step = None
                self.update(self.made, ttl=1100)

        self.swift.on_step = on_step
        self.update(self.made, ttl=2000)
        self.later(1500)
        self.swift.expire()

        self.assertEqual(2000, self.get(self.made)['ttl'])
        self.assertIsNone(self.create())

    def test_of_the_subscriber_keep_the_rest(self) -> None:
        self.subscriptions.confirm('q', self.made, project='p')
        self.update(self.made, subscriber='http://new')

        self.assertEqual(('http://new', True, self.made), (
            self.get(self.made)['subscriber'],
            self.get(self.made)['confirmed'], self.get(self.made)['id']))
        self.assertEqual([['http://new'], []], self.pages())
        self.assertIsNone(self.create('http://new'))
        again = self.create()
        self.assertNotEqual(self.made, again)
        self.assertEqual('http://me', self.get(again)['subscriber'])
        self.subscriptions.delete('q', self.made, project='p')
        self.assertFalse(self.subscriptions.exists(
            'q', self.made, project='p'))

    def test_to_the_same_subscriber_are_fine(self) -> None:
        self.update(self.made, subscriber='http://me', options={'a': 1})

        self.assertEqual({'a': 1}, self.get(self.made)['options'])

    def test_of_options_tell_one_from_true(self) -> None:
        """To Python, they are the same; to JSON, they are not."""
        for options in ({'a': 1}, {'a': True}, {'a': 1.0}, {'a': [1]},
                        {'a': [True]}):
            self.update(self.made, options=options)

            self.assertEqual(
                repr(options), repr(self.get(self.made)['options']))

    def test_to_another_subscriber_are_refused(self) -> None:
        other = self.create('http://other')

        self.assertRaises(errors.SubscriptionAlreadyExists, self.update,
                          self.made, subscriber='http://other')
        self.assertEqual('http://me', self.get(self.made)['subscriber'])
        self.assertEqual('http://other', self.get(other)['subscriber'])
        self.assertEqual(2, len(self.pages()[0]))

    def test_that_crash_leave_one_of_the_two(self) -> None:
        writes = ('PUT', 'DELETE')

        def is_write(request: fake_swift.Request) -> bool:
            return request.method in writes

        self.requests()
        self.update(self.made, subscriber='http://counted')
        count = sum(method in writes for method in self.requests())
        self.assertGreater(count, 3)
        for number in range(1, count + 1):
            old = self.get(self.made)['subscriber']
            new = f'http://{number}'
            self.swift.faults[:] = [fake_swift.Fault(
                number, 'after', KeyboardInterrupt(),  # type: ignore
                is_write)]
            self.assertRaises(KeyboardInterrupt, self.update, self.made,
                              subscriber=new)
            [there], _ = self.pages()
            self.assertIn(there, (old, new))
            self.assertEqual(there, self.get(self.made)['subscriber'])
            gone = old if there == new else new
            self.later(30)
            # Whoever it is not can subscribe, or be changed to.
            made = self.create(gone)
            self.assertIsNotNone(made)
            self.subscriptions.delete('q', made, project='p')

    def test_that_were_cut_short_bring_nothing_back(self) -> None:
        """What a crash leaves of a changed subscriber stays void."""
        self.swift.faults[:] = [fake_swift.Fault(
            1, 'before', KeyboardInterrupt(),  # type: ignore[arg-type]
            lambda request: (request.method == 'PUT' and str(
                request.name).startswith(names.subscription(''))))]
        self.assertRaises(KeyboardInterrupt, self.update, self.made,
                          subscriber='http://new')

        self.update(self.made, subscriber='http://me')
        self.update(self.made, subscriber='http://third')
        self.assertEqual('http://third', self.get(self.made)['subscriber'])
        self.subscriptions.delete('q', self.made, project='p')

        self.assertEqual([[]], self.pages())
        self.later(30)
        for subscriber in ('http://me', 'http://new', 'http://third'):
            self.assertIsNotNone(self.create(subscriber))

    def test_of_the_ttl_keep_others_out_as_long_as_it_lasts(self) -> None:
        self.update(self.made, ttl=100_000)
        self.swift.faults[:] = [fake_swift.Fault(
            1, 'before', KeyboardInterrupt(),  # type: ignore[arg-type]
            lambda request: request.method == 'POST')]
        self.assertRaises(
            KeyboardInterrupt, self.update, self.made, ttl=60)
        self.later(90_000)

        self.assertIsNone(self.create())
        self.assertEqual(self.made, self.subscriptions.get_with_subscriber(
            'q', 'http://me', project='p')['id'])

    def test_of_the_ttl_that_are_cut_short_let_nobody_in(self) -> None:
        """What keeps others out is never shortened."""
        self.swift.faults[:] = [fake_swift.Fault(
            1, 'before', KeyboardInterrupt(),  # type: ignore[arg-type]
            lambda request: (request.method == 'POST' and str(
                request.name).startswith(names.subscription(''))))]
        subscriber = self.get(self.made)['subscriber']
        self.assertRaises(
            KeyboardInterrupt, self.update, self.made, ttl=100)
        self.later(200)

        self.assertIsNone(self.create(subscriber))

    def test_of_the_ttl_keep_others_out_again(self) -> None:
        """What kept them out was lost."""
        self.drivers.data.account.store.delete(
            names.subscriptions('marconi', 'p', 'q'),
            names.subscriber('http://me'))

        self.update(self.made, ttl=100_000)

        self.later(90_000)
        self.assertIsNone(self.create())
        self.assertEqual(self.made, self.subscriptions.get_with_subscriber(
            'q', 'http://me', project='p')['id'])

    def test_beside_a_deletion_make_no_second_one(self) -> None:
        another = self.another()
        made: list[str] = []

        def interfere(step: str, request: fake_swift.Request) -> None:
            if (step, request.method) == ('arrive', 'PUT') and not made:
                made.append('')
                another.delete('q', self.made, project='p')
                made[:] = [another.create(
                    'q', 'http://me', 600, {}, project='p')]

        self.swift.on_step = interfere
        self.assertRaises(
            errors.SubscriptionDoesNotExist, self.update, self.made,
            options={'a': 1})
        self.swift.on_step = None

        self.assertEqual([['http://me'], []], self.pages())
        self.assertEqual(made[0], self.subscriptions.get_with_subscriber(
            'q', 'http://me', project='p')['id'])

    def test_that_confirm_do_not_bring_back_what_was_deleted(self) -> None:
        self.swift.faults[:] = [fake_swift.Fault(
            1, 'late', 503, lambda request: request.method == 'POST')]
        self.subscriptions.confirm('q', self.made, project='p')
        self.subscriptions.delete('q', self.made, project='p')
        self.swift.deliver()

        self.assertEqual([[]], self.pages())

    def test_of_the_subscriber_are_known_by_id_before_they_are_listed(
        self,
    ) -> None:
        self.swift.lag = True
        self.update(self.made, subscriber='http://new')

        self.assertEqual('http://new', self.get(self.made)['subscriber'])
        self.subscriptions.delete('q', self.made, project='p')
        self.assertFalse(self.subscriptions.exists(
            'q', self.made, project='p'))


class TestListings(SubscriptionTest):

    def setUp(self) -> None:
        super().setUp()
        # However long a test takes, what is remembered gets no older.
        self.useFixture(fixtures.MonkeyPatch('time.monotonic', lambda: 0.0))

    def test_pass_over_what_has_expired(self) -> None:
        for number in range(40):
            self.create(f'http://{number}', 100 if number % 2 else 1000)
        self.later(500)

        pages = self.pages(limit=3)

        self.assertEqual([3] * 6 + [2, 0], list(map(len, pages)))
        self.assertEqual(20, len({each for page in pages for each in page}))

    def test_show_what_this_process_changed_on_the_next_page(self) -> None:
        for number in range(3):
            self.create(f'http://{number}')
        first = self.subscriptions.list('q', 'p', limit=1)
        list(next(first))
        marker = next(first)
        [_, second, third] = [each['id'] for each in next(
            self.subscriptions.list('q', 'p'))]

        def shown() -> list[tuple[str, bool, Any]]:
            listed = self.subscriptions.list('q', 'p', marker=marker)
            return [(each['id'], each['confirmed'], each['options'])
                    for each in next(listed)]

        self.subscriptions.confirm('q', second, project='p')
        self.assertEqual(
            [(second, True, {}), (third, False, {})], shown())
        self.update(third, options={'a': 1})
        self.assertEqual(
            [(second, True, {}), (third, False, {'a': 1})], shown())
        self.subscriptions.delete('q', second, project='p')
        self.assertEqual([(third, False, {'a': 1})], shown())

    def test_for_many_subscribers_list_once(self) -> None:
        for number in range(35):
            self.create(f'http://{number}')
        self.requests()
        self.assertEqual(35, sum(map(len, self.pages())))
        self.assertEqual(['GET'] * 36, self.requests())

        self.assertEqual(35, sum(map(len, self.pages())))
        self.assertEqual(['GET'], self.requests())

        # What is confirmed is in the listing; what changed is read again.
        found = self.another().get_with_subscriber(
            'q', 'http://7', project='p')
        self.another().confirm('q', found['id'], project='p')
        self.requests()
        confirmed = [each['confirmed'] for each in next(
            self.subscriptions.list('q', 'p', limit=50))]
        self.assertEqual((1, ['GET']),
                         (confirmed.count(True), self.requests()))
        self.another().update('q', found['id'], 'p', options={'a': 1})
        self.requests()
        options = [each['options'] for each in next(
            self.subscriptions.list('q', 'p', limit=50))]
        self.assertEqual((1, ['GET', 'GET']),
                         (options.count({'a': 1}), self.requests()))

    def test_for_thousands_of_subscribers_list_once_too(self) -> None:
        container = 'marconi:subscriptions:p:q'
        self.create()
        at = self.now
        for number in range(2000):
            made = records.Subscription(
                id=names.new_message_id(), subscriber=f'http://{number}',
                ttl=600, expires=at + 600, options={})
            self.swift.request(
                'PUT', container, names.subscription(made.id),
                headers={'Content-Type': made.content_type()},
                body=made.body())
        self.pages()
        self.requests()

        self.assertEqual(2001, sum(map(len, self.pages())))
        self.assertEqual(['GET'], self.requests())

    def test_are_kept_while_others_list(self) -> None:
        self.create()
        self.requests()

        interaction = self.subscriptions.list('q', 'p')
        self.subscriptions.list('other', 'p')
        marker = list(interaction)[1]
        self.subscriptions.list('q', 'p', marker=marker)

        self.assertEqual(3, self.requests().count('GET'))

    def test_of_a_queue_without_any_cost_one_request(self) -> None:
        """Once it is known that Swift finds the account."""
        self.pages()
        self.requests()

        self.assertEqual([[]], self.pages())
        self.assertEqual(['GET'], self.requests())

    def test_skip_what_is_not_ours(self) -> None:
        self.create()
        self.swift.request('PUT', _CONTAINER, 'a-file',
                           headers={'Content-Type': 'text/plain'})

        self.assertEqual([['http://me'], []], self.pages())


class TestErrors(SubscriptionTest):

    def test_of_ids_that_nobody_made(self) -> None:
        self.create()
        calls: tuple[Callable[[Any], Any], ...] = (
            self.get, lambda each: self.update(each, ttl=60),
            lambda each: self.subscriptions.confirm('q', each, project='p'))
        for wrong in ('', '.', '..', 'a/b', 'x' * 2000, None, 7,
                      '0' * 32 + '-' + '0' * 8):
            for call in calls:
                self.assertRaises(
                    errors.SubscriptionDoesNotExist, call, wrong)
            self.assertFalse(self.subscriptions.exists(
                'q', wrong, project='p'))
            self.subscriptions.delete('q', wrong, project='p')
        self.assertEqual([['http://me'], []], self.pages())

    def test_of_swift_are_translated(self) -> None:
        self.swift.faults[:] = [
            fake_swift.Fault(number, 'before', 503)
            for number in range(1, 8)]

        self.assertRaises(store_errors.SwiftError, self.create)
