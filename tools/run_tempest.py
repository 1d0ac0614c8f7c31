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

"""Runs all of zaqar-tempest-plugin on clouds of its own, pooled and not.

Arguments go to stestr. What fails on every driver is named, with its reason,
in tempest-failures.yaml beside this file. Exits 1 if anything else fails, if
anything named there passes or does not run, or if nothing runs.
"""

from collections.abc import Collection
from collections.abc import Mapping
import contextlib
import importlib.util
import io
import os
import pathlib
import subprocess
import sys
import tempfile

import subunit
import testtools
import yaml

from marconi_swift.standalone import keystone as keystones
from marconi_swift.standalone import swift as swifts
from marconi_swift.standalone import zaqar as zaqars

PLUGIN = 'zaqar_tempest_plugin'
KNOWN = pathlib.Path(__file__).with_name('tempest-failures.yaml')

# Tests at a time. Most of them wait for the service, and one sleeps 140 s.
CONCURRENCY = '4'

# Seconds that each server may take to start on a busy machine.
PATIENCE = 180.0

PASSED = ('success', 'xfail')
SKIPPED = ('skip', 'exists')

TEMPEST = """\
[DEFAULT]
log_dir = {folder}
log_file = tempest.log

[auth]
use_dynamic_credentials = true
admin_username = {admin[username]}
admin_password = {admin[password]}
admin_project_name = {admin[project_name]}
admin_domain_name = Default

[identity]
auth_version = v3
uri_v3 = {admin[auth_url]}
region = {region}

[oslo_concurrency]
lock_path = {folder}

[service_available]
cinder = false
glance = false
neutron = false
nova = false
swift = true
zaqar = true
"""

STESTR = """\
[DEFAULT]
test_path = {package}/tests
top_dir = {package.parent}
"""


def main() -> int:
    complaints = []
    for pooling in (False, True):
        mode = 'pooled' if pooling else 'unpooled'
        print(f'zaqar-tempest-plugin, {mode}', flush=True)
        statuses = run(pooling, sys.argv[1:])
        passed = sum(status in PASSED for status in statuses.values())
        print(f'{mode}: {passed} of {len(statuses)} passed', flush=True)
        complaints += [
            f'{mode}: {complaint}'
            for complaint in judge(
                statuses, known(), selected=len(sys.argv) > 1)
        ]
    for complaint in complaints:
        print(complaint)
    return 1 if complaints else 0


def run(pooling: bool, arguments: Collection[str]) -> dict[str, str]:
    """Run the tests on a new cloud; return how each of them ended."""
    with (
        tempfile.TemporaryDirectory(prefix='marconi-tempest-') as folder,
        cloud(f'{folder}/cloud', pooling) as keystone,
    ):
        pathlib.Path(folder, 'tempest.conf').write_text(
            TEMPEST.format(
                folder=folder,
                admin=keystone.login(keystones.ADMIN),
                region=keystones.REGION,
            )
        )
        pathlib.Path(folder, '.stestr.conf').write_text(
            STESTR.format(package=package())
        )
        environment = {**os.environ, 'TEMPEST_CONFIG_DIR': folder}
        # Whether it succeeded is read from its results below.
        subprocess.run(
            ['stestr', 'run', '--concurrency', CONCURRENCY, *arguments],
            cwd=folder, env=environment, check=False,
        )
        return results(folder)


@contextlib.contextmanager
def cloud(folder: str, pooling: bool):
    keystone = keystones.KeystoneServer(patience=PATIENCE)
    swift = swifts.SwiftCluster(folder, keystone=keystone, patience=PATIENCE)
    zaqar = zaqars.ZaqarServer(swift, pooling=pooling, patience=PATIENCE)
    with swift, zaqar:
        yield keystone


def package() -> pathlib.Path:
    """Return where the plugin is."""
    spec = importlib.util.find_spec(PLUGIN)
    assert spec and spec.origin
    return pathlib.Path(spec.origin).parent


def results(folder: str) -> dict[str, str]:
    """Return the status of every test of the last run."""
    stream = subprocess.run(
        ['stestr', 'last', '--subunit'], cwd=folder, check=False,
        stdout=subprocess.PIPE,
    ).stdout
    statuses: dict[str, str] = {}
    counted = testtools.StreamToDict(
        lambda test: statuses.update({name(test['id']): test['status']})
    )
    counted.startTestRun()
    subunit.ByteStreamToStreamResult(io.BytesIO(stream), 'output').run(counted)
    counted.stopTestRun()
    return statuses


def name(identity: str) -> str:
    """Return a test's name, without the tags that tempest adds."""
    return identity.partition('[')[0]


def known() -> Mapping[str, str]:
    """Return why each test fails that fails on every driver."""
    return yaml.safe_load(KNOWN.read_text()) or {}


def judge(
    statuses: Mapping[str, str], reasons: Mapping[str, str], selected: bool
) -> list[str]:
    """Return a sentence for everything that is not as it should be.

    :param selected: whether only some tests were to run.
    """
    complaints = [] if statuses else ['no test ran.']
    for test, status in sorted(statuses.items()):
        if status in SKIPPED:
            complaints.append(f'{test} was skipped.')
        elif status not in PASSED and test not in reasons:
            complaints.append(f'{test} failed.')
        elif status in PASSED and test in reasons:
            complaints.append(
                f'{test} passed: take it out of {KNOWN.name}.')
    complaints += [
        f'{test} of {KNOWN.name} did not run.'
        for test in sorted(reasons.keys() - statuses.keys())
        if not selected
    ]
    return complaints


if __name__ == '__main__':
    sys.exit(main())
