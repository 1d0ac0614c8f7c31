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
"""The commands of marconi-swift-manage about queues and claims."""

import contextlib
import io
import itertools
import json
import sys
import types
from typing import Any
from typing import NamedTuple
from unittest import mock

import fixtures
from oslo_utils import timeutils
from zaqar.storage import errors

from marconi_swift import names
from marconi_swift.manage import purge
from marconi_swift.manage import shell
from tests.fixtures import fake_swift
from tests.fixtures import logs
from tests.unit import test_sweeping


class Ran(NamedTuple):
    """What a command ended with, and what it wrote."""

    status: int
    output: str
    said: str


class CommandTest(test_sweeping.SweepingTest):
    """Has a queue q of project p, with a clock and a model of Swift."""

    def setUp(self) -> None:
        super().setUp()
        self.useFixture(logs.RootLogger())
        self.useFixture(fixtures.EnvironmentVariable('OS_PROJECT_ID', 'p'))

    def command(self, *arguments: str) -> Ran:
        """Run a command of several words, on the configuration."""
        with contextlib.redirect_stdout(io.StringIO()) as output, (
                contextlib.redirect_stderr(io.StringIO())) as said:
            status = shell.main(
                [*arguments, '--config-file', self.drivers.path])
        return Ran(status, output.getvalue(), said.getvalue())

    def works(self, *arguments: str) -> str:
        """Run one where nothing is wrong; return what it writes."""
        ran = self.command(*arguments)
        self.assertEqual((0, ''), (ran.status, ran.said))
        return ran.output

    def rows(self, *arguments: str) -> Any:
        return json.loads(self.works(*arguments, '-f', 'json'))

    def refused(self, *arguments: str) -> str:
        """Run one that does nothing; return what it says."""
        before = self.swift.stored()
        ran = self.command(*arguments)
        self.assertEqual((1, ''), (ran.status, ran.output))
        self.assertEqual(before, self.swift.stored())
        return ran.said

    def pooled(self, **pools: str) -> None:
        """Put pools on the account, each by its prefix of containers."""
        for name, prefix in pools.items():
            self.control.pools_controller.create(
                name, 1, f'marconi-swift://?container_prefix={prefix}')
        with open(self.drivers.path, 'a') as file:
            file.write('[DEFAULT]\npooling = True\n')

    def answer(self, text: str) -> None:
        """Sit at a terminal, and answer what is asked."""
        terminal = io.StringIO(text)
        terminal.isatty = lambda: True  # type: ignore[method-assign]
        self.useFixture(fixtures.MonkeyPatch('sys.stdin', terminal))


class TestQueueList(CommandTest):

    def test_names_the_store_of_each(self) -> None:
        self.queues.create('b', {'colour': 'red'}, project='p')
        self.queues.create('other', project='another')

        self.assertEqual([
            {'Project': 'p', 'Queue': 'b', 'Store': 'marconi-swift'},
            {'Project': 'p', 'Queue': 'q', 'Store': 'marconi-swift'},
        ], self.rows('queue', 'list'))
        self.assertEqual(
            ['{"colour": "red"}', '{}'],
            [row['Metadata'] for row in self.rows('queue', 'list', '--long')])
        self.assertEqual(['b'], [
            row['Queue'] for row in self.rows('queue', 'list', '--name',
                                              'b')])

    def test_is_of_the_name_whatever_the_management_store_makes_of_it(
        self,
    ) -> None:
        """Zaqar's own ignore it, or take it for a regular expression."""
        listed = self.control.queue_controller.list
        self.useFixture(fixtures.MonkeyPatch(
            'marconi_swift.control.queues.QueueController.list',
            lambda _, *args, name=None, **kwargs: listed(*args, **kwargs)))
        for name in ('mail', 'mbil', 'other'):
            self.queues.create(name, project='p')

        for command in (('queue', 'list'), ('stats',)):
            self.assertEqual(['mail'], [row['Queue'] for row in self.rows(
                *command, '--name', 'mail')])
            self.assertEqual([], self.rows(*command, '--name', 'm.il'))

    def test_is_of_one_project_or_all(self) -> None:
        long = 'x' * 300
        self.queues.create('other', project='another')
        self.queues.create('long', project=long)

        self.assertEqual([('another', 'other')], self.found(
            '--project', 'another'))
        self.assertEqual(
            {('another', 'other'), ('p', 'q'), (long, 'long')},
            set(self.found('--all-projects')))

    def found(self, *arguments: str) -> list[tuple[str, str]]:
        return [(row['Project'], row['Queue'])
                for row in self.rows('queue', 'list', *arguments)]

    def test_goes_through_all_pages(self) -> None:
        self.useFixture(fixtures.MonkeyPatch(
            'marconi_swift.manage.queues._PAGE', 2))
        for name in 'abcde':
            self.queues.create(name, project='p')

        self.assertEqual(
            list('abcdeq'), [name for _, name in self.found()])

    def test_asks_whose(self) -> None:
        self.useFixture(fixtures.EnvironmentVariable('OS_PROJECT_ID'))

        self.assertIn('--project or --all-projects',
                      self.refused('queue', 'list'))

    def test_names_the_pool_of_each(self) -> None:
        self.pooled(one='first', two='second')
        self.queues.create('b', project='p')
        self.control.catalogue_controller.insert('p', 'q', 'two')

        self.assertEqual(['none', 'two'], [
            row['Store'] for row in self.rows('queue', 'list')])


class TestStats(CommandTest):

    def test_counts_nothing_where_nothing_was_ever_posted(self) -> None:
        """Zaqar's swift driver raises, of a pool, and its API shows zeros."""
        theirs = mock.Mock()
        theirs.stats.side_effect = errors.QueueIsEmpty('q', 'p')
        self.useFixture(fixtures.MonkeyPatch(
            'marconi_swift.manage.stores.Deployment.queues',
            lambda deployment, driver: theirs))

        [row] = self.rows('stats')

        self.assertEqual([0, 0, 0], [
            row[what] for what in ('Free', 'Claimed', 'Total')])
        self.assertEqual(0, json.loads(self.works(
            'queue', 'show', 'q', '-f', 'json'))['total'])

    def test_counts_all_queues(self) -> None:
        self.queues.create('empty', project='p')
        self.post(1, 2, 3, ttl=300)
        self.claim(limit=1)

        empty, full = self.rows('stats')

        self.assertEqual(
            {'Project': 'p', 'Queue': 'empty', 'Store': 'marconi-swift',
             'Free': 0, 'Claimed': 0, 'Total': 0, 'Oldest': None,
             'Newest': None}, empty)
        self.assertEqual((2, 1, 3, '2033-05-18T00:00:00Z'), (
            full['Free'], full['Claimed'], full['Total'], full['Oldest']))

    def test_counts_in_pools(self) -> None:
        self.pooled(one='first', two='second')
        self.control.catalogue_controller.insert('p', 'q', 'two')
        self.drivers.conf.set_override(
            'container_prefix', 'second',
            group='drivers:message_store:marconi-swift')
        container = names.messages('second', 'p', 'q')
        [posted] = self.post('x', ttl=300)
        stored = self.store.read(self.container, posted)
        self.store.make_container(container, None)
        assert stored
        self.store.replace(container, posted, body=stored.body,
                           content_type=stored.content_type)

        [row] = self.rows('stats')

        self.assertEqual(('two', 1), (row['Store'], row['Total']))

    def test_goes_on_after_what_can_not_be_counted(self) -> None:
        self.queues.create('a', project='p')
        self.swift.faults.append(fake_swift.Fault(
            1, 'before', 503, lambda request: (
                request.method, request.container) == (
                    'GET', names.messages('marconi', 'p', 'a'))))

        ran = self.command('stats', '-f', 'json')

        self.assertEqual(1, ran.status)
        self.assertEqual(
            ['q'], [row['Queue'] for row in json.loads(ran.output)])
        self.assertIn('Queue a of project p in store marconi-swift could '
                      'not be counted: Swift answered 503', ran.said)


class TestQueueShow(CommandTest):

    def test_tells_what_there_is(self) -> None:
        self.queues.set_metadata('q', {'a': 1}, project='p')
        self.post(1, ttl=300)

        self.assertEqual({
            'project': 'p', 'queue': 'q', 'store': 'marconi-swift',
            'metadata': '{"a": 1}', 'free': 1, 'claimed': 0, 'total': 1,
            'oldest': '2033-05-18T00:00:00Z',
            'newest': '2033-05-18T00:00:00Z',
            'messages container': self.container,
            'claims container': self.claims_container,
        }, self.rows('queue', 'show', 'q'))

    def test_refuses_a_queue_that_there_is_not(self) -> None:
        for words in (('queue', 'show'), ('queue', 'peek'), ('purge',),
                      ('claim', 'list')):
            ran = self.command(*words, 'none')

            self.assertEqual(
                (1, '', 'There is no queue none in project p.\n'), ran)


class TestQueuePeek(CommandTest):

    def test_shows_messages_and_claims_none(self) -> None:
        self.post('x' * 100, {'a': 1}, ttl=300)
        self.post('late', ttl=300, delay=60)
        claim, [held] = self.claim(limit=1)
        self.pass_time(10)
        before = self.swift.stored()

        first, second, third = self.rows('queue', 'peek', 'q')

        self.assertEqual(before, self.swift.stored())
        self.assertEqual(
            {'ID': held['id'], 'Age': 10, 'TTL': 300, 'Claim': claim,
             'Claims': 1, 'Body': '"' + 'x' * 59}, first)
        self.assertEqual((None, '{"a": 1}', '"late"'), (
            second['Claim'], second['Body'], third['Body']))
        [row] = self.rows('queue', 'peek', 'q', '--full', '--limit', '1')
        self.assertEqual(102, len(row['Body']))

    def test_shows_as_many_as_it_is_told(self) -> None:
        ids = self.post(*range(250), ttl=300)

        for arguments, expected in (
                ((), ids[:10]), (('--limit', '0'), ids),
                (('--limit', '201'), ids[:201]),
                (('--after', ids[4], '--limit', '2'), ids[5:7])):
            self.assertEqual(expected, [
                row['ID'] for row in self.rows(
                    'queue', 'peek', 'q', *arguments)])

    def test_shows_no_claim_that_is_over(self) -> None:
        """Others list a message with its last claim."""
        theirs = mock.Mock()
        theirs.message_controller.list.side_effect = [
            iter([iter([{'id': claim, 'age': 1, 'ttl': 60, 'body': 1,
                         'claim_id': claim} for claim in ('over', 'live')]),
                  'live'])]
        theirs.claim_controller.get.side_effect = [
            errors.ClaimDoesNotExist('over', 'q', 'p'), ({}, [])]
        self.useFixture(fixtures.MonkeyPatch(
            'marconi_swift.manage.stores.Deployment.driver_of',
            lambda *_: theirs))

        self.assertEqual([None, 'live'], [row['Claim'] for row in self.rows(
            'queue', 'peek', 'q', '--limit', '2')])

    def test_reads_no_more_than_it_shows(self) -> None:
        self.post(*range(250), ttl=300)
        self.swift.requests.clear()

        self.rows('queue', 'peek', 'q')

        self.assertEqual(10, sum(
            request.name is not None and request.container == self.container
            for request in self.swift.requests))


class TestPurge(CommandTest):

    def test_deletes_all_messages_if_it_is_agreed_to(self) -> None:
        self.post(*range(5), ttl=300)
        self.claim(limit=2)
        self.answer('y\n')

        ran = self.command('purge', 'q')

        self.assertEqual(
            (0, '5 messages of queue q were deleted.\n'), ran[:2])
        self.assertIn('Delete all messages of queue q in project p', ran.said)
        self.assertEqual([], self.stored(self.container))
        self.assertTrue(self.queues.exists('q', project='p'))

    def test_deletes_nothing_otherwise(self) -> None:
        self.post(1, ttl=300)
        for text in ('n\n', '\n', ''):
            self.answer(text)
            self.assertIn('Nothing was deleted', self.refused('purge', 'q'))
        sys.stdin.isatty = lambda: False  # type: ignore[method-assign]
        self.assertIn('give --yes', self.refused('purge', 'q'))

    def test_goes_through_all_pages_and_reads_no_body(self) -> None:
        self.useFixture(fixtures.MonkeyPatch(
            'marconi_swift.manage.purge._AT_A_TIME', 2))
        self.post(*range(5), ttl=300)
        self.swift.requests.clear()

        self.assertIn('5 messages', self.works('purge', 'q', '--yes'))

        self.assertEqual([], self.stored(self.container))
        self.assertEqual([], [
            request for request in self.swift.requests
            if request.method == 'GET' and request.name is not None
            and request.container == self.container])

    def test_takes_all_that_were_there_in_whatever_order_they_are(
        self,
    ) -> None:
        """Zaqar's swift driver lists new ones before old ones."""
        self.useFixture(fixtures.MonkeyPatch(
            'marconi_swift.manage.purge._AT_A_TIME', 2))
        self.useFixture(fixtures.MonkeyPatch(
            'marconi_swift.manage.purge.time', types.SimpleNamespace(
                monotonic=itertools.count(0, 10).__next__)))
        ages = [('new', 0), ('newer', 0), ('newest', 0),
                ('old', 1000), ('older', 1000), ('oldest', 1000)]
        theirs = mock.Mock()
        theirs.message_controller.list.side_effect = lambda *_, **how: iter([
            iter([{'id': name, 'age': age} for name, age in ages
                  if name > how['marker']]), ages[-1][0]])

        self.assertEqual([2, 1], list(purge._purge(theirs, 'q', 'p')))

        self.assertEqual(
            [['old', 'older'], ['oldest']],
            [call.args[1] for call
             in theirs.message_controller.bulk_delete.call_args_list])

    def test_takes_what_waited_for_the_deletion_of_others(self) -> None:
        self.useFixture(fixtures.MonkeyPatch(
            'marconi_swift.manage.purge._AT_A_TIME', 2))
        self.useFixture(fixtures.MonkeyPatch(
            'marconi_swift.manage.purge.time', types.SimpleNamespace(
                monotonic=timeutils.utcnow_ts)))
        theirs = mock.Mock()
        theirs.message_controller.list.side_effect = [iter([
            iter([{'id': name, 'age': 1} for name in 'abc']), 'c']),
            *(iter([iter([]), None]) for _ in range(20))]
        theirs.message_controller.bulk_delete.side_effect = (
            lambda *_, **__: self.pass_time(10))

        self.assertEqual([2, 1], list(purge._purge(theirs, 'q', 'p')))

    def test_ends_however_much_is_posted_meanwhile(self) -> None:
        self.post(*range(2), ttl=300)
        self.useFixture(fixtures.MonkeyPatch(
            'marconi_swift.manage.purge._AT_A_TIME', 2))
        moments = iter(range(0, 1000, 10))
        self.useFixture(fixtures.MonkeyPatch(
            'marconi_swift.manage.purge.time', types.SimpleNamespace(
                monotonic=lambda: float(next(moments)))))
        self.pass_time(60)
        purged = purge._purge(self.data, 'q', 'p')
        self.assertEqual(2, next(purged))

        # Ten seconds after it began.
        self.pass_time(10)
        self.post('new', ttl=300)

        self.assertEqual([], list(purged))
        self.assertEqual(['new'], self.bodies())


class TestClaims(CommandTest):

    def setUp(self) -> None:
        super().setUp()
        self.post(*range(5), ttl=300)
        self.first, self.held = self.claim(limit=2, ttl=60)
        self.second, _ = self.claim(limit=1, ttl=100)

    def test_are_listed_while_they_are_live(self) -> None:
        self.pass_time(10)
        self.assertEqual([
            {'Claim': self.first, 'TTL': 60, 'Age': 10, 'Ends in': 50,
             'Messages': 2},
            {'Claim': self.second, 'TTL': 100, 'Age': 10, 'Ends in': 90,
             'Messages': 1}], self.rows('claim', 'list', 'q'))

        self.pass_time(50)
        self.assertEqual([self.second], [
            row['Claim'] for row in self.rows('claim', 'list', 'q')])

    def test_are_shown(self) -> None:
        self.assertEqual({
            'claim': self.first, 'ttl': 60, 'age': 0,
            'messages': '\n'.join(message['id'] for message in self.held),
        }, self.rows('claim', 'show', 'q', str(self.first)))

    def test_are_released(self) -> None:
        said = self.works('claim', 'release', 'q', str(self.first))

        self.assertIn('2 messages', said)
        self.assertEqual((4, 1), self.stats())

    def test_that_are_none_are_refused(self) -> None:
        self.pass_time(61)
        for words in ('show', 'release'):
            for claim in (str(self.first), 'malformed'):
                self.assertIn(f'There is no claim {claim} in queue q',
                              self.refused('claim', words, 'q', claim))
