"""Every setting once: name, type, default and meaning, read from the environment and `.env`."""

import errno
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple, Self
from urllib.parse import quote

from sqlalchemy.engine import URL

from config_checks import is_loopback, unsafe
from config_kinds import (
    ASCII_TEXT,
    COMMIT,
    DATABASE,
    DSN,
    FILE,
    FLAG,
    FOLDER,
    HOSTNAME,
    HOSTS,
    KEYS,
    LOCALE,
    MAILBOX,
    MISFITS,
    NETWORKS,
    ORIGINS,
    OWN_FOLDER,
    PORTS,
    QUIET,
    REDIS,
    REGION,
    REPLICA,
    TEXT,
    WEB_URL,
    ZONE,
    Kind,
    choice,
    number,
    printable,
)
from config_sources import ConfigError, read_environment, saved_keys, with_files

__all__ = ["SETTINGS", "Config", "ConfigError"]


class Derived(NamedTuple):
    """A default that follows from the settings above it: in words, and as a function."""

    words: str
    follow: Callable[["Config"], str]


class Setting(NamedTuple):
    """A setting; a plain default is written as in the environment."""

    kind: Kind
    default: str | Derived
    meaning: str


env: Any = Setting  # Any, so that an attribute has the type written beside its name


def in_development(here: str, elsewhere: str) -> Derived:
    words = f"In development `{here}`" + (f", else `{elsewhere}`" if elsewhere else "")
    return Derived(words, lambda config: here if config.in_development else elsewhere)


OWN_SQLITE = Derived(
    "`delivery.sqlite3` in `DATA_DIR`",
    lambda config: URL.create("sqlite", database=f"{config.DATA_DIR}/delivery.sqlite3").render_as_string(),
)
OWN_VALKEY = Derived(
    "`valkey.sock` in `DATA_DIR`", lambda config: f"unix://{quote(str(config.DATA_DIR))}/valkey.sock?db=0"
)
OWN_LIST = Derived("`erasures.jsonl` in `DATA_DIR`", lambda config: f"{config.DATA_DIR}/erasures.jsonl")
OWN_SECRET = Derived("In development random, kept in `DATA_DIR/secrets.env`", lambda _config: "")
# Nobody can visit 0.0.0.0, and no IPv6 address is a trusted host.
VISITED = {"0.0.0.0": "127.0.0.1", "::": "localhost", "::1": "localhost"}  # noqa: S104
OWN_ADDRESS = Derived(
    "In development `http://HOST:PORT`",
    lambda config: f"http://{VISITED.get(config.HOST, config.HOST)}:{config.PORT}" if config.in_development else "",
)
OWN_TLS = Derived(
    "In development `none` for a loopback `SMTP_HOST`, else `starttls`",
    lambda config: "none" if config.in_development and is_loopback(config.SMTP_HOST) else "starttls",
)


class Config:
    """The settings as attributes, for `app.config.from_object(Config())`."""

    # The API
    ENVIRONMENT: str = env(choice("development", "production"), "development", "Development is safe on loopback only.")
    DATA_DIR: Path = env(FOLDER, "./instance", "Holds the SQLite database and the embedded Valkey.")
    HOST: str = env(HOSTNAME, "127.0.0.1", "Address the API listens on.")
    PORT: int = env(number(1, 65535), "8000", "Port the API listens on.")
    PUBLIC_BASE_URL: str = env(WEB_URL, OWN_ADDRESS, "The API's address in links; required in production: https.")
    TRUSTED_HOSTS: list[str] = env(
        HOSTS, in_development("localhost,127.0.0.1", ""), "Host headers to answer; required in production."
    )
    PROXY_HOPS: int = env(number(0, 10), "0", "Proxies in front whose X-Forwarded headers are believed.")
    CORS_ORIGINS: list[str] = env(ORIGINS, "", "Web origins whose pages may call the API.")
    MAX_CONTENT_LENGTH: int = env(number(1024, 1073741824), "1048576", "Largest request body, in bytes.")

    API_REQUESTS_PER_MINUTE: int = env(number(1, 1000000), "600", "Requests of one person.")
    ANONYMOUS_REQUESTS_PER_MINUTE: int = env(
        number(1, 1000000), "120", "Requests of one address, of those that nobody signed in for."
    )

    # Stores
    DATABASE_URL: str = env(DATABASE, OWN_SQLITE, "The database; required in production: PostgreSQL.")
    DATABASE_REPLICA_URL: str = env(REPLICA, "", "A read replica of it, for lists that may be a little late.")
    DB_REPLICA_MAX_LAG_SECONDS: int = env(
        number(2, 300), "5", "How late the replica may be; beyond it lists are read from the primary."
    )
    DB_POOL_SIZE: int = env(number(1, 1000), "8", "PostgreSQL connections that one process keeps.")
    DB_POOL_TIMEOUT_SECONDS: int = env(number(1, 300), "5", "Longest wait for a free connection.")
    DB_STATEMENT_TIMEOUT_SECONDS: int = env(number(1, 3600), "15", "Longest run of one statement on PostgreSQL.")
    MIGRATION_LOCK_TIMEOUT_SECONDS: int = env(
        number(1, 60),
        "2",
        "Longest wait of a migration for a lock, which all others then wait behind; tried five times.",
    )
    MIGRATION_STATEMENT_TIMEOUT_SECONDS: int = env(
        number(1, 86400), "600", "Longest run of one statement of a migration."
    )
    DB_POOLER: bool = env(FLAG, "false", "Whether `DATABASE_URL` is PgBouncer in transaction mode.")
    REDIS_URL: str = env(REDIS, OWN_VALKEY, "Redis or Valkey, which wakes the workers.")

    ERASURE_LIST: Path = env(
        FILE, OWN_LIST, "List of erasures, for after a restore; keep it off the database's disk and out of its backup."
    )

    # Secrets and people
    SECRET_KEY: str = env(TEXT, OWN_SECRET, "Signs links and cursors; required in production: 32 bytes or more.")
    JWT_SECRET_KEY: str = env(TEXT, OWN_SECRET, "Signs access tokens; required in production: 32 bytes or more.")
    ACCESS_TOKEN_EXPIRE_MINUTES: int = env(number(1, 1440), "30", "Life of an access token.")
    REFRESH_TOKEN_IDLE_DAYS: int = env(number(1, 365), "14", "Days without a refresh after which a session ends.")
    SESSION_MAX_DAYS: int = env(number(1, 3650), "90", "Days after which everybody must sign in again.")
    REQUIRE_VERIFIED_EMAIL: bool = env(
        FLAG, in_development("false", "true"), "Whether login waits for a verified e-mail address."
    )
    REGISTRATION: str = env(
        choice("open", "invitation", "closed"), "open", "Who may make an account; whom an admin invites always may."
    )
    PASSWORD_MIN_LENGTH: int = env(number(8, 128), "12", "Shortest password, in characters.")
    ARGON2_MEMORY_KIB: int = env(number(128, 4194304), "19456", "Memory that one password hash takes.")
    ARGON2_TIME_COST: int = env(number(1, 100), "2", "Passes that one password hash takes.")
    ARGON2_PARALLELISM: int = env(number(1, 16), "1", "Lanes of one password hash.")

    # Mail
    COMPANY_NAME: str = env(TEXT, "Delivery", "The name that messages are signed with.")
    DEFAULT_LOCALE: str = env(LOCALE, "en", "Language of messages to readers whose own has no templates.")
    TIME_ZONE: str = env(
        ZONE, "UTC", "The company's time zone, of `QUIET_HOURS` and for readers whose own is not known."
    )
    TEMPLATES_FOLDER: Path | None = env(OWN_FOLDER, "", "Templates of your own, which win over the built-in ones.")
    MAIL_FROM: str = env(MAILBOX, "Delivery <no-reply@localhost>", "Sender; required in production with SMTP_HOST.")
    SMTP_HOST: str = env(HOSTNAME, "", "Mail server; when empty, mail is printed.")
    SMTP_PORT: int = env(number(1, 65535), "587", "Port of the mail server.")
    SMTP_USER: str = env(ASCII_TEXT, "", "User name at the mail server; when empty, no login.")
    SMTP_PASSWORD: str = env(ASCII_TEXT, "", "Password at the mail server.")
    SMTP_TLS: str = env(
        choice("starttls", "tls", "none"), OWN_TLS, "Encryption; in production `none` to loopback only."
    )
    # No more than 15 s: connecting and sending must both fit into what is left of a lease (notifications/jobs.py).
    SMTP_TIMEOUT_SECONDS: int = env(number(1, 15), "15", "Longest wait for the mail server.")

    # SMS
    SMS_PROVIDER: str = env(choice("console", "twilio", "sns"), "console", "Who sends SMS; `console` prints them.")
    SMS_API_KEY: str = env(TEXT, "", "Twilio's account SID, or the AWS access key id.")
    SMS_API_SECRET: str = env(TEXT, "", "Twilio's auth token, or the AWS secret access key.")
    SMS_FROM: str = env(TEXT, "", "Sender's number or name; required by Twilio.")
    SMS_PER_NUMBER_PER_DAY: int = env(number(1, 1000), "10", "Text messages to one telephone number.")
    QUIET_HOURS: tuple[str, ...] = env(
        QUIET, "", "When recipients get no text messages, unless they chose hours of their own; when empty, always."
    )
    SMS_MAX_SEGMENTS: int = env(number(1, 10), "3", "Longest text message, in segments; a longer one is not sent.")
    SMS_DAILY_CAP: int = env(number(0, 1000000000), "0", "Segments of all text messages of a day (UTC); 0: no cap.")
    SMS_FALLBACK_TO_MAIL: bool = env(FLAG, "true", "Whether a mail says what a text message could not.")
    SMS_TIMEOUT_SECONDS: int = env(number(1, 15), "15", "Longest wait for the provider.")
    TWILIO_BASE_URL: str = env(WEB_URL, "https://api.twilio.com", "Twilio, or a service that speaks its protocol.")
    SNS_ENDPOINT_URL: str = env(WEB_URL, "", "A service that speaks SNS; when empty, AWS.")
    AWS_REGION: str = env(REGION, "us-east-1", "Region of SNS.")

    # Looking after it
    NOTIFICATIONS_KEEP_DAYS: int = env(number(1, 3650), "30", "Days that messages are kept once they are settled.")
    NOTIFICATIONS_KEEP_FAILED_DAYS: int = env(
        number(1, 3650), "90", "The same for those that failed, are dead or are uncertain."
    )
    METRICS_TOKEN: str = env(
        TEXT, "", "Opens `/metrics` as a bearer token; when empty, it is open to this machine alone."
    )
    GIT_REVISION: str = env(COMMIT, "", "The commit that this was built from, where machines and people ask what runs.")
    OTEL_EXPORTER_OTLP_ENDPOINT: str = env(
        WEB_URL, "", "Collector of OpenTelemetry traces, by OTLP over HTTP; when empty, there are none."
    )
    SENTRY_DSN: str = env(DSN, "", "Sentry project that is told of errors, without people's data; when empty, none.")

    # Imports
    IMPORT_MAX_BYTES: int = env(number(1024, 1073741824), "33554432", "Largest file of an import, in bytes.")
    IMPORT_KEEP_DAYS: int = env(number(1, 3650), "30", "Days that refused rows are kept once their import has ended.")

    # Webhooks
    WEBHOOK_ALLOW_LOOPBACK: bool = env(
        FLAG, "false", "Whether webhooks may go to this machine, by http and any port, for trials; not in production."
    )
    WEBHOOK_PORTS: list[int] = env(PORTS, "443", "Ports that webhooks may go to.")
    WEBHOOK_REFUSED_NETWORKS: list[str] = env(
        NETWORKS, "", "Public networks that webhooks must not reach: this deployment's own."
    )
    WEBHOOK_ENCRYPTION_KEYS: list[str] = env(
        KEYS, "", "Encrypt endpoints' secrets, the newest key first; when empty, a key derived from `SECRET_KEY`."
    )

    # Processes
    WEB_WORKERS: int = env(number(1, 256), "2", "Web processes.")
    WEB_THREADS: int = env(number(1, 256), "8", "Threads of one web process.")
    ALIVE_DIR: Path | None = env(
        OWN_FOLDER, "", "Where workers and cron leave signs of life, for `scripts/alive.py`; when empty, nowhere."
    )
    LOG_LEVEL: str = env(choice("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"), "INFO", "Least level to log.")
    LOG_FORMAT: str = env(choice("json", "text"), in_development("text", "json"), "JSON objects, or lines for people.")

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        raw = with_files(read_environment() if environ is None else environ, SETTINGS)
        problems: dict[str, str] = {}
        for name, expected in chain(self._read(raw), unsafe(self, raw)):
            problems.setdefault(name, expected)
        if problems:
            raise ConfigError(problems)
        if self.in_development and not (self.SECRET_KEY and self.JWT_SECRET_KEY):
            self._fill_keys()

    @classmethod
    def load_or_exit(cls) -> Self:
        """Read the settings, or print a line for each wrong one and exit with EX_CONFIG; EX_IOERR: the disk is full."""
        try:
            config = cls()
        except ConfigError as error:
            sys.stderr.write(f"{error}\n")
            sys.exit(error.code)
        if config.in_development and not is_loopback(config.HOST):
            sys.stderr.write("HOST: the development environment is safe on loopback only\n")
        return config

    @property
    def in_development(self) -> bool:
        return self.ENVIRONMENT == "development"

    def _read(self, raw: Mapping[str, str]) -> Iterator[tuple[str, str]]:
        """Set every attribute; a wrong value leaves its default to the checks and to the defaults below."""
        for name, (kind, default, _) in SETTINGS.items():
            usual = default if isinstance(default, str) else default.follow(self)
            given = raw.get(name) or usual
            setattr(self, name, kind.parse(usual))
            try:
                setattr(self, name, kind.parse(printable(given)))
            except MISFITS:
                yield name, kind.expected

    def _fill_keys(self) -> None:
        try:
            keys = saved_keys(self.DATA_DIR)
        except OSError as error:
            full = error.errno in {errno.ENOSPC, errno.EDQUOT}
            problem = {"DATA_DIR": f"a folder that this user can write to ({error.strerror})"}
            raise ConfigError(problem, code=os.EX_IOERR if full else os.EX_CONFIG) from None
        for name, key in keys.items():
            setattr(self, name, getattr(self, name) or key)


SETTINGS = {name: it for name, it in vars(Config).items() if isinstance(it, Setting)}
