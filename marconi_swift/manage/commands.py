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
"""What the commands of ``marconi-swift-manage`` have in common."""

import argparse
import os
from typing import Any

from marconi_swift.manage import stores

#: What a shell shows for a command that Ctrl-C ended.
INTERRUPTED = 130


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that find Zaqar's configuration, as Zaqar has them.

    They become ``arguments``, for :class:`.stores.Deployment`.
    """
    for option, what in (
            ('--config-file', "Zaqar's configuration"),
            ('--config-dir', 'all .conf files of this folder')):
        parser.add_argument(
            option, action='append', metavar='PATH', dest='arguments',
            type=f'{option}={{}}'.format, default=[],
            help=f'{what}; can be given several times, and what comes last '
                 'wins. Else it is looked for where Zaqar looks for it.')


def add_project_argument(
    parser: Any, required: bool = False,
) -> None:
    """Add the option that names a project.

    :param parser: or a group of one.
    """
    given = os.environ.get('OS_PROJECT_ID')
    parser.add_argument(
        '--project', metavar='ID', default=given,
        required=required and not given,
        help="id of the queue's project; $OS_PROJECT_ID, unless it is given")


def add_store_argument(
    parser: argparse.ArgumentParser, besides: str = '',
) -> None:
    """Add the option that chooses a message store; see `stores.chosen`.

    :param besides: what is not left out, whatever is chosen.
    """
    parser.add_argument(
        '--store', metavar='NAME',
        help='only this pool, or marconi-swift for the message store of the '
             f'configuration{besides}')


class WithStatus:
    """A cliff command that ends with its ``status``, which may change."""

    status = 0

    def run(self, parsed_args: argparse.Namespace) -> int:
        status: int = super().run(parsed_args)  # type: ignore[misc]
        return self.status or status


class OnDeployment:
    """A cliff command that works on the stores of ``--config-file``."""

    deployment: stores.Deployment

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = (
            super().get_parser(prog_name))  # type: ignore[misc]
        add_arguments(parser)
        return parser

    def run(self, parsed_args: argparse.Namespace) -> int:
        with stores.Deployment(parsed_args.arguments) as self.deployment:
            status: int = super().run(parsed_args)  # type: ignore[misc]
        return status


class OnQueue(OnDeployment):
    """... and on one queue in them, the first of its arguments."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        add_project_argument(parser, required=True)
        parser.add_argument('queue', metavar='QUEUE', help='name of the queue')
        return parser
