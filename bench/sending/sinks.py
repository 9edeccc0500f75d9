"""Receivers that cost next to nothing: SMTP and HTTP, in a process of their own, one record in a file for each message.

Run as a script: `python -m sending.sinks smtp FILE --delay-ms 0`.
"""

import argparse
import asyncio
import re
import signal
import struct
import subprocess
import sys
import time
from collections import Counter
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from delivery.ops.leash import leashed
from tests.servers.waiting import wait_until

HOST = "127.0.0.1"
# When it came, the id of its message, its size, and how many were in hand for the same path.
RECORD = struct.Struct("<d36sII")
_MAIL_ID = re.compile(rb"(?im)^Message-ID: *<([^@>\r\n]*)")
_GREETING = b"220 localhost\r\n"
_HELLO = b"250-localhost\r\n250-8BITMIME\r\n250-SIZE 33554432\r\n250 SMTPUTF8\r\n"
_HELLO_PIPELINING = _HELLO.replace(b"250 SMTPUTF8", b"250-SMTPUTF8\r\n250 PIPELINING")


@dataclass(frozen=True)
class Came:
    """One message that was taken."""

    at: float
    id: str
    size: int
    at_once: int


class Smtp(asyncio.Protocol):
    """Takes every mail; answers as a server does that has nothing to think about."""

    hello = _HELLO

    def __init__(self, note, *, delay_seconds):
        self._note, self._delay_seconds = note, delay_seconds
        self._buffer, self._in_data = b"", False

    def connection_made(self, transport):
        self._transport = transport
        transport.write(_GREETING)

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
            self._command(before[:4].upper())
        return True

    def _mail(self, content):
        self._in_data = False
        found = _MAIL_ID.search(content[:8192])
        self._note(found[1] if found else b"", len(content), 0)
        if self._delay_seconds:
            asyncio.get_running_loop().call_later(self._delay_seconds, self._transport.write, b"250 OK\r\n")
        else:
            self._transport.write(b"250 OK\r\n")

    def _command(self, verb):
        if verb == b"DATA":
            self._in_data = True
            self._transport.write(b"354 Go on\r\n")
        elif verb == b"EHLO":
            self._transport.write(self.hello)
        elif verb == b"QUIT":
            self._transport.write(b"221 Bye\r\n")
            self._transport.close()
        else:
            self._transport.write(b"250 OK\r\n")


class PipeliningSmtp(Smtp):
    """The same, and says that it takes several commands in one piece (RFC 2920)."""

    hello = _HELLO_PIPELINING


class Http(asyncio.Protocol):
    """Answers every POST with 204, after a while."""

    in_hand: ClassVar[Counter] = Counter()

    def __init__(self, note, *, delay_seconds):
        self._note, self._delay_seconds, self._buffer = note, delay_seconds, b""

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
        asyncio.get_running_loop().call_later(self._delay_seconds, self._answer, path)

    def _answer(self, path):
        self.in_hand[path] -= 1
        self._transport.write(b"HTTP/1.1 204 No Content\r\n\r\n")


KINDS = {"smtp": Smtp, "pipelining": PipeliningSmtp, "http": Http}


async def serve(kind, path, *, delay_seconds):
    """Serve on loopback until SIGTERM."""
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    with path.open("ab", buffering=0) as file:

        def note(identity, size, at_once):
            file.write(RECORD.pack(time.time(), identity[:36], size, at_once))

        protocol = KINDS[kind]
        server = await loop.create_server(lambda: protocol(note, delay_seconds=delay_seconds), HOST, 0, backlog=512)
        print(server.sockets[0].getsockname()[1], flush=True)
        await stop.wait()
        server.close()


class Sink:
    """A running sink: its port, its process and what it took."""

    def __init__(self, kind, path, *, delay_seconds):
        self.path = path
        command = [sys.executable, "-m", "sending.sinks", kind, str(path), "--delay-ms", str(1000 * delay_seconds)]
        self.process = subprocess.Popen(leashed(command, signal=signal.SIGKILL), stdout=subprocess.PIPE)
        self.port = int(self.process.stdout.readline())

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
def sink(kind, folder, *, delay_seconds=0.0):
    """Start a sink of one kind; stop it at the end."""
    path = folder / f"{kind}.records"
    path.touch()
    running = Sink(kind, path, delay_seconds=delay_seconds)
    try:
        yield running
    finally:
        running.stop()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("file", type=Path)
    parser.add_argument("--delay-ms", type=float, default=0.0)
    args = parser.parse_args()
    asyncio.run(serve(args.kind, args.file, delay_seconds=args.delay_ms / 1000))


if __name__ == "__main__":
    main()
