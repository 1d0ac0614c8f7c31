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
"""What the devstack plugin sets up works, in a cloud."""

import configparser
import os
import pathlib
import shutil
import subprocess
import sys
import time
from typing import Any

from openstack import connection
from zaqarclient.queues import client

from marconi_swift import driver
from marconi_swift.standalone import keystone as keystones
from marconi_swift.standalone import ports
from marconi_swift.standalone import processes
from tests.fixtures import cloud
from tests.fixtures import conf
from tests.fixtures import plugin
from tests.fixtures import snippets

PASSWORD = 'devstack-secret'


class _Case(cloud.CloudTest):
    """devstack ran beside a cloud; what it asked of Keystone was done."""

    def setUp(self) -> None:
        super().setUp()
        self.running = cloud.running()
        self.keystone = self.running.keystone
        self.identity = connection.Connection(
            session=self.keystone.session(keystones.ADMIN),
            region_name=keystones.REGION).identity

    def stack(self, **localrc: str) -> None:
        """Run devstack with these variables in its local.conf."""
        self.devstack = self.useFixture(plugin.Devstack(plugin.localrc(
            plugins=plugin.ORDERS[1], ZAQAR_BACKEND='swift',
            KEYSTONE_SERVICE_URI=self.keystone.url,
            MARCONI_SWIFT_ROLE=keystones.OPERATOR, **localrc)))
        for function, *arguments in self.devstack.stack():
            do = getattr(self, function, None)
            if do is not None:
                do(*arguments)

    # devstack's functions, as far as the plugin calls them

    def get_or_create_project(self, project: str, domain: str) -> None:
        self.assertIsNotNone(self.identity.find_project(project))

    def get_or_create_user(
        self, name: str, password: str, domain: str,
    ) -> None:
        if self.identity.find_user(name) is None:
            made = self.identity.create_user(
                name=name, password=password, domain_id='default')
            self.addCleanup(self.identity.delete_user, made)

    def get_or_add_user_project_role(
        self, role: str, user: str, project: str, *domains: str,
    ) -> None:
        self.identity.assign_project_role_to_user(
            self.identity.find_project(project),
            self.identity.find_user(user), self.identity.find_role(role))

    def serve(self) -> str:
        """Start Zaqar's own WSGI application; return where it is."""
        path = self.with_tokens()
        port = self.running.swift.site.hold_port(self.id())
        # Zaqar looks for its configuration in the home folder.
        process = subprocess.Popen(
            [sys.executable, '-m', 'gunicorn', '--threads', '4', '--bind',
             f'{ports.HOST}:{port}', 'zaqar.transport.wsgi.app:app'],
            env={**os.environ, 'HOME': str(path.parents[1])},
            stderr=subprocess.DEVNULL)
        self.addCleanup(process.wait)
        self.addCleanup(process.terminate)
        headers = {'X-Auth-Token': str(self.demo.session.get_token()),
                   'Client-ID': self.demo.client_id}
        deadline = time.monotonic() + cloud.PATIENCE
        while not processes.answers(port, '/v2/ping', 204, headers):
            self.assertIsNone(process.poll(), 'Zaqar has ended.')
            self.assertLess(time.monotonic(), deadline)
            time.sleep(processes.PAUSE)
        return f'http://{ports.HOST}:{port}'

    def with_tokens(self) -> pathlib.Path:
        """Add to zaqar.conf what Zaqar's own plugin says of Keystone."""
        parser = configparser.ConfigParser(interpolation=None)
        parser.optionxform = str  # type: ignore[assignment, method-assign]
        parser.read(self.devstack.zaqar_conf)
        said: dict[str, dict[str, Any]] = {
            'DEFAULT': {'auth_strategy': 'keystone'},
            'keystone_authtoken': self.keystone.login(keystones.ZAQAR)}
        parser.read_dict(said)
        path = pathlib.Path(
            self.devstack.zaqar_conf).parent / '.zaqar' / 'zaqar.conf'
        path.parent.mkdir()
        with path.open('w') as file:
            parser.write(file)
        return path


class DevstackTest(_Case):

    def setUp(self) -> None:
        super().setUp()
        user = self.name()
        self.stack(
            SERVICE_PASSWORD=PASSWORD, REGION_NAME=keystones.REGION,
            MARCONI_SWIFT_USER=user,
            MARCONI_SWIFT_CONTAINER_PREFIX=user[-25:])

    def test_its_configuration_opens_the_drivers(self) -> None:
        read = conf.read(self.devstack.zaqar_conf)
        control = driver.ControlDriver(read, None)
        self.addCleanup(control.close)
        data = driver.DataDriver(read, None, control)
        self.addCleanup(data.close)

        self.assertTrue(data.is_alive())
        self.assertTrue(control.queue_controller.create('q', project='p'))
        [posted] = data.message_controller.post(
            'q', [{'ttl': 60, 'body': 'kept'}], 'poster', project='p')
        self.assertEqual(
            'kept', data.message_controller.get('q', posted, 'p')['body'])

    def test_its_configuration_serves_a_session(self) -> None:
        zaqar = client.Client(
            self.serve(), version=2, session=self.demo.session)

        queue = zaqar.queue(self.name())
        queue.post([{'ttl': 300, 'body': number} for number in range(5)])

        self.assertEqual([0, 1, 2], [
            message.body for message in queue.claim(
                ttl=60, grace=60, limit=3)])
        self.assertEqual([3, 4], [
            message.body for message in queue.pop(count=5)])
        self.assertEqual(3, queue.stats['messages']['claimed'])
        queue.delete()


class ReadmeTest(_Case):
    """devstack's region is beside that of the cloud, in the same Keystone."""

    def setUp(self) -> None:
        super().setUp()
        self.region = self.name()
        made = self.identity.create_region(id=self.region)
        self.addCleanup(self.identity.delete_region, made)

    def offer(self, kind: str, url: str) -> None:
        """Have the catalogue name a service in devstack's region."""
        [service] = self.identity.services(type=kind)
        made = self.identity.create_endpoint(
            service_id=service.id, interface='public', url=url,
            region_id=self.region)
        self.addCleanup(self.identity.delete_endpoint, made)

    def test_what_the_readme_tries_works(self) -> None:
        password = self.keystone.login(keystones.DRIVER)['password']
        swift = self.running.swift
        self.offer('object-store', f'{swift.url}/v1/AUTH_%(project_id)s')
        self.stack(SERVICE_PASSWORD=password, REGION_NAME=self.region)
        self.offer('messaging', self.serve())
        # Both Zaqars have the same account and prefix.
        self.addCleanup(self.demo.delete, '/queues/orders')
        home = pathlib.Path(self.devstack.zaqar_conf).parent
        shutil.copy(plugin.OPENRC, home)

        snippets.run(
            snippets.of_kind('devstack'), 'devstack', home,
            {'/opt/stack/data/venv': sys.prefix},
            SERVICE_PASSWORD=password, REGION_NAME=self.region,
            KEYSTONE_SERVICE_URI=self.keystone.url,
            ADMIN_PASSWORD=self.keystone.login(keystones.DEMO)['password'])
