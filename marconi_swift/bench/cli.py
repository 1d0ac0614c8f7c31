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

"""The command ``marconi-swift-bench``."""

import argparse
from collections.abc import Iterator
from collections.abc import Sequence
import contextlib
import logging
import math
import pathlib
import shutil
import sys
import tempfile
import time

from marconi_swift.bench import drivers
from marconi_swift.bench import growth as growths
from marconi_swift.bench import measuring
from marconi_swift.bench import plan as plans
from marconi_swift.bench import report
from marconi_swift.bench import servers
from marconi_swift.bench import work as works
from marconi_swift.standalone import cli
from marconi_swift.standalone import errors

PROGRAM = 'marconi-swift-bench'

DESCRIPTION = """\
Does the same work through this driver, through those that come with Zaqar and
through bare requests to Swift, in alternation, on a Swift that it starts; and
tells how long each took, what it asked of Swift, and whether it was right."""

#: What is measured unless options say otherwise: seconds of delay, replicas,
#: rounds, and seconds for each driver and work.
FULL = {'delays': [0.0, 5.0, 20.0], 'replicas': [1, 3], 'rounds': 10,
        'budget': 6.0}
QUICK = {'delays': [0.0, 20.0], 'replicas': [1], 'rounds': 3, 'budget': 1.0}


def main(argv: Sequence[str] | None = None) -> str | None:
    """Do what the command line says; return what ``sys.exit`` is to be given.

    That is None, or what went wrong, which it prints for a status of 1.
    """
    options = parse(argv)
    cli.stop_on_signals()
    try:
        options.function(options)
    except KeyboardInterrupt:
        return f'{PROGRAM}: stopped'
    except (errors.StandaloneError, OSError, ValueError) as error:
        return f'{PROGRAM}: {error}'
    return None


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line; argparse ends the program if it is wrong."""
    parser = argparse.ArgumentParser(PROGRAM, description=DESCRIPTION)
    commands = parser.add_subparsers(required=True, metavar='COMMAND')
    _add_run(commands.add_parser('run', help='measure'))
    _add_growth(commands.add_parser(
        'growth', help='measure what grows with what is kept'))
    table = commands.add_parser('table', help='show a report as text')
    table.add_argument('report', type=pathlib.Path, help='the JSON of a run')
    table.set_defaults(function=show)
    plot = commands.add_parser('plot', help='draw a report')
    plot.add_argument('report', type=pathlib.Path, help='the JSON of a run')
    plot.add_argument('folder', type=pathlib.Path,
                      help='where SVG files are written')
    plot.set_defaults(function=draw)
    docs = commands.add_parser(
        'docs', help='write the plots, and tables as CSV, beside a report')
    docs.add_argument('report', type=pathlib.Path, help='the JSON of a run')
    docs.set_defaults(function=publish)
    options = parser.parse_args(argv)
    options.command = [PROGRAM, *(sys.argv[1:] if argv is None else argv)]
    return options


def _add_run(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    sizes = plans.Sizes()
    add('--quick', action='store_true',
        help='the central work alone, small, in less than two minutes')
    add('--json', type=pathlib.Path, metavar='FILE',
        help='where the report is written, and kept up to date meanwhile')
    add('--data', type=pathlib.Path, metavar='DIR',
        help='where the data of the servers go, so which disk is measured '
             '(a temporary folder)')
    add('--drivers', nargs='+', metavar='NAME',
        help='which are measured: of marconi-swift, swift, redis, mongodb '
             'and "bare Swift" (all that are there)')
    add('--work', nargs='+', metavar='TEXT', default=[''],
        help='measure only work whose name has one of these in it')
    add('--list', action='store_true', help='name all work, and do none')
    add('--redis-server', metavar='PROGRAM', default='redis-server',
        help='the program of a Redis to start (%(default)s, if there is one)')
    add('--mongodb', metavar='URI',
        help='a MongoDB to measure, in databases named '
             'marconi_swift_bench_..., which are left there')
    add('--delays', nargs='+', type=float, metavar='MS',
        help='milliseconds for which the proxy holds each request, as a '
             f'network would; 0 is all work ({_shown("delays")})')
    add('--replicas', nargs='+', type=int, metavar='N',
        help=f'copies that Swift keeps; 1 is all work ({_shown("replicas")})')
    add('--load', type=int, metavar='N', default=0,
        help='processes that do nothing but keep a processor busy meanwhile, '
             'as on a machine that has other work (%(default)s)')
    add('--rounds', type=cli.positive, metavar='N',
        help=f'how often each work is done at most ({_shown("rounds")})')
    add('--budget', type=float, metavar='SECONDS',
        help='time after which a driver does a work no more, having done it '
             f'once at least ({_shown("budget")})')
    add('--queues', nargs='+', type=int, metavar='N',
        help=f'messages in queues that are listed {sizes.queues}; at least '
             'two numbers, of which the second is that of stats')
    add('--claimed', nargs='+', type=int, metavar='N',
        help=f'claimed messages in front of others {sizes.claimed}')
    add('--messages', type=int, metavar='N',
        help=f'messages of a life, and of a race ({sizes.messages})')
    add('--threads', nargs='+', type=int, metavar='N',
        help=f'consumers of a life {sizes.threads}')
    add('--processes', type=int, metavar='N',
        help=f'of a race ({sizes.processes})')
    add('--many', type=int, metavar='N',
        help=f'queues that are used at once ({sizes.many})')
    add('--bodies', nargs='+', type=int, metavar='BYTES',
        help=f'sizes of bodies, beside {drivers.SIZE} bytes {sizes.bodies}')
    parser.set_defaults(function=run)


def _add_growth(parser: argparse.ArgumentParser) -> None:
    sizes = growths.Sizes()
    add = parser.add_argument
    add('--json', type=pathlib.Path, metavar='FILE',
        help='where the report is written, and kept up to date meanwhile')
    add('--data', type=pathlib.Path, metavar='DIR',
        help='where the data of the Swift go (a temporary folder)')
    add('--rounds', type=cli.positive, metavar='N', default=5,
        help='how often each work is done at each point (%(default)s)')
    for name, what in (('messages', 'in a queue'),
                       ('deleted', 'deleted from a queue before'),
                       ('queues', 'of a project')):
        usual = getattr(sizes, name)
        add(f'--{name}', nargs='*', type=int, metavar='N', default=usual,
            help=f'points of the curve, smallest first: {name} {what} '
                 f'{usual}')
    parser.set_defaults(function=grow)


def _shown(option: str) -> str:
    value = FULL[option]
    return (' '.join(f'{each:g}' for each in value)
            if isinstance(value, list) else f'{value:g}')


def sizes_of(options: argparse.Namespace) -> plans.Sizes:
    """How much of each work was asked for."""
    usual = plans.QUICK if options.quick else plans.Sizes()
    given = {name: getattr(options, name) for name in usual.__dict__}
    sizes = plans.Sizes(**{
        name: usual.__dict__[name] if value is None else value
        for name, value in given.items()})
    if len(sizes.queues) < 2:
        raise ValueError('--queues needs two numbers at least.')
    return sizes


def fill_in(options: argparse.Namespace) -> None:
    """Say the usual where nothing was said."""
    for name, value in (QUICK if options.quick else FULL).items():
        if getattr(options, name) is None:
            setattr(options, name, value)


def run(options: argparse.Namespace) -> None:
    """Measure all that was asked for, and print it.

    :raises marconi_swift.standalone.errors.StandaloneError: something could
        not be started.
    """
    fill_in(options)
    if options.list:
        names = [work.name for work in plans.everything(sizes_of(options))]
        sys.stdout.write('\n'.join(names) + '\n')
        return
    # What drivers log of errors is counted.
    logging.getLogger().addHandler(logging.NullHandler())
    told = report.Report(options.json, options.command)
    for replicas in options.replicas:
        with _folder(options.data) as folder, servers.busy(options.load):
            _measure(options, folder, replicas, told)
    sys.stdout.write(report.text(told.content))


def _measure(
    options: argparse.Namespace, folder: pathlib.Path, replicas: int,
    told: report.Report,
) -> None:
    redis = shutil.which(options.redis_server)
    there = servers.available(redis, options.mongodb)
    wanted = options.drivers or there
    if missing := set(wanted) - set(there):
        raise ValueError(f'There is no {" and no ".join(sorted(missing))} to '
                         f'measure; there are {", ".join(there)}.')
    plan = list(planned(options, replicas))
    progress = Progress(len(plan))
    progress.tell(f'starting a Swift with {replicas} replicas in {folder}')
    with servers.site(folder, wanted, replicas=replicas, redis_server=redis,
                      mongodb=options.mongodb) as site:
        for driver in site.drivers:
            driver.warm_up()
        meter = measuring.Meter(
            site.drivers, site.tally, rounds=options.rounds,
            budget=options.budget, tell=progress.tell)
        try:
            for work, delay in plan:
                progress.step()
                told.add(meter.measure(work, delay), replicas)
        finally:
            for work, _ in plan:
                work.close()


def planned(
    options: argparse.Namespace, replicas: int,
) -> Iterator[tuple[works.Work, float]]:
    """All work, and the seconds of delay with which it is done."""
    everything = [
        work for work in plans.everything(sizes_of(options))
        if any(text in work.name for text in options.work)]
    for delay in options.delays:
        if replicas > 1 and delay:
            continue
        all_of_it = not (delay or replicas > 1 or options.quick)
        for work in everything:
            # What was named is done, central or not.
            if all_of_it or work.central or options.work != ['']:
                yield work, delay / 1000


def grow(options: argparse.Namespace) -> None:
    """Measure how costs grow, and print it.

    :raises marconi_swift.standalone.errors.StandaloneError: as :func:`run`.
    """
    told = report.Report(options.json, options.command)
    points = (options.messages, options.deleted, options.queues)
    progress = Progress(sum(map(len, points)))
    with _folder(options.data) as folder:
        progress.tell(f'starting a Swift in {folder}')
        with servers.site(folder, [drivers.OURS], replicas=1) as site:
            driver = site.drivers[0]
            assert isinstance(driver, drivers.Ours)
            driver.warm_up()
            meter = measuring.Meter(
                site.drivers, site.tally, rounds=options.rounds,
                budget=math.inf, tell=progress.tell)
            growth = growths.Growth(driver, meter, told, progress.step)
            growth.with_messages(options.messages)
            growth.with_deleted(options.deleted)
            growth.with_queues(options.queues)
    sys.stdout.write(report.text(told.content))


@contextlib.contextmanager
def _folder(given: pathlib.Path | None) -> Iterator[pathlib.Path]:
    """A new folder for the servers, in the one that was asked for if any.

    It is removed afterwards.
    """
    if given:
        given.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(
            prefix=f'{PROGRAM}-', dir=given, ignore_cleanup_errors=True,
    ) as folder:
        yield pathlib.Path(folder)


class Progress:
    """Says on standard error what is being done."""

    def __init__(self, steps: int) -> None:
        self._steps = steps
        self._step = 0
        self._began = time.monotonic()

    def step(self) -> None:
        """Go on to the next step."""
        self._step += 1

    def tell(self, what: str) -> None:
        """Write a line: the step, the time since the start, and this."""
        minutes, seconds = divmod(round(time.monotonic() - self._began), 60)
        sys.stderr.write(f'[{self._step}/{self._steps}] '
                         f'{minutes}:{seconds:02} {what}\n')
        sys.stderr.flush()


def show(options: argparse.Namespace) -> None:
    """Print a report."""
    sys.stdout.write(report.text(report.read(options.report)))


def draw(options: argparse.Namespace) -> None:
    """Draw a report."""
    from marconi_swift.bench import plot

    options.folder.mkdir(parents=True, exist_ok=True)
    for path in plot.draw(report.read(options.report), options.folder):
        sys.stdout.write(f'{path}\n')


def publish(options: argparse.Namespace) -> None:
    """Write what the documentation shows of a report, beside it."""
    options.folder = options.report.parent
    for name, text in report.pages(report.read(options.report)):
        path = options.folder / name
        path.write_text(text)
        sys.stdout.write(f'{path}\n')
    draw(options)
