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
"""What Zaqar's own tests of control planes do not ask for."""

from collections.abc import Callable
from concurrent import futures
import hashlib
import itertools
import json
import time
from typing import Any

import fixtures
from oslo_config import cfg
import testtools
from testtools import matchers
from zaqar.storage import errors
from zaqar.storage import utils

from marconi_swift import acceptable
from marconi_swift import driver
from marconi_swift import names
from marconi_swift.store import errors as store_errors
from tests.fixtures import conf
from tests.fixtures import fake_swift

_sleep = time.sleep


class ControlTest(testtools.TestCase):

    def setUp(self) -> None:
        super().setUp()
        self.drivers = self.useFixture(conf.FakeDrivers())
        self.control, self.swift = self.drivers.control, self.drivers.swift

    def another(self) -> driver.ControlDriver:
        """The control driver of another process."""
        return driver.ControlDriver(self.drivers.conf, None)

    def read_meanwhile(self, method: str, read: Callable[[], Any]) -> None:
        """Have something read before the first such request arrives."""
        def on_step(step: str, request: fake_swift.Request) -> None:
            if step == 'arrive' and request.method == method:
                self.swift.on_step = None
                read()

        self.swift.on_step = on_step

    def requests(self) -> list[str]:
        """Methods of the requests since the last time."""
        asked = [request.method for request in self.swift.requests]
        self.swift.requests.clear()
        return asked


class TestQueues(ControlTest):

    def setUp(self) -> None:
        super().setUp()
        self.queues = self.control.queue_controller
        self.queues.create('q', {'a': 1}, project='p')
        self.requests()

    def test_are_created_by_exactly_one(self) -> None:
        # Who meets others waits until they are through, at random.
        self.useFixture(fixtures.MonkeyPatch('time.sleep', _sleep))
        controllers = [self.another().queue_controller for _ in range(8)]
        with futures.ThreadPoolExecutor(8) as threads:
            for number in range(10):
                created = list(threads.map(
                    lambda each, name=f'new-{number}': each.create(
                        name, project='p'), controllers))
                self.assertEqual(1, created.count(True), created)

    def test_that_are_there_are_looked_for_once(self) -> None:
        self.assertFalse(self.queues.create('q', {'b': 2}, project='p'))

        self.assertEqual(['HEAD'], self.requests())
        self.assertEqual({'a': 1}, self.queues.get('q', project='p'))

    def test_metadata_are_read_once_a_moment(self) -> None:
        self.assertEqual({'a': 1}, self.queues.get_metadata('q', 'p'))
        self.assertEqual({'a': 1}, self.queues.get_metadata('q', 'p'))
        self.assertTrue(self.queues.exists('q', 'p'))

        self.assertEqual(['GET'], self.requests())

    def test_changes_of_this_process_are_seen_at_once(self) -> None:
        self.queues.get_metadata('q', 'p')
        self.queues.set_metadata('q', {'a': 2}, 'p')
        self.assertEqual({'a': 2}, self.queues.get_metadata('q', 'p'))
        self.queues.delete('q', 'p')
        self.assertRaises(errors.QueueDoesNotExist,
                          self.queues.get_metadata, 'q', 'p')

    def test_that_others_deleted_are_not_remembered_when_made_anew(
        self,
    ) -> None:
        self.queues.get_metadata('q', 'p')
        self.another().queue_controller.delete('q', 'p')

        self.assertTrue(self.queues.create('q', {'b': 2}, project='p'))

        self.assertEqual({'b': 2}, self.queues.get_metadata('q', 'p'))

    def test_that_others_deleted_are_forgotten_when_that_is_found(
        self,
    ) -> None:
        self.queues.get_metadata('q', 'p')
        self.another().queue_controller.delete('q', 'p')

        self.assertRaises(errors.QueueDoesNotExist,
                          self.queues.set_metadata, 'q', {'b': 2}, 'p')

        self.assertFalse(self.queues.exists('q', 'p'))

    def test_that_are_read_while_they_are_deleted_are_forgotten(self) -> None:
        self.read_meanwhile(
            'DELETE', lambda: self.queues.get_metadata('q', 'p'))

        self.queues.delete('q', 'p')

        self.assertFalse(self.queues.exists('q', 'p'))

    def test_are_read_at_their_newest(self) -> None:
        """A replica that missed a change may answer who asks for less."""
        self.queues.set_metadata('q', {'a': 2}, 'p')
        self.queues.get_metadata('q', 'p')
        self.queues.exists('other', 'p')

        looks = [request for request in self.swift.requests
                 if request.name and request.method in ('GET', 'HEAD')]
        # What is not there is looked for once more.
        self.assertEqual(['true'] * 4, [
            request.headers.get('x-newest') for request in looks])

    def test_are_listed_by_a_part_of_the_name(self) -> None:
        for name in ('q1', 'q2', 'r'):
            self.queues.create(name, {'a': 1}, project='p')
        self.queues.create('q3', {'a': 2}, project='p')

        for detailed in (False, True):
            for filter_, expected in (
                    ({}, ['q', 'q1', 'q2', 'q3']),
                    ({'a': 1}, ['q', 'q1', 'q2'])):
                listed = list(next(self.queues.list(
                    'p', name='q', kfilter=filter_, detailed=detailed)))

                self.assertEqual(
                    expected, [queue['name'] for queue in listed])
                self.assertEqual({detailed}, {
                    'metadata' in queue for queue in listed})

    def test_that_are_gone_when_they_are_read_are_nowhere(self) -> None:
        # Too long for its record's name to tell.
        self.queues.create('l' * 1000, project='p')
        self.swift.faults.append(fake_swift.Fault(
            1, 'before', 404, lambda request: bool(request.name)))

        self.assertEqual([('p', 'q')], list(self.queues.everywhere()))

    def test_are_not_read_for_each_who_asks(self) -> None:
        """Zaqar's notifier does so with each post."""
        self.assertEqual({'a': 1}, self.queues.get('q', 'p'))
        self.swift.requests.clear()

        self.assertEqual({'a': 1}, self.queues.get('q', 'p'))

        self.assertEqual([], self.swift.requests)
        self.queues.set_metadata('q', {'a': 2}, 'p')
        self.assertEqual({'a': 2}, self.queues.get('q', 'p'))

    def test_metadata_that_others_changed_stay_changed(self) -> None:
        self.queues.set_metadata('q', {'a': 1, 'b': 1, 'c': 1}, 'p')
        metadata = self.queues.get_metadata('q', 'p')
        self.another().queue_controller.set_metadata(
            'q', {'a': 2, 'c': 1, 'e': 2}, 'p')
        metadata['d'] = 1
        del metadata['c']

        self.queues.set_metadata('q', metadata, 'p')

        self.assertEqual({'a': 2, 'd': 1, 'e': 2}, self.queues.get('q', 'p'))

    def test_metadata_that_were_changed_are_known_everywhere(self) -> None:
        others = self.another().queue_controller
        self.assertEqual({'a': 1}, others.get_metadata('q', 'p'))
        self.useFixture(fixtures.MonkeyPatch('time.sleep', _sleep))

        self.queues.set_metadata('q', {'a': 2}, 'p')

        self.assertEqual({'a': 2}, others.get_metadata('q', 'p'))

    def test_metadata_that_python_calls_equal_are_changed(self) -> None:
        metadata = self.queues.get_metadata('q', 'p')
        metadata['a'] = True

        self.queues.set_metadata('q', metadata, 'p')

        self.assertIs(True, self.queues.get('q', 'p')['a'])

    def test_metadata_of_another_queue_are_replaced_as_a_whole(self) -> None:
        self.queues.create('other', {'b': 1}, project='p')

        self.queues.set_metadata(
            'other', self.queues.get_metadata('q', 'p'), 'p')

        self.assertEqual({'a': 1}, self.queues.get('other', 'p'))

    def test_metadata_are_replaced_as_a_whole(self) -> None:
        self.queues.set_metadata('q', {'b': 2}, 'p')

        self.assertEqual({'b': 2}, self.queues.get('q', 'p'))

    def test_metadata_that_are_remembered_are_copies(self) -> None:
        self.queues.set_metadata('q', {'a': {'deep': 1}}, 'p')
        self.queues.get_metadata('q', 'p')['a']['deep'] = 2

        self.assertEqual({'a': {'deep': 1}},
                         self.queues.get_metadata('q', 'p'))

    def test_are_found_by_what_json_tells_apart(self) -> None:
        stored = {'number': 1, 'true': True, 'false': False, 'text': '1',
                  'float': 1.0, 'list': [1], 'none': None}
        for controller in (self.queues, self.control.topic_controller):
            for name, value in stored.items():
                controller.create(name, {'k': value}, project='kinds')

            for value, found in (
                    (1, ['float', 'number']), (True, ['true']),
                    (0, []), (False, ['false']), ('1', ['text'])):
                self.assertEqual(found, [listed['name'] for listed in next(
                    controller.list('kinds', kfilter={'k': value}))])

    def test_pages_cost_no_more_than_they_show(self) -> None:
        for number in range(30):
            self.queues.create(f'q{number:02}', project='p')
        self.requests()

        list(next(self.queues.list('p', limit=10, detailed=True)))

        self.assertEqual(['GET'] * 11, self.requests())

    def test_cost_as_much_among_many(self) -> None:
        def costs() -> list[list[str]]:
            asked = []
            for call in (
                    lambda: list(next(self.queues.list('p7'))),
                    lambda: self.queues.create('new', project='p7'),
                    lambda: self.queues.get('new', project='p7'),
                    lambda: self.queues.delete('new', project='p7')):
                self.requests()
                call()
                asked.append(sorted(self.requests()))
            return asked

        record = json.dumps({'v': 1, 'metadata': {}}).encode()

        def fill(number: int) -> None:
            for project in range(50):
                self.swift.request(
                    'PUT', 'marconi:queues', f'p{project}:q{number}',
                    headers={'Content-Type': 'application/json'},
                    body=record)

        fill(0)
        few = costs()
        for number in range(1, 40):
            fill(number)

        self.assertEqual(few, costs())
        self.assertEqual(['GET'], few[0])


class TestTopics(ControlTest):

    def test_live_their_own_life(self) -> None:
        queues = self.control.queue_controller
        topics = self.control.topic_controller
        queues.create('same', {'of': 'queue'}, project='p')
        self.assertTrue(topics.create('same', {'of': 'topic'}, project='p'))
        self.assertEqual({'of': 'topic'}, topics.get('same', 'p'))
        topics.delete('same', 'p')

        self.assertEqual({'of': 'queue'}, queues.get('same', 'p'))
        self.assertRaises(errors.TopicDoesNotExist, topics.get_metadata,
                          'same', 'p')
        self.assertRaises(errors.TopicDoesNotExist, topics.set_metadata,
                          'same', {}, 'p')


class TestPools(ControlTest):

    def setUp(self) -> None:
        super().setUp()
        self.pools = self.control.pools_controller

    def create(self, name: str, uri: str, flavor: str | None = None) -> None:
        self.pools.create(name, 1, uri, flavor=flavor, options={})

    def test_with_options_that_can_not_be_are_refused(self) -> None:
        for given, said in (
                ({'container_prefix': 'a b'}, 'container_prefix'),
                ({'container_prefix': 'a' * 33}, 'container_prefix'),
                ({'fan_out': 'many'}, 'fan_out'),
                ({'clock_skew': -1}, 'clock_skew'),
                ({'clock_skew': 61}, 'clock_skew'),
                ({'post_time_limit': 301}, 'post_time_limit'),
                ({'insecure': 'perhaps'}, 'insecure'),
                ({'retries': [1]}, 'retries'),
                ({'mine': '\ud800'}, 'the options of a pool'),
                ({'fan_out': float('inf')}, 'fan_out')):
            error = self.assertRaises(
                errors.PoolCapabilitiesMismatch, self.pools.create, 'a', 1,
                'marconi-swift://', options=given)

            self.assertIn(said, str(error))
            self.assertFalse(self.pools.exists('a'))

    def test_with_options_that_zaqar_can_not_open_are_refused(self) -> None:
        for uri in ('marconi-swift://', 'redis://'):
            self.create('a', uri)
            for given, said in (
                    ({'region_name': None}, 'region_name'),
                    ({'_mine': 1}, '_mine'),
                    ({'a-b': 1, 'a_b': 2}, 'a_b')):
                # That is what it does.
                self.assertRaises(
                    (KeyError, ValueError, cfg.DuplicateOptError),
                    utils.dynamic_conf, uri, dict(given))

                for call in (
                        lambda uri=uri, given=given: self.pools.create(
                            'b', 1, uri + 'b', options=given),
                        lambda given=given: self.pools.update(
                            'a', options=given)):
                    error = self.assertRaises(
                        errors.PoolCapabilitiesMismatch, call)
                    self.assertIn(f"'{said}'", str(error))
            self.assertFalse(self.pools.exists('b'))
            self.pools.delete('a')

    def test_with_options_of_all_other_kinds_are_opened(self) -> None:
        given = {'': '', 'a b.c': 1, 'd': 1.5, 'e': True, 'f': [None, {}],
                 'g': {'h': None}, 'uri': 7, '-i': '$j', 'fan_out': 7}
        for uri in ('marconi-swift://', 'redis://'):
            self.pools.create('a', 1, uri, options=given)

            utils.dynamic_conf(uri, self.pools.get('a', True)['options'])
            utils.dynamic_conf(uri, self.pools.get('a', True)['options'],
                               self.drivers.conf)
            self.pools.delete('a')

    def test_of_ours_have_no_dollar_in_their_uri(self) -> None:
        self.create('theirs', 'redis://$$')
        self.pools.create('a', 1, 'marconi-swift://', 'mine', {})

        for call in (
                lambda: self.create('b', 'marconi-swift://me:$$@host', 'mine'),
                lambda: self.pools.update('a', uri='marconi-swift://$$')):
            self.assertIn('%24', str(self.assertRaises(
                errors.PoolCapabilitiesMismatch, call)))

    def test_are_not_made_such_as_could_not_be_shown(self) -> None:
        self.create('a', 'marconi-swift://')
        before = self.pools.get('a', detailed=True)

        for changes in ({'flavor': '\ud800'},
                        {'uri': 'marconi-swift://\ud800'},
                        {'options': {'fan_out': 'many'}},
                        {'weight': 2, 'options': {'a': '\ud800'}}):
            self.assertRaises(errors.PoolCapabilitiesMismatch,
                              self.pools.update, 'a', **changes)

        self.assertEqual(before, self.pools.get('a', detailed=True))

    def test_have_names(self) -> None:
        for name in (None, True, 7, ['a'], {}):
            self.assertFalse(self.pools.exists(name))

    def test_of_no_name_are_refused(self) -> None:
        self.assertRaises(acceptable.Unacceptable, self.create, '', 'redis://')

    def test_have_the_options_that_they_are_given(self) -> None:
        given = {'container_prefix': 'mine', 'fan_out': 4, 'other': 'a b'}
        self.pools.create('a', 1, 'marconi-swift://', options=given)
        # What another driver's options mean is none of our business.
        self.pools.create('b', 1, 'redis://', flavor='other',
                          options={'fan_out': 'many'})

        self.assertEqual(
            given, self.pools.get('a', detailed=True)['options'])

    def test_have_each_a_uri_of_their_own(self) -> None:
        self.create('a', 'marconi-swift://one')
        self.create('b', 'marconi-swift://two')

        self.assertRaises(errors.PoolAlreadyExists, self.create, 'c',
                          'marconi-swift://two')
        self.assertRaises(errors.PoolAlreadyExists, self.pools.update, 'a',
                          uri='marconi-swift://two')
        self.pools.update('b', uri='marconi-swift://two', weight=7)
        self.assertEqual(7, self.pools.get('b')['weight'])

    def test_that_are_the_last_of_a_flavor_stay(self) -> None:
        self.create('a', 'marconi-swift://one', 'fast')
        self.create('b', 'marconi-swift://two', 'fast')
        self.pools.delete('a')

        raised = self.assertRaises(
            errors.PoolInUseByFlavor, self.pools.delete, 'b')
        self.assertEqual('fast', raised.flavor)

    def test_of_other_kinds_may_stand_beside_them(self) -> None:
        self.create('ours', 'marconi-swift://one')
        self.create('theirs', 'swift://theirs', 'fast')
        # Compared with those that have no flavor, like itself.
        self.create('more', 'marconi-swift://two')

        self.assertRaises(errors.PoolCapabilitiesMismatch, self.create,
                          'other', 'swift://other')

    def test_are_given_what_is_nothing(self) -> None:
        self.pools.create('a', 1, 'redis://', 'fast', {'x': 1})

        self.pools.update('a', weight=0, flavor='', options={})

        self.assertEqual(
            {'name': 'a', 'uri': 'redis://', 'weight': 0, 'flavor': None,
             'options': {}}, self.pools.get('a', detailed=True))

    def test_with_an_empty_flavor_have_none(self) -> None:
        self.create('a', 'marconi-swift://one', '')

        self.assertIsNone(self.pools.get('a')['flavor'])
        self.pools.delete('a')
        self.assertFalse(self.pools.exists('a'))

    def test_without_flavor_are_a_group(self) -> None:
        self.create('a', 'marconi-swift://one', 'fast')
        self.create('b', 'marconi-swift://two')

        def named(*args: Any) -> list[str]:
            return [pool['name']
                    for pool in self.pools.get_pools_by_flavor(*args)]

        self.assertEqual(['b'], named())
        self.assertEqual(['a'], named({'name': 'fast'}))
        self.assertEqual([], named({'name': 'slow'}))


class TestFlavors(ControlTest):

    def test_are_of_a_project(self) -> None:
        flavors = self.control.flavors_controller
        flavors.create('f', project='p', capabilities=('A',))
        flavors.create('f', project='q', capabilities=('B',))

        self.assertEqual({'name': 'f', 'capabilities': ['A']},
                         flavors.get('f', project='p', detailed=True))
        self.assertRaises(errors.FlavorDoesNotExist, flavors.get, 'f')
        self.assertRaises(AssertionError, flavors.update, 'f', project='p')


class TestCatalogue(ControlTest):

    def test_is_read_once_a_moment(self) -> None:
        catalogue = self.control.catalogue_controller
        catalogue.insert('p', 'q', 'one')
        self.requests()
        catalogue.get('p', 'q')['pool'] = 'changed by the caller'
        self.assertEqual('one', catalogue.get('p', 'q')['pool'])
        self.assertEqual(['GET'], self.requests())

        catalogue.update('p', 'q', pool='two')
        self.assertEqual('two', catalogue.get('p', 'q')['pool'])
        catalogue.delete('p', 'q')
        self.assertRaises(errors.QueueNotMapped, catalogue.get, 'p', 'q')

    def test_that_is_read_while_it_is_changed_is_forgotten(self) -> None:
        catalogue = self.control.catalogue_controller
        catalogue.insert('p', 'q', 'one')
        self.read_meanwhile('PUT', lambda: catalogue.get('p', 'q'))

        catalogue.update('p', 'q', pool='two')

        self.assertEqual('two', catalogue.get('p', 'q')['pool'])

    def test_is_forgotten_with_all_it_says(self) -> None:
        catalogue = self.control.catalogue_controller
        catalogue.insert('p', 'q', 'one')
        catalogue.get('p', 'q')

        catalogue.drop_all()

        self.assertRaises(errors.QueueNotMapped, catalogue.get, 'p', 'q')
        self.assertRaises(errors.QueueNotMapped,
                          catalogue.update, 'p', 'q', pool='two')

    def test_has_no_entry_without_a_pool(self) -> None:
        catalogue = self.control.catalogue_controller
        for pool in (None, 7):
            self.assertRaises(
                errors.NoPoolFound, catalogue.insert, 'p', 'q', pool)
        self.assertFalse(catalogue.exists('p', 'q'))
        catalogue.insert('p', 'q', 'one')
        self.assertRaises(
            errors.NoPoolFound, catalogue.update, 'p', 'q', None)
        self.assertEqual('one', catalogue.get('p', 'q')['pool'])

    def test_has_no_entry_that_can_not_be_read(self) -> None:
        catalogue = self.control.catalogue_controller
        self.control.registry('catalogue').replace(
            names.scoped('p', 'q'),
            {'project': 'p', 'queue': 'q', 'pool': None})
        self.requests()

        self.assertFalse(catalogue.exists('p', 'q'))

        self.assertEqual(1, len(self.requests()))
        catalogue.insert('p', 'q', 'one')
        self.assertTrue(catalogue.exists('p', 'q'))

    def test_entries_are_replaced_by_changes_alone(self) -> None:
        catalogue = self.control.catalogue_controller
        catalogue.insert('p', 'q', 'one')
        self.requests()

        catalogue.insert('p', 'q', 'two')

        self.assertEqual(['PUT', 'GET'], self.requests())
        self.assertEqual('one', catalogue.get('p', 'q')['pool'])
        catalogue.update('p', 'q', 'two')
        self.assertEqual('two', catalogue.get('p', 'q')['pool'])


class TestElections(ControlTest):

    def test_go_by_swift_s_clock(self) -> None:
        self.swift.clock = lambda: time.time() + 1000

        self.assertTrue(self.control.queue_controller.create('q'))

        gates = [request for request in self.swift.requests
                 if 'if-none-match' in request.headers]
        self.assertThat(gates[-2:], matchers.AllMatch(
            matchers.AfterPreprocessing(
                lambda gate: int(gate.headers['x-delete-at']),
                matchers.GreaterThan(time.time() + 1000))))

    def test_do_not_depend_on_their_clean_up(self) -> None:
        self.swift.faults[:] = [
            fake_swift.Fault(number, 'before', 503,
                             lambda request: request.method == 'DELETE')
            for number in range(1, 20)]

        self.assertTrue(self.control.queue_controller.create('q'))
        # Sent again, it could hit somebody who creates another later.
        self.assertEqual(2, self.requests().count('DELETE'))
        self.assertFalse(self.control.queue_controller.create('q'))

    def test_that_nobody_wins_are_given_up(self) -> None:
        # Somebody else's name always stands in the gate.
        for name in (None, hashlib.sha256(
                b'marconi:queues/:q').hexdigest() + '/1'):
            self.swift.request(
                'PUT', 'marconi:elections', name,
                headers={'X-Object-Meta-Owner': 'another'} if name else {})
        clock = itertools.count(0, 5)
        self.useFixture(fixtures.MonkeyPatch(
            'time.monotonic', lambda: float(next(clock))))

        raised = self.assertRaises(
            store_errors.SwiftError,
            self.control.queue_controller.create, 'q')

        self.assertIn('marconi:queues/:q', str(raised))
        self.assertFalse(self.control.queue_controller.exists('q'))
