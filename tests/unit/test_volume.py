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
"""What health says of how much is stored, and what asking for it costs."""

import json
from typing import Any

import fixtures

from marconi_swift import names
from marconi_swift.data import volume
from marconi_swift.store import transport
from tests.fixtures import fake_swift
from tests.unit import test_claims
from tests.unit import test_sweeping


class TestVolume(test_claims.ClaimTest):

    def setUp(self) -> None:
        super().setUp()
        #: What containers told the account some minutes ago.
        self.told: dict[str, int] = {}
        ask = self.swift.request

        def request(
            method: str, container: str | None = None, *args: Any,
            **kwargs: Any,
        ) -> transport.Response:
            answer = ask(method, container, *args, **kwargs)
            if container is not None or method != 'GET':
                return answer
            return answer._replace(body=json.dumps([
                {**row, 'count': self.told.get(row['name'], 0)}
                for row in json.loads(answer.body)]).encode())

        self.swift.request = request  # type: ignore[method-assign]

    def volume(self) -> tuple[int, int, int]:
        """How many are free, and claimed, and the total of them."""
        found = volume.message_volume(self.drivers.data.account)
        self.assertEqual({'free', 'claimed', 'total'}, set(found))
        return found['free'], found['claimed'], found['total']

    def small(self, queues: int, rows: int) -> None:
        """Let few queues be counted, and few messages of each."""
        self.useFixture(fixtures.MonkeyPatch(
            'marconi_swift.data.volume._COUNTED', queues))
        self.useFixture(test_sweeping.small_pages(rows))

    def fill(self, queue: str, count: int) -> None:
        self.queues.create(queue, project='p')
        self.messages.post(
            queue, ({'ttl': 300, 'body': n} for n in range(count)),
            client_uuid='x', project='p')

    def requests(self) -> list[str | None]:
        """The containers that were listed, None for the account."""
        asked = [(request.method, request.container)
                 for request in self.swift.requests]
        self.swift.requests.clear()
        self.assertEqual({'GET'}, {method for method, _ in asked})
        return [container for _, container in asked]

    def test_tells_claimed_messages_from_free_ones(self) -> None:
        self.post(1, 2, 3, 4, 5, ttl=300)
        self.fill('other', 4)
        self.claim(limit=2, ttl=60)
        self.assertEqual((7, 2, 9), self.volume())

        self.pass_time(60)

        self.assertEqual((9, 0, 9), self.volume())

    def test_counts_delayed_messages_as_free(self) -> None:
        self.post(1, ttl=300, delay=100)

        self.assertEqual((1, 0, 1), self.volume())

    def test_leaves_out_what_has_expired(self) -> None:
        self.post(1, 2, ttl=60)
        self.claim(limit=1, ttl=60)
        self.post(3, ttl=300)
        self.assertEqual((2, 1, 3), self.volume())

        # What was claimed lives on for the claim's grace.
        self.pass_time(60)
        self.assertEqual((2, 0, 2), self.volume())
        self.pass_time(30)

        self.assertEqual((1, 0, 1), self.volume())

    def test_leaves_out_what_is_no_message(self) -> None:
        self.post(1, ttl=300)
        for container, name in (
                (self.container, 'a-file'),
                (self.container, names.new_message_id()),
                (names.topic_messages('marconi', 'p', 't'), 'a-file'),
                ('marconi2:messages:p:q', 'a-file'),
                ('marconi:queues', 'a-file')):
            self.swift.request('PUT', container)
            self.swift.request('PUT', container, name, headers={
                'Content-Type': 'text/plain'})
            self.told[container] = 1000

        self.assertEqual((1, 0, 1), self.volume())

    def test_of_an_empty_account_is_nothing(self) -> None:
        self.queues.delete('q', project='p')
        self.swift.requests.clear()

        self.assertEqual((0, 0, 0), self.volume())
        self.assertEqual([None], self.requests())

    def test_of_a_long_queue_is_what_the_account_was_told(self) -> None:
        self.small(10, 3)
        self.fill('q', 5)
        self.claim(limit=1)
        # Nothing was told yet, or less than what is seen.
        self.assertEqual((2, 1, 3), self.volume())
        self.told[self.container] = 2
        self.assertEqual((2, 1, 3), self.volume())
        self.told[self.container] = 5
        self.assertEqual((4, 1, 5), self.volume())
        # What has expired is told as well, but not counted where it is seen.
        self.pass_time(300)
        self.assertEqual((2, 0, 2), self.volume())

    def test_of_a_short_queue_is_what_it_says_itself(self) -> None:
        self.small(10, 3)
        self.fill('q', 2)
        self.told[self.container] = 1000

        self.assertEqual((2, 0, 2), self.volume())

    def test_of_many_queues_is_what_the_account_was_told(self) -> None:
        self.small(2, 10)
        for number, count in enumerate((1, 2, 3, 4), 1):
            self.fill(f'n{number}', count)
            self.told[names.messages('marconi', 'p', f'n{number}')] = (
                10 * count)
        self.told[self.container] = 100
        self.claims.create('n1', {'ttl': 60, 'grace': 60}, 'p')
        self.claims.create('n3', {'ttl': 60, 'grace': 60}, 'p')

        # The first two by their own words, and the others' are free.
        self.assertEqual((2 + 30 + 40 + 100, 1, 173), self.volume())

    def test_costs_no_more_than_a_hundred_queues(self) -> None:
        for number in range(120):
            self.swift.request(
                'PUT', names.messages('marconi', 'p', f'q{number:03}'))
        self.swift.requests.clear()

        self.assertEqual((0, 0, 0), self.volume())

        asked = self.requests()
        self.assertEqual(1, asked.count(None))
        self.assertEqual({
            None, self.container,
            *(names.messages('marconi', 'p', f'q{number:03}')
              for number in range(99))}, set(asked))
        self.assertEqual(101, len(asked))

    def test_costs_a_listing_for_each_page_of_the_account(self) -> None:
        self.small(2, 3)
        for number in range(6):
            self.fill(f'n{number}', 20)
        self.swift.requests.clear()

        self.volume()

        asked = self.requests()
        # Seven queues, three of them a page.
        self.assertEqual(3, asked.count(None))
        self.assertEqual({
            None, names.messages('marconi', 'p', 'n0'),
            names.messages('marconi', 'p', 'n1')}, set(asked))
        self.assertEqual(5, len(asked))

    def test_is_part_of_the_health(self) -> None:
        self.post(1, 2, 3, ttl=300)
        self.claim(limit=1)

        self.assertEqual(
            {'free': 2, 'claimed': 1, 'total': 3},
            self.drivers.data.health()['message_volume'])

    def test_is_not_told_where_nothing_answers(self) -> None:
        self.post(1)
        self.swift.faults.append(fake_swift.Fault(1, 'before', 503))

        health = self.drivers.data.health()

        self.assertFalse(health['storage_reachable'])
        self.assertEqual({}, health['message_volume'])
