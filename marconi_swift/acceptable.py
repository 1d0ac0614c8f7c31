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
"""What users may give: nothing that could not be handed out again.

Zaqar's APIs take what Python's json reads, and answer in UTF-8. JSON can
write half of a surrogate pair, which UTF-8 can not; and Python reads and
writes values nested as deep as its stack happens to be free. Once stored,
such a value would fail every answer that it is part of: the listing of its
queue, or a claim that it is won by, for as long as it lives. So would
infinity, for all clients but those in Python: it reads JSON's ``1e400`` as
that, and ``NaN`` and ``Infinity``, and writes them, though they are no JSON.
What came in MessagePack, JSON may have no word for, and makes lists of its
extension types; and MessagePack has none for integers of more than 64 bits,
so that whoever is to be answered in it, over a WebSocket, would lose the
connection instead.
"""

from collections.abc import Iterator
from collections.abc import Mapping
import itertools
import re
import reprlib
from typing import Any

from oslo_serialization import jsonutils
from zaqar.transport import validation

from marconi_swift import records

#: Levels of lists and objects in one another. Python reads and writes about
#: 950 of them on an empty stack, of which a server may have used 200.
MAX_DEPTH = 500

#: The last second that Python's dates can say, of the year 9999.
_LATEST = 253_402_300_799

#: The integers that MessagePack has, and what all others look like.
_INTEGERS = range(-2 ** 63, 2 ** 64)
_LONG = re.compile(rb'[0-9]{19}')

#: What becomes of MessagePack's extension types, and of some lists.
_EXTENSION = re.compile(rb'\[[0-9]{1,3}, "')

#: What JSON has lists and objects of.
_NESTING = (Mapping, list, tuple)


class Unacceptable(validation.ValidationFailed):
    """What Zaqar answers 400 to, and shows why, nearly everywhere.

    To the creation of a queue over HTTP it answers 503.
    """

    def __init__(self, message: str) -> None:
        # Zaqar formats what it is given.
        super().__init__('{0}', message)


def dump(value: Any, what: str) -> bytes:
    """Serialise what a user gave; see :func:`marconi_swift.records.dump`.

    :param what: what it is, for the message of the error.
    :raises Unacceptable: it could not be handed out.
    """
    try:
        dumped = records.dump(value)
        # They may be texts.
        if b'NaN' in dumped or b'Infinity' in dumped:
            jsonutils.dumps(value, allow_nan=False)
    except RecursionError:
        raise _too_deep(what) from None
    except (TypeError, ValueError) as exc:
        # MessagePack, over a WebSocket, has keys and values of its own; and
        # numbers can be no numbers, or too large for Python.
        raise Unacceptable(f'JSON can not say {what}: {exc}.') from None
    # Most values need no closer look.
    if (dumped.count(b'[') + dumped.count(b'{') > MAX_DEPTH
            and _is_deeper(value, MAX_DEPTH)):
        raise _too_deep(what)
    if b'\\ud' in dumped:
        try:
            jsonutils.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise Unacceptable(f'UTF-8 can not write {what}.') from None
    # They may be texts.
    if _LONG.search(dumped) and any(
            isinstance(each, int) and each not in _INTEGERS
            for each in _everything_in(value)):
        raise Unacceptable(
            f'An integer is in {what} that 64 bits can not say.')
    # They may be lists, which neither JSON nor MessagePack reads as tuples.
    if _EXTENSION.search(dumped) and any(
            isinstance(each, tuple) for each in _everything_in(value)):
        raise Unacceptable(
            f'JSON can not say {what}: it has no extension types.')
    return dumped


def check(value: Any, what: str) -> None:
    """As :func:`dump`, if the result is not wanted."""
    dump(value, what)


def check_text(text: Any, what: str, shortest: int = 1) -> None:
    """Refuse what is too short, or no text that UTF-8 can write.

    :raises Unacceptable: it is none.
    """
    if not isinstance(text, str) or len(text) < shortest:
        raise Unacceptable(f'{reprlib.repr(text)} is no text for {what}.')
    check(text, what)


def check_lifetime(seconds: Any, what: str, shortest: int = 1) -> None:
    """Refuse what is no number of seconds that something can live for.

    :raises Unacceptable: it is none.
    """
    if (not isinstance(seconds, int)
            or not shortest <= seconds <= _LATEST - records.now()):
        raise Unacceptable(
            f'{reprlib.repr(seconds)} can not be {what}: a number of seconds, '
            f'at least {shortest}, that ends before the year 10000.')


def _too_deep(what: str) -> Unacceptable:
    return Unacceptable(
        f'More than {MAX_DEPTH} levels of lists and objects are in {what}.')


def _is_deeper(value: Any, most: int) -> bool:
    levels = itertools.islice(_levels(value), most, None)
    return any(isinstance(each, _NESTING) for each in next(levels, ()))


def _everything_in(value: Any) -> Iterator[Any]:
    """A value, and those that it is made of."""
    return itertools.chain.from_iterable(_levels(value))


def _levels(value: Any) -> Iterator[list[Any]]:
    level = [value]
    while level:
        yield level
        level = list(itertools.chain.from_iterable(map(_children, level)))


def _children(value: Any) -> Any:
    if isinstance(value, Mapping):
        return value.values()
    return value if isinstance(value, _NESTING) else ()
