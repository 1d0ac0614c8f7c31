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
"""Queues with more messages than Swift lists at a time."""

from collections.abc import Iterator
import itertools
import time
from typing import Any
import uuid

import fixtures
import swiftclient
import testtools
from testtools import content

from marconi_swift import names
from marconi_swift.store import errors
from marconi_swift.store import transport
from tests.fixtures import conf
from tests.fixtures import workers

PROJECT = 'project'
QUEUE = 'queue'
CLIENT = uuid.uuid4()

# 12,000 messages are more than the 10,000 rows of one listing.
SIZE = workers.scaled(600, 12000)
ROWS = SIZE * 5 // 6

MINUTE = {'ttl': 60, 'grace': 60}


class _OnQueue(testtools.TestCase):
    """A test of one queue, whatever is in it."""

    containers = 1

    def setUp(self) -> None:
        super().setUp()
        configured = self.useFixture(conf.ZaqarConf(
            retries=0, post_time_limit=120,
            containers_per_queue=self.containers))
        self.swift = configured.swift
        self.site = workers.Site(configured.path)
        self.messages = self.site.data.message_controller
        self.create()

    def create(self) -> None:
        self.site.queues.create(QUEUE, project=PROJECT)

    def delete(self) -> None:
        self.site.queues.delete(QUEUE, project=PROJECT)

    def post(self, size: int) -> list[str]:
        ids: list[str] = self.messages.post(
            QUEUE, ({'ttl': 3600, 'body': number} for number in range(size)),
            CLIENT, project=PROJECT)
        return ids

    def pages(self, limit: int) -> Iterator[list[str]]:
        """Read the queue as a client does, page by page."""
        marker = None
        while True:
            found = self.messages.list(
                QUEUE, project=PROJECT, marker=marker, limit=limit)
            page = [message['id'] for message in next(found)]
            if not page:
                return
            yield page
            marker = next(found)

    def assert_empty(self, formerly: list[str]) -> None:
        stats = self.site.queues.stats(QUEUE, project=PROJECT)
        self.assertEqual({'claimed': 0, 'free': 0, 'total': 0},
                         stats['messages'])
        self.assertEqual([], list(self.pages(10)))
        self.assertEqual([], list(self.messages.bulk_get(
            QUEUE, formerly, project=PROJECT)))

    def assert_gone(self) -> None:
        """Swift has none of the queue's containers, nor its record."""
        client = self.swift.connect()
        prefix = self.site.data.account.settings.container_prefix
        for kind, number in itertools.product(
                (names.messages, names.claims), range(self.containers)):
            container = names.part(kind(prefix, PROJECT, QUEUE), number)
            error = self.assertRaises(
                swiftclient.ClientException, client.head_container, container)
            self.assertEqual(404, error.http_status)
        _, records = client.get_container(names.registry(prefix, 'queues'))
        self.assertEqual([], records)


class LargeQueueTest(_OnQueue):

    def setUp(self) -> None:
        super().setUp()
        self.useFixture(fixtures.MonkeyPatch(
            'marconi_swift.store.objects.PAGE', ROWS))
        self.took: dict[str, float] = {}

    def test_its_life(self) -> None:
        posted = self.timed('post', lambda: self.post(SIZE))

        stats = self.timed('count', lambda: self.site.queues.stats(
            QUEUE, project=PROJECT))['messages']
        self.assertEqual((SIZE, SIZE, 0), (
            stats['total'], stats['free'], stats['claimed']))
        self.assertEqual((posted[0], posted[-1]), (
            stats['oldest']['id'], stats['newest']['id']))

        large = self.timed('list, 1000 a page', lambda: list(
            itertools.islice(self.pages(1000), SIZE)))
        self.assertEqual(posted, list(itertools.chain(*large)))

        small = self.timed('list 200, 20 a page', lambda: list(
            itertools.islice(self.pages(20), 10)))
        self.assertEqual(posted[:200], list(itertools.chain(*small)))

        self.timed('delete', self.delete)
        self.assert_gone()

        self.create()
        self.assert_empty(posted[:100])

    def timed(self, what: str, call: Any) -> Any:
        began = time.monotonic()
        outcome = call()
        self.took[what] = round(time.monotonic() - began, 1)
        self.addDetail('seconds', content.text_content(
            f'{SIZE} messages: {self.took}'))
        return outcome


class SpreadLargeQueueTest(LargeQueueTest):
    containers = 4


class InterruptedDeletionTest(_OnQueue):
    """A deletion that fails is taken up by the next."""

    def test_before_anything_is_deleted(self) -> None:
        self.check_interrupted_after(2)

    def test_among_the_messages(self) -> None:
        self.check_interrupted_after(30)

    def test_between_messages_and_claims(self) -> None:
        # A refused DELETE, a listing, 50 messages, an empty listing, and
        # the DELETE of the first container.
        self.check_interrupted_after(54)

    def check_interrupted_after(self, count: int) -> None:
        posted = self.post(50)
        self.site.data.claim_controller.create(
            QUEUE, MINUTE, project=PROJECT, limit=10)

        with _LostAfter(self.site.data.account.transport, count):
            self.assertRaises(errors.SwiftError, self.delete)

        # Zaqar still knows the queue, so its user can try again.
        self.assertTrue(self.site.queues.exists(QUEUE, project=PROJECT))
        self.delete()
        self.assert_gone()
        self.create()
        self.assert_empty(posted)


class SpreadInterruptedDeletionTest(InterruptedDeletionTest):
    containers = 4


class _LostAfter(fixtures.Fixture):
    """Swift is out of reach after so many requests."""

    def __init__(self, sender: transport.Transport, count: int) -> None:
        super().__init__()
        self._sender = sender
        self._left = itertools.chain(
            itertools.repeat(True, count), itertools.repeat(False))

    def _setUp(self) -> None:
        request = self._sender.request

        def lost(*args: Any, **kwargs: Any) -> transport.Response:
            if not next(self._left):
                raise errors.Unanswered('Swift was switched off.')
            return request(*args, **kwargs)

        self.useFixture(fixtures.MockPatchObject(
            self._sender, 'request', lost))
