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
"""Zaqar's tests of storage controllers, on this driver.

Each suite of the message store runs alone and behind four pools, and with
either management store.
"""

from typing import Any

from zaqar.storage import pooling
from zaqar.storage import sqlalchemy
from zaqar.tests.unit.storage import base

from marconi_swift import driver
from marconi_swift.control import catalogue
from marconi_swift.control import flavors
from marconi_swift.control import pools
from marconi_swift.control import queues
from marconi_swift.data import claims
from marconi_swift.data import messages
from marconi_swift.data import subscriptions
from tests.fixtures import upstream
from tests.upstream import topics


class _Control(upstream.OnSwift):
    """A controller of the management store."""

    config_file = 'wsgi_mongodb.conf'
    driver_class = control_driver_class = driver.ControlDriver


class _Data(upstream.OnSwift):
    """A controller of the message store."""

    config_file = 'wsgi_mongodb.conf'
    driver_class: Any = driver.DataDriver
    control_driver_class: Any = driver.ControlDriver
    # Seconds within which a message whose ttl is one must be gone.
    gc_interval = 3


class _Pooled(_Data):
    config_file = 'wsgi_mongodb_pooled.conf'
    driver_class = pooling.DataDriver


class _OnDatabase(_Data):
    config_file = 'wsgi_sqlalchemy.conf'
    control_driver_class = sqlalchemy.ControlDriver

    def prepare(self, environment: upstream.ZaqarTests) -> None:
        environment.make_database()


class _PooledOnDatabase(_OnDatabase):
    config_file = 'wsgi_sqlalchemy_pooled.conf'
    driver_class = pooling.DataDriver


class _InOnePool:
    """Has all queues that a test makes in the pool of its first one.

    Dead letters stay in their queue if the one for them is in another pool,
    where nobody would look for them. Zaqar's test makes the two, each in a
    pool that is drawn.
    """

    control: Any
    project: str
    queue_name: str

    def setUp(self) -> None:
        super().setUp()  # type: ignore[misc]
        pools = self.control.pools_controller
        chosen = self.control.catalogue_controller.get(
            self.project, self.queue_name)['pool']
        for pool in list(next(pools.list(limit=0))):
            if pool['name'] != chosen:
                pools.update(pool['name'], weight=0)


# The management store


class QueueControllerTest(_Control, base.QueueControllerTest):
    controller_class = queues.QueueController


class PooledQueueControllerTest(_Pooled, base.QueueControllerTest):
    controller_class = pooling.QueueController


class TopicControllerTest(_Data, topics.TopicControllerTest):
    controller_class = queues.TopicController


class PooledTopicControllerTest(_Pooled, topics.TopicControllerTest):
    controller_class = pooling.TopicController


class PoolsControllerTest(_Control, base.PoolsControllerTest):
    controller_class = pools.PoolsController


class CatalogueControllerTest(_Control, base.CatalogueControllerTest):
    controller_class = catalogue.CatalogueController


class FlavorsControllerTest(_Control, base.FlavorsControllerTest1):
    controller_class = flavors.FlavorsController


# The message store


class MessageControllerTest(_Data, base.MessageControllerTest):
    controller_class = messages.MessageController


class PooledMessageControllerTest(_Pooled, base.MessageControllerTest):
    controller_class = pooling.MessageController


class MessageControllerOnDatabaseTest(
        _OnDatabase, base.MessageControllerTest):
    controller_class = messages.MessageController


class PooledMessageControllerOnDatabaseTest(
        _PooledOnDatabase, base.MessageControllerTest):
    controller_class = pooling.MessageController


class ClaimControllerTest(_Data, base.ClaimControllerTest):
    controller_class = claims.ClaimController


class PooledClaimControllerTest(
        _InOnePool, _Pooled, base.ClaimControllerTest):
    controller_class = pooling.ClaimController


class ClaimControllerOnDatabaseTest(_OnDatabase, base.ClaimControllerTest):
    controller_class = claims.ClaimController


class PooledClaimControllerOnDatabaseTest(
        _InOnePool, _PooledOnDatabase, base.ClaimControllerTest):
    controller_class = pooling.ClaimController


class SubscriptionControllerTest(_Data, base.SubscriptionControllerTest):
    controller_class = subscriptions.SubscriptionController


class PooledSubscriptionControllerTest(
        _Pooled, base.SubscriptionControllerTest):
    controller_class = pooling.SubscriptionController


class SubscriptionControllerOnDatabaseTest(
        _OnDatabase, base.SubscriptionControllerTest):
    controller_class = subscriptions.SubscriptionController


class PooledSubscriptionControllerOnDatabaseTest(
        _PooledOnDatabase, base.SubscriptionControllerTest):
    controller_class = pooling.SubscriptionController
