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

"""Subscriptions: who is called when a message is posted."""

from collections.abc import Iterator
import contextlib
from http import server
import json
import os
import queue
import threading
import time
from typing import Any

from tests.fixtures import cloud

# The address of this machine at which Zaqar reaches it.
LISTEN_VARIABLE = 'MARCONI_SWIFT_TEST_LISTEN'

# Seconds that a notification may take.
PATIENCE = 30.0


class Listener:
    """An HTTP server that keeps what it is sent."""

    def __init__(self) -> None:
        heard: queue.Queue[Any] = queue.Queue()

        class Handler(server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = int(self.headers['Content-Length'])
                heard.put(json.loads(self.rfile.read(length)))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *args: Any) -> None:
                pass

        host = os.environ.get(LISTEN_VARIABLE, '127.0.0.1')
        self._server = server.ThreadingHTTPServer((host, 0), Handler)
        self.url = f'http://{host}:{self._server.server_port}/'
        self._heard = heard

    def hear(self) -> Any:
        """Return the next thing that is sent, waiting for it."""
        return self._heard.get(timeout=PATIENCE)

    @contextlib.contextmanager
    def listen(self) -> Iterator['Listener']:
        thread = threading.Thread(target=self._server.serve_forever)
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            thread.join()
            self._server.server_close()


class SubscriptionsTest(cloud.CloudTest):

    def setUp(self) -> None:
        super().setUp()
        self.name_ = self.queue()
        self.path = f'/queues/{self.name_}/subscriptions'

    def subscribe(self, url: str, ttl: int = 300, **options: Any) -> str:
        answer = self.demo.post(self.path, {
            'subscriber': url, 'ttl': ttl, 'options': options})
        return str(answer['subscription_id'])

    def test_one_comes_back(self) -> None:
        identity = self.subscribe('http://127.0.0.1:9/', colour='red')

        found = self.demo.get(f'{self.path}/{identity}')

        self.assertEqual('http://127.0.0.1:9/', found['subscriber'])
        self.assertEqual(self.name_, found['source'])
        self.assertEqual('red', found['options']['colour'])

    def test_they_are_listed_page_by_page(self) -> None:
        made = {self.subscribe(f'http://127.0.0.1:9/{n}') for n in range(5)}

        path, listed = f'{self.path}?limit=2', set()
        while len(listed) < 5:
            page = self.demo.get(path)
            listed |= {each['id'] for each in page['subscriptions']}
            path = cloud.path_of(page['links'][0]['href'])

        self.assertEqual(made, listed)

    def test_a_second_of_the_same_subscriber_is_the_first(self) -> None:
        first = self.subscribe('http://127.0.0.1:9/')

        self.assertEqual(first, self.subscribe('http://127.0.0.1:9/'))

    def test_one_is_changed(self) -> None:
        identity = self.subscribe('http://127.0.0.1:9/')

        self.demo.patch(f'{self.path}/{identity}', {'ttl': 600}, expect=204)

        found = self.demo.get(f'{self.path}/{identity}')
        self.assertEqual(600, found['ttl'])

    def test_a_deleted_one_is_gone(self) -> None:
        identity = self.subscribe('http://127.0.0.1:9/')

        self.demo.delete(f'{self.path}/{identity}')

        self.demo.get(f'{self.path}/{identity}', expect=404)
        found = self.demo.get(self.path)
        self.assertEqual([], found['subscriptions'])

    def test_the_subscriber_is_called(self) -> None:
        with Listener().listen() as listener:
            self.subscribe(listener.url)
            self.send(self.name_, {'hello': 'world'})
            heard = listener.hear()

        self.assertEqual({'hello': 'world'}, heard['body'])
        self.assertEqual(self.name_, heard['queue_name'])

    def test_a_trusting_one_writes_as_its_owner(self) -> None:
        copy = self.queue()
        self.subscribe(
            f'trust+{self.demo.endpoint}/v2/queues/{copy}/messages',
            post_data=json.dumps(
                {'messages': [{'body': '$zaqar_message$', 'ttl': 300}]}),
            post_headers={
                'X-Project-ID': self.demo.project,
                'Client-ID': self.demo.client_id})

        self.send(self.name_, 'original')

        found = self.wait_for(lambda: self.bodies(copy))
        self.assertEqual('original', found[0]['body'])

    def wait_for(self, find: Any) -> Any:
        """Return what is found at last."""
        deadline = time.monotonic() + PATIENCE
        while not (found := find()):
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.2)
        return found

    def test_nonsense_is_refused(self) -> None:
        for body in (
            {'subscriber': 'gopher://127.0.0.1/', 'ttl': 300},
            {'subscriber': 'http://127.0.0.1:9/', 'ttl': 'long'},
            {'ttl': 300},
        ):
            self.demo.post(self.path, body, expect=400)
