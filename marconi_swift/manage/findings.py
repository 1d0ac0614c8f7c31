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
"""What a check of a deployment finds."""

import enum
from typing import NamedTuple


class Result(enum.StrEnum):
    OK = 'ok'
    #: It works, but worse than it could.
    WARNING = 'warning'
    FAILED = 'failed'
    #: It was not looked at.
    SKIPPED = 'skipped'


class Finding(NamedTuple):
    """One line of the table."""

    #: ``management``, or what a message store is called.
    store: str
    check: str
    result: Result
    #: What was seen.
    seen: str
    #: What to do about it.
    advice: str = ''


class Found(NamedTuple):
    """What one check of one store sees."""

    result: Result
    seen: str
    advice: str = ''


def ok(seen: str) -> Found:
    return Found(Result.OK, seen)


def warning(seen: str, advice: str) -> Found:
    return Found(Result.WARNING, seen, advice)


def failed(seen: str, advice: str) -> Found:
    return Found(Result.FAILED, seen, advice)
