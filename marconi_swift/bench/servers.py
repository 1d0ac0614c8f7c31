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

"""Starts what is measured: a Swift, a Redis, and a zaqar.conf for each."""

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
import configparser
import contextlib
import functools
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import time
from typing import Any
from typing import NamedTuple

import sqlalchemy
from zaqar.storage.sqlalchemy import tables

from marconi_swift import options
from marconi_swift.bench import drivers
from marconi_swift.bench import making
from marconi_swift.standalone import errors
from marconi_swift.standalone import launch
from marconi_swift.standalone import ports
from marconi_swift.standalone import swift as swifts
from marconi_swift.standalone import tallying

#: Seconds between two passes of Swift's daemons: what they cost is nobody's.
_SWEEP_INTERVAL = 3600.0

#: Seconds that each server gets to start.
_PATIENCE = 120.0

#: Seconds between two looks at a server that is starting.
_PAUSE = 0.05

#: Accounts of Swift. Bare requests go to queues as ours fills them.
_ACCOUNTS: Mapping[str, str] = {
    drivers.OURS: 'ours', drivers.SWIFT: 'zaqars', drivers.BARE: 'ours'}


class Site(NamedTuple):
    """What runs while measurements are made."""

    drivers: list[drivers.Driver]
    tally: tallying.Tally


@contextlib.contextmanager
def site(
    folder: pathlib.Path, wanted: Sequence[str], *, replicas: int,
    redis_server: str | None = None, mongodb: str | None = None,
) -> Iterator[Site]:
    """Run a Swift, and make the drivers that are wanted.

    :param folder: where everything is kept; an empty one.
    :param wanted: names of drivers, of those that :func:`available` names.
    :param redis_server: the program.
    :param mongodb: URI of a MongoDB, in which two databases are made and
        left.
    :raises marconi_swift.standalone.errors.StandaloneError: something can
        not be started.
    """
    swift = swifts.SwiftCluster(
        folder / 'swift', replicas=replicas,
        accounts=sorted(set(_ACCOUNTS.values())),
        sweep_interval=_SWEEP_INTERVAL, update_interval=_SWEEP_INTERVAL,
        tally=True, patience=_PATIENCE)
    with contextlib.ExitStack() as stack:
        stack.enter_context(swift)
        confs = _Confs(folder, swift)
        makers: dict[str, Callable[[], drivers.Spec]] = {
            drivers.OURS: functools.partial(confs.ours, drivers.OURS),
            drivers.BARE: functools.partial(confs.ours, drivers.BARE),
            drivers.SWIFT: confs.zaqars_swift,
            drivers.MONGODB: lambda: confs.mongodb(mongodb or '')}
        if redis_server and drivers.REDIS in wanted:
            port = stack.enter_context(_redis(redis_server, folder, swift))
            makers[drivers.REDIS] = functools.partial(confs.redis, port)
        made = {}
        for name in wanted:
            made[name] = making.make(makers[name]())
            stack.callback(made[name].close)
        if {drivers.OURS, drivers.BARE} <= made.keys():
            made[drivers.BARE].share(made[drivers.OURS])
        yield Site(list(made.values()), tallying.Tally(swift.url))


def available(
    redis_server: str | None, mongodb: str | None,
) -> list[str]:
    """Name the drivers that can be measured here."""
    found = [drivers.OURS, drivers.SWIFT]
    if redis_server and shutil.which(redis_server):
        found.append(drivers.REDIS)
    if mongodb:
        found.append(drivers.MONGODB)
    return [*found, drivers.BARE]


class _Confs:
    """Writes a zaqar.conf for each driver."""

    def __init__(
        self, folder: pathlib.Path, swift: swifts.SwiftCluster,
    ) -> None:
        self._folder = folder
        self._swift = swift

    def ours(self, name: str) -> drivers.Spec:
        account = self._swift.credentials(_ACCOUNTS[name])
        given = {'uri': f'{options.SCHEME}://', 'auth_type': 'v1password',
                 'auth_url': account.auth_url, 'username': account.username,
                 'password': account.password}
        return self._spec(name, options.SCHEME, given, options.SCHEME, given,
                          account)

    def zaqars_swift(self) -> drivers.Spec:
        """Zaqar's own driver, with SQLite for what it has no store for."""
        uri = f'sqlite:///{self._folder / "zaqar.sqlite"}'
        tables.metadata.create_all(sqlalchemy.create_engine(uri))
        return self._spec(
            drivers.SWIFT, 'swift', {'uri': 'swift://'},
            'sqlalchemy', {'uri': uri},
            self._swift.credentials(_ACCOUNTS[drivers.SWIFT]))

    def redis(self, port: int) -> drivers.Spec:
        # The time limit of its own, 0.1 s, is for servers that do nothing
        # else.
        given = {'uri': f'redis://{ports.HOST}:{port}?socket_timeout=30'}
        return self._spec(drivers.REDIS, 'redis', given, 'redis', given)

    def mongodb(self, uri: str) -> drivers.Spec:
        def given(database: str) -> dict[str, str]:
            return {'uri': uri, 'database': f'marconi_swift_bench_{database}'}

        return self._spec(drivers.MONGODB, 'mongodb', given('messages'),
                          'mongodb', given('management'))

    def _spec(
        self, name: str, message_store: str, message_options: Any,
        management_store: str, management_options: Any,
        account: swifts.Credentials | None = None,
    ) -> drivers.Spec:
        parser = configparser.ConfigParser(interpolation=None)
        parser['drivers'] = {'message_store': message_store,
                             'management_store': management_store}
        parser[f'drivers:message_store:{message_store}'] = message_options
        parser[f'drivers:management_store:{management_store}'] = (
            management_options)
        path = self._folder / f'{name.replace(" ", "-")}.conf'
        with path.open('w') as file:
            parser.write(file)
        return drivers.Spec(name, str(path), account)


@contextlib.contextmanager
def busy(count: int) -> Iterator[None]:
    """Keep so many processors busy, as if the machine had other work."""
    with contextlib.ExitStack() as stack:
        for _ in range(count):
            other = subprocess.Popen(
                [sys.executable, '-c', 'while True: pass'],
                stdin=subprocess.DEVNULL,
                preexec_fn=functools.partial(launch.die_with, os.getpid()))
            stack.callback(other.wait)
            stack.callback(other.kill)
        yield


@contextlib.contextmanager
def _redis(
    program: str, folder: pathlib.Path, swift: swifts.SwiftCluster,
) -> Iterator[int]:
    """Run a Redis that writes to its disk every second; gives its port."""
    port = swift.site.hold_port('redis')
    home = folder / 'redis'
    home.mkdir()
    with (home / 'log').open('wb') as log:
        server = subprocess.Popen(
            [program, '--bind', ports.HOST, '--port', str(port),
             '--dir', str(home), '--save', '', '--appendonly', 'yes',
             '--daemonize', 'no'],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            start_new_session=True,
            preexec_fn=functools.partial(launch.die_with, os.getpid()))
    try:
        _wait_for(port, server, home / 'log')
        yield port
    finally:
        server.terminate()
        server.wait()


def _wait_for(
    port: int, server: subprocess.Popen[bytes], log: pathlib.Path,
) -> None:
    deadline = time.monotonic() + _PATIENCE
    while True:
        with contextlib.suppress(OSError):
            socket.create_connection((ports.HOST, port), 1).close()
            return
        if server.poll() is not None or time.monotonic() > deadline:
            raise errors.StandaloneError(
                f'redis-server did not start; its log is {log}.')
        time.sleep(_PAUSE)
