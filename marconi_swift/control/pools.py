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
"""Pools: the message stores that queues can be in (2014's "shards").

========================  ===============================================
container                 ``<prefix>:pools``
object                    ``:<name>``
body                      ``{"v": 1, "name", "uri", "weight", "flavor",
                          "options"}``
========================  ===============================================
"""

from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
import itertools
from typing import Any

from oslo_config import cfg
from zaqar import storage
from zaqar.common import utils
from zaqar.storage import errors

from marconi_swift import acceptable
from marconi_swift import names
from marconi_swift import options as our_options
from marconi_swift.control import openings
from marconi_swift.control import registry

_FIELDS = ('uri', 'weight', 'flavor', 'options')


class InvalidOptions(errors.PoolCapabilitiesMismatch):
    """What Zaqar answers 400 to, and shows why, when a pool is made.

    To a change it answers 500, with the reason too.
    """

    msg_format = '{message}'

    def __init__(self, message: str) -> None:
        super().__init__(message=message)


class PoolsController(storage.PoolsBase):
    """See :class:`zaqar.storage.base.PoolsBase`."""

    def __init__(self, driver: Any) -> None:
        super().__init__(driver)
        self._registry: registry.Registry = driver.registry('pools')
        self._openings: openings.Openings = driver.openings

    def _list(
        self, marker: str | None = None,
        limit: int = storage.DEFAULT_POOLS_PER_PAGE, detailed: bool = False,
    ) -> Iterator[Any]:
        """Yield the page by name, then the marker of the next one.

        :param limit: 0 for all of them.
        """
        found = list(itertools.islice(
            self._all(marker, limit), limit or None))
        yield (_shown(pool, detailed) for pool in found)
        yield found[-1]['name'] if found else None

    def _create(
        self, name: str, weight: int, uri: str, flavor: str | None = None,
        options: dict[str, Any] | None = None,
    ) -> None:
        """Register a pool, or replace the one of that name.

        :raises zaqar.storage.errors.PoolAlreadyExists: another pool has that
            URI.
        :raises InvalidOptions: they could not be shown, or this driver can
            not work with them.
        """
        _check({'uri': uri, 'flavor': flavor, 'options': options or {}})
        self._check_uri(name, uri)
        self._registry.replace(_key(name), {
            'name': name, 'weight': weight, 'uri': uri,
            'flavor': flavor or None, 'options': options or {}})

    def _get(self, name: str, detailed: bool = False) -> dict[str, Any]:
        """Return a pool, which this thread may open next.

        :raises zaqar.storage.errors.PoolDoesNotExist: there is none.
        """
        pool = self._load(name)
        self._openings.expect(pool)
        return _shown(pool, detailed)

    def _get_pools_by_flavor(
        self, flavor: dict[str, Any] | None = None, detailed: bool = False,
    ) -> Iterable[dict[str, Any]]:
        """Return the pools of a flavor, or those of none.

        Also for a flavor without a name: with it, Zaqar asks which pools a
        new one of no flavor must be like.
        """
        wanted = (flavor or {}).get('name')
        return [_shown(pool, detailed) for pool in self._all()
                if pool['flavor'] == wanted]

    def _exists(self, name: str) -> bool:
        # Zaqar's API of flavors asks for whatever it is given.
        return isinstance(name, str) and self._registry.exists(_key(name))

    def _delete(self, name: str) -> None:
        """Forget a pool; what is stored in it stays there.

        :raises zaqar.storage.errors.PoolInUseByFlavor: it is the last one of
            its flavor.
        """
        pool = self._registry.read(_key(name))
        if pool is None:
            return
        flavor = pool['flavor']
        if flavor is not None and all(
                other['name'] == name
                for other in self._get_pools_by_flavor({'name': flavor})):
            raise errors.PoolInUseByFlavor(name, flavor)
        self._registry.delete(_key(name))

    def _update(self, name: str, **kwargs: Any) -> None:
        """Change some of its fields; an empty flavor means none.

        :raises AssertionError: no field is given that a pool has.
        :raises zaqar.storage.errors.PoolDoesNotExist: there is none.
        :raises zaqar.storage.errors.PoolAlreadyExists: another pool has that
            URI.
        :raises InvalidOptions: as :meth:`create`.
        """
        changes = {field: kwargs[field] for field in _FIELDS
                   if kwargs.get(field) is not None}
        if not changes:
            raise AssertionError(
                f'None of {", ".join(_FIELDS)} is given for pool {name}.')
        pool = self._load(name)
        _check({**pool, **changes})
        if 'uri' in changes:
            self._check_uri(name, changes['uri'])
        if 'flavor' in changes:
            changes['flavor'] = changes['flavor'] or None
        self._registry.replace(_key(name), {**pool, **changes})

    def _drop_all(self) -> None:
        self._registry.drop_all()

    def _load(self, name: str) -> dict[str, Any]:
        pool = self._registry.read(_key(name))
        if pool is None:
            raise errors.PoolDoesNotExist(name)
        return pool

    def _all(
        self, marker: str | None = None, limit: int = 0,
    ) -> Iterator[dict[str, Any]]:
        sized = {'first': limit} if limit else {}
        for _, pool in self._registry.records(
                '', _key(marker) if marker else '', **sized):
            yield pool

    def _check_uri(self, name: str, uri: str) -> None:
        for pool in self._all():
            if pool['uri'] == uri and pool['name'] != name:
                raise errors.PoolAlreadyExists()


def _check(pool: Mapping[str, Any]) -> None:
    """Refuse a pool that could not be shown, or opened by Zaqar or us."""
    try:
        for field in ('uri', 'flavor'):
            acceptable.check(pool[field], f'the {field} of a pool')
        for name, value in pool['options'].items():
            acceptable.check(
                {name: value}, f'{name!a} in the options of a pool')
        _check_options(pool['options'])
        if pool['uri'].partition(':')[0] == our_options.SCHEME:
            # The configuration of a process, out of which a pool is tried,
            # replaces it and what follows.
            if '$' in pool['uri']:
                raise InvalidOptions(
                    'A $ in the uri of a pool must be written as %24.')
            our_options.check_pool(pool['options'])
    except acceptable.Unacceptable as exc:
        raise InvalidOptions(str(exc)) from exc
    except our_options.InvalidConfiguration as exc:
        raise InvalidOptions(str(exc)) from exc


def _check_options(given: Mapping[str, Any]) -> None:
    """Refuse options that Zaqar can not make options of its own of.

    It does so for each pool that it opens, whatever driver that is of.
    """
    conf = cfg.ConfigOpts()
    for name, value in given.items():
        try:
            conf.register_opts(utils.dict_to_conf({name: value}), 'pool')
        except (KeyError, ValueError, cfg.DuplicateOptError) as exc:
            raise InvalidOptions(
                f'Zaqar could not open a pool with {name!a} in its options: '
                'it is null, or its name begins with _, or is another one '
                'with - for _.') from exc


def _key(name: str) -> str:
    return names.scoped(None, name)


def _shown(pool: dict[str, Any], detailed: bool) -> dict[str, Any]:
    """A pool as Zaqar wants it."""
    shown = {key: pool[key] for key in ('name', 'uri', 'weight', 'flavor')}
    return {**shown, 'options': pool['options']} if detailed else shown
