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
"""Builds the package, the same bytes each time, and tries it.

``build DIR`` writes the sdist and the wheel of the commit that is checked
out. ``check`` builds them twice and compares them, looks at what is in them,
and uses the wheel in an environment where nothing else is installed.
"""

import argparse
import filecmp
import gzip
import os
import pathlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
import venv
import zipfile

ROOT = pathlib.Path(__file__).parents[1]

#: Seconds for one command; pip may have to fetch a hundred packages.
PATIENCE = 1200.0

#: What the wheel must have beside its modules.
WANTED = ('marconi_swift/py.typed', 'dist-info/entry_points.txt',
          'dist-info/licenses/LICENSE')

#: What must work where an extra alone is installed: programs of the
#: environment, each with its arguments, in a checkout that has the package
#: which is installed.
TRIALS = {
    '': [
        'marconi-swift-manage --help',
        'marconi-swift-manage complete',
        'marconi-swift-status --help',
    ],
    '[standalone]': [
        'marconi-swift-standalone --help',
        'python tools/use_driver.py',
    ],
    '[cloud]': ['python tools/use_driver.py --keystone'],
    '[bench]': [
        'marconi-swift-bench --help',
        'marconi-swift-bench run --quick --drivers marconi-swift --work life '
        '--messages 2 --rounds 1 --json report.json',
        'marconi-swift-bench plot report.json plots',
    ],
    # Lists the tests, for which it imports all of them.
    '[test]': ['python -m testtools.run discover --list -s tests -t .'],
    '[docs]': ['sphinx-build -W -q -b html doc/source doc/build'],
}


def run(*command: str | pathlib.Path, **options: object) -> str:
    """Run a command, and return what it prints; end if it fails."""
    print('+', *command, flush=True)
    done = subprocess.run(
        list(map(str, command)), check=True, text=True, timeout=PATIENCE,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, **options)
    return done.stdout


def build(folder: pathlib.Path) -> list[pathlib.Path]:
    """Build the commit that is checked out, from a clone of its own.

    What a tree was built from before changes what is built from it again.
    """
    when = run('git', 'log', '-1', '--format=%ct', cwd=ROOT).strip()
    with tempfile.TemporaryDirectory() as clone:
        run('git', 'clone', '--quiet', ROOT, clone)
        run(sys.executable, '-m', 'build', '--outdir', folder, clone,
            env={**os.environ, 'SOURCE_DATE_EPOCH': when})
    for sdist in folder.glob('*.tar.gz'):
        repack(sdist, int(when))
    return sorted(folder.iterdir())


def repack(sdist: pathlib.Path, when: int) -> None:
    """Write an sdist anew, sorted, with one time and no user's name.

    setuptools heeds SOURCE_DATE_EPOCH in wheels only.
    """
    new = sdist.with_suffix('.new')
    with (tarfile.open(sdist) as old, new.open('wb') as file,
          gzip.GzipFile('', 'wb', fileobj=file, mtime=when) as packed,
          tarfile.open(fileobj=packed, mode='w',
                       format=tarfile.PAX_FORMAT) as anew):
        for member in sorted(old.getmembers(), key=lambda each: each.name):
            member.mtime, member.pax_headers = when, {}
            member.uid = member.gid = 0
            member.uname = member.gname = ''
            anew.addfile(member, old.extractfile(member))
    new.replace(sdist)


def check() -> None:
    """Build twice, compare, and try; end with an error if all is not well."""
    with tempfile.TemporaryDirectory() as name:
        first, second = (pathlib.Path(name, each) for each in 'ab')
        built = build(first)
        for one, other in zip(built, build(second), strict=True):
            expect(filecmp.cmp(one, other, shallow=False),
                   f'{one.name} is different each time')
        run(sys.executable, '-m', 'twine', 'check', '--strict', *built)
        [wheel] = first.glob('*.whl')
        check_contents(wheel)
        for extra in TRIALS:
            check_extra(wheel, extra, pathlib.Path(name))
    print('The package is as it should be.')


def check_contents(wheel: pathlib.Path) -> None:
    """Look for what must be in it, and for what must not."""
    with zipfile.ZipFile(wheel) as archive:
        found = archive.namelist()
    for wanted in WANTED:
        expect(any(each.endswith(wanted) for each in found),
               f'{wanted} is not in {wheel.name}')
    strays = [each for each in found
              if not each.startswith(('marconi_swift/', 'marconi_swift-'))]
    expect(not strays, f'{strays} should not be in {wheel.name}')


def check_extra(
    wheel: pathlib.Path, extra: str, folder: pathlib.Path,
) -> None:
    """Use the wheel where nothing else but one of its extras is installed."""
    place, checkout = folder / 'environment', folder / 'checkout'
    programs = installed(wheel, extra, place)
    run('git', 'clone', '--quiet', ROOT, checkout)
    shutil.rmtree(checkout / 'marconi_swift')
    [package] = place.glob('lib/python*/site-packages/marconi_swift')
    (checkout / 'marconi_swift').symlink_to(package)
    for trial in TRIALS[extra]:
        program, *arguments = trial.split()
        run(programs / program, *arguments, cwd=checkout, env={
            **os.environ, 'PATH': f'{programs}:{os.environ["PATH"]}'})
    shutil.rmtree(place)
    shutil.rmtree(checkout)


def installed(
    wheel: pathlib.Path, extra: str, place: pathlib.Path,
) -> pathlib.Path:
    """Install the wheel in a new environment; return its bin folder."""
    venv.create(place, with_pip=True)
    run(place / 'bin' / 'python', '-m', 'pip', 'install', '--quiet',
        f'{wheel}{extra}')
    return place / 'bin'


def expect(right: bool, otherwise: str) -> None:
    if not right:
        raise SystemExit(f'{otherwise}.')


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    commands = parser.add_subparsers(required=True, dest='command')
    commands.add_parser('build').add_argument('folder', type=pathlib.Path)
    commands.add_parser('check')
    options = parser.parse_args()
    if options.command == 'check':
        check()
        return
    options.folder.mkdir(parents=True, exist_ok=True)
    for path in build(options.folder.resolve()):
        print(path)


if __name__ == '__main__':
    main()
