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
"""What marconi-swift-manage removes where no expirer runs."""

from collections.abc import Callable
import contextlib
import io
import json
import pathlib
import time
from typing import Any
import uuid

import fixtures
import testtools

from marconi_swift import names
from marconi_swift.manage import shell
from marconi_swift.standalone import swift as swifts
from tests.fixtures import conf
from tests.fixtures import logs
from tests.fixtures import swift
from tests.fixtures import workers

# Seconds that Swift may take to notice that something has expired.
PATIENCE = 30.0


class GcTest(testtools.TestCase):

    def setUp(self) -> None:
        super().setUp()
        self.useFixture(logs.RootLogger())
        folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.cluster = swifts.SwiftCluster(
            folder / 'swift', patience=swift.PATIENCE)
        self.cluster.start()
        self.addCleanup(self.cluster.stop)
        self.cluster.processes['object-expirer'].stop()
        account = self.cluster.credentials()
        self.path = str(folder / 'zaqar.conf')
        conf.write(
            self.path, auth_type='v1password', auth_url=account.auth_url,
            username=account.username, password=account.password)
        self.site = workers.Site(self.path)
        self.addCleanup(self.site.data.close)
        self.addCleanup(self.site.control.close)
        # Swift forgets what has expired at once, as far as one can see.
        self.useFixture(fixtures.MonkeyPatch(
            'marconi_swift.records.SWEEP_AFTER', 0))

    def gc(self, *arguments: str) -> list[dict[str, Any]]:
        with contextlib.redirect_stdout(io.StringIO()) as output:
            status = shell.main(['gc', '--config-file', self.path,
                                 '-f', 'json', *arguments])
        self.assertEqual(0, status)
        found: list[dict[str, Any]] = json.loads(output.getvalue())
        return found

    def wait_until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not condition():
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.1)

    def post(self, queue: str, ttl: int) -> str:
        [posted] = self.site.data.message_controller.post(
            queue, [{'ttl': ttl, 'body': queue}], uuid.uuid4())
        return str(posted)

    def test_what_has_expired_and_what_was_half_deleted(self) -> None:
        store = self.site.data.account.store
        for queue in ('live', 'half'):
            self.site.queues.create(queue)
        kept = self.post('live', 600)
        brief = self.post('live', 1)
        orphan = self.post('half', 600)
        self.site.data.subscription_controller.create(
            'live', 'http://127.0.0.1:9/brief', 1, {})
        # As a crash in the middle of deleting it leaves it.
        self.site.control.queue_controller.delete('half')
        live, half = (names.messages('marconi', None, queue)
                      for queue in ('live', 'half'))
        subscriptions = names.subscriptions('marconi', None, 'live')
        self.wait_until(lambda: store.head(live, brief) is None)

        def found(container: str) -> tuple[int, int, bool]:
            [row] = [row for row in rehearsed
                     if row['Container'] == container]
            return row['Expired'], row['Orphaned'], row['Dropped']

        rehearsed = self.gc('--dry-run')
        self.assertEqual((1, 0, False), found(live))
        self.assertEqual((0, 1, True), found(half))
        self.assertEqual((2, 0, False), found(subscriptions))
        self.assertIsNotNone(store.head(half, orphan))

        self.assertEqual(rehearsed, self.gc())

        self.assertEqual([kept], [row.name for row in store.page(live)])
        self.assertEqual([], store.page(subscriptions))
        self.assertNotIn(half, [
            container.name for container in store.containers('marconi:')])
        self.assertEqual([], self.gc())
        self.assertEqual(
            'live', self.site.data.message_controller.get('live', kept)[
                'body'])
