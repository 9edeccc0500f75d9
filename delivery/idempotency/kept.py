"""What was answered under each key: kept for some hours, and forgotten with whom it is about."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Boolean, Integer, LargeBinary, String, delete, literal, or_, select, tuple_, update
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.expression import FunctionElement

from delivery.database import UTC, Base, Json, db, now

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
