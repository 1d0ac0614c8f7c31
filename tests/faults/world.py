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
"""An account with some of everything in it, and what can be seen of it.

Whatever is called is called by a :class:`Process`, which has read nothing
yet. Its requests are sent one after the other, so that each time they are
the same ones in the same order.
"""

from collections.abc import Iterator
from concurrent import futures
import contextlib
import functools
import pathlib
import random
import types
from typing import Any

import fixtures
from keystoneauth1 import loading
from oslo_config import cfg
from zaqar.common import pipeline
from zaqar.storage import errors

from marconi_swift import driver
from marconi_swift.data import contention
from marconi_swift.data import stages
from tests.faults import wire
from tests.fixtures import clock
from tests.fixtures import conf
from tests.fixtures import fake_swift

PROJECT, STRANGERS = 'p', 'p/2'

#: Seconds: the options of that name, and after which names are void.
LIMIT, SKEW = 10.0, 2.0
SETTLED = 2 * LIMIT + SKEW + 1

#: Seconds that messages, and claims that are still held, last at first.
LONG, HELD = 40_000, 4000

#: Seconds after which everything that ends has ended, and can be swept.
ENDLESS = 1_000_000

#: Queues that messages are in, or get into.
QUEUES = ('q', 'limited', 'dead', 'lazy', 'half')

State = dict[tuple[str, ...], Any]


class Process:
    """A process of Zaqar's with this driver in it.

    :ivar queues: the controller with the stage that Zaqar puts before it,
        as is ``topics``.
    """

    def __init__(self, read: cfg.ConfigOpts) -> None:
        contention.of_this_process.drop()
        self.control = driver.ControlDriver(read, None)
        self.data = driver.DataDriver(read, None, self.control)
        self.messages = self.data.message_controller
        self.claims = self.data.claim_controller
        self.subscriptions = self.data.subscription_controller
        self.queues = pipeline.Pipeline([
            stages.MessageQueueHandler(self.data, self.control),
            self.control.queue_controller])
        self.topics = pipeline.Pipeline([
            stages.MessageTopicHandler(self.data, self.control),
            self.control.topic_controller])
        self.pools = self.control.pools_controller
        self.flavors = self.control.flavors_controller
        self.catalogue = self.control.catalogue_controller

    def post(
        self, queue: str, *bodies: Any, ttl: int = LONG, delay: int = 0,
        project: str = PROJECT,
    ) -> list[str]:
        return self.messages.post(
            queue, [{'ttl': ttl, 'body': body, 'delay': delay}
                    for body in bodies], 'a client', project)

    def claim(
        self, queue: str, limit: int = 100, ttl: int = 300, grace: int = 60,
    ) -> tuple[str | None, list[dict[str, Any]]]:
        claim, messages = self.claims.create(
            queue, {'ttl': ttl, 'grace': grace}, PROJECT, limit)
        return claim, list(messages)

    def bodies(self, queue: str, project: str = PROJECT) -> list[Any]:
        """Those of all messages that can be read."""
        listed = self.messages.list(
            queue, project, limit=1000, echo=True, include_claimed=True,
            include_delayed=True)
        return [message['body'] for message in next(listed)]

    def holding(self, queue: str, claim: str) -> list[Any] | None:
        """Bodies of what a claim holds; None if it is no claim."""
        try:
            _, messages = self.claims.get(queue, claim, PROJECT)
        except errors.ClaimDoesNotExist:
            return None
        return sorted(message['body'] for message in messages)


class World(fixtures.Fixture):
    """One Swift account, which can be put back to how it was.

    :ivar ids: of messages, by their bodies; of claims and subscriptions, by
        the names that :func:`furnish` gives them.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__()
        self._settings = settings

    def _setUp(self) -> None:
        self.clock = self.useFixture(clock.Clock())
        self.swift = fake_swift.FakeSwift(clock=self.clock)
        self.wire = wire.Wire(self.swift)
        self._patch('marconi_swift.store.swift._Connection', self.wire.connect)
        self._patch('marconi_swift.store.fan_out._threads', lambda width: (
            types.SimpleNamespace(get=lambda: _Busy())))
        self._path = str(pathlib.Path(
            self.useFixture(fixtures.TempDir()).path, 'zaqar.conf'))
        # Thousands of processes are made, and each looks for its plugin.
        self._patch('keystoneauth1.loading.get_plugin_loader',
                    functools.cache(loading.get_plugin_loader))
        self.ids: dict[str, str] = {}
        self.configure(retries=4)
        furnish(self)
        self._saved = self.swift.save(), self.clock.now

    def _patch(self, name: str, value: Any) -> None:
        self.useFixture(fixtures.MonkeyPatch(name, value))

    def configure(self, **settings: Any) -> None:
        """Say how processes that are made from now on behave."""
        conf.write(
            self._path, auth_type='none', endpoint_override='http://[::1]/',
            claim_attempt_limit=LIMIT, clock_skew=SKEW,
            **{**self._settings, **settings})
        self._conf = conf.read(self._path)

    def process(self) -> Process:
        return Process(self._conf)

    def restore(self) -> None:
        """Put the account, and the clock, back to how they were at first."""
        saved, now = self._saved
        self.swift.load(saved)
        self.clock.restart(now)
        self.wire.arm(None)
        random.seed(1)

    @contextlib.contextmanager
    def aside(self) -> Iterator[None]:
        """Do what is undone afterwards."""
        saved, now = self.swift.save(), self.clock.now
        yield
        self.swift.load(saved)
        self.clock.restart(now)

    # What can be seen

    def observe(self) -> State:
        """All that clients and operators can see, thing by thing."""
        return dict(_observed(self.process(), self.ids))

    def objects(self) -> list[str]:
        """All that is stored, as the listings say."""
        store = self.process().data.account.store
        return [f'{container.name}/{row.name}'
                for container in store.containers('')
                for row in store.rows(container.name)]

    def containers(self) -> list[str]:
        store = self.process().data.account.store
        return [container.name for container in store.containers('')]


def _observed(
    process: Process, ids: dict[str, str],
) -> Iterator[tuple[tuple[str, ...], Any]]:
    for project in (PROJECT, STRANGERS):
        yield from _of_project(process, project)
    for pool in next(process.pools.list(limit=0, detailed=True)):
        yield ('pool', pool.pop('name')), pool
    try:
        claim, messages = process.claims.get('q', ids['claim'], PROJECT)
    except errors.ClaimDoesNotExist:
        return
    # Not when it ends: a renewal that is tried again makes that later.
    yield ('claim',), claim['ttl']
    yield from ((('held', message['body']), True) for message in messages)


def _of_project(
    process: Process, project: str,
) -> Iterator[tuple[tuple[str, ...], Any]]:
    for kind, controller in (
            ('queue', process.queues), ('topic', process.topics)):
        for each in next(controller.list(
                project=project, limit=1000, detailed=True)):
            yield (kind, project, each['name']), each['metadata']
    for queue in QUEUES:
        for body in process.bodies(queue, project):
            yield ('message', project, queue, body), True
    for each in next(process.subscriptions.list('q', project, limit=1000)):
        yield ('subscription', project, each['subscriber']), {
            key: each[key] for key in ('ttl', 'options', 'confirmed')}
    for each in next(process.flavors.list(project, limit=1000,
                                          detailed=True)):
        yield ('flavor', project, each['name']), each['capabilities']
    for each in process.catalogue.list(project):
        yield ('entry', project, each['queue']), each['pool']


class _Busy:
    """Threads that never come to what they are given."""

    def submit(self, work: Any) -> 'futures.Future[None]':
        return futures.Future()


def furnish(world: World) -> None:
    """Put some of everything into the account."""
    process = world.process()
    ids = world.ids

    def post(queue: str, *bodies: str, **kwargs: Any) -> None:
        ids.update(zip(bodies, process.post(queue, *bodies, **kwargs),
                       strict=True))

    for name, metadata in {
        'q': {'a': 1}, 'half': {},
        'limited': {'_max_claim_count': 1, '_dead_letter_queue': 'dead'},
    }.items():
        process.queues.create(name, metadata, PROJECT)
    process.queues.create('q', {}, STRANGERS)
    # Zaqar's pools create queues without telling the message store.
    process.control.queue_controller.create('lazy', project=PROJECT)
    process.topics.create('t', {'b': 2}, PROJECT)

    # In q: what one claim holds, what a claimer who died had won, what was
    # claimed and is no more, what has expired, what is free, and what is
    # delayed. No two messages have one body.
    post('q', 'held-1', 'held-2')
    ids['claim'], _ = process.claim('q', ttl=HELD)
    post('q', 'torn')
    die_with_all_won(world, ttl=HELD)
    post('q', 'lapsed-1', 'lapsed-2')
    process.claim('q', ttl=60)
    post('limited', 'tried-1', 'tried-2')
    process.claim('limited', ttl=60)
    post('q', 'expired', ttl=60)
    world.clock.sleep(200)
    post('q', 'free-1', 'free-2', 'free-3')
    post('q', 'delayed', delay=600)
    post('limited', 'new')
    process.post('q', 'strange', project=STRANGERS)

    # A deletion that was cut short: the record of the queue is gone.
    post('half', 'forgotten')
    process.control.queue_controller.delete('half', project=PROJECT)

    ids['subscription'] = process.subscriptions.create(
        'q', 'http://one', LONG, {'x': 1}, PROJECT)
    ids['other subscription'] = process.subscriptions.create(
        'q', 'http://two', LONG, {}, PROJECT)
    process.pools.create('first', 100, 'marconi-swift://?a', flavor='gold')
    process.pools.create('second', 100, 'marconi-swift://?b', flavor='gold')
    process.flavors.create('gold', PROJECT, {'c': 3})
    process.catalogue.insert(PROJECT, 'q', 'first')


def die_with_all_won(world: World, ttl: int) -> None:
    """Claim the one message of q that is free, and die before it is told."""
    process = world.process()
    world.wire.arm(wire.DEATHS[0], wire.Lasts.DEAD, 6)
    try:
        process.claim('q', ttl=ttl)
    except wire.Died:
        world.wire.arm(None)
    else:
        raise AssertionError('It did not die.')
