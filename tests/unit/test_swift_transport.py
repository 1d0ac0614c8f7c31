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
"""The connection to Swift: what a real one does not produce on demand."""

from concurrent import futures
import socket
import ssl
import threading
import types
from typing import Any

import fixtures
from keystoneauth1 import exceptions as ksa_errors
import mock
import testtools
import urllib3

from marconi_swift import options
from marconi_swift.store import errors
from marconi_swift.store import swift


def _settings(**changes: Any) -> options.Settings:
    given: dict[str, Any] = {
        'uri': 'marconi-swift://', 'cache_time': 1.0,
        'container_prefix': 'marconi', 'storage_policy': None, 'fan_out': 1,
        'retries': 0, 'retry_time_limit': 0.0, 'post_time_limit': 1.0,
        'claim_attempt_limit': 1.0, 'clock_skew': 0.0,
        'containers_per_queue': 1, 'max_containers_per_queue': 1,
        'timeout': 3.0,
        'verify': True, 'certificate': None, 'endpoint_filter': {},
        'endpoint_override': 'http://swift/v1/AUTH_me', 'auth_url': None,
        'make_auth': lambda: Login()}
    return options.Settings(**{**given, **changes})


class Login:
    """An authentication plugin that counts the tokens it has given."""

    def __init__(self) -> None:
        self.tokens = 1

    def get_token(self, session: Any) -> str:
        return f'token-{self.tokens}'

    def get_endpoint(self, session: Any, **kwargs: Any) -> str | None:
        return None

    def invalidate(self) -> None:
        self.tokens += 1


class _CountingLock:
    """A lock that tells how many have come to it."""

    def __init__(self) -> None:
        self.waiting = threading.Semaphore(0)
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        self.waiting.release()
        self._lock.acquire()

    def __exit__(self, *exc: object) -> None:
        self._lock.release()


class TransportTest(testtools.TestCase):

    def setUp(self) -> None:
        super().setUp()
        self.connection = mock.Mock()
        self.connect = self.useFixture(fixtures.MockPatch(
            'marconi_swift.store.swift._Connection',
            return_value=self.connection)).mock
        self.answers(200)

    def answers(self, *statuses: int) -> None:
        self.connection.request.side_effect = [
            types.SimpleNamespace(
                status=status, headers={'X-Timestamp': '1'},
                data=b'body')
            for status in statuses]

    def tokens(self) -> list[str]:
        return [call.kwargs['headers']['X-Auth-Token']
                for call in self.connection.request.call_args_list]


class TestConnections(testtools.TestCase):

    def setUp(self) -> None:
        super().setUp()
        for name in ('REQUESTS_CA_BUNDLE', 'CURL_CA_BUNDLE', 'no_proxy',
                     'NO_PROXY', 'https_proxy', 'HTTPS_PROXY'):
            self.useFixture(fixtures.EnvironmentVariable(name, None))

    def connection(
        self, endpoint: str = 'https://swift.example.org/v1/AUTH_me',
        **settings: Any,
    ) -> swift._Connection:
        return swift._Connection(endpoint, _settings(**settings))

    def test_go_through_the_proxy_of_the_environment(self) -> None:
        for scheme, base in (
                ('https', ''), ('http', 'http://swift.example.org')):
            proxy = f'{scheme}_proxy'
            endpoint = f'{scheme}://swift.example.org/v1/AUTH_me'
            with fixtures.EnvironmentVariable(proxy, 'http://proxy:8080'):
                connection = self.connection(endpoint)

                self.assertEqual('proxy', connection._pool.proxy.host)
                # A proxy is asked for URLs, unless it is asked for a tunnel.
                self.assertEqual(base, connection._base)

                with fixtures.EnvironmentVariable('no_proxy', 'example.org'):
                    self.assertIsNone(self.connection(endpoint)._pool.proxy)

    def test_that_can_not_be_made_name_the_options(self) -> None:
        for endpoint, settings in (
                ('ftp://swift/v1/AUTH_me', {}),
                ('http://[swift/v1/AUTH_me', {}),
                ('https://swift/v1/AUTH_me', {'verify': '/no/such/file'})):
            transport = swift.SwiftTransport(_settings(
                endpoint_override=endpoint, **settings))

            error = self.assertRaises(
                errors.SwiftError, transport.request, 'GET')

            self.assertNotIsInstance(error, errors.Unanswered)
            self.assertRegex(str(error), 'endpoint')


class TestRequests(TransportTest):

    def test_are_quoted_and_answered_with_small_header_names(self) -> None:
        transport = swift.SwiftTransport(_settings())

        answer = transport.request(
            'PUT', 'a:ü%/b', 'c/d ?', query={'marker': 'e&f'},
            headers={'If-None-Match': '*'}, body=b'x')

        self.assertEqual((200, {'x-timestamp': '1'}, b'body'), answer)
        self.connection.request.assert_called_once_with(
            'PUT', '/v1/AUTH_me/a%3A%C3%BC%25%2Fb/c/d%20%3F?marker=e%26f',
            data=b'x',
            headers={'If-None-Match': '*', 'X-Auth-Token': 'token-1'})

    def test_share_a_thread_s_connection(self) -> None:
        self.answers(200, 200)
        transport = swift.SwiftTransport(_settings())

        transport.request('GET')
        transport.request('GET')

        self.assertEqual(1, self.connect.call_count)

    def test_are_of_an_endpoint_that_ends_in_a_slash_or_not(self) -> None:
        transport = swift.SwiftTransport(
            _settings(endpoint_override='http://swift/v1/AUTH_me/'))

        transport.request('GET', 'c')

        self.assertEqual(
            ('GET', '/v1/AUTH_me/c'), self.connection.request.call_args.args)

    def test_begin_with_a_new_login_after_all_was_closed(self) -> None:
        logins: list[Login] = []

        def make_auth() -> Login:
            logins.append(Login())
            return logins[-1]

        self.answers(200, 200, 200)
        transport = swift.SwiftTransport(_settings(make_auth=make_auth))
        for _ in range(2):
            transport.request('GET')
        self.assertEqual(1, len(logins))
        transport.close()

        transport.request('GET')

        self.assertEqual(2, len(logins))

    def test_with_an_expired_token_are_sent_again_once(self) -> None:
        self.answers(401, 200)
        transport = swift.SwiftTransport(_settings())

        self.assertEqual(200, transport.request('GET').status)
        self.assertEqual(['token-1', 'token-2'], self.tokens())

    def test_refused_for_good_say_so(self) -> None:
        for statuses in ([401, 401], [403]):
            self.connection.request.reset_mock()
            self.answers(*statuses)

            error = self.assertRaises(
                errors.Unauthorized,
                swift.SwiftTransport(_settings()).request, 'GET')

            self.assertIn(str(statuses[0]), str(error))
            self.assertNotIn('token', str(error))
            self.assertEqual(len(statuses), len(self.tokens()))

    def test_lose_no_token_that_another_thread_renewed(self) -> None:
        login = Login()
        transport = swift.SwiftTransport(_settings(make_auth=lambda: login))

        def refused_late(*args: Any, **kwargs: Any) -> Any:
            # Another thread was refused with the same token, and is back.
            if login.tokens == 1:
                other = transport._login.get()
                other.renew('token-1')
                other.get()
                return types.SimpleNamespace(
                    status=401, headers={}, data=b'')
            return types.SimpleNamespace(
                status=200, headers={}, data=b'')

        self.connection.request.side_effect = refused_late

        self.assertEqual(200, transport.request('GET').status)
        self.assertEqual(2, login.tokens)


class TestErrors(TransportTest):

    def test_of_connections_leave_it_open_whether_it_took_effect(
        self,
    ) -> None:
        raised = [
            urllib3.exceptions.ProtocolError('lost'),
            urllib3.exceptions.SSLError('lost'),
            urllib3.exceptions.DecodeError('lost'),
            urllib3.exceptions.ReadTimeoutError(
                mock.Mock(), '/', 'lost'),
            urllib3.exceptions.ConnectTimeoutError('lost'),
            urllib3.exceptions.ProxyError('lost', OSError()),
            # This one is a ValueError, too.
            urllib3.exceptions.ResponseNotChunked('lost'),
            OSError('lost'), TimeoutError('lost'),
            socket.gaierror('lost'), ConnectionResetError('lost')]
        for error in raised:
            self.connection.request.side_effect = error

            found = self.assertRaises(
                errors.Unanswered,
                swift.SwiftTransport(_settings()).request, 'GET')

            self.assertIn(type(error).__name__, str(found))
            self.assertIs(error, found.__cause__)

    def test_name_no_addresses(self) -> None:
        """Zaqar shows them to whoever posts, or uses its WebSocket."""
        refused = urllib3.exceptions.NewConnectionError(
            mock.Mock(host='proxy.inside', port=8080),
            'to proxy.inside: [Errno 111] Connection refused')
        refused.__cause__ = ConnectionRefusedError(111, 'Connection refused')
        self.connection.request.side_effect = refused
        login = mock.Mock()
        login.get_token.side_effect = ksa_errors.ConnectFailure(
            'Unable to establish connection to http://keystone.inside')
        for settings, expected in (
                (_settings(), 'PUT c/o was not answered: NewConnectionError: '
                              'Connection refused'),
                (_settings(make_auth=lambda: login),
                 'authentication failed: ConnectFailure')):
            found = self.assertRaises(
                errors.Unanswered, swift.SwiftTransport(settings).request,
                'PUT', 'c', 'o')

            self.assertEqual(expected, str(found))

    def test_name_nobody_that_a_certificate_is_not_for(self) -> None:
        distrust = ssl.SSLCertVerificationError(1, 'failed')
        distrust.verify_message = (
            'Hostname mismatch, certificate is not valid for '
            "'proxy.inside'.")
        self.connection.request.side_effect = (
            urllib3.exceptions.SSLError(distrust))
        self.connection.request.side_effect.__cause__ = distrust

        found = self.assertRaises(
            errors.Untrusted, swift.SwiftTransport(_settings()).request,
            'GET')

        self.assertIn('SSLError: Hostname mismatch', str(found))
        self.assertNotIn('proxy.inside', str(found))

    def test_of_what_was_never_sent_say_that_it_did_no_harm(self) -> None:
        refused = urllib3.exceptions.ProtocolError('refused')
        refused.__context__ = ConnectionRefusedError(111, 'refused')
        for error, harmless in (
                (refused, True),
                (urllib3.exceptions.ConnectTimeoutError('slow'), True),
                (socket.gaierror('no such host'), True),
                (urllib3.exceptions.ReadTimeoutError(
                     mock.Mock(), '/', 'slow'), False),
                (ConnectionResetError('lost'), False)):
            self.connection.request.side_effect = error

            found = self.assertRaises(
                errors.Unanswered,
                swift.SwiftTransport(_settings()).request, 'PUT')

            self.assertEqual(harmless, found.harmless, error)

    def test_of_keystone_are_translated(self) -> None:
        for error, expected in (
                (ksa_errors.Unauthorized('no'), errors.Unauthorized),
                (ksa_errors.NotFound('no'), errors.Unauthorized),
                (ksa_errors.EndpointNotFound('no'), errors.Unauthorized),
                (ksa_errors.ServiceUnavailable('no'), errors.Unanswered),
                (ksa_errors.ConnectFailure('no'), errors.Unanswered),
                (ksa_errors.ConnectTimeout('no'), errors.Unanswered),
                (ksa_errors.DiscoveryFailure('no'), errors.Unanswered)):
            login = mock.Mock()
            login.get_token.side_effect = error

            self.assertRaises(expected, swift.SwiftTransport(
                _settings(make_auth=lambda login=login: login)).request,
                'GET')
            self.assertEqual(1, login.get_token.call_count)

    def test_of_a_certificate_are_not_taken_for_silence(self) -> None:
        distrust = ssl.SSLCertVerificationError('self-signed certificate')
        for error in (urllib3.exceptions.SSLError(distrust),
                      ksa_errors.SSLError('no')):
            error.__cause__ = distrust
            self.connection.request.side_effect = error

            found = self.assertRaises(
                errors.SwiftError,
                swift.SwiftTransport(_settings()).request, 'GET')

            self.assertNotIsInstance(found, errors.Unanswered)
            self.assertIn('cafile', str(found))

    def test_of_credentials_are_not_asked_for_again_at_once(self) -> None:
        login = mock.Mock()
        login.get_token.side_effect = ksa_errors.Unauthorized('no')
        now = self.useFixture(fixtures.MockPatch(
            'time.monotonic', return_value=100.0)).mock
        transport = swift.SwiftTransport(_settings(make_auth=lambda: login))

        for _ in range(3):
            self.assertRaises(errors.Unauthorized, transport.request, 'GET')
        self.assertEqual(1, login.get_token.call_count)

        now.return_value += 3
        self.assertRaises(errors.Unauthorized, transport.request, 'GET')
        self.assertEqual(2, login.get_token.call_count)

    def test_of_revoked_credentials_are_shared_by_all_who_had_them(
        self,
    ) -> None:
        # However late a thread comes.
        self.useFixture(fixtures.MonkeyPatch(
            'marconi_swift.store.swift._BARRED', 60))
        login, all_sent = mock.Mock(), threading.Barrier(8, timeout=10)
        login.get_token.return_value = 'token'

        def revoke() -> None:
            login.get_token.side_effect = ksa_errors.Unauthorized('no')
            login.get_token.reset_mock()

        def refuse(*args: Any, **kwargs: Any) -> Any:
            all_sent.wait()
            return types.SimpleNamespace(status=401, headers={}, data=b'')

        login.invalidate.side_effect = revoke
        self.connection.request.side_effect = refuse
        transport = swift.SwiftTransport(_settings(make_auth=lambda: login))

        with futures.ThreadPoolExecutor(8) as threads:
            asked = [threads.submit(transport.request, 'GET')
                     for _ in range(8)]

        self.assertEqual(
            {errors.Unauthorized}, {type(each.exception()) for each in asked})
        self.assertEqual(1, login.invalidate.call_count)
        self.assertEqual(1, login.get_token.call_count)

    def test_of_a_silent_keystone_are_over_when_it_answers(self) -> None:
        login = mock.Mock()
        login.get_token.side_effect = [
            ksa_errors.ConnectTimeout('no'), 'token']
        transport = swift.SwiftTransport(_settings(make_auth=lambda: login))

        self.assertRaises(errors.Unreachable, transport.request, 'GET')
        self.assertEqual(200, transport.request('GET').status)

    def test_of_a_silent_keystone_are_shared_by_those_who_wait(self) -> None:
        login, lock = mock.Mock(), _CountingLock()

        def fail_when_all_wait(session: Any) -> str:
            for _ in range(8):
                lock.waiting.acquire()
            raise ksa_errors.ConnectTimeout('no')

        login.get_token.side_effect = fail_when_all_wait
        transport = swift.SwiftTransport(_settings(make_auth=lambda: login))
        transport._login.get()._lock = lock  # type: ignore[assignment]

        with futures.ThreadPoolExecutor(8) as threads:
            asked = [threads.submit(transport.request, 'GET')
                     for _ in range(8)]

        self.assertEqual(
            {errors.Unreachable}, {type(each.exception()) for each in asked})
        self.assertEqual(1, login.get_token.call_count)

    def test_of_a_catalogue_without_swift_name_the_options(self) -> None:
        error = self.assertRaises(errors.Unauthorized, swift.SwiftTransport(
            _settings(endpoint_override=None,
                      endpoint_filter={'region_name': 'nowhere'})).request,
            'GET')

        self.assertIn('nowhere', str(error))
        self.assertIn('endpoint_override', str(error))

    def test_of_a_catalogue_without_the_region_name_the_options(self) -> None:
        """keystoneauth1's own plugins raise where others return None."""
        login = mock.Mock()
        login.get_endpoint.side_effect = ksa_errors.EndpointNotFound(
            'internal endpoint in nowhere not found')

        error = self.assertRaises(errors.Unauthorized, swift.SwiftTransport(
            _settings(endpoint_override=None,
                      make_auth=lambda: login)).request, 'GET')

        self.assertIn('nowhere', str(error))
        self.assertIn('endpoint_override', str(error))
