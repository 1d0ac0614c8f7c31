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
"""Claims, and what else happens to them, in every order there is."""

from collections.abc import Callable
from collections.abc import Sequence

import testtools
from zaqar.storage import errors

from tests.model import explorer
from tests.model import world as worlds


def claim(process: worlds.Process) -> tuple[str | None, list[str]]:
    return process.create()


class ModelTest(testtools.TestCase):
    """Has processes on a model of Swift, and a message or two."""

    #: Processes at most.
    width = 3

    def setUp(self) -> None:
        super().setUp()
        self.simulation = self.useFixture(worlds.Simulation(self.width))
        #: How many messages were won at each end that was checked.
        self.won: list[int] = []

    def begin(self, messages: int = 1) -> worlds.World:
        world = self.simulation.begin()
        self.posted = world.observer.post(messages)
        return world

    def check(
        self, world: worlds.World,
        others: Sequence[tuple[str | None, list[str]]] = (),
        refused: Sequence[worlds.Actor] = (),
    ) -> None:
        """Nobody shares, nothing is lost, and nobody fails.

        :param others: live claims that no actor of the world has made.
        :param refused: those who were told that their claim is over.
        """
        for actor in world.actors:
            if actor in refused:
                self.assertIsInstance(actor.error, errors.ClaimDoesNotExist)
            else:
                self.assertIsNone(actor.error)
        held = dict(others)
        for actor in world.actors:
            if isinstance(actor.result, tuple) and actor.result[0]:
                held[actor.result[0]] = actor.result[1]
        won = [message for messages in held.values() for message in messages]
        self.assertEqual(sorted(set(won)), sorted(won), 'Shared at once.')
        self.won.append(len(won))
        world.now += worlds.SETTLED
        world.swift.lag = False
        world.swift.flush_listings()
        _, later = world.observer.create()
        self.assertEqual(
            set(), set(later) & set(won), 'Claimed, and given to another.')
        for name, messages in held.items():
            for message in messages:
                world.observer.delete(message, name)
        if any(actor.crashed for actor in world.actors):
            # What a crashed claimer had recorded waits for that claim's end.
            world.now += worlds.TTL
            later += world.observer.create()[1]
            self.assertEqual(sorted(set(later)), sorted(later))
        self.assertEqual(
            set(self.posted), set(later) | set(won), 'Claimed by nobody.')

    def explore_all(self, begin: Callable[[], explorer.Run]) -> None:
        """Check all ends, of which the first is that of who goes first.

        Each of the others moves when those before it are done.
        """
        self.won = []
        report = explorer.explore(begin)
        self.addDetail('explored', testtools.content.text_content(
            f'{report}, nobody won at {self.won.count(0)} ends'))


class TestClaimers(ModelTest):

    def explore(
        self, claimers: int, messages: int = 1,
        events: Callable[[worlds.World], list[explorer.Event]] = (
            lambda world: []),
    ) -> None:
        def begin() -> explorer.Run:
            world = self.begin(messages)
            actors = [world.start(claim) for _ in range(claimers)]
            happening = events(world)
            return explorer.Run(
                world, [*actors, *happening], lambda: self.check(world),
                symmetric=not happening)

        self.explore_all(begin)
        # Nobody may win where they meet, but who goes first does.
        self.assertEqual(messages, self.won[0])

    def test_two(self) -> None:
        self.explore(2)

    def test_three(self) -> None:
        self.explore(3)

    def test_two_of_which_one_crashes(self) -> None:
        def crash(world: worlds.World) -> list[explorer.Event]:
            victim = world.actors[0]
            return [explorer.Event('crash A', victim.crash,
                                   lambda: not victim.done)]

        self.explore(2, events=crash)

    def test_two_for_two_messages(self) -> None:
        self.explore(2, messages=2)


class TestOneHolds(ModelTest):
    """One holds a message, and does something while others claim."""

    def explore(
        self, script: Callable[[worlds.Process, str], object],
        check: Callable[[worlds.World, str | None], None], *,
        claimers: int, age: float, moves: Sequence[float] = (),
    ) -> None:
        def begin() -> explorer.Run:
            world = self.begin()
            # An old listing makes others try for it; where clocks move,
            # they begin when they like, and the listing must be true.
            world.swift.lag = not moves
            held, _ = world.observer.create(ttl=60)
            assert held is not None
            world.now += age
            owner = world.start(
                lambda process: script(process, held), at_once=not moves)
            others = [world.start(claim, at_once=not moves)
                      for _ in range(claimers)]

            def move(number: int) -> explorer.Event:
                def happen() -> None:
                    world.now += moves[number]
                    clocks[number].happened = True
                return explorer.Event(
                    f'clock {number}', happen,
                    lambda: not number or clocks[number - 1].happened)

            clocks: list[explorer.Event] = []
            clocks += map(move, range(len(moves)))
            return explorer.Run(world, [owner, *others, *clocks],
                                lambda: check(world, held))

        self.explore_all(begin)

    def test_and_releases(self) -> None:
        for age in (1, worlds.SETTLED):
            self.explore(worlds.Process.release,
                         lambda world, held: self.check(world),
                         claimers=1, age=age)
            # By whom comes when it is released.
            self.assertEqual(1, self.won[0])

    def test_and_renews_when_it_expires(self) -> None:
        def check(world: worlds.World, held: str | None) -> None:
            renewer = world.actors[0]
            if renewer.error is None:
                self.check(world, [(held, self.posted)])
            else:
                self.check(world, refused=[renewer])

        self.explore(worlds.Process.renew, check, claimers=1, age=59,
                     moves=(1.5, 2))

    def test_and_deletes(self) -> None:
        def check(world: worlds.World, held: str | None) -> None:
            for other in world.actors[1:]:
                self.assertEqual((None, []), other.result)
            self.posted = []
            self.check(world)

        for age in (1, worlds.SETTLED):
            self.explore(
                lambda process, held: process.delete(self.posted[0], held),
                check, claimers=2, age=age)


class TestOverwrittenWinner(ModelTest):
    """A winner whose name losers wrote over in the gate and in the message.

    Found by :class:`TestClaimers`, and kept as words.
    """

    width = 4

    def enter_together(
        self, world: worlds.World, *scripts: worlds.Script,
    ) -> list[worlds.Actor]:
        """All find the gate empty, and arrive in this order."""
        actors = [world.start(script) for script in scripts]
        for actor in actors:
            actor.to('PUT gate check')
        for actor in actors:
            actor.to('PUT gate commit')
        return actors

    def test_by_one_that_turns_back_and_one_that_comes_late(self) -> None:
        world = self.begin()
        slow, winner, late = self.enter_together(world, claim, claim, claim)
        slow.to('POST message arrive')
        winner.finish()
        late.finish()
        slow.finish()

        self.assertIsNotNone(winner.result[0])
        self.check(world)

    def test_before_it_has_recorded_what_it_won(self) -> None:
        world = self.begin()
        slow, winner, late = self.enter_together(world, claim, claim, claim)
        slow.to('POST message arrive')
        winner.to('PUT claim arrive')
        late.finish()
        slow.finish()
        world.start(claim).finish()
        winner.finish()

        self.check(world)

    def test_by_one_that_crashes_and_one_that_comes_late(self) -> None:
        world = self.begin()
        slow, winner, late = self.enter_together(world, claim, claim, claim)
        slow.to('POST message arrive')
        winner.finish()
        late.to('GET message')
        late.crash()
        slow.finish()

        self.assertIsNotNone(winner.result[0])
        self.check(world)

    def test_by_one_that_writes_back_what_was_renewed_meanwhile(self) -> None:
        world = self.begin()
        slow, winner = self.enter_together(
            world, claim, lambda process: process.create(ttl=60))
        slow.to('POST message arrive')
        held, _ = winner.finish()
        world.observer.renew(held, ttl=300)
        slow.finish()
        # The gate, which says when the claim first was to end, is gone.
        world.now += 66 - worlds.SETTLED

        self.check(world)

    def test_by_a_crashed_loser_keeps_its_message(self) -> None:
        world = self.begin()
        slow, winner = self.enter_together(world, claim, claim)
        slow.to('POST message commit')
        winner.finish()
        slow.to('HEAD gate')
        slow.crash()

        self.assertIsNotNone(winner.result[0])
        self.check(world)


class TestLate(ModelTest):

    def test_for_the_gate_is_who_took_out_another_too_slowly(self) -> None:
        """Others may think its name void as soon as it is written."""
        world = self.begin()
        dead = world.start(claim)
        dead.to('POST message arrive')
        dead.crash()
        world.now += worlds.SETTLED
        late = world.start(claim)
        for step in 'HEAD gate arrive', 'DELETE gate arrive':
            late.to(step)
            world.now += 0.8 * worlds.LIMIT
        before = len(world.swift.requests)
        late.finish()

        self.assertEqual((None, []), late.result)
        self.assertNotIn('PUT', [
            request.method for request in world.swift.requests[before:]])
        self.check(world)


class TestOneClaimTwice(ModelTest):
    """What one client asks of its claim, twice at the same time."""

    def hold(self, world: worlds.World) -> str:
        held, _ = world.observer.create(ttl=60)
        assert held is not None
        return held

    def test_released_twice_leaves_the_next_claim_alone(self) -> None:
        world = self.begin()
        held = self.hold(world)
        again = world.start(lambda process: process.release(held))
        again.to('POST message arrive')
        world.observer.release(held)
        following = world.start(lambda process: process.create(ttl=60))
        following.finish()
        world.observer.renew(following.result[0])
        again.finish()
        # The gate of the following claim is gone.
        world.now += 66 - worlds.SETTLED

        self.check(world)

    def test_renewed_late_while_released_shares_nothing(self) -> None:
        """Its old name, over that of who won just now, is not void yet."""
        world = self.begin()
        held, _ = world.observer.create()
        world.now += worlds.SETTLED
        renewal = world.start(lambda process: process.renew(held))
        renewal.to('POST message arrive')
        world.observer.release(held)
        winner = world.start(claim)
        winner.to('PUT claim arrive')
        self.assertRaises(errors.ClaimDoesNotExist, renewal.finish)

        world.start(claim).finish()
        winner.finish()

        self.check(world, refused=[renewal])

    def test_renewed_while_released_is_released(self) -> None:
        world = self.begin()
        held = self.hold(world)
        renewal = world.start(lambda process: process.renew(held))
        renewal.to('POST message arrive')
        world.observer.release(held)
        world.start(claim).finish()

        self.assertRaises(errors.ClaimDoesNotExist, renewal.finish)
        self.assertRaises(
            errors.ClaimDoesNotExist,
            world.observer.delete, self.posted[0], held)
        self.check(world, refused=[renewal])
