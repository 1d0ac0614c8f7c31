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

from collections.abc import Callable
from collections.abc import Generator
import enum
from typing import NamedTuple

from zaqar.storage import errors as zaqar_errors

from marconi_swift.store import errors


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


def _in_full(error: Exception) -> str:
    """What an error says, and what is behind it: addresses, too."""
    return ': '.join(map(str, filter(None, (error, error.__cause__))))


class Check(NamedTuple):
    """Something to look at."""

    name: str
    look: Callable[[], Found]
    #: What to do about an error of Swift's.
    advice: str = "See Swift's log for this request."
    #: Whether there is no sense in those that follow if this fails.
    vital: bool = False

    def found(self) -> Found:
        """Look; an error of Swift's is what was seen, too."""
        try:
            return self.look()
        except errors.Unanswered as exc:
            return failed(
                _in_full(exc), 'See that the server at this address runs and '
                f'can be reached from here. {self.advice}')
        except zaqar_errors.ConnectionError as exc:
            return failed(_in_full(exc), self.advice)


def run(checks: list[Check]) -> Generator[tuple[str, Found], None, bool]:
    """Yield what each check saw; return whether none of the vital failed."""
    for check in checks:
        found = check.found()
        yield check.name, found
        if check.vital and found.result is Result.FAILED:
            return False
    return True
