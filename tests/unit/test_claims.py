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
"""What claims promise, where Zaqar's own tests do not look."""

import collections
from collections.abc import Sequence
import dataclasses
import datetime
import functools
import itertools
from typing import Any
import uuid

import fixtures
from oslo_utils import fixture as oslo_fixture
from zaqar.storage import errors

from marconi_swift import names
from marconi_swift import notices
from marconi_swift import records
from marconi_swift.data import listing
from marconi_swift.store import errors as store_errors
from tests.fixtures import conf
from tests.fixtures import fake_swift
from tests.unit import test_messages

_TTL, _GRACE = 60, 30


class ClaimTest(test_messages.QueueTest):

    def setUp(self) -> None:
        super().setUp()
        self.claims = self.drivers.data.claim_controller
        self.clock = self.useFixture(oslo_fixture.TimeFixture(
            datetime.datetime(2033, 5, 18)))
        self.swift.clock = records.now
        self.made = itertools.count(1)
        self.useFixture(fixtures.MonkeyPatch(
            'marconi_swift.names.uuid_utils.uuid7', self.make_id))

    def make_id(self) -> uuid.UUID:
        """Make an id by the clock of the test."""
        first = uuid.UUID(names.first_id(records.now()))
        number = next(self.made)
        # What comes before the digits that are random, and what comes after.
        return uuid.UUID(int=first.int + (number << 32) + number)

    def claim(
        self, limit: int = 10, ttl: int = _TTL,
    ) -> tuple[str | None, list[dict[str, Any]]]:
        claim_id, messages = self.claims.create(
            'q', {'ttl': ttl, 'grace': _GRACE}, project='p', limit=limit)
        return claim_id, list(messages)

    def delete(self, message_id: Any, claim: Any = None) -> None:
        self.messages.delete('q', message_id, project='p', claim=claim)

    def get(self, message_id: str) -> dict[str, Any]:
        message: dict[str, Any] = self.messages.get(
            'q', message_id, project='p')
        return message

    def pass_time(self, seconds: float) -> None:
        self.clock.advance_time_seconds(seconds)

    def fail_slowly(
        self, method: str, name: str, controller: Any,
    ) -> list[fake_swift.Request]:
        """Have one request fail when the claim is over, and none after it.

        :returns: what will be all such requests.
        """
        self.useFixture(fixtures.MonkeyPatch('time.monotonic', records.now))
        for store in (self.drivers.data.account.store, controller._store):
            store._policy = dataclasses.replace(
                store._policy, retries=5, time_limit=1000)
        sent: list[fake_swift.Request] = []

        def slow(request: fake_swift.Request) -> bool:
            if (request.method, request.name) != (method, name):
                return False
            sent.append(request)
            self.pass_time(_TTL)
            return True

        self.swift.faults.append(fake_swift.Fault(1, 'before', 503, slow))
        return sent

    def win_the_second_late(self) -> conf.FakeDrivers:
        """Drivers of a queue of two, one of which is won when it is too late.

        One after the other, so that the first is won in time.
        """
        self.useFixture(fixtures.MonkeyPatch('time.monotonic', records.now))
        drivers = self.useFixture(conf.FakeDrivers(retries=0, fan_out=1))
        drivers.swift.clock = records.now
        drivers.control.queue_controller.create('q', project='p')
        drivers.data.message_controller.post('q', [
            {'ttl': 600, 'body': number} for number in range(2)], None,
            project='p')
        written = itertools.count(1)

        def on_step(step: str, request: fake_swift.Request) -> None:
            if (step, request.method) == ('arrive', 'POST') and (
                    next(written) == 2):
                self.pass_time(
                    drivers.data.account.settings.claim_attempt_limit)

        drivers.swift.on_step = on_step
        return drivers

    @staticmethod
    def is_for(method: str, name: str, request: fake_swift.Request) -> bool:
        return (request.method, request.name) == (method, name)

    def stats(self) -> tuple[int, int]:
        stats = self.queues.stats('q', project='p')['messages']
        return stats['free'], stats['claimed']


class TestDelete(ClaimTest):
    """Every row of the table of who may delete what."""

    def setUp(self) -> None:
        super().setUp()
        [self.held, self.other, self.free] = self.post(1, 2, 3)
        self.mine, _ = self.claim(limit=1)
        self.theirs, _ = self.claim(limit=1)

    def refused(
        self, error: type[Exception], message_id: str, claim: Any,
    ) -> None:
        self.assertRaises(error, self.delete, message_id, claim)
        self.get(message_id)

    def test_of_what_is_not_there_is_silent(self) -> None:
        for claim in (None, self.mine, 'malformed', names.new_message_id()):
            for message_id in (names.new_message_id(), 'malformed', '', 7):
                self.delete(message_id, claim)

    def test_of_a_free_message(self) -> None:
        self.refused(errors.MessageNotClaimed, self.free, self.mine)
        self.delete(self.free)
        self.assertRaises(errors.MessageDoesNotExist, self.get, self.free)

    def test_of_a_claimed_message(self) -> None:
        self.refused(errors.MessageIsClaimed, self.held, None)
        self.refused(errors.MessageNotClaimedBy, self.held, self.theirs)
        self.delete(self.held, self.mine)
        self.assertRaises(errors.MessageDoesNotExist, self.get, self.held)

    def test_with_no_claim_at_all(self) -> None:
        for claim in ('malformed', '', names.new_message_id(), 7):
            for message_id in (self.held, self.free):
                self.refused(errors.ClaimDoesNotExist, message_id, claim)

    def test_with_no_claim_of_what_nobody_won(self) -> None:
        """A claimer that died leaves its name, and its claim no record."""
        self.swift.faults.append(fake_swift.Fault(
            1, 'before', store_errors.Unanswered('died'),
            lambda request: (request.name or '').startswith('claim/')))
        self.assertRaises(
            errors.ConnectionError, self.claim, limit=1, ttl=3600)
        settings = self.drivers.data.account.settings
        bound = 2 * settings.claim_attempt_limit + settings.clock_skew

        self.pass_time(bound - 1)
        self.refused(errors.MessageIsClaimed, self.free, None)
        self.pass_time(2)

        self.delete(self.free)
        self.assertRaises(errors.MessageDoesNotExist, self.get, self.free)

    def test_with_no_claim_of_what_a_claim_holds_for_long(self) -> None:
        self.delete(self.free)
        [posted] = self.post(1, ttl=7200)
        mine, _ = self.claim(limit=1, ttl=3600)
        self.pass_time(600)

        self.refused(errors.MessageIsClaimed, posted, None)

        # Somebody who lost to it wrote his name there, and died. Here,
        # nobody knows in which containers claims are.
        for until in (records.now() + 3600, records.now() - 1):
            self.blame(posted, names.new_message_id(), until)
            self.drivers.data.account.spread.known.clear()
            self.refused(errors.MessageIsClaimed, posted, None)
        self.claims.delete('q', mine, project='p')
        self.blame(posted, mine, records.now() + 3600)
        self.delete(posted)
        self.assertRaises(errors.MessageDoesNotExist, self.get, posted)

    def blame(
        self, message_id: str, claim: str | None, until: float,
    ) -> None:
        """Let a message say that a claim has it."""
        store = self.drivers.data.account.store
        message = listing.head(store, self.container, message_id)
        assert message and claim
        store.annotate(
            names.home(self.container, message_id), message_id,
            delete_at=message.delete_at,
            content_type=dataclasses.replace(message, hold=records.Hold(
                claim, int(until))).content_type())

    def test_with_a_claim_that_ends_while_it_is_looked_for(self) -> None:
        def slow(request: fake_swift.Request) -> bool:
            if (request.method, request.name) == (
                    'GET', f'claim/{self.mine}'):
                self.pass_time(_TTL)
            return False

        self.swift.faults.append(fake_swift.Fault(1, 'before', 503, slow))

        self.refused(errors.ClaimDoesNotExist, self.held, self.mine)

    def test_with_a_claim_that_ends_while_it_is_deleted(self) -> None:
        """It is not sent again when the message may be another's."""
        self.fail_slowly('DELETE', self.held, self.messages)

        self.refused(errors.ConnectionError, self.held, self.mine)

    def test_with_a_claim_that_was_released(self) -> None:
        self.claims.delete('q', self.mine, project='p')
        self.refused(errors.ClaimDoesNotExist, self.held, self.mine)

    def test_with_a_claim_that_expired(self) -> None:
        self.pass_time(_TTL)
        self.refused(errors.ClaimDoesNotExist, self.held, self.mine)
        self.delete(self.held)

    def test_shrinks_the_claim_and_the_counts(self) -> None:
        self.assertEqual((1, 2), self.stats())

        self.delete(self.held, self.mine)

        self.assertEqual((1, 1), self.stats())
        self.assertEqual([], list(self.claims.get(
            'q', self.mine, project='p')[1]))


class TestBulkDelete(ClaimTest):

    def setUp(self) -> None:
        super().setUp()
        self.ids = self.post(1, 2, 3)
        self.mine, _ = self.claim(limit=1)
        self.theirs, _ = self.claim(limit=1)

    def bulk_delete(self, ids: list[str], *claims: Any) -> None:
        self.messages.bulk_delete('q', ids, project='p', claim_ids=claims)

    def test_with_a_claim_that_ends_meanwhile_is_not_sent_again(self) -> None:
        self.fail_slowly('DELETE', self.ids[0], self.messages)

        self.assertRaises(
            errors.ConnectionError, self.bulk_delete, self.ids[:1], self.mine)

        self.get(self.ids[0])

    def test_with_a_claim_that_ends_meanwhile_goes_no_further(self) -> None:
        """What others may be given by then, they lose."""
        self.useFixture(fixtures.MonkeyPatch('time.monotonic', records.now))
        drivers = self.useFixture(conf.FakeDrivers(fan_out=1))
        drivers.swift.clock = records.now
        drivers.control.queue_controller.create('q', project='p')
        messages = drivers.data.message_controller
        posted = messages.post('q', [
            {'ttl': 600, 'body': number} for number in range(3)], None,
            project='p')
        claim, _ = drivers.data.claim_controller.create(
            'q', {'ttl': _TTL, 'grace': _GRACE}, project='p')

        def on_step(step: str, request: fake_swift.Request) -> None:
            if (step, request.method) == ('arrive', 'DELETE'):
                self.pass_time(_TTL)

        drivers.swift.on_step = on_step
        self.assertRaises(
            errors.ConnectionError, messages.bulk_delete, 'q', posted,
            project='p', claim_ids=[claim])

        self.assertEqual(2, len(list(messages.bulk_get(
            'q', posted, project='p'))))

    def test_checks_all_claims_before_it_deletes_anything(self) -> None:
        for error, ids, claims in (
                (errors.MessageNotClaimed, self.ids, (self.mine, self.theirs)),
                (errors.ClaimDoesNotMatch, self.ids[:2], (self.mine,)),
                (errors.ClaimDoesNotMatch, self.ids[:2], ('malformed',))):
            self.assertRaises(error, self.bulk_delete, ids, *claims)
            self.assertEqual([1, 2, 3], self.bodies(include_claimed=True))

    def test_with_a_claim_that_expired_is_refused(self) -> None:
        ids = self.post(4, ttl=600)
        claim, _ = self.claim()
        self.pass_time(_TTL + 1)

        self.assertRaises(
            errors.MessageNotClaimed, self.bulk_delete, ids, claim)
        self.assertEqual(ids, [self.get(name)['id'] for name in ids])

    def test_takes_several_claims(self) -> None:
        self.bulk_delete([*self.ids[:2], 'malformed', names.new_message_id()],
                         self.theirs, self.mine)

        self.assertEqual([3], self.bodies(include_claimed=True))

    def test_of_all_that_a_claim_has_releases_it(self) -> None:
        [more] = self.post(4)
        several, _ = self.claim(limit=5)

        self.bulk_delete([self.ids[0], self.ids[2]], self.mine, several)

        self.assertRaises(errors.ClaimDoesNotExist, self.claims.get,
                          'q', self.mine, project='p')
        _, held = self.claims.get('q', several, project='p')
        self.assertEqual([more], [message['id'] for message in held])
        # As somebody does who got no answer.
        self.bulk_delete([self.ids[0]], self.mine)

    def test_without_claims_takes_claimed_ones(self) -> None:
        self.bulk_delete(self.ids)

        self.assertEqual((0, 0), self.stats())


class TestClaim(ClaimTest):

    def test_of_nothing_writes_nothing(self) -> None:
        self.post(1, delay=100)
        self.swift.requests.clear()

        self.assertEqual((None, []), self.claim())

        self.assertEqual(['GET'], [
            request.method for request in self.swift.requests])

    def test_that_is_none_is_not_renewed_for_any_time(self) -> None:
        for claim_id in ('malformed', names.new_message_id()):
            self.assertRaises(
                errors.ClaimDoesNotExist, self.claims.update, 'q', claim_id,
                {}, project='p')

    def test_of_a_missing_queue_is_empty(self) -> None:
        claim_id, messages = self.claims.create(
            'none', {'ttl': 60, 'grace': 60}, project='p')

        self.assertIsNone(claim_id)
        self.assertEqual([], list(messages))

    def test_leaves_a_message_all_that_it_had(self) -> None:
        self.drivers.conf.set_override('enable_checksum', True)
        [posted] = self.messages.post(
            'q', [{'ttl': 300, 'body': {'a': 1}}], client_uuid='the-poster',
            project='p')
        before = self.get(posted)

        claim_id, [claimed] = self.claim()
        self.pass_time(7)
        self.claims.update('q', claim_id, {'ttl': 60, 'grace': 60},
                           project='p')
        self.claims.delete('q', claim_id, project='p')
        after = self.get(posted)

        self.assertEqual({**before, 'claim_id': claim_id, 'claim_count': 1},
                         claimed)
        self.assertEqual({**before, 'claim_count': 1, 'age': 7}, after)
        hidden = self.messages.list('q', project='p',
                                    client_uuid='the-poster')
        self.assertEqual([], list(next(hidden)))

    def test_extends_lives_that_would_end_before_it(self) -> None:
        short, long = self.post(1, ttl=70)[0], self.post(2, ttl=1000)[0]
        self.pass_time(50)

        _claim_id, _ = self.claim(ttl=100)

        self.assertEqual(130, self.get(short)['ttl'])
        self.assertEqual(1000, self.get(long)['ttl'])
        self.pass_time(129)
        self.assertEqual(179, self.get(short)['age'])
        self.pass_time(1)
        self.assertRaises(errors.MessageDoesNotExist, self.get, short)

    def test_is_renewed_from_the_moment_of_renewal(self) -> None:
        [posted] = self.post(1, ttl=70)
        claim_id, _ = self.claim()
        self.pass_time(59)

        self.claims.update('q', claim_id, {'ttl': 200, 'grace': 50},
                           project='p')

        self.pass_time(199)
        claim, [message] = self.claims.get('q', claim_id, project='p')
        self.assertEqual({'id': claim_id, 'ttl': 200, 'age': 199}, claim)
        self.assertEqual(250, message['ttl'])
        self.assertEqual((None, []), self.claim())
        self.delete(posted, claim_id)

    def test_whose_renewal_died_is_over_when_its_record_is(self) -> None:
        [posted] = self.post(1, ttl=600)
        claim_id, _ = self.claim()
        # It is settled, so that others look whether it is recorded.
        self.pass_time(30)
        self.swift.faults.append(fake_swift.Fault(
            1, 'before', store_errors.Unanswered('died'),
            lambda request: request.method == 'POST' and bool(
                request.name and request.name.startswith('claim/'))))
        self.assertRaises(
            errors.ConnectionError, self.claims.update, 'q', claim_id,
            {'ttl': 12 * 3600, 'grace': 60}, project='p')
        self.assertEqual((None, []), self.claim())

        # Its gates say that it lasts, for as long as there is a record.
        self.pass_time(_TTL + records.KEEP_CLAIM + 1)

        self.assertEqual([posted], [
            message['id'] for message in self.claim()[1]])

    def test_that_ends_while_it_is_released_frees_nothing_later(self) -> None:
        """Somebody else may have its messages by then."""
        [posted] = self.post(1, ttl=600)
        claim, _ = self.claim()
        written = self.fail_slowly('POST', posted, self.claims)

        self.assertRaises(
            errors.ConnectionError, self.claims.delete, 'q', claim,
            project='p')

        self.assertEqual(1, len(written))

    def test_that_is_empty_ends_as_early_as_it_was_renewed_for(self) -> None:
        [posted] = self.post(1)
        claim_id, _ = self.claim()
        self.claims.update('q', claim_id, {'ttl': 200, 'grace': 50},
                           project='p')
        self.delete(posted, claim_id)

        self.claims.update('q', claim_id, {'ttl': 60, 'grace': 50},
                           project='p')

        self.pass_time(60)
        self.assertRaises(errors.ClaimDoesNotExist, self.claims.get,
                          'q', claim_id, project='p')

    def test_that_was_renewed_frees_its_messages_when_released(self) -> None:
        self.post(1)
        claim_id, _ = self.claim()
        self.claims.update('q', claim_id, {'ttl': 200, 'grace': 50},
                           project='p')

        self.claims.delete('q', claim_id, project='p')

        self.swift.requests.clear()
        self.assertEqual(1, len(self.claim()[1]))
        self.assertEqual(['PUT', 'HEAD'], [
            request.method for request in self.swift.requests
            if (request.name or '').startswith('gate/')])

    def test_that_expired_frees_its_messages_by_all_clocks(self) -> None:
        self.post(1)
        self.claim()
        skew = self.drivers.data.account.settings.clock_skew

        self.pass_time(_TTL + skew - 1)
        self.assertEqual((None, []), self.claim())
        self.pass_time(1)

        self.assertEqual(1, len(self.claim()[1]))

    def test_that_expired_costs_two_requests_more_for_each_message(
        self,
    ) -> None:
        self.post(*range(10), ttl=3600)
        self.claim()
        for kept in (_TTL * 2, records.KEEP_GATE):
            self.pass_time(kept)
            self.swift.requests.clear()

            self.assertEqual(10, len(self.claim()[1]))

            # Who is named in the gate, and taking that out.
            self.assertEqual({
                # The listing of messages and that of claims, ten bodies, the
                # queue, and the record that is there for a while.
                'GET': 14 - (kept > _TTL * 2), 'HEAD': 20, 'DELETE': 10,
                'PUT': 11, 'POST': 10,
            }, collections.Counter(
                request.method for request in self.swift.requests))

    def test_wins_no_more_than_its_record_can_list(self) -> None:
        self.post(*range(120))

        self.assertEqual([100, 20], [
            len(self.claim(limit=500)[1]) for _ in range(2)])

    def test_takes_the_oldest_first(self) -> None:
        self.post(*range(30))

        self.assertEqual([list(range(start, start + 10))
                          for start in (0, 10, 20)],
                         [[message['body'] for message in self.claim()[1]]
                          for _ in range(3)])

    def test_of_other_claimers_records_is_never_shared(self) -> None:
        """A claimer that lost wrote its name to a message and died."""
        [posted] = self.post(1)
        winner, _ = self.claim()
        lost = names.new_message_id()
        stored = self.swift.request('GET', self.container, posted)
        self.swift.request('POST', self.container, posted, headers={
            'Content-Type': stored.headers['content-type'].replace(
                winner or '', lost),
            'X-Delete-At': stored.headers['x-delete-at']})
        self.assertEqual(lost, self.get(posted)['claim_id'])

        self.pass_time(_TTL - 1)

        self.assertEqual((None, []), self.claim())
        self.delete(posted, winner)

    def test_of_a_claimer_that_died_is_void_after_its_time(self) -> None:
        self.post(1, ttl=600)
        self.swift.faults.append(fake_swift.Fault(
            1, 'before', store_errors.Unanswered('died'),
            lambda request: (request.name or '').startswith('claim/')))
        self.assertRaises(errors.ConnectionError, self.claim)
        settings = self.drivers.data.account.settings
        bound = 2 * settings.claim_attempt_limit + settings.clock_skew

        self.pass_time(bound - 1)
        self.assertEqual((None, []), self.claim())
        self.pass_time(2)

        [message] = self.claim()[1]
        self.assertEqual(1, message['claim_count'])

    def test_that_was_recorded_but_not_answered_is_withdrawn(self) -> None:
        [posted] = self.post(1, ttl=7200)
        self.swift.faults.append(fake_swift.Fault(
            1, 'after', store_errors.Unanswered('lost'),
            lambda request: (request.name or '').startswith('claim/')))

        self.assertRaises(errors.ConnectionError, self.claim, ttl=3600)

        settings = self.drivers.data.account.settings
        self.pass_time(
            2 * settings.claim_attempt_limit + settings.clock_skew + 1)
        self.assertEqual(
            [posted], [message['id'] for message in self.claim()[1]])

    def test_that_was_given_up_stays_so_whatever_swift_does_late(
        self,
    ) -> None:
        [posted] = self.post(1, ttl=7200)
        self.swift.faults.append(fake_swift.Fault(
            1, 'late', store_errors.Unanswered('lost'),
            lambda request: (request.name or '').startswith('claim/')))
        self.assertRaises(errors.ConnectionError, self.claim, ttl=3600)

        self.swift.deliver()

        settings = self.drivers.data.account.settings
        self.pass_time(
            2 * settings.claim_attempt_limit + settings.clock_skew + 1)
        self.assertEqual(
            [posted], [message['id'] for message in self.claim()[1]])

    def test_whose_record_may_be_on_one_replica_is_confirmed(self) -> None:
        """One that had the first try refuses the second for all."""
        drivers = self.useFixture(conf.FakeDrivers(retries=1))
        drivers.swift.clock = records.now
        drivers.control.queue_controller.create('q', project='p')
        drivers.data.message_controller.post(
            'q', [{'ttl': 7200, 'body': 1}], None, project='p')

        def of_record(method: str, request: fake_swift.Request) -> bool:
            return request.method == method and (
                request.name or '').startswith('claim/')

        def claim() -> str | None:
            return drivers.data.claim_controller.create(
                'q', {'ttl': 3600, 'grace': _GRACE}, project='p')[0]

        def lose(*replies: tuple[int, int]) -> None:
            drivers.swift.faults[:] = [
                fake_swift.Fault(1, 'after', 503, functools.partial(
                    of_record, 'PUT')),
                *(fake_swift.Fault(number, 'before', status, functools.partial(
                    of_record, 'POST')) for number, status in replies)]

        lose((1, 404), (2, 404))
        self.assertRaises(errors.ConnectionError, claim)

        self.pass_time(60)
        lose()
        self.assertIsNotNone(claim())
        self.assertEqual(['PUT', 'PUT', 'POST'], [
            request.method for request in drivers.swift.requests[-3:]])

    def test_that_took_too_long_is_not_recorded(self) -> None:
        """Who died at that would hide the messages for its ttl."""
        drivers = self.win_the_second_late()

        self.assertIsNone(drivers.data.claim_controller.create(
            'q', {'ttl': _TTL, 'grace': _GRACE}, project='p')[0])

        self.assertEqual([], [
            request.name for request in drivers.swift.requests
            if (request.name or '').startswith('claim/')])

    def test_keeps_what_it_won_before_a_listing_failed(self) -> None:
        self.post(*range(150))
        # So the next listing is of a hundred.
        self.claim(limit=1)
        gone = fake_swift.Fault(
            1, 'before', 404, lambda request: (
                request.method == 'GET' and request.name is not None
                and request.container == self.container))
        failed = fake_swift.Fault(
            2, 'before', 400, lambda request: (
                request.method == 'GET' and request.name is None
                and request.container == self.container))
        self.swift.faults += [gone, failed]

        messages = self.claim(limit=99)[1]

        self.assertTrue(failed.fired)
        self.assertEqual(98, len(messages))

    def test_that_is_released_by_a_slower_clock_frees_its_messages(
        self,
    ) -> None:
        """Swift drops a write that it takes for an older one."""
        [posted] = self.post(1, ttl=600)
        claim, _ = self.claim()
        self.swift.faults.append(fake_swift.Fault(
            1, 'before', 409,
            functools.partial(self.is_for, 'POST', posted)))

        self.claims.delete('q', claim, project='p')

        self.assertEqual(
            [posted], [message['id'] for message in self.claim()[1]])

    def test_that_meets_a_newer_message_leaves_no_name(self) -> None:
        [posted] = self.post(1, ttl=600)
        self.swift.faults.append(fake_swift.Fault(
            1, 'before', 409,
            functools.partial(self.is_for, 'POST', posted)))

        self.assertEqual((None, []), self.claim())

        self.assertEqual(
            [posted], [message['id'] for message in self.claim()[1]])

    def test_that_is_withdrawn_late_holds_up_nobody_for_its_ttl(
        self,
    ) -> None:
        [posted] = self.post(1, ttl=7200)
        claim, _ = self.claim(ttl=3600)
        settings = self.drivers.data.account.settings
        self.pass_time(
            2 * settings.claim_attempt_limit + settings.clock_skew + 1)
        # Here others are known to have it.
        self.assertEqual((None, []), self.claim())

        self.drivers.data.account.store.delete(
            names.claims('marconi', 'p', 'q'), f'claim/{claim}')

        self.pass_time(61)
        self.assertEqual(
            [posted], [message['id'] for message in self.claim()[1]])

    def test_that_cannot_be_withdrawn_is_told_of(self) -> None:
        self.post(1, ttl=7200)
        for number, when, outcome in (
                (1, 'after', store_errors.Unanswered('lost')),
                (2, 'before', 405)):
            self.swift.faults.append(fake_swift.Fault(
                number, when, outcome,
                lambda request: (request.name or '').startswith('claim/')))
        log = self.useFixture(fixtures.FakeLogger())

        self.assertRaises(errors.ConnectionError, self.claim, ttl=3600)

        self.assertIn('claim 1 messages for 3600 seconds', log.output)

    def test_of_a_claimer_that_died_early_hides_nothing_for_long(
        self,
    ) -> None:
        self.leave_a_void_gate()

        # The first time that anybody looks: it stands in the gate alone.
        self.assertEqual(1, len(self.claim()[1]))

    def test_of_a_claimer_that_died_frees_it_while_one_is_taken(
        self,
    ) -> None:
        self.check_is_not_hidden_while_others_are_posted(1)

    def test_of_a_claimer_that_died_frees_it_while_several_are_taken(
        self,
    ) -> None:
        self.check_is_not_hidden_while_others_are_posted(3)

    def leave_a_void_gate(self) -> str:
        """Post a message, and try for it, and die, longer ago than counts."""
        [posted] = self.post(1, ttl=600)
        self.swift.faults.append(fake_swift.Fault(
            1, 'before', store_errors.Unanswered('died'),
            lambda request: request.method == 'GET' and bool(request.name)))
        self.assertRaises(errors.ConnectionError, self.claim)
        settings = self.drivers.data.account.settings
        self.pass_time(
            2 * settings.claim_attempt_limit + settings.clock_skew + 1)
        # Until something was answered, one request at a time is sent.
        self.assertTrue(self.drivers.data.is_alive())
        return posted

    def check_is_not_hidden_while_others_are_posted(self, limit: int) -> None:
        self.useFixture(fixtures.MonkeyPatch('time.monotonic', records.now))
        hidden = self.leave_a_void_gate()

        given: list[str] = []
        for _ in range(20):
            self.post(*range(limit * 4), ttl=600)
            messages = self.claim(limit, ttl=600)[1]
            # So nobody looks behind shut gates for want of others.
            self.assertNotEqual([], messages)
            given += [message['id'] for message in messages]
            self.pass_time(1)

        self.assertIn(hidden, given)

    def test_wins_what_a_slow_swift_leaves_time_for(self) -> None:
        self.useFixture(fixtures.MonkeyPatch('time.monotonic', records.now))
        # One request after the other, so that the test can count seconds.
        drivers = self.useFixture(conf.FakeDrivers(fan_out=1))
        drivers.swift.clock = records.now
        drivers.control.queue_controller.create('q', project='p')
        drivers.data.message_controller.post(
            'q', [{'ttl': 600, 'body': number} for number in range(20)],
            None, project='p')
        drivers.swift.on_step = lambda step, request: (
            self.pass_time(0.5) if step == 'arrive' else None)

        claim, messages = drivers.data.claim_controller.create(
            'q', {'ttl': 60, 'grace': 0}, project='p', limit=20)

        # Of ten seconds, the other half is for what was begun: the second
        # was, after a listing, a new container and the first.
        self.assertIsNotNone(claim)
        self.assertEqual([0, 1], [each['body'] for each in messages])

    def test_says_so_if_a_listing_leaves_no_time(self) -> None:
        self.useFixture(fixtures.MonkeyPatch('time.monotonic', records.now))

        def on_step(step: str, request: fake_swift.Request) -> None:
            if step == 'arrive' and request.method == 'GET' and (
                    not request.name):
                self.pass_time(5.5)

        self.swift.on_step = on_step
        self.assertEqual((None, []), self.claim())

        self.post(*range(5), ttl=600)
        error = self.assertRaises(errors.ConnectionError, self.claim)
        self.assertIn('took so long to list', str(error))

    def test_lists_as_far_as_the_last_had_to(self) -> None:
        for _ in range(6):
            self.post(*range(100), ttl=600)

        def listed() -> list[str]:
            self.swift.requests.clear()
            self.assertEqual(20, len(self.claim(20, ttl=600)[1]))
            return [request.query['limit'] for request in self.swift.requests
                    if request.container == names.messages(
                        'marconi', 'p', 'q') and not request.name]

        # Twice as many as the last looked at: of those that are claimed by
        # now, all.
        self.assertEqual(
            [['1000'], ['100'], ['100'], ['120'], ['160']],
            [listed() for _ in range(5)])

        listing.forget()
        self.assertEqual(['1000'], listed())

    def test_keeps_what_it_has_if_something_fails_midway(self) -> None:
        self.post(*range(5))
        self.swift.faults.append(fake_swift.Fault(
            3, 'before', store_errors.Unanswered('lost'),
            lambda request: (request.name or '').startswith('gate/')
            and request.method == 'PUT'))

        claim_id, messages = self.claim()

        self.assertEqual(4, len(messages))
        for message in messages:
            self.delete(message['id'], claim_id)


class TestMissed(ClaimTest):
    """What one of the replicas missed, and X-Newest may answer."""

    def setUp(self) -> None:
        super().setUp()
        self.ids = self.post(*range(3))
        self.container = names.messages('marconi', 'p', 'q')
        self.claim_container = names.claims('marconi', 'p', 'q')
        self.store = self.drivers.data.account.store

    def renew_on_other_replicas(
        self, claim: str, messages: Sequence[str] = (),
    ) -> None:
        """Renew a claim, and then undo what was POSTed for that."""
        objects = [(self.container, name) for name in messages or self.ids]
        objects.append((self.claim_container, f'claim/{claim}'))
        before = [self.store.head(*each).content_type for each in objects]
        self.claims.update('q', claim, {'ttl': 10 * _TTL, 'grace': 0},
                           project='p')
        for (container, name), content_type in zip(
                objects, before, strict=True):
            self.store.annotate(
                container, name, content_type=content_type,
                delete_at=records.now() + 20 * _TTL)

    def test_a_renewed_claim_keeps_its_messages(self) -> None:
        claim, _ = self.claim()
        self.renew_on_other_replicas(claim)

        self.pass_time(_TTL + 10)

        self.assertEqual((None, []), self.claim())

    def test_a_renewed_claim_can_be_used(self) -> None:
        claim, _ = self.claim()
        self.renew_on_other_replicas(claim)

        self.pass_time(_TTL + 10)

        _, held = self.claims.get('q', claim, project='p')
        self.assertEqual(self.ids, [message['id'] for message in held])
        self.delete(self.ids[0], claim)
        self.claims.update('q', claim, {'ttl': _TTL, 'grace': 0}, project='p')
        self.claims.delete('q', claim, project='p')
        self.assertEqual(
            self.ids[1:], [message['id'] for message in self.claim()[1]])

    def test_a_renewed_claim_lasts_though_one_of_its_messages_is_gone(
        self,
    ) -> None:
        claim, _ = self.claim()
        self.delete(self.ids[0], claim)
        self.renew_on_other_replicas(claim, self.ids[1:])

        self.pass_time(_TTL + 10)

        _, held = self.claims.get('q', claim, project='p')
        self.assertEqual(
            self.ids[1:], [message['id'] for message in held])

    def test_a_claim_that_was_half_renewed_has_expired(self) -> None:
        claim, _ = self.claim()
        self.renew_on_other_replicas(claim)
        # What stood there before has expired by the time that we look.
        self.store.delete(self.claim_container, f'gate/{self.ids[0]}')

        self.pass_time(_TTL + 10)

        self.assertRaises(errors.ClaimDoesNotExist,
                          self.delete, self.ids[1], claim)
        self.assertEqual(
            self.ids[:1], [message['id'] for message in self.claim()[1]])

    def test_a_claim_that_was_half_renewed_stays_over(self) -> None:
        """Also when what was not renewed of it is somebody else's."""
        claim, _ = self.claim()
        self.pass_time(30)
        self.swift.faults[:] = [fake_swift.Fault(
            1, 'before', store_errors.Unanswered('lost'),
            lambda request: (request.method, request.name) == (
                'POST', self.ids[1]))]
        self.assertRaises(
            errors.ConnectionError, self.claims.update, 'q', claim,
            {'ttl': 300, 'grace': 60}, project='p')
        self.pass_time(_TTL - 30 + 3)
        other, messages = self.claim(limit=3)
        taken = [message['id'] for message in messages]
        self.assertIn(self.ids[1], taken)

        for _ in range(2):
            self.assertRaises(errors.ClaimDoesNotExist, self.claims.update,
                              'q', claim, {'ttl': 300, 'grace': 60},
                              project='p')
            self.assertRaises(errors.ClaimDoesNotExist,
                              self.delete, self.ids[1], claim)
        self.assertEqual(taken, [
            message['id'] for message in self.claims.get(
                'q', other, project='p')[1]])

    def test_a_renewed_claim_can_be_released(self) -> None:
        claim, _ = self.claim()
        self.renew_on_other_replicas(claim)

        self.claims.delete('q', claim, project='p')

        self.assertEqual(
            self.ids, [message['id'] for message in self.claim()[1]])


class TestDeadLetters(ClaimTest):

    def setUp(self) -> None:
        super().setUp()
        self.queues.create('dead', project='p')
        self.queues.set_metadata('q', {
            '_max_claim_count': 2, '_dead_letter_queue': 'dead',
            '_dead_letter_queue_messages_ttl': 900}, project='p')

    def give_up(self) -> None:
        claim_id, _ = self.claim(limit=1)
        self.claims.delete('q', claim_id, project='p')

    def test_are_what_was_claimed_too_often(self) -> None:
        [posted] = self.post('bad')
        self.give_up()
        self.give_up()
        good = self.post('good')

        _claim_id, messages = self.claim()

        self.assertEqual(good, [message['id'] for message in messages])
        [dead] = next(self.messages.list('dead', project='p', echo=True))
        self.assertEqual((posted, 'bad', 900, None, 2), tuple(
            dead[key] for key in (
                'id', 'body', 'ttl', 'claim_id', 'claim_count')))
        stats = self.queues.stats('dead', project='p')['messages']
        self.assertEqual((1, 0), (stats['free'], stats['claimed']))
        self.pass_time(899)
        self.messages.get('dead', posted, project='p')
        self.pass_time(1)
        self.assertRaises(errors.MessageDoesNotExist, self.messages.get,
                          'dead', posted, project='p')

    def test_stay_if_they_were_there_and_are_deleted(self) -> None:
        [posted] = self.post('bad')
        self.give_up()
        self.give_up()
        self.swift.faults.append(fake_swift.Fault(
            1, 'before', 202,
            functools.partial(self.is_for, 'PUT', posted)))

        self.assertRaises(errors.ConnectionError, self.claim)

        self.assertEqual('bad', self.get(posted)['body'])

    def test_go_to_no_queue_that_was_not_found_out_about(self) -> None:
        self.queues.delete('dead', project='p')
        self.post(*range(20))
        for _ in range(2):
            claim_id, _messages = self.claim(limit=20)
            self.claims.delete('q', claim_id, project='p')
        asked = []

        def is_there_one(request: fake_swift.Request) -> bool:
            if (request.method, request.container) != (
                    'HEAD', 'marconi:queues'):
                return False
            asked.append(request.name)
            return True

        self.swift.faults.append(
            fake_swift.Fault(1, 'before', 503, is_there_one))

        self.assertRaises(errors.ConnectionError, self.claim, limit=20)

        self.assertEqual(1, len(asked))
        self.assertFalse(self.queues.exists('dead', project='p'))
        settings = self.drivers.data.account.settings
        self.pass_time(
            2 * settings.claim_attempt_limit + settings.clock_skew + 1)
        self.assertEqual((None, []), self.claim(limit=20))
        self.assertTrue(self.queues.exists('dead', project='p'))
        self.assertEqual(20, len(list(next(self.messages.list(
            'dead', project='p', limit=20, echo=True)))))

    def test_are_moved_once_though_that_is_slow(self) -> None:
        [posted] = self.post('bad', ttl=600)
        self.give_up()
        self.give_up()
        deleted = self.slow_down('PUT', 'marconi:messages:p:dead', 1)

        self.assertEqual((None, []), self.claim())

        self.assertEqual([posted], [request.name for request in deleted])
        self.assertEqual([posted], self.dead())

    def test_are_left_when_they_may_be_anothers(self) -> None:
        [posted] = self.post('bad', ttl=600)
        self.give_up()
        self.give_up()
        deleted = self.slow_down('PUT', 'marconi:messages:p:dead', 2)

        self.assertEqual((None, []), self.claim())

        self.assertEqual([], deleted)
        self.see_moved(posted)

    def test_wait_while_their_queue_is_created_slowly(self) -> None:
        [posted] = self.post('bad', ttl=600)
        self.give_up()
        self.give_up()
        self.queues.delete('dead', project='p')
        deleted = self.slow_down('HEAD', 'marconi:queues', 1)

        self.assertEqual((None, []), self.claim())

        self.assertEqual([], deleted)
        self.assertTrue(self.queues.exists('dead', 'p'))
        self.assertEqual([], self.dead())
        self.see_moved(posted)

    def slow_down(
        self, method: str, container: str, times: int,
    ) -> list[fake_swift.Request]:
        """Let a request for an object take so often what an attempt may.

        :returns: all deletions of messages until then, and later.
        """
        self.useFixture(fixtures.MonkeyPatch('time.monotonic', records.now))
        limit = self.drivers.data.account.settings.claim_attempt_limit
        deleted = list[fake_swift.Request]()
        left = [times * limit]

        def on_step(step: str, request: fake_swift.Request) -> None:
            if step != 'arrive':
                return
            if left and request.name and (
                    request.method, request.container) == (method, container):
                self.pass_time(left.pop())
            if request.method == 'DELETE' and (
                    ':messages:' in request.container):
                deleted.append(request)

        self.swift.on_step = on_step
        self.addCleanup(setattr, self.swift, 'on_step', None)
        return deleted

    def see_moved(self, posted: str) -> None:
        """See that a message is moved when the attempt is void."""
        self.pass_time(60)
        self.assertEqual((None, []), self.claim())
        self.assertRaises(errors.MessageDoesNotExist, self.get, posted)
        self.assertEqual([posted], self.dead())

    def dead(self) -> list[str]:
        return [message['id'] for message in next(
            self.messages.list('dead', project='p', echo=True))]

    def test_stay_where_no_other_queue_is_named(self) -> None:
        [posted] = self.post('bad')
        for metadata in (
                {'_dead_letter_queue': 'q', '_max_claim_count': 1},
                *({'_dead_letter_queue': target, '_max_claim_count': 1}
                  for target in (7, ['x'], {'x': 1}, True, 'a/b', '..\n',
                                 'x' * 65)),
                *({'_dead_letter_queue': 'dead', '_max_claim_count': often}
                  for often in (-1, 1.5, '1', [1]))):
            self.queues.set_metadata('q', metadata, project='p')
            notices.forget()
            log = self.useFixture(fixtures.FakeLogger())

            for _ in range(3):
                claim_id, claimed = self.claim(limit=1)
                self.assertEqual(
                    [posted], [message['id'] for message in claimed])
                self.claims.delete('q', claim_id, project='p')

            self.assertEqual(1, log.output.count('stay in it'), metadata)
            self.assertEqual([], list(next(self.messages.list(
                'dead', project='p', echo=True))), metadata)

    def test_are_never_lost_between_two_queues(self) -> None:
        for when in ('before', 'after'):
            for method in ('PUT', 'DELETE'):
                self.queues.delete('dead', project='p')
                self.queues.create('dead', project='p')
                [posted] = self.post('bad')
                self.give_up()
                self.give_up()
                self.swift.faults[:] = [fake_swift.Fault(
                    1, when, store_errors.Unanswered('lost'),
                    functools.partial(self.is_for, method, posted))]
                self.assertRaises(errors.ConnectionError, self.claim)

                self.pass_time(_TTL + 10)
                self.assertEqual((None, []), self.claim())

                self.assertEqual([posted], [message['id'] for message in next(
                    self.messages.list('dead', project='p', echo=True))])
                self.assertEqual([], self.bodies(include_claimed=True))


class TestPop(ClaimTest):

    def test_takes_free_messages_away(self) -> None:
        self.post(*range(12))
        self.claim(limit=2)

        popped = self.messages.pop('q', 100, project='p')

        self.assertEqual(list(range(2, 12)), [m['body'] for m in popped])
        self.assertEqual(
            {'id', 'age', 'ttl', 'body', 'claim_id', 'claim_count'},
            set(popped[0]))
        self.assertIsNone(popped[0]['claim_id'])
        self.assertEqual([], self.messages.pop('q', 100, project='p'))
        self.assertEqual((0, 2), self.stats())

    def test_shows_them_as_they_were(self) -> None:
        """Whatever it does to them meanwhile is no claim of anybody's."""
        self.post('claimed before', ttl=60)
        claim_id, _ = self.claim(ttl=1)
        self.claims.delete('q', claim_id, project='p')
        self.post('new', ttl=60)
        self.pass_time(55)

        popped = self.messages.pop('q', 10, project='p')

        self.assertEqual(
            [('claimed before', 1, 60, 55), ('new', 0, 60, 55)],
            [(m['body'], m['claim_count'], m['ttl'], m['age'])
             for m in popped])

    def test_returns_only_what_is_gone_for_certain(self) -> None:
        self.post(1, 2, 3, ttl=600)
        self.swift.faults.append(fake_swift.Fault(
            2, 'before', store_errors.Unanswered('lost'),
            lambda request: request.method == 'DELETE'))

        first = self.messages.pop('q', 3, project='p')
        self.pass_time(60)
        second = self.messages.pop('q', 3, project='p')

        self.assertEqual([2, 1], [len(first), len(second)])
        self.assertEqual({1, 2, 3}, {m['body'] for m in first + second})

    def test_deletes_nothing_when_others_may_have_it(self) -> None:
        self.useFixture(fixtures.MonkeyPatch('time.monotonic', records.now))
        drivers = self.useFixture(conf.FakeDrivers())
        drivers.swift.clock = records.now
        drivers.control.queue_controller.create('q', project='p')
        messages = drivers.data.message_controller
        [posted] = messages.post(
            'q', [{'ttl': 600, 'body': 1}], None, project='p')

        def slow(request: fake_swift.Request) -> bool:
            if (request.method, request.name) != ('DELETE', posted):
                return False
            self.pass_time(8)
            return True

        drivers.swift.faults[:] = [
            fake_swift.Fault(1, 'before', 503, slow),
            fake_swift.Fault(1, 'before', 503, slow)]
        self.assertRaises(
            errors.ConnectionError, messages.pop, 'q', 1, project='p')

        self.assertTrue(messages.get('q', posted, project='p'))

    def test_does_not_say_that_nothing_is_there_when_it_was_late(
        self,
    ) -> None:
        """Zaqar's purge ends then, and says that it is done."""
        self.useFixture(fixtures.MonkeyPatch('time.monotonic', records.now))
        self.post(1, ttl=600)
        limit = self.drivers.data.account.settings.claim_attempt_limit
        for seconds, method in (
                (limit, 'POST'), (limit, 'PUT'), (limit / 2, 'GET')):
            left = [seconds]

            def on_step(
                step: str, request: fake_swift.Request, *,
                left: list[float] = left, method: str = method,
            ) -> None:
                if left and (step, request.method) == ('arrive', method):
                    self.pass_time(left.pop())

            self.swift.on_step = on_step
            self.assertRaises(
                errors.ConnectionError, self.messages.pop, 'q', 1,
                project='p')
            self.pass_time(60)
        self.swift.on_step = None

        self.assertEqual(1, len(self.messages.pop('q', 1, project='p')))

    def test_takes_nothing_when_the_attempt_took_too_long(self) -> None:
        """Others may think it over, and be given what it won in time."""
        messages = self.win_the_second_late().data.message_controller

        self.assertRaises(
            errors.ConnectionError, messages.pop, 'q', 2, project='p')

        listed = next(messages.list(
            'q', project='p', echo=True, include_claimed=True))
        self.assertEqual([0, 1], [message['body'] for message in listed])
