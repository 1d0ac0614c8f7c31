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
"""How far a long command is, and Ctrl-C, for who watches it at a terminal."""

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
import contextlib
import signal
import sys
from types import TracebackType
from typing import Any
from typing import Self

import tqdm


def bar(
    over: Iterable[Any] | None = None, *, unit: str, alone: bool = True,
) -> Any:
    """A progress bar; see :class:`tqdm.tqdm`.

    It goes to standard error if that is a terminal, and nowhere otherwise.

    :param unit: what is counted, such as ``queues``.
    :param alone: False if lines are written to standard output meanwhile: if
        that is a terminal, there is no bar.
    """
    hidden = not sys.stderr.isatty() or (not alone and sys.stdout.isatty())
    return tqdm.tqdm(over, unit=f' {unit}', leave=False, file=sys.stderr,
                     disable=hidden)


@contextlib.contextmanager
def steps(unit: str) -> Iterator[Callable[[int], None]]:
    """Show how far something is that Ctrl-C ends between two steps.

    Gives what is to be called after each step, with how much that was.

    :param unit: what is counted.
    :raises KeyboardInterrupt: Ctrl-C was pressed during the step.
    """
    with bar(unit=unit) as shown, Interruption() as interruption:
        def done(count: int) -> None:
            shown.update(count)
            interruption.check()

        yield done
        # What was done since may have been nothing.
        interruption.check()


class Interruption:
    """Lets Ctrl-C wait until a step is over: for ``with``.

    A second Ctrl-C does not wait. For the main thread alone, which Python
    tells of signals.
    """

    def __enter__(self) -> Self:
        self._asked = False
        self._before = signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        signal.signal(signal.SIGINT, self._before)

    def check(self) -> None:
        """Call this between two steps.

        :raises KeyboardInterrupt: Ctrl-C was pressed.
        """
        if self._asked:
            raise KeyboardInterrupt

    def _note(self, *_: Any) -> None:
        self.check()
        self._asked = True
