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
"""The command marconi-swift-manage check, on a model of Swift."""

from collections.abc import Callable
import itertools
import logging
import pathlib
from typing import Any

import fixtures

from marconi_swift import names
from marconi_swift.data import probing
from marconi_swift.store import errors
from tests.fixtures import fake_swift
from tests.unit import test_manage_queues
from tests.unit import test_options


class TestCheck(test_manage_queues.CommandTest):

    def setUp(self) -> None:
        super().setUp()
        self.log = self.useFixture(fixtures.FakeLogger(level=logging.DEBUG))

    def check(self, *arguments: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.rows(
            'check', '--wait', '0', *arguments)
        return found

    def write(self, *lines: str) -> None:
        with open(self.drivers.path, 'a') as file:
            file.writelines(f'{line}\n' for line in lines)

    def test_leaves_nothing_behind(self) -> None:
        before = self.containers()

        found = self.check()

        self.assertEqual({'ok'}, {row['Result'] for row in found})
        self.assertEqual(before, self.containers())
        self.assertEqual([], self.left())

    def left(self) -> list[str]:
        """What there is of the queues of checks: containers and records."""
        containers = [name for name in self.containers()
                      if f':{probing.PROJECT}:' in name]
        return containers + [row['Queue'] for row in self.rows(
            'queue', 'list', '--project', probing.PROJECT)]

    def kill(self, at: Callable[[fake_swift.Request], bool]) -> None:
        """Run a check of which nothing reaches Swift from a request on."""
        dead = False

        def on_step(step: str, request: fake_swift.Request) -> None:
            nonlocal dead
            dead = dead or at(request)
            if dead:
                raise errors.SwiftError('Killed.')

        self.swift.on_step = on_step
        self.assertEqual(1, self.command('check', '--wait', '0').status)
        self.swift.on_step = None

    def leave(self) -> list[str]:
        """Leave what killed checks leave, of each kind; return that."""
        # Where a queue was made in the management store alone, or in both.
        self.kill(lambda request: request.container == 'marconi:pools')
        self.kill(lambda request: request.method == 'DELETE'
                  and names.is_message_id(request.name))
        left = self.left()
        # A container of each store's probe, and those of a queue.
        self.assertEqual(5 + 2, len(left))
        return left

    def test_removes_what_was_left_once_that_is_over(self) -> None:
        left = self.leave()
        self.pass_time(probing.OVER - 60)
        self.check()
        self.assertEqual(left, self.left())

        self.pass_time(120)
        self.check()

        self.assertEqual([], self.left())

    def test_gc_removes_what_was_left(self) -> None:
        self.leave()
        self.pass_time(probing.OVER + 60)

        self.command('gc')

        self.assertEqual([], self.left())

    def test_removes_what_is_where_only_the_management_store_is(self) -> None:
        path = pathlib.Path(self.drivers.path)
        path.write_text(path.read_text().replace(
            '[drivers:management_store:marconi-swift]',
            '[drivers:management_store:marconi-swift]\n'
            'container_prefix = control'))
        for remove in (('check', '--wait', '0'), ('gc',)):
            self.kill(lambda request: request.container == 'control:pools')
            # The container of the probe, and the record of a queue.
            self.assertEqual(2, len(self.left()))
            self.pass_time(probing.OVER + 60)

            self.assertEqual(0, self.command(*remove).status)

            self.assertEqual([], self.left())

    def test_warns_of_names_that_mean_nothing(self) -> None:
        self.write('timout = 5', 'cache-time = 2',
                   '[drivers:message_store:redis]', 'anything = 1')

        [row] = [row for row in self.check() if row['Result'] == 'warning']

        self.assertEqual(('management', 'options'),
                         (row['Store'], row['Check']))
        self.assertEqual(
            'no option of this driver: timout in '
            '[drivers:management_store:marconi-swift] (is that timeout?)',
            row['Seen'])

    def test_knows_the_options_of_the_auth_type(self) -> None:
        path = pathlib.Path(self.drivers.path)
        path.write_text(path.read_text().replace('auth_type = none', (
            'auth_type = password\nauth_url = http://[::1]/\n'
            'username = u\npassword = p\nuser_domain_id = d')))

        self.assertEqual({'ok'}, {row['Result'] for row in self.check()})

    def test_shows_what_it_saw_when_it_is_interrupted(self) -> None:
        self.swift.faults.append(fake_swift.Fault(
            1, 'before', KeyboardInterrupt(),
            lambda request: request.name == 'row'))

        ran = self.command('check', '--wait', '0', '-f', 'value')

        self.assertEqual(130, ran.status)
        self.assertIn('management conditional PUT ok', ran.output)
        self.assertNotIn('listing', ran.output)
        self.assertEqual([], [
            name for name in self.containers() if 'check' in name])

    def test_goes_on_after_a_store_that_is_broken(self) -> None:
        self.pooled(works='first')
        self.control.pools_controller.create(
            'broken', 1, 'marconi-swift://?no_such_option=1')

        ran = self.command('check', '--wait', '0', '-f', 'value')

        self.assertEqual(1, ran.status)
        self.assertIn('broken options failed', ran.output)
        self.assertIn('no_such_option', ran.output)
        self.assertIn('works messages ok', ran.output)
        self.assertNotIn('Traceback', ran.said)
        # Only while it loads: what else Zaqar logs is logged.
        self.assertEqual(
            logging.NOTSET, logging.getLogger('zaqar.storage.utils').level)

    def test_does_not_show_what_is_in_a_uri(self) -> None:
        usual = pathlib.Path(self.drivers.path).read_text()
        for uri in test_options.SECRETIVE_URIS:
            pathlib.Path(self.drivers.path).write_text(usual.replace(
                'uri = marconi-swift://', f'uri = {uri}'))
            self.assert_no_secret()
        pathlib.Path(self.drivers.path).write_text(usual)

        self.pooled()
        # Zaqar itself makes no pools of those that the library can not split.
        for uri in test_options.SECRETIVE_URIS[:4]:
            self.control.pools_controller.create('pool', 1, uri)
            self.assert_no_secret()

    def assert_no_secret(self) -> None:
        ran = self.command('check', '--wait', '0', '-f', 'value')
        self.assertEqual(1, ran.status)
        self.assertIn('can not be read', ran.output)
        for part, shown in itertools.product(
                test_options.SECRETS, (ran.output, ran.said, self.log.output)):
            self.assertNotIn(part, shown)

    def test_refuses_a_store_that_there_is_not(self) -> None:
        self.assertIn('There is no store other',
                      self.command('check', '--store', 'other').said)
