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

"""Topics, as far as Zaqar's API serves them.

Posting to a topic and subscribing to it are answered 500 by every driver's
Zaqar: the resources that it routes them to know queues alone.
"""

from tests.fixtures import cloud


class TopicsTest(cloud.CloudTest):

    def setUp(self) -> None:
        super().setUp()
        self.name_ = self.name()
        self.path = f'/topics/{self.name_}'
        self.demo.put(self.path, {'colour': 'red'}, expect=201)
        self.addCleanup(self.demo.delete, self.path)

    def test_one_comes_back(self) -> None:
        self.assertEqual('red', self.demo.get(self.path)['colour'])
        self.demo.put(self.path, expect=204)

    def test_one_is_changed(self) -> None:
        self.demo.patch(self.path, [
            {'op': 'replace', 'path': '/metadata/colour', 'value': 'blue'}])

        self.assertEqual('blue', self.demo.get(self.path)['colour'])

    def test_one_is_listed_with_topics_only(self) -> None:
        topics = self.demo.get(f'/topics?name={self.name_}')['topics']
        queues = self.demo.get(f'/queues?name={self.name_}')['queues']

        self.assertEqual([self.name_], [topic['name'] for topic in topics])
        self.assertEqual([], queues)

    def test_one_that_is_empty_has_statistics(self) -> None:
        found = self.demo.get(f'{self.path}/stats')

        self.assertEqual(0, found['messages']['total'])

    def test_one_is_purged(self) -> None:
        self.demo.post(f'{self.path}/purge', {
            'resource_types': ['messages', 'subscriptions']}, expect=204)

        self.demo.put(self.path, expect=204)

    def test_a_deleted_one_is_gone(self) -> None:
        self.demo.delete(self.path)

        self.demo.put(self.path, expect=201)
        self.assertNotIn('colour', self.demo.get(self.path))
