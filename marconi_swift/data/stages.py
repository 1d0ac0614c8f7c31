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
"""What Zaqar calls in front of the control plane's queue controller.

The control plane says which queues there are; their messages are here. A
stage that returns None lets the call go on to the controller behind it.
"""

from typing import Any

from oslo_log import log as logging
from zaqar.storage import errors

from marconi_swift import names
from marconi_swift import records
from marconi_swift.data import listing
from marconi_swift.data import pools
from marconi_swift.data import spread
from marconi_swift.store import errors as store_errors
from marconi_swift.store import objects

LOG = logging.getLogger(__name__)

#: Rounds of emptying a container before its deletion is given up: each is
#: needed only if messages were posted during the one before.
_ROUNDS = 10


class _Handler:
    """Makes, empties and counts what is stored of a queue or topic."""

    def __init__(self, driver: Any, control_driver: Any) -> None:
        # Zaqar drops a stage whose constructor raises, so nothing is looked
        # up before it is needed.
        self._driver = driver

    def create(
        self, name: str, metadata: dict[str, Any] | None = None,
        project: str | None = None,
    ) -> None:
        """Make its containers.

        Of one that is there, make those that it lacks of what it would have
        if it were new.
        """
        count = self._spread.wanted(metadata)
        self._account.store.each(
            lambda parts: parts.make(count), self._parts(name, project))

    def delete(self, name: str, project: str | None = None) -> bool:
        """Remove its messages, claims and containers, and its record.

        Nothing of it is left on return, but for what somebody posted or
        claimed who had looked for it before. After an error, calling it
        again goes on with what is left. Until its record is gone, whoever
        posts makes its containers anew; so they are removed before that, for
        a crash to leave a queue that can be deleted again, and after it. The
        first of several goes last: it says which there are.

        :returns: True, so that Zaqar does not go on to the controller behind
            this stage: by then, its record may be that of a new queue. With
            pooling it goes there all the same, and next.
        :raises zaqar.storage.errors.ConnectionError: something is left.
        """
        # Of another's management store, the controller can not be told.
        done = getattr(self._controller, 'done', lambda *_: None)
        # One that nobody came for, as after this was called without Zaqar.
        done(None)
        try:
            self._delete(name, project)
        except Exception:
            self._put_back(name, project)
            raise
        if self._driver.conf.pooling:
            done(name, project)
        return True

    def _delete(self, name: str, project: str | None) -> None:
        store: objects.ObjectStore = self._account.store
        parts = self._parts(name, project)
        count = parts[0].ask()
        firsts = [part.first for part in parts]
        others = [other for part in parts for other in part.all(count)[1:]]
        store.each(self._remove, others)
        store.each(self._remove, firsts)
        self._controller.delete(name, project=project)
        for numbers in (range(1, count), range(1)):
            store.each(
                lambda rest: self._remove_rest(*rest, name, project),
                [(part, number) for number in numbers for part in parts])

    def _put_back(self, name: str, project: str | None) -> None:
        """Have the next deletion come here to go on.

        With pooling, Zaqar takes away the entry in the catalogue before it
        calls this stage, and does not call it for what has none: it would
        remove the record alone, and the messages would be those of the next
        queue of that name. What has no record is never looked for, so it
        gets no entry.
        """
        if not self._driver.conf.pooling:
            return
        forget = getattr(
            self._driver.control_driver, 'forget', lambda: None)
        try:
            forget()
            if self._controller.exists(name, project=project):
                pools.take_in(self._driver, name, project)
        except Exception as error:
            # What made the deletion fail is what its caller is told.
            LOG.warning(
                '%(name)s of project %(project)s is half deleted, and could '
                'not be put back into the catalogue of pools, so that '
                'another deletion leaves its messages. Run '
                'marconi-swift-manage gc after that, before it is created '
                'again: %(error)s',
                {'name': name, 'project': project, 'error': error})

    @property
    def _account(self) -> Any:
        return self._driver.account

    @property
    def _spread(self) -> spread.Spread:
        found: spread.Spread = self._account.spread
        return found

    @property
    def _controller(self) -> Any:
        """The controller behind this stage."""
        raise NotImplementedError

    def _parts(self, name: str, project: str | None) -> list[spread.Parts]:
        """Its containers by their kinds, those of its messages first."""
        return [spread.Parts(self._spread, self._account.store, first)
                for first in self._containers(name, project)]

    def _containers(self, name: str, project: str | None) -> list[str]:
        """Names of the first of each kind, that of its messages first."""
        raise NotImplementedError

    def _remove(self, container: str) -> None:
        store: objects.ObjectStore = self._account.store
        for _ in range(_ROUNDS):
            if store.drop_container(container) is not objects.Outcome.EXISTS:
                return
            store.empty_container(container)
        raise store_errors.SwiftError(
            f'Container {container} is being written to while it is being '
            'deleted. Stop its posters, and delete the queue again.')

    def _remove_rest(
        self, parts: spread.Parts, number: int, name: str,
        project: str | None,
    ) -> None:
        """Remove what was listed before there was a new one of the name.

        Also if it is empty: somebody may have made it for a message that is
        in another, and whoever posts takes it for that of a queue. So it is
        one of the new queue's, if there is one by then.
        """
        store: objects.ObjectStore = self._account.store
        container = names.part(parts.first, number)
        listed = store.listing(container)
        if listed.metadata is None:
            return
        if self._controller.exists(name, project=project):
            if number:
                parts.count_in(number + 1)
            return
        store.delete_many(container, [row.name for row in listed.rows])
        store.drop_container(container)

    def _count(
        self, name: str, project: str | None,
    ) -> tuple[dict[str, int], dict[str, Any]]:
        """Count messages, and describe the oldest and newest of them."""
        at = records.now()
        claimed = total = 0
        oldest = newest = None
        for message in listing.hints(self._parts(name, project)[0]):
            oldest, newest = oldest or message, message
            total += 1
            claimed += message.held(at) is not None
        ends = {}
        if oldest and newest:
            ends = {'oldest': oldest.summary(at),
                    'newest': newest.summary(at)}
        return {'claimed': claimed, 'free': total - claimed,
                'total': total}, ends


class MessageQueueHandler(_Handler):
    """In front of the queue controller."""

    def stats(
        self, name: str, project: str | None = None,
    ) -> dict[str, Any]:
        """Count the messages in the queue's listing.

        As fresh as Swift's container listing, which Swift updates within
        its write or, if a container server was slow, soon after.

        :raises zaqar.storage.errors.QueueDoesNotExist: there is no queue.
        """
        counts, ends = self._count(name, project)
        if not ends and not self._controller.exists(name, project):
            raise errors.QueueDoesNotExist(name, project)
        return {'messages': {**counts, **ends}}

    @property
    def _controller(self) -> Any:
        return self._driver.queue_controller

    def _containers(self, name: str, project: str | None) -> list[str]:
        prefix = self._account.settings.container_prefix
        return [names.messages(prefix, project, name),
                names.claims(prefix, project, name)]


class MessageTopicHandler(_Handler):
    """In front of the topic controller."""

    def stats(
        self, name: str, project: str | None = None,
    ) -> dict[str, Any]:
        """Count the messages of a topic, which nobody claims.

        :raises zaqar.storage.errors.TopicDoesNotExist: there is no topic.
        """
        counts, ends = self._count(name, project)
        if not ends and not self._controller.exists(name, project):
            raise errors.TopicDoesNotExist(name, project)
        return {'messages': {'total': counts['total'], **ends}}

    @property
    def _spread(self) -> spread.Spread:
        return super()._spread.to_one()

    @property
    def _controller(self) -> Any:
        return self._driver.topic_controller

    def _containers(self, name: str, project: str | None) -> list[str]:
        prefix = self._account.settings.container_prefix
        return [names.topic_messages(prefix, project, name)]
