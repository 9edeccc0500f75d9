"""Redis behind Sentinels: which server is the master is asked anew at every connection."""

from typing import Any, NamedTuple, Self
from urllib.parse import parse_qs, unquote, urlsplit

from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from redis.sentinel import Sentinel

_PORT = 26379
# Each is asked once and briefly: the next knows as well, and whoever may wait longer asks them all again.
_ASKING: dict[str, Any] = {"socket_connect_timeout": 0.2, "socket_timeout": 0.5}


def client_of(url: str, **options: Any) -> Redis:
    """Return a client of the server that a REDIS_URL names, or of whichever is the master at the time."""
    if not is_behind_sentinels(url):
        return Redis.from_url(url, **options)
    it = Address.of(url)
    asking = {**it.asking(), "retry": Retry(NoBackoff(), 0)}
    sentinels: Any = Sentinel(it.sentinels, sentinel_kwargs=asking)  # type: ignore[no-untyped-call]
    client: Redis = sentinels.master_for(it.master, **it.connection(), **options)
    return client


def is_behind_sentinels(url: str) -> bool:
    """Tell whether a REDIS_URL names Sentinels."""
    return urlsplit(url).scheme in {"redis+sentinel", "rediss+sentinel"}


class Address(NamedTuple):
    """`redis+sentinel://user:password@host:port,host:port/master/db?sentinel_password=...`, taken apart."""

    sentinels: list[tuple[str, int]]
    master: str
    db: int
    username: str | None
    password: str | None
    sentinel_password: str | None
    ssl: bool

    @classmethod
    def of(cls, url: str) -> Self:
        parts = urlsplit(url)
        master, _, db = parts.path.strip("/").partition("/")
        [sentinel_password] = parse_qs(parts.query).get("sentinel_password", [None])
        return cls(
            [_host_and_port(one) for one in parts.netloc.rpartition("@")[2].split(",")],
            unquote(master),
            int(db or 0),
            unquote(parts.username or "") or None,
            unquote(parts.password or "") or None,
            sentinel_password,
            parts.scheme.startswith("rediss"),
        )

    def connection(self) -> dict[str, Any]:
        return {"db": self.db, "username": self.username, "password": self.password, "ssl": self.ssl}

    def asking(self) -> dict[str, Any]:
        return {**_ASKING, "password": self.sentinel_password, "ssl": self.ssl}

    def for_rq(self) -> dict[str, Any]:
        """Return what `rq worker -c` reads as SENTINEL."""
        return {
            "INSTANCES": self.sentinels,
            "MASTER_NAME": self.master,
            "CONNECTION_KWARGS": self.connection(),
            "SENTINEL_KWARGS": self.asking(),
        }


def _host_and_port(text: str) -> tuple[str, int]:
    parts = urlsplit(f"//{text}")  # which knows the brackets of IPv6
    return parts.hostname or "", parts.port or _PORT
