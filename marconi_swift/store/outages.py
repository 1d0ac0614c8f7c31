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

"""Outages of Swift: logged once when they begin and once when they end."""

from collections.abc import Callable
import dataclasses
import threading
import time
from typing import TypeVar

from oslo_log import log as logging

from marconi_swift.store import errors
from marconi_swift.store import per_process

LOG = logging.getLogger(__name__)

_T = TypeVar('_T')

#: Seconds without a failure after which an outage is over: one during which
#: some requests succeed is one, not many.
CALM = 5.0


@dataclasses.dataclass
class _Outage:
    """Requests that failed, tries and all; times are ``time.monotonic``."""

    began: float
    last: float
    failed: int = 0
    #: When the first request succeeded after the last that failed.
    answered: float | None = None
    #: Messages that were not posted and may be delivered.
    left: int = 0


class Outages:
    """What one process knows of the outages of a Swift.

    An outage begins with a request that fails in spite of being repeated,
    and ends when for :data:`CALM` seconds none did. The next success after
    that tells so. Both are warnings in the log, so that an operator who sees
    the first also sees the second; the failures between them are counted.
    """

    def __init__(self, place: str) -> None:
        """Begin to watch.

        :param place: what the log calls this Swift.
        """
        self._place = place
        self._lock = threading.Lock()
        self._current: _Outage | None = None

    def watch(self, ask: Callable[[], _T]) -> _T:
        """Return what a request with all its tries returns.

        :raises errors.SwiftError: what it raised, marked as told.
        """
        try:
            answer = ask()
        except errors.SwiftError as exc:
            exc.told = True
            self._failed(exc)
            raise
        if self._current:
            self._succeeded()
        return answer

    def mention(self, left: int) -> bool:
        """Have the end of the outage tell of messages that may be delivered.

        :returns: False if there is no outage.
        """
        with self._lock:
            if self._current:
                self._current.left += left
            return self._current is not None

    def _failed(self, error: errors.SwiftError) -> None:
        now = time.monotonic()
        with self._lock:
            begins = self._current is None
            outage = self._current = self._current or _Outage(now, now)
            outage.failed += 1
            outage.last, outage.answered = now, None
        if begins:
            LOG.warning(
                'Swift at %(place)s can not be used. What needs it fails '
                'until it can, which will be logged. The first failure: '
                '%(error)s', {'place': self._place, 'error': error})

    def _succeeded(self) -> None:
        now = time.monotonic()
        with self._lock:
            outage = self._current
            if outage is None:
                return
            outage.answered = outage.answered or now
            if now - outage.last < CALM:
                return
            self._current = None
        told = ('Swift at %(place)s can be used again, after %(seconds).0f '
                'seconds in which %(failed)d requests to it failed.')
        if outage.left:
            told += (' Up to %(left)d messages that were not posted may be '
                     'delivered.')
        LOG.warning(told, {
            'place': self._place, 'seconds': outage.answered - outage.began,
            'failed': outage.failed, 'left': outage.left})


#: By the places of the Swifts.
_known: dict[str, per_process.PerProcess[Outages]] = {}


def of(place: str) -> per_process.PerProcess[Outages]:
    """What a process knows of one Swift, whose accounts fail together.

    :param place: as :attr:`marconi_swift.options.Settings.place` has it.
    """
    # Whoever asks, and whoever else asks at that moment, gets the same.
    return _known.setdefault(
        place, per_process.PerProcess(lambda: Outages(place)))


def forget() -> None:
    """Let no outage go on."""
    _known.clear()
