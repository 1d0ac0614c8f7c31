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

"""What Zaqar says of itself."""

from tests.fixtures import cloud


class HealthTest(cloud.CloudTest):

    def test_ping_is_answered(self) -> None:
        self.demo.get('/ping', expect=204)

    def test_the_home_document_names_queues(self) -> None:
        found = self.demo.get('/')

        self.assertIn('rel/queues', found['resources'])

    def test_the_catalogue_is_reached(self) -> None:
        found = self.admin.get('/health')

        self.assertIs(True, found['catalog_reachable'])

    def test_it_is_for_administrators(self) -> None:
        self.demo.get('/health', expect=403)

    def test_a_pool_says_what_works(self) -> None:
        name = self.name()
        self.admin.put(f'/pools/{name}', {
            'uri': f'marconi-swift://?container_prefix={name[-25:]}',
            'weight': 0})
        self.addCleanup(self.admin.delete, f'/pools/{name}')

        found = self.admin.get('/health')[name]

        self.assertIs(True, found['storage_reachable'])
        operations = found['operation_status']
        self.assertTrue(operations)
        for operation in operations.values():
            self.assertIs(True, operation['succeeded'], operations)
