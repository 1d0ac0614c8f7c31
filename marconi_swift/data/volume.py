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
"""How many messages a whole account holds, at a bounded cost."""

import itertools
from typing import Any

from marconi_swift import names
from marconi_swift import records
from marconi_swift.store import objects

#: Queues whose messages are counted one by one.
_COUNTED = 100


def message_volume(account: Any) -> dict[str, int]:
    """Count the messages of all queues, in the form of Zaqar's health.

    Of the first hundred queues by name, as their containers are called, the
    oldest 10,000 messages are listed. Of all others, the account's listing
    says how many there were some minutes ago, which count as free: 100
    requests, and one for each 10,000 queues.

    :param account: a :class:`marconi_swift.driver.Account`.
    """
    store: objects.ObjectStore = account.store
    containers = store.containers(
        names.all_messages(account.settings.container_prefix))
    at = records.now()

    def count(container: objects.Container) -> tuple[int, int]:
        page = store.page(container.name)
        messages = [
            message for row in page
            if (message := records.Message.parse(row.name, row.content_type))
            and not message.expired(at)]
        beyond = max(0, container.objects - len(page)) if (
            len(page) == objects.PAGE) else 0
        return (len(messages) + beyond,
                sum(message.held(at) is not None for message in messages))

    counted = store.each(count, itertools.islice(containers, _COUNTED))
    claimed = sum(held for _, held in counted)
    total = sum(all_ for all_, _ in counted) + sum(
        container.objects for container in containers)
    return {'free': total - claimed, 'claimed': claimed, 'total': total}
