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
"""Whom the connection to Swift trusts, and what it shows, over real TLS."""

from http import server
import ssl
import threading
from typing import Any

import fixtures
import testtools

from marconi_swift import driver
from marconi_swift.standalone import ports
from marconi_swift.standalone import tls
from marconi_swift.store import errors
from tests.fixtures import certificates
from tests.fixtures import conf

#: Variables of the environment that name other authorities.
_BUNDLES = ('REQUESTS_CA_BUNDLE', 'CURL_CA_BUNDLE')


class Server(fixtures.Fixture):
    """Answers every GET over TLS with what the client's certificate says.

    Gives its ``url``.

    :param certificate: what it shows.
    :param clients: the file of the authority whose certificates clients must
        show; None asks for none.
    """

    def __init__(
        self, certificate: tls.Certificate, clients: str | None = None,
    ) -> None:
        super().__init__()
        self._context = ssl.create_default_context(
            ssl.Purpose.CLIENT_AUTH, cafile=clients)
        self._context.load_cert_chain(
            certificate.certfile, certificate.keyfile)
        if clients:
            self._context.verify_mode = ssl.CERT_REQUIRED

    def _setUp(self) -> None:
        serving = server.ThreadingHTTPServer((ports.HOST, 0), _Handler)
        self.addCleanup(serving.server_close)
        # The handshake is then each thread's own, and no client's refusal
        # is an error of the server's.
        serving.socket = self._context.wrap_socket(
            serving.socket, server_side=True, do_handshake_on_connect=False)
        serving.handle_error = lambda *_: None  # type: ignore[method-assign]
        thread = threading.Thread(
            target=serving.serve_forever, kwargs={'poll_interval': 0.01})
        thread.start()
        self.addCleanup(thread.join)
        self.addCleanup(serving.shutdown)
        self.url = f'https://{ports.HOST}:{serving.server_address[1]}'


class _Handler(server.BaseHTTPRequestHandler):

    def do_GET(self) -> None:
        shown = self.connection.getpeercert()  # type: ignore[attr-defined]
        body = str(shown.get('subject') if shown else None).encode()
        self.send_response(200)
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


class CertificateTest(testtools.TestCase):

    def setUp(self) -> None:
        super().setUp()
        for name in (*_BUNDLES, 'https_proxy', 'HTTPS_PROXY', 'all_proxy',
                     'ALL_PROXY'):
            self.useFixture(fixtures.EnvironmentVariable(name, None))
        self.certificate = self.useFixture(certificates.Issued()).certificate
        self.stranger = self.useFixture(certificates.Issued()).certificate

    def ask(self, swift: Server, **settings: Any) -> str:
        """What a server answers to a driver with these options."""
        path = self.useFixture(fixtures.TempDir()).join('zaqar.conf')
        conf.write(path, auth_type='admin_token', token='token',
                   endpoint=f'{swift.url}/v1/AUTH_me', **settings)
        made = driver.DataDriver(conf.read(path), None, None)
        transport = driver.connect(made.account.settings)
        self.addCleanup(transport.close)
        return transport.request('GET').body.decode()

    def check(self, swift: Server, trusted: bool, **settings: Any) -> None:
        if trusted:
            self.assertEqual('None', self.ask(swift, **settings))
        else:
            self.assertRaises(
                errors.Untrusted, self.ask, swift, **settings)

    def test_the_authority_that_is_named_is_trusted_and_no_other(
        self,
    ) -> None:
        swift = self.useFixture(Server(self.certificate))

        self.check(swift, True, cafile=self.certificate.cafile)
        self.check(swift, False, cafile=self.stranger.cafile)
        self.check(swift, False)

    def test_nobody_has_to_be_trusted_where_nothing_is_verified(self) -> None:
        swift = self.useFixture(Server(self.certificate))
        self.useFixture(fixtures.WarningsFilter([{'action': 'ignore'}]))

        self.check(swift, True, insecure=True)

    def test_the_authorities_of_the_environment_are_trusted(self) -> None:
        swift = self.useFixture(Server(self.certificate))
        for name in _BUNDLES:
            with fixtures.EnvironmentVariable(name, self.certificate.cafile):
                self.check(swift, True)
                self.check(swift, False, cafile=self.stranger.cafile)

    def test_a_certificate_is_shown_to_who_asks_for_one(self) -> None:
        swift = self.useFixture(
            Server(self.certificate, clients=self.stranger.cafile))

        answer = self.ask(
            swift, cafile=self.certificate.cafile,
            certfile=self.stranger.certfile, keyfile=self.stranger.keyfile)

        self.assertIn('trustme', answer)
        self.assertRaises(
            errors.SwiftError, self.ask, swift,
            cafile=self.certificate.cafile)
