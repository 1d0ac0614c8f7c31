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
"""marconi-swift-manage check, on a Keystone and a Swift with TLS."""

from typing import Any

from marconi_swift.standalone import keystone as keystones
from tests.cloud import test_authentication
from tests.functional import test_check


class CloudCheckTest(test_check.CheckTest):

    def setUp(self) -> None:
        super().setUp()
        self.swift = test_authentication.running(keystones.LIFETIME)
        assert self.swift.keystone
        self.keystone = self.swift.keystone

    def login(self, **changed: Any) -> None:
        """Configure the options of the stack, or others."""
        self.configure({**self.swift.login, **changed})

    def test_what_works_is_ok(self) -> None:
        for daemon in test_authentication.DAEMONS:
            process = self.swift.processes[daemon]
            process.start()
            self.addCleanup(process.stop)
        self.login()

        self.assertEqual(0, self.check())

        self.assertEqual({'ok'}, {row['Result'] for row in self.found})

    def test_wrong_password(self) -> None:
        self.login(password='wrong')

        self.assert_fails('authentication', 'HTTP 401', 'password')

    def test_wrong_project(self) -> None:
        self.login(project_name='nowhere')

        self.assert_fails('authentication', '401', 'project')

    def test_auth_url_of_something_else(self) -> None:
        self.login(auth_url=f'{self.swift.url}/v3')

        self.assert_fails('authentication', 'HTTP 400', 'auth_url')

    def test_unknown_region(self) -> None:
        self.login(region_name='Atlantis')

        self.assert_fails(
            'authentication', 'endpoint for object-store service in Atlantis '
            'region not found', 'region_name')

    def test_untrusted_certificate(self) -> None:
        self.login(cafile=None)

        self.assert_fails('authentication', 'certificate', 'cafile')

    def test_no_role_of_an_operator(self) -> None:
        self.login(**self.keystone.login(keystones.DEMO))

        self.assert_fails('account', 'Swift answered 403', 'operator_roles')

    def test_unknown_storage_policy(self) -> None:
        self.login(storage_policy='golden')

        self.assert_fails('storage policy', 'golden', 'Policy-0, second')
