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
"""The command marconi-swift-manage, run in this process."""

import collections
from collections.abc import Mapping
import contextlib
import io
import json
import pathlib
from typing import Any
from typing import NamedTuple
from urllib import parse

import fixtures
from testtools import matchers

from marconi_swift import driver
from marconi_swift import names
from marconi_swift import records
from marconi_swift.data import probing
from marconi_swift.manage import shell
from marconi_swift.manage import stores
from marconi_swift.store import errors
from marconi_swift.store import transport
from tests.fixtures import conf
from tests.fixtures import fake_swift
from tests.fixtures import logs
from tests.unit import test_sweeping

_LONG = 6000

#: Where the accounts of the pools are.
_HERE = 'http://[::1]/'


class Run(NamedTuple):
    """What a command ended with."""

    status: int
    rows: list[dict[str, Any]]
    #: What it told on its standard error.
    said: str

    def found(self) -> list[tuple[Any, ...]]:
        return [tuple(row.values()) for row in self.rows]


class ManageTest(test_sweeping.SweepingTest):

    def setUp(self) -> None:
        super().setUp()
        self.path = self.drivers.path
        self.useFixture(logs.RootLogger())

    def run_command(self, *arguments: str, configured: bool = True) -> Run:
        config = ('--config-file', self.path) if configured else ()
        with contextlib.redirect_stdout(io.StringIO()) as output, (
                contextlib.redirect_stderr(io.StringIO())) as said:
            status = shell.main(['gc', *config, '-f', 'json', *arguments])
        rows = json.loads(output.getvalue()) if output.getvalue() else []
        return Run(status, rows, said.getvalue())

    def gc(self, *arguments: str) -> list[tuple[Any, ...]]:
        """Run it where nothing is wrong."""
        run = self.run_command(*arguments)
        self.assertEqual((0, ''), (run.status, run.said))
        return run.found()

    def refused(self, *arguments: str, **kwargs: Any) -> str:
        """Run it where it does nothing; return what it says."""
        before = self.swift.stored()
        run = self.run_command(*arguments, **kwargs)
        self.assertEqual((1, []), (run.status, run.rows))
        self.assertEqual(before, self.swift.stored())
        return run.said

    def configure(
        self, sections: Mapping[str, Mapping[str, Any]], **settings: Any,
    ) -> None:
        conf.write(self.path, sections, auth_type='none',
                   endpoint_override=_HERE, **settings)


class TestGc(ManageTest):

    def setUp(self) -> None:
        super().setUp()
        self.half = self.half_delete('half', 1, 2)
        self.post(1, ttl=60)
        self.post(2, ttl=_LONG)
        self.pass_time(120)

    def test_lists_what_it_removes(self) -> None:
        run = self.run_command()

        self.assertEqual((0, ''), (run.status, run.said))
        self.assertEqual([
            {'Store': 'marconi-swift', 'Container': 'marconi:claims:p:half',
             'Expired': 0, 'Orphaned': 0, 'Dropped': True},
            {'Store': 'marconi-swift', 'Container': self.half,
             'Expired': 0, 'Orphaned': 2, 'Dropped': True},
            {'Store': 'marconi-swift', 'Container': self.container,
             'Expired': 1, 'Orphaned': 0, 'Dropped': False},
        ], run.rows)
        self.assertNotIn(self.half, self.containers())
        self.assertEqual([2], self.bodies())
        self.assertEqual([], self.gc())

    def test_removes_nothing_in_a_dry_run(self) -> None:
        before = self.swift.stored()

        rehearsed = self.gc('--dry-run')

        self.assertEqual(before, self.swift.stored())
        self.assertIn(self.half, self.containers())
        self.assertEqual(3, len(rehearsed))
        self.assertEqual(rehearsed, self.gc())

    def test_removes_nothing_where_swift_can_not_tell_what_there_is(
        self,
    ) -> None:
        """It says 404 of objects whose container it can not look up."""
        asked = fake_swift.FakeSwift.request

        def request(
            swift: fake_swift.FakeSwift, method: str,
            container: str | None = None, name: str | None = None,
            **kwargs: Any,
        ) -> Any:
            if (method, container) == ('HEAD', 'marconi:queues'):
                return transport.Response(503 if name is None else 404, {},
                                          b'')
            return asked(swift, method, container, name, **kwargs)

        before = self.swift.stored()
        with fixtures.MonkeyPatch(
                'tests.fixtures.fake_swift.FakeSwift.request', request):
            run = self.run_command()

        self.assertEqual(1, run.status)
        self.assertIn('503', run.said)
        self.assertEqual(before, self.swift.stored())

    def test_takes_the_store_that_it_is_told(self) -> None:
        self.assertEqual(3, len(self.gc('--store', 'marconi-swift')))

    def test_refuses_a_store_that_there_is_not(self) -> None:
        self.assertIn('There is no store other, but marconi-swift.',
                      self.refused('--store', 'other'))

    def test_goes_on_after_a_container(self) -> None:
        found = self.gc('--store', 'marconi-swift', '--after', self.half)

        self.assertEqual([self.container], [row[1] for row in found])
        self.assertIn(self.half, self.containers())

    def test_refuses_a_container_of_no_store(self) -> None:
        self.assertIn('--after needs --store',
                      self.refused('--after', self.half))

    def test_leaves_queues_that_nobody_knows_unless_it_is_forced(
        self,
    ) -> None:
        self.store.empty_container('marconi:queues')

        run = self.run_command()

        self.assertEqual(0, run.status)
        self.assertEqual(
            [('marconi-swift', self.container, 1, 0, False)], run.found())
        self.assertIn(
            'The management store knows none of the queues in store '
            'marconi-swift.', run.said)
        self.assertEqual(2, len(self.stored(self.half)))
        self.assertEqual([
            ('marconi-swift', 'marconi:claims:p:half', 0, 0, True),
            ('marconi-swift', self.claims_container, 0, 0, True),
            ('marconi-swift', self.half, 0, 2, True),
            ('marconi-swift', self.container, 0, 1, True),
        ], self.gc('--force'))

    def leave_probe(self) -> str:
        """Leave what somebody leaves who died in a probe."""
        queue = names.first_id(1e9)
        left = names.messages('marconi', probing.PROJECT, queue)
        self.drivers.control.queue_controller.create(
            queue, project=probing.PROJECT)
        self.swift.request('PUT', left)
        self.swift.request('PUT', left, 'a-file', headers={
            'Content-Type': 'text/plain'})
        return queue

    def test_deletes_the_queues_of_probes_that_are_over(self) -> None:
        queue = self.leave_probe()
        left = names.messages('marconi', probing.PROJECT, queue)
        before = self.swift.stored()

        rehearsed = self.gc('--dry-run')

        self.assertEqual(before, self.swift.stored())
        self.assertIn(('marconi-swift', left, 0, 1, True), rehearsed)
        self.assertEqual(rehearsed, self.gc())
        self.assertNotIn(left, self.containers())
        self.assertFalse(self.drivers.control.queue_controller.exists(
            queue, probing.PROJECT))

    def test_takes_no_probe_for_a_queue_that_somebody_knows(self) -> None:
        self.store.empty_container('marconi:queues')
        left = names.messages(
            'marconi', probing.PROJECT, self.leave_probe())

        runs = [self.run_command(*how) for how in (('--dry-run',), ())]

        for run in runs:
            self.assertEqual([
                ('marconi-swift', left, 0, 1, True),
                ('marconi-swift', self.container, 1, 0, False),
            ], run.found())
            self.assertIn('knows none of the queues', run.said)

    def test_refuses_a_configuration_that_is_not_there(self) -> None:
        missing = f'{self.path}.not'

        said = self.refused('--config-file', missing, configured=False)

        self.assertIn(missing, said)

    def test_refuses_a_configuration_of_other_stores(self) -> None:
        path = pathlib.Path(self.path)
        path.write_text(path.read_text().replace(
            'message_store = marconi-swift', 'message_store = mongodb'))

        self.assertIn(
            'Neither message_store in [drivers] nor a pool is marconi-swift '
            f'in {self.path}.', self.refused())

    def test_refuses_a_configuration_that_zaqar_can_not_load(self) -> None:
        self.configure({'profiler': {'enabled': 'True'}})

        self.assertIn('trace_management_store', self.refused())

    def test_is_traced_if_it_is_told_to_be(self) -> None:
        self.configure({'profiler': {
            'enabled': 'True', 'trace_message_store': 'True',
            'trace_management_store': 'True'}})

        self.assertEqual(3, len(self.gc()))

    def test_takes_several_configurations(self) -> None:
        other = pathlib.Path(self.path).with_name('other.conf')
        other.write_text('[drivers:message_store:marconi-swift]\n'
                         'container_prefix = other\n')

        self.assertEqual([], self.gc('--config-file', str(other)))
        self.assertIn(self.half, self.containers())

    def test_tells_how_far_it_is_if_that_takes_long(self) -> None:
        self.useFixture(fixtures.MonkeyPatch(
            'marconi_swift.manage.gc._REPORT_EVERY', -1.0))

        run = self.run_command()

        self.assertEqual(0, run.status)
        self.assertEqual([
            f'Store marconi-swift is swept up to container {container}.'
            for container in (
                'marconi:claims:p:half', self.claims_container,
                'marconi:elections', self.half, self.container)],
            run.said.splitlines())

    def test_tells_how_far_it_was_when_swift_failed(self) -> None:
        self.swift.faults.append(fake_swift.Fault(
            1, 'before', 503, lambda request: (
                request.method, request.container) == (
                    'GET', self.container)))

        run = self.run_command()

        self.assertEqual(1, run.status)
        self.assertEqual([
            ('marconi-swift', 'marconi:claims:p:half', 0, 0, True),
            ('marconi-swift', self.half, 0, 2, True)], run.found())
        self.assertIn('Store marconi-swift could not be swept to its end: '
                      'Swift answered 503', run.said)
        _, _, further = run.said.partition('To go on: ')
        self.assertEqual(
            ['--store', 'marconi-swift', '--after', self.half],
            further.split())
        self.assertEqual(
            [('marconi-swift', self.container, 1, 0, False)],
            self.gc(*further.split()))

    def test_tells_what_to_sweep_when_swift_failed_at_once(self) -> None:
        for error in (503, errors.Unanswered('lost'),
                      errors.Unauthorized('who?')):
            self.swift.faults[:] = [fake_swift.Fault(
                1, 'before', error, lambda request: (
                    request.method, request.container) == ('GET', None))]

            said = self.refused()

            self.assertThat(said.splitlines()[-1], matchers.EndsWith(
                'To go on: --store marconi-swift'))

        self.assertEqual(3, len(self.gc()))

    def test_closes_what_it_opened(self) -> None:
        closed: list[None] = []
        self.swift.close = (  # type: ignore[method-assign]
            lambda: closed.append(None))
        self.gc('--dry-run')
        # Both stores.
        self.assertEqual([None] * 2, closed)

        self.swift.faults.append(fake_swift.Fault(
            1, 'before', 503, lambda request: request.method == 'DELETE'))
        self.assertEqual(1, self.run_command().status)

        self.assertEqual([None] * 4, closed)

    def test_tells_what_it_did_when_it_is_interrupted(self) -> None:
        self.swift.faults.append(fake_swift.Fault(
            1, 'before', KeyboardInterrupt(), lambda request: (
                request.method, request.container) == (
                    'GET', self.container)))

        run = self.run_command()

        self.assertEqual(130, run.status)
        self.assertEqual([
            ('marconi-swift', 'marconi:claims:p:half', 0, 0, True),
            ('marconi-swift', self.half, 0, 2, True)], run.found())
        self.assertEqual(
            'Interrupted in store marconi-swift. To go on: --store '
            f'marconi-swift --after {self.half}\n', run.said)


class TestGcThatFails(ManageTest):

    def test_tells_where_to_go_on_whatever_was_found_so_far(self) -> None:
        for arguments in ((), ('--store', 'marconi-swift',
                               '--after', 'marconi:elections')):
            # There is nothing to remove before the container that fails.
            self.post(1, ttl=6000)
            self.swift.faults[:] = [fake_swift.Fault(
                1, 'before', 503, lambda request: (
                    request.method, request.container) == (
                        'GET', self.container))]

            self.assertIn('--after marconi:elections',
                          self.run_command(*arguments).said)


class TestGcOfPools(ManageTest):
    """Each pool has an account of its own, as the stores have together."""

    def setUp(self) -> None:
        super().setUp()
        self.accounts: dict[str, fake_swift.FakeSwift] = (
            collections.defaultdict(
                lambda: fake_swift.FakeSwift(records.now)))
        self.accounts[_HERE] = self.swift
        self.useFixture(fixtures.MonkeyPatch(
            'marconi_swift.driver.connect',
            lambda settings: self.accounts[settings.endpoint_override]))
        self.configure({'DEFAULT': {'pooling': 'True'}}, retries=0)
        self.pools = self.control.pools_controller

    def account(self, pool: str) -> fake_swift.FakeSwift:
        return self.accounts[f'{_HERE}{pool}']

    def pool(self, name: str, extra: str = '', **options: Any) -> None:
        override = parse.quote(f'{_HERE}{name}', safe='')
        self.pools.create(
            name, 1, f'marconi-swift://?endpoint_override={override}{extra}',
            options=options)

    def fill(self, pool: str, prefix: str = 'marconi') -> None:
        """Put into a pool a queue that there is, and one that is not."""
        account = self.account(pool)
        for queue in ('q', 'half'):
            container = names.messages(prefix, 'p', queue)
            account.request('PUT', container)
            account.request('PUT', container, 'a-file', headers={
                'Content-Type': 'text/plain'})

    def left(self, pool: str) -> list[str]:
        return [row['name'] for row in json.loads(self.account(pool).request(
            'GET', query={'format': 'json'}).body)]

    def test_sweeps_each_of_them(self) -> None:
        for name in 'ab':
            self.pool(name)
            self.fill(name)

        self.assertEqual(
            [(name, 'marconi:messages:p:half', 0, 1, True) for name in 'ab'],
            self.gc())

        for name in 'ab':
            self.assertEqual(['marconi:messages:p:q'], self.left(name))

    def test_sweeps_the_one_that_it_is_told(self) -> None:
        for name in 'ab':
            self.pool(name)
            self.fill(name)

        self.assertEqual(
            [('b', 'marconi:messages:p:half', 0, 1, True)],
            self.gc('--store', 'b'))
        self.assertEqual(2, len(self.left('a')))
        self.assertIn('There is no store c, but a, b.',
                      self.refused('--store', 'c'))

    def test_gives_each_its_own_options(self) -> None:
        self.pool('a', container_prefix='one')
        self.pool('c')
        for prefix in ('one', 'marconi'):
            for name in 'ac':
                self.fill(name, prefix)

        self.assertEqual([('a', 'one:messages:p:half', 0, 1, True),
                          ('c', 'marconi:messages:p:half', 0, 1, True)],
                         self.gc())

        kept = {f'{prefix}:messages:p:{queue}' for prefix in ('one', 'marconi')
                for queue in ('q', 'half')}
        self.assertEqual(kept - {'one:messages:p:half'}, set(self.left('a')))
        self.assertEqual(
            kept - {'marconi:messages:p:half'}, set(self.left('c')))

    def test_goes_on_if_one_is_broken(self) -> None:
        self.pool('a')
        self.pool('b', '&auth_type=magic')
        self.pool('c')
        for name in 'abc':
            self.fill(name)

        run = self.run_command()

        self.assertEqual(1, run.status)
        self.assertEqual(
            [(name, 'marconi:messages:p:half', 0, 1, True) for name in 'ac'],
            run.found())
        self.assertIn('Store b could not be swept to its end: ', run.said)
        self.assertIn("The auth_type 'magic'", run.said)
        self.assertIn('To go on: --store b', run.said)
        self.assertEqual(2, len(self.left('b')))

    def test_goes_on_if_zaqar_can_not_read_one(self) -> None:
        for name in 'abc':
            self.pool(name)
        # As a release left it that did not refuse such options.
        pools, key = self.control.registry('pools'), names.scoped(None, 'b')
        pools.replace(key, {
            **(pools.read(key) or {}), 'options': {'container_prefix': None}})
        for name in 'ac':
            self.fill(name)

        run = self.run_command()

        self.assertEqual(1, run.status)
        self.assertEqual({'a', 'c'}, {row[0] for row in run.found()})
        self.assertIn('Store b', run.said)

    def test_goes_on_if_one_does_not_answer(self) -> None:
        for name in 'ab':
            self.pool(name)
            self.fill(name)
        self.account('a').faults.append(fake_swift.Fault(
            1, 'before', errors.Unanswered('nobody is there')))

        run = self.run_command()

        self.assertEqual(1, run.status)
        self.assertEqual(
            [('b', 'marconi:messages:p:half', 0, 1, True)], run.found())
        self.assertIn('Store a could not be swept to its end: nobody is '
                      'there', run.said)

    def test_names_those_that_an_interruption_left_out(self) -> None:
        for name in 'abc':
            self.pool(name)
            self.fill(name)
        self.account('b').faults.append(fake_swift.Fault(
            1, 'before', KeyboardInterrupt()))

        run = self.run_command()

        self.assertEqual(130, run.status)
        self.assertEqual(['a'], [row[0] for row in run.found()])
        self.assertIn('To go on: --store b\n', run.said)
        self.assertIn('Not swept at all: --store c\n', run.said)

    def test_drops_what_a_queue_that_moved_left_in_one(self) -> None:
        for name in 'ab':
            self.pool(name)
            self.fill(name)
        self.control.catalogue_controller.insert('p', 'q', 'b')
        self.account('a').request('DELETE', 'marconi:messages:p:q', 'a-file')
        self.account('b').request('DELETE', 'marconi:messages:p:q', 'a-file')

        self.assertEqual(
            [('a', 'marconi:messages:p:half', 0, 1, True),
             ('a', 'marconi:messages:p:q', 0, 0, True),
             ('b', 'marconi:messages:p:half', 0, 1, True)], self.gc())

        self.assertEqual(['marconi:messages:p:q'], self.left('b'))

    def test_leaves_the_configured_store_to_a_virtual_pool(self) -> None:
        self.half_delete('half', 1)
        self.pool('a')
        self.assertEqual([], self.gc())

        self.configure({'DEFAULT': {'pooling': 'True'},
                        'pooling:catalog': {'enable_virtual_pool': 'True'}})

        self.assertEqual(
            [('marconi-swift', 'marconi:claims:p:half', 0, 0, True),
             ('marconi-swift', 'marconi:messages:p:half', 0, 1, True)],
            self.gc())

    def ours(self) -> list[stores.Store]:
        return stores.Deployment(stores.named(self.path)).ours()

    def test_leaves_them_out_where_they_are_not_used(self) -> None:
        self.pool('a')
        self.fill('a')
        self.configure({})

        self.assertEqual(['marconi-swift'], [
            store.name for store in self.ours()])
        self.assertEqual([], self.gc())
        self.assertEqual(2, len(self.left('a')))

    def test_leaves_out_those_of_other_drivers(self) -> None:
        self.pools.create('theirs', 1, 'redis://[::1]:9', flavor='fast')
        self.assertIn('nor a pool is marconi-swift', self.refused())

        self.pool('ours')

        self.assertEqual(['ours'], [
            store.name for store in self.ours()])
        self.assertEqual([], self.gc())

    def test_opens_each_store_whatever_it_is_called(self) -> None:
        self.configure({'DEFAULT': {'pooling': 'True'},
                        'pooling:catalog': {'enable_virtual_pool': 'True'}})
        self.pool('marconi-swift', container_prefix='one')
        deployment = stores.Deployment(stores.named(self.path))

        self.assertEqual(
            ['marconi', 'one'],
            [deployment.opened(store).account.settings.container_prefix
             for store in deployment.ours()])

    def test_are_those_of_queues_that_mongodb_manages(self) -> None:
        """Zaqar's mongodb driver asks its cache about each queue."""
        client = self.useFixture(fixtures.MockPatch(
            'zaqar.storage.mongodb.driver.pymongo.MongoClient')).mock
        found = client.return_value.__getitem__.return_value.queues
        self.configure({})
        path = pathlib.Path(self.path)
        path.write_text(path.read_text().replace(
            'management_store = marconi-swift', 'management_store = mongodb'))
        deployment = stores.Deployment(stores.named(self.path))

        opened = deployment.driver_of('q', 'p')
        deployment.queues(opened).delete('q', project='p')

        found.delete_one.assert_called_once_with({'p_q': 'p/q'})
        found.find_one.return_value = None
        self.assertRaises(
            stores.NoSuchQueue, deployment.driver_of, 'q', 'p')

    def test_knows_all_files_and_folders_that_it_was_read_from(self) -> None:
        folders = [pathlib.Path(self.path).with_name(name) for name in 'ab']
        for folder in folders:
            folder.mkdir()
        arguments = [f'--config-dir={folder}' for folder in folders]
        deployment = stores.Deployment(
            [*arguments, *stores.named(self.path)])

        self.assertEqual(
            [self.path, *map(str, folders)], deployment.sources())

    def test_opens_drivers_that_post_and_claim(self) -> None:
        self.pool('a', container_prefix='one')
        [store] = self.ours()

        opened = store.open()

        self.assertIsInstance(opened, driver.DataDriver)
        [posted] = opened.message_controller.post(
            'q', [{'ttl': 60, 'body': 1}], 'x', project='p')
        opened.close()
        self.assertEqual(1, opened.message_controller.get(
            'q', posted, project='p')['body'])
        self.assertEqual(['one:messages:p:q'], self.left('a'))
