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
"""A real Swift of three nodes, and what can be done to it.

Each fault is struck while clients work, and healed while they go on. A fault
is *promised* if everything that the driver promises must hold in it: one node
of three is away, or requests fail, however they do. In the others, which P9
of the promises excepts, what happens is counted.
"""

from collections.abc import Callable
import dataclasses
import random
import subprocess

import fixtures

from marconi_swift.standalone import confs
from marconi_swift.standalone import processes
from marconi_swift.standalone import swift as swifts
from tests.fixtures import conf
from tests.history import troubling

NODES = 3

#: Seconds between two passes of the object updater, the replicators and the
#: expirer.
SWEEP = 1.0

#: Seconds that starting Swift, or one server of it, may take.
PATIENCE = 180.0

#: As short, in relation to the settings below, as Swift's own defaults are
#: to theirs.
LIMITS = confs.Limits(
    connect=0.5, storage=2, proxy=2, errors=10, shunned=4)

#: Options of the driver, in seconds.
ATTEMPT_LIMIT = 10.0
CLOCK_SKEW = 2.0
SETTINGS = {
    'claim_attempt_limit': ATTEMPT_LIMIT, 'clock_skew': CLOCK_SKEW,
    'post_time_limit': 10.0, 'timeout': 10.0, 'retry_time_limit': 15.0}

#: When, at the latest, what was claimed for a time, or what nobody won, can
#: be claimed again after that time.
FREE_AGAIN = 2 * ATTEMPT_LIMIT + CLOCK_SKEW


class Cluster(fixtures.Fixture):
    """A Swift of three nodes, with a zaqar.conf for it in ``path``.

    :param limits: for how long its servers wait for one another.
    """

    def __init__(self, limits: confs.Limits = LIMITS) -> None:
        super().__init__()
        self._limits = limits

    def _setUp(self) -> None:
        folder = self.useFixture(fixtures.TempDir()).path
        self.swift = swifts.SwiftCluster(
            folder, replicas=NODES, sweep_interval=SWEEP,
            update_interval=SWEEP, replicate_interval=SWEEP,
            limits=self._limits, patience=PATIENCE,
            filters=[troubling.FACTORY])
        self.addCleanup(self.swift.stop)
        self.swift.start()
        self.path = f'{folder}/zaqar.conf'
        conf.write(self.path, **SETTINGS, **self.swift.login)

    def process(self, name: str) -> processes.Process:
        return self.swift.processes[name]

    def kill(self, *names: str) -> None:
        for name in names:
            self.process(name).kill()

    def start(self, *names: str) -> None:
        """Start servers or daemons; returns when they serve."""
        processes.start({name: self.process(name) for name in names},
                        PATIENCE)

    def trouble(self, **orders: object) -> None:
        troubling.make(self.swift.url, **orders)


@dataclasses.dataclass
class Scene:
    """What a fault can get at."""

    cluster: Cluster
    random: random.Random
    #: Those that are to do their work and end.
    workers: list['subprocess.Popen[bytes]']
    #: Starts one more worker.
    hire: Callable[[], None]

    def any_of(self, kind: str) -> str:
        return f'{kind}-{self.random.randint(1, NODES)}'


@dataclasses.dataclass(frozen=True)
class Fault:
    """Something that goes wrong for a while.

    :param strike: does it, and returns what heals it.
    :param offsets: seconds by which the clocks of workers are ahead, in
        turn.
    """

    name: str
    strike: Callable[[Scene], Callable[[], None]]
    promised: bool = True
    offsets: tuple[float, ...] = (0.0,)

    @property
    def quiet(self) -> bool:
        """Whether all requests are carried out, and answered."""
        return self.promised and self.strike is _nothing


def _nothing(scene: Scene) -> Callable[[], None]:
    return lambda: None


def _kill(kind: str) -> Callable[[Scene], Callable[[], None]]:
    def strike(scene: Scene) -> Callable[[], None]:
        name = scene.any_of(kind)
        scene.cluster.kill(name)
        return lambda: scene.cluster.start(name)
    return strike


def _suspend(kind: str) -> Callable[[Scene], Callable[[], None]]:
    def strike(scene: Scene) -> Callable[[], None]:
        process = scene.cluster.process(scene.any_of(kind))
        process.suspend()
        return process.resume
    return strike


def _kill_node(scene: Scene) -> Callable[[], None]:
    number = scene.random.randint(1, NODES)
    names = [f'{kind}-{number}' for kind in swifts.KINDS]
    scene.cluster.kill(*names)
    return lambda: scene.cluster.start(*names)


def _restart_proxy(scene: Scene) -> Callable[[], None]:
    scene.cluster.kill(swifts.PROXY)
    scene.cluster.start(swifts.PROXY)
    return lambda: None


def _trouble(**orders: object) -> Callable[[Scene], Callable[[], None]]:
    def strike(scene: Scene) -> Callable[[], None]:
        scene.cluster.trouble(seed=scene.random.random(), **orders)
        return scene.cluster.trouble
    return strike


def _kill_worker(scene: Scene) -> Callable[[], None]:
    # Nobody looks how it ended.
    victim = scene.random.choice(scene.workers)
    scene.workers.remove(victim)
    victim.kill()
    return scene.hire


def _cut_off_most(scene: Scene) -> Callable[[], None]:
    left = scene.random.randint(1, NODES)
    names = [f'{kind}-{number}' for kind in ('object', 'container')
             for number in range(1, NODES + 1) if number != left]
    scene.cluster.kill(*names)
    return lambda: scene.cluster.start(*names)


FAULTS = {fault.name: fault for fault in (
    Fault('calm', _nothing),
    Fault('object server killed', _kill('object')),
    Fault('object server suspended', _suspend('object')),
    Fault('container server killed', _kill('container')),
    Fault('node killed', _kill_node),
    Fault('no cache', _trouble(forgetful=True)),
    Fault('proxy restarted', _restart_proxy),
    Fault('requests refused', _trouble(
        refused=0.25, status=[503, 429, 498, 507])),
    Fault('answers dropped', _trouble(dropped=0.15)),
    Fault('requests delayed up to 4 s', _trouble(delayed=0.15, seconds=4)),
    Fault('worker killed', _kill_worker),
    Fault('clocks differ by 2 s', _nothing, offsets=(0.0, CLOCK_SKEW)),
    Fault('requests delayed up to 10 s', _trouble(delayed=0.15, seconds=10),
          promised=False),
    Fault('clocks differ by 8 s', _nothing, promised=False,
          offsets=(0.0, 4 * CLOCK_SKEW)),
    Fault('two nodes of three cut off', _cut_off_most, promised=False),
)}
