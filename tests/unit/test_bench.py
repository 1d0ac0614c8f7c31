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
"""The benchmark: what it counts, what it finds wrong, what it shows."""

import collections
from collections.abc import Iterable
from collections.abc import Sequence
import io
import json
import pathlib
from typing import Any
from xml.etree import ElementTree

import fixtures
import testtools
from testtools import matchers

from marconi_swift import names
from marconi_swift.bench import cli
from marconi_swift.bench import crowds
from marconi_swift.bench import drivers
from marconi_swift.bench import growth
from marconi_swift.bench import measuring
from marconi_swift.bench import plan
from marconi_swift.bench import plot
from marconi_swift.bench import report
from marconi_swift.bench import verdict
from marconi_swift.bench import work
from marconi_swift.standalone import tallying
from tests.fixtures import conf

SIZE = 60

TINY = plan.Sizes(queues=(3, 30), claimed=(25,), messages=20, threads=(1, 2),
                  processes=1, many=2, bodies=(16 * 1024,))


def request(start: float, end: float | None) -> tallying.Request:
    return tallying.Request('GET', '/v1/a/c', '', 200, start, end)


def message(number: int, size: int = SIZE) -> dict[str, Any]:
    return {'id': str(number), 'body': verdict.body(number, size)}


class ChainTest(testtools.TestCase):

    def assert_chain(
        self, length: int, *intervals: tuple[float, float | None],
    ) -> None:
        self.assertEqual(length, measuring.chain(
            request(*interval) for interval in intervals))

    def test_nothing_was_asked(self) -> None:
        self.assert_chain(0)

    def test_one_after_another(self) -> None:
        self.assert_chain(3, (0, 1), (1, 2), (5, 6))

    def test_all_at_once(self) -> None:
        self.assert_chain(1, (0, 3), (1, 4), (2, 5))

    def test_a_listing_then_all_at_once(self) -> None:
        self.assert_chain(2, (0, 1), (1.1, 3), (1.2, 2), (1.3, 2.5))

    def test_short_ones_beside_a_long_one(self) -> None:
        self.assert_chain(3, (0, 10), (1, 2), (3, 4), (5, 6))

    def test_the_order_in_which_they_are_told_is_nothing(self) -> None:
        self.assert_chain(3, (5, 6), (0, 1), (2, 3))

    def test_nothing_waited_for_one_without_an_answer(self) -> None:
        self.assert_chain(2, (0, 1), (2, None), (3, 4))

    def test_overlaps_that_form_a_staircase(self) -> None:
        # Each overlaps the next; every other one makes a chain.
        self.assert_chain(3, (0, 2), (1, 4), (3, 6), (5, 8), (7, 10))


class CompareTest(testtools.TestCase):

    def compare(
        self, given: Iterable[Any], there: Iterable[Any] = (),
    ) -> verdict.Verdict:
        return verdict.compare(range(3), given, SIZE, there)

    def test_all_is_right(self) -> None:
        found = self.compare(map(message, (2, 0, 1)))

        self.assertEqual(verdict.Verdict(), found)
        self.assertFalse(found.wrong)

    def test_a_message_comes_twice(self) -> None:
        found = self.compare(map(message, (0, 1, 1, 2, 1)))

        self.assertEqual(verdict.Verdict(duplicates=2), found)
        self.assertTrue(found.wrong)

    def test_a_message_is_gone(self) -> None:
        found = self.compare(map(message, (0, 2)))

        self.assertEqual(verdict.Verdict(lost=1), found)
        self.assertTrue(found.wrong)

    def test_a_message_is_left(self) -> None:
        found = self.compare(map(message, (0, 2)), map(message, (1, 2)))

        self.assertEqual(verdict.Verdict(left=1), found)
        self.assertFalse(found.wrong)

    def test_a_message_comes_from_nowhere(self) -> None:
        found = self.compare(map(message, (0, 1, 2, 7)))

        self.assertEqual(verdict.Verdict(unexpected=1), found)

    def test_a_body_was_changed(self) -> None:
        found = self.compare(
            [message(0), message(1), message(2, size=SIZE + 1)])

        self.assertEqual(verdict.Verdict(unexpected=1, lost=1), found)

    def test_a_body_is_something_else(self) -> None:
        found = self.compare([*map(message, (0, 1, 2)),
                              {'id': 'x', 'body': ['number']}])

        self.assertEqual(verdict.Verdict(unexpected=1), found)

    def test_errors_are_counted_by_class(self) -> None:
        found = verdict.Verdict()
        found.failed(ValueError('one'))
        found.failed(ValueError('two'))

        total = found + verdict.Verdict(lost=1)

        self.assertEqual({'ValueError': 2}, total.errors)
        self.assertEqual('one', total.example)
        self.assertTrue(total.wrong)


class _Tally:
    """A tally of a Swift that is asked two things at once, then one."""

    def __init__(self) -> None:
        self.delays: list[float] = []

    def reset(self) -> None:
        pass

    def delay(self, seconds: float) -> None:
        self.delays.append(seconds)

    def read(self) -> tallying.Reading:
        return tallying.Reading(
            (request(0, 1), request(0, 1), request(2, 3)), ())


class Duplicating(drivers.Ours):
    """Lets others claim what it has just given out."""

    def claim(
        self, queue: str, limit: int,
    ) -> tuple[str | None, list[verdict.Message]]:
        claim, messages = super().claim(queue, limit)
        return claim, [*messages, *messages[:1]]


class Losing(drivers.Ours):
    """Forgets the last message of a post."""

    def post(
        self, queue: str, messages: Sequence[dict[str, Any]],
    ) -> list[str]:
        ids = super().post(queue, messages)
        self.bulk_delete(queue, ids[-1:])
        return ids


class Short(drivers.Ours):
    """Lists one message too few."""

    def page(self, queue: str, limit: int) -> list[verdict.Message]:
        return super().page(queue, limit)[1:]


class Keeping(drivers.Ours):
    """Says that it deleted, and does nothing."""

    def delete(
        self, queue: str, message_id: str, claim: str | None = None,
    ) -> None:
        pass

    def bulk_delete(self, queue: str, ids: Sequence[str]) -> None:
        pass


class Miscounting(drivers.Ours):
    """Counts a message twice."""

    def stats(self, queue: str) -> dict[str, int]:
        counted = super().stats(queue)
        return {**counted, 'total': counted['total'] + 1}


class Failing(drivers.Ours):
    """Can not claim."""

    def claim(
        self, queue: str, limit: int,
    ) -> tuple[str | None, list[verdict.Message]]:
        raise LookupError(f'no {queue}')


class Popping(drivers.Ours):
    """Pops what it leaves there."""

    def pop(self, queue: str, limit: int) -> list[verdict.Message]:
        return self.page(queue, limit)


class Promising(drivers.Ours):
    """Says that it claimed what is free, and claims nothing."""

    def claim(
        self, queue: str, limit: int,
    ) -> tuple[str | None, list[verdict.Message]]:
        return names.new_message_id(), self.page(queue, limit)


class Nameless(drivers.Ours):
    """Gives out what is free, without a claim."""

    def claim(
        self, queue: str, limit: int,
    ) -> tuple[str | None, list[verdict.Message]]:
        return None, self.page(queue, limit)


class Stingy(drivers.Ours):
    """Holds one message less than it says."""

    def get_claim(self, queue: str, claim: str) -> list[verdict.Message]:
        return super().get_claim(queue, claim)[1:]


class Ending(drivers.Ours):
    """Renews nothing."""

    def renew(self, queue: str, claim: str) -> None:
        pass


class FailingLater(drivers.Ours):
    """Can post once, for whom nobody waits long."""

    posted = 0

    def post(
        self, queue: str, messages: Sequence[dict[str, Any]],
    ) -> list[str]:
        self.posted += 1
        if self.posted > 1:
            raise LookupError(queue)
        return super().post(queue, messages)


class WorkTest(testtools.TestCase):
    """All work on the model of Swift that other tests use."""

    def setUp(self) -> None:
        super().setUp()
        self.path = self.useFixture(conf.FakeDrivers()).path
        self.tally = _Tally()

    def meter(
        self, kind: type[drivers.Driver], rounds: int = 1,
        budget: float = 60.0,
    ) -> measuring.Meter:
        driver = kind(drivers.Spec(drivers.OURS, self.path))
        self.addCleanup(driver.close)
        return measuring.Meter([driver], self.tally, rounds=rounds,
                               budget=budget, tell=lambda _: None)

    def series(
        self, kind: type[drivers.Driver], one: work.Work,
    ) -> measuring.Series:
        [series] = self.meter(kind).measure(one, 0)
        return series

    def measure(
        self, kind: type[drivers.Driver], one: work.Work,
    ) -> verdict.Verdict:
        """What is found in the one sample that is not held."""
        [sample] = self.series(kind, one).samples
        return sample.verdict

    def all_but_processes(self) -> list[work.Work]:
        return [one for one in plan.everything(TINY) if not one.elsewhere]

    def test_a_right_driver_is_found_right(self) -> None:
        for one in self.all_but_processes():
            self.assertEqual(
                verdict.Verdict(), self.series(drivers.Ours, one).verdict,
                one.name)

    def test_a_driver_that_duplicates(self) -> None:
        self.assertEqual(verdict.Verdict(duplicates=1),
                         self.measure(Duplicating, work.Claim(10)))

    def test_a_driver_that_duplicates_all_its_life(self) -> None:
        [life] = [one for one in self.all_but_processes()
                  if one.name == 'life of 20, 2 threads']

        found = self.measure(Duplicating, life)

        self.assertThat(found.duplicates, matchers.GreaterThan(1))
        self.assertTrue(found.wrong)

    def test_a_driver_that_loses(self) -> None:
        self.assertEqual(verdict.Verdict(lost=1),
                         self.measure(Losing, work.Post(20)))

    def test_a_driver_that_lists_too_little(self) -> None:
        self.assertEqual(verdict.Verdict(lost=1),
                         self.measure(Short, work.Page(20, 30)))

    def test_a_driver_that_does_not_release(self) -> None:
        class Holding(drivers.Ours):
            def release(self, queue: str, claim: str) -> None:
                pass

        self.assertEqual(verdict.Verdict(lost=20),
                         self.measure(Holding, work.Release(20)))

    def test_a_driver_that_does_not_delete(self) -> None:
        for one, count in ((work.Delete(1), 1), (work.Delete(20), 20),
                           (work.DeleteClaimed(), 1),
                           (crowds.Life(20, threads=2), 20)):
            self.assertEqual(verdict.Verdict(unexpected=count),
                             self.measure(Keeping, one), one.name)

    def test_a_driver_that_leaves_what_it_pops(self) -> None:
        self.assertEqual(verdict.Verdict(unexpected=10),
                         self.measure(Popping, work.Pop(10)))

    def test_a_driver_that_does_not_claim(self) -> None:
        self.assertEqual({'ClaimDoesNotExist': 1},
                         self.measure(Promising, work.Claim(10)).errors)
        self.assertEqual(verdict.Verdict(lost=10),
                         self.measure(Nameless, work.Claim(10)))

    def test_a_driver_that_claims_less_than_it_says(self) -> None:
        self.assertEqual(verdict.Verdict(lost=1),
                         self.measure(Stingy, work.Claim(10)))

    def test_a_driver_that_does_not_renew(self) -> None:
        self.assertEqual(verdict.Verdict(lost=10),
                         self.measure(Ending, work.Renew(10)))

    def test_a_driver_that_miscounts(self) -> None:
        self.assertEqual(verdict.Verdict(unexpected=1),
                         self.measure(Miscounting, work.Stats(30)))

    def test_a_driver_that_fails(self) -> None:
        found = self.measure(Failing, work.Claim(1))

        self.assertEqual({'LookupError': 1}, found.errors)
        self.assertThat(found.example, matchers.StartsWith('no '))

    def test_claimed_messages_are_claimed(self) -> None:
        driver = drivers.Ours(drivers.Spec(drivers.OURS, self.path))
        self.addCleanup(driver.close)

        queue = driver.fresh(free=5, claimed=25)

        self.assertEqual({'claimed': 25, 'free': 5, 'total': 30},
                         driver.stats(queue.name))
        self.assertEqual(set(range(5)), {
            verdict.number(each, drivers.SIZE)
            for each in driver.page(queue.name, 20)})

    def test_requests_are_counted_and_held(self) -> None:
        [series] = self.meter(drivers.Ours, rounds=2).measure(
            work.Post(20), 0.02)

        result = series.result(3)

        self.assertEqual({'GET': 3}, result['requests'])
        self.assertEqual(2, result['chain'])
        self.assertEqual(2, len(result['seconds']))
        self.assertEqual((3, 0.02), (result['replicas'], result['delay']))
        # Twice with the delay, then once held for the chain's sake.
        self.assertEqual([0.02, 0.02, 0.1], self.tally.delays)

    def test_what_is_held_for_the_chain_is_checked_too(self) -> None:
        series = self.series(FailingLater, work.Post(20))

        self.assertThat(series.samples, matchers.HasLength(1))
        self.assertEqual({'LookupError': 1}, series.verdict.errors)

    def test_a_budget_ends_the_rounds(self) -> None:
        meter = self.meter(drivers.Ours, rounds=5, budget=0.0)

        [series] = meter.measure(work.Post(1), 0)

        self.assertThat(series.samples, matchers.HasLength(1))


class SeriesTest(testtools.TestCase):

    def sample(self, chain: int, found: verdict.Verdict) -> measuring.Sample:
        return measuring.Sample(
            1.0, 0.1, collections.Counter(PUT=20), chain, found)

    def failed(self, chain: int) -> measuring.Sample:
        return self.sample(
            chain, verdict.Verdict(errors=collections.Counter(OSError=1)))

    def series(self, *samples: measuring.Sample) -> measuring.Series:
        return measuring.Series(
            work.Post(20), drivers.OURS, 0.0, list(samples))

    def test_the_shortest_chain_counts(self) -> None:
        series = self.series(self.sample(5, verdict.Verdict()),
                             self.sample(3, verdict.Verdict(lost=1)))

        self.assertEqual(3, series.chain)

    def test_what_failed_on_the_way_has_no_chain(self) -> None:
        series = self.series(
            self.sample(5, verdict.Verdict()), self.failed(1))

        self.assertEqual(5, series.chain)

    def test_if_all_failed_theirs_is_all_there_is(self) -> None:
        self.assertEqual(1, self.series(self.failed(2), self.failed(1)).chain)


def result(driver: str, median: float, **more: Any) -> dict[str, Any]:
    return {
        'work': 'post 20', 'driver': driver, 'messages': 20, 'replicas': 1,
        'delay': 0.0, 'concurrent': False, 'requests': {'PUT': 20},
        'chain': 20, 'seconds': [median], 'median': median, 'p95': median,
        'cpu': 0.01, 'wrong': False, 'duplicates': 0, 'lost': 0,
        'unexpected': 0, 'left': 0, 'errors': {}, 'example': '', **more}


def content(*results: dict[str, Any]) -> dict[str, Any]:
    return {'format': report.FORMAT, 'command': 'marconi-swift-bench run',
            'machine': {'processors': '2'}, 'results': list(results)}


SOME = content(
    result(drivers.OURS, 0.05, chain=1),
    result(drivers.SWIFT, 0.2, wrong=True, duplicates=3,
           errors={'MessageNotClaimedBy': 2}),
    result(drivers.BARE, 0.04, chain=1),
    result(drivers.OURS, 0.1, delay=0.02, chain=1),
    result(drivers.SWIFT, 1.0, delay=0.02))


class ReportTest(testtools.TestCase):

    def test_percentiles(self) -> None:
        self.assertEqual(3.0, measuring.percentile_95([3.0]))
        self.assertAlmostEqual(
            95.0, measuring.percentile_95([float(n) for n in range(101)]))

    def test_what_is_wrong_is_shown_as_wrong(self) -> None:
        lines = report.text(SOME).splitlines()

        [bad] = [line for line in lines if 'WRONG' in line]
        self.assertThat(bad, matchers.MatchesRegex(
            r'post 20 +swift +20: 20 PUT +20 +200\.0 +200\.0 +10\.0 +1 +'
            r'WRONG: 3 duplicates, 2 MessageNotClaimedBy'))

    def test_what_is_simulated_is_called_so(self) -> None:
        self.assertIn('20 ms added to each request (simulated)',
                      report.text(SOME))

    def test_tables_for_pages(self) -> None:
        pages = dict(report.pages(SOME))

        self.assertEqual(
            ['performance-1-0.csv', 'performance-1-20.csv',
             'performance-machine.csv'], sorted(pages))
        self.assertEqual(
            'post 20,"20, 1","20, 20",50.0,200.0,,"1, 1",,80%,'
            '"swift: WRONG: 3 duplicates, 2 MessageNotClaimedBy"',
            pages['performance-1-0.csv'].splitlines()[1])
        self.assertEqual(
            'post 20,"20, 1","20, 20",100.0,"1,000.0",10.0,"1, 1",,,',
            pages['performance-1-20.csv'].splitlines()[1])

    def test_how_often_each_was_measured(self) -> None:
        pages = dict(report.pages(content(
            result(drivers.OURS, 1.0, seconds=[1.0, 1.0, 1.0]),
            result(drivers.SWIFT, 5.0))))

        self.assertIn(',5.0,"3, 1",', pages['performance-1-0.csv'])

    def test_no_speed_is_told_of_what_is_wrong(self) -> None:
        wrong = result(drivers.OURS, 0.5, wrong=True, lost=2)
        right = result(drivers.SWIFT, 1.5), result(drivers.BARE, 0.4)

        told = report.text(content(wrong, *right))
        [line] = dict(report.pages(content(wrong, *right)))[
            'performance-1-0.csv'].splitlines()[1:]

        # 1.5 / 0.5, and as much for bare requests.
        self.assertNotRegex(told, r'\b3 +1\b|\b0\.8 +1\b')
        self.assertEqual('post 20,"20, 20","20, 20",500.0,"1,500.0",,'
                         '"1, 1",,,marconi-swift: WRONG: 2 lost', line)

    def test_a_ratio_is_of_right_results(self) -> None:
        told = report.Report(None, ['marconi-swift-bench', 'run'])
        failed = verdict.Verdict(errors=collections.Counter(OSError=1))

        told.add([
            measuring.Series(work.Post(20), name, 0.0, [measuring.Sample(
                2.0, 0.1, collections.Counter(PUT=20), 1, found)])
            for name, found in ((drivers.OURS, verdict.Verdict()),
                                (drivers.SWIFT, failed),
                                (drivers.REDIS, verdict.Verdict()))], 1)

        self.assertEqual([{'redis': 1.0}, {}, {'marconi-swift': 1.0}],
                         [each['ratios'] for each in told.content['results']])

    def test_pages_tell_what_any_driver_left(self) -> None:
        pages = dict(report.pages(content(
            result(drivers.OURS, 1.0, left=7),
            result(drivers.REDIS, 1.0, wrong=True, lost=2))))

        self.assertEqual(
            'marconi-swift: 7 left; redis: WRONG: 2 lost',
            pages['performance-1-0.csv'].splitlines()[1].split(',')[-1])

    def test_work_of_many_threads_is_counted_by_message(self) -> None:
        pages = dict(report.pages(content(result(
            drivers.OURS, 1.0, concurrent=True, messages=40,
            requests={'PUT': 84, 'GET': 92}))))

        self.assertIn('4.4 a message', pages['performance-1-0.csv'])

    def test_it_is_kept_while_it_grows(self) -> None:
        path = pathlib.Path(self.useFixture(fixtures.TempDir()).path, 'json')
        told = report.Report(path, ['marconi-swift-bench', 'run'])
        sample = measuring.Sample(
            2.0, 0.1, collections.Counter(PUT=20), 1, verdict.Verdict())
        other = measuring.Sample(
            5.0, 0.1, collections.Counter(PUT=20), 20, verdict.Verdict())

        told.add([
            measuring.Series(work.Post(20), drivers.OURS, 0.0, [sample]),
            measuring.Series(work.Post(20), drivers.SWIFT, 0.0, [other])], 1)

        kept = report.read(path)
        self.assertEqual('marconi-swift-bench run', kept['command'])
        self.assertEqual([{'swift': 2.5}, {'marconi-swift': 0.4}],
                         [each['ratios'] for each in kept['results']])

    def test_a_report_of_another_release_is_refused(self) -> None:
        path = pathlib.Path(self.useFixture(fixtures.TempDir()).path, 'json')
        path.write_text(json.dumps({'format': report.FORMAT + 1}))

        self.assertRaises(ValueError, report.read, path)

    def test_no_bar_is_drawn_of_what_is_wrong(self) -> None:
        def bars(wrong: bool) -> list[int]:
            folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
            return [
                len(ElementTree.parse(drawn).findall(
                    './/{http://www.w3.org/2000/svg}g[@id]/'
                    '{http://www.w3.org/2000/svg}path[@clip-path]'))
                for drawn in plot.draw(content(
                    result(drivers.OURS, 0.05, wrong=wrong),
                    result(drivers.SWIFT, 0.2),
                    result(drivers.BARE, 0.04)), folder)]

        self.assertEqual(
            [1, 1, 1],
            [right - without for right, without in zip(
                bars(False), bars(True), strict=True)])

    def test_plots_are_the_same_each_time(self) -> None:
        first, second = (
            pathlib.Path(self.useFixture(fixtures.TempDir()).path)
            for _ in range(2))

        drawn = plot.draw(SOME, first)
        again = plot.draw(SOME, second)

        self.assertThat(drawn, matchers.HasLength(3))
        for one, other in zip(drawn, again, strict=True):
            self.assertEqual(one.read_bytes(), other.read_bytes())
            self.assertEqual('{http://www.w3.org/2000/svg}svg',
                             ElementTree.parse(one).getroot().tag)


def point(curve: str, size: int, median: float) -> dict[str, Any]:
    return result(drivers.OURS, median, curve=curve, size=size,
                  memory=64 * 2 ** 20, chain=1)


GROWN = {'format': report.FORMAT, 'command': 'marconi-swift-bench growth',
         'machine': {'processors': '2'},
         'points': [point(growth.MESSAGES, 100, 0.05),
                    point(growth.MESSAGES, 1000, 0.06),
                    point(growth.DELETED, 0, 0.05)]}


class GrowthTest(testtools.TestCase):

    def test_a_line_for_each_point(self) -> None:
        self.assertThat(report.text(GROWN).splitlines()[2], matchers
                        .MatchesRegex(r'messages in the queue +1,000 +post 20 '
                                      r'+20, 1 +60\.0 +64 *$'))

    def test_pages(self) -> None:
        pages = dict(report.pages(GROWN))

        self.assertEqual(['growth-machine.csv', 'growth.csv'], sorted(pages))
        self.assertEqual(
            'messages deleted from the queue,0,post 20,"20, 1",50.0,64,',
            pages['growth.csv'].splitlines()[3])

    def test_a_plot(self) -> None:
        folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)

        [drawn] = plot.draw(GROWN, folder)

        # One panel a curve.
        self.assertThat(
            [group.get('id') for group in ElementTree.parse(drawn).iter()],
            matchers.ContainsAll(['axes_1', 'axes_2']))

    def test_points_are_kept_while_they_come(self) -> None:
        path = pathlib.Path(self.useFixture(fixtures.TempDir()).path, 'json')
        told = report.Report(path, ['marconi-swift-bench', 'growth'])

        for each in GROWN['points']:
            told.add_points([each])

        self.assertEqual(GROWN['points'], report.read(path)['points'])


class CommandTest(testtools.TestCase):

    def setUp(self) -> None:
        super().setUp()
        # They would stay when the test is over.
        self.useFixture(fixtures.MonkeyPatch(
            'marconi_swift.standalone.cli.stop_on_signals', lambda: None))

    def test_all_work_has_a_name_of_its_own(self) -> None:
        names = [one.name for one in plan.everything(plan.Sizes())]

        self.assertEqual(len(names), len(set(names)))
        self.assertThat(names, matchers.ContainsAll([
            'post 1', 'post 20', 'list 20 of 10,000',
            'list 20 behind 5,000 claimed', 'claim 20', 'pop 10',
            'stats of 1,000', 'life of 200, 32 threads',
            'post 1 of 256 KiB', 'claim 200, 8 processes']))

    def test_listing_the_work(self) -> None:
        out = io.StringIO()
        self.useFixture(fixtures.MonkeyPatch('sys.stdout', out))

        self.assertIsNone(cli.main(['run', '--list']))

        self.assertEqual([one.name for one in plan.everything(plan.Sizes())],
                         out.getvalue().splitlines())

    def plan(self, *arguments: str, replicas: int = 1) -> dict[float, int]:
        """How much work there is for each delay in milliseconds."""
        options = cli.parse(['run', *arguments])
        cli.fill_in(options)
        return dict(collections.Counter(
            delay * 1000 for _, delay in cli.planned(options, replicas)))

    def test_with_a_delay_only_what_is_central(self) -> None:
        everything = plan.everything(plan.Sizes())
        central = sum(one.central for one in everything)

        self.assertEqual({0.0: len(everything), 5.0: central, 20.0: central},
                         self.plan())
        self.assertEqual({0.0: central}, self.plan(replicas=3))
        self.assertEqual({0.0: central, 20.0: central}, self.plan('--quick'))

    def test_what_is_named_is_done(self) -> None:
        self.assertEqual({7.0: 1},
                         self.plan('--work', 'pop', '--delays', '7'))

    def test_a_driver_that_is_not_there(self) -> None:
        self.assertEqual(
            'marconi-swift-bench: There is no mongodb to measure; there are '
            'marconi-swift, swift, bare Swift.',
            cli.main(['run', '--drivers', 'mongodb', '--redis-server',
                      'no-such-program']))
