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

"""Draws what was measured."""

from collections.abc import Sequence
import pathlib
from typing import Any

from marconi_swift.bench import drivers
from marconi_swift.bench import report

#: Inches: the width of all plots, and the height of a bar.
_WIDTH, _BAR = 9.0, 0.16

_COLOURS = {drivers.OURS: '#0b6e4f', drivers.SWIFT: '#c8553d',
            drivers.REDIS: '#7d8597', drivers.MONGODB: '#588157',
            drivers.BARE: '#d9c27e'}


def draw(content: dict[str, Any], folder: pathlib.Path) -> list[pathlib.Path]:
    """Write the plots of a report as SVG; the same report, the same files.

    :returns: what was written.
    """
    import matplotlib

    matplotlib.use('svg')
    matplotlib.rcParams['svg.hashsalt'] = 'marconi-swift'
    if 'points' in content:
        return [_curves(folder / 'growth.svg',
                        report.curves(content['points']))]
    groups = report.groups(content['results'])
    plain = groups.get((1, 0.0)) or next(iter(groups.values()))
    return [
        _bars(folder / 'performance-times.svg',
              {work: {name: one['median'] * 1000
                      for name, one in by_driver.items()
                      if not one['wrong']}
               for work, by_driver in plain.items()},
              'median of one operation in ms', logarithmic=True),
        _bars(folder / 'performance-delays.svg', _speedups(groups),
              "times as fast as Zaqar's swift driver", logarithmic=True,
              line=1.0),
        _bars(folder / 'performance-ceiling.svg',
              {work: {drivers.OURS: share * 100}
               for work, by_driver in plain.items()
               if (share := report.of_bare(by_driver)) is not None},
              'requests a second, in % of what bare requests reach',
              line=100.0)]


def _speedups(groups: dict[Any, Any]) -> dict[str, dict[str, float]]:
    """How much faster than Zaqar's own, by work and circumstances."""
    found: dict[str, dict[str, float]] = {}
    central = {work for where, by_work in groups.items()
               for work in by_work if where != (1, 0.0)}
    for (replicas, delay), by_work in groups.items():
        for work, by_driver in by_work.items():
            times = report.times_as_fast(
                by_driver.get(drivers.OURS), by_driver.get(drivers.SWIFT))
            if (work in central or len(groups) == 1) and times is not None:
                found.setdefault(work, {})[
                    report.title(replicas, delay)] = times
    return found


def _bars(
    path: pathlib.Path, values: dict[str, dict[str, float]], what: str, *,
    logarithmic: bool = False, line: float | None = None,
) -> pathlib.Path:
    """Draw a group of bars for each work, the first work on top."""
    from matplotlib import figure

    names: list[str] = list(dict.fromkeys(
        name for group in values.values() for name in group))
    height = 1.2 + _BAR * (len(names) + 1) * len(values)
    canvas = figure.Figure(figsize=(_WIDTH, height), layout='constrained')
    axes = canvas.subplots()
    works: Sequence[str] = list(values)
    for turn, name in enumerate(names):
        shown = [(place, values[work][name])
                 for place, work in enumerate(works) if name in values[work]]
        axes.barh(
            [place + (turn + 0.5) / (len(names) + 1) - 0.5
             for place, _ in shown],
            [value for _, value in shown], 1 / (len(names) + 1), label=name,
            color=_COLOURS.get(name))
    axes.set_yticks(range(len(works)), works)
    axes.invert_yaxis()
    axes.margins(y=0.01)
    axes.set_xlabel(what)
    if logarithmic:
        axes.set_xscale('log')
    if line is not None:
        axes.axvline(line, color='black', linewidth=0.8)
    if len(names) > 1:
        axes.legend()
    canvas.savefig(path, metadata={'Date': None})
    return path


def _curves(
    path: pathlib.Path, curves: dict[str, dict[str, list[report.Result]]],
) -> pathlib.Path:
    """Draw the medians along each curve, side by side."""
    from matplotlib import figure

    canvas = figure.Figure(figsize=(_WIDTH, 4.5), layout='constrained')
    panels = canvas.subplots(1, len(curves), sharey=True, squeeze=False)[0]
    for axes, (curve, by_work) in zip(panels, curves.items(), strict=True):
        for name, along in by_work.items():
            axes.plot([point['size'] for point in along],
                      [point['median'] * 1000 for point in along],
                      marker='o', label=name)
        # A curve may begin at none.
        axes.set_xscale('symlog')
        axes.set_yscale('log')
        axes.set_xlabel(curve)
        axes.legend(fontsize='small')
    panels[0].set_ylabel('median of one operation in ms')
    canvas.savefig(path, metadata={'Date': None})
    return path
