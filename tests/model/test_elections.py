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
"""Of those who create a thing at the same time, one is told that it did."""

import testtools

from marconi_swift import election
from marconi_swift.store import objects
from tests.fixtures import fake_swift
from tests.model import explorer
from tests.model import world as worlds

RECORDS, RECORD = 'marconi:records', 'r'
TYPE = 'text/plain'


def points(step: str, request: fake_swift.Request) -> bool:
    """Every request is a step; a gate's PUT looks, and writes later."""
    if request.name is None:
        return False
    if request.method == 'PUT' and request.name != RECORD:
        return step in ('arrive', 'check', 'commit')
    return step == 'arrive'


def candidate(process: worlds.Process) -> election._Candidate:
    store = process.elections.store

    def write(hurried: objects.ObjectStore) -> None:
        hurried.replace(RECORDS, RECORD, content_type=TYPE)

    return election._Candidate(
        process.elections, 'key',
        lambda: store.head(RECORDS, RECORD) is not None, write)


def stand(process: worlds.Process) -> bool | None:
    """Try once, and clear the gates as whoever is done does."""
    standing = candidate(process)
    won = standing.stand()
    if won is not None:
        standing.leave()
    return won


class TestElections(testtools.TestCase):

    width = 3

    def setUp(self) -> None:
        super().setUp()
        self.simulation = self.useFixture(worlds.Simulation(self.width))

    def explore(self, candidates: int, crash: bool = False) -> None:
        def begin() -> explorer.Run:
            world = self.simulation.begin(points)
            for container in (RECORDS, 'marconi:elections'):
                world.swift.request('PUT', container)
            actors = [world.start(stand) for _ in range(candidates)]
            victim = actors[0]
            events = [explorer.Event(
                'crash A', victim.crash, lambda: not victim.done)]
            return explorer.Run(
                world, [*actors, *(events if crash else [])],
                lambda: self.check(world), symmetric=not crash)

        report = explorer.explore(begin)
        self.addDetail('explored', testtools.content.text_content(
            str(report)))
        self.assertGreater(report.ends, 1)

    def check(self, world: worlds.World) -> None:
        told = [actor.result for actor in world.actors]
        for actor in world.actors:
            if actor.error:
                raise AssertionError(repr(actor.error))
        self.assertLess(told.count(True), 2, told)
        written = world.observer.elections.store.head(RECORDS, RECORD)
        if False in told or True in told:
            self.assertIsNotNone(written)
        world.now += worlds.SETTLED
        # It is decided as soon as names are void, at the latest.
        self.assertIs(written is None, stand(world.observer))

    def test_of_two(self) -> None:
        self.explore(2)

    def test_of_three(self) -> None:
        self.explore(3)

    def test_of_two_of_whom_one_dies(self) -> None:
        self.explore(2, crash=True)
