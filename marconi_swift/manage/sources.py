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
"""Where ``marconi-swift-manage migrate`` reads messages, and changes nothing.

Of Zaqar's own swift driver the objects are read, through its connection:
its API tells neither the client nor the expiry of a message, and lists by
UUIDv1, which is not the order of posting. Of other drivers the API is all
that there is.
"""

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from concurrent import futures
import contextlib
import functools
import itertools
import math
from typing import Any
from typing import NamedTuple
import uuid

from oslo_serialization import jsonutils
from oslo_utils import timeutils
from zaqar.storage import errors
from zaqar.storage.swift import driver as swift_driver
from zaqar.storage.swift import utils as swift_utils

from marconi_swift.manage import portable

#: Objects that are read side by side.
_WIDTH = 16

#: Objects of one listing.
_LISTED = 1000

#: Ticks of a second, of 100 ns each.
TICKS = 10_000_000

#: Ticks from the beginning of UUIDv1's calendar to the epoch (RFC 9562).
_EPOCH = 0x01b21dd213814000


class Found(NamedTuple):
    """A message of the source, or why it could not be read."""

    id: str
    #: None if it has expired meanwhile, or could not be read.
    message: portable.Message | None = None
    #: Seconds since the epoch, both.
    expires: float = 0.0
    delayed_until: float = 0.0
    #: A live claim holds it.
    claimed: bool = False
    #: When it was posted, exactly; None if the source does not tell, but
    #: lists messages in their order.
    tick: int | None = None
    error: Exception | None = None


def pages(
    driver: Any, queue: str, project: str | None,
) -> Iterator[list[Found]]:
    """All messages of a queue, claimed and delayed ones too, by the page.

    :param driver: a data driver of Zaqar's, without a pipeline.
    """
    if isinstance(driver, swift_driver.DataDriver):
        yield from ZaqarsSwift(driver, queue, project).pages()
        return
    listed = portable.listed(driver, queue, project)
    lives = portable.lives(driver, queue, project)
    while page := list(itertools.islice(listed, portable.PAGE)):
        yield [_of_listed(each, lives) for each in page]


def _of_listed(
    listed: portable.Listed, lives: Callable[[str | None], bool],
) -> Found:
    message, at = listed
    read = portable.of_shown(message, at)
    return Found(read.id, read if read.left else None,
                 expires=float(at + read.left),
                 claimed=lives(message.get('claim_id')))


class ZaqarsSwift:
    """A queue of Zaqar's own swift driver (``zaqar/storage/swift``)."""

    def __init__(self, driver: Any, queue: str, project: str | None) -> None:
        self._driver, self._queue, self._project = driver, queue, project
        self._claim_lives = functools.lru_cache(_LISTED)(self._look_for_claim)

    def pages(self) -> Iterator[list[Found]]:
        """All that is listed, in the order of the listing.

        While a page is used, the next one is read.
        """
        with futures.ThreadPoolExecutor(_WIDTH) as threads:
            try:
                for page, _ in itertools.pairwise(self._reading(threads)):
                    yield [read.result() for read in page]
            finally:
                threads.shutdown(cancel_futures=True)

    def _reading(
        self, threads: futures.Executor,
    ) -> Iterator[list[futures.Future[Found]]]:
        """Pages whose reading has begun, and an empty one."""
        names = self._names()
        while page := list(itertools.islice(names, portable.PAGE)):
            yield [threads.submit(self._read, name) for name in page]
        yield []

    def _names(self) -> Iterator[str]:
        container = swift_utils._message_container(self._queue, self._project)
        marker = ''
        while rows := self._list(container, marker):
            marker = rows[-1]['name']
            yield from (row['name'] for row in rows)

    def _list(self, container: str, marker: str) -> list[dict[str, Any]]:
        try:
            _, rows = self._driver.connection.get_container(
                container, limit=_LISTED, marker=marker)
        except Exception as exc:
            # swiftclient's, whom only marconi_swift.store knows. Zaqar makes
            # the container with the first message of a queue in a pool.
            if getattr(exc, 'http_status', None) == 404:
                return []
            raise
        found: list[dict[str, Any]] = rows
        return found

    def _read(self, name: str) -> Found:
        try:
            headers, content = self._driver.message_controller._find_message(
                self._queue, name, self._project)
            return self._parse(name, headers, jsonutils.loads(content))
        except errors.MessageDoesNotExist:
            return Found(name)
        except Exception as exc:
            # Of this message alone: the others are read all the same.
            return Found(name, error=exc)

    def _parse(
        self, name: str, headers: dict[str, str], content: dict[str, Any],
    ) -> Found:
        now = timeutils.utcnow_ts(True)
        tick = uuid.UUID(name).time - _EPOCH
        expires = float(headers['x-delete-at'])
        delayed_until = float(content.get('delay_expires', 0))
        left = max(0, math.ceil(expires - now))
        message = portable.Message(
            body=content['body'], ttl=int(content['ttl']), left=left,
            delay=max(0, math.ceil(delayed_until - now)),
            client=headers.get('x-object-meta-clientid'),
            claims=content.get('claim_count', 0), id=name,
            created=tick // TICKS)
        claim = content['claim_id']
        return Found(name, message if left else None, expires=expires,
                     delayed_until=delayed_until if message.delay else 0.0,
                     tick=tick,
                     claimed=bool(claim) and self._claim_lives(claim))

    def _look_for_claim(self, claim: str) -> bool:
        found = self._driver.claim_controller._get(
            self._queue, claim, self._project)
        return found is not None and found['ttl'] > 0


def subscriptions(
    driver: Any, queue: str, project: str | None,
) -> Iterator[dict[str, Any]]:
    """All subscriptions to a queue, as a controller lists them.

    Drivers leave out what has expired after they have counted a page, so
    that a short one tells nothing (``SubscriptionListCursor`` of
    ``zaqar.storage.swift.utils`` and ``zaqar.storage.redis.utils``), and that
    of redis gives no marker after one without any.
    """
    marker, rows = None, portable.PAGE
    while True:
        answer: Iterator[Any] = iter(driver.subscription_controller.list(
            queue, project=project, marker=marker, limit=rows))
        yield from _until_end(next(answer))
        reached = next(answer)
        if reached:
            marker, rows = reached, portable.PAGE
        elif rows < portable.widest(driver):
            rows = min(rows * 10, portable.widest(driver))
        else:
            return


def _until_end(page: Iterable[Any]) -> Iterator[Any]:
    # Zaqar's cursors have __next__, and not all of them __iter__.
    with contextlib.suppress(StopIteration):
        while True:
            yield next(page)  # type: ignore[call-overload]
