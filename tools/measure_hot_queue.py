#!/usr/bin/env python3
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
"""Measures one queue that many post to and claim from, on a real Swift.

Starts a Swift, and processes that post single messages to one queue as fast
as they can, then claim what was posted, ten at a time, and delete it; for
each number of containers and of posters. Then the messages per second of
either are printed.

    .venv/bin/python tools/measure_hot_queue.py
"""

import argparse
from concurrent import futures
import configparser
import functools
import itertools
import multiprocessing
import pathlib
import tempfile
import time
from typing import Any
import uuid

from marconi_swift import driver
from marconi_swift import options
from marconi_swift.data import stages
from marconi_swift.manage import stores
from marconi_swift.standalone import swift

_PROJECT, _TTL = 'p', 3600

_context = multiprocessing.get_context('forkserver')


def main() -> None:
    given = parse()
    with (tempfile.TemporaryDirectory(
            dir=given.data, ignore_cleanup_errors=True) as folder,
          Cluster(pathlib.Path(folder, 'swift'), sweep_interval=3600.0,
                  update_interval=3600.0, workers=given.workers) as cluster):
        print('containers, posters: messages/s posted, claimed and deleted')
        for _, containers, posters in itertools.product(
                range(given.rounds), given.containers, given.posters):
            path = written(folder, cluster, containers)
            print(f'{containers:3} {posters:3}:', *(
                f'{rate:7.1f}' for rate in measure(
                    path, posters, given.seconds)), flush=True)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add('--containers', nargs='+', type=int, default=[1, 4, 16])
    add('--posters', nargs='+', type=int, default=[1, 8, 32],
        help='threads, in up to four processes')
    add('--workers', type=int, default=2, help='of each storage server')
    add('--seconds', type=float, default=10)
    add('--rounds', type=int, default=1)
    add('--data', help='where Swift keeps its data (a temporary folder)')
    return parser.parse_args()


class Cluster(swift.SwiftCluster):
    """A Swift whose storage servers have several workers.

    Its proxy has one: what it knows of tokens is in its memory.
    """

    def __init__(self, path: pathlib.Path, workers: int, **rest: Any) -> None:
        super().__init__(path, **rest)
        self._workers = workers

    def _launch(self) -> None:
        for kind in swift.KINDS:
            conf = pathlib.Path(self.folder.etc, f'{kind}-1.conf')
            conf.write_text(conf.read_text().replace(
                'workers = 0', f'workers = {self._workers}'))
        super()._launch()


def written(
    folder: str, cluster: swift.SwiftCluster, containers: int,
) -> str:
    """Write a zaqar.conf for queues of so many containers."""
    parser = configparser.ConfigParser(interpolation=None)
    parser['drivers'] = {'message_store': options.SCHEME,
                         'management_store': options.SCHEME}
    for group in (options.DATA_GROUP, options.CONTROL_GROUP):
        parser[group] = {
            'uri': f'{options.SCHEME}://', 'containers_per_queue': containers,
            'claim_attempt_limit': 60, 'post_time_limit': 60,
            **cluster.credentials().options}
    path = pathlib.Path(folder, f'zaqar-{containers}.conf')
    with path.open('w') as file:
        parser.write(file)
    return str(path)


def measure(path: str, posters: int, seconds: float) -> tuple[float, float]:
    """Messages per second that are posted, and claimed and deleted."""
    queue = uuid.uuid4().hex
    prepare(path, queue)
    processes = min(posters, 4)
    shares = [posters // processes] * processes
    with futures.ProcessPoolExecutor(
            processes, mp_context=_context) as pool:
        rates = []
        for work in (post, consume):
            task = functools.partial(together, work, path, queue, seconds)
            rates.append(sum(pool.map(task, shares)) / seconds)
    return rates[0], rates[1]


def data_of(path: str) -> driver.DataDriver:
    conf = stores.read(stores.named(path))
    return driver.DataDriver(conf, None, driver.ControlDriver(conf, None))


def prepare(path: str, queue: str) -> None:
    data = data_of(path)
    stages.MessageQueueHandler(data, data.control_driver).create(
        queue, project=_PROJECT)
    data.queue_controller.create(queue, project=_PROJECT)
    data.close()


def together(
    work: Any, path: str, queue: str, seconds: float, threads: int,
) -> int:
    """Work in so many threads; how many messages they are through with."""
    data = data_of(path)
    data.is_alive()
    with futures.ThreadPoolExecutor(threads) as pool:
        done = sum(pool.map(
            lambda _: work(data, queue, time.monotonic() + seconds),
            range(threads)))
    data.close()
    return done


def post(data: driver.DataDriver, queue: str, until: float) -> int:
    posted = 0
    while time.monotonic() < until:
        data.message_controller.post(
            queue, [{'ttl': _TTL, 'body': 'x' * 100}], 'poster', _PROJECT)
        posted += 1
    return posted


def consume(data: driver.DataDriver, queue: str, until: float) -> int:
    consumed = 0
    while time.monotonic() < until:
        claim, messages = data.claim_controller.create(
            queue, {'ttl': _TTL, 'grace': 60}, _PROJECT, limit=10)
        for message in messages:
            data.message_controller.delete(
                queue, message['id'], _PROJECT, claim)
            consumed += 1
        if claim is None:
            time.sleep(0.1)
    return consumed


if __name__ == '__main__':
    main()
