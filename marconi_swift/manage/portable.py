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
"""Messages on their way from one store to another, and as lines of JSON.

A line is an object with the fields of :class:`Message`; those that say
nothing are left out. A body of bytes, as Zaqar's encryption makes them, is
``body_base64``.
"""

import base64
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
import dataclasses
import functools
import itertools
import math
from typing import Any
from typing import NamedTuple
import uuid

from oslo_serialization import jsonutils
from oslo_utils import timeutils
from zaqar.storage import errors as storage_errors
from zaqar.storage.swift import driver as swift_driver

from marconi_swift import driver as drivers
from marconi_swift import names
from marconi_swift import records
from marconi_swift.data import listing
from marconi_swift.data import queue as queues

#: Messages that are read or posted at a time.
PAGE = 100

#: What a page has at most where smaller ones were empty: no queue of Zaqar's
#: redis driver, whose sorted sets keep the ids of what has expired, has more.
_WIDEST = 2 ** 32

#: The same of Zaqar's swift driver, which lists past what has expired by
#: itself. It asks Swift for twice as many, which gives 10,000.
_WIDEST_OF_SWIFT = 5000

#: Claims that are remembered, whether they are over.
_CLAIMS = 1000

#: The marker before all messages of other drivers: that of mongodb takes
#: numbers, redis fails at None (``zaqar.storage.redis.messages``).
_START = '0'


class NotPortable(ValueError):
    """What a line says is no message."""


@dataclasses.dataclass(frozen=True)
class Message:
    """A message without a place; times are seconds from when it was read.

    Whether it is claimed is left behind: it is free where it arrives.
    """

    body: Any
    #: As the API shows it.
    ttl: int
    #: What is left of its ttl.
    left: int
    #: What is left of its delay.
    delay: int = 0
    #: Client id of the poster; None if the store does not tell.
    client: str | None = None
    #: How often it was claimed.
    claims: int = 0
    #: What it was called in the store that it comes from.
    id: str = ''
    #: Seconds since the epoch.
    created: int = 0

    def line(self) -> str:
        """This message as one line of JSON, without its end."""
        fields = {key: value for key, value in self._fields().items()
                  if value not in (None, '', 0) or key in ('ttl', 'left')}
        kind, body = ('body', self.body) if not isinstance(
            self.body, bytes) else (
                'body_base64', base64.b64encode(self.body).decode())
        return records.dump({**fields, kind: body}).decode()

    def _fields(self) -> dict[str, Any]:
        return {field.name: getattr(self, field.name)
                for field in dataclasses.fields(self) if field.name != 'body'}

    @classmethod
    def parse(cls, line: str) -> 'Message':
        """Undo :meth:`line`.

        :raises NotPortable: it is no message, or is of a field that this
            release does not know.
        """
        try:
            return cls._of(jsonutils.loads(line))
        except (TypeError, ValueError, KeyError) as exc:
            raise NotPortable(f'This is no message: {exc}.') from exc

    @classmethod
    def _of(cls, given: Any) -> 'Message':
        if not isinstance(given, dict):
            raise ValueError('it is no JSON object')
        if 'body_base64' in given:
            given['body'] = base64.b64decode(
                given.pop('body_base64'), validate=True)
        message = cls(**given)
        for field in ('ttl', 'left', 'delay', 'claims', 'created'):
            value = getattr(message, field)
            if type(value) is not int or value < 0:
                raise ValueError(f'{field} is no number of 0 or more')
        if not isinstance(message.client, str | None):
            raise ValueError('client is no text')
        return message

    def posted(self) -> dict[str, Any]:
        """This message as a storage controller is asked to post it.

        Its ttl becomes what was left of it. Only this driver reads how
        often it was claimed.
        """
        return {'body': self.body, 'ttl': max(1, self.left),
                'delay': self.delay, 'claim_count': self.claims}


class Listed(NamedTuple):
    """A message as a controller lists it, and when that was."""

    message: dict[str, Any]
    #: Seconds since the epoch, from which its age counts back.
    at: float


def read(
    driver: Any, queue: str, project: str | None, after: str = '',
) -> Iterator[Message]:
    """Read all messages of a queue, oldest first, and change nothing.

    Those that are claimed or delayed, too. A page is in memory at a time.
    Of stores other than this driver's, who posted a message and how long it
    is delayed is not known: its delay is over where it arrives.

    :param driver: a data driver of Zaqar's; the storage itself, and not a
        pipeline in front of it.
    :param after: the id of a message of this driver's, or a marker of
        another's, after which to begin.
    :raises zaqar.storage.errors.ConnectionError: the store is not there.
    """
    if isinstance(driver, drivers.DataDriver):
        yield from _read_ours(driver, queue, project, after)
        return
    for message, at in listed(driver, queue, project, after):
        yield of_shown(message, at)


def listed(
    driver: Any, queue: str, project: str | None, after: str = '',
    limit: int = PAGE,
) -> Iterator[Listed]:
    """All messages of a queue as any controller lists them, page by page.

    Those that are claimed or delayed, too.

    :param after: as for :func:`read`.
    :param limit: messages of a page.
    """
    ours = isinstance(driver, drivers.DataDriver)
    marker: Any = after or (None if ours else _START)
    rows, most = limit, limit if ours else widest(driver)
    while True:
        pages = driver.message_controller.list(
            queue, project=project, marker=marker, limit=rows,
            echo=True, client_uuid=None, include_claimed=True,
            include_delayed=True)
        try:
            found = list(next(pages))
        except storage_errors.QueueDoesNotExist:
            if ours:
                raise
            # Zaqar's swift driver, of a pool that nothing was posted to.
            return
        # Zaqar's redis driver lists from the start, that message included,
        # after the first of a queue.
        page = [message for message in found if message['id'] != marker]
        at = timeutils.utcnow_ts()
        yield from (Listed(message, at) for message in page)
        if page:
            marker, rows = next(pages), limit
        elif rows >= most:
            return
        else:
            # It also gives an empty page where all messages have expired,
            # and none has been collected yet.
            rows = min(rows * 10, most)


def widest(driver: Any) -> int:
    """What to ask another driver for before an empty page is the end."""
    return (_WIDEST_OF_SWIFT if isinstance(driver, swift_driver.DataDriver)
            else _WIDEST)


def lives(
    driver: Any, queue: str, project: str | None,
) -> Callable[[str | None], bool]:
    """Tell the claims that hold a message from those that are over.

    Zaqar's drivers list a message with its last claim, also when that has
    ended by itself. Each is looked for once.

    :returns: what is to be asked about the ``claim_id`` of a message that
        is listed.
    """
    @functools.lru_cache(_CLAIMS)
    def found(claim: str) -> bool:
        try:
            driver.claim_controller.get(queue, claim, project=project)
        except storage_errors.ClaimDoesNotExist:
            return False
        except TypeError:
            # Zaqar's redis driver, of one whose record Redis has removed.
            return False
        return True

    ours = isinstance(driver, drivers.DataDriver)
    return lambda claim: claim is not None and (ours or found(claim))


def _read_ours(
    driver: drivers.DataDriver, queue: str, project: str | None, after: str,
) -> Iterator[Message]:
    target = queues.queue(driver, queue, project)
    for found in listing.everything(target.store, target.parts, after):
        yield _of_ours(found, records.now())


def _of_ours(found: listing.Read, at: float) -> Message:
    message = found.message
    return Message(
        body=found.body, ttl=message.ttl,
        left=max(0, math.ceil(message.expires - at)),
        delay=max(0, math.ceil(message.delayed_until - at)),
        client=message.poster, claims=message.claim_count, id=message.id,
        created=math.floor(names.posted_at(message.id)))


def of_shown(message: dict[str, Any], at: float) -> Message:
    """A message as any controller lists it."""
    ttl, age = math.floor(message['ttl']), math.floor(message['age'])
    return Message(
        body=message['body'], ttl=ttl, left=max(0, ttl - age),
        claims=message.get('claim_count') or 0, id=str(message['id']),
        created=math.floor(at) - age)


def write(
    driver: Any, queue: str, project: str | None,
    messages: Iterable[Message],
) -> Iterator[int]:
    """Post messages to a queue that exists, in their order.

    Nobody is notified: subscriptions are served in front of the storage.
    Iterate to go on: each step posts a page, and tells how many it was.
    A poster that is not known, or that the store can not name, becomes a new
    one. An error leaves what was posted before; of the page that it met, this
    driver's :meth:`~marconi_swift.data.messages.MessageController.post`
    takes back what was stored.

    :param driver: a data driver of Zaqar's, as for :func:`read`.
    :raises zaqar.storage.errors.QueueDoesNotExist: there is no such queue.
    :raises zaqar.storage.errors.ConnectionError: the store is not there.
    """
    unknown = str(uuid.uuid4())
    for client, posted in itertools.groupby(
            messages, key=lambda message: message.client):
        while page := list(itertools.islice(posted, PAGE)):
            driver.message_controller.post(
                queue, [message.posted() for message in page],
                client_uuid=_poster(driver, client) or unknown,
                project=project)
            yield len(page)


def _poster(driver: Any, client: str | None) -> str | None:
    """The client id as a driver takes it: others than ours, only UUIDs."""
    if client is None or isinstance(driver, drivers.DataDriver):
        return client
    try:
        return str(uuid.UUID(client))
    except ValueError:
        return None
