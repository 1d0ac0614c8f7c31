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
"""Each request of each call fails, in every way, and all promises are kept.

``MARCONI_SWIFT_TEST_OPERATION`` names the one call to try.
"""

import itertools
import os
from typing import Any

import testtools
from zaqar.storage import errors

from tests.faults import operations
from tests.faults import promises
from tests.faults import wire
from tests.faults import world as worlds

_ONLY = os.environ.get('MARCONI_SWIFT_TEST_OPERATION')

_OPERATIONS = (operations.OPERATIONS if _ONLY is None
               else {_ONLY: operations.OPERATIONS[_ONLY]})

#: One that was not done, and one that was.
#: A process that is told nothing does not know which of these it was.
_EITHER = [wire.REFUSED[-1], wire.UNTOLD[4]]

#: All there are take minutes.
_ALL = (wire.REFUSED + wire.UNTOLD if os.environ.get(
    'MARCONI_SWIFT_TEST_SCALE') else [*_EITHER, wire.REFUSED[4]])


class FaultTest(testtools.TestCase):

    def setUp(self) -> None:
        super().setUp()
        self.world = self.useFixture(worlds.World())
        self.before = self.world.observe()
        self.untouched = self.world.swift.stored()
        self.tried = 0
        self.addDetail('tried', testtools.content.Content(
            testtools.content_type.UTF8_TEXT,
            lambda: [f'{self.tried} failures'.encode()]))

    def call(
        self, operation: operations.Operation, fault: wire.Fault | None = None,
        lasts: wire.Lasts = wire.Lasts.ONCE, number: int = 0,
    ) -> promises.Outcome:
        """Make a call whose n-th request fails, in the account as it was."""
        self.world.restore()
        process = self.world.process()
        self.world.wire.arm(fault, lasts, number)
        try:
            return promises.Outcome(None, operations.read(
                operation.call(process, self.world.ids)))
        except (errors.ConnectionError, wire.Died) as error:
            return promises.Outcome(error)
        finally:
            self.requests = self.world.wire.sent
            self.world.wire.arm(None)

    def every_request(
        self, operation: operations.Operation, faults: list[wire.Fault],
        lasts: wire.Lasts = wire.Lasts.ONCE,
    ) -> Any:
        """Make a call once for each of its requests and each fault."""
        self.call(operation)
        for number, fault in itertools.product(
                range(1, self.requests + 1), faults):
            self.tried += 1
            yield (f'request {number}: {fault}, {lasts.value}',
                   self.call(operation, fault, lasts, number))

    def state(self, outcome: promises.Outcome) -> str:
        """All that decides whether promises will be kept after a call.

        What is stored, without stamps, which what comes later exceeds.
        """
        world = self.world
        stored = [(place, [said for _, said in files])
                  for place, files in world.swift.stored()]
        return repr((stored, world.containers(), world.clock.now,
                     type(outcome.error),
                     operations.plain(outcome.answer, ids=True)))

    def check(
        self, faults: list[wire.Fault], lasts: wire.Lasts,
    ) -> None:
        """Have each request of each operation fail, and see what is kept."""
        for name, operation in _OPERATIONS.items():
            self.call(operation)
            after = self.world.observe()
            checked = set()
            for what, outcome in self.every_request(
                    operation, faults, lasts):
                state = self.state(outcome)
                if state in checked:
                    continue
                checked.add(state)
                if (outcome.error is not None
                        and self.world.swift.stored() == self.untouched):
                    continue
                try:
                    promises.check(self.world, operation, outcome, lasts,
                                   self.before, after)
                except promises.Broken as broken:
                    self.fail(f'{name}, {what}: {outcome}: {broken}')


class TestNever(FaultTest):

    def test_nothing_fails(self) -> None:
        for name, operation in _OPERATIONS.items():
            # Of other calls only what is seen afterwards says what is right.
            if not (operation.takes or operation.renews):
                continue
            usual = self.call(operation)
            try:
                promises.check(self.world, operation, usual, wire.Lasts.ONCE,
                               self.before, self.world.observe())
            except promises.Broken as broken:
                self.fail(f'{name}: {usual}: {broken}')


class TestOnce(FaultTest):

    def test_is_tried_again(self) -> None:
        for name, operation in _OPERATIONS.items():
            usual = self.call(operation)
            after = self.world.observe()
            checked = set()
            for what, outcome in self.every_request(operation, _ALL):
                if operation.takes:
                    state = self.state(outcome)
                    if state in checked:
                        continue
                    checked.add(state)
                    # It may pass over a message about which it is not sure.
                    promises.check(self.world, operation, outcome,
                                   wire.Lasts.ONCE, self.before, after)
                    continue
                self.assertEqual(
                    (usual.error, operations.plain(usual.answer)),
                    (outcome.error, operations.plain(outcome.answer)),
                    f'{name}, {what}')
                self.assertEqual(
                    after, self.world.observe(), f'{name}, {what}')

    def test_is_not_tried_again(self) -> None:
        self.world.configure(retries=0)
        self.check(_EITHER, wire.Lasts.ONCE)


class TestForGood(FaultTest):

    def test_swift_is_gone(self) -> None:
        self.world.configure(retries=1)
        self.check(_EITHER, wire.Lasts.GONE)

    def test_the_process_dies(self) -> None:
        self.world.configure(retries=0)
        self.check(wire.DEATHS, wire.Lasts.DEAD)
