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

"""Keystone's WSGI application, with its database made ready first.

Loading Keystone takes longer than all the rest, so it is done once: what
makes the database ready runs in forks of the process that then serves.
"""

from collections.abc import Sequence
import multiprocessing
import sys
from typing import Any

from keystone.cmd import cli
from keystone.server.flask import core


def application(path: str, commands: Sequence[Sequence[str]]) -> Any:
    """Return the application that one configuration file describes.

    :param commands: what ``keystone-manage`` is to do before, each a list of
        arguments.
    """
    for command in commands:
        manage('--config-file', path, *command)
    # Keystone would read gunicorn's.
    del sys.argv[1:]
    return core.initialize_application('public', config_files=[path])


def manage(*arguments: str) -> None:
    """Run ``keystone-manage``, in a fork that leaves no trace in here."""
    child = multiprocessing.get_context('fork').Process(
        target=cli.main, args=(['keystone-manage', *arguments],)
    )
    child.start()
    child.join()
    if child.exitcode:
        sys.exit(f'keystone-manage {arguments[2]} failed.')
