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
"""Messages: what Zaqar posts, lists, reads and deletes.

========================  ===============================================
container                 ``<prefix>:messages:<project>:<queue>``, or a part
                          of it; see :mod:`marconi_swift.data.spread`
object                    the message's id
Content-Type              :class:`marconi_swift.records.Message`
body                      the message's body, as JSON
========================  ===============================================
"""

import builtins
import collections
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
import itertools
import math
import time
from typing import Any
from typing import NamedTuple

from oslo_log import log as logging
from zaqar import storage
from zaqar.storage import errors
from zaqar.storage import utils

from marconi_swift import acceptable
from marconi_swift import names
from marconi_swift import records
from marconi_swift.data import listing
from marconi_swift.data import markers
from marconi_swift.data import queue as queues
from marconi_swift.data import spread
from marconi_swift.data import taking
from marconi_swift.store import errors as store_errors
from marconi_swift.store import objects

LOG = logging.getLogger(__name__)

#: Rows of the first listing where nearly every row will do.
_FEW_ROWS = 32


class _Draft(NamedTuple):
    """A message that is about to be stored."""

    message: records.Message
    body: bytes


class MessageController(storage.Message):
    """See :class:`zaqar.storage.base.Message`."""

    def __init__(self, driver: Any) -> None:
        super().__init__(driver)
        self._store: objects.ObjectStore = driver.account.store
        self._settings = driver.account.settings

    def _parts(self, project: str | None, queue: str) -> spread.Parts:
        return spread.Parts(
            self.driver.account.spread, self._store, names.messages(
                self._settings.container_prefix, project, queue))

    # Posting

    def post(
        self, queue: str, messages: Iterable[dict[str, Any]],
        client_uuid: Any, project: str | None = None,
    ) -> list[str]:
        """Store messages side by side and return their ids in order.

        On return all are stored, each for its ttl at least. If one can not
        be, those that were are taken back before the error is raised; what
        can not be taken back either (Swift is gone) may be delivered,
        which is logged, or told when the outage is over.

        :raises zaqar.storage.errors.QueueDoesNotExist: nothing was stored.
        :raises zaqar.storage.errors.ConnectionError: see above.
        :raises marconi_swift.acceptable.Unacceptable: a body could not be
            handed out.
        """
        parts = self._parts(project, queue)
        count = parts.for_posting()
        poster = records.poster(client_uuid)
        drafts: list[_Draft] = []
        # Of those that may be stored, if one failed.
        stored: list[str] = []
        waiting = iter(messages)
        try:
            # Ids are made for as many as are stored at a time, so that each
            # is stored soon after its id was made.
            while batch := list(itertools.islice(
                    waiting, self._settings.fan_out)):
                began = time.monotonic()
                made = [self._draft(message, poster, count)
                        for message in batch]
                drafts += made
                unplaced = self._place(parts.first, made, stored)
                if unplaced:
                    count = self._make_room(parts, count, queue, project)
                    self._place(parts.first, unplaced, stored, insist=True)
                    if count > 1:
                        # The first container may be that of a new queue.
                        parts.count_in(count)
                    # It may have been deleted while the room was made.
                    self._check_queue(queue, project)
                self._check_time(began)
        except Exception:
            # Whose management store it is decides what that raises.
            self._take_back(parts.first, stored)
            raise
        return [draft.message.id for draft in drafts]

    def _check_time(self, began: float) -> None:
        """Refuse what was stored so late that a reader can have missed it."""
        limit = self._settings.post_time_limit
        taken = time.monotonic() - began
        if taken > limit:
            raise store_errors.SwiftError(
                f'Storing {self._settings.fan_out} messages or fewer took '
                f'{taken:.1f} s, longer than post_time_limit ({limit:.1f} s).'
            )

    def _draft(
        self, message: dict[str, Any], poster: str, parts: int,
    ) -> _Draft:
        """Read a posted message once: others may change it meanwhile.

        One that comes from another store says how often it was claimed
        there; Zaqar's API lets no user say so.

        :param parts: how many there are to put it in.
        :raises marconi_swift.acceptable.Unacceptable: see :meth:`post`.
        """
        at = records.now()
        ttl, delay = int(message['ttl']), int(message.get('delay') or 0)
        body = message.get('body', {})
        # First, since nothing else is made of what is refused.
        dumped = acceptable.dump(body, 'the body of a message')
        return _Draft(
            records.Message(
                id=names.new_message_id(spread.draw(parts)), ttl=ttl,
                expires=at + ttl, poster=poster,
                delayed_until=at + delay if delay else 0.0,
                checksum=self.checksum(message.get('body')),
                claim_count=int(message.get('claim_count') or 0)),
            dumped)

    def checksum(self, body: Any) -> str | None:
        """The checksum of a body, if Zaqar is to have one."""
        if not self.driver.conf.enable_checksum:
            return None
        checksum: str = utils.get_checksum(body)
        return checksum

    def adopt(
        self, queue: str, messages: Iterable[tuple[records.Message, Any]],
        project: str | None = None,
    ) -> builtins.list[objects.Outcome | Exception]:
        """Store messages of another store, under the ids that they bring.

        Side by side. For each is told DONE; EXISTS if one of that id is
        there, which stays as it is; STALE; or what was raised, also because
        its body could not be handed out. Repeating it stores none twice.

        :raises zaqar.storage.errors.QueueDoesNotExist: nothing was stored.
        """
        self._check_queue(queue, project)
        container = self._parts(project, queue).first

        def create(adopted: tuple[records.Message, Any]) -> objects.Outcome:
            message, body = adopted
            dumped = acceptable.dump(body, 'the body of a message')
            return self._create(
                container, _Draft(message, dumped), insist=True)

        return self._store.outcomes(create, messages)

    def _create(
        self, container: str, draft: _Draft, *, insist: bool,
    ) -> objects.Outcome:
        def create() -> objects.Outcome:
            # Nobody else makes an object of this name, so EXISTS is our own
            # first try. An unconditional repetition could bring back, as
            # new, what was claimed since. (What was deleted since, no
            # condition tells from what was never there.)
            return self._store.create(
                names.home(container, draft.message.id),
                draft.message.id, body=draft.body,
                content_type=draft.message.content_type(),
                delete_at=draft.message.delete_at)

        outcome = create()
        if outcome is objects.Outcome.MISSING and insist:
            return self._store.insist(
                names.home(container, draft.message.id),
                self._settings.storage_policy, create)
        return outcome

    def _place(
        self, container: str, drafts: list[_Draft], stored: list[str], *,
        insist: bool = False,
    ) -> list[_Draft]:
        """Create the objects; return those that found no container.

        :param container: the first of the queue.
        :param stored: is added the ids of those that may be stored, whether
            this returns or raises.
        """
        outcomes = self._store.outcomes(
            lambda draft: self._create(container, draft, insist=insist),
            drafts)
        stored += [
            draft.message.id
            for draft, outcome in zip(drafts, outcomes, strict=True)
            if not getattr(outcome, 'harmless', False)]
        for outcome in outcomes:
            if isinstance(outcome, Exception):
                raise outcome
        return [draft for draft, outcome in zip(drafts, outcomes, strict=True)
                if outcome is objects.Outcome.MISSING]

    def _make_room(
        self, parts: spread.Parts, count: int, queue: str,
        project: str | None,
    ) -> int:
        """Make the containers of a queue that Zaqar did not tell us of.

        With pooling, Zaqar creates queues in the control plane alone.

        :param count: of how many it had been told.
        :returns: how many were made.
        """
        count = max(count, self.driver.account.spread.wanted(
            self._check_queue(queue, project)))
        if self.driver.has_lost(queue, project):
            raise store_errors.SwiftError(
                f'Queue {queue} of project {project} was created anew in '
                'another pool: post again.')
        parts.make(count)
        return count

    def _check_queue(
        self, queue: str, project: str | None,
    ) -> Mapping[str, Any]:
        """Look whether a queue exists, and not at what is remembered of it.

        :returns: its metadata.
        """
        forget = getattr(self.driver.control_driver, 'forget', lambda: None)
        forget()
        found: Mapping[str, Any] = self.driver.queue_controller.get_metadata(
            queue, project)
        return found

    def _take_back(self, container: str, ids: Sequence[str]) -> None:
        outcomes = self._store.outcomes(
            lambda name: self._store.delete(
                names.home(container, name), name), ids)
        left = [outcome for outcome in outcomes
                if isinstance(outcome, Exception)]
        if left:
            told = self._store.mention(len(left))
            LOG.log(
                logging.DEBUG if told else logging.WARNING,
                'Up to %(left)d of %(all)d messages of a post that failed '
                'may be delivered: they could not be removed from container '
                '%(container)s: %(error)s',
                {'left': len(left), 'all': len(ids), 'container': container,
                 'error': left[0]})

    # Reading

    def list(
        self, queue: str, project: str | None = None,
        marker: str | None = None,
        limit: int = storage.DEFAULT_MESSAGES_PER_PAGE, echo: bool = False,
        client_uuid: Any = None, include_claimed: bool = False,
        include_delayed: bool = False,
    ) -> Iterator[Any]:
        """Return an iterator over a page, and then over its marker.

        The page is full while enough messages match, oldest first; empty,
        with no marker, for a queue or a marker that does not exist. A
        reader who goes on from each marker is given every message once,
        also those that appear late; see :mod:`marconi_swift.data.markers`.
        """
        start = markers.Marker.parse(marker)
        if start is None:
            return iter((iter(()), None))
        at = records.now()
        hidden = None if echo or client_uuid is None else (
            records.poster(client_uuid))

        def wanted(message: records.Message) -> bool:
            return ((include_claimed or not message.held(at))
                    and (include_delayed or not message.delayed(at))
                    and message.poster != hidden
                    and not start.skips(message.id))

        parts = self._parts(project, queue)
        page = [
            found.message.shown(found.body, at)
            for found in listing.confirmed(
                self._store, parts.first, wanted,
                listing.search(parts, start.after), limit)]
        if not page:
            return iter((iter(()), None))
        following = start.advanced(
            [message['id'] for message in page], at,
            self._settings.post_time_limit + self._settings.clock_skew)
        return iter((iter(page), str(following)))

    def first(
        self, queue: str, project: str | None = None, sort: int = 1,
    ) -> dict[str, Any]:
        """Return the oldest message (sort 1) or the newest (-1).

        Claimed and delayed ones count.

        :raises zaqar.storage.errors.QueueIsEmpty: there is none.
        """
        if sort not in (1, -1):
            raise ValueError(f'sort must be 1 or -1, not {sort!r}')
        parts = self._parts(project, queue)
        for found in listing.confirmed(
                self._store, parts.first, lambda _: True,
                listing.hints(parts, reverse=sort < 0, first=_FEW_ROWS), 1):
            return found.message.shown(found.body, records.now())
        raise errors.QueueIsEmpty(queue, project)

    def get(
        self, queue: str, message_id: str, project: str | None = None,
    ) -> dict[str, Any]:
        """Return one message, claimed or not.

        :raises zaqar.storage.errors.MessageDoesNotExist: it is not there,
            or its queue is not.
        """
        for message in self.bulk_get(queue, [message_id], project):
            return message
        raise errors.MessageDoesNotExist(message_id, queue, project)

    def bulk_get(
        self, queue: str, message_ids: Iterable[str],
        project: str | None = None,
    ) -> Iterator[dict[str, Any]]:
        """Return an iterator over the messages that exist, as asked for."""
        container = self._parts(project, queue).first
        at = records.now()
        found = self._store.each(
            lambda name: listing.read(self._store, container, name),
            filter(names.is_message_id, message_ids))
        return iter([read.message.shown(read.body, at)
                     for read in found if read is not None])

    # Deleting

    def delete(
        self, queue: str, message_id: str, project: str | None = None,
        claim: str | None = None,
    ) -> None:
        """Delete a message that is there; with a claim, only if that holds it.

        :raises zaqar.storage.errors.MessageIsClaimed: no claim was given,
            and one holds it.
        :raises zaqar.storage.errors.ClaimDoesNotExist: or it has expired.
        :raises zaqar.storage.errors.MessageNotClaimed: nothing holds it.
        :raises zaqar.storage.errors.MessageNotClaimedBy: another claim does.
        """
        if not names.is_message_id(message_id):
            return
        target = queues.queue(self.driver, queue, project)
        if claim is None:
            message = listing.head(self._store, target.messages, message_id)
            if message is None:
                return
            if self._is_claimed(target, message):
                raise errors.MessageIsClaimed(message_id)
            store = self._store
        else:
            owner = self._owner(target, message_id, claim, queue, project)
            if owner is None:
                return
            store = _within(self._store, [owner])
        store.delete(names.home(target.messages, message_id), message_id)

    def _is_claimed(
        self, target: taking.Queue, message: records.Message,
    ) -> bool:
        """Whether a live claim holds a message, or is about to record that.

        A claimer that lost, or died, leaves its name there for as long as
        its claim would have lasted; so once it must have recorded what it
        won, the records tell.
        """
        at = records.now()
        hold = message.held(at)
        if hold is not None and not target.settled(hold, at):
            return True
        if not message.claim_count:
            return False

        def holds(claim_id: str) -> bool:
            claim = target.claims.current(claim_id, at)
            return claim is not None and claim.holds(message.id, at)

        # Whoever won it may have died before it put that right.
        return (hold is not None and holds(hold.claim)) or any(map(
            holds, target.claims.holders(at, target.parts.ask()).get(
                records.digest(message.id), ())))

    def _owner(
        self, target: taking.Queue, message_id: str, claim_id: str,
        queue: str, project: str | None,
    ) -> records.Claim | None:
        """The claim that a message is deleted with; None if that is gone.

        By the claims' own records: what the message says of its claim can be
        wrong, since a claimer that lost writes its own claim to it before it
        writes back the winner's.
        """
        claim = target.claims.current(claim_id, records.now())
        if claim is not None and claim.holds(message_id, records.now()):
            return claim
        message = listing.head(self._store, target.messages, message_id)
        if message is None:
            return None
        at = records.now()
        if claim is None or not claim.live(at):
            raise errors.ClaimDoesNotExist(claim_id, queue, project)
        if message.held(at):
            raise errors.MessageNotClaimedBy(message_id, claim_id)
        raise errors.MessageNotClaimed(message_id)

    def bulk_delete(
        self, queue: str, message_ids: Iterable[str],
        project: str | None = None, claim_ids: Iterable[str] | None = None,
    ) -> None:
        """Delete those messages that are there, claimed or not.

        :param claim_ids: claims each message must be held by one of; all
            are checked before any is deleted. One that is left without
            messages by this is released.
        :raises zaqar.storage.errors.MessageNotClaimed: nothing holds one.
        :raises zaqar.storage.errors.ClaimDoesNotMatch: another claim does.
        """
        target = queues.queue(self.driver, queue, project)
        ids = list(filter(names.is_message_id, message_ids))
        store, claims = self._store, list[records.Claim]()
        if claim_ids:
            claims = self._check_claims(
                target, ids, list(claim_ids), queue, project)
            store = _within(store, claims)
        parts = collections.defaultdict(list)
        for name in ids:
            parts[names.home(target.messages, name)].append(name)
        store.each(lambda part: store.delete_many(*part), parts.items())
        # A record of nothing costs those who look through all records.
        self._store.each(target.claims.delete, [
            claim.id for claim in claims if claim.won.keys() <= set(ids)])

    def _check_claims(
        self, target: taking.Queue, message_ids: Sequence[str],
        claim_ids: Sequence[str], queue: str, project: str | None,
    ) -> builtins.list[records.Claim]:
        """The live ones of these claims, if they hold all these messages."""
        at = records.now()
        found = self._store.each(
            lambda claim_id: target.claims.current(claim_id, at), claim_ids)
        at = records.now()
        claims = [claim for claim in found
                  if claim is not None and claim.live(at)]
        held = {message_id for claim in claims for message_id in claim.won}
        for message in self._store.each(
                lambda name: listing.head(
                    self._store, target.messages, name),
                [name for name in message_ids if name not in held]):
            if message is None:
                continue
            hold = message.held(at)
            if hold is None:
                raise errors.MessageNotClaimed(message.id)
            raise errors.ClaimDoesNotMatch(hold.claim, queue, project)
        return claims

    def pop(
        self, queue: str, limit: int, project: str | None = None,
    ) -> builtins.list[dict[str, Any]]:
        """Take free messages out of a queue, oldest first.

        Those returned are gone. One whose deletion Swift did not confirm is
        not returned; if it is still there, it can be taken again once the
        attempt is over by all clocks. Until then it is hidden, also from
        Zaqar's purge, which takes messages until it is given none.

        :raises zaqar.storage.errors.ConnectionError: nothing was taken,
            though something is, or may be, there.
        """
        target = queues.queue(self.driver, queue, project)
        # What is won is deleted at once; it need be held no longer than
        # until others may think the attempt over.
        attempt = target.attempt(
            math.ceil(target.attempt_limit * 2 + target.clock_skew), grace=0)
        won = taking.take(target, attempt, limit)
        if attempt.over or (attempt.half_over and not won):
            # Others may think it void by now; or nobody knows whether there
            # is more.
            raise store_errors.SwiftError(
                f'Taking messages out of queue {queue} took longer than '
                'claim_attempt_limit. They are still there, and can be taken '
                'when all who met this attempt know that it is over.')
        store = target.hurried(attempt).store

        def delete(read: taking.Won) -> objects.Outcome:
            store.check_time()
            return store.delete(
                names.home(target.messages, read.message.id), read.message.id)

        outcomes = store.outcomes(delete, won)
        popped = [
            read.before.released().shown(read.body, attempt.at)
            for read, outcome in zip(won, outcomes, strict=True)
            if outcome is objects.Outcome.DONE]
        for outcome in outcomes:
            if not popped and isinstance(outcome, Exception):
                raise outcome
        return popped


def _within(
    store: objects.ObjectStore, claims: Iterable[records.Claim],
) -> objects.ObjectStore:
    """A store that asks nothing again when one of these claims is over.

    What they held may be somebody else's by then.
    """
    first = min((claim.until for claim in claims), default=math.inf)
    return store.until(time.monotonic() + first - records.now())
