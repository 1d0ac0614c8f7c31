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
"""What the message stores of pools are made of.

Zaqar lays the URI and the options of a pool over the one configuration of
the process, and makes the pool's driver of what it finds there, a moment
later and without a lock. By then, another thread can have laid the next pool
over it, or tried one. But each thread has read its pool from the management
store just before.
"""

from collections.abc import Mapping
import threading
from typing import Any

from oslo_config import cfg

from marconi_swift import options


class Openings:
    """What the threads are about to make message stores of.

    :param conf: that of a control driver. What it says of the message store
        by now is what it says without pools, unless Zaqar has wrapped it to
        try one.
    """

    def __init__(self, conf: Any) -> None:
        self._conf = conf
        pooling = isinstance(conf, cfg.ConfigOpts) and conf.pooling
        self._configured = options.configured(conf) if pooling else {}
        self._driver = conf.drivers.message_store if pooling else None
        self._thread = threading.local()

    def expect(self, pool: Mapping[str, Any]) -> None:
        """Take it that this thread opens the pool if it opens one next."""
        self._thread.told = {
            **self._configured, **pool['options'], 'uri': pool['uri']}

    def expect_virtual(self) -> None:
        """Let Zaqar find which driver the virtual pool is of.

        It takes that of the pool which was opened or tried last, whatever
        ``zaqar.conf`` says. A thread that is just opening a pool of another
        driver is given ours now, which refuses its URI; the next try opens
        it.
        """
        if self._driver not in (None, self._conf.drivers.message_store):
            self._conf.set_override(
                'message_store', self._driver, group='drivers')

    def told(self, conf: Any) -> Mapping[str, Any]:
        """Of which options a store is made that this thread makes just now.

        Those that are not among them are as its configuration says.
        """
        if conf is self._conf and conf.pooling:
            # To see whether the virtual pool can be opened, which is next.
            self._thread.told = self._configured
            return self._configured
        # Zaqar wraps the configuration of a pool.
        if getattr(conf, 'local_conf', None) is self._conf:
            told: Mapping[str, Any] = vars(self._thread).pop('told', {})
            return told
        # A pool that is only tried, or opened apart from the others.
        return {}
