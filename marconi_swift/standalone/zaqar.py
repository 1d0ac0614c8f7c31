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

"""Zaqar's API on a standalone Swift: HTTP by gunicorn, and WebSocket."""

from collections.abc import Mapping
import dataclasses
import functools
import os
import pathlib
import types
from typing import NamedTuple
import uuid

from marconi_swift.standalone import confs
from marconi_swift.standalone import folder as folders
from marconi_swift.standalone import keystone as keystones
from marconi_swift.standalone import ports
from marconi_swift.standalone import processes
from marconi_swift.standalone import sites
from marconi_swift.standalone import swift as swifts

DRIVER = 'marconi-swift'
SQLALCHEMY = 'sqlalchemy'
NAME = 'zaqar'
WEBSOCKET = 'zaqar-websocket'
NOTIFICATIONS = 'zaqar-notifications'
# Zaqar wants to know whose every request is.
HEADERS = types.MappingProxyType({
    'Client-ID': str(uuid.uuid4()),
    'X-Project-ID': 'standalone',
})

APPLICATION = 'marconi_swift.standalone.wsgi:application'

# The port that Zaqar's documentation uses, taken if it is free.
USUAL_PORT = 8888

# Seconds that Zaqar gets to start; it takes about two on an idle machine.
PATIENCE = 60.0

ZAQAR = """\
[DEFAULT]
{access}
pooling = {pooling}
debug = {debug}
# Without the first, a traceback at every start that tracing is not set up.
default_log_levels = osprofiler.notifier=CRITICAL, keystoneauth=WARNING, \
requests=WARNING, stevedore=WARNING, swiftclient=WARNING, urllib3=WARNING

[drivers]
transport = wsgi
message_store = {stores.message}
management_store = {stores.management}

[drivers:message_store:{stores.message}]
{message_options}

[drivers:management_store:{stores.management}]
{management_options}

# Queues that are in no pool are in the message store above.
[pooling:catalog]
enable_virtual_pool = {pooling}

[storage]
message_pipeline = zaqar.notification.notifier

[signed_url]
secret_key = {secret}
"""

OPEN = """\
# Whoever can reach the port may do everything, with any project's id; with
# pools, whoever says X-Roles: admin is an administrator.
auth_strategy =
admin_mode = {pooling}"""

GUARDED = """\
auth_strategy = keystone
admin_mode = true"""

KEYSTONE = """
[keystone_authtoken]
www_authenticate_uri = {url}
{login}

# For subscribers that are called with their owner's rights: the trust says
# in which project.
[trustee]
{trustee}
"""

# Notifications are what the other servers tell this one.
WEBSOCKETS = """
[drivers:transport:websocket]
bind = {host}
port = {port}
notification_bind = {host}
notification_port = {notification_port}
"""

# For the process that serves WebSocket, after the configuration of all.
ONLY_WEBSOCKETS = """\
[drivers]
transport = websocket
"""

# Requests under way get less time to finish than processes.GRACE. The control
# socket would be in the user's home folder, and shared by all of his.
GUNICORN = """\
wsgi_app = {application!r}
bind = '{host}:{port}'
worker_class = 'gthread'
workers = {workers}
threads = {threads}
preload_app = True
keepalive = 30
graceful_timeout = 5
control_socket_disable = True
accesslog = {access_log!r}
"""


class Stores(NamedTuple):
    """The names of Zaqar's two storage drivers."""

    message: str = DRIVER
    management: str = DRIVER


OURS = Stores()


@dataclasses.dataclass(frozen=True)
class Guard:
    """What Zaqar needs to know of the Keystone that says who is who."""

    url: str
    login: Mapping[str, str]


def describe(
    swift: Mapping[str, str],
    secret: str,
    stores: Stores = OURS,
    database: str = '',
    guard: Guard | None = None,
    pooling: bool = False,
    debug: bool = False,
) -> str:
    """Return the text of a zaqar.conf.

    :param swift: this driver's options, for being let into Swift.
    :param secret: what pre-signed URLs are signed with.
    :param database: the URI of the database, if one is a store.
    :param guard: None lets everybody in.
    :param pooling: whether there are pools, and the virtual one.
    """
    ours = confs.lines({'uri': f'{DRIVER}://', **swift})
    options = [
        f'uri = {database}' if store == SQLALCHEMY else ours
        for store in stores
    ]
    text = ZAQAR.format(
        access=GUARDED if guard else OPEN.format(pooling=pooling),
        stores=stores,
        message_options=options[0],
        management_options=options[1],
        secret=secret,
        pooling=pooling,
        debug=debug,
    )
    if guard:
        trustee = {
            name: value
            for name, value in guard.login.items()
            if not name.startswith('project_')
        }
        text += KEYSTONE.format(
            url=guard.url,
            login=confs.lines(guard.login),
            trustee=confs.lines(trustee),
        )
    return text


class ZaqarServer(processes.Servers):
    """Zaqar's API as one process of ours, with workers of its own.

    The Swift must be running when this starts, and must go on running. If it
    has a Keystone, so has Zaqar, and a second process of ours serves the API
    over WebSocket.
    """

    def __init__(
        self,
        swift: swifts.SwiftCluster,
        *,
        port: int | None = None,
        workers: int = 2,
        threads: int = 8,
        stores: Stores = OURS,
        pooling: bool = False,
        debug: bool = False,
        patience: float = PATIENCE,
    ) -> None:
        """Describe a server.

        :param port: None for the last one, the usual one or a free one.
        :param workers: processes, and ``threads`` in each.
        :param stores: the drivers; ``sqlalchemy`` uses a file in the folder.
        :param pooling: whether there are pools, and the virtual one.
        :param debug: whether to log every request, and much else.
        :param patience: how many seconds the start may take.
        """
        self.processes: dict[str, processes.Process] = {}
        self._swift = swift
        swift.site.give_port(NAME, port)
        self._workers = workers
        self._threads = threads
        self._stores = stores
        self._pooling = pooling
        self._debug = debug
        self._patience = patience
        self._port = 0

    @property
    def url(self) -> str:
        """Where the API is, without a version."""
        return f'http://{ports.HOST}:{self._port}'

    def start(self) -> None:
        """Start Zaqar, and return when it serves and reaches Swift.

        With pools it does not ask them whether they can be reached: one that
        can't could be removed by nobody, if nothing served.

        :raises marconi_swift.standalone.errors.StandaloneError: it can't be
            started; then it does not run.
        """
        for package in ('zaqar', 'gunicorn'):
            processes.require(package)
        site, keystone = self._swift.site, self._swift.keystone
        site.made_with('management store', self._stores.management)
        self._port = site.hold_port(NAME, USUAL_PORT)
        self.processes.clear()
        if keystone:
            self._serve_websocket(site)
            self._offer(keystone)
        path, status = ('/', 300) if self._pooling else ('/v2/ping', 204)
        ready = functools.partial(
            processes.answers, self._port, path, status, self._headers()
        )
        command = ('gunicorn', '--config', str(self._write()))
        self.processes[NAME] = processes.Process(
            site.folder, NAME, command, ready
        )
        try:
            processes.start(self.processes, self._patience)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Finish the requests under way, for a few seconds, and end."""
        processes.stop(self.processes)

    @property
    def websocket_url(self) -> str:
        """Where the API over WebSocket is."""
        return f'ws://{ports.HOST}:{self._swift.site.port(WEBSOCKET)}'

    def _headers(self) -> dict[str, str]:
        """Return what makes a request of ours welcome."""
        headers = dict(HEADERS)
        if self._swift.keystone:
            session = self._swift.keystone.session(keystones.DEMO)
            headers['X-Auth-Token'] = session.get_token() or ''
        return headers

    def _serve_websocket(self, site: sites.Site) -> None:
        """Describe the process that serves the API over WebSocket."""
        port = site.hold_port(WEBSOCKET)
        site.hold_port(NOTIFICATIONS)
        own = site.folder.etc / 'zaqar-websocket.conf'
        folders.write_private(own, ONLY_WEBSOCKETS)
        command = ['zaqar-server']
        for path in (site.folder.etc / 'zaqar.conf', own):
            command += ['--config-file', str(path)]
        # What asks for no WebSocket gets a page that says what is here.
        ready = functools.partial(processes.answers, port, '/', 200)
        self.processes[WEBSOCKET] = processes.Process(
            site.folder, WEBSOCKET, tuple(command), ready
        )

    def _offer(self, keystone: keystones.KeystoneServer) -> None:
        keystone.offer('messaging', NAME, self.url)
        keystone.offer('messaging-websocket', WEBSOCKET, self.websocket_url)

    def _describe(self) -> str:
        site, keystone = self._swift.site, self._swift.keystone
        guard = None
        if keystone:
            guard = Guard(keystone.url, keystone.login(keystones.ZAQAR))
        text = describe(
            self._swift.login,
            site.secret('signed-urls'),
            self._stores,
            self._database(),
            guard,
            self._pooling,
            self._debug,
        )
        if keystone:
            text += WEBSOCKETS.format(
                host=ports.HOST,
                port=site.port(WEBSOCKET),
                notification_port=site.port(NOTIFICATIONS),
            )
        return text

    def _database(self) -> str:
        """Return the URI of the database, with its tables, if one is used."""
        path = self._swift.folder.path / 'zaqar.db'
        uri = f'sqlite:///{path}'
        if SQLALCHEMY in self._stores:
            # What few need; and Zaqar's own migrations speak MySQL alone.
            import sqlalchemy
            from zaqar.storage.sqlalchemy import tables

            # The folder may be open to others, and pools have passwords.
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
            os.fchmod(handle, 0o600)
            os.close(handle)
            engine = sqlalchemy.create_engine(uri)
            tables.metadata.create_all(engine)
            engine.dispose()
        return uri

    def _write(self) -> pathlib.Path:
        """Write Zaqar's and gunicorn's configuration; return gunicorn's."""
        etc = self._swift.folder.etc
        zaqar, gunicorn = etc / 'zaqar.conf', etc / 'gunicorn.conf.py'
        folders.write_private(zaqar, self._describe())
        folders.write_private(
            gunicorn,
            GUNICORN.format(
                application=f'{APPLICATION}({str(zaqar)!r})',
                host=ports.HOST,
                port=self._port,
                workers=self._workers,
                threads=self._threads,
                access_log='-' if self._debug else None,
            ),
        )
        return gunicorn
