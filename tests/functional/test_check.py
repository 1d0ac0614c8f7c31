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
"""marconi-swift-manage check, on a real Swift that is or is not as it should.

With Keystone: tests/cloud/test_check.py.
"""

import contextlib
import io
import json
import pathlib
import socket
import time
from typing import Any

import fixtures
import sqlalchemy
import testtools
from zaqar.storage.sqlalchemy import tables

from marconi_swift import driver
from marconi_swift.manage import shell
from tests.fixtures import conf
from tests.fixtures import logs
from tests.fixtures import swift


class CheckTest(testtools.TestCase):
    """Runs the command, and knows what it found."""

    #: Seconds for the expirer, whose passes take long on a busy machine.
    WAIT = str(swift.PATIENCE)

    def setUp(self) -> None:
        super().setUp()
        self.useFixture(logs.RootLogger())
        self.path = str(pathlib.Path(
            self.useFixture(fixtures.TempDir()).path, 'zaqar.conf'))

    def configure(
        self, settings: dict[str, Any], **sections: dict[str, Any],
    ) -> None:
        """Write a configuration; settings that are None are left out."""
        conf.write(self.path, sections, **{
            name: value for name, value in settings.items()
            if value is not None})

    def check(self, *arguments: str) -> int:
        """Run it; its rows are then ``found``."""
        with contextlib.redirect_stdout(io.StringIO()) as output, (
                contextlib.redirect_stderr(io.StringIO())) as said:
            status = shell.main([
                'check', '--config-file', self.path, '-f', 'json',
                '--wait', self.WAIT, *arguments])
        self.said = said.getvalue()
        self.found: list[dict[str, str]] = json.loads(output.getvalue())
        self.addDetail('found', testtools.content.text_content(
            output.getvalue() + self.said))
        return status

    def row(self, store: str, check: str) -> dict[str, str]:
        [row] = [row for row in self.found
                 if (row['Store'], row['Check']) == (store, check)]
        return row

    def assert_fails(
        self, check: str, seen: str, advice: str, *,
        store: str = 'management',
    ) -> None:
        """See that the fault is named, and what to do; and nothing else."""
        self.assertEqual(1, self.check('--wait', '0'))
        [first, *_] = [row for row in self.found
                       if row['Result'] == 'failed']
        self.assertEqual((store, check), (first['Store'], first['Check']))
        self.assertIn(seen, first['Seen'])
        self.assertIn(advice, first['What to do'])
        self.assertNotIn('Traceback', self.said)


class SwiftCheckTest(CheckTest):

    sweep_interval = swift.SWEEP_INTERVAL

    def setUp(self) -> None:
        super().setUp()
        self.swift = self.useFixture(
            swift.RealSwift(sweep_interval=self.sweep_interval))
        self.login = {
            'auth_type': 'v1password', 'auth_url': self.swift.auth_url,
            'username': self.swift.username,
            'password': self.swift.password}

    def containers(self) -> set[str]:
        _, listed = self.swift.connect().get_account()
        return {container['name'] for container in listed}


class ExpirerTest(SwiftCheckTest):
    """Waits for an expirer that has nothing else to do."""

    sweep_interval = swift.BRISK

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.addClassCleanup(swift.stop, 1, cls.sweep_interval)

    def test_what_works_is_ok_and_nothing_is_left(self) -> None:
        self.configure(self.login)

        self.assertEqual(0, self.check())

        self.assertEqual({'ok'}, {row['Result'] for row in self.found})
        for store, last in (('management', 'queues'),
                            ('marconi-swift', 'messages')):
            self.assertEqual(
                ['options', 'authentication', 'account', 'limits', 'clock',
                 'storage policy', 'container', 'conditional PUT', 'listing',
                 'conditional DELETE', last, 'expirer'],
                [row['Check'] for row in self.found
                 if row['Store'] == store])
        self.assertEqual(
            {'marconi:queues', 'marconi:elections'}, self.containers())
        self.assertIn('Swift 2.', self.row('management', 'limits')['Seen'])

    def test_no_expirer(self) -> None:
        expirer = self.swift.swift.processes['object-expirer']
        expirer.stop()
        self.addCleanup(expirer.start)
        self.configure(self.login)

        self.assertEqual(0, self.check('--wait', '3'))

        row = self.row('marconi-swift', 'expirer')
        self.assertEqual('warning', row['Result'])
        self.assertIn('still listed', row['Seen'])
        self.assertIn('marconi-swift-manage gc', row['What to do'])
        self.assertEqual(
            {'marconi:queues', 'marconi:elections'}, self.containers())


class WorksTest(SwiftCheckTest):

    def test_nothing_is_written_if_it_is_told_so(self) -> None:
        self.configure(self.login)

        self.assertEqual(0, self.check('--read-only'))

        self.assertEqual({'ok'}, {row['Result'] for row in self.found})
        self.assertEqual(12, len(self.found))
        self.assertEqual(set(), self.containers())

    def test_a_policy_that_there_is_works(self) -> None:
        self.configure({**self.login, 'storage_policy': 'second'})

        self.assertEqual(0, self.check('--wait', '0'))

    def test_a_management_store_of_another_driver_is_tried(self) -> None:
        self.configure(self.login)
        path = pathlib.Path(self.path)
        database = f'sqlite:///{path.with_name("db")}'
        path.write_text(
            path.read_text().replace('management_store = marconi-swift',
                                     'management_store = sqlalchemy')
            + f'\n[drivers:management_store:sqlalchemy]\nuri = {database}\n')
        self.assert_fails('queues', 'no such table', 'zaqar-sql-db-manage')
        self.assertEqual(
            'skipped', self.row('marconi-swift', 'messages')['Result'])

        tables.metadata.create_all(sqlalchemy.create_engine(database))

        self.assertEqual(0, self.check('--wait', '0'))
        self.assertEqual(
            'ok', self.row('marconi-swift', 'messages')['Result'])

    def test_pools_are_checked_and_those_of_others_named(self) -> None:
        self.configure(self.login, DEFAULT={'pooling': 'True'})
        self.assertEqual(0, self.check('--wait', '0'))
        self.assertEqual(
            'there is no pool', self.row('pools', 'options')['Seen'])
        control = driver.ControlDriver(conf.read(self.path), None)
        self.addCleanup(control.close)
        for name, uri in (
                ('broken', 'marconi-swift://?storage_policy=golden'),
                ('theirs', 'redis://127.0.0.1:9'),
                ('works', 'marconi-swift://?container_prefix=works')):
            control.pools_controller.create(name, 1, uri, flavor=name)

        self.assert_fails(
            'storage policy', 'golden', 'Policy-0', store='broken')

        self.assertEqual('ok', self.row('works', 'messages')['Result'])
        row = self.row('theirs', 'options')
        self.assertEqual('skipped', row['Result'])
        self.assertIn('redis', row['Seen'])
        self.assertEqual(0, self.check('--wait', '0', '--store', 'works'))


class BrokenTest(SwiftCheckTest):

    def test_wrong_password(self) -> None:
        self.configure({**self.login, 'password': 'wrong'})

        self.assert_fails('authentication', '401', 'password')

    def test_nobody_at_auth_url(self) -> None:
        with socket.create_server(('127.0.0.1', 0)) as server:
            port = server.getsockname()[1]
        url = f'http://127.0.0.1:{port}/auth/v1.0'
        self.configure({**self.login, 'auth_url': url})

        self.assert_fails('authentication', url, 'runs and can be reached')

    def test_unknown_storage_policy(self) -> None:
        self.configure({**self.login, 'storage_policy': 'golden'})

        self.assert_fails(
            'storage policy', 'golden', 'Policy-0, second')
        self.assertEqual(set(), self.containers())

    def test_bad_value(self) -> None:
        self.configure({**self.login, 'retries': 'many'})

        self.assert_fails(
            'options', "option retries from LocationInfo", 'Correct')
        self.assertIn(self.path, self.found[0]['Seen'])

    def test_options_that_do_not_agree(self) -> None:
        self.configure({**self.login, 'claim_attempt_limit': '40'})

        self.assert_fails('options', 'claim_attempt_limit = 40', 'Lower',
                          store='marconi-swift')

    def test_no_auth_type(self) -> None:
        self.configure({**self.login, 'auth_type': None})

        self.assert_fails('options', 'No auth_type is set', 'Correct')

    def test_no_such_file(self) -> None:
        self.assert_fails('options', self.path, 'Correct')

    def test_another_account(self) -> None:
        other = self.swift.fresh_account()
        self.configure({
            **self.login, 'endpoint_override': other.storage_url})

        self.assert_fails('account', 'Swift answered 403', 'operator_roles')

    def test_clocks_that_differ(self) -> None:
        self.configure(self.login)
        self.set_clock(-100)
        self.assert_fails('clock', 's ahead of this one', 'NTP')

        self.set_clock(10)

        self.assertEqual(0, self.check('--wait', '0'))
        row = self.row('management', 'clock')
        self.assertEqual('warning', row['Result'])
        self.assertIn('s behind this one', row['Seen'])
        self.assertIn('NTP', row['What to do'])

    def set_clock(self, ahead: float) -> None:
        """Let the clock of this process go on, ahead of Swift's."""
        def utcnow_ts(microsecond: bool = False) -> float:
            now = time.time() + ahead
            return now if microsecond else int(now)

        self.useFixture(fixtures.MonkeyPatch(
            'oslo_utils.timeutils.utcnow_ts', utcnow_ts))
