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

"""What containers and objects are called.

Containers of a queue are named ``<prefix>:<kind>:<project>:<queue>``.
Project and queue are percent-encoded so that no two pairs share a container
whatever characters they have, and hashed when that becomes too long for
Swift (256 bytes for a container, 1,024 for an object). Every formatter
stands beside its parser.

A queue may be spread over several containers of a kind, its parts. The first
is called as above, the others add ``:<part>``, a hexadecimal digit.

Message ids are UUIDv7 in their usual form: they sort by the clock of the
process that made them, and later ids of one process after earlier ones. Those
of a queue that is spread are UUIDv8, whose form is the application's: UUIDv7
but for the version, and for a digit that says the part.
"""

import hashlib
import math
import re
import reprlib
from typing import Any
from typing import NamedTuple
from urllib import parse
import uuid

import uuid_utils

#: Longest encoded project or queue: two of them, the longest prefix and the
#: longest kind fit 256 bytes.
_PART_MAX = 96

#: Longest encoded name in the name of a registry's object: longer than what
#: Zaqar's 64 characters can become, so that listings can decode it.
_NAME_MAX = 900

#: What stands for no project at all, and for an empty one; percent-encoding
#: makes neither from any other name.
_NONE, _EMPTY = '', '%'

_HASHED = '%~'
_SHA256 = re.compile('[0-9a-f]{64}')

#: What percent-encoding leaves as it is.
_PLAIN = re.compile('[A-Za-z0-9_.~-]*')

_UUID = re.compile(
    r'[0-9a-f]{8}-[0-9a-f]{4}-[78][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}',
    re.ASCII)

#: Most parts of a queue: what one digit can say.
PARTS_MAX = 16

#: Where an id has its version and its part. The part stands in the place of
#: the first digit that is random: those before it are a counter.
_VERSION_AT, _PART_AT = 14, 28


def encode(part: str | None, longest: int = _PART_MAX) -> str:
    """Encode a project or queue: injective, ASCII, at most ``longest`` bytes.

    The result has no ``/`` and no ``:``. Names whose encoding is longer are
    represented by their SHA-256, and can not be decoded.

    :raises TypeError: it is no text.
    """
    if part is None:
        return _NONE
    _check_type(part)
    # Names come from JSON, which can carry lone surrogates.
    quoted = parse.quote(part, safe='', errors='surrogatepass') or _EMPTY
    return quoted if len(quoted) <= longest else hashed(part)


def hashed(part: str) -> str:
    """Represent a name by its SHA-256."""
    return _HASHED + _hash(part)


def _check_type(text: Any) -> None:
    if not isinstance(text, str):
        raise TypeError('a name, project or subscriber is text, not '
                        f'{reprlib.repr(text)}')


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode(errors='surrogatepass')).hexdigest()


def decode(encoded: str) -> str | None:
    """Undo :func:`encode`.

    :raises ValueError: a hash stands there.
    """
    if encoded.startswith(_HASHED):
        raise ValueError(f'{encoded} is the hash of a longer name')
    if encoded == _NONE:
        return None
    if encoded == _EMPTY:
        return ''
    return parse.unquote(encoded, errors='surrogatepass')


def _is_encoded(text: str, longest: int = _PART_MAX) -> bool:
    """Tell whether this is what :func:`encode` makes of something."""
    if _PLAIN.fullmatch(text):
        return len(text) <= longest
    if text.startswith(_HASHED):
        return bool(_SHA256.fullmatch(text.removeprefix(_HASHED)))
    try:
        return encode(decode(text), longest) == text
    except ValueError:
        # Of UnicodeDecodeError, too.
        return False


#: Kinds of containers of which there can be many.
MESSAGES, CLAIMS, TOPIC, SUBSCRIPTIONS = _SCOPED = (
    'messages', 'claims', 'topic', 'subscriptions')

#: Those of which a queue can have several.
_SPREAD = (MESSAGES, CLAIMS)

_PART = re.compile(r'[1-9a-f]')

#: The kind of the container of :mod:`marconi_swift.election`.
ELECTIONS = 'elections'


class Place(NamedTuple):
    """What a container holds."""

    kind: str
    #: Of a queue or topic; None for no project.
    project: str | None = None
    #: Of a queue or topic; None if it or its project is too long to tell.
    name: str | None = None


def parse_container(prefix: str, container: str) -> Place | None:
    """Undo the functions below, as far as what is kept there is swept.

    None for a container of another kind, or that is none of ours.
    """
    kind, *rest = container.removeprefix(f'{prefix}:').split(':')
    if (kind, rest) == (ELECTIONS, []):
        return Place(ELECTIONS)
    if rest[2:] and kind in _SPREAD and _PART.fullmatch(rest[2]):
        del rest[2]
    if kind not in _SCOPED or len(rest) != 2 or not all(
            map(_is_encoded, rest)):
        return None
    try:
        return Place(kind, *map(decode, rest))
    except ValueError:
        return Place(kind)


def messages(prefix: str, project: str | None, queue: str) -> str:
    """Name the container of a queue's messages."""
    return f'{prefix}:{MESSAGES}:{encode(project)}:{encode(queue)}'


def all_messages(prefix: str) -> str:
    """What the names of all containers of queues' messages begin with."""
    return f'{prefix}:{MESSAGES}:'


def all_of_project(prefix: str, kind: str, project: str | None) -> str:
    """What the names of a project's containers of a kind begin with."""
    return f'{prefix}:{kind}:{encode(project)}:'


def claims(prefix: str, project: str | None, queue: str) -> str:
    """Name the container of a queue's claims and gates."""
    return f'{prefix}:{CLAIMS}:{encode(project)}:{encode(queue)}'


def part(container: str, number: int) -> str:
    """Name one of a queue's containers.

    :param container: the first, which is number 0.
    """
    return f'{container}:{number:x}' if number else container


def home(container: str, made_id: str) -> str:
    """Name the one of a queue's containers that an id says it is in."""
    return part(container, part_number(made_id))


def topic_messages(prefix: str, project: str | None, topic: str) -> str:
    """Name the container of a topic's messages: not that of a queue's."""
    return f'{prefix}:{TOPIC}:{encode(project)}:{encode(topic)}'


def subscriptions(prefix: str, project: str | None, queue: str) -> str:
    """Name the container of a queue's subscriptions."""
    return f'{prefix}:{SUBSCRIPTIONS}:{encode(project)}:{encode(queue)}'


_SUBSCRIPTION = 'subscription/'


def subscription(subscription_id: str) -> str:
    """Name the record of a subscription."""
    return _SUBSCRIPTION + subscription_id


def subscription_id(name: str) -> str:
    """Undo :func:`subscription`."""
    return name.removeprefix(_SUBSCRIPTION)


def subscriber(url: str) -> str:
    """Name what says which subscription a subscriber has, however long.

    :raises TypeError: it is no text.
    """
    _check_type(url)
    return f'subscriber/{_hash(url)}'


def registry(prefix: str, kind: str) -> str:
    """Name the container of the control plane's records of one kind."""
    return f'{prefix}:{kind}'


def scoped(project: str | None, name: str) -> str:
    """Name the record of something that belongs to a project.

    Records of one project share the prefix ``scoped(project, '')``, and
    sort by name as long as that is of the characters that Zaqar allows.
    """
    return f'{encode(project)}:{encode(name, _NAME_MAX) if name else ""}'


def is_scoped(record: str) -> bool:
    """Tell whether :func:`scoped` makes this name of something."""
    project, _, name = record.partition(':')
    return (name not in (_NONE, _EMPTY) and _is_encoded(project)
            and _is_encoded(name, _NAME_MAX))


def parse_scoped(record: str) -> tuple[str | None, str | None]:
    """Undo :func:`scoped`.

    :raises ValueError: one of the two was too long to tell.
    """
    project, _, name = record.partition(':')
    return decode(project), decode(name)


def new_message_id(number: int | None = None) -> str:
    """Make an id that sorts after all that this process made before.

    (Of those of the same millisecond, one without a part sorts first.)

    :param number: the part that it says it is in; None for a queue that has
        one container.
    """
    made = str(uuid_utils.uuid7())
    if number is None:
        return made
    return (f'{made[:_VERSION_AT]}8{made[_VERSION_AT + 1:_PART_AT]}'
            f'{number:x}{made[_PART_AT + 1:]}')


def part_number(made_id: str) -> int:
    """The part that an id of :func:`new_message_id` says it is in."""
    if made_id[_VERSION_AT] == '7':
        return 0
    return int(made_id[_PART_AT], base=16)


def derived_id(tick: int, source: str) -> str:
    """Make the one id that a message of another store has in this one.

    Such ids sort by their ticks among themselves, and by their milliseconds
    among those of :func:`new_message_id`.

    :param tick: when it was posted: units of 100 ns since the epoch, the
        resolution of UUIDv1.
    :param source: what it is called in the other store.
    """
    milliseconds, rest = divmod(tick, 10_000)
    return str(uuid.UUID(int=(
        milliseconds << 80 | 7 << 76 | rest >> 2 << 64 | 2 << 62
        | (rest & 3) << 60 | int(derived_end(source), 16))))


def derived_tick(derived: str) -> int:
    """The tick of an id of :func:`derived_id`."""
    number = uuid.UUID(derived).int
    return ((number >> 80) * 10_000 + (number >> 64 & 0xfff) * 4
            + (number >> 60 & 3))


def derived_end(source: str) -> str:
    """What :func:`derived_id` ends with, whatever the tick."""
    return _hash(source)[:15]


def end_of(message_id: str) -> str:
    """The part of an id that :func:`derived_end` makes."""
    return message_id.replace('-', '')[17:]


def first_id(at: float) -> str:
    """The id that sorts before all that are made at a moment or later."""
    return first_id_of(max(0, math.floor(at * 1000)))


def first_id_of(milliseconds: int) -> str:
    """The id that sorts before all of this millisecond since the epoch."""
    time = f'{milliseconds:012x}'
    return f'{time[:8]}-{time[8:]}-7000-8000-000000000000'


def is_message_id(candidate: Any) -> bool:
    """Tell whether this could be an id of :func:`new_message_id`.

    Ids come from users, who may send anything at all.
    """
    return isinstance(candidate, str) and bool(_UUID.fullmatch(candidate))


def posted_at(message_id: str) -> float:
    """When an id was made: seconds since the epoch by its maker's clock."""
    return int(message_id[:8] + message_id[9:13], 16) / 1000
