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

"""Zaqar's API on a standalone Swift, served by gunicorn."""

import functools
import pathlib
import types
from typing import NamedTuple
from typing import Self
import uuid

from marconi_swift.standalone import folder as folders
from marconi_swift.standalone import ports
from marconi_swift.standalone import processes
from marconi_swift.standalone import swift as swifts

DRIVER = 'marconi-swift'
NAME = 'zaqar'
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
# Whoever can reach the port may do everything, with any project's id.
auth_strategy =
admin_mode = false
pooling = false
debug = {debug}
# Without the first, a traceback at every start that tracing is not set up.
default_log_levels = osprofiler.notifier=CRITICAL, keystoneauth=WARNING, \
requests=WARNING, stevedore=WARNING, swiftclient=WARNING, urllib3=WARNING

[drivers]
transport = wsgi
message_store = {stores.message}
management_store = {stores.management}

[drivers:message_store:{stores.message}]
{options}

[drivers:management_store:{stores.management}]
{options}

[storage]
message_pipeline = zaqar.notification.notifier

[signed_url]
secret_key = {secret}
"""

OPTIONS = """\
uri = {driver}://
auth_type = v1password
auth_url = {swift.auth_url}
username = {swift.username}
password = {swift.password}"""

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


def describe(
    swift: swifts.Credentials,
    secret: str,
    stores: Stores = OURS,
    debug: bool = False,
) -> str:
    """Return the text of a zaqar.conf.

    :param secret: what pre-signed URLs are signed with.
    """
    options = OPTIONS.format(driver=DRIVER, swift=swift)
    return ZAQAR.format(
        stores=stores, options=options, secret=secret, debug=debug
    )


class ZaqarServer:
    """Zaqar's API as one process of ours, with workers of its own.

    The Swift must be running when this starts, and must go on running.
    """

    def __init__(
        self,
        swift: swifts.SwiftCluster,
        *,
        port: int | None = None,
        workers: int = 2,
        threads: int = 8,
        stores: Stores = OURS,
        debug: bool = False,
        patience: float = PATIENCE,
    ) -> None:
        """Describe a server.

        :param port: None for the last one, the usual one or a free one.
        :param workers: processes, and ``threads`` in each.
        :param debug: whether to log every request, and much else.
        :param patience: how many seconds the start may take.
        """
        self.processes: dict[str, processes.Process] = {}
        self._swift = swift
        self._given_port = port
        self._workers = workers
        self._threads = threads
        self._stores = stores
        self._debug = debug
        self._patience = patience
        self._port = 0

    @property
    def url(self) -> str:
        """Where the API is, without a version."""
        return f'http://{ports.HOST}:{self._port}'

    def start(self) -> None:
        """Start Zaqar, and return when it serves and reaches Swift.

        :raises marconi_swift.standalone.errors.StandaloneError: it can't be
            started; then it does not run.
        """
        for package in ('zaqar', 'gunicorn'):
            swifts.require(package)
        self._port = self._swift.hold_port(NAME, self._given_port, USUAL_PORT)
        ready = functools.partial(
            processes.answers, self._port, '/v2/ping', 204, HEADERS
        )
        command = ('gunicorn', '--config', str(self._write()))
        self.processes[NAME] = processes.Process(
            self._swift.folder, NAME, command, ready
        )
        try:
            processes.start(self.processes, self._patience)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Finish the requests under way, for a few seconds, and end."""
        processes.stop(self.processes)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: types.TracebackType | None,
    ) -> None:
        self.stop()

    def _write(self) -> pathlib.Path:
        """Write Zaqar's and gunicorn's configuration; return gunicorn's."""
        etc = self._swift.folder.etc
        zaqar, gunicorn = etc / 'zaqar.conf', etc / 'gunicorn.conf.py'
        credentials = self._swift.credentials()
        secret = self._swift.secret('signed-urls')
        folders.write_private(
            zaqar, describe(credentials, secret, self._stores, self._debug)
        )
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
