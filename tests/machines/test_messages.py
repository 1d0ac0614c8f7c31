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
"""Messages and claims, beside the model of a queue."""

from typing import Any

from hypothesis import stateful
from hypothesis import strategies
from zaqar.storage import errors
from zaqar.storage import pipeline

from marconi_swift.data import contention
from tests import machines
from tests.fixtures import clock
from tests.fixtures import conf
from tests.machines import model

_MAX_CLAIMS, _DEAD_TTL = 2, 100
_METADATA = {'_max_claim_count': _MAX_CLAIMS, '_dead_letter_queue': 'dead',
             '_dead_letter_queue_messages_ttl': _DEAD_TTL}

_CLIENTS = strategies.sampled_from(['one client', 'two client'])
_LIMITS = strategies.integers(1, 6)
_TTLS = strategies.sampled_from([1, 60, 61, 300])
_GRACES = strategies.sampled_from([0, 1, 60])
_NOT_THERE = ['', 'malformed', '0' * 8, '01936c2e-0000-7000-8000-000000000000']
_SECONDS = strategies.sampled_from([1, 2, 8, 59, 60, 400])
_NUMBERS = strategies.integers(0, 30)


def _something(machine: 'MessageMachine') -> bool:
    return bool(machine.model.alive(machine.now))


def _some_claim(machine: 'MessageMachine') -> bool:
    return bool(machine.all_claims)


class MessageMachine(stateful.RuleBasedStateMachine):
    """One queue, its dead letter queue, two clients, and time."""

    def __init__(self) -> None:
        super().__init__()
        self.drivers = conf.FakeDrivers(clock_skew=model.SKEW)
        self.drivers.setUp()
        self.clock = clock.Clock()
        self.clock.setUp()
        self.drivers.swift.clock = self.clock
        self.messages = self.drivers.data.message_controller
        self.claims = self.drivers.data.claim_controller
        self.queues = pipeline.DataDriver(
            self.drivers.conf, self.drivers.data, self.drivers.control,
        ).queue_controller
        #: What the reader who follows the queue was given, and his marker.
        self.read: list[str] = []
        self.marker: str | None = None
        self.all_ids: list[str] = []
        self.all_claims: list[str] = []
        self.bodies = 0
        self.begin()

    def begin(self) -> None:
        self.queues.create('q', _METADATA, project='p')
        self.model = model.Queue(_MAX_CLAIMS, _DEAD_TTL)

    def teardown(self) -> None:
        self.clock.cleanUp()
        self.drivers.cleanUp()

    @property
    def now(self) -> int:
        return int(self.clock.now)

    # Time

    @stateful.rule(seconds=_SECONDS)
    def time_passes(self, seconds: int) -> None:
        self.clock.sleep(seconds)

    @stateful.rule()
    def swift_sweeps(self) -> None:
        self.drivers.swift.expire()
        self.drivers.data.gc()

    # Posting and reading

    @stateful.initialize(count=strategies.integers(3, 8),
                         ttl=strategies.sampled_from([61, 1000]))
    def post_at_first(self, count: int, ttl: int) -> None:
        self.post(count, 'one client', ttl, 0)

    @stateful.rule(count=strategies.integers(1, 5), client=_CLIENTS,
                   ttl=strategies.sampled_from([60, 200, 1000]),
                   delay=strategies.sampled_from([0, 0, 30]))
    def post(self, count: int, client: str, ttl: int, delay: int) -> None:
        bodies = [self.bodies + number for number in range(count)]
        self.bodies += count
        ids = self.messages.post('q', [
            {'ttl': ttl, 'delay': delay, 'body': body} for body in bodies],
            client, project='p')
        for name, body in zip(ids, bodies, strict=True):
            self.model.messages.append(model.Message(
                name, body, client, ttl, self.now, self.now + ttl,
                self.now + delay if delay else 0))
        self.all_ids += ids

    @stateful.precondition(_something)
    @stateful.rule(limit=_LIMITS, client=_CLIENTS, echo=strategies.booleans(),
                   claimed=strategies.booleans(),
                   delayed=strategies.booleans())
    def list_all(
        self, limit: int, client: str, echo: bool, claimed: bool,
        delayed: bool,
    ) -> None:
        """Page after page, each of them full but the last."""
        wanted = self._shown(self.model.visible(
            self.now, None if echo else client, claimed, delayed))
        marker, given = None, []
        while True:
            page, marker = self._page(
                'q', limit=limit, marker=marker, echo=echo,
                client_uuid=client, include_claimed=claimed,
                include_delayed=delayed)
            assert page == wanted[len(given):][:limit]
            given += page
            if not page:
                break
        assert given == wanted

    @stateful.rule(limit=_LIMITS)
    def follow(self, limit: int) -> None:
        """The reader is given all that is new, and nothing twice."""
        last = max(self.read, default='')
        visible = [each.id for each in self.model.visible(
            self.now, None, False, False)]
        given: list[str] = []
        while True:
            page, marker = self._page(
                'q', limit=limit, marker=self.marker, echo=True)
            if not page:
                break
            given += [each['id'] for each in page]
            self.marker = marker
        assert not set(given) & set(self.read)
        assert set(given) <= set(visible)
        assert {name for name in visible if name > last} <= set(given)
        self.read += given

    @stateful.precondition(_something)
    @stateful.rule(number=_NUMBERS)
    def get(self, number: int) -> None:
        name = self._some(self.all_ids, number)
        expected = [each for each in self._everything()
                    if each['id'] == name]
        assert self._refused(
            lambda: self.messages.get('q', name, project='p'),
            errors.MessageDoesNotExist) == (
                expected[0] if expected else errors.MessageDoesNotExist)

    @stateful.rule(numbers=strategies.lists(_NUMBERS, max_size=5))
    def get_several(self, numbers: list[int]) -> None:
        names = [self._some(self.all_ids, number) for number in numbers]
        there = {each['id']: each for each in self._everything()}
        assert list(self.messages.bulk_get('q', names, project='p')) == [
            there[name] for name in names if name in there]

    @stateful.rule(sort=strategies.sampled_from([1, -1]))
    def first(self, sort: int) -> None:
        everything = self._everything()[::sort]
        assert self._refused(
            lambda: self.messages.first('q', project='p', sort=sort),
            errors.QueueIsEmpty) == (
                everything[0] if everything else errors.QueueIsEmpty)

    # Claims

    @stateful.precondition(_something)
    @stateful.rule(limit=_LIMITS, ttl=_TTLS, grace=_GRACES)
    def claim(self, limit: int, ttl: int, grace: int) -> None:
        contention.of_this_process.drop()
        won = self.model.take(limit, self.now)
        claim, found = self.claims.create(
            'q', {'ttl': ttl, 'grace': grace}, project='p', limit=limit)
        assert (claim is not None) == bool(won)
        if claim is not None:
            self.model.claim(claim, won, ttl, grace, self.now)
            self.all_claims.append(claim)
        assert list(found) == self._shown(won)

    @stateful.precondition(_something)
    @stateful.rule(limit=_LIMITS)
    def give_up(self, limit: int) -> None:
        """Claim for long, and release."""
        before = len(self.all_claims)
        self.claim(limit, 300, 60)
        for claim in self.all_claims[before:]:
            self.claims.delete('q', claim, project='p')
            self.model.release(claim)

    @stateful.precondition(_something)
    @stateful.rule(limit=_LIMITS, ttl=_TTLS, seconds=_SECONDS)
    def work_on(self, limit: int, ttl: int, seconds: int) -> None:
        """Claim, be at it for a while, and renew the claim."""
        self.claim(limit, ttl, 1)
        self.clock.sleep(seconds)
        self.renew_one(self.all_claims[-1] if self.all_claims else '', 300, 60)

    @stateful.precondition(_something)
    @stateful.rule()
    def steal(self) -> None:
        """Delete by one claim what another holds."""
        for _ in range(2):
            self.claim(1, 300, 60)
        for claim in self.all_claims[-2:]:
            for message in self.model.messages[:3]:
                self.delete_one(message.id, claim)

    @stateful.precondition(_some_claim)
    @stateful.rule(number=_NUMBERS)
    def get_claim(self, number: int) -> None:
        name = self._some(self.all_claims, number)
        claim = self.model.live(name, self.now)
        found = self._refused(
            lambda: self.claims.get('q', name, project='p'),
            errors.ClaimDoesNotExist)
        if claim is None:
            assert found is errors.ClaimDoesNotExist
            return
        meta, messages = found
        assert meta == {'id': name, 'ttl': claim.ttl,
                        'age': self.now - claim.renewed}
        assert list(messages) == self._shown(
            self.model.holding(name, self.now))

    @stateful.precondition(_some_claim)
    @stateful.rule(number=_NUMBERS, ttl=_TTLS, grace=_GRACES)
    def renew(self, number: int, ttl: int, grace: int) -> None:
        self.renew_one(self._some(self.all_claims, number), ttl, grace)

    def renew_one(self, name: str, ttl: int, grace: int) -> None:
        there = self.model.live(name, self.now)
        assert self._refused(
            lambda: self.claims.update(
                'q', name, {'ttl': ttl, 'grace': grace}, project='p'),
            errors.ClaimDoesNotExist) == (
                None if there else errors.ClaimDoesNotExist)
        if there:
            self.model.renew(name, ttl, grace, self.now)

    @stateful.precondition(_some_claim)
    @stateful.rule(number=_NUMBERS)
    def release(self, number: int) -> None:
        name = self._some(self.all_claims, number)
        if not self.model.live(name, self.now):
            # Within the skew after its end, releasing it may free its
            # messages or not.
            self.clock.sleep(model.SKEW)
        self.claims.delete('q', name, project='p')
        if self.model.live(name, self.now):
            self.model.release(name)

    # Taking out

    @stateful.precondition(_something)
    @stateful.rule(limit=strategies.integers(1, 2))
    def pop(self, limit: int) -> None:
        contention.of_this_process.drop()
        won = self.model.take(limit, self.now)
        popped = self.messages.pop('q', limit, project='p')
        assert [each['id'] for each in popped] == [each.id for each in won]
        self.model.remove({each.id for each in won})

    @stateful.precondition(_something)
    @stateful.rule(number=_NUMBERS, which=strategies.none() | _NUMBERS)
    def delete(self, number: int, which: int | None) -> None:
        name = self._some(self.all_ids, number)
        self.delete_one(name, None if which is None else self._some(
            self.all_claims, which))

    def delete_one(self, name: str, claim: str | None) -> None:
        expected = self._refusal(name, claim)
        assert self._refused(
            lambda: self.messages.delete(
                'q', name, project='p', claim=claim),
            errors.ExceptionBase) == expected
        if expected is None:
            self.model.remove({name})

    @stateful.rule(numbers=strategies.lists(_NUMBERS, max_size=4))
    def delete_several(self, numbers: list[int]) -> None:
        names = [self._some(self.all_ids, number) for number in numbers]
        self.messages.bulk_delete('q', names, project='p')
        self.model.remove(set(names))

    @stateful.rule(numbers=strategies.lists(_NUMBERS, max_size=3),
                   claims=strategies.lists(_NUMBERS, min_size=1, max_size=2))
    def delete_several_of_claims(
        self, numbers: list[int], claims: list[int],
    ) -> None:
        names = [self._some(self.all_ids, number) for number in numbers]
        given = [self._some(self.all_claims, number) for number in claims]
        expected = {
            self._mismatch(each, given)
            for each in self.model.alive(self.now) if each.id in names}
        expected.discard(None)
        refused = self._refused(
            lambda: self.messages.bulk_delete(
                'q', names, project='p', claim_ids=given),
            errors.ExceptionBase)
        assert refused in (expected or {None})
        if refused is None:
            self.model.remove(set(names))
            for each in given:
                claim = self.model.live(each, self.now)
                if claim and claim.won <= set(names):
                    self.model.release(each)

    @stateful.rule(gone=strategies.sampled_from([False] * 5 + [True]))
    def empty(self, gone: bool) -> None:
        """Delete the queue, now and then, and begin a new one."""
        if gone:
            self.queues.delete('q', project='p')
            dead = self.model.dead
            self.begin()
            self.model.dead = dead
            self.marker, self.read = None, []

    # What holds all the time

    @stateful.invariant()
    def counted(self) -> None:
        alive = self.model.alive(self.now)
        claimed = sum(self.model.held(each, self.now) for each in alive)
        stats = self.queues.stats('q', project='p')['messages']
        ends = [stats.pop(end)['id'] for end in ('oldest', 'newest')
                if end in stats]
        assert stats == {'claimed': claimed, 'free': len(alive) - claimed,
                         'total': len(alive)}
        assert ends == [each.id for each in alive[:1] + alive[-1:]]

    @stateful.invariant()
    def buried(self) -> None:
        page, _ = self._page('dead', limit=1000, echo=True)
        assert page == [
            each.shown(False, self.now)
            for each in sorted(self.model.dead, key=lambda dead: dead.id)
            if each.expires > self.now]

    # Inside

    def _some(self, names: list[str], number: int) -> str:
        """One that was there some time, or one that never was."""
        known = [*names[-5:], _NOT_THERE[number % len(_NOT_THERE)]]
        return known[number % len(known)]

    def _shown(self, messages: list[model.Message]) -> list[dict[str, Any]]:
        return [each.shown(self.model.held(each, self.now), self.now)
                for each in messages]

    def _everything(self) -> list[dict[str, Any]]:
        return self._shown(self.model.alive(self.now))

    def _page(self, queue: str, **how: Any) -> tuple[list[Any], str | None]:
        listed = self.messages.list(queue, project='p', **how)
        return list(next(listed)), next(listed)

    def _refused(self, call: Any, error: type[Exception]) -> Any:
        try:
            return call()
        except error as raised:
            return type(raised)

    def _refusal(self, name: str, claim: str | None) -> Any:
        """What a deletion of one message is refused with, or None."""
        there = [each for each in self.model.alive(self.now)
                 if each.id == name]
        if not there:
            return None
        held = self.model.held(there[0], self.now)
        if claim is None:
            return errors.MessageIsClaimed if held else None
        if self.model.live(claim, self.now) is None:
            return errors.ClaimDoesNotExist
        if not held:
            return errors.MessageNotClaimed
        return (None if there[0].claim == claim
                else errors.MessageNotClaimedBy)

    def _mismatch(self, message: model.Message, claims: list[str]) -> Any:
        if not self.model.held(message, self.now):
            return errors.MessageNotClaimed
        return None if message.claim in claims else errors.ClaimDoesNotMatch


class TestMessages(MessageMachine.TestCase):

    settings = machines.SETTINGS
