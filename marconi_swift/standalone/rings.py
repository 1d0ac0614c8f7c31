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

"""The rings of a Swift whose every node holds a replica of everything.

With as many nodes as replicas each partition is on every node, whatever the
ring's builder decides. So rings may be made anew whenever a port changes, and
data stay where they are.
"""

from collections.abc import Sequence
import os

from swift.common import ring

from marconi_swift.standalone import ports


def build(
    path: os.PathLike[str], node_ports: Sequence[int], part_power: int
) -> None:
    """Write a ring file of one device, ``d1``, ``d2``..., for each port.

    :param part_power: 2 to the power of this is the number of partitions,
        folders of objects on each device. It is part of an object's place on
        disk, so it can't change.
    """
    builder = ring.RingBuilder(part_power, len(node_ports), 0)
    for number, port in enumerate(node_ports, 1):
        builder.add_dev({
            'region': 1,
            'zone': number,
            'ip': ports.HOST,
            'port': port,
            'replication_ip': ports.HOST,
            'replication_port': port,
            'device': f'd{number}',
            'weight': 1.0,
            'meta': '',
        })
    builder.rebalance(seed='marconi-swift')
    builder.get_ring().save(os.fspath(path))
