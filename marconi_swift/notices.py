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
"""What is told in the log, and not each time that it is met."""

from typing import Any

from oslo_log import log as logging

from marconi_swift import cache

LOG = logging.getLogger(__name__)

#: Seconds for which a process tells no more about the same thing.
QUIET = 60.0

#: Things that a process remembers to have told about.
_REMEMBERED = 1000

_told = cache.Cache[str, bool](QUIET, _REMEMBERED)


def warn(about: str, message: str, values: dict[str, Any]) -> None:
    """Log a warning, unless there was one about the same thing just now.

    What is not told for that reason is logged at DEBUG.

    :param about: what counts as the same thing.
    """
    if about in _told:
        LOG.debug(message, values)
        return
    _told.keep(about, True)
    LOG.warning(message, values)


def foreign(container: str, name: str, kind: str) -> None:
    """Tell of an object that is none of ours, though it is where ours are.

    Once a minute of those in the same container: a listing may show many,
    and is asked for all the time.

    :param kind: what ours are, such as ``message``.
    """
    warn(
        container,
        'Ignoring %(name)r in container %(container)s: it is no %(kind)s '
        'that this release can read. Remove it, or upgrade. Others in that '
        'container are told of at DEBUG for %(quiet).0f seconds.',
        {'name': name, 'container': container, 'kind': kind,
         'quiet': QUIET})


def forget() -> None:
    """Tell of everything anew."""
    _told.clear()
