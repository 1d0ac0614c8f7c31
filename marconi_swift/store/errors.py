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

"""What can go wrong between this driver and Swift.

All of it is a :class:`zaqar.storage.errors.ConnectionError` to Zaqar, whose
transports answer 503 to it, or 500 with its text while they look for the queue
of a post (``on_post`` in ``zaqar/transport/wsgi/v2_0/messages.py``). What
Swift merely refuses (something exists, is missing, is newer) is an outcome,
not an error.
"""

from zaqar.storage import errors as zaqar_errors


class SwiftError(zaqar_errors.ConnectionError):
    """Swift could not be asked, or did not do what was asked of it."""

    msg_format = '{message}'

    #: Whether the request certainly changed nothing, in any of its tries.
    harmless = False

    #: Whether :class:`marconi_swift.store.outages.Outages` tells of it, so
    #: that nobody else need.
    told = False

    def __init__(self, message: str) -> None:
        super().__init__(message=message)


class Unanswered(SwiftError):
    """No complete answer came: the request may have taken effect or not."""


class Unreachable(Unanswered):
    """Nothing was sent to Swift: nobody was there to send it to."""

    harmless = True


class Untrusted(SwiftError):
    """Nothing was sent to Swift: its certificate, or Keystone's, is bad."""

    harmless = True


class Unauthorized(SwiftError):
    """No token could be had, or Swift refused the one that was."""

    harmless = True


class Refused(SwiftError):
    """Swift answered with a status that this driver has no use for."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status
