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

"""The page of stored formats leaves nothing out."""

import json
import pathlib

import testtools

from marconi_swift import names
from marconi_swift import records
from marconi_swift.control import registry
import tests
from tests.fixtures import conf

PAGE = pathlib.Path(tests.__file__).parents[1].joinpath(
    'doc/source/contributor/stored-formats.rst').read_text()

HOLD = records.Hold('a claim', 2, renewed=1)
PASS = records.Pass(HOLD, 60)
MESSAGE = records.Message(
    id=names.new_message_id(), ttl=1, expires=1.0, poster='p',
    delayed_until=1.0, checksum='c', claim_count=1, hold=HOLD)
CLAIM = records.Claim.made(PASS, 1, 1.0, {MESSAGE.id: MESSAGE})
SUBSCRIPTION = records.Subscription(
    id=names.new_message_id(), subscriber='http://s', ttl=1, expires=1.0,
    options={})


TYPES = (
    PASS.content_type(), MESSAGE.content_type(), CLAIM.content_type(),
    SUBSCRIPTION.content_type(), SUBSCRIPTION.holder_type(),
    records.until_type(1))


def _parameters() -> set[str]:
    """Names of all parameters that a Content-Type can have."""
    return {
        parameter.partition('=')[0]
        for content_type in TYPES
        for parameter in content_type.split(';')[1:]}


class TestStoredFormats(testtools.TestCase):

    def test_parameters_are_told(self) -> None:
        self.assertEqual([], [
            name for name in _parameters() if f'``{name}``' not in PAGE])

    def test_all_say_their_version(self) -> None:
        for content_type in TYPES:
            self.assertIn('v=1', content_type.split(';'))
        for body in (CLAIM.body(), SUBSCRIPTION.body()):
            self.assertEqual(1, records.load(body)['v'])

    def test_records_of_the_control_plane_are_told(self) -> None:
        drivers = self.useFixture(conf.FakeDrivers(cache_time=0))
        control = drivers.control
        control.queue_controller.create('q', project='p')
        control.topic_controller.create('q', project='p')
        control.pools_controller.create('q', 1, 'redis://')
        control.flavors_controller.create('q', project='p')
        control.catalogue_controller.insert('p', 'q', 'q')

        for kind, fields in registry.KINDS.items():
            [row] = control.account.store.page(f'marconi:{kind}')
            stored = control.account.store.read(
                f'marconi:{kind}', row.name)
            record = json.loads(stored.body)
            self.assertEqual(1, record.pop('v'))
            self.assertEqual(set(fields), set(record))
            self.assertEqual(
                [], [name for name in record if f'``{name}``' not in PAGE])

    def test_members_of_bodies_are_told(self) -> None:
        bodies = records.load(CLAIM.body()), records.load(SUBSCRIPTION.body())

        self.assertEqual([], [
            name for body in bodies for name in body
            if f'``{name}``' not in PAGE])

    def test_containers_are_told(self) -> None:
        for container in (
                names.messages('<prefix>', None, 'q'),
                names.claims('<prefix>', None, 'q'),
                names.topic_messages('<prefix>', None, 'q'),
                names.subscriptions('<prefix>', None, 'q'),
                names.registry('<prefix>', names.ELECTIONS),
                *(names.registry('<prefix>', kind) for kind in (
                    'queues', 'topics', 'pools', 'flavors', 'catalogue'))):
            kind = container.removesuffix('::q')
            self.assertIn(f'``{kind}', PAGE)
