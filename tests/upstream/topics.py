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
"""The suite of topic controllers that Zaqar's base suites lack."""

from typing import Any
import uuid

import ddt
from testtools import matchers
from zaqar import storage
from zaqar.storage import errors
from zaqar.tests.unit.storage import base


@ddt.ddt
class TopicControllerTest(base.ControllerBaseTest):
    controller_base_class = storage.Topic

    def setUp(self) -> None:
        super().setUp()
        self.topics = self.pipeline.topic_controller

    def create(self, name: str, **metadata: Any) -> None:
        self.assertTrue(self.controller.create(
            name, metadata=metadata, project=self.project))

    def listed(self, **query: Any) -> tuple[list[dict[str, Any]], str]:
        page, marker = self.controller.list(project=self.project, **query)
        return list(page), marker

    @ddt.data(None, base.ControllerBaseTest.project)
    def test_list(self, project: str | None) -> None:
        other = self.project if project is None else None
        for number in range(15):
            self.controller.create(str(number), project=project)
            self.controller.create(str(number), project=other)

        interaction = self.controller.list(project=project, detailed=True)
        first = list(next(interaction))
        marker = next(interaction)
        second = list(next(self.controller.list(
            project=project, marker=marker)))

        self.assertThat(first, matchers.HasLength(10))
        self.assertThat(second, matchers.HasLength(5))
        self.assertEqual({'name', 'metadata'}, set(first[0]))
        self.assertEqual({'name'}, set(second[0]))
        self.assertEqual(
            sorted(map(str, range(15))),
            [topic['name'] for topic in first + second])

    def test_filters(self) -> None:
        self.create('apples', kind='fruit', rank=1)
        self.create('carrots', kind='root', rank=1)
        self.create('pears', kind='fruit', rank=2)

        def named(**query: Any) -> list[str]:
            return [topic['name'] for topic in self.listed(**query)[0]]

        self.assertEqual(['apples', 'pears'],
                         named(kfilter={'kind': 'fruit'}))
        self.assertEqual(['apples'],
                         named(kfilter={'kind': 'fruit', 'rank': 1}))
        self.assertEqual(['carrots'], named(name='rot'))
        self.assertEqual([], named(name='rot', kfilter={'rank': 2}))
        self.assertEqual(([], None), (
            named(marker='pears'),
            self.listed(marker='pears')[1] or None))

    def test_lifecycle(self) -> None:
        self.assertFalse(self.controller.exists('t', project=self.project))
        self.create('t', a=1)

        self.assertTrue(self.controller.exists('t', project=self.project))
        self.assertFalse(self.controller.create(
            't', metadata={'a': 2}, project=self.project))
        self.assertEqual(
            {'a': 1}, self.controller.get('t', project=self.project))
        self.controller.set_metadata('t', {'b': 2}, project=self.project)
        self.assertEqual(
            {'b': 2},
            self.controller.get_metadata('t', project=self.project))

        self.topics.delete('t', project=self.project)
        self.topics.delete('t', project=self.project)
        self.assertFalse(self.controller.exists('t', project=self.project))
        self.assertEqual({}, self.controller.get('t', project=self.project))
        self.assertRaises(
            errors.TopicDoesNotExist, self.controller.get_metadata, 't',
            project=self.project)
        self.assertRaises(
            errors.TopicDoesNotExist, self.controller.set_metadata, 't', {},
            project=self.project)

    def test_stats(self) -> None:
        self.create('t')

        stats = self.topics.stats('t', project=self.project)

        self.assertEqual({'messages': {'total': 0}}, stats)
        self.assertRaises(errors.TopicDoesNotExist, self.topics.stats,
                          'missing', project=self.project)

    def test_share_nothing_with_a_queue_of_the_name(self) -> None:
        queues = self.pipeline.queue_controller
        queues.create('same', metadata={'of': 'queue'}, project=self.project)
        [posted] = self.pipeline.message_controller.post(
            'same', [{'ttl': 60, 'body': {}}], uuid.uuid4(),
            project=self.project)
        self.create('same', of='topic')

        self.assertEqual(
            {'messages': {'total': 0}},
            self.topics.stats('same', project=self.project))
        self.topics.delete('same', project=self.project)

        self.assertEqual({'of': 'queue'},
                         queues.get('same', project=self.project))
        self.assertEqual(posted, self.pipeline.message_controller.get(
            'same', posted, project=self.project)['id'])
