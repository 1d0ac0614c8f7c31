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
"""What is found out once for several threads."""

from concurrent import futures
import threading

import testtools

from marconi_swift.data import once

# Seconds after which a thread that should have come has not.
PATIENCE = 10.0


class TestOnce(testtools.TestCase):

    def test_asks_once_even_for_nothing(self) -> None:
        asked: list[None] = []
        answer = once.Once(lambda: asked.append(None))

        self.assertIsNone(answer.get())
        self.assertIsNone(answer.get())
        self.assertEqual([None], asked)

    def test_shares_what_was_raised_with_those_who_waited(self) -> None:
        asked = []
        may_fail = threading.Event()

        def fail() -> None:
            asked.append(may_fail.wait(PATIENCE))
            raise KeyError('why')

        answer = once.Once(fail)
        with futures.ThreadPoolExecutor(4) as threads:
            waiting = [threads.submit(answer.get) for _ in range(4)]
            may_fail.set()

        self.assertEqual([True], asked)
        self.assertEqual(
            ["KeyError('why')"] * 4,
            [repr(future.exception()) for future in waiting])
