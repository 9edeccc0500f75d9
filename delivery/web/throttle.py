"""The general limits: how many requests a minute a person may send, and an address from which nobody is signed in.

They are counted in Redis, for all processes together; in this process alone while Redis does not answer. What one may
try at an account, and how often somebody is sent something, is limited by delivery/limits.py.
"""

from collections import OrderedDict, deque
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address, ip_network
from math import ceil
from threading import Lock
from time import monotonic
from typing import Any, NamedTuple
from uuid import UUID

from flask import Flask, Response, current_app, g, request
from flask_limiter import Limiter
from limits import RateLimitItem, RateLimitItemPerMinute
from limits.storage import RedisStorage
from limits.strategies import RateLimiter
from redis.exceptions import RedisError

from delivery import clock, jobs
from delivery.errors import TooMany, rate_limit_headers
from delivery.tokens import keyed_hash

_KEY = "delivery.throttle"
_SCHEME = "delivery"
# Who is remembered while Redis is down; beyond it those are forgotten who have been quiet for the longest.
MOST_IN_MEMORY = 10_000
# By Redis's own clock, so that all hosts agree. ARGV: how many, within how many seconds, how far a test moved the time.
_HIT = """
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000 + ARGV[3]
local oldest = redis.call('LINDEX', KEYS[1], 0)
while oldest and oldest + ARGV[2] <= now do
  redis.call('LPOP', KEYS[1])
  oldest = redis.call('LINDEX', KEYS[1], 0)
end
local room = ARGV[1] - redis.call('LLEN', KEYS[1])
if room <= 0 then
  return {0, 0, math.ceil(oldest + ARGV[2] - now)}
end
redis.call('RPUSH', KEYS[1], string.format('%.6f', now))
redis.call('EXPIRE', KEYS[1], ARGV[2])
return {1, room - 1, math.ceil((oldest or now) + ARGV[2] - now)}
"""


class Hit(NamedTuple):
    """What came of counting a request: false when there was no room for it; there is more in so many seconds."""

    taken: bool
    remaining: int
    reset_seconds: int

    def __bool__(self) -> bool:
        return self.taken


class _Memory:
    """Moving windows of this process alone; limits' own never forgets a key, and begins threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._windows: OrderedDict[str, deque[float]] = OrderedDict()

    def hit(self, key: str, *, most: int, seconds: int) -> Hit:
        now = monotonic() + clock.offset.total_seconds()
        with self._lock:
            window = self._windows.setdefault(key, deque())
            self._windows.move_to_end(key)
            if len(self._windows) > MOST_IN_MEMORY:
                self._windows.popitem(last=False)
            while window and window[0] + seconds <= now:
                window.popleft()
            taken = len(window) < most
            if taken:
                window.append(now)
            return Hit(taken, most - len(window), ceil(window[0] + seconds - now))


class _Counts(RedisStorage):
    """A storage of limits that counts and tells in one round trip: its own takes two, and as much time again."""

    STORAGE_SCHEME = [_SCHEME]  # noqa: RUF012  as limits has it

    def __init__(self, uri: str, **options: Any) -> None:
        super().__init__(uri, **options)
        self._script = self.get_connection().register_script(_HIT.encode())
        self._memory = _Memory()

    def acquire_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> Hit:  # type: ignore[override]
        """Count one, and tell more than limits' bool does.

        When Redis failed a moment ago it is not asked: whoever waited for it once does not wait again.
        """
        key = self.prefixed_key(key)
        try:
            with jobs.brief_redis() as redis:
                taken, *rest = self._script([key], [limit, expiry, clock.offset.total_seconds()], client=redis)
        except RedisError:
            return self._memory.hit(key, most=limit, seconds=expiry)
        return Hit(bool(taken), *rest)


@dataclass(frozen=True, slots=True)
class _Limits:
    strategy: RateLimiter
    user: RateLimitItem
    address: RateLimitItem


def init_app(app: Flask) -> None:
    """Give the app its two limits and a strategy to count by, and put how much is left on every answer."""
    with app.app_context():
        pool = jobs.redis_for_web().connection_pool  # with its time-outs, and every form of REDIS_URL
    limiter = Limiter(
        lambda: client_network() or "",
        strategy="moving-window",
        storage_uri=f"{_SCHEME}://",
        storage_options={"connection_pool": pool},  # type: ignore[dict-item]  # its type knows of texts alone
    )
    # As if it were bound: it would look for limits of the view around every request, 100 us for none.
    app.extensions["limiter"] = {limiter}
    limiter.init_app(app)
    app.extensions[_KEY] = _Limits(
        limiter.limiter,
        RateLimitItemPerMinute(app.config["API_REQUESTS_PER_MINUTE"], namespace="user"),
        RateLimitItemPerMinute(app.config["ANONYMOUS_REQUESTS_PER_MINUTE"], namespace="address"),
    )
    app.after_request(_tell)


def count_user(user_id: UUID) -> None:
    """Count this request as a person's, whichever of their sessions and keys it came by.

    Raises:
        TooMany: they have sent too many.
    """
    limits = _limits()
    _count(limits.strategy, limits.user, str(user_id))


def count_address() -> None:
    """Count this request as one of an address from which nobody is signed in.

    Raises:
        TooMany: it has sent too many.
    """
    limits = _limits()
    _count(limits.strategy, limits.address, keyed_hash("throttle.address", client_network() or "").hex())


def client_network() -> str | None:
    """Return the network that this request comes from: an IPv4 address, or the /64 that one IPv6 customer has."""
    if not request or not request.remote_addr:
        return None
    try:
        address = ip_address(request.remote_addr)
    except ValueError:
        return request.remote_addr  # a unix socket's
    if isinstance(address, IPv6Address):
        return str(address.ipv4_mapped or ip_network((address, 64), strict=False))
    return str(address)


def _limits() -> _Limits:
    limits: _Limits = current_app.extensions[_KEY]
    return limits


def _count(strategy: RateLimiter, item: RateLimitItem, key: str) -> None:
    hit: Any = strategy.hit(item, key)
    if not hit:
        raise TooMany("Too many requests in a minute.", most=item.amount, retry_after_seconds=hit.reset_seconds)
    g.rate_limit = rate_limit_headers(item.amount, remaining=hit.remaining, reset_seconds=hit.reset_seconds)


def _tell(response: Response) -> Response:
    """Say how much is left, unless a narrower limit was reached and has said so."""
    headers = g.get("rate_limit")
    if headers and "RateLimit-Limit" not in response.headers:
        response.headers.update(headers)
    return response
