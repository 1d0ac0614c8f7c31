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
"""The devstack plugin, in every phase and both orders of the plugins."""

import configparser
import os
import pathlib
import re
from typing import Any

import testscenarios
import testtools
from testtools import matchers
import yaml

from marconi_swift import driver
from marconi_swift import options
from marconi_swift.manage import stores
from tests.fixtures import plugin
from tests.fixtures import snippets

#: What Zaqar's plugin can be told to store in; the last is unknown to it.
_BACKENDS = ('mongodb', 'redis', 'swift', 'marconi-swift')

_STORES = {'message_store', 'management_store'}

_FOLDER = plugin.CHECKOUT / 'devstack'


def text(path: str | pathlib.Path) -> str:
    return pathlib.Path(path).read_text()


def sections(path: str) -> dict[str, dict[str, str]]:
    """All that a configuration file sets: by section, and by option."""
    parser = configparser.ConfigParser(
        interpolation=None, default_section='none')
    parser.read_string(text(path))
    return {name: dict(parser[name]) for name in parser.sections()}


class PluginTest(testtools.TestCase):

    def machine(self, *lines: str, **localrc: Any) -> plugin.Devstack:
        return self.useFixture(
            plugin.Devstack(plugin.localrc(*lines, **localrc)))

    def drivers(self, path: str) -> tuple[Any, Any]:
        """Make both drivers of a zaqar.conf, which must be ours."""
        conf = stores.read(stores.named(path))
        self.assertEqual(options.SCHEME, conf.drivers.management_store)
        self.assertEqual(options.SCHEME, conf.drivers.message_store)
        control = driver.ControlDriver(conf, None)
        self.addCleanup(control.close)
        data = driver.DataDriver(conf, None, control)
        self.addCleanup(data.close)
        return control, data

    def settings(self, path: str) -> options.Settings:
        """What is set in a zaqar.conf, which must be the same for both."""
        control, data = self.drivers(path)
        both = [{**vars(made.account.settings), 'make_auth': None}
                for made in (control, data)]
        self.assertEqual(*both)
        settings: options.Settings = data.account.settings
        return settings

    def credentials(self, path: str) -> dict[str, Any]:
        """What identifies the driver's user to Keystone."""
        given = self.settings(path).make_auth().get_cache_id_elements()
        return {name: value for name, value in given.items()
                if value is not None}


_ORDERS = [(f'{order[0]} first', {'order': order}) for order in plugin.ORDERS]


class TestBackends(testscenarios.WithScenarios, PluginTest):

    scenarios = testscenarios.multiply_scenarios(
        _ORDERS, [(backend, {'backend': backend}) for backend in _BACKENDS])

    order: tuple[str, str]
    backend: str

    def test_zaqar_starts_with_both_stores_ours_and_all_else_its(self) -> None:
        alone = self.machine(plugins=['zaqar'], ZAQAR_BACKEND=self.backend)
        alone.stack()
        machine = self.machine(plugins=self.order, ZAQAR_BACKEND=self.backend)

        machine.stack()

        self.drivers(machine.started_conf)
        started = sections(machine.started_conf)
        for section, settings in sections(alone.started_conf).items():
            for option in settings.keys() - _STORES:
                self.expectThat(started[section][option],
                                matchers.Equals(settings[option]))
        self.assertEqual('True', started['DEFAULT']['pooling'])
        self.assertEqual(
            'True', started['pooling:catalog']['enable_virtual_pool'])
        self.assertEqual(
            text(machine.started_conf), text(machine.zaqar_conf))


class TestRuns(testscenarios.WithScenarios, PluginTest):

    scenarios = _ORDERS

    order: tuple[str, str]

    def setUp(self) -> None:
        super().setUp()
        self.cloud = self.machine(plugins=self.order)

    def files(self) -> tuple[str, ...]:
        return tuple(text(path) for path in (
            self.cloud.zaqar_conf, self.cloud.started_conf,
            self.cloud.tempest_conf))

    def test_stack_twice_changes_nothing(self) -> None:
        first = self.cloud.stack(), self.files()

        second = self.cloud.stack(), self.files()

        self.assertEqual(first, second)

    def test_unstack_leaves_the_configuration(self) -> None:
        self.cloud.stack()
        before = self.files()

        for _ in range(2):
            self.assertEqual([], self.cloud.unstack())

            self.assertEqual(before, self.files())

    def test_clean_leaves_what_is_zaqars(self) -> None:
        alone = self.machine(plugins=['zaqar'])
        alone.stack()
        wanted = sections(alone.zaqar_conf)
        for store in _STORES:
            del wanted['drivers'][store]
        self.cloud.stack()

        for _ in range(2):
            self.assertEqual([], self.cloud.clean())

            self.assertEqual(wanted, sections(self.cloud.zaqar_conf))

    def test_stack_after_clean(self) -> None:
        self.cloud.stack()
        before = sections(self.cloud.zaqar_conf)
        self.cloud.clean()

        self.cloud.stack()

        self.assertEqual(before, sections(self.cloud.zaqar_conf))
        self.drivers(self.cloud.started_conf)


class TestSettings(PluginTest):

    def test_defaults(self) -> None:
        machine = self.machine()

        calls = machine.stack()

        self.assertEqual([
            ['setup_develop', '/opt/stack/marconi-swift'],
            ['get_or_create_project', 'service', 'Default'],
            ['get_or_create_user', 'marconi-swift', 'asked-for', 'Default'],
            ['get_or_add_user_project_role', 'member', 'marconi-swift',
             'service', 'Default', 'Default'],
        ], calls)
        self.assertEqual({
            'auth_url': 'http://192.0.2.1/identity',
            'username': 'marconi-swift',
            'user_domain_name': 'Default',
            'password': 'asked-for',
            'project_name': 'service',
            'project_domain_name': 'Default',
        }, self.credentials(machine.zaqar_conf))
        settings = self.settings(machine.zaqar_conf)
        self.assertEqual('marconi-swift://', settings.uri)
        self.assertEqual('marconi', settings.container_prefix)
        self.assertIsNone(settings.storage_policy)
        self.assertIs(True, settings.verify)
        self.assertEqual({
            'service_type': 'object-store',
            'service_name': None,
            'interface': ['public'],
            'region_name': 'RegionOne',
        }, settings.endpoint_filter)

    def test_come_from_devstacks_own(self) -> None:
        machine = self.machine(
            SERVICE_PASSWORD='a & b\\c',
            SERVICE_PROJECT_NAME='services',
            SERVICE_DOMAIN_NAME='cloud',
            REGION_NAME='north',
            KEYSTONE_SERVICE_URI='https://keystone.example.org/identity')

        machine.stack()

        self.assertEqual({
            'auth_url': 'https://keystone.example.org/identity',
            'username': 'marconi-swift',
            'user_domain_name': 'cloud',
            'password': 'a & b\\c',
            'project_name': 'services',
            'project_domain_name': 'cloud',
        }, self.credentials(machine.zaqar_conf))
        self.assertEqual(
            'north',
            self.settings(machine.zaqar_conf).endpoint_filter['region_name'])

    def test_can_all_be_overridden(self) -> None:
        machine = self.machine(
            MARCONI_SWIFT_DIR='/src/driver',
            MARCONI_SWIFT_USER='keeper',
            MARCONI_SWIFT_PASSWORD='own',
            MARCONI_SWIFT_PROJECT='queues',
            MARCONI_SWIFT_DOMAIN='storage',
            MARCONI_SWIFT_ROLE='swiftoperator',
            MARCONI_SWIFT_AUTH_URL='https://keystone.example.org/v3',
            MARCONI_SWIFT_REGION='south',
            MARCONI_SWIFT_INTERFACE='internal,public',
            MARCONI_SWIFT_CAFILE='/etc/ssl/cloud.pem',
            MARCONI_SWIFT_CONTAINER_PREFIX='mine',
            MARCONI_SWIFT_STORAGE_POLICY='gold')

        calls = machine.stack()

        self.assertEqual([
            ['setup_develop', '/src/driver'],
            ['get_or_create_project', 'queues', 'storage'],
            ['get_or_create_user', 'keeper', 'own', 'storage'],
            ['get_or_add_user_project_role', 'swiftoperator', 'keeper',
             'queues', 'storage', 'storage'],
        ], calls)
        self.assertEqual({
            'auth_url': 'https://keystone.example.org/v3',
            'username': 'keeper',
            'user_domain_name': 'storage',
            'password': 'own',
            'project_name': 'queues',
            'project_domain_name': 'storage',
        }, self.credentials(machine.zaqar_conf))
        settings = self.settings(machine.zaqar_conf)
        self.assertEqual('mine', settings.container_prefix)
        self.assertEqual('gold', settings.storage_policy)
        self.assertEqual('/etc/ssl/cloud.pem', settings.verify)
        self.assertEqual({
            'service_type': 'object-store',
            'service_name': None,
            'interface': ['internal', 'public'],
            'region_name': 'south',
        }, settings.endpoint_filter)

    def test_change_and_go_with_the_next_run(self) -> None:
        machine = self.machine()
        machine.stack()
        before = text(machine.zaqar_conf)
        machine.localrc = plugin.localrc(
            MARCONI_SWIFT_CAFILE='/etc/ssl/cloud.pem',
            MARCONI_SWIFT_CONTAINER_PREFIX='mine',
            MARCONI_SWIFT_STORAGE_POLICY='gold',
            MARCONI_SWIFT_USER='keeper')
        machine.stack()
        self.assertEqual(
            'gold', self.settings(machine.zaqar_conf).storage_policy)

        machine.localrc = plugin.localrc()
        machine.stack()

        self.assertEqual(before, text(machine.zaqar_conf))

    def test_devstacks_certificates_are_trusted(self) -> None:
        machine = self.machine('enable_service tls-proxy')

        machine.stack()

        self.assertThat(self.settings(machine.zaqar_conf).verify,
                        matchers.EndsWith('/ca-bundle.pem'))

    def test_one_store_alone(self) -> None:
        for order in plugin.ORDERS:
            machine = self.machine(
                plugins=order, ZAQAR_BACKEND='swift',
                MARCONI_SWIFT_STORES='message_store')

            machine.stack()

            conf = stores.read(stores.named(machine.started_conf))
            self.assertEqual(options.SCHEME, conf.drivers.message_store)
            self.assertEqual('sqlalchemy', conf.drivers.management_store)
            self.assertNotIn(
                options.CONTROL_GROUP, sections(machine.started_conf))
            driver.DataDriver(conf, None, None).close()


class TestTempest(PluginTest):

    def test_is_told_that_there_is_messaging(self) -> None:
        machine = self.machine()

        machine.stack()

        self.assertEqual(
            {'service_available': {'zaqar': 'True', 'swift': 'True'}},
            sections(machine.tempest_conf))

    def test_need_not_be_enabled(self) -> None:
        machine = self.machine('disable_service tempest')

        machine.stack()

        self.assertFalse(os.path.exists(machine.tempest_conf))
        self.drivers(machine.started_conf)


class TestPrerequisites(PluginTest):

    def test_zaqar(self) -> None:
        self.refused(
            'add .enable_plugin zaqar .* to local.conf',
            plugins=['marconi-swift'])

    def test_swift(self) -> None:
        self.refused(
            'add .enable_service s-proxy .* to local.conf',
            'disable_service s-proxy')

    def test_keystone(self) -> None:
        self.refused(
            'add .enable_service key. to local.conf', 'disable_service key')

    def test_names_of_stores(self) -> None:
        self.refused(
            'the messages that MARCONI_SWIFT_STORES in local.conf names',
            MARCONI_SWIFT_STORES='messages')

    def refused(self, message: str, *lines: str, **localrc: Any) -> None:
        machine = self.machine(*lines, **localrc)

        died = self.assertRaises(plugin.Died, machine.stack)

        self.assertRegex(
            str(died), r'/devstack/plugin\.sh:\d+ marconi-swift .*' + message)
        self.assertFalse(os.path.exists(machine.zaqar_conf))

    def test_are_none_of_unstack_and_clean(self) -> None:
        machine = self.machine(
            'disable_all_services', plugins=['marconi-swift'])

        self.assertEqual([], machine.unstack())
        self.assertEqual([], machine.clean())


class TestSample(PluginTest):

    def test_sets_up_a_cloud(self) -> None:
        head, localrc = text(_FOLDER / 'local.conf.sample').split(
            '[[local|localrc]]\n')
        self.assertNotRegex(head, r'(?m)^[^#\n]')
        machine = self.useFixture(plugin.Devstack(localrc))

        machine.stack()

        self.drivers(machine.started_conf)
        self.assertEqual([], [
            section for section in sections(machine.zaqar_conf)
            if section.startswith('drivers:') and 'marconi' not in section])


class TestReadme(PluginTest):

    def test_its_lines_enable_what_is_needed(self) -> None:
        [lines] = [block.text for block in snippets.blocks()
                   if block.page == 'devstack/README.rst'
                   and block.start.startswith('enable_service')]
        machine = self.useFixture(plugin.Devstack(
            lines.replace('<repository>', '/a/checkout')))

        machine.stack()

        self.drivers(machine.started_conf)

    def test_lists_every_setting(self) -> None:
        self.assertEqual(
            sorted(settings_that_exist()),
            sorted(re.findall(
                r'^   \* - ``(MARCONI_SWIFT_\w+)``$',
                text(_FOLDER / 'README.rst'), re.MULTILINE)))


class TestZuul(testtools.TestCase):
    """What can be said of the job definitions without a Zuul."""

    def setUp(self) -> None:
        super().setUp()
        loaded = yaml.safe_load(text(plugin.CHECKOUT / '.zuul.yaml'))
        self.jobs = {
            item['job']['name']: item['job']
            for item in loaded if 'job' in item}
        [self.project] = [
            item['project'] for item in loaded if 'project' in item]
        self.assertEqual(len(loaded), len(self.jobs) + 1)

    def variables(self, job: str) -> dict[str, Any]:
        """Those of a job, with what it has from its parents in this file."""
        definition = self.jobs[job]
        merged = (self.variables(definition['parent'])
                  if definition['parent'] in self.jobs else {})
        for name, value in definition.get('vars', {}).items():
            inherited = merged.get(name)
            merged[name] = ({**inherited, **value}
                            if isinstance(inherited, dict) else value)
        return merged

    def of_parent(self, parent: str) -> list[str]:
        return [name for name, job in self.jobs.items()
                if parent in (job['parent'],
                              self.jobs.get(job['parent'], {}).get('parent'))]

    def test_check_and_gate_run_every_job(self) -> None:
        for pipeline in ('check', 'gate'):
            jobs = self.project[pipeline]['jobs']
            self.assertEqual(set(), self.jobs.keys() - jobs)
            for name in jobs - self.jobs.keys():
                self.assertRegex(
                    name, r'^(openstack-tox-\w+|build-openstack-\w+)$')

    def test_environments_of_tox_exist(self) -> None:
        named = {self.variables(name)['tox_envlist']
                 for name in self.of_parent('openstack-tox')}
        for name in set(self.project['check']['jobs']) - self.jobs.keys():
            named.add(name.removeprefix('openstack-tox-')
                      .removeprefix('build-openstack-'))
        self.assertIn('functional', named)

        self.assertEqual(set(), named - environments())

    def test_devstack_jobs_agree_with_the_plugin(self) -> None:
        settings = settings_that_exist()
        devstack_jobs = self.of_parent('devstack-tempest')
        self.assertEqual(3, len(devstack_jobs))
        for name in devstack_jobs:
            variables = self.variables(name)
            self.assertEqual({'zaqar', 'marconi-swift'},
                             variables['devstack_plugins'].keys())
            enabled = {service for service, wanted
                       in variables['devstack_services'].items() if wanted}
            self.assertEqual({*plugin.SERVICES, 'tempest'}, enabled)
            self.assertEqual(
                set(), {setting for setting in variables['devstack_localrc']
                        if setting != 'ZAQAR_BACKEND'} - settings)
            self.assertEqual(
                ['zaqar-tempest-plugin'], variables['tempest_plugins'])
        self.assertLessEqual({
            'opendev.org/openstack/zaqar',
            'opendev.org/openstack/zaqar-tempest-plugin',
        }, {*self.jobs['marconi-swift-tempest']['required-projects']})


class TestJobs(PluginTest):
    """What the devstack jobs set, given to the plugin."""

    def test_stack(self) -> None:
        loaded = yaml.safe_load(text(plugin.CHECKOUT / '.zuul.yaml'))
        given = [
            item['job']['vars']['devstack_localrc'] for item in loaded
            if 'devstack_localrc' in item.get('job', {}).get('vars', {})]
        self.assertEqual(2, len(given))
        for variables in given:
            machine = self.machine(**variables)

            machine.stack()

            conf = stores.read(stores.named(machine.started_conf))
            self.assertEqual(options.SCHEME, conf.drivers.message_store)


def settings_that_exist() -> set[str]:
    return {*re.findall(
        r'\b(MARCONI_SWIFT_\w+)=\$', text(_FOLDER / 'settings'))}


def environments() -> set[str]:
    """What ``tox -e`` can be given: each is a check of tools/run-tests."""
    parser = configparser.ConfigParser(interpolation=None)
    parser.read_string(text(plugin.CHECKOUT / 'tox.ini'))
    [checks] = re.findall(
        r'^    (pep8 \|[^)]*)\)$', text(plugin.CHECKOUT / 'tools/run-tests'),
        re.MULTILINE)
    versions = {
        f'py{version}' for section in parser.sections()
        for start, ends in re.findall(r'^testenv:py(\d)\{([\d,]+)\}$', section)
        for version in (start + end for end in ends.split(','))}
    others = {section.removeprefix('testenv:') for section in parser.sections()
              if section.startswith('testenv:') and '{' not in section}
    return {*re.findall(r'\w+', checks), *versions, *others}
