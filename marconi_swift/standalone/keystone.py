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

"""A real Keystone: who may use Swift and Zaqar, and where they are.

=================== =================== ====================================
User                Project, role       What for
=================== =================== ====================================
``admin``           admin, admin        everything
``demo``            demo, member        uses Zaqar
``alt_demo``        alt_demo, member    uses Zaqar, in another project
``swift``           service, service    Swift asks whose a token is
``zaqar``           service, service    Zaqar asks whose a token is
``marconi-swift``   service,            the driver keeps everything in the
                    swiftoperator       account of the project ``service``
=================== =================== ====================================
"""

from collections.abc import Mapping
import functools
import os
import types
from typing import Any
from typing import NamedTuple

from keystoneauth1 import adapter
from keystoneauth1 import exceptions as ksa_errors
from keystoneauth1 import loading
from keystoneauth1 import session as ksa_session

from marconi_swift.standalone import errors
from marconi_swift.standalone import folder as folders
from marconi_swift.standalone import ports
from marconi_swift.standalone import processes
from marconi_swift.standalone import sites
from marconi_swift.standalone import tls

NAME = 'keystone'
APPLICATION = 'marconi_swift.standalone.keystone_wsgi:application'

REGION = 'RegionOne'
INTERFACES = ('public', 'internal', 'admin')

# The role that may use an account of Swift's; Swift is told so.
OPERATOR = 'swiftoperator'

# Seconds that Keystone gets to start: twelve on an idle machine, most of
# them spent on importing it.
PATIENCE = 120.0

# Seconds for which a token is good: Keystone's own default.
LIFETIME = 3600


class User(NamedTuple):
    """A user, and the only role that it has."""

    name: str
    project: str
    role: str


ADMIN = User('admin', 'admin', 'admin')
DEMO = User('demo', 'demo', 'member')
ALT_DEMO = User('alt_demo', 'alt_demo', 'member')
SWIFT = User('swift', 'service', 'service')
ZAQAR = User('zaqar', 'service', 'service')
DRIVER = User('marconi-swift', 'service', OPERATOR)

# Keystone itself makes the administrator.
USERS = (DEMO, ALT_DEMO, SWIFT, ZAQAR, DRIVER)

# Whose credentials clouds.yaml has, each as the cloud of its name.
PEOPLE = (ADMIN, DEMO, ALT_DEMO)

# Passwords are random and long, so there is no need to slow down guessing.
KEYSTONE = """\
[DEFAULT]
use_stderr = true
debug = {debug}
# Keystone uses eventlet for nothing here; its warnings hide others.
default_log_levels = alembic=WARNING, py.warnings=ERROR, sqlalchemy=WARNING

[database]
connection = sqlite:///{data}/keystone.db

[token]
provider = fernet
expiration = {lifetime}

[fernet_tokens]
key_repository = {data}/fernet-keys

[fernet_receipts]
key_repository = {data}/fernet-keys

[credential]
key_repository = {data}/credential-keys

# One process serves all, so its own memory will do.
[cache]
enabled = true
backend = dogpile.cache.memory

[identity]
password_hash_rounds = 4
"""

# One process with one thread: SQLite lets one writer in at a time, and
# Keystone answers 500 to the others. Making the database ready counts as
# silence, for which gunicorn ends a worker.
GUNICORN = """\
wsgi_app = {application!r}
bind = '{host}:{port}'
worker_class = 'sync'
workers = 1
timeout = {patience}
graceful_timeout = 5
control_socket_disable = True
accesslog = '-'
certfile = {certfile!r}
keyfile = {keyfile!r}
"""

CLOUDS = """\
# Written at every start. OS_CLIENT_CONFIG_FILE names this file to clients.
clouds:
"""

CLOUD = """\
  {user.name}:
    region_name: {region}
    identity_api_version: '3'
    cacert: {cafile}
    auth:
      auth_url: {url}
      username: {user.name}
      password: {password}
      project_name: {user.project}
      user_domain_id: default
      project_domain_id: default
"""


class KeystoneServer:
    """Keystone as one process of ours.

    A Swift that is given it starts it first and stops it last.
    """

    def __init__(
        self,
        *,
        port: int | None = None,
        token_lifetime: int = LIFETIME,
        certificate: tls.Certificate | None = None,
        debug: bool = False,
        patience: float = PATIENCE,
    ) -> None:
        """Describe a server.

        :param port: None for the last one or a free one.
        :param token_lifetime: seconds for which a token is good.
        :param certificate: what to serve TLS with; None serves HTTP.
        :param debug: whether to log much.
        :param patience: how many seconds the start may take.
        """
        self.processes: dict[str, processes.Process] = {}
        self.certificate = certificate
        self.given_port = port
        self._lifetime = token_lifetime
        self._debug = debug
        self._patience = patience

    def start(self, site: sites.Site) -> None:
        """Start Keystone, and return when it serves and knows its users.

        The site must be open, and stay so. In its folder, ``clouds.yaml``
        then tells clients how to be one of :data:`PEOPLE`.

        :raises marconi_swift.standalone.errors.StandaloneError: it can't be
            started; then it does not run.
        """
        for package in ('keystone', 'gunicorn'):
            processes.require(package, 'cloud')
        self._site = site
        self._port = site.hold_port(NAME)
        ready = functools.partial(
            processes.answers, self._port, '/v3', 200,
            certificate=self.certificate,
        )
        command = ('gunicorn', '--config', self._write())
        self.processes[NAME] = processes.Process(
            site.folder, NAME, command, ready
        )
        try:
            processes.start(self.processes, self._patience)
            self._introduce()
        except ksa_errors.ClientException as error:
            log = self.processes[NAME].log
            self.stop()
            raise errors.StandaloneError(
                f'Keystone refused what makes its users known: {error}; '
                f'its log is {log}.'
            ) from error
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Finish the request under way, and end."""
        processes.stop(self.processes)

    @property
    def url(self) -> str:
        """Where version 3 of its API is: everybody's ``auth_url``."""
        scheme = tls.scheme(self.certificate)
        return f'{scheme}://{ports.HOST}:{self._port}/v3'

    @property
    def clouds(self) -> str:
        """The path of ``clouds.yaml``."""
        return str(self._site.folder.path / 'clouds.yaml')

    def login(self, user: User) -> dict[str, str]:
        """Return keystoneauth1's options for being a user.

        They are those of ``auth_type = password``, that itself, and
        ``cafile`` where there is TLS.
        """
        options = {
            'auth_type': 'password',
            'auth_url': self.url,
            'username': user.name,
            'password': self._site.secret(f'password of {user.name}'),
            'project_name': user.project,
            'user_domain_id': 'default',
            'project_domain_id': 'default',
        }
        if self.certificate:
            options['cafile'] = self.certificate.cafile
        return options

    def session(self, user: User) -> ksa_session.Session:
        """Return a session in which one is a user."""
        login = self.login(user)
        loader: Any = loading.get_plugin_loader(login.pop('auth_type'))
        verify = login.pop('cafile', True)
        return ksa_session.Session(
            loader.load_from_options(**login), verify=verify
        )

    def offer(self, kind: str, name: str, url: str) -> None:
        """Have the catalogue say where a service is.

        :param kind: its type, such as ``object-store``.
        :param url: where, whatever the interface; ``%(project_id)s`` in it
            stands for the asker's.
        """
        service = self._ensure('service', {'type': kind}, {'name': name})
        for interface in INTERFACES:
            which = {'service_id': service, 'interface': interface}
            self._ensure(
                'endpoint', which, {'url': url, 'region_id': REGION}
            )

    def _introduce(self) -> None:
        """Make everybody known, and what each may do."""
        self._keystone = adapter.Adapter(
            self.session(ADMIN), endpoint_override=self.url
        )
        self.offer('identity', NAME, self.url)
        for user in USERS:
            domain = {'domain_id': 'default'}
            project = self._ensure('project', {'name': user.project}, domain)
            role = self._ensure('role', {'name': user.role})
            password = self.login(user)['password']
            known = self._ensure(
                'user', {'name': user.name}, {'password': password, **domain}
            )
            self._keystone.put(
                f'/projects/{project}/users/{known}/roles/{role}'
            )

    def _ensure(
        self,
        kind: str,
        which: Mapping[str, str],
        what: Mapping[str, str] = types.MappingProxyType({}),
    ) -> str:
        """Make something, or make it so; return its id."""
        found = self._keystone.get(f'/{kind}s', params=which)
        known: list[dict[str, Any]] = found.json()[f'{kind}s']
        if not known:
            body = {kind: {**which, **what}}
            made = self._keystone.post(f'/{kind}s', json=body)
            return str(made.json()[kind]['id'])
        identity = str(known[0]['id'])
        if what:
            self._keystone.patch(
                f'/{kind}s/{identity}', json={kind: dict(what)}
            )
        return identity

    def _write(self) -> str:
        """Write all files; return the path of gunicorn's configuration."""
        folder = self._site.folder
        data = folder.path / 'keystone'
        data.mkdir(mode=0o700, exist_ok=True)
        (data / 'credential-keys').mkdir(mode=0o700, exist_ok=True)
        keystone = folder.etc / 'keystone.conf'
        gunicorn = folder.etc / 'keystone-gunicorn.conf.py'
        folders.write_private(
            keystone,
            KEYSTONE.format(
                data=data, lifetime=self._lifetime, debug=self._debug
            ),
        )
        application = f'{APPLICATION}({str(keystone)!r}, {self._commands()!r})'
        certificate = self.certificate
        folders.write_private(
            gunicorn,
            GUNICORN.format(
                application=application,
                host=ports.HOST,
                port=self._port,
                patience=round(self._patience),
                certfile=certificate and certificate.certfile,
                keyfile=certificate and certificate.keyfile,
            ),
        )
        folders.write_private(folder.path / 'clouds.yaml', self._clouds())
        return str(gunicorn)

    def _commands(self) -> list[list[str]]:
        """What makes database and keys, or finds them as they should be."""
        owner = ['--keystone-user', str(os.geteuid())]
        owner += ['--keystone-group', str(os.getegid())]
        password = self.login(ADMIN)['password']
        return [
            ['db_sync'],
            ['fernet_setup', *owner],
            ['bootstrap', '--bootstrap-password', password,
             '--bootstrap-region-id', REGION],
        ]

    def _clouds(self) -> str:
        certificate = self.certificate
        return CLOUDS + ''.join(
            CLOUD.format(
                user=user,
                url=self.url,
                password=self.login(user)['password'],
                region=REGION,
                cafile=certificate.cafile if certificate else 'null',
            )
            for user in PEOPLE
        )
