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
"""The commands work beside objects that others put where ours are."""

import itertools

from marconi_swift.control import registry
from tests.unit import test_foreign
from tests.unit import test_manage_queues


class TestCommands(test_manage_queues.CommandTest):

    def plant(self) -> None:
        for foreign in itertools.chain(
                test_foreign.messages(test_foreign.ids()),
                test_foreign.misnamed_messages(), test_foreign.claims(),
                test_foreign.subscriptions(),
                *map(test_foreign.of_the_registry, registry.KINDS)):
            if not foreign.counts:
                self.store.make_container(foreign.container, None)
                self.store.replace(
                    foreign.container, foreign.name, body=foreign.body,
                    content_type=foreign.content_type)

    def test_write_what_they_did(self) -> None:
        self.post(1, 2, 3, ttl=3000)
        claim_id, _ = self.claim(limit=1)
        commands = [
            ('queue', 'show', 'q'), ('queue', 'peek', 'q'),
            ('claim', 'list', 'q'), ('claim', 'show', 'q', str(claim_id)),
            ('export', 'q'), ('gc',)]
        before = [self.command(*command) for command in commands]
        self.plant()
        planted = self.swift.stored()

        after = [self.command(*command) for command in commands]

        self.assertEqual([ran[:2] for ran in before],
                         [ran[:2] for ran in after])
        self.assertEqual(planted, self.swift.stored())

    def test_claims_are_released_and_queues_emptied(self) -> None:
        self.post(1, 2, 3, ttl=3000)
        claim_id, _ = self.claim(limit=1)
        self.plant()

        released = self.command('claim', 'release', 'q', str(claim_id))
        purged = self.command('purge', 'q', '--yes')

        self.assertIn('with 1 messages', released.output)
        self.assertIn('3 messages of queue q were deleted', purged.output)
