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

"""Posts three orders, and works them off."""

import openstack
from zaqarclient.queues import client

session = openstack.connect().session
queue = client.Client(version=2, session=session).queue('orders')

queue.post([
    {'ttl': 300, 'body': {'order': number}} for number in (1, 2, 3)])

while jobs := list(queue.claim(ttl=60, grace=60, limit=2)):
    for job in jobs:
        print('working on', job.body)
        job.delete()
