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

"""Queues, their metadata, and what is done to the whole of one."""

from tests.fixtures import cloud


class QueuesTest(cloud.CloudTest):

    def test_creating_says_whether_it_is_new(self) -> None:
        name = self.queue()

        self.demo.put(f'/queues/{name}', expect=204)

    def test_metadata_come_back(self) -> None:
        name = self.queue(colour='red', size={'x': 1})

        found = self.demo.get(f'/queues/{name}')

        self.assertEqual('red', found['colour'])
        self.assertEqual({'x': 1}, found['size'])

    def test_metadata_are_patched(self) -> None:
        name = self.queue(colour='red', size=1)

        self.demo.patch(f'/queues/{name}', [
            {'op': 'add', 'path': '/metadata/weight', 'value': 5},
            {'op': 'replace', 'path': '/metadata/colour', 'value': 'blue'},
            {'op': 'remove', 'path': '/metadata/size'}])

        found = self.demo.get(f'/queues/{name}')
        self.assertEqual('blue', found['colour'])
        self.assertEqual(5, found['weight'])
        self.assertNotIn('size', found)

    def test_patches_follow_each_other_at_once(self) -> None:
        name = self.queue()

        for number in range(10):
            self.demo.patch(f'/queues/{name}', [
                {'op': 'add', 'path': '/metadata/n', 'value': number}])
            self.assertEqual(number, self.demo.get(f'/queues/{name}')['n'])

    def test_listing_goes_page_by_page(self) -> None:
        prefix = self.name()
        names = [self.queue(name=f'{prefix}-{n}') for n in range(5)]

        path, listed = f'/queues?limit=2&marker={prefix}', []
        while len(listed) < len(names):
            page = self.demo.get(path)
            self.assertLessEqual(len(page['queues']), 2)
            listed += [queue['name'] for queue in page['queues']]
            path = cloud.path_of(page['links'][0]['href'])

        self.assertEqual(names, listed[:5])

    def test_details_are_listed_when_asked_for(self) -> None:
        name = self.queue(colour='red')

        found = self.demo.get(f'/queues?detailed=true&name={name}')

        (queue,) = found['queues']
        self.assertEqual('red', queue['metadata']['colour'])

    def test_a_deleted_queue_is_empty_when_it_is_made_again(self) -> None:
        name = self.queue()
        self.send(name, 'old')

        self.demo.delete(f'/queues/{name}')
        self.demo.put(f'/queues/{name}', expect=201)

        self.assertEqual([], self.bodies(name))
        self.assertEqual(0, self.total(name))

    def test_bad_names_are_refused(self) -> None:
        for name in ('a%20b', 'x' * 65):
            self.demo.put(f'/queues/{name}', expect=400)


class PurgeTest(cloud.CloudTest):

    def setUp(self) -> None:
        super().setUp()
        self.name_ = self.queue()
        self.send(self.name_, *range(5))
        self.demo.post(f'/queues/{self.name_}/subscriptions', {
            'subscriber': 'http://127.0.0.1:9/', 'ttl': 300})

    def subscriptions(self) -> int:
        found = self.demo.get(f'/queues/{self.name_}/subscriptions')
        return len(found['subscriptions'])

    def purge(self, *kinds: str) -> None:
        self.demo.post(f'/queues/{self.name_}/purge', {
            'resource_types': kinds}, expect=204)

    def test_of_messages_leaves_subscriptions(self) -> None:
        self.purge('messages')

        self.assertEqual([], self.bodies(self.name_))
        self.assertEqual(1, self.subscriptions())

    def test_of_subscriptions_leaves_messages(self) -> None:
        self.purge('subscriptions')

        self.assertEqual(list(range(5)), self.bodies(self.name_))
        self.assertEqual(0, self.subscriptions())

    def test_of_everything_leaves_the_queue(self) -> None:
        self.purge('messages', 'subscriptions')

        self.assertEqual([], self.bodies(self.name_))
        self.assertEqual(0, self.subscriptions())
        self.demo.put(f'/queues/{self.name_}', expect=204)
