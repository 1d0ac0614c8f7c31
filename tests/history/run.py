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
"""Runs rounds of work and faults, and says what came of them.

``python -m tests.history.run`` runs all faults; see ``--help``. Exits 1 if
something happened that is promised not to.
"""

import argparse
from collections.abc import Iterable
from collections.abc import Sequence
import contextlib
import dataclasses
import itertools
import json
import pathlib
import random
import subprocess
import sys
import tempfile
import time
from typing import Any

import prettytable
from zaqar.storage import errors

from tests.fixtures import workers
from tests.history import calls
from tests.history import checker
from tests.history import faults
from tests.history import worker

#: Parts of a round: before the fault, under it, and after it.
_PARTS = 3

#: Seconds of a round, unless told otherwise: claims end in it, under the fault
#: and after it, and others take their messages.
_SECONDS = 60.0

#: Seconds that a worker may take to begin, and to end, on a busy machine.
_SLACK = 120.0

#: Seconds that a queue may take to be empty in the end, beyond what claims
#: that nobody gives back take: replicators and updaters must catch up.
_HEALING = 120.0

#: Looks at an empty queue, a second apart, before it counts as empty: the
#: replicas of a listing may differ.
_LOOKS = 4


@dataclasses.dataclass(frozen=True)
class Round:
    """What happened in one round."""

    fault: str
    promised: bool
    seed: int
    #: That clients worked, and until the queue was empty after that.
    seconds: float
    draining: float
    #: Messages that were there in the end: they could not be claimed in time
    #: (P5), or not deleted.
    stuck: int
    #: Why it says less than it should.
    vacuous: tuple[str, ...]
    verdict: checker.Verdict

    @property
    def failed(self) -> bool:
        broken = self.verdict.wrong or self.stuck > 0
        return bool(self.vacuous) or (self.promised and broken)

    def figures(self) -> dict[str, Any]:
        """What goes into a JSON file."""
        return {**dataclasses.asdict(self),
                'duplicated': self.verdict.duplicated}


class Rounds:
    """Rounds on one cluster, each on a queue of its own.

    :param folder: where the calls of all workers are written to.
    :param count: of workers at a time.
    :param lasts: seconds for which they work.
    """

    def __init__(
        self, cluster: faults.Cluster, folder: pathlib.Path,
        count: int = 4, lasts: float = _SECONDS,
    ) -> None:
        self._cluster = cluster
        self._folder = folder
        self._count = count
        self._lasts = lasts
        self._site = workers.Site(cluster.path)
        self._numbers = itertools.count()

    def run(self, fault: faults.Fault, seed: int) -> Round:
        """Let workers work, strike, heal, and look what is left."""
        queue = f'{fault.name.replace(" ", "-")}-{seed}'
        own = self._folder / f'{queue}-own'
        client = worker.Client(self._site, calls.Recorder(str(own)), queue)
        self._warm_up(queue, client)
        began = time.monotonic()
        crew = Crew(self._cluster.path, self._folder, queue, seed,
                    self._lasts, fault.offsets)
        with crew:
            for _ in range(self._count):
                crew.hire()
            crew.wait_until_busy()
            scene = faults.Scene(
                self._cluster, random.Random(f'{fault.name} {seed}'),
                crew.workers, crew.hire)
            time.sleep(self._lasts / _PARTS)
            heal = fault.strike(scene)
            try:
                time.sleep(self._lasts / _PARTS)
            finally:
                heal()
            crew.wait()
        ended = time.monotonic()
        worked = calls.read(crew.files)
        self._drain(queue, client, checker.remaining(worked))
        left = self._left(queue)
        return Round(
            fault.name, fault.promised, seed, round(ended - began, 1),
            round(time.monotonic() - ended, 1), len(left),
            tuple(vacuous(worked, fault.quiet)),
            checker.check(calls.read([own, *crew.files]), left))

    def _warm_up(self, queue: str, client: worker.Client) -> None:
        """Make a queue, and its containers, on all nodes."""
        self._site.queues.create(queue, project=worker.PROJECT)
        client.post(1)
        self._take(client)

    def _drain(
        self, queue: str, client: worker.Client, expected: Iterable[str],
    ) -> None:
        """Take out all messages, the expected ones and others."""
        missing, empty = set(expected), 0
        longest = max(worker.TTLS) + faults.FREE_AGAIN + _HEALING
        deadline = time.monotonic() + longest
        while (missing or empty < _LOOKS) and time.monotonic() < deadline:
            taken = self._take(client)
            missing -= taken
            # What is busy, or still heals, is asked again.
            with contextlib.suppress(errors.ConnectionError):
                counted = self._site.queues.stats(
                    queue, project=worker.PROJECT)['messages']
                empty = 0 if counted['total'] else empty + 1
            if not taken:
                time.sleep(1)

    def _take(self, client: worker.Client) -> set[str]:
        """Claim and delete some messages; returns what they are called."""
        # What a claim that is not answered holds is free again soon.
        claim, messages = client.claim(5, max(worker.TTLS))
        for message in messages:
            client.delete(message, claim or '')
        return set(map(worker.name, messages))

    def _left(self, queue: str) -> set[str]:
        """Messages that can be listed, claimed or not."""
        left, marker = set(), None
        while True:
            pages = self._site.data.message_controller.list(
                queue, project=worker.PROJECT, marker=marker, echo=True,
                include_claimed=True, limit=20)
            page = [worker.name(message) for message in next(pages)]
            if not page:
                return left
            left.update(page)
            marker = next(pages)


def vacuous(worked: Iterable[calls.Call], quiet: bool) -> Iterable[str]:
    """Say why the calls of workers prove little.

    :param quiet: whether nothing disturbed them.
    """
    worked = list(worked)
    done = {call.kind for call in worked
            if call.outcome is calls.Outcome.OK and call.messages}
    for kind in 'post', 'claim', 'delete':
        if kind not in done:
            yield f'no {kind} of a message was acknowledged'
    unknown = sum(call.outcome is calls.Outcome.UNKNOWN for call in worked)
    if quiet and unknown:
        yield f'{unknown} calls ended unknown, and nothing disturbed them'


class Crew(contextlib.ExitStack):
    """Worker processes; none outlives the ``with``.

    :ivar workers: those that are to do their work and end. One that is
        killed on purpose is taken out first.
    """

    def __init__(
        self, path: str, folder: pathlib.Path, queue: str, seed: int,
        lasts: float, offsets: Sequence[float],
    ) -> None:
        super().__init__()
        self.workers: list[subprocess.Popen[bytes]] = []
        self.files: list[pathlib.Path] = []
        self._path = path
        self._folder = folder
        self._queue = queue
        self._seed = seed
        self._lasts = lasts
        self._offsets = itertools.cycle(offsets)

    def hire(self) -> None:
        number = len(self.files)
        file = self._folder / f'{self._queue}-{number}'
        file.touch()
        process = subprocess.Popen([
            sys.executable, '-m', 'tests.history.worker', self._path,
            str(file), str(number), str(self._seed), self._queue,
            str(self._lasts), str(next(self._offsets))])
        self.callback(process.wait)
        self.callback(process.kill)
        self.workers.append(process)
        self.files.append(file)

    def wait_until_busy(self) -> None:
        deadline = time.monotonic() + _SLACK
        while not all(file.stat().st_size for file in self.files):
            self._check(deadline)
            time.sleep(0.1)

    def wait(self) -> None:
        """Wait until all have done their work."""
        deadline = time.monotonic() + self._lasts + _SLACK
        while any(process.poll() is None for process in self.workers):
            self._check(deadline)
            time.sleep(0.1)
        self._check(deadline)

    def _check(self, deadline: float) -> None:
        for process in self.workers:
            if process.poll():
                raise workers.Failure(
                    f'A worker ended with {process.poll()}: see its '
                    'traceback, if it is no signal.')
        if time.monotonic() > deadline:
            raise workers.Failure('A worker was not done in time.')


_COLUMNS = ('posted', 'recovered', 'lost', 'unexpected', 'duplicated',
            'stolen', 'refused', 'misordered', 'stale')


def table(rounds: Iterable[Round]) -> str:
    """Figures for people: of all seeds of a fault together."""
    drawn = prettytable.PrettyTable(
        ['fault', 'promised', 'rounds', 'calls', 'unknown', *_COLUMNS,
         'stuck'], align='r')
    drawn.align['fault'] = 'l'
    for name, group in itertools.groupby(
            sorted(rounds, key=lambda each: list(faults.FAULTS).index(
                each.fault)), key=lambda each: each.fault):
        same = list(group)
        verdicts = [each.verdict for each in same]
        drawn.add_row([
            name, 'yes' if same[0].promised else 'no', len(same),
            sum(sum(each.calls.values()) for each in verdicts),
            sum(count for each in verdicts
                for what, count in each.calls.items()
                if what.endswith('unknown')),
            *(sum(getattr(each, column) for each in verdicts)
              for column in _COLUMNS),
            sum(each.stuck for each in same)])
    return str(drawn)


def main() -> int:
    options = _parse()
    with (faults.Cluster() as cluster,
          tempfile.TemporaryDirectory() as folder):
        to_run = Rounds(
            cluster, pathlib.Path(options.keep or folder),
            options.workers, options.seconds)
        rounds = []
        for seed in range(options.seed, options.seed + options.seeds):
            for name in options.fault or faults.FAULTS:
                rounds.append(to_run.run(faults.FAULTS[name], seed))
                _show(rounds[-1])
                _write(options.json, rounds)
    sys.stdout.write(table(rounds) + '\n')
    return int(any(each.failed for each in rounds))


def _write(path: str | None, rounds: Iterable[Round]) -> None:
    """Write all figures so far, so that none are lost if a round fails."""
    if path:
        pathlib.Path(path).write_text(json.dumps(
            [each.figures() for each in rounds], indent=1))


def _show(done: Round) -> None:
    state = 'FAILED' if done.failed else 'ok'
    sys.stdout.write('\n    '.join([
        f'{state}: {done.fault}, seed {done.seed}: worked '
        f'{done.seconds:.0f} s, drained {done.draining:.0f} s, '
        f'{done.stuck} stuck', *done.vacuous,
        *done.verdict.violations[:20]]) + '\n')
    sys.stdout.flush()


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        'tests.history.run',
        description='Works on a real Swift while things go wrong, and checks '
                    'what clients saw.')
    add = parser.add_argument
    add('--fault', action='append', choices=list(faults.FAULTS),
        help='run only this one; may be repeated')
    add('--seed', type=int, default=1, help='the first (%(default)s)')
    add('--seeds', type=int, default=workers.scaled(2, 100),
        help='how many (%(default)s; ' + workers.SCALE_VARIABLE + ' scales '
             'it)')
    add('--workers', type=int, default=4, help='processes (%(default)s)')
    add('--seconds', type=float, default=_SECONDS,
        help='that they work in a round (%(default)s)')
    add('--json', metavar='FILE', help='write all figures there')
    add('--keep', metavar='DIR', help='leave the calls of all workers there')
    return parser.parse_args()


if __name__ == '__main__':
    sys.exit(main())
