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
"""A reader follows a queue while posters whose clocks differ write to it."""

from collections.abc import Mapping
import multiprocessing
from multiprocessing import synchronize
import os
import pathlib
import time
import types
import uuid

import fixtures
import testtools
from testtools import content

from marconi_swift import driver
from marconi_swift import names
from tests.fixtures import conf

#: Seconds for which posters post.
_SECONDS = float(os.environ.get('MARCONI_SWIFT_TEST_SECONDS', '20'))

#: Seconds by which the clocks of the two posters differ.
_APART = 0.2

#: Seconds that each rests after a post, so that on no machine more is posted
#: within post_time_limit and clock_skew than a marker can remember.
_PACE = 0.08

_QUEUE, _PROJECT = 'followed', 'p'

_processes = multiprocessing.get_context('spawn')


def post(
    path: str, poster: str, ahead: float, start: synchronize.Barrier,
    posted: str,
) -> None:
    """Post one or two messages after another, by a clock that is ahead.

    :param posted: the file that their ids are left in.
    """
    last = 0

    def make_id() -> uuid.UUID:
        nonlocal last
        first = uuid.UUID(names.first_id(time.time() + ahead)).int
        last = max(last + 1, first | uuid.uuid4().int & (1 << 60) - 1)
        return uuid.UUID(int=last)

    names.uuid_utils.uuid7 = make_id  # type: ignore[assignment]
    read = conf.read(path)
    drivers = driver.DataDriver(read, None, driver.ControlDriver(read, None))
    ids: list[str] = []
    start.wait(60)
    until = time.monotonic() + _SECONDS
    number = 0
    while time.monotonic() < until:
        number += 1
        ids += drivers.message_controller.post(
            _QUEUE, [{'ttl': 600, 'body': [poster, number, index]}
                     for index in range(number % 2 + 1)],
            client_uuid=poster, project=_PROJECT)
        time.sleep(_PACE)
    pathlib.Path(posted).write_text('\n'.join(ids))


class TestReader(testtools.TestCase):

    containers = 1
    #: How many messages a marker can name; None for as many as it does.
    nameable: int | None = None
    #: Options of the driver.
    settings: Mapping[str, float] = types.MappingProxyType({})

    def test_is_given_every_message_once(self) -> None:
        if self.nameable:
            self.useFixture(fixtures.MonkeyPatch(
                'marconi_swift.data.markers._MOST', self.nameable))
        drivers = self.useFixture(conf.Drivers(
            containers_per_queue=self.containers, **self.settings))
        drivers.control.queue_controller.create(_QUEUE, project=_PROJECT)
        start = _processes.Barrier(3)
        folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        posted = {'on time': 0.0, 'ahead': _APART}
        posters = [
            _processes.Process(target=post, args=(
                drivers.path, name, ahead, start, str(folder / name)))
            for name, ahead in posted.items()]
        for poster in posters:
            poster.start()
            self.addCleanup(poster.kill)
        start.wait(60)

        read, late = self.follow(drivers, posters)

        given = [name for poster in posted
                 for name in (folder / poster).read_text().split()]
        self.addDetail('figures', content.text_content(
            f'{len(read)} messages read while they were posted, {late} of '
            'them before one that was read already'))
        self.assertEqual(sorted(given),
                         sorted(message['id'] for message in read))
        self.assertGreater(late, 0)

    def follow(
        self, drivers: conf.Drivers,
        posters: 'list[multiprocessing.process.BaseProcess]',
    ) -> tuple[list[dict[str, object]], int]:
        """Read on by markers until the posters and their messages ended."""
        marker, read, late, newest = None, [], 0, ''
        while True:
            # Whether there may be more is asked before the page is.
            ended = not any(poster.is_alive() for poster in posters)
            cursor = drivers.data.message_controller.list(
                _QUEUE, project=_PROJECT, marker=marker, limit=20, echo=True)
            page = list(next(cursor))
            if not page and ended:
                return read, late
            if page:
                marker = next(cursor)
                late += sum(message['id'] < newest for message in page)
                newest = max(newest, page[-1]['id'])
                read += page


class TestReaderOfSpreadQueue(TestReader):

    containers = 4


class TestReaderOfMoreThanAMarkerCanName(TestReader):

    #: More than one poster posts while the other's post takes three seconds.
    nameable = 60
    #: All that is posted is within the window of its markers.
    settings = types.MappingProxyType({'post_time_limit': 60.0})
