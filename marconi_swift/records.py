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
"""What the stored things say, to and from what Swift stores of them.

========  ================================================================
message   Content-Type: :meth:`Message.content_type`; body: JSON, as posted
gate      Content-Type: :meth:`Pass.content_type`; no body
claim     Content-Type: :meth:`Claim.content_type`; body: JSON,
          :meth:`Claim.body`
subscr.   Content-Type: :meth:`Subscription.content_type`; body: JSON,
          :meth:`Subscription.body`
holder    Content-Type: :meth:`Subscription.holder_type`; body: an id
========  ================================================================

A Content-Type carries what a listing needs to decide: Swift returns it in
every row, and a POST that sends one updates the row. The same header of
the object itself is the truth that the row is a hint of.

Times are seconds since the epoch by the clock of the process that wrote
them. Each record answers questions about itself, given ``now``.
"""

from collections.abc import Mapping
import dataclasses
import datetime
import math
from typing import Any
from typing import TypeVar
from urllib import parse

from oslo_serialization import jsonutils
from oslo_utils import timeutils

from marconi_swift import names

#: Version of all formats in this module; others are left alone.
_VERSION = '1'

_MEDIA_TYPE = 'application/json'

#: First part of the name of a gate's object.
GATE = 'gate/'

#: Seconds for which Swift keeps what has expired. Expiry is decided from
#: the records, by our clocks; X-Delete-At only sweeps, by Swift's, and this
#: much may the clocks differ before it sweeps what is not expired yet.
SWEEP_AFTER = 60

#: Seconds for which Swift keeps the record of a claim that is over. Its
#: expirer deletes as of X-Delete-At (``swift/obj/expirer.py``), which is
#: later than any renewal of the claim. So a node that missed a renewal has
#: to be told within this time; else it deletes what the others renewed.
KEEP_CLAIM = 300

#: Seconds for which Swift keeps what names that claim in gates. An expirer's
#: pass (300 seconds, by default) later: the owner is told that the claim is
#: over before others can find the gates empty.
KEEP_GATE = 600

#: Larger numbers are not written; beyond, not every second is a float.
_LARGEST = 2 ** 53

#: What sorts after the ids of all moments that Python has dates for.
_NEVER = names.first_id(253_402_300_800)

_N = TypeVar('_N', int, float)

#: Longest id of a client that is kept as it is, percent-encoded: all of a
#: Content-Type has to fit the extended attributes of Swift's disks (4 kB on
#: ext4), beside what else Swift keeps there.
_POSTER_MAX = 1024


def now() -> float:
    """Seconds since the epoch, through the clock that Zaqar's tests set.

    In whole milliseconds, as times are stored: what is computed from a
    time, such as X-Delete-At, is the same before it was stored and after.
    """
    return round(float(timeutils.utcnow_ts(True)), 3)


@dataclasses.dataclass(frozen=True)
class Hold:
    """A claim's hold on a message, or on its gate."""

    claim: str
    #: When it ends by itself.
    until: int
    #: When a renewal was about to write this; 0 if none did.
    renewed: int = 0


@dataclasses.dataclass(frozen=True)
class Pass:
    """What stands in a gate: who went through, and on what terms.

    It is all that a claimer who lost needs to write the winner's claim back
    to a message.
    """

    hold: Hold
    #: Seconds that a message outlives the claim.
    grace: int

    @property
    def delete_at(self) -> int:
        """The moment at which Swift may remove it."""
        return self.hold.until + KEEP_GATE

    def content_type(self) -> str:
        return _content_type(
            {**_hold_parameters(self.hold), 'grace': str(self.grace)})

    @classmethod
    def parse(cls, content_type: str) -> 'Pass | None':
        """Undo :meth:`content_type`; None if this is no gate of ours."""
        given = _parameters(content_type)
        try:
            hold = _hold(given) if given else None
            return cls(hold, _whole(given['grace'])) if (
                given and hold) else None
        except (KeyError, ValueError):
            return None


def poster(client: Any) -> str:
    """What stands for a client as the poster of a message: its id.

    If that is too long, a hash of it.
    """
    name = str(client)
    return name if len(_quoted(name)) <= _POSTER_MAX else names.hashed(name)


@dataclasses.dataclass(frozen=True)
class Message:
    """All that is stored of a message, but its body."""

    id: str
    #: Seconds, as the API shows it.
    ttl: int
    expires: float
    #: As :func:`poster` says.
    poster: str
    #: Neither listed nor claimed before this moment.
    delayed_until: float = 0.0
    checksum: str | None = None
    #: How often it was claimed.
    claim_count: int = 0
    hold: Hold | None = None

    def expired(self, at: float) -> bool:
        return self.expires <= at

    def delayed(self, at: float) -> bool:
        return self.delayed_until > at

    def held(self, at: float) -> Hold | None:
        """The claim that holds it at a moment, as far as it knows."""
        return self.hold if self.hold and self.hold.until > at else None

    def age(self, at: float) -> int:
        """Whole seconds since it was posted, however the clocks differ."""
        return _age(names.posted_at(self.id), at)

    @property
    def delete_at(self) -> float:
        """The moment at which Swift may remove it."""
        return self.expires + SWEEP_AFTER

    def taken(self, hold: Hold, at: float, grace: int) -> 'Message':
        """This message as a claim takes, or renews, its hold on it.

        It outlives the claim by ``grace`` seconds; its life changes only
        if it would end before that.
        """
        lasts = hold.until + grace
        if lasts <= self.expires:
            return dataclasses.replace(self, hold=hold)
        return dataclasses.replace(
            self, hold=hold, expires=float(lasts),
            ttl=lasts - math.floor(at))

    def shown(self, body: Any, at: float) -> dict[str, Any]:
        """The message as Zaqar wants it."""
        held = self.held(at)
        message = {
            'id': self.id,
            'age': self.age(at),
            'ttl': self.ttl,
            'body': body,
            'claim_id': held.claim if held else None,
            'claim_count': self.claim_count,
        }
        if self.checksum is not None:
            message['checksum'] = self.checksum
        return message

    def summary(self, at: float) -> dict[str, Any]:
        """The message as a queue's stats show their oldest and newest."""
        created = datetime.datetime.fromtimestamp(
            names.posted_at(self.id), datetime.UTC)
        return {'id': self.id, 'age': self.age(at),
                'created': created.strftime('%Y-%m-%dT%H:%M:%SZ')}

    def released(self) -> 'Message':
        """This message as it is when no claim holds it."""
        return dataclasses.replace(self, hold=None)

    def content_type(self) -> str:
        parameters = {
            'ttl': str(self.ttl),
            'expires': f'{self.expires:.3f}',
            'poster': self.poster,
        }
        if self.delayed_until:
            parameters['delayed'] = f'{self.delayed_until:.3f}'
        if self.checksum is not None:
            parameters['checksum'] = self.checksum
        if self.claim_count:
            parameters['count'] = str(self.claim_count)
        if self.hold:
            parameters |= _hold_parameters(self.hold)
        return _content_type(parameters)

    @classmethod
    def parse(cls, name: str, content_type: str) -> 'Message | None':
        """Undo :meth:`content_type`; None if this is no message of ours."""
        given = _parameters(content_type)
        if given is None or not _could_be_made(name):
            return None
        try:
            return cls(
                id=name,
                ttl=_whole(given['ttl']),
                expires=_number(given['expires']),
                poster=given['poster'],
                delayed_until=_number(given.get('delayed', '0')),
                checksum=given.get('checksum'),
                claim_count=_whole(given.get('count', '0')),
                hold=_hold(given))
        except (KeyError, ValueError):
            return None


@dataclasses.dataclass(frozen=True)
class Claim:
    """The authority on what a claim holds.

    What it won is in the record's body and never changes; what a renewal
    changes is in its Content-Type. So a renewal is a POST, which can not
    bring back the record of a claim that was released meanwhile.
    """

    id: str
    #: Seconds, from the last renewal.
    ttl: int
    #: When it was made or last renewed.
    renewed: float
    until: int
    #: Its messages live until then at least,
    lasts: int
    #: and are shown with this ttl, in seconds, if that is later than before.
    lifetime: int
    #: What stood in the gates of its messages when it won them.
    entered: Pass
    #: The messages as they were when it won them.
    won: Mapping[str, Message]

    @classmethod
    def made(
        cls, entered: Pass, ttl: int, at: float, won: Mapping[str, Message],
    ) -> 'Claim':
        """A claim that was just won."""
        lasts = entered.hold.until + entered.grace
        return cls(
            id=entered.hold.claim, ttl=ttl, renewed=at,
            until=entered.hold.until, lasts=lasts,
            lifetime=lasts - math.floor(at), entered=entered, won=won)

    def extended(self, ttl: int, grace: int, at: float) -> 'Claim':
        """This claim as a renewal makes it."""
        renewed = dataclasses.replace(
            self, ttl=ttl, renewed=at, until=math.floor(at) + ttl)
        lasts = renewed.until + grace
        if lasts <= self.lasts:
            return renewed
        return dataclasses.replace(
            renewed, lasts=lasts, lifetime=lasts - math.floor(at))

    def given_up(self, at: float) -> 'Claim':
        """This claim as one that is over, and never held anything."""
        return dataclasses.replace(self, until=math.floor(at), won={})

    def messages(self) -> list[Message]:
        """Its messages as it holds them now."""
        hold = Hold(self.id, self.until)
        return [
            dataclasses.replace(message, hold=hold)
            if self.lasts <= message.expires else dataclasses.replace(
                message, hold=hold, expires=float(self.lasts),
                ttl=self.lifetime)
            for message in self.won.values()]

    def named(self, renewed: int = 0) -> Pass:
        """What stands in the gates of its messages.

        :param renewed: see :class:`Hold`.
        """
        return Pass(Hold(self.id, self.until, renewed),
                    self.lasts - self.until)

    def live(self, at: float) -> bool:
        return self.until > at

    def holds(self, message_id: str, at: float) -> bool:
        return self.live(at) and message_id in self.won

    def shown(self, at: float) -> dict[str, Any]:
        """The claim as Zaqar wants it; its age is that of its renewal."""
        return {'id': self.id, 'ttl': self.ttl,
                'age': _age(self.renewed, at)}

    @property
    def delete_at(self) -> float:
        """The moment at which Swift may remove the record."""
        return self.until + KEEP_CLAIM

    def content_type(self) -> str:
        return _content_type({
            'ttl': str(self.ttl), 'renewed': f'{self.renewed:.3f}',
            'until': str(self.until), 'lasts': str(self.lasts),
            'lifetime': str(self.lifetime),
            'won': '.'.join(map(digest, self.won))})

    def body(self) -> bytes:
        return dump({
            'v': int(_VERSION), 'entered': self.entered.content_type(),
            'won': {name: message.content_type()
                    for name, message in self.won.items()}})

    @classmethod
    def parse(
        cls, claim_id: str, content_type: str, body: bytes,
    ) -> 'Claim | None':
        """Undo the two; None if this is no claim of ours."""
        given = _parameters(content_type)
        try:
            stored = load(body)
            if given is None or stored['v'] != int(_VERSION):
                return None
            entered = Pass.parse(stored['entered'])
            won = {name: Message.parse(name, described)
                   for name, described in stored['won'].items()}
            if entered is None:
                return None
            return cls(
                id=claim_id, ttl=_whole(given['ttl']),
                renewed=_number(given['renewed']),
                until=_whole(given['until']), lasts=_whole(given['lasts']),
                lifetime=_whole(given['lifetime']),
                entered=entered,
                won={name: message for name, message in won.items()
                     if message is not None})
        except (KeyError, ValueError, TypeError, AttributeError):
            return None


@dataclasses.dataclass(frozen=True)
class Subscription:
    """Somebody to whom the messages of a queue are sent.

    What is confirmed or renewed is in the Content-Type, which a POST
    changes: it can not bring back a subscription that was deleted meanwhile.
    The rest is in the body, whose ETag in a listing tells whether it changed.
    """

    id: str
    #: A URL of any length.
    subscriber: str
    #: Seconds.
    ttl: int
    expires: float
    options: Any
    confirmed: bool = False

    def expired(self, at: float) -> bool:
        return self.expires <= at

    @property
    def delete_at(self) -> float:
        """The moment at which Swift may remove it."""
        return self.expires + SWEEP_AFTER

    def shown(self, source: str, at: float) -> dict[str, Any]:
        """The subscription as Zaqar wants it; the age is of its ttl."""
        return {
            'id': self.id, 'source': source, 'subscriber': self.subscriber,
            'ttl': self.ttl, 'options': self.options,
            'age': _age(self.expires - self.ttl, at),
            'confirmed': self.confirmed}

    def content_type(self) -> str:
        return _content_type({
            'ttl': str(self.ttl), 'expires': f'{self.expires:.3f}',
            'confirmed': str(int(self.confirmed))})

    def body(self) -> bytes:
        return dump({'v': int(_VERSION), 'subscriber': self.subscriber,
                     'options': self.options})

    def holder_type(self) -> str:
        """The Content-Type of what says that its subscriber has it.

        The body of that is the subscription's id.
        """
        return _content_type({'expires': f'{self.expires:.3f}'})

    @classmethod
    def parse(
        cls, subscription_id: str, content_type: str, body: bytes,
    ) -> 'Subscription | None':
        """Undo the two; None if this is no subscription of ours."""
        given = _parameters(content_type)
        try:
            stored = load(body)
            if (given is None or stored['v'] != int(_VERSION)
                    or not names.is_message_id(subscription_id)
                    or not isinstance(stored['subscriber'], str)):
                return None
            return cls(
                id=subscription_id, subscriber=stored['subscriber'],
                ttl=_whole(given['ttl']), expires=_number(given['expires']),
                options=stored['options'],
                confirmed=given['confirmed'] == '1')
        except (KeyError, ValueError, TypeError):
            return None


def _could_be_made(message_id: str) -> bool:
    return names.is_message_id(message_id) and message_id < _NEVER


def expires(content_type: str) -> float | None:
    """When what a listing shows expires; None if it is none of ours."""
    given = _parameters(content_type) or {}
    try:
        return _number(given['expires'])
    except (KeyError, ValueError):
        return None


def digest(message_id: str) -> str:
    """A short form of a message's id, for a claim's row in a listing."""
    return message_id[-12:]


def digests(content_type: str, at: float) -> dict[str, int]:
    """Until when a live claim holds what its row says it won.

    By the messages' short forms. Empty for a claim that was over at that
    moment, and for other rows.
    """
    given = _parameters(content_type) or {}
    try:
        until = _whole(given['until'])
    except (KeyError, ValueError):
        return {}
    return dict.fromkeys(
        given.get('won', '').split('.'), until) if until > at else {}


def until_type(until: int) -> str:
    """The Content-Type of what is empty and lasts until a moment."""
    return _content_type({'until': str(until)})


def delete_at(name: str, content_type: str) -> float | None:
    """The moment at which Swift may remove an object, by its row.

    None if it may not, or is none of ours.
    """
    given = _parameters(content_type) or {}
    try:
        if 'expires' in given:
            return _number(given['expires']) + SWEEP_AFTER
        if 'won' in given:
            return _whole(given['until']) + KEEP_CLAIM
        if name.startswith(GATE):
            return _whole(given['until']) + KEEP_GATE
        return _whole(given['until'])
    except (KeyError, ValueError):
        return None


def _age(since: float, at: float) -> int:
    """Whole seconds since a moment, however the clocks differ."""
    # Differences of milliseconds are a little off in binary.
    return max(0, math.floor(round(at - since, 3)))


def _number(text: str) -> float:
    return _checked(float(text))


def _whole(text: str) -> int:
    return _checked(int(text))


def _checked(number: _N) -> _N:
    """Return a number that can be computed with.

    :raises ValueError: it is infinite, none at all, or too large.
    """
    if not -_LARGEST < number < _LARGEST:
        raise ValueError(f'{number} is no number that is written')
    return number


def _hold_parameters(hold: Hold) -> dict[str, str]:
    parameters = {'claim': hold.claim, 'until': str(hold.until)}
    if hold.renewed:
        parameters['renewed'] = str(hold.renewed)
    return parameters


def _hold(given: Mapping[str, str]) -> Hold | None:
    if 'claim' not in given:
        return None
    return Hold(given['claim'], _whole(given['until']),
                _whole(given.get('renewed', '0')))


def _content_type(parameters: Mapping[str, str]) -> str:
    """Build a media type whose parameters are all plain tokens.

    Swift's listing parser drops parts of parameters that are not
    (``swift.common.utils.parse_content_type``).
    """
    return ';'.join([_MEDIA_TYPE, f'v={_VERSION}', *(
        f'{key}={_quoted(value)}' for key, value in parameters.items())])


def _quoted(value: str) -> str:
    return parse.quote(value, safe='', errors='surrogatepass')


def _parameters(content_type: str) -> dict[str, str] | None:
    """Undo :func:`_content_type`; None for what it did not build."""
    media_type, *parameters = content_type.split(';')
    given = {}
    for parameter in parameters:
        key, _, value = parameter.strip().partition('=')
        try:
            given[key] = parse.unquote(value, errors='surrogatepass')
        except UnicodeDecodeError:
            return None
    if media_type.strip() != _MEDIA_TYPE or given.pop('v', '') != _VERSION:
        return None
    return given


def dump(body: Any) -> bytes:
    """Serialise a message's body, which may contain bytes.

    Zaqar's encryption replaces bodies by bytes
    (``zaqar.transport.encryptor``).
    """
    dumped: bytes = jsonutils.dump_as_bytes(body)
    return dumped


def load(body: bytes) -> Any:
    """Undo :func:`dump`.

    :raises ValueError: it is no JSON, or nested deeper than Python reads.
    """
    try:
        return jsonutils.loads(body)
    except RecursionError as exc:
        raise ValueError(str(exc)) from exc
