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

"""When a request is sent again, and how long that may go on."""

from collections.abc import Callable
import dataclasses
import math
import time
from typing import NamedTuple

from oslo_log import log as logging
import tenacity

from marconi_swift.store import errors
from marconi_swift.store import transport

LOG = logging.getLogger(__name__)

#: Statuses of a Swift, or of what stands before it, that says "not now":
#: 429 and 498 are the ratelimit middleware's, 507 a full or missing disk's.
_NOT_NOW = frozenset([408, 429, 498, 500, 502, 503, 504, 507])

#: Seconds: waits grow from the first to the second, drawn at random below.
_FIRST_WAIT = 0.1
_LONGEST_WAIT = 5.0


class _TryAgain(Exception):
    def __init__(self, response: transport.Response) -> None:
        super().__init__(response.status)
        self.response = response


class Answer(NamedTuple):
    """What Swift said in the end."""

    response: transport.Response
    #: An earlier try was not answered, or answered 5xx, and may have taken
    #: effect all the same: this answer may be about ourselves.
    repeated: bool


@dataclasses.dataclass(frozen=True)
class Policy:
    """How long to insist.

    :param retries: how often a request is sent again.
    :param time_limit: seconds after which it is not sent again.
    :param deadline: moment of ``time.monotonic`` after which nothing is sent
        again.
    """

    retries: int
    time_limit: float
    deadline: float = math.inf

    def ask(self, send: Callable[[], transport.Response]) -> Answer:
        """Send until Swift answers something other than "not now".

        Only for requests that may take effect twice, or whose caller looks
        at :attr:`Answer.repeated`.

        :raises errors.Unanswered: no answer came to the last try. It is
            harmless only if no try can have taken effect.
        :raises errors.Refused: the last answer still was "not now".
        """
        tries, at_large = 0, False
        limit = min(self.time_limit, self.deadline - time.monotonic())

        def attempt() -> transport.Response:
            nonlocal tries, at_large
            tries += 1
            try:
                response = send()
            except errors.SwiftError as exc:
                at_large = at_large or not exc.harmless
                exc.harmless = not at_large
                raise
            if response.status in _NOT_NOW:
                at_large = True
                raise _TryAgain(response)
            return response

        try:
            response = tenacity.Retrying(
                stop=(tenacity.stop_after_attempt(self.retries + 1)
                      | tenacity.stop_before_delay(limit)),
                wait=_wait,
                retry=tenacity.retry_if_exception_type(
                    (_TryAgain, errors.Unanswered)),
                before_sleep=_log,
                reraise=True)(attempt)
        except _TryAgain as exc:
            status = exc.response.status
            raise errors.Refused(
                f'Swift answered {status} to {tries} tries of a request.',
                status) from None
        return Answer(response, at_large)


_backoff = tenacity.wait_random_exponential(
    multiplier=_FIRST_WAIT, max=_LONGEST_WAIT)


def _wait(state: tenacity.RetryCallState) -> float:
    """Back off at random, and no less than Swift's Retry-After asks for."""
    exc = state.outcome.exception() if state.outcome else None
    asked = 0.0
    if isinstance(exc, _TryAgain):
        value = exc.response.headers.get('retry-after', '')
        asked = float(value) if value.isdecimal() else 0.0
    return max(_backoff(state), asked)


def _log(state: tenacity.RetryCallState) -> None:
    exc = state.outcome.exception() if state.outcome else None
    LOG.debug('Trying a request to Swift again after %r', exc)
