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
"""Queues: what Zaqar's control plane knows of them.

========================  ===============================================
container                 ``<prefix>:queues``
object                    ``<project>:<queue>``, encoded by
                          :func:`marconi_swift.names.scoped`
body                      ``{"v": 1, "project", "name", "metadata"}``
========================  ===============================================
"""

from collections.abc import Iterator
import itertools
from typing import Any

from zaqar import storage
from zaqar.storage import errors

from marconi_swift import names
from marconi_swift.control import registry


class QueueController(storage.Queue):
    """See :class:`zaqar.storage.base.Queue`."""

    def __init__(self, driver: Any) -> None:
        super().__init__(driver)
        # A data driver delegates to its control driver; Zaqar's tests make
        # the controller of either.
        control = getattr(driver, 'control_driver', driver)
        self._registry: registry.Registry = control.registry('queues')

    def _create(
        self, name: str, metadata: dict[str, Any] | None = None,
        project: str | None = None,
    ) -> bool:
        return self._registry.create(names.scoped(project, name), {
            'project': project, 'name': name, 'metadata': metadata or {}})

    def _exists(self, name: str, project: str | None = None) -> bool:
        return self._registry.exists(names.scoped(project, name))

    def _get(
        self, name: str, project: str | None = None,
    ) -> dict[str, Any]:
        try:
            return self.get_metadata(name, project)
        except errors.QueueDoesNotExist:
            return {}

    def get_metadata(
        self, name: str, project: str | None = None,
    ) -> dict[str, Any]:
        """Return the queue's metadata, the caller's to change.

        :raises zaqar.storage.errors.QueueDoesNotExist: there is none.
        """
        record = self._registry.read(names.scoped(project, name))
        if record is None:
            raise errors.QueueDoesNotExist(name, project)
        metadata: dict[str, Any] = record['metadata']
        return metadata

    def set_metadata(
        self, name: str, metadata: dict[str, Any],
        project: str | None = None,
    ) -> None:
        """Replace the whole of a queue's metadata.

        :raises zaqar.storage.errors.QueueDoesNotExist: there is none.
        """
        if not self._exists(name, project):
            raise errors.QueueDoesNotExist(name, project)
        self._registry.replace(names.scoped(project, name), {
            'project': project, 'name': name, 'metadata': metadata})

    def _delete(self, name: str, project: str | None = None) -> None:
        self._registry.delete(names.scoped(project, name))

    def _stats(self, name: str, project: str | None = None) -> None:
        """Nothing: the stage in front of this controller counts messages."""

    def _list(
        self, project: str | None = None,
        kfilter: dict[str, Any] | None = None, marker: str | None = None,
        limit: int = storage.DEFAULT_QUEUES_PER_PAGE, detailed: bool = False,
        name: str | None = None,
    ) -> Iterator[Any]:
        """Yield the page, then the marker of the next one.

        :param kfilter: values that keys of the metadata must have.
        :param name: what the queue's name must contain.
        """
        found = list(itertools.islice(
            self._matching(project, kfilter or {}, marker, limit, detailed,
                           name), limit))
        yield iter(found)
        yield found[-1]['name'] if found else None

    def _matching(
        self, project: str | None, kfilter: dict[str, Any],
        marker: str | None, limit: int, detailed: bool, name: str | None,
    ) -> Iterator[dict[str, Any]]:
        prefix = names.scoped(project, '')
        after = names.scoped(project, marker) if marker else ''
        if not (detailed or kfilter):
            sized = {} if name else {'first': limit}
            for listed in self._registry.names(prefix, after, **sized):
                queue = names.decode(listed.removeprefix(prefix)) or ''
                if (name or '') in queue:
                    yield {'name': queue}
            return
        for _, record in self._registry.records(prefix, after, limit):
            if (name or '') not in record['name']:
                continue
            metadata = record['metadata']
            if all(metadata.get(key) == value
                   for key, value in kfilter.items()):
                shown = {'name': record['name']}
                yield {**shown, 'metadata': metadata} if detailed else shown

    def _calculate_resource_count(self, project: str | None = None) -> int:
        prefix = names.scoped(project, '')
        return sum(1 for _ in self._registry.names(prefix))
