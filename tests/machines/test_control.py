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
import json
from typing import Any

from hypothesis import stateful
from hypothesis import strategies
from zaqar.storage import errors

from marconi_swift import driver
from tests import machines
from tests.fixtures import clock
from tests.fixtures import conf

_NAMES = strategies.sampled_from(['a', 'b', 'b.c', 'B-1', 'c_d'])
#: Most calls are about one of them, for what they find not to be nothing.
_PROJECTS = strategies.sampled_from(
    [*['p'] * 6, None, 'None', 'p/q', 'é:%'])
_MARKERS = strategies.none() | _NAMES
_LIMITS = strategies.integers(1, 4)
_METADATA = strategies.dictionaries(
    strategies.sampled_from(['x', 'y', '_flavor']),
    strategies.sampled_from([1, True, 1, True, 'é', 'é', None, [1]]),
    max_size=2)
#: Some of which Python takes for the same.
_OPTIONS = strategies.sampled_from([{}, {'a': 1}, {'a': True}, {'a': [1]}])
#: Of values that are the same in Python and in JSON.
_FILTERS = strategies.dictionaries(
    strategies.sampled_from(['x', 'y']),
    strategies.sampled_from(['é', 'é', [1]]), max_size=1)
_SUBSCRIBERS = strategies.sampled_from(
    ['http://one', 'http://one/', 'mailto:é@two',
     'trust+http://' + 'x' * 2000])
_TTLS = strategies.sampled_from([60, 300])
_NUMBERS = strategies.integers(0, 20)


def _outcome(call: Callable[[], Any]) -> Any:
    """What a call returns, or the type of what Zaqar's API expects."""
    try:
        return _exact(call())
    except errors.ExceptionBase as error:
        return type(error)


def _exact(value: Any) -> Any:
    """What equals that of the same JSON alone: Python's 1 equals True."""
    return value if isinstance(value, type) else json.dumps(
        value, sort_keys=True)


def _page(listed: Any) -> Any:
    return _exact(list(next(listed)))


class _Machine(stateful.RuleBasedStateMachine):

    def __init__(self) -> None:
        super().__init__()
        # One process sees at once what it did itself.
        self.drivers = conf.FakeDrivers(cache_time=5)
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

    @stateful.initialize(given=strategies.lists(strategies.tuples(
        kinds_, _PROJECTS, _NAMES, _METADATA), min_size=8, max_size=15))
    def create_some(self, given: Any) -> None:
        for kind, project, name, metadata in given:
            self.create(kind, project, name, metadata)

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
        # What was looked at is remembered, and forgotten.
        self.get(kind, project, name)
        self.kinds[kind][0].delete(name, project)
        self.there.pop((kind, project, name), None)
        self.get(kind, project, name)

    @stateful.rule(kind=kinds_, project=_PROJECTS, name=_NAMES,
                   metadata=_METADATA)
    def set_metadata(
        self, kind: str, project: str, name: str, metadata: Any,
    ) -> None:
        controller, missing = self.kinds[kind]
        key = (kind, project, name)
        assert _outcome(lambda: controller.set_metadata(
            name, metadata, project)) == _exact(
                None if key in self.there else missing)
        if key in self.there:
            self.there[key] = metadata

    @stateful.rule(kind=kinds_, project=_PROJECTS, name=_NAMES,
                   mine=_METADATA, theirs=_METADATA)
    def patch(
        self, kind: str, project: str, name: str, mine: Any, theirs: Any,
    ) -> None:
        """Change metadata that somebody else changes meanwhile."""
        controller, key = self.kinds[kind][0], (kind, project, name)
        if key not in self.there:
            return
        before, merged = self.there[key], dict(theirs)
        read = controller.get_metadata(name, project)
        controller.set_metadata(name, theirs, project)
        read.clear()
        read.update(mine)
        controller.set_metadata(name, read, project)
        for each in before.keys() | mine.keys():
            if each not in mine:
                merged.pop(each, None)
            elif each not in before or (
                    _exact(before[each]) != _exact(mine[each])):
                merged[each] = mine[each]
        self.there[key] = merged

    @stateful.rule(kind=kinds_, project=_PROJECTS, name=_NAMES)
    def get(self, kind: str, project: str, name: str) -> None:
        controller, missing = self.kinds[kind]
        stored = self.there.get((kind, project, name))
        assert controller.exists(name, project) == (stored is not None)
        assert _exact(controller.get(name, project)) == _exact(stored or {})
        assert _outcome(lambda: controller.get_metadata(name, project)) == (
            _exact(missing if stored is None else stored))

    @stateful.rule(kind=kinds_, project=_PROJECTS, marker=_MARKERS,
                   limit=_LIMITS, detailed=strategies.booleans(),
                   part=strategies.none() | strategies.sampled_from('bc1'),
                   kfilter=strategies.just({}) | _FILTERS)
    def list_some(
        self, kind: str, project: str, marker: str | None, limit: int,
        detailed: bool, part: str | None, kfilter: Any,
    ) -> None:
        wanted = [
            {'name': name, **({'metadata': metadata} if detailed else {})}
            for (*of, name), metadata in sorted(
                self.there.items(), key=lambda item: item[0][2])
            if of == [kind, project] and name > (marker or '')
            and (part or '') in name
            and {**metadata, **kfilter} == metadata]
        listed = self.kinds[kind][0].list(
            project=project, marker=marker, limit=limit, detailed=detailed,
            name=part, kfilter=kfilter)
        assert _page(listed) == _exact(wanted[:limit])
        assert next(listed) == (
            wanted[:limit][-1]['name'] if wanted else None)

    @stateful.rule(project=_PROJECTS)
    def count(self, project: str) -> None:
        assert self.control.queue_controller.calculate_resource_count(
            project) == sum(key[:2] == ('queue', project)
                            for key in self.there)

    @stateful.rule()
    def list_everywhere(self) -> None:
        assert set(self.control.queue_controller.everywhere()) == {
            (project, name) for kind, project, name in self.there
            if kind == 'queue'}


class PoolMachine(_Machine):
    """Pools, flavors, and the catalogue."""

    flavors = strategies.sampled_from([None, 'gold', 'tin'])
    uris = strategies.sampled_from('abcd').map('marconi-swift://?'.__add__)

    def __init__(self) -> None:
        super().__init__()
        self.pools: dict[str, dict[str, Any]] = {}
        self.kept: dict[tuple[str | None, str], Any] = {}
        self.entries: dict[tuple[str | None, str], str] = {}

    @stateful.initialize(
        pools=strategies.lists(strategies.tuples(
            _NAMES, _NUMBERS, uris, _OPTIONS, flavors),
            min_size=5, max_size=8),
        others=strategies.lists(strategies.tuples(
            _PROJECTS, _NAMES, _METADATA, _NAMES), min_size=4, max_size=8))
    def create_some(self, pools: Any, others: Any) -> None:
        for pool in pools:
            self.create(*pool)
        for project, name, capabilities, pool in others:
            self.keep_flavor(project, name, capabilities, 'create')
            self.register(project, name, pool, 'insert')

    def taken(self, name: str, uri: str) -> bool:
        return any(pool['uri'] == uri and pool['name'] != name
                   for pool in self.pools.values())

    @stateful.rule(name=_NAMES, weight=_NUMBERS, uri=uris, options=_OPTIONS,
                   flavor=strategies.just('') | flavors)
    def create(
        self, name: str, weight: int, uri: str, options: Any,
        flavor: str | None,
    ) -> None:
        taken = self.taken(name, uri)
        assert _outcome(lambda: self.control.pools_controller.create(
            name, weight, uri, flavor, options)) == _exact(
                errors.PoolAlreadyExists if taken else None)
        if not taken:
            self.pools[name] = {'name': name, 'weight': weight, 'uri': uri,
                                'flavor': flavor or None, 'options': options}

    @stateful.rule(name=_NAMES, weight=_NUMBERS,
                   uri=strategies.none() | uris,
                   flavor=strategies.sampled_from([None, '', 'gold']),
                   options=strategies.none() | _OPTIONS)
    def update(
        self, name: str, weight: int, uri: str | None, flavor: str | None,
        options: Any,
    ) -> None:
        changes = {key: value for key, value in {
            'weight': weight, 'uri': uri, 'flavor': flavor,
            'options': options}.items() if value is not None}
        found = _outcome(lambda: self.control.pools_controller.update(
            name, **changes))
        if name not in self.pools:
            assert found is errors.PoolDoesNotExist
        elif uri and self.taken(name, uri):
            assert found is errors.PoolAlreadyExists
        else:
            assert found == _exact(None)
            self.pools[name] |= changes
            self.pools[name]['flavor'] = self.pools[name]['flavor'] or None

    @stateful.rule(name=_NAMES)
    def delete(self, name: str) -> None:
        flavor = self.pools.get(name, {}).get('flavor')
        last = flavor and sum(pool['flavor'] == flavor
                              for pool in self.pools.values()) == 1
        assert _outcome(lambda: self.control.pools_controller.delete(
            name)) == _exact(errors.PoolInUseByFlavor if last else None)
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
            _exact(self.pools.get(name, errors.PoolDoesNotExist)))
        wanted = [self.pools[each] for each in sorted(self.pools)
                  if each > (marker or '')]
        listed = controller.list(marker=marker, limit=limit, detailed=True)
        assert _page(listed) == _exact(wanted[:limit or None])
        assert next(listed) == (
            wanted[:limit or None][-1]['name'] if wanted else None)
        assert sorted(each['name'] for each in controller.get_pools_by_flavor(
            {'name': flavor})) == sorted(
                each for each, pool in self.pools.items()
                if pool['flavor'] == flavor)

    @stateful.rule(project=_PROJECTS, name=_NAMES, capabilities=_METADATA,
                   how=strategies.sampled_from(['create', 'update',
                                                'delete']))
    def keep_flavor(
        self, project: str, name: str, capabilities: Any, how: str,
    ) -> None:
        controller, key = self.control.flavors_controller, (project, name)
        given = {} if how == 'delete' else {'capabilities': capabilities}
        missing = how == 'update' and key not in self.kept
        assert _outcome(lambda: getattr(controller, how)(
            name, project=project, **given)) == _exact(
                errors.FlavorDoesNotExist if missing else None)
        if how == 'delete':
            self.kept.pop(key, None)
        elif not missing:
            self.kept[key] = capabilities

    @stateful.rule(project=_PROJECTS, name=_NAMES, marker=_MARKERS,
                   limit=_LIMITS)
    def look_at_flavors(
        self, project: str, name: str, marker: str | None, limit: int,
    ) -> None:
        controller, key = self.control.flavors_controller, (project, name)
        shown = {'name': name, 'capabilities': self.kept.get(key)}
        assert controller.exists(name, project=project) == (key in self.kept)
        assert _outcome(lambda: controller.get(
            name, project=project, detailed=True)) == _exact(
                shown if key in self.kept else errors.FlavorDoesNotExist)
        wanted = [
            {'name': each, 'capabilities': self.kept[project, each]}
            for each in sorted(each for of, each in self.kept
                               if of == project and each > (marker or ''))]
        listed = controller.list(
            project=project, marker=marker, limit=limit, detailed=True)
        assert _page(listed) == _exact(wanted[:limit])
        assert next(listed) == (
            wanted[:limit][-1]['name'] if wanted else None)

    @stateful.rule(project=_PROJECTS, name=_NAMES, pool=_NAMES,
                   how=strategies.sampled_from(['insert', 'update',
                                                'delete']))
    def register(self, project: str, name: str, pool: str, how: str) -> None:
        controller, key = self.control.catalogue_controller, (project, name)
        given = () if how == 'delete' else (pool,)
        missing = how == 'update' and key not in self.entries
        assert _outcome(lambda: getattr(controller, how)(*key, *given)) == (
            _exact(errors.QueueNotMapped if missing else None))
        if how == 'delete':
            self.entries.pop(key, None)
        elif how == 'insert':
            self.entries.setdefault(key, pool)
        elif not missing:
            self.entries[key] = pool
        assert [(each['queue'], each['pool'])
                for each in controller.list(project)] == sorted(
                    (queue, kept) for (of, queue), kept
                    in self.entries.items() if of == project)
        assert controller.exists(*key) == (key in self.entries)
        assert _outcome(lambda: controller.get(*key)['pool']) == _exact(
            self.entries.get(key, errors.QueueNotMapped))

    @stateful.rule(which=strategies.sampled_from(
        [None] * 5 + ['pools', 'flavors', 'catalogue']))
    def drop_all(self, which: str | None) -> None:
        """Now and then."""
        there: dict[str | None, dict[Any, Any]] = {
            'pools': self.pools, 'flavors': self.kept,
            'catalogue': self.entries}
        if which:
            getattr(self.control, f'{which}_controller').drop_all()
            there[which].clear()


class SubscriptionMachine(_Machine):
    """The subscriptions of queues of two projects; one is not there."""

    places = strategies.sampled_from(
        [('p', 'q'), ('p', 'q'), ('p', 'r'), ('o', 'q')])

    def __init__(self) -> None:
        super().__init__()
        self.controller = self.drivers.data.subscription_controller
        self.made: dict[tuple[tuple[str, str], str], dict[str, Any]] = {}

    @stateful.initialize(given=strategies.lists(strategies.tuples(
        places, _SUBSCRIBERS, _TTLS, _OPTIONS), min_size=4, max_size=10))
    def create_some(self, given: Any) -> None:
        for each in given:
            self.create(*each)

    @property
    def now(self) -> int:
        return int(self.clock.now)

    def there(self, place: tuple[str, str]) -> dict[str, dict[str, Any]]:
        """What a queue has, by ids: these follow the order of creation."""
        return {
            name: {**{key: value for key, value in made.items()
                      if key != 'expires'},
                   'age': self.now - (made['expires'] - made['ttl'])}
            for (of, name), made in sorted(
                self.made.items(), key=lambda item: item[0][1])
            if of == place and made['expires'] > self.now}

    def some(self, number: int) -> tuple[tuple[str, str], str]:
        """A place and an id in it, or an id that is not of that place."""
        made = list(self.made)
        there = [key for key in made if key[1] in self.there(key[0])]
        known = [*there, *there, *made[-2:], (('p', 'q'), 'malformed'),
                 (('p', 'q'), ''), *((('p', 'r'), name) for _, name
                                     in made[:1])]
        return known[number % len(known)]

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

    @stateful.rule(place=places, who=_SUBSCRIBERS, ttl=_TTLS,
                   options=_OPTIONS)
    def create(
        self, place: tuple[str, str], who: str, ttl: int, options: Any,
    ) -> None:
        project, queue = place
        has = [each['id'] for each in self.there(place).values()
               if each['subscriber'] == who]
        made = self.controller.create(
            queue, who, ttl, options, project=project)
        assert (made is None) == bool(has)
        if made:
            self.made[place, made] = {
                'id': made, 'source': queue, 'subscriber': who, 'ttl': ttl,
                'options': options, 'confirmed': False,
                'expires': self.now + ttl}

    @stateful.rule(number=_NUMBERS,
                   changes=strategies.fixed_dictionaries({}, optional={
                       'subscriber': _SUBSCRIBERS, 'ttl': _TTLS,
                       'options': _OPTIONS, 'confirmed': strategies.just(
                           True)}).filter(lambda given: set(given) & {
                               'subscriber', 'ttl', 'options'}))
    def update(self, number: int, changes: Any) -> None:
        self.change(*self.some(number), changes)

    def change(
        self, place: tuple[str, str], name: str, changes: Any,
    ) -> None:
        there = self.there(place)
        others = {each['subscriber'] for each in there.values()
                  if each['id'] != name}
        expected: Any = None
        if name not in there:
            expected = errors.SubscriptionDoesNotExist
        elif changes.get('subscriber') in others:
            expected = errors.SubscriptionAlreadyExists
        project, queue = place
        assert _outcome(lambda: self.controller.update(
            queue, name, project=project, **changes)) == _exact(expected)
        if expected is None:
            changes.pop('confirmed', None)
            self.made[place, name] |= changes
            if 'ttl' in changes:
                self.made[place, name]['expires'] = self.now + changes['ttl']

    @stateful.rule(number=_NUMBERS, confirmed=strategies.booleans())
    def confirm(self, number: int, confirmed: bool) -> None:
        place, name = self.some(number)
        project, queue = place
        there = name in self.there(place)
        assert _outcome(lambda: self.controller.confirm(
            queue, name, project=project, confirmed=confirmed)) == _exact(
                None if there else errors.SubscriptionDoesNotExist)
        if there:
            self.made[place, name]['confirmed'] = confirmed

    @stateful.rule(number=_NUMBERS)
    def delete(self, number: int) -> None:
        self.delete_one(*self.some(number))

    def delete_one(self, place: tuple[str, str], name: str) -> None:
        project, queue = place
        self.controller.delete(queue, name, project=project)
        self.made.pop((place, name), None)

    @stateful.rule(number=_NUMBERS, who=_SUBSCRIBERS)
    def get(self, number: int, who: str) -> None:
        place, name = self.some(number)
        (project, queue), there = place, self.there(place)
        missing = errors.SubscriptionDoesNotExist
        assert self.controller.exists(queue, name, project=project) == (
            name in there)
        assert _outcome(lambda: self.controller.get(
            queue, name, project=project)) == _exact(
                there.get(name, missing))
        assert _outcome(lambda: self.controller.get_with_subscriber(
            queue, who, project=project)) == _exact(next(
                (each for each in there.values()
                 if each['subscriber'] == who), missing))

    @stateful.rule(place=places, who=_SUBSCRIBERS)
    def subscribe_twice(self, place: tuple[str, str], who: str) -> None:
        """When all that is not prolonged is swept."""
        self.create(place, who, 60, {})
        [name] = [name for name, each in self.there(place).items()
                  if each['subscriber'] == who]
        self.change(place, name, {'ttl': 300})
        self.time_passes(200, True)
        self.create(place, who, 60, {})

    @stateful.rule(number=_NUMBERS, limit=_LIMITS,
                   begun=strategies.booleans(), ends=strategies.booleans())
    def list_all(
        self, number: int, limit: int, begun: bool, ends: bool,
    ) -> None:
        """Page after page, each of them full but the last.

        :param begun: not from the first, but after one that was there.
        :param ends: the next is deleted after each page.
        """
        place, name = self.some(number)
        project, queue = place
        marker = name if begun else None
        wanted = [each for name, each in self.there(place).items()
                  if name > (marker or '')]
        while True:
            listed = self.controller.list(
                queue, project=project, marker=marker, limit=limit)
            assert _page(listed) == _exact(wanted[:limit])
            marker, wanted = next(listed), wanted[limit:]
            if not marker:
                break
            if ends and wanted:
                self.delete_one(place, wanted.pop(0)['id'])
        assert not wanted


class TestRegistries(RegistryMachine.TestCase):

    settings = machines.SETTINGS


class TestPools(PoolMachine.TestCase):

    settings = machines.SETTINGS


class TestSubscriptions(SubscriptionMachine.TestCase):

    settings = machines.SETTINGS
