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

"""A real Swift on this machine, whose servers are our own processes."""

from collections.abc import Sequence
import functools
from importlib import util
import os
import secrets
from types import TracebackType
from typing import Any
from typing import NamedTuple
from typing import Self

from marconi_swift.standalone import confs
from marconi_swift.standalone import errors
from marconi_swift.standalone import folder as folders
from marconi_swift.standalone import ports
from marconi_swift.standalone import processes

KINDS = ('object', 'container', 'account')
UPDATERS = ('object-updater', 'container-updater')
EXPIRER = 'object-expirer'
PROXY = 'proxy-server'

# Seconds that all of Swift gets to start; it takes one or two on an idle
# machine.
PATIENCE = 60.0


class Credentials(NamedTuple):
    """How tempauth is asked for a token, and what it is good for."""

    auth_url: str
    username: str
    password: str
    storage_url: str


class SwiftCluster:
    """A Swift with its data in one folder.

    There are as many nodes as replicas. Each has an account, a container and
    an object server of its own, so any of them can be stopped and started
    again: ``swift.processes['object-2'].stop()``. The proxy, the expirer and
    the updaters are there once. Nothing replicates: what a stopped server
    missed, it goes on missing.

    Nothing is touched before :meth:`start`, or ``with``. The processes end
    with the thread that started the cluster, at the latest.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        replicas: int = 1,
        port: int | None = None,
        accounts: Sequence[str] = ('zaqar',),
        sweep_interval: float = 5.0,
        tally: bool = False,
        log_level: str = 'WARNING',
        patience: float = PATIENCE,
    ) -> None:
        """Describe a cluster.

        :param path: the data folder; made if missing.
        :param replicas: nodes, and copies of everything; can't change later.
        :param port: the proxy's port, None for the last one or a free one.
        :param accounts: each gets a user and a password of its own.
        :param sweep_interval: seconds between two passes of the expirer and
            the updaters.
        :param tally: whether the proxy counts requests; see
            :mod:`marconi_swift.standalone.tally`.
        :param log_level: of Swift's servers; INFO logs every request.
        :param patience: how many seconds the start may take.
        """
        self.folder = folders.Folder(path)
        self.replicas = replicas
        self.accounts = tuple(accounts)
        self.processes: dict[str, processes.Process] = {}
        self._given_port = port
        self._sweep_interval = sweep_interval
        self._tally = tally
        self._log_level = log_level
        self._patience = patience
        self._state: dict[str, Any] = {}
        self._ports = ports.PortBook({})

    def start(self) -> None:
        """Start Swift, and return when it serves.

        :raises marconi_swift.standalone.errors.StandaloneError: it can't be
            started; then nothing is left running.
        """
        require('swift')
        self.folder.open()
        try:
            processes.stop_leftovers(self.folder)
            self._recall()
            self._hold_ports()
            self._describe()
            self._remember()
            self._launch()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop all that runs, and leave the folder to others."""
        processes.stop(self.processes)
        self._ports.release()
        self.folder.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """Where the proxy is."""
        return f'http://{ports.HOST}:{self._ports.numbers[PROXY]}'

    def credentials(self, account: str | None = None) -> Credentials:
        """Return what gives access to one of the accounts, or the first."""
        account = account or self.accounts[0]
        return Credentials(
            auth_url=f'{self.url}/auth/v1.0',
            username=f'{account}:{confs.USER}',
            password=self._secret(f'password of {account}'),
            storage_url=f'{self.url}/v1/AUTH_{account}',
        )

    def node(self, number: int) -> tuple[processes.Process, ...]:
        """Return the three servers of a node; the first is number 1."""
        return tuple(self.processes[f'{kind}-{number}'] for kind in KINDS)

    def hold_port(
        self, name: str, given: int | None = None, wish: int = 0
    ) -> int:
        """Hold a port for another server until :meth:`stop`.

        The parameters, the outcome and what is raised are those of
        :meth:`marconi_swift.standalone.ports.PortBook.hold`.
        """
        number = self._ports.hold(name, given, wish)
        self._remember()
        return number

    def secret(self, name: str) -> str:
        """Return random text that is made once and kept in the folder."""
        secret = self._secret(name)
        self._remember()
        return secret

    def _recall(self) -> None:
        """Read what the folder was made with, or decide it now."""
        state = self.folder.read_state()
        made_with = state.setdefault('replicas', self.replicas)
        if made_with != self.replicas:
            raise errors.StandaloneError(
                f'The data folder {self.folder} was made with {made_with} '
                f'replicas and not {self.replicas}, which can not change.'
            )
        state.setdefault('secrets', {})
        self._state = state
        self._ports = ports.PortBook(state.get('ports', {}))

    def _hold_ports(self) -> None:
        self._ports.hold(PROXY, self._given_port)
        for kind in KINDS:
            for number in self._nodes:
                self._ports.hold(f'{kind}-{number}')

    def _remember(self) -> None:
        self._state['ports'] = self._ports.numbers
        self.folder.write_state(self._state)

    @property
    def _nodes(self) -> range:
        return range(1, self.replicas + 1)

    def _secret(self, name: str) -> str:
        known: dict[str, str] = self._state['secrets']
        return known.setdefault(name, secrets.token_hex(16))

    def _passwords(self) -> dict[str, str]:
        return {
            account: self.credentials(account).password
            for account in self.accounts
        }

    def _describe(self) -> None:
        """Write configuration and rings, and list the processes."""
        self._build_rings()
        numbers = self._ports.numbers
        write = confs.Writer(self.folder, self._log_level)
        write.swift(self._secret('hash prefix'), self._secret('hash suffix'))
        self.processes.clear()
        for kind in KINDS:
            for number in self._nodes:
                name = f'{kind}-{number}'
                conf = write.storage(name, kind, numbers[name])
                self._add(name, f'swift-{kind}-server', conf)
        conf = write.proxy(
            PROXY, numbers[PROXY], self._passwords(), self._tally
        )
        self._add(PROXY, 'swift-proxy-server', conf)
        for name in UPDATERS:
            conf = write.updater(name, self._sweep_interval)
            self._add(name, f'swift-{name}', conf)
        conf = write.expirer(EXPIRER, self._sweep_interval)
        self._add(EXPIRER, f'swift-{EXPIRER}', conf)

    def _build_rings(self) -> None:
        # Swift's own modules, which take half a second to import.
        from marconi_swift.standalone import rings

        for kind in KINDS:
            node_ports = [
                self._ports.numbers[f'{kind}-{number}']
                for number in self._nodes
            ]
            rings.build(self.folder.etc / f'{kind}.ring.gz', node_ports)
        for number in self._nodes:
            (self.folder.devices / f'd{number}').mkdir(exist_ok=True)

    def _add(self, name: str, command: str, conf: str) -> None:
        # Swift logs to its standard error if it is verbose.
        arguments = (command, conf, '--verbose')
        port = self._ports.numbers.get(name)
        if port is None:
            process = processes.Process(self.folder, name, arguments)
        else:
            ready = functools.partial(
                processes.answers, port, '/healthcheck', 200
            )
            process = processes.Process(self.folder, name, arguments, ready)
        self.processes[name] = process

    def _launch(self) -> None:
        daemons = (*UPDATERS, EXPIRER)
        servers = {
            name: process
            for name, process in self.processes.items()
            if name not in daemons
        }
        processes.start(servers, self._patience)
        for name in daemons:
            self.processes[name].start()


def require(package: str) -> None:
    """Make sure that a package can be imported.

    :raises marconi_swift.standalone.errors.StandaloneError: it can't.
    """
    if util.find_spec(package) is None:
        raise errors.StandaloneError(
            f'The Python package {package} is missing: '
            f'pip install marconi-swift[standalone]'
        )
