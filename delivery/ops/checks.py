"""What `flask doctor` looks at: each check looks at one part and tells how it is, without a secret or an address.

A check may raise: doctor.py turns that into a failure.
"""

import shutil
import tempfile
import time
from enum import StrEnum
from typing import Any, NamedTuple

from flask import current_app
from rq import Worker
from sqlalchemy import func, inspect, select, text

from delivery import clock, jobs
from delivery.cli import shown
from delivery.database import now, reader
from delivery.notifications import allowances, heartbeat, holding, registry, rendering, stats
from delivery.notifications.channels import Unreachable
from delivery.notifications.models import OutboxMessage
from delivery.notifications.proofreading import mistakes
from delivery.notifications.states import OPEN, RESENDABLE, Channel
from delivery.ops.schema import is_behind, is_known, is_read_only, revision
from delivery.privacy import erasure_list

# A message is due, not sent, and that for so long: nearly all go out within 5 s, and within 15 s without Redis.
LATE_SECONDS, FAR_TOO_LATE_SECONDS = 60, 600
CLOCKS_APART_SECONDS = 5
SWEEP_LATE_SECONDS = 10  # it is one a second
LITTLE_SPACE_GIB, GIB = 1, 2**30
SHORTEST_KEY = 32

_m = OutboxMessage.__table__.c


class Level(StrEnum):
    OK = "ok"
    WARN = "warn"
    FAIL = "FAIL"


class Finding(NamedTuple):
    """How a part is; `advice` where it tells more than the check's own."""

    level: Level
    detail: str
    advice: str = ""


def database() -> Finding:
    connection = reader()
    began = time.monotonic()
    connection.execute(text("SELECT 1"))
    spent = 1000 * (time.monotonic() - began)
    product = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}[connection.dialect.name]
    version = ".".join(map(str, connection.dialect.server_version_info or ()))
    return Finding(Level.OK, f"{product} {version} answers in {spent:.1f} ms")


def schema() -> Finding:
    if not inspect(reader()).has_table("alembic_version"):
        return Finding(Level.FAIL, "there are no tables yet")
    found = revision()
    if found is None or is_behind(found):
        return Finding(Level.FAIL, f"revision {found or 'none'} is older than this code")
    if not is_known(found):
        return Finding(Level.OK, f"revision {found} is of a later release, on which this one works")
    return Finding(Level.OK, f"revision {found} is up to date")


def writes() -> Finding:
    if not is_read_only():
        return Finding(Level.OK, "the database takes them")
    name = reader().execute(text("SELECT quote_ident(current_database())")).scalar_one()
    advice = f"if no restore runs: `ALTER DATABASE {name} RESET default_transaction_read_only`; see docs/backups.md"
    return Finding(Level.FAIL, "refused: the database is set to read-only, as by a restore", advice)


def clocks() -> Finding:
    apart = abs((reader().execute(select(now())).scalar_one() - clock.now()).total_seconds())
    level = Level.WARN if apart > CLOCKS_APART_SECONDS else Level.OK
    return Finding(level, f"this machine and the database are {apart:.1f} s apart")


def redis() -> Finding:
    with jobs.brief_redis() as client:
        began = time.monotonic()
        client.ping()
        spent = 1000 * (time.monotonic() - began)
        server: Any = client.info()
    name, version = (
        ("Valkey", server["valkey_version"]) if "valkey_version" in server else ("Redis", server["redis_version"])
    )
    if server.get("maxmemory") and server.get("maxmemory_policy") != "noeviction":
        advice = "set maxmemory-policy to noeviction"
        return Finding(Level.WARN, f"{name} {version} throws queued jobs away when memory is short", advice)
    return Finding(Level.OK, f"{name} {version} answers in {spent:.1f} ms")


def workers(channel: Channel) -> Finding:
    with jobs.brief_redis() as client:
        queue = jobs.queue(channel, redis=client)
        alive, waiting = Worker.count(queue=queue), queue.count
    detail = f"{alive or 'no'} {'worker' if alive == 1 else 'workers'}, {waiting or 'no'} jobs waiting"
    return Finding(Level.OK if alive else Level.FAIL, detail)


def cron() -> Finding:
    age = heartbeat.age_seconds()
    if age is None:
        return Finding(Level.FAIL, "no sign of life for a minute")
    if age > SWEEP_LATE_SECONDS:
        return Finding(Level.WARN, f"the last sweep began {age:.0f} s ago")
    return Finding(Level.OK, "alive")


def outbox(channel: Channel) -> Finding:
    # Those whose worker died are due again when its lease ends.
    due = (_m.channel == channel, _m.state.in_(sorted(OPEN)), _m.next_at <= now())
    count, oldest, at = reader().execute(select(func.count(), func.min(_m.next_at), now()).where(*due)).one()
    if not count:
        return Finding(Level.OK, "nothing is due")
    if holding.standing():
        return Finding(Level.OK, f"{count} due, and held")
    seconds = (at - oldest).total_seconds()
    level = Level.OK if seconds < LATE_SECONDS else Level.WARN if seconds < FAR_TOO_LATE_SECONDS else Level.FAIL
    return Finding(level, f"{count} due, the oldest for {seconds:.0f} s")


def hold() -> Finding:
    found = holding.standing()
    if found is None:
        return Finding(Level.OK, "messages are sent")
    return Finding(Level.WARN, f"nothing is sent since {shown(found.held_at)}: {shown(found.reason)}")


def unsent() -> Finding:
    given_up = sorted(RESENDABLE)
    query = select(_m.state, func.count()).where(_m.state.in_(given_up)).group_by(_m.state)
    counts: dict[str, int] = dict(reader().execute(query).all())
    detail = ", ".join(f"{counts.get(state, 0) or 'none'} {state}" for state in given_up)
    return Finding(Level.WARN if counts else Level.OK, detail)


def breakers() -> Finding:
    paused = [row.key for row in stats.breakers() if row.open]
    detail = f"{', '.join(paused)} paused after failures in a row" if paused else "nothing is paused"
    return Finding(Level.WARN if paused else Level.OK, detail)


def mail() -> Finding:
    transport = registry.transport(Channel.MAIL)
    if transport.name == "console":
        return _console("mail is printed", "set SMTP_HOST")
    try:
        transport.open()
    except Unreachable as error:
        return Finding(
            Level.FAIL, f"the server does not take mail ({error.error_class})", _mail_advice(error.error_class)
        )
    finally:
        transport.close()
    login = "signed in" if current_app.config["SMTP_USER"] else "no sign-in"
    return Finding(Level.OK, f"connected, encryption {current_app.config['SMTP_TLS']}, {login}; nothing was sent")


def _mail_advice(error_class: str) -> str:
    if error_class == "smtp_credentials" or error_class.startswith("smtp_53"):
        return "check SMTP_USER and SMTP_PASSWORD"
    return "check SMTP_TLS and the server's certificate" if error_class == "tls" else ""


def sms() -> Finding:
    provider = current_app.config["SMS_PROVIDER"]
    if provider == "console":
        return _console("text messages are printed", "set SMS_PROVIDER")
    spent, cap = allowances.today(), current_app.config["SMS_DAILY_CAP"]
    if spent and spent.refused:
        advice = "raise SMS_DAILY_CAP, or wait for the next day (UTC)"
        return Finding(Level.FAIL, f"{spent.refused} kept back today, SMS_DAILY_CAP is reached", advice)
    used = f"{spent.segments if spent else 0}{f' of {cap}' if cap else ''} segments today"
    return Finding(Level.OK, f"{provider} has credentials, {used}; nothing was sent")


def templates() -> Finding:
    wording = rendering.wording()
    found = mistakes(wording)
    if found:
        count = f"{len(found)} mistake{'s' if len(found) > 1 else ''}"
        return Finding(Level.WARN, f"{count}, the first in {found[0].file}; the built-in one is sent")
    return Finding(Level.OK, f"{len((wording.theirs or wording.ours).locales)} locales, each can be sent")


def _console(detail: str, advice: str) -> Finding:
    in_development = current_app.config["ENVIRONMENT"] == "development"
    return Finding(Level.OK if in_development else Level.WARN, f"{detail} to the console", advice)


def keys() -> Finding:
    found = {name: current_app.config[name] or "" for name in ("SECRET_KEY", "JWT_SECRET_KEY")}
    weak = [name for name, key in found.items() if len(key.encode()) < SHORTEST_KEY]
    if weak:
        return Finding(Level.FAIL, f"{' and '.join(weak)} can be guessed")
    if len(set(found.values())) < len(found):
        return Finding(Level.FAIL, f"{' and '.join(found)} are the same")
    return Finding(Level.OK, "long and different from one another")


def erasures() -> Finding:
    count = erasure_list.lacking(current_app.config["ERASURE_LIST"])
    detail = f"the list lacks {count or 'none'}"
    return Finding(Level.WARN if count else Level.OK, detail)


def disk() -> Finding:
    folder = current_app.config["DATA_DIR"]
    with tempfile.TemporaryFile(dir=folder) as file:
        file.write(b"x" * 4096)
        file.flush()
    free = shutil.disk_usage(folder).free / GIB
    return Finding(Level.WARN if free < LITTLE_SPACE_GIB else Level.OK, f"writable, {free:.1f} GiB free")
