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
"""What clients saw of claims and pops, and whether that was promised.

A :class:`History` is told of each call as it begins and as it is answered,
in the order in which that happens, and notes in ``violations`` what the
driver must not do:

*shared*
    a message was given to somebody while a live claim held it, or to two
    who asked at the same time. A claim holds what its creation returned,
    from then until its release begins or its time is over by all clocks;
    a renewal counts once it is acknowledged, and one whose answer is not
    known only if it makes the claim shorter.
*deleted*
    a message was given to somebody who asked for it after its deletion, by
    a claim or by a pop, was acknowledged.
*unknown*
    a message was given that was never posted.
*lost*
    in the end a message can not be claimed, and nobody may have deleted it.
*refused*
    a live claim was told that it is none, or holds nothing.
"""

from collections.abc import Collection
from collections.abc import Iterable
import dataclasses


@dataclasses.dataclass
class _Claim:
    messages: Collection[str]
    #: It holds its messages until then for certain.
    until: float


class History:
    """Times are seconds; every call is known by what :meth:`begin` gave.

    :param slack: seconds after its end when a claim is over by all clocks.
    """

    def __init__(self, posted: Iterable[str], slack: float = 0.0) -> None:
        self.violations: list[str] = []
        self._posted = frozenset(posted)
        self._slack = slack
        self._moment = 0
        self._claims: dict[str, _Claim] = {}
        #: When deletions were acknowledged, and those of messages popped.
        self._deleted: dict[str, int] = {}
        self._popped: dict[str, int] = {}
        #: Messages that may have been deleted.
        self._doubtful: set[str] = set()

    def begin(self) -> int:
        """Somebody calls: the moment, in the order of all that happens."""
        self._moment += 1
        return self._moment

    def claimed(
        self, began: int, claim: str, messages: Collection[str],
        until: float, now: float,
    ) -> None:
        self._given(began, messages, now)
        self._claims[claim] = _Claim(messages, until)

    def renews(self, claim: str, until: float) -> None:
        """A renewal begins; it may end the claim earlier than before."""
        held = self._claims[claim]
        held.until = min(held.until, until)

    def renewed(self, claim: str, until: float) -> None:
        self._claims[claim].until = until

    def ends(self, claim: str) -> None:
        """A release begins, or somebody was told that there is no claim."""
        self._claims.pop(claim, None)

    def knows(self, claim: str) -> bool:
        """Whether nobody has released it or was told that it is none."""
        return claim in self._claims

    def refused(self, claim: str, message: str | None, now: float) -> None:
        """A claim was told that it does not hold this message, or is none.

        :param now: by the clock of whoever said so.
        """
        held = self._claims.get(claim)
        if (held and now < held.until and message not in self._deleted
                and (message is None or message in held.messages)):
            self._violate(f'refused: {claim} held {message or "its own"}.')

    def doubt(self, message: str) -> None:
        """Somebody tries to delete a message."""
        self._doubtful.add(message)

    def deleted(self, message: str) -> None:
        self._deleted.setdefault(message, self.begin())

    def popped(
        self, began: int, messages: Collection[str], now: float,
    ) -> None:
        self._given(began, messages, now)
        for message in messages:
            self._popped[message] = self.begin()
            self.deleted(message)

    def remain(self, messages: Collection[str]) -> None:
        """All is over; these can be claimed."""
        self._given(self.begin(), messages, float('inf'))
        for message in sorted(self._posted):
            if (message not in messages and message not in self._deleted
                    and message not in self._doubtful):
                self._violate(f'lost: {message}.')

    def _given(
        self, began: int, messages: Collection[str], now: float,
    ) -> None:
        for message in messages:
            if message not in self._posted:
                self._violate(f'unknown: {message}.')
            if self._deleted.get(message, began) < began:
                self._violate(f'deleted: {message} was given away.')
            elif message in self._popped:
                self._violate(f'shared: {message} was popped meanwhile.')
            for name, claim in self._claims.items():
                if message in claim.messages and (
                        now < claim.until + self._slack):
                    self._violate(f'shared: {message}, held by {name}.')

    def _violate(self, what: str) -> None:
        self.violations.append(f'{self.begin()}: {what}')
