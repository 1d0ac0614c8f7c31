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
"""A queue's containers, put together for those who take its messages."""

import functools
from typing import Any

from marconi_swift import gate
from marconi_swift import names
from marconi_swift.data import claim_records
from marconi_swift.data import dead_letters
from marconi_swift.data import pools
from marconi_swift.data import spread
from marconi_swift.data import taking


def queue(driver: Any, name: str, project: str | None) -> taking.Queue:
    """Describe a queue; no I/O.

    :param driver: a :class:`marconi_swift.driver.DataDriver`.
    """
    store, settings = driver.account.store, driver.account.settings
    prefix = settings.container_prefix
    claims = names.claims(prefix, project, name)
    return taking.Queue(
        store=store,
        parts=spread.Parts(driver.account.spread, store,
                           names.messages(prefix, project, name)),
        claims=claim_records.ClaimRecords(
            store, claims, settings.storage_policy),
        gates=gate.Gates(store, claims, settings.storage_policy),
        dead_letters=dead_letters.DeadLetters(
            driver.account.spread, driver.queue_controller, settings,
            name, project, functools.partial(pools.joins, driver)),
        attempt_limit=settings.claim_attempt_limit,
        clock_skew=settings.clock_skew)
