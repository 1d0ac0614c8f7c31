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

"""Pools, flavors, and queues that are made in them."""

from typing import Any

from tests.fixtures import cloud


class PoolsTest(cloud.CloudTest):

    def pool(self, weight: int = 0) -> str:
        """Make a pool that no queue gets by chance; return its name."""
        name = self.name()
        self.admin.put(f'/pools/{name}', {
            'uri': self.uri(name), 'weight': weight}, expect=201)
        self.addCleanup(self.admin.ask, 'DELETE', f'/pools/{name}')
        return name

    def uri(self, name: str) -> str:
        """Return a URI with containers of its own."""
        return f'marconi-swift://?container_prefix={name[-25:]}'

    def flavor(self, *pools: str) -> str:
        name = self.name()
        self.admin.put(
            f'/flavors/{name}', {'pool_list': list(pools)}, expect=201)
        self.addCleanup(self.admin.ask, 'DELETE', f'/flavors/{name}')
        return name

    def names(self, kind: str) -> list[str]:
        found = self.admin.get(f'/{kind}?limit=20')
        return [each['name'] for each in found[kind]]

    def test_one_comes_back(self) -> None:
        name = self.pool()

        found = self.admin.get(f'/pools/{name}')

        self.assertEqual(self.uri(name), found['uri'])
        self.assertEqual(0, found['weight'])
        self.assertIn(name, self.names('pools'))

    def test_one_is_changed(self) -> None:
        name = self.pool()

        self.admin.patch(f'/pools/{name}', {'weight': 7})

        self.assertEqual(7, self.admin.get(f'/pools/{name}')['weight'])
        self.admin.patch(f'/pools/{name}', {'weight': 0})

    def test_a_deleted_one_is_gone(self) -> None:
        name = self.pool()

        self.admin.delete(f'/pools/{name}')

        self.admin.get(f'/pools/{name}', expect=404)

    def test_one_that_can_not_work_is_refused(self) -> None:
        for uri in ('marconi-swift://?no_such_option=1',
                    'marconi-swift://?auth_section=nowhere'):
            self.admin.put(f'/pools/{self.name()}', {
                'uri': uri, 'weight': 1}, expect=400)

    def test_flavors_come_back(self) -> None:
        pool = self.pool()
        name = self.flavor(pool)

        found = self.admin.get(f'/flavors/{name}')

        self.assertEqual([pool], found['pool_list'])
        self.assertIn(name, self.names('flavors'))

    def test_a_pool_of_a_flavor_stays(self) -> None:
        pool = self.pool()
        self.flavor(pool)

        self.admin.delete(f'/pools/{pool}', expect=403)

    def test_a_queue_of_a_flavor_works_in_its_pool(self) -> None:
        # A flavor is known in the project that made it, and nowhere else.
        flavor = self.flavor(self.pool(weight=1))
        name = self.queue(self.admin, _flavor=flavor)
        self.send(name, *range(5), person=self.admin)

        claimed = self.claim(name, self.admin, limit=2)
        self.admin.delete(cloud.path_of(claimed[0]['href']))

        self.assertEqual(4, self.total(name, self.admin))
        self.assertEqual([2, 3, 4], self.bodies(name, self.admin))

    def test_a_queue_of_no_such_flavor_is_refused(self) -> None:
        self.demo.put(
            f'/queues/{self.name()}', {'_flavor': self.name()}, expect=400)

    def test_a_flavor_of_another_project_is_none(self) -> None:
        flavor = self.flavor(self.pool())

        self.demo.put(
            f'/queues/{self.name()}', {'_flavor': flavor}, expect=400)

    def test_they_are_for_administrators(self) -> None:
        name = self.pool()
        body: Any = {'uri': self.uri(name), 'weight': 1}
        for method, path, sent in (
            ('GET', '/pools', None),
            ('GET', f'/pools/{name}', None),
            ('PUT', f'/pools/{name}', body),
            ('PATCH', f'/pools/{name}', {'weight': 9}),
            ('DELETE', f'/pools/{name}', None),
            ('PUT', '/flavors/mine', {'pool_list': [name]}),
            ('DELETE', '/flavors/mine', None),
        ):
            self.demo.ask(method, path, sent, expect=403)

        self.assertEqual(0, self.admin.get(f'/pools/{name}')['weight'])
