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

"""The primitives: what this driver does to objects and containers.

Refusals are outcomes, returned. Failures are raised, all of them
:class:`marconi_swift.store.errors.SwiftError`. Each primitive says what a
lost answer means for it, since each is sent again after one.
"""

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
import copy
import dataclasses
from email import utils as email_utils
import enum
import json
import math
import time
import types
from typing import Any
from typing import NamedTuple
from typing import Self
from typing import TypeVar
from urllib import parse

from oslo_utils import timeutils
import tenacity

from marconi_swift.store import errors
from marconi_swift.store import fan_out
from marconi_swift.store import outages
from marconi_swift.store import per_process
from marconi_swift.store import retry
from marconi_swift.store import silence
from marconi_swift.store import transport

_T = TypeVar('_T')
_R = TypeVar('_R')

#: Most rows that Swift returns for one listing (its container_listing_limit).
PAGE = 10000

#: Names in one bulk delete. Swift deletes them two at a time within one
#: request, so several middling requests beat one of the allowed 10,000.
_BULK = 250

#: Fewer names than this are deleted one by one, side by side: faster than
#: a bulk request, which works through them two at a time.
_BULK_FROM = 100

#: Latest X-Delete-At that Swift takes.
_LATEST = 9999999999

#: Seconds for which a proxy may not see a container that was just made:
#: a tenth of its recheck_container_existence, 60 by default, and some more.
_CONTAINER_UNSEEN = 10

#: Seconds for which a write is repeated that Swift takes for the older one:
#: more than the clocks of its proxies should ever differ.
_SKEW = 3

#: Seconds for which proxies surely remember that they could look something up:
#: half of that time. And containers of which a process remembers it.
_FOUND_FOR = 30
_FOUND_MOST = 10_000

#: Content-Type of an answer that is no object's.
_NO_OBJECTS = 'text/html'

_META = 'x-object-meta-'
_CONTAINER_META = 'x-container-meta-'
_OWNER = 'owner'


class Outcome(enum.Enum):
    """What became of a request that Swift understood."""

    DONE = 'done'
    #: A conditional PUT found an object of that name.
    EXISTS = 'exists'
    #: Something newer is stored; the request changed nothing.
    STALE = 'stale'
    #: There is no such object, or no such container for it.
    MISSING = 'missing'


@dataclasses.dataclass(frozen=True)
class StoredObject:
    """An object as Swift returned it."""

    name: str
    content_type: str
    #: User metadata, names in lower case and without their prefix.
    metadata: Mapping[str, str]
    #: Empty after a HEAD.
    body: bytes
    #: MD5 of the body, also after a HEAD.
    etag: str = ''

    @property
    def owner(self) -> str | None:
        """Who created it, as :meth:`ObjectStore.create` was told."""
        return self.metadata.get(_OWNER)


class Row(NamedTuple):
    """An object in a listing: a hint, since listings may be stale."""

    name: str
    content_type: str
    #: MD5 of the body.
    etag: str


class Listing(NamedTuple):
    """A part of what is in a container."""

    rows: Sequence[Row]
    #: The container's user metadata, names in lower case and without their
    #: prefix; None if there is no such container.
    metadata: Mapping[str, str] | None


class Container(NamedTuple):
    """A container in the account's listing: a hint, as rows are."""

    name: str
    #: How many objects it had when it last told the account, which it does
    #: every few minutes (``swift/container/updater.py``).
    objects: int


class ObjectStore:
    """One Swift account."""

    def __init__(
        self, sender: transport.Transport, policy: retry.Policy,
        fan: fan_out.FanOut,
        ledger: per_process.PerProcess[outages.Outages],
    ) -> None:
        self._sender = sender
        self._policy = policy
        self._fan = fan
        self._silence = per_process.PerProcess(silence.Silence)
        self._outages = ledger
        self._bulk_limit = per_process.PerProcess[list[int]](list)
        #: What Swift's clock told with the last answer, and ours when that
        #: was asked for.
        self._heard = [('', 0.0)]
        #: When Swift last looked a container up, or the account, which has no
        #: name, by ``time.monotonic``.
        self._found: dict[str | None, float] = {}

    def until(self, deadline: float) -> Self:
        """The same account, asking nothing again after a moment.

        :param deadline: by ``time.monotonic``.
        """
        hurried = copy.copy(self)
        hurried._policy = dataclasses.replace(
            self._policy, deadline=deadline)
        return hurried

    def check_time(self) -> None:
        """See that it is not too late to ask anything more.

        :raises errors.SwiftError: the moment given to :meth:`until` is past.
        """
        if time.monotonic() >= self._policy.deadline:
            raise errors.SwiftError(
                'Swift took so long that what it is asked for is given up.')

    # Objects

    def create(
        self, container: str, name: str, *, content_type: str,
        body: bytes = b'', delete_at: float | None = None,
        delete_after: int | None = None, owner: str | None = None,
    ) -> Outcome:
        """PUT an object unless there is one: DONE, EXISTS, STALE or MISSING.

        Swift looks before it writes, and not in one step: of creators at
        the same moment more than one can be told DONE, and the object is
        the last one's (``swift/obj/server.py``, PUT).

        After a lost answer, the object that is found may be our own first
        try. With an ``owner`` that is read back and counts as DONE; without
        one EXISTS is returned, which says as much to the only writer of a
        name.

        :param delete_at: seconds since the epoch by this machine's clock.
        :param delete_after: seconds from now by Swift's clock.
        """
        headers = {'Content-Type': content_type, 'If-None-Match': '*',
                   **_expiry(delete_at)}
        if delete_after is not None:
            headers['X-Delete-After'] = str(delete_after)
        if owner is not None:
            headers[_META + _OWNER] = owner
        answer = self._ask('PUT', container, name, headers=headers, body=body)
        outcome = _outcome(answer.response, 'PUT', name, {
            201: Outcome.DONE, 202: Outcome.STALE, 404: Outcome.MISSING,
            412: Outcome.EXISTS})
        if (outcome is Outcome.EXISTS and answer.repeated
                and owner is not None):
            found = self.head(container, name)
            if found is not None and found.owner == owner:
                return Outcome.DONE
        return outcome

    def replace(
        self, container: str, name: str, *, content_type: str,
        body: bytes = b'', delete_at: float | None = None,
    ) -> Outcome:
        """PUT an object whatever is there: DONE, STALE or MISSING.

        The last writer wins. Sent again after a lost answer, which may undo
        what somebody else wrote in between.
        """
        answer = self._ask(
            'PUT', container, name, body=body,
            headers={'Content-Type': content_type, **_expiry(delete_at)})
        return _outcome(answer.response, 'PUT', name, {
            201: Outcome.DONE, 202: Outcome.STALE, 404: Outcome.MISSING})

    def annotate(
        self, container: str, name: str, *, content_type: str,
        delete_at: float | None = None,
    ) -> Outcome:
        """POST an object's Content-Type and expiry: DONE, STALE or MISSING.

        All other user metadata goes, and so does an expiry that is not
        given (``swift/obj/server.py``, POST). The last writer wins. Sent
        again after a lost answer.

        MISSING is certain: Swift could look the container up.
        """
        answer = self._make_sure(
            'POST', container, name,
            headers={'Content-Type': content_type, **_expiry(delete_at)})
        return _outcome(answer.response, 'POST', name, {
            202: Outcome.DONE, 404: Outcome.MISSING, 409: Outcome.STALE})

    def read(
        self, container: str, name: str, *, newest: bool = False,
    ) -> StoredObject | None:
        """GET an object, or None if there is none or it has expired.

        None as well if any replica that answers knows of a deletion that is
        newer than the object, and ``newest`` is asked for.

        :param newest: ask every replica for the newest version, and see that
            Swift could look the container up; without it one that missed a
            write may answer, or Swift say that what it can not find is not
            there.
        """
        return self._get('GET', container, name, newest)

    def head(self, container: str, name: str) -> StoredObject | None:
        """HEAD the newest version of an object; None as for :meth:`read`."""
        return self._get('HEAD', container, name, newest=True)

    def delete(
        self, container: str, name: str, *,
        only_if_delete_at: int | None = None,
    ) -> Outcome:
        """DELETE an object: DONE, STALE or MISSING.

        Missing after a lost answer counts as DONE.

        As for :meth:`annotate`, MISSING is certain, if there are no
        conditions.

        :param only_if_delete_at: leave alone an object with another expiry,
            which is STALE (``swift/obj/server.py``, X-If-Delete-At). Without
            it nothing is.
        :raises errors.SwiftError: see :meth:`prevail`.
        """
        headers = ({} if only_if_delete_at is None
                   else {'X-If-Delete-At': str(only_if_delete_at)})

        def delete() -> Outcome:
            ask = self._ask if headers else self._make_sure
            answer = ask('DELETE', container, name, headers=headers)
            outcome = _outcome(answer.response, 'DELETE', name, {
                204: Outcome.DONE, 404: Outcome.MISSING, 409: Outcome.STALE,
                412: Outcome.STALE})
            if outcome is Outcome.MISSING and answer.repeated:
                return Outcome.DONE
            return outcome

        return delete() if headers else self.prevail(delete)

    def delete_many(self, container: str, names: Sequence[str]) -> None:
        """Delete objects, missing ones included, side by side.

        On return all are gone, unless somebody wrote them anew. In bulk
        where Swift offers that and it pays. May be repeated.

        :raises errors.SwiftError: some are not; or it is too late, for which
            each request is looked at before it is sent.
        """
        if len(names) < _BULK_FROM or not self._bulk_size():
            self.each(lambda name: self._delete_in_time(container, name),
                      names)
            return
        size = min(_BULK, self._bulk_size())
        chunks = [names[start:start + size]
                  for start in range(0, len(names), size)]
        self.each(lambda chunk: self._bulk_delete(container, chunk), chunks)

    # Containers

    def make_container(
        self, container: str, policy: str | None,
        metadata: Mapping[str, str] = types.MappingProxyType({}),
    ) -> bool:
        """PUT a container; whether it is new. May be repeated.

        :param policy: storage policy of a new one; ignored by one that is
            there (Swift answers 409 to a different policy).
        :param metadata: user metadata to add to what it has; the last writer
            of each name wins (``swift/common/db.py``, ``update_metadata``).
        """
        headers = {_CONTAINER_META + name: value
                   for name, value in metadata.items()}
        if policy:
            headers['X-Storage-Policy'] = policy
        answer = self._ask('PUT', container, headers=headers)
        return _outcome(answer.response, 'PUT', container, {
            201: Outcome.DONE, 202: Outcome.EXISTS, 409: Outcome.EXISTS,
        }) is Outcome.DONE

    def prevail(self, write: Callable[[], Outcome]) -> Outcome:
        """Repeat a write that is STALE until it is the newest.

        Swift orders writes by the clocks of the proxies that received them,
        and drops one that is older than what is there: an earlier one, if
        those clocks differ, or another's of the same moment.

        :raises errors.SwiftError: it stayed the older one.
        """
        patience = min(_SKEW, self._policy.deadline - time.monotonic())
        try:
            return tenacity.Retrying(
                retry=tenacity.retry_if_result(
                    lambda outcome: outcome is Outcome.STALE),
                stop=tenacity.stop_after_delay(patience),
                wait=tenacity.wait_random_exponential(
                    multiplier=0.1, max=1))(write)
        except tenacity.RetryError:
            raise errors.SwiftError(
                'Swift did not do what it was asked for, since it has '
                f'something newer, for {patience:.0f} seconds: see that the '
                'clocks of its proxies agree.') from None

    def insist(
        self, container: str, policy: str | None,
        write: Callable[[], Outcome],
    ) -> Outcome:
        """Repeat a write that found its container MISSING, making that.

        Proxies remember for some seconds that a container is not there, and
        one may not have heard yet that another proxy made it
        (``swift/proxy/controllers/base.py``, ``get_info``).

        :raises errors.SwiftError: it stayed missing.
        """
        def attempt() -> Outcome:
            self.make_container(container, policy)
            self.check_time()
            return write()

        patience = min(_CONTAINER_UNSEEN,
                       self._policy.deadline - time.monotonic())
        try:
            return tenacity.Retrying(
                retry=tenacity.retry_if_result(
                    lambda outcome: outcome is Outcome.MISSING),
                stop=tenacity.stop_after_delay(patience),
                wait=tenacity.wait_random_exponential(
                    multiplier=0.1, max=1))(attempt)
        except tenacity.RetryError:
            raise errors.SwiftError(
                f'Swift still has no container {container} {patience:.0f} '
                'seconds after it was made.') from None

    def drop_container(self, container: str) -> Outcome:
        """DELETE a container: DONE, MISSING, or EXISTS if it is not empty.

        MISSING is certain.
        """
        answer = self._make_sure('DELETE', container)
        return _outcome(answer.response, 'DELETE', container, {
            204: Outcome.DONE, 404: Outcome.MISSING, 409: Outcome.EXISTS})

    def page(
        self, container: str, *, marker: str = '', end_marker: str = '',
        prefix: str = '', limit: int = PAGE, reverse: bool = False,
    ) -> Sequence[Row]:
        """One listing of at most ``limit`` rows by name, marker excluded.

        Empty if there is no such container, which is certain.
        """
        return self.listing(
            container, marker=marker, end_marker=end_marker, prefix=prefix,
            limit=limit, reverse=reverse).rows

    def listing(
        self, container: str, *, marker: str = '', end_marker: str = '',
        prefix: str = '', limit: int = PAGE, reverse: bool = False,
    ) -> Listing:
        """As :meth:`page`, with the container's metadata."""
        listed, headers = self._listing(container, {
            'limit': str(limit), 'marker': marker,
            'end_marker': end_marker, 'prefix': prefix,
            'reverse': 'on' if reverse else ''})
        return Listing(
            [Row(row['name'], row['content_type'], row['hash'])
             for row in listed],
            headers and _metadata(headers, _CONTAINER_META))

    def container_metadata(self, container: str) -> Mapping[str, str] | None:
        """HEAD a container: its user metadata, or None if there is none.

        By one replica's word, which may not have heard of the last change.
        That there is none is certain.
        """
        response = self._make_sure('HEAD', container).response
        outcome = _outcome(response, 'HEAD', container, {
            200: Outcome.DONE, 204: Outcome.DONE, 404: Outcome.MISSING})
        return None if outcome is Outcome.MISSING else _metadata(
            response.headers, _CONTAINER_META)

    def rows(
        self, container: str, *, marker: str = '', prefix: str = '',
        first: int = PAGE, reverse: bool = False,
        begun: Sequence[Row] | None = None,
    ) -> Iterator[Row]:
        """All rows by name, listing as far as they are asked for.

        :param first: size of the first listing; later ones grow.
        :param begun: the first listing, if it was read already.
        """
        limit = min(first, PAGE)
        page = begun
        while True:
            if page is None:
                page = self.page(container, marker=marker, prefix=prefix,
                                 limit=limit, reverse=reverse)
            yield from page
            if len(page) < limit:
                return
            marker, page = page[-1].name, None
            limit = min(limit * 10, PAGE)

    def empty_container(self, container: str) -> None:
        """Delete all objects of a container that a listing shows."""
        while page := self.page(container):
            self.delete_many(container, [row.name for row in page])
            if len(page) < PAGE:
                return

    # Several at a time

    def each(
        self, function: Callable[[_T], _R], items: Iterable[_T],
    ) -> list[_R]:
        """See :meth:`marconi_swift.store.fan_out.FanOut.each`."""
        return self._fan.each(function, items)

    def outcomes(
        self, function: Callable[[_T], _R], items: Iterable[_T],
    ) -> list[_R | Exception]:
        """See :meth:`marconi_swift.store.fan_out.FanOut.outcomes`."""
        return self._fan.outcomes(function, items)

    def both(
        self, first: Callable[[], _T], second: Callable[[], _R],
    ) -> tuple[_T, _R]:
        """Call two functions at once and return what both return."""
        calls: list[Callable[[], Any]] = [first, second]
        one, other = self.each(lambda call: call(), calls)
        return one, other

    # The account

    def containers(
        self, prefix: str, marker: str = '',
    ) -> Iterator[Container]:
        """Containers by name, listing as far as they are asked for."""
        while True:
            page = [Container(row['name'], row['count'])
                    for row in self._listing(None, {
                        'limit': str(PAGE), 'marker': marker,
                        'prefix': prefix})[0]]
            yield from page
            if len(page) < PAGE:
                return
            marker = page[-1].name

    def check_account(self) -> None:
        """HEAD the account.

        :raises errors.SwiftError: it can not be used.
        """
        _outcome(self._ask('HEAD').response, 'HEAD', 'the account',
                 {200: Outcome.DONE, 204: Outcome.DONE})

    def now(self) -> float:
        """Seconds since the epoch by Swift's clock, up to a second less.

        More, by as long as it took to begin its last answer. By this
        machine's clock, if Swift has not told its time yet.
        """
        told, at = self._heard[0]
        ours: float = timeutils.utcnow_ts(True)
        date = email_utils.parsedate_tz(told)
        return ours if date is None else (
            email_utils.mktime_tz(date) + ours - at)

    def mention(self, left: int) -> bool:
        """See :meth:`marconi_swift.store.outages.Outages.mention`."""
        return self._outages.get().mention(left)

    # Inside

    def _ask(
        self, method: str, container: str | None = None,
        name: str | None = None, **kwargs: Any,
    ) -> retry.Answer:
        sent = 0.0

        def send() -> transport.Response:
            nonlocal sent
            sent = timeutils.utcnow_ts(True)
            return self._sender.request(method, container, name, **kwargs)

        answer = self._insist_on(send)
        self._heard[0] = (answer.response.headers.get('date', ''), sent)
        if name is None:
            self._learn(method, container, answer.response)
        return answer

    def _learn(
        self, method: str, container: str | None,
        response: transport.Response,
    ) -> None:
        """Remember whether Swift could look something up.

        Its proxies do, for a minute (``recheck_container_existence`` and
        ``recheck_account_existence``), if they share a memcached: from its
        GET or HEAD until it is made or deleted (``set_info_cache`` and
        ``clear_info_cache`` in ``swift/proxy/controllers``). Whoever writes
        to an object may be served from what is nearly a minute old.
        """
        if method in ('PUT', 'DELETE'):
            self._found.pop(container, None)
        elif method != 'POST' and response.status // 100 == 2:
            if len(self._found) >= _FOUND_MOST:
                self._found.clear()
            self._found[container] = time.monotonic()

    def _make_sure(
        self, method: str, container: str, name: str | None = None,
        **kwargs: Any,
    ) -> retry.Answer:
        """As :meth:`_ask`; 404 then says that it is not there.

        Swift says so as well of what is in a container, or an account, that
        it can not look up (``swift/proxy/controllers/obj.py``); and of
        objects that it looks for in the wrong places then, if their policy is
        not the first.
        """
        answer = self._ask(method, container, name, **kwargs)
        if answer.response.status != 404 or not self._is_looked_up(
                container if name else None):
            return answer
        if method not in ('GET', 'HEAD'):
            self.check_time()
        again = self._ask(method, container, name, **kwargs)
        return retry.Answer(
            again.response, answer.repeated or again.repeated)

    def _is_looked_up(self, container: str | None) -> bool:
        """Look up what a 404 may have hidden; whether it is there.

        False if it must have been looked up for that.

        :param container: None for the account.
        :raises errors.SwiftError: it can not be.
        """
        if time.monotonic() < self._found.get(
                container, -math.inf) + _FOUND_FOR:
            return False
        if container is not None:
            return self.container_metadata(container) is not None
        self.check_account()
        return True

    def _insist_on(
        self, send: Callable[[], transport.Response],
    ) -> retry.Answer:
        """Send a request as often as the policy allows, and as it helps."""
        sent = self._silence.get().sender(send)
        return self._outages.get().watch(lambda: self._policy.ask(sent))

    def _listing(
        self, container: str | None, query: Mapping[str, str],
    ) -> tuple[list[dict[str, Any]], Mapping[str, str] | None]:
        """One listing, of the account if no container is named.

        With the answer's headers, or None if there is no such container.
        """
        what = container or 'the account'
        asked = {'format': 'json',
                 **{key: value for key, value in query.items() if value}}
        response = (
            self._ask('GET', query=asked) if container is None
            else self._make_sure('GET', container, query=asked)).response
        outcome = _outcome(response, 'GET', what, {
            200: Outcome.DONE, 204: Outcome.DONE, 404: Outcome.MISSING})
        if outcome is Outcome.MISSING:
            return [], None
        listed = _json(response.body, what) if response.body else []
        return listed, response.headers

    def _get(
        self, method: str, container: str, name: str, newest: bool,
    ) -> StoredObject | None:
        answer = (
            self._make_sure(
                method, container, name, headers={'X-Newest': 'true'})
            if newest else self._ask(method, container, name))
        response = answer.response
        if _outcome(response, method, name, {
                200: Outcome.DONE, 404: Outcome.MISSING,
        }) is Outcome.MISSING:
            return None
        content_type = response.headers.get('content-type', '')
        if (content_type.startswith(_NO_OBJECTS)
                and 'accept-ranges' not in response.headers):
            # Some replicas have the object, and one knows of a deletion that
            # is newer: then Swift's proxy says 200, or 404, by which of them
            # it counts first, and returns neither type nor body either way
            # (GetOrHeadHandler in swift/proxy/controllers/base.py).
            return None
        return StoredObject(
            name, content_type, _metadata(response.headers, _META),
            response.body, response.headers.get('etag', '').strip('"'))

    def _bulk_size(self) -> int:
        """How many deletions Swift takes in one request; 0 for none."""
        known = self._bulk_limit.get()
        if not known:
            response = self._insist_on(self._sender.info).response
            offered = (_json(response.body, '/info')
                       if response.status == 200 else {})
            known.append(offered.get('bulk_delete', {}).get(
                'max_deletes_per_request', 0))
        return known[0]

    def _delete_in_time(self, container: str, name: str) -> None:
        self.check_time()
        self.delete(container, name)

    def _bulk_delete(self, container: str, names: Sequence[str]) -> None:
        self.check_time()
        body = '\n'.join(
            parse.quote(f'/{container}/{name}') for name in names)

        def delete() -> dict[str, Any]:
            response = self._ask(
                'POST', query={'bulk-delete': ''}, body=body.encode(),
                headers={'Content-Type': 'text/plain',
                         'Accept': 'application/json'}).response
            _outcome(response, 'POST', 'bulk-delete', {200: Outcome.DONE})
            result: dict[str, Any] = _json(response.body, 'bulk-delete')
            return result

        result = delete()
        if result.get('Number Not Found') and self._is_looked_up(container):
            # See _make_sure.
            self.check_time()
            result = delete()
        if result['Response Status'].startswith('200'):
            return
        # What it failed at is told apart from the rest by trying again.
        self.each(lambda name: self._delete_in_time(container, name), names)


def _metadata(headers: Mapping[str, str], prefix: str) -> Mapping[str, str]:
    """User metadata, of headers whose names are in lower case."""
    return {key.removeprefix(prefix): value
            for key, value in headers.items() if key.startswith(prefix)}


def _expiry(delete_at: float | None) -> dict[str, str]:
    if delete_at is None:
        return {}
    return {'X-Delete-At': str(min(math.ceil(delete_at), _LATEST))}


def _outcome(
    response: transport.Response, method: str, name: str,
    expected: Mapping[int, Outcome],
) -> Outcome:
    try:
        return expected[response.status]
    except KeyError:
        raise errors.Refused(
            f'Swift answered {response.status} to {method} {name}: '
            f'{response.body[:200]!r}', response.status) from None


def _json(body: bytes, what: str) -> Any:
    try:
        return json.loads(body)
    except ValueError as exc:
        raise errors.SwiftError(
            f'Swift answered no valid JSON for {what}: {exc}') from exc
