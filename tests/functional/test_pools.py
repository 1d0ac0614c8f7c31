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
"""Pools that are registered through Zaqar's API, in one process."""

from concurrent import futures
import itertools
import json
import pathlib
from typing import Any
import uuid

from falcon import testing
import fixtures
from oslo_config import cfg
import testtools
from testtools import matchers
from zaqar import bootstrap

from marconi_swift import options
from marconi_swift.standalone import confs
from tests.fixtures import conf
from tests.fixtures import redis
from tests.fixtures import swift
from tests.fixtures import workers

PROJECT = 'project'
QUEUES = 3
ROUNDS = workers.scaled(4, 20)
THREADS = 8


class PooledTest(testtools.TestCase):
    """Zaqar with pooling; ``one`` and ``two`` are accounts for pools."""

    def setUp(self) -> None:
        super().setUp()
        self.swift = self.useFixture(swift.RealSwift())
        self.accounts = {
            name: self.swift.fresh_account() for name in ('one', 'two')}
        self.path = str(pathlib.Path(
            self.useFixture(fixtures.TempDir()).path, 'zaqar.conf'))
        conf.write(
            self.path, {
                'DEFAULT': {'pooling': True, 'admin_mode': True},
                'pooling:catalog': {'enable_virtual_pool': True},
                **{name: self.credentials(account)
                   for name, account in self.accounts.items()}},
            auth_type='v1password', auth_url=self.swift.auth_url,
            username=self.swift.username, password=self.swift.password)
        configured = cfg.ConfigOpts()
        configured(args=[], default_config_files=[self.path])
        self.zaqar = bootstrap.Bootstrap(configured)
        self.addCleanup(self.zaqar.control.close)
        self.addCleanup(self.zaqar.storage.close)
        serve = self.zaqar.transport.app
        # Falcon tells WSGI from ASGI by what a function takes.
        self.client = testing.TestClient(
            lambda environ, start: serve(environ, start),
            headers={'Client-ID': str(uuid.uuid4()), 'X-Roles': 'admin',
                     'X-Project-ID': PROJECT})

    def credentials(self, account: Any) -> dict[str, str]:
        return {'auth_type': 'v1password', 'auth_url': account.auth_url,
                'username': account.username, 'password': account.password}

    def ask(
        self, method: str, path: str, body: Any = None, status: int = 200,
    ) -> Any:
        answer = self.client.simulate_request(
            method, f'/v2/{path}', json=body)
        self.assertEqual(status, answer.status_code, answer.text)
        return answer.json if answer.content else None

    def register(self, name: str, uri: str, **pool: Any) -> None:
        """Register a pool, and a flavor of the same name that is in it."""
        self.ask('PUT', f'pools/{name}', {
            'uri': uri, 'weight': 100, 'flavor': name, **pool}, 201)
        self.ask('PUT', f'flavors/{name}', {'pool_list': [name]}, 201)

    def create(self, flavor: str, queue: str) -> None:
        self.ask('PUT', f'queues/{queue}', {'_flavor': flavor}, 201)

    def post(self, queue: str, *bodies: Any) -> None:
        self.ask('POST', f'queues/{queue}/messages', {'messages': [
            {'ttl': 300, 'body': body} for body in bodies]}, 201)

    def claim(self, queue: str) -> list[dict[str, Any]]:
        answer = self.client.simulate_post(
            f'/v2/queues/{queue}/claims', json={'ttl': 300, 'grace': 60})
        self.assertIn(answer.status_code, (201, 204))
        messages: list[dict[str, Any]] = (
            answer.json['messages'] if answer.content else [])
        return messages

    def stored(self, account: Any) -> dict[str, list[Any]]:
        """Bodies of all messages in an account, by container."""
        connection = swift.connect(account)
        return {
            container['name']: [
                json.loads(connection.get_object(
                    container['name'], message['name'])[1])
                for message in connection.get_container(
                    container['name'])[1]]
            for container in connection.get_account()[1]
            if ':messages:' in container['name']}


class PoolsTest(PooledTest):

    def test_in_two_accounts_never_mix(self) -> None:
        prefixes = {'one': 'first', 'two': 'second'}
        for name, prefix in prefixes.items():
            self.register(name, f'{options.SCHEME}://?auth_section={name}'
                                f'&container_prefix={prefix}')
        places = [(name, f'{name}-{number}') for name in prefixes
                  for number in range(QUEUES)]
        for name, queue in places:
            self.create(name, queue)

        def work(number: int) -> list[Any]:
            taken = []
            for round_, (name, queue) in itertools.product(
                    range(ROUNDS), places):
                if round_ % 2 == number % 2:
                    self.post(queue, [name, queue, number, round_, 'stays'],
                              [name, queue, number, round_])
                for message in self.claim(queue)[:1]:
                    self.client.simulate_delete(message['href'])
                    taken.append(message['body'])
                    self.assertEqual([name, queue], message['body'][:2])
                if round_ == ROUNDS // 2 and number == 0:
                    # A pool that can't work disturbs nobody.
                    self.ask('PUT', 'pools/broken', {
                        'uri': f'{options.SCHEME}://?auth_section=two'
                               '&password=wrong', 'weight': 100}, 400)
            return taken

        with futures.ThreadPoolExecutor(THREADS) as threads:
            taken = [body for found in threads.map(work, range(THREADS))
                     for body in found]

        posted = THREADS * ROUNDS // 2 * 2 * len(places)
        left = []
        for name, prefix in prefixes.items():
            stored = self.stored(self.accounts[name])
            self.assertThat(
                stored, matchers.HasLength(QUEUES))
            for container, bodies in stored.items():
                self.assertThat(container, matchers.StartsWith(f'{prefix}:'))
                for body in bodies:
                    self.assertEqual(name, body[0])
                    self.assertThat(container, matchers.EndsWith(body[1]))
                left += bodies
        self.assertEqual(posted, len(taken) + len(left))
        self.assertThat(taken, matchers.HasLength(
            len({json.dumps(body) for body in taken})))

    def test_have_their_own_containers_and_storage_policies(self) -> None:
        policies = {'one': None, 'two': confs.SECOND_POLICY}
        for name, policy in policies.items():
            uri = (f'{options.SCHEME}://?auth_section=one'
                   f'&container_prefix={name}')
            self.register(
                name, f'{uri}&storage_policy={policy}' if policy else uri)
            self.create(name, f'in-{name}')
            self.post(f'in-{name}', name)
        connection = swift.connect(self.accounts['one'])

        for name, policy in policies.items():
            headers = connection.head_container(
                f'{name}:messages:{PROJECT}:in-{name}')
            self.assertEqual(policy or 'Policy-0',
                             headers['x-storage-policy'])
        self.assertEqual(
            {f'{name}:messages:{PROJECT}:in-{name}': [name]
             for name in policies}, self.stored(self.accounts['one']))

    def test_beside_a_pool_in_redis(self) -> None:
        self.register('swift', f'{options.SCHEME}://?auth_section=one')
        self.register('redis', self.useFixture(redis.Redis()).uri)

        for name in ('swift', 'redis'):
            self.create(name, f'in-{name}')
            self.post(f'in-{name}', name)
        self.register('later', f'{options.SCHEME}://?auth_section=two')
        self.create('later', 'in-later')
        self.post('in-later', 'later')

        for name in ('later', 'redis', 'swift'):
            [message] = self.claim(f'in-{name}')
            self.assertEqual(name, message['body'])
        self.assertEqual(
            {'marconi:messages:project:in-swift': ['swift']},
            self.stored(self.accounts['one']))
        self.assertEqual(
            {'marconi:messages:project:in-later': ['later']},
            self.stored(self.accounts['two']))

    def test_that_are_not_there_leave_queues_to_the_virtual_pool(
        self,
    ) -> None:
        self.ask('PUT', 'queues/q', {}, 201)
        self.post('q', 'in the store of the configuration')
        self.register('one', f'{options.SCHEME}://?auth_section=one')
        self.create('one', 'in-one')
        self.post('in-one', 'in the pool')

        [message] = self.claim('q')

        self.assertEqual('in the store of the configuration', message['body'])
        self.assertEqual(
            {'marconi:messages:project:in-one': ['in the pool']},
            self.stored(self.accounts['one']))

    def test_are_asked_for_their_health(self) -> None:
        self.register('one', f'{options.SCHEME}://?auth_section=one')
        self.register('two', f'{options.SCHEME}://?auth_section=two')

        health = self.ask('GET', 'health')

        self.assertTrue(health['catalog_reachable'])
        for name in ('one', 'two'):
            self.assertTrue(health[name]['storage_reachable'])
            self.assertEqual({'free': 0, 'claimed': 0, 'total': 0},
                             health[name]['message_volume'])
            self.assertEqual({}, self.stored(self.accounts[name]))
