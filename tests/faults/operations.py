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
"""Everything that Zaqar asks of this driver: one line for each call.

Each is made in the account that :mod:`tests.faults.world` furnishes, by a
process that has read nothing yet. To add a call, add a line here: what may
be seen of it after a failure follows from what is seen before and after it
when nothing fails.
"""

from collections.abc import Callable
from collections.abc import Iterator
import re
from typing import Any
from typing import NamedTuple

from zaqar.storage import errors

from tests.faults import world

Ids = dict[str, str]
P = world.PROJECT

_CLAIM = {'ttl': 300, 'grace': 60}

_ID = re.compile(r'[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f-]{17}')

#: What says when something was done; a retry makes that later.
_TIMES = frozenset({'age', 'created', 'seconds', 'ref'})


class Operation(NamedTuple):
    """One call.

    :param undone: when it is refused, nothing of it is left.
    :param claims: the queue of whose messages its answer is a claim.
    :param pops: it answers what it took out, as much as it could.
    :param renews: the ttl that it gives the claim that is there.
    """

    call: Callable[[world.Process, Ids], Any]
    undone: bool = False
    claims: str = ''
    pops: bool = False
    renews: int = 0

    @property
    def takes(self) -> bool:
        """Whether it answers what could be had, and may leave the rest."""
        return bool(self.claims or self.pops)

    @property
    def repeatable(self) -> bool:
        """Whether calling it again completes what failed."""
        return not (self.takes or self.undone)


OPERATIONS = {
    # Messages
    'post': Operation(
        lambda p, ids: p.post('q', 'new-1', 'new-2', 'new-3'), undone=True),
    'post where nothing is yet': Operation(
        lambda p, ids: p.post('lazy', 'new-1', 'new-2'), undone=True),
    'post to no queue': Operation(
        lambda p, ids: _refused(p.post, 'none', 'new-1'), undone=True),
    'list messages': Operation(
        lambda p, ids: p.messages.list('q', P, limit=3, echo=True)),
    'list on from a marker': Operation(
        lambda p, ids: p.messages.list('q', P, ids['free-1'], echo=True)),
    'first': Operation(lambda p, ids: p.messages.first('q', P, -1)),
    'get a message': Operation(
        lambda p, ids: p.messages.get('q', ids['held-1'], P)),
    'get messages': Operation(
        lambda p, ids: p.messages.bulk_get('q', list(ids.values()), P)),
    'delete a free message': Operation(
        lambda p, ids: p.messages.delete('q', ids['free-2'], P)),
    'delete a claimed message': Operation(
        lambda p, ids: p.messages.delete('q', ids['held-1'], P,
                                         ids['claim'])),
    'delete what another claimed': Operation(
        lambda p, ids: _refused(p.messages.delete, 'q', ids['held-1'], P)),
    'delete messages': Operation(
        lambda p, ids: p.messages.bulk_delete(
            'q', [ids['held-1'], ids['free-1'], ids['torn']], P)),
    'delete messages of a claim': Operation(
        lambda p, ids: p.messages.bulk_delete(
            'q', [ids['held-1'], ids['held-2']], P, [ids['claim']])),
    'pop': Operation(lambda p, ids: p.messages.pop('q', 4, P), pops=True),
    # Claims
    'claim': Operation(
        lambda p, ids: p.claims.create('q', _CLAIM, P, 100), claims='q'),
    'claim one': Operation(
        lambda p, ids: p.claims.create('q', _CLAIM, P, 1), claims='q'),
    'claim what is to be buried': Operation(
        lambda p, ids: p.claims.create('limited', _CLAIM, P, 2),
        claims='limited'),
    'claim nothing': Operation(
        lambda p, ids: p.claims.create('lazy', _CLAIM, P)),
    'get a claim': Operation(
        lambda p, ids: p.claims.get('q', ids['claim'], P)),
    'renew a claim': Operation(
        lambda p, ids: p.claims.update(
            'q', ids['claim'], {'ttl': 5000, 'grace': 60}, P), renews=5000),
    'shorten a claim': Operation(
        lambda p, ids: p.claims.update('q', ids['claim'], _CLAIM, P),
        renews=300),
    'release a claim': Operation(
        lambda p, ids: p.claims.delete('q', ids['claim'], P)),
    # Subscriptions
    'subscribe': Operation(
        lambda p, ids: p.subscriptions.create('q', 'http://3', 600, {}, P)),
    'subscribe to no queue': Operation(
        lambda p, ids: p.subscriptions.create('no', 'http://3', 600, {}, P)),
    'subscribe again': Operation(
        lambda p, ids: p.subscriptions.create('q', 'http://one', 6, {}, P)),
    'list subscriptions': Operation(
        lambda p, ids: p.subscriptions.list('q', P)),
    'get a subscription': Operation(
        lambda p, ids: p.subscriptions.get('q', ids['subscription'], P)),
    'get a subscriber': Operation(
        lambda p, ids: p.subscriptions.get_with_subscriber(
            'q', 'http://one', P)),
    'look for a subscription': Operation(
        lambda p, ids: p.subscriptions.exists('q', ids['subscription'], P)),
    'confirm': Operation(
        lambda p, ids: p.subscriptions.confirm('q', ids['subscription'], P)),
    'renew a subscription': Operation(
        lambda p, ids: p.subscriptions.update(
            'q', ids['subscription'], P, ttl=50_000)),
    'change options': Operation(
        lambda p, ids: p.subscriptions.update(
            'q', ids['subscription'], P, options={'y': 1})),
    'change a subscriber': Operation(
        lambda p, ids: p.subscriptions.update(
            'q', ids['subscription'], P, subscriber='http://3')),
    'take the subscriber of another': Operation(
        lambda p, ids: _refused(
            p.subscriptions.update, 'q', ids['subscription'], P,
            subscriber='http://two')),
    'unsubscribe': Operation(
        lambda p, ids: p.subscriptions.delete('q', ids['subscription'], P)),
    # Queues
    'create a queue': Operation(
        lambda p, ids: p.queues.create('new', {'n': 1}, P)),
    'create a queue again': Operation(
        lambda p, ids: p.queues.create('q', {'n': 1}, P)),
    'create a queue of which something is left': Operation(
        lambda p, ids: p.control.queue_controller.create('half', {}, P)),
    'delete a queue': Operation(lambda p, ids: p.queues.delete('q', P)),
    'delete a queue that is half gone': Operation(
        lambda p, ids: p.queues.delete('half', P)),
    'delete no queue': Operation(lambda p, ids: p.queues.delete('none', P)),
    'list queues': Operation(lambda p, ids: p.queues.list(P)),
    'list queues in detail': Operation(
        lambda p, ids: p.queues.list(P, detailed=True)),
    'get a queue': Operation(lambda p, ids: p.queues.get('q', P)),
    'look for a queue': Operation(lambda p, ids: p.queues.exists('q', P)),
    'get metadata': Operation(lambda p, ids: p.queues.get_metadata('q', P)),
    'set metadata': Operation(
        lambda p, ids: p.queues.set_metadata('q', {'a': 2}, P)),
    'count queues': Operation(
        lambda p, ids: p.queues.calculate_resource_count(P)),
    'stats of a queue': Operation(lambda p, ids: p.queues.stats('q', P)),
    # Topics
    'create a topic': Operation(
        lambda p, ids: p.topics.create('new', {'n': 1}, P)),
    'delete a topic': Operation(lambda p, ids: p.topics.delete('t', P)),
    'list topics': Operation(lambda p, ids: p.topics.list(P)),
    'get a topic': Operation(lambda p, ids: p.topics.get('t', P)),
    'set metadata of a topic': Operation(
        lambda p, ids: p.topics.set_metadata('t', {'b': 3}, P)),
    'stats of a topic': Operation(lambda p, ids: p.topics.stats('t', P)),
    # Pools, flavors and the catalogue
    'create a pool': Operation(
        lambda p, ids: p.pools.create('new', 1, 'marconi-swift://?c')),
    'create a pool of a taken URI': Operation(
        lambda p, ids: _refused(
            p.pools.create, 'new', 1, 'marconi-swift://?a')),
    'change a pool': Operation(
        lambda p, ids: p.pools.update('first', weight=5, options={'o': 1})),
    'delete a pool': Operation(lambda p, ids: p.pools.delete('first')),
    'get a pool': Operation(lambda p, ids: p.pools.get('first', True)),
    'look for a pool': Operation(lambda p, ids: p.pools.exists('first')),
    'list pools': Operation(lambda p, ids: p.pools.list(limit=0)),
    'pools of a flavor': Operation(
        lambda p, ids: p.pools.get_pools_by_flavor({'name': 'gold'})),
    'capabilities of a pool': Operation(
        lambda p, ids: p.pools.capabilities(name='first')),
    'drop all pools': Operation(lambda p, ids: p.pools.drop_all()),
    'create a flavor': Operation(
        lambda p, ids: p.flavors.create('new', P, {'d': 1})),
    'change a flavor': Operation(
        lambda p, ids: p.flavors.update('gold', P, {'d': 1})),
    'delete a flavor': Operation(lambda p, ids: p.flavors.delete('gold', P)),
    'get a flavor': Operation(lambda p, ids: p.flavors.get('gold', P)),
    'look for a flavor': Operation(
        lambda p, ids: p.flavors.exists('gold', P)),
    'list flavors': Operation(lambda p, ids: p.flavors.list(P)),
    'drop all flavors': Operation(lambda p, ids: p.flavors.drop_all()),
    'register a queue': Operation(
        lambda p, ids: p.catalogue.insert(P, 'new', 'first')),
    'move a queue': Operation(
        lambda p, ids: p.catalogue.update(P, 'q', 'second')),
    'forget a queue': Operation(lambda p, ids: p.catalogue.delete(P, 'q')),
    'where a queue is': Operation(lambda p, ids: p.catalogue.get(P, 'q')),
    'look for an entry': Operation(
        lambda p, ids: p.catalogue.exists(P, 'q')),
    'list the catalogue': Operation(lambda p, ids: p.catalogue.list(P)),
    'drop the catalogue': Operation(lambda p, ids: p.catalogue.drop_all()),
    # The driver itself
    'sweep': Operation(lambda p, ids: p.data.gc()),
    'health': Operation(lambda p, ids: p.data.health()),
    'alive': Operation(lambda p, ids: p.data.is_alive()),
}


def _refused(call: Callable[..., Any], *args: Any, **kwargs: Any) -> str:
    """Make a call that is to be refused, and not by Swift.

    What is raised for what Swift does is raised here, too.
    """
    try:
        call(*args, **kwargs)
    except errors.ConnectionError:
        raise
    except errors.ExceptionBase as error:
        return type(error).__name__
    raise AssertionError('It was not refused.')


def read(answer: Any) -> Any:
    """An answer with all of its cursors read."""
    if isinstance(answer, dict):
        return {key: read(value) for key, value in answer.items()}
    if isinstance(answer, (list, tuple, Iterator)):
        return [read(each) for each in answer]
    return answer


def plain(answer: Any, *, ids: bool = False) -> Any:
    """An answer that was read, as far as it is the same each time.

    :param ids: also what tells one message, claim or subscription from
        another.
    """
    if isinstance(answer, dict):
        return {key: plain(value, ids=ids) for key, value in answer.items()
                if key not in _TIMES}
    if isinstance(answer, str):
        return answer if ids else _ID.sub('<id>', answer)
    if isinstance(answer, list):
        return [plain(each, ids=ids) for each in answer]
    return answer
