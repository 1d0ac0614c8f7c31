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
"""The primitives: their outcomes, and what becomes of failures."""

from collections.abc import Callable
import inspect
import json
import math
import time
from typing import Any

import fixtures
import testtools
from testtools import matchers

from marconi_swift.store import errors
from marconi_swift.store import fan_out
from marconi_swift.store import objects
from marconi_swift.store import outages
from marconi_swift.store import retry
from marconi_swift.store import transport
from tests.fixtures import clock
from tests.fixtures import fake_swift

_DONE, _EXISTS, _MISSING, _STALE = (
    objects.Outcome.DONE, objects.Outcome.EXISTS, objects.Outcome.MISSING,
    objects.Outcome.STALE)

Primitive = Callable[[objects.ObjectStore], Any]

#: A call of each primitive; a test sees to it that none is forgotten.
_CALLS: dict[str, Primitive] = {
    'create': lambda store: store.create('c', 'new', content_type='a/b'),
    'replace': lambda store: store.replace('c', 'o', content_type='a/b'),
    'annotate': lambda store: store.annotate('c', 'o', content_type='a/b'),
    'read': lambda store: store.read('c', 'o'),
    'head': lambda store: store.head('c', 'o'),
    'delete': lambda store: store.delete('c', 'o'),
    'delete_many': lambda store: store.delete_many('c', ['o']),
    'make_container': lambda store: store.make_container('c', None),
    'drop_container': lambda store: store.drop_container('c'),
    'page': lambda store: store.page('c'),
    'listing': lambda store: store.listing('c'),
    'container_metadata': lambda store: store.container_metadata('c'),
    'rows': lambda store: list(store.rows('c')),
    'empty_container': lambda store: store.empty_container('c'),
    'containers': lambda store: list(store.containers('')),
    'check_account': lambda store: store.check_account(),
}

#: What calls functions that its caller gives, or nothing, but not Swift.
_CALLERS = {'insist', 'prevail', 'each', 'outcomes', 'both', 'until', 'now',
            'check_time', 'mention'}

_NOT_NOW = (408, 429, 498, 500, 502, 503, 504, 507)


class ObjectsTest(testtools.TestCase):
    """Has a store on a model of Swift, with an object ``o`` in ``c``."""

    def setUp(self) -> None:
        super().setUp()
        self.waits: list[float] = []
        self.useFixture(fixtures.MonkeyPatch(
            'tenacity.nap.time.sleep', self.waits.append))
        self.swift = fake_swift.FakeSwift()
        self.store = objects.ObjectStore(
            self.swift, retry.Policy(retries=2, time_limit=60),
            fan_out.FanOut(4), outages.of('swift'))
        self.store.make_container('c', None)
        self.store.create('c', 'o', content_type='a/b', body=b'there')
        self.swift.requests.clear()

    def strike(self, number: int, when: Any, outcome: Any) -> None:
        self.swift.faults.append(fake_swift.Fault(number, when, outcome))


class TestOutcomes(ObjectsTest):

    def test_of_create(self) -> None:
        def create(container: str, name: str) -> objects.Outcome:
            return self.store.create(container, name, content_type='a/b')

        self.assertIs(_DONE, create('c', 'new'))
        self.assertIs(_EXISTS, create('c', 'new'))
        self.assertIs(_MISSING, create('nowhere', 'new'))

    def test_of_what_needs_an_object(self) -> None:
        self.assertIs(
            _MISSING, self.store.annotate('c', 'x', content_type='a/b'))
        self.assertIs(_MISSING, self.store.delete('c', 'x'))
        self.assertIsNone(self.store.read('c', 'x'))
        self.assertIsNone(self.store.head('c', 'x'))

    def test_of_an_object_of_which_swift_says_nothing(self) -> None:
        """Since one of its replicas knows that it was deleted."""
        headers = {'content-type': 'text/html; charset=UTF-8', 'etag': '"x"'}
        self.useFixture(fixtures.MockPatchObject(
            self.swift, 'request', side_effect=lambda *args, **kwargs:
                fake_swift.transport.Response(200, headers, b'')))
        for ask in self.store.read, self.store.head:
            self.assertIsNone(ask('c', 'o'))

        headers['accept-ranges'] = 'bytes'
        self.assertIsNotNone(self.store.read('c', 'o'))

    def test_of_a_conditional_delete(self) -> None:
        later = int(time.time()) + 100
        self.store.replace('c', 'o', content_type='a/b', delete_at=later)

        self.assertIs(_STALE, self.store.delete(
            'c', 'o', only_if_delete_at=later + 1))
        self.assertIs(_DONE, self.store.delete(
            'c', 'o', only_if_delete_at=later))

    def test_of_containers(self) -> None:
        self.assertTrue(self.store.make_container('new', None))
        self.assertFalse(self.store.make_container('new', None))
        self.assertIs(_EXISTS, self.store.drop_container('c'))
        self.assertIs(_DONE, self.store.drop_container('new'))
        self.assertIs(_MISSING, self.store.drop_container('new'))

    def test_of_a_missing_container_listed(self) -> None:
        self.assertEqual([], self.store.page('nowhere'))
        self.assertEqual([], list(self.store.rows('nowhere')))


class TestTime(ObjectsTest):

    def test_is_swift_s_and_goes_on(self) -> None:
        now = self.useFixture(clock.Clock())
        self.swift.clock = lambda: now.now + 500
        self.store.check_account()
        now.sleep(30)

        self.assertAlmostEqual(now.now + 500, self.store.now(), delta=1)


class TestListing(ObjectsTest):

    def test_goes_on_page_by_page_as_far_as_asked(self) -> None:
        for number in range(100):
            self.store.create('c', f'p/{number:03}', content_type='a/b')
        self.swift.requests.clear()

        rows = self.store.rows('c', prefix='p/', first=10)
        first = [next(rows).name for _ in range(10)]

        self.assertEqual(1, len(self.swift.requests))
        self.assertEqual(
            [f'p/{number:03}' for number in range(100)],
            first + [row.name for row in rows])
        self.assertEqual(2, len(self.swift.requests))

    def test_goes_backwards(self) -> None:
        self.store.create('c', 'p', content_type='a/b')

        self.assertEqual(['p', 'o'], [
            row.name for row in self.store.rows('c', reverse=True, first=1)])


class TestLost(ObjectsTest):
    """Swift can not look something up, and says that nothing is there."""

    def lose(self, times: float, what: str = 'account') -> None:
        """Let so many requests meet what can not be looked up.

        Of a container, Swift says that itself.
        """
        left, asked = times, self.swift.request
        # As if nothing had been asked for a minute.
        self.store._found.clear()

        def request(
            method: str, container: str | None = None,
            name: str | None = None, **kwargs: Any,
        ) -> transport.Response:
            nonlocal left
            if left <= 0:
                return asked(method, container, name, **kwargs)
            left -= 1
            if 'bulk-delete' in kwargs.get('query', {}):
                return transport.Response(200, {}, json.dumps({
                    'Response Status': '200 OK', 'Number Deleted': 0,
                    'Number Not Found': 100, 'Errors': []}).encode())
            hidden = name or (container and what == 'account')
            return transport.Response(404 if hidden else 503, {}, b'')

        self.useFixture(fixtures.MonkeyPatch(
            'tests.fixtures.fake_swift.FakeSwift.request',
            lambda swift, *args, **kwargs: request(*args, **kwargs)))

    def test_is_not_deleted(self) -> None:
        for what in ('account', 'container'):
            self.lose(math.inf, what)

            for delete in (
                    lambda: self.store.delete('c', 'o'),
                    lambda: self.store.annotate('c', 'o', content_type='x/y'),
                    lambda: self.store.delete_many('c', ['o'] * 100)):
                error = self.assertRaises(errors.Refused, delete)
                self.assertEqual(503, error.status)

    def test_is_not_written_when_it_is_too_late(self) -> None:
        hurried = self.store.until(time.monotonic())
        self.lose(1)

        self.assertRaises(errors.SwiftError, hurried.annotate, 'c', 'o',
                          content_type='x/y')
        self.lose(1)
        self.assertIs(_MISSING, hurried.delete(
            'c', 'o', only_if_delete_at=1))

        self.assertEqual(
            ['a/b'], [row.content_type for row in self.store.page('c')])

    def test_is_not_suspected_a_moment_after_it_was_found(self) -> None:
        for find in (
                lambda: self.store.page('c'),
                lambda: self.store.container_metadata('c')):
            self.store._found.clear()
            find()

            self.assertEqual(['DELETE'], self.asked_of_missing())

    def test_is_suspected_whatever_was_written(self) -> None:
        """Swift did not look the container up for that, or forgot it."""
        for write in (
                lambda: self.store.replace('c', 'p', content_type='a/b'),
                lambda: self.store.delete('c', 'p'),
                lambda: self.store.read('c', 'o'),
                lambda: self.store.make_container('c', None)):
            self.store._found.clear()
            write()

            self.assertEqual(
                ['DELETE', 'HEAD', 'DELETE'], self.asked_of_missing())
        self.store.make_container('c', None)
        self.assertEqual(
            ['DELETE', 'HEAD', 'DELETE'], self.asked_of_missing())

    def asked_of_missing(self) -> list[str]:
        """Methods that a deletion of what is not there takes."""
        self.swift.requests.clear()
        self.assertIs(_MISSING, self.store.delete('c', 'x'))
        return [request.method for request in self.swift.requests]

    def test_is_not_taken_for_missing(self) -> None:
        for what in ('account', 'container'):
            self.lose(math.inf, what)

            for read in (
                    lambda: self.store.read('c', 'o', newest=True),
                    lambda: self.store.head('c', 'o'),
                    lambda: self.store.page('c'),
                    lambda: self.store.container_metadata('c')):
                error = self.assertRaises(errors.Refused, read)
                self.assertEqual(503, error.status)

    def test_is_read_when_it_is_found_again(self) -> None:
        for read in (
                lambda: self.store.read('c', 'o', newest=True),
                lambda: self.store.head('c', 'o'),
                lambda: self.store.page('c'),
                lambda: self.store.container_metadata('c')):
            self.lose(1)
            self.assertTrue(read() is not None)

    def test_container_is_not_taken_for_deleted(self) -> None:
        self.store.delete('c', 'o')
        self.lose(math.inf)
        self.assertRaises(errors.Refused, self.store.drop_container, 'c')

    def test_container_is_deleted_when_it_is_found_again(self) -> None:
        self.store.delete('c', 'o')
        self.lose(1)
        self.assertIs(_DONE, self.store.drop_container('c'))

    def test_container_is_asked_for_no_object_again(self) -> None:
        self.store.check_account()
        self.swift.requests.clear()

        self.assertIsNone(self.store.head('none', 'o'))

        self.assertEqual(
            [('HEAD', 'o'), ('HEAD', None)],
            [(request.method, request.name)
             for request in self.swift.requests])

    def test_for_a_moment_is_not_noticed(self) -> None:
        self.lose(1)
        self.assertIs(_DONE, self.store.annotate(
            'c', 'o', content_type='x/y'))
        self.lose(1)
        self.assertIs(_DONE, self.store.delete('c', 'o'))
        self.store.create('c', 'o', content_type='a/b')
        self.lose(1)
        self.store.delete_many('c', ['o'] * 100)

        self.assertEqual([], self.store.page('c'))


class TestDeletingMany(ObjectsTest):

    def setUp(self) -> None:
        super().setUp()
        self.names = [f'ü/{number} %2F' for number in range(2500)]
        for name in self.names:
            self.store.create('c', name, content_type='a/b')
        self.swift.requests.clear()

    def test_takes_bulk_requests(self) -> None:
        self.store.delete_many('c', self.names)

        self.assertEqual(['o'], [row.name for row in self.store.page('c')])
        self.assertEqual(10, sum(
            'bulk-delete' in request.query
            for request in self.swift.requests))

    def test_tries_again_one_by_one_what_they_failed_at(self) -> None:
        self.store.delete_many('c', self.names[:200])
        # Swift answers 200 all the same; the body tells.
        self.useFixture(fixtures.MonkeyPatch(
            'tests.fixtures.fake_swift.MAX_DELETES_PER_REQUEST', 10))

        self.store.delete_many('c', self.names)

        self.assertEqual(['o'], [row.name for row in self.store.page('c')])

    def test_asks_for_no_more_at_a_time_than_swift_takes(self) -> None:
        self.useFixture(fixtures.MonkeyPatch(
            'tests.fixtures.fake_swift.MAX_DELETES_PER_REQUEST', 100))

        self.store.delete_many('c', self.names)

        self.assertEqual(['o'], [row.name for row in self.store.page('c')])
        self.assertEqual(25, sum(
            'bulk-delete' in request.query
            for request in self.swift.requests))

    def test_does_without_them(self) -> None:
        self.swift.bulk_delete = False

        self.store.delete_many('c', self.names)

        self.assertEqual(['o'], [row.name for row in self.store.page('c')])


class TestLostAnswers(ObjectsTest):
    """An answer is lost after the request took effect."""

    def setUp(self) -> None:
        super().setUp()
        self.strike(1, 'after', errors.Unanswered('lost'))

    def test_to_create_is_read_back_by_its_owner(self) -> None:
        self.assertIs(_DONE, self.store.create(
            'c', 'new', content_type='a/b', owner='me'))

    def test_to_create_leaves_an_anonymous_one_unsure(self) -> None:
        self.assertIs(_EXISTS, self.store.create(
            'c', 'new', content_type='a/b'))

    def test_to_delete_counts_as_done(self) -> None:
        self.assertIs(_DONE, self.store.delete('c', 'o'))


class TestLostRequests(ObjectsTest):
    """An answer is lost, and the request had no effect."""

    def test_to_create_what_another_made_meanwhile(self) -> None:
        self.store.create('c', 'new', content_type='a/b', owner='other')
        self.strike(1, 'before', errors.Unanswered('lost'))

        self.assertIs(_EXISTS, self.store.create(
            'c', 'new', content_type='a/b', owner='me'))

    def test_to_delete_is_done_again(self) -> None:
        self.strike(1, 'before', errors.Unanswered('lost'))

        self.assertIs(_DONE, self.store.delete('c', 'o'))
        self.assertIsNone(self.store.read('c', 'o'))


class TestFailures(ObjectsTest):

    def test_are_tested_for_every_primitive(self) -> None:
        public = {name for name, _ in inspect.getmembers(
            objects.ObjectStore, inspect.isfunction)
            if not name.startswith('_')}

        self.assertEqual(public, _CALLS.keys() | _CALLERS)

    def restore(self) -> None:
        self.swift.faults[:] = []
        self.store.make_container('c', None)
        self.store.replace('c', 'o', content_type='a/b')
        self.store.delete('c', 'new')

    def test_that_pass_are_not_seen(self) -> None:
        for name, call in _CALLS.items():
            for fault in (*_NOT_NOW, errors.Unanswered('lost')):
                self.swift.faults[:] = []
                self.strike(1, 'before', fault)

                call(self.store)

                self.assertTrue(self.swift.faults[0].fired, name)
                self.restore()

    def test_that_last_are_translated(self) -> None:
        for name, call in _CALLS.items():
            for fault in (*_NOT_NOW, 418, errors.Unanswered('lost')):
                self.swift.faults[:] = []
                for number in (1, 2, 3):
                    self.strike(number, 'before', fault)

                error = self.assertRaises(
                    errors.SwiftError, call, self.store)

                if isinstance(fault, int):
                    self.assertIn(str(fault), str(error), name)
                self.restore()

    def test_are_waited_out_as_long_as_swift_asks(self) -> None:
        self.useFixture(fixtures.MonkeyPatch(
            'marconi_swift.store.retry._backoff', lambda state: 0.0))
        answers = [(429, {'retry-after': '7'}), (200, {})]

        def send() -> Any:
            status, headers = answers.pop(0)
            return fake_swift.transport.Response(status, headers, b'')

        answer = retry.Policy(retries=2, time_limit=60).ask(send)

        self.assertTrue(answer.repeated)
        self.assertEqual([7.0], self.waits)

    def test_are_waited_out_though_swift_names_a_date(self) -> None:
        self.strike(1, 'before', 503)
        with_date = fake_swift.transport.Response(
            503, {'retry-after': 'Fri, 31 Dec 2027 23:59:59 GMT'}, b'')
        self.swift.faults[0].answer = lambda: with_date

        self.assertIsNotNone(self.store.read('c', 'o'))

    def test_did_no_harm_only_if_no_try_can_have(self) -> None:
        for first, harmless in ((errors.Unreachable('refused'), True),
                                (errors.Unanswered('lost'), False),
                                (503, False)):
            self.swift.faults[:] = []
            self.strike(1, 'before', first)
            for number in (2, 3):
                self.strike(number, 'before', errors.Unreachable('refused'))

            error = self.assertRaises(
                errors.Unreachable, self.store.delete, 'c', 'o')

            self.assertEqual(harmless, error.harmless, first)

    def test_are_not_waited_out_beyond_the_time_limit(self) -> None:
        def send() -> Any:
            return fake_swift.transport.Response(
                503, {'retry-after': '61'}, b'')

        self.assertRaises(
            errors.Refused, retry.Policy(retries=9, time_limit=60).ask, send)
        self.assertEqual([], self.waits)


class TestPrevailing(ObjectsTest):
    """Swift takes a write for older than what is there, as by its clocks."""

    def test_over_what_is_replaced(self) -> None:
        self.strike(1, 'before', 202)

        self.assertIs(_DONE, self.store.prevail(lambda: self.store.replace(
            'c', 'o', content_type='a/b', body=b'newer')))

        found = self.store.read('c', 'o')
        self.assertEqual(b'newer', found and found.body)
        self.assertEqual(1, len(self.waits))

    def test_over_what_is_deleted(self) -> None:
        self.strike(1, 'before', 409)

        self.assertIs(_DONE, self.store.delete('c', 'o'))
        self.assertIsNone(self.store.read('c', 'o'))

    def test_not_where_there_are_conditions(self) -> None:
        self.strike(1, 'before', 409)

        self.assertIs(_STALE, self.store.delete(
            'c', 'o', only_if_delete_at=1))
        self.assertEqual([], self.waits)

    def test_gives_up(self) -> None:
        passing = self.useFixture(clock.Clock())

        self.assertRaises(
            errors.SwiftError, self.store.prevail, lambda: _STALE)

        self.assertThat(passing.now - clock.START, matchers.MatchesAll(
            matchers.Not(matchers.LessThan(3)), matchers.LessThan(4)))

    def test_not_when_it_is_too_late(self) -> None:
        self.assertRaises(
            errors.SwiftError, self.store.until(time.monotonic()).prevail,
            lambda: _STALE)
        self.assertEqual([], self.waits)


class TestInsisting(ObjectsTest):

    def test_makes_the_container(self) -> None:
        self.assertIs(_DONE, self.store.insist(
            'new', None, lambda: self.store.create(
                'new', 'o', content_type='a/b')))

    def test_waits_for_a_proxy_that_does_not_see_it_yet(self) -> None:
        outcomes = [_MISSING, _MISSING, _DONE]

        self.assertIs(_DONE, self.store.insist(
            'c', None, lambda: outcomes.pop(0)))
        self.assertEqual(2, len(self.waits))

    def test_gives_up(self) -> None:
        passing = self.useFixture(clock.Clock())

        self.assertRaises(errors.SwiftError, self.store.insist,
                          'c', None, lambda: _MISSING)

        took = passing.now - clock.START
        self.assertThat(took, matchers.MatchesAll(
            matchers.Not(matchers.LessThan(10)), matchers.LessThan(11)))


class TestFanOut(testtools.TestCase):

    def test_keeps_the_order_of_its_items(self) -> None:
        fan = fan_out.FanOut(8)

        self.assertEqual([n * n for n in range(500)],
                         fan.each(lambda n: n * n, range(500)))
        self.assertEqual([], fan.each(lambda n: n, []))

    def test_ends_all_calls_before_it_raises_the_first_error(self) -> None:
        ended = []

        def call(number: int) -> None:
            ended.append(number)
            if number % 2:
                raise ValueError(number)

        error = self.assertRaises(
            ValueError, fan_out.FanOut(4).each, call, range(100))

        self.assertEqual(100, len(ended))
        self.assertEqual((1,), error.args)

    def test_does_not_stop_for_a_caller_within_a_call(self) -> None:
        fan = fan_out.FanOut(2)

        def call(number: int) -> int:
            return sum(fan.each(lambda n: n, range(number)))

        self.assertEqual([0, 0, 1, 3], fan.each(call, range(4)))
