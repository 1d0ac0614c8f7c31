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

"""Every option of this driver, and the frozen settings read from them.

The data driver and the control driver have the same options, in a group
each. A setting is taken from the query string of the group's ``uri`` if it
is there, from the group's options otherwise, so that a pool's record alone
can say everything about it.

Zaqar's per-pool overrides are made on the one configuration object of the
process and are never taken back (``zaqar.storage.utils.dynamic_conf``), so
a setting is right at most while the driver is being constructed: all of them
are read then, and never again. What another thread may have overridden just
then is told by the caller (:mod:`marconi_swift.control.openings`).
"""

import collections
from collections.abc import Callable
from collections.abc import Mapping
import contextlib
import dataclasses
import functools
import math
from typing import Any
from urllib import parse

from keystoneauth1 import exceptions as ksa_errors
from keystoneauth1 import loading
from keystoneauth1 import plugin
from oslo_config import cfg

from marconi_swift import names

#: Name of the entry points, and scheme of the URI of a pool.
SCHEME = 'marconi-swift'

DATA_GROUP = f'drivers:message_store:{SCHEME}'
CONTROL_GROUP = f'drivers:management_store:{SCHEME}'

#: Longest container prefix: what Swift's 256 bytes leave after the longest
#: project and queue (see :mod:`marconi_swift.names`).
PREFIX_MAX = 32

_DEFAULT_URI = f'{SCHEME}://'

#: Seconds for one request, unless ``timeout`` says otherwise: keystoneauth1
#: alone would wait for ever.
_DEFAULT_TIMEOUT = 20.0

# What a message store and a management store both need.
_OPTIONS = [
    cfg.StrOpt(
        'uri',
        default=_DEFAULT_URI,
        secret=True,
        help=f'Where the store is: {SCHEME}://[user[:password]@]'
             '[host[:port][/path]][?option=value&...]. The host and path '
             'give auth_url (as https; write auth_url=http://... in the '
             'query otherwise), and the query string can carry every option '
             'of this group, percent-encoded; what it says comes first. A '
             'pool is registered with such a URI, which Zaqar shows to '
             'administrators: auth_section=NAME in it keeps credentials in '
             'this file, in section [NAME].'),
    cfg.StrOpt(
        'container_prefix',
        default='marconi',
        max_length=PREFIX_MAX,
        regex=r'^[A-Za-z0-9_.-]+$',
        help='First part of the name of every container. Two deployments '
             'that share one Swift account need different prefixes. '
             'Changing it hides everything that was stored before.'),
    cfg.StrOpt(
        'storage_policy',
        help='Swift storage policy of the containers that are made from '
             'now on; existing containers keep theirs. Unset means the '
             "cluster's default policy."),
    cfg.IntOpt(
        'fan_out',
        default=32,
        min=1,
        max=1000,
        help='How many Swift requests one process sends at a time on '
             'behalf of operations that need several (posting or reading a '
             'page of messages, claiming). Each costs a thread and a '
             'connection that is kept alive.'),
    cfg.IntOpt(
        'retries',
        default=4,
        min=0,
        help='How often a request is sent again after Swift did not '
             'answer, or answered 429, 498 or 5xx.'),
    cfg.FloatOpt(
        'retry_time_limit',
        default=30.0,
        min=0.0,
        help='Seconds from the first try of a request after which it is '
             'not sent again, whatever retries says.'),
    cfg.FloatOpt(
        'post_time_limit',
        default=5.0,
        min=0.1,
        # A marker has 20 bits for the milliseconds of both, and of the clock
        # that is ahead.
        max=300.0,
        help='Seconds within which a posted message must be stored, from '
             'when its id was made; a post that took longer is taken back '
             'and answered 503. Readers that follow a queue rely on it: '
             'their markers remember what they were given within this time '
             'and clock_skew, in which others may still appear. Must be '
             'the same in all processes that serve a queue.'),
    cfg.FloatOpt(
        'claim_attempt_limit',
        default=10.0,
        min=1.0,
        help='Seconds within which a claim must have been won and recorded; '
             'one that took longer is given up. A message that nobody won, '
             'or whose claimer died before it was answered, can be claimed '
             'again after twice this time and clock_skew. Twice this time '
             'must be less than the shortest claim. Must be the same in all '
             'processes that serve a queue.'),
    cfg.FloatOpt(
        'clock_skew',
        default=2.0,
        min=0.0,
        # For as long Swift keeps messages that are over by its clock
        # (records.SWEEP_AFTER).
        max=60.0,
        help='Seconds by which the clocks of the processes that serve a '
             'queue may differ. A claim that has expired frees its messages '
             'this much later, so that it is over by all clocks. Must be '
             'the same in all processes that serve a queue.'),
    cfg.FloatOpt(
        'cache_time',
        default=1.0,
        min=0.0,
        help="Seconds for which a process goes on using what it has read of "
             "a queue's metadata, and of the pool that a queue is in. A "
             'change of metadata takes that much longer to be answered, so '
             'that no process works with the old ones then. A queue that is '
             'deleted, or moved to another pool, is noticed by other '
             'processes that much later. 0 reads everything anew for each '
             'operation. Must be the same in all processes that serve a '
             'queue.'),
    cfg.IntOpt(
        'containers_per_queue',
        default=1,
        min=1,
        max=names.PARTS_MAX,
        help='Over how many Swift containers a queue is spread that is '
             'created from now on. One container server writes what it is '
             'told of a container one row after the other, which bounds '
             'how much can be posted to a queue and claimed from it; '
             'several containers share that, and each listing asks all of '
             'them. A queue that is there keeps what it has. Must be the '
             'same in all processes that serve a queue.'),
    cfg.IntOpt(
        'max_containers_per_queue',
        default=1,
        min=1,
        max=names.PARTS_MAX,
        help='How many containers the metadata of a new queue can ask for, '
             'by the key _containers. If this and containers_per_queue are '
             '1, nobody asks how many an existing queue has before posting '
             'to it or deleting it, and the messages of one that has more '
             'are read, but posted to its first container alone, and left '
             'to marconi-swift-manage gc when it is deleted. Must be the '
             'same in all processes that serve a queue.'),
]

# Options of keystoneauth1's adapter that choose the endpoint. Its retry and
# version options would change nothing here.
_ADAPTER_OPTIONS = frozenset(
    ['service_type', 'service_name', 'valid_interfaces', 'region_name',
     'endpoint_override'])

_SESSION_OPTIONS = frozenset(
    ['cafile', 'certfile', 'keyfile', 'insecure', 'timeout'])

# Authentication plugins whose options are shown in the sample file.
_SHOWN_PLUGINS = ('password', 'v3applicationcredential', 'v1password')


class InvalidConfiguration(Exception):
    """What is configured can not work; the message says what to change."""


@dataclasses.dataclass(frozen=True)
class Settings:
    """Everything that was configured, read once."""

    #: As it was given, credentials and all: what tells pools apart.
    uri: str = dataclasses.field(repr=False)
    container_prefix: str
    storage_policy: str | None
    fan_out: int
    retries: int
    retry_time_limit: float
    post_time_limit: float
    claim_attempt_limit: float
    clock_skew: float
    cache_time: float
    containers_per_queue: int
    max_containers_per_queue: int
    #: Seconds to wait for a connection, and for each part of an answer.
    timeout: float
    #: What requests calls ``verify``: True, False or a CA bundle's path.
    verify: bool | str
    #: What requests calls ``cert``.
    certificate: str | tuple[str, str] | None
    #: How the endpoint is found: arguments of keystoneauth1's get_endpoint.
    endpoint_filter: Mapping[str, Any]
    endpoint_override: str | None
    #: Where Keystone is, or whoever else is asked where Swift is.
    auth_url: str | None
    #: Makes a new authentication plugin; does no I/O.
    make_auth: Callable[[], plugin.BaseAuthPlugin] = dataclasses.field(
        repr=False)

    @property
    def place(self) -> str:
        """Which Swift this is: the same for all accounts in one.

        Two names of one Swift are two places. Has no credentials.
        """
        url = self.endpoint_override or self.auth_url or ''
        # By hand, since one that is no URL is told when it is used.
        host = url.partition('://')[2].partition('/')[0].rpartition('@')[2]
        region = self.endpoint_filter.get('region_name')
        return f'{host} in {region}' if region else host


def _connection_options(group: str) -> list[cfg.Opt]:
    """keystoneauth1's options for a session and an endpoint."""
    session = [opt for opt in loading.get_session_conf_options()
               if opt.dest in _SESSION_OPTIONS]
    for opt in session:
        if opt.dest == 'timeout':
            opt.default = _DEFAULT_TIMEOUT
    adapter = [
        opt for opt in loading.get_adapter_conf_options(
            include_deprecated=False,
            deprecated_opts={
                'valid-interfaces': [cfg.DeprecatedOpt('interface', group)]})
        if opt.dest in _ADAPTER_OPTIONS]
    for opt in adapter:
        if opt.dest == 'service_type':
            opt.default = 'object-store'
    return [*session, *adapter]


def driver_options(*groups: str) -> list[tuple[str, list[cfg.Opt]]]:
    """What a driver registers: all but the authentication plugin's own.

    :returns: in the form of Zaqar's ``_DRIVER_OPTIONS``.
    """
    return [(group, [*_OPTIONS, *_connection_options(group),
                     *loading.get_auth_common_conf_options()])
            for group in groups]


def list_opts() -> list[tuple[str, list[cfg.Opt]]]:
    """All options, for oslo.config's sample generator and Sphinx."""
    listed = []
    for group in (DATA_GROUP, CONTROL_GROUP):
        [(_, options)] = driver_options(group)
        known = {opt.dest for opt in options}
        for name in _SHOWN_PLUGINS:
            for opt in loading.get_auth_plugin_conf_options(name):
                if opt.dest not in known:
                    known.add(opt.dest)
                    options.append(opt)
        listed.append((group, options))
    return listed


def read(
    conf: cfg.ConfigOpts, group: str, told: Mapping[str, Any] | None = None,
) -> Settings:
    """Read the settings of one driver; no I/O.

    :param group: :data:`DATA_GROUP` or :data:`CONTROL_GROUP`, with the
        options of :func:`driver_options` registered.
    :param told: options that are not what the group says by now, the uri
        among them.
    :raises InvalidConfiguration: naming the option at fault.
    """
    own: Mapping[str, Any] = collections.ChainMap(
        dict(told or {}), conf[group])
    uri = own['uri']
    given = _parse_uri(uri, group)
    known: set[str] = set()

    def get(name: str) -> Any:
        known.add(name)
        kind = _types()[name]
        if name in given:
            return _convert(given[name], kind, name, f'The uri in [{group}]')
        # A pool's options come as they were registered: Zaqar checks none
        # of them until the first driver has said what they are.
        return _convert(own[name], kind, name, f'Section [{group}]')

    interfaces = 'interface' if 'interface' in given else 'valid_interfaces'
    if interfaces == 'interface':
        given['valid_interfaces'] = given.pop('interface')
    certificate, key = get('certfile'), get('keyfile')
    authority, insecure = get('cafile'), get('insecure')
    make_auth, auth_url = _auth_maker(conf, group, given, own, known)
    settings = Settings(
        uri=uri,
        container_prefix=get('container_prefix'),
        storage_policy=get('storage_policy'),
        fan_out=get('fan_out'),
        retries=get('retries'),
        retry_time_limit=get('retry_time_limit'),
        post_time_limit=get('post_time_limit'),
        claim_attempt_limit=get('claim_attempt_limit'),
        clock_skew=get('clock_skew'),
        cache_time=get('cache_time'),
        containers_per_queue=get('containers_per_queue'),
        max_containers_per_queue=get('max_containers_per_queue'),
        timeout=get('timeout') or _DEFAULT_TIMEOUT,
        verify=False if insecure else authority or True,
        certificate=(certificate, key) if certificate and key
        else certificate,
        endpoint_filter={
            'service_type': get('service_type'),
            'service_name': get('service_name'),
            'interface': get('valid_interfaces'),
            'region_name': get('region_name')},
        endpoint_override=get('endpoint_override'),
        auth_url=auth_url, make_auth=make_auth)
    unknown = given.keys() - known - {'uri'}
    if unknown:
        raise InvalidConfiguration(
            f'The uri in [{group}] sets {", ".join(sorted(unknown))}, which '
            'no option of this driver or of its auth_type is called.')
    return settings


def known_names(conf: cfg.ConfigOpts, group: str) -> set[str]:
    """Names that mean something in a driver's group of the configuration.

    Old names too, and those of the authentication plugin that is set there.
    """
    listed = [opt for _, options in driver_options(group) for opt in options]
    auth_type = conf[group].auth_type
    if auth_type:
        listed += loading.get_auth_plugin_conf_options(auth_type)
    return {name.replace('-', '_') for opt in listed
            for name in (opt.dest, *(old.name for old in opt.deprecated_opts
                                     if old.name))}


def configured(conf: cfg.ConfigOpts) -> dict[str, Any]:
    """What the configuration file says of the message store, as it is now.

    With the options of the authentication plugin that is set there.

    :param conf: what no pool has changed yet, or :func:`forget_pools` did.
    """
    # What is wrong with them is raised for the store that is made of them.
    wrong = (InvalidConfiguration, cfg.ConfigFileValueError)
    with contextlib.suppress(*wrong):
        # For the options that it registers.
        read(conf, DATA_GROUP)
    found = {}
    for name in conf[DATA_GROUP]:
        with contextlib.suppress(*wrong):
            found[name] = conf[DATA_GROUP][name]
    return found


def forget_pools(conf: cfg.ConfigOpts) -> None:
    """Let the data driver's options be what the configuration file says.

    Zaqar overrides them for each pool that it opens, or only tries, and
    never takes that back; its virtual pool would become the last of them.
    A thread that is just opening a pool loses what that says.
    """
    for name in conf[DATA_GROUP]:
        conf.clear_override(name, group=DATA_GROUP)
    # Of a pool that was opened before our options were registered, Zaqar has
    # made the defaults.
    for _, listed in driver_options(DATA_GROUP):
        for opt in listed:
            conf.set_default(opt.dest, opt.default, group=DATA_GROUP)


def _parse_uri(uri: str, group: str) -> dict[str, str]:
    """The options that a URI sets, by name, percent-decoded."""
    try:
        parts = parse.urlsplit(uri)
        query = parse.parse_qsl(parts.query, keep_blank_values=True,
                                strict_parsing=bool(parts.query))
        port = parts.port
    except ValueError:
        # The reason that is given can have a part of a password.
        raise InvalidConfiguration(
            f'The uri in [{group}] can not be read. It must be {SCHEME}://'
            '[user[:password]@][host[:port][/path]][?option=value&...], and '
            'what is in it percent-encoded.') from None
    if parts.scheme != SCHEME:
        raise InvalidConfiguration(
            f'The uri in [{group}] must start with {SCHEME}://, '
            f'not with {parts.scheme or "nothing"}.')
    given = {name.replace('-', '_'): value for name, value in query}
    if parts.hostname:
        host = parts.hostname
        if ':' in host:
            host = f'[{host}]'
        if port is not None:
            host = f'{host}:{port}'
        given.setdefault('auth_url', f'https://{host}{parts.path}')
    for name, value in (('username', parts.username),
                        ('password', parts.password)):
        if value is not None:
            given.setdefault(name, parse.unquote(value))
    return given


def check_pool(pool: Mapping[str, Any]) -> None:
    """Check the options that a pool is registered with, beside its URI.

    Those of other names mean nothing, and are let through.

    :raises InvalidConfiguration: naming the option at fault.
    """
    for name, kind in _types().items():
        if name in pool:
            _convert(pool[name], kind, name, 'The pool')


@functools.cache
def _types() -> Mapping[str, Callable[[Any], Any]]:
    """What makes values of our options, by their names."""
    [(_, known)] = driver_options(DATA_GROUP)
    return {opt.dest: opt.type for opt in known}


def _convert(
    value: Any, kind: Callable[[Any], Any], name: str, where: str,
) -> Any:
    """Give a value the type that its option has; None stays that."""
    if value is None:
        return None
    try:
        converted = kind(value)
        # oslo.config lets these pass all bounds.
        if isinstance(converted, float) and not math.isfinite(converted):
            raise ValueError(f'{value} is no finite number')
        if name == 'timeout' and converted < 0:
            raise ValueError(f'{value} is less than 0')
    except (TypeError, ValueError, OverflowError) as exc:
        raise InvalidConfiguration(
            f'{where} sets {name} to a value that it can not have: {exc}.'
        ) from None
    return converted


def _auth_maker(
    conf: cfg.ConfigOpts,
    group: str,
    given: Mapping[str, str],
    own: Mapping[str, Any],
    known: set[str],
) -> tuple[Callable[[], plugin.BaseAuthPlugin], str | None]:
    """Read what keystoneauth1's plugin needs; adds its options to known.

    :returns: what makes a plugin, and the auth_url if it has one.
    """
    known |= {'auth_section', 'auth_type'}
    section = given.get('auth_section') or own['auth_section'] or group
    _register(conf, loading.get_auth_common_conf_options(), section)
    said = own if section == group else conf[section]
    auth_type = given.get('auth_type') or said['auth_type']
    if not auth_type:
        raise InvalidConfiguration(
            f'No auth_type is set in [{section}]: name an authentication '
            'plugin of keystoneauth1, such as password, '
            "v3applicationcredential, or v1password for Swift's tempauth.")
    try:
        loader: Any = loading.get_plugin_loader(auth_type)
    except ksa_errors.NoMatchingPlugin:
        raise InvalidConfiguration(
            f'The auth_type {auth_type!r} in [{section}] is no '
            'authentication plugin of keystoneauth1 on this machine.'
        ) from None
    options = loading.get_auth_plugin_conf_options(loader)
    _register(conf, options, section)
    known.update(opt.dest for opt in options)
    values = {
        opt.dest: given[opt.dest] if opt.dest in given else _convert(
            said[opt.dest], opt.type, opt.dest, f'Section [{section}]')
        for opt in options}

    def make() -> plugin.BaseAuthPlugin:
        auth: plugin.BaseAuthPlugin = loader.load_from_options_getter(
            lambda opt: values[opt.dest])
        return auth

    try:
        make()
    except ksa_errors.MissingRequiredOptions as exc:
        raise InvalidConfiguration(
            f'The auth_type {auth_type} in [{section}] needs more: {exc}'
        ) from None
    return make, values.get('auth_url')


def _register(
    conf: cfg.ConfigOpts, options: list[cfg.Opt], group: str,
) -> None:
    """Register options, leaving alone what a pool's record registered."""
    for opt in options:
        try:
            conf.register_opt(opt, group=group)
        except cfg.DuplicateOptError:
            continue
