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

"""A data folder in use: what its servers share, and find again next time."""

import os
import secrets
from typing import Any

from marconi_swift.standalone import errors
from marconi_swift.standalone import folder as folders
from marconi_swift.standalone import leftovers
from marconi_swift.standalone import ports


class Site:
    """The folder, ports and secrets of all servers that run on one folder.

    Nothing is touched before :meth:`open`.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.folder = folders.Folder(path)
        self._ports = ports.PortBook({})
        self._given_ports: dict[str, int] = {}
        self._state: dict[str, Any] = {}

    def give_port(self, name: str, number: int | None) -> None:
        """Say which port must be held under a name; None lets it be any.

        Said before :meth:`open`, no other server of this site gets it.
        """
        if number is not None:
            self._given_ports[name] = number

    def open(self) -> None:
        """Keep others out of the folder, and stop what a crash left running.

        :raises marconi_swift.standalone.errors.StandaloneError: the folder,
            or a given port, can't be used.
        """
        self.folder.open()
        try:
            leftovers.stop(self.folder)
            self._state = self.folder.read_state()
            self._state.setdefault('secrets', {})
            self._ports = ports.PortBook(self._state.get('ports', {}))
            for name in self._given_ports:
                self.hold_port(name)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Leave folder and ports to others."""
        self._ports.release()
        self.folder.close()

    def made_with(self, name: str, value: Any, default: Any = None) -> Any:
        """Decide something that later runs can't change, and return it.

        It is kept once a port is held.

        :param value: None for what an earlier run decided, else ``default``.
        :raises marconi_swift.standalone.errors.StandaloneError: an earlier
            run decided otherwise.
        """
        decided = self.decided(name, default if value is None else value)
        if value is not None and decided != value:
            raise errors.StandaloneError(
                f'The data folder {self.folder} was made with {decided} '
                f'{name} and not {value}, which can not change.'
            )
        return decided

    def decided(self, name: str, value: Any) -> Any:
        """Return what an earlier run decided, or decide it for later ones."""
        return self._state.setdefault(name, value)

    def port(self, name: str) -> int:
        """Return a port that is, or was, held under a name."""
        return self._ports.numbers[name]

    def hold_port(self, name: str, wish: int = 0) -> int:
        """Hold a port until :meth:`close`: the given one, if one was given.

        The other parameters, the outcome and what is raised are those of
        :meth:`marconi_swift.standalone.ports.PortBook.hold`.
        """
        number = self._ports.hold(name, self._given_ports.get(name), wish)
        self._remember()
        return number

    def secret(self, name: str) -> str:
        """Return random text that is made once and kept in the folder."""
        known: dict[str, str] = self._state['secrets']
        if name not in known:
            known[name] = secrets.token_hex(16)
            self._remember()
        return known[name]

    def _remember(self) -> None:
        self._state['ports'] = self._ports.numbers
        self.folder.write_state(self._state)
