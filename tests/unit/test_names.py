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
"""Names of containers and objects, each with its parser."""

import pathlib
import subprocess
import sys
from typing import Any

import fixtures
from hypothesis import given
from hypothesis import strategies
import testtools

from marconi_swift import names
from marconi_swift import options

_PROJECTS = strategies.one_of(
    strategies.none(), strategies.text(max_size=256),
    strategies.sampled_from([
        '', 'None', '%', '%~', '/', ':', '.', '..', 'a/b', 'a%2Fb', 'a:b',
        '\N{SNOWMAN}' * 256, '\ud800', '\0', 'A', 'a']))
_QUEUES = strategies.text(max_size=64)

#: Of few letters, which mean something in names.
_ALIKE = strategies.text(alphabet='a:/%~12F\u0301é\n', max_size=4)


class TestEncoding(testtools.TestCase):

    @given(_PROJECTS, _PROJECTS)
    def test_no_two_names_are_encoded_alike(
        self, one: str | None, other: str | None,
    ) -> None:
        self.assertEqual(one == other,
                         names.encode(one) == names.encode(other))

    @given(_PROJECTS)
    def test_is_undone_unless_it_is_a_hash(self, name: str | None) -> None:
        encoded = names.encode(name)

        if encoded.startswith('%~'):
            self.assertRaises(ValueError, names.decode, encoded)
        else:
            self.assertEqual(name, names.decode(encoded))

    @given(_PROJECTS, _QUEUES, _PROJECTS, _QUEUES)
    def test_no_two_queues_share_a_container(
        self, project: str | None, queue: str, other_project: str | None,
        other_queue: str,
    ) -> None:
        prefix = 'p' * options.PREFIX_MAX
        containers = [
            name(prefix, project, queue)
            for name in (names.messages, names.claims, names.topic_messages)]
        others = [
            name(prefix, other_project, other_queue)
            for name in (names.messages, names.claims, names.topic_messages)]

        same = (project, queue) == (other_project, other_queue)
        self.assertEqual(3 if same else 6, len({*containers, *others}))
        for container in containers:
            self.assertLessEqual(len(container.encode()), 256)
            self.assertNotIn('/', container)

    @given(_ALIKE, _ALIKE, _ALIKE, _ALIKE)
    def test_no_two_queues_share_one_whose_names_are_much_alike(
        self, project: str | None, queue: str, other_project: str | None,
        other_queue: str,
    ) -> None:
        same = (project, queue) == (other_project, other_queue)
        made: set[str] = set()
        for name in (names.messages, names.claims, names.topic_messages,
                     names.subscriptions):
            one = name('p', project, queue)
            other = name('p', other_project, other_queue)

            self.assertEqual(same, one == other)
            made |= {one, other, *(
                names.part(one, number) for number in range(names.PARTS_MAX))}
        scoped = {names.scoped(project, queue),
                  names.scoped(other_project, other_queue)}
        self.assertEqual(1 if same else 2, len(scoped))
        # With the other's parts, no more are the same.
        self.assertEqual(4 * names.PARTS_MAX + (0 if same else 4), len(made))
        for container in made:
            self.assertTrue(container.isascii() and container.isprintable())
            self.assertNotIn('/', container)

    @given(_PROJECTS, _QUEUES)
    def test_records_fit_an_object_and_are_no_dot_segment(
        self, project: str | None, queue: str,
    ) -> None:
        name = names.scoped(project, queue)

        self.assertLessEqual(len(name), 1024)
        self.assertNotIn('/', name)
        self.assertIn(':', name)

    @given(_PROJECTS, _QUEUES)
    def test_records_tell_whose_they_are_unless_that_is_too_long(
        self, project: str | None, queue: str,
    ) -> None:
        name = names.scoped(project, queue)

        if '%~' in name:
            self.assertRaises(ValueError, names.parse_scoped, name)
        else:
            # A queue without a name is none.
            self.assertEqual((project, queue or None),
                             names.parse_scoped(name))


class TestForeignNames(testtools.TestCase):

    @given(_PROJECTS, _QUEUES.filter(bool))
    def test_are_none_that_are_made(
        self, project: str | None, queue: str,
    ) -> None:
        name = names.scoped(project, queue)

        self.assertTrue(names.is_scoped(name))

    @given(strategies.text(alphabet='ab:%~20cC/ü', max_size=12))
    def test_are_all_others(self, name: str) -> None:
        self.assertEqual(
            names.is_scoped(name),
            bool(name.partition(':')[2])
            and _remade(name) == name)


def _remade(name: str) -> str | None:
    try:
        project, queue = names.parse_scoped(name)
    except ValueError:
        return None
    return names.scoped(project, queue or '')


class TestParts(testtools.TestCase):

    @given(_PROJECTS, _QUEUES, strategies.integers(0, 15))
    def test_are_told_apart_and_fit_a_container(
        self, project: str | None, queue: str, number: int,
    ) -> None:
        prefix = 'p' * options.PREFIX_MAX
        for kind in (names.messages, names.claims):
            first = kind(prefix, project, queue)

            named = names.part(first, number)

            self.assertLessEqual(len(named.encode()), 256)
            self.assertEqual(number == 0, named == first)
            self.assertEqual(names.parse_container(prefix, first),
                             names.parse_container(prefix, named))

    def test_no_other_container_is_one(self) -> None:
        for name in ('p:messages:a:b:0', 'p:messages:a:b:g',
                     'p:messages:a:b:10', 'p:messages:a:b:', 'p:topic:a:b:1',
                     'p:messages:a:b:1:1', 'p:subscriptions:a:b:1',
                     'p:messages:a', 'p:messages:a:%62', 'p:messages:a:%C3',
                     'p:messages:a:%c3%bc', 'p:messages:a:ü',
                     'p:messages:a:%~b', 'p:messages:a/b:c',
                     'p:messages:a:' + 'b' * 97):
            self.assertIsNone(names.parse_container('p', name), name)

    @given(strategies.integers(0, 15))
    def test_an_id_says_its_part(self, number: int) -> None:
        made = names.new_message_id(number)

        self.assertTrue(names.is_message_id(made))
        self.assertEqual(number, names.part_number(made))
        self.assertEqual(names.part('c', number), names.home('c', made))

    def test_an_id_of_a_queue_that_has_one_says_the_first(self) -> None:
        for _ in range(100):
            self.assertEqual('c', names.home('c', names.new_message_id()))


class TestMessageIds(testtools.TestCase):

    def test_sort_in_the_order_they_are_made(self) -> None:
        made = [names.new_message_id() for _ in range(10_000)]

        self.assertEqual(made, sorted(set(made)))

    def test_with_a_part_sort_so_too(self) -> None:
        made = [names.new_message_id(15 - number % 16)
                for number in range(10_000)]

        self.assertEqual(made, sorted(set(made)))

    def test_say_when_they_were_made(self) -> None:
        self.assertEqual(1_800_000_000.123,
                         names.posted_at(names.first_id(1_800_000_000.123)))

    def test_are_recognised(self) -> None:
        self.assertTrue(names.is_message_id(names.new_message_id()))

    @given(strategies.one_of(
        strategies.none(), strategies.text(), strategies.binary(),
        strategies.integers(), strategies.uuids(version=4).map(str),
        strategies.sampled_from([
            '', '.', '..', '../x', 'a/b', '%2F', '\0', 'x' * 2000,
            names.new_message_id() + '\n',
            names.new_message_id().upper() + 'A'])))
    def test_nothing_else_is_one(self, candidate: Any) -> None:
        self.assertFalse(names.is_message_id(candidate))


#: Makes ids in three processes that start from the same state, each of which
#: writes them to a file of its own.
_FORKS = '''
import os, pathlib, sys
from marconi_swift import names
names.new_message_id()
children = []
for _ in range(2):
    children.append(os.fork())
    if not children[-1]:
        break
pathlib.Path(sys.argv[1], str(os.getpid())).write_text(
    ' '.join(names.new_message_id() for _ in range(10_000)))
for child in children if children[-1] else ():
    os.waitpid(child, 0)
'''


class TestForks(testtools.TestCase):

    def test_make_ids_of_their_own(self) -> None:
        folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)

        subprocess.run([sys.executable, '-c', _FORKS, folder],
                       check=True, stdin=subprocess.DEVNULL, timeout=60)

        made = [set(file.read_text().split()) for file in folder.iterdir()]
        self.assertEqual([10_000] * 3, list(map(len, made)))
        self.assertEqual(30_000, len(set().union(*made)))


_TICKS = strategies.integers(0, 2**44 * 10_000)


class TestDerivedIds(testtools.TestCase):

    @given(_TICKS, strategies.text())
    def test_are_ids_that_say_what_they_were_made_of(
        self, tick: int, source: str,
    ) -> None:
        made = names.derived_id(tick, source)

        self.assertTrue(names.is_message_id(made))
        self.assertEqual(tick, names.derived_tick(made))
        self.assertEqual(tick // 10_000 / 1000, names.posted_at(made))
        self.assertEqual(names.derived_end(source), names.end_of(made))

    @given(_TICKS, _TICKS)
    def test_sort_by_tick(self, one: int, other: int) -> None:
        self.assertEqual(
            one < other or (one == other and names.derived_end('a')
                            < names.derived_end('b')),
            names.derived_id(one, 'a') < names.derived_id(other, 'b'))
