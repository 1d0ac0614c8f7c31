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

"""The standalone program: a real Swift, and Zaqar on it."""

from collections.abc import Callable
import configparser
import contextlib
from http import client as http
import json
import os
import pathlib
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from typing import Any
from urllib import parse
import uuid

import fixtures
import swiftclient
import testtools
from testtools import matchers

from marconi_swift.standalone import confs
from marconi_swift.standalone import errors
from marconi_swift.standalone import folder as folders
from marconi_swift.standalone import keystone as keystones
from marconi_swift.standalone import leftovers
from marconi_swift.standalone import ports
from marconi_swift.standalone import processes
from marconi_swift.standalone import swift
from marconi_swift.standalone import zaqar
from tests.fixtures import swift as swift_fixtures

# Seconds after which something that should happen has not; more than what
# waits for it has.
PATIENCE = 90.0


def poll(condition: Callable[[], Any]) -> bool:
    """Return whether something comes true in time."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def listener(port: int = 0) -> socket.socket:
    """Return a server's socket, on a port that somebody else then needs."""
    return socket.create_server((ports.HOST, port))


def pids_of(path: str) -> list[int]:
    """Return all processes that were started for a data folder."""
    folder = folders.Folder(path)
    pids = map(int, filter(str.isdigit, os.listdir('/proc')))
    return [pid for pid in pids if leftovers.is_ours(pid, folder)]


class _Case(testtools.TestCase):

    def folder(self) -> str:
        path: str = self.useFixture(fixtures.TempDir()).path
        return path

    def cluster(self, path: Any, **options: Any) -> swift.SwiftCluster:
        cluster = swift.SwiftCluster(path, **options)
        self.addCleanup(cluster.stop)
        return cluster

    def refusal(self, call: Callable[[], Any]) -> str:
        return str(self.assertRaises(errors.StandaloneError, call))


class SwiftServesTest(_Case):

    def setUp(self) -> None:
        super().setUp()
        self.real = self.useFixture(swift_fixtures.RealSwift())
        self.client = self.real.connect()
        self.client.put_container('things')

    def test_an_object_comes_out_as_it_went_in(self) -> None:
        self.client.put_object(
            'things', 'one', b'body', headers={'X-Object-Meta-Colour': 'red'}
        )

        headers, body = self.client.get_object('things', 'one')

        self.assertEqual(b'body', body)
        self.assertEqual('red', headers['x-object-meta-colour'])

    def test_objects_are_deleted_in_bulk(self) -> None:
        self.client.put_object('things', 'one', b'')

        _, answer = self.client.post_account(
            {'Accept': 'application/json'},
            query_string='bulk-delete',
            data=b'things/one\nthings/two\n',
        )

        counts = json.loads(answer)
        self.assertEqual(1, counts['Number Deleted'])
        self.assertEqual(1, counts['Number Not Found'])

    def test_the_stated_storage_url_is_that_of_the_token(self) -> None:
        url, _ = self.client.get_auth()

        self.assertEqual(self.real.storage_url, url)

    def test_an_account_is_closed_to_the_users_of_others(self) -> None:
        other = swift_fixtures.connect(self.real.fresh_account())
        _, token = other.get_auth()

        error = self.assertRaises(
            swiftclient.ClientException,
            swiftclient.head_account,
            self.real.storage_url,
            token,
        )

        self.assertEqual(403, error.http_status)

    def test_a_purged_account_is_empty(self) -> None:
        self.client.put_object('things', 'one', b'')

        swift_fixtures.purge(
            swift.Credentials(
                self.real.auth_url,
                self.real.username,
                self.real.password,
                self.real.storage_url,
            )
        )

        self.assertEqual([], self.client.get_account()[1])


class TallyTest(_Case):

    def setUp(self) -> None:
        super().setUp()
        self.real = self.useFixture(swift_fixtures.RealSwift())
        self.tally = self.real.tally
        self.client = self.real.connect()
        self.client.put_container('things')
        self.tally.reset()

    def head_together(self, count: int) -> None:
        """Send requests from so many threads at once."""
        access = self.client.get_auth()
        threads = [
            threading.Thread(target=swiftclient.head_account, args=access)
            for _ in range(count)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def test_requests_are_recorded(self) -> None:
        self.client.put_object('things', 'ü?', b'', query_string='a=b')

        (request,) = self.tally.read().requests

        self.assertEqual(
            ('PUT', '/v1/AUTH_' + self.real.username.split(':')[0]
             + '/things/ü?', 'a=b', 201),
            request[:4],
        )
        assert request.end is not None
        self.assertThat(request.end, matchers.GreaterThan(request.start))

    def test_tokens_and_a_reset_leave_no_record(self) -> None:
        self.client.head_account()
        self.tally.reset()

        self.real.connect().get_auth()

        self.assertEqual(((), ()), self.tally.read())

    def test_requests_in_flight_at_once_fill_their_waves(self) -> None:
        self.tally.waves([1, 5], timeout=PATIENCE)

        self.client.head_account()
        self.head_together(5)
        self.client.head_account()  # is not held

        reading = self.tally.read()
        self.assertEqual([(1, 1), (5, 5)], list(reading.waves))
        self.assertEqual(7, len(reading.requests))

    def test_requests_one_after_another_break_a_wave(self) -> None:
        self.tally.waves([2, 2], timeout=0.2)

        self.client.head_account()
        self.client.head_account()

        reading = self.tally.read()
        self.assertEqual([(2, 1), (2, 0)], list(reading.waves))
        self.assertEqual([False, False], [w.full for w in reading.waves])
        self.assertEqual([204, 204], [r.status for r in reading.requests])

    def test_a_delay_lengthens_each_request(self) -> None:
        self.tally.delay(0.2)

        self.client.head_account()

        (request,) = self.tally.read().requests
        assert request.end is not None
        self.assertThat(
            request.end - request.start, matchers.GreaterThan(0.2)
        )


class SwiftClusterTest(_Case):

    def test_an_expired_object_leaves_the_listing(self) -> None:
        # One of its own: elsewhere the expirer has what other tests left.
        cluster = self.cluster(self.folder(), sweep_interval=1.0)
        cluster.start()
        client = swift_fixtures.connect(cluster.credentials())
        client.put_container('things')
        client.put_object('things', 'one', b'', headers={
            'X-Delete-After': '1'})

        self.assertTrue(poll(lambda: not client.get_container('things')[1]))

    def test_a_full_disk_takes_no_object_that_no_listing_could_have(
        self,
    ) -> None:
        path = self.folder()
        with self.cluster(path) as cluster:
            swift_fixtures.connect(cluster.credentials()).put_container(
                'things')
        self.useFixture(fixtures.MonkeyPatch(
            'marconi_swift.standalone.confs.COMMON',
            confs.COMMON + 'fallocate_reserve = 100%\n'))
        with self.cluster(path) as cluster:
            client = swift_fixtures.connect(cluster.credentials())
            error = self.assertRaises(
                swiftclient.ClientException,
                client.put_object, 'things', 'one', b'body')

        self.assertEqual(503, error.http_status)

    def test_what_was_deleted_is_given_back(self) -> None:
        path = self.folder()
        self.useFixture(fixtures.MonkeyPatch(
            'marconi_swift.standalone.confs.RECLAIM_AGE', 5))
        # The replicators see what was deleted before it is old enough.
        cluster = self.cluster(
            path, update_interval=1.0, sweep_interval=1.0,
            replicate_interval=0.5)
        cluster.start()
        devices = pathlib.Path(path, 'devices')
        client = swift_fixtures.connect(cluster.credentials())

        def files(pattern: str) -> list[pathlib.Path]:
            return list(devices.glob(f'd1/{pattern}'))

        client.put_container('things')
        client.put_object('things', 'one', b'body')
        self.assertTrue(poll(lambda: files('objects/*/hashes.pkl')))
        client.delete_object('things', 'one')
        self.assertEqual(1, len(files('objects/*/*/*/*.ts')))
        self.assertEqual(1, len(files('containers/*/*/*/*.db')))
        client.get_container('things')  # the row is no longer pending
        client.delete_container('things')

        self.assertTrue(poll(lambda: not files('objects/*/*/*/*.ts')))
        self.assertTrue(poll(lambda: not files('containers/*/*/*/*.db')))

    def test_data_survive_a_restart_and_the_loss_of_a_port(self) -> None:
        path = self.folder()
        with self.cluster(path) as first:
            credentials = first.credentials()
            client = swift_fixtures.connect(credentials)
            client.put_container('things')
            client.put_object('things', 'one', b'body')
        with self.cluster(path) as second:
            self.assertEqual(credentials, second.credentials())
            lost = second.url
        with (
            listener(int(lost.rpartition(':')[2])),
            self.cluster(path) as third,
        ):
            client = swift_fixtures.connect(third.credentials())
            body = client.get_object('things', 'one')[1]

        self.assertNotEqual(lost, third.url)
        self.assertEqual(b'body', body)

    def test_a_folder_in_use_is_refused(self) -> None:
        path = self.useFixture(swift_fixtures.RealSwift()).swift.folder.path

        refusal = self.refusal(self.cluster(path).start)

        self.assertIn(f'(process {os.getpid()})', refusal)
        self.assertIn(str(path), refusal)

    def test_a_given_port_that_is_taken_is_refused(self) -> None:
        path = self.folder()
        with listener() as other:
            port = other.getsockname()[1]
            refusal = self.refusal(self.cluster(path, port=port).start)

        self.assertIn(f'Port {port} ', refusal)

    def test_another_number_of_replicas_is_refused(self) -> None:
        path = self.folder()
        self.refusal(self.cluster(path, patience=0).start)

        refusal = self.refusal(self.cluster(path, replicas=2).start)

        self.assertIn('made with 1 replicas and not 2', refusal)

    def test_a_folder_keeps_its_number_of_replicas(self) -> None:
        path = self.folder()
        self.refusal(self.cluster(path, replicas=2, patience=0).start)

        again = self.cluster(path, patience=0)
        self.refusal(again.start)

        self.assertEqual(
            ['object-1', 'object-2'],
            [name for name in again.processes if name.startswith('object-')
             and name not in (swift.EXPIRER, swift.OBJECT_UPDATER)])

    def test_a_keystone_is_refused_where_data_are_without_it(self) -> None:
        path = self.folder()
        self.refusal(self.cluster(path, patience=0).start)
        keystone = keystones.KeystoneServer()

        refusal = self.refusal(self.cluster(path, keystone=keystone).start)

        self.assertIn(
            'made with tempauth authentication and not keystone', refusal)

    def test_a_given_port_goes_before_one_of_its_own(self) -> None:
        path = self.folder()
        first = self.cluster(path, patience=0)
        self.refusal(first.start)
        port = first.site.port('object-1')

        again = self.cluster(path, patience=0)
        zaqar.ZaqarServer(again, port=port)
        self.refusal(again.start)

        self.assertNotEqual(port, again.site.port('object-1'))

    def test_a_start_that_takes_too_long_leaves_nothing(self) -> None:
        path = self.folder()

        refusal = self.refusal(self.cluster(path, patience=0).start)

        self.assertIn('object-1 did not become ready in time', refusal)
        self.assertIn(f'{path}/log/object-1.log', refusal)
        self.assertEqual([], pids_of(path))

    def test_daemons_rest_as_long_as_they_are_told(self) -> None:
        path = self.folder()
        self.refusal(self.cluster(
            path, sweep_interval=1.5, update_interval=2.5, patience=0).start)
        read = configparser.ConfigParser()
        daemons = (swift.EXPIRER, *swift.UPDATERS)

        read.read(f'{path}/etc/{name}.conf' for name in daemons)

        self.assertEqual(
            ['1.5', '2.5', '1.5'],
            [read[name]['interval'] for name in daemons])

    def test_a_server_that_ends_at_once_is_named(self) -> None:
        path = self.folder()
        cluster = self.cluster(path)
        broken = fixtures.MonkeyPatch(
            'marconi_swift.standalone.confs.STORAGE', '[nonsense]\n'
        )
        with broken:
            refusal = self.refusal(cluster.start)

        self.assertIn('object-1 ended with status 1; its log is ', refusal)


class ReplicasTest(_Case):

    def setUp(self) -> None:
        super().setUp()
        self.real = self.useFixture(swift_fixtures.RealSwift(replicas=3))
        self.client = self.real.connect()
        self.client.put_container('things')

    def test_a_majority_of_object_servers_is_enough(self) -> None:
        stopped = self.real.swift.processes['object-2']
        stopped.stop()
        self.addCleanup(processes.start, {'object-2': stopped}, PATIENCE)

        self.client.put_object('things', 'one', b'body')
        body = self.client.get_object('things', 'one')[1]

        self.assertEqual(b'body', body)
        self.assertIs(False, stopped.running)

    def test_a_killed_node_comes_back_on_its_ports(self) -> None:
        node = self.real.swift.node(3)
        for process in node:
            process.kill()
        self.client.put_object('things', 'one', b'body')

        processes.start({each.name: each for each in node}, PATIENCE)

        self.assertEqual(b'body', self.client.get_object('things', 'one')[1])


class LeftoversTest(_Case):

    def stranger(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start something that only its command line tells from others."""
        process = subprocess.Popen(
            [sys.executable, '-c', 'input()', *arguments],
            stdin=subprocess.PIPE,
        )
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        return process

    def test_only_processes_of_the_folder_are_stopped(self) -> None:
        folder = folders.Folder(self.folder())
        folder.open()
        self.addCleanup(folder.close)
        launcher = 'marconi_swift.standalone.launch'
        ours = self.stranger(launcher, str(folder))
        other = self.stranger(launcher, str(folder) + '2')
        for name, process in (('ours', ours), ('other', other)):
            (folder.run / f'{name}.pid').write_text(str(process.pid))

        leftovers.stop(folder)

        self.assertEqual(-signal.SIGTERM, ours.wait(PATIENCE))
        self.assertIsNone(other.poll())
        self.assertEqual([], list(folder.run.iterdir()))


class ProgramTest(_Case):

    def setUp(self) -> None:
        super().setUp()
        self.path = self.folder()

    def program(self, *options: str) -> subprocess.Popen[str]:
        command = [sys.executable, '-m', 'marconi_swift.standalone']
        program = subprocess.Popen(
            [*command, '--data', self.path, '--patience', '80', *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.addCleanup(program.communicate)
        self.addCleanup(program.kill)
        return program

    def url(self, program: subprocess.Popen[str]) -> str:
        """Wait until the program serves, and return where."""
        assert program.stdout is not None
        greeting = program.stdout.readline()
        if not greeting:
            self.fail(self.end(program)[1])
        return greeting.split()[-1]

    def ask(
        self, url: str, method: str, path: str, document: Any = None,
        **headers: str,
    ) -> tuple[int, Any]:
        address = url.split('/')[2]
        connection = http.HTTPConnection(address, timeout=PATIENCE)
        with contextlib.closing(connection):
            connection.request(
                method,
                f'/v2{path}',
                document and json.dumps(document),
                {
                    'Client-ID': str(uuid.uuid4()),
                    'X-Project-ID': 'demo',
                    'Content-Type': 'application/json',
                    **headers,
                },
            )
            answer = connection.getresponse()
            content = answer.read()
        return answer.status, json.loads(content) if content else None

    def end(self, program: subprocess.Popen[str]) -> tuple[int, str]:
        """Wait for the program's end; return its status and complaint."""
        _, complaint = program.communicate(timeout=PATIENCE)
        return program.returncode, complaint

    def test_messages_survive_a_crash_and_processes_do_not(self) -> None:
        program = self.program()
        url = self.url(program)
        posted = {'messages': [{'ttl': 300, 'body': {'hello': 'world'}}]}
        queue = '/queues/greetings'
        self.assertEqual(201, self.ask(url, 'PUT', queue)[0])
        status, _ = self.ask(url, 'POST', queue + '/messages', posted)
        self.assertEqual(201, status)

        program.kill()
        self.assertTrue(poll(lambda: not pids_of(self.path)))

        again = self.program()
        url = self.url(again)
        status, found = self.ask(url, 'GET', queue + '/messages')
        self.assertEqual(200, status)
        self.assertEqual(
            [{'hello': 'world'}], [m['body'] for m in found['messages']]
        )

        again.send_signal(signal.SIGTERM)
        self.assertEqual((0, ''), self.end(again))
        self.assertEqual([], pids_of(self.path))

    def test_an_administrator_is_who_says_so(self) -> None:
        url = self.url(self.program('--pooling'))
        pool = {'weight': 1, 'uri': 'marconi-swift://?container_prefix=two'}

        for status, role in ((403, 'member'), (201, 'admin')):
            self.assertEqual(status, self.ask(
                url, 'PUT', '/pools/two', pool, **{'X-Roles': role})[0])

    def test_a_pool_that_is_gone_can_be_removed(self) -> None:
        away = self.cluster(self.folder())
        away.start()
        uri = f'marconi-swift://?{parse.urlencode(away.login)}'
        role = {'X-Roles': 'admin'}
        program = self.program('--pooling')
        pool = {'weight': 1, 'uri': uri}
        self.assertEqual(201, self.ask(
            self.url(program), 'PUT', '/pools/away', pool, **role)[0])
        program.terminate()
        self.assertEqual((0, ''), self.end(program))
        away.stop()

        url = self.url(self.program('--pooling'))

        self.assertNotEqual(204, self.ask(url, 'GET', '/ping')[0])
        self.assertEqual(204, self.ask(
            url, 'DELETE', '/pools/away', **role)[0])

    def test_no_proxy_is_asked_for_what_is_here(self) -> None:
        nobody = f'http://{ports.HOST}:9'
        for name in ('http_proxy', 'HTTP_PROXY'):
            self.useFixture(fixtures.EnvironmentVariable(name, nobody))
        for name in ('no_proxy', 'NO_PROXY'):
            self.useFixture(fixtures.EnvironmentVariable(name))

        url = self.url(self.program())

        self.assertEqual(204, self.ask(url, 'GET', '/ping')[0])

    def test_a_database_is_private_and_stays_the_store(self) -> None:
        os.chmod(self.path, 0o755)
        program = self.program('--management-store', 'sqlalchemy')
        self.url(program)
        mode = pathlib.Path(self.path, 'zaqar.db').stat().st_mode
        program.terminate()
        self.assertEqual((0, ''), self.end(program))

        status, complaint = self.end(self.program())

        self.assertEqual('-rw-------', stat.filemode(mode))
        self.assertEqual(1, status)
        self.assertIn(
            'made with sqlalchemy management store and not marconi-swift',
            complaint)

    def test_an_ended_process_ends_the_program(self) -> None:
        program = self.program('--quiet')
        pid_file = pathlib.Path(self.path, 'run', 'object-expirer.pid')
        self.assertTrue(poll(pid_file.exists))
        pid = int(pid_file.read_text())

        os.kill(pid, signal.SIGKILL)

        status, complaint = self.end(program)
        self.assertEqual(1, status)
        self.assertIn('object-expirer was ended by SIGKILL; its', complaint)
        self.assertEqual([], pids_of(self.path))

    def test_it_complains_in_one_sentence(self) -> None:
        with listener() as other:
            port = other.getsockname()[1]
            program = self.program('--swift-port', str(port))
            status, complaint = self.end(program)

        self.assertEqual(1, status)
        self.assertEqual(
            f'marconi-swift-standalone: Port {port} of 127.0.0.1 can not be '
            f'used: another program has taken it.\n',
            complaint,
        )

    def test_it_starts_once_on_a_folder(self) -> None:
        folder = folders.Folder(self.path)
        folder.open()
        self.addCleanup(folder.close)

        status, complaint = self.end(self.program())

        self.assertEqual(1, status)
        self.assertIn(f'(process {os.getpid()}) runs on', complaint)
