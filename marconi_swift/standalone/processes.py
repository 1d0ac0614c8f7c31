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

"""Child processes: started, waited for, watched, and stopped by their pid."""

import abc
from collections.abc import Callable
from collections.abc import Mapping
import contextlib
from http import client as http
from importlib import util
import os
import pathlib
import signal
import subprocess
import sys
import time
import types
from typing import Self

from marconi_swift.standalone import errors
from marconi_swift.standalone import folder as folders
from marconi_swift.standalone import ports
from marconi_swift.standalone import tls

# Seconds that a process gets to end after SIGTERM before it gets SIGKILL.
# gunicorn is told to finish its requests in less.
GRACE = 10.0

# Seconds between two looks at something that can't be waited for.
PAUSE = 0.02

# Seconds that a server gets to answer whether it is ready.
ANSWER = 5.0

EMPTY: Mapping[str, str] = types.MappingProxyType({})

# The module that starts each process. Its command line names this, and then
# the folder.
LAUNCHER = 'marconi_swift.standalone.launch'

# Characters of a log's last line that still make a sentence of it.
LAST_LINE = 300


class Process:
    """One child process with a name, a log file and a pid file.

    It dies with this process, and on Linux also with the *thread* that
    started it, so start it from a thread that lives as long as it should.
    """

    def __init__(
        self,
        folder: folders.Folder,
        name: str,
        command: tuple[str, ...],
        ready: Callable[[], bool] = lambda: True,
    ) -> None:
        """Describe a process; :meth:`start` makes it.

        :param command: a console script of Swift or gunicorn, and its
            arguments.
        :param ready: whether the process does its work by now.
        """
        self.name = name
        self.log = folder.log / f'{name}.log'
        self._folder = folder
        self._pid_file = folder.run / f'{name}.pid'
        self._command = command
        self._ready = ready
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The process's id while it runs."""
        return self._child.pid if self._child and self.running else None

    @property
    def running(self) -> bool:
        """Whether the process was started and has not ended."""
        return self._child is not None and self._child.poll() is None

    @property
    def obituary(self) -> str:
        """One sentence: how it ended, where its log is and ends."""
        status = self._child.poll() if self._child else None
        how = f'ended with status {status}'
        if status is not None and status < 0:
            how = f'was ended by {signal.Signals(-status).name}'
        return f'{self.name} {how}; {self._pointer()}'

    def start(self) -> None:
        """Start the process and return at once, ready or not."""
        assert not self.running
        argv = [sys.executable, '-m', LAUNCHER]
        argv += [str(self._folder), str(os.getpid()), *self._command]
        if self.log.exists():
            self.log.replace(self.log.with_suffix('.log.old'))
        with self.log.open('wb') as log:
            self._child = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # A Ctrl-C at the terminal is for this process alone, which
                # then stops the others in order.
                start_new_session=True,
            )
        folders.write_private(self._pid_file, f'{self._child.pid}\n')

    def wait_until_ready(self, patience: float) -> None:
        """Wait until the process does its work.

        :param patience: how many seconds to wait at most.
        :raises marconi_swift.standalone.errors.StandaloneError: it ended, or
            is not ready by then.
        """
        deadline = time.monotonic() + patience
        while not self._ready():
            if self._ends_within(PAUSE):
                raise errors.StandaloneError(self.obituary)
            if time.monotonic() > deadline:
                raise errors.StandaloneError(
                    f'{self.name} did not become ready in time; '
                    f'{self._pointer()}'
                )

    def stop(self) -> None:
        """End the process, and return when it has ended.

        It is asked with SIGTERM, and after :data:`GRACE` seconds killed.
        """
        if self.running:
            assert self._child is not None
            self._child.terminate()
            if not self._ends_within(GRACE):
                self.kill()
        self._pid_file.unlink(missing_ok=True)

    def suspend(self) -> None:
        """Stop the process and its children as they are, connections open.

        Whoever asks it anything waits, until :meth:`resume`.
        """
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on after :meth:`suspend`."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        if self.running:
            assert self._child is not None
            os.killpg(self._child.pid, number)

    def kill(self) -> None:
        """End the process and its children at once, as a power cut would."""
        if self.running:
            assert self._child is not None
            # It leads a session, so its own pid names its group; the group
            # can't be another's, for its leader is not reaped yet.
            os.killpg(self._child.pid, signal.SIGKILL)
            self._child.wait()
        self._pid_file.unlink(missing_ok=True)

    def _ends_within(self, seconds: float) -> bool:
        assert self._child is not None
        try:
            self._child.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def _pointer(self) -> str:
        return f'its log is {self.log}{describe_end(self.log)}'


def describe_end(log: pathlib.Path) -> str:
    """Return the end of a sentence that quotes the last line of a log."""
    lines = log.read_text(errors='replace').split('\n')
    last = next((line.strip() for line in reversed(lines) if line.strip()), '')
    return f' and ends: {last[:LAST_LINE]}' if last else ' and is empty.'


def start(processes: Mapping[str, Process], patience: float) -> None:
    """Start processes together, and wait until all of them are ready.

    :param patience: how many seconds to wait at most.
    :raises marconi_swift.standalone.errors.StandaloneError: one ended, or is
        not ready by then; others may be running.
    """
    deadline = time.monotonic() + patience
    for process in processes.values():
        process.start()
    for process in processes.values():
        process.wait_until_ready(deadline - time.monotonic())


def stop(processes: Mapping[str, Process]) -> None:
    """Stop processes one after another, the last one first."""
    for process in reversed(list(processes.values())):
        process.stop()


def answers(
    port: int,
    path: str,
    status: int,
    headers: Mapping[str, str] = EMPTY,
    certificate: tls.Certificate | None = None,
) -> bool:
    """Return whether a GET on this machine is answered with that status.

    :param certificate: what the server serves TLS with, if it does.
    """
    connection = http.HTTPConnection(ports.HOST, port, timeout=ANSWER)
    if certificate:
        connection = http.HTTPSConnection(
            ports.HOST, port, timeout=ANSWER, context=certificate.context()
        )
    with contextlib.closing(connection):
        try:
            connection.request('GET', path, headers=headers)
            return connection.getresponse().status == status
        except (OSError, http.HTTPException):
            return False


class Servers(abc.ABC):
    """Processes that are started and stopped together: for ``with``."""

    @abc.abstractmethod
    def start(self) -> None:
        """Start them, and return when they serve."""

    @abc.abstractmethod
    def stop(self) -> None:
        """Stop all that run."""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def require(package: str, extra: str = 'standalone') -> None:
    """Make sure that a package can be imported.

    :param extra: the extra of this package that brings it.
    :raises marconi_swift.standalone.errors.StandaloneError: it can't.
    """
    if util.find_spec(package) is None:
        raise errors.StandaloneError(
            f'The Python package {package} is missing: '
            f'pip install marconi-swift[{extra}]'
        )
