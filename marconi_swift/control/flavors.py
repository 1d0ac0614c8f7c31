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
"""Flavors: what a project calls pools with the capabilities it wants.

========================  ===============================================
container                 ``<prefix>:flavors``
object                    ``<project>:<name>``
body                      ``{"v": 1, "name", "project", "capabilities"}``
========================  ===============================================
"""

from collections.abc import Iterator
import itertools
from typing import Any

from zaqar import storage
from zaqar.storage import errors

from marconi_swift import names
from marconi_swift.control import registry


class FlavorsController(storage.FlavorsBase):
    """See :class:`zaqar.storage.base.FlavorsBase`."""

    def __init__(self, driver: Any) -> None:
        super().__init__(driver)
        self._registry: registry.Registry = driver.registry('flavors')

    def list(
        self, project: str | None = None, marker: str | None = None,
        limit: int = storage.DEFAULT_POOLS_PER_PAGE,
        detailed: bool = False,
    ) -> Iterator[Any]:
        """Yield the page by name, then the marker of the next one."""
        found = list(itertools.islice(
            self._registry.records(
                names.scoped(project, ''),
                names.scoped(project, marker) if marker else '', limit),
            limit))
        yield (_shown(flavor, detailed) for _, flavor in found)
        yield found[-1][1]['name'] if found else None

    def get(
        self, name: str, project: str | None = None, detailed: bool = False,
    ) -> dict[str, Any]:
        """Return a flavor.

        :raises zaqar.storage.errors.FlavorDoesNotExist: there is none.
        """
        return _shown(self._load(name, project), detailed)

    def create(
        self, name: str, project: str | None = None,
        capabilities: Any = None,
    ) -> None:
        """Store a flavor, or replace the one of that name."""
        self._registry.replace(names.scoped(project, name), {
            'name': name, 'project': project,
            'capabilities': capabilities or {}})

    def exists(self, name: str, project: str | None = None) -> bool:
        return self._registry.exists(names.scoped(project, name))

    def delete(self, name: str, project: str | None = None) -> None:
        self._registry.delete(names.scoped(project, name))

    def update(
        self, name: str, project: str | None = None,
        capabilities: Any = None,
    ) -> None:
        """Change what a flavor promises.

        :raises AssertionError: no capabilities are given.
        :raises zaqar.storage.errors.FlavorDoesNotExist: there is none.
        """
        if capabilities is None:
            raise AssertionError(
                f'No capabilities are given for flavor {name}.')
        flavor = self._load(name, project)
        self._registry.replace(
            names.scoped(project, name),
            {**flavor, 'capabilities': capabilities})

    def drop_all(self) -> None:
        self._registry.drop_all()

    def _load(self, name: str, project: str | None) -> dict[str, Any]:
        flavor = self._registry.read(names.scoped(project, name))
        if flavor is None:
            raise errors.FlavorDoesNotExist(name)
        return flavor


def _shown(flavor: dict[str, Any], detailed: bool) -> dict[str, Any]:
    """A flavor as Zaqar wants it."""
    shown = {'name': flavor['name']}
    return {**shown, 'capabilities': flavor['capabilities']} if (
        detailed) else shown
