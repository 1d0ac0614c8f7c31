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
"""Isolation, on a model of Swift and on a real one."""

import functools

import hypothesis
from hypothesis import strategies

from tests.contract import isolation
from tests.fixtures import conf
from tests.fixtures import workers


class FakeSwiftTest(isolation.Isolation):

    pairs = isolation.MORE_PAIRS
    make_drivers = staticmethod(functools.partial(
        conf.FakeDrivers, retries=0, cache_time=0))

    def test_markers_lead_to_nothing_of_others(self) -> None:
        here, there = isolation.PAIRS['another project']
        owner, other = self.furnish(here), self.furnish(there)
        later = self.post(here, 'later')

        @hypothesis.settings(
            max_examples=workers.scaled(100, 20_000), deadline=None,
            database=None)
        @hypothesis.given(_changes(owner.marker) | _changes(other.marker))
        def follow(marker: str) -> None:
            found = self.messages.list(
                'q', project='p', marker=marker, echo=True,
                include_claimed=True, limit=100)
            self.assertTrue(
                {*owner.ids, *later} >= {
                    message['id'] for message in next(found)}, marker)

        follow()
        self.assertEqual(later, self.listed(here, marker=owner.ids[-1]))


def _changes(marker: str) -> strategies.SearchStrategy[str]:
    """A marker with some of its characters changed, gone or added."""
    characters = strategies.characters(codec='ascii')
    places = strategies.integers(0, len(marker))

    def change(at: int, to: str, length: int) -> str:
        return marker[:at] + to + marker[at + length:]

    return strategies.builds(
        change, places, strategies.text(characters, max_size=5),
        strategies.sampled_from([0, 1, 2, 16, 9999])) | (
            strategies.integers(1, 200).map(marker.__mul__))


class SpreadFakeSwiftTest(FakeSwiftTest):
    """Queues that are spread over several containers."""

    make_drivers = staticmethod(functools.partial(
        conf.FakeDrivers, retries=0, cache_time=0, containers_per_queue=4))


class RealSwiftTest(isolation.Isolation):

    make_drivers = staticmethod(functools.partial(
        conf.Drivers, cache_time=0))
