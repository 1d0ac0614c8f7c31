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
"""The checker, on histories that are right or wrong in one way each."""

import math
import pathlib
from typing import Any

import fixtures
import testtools

from tests.history import calls
from tests.history import checker

OK, REFUSED, UNKNOWN = checker.OK, checker.REFUSED, checker.UNKNOWN


def call(
    kind: str, invoked: float, outcome: calls.Outcome = OK,
    *messages: str, **more: Any,
) -> calls.Call:
    """A call that takes a second, if it ends."""
    completed = math.inf if outcome is UNKNOWN else invoked + 1
    return calls.Call(kind, invoked, completed, outcome, messages, **more)


def claim(invoked: float, name: str, *messages: str) -> calls.Call:
    """A claim for 20 seconds: from a second later, it holds for 18."""
    return call('claim', invoked, OK, *messages, claim=name, ttl=20)


POST = call('post', 0, OK, 'a')


class TestChecker(testtools.TestCase):

    def check(
        self, *history: calls.Call, remained: str = '',
    ) -> checker.Verdict:
        """Judge a history that begins with a post of one message."""
        return checker.check([POST, *history], remained)

    def assert_fine(self, verdict: checker.Verdict) -> None:
        self.assertEqual((), verdict.violations)
        self.assertFalse(verdict.wrong)

    def assert_wrong(self, kinds: str, verdict: checker.Verdict) -> None:
        """Check that this is wrong, each once, and nothing else."""
        self.assertEqual(kinds.split(), [
            violation.partition(':')[0] for violation in verdict.violations])
        for kind in kinds.split():
            self.assertEqual(1, getattr(verdict, kind))

    # Lost and unexpected

    def test_what_was_posted_remains(self) -> None:
        verdict = self.check(remained='a')

        self.assert_fine(verdict)
        self.assertEqual((1, 1), (verdict.posted, verdict.seen))

    def test_what_was_deleted_does_not(self) -> None:
        self.assert_fine(self.check(
            claim(2, 'x', 'a'), call('delete', 4, OK, 'a', claim='x')))

    def test_lost(self) -> None:
        self.assert_wrong('lost', self.check())

    def test_lost_in_spite_of_a_deletion_that_was_refused(self) -> None:
        self.assert_wrong('lost', self.check(
            call('delete', 4, REFUSED, 'a', claim='y')))

    def test_not_lost_if_a_deletion_may_have_happened(self) -> None:
        self.assert_fine(self.check(
            claim(2, 'x', 'a'), call('delete', 4, UNKNOWN, 'a', claim='x')))

    def test_lost_if_no_claim_that_held_it_can_have_deleted_it(self) -> None:
        self.assert_wrong('lost', self.check(
            claim(2, 'x', 'a'), call('delete', 4, UNKNOWN, 'a', claim='z')))

    def test_lost_if_its_claim_was_over_when_it_was_deleted(self) -> None:
        self.assert_wrong('lost', self.check(
            claim(2, 'x', 'a'),
            call('delete', 23.5, UNKNOWN, 'a', claim='x')))

    def test_not_lost_if_its_claim_may_just_have_been_live(self) -> None:
        self.assert_fine(self.check(
            claim(2, 'x', 'a'),
            call('delete', 22.5, UNKNOWN, 'a', claim='x')))

    def test_not_lost_if_a_deletion_needed_no_claim(self) -> None:
        for outcome in OK, UNKNOWN:
            self.assert_fine(self.check(call('delete', 4, outcome, 'a')))

    def test_not_lost_if_its_post_is_unknown(self) -> None:
        self.assert_fine(self.check(
            call('post', 2, UNKNOWN, 'b'), remained='a'))

    def test_recovered_if_its_post_is_unknown(self) -> None:
        verdict = self.check(call('post', 2, UNKNOWN, 'b'), remained='ab')

        self.assert_fine(verdict)
        self.assertEqual(1, verdict.recovered)

    def test_unexpected(self) -> None:
        self.assert_wrong('unexpected', self.check(remained='az'))

    def test_unexpected_if_its_post_was_refused(self) -> None:
        self.assert_wrong('unexpected refused', self.check(
            call('post', 2, REFUSED, 'b'),
            call('list', 4, OK, 'b'), remained='a'))

    # What must be there

    def test_what_nobody_can_have_deleted_must_be_there(self) -> None:
        deletions = {
            'a': call('delete', 4, UNKNOWN, 'a', claim='x'),
            'b': call('delete', 4, REFUSED, 'b', claim='y'),
            'c': call('delete', 4, UNKNOWN, 'c', claim='y')}

        self.assertEqual({'b', 'c'}, checker.remaining([
            call('post', 0, OK, 'a', 'b', 'c'), call('post', 0, UNKNOWN, 'd'),
            claim(2, 'x', 'a', 'b', 'c'), *deletions.values()]))

    # Two claims

    def test_shared(self) -> None:
        self.assert_wrong('shared', self.check(
            claim(2, 'x', 'a'), claim(5, 'y', 'a'), remained='a'))

    def test_shared_by_two_who_asked_at_once(self) -> None:
        self.assert_wrong('shared', self.check(
            claim(2, 'x', 'a'), claim(2, 'y', 'a'), remained='a'))

    def test_not_shared_after_its_time(self) -> None:
        self.assert_fine(self.check(
            claim(2, 'x', 'a'), claim(20.5, 'y', 'a'), remained='a'))

    def test_not_shared_after_a_release_began(self) -> None:
        for outcome in (OK, UNKNOWN):
            self.assert_fine(self.check(
                claim(2, 'x', 'a'), call('release', 4, outcome, claim='x'),
                claim(4.5, 'y', 'a'), remained='a'))

    def test_shared_in_spite_of_a_deletion_that_was_refused(self) -> None:
        self.assert_wrong('shared refused', self.check(
            claim(2, 'x', 'a'), call('delete', 4, REFUSED, 'a', claim='x'),
            claim(8, 'y', 'a'), remained='a'))

    def test_shared_by_one_claim_that_two_were_given(self) -> None:
        self.assert_wrong('shared', self.check(
            claim(2, 'x', 'a'), claim(5, 'x', 'a'), remained='a'))

    def test_not_shared_if_one_was_answered_late(self) -> None:
        self.assert_fine(self.check(
            calls.Call('claim', 2, 23, OK, ('a',), 'x', 20),
            claim(22.5, 'y', 'a'), remained='a'))

    def test_shared_after_a_renewal(self) -> None:
        self.assert_wrong('shared', self.check(
            claim(2, 'x', 'a'), call('renew', 15, claim='x', ttl=20),
            claim(25, 'y', 'a'), remained='a'))

    def test_a_renewal_that_is_unknown_makes_a_claim_no_longer(self) -> None:
        self.assert_fine(self.check(
            claim(2, 'x', 'a'), call('renew', 15, UNKNOWN, claim='x', ttl=20),
            claim(25, 'y', 'a'), remained='a'))

    def test_a_renewal_that_is_unknown_can_make_it_shorter(self) -> None:
        self.assert_fine(self.check(
            claim(2, 'x', 'a'), call('renew', 5, UNKNOWN, claim='x', ttl=2),
            claim(8, 'y', 'a'), remained='a'))

    def test_a_claim_that_is_unknown_holds_nothing(self) -> None:
        self.assert_fine(self.check(
            call('claim', 2, UNKNOWN, ttl=20), claim(5, 'y', 'a'),
            remained='a'))

    # Deletions

    def test_returned(self) -> None:
        self.assert_wrong('returned', self.check(
            claim(2, 'x', 'a'), call('delete', 4, OK, 'a', claim='x'),
            claim(6, 'y', 'a')))

    def test_not_returned_if_it_was_asked_for_before(self) -> None:
        self.assert_fine(self.check(
            claim(2, 'x', 'a'), call('delete', 20, OK, 'a', claim='x'),
            claim(20.5, 'y', 'a')))

    def test_a_stale_listing_is_no_violation(self) -> None:
        verdict = self.check(
            claim(2, 'x', 'a'), call('delete', 4, OK, 'a', claim='x'),
            call('list', 6, OK, 'a'))

        self.assert_fine(verdict)
        self.assertEqual(1, verdict.stale)

    def test_stolen_by_a_claim_that_never_held_it(self) -> None:
        self.assert_wrong('lost stolen', self.check(
            claim(2, 'x', 'a'), call('delete', 4, OK, 'a', claim='z')))

    def test_stolen_by_one_that_has_expired(self) -> None:
        self.assert_wrong('lost stolen', self.check(
            claim(2, 'x', 'a'), claim(30, 'y', 'a'),
            call('delete', 33, OK, 'a', claim='x')))

    def test_stolen_though_nobody_else_has_claimed_it(self) -> None:
        self.assert_wrong('lost stolen', self.check(
            claim(2, 'x', 'a'), call('delete', 23.5, OK, 'a', claim='x')))

    def test_stolen_by_one_that_was_released(self) -> None:
        self.assert_wrong('lost stolen', self.check(
            claim(2, 'x', 'a'), call('release', 4, claim='x'),
            call('delete', 6, OK, 'a', claim='x')))

    def test_not_stolen_if_the_release_is_unknown(self) -> None:
        self.assert_fine(self.check(
            claim(2, 'x', 'a'), call('release', 4, UNKNOWN, claim='x'),
            call('delete', 6, OK, 'a', claim='x')))

    def test_not_stolen_before_the_release_was_acknowledged(self) -> None:
        self.assert_fine(self.check(
            claim(2, 'x', 'a'), call('release', 4, claim='x'),
            call('delete', 4.5, OK, 'a', claim='x')))

    def test_not_stolen_by_one_that_was_answered_late(self) -> None:
        """Its time may have begun just before it was answered."""
        self.assert_fine(self.check(
            calls.Call('claim', 2, 10, OK, ('a',), 'x', 20),
            call('delete', 29, OK, 'a', claim='x')))

    def test_not_stolen_by_one_that_may_have_been_renewed(self) -> None:
        for outcome in OK, UNKNOWN:
            self.assert_fine(self.check(
                claim(2, 'x', 'a'),
                call('renew', 20, outcome, claim='x', ttl=20),
                call('delete', 40.5, OK, 'a', claim='x')))

    def test_stolen_after_all_that_its_renewals_asked_for(self) -> None:
        for outcome in OK, UNKNOWN:
            self.assert_wrong('lost stolen', self.check(
                claim(2, 'x', 'a'),
                call('renew', 20, outcome, claim='x', ttl=20),
                call('delete', 43.5, OK, 'a', claim='x')))

    def test_not_stolen_if_another_held_it_before(self) -> None:
        """Whose clock is behind, so that it was over sooner than it knew."""
        self.assert_fine(self.check(
            claim(2, 'x', 'a'), claim(21.5, 'y', 'a'),
            call('delete', 23, OK, 'a', claim='y')))

    def test_not_stolen_if_it_may_be_gone(self) -> None:
        self.assert_fine(self.check(
            claim(2, 'x', 'a'), call('delete', 4, UNKNOWN, 'a', claim='x'),
            call('delete', 6, OK, 'a', claim='z')))

    def test_refused(self) -> None:
        self.assert_wrong('refused', self.check(
            claim(2, 'x', 'a'), call('delete', 4, REFUSED, 'a', claim='x'),
            remained='a'))

    def test_a_renewal_refused(self) -> None:
        self.assert_wrong('refused', self.check(
            claim(2, 'x', 'a'), call('renew', 4, REFUSED, claim='x', ttl=20),
            remained='a'))

    def test_what_only_needs_the_queue_refused(self) -> None:
        for kind in 'post', 'claim', 'list', 'release':
            self.assert_wrong('refused', self.check(
                call(kind, 2, REFUSED), remained='a'))

    def test_not_refused_if_it_holds_something_else(self) -> None:
        self.assert_fine(self.check(
            call('post', 0, OK, 'b'), claim(2, 'x', 'a'), claim(2, 'y', 'b'),
            call('delete', 4, REFUSED, 'a', claim='y'),
            call('renew', 4, REFUSED, claim='z'), remained='ab'))

    def test_not_refused_if_it_may_be_released(self) -> None:
        self.assert_fine(self.check(
            claim(2, 'x', 'a'), call('release', 4, UNKNOWN, claim='x'),
            call('delete', 6, REFUSED, 'a', claim='x'), remained='a'))

    def test_not_refused_once_it_may_have_expired(self) -> None:
        self.assert_fine(self.check(
            claim(2, 'x', 'a'), call('delete', 20.5, REFUSED, 'a', claim='x'),
            call('renew', 22, REFUSED, claim='x', ttl=20), remained='a'))

    # Order

    def test_misordered(self) -> None:
        for kind in 'list', 'claim':
            self.assert_wrong('misordered', self.check(
                call('post', 2, OK, 'b'), call(kind, 4, OK, 'b', 'a'),
                remained='ab'))

    def test_misordered_within_a_post(self) -> None:
        self.assert_wrong('misordered', self.check(
            call('post', 2, OK, 'b', 'c'), call('list', 4, OK, 'c', 'b'),
            remained='abc'))

    def test_not_misordered_if_two_posted(self) -> None:
        self.assert_fine(self.check(
            call('post', 2, OK, 'b', client='other'),
            call('post', 4, OK, 'c'), call('list', 6, OK, 'b', 'a', 'c'),
            remained='abc'))

    def test_not_misordered_if_a_post_is_unknown(self) -> None:
        self.assert_fine(self.check(
            call('post', 2, UNKNOWN, 'b'), call('list', 6, OK, 'b', 'a'),
            remained='ab'))


class TestRecorder(testtools.TestCase):

    def setUp(self) -> None:
        super().setUp()
        self.path = pathlib.Path(
            self.useFixture(fixtures.TempDir()).path, 'calls')
        self.recorder = calls.Recorder(str(self.path))

    def test_what_was_answered(self) -> None:
        number = self.recorder.invoke('claim', ttl=20)
        self.recorder.complete(number, OK, claim='x', messages=['a', 'b'])

        [read] = calls.read([self.path])

        self.assertEqual(
            ('claim', OK, 'x', ('a', 'b'), 20),
            (read.kind, read.outcome, read.claim, read.messages, read.ttl))
        self.assertEqual(self.path.name, read.client)
        self.assertLessEqual(read.invoked, read.completed)

    def test_what_failed_may_yet_happen(self) -> None:
        number = self.recorder.invoke('delete', claim='x', messages=['a'])
        self.recorder.complete(number, UNKNOWN, error='no answer')

        [read] = calls.read([self.path])

        self.assertEqual((UNKNOWN, math.inf), (read.outcome, read.completed))

    def test_who_was_killed_leaves_what_is_unknown(self) -> None:
        self.recorder.invoke('post', messages=['a'])
        with self.path.open('ab') as file:
            file.write(b'{"number": 1, "comple')

        [read] = calls.read([self.path])

        self.assertEqual((UNKNOWN, math.inf), (read.outcome, read.completed))
