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
"""Posts, claims and deletes through the driver as it is installed.

Run it with the Python of an environment that has marconi-swift[standalone]
and nothing of this checkout: it starts a service of its own. With
``--keystone`` that environment must have marconi-swift[cloud].
"""

from collections.abc import Iterator
import contextlib
import json
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import time
from typing import Any
from urllib import request
import uuid

from keystoneauth1 import loading
from keystoneauth1 import session
import yaml

import marconi_swift

#: Seconds for the service to start, and for it to answer.
PATIENCE = 180.0

HEADERS = {'Client-ID': str(uuid.uuid4()), 'X-Project-ID': 'demo',
           'Content-Type': 'application/json'}


def main() -> None:
    """Use the service; a traceback tells what went wrong."""
    checkout = pathlib.Path(__file__).parents[1]
    if pathlib.Path(marconi_swift.__file__).is_relative_to(checkout):
        raise SystemExit('This is the checkout, not what is installed.')
    options = sys.argv[1:]
    with (tempfile.TemporaryDirectory() as folder,
          service(folder, *options) as url):
        if '--keystone' in options:
            HEADERS['X-Auth-Token'] = token(folder)
        queue = f'{url}/queues/orders'
        call('PUT', queue, {})
        call('POST', f'{queue}/messages',
             {'messages': [{'ttl': 300, 'body': 'hello'}]})
        [claimed] = call('POST', f'{queue}/claims',
                         {'ttl': 60, 'grace': 60})['messages']
        if claimed['body'] != 'hello':
            raise SystemExit(f'Another message was claimed: {claimed}.')
        call('DELETE', url.removesuffix('/v2') + claimed['href'])
        print('A message was posted, claimed and deleted.')


@contextlib.contextmanager
def service(folder: str, *options: str) -> Iterator[str]:
    """Run the standalone service; gives the URL of its API."""
    command = pathlib.Path(sys.executable).with_name(
        'marconi-swift-standalone')
    log = pathlib.Path(folder, 'log')
    with log.open('w') as out:
        process = subprocess.Popen(
            [command, '--data', f'{folder}/data', *options],
            stdout=out, stderr=out, stdin=subprocess.DEVNULL)
    try:
        yield wait_for_url(process, log)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(PATIENCE)


def wait_for_url(process: subprocess.Popen[bytes], log: pathlib.Path) -> str:
    """Wait until the service says where it is."""
    deadline = time.monotonic() + PATIENCE
    while process.poll() is None and time.monotonic() < deadline:
        if found := re.search(r'http://127\.0\.0\.1:\d+/v2', log.read_text()):
            return found[0]
        time.sleep(0.2)
    raise SystemExit(f'The service did not start:\n{log.read_text()}')


def token(folder: str) -> str:
    """Ask the service's Keystone for a token of the user demo."""
    clouds = yaml.safe_load(pathlib.Path(
        folder, 'data', 'clouds.yaml').read_text())
    loader: Any = loading.get_plugin_loader('password')
    auth = loader.load_from_options(**clouds['clouds']['demo']['auth'])
    return str(session.Session(auth).get_token())


def call(method: str, url: str, body: object = None) -> dict[str, Any]:
    """Ask the service; returns what it answers, if that is anything."""
    asked = request.Request(
        url, None if body is None else json.dumps(body).encode(), HEADERS,
        method=method)
    # Of a service on loopback, which said where it is.
    with request.urlopen(asked, timeout=PATIENCE) as answer:  # nosec B310
        content = answer.read()
    return json.loads(content) if content else {}


if __name__ == '__main__':
    main()
