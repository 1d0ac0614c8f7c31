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
"""How many requests an operation costs, and how often it has to wait.

Requests of one wave are in flight together: the proxy holds each until all
of its wave are there. So the number of waves is how many round trips an
operation takes, and their sum is how many requests.
"""

from collections.abc import Callable
import dataclasses
import itertools
import math
import time
import types
from typing import Any
import uuid

import fixtures
import testtools
from testtools import matchers

from marconi_swift import cache
from marconi_swift import names
from marconi_swift import records
from marconi_swift.data import listing
from marconi_swift.data import spread
from tests.fixtures import conf
from tests.fixtures import workers

PROJECT = 'project'
QUEUE = 'queue'

#: Seconds that Swift may take to list what was stored.
LISTED = 60.0
CLIENT = uuid.uuid4()

COSTS = {
    'create the first queue of an account': (
        2, 1, 1, 1, 1, 1, 1, 1, 2, 1, 1, 1, 1, 2),
    # Each half minute a process looks whether Swift finds the container.
    'create a queue when no other was for a while': (
        2, 1, 1, 1, 1, 1, 1, 2, 1, 2),
    'create a queue': (2, 1, 1, 1, 1, 2, 1, 2),
    'create a queue that exists': (2, 1),
    'create a topic': (1, 1, 1, 1, 1, 2, 1, 2),
    'get a queue': (1,),
    'get a queue again': (),
    'list 10 queues': (1,),
    'list 10 queues in detail': (1, 10),
    'change the metadata of a queue': (1, 1),
    'delete an empty queue': (2, 1, 2),
    'delete a queue of 20': (2, 1, 20, 1, 1, 2),
    'register a second pool': (1, 1, 1, 1, 1),
    'look up the pool of a queue': (1,),
    'look up the pool of a queue again': (),
    'subscribe': (1, 1, 1, 1, 2, 1, 1, 2),
    'subscribe again': (1, 1),
    'confirm a subscription': (1, 1),
    'list 10 subscriptions': (1, 10),
    'list 10 subscriptions again': (1,),
    'delete a subscription': (1, 1),
    'post 1 message to 30 subscribers': (1, 1),
    'count 520 messages': (1,),
    'post 20 messages': (20,),
    'post 20 messages to a queue of which nothing is known': (20,),
    'list 20 messages': (1, 20),
    'list 20 messages behind 500 claimed ones': (1, 20),
    'list 20 messages behind 500 claimed since the last time': (1, 1, 20),
    'list an empty queue': (1,),
    'get a message': (1,),
    'get 20 messages by id': (20,),
    'delete a message': (1, 1),
    'delete 20 messages': (20,),
    'claim 10 messages': (1, 10, 10, 10, 10, 1),
    'claim 20 messages': (1, 20, 20, 20, 20, 1),
    'claim 20 messages behind 500 claimed ones': (1, 20, 20, 20, 20, 1),
    'claim from an empty queue': (1,),
    'claim where all is claimed': (1,),
    'get a claim of 10': (1, 10),
    'renew a claim of 10': (1, 10, 10, 1),
    'release a claim of 20': (1, 20, 20, 1),
    'delete a claimed message': (1, 1),
    'pop 10 messages': (1, 10, 10, 10, 10, 10),
}


#: Of a queue that is spread over four containers: what differs.
SPREAD = COSTS | {
    'create the first queue of an account': (
        2, 6, 1, 1, 1, 1, 1, 1, 1, 2, 1, 1, 1, 1, 2),
    'create a queue when no other was for a while': (
        2, 6, 1, 1, 1, 1, 1, 1, 2, 1, 2),
    'create a queue': (2, 6, 1, 1, 1, 1, 2, 1, 2),
    'create a queue that exists': (2, 6, 1),
    'delete an empty queue': (1, 6, 2, 1, 6, 2),
    'delete a queue of 20': (1, 6, 3, 15, 3, 2, 1, 5, 1, 1, 6, 2),
    'count 520 messages': (4,),
    'post 20 messages to a queue of which nothing is known': (1, 20),
    'list 20 messages': (4, 20),
    'list 20 messages behind 500 claimed ones': (4, 20),
    'list 20 messages behind 500 claimed since the last time': (4, 4, 20),
    'list an empty queue': (1, 3),
    'claim 10 messages': (4, 10, 10, 10, 10, 1),
    'claim 20 messages': (4, 20, 20, 20, 20, 1),
    'claim 20 messages behind 500 claimed ones': (4, 20, 20, 20, 20, 1),
    'claim from an empty queue': (1, 3),
    'claim where all is claimed': (4,),
    'pop 10 messages': (4, 10, 10, 10, 10, 10),
}


class CostsTest(testtools.TestCase):

    costs = COSTS
    containers = 1

    def setUp(self) -> None:
        super().setUp()
        # What takes too long costs more; here a slow machine may take long.
        configured = self.useFixture(conf.ZaqarConf(
            claim_attempt_limit=120, post_time_limit=120,
            containers_per_queue=self.containers))
        self.tally = configured.swift.tally
        self.site = site = workers.Site(configured.path)
        self.account = site.data.account
        self.account.spread = dataclasses.replace(
            self.account.spread, known=cache.Cache(120, 100))
        # Each part gets as much as the others.
        turns = itertools.count()
        self.useFixture(fixtures.MonkeyPatch(
            'marconi_swift.data.spread.random', types.SimpleNamespace(
                randrange=lambda count: next(turns) % count)))
        self.queues = site.queues
        self.messages = site.data.message_controller
        self.claims = site.data.claim_controller
        # As a process that has listed no queue yet.
        listing.forget()
        # No operation pays for the token.
        site.data.is_alive()
        site.control.account.store.check_account()

    def assert_costs(self, what: str, operation: Callable[[], Any]) -> Any:
        """Check what an operation costs; returns its outcome."""
        waves = self.costs[what]
        self.tally.reset()
        self.tally.waves(waves)

        outcome = operation()

        reading = self.tally.read()
        self.assertEqual(waves, tuple(wave.got for wave in reading.waves))
        self.assertThat(reading.requests, matchers.HasLength(sum(waves)))
        self.tally.reset()
        return outcome

    def create(self, queue: str = QUEUE) -> None:
        self.queues.create(queue, project=PROJECT)

    def post(self, count: int) -> list[str]:
        ids: list[str] = self.messages.post(
            QUEUE, ({'ttl': 3600, 'body': number} for number in range(count)),
            CLIENT, project=PROJECT)
        return ids

    def post_claimed(self, count: int) -> None:
        """Store messages as claiming them would have left them."""
        at = records.now()
        hold = records.Hold(names.new_message_id(), math.floor(at) + 3600)
        claimed = [
            records.Message(
                id=names.new_message_id(spread.draw(self.containers)),
                ttl=3600, expires=at + 3600, poster=str(CLIENT),
                claim_count=1, hold=hold)
            for _ in range(count)]
        container = names.messages(
            self.account.settings.container_prefix, PROJECT, QUEUE)
        store = self.account.store
        store.each(
            lambda message: store.create(
                names.home(container, message.id), message.id, body=b'{}',
                content_type=message.content_type(),
                delete_at=message.delete_at),
            claimed)
        # On a busy machine, Swift can list one of them later.
        deadline = time.monotonic() + LISTED
        while self.stats()['claimed'] < count:
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.1)

    def stats(self) -> dict[str, Any]:
        stats: dict[str, Any] = self.queues.stats(
            QUEUE, project=PROJECT)['messages']
        return stats

    def page(self) -> list[dict[str, Any]]:
        return list(next(self.messages.list(
            QUEUE, project=PROJECT, limit=20)))

    def claim(self, limit: int) -> tuple[str | None, list[str]]:
        claim, messages = self.claims.create(
            QUEUE, {'ttl': 3600, 'grace': 60}, project=PROJECT, limit=limit)
        return claim, [message['id'] for message in messages]

    # Queues

    def test_creating_a_queue(self) -> None:
        self.assert_costs('create the first queue of an account',
                          lambda: self.create('first'))
        self.assert_costs('create a queue when no other was for a while',
                          lambda: self.create('second'))
        self.assert_costs('create a queue', self.create)
        self.assert_costs('create a queue that exists', self.create)

    def test_getting_a_queue(self) -> None:
        self.create()

        self.assert_costs(
            'get a queue',
            lambda: self.queues.get_metadata(QUEUE, project=PROJECT))
        self.assert_costs(
            'get a queue again',
            lambda: self.queues.get_metadata(QUEUE, project=PROJECT))

    def test_listing_and_changing_queues(self) -> None:
        for number in range(11):
            self.create(f'{QUEUE}-{number:02}')

        def page(**query: Any) -> list[dict[str, Any]]:
            return list(next(self.queues.list(project=PROJECT, **query)))

        self.assert_costs('list 10 queues', page)
        self.assert_costs('list 10 queues in detail',
                          lambda: page(detailed=True))
        self.assert_costs(
            'change the metadata of a queue',
            lambda: self.queues.set_metadata(
                f'{QUEUE}-00', {'a': 1}, project=PROJECT))

    def test_deleting_a_queue(self) -> None:
        self.create()
        self.assert_costs(
            'delete an empty queue',
            lambda: self.queues.delete(QUEUE, project=PROJECT))

        self.create()
        self.post(20)
        self.assert_costs(
            'delete a queue of 20',
            lambda: self.queues.delete(QUEUE, project=PROJECT))

    # Topics and pools

    def test_creating_a_topic(self) -> None:
        topics = self.site.topics
        self.create()
        for number in range(2):
            topics.create(f'first-{number}', project=PROJECT)

        self.assert_costs('create a topic', lambda: topics.create(
            'topic', project=PROJECT))

    def test_looking_up_a_pool(self) -> None:
        pools = self.site.control.pools_controller
        catalogue = self.site.control.catalogue_controller
        pools.create('first', 1, 'marconi-swift://?region_name=first')

        self.assert_costs('register a second pool', lambda: pools.create(
            'pool', 1, 'marconi-swift://?region_name=pool'))
        catalogue.insert(PROJECT, QUEUE, 'pool')
        self.assert_costs('look up the pool of a queue',
                          lambda: catalogue.get(PROJECT, QUEUE))
        self.assert_costs('look up the pool of a queue again',
                          lambda: catalogue.get(PROJECT, QUEUE))

    # Subscriptions

    def subscribe(self, number: int) -> str | None:
        made: str | None = self.site.data.subscription_controller.create(
            QUEUE, f'http://127.0.0.1:9/{number}', 3600, {}, project=PROJECT)
        return made

    def test_subscribing(self) -> None:
        subscriptions = self.site.data.subscription_controller

        def page() -> list[dict[str, Any]]:
            return list(next(subscriptions.list(QUEUE, PROJECT)))

        for number in range(2):
            self.subscribe(number)
        made = self.assert_costs('subscribe', lambda: self.subscribe(2))
        self.assert_costs('subscribe again', lambda: self.subscribe(2))
        for number in range(3, 10):
            self.subscribe(number)
        self.assert_costs('list 10 subscriptions', page)
        self.assert_costs('list 10 subscriptions again', page)
        self.assert_costs(
            'confirm a subscription',
            lambda: subscriptions.confirm(QUEUE, made, project=PROJECT))
        self.assert_costs(
            'delete a subscription',
            lambda: subscriptions.delete(QUEUE, made, project=PROJECT))

    def test_notifying(self) -> None:
        self.create()
        for number in range(30):
            self.subscribe(number)
        told = self.useFixture(fixtures.MockPatch(
            'zaqar.notification.notifier.NotifierDriver._execute')).mock

        def post() -> None:
            self.site.notifying_messages.post(
                QUEUE, messages=[{'ttl': 60, 'body': 1}],
                client_uuid=CLIENT, project=PROJECT)

        post()
        self.assert_costs('post 1 message to 30 subscribers', post)

        self.assertEqual(60, told.call_count)

    # Messages

    def test_posting_and_reading(self) -> None:
        self.create()
        self.assert_costs('list an empty queue', self.page)
        ids = self.assert_costs('post 20 messages', lambda: self.post(20))
        self.assert_costs('list 20 messages', self.page)
        self.assert_costs(
            'get a message',
            lambda: self.messages.get(QUEUE, ids[0], project=PROJECT))
        self.assert_costs(
            'get 20 messages by id',
            lambda: self.messages.bulk_get(QUEUE, ids, project=PROJECT))

    def test_posting_to_a_queue_of_which_nothing_is_known(self) -> None:
        self.create()

        self.assert_costs(
            'post 20 messages to a queue of which nothing is known',
            lambda: self.post(20))

    def test_deleting_messages(self) -> None:
        self.create()
        ids = self.post(21)
        self.assert_costs(
            'delete a message',
            lambda: self.messages.delete(QUEUE, ids[0], project=PROJECT))
        self.assert_costs(
            'delete 20 messages',
            lambda: self.messages.bulk_delete(
                QUEUE, ids[1:], project=PROJECT))

    def test_popping_messages(self) -> None:
        self.create()
        ids = self.post(10)

        popped = self.assert_costs(
            'pop 10 messages',
            lambda: self.messages.pop(QUEUE, 10, project=PROJECT))

        self.assertEqual(ids, [message['id'] for message in popped])

    # Claims

    def test_claiming_messages(self) -> None:
        self.create()
        ids = self.post(10)

        _, claimed = self.assert_costs(
            'claim 10 messages', lambda: self.claim(10))

        self.assertEqual(ids, claimed)
        self.assert_costs(
            'claim where all is claimed', lambda: self.claim(10))

    def test_claiming_from_an_empty_queue(self) -> None:
        self.create()

        claim, _ = self.assert_costs(
            'claim from an empty queue', lambda: self.claim(10))

        self.assertIsNone(claim)

    def test_many_claimed_messages_cost_nothing(self) -> None:
        self.create()
        self.post_claimed(500)
        free = self.post(20)

        stats = self.assert_costs('count 520 messages', self.stats)
        for _ in range(2):
            listed = self.assert_costs(
                'list 20 messages behind 500 claimed ones', self.page)
        _, claimed = self.assert_costs(
            'claim 20 messages behind 500 claimed ones',
            lambda: self.claim(20))

        self.assertEqual(500, stats['claimed'])
        self.assertEqual(free, [message['id'] for message in listed])
        self.assertEqual(free, claimed)

    def test_many_messages_claimed_meanwhile_cost_a_listing(self) -> None:
        self.create()
        self.page()
        self.post_claimed(500)
        free = self.post(20)

        listed = self.assert_costs(
            'list 20 messages behind 500 claimed since the last time',
            self.page)

        self.assertEqual(free, [message['id'] for message in listed])

    def test_using_a_claim(self) -> None:
        self.create()
        self.post(10)
        claim, ids = self.claim(10)
        self.assert_costs(
            'get a claim of 10',
            lambda: self.claims.get(QUEUE, claim, project=PROJECT))
        self.assert_costs(
            'renew a claim of 10',
            lambda: self.claims.update(
                QUEUE, claim, {'ttl': 3600, 'grace': 60}, project=PROJECT))
        self.assert_costs(
            'delete a claimed message',
            lambda: self.messages.delete(
                QUEUE, ids[0], project=PROJECT, claim=claim))

    def test_releasing_a_claim(self) -> None:
        self.create()
        self.post(20)
        claim, _ = self.assert_costs(
            'claim 20 messages', lambda: self.claim(20))

        self.assert_costs(
            'release a claim of 20',
            lambda: self.claims.delete(QUEUE, claim, project=PROJECT))

        self.assertThat(self.page(), matchers.HasLength(20))


class SpreadCostsTest(CostsTest):

    costs = SPREAD
    containers = 4
