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

"""What this project relies on of Swift, asked of Swift and of its model.

Everything here can be seen from outside and provoked without luck. What
would take two proxies whose clocks differ is in ``tests/unit``, on the model
alone: a client can't choose a stamp, since the gatekeeper sets X-Timestamp
aside, and stamp and check follow each other too closely to come between.
"""

from collections.abc import Callable
import itertools
import json
import time
from typing import Any
from urllib import parse
import uuid

import testtools

from marconi_swift.store import transport
from tests.fixtures import fake_swift

# How long an expiry may take to show, in seconds: X-Delete-At counts whole
# seconds, and the machine may be slow.
_PATIENCE = 10


class _Asking(testtools.TestCase):
    """What the tests are written in."""

    swift: transport.Transport

    def begin_put(
        self, container: str, name: str, headers: dict[str, str], body: bytes
    ) -> Callable[[], int]:
        """Start a PUT that has been stamped and checked, and writes later.

        :returns: what lets it write, and returns the status it is answered.
        """
        raise NotImplementedError

    def setUp(self) -> None:
        super().setUp()
        self.container = f'contract-{uuid.uuid4().hex}'

    def given_container(self) -> None:
        self.assertEqual(201, self.ask('PUT'))

    def given_object(self, name: str = 'o', **headers: str) -> None:
        self.given_container()
        self.assertEqual(201, self.ask('PUT', name, **headers))

    def send(
        self, method: str, name: str | None = None, body: bytes = b'',
        query: dict[str, str] | None = None, **headers: str,
    ) -> transport.Response:
        return self.swift.request(
            method, self.container, name, query=query, body=body,
            headers={k.replace('_', '-'): v for k, v in headers.items()})

    def ask(self, method: str, name: str | None = None, **rest: Any) -> int:
        return self.send(method, name, **rest).status

    def meta(self, name: str = 'o') -> dict[str, str]:
        answer = self.send('HEAD', name)
        self.assertEqual(200, answer.status)
        prefix = 'x-object-meta-'
        return {
            key.removeprefix(prefix): value
            for key, value in answer.headers.items() if key.startswith(prefix)
        }

    def header(self, header: str, name: str = 'o') -> str | None:
        return self.send('HEAD', name).headers.get(header)

    def body(self, name: str = 'o') -> bytes:
        return self.send('GET', name).body

    def rows(self, **query: str) -> list[dict[str, Any]]:
        answer = self.send('GET', query={'format': 'json', **query})
        self.assertEqual(200, answer.status)
        rows: list[dict[str, Any]] = json.loads(answer.body)
        return rows

    def names(self, **query: str) -> list[str]:
        return [row.get('name') or row['subdir'] for row in self.rows(**query)]

    def count(self) -> tuple[int, int]:
        headers = self.send('HEAD').headers
        return (
            int(headers['x-container-object-count']),
            int(headers['x-container-bytes-used']),
        )

    def wait_for(self, status: int, method: str, name: str = 'o') -> None:
        deadline = time.monotonic() + _PATIENCE
        while self.ask(method, name) != status:
            self.assertLess(time.monotonic(), deadline, 'still not so')
            time.sleep(0.05)

    def given_expired(self) -> str:
        """Create an object, wait until it has expired, return when."""
        delete_at = str(int(time.time()) + 2)
        self.given_object(X_Delete_At=delete_at)
        self.wait_for(404, 'HEAD')
        return delete_at


class Containers(_Asking):

    def test_container_created_once(self) -> None:
        self.assertEqual(201, self.ask('PUT'))
        self.assertEqual(202, self.ask('PUT'))

    def test_container_exists(self) -> None:
        self.given_container()
        self.assertEqual(204, self.ask('HEAD'))
        self.assertEqual(204, self.ask('DELETE'))

    def test_container_missing(self) -> None:
        self.assertEqual(404, self.ask('HEAD'))
        self.assertEqual(404, self.ask('GET', query={'format': 'json'}))
        self.assertEqual(404, self.ask('DELETE'))

    def test_container_deleted_is_missing(self) -> None:
        self.given_container()
        self.ask('DELETE')
        self.assertEqual(404, self.ask('HEAD'))
        self.assertEqual(404, self.ask('DELETE'))
        self.assertEqual(404, self.ask('PUT', 'o'))

    def test_container_created_again(self) -> None:
        self.given_object()
        self.ask('DELETE', 'o')
        self.ask('DELETE')
        self.assertEqual(201, self.ask('PUT'))
        self.assertEqual([], self.names())

    def test_container_not_deleted_while_it_lists_something(self) -> None:
        self.given_object()
        self.assertEqual(409, self.ask('DELETE'))
        self.ask('DELETE', 'o')
        self.assertEqual(204, self.ask('DELETE'))

    def test_container_counts(self) -> None:
        self.given_container()
        self.assertEqual((0, 0), self.count())
        self.ask('PUT', 'a', body=b'12')
        self.ask('PUT', 'b', body=b'345')
        self.assertEqual((2, 5), self.count())
        self.ask('PUT', 'a', body=b'')
        self.assertEqual((2, 3), self.count())
        self.ask('DELETE', 'b')
        self.assertEqual((1, 0), self.count())
        self.assertEqual(
            '1', self.send('GET', query={'format': 'json'})
            .headers['x-container-object-count'])

    def test_container_metadata(self) -> None:
        def shown(method: str, **query: str) -> dict[str, str]:
            answer = self.send(method, query=query)
            self.assertIn(answer.status, (200, 204))
            prefix = 'x-container-meta-'
            return {key.removeprefix(prefix): value
                    for key, value in answer.headers.items()
                    if key.startswith(prefix)}

        self.assertEqual(201, self.ask('PUT', X_Container_Meta_Spread_4='1'))
        self.assertEqual({'spread-4': '1'}, shown('HEAD'))
        # Each name is on its own, and a PUT keeps what it does not say.
        self.assertEqual(202, self.ask('PUT', X_Container_Meta_Spread_2='1'))
        self.assertEqual(202, self.ask('PUT'))
        both = {'spread-2': '1', 'spread-4': '1'}
        self.assertEqual(both, shown('HEAD'))
        for listing in ({}, {'limit': '1'}, {'marker': 'z'},
                        {'reverse': 'on'}):
            self.assertEqual(both, shown('GET', format='json', **listing))

    def test_container_deleted_forgets_its_metadata(self) -> None:
        self.ask('PUT', X_Container_Meta_Spread_4='1')
        self.ask('DELETE')
        self.assertEqual(201, self.ask('PUT'))
        self.assertNotIn('x-container-meta-spread-4',
                         self.send('HEAD').headers)

    def test_container_longest_name(self) -> None:
        self.container = self.container.ljust(256, 'é')
        self.assertEqual(201, self.ask('PUT'))
        self.container += 'x'
        self.assertEqual(400, self.ask('PUT'))
        self.assertEqual(404, self.ask('PUT', 'o'))

    def test_container_any_name(self) -> None:
        self.container += ' %2F%é:?#&+'
        self.given_object()
        self.assertEqual(['o'], self.names())


class Listings(_Asking):

    def given_objects(self, *names: str) -> None:
        self.given_container()
        for name in names:
            self.assertEqual(201, self.ask('PUT', name))

    def test_listing_empty(self) -> None:
        self.given_container()
        self.assertEqual([], self.rows())

    def test_listing_row(self) -> None:
        self.given_container()
        etag = self.send('PUT', 'o', b'body', Content_Type='a/b').headers[
            'etag']
        (row,) = self.rows()
        self.assertRegex(
            row.pop('last_modified'),
            r'^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}$')
        self.assertEqual(
            {'name': 'o', 'bytes': 4, 'hash': etag, 'content_type': 'a/b'},
            row)

    def test_listing_in_order_of_code_points(self) -> None:
        names = ['%', '%2F', 'A', 'a b', 'a%2Fb', 'a/b', 'é', '\U0001f600']
        self.given_objects(*reversed(names))
        self.assertEqual(names, self.names())

    def test_listing_pages(self) -> None:
        self.given_objects('a', 'b', 'c', 'd')
        self.assertEqual(['a', 'b'], self.names(limit='2'))
        self.assertEqual(['c', 'd'], self.names(limit='2', marker='b'))
        self.assertEqual(['c', 'd'], self.names(marker='bb'))
        self.assertEqual(['b', 'c'], self.names(marker='a', end_marker='d'))
        self.assertEqual([], self.names(marker='d'))

    def test_listing_limits(self) -> None:
        self.given_objects('a')
        self.assertEqual(['a'], self.names(limit='10000'))
        self.assertEqual([], self.names(limit='0'))
        self.assertEqual(['a'], self.names(limit='many'))
        query = {'format': 'json', 'limit': '10001'}
        self.assertEqual(412, self.ask('GET', query=query))

    def test_listing_prefix(self) -> None:
        self.given_objects('a', 'b/1', 'b/2', 'c')
        self.assertEqual(['b/1', 'b/2'], self.names(prefix='b/'))
        self.assertEqual(['b/2'], self.names(prefix='b/', marker='b/1'))
        self.assertEqual(['b/1'], self.names(prefix='b/', limit='1'))
        self.assertEqual(['b/1', 'b/2'], self.names(prefix='b/', marker='a'))
        self.assertEqual([], self.names(prefix='b/', marker='c'))
        self.assertEqual([], self.names(prefix='x'))

    def test_listing_reverse(self) -> None:
        self.given_objects('a', 'b', 'c', 'd')
        self.assertEqual(['d', 'c', 'b', 'a'], self.names(reverse='true'))
        self.assertEqual(['d'], self.names(reverse='true', limit='1'))
        self.assertEqual(['b', 'a'], self.names(reverse='true', marker='c'))
        self.assertEqual(
            ['d', 'c'], self.names(reverse='true', end_marker='b'))

    def test_listing_delimiter(self) -> None:
        self.given_objects('a', 'b/1', 'b/2', 'b/3/x', 'c/')
        self.assertEqual(
            [{'subdir': 'b/'}, {'subdir': 'c/'}],
            [row for row in self.rows(delimiter='/') if 'subdir' in row])
        self.assertEqual(['a', 'b/', 'c/'], self.names(delimiter='/'))
        self.assertEqual(['a', 'b/'], self.names(delimiter='/', limit='2'))
        self.assertEqual(
            ['b/1', 'b/2', 'b/3/'], self.names(delimiter='/', prefix='b/'))
        self.assertEqual(
            ['c/', 'b/', 'a'], self.names(delimiter='/', reverse='true'))

    def test_listing_delimiter_and_marker(self) -> None:
        self.given_objects('a', 'b/1', 'b/2', 'c')
        self.assertEqual(['c'], self.names(delimiter='/', marker='b/'))
        self.assertEqual(['b/', 'c'], self.names(delimiter='/', marker='b/1'))
        self.assertEqual(
            ['a'], self.names(delimiter='/', marker='b/', reverse='true'))

    def test_listing_content_type_loses_spaces(self) -> None:
        self.given_object(Content_Type='a/b; x=1 ; y="q; r";z="\\"",')
        self.assertEqual(
            'a/b;x=1;y="q; r";z="\\""', self.rows()[0]['content_type'])

    def test_listing_unquoted_parameter_loses_what_is_no_token(self) -> None:
        self.given_object(Content_Type='a/b;x=c/d;y=2')
        self.assertEqual('a/b;x=c;y=2', self.rows()[0]['content_type'])

    def test_listing_post_updates_the_row(self) -> None:
        self.given_object(Content_Type='a/b')
        (before,) = self.rows()
        self.ask('POST', 'o', Content_Type='c/d;e=f')
        (after,) = self.rows()
        self.assertEqual('c/d;e=f', after['content_type'])
        self.assertLess(before['last_modified'], after['last_modified'])
        self.assertEqual(before['hash'], after['hash'])

    def test_listing_row_dates_from_the_stamp(self) -> None:
        self.given_object()
        stamp = float(self.header('x-timestamp') or 0)
        seconds = self.rows()[0]['last_modified'].rpartition(':')[2]
        self.assertAlmostEqual(stamp % 60, float(seconds), places=4)


class Account(_Asking):

    def list(self, **query: str) -> list[str]:
        answer = self.swift.request('GET', query={'format': 'json', **query})
        self.assertEqual(200, answer.status)
        return [row['name'] for row in json.loads(answer.body)]

    def test_account_lists_containers(self) -> None:
        prefix = self.container
        for suffix in 'abc':
            self.container = prefix + suffix
            self.given_container()
        a, b, c = (prefix + suffix for suffix in 'abc')
        self.assertEqual([a, b, c], self.list(prefix=prefix))
        self.assertEqual([a], self.list(prefix=prefix, limit='1'))
        self.assertEqual([b, c], self.list(prefix=prefix, marker=a))
        self.assertEqual([b], self.list(prefix=prefix, marker=a, end_marker=c))
        self.assertEqual([c, b, a], self.list(prefix=prefix, reverse='true'))
        self.ask('DELETE')
        self.assertEqual([a, b], self.list(prefix=prefix))

    def test_account_row(self) -> None:
        self.given_container()
        answer = self.swift.request(
            'GET', query={'format': 'json', 'prefix': self.container})
        (row,) = json.loads(answer.body)
        self.assertEqual((0, 0), (row['count'], row['bytes']))
        self.assertIn('T', row['last_modified'])

    def test_account_head(self) -> None:
        self.given_container()
        answer = self.swift.request('HEAD')
        self.assertEqual(204, answer.status)
        self.assertLess(0, int(answer.headers['x-account-container-count']))
        self.assertIn('x-account-object-count', answer.headers)
        self.assertIn('x-account-bytes-used', answer.headers)

    def test_account_limit(self) -> None:
        query = {'format': 'json', 'limit': '10001'}
        self.assertEqual(412, self.swift.request('GET', query=query).status)

    def test_account_info(self) -> None:
        answer = self.swift.info()
        info = json.loads(answer.body)
        self.assertEqual(200, answer.status)
        self.assertEqual(
            fake_swift.LIMITS,
            {key: info['swift'][key] for key in fake_swift.LIMITS})
        self.assertEqual(
            10000, info['bulk_delete']['max_deletes_per_request'])


class Objects(_Asking):

    def test_object_missing(self) -> None:
        self.given_container()
        for method in ('GET', 'HEAD', 'POST', 'DELETE'):
            self.assertEqual(404, self.ask(method, 'o'), method)

    def test_object_missing_container(self) -> None:
        for method in ('GET', 'HEAD', 'PUT', 'POST', 'DELETE'):
            self.assertEqual(404, self.ask(method, 'o'), method)

    def test_object_round_trip(self) -> None:
        self.given_container()
        body = b'\x00\xff a body\n'
        put = self.send(
            'PUT', 'o', body, Content_Type='a/b; x="1"',
            X_Object_Meta_Some_Name='some value')
        got, head = self.send('GET', 'o'), self.send('HEAD', 'o')
        self.assertEqual(201, put.status)
        self.assertEqual(200, got.status)
        self.assertEqual(200, head.status)
        self.assertEqual(body, got.body)
        self.assertEqual(b'', head.body)
        for answer in (got, head):
            self.assertEqual(put.headers['etag'], answer.headers['etag'])
            self.assertEqual('a/b; x="1"', answer.headers['content-type'])
            self.assertEqual('10', answer.headers['content-length'])
            self.assertEqual('bytes', answer.headers['accept-ranges'])
            self.assertEqual(
                'some value', answer.headers['x-object-meta-some-name'])
            self.assertRegex(
                answer.headers['x-timestamp'], r'^\d{10}\.\d{5}$')
            self.assertEqual(
                put.headers['last-modified'], answer.headers['last-modified'])
            self.assertNotIn('x-delete-at', answer.headers)

    def test_object_any_name(self) -> None:
        names = ['/', 'a//b', '%2F', 'é/\U0001f600', '?q=1&r#f', '+ ']
        self.given_container()
        for name in names:
            self.assertEqual(201, self.ask('PUT', name, body=name.encode()))
        for name in names:
            self.assertEqual(name.encode(), self.body(name))
        self.assertEqual(sorted(names), self.names())

    def test_object_longest_name(self) -> None:
        self.given_container()
        longest = 'é' + 'x' * 1023
        self.assertEqual(201, self.ask('PUT', longest))
        self.assertEqual(400, self.ask('PUT', longest + 'x'))
        self.assertEqual(404, self.ask('GET', longest + 'x'))

    def test_object_overwriting_replaces_everything(self) -> None:
        self.given_object(
            Content_Type='a/b', X_Object_Meta_A='1', X_Delete_After='100')
        self.ask('POST', 'o', Content_Type='c/d', X_Object_Meta_B='2')
        self.assertEqual(
            201, self.ask('PUT', 'o', body=b'new', Content_Type='e/f'))
        self.assertEqual(b'new', self.body())
        self.assertEqual({}, self.meta())
        self.assertEqual('e/f', self.header('content-type'))
        self.assertIsNone(self.header('x-delete-at'))
        self.assertEqual('e/f', self.rows()[0]['content_type'])

    def test_object_content_type_is_guessed(self) -> None:
        self.given_container()
        for name, guess in (
            ('o', 'application/octet-stream'), ('o.txt', 'text/plain')
        ):
            self.ask('PUT', name)
            self.assertEqual(guess, self.header('content-type', name))

    def test_object_deleted_once(self) -> None:
        self.given_object()
        self.assertEqual(204, self.ask('DELETE', 'o'))
        self.assertEqual(404, self.ask('DELETE', 'o'))
        self.assertEqual(404, self.ask('GET', 'o'))
        self.assertEqual([], self.names())

    def test_object_created_again(self) -> None:
        self.given_object(X_Object_Meta_A='1')
        self.ask('DELETE', 'o')
        self.assertEqual(201, self.ask('PUT', 'o', body=b'2'))
        self.assertEqual(b'2', self.body())
        self.assertEqual({}, self.meta())
        self.assertEqual(['o'], self.names())

    def test_object_metadata_limits(self) -> None:
        self.given_object()
        fits: list[dict[str, str]] = [
            {'X_Object_Meta_A': 'v' * 256},
            {'X_Object_Meta_' + 'n' * 128: ''},
            {f'X_Object_Meta_{n}': '' for n in range(90)},
            {f'X_Object_Meta_{n:02}': 'v' * 254 for n in range(8)},
        ]
        too_much: list[dict[str, str]] = [
            {'X_Object_Meta_A': 'v' * 257},
            {'X_Object_Meta_' + 'n' * 129: ''},
            {'X_Object_Meta_': 'v'},
            {f'X_Object_Meta_{n}': '' for n in range(91)},
            {f'X_Object_Meta_{n:02}': 'v' * 254 for n in range(17)},
        ]
        for headers in fits:
            self.assertEqual(201, self.ask('PUT', 'o', **headers))
            self.assertEqual(202, self.ask('POST', 'o', **headers))
            self.assertEqual(len(headers), len(self.meta()))
        for headers in too_much:
            self.assertEqual(400, self.ask('PUT', 'o', **headers))
            self.assertEqual(400, self.ask('POST', 'o', **headers))

    def test_object_client_can_not_choose_its_stamp(self) -> None:
        self.given_object()
        self.assertEqual(
            201, self.ask('PUT', 'o', body=b'new', X_Timestamp='1.00000'))
        self.assertEqual(b'new', self.body())


class Posts(_Asking):

    def test_post_replaces_all_metadata(self) -> None:
        self.given_object(X_Object_Meta_A='1', X_Object_Meta_B='2')
        self.assertEqual(202, self.ask('POST', 'o', X_Object_Meta_B='3'))
        self.assertEqual({'b': '3'}, self.meta())
        self.assertEqual(202, self.ask('POST', 'o'))
        self.assertEqual({}, self.meta())

    def test_post_keeps_the_body(self) -> None:
        self.given_container()
        etag = self.send('PUT', 'o', b'body').headers['etag']
        self.ask('POST', 'o', body=b'ignored')
        self.assertEqual(b'body', self.body())
        self.assertEqual(etag, self.header('etag'))

    def test_post_keeps_the_type_unless_sent(self) -> None:
        self.given_object(Content_Type='a/b')
        self.ask('POST', 'o')
        self.assertEqual('a/b', self.header('content-type'))
        self.ask('POST', 'o', Content_Type='c/d')
        self.assertEqual('c/d', self.header('content-type'))
        self.ask('POST', 'o', X_Object_Meta_A='1')
        self.assertEqual('c/d', self.header('content-type'))
        self.assertEqual('c/d', self.rows()[0]['content_type'])

    def test_post_drops_delete_at_unless_sent(self) -> None:
        self.given_object(X_Delete_After='100')
        self.ask('POST', 'o', X_Delete_At='9999999999')
        self.assertEqual('9999999999', self.header('x-delete-at'))
        self.ask('POST', 'o')
        self.assertIsNone(self.header('x-delete-at'))

    def test_post_moves_the_stamp(self) -> None:
        self.given_object()
        before = self.header('x-timestamp') or ''
        self.ask('POST', 'o')
        self.assertLess(before, self.header('x-timestamp') or '')

    def test_post_does_not_bring_back(self) -> None:
        self.given_object()
        self.ask('DELETE', 'o')
        self.assertEqual(404, self.ask('POST', 'o', X_Object_Meta_A='1'))
        self.assertEqual(404, self.ask('GET', 'o'))


class Conditions(_Asking):

    def test_condition_create(self) -> None:
        self.given_container()
        self.assertEqual(201, self.ask('PUT', 'o', If_None_Match='*'))
        self.assertEqual(
            412, self.ask('PUT', 'o', body=b'new', If_None_Match='*'))
        self.assertEqual(b'', self.body())

    def test_condition_create_what_was_deleted(self) -> None:
        self.given_object()
        self.ask('DELETE', 'o')
        self.assertEqual(201, self.ask('PUT', 'o', If_None_Match='*'))

    def test_condition_put_unless_it_is_this(self) -> None:
        self.given_object()
        etag = self.header('etag') or ''
        self.assertEqual(400, self.ask('PUT', 'o', If_None_Match=etag))
        self.assertEqual(400, self.ask('PUT', 'o', If_None_Match='"x"'))

    def test_condition_if_match_is_ignored_by_writes(self) -> None:
        self.given_object()
        self.assertEqual(201, self.ask('PUT', 'o', If_Match='"x"'))
        self.assertEqual(202, self.ask('POST', 'o', If_Match='"x"'))
        self.assertEqual(204, self.ask('DELETE', 'o', If_Match='"x"'))
        self.assertEqual(201, self.ask('PUT', 'o', If_Match='"x"'))

    def test_condition_if_match_is_honoured_by_reads(self) -> None:
        self.given_object()
        etag = self.header('etag') or ''
        for method in ('GET', 'HEAD'):
            for value, status in (
                (etag, 200), (f'"{etag}"', 200), (f'"x", "{etag}"', 200),
                ('*', 200), ('"x"', 412),
            ):
                self.assertEqual(
                    status, self.ask(method, 'o', If_Match=value), value)
            self.assertEqual(412, self.ask(method, 'p', If_Match='*'))
            self.assertEqual(404, self.ask(method, 'p', If_Match='"x"'))

    def test_condition_if_none_match_is_honoured_by_reads(self) -> None:
        self.given_object()
        etag = self.header('etag') or ''
        for method in ('GET', 'HEAD'):
            self.assertEqual(304, self.ask(method, 'o', If_None_Match=etag))
            self.assertEqual(304, self.ask(method, 'o', If_None_Match='*'))
            self.assertEqual(200, self.ask(method, 'o', If_None_Match='"x"'))
            self.assertEqual(404, self.ask(method, 'p', If_None_Match='*'))

    def test_condition_if_delete_at(self) -> None:
        self.given_object(X_Delete_At='9999999999')
        for value, status in (
            ('9999999998', 412), ('soon', 400), ('9999999999', 204)
        ):
            self.assertEqual(
                status, self.ask('DELETE', 'o', X_If_Delete_At=value))
        self.assertEqual(404, self.ask('GET', 'o'))

    def test_condition_if_delete_at_of_what_does_not_expire(self) -> None:
        self.given_object()
        self.assertEqual(
            412, self.ask('DELETE', 'o', X_If_Delete_At='9999999999'))

    def test_condition_if_delete_at_of_what_never_was(self) -> None:
        self.given_container()
        self.assertEqual(
            404, self.ask('DELETE', 'o', X_If_Delete_At='9999999999'))

    def test_condition_if_delete_at_of_what_was_deleted(self) -> None:
        self.given_object(X_Delete_At='9999999999')
        self.ask('DELETE', 'o')
        self.assertEqual(
            412, self.ask('DELETE', 'o', X_If_Delete_At='9999999999'))


class Expiry(_Asking):

    def test_expiry_delete_at_is_kept(self) -> None:
        self.given_object(X_Delete_At='9999999999')
        self.assertEqual('9999999999', self.header('x-delete-at'))
        self.assertEqual(200, self.ask('GET', 'o'))

    def test_expiry_delete_after_counts_from_the_stamp(self) -> None:
        self.given_object(X_Delete_After='100')
        stamp = float(self.header('x-timestamp') or 0)
        self.assertEqual(
            int(stamp) + 100, int(self.header('x-delete-at') or 0))

    def test_expiry_delete_after_wins(self) -> None:
        self.given_object(X_Delete_After='100', X_Delete_At='9999999999')
        self.assertNotEqual('9999999999', self.header('x-delete-at'))

    def test_expiry_refused(self) -> None:
        self.given_object()
        for headers in (
            {'X_Delete_At': '1000000000'}, {'X_Delete_At': 'soon'},
            {'X_Delete_At': '1.5'}, {'X_Delete_At': ''},
            {'X_Delete_After': '0'}, {'X_Delete_After': '-1'},
            {'X_Delete_After': 'soon'}, {'X_Delete_After': '1.5'},
        ):
            for method in ('PUT', 'POST'):
                self.assertEqual(
                    400, self.ask(method, 'o', **headers), str(headers))

    def test_expired_is_missing(self) -> None:
        self.given_expired()
        for method in ('GET', 'HEAD', 'POST'):
            self.assertEqual(404, self.ask(method, 'o'), method)

    def test_expired_is_listed(self) -> None:
        self.given_expired()
        self.assertEqual(['o'], self.names())
        self.assertEqual((1, 0), self.count())
        self.assertEqual(409, self.ask('DELETE'))

    def test_expired_is_created(self) -> None:
        self.given_expired()
        self.assertEqual(201, self.ask('PUT', 'o', If_None_Match='*'))
        self.assertEqual(200, self.ask('GET', 'o'))

    def test_expired_is_deleted_though_missing(self) -> None:
        self.given_expired()
        self.assertEqual(404, self.ask('DELETE', 'o'))
        self.assertEqual([], self.names())

    def test_expired_is_deleted_if_delete_at(self) -> None:
        delete_at = self.given_expired()
        self.assertEqual(412, self.ask('DELETE', 'o', X_If_Delete_At='1'))
        self.assertEqual(
            204, self.ask('DELETE', 'o', X_If_Delete_At=delete_at))
        self.assertEqual([], self.names())

    def test_expiry_post_can_make_it_expire(self) -> None:
        self.given_object()
        self.ask('POST', 'o', X_Delete_After='1')
        self.wait_for(404, 'GET')

    def test_expiry_post_can_keep_it(self) -> None:
        self.given_object(X_Delete_After='2')
        delete_at = int(self.header('x-delete-at') or 0)
        self.assertEqual(202, self.ask('POST', 'o'))
        time.sleep(max(0, delete_at + 1 - time.time()))
        self.assertEqual(200, self.ask('GET', 'o'))


class Late(_Asking):
    """A PUT that was stamped and checked writes after others have."""

    def late_put(self, **headers: str) -> Callable[[], int]:
        return self.begin_put(
            self.container, 'o',
            {k.replace('_', '-'): v for k, v in headers.items()}, b'late')

    def test_late_two_create_it(self) -> None:
        self.given_container()
        finish = self.late_put(If_None_Match='*')
        self.assertEqual(
            201, self.ask('PUT', 'o', body=b'newer', If_None_Match='*'))
        self.assertEqual(201, finish())
        self.assertEqual(b'newer', self.body())
        self.assertEqual((1, 5), self.count())

    def test_late_newer_put_stands(self) -> None:
        self.given_object()
        finish = self.late_put(X_Object_Meta_A='1', Content_Type='a/b')
        self.ask('PUT', 'o', body=b'newer', Content_Type='c/d')
        self.assertEqual(201, finish())
        self.assertEqual(b'newer', self.body())
        self.assertEqual({}, self.meta())
        self.assertEqual('c/d', self.header('content-type'))
        self.assertEqual('c/d', self.rows()[0]['content_type'])

    def test_late_newer_delete_stands(self) -> None:
        self.given_object()
        finish = self.late_put()
        self.assertEqual(204, self.ask('DELETE', 'o'))
        self.assertEqual(201, finish())
        self.assertEqual(404, self.ask('GET', 'o'))
        self.assertEqual([], self.names())

    def test_late_newer_delete_of_nothing_stands(self) -> None:
        self.given_container()
        finish = self.late_put()
        self.assertEqual(404, self.ask('DELETE', 'o'))
        self.assertEqual(201, finish())
        self.assertEqual(404, self.ask('GET', 'o'))
        self.assertEqual([], self.names())

    def test_late_newer_metadata_stands(self) -> None:
        self.given_object(Content_Type='a/b', X_Object_Meta_A='1')
        finish = self.late_put(Content_Type='c/d', X_Object_Meta_A='2')
        self.ask('POST', 'o', X_Object_Meta_A='3')
        self.assertEqual(201, finish())
        self.assertEqual(b'late', self.body())
        self.assertEqual({'a': '3'}, self.meta())
        self.assertEqual('c/d', self.header('content-type'))
        self.assertEqual('c/d', self.rows()[0]['content_type'])

    def test_late_newer_type_stands(self) -> None:
        self.given_object(Content_Type='a/b')
        finish = self.late_put(Content_Type='c/d')
        self.ask('POST', 'o', Content_Type='e/f')
        self.assertEqual(201, finish())
        self.assertEqual(b'late', self.body())
        self.assertEqual('e/f', self.header('content-type'))
        self.assertEqual('e/f', self.rows()[0]['content_type'])

    def test_late_newer_expiry_stands(self) -> None:
        self.given_object()
        finish = self.late_put(X_Delete_At='9999999999')
        self.ask('POST', 'o')
        self.assertEqual(201, finish())
        self.assertIsNone(self.header('x-delete-at'))

    def test_late_post_does_not_see_it(self) -> None:
        self.given_container()
        finish = self.late_put()
        self.assertEqual(404, self.ask('POST', 'o'))
        self.assertEqual(201, finish())
        self.assertEqual(b'late', self.body())

    def test_late_brings_back_a_deleted_container(self) -> None:
        self.given_container()
        finish = self.late_put()
        self.assertEqual(204, self.ask('DELETE'))
        self.assertEqual(404, self.ask('HEAD'))
        self.assertEqual(201, finish())
        self.assertEqual(204, self.ask('HEAD'))
        self.assertEqual(b'late', self.body())
        self.assertEqual(['o'], self.names())
        self.assertEqual(204, self.ask('DELETE', 'o'))
        self.assertEqual(404, self.ask('HEAD'))


class BulkDelete(_Asking):

    def bulk(self, *paths: str, status: str = '200 OK') -> dict[str, Any]:
        answer = self.swift.request(
            'POST', query={'bulk-delete': ''},
            headers={'Accept': 'application/json',
                     'Content-Type': 'text/plain'},
            body='\n'.join(map(parse.quote, paths)).encode())
        self.assertEqual(200, answer.status)
        result: dict[str, Any] = json.loads(answer.body)
        self.assertEqual(status, result['Response Status'])
        return result

    def test_bulk_objects(self) -> None:
        names = ['a', 'b/c', 'é \n%2F', 'kept']
        self.given_container()
        for name in names:
            self.ask('PUT', name)
        result = self.bulk(*(
            f'{self.container}/{name}' for name in [*names[:3], 'missing']))
        self.assertEqual(3, result['Number Deleted'])
        self.assertEqual(1, result['Number Not Found'])
        self.assertEqual([], result['Errors'])
        self.assertEqual('', result['Response Body'])
        self.assertEqual(['kept'], self.names())

    def test_bulk_container_after_its_objects(self) -> None:
        self.given_object()
        result = self.bulk(self.container, f'/{self.container}/o', '')
        self.assertEqual(2, result['Number Deleted'])
        self.assertEqual(404, self.ask('HEAD'))

    def test_bulk_missing_container(self) -> None:
        result = self.bulk(f'{self.container}/o', self.container)
        self.assertEqual(2, result['Number Not Found'])

    def test_bulk_errors(self) -> None:
        self.container += ' é'
        self.given_object()
        result = self.bulk(self.container, status='400 Bad Request')
        self.assertEqual(0, result['Number Deleted'])
        self.assertEqual(
            [[parse.quote(self.container), '409 Conflict']], result['Errors'])

    def test_bulk_nothing(self) -> None:
        result = self.bulk(status='400 Bad Request')
        self.assertEqual('Invalid bulk delete.', result['Response Body'])

    def test_bulk_too_many(self) -> None:
        self.given_object()
        result = self.bulk(
            *itertools.repeat(f'{self.container}/o', 10001),
            status='413 Request Entity Too Large')
        self.assertEqual(0, result['Number Deleted'])
        self.assertEqual(['o'], self.names())


class Contract(
    Containers, Listings, Account, Objects, Posts, Conditions, Expiry, Late,
    BulkDelete,
):
    """All of it; a subclass has the Swift to ask."""
