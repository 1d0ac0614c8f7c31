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

"""What the runner of zaqar-tempest-plugin makes of its results."""

import importlib.util
import pathlib
from typing import Any

import testtools

TOOL = pathlib.Path(__file__).parents[2] / 'tools' / 'run_tempest.py'


def load() -> Any:
    """Import the tool, which is in no package."""
    spec = importlib.util.spec_from_file_location('run_tempest', TOOL)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class JudgeTest(testtools.TestCase):

    def setUp(self) -> None:
        super().setUp()
        self.tool = load()

    def judge(
        self, statuses: dict[str, str], *known: str, selected: bool = False,
    ) -> list[str]:
        complaints: list[str] = self.tool.judge(
            statuses, dict.fromkeys(known, 'a reason'), selected)
        return complaints

    def test_is_content_with_what_is_expected(self) -> None:
        self.assertEqual([], self.judge({'a': 'success', 'b': 'fail'}, 'b'))

    def test_complains_of_a_failure(self) -> None:
        for status in ('fail', 'uxsuccess', 'inprogress', 'unknown'):
            self.assertEqual(['a failed.'], self.judge({'a': status}))

    def test_complains_of_an_unexpected_pass(self) -> None:
        (complaint,) = self.judge({'a': 'success'}, 'a')

        self.assertIn('a passed: take it out of', complaint)

    def test_complains_of_a_skipped_test(self) -> None:
        self.assertEqual(['a was skipped.'], self.judge({'a': 'skip'}))

    def test_complains_of_a_known_one_that_did_not_run(self) -> None:
        (complaint,) = self.judge({'a': 'success'}, 'gone')

        self.assertIn('gone of', complaint)
        self.assertEqual(
            [], self.judge({'a': 'success'}, 'gone', selected=True))

    def test_complains_when_nothing_ran(self) -> None:
        self.assertEqual(['no test ran.'], self.judge({}))

    def test_names_are_without_tags(self) -> None:
        self.assertEqual('a.b', self.tool.name('a.b[id-1,smoke]'))

    def test_every_known_failure_has_a_reason(self) -> None:
        for reason in self.tool.known().values():
            self.assertTrue(reason.strip())
