"""The database: base class, column types, both engines, its clock, and the only commit."""

import os
import select
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC as UTC_ZONE
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar, Literal
from uuid import UUID

import orjson
from flask import Flask, current_app, g
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import (
    JSON,
    Connection,
    DateTime,
    Engine,
    Float,
    MetaData,
    Table,
    bindparam,
    create_engine,
    delete,
    event,
)
from sqlalchemy import select as select_rows  # `select` is the module that polls sockets
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.dialects.postgresql import insert as _postgresql_insert
from sqlalchemy.dialects.sqlite import insert as _sqlite_insert
from sqlalchemy.engine import Dialect, make_url
from sqlalchemy.exc import InvalidatePoolError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import DeclarativeBase, Session
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.expression import FunctionElement
from sqlalchemy.types import TypeDecorator
from uuid_utils.compat import uuid7 as _uuid7

from delivery import clock, sqlite

_READ_ENGINE = "delivery.read_engine"
_BEFORE_COMMIT, _AFTER_COMMIT = "delivery.before_commit", "delivery.after_commit"


class Base(DeclarativeBase):
    if TYPE_CHECKING:
        __table__: ClassVar[Table]  # SQLAlchemy allows for joins, which we do not map

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


db = SQLAlchemy(model_class=Base, session_options={"expire_on_commit": False})


class _SqliteUTC(TypeDecorator[datetime]):
    """SQLite has no time zones: aware in and out, UTC text between."""

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return value and value.astimezone(UTC_ZONE).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return value and value.replace(tzinfo=UTC_ZONE)


UTC = DateTime(timezone=True).with_variant(_SqliteUTC(), "sqlite")
Json = JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")


def new_id() -> UUID:
    """Return a UUIDv7 (RFC 9562): ids sort by the time at which they were made."""
    return _uuid7()


def oldest_id(moment: datetime, *, minus_seconds: float = 0) -> UUID:
    """Return the least id of a moment, or of so many seconds before: a bound by time for whatever is ordered by id."""
    milliseconds = int(1000 * (moment.timestamp() - minus_seconds))
    return UUID(int=min(max(milliseconds, 0), 2**48 - 1) << 80)


_SECONDS = Float()  # one instance: SQLAlchemy describes each instance of a type anew for its cache of statements


class now(FunctionElement[datetime]):  # noqa: N801  # reads as the SQL function that it is
    """The time by the database's clock, `plus` seconds; several hosts then agree on leases."""

    type = UTC
    inherit_cache = True

    def __init__(self, *, plus: float = 0.0) -> None:
        seconds = bindparam(None, callable_=lambda: plus + clock.offset.total_seconds(), type_=_SECONDS)
        super().__init__(seconds)


@compiles(now, "postgresql")
def _postgresql_now(element: now, compiler: SQLCompiler, **options: Any) -> str:
    return f"(now() + make_interval(secs => {compiler.process(element.clauses, **options)}))"


@compiles(now, "sqlite")
def _sqlite_now(element: now, compiler: SQLCompiler, **options: Any) -> str:
    modifier = f"({compiler.process(element.clauses, **options)} || ' seconds')"
    return f"(strftime('%Y-%m-%d %H:%M:%f', 'now', {modifier}) || '000')"


_JSON: dict[str, Any] = {
    "json_serializer": lambda value: orjson.dumps(value).decode(),
    "json_deserializer": orjson.loads,
    "hide_parameters": True,  # errors are logged, people are not
}


def init_app(app: Flask) -> None:
    """Bind both engines to the app: one for transactions, one for reads that need none.

    Reads autocommit because psycopg forgets its prepared statements at every ROLLBACK, and a session
    that only reads ends with one.
    """
    url = make_url(app.config["DATABASE_URL"])
    options = {**_JSON, **(sqlite.OPTIONS if url.get_backend_name() == "sqlite" else _postgresql_options(app))}
    app.config["SQLALCHEMY_DATABASE_URI"] = url
    app.config["SQLALCHEMY_ENGINE_OPTIONS"] = options
    db.init_app(app)
    with app.app_context():
        writing = db.engine
    reading = create_engine(url, **options, isolation_level="AUTOCOMMIT", pool_reset_on_return=None)
    if writing.dialect.name == "sqlite":
        sqlite.prepare(writing, reading)
    else:
        if not app.config["DB_POOLER"]:
            event.listen(reading, "connect", _make_read_only)
        for engine in (writing, reading):
            event.listen(engine, "checkout", _refuse_a_dead_one)
    app.extensions[_READ_ENGINE] = reading
    app.teardown_appcontext(_close_reader)
    for engine in (writing, reading):
        _forget_in_children(engine)


def reading_engine(app: Flask, url: str) -> Engine | None:
    """Return an engine for a read replica, which nobody waits for long; None: there is no URL."""
    if not url:
        return None
    options = _postgresql_options(app) | {"pool_timeout": 1}
    options["connect_args"] |= {"connect_timeout": 2, "keepalives_idle": 5, "tcp_user_timeout": 3_000}
    engine = create_engine(url, **_JSON, **options, isolation_level="AUTOCOMMIT", pool_reset_on_return=None)
    event.listen(engine, "checkout", _refuse_a_dead_one)
    _forget_in_children(engine)
    return engine


def _postgresql_options(app: Flask) -> dict[str, Any]:
    """Return how to connect; to PgBouncer without what would stay with a connection that is somebody else's next."""
    milliseconds = 1000 * app.config["DB_STATEMENT_TIMEOUT_SECONDS"]
    # No workers in parallel: to start them takes longer than they save a request, and others wait for the processors.
    limits = f"-c statement_timeout={milliseconds} -c lock_timeout=2000 -c max_parallel_workers_per_gather=0"
    own = {"options": f"-c timezone=UTC {limits}"}
    return {
        "connect_args": {
            "connect_timeout": 3,
            "keepalives_idle": 30,
            "keepalives_interval": 5,
            "keepalives_count": 2,
            "tcp_user_timeout": 10_000,  # milliseconds until a server that answers nothing any more is given up
            **({"prepare_threshold": None} if app.config["DB_POOLER"] else own),
        },
        "pool_size": app.config["DB_POOL_SIZE"],
        "max_overflow": 0,
        "pool_timeout": app.config["DB_POOL_TIMEOUT_SECONDS"],
    }


def _make_read_only(connection: Any, _record: object) -> None:
    connection.execute("SET default_transaction_read_only = on")


def _refuse_a_dead_one(connection: Any, _record: object, _proxy: object) -> None:
    """Have the pool connect anew when the server has closed a connection, as every restart does.

    A socket that the server closed is readable, one that only waits is not. SQLAlchemy's own pre-ping asks the server.

    Raises:
        InvalidatePoolError: it is closed, and so are all others; or the server said something that nobody asked for.
    """
    if connection.closed or _is_readable(connection.fileno()):
        raise InvalidatePoolError


def _is_readable(descriptor: int) -> bool:
    poller = select.poll()
    poller.register(descriptor, select.POLLIN)
    return bool(poller.poll(0))


def _forget_in_children(engine: Engine) -> None:
    """Drop pooled connections in forked children: two processes on one socket garble each other's answers."""
    reference = weakref.ref(engine)

    def dispose() -> None:
        inherited = reference()
        if inherited is not None:
            inherited.dispose(close=False)

    os.register_at_fork(after_in_child=dispose)


def reader() -> Connection:
    """Return this context's read-only connection: autocommit, closed when the app context ends."""
    connection: Connection | None = g.get("reader")
    if connection is None:
        connection = g.reader = current_app.extensions[_READ_ENGINE].connect()
    return connection


def _close_reader(_error: BaseException | None) -> None:
    connection: Connection | None = g.pop("reader", None)
    if connection is not None:
        connection.close()


@contextmanager
def transaction() -> Iterator[Session]:
    """Open the one transaction of a request or job: commit at the end, roll back on any error.

    What was given to before_commit() runs last in it; what was given to after_commit(), when it has succeeded.
    """
    session = db.session()
    session.info[_BEFORE_COMMIT], session.info[_AFTER_COMMIT] = {}, {}
    try:
        yield session
        for write, items in session.info.pop(_BEFORE_COMMIT).items():
            write(items)
        session.commit()
    except BaseException:
        session.rollback()
        raise
    finally:
        callbacks = session.info.pop(_AFTER_COMMIT)
        session.close()
    for callback, argument in callbacks:
        callback(argument)


def in_transaction() -> bool:
    """Tell whether this context is inside transaction(), where all that is read must be true now."""
    return _BEFORE_COMMIT in db.session().info


def before_commit(write: Callable[[list[Any]], None], item: Any) -> None:
    """Call write(items) once, as the last work of the current transaction: for what everybody must take turns at.

    The lock that it takes is then held for no longer than the commit, and nobody who holds it waits for another.
    """
    db.session().info[_BEFORE_COMMIT].setdefault(write, []).append(item)


def after_commit(callback: Callable[[Any], None], argument: Any) -> None:
    """Call callback(argument) once after the current transaction has committed, however often it was asked for."""
    db.session().info[_AFTER_COMMIT][callback, argument] = None


def delete_some(key: Any, *which: Any, limit: int) -> int:
    """Delete up to `limit` rows of the table that `key` is the primary key of; returns how many there were."""
    doomed = select_rows(key).where(*which).limit(limit).cte("doomed")
    gone = delete(key.table).where(key.in_(select_rows(doomed))).returning(key)
    return len(db.session.execute(gone).all())


def engines(app: Flask) -> tuple[Engine, Engine]:
    """Return the app's engines: the one for transactions, and the one for reads that need none."""
    with app.app_context():
        return db.engine, app.extensions[_READ_ENGINE]


def backend() -> Literal["postgresql", "sqlite"]:
    """Return which database this app runs on."""
    return "sqlite" if db.engine.dialect.name == "sqlite" else "postgresql"


def upsert(table: Any) -> Any:
    """Return this database's INSERT, which knows ON CONFLICT; each dialect has one of its own."""
    return _sqlite_insert(table) if backend() == "sqlite" else _postgresql_insert(table)
