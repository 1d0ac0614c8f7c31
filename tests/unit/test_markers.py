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
"""A reader's marker: what it skips, what it keeps, what it looks like."""

from typing import Any
import uuid

import fixtures
import hypothesis
from hypothesis import strategies
import testtools

from marconi_swift import names
from marconi_swift.data import markers

_WINDOW = 7.0
_NOW = 1_800_000_000.0


def made(at: float, rest: int = 0) -> str:
    """An id as a poster's clock at that moment would make it."""
    return str(uuid.UUID(int=(uuid.UUID(names.first_id(at)).int | rest)))


#: How long a reader of the tests below waits for what appears late, in
#: milliseconds, and what its markers can name.
_PATIENCE, _FEW = 20, 3

#: What may come to pass: a message appears, so many milliseconds late (or
#: early, by its poster's clock); or, after some, a page of so many is read.
_APPEARS = strategies.tuples(
    strategies.just('appears'), strategies.integers(-3, _PATIENCE + 3),
    strategies.integers(1, 8))
_IS_READ = strategies.tuples(
    strategies.just('is read'), strategies.integers(0, 12),
    strategies.integers(1, 3))


class _Reader:
    """Reads a queue by markers, and knows what these allow it to miss."""

    def __init__(self) -> None:
        self.milliseconds = 0
        self.marker = markers.Marker()
        self.given: list[str] = []
        #: What is there, and whether it came too late for this reader.
        self.there: dict[str, bool] = {}

    def name(self, milliseconds: int) -> str:
        return names.first_id_of(int(_NOW * 1000) + milliseconds)

    def appears(self, late: int, number: int) -> None:
        first = self.name(self.milliseconds - late)
        newest = sorted(self.given)[-_FEW:]
        self.there.setdefault(
            str(uuid.UUID(int=uuid.UUID(first).int | number)),
            late > _PATIENCE or (
                len(newest) == _FEW
                and names.posted_at(first) <= names.posted_at(newest[0])))

    def reads(self, limit: int) -> None:
        page = [name for name in sorted(self.there)
                if name > self.marker.after
                and not self.marker.skips(name)][:limit]
        self.given += page
        if page:
            # As an API server hears it from a client.
            marker = markers.Marker.parse(str(self.marker.advanced(
                page, _NOW + (self.milliseconds + 0.5) / 1000,
                _PATIENCE / 1000)))
            assert marker is not None
            self.marker = marker


class TestReader(testtools.TestCase):

    def setUp(self) -> None:
        super().setUp()
        self.useFixture(fixtures.MonkeyPatch(
            'marconi_swift.data.markers._MOST', _FEW))

    @hypothesis.settings(deadline=None, max_examples=500)
    @hypothesis.given(strategies.lists(
        strategies.one_of(_APPEARS, _IS_READ), max_size=40))
    def test_is_given_all_but_what_is_too_late_and_nothing_twice(
        self, events: list[tuple[str, int, int]],
    ) -> None:
        reader = _Reader()
        for event, milliseconds, number in events:
            if event == 'appears':
                reader.appears(milliseconds, number)
            else:
                reader.milliseconds += milliseconds
                reader.reads(number)
        # One that is given anything twice might never get to the end.
        for _ in events:
            reader.reads(len(events))

        self.assertEqual(sorted(set(reader.given)), sorted(reader.given))
        missed = set(reader.there) - set(reader.given)
        self.assertEqual(
            [], [name for name in missed if not reader.there[name]])


class TestMarker(testtools.TestCase):

    def test_of_a_quiet_queue_is_the_last_id(self) -> None:
        page = [made(_NOW - 60), made(_NOW - 50)]

        marker = markers.Marker().advanced(page, _NOW, _WINDOW)

        self.assertEqual(page[-1], str(marker))
        self.assertEqual(marker, markers.Marker.parse(str(marker)))

    def test_remembers_what_it_gave_out_within_the_window(self) -> None:
        settled, first, last = (
            made(_NOW - 60), made(_NOW - 2, 1), made(_NOW - 1, 2))

        marker = markers.Marker().advanced(
            [settled, first, last], _NOW, _WINDOW)

        late = made(_NOW - 1.5, 3)
        self.assertLess(marker.after, first)
        self.assertLess(settled, marker.after)
        self.assertTrue(marker.skips(first) and marker.skips(last))
        self.assertFalse(marker.skips(late))

    def test_forgets_what_has_settled(self) -> None:
        early, late = made(_NOW - 5, 1), made(_NOW + 10, 2)
        marker = markers.Marker().advanced([early], _NOW, _WINDOW)

        marker = marker.advanced([late], _NOW + 11, _WINDOW)

        self.assertLess(early, marker.after)
        self.assertEqual(1, len(marker.seen))
        self.assertTrue(marker.skips(late))

    def test_never_goes_back(self) -> None:
        ahead = made(_NOW + 100)
        marker = markers.Marker(ahead)

        later = marker.advanced([made(_NOW + 101)], _NOW, _WINDOW)

        self.assertGreaterEqual(later.after, ahead)

    def test_forgets_nothing_that_a_later_page_comes_before(self) -> None:
        on_time, late = made(_NOW - 1, 1), made(_NOW - 2, 2)
        marker = markers.Marker().advanced([on_time], _NOW, _WINDOW)

        marker = marker.advanced([late], _NOW + 60, _WINDOW)

        self.assertTrue(marker.skips(on_time) or on_time <= marker.after)

    def test_keeps_the_newest_that_it_can_name(self) -> None:
        for size in (1, 20, 369, 370, 371, 372, 500):
            marker = markers.Marker()
            posted = [made(_NOW - 1 + index / 1000, index)
                      for index in range(500)]
            for start in range(0, 500, size):
                page = posted[start:start + size]
                marker = marker.advanced(page, _NOW, _WINDOW)

                given_out = posted[:start + len(page)]
                self.assertEqual(
                    given_out[-370:], list(filter(marker.skips, posted)))
                self.assertTrue(all(
                    name <= marker.after for name in given_out[:-370]))
                self.assertGreater(min(given_out[-370:]), marker.after)
                self.assertLess(len(str(marker)), 3000)

    def test_settles_for_a_page_of_more_than_it_can_name(self) -> None:
        # All of one millisecond, of which it keeps all or nothing.
        page = [made(_NOW - 1, index) for index in range(371)]

        marker = markers.Marker().advanced(page, _NOW, _WINDOW)

        self.assertEqual(page[-1], str(marker))

    @hypothesis.given(strategies.lists(strategies.tuples(
        strategies.integers(-_WINDOW * 1000, 3000),
        strategies.integers(0, 2 ** 62 - 1)), min_size=1, max_size=300))
    def test_says_the_same_after_a_restart(
        self, given_out: list[tuple[int, int]],
    ) -> None:
        page = sorted({made(_NOW + since / 1000, rest)
                       for since, rest in given_out})

        marker = markers.Marker().advanced(page, _NOW, _WINDOW)
        parsed = markers.Marker.parse(str(marker))

        self.assertEqual(marker, parsed)
        self.assertRegex(str(marker), '^[A-Za-z0-9_-]+$')

    def test_can_be_said_of_messages_from_clocks_far_ahead(self) -> None:
        marker = markers.Marker().advanced(
            [made(_NOW + 1e6)], _NOW, _WINDOW)

        self.assertEqual(
            marker.after, markers.Marker.parse(str(marker)).after)

    @hypothesis.given(strategies.one_of(
        strategies.text(), strategies.integers(), strategies.binary(),
        strategies.text('ABCDEFabcdef0123456789_-', min_size=1)))
    def test_of_anybodys_making_is_harmless(self, text: Any) -> None:
        marker = markers.Marker.parse(text)

        if marker is not None:
            self.assertTrue(
                not marker.after or names.is_message_id(marker.after))
