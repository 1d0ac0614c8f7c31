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

"""What one project has is nothing to another."""

from typing import Any

from tests.fixtures import cloud


class IsolationTest(cloud.CloudTest):
    """The same queue name in two projects, and ids that were guessed.

    ``demo`` owns everything; ``alt`` tries.
    """

    def setUp(self) -> None:
        super().setUp()
        self.name_ = self.queue(self.demo, colour='red')
        self.queue(self.alt, self.name_, colour='blue')
        self.ids = self.send(self.name_, *range(5))
        self.path = f'/queues/{self.name_}'

    def test_queues_of_one_name_are_two(self) -> None:
        self.assertEqual('red', self.demo.get(self.path)['colour'])
        self.assertEqual('blue', self.alt.get(self.path)['colour'])

    def test_queues_of_others_are_not_listed(self) -> None:
        name = self.queue(self.demo)

        found = self.alt.get(f'/queues?name={name}')

        self.assertEqual([], found['queues'])
        self.assertNotIn(
            name, str(self.alt.get('/queues?limit=20&detailed=true')))

    def test_messages_are_not_seen(self) -> None:
        self.assertEqual([], self.bodies(self.name_, self.alt))
        self.alt.get(f'{self.path}/messages/{self.ids[0]}', expect=404)
        ids = ','.join(self.ids)
        found = self.alt.ask('GET', f'{self.path}/messages?ids={ids}')
        self.assertNotIn('body', str(found.body))

    def test_messages_are_not_counted(self) -> None:
        self.assertEqual(0, self.total(self.name_, self.alt))
        self.assertEqual(5, self.total(self.name_))

    def test_messages_are_not_claimed(self) -> None:
        self.assertEqual([], self.claim(self.name_, self.alt, expect=204))
        self.assertEqual(5, len(self.claim(self.name_)))

    def test_messages_are_not_deleted(self) -> None:
        ids = ','.join(self.ids)
        for path in (
            f'{self.path}/messages/{self.ids[0]}',
            f'{self.path}/messages?ids={ids}',
            f'{self.path}/messages?pop=5',
        ):
            self.alt.ask('DELETE', path)
        self.alt.post(f'{self.path}/purge', {
            'resource_types': ['messages', 'subscriptions']}, expect=204)
        self.alt.delete(self.path)

        self.assertEqual(list(range(5)), self.bodies(self.name_))
        self.assertEqual('red', self.demo.get(self.path)['colour'])

    def test_claims_are_not_seen_renewed_or_released(self) -> None:
        (message,) = self.claim(self.name_, limit=1)
        path = f'{self.path}/claims/{cloud.claim_id(message)}'

        self.alt.get(path, expect=404)
        self.alt.patch(path, {'ttl': 600, 'grace': 60}, expect=404)
        self.alt.delete(path)
        self.alt.ask('DELETE', cloud.path_of(message['href']))

        found = self.demo.get(path)
        self.assertEqual(60, found['ttl'])
        self.assertEqual([0], [m['body'] for m in found['messages']])

    def test_subscriptions_are_not_seen_changed_or_deleted(self) -> None:
        made = self.demo.post(f'{self.path}/subscriptions', {
            'subscriber': 'http://127.0.0.1:9/', 'ttl': 300})
        path = f'{self.path}/subscriptions/{made["subscription_id"]}'

        self.alt.get(path, expect=404)
        self.alt.patch(path, {'ttl': 600}, expect=404)
        self.alt.delete(path)
        listed = self.alt.get(f'{self.path}/subscriptions')

        self.assertEqual([], listed['subscriptions'])
        self.assertEqual(300, self.demo.get(path)['ttl'])

    def test_a_project_can_not_be_claimed_in_a_header(self) -> None:
        headers = {'X-Project-ID': self.demo.project}

        found: Any = self.alt.ask(
            'GET', f'{self.path}/messages?echo=true', headers=headers,
            expect=200).body

        self.assertEqual([], found['messages'])

    def test_topics_of_one_name_are_two(self) -> None:
        path = f'/topics/{self.name_}'
        for person, colour in ((self.demo, 'red'), (self.alt, 'blue')):
            person.put(path, {'colour': colour}, expect=201)
            self.addCleanup(person.delete, path)

        self.assertEqual('red', self.demo.get(path)['colour'])
        self.assertEqual('blue', self.alt.get(path)['colour'])
        self.alt.delete(path)
        self.assertEqual('red', self.demo.get(path)['colour'])
