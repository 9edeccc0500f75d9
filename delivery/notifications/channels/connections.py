"""HTTP connections to receivers: one exchange after another over each, and the ones that are kept."""

import http.client
import select
import threading
import time
from collections import defaultdict
from collections.abc import Mapping

from delivery.notifications.channels.deadlines import Bounded
from delivery.notifications.channels.public_addresses import Target

USER_AGENT = "Delivery-Webhooks/1"
# Kept no longer: a name may lead elsewhere then.
KEPT_SECONDS = 30.0
KEPT_EACH = 2


class Connection:
    """A connection to where a target was found to be."""

    def __init__(self, target: Target, sock: Bounded) -> None:
        self.target, self._socket = target, sock
        self._http = http.client.HTTPConnection(target.host, target.port)
        self._http.sock = sock
        # Without this, http.client would connect to the name, unchecked, where the server has closed.
        self._http.auto_open = 0
        self._end = time.monotonic() + KEPT_SECONDS

    @property
    def heard(self) -> int:
        """How many bytes came back in the last exchange."""
        return self._socket.heard

    def post(self, body: bytes, headers: Mapping[str, str], *, deadline: float) -> http.client.HTTPResponse:
        """Send a request and return the answer's head; its body can be read until the deadline.

        Raises:
            OSError, http.client.HTTPException: there is no answer, or none that can be understood.
        """
        self._socket.begin(deadline)
        self._http.putrequest("POST", self.target.path, skip_host=True, skip_accept_encoding=True)
        fixed = {"Host": self.target.host_header, "User-Agent": USER_AGENT, "Content-Length": str(len(body))}
        for name, value in {**fixed, **headers}.items():
            self._http.putheader(name, value)
        self._http.endheaders(body)
        return self._http.getresponse()

    def usable(self) -> bool:
        """Tell whether it may be used again: it is young, and the other side has neither closed nor said more."""
        if time.monotonic() >= self._end:
            return False
        poller = select.poll()
        poller.register(self._socket, select.POLLIN)
        return not poller.poll(0)

    def close(self) -> None:
        self._http.close()
        self._socket.close()


class Kept:
    """Connections that wait for the next letter to the same place; safe between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: defaultdict[tuple[str, str, int], list[Connection]] = defaultdict(list)

    def take(self, target: Target) -> Connection | None:
        while True:
            with self._lock:
                idle = self._idle[_place(target)]
                connection = idle.pop() if idle else None
            if connection is None:
                return None
            if connection.usable():
                connection.target = target
                return connection
            connection.close()

    def give_back(self, connection: Connection) -> None:
        with self._lock:
            idle = self._idle[_place(connection.target)]
            if room := len(idle) < KEPT_EACH:
                idle.append(connection)
        if not room:
            connection.close()

    def close(self) -> None:
        with self._lock:
            everything = [connection for idle in self._idle.values() for connection in idle]
            self._idle.clear()
        for connection in everything:
            connection.close()


def _place(target: Target) -> tuple[str, str, int]:
    return target.scheme, target.host, target.port
