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
over is deleted on the condition that Swift still knows it by the expiry that
its row in the listing says. Of a queue that is no more, what was listed
before the queue was looked for is deleted; a message that is posted to a new
queue of that name comes later. A container that is made for a queue right
now is made again if it is missing.
"""

from collections.abc import Callable
from collections.abc import Iterator
import math
from typing import Any
from typing import NamedTuple

from marconi_swift import names
from marconi_swift import records
from marconi_swift.store import objects


class Swept(NamedTuple):
    """What was found in a container, and removed unless it was a rehearsal."""

    container: str
    #: Objects whose time was over.
    expired: int
    #: Other objects of a queue or topic that is no more.
    orphaned: int
    #: Whether the container itself goes, too.
    dropped: bool

    def __bool__(self) -> bool:
        return bool(self.expired or self.orphaned or self.dropped)


def sweep(
    driver: Any, *, after: str = '', rehearse: bool = False,
) -> Iterator[Swept]:
    """Sweep the containers of a message store, one after the other.

    May be stopped at any time, and begun again after any container.

    :param driver: a :class:`marconi_swift.driver.DataDriver`.
    :param after: name of the container after which to begin.
    :param rehearse: only count; nothing is removed.
    :returns: what was found in each container, by their names.
    """
    store: objects.ObjectStore = driver.account.store
    prefix = driver.account.settings.container_prefix
    for listed in store.containers(f'{prefix}:', after):
        place = names.parse_container(prefix, listed.name)
        if place is not None:
            yield _sweep(driver, listed.name, place, rehearse)


def _sweep(
    driver: Any, container: str, place: names.Place, rehearse: bool,
) -> Swept:
    store: objects.ObjectStore = driver.account.store
    expired = orphaned = 0
    emptied, marker = True, ''
    while True:
        page = store.page(container, marker=marker)
        gone = _gone(driver, place)
        at = records.now()
        overdue = {
            row.name: due for row in page
            if (due := records.delete_at(row.name, row.content_type))
            is not None and due <= at}
        # Those who subscribe to a queue may do so before there is one.
        orphans = [row.name for row in page if row.name not in overdue] if (
            gone and place.kind != names.SUBSCRIPTIONS) else []
        expired += len(overdue)
        orphaned += len(orphans)
        emptied = emptied and len(page) == len(overdue) + len(orphans)
        if not rehearse:
            store.each(_deletion(store, container), overdue.items())
            store.delete_many(container, orphans)
        if len(page) < objects.PAGE:
            break
        marker = page[-1].name
    dropped = gone and emptied
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


def _gone(driver: Any, place: names.Place) -> bool:
    """Whether there is no such queue or topic; False if nobody can tell."""
    if place.kind == names.ELECTIONS or place.name is None:
        return False
    control = driver.control_driver
    # The answer decides, so nothing that is remembered will do.
    forget = getattr(control, 'forget', lambda: None)
    forget()
    controller = (control.topic_controller if place.kind == names.TOPIC
                  else control.queue_controller)
    return controller is not None and not controller.exists(
        place.name, place.project)
