"""What the harness puts into the system's processes from outside: crash points, a quicker pace, and planted bugs.

The package knows nothing of it. app.py loads this before the project's own app; a name that is gone fails the start.
A point is armed by a file: whichever process unlinks it has reached it, says so in the log of kills, and dies.
"""

import contextlib
import json
import os
import signal
import threading
import time
from functools import wraps
from pathlib import Path

from sqlalchemy import event
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session

FREEZE, SLOW_COMMIT = "freeze", "slow_commit"
SLOW_COMMIT_SECONDS = 0.5
ARMED_AT_MOST = 4
_local = threading.local()


class Folder:
    """The files by which the harness and the processes talk."""

    def __init__(self, path):
        self.path = Path(path)
        self.kills, self.handed_off = self.path / "kills.jsonl", self.path / "handed_off.jsonl"

    def arm(self, name):
        """Once more; it may be armed a few times over."""
        free = next((file for file in self._files(name) if not file.exists()), None)
        if free:
            free.touch()
        return free is not None

    def disarm(self, name):
        """Whether it was still armed, and so is now once less."""
        for file in self._files(name):
            with contextlib.suppress(FileNotFoundError):
                file.unlink()
                return True
        return False

    def _files(self, name):
        return [self.path / f"{name}.{number}" for number in range(ARMED_AT_MOST)]

    def is_armed(self, name):
        return any(file.exists() for file in self._files(name))

    @staticmethod
    def note(file, **facts):
        with file.open("a") as log:
            log.write(json.dumps({"pid": os.getpid(), "at": time.time(), **facts}) + "\n")

    @staticmethod
    def notes(file):
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def install(folder, *, role):
    """Notice the points in this process, whichever of them it passes."""
    notice_transactions(folder, role=role)
    notice_sending(folder)
    if role == "api":
        notice_wakes(folder)


def point(folder, name):
    """Die here if this point is armed; or stop, until the harness lets us go on."""
    if folder.disarm(name):
        folder.note(folder.kills, name=name)
        os.kill(os.getpid(), signal.SIGKILL)
    if folder.disarm(f"{FREEZE}_{name}"):
        folder.note(folder.kills, name=f"{FREEZE}_{name}")
        os.kill(os.getpid(), signal.SIGSTOP)


def notice_transactions(folder, *, role):
    """Points of a request: its messages are being written, are about to be committed, are committed."""

    def writes(_connection, _cursor, statement, *_):
        if statement.startswith("INSERT INTO outbox_messages"):
            _local.writing = True
            if role == "api":
                point(folder, "mid_transaction")

    def commits(_session):
        if role == "api" and getattr(_local, "writing", False):
            if folder.is_armed(SLOW_COMMIT):
                time.sleep(SLOW_COMMIT_SECONDS)
            point(folder, "before_commit")

    def committed(_session):
        if role == "api" and getattr(_local, "writing", False):
            point(folder, "after_commit")
        for name in _forget():
            point(folder, name)

    event.listen(Engine, "before_cursor_execute", writes)
    event.listen(Session, "before_commit", commits)
    event.listen(Session, "after_commit", committed)
    event.listen(Session, "after_rollback", lambda _: _forget())


def _forget():
    marks, _local.marks, _local.writing = getattr(_local, "marks", []), [], False
    return marks


def notice_sending(folder):
    """Points of a drain: popped from the queue, claimed, handed off, sent, settled."""
    from delivery.notifications import attempts, claims, jobs  # noqa: PLC0415  after the pace
    from delivery.notifications.channels.mail import SmtpTransport  # noqa: PLC0415  after the pace
    from delivery.notifications.channels.twilio import TwilioTransport  # noqa: PLC0415  after the pace
    from delivery.notifications.channels.webhook import WebhookTransport  # noqa: PLC0415  after the pace

    claims.claim = _marking("claimed", claims.claim)
    attempts.settle = _marking("settled", attempts.settle, asked=lambda results: results)
    attempts.hand_off = _on_record(folder, _marking("handed_off", attempts.hand_off))
    jobs.drain = _preceded(folder, "popped", jobs.drain)
    for transport in (SmtpTransport, TwilioTransport, WebhookTransport):
        transport.send = _followed(folder, "sent", transport.send)


def notice_wakes(folder):
    from delivery.notifications import alarm  # noqa: PLC0415  after the pace

    alarm.wake = _followed(folder, "after_wake", alarm.wake)


def _marking(name, function, *, asked=None):
    """When `function` has done something, its transaction's commit is the point `name`."""

    @wraps(function)
    def wrapper(*args, **options):
        done = function(*args, **options)
        if asked(args[0]) if asked else done:
            _local.marks = [*getattr(_local, "marks", []), name]
        return done

    return wrapper


def _on_record(folder, hand_off):
    """Who had which message in its hands: a row that is uncertain, or sent twice, needs a kill of its holder."""

    @wraps(hand_off)
    def wrapper(*args, **options):
        held = hand_off(*args, **options)
        folder.note(folder.handed_off, ids=[str(message.id) for message in held])
        return held

    return wrapper


def _preceded(folder, name, function):
    @wraps(function)
    def wrapper(*args, **options):
        point(folder, name)
        return function(*args, **options)

    return wrapper


def _followed(folder, name, function):
    @wraps(function)
    def wrapper(*args, **options):
        done = function(*args, **options)
        point(folder, name)
        return done

    return wrapper
