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
"""Which rounds fail, on rounds that have not been run."""

import pathlib
import signal

import fixtures
import testtools

from tests.fixtures import workers
from tests.history import calls
from tests.history import checker
from tests.history import faults
from tests.history import run

OK, UNKNOWN = checker.OK, checker.UNKNOWN


def done(kind: str, outcome: calls.Outcome = OK) -> calls.Call:
    return calls.Call(kind, 0, 1, outcome, ('a',))


class TestRound(testtools.TestCase):

    def failed(
        self, *history: calls.Call, promised: bool = True, stuck: int = 0,
        vacuous: tuple[str, ...] = (),
    ) -> bool:
        return run.Round('calm', promised, 1, 60, 30, stuck, vacuous,
                         checker.check(history, ())).failed

    def test_in_which_all_was_right(self) -> None:
        self.assertFalse(self.failed())

    def test_in_which_something_was_wrong(self) -> None:
        self.assertTrue(self.failed(done('post')))
        self.assertFalse(self.failed(done('post'), promised=False))

    def test_in_which_messages_were_stuck(self) -> None:
        self.assertTrue(self.failed(stuck=1))
        self.assertFalse(self.failed(stuck=1, promised=False))

    def test_that_says_too_little(self) -> None:
        for promised in True, False:
            self.assertTrue(self.failed(
                promised=promised, vacuous=('nobody posted',)))


class TestVacuous(testtools.TestCase):

    all = (done('post'), done('claim'), done('delete'))

    def test_if_something_was_never_done(self) -> None:
        for left_out in self.all:
            kind = left_out.kind
            rest = [each for each in self.all if each is not left_out]
            for instead in (), (done(kind, UNKNOWN),), (
                    calls.Call(kind, 0, 1, OK),):
                self.assertEqual(
                    [f'no {kind} of a message was acknowledged'],
                    list(run.vacuous([*rest, *instead], quiet=False)))

    def test_if_much_is_unknown_and_nothing_disturbed(self) -> None:
        calls = [*self.all, done('list', UNKNOWN)]

        self.assertEqual([], list(run.vacuous(calls, quiet=False)))
        self.assertEqual(
            ['1 calls ended unknown, and nothing disturbed them'],
            list(run.vacuous(calls, quiet=True)))

    def test_not_if_all_was_done(self) -> None:
        for quiet in True, False:
            self.assertEqual([], list(run.vacuous(self.all, quiet)))

    def test_nothing_disturbs_under_these(self) -> None:
        self.assertEqual(
            ['calm', 'clocks differ by 2 s'],
            [name for name, fault in faults.FAULTS.items() if fault.quiet])


class TestCrew(testtools.TestCase):
    """Of workers that can do nothing, for want of a zaqar.conf."""

    def setUp(self) -> None:
        super().setUp()
        folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.crew = run.Crew(
            str(folder / 'zaqar.conf'), folder, 'queue', 1, 60, [0])
        self.addCleanup(self.crew.close)
        self.crew.hire()

    def test_one_that_dies_fails(self) -> None:
        [worker] = self.crew.workers
        worker.send_signal(signal.SIGSEGV)

        failure = self.assertRaises(workers.Failure, self.crew.wait)

        self.assertIn('-11', str(failure))

    def test_one_that_a_fault_kills_does_not(self) -> None:
        [worker] = self.crew.workers
        heal = faults.FAULTS['worker killed'].strike(faults.Scene(
            None, faults.random.Random(1), self.crew.workers, list))

        self.crew.wait()

        heal()
        self.assertEqual(-signal.SIGKILL, worker.wait())
