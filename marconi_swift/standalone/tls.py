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

"""TLS for servers of this machine, whose certificates others made."""

import ssl
from typing import NamedTuple


class Certificate(NamedTuple):
    """Paths of what a server shows, and of what its clients trust; PEM."""

    certfile: str
    keyfile: str
    cafile: str

    def context(self) -> ssl.SSLContext:
        """Return what a client needs to trust the server."""
        return ssl.create_default_context(cafile=self.cafile)


def scheme(certificate: Certificate | None) -> str:
    """Return how the URL of a server starts."""
    return 'https' if certificate else 'http'
