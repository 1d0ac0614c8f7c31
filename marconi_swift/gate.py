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
"""Exclusive taking, with nothing but objects whose last writer wins.

Whoever takes a thing writes, reads, writes and reads again: its name into
the thing's gate, what the thing itself says, its name into the thing, and
the gate. It has won if the thing was free and the gate still names it. This
is Lamport's fast path, the splitter of Moir and Anderson: of any number who
try, however their requests interleave, at most one wins.

    Suppose A and B both win, and B's name came into the gate after A's.
    A read its own name there last of all, so B's name came after that, and
    after A had written into the thing. B read the thing after writing the
    gate, so B saw A's name in it, and stopped.

Swift's conditional PUT is no lock: of creators at the same moment several
can be told that they were the first. Here it only turns late comers away
before they leave a trace, and its failures cost nothing but a retry.

Nobody may win. Whoever loses last leaves its name in the gate or in the
thing; when it is known to have lost, that name is void, and others may try
as if it were not there.
"""

import dataclasses
import enum

from marconi_swift import names
from marconi_swift import notices
from marconi_swift import records
from marconi_swift.store import objects

#: Stands for somebody whose name is none of this release's; nobody's claim.
UNREADABLE = records.Pass(records.Hold('', 0), 0)


class Entry(enum.Enum):
    """What became of an attempt to write into a gate."""

    ENTERED = 'entered'
    #: Somebody else is named there.
    SHUT = 'shut'


@dataclasses.dataclass(frozen=True)
class Gates:
    """The gates of one queue's messages.

    :param container: the first; a gate is in the part that its message's id
        says.
    :param policy: storage policy for containers, made when first needed.
    """

    store: objects.ObjectStore
    container: str
    policy: str | None

    def enter(self, name: str, mine: records.Pass) -> Entry:
        """Write into a gate in which nobody is named."""
        container = names.home(self.container, name)

        def create() -> objects.Outcome:
            return self.store.create(
                container, records.GATE + name,
                content_type=mine.content_type(),
                delete_at=mine.delete_at, owner=mine.hold.claim)

        outcome = create()
        if outcome is objects.Outcome.MISSING:
            outcome = self.store.insist(container, self.policy, create)
        if outcome is objects.Outcome.DONE:
            return Entry.ENTERED
        return Entry.SHUT

    def write(self, name: str, mine: records.Pass) -> None:
        """Write into a gate, whoever is named there."""
        self.store.replace(
            names.home(self.container, name), records.GATE + name,
            content_type=mine.content_type(), delete_at=mine.delete_at)

    def named(self, name: str) -> records.Pass | None:
        """Read who is named in a gate, if anybody is.

        :data:`UNREADABLE` if that is more than this release can tell.

        Gates are written by PUT alone: X-Newest finds the last PUT on any
        replica that answers, and may miss a POST, since it compares when
        objects were PUT (``GetterSource`` in
        ``swift/proxy/controllers/base.py``).
        """
        stored = self.store.head(
            names.home(self.container, name), records.GATE + name)
        if stored is None:
            return None
        named = records.Pass.parse(stored.content_type)
        if named is None:
            notices.foreign(
                names.home(self.container, name), stored.name, 'gate')
            return UNREADABLE
        return named

    def clear(self, name: str, named: records.Pass) -> bool:
        """Take a name out of a gate: one's own, or one that is void.

        False if somebody else is named there by now, who stays. (A name is
        known by the second in which it expires, so one that was entered
        meanwhile and expires in the same second goes. He has lost then, or
        has won already, and the thing itself names him.)
        """
        return self.store.delete(
            names.home(self.container, name), records.GATE + name,
            only_if_delete_at=named.delete_at,
        ) is not objects.Outcome.STALE

    def leave(self, name: str, mine: records.Pass) -> None:
        """Take a claim's name out of a gate, if it is there.

        :param mine: what most likely stands there; a renewal may have
            changed all of it but the claim.
        """
        if self.clear(name, mine):
            return
        named = self.named(name)
        if named is not None and named.hold.claim == mine.hold.claim:
            self.clear(name, named)
