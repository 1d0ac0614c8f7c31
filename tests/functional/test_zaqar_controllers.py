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
"""Zaqar's own tests of storage controllers, over both drivers."""

from zaqar.tests.unit.storage import base

from marconi_swift import driver
from marconi_swift.control import catalogue
from marconi_swift.control import flavors
from marconi_swift.control import pools
from marconi_swift.control import queues
from marconi_swift.data import claims
from marconi_swift.data import messages
from marconi_swift.data import subscriptions
from tests.fixtures import conf


class _OnSwift:
    """Configures a test of Zaqar's for an empty account."""

    driver_class = driver.DataDriver
    control_driver_class = driver.ControlDriver

    def setUp(self) -> None:
        configured = conf.ZaqarConf()
        configured.setUp()
        self.config_file = configured.path
        super().setUp()  # type: ignore[misc]
        self.addCleanup(configured.cleanUp)  # type: ignore[attr-defined]


class QueueControllerTest(_OnSwift, base.QueueControllerTest):
    driver_class = driver.ControlDriver
    controller_class = queues.QueueController


class MessageControllerTest(_OnSwift, base.MessageControllerTest):
    controller_class = messages.MessageController
    # Seconds within which a message whose ttl is one must be gone.
    gc_interval = 3


class ClaimControllerTest(_OnSwift, base.ClaimControllerTest):
    controller_class = claims.ClaimController


class SubscriptionControllerTest(_OnSwift, base.SubscriptionControllerTest):
    controller_class = subscriptions.SubscriptionController


class PoolsControllerTest(_OnSwift, base.PoolsControllerTest):
    driver_class = driver.ControlDriver
    controller_class = pools.PoolsController


class CatalogueControllerTest(_OnSwift, base.CatalogueControllerTest):
    driver_class = driver.ControlDriver
    controller_class = catalogue.CatalogueController


class FlavorsControllerTest(_OnSwift, base.FlavorsControllerTest1):
    driver_class = driver.ControlDriver
    controller_class = flavors.FlavorsController
