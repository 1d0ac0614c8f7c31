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

"""Does work through drivers in turn, and counts what Swift was asked."""

import collections
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Sequence
import dataclasses
import random
import statistics
import time
from typing import Any

from marconi_swift.bench import drivers
from marconi_swift.bench import verdict
from marconi_swift.bench import work as works
from marconi_swift.standalone import tallying

#: Bounds of the seconds for which each request is held at the proxy while the
#: longest chain is counted.
_HELD = 0.1, 2.0


def chain(requests: Iterable[tallying.Request]) -> int:
    """Count the longest chain of requests that can have waited in turn.

    One can have waited for another only if it came after that was answered.
    So this is the largest number of them of which no two overlap: taking
    whichever ends first, and leaving out what overlaps it, finds it. It is
    never less than the chain that the program makes, and more if requests
    that are sent side by side do not meet at the proxy.
    """
    length, free_from = 0, float('-inf')
    for request in sorted(
            requests, key=lambda each: (_end(each), each.start)):
        if request.start >= free_from:
            length += 1
            free_from = _end(request)
    return length


def _end(request: tallying.Request) -> float:
    """When it was answered: never, if it was not."""
    return float('inf') if request.end is None else request.end


@dataclasses.dataclass
class Sample:
    """One piece of work, done once."""

    seconds: float
    #: Of this process, in seconds.
    cpu: float
    requests: collections.Counter[str]
    chain: int
    verdict: verdict.Verdict


@dataclasses.dataclass
class Series:
    """The same work, done by one driver several times."""

    work: works.Work
    driver: str
    delay: float
    samples: list[Sample] = dataclasses.field(default_factory=list)
    #: How long it has all taken, preparations included.
    spent: float = 0.0
    #: One whose requests were held at the proxy, for its chain.
    held: Sample | None = None

    @property
    def _all(self) -> list[Sample]:
        return [*self.samples, *([self.held] if self.held else [])]

    @property
    def verdict(self) -> verdict.Verdict:
        return sum((sample.verdict for sample in self._all),
                   verdict.Verdict())

    @property
    def chain(self) -> int:
        """The shortest that was seen: no sample shows less than there is.

        Except one that failed on the way; if all did, nothing says more.
        """
        whole = [each for each in self._all if not each.verdict.errors]
        return min(sample.chain for sample in whole or self._all)

    @property
    def holding(self) -> float:
        """For how long to hold requests so that those side by side meet.

        As long as all of the work takes: all that is sent at once arrives
        within that.
        """
        shortest, longest = _HELD
        return min(longest, max(shortest, statistics.median(
            sample.seconds for sample in self.samples)))

    @property
    def requests(self) -> collections.Counter[str]:
        """Requests by method, of the sample that is median by their sum."""
        ordered = sorted((sample.requests for sample in self.samples),
                         key=lambda requests: requests.total())
        return ordered[len(ordered) // 2]

    def result(self, replicas: int) -> dict[str, Any]:
        """Describe it, as the JSON has it; times are seconds."""
        times = [sample.seconds for sample in self.samples]
        found = self.verdict
        return {
            'work': self.work.name,
            'driver': self.driver,
            'messages': self.work.messages,
            'replicas': replicas,
            'delay': self.delay,
            'concurrent': self.work.concurrent,
            'requests': dict(self.requests),
            'chain': self.chain,
            'seconds': [round(each, 6) for each in times],
            'median': round(statistics.median(times), 6),
            'p95': round(percentile_95(times), 6),
            'cpu': None if self.work.elsewhere else round(statistics.median(
                sample.cpu for sample in self.samples), 6),
            'wrong': found.wrong,
            'duplicates': found.duplicates,
            'lost': found.lost,
            'unexpected': found.unexpected,
            'left': found.left,
            'errors': dict(found.errors),
            'example': found.example,
        }


def percentile_95(times: Sequence[float]) -> float:
    """Of times; the largest of a few."""
    if len(times) < 2:
        return times[0]
    return statistics.quantiles(times, n=20, method='inclusive')[-1]


class Meter:
    """Measures drivers side by side on one Swift."""

    def __init__(
        self, made: Sequence[drivers.Driver], tally: tallying.Tally, *,
        rounds: int, budget: float, tell: Callable[[str], None],
    ) -> None:
        """Describe what to do.

        :param rounds: how often each driver does each work, at most.
        :param budget: seconds after which a driver does a work no more; it
            does each once at least.
        :param tell: is told of each work that is done.
        """
        self._drivers = made
        self._tally = tally
        self._rounds = rounds
        self._budget = budget
        self._tell = tell

    def measure(self, work: works.Work, delay: float) -> list[Series]:
        """Have the drivers do some work in alternation.

        :param delay: seconds that Swift's proxy holds each request.
        """
        able = [driver for driver in self._drivers
                if work.bare or driver.name != drivers.BARE]
        series = {driver: Series(work, driver.name, delay)
                  for driver in able}
        for driver in able:
            work.keep(driver)
        for _ in range(self._rounds):
            # In an order drawn anew, so that none is always the first.
            for driver in random.sample(  # nosec B311 # no secret
                    able, len(able)):
                one = series[driver]
                if not one.samples or one.spent < self._budget:
                    began = time.monotonic()
                    one.samples.append(self.sample(work, driver, delay))
                    one.spent += time.monotonic() - began
        for driver, one in series.items():
            if not work.concurrent and 1 < one.requests.total() != one.chain:
                one.held = self.sample(work, driver, one.holding)
            self._tell(f'{work.name}, {driver.name}: '
                       f'{len(one.samples)} times in {one.spent:.0f} s'
                       f'{", WRONG" if one.verdict.wrong else ""}')
        return list(series.values())

    def sample(
        self, work: works.Work, driver: drivers.Driver, delay: float,
    ) -> Sample:
        """Do some work once."""
        task = work.prepare(driver)
        self._tally.reset()
        if delay:
            self._tally.delay(delay)
        error, outcome = None, None
        cpu, began = time.process_time(), time.perf_counter()
        try:
            outcome = work.run(driver, task)
        except Exception as exc:
            # Part of what is measured: a driver that fails.
            error = exc
        seconds = time.perf_counter() - began
        cpu = time.process_time() - cpu
        requests = self._tally.read().requests
        self._tally.reset()
        found = verdict.Verdict()
        if error is None:
            seconds = work.seconds(outcome) or seconds
            try:
                found = work.check(driver, task, outcome)
            except Exception as exc:
                # A driver may not know what it has just told.
                error = exc
        if error is not None:
            found.failed(error)
        return Sample(
            seconds, cpu,
            collections.Counter(each.method for each in requests),
            chain(requests), found)
