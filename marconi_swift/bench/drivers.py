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

"""The drivers that are measured, behind the few calls that work needs."""

import abc
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Sequence
from concurrent import futures
import functools
import itertools
import math
from typing import Any
from typing import NamedTuple
import uuid

from keystoneauth1 import loading
from keystoneauth1 import session as ksa_session
from oslo_serialization import jsonutils
from zaqar.storage import pipeline
from zaqar.storage import utils

from marconi_swift import names
from marconi_swift import records
from marconi_swift.bench import verdict
from marconi_swift.data import queue as queues
from marconi_swift.manage import stores
from marconi_swift.standalone import swift as swifts

#: What the drivers are called in results: this one, Zaqar's own, and
#: requests to Swift without a driver.
OURS, SWIFT, REDIS, MONGODB, BARE = (
    'marconi-swift', 'swift', 'redis', 'mongodb', 'bare Swift')

PROJECT = 'bench'
CLIENT = uuid.UUID('a2a3b0c0-6b1e-4c1f-9a52-0d5b3f6f0f3a')

#: Seconds; nothing expires by itself while it is measured.
TTL = 3600
GRACE = 60

#: Seconds that a claim lasts once it is renewed: it shows that it was.
RENEWED = 2 * TTL

#: Bytes of a message's body, unless a work says otherwise.
SIZE = 300

#: Claims are recorded for so many messages each when a queue is filled.
CLAIMED_AT_ONCE = 20

#: Objects written side by side when a queue is filled.
_WIDTH = 32

#: Messages that are written before it is seen that the program was stopped.
_UNSTOPPABLE = 5 * CLAIMED_AT_ONCE


class Spec(NamedTuple):
    """All that another process needs to make the same driver."""

    name: str
    #: Path of a zaqar.conf.
    conf: str
    #: The account of Swift, for drivers that use one.
    swift: swifts.Credentials | None = None


class Queue(NamedTuple):
    """A queue, and which messages were put there free of any claim."""

    name: str
    #: Numbers of the messages; see :func:`.verdict.body`.
    free: range
    size: int

    def bodies(self, count: int) -> list[dict[str, Any]]:
        """Make messages to post, numbered from 0."""
        return [{'ttl': TTL, 'body': verdict.body(each, self.size)}
                for each in range(count)]


class Driver(abc.ABC):
    """What is measured; queues are those of :data:`PROJECT`."""

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self._counter = itertools.count()
        self._kept: dict[tuple[int, int, int], Queue] = {}

    @property
    def name(self) -> str:
        return self.spec.name

    def fresh(
        self, free: int = 0, claimed: int = 0, size: int = SIZE,
    ) -> Queue:
        """Make a queue with so many claimed messages, then so many free.

        Drivers in other processes make queues of other names.
        """
        name = f'{uuid.uuid4().hex[:12]}-{next(self._counter)}'
        self.create(name)
        self.fill(name, range(-claimed, 0), size, claimed=True)
        self.fill(name, range(free), size, claimed=False)
        return Queue(name, range(free), size)

    def kept(
        self, free: int = 0, claimed: int = 0, size: int = SIZE,
    ) -> Queue:
        """As :meth:`fresh`, and the same one each time, for readers."""
        key = free, claimed, size
        if key not in self._kept:
            self._kept[key] = self.fresh(*key)
        return self._kept[key]

    def share(self, other: 'Driver') -> None:
        """Use the queues that are kept for another driver of the account."""
        self._kept = other._kept

    def warm_up(self) -> None:
        """Open the connections and threads that work will use."""
        queue = self.fresh()
        self.post(queue.name, queue.bodies(64))
        self.page(queue.name, 20)
        claim, messages = self.claim(queue.name, 20)
        for message in messages[:1]:
            self.delete(queue.name, message['id'], claim)
        self.delete_queue(queue.name)

    @abc.abstractmethod
    def fill(
        self, queue: str, numbers: range, size: int, *, claimed: bool,
    ) -> None:
        """Store messages as posting, and claiming, would have left them."""

    @abc.abstractmethod
    def create(self, queue: str) -> None: ...

    @abc.abstractmethod
    def delete_queue(self, queue: str) -> None: ...

    @abc.abstractmethod
    def list_queues(self, limit: int) -> list[dict[str, Any]]:
        """The first queues, by name."""

    @abc.abstractmethod
    def stats(self, queue: str) -> dict[str, int]:
        """Count: ``claimed``, ``free`` and ``total``."""

    @abc.abstractmethod
    def post(
        self, queue: str, messages: Sequence[dict[str, Any]],
    ) -> list[str]: ...

    @abc.abstractmethod
    def page(self, queue: str, limit: int) -> list[verdict.Message]:
        """List the first free messages."""

    @abc.abstractmethod
    def read(
        self, queue: str, ids: Iterable[str],
    ) -> list[verdict.Message]: ...

    @abc.abstractmethod
    def delete(
        self, queue: str, message_id: str, claim: str | None = None,
    ) -> None: ...

    @abc.abstractmethod
    def bulk_delete(self, queue: str, ids: Sequence[str]) -> None: ...

    @abc.abstractmethod
    def pop(self, queue: str, limit: int) -> list[verdict.Message]: ...

    @abc.abstractmethod
    def claim(
        self, queue: str, limit: int,
    ) -> tuple[str | None, list[verdict.Message]]: ...

    @abc.abstractmethod
    def get_claim(self, queue: str, claim: str) -> list[verdict.Message]: ...

    @abc.abstractmethod
    def lifetime(self, queue: str, claim: str) -> float:
        """The ttl of a claim, in seconds."""

    @abc.abstractmethod
    def renew(self, queue: str, claim: str) -> None:
        """Have a claim last :data:`RENEWED`."""

    @abc.abstractmethod
    def release(self, queue: str, claim: str) -> None: ...

    @abc.abstractmethod
    def close(self) -> None: ...


class ZaqarDriver(Driver):
    """Zaqar's two drivers that a zaqar.conf names, as Zaqar makes them."""

    def __init__(self, spec: Spec) -> None:
        super().__init__(spec)
        conf = stores.read(stores.named(spec.conf))
        self.control: Any = utils.load_storage_driver(
            conf, None, control_mode=True)
        self.data: Any = utils.load_storage_driver(
            conf, None, control_driver=self.control)
        self._prepare()
        self._queues = pipeline.DataDriver(
            conf, self.data, self.control).queue_controller
        self._messages = self.data.message_controller
        self._claims = self.data.claim_controller

    def _prepare(self) -> None:
        """Do what a driver needs before its controllers are made."""

    def fill(
        self, queue: str, numbers: range, size: int, *, claimed: bool,
    ) -> None:
        """Fill through the API, where that is fast enough."""
        for batch in _batches(numbers, 100):
            self.post(queue, [{'ttl': TTL, 'body': verdict.body(each, size)}
                              for each in batch])
        left = len(numbers) if claimed else 0
        while left > 0:
            _, messages = self.claim(queue, CLAIMED_AT_ONCE)
            if not messages:
                raise RuntimeError(
                    f'{self.name} gives out {len(numbers) - left} of '
                    f'{len(numbers)} messages: it can not be measured.')
            left -= len(messages)

    def create(self, queue: str) -> None:
        self._queues.create(queue, metadata={}, project=PROJECT)

    def delete_queue(self, queue: str) -> None:
        self._queues.delete(queue, project=PROJECT)

    def list_queues(self, limit: int) -> list[dict[str, Any]]:
        return list(next(self._queues.list(project=PROJECT, limit=limit)))

    def stats(self, queue: str) -> dict[str, int]:
        counted: dict[str, int] = self._queues.stats(
            queue, project=PROJECT)['messages']
        return {key: counted[key] for key in ('claimed', 'free', 'total')}

    def post(
        self, queue: str, messages: Sequence[dict[str, Any]],
    ) -> list[str]:
        return list(self._messages.post(
            queue, messages, client_uuid=CLIENT, project=PROJECT))

    def page(self, queue: str, limit: int) -> list[verdict.Message]:
        return list(next(iter(self._messages.list(
            queue, project=PROJECT, limit=limit, echo=True))))

    def read(
        self, queue: str, ids: Iterable[str],
    ) -> list[verdict.Message]:
        return list(self._messages.bulk_get(
            queue, message_ids=list(ids), project=PROJECT))

    def delete(
        self, queue: str, message_id: str, claim: str | None = None,
    ) -> None:
        self._messages.delete(
            queue, message_id, project=PROJECT, claim=claim)

    def bulk_delete(self, queue: str, ids: Sequence[str]) -> None:
        self._messages.bulk_delete(
            queue, message_ids=list(ids), project=PROJECT)

    def pop(self, queue: str, limit: int) -> list[verdict.Message]:
        return list(self._messages.pop(queue, limit=limit, project=PROJECT))

    def claim(
        self, queue: str, limit: int,
    ) -> tuple[str | None, list[verdict.Message]]:
        claim, messages = self._claims.create(
            queue, {'ttl': TTL, 'grace': GRACE}, project=PROJECT,
            limit=limit)
        return claim, list(messages)

    def get_claim(self, queue: str, claim: str) -> list[verdict.Message]:
        _, messages = self._claims.get(queue, claim, project=PROJECT)
        return list(messages)

    def lifetime(self, queue: str, claim: str) -> float:
        described, _ = self._claims.get(queue, claim, project=PROJECT)
        return float(described['ttl'])

    def renew(self, queue: str, claim: str) -> None:
        self._claims.update(
            queue, claim, {'ttl': RENEWED, 'grace': GRACE}, project=PROJECT)

    def release(self, queue: str, claim: str) -> None:
        self._claims.delete(queue, claim, project=PROJECT)

    def close(self) -> None:
        self.data.close()
        self.control.close()


class Ours(ZaqarDriver):
    """This project's driver."""

    def fill(
        self, queue: str, numbers: range, size: int, *, claimed: bool,
    ) -> None:
        account = self.data.account
        prefix = account.settings.container_prefix
        at = records.now()
        for batch in _batches(numbers, _UNSTOPPABLE):
            messages = {each: self._message(at) for each in batch}
            if claimed:
                messages = self._claim_all(queue, messages, at)
            account.store.each(
                lambda item: account.store.create(
                    names.messages(prefix, PROJECT, queue), item[1].id,
                    body=records.dump(verdict.body(item[0], size)),
                    content_type=item[1].content_type(),
                    delete_at=item[1].delete_at),
                messages.items())

    def empty(self, queue: str) -> None:
        """Delete all messages."""
        account = self.data.account
        account.store.empty_container(names.messages(
            account.settings.container_prefix, PROJECT, queue))

    def create_many(self, count: int) -> None:
        """Store so many queues as their creation leaves them."""
        account = self.data.account
        registry = self.control.registry('queues')

        def write(name: str) -> None:
            registry.replace(names.scoped(PROJECT, name), {
                'project': PROJECT, 'name': name, 'metadata': {}})
            account.store.make_container(names.messages(
                account.settings.container_prefix, PROJECT, name), None)

        for batch in _batches(range(count), _UNSTOPPABLE):
            account.store.each(write, [uuid.uuid4().hex for _ in batch])

    def _message(self, at: float) -> records.Message:
        return records.Message(
            id=names.new_message_id(), ttl=TTL, expires=at + TTL,
            poster=str(CLIENT))

    def _claim_all(
        self, queue: str, messages: dict[int, records.Message], at: float,
    ) -> dict[int, records.Message]:
        """Record claims that hold these messages; return those as held."""
        claims = queues.queue(self.data, queue, PROJECT).claims
        held: dict[int, records.Message] = {}
        for batch in _batches(list(messages), CLAIMED_AT_ONCE):
            hold = records.Hold(
                names.new_message_id(), math.floor(at) + TTL)
            taken = {each: messages[each].taken(hold, at, GRACE)
                     for each in batch}
            claims.create(records.Claim.made(
                records.Pass(hold, GRACE), TTL, at,
                {message.id: message for message in taken.values()}))
            held |= taken
        return held


class ZaqarsSwift(ZaqarDriver):
    """The ``swift`` driver that comes with Zaqar.

    It logs in to Keystone alone, so its client is given a session that has
    logged in to Swift's tempauth.
    """

    def _prepare(self) -> None:
        account = self.spec.swift
        assert account is not None
        loader: Any = loading.get_plugin_loader('v1password')
        session = ksa_session.Session(loader.load_from_options(
            auth_url=account.auth_url, username=account.username,
            password=account.password))
        client = self.data.connection
        client.endpoint, client.session = account.storage_url, session

    def fill(
        self, queue: str, numbers: range, size: int, *, claimed: bool,
    ) -> None:
        """Write its objects, as its post and claim write them."""
        put = self.data.connection.put_object
        claims = f'zaqar_claim:{queue}:{PROJECT}'
        # As in every queue that was claimed from before.
        self.data.connection.put_container(claims)
        with futures.ThreadPoolExecutor(_WIDTH) as threads:
            for batch in _batches(numbers, CLAIMED_AT_ONCE):
                claim = str(uuid.uuid4()) if claimed else None
                ids = list(threads.map(functools.partial(
                    self._put, put, queue, size, claim), batch))
                if claim:
                    put(claims, claim, jsonutils.dumps(ids),
                        content_type='application/json',
                        headers={'x-delete-after': TTL})

    def _put(
        self, put: Callable[..., Any], queue: str, size: int,
        claim: str | None, number: int,
    ) -> str:
        name = str(uuid.uuid1())
        headers: dict[str, Any] = {
            'x-object-meta-clientid': str(CLIENT), 'x-delete-after': TTL}
        content: dict[str, Any] = {
            'body': verdict.body(number, size), 'claim_id': claim,
            'ttl': TTL, 'claim_count': 0}
        if claim:
            headers['x-object-meta-claimid'] = claim
        else:
            content['delay_expires'] = 0
        put(f'zaqar_message:{queue}:{PROJECT}', name,
            jsonutils.dumps(content), content_type='application/json',
            headers=headers)
        return name


def _batches(items: Sequence[int], size: int) -> Iterable[Sequence[int]]:
    return (items[start:start + size]
            for start in range(0, len(items), size))
