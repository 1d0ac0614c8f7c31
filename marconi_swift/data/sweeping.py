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
"""Removing what crashes, and a Swift without an expirer, leave behind.

Two kinds of things are left. Objects whose time is over, and which nobody
deleted: Swift's expirer does that, where one runs. And containers of queues
and topics that are no more, because their deletion was cut short.

Nothing here disturbs who uses the queues meanwhile. An object whose time is
over, by this machine's clock and by Swift's, is deleted on the condition that
Swift still knows it by the expiry that its row in the listing says. Of a
queue that is no more, what was listed before the queue was looked for is
deleted; a message that is posted to a new queue of that name comes later. A
container that is made for a queue right now is made again if it is missing.

Which queues there are is the management store's word. If that knows none of
those in the message store, it may well be another deployment's, so what it
calls no more is left alone unless somebody vouches for it. The queues of
probes are ours whatever it says, and no more once these are over; their
records are :func:`.probing.clear`'s to delete, after this.
"""

from collections.abc import Callable
from collections.abc import Iterator
import math
from typing import Any
from typing import NamedTuple

from marconi_swift import names
from marconi_swift import records
from marconi_swift.data import probing
from marconi_swift.store import objects


class Swept(NamedTuple):
    """What was removed from a container, or was found by a rehearsal."""

    container: str
    #: Objects whose time was over.
    expired: int
    #: Other objects of a queue or topic that is no more.
    orphaned: int
    #: Whether the container itself went, too.
    dropped: bool

    def __bool__(self) -> bool:
        return bool(self.expired or self.orphaned or self.dropped)


def sweep(
    driver: Any, *, after: str = '', rehearse: bool = False,
    orphans: bool = True,
) -> Iterator[Swept]:
    """Sweep the containers of a message store, one after the other.

    May be stopped at any time, and begun again after any container.

    :param driver: a :class:`marconi_swift.driver.DataDriver`.
    :param after: name of the container after which to begin.
    :param rehearse: only count; nothing is removed.
    :param orphans: also what belongs to queues and topics that are no more.
    :returns: what was found in each container, by their names.
    """
    for container, place in _places(driver, after):
        yield _sweep(driver, container, place, rehearse, orphans)


def knows_its_queues(driver: Any) -> bool:
    """Whether the management store knows any queue in this message store.

    Also True if the message store is empty. Asks for each queue in it until
    one is known. The queues of probes that are over do not count.
    """
    found = False
    for _, place in _places(driver):
        if place.kind in (names.MESSAGES, names.TOPIC) and (
                not probing.is_over(place.project, place.name)):
            found = True
            if place.name is not None and not _gone(driver, place):
                return True
    return not found


def _places(
    driver: Any, after: str = '',
) -> Iterator[tuple[str, names.Place]]:
    prefix = driver.account.settings.container_prefix
    for listed in driver.account.store.containers(f'{prefix}:', after):
        place = names.parse_container(prefix, listed.name)
        if place is not None:
            yield listed.name, place


def _sweep(
    driver: Any, container: str, place: names.Place, rehearse: bool,
    orphans: bool,
) -> Swept:
    store: objects.ObjectStore = driver.account.store
    expired = orphaned = 0
    emptied, marker = True, ''
    while True:
        page = store.page(container, marker=marker)
        # Those who subscribe to a queue may do so before there is one.
        gone = (place.kind != names.SUBSCRIPTIONS
                and _gone(driver, place, orphans))
        # This machine's clock may be ahead; Swift tells whole seconds.
        at = min(records.now(), store.now() + 1)
        overdue = {
            row.name: due for row in page
            if (due := records.delete_at(row.name, row.content_type))
            is not None and due <= at}
        left = [row.name for row in page if row.name not in overdue]
        emptied = emptied and (gone or not left)
        orphaned += len(left) if gone else 0
        if rehearse:
            expired += len(overdue)
        else:
            expired += sum(
                outcome is not objects.Outcome.STALE for outcome in
                store.each(_deletion(store, container), overdue.items()))
            store.delete_many(container, left if gone else [])
        if len(page) < objects.PAGE:
            break
        marker = page[-1].name
    dropped = emptied and _unused(driver, place, orphans)
    if dropped and not rehearse:
        dropped = store.drop_container(container) is objects.Outcome.DONE
    return Swept(container, expired, orphaned, dropped)


def _deletion(
    store: objects.ObjectStore, container: str,
) -> Callable[[tuple[str, float]], objects.Outcome]:
    def delete(overdue: tuple[str, float]) -> objects.Outcome:
        name, delete_at = overdue
        return store.delete(
            container, name, only_if_delete_at=math.ceil(delete_at))

    return delete


def _gone(driver: Any, place: names.Place, orphans: bool = True) -> bool:
    """Whether there is no such queue or topic; False if nobody can tell.

    :param orphans: whether the word of the management store counts.
    """
    if probing.is_over(place.project, place.name):
        return True
    if not orphans or place.kind == names.ELECTIONS or place.name is None:
        return False
    control = driver.control_driver
    # The answer decides, so nothing that is remembered will do.
    forget = getattr(control, 'forget', lambda: None)
    forget()
    kind, controller = (
        ('topics', control.topic_controller) if place.kind == names.TOPIC
        else ('queues', control.queue_controller))
    if controller is None or controller.exists(place.name, place.project):
        return False
    if not hasattr(control, 'registry'):
        # It is another's, who knows what there is.
        return True
    control.registry(kind).make_sure()
    return not controller.exists(place.name, place.project)


def _unused(driver: Any, place: names.Place, orphans: bool) -> bool:
    """Whether a container would not be missed if it were empty."""
    return _gone(driver, place, orphans) or (
        orphans and place.name is not None
        and driver.has_lost(place.name, place.project))
