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
"""Where settings come from, and what is said about those that can't work."""

import contextlib
import dataclasses
import logging
import pathlib
from typing import Any

import fixtures
from keystoneauth1 import loading
from oslo_config import cfg
import testtools
from zaqar.common import errors
from zaqar.storage import utils

from marconi_swift import driver
from marconi_swift import options
from tests.fixtures import conf as confs

_GROUP = options.DATA_GROUP

#: Parts of passwords, and URIs that have them as they are.
SECRETS = ('hush', 'mouse')
SECRETIVE_URIS = (
    'marconi-swift://me:hush/mouse@host',
    'marconi-swift://me:hush#mouse@host',
    'marconi-swift://me:hush?mouse@host',
    'marconi-swift://host?password=hush&mouse',
    'marconi-swift://me:hush\u2100mouse@host',
    'marconi-swift://me:[hush]mouse@host')


class OptionsTest(testtools.TestCase):

    def configure(self, **settings: Any) -> cfg.ConfigOpts:
        folder = self.useFixture(fixtures.TempDir()).path
        path = str(pathlib.Path(folder, 'zaqar.conf'))
        confs.write(path, **settings)
        conf = confs.read(path)
        for group, registered in options.driver_options(_GROUP):
            conf.register_opts(registered, group)
        return conf

    def read(self, **settings: Any) -> options.Settings:
        return options.read(self.configure(**settings), _GROUP)

    def refused(self, **settings: Any) -> str:
        return str(self.assertRaises(
            options.InvalidConfiguration, self.read, **settings))


class TestSettings(OptionsTest):

    def test_come_from_the_group(self) -> None:
        settings = self.read(
            auth_type='v1password', auth_url='http://swift/auth',
            username='me', password='secret', container_prefix='mine',
            storage_policy='gold', fan_out=3, retries=1,
            retry_time_limit=2.5, timeout=7, cafile='/ca', certfile='/cert',
            keyfile='/key', region_name='here', interface='internal',
            endpoint_override='http://swift/v1/me')

        auth: Any = settings.make_auth()
        self.assertEqual(('http://swift/auth', 'me', 'secret'),
                         (auth.auth_url, auth.user, auth.key))
        self.assertEqual('mine', settings.container_prefix)
        self.assertEqual('gold', settings.storage_policy)
        self.assertEqual(3, settings.fan_out)
        self.assertEqual(1, settings.retries)
        self.assertEqual(2.5, settings.retry_time_limit)
        self.assertEqual(7, settings.timeout)
        self.assertEqual('/ca', settings.verify)
        self.assertEqual(('/cert', '/key'), settings.certificate)
        self.assertEqual('http://swift/v1/me', settings.endpoint_override)
        self.assertEqual(
            {'service_type': 'object-store', 'service_name': None,
             'interface': ['internal'], 'region_name': 'here'},
            settings.endpoint_filter)

    def test_of_pools_are_what_they_say(self) -> None:
        # Zaqar registers what a pool's record has, all of it as text.
        conf = cfg.ConfigOpts()
        conf(args=[], default_config_files=[])
        conf.register_opts(
            [cfg.StrOpt(name, default=value) for name, value in (
                ('insecure', 'false'), ('fan_out', '4'),
                ('container_prefix', 'mine'))], group=_GROUP)
        for opt in options.driver_options(_GROUP)[0][1]:
            with contextlib.suppress(cfg.DuplicateOptError):
                conf.register_opt(opt, group=_GROUP)
        conf.set_override('auth_type', 'none', group=_GROUP)

        settings = options.read(conf, _GROUP)

        self.assertIs(True, settings.verify)
        self.assertEqual(4, settings.fan_out)
        conf.set_override('container_prefix', 'a b', group=_GROUP)
        error = self.assertRaises(
            options.InvalidConfiguration, options.read, conf, _GROUP)
        self.assertIn('container_prefix', str(error))

    def test_tell_one_swift_from_another(self) -> None:
        for place, settings in (
                ('swift:8080', {'endpoint_override': 'http://swift:8080/v1/x',
                                'auth_url': 'http://keystone'}),
                ('keystone:5000 in here', {
                    'auth_url': 'https://me:secret@keystone:5000/v3',
                    'region_name': 'here'})):
            self.assertEqual(place, self.read(
                auth_type='v1password', username='me', password='secret',
                **settings).place)

    def test_come_from_the_uri_first(self) -> None:
        settings = self.read(
            uri='marconi-swift://m%40e:s%2Fe%3Ac@keystone:5000/v3?'
                'auth_type=password&project_name=a%26b&fan_out=5&'
                'interface=internal&user_domain_name=Default&'
                'insecure=true&container_prefix=theirs',
            auth_type='v1password', username='you', fan_out=3)

        auth: Any = settings.make_auth()
        self.assertEqual('https://keystone:5000/v3', auth.auth_url)
        self.assertEqual(('m@e', 's/e:c', 'a&b', 'Default'), (
            auth._username, auth._password, auth._project_name,
            auth._user_domain_name))
        self.assertEqual(5, settings.fan_out)
        self.assertIs(False, settings.verify)
        self.assertEqual('theirs', settings.container_prefix)
        self.assertEqual(['internal'], settings.endpoint_filter['interface'])

    def test_that_can_not_be_computed_with_are_refused(self) -> None:
        for name, value in (
                ('retry_time_limit', 'nan'), ('clock_skew', 'nan'),
                ('cache_time', 'inf'), ('claim_attempt_limit', 'inf'),
                ('timeout', '-1')):
            error = self.assertRaises(
                options.InvalidConfiguration, self.read,
                uri=f'marconi-swift://?auth_type=none&endpoint_override=http:'
                    f'//x&{name}={value}')
            self.assertIn(name, str(error))

    def test_know_the_authority_of_what_is_not_verified(self) -> None:
        self.assertIs(False, self.read(
            uri='marconi-swift://?auth_type=none&endpoint_override=http://x&'
                'insecure=true&cafile=/ca.pem').verify)

    def test_keep_credentials_in_a_section_that_the_uri_names(self) -> None:
        conf = self.configure(uri='marconi-swift://?auth_section=elsewhere')
        for opt in (*loading.get_auth_common_conf_options(),
                    *loading.get_auth_plugin_conf_options('v1password')):
            conf.register_opt(opt, 'elsewhere')
        for name, value in (('auth_type', 'v1password'),
                            ('auth_url', 'http://swift/auth'),
                            ('username', 'me'), ('password', 'secret')):
            conf.set_override(name, value, 'elsewhere')

        auth: Any = options.read(conf, _GROUP).make_auth()

        self.assertEqual('secret', auth.key)

    def test_have_bounded_waits_and_verify_tls_unless_told(self) -> None:
        settings = self.read(auth_type='none', endpoint_override='http://x')

        self.assertEqual(20.0, settings.timeout)
        self.assertIs(True, settings.verify)

    def test_are_frozen(self) -> None:
        settings = self.read(auth_type='none', endpoint_override='http://x')

        self.assertRaises(dataclasses.FrozenInstanceError, setattr,
                          settings, 'fan_out', 1)

    def test_do_not_show_secrets(self) -> None:
        settings = self.read(
            auth_type='v1password', auth_url='http://swift/auth',
            username='me', password='s3cret')

        self.assertNotIn('s3cret', repr(settings))


class TestMistakes(OptionsTest):

    def test_no_auth_type(self) -> None:
        self.assertIn('No auth_type is set', self.refused())

    def test_unknown_auth_type(self) -> None:
        self.assertIn("'magic'", self.refused(auth_type='magic'))

    def test_missing_credentials(self) -> None:
        self.assertIn('auth_url', self.refused(auth_type='password'))

    def test_foreign_uri(self) -> None:
        self.assertIn('must start with marconi-swift://',
                      self.refused(uri='swift://', auth_type='none'))

    def test_unreadable_uris(self) -> None:
        for uri in ('marconi-swift://host:port', 'marconi-swift://?fan_out',
                    'marconi-swift://[::1'):
            self.assertIn('can not be read', self.refused(
                uri=uri, auth_type='none'))

    def test_unreadable_uris_are_not_shown(self) -> None:
        """Not even a part of them: it can be that of a password."""
        for uri in SECRETIVE_URIS:
            said = self.refused(uri=uri, auth_type='none')

            self.assertIn('can not be read', said)
            self.assertIn('percent-encoded', said)
            for part in SECRETS:
                self.assertNotIn(part, said)

    def test_unreadable_uris_are_not_logged(self) -> None:
        for uri in SECRETIVE_URIS:
            conf = self.configure(uri=uri, auth_type='none')
            log = self.useFixture(fixtures.FakeLogger(level=logging.DEBUG))

            self.assertRaises(errors.InvalidDriver,
                              utils.load_storage_driver, conf, None,
                              control_driver=object())

            self.assertIn('can not be read', log.output)
            for part in SECRETS:
                self.assertNotIn(part, log.output)

    def test_unknown_option_in_the_uri(self) -> None:
        self.assertIn('fanout', self.refused(
            uri='marconi-swift://?fanout=3', auth_type='none',
            endpoint_override='http://x'))

    def test_value_of_the_wrong_type_in_the_uri(self) -> None:
        for setting in ('fan_out=many', 'fan_out=0', 'container_prefix=a/b',
                        'retry_time_limit=-1'):
            self.assertIn(setting.partition('=')[0], self.refused(
                uri=f'marconi-swift://?{setting}', auth_type='none',
                endpoint_override='http://x'))


class TestPools(OptionsTest):
    """Zaqar registers a pool's options before its driver can."""

    def test_keep_their_settings_when_another_is_loaded(self) -> None:
        conf = self.configure()

        def load(name: str) -> driver.DataDriver:
            uri = (f'marconi-swift://?auth_type=none&container_prefix={name}'
                   f'&endpoint_override=http%3A%2F%2F{name}')
            return driver.DataDriver(
                utils.dynamic_conf(uri, {'fan_out': 7}, conf), None, None)

        first, second = load('one'), load('two')

        self.assertEqual(['one', 'two'], [
            pool.account.settings.container_prefix
            for pool in (first, second)])
        self.assertEqual('http://one',
                         first.account.settings.endpoint_override)
        self.assertEqual(7, first.account.settings.fan_out)

    def test_work_before_any_driver_registered_an_option(self) -> None:
        conf = cfg.ConfigOpts()
        conf(args=[], default_config_files=[])
        uri = ('marconi-swift://?auth_type=none&'
               'endpoint_override=http%3A%2F%2Fx')

        pool = driver.DataDriver(
            utils.dynamic_conf(uri, {'fan_out': 7}, conf), None, None)

        self.assertEqual(7, pool.account.settings.fan_out)
        self.assertEqual(4, pool.account.settings.retries)

    def test_opened_first_are_not_what_the_configuration_leaves_out(
        self,
    ) -> None:
        class Store:
            """A control driver that is not ours."""

        path = pathlib.Path(
            self.useFixture(fixtures.TempDir()).path, 'zaqar.conf')
        path.write_text(
            '[DEFAULT]\npooling = True\n'
            f'[drivers]\nmanagement_store = {options.SCHEME}\n'
            f'[{options.CONTROL_GROUP}]\nauth_type = none\n'
            f'[{_GROUP}]\nauth_type = none\n')
        for make in (lambda conf: Store(),
                     lambda conf: driver.ControlDriver(conf, None)):
            conf = confs.read(str(path))
            store = make(conf)
            utils.dynamic_conf('marconi-swift://?container_prefix=one',
                               {'fan_out': 7, 'retries': 5}, conf)

            settings = driver.DataDriver(conf, None, store).account.settings

            self.assertEqual(
                ('marconi-swift://', 'marconi', 32, 4),
                (settings.uri, settings.container_prefix, settings.fan_out,
                 settings.retries))

    def test_have_a_management_store_though_the_message_store_is_wrong(
        self,
    ) -> None:
        path = pathlib.Path(
            self.useFixture(fixtures.TempDir()).path, 'zaqar.conf')
        path.write_text(
            '[DEFAULT]\npooling = True\n'
            f'[{options.CONTROL_GROUP}]\nauth_type = none\n'
            f'[{_GROUP}]\nauth_type = none\nclaim_attempt_limit = 0.5\n')
        conf = confs.read(str(path))
        control = driver.ControlDriver(conf, None)

        self.assertRaises(
            cfg.ConfigFileValueError, driver.DataDriver, conf, None, control)

    def test_are_not_mixed_while_they_are_read(self) -> None:
        conf = self.configure(
            auth_type='none', uri='marconi-swift://?container_prefix=one')
        parse = options._parse_uri

        def parsing(*args: Any) -> dict[str, str]:
            conf.set_override('uri', 'marconi-swift://', _GROUP)
            return parse(*args)

        self.useFixture(fixtures.MonkeyPatch(
            'marconi_swift.options._parse_uri', parsing))

        settings = options.read(conf, _GROUP)

        self.assertEqual('one', settings.container_prefix)
        self.assertEqual(
            'marconi-swift://?container_prefix=one', settings.uri)


class TestSample(testtools.TestCase):

    def test_has_every_option_once_with_its_secrets_marked(self) -> None:
        for _, listed in options.list_opts():
            names = [opt.dest for opt in listed]

            self.assertEqual(sorted(set(names)), sorted(names))
            self.assertEqual(
                {'uri', 'auth_type', 'auth_url', 'cafile', 'region_name',
                 'fan_out', 'password', 'application_credential_id'}
                - set(names), set())
            self.assertEqual(
                {'uri', 'password', 'application_credential_secret'} -
                {opt.dest for opt in listed if opt.secret}, set())
