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
"""The command ``marconi-swift-manage purge``."""

import argparse
from collections.abc import Iterator
import itertools
import sys
import time
from typing import Any

from cliff import command
from oslo_utils import timeutils

from marconi_swift import driver as drivers
from marconi_swift import records
from marconi_swift.data import listing
from marconi_swift.data import queue as data_queue
from marconi_swift.manage import commands
from marconi_swift.manage import portable
from marconi_swift.manage import progress

#: Messages that are deleted at a time.
_AT_A_TIME = 1000


class Purge(commands.OnQueue, command.Command):
    """Delete the messages of a queue, claimed and delayed ones, too.

    All that were posted until it began. The queue itself, its metadata and
    subscriptions stay; claims on what was deleted end by themselves. It may
    be interrupted, and begun again.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument('--yes', action='store_true',
                            help='do not ask')
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        name, project = parsed_args.queue, parsed_args.project
        driver = self.deployment.driver_of(name, project)
        if not (parsed_args.yes or _agreed(
                f'Delete all messages of queue {name} in project {project}, '
                f'which cannot be undone? [y/N] ')):
            self.app.LOG.error('Nothing was deleted.')
            return 1
        deleted = 0
        with progress.bar(unit='messages') as bar:
            for count in _purge(driver, name, project):
                deleted += count
                bar.update(count)
        self.app.stdout.write(
            f'{deleted} messages of queue {name} were deleted.\n')
        return 0


def _agreed(question: str) -> bool:
    """Ask at the terminal.

    :raises ValueError: there is none.
    """
    if not sys.stdin.isatty():
        raise ValueError('There is no terminal to ask at: give --yes.')
    sys.stderr.write(question)
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ('y', 'yes')


def _purge(driver: Any, name: str, project: str | None) -> Iterator[int]:
    """Delete page by page; yields how many messages each had."""
    began = time.monotonic()

    def is_old(found: tuple[str, float]) -> bool:
        # Ages are whole seconds, by the clocks of the posters.
        return found[1] > time.monotonic() - began - 1

    # Zaqar's swift driver does not list them in the order of posting.
    choose = (itertools.takewhile if isinstance(driver, drivers.DataDriver)
              else filter)
    old = choose(is_old, _ages(driver, name, project))
    while page := [message_id for message_id, _
                   in itertools.islice(old, _AT_A_TIME)]:
        driver.message_controller.bulk_delete(name, page, project=project)
        yield len(page)


def _ages(
    driver: Any, name: str, project: str | None,
) -> Iterator[tuple[str, float]]:
    """Ids of all messages, and how many seconds ago they were posted.

    Those that are posted meanwhile may be among them.
    """
    if not isinstance(driver, drivers.DataDriver):
        for message, at in portable.listed(driver, name, project):
            yield message['id'], message['age'] + timeutils.utcnow_ts() - at
        return
    parts = data_queue.queue(driver, name, project).parts
    for found in listing.hints(parts, first=_AT_A_TIME):
        yield found.id, found.age(records.now())
