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
"""Claims: exclusive, for a time, and renewed or released by their owner."""

from collections.abc import Iterator
from collections.abc import Mapping
import dataclasses
import math
import time
from typing import Any

from oslo_log import log as logging
from zaqar import storage
from zaqar.storage import errors

from marconi_swift import acceptable
from marconi_swift import names
from marconi_swift import records
from marconi_swift.data import listing
from marconi_swift.data import queue as queues
from marconi_swift.data import taking
from marconi_swift.store import errors as store_errors
from marconi_swift.store import objects

LOG = logging.getLogger(__name__)

#: Messages that one claim wins at most, however many are asked for: each
#: takes 13 bytes of the record's Content-Type, which has to fit the extended
#: attributes of Swift's disks (4 kB on ext4).
_MOST = 100


class ClaimController(storage.Claim):
    """See :class:`zaqar.storage.base.Claim`."""

    def __init__(self, driver: Any) -> None:
        super().__init__(driver)
        self._store: objects.ObjectStore = driver.account.store

    def _queue(self, queue: str, project: str | None) -> taking.Queue:
        return queues.queue(self.driver, queue, project)

    def create(
        self, queue: str, metadata: dict[str, Any],
        project: str | None = None,
        limit: int = storage.DEFAULT_MESSAGES_PER_CLAIM,
    ) -> tuple[str | None, Iterator[dict[str, Any]]]:
        """Claim up to ``limit`` free messages, oldest first.

        No other live claim holds any of those returned. ``(None, empty)``,
        and nothing written, if there are none; fewer than there are while
        others claim at the same time, and never more than a hundred.

        :param metadata: ``ttl`` and ``grace``, seconds.
        :raises zaqar.storage.errors.ConnectionError: nothing is claimed for
            longer than twice what the option claim_attempt_limit says, and
            clock_skew; unless a record of the claim was stored, and Swift is
            gone, so that it could not be removed: then until ``ttl`` is over.
        """
        target = self._queue(queue, project)
        ttl, grace = _terms(metadata)
        attempt = target.attempt(ttl, grace)
        won = taking.take(target, attempt, min(limit, _MOST))
        if not won or attempt.over:
            return None, iter(())
        claim = records.Claim.made(
            attempt.mine, ttl, attempt.at,
            {read.message.id: read.message for read in won})
        try:
            target.hurried(attempt).claims.create(claim)
        except store_errors.SwiftError as error:
            if not error.harmless:
                self._withdraw(target, claim)
            raise
        if attempt.over:
            # Others may think it void by now.
            target.claims.give_up(claim)
            return None, iter(())
        return claim.id, iter(
            [read.message.shown(read.body, attempt.at) for read in won])

    def get(
        self, queue: str, claim_id: str, project: str | None = None,
    ) -> tuple[dict[str, Any], Iterator[dict[str, Any]]]:
        """Return a claim and those of its messages that are still there.

        :raises zaqar.storage.errors.ClaimDoesNotExist: or it has expired.
        """
        target = self._queue(queue, project)
        at = records.now()
        claim = self._live(target, queue, claim_id, project)
        hold = records.Hold(claim.id, claim.until)
        found = self._store.each(
            lambda name: listing.read(self._store, target.messages, name),
            claim.won)
        return claim.shown(at), iter([
            dataclasses.replace(read.message, hold=hold).shown(
                read.body, at)
            for read in found if read is not None])

    def update(
        self, queue: str, claim_id: str, metadata: dict[str, Any],
        project: str | None = None,
    ) -> None:
        """Renew a claim: its ttl starts again, with that of the metadata.

        The messages and their gates come first and the record last, all of
        it before the claim would have ended: what is not done by then is
        void.

        :raises zaqar.storage.errors.ClaimDoesNotExist: or it has expired,
            perhaps while it was being renewed.
        :raises marconi_swift.acceptable.Unacceptable: no messages live that
            long.
        """
        target = self._queue(queue, project)
        claim = self._live(target, queue, claim_id, project)
        ttl, grace = _terms(metadata)
        at = records.now()
        renewed = claim.extended(ttl, grace, at)
        end = time.monotonic() + claim.until - at

        def in_time() -> tuple[taking.Queue, records.Pass]:
            # If the claim is being released, somebody may have won a message
            # just now. So what is written there says when, and is not sent
            # again when he must have recorded that.
            return (target.until(
                min(end, time.monotonic() + target.attempt_limit)),
                renewed.named(math.ceil(records.now())))

        def renew(message: records.Message) -> None:
            within, named = in_time()
            self._annotate(within, claim, dataclasses.replace(
                message, hold=named.hold))
            # Also if the message was deleted: who asks later whether the
            # claim is over asks the gates of all that it won.
            if claim.live(records.now()):
                within, named = in_time()
                within.gates.write(message.id, named)

        self._store.each(renew, renewed.messages())
        target = target.until(end)
        if claim.live(records.now()) and not target.claims.renew(renewed):
            raise errors.ClaimDoesNotExist(claim_id, queue, project)
        if not claim.live(records.now()):
            # Somebody may have claimed its messages meanwhile.
            target.claims.delete(claim.id)
            raise errors.ClaimDoesNotExist(claim_id, queue, project)

    def delete(
        self, queue: str, claim_id: str, project: str | None = None,
    ) -> None:
        """Release a claim: its messages are free on return.

        Messages come first and the record last, so that a crash leaves
        messages claimed until the claim expires, and never shared.
        """
        target = self._queue(queue, project)
        claim = target.claims.current(claim_id, records.now())
        if claim is None:
            return
        within = target.until(
            time.monotonic() + claim.until - records.now())

        def release(message: records.Message) -> None:
            if self._annotate(within, claim, message.released()):
                within.gates.leave(message.id, claim.named())

        self._store.each(release, claim.messages())
        target.claims.delete(claim.id)

    def _withdraw(self, target: taking.Queue, claim: records.Claim) -> None:
        """Remove a record that may be there, of a claim nobody is told of."""
        try:
            target.claims.give_up(claim)
        except store_errors.SwiftError as error:
            LOG.log(
                logging.DEBUG if error.told else logging.WARNING,
                'Nobody may be able to claim %(count)d messages for '
                '%(ttl)d seconds: claim %(claim)s failed, and its record, '
                'which may be in container %(container)s, could not be '
                'removed: %(error)s',
                {'count': len(claim.won), 'ttl': claim.ttl,
                 'claim': claim.id, 'container': target.claims.container,
                 'error': error})

    def _live(
        self, target: taking.Queue, queue: str, claim_id: str,
        project: str | None,
    ) -> records.Claim:
        at = records.now()
        claim = target.claims.current(claim_id, at)
        if claim is None or not claim.live(at):
            raise errors.ClaimDoesNotExist(claim_id, queue, project)
        return claim

    def _annotate(
        self, target: taking.Queue, claim: records.Claim,
        message: records.Message,
    ) -> bool:
        """Write to a message that a claim holds; whether it was there.

        Nothing is written once the claim is over: the message may be
        somebody else's.
        """
        if not claim.live(records.now()):
            return False
        store = target.store
        return store.prevail(lambda: store.annotate(
            names.home(target.messages, message.id), message.id,
            content_type=message.content_type(), delete_at=message.delete_at),
        ) is objects.Outcome.DONE


def _terms(metadata: Mapping[str, Any]) -> tuple[int, int]:
    """The ttl and grace of a claim; Zaqar limits no grace of a renewal.

    :raises marconi_swift.acceptable.Unacceptable: no messages live that long.
    """
    ttl, grace = int(metadata['ttl']), int(metadata['grace'])
    acceptable.check_lifetime(grace, 'the grace of a claim', shortest=0)
    return ttl, grace
