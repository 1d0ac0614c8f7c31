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

"""What came out of a queue, compared with what went in."""

import collections
from collections.abc import Collection
from collections.abc import Iterable
from collections.abc import Mapping
import dataclasses
from typing import Any

#: A message as Zaqar's drivers return it: ``id``, ``body`` and more.
Message = Mapping[str, Any]


def body(number: int, size: int) -> dict[str, Any]:
    """Make a message's body, of about so many bytes of JSON."""
    return {'number': number, 'text': 'x' * max(0, size - 30)}


def number(message: Message, size: int) -> int | None:
    """Tell which message this is; None if its body is not as it was made."""
    content = message['body']
    if isinstance(content, dict) and isinstance(content.get('number'), int):
        found: int = content['number']
        if content == body(found, size):
            return found
    return None


@dataclasses.dataclass
class Verdict:
    """What was wrong, and what was left undone.

    Numbers of messages, and of exceptions by their class.
    """

    #: Given out more than once.
    duplicates: int = 0
    #: Neither given out nor there any more.
    lost: int = 0
    #: Given out though nobody had put it there, or changed; or there though
    #: it was deleted.
    unexpected: int = 0
    #: Still there, given to nobody. Not wrong: nobody promised more.
    left: int = 0
    errors: collections.Counter[str] = dataclasses.field(
        default_factory=collections.Counter)
    #: What one of the exceptions said.
    example: str = ''

    def __add__(self, other: 'Verdict') -> 'Verdict':
        return Verdict(
            self.duplicates + other.duplicates, self.lost + other.lost,
            self.unexpected + other.unexpected, self.left + other.left,
            self.errors + other.errors, self.example or other.example)

    @property
    def wrong(self) -> bool:
        """Whether the work was done wrong, however fast."""
        return bool(self.duplicates or self.lost or self.unexpected
                    or self.errors)

    def failed(self, error: BaseException) -> None:
        """Add an exception."""
        self.errors[type(error).__name__] += 1
        self.example = self.example or str(error)


def compare(
    expected: Collection[int], given: Iterable[Message], size: int,
    there: Iterable[Message] = (),
) -> Verdict:
    """Find what is wrong with messages that a driver gave out.

    :param expected: numbers of the messages that had to come out, once
        each.
    :param size: with which their bodies were made.
    :param there: messages that are in the queue afterwards: one that did
        not come out is left if it is among them, and lost otherwise.
    """
    counts = collections.Counter(number(message, size) for message in given)
    remaining = {number(message, size) for message in there}
    missing = [each for each in expected if each not in counts]
    left = sum(each in remaining for each in missing)
    return Verdict(
        duplicates=sum(count - 1 for each, count in counts.items()
                       if each is not None),
        lost=len(missing) - left,
        unexpected=sum(count for each, count in counts.items()
                       if each is None or each not in expected),
        left=left)
