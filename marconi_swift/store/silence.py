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

"""A Swift that answers nothing is not asked by everybody at once."""

from collections.abc import Callable
import threading
import time

from marconi_swift.store import errors
from marconi_swift.store import transport

#: Seconds without any answer after which requests go out one at a time. A
#: proxy that is restarted is back sooner.
PATIENCE = 10.0


class Silence:
    """What one process knows of whether an account answers at all.

    When requests have failed for :data:`PATIENCE` seconds, and nothing at all
    was answered meanwhile, one request is under way at a time, and those
    that would join it fail at once. So a Swift that hangs holds up one
    thread, not all, and the first answer lets everybody through again. A
    Swift of which only some objects are out of reach goes on answering for
    others, and nothing changes.

    Any status is an answer.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        #: When the last answer came.
        self._answered = 0.0
        #: When the first try began of those that nobody answered since,
        self._since: float | None = None
        #: and when the last of them failed: while nobody asks, nobody knows.
        self._until = 0.0
        self._asking = False

    def sender(
        self, send: Callable[[], transport.Response],
    ) -> Callable[[], transport.Response]:
        """Return what sends a request once, or raises Unreachable at once."""
        def sent() -> transport.Response:
            alone = self._enter()
            began = time.monotonic()
            try:
                response = send()
            except errors.Unanswered:
                self._failed(began)
                raise
            finally:
                if alone:
                    self._asking = False
            self._heard()
            return response

        return sent

    def _enter(self) -> bool:
        """Whether this is the one request that is sent meanwhile.

        :raises errors.Unreachable: another one is.
        """
        if self._since is None:
            return False
        with self._lock:
            if self._since is None:
                return False
            lasts = self._until - self._since
            if lasts < PATIENCE:
                return False
            if self._asking:
                raise errors.Unreachable(
                    f'Swift has answered nothing for {lasts:.0f} seconds. '
                    'Until it does it is asked one thing at a time, and not '
                    'this.')
            self._asking = True
            return True

    def _failed(self, began: float) -> None:
        with self._lock:
            if began >= self._answered:
                self._since = min(began, self._since or began)
                self._until = time.monotonic()

    def _heard(self) -> None:
        # Without the lock, which would be taken for each request: of two
        # answers either may be the last.
        self._answered = time.monotonic()
        self._since = None
