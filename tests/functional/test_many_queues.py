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
"""A cloud with many queues asks Swift as little as one with a few."""

from collections.abc import Callable
import json
from typing import Any

import testtools

from tests.fixtures import conf
from tests.fixtures import workers

PROJECTS, QUEUES = 50, 40


def name(project: int) -> str:
    return f'project-{project:02}'


class ManyQueuesTest(testtools.TestCase):

    def setUp(self) -> None:
        super().setUp()
        configured = self.useFixture(conf.ZaqarConf())
        self.tally = configured.swift.tally
        self.site = workers.Site(configured.path)
        self.queues = self.site.queues

    def fill(self, projects: range, queues: range) -> None:
        """Store queues as creating them leaves them."""
        registry = self.site.control.registry('queues')

        def put(place: tuple[str, str]) -> None:
            project, queue = place
            registry.replace(f'{project}:{queue}', {
                'project': project, 'name': queue, 'metadata': {}})

        self.site.control.account.store.each(
            put, [(name(project), f'queue-{queue:02}')
                  for project in projects for queue in queues])

    def requests(self, operation: Callable[[], Any]) -> list[str]:
        """What an operation asks of Swift, apart from names."""
        self.tally.reset()
        operation()
        return sorted(
            f'{request.method} {request.path.split("/")[3].split(":")[1]} '
            f'{request.query}' for request in self.tally.read().requests)

    def costs(self, queue: str) -> list[list[str]]:
        project = name(7)
        # Which is asked for now and then, where something is missing.
        for account in (self.site.data.account, self.site.control.account):
            account.store.check_account()
        return [self.requests(operation) for operation in (
            lambda: list(next(self.queues.list(project=project))),
            lambda: list(next(self.queues.list(
                project=project, detailed=True))),
            lambda: self.queues.create(queue, project=project),
            lambda: self.queues.get_metadata(queue, project=project),
            lambda: self.queues.exists('missing', project=project),
            lambda: self.queues.delete(queue, project=project))]

    def test_costs_do_not_grow_with_the_number_of_queues(self) -> None:
        self.fill(range(7, 8), range(10))
        self.costs('warm')
        few = self.costs('new')
        self.fill(range(PROJECTS), range(QUEUES))

        many = self.costs('other')

        self.assertEqual(few, many)
        self.assertEqual(1, len(many[0]))
        self.assertEqual(QUEUES, self.queues.calculate_resource_count(
            project=name(7)))
        marker, listed = None, []
        while not listed or marker:
            interaction = self.queues.list(
                project=name(49), marker=marker, limit=20)
            listed += [json.dumps(queue) for queue in next(interaction)]
            marker = next(interaction)
        self.assertEqual(sorted(set(listed)), listed)
        self.assertEqual(QUEUES, len(listed))
