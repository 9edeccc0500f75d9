"""The one transaction of a changing request, and the saved answer that makes it safe to repeat.

IETF draft-ietf-httpapi-idempotency-key-header: the key's row is written first, in the same transaction as the
change. A twin that runs at the same time waits for it, so one effect is all there ever is, and a crash leaves no
key behind.
"""

import hashlib
import hmac
import re
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import cache, wraps
from typing import Any, TypeVar
from uuid import UUID

import orjson
import psycopg
from flask import Response, current_app, g, request
from sqlalchemy import (
    Boolean,
    Connection,
    Integer,
    LargeBinary,
    String,
    bindparam,
    delete,
    literal,
    or_,
    select,
    tuple_,
    update,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.expression import FunctionElement

from delivery import clock
from delivery.database import UTC, Base, Json, db, now, transaction, upsert
from delivery.errors import Conflict, Invalid, Malformed, Unavailable
from delivery.web import caller, dump_json
from delivery.web.documented import takes_header

View = TypeVar("View", bound=Callable[..., Any])
_KEY = re.compile(r'("?)([A-Za-z0-9_.:\-]{1,255})\1')
_KEPT_HEADERS = {"Content-Type", "Location", "ETag", "Cache-Control", "Vary"}
KEPT_HOURS = 48


class IdempotencyKey(Base):
    """A caller's key, what was asked under it, and the answer; kept for KEPT_HOURS."""

    __tablename__ = "idempotency_keys"

    caller_id: Mapped[UUID] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(String(255), primary_key=True)
    fingerprint: Mapped[bytes] = mapped_column(LargeBinary(32))
    status: Mapped[int | None] = mapped_column(Integer)
    headers: Mapped[dict[str, Any] | None] = mapped_column(Json)
    body: Mapped[bytes | None] = mapped_column(LargeBinary)
    created_at: Mapped[datetime] = mapped_column(UTC, index=True)


_table = IdempotencyKey.__table__


class _holds(FunctionElement[bool]):  # noqa: N801  # reads as the SQL function that it is
    """Whether the first bytes hold the second."""

    type = Boolean()
    inherit_cache = True


@compiles(_holds, "postgresql")
def _postgresql_holds(element: _holds, compiler: SQLCompiler, **options: Any) -> str:
    whole, part = (compiler.process(one, **options) for one in element.clauses)
    return f"(position({part} IN {whole}) > 0)"


@compiles(_holds, "sqlite")
def _sqlite_holds(element: _holds, compiler: SQLCompiler, **options: Any) -> str:
    return f"(instr({compiler.process(element.clauses, **options)}) > 0)"


# Every keyed request runs this and _claim(). The headers are JSON already.
_SAVE = (
    update(_table)
    .where(_table.c.caller_id == bindparam("of_caller"), _table.c.key == bindparam("of_key"))
    .values(
        status=bindparam("status"),
        headers=bindparam("headers", type_=String().with_variant(postgresql.JSONB(), "postgresql")),
        body=bindparam("body"),
    )
)


@cache
def _claim(_backend: str) -> Any:
    """Build the statement that writes a key down where there is none yet; each database has its own words for it."""
    named: dict[str, Any] = {name: bindparam(name) for name in ("caller_id", "key", "fingerprint", "created_at")}
    return upsert(_table).values(named).on_conflict_do_nothing()


def _written(connection: Connection, statement: Any, values: dict[str, Any]) -> int:
    """Run one of these; returns how many rows it wrote.

    psycopg takes the values as they are: to have SQLAlchemy look at each costs as much again as the statement.
    """
    if connection.dialect.name == "sqlite":
        return connection.execute(statement, values).rowcount
    return connection.exec_driver_sql(_text(statement), values).rowcount


@cache
def _text(statement: Any) -> str:
    return str(statement.compile(dialect=postgresql.dialect()))  # type: ignore[no-untyped-call]


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
        key = _read_key()
        with transaction() as session:
            if key is None:
                return view(*args, **kwargs)
            connection = session.connection()
            return _replay_of(connection, key) or _keep(connection, key, view(*args, **kwargs), secret=secret)

    return heeds_key(wrapper)  # type: ignore[return-value]


def heeds_key(view: View) -> View:
    """Document that a view honours an Idempotency-Key; for one that calls what is `transactional`."""
    takes_header(
        view,
        "Idempotency-Key",
        f"When you are signed in: repeats within {KEPT_HOURS} hours get the first answer again.",
        pattern=r'^("[A-Za-z0-9_.:-]{1,255}"|[A-Za-z0-9_.:-]{1,255})$',
    )
    return view


def forget(caller_id: UUID) -> None:
    """Delete somebody's saved answers: they hold what was asked and shown."""
    db.session.execute(delete(IdempotencyKey).where(IdempotencyKey.caller_id == caller_id))


def forget_mentions(ids: Sequence[UUID]) -> int:
    """Empty the saved answers, whoever got them, in which one of these ids stands; returns how many there were.

    The keys stay, so that a repeat has no second effect: it is told that the answer is gone. Reads every saved answer:
    some 48 hours of them, and erasures are rare.
    """
    if not ids:
        return 0
    mentioned = or_(*(_holds(IdempotencyKey.body, literal(str(one).encode(), LargeBinary)) for one in ids))
    statement = update(IdempotencyKey).where(mentioned).values(headers=None, body=None)
    return len(db.session.execute(statement.returning(IdempotencyKey.key)).all())


def purge(limit: int) -> int:
    """Delete up to `limit` keys that are older than KEPT_HOURS; returns how many there were."""
    old = IdempotencyKey.created_at < now(plus=-KEPT_HOURS * 3600)
    doomed = select(IdempotencyKey.caller_id, IdempotencyKey.key).where(old).limit(limit).cte("doomed")
    mine = tuple_(IdempotencyKey.caller_id, IdempotencyKey.key).in_(select(doomed))
    return len(db.session.execute(delete(IdempotencyKey).where(mine).returning(IdempotencyKey.key)).all())


def _read_key() -> str | None:
    given = request.headers.get("Idempotency-Key")  # of two, both with a comma between
    if given is None or g.get("caller") is None:  # nobody's key would be everybody's
        return None
    match = _KEY.fullmatch(given)
    if not match:
        raise Malformed("Idempotency-Key must be one value of 1 to 255 characters of A-Z a-z 0-9 _ . : -")
    # A test key's are not those of its owner's live keys; no other has this form.
    return f"test/{hashlib.sha256(match[2].encode()).hexdigest()}" if caller().test else match[2]


def _fingerprint() -> bytes:
    """Hash what was asked: the same key with another request is a mistake of the client's.

    Keyed, because a body may hold a password, and a plain fast hash of it would be a gift.
    """
    query = "&".join(sorted(request.query_string.decode("latin-1").split("&")))
    head = f"{request.method}\n{request.path}\n{query}\n{request.mimetype}"
    secret = current_app.config["SECRET_KEY"].encode()
    body = g.get("body_digest") or request.get_data(cache=True)  # what was too large to hold says itself what it was
    return hmac.digest(secret, head.encode() + b"\n" + body, "sha256")


def _replay_of(connection: Connection, key: str) -> Response | None:
    """Claim the key, or return the answer that was given under it."""
    values = {"caller_id": caller().id, "key": key, "fingerprint": _fingerprint(), "created_at": clock.now()}
    try:
        if _written(connection, _claim(connection.dialect.name), values):
            return None
    except OperationalError as error:
        if not isinstance(error.orig, psycopg.errors.LockNotAvailable):
            raise
        raise Conflict(
            "A request with this Idempotency-Key is still running.", code="key_in_use", headers={"Retry-After": "1"}
        ) from None
    saved = connection.execute(
        select(IdempotencyKey.fingerprint, IdempotencyKey.status, IdempotencyKey.headers, IdempotencyKey.body).where(
            IdempotencyKey.caller_id == caller().id, IdempotencyKey.key == key
        )
    ).one_or_none()
    if saved is None:
        raise Unavailable("The key ran out at this moment; try again.")
    if saved.fingerprint != values["fingerprint"]:
        raise Invalid("This Idempotency-Key was used for another request.", code="key_reused")
    if saved.body is None:
        raise Conflict("This was done; its answer has been erased since.", code="answer_erased")
    return Response(saved.body, saved.status, headers={**saved.headers, "Idempotent-Replayed": "true"})


def _keep(connection: Connection, key: str, response: Response, *, secret: tuple[str, ...]) -> Response:
    body = response.get_data()
    if secret:
        body = dump_json({**orjson.loads(body), **dict.fromkeys(secret)})
    headers = dump_json({name: value for name, value in response.headers if name in _KEPT_HEADERS}).decode()
    answered = {"status": response.status_code, "headers": headers, "body": body}
    _written(connection, _SAVE, {"of_caller": caller().id, "of_key": key, **answered})
    return response
