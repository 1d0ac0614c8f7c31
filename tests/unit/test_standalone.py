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

"""The parts of the standalone program that need no Swift."""

import ast
import configparser
import ctypes
import errno
import io
import json
import os
import pathlib
import signal
import stat
import subprocess
import sys
import time
from typing import Any

import eventlet
import fixtures
from swift.common import db
from swift.container import backend
import testtools
from testtools import matchers

from marconi_swift.standalone import cli
from marconi_swift.standalone import confs
from marconi_swift.standalone import errors
from marconi_swift.standalone import folder as folders
from marconi_swift.standalone import launch
from marconi_swift.standalone import leftovers
from marconi_swift.standalone import memcache
from marconi_swift.standalone import ports
from marconi_swift.standalone import processes
from marconi_swift.standalone import sites
from marconi_swift.standalone import swift
from marconi_swift.standalone import tally
from marconi_swift.standalone import tallying
from marconi_swift.standalone import tls
from marconi_swift.standalone import zaqar

CREDENTIALS = swift.Credentials(
    auth_url='http://a/auth/v1.0',
    username='u:v',
    password='p',
    storage_url='http://a/v1/AUTH_u',
)


class _Case(testtools.TestCase):

    def path(self) -> pathlib.Path:
        return pathlib.Path(self.useFixture(fixtures.TempDir()).path)

    def folder(self) -> folders.Folder:
        folder = folders.Folder(self.path())
        folder.open()
        self.addCleanup(folder.close)
        return folder

    def patch_object(self, target: Any, name: str, value: Any) -> None:
        self.useFixture(fixtures.MockPatchObject(target, name, value))


class ReservationTest(_Case):

    def reserve(self, port: int = 0) -> ports.Reservation:
        held = ports.Reservation(port)
        self.addCleanup(held.release)
        return held

    def test_a_server_may_listen_beside_it(self) -> None:
        held = self.reserve()

        with eventlet.listen((ports.HOST, held.port)) as server:
            self.assertEqual(held.port, server.getsockname()[1])

    def test_nobody_else_may_hold_it(self) -> None:
        held = self.reserve()

        error = self.assertRaises(
            ports.Unusable, ports.Reservation, held.port
        )

        self.assertEqual(held.port, error.port)

    def test_it_can_be_held_again_once_released(self) -> None:
        held = self.reserve()
        held.release()

        self.assertEqual(held.port, self.reserve(held.port).port)

    def test_a_port_in_use_can_not_be_held(self) -> None:
        with eventlet.listen((ports.HOST, 0)) as server:
            taken = server.getsockname()[1]
            error = self.assertRaises(
                ports.Unusable, ports.Reservation, taken
            )

        self.assertEqual(
            f'Port {taken} of 127.0.0.1 can not be used: another program '
            f'has taken it.',
            str(error),
        )

    def test_a_port_that_needs_rights_says_so(self) -> None:
        error = ports.Unusable(80, errno.EACCES)

        self.assertEqual(
            'Port 80 of 127.0.0.1 can not be used: Permission denied.',
            str(error),
        )


class PortBookTest(_Case):

    def book(self, **remembered: int) -> ports.PortBook:
        book = ports.PortBook(remembered)
        self.addCleanup(book.release)
        return book

    def free(self) -> int:
        held = ports.Reservation()
        held.release()
        return held.port

    def test_a_port_is_remembered(self) -> None:
        free, wish = self.free(), self.free()

        self.assertEqual(free, self.book(proxy=free).hold('proxy', wish=wish))

    def test_the_first_time_a_wish_is_granted(self) -> None:
        wish = self.free()
        book = self.book()

        self.assertEqual(wish, book.hold('proxy', wish=wish))
        self.assertEqual({'proxy': wish}, book.numbers)

    def test_a_lost_port_is_replaced(self) -> None:
        taken = self.book().hold('theirs')

        ours = self.book(proxy=taken).hold('proxy', wish=taken)

        self.assertNotEqual(taken, ours)

    def test_a_given_port_goes_before_all_others(self) -> None:
        free, given = self.free(), self.free()

        self.assertEqual(given, self.book(proxy=free).hold('proxy', given))

    def test_a_name_holds_one_port(self) -> None:
        book = self.book()
        held = book.hold('proxy')

        self.assertEqual(held, book.hold('proxy'))

    def test_a_given_port_is_never_replaced(self) -> None:
        book = self.book()
        taken = book.hold('object-1')

        self.assertRaises(ports.Unusable, book.hold, 'proxy', taken)


class FolderTest(_Case):

    def test_all_of_it_is_private(self) -> None:
        path = self.path() / 'data'
        folder = folders.Folder(path)
        folder.open()
        self.addCleanup(folder.close)
        folder.write_state({})

        modes = {
            child.name: stat.filemode(child.stat().st_mode)
            for child in (path, *path.iterdir())
        }

        directory, file = 'drwx------', '-rw-------'
        self.assertEqual(
            {
                'data': directory,
                'devices': directory,
                'etc': directory,
                'log': directory,
                'run': directory,
                'lock': file,
                'state.json': file,
            },
            modes,
        )

    def test_one_program_at_a_time(self) -> None:
        folder = self.folder()

        error = self.assertRaises(
            errors.StandaloneError, folders.Folder(folder.path).open
        )

        self.assertEqual(
            f'Another marconi-swift-standalone (process {os.getpid()}) runs '
            f'on the data folder {folder}.',
            str(error),
        )

    def test_closed_it_is_free_for_another(self) -> None:
        folder = self.folder()
        folder.close()

        other = folders.Folder(folder.path)
        other.open()
        other.close()

    def test_a_file_system_without_attributes_is_refused(self) -> None:
        def refuse(*args: Any) -> None:
            raise OSError(errno.EOPNOTSUPP, 'Operation not supported')

        self.patch_object(os, 'setxattr', refuse)
        folder = folders.Folder(self.path())

        for _ in range(2):  # the first attempt leaves no lock behind
            error = self.assertRaises(errors.StandaloneError, folder.open)
            self.assertIn('no user extended attributes', str(error))

    def test_a_full_file_system_is_not_taken_for_one_without(self) -> None:
        folder = folders.Folder(self.path())
        for name in ('setxattr', 'open'):
            with fixtures.MockPatchObject(os, name, self.full):
                error = self.assertRaises(
                    errors.StandaloneError, folder.open
                )
            self.assertEqual(
                f'The data folder {folder} is of no use: No space left on '
                f'device.',
                str(error),
            )

        folder.open()  # a failed attempt leaves no lock behind
        folder.close()

    def full(self, *args: Any) -> None:
        raise OSError(errno.ENOSPC, 'No space left on device')

    def test_what_can_not_be_written_leaves_all_as_it_was(self) -> None:
        folder = self.folder()
        folder.write_state({'replicas': 1})
        before = set(folder.path.iterdir())

        for name in ('fsync', 'replace', 'open'):
            with fixtures.MockPatchObject(os, name, self.full):
                error = self.assertRaises(
                    errors.StandaloneError, folder.write_state, {}
                )
            self.assertEqual(
                f'The file {folder}/state.json can not be written: No space '
                f'left on device.',
                str(error),
            )

        self.assertEqual(before, set(folder.path.iterdir()))
        self.assertEqual({'replicas': 1}, folder.read_state())

    def test_a_folder_that_can_not_be_made_is_refused(self) -> None:
        file = self.path() / 'file'
        file.touch()

        error = self.assertRaises(
            errors.StandaloneError, folders.Folder(file / 'data').open
        )

        self.assertIn(f'The data folder {file}/data is of no use', str(error))

    def test_a_path_that_configuration_would_misread_is_refused(self) -> None:
        for path in ('/data/5%', '/data/a#b', '/data/a?b', '/data/a\\b'):
            self.assertRaises(errors.StandaloneError, folders.Folder, path)

    def test_a_pid_that_a_power_cut_erased_is_of_nobody(self) -> None:
        folder = self.folder()
        (folder.run / 'proxy.pid').write_text('')

        leftovers.stop(folder)

        self.assertEqual([], list(folder.run.iterdir()))

    def test_the_state_is_remembered(self) -> None:
        folder = self.folder()
        self.assertEqual({}, folder.read_state())

        folder.write_state({'replicas': 3})

        self.assertEqual({'replicas': 3}, folder.read_state())

    def test_a_state_of_another_program_is_refused(self) -> None:
        folder = self.folder()
        (folder.path / 'state.json').write_text('{')

        self.assertRaises(errors.StandaloneError, folder.read_state)


class SiteTest(_Case):

    def site(self, path: pathlib.Path) -> sites.Site:
        site = sites.Site(path)
        site.open()
        self.addCleanup(site.close)
        return site

    def test_secrets_and_ports_are_found_again(self) -> None:
        path = self.path()
        first = self.site(path)
        secret, port = first.secret('s'), first.hold_port('p')
        first.close()

        again = self.site(path)

        self.assertEqual(secret, again.secret('s'))
        self.assertEqual(port, again.port('p'))
        self.assertNotEqual(secret, again.secret('other'))

    def test_what_was_decided_stays(self) -> None:
        path = self.path()
        first = self.site(path)
        first.made_with('replicas', 1)
        first.hold_port('p')
        first.close()

        error = self.assertRaises(
            errors.StandaloneError, self.site(path).made_with, 'replicas', 3
        )

        self.assertIn('made with 1 replicas and not 3', str(error))

    def test_what_was_decided_need_not_be_said(self) -> None:
        path = self.path()
        first = self.site(path)
        self.assertEqual(3, first.made_with('replicas', 3, 1))
        first.hold_port('p')
        first.close()

        self.assertEqual(3, self.site(path).made_with('replicas', None, 1))

    def test_what_nobody_said_is_the_default(self) -> None:
        site = self.site(self.path())

        self.assertEqual(1, site.made_with('replicas', None, 1))

    def test_a_given_port_goes_before_another_server_s(self) -> None:
        path = self.path()
        first = self.site(path)
        port = first.hold_port('object-1')
        first.close()

        again = sites.Site(path)
        again.give_port('proxy', port)
        again.open()
        self.addCleanup(again.close)

        self.assertNotEqual(port, again.hold_port('object-1'))
        self.assertEqual(port, again.hold_port('proxy'))

    def test_a_given_port_that_is_taken_leaves_the_folder(self) -> None:
        path = self.path()
        held = ports.Reservation()
        self.addCleanup(held.release)
        site = sites.Site(path)
        site.give_port('proxy', held.port)

        self.assertRaises(ports.Unusable, site.open)

        self.site(path)

    def test_what_was_decided_need_not_be_known(self) -> None:
        path = self.path()
        first = self.site(path)
        self.assertEqual(8, first.decided('part_power', 8))
        first.hold_port('p')
        first.close()

        self.assertEqual(8, self.site(path).decided('part_power', 3))

    def test_one_program_at_a_time_uses_it(self) -> None:
        path = self.path()
        self.site(path)

        self.assertRaises(errors.StandaloneError, self.site, path)


class ConfsTest(_Case):

    def setUp(self) -> None:
        super().setUp()
        self.writer = confs.Writer(self.folder(), 'INFO')

    def proxy(self, auth: confs.Auth, tally: bool, **options: Any) -> str:
        filters = (confs.TALLY,) if tally else ()
        return self.writer.proxy('proxy', 80, auth, filters, **options)

    def read(self, path: str) -> configparser.ConfigParser:
        """Read a file as Swift does, with interpolation."""
        parser = configparser.ConfigParser()
        parser.read(path)
        return parser

    def test_every_filter_of_the_proxy_is_there(self) -> None:
        conf = self.read(self.proxy(confs.tempauth({'a': 'k'}), True))

        pipeline = conf['pipeline:main']['pipeline'].split()

        self.assertLess(pipeline.index('tally'), pipeline.index('tempauth'))
        for name in pipeline[:-1]:
            self.assertIn(f'filter:{name}', conf.sections())
        self.assertIn(f'app:{pipeline[-1]}', conf.sections())

    def test_nothing_is_counted_unless_asked_for(self) -> None:
        conf = self.read(self.proxy(confs.tempauth({}), False))

        self.assertNotIn('tally', conf['pipeline:main']['pipeline'].split())

    def test_servers_wait_for_one_another_as_long_as_they_are_told(
        self,
    ) -> None:
        limits = confs.Limits(0.5, 2, 3, 10, 4)
        writer = confs.Writer(self.folder(), 'INFO', limits)

        proxy = self.read(writer.proxy('proxy', 80, confs.tempauth({})))
        storage = self.read(writer.storage('object-1', 'object', 81))
        updater = self.read(writer.updater('object-updater', 1))

        app = proxy['app:proxy-server']
        self.assertEqual(
            ('0.5', '3', '10', '4'),
            tuple(app[name] for name in (
                'conn_timeout', 'node_timeout', 'error_suppression_limit',
                'error_suppression_interval')))
        self.assertEqual(
            '2', storage['app:object-server']['container_update_timeout'])
        self.assertEqual('2', updater['object-updater']['node_timeout'])

    def test_a_replicator_knows_its_node(self) -> None:
        conf = self.read(self.writer.replicator(
            'container-replicator-2', 'container', 82, 1.5))

        self.assertEqual('82', conf['DEFAULT']['bind_port'])
        self.assertEqual('1.5', conf['container-replicator']['interval'])

    def test_every_account_has_a_user(self) -> None:
        conf = self.read(
            self.proxy(confs.tempauth({'a': 'k', 'b': 'l'}), False)
        )

        self.assertEqual('k .admin', conf['filter:tempauth']['user_a_tester'])
        self.assertEqual('l .admin', conf['filter:tempauth']['user_b_tester'])

    def test_keystone_takes_the_place_of_tempauth(self) -> None:
        auth = confs.keystone('http://k/v3', {'username': 'swift'}, 'op', 7)

        conf = self.read(self.proxy(auth, True))

        pipeline = conf['pipeline:main']['pipeline'].split()
        self.assertNotIn('tempauth', pipeline)
        self.assertLess(
            pipeline.index('authtoken'), pipeline.index('keystoneauth')
        )
        for name in pipeline[:-1]:
            self.assertIn(f'filter:{name}', conf.sections())
        authtoken = conf['filter:authtoken']
        self.assertEqual('swift', authtoken['username'])
        self.assertEqual('7', authtoken['token_cache_time'])
        self.assertEqual('op', conf['filter:keystoneauth']['operator_roles'])

    def test_the_proxy_is_told_of_its_certificate(self) -> None:
        conf = self.read(self.proxy(
            confs.tempauth({}),
            False,
            certificate=tls.Certificate('/c', '/k', '/ca'),
        ))

        self.assertEqual('/c', conf['DEFAULT']['cert_file'])
        self.assertEqual('/k', conf['DEFAULT']['key_file'])

    def test_servers_serve_this_machine_only(self) -> None:
        paths = [
            self.proxy(confs.tempauth({}), True),
            self.writer.storage('object-1', 'object', 81),
        ]

        for path in paths:
            self.assertEqual(
                '127.0.0.1', self.read(path)['DEFAULT']['bind_ip']
            )

    def test_a_full_disk_is_full_for_all_servers(self) -> None:
        conf = self.read(self.writer.storage('object-1', 'object', 81))

        self.assertNotIn('disable_fallocate', conf['DEFAULT'])


class ZaqarConfTest(_Case):

    def read(self, text: str) -> configparser.ConfigParser:
        conf = configparser.ConfigParser(interpolation=None)
        conf.read_string(text)
        return conf

    def test_both_stores_get_the_credentials(self) -> None:
        conf = self.read(zaqar.describe(CREDENTIALS.options, 'secret'))

        self.assertEqual('', conf['DEFAULT']['auth_strategy'])
        for kind in ('message', 'management'):
            store = conf[f'drivers:{kind}_store:marconi-swift']
            self.assertEqual('v1password', store['auth_type'])
            self.assertEqual(CREDENTIALS.auth_url, store['auth_url'])
            self.assertEqual(CREDENTIALS.username, store['username'])
            self.assertEqual(CREDENTIALS.password, store['password'])

    def test_the_stores_can_be_others(self) -> None:
        text = zaqar.describe(
            CREDENTIALS.options, 'secret', zaqar.Stores('redis', 'mongodb')
        )

        self.assertIn('message_store = redis\n', text)
        self.assertIn('[drivers:management_store:mongodb]\n', text)

    def test_a_database_can_be_the_management_store(self) -> None:
        conf = self.read(zaqar.describe(
            CREDENTIALS.options,
            'secret',
            zaqar.Stores(management='sqlalchemy'),
            'sqlite:////f',
        ))

        self.assertEqual(
            {'uri': 'sqlite:////f'},
            self.own(conf, 'drivers:management_store:sqlalchemy'),
        )
        self.assertEqual(
            CREDENTIALS.username,
            conf['drivers:message_store:marconi-swift']['username'],
        )

    def own(
        self, conf: configparser.ConfigParser, section: str
    ) -> dict[str, str]:
        """Return what a section says, without the defaults."""
        return {
            name: value
            for name, value in conf[section].items()
            if name not in conf.defaults()
        }

    def test_keystone_guards_what_is_asked_to_be_guarded(self) -> None:
        conf = self.read(zaqar.describe(
            CREDENTIALS.options,
            'secret',
            guard=zaqar.Guard('http://k/v3', {
                'username': 'zaqar', 'project_name': 'service'}),
            pooling=True,
        ))

        self.assertEqual('keystone', conf['DEFAULT']['auth_strategy'])
        self.assertEqual('True', conf['DEFAULT']['pooling'])
        self.assertEqual(
            'True', conf['pooling:catalog']['enable_virtual_pool'])
        for section in ('keystone_authtoken', 'trustee'):
            self.assertEqual('zaqar', conf[section]['username'])
        self.assertEqual(
            'service', conf['keystone_authtoken']['project_name'])
        # A token is for a trust or for a project, not for both.
        self.assertNotIn('project_name', conf['trustee'])

    def test_pools_can_be_added_where_nobody_is_asked_who_he_is(self) -> None:
        for pooling in (False, True):
            conf = self.read(zaqar.describe(
                CREDENTIALS.options, 'secret', pooling=pooling))

            self.assertEqual(
                pooling, conf.getboolean('DEFAULT', 'admin_mode'))
            self.assertEqual(pooling, conf.getboolean('DEFAULT', 'pooling'))

    def test_gunicorn_is_told_a_path_with_quotes(self) -> None:
        path = "/it's"
        application = f'{zaqar.APPLICATION}({path!r})'
        text = zaqar.GUNICORN.format(
            application=application,
            host=ports.HOST,
            port=80,
            workers=1,
            threads=2,
            access_log=None,
        )

        first = ast.parse(text).body[0]

        assert isinstance(first, ast.Assign)
        self.assertEqual(application, ast.literal_eval(first.value))


class MemoryCacheTest(_Case):

    def setUp(self) -> None:
        super().setUp()
        self.now = 100.0
        self.patch_object(time, 'monotonic', lambda: self.now)
        self.cache = memcache.MemoryCache()

    def test_a_value_comes_out_as_memcached_would_give_it(self) -> None:
        self.cache.set('key', (1.5, 'group', b'bytes'))

        self.assertEqual([1.5, 'group', 'bytes'], self.cache.get('key'))

    def test_a_value_is_the_callers_own(self) -> None:
        self.cache.set('key', ['a'])
        self.cache.get('key').append('b')

        self.assertEqual(['a'], self.cache.get('key'))

    def test_a_value_expires(self) -> None:
        self.cache.set('key', 1, time=10)

        self.now += 9
        self.assertEqual(1, self.cache.get('key'))
        self.now += 1
        self.assertIsNone(self.cache.get('key'))

    def test_a_value_without_a_time_stays(self) -> None:
        self.cache.set('key', 1)

        self.now += 10**9

        self.assertEqual(1, self.cache.get('key'))

    def test_a_deleted_value_is_gone(self) -> None:
        self.cache.set('key', 1)

        self.cache.delete('key')
        self.cache.delete('key')

        self.assertIsNone(self.cache.get('key'))

    def test_counting_starts_at_nothing_and_never_goes_below(self) -> None:
        self.assertEqual(3, self.cache.incr('key', 3))
        self.assertEqual(1, self.cache.decr('key', 2))
        self.assertEqual(0, self.cache.decr('key', 2))
        self.assertEqual(0, self.cache.decr('other'))

    def test_counting_does_not_prolong(self) -> None:
        self.cache.incr('key', time=10)
        self.now += 9
        self.cache.incr('key', time=10)
        self.now += 1

        self.assertIsNone(self.cache.get('key'))

    def test_several_values_at_once(self) -> None:
        self.cache.set_multi({'a': 1, 'b': 2}, 'server')

        self.assertEqual(
            [2, None, 1], self.cache.get_multi(['b', 'c', 'a'], 'server')
        )

    def test_the_oldest_value_makes_room(self) -> None:
        cache = memcache.MemoryCache(capacity=2)
        for key in ('a', 'b', 'a', 'c'):
            cache.set(key, key)

        self.assertEqual(['a', None, 'c'], cache.get_multi('abc', 'server'))

    def test_swift_finds_it(self) -> None:
        seen: list[dict[str, Any]] = []

        def app(env: dict[str, Any], start_response: Any) -> list[bytes]:
            seen.append(env)
            return []

        filtered = memcache.filter_factory({})(app)
        filtered({}, None)
        filtered({}, None)

        self.assertIsInstance(seen[0]['swift.cache'], memcache.MemoryCache)
        self.assertIs(seen[0]['swift.cache'], seen[1]['swift.cache'])


class WavesTest(_Case):

    def test_a_wave_passes_when_it_is_full(self) -> None:
        waves = tally.Waves([2], timeout=60)
        passed: list[int] = []

        def request(number: int) -> None:
            waves.join()
            passed.append(number)

        first = eventlet.spawn(request, 1)
        eventlet.sleep(0)
        self.assertEqual([], passed)
        request(2)
        first.wait()

        self.assertEqual({1, 2}, set(passed))
        self.assertEqual([{'wanted': 2, 'got': 2}], waves.report())

    def test_a_wave_that_stays_short_ends_all(self) -> None:
        waves = tally.Waves([2, 1], timeout=0)

        waves.join()
        waves.join()

        self.assertEqual(
            [{'wanted': 2, 'got': 1}, {'wanted': 1, 'got': 0}],
            waves.report(),
        )

    def test_none_are_armed_at_first(self) -> None:
        tally.Waves().join()

    def test_a_full_wave_says_so(self) -> None:
        self.assertTrue(tallying.Wave(2, 2).full)
        self.assertFalse(tallying.Wave(2, 1).full)


class Body(list[bytes]):
    """What a WSGI application answers, and whether it was closed."""

    closed = False

    def close(self) -> None:
        self.closed = True


class TallyFilterTest(_Case):

    def setUp(self) -> None:
        super().setUp()
        self.statuses: list[str] = []
        self.body = Body([b'a', b'b'])
        self.filter = tally.filter_factory({})(self.answer)

    def answer(self, env: dict[str, Any], start_response: Any) -> Body:
        start_response('201 Created', [])
        return self.body

    def ask(
        self,
        method: str,
        path: str,
        orders: Any = None,
        address: str = '127.0.0.1',
    ) -> bytes:
        content = json.dumps(orders).encode()
        env = {
            'REQUEST_METHOD': method,
            'SCRIPT_NAME': '',
            'PATH_INFO': path,
            'REMOTE_ADDR': address,
            'SERVER_NAME': 'localhost',
            'SERVER_PORT': '80',
            'CONTENT_LENGTH': str(len(content)),
            'wsgi.input': io.BytesIO(content),
            'wsgi.url_scheme': 'http',
        }
        body = self.filter(
            env, lambda status, *rest: self.statuses.append(status)
        )
        text = b''.join(body)
        getattr(body, 'close', lambda: None)()
        return text

    def read(self) -> Any:
        return json.loads(self.ask('GET', tallying.CONTROL))

    def test_answers_pass_unchanged(self) -> None:
        self.assertEqual(b'ab', self.ask('PUT', '/v1/a/c'))
        self.assertEqual(['201 Created'], self.statuses)
        self.assertTrue(self.body.closed)

    def test_only_storage_requests_are_counted(self) -> None:
        for path in ('/auth/v1.0', '/info', '/v1/a'):
            self.ask('GET', path)

        (request,) = self.read()['requests']
        self.assertEqual('/v1/a', request['path'])

    def test_others_can_not_control_it(self) -> None:
        text = self.ask('GET', tallying.CONTROL, address='192.0.2.1')

        self.assertEqual(b'ab', text)

    def test_a_reset_forgets_all(self) -> None:
        self.ask('PUT', tallying.CONTROL, {'waves': [1], 'delay': 0.001})
        self.ask('GET', '/v1/a')

        self.ask('DELETE', tallying.CONTROL)

        self.assertEqual({'requests': [], 'waves': []}, self.read())

    def test_a_delay_leaves_the_waves_alone(self) -> None:
        self.ask('PUT', tallying.CONTROL, {'waves': [1]})
        self.ask('PUT', tallying.CONTROL, {'delay': 0.001})

        self.assertEqual([{'wanted': 1, 'got': 0}], self.read()['waves'])

    def test_other_methods_are_refused(self) -> None:
        self.ask('POST', tallying.CONTROL)

        self.assertEqual(['405 Method Not Allowed'], self.statuses)


class ProcessesTest(_Case):

    def test_the_last_line_of_a_log_is_quoted(self) -> None:
        log = self.path() / 'x.log'
        log.write_text('Traceback\n  ...\nValueError: no\n\n')

        self.assertEqual(
            ' and ends: ValueError: no', processes.describe_end(log)
        )

    def test_an_empty_log_says_so(self) -> None:
        log = self.path() / 'x.log'
        log.touch()

        self.assertEqual(' and is empty.', processes.describe_end(log))


class LeftoversTest(_Case):

    def test_a_process_that_is_not_is_not_ours(self) -> None:
        # Larger than any pid that Linux gives.
        self.assertFalse(leftovers.is_ours(2**22 + 1, self.folder()))

    def test_this_process_is_not_ours_either(self) -> None:
        self.assertFalse(leftovers.is_ours(os.getpid(), self.folder()))


class LaunchTest(_Case):

    def test_an_orphan_does_not_even_start(self) -> None:
        self.patch_object(ctypes, 'CDLL', self.no_prctl)

        error = self.assertRaises(
            SystemExit, launch.die_with, os.getppid() + 1
        )

        self.assertIn('is gone', str(error))

    def run_as_child(self, code: str) -> None:
        """Run it where what is done to Swift's modules goes with it."""
        start = 'from marconi_swift.standalone import launch; '
        subprocess.run([sys.executable, '-c', start + code], check=True)

    def test_swift_changes_neither_user_nor_group(self) -> None:
        self.run_as_child(
            'launch.stay_oneself(); '
            'from swift.common import utils, wsgi; '
            'utils.drop_privileges("nobody of that name"); '
            'wsgi.drop_privileges("nobody of that name")'
        )

    def test_a_row_is_on_the_disk_when_it_is_answered(self) -> None:
        path = self.path()
        synced: list[os.stat_result] = []
        self.patch_object(
            os, 'fsync', lambda number: synced.append(os.fstat(number))
        )
        put_record = db.DatabaseBroker.put_record
        self.patch_object(db.DatabaseBroker, 'put_record', put_record)
        broker = backend.ContainerBroker(
            str(path / 'c' / 'c.db'), account='a', container='c'
        )
        broker.initialize('1', 0)
        synced.clear()

        launch.keep_rows()
        broker.put_object('o', '2', 0, 'text/plain', 'etag')

        self.assertEqual([os.stat(broker.pending_file)], synced)

    def no_prctl(self, name: None) -> Any:
        class Library:
            def prctl(self, option: int, number: int) -> None:
                pass

        return Library()


class RequireTest(_Case):

    def test_a_missing_package_is_named_with_its_remedy(self) -> None:
        error = self.assertRaises(
            errors.StandaloneError, processes.require, 'no_such_package'
        )

        self.assertEqual(
            'The Python package no_such_package is missing: '
            'pip install marconi-swift[standalone]',
            str(error),
        )

    def test_the_remedy_names_the_extra_that_has_it(self) -> None:
        error = self.assertRaises(
            errors.StandaloneError,
            processes.require,
            'no_such_package',
            'cloud',
        )

        self.assertIn('pip install marconi-swift[cloud]', str(error))


class CliTest(_Case):

    def complaint(self, *arguments: str) -> str:
        text = io.StringIO()
        self.patch_object(sys, 'stderr', text)
        self.assertRaises(SystemExit, cli.parse, arguments)
        return text.getvalue()

    def test_nothing_needs_to_be_said(self) -> None:
        options = cli.parse([])

        self.assertEqual('marconi-swift-data', options.data)
        self.assertIsNone(options.port)

    def test_ports_are_numbers_that_exist(self) -> None:
        for port in ('0', '65536', 'http'):
            self.assertIn('--port', self.complaint('--port', port))

    def test_two_servers_do_not_share_a_port(self) -> None:
        self.assertIn(
            'must differ',
            self.complaint('--port', '8888', '--swift-port', '8888'),
        )

    def test_keystone_has_a_port_of_its_own_too(self) -> None:
        self.assertIn(
            'must differ',
            self.complaint('--swift-port', '80', '--keystone-port', '80'),
        )

    def test_a_folder_says_how_many_replicas_it_has(self) -> None:
        self.assertIsNone(cli.parse([]).replicas)

    def test_no_proxy_is_asked_for_this_machine(self) -> None:
        for lower, upper, spared in (
            (None, None, '127.0.0.1'),
            ('a,.b', 'c', 'a,.b,127.0.0.1'),
            ('', 'c', 'c,127.0.0.1'),
            ('*', None, '*'),
        ):
            self.useFixture(fixtures.EnvironmentVariable('no_proxy', lower))
            self.useFixture(fixtures.EnvironmentVariable('NO_PROXY', upper))

            cli.ask_directly()

            self.assertEqual(spared, os.environ['no_proxy'])
            self.assertEqual(spared, os.environ['NO_PROXY'])

    def test_with_nohup_it_goes_on_without_a_terminal(self) -> None:
        for each in cli.STOPPERS:
            self.addCleanup(signal.signal, each, signal.getsignal(each))
        for before, ignored in (
            (signal.SIG_IGN, True), (signal.SIG_DFL, False)
        ):
            signal.signal(signal.SIGHUP, before)

            cli.stop_on_signals()

            self.assertEqual(
                ignored, signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
            )

    def test_help_names_every_option(self) -> None:
        text = io.StringIO()
        self.patch_object(sys, 'stdout', text)

        self.assertRaises(SystemExit, cli.parse, ['--help'])

        for option in vars(cli.parse([])):
            name = '--' + option.replace('_', '-')
            self.assertThat(text.getvalue(), matchers.Contains(name))

    def test_the_session_to_paste_has_what_zaqar_requires(self) -> None:
        path = self.path()
        cluster = swift.SwiftCluster(path)
        text = cli.greet(cluster, zaqar.ZaqarServer(cluster))

        for part in (str(path / 'log'), 'Client-ID:', 'X-Project-ID:'):
            self.assertThat(text, matchers.Contains(part))
