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
"""Zaqar's API with pools, on a model of Swift."""

from typing import Any

import fixtures
import testtools

from marconi_swift import names
from tests.fixtures import api

_URI = 'marconi-swift://?auth_type=none&endpoint_override=http://[::1]/'


class PooledTest(testtools.TestCase):
    """Zaqar whose pools are on one account, each with its own prefix."""

    virtual = False

    def setUp(self) -> None:
        super().setUp()
        self.log = self.useFixture(fixtures.FakeLogger())
        self.api = self.useFixture(api.Api(
            retries=0, cache_time=0, sections={
                'DEFAULT': {'pooling': True},
                'pooling:catalog': {'enable_virtual_pool': self.virtual}}))
        self.swift = self.api.swift
        self.control = self.api.drivers.control

    def ask(
        self, status: int, method: str, path: str, body: Any = None,
        **headers: str,
    ) -> Any:
        answer = self.api.http(method, f'/v2/{path}', body, headers=headers)
        self.assertEqual(status, answer.status_code, answer.text)
        return answer.json if answer.body else None

    @staticmethod
    def uri(prefix: str) -> str:
        return f'{_URI}&container_prefix={prefix}'

    def register(self, name: str, weight: int = 100) -> None:
        self.ask(201, 'PUT', f'pools/{name}',
                 {'weight': weight, 'uri': self.uri(name)})

    def flavor(self, name: str, *pools: str) -> None:
        self.ask(201, 'PUT', f'flavors/{name}', {'pool_list': pools})

    def post(self, queue: str, body: Any) -> None:
        self.ask(201, 'POST', f'queues/{queue}/messages',
                 {'messages': [{'body': body, 'ttl': 300}]})

    def bodies(self, queue: str) -> list[Any]:
        listed = self.ask(200, 'GET', f'queues/{queue}/messages?echo=true'
                                      '&include_claimed=true')
        return [message['body'] for message in listed['messages']]


class TestCatalogue(PooledTest):

    def test_has_no_queue_that_there_was_no_pool_for(self) -> None:
        self.register('one', weight=0)
        self.flavor('f', 'one')
        self.ask(503, 'PUT', 'queues/q', {'_flavor': 'f'})
        self.ask(200, 'PATCH', 'pools/one', {'weight': 100})

        self.ask(201, 'PUT', 'queues/q', {'_flavor': 'f'})

        self.post('q', 1)
        self.assertEqual([1], self.bodies('q'))
        self.ask(204, 'DELETE', 'queues/q')

    def test_has_no_queue_of_a_flavor_without_pools(self) -> None:
        self.register('one')
        self.control.flavors_controller.create('f', project='p')
        status, _ = self.api.websocket(
            'queue_create', {'queue_name': 'q', 'metadata': {'_flavor': 'f'}})
        self.assertEqual(503, status)

        self.ask(201, 'PUT', 'queues/q', {})

    def test_entries_without_a_pool_are_replaced(self) -> None:
        self.register('one')
        self.control.registry('catalogue').replace(
            names.scoped('p', 'q'),
            {'project': 'p', 'queue': 'q', 'pool': None})

        self.ask(201, 'PUT', 'queues/q', {})

        self.post('q', 1)
        self.assertEqual([1], self.bodies('q'))
