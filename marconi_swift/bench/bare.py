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

"""Requests to Swift that no driver makes: how fast a driver could be.

For each operation these are the requests of this project's driver, of the
same kinds and as many side by side, on connections that are kept alive; but
nothing is decided, and no answer is looked at more than is needed to know
what to ask next.
"""

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from http import client as http
import itertools
import json
import math
import threading
import time
from typing import Any
from typing import NamedTuple
from typing import TypeVar
from urllib import parse

from keystoneauth1 import session as ksa_session

from marconi_swift import names
from marconi_swift import records
from marconi_swift.bench import drivers
from marconi_swift.bench import verdict
from marconi_swift.store import fan_out

_T = TypeVar('_T')

#: Seconds that Swift gets to answer; also with a delay at the proxy.
_PATIENCE = 60.0

#: Seconds after which a connection that nobody used is opened anew: Swift's
#: proxy closes it after a minute.
_STALE = 30.0

#: Rows of the listing that the driver begins with, and of the next ones.
_ROWS, _MORE_ROWS = 1000, 10000

_NEWEST = {'X-Newest': 'true'}


class Refused(Exception):
    """Swift answered with something else than 2xx."""


class _Claim(NamedTuple):
    """What was claimed, without a claim's record having been read."""

    id: str
    messages: list[str]


class Bare(drivers.Ours):
    """Makes and fills queues as the driver does, and asks Swift directly.

    What one claim took is remembered in this process alone, so that two
    threads take different messages. Two processes would not.
    """

    def __init__(self, spec: drivers.Spec) -> None:
        super().__init__(spec)
        settings = self.data.account.settings
        self._prefix = settings.container_prefix
        self._fan = fan_out.FanOut(settings.fan_out)
        self._local = threading.local()
        self._lock = threading.Lock()
        self._taken: set[str] = set()
        self._claimed: dict[str, _Claim] = {}
        assert spec.swift is not None
        self._url = parse.urlsplit(spec.swift.storage_url)
        auth = settings.make_auth()
        self._token: str = auth.get_token(ksa_session.Session())
        expires = records.now() + drivers.TTL
        #: Headers of the driver's size and kind, made once.
        self._free = self._message(records.now()).content_type()
        hold = records.Hold(names.new_message_id(), math.floor(expires))
        self._pass = records.Pass(hold, drivers.GRACE).content_type()
        self._held = self._message(records.now()).taken(
            hold, records.now(), drivers.GRACE).content_type()
        self._delete_at = {'X-Delete-At': str(math.floor(expires))}

    # What is measured

    def post(
        self, queue: str, messages: Sequence[dict[str, Any]],
    ) -> list[str]:
        def put(message: dict[str, Any]) -> str:
            name = names.new_message_id()
            self._ask('PUT', self._messages_of(queue), name, {
                'Content-Type': self._free, 'If-None-Match': '*',
                **self._delete_at}, json.dumps(message['body']).encode())
            return name

        return self._each(put, messages)

    def page(self, queue: str, limit: int) -> list[verdict.Message]:
        free = (row['name'] for row in self._rows(queue)
                if 'until=' not in row['content_type'])
        return self._get_all(queue, list(itertools.islice(free, limit)))

    def delete(
        self, queue: str, message_id: str, claim: str | None = None,
    ) -> None:
        if claim is None:
            self._ask('HEAD', self._messages_of(queue), message_id, _NEWEST)
        else:
            self._read_claim(queue, claim)
        self._delete(queue, message_id)

    def bulk_delete(self, queue: str, ids: Sequence[str]) -> None:
        self._each(lambda name: self._delete(queue, name), ids)

    def pop(self, queue: str, limit: int) -> list[verdict.Message]:
        taken = self._take(queue, limit)
        self.bulk_delete(queue, [message['id'] for message in taken])
        return taken

    def claim(
        self, queue: str, limit: int,
    ) -> tuple[str | None, list[verdict.Message]]:
        taken = self._take(queue, limit)
        if not taken:
            return None, []
        claim = _Claim(names.new_message_id(),
                       [message['id'] for message in taken])
        self._claimed[claim.id] = claim
        record = json.dumps(dict.fromkeys(claim.messages, self._free))
        self._ask('PUT', self._claims_of(queue), f'claim/{claim.id}', {
            'Content-Type': self._held, **self._delete_at}, record.encode())
        return claim.id, taken

    def get_claim(self, queue: str, claim: str) -> list[verdict.Message]:
        self._read_claim(queue, claim)
        return self._get_all(queue, self._claimed[claim].messages)

    def lifetime(self, queue: str, claim: str) -> float:
        headers, _ = self._ask(
            'HEAD', self._claims_of(queue), f'claim/{claim}', _NEWEST)
        return float(headers['X-Delete-At']) - records.now()

    def renew(self, queue: str, claim: str) -> None:
        def renew(name: str) -> None:
            self._annotate(queue, name, self._held)
            self._ask('PUT', self._claims_of(queue), f'gate/{name}', {
                'Content-Type': self._pass, **self._delete_at})

        self._read_claim(queue, claim)
        self._each(renew, self._claimed[claim].messages)
        until = math.floor(records.now()) + drivers.RENEWED
        self._ask('POST', self._claims_of(queue), f'claim/{claim}', {
            'Content-Type': self._held, 'X-Delete-At': str(until)})

    def release(self, queue: str, claim: str) -> None:
        def release(name: str) -> None:
            self._annotate(queue, name, self._free)
            self._ask('DELETE', self._claims_of(queue), f'gate/{name}',
                      {'X-If-Delete-At': self._delete_at['X-Delete-At']})

        self._read_claim(queue, claim)
        self._each(release, self._claimed[claim].messages)
        self._ask('DELETE', self._claims_of(queue), f'claim/{claim}')

    def stats(self, queue: str) -> dict[str, int]:
        total = len(self._list(queue, _MORE_ROWS))
        return {'claimed': 0, 'free': total, 'total': total}

    # Requests

    def _take(self, queue: str, limit: int) -> list[verdict.Message]:
        rows = self._list(queue, _ROWS)
        with self._lock:
            chosen = [row['name'] for row in rows
                      if row['name'] not in self._taken][:limit]
            self._taken.update(chosen)
        return self._each(lambda name: self._take_one(queue, name), chosen)

    def _take_one(self, queue: str, name: str) -> verdict.Message:
        gate = f'gate/{name}'
        self._ask('PUT', self._claims_of(queue), gate, {
            'Content-Type': self._pass, 'If-None-Match': '*',
            **self._delete_at})
        message = self._get(queue, name, _NEWEST)
        self._annotate(queue, name, self._held)
        self._ask('HEAD', self._claims_of(queue), gate, _NEWEST)
        return message

    def _get_all(
        self, queue: str, names: Iterable[str],
    ) -> list[verdict.Message]:
        return self._each(lambda name: self._get(queue, name, {}), names)

    def _get(
        self, queue: str, name: str, headers: Mapping[str, str],
    ) -> verdict.Message:
        _, content = self._ask(
            'GET', self._messages_of(queue), name, headers)
        return {'id': name, 'body': json.loads(content)}

    def _annotate(self, queue: str, name: str, content_type: str) -> None:
        self._ask('POST', self._messages_of(queue), name, {
            'Content-Type': content_type, **self._delete_at})

    def _delete(self, queue: str, name: str) -> None:
        self._ask('DELETE', self._messages_of(queue), name)

    def _read_claim(self, queue: str, claim: str) -> None:
        self._ask('GET', self._claims_of(queue), f'claim/{claim}', _NEWEST)

    def _list(
        self, queue: str, limit: int, marker: str = '',
    ) -> list[dict[str, Any]]:
        _, content = self._ask(
            'GET', self._messages_of(queue),
            query=f'?format=json&limit={limit}&marker={marker}')
        rows: list[dict[str, Any]] = json.loads(content)
        return rows

    def _rows(self, queue: str) -> Iterator[dict[str, Any]]:
        """All rows, as far as they are asked for."""
        limit, marker = _ROWS, ''
        while rows := self._list(queue, limit, marker):
            yield from rows
            limit, marker = _MORE_ROWS, rows[-1]['name']

    def _messages_of(self, queue: str) -> str:
        return names.messages(self._prefix, drivers.PROJECT, queue)

    def _claims_of(self, queue: str) -> str:
        return names.claims(self._prefix, drivers.PROJECT, queue)

    def _each(
        self, function: Callable[[Any], _T], items: Iterable[Any],
    ) -> list[_T]:
        return self._fan.each(function, items)

    def _ask(
        self, method: str, container: str, name: str = '',
        headers: Mapping[str, str] | None = None, body: bytes = b'',
        query: str = '',
    ) -> tuple[http.HTTPMessage, bytes]:
        """Send a request on the connection of this thread.

        :returns: headers, and content.
        :raises Refused: it was not done.
        """
        path = f'{self._url.path}/{parse.quote(container)}'
        if name:
            path += f'/{name}'
        connection = self._connection()
        connection.request(method, path + query, body or None, {
            **(headers or {}), 'X-Auth-Token': self._token})
        answer = connection.getresponse()
        content = answer.read()
        if answer.status // 100 != 2:
            raise Refused(f'{answer.status} to {method}')
        return answer.headers, content

    def _connection(self) -> http.HTTPConnection:
        """The connection of this thread; it opens when it is used."""
        local, now = self._local, time.monotonic()
        if not hasattr(local, 'connection'):
            local.connection = http.HTTPConnection(
                self._url.netloc, timeout=_PATIENCE)
        elif now - local.used > _STALE:
            local.connection.close()
        local.used = now
        connection: http.HTTPConnection = local.connection
        return connection
