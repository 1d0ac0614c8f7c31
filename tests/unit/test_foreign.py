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
"""Objects that others put where ours are: left out, told of, and kept.

Whatever they are, the queue beside them works, and so do all others.
"""

from collections.abc import Iterator
import hashlib
import itertools
import logging
import re
import time
from typing import Any
from typing import NamedTuple

import fixtures
import testtools
from zaqar.storage import errors
from zaqar.storage import pipeline

from marconi_swift import cache
from marconi_swift import names
from marconi_swift import notices
from marconi_swift.control import registry
from marconi_swift.data import sweeping
from marconi_swift.data import volume
from tests.fixtures import clock
from tests.fixtures import conf
from tests.fixtures import fake_swift

_MESSAGES = names.messages('marconi', 'p', 'q')
_CLAIMS = names.claims('marconi', 'p', 'q')
_SUBSCRIPTIONS = names.subscriptions('marconi', 'p', 'q')

_ID = names.first_id(1.7e9)
_LAST_ID = 'ffffffff-ffff-7fff-bfff-ffffffffffff'

_JSON = 'application/json'
_DEEP = b'[' * 100_000

#: What no version of this driver writes, as far as it looks.
_TYPES = (
    'text/plain', '', 'application/json', 'application/json;v=2',
    'application/json;v=2;ttl=60;expires=3000000000;poster=x',
    'application/json;v=1;poster=%FF', 'application/json;v=1;=;;', ';;=v=1')

#: Values of times and counts that nothing can be computed with.
_NUMBERS = ('x', '', '-', 'nan', 'inf', '-inf', '1e400', '9' * 400, '%00')

#: Bodies that are no JSON, or not what is looked for.
_BODIES = (
    b'', b'{', b'\xff', b'\0', b'[]', b'null', b'7', b'"x"', b'{}', _DEEP,
    b'{"v": 1', b'{"v": 2}', b'{"v": "1"}', b'{"v": 1}',
    b'{"v": 1, "entered": 7, "won": [], "subscriber": 7, "options": 7, '
    b'"name": 7, "project": 7, "metadata": 7, "queue": 7, "pool": 7}')

#: Names of queues whose records are foreign, which their names do not show.
_ONLY_LISTED = re.compile(r'a\d+|copied')

_NAMES = ('a-file', '.', '..', 'a/b', '\n', ';', 'ü', 'x' * 1000)


class Foreign(NamedTuple):
    container: str
    name: str
    content_type: str
    body: bytes = b''
    #: Whether its row in the listing is a message's: then it is counted.
    counts: bool = False


def message_type(**changed: str) -> str:
    """The Content-Type of a message, with some of its parameters changed."""
    parameters = {'ttl': '60', 'expires': '3000000000', 'poster': 'x',
                  **changed}
    return ';'.join(['application/json', 'v=1', *(
        f'{key}={value}' for key, value in parameters.items())])


def claim_type(**changed: str) -> str:
    return message_type(**{
        'renewed': '1.0', 'until': '3000000000', 'lasts': '3000000000',
        'lifetime': '60', 'won': _ID[-12:], **changed})


def ids(since: float = 1.7e9) -> Iterator[str]:
    """Ids of the past, before all that the tests make."""
    return (names.first_id(since + number) for number in itertools.count())


def messages(made: Iterator[str]) -> Iterator[Foreign]:
    """Each has an id of its own."""
    for content_type in (
            *_TYPES, message_type(claim='x'),
            *(message_type(**{key: number}) for number in _NUMBERS
              for key in ('ttl', 'expires', 'delayed', 'count'))):
        yield Foreign(_MESSAGES, next(made), content_type, b'{}')
    for body in (b'{', b'\xff', b'', _DEEP):
        yield Foreign(_MESSAGES, next(made), message_type(), body, counts=True)


def misnamed_messages() -> Iterator[Foreign]:
    for name in (*_NAMES, _LAST_ID):
        yield Foreign(_MESSAGES, name, message_type(), b'{}')


def claims() -> Iterator[Foreign]:
    for name in (*_NAMES, *(f'claim/{name}' for name in _NAMES),
                 *(f'gate/{name}' for name in _NAMES)):
        yield Foreign(_CLAIMS, name, claim_type(), b'{}')
    made = ids()
    for content_type in (
            *_TYPES, *(claim_type(**{key: number}) for number in _NUMBERS
                       for key in ('ttl', 'renewed', 'until', 'lasts',
                                   'lifetime'))):
        yield Foreign(_CLAIMS, f'claim/{next(made)}', content_type,
                      b'{"v": 1}')
    for body in _BODIES:
        yield Foreign(_CLAIMS, f'claim/{next(made)}', claim_type(), body)


def subscriptions() -> Iterator[Foreign]:
    given = message_type(confirmed='1')
    for name in _NAMES:
        yield Foreign(_SUBSCRIPTIONS, f'subscription/{name}', given,
                      b'{"v": 1, "subscriber": "http://x", "options": {}}')
    made = ids()
    for content_type in (
            *_TYPES, *(message_type(**{'confirmed': '1', key: number})
                       for number in _NUMBERS
                       for key in ('ttl', 'expires', 'confirmed'))):
        yield Foreign(_SUBSCRIPTIONS, f'subscription/{next(made)}',
                      content_type)
    for body in _BODIES:
        yield Foreign(
            _SUBSCRIPTIONS, f'subscription/{next(made)}', given, body)


def of_the_registry(kind: str) -> Iterator[Foreign]:
    container = f'marconi:{kind}'
    for name in (*(f'p:{name}' for name in _NAMES[3:]), 'p:', 'p:%FF',
                 'p:%~short', 'p:%c3%bc', 'p:a:b', 'p:copied'):
        yield Foreign(container, name, _JSON, (
            b'{"v": 1, "name": "q", "project": "p", "metadata": {}, '
            b'"uri": "x", "weight": 1, "flavor": null, "options": {}, '
            b'"capabilities": {}, "pool": "x"}'))
    for number, body in enumerate(_BODIES):
        yield Foreign(container, f'p:a{number}', _JSON, body)
    # Nobody lists those of no project, but of pools.
    for name in (*_NAMES, '%FF:x', ':', *(
            f':a{number}' for number, _ in enumerate(_BODIES))):
        yield Foreign(container, name, _JSON)


class World(fixtures.Fixture):
    """A queue, a topic, a pool, a flavor and an entry, all in use.

    :param drivers: a fixture that gives the drivers.
    """

    def __init__(self, drivers: fixtures.Fixture | None = None) -> None:
        super().__init__()
        self._drivers = drivers or conf.FakeDrivers(retries=0, cache_time=0)

    def _setUp(self) -> None:
        self.drivers: Any = self.useFixture(self._drivers)
        self.control, self.data = self.drivers.control, self.drivers.data
        self.swift = self.data.account.transport
        self._containers: set[str] = set()
        self.piped = pipeline.DataDriver(
            self.drivers.conf, self.data, self.control)
        for project, name in (('p', 'q'), ('p', 'other'), (None, 'q')):
            self.piped.queue_controller.create(name, {}, project=project)
        self.piped.topic_controller.create('t', {}, project='p')
        self.control.pools_controller.create('pool', 1, 'redis://x')
        self.control.flavors_controller.create('flavor', project='p')
        self.control.catalogue_controller.insert('p', 'q', 'pool')
        self.data.subscription_controller.create(
            'q', 'http://there', 600, {}, project='p')
        self.claim()
        notices.forget()
        self.log = self.useFixture(fixtures.FakeLogger(
            level=logging.WARNING))

    def plant(self, foreign: Foreign) -> None:
        if foreign.container not in self._containers:
            self.swift.request('PUT', foreign.container)
            self._containers.add(foreign.container)
        status = self.swift.request(
            'PUT', foreign.container, foreign.name, body=foreign.body,
            headers={'Content-Type': foreign.content_type}).status
        assert status == 201, status

    def find(self, foreign: Foreign) -> bool:
        found = self.swift.request('GET', foreign.container, foreign.name)
        return (found.status, found.body) == (200, foreign.body)

    def post(self, *bodies: Any) -> list[str]:
        posted: list[str] = self.data.message_controller.post(
            'q', [{'ttl': 600, 'body': body} for body in bodies],
            client_uuid='x' * 36, project='p')
        return posted

    def claim(self) -> None:
        """Post, claim, renew, release, claim and delete."""
        claims = self.data.claim_controller
        messages = self.data.message_controller
        terms = {'ttl': 60, 'grace': 60}
        [posted] = self.post('claimed')
        for _ in range(2):
            claim_id, claimed = claims.create('q', terms, project='p')
            assert [message['id'] for message in claimed] == [posted]
            claims.update('q', claim_id, terms, project='p')
            claims.get('q', claim_id, project='p')
            claims.delete('q', claim_id, project='p')
        claim_id, _ = claims.create('q', terms, project='p')
        messages.delete('q', posted, project='p', claim=claim_id)

    def use(self) -> dict[str, Any]:
        """Do everything; return what was shown."""
        queues = self.piped.queue_controller
        topics = self.piped.topic_controller
        messages = self.data.message_controller
        subscriptions = self.data.subscription_controller
        pools = self.control.pools_controller
        flavors = self.control.flavors_controller
        self.claim()
        posted = self.post(1, 2, 3)
        first = messages.first('q', project='p', sort=1)
        last = messages.first('q', project='p', sort=-1)
        made = subscriptions.create('q', 'http://here', 600, {}, project='p')
        subscriptions.confirm('q', made, project='p')
        subscriptions.update('q', made, project='p', ttl=700, options={'a': 1})
        shown = {
            'ends': [first['body'], last['body']],
            'messages': [message['body'] for message in next(
                messages.list('q', project='p', echo=True))],
            'by id': [message['body'] for message in messages.bulk_get(
                'q', [_ID, *posted, _LAST_ID], project='p')],
            'count': queues.stats('q', project='p')['messages']['total'],
            'volume': volume.message_volume(self.data.account)['total'],
            'subscribers': [found['subscriber'] for found in next(
                subscriptions.list('q', project='p'))],
            'queues': [queue['name'] for detailed in (False, True)
                       for queue in next(queues.list(
                           'p', detailed=detailed, limit=1000))
                       if not _ONLY_LISTED.fullmatch(queue['name'])],
            'topics': [topic['name'] for topic in next(topics.list(
                'p', detailed=True))],
            'pools': [pool['name'] for pool in next(pools.list())],
            'flavors': [flavor['name'] for flavor in next(flavors.list('p'))],
            'catalogue': [entry['queue'] for entry in
                          self.control.catalogue_controller.list('p')],
            'popped': sorted(
                message['body'] for _ in range(3)
                for message in messages.pop('q', 10, project='p')),
            'everywhere': sorted(
                (project or '', name) for project, name
                in self.control.queue_controller.everywhere()
                if not _ONLY_LISTED.fullmatch(name)),
        }
        subscriptions.delete('q', made, project='p')
        list(sweeping.sweep(self.data))
        messages.bulk_delete('q', posted, project='p')
        return shown


class ForeignTest(testtools.TestCase):
    """Knows what is shown where there is nothing foreign."""

    @classmethod
    def make(cls) -> World:
        return World()

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        with cls.make() as world:
            cls.expected = world.use()

    def use_beside(self, foreign: Iterator[Foreign], told: int = 1) -> None:
        """Use what there is beside these, and see that they are kept.

        :param told: how often the log tells of them.
        """
        planted = list(foreign)
        with self.make() as world:
            for each in planted:
                world.plant(each)

            shown = world.use()

            for count in ('count', 'volume'):
                shown[count] -= sum(each.counts for each in planted)
            self.assertEqual(self.expected, shown)
            self.assertEqual(
                [], [each for each in planted if not world.find(each)])
            self.assertEqual(told, world.log.output.count(
                f'in container {planted[0].container}:'), world.log.output)
            self.assertEqual(told, world.log.output.count('Ignoring'))
            world.piped.queue_controller.delete('q', project='p')
            self.assertRaises(
                errors.QueueDoesNotExist, world.piped.queue_controller.stats,
                'q', project='p')


class TestManyForeign(ForeignTest):

    kinds = tuple(registry.KINDS)

    def test_among_messages(self) -> None:
        for since in (1.7e9, 3e9):
            self.use_beside(messages(ids(since)))
        self.use_beside(misnamed_messages())

    def test_among_claims(self) -> None:
        # Nobody asks for these.
        self.use_beside(claims(), told=0)

    def test_among_subscriptions(self) -> None:
        self.use_beside(subscriptions())

    def test_among_records(self) -> None:
        for kind in self.kinds:
            self.use_beside(of_the_registry(kind))


class RealSwiftForeignTest(TestManyForeign):

    kinds = ('queues',)

    @classmethod
    def make(cls) -> World:
        return World(conf.Drivers(cache_time=0))


class TestOneForeign(ForeignTest):

    def test_alone_among_messages(self) -> None:
        """What one does is not done by another."""
        for each in messages(ids()):
            self.use_beside(iter([each]))

    def test_instead_of_what_says_who_has_a_subscription(self) -> None:
        """It is void then, and written anew."""
        for body in _BODIES:
            with World() as world:
                world.plant(Foreign(
                    _SUBSCRIPTIONS, names.subscriber('http://here'),
                    message_type(), body))

                self.assertEqual(self.expected, world.use())


class TestForeign(testtools.TestCase):

    def setUp(self) -> None:
        super().setUp()
        self.world = self.useFixture(World())
        self.claims = self.world.data.claim_controller

    def plant(self, *foreign: str, body: bytes = b'') -> Foreign:
        planted = Foreign(*foreign, body)  # type: ignore[call-arg]
        self.world.plant(planted)
        return planted

    def claim(self) -> tuple[str | None, list[Any]]:
        claim_id, claimed = self.claims.create(
            'q', {'ttl': 600, 'grace': 60}, project='p')
        return claim_id, [message['body'] for message in claimed]

    def test_what_is_called_as_no_record_is_told_of(self) -> None:
        """Whoever lists without reading does not pass it over in silence."""
        self.plant('marconi:queues', 'p:a:b', _JSON)

        listed = list(next(
            self.world.control.queue_controller.list('p')))

        self.assertEqual(
            ['other', 'q'], [queue['name'] for queue in listed])
        self.assertEqual(1, self.world.log.output.count(
            "'p:a:b' in container marconi:queues"))

    def test_gates_keep_their_messages_from_being_claimed(self) -> None:
        self.useFixture(clock.Clock())
        for content_type in (*_TYPES, message_type(claim='x', until='nan')):
            odd, _ = self.world.post('odd', 'fine')
            gate = self.plant(_CLAIMS, f'gate/{odd}', content_type)

            claimed = [self.claim()[1] for _ in range(2)]
            # Old enough for somebody to look who stands in its gate.
            time.sleep(15)
            claimed.append(self.claim()[1])

            self.assertEqual([['fine'], [], []], claimed)
            self.assertTrue(self.world.find(gate))
            self.assertEqual(
                'odd', self.world.data.message_controller.get(
                    'q', odd, project='p')['body'])
            self.world.data.message_controller.delete('q', odd, project='p')
        self.assertIn('it is no gate that', self.world.log.output)

    def test_gates_that_somebody_writes_meanwhile_hold_nothing(self) -> None:
        [odd] = self.world.post('odd')

        def strike(step: str, request: fake_swift.Request) -> None:
            if (request.method, request.name) == ('HEAD', f'gate/{odd}'):
                self.world.swift.on_step = None
                self.plant(_CLAIMS, f'gate/{odd}', 'application/json;v=2')

        self.world.swift.on_step = strike

        self.assertEqual([], self.claim()[1])

        self.assertIsNone(self.world.swift.on_step)
        stored = self.world.swift.request('GET', _MESSAGES, odd)
        self.assertNotIn('claim=;', stored.headers['content-type'])

    def test_pages_of_subscriptions_go_on_behind_them(self) -> None:
        subscriptions = self.world.data.subscription_controller
        for number in range(5):
            subscriptions.create(
                'q', f'http://{number}', 600, {}, project='p')
            self.plant(_SUBSCRIPTIONS,
                       f'subscription/{names.new_message_id()}',
                       message_type(confirmed='1'))

        page, marker = subscriptions.list('q', project='p', limit=4)
        rest, _ = subscriptions.list('q', project='p', marker=marker)

        self.assertEqual(
            (['http://there', 'http://0', 'http://1', 'http://2'],
             ['http://3', 'http://4']),
            tuple([found['subscriber'] for found in shown]
                  for shown in (page, rest)))

    def test_records_are_no_claims(self) -> None:
        for body in _BODIES:
            claim = self.plant(
                _CLAIMS, f'claim/{_ID}', claim_type(), body=body)

            for call in (self.claims.get, self.claims.update):
                self.assertRaises(
                    errors.ClaimDoesNotExist, call, 'q', claim_id=_ID,
                    project='p', **({} if call == self.claims.get else {
                        'metadata': {'ttl': 60, 'grace': 60}}))
            self.claims.delete('q', _ID, project='p')

            self.assertTrue(self.world.find(claim))
        self.assertEqual(
            1, self.world.log.output.count('it is no claim that'))

    def test_are_told_of_with_the_container_that_they_are_in(self) -> None:
        world = self.useFixture(World(conf.FakeDrivers(
            retries=0, cache_time=0, containers_per_queue=2)))
        claim = names.new_message_id(1)
        for container, name in ((_MESSAGES, 'a-file'),
                                (_CLAIMS, f'claim/{claim}')):
            world.plant(Foreign(names.part(container, 1), name, _JSON))

        world.data.message_controller.list('q', project='p')
        self.assertRaises(
            errors.ClaimDoesNotExist, world.data.claim_controller.get, 'q',
            claim, project='p')

        for said in (f"'a-file' in container {_MESSAGES}:1:",
                     f"{claim}' in container {_CLAIMS}:1:"):
            self.assertIn(said, world.log.output)

    def test_counts_of_containers_are_none(self) -> None:
        for count in ('x', '', '0', '-1', '17', '99999', '9' * 400, '1.5'):
            self.world.swift.request('PUT', _MESSAGES, headers={
                f'X-Container-Meta-Spread-{count}': '1'})
        self.world.swift.requests.clear()

        self.world.use()

        self.assertEqual(set(), {
            request.container for request in self.world.swift.requests
            if (request.container or '').startswith(f'{_MESSAGES}:')})
        self.assertIn('it is no number of containers', self.world.log.output)

    def test_many_are_told_of_once_a_minute(self) -> None:
        self.useFixture(clock.Clock())
        self.useFixture(fixtures.MonkeyPatch(
            'marconi_swift.notices._told', cache.Cache(notices.QUIET, 10)))
        for number in range(300):
            self.plant(_MESSAGES, f'a-file-{number}', 'text/plain')

        for count in (1, 1, 2):
            for _ in range(3):
                next(self.world.data.message_controller.list(
                    'q', project='p'))
            self.assertEqual(
                count, self.world.log.output.count('Ignoring'))
            if count == 1:
                time.sleep(notices.QUIET / 2 + 1)

    def test_at_an_election_is_an_error_at_once(self) -> None:
        """Nothing else that is created is held up."""
        queues = self.world.piped.queue_controller
        self.useFixture(clock.Clock())
        key = hashlib.sha256(b'marconi:queues/p:new').hexdigest()
        for gate, content_type in itertools.product('12', _TYPES):
            planted = self.plant(
                'marconi:elections', f'{key}/{gate}', content_type)
            began = time.monotonic()

            error = self.assertRaises(
                errors.ConnectionError, queues.create, 'new', {}, project='p')

            self.assertIn(planted.name, str(error))
            self.assertEqual(began, time.monotonic())
            self.assertTrue(self.world.find(planted))
            self.assertTrue(queues.create(
                f'other {content_type}', {}, project=gate))
            self.world.swift.request(
                'DELETE', planted.container, planted.name)
        self.assertTrue(queues.create('new', {}, project='p'))

    def test_a_queue_with_such_a_record_can_be_deleted(self) -> None:
        queues = self.world.piped.queue_controller
        for body in _BODIES:
            self.plant('marconi:queues', 'p:q', _JSON, body=body)
            self.assertRaises(errors.QueueDoesNotExist,
                              queues.get_metadata, 'q', 'p')
            self.assertFalse(queues.create('q', {}, project='p'))

            queues.delete('q', project='p')

            self.assertTrue(queues.create('q', {}, project='p'))
            self.world.use()
