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

"""What the model of Swift says that a real Swift can't be made to show.

Stamps that are older than what is stored come from proxies whose clocks
differ, and updates of listings come late when servers are busy or away:
neither can be had on demand. The sources that these tests follow are named
in the model. What can be had is in ``tests/contract``.
"""

import contextlib
import json
import threading
from typing import Any

import testtools

from marconi_swift.store import transport
from tests.fixtures import fake_swift

START = 1_000_000.0


class _Case(testtools.TestCase):

    def setUp(self) -> None:
        super().setUp()
        self.now = START
        self.swift = fake_swift.FakeSwift(clock=lambda: self.now)
        self.swift.request('PUT', 'c')
        self.swift.requests.clear()

    def ask(
        self, method: str, name: str | None = 'o', body: bytes = b'',
        at: float | None = None, **headers: str,
    ) -> int:
        """Send a request, stamped so many seconds after the start."""
        sent = {k.replace('_', '-'): v for k, v in headers.items()}
        with contextlib.ExitStack() as stack:
            if at is not None:
                stack.enter_context(self.swift.stamped(START + at))
            return self.swift.request(
                method, 'c', name, headers=sent, body=body).status

    def begin(
        self, stop: str, method: str, name: str | None = 'o',
        body: bytes = b'', at: float = 0, **headers: str,
    ) -> fake_swift.Steps:
        """Serve a request up to the step before `stop`."""
        steps = self.swift.begin(
            method, 'c', name, body=body,
            headers={k.replace('_', '-'): v for k, v in headers.items()})
        with self.swift.stamped(START + at):
            while next(steps) != stop:
                pass
        return steps

    def read(self, name: str = 'o') -> transport.Response:
        return self.swift.request('GET', 'c', name)

    def rows(self) -> dict[str, str]:
        answer = self.swift.request('GET', 'c', query={'format': 'json'})
        return {
            row['name']: row['content_type']
            for row in json.loads(answer.body)
        }


def finish(steps: fake_swift.Steps) -> int:
    try:
        while True:
            next(steps)
    except StopIteration as done:
        answer: transport.Response = done.value
        return answer.status


class OldStamps(_Case):
    """Requests that are older than what is stored when they arrive."""

    def test_put_is_accepted_and_changes_nothing(self) -> None:
        self.ask('PUT', body=b'new', at=2)
        self.assertEqual(202, self.ask('PUT', body=b'old', at=1))
        self.assertEqual(b'new', self.read().body)

    def test_put_of_the_same_stamp(self) -> None:
        self.ask('PUT', body=b'first', at=1)
        self.assertEqual(202, self.ask('PUT', body=b'second', at=1))
        self.assertEqual(b'first', self.read().body)

    def test_create_finds_what_exists_first(self) -> None:
        self.ask('PUT', at=2)
        self.assertEqual(412, self.ask('PUT', at=1, If_None_Match='*'))

    def test_put_after_delete(self) -> None:
        self.ask('PUT', at=1)
        self.ask('DELETE', at=3)
        self.assertEqual(202, self.ask('PUT', at=2))
        self.assertEqual(202, self.ask('PUT', at=2, If_None_Match='*'))
        self.assertEqual(404, self.read().status)

    def test_put_after_expiry(self) -> None:
        self.ask('PUT', at=1, X_Delete_At=str(int(START) + 4))
        # It has expired for who comes after that, by the proxy's clock.
        self.assertEqual(412, self.ask('PUT', at=3.9, If_None_Match='*'))
        self.assertEqual(201, self.ask('PUT', at=4, If_None_Match='*'))

    def test_put_under_newer_metadata(self) -> None:
        self.ask('PUT', body=b'1', at=1)
        self.ask('POST', at=3, X_Object_Meta_A='posted')
        self.assertEqual(201, self.ask('PUT', body=b'2', at=2))
        self.assertEqual(b'2', self.read().body)
        self.assertEqual('posted', self.read().headers['x-object-meta-a'])

    def test_delete_is_refused(self) -> None:
        self.ask('PUT', at=2)
        self.assertEqual(409, self.ask('DELETE', at=1))
        self.assertEqual(409, self.ask('DELETE', at=1, X_If_Delete_At='0'))
        self.assertEqual(200, self.read().status)

    def test_delete_under_newer_metadata(self) -> None:
        self.ask('PUT', at=1)
        self.ask('POST', at=3)
        self.assertEqual(204, self.ask('DELETE', at=2))
        self.assertEqual(404, self.read().status)

    def test_delete_after_delete(self) -> None:
        self.ask('DELETE', at=2)
        self.assertEqual(404, self.ask('DELETE', at=1))
        self.assertEqual(409, self.ask('DELETE', at=1, X_If_Delete_At='0'))

    def test_delete_of_nothing_outdates_what_comes_late(self) -> None:
        self.assertEqual(404, self.ask('DELETE', at=2))
        self.assertEqual(202, self.ask('PUT', at=1))
        self.assertEqual({}, self.rows())

    def test_post_is_refused(self) -> None:
        self.ask('PUT', at=2, Content_Type='a/b')
        self.assertEqual(409, self.ask('POST', at=1))
        self.assertEqual(409, self.ask('POST', at=1, Content_Type='c/d'))
        self.assertEqual('a/b', self.read().headers['content-type'])

    def test_post_after_post(self) -> None:
        self.ask('PUT', at=1)
        self.ask('POST', at=3, X_Object_Meta_A='3')
        self.assertEqual(409, self.ask('POST', at=2, X_Object_Meta_A='2'))
        self.assertEqual('3', self.read().headers['x-object-meta-a'])

    def test_post_may_win_the_type_alone(self) -> None:
        self.ask('PUT', at=1, Content_Type='a/b')
        self.ask('POST', at=3, X_Object_Meta_A='3')
        self.assertEqual(202, self.ask(
            'POST', at=2, X_Object_Meta_A='2', Content_Type='c/d'))
        self.assertEqual('3', self.read().headers['x-object-meta-a'])
        self.assertEqual('c/d', self.read().headers['content-type'])
        self.assertEqual({'o': 'c/d'}, self.rows())

    def test_container(self) -> None:
        self.assertEqual(204, self.ask('DELETE', None, at=2))
        self.assertEqual(409, self.ask('PUT', None, at=1))
        self.assertEqual(201, self.ask('PUT', None, at=4))
        self.assertEqual(409, self.ask('DELETE', None, at=3))


class Interleaved(_Case):
    """Requests that others overtake after their check."""

    def test_post_after_newer_post(self) -> None:
        self.ask('PUT', at=1)
        late = self.begin(
            'commit', 'POST', at=2, X_Object_Meta_A='2', Content_Type='a/b')
        self.ask('POST', at=3, X_Object_Meta_A='3')
        self.assertEqual(202, finish(late))
        self.assertEqual('3', self.read().headers['x-object-meta-a'])
        self.assertEqual('a/b', self.read().headers['content-type'])

    def test_post_after_newer_delete(self) -> None:
        self.ask('PUT', at=1)
        late = self.begin('commit', 'POST', at=2)
        self.ask('DELETE', at=3)
        self.assertEqual(202, finish(late))
        self.assertEqual(404, self.read().status)
        self.assertEqual({}, self.rows())

    def test_post_after_older_delete_waits_for_data(self) -> None:
        self.ask('PUT', at=1)
        late = self.begin('commit', 'POST', at=4, X_Object_Meta_A='4')
        self.ask('DELETE', at=2)
        self.assertEqual(202, finish(late))
        self.assertEqual(404, self.read().status)
        self.assertEqual(201, self.ask('PUT', at=3, X_Object_Meta_A='3'))
        self.assertEqual('4', self.read().headers['x-object-meta-a'])

    def test_delete_after_newer_put(self) -> None:
        self.ask('PUT', at=1)
        late = self.begin('commit', 'DELETE', at=2)
        self.ask('PUT', at=3)
        self.assertEqual(204, finish(late))
        self.assertEqual(200, self.read().status)
        self.assertIn('o', self.rows())

    def test_container_filled_while_it_is_deleted(self) -> None:
        late = self.begin('commit', 'DELETE', None, at=2)
        self.assertEqual(201, self.ask('PUT', at=3))
        self.assertEqual(409, finish(late))
        self.assertEqual(200, self.read().status)
        self.assertEqual(204, self.ask('DELETE', at=4))
        self.assertEqual(404, self.ask('HEAD', None))

    def test_row_comes_after_the_object(self) -> None:
        late = self.begin('listed', 'PUT')
        self.assertEqual(200, self.read().status)
        self.assertEqual({}, self.rows())
        finish(late)
        self.assertIn('o', self.rows())

    def test_two_threads_create_it(self) -> None:
        both_checked = threading.Barrier(2, timeout=10)

        def wait(step: str, request: fake_swift.Request) -> None:
            if step == 'commit':
                both_checked.wait()

        self.swift.on_step = wait
        statuses: list[int] = []
        threads = [
            threading.Thread(target=lambda: statuses.append(
                self.ask('PUT', If_None_Match='*')))
            for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual([201, 201], statuses)


class Steps(_Case):

    def steps(self, method: str, name: str | None = 'o', **rest: Any) -> str:
        steps: list[str] = []
        self.swift.on_step = lambda step, request: steps.append(step)
        self.ask(method, name, **rest)
        self.swift.on_step = None
        return ' '.join(steps)

    def test_writes(self) -> None:
        for method in ('PUT', 'POST', 'DELETE', 'DELETE'):
            self.assertEqual(
                'arrive check commit listed answer', self.steps(method))
        for method in ('PUT', 'DELETE'):
            self.assertEqual(
                'arrive check commit answer', self.steps(method, None))

    def test_reads(self) -> None:
        self.ask('PUT')
        for method in ('GET', 'HEAD'):
            self.assertEqual('arrive check answer', self.steps(method))

    def test_refusals(self) -> None:
        self.ask('PUT')
        self.assertEqual(
            'arrive check answer', self.steps('PUT', If_None_Match='*'))
        self.assertEqual('arrive check answer', self.steps('POST', 'p'))

    def test_bulk_delete(self) -> None:
        steps: list[str] = []
        self.swift.on_step = lambda step, request: steps.append(
            f'{request.method} {step}')
        self.swift.request(
            'POST', query={'bulk-delete': ''}, body=b'c/o\nc\n',
            headers={'Accept': 'application/json'})
        self.assertEqual(
            ['arrive', 'arrive', 'check', 'commit', 'listed', 'answer',
             'arrive', 'check', 'commit', 'answer', 'answer'],
            [step.removeprefix('POST ') for step in steps])


class LaggingListings(_Case):

    def setUp(self) -> None:
        super().setUp()
        self.swift.lag = True

    def test_rows_wait(self) -> None:
        self.ask('PUT')
        self.assertEqual({}, self.rows())
        self.swift.flush_listings()
        self.assertIn('o', self.rows())
        self.ask('DELETE')
        self.assertIn('o', self.rows())
        self.swift.flush_listings()
        self.assertEqual({}, self.rows())

    def test_updates_merge_in_any_order(self) -> None:
        self.ask('PUT', at=1, Content_Type='a/b')
        self.ask('POST', at=2, Content_Type='c/d')
        self.ask('DELETE', at=3)
        self.ask('PUT', at=4, Content_Type='e/f')
        self.ask('POST', at=5)
        self.swift.pending.reverse()
        self.swift.flush_listings()
        self.assertEqual({'o': 'e/f'}, self.rows())

    def test_old_updates_lose(self) -> None:
        self.ask('PUT', at=1)
        late = list(self.swift.pending)
        self.ask('DELETE', at=2)
        self.swift.flush_listings()
        self.swift.pending += late
        self.swift.flush_listings()
        self.assertEqual({}, self.rows())

    def test_container_that_lists_nothing_yet_can_be_deleted(self) -> None:
        self.ask('PUT')
        self.assertEqual(204, self.ask('DELETE', None))
        self.assertEqual(404, self.read().status)
        self.swift.flush_listings()
        self.assertEqual(200, self.read().status)


class Expirer(_Case):

    def test_deletes_what_expired(self) -> None:
        self.ask('PUT', 'o', X_Delete_After='5')
        self.ask('PUT', 'p', X_Delete_After='6')
        self.now += 5
        self.assertEqual(404, self.read().status)
        self.assertEqual(['o', 'p'], list(self.rows()))
        self.swift.expire()
        self.assertEqual(['p'], list(self.rows()))
        self.assertEqual(200, self.read('p').status)

    def test_leaves_what_was_written_since(self) -> None:
        self.ask('PUT', X_Delete_After='5')
        self.now += 6
        self.ask('PUT', If_None_Match='*')
        self.swift.expire()
        self.assertEqual(200, self.read().status)

    def test_may_delete_what_was_kept_at_the_last_moment(self) -> None:
        self.ask('PUT', X_Delete_After='5')
        late = self.begin('commit', 'POST', at=4)
        self.now += 5
        self.swift.expire()
        self.assertEqual(202, finish(late))
        self.assertEqual(404, self.read().status)

    def test_its_requests_are_not_recorded(self) -> None:
        self.ask('PUT', X_Delete_After='5')
        self.now += 5
        self.swift.expire()
        self.assertEqual(1, len(self.swift.requests))


class Faults(_Case):

    def strike(
        self, number: int, when: fake_swift.When, outcome: int | Exception
    ) -> fake_swift.Fault:
        fault = fake_swift.Fault(number, when, outcome)
        self.swift.faults = [fault]
        return fault

    def test_before(self) -> None:
        fault = self.strike(2, 'before', 503)
        self.assertEqual(201, self.ask('PUT', 'a'))
        self.assertEqual(503, self.ask('PUT', 'b'))
        self.assertTrue(fault.fired)
        self.assertEqual(201, self.ask('PUT', 'c'))
        self.assertEqual(['a', 'c'], list(self.rows()))

    def test_after(self) -> None:
        self.strike(2, 'after', TimeoutError())
        self.assertEqual(201, self.ask('PUT', 'a'))
        self.assertRaises(TimeoutError, self.ask, 'PUT', 'b')
        self.assertEqual(['a', 'b'], list(self.rows()))

    def test_late(self) -> None:
        self.strike(1, 'late', TimeoutError())
        self.assertRaises(TimeoutError, self.ask, 'PUT', 'a')
        self.assertEqual({}, self.rows())
        self.swift.deliver()
        self.assertEqual(['a'], list(self.rows()))

    def test_only_what_matches(self) -> None:
        self.swift.faults = [fake_swift.Fault(
            1, 'before', 429, lambda request: request.method == 'POST')]
        self.assertEqual(201, self.ask('PUT'))
        self.assertEqual(429, self.ask('POST'))
        self.assertEqual(202, self.ask('POST'))

    def test_too_late_to_fire(self) -> None:
        fault = self.strike(2, 'before', 503)
        self.ask('PUT')
        self.assertFalse(fault.fired)

    def test_struck_requests_are_recorded(self) -> None:
        self.strike(1, 'before', 503)
        self.ask('PUT')
        self.assertEqual(1, len(self.swift.requests))


class Others(_Case):

    def test_stamps_increase_while_the_clock_stands(self) -> None:
        self.ask('PUT', body=b'1')
        self.assertEqual(201, self.ask('PUT', body=b'2'))
        self.assertEqual(b'2', self.read().body)

    def test_requests_are_recorded(self) -> None:
        self.ask('PUT', X_Object_Meta_A='1')
        (request,) = self.swift.requests
        self.assertEqual(
            ('PUT', 'c', 'o'),
            (request.method, request.container, request.name))
        self.assertEqual({'x-object-meta-a': '1'}, request.headers)

    def test_without_bulk_delete(self) -> None:
        self.ask('PUT')
        self.swift.bulk_delete = False
        answer = self.swift.request(
            'POST', query={'bulk-delete': ''}, body=b'c/o')
        self.assertEqual(204, answer.status)
        self.assertEqual(200, self.read().status)
        self.assertNotIn('bulk_delete', json.loads(self.swift.info().body))

    def test_what_is_not_modelled(self) -> None:
        for method, container, name in (
            ('POST', 'c', None), ('COPY', 'c', 'o'), ('POST', None, None),
            ('GET', 'c', None),
        ):
            self.assertRaises(
                NotImplementedError,
                self.swift.request, method, container, name)

    def test_what_would_address_something_else(self) -> None:
        for container, name in (('', None), ('a/b', None), ('c', '')):
            self.assertRaises(
                ValueError, self.swift.request, 'PUT', container, name)
