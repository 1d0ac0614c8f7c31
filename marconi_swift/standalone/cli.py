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

"""The command ``marconi-swift-standalone``."""

import argparse
from collections.abc import Iterable
from collections.abc import Sequence
import os
import signal
import sys
from types import FrameType
from typing import NoReturn
import uuid

from marconi_swift.standalone import errors
from marconi_swift.standalone import keystone as keystones
from marconi_swift.standalone import ports
from marconi_swift.standalone import processes
from marconi_swift.standalone import swift as swifts
from marconi_swift.standalone import zaqar as zaqars

PROGRAM = 'marconi-swift-standalone'

DESCRIPTION = """\
Runs a messaging service on this machine: Zaqar's API, with everything in a
real Swift of its own, whose data are in one folder. Needs no root and no
other service. Serves this machine only, and asks nobody for a password,
unless --keystone makes it a small cloud."""

EPILOG = """\
Stops on Ctrl-C, SIGTERM or SIGHUP, with status 0; not on SIGHUP under nohup.
If it can't start, or one of its processes ends by itself, it says so in a
sentence, stops the rest and ends with status 1. Data, ports and passwords are
kept in the data folder, for the next run on it; one program at a time can run
on a folder. The space of what was deleted or has expired is given back a day
or two later, if the program runs then."""

GREETING = """\
Zaqar's API   {url}/v2
Data          {folder}
Logs          {folder.log}

A first session, to paste into another terminal:

  zaqar() {{ queue=$1; shift
      curl -sS --noproxy '*' "{url}/v2/queues/$queue" "$@" \\
      -H 'Client-ID: {client}' \\
      -H 'X-Project-ID: demo' -H 'Content-Type: application/json'; echo; }}
  zaqar greetings -X PUT
  zaqar greetings/messages -d '{{"messages": [{{"ttl": 300, "body": "hi"}}]}}'
  zaqar 'greetings/messages?echo=true'

Ctrl-C stops it.
"""

CLOUD_GREETING = """\
Zaqar's API   {zaqar.url}/v2
WebSocket     {zaqar.websocket_url}
Keystone      {keystone.url}
Swift         {swift.url}
Data          {folder}
Logs          {folder.log}
Credentials   {keystone.clouds}

A first session, to paste into another terminal:

  export OS_CLIENT_CONFIG_FILE={keystone.clouds} OS_CLOUD=demo
  export no_proxy=127.0.0.1
  openstack messaging queue create greetings
  openstack messaging message post --client-id {client} \\
      greetings '[{{"ttl": 300, "body": "hi"}}]'
  openstack messaging claim create greetings

The clouds are called admin, demo and alt_demo. Ctrl-C stops it.
"""

STOPPERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main(argv: Sequence[str] | None = None) -> str | None:
    """Run until told to stop; return what ``sys.exit`` is to be given.

    That is None, or what went wrong, which it prints for a status of 1.
    """
    options = parse(argv)
    stop_on_signals()
    try:
        serve(options)
    except KeyboardInterrupt:
        return None
    except errors.StandaloneError as error:
        return f'{PROGRAM}: {error}'


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line; argparse ends the program if it is wrong."""
    parser = argparse.ArgumentParser(
        PROGRAM, description=DESCRIPTION, epilog=EPILOG
    )
    add = parser.add_argument
    add('--data', metavar='DIR', default='marconi-swift-data',
        help='the data folder, made if missing (%(default)s); its file '
             'system must have extended attributes')
    add('--port', type=port, metavar='PORT',
        help="the port of Zaqar's API; else that of the last run, else "
             f'{zaqars.USUAL_PORT}, else a free one')
    add('--swift-port', type=port, metavar='PORT',
        help="the port of Swift's proxy; else that of the last run, else a "
             'free one')
    add('--replicas', type=positive, metavar='N',
        help='copies of everything, and nodes of Swift; else what the folder '
             'was made with, which can not change, else 1')
    add('--workers', type=positive, default=2, metavar='N',
        help="processes that serve Zaqar's API (%(default)s)")
    add('--threads', type=positive, default=8, metavar='N',
        help='requests that each of them serves at once (%(default)s)')
    add('--sweep-interval', type=float, default=5.0, metavar='SECONDS',
        help='time between two passes of what removes expired objects '
             '(%(default)s)')
    add('--patience', type=float, default=swifts.PATIENCE, metavar='SECONDS',
        help='time that Swift, and then Zaqar, may take to start '
             '(%(default)s)')
    add('--keystone', action='store_true',
        help='also run a Keystone, which Swift and Zaqar then ask who may do '
             'what, and serve WebSocket; writes clouds.yaml for clients into '
             'the data folder, which must have been made with this')
    add('--keystone-port', type=port, metavar='PORT',
        help="Keystone's port; else that of the last run, else a free one")
    add('--pooling', action='store_true',
        help='let administrators add pools, who without --keystone are '
             'those who send the header X-Roles: admin; queues in none are '
             'in the virtual pool, which is the Swift above')
    add('--management-store', default=zaqars.DRIVER,
        choices=(zaqars.DRIVER, zaqars.SQLALCHEMY),
        help='where queues, pools, flavors and the catalogue are; with '
             'sqlalchemy in a file of the data folder (%(default)s); a folder '
             'keeps the one that it was made with')
    add('--tally', action='store_true',
        help="count the requests to Swift, at /__tally__ of Swift's proxy")
    add('--debug', action='store_true',
        help='log every request, and much else')
    add('--quiet', action='store_true',
        help='print nothing but errors')
    options = parser.parse_args(argv)
    given = [
        number
        for number in (
            options.port, options.swift_port, options.keystone_port)
        if number
    ]
    if len(set(given)) < len(given):
        parser.error(
            '--port, --swift-port and --keystone-port must differ')
    return options


def port(text: str) -> int:
    """Read a TCP port."""
    number = positive(text)
    if number > 65535:
        raise ValueError(text)
    return number


def positive(text: str) -> int:
    """Read a number above 0."""
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number


def serve(options: argparse.Namespace) -> NoReturn:
    """Run Swift, then Zaqar on it; stop both, however this ends.

    :raises KeyboardInterrupt: the program was told to stop.
    :raises marconi_swift.standalone.errors.StandaloneError: something could
        not be started, or ended by itself.
    """
    ask_directly()
    keystone = None
    if options.keystone:
        keystone = keystones.KeystoneServer(
            port=options.keystone_port,
            debug=options.debug,
            # Keystone takes several times as long as the others.
            patience=max(options.patience, keystones.PATIENCE),
        )
    swift = swifts.SwiftCluster(
        options.data,
        replicas=options.replicas,
        keystone=keystone,
        port=options.swift_port,
        sweep_interval=options.sweep_interval,
        replicate_interval=swifts.REPLICATE_INTERVAL,
        tally=options.tally,
        log_level='INFO' if options.debug else 'WARNING',
        patience=options.patience,
    )
    zaqar = zaqars.ZaqarServer(
        swift,
        port=options.port,
        workers=options.workers,
        threads=options.threads,
        stores=zaqars.Stores(management=options.management_store),
        pooling=options.pooling,
        debug=options.debug,
        patience=options.patience,
    )
    with swift, zaqar:
        if not options.quiet:
            sys.stdout.write(greet(swift, zaqar))
            sys.stdout.flush()
        running = {**swift.processes, **zaqar.processes}
        if keystone:
            running |= keystone.processes
        watch(running.values())


def ask_directly() -> None:
    """Have no proxy asked for servers of this machine, here and in children.

    Whoever reads one spelling of the variable may ignore the other.
    """
    spared = os.environ.get('no_proxy') or os.environ.get('NO_PROXY', '')
    if spared != '*':
        spared = ','.join(filter(None, (spared, ports.HOST)))
    os.environ['no_proxy'] = os.environ['NO_PROXY'] = spared


def greet(swift: swifts.SwiftCluster, zaqar: zaqars.ZaqarServer) -> str:
    """Return what there is, and how to try it."""
    return (CLOUD_GREETING if swift.keystone else GREETING).format(
        url=zaqar.url,
        folder=swift.folder,
        client=uuid.uuid4(),
        swift=swift,
        zaqar=zaqar,
        keystone=swift.keystone,
    )


def watch(running: Iterable[processes.Process]) -> NoReturn:
    """Wait until one of the processes ends by itself.

    :raises marconi_swift.standalone.errors.StandaloneError: one did.
    """
    while True:
        ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)
        for process in running:
            if not process.running:
                raise errors.StandaloneError(process.obituary)
        # As a container's first process we also inherit orphans.
        if ended:
            os.waitpid(ended.si_pid, 0)


def stop_on_signals() -> None:
    """Turn the signals that ask to stop into one KeyboardInterrupt.

    Those that follow are ignored: stopping takes a bounded time anyway, and
    would leave processes behind if it were cut short.
    """

    def stop(number: int, frame: FrameType | None) -> NoReturn:
        for each in STOPPERS:
            signal.signal(each, signal.SIG_IGN)
        raise KeyboardInterrupt

    for each in STOPPERS:
        # With nohup it is to go on without its terminal.
        if each != signal.SIGHUP or signal.getsignal(each) != signal.SIG_IGN:
            signal.signal(each, stop)
