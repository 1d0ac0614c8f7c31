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

"""All work that is measured, and how much of each."""

from collections.abc import Sequence
import dataclasses

from marconi_swift.bench import crowds
from marconi_swift.bench import work

KIB = 1024


@dataclasses.dataclass(frozen=True)
class Sizes:
    """How much of each kind of work there is."""

    queues: Sequence[int] = (20, 1000, 10000)
    #: Messages that are claimed, in front of those that are listed.
    claimed: Sequence[int] = (500, 5000)
    #: Messages of one life of messages, and of a race.
    messages: int = 200
    threads: Sequence[int] = (1, 8, 32)
    processes: int = 8
    #: Queues that are worked on at once.
    many: int = 32
    #: Bytes of messages' bodies.
    bodies: Sequence[int] = (16 * KIB, 256 * KIB)


#: What is measured in a hurry.
QUICK = Sizes(
    queues=(20, 100), claimed=(50,), messages=30, threads=(1, 8),
    processes=2, many=8, bodies=(16 * KIB,))


def everything(sizes: Sizes) -> list[work.Work]:
    """All work, in the order in which it is measured."""
    page = work.PAGE
    return [
        work.Post(1),
        _central(work.Post(page)),
        _listing(sizes.queues[0]),
        _central(_listing(sizes.queues[1])),
        *map(_listing, sizes.queues[2:]),
        _central(work.Page(page, page, sizes.claimed[0])),
        *(work.Page(page, page, claimed) for claimed in sizes.claimed[1:]),
        work.Claim(1),
        _central(work.Claim(10)),
        work.Claim(page),
        work.GetClaim(10),
        work.Renew(10),
        _central(work.Release(page)),
        _central(work.DeleteClaimed()),
        work.Delete(1),
        work.Delete(page),
        work.Pop(10),
        _central(work.Stats(sizes.queues[1])),
        work.DeleteQueue(sizes.queues[1]),
        *(work.Post(_page_of(size), size) for size in sizes.bodies),
        *(work.Page(_page_of(size), _page_of(size), size=size)
          for size in sizes.bodies),
        *(_central(crowds.Life(sizes.messages, threads)) if threads == 8
          else crowds.Life(sizes.messages, threads)
          for threads in sizes.threads),
        crowds.Life(sizes.messages, 8, sizes.many),
        crowds.Race(sizes.messages, sizes.processes),
    ]


def _listing(size: int) -> work.Work:
    """List a page of a queue of so many messages."""
    return work.Page(min(work.PAGE, size), size)


def _central(one: work.Work) -> work.Work:
    """Have some work measured under all circumstances."""
    one.central = True
    return one


def _page_of(size: int) -> int:
    """Messages of such bodies that Zaqar takes in one post: 256 KiB."""
    return max(1, min(10, 256 * KIB // size))
