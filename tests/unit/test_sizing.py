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

"""The documentation shows the costs that the tests of costs expect."""

import pathlib
import re

import testtools

import tests
from tests.functional import test_costs

PAGE = pathlib.Path(tests.__file__).parents[1].joinpath(
    'doc/source/admin/sizing.rst').read_text()

ROW = re.compile(r'   \* - (?P<what>.*)\n     - (\d+)\n     - (\d+)\n')


class TestSizing(testtools.TestCase):

    def test_costs_are_those_that_are_counted(self) -> None:
        table = PAGE.partition('.. costs')[2].partition('.. end of costs')[0]

        shown = {what: (int(requests), int(waits))
                 for what, requests, waits in ROW.findall(table)}

        self.assertEqual(table.count('   * - ') - 1, len(shown))
        self.assertEqual(
            {what: (sum(test_costs.COSTS[what]), len(test_costs.COSTS[what]))
             for what in shown},
            shown)
