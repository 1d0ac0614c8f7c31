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
"""What a queue does, without Swift: a list, and what is said of its claims.

Times are whole seconds. The rules are those of Zaqar's storage drivers, and
of :doc:`/admin/guarantees` for what those leave open.
"""

from collections.abc import Iterator
import dataclasses
from typing import Any

#: Seconds: the option of that name.
SKEW = 2


@dataclasses.dataclass
class Claim:
    ttl: int
    renewed: int
    until: int
    #: Ids of the messages that it was given.
    won: frozenset[str]


@dataclasses.dataclass
class Message:
    id: str
    body: Any
    poster: str
    ttl: int
    posted: int
    expires: int
    delayed_until: int = 0
    count: int = 0
    claim: str | None = None

    def shown(self, held: bool, now: int) -> dict[str, Any]:
        return {
            'id': self.id, 'body': self.body, 'ttl': self.ttl,
            'age': now - self.posted, 'claim_count': self.count,
            'claim_id': self.claim if held else None}


class Queue:
    """One queue.

    :param max_claims: how often a message may be claimed.
    :param dead_ttl: seconds that a dead letter lives.
    """

    def __init__(self, max_claims: int, dead_ttl: int) -> None:
        self._max_claims = max_claims
        self._dead_ttl = dead_ttl
        self.messages: list[Message] = []
        self.dead: list[Message] = []
        self.claims: dict[str, Claim] = {}

    def alive(self, now: int) -> list[Message]:
        return [each for each in self.messages if each.expires > now]

    def held(self, message: Message, now: int) -> bool:
        claim = self.claims.get(message.claim or '')
        return claim is not None and claim.until > now

    def live(self, claim_id: str, now: int) -> Claim | None:
        claim = self.claims.get(claim_id)
        return claim if claim and claim.until > now else None

    def holding(self, claim_id: str, now: int) -> list[Message]:
        return [each for each in self.alive(now) if each.claim == claim_id]

    def visible(
        self, now: int, hidden: str | None, claimed: bool, delayed: bool,
    ) -> list[Message]:
        """What a listing shows to the client ``hidden``."""
        return [each for each in self.alive(now)
                if each.poster != hidden
                and (claimed or not self.held(each, now))
                and (delayed or each.delayed_until <= now)]

    def take(self, limit: int, now: int) -> list[Message]:
        """The messages that whoever claims now wins; buries dead letters."""
        won: list[Message] = []
        for message in list(self._claimable(now)):
            if len(won) == limit:
                break
            if message.count >= self._max_claims:
                self._bury(message, now)
            else:
                won.append(message)
        return won

    def claim(
        self, claim_id: str, won: list[Message], ttl: int, grace: int,
        now: int,
    ) -> None:
        self.claims[claim_id] = Claim(
            ttl, now, now + ttl, frozenset(each.id for each in won))
        for message in won:
            message.claim, message.count = claim_id, message.count + 1
            _outlive(message, now + ttl + grace, now)

    def renew(self, claim_id: str, ttl: int, grace: int, now: int) -> None:
        self.claims[claim_id] = dataclasses.replace(
            self.claims[claim_id], ttl=ttl, renewed=now, until=now + ttl)
        for message in self.holding(claim_id, now):
            _outlive(message, now + ttl + grace, now)

    def release(self, claim_id: str) -> None:
        self.claims.pop(claim_id, None)

    def remove(self, ids: set[str]) -> None:
        self.messages = [each for each in self.messages if each.id not in ids]

    def _claimable(self, now: int) -> Iterator[Message]:
        for message in self.alive(now):
            if (message.delayed_until <= now
                    and not self.held(message, now - SKEW)):
                yield message

    def _bury(self, message: Message, now: int) -> None:
        self.remove({message.id})
        self.dead.append(dataclasses.replace(
            message, claim=None, ttl=self._dead_ttl,
            expires=now + self._dead_ttl))


def _outlive(message: Message, moment: int, now: int) -> None:
    """Let a message live until a moment at least."""
    if message.expires < moment:
        message.expires, message.ttl = moment, moment - now
