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
"""Every block in the pages is accounted for, and configuration is right.

tests/fixtures/snippets.py says how; tests/functional/test_snippets.py runs
those that are commands.
"""

import configparser
import pathlib

import fixtures
from keystoneauth1 import loading
import testtools
from testtools import matchers

from marconi_swift import driver
from marconi_swift import options
from tests.fixtures import conf
from tests.fixtures import snippets

PAGE = """
A page
======

Do this::

    first
    second

.. note::

    .. code-block:: ini

        [section]

.. a-directive-that-only-sphinx-knows::

    not a block
"""


class ExtractionTest(testtools.TestCase):

    def test_finds_blocks_wherever_they_are(self) -> None:
        self.assertEqual(
            ['first\nsecond', '[section]'], list(snippets.texts(PAGE)))


class AccountTest(testtools.TestCase):

    def setUp(self) -> None:
        super().setUp()
        self.blocks = [
            (block.page, block.start) for block in snippets.blocks()]
        self.entries = {
            (page, start): entry
            for page, starts in snippets.entries().items()
            for start, entry in starts.items()}

    def test_each_block_has_an_entry_in_snippets_yaml(self) -> None:
        self.assertEqual(set(), set(self.blocks) - set(self.entries))

    def test_each_entry_has_a_block(self) -> None:
        self.assertEqual(set(), set(self.entries) - set(self.blocks))

    def test_each_entry_is_of_one_kind(self) -> None:
        for where, entry in self.entries.items():
            self.assertEqual(
                1, len(set(entry) & set(snippets.KINDS)), where)

    def test_what_runs_a_block_is_there(self) -> None:
        for where, entry in self.entries.items():
            if 'by' in entry:
                self.assertThat(
                    str(snippets.ROOT / entry['by']), matchers.FileExists(),
                    str(where))


class ConfigurationTest(testtools.TestCase):

    def setUp(self) -> None:
        super().setUp()
        self.path = pathlib.Path(
            self.useFixture(fixtures.TempDir()).path, 'zaqar.conf')

    def test_there_is_some(self) -> None:
        self.assertNotEqual([], snippets.of_kind('conf'))

    def test_drivers_can_be_made_from_it(self) -> None:
        for block in snippets.of_kind('conf'):
            self.path.write_text(block.text)
            for store in block.entry['conf']:
                self.make(store, block.entry.get('uri'))

    def make(self, store: str, uri: str | None) -> None:
        read = conf.read(str(self.path))
        if uri:
            group = f'drivers:{store}:{options.SCHEME}'
            for name, opts in options.driver_options(group):
                read.register_opts(opts, name)
            read.set_override('uri', uri, group)
        made = (driver.ControlDriver(read, None)
                if store == 'management_store'
                else driver.DataDriver(read, None, None))
        self.addCleanup(made.close)

    def test_it_has_no_unknown_options(self) -> None:
        for block in snippets.of_kind('conf'):
            self.assertEqual([], unknown(block.text), block.page)

    def test_unknown_options_are_seen(self) -> None:
        self.assertEqual(
            ['nonsense', 'usrname'],
            unknown(f'[{options.DATA_GROUP}]\nnonsense = 1\nfan_out = 2\n'
                    '[swift]\nauth_type = password\nusrname = zaqar\n'))


def unknown(text: str) -> list[str]:
    """Names in this driver's sections that no option has.

    Those are its two groups, and what has an ``auth_type``.
    """
    parser = configparser.ConfigParser(interpolation=None)
    parser.read_string(text)
    return [
        name
        for section in parser.sections()
        if section in ours() or 'auth_type' in parser[section]
        for name in set(parser[section]) - known(
            section, parser[section].get('auth_type'))]


def ours() -> dict[str, set[str]]:
    """The names of all options in each of the two groups."""
    return {group: {option.dest for option in opts}
            for group, opts in options.list_opts()}


def known(section: str, auth_type: str | None) -> set[str]:
    plugin = loading.get_plugin_options(auth_type) if auth_type else []
    return ours().get(section, {'auth_type'}) | {
        option.dest for option in plugin}
