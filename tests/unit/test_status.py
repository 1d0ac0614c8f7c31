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
"""The command marconi-swift-status, on a model of Swift."""

import contextlib
import io
import json
import pathlib

import fixtures

from marconi_swift.manage import status
from tests.fixtures import fake_swift
from tests.unit import test_sweeping


class StatusTest(test_sweeping.SweepingTest):

    def setUp(self) -> None:
        super().setUp()
        # oslo.log tells of a deprecated option once in a process.
        self.useFixture(fixtures.MonkeyPatch(
            'oslo_log.versionutils._deprecated_messages_sent', {}))

    def check(self, *config: str) -> dict[str, tuple[int, str]]:
        """Run it; result and details by the name of the check.

        :param config: what finds the configuration, if not its path.
        """
        with contextlib.redirect_stdout(io.StringIO()) as output:
            self.status = status.main([
                *(config or ('--config-file', self.drivers.path)),
                'upgrade', 'check', '--json'])
        return {found['check']: (found['result'], found['details'])
                for found in json.loads(output.getvalue())['checks']}

    def test_what_works_is_ready_and_nothing_is_changed(self) -> None:
        self.post(1, 2, ttl=300)
        self.claim(limit=1)
        self.data.subscription_controller.create(
            'q', 'http://here', 300, {}, project='p')
        before = self.swift.stored()

        self.assertEqual(
            {'Options': (0, None), 'Stores': (0, None),
             'Stored formats': (0, None)}, self.check())

        self.assertEqual(0, self.status)
        self.assertEqual(before, self.swift.stored())

    def test_deprecated_options_are_a_warning(self) -> None:
        with open(self.drivers.path, 'a') as file:
            file.write('interface = internal\n')

        code, details = self.check()['Options']

        self.assertEqual((1, 1), (self.status, code))
        self.assertIn('Use option "valid-interfaces"', details)

    def test_what_can_not_be_read_is_a_warning(self) -> None:
        [posted] = self.post(1, ttl=300)
        for name, content_type in (
                ('odd', 'text/plain'),
                (posted, 'application/json;v=2;ttl=60;expires=3000000000')):
            self.put(self.container, name, content_type)
        self.put('marconi:queues', 'p:new', 'application/json')

        code, details = self.check()['Stored formats']

        self.assertEqual((1, 1), (self.status, code))
        self.assertIn(
            f'{self.container}/{posted}, {self.container}/odd, queues p:new: '
            'written by another release', details)

    def test_only_the_first_are_named(self) -> None:
        for number in range(8):
            self.put(self.container, f'odd{number}', 'text/plain')

        _, details = self.check()['Stored formats']

        self.assertIn('odd4 and 3 more: written', details)

    def test_a_store_that_does_not_answer_is_a_failure(self) -> None:
        self.swift.faults += [fake_swift.Fault(
            1, 'before', 503, lambda request: request.method == 'HEAD')]

        found = self.check()

        self.assertEqual((2, 2), (self.status, found['Stores'][0]))
        self.assertIn('Swift answered 503', found['Stores'][1])
        self.assertEqual((0, None), found['Stored formats'])

    def test_wrong_options_are_a_failure(self) -> None:
        path = pathlib.Path(self.drivers.path)
        path.write_text(path.read_text().replace(
            'auth_type = none', 'auth_type = magic'))

        self.assertIn("'magic'", self.check()['Options'][1])

        self.assertEqual(2, self.status)

    def test_message_stores_of_another_driver_are_not_looked_at(self) -> None:
        path = pathlib.Path(self.drivers.path)
        path.write_text(path.read_text().replace(
            'message_store = marconi-swift', 'message_store = mongodb'))
        self.put('marconi:queues', 'p:new', 'application/json')
        self.put(self.container, 'odd', 'text/plain')

        found = self.check()

        self.assertEqual([(0, None), (0, None)], [
            found['Options'], found['Stores']])
        self.assertIn('queues p:new: written', found['Stored formats'][1])

    def test_stores_of_other_drivers_are_a_failure(self) -> None:
        path = pathlib.Path(self.drivers.path)
        path.write_text(path.read_text().replace(
            'management_store = marconi-swift', 'management_store = sqlalchemy'
        ).replace('message_store = marconi-swift', 'message_store = mongodb'))

        self.assertIn('nor a pool is marconi-swift', self.check()['Stores'][1])

        self.assertEqual(2, self.status)

    def test_a_configuration_is_found_as_zaqar_finds_it(self) -> None:
        path = pathlib.Path(self.drivers.path)
        folder = path.with_name('conf.d')
        folder.mkdir()
        folder.joinpath('wrong.conf').write_text(
            path.read_text().replace('auth_type = none', 'auth_type = magic'))

        self.assertIn("'magic'", self.check(
            '--config-dir', str(folder))['Options'][1])
        self.assertEqual((0, None), self.check(
            '--config-dir', str(folder), '--config-file', str(path),
        )['Options'])

    def test_a_configuration_that_is_not_there_can_not_be_looked_at(
        self,
    ) -> None:
        missing = f'{self.drivers.path}.not'
        with contextlib.redirect_stderr(io.StringIO()) as said:
            found = status.main(['--config-file', missing, 'upgrade', 'check'])

        self.assertEqual(255, found)
        self.assertIn(missing, said.getvalue())
