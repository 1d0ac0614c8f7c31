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
"""Trying every operation, on a queue that is there for nothing else.

As Zaqar's own probe does. What is left of that by somebody who dies is a
queue like any other; ours are in a project of their own, and their names say
when they were made. So the next probe, and whoever sweeps, can tell those
that no probe is using any more, and delete them. ``marconi-swift-manage
check`` has its queues there, too.
"""

from collections.abc import Callable
from collections.abc import Iterator
import functools
import itertools
import time
from typing import Any
import uuid

from oslo_log import log as logging
from zaqar.common import pipeline

from marconi_swift import names
from marconi_swift import records
from marconi_swift.data import stages

LOG = logging.getLogger(__name__)

#: Where the queues are. Keystone's projects have other ids.
PROJECT = 'marconi-swift-health'

#: Messages that are posted: some, which are stored side by side.
_MESSAGES = 3

#: Seconds after which a probe is over, and what it posts has expired: more
#: than its requests take if each is tried for as long as it may be.
OVER = 3600

#: Queues of former probes that one call deletes.
_AT_A_TIME = 100


def operation_status(driver: Any) -> dict[str, Any]:
    """Try every operation, and then delete the queue.

    What can not be deleted is, by a probe or a sweep after :data:`OVER`.

    :param driver: a :class:`marconi_swift.driver.DataDriver`.
    :returns: for each operation that was tried whether it succeeded, the
        seconds that it took, and if it failed what names its traceback in
        the log.
    """
    # Not that of this probe: what was left is no news of how things are.
    _attempt({}, 'clear', clear, driver)
    status: dict[str, Any] = {}
    queue = new_queue()
    attempt = functools.partial(_attempt, status)
    attempt('create_queue', queues(driver).create, queue, project=PROJECT)
    if status['create_queue']['succeeded']:
        _use(driver, queue, attempt)
    # Also one that failed: it may have been made all the same.
    attempt('delete_queue', queues(driver).delete, queue, project=PROJECT)
    return status


def new_queue() -> str:
    """Name the queue of a probe that begins now."""
    return names.new_message_id()


def clear(driver: Any) -> None:
    """Delete the queues that former probes left, some at a time.

    Their containers are looked for in the driver's account, and their records
    in the management store, which may be that of others, too.

    :param driver: a :class:`marconi_swift.driver.DataDriver`, or a
        :class:`marconi_swift.driver.ControlDriver`, in whose account
        ``marconi-swift-manage check`` makes a container.
    :raises zaqar.storage.errors.ConnectionError: something is left.
    """
    controller = queues(driver)
    left = itertools.islice(
        (name for name in {*_contained(driver), *_recorded(driver)}
         if is_over(PROJECT, name)), _AT_A_TIME)
    for name in left:
        controller.delete(name, project=PROJECT)


def is_over(project: str | None, queue: str | None) -> bool:
    """Whether a queue is that of a probe which uses it no more."""
    return (project == PROJECT and queue is not None
            and names.is_message_id(queue)
            and names.posted_at(queue) < records.now() - OVER)


class _Stage(stages.MessageQueueHandler):
    """Of queues in no pool: their next deletion does not come from Zaqar."""

    def _put_back(self, name: str, project: str | None) -> None:
        """Nothing: there was no entry."""


def queues(driver: Any) -> pipeline.Pipeline:
    """The queue controller, with our stage in front of it."""
    return pipeline.Pipeline([
        _Stage(driver, None), driver.queue_controller])


def _contained(driver: Any) -> Iterator[str]:
    prefix = driver.account.settings.container_prefix
    for kind in (names.MESSAGES, names.CLAIMS):
        for listed in driver.account.store.containers(
                names.all_of_project(prefix, kind, PROJECT)):
            place = names.parse_container(prefix, listed.name)
            if place and place.name:
                yield place.name


def _recorded(driver: Any) -> Iterator[str]:
    listed = driver.queue_controller.list(project=PROJECT, limit=_AT_A_TIME)
    return (queue['name'] for queue in next(listed))


def _use(driver: Any, queue: str, attempt: Callable[..., Any]) -> None:
    """Try what can be done with a queue and its messages."""
    messages, claims = driver.message_controller, driver.claim_controller
    posted = attempt('post_messages', messages.post, queue, [
        {'ttl': OVER, 'body': {'event': number}}
        for number in range(_MESSAGES)], queue, project=PROJECT)
    if not posted:
        return
    claim, claimed = attempt(
        'claim_messages', claims.create, queue,
        {'ttl': OVER, 'grace': OVER}, project=PROJECT) or (None, [])
    attempt('list_messages', lambda: list(next(messages.list(
        queue, project=PROJECT, echo=True, client_uuid=queue,
        include_claimed=True))))
    if claim:
        attempt('delete_messages', lambda: [
            messages.delete(queue, message['id'], PROJECT, claim=claim)
            for message in claimed])
        attempt('delete_claim', claims.delete, queue, claim, PROJECT)
    attempt('bulk_delete_messages', messages.bulk_delete, queue, posted,
            project=PROJECT)


def _attempt(
    status: dict[str, Any], operation: str, call: Callable[..., Any],
    *args: Any, **kwargs: Any,
) -> Any:
    """Call something, and write down how it went; None if it failed."""
    result = ref = None
    began = time.monotonic()
    try:
        result = call(*args, **kwargs)
    except Exception:
        # Whatever it is, it is what was asked for: the answer tells of it.
        ref = str(uuid.uuid4())
        LOG.exception('Trying %(operation)s failed (%(ref)s).', {
            'operation': operation, 'ref': ref})
    status[operation] = {'succeeded': ref is None,
                         'seconds': time.monotonic() - began, 'ref': ref}
    return result
