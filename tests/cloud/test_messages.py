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

"""Messages: posted, listed, read and deleted."""

import time

from tests.fixtures import cloud

# Seconds that a message is delayed, and may be late after that.
DELAY = 5
LATE = 20


class MessagesTest(cloud.CloudTest):

    def setUp(self) -> None:
        super().setUp()
        self.name_ = self.queue()
        self.path = f'/queues/{self.name_}/messages'

    def test_bodies_come_back_as_they_went_in(self) -> None:
        bodies = ['text', 'ünï©ode ✓', 1.5, None, [1, {'a': [True]}], {}, '']

        self.send(self.name_, *bodies)

        self.assertEqual(bodies, self.bodies(self.name_))

    def test_one_is_read_by_its_id(self) -> None:
        ids = self.send(self.name_, 'one', 'two')

        found = self.demo.get(f'{self.path}/{ids[1]}')

        self.assertEqual('two', found['body'])
        self.assertEqual(300, found['ttl'])

    def test_several_are_read_by_their_ids(self) -> None:
        ids = self.send(self.name_, 'one', 'two', 'three')

        found = self.demo.get(f'{self.path}?ids={ids[0]},{ids[2]}')

        self.assertEqual(
            ['one', 'three'], [m['body'] for m in found['messages']])

    def test_listing_goes_page_by_page_in_order(self) -> None:
        for start in range(0, 30, 10):
            self.send(self.name_, *range(start, start + 10))

        listed, path = [], f'{self.path}?echo=true&limit=7'
        while len(listed) < 30:
            page = self.demo.get(path)
            listed += [message['body'] for message in page['messages']]
            path = cloud.path_of(page['links'][0]['href'])

        self.assertEqual(list(range(30)), listed)

    def test_a_client_is_not_shown_its_own_unless_it_asks(self) -> None:
        self.send(self.name_, 'mine')

        own = self.demo.get(self.path)
        other = self.demo.ask('GET', self.path, expect=200, headers={
            'Client-ID': '3381af92-2b9e-11e3-b191-71861300734c'}).body

        self.assertEqual([], own['messages'])
        self.assertEqual(['mine'], [m['body'] for m in other['messages']])
        self.assertEqual(['mine'], self.bodies(self.name_))

    def test_they_are_deleted_one_by_one_and_together(self) -> None:
        ids = self.send(self.name_, *range(5))

        self.demo.delete(f'{self.path}/{ids[0]}')
        self.demo.delete(f'{self.path}?ids={ids[1]},{ids[2]}')

        self.assertEqual([3, 4], self.bodies(self.name_))
        self.demo.get(f'{self.path}/{ids[0]}', expect=404)

    def test_pop_takes_them_away(self) -> None:
        self.send(self.name_, *range(5))

        popped = self.demo.ask(
            'DELETE', f'{self.path}?pop=2', expect=200).body

        self.assertEqual([0, 1], [m['body'] for m in popped['messages']])
        self.assertEqual([2, 3, 4], self.bodies(self.name_))

    def test_those_with_a_delay_come_later(self) -> None:
        # Zaqar ignores delays in a queue that has none itself.
        name = self.queue(_default_message_delay=1)
        self.demo.post(f'/queues/{name}/messages', {'messages': [
            {'ttl': 300, 'body': 'later', 'delay': DELAY}]})
        posted = time.monotonic()
        self.assertEqual([], self.bodies(name))
        self.assertEqual([], self.claim(name, expect=204))

        while not (found := self.claim(name, expect=(201, 204))):
            self.assertLess(time.monotonic(), posted + DELAY + LATE)
            time.sleep(0.1)

        self.assertEqual(['later'], [message['body'] for message in found])

    def test_statistics_count_them(self) -> None:
        self.send(self.name_, *range(5))
        self.claim(self.name_, limit=2)

        found = self.demo.get(f'/queues/{self.name_}/stats')['messages']

        self.assertEqual(
            (5, 2, 3), (found['total'], found['claimed'], found['free']))

    def test_nonsense_is_refused(self) -> None:
        for body in (
            {},
            {'messages': []},
            {'messages': [{'ttl': 1, 'body': 'x'}]},
            {'messages': [{'ttl': 300}]},
        ):
            self.demo.post(self.path, body, expect=400)

    def test_a_large_one_is_refused_where_the_queue_says_so(self) -> None:
        name = self.queue(_max_messages_post_size=100)

        self.demo.post(f'/queues/{name}/messages', {
            'messages': [{'ttl': 300, 'body': 'x' * 100}]}, expect=400)


class SignedUrlsTest(cloud.CloudTest):

    def test_one_stands_for_a_token(self) -> None:
        name = self.queue()
        self.send(name, 'shared')
        signed = self.demo.post(f'/queues/{name}/share', {
            'paths': ['messages'], 'methods': ['GET']}, expect=200)
        headers = {
            'URL-Signature': signed['signature'],
            'URL-Expires': signed['expires'],
            'URL-Methods': ','.join(signed['methods']),
            'URL-Paths': ','.join(signed['paths']),
            'X-Project-ID': signed['project'],
        }

        found = self.demo.ask(
            'GET', f'/queues/{name}/messages?echo=true', expect=200,
            headers=headers, authenticated=False).body
        self.assertEqual(['shared'], [m['body'] for m in found['messages']])

        headers['URL-Signature'] = 'f' * 64
        self.demo.ask(
            'GET', f'/queues/{name}/messages?echo=true', expect=404,
            headers=headers, authenticated=False)

    def test_without_either_nothing_is_told(self) -> None:
        name = self.queue()

        self.demo.ask('GET', f'/queues/{name}/messages', expect=401,
                      authenticated=False)
        self.demo.ask('GET', f'/queues/{name}/messages', expect=401,
                      authenticated=False, headers={'X-Auth-Token': 'none'})
