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
"""Commands that show queues and what is in them."""

import argparse
from collections.abc import Iterable
from collections.abc import Iterator
import itertools
from typing import Any

from cliff import lister
from cliff import show
from oslo_serialization import jsonutils
from zaqar.storage import errors as zaqar_errors

from marconi_swift import driver as drivers
from marconi_swift.data import queue as data_queue
from marconi_swift.manage import commands
from marconi_swift.manage import portable
from marconi_swift.manage import progress
from marconi_swift.manage import stores

#: Queues that the management store is asked for at a time.
_PAGE = 1000

#: Characters of a message's body that are shown.
_BODY = 60


class _ManyQueues(commands.OnDeployment, lister.Lister):
    """Works on the queues of one project, or of all."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        whose = parser.add_mutually_exclusive_group()
        commands.add_project_argument(whose)
        whose.add_argument(
            '--all-projects', action='store_true',
            help='the queues of all projects; needs a management store of '
                 'this driver')
        parser.add_argument(
            '--name', metavar='TEXT', default='',
            help='only queues whose name contains this')
        return parser

    def named(
        self, parsed_args: argparse.Namespace,
    ) -> Iterator[tuple[str | None, str]]:
        """Project and name of each queue that is asked for."""
        control = self.deployment.control
        if not parsed_args.all_projects:
            if parsed_args.project is None:
                raise ValueError('Say whose queues: --project or '
                                 '--all-projects.')
            return of_project(
                control, parsed_args.project, parsed_args.name)
        if not isinstance(control, drivers.ControlDriver):
            raise ValueError(
                '--all-projects needs a management store of this driver; '
                'use --project.')
        return ((project, name)
                for project, name in control.queue_controller.everywhere()
                if parsed_args.name in name)

    def store_name(self, queue: str, project: str | None) -> str:
        try:
            return self.deployment.store_of(queue, project).name
        except zaqar_errors.DoesNotExist:
            # It is in no pool, or in one that is no more.
            return 'none'


def of_project(
    control: Any, project: str, containing: str,
) -> Iterator[tuple[str, str]]:
    """Page through the queues of a project, by name.

    Of Zaqar's own management stores two take a ``name`` to look for and
    ignore it, and to the third it is a regular expression.
    """
    marker = None
    while True:
        pages = control.queue_controller.list(
            project=project, marker=marker, limit=_PAGE)
        found = [queue['name'] for queue in next(pages)]
        yield from ((project, name) for name in found if containing in name)
        if len(found) < _PAGE:
            return
        marker = next(pages)


class List(_ManyQueues):
    """List queues, and which store their messages are in.

    Changes nothing. ``stats`` also counts the messages.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument('--long', action='store_true',
                            help='their metadata, too')
        return parser

    def take_action(
        self, parsed_args: argparse.Namespace,
    ) -> tuple[tuple[str, ...], Iterable[tuple[Any, ...]]]:
        queues = self.named(parsed_args)
        columns: tuple[str, ...] = ('Project', 'Queue', 'Store')
        if parsed_args.long:
            columns += ('Metadata',)
        return columns, (
            (project, name, self.store_name(name, project),
             *self._metadata(parsed_args, name, project))
            for project, name in queues)

    def _metadata(
        self, parsed_args: argparse.Namespace, name: str,
        project: str | None,
    ) -> list[str]:
        if not parsed_args.long:
            return []
        controller = self.deployment.control.queue_controller
        return [jsonutils.dumps(controller.get(name, project=project))]


class Stats(commands.WithStatus, _ManyQueues):
    """Count the messages of queues.

    Counts what the listings of their containers say, which may lag some
    seconds behind. A store that does not answer leaves out its queues, and
    the exit status is 1. Changes nothing.
    """

    def take_action(
        self, parsed_args: argparse.Namespace,
    ) -> tuple[tuple[str, ...], Iterable[tuple[Any, ...]]]:
        columns = ('Project', 'Queue', 'Store', 'Free', 'Claimed', 'Total',
                   'Oldest', 'Newest')
        queues = progress.bar(
            self.named(parsed_args), unit='queues',
            # The others write each row at once.
            alone=parsed_args.formatter in ('table', 'json', 'yaml'))
        return columns, itertools.chain.from_iterable(
            self._count(name, project) for project, name in queues)

    def _count(
        self, name: str, project: str | None,
    ) -> list[tuple[Any, ...]]:
        """The row of a queue; none if it is gone or can not be counted."""
        store = self.store_name(name, project)
        try:
            counted = _counted(self.deployment, name, project)
        except (zaqar_errors.QueueDoesNotExist, stores.NoSuchQueue):
            return []
        except Exception as error:
            # Of whatever driver the store is: the others are counted.
            self.status = 1
            self.app.LOG.error(
                'Queue %s of project %s in store %s could not be counted: '
                '%s', name, project, store, error)
            return []
        return [(project, name, store, *counted.values())]


def _counted(
    deployment: stores.Deployment, name: str, project: str | None,
) -> dict[str, Any]:
    """Count a queue's messages; when the oldest and newest were posted."""
    driver = deployment.driver_of(name, project)
    try:
        counts = deployment.queues(driver).stats(name, project=project)
        messages = counts['messages']
    except zaqar_errors.QueueIsEmpty:
        # Zaqar's swift driver, of a pool that nothing was posted to.
        messages = {}
    return {
        **{key: messages.get(key, 0) for key in ('free', 'claimed', 'total')},
        **{end: messages.get(end, {}).get('created')
           for end in ('oldest', 'newest')}}


class Show(commands.OnQueue, show.ShowOne):
    """Show a queue's metadata, and count its messages.

    Changes nothing.
    """

    def take_action(
        self, parsed_args: argparse.Namespace,
    ) -> tuple[tuple[str, ...], tuple[Any, ...]]:
        name, project = parsed_args.queue, parsed_args.project
        driver = self.deployment.driver_of(name, project)
        controller = self.deployment.control.queue_controller
        shown = {
            'project': project, 'queue': name,
            'store': self.deployment.store_of(name, project).name,
            'metadata': jsonutils.dumps(
                controller.get(name, project=project)),
            **_counted(self.deployment, name, project)}
        if isinstance(driver, drivers.DataDriver):
            described = data_queue.queue(driver, name, project)
            shown['messages container'] = described.messages
            shown['claims container'] = described.claims.container
        return tuple(shown), tuple(shown.values())


class Peek(commands.OnQueue, lister.Lister):
    """Show messages of a queue without claiming them, oldest first.

    Those that are claimed or delayed, too. Changes nothing.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument(
            '--limit', metavar='NUMBER', type=_natural, default=10,
            help='show no more than this; 0 shows all')
        parser.add_argument(
            '--after', metavar='MESSAGE', default='',
            help='begin after the message of this id')
        parser.add_argument(
            '--full', action='store_true',
            help=f'whole bodies; else their first {_BODY} characters')
        return parser

    def take_action(
        self, parsed_args: argparse.Namespace,
    ) -> tuple[tuple[str, ...], Iterable[tuple[Any, ...]]]:
        name, project = parsed_args.queue, parsed_args.project
        driver = self.deployment.driver_of(name, project)
        limit = parsed_args.limit
        messages = portable.listed(
            driver, name, project, parsed_args.after,
            min(limit or portable.PAGE, portable.PAGE))
        lives = portable.lives(driver, name, project)
        cut = None if parsed_args.full else _BODY
        return ('ID', 'Age', 'TTL', 'Claim', 'Claims', 'Body'), (
            (message['id'], int(message['age']), message['ttl'],
             message['claim_id'] if lives(message['claim_id']) else None,
             message.get('claim_count'), _text(message['body'])[:cut])
            for message, _ in itertools.islice(messages, limit or None))


def _natural(text: str) -> int:
    number = int(text)
    if number < 0:
        raise ValueError(f'{number} is less than 0')
    return number


def _text(body: Any) -> str:
    """A body as one line of text."""
    if isinstance(body, bytes):
        return repr(body)
    text: str = jsonutils.dumps(body, ensure_ascii=False)
    return text
