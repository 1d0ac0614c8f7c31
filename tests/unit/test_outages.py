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

"""Outages of Swift: what is logged, and who still asks it anything."""

from collections.abc import Callable
from concurrent import futures
import logging
import threading
from typing import Any

import fixtures
import testtools

from marconi_swift.store import errors
from marconi_swift.store import fan_out
from marconi_swift.store import objects
from marconi_swift.store import outages
from marconi_swift.store import retry
from marconi_swift.store import silence
from marconi_swift.store import transport
from tests.fixtures import fake_swift

_OK = transport.Response(200, {}, b'')


class _ClockTest(testtools.TestCase):
    """Moves the clock, and reads the log."""

    def setUp(self) -> None:
        super().setUp()
        self.clock = self.useFixture(fixtures.MockPatch(
            'time.monotonic', return_value=100.0)).mock
        self.log = self.useFixture(fixtures.FakeLogger(level=logging.INFO))

    def wait(self, seconds: float) -> None:
        self.clock.return_value += seconds

    def lines(self) -> list[str]:
        return [str(line) for line in self.log.output.splitlines()]


class TestLedger(testtools.TestCase):

    def test_of_a_swift_is_one_whoever_asks_first(self) -> None:
        racing = threading.Barrier(2, timeout=10)

        def make(make_one: Callable[[], Any]) -> Any:
            racing.wait()
            return object()

        self.useFixture(fixtures.MonkeyPatch(
            'marconi_swift.store.per_process.PerProcess', make))
        outages.forget()
        self.addCleanup(outages.forget)
        with futures.ThreadPoolExecutor(2) as threads:
            one, other = threads.map(outages.of, ['swift.example'] * 2)

        self.assertIs(one, other)


class TestLog(_ClockTest):

    def setUp(self) -> None:
        super().setUp()
        self.outages = outages.Outages('swift.example')

    def fail(self, error: Exception | None = None) -> None:
        def ask() -> None:
            raise error or errors.Unanswered('lost')

        self.assertRaises(errors.SwiftError, self.outages.watch, ask)

    def succeed(self) -> None:
        self.assertEqual('done', self.outages.watch(lambda: 'done'))

    def test_says_nothing_while_all_is_well(self) -> None:
        self.succeed()

        self.assertEqual([], self.lines())

    def test_has_one_line_when_it_begins_and_one_when_it_ends(self) -> None:
        for _ in range(1000):
            self.fail()
            self.wait(0.1)
        self.wait(20)
        self.succeed()
        self.succeed()

        began, over = self.lines()
        self.assertIn('swift.example can not be used', began)
        self.assertIn('lost', began)
        self.assertIn('after 120 seconds in which 1000 requests', over)
        self.assertNotIn('messages', over)

    def test_is_one_outage_while_some_requests_succeed(self) -> None:
        for _ in range(10):
            self.fail()
            self.wait(1)
            self.succeed()
            self.wait(1)
        self.assertEqual(1, len(self.lines()))

        self.wait(outages.CALM)
        self.succeed()

        # Up to the first success after the last failure.
        self.assertIn('after 19 seconds in which 10 requests',
                      self.lines()[-1])

    def test_is_told_again_for_the_next_outage(self) -> None:
        for _ in range(2):
            self.fail()
            self.wait(60)
            self.succeed()

        self.assertEqual(4, len(self.lines()))

    def test_marks_what_it_tells_of(self) -> None:
        error = errors.Unauthorized('no')

        self.fail(error)

        self.assertTrue(error.told)

    def test_leaves_messages_that_may_come_to_others_without_outage(
        self,
    ) -> None:
        self.assertFalse(self.outages.mention(1))

        self.fail()
        self.assertTrue(self.outages.mention(2))
        self.assertTrue(self.outages.mention(3))
        self.wait(60)
        self.succeed()

        self.assertIn('Up to 5 messages', self.lines()[-1])
        self.assertFalse(self.outages.mention(1))


class TestSilence(_ClockTest):

    def setUp(self) -> None:
        super().setUp()
        self.silence = silence.Silence()

    def ask(self, send: Callable[[], Any]) -> Any:
        return self.silence.sender(send)()

    def hang(self, seconds: float = 20.0) -> None:
        """Ask something that nobody answers."""
        def send() -> None:
            self.wait(seconds)
            raise errors.Unanswered('lost')

        self.assertRaises(errors.Unanswered, self.ask, send)

    def nested(self) -> Any:
        """Ask something while another request is under way."""
        def outer() -> Any:
            return self.ask(lambda: _OK)

        return self.ask(outer)

    def test_lets_all_through_while_there_are_answers(self) -> None:
        self.assertEqual(_OK, self.nested())

    def test_lets_all_through_at_first(self) -> None:
        self.hang(silence.PATIENCE - 1)

        self.assertEqual(_OK, self.nested())

    def test_lets_one_through_when_nothing_is_answered(self) -> None:
        self.hang()

        error = self.assertRaises(errors.Unreachable, self.nested)

        self.assertTrue(error.harmless)
        self.assertIn('nothing for 20 seconds', str(error))

    def test_lets_the_next_one_through_when_that_one_failed(self) -> None:
        self.hang()
        self.hang()

        self.assertEqual(_OK, self.ask(lambda: _OK))

    def test_lasts_since_the_first_that_nothing_was_answered_to(self) -> None:
        for _ in range(3):
            self.hang(silence.PATIENCE / 2)

        self.assertRaises(errors.Unreachable, self.nested)

    def test_does_not_last_while_nobody_asks(self) -> None:
        self.hang(1)

        self.wait(silence.PATIENCE * 2)

        self.assertEqual(_OK, self.nested())

    def test_ends_with_the_first_answer_of_whatever_kind(self) -> None:
        self.hang()

        self.ask(lambda: transport.Response(503, {}, b''))

        self.assertEqual(_OK, self.nested())

    def test_is_none_while_others_are_answered(self) -> None:
        def send() -> None:
            self.wait(10)
            self.ask(lambda: _OK)
            self.wait(10)
            raise errors.Unanswered('one object is out of reach')

        self.assertRaises(errors.Unanswered, self.ask, send)

        self.assertEqual(_OK, self.nested())

    def test_goes_on_after_whatever_went_wrong(self) -> None:
        self.hang()

        def refused() -> None:
            raise errors.Unauthorized('no')

        for _ in range(2):
            self.assertRaises(errors.Unauthorized, self.ask, refused)


class _Hanging(fake_swift.FakeSwift):
    """A Swift whose requests hang until they are let go."""

    def __init__(self) -> None:
        super().__init__()
        self.hangs = False
        self.sent = 0
        self.under_way = threading.Semaphore(0)
        self.go = threading.Event()

    def request(self, *args: Any, **kwargs: Any) -> transport.Response:
        if not self.hangs:
            return super().request(*args, **kwargs)
        self.sent += 1
        self.under_way.release()
        self.go.wait(60)
        raise errors.Unanswered('timed out')


class TestStore(testtools.TestCase):

    def test_holds_up_one_thread_of_many_while_swift_hangs(self) -> None:
        self.useFixture(fixtures.MonkeyPatch(
            'tenacity.nap.time.sleep', lambda seconds: None))
        self.useFixture(fixtures.MonkeyPatch(
            'marconi_swift.store.silence.PATIENCE', 0.0))
        self.useFixture(fixtures.FakeLogger())
        swift = _Hanging()
        store = objects.ObjectStore(
            swift, retry.Policy(retries=0, time_limit=60),
            fan_out.FanOut(4), outages.of('swift'))
        store.check_account()
        swift.hangs = True

        with futures.ThreadPoolExecutor(8) as threads:
            # The first finds out that Swift hangs; the second asks again.
            first = threads.submit(store.check_account)
            swift.under_way.acquire(timeout=60)
            swift.go.set()
            first.exception(60)
            swift.go.clear()
            probe = threads.submit(store.check_account)
            swift.under_way.acquire(timeout=60)

            others = [threads.submit(store.check_account)
                      for _ in range(50)]
            failures = [each.exception(60) for each in others]

            self.assertFalse(probe.done())
            self.assertEqual(
                {errors.Unreachable}, set(map(type, failures)))
            self.assertEqual(2, swift.sent)
            swift.hangs = False
            swift.go.set()
            self.assertIsInstance(probe.exception(60), errors.Unanswered)
            # It is back: the next request says so, and all go through.
            store.check_account()
            self.assertEqual(
                {None}, {each.exception(60) for each in [
                    threads.submit(store.check_account)
                    for _ in range(50)]})
