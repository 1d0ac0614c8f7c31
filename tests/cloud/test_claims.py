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

"""Claims: messages that one worker holds for a while."""

import concurrent.futures
import time

from tests.fixtures import cloud


class ClaimsTest(cloud.CloudTest):

    def setUp(self) -> None:
        super().setUp()
        self.name_ = self.queue()
        self.path = f'/queues/{self.name_}/claims'

    def test_nobody_else_gets_what_is_claimed(self) -> None:
        self.send(self.name_, *range(5))

        first = self.claim(self.name_, limit=3)
        second = self.claim(self.name_)

        self.assertEqual([0, 1, 2], [m['body'] for m in first])
        self.assertEqual([3, 4], [m['body'] for m in second])
        self.assertEqual([], self.claim(self.name_, expect=204))

    def test_one_can_be_read(self) -> None:
        self.send(self.name_, *range(3))
        claimed = self.claim(self.name_, limit=2, ttl=90)

        found = self.demo.get(f'{self.path}/{cloud.claim_id(claimed[0])}')

        self.assertEqual(90, found['ttl'])
        self.assertEqual([0, 1], [m['body'] for m in found['messages']])

    def test_one_is_renewed(self) -> None:
        self.send(self.name_, 'job')
        (message,) = self.claim(self.name_)
        path = f'{self.path}/{cloud.claim_id(message)}'

        self.demo.patch(path, {'ttl': 120, 'grace': 60}, expect=204)

        self.assertEqual(120, self.demo.get(path)['ttl'])

    def test_a_released_one_frees_its_messages(self) -> None:
        self.send(self.name_, 'job')
        (message,) = self.claim(self.name_)
        path = f'{self.path}/{cloud.claim_id(message)}'

        self.demo.delete(path)

        self.demo.get(path, expect=404)
        self.assertEqual(
            ['job'], [m['body'] for m in self.claim(self.name_)])

    def test_a_message_is_deleted_by_its_holder_alone(self) -> None:
        self.send(self.name_, 'job')
        (message,) = self.claim(self.name_)
        path = cloud.path_of(message['href'])

        self.demo.delete(path.partition('?')[0], expect=403)
        self.assertEqual(1, self.total(self.name_))
        self.demo.delete(path)

        self.assertEqual(0, self.total(self.name_))

    def test_workers_at_once_never_share_a_message(self) -> None:
        for start in (0, 20, 40):
            self.send(self.name_, *range(start, start + 20))

        def work() -> list[int]:
            taken: list[int] = []
            while got := self.claim(
                    self.name_, limit=5, expect=(201, 204)):
                taken += [message['body'] for message in got]
            return taken

        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            shares = [pool.submit(work) for _ in range(4)]
            taken = [body for share in shares for body in share.result()]

        self.assertEqual(len(taken), len(set(taken)))
        # A worker that met others everywhere may have stopped early.
        rest = work()
        deadline = time.monotonic() + 60
        while len(taken) + len(rest) < 60:
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.2)
            rest += work()
        self.assertEqual(list(range(60)), sorted(taken + rest))

    def test_an_over_claimed_message_becomes_a_dead_letter(self) -> None:
        dead = self.queue()
        name = self.queue(
            _max_claim_count=1, _dead_letter_queue=dead,
            _dead_letter_queue_messages_ttl=300)
        self.send(name, 'poison')
        (message,) = self.claim(name)
        self.demo.delete(f'/queues/{name}/claims/{cloud.claim_id(message)}')

        self.assertEqual([], self.claim(name, expect=204))

        self.assertEqual(['poison'], self.bodies(dead))
        self.assertEqual(0, self.total(name))

    def test_nonsense_is_refused(self) -> None:
        for body in ({'ttl': 1, 'grace': 60}, {'ttl': 'long'}):
            self.demo.post(self.path, body, expect=400)
        self.demo.get(f'{self.path}/nothing-of-the-kind', expect=404)
