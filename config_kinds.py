"""What a setting's value may be: in words for people, and as a parser."""

import re
from collections.abc import Callable
from ipaddress import ip_network
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

MISFITS = (ValueError, LookupError, ArgumentError)


class Kind(NamedTuple):
    """What a value must be: in words, and as a parser that raises one of MISFITS."""

    expected: str
    parse: Callable[[str], Any]


def check_form(text: str, pattern: str) -> str:
    if not re.fullmatch(pattern, text, re.ASCII | re.IGNORECASE):
        raise ValueError
    return text


def printable(text: str) -> str:
    # A line break would end up in a mail header or a log line.
    if not text.isprintable():
        raise ValueError
    return text


def matching(expected: str, pattern: str) -> Kind:
    return Kind(expected, lambda text: text and check_form(text, pattern))


def listed(expected: str, pattern: str) -> Kind:
    def parse(text: str) -> list[str]:
        return [check_form(part.strip(), pattern).lower() for part in text.split(",") if part.strip()]

    return Kind(f"{expected}, separated by commas", parse)


def number(low: int, high: int) -> Kind:
    def parse(text: str) -> int:
        value = int(check_form(text, "[0-9]{1,12}"))  # int() alone takes "1_000", too
        if not low <= value <= high:
            raise ValueError
        return value

    return Kind(f"a whole number from {low} to {high}", parse)


def choice(*names: str) -> Kind:
    by_folded = {name.casefold(): name for name in names}
    return Kind(" or ".join(f"`{name}`" for name in names), lambda text: by_folded[text.casefold()])


def parse_database_url(text: str) -> str:
    text = re.sub(r"^postgres(ql)?://", "postgresql+psycopg://", text)
    url = make_url(text)
    known = url.drivername == "sqlite" or (url.drivername == "postgresql+psycopg" and url.database)
    if not known or (url.port or 0) not in range(65536):
        raise ValueError
    return text


def parse_replica_url(text: str) -> str:
    url = text and parse_database_url(text)
    if url.startswith("sqlite"):
        raise ValueError
    return url


def parse_quiet_hours(text: str) -> tuple[str, ...]:
    begin, _, end = check_form(text, r"([01][0-9]|2[0-3]):[0-5][0-9]-([01][0-9]|2[0-3]):[0-5][0-9]|").partition("-")
    if text and begin == end:
        raise ValueError
    return (begin, end) if text else ()


def parse_time_zone(text: str) -> str:
    try:
        return ZoneInfo(text).key
    except OSError:  # a folder of the database, such as Europe
        raise ValueError from None


def parse_redis_url(text: str) -> str:
    if "+sentinel:" in text.partition("/")[0]:
        return check_form(text, _SENTINELS)
    url = urlsplit(text)
    known = url.path if url.scheme == "unix" else url.scheme in {"redis", "rediss"} and url.hostname
    if not known or url.port == 0:
        raise ValueError
    return text


_HOST = r"[a-z0-9]([a-z0-9._-]*[a-z0-9])?"
_SENTINEL = rf"({_HOST}|\[[0-9a-f:.]+\])(:[1-9][0-9]{{0,4}})?"
_SENTINELS = rf"rediss?\+sentinel://([^\s@/]*@)?{_SENTINEL}(,{_SENTINEL})*/[a-z0-9._-]+(/[0-9]{{1,3}})?(\?sentinel_password=[^\s&]+)?"
_ORIGIN = rf"https?://{_HOST}(:[1-9][0-9]{{0,4}})?"

TEXT = Kind("text", str)
ASCII_TEXT = matching("ASCII text", "[ -~]+")  # smtplib encodes no other
FLAG = Kind("`true` or `false`", lambda text: {"true": True, "false": False}[text.casefold()])
FOLDER = Kind("a folder", lambda text: Path(text).expanduser().absolute())
OWN_FOLDER = Kind("a folder", lambda text: FOLDER.parse(text) if text else None)
FILE = Kind("a file", FOLDER.parse)
HOSTNAME = matching("a host name or an IP address", rf"{_HOST}|[0-9a-f.]*:[0-9a-f:.]*")
WEB_URL = matching("an http(s):// address, no slash at its end", rf"{_ORIGIN}(/[^\s?#]*[^\s?#/])?")
COMMIT = matching("a commit's id in hexadecimal digits", "[0-9a-f]{7,64}")
DSN = matching(
    "a DSN such as https://key@sentry.example.com/1", rf"https?://[0-9a-f]+@{_HOST}(:[1-9][0-9]{{0,4}})?/[^\s?#]*[0-9]"
)
DATABASE = Kind("a sqlite:// or postgresql:// address", parse_database_url)
REPLICA = Kind("a postgresql:// address", parse_replica_url)
REDIS = Kind(
    "a redis://, rediss:// or unix:// address, or redis+sentinel://host:port,host:port/master", parse_redis_url
)
MAILBOX = matching("`name@host` or `Name <name@host>`", r"[^@<>]*<[^\s@<>,]+@[^\s@<>,]+>|[^\s@<>,]+@[^\s@<>,]+")
LOCALE = matching("a language tag such as en or pt-BR", r"[a-z]{2,3}(-[a-z0-9]{2,8}){0,2}")
ZONE = Kind("an IANA time zone such as Europe/Berlin", parse_time_zone)
QUIET = Kind("hours such as 21:00-08:00", parse_quiet_hours)
REGION = matching("a region such as us-east-1", r"[a-z0-9-]+")
# Werkzeug compares Host headers with these to the letter, cuts them at a colon (so IPv6 never fits), fails on "a..b".
HOSTS = listed("host names without port", r"\.?[a-z0-9-]{1,63}(\.[a-z0-9-]{1,63})*")
PORTS = Kind(
    "ports, separated by commas", lambda text: [number(1, 65535).parse(part.strip()) for part in text.split(",")]
)
NETWORKS = Kind(
    "networks such as 198.51.100.0/24, separated by commas",
    lambda text: [str(ip_network(part.strip())) for part in text.split(",") if part.strip()],
)
KEYS = Kind("texts, separated by commas", lambda text: [part.strip() for part in text.split(",") if part.strip()])
# flask-cors takes an entry with a star or a bracket for a regular expression; none gets that far.
ORIGINS = listed("origins such as https://app.example.com", _ORIGIN)
