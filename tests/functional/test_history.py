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
"""Some faults on a real Swift; ``tools/run-tests history`` has all of them.

What clients saw is judged by :mod:`tests.history.checker`.
"""

import pathlib

import fixtures
import testtools
from testtools import content

from tests.fixtures import workers
from tests.history import faults
from tests.history import run

WORKERS = 3
SECONDS = 30.0
SEEDS = workers.scaled(1, 100)


class HistoryTest(testtools.TestCase):

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.cluster = faults.Cluster()
        cls.cluster.setUp()
        cls.addClassCleanup(cls.cluster.cleanUp)

    def setUp(self) -> None:
        super().setUp()
        self.folder = pathlib.Path(
            self.useFixture(fixtures.TempDir()).path)

    def check(self, name: str) -> None:
        """Run rounds with a fault; nothing that is promised may break."""
        rounds = run.Rounds(self.cluster, self.folder, WORKERS, SECONDS)
        done = [rounds.run(faults.FAULTS[name], seed)
                for seed in range(SEEDS)]
        self.addDetail('figures', content.text_content(run.table(done)))

        for each in done:
            self.assertEqual((), each.vacuous + each.verdict.violations)
            self.assertFalse(each.failed)

    def test_a_node_killed(self) -> None:
        self.check('node killed')

    def test_answers_dropped(self) -> None:
        self.check('answers dropped')

    def test_a_worker_killed(self) -> None:
        self.check('worker killed')
