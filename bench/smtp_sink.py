"""A real SMTP server for trials: takes every mail, writes one JSON line about it, and keeps none of it."""

import argparse
import asyncio
import contextlib
import json
import signal
import time
from email.header import decode_header, make_header
from email.message import Message
from email.parser import BytesHeaderParser
from pathlib import Path
from typing import Any, TextIO

from aiosmtpd.smtp import SMTP, Envelope, Session

HOST = "127.0.0.1"


class Sink:
    """Acknowledges a mail only when its line is on file, so that what a client believes sent can be counted."""

    def __init__(self, log: TextIO, *, delay_seconds: float = 0.0) -> None:
        self._log = log
        self._delay_seconds = delay_seconds
        self._parser = BytesHeaderParser()

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 -- the signature and the name that aiosmtpd calls
        await asyncio.sleep(self._delay_seconds)
        content = envelope.original_content or b""
        headers = self._parser.parsebytes(content)
        self._log.write(json.dumps(_line(envelope, headers=headers, size=len(content))) + "\n")
        self._log.flush()
        return "250 OK"


def _line(envelope: Envelope, *, headers: Message, size: int) -> dict[str, Any]:
    return {
        "time": time.time(),
        "mail_from": envelope.mail_from,
        "rcpts": envelope.rcpt_tos,
        "message_id": headers["Message-ID"],
        "subject": _decoded(headers["Subject"]),
        "event": headers["X-Delivery-Event"],
        "number": headers["X-Delivery-Number"],
        "size": size,
    }


def _decoded(value: str | None) -> str | None:
    return None if value is None else str(make_header(decode_header(value)))


async def serve(log: Path, *, port: int, delay_seconds: float) -> None:
    """Serve on loopback until SIGINT or SIGTERM; port 0 takes a free one, which is printed."""
    with log.open("a", encoding="utf-8") as file:
        sink = Sink(file, delay_seconds=delay_seconds)
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: SMTP(sink, hostname="localhost", loop=loop), HOST, port)
        print(f"listening on {HOST} {server.sockets[0].getsockname()[1]}", flush=True)
        stop = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop.set)
        await stop.wait()
        server.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("log", type=Path, help="the file to append one JSON line a mail to")
    parser.add_argument("--port", type=int, default=0, help="the port on 127.0.0.1 (default: a free one, printed)")
    parser.add_argument("--delay-ms", type=float, default=0.0, help="wait this long before acknowledging a mail")
    args = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(args.log, port=args.port, delay_seconds=args.delay_ms / 1000))


if __name__ == "__main__":
    main()
