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

"""A Swift that hangs, dies and comes back: what Zaqar and its users see."""

from collections.abc import Callable
from collections.abc import Iterator
from concurrent import futures
import contextlib
from http import client as http
import json
import logging
import os
import signal
import threading
import time
from typing import Any
import uuid

import fixtures
import testtools
from zaqar.storage import errors as zaqar_errors

from marconi_swift.standalone import ports
from marconi_swift.standalone import swift as swifts
from marconi_swift.standalone import zaqar as zaqars
from tests.fixtures import conf
from tests.fixtures import swift as swift_fixtures
from tests.fixtures import workers

PROJECT = 'project'
QUEUE = 'queue'

# Seconds that a request to Swift may take, so that a test does not take 20.
TIMEOUT = 1.0

# Seconds without any answer before requests go out one at a time.
SILENT = 2.0

# Seconds without a failure until an outage is over.
CALM = 0.5

# Threads that ask at once: more than a server has.
CROWD = 40

PATIENCE = 90.0


def wait_for(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError('It did not happen in time.')
        time.sleep(0.05)


class _Case(testtools.TestCase):
    """Has a Swift of its own, which it can stop."""

    def setUp(self) -> None:
        super().setUp()
        self.swift = swifts.SwiftCluster(
            self.useFixture(fixtures.TempDir()).path,
            sweep_interval=swift_fixtures.SWEEP_INTERVAL,
            patience=swift_fixtures.PATIENCE)
        self.swift.start()
        self.addCleanup(self.swift.stop)
        self.proxy = self.swift.processes[swifts.PROXY]

    @contextlib.contextmanager
    def hanging(self) -> Iterator[None]:
        """A proxy that is there, and answers nothing."""
        assert self.proxy.pid
        os.killpg(self.proxy.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.killpg(self.proxy.pid, signal.SIGCONT)

    @contextlib.contextmanager
    def dead(self) -> Iterator[None]:
        """No proxy, until another is started on its port."""
        self.proxy.kill()
        try:
            yield
        finally:
            self.proxy.start()
            self.proxy.wait_until_ready(PATIENCE)


class DriverTest(_Case):

    def setUp(self) -> None:
        super().setUp()
        for name, seconds in (('silence.PATIENCE', SILENT),
                              ('outages.CALM', CALM)):
            self.useFixture(fixtures.MonkeyPatch(
                f'marconi_swift.store.{name}', seconds))
        self.log = self.useFixture(fixtures.FakeLogger(level=logging.INFO))
        # Executors of other tests keep theirs.
        self.foreign = set(threading.enumerate())
        path = f'{self.useFixture(fixtures.TempDir()).path}/zaqar.conf'
        conf.write(path, **self.swift.login, timeout=TIMEOUT, retries=1,
                   post_time_limit=60)
        self.site = workers.Site(path)
        self.addCleanup(self.site.control.close)
        self.addCleanup(self.site.data.close)
        self.site.queues.create(QUEUE, project=PROJECT)
        self.post()

    def post(self) -> list[str]:
        return list(self.site.data.message_controller.post(
            QUEUE, [{'ttl': 300, 'body': 1}], uuid.uuid4(), PROJECT))

    def check_works(self) -> None:
        [identity] = self.post()
        found = self.site.data.message_controller.get(
            QUEUE, identity, PROJECT)
        self.assertEqual(1, found['body'])

    def recover(self) -> None:
        """Use the service until it notices that the outage is over."""
        def used() -> list[str]:
            # On a busy machine one may still take longer than it may.
            with contextlib.suppress(zaqar_errors.ConnectionError):
                self.post()
            return self.told('used again')

        wait_for(used)

    def told(self, what: str) -> list[str]:
        return [line for line in self.log.output.splitlines()
                if what in line]

    def fail_together(self) -> None:
        """Post from many threads at once, and see all of them refused."""
        with futures.ThreadPoolExecutor(CROWD) as crowd:
            asked = [crowd.submit(self.post) for _ in range(CROWD)]
            for each in asked:
                self.assertIsInstance(
                    each.exception(PATIENCE), zaqar_errors.ConnectionError)

    def threads(self) -> set[threading.Thread]:
        """Return those that the test has started, and that go on."""
        return set(threading.enumerate()) - self.foreign

    def test_one_that_hangs_and_goes_on(self) -> None:
        self.fail_together_and_recover(self.hanging)

    def test_one_that_dies_and_is_started_again(self) -> None:
        self.fail_together_and_recover(self.dead)

    def fail_together_and_recover(
        self, broken: Callable[[], contextlib.AbstractContextManager[None]],
    ) -> None:
        with broken():
            self.fail_together()
            width = self.site.data.account.settings.fan_out
            before = self.threads()
            self.fail_together()
            self.assertFalse(self.site.data.is_alive())
            # Threads are those that are kept for several requests at once.
            self.assertLessEqual(self.threads(), before)
            self.assertLessEqual(len(before), width)
        self.recover()

        self.check_works()
        self.assertTrue(self.site.data.is_alive())
        # One account's two stores.
        self.assertEqual((1, 1), (
            len(self.told('can not be used')),
            len(self.told('can be used again'))))

    def test_one_at_a_time_asks_whether_it_is_back(self) -> None:
        with self.hanging():
            self.fail_together()
            under_way = self.count_under_way()
            self.fail_together()
        self.recover()

        self.assertEqual(1, max(under_way[:CROWD]))

    def test_nothing_is_done_that_an_account_out_of_reach_hides(self) -> None:
        """Swift says 404 of all that is in it."""
        self.hide('account-1')

    def test_nothing_is_done_that_a_container_out_of_reach_hides(
        self,
    ) -> None:
        self.hide('container-1')

    def hide(self, server: str) -> None:
        messages = self.site.data.message_controller
        claims = self.site.data.claim_controller
        claim, held = claims.create(
            QUEUE, {'ttl': 300, 'grace': 60}, PROJECT, limit=1)
        [mine] = [message['id'] for message in held]
        [free] = self.post()
        hidden = self.swift.processes[server]
        hidden.kill()
        self.forget()

        for call in (
                lambda: messages.delete(QUEUE, free, PROJECT),
                lambda: messages.delete(QUEUE, mine, PROJECT, claim),
                lambda: messages.bulk_delete(QUEUE, [free], PROJECT),
                lambda: claims.delete(QUEUE, claim, PROJECT),
                lambda: claims.update(
                    QUEUE, claim, {'ttl': 300, 'grace': 60}, PROJECT)):
            self.assertRaises(zaqar_errors.ConnectionError, call)

        hidden.start()
        hidden.wait_until_ready(PATIENCE)
        self.forget()
        self.assertEqual(
            [mine], [message['id'] for message in claims.get(
                QUEUE, claim, PROJECT)[1]])
        messages.delete(QUEUE, mine, PROJECT, claim)
        messages.delete(QUEUE, free, PROJECT)
        self.assertEqual([], list(messages.bulk_get(
            QUEUE, [free, mine], PROJECT)))

    def forget(self) -> None:
        """Have the proxy remember nothing, nor this process."""
        with self.dead():
            pass
        for account in (self.site.data.account, self.site.control.account):
            account.store._found.clear()

    def count_under_way(self) -> list[int]:
        """Return what will be how many requests were under way at each."""
        counts: list[int] = []
        now: set[object] = set()
        send = self.site.data.account.transport._send

        def counted(*args: Any) -> Any:
            mine = object()
            now.add(mine)
            counts.append(len(now))
            try:
                return send(*args)
            finally:
                now.remove(mine)

        for account in (self.site.data.account, self.site.control.account):
            self.useFixture(fixtures.MockPatchObject(
                account.transport, '_send', counted))
        return counts


class ServiceTest(_Case):
    """What users of a whole service see."""

    def setUp(self) -> None:
        super().setUp()
        self.zaqar = zaqars.ZaqarServer(
            self.swift, workers=1, patience=swift_fixtures.PATIENCE)
        self.zaqar.start()
        self.addCleanup(self.zaqar.stop)

    def ask(self, method: str, path: str, body: Any = None) -> int:
        port = int(self.zaqar.url.rpartition(':')[2])
        connection = http.HTTPConnection(ports.HOST, port, timeout=PATIENCE)
        with contextlib.closing(connection):
            connection.request(
                method, f'/v2{path}', json.dumps(body) if body else None,
                {**zaqars.HEADERS, 'Content-Type': 'application/json'})
            return connection.getresponse().status

    def test_is_503_while_swift_is_away_and_nothing_is_restarted(
        self,
    ) -> None:
        self.assertEqual(201, self.ask('PUT', '/queues/q'))
        message = {'messages': [{'ttl': 300, 'body': 1}]}
        requests = (
            ('GET', '/ping', None), ('GET', '/queues', None),
            ('PUT', '/queues/r', None), ('GET', '/queues/q/messages', None),
            ('POST', '/queues/q/messages', message),
            ('POST', '/queues/q/claims', {'ttl': 60, 'grace': 60}),
            ('GET', '/queues/q/stats', None),
            ('DELETE', '/queues/q', None))
        with self.dead():
            answers = {request[:2]: self.ask(*request)
                       for request in requests}
        # Zaqar reads a queue's metadata outside of what turns errors of
        # its storage into 503, when it handles this request alone
        # (zaqar/transport/wsgi/v2_0/messages.py, on_post).
        self.assertEqual(500, answers.pop(('POST', '/queues/q/messages')))
        self.assertEqual(dict.fromkeys(answers, 503), answers)

        def works() -> bool:
            return self.ask('POST', '/queues/q/messages', message) == 201

        wait_for(works)
        wait_for(lambda: works() and 'can be used again' in self.log())
        self.assertEqual(1, self.log().count('can not be used'))
        self.assertEqual(1, self.log().count('can be used again'))
        # Nothing can have been sent.
        self.assertNotIn('may be delivered', self.log())

    def log(self) -> str:
        return self.zaqar.processes[zaqars.NAME].log.read_text()
