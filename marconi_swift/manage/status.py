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
"""The command ``marconi-swift-status``: is a deployment ready for upgrade?

Changes nothing. ``marconi-swift-status upgrade check`` ends with 0 if it is,
1 if something is worth a look, 2 if something is in the way, and 255 if there
is no configuration to look at.
"""

import argparse
from collections.abc import Iterator
from collections.abc import Sequence
import contextlib
import functools
import itertools
import logging
import sys
from typing import Any

from oslo_config import cfg
from oslo_upgradecheck import upgradecheck

from marconi_swift import driver as drivers
from marconi_swift import names
from marconi_swift import records
from marconi_swift.control import registry
from marconi_swift.manage import commands
from marconi_swift.manage import stores

#: Containers of a store, and objects of a container or registry, that are
#: looked at.
_SAMPLE = 1000
_SAMPLE_READ = 100

#: What is named of what is found.
_NAMED = 5

_COULD_NOT_LOOK = 255


class Checks(upgradecheck.UpgradeCommands):
    """What is looked at before processes are started with a new release."""

    def __init__(self, arguments: Sequence[str]) -> None:
        """Check a deployment.

        :param arguments: what finds its configuration; see
            :func:`.stores.read`.
        """
        self._arguments = arguments

    def _options(self) -> upgradecheck.Result:
        """Whether the options are right, and none is deprecated."""
        with _warnings() as said, self._opened() as deployment:
            for store in _stores(deployment):
                deployment.opened(store)
        if said:
            return upgradecheck.Result(
                upgradecheck.Code.WARNING, ' '.join(said))
        return upgradecheck.Result(upgradecheck.Code.SUCCESS)

    def _reachable(self) -> upgradecheck.Result:
        """Whether all accounts answer."""
        with self._opened() as deployment:
            for account in _accounts(deployment):
                account.store.check_account()
        return upgradecheck.Result(upgradecheck.Code.SUCCESS)

    def _formats(self) -> upgradecheck.Result:
        """Whether this release reads what is stored, as far as it looks."""
        with self._opened() as deployment:
            # Stores may share an account.
            unknown = list(dict.fromkeys(
                name for account in _accounts(deployment)
                for name in unreadable(account)))
            if isinstance(deployment.control, drivers.ControlDriver):
                unknown += unreadable_records(deployment.control)
        if not unknown:
            return upgradecheck.Result(upgradecheck.Code.SUCCESS)
        more = len(unknown) - _NAMED
        return upgradecheck.Result(
            upgradecheck.Code.WARNING,
            f'{", ".join(unknown[:_NAMED])}'
            f'{f" and {more} more" if more > 0 else ""}: written by another '
            'release, or by something else. This release leaves it out and '
            'keeps it.')

    @contextlib.contextmanager
    def _opened(self) -> Iterator[stores.Deployment]:
        with stores.Deployment(self._arguments) as deployment:
            yield deployment

    @staticmethod
    def _telling(check: Any) -> Any:
        """A check whose errors are what it found."""
        @functools.wraps(check)
        def run(checks: 'Checks') -> upgradecheck.Result:
            try:
                result: upgradecheck.Result = check(checks)
            except Exception as exc:
                # oslo.upgradecheck would show a traceback, and no other
                # check.
                return upgradecheck.Result(
                    upgradecheck.Code.FAILURE,
                    f'{exc} marconi-swift-manage check tells more.')
            return result

        return run

    _upgrade_checks = (
        ('Options', _telling(_options)),
        ('Stores', _telling(_reachable)),
        ('Stored formats', _telling(_formats)),
    )


def _stores(deployment: stores.Deployment) -> list[stores.Store]:
    """The message stores of this driver.

    :raises marconi_swift.manage.stores.NothingOfOurs: there is none, and the
        management store is not this driver's either.
    """
    if isinstance(deployment.control, drivers.ControlDriver):
        return deployment.any_of_ours()
    return deployment.ours()


def _accounts(deployment: stores.Deployment) -> list[Any]:
    """The accounts of all stores of this driver."""
    found = [deployment.opened(store).account
             for store in _stores(deployment)]
    if isinstance(deployment.control, drivers.ControlDriver):
        found.insert(0, deployment.control.account)
    return found


def unreadable(account: Any) -> list[str]:
    """Objects of queues and topics that this release can not read.

    By the listings of the first containers, and of their first objects.
    """
    prefix = account.settings.container_prefix
    containers = account.store.containers(f'{prefix}:')
    return [
        f'{container.name}/{row.name}'
        for container in itertools.islice(containers, _SAMPLE)
        if names.parse_container(prefix, container.name) is not None
        for row in account.store.page(container.name, limit=_SAMPLE)
        if records.delete_at(row.name, row.content_type) is None]


def unreadable_records(control: drivers.ControlDriver) -> list[str]:
    """Records of the management store that this release can not read."""
    unknown = []
    for kind in registry.KINDS:
        kept = control.registry(kind)
        for name in itertools.islice(
                kept.listed(first=_SAMPLE_READ), _SAMPLE_READ):
            if kept.read(name) is None and kept.exists(name):
                unknown.append(f'{kind} {name}')
    return unknown


@contextlib.contextmanager
def _warnings() -> Iterator[list[str]]:
    """Collect what oslo.config warns of: deprecated options."""
    said: list[str] = []

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.append(record.getMessage())

    logger, collector = logging.getLogger('oslo_config.cfg'), Collector()
    logger.addHandler(collector)
    try:
        yield said
    finally:
        logger.removeHandler(collector)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the checks; return what ``sys.exit`` is to be given."""
    argv = sys.argv[1:] if argv is None else list(argv)
    parser = argparse.ArgumentParser(add_help=False)
    commands.add_arguments(parser)
    given, _ = parser.parse_known_args(argv)
    try:
        status: int = upgradecheck.main(
            cfg.ConfigOpts(), stores.PROJECT, Checks(given.arguments),
            argv=argv)
    except cfg.Error as exc:
        sys.stderr.write(f'{exc}\n')
        return _COULD_NOT_LOOK
    return status
