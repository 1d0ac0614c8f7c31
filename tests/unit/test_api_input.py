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
"""What Zaqar's APIs let through, and would fail on later."""

from collections.abc import Callable
import itertools
import logging
import math
import traceback
from typing import Any

import fixtures
import msgpack
import testtools

import marconi_swift
from marconi_swift import acceptable
from tests.fixtures import api

#: Half of a surrogate pair: JSON can write it, and UTF-8 can not.
HALF = '\ud800'

#: What Python reads as no number of JSON's, and would write as no JSON.
NO_NUMBERS = (b'1e400', b'-1e400', b'Infinity', b'-Infinity', b'NaN')

_PATCH = {'Content-Type': 'application/openstack-messaging-v2.0-json-patch'}


def nested(levels: int) -> bytes:
    """JSON of lists in one another."""
    return b'[' * levels + b']' * levels


class ApiTest(testtools.TestCase):

    def setUp(self) -> None:
        super().setUp()
        self.api = self.useFixture(api.Api(retries=0, cache_time=0))

    def http(self, method: str, path: str, body: Any = None) -> Any:
        """Send a request about a queue; return what it is answered.

        :param path: after that of the queue.
        """
        return self.api.http(
            method, f'/v2/queues/q{path}', body,
            headers=_PATCH if (method, path) == ('PATCH', '') else {})

    def refuses(self, method: str, path: str, body: Any) -> None:
        answer = self.http(method, path, body)
        self.assertEqual((400, True), (
            answer.status_code, 'description' in answer.json),
            (method, path, body, answer.body))

    def post(self, *bodies: Any) -> Any:
        return self.http('POST', '/messages', {'messages': [
            {'ttl': 300, 'body': body} for body in bodies]})

    def shown(self, path: str, key: str) -> list[Any]:
        """What a listing shows."""
        answer = self.http('GET', path)
        self.assertEqual(200, answer.status_code, answer.body)
        found: list[Any] = answer.json[key]
        return found

    def bodies(self) -> list[Any]:
        return [message['body'] for message in self.shown(
            '/messages?echo=true', 'messages')]


class TestBodies(ApiTest):

    def test_that_could_not_be_shown_are_refused(self) -> None:
        self.post('fine')
        for body in (HALF, f'a{HALF}', '\udfff', [HALF], {HALF: 1},
                     {'a': [{'b': HALF}]}, '\ude00\ud83d'):
            self.refuses('POST', '/messages', {'messages': [
                {'body': 'with it', 'ttl': 300}, {'body': body, 'ttl': 300}]})

        self.assertEqual(['fine'], self.bodies())
        self.assertEqual(201, self.http('POST', '/claims').status_code)

    def test_that_only_look_like_that_are_shown(self) -> None:
        fine = ['\U0001f600', '\\ud800', 'ü', '[' * 2000, [[]] * 2000,
                {'\N{SNOWMAN}': '\0\n'}, 'x' * 65536]
        for body in fine:
            self.assertEqual(201, self.post(body).status_code)

        self.assertEqual(fine, self.bodies())

    def test_that_are_nested_too_deep_are_refused(self) -> None:
        def send(levels: int) -> int:
            status: int = self.http(
                'POST', '/messages', b'{"messages": [{"ttl": 300, "body": '
                + nested(levels) + b'}]}').status_code
            return status

        self.assertEqual(201, send(acceptable.MAX_DEPTH))
        self.assertEqual(400, send(acceptable.MAX_DEPTH + 1))
        self.assertEqual(400, send(850))
        # Python's json reads no more; Zaqar calls that unavailable.
        self.assertEqual(503, send(5000))

        self.assertEqual(1, len(self.bodies()))

    def test_that_have_no_numbers_of_json_are_refused(self) -> None:
        for number in NO_NUMBERS:
            for body in (number, b'{"a": [{"b": %s}]}' % number):
                self.refuses('POST', '/messages', (
                    b'{"messages": [{"ttl": 300, "body": "with it"}, '
                    b'{"ttl": 300, "body": %s}]}' % body))
        self.assertEqual([], self.bodies())

        fine = ['Infinity', 'NaN', '1e400', {'NaN': ['-Infinity']}, 1e308]
        self.assertEqual(201, self.post(*fine).status_code)
        self.assertEqual(fine, self.bodies())

    def test_that_are_refused_take_the_others_of_the_post_along(self) -> None:
        """Also those that were stored before it was their turn."""
        self.refuses('POST', '/messages', {'messages': [
            *({'body': number, 'ttl': 300} for number in range(100)),
            {'body': HALF, 'ttl': 300}]})

        self.assertEqual([], self.bodies())

    def test_over_a_websocket_are_refused_too(self) -> None:
        deep: list[Any] = []
        for _ in range(acceptable.MAX_DEPTH):
            deep = [deep]
        for body in (HALF, deep):
            status, _ = self.api.websocket('message_post', {
                'queue_name': 'q', 'messages': [{'body': body, 'ttl': 300}]})
            self.assertEqual(400, status)

    def test_that_messagepack_can_not_say_are_refused(self) -> None:
        """Over a WebSocket, JSON is read as Python reads it."""
        least, most = -2 ** 63, 2 ** 64 - 1
        fine = [least, {'a': [most]}, '9' * 40, 1e30, ['1' * 19]]
        for number in (least - 1, most + 1, 10 ** 30):
            for body in (number, {'a': [{'b': number}]}):
                self.assertRaises(OverflowError, msgpack.packb, body)
                self.assertEqual(400, self.post_over_websocket(*fine, body))

        self.assertEqual(201, self.post_over_websocket(*fine))
        self.assertEqual(fine, self.bodies())
        self.assertTrue(msgpack.packb(fine))

    def post_over_websocket(self, *bodies: Any) -> int:
        return self.api.websocket('message_post', {
            'queue_name': 'q', 'messages': [
                {'body': body, 'ttl': 300} for body in bodies]})[0]


class TestMessagePack(ApiTest):
    """It says more than JSON does; only WebSockets take it."""

    def test_that_json_can_not_say_is_refused(self) -> None:
        for odd in ({b'a': 1}, {'a': 1, b'b': 2}, {'a': b'\xff'},
                    {'a': [b'\xff']}, {'a': math.inf}, {'a': math.nan},
                    {'a': msgpack.ExtType(0, b'')},
                    {'a': [1, msgpack.ExtType(127, b'text')]}):
            for action, given in (
                    ('message_post', {'messages': [
                        {'body': 'with it', 'ttl': 300},
                        {'body': odd, 'ttl': 300}]}),
                    ('queue_create', {'metadata': odd}),
                    ('subscription_create', {
                        'subscriber': 'http://here', 'ttl': 300,
                        'options': odd})):
                status, answer = self.api.websocket(
                    action, {'queue_name': 'q', **given})
                self.assertEqual(400, status, (action, odd, answer))

        self.assertEqual([], self.bodies())
        self.assertEqual([], self.shown('/subscriptions', 'subscriptions'))

    def test_lists_that_look_like_extensions_stay(self) -> None:
        fine = [[5, 'text'], {'a': [[0, '']]}]

        self.assertEqual(201, self.api.websocket('message_post', {
            'queue_name': 'q', 'messages': [
                {'body': body, 'ttl': 300} for body in fine]})[0])

        self.assertEqual(fine, self.bodies())

    def test_bytes_become_text(self) -> None:
        self.assertEqual(201, self.api.websocket('message_post', {
            'queue_name': 'q', 'messages': [
                {'body': {'a': b'text'}, 'ttl': 300}]})[0])

        self.assertEqual([{'a': 'text'}], self.bodies())


class TestMetadata(ApiTest):

    def test_that_could_not_be_shown_are_refused(self) -> None:
        self.http('PUT', '', {'fine': 1})
        for key, value in (('a', HALF), (HALF, 1), ('a', {'b': [HALF]})):
            self.refuses('PATCH', '', [
                {'op': 'add', 'path': f'/metadata/{key}', 'value': value}])
            # Zaqar has no other answer.
            self.assertEqual(503, self.api.http(
                'PUT', '/v2/queues/other', {key: value}).status_code)
            self.assertEqual(400, self.api.websocket('queue_create', {
                'queue_name': 'other', 'metadata': {key: value}})[0])

        self.assertEqual(1, self.http('GET', '').json['fine'])
        self.assertEqual(['q'], [queue['name'] for queue in self.api.http(
            'GET', '/v2/queues?detailed=true').json['queues']])

    def test_that_have_no_numbers_of_json_are_refused(self) -> None:
        self.http('PUT', '', {'fine': 'Infinity'})
        for number in NO_NUMBERS:
            self.refuses('PATCH', '', (
                b'[{"op": "add", "path": "/metadata/a", "value": [%s]}]'
                % number))
            for kind in ('queues', 'topics'):
                self.assertEqual(503, self.api.http(
                    'PUT', f'/v2/{kind}/other', b'{"a": [%s]}' % number,
                ).status_code)

        self.assertEqual('Infinity', self.http('GET', '').json['fine'])
        for kind, there in (('queues', ['q']), ('topics', [])):
            self.assertEqual(there, [each['name'] for each in self.api.http(
                'GET', f'/v2/{kind}?detailed=true').json[kind]])


class TestSubscriptions(ApiTest):

    def test_that_could_not_be_shown_are_refused(self) -> None:
        for given in ({'ttl': None}, {'ttl': 0}, {'ttl': ''}, {'ttl': False},
                      {'ttl': []}, {'options': {'a': HALF}},
                      {'options': {'a': math.inf}}, {'ttl': math.inf},
                      {'subscriber': f'http://{HALF}'}):
            self.refuses('POST', '/subscriptions', {
                'subscriber': 'http://here', 'ttl': 300, **given})

        self.assertEqual([], self.shown('/subscriptions', 'subscriptions'))

    def test_are_not_made_such(self) -> None:
        made = self.http('POST', '/subscriptions', {
            'subscriber': 'http://here', 'ttl': 300}).json['subscription_id']
        [before] = self.shown('/subscriptions', 'subscriptions')

        for given in ({'subscriber': ''}, {'subscriber': 0},
                      {'subscriber': []}, {'subscriber': f'http://{HALF}'},
                      {'ttl': 0}, {'ttl': False}, {'ttl': ''},
                      {'options': {HALF: 1}}, {'options': {'a': [math.nan]}}):
            self.refuses('PATCH', f'/subscriptions/{made}', given)

        self.assertEqual(
            [before], self.shown('/subscriptions', 'subscriptions'))


class TestClaims(ApiTest):

    def test_are_renewed_for_no_longer_than_there_are_dates(self) -> None:
        self.post('x')
        path = '/claims/' + self.http(
            'POST', '/claims').headers['Location'].rpartition('/')[2]
        before = self.http('GET', path).json['messages'][0]['ttl']

        for grace in (2**63 - 1, 10**12, -1, -2**63):
            self.refuses('PATCH', path, {'ttl': 300, 'grace': grace})
            self.assertEqual(400, self.api.websocket('claim_update', {
                'queue_name': 'q', 'claim_id': path.rpartition('/')[2],
                'ttl': 300, 'grace': grace})[0])

        [message] = self.http('GET', path).json['messages']
        self.assertEqual(before, message['ttl'])


#: Parts of a path, or values in a query; percent-encoded.
_ODD_PARTS = (
    '.', '..', 'a%2Fb', '%2F', '%00', '%0A', 'q%0A', '%ED%A0%80', '%FF',
    '%C3%A9', 'e%CC%81', 'x' * 3000, '%41', '%25', '%3A', '-1', '0', 'null',
    '%7B%7D', '%20', '+', '*', "';--", '01a21283-3917-70e0-9361-31270caa608c')

_ODD_VALUES: tuple[Any, ...] = (
    None, True, 0, -1, 1, 1.5, 2**63 - 1, -2**63, float('inf'), float('nan'),
    '', '.', 'a/b', '\0', '\n', HALF, 'x' * 70_000, 'q', [], {}, [1],
    {'a': 1}, [HALF], {HALF: 1}, [[[]]], 'http://x')

#: Zaqar's own routes of a topic's messages and subscriptions do not work.
_PATHS = (
    'queues/{}', 'queues/{}/stats', 'queues/{}/purge', 'queues/{}/messages',
    'queues/{}/claims', 'queues/{}/subscriptions', 'queues/q/messages/{}',
    'queues/q/claims/{}', 'queues/q/subscriptions/{}',
    'queues/q/subscriptions/{}/confirm', 'topics/{}', 'topics/{}/stats',
    *(f'queues/q/messages?{key}={{}}' for key in (
        'marker', 'limit', 'echo', 'ids', 'pop', 'claim_ids')),
    *(f'{path}?{key}={{}}' for path in (
        'queues/q/subscriptions', 'queues', 'topics')
      for key in ('marker', 'limit', 'detailed', 'name', 'zz')),
    'queues/q/messages/01a21283-3917-70e0-9361-31270caa608c?claim_id={}')

#: Where in a body something odd is.
_BODIES: dict[tuple[str, str], Callable[[Any], list[Any]]] = {
    ('POST', 'queues/q/messages'): lambda odd: [
        {'messages': odd}, {'messages': [{'ttl': 60, 'body': odd}]},
        {'messages': [{'ttl': odd, 'body': 1}]},
        {'messages': [{'ttl': 60, 'body': 1, 'delay': odd}]}],
    ('POST', 'queues/q/claims'): lambda odd: [
        {'ttl': odd, 'grace': 60}, {'ttl': 60, 'grace': odd}, odd],
    ('PATCH', 'queues/q/claims/{claim}'): lambda odd: [
        {'ttl': odd, 'grace': 60}, {'ttl': 60, 'grace': odd}, odd],
    ('POST', 'queues/q/subscriptions'): lambda odd: [
        {'subscriber': odd}, {'subscriber': 'http://x', 'ttl': odd},
        {'subscriber': 'http://x', 'ttl': 60, 'options': odd},
        {'subscriber': 'http://x', 'ttl': 60, 'options': {'a': odd}}],
    ('PATCH', 'queues/q/subscriptions/{subscription}'): lambda odd: [
        {'subscriber': odd}, {'ttl': odd}, {'options': odd}],
    ('PUT', 'queues/q/subscriptions/{subscription}/confirm'): lambda odd: [
        {'confirmed': odd}, odd],
    ('PUT', 'queues/new'): lambda odd: [
        {'_max_claim_count': odd, '_dead_letter_queue': 'q'},
        {'_max_claim_count': 1, '_dead_letter_queue': odd},
        *({name: odd} for name in (
            '_containers', '_default_message_ttl', '_default_message_delay',
            '_dead_letter_queue_messages_ttl', '_max_messages_post_size',
            '_enable_encrypt_messages', '_retry_policy', 'a'))],
    ('PUT', 'topics/new'): lambda odd: [{'a': odd}, odd],
    ('PATCH', 'queues/q'): lambda odd: [
        [{'op': 'add', 'path': '/metadata/a', 'value': odd}], odd],
}


class TestAnything(ApiTest):
    """Nothing that HTTP lets through fails in this driver."""

    def setUp(self) -> None:
        super().setUp()
        self.useFixture(fixtures.FakeLogger())
        self.failures: list[Any] = []
        handler = logging.Handler(logging.ERROR)
        handler.emit = (  # type: ignore[method-assign]
            lambda record: self.failures.append(record.exc_info))
        logging.getLogger().addHandler(handler)
        self.addCleanup(logging.getLogger().removeHandler, handler)
        self.post('x')
        self.made = {
            'claim': self.http('POST', '/claims').headers[
                'Location'].rpartition('/')[2],
            'subscription': self.http('POST', '/subscriptions', {
                'subscriber': 'http://y'}).json['subscription_id']}

    def send(self, method: str, path: str, body: Any = None) -> Any:
        """Send a request, and see that this driver does not fail on it.

        What Zaqar fails on before it asks the driver is its own.
        """
        self.failures.clear()
        answer = self.api.http(
            method, f'/v2/{path}', body,
            headers=_PATCH if (method, path) == ('PATCH', 'queues/q') else {})
        if answer.status_code >= 500:
            sent = (method, path[:100], f'{body!r:.100}')
            # An answer that could not be written is logged by nobody.
            self.assertNotEqual([], self.failures, sent)
            kind, _, trace = self.failures[-1]
            if (kind, method) != (acceptable.Unacceptable, 'PUT'):
                self.assertEqual([], [
                    frame for frame in traceback.extract_tb(trace)
                    if frame.filename.startswith(
                        marconi_swift.__path__[0])], sent)
        return answer

    def test_in_a_path_or_query(self) -> None:
        for path, odd in itertools.product(_PATHS, _ODD_PARTS):
            for method in ('GET', 'DELETE', 'PUT', 'POST', 'PATCH'):
                self.send(method, path.format(odd), {} if method in (
                    'PUT', 'POST', 'PATCH') else None)

    def test_in_a_body(self) -> None:
        for (method, path), place in _BODIES.items():
            for odd in _ODD_VALUES:
                for body in place(odd):
                    answer = self.send(
                        method, path.format(**self.made), body)
                    self.use(path)
                    if (answer.status_code, path) == (
                            201, 'queues/q/messages'):
                        # A listing shows the first few.
                        for href in answer.json['resources']:
                            self.send('GET', href.removeprefix('/v2/'))

    def use(self, path: str) -> None:
        """Work with what was given."""
        self.send('GET', path.partition('/{')[0])
        if not path.startswith('queues/new'):
            return
        self.send('POST', f'{path}/messages', {
            'messages': [{'ttl': 300, 'body': 1}]})
        for _ in range(2):
            claimed = self.send('POST', f'{path}/claims', {
                'ttl': 60, 'grace': 60}).headers.get('Location')
            if claimed:
                self.send('DELETE', claimed.partition('/v2/')[2])
        for shown in ('messages?echo=true', 'stats'):
            self.send('GET', f'{path}/{shown}')
        self.send('GET', 'queues?detailed=true')
        self.send('DELETE', path)
