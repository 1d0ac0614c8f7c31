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
"""Messages and queues where Swift fails, lags, or holds foreign things."""

import contextlib
import logging
import types
from typing import Any
import uuid

import fixtures
import mock
import testtools
from zaqar.storage import errors as zaqar_errors
from zaqar.storage import pipeline

from marconi_swift import acceptable
from marconi_swift import driver
from marconi_swift import names
from marconi_swift import records
from marconi_swift.store import errors
from marconi_swift.store import objects
from tests.fixtures import clock
from tests.fixtures import conf
from tests.fixtures import fake_swift


class QueueTest(testtools.TestCase):
    """Has a queue on a model of Swift."""

    #: Over how many containers it is spread.
    spread_over = 1

    def setUp(self) -> None:
        super().setUp()
        self.drivers = self.useFixture(conf.FakeDrivers(
            retries=0, containers_per_queue=self.spread_over))
        self.swift = self.drivers.swift
        self.pipeline = pipeline.DataDriver(
            self.drivers.conf, self.drivers.data, self.drivers.control)
        self.queues = self.pipeline.queue_controller
        self.messages = self.drivers.data.message_controller
        self.queues.create('q', project='p')
        self.container = names.messages('marconi', 'p', 'q')
        self.swift.requests.clear()

    def post(self, *bodies: Any, **fields: Any) -> list[str]:
        return self.messages.post(
            'q', [{'ttl': 60, 'body': body, **fields} for body in bodies],
            client_uuid=uuid.uuid4(), project='p')

    def bodies(self, **kwargs: Any) -> list[Any]:
        listed = self.messages.list(
            'q', project='p', echo=True, limit=100, **kwargs)
        return [message['body'] for message in next(listed)]


class TestPosting(QueueTest):

    def test_takes_back_what_was_stored_if_one_can_not_be(self) -> None:
        for number in range(1, 6):
            for when in ('before', 'after'):
                self.swift.faults[:] = [fake_swift.Fault(
                    number, when, errors.Unanswered('lost'),
                    lambda request: request.method == 'PUT')]

                self.assertRaises(
                    errors.Unanswered, self.post, 1, 2, 3, 4, 5)

                self.assertEqual([], self.bodies())

    def test_takes_it_back_if_nobody_knows_whether_the_queue_is_there(
        self,
    ) -> None:
        """Another driver's management store raises what it likes."""
        self.drivers.control.queue_controller.create('lazy', project='p')
        container = names.messages('marconi', 'p', 'lazy')
        known = self.drivers.data.queue_controller.get_metadata
        answers = [known, mock.Mock(side_effect=OSError('database'))]
        self.useFixture(fixtures.MonkeyPatch(
            'marconi_swift.control.queues.QueueController.get_metadata',
            lambda *args, **kwargs: answers.pop(0)(*args[1:], **kwargs)))

        self.assertRaises(
            OSError, self.messages.post, 'lazy', [{'ttl': 60, 'body': 1}],
            None, project='p')

        self.assertEqual([], answers)
        self.assertEqual([], list(self.drivers.data.account.store.rows(
            container)))

    def fail_all(self, error: Exception) -> None:
        """Have Swift fail whatever it is asked from now on."""
        self.useFixture(fixtures.MonkeyPatch(
            'tests.fixtures.fake_swift.FakeSwift.request',
            mock.Mock(side_effect=error)))

    def test_takes_nothing_back_that_was_not_sent(self) -> None:
        # The queue is known, so that the messages come first.
        self.post('before')
        for error in (errors.Unreachable('refused'),
                      errors.Unauthorized('password'),
                      errors.Untrusted('certificate')):
            log = self.useFixture(fixtures.FakeLogger())
            self.fail_all(error)

            self.assertRaises(type(error), self.post, *range(5))

            self.assertEqual(
                5, self.swift.request.call_count)  # type: ignore
            self.assertNotIn('may be delivered', log.output)

    def test_tells_what_may_be_delivered_when_swift_is_back(self) -> None:
        self.post('before')
        clock = self.useFixture(fixtures.MockPatch(
            'marconi_swift.store.outages.time.monotonic',
            return_value=100.0)).mock
        log = self.useFixture(fixtures.FakeLogger(level=logging.INFO))
        with fixtures.MonkeyPatch(
                'tests.fixtures.fake_swift.FakeSwift.request',
                mock.Mock(side_effect=errors.Unanswered('lost'))):
            self.assertRaises(errors.Unanswered, self.post, 1, 2)
            self.assertRaises(errors.Unanswered, self.post, 3)

        clock.return_value += 60
        self.post('after')

        began, over = log.output.splitlines()
        self.assertIn('The first failure: lost', began)
        # A creation and a deletion for each message.
        self.assertIn('after 60 seconds in which 6 requests', over)
        self.assertIn('Up to 3 messages', over)

    def test_takes_back_what_was_stored_too_late_for_readers(self) -> None:
        moments = iter([0.0, 5.1])
        self.useFixture(fixtures.MonkeyPatch(
            'marconi_swift.data.messages.time',
            types.SimpleNamespace(monotonic=lambda: next(moments))))

        error = self.assertRaises(errors.SwiftError, self.post, 1, 2)

        self.assertIn('post_time_limit', str(error))
        self.assertEqual([], self.bodies())

    def test_takes_back_what_was_stored_before_others_were_late(self) -> None:
        at_a_time = self.drivers.data.account.settings.fan_out
        moments = iter([0.0, 5.1, 6.0, 6.1])
        self.useFixture(fixtures.MonkeyPatch(
            'marconi_swift.data.messages.time',
            types.SimpleNamespace(monotonic=lambda: next(moments))))

        self.assertRaises(errors.SwiftError, self.post, *range(at_a_time + 1))

        self.assertEqual([], self.bodies())

    def test_takes_back_what_was_stored_before_one_is_refused(self) -> None:
        at_a_time = self.drivers.data.account.settings.fan_out

        self.assertRaises(acceptable.Unacceptable, self.post,
                          *range(at_a_time), '\ud800')

        self.assertEqual([], self.bodies())

    def test_makes_the_containers_that_zaqar_did_not_ask_for(self) -> None:
        self.drivers.control.queue_controller.create('lazy', project='p')

        ids = self.messages.post(
            'lazy', ({'ttl': 60, 'body': n} for n in range(3)),
            client_uuid='a client', project='p')

        self.assertEqual(ids, sorted(ids))
        self.assertEqual(
            [0, 1, 2], [message['body'] for message in
                        self.messages.bulk_get('lazy', ids, project='p')])

    def test_to_no_queue_is_refused_and_leaves_nothing(self) -> None:
        self.assertRaises(
            zaqar_errors.QueueDoesNotExist, self.messages.post, 'none',
            [{'ttl': 60}], client_uuid='x', project='p')

        self.assertEqual(404, self.swift.request(
            'HEAD', names.messages('marconi', 'p', 'none')).status)

    def test_to_a_queue_that_is_deleted_meanwhile_leaves_nothing(self) -> None:
        control = self.drivers.control.queue_controller
        control.create('lazy', project='p')

        def on_step(step: str, request: fake_swift.Request) -> None:
            """Delete it when there is the container, and before its use."""
            if (step, request.method, request.name) == (
                    'answer', 'PUT', None):
                self.swift.on_step = None
                control.delete('lazy', project='p')

        self.swift.on_step = on_step

        self.assertRaises(
            zaqar_errors.QueueDoesNotExist, self.messages.post, 'lazy',
            [{'ttl': 60}], client_uuid='x', project='p')

        self.assertEqual([], self.drivers.data.account.store.page(
            names.messages('marconi', 'p', 'lazy')))

    def test_to_a_queue_that_is_remembered_is_refused(self) -> None:
        self.drivers.data.queue_controller.get_metadata('q', 'p')
        others = driver.ControlDriver(self.drivers.conf, None)
        pipeline.DataDriver(
            self.drivers.conf,
            driver.DataDriver(self.drivers.conf, None, others), others,
        ).queue_controller.delete('q', project='p')

        self.assertRaises(zaqar_errors.QueueDoesNotExist, self.post, 1)

    def test_to_a_queue_that_is_in_another_pool_is_refused(self) -> None:
        self.drivers.control.queue_controller.create('lazy', project='p')
        self.useFixture(fixtures.MonkeyPatch(
            'marconi_swift.driver.DataDriver.has_lost', lambda *args: True))

        error = self.assertRaises(
            errors.SwiftError, self.messages.post, 'lazy', [{'ttl': 60}],
            client_uuid='x', project='p')

        self.assertIn('another pool', str(error))

    def test_adopts_where_there_is_no_container(self) -> None:
        """What is brought from another store may be the first there is."""
        self.drivers.control.queue_controller.create('lazy', project='p')
        adopted = records.Message(
            id=names.new_message_id(), ttl=60, expires=records.now() + 60,
            poster='')

        self.assertEqual([objects.Outcome.DONE], self.messages.adopt(
            'lazy', [(adopted, 'body')], project='p'))

        self.assertEqual('body', self.messages.get(
            'lazy', adopted.id, project='p')['body'])

    def test_adopts_all_but_what_could_not_be_handed_out(self) -> None:
        bodies = ['fine', {'a': b'\xff'}, '\ud800', {b'a': 1}, 'too']

        fine, *refused, too = self.messages.adopt('q', [
            (records.Message(id=names.new_message_id(), ttl=60,
                             expires=records.now() + 60, poster=''), body)
            for body in bodies], project='p')

        self.assertEqual([objects.Outcome.DONE] * 2, [fine, too])
        self.assertEqual([acceptable.Unacceptable] * 3, [
            type(outcome) for outcome in refused])
        self.assertEqual(['fine', 'too'], [
            message['body'] for message in next(self.messages.list(
                'q', project='p', echo=True))])

    def test_reads_what_others_are_changing_once(self) -> None:
        class Changing(dict):  # type: ignore[type-arg]
            def __iter__(self) -> Any:
                raise RuntimeError('changed during iteration')

            items = keys = values = __iter__

        [posted] = self.messages.post(
            'q', [Changing(ttl=60, body={'a': 1}, queue_name='q')],
            client_uuid='x', project='p')

        self.assertEqual(
            {'id', 'age', 'ttl', 'body', 'claim_id', 'claim_count'},
            set(self.messages.get('q', posted, project='p')))

    def test_keeps_any_client_s_id(self) -> None:
        for client in ('0123456789', 'ü;a="b"', 'x' * 36, uuid.uuid4()):
            self.messages.post('q', [{'ttl': 60, 'body': str(client)}],
                               client_uuid=client, project='p')

            listed = self.messages.list(
                'q', project='p', client_uuid=client, limit=100)
            self.assertNotIn(str(client), [
                message['body'] for message in next(listed)])

    def test_keeps_bodies_as_they_are(self) -> None:
        bodies = [None, 0, '', [], {}, {'a.b': {'$c': [1.5, None]}},
                  'ü\N{SNOWMAN}\U0001f600', 'x' * 100_000, {'': ''}]

        self.post(*bodies)

        self.assertEqual(bodies, self.bodies())


class TestReading(QueueTest):

    def test_ignores_what_it_did_not_write_and_keeps_it(self) -> None:
        [ours] = self.post('ours')
        foreign = {
            'a-file': 'text/plain',
            names.new_message_id(): 'text/plain',
            names.new_message_id(): 'application/json;v=2;ttl=1',
            names.new_message_id(): 'application/json;v=1;ttl=x'}
        for name, content_type in foreign.items():
            self.swift.request('PUT', self.container, name, body=b'x',
                               headers={'Content-Type': content_type})

        self.assertEqual(['ours'], self.bodies())
        stats = self.queues.stats('q', project='p')['messages']
        self.assertEqual(1, stats['total'])
        claimed = self.drivers.data.claim_controller.create(
            'q', {'ttl': 60, 'grace': 60}, project='p')
        self.assertEqual([ours], [m['id'] for m in claimed[1]])
        for name in foreign:
            self.assertEqual(200, self.swift.request(
                'GET', self.container, name).status)

    def test_ignores_a_body_that_is_no_json(self) -> None:
        ours, broken = self.post('ours', 'broken')
        stored = self.swift.request('GET', self.container, broken)
        self.swift.request(
            'PUT', self.container, broken, body=b'{"a":',
            headers={'Content-Type': stored.headers['content-type']})

        self.assertEqual(['ours'], self.bodies())
        self.assertEqual([ours], [message['id'] for message in
                                  self.messages.bulk_get(
                                      'q', [broken, ours], project='p')])

    def test_fills_pages_past_what_it_leaves_out(self) -> None:
        for number in range(60):
            self.post(number, **({'delay': 600} if number % 3 else {}))

        listed = self.messages.list('q', project='p', echo=True, limit=15)

        self.assertEqual(list(range(0, 45, 3)), [
            message['body'] for message in next(listed)])

    def test_shows_nothing_that_a_stale_listing_still_has(self) -> None:
        _kept, gone = self.post('kept', 'gone')
        self.swift.lag = True
        self.messages.delete('q', gone, project='p')

        self.assertEqual(['kept'], self.bodies())
        self.assertRaises(zaqar_errors.MessageDoesNotExist,
                          self.messages.get, 'q', gone, project='p')

    def test_goes_on_to_what_appears_as_late_as_it_may(self) -> None:
        """A page says where to go on, for whoever is slow to read it."""
        now = self.useFixture(clock.Clock())
        self.swift.clock = now
        settings = self.drivers.data.account.settings
        window = settings.post_time_limit + settings.clock_skew

        def appear() -> None:
            """Of a poster whose clock is late, and who took long."""
            late = uuid.UUID(names.first_id(now.now - window + 0.1))
            with fixtures.MonkeyPatch(
                    'marconi_swift.names.uuid_utils.uuid7', lambda: late):
                self.post('late', ttl=600)
            now.sleep(window)

        self.post('first', ttl=600)

        def on_step(step: str, request: fake_swift.Request) -> None:
            if (step, request.method, bool(request.name)) == (
                    'arrive', 'GET', True):
                self.swift.on_step = None
                appear()

        self.swift.on_step = on_step
        pages = self.messages.list('q', project='p', echo=True)
        self.assertEqual(['first'], [each['body'] for each in next(pages)])

        self.assertEqual(['late'], self.bodies(marker=next(pages)))

    def test_takes_no_ids_of_anybodys_making_to_swift(self) -> None:
        for made_up in ('', '.', '..', 'a/b', '%2F', '\0', 'x' * 2000, 7,
                        None, [], {}, '../' + names.new_message_id()):
            self.messages.delete('q', made_up, project='p')
            self.messages.bulk_delete('q', [made_up], project='p')
            self.assertEqual([], list(self.messages.bulk_get(
                'q', [made_up], project='p')))
            self.assertRaises(zaqar_errors.MessageDoesNotExist,
                              self.messages.get, 'q', made_up, project='p')

        self.assertEqual([], self.swift.requests)


class TestQueues(QueueTest):

    def test_are_deleted_with_all_that_is_theirs(self) -> None:
        self.post(*range(250))
        self.drivers.data.claim_controller.create(
            'q', {'ttl': 60, 'grace': 60}, project='p')

        self.queues.delete('q', project='p')

        self.assertEqual(404, self.swift.request(
            'HEAD', self.container).status)
        self.assertEqual(404, self.swift.request(
            'HEAD', names.claims('marconi', 'p', 'q')).status)
        self.assertRaises(zaqar_errors.QueueDoesNotExist,
                          self.queues.stats, 'q', project='p')

    def test_whose_deletion_broke_off_can_be_deleted_again(self) -> None:
        number = 0
        broken = True
        while broken:
            number += 1
            self.queues.create('q', project='p')
            self.post(*range(5))
            self.swift.faults[:] = [fake_swift.Fault(
                number, 'before', errors.Unanswered('lost'))]
            with contextlib.suppress(zaqar_errors.ConnectionError):
                self.queues.delete('q', project='p')
            broken = self.swift.faults[0].fired
            self.swift.faults.clear()
            self.queues.delete('q', project='p')
            self.queues.create('q', project='p')
            self.assertEqual(0, self.queues.stats(
                'q', project='p')['messages']['total'])

        self.assertGreater(number, 10)

    def test_of_equal_names_in_other_projects_are_others(self) -> None:
        self.post('secret')
        for project in (None, '', 'None', 'p/q', 'P', 'p:q'):
            self.queues.create('q', project=project)

            self.assertEqual(0, self.queues.stats(
                'q', project=project)['messages']['total'])
            self.queues.delete('q', project=project)

        self.assertEqual(['secret'], self.bodies())

    def test_are_listed_by_name_and_metadata(self) -> None:
        for name, metadata in (('a1', {'k': 1}), ('a2', {'k': 2}),
                               ('b1', {'k': 1})):
            self.queues.create(name, metadata=metadata, project='p')

        def listed(**kwargs: Any) -> list[str]:
            cursor = self.queues.list(project='p', **kwargs)
            return [queue['name'] for queue in next(cursor)]

        self.assertEqual(['a1', 'a2', 'b1', 'q'], listed())
        self.assertEqual(['a1', 'b1'], listed(kfilter={'k': 1}))
        self.assertEqual(['a1', 'a2'], listed(name='a'))
        self.assertEqual(['a1'], listed(name='a', kfilter={'k': 1}))
        self.assertEqual(['b1', 'q'], listed(marker='a2'))
        self.assertEqual(['a1'], listed(limit=1))
        self.assertEqual(4, self.queues.calculate_resource_count(
            project='p'))


class TestManyMessages(QueueTest):
    """More than Swift returns in one listing."""

    def test_are_counted_listed_and_deleted(self) -> None:
        posted = self.post(*range(12_000))

        stats = self.queues.stats('q', project='p')['messages']
        self.assertEqual(12_000, stats['total'])
        self.assertEqual((posted[0], posted[-1]), (
            stats['oldest']['id'], stats['newest']['id']))
        self.assertEqual(2, len([
            request for request in self.swift.requests
            if request.method == 'GET']))

        listed: list[str] = []
        marker = None
        while True:
            cursor = self.messages.list('q', project='p', echo=True,
                                        marker=marker, limit=3000)
            page = [message['id'] for message in next(cursor)]
            if not page:
                break
            listed += page
            marker = next(cursor)
        self.assertEqual(posted, listed)

        self.queues.delete('q', project='p')
        self.assertEqual(404, self.swift.request(
            'HEAD', self.container).status)
        self.queues.create('q', project='p')
        self.assertEqual([], self.bodies())

    def test_are_looked_past_in_one_listing_once_that_is_known(self) -> None:
        """And not in one that is ten times as long as it takes."""
        self.post(*range(1_100), delay=30)
        free = self.post('free')

        for limits in (['1000', '10000'], ['1376'], ['1376']):
            self.swift.requests.clear()
            page = next(self.messages.list('q', project='p', limit=1))
            self.assertEqual(free, [message['id'] for message in page])
            self.assertEqual(limits, [
                request.query['limit'] for request in self.swift.requests
                if request.method == 'GET' and request.name is None])
