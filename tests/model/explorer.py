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
"""Every run of some processes, by depth-first search with replay.

A run is a word of choices: which process takes the next step. Runs start
from the same world and processes are deterministic, so a word always leads
to the same state, and the search goes back by running a prefix again.

A state is entered once. That is sound: what can follow from a state, and
what will be found wrong there, depends on what is stored, on the requests
under way, and on where each process is, all of which the state's key
(:meth:`tests.model.world.World.key`) holds. It holds no more than that:
stamps only by their order, since Swift only compares them and whatever
arrives later is newer; no words, since nothing remembers how it was
reached. With equal scripts, who is who does not matter either.

Processes that crash, and clocks that move, are choices like any other.
"""

from collections.abc import Callable
import dataclasses
from typing import Protocol

from tests.model import world as worlds

Word = tuple[str, ...]


class Mover(Protocol):
    """What a word's letters move."""

    @property
    def name(self) -> str:
        ...

    @property
    def done(self) -> bool:
        ...

    def advance(self) -> None:
        ...


@dataclasses.dataclass
class Event:
    """Something that happens once, at any moment."""

    name: str
    happen: Callable[[], None]
    #: Whether it still can.
    possible: Callable[[], bool] = lambda: True
    happened: bool = False

    @property
    def done(self) -> bool:
        return self.happened or not self.possible()

    def advance(self) -> None:
        self.happened = True
        self.happen()


@dataclasses.dataclass
class Run:
    world: worlds.World
    movers: list[Mover]
    #: Called when nothing can move any more; raises if something is wrong.
    check: Callable[[], None]
    symmetric: bool = False

    def choices(self) -> list[str]:
        return [mover.name for mover in self.movers if not mover.done]

    def move(self, choice: str) -> None:
        [mover] = [mover for mover in self.movers if mover.name == choice]
        mover.advance()

    def key(self) -> int:
        happened = [mover.name for mover in self.movers if mover.done]
        return hash((self.world.key(self.symmetric),
                     *(happened if not self.symmetric else ())))


@dataclasses.dataclass
class Report:
    states: int = 0
    runs: int = 0
    ends: int = 0


class Violation(AssertionError):
    """Names the word that leads to it."""


def explore(begin: Callable[[], Run]) -> Report:
    """Run every word once; raises with the first that goes wrong."""
    report = Report()
    seen: set[int] = set()
    todo: list[Word] = [()]
    while todo:
        word = todo.pop()
        report.runs += 1
        run = begin()
        for choice in word:
            run.move(choice)
        while choices := run.choices():
            key = run.key()
            if key in seen:
                break
            seen.add(key)
            todo += [(*word, choice) for choice in choices[1:]]
            run.move(choices[0])
            word = (*word, choices[0])
        else:
            report.ends += 1
            try:
                run.check()
            except AssertionError as exc:
                raise Violation(f'{" ".join(word)}: {exc}') from exc
        run.world.end()
    report.states = len(seen)
    return report
