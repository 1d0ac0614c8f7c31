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
"""The catalogue: which pool each queue is in.

========================  ===============================================
container                 ``<prefix>:catalogue``
object                    ``<project>:<queue>``
body                      ``{"v": 1, "project", "queue", "pool"}``
========================  ===============================================
"""

from collections.abc import Iterator
from typing import Any

from zaqar import storage
from zaqar.storage import errors

from marconi_swift import cache
from marconi_swift import names
from marconi_swift.control import openings
from marconi_swift.control import registry


class CatalogueController(storage.CatalogueBase):
    """See :class:`zaqar.storage.base.CatalogueBase`."""

    #: Name of the registry.
    KIND = 'catalogue'

    def __init__(self, driver: Any) -> None:
        super().__init__(driver)
        self._registry: registry.Registry = driver.registry(self.KIND)
        # The pools, by keys of the registry.
        self._read: cache.Cache[str, str] = driver.caches[self.KIND]
        self._openings: openings.Openings = driver.openings

    def list(self, project: str | None) -> Iterator[dict[str, Any]]:
        """Iterate over a project's entries by the names of its queues."""
        for _, entry in self._registry.records(names.scoped(project, '')):
            yield entry

    def get(self, project: str | None, queue: str) -> dict[str, Any]:
        """Return an entry, as it was at most ``cache_time`` ago, or later.

        :raises zaqar.storage.errors.QueueNotMapped: there is none.
        """
        pool = self._read.get(names.scoped(project, queue),
                              lambda: self._load(project, queue))
        return {'project': project, 'queue': queue, 'pool': pool}

    def exists(self, project: str | None, queue: str) -> bool:
        """Whether there is an entry that can be read.

        Zaqar puts one into the place of what can not.
        """
        return self._registry.read(names.scoped(project, queue)) is not None

    def insert(
        self, project: str | None, queue: str, pool: str | None,
    ) -> None:
        """Store an entry, unless there is one that can be read.

        Zaqar looks for one, and draws a pool, before it calls this: of those
        who create a queue meanwhile, the first may have posted to its pool.
        One that wrote within the same few milliseconds can be replaced; see
        :meth:`marconi_swift.driver.DataDriver.has_lost`.

        :raises zaqar.storage.errors.NoPoolFound: no pool is given. Zaqar
            gives None if those of a flavor all have the weight 0, or if it
            has none.
        """
        key, entry = names.scoped(project, queue), _entry(project, queue, pool)
        if not self._registry.add(key, entry) and not self.exists(
                project, queue):
            self._registry.replace(key, entry)
        self._read.forget(key)

    def delete(self, project: str | None, queue: str) -> None:
        key = names.scoped(project, queue)
        self._registry.delete(key)
        self._read.forget(key)

    def update(
        self, project: str | None, queue: str, pool: str | None,
    ) -> None:
        """Change the pool of an entry.

        :raises zaqar.storage.errors.QueueNotMapped: there is none.
        :raises zaqar.storage.errors.NoPoolFound: as :meth:`insert`.
        """
        if not self.exists(project, queue):
            raise errors.QueueNotMapped(queue, project)
        key = names.scoped(project, queue)
        self._registry.replace(key, _entry(project, queue, pool))
        self._read.forget(key)

    def drop_all(self) -> None:
        self._registry.drop_all()
        self._read.clear()

    def _load(self, project: str | None, queue: str) -> str:
        entry = self._registry.read(names.scoped(project, queue))
        if entry is None:
            # Zaqar makes the virtual pool next.
            self._openings.expect_virtual()
            raise errors.QueueNotMapped(queue, project)
        pool: str = entry['pool']
        return pool


def _entry(
    project: str | None, queue: str, pool: str | None,
) -> dict[str, Any]:
    if not isinstance(pool, str):
        raise errors.NoPoolFound()
    return {'project': project, 'queue': queue, 'pool': pool}
