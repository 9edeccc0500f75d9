"""The one transaction of a changing request, and the saved answer that makes it safe to repeat.

IETF draft-ietf-httpapi-idempotency-key-header. What was answered under a key is read with who asks; when there is
nothing yet, key and answer are written last, in the same transaction as the change. Of twins that run at the same time
one can write the key: the others undo what they did, and give its answer. So one effect is all there ever is, and a
crash leaves no key behind.
"""

import hashlib
import hmac
import re
from collections.abc import Callable
from functools import cache, wraps
from typing import Any, TypeVar

import orjson
import psycopg
from flask import Response, current_app, g, request
from sqlalchemy import (
    Connection,
    Row,
    Select,
    String,
    and_,
    bindparam,
    select,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import DBAPIError

from delivery import clock
from delivery.database import reader, transaction, upsert
from delivery.errors import AppError, Conflict, Invalid, Malformed, Unavailable
from delivery.idempotency.kept import KEPT_HOURS, IdempotencyKey
from delivery.web import caller, dump_json
from delivery.web.documented import takes_header

View = TypeVar("View", bound=Callable[..., Any])
_KEY = re.compile(r'("?)([A-Za-z0-9_.:\-]{1,255})\1')
_KEPT_HEADERS = {"Content-Type", "Location", "ETag", "Cache-Control", "Vary"}


_table = IdempotencyKey.__table__


_VALUES: dict[str, Any] = {
    **{name: bindparam(name) for name in ("caller_id", "key", "fingerprint", "status", "body", "created_at")},
    "headers": bindparam("headers", type_=String().with_variant(postgresql.JSONB(), "postgresql")),  # JSON already
}


def read_caller(statement: Select[Any], values: dict[str, Any], *, test: bool) -> Row[Any] | None:
    """Run the statement that reads who asks, by its `id`; and, when they sent a key, whether it was answered before.

    `test`: they ask by a test key, whose Idempotency-Keys are not those of its owner's live ones.
    """
    key = _key_sent(test=test)
    if key is None:
        return reader().execute(statement, values).one_or_none()
    row = reader().execute(_with_key(statement), {**values, "idempotency_key": key}).one_or_none()
    g.idempotency_key, g.answered = key, row is not None and row.answered
    return row


@cache
def _with_key(statement: Select[Any]) -> Select[Any]:
    mine = and_(_table.c.caller_id == statement.selected_columns.id, _table.c.key == bindparam("idempotency_key"))
    return statement.outerjoin(_table, mine).add_columns(_table.c.key.is_not(None).label("answered"))


@cache
def _insert(_backend: str) -> Any:
    """Build the statement that writes an answer down where there is none; each database has its own words for it."""
    return upsert(_table).values(_VALUES).on_conflict_do_nothing()


@cache
def _insert_text() -> str:
    return str(_insert("postgresql").compile(dialect=postgresql.dialect()))  # type: ignore[no-untyped-call]


def transactional(view: View) -> View:
    """Run a view inside the one transaction of its request, and honour its Idempotency-Key.

    Comes last, next to the view, so that who, what and whether were settled before: a replay answers nobody
    who may not ask. Only success is kept; an error rolls back, key and all, and may be tried again.
    """
    return _transactional(view, secret=())


def transactional_with_secret(*members: str) -> Callable[[View], View]:
    """Do as `transactional` does, for an answer with secrets: it is kept without these members.

    They are null in a replay. Whoever lost the first answer must ask for a new secret: one that can be read again is
    one that somebody else can read.
    """
    return lambda view: _transactional(view, secret=members)


def _transactional(view: View, *, secret: tuple[str, ...]) -> View:
    @wraps(view)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        key = _key()
        if key is None:
            with transaction():
                return view(*args, **kwargs)
        if replay := _earlier(key):
            return replay
        try:
            with transaction() as session:
                response: Response = view(*args, **kwargs)
                _keep(session.connection(), key, response, secret=secret)
                return response
        except (AppError, DBAPIError) as error:  # the reason may be that a twin was quicker
            if replay := _replay(key):
                return replay
            if isinstance(getattr(error, "orig", None), psycopg.errors.LockNotAvailable):
                raise _in_use() from None
            raise

    return takes_key(wrapper)  # type: ignore[return-value]


def heeds_key(view: View) -> View:
    """Answer a repeat at once: for a view that counts what is tried before it calls what is `transactional`."""

    @wraps(view)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return _earlier(_key()) or view(*args, **kwargs)

    return takes_key(wrapper)  # type: ignore[return-value]


def takes_key(view: View) -> View:
    """Document that a view honours an Idempotency-Key: for one that itself reads what is asked under it."""
    takes_header(
        view,
        "Idempotency-Key",
        f"When you are signed in: repeats within {KEPT_HOURS} hours get the first answer again.",
        pattern=r'^("[A-Za-z0-9_.:-]{1,255}"|[A-Za-z0-9_.:-]{1,255})$',
        check=_key,
    )
    return view


def _key() -> str | None:
    if g.get("caller") is None or "Idempotency-Key" not in request.headers:  # nobody's key would be everybody's
        return None
    key: str | None = g.get("idempotency_key")
    if key is None:
        raise Malformed("Idempotency-Key must be one value of 1 to 255 characters of A-Z a-z 0-9 _ . : -")
    return key


def _key_sent(*, test: bool) -> str | None:
    match = _KEY.fullmatch(request.headers.get("Idempotency-Key", ""))  # of two, both with a comma between
    if match is None:
        return None
    # No key that is sent has this form.
    return f"test/{hashlib.sha256(match[2].encode()).hexdigest()}" if test else match[2]


def _fingerprint() -> bytes:
    """Hash what was asked: the same key with another request is a mistake of the client's.

    Keyed, because a body may hold a password, and a plain fast hash of it would be a gift.
    """
    query = "&".join(sorted(request.query_string.decode("latin-1").split("&")))
    head = f"{request.method}\n{request.path}\n{query}\n{request.mimetype}"
    body = g.get("body_digest") or request.get_data(cache=True)  # what was too large to hold says itself what it was
    made = _hmac(current_app.config["SECRET_KEY"].encode()).copy()
    made.update(head.encode() + b"\n" + body)
    return made.digest()


@cache
def _hmac(secret: bytes) -> hmac.HMAC:
    """Make the beginning of every fingerprint once: to look the algorithm up takes longer than to hash a body."""
    return hmac.new(secret, digestmod="sha256")


def _in_use() -> Conflict:
    """Build the answer to whoever has waited for a lock in vain: a twin holds it, or somebody who changes the same."""
    detail = "A request with this Idempotency-Key, or another one that changes the same, is still running."
    return Conflict(detail, code="key_in_use", headers={"Retry-After": "1"})


def _earlier(key: str | None) -> Response | None:
    """Return the answer that this request's key had when it was read who asks."""
    return _replay(key) if key is not None and g.answered else None


def _replay(key: str) -> Response | None:
    """Return the answer that was given under a key; None when there is none."""
    mine = (IdempotencyKey.caller_id == caller().id, IdempotencyKey.key == key)
    answer = (IdempotencyKey.fingerprint, IdempotencyKey.status, IdempotencyKey.headers, IdempotencyKey.body)
    saved = reader().execute(select(*answer).where(*mine)).one_or_none()
    if saved is None:
        return None
    if saved.fingerprint != _fingerprint():
        raise Invalid("This Idempotency-Key was used for another request.", code="key_reused")
    if saved.body is None:
        raise Conflict("This was done; its answer has been erased since.", code="answer_erased")
    return Response(saved.body, saved.status, headers={**saved.headers, "Idempotent-Replayed": "true"})


def _keep(connection: Connection, key: str, response: Response, *, secret: tuple[str, ...]) -> None:
    """Write an answer down under its key.

    Raises:
        Unavailable: another answer was, meanwhile; who asks for it finds it, if it has not run out since.
    """
    body = response.get_data()
    if secret:
        body = dump_json({**orjson.loads(body), **dict.fromkeys(secret)})
    values = {
        "caller_id": caller().id,
        "key": key,
        "fingerprint": _fingerprint(),
        "status": response.status_code,
        "headers": dump_json({name: value for name, value in response.headers if name in _KEPT_HEADERS}).decode(),
        "body": body,
        "created_at": clock.now(),
    }
    if not _written(connection, values):
        raise Unavailable("The key ran out at this moment; try again.")


def _written(connection: Connection, values: dict[str, Any]) -> int:
    """Write a row where there is none; returns how many that were.

    psycopg takes the values as they are: to have SQLAlchemy look at each costs as much again as the statement.
    """
    if connection.dialect.name == "sqlite":
        return connection.execute(_insert("sqlite"), values).rowcount
    return connection.exec_driver_sql(_insert_text(), values).rowcount
