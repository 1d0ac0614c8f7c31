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
"""The commands export and import of marconi-swift-manage."""

from collections.abc import Callable
import io
import json
import os
import pathlib
import signal
import sys
from typing import Any

import fixtures
import testtools

from marconi_swift.manage import portable
from marconi_swift.manage import progress
from tests.fixtures import fake_swift
from tests.unit import test_manage_queues


class TransferTest(test_manage_queues.CommandTest):

    def setUp(self) -> None:
        super().setUp()
        folder = self.useFixture(fixtures.TempDir()).path
        self.file = pathlib.Path(folder, 'q.jsonl')
        self.journal = pathlib.Path(folder, 'journal')

    def export(self) -> list[dict[str, Any]]:
        ran = self.command('export', 'q', str(self.file))
        self.assertEqual((0, ''), ran[:2])
        self.assertIn('messages of queue q were written.', ran.said)
        return [json.loads(line) for line in self.lines()]

    def lines(self) -> list[str]:
        return self.file.read_text().splitlines(keepends=True)

    def load(self, *arguments: str) -> test_manage_queues.Ran:
        return self.command('import', str(self.file), *arguments)

    def copied(self) -> list[Any]:
        """Bodies of the messages in the queue copy."""
        return [message.body for message in portable.read(
            self.data, 'copy', 'p')]

    def fail_at(self, body: bytes, error: Any) -> None:
        """Let the next PUT of a message fail."""
        self.swift.faults.append(fake_swift.Fault(
            1, 'before', error, lambda request: (
                request.method == 'PUT' and request.body == body)))


class TestExport(TransferTest):

    def test_writes_all_that_is_known_and_changes_nothing(self) -> None:
        self.queues.set_metadata('q', {'colour': 'red'}, project='p')
        [first] = self.messages.post(
            'q', [{'ttl': 300, 'body': {'ü': 1}}], 'me', project='p')
        self.post('late', ttl=300, delay=60)
        self.claim(limit=1)
        self.pass_time(10)
        before = self.swift.stored()

        header, one, two, end = self.export()

        self.assertEqual(before, self.swift.stored())
        self.assertEqual(
            {'format': 'marconi-swift-messages', 'version': 1,
             'project': 'p', 'queue': 'q', 'metadata': {'colour': 'red'},
             'exported': '2033-05-18T00:00:10Z'}, header)
        self.assertEqual(
            {'body': {'ü': 1}, 'ttl': 300, 'left': 290, 'client': 'me',
             'claims': 1, 'id': first, 'created': 1999987200}, one)
        self.assertEqual(('late', 50), (two['body'], two['delay']))
        self.assertEqual({'messages': 2}, end)

    def test_writes_to_standard_output(self) -> None:
        self.post(1, ttl=300)
        self.export()

        for arguments in ((), ('-',)):
            self.assertEqual(
                self.file.read_text(),
                self.command('export', 'q', *arguments).output)

    def test_is_for_the_owner_s_eyes(self) -> None:
        self.export()

        self.assertEqual(0o600, os.stat(self.file).st_mode & 0o777)

    def test_writes_to_no_file_that_somebody_put_there(self) -> None:
        elsewhere = self.file.with_name('elsewhere')
        for plant in (lambda path: path.symlink_to(elsewhere),
                      lambda path: path.touch(0o666)):
            plant(self.file.with_name('q.jsonl.part'))

            self.export()

            self.assertFalse(elsewhere.exists())
            self.assertFalse(self.file.is_symlink())
            self.assertEqual(0o600, os.stat(self.file).st_mode & 0o777)
            for path in self.file.parent.iterdir():
                path.unlink()

    def test_writes_to_what_is_no_file(self) -> None:
        self.post(1, ttl=300)
        os.mkfifo(self.file)
        reader = os.open(self.file, os.O_RDONLY | os.O_NONBLOCK)
        self.addCleanup(os.close, reader)

        self.command('export', 'q', str(self.file))

        self.assertTrue(self.file.is_fifo())
        self.assertEqual(3, len(os.read(reader, 1000).splitlines()))

    def test_adds_to_the_file_that_a_descriptor_leads_to(self) -> None:
        """Of a shell that writes there before and after that, too."""
        self.post(1, ttl=300)
        self.file.write_text('before\n')
        with self.file.open('a') as shell:
            self.command('export', 'q', f'/dev/fd/{shell.fileno()}')
            shell.write('after\n')

        lines = self.file.read_text().splitlines()
        self.assertEqual(('before', 5, 'after'),
                         (lines[0], len(lines), lines[-1]))

    def test_replaces_a_file_in_shared_memory(self) -> None:
        """It is no device, though it is below /dev."""
        folder = self.useFixture(fixtures.TempDir('/dev/shm')).path
        self.post(1, ttl=300)
        for _ in range(2):
            self.command('export', 'q', f'{folder}/file')

        self.assertEqual(3, len(pathlib.Path(
            folder, 'file').read_text().splitlines()))

    def test_is_whole_where_nobody_may_look_into_the_folder(self) -> None:
        opened = os.open

        def open_files(path: Any, *args: Any, **kwargs: Any) -> int:
            if os.path.isdir(path):
                raise PermissionError(path)
            return opened(path, *args, **kwargs)

        self.post(1, ttl=300)
        self.useFixture(fixtures.MonkeyPatch('os.open', open_files))

        self.assertEqual(0, self.command(
            'export', 'q', str(self.file)).status)
        self.assertEqual(3, len(self.lines()))

    def test_replaces_the_file_that_a_link_names(self) -> None:
        there = self.file.with_name('there')
        self.file.symlink_to(there)
        for _ in range(2):
            self.export()

            self.assertTrue(self.file.is_symlink())
            self.assertEqual(self.file.read_text(), there.read_text())
            there.write_text('old')

    def test_is_there_after_a_loss_of_power(self) -> None:
        """A file is on disk before its name is, which is then, too."""
        done = []
        for name in ('fsync', 'replace'):
            self.useFixture(fixtures.MonkeyPatch(
                f'os.{name}', self.noted(done, getattr(os, name))))

        self.export()

        self.assertEqual(['fsync', 'replace', 'fsync'], done)

    @staticmethod
    def noted(done: list[str], call: Callable[..., None]) -> Any:
        """The same, which notes that it was called."""
        def noting(*args: Any) -> None:
            done.append(call.__name__)
            call(*args)

        return noting

    def test_leaves_out_what_json_can_not_say(self) -> None:
        """Stores of other drivers have what MessagePack can say."""
        self.useFixture(fixtures.MonkeyPatch(
            'marconi_swift.manage.portable.read',
            lambda *_: iter([
                portable.Message(body=body, ttl=60, left=50, id=name)
                for name, body in (('a', 1), ('b', {'a': b'\xff'}),
                                   ('c', 2))])))

        ran = self.command('export', 'q', str(self.file))

        self.assertEqual(1, ran.status)
        self.assertIn('Message b was left out', ran.said)
        self.assertIn('2 messages of queue q were written.', ran.said)
        self.assertEqual([1, 2], [
            json.loads(line)['body'] for line in self.lines()[1:-1]])

    def test_leaves_the_old_file_when_it_fails(self) -> None:
        [posted] = self.post(1, ttl=300)
        self.file.write_text('old')
        self.swift.faults.append(fake_swift.Fault(
            1, 'before', 503, lambda request: request.name == posted))

        self.assertIn('Swift answered 503',
                      self.command('export', 'q', str(self.file)).said)

        self.assertEqual('old', self.file.read_text())
        self.assertEqual([self.file], list(self.file.parent.iterdir()))

    def test_leaves_the_old_file_when_swift_finds_no_account(self) -> None:
        """As its proxies where no account server answers."""
        self.post(1, ttl=300)
        self.file.write_text('old')
        for number in range(1, 20):
            self.swift.faults += [
                fake_swift.Fault(number, 'before', 404, lambda request: (
                    request.container == self.container)),
                fake_swift.Fault(number, 'before', 503, lambda request: (
                    request.container is None))]

        self.assertIn('Swift answered 503',
                      self.command('export', 'q', str(self.file)).said)

        self.assertEqual('old', self.file.read_text())
        self.assertIn('Swift answered 503',
                      self.command('purge', 'q', '--yes').said)


class TestImport(TransferTest):

    def setUp(self) -> None:
        super().setUp()
        self.post(*range(5), ttl=300)
        self.queues.set_metadata('q', {'colour': 'red'}, project='p')
        self.claim(limit=1)
        self.export()

    def test_posts_what_was_exported(self) -> None:
        self.pass_time(1000)

        ran = self.load('--queue', 'copy')

        self.assertEqual(
            (0, '5 messages were posted to queue copy.\n', ''), ran)
        self.assertEqual(list(range(5)), self.copied())
        first, second = list(portable.read(self.data, 'copy', 'p'))[:2]
        self.assertEqual((300, 1, 0), (
            first.ttl, first.claims, second.claims))
        self.assertEqual({'colour': 'red'}, dict(
            self.queues.get('copy', project='p')))

    def test_posts_to_the_queue_and_project_that_the_file_names(self) -> None:
        self.queues.delete('q', project='p')

        self.assertEqual(0, self.load().status)

        self.assertEqual(list(range(5)), self.bodies())
        self.assertEqual(0, self.load('--project', 'other').status)
        self.assertTrue(self.queues.exists('q', project='other'))

    def test_reads_standard_input(self) -> None:
        for arguments in (('-',), ()):
            self.useFixture(fixtures.MonkeyPatch(
                'sys.stdin', io.StringIO(self.file.read_text())))

            self.works('import', '--queue', 'copy', *arguments)

            self.assertEqual('', sys.stdin.read())
        self.assertEqual(10, len(self.copied()))

    def test_leaves_out_what_had_expired(self) -> None:
        self.file.write_text(self.file.read_text().replace(
            '"left": 300', '"left": 0', 1))

        self.assertIn('4 messages', self.load('--queue', 'copy').output)
        self.assertEqual([1, 2, 3, 4], self.copied())

    def test_names_a_line_that_is_no_message(self) -> None:
        header, *messages = self.lines()
        for line, why in (('nonsense\n', 'Line 4: This is no message'),
                          ('{"body": 1}\n', "'ttl'"),
                          ('[1]\n', 'no JSON object')):
            self.file.write_text(''.join(
                [header, *messages[:2], line, *messages[2:]]))

            ran = self.load('--queue', 'copy')

            self.assertEqual((1, ''), ran[:2])
            self.assertIn(why, ran.said)
            self.assertIn('All is posted up to line 3. To go on: '
                          '--after-line 3', ran.said)
            self.assertEqual([0, 1], self.copied())
            self.works('purge', 'copy', '--yes')

    def test_names_a_line_that_nobody_could_be_given(self) -> None:
        for body in ('1e400', '"\\ud800"'):
            header, *messages = self.lines()
            messages[2] = messages[2].replace('"body": 2', f'"body": {body}')
            self.file.write_text(''.join([header, *messages]))

            ran = self.load('--queue', 'copy')

            self.assertEqual((1, ''), ran[:2])
            self.assertIn('Line 4: ', ran.said)
            self.assertIn('To go on: --after-line 3', ran.said)
            self.assertEqual([0, 1], self.copied())
            self.assertEqual(0, self.load(
                '--queue', 'copy', '--after-line', '4').status)
            self.works('purge', 'copy', '--yes')
            self.file.write_text(''.join([header, *messages]).replace(
                f'"body": {body}', '"body": 2'))

    def test_posts_a_file_that_was_cut_off_and_says_so(self) -> None:
        *lines, _ = self.lines()
        self.file.write_text(''.join(lines))

        ran = self.load('--queue', 'copy')

        self.assertEqual(1, ran.status)
        self.assertIn('some of its messages are missing', ran.said)
        self.assertEqual(list(range(5)), self.copied())

    def test_says_so_if_lines_are_missing(self) -> None:
        lines = self.lines()
        self.file.write_text(''.join(lines[:3] + lines[4:]))

        self.assertIn('Line 6 says that there are 5 messages, but there are '
                      '4 lines', self.load('--queue', 'copy').said)

    def test_refuses_what_is_no_export(self) -> None:
        for text, why in (
                ('', 'no export of messages'), ('{}\n', 'no export'),
                ('[]\n', 'no export'),
                (self.file.read_text().replace(
                    '"version": 1', '"version": 2'), 'version 2; this'),
                (self.file.read_text().replace(
                    '"metadata"', '"meta"'), 'Line 1: ')):
            self.file.write_text(text)

            self.assertIn(why, self.load('--queue', 'copy').said)

        self.assertIn('No such file', self.command(
            'import', f'{self.file}.not').said)

    def test_goes_on_after_a_line(self) -> None:
        self.fail_at(b'3', 503)
        self.useFixture(fixtures.MonkeyPatch(
            'marconi_swift.manage.portable.PAGE', 2))

        said = self.load('--queue', 'copy').said

        self.assertIn('All is posted up to line 3', said)
        self.assertEqual([0, 1], self.copied())
        _, _, further = said.partition('To go on: ')
        self.assertEqual(
            0, self.load('--queue', 'copy', *further.split()).status)
        self.assertEqual(list(range(5)), self.copied())

    def test_writes_to_no_journal_that_somebody_put_there(self) -> None:
        elsewhere = self.file.with_name('elsewhere')
        self.file.with_name('journal.part').symlink_to(elsewhere)

        self.load('--queue', 'copy', '--journal', str(self.journal))

        self.assertFalse(elsewhere.exists())
        self.assertFalse(self.journal.is_symlink())

    def test_goes_on_by_itself_with_a_journal(self) -> None:
        self.useFixture(fixtures.MonkeyPatch(
            'marconi_swift.manage.portable.PAGE', 2))
        arguments = ('--queue', 'copy', '--journal', str(self.journal))
        self.press_ctrl_c_at(b'2')

        ran = self.load(*arguments)

        self.assertEqual(130, ran.status)
        self.assertEqual([0, 1, 2, 3], self.copied())
        self.assertIn('Interrupted. All is posted up to line 5. To go on: '
                      f'--journal {self.journal}', ran.said)
        for _ in range(2):
            self.assertEqual(0, self.load(*arguments).status)
            self.assertEqual(list(range(5)), self.copied())

    def press_ctrl_c_at(self, body: bytes) -> None:
        """Press Ctrl-C while a message is being stored."""
        def on_step(step: str, request: fake_swift.Request) -> None:
            if request.method == 'PUT' and request.body == body:
                self.swift.on_step = None
                os.kill(os.getpid(), signal.SIGINT)

        self.swift.on_step = on_step

    def test_refuses_the_journal_of_another(self) -> None:
        arguments = ('--queue', 'copy', '--journal', str(self.journal))
        self.load(*arguments)
        self.pass_time(1)
        self.export()

        self.assertIn('the journal of another', self.load(*arguments).said)
        self.journal.write_text('nonsense')
        self.assertIn('is no journal', self.load(*arguments).said)
        self.assertEqual(5, len(self.copied()))

    def test_refuses_the_journal_of_another_destination(self) -> None:
        journal = ('--journal', str(self.journal))
        self.load('--queue', 'copy', *journal)
        usual, other = self.drivers.path, f'{self.file}.conf'
        pathlib.Path(other).write_text(pathlib.Path(usual).read_text())

        for conf, queue, project in ((usual, 'other', 'p'),
                                     (usual, 'copy', 'other'),
                                     (other, 'copy', 'p')):
            self.drivers.path = conf

            ran = self.load('--queue', queue, '--project', project, *journal)

            self.assertEqual((1, ''), ran[:2])
            self.assertIn(
                'is the journal of another import: p/q 2033-05-18T00:00:00Z '
                f'to p/copy by {usual}, not p/q 2033-05-18T00:00:00Z to '
                f'{project}/{queue} by {conf}. Name another file.', ran.said)
        for queue, project in (('other', 'p'), ('copy', 'other')):
            self.assertFalse(self.queues.exists(queue, project=project))

    def test_keeps_the_order_of_several_posters(self) -> None:
        for number in range(5, 10):
            self.messages.post('q', [{'ttl': 300, 'body': number}],
                               f'client {number % 2}', project='p')
        self.export()

        self.load('--queue', 'copy')

        self.assertEqual(list(range(10)), self.copied())

    def test_makes_no_queue_where_there_are_pools(self) -> None:
        self.pooled(one='first')

        ran = self.load('--queue', 'copy')

        self.assertIn('There is no queue copy in project p.', ran.said)
        self.assertFalse(self.queues.exists('copy', project='p'))


class TestInterruption(testtools.TestCase):

    def test_waits_for_the_step_and_no_second_time(self) -> None:
        # Whoever runs in the background of a script ignores it.
        self.addCleanup(signal.signal, signal.SIGINT, signal.signal(
            signal.SIGINT, signal.default_int_handler))

        with progress.Interruption() as interruption:
            interruption.check()
            os.kill(os.getpid(), signal.SIGINT)
            self.assertRaises(KeyboardInterrupt, interruption.check)

            self.assertRaises(
                KeyboardInterrupt, os.kill, os.getpid(), signal.SIGINT)

        self.assertIs(
            signal.default_int_handler, signal.getsignal(signal.SIGINT))
