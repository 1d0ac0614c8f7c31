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
"""Migrating from Zaqar's other drivers, and being killed on the way."""

from collections.abc import Callable
from concurrent import futures
import configparser
import json
import pathlib
import subprocess
import sys
import time
from typing import Any
import uuid

import fixtures
import testtools
from testtools import content
from zaqar.storage import errors
from zaqar.storage.swift import driver as swift_driver

from marconi_swift import names
from marconi_swift.data import listing
from marconi_swift.data import queue as queues
from marconi_swift.manage import stores
from tests.fixtures import conf
from tests.fixtures import redis
from tests.fixtures import workers
from tests.fixtures import zaqars_swift

PROJECT = 'project'
QUEUE = 'jobs'
MESSAGES = workers.scaled(500, 5000)
CLIENTS = [str(uuid.uuid4()) for _ in range(4)]

#: Seconds that a command, or what a test waits for, may take.
PATIENCE = 900.0

#: Seconds in which Swift's updaters tell of what was stored.
LISTING = 60.0


class MigrateTest(testtools.TestCase):
    """Has a source, and an empty destination."""

    def setUp(self) -> None:
        super().setUp()
        self.target = self.useFixture(conf.Drivers())
        self.folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.source_path = str(self.folder / 'source.conf')

    def open_source(
        self, message_store: str, management_store: str,
        **sections: dict[str, Any],
    ) -> None:
        parser = configparser.ConfigParser(interpolation=None)
        parser.read_dict({
            'drivers': {'message_store': message_store,
                        'management_store': management_store}, **sections})
        with open(self.source_path, 'w') as file:
            parser.write(file)
        self.source = stores.Deployment(
            stores.named(self.source_path))
        self.addCleanup(self.source.close)
        self.origin = self.source.opened(self.source.configured())
        self.source.queues(self.origin).create(
            QUEUE, metadata={'_max_messages_post_size': 1000},
            project=PROJECT)

    def open_zaqars_swift(self) -> None:
        self.useFixture(fixtures.MonkeyPatch(
            'zaqar.storage.swift.driver._ClientWrapper._init_auth',
            zaqars_swift.log_in))
        account = self.target.swift.fresh_account()
        self.open_source('swift', 'marconi-swift', **{
            'drivers:message_store:swift': {
                'uri': zaqars_swift.uri(account.username, account.password),
                'auth_url': account.auth_url},
            'drivers:management_store:marconi-swift': {
                'uri': 'marconi-swift://', 'auth_type': 'v1password',
                'auth_url': account.auth_url, 'username': account.username,
                'password': account.password}})
        self.assertIsInstance(self.origin, swift_driver.DataDriver)

    def open_redis(self) -> None:
        uri = self.useFixture(redis.Redis()).uri
        self.open_source('redis', 'redis', **{
            f'drivers:{kind}_store:redis': {'uri': uri}
            for kind in ('message', 'management')})

    def post(self, first: int, count: int, **options: Any) -> list[str]:
        ids: list[str] = self.origin.message_controller.post(
            QUEUE, [{'ttl': 3600 + number, 'body': {'n': number}, **options}
                    for number in range(first, first + count)],
            CLIENTS[first % len(CLIENTS)], PROJECT)
        return ids

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, '-m', 'tests.fixtures.zaqars_swift', 'migrate',
             '--from-config-file', self.source_path,
             '--config-file', self.target.path, '--project', PROJECT,
             '-f', 'json', *arguments],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True)

    def migrate(self, *arguments: str, status: int = 0) -> dict[str, Any]:
        """Run the command, and return what it says of the queue."""
        process = self.start(*arguments)
        told, said = process.communicate(timeout=PATIENCE)
        self.addDetail('said', content.text_content(said))
        self.assertEqual(status, process.returncode, said)
        [row] = json.loads(told)
        return {key: value for key, value in row.items()
                if value and key != 'Queue'}

    def kill_when(self, condition: Callable[[], bool]) -> None:
        """Begin to migrate, and be killed."""
        process = self.start()
        try:
            deadline = time.monotonic() + PATIENCE
            while not condition():
                self.assertIsNone(process.poll(), 'It is over already.')
                self.assertLess(time.monotonic(), deadline)
                time.sleep(0.02)
        finally:
            process.kill()
            process.communicate(timeout=PATIENCE)

    def check_two_runs(
        self, told: dict[str, Any], messages: int, before: int,
    ) -> None:
        """Check what the second told: it did the rest, and only that."""
        copied, there = told.pop('Copied'), told.pop('Already there')
        self.assertEqual({'Found': messages}, told)
        self.assertEqual(messages, copied + there)
        # What was on its way to Swift can have arrived after the count.
        self.assertGreaterEqual(there, before)
        # A container server that was too busy is told of a row later.
        deadline = time.monotonic() + LISTING
        while self.arrived() < messages and time.monotonic() < deadline:
            time.sleep(0.1)
        self.assertEqual(messages, self.arrived())

    @property
    def container(self) -> str:
        return names.messages('marconi', PROJECT, QUEUE)

    def arrived(self) -> int:
        return sum(1 for _ in self.target.data.account.store.rows(
            self.container))

    def there(self) -> list[listing.Read]:
        queue = queues.queue(self.target.data, QUEUE, PROJECT)
        return list(listing.everything(queue.store, queue.parts))

    def numbers(self) -> list[int]:
        return [found.body['n'] for found in self.there()]

    # From Zaqar's own driver

    def test_loses_nothing_where_it_is_killed(self) -> None:
        self.open_zaqars_swift()
        # One after the other, so that there is an order to be kept; claimed
        # ones among them are put anew by that driver.
        posted = [name for first in range(0, MESSAGES, 10)
                  for name in self.post(first, 10)]
        read = self.origin.connection.head_object
        with futures.ThreadPoolExecutor(8) as threads:
            expiry = list(threads.map(
                lambda name: int(read(f'zaqar_message:{QUEUE}:{PROJECT}',
                                      name)['x-delete-at']), posted))

        began = time.monotonic()
        self.kill_when(lambda: self.arrived() > MESSAGES // 3)
        before = self.arrived()
        told = self.migrate()
        self.addDetail('seconds', content.text_content(
            f'{MESSAGES} messages, killed after {before}: '
            f'{time.monotonic() - began:.1f} s'))

        self.check_two_runs(told, MESSAGES, before)
        there = self.there()
        self.assertEqual(list(range(MESSAGES)),
                         [found.body['n'] for found in there])
        for number, found in enumerate(there):
            self.assertEqual(3600 + number, found.message.ttl)
            self.assertEqual(expiry[number], found.message.expires)
            self.assertEqual(CLIENTS[number // 10 * 10 % len(CLIENTS)],
                             found.message.poster)
        self.assertEqual(
            {'Found': MESSAGES, 'Already there': MESSAGES},
            self.migrate('--verify'))
        self.assertEqual(
            {'_max_messages_post_size': 1000},
            {key: value for key, value in
             self.target.control.queue_controller.get(
                 QUEUE, project=PROJECT).items()
             if key == '_max_messages_post_size'})

    def test_leaves_what_is_claimed(self) -> None:
        self.open_zaqars_swift()
        self.post(0, 5)
        claim, claimed = self.origin.claim_controller.create(
            QUEUE, {'ttl': 600, 'grace': 60}, PROJECT, limit=2)
        held = {message['body']['n'] for message in claimed}
        self.post(5, 1, delay=600)

        self.assertEqual({'Found': 6, 'Copied': 4, 'Claimed': 2},
                         self.migrate('--dry-run'))
        self.assertEqual([], self.there())
        self.assertEqual({'Found': 6, 'Copied': 4, 'Claimed': 2},
                         self.migrate())
        self.assertEqual([number for number in range(6)
                          if number not in held], self.numbers())
        self.assertAlmostEqual(600, self.there()[-1].message.delayed_until
                               - time.time(), delta=60)

        self.origin.claim_controller.delete(QUEUE, claim, PROJECT)
        self.assertEqual({'Found': 6, 'Missing': 2, 'Already there': 4},
                         self.migrate('--verify', status=1))
        self.assertEqual({'Found': 6, 'Copied': 2, 'Already there': 4},
                         self.migrate())
        self.assertEqual(list(range(6)), self.numbers())

    def test_goes_on_after_what_it_can_not_read(self) -> None:
        self.open_zaqars_swift()
        [_, broken, _] = self.post(0, 3)
        self.origin.connection.put_object(
            f'zaqar_message:{QUEUE}:{PROJECT}', broken, 'no JSON')

        self.assertEqual({'Found': 3, 'Copied': 2, 'Failed': 1},
                         self.migrate(status=1))

        self.assertIn(broken, self.getDetails()['said'].as_text())
        self.assertEqual([0, 2], self.numbers())

    # From others

    def test_from_redis(self) -> None:
        self.open_redis()
        subscriber = 'http://127.0.0.1:9/'
        self.origin.subscription_controller.create(
            QUEUE, subscriber, 600, {'a': 1}, project=PROJECT)
        self.post(0, 100)
        self.post(100, 100)

        self.kill_when(lambda: self.arrived() > 20)
        before = self.arrived()
        told = self.migrate()

        self.assertEqual(1, told.pop('Subscriptions'))
        self.check_two_runs(told, 200, before)
        self.assertEqual(list(range(200)), self.numbers())
        self.assertEqual({'Found': 200, 'Already there': 200},
                         self.migrate('--verify'))
        [found] = list(next(self.target.data.subscription_controller.list(
            QUEUE, project=PROJECT)))
        self.assertEqual(subscriber, found['subscriber'])
        self.assertEqual({'a': 1}, found['options'])

    def test_copies_what_a_claim_held_that_is_over(self) -> None:
        self.open_redis()
        self.post(0, 4)
        claims = self.origin.claim_controller
        for seconds in (600, 1):
            claim, messages = claims.create(
                QUEUE, {'ttl': seconds, 'grace': 60}, PROJECT, limit=2)
            list(messages)

        def is_over() -> bool:
            try:
                claims.get(QUEUE, claim, PROJECT)
            except (errors.ClaimDoesNotExist, TypeError):
                # Zaqar's Redis raises the latter once the claim has expired.
                return True
            return False

        self.wait_until(is_over)

        self.assertEqual({'Found': 4, 'Copied': 2, 'Claimed': 2},
                         self.migrate())

        self.assertEqual([2, 3], self.numbers())

    def wait_until(self, happens: Callable[[], bool]) -> None:
        deadline = time.monotonic() + LISTING
        while not happens():
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.1)

    def test_copies_nothing_again_behind_what_has_expired(self) -> None:
        self.open_redis()
        # Not a whole number of pages, and more than are looked at at a time.
        messages = self.origin.message_controller
        for count in (*[1000] * 6, 43):
            posted = messages.post(
                QUEUE, [{'ttl': 1, 'body': {}}] * count, CLIENTS[0], PROJECT)
        self.wait_until(lambda: not list(
            messages.bulk_get(QUEUE, posted, PROJECT)))
        self.post(0, 250)

        self.assertEqual({'Found': 250, 'Copied': 250}, self.migrate())

        self.assertEqual({'Found': 250, 'Already there': 250},
                         self.migrate())

    def test_keeps_the_order_of_what_was_claimed(self) -> None:
        self.open_redis()
        self.post(0, 10)
        claim, messages = self.origin.claim_controller.create(
            QUEUE, {'ttl': 600, 'grace': 60}, PROJECT, limit=4)
        list(messages)
        self.assertEqual({'Found': 10, 'Copied': 6, 'Claimed': 4},
                         self.migrate())

        self.origin.claim_controller.delete(QUEUE, claim, PROJECT)

        self.assertEqual({'Found': 10, 'Copied': 4, 'Already there': 6},
                         self.migrate())
        self.assertEqual(list(range(10)), self.numbers())
