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
"""What a check says of a Swift that is not one, on a model of Swift."""

import io
import json
from typing import Any

import fixtures
import testtools

from marconi_swift.manage import findings
from marconi_swift.manage import probes
from marconi_swift.manage import progress
from marconi_swift.store import errors
from marconi_swift.store import transport
from tests.fixtures import conf
from tests.fixtures import fake_swift

_OK, _WARNING, _FAILED = (
    findings.Result.OK, findings.Result.WARNING, findings.Result.FAILED)


class ProbeTest(testtools.TestCase):

    def setUp(self) -> None:
        super().setUp()
        self.drivers = self.useFixture(conf.FakeDrivers(retries=0))
        self.swift = self.drivers.swift
        self.useFixture(fixtures.MonkeyPatch(
            'marconi_swift.manage.probes._LISTED_WITHIN', 0.0))

    def run_all(self, wait: float = 0) -> dict[str, findings.Found]:
        probe = probes.Probe(self.drivers.data.account, wait)
        return dict([*probe.run(read_only=False), *probe.finish()])

    def lose(self, header: str) -> None:
        """Let Swift know nothing of a header."""
        request = self.swift.request

        def without(*args: Any, headers: Any = None, **kwargs: Any) -> Any:
            return request(*args, **kwargs, headers={
                name: value for name, value in (headers or {}).items()
                if name != header})

        self.swift.request = without  # type: ignore[method-assign]

    def show(self, shown: Any, status: int = 200) -> None:
        """Let Swift's /info say something else."""
        body = shown if isinstance(shown, bytes) else (
            json.dumps(shown).encode())
        self.swift.info = (  # type: ignore[method-assign]
            lambda: transport.Response(status, {}, body))

    def containers(self) -> Any:
        return json.loads(self.swift.request(
            'GET', query={'format': 'json'}).body)

    def test_a_swift_is_ok(self) -> None:
        found = self.run_all()

        self.assertEqual({_OK}, {each.result for each in found.values()})
        self.assertEqual([], self.containers())

    def test_conditions_that_are_ignored_fail(self) -> None:
        for header, check in (('If-None-Match', 'conditional PUT'),
                              ('X-If-Delete-At', 'conditional DELETE')):
            self.swift = self.useFixture(
                conf.FakeDrivers(retries=0)).swift
            self.drivers.data.account.store._sender = self.swift
            self.lose(header)

            found = self.run_all()

            self.assertEqual(
                {check}, {name for name, each in found.items()
                          if each.result is _FAILED})
            self.assertIn(header, found[check].seen)
            self.assertEqual([], self.containers())

    def test_a_listing_that_stays_old_fails(self) -> None:
        request = self.swift.request

        def forget(method: str, *args: Any, **kwargs: Any) -> Any:
            return request('HEAD' if method == 'POST' else method,
                           *args, **kwargs)

        self.swift.request = forget  # type: ignore[method-assign]

        found = self.run_all()['listing']

        self.assertEqual(_FAILED, found.result)

    def test_limits_that_are_too_low_fail_and_end_it(self) -> None:
        self.show({'swift': {'container_listing_limit': 1000}})

        found = self.run_all()

        self.assertEqual(['authentication', 'account', 'limits'],
                         list(found))
        self.assertEqual(
            findings.failed('container_listing_limit = 1000, needed: 10000',
                            "Raise these in Swift's swift.conf."),
            found['limits'])

    def test_what_is_slower_is_a_warning(self) -> None:
        self.show({'swift': {'version': '2.35.0'}})
        found = self.run_all()['limits']
        self.assertEqual(_WARNING, found.result)
        self.assertEqual('Swift 2.35.0 without bulk deletion', found.seen)

        self.show(b'', status=404)
        found = self.run_all()['limits']
        self.assertEqual(_WARNING, found.result)
        self.assertIn('expose_info', found.advice)

    def test_what_is_no_swift_fails(self) -> None:
        self.show(b'<html>')

        found = self.run_all()

        self.assertEqual(['authentication'], list(found))
        self.assertIn('is no Swift', found['authentication'].seen)

    def test_policies_are_known_by_their_aliases(self) -> None:
        self.show({'swift': {'policies': [
            {'name': 'Gold', 'aliases': 'Gold, Yellow', 'default': True},
            {'name': 'silver', 'aliases': 'silver'}]}})
        self.assertEqual(findings.ok('the default one, Gold'),
                         self.run_all()['storage policy'])
        for name, result in (('gold', _OK), ('YELLOW', _OK), ('old', _FAILED),
                             ('silver', _OK)):
            drivers = self.useFixture(conf.FakeDrivers(
                retries=0, storage_policy=name))
            drivers.swift.info = self.swift.info  # type: ignore[method-assign]
            self.drivers = drivers
            self.assertEqual(
                result, self.run_all()['storage policy'].result, name)

    def test_what_can_not_be_cleaned_up_is_told(self) -> None:
        logger = self.useFixture(fixtures.FakeLogger())
        self.swift.faults += [
            fake_swift.Fault(number, 'before', errors.Unanswered('lost'),
                             lambda request: request.method == 'DELETE'
                             and request.name is None)
            for number in range(1, 10)]

        self.run_all()

        self.assertIn('is left: lost marconi-swift-manage gc removes it',
                      logger.output)


class TestBar(testtools.TestCase):

    def shown(self, alone: bool, **terminals: bool) -> bool:
        for name, is_one in terminals.items():
            stream = io.StringIO()
            stream.isatty = (  # type: ignore[method-assign]
                lambda is_one=is_one: is_one)
            self.useFixture(fixtures.MonkeyPatch(f'sys.{name}', stream))
        bar = progress.bar(unit='queues', alone=alone)
        shown = not bar.disable
        bar.close()
        return shown

    def test_is_for_a_terminal_that_shows_nothing_else(self) -> None:
        for alone, stderr, stdout, expected in (
                (True, True, True, True), (True, True, False, True),
                (False, True, False, True), (False, True, True, False),
                (True, False, True, False)):
            self.assertEqual(expected, self.shown(
                alone, stderr=stderr, stdout=stdout))
