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

"""The configuration files of the standalone Swift, as text.

Where they differ from Swift's defaults, it is because there is one machine,
often a busy one: time limits are :data:`WIDE`, so that a slow answer does not
turn into an update for later, and no node is shunned for its past errors.
"""

from collections.abc import Mapping
from collections.abc import Sequence
from typing import NamedTuple

from marconi_swift.standalone import folder as folders
from marconi_swift.standalone import ports
from marconi_swift.standalone import tls

# The user of every account that tempauth knows; with .admin it may do
# anything there.
USER = 'tester'

# Seconds for which Swift remembers what was deleted, a week by default. Nodes
# here are stopped together, so none comes back later and brings it back.
RECLAIM_AGE = 86400

# A second storage policy, which only differs in its name and in where it has
# its objects on disk.
SECOND_POLICY = 'second'

SWIFT = """\
[swift-hash]
swift_hash_path_prefix = {prefix}
swift_hash_path_suffix = {suffix}

[storage-policy:0]
name = Policy-0
default = yes

[storage-policy:1]
name = {second_policy}
"""

# Swift always writes to a syslog, too: port 9 is where bytes are discarded.
COMMON = """\
[DEFAULT]
bind_ip = {host}
bind_port = {port}
bind_timeout = 5
workers = 0
swift_dir = {folder.etc}
devices = {folder.devices}
mount_check = false
recon_cache_path = {folder.run}
reclaim_age = {reclaim_age}
log_name = {name}
log_level = {log_level}
log_udp_host = {host}
log_udp_port = 9
"""

STORAGE = """\

[pipeline:main]
pipeline = healthcheck {kind}-server

[filter:healthcheck]
use = egg:swift#healthcheck

[app:{kind}-server]
use = egg:swift#{kind}
conn_timeout = {limits.connect}
node_timeout = {limits.storage}
container_update_timeout = {limits.storage}
"""

PROXY = """\

[pipeline:main]
pipeline = catch_errors gatekeeper healthcheck proxy-logging cache {more} \
listing_formats bulk {auth} copy slo dlo versioned_writes symlink \
proxy-logging proxy-server

[filter:catch_errors]
use = egg:swift#catch_errors

[filter:gatekeeper]
use = egg:swift#gatekeeper

[filter:healthcheck]
use = egg:swift#healthcheck

[filter:proxy-logging]
use = egg:swift#proxy_logging

[filter:cache]
paste.filter_factory = marconi_swift.standalone.memcache:filter_factory

{more_filters}
[filter:listing_formats]
use = egg:swift#listing_formats

[filter:bulk]
use = egg:swift#bulk

{filters}
[filter:copy]
use = egg:swift#copy

[filter:slo]
use = egg:swift#slo

[filter:dlo]
use = egg:swift#dlo

[filter:versioned_writes]
use = egg:swift#versioned_writes
allow_versioned_writes = true

[filter:symlink]
use = egg:swift#symlink
"""

# One that only some proxies have; named by where its factory is.
FILTER = """\
[filter:{name}]
paste.filter_factory = {factory}
"""

TALLY = 'marconi_swift.standalone.tally:filter_factory'

TEMPAUTH = """\
[filter:tempauth]
use = egg:swift#tempauth
{users}
"""

# A token is kept in Swift's cache, so that Keystone is not asked about it for
# each request.
KEYSTONE = """\
[filter:authtoken]
paste.filter_factory = keystonemiddleware.auth_token:filter_factory
www_authenticate_uri = {url}
{login}
cache = swift.cache
token_cache_time = {token_cache_time}
include_service_catalog = false
delay_auth_decision = true

[filter:keystoneauth]
use = egg:swift#keystoneauth
operator_roles = {operator}
"""

TLS = """\
cert_file = {certificate.certfile}
key_file = {certificate.keyfile}
"""

PROXY_APP = """\

[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
conn_timeout = {limits.connect}
node_timeout = {limits.proxy}
error_suppression_limit = {limits.errors}
error_suppression_interval = {limits.shunned}
"""

UPDATER = """\

[{name}]
interval = {interval}
conn_timeout = {limits.connect}
node_timeout = {limits.storage}
"""

# Rows of containers are exchanged by requests, and objects with ssync: that
# needs no rsync. A database that a node lacks altogether would; it stays
# missing. With servers_per_port the devices of all ports are the object
# replicator's own, so that one serves all nodes.
REPLICATOR = UPDATER + """\
sync_method = ssync
servers_per_port = 1
"""

# Swift takes the word "expirer" in the file's name to mean that the client
# of its own that the expirer uses is configured here, too.
EXPIRER = """\

[object-expirer]
interval = {interval}

[pipeline:main]
pipeline = catch_errors proxy-server

[filter:catch_errors]
use = egg:swift#catch_errors
"""


class Limits(NamedTuple):
    """For how long Swift's servers wait for one another, in seconds."""

    #: For a connection.
    connect: float
    #: What account, container and object servers and daemons wait for
    #: answers.
    storage: float
    #: What the proxy waits for answers, before it does without.
    proxy: float
    #: Failures after which the proxy does not ask a node any more,
    errors: int
    #: for so long.
    shunned: float


WIDE = Limits(5, 20, 30, 1000000, 60)


class Auth(NamedTuple):
    """The part of the proxy's pipeline that knows who may do what."""

    pipeline: str
    filters: str


def tempauth(passwords: Mapping[str, str]) -> Auth:
    """Let Swift itself know the password of each account's user."""
    users = '\n'.join(
        f'user_{account}_{USER} = {password} .admin'
        for account, password in passwords.items()
    )
    return Auth('tempauth', TEMPAUTH.format(users=users))


def keystone(
    url: str, login: Mapping[str, str], operator: str, token_cache_time: int
) -> Auth:
    """Let Keystone know it.

    :param url: where Keystone is.
    :param login: keystoneauth1's options for a user who may ask it whose a
        token is.
    :param operator: the role that may use the account of its project.
    :param token_cache_time: seconds for which an answer is not asked for
        again; -1 asks each time.
    """
    filters = KEYSTONE.format(
        url=url,
        login=lines(login),
        operator=operator,
        token_cache_time=token_cache_time,
    )
    return Auth('authtoken keystoneauth', filters)


def lines(options: Mapping[str, str]) -> str:
    """Return options as lines of an ini file."""
    return '\n'.join(f'{name} = {value}' for name, value in options.items())


class Writer:
    """Writes the configuration files of one cluster."""

    def __init__(
        self, folder: folders.Folder, log_level: str, limits: Limits = WIDE,
    ) -> None:
        """Remember what all files share."""
        self._folder = folder
        self._log_level = log_level
        self._limits = limits

    def swift(self, prefix: str, suffix: str) -> None:
        """Write the file that all servers share.

        :param prefix: with ``suffix``, a secret that every name is hashed
            with; without them no data are found again.
        """
        folders.write_private(
            self._folder.etc / 'swift.conf',
            SWIFT.format(
                prefix=prefix, suffix=suffix, second_policy=SECOND_POLICY
            ),
        )

    def storage(self, name: str, kind: str, port: int) -> str:
        """Write an account, container or object server's file."""
        text = STORAGE.format(kind=kind, limits=self._limits)
        return self._write(name, text, port)

    def proxy(
        self,
        name: str,
        port: int,
        auth: Auth,
        filters: Sequence[str] = (),
        certificate: tls.Certificate | None = None,
    ) -> str:
        """Write the proxy's file.

        :param auth: who may do what; :func:`tempauth` or :func:`keystone`.
        :param filters: factories of filters that see a request before
            ``auth`` does, as in ``module:function``.
        :param certificate: what to serve TLS with; None serves HTTP.
        """
        more = {factory.partition(':')[0].rpartition('.')[2]: factory
                for factory in filters}
        text = PROXY.format(
            more=' '.join(more),
            more_filters='\n'.join(
                FILTER.format(name=each, factory=factory)
                for each, factory in more.items()),
            auth=auth.pipeline,
            filters=auth.filters,
        )
        if certificate:
            text = TLS.format(certificate=certificate) + text
        return self._write(name, text + self._app, port)

    @property
    def _app(self) -> str:
        return PROXY_APP.format(limits=self._limits)

    def updater(self, name: str, interval: float) -> str:
        """Write a container or object updater's file."""
        return self._write(name, UPDATER.format(
            name=name, interval=interval, limits=self._limits))

    def replicator(
        self, name: str, kind: str, port: int, interval: float
    ) -> str:
        """Write a replicator's file.

        :param port: of the node whose databases it replicates; an object
            replicator replicates the objects of all.
        """
        text = REPLICATOR.format(
            name=f'{kind}-replicator', interval=interval, limits=self._limits)
        return self._write(name, text, port)

    def expirer(self, name: str, interval: float) -> str:
        """Write the object expirer's file."""
        return self._write(
            name, EXPIRER.format(interval=interval) + self._app
        )

    def _write(self, name: str, text: str, port: int = 0) -> str:
        path = self._folder.etc / f'{name}.conf'
        common = COMMON.format(
            host=ports.HOST,
            port=port,
            folder=self._folder,
            name=name,
            reclaim_age=RECLAIM_AGE,
            log_level=self._log_level,
        )
        folders.write_private(path, common + text)
        return str(path)
