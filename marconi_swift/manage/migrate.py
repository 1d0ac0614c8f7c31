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
"""The command ``marconi-swift-manage migrate``."""

import argparse
import dataclasses
from typing import Any

from cliff import lister

from marconi_swift import driver as drivers
from marconi_swift.manage import commands
from marconi_swift.manage import copying
from marconi_swift.manage import progress
from marconi_swift.manage import queues
from marconi_swift.manage import sources
from marconi_swift.manage import stores

_COLUMNS = ('Queue', 'Found', 'Copied', 'Already there', 'Missing',
            'Expired', 'Claimed', 'Failed', 'Subscriptions')


class Migrate(
        commands.WithStatus, commands.OnDeployment, lister.Lister):
    """Copy the queues of a project from stores of other drivers to this one.

    With their metadata, messages and subscriptions. The source is not
    changed. Of a message its body, order and ttl are kept, and what else the
    source tells: see the administrator's guide. It gets a new id, which is
    the same whenever it is copied: after an interruption, begin again, and
    nothing is copied twice that was not taken from here meanwhile.

    What is claimed in the source is left there and counted: its worker may
    be about to delete it. Ends with status 1 if anything failed or, with
    --verify, is missing or different.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument(
            '--from-config-file', action='append', metavar='PATH',
            dest='source', type='--config-file={}'.format, required=True,
            help='configuration of the Zaqar to copy from; can be given '
                 'several times')
        commands.add_project_argument(parser, required=True)
        parser.add_argument(
            '--queue', metavar='NAME', action='append', dest='names',
            help='only this queue; can be given several times')
        parser.add_argument(
            '--include-claimed', action='store_true',
            help='copy also what is claimed in the source, as free')
        only = parser.add_mutually_exclusive_group()
        only.add_argument('--dry-run', action='store_true',
                          help='count what would be copied, copy nothing')
        only.add_argument('--verify', action='store_true',
                          help='compare what is in both, copy nothing')
        return parser

    def take_action(
        self, parsed_args: argparse.Namespace,
    ) -> tuple[tuple[str, ...], list[tuple[Any, ...]]]:
        self._project = parsed_args.project
        self._terms = copying.Terms(
            parsed_args.include_claimed, parsed_args.dry_run,
            parsed_args.verify)
        with stores.Deployment(parsed_args.source) as self._source:
            wanted = parsed_args.names or [
                name for _, name in queues.of_project(
                    self._source.control, self._project, '')]
            return _COLUMNS, [self._migrate(name) for name in wanted]

    @property
    def _writes(self) -> bool:
        return not (self._terms.dry_run or self._terms.verify)

    def _migrate(self, queue: str) -> tuple[Any, ...]:
        """Migrate one queue; an error ends it, and the next is begun."""
        tally, subscribed = copying.Tally(), 0
        try:
            origin = self._origin(queue)
            target = self._target(queue)
            copier = copying.Copier(target, queue, self._project, self._terms)
            tally = copier.tally
            self._copy(origin, copier, queue)
            if self._writes:
                subscribed = self._subscribe(origin, target, queue)
        except Exception as error:
            # Whatever a driver raises: other queues are in other stores.
            tally.failed += 1
            self.app.LOG.error(
                'Queue %s could not be migrated to its end: %s', queue,
                str(error) or repr(error))
        if tally.claimed:
            self.app.LOG.warning(
                '%d messages of queue %s are claimed in the source and were '
                'left there. Migrate again when these claims are over.',
                tally.claimed, queue)
        self.status |= bool(tally.failed or tally.missing)
        return queue, *dataclasses.astuple(tally), subscribed

    def _copy(
        self, origin: Any, copier: copying.Copier, queue: str,
    ) -> None:
        with progress.steps('messages') as done:
            for page in sources.pages(origin, queue, self._project):
                copier.copy(page)
                done(len(page))

    def _origin(self, queue: str) -> Any:
        origin = self._source.driver_of(queue, self._project)
        if isinstance(origin, drivers.DataDriver):
            raise ValueError(
                'In the source, it is in a store of this driver already. Use '
                'export and import.')
        return origin

    def _target(self, queue: str) -> drivers.DataDriver:
        """The driver of the queue here; the queue is made if need be."""
        def metadata() -> dict[str, Any]:
            return dict(self._source.control.queue_controller.get(
                queue, project=self._project))

        target = self.deployment.driver_for(
            queue, self._project, metadata if self._writes else None)
        if not isinstance(target, drivers.DataDriver):
            raise ValueError('It is to be in a store of another driver: see '
                             f'{self.deployment.files()}.')
        return target

    def _subscribe(
        self, origin: Any, target: drivers.DataDriver, queue: str,
    ) -> int:
        """Copy subscriptions; return how many were not there."""
        controller, made = target.subscription_controller, 0
        # zaqar.storage.mongodb.subscriptions counts ages from the creation,
        # whatever was renewed since, and lists none that has expired for more
        # than a minute.
        renewed = self._source.store_of(
            queue, self._project).scheme.startswith('mongodb')
        for found in sources.subscriptions(origin, queue, self._project):
            left = int(found['ttl'] - found['age'])
            if left <= 0 and renewed:
                left = found['ttl']
            if left <= 0:
                continue
            confirmed = False
            name = controller.create(
                queue, found['subscriber'], left, found['options'],
                project=self._project)
            if name is None:
                # Perhaps made by a run that ended before it was confirmed.
                there = controller.get_with_subscriber(
                    queue, found['subscriber'], project=self._project)
                name, confirmed = there['id'], there['confirmed']
            else:
                made += 1
            if found.get('confirmed') and not confirmed:
                controller.confirm(queue, name, project=self._project,
                                   confirmed=True)
        return made
