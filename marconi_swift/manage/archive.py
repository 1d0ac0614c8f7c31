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
"""The file that a queue's messages are exported to.

Lines of JSON, in UTF-8. The first says what it is, the last how many
messages there are, so that a file that was cut off is told from a whole one;
each line between is a :class:`marconi_swift.manage.portable.Message`::

    {"format": "marconi-swift-messages", "version": 1, "project": "p",
     "queue": "q", "metadata": {}, "exported": "2026-01-01T00:00:00Z"}
    {"ttl": 300, "left": 280, "id": "...", "body": 1, ...}
    {"messages": 1}
"""

from collections.abc import Iterable
from collections.abc import Iterator
import dataclasses
import logging
from typing import Any
from typing import NamedTuple
from typing import TextIO

from oslo_serialization import jsonutils

from marconi_swift import records
from marconi_swift.manage import portable

LOG = logging.getLogger(__name__)

_FORMAT = 'marconi-swift-messages'
_VERSION = 1


class BadFile(ValueError):
    """A file is no export that this release can read; names the line."""


@dataclasses.dataclass(frozen=True)
class Header:
    """Where the messages come from."""

    project: str | None
    queue: str
    metadata: dict[str, Any]
    #: When, in ISO 8601.
    exported: str

    def line(self) -> str:
        fields = dataclasses.asdict(self)
        return records.dump(
            {'format': _FORMAT, 'version': _VERSION, **fields}).decode()

    @classmethod
    def parse(cls, line: str) -> 'Header':
        """Undo :meth:`line`.

        :raises BadFile: it is none, or of a version that is not known.
        """
        try:
            given = jsonutils.loads(line)
            kind, version = given.pop('format'), given.pop('version')
        except (AttributeError, KeyError, TypeError, ValueError):
            raise BadFile(f'Line 1 does not say "format": "{_FORMAT}": this '
                          'is no export of messages.') from None
        if (kind, version) != (_FORMAT, _VERSION):
            raise BadFile(
                f'Line 1 says format {kind}, version {version}; this release '
                f'reads {_FORMAT}, version {_VERSION}.')
        try:
            return cls(**given)
        except TypeError as exc:
            raise BadFile(f'Line 1: {exc}.') from None


class Numbered(NamedTuple):
    """A message, and the line that it is in."""

    number: int
    message: portable.Message


class Written(NamedTuple):
    """How many messages a file has, and how many it should have besides."""

    messages: int
    left_out: int


def write(
    file: TextIO, header: Header, messages: Iterable[portable.Message],
) -> Written:
    """Write a whole file.

    Other drivers store MessagePack, which says more than JSON: a message that
    has such a body is logged and left out.
    """
    count = left_out = 0
    print(header.line(), file=file)
    for message in messages:
        try:
            line = message.line()
        except (RecursionError, TypeError, ValueError) as exc:
            LOG.error('Message %s was left out: JSON can not say its body: '
                      '%s.', message.id, exc)
            left_out += 1
            continue
        print(line, file=file)
        count += 1
    print(records.dump({'messages': count}).decode(), file=file)
    return Written(count, left_out)


class Reader:
    """Reads a file once, a line at a time.

    :ivar header: what its first line says.
    :raises BadFile: the first line is none of an export.
    """

    def __init__(self, file: TextIO) -> None:
        self._lines = enumerate(file, start=1)
        _, first = next(self._lines, (1, ''))
        self.header = Header.parse(first)

    def messages(self, after: int = 0) -> Iterator[Numbered]:
        """The messages beyond a line.

        :raises BadFile: a line is no message; or the file is at its end
            without the line that says so, after all messages.
        """
        number = 1
        for number, line in self._lines:
            if (count := _count(line)) is not None:
                self._check_end(number, count)
                return
            if number <= after:
                continue
            try:
                yield Numbered(number, portable.Message.parse(line))
            except portable.NotPortable as exc:
                raise BadFile(f'Line {number}: {exc}') from exc
        raise BadFile(
            f'The file ends after line {number} without the line that an '
            'export ends with: some of its messages are missing.')

    def _check_end(self, number: int, count: int) -> None:
        if count != number - 2:
            raise BadFile(
                f'Line {number} says that there are {count} messages, but '
                f'there are {number - 2} lines of them.')


def _count(line: str) -> int | None:
    """The number that a last line says; None for any other line."""
    try:
        given = jsonutils.loads(line)
    except ValueError:
        return None
    if isinstance(given, dict) and given.keys() == {'messages'}:
        return int(given['messages'])
    return None
