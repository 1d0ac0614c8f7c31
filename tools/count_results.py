#!/usr/bin/env python3
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

"""Prints "N passed, N failed", over all the runs that stestr has stored.

A test that started and never finished has failed. Skipped tests are neither.
Exits 1 if a test failed, or if none passed.
"""

import collections
import sys

from stestr.repository import abstract
from stestr.repository import file
import subunit
import testtools


def count() -> collections.Counter[str]:
    tests: collections.Counter[str] = collections.Counter()
    try:
        repository = file.RepositoryFactory().open('.')
    except abstract.RepositoryNotFound:
        return tests
    for run in range(repository.count()):
        stream = repository.get_test_run(run).get_subunit_stream()
        results = testtools.StreamToDict(
            lambda test: tests.update([test['status']]))
        results.startTestRun()
        subunit.ByteStreamToStreamResult(stream, 'output').run(results)
        results.stopTestRun()
    return tests


def main() -> int:
    tests = count()
    passed = tests['success'] + tests['xfail']
    failed = tests['fail'] + tests['uxsuccess'] + tests['inprogress']
    print(f'{passed} passed, {failed} failed')
    return 0 if passed and not failed else 1


if __name__ == '__main__':
    sys.exit(main())
