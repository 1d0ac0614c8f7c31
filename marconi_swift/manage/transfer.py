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
"""The commands that write a queue's messages to a file, and read one."""

import argparse
from collections.abc import Iterator
import contextlib
import datetime
import os
import pathlib
import sys
import tempfile
from typing import TextIO

from cliff import command
from oslo_utils import timeutils

from marconi_swift import acceptable
from marconi_swift import driver as drivers
from marconi_swift.manage import archive
from marconi_swift.manage import commands
from marconi_swift.manage import portable
from marconi_swift.manage import progress


def _add_file_argument(parser: argparse.ArgumentParser, does: str) -> None:
    parser.add_argument(
        'file', metavar='FILE', nargs='?', default='-',
        help=f'what to {does}; "-", the default, for standard '
             f'{"output" if does == "write" else "input"}')


class Export(commands.OnQueue, command.Command):
    """Write the messages of a queue to a file, as lines of JSON.

    With all that is stored of them: what is left of their ttl and delay, who
    posted them, how often they were claimed. Claims nothing and changes
    nothing; messages that are claimed are written, too, and messages that
    are posted meanwhile may be or not. A file that is there is replaced,
    once the new one is whole; a device or a pipe is written to. A message
    that JSON can not say is left out; then it ends with status 1.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        _add_file_argument(parser, 'write')
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        name, project = parsed_args.queue, parsed_args.project
        driver = self.deployment.driver_of(name, project)
        header = archive.Header(
            project=project, queue=name,
            metadata=dict(self.deployment.control.queue_controller.get(
                name, project=project)),
            exported=datetime.datetime.fromtimestamp(
                timeutils.utcnow_ts(), datetime.UTC).strftime(
                    '%Y-%m-%dT%H:%M:%SZ'))
        messages = portable.read(driver, name, project)
        with _written(parsed_args.file) as file:
            written = archive.write(file, header, progress.bar(
                messages, unit='messages', alone=file is not sys.stdout))
        self.app.LOG.info('%d messages of queue %s were written.',
                          written.messages, name)
        return 1 if written.left_out else 0


@contextlib.contextmanager
def _written(path: str) -> Iterator[TextIO]:
    """Open a file for writing, which appears when it is whole.

    What is no file, such as a device or a pipe, is written to as it is; so
    is what a descriptor leads to, as ``/dev/stdout`` does, which may be a
    file that others write to.
    """
    if path == '-':
        yield sys.stdout
        sys.stdout.flush()
        return
    place = pathlib.Path(path)
    if place.exists() and (
            not place.is_file() or any(map(
                place.is_relative_to, _DESCRIPTORS))):
        with open(place, 'a', encoding='utf-8') as file:
            yield file
        return
    with _replaced(place) as file:
        yield file


#: Paths that lead to what descriptors of a process are open on.
_DESCRIPTORS = ('/dev/stdout', '/dev/stderr', '/dev/fd', '/proc')


@contextlib.contextmanager
def _replaced(path: pathlib.Path) -> Iterator[TextIO]:
    """Replace a file by one that is whole, and that only its owner may read.

    A new one is written beside it: messages may be secret, and who may write
    to the folder might have put a file of his own, or a link, in its place.
    Of a link, it is the file that it names.
    """
    path = path.resolve()
    handle, partial = tempfile.mkstemp(
        dir=path.parent, prefix=f'{path.name}.', suffix='.part')
    try:
        with open(handle, 'w', encoding='utf-8') as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except BaseException:
        os.unlink(partial)
        raise
    try:
        folder = os.open(path.parent, os.O_RDONLY)
    except PermissionError:
        # Whoever may write there need not be allowed to look.
        return
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


class Import(commands.OnDeployment, command.Command):
    """Post the messages of a file that ``export`` wrote.

    To the queue that the file names, or another. A queue that is not there
    is made in the store of the configuration, with the file's metadata;
    where there are pools, make it through Zaqar's API first, which chooses
    one. Each message gets a new id, lives as long as it had left when it
    was exported, and is free, whoever held it. Subscribers are not notified.

    Messages are posted in pages, in the order of the file. An error or
    Ctrl-C, which waits for the page under way, says after which line to go on
    (--after-line). With --journal that is kept in a file, and the same
    command goes on by itself, also after a crash. What was stored of a page
    is posted again where it could not be taken back: after a crash, a second
    Ctrl-C, which does not wait, or while Swift can not be reached.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        _add_file_argument(parser, 'read')
        parser.add_argument('--project', metavar='ID',
                            help='not the project that the file names')
        parser.add_argument('--queue', metavar='NAME',
                            help='not the queue that the file names')
        where = parser.add_mutually_exclusive_group()
        where.add_argument(
            '--after-line', metavar='NUMBER', type=int, default=0,
            help='leave out the lines up to this one')
        where.add_argument(
            '--journal', metavar='PATH', type=Journal,
            help='keep in this file up to which line all is posted, and go '
                 'on after that')
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        self.done = parsed_args.after_line
        try:
            with _read(parsed_args.file) as file:
                posted, queue = self._post(parsed_args, archive.Reader(file))
        except (Exception, KeyboardInterrupt) as error:
            self.app.LOG.error('%s', _how_to_go_on(
                error, self.done, parsed_args.journal))
            interrupted = isinstance(error, KeyboardInterrupt)
            return commands.INTERRUPTED if interrupted else 1
        self.app.stdout.write(
            f'{posted} messages were posted to queue {queue}.\n')
        return 0

    def _post(
        self, parsed_args: argparse.Namespace, reader: archive.Reader,
    ) -> tuple[int, str]:
        """Post all; return how many those were, and to which queue."""
        header, journal = reader.header, parsed_args.journal
        name = parsed_args.queue or header.queue
        project = parsed_args.project or header.project
        doing = (f'{header.project}/{header.queue} {header.exported} '
                 f'to {project}/{name} by {self.deployment.files()}')
        if journal:
            self.done = journal.read(doing)
        driver = self.deployment.driver_for(
            name, project, lambda: header.metadata)
        messages = reader.messages(self.done)
        if isinstance(driver, drivers.DataDriver):
            messages = _acceptable(messages)
        posted = 0
        with progress.steps('messages') as done:
            for page in _pages(messages):
                # What has expired is not posted, and is done all the same.
                waiting = [each for each in page if each.message.left]
                for count in portable.write(
                        driver, name, project,
                        [each.message for each in waiting]):
                    self._note(waiting[count - 1].number, journal, doing)
                    del waiting[:count]
                    posted += count
                    done(count)
                self._note(page[-1].number, journal, doing)
        return posted, name

    def _note(
        self, line: int, journal: 'Journal | None', doing: str,
    ) -> None:
        """Remember up to which line all is posted."""
        self.done = line
        if journal:
            journal.write(doing, line)


class Journal:
    """A file that says up to which line all of an export is posted.

    And of which export, and where to: for that, a text that names both.
    """

    def __init__(self, path: str) -> None:
        self._path = pathlib.Path(path)

    def __str__(self) -> str:
        return str(self._path)

    def read(self, doing: str) -> int:
        """The line; 0 if there is no such file yet.

        :raises ValueError: it is no journal, or is another import's.
        """
        try:
            other, _, line = self._path.read_text().rpartition(' ')
            number = int(line)
        except FileNotFoundError:
            return 0
        except ValueError:
            raise ValueError(
                f'{self._path} is no journal of an import.') from None
        if other != doing:
            raise ValueError(
                f'{self._path} is the journal of another import: {other}, '
                f'not {doing}. Name another file.')
        return number

    def write(self, doing: str, line: int) -> None:
        with _replaced(self._path) as file:
            file.write(f'{doing} {line}\n')


def _acceptable(
    messages: Iterator[archive.Numbered],
) -> Iterator[archive.Numbered]:
    """The same messages.

    :raises archive.BadFile: this driver would refuse one, and with it the
        page that it is of.
    """
    for each in messages:
        # What has expired is not posted.
        if each.message.left:
            try:
                acceptable.check(each.message.body, 'its body')
            except acceptable.Unacceptable as exc:
                raise archive.BadFile(f'Line {each.number}: {exc}') from exc
        yield each


def _pages(
    messages: Iterator[archive.Numbered],
) -> Iterator[list[archive.Numbered]]:
    """Messages by the page; also those before a line that is none."""
    page: list[archive.Numbered] = []
    try:
        for message in messages:
            page.append(message)
            if len(page) == portable.PAGE:
                yield page
                page = []
    except archive.BadFile:
        if page:
            yield page
        raise
    if page:
        yield page


@contextlib.contextmanager
def _read(path: str) -> Iterator[TextIO]:
    if path == '-':
        yield sys.stdin
        return
    with open(path, encoding='utf-8') as file:
        yield file


def _how_to_go_on(
    error: BaseException, done: int, journal: Journal | None,
) -> str:
    what = ('Interrupted.' if isinstance(error, KeyboardInterrupt)
            else str(error) or repr(error))
    if not done:
        return what
    how = f'--journal {journal}' if journal else f'--after-line {done}'
    return f'{what} All is posted up to line {done}. To go on: {how}'
