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
"""The command ``marconi-swift-manage gc``."""

import argparse
from collections.abc import Iterator
import time
from typing import Any

from cliff import lister

from marconi_swift.data import sweeping
from marconi_swift.manage import stores

#: Seconds between two lines that say how far it is.
_REPORT_EVERY = 10.0

_COLUMNS = ('Store', 'Container', 'Expired', 'Orphaned', 'Dropped')


class Gc(lister.Lister):
    """Remove what crashes, and a Swift without an expirer, leave behind.

    Lists the containers in which there was something: objects whose time is
    over, objects of a queue or topic that is no more, and whether the
    container was removed, too. Safe while the queues are in use, and may be
    stopped and begun again at any time. With several Zaqars on one Swift
    account, each must have a container_prefix of its own.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        stores.add_arguments(parser)
        parser.add_argument(
            '--dry-run', action='store_true',
            help='list what would be removed, and remove nothing')
        parser.add_argument(
            '--store', metavar='NAME',
            help='only this pool, or marconi-swift for the message store '
                 'of the configuration')
        parser.add_argument(
            '--after', metavar='CONTAINER', default='',
            help='begin after this container, as a run that was stopped '
                 'told')
        return parser

    def take_action(
        self, parsed_args: argparse.Namespace,
    ) -> tuple[tuple[str, ...], Iterator[tuple[Any, ...]]]:
        return _COLUMNS, self._sweep(parsed_args)

    def _sweep(
        self, parsed_args: argparse.Namespace,
    ) -> Iterator[tuple[Any, ...]]:
        conf = stores.read(parsed_args.config_files)
        said = time.monotonic()
        for name, driver in stores.message_stores(conf):
            if parsed_args.store not in (None, name):
                continue
            for swept in sweeping.sweep(
                    driver, after=parsed_args.after,
                    rehearse=parsed_args.dry_run):
                if swept:
                    yield (name, *swept)
                if time.monotonic() - said > _REPORT_EVERY:
                    said = time.monotonic()
                    self.app.LOG.info(
                        'Store %s is swept up to here; to go on from here: '
                        '--store %s --after %s', name, name, swept.container)
            driver.close()
