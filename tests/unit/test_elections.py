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
"""Elections by somebody who is slow, or not alone, at the worst moment."""

from collections.abc import Callable
import functools
import itertools
from typing import Any

import testtools

from marconi_swift import driver
from marconi_swift import names
from marconi_swift.store import errors
from tests.fixtures import clock
from tests.fixtures import conf
from tests.fixtures import fake_swift

#: Seconds after which an attempt, and the names that it left, are over.
_LIMIT, _VOID = 5, 20

_RECORD = 'p:q'


class ElectionTest(testtools.TestCase):

    def setUp(self) -> None:
        super().setUp()
        # What clocks may differ by hides no other wait.
        self.drivers = self.useFixture(conf.FakeDrivers(clock_skew=0))
        self.swift = self.drivers.swift
        self.clock = self.useFixture(clock.Clock())
        self.swift.clock = self.clock
        # So that there is every container.
        self.queues(self.drivers.control).create('first', project='p')

    @staticmethod
    def queues(control: driver.ControlDriver) -> Any:
        return control.queue_controller

    def create(self, metadata: dict[str, Any]) -> bool:
        """Create the queue, as another process does."""
        created: bool = self.queues(driver.ControlDriver(
            self.drivers.conf, None)).create('q', metadata, project='p')
        return created

    def meanwhile(
        self, happens: Callable[[], Any], step: str,
        of: Callable[[fake_swift.Request], bool], number: int = 1,
    ) -> None:
        """Have something happen at a step of the n-th such request."""
        matching = itertools.count(1)

        def on_step(at: str, request: fake_swift.Request) -> None:
            if at == step and of(request) and next(matching) == number:
                self.swift.on_step = None
                happens()

        self.swift.on_step = on_step


class TestElections(ElectionTest):

    def come_second(self) -> None:
        """Take so long that another process creates the queue meanwhile."""
        self.clock.sleep(_VOID)
        self.assertTrue(self.create({'by': 'another'}))

    def metadata(self) -> dict[str, Any]:
        found: dict[str, Any] = self.queues(self.drivers.control).get(
            'q', project='p')
        return found

    def test_write_nothing_that_they_decided_too_late(self) -> None:
        # The last of the looks at the first gate and at the record.
        self.meanwhile(
            self.come_second, 'answer',
            lambda request: request.method == 'HEAD', number=4)

        self.assertFalse(self.create({'by': 'me'}))
        self.assertEqual({'by': 'another'}, self.metadata())

    def test_do_not_say_who_won_if_it_was_written_too_late(self) -> None:
        self.meanwhile(
            self.come_second, 'arrive',
            lambda request: request.method == 'PUT'
            and request.name == _RECORD)

        self.assertRaises(errors.SwiftError, self.create, {'by': 'me'})

    def test_let_nobody_else_in_while_one_may_write(self) -> None:
        def nearly_come_second() -> None:
            self.clock.sleep(2 * _LIMIT - 1)
            self.create({'by': 'another'})

        self.meanwhile(
            nearly_come_second, 'arrive',
            lambda request: request.method == 'PUT'
            and request.name == _RECORD)

        self.assertRaises(errors.SwiftError, self.create, {'by': 'me'})

    def test_that_are_lost_leave_nothing_behind(self) -> None:
        # The first look at a gate.
        self.meanwhile(
            lambda: self.drivers.control.registry('queues').replace(
                _RECORD, {'project': 'p', 'name': 'q', 'metadata': {}}),
            'answer', lambda request: request.method == 'HEAD', number=2)

        self.assertFalse(self.create({'by': 'me'}))

        self.assertEqual([], self.drivers.control.account.store.page(
            'marconi:elections'))

    def test_write_nothing_again_when_it_is_too_late(self) -> None:
        def is_record(request: fake_swift.Request) -> bool:
            return request.method == 'PUT' and request.name == _RECORD

        # The other's comes first.
        self.swift.faults.append(fake_swift.Fault(
            2, 'after', errors.Unanswered('lost'), is_record))

        def lose() -> None:
            self.queues(self.drivers.control).delete('q', project='p')
            self.come_second()

        self.meanwhile(lose, 'answer', is_record)

        self.assertRaises(errors.SwiftError, self.create, {'by': 'me'})
        self.assertEqual({'by': 'another'}, self.metadata())

    def test_are_over_in_time_whatever_is_missing(self) -> None:
        for container in ('marconi:elections', 'marconi:queues'):
            self.swift.faults[:] = [
                fake_swift.Fault(number, 'before', 404, functools.partial(
                    lambda container, request: request.method == 'PUT'
                    and request.name is not None
                    and request.container == container, container))
                for number in range(1, 100)]
            began = self.clock.now

            self.assertRaises(errors.SwiftError, self.create, {'by': 'me'})

            self.assertLessEqual(self.clock.now - began, _LIMIT + 1)

    def test_are_left_to_who_came_last(self) -> None:
        """Of several at the same moment all but one turn back."""
        def overwrite() -> None:
            [gate] = [request for request in self.swift.requests
                      if request.method == 'PUT']
            self.swift.request(
                'PUT', gate.container, gate.name, headers={
                    'X-Object-Meta-Owner': 'another',
                    'X-Delete-At': gate.headers['x-delete-at']})
            self.swift.requests.clear()

        self.swift.requests.clear()
        self.meanwhile(overwrite, 'answer', lambda request: (
            request.method == 'PUT' and str(request.name).endswith('/1')))

        self.assertTrue(self.create({'by': 'me'}))

        entered = [request for request in self.swift.requests
                   if request.method == 'PUT'
                   and str(request.name).endswith('/2')]
        self.assertEqual(1, len(entered))

    def test_go_on_if_a_gate_can_not_be_given_back(self) -> None:
        def enter_second() -> None:
            [gate] = [request for request in self.swift.requests
                      if request.method == 'PUT']
            self.swift.request(
                'PUT', gate.container, str(gate.name)[:-1] + '2', headers={
                    'X-Object-Meta-Owner': 'another',
                    'X-Delete-At': gate.headers['x-delete-at']})

        self.swift.requests.clear()
        self.swift.faults.append(fake_swift.Fault(
            1, 'before', 503, lambda request: request.method == 'DELETE'))
        self.meanwhile(enter_second, 'answer', lambda request: (
            request.method == 'PUT' and str(request.name).endswith('/1')))

        self.assertTrue(self.create({'by': 'me'}))
        self.assertTrue(self.swift.faults[0].fired)


class TestSubscriptions(ElectionTest):
    """What is written by who won has two parts."""

    def subscribe(self) -> str | None:
        """Subscribe, as another process does."""
        made: str | None = driver.DataDriver(
            self.drivers.conf, None, self.drivers.control,
        ).subscription_controller.create(
            'q', 'http://me', 6000, {}, project='p')
        return made

    def come_second(self) -> None:
        self.clock.sleep(_VOID)
        self.made = self.subscribe()
        self.assertIsNotNone(self.made)

    def check_there_is_the_other(self) -> None:
        self.assertEqual([self.made], [each['id'] for each in next(
            self.drivers.data.subscription_controller.list('q', 'p'))])

    def test_are_not_written_when_it_is_too_late(self) -> None:
        self.meanwhile(self.come_second, 'answer', lambda request: (
            request.method == 'PUT'
            and request.name == names.subscriber('http://me')))

        self.assertRaises(errors.SwiftError, self.subscribe)

        self.check_there_is_the_other()

    def test_are_not_written_again_when_it_is_too_late(self) -> None:
        def is_subscription(request: fake_swift.Request) -> bool:
            return request.method == 'PUT' and str(
                request.name).startswith(names.subscription(''))

        def fail() -> None:
            self.come_second()
            # Only the one that is under way.
            raise errors.Unanswered('lost')

        self.meanwhile(fail, 'arrive', is_subscription)

        self.assertRaises(errors.SwiftError, self.subscribe)

        self.check_there_is_the_other()
