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

"""How the driver gets into Swift, with a real Keystone to ask."""

import atexit
from collections.abc import Callable
import functools
import pathlib
import threading
import time
from typing import Any

import fixtures
import testtools
from zaqar.storage import errors as zaqar_errors

from marconi_swift import driver
from marconi_swift.standalone import keystone as keystones
from marconi_swift.standalone import swift as swifts
from marconi_swift.standalone import tallying
from marconi_swift.standalone import tls
from tests.fixtures import certificates
from tests.fixtures import cloud
from tests.fixtures import conf

# Seconds for which a token is good where it is to expire during a request.
BRIEF = 3

# Seconds after which something that should happen has not.
PATIENCE = 60.0

#: What comes by every few seconds, and is started by a test that waits for it.
DAEMONS = (*swifts.UPDATERS, swifts.EXPIRER)

PROJECT = 'project'
QUEUE = 'queue'


@functools.cache
def certificate() -> tls.Certificate:
    """Return a certificate for this machine, of an authority of our own."""
    return certificates.issue(pathlib.Path(cloud.fresh_folder()))


@functools.cache
def running(lifetime: int) -> swifts.SwiftCluster:
    """Return a Swift behind a Keystone, both with TLS, started.

    It asks Keystone about each token again. Its daemons do not run: they
    would keep a third of a processor busy until the last test of all.

    :param lifetime: seconds for which a token is good.
    """
    swift = swifts.SwiftCluster(
        cloud.fresh_folder(),
        keystone=keystones.KeystoneServer(
            token_lifetime=lifetime,
            certificate=certificate(),
            patience=cloud.PATIENCE,
        ),
        token_cache_time=-1,
        certificate=certificate(),
        tally=True,
        patience=cloud.PATIENCE,
    )
    swift.start()
    atexit.register(swift.stop)
    for daemon in DAEMONS:
        swift.processes[daemon].stop()
    return swift


class _Case(testtools.TestCase):

    LIFETIME = keystones.LIFETIME

    def setUp(self) -> None:
        super().setUp()
        self.swift = running(self.LIFETIME)
        assert self.swift.keystone
        self.keystone = self.swift.keystone
        self.admin = self.keystone.session(keystones.ADMIN)
        self.logins = 0
        self.logins = self.count_logins()

    def count_logins(self) -> int:
        """Return how often Keystone was asked for a token in this test."""
        # It logs a request after answering it, but before the next one.
        self.admin.get(self.keystone.url, authenticated=False)
        log = self.keystone.processes[keystones.NAME].log.read_text()
        return log.count('"POST /v3/auth/tokens ') - self.logins

    def drivers(self, **settings: Any) -> driver.DataDriver:
        """Make both drivers with the options of the stack, or others."""
        options = {**self.swift.login, **settings}
        drivers = self.useFixture(conf.DriversWith(**{
            name: value for name, value in options.items() if value}))
        found: driver.DataDriver = drivers.data
        return found

    def make_queue(self, data: driver.DataDriver) -> None:
        data.control_driver.queue_controller.create(QUEUE, project=PROJECT)

    def post(self, data: driver.DataDriver, count: int = 1) -> list[str]:
        """Post messages; return their ids."""
        return list(data.message_controller.post(
            QUEUE,
            [{'ttl': 300, 'body': number} for number in range(count)],
            'poster', PROJECT))

    def check_works(self, data: driver.DataDriver) -> None:
        self.make_queue(data)
        (identity,) = self.post(data)
        found = data.message_controller.get(QUEUE, identity, PROJECT)
        self.assertEqual(0, found['body'])

    def user_id(self) -> str:
        """Return the id of the user that the driver is."""
        session = self.keystone.session(keystones.DRIVER)
        return str(session.get_user_id())


class LoginTest(_Case):

    def test_a_password_is_enough(self) -> None:
        self.check_works(self.drivers())

    def test_one_token_serves_many_requests(self) -> None:
        data = self.drivers()
        self.check_works(data)
        before = self.count_logins()

        self.post(data, 20)

        self.assertEqual(before, self.count_logins())

    def test_an_application_credential_is_enough(self) -> None:
        session = self.keystone.session(keystones.DRIVER)
        made = session.post(
            f'{self.keystone.url}/users/{session.get_user_id()}'
            '/application_credentials',
            json={'application_credential': {'name': self.id()}},
        ).json()['application_credential']

        self.check_works(self.drivers(
            auth_type='v3applicationcredential',
            application_credential_id=made['id'],
            application_credential_secret=made['secret'],
            username=None, password=None, project_name=None,
            user_domain_id=None, project_domain_id=None))

    def test_the_user_needs_the_role_that_swift_wants(self) -> None:
        demo = self.keystone.login(keystones.DEMO)

        error = self.assertRaises(
            zaqar_errors.ConnectionError, self.post, self.drivers(**demo))

        self.assertIn('give the user of this driver a role', str(error))

    def test_a_revoked_token_is_replaced(self) -> None:
        data = self.drivers()
        self.check_works(data)

        # What an administrator does who suspects that it leaked.
        self.admin.patch(
            f'{self.keystone.url}/users/{self.user_id()}',
            json={'user': {'password': self.swift.login['password']}})
        self.wait_for_the_next_second()
        before = self.count_logins()
        self.check_works(data)

        # One for each store.
        self.assertEqual(2, self.count_logins() - before)

    def wait_for_the_next_second(self) -> None:
        # Tokens know the second in which they were made: those of the second
        # of the revocation are revoked, too.
        second = int(time.time())
        while int(time.time()) == second:
            time.sleep(0.02)


class ExpiryTest(_Case):

    LIFETIME = BRIEF

    def setUp(self) -> None:
        super().setUp()
        # Each request logs in anew. Where Keystone is slow, what has to be
        # done within seconds, for reasons that are not tested here, takes
        # more.
        self.useFixture(fixtures.MonkeyPatch(
            'marconi_swift.election._LIMIT', PATIENCE))

    def drivers(self, **settings: Any) -> driver.DataDriver:
        return super().drivers(post_time_limit=PATIENCE, **settings)

    def test_one_that_expires_between_requests_is_replaced(self) -> None:
        data = self.drivers()
        self.check_works(data)

        time.sleep(BRIEF + 1)

        self.check_works(data)

    def test_one_that_expires_on_its_way_is_replaced(self) -> None:
        data = self.drivers()
        self.check_works(data)
        tally = tallying.Tally(self.swift.url, certificate())
        tally.reset()
        self.addCleanup(tally.reset)
        tally.delay(BRIEF + 2)

        done = self.meanwhile(lambda: self.check_works(data))
        self.wait_for(lambda: tally.read().requests)
        tally.delay(0)

        self.assertIsNone(done())
        self.assertIn(
            401, [request.status for request in tally.read().requests])

    def meanwhile(self, task: Callable[[], None]) -> Callable[[], Any]:
        """Run something in a thread; return what waits and says how."""
        raised: list[BaseException] = []

        def run() -> None:
            try:
                task()
            except BaseException as error:
                raised.append(error)

        thread = threading.Thread(target=run)
        thread.start()

        def wait() -> BaseException | None:
            thread.join(PATIENCE)
            self.assertFalse(thread.is_alive())
            return raised[0] if raised else None

        return wait

    def wait_for(self, condition: Callable[[], Any]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not condition():
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.02)


class RefusalTest(_Case):

    def setUp(self) -> None:
        super().setUp()
        # However slow the machine: when credentials are tried again is not
        # tested here.
        self.useFixture(fixtures.MonkeyPatch(
            'marconi_swift.store.swift._BARRED', PATIENCE))

    def test_a_wrong_password_is_told_once(self) -> None:
        data = self.drivers(password='wrong')

        error = self.assertRaises(
            zaqar_errors.ConnectionError, self.post, data)

        self.assertIn('authentication failed', str(error))
        self.assertIn('password', str(error))
        self.assertIn('Check the auth_* options', str(error))

    def test_a_wrong_password_makes_no_storm(self) -> None:
        data = self.drivers(password='wrong')

        self.assertRaises(
            zaqar_errors.ConnectionError, self.post, data, 20)

        self.assertEqual(1, self.count_logins())

    def test_with_a_wrong_password_it_is_not_alive(self) -> None:
        data = self.drivers(password='wrong')

        self.assertFalse(data.is_alive())
        self.assertEqual(1, self.count_logins())

    def test_an_unknown_authority_is_refused(self) -> None:
        data = self.drivers(cafile=None)

        self.assertFalse(data.is_alive())
        self.assertEqual(0, self.count_logins())
        error = self.assertRaises(
            zaqar_errors.ConnectionError, self.post, data)
        self.assertIn('certificate', str(error))

    def test_swift_has_to_show_a_certificate_too(self) -> None:
        token = self.keystone.session(keystones.DRIVER).get_token()
        data = self.drivers(
            auth_type='admin_token', token=token, endpoint=self.swift.url,
            endpoint_override=f'{self.swift.url}/v1/AUTH_x', cafile=None,
            username=None, password=None, project_name=None, auth_url=None,
            user_domain_id=None, project_domain_id=None)

        error = self.assertRaises(
            zaqar_errors.ConnectionError, self.post, data)

        self.assertIn('certificate', str(error))
