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
import contextlib
import time
from typing import Any

from cliff import lister
from zaqar.common import errors as zaqar_errors

from marconi_swift import driver as drivers
from marconi_swift.data import probing
from marconi_swift.data import sweeping
from marconi_swift.manage import commands
from marconi_swift.manage import stores
from marconi_swift.store import errors

#: Seconds between two lines that say how far it is.
_REPORT_EVERY = 10.0

_COLUMNS = ('Store', 'Container', 'Expired', 'Orphaned', 'Dropped')


class Gc(commands.WithStatus, lister.Lister):
    """Remove what crashes, and a Swift without an expirer, leave behind.

    Lists the containers in which there was something: objects whose time is
    over, objects of a queue or topic that is no more, and whether the
    container was removed, too. Safe while the queues are in use, and may be
    stopped and begun again at any time. With several Zaqars on one Swift
    account, each must have a container_prefix of its own.

    Ends with status 1 if a store could not be swept to its end, and with
    status 130 if it was interrupted; then, too, it lists what it did, and
    says how to go on.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        commands.add_arguments(parser)
        parser.add_argument(
            '--dry-run', action='store_true',
            help='list what would be removed, and remove nothing')
        commands.add_store_argument(parser)
        parser.add_argument(
            '--after', metavar='CONTAINER', default='',
            help='with --store, begin after this container, as a run that '
                 'was stopped told')
        parser.add_argument(
            '--force', action='store_true',
            help='remove the queues that the management store does not know '
                 'even if it knows none at all')
        return parser

    def take_action(
        self, parsed_args: argparse.Namespace,
    ) -> tuple[tuple[str, ...], list[tuple[Any, ...]]]:
        if parsed_args.after and not parsed_args.store:
            raise ValueError('--after needs --store: it names a container '
                             'of one store.')
        with stores.Deployment(parsed_args.arguments) as deployment:
            waiting = stores.chosen(deployment.ours(), parsed_args.store)
            rows: list[tuple[Any, ...]] = []
            while waiting and self.status != commands.INTERRUPTED:
                self._sweep(waiting.pop(0), parsed_args, rows)
            if waiting:
                self.app.LOG.warning(
                    'Not swept at all: %s', ', '.join(
                        f'--store {store.name}' for store in waiting))
        return _COLUMNS, rows

    def _sweep(
        self, store: stores.Store, parsed_args: argparse.Namespace,
        rows: list[tuple[Any, ...]],
    ) -> None:
        """Add what is found to the rows; an error ends this store's."""
        after = parsed_args.after
        said = time.monotonic()
        try:
            with contextlib.closing(store.open()) as driver:
                orphans = self._may_remove_orphans(store, driver, parsed_args)
                for swept in sweeping.sweep(
                        driver, after=after,
                        rehearse=parsed_args.dry_run, orphans=orphans):
                    after = swept.container
                    if swept:
                        rows.append((store.name, *swept))
                    if time.monotonic() - said > _REPORT_EVERY:
                        said = time.monotonic()
                        self.app.LOG.info(
                            'Store %s is swept up to container %s.',
                            store.name, after)
                if not parsed_args.dry_run:
                    # What the sweep listed is gone: their records are left.
                    probing.clear(driver)
                    # In its account, a check leaves a container.
                    if isinstance(
                            driver.control_driver, drivers.ControlDriver):
                        probing.clear(driver.control_driver)
        except Exception as error:
            # Also what Zaqar raises for a pool's options that no driver
            # takes: the stores after it are swept all the same.
            self.status = 1
            expected = isinstance(
                error, (errors.SwiftError, zaqar_errors.InvalidDriver))
            self.app.LOG.error(
                'Store %s could not be swept to its end: %s To go on: %s',
                store.name, error if expected else repr(error),
                _further(store, after))
        except KeyboardInterrupt:
            self.status = commands.INTERRUPTED
            self.app.LOG.warning(
                'Interrupted in store %s. To go on: %s', store.name,
                _further(store, after))

    def _may_remove_orphans(
        self, store: stores.Store, driver: Any,
        parsed_args: argparse.Namespace,
    ) -> bool:
        if parsed_args.force or sweeping.knows_its_queues(driver):
            return True
        self.app.LOG.warning(
            'The management store knows none of the queues in store %s. Is '
            'it the right one? Only what has expired is removed; --force '
            'removes the rest, too.', store.name)
        return False


def _further(store: stores.Store, after: str) -> str:
    """The arguments that go on after a container."""
    return f'--store {store.name}' + (f' --after {after}' if after else '')
