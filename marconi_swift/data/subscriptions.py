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
"""Subscriptions: to whom the messages of a queue are sent.

============  =======================================================
container     ``<prefix>:subscriptions:<project>:<queue>``
subscription  object :func:`marconi_swift.names.subscription`;
              Content-Type, body: :class:`.records.Subscription`
holder        object :func:`marconi_swift.names.subscriber`;
              Content-Type: :meth:`.records.Subscription.holder_type`;
              body: the id of the subscription that the subscriber has
============  =======================================================

The subscription is the authority. A holder only keeps others from giving its
subscriber a second one, and is void unless the subscription that it names is
there and is of that subscriber. So it is written before the subscription, is
never shortened, and goes by itself when the subscription would have expired.
Whatever is done at the same time, or cut short, leaves void ones, and never
two subscriptions of one subscriber, nor anything that says there is one when
there is none.
"""

import bisect
import builtins
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
import dataclasses
import itertools
import math
from typing import Any
from typing import NamedTuple

from zaqar import storage
from zaqar.storage import errors

from marconi_swift import acceptable
from marconi_swift import cache
from marconi_swift import names
from marconi_swift import notices
from marconi_swift import records
from marconi_swift.store import objects

#: Bytes of subscriptions' bodies that a process remembers.
_BODIES = 16 * 2 ** 20

#: Bytes that a body takes beyond its own.
_OVERHEAD = 500

#: Listings of a queue's subscriptions that a process remembers.
_LISTINGS = 100


class _Row(NamedTuple):
    """What a listing says of a subscription."""

    id: str
    content_type: str
    #: Tells whether the body changed.
    etag: str
    expires: float


class SubscriptionController(storage.Subscription):
    """See :class:`zaqar.storage.base.Subscription`."""

    def __init__(self, driver: Any) -> None:
        super().__init__(driver)
        self._store: objects.ObjectStore = driver.account.store
        self._settings = driver.account.settings
        self._elections = driver.account.elections
        # The ETag and body, by container and id.
        self._bodies = cache.Cache[tuple[str, str], tuple[str, bytes]](
            math.inf, _BODIES, lambda kept: len(kept[1]) + _OVERHEAD)
        # By container, for the pages that follow the first: see list.
        self._listings = cache.Cache[str, tuple[_Row, ...]](
            self._settings.cache_time, _LISTINGS)

    def list(
        self, queue: str, project: str | None = None,
        marker: str | None = None,
        limit: int = storage.DEFAULT_SUBSCRIPTIONS_PER_PAGE,
    ) -> Iterator[Any]:
        """Return an iterator over a page, and then over its marker.

        In the order in which they were made. As fresh as Swift's listing;
        one listing serves the first page and those that are asked for within
        ``cache_time``, and of the subscriptions only those that this process
        has not read yet are read. The marker is None if no subscription is
        left.
        """
        container = self._container(project, queue)
        if marker:
            rows = self._listings.get(
                container, lambda: self._rows(container))
            start = bisect.bisect_right(
                rows, str(marker), key=lambda row: row.id)
        else:
            rows = self._listings.renew(
                container, lambda: self._rows(container))
            start = 0
        at = records.now()
        page, last = self._fill(
            container, itertools.islice(rows, start, None), at, limit)
        return iter((iter([found.shown(queue, at) for found in page]), last))

    def get(
        self, queue: str, subscription_id: str, project: str | None = None,
    ) -> dict[str, Any]:
        """Return a subscription.

        :raises zaqar.storage.errors.SubscriptionDoesNotExist: there is none
            in this queue.
        """
        found = self._find(queue, subscription_id, project)
        return found.shown(queue, records.now())

    def create(
        self, queue: str, subscriber: str, ttl: int, options: Any,
        project: str | None = None,
    ) -> str | None:
        """Store a subscription and return its id; None if there is one.

        Of creators at the same moment exactly one is given an id. The queue
        need not exist.

        :raises marconi_swift.acceptable.Unacceptable: of the subscriber, the
            ttl or the options, which could not be handed out.
        """
        # Zaqar looks at subscribers when it makes a subscription.
        acceptable.check_text(subscriber, 'the subscriber', shortest=0)
        _check({'ttl': ttl, 'options': options})
        made = records.Subscription(
            id=names.new_message_id(), subscriber=subscriber, ttl=ttl,
            expires=records.now() + ttl, options=options)
        stored = self._store_first(self._container(project, queue), made)
        return made.id if stored else None

    def update(
        self, queue: str, subscription_id: str, project: str | None = None,
        **kwargs: Any,
    ) -> None:
        """Change the subscriber, the ttl, which begins anew, or the options.

        Everything else that is given is ignored. The last writer wins: a
        subscription that is deleted at the very moment when its subscriber
        or its options are changed can be there again.

        :raises AssertionError: none of the three is given.
        :raises zaqar.storage.errors.SubscriptionDoesNotExist: there is none
            in this queue.
        :raises zaqar.storage.errors.SubscriptionAlreadyExists: the
            subscriber has one.
        :raises marconi_swift.acceptable.Unacceptable: as :meth:`create`.
        """
        changes = {field: kwargs[field]
                   for field in ('subscriber', 'ttl', 'options')
                   if kwargs.get(field) is not None}
        if not changes:
            raise AssertionError(
                'Neither subscriber nor ttl nor options are given for '
                f'subscription {subscription_id}.')
        _check(changes)
        container = self._container(project, queue)
        old = self._find(queue, subscription_id, project)
        if 'ttl' in changes:
            changes['expires'] = records.now() + changes['ttl']
        new = dataclasses.replace(old, **changes)
        if new.subscriber != old.subscriber:
            if not self._store_first(container, new):
                raise errors.SubscriptionAlreadyExists()
            return
        if new.expires > old.expires:
            # First, so that it lasts as long as the subscription.
            self._hold(container, new)
        # As JSON: to Python, 1 and true are the same.
        if new.body() == old.body():
            self._annotate(container, new)
            if new.expires > old.expires:
                self._hold_as_long(container, new)
            return
        self._put(self._store, container, new)
        if new.expires > old.expires:
            self._hold_as_long(container, new)
        self._check_holder(container, new)

    def exists(
        self, queue: str, subscription_id: str, project: str | None = None,
    ) -> bool:
        try:
            self._find(queue, subscription_id, project)
        except errors.SubscriptionDoesNotExist:
            return False
        return True

    def delete(
        self, queue: str, subscription_id: str, project: str | None = None,
    ) -> None:
        """Remove a subscription, if it is there and of this queue."""
        container = self._container(project, queue)
        try:
            found = self._find(queue, subscription_id, project)
        except errors.SubscriptionDoesNotExist:
            return
        self._store.delete(container, names.subscription(found.id))
        self._listings.forget(container)

    def get_with_subscriber(
        self, queue: str, subscriber: str, project: str | None = None,
    ) -> dict[str, Any]:
        """Return the subscription of a subscriber.

        :raises zaqar.storage.errors.SubscriptionDoesNotExist: it has none.
        """
        found = self._of(self._container(project, queue), subscriber)
        if found is None:
            raise errors.SubscriptionDoesNotExist(subscriber)
        return found.shown(queue, records.now())

    def confirm(
        self, queue: str, subscription_id: str, project: str | None = None,
        confirmed: bool = True,
    ) -> None:
        """Note that the subscriber wants the messages, or does not.

        The ttl goes on. The last writer wins: a renewal at the very moment
        can be undone.

        :raises zaqar.storage.errors.SubscriptionDoesNotExist: there is none
            in this queue.
        """
        found = self._find(queue, subscription_id, project)
        self._annotate(
            self._container(project, queue),
            dataclasses.replace(found, confirmed=bool(confirmed)))

    # Inside

    def _container(self, project: str | None, queue: str) -> str:
        return names.subscriptions(
            self._settings.container_prefix, project, queue)

    def _find(
        self, queue: str, subscription_id: Any, project: str | None,
    ) -> records.Subscription:
        found = None
        if names.is_message_id(subscription_id):
            found = self._read(
                self._container(project, queue), subscription_id)
        if found is None:
            raise errors.SubscriptionDoesNotExist(subscription_id)
        return found

    def _read(
        self, container: str, subscription_id: str,
    ) -> records.Subscription | None:
        stored = self._store.read(
            container, names.subscription(subscription_id), newest=True)
        if stored is None:
            return None
        found = records.Subscription.parse(
            subscription_id, stored.content_type, stored.body)
        if found is None:
            _report_foreign(container, stored.name)
        return None if found is None or found.expired(records.now()) else found

    def _of(
        self, container: str, subscriber: str,
    ) -> records.Subscription | None:
        """The subscription that a subscriber has, if any."""
        holder = self._store.read(
            container, names.subscriber(subscriber), newest=True)
        held = holder.body.decode(errors='replace') if holder else None
        if not names.is_message_id(held):
            return None
        found = self._read(container, str(held))
        return found if found and found.subscriber == subscriber else None

    def _store_first(
        self, container: str, subscription: records.Subscription,
    ) -> bool:
        """Store a subscription whose subscriber has none, or return False."""
        def write(store: objects.ObjectStore) -> None:
            self._put_holder(store, container, subscription)
            store.check_time()
            self._put(store, container, subscription)

        return self._if_first(container, subscription, write)

    def _if_first(
        self, container: str, subscription: records.Subscription,
        write: Callable[[objects.ObjectStore], None],
    ) -> bool:
        """Write something if no subscription of the subscriber is held."""
        subscriber = subscription.subscriber
        written: bool = self._elections.once(
            f'{container}/{names.subscriber(subscriber)}',
            lambda: self._of(container, subscriber) is not None, write)
        return written

    def _put_holder(
        self, store: objects.ObjectStore, container: str,
        subscription: records.Subscription,
    ) -> None:
        holder = names.subscriber(subscription.subscriber)
        self._insist(store, container, lambda: store.replace(
            container, holder, content_type=subscription.holder_type(),
            body=subscription.id.encode(),
            delete_at=subscription.delete_at))

    def _hold(
        self, container: str, subscription: records.Subscription,
    ) -> None:
        """Let what says whose a subscription is last as long as that.

        If that was lost, its subscriber could get a second one.
        """
        outcome = self._store.prevail(lambda: self._store.annotate(
            container, names.subscriber(subscription.subscriber),
            content_type=subscription.holder_type(),
            delete_at=subscription.delete_at))
        if outcome is objects.Outcome.MISSING and not self._if_first(
                container, subscription, lambda store: self._put_holder(
                    store, container, subscription)):
            self._check_holder(container, subscription)

    def _check_holder(
        self, container: str, subscription: records.Subscription,
    ) -> None:
        """Remove a subscription whose subscriber has another meanwhile.

        :raises zaqar.storage.errors.SubscriptionDoesNotExist: he has.
        """
        holder = self._of(container, subscription.subscriber)
        if holder is not None and holder.id != subscription.id:
            self._store.delete(
                container, names.subscription(subscription.id))
            raise errors.SubscriptionDoesNotExist(subscription.id)

    def _hold_as_long(
        self, container: str, subscription: records.Subscription,
    ) -> None:
        """See that it does, after the subscription was stored.

        Another renewal, for less time, may have come between the two.
        """
        held = self._store.head(
            container, names.subscriber(subscription.subscriber))
        until = None if held is None else records.expires(held.content_type)
        if until is not None and until < round(subscription.expires, 3):
            self._hold(container, subscription)

    def _annotate(
        self, container: str, subscription: records.Subscription,
    ) -> None:
        """Store what a POST can change."""
        outcome = self._store.prevail(lambda: self._store.annotate(
            container, names.subscription(subscription.id),
            content_type=subscription.content_type(),
            delete_at=subscription.delete_at))
        self._listings.forget(container)
        if outcome is objects.Outcome.MISSING:
            raise errors.SubscriptionDoesNotExist(subscription.id)

    def _put(
        self, store: objects.ObjectStore, container: str,
        subscription: records.Subscription,
    ) -> None:
        name = names.subscription(subscription.id)
        self._insist(store, container, lambda: store.replace(
            container, name, content_type=subscription.content_type(),
            body=subscription.body(), delete_at=subscription.delete_at))
        self._listings.forget(container)

    def _insist(
        self, store: objects.ObjectStore, container: str,
        write: Callable[[], objects.Outcome],
    ) -> None:
        """Write into a container, making it if it is not there."""
        def prevail() -> objects.Outcome:
            return store.prevail(write)

        if prevail() is objects.Outcome.MISSING:
            store.insist(container, self._settings.storage_policy, prevail)

    def _rows(self, container: str) -> tuple[_Row, ...]:
        rows = []
        for row in self._store.rows(
                container, prefix=names.subscription('')):
            expires = records.expires(row.content_type)
            if expires is None:
                _report_foreign(container, row.name)
            else:
                rows.append(_Row(names.subscription_id(row.name),
                                 row.content_type, row.etag, expires))
        return tuple(rows)

    def _fill(
        self, container: str, rows: Iterator[_Row], at: float, limit: int,
    ) -> tuple[builtins.list[records.Subscription], str | None]:
        """Read a page, past what is no subscription, or none any more.

        :returns: with it, the id in the last row that was looked at.
        """
        page: builtins.list[records.Subscription] = []
        last = None
        live = (row for row in rows if row.expires > at)
        while len(page) < limit and (
                batch := [*itertools.islice(live, limit - len(page))]):
            last = batch[-1].id
            page += [found for found in self._store.each(
                lambda row: self._listed(container, row), batch)
                if found and not found.expired(at)]
        return page, last

    def _listed(
        self, container: str, row: _Row,
    ) -> records.Subscription | None:
        """Read a subscription that is listed, unless that was done before."""
        key = (container, row.id)
        etag, body = self._bodies.find(key) or ('', b'')
        content_type = row.content_type
        if etag != row.etag:
            stored = self._store.read(
                container, names.subscription(row.id), newest=True)
            if stored is None:
                return None
            content_type, body = stored.content_type, stored.body
            self._bodies.keep(key, (stored.etag, body))
        found = records.Subscription.parse(row.id, content_type, body)
        if found is None:
            _report_foreign(container, names.subscription(row.id))
        return found


def _check(given: Mapping[str, Any]) -> None:
    """Refuse what could not be handed out; Zaqar looks at no empty ones."""
    if 'subscriber' in given:
        acceptable.check_text(given['subscriber'], 'the subscriber')
    if 'ttl' in given:
        acceptable.check_lifetime(
            given['ttl'], 'the ttl of the subscription')
    if 'options' in given:
        acceptable.check(given['options'], 'the options of the subscription')


def _report_foreign(container: str, name: str) -> None:
    notices.foreign(container, name, 'subscription')
