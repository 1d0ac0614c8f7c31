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
"""Every method of every controller, given whatever can be given.

What comes back is an answer, or an error of a stated set; and nothing else
than what is the project's own is touched.

``MARCONI_SWIFT_TEST_SCALE`` multiplies how much is tried.
"""

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
import contextlib
import functools
import itertools
import json
from typing import Any

import fixtures
import hypothesis
from hypothesis import strategies as some
import testtools
from zaqar.storage import errors
from zaqar.storage import pipeline

from marconi_swift import acceptable
from marconi_swift import names
from tests.fixtures import conf
from tests.fixtures import fake_swift
from tests.fixtures import workers

#: Whose calls are tried, and who has queues of the same names beside it.
PROJECT, NEIGHBOUR = 'p', 'p:q'

_ODD = [
    '', '.', '..', '/', '../x', 'a/b', '%2F', '..%2f', '%', '%~', ':', 'a:b',
    '\0', '\n', 'q\n', '\ud800', '\udfff\ud800', 'é', 'e\u0301',
    '\N{SNOWMAN}' * 64, 'x' * 65536, '%41', 'q', 'other', 'None',
    'gate/x', 'claim/x', 'subscription/x', 'http://x', "'; DROP", '-1', '0']

#: What JSON can say, and more of what Python can than anybody should pass.
_SCALARS = some.one_of(
    some.sampled_from([None, True, False, 0, -1, 2**31, 2**63, -2**63, 10**30,
                       0.5, float('nan'), float('inf'), -0.0, '', b'', b'x',
                       b'\xff']),
    some.sampled_from(_ODD), some.text(max_size=20), some.integers(),
    some.floats())
_JSON = some.recursive(_SCALARS, lambda inner: some.one_of(
    some.lists(inner, max_size=3),
    some.dictionaries(some.sampled_from(_ODD), inner, max_size=3)),
    max_leaves=5)


def _nested(levels: int) -> Any:
    return functools.reduce(lambda inner, _: [inner], range(levels), None)


_ANYTHING = _JSON | some.sampled_from(
    [10, 499, 501, 900, 990, 3000]).map(_nested)
_ODDER = [None, 7, 0, -1, 1.5, float('nan'), -float('inf'), b'x', b'\xff',
          (), [], ['x'], {}, {b'x': 1}, True, 2**63, 10**30, _nested(10)]
_TEXTS = some.sampled_from(_ODD) | some.text(max_size=80)

#: Queues that are there come often.
_QUEUES = some.sampled_from(['q', 'q', 'other', 'none']) | _TEXTS
_BAD_NAMES = some.sampled_from([7, 1.5, b'q', (), True])
_LIMITS = some.integers(-2, 200) | some.sampled_from([0, 10**9, 10**30])
_TTLS = some.integers(60, 1_209_600)
_CLIENTS = some.uuids() | some.text(min_size=20, max_size=300)
_METADATA = some.dictionaries(
    some.sampled_from([
        '_max_claim_count', '_dead_letter_queue', '_containers',
        '_dead_letter_queue_messages_ttl', '_default_message_ttl', 'a']),
    some.sampled_from([1, 2, 'q', 'other', 'dead']) | _ANYTHING, max_size=4)
_MESSAGES = some.lists(some.fixed_dictionaries(
    {'ttl': _TTLS, 'body': _ANYTHING},
    optional={'delay': some.integers(0, 900)}), max_size=3)
_TERMS = some.fixed_dictionaries(
    {'ttl': _TTLS, 'grace': _TTLS | some.integers(-2**63, 2**63)})

#: Stands for ids of all kinds, real ones of both projects among them.
_ID = object()
_IDS = some.just(_ID)
_MARKERS = some.none() | _IDS

_DATA: dict[str, dict[str, Any]] = {
    'message.list': {'marker': _MARKERS, 'limit': _LIMITS,
                     'client_uuid': _CLIENTS, 'echo': some.booleans(),
                     'include_claimed': some.booleans()},
    'message.first': {'sort': some.sampled_from([1, -1, 0, None, 'x'])},
    'message.get': {'message_id': _IDS},
    'message.bulk_get': {'message_ids': some.lists(_IDS)},
    'message.post': {'messages': _MESSAGES, 'client_uuid': _CLIENTS},
    'message.delete': {'message_id': _IDS, 'claim': _MARKERS},
    'message.bulk_delete': {
        'message_ids': some.lists(_IDS),
        'claim_ids': some.none() | some.lists(_IDS)},
    'message.pop': {'limit': _LIMITS},
    'claim.create': {'metadata': _TERMS, 'limit': _LIMITS},
    'claim.get': {'claim_id': _IDS},
    'claim.update': {'claim_id': _IDS, 'metadata': _TERMS},
    'claim.delete': {'claim_id': _IDS},
    'subscription.list': {'marker': _MARKERS, 'limit': _LIMITS},
    'subscription.get': {'subscription_id': _IDS},
    'subscription.create': {'subscriber': _ANYTHING, 'ttl': _TTLS | _ANYTHING,
                            'options': _ANYTHING},
    'subscription.update': {
        'subscription_id': _IDS, 'subscriber': some.none() | _ANYTHING,
        'ttl': some.none() | _TTLS | _ANYTHING, 'options': _ANYTHING},
    'subscription.exists': {'subscription_id': _IDS},
    'subscription.delete': {'subscription_id': _IDS},
    'subscription.get_with_subscriber': {'subscriber': _TEXTS},
    'subscription.confirm': {'subscription_id': _IDS,
                             'confirmed': _ANYTHING},
}
_NAMED: dict[str, dict[str, Any]] = {
    'create': {'metadata': some.none() | _METADATA},
    # While the queue is there.
    'set_metadata': {'metadata': _METADATA},
    'get': {}, 'get_metadata': {}, 'exists': {}, 'delete': {}, 'stats': {},
}
_LISTED: dict[str, Any] = {
    'marker': some.none() | _TEXTS, 'limit': _LIMITS,
    'detailed': some.booleans()}
_QUEUE_LISTED: dict[str, Any] = {
    **_LISTED, 'kfilter': some.dictionaries(_TEXTS, _ANYTHING, max_size=2),
    'name': some.none() | _TEXTS}
# Zaqar itself looks at those of other drivers, and that they are URIs.
_URIS = some.sampled_from([
    'marconi-swift://', 'marconi-swift:', 'marconi-swift://x?region_name=y',
    'marconi-swift://x?fan_out=many',
    'marconi-swift://?container_prefix=a/b', 'marconi-swift://\0%00?#'])
_POOL: dict[str, Any] = {
    'weight': some.integers(), 'uri': _URIS, 'flavor': some.none() | _TEXTS,
    'options': some.dictionaries(
        some.sampled_from(['container_prefix', 'fan_out', 'a']), _ANYTHING)}


#: What is given for what is not odd just then.
_USUAL = {
    'queue': 'q', 'name': 'q', 'marker': None, 'limit': 10,
    'client_uuid': 'x' * 36, 'echo': True, 'include_claimed': True, 'sort': 1,
    'message_ids': [], 'claim_ids': None, 'claim': None, 'pool': 'pool',
    'messages': [{'ttl': 60, 'body': 1}], 'detailed': True, 'kfilter': {},
    'metadata': {'ttl': 60, 'grace': 60}, 'subscriber': 'http://y',
    'ttl': 60, 'options': {}, 'confirmed': True, 'capabilities': [],
    'weight': 1, 'uri': 'marconi-swift://', 'flavor': None}

#: Arguments of these names, with something odd in each of their places.
_PLACES: dict[str, Callable[[Any], list[Any]]] = {
    'messages': lambda odd: [[{'ttl': 60, 'body': odd}]],
    'metadata': lambda odd: [{'ttl': 60, 'grace': 60, 'a': odd}, {
        'ttl': 60, 'grace': 60, 'a': odd, '_dead_letter_queue': odd,
        '_max_claim_count': 1, '_containers': odd}],
    **dict.fromkeys(['message_ids', 'claim_ids'], lambda odd: [[odd]]),
    **dict.fromkeys(['options', 'kfilter'], lambda odd: [{'a': odd}])}

#: Arguments that Zaqar computes, or checks.
_NEVER_ODD = {'limit', 'echo', 'include_claimed', 'detailed', 'sort',
              'weight', 'uri', 'client_uuid', 'pool', 'flavor',
              'capabilities'}


def _answers(result: Any) -> Any:
    """Iterate over all that is answered, as Zaqar does."""
    if isinstance(result, Iterator):
        return [_answers(each) for each in result]
    if isinstance(result, tuple):
        return [_answers(each) for each in result]
    return result


class BadInputTest(testtools.TestCase):

    def setUp(self) -> None:
        super().setUp()
        self.useFixture(fixtures.FakeLogger())
        self.drivers = self.useFixture(conf.FakeDrivers(
            retries=0, cache_time=0))
        self.swift: fake_swift.FakeSwift = self.drivers.swift
        self.data, self.control = self.drivers.data, self.drivers.control
        piped = pipeline.DataDriver(
            self.drivers.conf, self.data, self.control)
        self.controllers = {
            'message': self.data.message_controller,
            'claim': self.data.claim_controller,
            'subscription': self.data.subscription_controller,
            'queue': piped.queue_controller,
            'topic': piped.topic_controller,
            'pools': self.control.pools_controller,
            'flavors': self.control.flavors_controller,
            'catalogue': self.control.catalogue_controller}
        self.ids = [id_ for project in (PROJECT, NEIGHBOUR)
                    for id_ in self.furnish(project)]
        self.before = self.neighbours()

    def furnish(self, project: str) -> Iterator[str]:
        """Make one of everything; yield its ids."""
        for name in ('q', 'other'):
            self.controllers['queue'].create(name, {'a': 1}, project=project)
            self.controllers['topic'].create(name, {'a': 1}, project=project)
        yield from self.controllers['message'].post(
            'q', [{'ttl': 60, 'body': number} for number in range(3)],
            client_uuid='x', project=project)
        claim_id, _ = self.controllers['claim'].create(
            'q', {'ttl': 60, 'grace': 60}, project=project, limit=1)
        yield claim_id
        yield self.controllers['subscription'].create(
            'q', 'http://x', 600, {}, project=project)
        yield next(itertools.islice(self.controllers['message'].list(
            'q', project=project, limit=1), 1, None))
        self.controllers['flavors'].create('q', project=project)
        self.controllers['catalogue'].insert(project, 'q', 'pool')

    def neighbours(self) -> list[Any]:
        """All that is stored of the other project."""
        mark = f':{names.encode(NEIGHBOUR)}:'
        return [stored for stored in self.swift.stored()
                if mark in f':{stored[0][0]}:'
                or f':{stored[0][1]}'.startswith(mark)]

    def try_out(
        self, methods: Mapping[str, Mapping[str, Any]], *,
        project: bool = True,
    ) -> None:
        """Call these methods with what is drawn from their arguments.

        :param project: whether they are given one.
        """
        given = {'project': PROJECT} if project else {}
        for method, arguments in methods.items():
            self.try_one_after_another(method, arguments, given)
            self.try_at_random(method, arguments, given)
        self.assertEqual(self.before, self.neighbours())

    def try_one_after_another(
        self, method: str, arguments: Mapping[str, Any],
        given: Mapping[str, Any],
    ) -> None:
        """Call it with all that is odd, in the place of each argument."""
        usual = {**_USUAL, 'message_id': self.ids[0], 'claim_id': self.ids[3],
                 'subscription_id': self.ids[4]}
        for name, odd in itertools.product(
                arguments.keys() - _NEVER_ODD, [*_ODD, *_ODDER]):
            if (name, method[-4:]) == ('name', 'list'):
                continue
            for value in _PLACES.get(name, lambda odd: [odd])(odd):
                self.call(method, {
                    **{other: usual[other] for other in arguments}, **given,
                    name: value})

    def try_at_random(
        self, method: str, arguments: Mapping[str, Any],
        given: Mapping[str, Any],
    ) -> None:
        @hypothesis.settings(
            max_examples=workers.scaled(15, 100_000), deadline=None,
            database=None, suppress_health_check=list(
                hypothesis.HealthCheck))
        @hypothesis.given(some.data())
        def run(data: some.DataObject) -> None:
            self.call(method, {**given, **{
                name: self.draw(data, strategy)
                for name, strategy in arguments.items()}})

        run()

    def draw(self, data: some.DataObject, strategy: Any) -> Any:
        drawn = data.draw(strategy)
        if isinstance(drawn, list):
            return [self.an_id(data) if each is _ID else each
                    for each in drawn]
        return self.an_id(data) if drawn is _ID else drawn

    def an_id(self, data: some.DataObject) -> Any:
        made = data.draw(some.sampled_from(self.ids) | _JSON)
        if isinstance(made, str) and not data.draw(some.integers(0, 3)):
            made = data.draw(some.sampled_from([
                made + '\n', made[:-1], made + 'x', made.upper(), f'../{made}',
                f'{made}/..', made.replace('-', ''), made[::-1], made * 100,
                f'{made}%00', ' ' + made]))
        return made

    def call(self, method: str, arguments: dict[str, Any]) -> None:
        self.swift.requests.clear()
        controller, _, name = method.partition('.')
        call: Callable[..., Any] = getattr(
            self.controllers[controller], name)
        answered = None
        with self.stated_errors(arguments):
            answered = _answers(call(**arguments))
        json.dumps(answered, allow_nan=False, default=str)
        for request in self.swift.requests:
            self.assertTrue(self.is_own(request), request)
            self.check_strict(request.body or b'')

    @contextlib.contextmanager
    def stated_errors(self, arguments: dict[str, Any]) -> Iterator[None]:
        try:
            yield
        except errors.ConnectionError:
            # The model of Swift never fails, so it was asked for nonsense.
            raise
        except (errors.ExceptionBase, acceptable.Unacceptable):
            pass
        except AssertionError as exc:
            self.assertIn(' given for ', str(exc))
        except TypeError as exc:
            self.assertIn(' or subscriber is text, not ', str(exc))
        except ValueError as exc:
            # Of a limit or sort, which Zaqar's APIs check.
            self.assertIs(ValueError, type(exc), exc)
            self.assertTrue(
                {'limit', 'sort'} & set(arguments), arguments)

    def check_strict(self, body: bytes) -> None:
        """Refuse JSON that only those can read who, as Python, read more."""
        # Of ids, which some bodies are, nothing is read.
        with contextlib.suppress(json.JSONDecodeError):
            json.loads(body, parse_constant=self.fail)

    def is_own(self, request: fake_swift.Request) -> bool:
        """Whether a request is about this project's, and fits Swift."""
        container, name = request.container or '', request.name
        if (request.method, container) == ('HEAD', ''):
            # Whether it is there, which no input is part of.
            return True
        prefix, kind, *rest = container.split(':')
        if (prefix != 'marconi' or len(container) > 256
                or len(name or '') > 1024 or '/' in container):
            return False
        scope = name if name is not None else request.query.get('prefix', '')
        if kind in ('queues', 'topics', 'flavors', 'catalogue'):
            return (request.method == 'PUT' and name is None) or (
                scope.startswith(f'{names.encode(PROJECT)}:'))
        if kind in ('pools', 'elections'):
            return not rest
        return rest[:1] == [names.encode(PROJECT)]


class TestBadInput(BadInputTest):

    def test_messages_claims_and_subscriptions(self) -> None:
        self.try_out({
            method: {'queue': _QUEUES | _BAD_NAMES, **arguments}
            for method, arguments in _DATA.items()})

    def test_queues_and_topics(self) -> None:
        self.try_out({
            **{f'{controller}.{method}': {
                'name': _QUEUES | _BAD_NAMES, **arguments}
               for controller in ('queue', 'topic')
               for method, arguments in _NAMED.items()},
            'queue.list': _QUEUE_LISTED, 'topic.list': _QUEUE_LISTED,
            'queue.calculate_resource_count': {}})

    def test_flavors(self) -> None:
        self.try_out({
            'flavors.list': _LISTED,
            'flavors.create': {'name': _QUEUES | _BAD_NAMES,
                               'capabilities': some.none() | some.lists(
                                   _TEXTS)},
            'flavors.get': {'name': _QUEUES, 'detailed': some.booleans()},
            'flavors.exists': {'name': _QUEUES},
            'flavors.delete': {'name': _QUEUES | _BAD_NAMES},
            'flavors.update': {'name': _QUEUES, 'capabilities':
                               some.none() | some.lists(_TEXTS)}})

    def test_pools(self) -> None:
        self.try_out({
            'pools.list': _LISTED,
            'pools.create': {'name': _QUEUES | _BAD_NAMES, **_POOL},
            'pools.get': {'name': _QUEUES, 'detailed': some.booleans()},
            'pools.exists': {'name': _QUEUES},
            'pools.delete': {'name': _QUEUES | _BAD_NAMES},
            'pools.update': {'name': _QUEUES, **{
                field: some.none() | strategy
                for field, strategy in _POOL.items()}},
            'pools.get_pools_by_flavor': {
                'flavor': some.none() | some.fixed_dictionaries(
                    {'name': _TEXTS})}}, project=False)

    def test_the_catalogue(self) -> None:
        self.try_out({
            'catalogue.list': {},
            'catalogue.get': {'queue': _QUEUES | _BAD_NAMES},
            'catalogue.exists': {'queue': _QUEUES},
            'catalogue.insert': {'queue': _QUEUES, 'pool': _TEXTS},
            'catalogue.delete': {'queue': _QUEUES | _BAD_NAMES},
            'catalogue.update': {'queue': _QUEUES, 'pool': _TEXTS}})
