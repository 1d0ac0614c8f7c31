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

import re
from typing import Any
from urllib import parse

import testtools
from zaqar.storage import errors

from marconi_swift import driver
from marconi_swift import options
from tests.fixtures import conf
from tests.fixtures import logs
from tests.fixtures import swift
from tests.functional import test_pools

#: A token of tempauth's: whoever has it may do everything in the account.
_TOKEN = re.compile('AUTH_tk[0-9a-f]{32}')


class RealSwiftSecretsTest(testtools.TestCase):

    def setUp(self) -> None:
        super().setUp()
        self.swift = self.useFixture(swift.RealSwift())
        self.log = self.useFixture(logs.EveryLogger())

    def drivers(self, **settings: Any) -> driver.DataDriver:
        drivers = self.useFixture(conf.DriversWith(**{
            'auth_type': 'v1password', 'auth_url': self.swift.auth_url,
            'username': self.swift.username,
            'password': self.swift.password, **settings}))
        found: driver.DataDriver = drivers.data
        return found

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


class RealSwiftPoolSecretsTest(test_pools.PooledTest):

    def setUp(self) -> None:
        super().setUp()
        self.log = self.useFixture(logs.EveryLogger())
        self.password = self.accounts['one'].password

    def use(self, uri: str) -> list[Any]:
        """Use a pool; return all that anybody was shown of it."""
        self.register('one', uri)
        self.create('one', 'q')
        self.post('q', 'in the pool')
        [message] = self.claim('q')
        self.assertEqual({'marconi:messages:project:q': ['in the pool']},
                         self.stored(self.accounts['one']))
        shown = [self.ask('GET', path) for path in (
            'pools/one?detailed=true', 'pools?detailed=true', 'health',
            'flavors?detailed=true', 'queues/q', 'queues/q/stats')]
        self.assertIn('"PUT /v1/', self.log.output)
        return [message, *shown]

    def test_a_section_shows_none(self) -> None:
        uri = f'{options.SCHEME}://?auth_section=one'

        shown = self.use(uri)

        self.assertIn(uri, str(shown))
        self.assertNotIn(self.password, str(shown))
        self.assertNotIn(self.password, self.log.output)
        self.assertIsNone(_TOKEN.search(str(shown) + self.log.output))

    def test_a_uri_shows_its_own_to_those_who_ask_for_pools(self) -> None:
        """And to nobody else, and not to who reads the log."""
        account = self.credentials(self.accounts['one'])
        uri = f'{options.SCHEME}://?{parse.urlencode(account)}'

        _, pool, pools, *others = self.use(uri)

        self.assertEqual(uri, pool['uri'])
        self.assertEqual([uri], [each['uri'] for each in pools['pools']])
        self.assertNotIn(self.password, str(others))
        self.assertNotIn(self.password, self.log.output)
        self.assertIsNone(_TOKEN.search(self.log.output))

    def test_a_uri_that_does_not_work_shows_its_own_to_who_gave_it(
        self,
    ) -> None:
        wrong = 'not-the-pass-word'
        uri = f'{options.SCHEME}://?auth_section=one&password={wrong}'

        answer = self.ask('PUT', 'pools/one', {'uri': uri, 'weight': 1}, 400)

        self.assertIn(uri, answer['description'])
        self.assertNotIn(wrong, self.log.output)
