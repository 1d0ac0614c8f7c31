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

from collections.abc import Callable
import os
import threading

import fixtures
import testtools

from marconi_swift import cache


class TestCache(testtools.TestCase):

    def setUp(self) -> None:
        super().setUp()
        self.loads = 0
        self.cache = cache.Cache[str, dict[str, int]](60, 2)

    def load(self) -> dict[str, int]:
        self.loads += 1
        return {'loads': self.loads}

    def test_loads_once(self) -> None:
        self.assertEqual({'loads': 1}, self.cache.get('k', self.load))
        self.assertEqual({'loads': 1}, self.cache.get('k', self.load))
        self.assertIn('k', self.cache)

    def test_forgets(self) -> None:
        for forget in (lambda: self.cache.forget('k'), self.cache.clear):
            self.cache.get('k', self.load)
            forget()
            self.assertNotIn('k', self.cache)

    def test_keeps_no_more_than_its_size(self) -> None:
        for key in 'abc':
            self.cache.get(key, self.load)

        self.assertEqual(2, sum(key in self.cache for key in 'abc'))

    def test_that_lasts_no_time_keeps_nothing(self) -> None:
        short = cache.Cache[str, dict[str, int]](0, 2)

        short.get('k', self.load)

        self.assertEqual({'loads': 2}, short.get('k', self.load))

    def test_does_not_keep_what_was_forgotten_while_it_was_loaded(
        self,
    ) -> None:
        for forget in (lambda: self.cache.forget('k'), self.cache.clear):
            def load(forget: Callable[[], None] = forget) -> dict[str, int]:
                forget()
                return self.load()

            self.cache.get('k', load)

            self.assertNotIn('k', self.cache)

    def test_keeps_what_one_loads_while_another_fails(self) -> None:
        def fail() -> dict[str, int]:
            raise KeyError

        def load() -> dict[str, int]:
            self.assertRaises(KeyError, self.cache.get, 'k', fail)
            return self.load()

        self.cache.get('k', load)

        self.assertIn('k', self.cache)

    def test_keeps_what_was_loaded_while_others_were_forgotten(self) -> None:
        def load() -> dict[str, int]:
            self.cache.forget('other')
            return self.load()

        self.cache.get('k', load)

        self.assertIn('k', self.cache)

    def test_renews_what_it_keeps(self) -> None:
        self.cache.get('k', self.load)

        self.assertEqual({'loads': 2}, self.cache.renew('k', self.load))
        self.assertEqual({'loads': 2}, self.cache.get('k', self.load))

    def test_keeps_a_value_no_longer_than_since_it_began_to_load(
        self,
    ) -> None:
        now = self.useFixture(fixtures.MockPatch(
            'marconi_swift.cache.time.monotonic', return_value=100.0)).mock
        self.cache = cache.Cache[str, dict[str, int]](60, 2)

        def load() -> dict[str, int]:
            now.return_value += 59
            return self.load()

        self.cache.get('k', load)
        self.assertIn('k', self.cache)
        now.return_value += 2

        self.assertNotIn('k', self.cache)

    def test_weighs_what_it_keeps(self) -> None:
        cache_ = cache.Cache[str, bytes](60, 10, len)

        for key, value in (('a', b'12345'), ('b', b'12345'), ('c', b'1')):
            cache_.keep(key, value)
        cache_.keep('large', b'12345678901')

        self.assertEqual(
            [None, b'12345', b'1', None],
            [cache_.find(key) for key in ('a', 'b', 'c', 'large')])

    def test_keeps_nothing_when_loading_fails(self) -> None:
        def fail() -> dict[str, int]:
            raise KeyError

        self.assertRaises(KeyError, self.cache.get, 'k', fail)
        self.assertNotIn('k', self.cache)

    def test_begins_empty_in_a_forked_process(self) -> None:
        self.cache.get('k', self.load)
        status = []

        # In a thread: the locks of a busy parent must not matter.
        def fork() -> None:
            pid = os.fork()
            if not pid:
                os._exit('k' in self.cache)
            status.append(os.waitpid(pid, 0)[1])

        thread = threading.Thread(target=fork)
        thread.start()
        thread.join()

        self.assertEqual([0], status)
