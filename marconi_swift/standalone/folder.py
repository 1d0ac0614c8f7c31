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

"""The data folder: everything that the standalone program keeps.

=============== ======================================================
``lock``        held by the program that runs on the folder
``state.json``  what must survive: ports, passwords, hash secrets
``etc/``        configuration and rings, written anew at every start
``devices/``    the "disks" of Swift: all data is here
``log/``        a file for each process
``run/``        a pid file for each process, and other passing things
=============== ======================================================
"""

import errno
import fcntl
import json
import os
import pathlib
import tempfile
from typing import Any

from marconi_swift.standalone import errors

PARTS = ('etc', 'devices', 'log', 'run')

# These stand for something else where the folder's path is written to: in
# Swift's configuration files and oslo.config's, in the names by which Swift's
# servers find the former, in the URLs of databases, and in any file.
UNWRITABLE = '%$#\\?\n'

# What says that there is no room, not that attributes are not to be had.
FULL = (errno.ENOSPC, errno.EDQUOT)


class Folder:
    """Where things are in one data folder; makes what is missing.

    :raises marconi_swift.standalone.errors.StandaloneError: the folder can't
        be made or used.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = pathlib.Path(path).expanduser().resolve()
        if set(UNWRITABLE) & set(str(self.path)):
            raise errors.StandaloneError(
                f"The data folder's path must not contain %, $, #, ?, a "
                f'backslash or a line break: {str(self.path)!r}.'
            )
        self.etc, self.devices, self.log, self.run = (
            self.path / part for part in PARTS
        )
        self._lock: int | None = None

    def __str__(self) -> str:
        return str(self.path)

    def open(self) -> None:
        """Make the folder if need be, and keep other programs out of it.

        :raises marconi_swift.standalone.errors.StandaloneError: it can't be
            written to, another program runs on it, or Swift can't use the
            file system.
        """
        try:
            for part in (self.path, *map(self.path.joinpath, PARTS)):
                part.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._take_lock()
            require_attributes(self.devices)
        except OSError as error:
            self.close()
            raise errors.StandaloneError(
                f'The data folder {self} is of no use: {error.strerror}.'
            ) from error
        except errors.StandaloneError:
            self.close()
            raise

    def close(self) -> None:
        """Let other programs use the folder."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _take_lock(self) -> None:
        # The system drops the lock when the process ends, however it ends.
        lock = os.open(self.path / 'lock', os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(lock, 20).decode().strip() or 'unknown'
            os.close(lock)
            raise errors.StandaloneError(
                f'Another marconi-swift-standalone (process {holder}) runs '
                f'on the data folder {self}.'
            ) from None
        os.truncate(lock, 0)
        os.write(lock, f'{os.getpid()}\n'.encode())
        self._lock = lock

    def read_state(self) -> dict[str, Any]:
        """Return what :meth:`write_state` kept, or an empty dictionary."""
        try:
            state = json.loads((self.path / 'state.json').read_text())
        except FileNotFoundError:
            return {}
        except ValueError:
            raise errors.StandaloneError(
                f'The file {self.path / "state.json"} is not JSON, so it was '
                f'not written by this program.'
            ) from None
        assert isinstance(state, dict)
        return state

    def write_state(self, state: dict[str, Any]) -> None:
        """Keep something for later runs; a crash leaves all or nothing."""
        write_private(
            self.path / 'state.json',
            json.dumps(state, indent=2) + '\n',
            durable=True,
        )


def write_private(
    path: pathlib.Path, text: str, durable: bool = False
) -> None:
    """Replace a file that only its owner may read, in one step.

    :param durable: a power cut, too, leaves all or nothing of it.
    :raises marconi_swift.standalone.errors.StandaloneError: it can't be
        written; then all is as it was.
    """
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent)
        try:
            with os.fdopen(handle, 'w') as file:
                file.write(text)
                if durable:
                    file.flush()
                    os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            os.unlink(temporary)
            raise
    except OSError as error:
        raise errors.StandaloneError(
            f'The file {path} can not be written: {error.strerror}.'
        ) from error


def require_attributes(path: pathlib.Path) -> None:
    """Probe for the extended attributes in which Swift keeps metadata.

    :raises marconi_swift.standalone.errors.StandaloneError: there are none.
    :raises OSError: that can't be told.
    """
    with tempfile.NamedTemporaryFile(dir=path) as probe:
        try:
            os.setxattr(probe.name, 'user.swift.metadata', b'probe')
        except (OSError, AttributeError) as error:
            if isinstance(error, OSError) and error.errno in FULL:
                raise
            raise errors.StandaloneError(
                f'The file system of {path} has no user extended '
                f'attributes, which Swift needs: choose another data folder.'
            ) from None
