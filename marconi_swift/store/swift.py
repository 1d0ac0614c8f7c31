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

"""The connection to a real Swift: the only user of its client libraries."""

from collections.abc import Iterator
from collections.abc import Mapping
import contextlib
import socket
import ssl
import threading
import time
from typing import Any
from urllib import parse

from keystoneauth1 import exceptions as ksa_errors
from keystoneauth1 import session as ksa_session
import requests
from requests import adapters
from swiftclient import client as swiftclient
from swiftclient import exceptions as swiftclient_errors
import urllib3

from marconi_swift import options
from marconi_swift import version
from marconi_swift.store import errors
from marconi_swift.store import per_process
from marconi_swift.store import transport

_USER_AGENT = f'marconi-swift/{version.RELEASE}'

#: Seconds for which credentials that were refused are not tried again: an
#: operation may send many requests, and Keystone may lock a user out who
#: fails too often.
_BARRED = 2.0

#: Answers of Keystone and of tempauth that sending again will not change.
_REFUSALS = frozenset([400, 401, 403, 404])

#: What only the making of a connection raises.
_UNCONNECTED = (ConnectionRefusedError, socket.gaierror,
                urllib3.exceptions.ConnectTimeoutError)

#: Idle connections that are kept, of each process and account.
_KEPT = 1000


class SwiftTransport:
    """Sends single requests to the account that the settings name.

    Making one does no I/O. Each process has connections of its own, as many
    as it uses at a time, session and token.
    """

    def __init__(self, settings: options.Settings) -> None:
        self._settings = settings
        self._login = per_process.PerProcess(lambda: _Login(settings))
        self._connections = per_process.PerProcess[dict[str, _Connection]](
            dict)

    def request(
        self,
        method: str,
        container: str | None = None,
        name: str | None = None,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes = b'',
    ) -> transport.Response:
        """Send one request; one that was answered 401 again, with a new token.

        A request that was refused for its token had no effect, so sending
        it again is safe. See :meth:`.transport.Transport.request`.
        """
        login = self._login.get()
        place = '/'.join(filter(None, (container, name))) or 'the account'
        what = f'{method} {place}'
        for last_chance in (False, True):
            endpoint, token = login.get()
            path = _path(endpoint, container, name, query)
            response = self._send(
                endpoint, what, method, path,
                {**(headers or {}), 'X-Auth-Token': token}, body)
            if response.status != 401 or last_chance:
                break
            login.renew(token)
        if response.status in (401, 403):
            raise errors.Unauthorized(
                f'Swift answered {response.status} to {what}: give the user '
                'of this driver a role that may write to the account, unless '
                f'Swift says something else: {response.body[:200]!r}')
        return response

    def info(self) -> transport.Response:
        endpoint, _ = self._login.get().get()
        return self._send(endpoint, 'GET /info', 'GET', '/info', {}, b'')

    def close(self) -> None:
        """Close all connections of this process, and forget the token."""
        self._login.drop()
        for connection in (self._connections.drop() or {}).values():
            connection.close()

    def _send(
        self, endpoint: str, what: str, method: str, path: str,
        headers: Mapping[str, str], body: bytes,
    ) -> transport.Response:
        """Send a request.

        :param what: tells of it in errors, without addresses.
        """
        connection = self._connection(endpoint)
        with _translated(what):
            answer = connection.request(
                method, path, data=body, headers=headers)
            return transport.Response(
                answer.status,
                {key.lower(): value for key, value in answer.headers.items()},
                answer.data)

    def _connection(self, endpoint: str) -> '_Connection':
        """Return this process's way to an endpoint.

        :raises errors.SwiftError: there can be none with these settings.
        """
        known = self._connections.get()
        if endpoint not in known:
            try:
                made = _Connection(endpoint, self._settings)
            except (swiftclient_errors.ClientException, ValueError,
                    OSError) as exc:
                # RequestException is an OSError.
                raise errors.SwiftError(
                    f'There is no way to Swift: {type(exc).__name__}. Check '
                    'auth_url, endpoint_override, cafile, certfile and '
                    'keyfile.') from exc
            # Threads may race; nothing is open yet.
            known.setdefault(endpoint, made)
        return known[endpoint]


class _Connection(swiftclient.HTTPConnection):
    """A connection of swiftclient's, which opens when it is used.

    Several, if threads use it at a time: its requests go through a pool of
    urllib3's, which hands out first what was given back last.

    How to reach the endpoint, proxies and certificates that the environment
    names included, is found out once and by ``requests``. Each request then
    goes to urllib3, which ``requests`` would hand it to as well, having spent
    more than half of the processor time that one takes.
    """

    def __init__(self, endpoint: str, settings: options.Settings) -> None:
        super().__init__(
            endpoint, default_user_agent=_USER_AGENT,
            timeout=settings.timeout)
        way = self.request_session.merge_environment_settings(
            endpoint, {}, True, settings.verify, settings.certificate)
        self._way = _Way(pool_maxsize=_KEPT)
        self._pool, self._base = self._way.find(
            endpoint, way['verify'], way['cert'], way['proxies'])

    def request(
        self, method: str, full_path: str, data: bytes | None = None,
        headers: Mapping[str, str] | None = None, files: None = None,
    ) -> Any:
        """Send a request, and read its whole answer."""
        return self._pool.urlopen(
            method, self._base + full_path, body=data or None,
            headers=swiftclient.encode_meta_headers({
                'User-Agent': self.default_user_agent, **(headers or {})}),
            redirect=False, retries=False, assert_same_host=False,
            timeout=self.requests_args['timeout'], decode_content=False)

    def close(self) -> None:
        self._way.close()


class _Way(adapters.HTTPAdapter):
    """What ``requests`` knows of proxies and certificates."""

    def find(
        self, url: str, verify: bool | str,
        certificate: str | tuple[str, str] | None,
        proxies: dict[str, str],
    ) -> tuple[Any, str]:
        """Return a pool of connections, and what goes before each path.

        :raises OSError: there is no such certificate.
        :raises requests.RequestException: this is no such URL.
        """
        first = requests.Request('GET', url).prepare()
        pool = self.get_connection_with_tls_context(
            first, verify, proxies, certificate)
        self.cert_verify(  # type: ignore[no-untyped-call]
            pool, first.url, verify, certificate)
        base = self.request_url(first, proxies)
        return pool, base.removesuffix(first.path_url)


class _Login:
    """The token and endpoint of one process, shared by its threads."""

    def __init__(self, settings: options.Settings) -> None:
        self._settings = settings
        self._auth = settings.make_auth()
        self._session = ksa_session.Session(
            verify=settings.verify, cert=settings.certificate,
            timeout=settings.timeout, user_agent=_USER_AGENT)
        self._lock = threading.Lock()
        self._endpoint = settings.endpoint_override
        #: The one that was handed out last.
        self._token: str | None = None
        #: Why no token could be had, the last time.
        self._failure: errors.SwiftError | None = None
        self._barred_until = 0.0

    def get(self) -> tuple[str, str]:
        """Return the account's URL and a token, asking for what is missing.

        Threads that want a token ask for it one after the other; one that
        waited while another failed shares its failure, so that a Keystone
        that does not answer holds up nobody for longer than two time-outs.

        :raises errors.Unauthorized: the credentials were refused, now or a
            moment ago.
        :raises errors.Unanswered: Keystone was not there.
        """
        failed = self._failure
        with self._lock:
            if self._failure and (
                    self._failure is not failed
                    or time.monotonic() < self._barred_until):
                raise type(self._failure)(str(self._failure))
            try:
                return self._ask()
            except errors.SwiftError as exc:
                self._failure = exc
                if isinstance(exc, errors.Unauthorized):
                    self._barred_until = time.monotonic() + _BARRED
                raise

    def _ask(self) -> tuple[str, str]:
        with _translated('authentication', errors.Unreachable):
            token = self._auth.get_token(self._session)
            if self._endpoint is None:
                self._endpoint = self._auth.get_endpoint(
                    self._session, **self._settings.endpoint_filter)
            # One that is no URL is not found out anywhere else.
            parse.urlsplit(self._endpoint or '')
        if self._endpoint is None or token is None:
            raise errors.Unauthorized(
                'The service catalogue names no endpoint for '
                f'{dict(self._settings.endpoint_filter)}: correct these '
                'options, or set endpoint_override.')
        self._token = token
        return self._endpoint.rstrip('/'), token

    def renew(self, refused: str) -> None:
        """Give up a token, unless another thread did so already.

        Nothing is asked here: whoever wants the next one asks for it, and
        the others share what comes of that.
        """
        with self._lock:
            if self._token == refused:
                self._auth.invalidate()
                self._token = None


def _path(
    endpoint: str, container: str | None, name: str | None,
    query: Mapping[str, str] | None,
) -> str:
    path = parse.urlsplit(endpoint).path
    if container is not None:
        path += '/' + parse.quote(container, safe='')
    if name is not None:
        path += '/' + parse.quote(name)
    return f'{path}?{parse.urlencode(query)}' if query else path


@contextlib.contextmanager
def _translated(
    what: str, silence: type[errors.Unanswered] = errors.Unanswered,
) -> Iterator[None]:
    """Turn every exception of the client libraries into one of ours.

    :param silence: what it means that no answer came.

    A certificate that is not trusted ends a connection before anything is
    sent, and goes on doing so: it is neither unanswered nor tried again.
    Connections and time-outs come as urllib3's or ``OSError``; Keystone's as
    keystoneauth1's; a URL that the standard library can not use as
    ``ValueError``.

    Zaqar shows some of these texts to users of its API. So they name no
    addresses, which the errors behind them do, and with these the log.
    """
    try:
        yield
    except ksa_errors.HttpError as exc:
        if exc.http_status in _REFUSALS:
            raise errors.Unauthorized(
                f'{what} failed: {exc}. Check the auth_* options, user, '
                'password and project of this driver.') from exc
        raise silence(f'{what} failed: {exc}') from exc
    except (ksa_errors.SSLError, urllib3.exceptions.SSLError) as exc:
        if not _behind(exc, ssl.SSLCertVerificationError):
            raise silence(f'{what} was not answered: {_why(exc)}') from exc
        raise errors.Untrusted(
            f'{what} was not sent, since the certificate of the server is '
            f'not trusted: {_why(exc)}. Set cafile to that of its authority.',
        ) from exc
    except (ksa_errors.ConnectionError, ksa_errors.DiscoveryFailure) as exc:
        raise silence(f'{what} failed: {_why(exc)}') from exc
    except ksa_errors.CatalogException as exc:
        raise errors.Unauthorized(
            f'{what} found no Swift: {exc}. Correct region_name, '
            'valid_interfaces and service_type, or set endpoint_override.',
        ) from exc
    except ksa_errors.ClientException as exc:
        raise errors.Unauthorized(f'{what} failed: {exc}') from exc
    except (urllib3.exceptions.HTTPError, OSError) as exc:
        if _behind(exc, *_UNCONNECTED):
            silence = errors.Unreachable
        raise silence(f'{what} was not answered: {_why(exc)}') from exc
    except ValueError as exc:
        raise errors.SwiftError(
            f'{what} could not be sent: {exc}. Check auth_url and the '
            'endpoint.') from exc


def _why(error: Exception) -> str:
    """What an error is, and what the operating system or TLS said to it."""
    kind = type(error).__name__
    distrust = _behind(error, ssl.SSLCertVerificationError)
    if distrust is not None:
        # What follows a comma is the name that the certificate is not for.
        message = str(getattr(distrust, 'verify_message', distrust))
        return f'{kind}: {message.partition(",")[0]}'
    said = _behind(error, OSError)
    while isinstance(said, OSError) and not said.strerror:
        said = _behind(said.__cause__ or said.__context__, OSError)
    return f'{kind}: {said.strerror}' if isinstance(said, OSError) else kind


def _behind(
    error: BaseException | None, *kinds: type[BaseException],
) -> BaseException | None:
    """An error if it is of one of these kinds, or the one that caused it."""
    while error is not None and not isinstance(error, kinds):
        error = error.__cause__ or error.__context__
    return error
