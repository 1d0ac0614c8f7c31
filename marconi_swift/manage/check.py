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
"""The command ``marconi-swift-manage check``."""

import argparse
from collections.abc import Callable
from collections.abc import Generator
from collections.abc import Iterator
import contextlib
import time
from typing import Any
import uuid

from cliff import lister
from oslo_config import cfg
from zaqar.common import errors as zaqar_errors

from marconi_swift import driver as drivers
from marconi_swift import options
from marconi_swift.data import probing
from marconi_swift.manage import commands
from marconi_swift.manage import findings
from marconi_swift.manage import portable
from marconi_swift.manage import probes
from marconi_swift.manage import progress
from marconi_swift.manage import spelling
from marconi_swift.manage import stores

#: Seconds: the default interval of Swift's object-expirer, and some more.
_WAIT = 330

#: What the management store is called in the table.
_MANAGEMENT = 'management'


class Check(commands.WithStatus, lister.Lister):
    """See whether a configuration works, and what to do where it does not.

    Looks at the options, logs in, compares the clocks, and tries in each
    store what this driver needs of Swift: on a queue of its own, which is
    removed again. Of pools and management stores of other drivers, only the
    latter is tried.

    Waits for Swift's object-expirer, whose interval is five minutes unless
    it was configured otherwise: --wait is for how long, and --wait 0 leaves
    it out. With --read-only nothing is written at all.

    Ends with status 1 if something failed; a warning is no failure.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        commands.add_arguments(parser)
        # What to do takes more than a line.
        parser.set_defaults(fit_width=True)
        commands.add_store_argument(parser, '; and the management store')
        parser.add_argument(
            '--read-only', action='store_true',
            help='log in and look, but write nothing')
        parser.add_argument(
            '--wait', metavar='SECONDS', type=float, default=_WAIT,
            help='for the expirer of each store (%(default)s); 0 does not '
                 'look at it')
        return parser

    def take_action(
        self, parsed_args: argparse.Namespace,
    ) -> tuple[tuple[str, ...], list[tuple[Any, ...]]]:
        rows: list[findings.Finding] = []
        try:
            with contextlib.closing(_findings(parsed_args)) as found:
                for finding in progress.bar(found, unit='checks'):
                    rows.append(finding)
                    if finding.result is findings.Result.FAILED:
                        self.status = 1
        except KeyboardInterrupt:
            self.status = commands.INTERRUPTED
        columns = ('Store', 'Check', 'Result', 'Seen', 'What to do')
        return columns, [tuple(map(str, row)) for row in rows]


def _findings(
    args: argparse.Namespace,
) -> Generator[findings.Finding, None, None]:
    """Everything that is looked at, in turn."""
    try:
        deployment = stores.Deployment(args.arguments)
    except (cfg.Error, OSError, zaqar_errors.InvalidDriver) as exc:
        yield _options(_MANAGEMENT, _failed_options(exc))
        return
    with deployment:
        yield from _Tour(deployment, args).go()


def _options(store: str, found: findings.Found) -> findings.Finding:
    return findings.Finding(store, 'options', *found)


def _misspelt(
    store: str, deployment: stores.Deployment, group: str,
) -> Iterator[findings.Finding]:
    """Warn of options that mean nothing."""
    if unknown := spelling.unknown(
            deployment.conf, group, deployment.sources()):
        yield _options(store, findings.warning(
            f'no option of this driver: {", ".join(unknown)}',
            'Correct these names, or remove them: they are ignored.'))


def _failed_options(error: Exception) -> findings.Found:
    return findings.failed(
        str(error) or repr(error), 'Correct the configuration.')


class _Tour:
    """Goes from store to store."""

    def __init__(
        self, deployment: stores.Deployment, args: argparse.Namespace,
    ) -> None:
        self._deployment = deployment
        self._args = args
        self._probes: list[tuple[str, probes.Probe]] = []
        #: Stores in which something failed.
        self._broken: set[str] = set()

    def go(self) -> Iterator[findings.Finding]:
        try:
            for finding in self._all():
                if finding.result is findings.Result.FAILED:
                    self._broken.add(finding.store)
                yield finding
        finally:
            for _, probe in self._probes:
                probe.clean_up()

    def _all(self) -> Iterator[findings.Finding]:
        yield from self._management()
        yield from self._message_stores()
        # They wait for all expirers at the same time.
        for store, probe in self._probes:
            for check, found in probe.finish():
                yield findings.Finding(store, check, *found)

    def _management(self) -> Iterator[findings.Finding]:
        control = self._deployment.control
        yield _options(_MANAGEMENT, findings.ok(self._deployment.files()))
        if isinstance(control, drivers.ControlDriver):
            yield from _misspelt(
                _MANAGEMENT, self._deployment, options.CONTROL_GROUP)
            yield from self._probe(_MANAGEMENT, control.account)
        yield from self._try(
            _MANAGEMENT, 'queues', lambda: _try_control(control))

    def _probe(self, store: str, account: Any) -> Iterator[findings.Finding]:
        probe = probes.Probe(account, self._args.wait)
        self._probes.append((store, probe))
        for check, found in probe.run(self._args.read_only):
            yield findings.Finding(store, check, *found)

    def _try(
        self, store: str, check: str, trial: Callable[[], None],
    ) -> Iterator[findings.Finding]:
        """Try what a store is for, if what that needs works."""
        if self._args.read_only:
            return
        if self._broken & {store, _MANAGEMENT}:
            yield findings.Finding(
                store, check, findings.Result.SKIPPED,
                'what this needs does not work')
            return
        yield findings.Finding(store, check, *_tried(trial))

    def _message_stores(self) -> Iterator[findings.Finding]:
        pooling = self._deployment.conf.pooling
        if pooling and _MANAGEMENT in self._broken:
            yield findings.Finding(
                'pools', 'options', findings.Result.SKIPPED,
                'the management store, which knows them, does not work')
            return
        known = self._deployment.stores()
        if not known:
            yield _options('pools', findings.warning(
                'there is no pool', 'Register one: no queue can be made.'))
            return
        for store in stores.chosen(known, self._args.store):
            yield from self._message_store(store)

    def _message_store(
        self, store: stores.Store,
    ) -> Iterator[findings.Finding]:
        if store.scheme != options.SCHEME:
            yield findings.Finding(
                store.name, 'options', findings.Result.SKIPPED,
                f'a store of the driver {store.scheme}')
            return
        try:
            driver = self._deployment.opened(store)
        except Exception as exc:
            # Also what Zaqar raises for a pool's options that no driver
            # takes.
            yield _options(store.name, _failed_options(exc))
            return
        yield _options(store.name, _timing(driver.account.settings))
        if store.name == options.SCHEME:
            yield from _misspelt(
                store.name, self._deployment, options.DATA_GROUP)
        yield from self._probe(store.name, driver.account)
        yield from self._try(
            store.name, 'messages',
            lambda: _try_messages(driver))


def _tried(trial: Callable[[], None]) -> findings.Found:
    """Try operations of a driver's; any error is what was seen."""
    began = time.monotonic()
    try:
        trial()
    except Exception as exc:
        # A management store of another driver raises what it likes.
        return findings.failed(
            f'{type(exc).__name__}: {exc}',
            'See the other checks; of a SQLAlchemy store, whether '
            'zaqar-sql-db-manage has made its tables.')
    return findings.ok(f'work, in {time.monotonic() - began:.2f} s')


def _try_control(control: Any) -> None:
    """Make a queue, find it, and delete it."""
    if isinstance(control, drivers.ControlDriver):
        probing.clear(control)
    name, queues = probing.new_queue(), control.queue_controller
    queues.create(name, metadata={'check': 1}, project=probing.PROJECT)
    try:
        seen = queues.get_metadata(name, project=probing.PROJECT)
        if seen != {'check': 1}:
            raise RuntimeError(f'the metadata of a new queue are {seen}')
        list(next(control.pools_controller.list(limit=1)))
    finally:
        queues.delete(name, project=probing.PROJECT)


def _timing(settings: options.Settings) -> findings.Found:
    """Whether options that depend on one another agree."""
    # Zaqar takes no claim that is shorter: zaqar.transport.validation.
    shortest = 60
    void_after = settings.claim_attempt_limit * 2 + settings.clock_skew
    if void_after >= shortest:
        return findings.failed(
            f'claim_attempt_limit = {settings.claim_attempt_limit} and '
            f'clock_skew = {settings.clock_skew}: an attempt to claim can '
            f'last {void_after:.0f} s, and a claim {shortest} s',
            'Lower claim_attempt_limit.')
    return findings.ok(f'container_prefix = {settings.container_prefix}')


def _try_messages(driver: Any) -> None:
    """Post a message to a new queue, claim it and delete it."""
    probing.clear(driver)
    name, project, client = (
        probing.new_queue(), probing.PROJECT, str(uuid.uuid4()))
    queues = probing.queues(driver)
    queues.create(name, project=project)
    try:
        posted = driver.message_controller.post(
            name, [{'ttl': 300, 'body': name}], client, project=project)
        claim, messages = driver.claim_controller.create(
            name, {'ttl': 60, 'grace': 60}, project=project)
        claimed = [message['id'] for message in messages]
        if claimed != list(posted):
            raise RuntimeError(
                f'of the messages {posted}, {claimed} were claimed')
        driver.message_controller.delete(
            name, posted[0], project=project, claim=claim)
        if left := [listed.message for listed in portable.listed(
                driver, name, project)]:
            raise RuntimeError(f'after its deletion, there still is {left}')
    finally:
        queues.delete(name, project=project)
