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
"""Commands that show the claims of a queue, or release one."""

import argparse
from collections.abc import Iterable
from typing import Any

from cliff import command
from cliff import lister
from cliff import show
from zaqar.storage import errors as zaqar_errors

from marconi_swift import driver as drivers
from marconi_swift import records
from marconi_swift.data import queue as data_queue
from marconi_swift.manage import commands


class List(commands.OnQueue, lister.Lister):
    """List the live claims of a queue, oldest first.

    Of a queue that is in a store of this driver. Changes nothing.
    """

    def take_action(
        self, parsed_args: argparse.Namespace,
    ) -> tuple[tuple[str, ...], Iterable[tuple[Any, ...]]]:
        name, project = parsed_args.queue, parsed_args.project
        driver = self.deployment.driver_of(name, project)
        if not isinstance(driver, drivers.DataDriver):
            raise ValueError(
                f'Queue {name} is in store '
                f'{self.deployment.store_of(name, project).name}, whose '
                'driver can not list claims.')
        at = records.now()
        queue = data_queue.queue(driver, name, project)
        claims = queue.claims.live(at, queue.parts.ask())
        return ('Claim', 'TTL', 'Age', 'Ends in', 'Messages'), (
            (claim.id, claim.ttl, claim.shown(at)['age'],
             int(claim.until - at), len(claim.won)) for claim in claims)


class _OneClaim(commands.OnQueue):

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument('claim', metavar='CLAIM', help='id of the claim')
        return parser

    def read(
        self, parsed_args: argparse.Namespace,
    ) -> tuple[Any, dict[str, Any], list[dict[str, Any]]]:
        """The controller, the claim and its messages.

        :raises ValueError: there is no such claim.
        """
        name, project = parsed_args.queue, parsed_args.project
        controller = self.deployment.driver_of(name, project).claim_controller
        try:
            claim, messages = controller.get(
                name, parsed_args.claim, project=project)
        except zaqar_errors.ClaimDoesNotExist:
            raise ValueError(
                f'There is no claim {parsed_args.claim} in queue {name}, or '
                'it has ended.') from None
        return controller, claim, list(messages)


class Show(_OneClaim, show.ShowOne):
    """Show a claim, and which messages it holds.

    Changes nothing.
    """

    def take_action(
        self, parsed_args: argparse.Namespace,
    ) -> tuple[tuple[str, ...], tuple[Any, ...]]:
        _, claim, messages = self.read(parsed_args)
        return ('claim', 'ttl', 'age', 'messages'), (
            claim['id'], claim['ttl'], claim['age'],
            '\n'.join(message['id'] for message in messages))


class Release(_OneClaim, command.Command):
    """Release a claim: others may claim its messages at once.

    The client that holds it may still be at work on them, and can no longer
    delete them with this claim.
    """

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        controller, _, messages = self.read(parsed_args)
        controller.delete(
            parsed_args.queue, parsed_args.claim,
            project=parsed_args.project)
        self.app.stdout.write(
            f'Claim {parsed_args.claim} is released, with '
            f'{len(messages)} messages.\n')
