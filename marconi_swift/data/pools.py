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
"""The pool that a message store is, and which queues are in it.

Zaqar tells a driver the URI of its pool, and not the name by which the
catalogue knows it. No two pools have the same URI, unless they were made at
the same moment; then they are one store, and either will do.
"""

from typing import Any

from zaqar.conf import pooling_catalog
from zaqar.storage import errors


def take_in(driver: Any, queue: str, project: str | None) -> None:
    """Enter a queue into the catalogue, if it is in no pool, as in ours.

    Nothing is entered without pooling, nor if no pool has our URI: then this
    is the virtual pool, whose queues have no entry, or the URI was changed,
    and Zaqar goes on with the driver that it has.

    :param driver: a :class:`marconi_swift.driver.DataDriver`.
    """
    if not driver.conf.pooling:
        return
    ours = _ours(driver)
    if ours and _pool_of(driver, queue, project) is None:
        driver.control_driver.catalogue_controller.insert(
            project, queue, ours[0])


def joins(
    driver: Any, queue: str, project: str | None, other: str, *,
    exists: bool,
) -> bool:
    """Whether a queue is in the pool of another, if need be from now on.

    Without an entry in the catalogue, nobody could reach its messages: it is
    given one, unless it is in the virtual pool. Asks for nothing without
    pooling, and for no pools once both queues are in one.

    :param driver: a :class:`marconi_swift.driver.DataDriver`.
    :param other: one that is in this store.
    :param exists: whether the queue does.
    """
    if not driver.conf.pooling:
        return True
    virtual = driver.conf[pooling_catalog.GROUP_NAME].enable_virtual_pool
    beside = _pool_of(driver, other, project)
    pool = _pool_of(driver, queue, project)
    if pool == beside and (pool or virtual):
        return True
    # The other one's, if our URI was changed since we were made.
    ours = _ours(driver) or ([beside] if beside else [])
    if pool is None and ours and not (virtual and exists):
        driver.control_driver.catalogue_controller.insert(
            project, queue, ours[0])
        # A driver of another pool may have done the same.
        pool = _pool_of(driver, queue, project)
    return pool in ours


def _pool_of(driver: Any, queue: str, project: str | None) -> str | None:
    try:
        pool: str = driver.control_driver.catalogue_controller.get(
            project, queue)['pool']
    except errors.QueueNotMapped:
        return None
    return pool


def _ours(driver: Any) -> list[str]:
    """Names of the pools that have our URI."""
    return [pool['name'] for pool in next(
                driver.control_driver.pools_controller.list(limit=0))
            if pool['uri'] == driver.account.settings.uri]
