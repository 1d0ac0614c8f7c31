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
"""What Zaqar calls in front of the queue controller."""

import testtools
from zaqar.storage import errors

from marconi_swift import names
from tests.fixtures import conf
from tests.fixtures import fake_swift
from tests.fixtures import workers

_RECORD = 'marconi:queues'


class TestDeleting(testtools.TestCase):

    spread_over = 1

    def setUp(self) -> None:
        super().setUp()
        drivers = self.useFixture(conf.FakeDrivers(
            containers_per_queue=self.spread_over))
        self.swift = drivers.swift
        self.site, self.other = (workers.Site(drivers.path) for _ in 'ab')
        self.site.queues.create('q')
        self.post(self.site, 'old')

    def post(self, site: workers.Site, body: str) -> None:
        site.data.message_controller.post(
            'q', [{'ttl': 600, 'body': body}], 'poster')

    def bodies(self) -> list[str]:
        return [message['body'] for message in next(
            self.site.data.message_controller.list('q'))]

    def at(self, method: str, container: str, do: object) -> None:
        """Do something once, just before a request arrives."""
        def look(step: str, request: fake_swift.Request) -> None:
            if (step, request.method, request.container) == (
                    'arrive', method, container):
                self.swift.on_step = None
                do()  # type: ignore[operator]

        self.swift.on_step = look

    def test_leaves_nothing(self) -> None:
        self.site.queues.delete('q')
        self.site.queues.delete('q')

        self.assertFalse(self.site.queues.exists('q'))
        self.site.queues.create('q')
        self.assertEqual([], self.bodies())

    def test_takes_back_what_is_posted_meanwhile(self) -> None:
        container = names.messages('marconi', None, 'q')
        # The containers are gone, and the record is not.
        self.at('DELETE', _RECORD, lambda: self.post(self.other, 'late'))
        self.site.queues.delete('q')

        self.assertEqual([], self.site.data.account.store.page(container))
        self.assertRaises(
            errors.QueueDoesNotExist, self.post, self.site, 'later')

    def test_leaves_a_queue_that_was_made_meanwhile(self) -> None:
        def create() -> None:
            self.assertTrue(self.other.queues.create('q'))
            self.post(self.other, 'new')

        container = names.messages('marconi', None, 'q')
        # What is left is listed when the record is gone.
        self.at('DELETE', _RECORD,
                lambda: self.at('GET', container, create))
        self.site.queues.delete('q')

        self.assertTrue(self.site.queues.exists('q'))
        self.assertEqual(['new'], self.bodies())
