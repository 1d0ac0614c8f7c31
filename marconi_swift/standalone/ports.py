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

"""TCP ports of this machine, held for servers that are yet to be started."""

from collections.abc import Mapping
import contextlib
import errno
import os
import socket

from marconi_swift.standalone import errors

HOST = '127.0.0.1'


class Unusable(errors.StandaloneError):
    """No server of ours can have the port."""

    def __init__(self, port: int, reason: int | None) -> None:
        why = os.strerror(reason or 0)
        if reason == errno.EADDRINUSE:
            why = 'another program has taken it'
        super().__init__(f'Port {port} of {HOST} can not be used: {why}.')
        self.port = port


class Reservation:
    """A port that nobody is given by chance while this is held.

    The socket is bound and never listens, with ``SO_REUSEADDR`` set: Linux
    then lets one server, which sets it too (Swift's and gunicorn do), bind
    and listen beside it. So there is no moment, between the choice of a port
    and its use or while a server is restarted, at which it could be lost.

    That lets a second reservation bind as well. What keeps it out is a name
    among Linux's abstract sockets, which goes when its holder does.
    """

    def __init__(self, port: int = 0) -> None:
        """Hold a port; connections of a former run may linger there.

        :param port: 0 for any free one.
        :raises Unusable: the port is taken, or needs rights that we lack.
        """
        self._socket = socket.socket()
        self._name = socket.socket(socket.AF_UNIX)
        try:
            self.port = self._bind(port)
        except OSError as error:
            self.release()
            raise Unusable(port, error.errno) from None

    def _bind(self, port: int) -> int:
        # If the kernel chooses, it must not choose what others share.
        if port:
            self._share()
        self._socket.bind((HOST, port))
        self._share()
        number: int = self._socket.getsockname()[1]
        self._name.bind(f'\0marconi-swift-port-{number}')
        return number

    def _share(self) -> None:
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)

    def release(self) -> None:
        """Hold the port no longer."""
        self._socket.close()
        self._name.close()


def reserve(*wishes: int) -> Reservation:
    """Hold the first port of some that can be used.

    :raises Unusable: the last one can't either.
    """
    for port in wishes[:-1]:
        with contextlib.suppress(Unusable):
            return Reservation(port)
    return Reservation(wishes[-1])


class PortBook:
    """The ports of one data folder: chosen once, remembered, and held."""

    def __init__(self, remembered: Mapping[str, int]) -> None:
        """Start with the ports of the last run, of which none is held yet."""
        self.numbers = dict(remembered)
        self._held: dict[str, Reservation] = {}

    def hold(self, name: str, given: int | None = None, wish: int = 0) -> int:
        """Hold a port under a name, unless one is held under it already.

        :param given: the port that it must be, if the user said so.
        :param wish: the port that it should be on the first run.
        :returns: the port given, else the one remembered, else the one
            wished for, else any; the first of them that can be used.
        :raises Unusable: the port given can't.
        """
        if name in self._held:
            return self.numbers[name]
        if given is None:
            held = reserve(self.numbers.get(name, wish), wish, 0)
        else:
            held = Reservation(given)
        self._held[name] = held
        self.numbers[name] = held.port
        return held.port

    def release(self) -> None:
        """Hold none of the ports any longer; the numbers stay."""
        while self._held:
            self._held.popitem()[1].release()
