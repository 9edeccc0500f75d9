"""Sockets that do nothing past a deadline and hear no more than they should.

Python's own time-outs begin anew with every byte.
"""

import socket
import ssl
import time
from typing import Any

# Of one answer, its head included.
HEARD_MAX = 65_536


class _Bounded:
    """What both kinds of socket have in common; `deadline` is by the monotonic clock, `heard` counts bytes."""

    deadline = 0.0
    heard = 0

    def begin(self, deadline: float) -> None:
        """Begin another exchange."""
        self.deadline, self.heard = deadline, 0

    def left(self) -> float:
        """Return the seconds left.

        Raises:
            TimeoutError: there are none.
        """
        seconds = self.deadline - time.monotonic()
        if seconds <= 0:
            raise TimeoutError
        return seconds

    def room(self, buffer: Any) -> int:
        """Return how many bytes may still be heard, up to the buffer's length."""
        return min(len(buffer), HEARD_MAX - self.heard)


class BoundedSocket(_Bounded, socket.socket):
    """A plain connection."""

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
        room = self.room(buffer)
        if room <= 0:
            return 0  # as if the other side had ended here
        self.settimeout(self.left())
        count = super().recv_into(buffer, nbytes or room, flags)
        self.heard += count
        return count

    def sendall(self, data: Any, flags: int = 0) -> None:
        self.settimeout(self.left())
        super().sendall(data, flags)


class BoundedTlsSocket(_Bounded, ssl.SSLSocket):
    """A connection over TLS; made by a context whose `sslsocket_class` is this."""

    def recv_into(self, buffer: Any, nbytes: int | None = None, flags: int = 0) -> int:
        room = self.room(buffer)
        if room <= 0:
            return 0
        self.settimeout(self.left())
        count = super().recv_into(buffer, nbytes or room, flags)
        self.heard += count
        return count

    def sendall(self, data: Any, flags: int = 0) -> None:
        self.settimeout(self.left())
        super().sendall(data, flags)


Bounded = BoundedSocket | BoundedTlsSocket


def connected(places: list[Any], *, deadline: float) -> BoundedSocket:
    """Connect to the first of these places (as of getaddrinfo) that answers; each gets its share of the time.

    Raises:
        OSError: none does.
    """
    failure: OSError = TimeoutError()
    for tried, (family, kind, protocol, _, address) in enumerate(places):
        connection = BoundedSocket(family, kind, protocol)
        connection.begin(deadline)
        try:
            connection.settimeout(connection.left() / (len(places) - tried))
            connection.connect(address)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError as error:
            connection.close()
            failure = error
        else:
            return connection
    raise failure


def trusting(authorities: str | None = None) -> ssl.SSLContext:
    """Return whom we believe: this machine's authorities, or those of a file."""
    context = ssl.create_default_context(cafile=authorities)
    context.sslsocket_class = BoundedTlsSocket
    return context


def over_tls(connection: BoundedSocket, *, trust: ssl.SSLContext, host: str, deadline: float) -> BoundedTlsSocket:
    """Shake hands, with the name for SNI and certificate; the plain socket is spent, whatever happens.

    Raises:
        OSError: no TLS (ssl.SSLError), or not in time.
    """
    try:
        connection.settimeout(connection.left())
        wrapped = trust.wrap_socket(connection, server_hostname=host)
    except BaseException:
        connection.close()
        raise
    assert isinstance(wrapped, BoundedTlsSocket)  # noqa: S101  # trusting() made the context
    wrapped.begin(deadline)
    return wrapped
