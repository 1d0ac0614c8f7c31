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
"""What is one project's, or one queue's, is nothing to another.

Whoever guesses ids sees, claims, renews, releases, deletes and counts nothing.
"""

from collections.abc import Iterator
import functools
from typing import Any
from typing import NamedTuple

import testtools
from zaqar.storage import errors
from zaqar.storage import pipeline

from marconi_swift import names


class Place(NamedTuple):
    """Where a queue, or a topic, is."""

    project: str | None
    name: str


_LONG = 'x' * 100

#: Places that could be taken for one another.
PAIRS = {
    'another project': (Place('p', 'q'), Place('o', 'q')),
    'another queue': (Place('p', 'q'), Place('p', 'other')),
    'no project': (Place(None, 'q'), Place('', 'q')),
    'slashes': (Place('a', 'b/c'), Place('a/b', 'c')),
}
MORE_PAIRS = {
    **PAIRS,
    'a project called None': (Place(None, 'q'), Place('None', 'q')),
    'colons': (Place('a', 'b:c'), Place('a:b', 'c')),
    'escapes': (Place('p', 'a/b'), Place('p', 'a%2Fb')),
    'escaped escapes': (Place('p', '%'), Place('p', '%25')),
    'prefixes': (Place('p', 'q'), Place('p', 'q1')),
    'cases': (Place('p', 'q'), Place('P', 'q')),
    'normal forms': (Place('\xe9', 'q'), Place('e\u0301', 'q')),
    'a part': (Place('p', 'q'), Place('p', 'q:1')),
    'hashes': (Place('p', _LONG), Place('p', names.encode(_LONG))),
    'dots': (Place('p', '.'), Place('p', '..')),
}


class Owner(NamedTuple):
    """Somebody who has messages, a claim and a subscription."""

    at: Place
    ids: list[str]
    claim: str
    subscription: str
    marker: str


class Isolation(testtools.TestCase):
    """What holds on any Swift.

    :ivar pairs: the places that are tried.
    """

    pairs = PAIRS

    def make_drivers(self) -> Any:
        """Make a fixture that gives both drivers."""
        raise NotImplementedError

    def setUp(self) -> None:
        super().setUp()
        self.drivers = self.useFixture(self.make_drivers())
        data = self.drivers.data
        self.messages = data.message_controller
        self.claims = data.claim_controller
        self.subscriptions = data.subscription_controller
        piped = pipeline.DataDriver(
            self.drivers.conf, data, self.drivers.control)
        self.queues = piped.queue_controller
        self.topics = piped.topic_controller

    def post(self, at: Place, *bodies: Any) -> list[str]:
        posted: list[str] = self.messages.post(
            at.name, [{'ttl': 600, 'body': body} for body in bodies],
            client_uuid='x' * 36, project=at.project)
        return posted

    def claim(self, at: Place, limit: int = 1) -> tuple[str, list[str]]:
        claim_id, claimed = self.claims.create(
            at.name, {'ttl': 300, 'grace': 60}, project=at.project,
            limit=limit)
        return claim_id, [message['id'] for message in claimed]

    def make(self, at: Place) -> None:
        self.queues.create(at.name, {'of': repr(at)}, project=at.project)
        self.topics.create(at.name, {'of': repr(at)}, project=at.project)

    def listed(self, at: Place, **kwargs: Any) -> list[str]:
        return [message['id'] for message in next(self.messages.list(
            at.name, project=at.project, echo=True, include_claimed=True,
            **kwargs))]

    def furnish(self, at: Place) -> Owner:
        self.make(at)
        ids = self.post(at, *range(4))
        claim, _ = self.claim(at)
        subscription = self.subscriptions.create(
            at.name, f'http://{ids[0]}', 600, {'of': repr(at)},
            project=at.project)
        page, marker = self.messages.list(
            at.name, project=at.project, echo=True, limit=1)
        self.assertEqual(1, len(list(page)))
        return Owner(at, ids, claim, subscription, marker)

    def state(self, owner: Owner) -> Any:
        """All that can be seen of what somebody has, but for ages."""
        at, project = owner.at, owner.at.project
        claim, held = self.claims.get(at.name, owner.claim, project=project)
        subscription = self.subscriptions.get(
            at.name, owner.subscription, project=project)
        stats = self.queues.stats(at.name, project=project)['messages']
        return (
            [(message['id'], message['ttl'], message['claim_id'])
             for message in self.messages.bulk_get(
                 at.name, owner.ids, project=project)],
            self.listed(at), claim['ttl'],
            [message['id'] for message in held],
            [subscription[key] for key in ('subscriber', 'ttl', 'options')],
            [stats[key] for key in ('free', 'claimed', 'total')],
            self.queues.get(at.name, project=project),
            self.topics.get(at.name, project=project))

    def raid(self, owner: Owner, at: Place) -> None:
        """Try to get at somebody's from another place, by his ids."""
        project = at.project
        missing = functools.partial(self.assertRaises, errors.DoesNotExist)
        [first, *_] = owner.ids

        self.assertEqual([], self.listed(at))
        self.assertEqual([], self.listed(at, marker=owner.marker))
        self.assertEqual([], list(self.messages.bulk_get(
            at.name, owner.ids, project=project)))
        missing(self.messages.get, at.name, first, project=project)
        for claim in (None, owner.claim):
            for message_id in owner.ids:
                self.messages.delete(
                    at.name, message_id, project=project, claim=claim)
        for claims in (None, [owner.claim]):
            self.messages.bulk_delete(
                at.name, owner.ids, project=project, claim_ids=claims)
        self.assertEqual([], self.messages.pop(
            at.name, 10, project=project))
        self.assertEqual((None, []), self.claim(at, limit=10))
        missing(self.claims.get, at.name, owner.claim, project=project)
        missing(self.claims.update, at.name, owner.claim,
                {'ttl': 60, 'grace': 60}, project=project)
        self.claims.delete(at.name, owner.claim, project=project)
        self.raid_subscriptions(owner, at)
        self.assertEqual(0, self.queues.stats(
            at.name, project=project)['messages']['total'])

    def raid_subscriptions(self, owner: Owner, at: Place) -> None:
        project = at.project
        missing = functools.partial(
            self.assertRaises, errors.SubscriptionDoesNotExist)
        theirs = self.subscriptions.get(
            owner.at.name, owner.subscription, project=owner.at.project)
        page = self.subscriptions.list(
            at.name, project=project, marker=owner.subscription[:-1])
        self.assertEqual([], list(next(page)))
        missing(self.subscriptions.get, at.name, owner.subscription,
                project=project)
        missing(self.subscriptions.get_with_subscriber, at.name,
                theirs['subscriber'], project=project)
        missing(self.subscriptions.update, at.name, owner.subscription,
                project=project, ttl=60)
        missing(self.subscriptions.confirm, at.name, owner.subscription,
                project=project)
        self.assertFalse(self.subscriptions.exists(
            at.name, owner.subscription, project=project))
        self.subscriptions.delete(
            at.name, owner.subscription, project=project)

    def test_other_places(self) -> None:
        for owned, other in self.pairs.values():
            owner = self.furnish(owned)
            before = self.state(owner)
            self.make(other)

            self.raid(owner, other)
            self.assertEqual(before, self.state(owner), (owned, other))

            for kind in (self.queues, self.topics):
                kind.delete(other.name, project=other.project)
            self.assertEqual(before, self.state(owner), (owned, other))
            for kind in (self.queues, self.topics):
                kind.delete(owned.name, project=owned.project)

    def test_ids_are_of_one_kind(self) -> None:
        """Those of the same queue, in the place of others."""
        owner = self.furnish(Place('p', 'q'))
        before = self.state(owner)
        others = [owner.ids[0], owner.subscription, owner.marker]
        for claim in (*others, *forged(owner.claim)):
            for call in (self.claims.get, functools.partial(
                    self.claims.update,
                    metadata={'ttl': 60, 'grace': 60})):
                self.assertRaises(
                    errors.ClaimDoesNotExist, call, 'q', claim_id=claim,
                    project='p')
            self.claims.delete('q', claim, project='p')
            for message_id in owner.ids:
                self.assertRaises(
                    errors.ClaimDoesNotExist, self.messages.delete, 'q',
                    message_id, project='p', claim=claim)
                self.assertRaises(
                    (errors.MessageNotClaimed, errors.ClaimDoesNotMatch),
                    self.messages.bulk_delete, 'q', [message_id],
                    project='p', claim_ids=[claim])
        for message_id in (owner.claim, owner.subscription,
                           *forged(owner.ids[0])):
            self.assertEqual([], list(self.messages.bulk_get(
                'q', [message_id], project='p')))
            self.messages.delete('q', message_id, project='p')
            self.messages.bulk_delete('q', [message_id], project='p')

        self.assertEqual(before, self.state(owner))

    def test_clients_with_long_ids_are_told_apart(self) -> None:
        at = Place('p', 'q')
        self.make(at)
        clients = ['\U0001f600' * 299 + end for end in '12']
        for client in clients:
            self.messages.post(
                'q', [{'ttl': 600, 'body': client}], client_uuid=client,
                project='p')

        seen = [[message['body'] for message in next(self.messages.list(
            'q', project='p', client_uuid=client))] for client in clients]

        self.assertEqual([clients[1:], clients[:1]], seen)

    def test_claims_of_others_delete_nothing(self) -> None:
        owner = self.furnish(Place('p', 'q'))
        claim, [held] = self.claim(owner.at)
        [mine] = set(owner.ids[:1])

        self.assertRaises(
            errors.MessageNotClaimedBy, self.messages.delete, 'q', held,
            project='p', claim=owner.claim)
        self.assertRaises(
            errors.MessageNotClaimedBy, self.messages.delete, 'q', mine,
            project='p', claim=claim)
        self.assertRaises(
            errors.ClaimDoesNotMatch, self.messages.bulk_delete, 'q',
            [mine, held], project='p', claim_ids=[claim])

        self.assertEqual(owner.ids, self.listed(owner.at))


def forged(made_id: str) -> Iterator[str]:
    """Ids that are not quite one that somebody was given."""
    for index in (0, 7, 14, 19, 28, 35):
        digit = '0' if made_id[index] != '0' else '1'
        yield made_id[:index] + digit + made_id[index + 1:]
    yield from (
        made_id[:-1], made_id[1:], made_id + '0', f'{made_id}\n',
        made_id.upper(), made_id.replace('-', ''), f'../{made_id}',
        f'{made_id}/../{made_id}', made_id * 1000, made_id[::-1], '')
