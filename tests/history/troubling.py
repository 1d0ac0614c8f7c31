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
"""Tells the filter in Swift's proxy how to misbehave."""

import contextlib
from http import client as http
import json
from urllib import parse

CONTROL = '/__trouble__'
FACTORY = 'tests.history.trouble:filter_factory'


def make(url: str, **orders: object) -> None:
    """Let the proxy at a URL misbehave from now on.

    :param orders: how; see :mod:`tests.history.trouble`. None of them ends
        all trouble.
    """
    connection = http.HTTPConnection(parse.urlsplit(url).netloc, timeout=30)
    with contextlib.closing(connection):
        connection.request('PUT', CONTROL, json.dumps(orders))
        answer = connection.getresponse()
        if answer.status != 204:
            raise RuntimeError(f'{url} makes no trouble: {answer.status}')
