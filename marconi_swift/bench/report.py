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

"""What was measured, as JSON and as tables."""

import collections
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence
import datetime
from importlib import metadata
import json
import os
import pathlib
import platform
from typing import Any

import prettytable

from marconi_swift import version
from marconi_swift.bench import drivers
from marconi_swift.bench import measuring

#: Version of the form of the JSON.
FORMAT = 1

#: Packages whose versions matter.
_PACKAGES = ('zaqar', 'swift', 'eventlet', 'python-swiftclient', 'redis')

Result = dict[str, Any]


class Report:
    """A JSON file that grows while measurements are made."""

    def __init__(
        self, path: pathlib.Path | None, command: Sequence[str],
    ) -> None:
        """Begin a report.

        :param path: where it is kept, or None for nowhere.
        :param command: what the user asked for.
        """
        self._path = path
        self.content: dict[str, Any] = {
            'format': FORMAT, 'command': ' '.join(command),
            'machine': _machine()}

    def add(self, measured: Iterable[measuring.Series], replicas: int) -> None:
        """Add one kind of work, and write the file."""
        results = [one.result(replicas) for one in measured]
        for result in results:
            result['ratios'] = {
                other['driver']: round(times, 3) for other in results
                if other is not result
                and (times := times_as_fast(result, other)) is not None}
        self._keep('results', results)

    def add_points(self, points: Iterable[Result]) -> None:
        """Add points of a curve, and write the file."""
        self._keep('points', points)

    def _keep(self, what: str, results: Iterable[Result]) -> None:
        self.content.setdefault(what, []).extend(results)
        self.content['machine']['load at the end'] = _load()
        if self._path:
            self._path.write_text(json.dumps(self.content, indent=1) + '\n')


def read(path: pathlib.Path) -> dict[str, Any]:
    """Read a report.

    :raises ValueError: it is none of ours, or of another release.
    """
    content: dict[str, Any] = json.loads(path.read_text())
    if content.get('format') != FORMAT:
        raise ValueError(f'{path} is no report of this release.')
    return content


def _machine() -> dict[str, str]:
    found = {
        'when': datetime.datetime.now(datetime.UTC).strftime(
            '%Y-%m-%d %H:%M UTC'),
        'processors': str(os.cpu_count()),
        'system': platform.platform(),
        'Python': platform.python_version(),
        'marconi-swift': version.RELEASE,
    }
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    found['load at the start'] = _load()
    return found


def _load() -> str:
    """Processes that wanted to run, over the last minute."""
    return f'{os.getloadavg()[0]:.1f}'


# Tables

def groups(
    results: Iterable[Result],
) -> dict[tuple[int, float], dict[str, dict[str, Result]]]:
    """Sort results by replicas and delay, then work, then driver."""
    found: dict[tuple[int, float], dict[str, dict[str, Result]]] = (
        collections.defaultdict(lambda: collections.defaultdict(dict)))
    for result in results:
        where = found[result['replicas'], result['delay']]
        where[result['work']][result['driver']] = result
    return found


def title(replicas: int, delay: float) -> str:
    """Describe under what circumstances something was measured."""
    network = (f'{delay * 1000:.0f} ms added to each request (simulated)'
               if delay else 'nothing added')
    return f'{replicas} replica{"s" if replicas > 1 else ""}, {network}'


def curves(
    points: Iterable[Result],
) -> dict[str, dict[str, list[Result]]]:
    """Sort points by what grew, then work."""
    found: dict[str, dict[str, list[Result]]] = (
        collections.defaultdict(lambda: collections.defaultdict(list)))
    for point in points:
        found[point['curve']][point['work']].append(point)
    return found


def growth(points: Iterable[Result]) -> prettytable.PrettyTable:
    """A line for each point."""
    table = prettytable.PrettyTable(
        ['What grew', 'To', 'Work', 'Requests, chain', 'ms', 'Memory, MiB',
         'Not right'])
    table.add_rows([
        [curve, f'{point["size"]:,}', work, _counts(point), _median(point),
         f'{point["memory"] / 2 ** 20:.0f}', complaint(point)]
        for curve, by_work in curves(points).items()
        for work, along in by_work.items() for point in along])
    return table


def text(content: dict[str, Any]) -> str:
    """All that was measured, a line for each work and driver or point."""
    if 'points' in content:
        return f'{_plain(growth(content["points"])).get_string()}\n'
    parts = []
    for (replicas, delay), by_work in groups(content['results']).items():
        table = prettytable.PrettyTable(
            ['Work', 'Driver', 'Requests', 'Chain', 'Median', 'p95',
             'CPU', 'Times', 'n', 'Not right'])
        table.add_rows([_line(result, by_driver)
                        for by_driver in by_work.values()
                        for result in by_driver.values()])
        parts.append(f'{title(replicas, delay)}\n\n'
                     f'{_plain(table).get_string()}\n')
    return '\n'.join(parts) + LEGEND


def _plain(table: prettytable.PrettyTable) -> prettytable.PrettyTable:
    """Without lines, words to the left and numbers to the right."""
    table.set_style(prettytable.TableStyle.PLAIN_COLUMNS)
    table.left_padding_width, table.right_padding_width = 0, 2
    table.align = 'r'
    for column in {'Work', 'Driver', 'What grew', 'Not right'} & set(
            table.field_names):
        table.align[column] = 'l'
    return table


LEGEND = """
Requests to Swift; the longest chain of them that waited for one another (of
several threads together: how many were answered before the next began);
median and 95th percentile in ms; processor time of the client in ms; how many
times as fast as this driver's the median of marconi-swift is, if both were
right; samples; and what was done wrong or left undone.
"""


def _line(result: Result, by_driver: dict[str, Result]) -> list[str]:
    ours = by_driver.get(drivers.OURS)
    times = None if ours is result else times_as_fast(ours, result)
    return [
        result['work'], result['driver'],
        methods(result), str(result['chain']),
        milliseconds(result['median']), milliseconds(result['p95']),
        milliseconds(result['cpu']), '' if times is None else f'{times:.3g}',
        str(len(result['seconds'])), complaint(result)]


def methods(result: Result) -> str:
    """Requests, and their methods: ``21: 20 PUT, 1 GET``."""
    counts: collections.Counter[str] = collections.Counter(
        result['requests'])
    if not counts:
        return '-'
    parts = ', '.join(f'{count} {method}'
                      for method, count in counts.most_common())
    return f'{counts.total()}: {parts}'


def milliseconds(seconds: float | None) -> str:
    return '' if seconds is None else f'{seconds * 1000:,.1f}'


def complaint(result: Result) -> str:
    """What was wrong or left, in a few words; empty if all was right."""
    found = [f'{result[what]} {what}'
             for what in ('duplicates', 'lost', 'unexpected', 'left')
             if result[what]]
    found += [f'{count} {name}' for name, count in result['errors'].items()]
    return ('WRONG: ' if result['wrong'] else '') + ', '.join(found)


def pages(content: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Tables for the documentation: names, and their text as CSV."""
    if 'points' in content:
        yield 'growth.csv', _csv(growth(content['points']))
        yield 'growth-machine.csv', _csv(_run(content))
        return
    for (replicas, delay), by_work in groups(content['results']).items():
        table = prettytable.PrettyTable(
            ['Work', 'Requests, chain', "Zaqar's swift", 'ms',
             "Zaqar's swift, ms", 'Times as fast', 'Samples', 'redis, ms',
             'Of bare requests', 'Not right'])
        table.add_rows([_row(work, by_driver)
                        for work, by_driver in by_work.items()])
        yield (f'performance-{replicas}-{delay * 1000:.0f}.csv',
               _csv(table))
    yield 'performance-machine.csv', _csv(_run(content))


def _run(content: dict[str, Any]) -> prettytable.PrettyTable:
    """What was run, and where."""
    table = prettytable.PrettyTable(['What', 'Which'])
    table.add_rows([['command', content['command']],
                    *map(list, content['machine'].items())])
    return table


def _csv(table: prettytable.PrettyTable) -> str:
    return table.get_csv_string(lineterminator='\n')


def _row(work: str, by_driver: dict[str, Result]) -> list[str]:
    ours = by_driver.get(drivers.OURS)
    swift = by_driver.get(drivers.SWIFT)
    redis = by_driver.get(drivers.REDIS)
    times, share = times_as_fast(ours, swift), of_bare(by_driver)
    return [
        work, _counts(ours), _counts(swift), _median(ours), _median(swift),
        '' if times is None else f'{times:.1f}',
        ', '.join(str(len(one['seconds'])) for one in (ours, swift) if one),
        _median(redis), '' if share is None else f'{share:.0%}',
        '; '.join(f'{driver}: {found}'
                  for driver, result in by_driver.items()
                  if (found := complaint(result)))]


def _counts(result: Result | None) -> str:
    if result is None:
        return ''
    total = sum(result['requests'].values())
    if result['concurrent']:
        return f'{total / result["messages"]:.1f} a message'
    return f'{total:,}, {result["chain"]:,}'


def _median(result: Result | None) -> str:
    return milliseconds(result['median']) if result else ''


def times_as_fast(one: Result | None, other: Result | None) -> float | None:
    """How many times as fast one is as the other.

    None if there is nothing to compare, or if either is wrong, which says
    nothing about speed.
    """
    if not (one and other) or one['wrong'] or other['wrong']:
        return None
    return float(other['median'] / one['median'])


def of_bare(by_driver: dict[str, Result]) -> float | None:
    """Requests a second, as a part of what requests without a driver reach.

    None as of :func:`times_as_fast`.
    """
    if times_as_fast(by_driver.get(drivers.OURS),
                     by_driver.get(drivers.BARE)) is None:
        return None
    return _rate(by_driver[drivers.OURS]) / _rate(by_driver[drivers.BARE])


def _rate(result: Result) -> float:
    """Requests a second."""
    return float(sum(result['requests'].values()) / result['median'])
