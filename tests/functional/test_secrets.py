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

"""No credential of Swift's is logged, whatever is logged."""

import logging
import re
from typing import Any

import fixtures
import testtools
from zaqar.storage import errors

from marconi_swift import driver
from tests.fixtures import conf
from tests.fixtures import swift

#: A token of tempauth's: whoever has it may do everything in the account.
_TOKEN = re.compile('AUTH_tk[0-9a-f]{32}')


class RealSwiftSecretsTest(testtools.TestCase):
    """Every logger of the process writes all that it has to say."""

    def setUp(self) -> None:
        super().setUp()
        self.swift = self.useFixture(swift.RealSwift())
        self.log = self.useFixture(fixtures.FakeLogger(level=logging.DEBUG))
        # Zaqar's defaults keep these from saying much.
        for name in ('swiftclient', 'keystoneauth', 'urllib3', 'requests'):
            logger = logging.getLogger(name)
            self.addCleanup(logger.setLevel, logger.level)
            logger.setLevel(logging.DEBUG)

    def drivers(self, **settings: Any) -> driver.DataDriver:
        path = self.useFixture(fixtures.TempDir()).join('zaqar.conf')
        conf.write(path, **{
            'auth_type': 'v1password', 'auth_url': self.swift.auth_url,
            'username': self.swift.username,
            'password': self.swift.password, **settings})
        read = conf.read(path)
        control = driver.ControlDriver(read, None)
        self.addCleanup(control.close)
        data = driver.DataDriver(read, None, control)
        self.addCleanup(data.close)
        return data

    def work(self, data: driver.DataDriver) -> None:
        data.control_driver.queue_controller.create('q', project='p')
        [message] = data.message_controller.post(
            'q', [{'ttl': 300, 'body': 1}], 'a client', 'p')
        data.claim_controller.create('q', {'ttl': 60, 'grace': 60}, 'p')
        data.message_controller.get('q', message, 'p')

    def test_work_shows_none(self) -> None:
        self.work(self.drivers())

        logged = self.log.output
        # The requests are logged, so that what is in them could be.
        self.assertIn('"PUT /v1/', logged)
        self.assertNotIn(self.swift.password, logged)
        self.assertIsNone(_TOKEN.search(logged))

    def test_a_refusal_shows_none(self) -> None:
        wrong = 'not-the-pass-word'

        error = self.assertRaises(
            errors.ConnectionError, self.work, self.drivers(password=wrong))

        self.assertNotIn(wrong, str(error))
        self.assertNotIn(wrong, self.log.output)
