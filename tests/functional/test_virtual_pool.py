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

"""The pool that Zaqar makes of the message store itself."""

import fixtures
import testtools
from zaqar import bootstrap
from zaqar.storage import pooling
from zaqar.storage import utils

from tests.fixtures import conf


class VirtualPoolTest(testtools.TestCase):

    def setUp(self) -> None:
        super().setUp()
        configured = self.useFixture(conf.ZaqarConf())
        self.conf = conf.read(configured.path)
        # What modules of Zaqar's take it to be.
        self.useFixture(fixtures.MonkeyPatch('oslo_config.cfg.CONF',
                                             self.conf))
        boot = bootstrap.Bootstrap(self.conf)
        self.conf.set_override('pooling', True)
        self.conf.set_override(
            'enable_virtual_pool', True, group='pooling:catalog')
        self.catalogue = pooling.Catalog(self.conf, None, boot.control)

    def prefix(self) -> str:
        """Return what tells the virtual pool's containers from others."""
        driver = self.catalogue.get_default_pool(use_listing=False)
        return str(driver._storage.account.settings.container_prefix)

    def test_is_what_zaqar_conf_says(self) -> None:
        self.assertEqual('marconi', self.prefix())

    def test_is_that_after_another_pool_was_tried(self) -> None:
        uri = 'marconi-swift://?container_prefix=other'

        self.assertTrue(utils.can_connect(uri, conf=self.conf))

        self.assertEqual('marconi', self.prefix())
