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
"""Reading a queue's container: hints from its listing, then the truth."""

from collections.abc import Callable
from collections.abc import Iterator
import itertools
from typing import Any
from typing import NamedTuple

from marconi_swift import names
from marconi_swift import notices
from marconi_swift import records
from marconi_swift.data import spread
from marconi_swift.store import objects

#: Messages that :func:`everything` reads side by side.
_READ_AHEAD = 100

#: Rows of the first listing by who looks for messages: where nothing is known
#: of the queue, enough to look past several hundred claimed or expired ones.
_FEWEST_ROWS, _MOST_ROWS = 100, 1000

#: How many rows were looked at, the last time, from the start of a queue and
#: from within it: what is looked for is likely to be as far away the next
#: time. Of so many at most. A race of threads can cost a request, no more.
_looked_at: dict[tuple[str, bool], int] = {}
_REMEMBERED = 2000

Wanted = Callable[[records.Message], bool]


class Read(NamedTuple):
    """A message as it was read: its record and its body."""

    message: records.Message
    body: Any


def hints(
    parts: spread.Parts, *, marker: str = '',
    first: int = objects.PAGE, reverse: bool = False,
) -> Iterator[records.Message]:
    """What the listing says of each message, in the order of posting.

    Expired ones are left out, and so is whatever this release did not
    write. Lists only as far as it is iterated.
    """
    return _messages(parts.rows(marker=marker, first=first, reverse=reverse))


def search(
    parts: spread.Parts, marker: str = '',
) -> Iterator[records.Message]:
    """:func:`hints` for who is done when he has found enough.

    The first listing is as long as it takes, by what this process had to
    look at the last time.
    """
    key = parts.first, bool(marker)
    last = _looked_at.get(key)
    if len(_looked_at) >= _REMEMBERED:
        _looked_at.clear()
    first = _MOST_ROWS if last is None else max(
        _FEWEST_ROWS, min(2 * last, _MOST_ROWS), last + last // 4)
    return _messages(_counted(key, parts.rows(marker=marker, first=first)))


def _counted(
    key: tuple[str, bool], rows: Iterator[spread.Found],
) -> Iterator[spread.Found]:
    """The same rows, and how many of them were asked for."""
    _looked_at[key] = 0
    for number, row in enumerate(rows, 1):
        _looked_at[key] = number
        yield row


def _messages(rows: Iterator[spread.Found]) -> Iterator[records.Message]:
    at = records.now()
    for container, row in rows:
        message = records.Message.parse(row.name, row.content_type)
        if message is None:
            _report_foreign(container, row.name)
        elif not message.expired(at):
            yield message


def forget() -> None:
    """Begin anew, as a process that has listed nothing yet."""
    _looked_at.clear()


def read(
    store: objects.ObjectStore, container: str, message_id: str, *,
    newest: bool = False,
) -> Read | None:
    """Read one message, or None if it is not there or has expired.

    :param container: the first of its queue.
    """
    container = names.home(container, message_id)
    stored = store.read(container, message_id, newest=newest)
    if stored is None:
        return None
    message = records.Message.parse(message_id, stored.content_type)
    if message is None:
        _report_foreign(container, message_id)
        return None
    if message.expired(records.now()):
        return None
    try:
        return Read(message, records.load(stored.body))
    except ValueError:
        _report_foreign(container, message_id)
        return None


def head(
    store: objects.ObjectStore, container: str, message_id: str,
) -> records.Message | None:
    """Read the newest record of one message, or None as :func:`read`."""
    stored = store.head(names.home(container, message_id), message_id)
    if stored is None:
        return None
    message = records.Message.parse(message_id, stored.content_type)
    if message is None or message.expired(records.now()):
        return None
    return message


def confirmed(
    store: objects.ObjectStore, container: str, wanted: Wanted,
    hinted: Iterator[records.Message], limit: int,
) -> Iterator[Read]:
    """Read the first messages that are wanted by their own word.

    Each batch is read side by side. What a hint rules out is not read.
    """
    missing = limit
    hinted = filter(wanted, hinted)
    while missing and (batch := list(itertools.islice(hinted, missing))):
        for found in store.each(
                lambda hint: read(store, container, hint.id), batch):
            if found is not None and wanted(found.message):
                missing -= 1
                yield found


def everything(
    store: objects.ObjectStore, parts: spread.Parts, after: str = '',
) -> Iterator[Read]:
    """Read all messages in the order of posting, as far as it is iterated.

    Also those that are claimed or delayed; none that have expired.

    :param after: the id after which to begin.
    """
    hinted = hints(parts, marker=after, first=_READ_AHEAD)
    while batch := list(itertools.islice(hinted, _READ_AHEAD)):
        for found in store.each(
                lambda hint: read(store, parts.first, hint.id), batch):
            if found is not None:
                yield found


def _report_foreign(container: str, name: str) -> None:
    notices.foreign(container, name, 'message')
