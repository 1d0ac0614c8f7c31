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

========================  ===============================================
container                 ``<prefix>:subscriptions:<project>:<queue>``
object                    :func:`marconi_swift.names.subscription`
Content-Type, body        :class:`marconi_swift.records.Subscription`
========================  ===============================================

A subscription is one object, named after its subscriber, so that there can
not be two of one subscriber, nor anything that says there is one when there
is none. Its id begins with the name that it was made under.

When the subscriber is changed, the object's name changes. The old object is
first marked with the name of the new one, then the new one is made, then the
old one is deleted. Whoever finds a marked one looks for the new one: if that
is there, the marked one is void, also when a crash left it behind.
"""

from collections.abc import Iterator
import dataclasses
import math
import re
from typing import Any
import uuid

from oslo_log import log as logging
from zaqar import storage
from zaqar.storage import errors

from marconi_swift import cache
from marconi_swift import names
from marconi_swift import records
from marconi_swift.store import objects

LOG = logging.getLogger(__name__)

_ID = re.compile(r'([0-9a-f]{32})-[0-9a-f]{8}', re.ASCII)

#: Bodies of subscriptions, and listings, that a process remembers.
_BODIES, _LISTINGS = 10000, 100

_Rows = tuple[records.SubscriptionRow, ...]


class SubscriptionController(storage.Subscription):
    """See :class:`zaqar.storage.base.Subscription`."""

    def __init__(self, driver: Any) -> None:
        super().__init__(driver)
        self._store: objects.ObjectStore = driver.account.store
        self._settings = driver.account.settings
        self._elections = driver.account.elections
        # By container, name and ETag, under which they never change.
        self._bodies = cache.Cache[tuple[str, str, str], bytes](
            math.inf, _BODIES)
        # For the pages that follow the first: see list.
        self._listings = cache.Cache[str, _Rows](
            self._settings.cache_time, _LISTINGS)

    def list(
        self, queue: str, project: str | None = None,
        marker: str | None = None,
        limit: int = storage.DEFAULT_SUBSCRIPTIONS_PER_PAGE,
    ) -> Iterator[Any]:
        """Return an iterator over a page, and then over its marker.

        In an order of their own, which does not change. As fresh as Swift's
        listing; one listing serves the first page and those that are asked
        for within ``cache_time``, and of the subscriptions only those that
        this process has not read yet are read. The marker is None if no
        subscription is left.
        """
        container = self._container(project, queue)
        if marker is None:
            self._listings.forget(container)
        at = records.now()
        left = [row for row in self._listings.get(
                    container, lambda: self._rows(container))
                if row.name > (marker or '') and row.expires > at]
        page = left[:limit]
        found = self._store.each(lambda row: self._body(container, row), page)
        return iter((
            iter([subscription.shown(queue, at) for subscription in found
                  if subscription and not subscription.expired(at)]),
            page[-1].name if page else None))

    def get(
        self, queue: str, subscription_id: str, project: str | None = None,
    ) -> dict[str, Any]:
        """Return a subscription.

        :raises zaqar.storage.errors.SubscriptionDoesNotExist: there is none
            in this queue.
        """
        _, subscription = self._find(queue, subscription_id, project)
        return subscription.shown(queue, records.now())

    def create(
        self, queue: str, subscriber: str, ttl: int, options: Any,
        project: str | None = None,
    ) -> str | None:
        """Store a subscription and return its id; None if there is one.

        Of creators at the same moment exactly one is given an id. The queue
        need not exist.
        """
        name = names.subscription(subscriber)
        made = records.Subscription(
            id=f'{name}-{uuid.uuid4().hex[:8]}', subscriber=subscriber,
            ttl=ttl, expires=records.now() + ttl, options=options)
        created = self._create(self._container(project, queue), name, made)
        return made.id if created else None

    def update(
        self, queue: str, subscription_id: str, project: str | None = None,
        **kwargs: Any,
    ) -> None:
        """Change the subscriber, the ttl, which begins anew, or the options.

        Everything else that is given is ignored. The last writer wins.

        :raises AssertionError: none of the three is given.
        :raises zaqar.storage.errors.SubscriptionDoesNotExist: there is none
            in this queue.
        :raises zaqar.storage.errors.SubscriptionAlreadyExists: the
            subscriber has one.
        """
        changes = {field: kwargs[field]
                   for field in ('subscriber', 'ttl', 'options')
                   if kwargs.get(field) is not None}
        if not changes:
            raise AssertionError(
                'Neither subscriber nor ttl nor options are given for '
                f'subscription {subscription_id}.')
        container = self._container(project, queue)
        name, old = self._find(queue, subscription_id, project)
        if 'ttl' in changes:
            changes['expires'] = records.now() + changes['ttl']
        new = dataclasses.replace(old, **changes, moves_to='')
        if new.subscriber == old.subscriber:
            self._put(self._store, container, name, new)
        else:
            self._move(container, name, old, new)

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
            name, _ = self._find(queue, subscription_id, project)
        except errors.SubscriptionDoesNotExist:
            return
        self._store.delete(container, name)
        self._listings.forget(container)

    def get_with_subscriber(
        self, queue: str, subscriber: str, project: str | None = None,
    ) -> dict[str, Any]:
        """Return the subscription of a subscriber.

        :raises zaqar.storage.errors.SubscriptionDoesNotExist: it has none.
        """
        found = self._current(self._container(project, queue),
                              names.subscription(subscriber))
        if found is None:
            raise errors.SubscriptionDoesNotExist(subscriber)
        return found.shown(queue, records.now())

    def confirm(
        self, queue: str, subscription_id: str, project: str | None = None,
        confirmed: bool = True,
    ) -> None:
        """Note that the subscriber wants the messages, or does not.

        The last writer wins; the ttl goes on.

        :raises zaqar.storage.errors.SubscriptionDoesNotExist: there is none
            in this queue.
        """
        name, subscription = self._find(queue, subscription_id, project)
        self._put(self._store, self._container(project, queue), name,
                  dataclasses.replace(
                      subscription, confirmed=bool(confirmed), moves_to=''))

    # Inside

    def _container(self, project: str | None, queue: str) -> str:
        return names.subscriptions(
            self._settings.container_prefix, project, queue)

    def _find(
        self, queue: str, subscription_id: Any, project: str | None,
    ) -> tuple[str, records.Subscription]:
        """Return a subscription and the name of its object."""
        container = self._container(project, queue)
        known = (_ID.fullmatch(subscription_id)
                 if isinstance(subscription_id, str) else None)
        if known is None:
            raise errors.SubscriptionDoesNotExist(subscription_id)
        found = self._current(container, known[1])
        if found is not None and found.id == subscription_id:
            return known[1], found
        # Its subscriber may have been changed, and with it its name.
        for row in self._rows(container):
            if row.id == subscription_id:
                found = self._current(container, row.name)
                if found is not None and found.id == subscription_id:
                    return row.name, found
        raise errors.SubscriptionDoesNotExist(subscription_id)

    def _current(
        self, container: str, name: str,
    ) -> records.Subscription | None:
        """Read a subscription, unless it has expired or is void."""
        found = self._read(container, name)
        if found is not None and found.moves_to:
            moved = self._read(container, found.moves_to)
            if moved is not None and moved.id == found.id:
                return None
        return found

    def _read(
        self, container: str, name: str,
    ) -> records.Subscription | None:
        stored = self._store.read(container, name, newest=True)
        if stored is None:
            return None
        found = records.Subscription.parse(stored.content_type, stored.body)
        if found is None:
            _report_foreign(container, name)
        return None if found is None or found.expired(records.now()) else found

    def _create(
        self, container: str, name: str, made: records.Subscription,
    ) -> bool:
        created: bool = self._elections.once(
            f'{container}/{name}',
            lambda: self._current(container, name) is not None,
            lambda store: self._put(store, container, name, made))
        return created

    def _move(
        self, container: str, name: str, old: records.Subscription,
        new: records.Subscription,
    ) -> None:
        """Store a subscription under the name of its new subscriber."""
        new_name = names.subscription(new.subscriber)
        marked = dataclasses.replace(old, moves_to=new_name)
        self._put(self._store, container, name, marked)
        if not self._create(container, new_name, new):
            self._put(self._store, container, name,
                      dataclasses.replace(old, moves_to=''))
            raise errors.SubscriptionAlreadyExists()
        self._store.delete(container, name)
        self._listings.forget(container)

    def _put(
        self, store: objects.ObjectStore, container: str, name: str,
        subscription: records.Subscription,
    ) -> None:
        def put() -> objects.Outcome:
            return store.replace(
                container, name, content_type=subscription.content_type(),
                body=subscription.body(), delete_at=subscription.delete_at)

        if put() is objects.Outcome.MISSING:
            store.insist(container, self._settings.storage_policy, put)
        self._listings.forget(container)

    def _rows(self, container: str) -> _Rows:
        """List what is there, but not what is known to be void."""
        rows = {}
        for row in self._store.rows(container):
            parsed = records.SubscriptionRow.parse(*row)
            if parsed is None:
                _report_foreign(container, row.name)
            else:
                rows[row.name] = parsed
        return tuple(
            row for row in rows.values()
            if row.moves_to not in rows or rows[row.moves_to].id != row.id)

    def _body(
        self, container: str, row: records.SubscriptionRow,
    ) -> records.Subscription | None:
        """Read a subscription that is listed, unless that was done before."""
        body = self._bodies.find((container, row.name, row.etag))
        if body is not None:
            return records.Subscription.parse(row.content_type, body)
        stored = self._store.read(container, row.name, newest=True)
        if stored is None:
            return None
        self._bodies.keep((container, row.name, stored.etag), stored.body)
        return records.Subscription.parse(stored.content_type, stored.body)


def _report_foreign(container: str, name: str) -> None:
    LOG.warning(
        'Ignoring %(name)r in container %(container)s: it is no subscription '
        'that this release can read. Remove it, or upgrade.',
        {'name': name, 'container': container})
