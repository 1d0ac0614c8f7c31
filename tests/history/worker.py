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
"""A process that uses the drivers at random, and records what it sees.

``python -m tests.history.worker CONF CALLS NUMBER SEED QUEUE LASTS OFFSET``
works for LASTS seconds on a queue, with a clock that is OFFSET seconds ahead,
and gives back what it has claimed before it ends. What it does is decided by
SEED, except for what it depends on the answers.
"""

import random
import sys
import time
from typing import Any
import uuid

from oslo_utils import timeutils
from zaqar.storage import errors

from marconi_swift import names
from tests.fixtures import workers
from tests.history import calls

PROJECT = 'project'

#: Seconds that a message lives: longer than any test.
LONG = 24 * 3600

#: Seconds that claims ask for, so that many end within a round. The least is
#: what twice claim_attempt_limit allows.
TTLS = (21, 24, 30)

#: What tells that a call had no effect. (A connection error is no such
#: thing.)
_REFUSALS = (errors.DoesNotExist, errors.NotPermitted)


class Client:
    """Calls the controllers and writes down what comes of it."""

    def __init__(
        self, site: workers.Site, recorder: calls.Recorder, queue: str,
    ) -> None:
        self._messages = site.data.message_controller
        self._claims = site.data.claim_controller
        self._recorder = recorder
        self._queue = queue
        self._client = uuid.uuid4()
        self._made = 0

    def post(self, count: int) -> None:
        made = [self._name() for _ in range(count)]
        self._call('post', lambda: self._messages.post(
            self._queue, [{'ttl': LONG, 'body': body(name)}
                          for name in made],
            self._client, project=PROJECT), messages=made)

    def _name(self) -> str:
        self._made += 1
        return f'{self._client}-{self._made}'

    def claim(
        self, limit: int, ttl: int,
    ) -> tuple[str | None, list[dict[str, Any]]]:
        """Claim messages; what cannot be told is as if there were none."""
        def create() -> Any:
            claim, messages = self._claims.create(
                self._queue, {'ttl': ttl, 'grace': 0}, project=PROJECT,
                limit=limit)
            return claim, list(messages)

        return self._call(
            'claim', create, lambda got: {
                'claim': got[0], 'messages': [name(each) for each in got[1]],
            }, ttl=ttl) or (None, [])

    def renew(self, claim: str, ttl: int) -> bool:
        """Renew a claim; whether it was."""
        def update() -> bool:
            self._claims.update(
                self._queue, claim, {'ttl': ttl, 'grace': 0}, project=PROJECT)
            return True

        return bool(self._call('renew', update, claim=claim, ttl=ttl))

    def release(self, claim: str) -> None:
        self._call('release', lambda: self._claims.delete(
            self._queue, claim, project=PROJECT), claim=claim)

    def delete(self, message: dict[str, Any], claim: str) -> None:
        self._call('delete', lambda: self._messages.delete(
            self._queue, message['id'], project=PROJECT, claim=claim),
            messages=[name(message)], claim=claim)

    def list(self) -> None:
        self._call(
            'list', lambda: list(next(self._messages.list(
                self._queue, project=PROJECT, echo=True,
                include_claimed=True, limit=10))),
            lambda got: {'messages': [name(each) for each in got]})

    def _call(
        self, kind: str, call: Any, learn: Any = lambda _: {}, **what: Any,
    ) -> Any:
        number = self._recorder.invoke(kind, **what)
        try:
            answer = call()
        except _REFUSALS as exc:
            self._recorder.complete(
                number, calls.Outcome.REFUSED, error=str(exc))
        except errors.ConnectionError as exc:
            self._recorder.complete(
                number, calls.Outcome.UNKNOWN, error=str(exc))
        else:
            self._recorder.complete(
                number, calls.Outcome.OK, **learn(answer))
            return answer
        return None


def body(message: str) -> dict[str, Any]:
    return {'name': message, 'text': message[::-1] * 5}


def name(message: dict[str, Any]) -> str:
    """What a message is called, or something that nobody posted."""
    content = message['body']
    if isinstance(content, dict) and content == body(content.get('name', '')):
        return str(content['name'])
    return f'changed: {content!r}'[:200]


class Worker:
    """Does one thing after the other, at random."""

    def __init__(self, client: Client, choices: random.Random) -> None:
        self._client = client
        self._random = choices
        #: Claims that may be live, with their messages.
        self._held: list[tuple[str, list[dict[str, Any]]]] = []
        #: One more, which is renewed as long as this works.
        self._kept: list[tuple[str, list[dict[str, Any]]]] = []

    def work(self, until: float) -> None:
        """Go on until a moment of ``time.monotonic``, then give back."""
        todo = {self._post: 30, self._claim: 40, self._use: 35,
                self._keep: 20, self._client.list: 8, self._steal: 15}
        while time.monotonic() < until:
            [do] = self._random.choices(list(todo), list(todo.values()))
            do()
            time.sleep(self._random.uniform(0, 0.05))
        for claim, messages in self._kept:
            for message in messages:
                self._client.delete(message, claim)
        for claim, _ in self._held + self._kept:
            self._client.release(claim)

    def _post(self) -> None:
        self._client.post(self._random.randint(1, 4))

    def _claim(self) -> None:
        claim, messages = self._client.claim(
            self._random.randint(1, 5), self._random.choice(TTLS))
        if claim:
            self._held.append((claim, messages))

    def _use(self) -> None:
        """Finish with a claim, or leave it for later, or for ever."""
        if not self._held:
            return
        claim, messages = held = self._random.choice(self._held)
        what = self._random.random()
        if what < 0.25:
            self._client.renew(claim, self._random.choice(TTLS))
        elif what < 0.35:
            self._held.remove(held)
            self._client.release(claim)
        elif what < 0.4:
            # As if it had crashed.
            self._held.remove(held)
        elif messages:
            self._client.delete(messages.pop(), claim)
        else:
            self._held.remove(held)

    def _keep(self) -> None:
        """Renew a claim, which it has for a job that takes long."""
        self._kept = [each for each in self._kept if self._client.renew(
            each[0], self._random.choice(TTLS))]
        held = [each for each in self._held if each[1]]
        if held and not self._kept:
            self._kept.append(self._random.choice(held))
            self._held.remove(self._kept[0])

    def _steal(self) -> None:
        """Delete with a claim that holds something else, or is none."""
        all_of_them = self._held + self._kept
        held = [each for each in all_of_them if each[1]]
        if not held:
            return
        claim, messages = self._random.choice(held)
        others = [each for each, _ in all_of_them if each != claim]
        if not others or self._random.random() < 0.5:
            others = [names.new_message_id()]
        self._client.delete(messages[0], self._random.choice(others))


def set_clock(offset: float) -> None:
    """Put this process's clock ahead, that of its ids included."""
    utcnow, uuid7 = timeutils.utcnow_ts, names.uuid_utils.uuid7
    timeutils.utcnow_ts = lambda microsecond=False: (
        utcnow(microsecond) + offset)
    names.uuid_utils.uuid7 = lambda: uuid.UUID(
        int=uuid7().int + (round(offset * 1000) << 80))


def main() -> None:
    path, file, number, seed, queue, lasts, offset = sys.argv[1:]
    if float(offset):
        set_clock(float(offset))
    client = Client(workers.Site(path, int(number)), calls.Recorder(file),
                    queue)
    Worker(client, random.Random(f'{seed} {number}')).work(
        time.monotonic() + float(lasts))


if __name__ == '__main__':
    main()
