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

"""The documentation names only files of the repository that are there."""

import pathlib
import re

import testtools

import tests

ROOT = pathlib.Path(tests.__file__).parents[1]

PAGES = [*ROOT.glob('*.rst'), *ROOT.glob('devstack/*.rst'),
         *ROOT.glob('doc/source/*/*.rst')]

NAMED = re.compile(r'``((?:tests|tools|marconi_swift)/[\w./-]+)``')


class TestDocs(testtools.TestCase):

    def test_files_that_are_named_exist(self) -> None:
        named = {(page.name, name) for page in PAGES
                 for name in NAMED.findall(page.read_text())}

        self.assertNotEqual(set(), named)
        self.assertEqual(set(), {
            (page, name) for page, name in named
            if not (ROOT / name).exists()})
