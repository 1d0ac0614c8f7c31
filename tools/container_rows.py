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

"""Prints how large a row of a queue's container is in Swift's database.

The rows are those of messages and gates as this driver stores them, written
by Swift's own code, and deleted again: Swift keeps them until its reclaim_age
is over.
"""

from collections.abc import Iterable
import pathlib
import tempfile

from swift.common import utils
from swift.container import backend

from marconi_swift import names
from marconi_swift import records

ROWS = 20000
TTL = 3600
CLIENT = '3381af92-2b9e-11e3-b191-71861300734c'


def rows() -> Iterable[tuple[str, str, str]]:
    """Yield what they are of, a name and a Content-Type."""
    for _ in range(ROWS):
        name = names.new_message_id()
        hold = records.Hold(names.new_message_id(), int(records.now()) + TTL)
        message = records.Message(
            id=name, ttl=TTL, expires=records.now() + TTL, poster=CLIENT,
            claim_count=1, hold=hold)
        yield 'message', name, message.content_type()
        yield ('gate', records.GATE + name,
               records.Pass(hold, TTL).content_type())


def size(wanted: str, folder: str) -> float:
    """Return the bytes of a deleted row of a kind, in one replica."""
    path = pathlib.Path(folder, f'{wanted}.db')
    broker = backend.ContainerBroker(
        str(path), account='AUTH_messaging', container='marconi:messages:p:q')
    broker.initialize(utils.Timestamp.now().internal, 0)
    empty = path.stat().st_size
    written = [(name, kind) for what, name, kind in rows() if what == wanted]
    for name, kind in written:
        broker.put_object(
            name, utils.Timestamp.now().internal, 100, kind, 32 * '0')
    for name, _ in written:
        broker.delete_object(name, utils.Timestamp.now().internal)
    broker.get_info()  # writes what is pending
    return (path.stat().st_size - empty) / ROWS


if __name__ == '__main__':
    with tempfile.TemporaryDirectory() as folder:
        for kind in ('message', 'gate'):
            print(f'{kind}: {size(kind, folder):.0f} bytes')
