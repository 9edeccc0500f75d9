"""`flask doctor`: looks at every part that Delivery needs and says what to do about those that are ill."""

import builtins
import logging
import os
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import click
from flask.cli import with_appcontext

from delivery.cli import examples, json_option, print_json
from delivery.imports import waking
from delivery.notifications.states import Channel
from delivery.ops import certificates, checks
from delivery.ops.checks import Finding, Level

logger = logging.getLogger(__name__)


class Check(NamedTuple):
    """A part, how to look at it, what to do when it is ill, and the parts without which it cannot be looked at."""

    what: str
    look: Callable[[], Finding]
    advice: str
    needs: tuple[str, ...] = ()


def _of_each_channel(what: str, look: Callable[[Channel], Finding], advice: str, needs: tuple[str, ...]) -> list[Check]:
    return [Check(f"{name} {what}", partial(look, name), advice.format(name), needs) for name in Channel]


_TABLES = ("database", "schema")
CHECKS = (
    Check("database", checks.database, "check DATABASE_URL, and that the server runs"),
    Check("schema", checks.schema, "run `flask db upgrade`", ("database",)),
    Check("writes", checks.writes, "see docs/backups.md", ("database",)),
    Check("clock", checks.clocks, "set the clocks, by NTP", ("database",)),
    Check("redis", checks.redis, "check REDIS_URL, and that the server runs; messages are late without it"),
    *_of_each_channel("worker", checks.workers, "start `flask worker {}`", ("redis",)),
    Check("imports worker", partial(checks.workers, waking.QUEUE), "start `flask worker imports`", ("redis",)),
    Check("cron", checks.cron, "start `flask cron`", ("redis",)),
    *_of_each_channel("queue", checks.outbox, "see `flask notifications list --channel {}`", _TABLES),
    Check("imports queue", checks.imports, "see `flask imports list --state running`, and more workers", _TABLES),
    Check("hold", checks.hold, "see docs/backups.md; then `flask notifications release`", _TABLES),
    Check("unsent", checks.unsent, "see `flask notifications resend --since 7d --dry-run`", _TABLES),
    Check("breakers", checks.breakers, "wait a minute; then check the provider, and its settings here", _TABLES),
    Check("certificate", certificates.certificate, "renew it, and have nginx take it: docs/operations.md"),
    Check("mail", checks.mail, "check SMTP_HOST, SMTP_PORT and SMTP_TLS"),
    Check("templates", checks.templates, "run `flask notifications preview --all`"),
    Check("sms", checks.sms, "check the settings that begin with SMS_", _TABLES),
    Check("erasures", checks.erasures, "wait a minute; then check ERASURE_LIST, and `flask cron`", _TABLES),
    Check("keys", checks.keys, "set random ones of 32 bytes or more, such as `openssl rand -base64 48` prints"),
    Check("disk", checks.disk, "make DATA_DIR writable for this user, and keep a GiB free"),
)


@click.command(epilog=examples("flask doctor", "flask doctor --json"))
@json_option
@with_appcontext
def doctor(*, as_json: bool) -> None:
    """Look at every part and say what to do: a line each, `ok`, `warn` or `FAIL`.

    Nothing is changed and no message is sent; no secret and no address is printed. Exit code 0 when nothing failed,
    1 otherwise.
    """
    found = examine(CHECKS, told=None if as_json else lambda *one: click.echo(line(*one)))
    failed = any(finding.level is Level.FAIL for _, finding in found)
    if as_json:
        print_json({"ok": not failed, "checks": [described(*one) for one in found]})
    if failed:
        click.get_current_context().exit(1)


def examine(
    which: Sequence[Check], *, told: Callable[[Check, Finding], None] | None = None
) -> list[tuple[Check, Finding]]:
    """Look at parts, after those that they need; each is told as soon as it was looked at."""
    found: dict[str, Finding] = {}
    for check in which:
        found[check.what] = _look(check, found)
        if told:
            told(check, found[check.what])
    return [(check, found[check.what]) for check in which]


def _look(check: Check, found: dict[str, Finding]) -> Finding:
    for need in check.needs:
        if found[need].level is Level.FAIL:
            return Finding(Level.WARN, f"unknown while {need} fails", f"see {need}")
    try:
        return check.look()
    except Exception as error:
        logger.debug("a check failed", exc_info=error)
        return Finding(Level.FAIL, f"does not work ({_named(error)})")


def _named(error: Exception) -> str:
    """Return the class of an error, or the system's words: a library's text may hold addresses and passwords."""
    name = type(error).__name__
    # A library's own errors may have numbers of its own.
    if isinstance(error, OSError) and error.errno and getattr(builtins, name, None) is type(error):
        return os.strerror(error.errno)
    return name


def _advice(check: Check, finding: Finding) -> str:
    return "" if finding.level is Level.OK else finding.advice or check.advice


def line(check: Check, finding: Finding) -> str:
    """Say for people how a part is."""
    advice = _advice(check, finding)
    return f"{finding.level:<4}  {check.what:<14}  {finding.detail}" + (f"  -> {advice}" if advice else "")


def described(check: Check, finding: Finding) -> dict[str, str]:
    """Say for programs how a part is."""
    level, advice = finding.level.lower(), _advice(check, finding)
    return {"what": check.what, "level": level, "detail": finding.detail, "advice": advice}
