"""Receivers that cost next to nothing: SMTP and HTTP, in a process of their own, one record in a file for each message.

Run as a script: `python -m sending.sinks smtp FILE --delay-ms 0 --distance-ms 0`.
"""

import argparse
import asyncio
import functools
import re
import selectors
import signal
import smtplib
import statistics
import struct
import subprocess
import sys
import time
from base64 import b64encode
from collections import Counter
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, NamedTuple

from delivery.ops.leash import leashed
from tests.servers.certificate import server_context
from tests.servers.waiting import wait_until

HOST = "127.0.0.1"
# When it came, the id of its message, its size, and how many were in hand for the same path.
RECORD = struct.Struct("<d36sII")
_MAIL_ID = re.compile(rb"(?im)^Message-ID: *<([^@>\r\n]*)")
_GREETING = b"220 localhost\r\n"
_HELLO = b"250-localhost\r\n250-8BITMIME\r\n250-SIZE 33554432\r\n250 SMTPUTF8\r\n"
_HELLO_PIPELINING = _HELLO.replace(b"250 SMTPUTF8", b"250-SMTPUTF8\r\n250 PIPELINING")
_HELLO_STARTTLS = _HELLO_PIPELINING.replace(b"250 PIPELINING", b"250-PIPELINING\r\n250 STARTTLS")
_HELLO_SIGN_IN = _HELLO_PIPELINING.replace(b"250 PIPELINING", b"250-PIPELINING\r\n250 AUTH PLAIN LOGIN")
USER, PASSWORD = "bench", "a password of the bench"
_CREDENTIALS = b64encode(f"\0{USER}\0{PASSWORD}".encode())


@dataclass(frozen=True)
class Came:
    """One message that was taken."""

    at: float
    id: str
    size: int
    at_once: int


class Delays(NamedTuple):
    """Seconds that a receiver takes for a message, and that its answers are under way, there and back."""

    mail: float
    distance: float


class Smtp(asyncio.Protocol):
    """Takes every mail; answers as a server does that has nothing to think about."""

    hello = _HELLO

    def __init__(self, note, *, delays):
        self._note, self._delays = note, delays
        self._buffer, self._in_data = b"", False

    def connection_made(self, transport):
        self._transport = transport
        self._say(_GREETING)

    def data_received(self, data):
        self._buffer += data
        while self._take_one():
            pass

    def _take_one(self):
        before, end, after = self._buffer.partition(b"\r\n.\r\n" if self._in_data else b"\r\n")
        if not end:
            return False
        self._buffer = after
        if self._in_data:
            self._mail(before)
        else:
            self._command(before)
        return True

    def _mail(self, content):
        self._in_data = False
        found = _MAIL_ID.search(content[:8192])
        self._note(found[1] if found else b"", len(content), 0)
        self._say(b"250 OK\r\n", after=self._delays.mail)

    def _command(self, line):
        verb = line[:4].upper()
        if verb == b"DATA":
            self._in_data = True
            self._say(b"354 Go on\r\n")
        elif verb == b"EHLO":
            self._say(self.hello)
        elif verb == b"QUIT":
            self._say(b"221 Bye\r\n", then=self._transport.close)
        else:
            self._say(b"250 OK\r\n")

    def _say(self, answer, *, after=0.0, then=None):
        """Answer as from afar; a client that gives several commands in one piece waits for the way once."""
        seconds = self._delays.distance + after

        def say():
            self._transport.write(answer)
            if then:
                then()

        if seconds:
            asyncio.get_running_loop().call_later(seconds, say)
        else:
            say()


class PipeliningSmtp(Smtp):
    """The same, and says that it takes several commands in one piece (RFC 2920)."""

    hello = _HELLO_PIPELINING


class SubmissionSmtp(Smtp):
    """What hosts and relays offer to their clients (RFC 6409): STARTTLS, a sign-in, several commands at once."""

    hello = _HELLO_STARTTLS

    def __init__(self, note, *, delays, tls):
        super().__init__(note, delays=delays)
        self._tls, self._signed_in = tls, False

    def _command(self, line):
        verb = line[:4].upper()
        if verb == b"STAR":
            self._say(b"220 Go on\r\n", then=self._upgrade)
        elif verb == b"AUTH":
            self._signed_in = self.hello is _HELLO_SIGN_IN and line.split()[-1] == _CREDENTIALS
            self._say(b"235 Welcome\r\n" if self._signed_in else b"535 Who are you?\r\n")
        elif verb in {b"MAIL", b"RCPT", b"DATA"} and not self._signed_in:
            self._say(b"530 Sign in first\r\n")
        else:
            super()._command(line)

    def _upgrade(self):
        self._upgrading = asyncio.ensure_future(self._start_tls())

    async def _start_tls(self):
        loop = asyncio.get_running_loop()
        self._transport = await loop.start_tls(self._transport, self, self._tls, server_side=True)
        self.hello = _HELLO_SIGN_IN


class Http(asyncio.Protocol):
    """Answers every POST with 204, after a while."""

    in_hand: ClassVar[Counter] = Counter()

    def __init__(self, note, *, delays):
        self._note, self._delays, self._buffer = note, delays, b""

    def connection_made(self, transport):
        self._transport = transport

    def data_received(self, data):
        self._buffer += data
        head, end, body = self._buffer.partition(b"\r\n\r\n")
        if not end:
            return
        first, *lines = head.split(b"\r\n")
        headers = dict(line.lower().split(b": ", 1) for line in lines)
        if len(body) < int(headers[b"content-length"]):
            return
        self._buffer = b""
        path = first.split(b" ")[1]
        self.in_hand[path] += 1
        self._note(headers[b"webhook-id"], len(body), self.in_hand[path])
        asyncio.get_running_loop().call_later(self._delays.mail, self._answer, path)

    def _answer(self, path):
        self.in_hand[path] -= 1
        self._transport.write(b"HTTP/1.1 204 No Content\r\n\r\n")


OF_MAIL = {"smtp": Smtp, "pipelining": PipeliningSmtp, "submission": SubmissionSmtp}
KINDS = {**OF_MAIL, "http": Http}


async def serve(kind, path, *, delays):
    """Serve on loopback until SIGTERM."""
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    with path.open("ab", buffering=0) as file:

        def note(identity, size, at_once):
            file.write(RECORD.pack(time.time(), identity[:36], size, at_once))

        make = functools.partial(KINDS[kind], note, delays=delays)
        if kind == "submission":
            make = functools.partial(make, tls=server_context(path.parent)[0])
        server = await loop.create_server(make, HOST, 0, backlog=512)
        print(server.sockets[0].getsockname()[1], flush=True)
        await stop.wait()
        server.close()


class Sink:
    """A running sink: its port, its process and what it took."""

    def __init__(self, kind, path, *, delays):
        self.kind, self.path = kind, path
        command = [sys.executable, "-m", "sending.sinks", kind, str(path)]
        command += ["--delay-ms", str(1000 * delays.mail), "--distance-ms", str(1000 * delays.distance)]
        self.process = subprocess.Popen(leashed(command, signal=signal.SIGKILL), stdout=subprocess.PIPE)
        self.port = int(self.process.stdout.readline())

    def settings(self):
        """Return the environment of whoever sends mail here."""
        found = {"SMTP_HOST": HOST, "SMTP_PORT": str(self.port), "SMTP_TLS": "none"}
        if self.kind == "submission":
            found |= {"SMTP_TLS": "starttls", "SMTP_USER": USER, "SMTP_PASSWORD": PASSWORD}
            found["SSL_CERT_FILE"] = str(self.path.with_name("certificate.pem"))
        return found

    def distance_ms(self):
        """Return how long an answer takes, as a client sees it: the median of some."""
        with smtplib.SMTP(HOST, self.port, local_hostname="localhost") as smtp:
            times = []
            for _ in range(51):
                began = time.perf_counter()
                smtp.noop()
                times.append(1000 * (time.perf_counter() - began))
        return statistics.median(times)

    def count(self):
        return self.path.stat().st_size // RECORD.size

    def clear(self):
        with self.path.open("r+b") as file:
            file.truncate(0)

    def came(self):
        """Return what was taken, in order."""
        whole = self.path.read_bytes()
        return [
            Came(at, identity.rstrip(b"\0").decode(), size, at_once)
            for at, identity, size, at_once in RECORD.iter_unpack(whole[: len(whole) // RECORD.size * RECORD.size])
        ]

    def wait(self, count, *, seconds):
        """Wait until so many came; say how many did where they do not."""
        with suppress(TimeoutError):
            wait_until(lambda: self.count() >= count, what="", seconds=seconds)
            return
        raise TimeoutError(f"{self.count()} of {count} came within {seconds} s")

    def stop(self):
        self.process.terminate()
        self.process.wait(timeout=10)
        self.process.stdout.close()


@contextmanager
def sink(kind, folder, *, delay_seconds=0.0, distance_seconds=0.0):
    """Start a sink of one kind; stop it at the end."""
    path = folder / f"{kind}.records"
    path.touch()
    running = Sink(kind, path, delays=Delays(delay_seconds, distance_seconds))
    try:
        yield running
    finally:
        running.stop()


def punctual_loop():
    """Return a loop that can wait for less than a millisecond; epoll, the usual one, rounds up."""
    return asyncio.SelectorEventLoop(selectors.SelectSelector())


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("file", type=Path)
    parser.add_argument("--delay-ms", type=float, default=0.0)
    parser.add_argument("--distance-ms", type=float, default=0.0)
    args = parser.parse_args()
    delays = Delays(args.delay_ms / 1000, args.distance_ms / 1000)
    with asyncio.Runner(loop_factory=punctual_loop) as runner:
        runner.run(serve(args.kind, args.file, delays=delays))


if __name__ == "__main__":
    main()
