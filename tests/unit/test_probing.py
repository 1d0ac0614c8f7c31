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
"""What the probe of health says, and what is left of it."""

import time

import fixtures
import testtools
from zaqar.storage import pipeline

from marconi_swift import names
from marconi_swift.data import probing
from marconi_swift.store import errors
from tests.fixtures import conf


class ProbeTest(testtools.TestCase):

    def setUp(self) -> None:
        super().setUp()
        self.drivers = self.useFixture(conf.FakeDrivers(retries=0))
        self.data, self.swift = self.drivers.data, self.drivers.swift
        self.useFixture(fixtures.FakeLogger())
        self.queues = pipeline.DataDriver(
            self.drivers.conf, self.data, self.drivers.control,
        ).queue_controller

    def left(self) -> set[str]:
        """Names of queues that something is left of."""
        store = self.data.account.store
        places = (names.parse_container('marconi', container.name)
                  for container in store.containers(''))
        recorded = next(self.queues.list(project=probing.PROJECT))
        return {place.name for place in places if place and place.name} | {
            queue['name'] for queue in recorded}

    def leave(self, age: float) -> str:
        """Leave what somebody leaves who dies in a probe."""
        name = names.first_id(time.time() - age)
        self.queues.create(name, project=probing.PROJECT)
        self.data.message_controller.post(
            name, [{'ttl': 60, 'body': 1}], 'x', project=probing.PROJECT)
        self.data.claim_controller.create(
            name, {'ttl': 60, 'grace': 60}, project=probing.PROJECT)
        return name

    def failed(self) -> list[str]:
        status = self.data.health()['operation_status']
        self.tried = set(status)
        return [name for name, step in status.items()
                if not step['succeeded']]

    def test_clears_what_former_ones_left(self) -> None:
        self.leave(age=probing.OVER + 60)
        unrecorded = self.leave(age=probing.OVER + 120)
        self.drivers.control.queue_controller.delete(
            unrecorded, project=probing.PROJECT)
        for kind in (names.messages, names.claims):
            # What is left when a deletion is cut short.
            self.data.account.store.make_container(
                kind('marconi', probing.PROJECT, names.first_id(
                    1e9 + len(self.left()))), None)
        uncontained = names.first_id(1e9)
        self.drivers.control.queue_controller.create(
            uncontained, project=probing.PROJECT)

        self.assertEqual([], self.failed())

        self.assertEqual(set(), self.left())

    def test_leaves_others_alone(self) -> None:
        under_way = self.leave(age=60)
        self.queues.create('q', project=probing.PROJECT)
        self.queues.create(names.first_id(1e9), project='p')

        self.assertEqual([], self.failed())

        self.assertEqual({under_way, 'q', names.first_id(1e9)}, self.left())

    def test_goes_on_when_a_claim_fails(self) -> None:
        self.useFixture(fixtures.MonkeyPatch(
            'marconi_swift.data.claims.ClaimController.create', self.fail_))

        self.assertEqual(['claim_messages'], self.failed())
        # There is no claim to try these with.
        self.assertEqual(set(), self.tried & {
            'delete_messages', 'delete_claim'})

        self.assertEqual(set(), self.left())

    def test_removes_a_queue_that_was_made_with_an_error(self) -> None:
        create = self.drivers.control.queue_controller.create

        def fail(*args: object, **kwargs: object) -> None:
            create(*args, **kwargs)
            self.fail_()

        self.useFixture(fixtures.MonkeyPatch(
            'marconi_swift.control.queues.QueueController.create',
            staticmethod(fail)))

        self.assertEqual(['create_queue'], self.failed())

        self.assertEqual(set(), self.left())

    def test_tells_what_it_can_when_nothing_can_be_cleared(self) -> None:
        self.useFixture(fixtures.MonkeyPatch(
            'marconi_swift.data.probing.clear', self.fail_))

        self.assertEqual([], self.failed())

    def fail_(self, *args: object, **kwargs: object) -> None:
        raise errors.SwiftError('No.')
