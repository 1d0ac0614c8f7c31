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
"""What is stored of a message and a claim, and what it says of itself."""

import dataclasses

from hypothesis import given
from hypothesis import strategies
import testtools

from marconi_swift import names
from marconi_swift import records

_NOW = 1_800_000_000.0
_ID = names.first_id(_NOW)

_HOLDS = strategies.builds(
    records.Hold, claim=strategies.just(names.new_message_id()),
    until=strategies.integers(0, 2 ** 40))
_MESSAGES = strategies.builds(
    records.Message, id=strategies.just(_ID),
    ttl=strategies.integers(0, 2 ** 40),
    expires=strategies.integers(0, 2 ** 40).map(lambda ms: ms / 1000),
    poster=strategies.text(max_size=40),
    delayed_until=strategies.integers(0, 2 ** 40).map(lambda ms: ms / 1000),
    checksum=strategies.none() | strategies.text(max_size=40),
    claim_count=strategies.integers(0, 2 ** 20),
    hold=strategies.none() | _HOLDS)


def message(**fields: object) -> records.Message:
    return records.Message(**{  # type: ignore[arg-type]
        'id': _ID, 'ttl': 120, 'expires': _NOW + 120, 'poster': 'me',
        **fields})


class TestMessage(testtools.TestCase):

    @given(_MESSAGES)
    def test_is_read_back_as_it_was_written(
        self, written: records.Message,
    ) -> None:
        content_type = written.content_type()

        self.assertEqual(written, records.Message.parse(_ID, content_type))
        self.assertTrue(content_type.isascii())
        self.assertLess(len(content_type), 4096)

    @given(strategies.text(min_size=1, max_size=300))
    def test_of_any_client_fits_extended_attributes(
        self, client: str,
    ) -> None:
        poster = records.poster(client)

        self.assertLess(len(message(poster=poster).content_type()), 1200)
        self.assertNotEqual(poster, records.poster(client + '1'))
        if len(client) < 80:
            self.assertEqual(client, poster)

    @given(strategies.text())
    def test_of_anybodys_making_is_none_of_ours(self, foreign: str) -> None:
        self.assertIsNone(records.Message.parse(_ID, foreign))

    def test_of_another_version_is_none_of_ours(self) -> None:
        foreign = message().content_type().replace(';v=1;', ';v=2;')

        self.assertIsNone(records.Message.parse(_ID, foreign))

    def test_that_is_taken_outlives_the_claim(self) -> None:
        hold = records.Hold('claim', int(_NOW) + 777)

        taken = message().taken(hold, _NOW, grace=23)

        self.assertEqual(800, taken.ttl)
        self.assertEqual(_NOW + 800, taken.expires)

    def test_that_lives_long_enough_keeps_its_life(self) -> None:
        hold = records.Hold('claim', int(_NOW) + 60)

        taken = message().taken(hold, _NOW, grace=30)

        self.assertEqual(dataclasses.replace(message(), hold=hold), taken)

    def test_has_no_negative_age(self) -> None:
        self.assertEqual(0, message().age(_NOW - 5))

    def test_is_shown_with_a_live_claim_only(self) -> None:
        held = message(hold=records.Hold('claim', int(_NOW) + 5))

        self.assertEqual('claim', held.shown({}, _NOW)['claim_id'])
        self.assertIsNone(held.shown({}, _NOW + 5)['claim_id'])


class TestClaim(testtools.TestCase):

    def claim(
        self, *won: records.Message, ttl: int = 60, grace: int = 30,
    ) -> records.Claim:
        hold = records.Hold(names.new_message_id(), int(_NOW) + ttl)
        return records.Claim.made(
            records.Pass(hold, grace), ttl, _NOW,
            {message.id: message for message in won})

    def read_back(self, claim: records.Claim) -> records.Claim | None:
        return records.Claim.parse(
            claim.id, claim.content_type(), claim.body())

    @given(strategies.lists(_MESSAGES, max_size=1))
    def test_is_read_back_as_it_was_written(
        self, won: list[records.Message],
    ) -> None:
        claim = self.claim(*won)

        self.assertEqual(claim, self.read_back(claim))
        for name in claim.won:
            self.assertIn(records.digest(name), records.digests(
                claim.content_type(), _NOW))
            self.assertNotIn(records.digest(name), records.digests(
                claim.content_type(), _NOW + 60))

    def test_keeps_the_longest_life_that_it_gave_its_messages(self) -> None:
        claim = self.claim(message())
        long = claim.extended(1000, 100, _NOW + 10)
        short = long.extended(60, 0, _NOW + 20)

        [held] = short.messages()

        self.assertEqual(_NOW + 1110, held.expires)
        self.assertEqual(1100, held.ttl)
        self.assertEqual(records.Hold(claim.id, int(_NOW) + 80), held.hold)
        self.assertEqual(short, self.read_back(short))
        self.assertEqual(claim.body(), short.body())

    @given(strategies.text(), strategies.one_of(
        strategies.binary(),
        strategies.sampled_from([
            b'{}', b'[]', b'null', b'{"v": 1}', b'{"v": 2}',
            b'{"v": 1, "entered": "x"}'])))
    def test_of_anybodys_making_is_none_of_ours(
        self, content_type: str, body: bytes,
    ) -> None:
        self.assertIsNone(records.Claim.parse('claim', content_type, body))
        self.assertIsNone(records.Claim.parse(
            'claim', self.claim().content_type(), body))
        self.assertEqual({}, records.digests(content_type, _NOW))


class TestBody(testtools.TestCase):

    def test_may_be_the_bytes_of_zaqars_encryption(self) -> None:
        self.assertEqual('c2VjcmV0', records.load(records.dump(b'c2VjcmV0')))
