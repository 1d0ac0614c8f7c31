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
"""The control plane and subscriptions, beside dictionaries."""

from collections.abc import Callable
from typing import Any

from hypothesis import stateful
from hypothesis import strategies
from zaqar.storage import errors

from marconi_swift import driver
from tests import machines
from tests.fixtures import clock
from tests.fixtures import conf

_NAMES = strategies.sampled_from(['a', 'b', 'b.c', 'B-1', 'c_d'])
_PROJECTS = strategies.sampled_from([None, 'None', 'p', 'p/q', 'é:%'])
_MARKERS = strategies.none() | _NAMES
_LIMITS = strategies.integers(1, 4)
_METADATA = strategies.dictionaries(
    strategies.sampled_from(['x', 'y', '_flavor']),
    strategies.sampled_from([1, True, 'é', None, [1], {'z': 2}]), max_size=2)
_SUBSCRIBERS = strategies.sampled_from(
    ['http://one', 'http://one/', 'mailto:é@two',
     'trust+http://' + 'x' * 2000])
_TTLS = strategies.sampled_from([60, 300])
_NUMBERS = strategies.integers(0, 20)


def _outcome(call: Callable[[], Any]) -> Any:
    """What a call returns, or the type of what Zaqar's API expects."""
    try:
        return call()
    except errors.ExceptionBase as error:
        return type(error)


def _page(listed: Any) -> list[Any]:
    return list(next(listed))


class _Machine(stateful.RuleBasedStateMachine):

    def __init__(self) -> None:
        super().__init__()
        self.drivers = conf.FakeDrivers(cache_time=0)
        self.drivers.setUp()
        self.clock = clock.Clock()
        self.clock.setUp()
        self.drivers.swift.clock = self.clock
        self.control = self.drivers.control

    def teardown(self) -> None:
        self.clock.cleanUp()
        self.drivers.cleanUp()


class RegistryMachine(_Machine):
    """Queues and topics of several projects; which of them share nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.kinds = {
            'queue': (self.control.queue_controller,
                      errors.QueueDoesNotExist),
            'topic': (self.control.topic_controller,
                      errors.TopicDoesNotExist)}
        self.there: dict[tuple[str, str | None, str], dict[str, Any]] = {}

    kinds_ = strategies.sampled_from(['queue', 'topic'])

    @stateful.rule(kind=kinds_, project=_PROJECTS, name=_NAMES,
                   metadata=_METADATA)
    def create(
        self, kind: str, project: str, name: str, metadata: Any,
    ) -> None:
        key = (kind, project, name)
        assert self.kinds[kind][0].create(name, metadata, project) == (
            key not in self.there)
        self.there.setdefault(key, metadata)

    @stateful.rule(kind=kinds_, project=_PROJECTS, name=_NAMES)
    def delete(self, kind: str, project: str, name: str) -> None:
        self.kinds[kind][0].delete(name, project)
        self.there.pop((kind, project, name), None)

    @stateful.rule(kind=kinds_, project=_PROJECTS, name=_NAMES,
                   metadata=_METADATA)
    def set_metadata(
        self, kind: str, project: str, name: str, metadata: Any,
    ) -> None:
        controller, missing = self.kinds[kind]
        key = (kind, project, name)
        assert _outcome(lambda: controller.set_metadata(
            name, metadata, project)) == (
                None if key in self.there else missing)
        if key in self.there:
            self.there[key] = metadata

    @stateful.rule(kind=kinds_, project=_PROJECTS, name=_NAMES)
    def get(self, kind: str, project: str, name: str) -> None:
        controller, missing = self.kinds[kind]
        stored = self.there.get((kind, project, name))
        assert controller.exists(name, project) == (stored is not None)
        assert controller.get(name, project) == (stored or {})
        assert _outcome(lambda: controller.get_metadata(name, project)) == (
            missing if stored is None else stored)

    @stateful.rule(kind=kinds_, project=_PROJECTS, marker=_MARKERS,
                   limit=_LIMITS, detailed=strategies.booleans(),
                   part=strategies.none() | strategies.sampled_from('bc1'))
    def list_some(
        self, kind: str, project: str, marker: str | None, limit: int,
        detailed: bool, part: str | None,
    ) -> None:
        wanted = [
            {'name': name, **({'metadata': metadata} if detailed else {})}
            for (_, _, name), metadata in sorted(
                (key, metadata) for key, metadata in self.there.items()
                if key[:2] == (kind, project)
                and key[2] > (marker or '') and (part or '') in key[2])]
        listed = self.kinds[kind][0].list(
            project=project, marker=marker, limit=limit, detailed=detailed,
            name=part)
        assert _page(listed) == wanted[:limit]
        assert next(listed) == (
            wanted[:limit][-1]['name'] if wanted else None)

    @stateful.rule(project=_PROJECTS)
    def count(self, project: str) -> None:
        assert self.control.queue_controller.calculate_resource_count(
            project) == sum(key[:2] == ('queue', project)
                            for key in self.there)


class PoolMachine(_Machine):
    """Pools, flavors, and the catalogue."""

    flavors = strategies.sampled_from([None, 'gold', 'tin'])
    uris = strategies.sampled_from('abcd').map('marconi-swift://?'.__add__)

    def __init__(self) -> None:
        super().__init__()
        self.pools: dict[str, dict[str, Any]] = {}
        self.kept: dict[tuple[str | None, str], Any] = {}
        self.entries: dict[tuple[str | None, str], str] = {}

    def taken(self, name: str, uri: str) -> bool:
        return any(pool['uri'] == uri and pool['name'] != name
                   for pool in self.pools.values())

    @stateful.rule(name=_NAMES, weight=_NUMBERS, uri=uris, flavor=flavors)
    def create(
        self, name: str, weight: int, uri: str, flavor: str | None,
    ) -> None:
        taken = self.taken(name, uri)
        assert _outcome(lambda: self.control.pools_controller.create(
            name, weight, uri, flavor, {})) == (
                errors.PoolAlreadyExists if taken else None)
        if not taken:
            self.pools[name] = {'name': name, 'weight': weight, 'uri': uri,
                                'flavor': flavor, 'options': {}}

    @stateful.rule(name=_NAMES, weight=_NUMBERS,
                   uri=strategies.none() | uris,
                   flavor=strategies.sampled_from([None, '', 'gold']))
    def update(
        self, name: str, weight: int, uri: str | None, flavor: str | None,
    ) -> None:
        changes = {key: value for key, value in {
            'weight': weight, 'uri': uri, 'flavor': flavor}.items()
            if value is not None}
        found = _outcome(lambda: self.control.pools_controller.update(
            name, **changes))
        if name not in self.pools:
            assert found is errors.PoolDoesNotExist
        elif uri and self.taken(name, uri):
            assert found is errors.PoolAlreadyExists
        else:
            assert found is None
            self.pools[name] |= changes
            self.pools[name]['flavor'] = self.pools[name]['flavor'] or None

    @stateful.rule(name=_NAMES)
    def delete(self, name: str) -> None:
        flavor = self.pools.get(name, {}).get('flavor')
        last = flavor and sum(pool['flavor'] == flavor
                              for pool in self.pools.values()) == 1
        assert _outcome(lambda: self.control.pools_controller.delete(
            name)) == (errors.PoolInUseByFlavor if last else None)
        if not last:
            self.pools.pop(name, None)

    @stateful.rule(name=_NAMES, marker=_MARKERS,
                   limit=strategies.integers(0, 4), flavor=flavors)
    def look(
        self, name: str, marker: str | None, limit: int, flavor: str | None,
    ) -> None:
        controller = self.control.pools_controller
        assert controller.exists(name) == (name in self.pools)
        assert _outcome(lambda: controller.get(name, detailed=True)) == (
            self.pools.get(name, errors.PoolDoesNotExist))
        wanted = [self.pools[each] for each in sorted(self.pools)
                  if each > (marker or '')]
        assert _page(controller.list(
            marker=marker, limit=limit, detailed=True)) == (
                wanted[:limit or None])
        assert sorted(each['name'] for each in controller.get_pools_by_flavor(
            {'name': flavor})) == sorted(
                each for each, pool in self.pools.items()
                if pool['flavor'] == flavor)

    @stateful.rule(project=_PROJECTS, name=_NAMES, capabilities=_METADATA,
                   gone=strategies.booleans())
    def keep_flavor(
        self, project: str, name: str, capabilities: Any, gone: bool,
    ) -> None:
        controller = self.control.flavors_controller
        if gone:
            controller.delete(name, project=project)
            self.kept.pop((project, name), None)
        else:
            controller.create(name, project=project,
                              capabilities=capabilities)
            self.kept[project, name] = capabilities
        assert _page(controller.list(
            project=project, limit=10, detailed=True)) == [
                {'name': each, 'capabilities': self.kept[project, each]}
                for each in sorted(name for of, name in self.kept
                                   if of == project)]

    @stateful.rule(project=_PROJECTS, name=_NAMES, pool=_NAMES,
                   how=strategies.sampled_from(['insert', 'update',
                                                'delete']))
    def register(self, project: str, name: str, pool: str, how: str) -> None:
        controller, key = self.control.catalogue_controller, (project, name)
        given = () if how == 'delete' else (pool,)
        missing = how == 'update' and key not in self.entries
        assert _outcome(lambda: getattr(controller, how)(*key, *given)) == (
            errors.QueueNotMapped if missing else None)
        if how == 'delete':
            self.entries.pop(key, None)
        elif not missing:
            self.entries[key] = pool
        assert [(each['queue'], each['pool'])
                for each in controller.list(project)] == sorted(
                    (queue, kept) for (of, queue), kept
                    in self.entries.items() if of == project)
        assert controller.exists(*key) == (key in self.entries)


class SubscriptionMachine(_Machine):
    """The subscriptions of two queues, one of which is not there."""

    queues = strategies.sampled_from(['q', 'r'])

    def __init__(self) -> None:
        super().__init__()
        self.controller = self.drivers.data.subscription_controller
        self.made: dict[tuple[str, str], dict[str, Any]] = {}

    @property
    def now(self) -> int:
        return int(self.clock.now)

    def there(self, queue: str) -> dict[str, dict[str, Any]]:
        """What a queue has, by ids: these follow the order of creation."""
        return {
            name: {**{key: value for key, value in made.items()
                      if key != 'expires'},
                   'age': self.now - (made['expires'] - made['ttl'])}
            for (of, name), made in sorted(self.made.items())
            if of == queue and made['expires'] > self.now}

    def some(self, number: int) -> str:
        ids = [*(name for _, name in self.made), '', 'malformed']
        return ids[number % len(ids)]

    @stateful.rule(seconds=strategies.sampled_from([1, 59, 60, 300]),
                   swept=strategies.booleans())
    def time_passes(self, seconds: int, swept: bool) -> None:
        self.clock.sleep(seconds)
        if swept:
            self.drivers.swift.expire()

    @stateful.rule()
    def another_process(self) -> None:
        self.controller = driver.DataDriver(
            self.drivers.conf, None, self.control).subscription_controller

    @stateful.rule(queue=queues, who=_SUBSCRIBERS, ttl=_TTLS,
                   options=_METADATA)
    def create(self, queue: str, who: str, ttl: int, options: Any) -> None:
        has = [each['id'] for each in self.there(queue).values()
               if each['subscriber'] == who]
        made = self.controller.create(queue, who, ttl, options, project='p')
        assert (made is None) == bool(has)
        if made:
            self.made[queue, made] = {
                'id': made, 'source': queue, 'subscriber': who, 'ttl': ttl,
                'options': options, 'confirmed': False,
                'expires': self.now + ttl}
        assert self.controller.get_with_subscriber(
            queue, who, project='p')['id'] == (made or has[0])

    @stateful.rule(queue=queues, number=_NUMBERS,
                   changes=strategies.fixed_dictionaries({}, optional={
                       'subscriber': _SUBSCRIBERS, 'ttl': _TTLS,
                       'options': _METADATA, 'confirmed': strategies.just(
                           True)}).filter(lambda given: set(given) & {
                               'subscriber', 'ttl', 'options'}))
    def update(self, queue: str, number: int, changes: Any) -> None:
        name, there = self.some(number), self.there(queue)
        others = {each['subscriber'] for each in there.values()
                  if each['id'] != name}
        expected: Any = None
        if name not in there:
            expected = errors.SubscriptionDoesNotExist
        elif changes.get('subscriber') in others:
            expected = errors.SubscriptionAlreadyExists
        assert _outcome(lambda: self.controller.update(
            queue, name, project='p', **changes)) == expected
        if expected is None:
            changes.pop('confirmed', None)
            self.made[queue, name] |= changes
            if 'ttl' in changes:
                self.made[queue, name]['expires'] = self.now + changes['ttl']

    @stateful.rule(queue=queues, number=_NUMBERS,
                   confirmed=strategies.booleans())
    def confirm(self, queue: str, number: int, confirmed: bool) -> None:
        name = self.some(number)
        there = name in self.there(queue)
        assert _outcome(lambda: self.controller.confirm(
            queue, name, project='p', confirmed=confirmed)) == (
                None if there else errors.SubscriptionDoesNotExist)
        if there:
            self.made[queue, name]['confirmed'] = confirmed

    @stateful.rule(queue=queues, number=_NUMBERS)
    def delete(self, queue: str, number: int) -> None:
        name = self.some(number)
        self.controller.delete(queue, name, project='p')
        self.made.pop((queue, name), None)

    @stateful.rule(queue=queues, number=_NUMBERS, limit=_LIMITS)
    def look(self, queue: str, number: int, limit: int) -> None:
        name, there = self.some(number), self.there(queue)
        assert self.controller.exists(queue, name, project='p') == (
            name in there)
        assert _outcome(lambda: self.controller.get(
            queue, name, project='p')) == there.get(
                name, errors.SubscriptionDoesNotExist)
        found: list[Any] = []
        marker = None
        while True:
            listed = self.controller.list(
                queue, project='p', marker=marker, limit=limit)
            found += _page(listed)
            marker = next(listed)
            if not marker:
                break
        assert found == list(there.values())


class TestRegistries(RegistryMachine.TestCase):

    settings = machines.SETTINGS


class TestPools(PoolMachine.TestCase):

    settings = machines.SETTINGS


class TestSubscriptions(SubscriptionMachine.TestCase):

    settings = machines.SETTINGS
