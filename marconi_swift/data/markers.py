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
"""Where a reader of a queue has got to.

A reader that follows a queue keeps the marker of the last page and lists
on from there. Ids sort by their posters' clocks, and a message is listed
only when its PUT has ended, so one may appear *before* the last that a
reader was given. A marker that were only the last id would skip it.

A marker therefore says two things: an id up to which all is settled, since
whatever is to appear before it has appeared; and which messages after it
the reader was given already. The window between that id and the present is
as long as a post may take (the option ``post_time_limit``) and clocks may
differ (``clock_skew``).

A marker stays short enough for a URL: when more was given out within the
window than it can say, it keeps the newest of that, and settles for the rest.
A reader then may miss what appears before all that is kept. Nobody is given
a message twice, and what is listed already is not missed.
"""

import base64
import binascii
from collections.abc import Iterable
from collections.abc import Sequence
import dataclasses
from typing import NamedTuple
from typing import Self
import uuid

from marconi_swift import names

#: Messages that a marker can name; 8 characters each, of the 4,094 that
#: gunicorn allows the first line of a request.
_MOST = 370

_ID_BYTES = 16
_SEEN_BYTES = 6

#: Bits of the time and of the rest of an id that are kept of a message that
#: was given out. That another id of the same millisecond shares the rest
#: has a chance of one in 268 million.
_TIME_BITS, _REST_BITS = 20, 28
_LAST_TIME = (1 << _TIME_BITS) - 1


class _Seen(NamedTuple):
    """What is kept of the id of a message that was given out."""

    milliseconds: int
    rest: int

    @classmethod
    def of(cls, message_id: str) -> Self:
        number = uuid.UUID(message_id).int
        return cls(number >> 80, number & (1 << _REST_BITS) - 1)

    def relative(self, start: int) -> int:
        since = min(self.milliseconds - start, _LAST_TIME)
        return since << _REST_BITS | self.rest

    @classmethod
    def absolute(cls, packed: int, start: int) -> Self:
        return cls((packed >> _REST_BITS) + start,
                   packed & (1 << _REST_BITS) - 1)


def _since(after: str, given: Iterable[_Seen]) -> frozenset[_Seen]:
    """Those that may come after an id."""
    start = _Seen.of(after).milliseconds
    return frozenset(seen for seen in given if seen.milliseconds >= start)


@dataclasses.dataclass(frozen=True)
class Marker:
    """A point in a queue, and what was given out beyond it."""

    #: All up to this id is settled; empty for the start of the queue.
    after: str = ''
    #: All that was given out after it, and maybe more of its millisecond.
    seen: frozenset[_Seen] = frozenset()

    def skips(self, message_id: str) -> bool:
        """Whether the reader was given this message already."""
        return bool(self.seen) and _Seen.of(message_id) in self.seen

    def advanced(
        self, page: Sequence[str], at: float, window: float,
    ) -> 'Marker':
        """The marker of a reader who was given this page as well.

        What appears later is not missed if it is within the window, and of a
        later millisecond than the oldest of the newest :data:`_MOST` given.

        :param page: all that was listed first after this marker: ids in
            order, at least one.
        :param at: when the queue was listed for it.
        :param window: seconds by which messages may appear late.
        """
        given = sorted({*self.seen, *map(_Seen.of, page)})
        settled = max(self.after, names.first_id(at - window))
        if len(given) > _MOST:
            # Whole milliseconds: within one it can not tell what sorts first.
            settled = max(settled, names.first_id_of(
                given[-_MOST - 1].milliseconds + 1))
        if settled > page[-1]:
            # What is listed after the page was not given yet.
            return Marker(page[-1], _since(page[-1], self.seen))
        return Marker(settled, _since(settled, given))

    def __str__(self) -> str:
        """The marker in the characters that ids are made of."""
        if not self.seen:
            return self.after
        start = _Seen.of(self.after).milliseconds
        return base64.urlsafe_b64encode(b''.join(
            [uuid.UUID(self.after).bytes,
             *(packed.to_bytes(_SEEN_BYTES) for packed in sorted(
                 seen.relative(start) for seen in self.seen))],
        )).decode().rstrip('=')

    @classmethod
    def parse(cls, text: str | None) -> 'Marker | None':
        """Undo :meth:`__str__`; None for what it can not have said.

        A message's id is a marker too: all up to that message is settled.
        """
        if not text:
            return cls()
        if names.is_message_id(text):
            return cls(text)
        try:
            packed = base64.b64decode(
                text + '=' * (-len(text) % 4), altchars='-_', validate=True)
        except (binascii.Error, TypeError, ValueError):
            return None
        given, count = packed[_ID_BYTES:], len(packed) - _ID_BYTES
        if count <= 0 or count % _SEEN_BYTES or count // _SEEN_BYTES > _MOST:
            return None
        after = str(uuid.UUID(bytes=packed[:_ID_BYTES]))
        if not names.is_message_id(after):
            return None
        start = _Seen.of(after).milliseconds
        return cls(after, frozenset(
            _Seen.absolute(
                int.from_bytes(given[index:index + _SEEN_BYTES]), start)
            for index in range(0, count, _SEEN_BYTES)))
