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
"""Messages as lines, and from store to store."""

import itertools
import json
from typing import Any
from unittest import mock
import uuid

import ddt
import fixtures
from oslo_utils import timeutils
import testtools
from zaqar.storage import errors
from zaqar.storage.swift import driver as swift_driver

from marconi_swift import names
from marconi_swift.manage import portable
from marconi_swift.manage import sources
from tests.fixtures import clock
from tests.unit import test_claims

_CLIENT = str(uuid.uuid4())


@ddt.ddt
class TestLines(testtools.TestCase):

    @ddt.data(
        {}, 0, '', None, [], 'zwei\nZeilen\u2028\x00', b'', b'\xff\x00',
        {'a': [1.5, None, {'ü': '\ud800'}]})
    def test_say_all_of_a_message(self, body: Any) -> None:
        message = portable.Message(
            body=body, ttl=300, left=200, delay=7, client=_CLIENT, claims=2,
            id='x', created=1700000000)

        line = message.line()

        self.assertEqual(1, len(line.splitlines()))
        self.assertEqual(message, portable.Message.parse(line))

    def test_leave_out_what_says_nothing(self) -> None:
        message = portable.Message(body=None, ttl=60, left=0)

        self.assertEqual(
            {'ttl': 60, 'left': 0, 'body': None}, json.loads(message.line()))
        self.assertEqual(message, portable.Message.parse(message.line()))

    @ddt.data(
        ('', ''), ('[]', 'no JSON object'), ('{"body": 1}', 'ttl'),
        ('{"body": 1, "ttl": -1, "left": 1}', 'ttl is no number'),
        ('{"body": 1, "ttl": 1, "left": true}', 'left is no number'),
        ('{"body": 1, "ttl": 1, "left": 1, "client": 5}', 'client'),
        ('{"body": 1, "ttl": 1, "left": 1, "colour": 1}', 'colour'),
        ('{"body_base64": "*", "ttl": 1, "left": 1}', ''))
    @ddt.unpack
    def test_that_are_no_messages_are_refused(
        self, line: str, why: str,
    ) -> None:
        error = self.assertRaises(
            portable.NotPortable, portable.Message.parse, line)

        self.assertIn(why, str(error))


class TestOthers(testtools.TestCase):
    """Messages that other drivers of Zaqar's list."""

    def setUp(self) -> None:
        super().setUp()
        self.theirs = mock.Mock()

    def listed(self) -> list[Any]:
        return list(portable.listed(self.theirs, 'q', 'p', limit=10))

    def lives(self, claim: str | None) -> bool:
        return portable.lives(self.theirs, 'q', 'p')(claim)

    def test_are_held_by_claims_that_are_not_over(self) -> None:
        get = self.theirs.claim_controller.get

        self.assertFalse(self.lives(None))
        get.assert_not_called()
        self.assertTrue(self.lives('claim'))
        get.assert_called_once_with('q', 'claim', project='p')
        # The latter as zaqar.storage.redis.claims does.
        for get.side_effect in (
                errors.ClaimDoesNotExist('claim', 'q', 'p'), TypeError):
            self.assertFalse(self.lives('claim'))
        get.side_effect = errors.ConnectionError
        self.assertRaises(errors.ConnectionError, self.lives, 'claim')

    def test_are_asked_once_for_each_claim(self) -> None:
        lives = portable.lives(self.theirs, 'q', 'p')

        for claim in 'abab':
            self.assertTrue(lives(claim))

        self.assertEqual(2, self.theirs.claim_controller.get.call_count)

    def test_are_not_asked_for_more_than_swift_lists(self) -> None:
        self.theirs = mock.Mock(spec=swift_driver.DataDriver)
        asked = []

        def list_swift(*_: Any, limit: int, **__: Any) -> Any:
            asked.append(limit)
            # As zaqar.storage.swift.messages does.
            if limit * 2 > 10000:
                raise OSError('412 Maximum limit is 10000')
            return iter([iter([]), None])

        self.theirs.message_controller.list = list_swift

        self.assertEqual([], self.listed())
        self.assertEqual([10, 100, 1000, 5000], asked)

    def test_are_none_where_nothing_was_ever_posted(self) -> None:
        def fail() -> Any:
            raise errors.QueueDoesNotExist('q', 'p')
            yield

        self.theirs.message_controller.list = lambda *_, **__: iter([fail()])

        self.assertEqual([], self.listed())


class TestStores(test_claims.ClaimTest):

    def setUp(self) -> None:
        super().setUp()
        self.data = self.drivers.data
        self.queues.create('copy', project='p')

    def read(self, queue: str = 'q', **kwargs: Any) -> list[portable.Message]:
        return list(portable.read(self.data, queue, 'p', **kwargs))

    def write(self, messages: list[portable.Message]) -> list[int]:
        return list(portable.write(self.data, 'copy', 'p', messages))

    def test_tell_everything_of_a_message(self) -> None:
        [posted] = self.messages.post(
            'q', [{'ttl': 100, 'body': 'b', 'delay': 30}],
            client_uuid=_CLIENT, project='p')
        self.pass_time(10)

        [message] = self.read()

        self.assertEqual(
            portable.Message(
                body='b', ttl=100, left=90, delay=20, client=_CLIENT,
                id=posted, created=int(names.posted_at(posted))), message)

    def test_tell_of_claimed_messages_but_no_expired_ones(self) -> None:
        self.post('over', ttl=60)
        self.post('held', 'free', ttl=300)
        self.pass_time(61)
        _, [held] = self.claim(limit=1)

        found = self.read()

        self.assertEqual([('held', 1), ('free', 0)],
                         [(message.body, message.claims)
                          for message in found])
        self.assertEqual(['free'], [
            message.body for message in self.read(after=held['id'])])

    def test_are_told_as_much_as_they_keep(self) -> None:
        self.post('a', ttl=300)
        self.post('b', ttl=300, delay=50)
        self.claim(limit=1)
        self.pass_time(100)
        before = self.swift.stored()
        read = self.read()
        self.assertEqual(before, self.swift.stored())

        self.assertEqual([1, 1], self.write(read))

        copies = self.read('copy')
        self.assertEqual([
            (each.body, each.left, each.delay, each.client, each.claims)
            for each in read],
            [(each.body, each.ttl, each.delay, each.client, each.claims)
             for each in copies])

    def test_are_asked_for_a_page_at_a_time(self) -> None:
        messages = [portable.Message(body=number, ttl=300, left=300)
                    for number in range(portable.PAGE * 2 + 1)]

        pages = portable.write(self.data, 'copy', 'p', iter(messages))
        self.assertEqual(portable.PAGE, next(pages))

        self.assertEqual(portable.PAGE, len(self.read('copy')))
        self.assertEqual([portable.PAGE, 1], list(pages))
        self.swift.requests.clear()
        first = list(itertools.islice(
            portable.read(self.data, 'copy', 'p'), 1))
        self.assertEqual(0, first[0].body)
        self.assertEqual(portable.PAGE + 1, len(self.swift.requests))


class _OtherStore:
    """Lists as Zaqar's redis driver: by places of ids, gone ones included."""

    def __init__(self, *ids: str | None) -> None:
        self.ids = ids
        self.message_controller = self
        self.asked: list[dict[str, Any]] = []
        #: By claims that are called as they are.
        self.claimed = False
        self.claim_controller = mock.Mock()

    def list(self, queue: str, **kwargs: Any) -> Any:
        self.asked.append(kwargs)
        marker = kwargs['marker']
        rank = self.ids.index(marker) if marker in self.ids else 0
        start = rank + 1 if rank else 0
        page = [name for name in self.ids[start:start + kwargs['limit']]
                if name is not None]
        yield iter([
            {'id': name, 'age': 40, 'ttl': 100, 'body': name,
             'claim_id': name if self.claimed else None, 'claim_count': 3}
            for name in page])
        yield page[-1] if page else None


class _Aging(_OtherStore):
    """One whose messages were posted 40 seconds before it was made."""

    def __init__(self, *ids: str | None) -> None:
        super().__init__(*ids)
        self._posted = timeutils.utcnow_ts() - 40

    def list(self, queue: str, **kwargs: Any) -> Any:
        listed, marker = super().list(queue, **kwargs)
        age = timeutils.utcnow_ts() - self._posted
        yield iter([{**message, 'age': age} for message in listed])
        yield marker


class TestOtherStores(testtools.TestCase):

    def read(self, store: _OtherStore, after: str = '') -> list[str]:
        return [message.id for message in portable.read(
            store, 'q', 'p', after)]

    def test_tell_less(self) -> None:
        store = _OtherStore('a')

        [message] = portable.read(store, 'q', 'p')

        self.assertEqual((100, 60, 0, None, 3), (
            message.ttl, message.left, message.delay, message.client,
            message.claims))
        for asked in store.asked:
            self.assertTrue(asked['include_claimed'] and asked['echo']
                            and asked['include_delayed'])

    def test_are_read_once_to_the_end(self) -> None:
        self.useFixture(fixtures.MonkeyPatch(
            'marconi_swift.manage.portable.PAGE', 2))
        for ids in ('', 'a', 'ab', 'abc', 'abcd'):
            store = _OtherStore(*ids)
            self.assertEqual(list(ids), [
                message['id'] for message, _ in portable.listed(
                    store, 'q', 'p', limit=2)])
            self.assertEqual(list(ids[1:]), self.read(store, ids[:1])
                             if ids else [])

    def test_are_read_past_many_that_are_gone(self) -> None:
        for count in (3000, 200_000):
            gone = [None] * count

            self.assertEqual(['a', 'b'], self.read(
                _OtherStore(*gone, 'a', *gone, 'b', *gone)))

    def test_tell_which_messages_a_claim_holds(self) -> None:
        store = _OtherStore('a', 'b')
        store.claim_controller.get.side_effect = [
            errors.ClaimDoesNotExist('a', 'q', 'p'), ({}, [])]
        store.claimed = True

        [page] = sources.pages(store, 'q', 'p')

        self.assertEqual([False, True], [each.claimed for each in page])

    def test_tell_when_a_message_was_posted_however_late_it_is_used(
        self,
    ) -> None:
        time = self.useFixture(clock.Clock())
        self.useFixture(fixtures.MonkeyPatch(
            'marconi_swift.manage.portable.PAGE', 2))
        # Their pages are [a], [b, c] and [d].
        store, created = _Aging(None, *'abcd'), []

        for page in sources.pages(store, 'q', 'p'):
            time.sleep(60)
            created += [each.message and each.message.created
                        for each in page]

        self.assertEqual([clock.START - 40] * 4, created)
