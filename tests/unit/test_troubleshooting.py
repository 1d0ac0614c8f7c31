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

"""The messages that the troubleshooting page quotes are those of the code."""

import ast
from collections.abc import Iterator
import pathlib
import re

import testtools

import marconi_swift
import tests

PAGE = pathlib.Path(tests.__file__).parents[1].joinpath(
    'doc/source/admin/troubleshooting.rst').read_text()

#: What stands for a value, in a quotation and here.
VALUE = '...'

#: Parts of quotations that are Swift's, Keystone's, Zaqar's or stevedore's.
FOREIGN = (
    'The Keystone service is temporarily unavailable',
    'Missing header value: The "Client-Id" header is required',
    'The request you have made requires authentication',
    'ConnectFailure',
    'region not found',
    "No 'zaqar.data.storage' driver found, looking for '",
    "Invalid X-Storage-Policy '",
    'X-Delete-At in past',
    'Maximum limit is',
)

#: What is a value in the code, or the name of an exception.
_VALUES = re.compile(
    r"""\bPUT\b|\bGET\b|[()]|b['"]|\d+|marconi-swift://|authentication|"""
    r'NewConnectionError|^InvalidConfiguration: ')


def _quotations() -> list[str]:
    """What is quoted in the terms of the page's definition lists."""
    terms = re.findall('^(\\S.+)\n   \\S', PAGE, re.MULTILINE)
    return [quoted for term in terms
            for quoted in re.findall('``(.+?)``', term) if ' ' in quoted]


def _parts(quoted: str) -> list[str]:
    """What is between values, and between a reason and what gives it."""
    for foreign in FOREIGN:
        quoted = quoted.replace(foreign, VALUE)
    quoted = _VALUES.sub(VALUE, quoted)
    return [part for part in (
        part.strip(' :\'"') for part in quoted.split(VALUE)) if len(part) > 3]


def _messages() -> Iterator[str]:
    """All texts in the code, with values as they are quoted."""
    for path in pathlib.Path(marconi_swift.__file__).parent.rglob('*.py'):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.JoinedStr):
                yield ''.join(
                    part.value if isinstance(part, ast.Constant) else VALUE
                    for part in node.values)
            elif isinstance(node, ast.Constant) and isinstance(
                    node.value, str):
                yield re.sub(r'%\(\w+\)\w', VALUE, node.value)


class TestTroubleshooting(testtools.TestCase):

    def test_what_is_quoted_is_said(self) -> None:
        said = '\n'.join(_messages())

        unsaid = [(quoted, part) for quoted in _quotations()
                  for part in _parts(quoted) if part not in said]

        self.assertEqual([], unsaid)

    def test_quotations_are_found(self) -> None:
        """Else nothing above would have been looked for."""
        self.assertGreater(len(_quotations()), 20)
