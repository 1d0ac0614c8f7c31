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

"""What users do, with the clients that they have, in a cloud."""

import json
import os
import pathlib
import subprocess
import sys
from typing import Any

import testtools
from zaqarclient import transport
from zaqarclient.queues import client
from zaqarclient.transport import errors
from zaqarclient.transport import request
from zaqarclient.transport import ws

from marconi_swift.standalone import zaqar as zaqars
from tests.fixtures import cloud


class PythonClientTest(cloud.CloudTest):

    def person(self) -> cloud.Person:
        return self.demo

    def client(self) -> client.Client:
        return client.Client(version=2, session=self.person().session)

    def test_a_poster_and_a_reader(self) -> None:
        queue = self.client().queue(self.name())
        self.addCleanup(queue.delete)
        hrefs = queue.post([
            {'ttl': 300, 'body': {'order': number}} for number in range(10)
        ])['resources']
        ids = [href.rpartition('/')[2] for href in hrefs]

        self.assertEqual(
            [{'order': number} for number in range(10)],
            [each.body
             for each in queue.messages(limit=4, echo=True).stream()])
        queue.message(ids[3]).delete()

        self.assertRaises(errors.ResourceNotFound, queue.message, ids[3])
        self.assertEqual(9, queue.stats['messages']['total'])

    def test_workers(self) -> None:
        queue = self.client().queue(self.name())
        self.addCleanup(queue.delete)
        queue.post([{'ttl': 300, 'body': number} for number in range(5)])

        claim = queue.claim(ttl=60, grace=60, limit=3)
        claimed = list(claim)
        self.assertEqual([0, 1, 2], [job.body for job in claimed])
        self.assertEqual(
            [3, 4], [job.body for job in queue.claim(ttl=60, grace=60)])
        claimed[0].delete()
        claim.update(ttl=90, grace=60)
        claim.delete()

        self.assertEqual([1, 2], [job.body for job in queue.pop(count=5)])

    def test_metadata(self) -> None:
        queue = self.client().queue(self.name(), force_create=True)
        self.addCleanup(queue.delete)

        queue.metadata(new_meta={'colour': 'red'})

        self.assertEqual(
            'red', queue.metadata(force_reload=True)['colour'])


class DatabaseTest(PythonClientTest):
    """The same where a database is the management store, as in devstack."""

    def setUp(self) -> None:
        testtools.TestCase.setUp(self)
        stack = cloud.running(zaqars.Stores(management=zaqars.SQLALCHEMY))
        self.path = stack.keystone.clouds

    def person(self) -> cloud.Person:
        return cloud.Person(self.path, 'demo')

    def test_pools_and_flavors(self) -> None:
        session = cloud.Person(self.path, 'admin').session
        admin = client.Client(version=2, session=session)
        name = self.name()
        pool = admin.pool(
            name, uri=f'marconi-swift://?container_prefix={name[-25:]}',
            weight=1)
        self.addCleanup(pool.delete)
        flavor = admin.flavor(self.name(), pool_list=[name])
        self.addCleanup(flavor.delete)
        queue = admin.queue(self.name(), force_create=True)
        queue.metadata(new_meta={'_flavor': flavor.name})
        self.addCleanup(queue.delete)

        queue.post([{'ttl': 300, 'body': 'in a pool'}])

        (message,) = queue.messages(echo=True)
        self.assertEqual('in a pool', message.body)


class WebsocketTest(cloud.CloudTest):

    def setUp(self) -> None:
        super().setUp()
        self.name_ = self.queue()
        self.url = self.demo.session.get_endpoint(
            service_type='messaging-websocket')

    def connect(
        self, token: str | None, project: str,
    ) -> ws.WebsocketTransport:
        """Connect, and authenticate with the first request."""
        made = transport.get_transport_for(self.url, options={'auth_opts': {
            'options': {'os_auth_token': token, 'project_id': project}}})
        self.addCleanup(made.cleanup)
        return made

    def ask(
        self, connection: ws.WebsocketTransport, action: str,
        **body: Any,
    ) -> Any:
        answer = connection.send(request.Request(
            self.url, action,
            content=json.dumps({'queue_name': self.name_, **body})))
        return json.loads(answer.content)

    def test_what_is_posted_is_claimed(self) -> None:
        me = self.connect(self.demo.session.get_token(), self.demo.project)

        self.ask(me, 'message_post', messages=[{'ttl': 300, 'body': 'hi'}])
        listed = self.ask(me, 'message_list', echo=True)
        claimed = self.ask(me, 'claim_create', ttl=60, grace=60)

        for found in (listed, claimed):
            self.assertEqual(['hi'], [m['body'] for m in found['messages']])
        # The same queue over HTTP.
        self.assertEqual([], self.claim(self.name_, expect=204))

    def test_a_bad_token_is_refused(self) -> None:
        nobody = self.connect('nonsense', self.demo.project)

        self.assertRaises(
            errors.UnauthorizedError, self.ask, nobody, 'message_list')

    def test_a_project_of_others_is_refused(self) -> None:
        other = self.connect(self.alt.session.get_token(), self.demo.project)

        self.assertRaises(
            errors.TransportError, self.ask, other, 'message_list', echo=True)


class CommandTest(cloud.CloudTest):

    def openstack(self, *command: str, person: str = '') -> Any:
        """Run a command as a user does; return what it shows."""
        # What else the user has in the environment is none of ours.
        environment = {
            name: value for name, value in os.environ.items()
            if not name.startswith('OS_')}
        environment['OS_CLIENT_CONFIG_FILE'] = self.cloud.path
        shows = command[2] not in ('delete', 'release', 'post', 'purge')
        if command[2:4] == ('set', 'metadata'):
            shows = False
        run = subprocess.run(
            [pathlib.Path(sys.executable).with_name('openstack'),
             '--os-cloud', person or self.demo.cloud, *command,
             *(('-f', 'json') if shows else ())],
            env=environment, capture_output=True, text=True, check=False)
        if run.returncode:
            self.fail(f'{command}: {run.stderr}')
        return json.loads(run.stdout) if shows else None

    def test_a_session(self) -> None:
        queue, me = self.name(), self.demo.client_id
        self.openstack('messaging', 'queue', 'create', queue)
        self.addCleanup(self.demo.delete, f'/queues/{queue}')
        self.openstack(
            'messaging', 'message', 'post', '--client-id', me, queue,
            json.dumps([{'ttl': 300, 'body': n} for n in range(3)]))

        listed = self.openstack(
            'messaging', 'message', 'list', '--client-id', me, '--echo',
            queue)
        claimed = self.openstack(
            'messaging', 'claim', 'create', '--limit', '2', queue)
        stats = self.openstack('messaging', 'queue', 'stats', queue)
        self.openstack(
            'messaging', 'claim', 'release', queue, claimed[0]['Claim_ID'])
        self.openstack('messaging', 'queue', 'purge', queue)

        self.assertEqual([0, 1, 2], [row['Body'] for row in listed])
        self.assertEqual([0, 1], [row['Messages'] for row in claimed])
        self.assertEqual(2, stats['Stats']['messages']['claimed'])
        self.assertEqual(0, self.total(queue))

    def test_an_administrator(self) -> None:
        pool, admin = self.name(), self.admin.cloud
        uri = f'marconi-swift://?container_prefix={pool[-25:]}'

        made = self.openstack(
            'messaging', 'pool', 'create', pool, uri, '0', person=admin)
        self.addCleanup(self.admin.delete, f'/pools/{pool}')
        listed = self.openstack('messaging', 'pool', 'list', person=admin)

        self.assertEqual(pool, made['Name'])
        self.assertIn(pool, [row['Name'] for row in listed])
