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

"""What the primitives need of a Swift: one request, one answer.

Two things implement it: the connection to a real Swift, and the model of
Swift that the tests reason with.
"""

from collections.abc import Mapping
from typing import NamedTuple
from typing import Protocol


class Response(NamedTuple):
    """One whole answer of Swift; header names are lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Transport(Protocol):
    """Sends single requests to one Swift account; never repeats one."""

    def request(
        self,
        method: str,
        container: str | None = None,
        name: str | None = None,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes = b'',
    ) -> Response:
        """Send one request and return whatever Swift answered.

        No status is an exception here: 404, 412 and 503 are all returned.

        :param container: None addresses the account.
        :param name: the object's name, unquoted; None addresses the
            container.
        :raises marconi_swift.store.errors.Unanswered: no complete answer
            came: the request may have taken effect, or may yet.
        :raises marconi_swift.store.errors.Unauthorized: Keystone (or
            tempauth) gave no token.
        """
        ...

    def info(self) -> Response:
        """Fetch Swift's ``/info``, which needs no token."""
        ...

    def close(self) -> None:
        """Close what is open; it opens again when it is next used."""
        ...
