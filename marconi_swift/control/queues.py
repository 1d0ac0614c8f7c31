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
"""Queues and topics: what Zaqar's control plane knows of them.

========================  ===============================================
container                 ``<prefix>:queues``, ``<prefix>:topics``
object                    ``<project>:<name>``, encoded by
                          :func:`marconi_swift.names.scoped`
body                      ``{"v": 1, "project", "name", "metadata"}``
========================  ===============================================
"""

from collections.abc import Iterator
import itertools
import json
import threading
import time
from typing import Any
from typing import ClassVar

from oslo_serialization import jsonutils
from zaqar import storage
from zaqar.storage import errors

from marconi_swift import acceptable
from marconi_swift import cache
from marconi_swift import names
from marconi_swift.control import registry


class Metadata(dict[str, Any]):
    """A queue's metadata, which know what they were read as.

    Zaqar's PATCH reads metadata, changes them in place, and writes them.
    """

    def __init__(self, of: str, text: str) -> None:
        """Read what :func:`json.dumps` wrote.

        :param of: the name of the record.
        """
        super().__init__(json.loads(text))
        self.of = of
        self._text = text

    def changed_on(self, stored: dict[str, Any]) -> dict[str, Any]:
        """Make the changes to these metadata to what is stored by now.

        Of keys that somebody else changed meanwhile, too, these win.
        """
        read = json.loads(self._text)
        # As JSON: to Python, 1 and true are the same.
        changes = {key: value for key, value in self.items()
                   if key not in read or _json(read[key]) != _json(value)}
        return {key: value for key, value in {**stored, **changes}.items()
                if key in self or key not in read}


class _Controller:
    """What controllers of queues and of topics have in common."""

    #: Name of the registry.
    KIND: ClassVar[str]
    #: What is raised for one that is not there.
    Missing: ClassVar[Any]

    def __init__(self, driver: Any) -> None:
        super().__init__(driver)  # type: ignore[call-arg]
        # A data driver delegates to its control driver; Zaqar's tests make
        # the controller of either.
        control = getattr(driver, 'control_driver', driver)
        self._registry: registry.Registry = control.registry(self.KIND)
        # As JSON, of which everybody is given a copy of its own.
        self._read: cache.Cache[str, str] = control.caches[self.KIND]
        self._cache_time: float = control.account.settings.cache_time
        self._thread = threading.local()

    def _create(
        self, name: str, metadata: dict[str, Any] | None = None,
        project: str | None = None,
    ) -> bool:
        """Create it unless it is there; exactly one creator is told True.

        :raises marconi_swift.acceptable.Unacceptable: the metadata could not
            be handed out.
        """
        acceptable.check(metadata, 'the metadata')
        key = names.scoped(project, name)
        created = self._registry.create(key, {
            'project': project, 'name': name, 'metadata': metadata or {}})
        self._read.forget(key)
        return created

    def _exists(self, name: str, project: str | None = None) -> bool:
        """Whether it is there, or was ``cache_time`` ago."""
        key = names.scoped(project, name)
        return key in self._read or self._registry.exists(key)

    def _get(
        self, name: str, project: str | None = None,
    ) -> dict[str, Any]:
        """As :meth:`get_metadata`; none if it is not there.

        Zaqar's notifier asks for them with each post.
        """
        try:
            return self.get_metadata(name, project)
        except self.Missing:
            return {}

    def get_metadata(
        self, name: str, project: str | None = None,
    ) -> dict[str, Any]:
        """Return the metadata, the caller's to change.

        As they were at most ``cache_time`` ago, or later.

        :raises zaqar.storage.errors.DoesNotExist: it is not there.
        """
        key = names.scoped(project, name)
        return Metadata(key, self._read.get(
            key, lambda: self._load(name, project)))

    def set_metadata(
        self, name: str, metadata: dict[str, Any],
        project: str | None = None,
    ) -> None:
        """Replace the whole of the metadata.

        On return, no process works with the old ones any more: those that
        read them before they were replaced remember them for ``cache_time``
        at most, which is waited for.

        Of those that :meth:`get_metadata` returned, what the caller changed
        is replaced, and what somebody else changed since then stays. The
        last writer wins: a queue that is deleted at the same moment can be
        there again.

        :raises zaqar.storage.errors.DoesNotExist: it is not there.
        :raises marconi_swift.acceptable.Unacceptable: as :meth:`create`.
        """
        acceptable.check(metadata, 'the metadata')
        key = names.scoped(project, name)
        record = self._registry.read(key)
        if record is None:
            self._read.forget(key)
            raise self.Missing(name, project)
        if isinstance(metadata, Metadata) and metadata.of == key:
            metadata = metadata.changed_on(record['metadata'])
        self._registry.replace(key, {**record, 'metadata': metadata})
        self._read.forget(key)
        time.sleep(self._cache_time)

    def done(self, name: str | None, project: str | None = None) -> None:
        """Do nothing if this is what this thread has to delete next.

        For the stage in front of this, when it has; None for nothing. With
        pooling, Zaqar deletes it once more, and it may be a new one by then.
        """
        self._thread.done = name and names.scoped(project, name)

    def _delete(self, name: str, project: str | None = None) -> None:
        key = names.scoped(project, name)
        if vars(self._thread).pop('done', None) == key:
            return
        self._registry.delete(key)
        self._read.forget(key)

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
        :param name: what the name must contain.
        """
        found = list(itertools.islice(
            self._matching(project, kfilter or {}, marker, limit, detailed,
                           name), limit))
        yield iter(found)
        yield found[-1]['name'] if found else None

    def _load(self, name: str, project: str | None) -> str:
        record = self._registry.read(names.scoped(project, name))
        if record is None:
            raise self.Missing(name, project)
        return json.dumps(record['metadata'])

    def _matching(
        self, project: str | None, kfilter: dict[str, Any],
        marker: str | None, limit: int, detailed: bool, name: str | None,
    ) -> Iterator[dict[str, Any]]:
        prefix = names.scoped(project, '')
        after = names.scoped(project, marker) if marker else ''
        if not (detailed or kfilter):
            sized = {} if name else {'first': limit}
            for listed in self._registry.names(prefix, after, **sized):
                found = names.decode(listed.removeprefix(prefix)) or ''
                if (name or '') in found:
                    yield {'name': found}
            return
        for _, record in self._registry.records(prefix, after, limit):
            if (name or '') not in record['name']:
                continue
            metadata = record['metadata']
            if all(_is(metadata.get(key), value)
                   for key, value in kfilter.items()):
                shown = {'name': record['name']}
                yield {**shown, 'metadata': metadata} if detailed else shown


def _is(stored: Any, wanted: Any) -> bool:
    """Whether a key of the metadata has a value that is asked for.

    To Python, 1 and true are the same. Zaqar asks for texts and numbers.
    """
    return bool(stored == wanted) and (
        isinstance(stored, bool) == isinstance(wanted, bool))


def _json(value: Any) -> str:
    text: str = jsonutils.dumps(value, sort_keys=True)
    return text


class QueueController(_Controller, storage.Queue):
    """See :class:`zaqar.storage.base.Queue`."""

    KIND = 'queues'
    Missing = errors.QueueDoesNotExist

    def everywhere(self) -> Iterator[tuple[str | None, str]]:
        """Projects and names of the queues of all projects.

        In the order of their records, and as far as it is iterated. A hint,
        taken from a listing. Only names too long to tell are read.
        """
        for key in self._registry.names():
            try:
                project, name = names.parse_scoped(key)
            except ValueError:
                record = self._registry.read(key)
                if record is None:
                    continue
                project, name = record['project'], record['name']
            yield project, name or ''

    def _calculate_resource_count(self, project: str | None = None) -> int:
        prefix = names.scoped(project, '')
        return sum(1 for _ in self._registry.names(prefix))


class TopicController(_Controller, storage.Topic):
    """See :class:`zaqar.storage.base.Topic`."""

    KIND = 'topics'
    Missing = errors.TopicDoesNotExist
