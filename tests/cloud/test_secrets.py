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

"""No secret of a cloud's is logged, or told to whom it does not belong."""

import re
from typing import Any
from urllib import parse

import fixtures
import testtools
from zaqar.storage import errors

from marconi_swift import driver
from marconi_swift import options
from marconi_swift.standalone import keystone as keystones
from marconi_swift.standalone import swift as swifts
from tests.fixtures import cloud
from tests.fixtures import conf
from tests.fixtures import logs

#: A token of Keystone's; clients may log what it begins with.
_TOKEN = re.compile(r'gAAAAA[\w-]{40}')

_PROJECT = 'project'

#: A section of Zaqar's configuration, which a pool's URI can name.
_SECTION = 'kept'


def credential(keystone: keystones.KeystoneServer, name: str) -> Any:
    """Make an application credential of the driver's user."""
    session = keystone.session(keystones.DRIVER)
    return session.post(
        f'{keystone.url}/users/{session.get_user_id()}'
        '/application_credentials',
        json={'application_credential': {'name': name}},
        log=False,  # Keystone tells the secret, this once.
    ).json()['application_credential']


def by_credential(
    keystone: keystones.KeystoneServer, made: dict[str, str],
) -> dict[str, str]:
    """Return the options for being let in by an application credential."""
    return {
        'auth_type': 'v3applicationcredential', 'auth_url': keystone.url,
        'application_credential_id': made['id'],
        'application_credential_secret': made['secret']}


class DriverSecretsTest(testtools.TestCase):
    """The driver in this process, with every way to log in."""

    def setUp(self) -> None:
        super().setUp()
        stack = cloud.running()
        self.keystone = stack.keystone
        self.login = stack.swift.login
        self.log = self.useFixture(logs.EveryLogger())

    def drivers(self, login: dict[str, str]) -> driver.DataDriver:
        drivers = self.useFixture(
            conf.DriversWith(container_prefix='secrets', **login))
        found: driver.DataDriver = drivers.data
        return found

    def work(self, data: driver.DataDriver) -> None:
        data.control_driver.queue_controller.create('q', project=_PROJECT)
        [message] = data.message_controller.post(
            'q', [{'ttl': 300, 'body': 1}], 'a client', _PROJECT)
        data.claim_controller.create('q', {'ttl': 60, 'grace': 60}, _PROJECT)
        data.message_controller.get('q', message, _PROJECT)

    def assert_works(self, login: dict[str, str], secret: str) -> None:
        self.work(self.drivers(login))

        logged = self.log.output
        # The requests are logged, so that what is in them could be.
        self.assertIn('"PUT /v1/', logged)
        self.assertIn(self.keystone.url, logged)
        self.assertNotIn(secret, logged)
        self.assertIsNone(_TOKEN.search(logged))

    def assert_refused(self, login: dict[str, str], secret: str) -> None:
        error = self.assertRaises(
            errors.ConnectionError, self.work, self.drivers(login))

        self.assertNotIn(secret, str(error))
        self.assertNotIn(secret, self.log.output)

    def by_token(self, token: str) -> dict[str, str]:
        login = {key: self.login[key] for key in (
            'auth_url', 'project_name', 'project_domain_id')}
        return {**login, 'auth_type': 'v3token', 'token': token}

    def test_a_password(self) -> None:
        self.assert_works(self.login, self.login['password'])

    def test_a_wrong_password(self) -> None:
        wrong = 'not-the-pass-word'
        self.assert_refused({**self.login, 'password': wrong}, wrong)

    def test_an_application_credential(self) -> None:
        made = credential(self.keystone, self.id())
        self.assert_works(
            by_credential(self.keystone, made), made['secret'])

    def test_a_wrong_application_credential(self) -> None:
        wrong = 'not-the-se-cret'
        made = credential(self.keystone, self.id())
        self.assert_refused(by_credential(
            self.keystone, {**made, 'secret': wrong}), wrong)

    def test_a_token(self) -> None:
        token = self.keystone.session(keystones.DRIVER).get_token() or ''
        self.assertIsNotNone(_TOKEN.match(token))
        self.assert_works(self.by_token(token), token)

    def test_a_wrong_token(self) -> None:
        wrong = 'gAAAAA' + 'x' * 200
        self.assert_refused(self.by_token(wrong), wrong)


class ServiceSecretsTest(testtools.TestCase):
    """Zaqar with ``debug = true``, and all that its libraries log, too."""

    def setUp(self) -> None:
        super().setUp()
        self.stack = cloud.start(
            cloud.fresh_folder(), pooling=True, debug=True)
        keystone = self.stack.keystone
        self.secret = credential(keystone, self.id())
        # oslo.config reads these as if they stood in zaqar.conf.
        self.set('DEFAULT', {'default_log_levels': ','.join(
            f'{name}=DEBUG' for name in logs.EveryLogger.QUIET)})
        self.set(_SECTION, by_credential(keystone, self.secret))
        self.stack.zaqar.stop()
        self.stack.zaqar.start()
        self.admin, self.demo = (
            cloud.Person(keystone.clouds, name) for name in ('admin', 'demo'))
        self.told: list[Any] = []

    def set(self, group: str, values: dict[str, str]) -> None:
        for name, value in values.items():
            self.useFixture(fixtures.EnvironmentVariable(
                f'OS_{group}__{name}'.upper(), value))

    def ask(
        self, method: str, path: str, body: Any = None, *, expect: int,
        **kwargs: Any,
    ) -> Any:
        """Ask as who administers nothing, and remember what is answered."""
        answer = self.demo.ask(method, path, body, expect=expect, **kwargs)
        self.told.append(answer.body)
        return answer.body

    def test_nothing_shows_any(self) -> None:
        login = self.stack.swift.login
        for name, given in (
                ('kept', {'auth_section': _SECTION}), ('told', login)):
            self.work_in(name, given)
        wrong = 'not-the-pass-word'
        self.admin.put('/pools/wrong', {
            'weight': 1, 'uri': self.uri(
                'wrong', {**login, 'password': wrong})}, expect=400)
        self.be_refused()
        kept = self.admin.get('/pools/kept?detailed=true')
        self.admin.get('/health')
        self.stack.swift.processes[swifts.PROXY].kill()
        self.ask('GET', '/queues/kept/messages?echo=true', expect=503)
        self.ask('POST', '/queues/told/claims', expect=503)

        self.assertEqual(self.uri('kept', {'auth_section': _SECTION}),
                         kept['uri'])
        logged = self.logged()
        # The requests are logged, so that what is in them could be.
        self.assertIn('"PUT /v1/AUTH_', logged)
        for secret in (*self.secrets(), wrong):
            self.assertNotIn(secret, str(self.told))
            self.assertNotIn(secret, logged)
        self.assertIsNone(_TOKEN.search(str(self.told) + logged))

    def work_in(self, name: str, given: dict[str, str]) -> None:
        """Work in a new pool, the only one that is given queues."""
        self.admin.put(f'/pools/{name}', {
            'weight': 1, 'uri': self.uri(name, given)}, expect=201)
        self.work(name)
        self.admin.patch(f'/pools/{name}', {'weight': 0})
        self.assertIn(f'/{name}%3Amessages%3A', self.logged())

    def uri(self, name: str, given: dict[str, str]) -> str:
        query = parse.urlencode({'container_prefix': name, **given})
        return f'{options.SCHEME}://?{query}'

    def work(self, name: str) -> None:
        """Do what users do with a queue."""
        path = f'/queues/{name}'
        self.ask('PUT', path, {}, expect=201)
        self.ask('POST', f'{path}/messages', {'messages': [
            {'ttl': 300, 'body': 1}]}, expect=201)
        claimed = self.ask('POST', f'{path}/claims', expect=201)
        self.ask('DELETE', cloud.path_of(claimed['messages'][0]['href']),
                 expect=204)
        self.ask('POST', f'{path}/subscriptions', {
            'subscriber': 'http://127.0.0.1:9/', 'ttl': 300}, expect=201)
        for shown in ('', '/stats', '/messages?echo=true', '/subscriptions'):
            self.ask('GET', path + shown, expect=200)

    def be_refused(self) -> None:
        """Do what users may not, or not like that."""
        for path in ('/pools', '/pools/told', '/health'):
            self.ask('GET', path, expect=403)
        self.ask('PUT', '/queues/other', {'_flavor': 'none'}, expect=400)
        self.ask('POST', '/queues/told/messages', {'messages': 1}, expect=400)
        self.ask('GET', '/queues/told/messages/none', expect=404)
        for token in ('wrong', 'gAAAAA' + 'x' * 200):
            answer = self.demo.ask(
                'GET', '/queues', authenticated=False, expect=401,
                headers={'X-Auth-Token': token})
            self.told.append(answer.body)

    def secrets(self) -> list[str]:
        keystone = self.stack.keystone
        return [
            self.secret['secret'],
            self.stack.swift.site.secret('signed-urls'),
            *(keystone.login(user)['password'] for user in (
                keystones.ADMIN, *keystones.USERS)),
            *(person.session.get_token() for person in (
                self.admin, self.demo))]

    def logged(self) -> str:
        return ''.join(
            process.log.read_text()
            for process in self.stack.zaqar.processes.values())
