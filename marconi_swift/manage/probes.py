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
"""Whether a Swift account does what this driver builds on.

Everything that is written is in one container, named as that of a queue of
:mod:`marconi_swift.data.probing` that does not exist: what a crash leaves of
it, ``gc`` removes, and the next check when it is over.
"""

from collections.abc import Callable
from collections.abc import Iterator
import functools
import json
import time
from typing import Any

from oslo_log import log as logging
import tenacity
from zaqar.storage import errors as zaqar_errors

from marconi_swift import names
from marconi_swift import records
from marconi_swift.data import probing
from marconi_swift.manage import findings
from marconi_swift.store import errors
from marconi_swift.store import objects

LOG = logging.getLogger(__name__)

#: Seconds after which a request is not sent again.
_PATIENCE = 10.0

#: Seconds within which a listing has to show what was written.
_LISTED_WITHIN = 15.0

#: Difference of clocks that is too much, in seconds: at twice this, Swift
#: would remove what has not expired.
_SKEW = records.SWEEP_AFTER / 2

#: What this driver needs of Swift's /info: objects.PAGE rows of a listing,
#: names as long as marconi_swift.names makes them, and headers as long as
#: the Content-Type of a claim of a hundred messages.
_LIMITS = {'container_listing_limit': objects.PAGE,
           'max_container_name_length': 256,
           'max_object_name_length': 1024,
           'max_header_size': 2048}

_LOGIN = ('Correct the options of this store: auth_url, username, password, '
          'project, domains; region_name, interface; cafile.')
_RIGHTS = ("Give the user one of Swift's operator_roles in the project that "
           'it logs in to, or correct endpoint_override.')
_CREATION = ('Give the user a role that may create containers; correct '
             'storage_policy.')


class Probe:
    """The checks of one account.

    :param account: a :class:`marconi_swift.driver.Account`.
    :param wait: seconds to wait for Swift's expirer; 0 does not look at it.
    """

    def __init__(self, account: Any, wait: float) -> None:
        self._account = account
        self._settings = account.settings
        self._wait = wait
        self._container = names.messages(
            self._settings.container_prefix, probing.PROJECT,
            probing.new_queue())
        self._wrote = False
        #: The moment of ``time.monotonic`` when something expires.
        self._expires = 0.0

    @property
    def _store(self) -> objects.ObjectStore:
        store: objects.ObjectStore = self._account.store.until(
            time.monotonic() + _PATIENCE)
        return store

    def run(
        self, read_only: bool,
    ) -> Iterator[tuple[str, findings.Found]]:
        """Make the checks in turn; yield the name of each, and what it saw.

        Ends early where the rest can only fail. What it wrote stays for
        :meth:`finish`.
        """
        if (yield from findings.run(self._reading())) and not read_only:
            self._wrote = True
            yield from findings.run(self._writing())

    def finish(self) -> Iterator[tuple[str, findings.Found]]:
        """Wait for the expirer, and remove what was written."""
        if self._expires:
            yield from findings.run([findings.Check('expirer', self._expirer)])
        self.clean_up()

    def _reading(self) -> list[findings.Check]:
        return [
            findings.Check(
                'authentication', self._authentication, _LOGIN, vital=True),
            findings.Check('account', self._reachable, _RIGHTS, vital=True),
            findings.Check('limits', self._limits, vital=True),
            findings.Check('clock', self._clock),
            findings.Check('storage policy', self._policy, vital=True)]

    def _writing(self) -> list[findings.Check]:
        return [
            findings.Check('container', self._create_container, _CREATION,
                           vital=True),
            findings.Check('conditional PUT', self._conditional_put),
            findings.Check('listing', self._listing),
            findings.Check('conditional DELETE', self._conditional_delete)]

    # Nothing is written

    def _authentication(self) -> findings.Found:
        shown = 'its /info' if self._info else 'no /info'
        return findings.ok(f'there is a token, and Swift shows {shown}')

    @functools.cached_property
    def _info(self) -> dict[str, Any]:
        """Swift's /info; empty if it is not shown."""
        response = self._account.transport.info()
        if response.status != 200:
            return {}
        try:
            shown: dict[str, Any] = json.loads(response.body)
        except ValueError as exc:
            raise errors.SwiftError(
                f'What answers to GET /info is no Swift: {exc}. Correct the '
                'endpoint.') from None
        return shown

    def _reachable(self) -> findings.Found:
        self._store.check_account()
        return findings.ok('it answers to the credentials')

    def _limits(self) -> findings.Found:
        swift = self._info.get('swift')
        if swift is None:
            return findings.warning(
                'Swift does not show its /info',
                'Set expose_info = true in proxy-server.conf, so that limits '
                'and bulk deletion can be seen.')
        low = [f'{name} = {swift[name]}, needed: {needed}'
               for name, needed in _LIMITS.items()
               if swift.get(name, needed) < needed]
        if low:
            return findings.failed(
                '; '.join(low), "Raise these in Swift's swift.conf.")
        version = f'Swift {swift.get("version", "of an unknown version")}'
        bulk = self._info.get('bulk_delete', {}).get('max_deletes_per_request')
        if not bulk:
            return findings.warning(
                f'{version} without bulk deletion',
                "Put bulk into the pipeline of Swift's proxy: without it, "
                'deleting a queue takes a request for each message.')
        return findings.ok(f'{version}, {bulk} deletions in a request')

    def _clock(self) -> findings.Found:
        # What Swift tells is in whole seconds, half a second less on average.
        ahead = self._store.now() + 0.5 - records.now()
        seen = (f"Swift's clock is {abs(ahead):.0f} s "
                f'{"ahead of" if ahead > 0 else "behind"} this one')
        advice = ("Set the clocks of this machine and of Swift's proxies "
                  'by NTP.')
        if abs(ahead) > _SKEW:
            return findings.failed(seen, advice)
        if abs(ahead) > self._settings.clock_skew + 0.5:
            return findings.warning(seen, advice)
        return findings.ok(seen)

    def _policy(self) -> findings.Found:
        wanted = self._settings.storage_policy
        policies = self._info.get('swift', {}).get('policies', [])
        if not policies:
            return findings.ok(
                f'{wanted or "the default one"}; Swift does not list them')
        if wanted is None:
            default = [policy['name'] for policy in policies
                       if policy.get('default')]
            return findings.ok(f'the default one, {", ".join(default)}')
        names_ = [policy['name'] for policy in policies]
        aliases = ','.join(policy.get('aliases', policy['name'])
                           for policy in policies)
        if wanted.lower() in aliases.lower().replace(' ', '').split(','):
            return findings.ok(wanted)
        return findings.failed(
            f'there is no storage policy {wanted}',
            f'Set storage_policy to one of: {", ".join(names_)}.')

    # Something is written

    def _create_container(self) -> findings.Found:
        self._store.make_container(
            self._container, self._settings.storage_policy)
        if self._wait:
            self._insist(functools.partial(
                self._store.create, self._container, 'expires',
                content_type=self._content_type(1), delete_after=1))
            self._expires = time.monotonic() + 1
        return findings.ok('containers can be made')

    def _insist(self, write: Callable[[], objects.Outcome]) -> None:
        self._store.insist(
            self._container, self._settings.storage_policy, write)

    def _conditional_put(self) -> findings.Found:
        put = functools.partial(
            self._store.create, self._container, 'condition',
            content_type=self._content_type(1))
        self._insist(put)
        if put() is objects.Outcome.EXISTS:
            return findings.ok('If-None-Match: * refuses a second PUT')
        return findings.failed(
            'Swift ignores If-None-Match: * and overwrites',
            'This is no Swift that the driver can use: two claims would win '
            'the same message.')

    def _content_type(self, version: int) -> str:
        """As long as that of a claim of a hundred messages."""
        return f'application/json;v={version};won={"." * 1300}'

    def _listing(self) -> findings.Found:
        """A POST changes the Content-Type, also in the listing."""
        store, wanted = self._store, self._content_type(2)
        self._insist(lambda: store.replace(
            self._container, 'row', content_type=self._content_type(1)))
        store.annotate(self._container, 'row', content_type=wanted)
        if _within(_LISTED_WITHIN, lambda: any(
                row.name == 'row' and row.content_type == wanted
                for row in store.page(self._container))):
            return findings.ok('it shows what a POST changed')
        return findings.failed(
            f'a Content-Type that a POST changed {_LISTED_WITHIN:.0f} s ago '
            'is not in the listing of its container',
            "See that Swift's container servers and object-updater run, and "
            'that no middleware changes Content-Types.')

    def _conditional_delete(self) -> findings.Found:
        store, later = self._store, int(records.now()) + 3600
        self._insist(lambda: store.replace(
            self._container, 'kept', content_type='text/plain',
            delete_at=later))
        outcome = store.delete(
            self._container, 'kept', only_if_delete_at=later + 1)
        if outcome is objects.Outcome.STALE:
            return findings.ok('X-If-Delete-At keeps what has another expiry')
        return findings.failed(
            'Swift ignores X-If-Delete-At, and deletes',
            'This is no Swift that the driver can use: releasing a claim '
            'could end another.')

    def _expirer(self) -> findings.Found:
        left = self._expires + self._wait - time.monotonic()
        LOG.info('Waiting up to %.0f s for Swift to remove what has expired.',
                 left)
        if _within(left, lambda: all(
                row.name != 'expires'
                for row in self._store.page(self._container))):
            return findings.ok('removes what has expired')
        return findings.warning(
            f'what expired {self._wait:.0f} s ago is still listed',
            "Run Swift's object-expirer; without one, marconi-swift-manage "
            'gc daily. If one runs whose interval is longer than --wait, '
            'give more.')

    def clean_up(self) -> None:
        """Remove what was written; what can not be is gc's."""
        if not self._wrote:
            return
        self._wrote = False
        try:
            self._store.empty_container(self._container)
            self._store.drop_container(self._container)
        except zaqar_errors.ConnectionError as exc:
            LOG.warning('Container %s is left: %s marconi-swift-manage gc '
                        'removes it.', self._container, exc)


def _within(seconds: float, happens: Callable[[], bool]) -> bool:
    """Ask each second whether something happens; whether it did in time."""
    try:
        return tenacity.Retrying(
            retry=tenacity.retry_if_result(lambda happened: not happened),
            stop=tenacity.stop_after_delay(seconds),
            wait=tenacity.wait_fixed(1))(happens)
    except tenacity.RetryError:
        return False
