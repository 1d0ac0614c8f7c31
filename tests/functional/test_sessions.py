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
"""What users do, with the client that they have, on the standalone service."""

from collections.abc import Iterator
import contextlib

import fixtures
import testtools
from zaqarclient.queues import client
from zaqarclient.transport import errors

from marconi_swift.standalone import swift
from marconi_swift.standalone import zaqar


class TestSession(testtools.TestCase):

    def setUp(self) -> None:
        super().setUp()
        self.folder = self.useFixture(fixtures.TempDir()).path

    @contextlib.contextmanager
    def service(self) -> Iterator[client.Client]:
        """Run the service, on the data that its last run left."""
        with swift.SwiftCluster(self.folder) as cluster, \
                zaqar.ZaqarServer(cluster) as server:
            yield client.Client(server.url, version=2, conf={
                'auth_opts': {'backend': 'noauth', 'options': {
                    'os_project_id': 'tester'}}})

    def test_of_a_poster_and_a_reader(self) -> None:
        with self.service() as session:
            queue = session.queue('orders')
            hrefs = queue.post(
                [{'ttl': 300, 'body': {'order': number}}
                 for number in range(20)])['resources']

            pages = queue.messages(limit=6, echo=True).stream()
            self.assertEqual(
                [{'order': number} for number in range(20)],
                [message.body for message in pages])
            self.assertEqual(20, len(hrefs))

            ids = [href.rpartition('/')[2] for href in hrefs]
            self.assertEqual({'order': 7}, queue.message(ids[7]).body)
            queue.message(ids[7]).delete()
            self.assertRaises(errors.ResourceNotFound, queue.message, ids[7])
            queue.delete_messages(*ids[:5])

        with self.service() as session:
            queue = session.queue('orders', auto_create=False)
            self.assertEqual(14, queue.stats['messages']['total'])
            self.assertEqual({'order': 8}, queue.message(ids[8]).body)

    def test_of_workers(self) -> None:
        with self.service() as session:
            queue = session.queue('jobs')
            queue.post([{'ttl': 300, 'body': number} for number in range(5)])

            claim = queue.claim(ttl=60, grace=60, limit=3)
            claimed = list(claim)
            self.assertEqual([0, 1, 2], [job.body for job in claimed])
            self.assertEqual([3, 4], [
                job.body for job in queue.claim(ttl=60, grace=60)])
            claimed[0].delete()
            claim.update(ttl=90, grace=60)
            claim.delete()
            self.assertEqual([1, 2], [
                job.body for job in queue.pop(count=5)])

            queue.delete()
            self.assertEqual(0, queue.stats['messages']['total'])
