"""smtplib's client with one deadline: its own time-out begins anew with every byte and every address of a host."""

import contextlib
import io
import smtplib
import socket
import ssl
import time
from typing import Any

REPLY_MAX = 65_536


class SmtpClient(smtplib.SMTP):
    """A connection that does nothing past `deadline`, by the monotonic clock; with `trust`, on TLS from the start."""

    def __init__(self, *, deadline: float, local_hostname: str, trust: ssl.SSLContext | None) -> None:
        self.deadline, self._trust = deadline, trust
        self.heard = 0  # bytes of the reply that is being read
        super().__init__(local_hostname=local_hostname)

    def left(self) -> float:
        """Return the seconds left.

        Raises:
            TimeoutError: there are none.
        """
        seconds = self.deadline - time.monotonic()
        if seconds <= 0:
            raise TimeoutError
        return seconds

    def open(self, host: str, port: int) -> None:
        """Connect and hear the greeting; starttls() verifies this host name.

        Raises:
            SMTPConnectError: the server does not want us.
        """
        self._host = host
        code, answer = self.connect(host, port)
        if code != 220:  # noqa: PLR2004  RFC 5321, 4.3.2
            raise smtplib.SMTPConnectError(code, answer)

    def _get_socket(self, host: str, port: int, _timeout: float) -> socket.socket:
        connection = self._connected(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        if self._trust is None:
            return connection
        connection.settimeout(self.left())
        return self._trust.wrap_socket(connection, server_hostname=host)

    def _connected(self, addresses: list[Any]) -> socket.socket:
        """Connect to the first address that answers; each gets its share of the time that is left."""
        failure = OSError("no address")
        for tried, (family, kind, protocol, _, address) in enumerate(addresses):
            connection = socket.socket(family, kind, protocol)
            try:
                connection.settimeout(self.left() / (len(addresses) - tried))
                connection.connect(address)
            except OSError as error:
                connection.close()
                failure = error
            else:
                return connection
        raise failure

    def send(self, s: Any) -> None:
        """Send all of it, or raise before the last byte has left."""
        rest = memoryview(s.encode(self.command_encoding) if isinstance(s, str) else s)
        if self.sock is None:
            raise smtplib.SMTPServerDisconnected
        try:
            while rest:
                self.sock.settimeout(self.left())
                rest = rest[self.sock.send(rest) :]
        except OSError as error:
            self.close()
            raise smtplib.SMTPServerDisconnected from error

    def getreply(self) -> tuple[int, bytes]:
        self.heard = 0
        if self.file is None and self.sock is not None:
            self.file = io.BufferedReader(_Ear(self))
        return super().getreply()

    def quit_briefly(self, *, seconds: float) -> None:
        """Say good-bye, without much ado; must not raise."""
        self.deadline = time.monotonic() + seconds
        with contextlib.suppress(smtplib.SMTPException, OSError):
            self.quit()
        self.close()


class _Ear(io.RawIOBase):
    """What the server says, up to the deadline and to the longest reply."""

    def __init__(self, client: SmtpClient) -> None:
        self._client = client

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        client = self._client
        if client.sock is None:
            return 0
        client.sock.settimeout(client.left())
        count = client.sock.recv_into(buffer)
        client.heard += count
        if client.heard > REPLY_MAX:
            raise OSError("endless reply")
        return count
