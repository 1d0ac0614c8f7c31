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

import re
import time
from typing import Any

import fixtures
import testtools
from testtools import matchers

from marconi_swift import names
from marconi_swift.data import probing
from marconi_swift.store import errors as store_errors
from tests.fixtures import api
from tests.fixtures import fake_swift

_URI = 'marconi-swift://?auth_type=none&endpoint_override=http://[::1]/'


def _matches(path: str, request: fake_swift.Request) -> bool:
    asked = '/'.join(filter(None, (request.container, request.name)))
    return re.fullmatch(path, asked) is not None


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

    def entries(self) -> dict[str, str]:
        """Pools by the queues that are in them."""
        return {entry['queue']: entry['pool'] for entry
                in self.control.catalogue_controller.list('p')}

    def fail(self, method: str, path: str) -> None:
        """Have the next such request fail.

        :param path: a pattern of the container, or of container and object.
        """
        self.swift.faults.append(fake_swift.Fault(
            1, 'before', store_errors.Unanswered(f'{method} {path} was lost'),
            lambda request: request.method == method
            and _matches(path, request)))


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


#: The containers of pool two.
_TWO = 'two:[^/]*'


class TestDeletion(PooledTest):

    kind, container = 'queues', 'two:messages:p:q'

    def setUp(self) -> None:
        super().setUp()
        self.register('two')
        self.register('one', weight=0)
        self.record = f'marconi:{self.kind}/.*'

    def create(self, status: int = 201) -> None:
        self.ask(status, 'PUT', f'{self.kind}/q', {})

    def delete(self, status: int) -> None:
        self.ask(status, 'DELETE', f'{self.kind}/q')

    def use(self) -> None:
        """Store a message: Zaqar's HTTP API takes none for a topic."""
        store = self.api.drivers.data.account.store
        store.make_container(self.container, None)
        store.create(self.container, names.new_message_id(), body=b'"old"',
                     content_type='text/plain', delete_at=time.time() + 300)

    def left(self) -> list[str]:
        """Containers of messages and claims that there are."""
        return [row.name for row in
                self.api.drivers.data.account.store.containers('two:')]

    def prefer_one(self) -> None:
        """Have new queues made in the other pool."""
        self.ask(200, 'PATCH', 'pools/two', {'weight': 0})
        self.ask(200, 'PATCH', 'pools/one', {'weight': 100})

    def test_that_failed_is_gone_on_with(self) -> None:
        for path in (_TWO, self.record):
            self.create()
            self.use()
            self.fail('DELETE', path)
            self.delete(503)

            self.assertEqual({'q': 'two'}, self.entries())
            self.delete(204)

            self.assertEqual({}, self.entries())
            self.assertEqual([], self.left())

    def test_that_failed_is_gone_on_with_where_it_began(self) -> None:
        self.create()
        self.use()
        self.prefer_one()
        self.fail('DELETE', _TWO)

        self.delete(503)

        self.assertEqual({'q': 'two'}, self.entries())

    def test_leaves_no_entry_of_what_is_gone(self) -> None:
        self.create()
        self.use()

        def fail(step: str, request: fake_swift.Request) -> None:
            # What is left is listed when the record is gone.
            if (step, request.method) == ('answer', 'DELETE') and _matches(
                    self.record, request):
                self.swift.on_step = None
                self.fail('GET', _TWO)

        self.swift.on_step = fail
        self.delete(503)

        self.assertEqual({}, self.entries())

    def test_leaves_an_entry_that_was_made_meanwhile(self) -> None:
        self.create()
        self.use()
        self.prefer_one()

        def create(step: str, request: fake_swift.Request) -> None:
            if request.method == 'DELETE' and _matches(_TWO, request):
                self.swift.on_step = None
                self.create(204)
                self.fail('DELETE', self.record)

        self.swift.on_step = create
        self.delete(503)

        self.assertEqual({'q': 'one'}, self.entries())

    def test_that_failed_for_good_is_told_of(self) -> None:
        self.create()
        self.use()
        self.fail('DELETE', _TWO)
        self.fail('PUT', 'marconi:catalogue/.*')

        self.delete(503)

        self.assertEqual({}, self.entries())
        [told] = [line for line in self.log.output.splitlines()
                  if 'half deleted' in line]
        self.assertThat(told, matchers.Contains('q of project p'))
        # What is raised is the first error.
        self.assertThat(self.log.output.strip(), matchers.EndsWith(
            f'DELETE {_TWO} was lost'))


class TestTopicDeletion(TestDeletion):

    kind, container = 'topics', 'two:topic:p:q'


class TestDeletedQueues(PooledTest):

    def test_give_nothing_to_those_that_are_made_anew(self) -> None:
        self.register('one')
        self.ask(201, 'PUT', 'queues/q', {})
        self.post('q', 'old')
        self.fail('DELETE', 'one:messages[^/]*')

        self.ask(503, 'DELETE', 'queues/q')
        self.ask(204, 'DELETE', 'queues/q')

        self.ask(201, 'PUT', 'queues/q', {})
        self.assertEqual([], self.bodies('q'))


class TestDeletionFromTheVirtualPool(PooledTest):

    virtual = True

    def test_that_failed_is_gone_on_with(self) -> None:
        self.ask(201, 'PUT', 'queues/q', {})
        self.post('q', 'old')
        self.register('one')
        self.fail('DELETE', 'marconi:messages[^/]*')

        self.ask(503, 'DELETE', 'queues/q')
        self.assertEqual({}, self.entries())
        self.ask(204, 'DELETE', 'queues/q')

        self.assertNotIn('marconi:messages:p:q', [
            row.name for row in
            self.api.drivers.data.account.store.containers('marconi:')])


class TestHealth(PooledTest):

    def test_leaves_no_entry_of_its_queues(self) -> None:
        self.register('one')
        self.fail('DELETE', 'one:messages[^/]*')

        health = self.ask(200, 'GET', 'health')

        self.assertFalse(health['one']['operation_status'][
            'delete_queue']['succeeded'])
        self.assertEqual([], list(self.control.catalogue_controller.list(
            probing.PROJECT)))
