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
"""Copying messages of another store, again and again."""

from collections.abc import Iterator
import dataclasses
import math
import threading
import time
from typing import Any

from hypothesis import given
from hypothesis import settings
from hypothesis import strategies
import testtools

from marconi_swift import names
from marconi_swift.data import listing
from marconi_swift.data import queue as queues
from marconi_swift.manage import copying
from marconi_swift.manage import portable
from marconi_swift.manage import sources
from marconi_swift.store import errors
from tests.fixtures import conf

CREATED = int(time.time()) - 100


def found(number: int, **fields: Any) -> sources.Found:
    """One message a second third, as a driver without ticks lists it."""
    return sources.Found(str(number), portable.Message(
        body=number, ttl=600, left=500, id=str(number),
        created=CREATED + number // 3), expires=CREATED + 600.0, **fields)


def with_body(number: int, body: Any) -> sources.Found:
    each = found(number)
    assert each.message is not None
    return each._replace(
        message=dataclasses.replace(each.message, body=body))


class TestCopier(testtools.TestCase):

    def setUp(self) -> None:
        super().setUp()
        self.begin()

    def begin(self) -> None:
        self.drivers = conf.FakeDrivers()
        self.drivers.setUp()
        self.addCleanup(self.drivers.cleanUp)
        self.drivers.control.queue_controller.create('q', project='p')

    def copy(
        self, *pages: list[sources.Found], **terms: bool,
    ) -> copying.Tally:
        copier = copying.Copier(
            self.drivers.data, 'q', 'p', copying.Terms(**terms))
        for page in pages:
            copier.copy(page)
        return copier.tally

    def there(self) -> list[listing.Read]:
        queue = queues.queue(self.drivers.data, 'q', 'p')
        return list(listing.everything(queue.store, queue.parts))

    def bodies(self) -> list[Any]:
        return [read.body for read in self.there()]

    @settings(max_examples=30, deadline=None)
    @given(strategies.sets(strategies.integers(0, 19)),
           strategies.integers(-1, 1), strategies.integers(1, 20))
    def test_order_is_kept_whatever_was_copied_before(
        self, before: set[int], blur: int, size: int,
    ) -> None:
        self.begin()
        self.copy([found(number) for number in sorted(before)])
        # The age that is listed is of whole seconds.
        again = [sources.Found(each.id, portable.Message(
            body=each.message.body, ttl=600, left=500, id=each.id,
            created=each.message.created + blur), expires=each.expires)
            for each in map(found, range(20)) if each.message]

        tally = self.copy(*(again[start:start + size]
                            for start in range(0, 20, size)))

        self.assertEqual((20 - len(before), len(before)),
                         (tally.copied, tally.there))
        self.assertEqual(list(range(20)), self.bodies())
        for read in self.there():
            self.assertAlmostEqual(
                CREATED + read.body // 3, names.posted_at(read.message.id),
                delta=2)

    def test_what_expired_failed_or_is_claimed_is_counted(self) -> None:
        page = [found(0), sources.Found('1'), found(2, claimed=True),
                sources.Found('3', error=ValueError('no JSON'))]

        self.assertEqual(
            copying.Tally(found=4, copied=1, expired=1, claimed=1, failed=1),
            self.copy(page))
        self.assertEqual(
            copying.Tally(found=4, copied=1, there=1, expired=1, failed=1),
            self.copy(page, include_claimed=True))

    def test_verifying_finds_what_is_missing_or_different(self) -> None:
        page = [found(0), found(1), found(2)]
        self.copy(page[:2])
        other = page[1]._replace(message=portable.Message(
            body='other', ttl=600, left=500, id='1', created=CREATED))

        self.assertEqual(
            copying.Tally(found=3, there=1, missing=1, failed=1),
            self.copy([page[0], other, page[2]], verify=True))
        self.assertEqual([0, 1], self.bodies())

    def test_a_message_that_is_refused_does_not_stop_the_others(self) -> None:
        store = self.drivers.data.account.store
        create, refused = store.create, []

        def create_but_one(container: str, name: str, **kwargs: Any) -> Any:
            if kwargs['body'] == b'1' and not refused:
                refused.append(name)
                raise errors.SwiftError('no')
            return create(container, name, **kwargs)

        store.create = create_but_one
        page = [found(number) for number in range(3)]

        self.assertEqual(copying.Tally(found=3, copied=2, failed=1),
                         self.copy(page))
        self.assertEqual(copying.Tally(found=3, copied=1, there=2),
                         self.copy(page))
        self.assertEqual([0, 1, 2], self.bodies())

    def test_what_nobody_could_be_given_does_not_stop_the_others(
        self,
    ) -> None:
        """Stores of other drivers have what MessagePack can say."""
        for checksums in (False, True):
            self.begin()
            self.drivers.conf.set_override('enable_checksum', checksums)
            page = [with_body(number, body) for number, body in enumerate((
                'fine', {'a': b'\xff'}, '\ud800', {b'a': 1}, math.inf,
                {'a': b'text'}))]

            for terms in ({'dry_run': True}, {}):
                self.assertEqual(copying.Tally(found=6, copied=2, failed=4),
                                 self.copy(page, **terms))
            self.assertEqual(copying.Tally(found=6, there=2, failed=4),
                             self.copy(page))
            self.assertEqual(['fine', {'a': 'text'}], self.bodies())
            self.assertEqual(checksums, all(
                read.message.checksum for read in self.there()))
            self.assertEqual(copying.Tally(found=6, there=2, failed=4),
                             self.copy(page, verify=True))

    def test_each_is_asked_for_only_where_something_is_there(self) -> None:
        ticks = CREATED * sources.TICKS
        page = [found(number, tick=ticks + number) for number in range(5)]
        # A container that is not there is listed once, then.
        self.drivers.data.account.store.check_account()

        self.copy(page)
        self.assertEqual([], self.asked())
        self.assertEqual(1, sum(
            request.method == 'GET' and request.name is None
            for request in self.drivers.swift.requests))

        self.copy(page)
        self.assertEqual(5, len(self.asked()))

    def test_what_a_listing_misses_is_not_copied_again(self) -> None:
        ticks = CREATED * sources.TICKS
        page = [found(number, tick=ticks + number) for number in range(5)]
        self.copy(page[:3])
        self.drivers.data.account.store.rows = lambda *_, **__: iter(())

        self.assertEqual(copying.Tally(found=5, copied=2, there=3),
                         self.copy(page))

    def asked(self) -> list[Any]:
        """The HEAD requests for messages."""
        return [request for request in self.drivers.swift.requests
                if request.method == 'HEAD'
                and names.is_message_id(request.name)]


class Slow(sources.ZaqarsSwift):
    """A source of three pages, which are read when it is told to."""

    def __init__(self) -> None:
        self.begun = threading.Semaphore(0)

    def _names(self) -> Iterator[str]:
        return map(str, range(3 * portable.PAGE))

    def _read(self, name: str) -> sources.Found:
        self.begun.release()
        return sources.Found(name)


class TestSource(testtools.TestCase):

    def test_the_next_page_is_read_while_one_is_used(self) -> None:
        source = Slow()
        pages = source.pages()

        first = next(pages)

        for _ in range(2 * portable.PAGE):
            self.assertTrue(source.begun.acquire(timeout=60))
        self.assertFalse(source.begun.acquire(blocking=False))
        self.assertEqual(
            list(map(str, range(3 * portable.PAGE))),
            [each.id for page in [first, *pages] for each in page])
