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
"""Dead letter queues: where messages go that were claimed too often."""

from collections.abc import Callable
import dataclasses
import reprlib
from typing import Any

from zaqar.storage import errors
from zaqar.transport import validation

from marconi_swift import names
from marconi_swift import notices
from marconi_swift import records
from marconi_swift.data import listing
from marconi_swift.data import once
from marconi_swift.data import spread
from marconi_swift.store import errors as store_errors
from marconi_swift.store import objects


@dataclasses.dataclass(frozen=True)
class _Rule:
    #: A message is claimed this often at most.
    max_claims: int
    #: The dead letter queue, and the first container of its messages.
    queue: str
    container: str
    #: Seconds; None leaves a message's life as it is.
    ttl: int | None
    #: That of the queue, if it has one.
    flavor: Any


@dataclasses.dataclass
class DeadLetters:
    """What a queue's metadata says about messages that nobody finishes."""

    spread: spread.Spread
    #: The control plane's, whichever driver's that is.
    queue_controller: Any
    settings: Any
    queue: str
    project: str | None
    #: See :func:`marconi_swift.data.pools.joins`.
    joins: Callable[..., bool]

    def __post_init__(self) -> None:
        # Once for all messages of a claim.
        self._rule = once.Once(self._read_rule)
        self._opened = once.Once(self._open)

    def _read_rule(self) -> _Rule | None:
        try:
            metadata = self.queue_controller.get_metadata(
                self.queue, self.project)
        except errors.QueueDoesNotExist:
            return None
        max_claims = metadata.get('_max_claim_count')
        target = metadata.get('_dead_letter_queue')
        if not max_claims or not target:
            return None
        if not self._works(max_claims, target):
            notices.warn(
                f'{self._source} dead letters',
                'The messages of queue %(queue)s of project %(project)s stay '
                'in it, however often they are claimed: its metadata '
                '_dead_letter_queue, %(target)s, must be the name of '
                'another queue, and _max_claim_count, %(max)s, a number of '
                'claims.',
                {'queue': self.queue, 'project': self.project,
                 'target': reprlib.repr(target),
                 'max': reprlib.repr(max_claims)})
            return None
        return _Rule(
            max_claims, target,
            names.messages(self.settings.container_prefix, self.project,
                           target),
            metadata.get('_dead_letter_queue_messages_ttl'),
            metadata.get('_flavor'))

    def _works(self, max_claims: Any, target: Any) -> bool:
        """Whether messages can be moved by these metadata.

        Zaqar takes any JSON for the one and any number for the other. A
        name that it would refuse as a queue's, nobody could read messages
        from; and a message that is moved to where it is, is deleted.
        """
        return (isinstance(max_claims, int) and max_claims > 0
                and isinstance(target, str) and target != self.queue
                and len(target) <= validation.QUEUE_NAME_MAX_LEN
                and validation.QUEUE_NAME_REGEX.fullmatch(target) is not None)

    def due(self, message: records.Message) -> bool:
        """Whether a message was claimed as often as it may be.

        Asks for the queue's metadata only if it was claimed at all.
        """
        if not message.claim_count:
            return False
        rule = self._rule.get()
        return rule is not None and message.claim_count >= rule.max_claims

    def opened(self) -> bool:
        """Whether messages that are :meth:`due` can be moved.

        They stay where they are if the dead letter queue is in another pool,
        where nobody would find them. One that nobody has created is created,
        or what is in it could neither be listed nor told from the remains of
        a queue. That can take longer than an attempt, if somebody else died
        at it.
        """
        return self._opened.get()

    def bury(
        self, found: listing.Read, store: objects.ObjectStore,
        longer: objects.ObjectStore,
    ) -> None:
        """Move a message that is :meth:`due`; for its gate's winner only.

        It is copied before it is deleted: a crash between the two leaves
        both, and the next to win the original finds the copy there.

        :param store: asks nothing when the winner's attempt is over: the
            message may be another's soon.
        :param longer: asks nothing when it may be. What was copied need not
            stay until then.
        :raises marconi_swift.store.errors.SwiftError: the original is left.
        """
        rule = self._its_rule()
        message = dataclasses.replace(
            found.message, hold=None, delayed_until=0.0)
        if rule.ttl:
            message = dataclasses.replace(
                message, ttl=rule.ttl, expires=records.now() + rule.ttl)

        # The copy has the same id, so it is in the same part.
        container = names.home(rule.container, message.id)

        def copy() -> objects.Outcome:
            return store.create(
                container, message.id, body=records.dump(found.body),
                content_type=message.content_type(),
                delete_at=message.delete_at)

        outcome = copy()
        if outcome is objects.Outcome.MISSING:
            outcome = spread.Parts(
                self.spread, store, rule.container,
            ).insist(message.id, copy)
        if outcome is objects.Outcome.STALE:
            raise store_errors.SwiftError(
                f'Message {message.id} could not be moved to {container}'
                ': Swift says that it was there, and is deleted.')
        longer.check_time()
        longer.delete(names.home(self._source, message.id), message.id)

    def _its_rule(self) -> _Rule:
        rule = self._rule.get()
        if rule is None:
            raise ValueError('this queue has no dead letter queue')
        return rule

    def _open(self) -> bool:
        """Whether messages can be moved.

        Creates the dead letter queue, as Zaqar would: its place in the
        catalogue comes first. It is of the flavor of its queue, or Zaqar
        would choose another pool for it when its metadata are changed.
        """
        rule = self._its_rule()
        exists = self.queue_controller.exists(rule.queue, self.project)
        joined = self.joins(
            rule.queue, self.project, self.queue, exists=exists)
        if not joined:
            self._tell_of_pools(rule)
        elif not exists:
            self.queue_controller.create(
                rule.queue, project=self.project,
                metadata={'_flavor': rule.flavor} if rule.flavor else None)
        return joined

    def _tell_of_pools(self, rule: _Rule) -> None:
        notices.warn(
            f'{self._source} dead letters',
            'The messages of queue %(queue)s of project %(project)s stay in '
            'it, however often they are claimed: its dead letter queue, '
            '%(target)s, is in another pool. If it is deleted, it is created '
            'in that of the queue.',
            {'queue': self.queue, 'project': self.project,
             'target': rule.queue})

    @property
    def _source(self) -> str:
        return names.messages(self.settings.container_prefix, self.project,
                              self.queue)
