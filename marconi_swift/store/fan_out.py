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

"""Several requests at a time: the one place of this driver with threads."""

import collections
from collections.abc import Callable
from collections.abc import Iterable
from concurrent import futures
import functools
import threading
from typing import TypeVar

from marconi_swift.store import per_process

_T = TypeVar('_T')
_R = TypeVar('_R')


@functools.cache
def _threads(
    width: int,
) -> per_process.PerProcess[futures.ThreadPoolExecutor]:
    """The threads of this process, shared by all drivers of that width."""
    return per_process.PerProcess(
        lambda: futures.ThreadPoolExecutor(
            width, thread_name_prefix='marconi-swift'))


class FanOut:
    """Calls a function for many items, ``width`` at a time in a process.

    The calling thread works too, so that a busy or exhausted pool slows a
    caller down and never stops it.
    """

    def __init__(self, width: int) -> None:
        self._width = width

    def each(
        self, function: Callable[[_T], _R], items: Iterable[_T],
    ) -> list[_R]:
        """Call the function for each item and return results in order.

        All calls have ended on return, also when some of them raised.

        :raises Exception: what the first of the items that failed raised.
        """
        outcomes = self.outcomes(function, items)
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome
        return outcomes  # type: ignore[return-value]

    def outcomes(
        self, function: Callable[[_T], _R], items: Iterable[_T],
    ) -> list[_R | Exception]:
        """As :meth:`each`, with the exception in the place of a result."""
        todo = collections.deque(enumerate(items))
        outcomes: list[_R | Exception] = [LookupError()] * len(todo)
        done = threading.Semaphore(0)

        def work() -> None:
            while True:
                try:
                    index, item = todo.popleft()
                except IndexError:
                    return
                try:
                    outcomes[index] = function(item)
                except Exception as exc:
                    # Handed to the caller, in the place of the result.
                    outcomes[index] = exc
                finally:
                    done.release()

        # Those who come when all is done find nothing, and keep nothing in
        # memory while they wait for a thread.
        offered = [work]
        self._call_helpers(offered, min(len(todo), self._width) - 1)
        work()
        for _ in outcomes:
            done.acquire()
        offered.clear()
        return outcomes

    def _call_helpers(
        self, offered: list[Callable[[], None]], count: int,
    ) -> None:
        """Let threads of the pool do what is offered, if there are any."""
        def help_out() -> None:
            for work in list(offered):
                work()

        threads = _threads(self._width).get()
        for _ in range(count):
            try:
                threads.submit(help_out)
            except RuntimeError:
                # No thread could be started, or the interpreter is about to
                # end. A thread that is there may help all the same: what
                # could not be given one of its own waits for it
                # (concurrent.futures.ThreadPoolExecutor.submit).
                return
