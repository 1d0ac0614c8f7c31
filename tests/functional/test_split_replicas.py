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
"""What nodes of a real Swift missed, and have not been told of yet.

As Swift's own probe tests do: something is written while one node of three is
away, it comes back, perhaps another goes, and somebody looks before the
replicators do. Nothing replicates before a test says so.
"""

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
import contextlib
import os
import pathlib
import time
from typing import Any
import uuid

import fixtures
import testtools
from zaqar.storage import errors

from marconi_swift import gate
from marconi_swift import names
from marconi_swift.data import contention
from marconi_swift.standalone import confs
from marconi_swift.standalone import swift as swifts
from marconi_swift.store import errors as store_errors
from tests.fixtures import workers
from tests.history import faults

PROJECT = 'project'
LONG = 3600

#: Seconds of the shortest claim that the settings allow.
SHORT = 21

#: Tries that find a node that missed something once in three times.
OFTEN = 8

#: Seconds that Swift may take to get over something on a busy machine.
HEALING = 90.0

DAEMONS = [*swifts.UPDATERS, 'object-replicator-1',
           *(f'container-replicator-{node}' for node in range(1, 4))]


class SplitTest(testtools.TestCase):

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        # Nobody hangs here. On a busy machine, a server that is late would be
        # a node more that is away, and one that came back would be shunned.
        cls.cluster = faults.Cluster(limits=confs.WIDE)
        cls.cluster.setUp()
        cls.addClassCleanup(cls.cluster.cleanUp)

    def setUp(self) -> None:
        super().setUp()
        self.site = workers.Site(self.cluster.path)
        self.messages = self.site.data.message_controller
        self.claims = self.site.data.claim_controller
        self.queue = f'queue-{uuid.uuid4()}'
        self.site.queues.create(self.queue, project=PROJECT)
        # All nodes have all containers.
        self.claim_and_delete(self.post(1))
        self.addCleanup(self.heal)
        for name in DAEMONS:
            self.cluster.process(name).stop()

    def heal(self) -> None:
        """Start what is not running, the servers first."""
        running = self.cluster.swift.processes.items()
        self.cluster.start(*(
            name for name, process in running if not process.running))

    @contextlib.contextmanager
    def away(self, *nodes: int) -> Iterator[None]:
        """Do something while nodes have no object server."""
        servers = [f'object-{node}' for node in nodes]
        self.cluster.kill(*servers)
        try:
            yield
        finally:
            self.cluster.start(*servers)

    def post(self, count: int, ttl: int = LONG) -> list[str]:
        ids: list[str] = self.messages.post(
            self.queue, [{'ttl': ttl, 'body': each}
                         for each in range(count)],
            uuid.uuid4(), project=PROJECT)
        return ids

    def claim(self, ttl: int = LONG) -> tuple[str, list[str]]:
        """Claim as a process that has claimed nothing before."""
        contention.of_this_process.drop()
        claim, messages = self.claims.create(
            self.queue, {'ttl': ttl, 'grace': 0}, project=PROJECT, limit=20)
        return claim, [message['id'] for message in messages]

    def claim_all(self, ids: list[str], ttl: int = LONG) -> str:
        """Claim all that there is, which must be these."""
        claim, claimed = self.claim(ttl)
        self.assertEqual(ids, claimed)
        return claim

    def claim_and_delete(self, ids: list[str]) -> None:
        claim = self.claim_all(ids)
        for message in ids:
            self.delete(message, claim)

    def claim_eventually(
        self, wanted: list[str], had: Sequence[str] = (),
    ) -> None:
        """Claim until all of these were had, each once, and no other.

        :param had: those that were had before.
        """
        had = list(had)
        deadline = time.monotonic() + HEALING
        while sorted(had) != wanted and time.monotonic() < deadline:
            with contextlib.suppress(errors.ConnectionError):
                had += self.claim()[1]
        self.assertEqual(wanted, sorted(had))

    def delete(self, message: str, claim: str | None) -> None:
        self.messages.delete(
            self.queue, message, project=PROJECT, claim=claim)

    def renew(self, claim: str, ttl: int = LONG) -> None:
        self.claims.update(
            self.queue, claim, {'ttl': ttl, 'grace': 0}, project=PROJECT)

    def expire_at_once(self) -> None:
        """Let the expirer remove messages when they are over."""
        self.useFixture(fixtures.MonkeyPatch(
            'marconi_swift.records.SWEEP_AFTER', 1))
        # It makes known to the expirer where it has to look.
        self.cluster.start(swifts.CONTAINER_UPDATER)

    def folder(self, container: str, name: str) -> str:
        """The name of an object's folder on each node's disk."""
        path = f'/{container}/{name}'.encode()
        [found] = {
            file.parent.name for file in self.on_disk(2, 'data')
            if path in os.getxattr(file, 'user.swift.metadata')}
        return found

    def removed(self, node: int) -> set[str]:
        """The folders of what a node knows to have been removed."""
        return {file.parent.name for file in self.on_disk(node, 'ts')}

    def on_disk(self, node: int, kind: str) -> Iterator[pathlib.Path]:
        disk = self.cluster.swift.folder.devices / f'd{node}'
        return disk.glob(f'objects/*/*/*/*.{kind}')

    def wait_for(self, condition: Callable[[], Any]) -> None:
        deadline = time.monotonic() + HEALING
        while not condition():
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.1)

    def assert_nothing_to_claim(self) -> None:
        for _ in range(OFTEN):
            self.assertEqual((None, []), self.claim())

    def assert_claim_works(self, claim: str, ids: list[str]) -> None:
        for _ in range(OFTEN):
            _, held = self.claims.get(self.queue, claim, project=PROJECT)
            self.assertEqual(ids, [message['id'] for message in held])
        for message in ids:
            self.delete(message, claim)


class TestOneNodeAway(SplitTest):
    """Everything that is promised holds."""

    def test_a_claim_that_one_node_missed_and_another_forgets(self) -> None:
        ids = self.post(5)
        with self.away(1):
            claim = self.claim_all(ids)

        with self.away(3):
            self.assert_nothing_to_claim()
            self.assert_claim_works(claim, ids)

    def test_a_renewal_that_one_node_missed(self) -> None:
        self.expire_at_once()
        ids = self.post(5)
        claim = self.claim_all(ids, ttl=SHORT)
        with self.away(1):
            self.renew(claim)
        # By its removal, what the node still has of the claim is over.
        [later] = self.post(1, ttl=SHORT + faults.CLOCK_SKEW + 5)
        folder = self.folder(names.messages(
            'marconi', PROJECT, self.queue), later)

        self.wait_for(lambda: folder in self.removed(1))

        self.assert_nothing_to_claim()
        self.assert_claim_works(claim, ids)

    def test_a_release_that_one_node_missed(self) -> None:
        ids = self.post(5)
        claim = self.claim_all(ids)
        with self.away(1):
            self.claims.delete(self.queue, claim, project=PROJECT)

        self.claim_eventually(ids)

    def test_deletions_that_one_node_missed(self) -> None:
        ids = self.post(5)
        claim = self.claim_all(ids, ttl=SHORT)
        with self.away(1):
            for message in ids:
                self.delete(message, claim)
            self.claims.delete(self.queue, claim, project=PROJECT)

        self.assert_nothing_to_claim()
        self.heal()
        self.assert_nothing_to_claim()

    def test_messages_that_one_node_missed(self) -> None:
        with self.away(1):
            ids = self.post(5)

        self.claim_eventually(ids)

    def test_a_claim_whose_record_is_lost_is_over(self) -> None:
        ids = self.post(2)
        claim = self.claim_all(ids)
        self.site.data.account.store.delete(
            names.claims('marconi', PROJECT, self.queue), f'claim/{claim}')

        self.assertRaises(errors.ClaimDoesNotExist,
                          self.delete, ids[0], claim)
        self.claim_eventually(ids)


class TestTwoNodesAway(SplitTest):
    """Nothing is lost or shared; what can not be done is an error."""

    def test_a_message_and_its_claim_on_different_nodes(self) -> None:
        with self.away(3):
            ids = self.post(1)

        failed = 0
        with self.away(1):
            # One node has no message, one has, and one is away.
            for _ in range(OFTEN):
                try:
                    # A listing that missed the message, too, has none.
                    self.assertEqual((None, []), self.claim())
                except errors.ConnectionError:
                    failed += 1

        self.assertGreater(failed, 0)
        self.heal()
        self.claim_eventually(ids)

    def test_a_node_that_missed_a_claim_is_the_only_one(self) -> None:
        ids = self.post(2)
        with self.away(1):
            claim = self.claim_all(ids)

        with self.away(2, 3):
            for _ in range(OFTEN):
                # A listing that missed the claim, too, lets it be tried.
                with contextlib.suppress(errors.ConnectionError):
                    self.assertEqual((None, []), self.claim())

        self.assert_claim_works(claim, ids)


class TestExceptions(SplitTest):
    """What is not promised, so that nobody thinks it were."""

    def test_a_deleted_message_can_be_read_from_a_node_that_missed_it(
        self,
    ) -> None:
        [message] = self.post(1)
        with self.away(1):
            self.delete(message, None)

        with self.away(2, 3):
            found = self.messages.get(self.queue, message, project=PROJECT)

        self.assertEqual(message, found['id'])

    def test_messages_whose_claim_one_node_missed_can_be_removed(
        self,
    ) -> None:
        """Of which their claim says that they last until it is over.

        Swift's expirer deletes as of the moment at which a message was to be
        removed, which is later than the claim. A node that is not told of
        the claim by then takes that deletion for the latest news, and tells
        the others.
        """
        self.expire_at_once()
        [told] = self.post(1, ttl=SHORT)
        other = self.claim_all([told])
        [missed] = self.post(1, ttl=SHORT)
        with self.away(1):
            claim = self.claim_all([missed])
        folder = self.folder(names.messages(
            'marconi', PROJECT, self.queue), missed)

        self.wait_for(lambda: folder in self.removed(1))
        self.assertNotIn(folder, self.removed(2) | self.removed(3))
        self.heal()
        self.wait_for(lambda: folder in self.removed(2) & self.removed(3))

        self.assertEqual([], self.held(claim))
        self.assertEqual([told], self.held(other))

    def test_gates_whose_renewal_one_node_missed_are_removed(self) -> None:
        """If it was not told for as long as they are kept.

        Nobody can read them, though two nodes have what the renewal wrote:
        Swift's proxy finds the deletion newer than that. By which node
        answers first, it says that there is no such object, or that there is
        one, with neither its type nor its body, or that it does not know.
        """
        self.useFixture(fixtures.MonkeyPatch(
            'marconi_swift.records.KEEP_GATE', 1))
        self.cluster.start(swifts.CONTAINER_UPDATER)
        [message] = self.post(1)
        claim = self.claim_all([message], ttl=SHORT)
        with self.away(1):
            self.renew(claim)
        self.assertEqual([claim], self.named(message))
        folder = self.folder(names.claims(
            'marconi', PROJECT, self.queue), f'gate/{message}')

        self.wait_for(lambda: folder in self.removed(1))

        self.assertEqual([], self.named(message))

    def test_claims_whose_renewal_one_node_missed_are_over(self) -> None:
        """If it was not told for as long as their records are kept.

        Their owners are told so, and others can have the messages.
        """
        self.useFixture(fixtures.MonkeyPatch(
            'marconi_swift.records.KEEP_CLAIM', 1))
        self.cluster.start(swifts.CONTAINER_UPDATER)
        ids = self.post(2)
        claim = self.claim_all(ids, ttl=SHORT)
        record = names.claims('marconi', PROJECT, self.queue), f'claim/{claim}'
        folder = self.folder(*record)
        with self.away(1):
            self.renew(claim)

        self.wait_for(lambda: folder in self.removed(1))

        for _ in range(OFTEN):
            # Not as an object of somebody else's that has to be removed.
            with contextlib.suppress(store_errors.SwiftError):
                self.assertIsNone(self.site.data.account.store.read(
                    *record, newest=True))
        had: list[str] = []
        for _ in range(OFTEN):
            for message in ids:
                self.assertRaises(
                    (errors.ClaimDoesNotExist, errors.ConnectionError),
                    self.delete, message, claim)
            with contextlib.suppress(errors.ConnectionError):
                had += self.claim()[1]
        self.heal()
        self.claim_eventually(ids, had)

    def named(self, message: str) -> list[str]:
        """Which claims a message's gate names, if one asks often."""
        gates = gate.Gates(
            self.site.data.account.store,
            names.claims('marconi', PROJECT, self.queue), policy=None)
        found = set()
        for _ in range(OFTEN):
            with contextlib.suppress(store_errors.SwiftError):
                found.add(gates.named(message))
        return [each.hold.claim for each in found
                if each not in (None, gate.UNREADABLE)]

    def held(self, claim: str) -> list[str]:
        _, held = self.claims.get(self.queue, claim, project=PROJECT)
        return [message['id'] for message in held]
