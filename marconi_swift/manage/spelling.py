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
"""Options that mean nothing: oslo.config ignores what it does not know."""

from collections.abc import Iterable
from collections.abc import Iterator
import configparser
import difflib
import pathlib

from oslo_config import cfg

from marconi_swift import options


def unknown(
    conf: cfg.ConfigOpts, group: str, sources: Iterable[str],
) -> list[str]:
    """Say which options of a driver's group no such driver has.

    :param conf: with the options of the driver registered.
    :param sources: the files that it was read from, and folders of them.
    """
    known = options.known_names(conf, group)
    return [
        f'{name} in [{group}]' + _alike(name, known)
        for name in dict.fromkeys(_names(_files(sources), group))
        if name.replace('-', '_') not in known]


def _files(sources: Iterable[str]) -> Iterator[pathlib.Path]:
    for path in map(pathlib.Path, sources):
        yield from sorted(path.glob('*.conf')) if path.is_dir() else [path]


def _names(files: Iterable[pathlib.Path], group: str) -> Iterator[str]:
    """Names that files set in a group."""
    for file in files:
        parser = configparser.RawConfigParser(
            strict=False, allow_no_value=True, default_section='')
        # What oslo.config could read, this may not: then it finds nothing.
        try:
            parser.read_string(file.read_text())
        except configparser.Error:
            continue
        if parser.has_section(group):
            yield from parser.options(group)


def _alike(name: str, known: set[str]) -> str:
    found = difflib.get_close_matches(name.replace('-', '_'), known, n=1)
    return f' (is that {found[0]}?)' if found else ''
