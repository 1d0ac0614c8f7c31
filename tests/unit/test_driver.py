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
"""The drivers as Zaqar loads and asks them."""

import json
import threading

import fixtures
from osprofiler import notifier
from osprofiler import profiler
import testtools
from testtools import matchers
from zaqar.common import errors as zaqar_errors
from zaqar.storage import utils

from marconi_swift import driver
from tests.fixtures import conf
from tests.fixtures import fake_swift


class TestDrivers(testtools.TestCase):

    def setUp(self) -> None:
        super().setUp()
        self.drivers = self.useFixture(conf.FakeDrivers())
        self.swift = self.drivers.swift

    def test_are_loaded_by_name(self) -> None:
        control = utils.load_storage_driver(
            self.drivers.conf, None, 'marconi-swift', control_mode=True)
        data = utils.load_storage_driver(
            self.drivers.conf, None, 'marconi-swift', control_driver=control)

        self.assertIsInstance(control, driver.ControlDriver)
        self.assertIsInstance(data, driver.DataDriver)

    def test_are_loaded_by_the_scheme_of_a_uri(self) -> None:
        self.assertIs(driver.DataDriver, utils.load_storage_impl(
            'marconi-swift://?auth_section=somewhere'))

    def test_do_nothing_before_they_are_used(self) -> None:
        threads = threading.active_count()

        data = driver.DataDriver(
            self.drivers.conf, None, self.drivers.control)

        self.assertIsNotNone(data.message_controller)
        self.assertIsNotNone(data.claim_controller)
        self.assertEqual(threads, threading.active_count())
        self.assertEqual([], self.swift.requests)

    def test_that_are_misconfigured_say_so_when_they_are_loaded(self) -> None:
        logged = self.useFixture(fixtures.FakeLogger())
        self.drivers.conf.set_override(
            'auth_type', 'magic', 'drivers:message_store:marconi-swift')

        self.assertRaises(
            zaqar_errors.InvalidDriver, utils.load_storage_driver,
            self.drivers.conf, None, 'marconi-swift',
            control_driver=self.drivers.control)

        self.assertIn("The auth_type 'magic' in "
                      '[drivers:message_store:marconi-swift] is no '
                      'authentication plugin', logged.output)

    def test_are_traced_if_they_are_told_to_be(self) -> None:
        traced: list[str] = []
        before = notifier.get()
        self.addCleanup(notifier.set, before)
        notifier.set(lambda info, *args, **kwargs: traced.append(
            info['name']))
        profiler.init('key')
        self.addCleanup(profiler.clean)
        for name in ('enabled', 'trace_message_store',
                     'trace_management_store'):
            self.drivers.conf.set_override(name, True, 'profiler')
            # osprofiler has one group of options for all configurations.
            self.addCleanup(
                self.drivers.conf.clear_override, name, 'profiler')
        control = driver.ControlDriver(self.drivers.conf, None)
        data = driver.DataDriver(self.drivers.conf, None, control)

        control.queue_controller.create('q')
        control.pools_controller.exists('p')
        data.claim_controller.create('q', {'ttl': 60, 'grace': 60})
        list(data.subscription_controller.list('q'))

        self.assertEqual(
            {f'marconi_swift_{name}_controller-{end}'
             for name in ('queues', 'pools', 'claim', 'subscription')
             for end in ('start', 'stop')}, set(traced))

    def test_make_all_containers_of_their_storage_policy(self) -> None:
        drivers = self.useFixture(conf.FakeDrivers(
            storage_policy='gold', containers_per_queue=2))
        data, swift = drivers.data, drivers.swift
        # Zaqar does not tell the message store of queues with pools.
        for queue in ('q', 'dead'):
            drivers.control.queue_controller.create(queue, {
                '_dead_letter_queue': 'dead', '_max_claim_count': 1})
        data.subscription_controller.create('q', 'http://here', 600, {})
        data.message_controller.post(
            'q', [{'ttl': 600, 'body': number, 'claim_count': 1}
                  for number in range(20)], None)
        # Those are moved, since they were claimed as often as may be.
        data.claim_controller.create('q', {'ttl': 60, 'grace': 60}, limit=20)
        data.message_controller.post('q', [{'ttl': 600, 'body': 1}], None)
        data.claim_controller.create('q', {'ttl': 60, 'grace': 60})

        made = {request.container: request.headers.get('x-storage-policy')
                for request in swift.requests
                if request.method == 'PUT' and request.name is None}

        self.assertEqual({container.name for container in
                          data.account.store.containers('')}, set(made))
        self.assertEqual({'gold'}, set(made.values()), made)
        self.assertThat(len(made), matchers.GreaterThan(8), made)

    def test_are_alive_if_the_account_answers(self) -> None:
        self.assertTrue(self.drivers.data.is_alive())
        self.swift.faults += [
            fake_swift.Fault(number, 'before', 503)
            for number in range(1, 10)]
        self.assertFalse(self.drivers.data.is_alive())

    def test_leave_nothing_behind_when_their_health_is_asked(self) -> None:
        health = self.drivers.data.health()

        self.assertTrue(health['storage_reachable'])
        status = health['operation_status']
        self.assertEqual(
            {'create_queue', 'post_messages', 'claim_messages',
             'list_messages', 'delete_messages', 'delete_claim',
             'bulk_delete_messages', 'delete_queue'}, set(status))
        self.assertTrue(all(step['succeeded'] for step in status.values()))
        listed = json.loads(self.swift.request(
            'GET', query={'format': 'json'}).body)
        containers = [row['name'] for row in listed]
        self.assertEqual(['marconi:elections', 'marconi:queues'], containers)
        for container in containers:
            self.assertEqual(
                [], self.drivers.data.account.store.page(container))
