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
"""The command ``marconi-swift-manage``."""

from collections.abc import Sequence
import sys

from cliff import app
from cliff import commandmanager

from marconi_swift import version

PROGRAM = 'marconi-swift-manage'

#: Entry points of the commands.
COMMANDS = 'marconi_swift.manage'


class Manage(app.App):
    """Looks after what marconi-swift keeps in Swift."""

    def __init__(self) -> None:
        super().__init__(
            description=self.__doc__, version=version.RELEASE,
            command_manager=commandmanager.CommandManager(COMMANDS),
            deferred_help=True)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return what ``sys.exit`` is to be given."""
    arguments = sys.argv[1:] if argv is None else list(argv)
    status: int = Manage().run(arguments)
    return status
