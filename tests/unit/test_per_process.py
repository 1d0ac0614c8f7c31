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

"""What each process makes for itself."""

from concurrent import futures
import os
import threading
import weakref

import testtools

from marconi_swift.store import per_process

# Seconds after which a thread that should have come has not.
PATIENCE = 10.0


class TestPerProcess(testtools.TestCase):

    def test_it_is_made_once(self) -> None:
        kept = per_process.PerProcess(object)

        self.assertIs(kept.get(), kept.get())

    def test_threads_that_race_for_it_get_the_same(self) -> None:
        # None of them has made one before all of them are about to.
        racing = threading.Barrier(4, timeout=PATIENCE)

        def make() -> object:
            racing.wait()
            return object()

        kept = per_process.PerProcess(make)
        with futures.ThreadPoolExecutor(racing.parties) as threads:
            found = [threads.submit(kept.get) for _ in range(racing.parties)]

        self.assertEqual(1, len({id(future.result()) for future in found}))
        self.assertIs(kept.get(), found[0].result())

    def test_what_was_dropped_is_made_anew(self) -> None:
        kept = per_process.PerProcess(object)
        first = kept.get()

        self.assertIs(first, kept.drop())
        self.assertIsNone(kept.drop())
        self.assertIsNot(first, kept.get())

    def test_a_forked_process_makes_its_own(self) -> None:
        kept = per_process.PerProcess(os.getpid)
        kept.get()

        pid = os.fork()
        if not pid:
            os._exit(kept.drop() is not None or kept.get() != os.getpid())

        self.assertEqual(0, os.waitpid(pid, 0)[1])
        self.assertEqual(os.getpid(), kept.get())

    def test_a_forked_process_lets_go_of_its_parents(self) -> None:
        kept = per_process.PerProcess(lambda: {os.getpid()})
        parents = weakref.ref(kept.get())

        pid = os.fork()
        if not pid:
            kept.get()
            os._exit(parents() is not None)

        self.assertEqual(0, os.waitpid(pid, 0)[1])
