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

"""The table of Marconi's interface names what exists, and leaves none out."""

import pathlib
import pkgutil
import re

import ddt
import testtools

import tests

_PAGE = pathlib.Path(tests.__file__).parents[1].joinpath(
    'doc/source/contributor/from-marconi.rst').read_text()

_NAMES = sorted(set(re.findall(
    r'``((?:control|data|driver|options|store)\.[\w.]+)``', _PAGE)))

#: Classes and methods of ``marconi/queues/storage/base.py`` at 2014.1.
_MARCONI = {
    'DataDriverBase': 'is_alive queue_controller message_controller '
                      'claim_controller',
    'ControlDriverBase': 'catalogue_controller shards_controller',
    'Queue': 'list get_metadata create exists set_metadata delete stats',
    'Message': 'list first get bulk_get post delete bulk_delete',
    'Claim': 'get create update delete',
    'ShardsBase': 'list create get exists delete update drop_all',
    'CatalogueBase': 'list get exists insert delete update drop_all',
}

_METHODS = [f'{owner}.{method}' for owner, methods in _MARCONI.items()
            for method in methods.split()]


@ddt.ddt
class TestFromMarconi(testtools.TestCase):

    @ddt.data(*_NAMES)
    def test_what_is_named_exists(self, name: str) -> None:
        """Raises ImportError or AttributeError for what does not."""
        pkgutil.resolve_name(f'marconi_swift.{name}')

    @ddt.data(*_METHODS)
    def test_no_method_is_left_out(self, method: str) -> None:
        self.assertIn(f'   * - ``{method}``\n', _PAGE)

    def test_names_are_found(self) -> None:
        """Else nothing above would have been looked up."""
        self.assertIn('data.messages.MessageController.post', _NAMES)
