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

from typing import Any

import testtools

from marconi_swift import acceptable
from tests.fixtures import api

#: Half of a surrogate pair: JSON can write it, and UTF-8 can not.
HALF = '\ud800'

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


class TestSubscriptions(ApiTest):

    def test_that_could_not_be_shown_are_refused(self) -> None:
        for given in ({'ttl': None}, {'ttl': 0}, {'ttl': ''}, {'ttl': False},
                      {'ttl': []}, {'options': {'a': HALF}},
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
                      {'options': {HALF: 1}}):
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
