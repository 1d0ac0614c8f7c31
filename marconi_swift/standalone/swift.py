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
import itertools
import os
from typing import NamedTuple

from marconi_swift.standalone import confs
from marconi_swift.standalone import keystone as keystones
from marconi_swift.standalone import ports
from marconi_swift.standalone import processes
from marconi_swift.standalone import sites
from marconi_swift.standalone import tls

KINDS = ('object', 'container', 'account')
OBJECT_UPDATER = 'object-updater'
CONTAINER_UPDATER = 'container-updater'
UPDATERS = (OBJECT_UPDATER, CONTAINER_UPDATER)
EXPIRER = 'object-expirer'
PROXY = 'proxy-server'

# 2 to the power of this is the number of partitions, unless the folder was
# made with another. Each costs a replicator some requests a pass, and one with
# a container in it the container updater a process.
PART_POWER = 3

# Seconds that all of Swift gets to start; it takes one or two on an idle
# machine.
PATIENCE = 60.0

# Seconds between two passes of the replicators, for who needs them only to
# give back the space of what was deleted.
REPLICATE_INTERVAL = 3600.0

# Seconds for which Swift trusts a token without asking Keystone again:
# keystonemiddleware's own default.
TOKEN_CACHE_TIME = 300


class Credentials(NamedTuple):
    """How tempauth is asked for a token, and what it is good for."""

    auth_url: str
    username: str
    password: str
    storage_url: str

    @property
    def options(self) -> dict[str, str]:
        """The same as options of keystoneauth1."""
        return {
            'auth_type': 'v1password',
            'auth_url': self.auth_url,
            'username': self.username,
            'password': self.password,
        }


class SwiftCluster(processes.Servers):
    """A Swift with its data in one folder.

    There are as many nodes as replicas. Each has an account, a container and
    an object server of its own, so any of them can be stopped and started
    again: ``swift.processes['object-2'].stop()``. The proxy, the expirer and
    the updaters are there once. Unless told to, nothing replicates: what a
    stopped server missed, it goes on missing, and the folder only grows.

    Nothing is touched before :meth:`start`, or ``with``. The processes end
    with the thread that started the cluster, at the latest.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        replicas: int | None = None,
        port: int | None = None,
        accounts: Sequence[str] = ('zaqar',),
        keystone: keystones.KeystoneServer | None = None,
        token_cache_time: int = TOKEN_CACHE_TIME,
        certificate: tls.Certificate | None = None,
        sweep_interval: float = 5.0,
        update_interval: float = 5.0,
        tally: bool = False,
        filters: Sequence[str] = (),
        replicate_interval: float | None = None,
        limits: confs.Limits = confs.WIDE,
        log_level: str = 'WARNING',
        patience: float = PATIENCE,
    ) -> None:
        """Describe a cluster.

        :param path: the data folder; made if missing.
        :param replicas: nodes, and copies of everything; can't change later.
            None for as many as the folder was made with, else one.
        :param port: the proxy's port, None for the last one or a free one.
        :param accounts: each gets a user and a password of its own, unless
            there is a Keystone.
        :param keystone: the Keystone that knows all users; this starts and
            stops it. None lets Swift's tempauth know them.
        :param token_cache_time: seconds for which Keystone is not asked
            about a token again; -1 asks for each request.
        :param certificate: what to serve TLS with; None serves HTTP.
        :param sweep_interval: seconds between two passes of the expirer, and
            of the container updater, which makes known to it where it has to
            look.
        :param update_interval: seconds between two passes of the object
            updater, which gives containers the rows that they missed.
        :param tally: whether the proxy counts requests; see
            :mod:`marconi_swift.standalone.tally`.
        :param filters: of the proxy; see :meth:`.confs.Writer.proxy`.
        :param replicate_interval: seconds between two passes in which nodes
            give one another the objects and rows that they missed, and forget
            what was deleted :data:`.confs.RECLAIM_AGE` ago; None for no pass.
        :param limits: for how long servers wait for one another.
        :param log_level: of Swift's servers; INFO logs every request.
        :param patience: how many seconds the start may take.
        """
        self.site = sites.Site(path)
        self.folder = self.site.folder
        self.accounts = tuple(accounts)
        self.keystone = keystone
        self.site.give_port(PROXY, port)
        if keystone:
            self.site.give_port(keystones.NAME, keystone.given_port)
        self.processes: dict[str, processes.Process] = {}
        self._servers: set[str] = set()
        self._token_cache_time = token_cache_time
        self._certificate = certificate
        self._given_replicas = replicas
        self._replicas = 0
        self._sweep_interval = sweep_interval
        self._update_interval = update_interval
        self._filters = (*((confs.TALLY,) if tally else ()), *filters)
        self._replicate_interval = replicate_interval
        self._limits = limits
        self._log_level = log_level
        self._patience = patience

    def start(self) -> None:
        """Start Swift, and return when it serves.

        :raises marconi_swift.standalone.errors.StandaloneError: it can't be
            started; then nothing is left running.
        """
        processes.require('swift')
        self.site.open()
        try:
            self._decide()
            if self.keystone:
                self.keystone.start(self.site)
            self._hold_ports()
            if self.keystone:
                self._offer(self.keystone)
            self._describe()
            self._launch()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop all that runs, and leave the folder to others."""
        processes.stop(self.processes)
        if self.keystone:
            self.keystone.stop()
        self.site.close()

    @property
    def url(self) -> str:
        """Where the proxy is."""
        scheme = tls.scheme(self._certificate)
        return f'{scheme}://{ports.HOST}:{self.site.port(PROXY)}'

    def credentials(self, account: str | None = None) -> Credentials:
        """Return what gives access to one of the accounts, or the first.

        There are none with a Keystone, which see.
        """
        account = account or self.accounts[0]
        return Credentials(
            auth_url=f'{self.url}/auth/v1.0',
            username=f'{account}:{confs.USER}',
            password=self.site.secret(f'password of {account}'),
            storage_url=f'{self.url}/v1/AUTH_{account}',
        )

    @property
    def login(self) -> dict[str, str]:
        """The options with which this driver keeps things in this Swift."""
        if self.keystone:
            return self.keystone.login(keystones.DRIVER)
        return self.credentials().options

    def node(self, number: int) -> tuple[processes.Process, ...]:
        """Return the three servers of a node; the first is number 1."""
        return tuple(self.processes[f'{kind}-{number}'] for kind in KINDS)

    def _offer(self, keystone: keystones.KeystoneServer) -> None:
        keystone.offer(
            'object-store', 'swift', f'{self.url}/v1/AUTH_%(project_id)s'
        )

    def _auth(self) -> confs.Auth:
        if self.keystone:
            return confs.keystone(
                self.keystone.url,
                self.keystone.login(keystones.SWIFT),
                keystones.OPERATOR,
                self._token_cache_time,
            )
        return confs.tempauth({
            account: self.credentials(account).password
            for account in self.accounts
        })

    def _decide(self) -> None:
        """Find out what the folder was made with: what decides where data are.

        With a Keystone they are in another account.
        """
        self._replicas = self.site.made_with(
            'replicas', self._given_replicas, 1
        )
        self.site.made_with(
            'authentication', 'keystone' if self.keystone else 'tempauth'
        )

    def _hold_ports(self) -> None:
        self.site.hold_port(PROXY)
        for kind in KINDS:
            for number in self._nodes:
                self.site.hold_port(f'{kind}-{number}')

    @property
    def _nodes(self) -> range:
        return range(1, self._replicas + 1)

    def _describe(self) -> None:
        """Write configuration and rings, and list the processes."""
        self._build_rings()
        secret, port = self.site.secret, self.site.port
        write = confs.Writer(self.folder, self._log_level, self._limits)
        write.swift(secret('hash prefix'), secret('hash suffix'))
        self.processes.clear()
        for kind in KINDS:
            for number in self._nodes:
                name = f'{kind}-{number}'
                conf = write.storage(name, kind, port(name))
                self._add(name, f'swift-{kind}-server', conf, serves=True)
        conf = write.proxy(
            PROXY, port(PROXY), self._auth(), self._filters,
            self._certificate
        )
        self._add(PROXY, 'swift-proxy-server', conf, serves=True)
        for name, interval in ((OBJECT_UPDATER, self._update_interval),
                               (CONTAINER_UPDATER, self._sweep_interval)):
            conf = write.updater(name, interval)
            self._add(name, f'swift-{name}', conf)
        conf = write.expirer(EXPIRER, self._sweep_interval)
        self._add(EXPIRER, f'swift-{EXPIRER}', conf)
        if self._replicate_interval is not None:
            self._add_replicators(write, self._replicate_interval)

    def _add_replicators(self, write: confs.Writer, interval: float) -> None:
        nodes = [('object', 1), *itertools.product(KINDS[1:], self._nodes)]
        for kind, number in nodes:
            name = f'{kind}-replicator-{number}'
            conf = write.replicator(
                name, kind, self.site.port(f'{kind}-{number}'), interval)
            self._add(name, f'swift-{kind}-replicator', conf)

    def _build_rings(self) -> None:
        # Swift's own modules, which take half a second to import.
        from marconi_swift.standalone import rings

        part_power = self.site.decided('part_power', PART_POWER)
        for kind in KINDS:
            node_ports = [
                self.site.port(f'{kind}-{number}')
                for number in self._nodes
            ]
            files = [f'{kind}.ring.gz']
            if kind == 'object':
                # Of the second storage policy.
                files.append('object-1.ring.gz')
            for file in files:
                rings.build(self.folder.etc / file, node_ports, part_power)
        for number in self._nodes:
            (self.folder.devices / f'd{number}').mkdir(exist_ok=True)

    def _add(
        self, name: str, command: str, conf: str, serves: bool = False
    ) -> None:
        # Swift logs to its standard error if it is verbose.
        arguments = (command, conf, '--verbose')
        process = processes.Process(self.folder, name, arguments)
        if serves:
            ready = functools.partial(
                processes.answers, self.site.port(name), '/healthcheck', 200,
                certificate=self._certificate if name == PROXY else None,
            )
            process = processes.Process(self.folder, name, arguments, ready)
            self._servers.add(name)
        self.processes[name] = process

    def _launch(self) -> None:
        servers = {
            name: process
            for name, process in self.processes.items()
            if name in self._servers
        }
        processes.start(servers, self._patience)
        for name, process in self.processes.items():
            if name not in servers:
                process.start()
