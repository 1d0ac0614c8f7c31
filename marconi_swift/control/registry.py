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
"""A named set of small JSON objects: the control plane's only storage.

One container holds one kind of record. A record's object name sorts as its
owner wants it listed, and its body is JSON with a version:
``{"v": 1, ...}``.
"""

from collections.abc import Iterator
import itertools
import json
from typing import Any

from oslo_log import log as logging

from marconi_swift import election
from marconi_swift import names
from marconi_swift.store import objects

LOG = logging.getLogger(__name__)

_CONTENT_TYPE = 'application/json'
_VERSION = 1

#: Records that are read at a time while a page is being filled.
_READ_AHEAD = 20


class Registry:
    """The records of one kind.

    :param elections: decide who creates a record; in the same account.
    :param kind: what the records are, such as ``queues``.
    """

    def __init__(
        self, store: objects.ObjectStore, elections: election.Elections,
        kind: str,
    ) -> None:
        self._store = store
        self._elections = elections
        self._container = names.registry(elections.prefix, kind)

    def create(self, name: str, record: dict[str, Any]) -> bool:
        """Store a record unless there is one; whether this call did.

        Of creators at the same moment exactly one is told True; see
        :meth:`marconi_swift.election.Elections.once`.
        """
        return self._elections.once(
            f'{self._container}/{name}', lambda: self.exists(name),
            lambda store: self._put(store, name, record))

    def replace(self, name: str, record: dict[str, Any]) -> None:
        """Store a record, whatever is there; the last writer wins."""
        self._put(self._store, name, record)

    def read(self, name: str) -> dict[str, Any] | None:
        """Return a record that the caller may change, or None."""
        stored = self._store.read(self._container, name, newest=True)
        return None if stored is None else self._load(stored)

    def exists(self, name: str) -> bool:
        return self._store.head(self._container, name) is not None

    def delete(self, name: str) -> None:
        """Remove a record, if it is there."""
        self._store.delete(self._container, name)

    def drop_all(self) -> None:
        """Remove all records that a listing shows."""
        self._store.empty_container(self._container)

    def names(
        self, prefix: str = '', marker: str = '', first: int = objects.PAGE,
    ) -> Iterator[str]:
        """Names of the records that start with a prefix, in order.

        A hint: taken from a listing, which may lag behind.

        :param marker: the name after which to start.
        :param first: how many will probably be asked for.
        """
        for row in self._store.rows(self._container, prefix=prefix,
                                    marker=marker, first=first):
            yield row.name

    def records(
        self, prefix: str = '', marker: str = '', first: int = objects.PAGE,
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        """Names and records, read side by side and as far as asked for.

        Those that are gone when they are read are left out.

        :param first: as for :meth:`names`; no more are read at a time.
        """
        listed = self.names(prefix, marker, first)
        at_a_time = min(first, _READ_AHEAD)
        while batch := list(itertools.islice(listed, at_a_time)):
            for name, record in zip(
                    batch, self._store.each(self.read, batch), strict=True):
                if record is not None:
                    yield name, record

    def _put(
        self, store: objects.ObjectStore, name: str, record: dict[str, Any],
    ) -> None:
        """Write into the container, making it if it is not there."""
        def put() -> objects.Outcome:
            return store.replace(
                self._container, name, content_type=_CONTENT_TYPE,
                body=_dump(record))

        if put() is objects.Outcome.MISSING:
            store.insist(self._container, self._elections.policy, put)

    def _load(self, stored: objects.StoredObject) -> dict[str, Any] | None:
        try:
            record = json.loads(stored.body)
            known = record.pop('v', None) == _VERSION
        except (ValueError, AttributeError):
            known = False
        if not known:
            LOG.warning(
                'Ignoring %(name)s in container %(container)s: it is no '
                'record of this release. Remove it, or upgrade.',
                {'name': stored.name, 'container': self._container})
            return None
        return dict(record)


def _dump(record: dict[str, Any]) -> bytes:
    return json.dumps({'v': _VERSION, **record}).encode()
