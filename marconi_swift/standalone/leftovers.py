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

"""Processes that a former run on a folder left behind: nobody's children."""

import os
import pathlib
import signal
import time

from marconi_swift.standalone import folder as folders
from marconi_swift.standalone import processes


def stop(folder: folders.Folder) -> None:
    """Stop what a former run on the folder left behind.

    A pid may be another program's by now, so only processes whose command
    line names the launcher and the folder are touched. Without a /proc that
    can't be told, and nothing is.
    """
    for pid_file in folder.run.glob('*.pid'):
        pid = pid_file.read_text().strip()
        # A power cut can leave an empty one, and no process.
        if pid.isdecimal() and is_ours(int(pid), folder):
            _end_stranger(int(pid), folder)
        pid_file.unlink()


def is_ours(pid: int, folder: folders.Folder) -> bool:
    """Return whether a running process was started for this folder."""
    try:
        line = pathlib.Path(f'/proc/{pid}/cmdline').read_bytes()
    except OSError:
        return False
    arguments = line.decode(errors='replace').split('\0')
    return processes.LAUNCHER in arguments and str(folder) in arguments


def _end_stranger(pid: int, folder: folders.Folder) -> None:
    """Stop a process that is not our child, so can't be waited for."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        deadline = time.monotonic() + processes.GRACE
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return
        while is_ours(pid, folder):
            if time.monotonic() > deadline:
                break
            time.sleep(processes.PAUSE)
