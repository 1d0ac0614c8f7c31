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

"""Several calls at a time, on a pool of threads that may be exhausted."""

from concurrent import futures
import gc
import threading
from typing import Any
from unittest import mock
import weakref

import fixtures
import testtools

from marconi_swift.store import fan_out

# Seconds after which a thread that should have come has not.
PATIENCE = 10.0

WIDTH = 4


class FanOutTest(testtools.TestCase):

    def setUp(self) -> None:
        super().setUp()
        self.threads = futures.ThreadPoolExecutor(WIDTH)
        self.addCleanup(self.threads.shutdown)
        pool = mock.Mock()
        pool.get.return_value = self.threads
        self.useFixture(fixtures.MockPatch(
            'marconi_swift.store.fan_out._threads', return_value=pool))
        self.fan = fan_out.FanOut(WIDTH)

    def occupy(self) -> threading.Event:
        """Keep all threads of the pool busy until an event is set."""
        busy = threading.Barrier(WIDTH + 1, timeout=PATIENCE)
        over = threading.Event()

        def work() -> None:
            busy.wait()
            over.wait(PATIENCE)

        for _ in range(WIDTH):
            self.threads.submit(work)
        busy.wait()
        self.addCleanup(over.set)
        return over

    def test_as_many_work_at_once_as_it_is_wide(self) -> None:
        together = threading.Barrier(WIDTH, timeout=PATIENCE)

        def work(item: int) -> int:
            together.wait()
            return -item

        self.assertEqual(
            [-item for item in range(2 * WIDTH)],
            self.fan.each(work, range(2 * WIDTH)))

    def test_what_is_raised_is_in_the_place_of_a_result(self) -> None:
        def invert(item: int) -> float:
            return 1 / item

        one, error, half = self.fan.outcomes(invert, [1, 0, 2])

        self.assertEqual((1, .5), (one, half))
        self.assertIsInstance(error, ZeroDivisionError)
        self.assertRaises(ZeroDivisionError, self.fan.each, invert, [1, 0])

    def test_the_caller_works_alone_where_no_thread_is_free(self) -> None:
        self.occupy()

        def work(item: int) -> threading.Thread:
            return threading.current_thread()

        self.assertEqual({threading.current_thread()},
                         set(self.fan.each(work, range(8))))

    def test_nothing_is_kept_for_threads_that_come_too_late(self) -> None:
        class Result:
            pass

        self.occupy()
        results = self.fan.each(lambda item: Result(), range(8))
        left = weakref.ref(results[0])
        del results
        gc.collect()

        self.assertIsNone(left())

    def test_all_is_done_where_no_more_threads_can_be_started(self) -> None:
        """What was handed to a thread before goes on, and is waited for."""
        helping, may_end = threading.Event(), threading.Event()
        start, started = threading.Thread.start, []

        def start_one(thread: threading.Thread) -> None:
            if started:
                # What the system has no room for, the caller does meanwhile.
                raise RuntimeError("can't start new thread")
            started.append(thread)
            start(thread)

        def work(item: int) -> Any:
            if threading.current_thread() in started:
                helping.set()
                may_end.wait(PATIENCE)
            elif helping.wait(PATIENCE) and item == 7:
                may_end.set()
            return threading.current_thread()

        self.useFixture(fixtures.MonkeyPatch(
            'threading.Thread.start', start_one))

        found = self.fan.each(work, range(8))

        self.assertEqual({threading.current_thread(), *started}, set(found))
