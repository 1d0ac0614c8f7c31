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
"""marconi-swift-manage on queues in pools of several drivers."""

import contextlib
import io
import json
from typing import Any

from marconi_swift import options
from marconi_swift.manage import shell
from tests.fixtures import logs
from tests.fixtures import redis
from tests.functional import test_pools


class ManageTest(test_pools.PooledTest):
    """Has a queue in a pool of this driver, and one in a Redis."""

    def setUp(self) -> None:
        super().setUp()
        self.useFixture(logs.RootLogger())
        self.register('swift', f'{options.SCHEME}://?auth_section=one')
        self.register('redis', self.useFixture(redis.Redis()).uri)
        for name in ('swift', 'redis'):
            self.create(name, f'in-{name}')

    def command(self, *arguments: str) -> str:
        """Run one that works, and return what it writes."""
        with contextlib.redirect_stdout(io.StringIO()) as output, (
                contextlib.redirect_stderr(io.StringIO())) as said:
            status = shell.main([*arguments, '--config-file', self.path])
        self.assertEqual(0, status, said.getvalue())
        return output.getvalue()

    def rows(self, *arguments: str) -> Any:
        return json.loads(self.command(
            *arguments, '--project', test_pools.PROJECT, '-f', 'json'))

    def bodies(self, queue: str) -> list[Any]:
        return [json.loads(row['Body'])
                for row in self.rows('queue', 'peek', queue, '--limit', '0')]

    def test_shows_what_is_in_each(self) -> None:
        for name in ('swift', 'redis'):
            self.post(f'in-{name}', *range(5))
            self.claim(f'in-{name}')
            self.post(f'in-{name}', 5, 6)

        self.assertEqual(
            [('in-redis', 'redis'), ('in-swift', 'swift')],
            [(row['Queue'], row['Store'])
             for row in self.rows('queue', 'list')])
        self.assertEqual([(2, 5, 7)] * 2, [
            (row['Free'], row['Claimed'], row['Total'])
            for row in self.rows('stats')])
        for name in ('swift', 'redis'):
            self.assertEqual(list(range(7)), self.bodies(f'in-{name}'))
            shown = self.rows('queue', 'show', f'in-{name}')
            self.assertEqual((name, 7), (shown['store'], shown['total']))

    def test_empties_each(self) -> None:
        for name in ('swift', 'redis'):
            self.post(f'in-{name}', *range(20))
            self.post(f'in-{name}', *range(20))
            self.claim(f'in-{name}')

            said = self.command('purge', f'in-{name}', '--yes', '--project',
                                test_pools.PROJECT)

            self.assertIn('40 messages', said)
            self.assertEqual([], self.bodies(f'in-{name}'))

    def test_takes_messages_from_one_to_the_other(self) -> None:
        bodies = [{'n': n, 'text': 'zwölf'} for n in range(20)]
        self.post('in-redis', *bodies)
        self.post('in-redis', *bodies)
        file = f'{self.path}.jsonl'
        project = ('--project', test_pools.PROJECT)

        for source, target in (('redis', 'swift'), ('swift', 'redis')):
            self.command('export', f'in-{source}', file, *project)
            self.command('purge', f'in-{source}', '--yes', *project)
            self.command('import', file, '--queue', f'in-{target}')

            self.assertEqual(bodies * 2, self.bodies(f'in-{target}'))
            self.assertEqual([], self.bodies(f'in-{source}'))

    def test_releases_claims(self) -> None:
        for name in ('swift', 'redis'):
            self.post(f'in-{name}', 1)
            [message] = self.claim(f'in-{name}')
            claim = message['href'].partition('claim_id=')[2]

            self.command('claim', 'release', f'in-{name}', claim,
                         '--project', test_pools.PROJECT)

            self.assertEqual(1, len(self.claim(f'in-{name}')))
