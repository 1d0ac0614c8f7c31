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
"""The command migrate of marconi-swift-manage, from a store in memory."""

from collections.abc import Iterator
import contextlib
import types
from typing import Any
from unittest import mock

import fixtures

from tests.fixtures import fake_swift
from tests.unit import test_manage_queues


class MigrateTest(test_manage_queues.CommandTest):
    """Has a source with subscriptions to the queue q, and no messages."""

    def setUp(self) -> None:
        super().setUp()
        self.subscriptions = self.data.subscription_controller
        self.there: list[dict[str, Any] | None] = []
        origin, source = mock.Mock(), mock.Mock()
        self.store = source.store_of.return_value
        self.store.scheme = 'redis'
        origin.message_controller.list = (
            lambda *_, **__: iter([iter([]), None]))
        origin.subscription_controller.list = self.list
        source.driver_of.return_value = origin
        self.useFixture(fixtures.MonkeyPatch(
            'marconi_swift.manage.migrate.stores', types.SimpleNamespace(
                Deployment=lambda files: contextlib.nullcontext(source))))

    def has(
        self, subscriber: str, *, confirmed: bool, age: int = 100,
    ) -> None:
        """Let the source have a subscription."""
        self.there.append({
            'subscriber': subscriber, 'ttl': 600, 'age': age, 'options': {},
            'confirmed': confirmed})

    def has_expired(self, count: int) -> None:
        """Let the source list subscriptions that it does not show."""
        self.there += [None] * count

    def list(
        self, queue: str, project: str, marker: int | None, limit: int,
    ) -> Iterator[Any]:
        """List as Zaqar's redis driver does."""
        reached: list[int] = []

        def shown() -> Iterator[dict[str, Any]]:
            begin = 0 if marker is None else marker + 1
            for place, found in enumerate(
                    self.there[begin:begin + limit], begin):
                if found is not None:
                    reached.append(place)
                    yield found

        yield shown()
        yield reached[-1] if reached else {}

    def migrate(self, *arguments: str) -> test_manage_queues.Ran:
        return self.command(
            'migrate', '--from-config-file', 'source.conf', '--queue', 'q',
            '-f', 'csv', '-c', 'Failed', '-c', 'Subscriptions',
            '--quote', 'none', *arguments)

    def confirmed(self) -> dict[str, bool]:
        """What is here, by the subscriber."""
        return {found['subscriber']: found['confirmed'] for found in next(
            self.subscriptions.list('q', project='p'))}


class TestSubscriptions(MigrateTest):

    def test_are_confirmed_if_they_were(self) -> None:
        self.has('http://yes', confirmed=True)
        self.has('http://no', confirmed=False)

        self.assertEqual(
            (0, 'Failed,Subscriptions\n0,2\n'), self.migrate()[:2])

        self.assertEqual(
            {'http://yes': True, 'http://no': False}, self.confirmed())

    def test_are_confirmed_by_the_next_run_if_that_failed(self) -> None:
        self.has('http://yes', confirmed=True)
        self.has('http://no', confirmed=False)
        self.swift.faults.append(fake_swift.Fault(
            1, 'before', 503, lambda request: (
                request.method == 'POST'
                and (request.container or '').startswith(
                    'marconi:subscriptions'))))

        self.assertEqual(1, self.migrate().status)
        self.assertEqual({'http://yes': False}, self.confirmed())

        self.assertEqual(
            (0, 'Failed,Subscriptions\n0,1\n'), self.migrate()[:2])
        self.assertEqual(
            {'http://yes': True, 'http://no': False}, self.confirmed())

    def test_stay_confirmed_that_were_here(self) -> None:
        self.has('http://here', confirmed=False)
        made = self.subscriptions.create(
            'q', 'http://here', 60, {}, project='p')
        self.subscriptions.confirm('q', made, project='p')

        self.assertEqual(
            (0, 'Failed,Subscriptions\n0,0\n'), self.migrate()[:2])
        self.assertEqual({'http://here': True}, self.confirmed())

    def test_are_not_over_that_were_renewed_in_mongodb(self) -> None:
        """Its driver counts their ages from when they were created."""
        self.has('http://renewed', confirmed=True, age=601)
        self.assertEqual(
            (0, 'Failed,Subscriptions\n0,0\n'), self.migrate()[:2])

        for self.store.scheme in ('mongodb', 'mongodb.fifo'):
            self.migrate()

            [found] = next(self.subscriptions.list('q', project='p'))
            self.assertEqual(600, found['ttl'])
            self.subscriptions.delete('q', found['id'], project='p')

    def test_are_found_among_those_that_have_expired(self) -> None:
        for number, expired in enumerate([1, 250, 0, 99]):
            self.has(f'http://{number}', confirmed=True)
            self.has_expired(expired)
        self.has('http://last', confirmed=True)

        self.assertEqual(
            (0, 'Failed,Subscriptions\n0,5\n'), self.migrate()[:2])
