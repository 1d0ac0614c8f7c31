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
"""What clients did, written down before and after each call.

A process appends a line to a file of its own when it calls, and one when it
is answered, so that one that is killed leaves a call without an answer. Times
are of ``time.monotonic``, which all processes of a machine share.
"""

from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence
import dataclasses
import enum
import json
import math
import os
import pathlib
import time
from typing import Any


class Outcome(enum.Enum):
    """What a client knows of a call."""

    OK = 'ok'
    #: It had no effect, and will have none.
    REFUSED = 'refused'
    #: It may have had its effect, or may have it yet.
    UNKNOWN = 'unknown'


@dataclasses.dataclass(frozen=True)
class Call:
    """One call of a client."""

    #: post, claim, renew, release, delete or list.
    kind: str
    invoked: float
    #: Infinite if the outcome is unknown: its effect may come at any time.
    completed: float
    outcome: Outcome
    #: What its bodies say that the messages are called: those posted,
    #: claimed or listed, or the one deleted.
    messages: tuple[str, ...] = ()
    #: That was made, or is renewed, released or deleted with.
    claim: str | None = None
    #: Seconds that a claim or renewal asked for.
    ttl: int = 0
    #: What an exception said.
    error: str = ''
    #: Which process made it.
    client: str = ''


class Recorder:
    """Writes the calls of one process to a file."""

    def __init__(self, path: str) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        self._number = 0

    def invoke(self, kind: str, **what: Any) -> int:
        """Note that a call begins; return its number."""
        self._number += 1
        self._write(number=self._number, kind=kind, invoked=time.monotonic(),
                    **what)
        return self._number

    def complete(self, number: int, outcome: Outcome, **what: Any) -> None:
        """Note how it ended, and what was learnt."""
        self._write(number=number, completed=time.monotonic(),
                    outcome=outcome.value, **what)

    def _write(self, **line: Any) -> None:
        # One system call: what was written survives SIGKILL.
        os.write(self._file, json.dumps(line).encode() + b'\n')


def read(paths: Iterable[pathlib.Path]) -> list[Call]:
    """Read the calls of all processes, by when they began."""
    calls = [call for path in paths for call in _read_one(path)]
    return sorted(calls, key=lambda call: call.invoked)


def _read_one(path: pathlib.Path) -> Iterator[Call]:
    found: dict[int, dict[str, Any]] = {}
    for line in path.read_bytes().splitlines(keepends=True):
        # The last line of one who was killed may have no end.
        if line.endswith(b'\n'):
            said = json.loads(line)
            found.setdefault(said.pop('number'), {}).update(said)
    for said in found.values():
        outcome = Outcome(said.pop('outcome', 'unknown'))
        completed = said.pop('completed', math.inf)
        if outcome is Outcome.UNKNOWN:
            completed = math.inf
        messages: Sequence[str] = said.pop('messages', ())
        yield Call(outcome=outcome, completed=completed, client=path.name,
                   messages=tuple(messages), **said)
