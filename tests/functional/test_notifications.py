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
"""Zaqar's notifier tells subscribers of what is posted."""

from email import message_from_string
from http import server
import json
import pathlib
import queue
import threading
from typing import Any
import uuid

import fixtures
import testtools

from tests.fixtures import conf
from tests.fixtures import workers

PROJECT, QUEUE = 'project', 'news'

# More than three of the pages that the notifier asks for.
SUBSCRIBERS = 35

# Seconds that a notification may take.
PATIENCE = 60.0


class _Web(fixtures.Fixture):
    """A web server that keeps the path and body of what it is sent."""

    def _setUp(self) -> None:
        self.heard: queue.Queue[tuple[str, Any]] = queue.Queue()
        heard = self.heard

        class Handler(server.BaseHTTPRequestHandler):

            def do_POST(self) -> None:
                length = int(self.headers['Content-Length'])
                heard.put((self.path, json.loads(self.rfile.read(length))))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *args: Any) -> None:
                """Nothing is logged."""

        serving = server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
        self.url = f'http://127.0.0.1:{serving.server_port}'
        thread = threading.Thread(target=serving.serve_forever)
        thread.start()
        self.addCleanup(serving.server_close)
        self.addCleanup(thread.join)
        self.addCleanup(serving.shutdown)


class NotificationsTest(testtools.TestCase):

    def setUp(self) -> None:
        super().setUp()
        configured = self.useFixture(conf.ZaqarConf())
        self.site = workers.Site(configured.path)
        self.site.queues.create(QUEUE, project=PROJECT)
        self.messages = self.site.notifying_messages
        self.subscriptions = self.site.data.subscription_controller

    def subscribe(self, subscriber: str, ttl: int = 600) -> Any:
        return self.subscriptions.create(
            QUEUE, subscriber, ttl, {'subject': 'news'}, project=PROJECT)

    def post(self, body: Any) -> None:
        self.messages.post(
            QUEUE, messages=[{'ttl': 60, 'body': body}],
            client_uuid=uuid.uuid4(), project=PROJECT)

    def test_reach_every_subscriber_on_the_web(self) -> None:
        web = self.useFixture(_Web())
        paths = {f'/{number}' for number in range(SUBSCRIBERS)}
        # One after another: all at once, none has an answer in its time.
        for path in sorted(paths):
            self.subscribe(web.url + path)
        gone = self.subscribe(web.url + '/gone')
        self.subscriptions.delete(QUEUE, gone, project=PROJECT)

        self.post({'first': 1})

        heard = [web.heard.get(timeout=PATIENCE) for _ in paths]
        self.assertEqual(paths, {path for path, _ in heard})
        self.assertEqual({"{'first': 1}"},
                         {str(sent['body']) for _, sent in heard})
        self.assertTrue(web.heard.empty())
        # What the notifier writes into messages is not stored.
        [stored] = next(self.messages.list(
            QUEUE, project=PROJECT, echo=True))
        self.assertEqual(
            {'id', 'age', 'ttl', 'body', 'claim_id', 'claim_count'},
            set(stored))

    def test_reach_a_subscriber_by_mail(self) -> None:
        folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.site.conf.set_override(
            'smtp_command', f'tee {folder}/part', 'notification')
        self.subscribe('mailto:reader@example.org')

        self.post('by mail')

        executor = self.messages._pipeline[0].executor
        executor.shutdown()
        mail = message_from_string((folder / 'part').read_text())
        self.assertEqual(('reader@example.org', 'news'),
                         (mail['to'], mail['subject']))
        self.assertEqual('by mail', json.loads(mail.get_payload())['body'])
