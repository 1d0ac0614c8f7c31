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

"""What every child of the standalone program runs first.

``python -m marconi_swift.standalone.launch FOLDER PARENT COMMAND ...`` becomes
COMMAND, a console script of Swift or gunicorn, and is told to stop when PARENT
dies. Swift differs in this: it reads the ``swift.conf`` of FOLDER instead of
that in /etc, it stays the user and the group that started it, the rows of its
databases survive a power cut, and the object replicator needs no auditor to
forget what was deleted. FOLDER in the command line is also how a later run
recognises the process as one of its own.
"""

import ctypes
from importlib import metadata
import os
import signal
import sys

# From linux/prctl.h.
PR_SET_PDEATHSIG = 1


def die_with(parent: int) -> None:
    """Have the kernel send SIGTERM to this process when its parent dies.

    SIGTERM, not SIGKILL: the daemons of Swift and gunicorn have children in
    turn, which the kernel does not tell. Does nothing but look once where
    there is no ``prctl``.
    """
    if sys.platform == 'linux':
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        sys.exit(f'The process {parent} that started this one is gone.')


def use_swift_conf(path: str) -> None:
    """Make Swift read this file for /etc/swift/swift.conf.

    Swift's modules read it while they are imported, so this comes first.
    """
    from swift.common import utils

    utils.SWIFT_CONF_FILE = path


def stay_oneself() -> None:
    """Have Swift's servers and daemons change neither user nor group.

    They would become a user of the password database, and its group: only
    root can take a group that it does not have by now. ``swift.common.wsgi``
    takes the function while it is imported, so this comes first, too.
    """
    from swift.common import utils

    utils.drop_privileges = lambda user: None


def keep_rows() -> None:
    """Have a row of Swift's databases be on the disk when it is answered.

    Swift appends rows to a file beside the database, and leaves it to the
    system when that is written: after a power cut the object would be there,
    in no listing.
    """
    from swift.common import db

    put_record = db.DatabaseBroker.put_record

    def put_and_sync(broker: db.DatabaseBroker, record: object) -> None:
        put_record(broker, record)
        with open(broker.pending_file, 'rb') as pending:
            os.fsync(pending.fileno())

    db.DatabaseBroker.put_record = put_and_sync


def reclaim_all() -> None:
    """Have the object replicator remove every old tombstone.

    It looks only where something changed since its last pass, and what was
    deleted is too young then; Swift's auditor has it look again, but reads all
    objects for that. Every tenth pass the replicator lists a partition anyway:
    here it looks at all that it finds.
    """
    from swift.obj import diskfile

    get_hashes = diskfile.BaseDiskFileManager._get_hashes

    def get_all_hashes(
        manager: diskfile.BaseDiskFileManager,
        device: str,
        partition: str,
        policy: object,
        recalculate: list[str] | None = None,
        do_listdir: bool = False,
    ) -> object:
        if do_listdir:
            path = diskfile.get_part_path(
                manager.get_dev_path(device), policy, partition
            )
            # Others are files of Swift's own.
            recalculate = [each for each in os.listdir(path) if len(each) == 3]
        return get_hashes(
            manager, device, partition, policy, recalculate, do_listdir
        )

    diskfile.BaseDiskFileManager._get_hashes = get_all_hashes


def become(command: str, *arguments: str) -> None:
    """Run the console script of that name in this process."""
    (script,) = metadata.entry_points(group='console_scripts', name=command)
    sys.argv = [command, *arguments]
    sys.exit(script.load()())


def main() -> None:
    """Do what the command line says; see the module."""
    folder, parent, command, *arguments = sys.argv[1:]
    die_with(int(parent))
    # No stray gunicorn.conf.py is picked up there.
    os.chdir(folder)
    if command.startswith('swift-'):
        use_swift_conf(os.path.join(folder, 'etc', 'swift.conf'))
        stay_oneself()
        keep_rows()
    if command == 'swift-object-replicator':
        reclaim_all()
    become(command, *arguments)


if __name__ == '__main__':
    main()
