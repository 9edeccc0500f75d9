"""What is refused although it is well formed: secrets, addresses and switches that are not safe in production."""

from __future__ import annotations

import re
from importlib.util import find_spec
from ipaddress import ip_address
from itertools import combinations
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

from sqlalchemy.engine import make_url

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from config import Config

SIGNING_KEYS = ("SECRET_KEY", "JWT_SECRET_KEY")
_SECRETS = (*SIGNING_KEYS, "SMTP_PASSWORD", "SMS_API_SECRET", "METRICS_TOKEN")
PLACEHOLDER = re.compile(r"(change|replace)[\W_]*me", re.IGNORECASE)
GUESSABLE = re.compile(
    r"(change|replace)[\W_]*me|secret|password|placeholder|insecure|postgres|qwerty|12345678|abcdefgh", re.IGNORECASE
)
# Printed in the handbooks of Flask and FastAPI, and copied from there ever since.
PUBLISHED = {
    "192b9bdd22ab9ed4d12e236c78afcb9a393ec15f71bbf5dc987d54727823bcbf",
    "09d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4caa6cf63b88e8d3e7",
}


def is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def is_guessable(secret: str) -> bool:
    # Twice the same, or more often, and perhaps a part of it once more.
    repeats = any(secret[length:] == secret[:-length] for length in range(1, len(secret) // 2 + 1))
    return repeats or secret in PUBLISHED or bool(GUESSABLE.search(secret))


def is_strong(key: str) -> bool:
    return len(key.encode()) >= LEAST_KEY and len(set(key)) >= LEAST_SIGNS and not is_guessable(key)


def is_own_password(text: str) -> bool:
    """Whether it will do where we choose it ourselves; a provider chooses its own, however short."""
    return len(text) >= LEAST_PASSWORD and not is_guessable(text)


def unsafe(config: Config, raw: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield each variable that is unsafe or incomplete, and what is expected of it."""
    if not config.in_development:
        yield from raw_problems(config, raw)
        yield from shared_secrets(config)
    for rule in COMPLETE_RULES if config.in_development else COMPLETE_RULES + PRODUCTION_RULES:
        if not rule.met(config):
            yield rule.name, rule.expected


def raw_problems(config: Config, raw: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for name in ("DEBUG", "FLASK_DEBUG"):
        if raw.get(name, "").lower() not in {"", "0", "false", "no"}:  # Flask's own reading of it
            yield name, "to be off in production"
    for name in vars(config):
        if PLACEHOLDER.search(raw.get(name, "")):
            yield name, "a value of your own instead of the placeholder"


def redis_password(config: Config) -> str:
    return unquote(urlsplit(config.REDIS_URL).password or "")


def sentinel_passwords(config: Config) -> list[str]:
    return parse_qs(urlsplit(config.REDIS_URL).query).get("sentinel_password", [])


def all_secrets(config: Config) -> Iterator[tuple[str, str]]:
    for name in _SECRETS:
        yield name, getattr(config, name)
    for key in config.WEBHOOK_ENCRYPTION_KEYS:
        yield "WEBHOOK_ENCRYPTION_KEYS", key
    for name in ("DATABASE_URL", "DATABASE_REPLICA_URL"):
        yield name, str(make_url(getattr(config, name) or "sqlite://").password or "")
    for password in (redis_password(config), *sentinel_passwords(config)):
        yield "REDIS_URL", password


def shared_secrets(config: Config) -> Iterator[tuple[str, str]]:
    for (first, one), (second, other) in combinations(all_secrets(config), 2):
        # A replica takes the password of its primary, and a Sentinel may take that of its servers.
        if one.strip() and one.strip() == other.strip() and first.split("_")[0] != second.split("_")[0]:
            yield second, f"a secret other than that of {first}"


def database_is_guarded(address: str) -> bool:
    url = make_url(address)
    asked = url.query.get("host", ())
    groups = [url.host or "", *([asked] if isinstance(asked, str) else asked)]
    hosts = [host for group in groups for host in group.split(",") if host]  # none: the socket of this machine
    if all(host.startswith("/") or is_loopback(host) for host in hosts):
        return True
    password = str(url.password or "")
    return is_own_password(password) and password not in {url.username, url.database}


def redis_is_guarded(config: Config) -> bool:
    url, password = urlsplit(config.REDIS_URL), redis_password(config)
    if not password:
        hosts = url.netloc.rpartition("@")[2].split(",")  # several: Sentinels
        return url.scheme == "unix" or all(is_loopback(urlsplit(f"//{host}").hostname or "") for host in hosts)
    passwords = [password, *sentinel_passwords(config)]
    return password != unquote(url.username or "") and all(map(is_own_password, passwords))


def is_encrypted(address: str) -> bool:
    url = urlsplit(address)
    return url.scheme == "https" or is_loopback(url.hostname or "")


class Rule(NamedTuple):
    name: str
    expected: str
    met: Callable[[Config], object]


LEAST_ARGON2_KIB = 19456
# As many bytes as SHA-256 gives. Of random hexadecimal digits, not one key in a million has fewer different signs.
LEAST_KEY, LEAST_SIGNS = 32, 8
LEAST_PASSWORD = 12
STRONG = "32 or more random bytes, nothing known or guessable"
STRONG_PASSWORD = "a password, nothing known or guessable"  # noqa: S105 - words about one
OWN_PASSWORD = "a password of 12 or more characters, nothing known or guessable"  # noqa: S105
ENCRYPTED = "an https:// address in production, or one of this machine"
COMPLETE_RULES = (
    Rule(
        "DATABASE_REPLICA_URL",
        "a replica of a postgresql:// DATABASE_URL",
        lambda c: not (c.DATABASE_REPLICA_URL and c.DATABASE_URL.startswith("sqlite")),
    ),
    Rule("SMTP_PASSWORD", "the password of SMTP_USER", lambda c: c.SMTP_PASSWORD or not c.SMTP_USER),
    Rule("SMS_API_KEY", "a value for this SMS_PROVIDER", lambda c: c.SMS_API_KEY or c.SMS_PROVIDER == "console"),
    Rule("SMS_API_SECRET", "a value for this SMS_PROVIDER", lambda c: c.SMS_API_SECRET or c.SMS_PROVIDER == "console"),
    Rule("SMS_FROM", "a value for this SMS_PROVIDER", lambda c: c.SMS_FROM or c.SMS_PROVIDER != "twilio"),
    Rule(
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "the packages of the extra `otel` to be installed",
        lambda c: not c.OTEL_EXPORTER_OTLP_ENDPOINT or find_spec("opentelemetry"),
    ),
    Rule(
        "SENTRY_DSN",
        "the package of the extra `sentry` to be installed",
        lambda c: not c.SENTRY_DSN or find_spec("sentry_sdk"),
    ),
)
PRODUCTION_RULES = (
    Rule("SECRET_KEY", STRONG, lambda c: is_strong(c.SECRET_KEY)),
    Rule("JWT_SECRET_KEY", STRONG, lambda c: is_strong(c.JWT_SECRET_KEY)),
    # Without it, whoever registers an address that is free can sign in, and whoever cannot knows that it was taken.
    Rule("REQUIRE_VERIFIED_EMAIL", "true in production", lambda c: c.REQUIRE_VERIFIED_EMAIL),
    Rule("PUBLIC_BASE_URL", "an https:// address in production", lambda c: c.PUBLIC_BASE_URL.startswith("https://")),
    Rule("TRUSTED_HOSTS", "this API's host names in production", lambda c: c.TRUSTED_HOSTS),
    Rule("DATABASE_URL", "a postgresql:// address in production", lambda c: not c.DATABASE_URL.startswith("sqlite")),
    Rule("DATABASE_URL", OWN_PASSWORD, lambda c: database_is_guarded(c.DATABASE_URL)),
    Rule(
        "DATABASE_REPLICA_URL",
        OWN_PASSWORD,
        lambda c: not c.DATABASE_REPLICA_URL or database_is_guarded(c.DATABASE_REPLICA_URL),
    ),
    Rule("REDIS_URL", OWN_PASSWORD, redis_is_guarded),
    Rule(
        "SMTP_PASSWORD",
        STRONG_PASSWORD,
        lambda c: not c.SMTP_PASSWORD or not (is_guessable(c.SMTP_PASSWORD) or c.SMTP_PASSWORD == c.SMTP_USER),
    ),
    Rule("SMS_API_SECRET", STRONG_PASSWORD, lambda c: not c.SMS_API_SECRET or not is_guessable(c.SMS_API_SECRET)),
    Rule("METRICS_TOKEN", OWN_PASSWORD, lambda c: not c.METRICS_TOKEN or is_own_password(c.METRICS_TOKEN)),
    Rule("TWILIO_BASE_URL", ENCRYPTED, lambda c: is_encrypted(c.TWILIO_BASE_URL)),
    Rule("SNS_ENDPOINT_URL", ENCRYPTED, lambda c: not c.SNS_ENDPOINT_URL or is_encrypted(c.SNS_ENDPOINT_URL)),
    Rule(
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        ENCRYPTED,
        lambda c: not c.OTEL_EXPORTER_OTLP_ENDPOINT or is_encrypted(c.OTEL_EXPORTER_OTLP_ENDPOINT),
    ),
    Rule("SENTRY_DSN", ENCRYPTED, lambda c: not c.SENTRY_DSN or is_encrypted(c.SENTRY_DSN)),
    Rule("WEBHOOK_ALLOW_LOOPBACK", "false in production", lambda c: not c.WEBHOOK_ALLOW_LOOPBACK),
    Rule("WEBHOOK_ENCRYPTION_KEYS", STRONG, lambda c: all(map(is_strong, c.WEBHOOK_ENCRYPTION_KEYS))),
    Rule(
        "SMTP_TLS", "`starttls` or `tls`", lambda c: c.SMTP_TLS != "none" or not c.SMTP_HOST or is_loopback(c.SMTP_HOST)
    ),
    # OWASP Password Storage Cheat Sheet: Argon2id with 19 MiB and two passes, at the least.
    Rule("ARGON2_MEMORY_KIB", "19456 or more in production", lambda c: c.ARGON2_MEMORY_KIB >= LEAST_ARGON2_KIB),
    Rule("ARGON2_TIME_COST", "2 or more in production", lambda c: c.ARGON2_TIME_COST > 1),
    Rule("MAIL_FROM", "the sender's address", lambda c: not c.SMTP_HOST or "@localhost" not in c.MAIL_FROM),
)
