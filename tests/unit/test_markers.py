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

from hypothesis import given
from hypothesis import strategies
import testtools

from marconi_swift import names
from marconi_swift.data import markers

_WINDOW = 7.0
_NOW = 1_800_000_000.0


def made(at: float, rest: int = 0) -> str:
    """An id as a poster's clock at that moment would make it."""
    return str(uuid.UUID(int=(uuid.UUID(names.first_id(at)).int | rest)))


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

    def test_settles_for_the_last_page_when_it_can_say_no_more(self) -> None:
        for size in (1, 20, 369, 370, 371, 372, 1000):
            marker = markers.Marker()
            for start in range(0, 1000, size):
                page = [made(_NOW - 1 + index / 1000, index)
                        for index in range(start, start + size)]
                marker = marker.advanced(page, _NOW, _WINDOW)

                self.assertTrue(all(
                    marker.skips(name) or name <= marker.after
                    for name in page))
                self.assertFalse(marker.skips(made(_NOW + 9, start)))
                self.assertLess(len(str(marker)), 3000)

    @given(strategies.lists(strategies.tuples(
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

    @given(strategies.one_of(
        strategies.text(), strategies.integers(), strategies.binary(),
        strategies.text('ABCDEFabcdef0123456789_-', min_size=1)))
    def test_of_anybodys_making_is_harmless(self, text: Any) -> None:
        marker = markers.Marker.parse(text)

        if marker is not None:
            self.assertTrue(
                not marker.after or names.is_message_id(marker.after))
