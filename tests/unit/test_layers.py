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
"""Imports point down, and one layer alone knows Swift's client."""

import ast
from collections.abc import Iterator
import pathlib

import testtools

import marconi_swift

_PACKAGE = pathlib.Path(marconi_swift.__file__).parent

#: From the top down; modules of one layer may import one another.
_LAYERS = ('bench standalone manage', 'driver', 'data', 'control',
           'gate election cache notices acceptable', 'records',
           'store', 'options names version')

#: Who may import what of Swift's and Keystone's clients. The standalone
#: program makes known to its Keystone who there is.
_CLIENTS = {'swiftclient': {'store'}, 'requests': {'store'},
            'urllib3': {'store'},
            'keystoneauth1': {'store', 'options', 'standalone', 'bench'}}


def _modules() -> Iterator[tuple[str, str, str]]:
    """Yield who imports what: a file, its part of the package, a module."""
    for path in sorted(_PACKAGE.rglob('*.py')):
        relative = path.relative_to(_PACKAGE)
        part = relative.parts[0].removesuffix('.py')
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    yield str(relative), part, alias.name
            elif isinstance(node, ast.ImportFrom):
                for alias in node.names:
                    yield str(relative), part, f'{node.module}.{alias.name}'


def _level(part: str) -> int:
    [level] = [number for number, layer in enumerate(_LAYERS)
               if part in layer.split()]
    return level


class TestLayers(testtools.TestCase):

    def test_imports_point_down(self) -> None:
        ours = [(file, part, module.split('.')[1])
                for file, part, module in _modules()
                if module.startswith('marconi_swift.')]

        up = [(file, target) for file, part, target in ours
              if _level(target) < _level(part)]

        self.assertGreater(len(ours), 50)
        self.assertEqual([], up)

    def test_one_layer_knows_the_clients(self) -> None:
        found = {name: set() for name in _CLIENTS}
        for _file, part, module in _modules():
            client = module.partition('.')[0]
            if client in found:
                found[client].add(part)

        self.assertEqual(_CLIENTS, found)
