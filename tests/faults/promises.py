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
"""What has to be true of an account after a call that met a failure.

By what ``doc/source/admin/guarantees.rst`` promises.
"""

from collections.abc import Collection
from collections.abc import Iterator
from typing import Any
from typing import NamedTuple

from zaqar.storage import errors

from marconi_swift import names
from tests.faults import operations
from tests.faults import wire
from tests.faults import world as worlds

#: Seconds after which every claim of these tests is over.
_ALL_OVER = 10_000

#: Kinds of records that stay until somebody deletes them.
_KEPT = {'queue': 'queues', 'topic': 'topics', 'pool': 'pools',
         'flavor': 'flavors', 'entry': 'catalogue'}


class Outcome(NamedTuple):
    """What became of a call."""

    #: None if it was answered; wire.Died if nobody was left to ask.
    error: BaseException | None
    answer: Any = None


class Broken(Exception):
    """A promise was not kept; the message says which."""


def check(
    world: worlds.World, operation: operations.Operation, outcome: Outcome,
    lasts: wire.Lasts, before: worlds.State, after: worlds.State,
) -> None:
    """See that every promise was kept, now and later.

    :param before: what is seen before the call.
    :param after: what is seen after it when nothing fails.
    :raises Broken: one was not.
    """
    done = outcome.error is None
    claims = {world.ids['claim']: 'q'}
    if done and operation.claims:
        claim, messages = outcome.answer
        if claim is not None:
            claims[claim] = operation.claims
        _holds(world, operation.claims, claim, messages)
    seen = world.observe()
    _nothing_else(seen, before, after, done and not operation.takes)
    if operation.undone and not done and lasts is wire.Lasts.ONCE:
        _nothing_else(seen, before, before, done=True)
    ttl = seen.get(('claim',))
    if operation.renews and done and ttl != operation.renews:
        raise Broken(f'A claim was renewed for {operation.renews} seconds, '
                     f'and lasts {ttl}.')
    if operation.pops and done:
        _are_gone(seen, [message['body'] for message in outcome.answer])
    if operation.repeatable and not done:
        with world.aside():
            operation.call(world.process(), world.ids)
            _nothing_else(world.observe(), before, after, done=True)
    _nobody_shares(world, claims)
    world.clock.sleep(worlds.SETTLED)
    _all_claimable(world, _recorded(world))
    world.clock.sleep(_ALL_OVER)
    _all_claimable(world)
    world.clock.sleep(worlds.ENDLESS)
    _nothing_stays(world)


def _nothing_else(
    seen: worlds.State, before: worlds.State, after: worlds.State,
    done: bool,
) -> None:
    """Each thing is as before the call or as after it (P1, P2)."""
    for thing in seen.keys() | before.keys() | after.keys():
        now = seen.get(thing)
        if now != after.get(thing) and (done or now != before.get(thing)):
            raise Broken(f'{thing} is {now}, was {before.get(thing)}, and '
                         f'is to be {after.get(thing)}.')
    lost = (_bodies(before) & _bodies(after)) - _bodies(seen)
    if lost:
        raise Broken(f'{lost} is lost.')


def _holds(
    world: worlds.World, queue: str, claim: str | None,
    messages: Collection[dict[str, Any]],
) -> None:
    """A claim holds what it answered, which is nothing if it is none."""
    held = world.process().holding(queue, claim) if claim else []
    given = sorted(message['body'] for message in messages)
    if held != given:
        raise Broken(f'{given} were given, and {held} are held.')


def _are_gone(seen: worlds.State, bodies: Collection[str]) -> None:
    if left := _bodies(seen) & set(bodies):
        raise Broken(f'{left} was popped, and is still there.')


def _bodies(state: worlds.State) -> set[str]:
    return {thing[-1] for thing in state if thing[0] == 'message'}


def _nobody_shares(world: worlds.World, claims: dict[str, str]) -> None:
    """What live claims hold is given to nobody (P3, P4)."""
    process = world.process()
    for queue in ('q', 'limited'):
        rival, got = process.claim(queue)
        held = [body for claim, of in claims.items() if of == queue
                for body in process.holding(queue, claim) or ()]
        given = [message['body'] for message in got]
        if len({*held, *given}) < len(held) + len(given):
            raise Broken(f'{held} are held, and {given} were given away.')
        for message in got:
            _refuses(process, queue, message['id'], world.ids['claim'])
        if rival:
            process.claims.delete(queue, rival, worlds.PROJECT)


def _refuses(
    process: worlds.Process, queue: str, message: str, claim: str,
) -> None:
    try:
        process.messages.delete(queue, message, worlds.PROJECT, claim)
    except (errors.NotPermitted, errors.ClaimDoesNotExist):
        return
    raise Broken(f'{message} was deleted with the claim of another.')


def _recorded(world: worlds.World) -> dict[str, str]:
    """The queue of each claim, also of those that nobody was told of."""
    return {
        place.rpartition('/')[2]: queue for place in world.objects()
        for queue in worlds.QUEUES if place.startswith(
            f'{names.claims("marconi", worlds.PROJECT, queue)}/claim/')}


def _all_claimable(
    world: worlds.World, claims: dict[str, str] | None = None,
) -> None:
    """Whatever no live claim holds, and is not delayed, is free (P5).

    :param claims: None when nothing is claimed or delayed any more.
    """
    process = world.process()
    held = {body for claim, queue in (claims or {}).items()
            for body in process.holding(queue, claim) or ()}
    there = {body for queue in worlds.QUEUES for body in
             process.bodies(queue)} - held
    if claims is not None:
        there.discard('delayed')
    given = {body for queue in worlds.QUEUES
             for body in _drained(process, queue)}
    if given != there:
        raise Broken(f'{there} are free, and {given} can be claimed.')


def _drained(process: worlds.Process, queue: str) -> Iterator[str]:
    """Bodies of all that can be claimed, which is released then."""
    claims = []
    while True:
        claim, messages = process.claim(queue)
        if claim is None:
            break
        claims.append(claim)
        yield from (message['body'] for message in messages)
    for claim in claims:
        process.claims.delete(queue, claim, worlds.PROJECT)


def _nothing_stays(world: worlds.World) -> None:
    """When all is over, only what somebody made for good is left (P7)."""
    world.process().data.gc()
    seen = world.observe()
    things = sorted(thing[0] for thing in seen if thing[0] in _KEPT)
    kinds = {f'marconi:{kind}': thing for thing, kind in _KEPT.items()}
    left = sorted(kinds.get(name.partition('/')[0], name)
                  for name in world.objects())
    if left != things:
        raise Broken(f'{things} are known, and {left} are left.')
    for container in world.containers():
        place = names.parse_container('marconi', container)
        if place and place.name is not None:
            kind = 'topic' if place.kind == names.TOPIC else 'queue'
            if (kind, place.project, place.name) not in seen:
                raise Broken(f'{container} is left.')
