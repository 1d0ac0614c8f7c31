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

One container holds one kind of record. A record's object name is that of
:func:`marconi_swift.names.scoped`, and its body is JSON with a version:
``{"v": 1, ...}``. What is called otherwise, has another version or lacks what
its kind has, is not a record: it is told of in the log, left out and kept.
"""

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
import itertools
import json
from typing import Any

from marconi_swift import acceptable
from marconi_swift import election
from marconi_swift import names
from marconi_swift import notices
from marconi_swift import records
from marconi_swift.store import objects

_CONTENT_TYPE = 'application/json'
_VERSION = 1

#: Records that are read at a time while a page is being filled.
_READ_AHEAD = 20

_TEXT_OR_NONE = (str, type(None))

_NAMED: Mapping[str, Any] = {
    'project': _TEXT_OR_NONE, 'name': str, 'metadata': dict}

#: What the records of each kind have, and of which types.
KINDS: Mapping[str, Mapping[str, Any]] = {
    'queues': _NAMED,
    'topics': _NAMED,
    'pools': {'name': str, 'uri': str, 'weight': int,
              'flavor': _TEXT_OR_NONE, 'options': dict},
    'flavors': {'name': str, 'project': _TEXT_OR_NONE,
                'capabilities': (dict, list)},
    'catalogue': {'project': _TEXT_OR_NONE, 'queue': str, 'pool': str},
}


class Registry:
    """The records of one kind.

    :param elections: decide who creates a record; in the same account.
    :param kind: what the records are, one of :data:`KINDS`.
    """

    def __init__(
        self, store: objects.ObjectStore, elections: election.Elections,
        kind: str,
    ) -> None:
        self._store = store
        self._elections = elections
        self._container = names.registry(elections.prefix, kind)
        self._kind = kind
        self._fields = KINDS[kind]

    def create(self, name: str, record: dict[str, Any]) -> bool:
        """Store a record unless there is one; whether this call did.

        Of creators at the same moment exactly one is told True; see
        :meth:`marconi_swift.election.Elections.once`.

        :raises marconi_swift.acceptable.Unacceptable: the name is empty.
        """
        _check(name)
        return self._elections.once(
            f'{self._container}/{name}', lambda: self.exists(name),
            lambda store: self._put(store, name, record))

    def replace(self, name: str, record: dict[str, Any]) -> None:
        """Store a record, whatever is there; the last writer wins.

        :raises marconi_swift.acceptable.Unacceptable: the name is empty.
        """
        _check(name)
        self._put(self._store, name, record)

    def add(self, name: str, record: dict[str, Any]) -> bool:
        """Store a record unless there is something; whether this call did.

        Cheaper than :meth:`create`: of those who call this at the same
        moment more than one can be told True, and the record is the last
        one's.

        :raises marconi_swift.acceptable.Unacceptable: the name is empty.
        """
        _check(name)
        return self._put(
            self._store, name, record, unless_there=True,
        ) is objects.Outcome.DONE

    def read(self, name: str) -> dict[str, Any] | None:
        """Return a record that the caller may change, or None."""
        stored = self._store.read(self._container, name, newest=True)
        return None if stored is None else self._load(stored)

    def exists(self, name: str) -> bool:
        return self._store.head(self._container, name) is not None

    def make_sure(self) -> None:
        """See that Swift can tell which records there are.

        Where it can not look up their container it takes that for one of the
        first storage policy, and finds none of them if it is of another
        (``GETorHEAD`` in ``swift/proxy/controllers/obj.py``).

        :raises marconi_swift.store.errors.SwiftError: it can not.
        """
        self._store.container_metadata(self._container)

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
        for name in self.listed(prefix, marker, first):
            if names.is_scoped(name):
                yield name
            else:
                self._report_foreign(name)

    def listed(
        self, prefix: str = '', marker: str = '', first: int = objects.PAGE,
    ) -> Iterator[str]:
        """As :meth:`names`, also of what is no record."""
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
        *, unless_there: bool = False,
    ) -> objects.Outcome:
        """Write into the container, making it if it is not there."""
        write: Callable[..., objects.Outcome] = (
            store.create if unless_there else store.replace)

        def put() -> objects.Outcome:
            return store.prevail(lambda: write(
                self._container, name, content_type=_CONTENT_TYPE,
                body=_dump(record)))

        outcome = put()
        if outcome is objects.Outcome.MISSING:
            outcome = store.insist(
                self._container, self._elections.policy, put)
        return outcome

    def _load(self, stored: objects.StoredObject) -> dict[str, Any] | None:
        try:
            record = json.loads(stored.body)
        except (ValueError, RecursionError):
            record = None
        if (not isinstance(record, dict) or record.pop('v', None) != _VERSION
                or not self._is_complete(record)
                or _name(record) != stored.name):
            self._report_foreign(stored.name)
            return None
        return record

    def _is_complete(self, record: Mapping[str, Any]) -> bool:
        return all(field in record and isinstance(record[field], kind)
                   for field, kind in self._fields.items())

    def _report_foreign(self, name: str) -> None:
        notices.foreign(
            self._container, name, f'record of the {self._kind}')


def _check(name: str) -> None:
    if not names.is_scoped(name):
        raise acceptable.Unacceptable(f'{name} is no name of a record.')


def _name(record: Mapping[str, Any]) -> str:
    """What a complete record is called; pools are of no project."""
    return names.scoped(record.get('project'),
                        record['queue'] if 'queue' in record
                        else record['name'])


def _dump(record: dict[str, Any]) -> bytes:
    return records.dump({'v': _VERSION, **record})
