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
"""Measures how many rows containers take, without Swift's servers.

Processes do what workers of a container server do when they are told of an
object (``ContainerBroker.put_object``), and when they list, on the databases
of one, four or sixteen containers. No HTTP is spoken, so this is what
remains when servers and network cost nothing.

    .venv/bin/python tools/measure_rows.py
    .venv/bin/python tools/measure_rows.py --sync 10 --listings 10
    .venv/bin/python tools/measure_rows.py --grown

``--sync`` has each fsync take some milliseconds more, as on a slow disk: a
library is compiled for that, with ``cc``, and preloaded.
"""

import argparse
from collections.abc import Iterator
import itertools
import multiprocessing
from multiprocessing import synchronize
import os
import pathlib
import subprocess
import sys
import tempfile
import time
from typing import Any
import uuid

from swift.common import utils
from swift.container import backend

#: Rows of a listing, of all containers together, as the driver asks for.
_PAGE = 1000

_SYNC = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <unistd.h>
static int slow(const char *name, int fd) {
    usleep(1000 * atoi(getenv("SYNC_MS")));
    return ((int (*)(int)) dlsym(RTLD_NEXT, name))(fd);
}
int fsync(int fd) { return slow("fsync", fd); }
int fdatasync(int fd) { return slow("fdatasync", fd); }
"""

_processes = multiprocessing.get_context('fork')


def main() -> None:
    options = parse()
    if options.sync and 'SYNC_MS' not in os.environ:
        again(options.sync)
    with tempfile.TemporaryDirectory(dir=options.data) as folder:
        if options.grown:
            grown(pathlib.Path(folder))
            return
        print('containers, workers: rows/s, listings/s of each container')
        for containers, workers in itertools.product(
                options.containers, options.workers):
            rows, listings = measure(
                pathlib.Path(folder, f'{containers}-{workers}'), containers,
                workers, options)
            print(f'{containers:3} {workers:3}: {rows:7.0f} {listings:6.1f}',
                  flush=True)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add('--containers', nargs='+', type=int, default=[1, 4, 16])
    add('--workers', nargs='+', type=int, default=[1, 8, 32],
        help='processes that put rows')
    add('--listings', type=float, default=0,
        help='how often in a second all containers are listed')
    add('--seconds', type=float, default=5)
    add('--sync', type=int, default=0, metavar='MS')
    add('--grown', action='store_true',
        help='instead: what rows and listings cost in large containers')
    add('--data', help='where the databases go (a temporary folder)')
    return parser.parse_args()


def again(milliseconds: int) -> None:
    """Run this once more, with each fsync as slow as that."""
    folder = tempfile.mkdtemp()
    source = pathlib.Path(folder, 'sync.c')
    source.write_text(_SYNC)
    library = source.with_suffix('.so')
    subprocess.run(['cc', '-shared', '-fPIC', '-o', library, source, '-ldl'],
                   check=True, timeout=60)
    os.execve(sys.executable, [sys.executable, *sys.argv], {  # nosec B606
        **os.environ, 'LD_PRELOAD': str(library),
        'SYNC_MS': str(milliseconds)})


def measure(
    folder: pathlib.Path, containers: int, workers: int,
    options: argparse.Namespace,
) -> tuple[float, float]:
    """Rows that are put in a second, and listings of each container."""
    paths = [made(folder, f'c{number}') for number in range(containers)]
    barrier = _processes.Barrier(workers + containers + 1)
    counts = _processes.Queue()
    running = [
        _processes.Process(target=put_rows, args=(
            paths, barrier, options.seconds, counts), daemon=True)
        for _ in range(workers)]
    running += [
        _processes.Process(target=list_rows, args=(
            path, _PAGE // containers, barrier, options.seconds,
            options.listings, counts), daemon=True)
        for path in paths]
    for process in running:
        process.start()
    barrier.wait(60)
    found = [counts.get(timeout=options.seconds + 120) for _ in running]
    for process in running:
        process.join(10)
    return (sum(count for kind, count in found if kind == 'put')
            / options.seconds,
            sum(count for kind, count in found if kind == 'list')
            / options.seconds / containers)


def made(folder: pathlib.Path, name: str) -> str:
    """Make the database of a container."""
    path = str(folder / name / 'container.db')
    backend.ContainerBroker(path, account='a', container=name).initialize(
        utils.Timestamp.now().internal, 0)
    return path


def put_rows(
    paths: list[str], barrier: synchronize.Barrier, seconds: float,
    counts: Any,
) -> None:
    brokers = itertools.cycle([opened(path) for path in paths])
    for _ in range(os.getpid() % len(paths)):
        next(brokers)
    barrier.wait(60)
    put, until = 0, time.monotonic() + seconds
    while time.monotonic() < until:
        put_row(next(brokers), str(uuid.uuid4()))
        put += 1
    counts.put(('put', put))


def list_rows(
    path: str, share: int, barrier: synchronize.Barrier, seconds: float,
    often: float, counts: Any,
) -> None:
    broker = opened(path)
    barrier.wait(60)
    listed, until = 0, time.monotonic() + seconds
    if often:
        for moment in moments(until - seconds, 1 / often):
            if moment >= until or time.monotonic() >= until:
                break
            time.sleep(max(0, moment - time.monotonic()))
            list_page(broker, share)
            listed += 1
    counts.put(('list', listed))


def moments(start: float, every: float) -> Iterator[float]:
    return (start + every * number for number in itertools.count(1))


def opened(path: str) -> backend.ContainerBroker:
    return backend.ContainerBroker(path, pending_timeout=60)


def put_row(
    broker: backend.ContainerBroker, name: str, deleted: int = 0,
) -> None:
    broker.put_object(
        name, utils.Timestamp.now().internal, 100,
        'application/json;v=1;ttl=3600;expires=1800000000.000;poster=x',
        'd41d8cd98f00b204e9800998ecf8427e', deleted=deleted)


def list_page(
    broker: backend.ContainerBroker, limit: int = _PAGE,
) -> None:
    broker.list_objects_iter(
        limit, '', '', '', '', storage_policy_index=0)


def grown(folder: pathlib.Path) -> None:
    """What rows and listings cost beside many rows, deleted or not."""
    print('rows, of which deleted: rows/s, ms of a listing of 1000')
    for size, deleted in ((0, 0), (100_000, 0), (100_000, 100_000),
                          (1_000_000, 1_000_000)):
        broker = opened(made(folder, f'grown-{size}-{deleted}'))
        fill(broker, size, deleted)
        for number in range(_PAGE):
            put_row(broker, f'zz{number}')
        list_page(broker)
        began = time.monotonic()
        for _ in range(5000):
            put_row(broker, str(uuid.uuid4()))
        list_page(broker)
        put = time.monotonic() - began
        began = time.monotonic()
        for _ in range(20):
            list_page(broker)
        listed = (time.monotonic() - began) / 20
        print(f'{size:7} {deleted:7}: {5000 / put:7.0f} '
              f'{1000 * listed:6.1f}', flush=True)


def fill(
    broker: backend.ContainerBroker, size: int, deleted: int,
) -> None:
    """Merge many rows, whose names sort before those of others."""
    at = utils.Timestamp.now().internal
    for start in range(0, size, 10_000):
        broker.merge_items([{
            'name': f'00{number:08}', 'created_at': at, 'size': 100,
            'content_type': 'application/json;v=1;ttl=3600',
            'etag': 'd41d8cd98f00b204e9800998ecf8427e',
            'deleted': int(number < deleted), 'storage_policy_index': 0}
            for number in range(start, start + 10_000)])


if __name__ == '__main__':
    main()
