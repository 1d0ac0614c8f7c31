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

from collections.abc import Callable
from concurrent import futures
import re
import time
from typing import Any

import fixtures
import testtools
from testtools import matchers
from zaqar.common import cache
from zaqar.common import errors as zaqar_errors
from zaqar.storage import errors
from zaqar.storage import pipeline
from zaqar.storage import pooling
from zaqar.storage import utils

from marconi_swift import driver
from marconi_swift import names
from marconi_swift import notices
from marconi_swift.data import probing
from marconi_swift.store import errors as store_errors
from tests.fixtures import api
from tests.fixtures import conf
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


class TestRemoval(PooledTest):

    def test_leaves_queues_that_are_there_again_with_the_pool(self) -> None:
        self.register('one')
        self.ask(201, 'PUT', 'queues/q')
        self.post('q', 1)

        self.ask(204, 'DELETE', 'pools/one')

        self.assertEqual({'q': 'one'}, self.entries())
        # As Zaqar does when it is restarted.
        self.assertRaises(
            errors.PoolDoesNotExist, self.restarted().lookup, 'q', 'p')
        self.register('one')
        there = self.restarted().lookup('q', 'p')
        self.assertEqual([1], [message['body'] for message in next(
            there._storage.message_controller.list(
                'q', project='p', echo=True))])

    def restarted(self) -> pooling.Catalog:
        read = self.api.drivers.conf
        return pooling.Catalog(read, cache.get_cache(read), self.control)


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

    def test_entries_stay_that_were_made_while_a_pool_was_drawn(self) -> None:
        self.register('one')
        self.register('two', weight=0)

        def post(step: str, request: fake_swift.Request) -> None:
            if (step, request.method) == ('arrive', 'PUT') and _matches(
                    'marconi:catalogue/.*', request):
                self.swift.on_step = None
                for pool, weight in (('one', 0), ('two', 100)):
                    self.ask(200, 'PATCH', f'pools/{pool}', {
                        'weight': weight})
                self.post('q', 'first')

        self.swift.on_step = post
        self.post('q', 'second')

        self.assertEqual({'q': 'two'}, self.entries())
        self.assertEqual(['first', 'second'], self.bodies('q'))


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

    def at_the_end(self, call: Callable[[], Any]) -> None:
        """Have something done before it is listed what is left."""
        def listing(step: str, request: fake_swift.Request) -> None:
            if (step, request.method) == ('arrive', 'GET') and _matches(
                    _TWO, request):
                self.swift.on_step = None
                call()

        def deleted(step: str, request: fake_swift.Request) -> None:
            if (step, request.method) == ('answer', 'DELETE') and _matches(
                    self.record, request):
                self.swift.on_step = listing

        self.swift.on_step = deleted

    def exists(self) -> bool:
        controller = getattr(self.control, f'{self.kind[:-1]}_controller')
        return bool(controller.exists('q', project='p'))

    def test_leaves_what_was_made_anew_before_it_was_over(self) -> None:
        self.create()
        self.use()
        self.at_the_end(self.create)

        self.delete(204)

        self.assertTrue(self.exists())
        self.assertEqual({'q': 'two'}, self.entries())
        self.delete(204)
        self.assertFalse(self.exists())

    def test_without_zaqar_is_a_whole_one_each_time(self) -> None:
        stages = pipeline.DataDriver(
            self.api.drivers.conf, self.api.drivers.data, self.control)
        for _ in range(2):
            self.create()
            self.control.catalogue_controller.delete('p', 'q')

            getattr(stages, f'{self.kind[:-1]}_controller').delete(
                'q', project='p')

            self.assertFalse(self.exists())

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

    def test_may_have_been_in_either_of_two_pools_that_are_one(self) -> None:
        """Made at the same moment, or they would have been refused."""
        self.register('two')
        self.ask(201, 'PUT', 'queues/q', {})
        self.post('q', 'old')
        self.control.registry('pools').replace(names.scoped(None, 'a twin'), {
            'name': 'a twin', 'uri': self.uri('two'), 'weight': 0,
            'flavor': None, 'options': {}})
        self.fail('DELETE', _TWO)

        self.ask(503, 'DELETE', 'queues/q')
        self.assertEqual({'q': 'a twin'}, self.entries())
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


class TestQueuesThatAreInTheVirtualPool(PooledTest):
    """What the page on pools says of them, which is Zaqar's doing."""

    virtual = True

    def setUp(self) -> None:
        super().setUp()
        for queue in 'qr':
            self.ask(201, 'PUT', f'queues/{queue}', {})
            self.post(queue, 'old')

    def change(self) -> None:
        self.ask(204, 'PUT', 'queues/q', {})
        self.ask(200, 'PATCH', 'queues/r', [
            {'op': 'add', 'path': '/metadata/colour', 'value': 'red'},
        ], **{'Content-Type':
              'application/openstack-messaging-v2.0-json-patch'})

    def test_stay_while_every_pool_has_a_flavor_or_no_weight(self) -> None:
        self.register('one')
        self.flavor('f', 'one')
        self.register('two', weight=0)

        self.change()

        self.assertEqual({}, self.entries())
        self.assertEqual([['old']] * 2, [self.bodies('q'), self.bodies('r')])

    def test_leave_what_they_had_for_a_pool_without_flavor(self) -> None:
        self.register('one')

        self.change()

        self.assertEqual({'q': 'one', 'r': 'one'}, self.entries())
        self.assertEqual([[]] * 2, [self.bodies('q'), self.bodies('r')])

    def test_leave_what_they_had_for_a_flavor(self) -> None:
        self.register('one')
        self.flavor('f', 'one')
        self.ask(204, 'PUT', 'queues/q', {'_flavor': 'f'})
        self.post('q', 'new')
        self.assertEqual(['new'], self.bodies('q'))

        self.ask(204, 'PUT', 'queues/q', {})

        self.assertEqual(['old'], self.bodies('q'))


class TestTopics(PooledTest):

    def test_purging_one_empties_the_queue_of_its_name(self) -> None:
        self.register('one')
        for kind in ('queues', 'topics'):
            self.ask(201, 'PUT', f'{kind}/q', {})
        self.post('q', 1)

        self.ask(204, 'POST', 'topics/q/purge', {
            'resource_types': ['messages']})

        self.assertEqual([], self.bodies('q'))


class TestHealth(PooledTest):

    def test_ping_asks_every_pool(self) -> None:
        for pool in ('one', 'two'):
            self.register(pool)
        self.ask(204, 'GET', 'ping')

        self.fail('HEAD', '')
        self.ask(503, 'GET', 'ping')
        self.fail('GET', 'marconi:pools')
        self.ask(500, 'GET', 'ping')

    def test_a_balancer_s_question_asks_no_store(self) -> None:
        self.swift.requests.clear()

        answer = self.api.http('GET', '/')

        self.assertEqual((300, []), (
            answer.status_code, self.swift.requests))

    def test_leaves_no_entry_of_its_queues(self) -> None:
        self.register('one')
        self.fail('DELETE', 'one:messages[^/]*')

        health = self.ask(200, 'GET', 'health')

        self.assertFalse(health['one']['operation_status'][
            'delete_queue']['succeeded'])
        self.assertEqual([], list(self.control.catalogue_controller.list(
            probing.PROJECT)))


class DeadLettersTest(PooledTest):

    def setUp(self) -> None:
        super().setUp()
        notices.forget()

    def create(self, queue: str = 'q', **metadata: Any) -> None:
        self.ask(201, 'PUT', f'queues/{queue}', {
            '_max_claim_count': 1, '_dead_letter_queue': 'dead', **metadata})

    def only(self, chosen: str) -> None:
        """Have new queues made in one pool."""
        for pool in self.ask(200, 'GET', 'pools')['pools']:
            self.ask(200, 'PATCH', f'pools/{pool["name"]}', {
                'weight': 100 if pool['name'] == chosen else 0})

    def claim(self, queue: str = 'q', status: int | None = None) -> list[Any]:
        """Claim messages, and give them up; return their bodies."""
        answer = self.api.http('POST', f'/v2/queues/{queue}/claims',
                               {'ttl': 60, 'grace': 60})
        self.assertIn(answer.status_code, (status,) if status else (201, 204))
        if answer.status_code != 201:
            return []
        claim = answer.headers['Location'].partition('/v2/')[2]
        self.ask(204, 'DELETE', claim)
        return [message['body'] for message in answer.json['messages']]

    def requests(self, path: str) -> list[str]:
        return [request.method for request in self.swift.requests
                if _matches(path, request)]

    def assert_stays(self, queue: str = 'q', body: Any = 1) -> None:
        for _ in range(3):
            self.assertEqual([body], self.claim(queue))
        self.assertEqual(1, self.log.output.count('in another pool'))


class TestOptions(PooledTest):

    def test_that_no_pool_can_be_opened_with_are_refused(self) -> None:
        for given in ({'region_name': None}, {'_mine': 1}):
            self.ask(400, 'PUT', 'pools/one', {
                'weight': 1, 'uri': self.uri('one'), 'options': given})

        self.ask(204, 'GET', 'ping')


class TestDeadLetters(DeadLettersTest):

    def test_are_in_a_queue_that_can_be_used(self) -> None:
        self.register('one')
        self.register('two')
        self.only('one')
        self.create()
        self.post('q', 1)
        self.claim()
        self.only('two')

        self.assertEqual([], self.claim())

        self.assertEqual({'q': 'one', 'dead': 'one'}, self.entries())
        self.assertEqual([], self.bodies('q'))
        self.post('dead', 2)
        self.assertEqual([1, 2], self.bodies('dead'))
        self.ask(204, 'DELETE', 'queues/dead')
        self.ask(204, 'DELETE', 'queues/q')
        self.assertEqual({}, self.entries())
        self.assertEqual([], list(
            self.api.drivers.data.account.store.containers('one:')))

    def test_stay_if_their_queue_is_in_another_pool(self) -> None:
        self.register('two')
        self.ask(201, 'PUT', 'queues/dead', {})
        self.register('one')
        self.only('one')
        self.create()
        self.post('q', 1)

        self.assert_stays()

        self.assertEqual([], self.bodies('dead'))
        self.ask(204, 'DELETE', 'queues/dead')
        self.assertEqual([], self.claim())
        self.assertEqual([1], self.bodies('dead'))

    def test_stay_if_their_queue_was_not_made_to_the_end(self) -> None:
        self.register('two')
        self.fail('PUT', 'marconi:elections/.*')
        self.ask(503, 'PUT', 'queues/dead', {})
        self.register('one')
        self.only('one')
        self.create()
        self.post('q', 1)

        self.assert_stays()

        self.assertEqual({'q': 'one', 'dead': 'two'}, self.entries())
        self.ask(204, 'DELETE', 'queues/dead')
        self.assertEqual([], self.claim())
        self.assertEqual([1], self.bodies('dead'))

    def test_are_found_where_a_former_release_put_them(self) -> None:
        self.register('one')
        self.create()
        self.control.queue_controller.create('dead', project='p')
        self.post('q', 1)
        self.claim()

        self.claim()

        self.assertEqual([1], self.bodies('dead'))

    def test_are_moved_after_a_failure_on_the_way(self) -> None:
        self.register('one')
        for number, path in enumerate((
                'marconi:catalogue/.*', 'marconi:elections/.*',
                'one:messages[^/]*', 'one:messages.*/.*')):
            self.create(f'q{number}', _dead_letter_queue=f'dead{number}')
            self.post(f'q{number}', 1)
            self.claim(f'q{number}')
            self.fail('PUT', path)

            self.claim(f'q{number}', 503)
            with fixtures.MonkeyPatch('marconi_swift.records.now',
                                      lambda: time.time() + 100):
                self.claim(f'q{number}')

            self.assertEqual([1], self.bodies(f'dead{number}'), path)
            self.assertEqual([], self.bodies(f'q{number}'), path)

    def test_stay_if_another_pool_has_their_queue_just_then(self) -> None:
        self.register('one')
        self.register('two')
        self.only('one')
        self.create()
        self.post('q', 1)
        self.claim()

        def register(step: str, request: fake_swift.Request) -> None:
            if (step, request.method) == ('answer', 'PUT') and _matches(
                    'marconi:catalogue/.*', request):
                self.swift.on_step = None
                self.control.catalogue_controller.update('p', 'dead', 'two')

        self.swift.on_step = register

        self.assert_stays()

        self.assertEqual({'q': 'one', 'dead': 'two'}, self.entries())

    def test_stay_in_the_flavor_of_their_queue(self) -> None:
        self.register('one')
        self.flavor('gold', 'one')
        self.register('two')
        self.create(_flavor='gold')
        self.post('q', 1)
        self.claim()
        self.claim()

        self.ask(200, 'PATCH', 'queues/dead', [
            {'op': 'add', 'path': '/metadata/colour', 'value': 'red'}],
            **{'Content-Type':
               'application/openstack-messaging-v2.0-json-patch'})

        self.assertEqual([1], self.bodies('dead'))

    def test_go_with_a_pool_whose_uri_was_changed(self) -> None:
        """Zaqar goes on with the driver that it has."""
        self.register('one')
        self.register('two')
        self.only('one')
        self.create()
        self.post('q', 1)
        self.claim()
        self.ask(200, 'PATCH', 'pools/one', {'uri': f'{self.uri("one")}&'
                                             'fan_out=3'})
        self.only('two')

        self.claim()

        self.assertEqual({'q': 'one', 'dead': 'one'}, self.entries())
        self.assertEqual([1], self.bodies('dead'))

    def test_cost_one_look_at_the_catalogue_for_each_claim(self) -> None:
        self.register('one')
        self.create()
        self.post('q', 1)
        self.claim()
        self.claim()
        for number in range(5):
            self.post('q', number)
        self.assertEqual(5, len(self.claim()))
        self.swift.requests.clear()

        self.assertEqual([], self.claim())

        self.assertEqual(
            ['GET'], self.requests('marconi:catalogue/p:dead'))
        self.assertEqual([], self.requests('marconi:pools.*'))
        self.assertEqual(6, len(self.bodies('dead')))


class TestDeadLettersAndTheVirtualPool(DeadLettersTest):

    virtual = True

    def test_are_in_the_virtual_pool_as_their_queue(self) -> None:
        self.create()
        self.post('q', 1)
        self.register('one')
        self.claim()

        self.assertEqual([], self.claim())

        self.assertEqual({}, self.entries())
        self.assertEqual([1], self.bodies('dead'))

    def test_stay_if_their_queue_is_in_the_virtual_pool(self) -> None:
        self.ask(201, 'PUT', 'queues/dead', {})
        self.post('dead', 'old')
        self.register('one')
        self.create()
        self.post('q', 1)

        self.assert_stays()

        self.assertEqual(['old'], self.bodies('dead'))

    def test_stay_in_the_virtual_pool(self) -> None:
        self.create()
        self.post('q', 1)
        self.register('one')
        self.ask(201, 'PUT', 'queues/dead', {})

        self.assert_stays()

        self.assertEqual([], self.bodies('dead'))

    def test_are_put_into_the_pool_of_their_queue(self) -> None:
        self.register('one')
        self.create()
        self.post('q', 1)
        self.claim()

        self.claim()

        self.assertEqual({'q': 'one', 'dead': 'one'}, self.entries())
        self.assertEqual([1], self.bodies('dead'))


class _Store:
    """A management store that is not ours, with two pools."""

    def __init__(self) -> None:
        self.pools_controller = self
        self.flavors_controller = self.catalogue_controller = None

    def get(self, name: str, detailed: bool) -> dict[str, Any]:
        return {'name': name, 'uri': PooledTest.uri(name), 'options': {}}


class OpeningTest(testtools.TestCase):
    """Zaqar opens pools in several threads, on one configuration."""

    def setUp(self) -> None:
        super().setUp()
        drivers = self.useFixture(conf.FakeDrivers(sections={
            'DEFAULT': {'pooling': True},
            'pooling:catalog': {'enable_virtual_pool': True}}))
        self.conf, self.control = drivers.conf, drivers.control
        for name in ('one', 'two'):
            self.control.pools_controller.create(
                name, 1, PooledTest.uri(name), options={'fan_out': 7})
        self.catalogue = pooling.Catalog(self.conf, None, self.control)

    def virtual(self) -> Any:
        return self.catalogue.get_default_pool(use_listing=False)

    def lookup(self) -> Any:
        """Do what Zaqar does for a queue that is in no pool."""
        self.assertRaises(
            errors.QueueNotMapped,
            self.control.catalogue_controller.get, 'p', 'q')
        return self.virtual()

    def meanwhile(
        self, step: Callable[[], Any], *, before: bool = True,
    ) -> None:
        """Have another thread take a step while the next driver is loaded.

        :param before: whether before it is made, or after that.
        """
        load = utils.load_storage_driver

        def loading(*args: Any, **kwargs: Any) -> Any:
            utils.load_storage_driver = load
            if before:
                self.elsewhere(step)
            loaded = load(*args, **kwargs)
            if not before:
                self.elsewhere(step)
            return loaded

        self.useFixture(fixtures.MonkeyPatch(
            'zaqar.storage.utils.load_storage_driver', loading))

    def elsewhere(self, step: Callable[[], Any]) -> None:
        with futures.ThreadPoolExecutor(1) as threads:
            threads.submit(step).result()

    def assert_is(self, prefix: str, pool: Any) -> None:
        settings = pool._storage.account.settings
        self.assertEqual(prefix, settings.container_prefix)
        self.assertEqual(
            'marconi-swift://' if prefix == 'marconi'
            else PooledTest.uri(prefix), settings.uri)
        self.assertEqual(
            32 if prefix == 'marconi' else 7, settings.fan_out)


class TestOpening(OpeningTest):

    def test_of_two_pools_at_once(self) -> None:
        self.meanwhile(lambda: self.catalogue.get_driver('two'))

        self.assert_is('one', self.catalogue.get_driver('one'))

        self.assert_is('two', self.catalogue.get_driver('two'))

    def test_while_another_pool_is_tried(self) -> None:
        self.meanwhile(lambda: utils.can_connect(
            PooledTest.uri('tried'), conf=self.conf))

        self.assert_is('one', self.catalogue.get_driver('one'))

    def test_while_the_virtual_pool_is_used(self) -> None:
        self.meanwhile(self.virtual)

        self.assert_is('one', self.catalogue.get_driver('one'))

        self.assert_is('marconi', self.virtual())

    def test_of_the_virtual_pool_while_another_is_opened(self) -> None:
        for before in (True, False):
            catalogue = self.catalogue = pooling.Catalog(
                self.conf, None, self.control)
            self.meanwhile(lambda catalogue=catalogue: catalogue.get_driver(
                'one'), before=before)

            self.assert_is('marconi', self.virtual())

    def test_after_another_pool_was_shown(self) -> None:
        self.control.pools_controller.get('two', detailed=True)
        self.assertTrue(utils.can_connect(
            PooledTest.uri('tried'), conf=self.conf))
        self.assert_is('marconi', self.virtual())
        self.virtual()

        self.assert_is('one', self.catalogue.get_driver('one'))

    def test_of_the_virtual_pool_after_one_of_another_driver(self) -> None:
        self.control.pools_controller.create(
            'theirs', 1, 'swift://theirs', flavor='theirs')
        self.assertNotIsInstance(
            self.catalogue.get_driver('theirs')._storage, driver.DataDriver)

        self.assert_is('marconi', self.lookup())

        utils.dynamic_conf('swift://tried', {}, conf=self.conf)
        self.assert_is('marconi', self.lookup())

    def test_of_another_driver_while_the_virtual_pool_is_used(self) -> None:
        self.control.pools_controller.create(
            'theirs', 1, 'swift://theirs', flavor='theirs')
        self.meanwhile(self.lookup)

        self.assertRaises(zaqar_errors.InvalidDriver,
                          self.catalogue.get_driver, 'theirs')

        self.assertNotIsInstance(
            self.catalogue.get_driver('theirs')._storage, driver.DataDriver)

    def test_apart_from_others_takes_nothing_from_them(self) -> None:
        self.control.pools_controller.get('two', detailed=True)

        made = driver.DataDriver(
            utils.dynamic_conf(PooledTest.uri('one'), {},
                               conf.read(self.useFixture(
                                   conf.FakeDrivers()).path)),
            None, self.control)

        self.assertEqual('one', made.account.settings.container_prefix)

    def test_takes_no_options_of_other_pools(self) -> None:
        pools = self.control.pools_controller
        pools.create('few', 1, 'marconi-swift://?container_prefix=few')
        pools.create('login', 1, 'marconi-swift://?auth_type=v1password',
                     options={'auth_url': 'http://[::1]', 'username': 'me',
                              'password': 1234})
        self.catalogue.get_driver('one')

        few = self.catalogue.get_driver('few')
        login = self.catalogue.get_driver('login')

        self.assertEqual(32, few._storage.account.settings.fan_out)
        settings = login._storage.account.settings
        self.assertEqual('marconi', settings.container_prefix)
        self.assertEqual('1234', settings.make_auth().key)


class TestOpeningOfOtherStores(OpeningTest):
    """What is known of the pools of another management store."""

    def setUp(self) -> None:
        super().setUp()
        self.control = _Store()
        self.catalogue = pooling.Catalog(self.conf, None, self.control)

    def test_is_not_disturbed_by_the_virtual_pool_in_use(self) -> None:
        self.virtual()
        self.meanwhile(self.virtual)

        one = self.catalogue.get_driver('one')

        self.assertEqual(
            'one', one._storage.account.settings.container_prefix)

    def test_leaves_the_virtual_pool_as_it_is(self) -> None:
        self.catalogue.get_driver('one')

        self.assert_is('marconi', self.virtual())

        utils.dynamic_conf('marconi-swift://?nonsense=1', {}, self.conf)
        self.assert_is('marconi', self.virtual())
