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
"""The commands in the pages, run as they stand on a service of ours."""

import pathlib
import shutil

import fixtures
import testscenarios
import testtools

from marconi_swift.standalone import swift
from marconi_swift.standalone import zaqar
from tests.fixtures import snippets
from tests.fixtures import swift as swift_fixtures

#: Where the pages say that the service is.
_USUAL = f'http://127.0.0.1:{zaqar.USUAL_PORT}'

_RUN = snippets.of_kind('run')


class Service(fixtures.Fixture):
    """A service of ours. Gives its ``url``, and a ``home`` with its conf."""

    def _setUp(self) -> None:
        self.home = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        cluster = swift.SwiftCluster(
            self.home / 'data', patience=swift_fixtures.PATIENCE)
        cluster.start()
        self.addCleanup(cluster.stop)
        server = zaqar.ZaqarServer(cluster, patience=swift_fixtures.PATIENCE)
        server.start()
        self.addCleanup(server.stop)
        self.url = server.url
        (self.home / '.zaqar').mkdir()
        [conf] = (self.home / 'data').rglob('zaqar.conf')
        shutil.copy(conf, self.home / '.zaqar' / 'zaqar.conf')


class SnippetsTest(testscenarios.WithScenarios, testtools.TestCase):
    """What a page says works, on one service for all pages."""

    service: Service

    page: str

    scenarios = [  # noqa: RUF012
        (page, {'page': page})
        for page in sorted({block.page for block in _RUN})]

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.service = Service()
        cls.service.setUp()
        cls.addClassCleanup(cls.service.cleanUp)

    def test_does_what_it_says(self) -> None:
        snippets.run(
            [block for block in _RUN if block.page == self.page], 'run',
            self.service.home, {_USUAL: self.service.url})
