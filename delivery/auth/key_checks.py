"""From an API key to its caller: one indexed read; and, now and then, a note that the key is in use."""

import logging
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

from flask import Flask, Response, after_this_request, current_app
from sqlalchemy import or_, select, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.sql.expression import bindparam

from delivery import clock
from delivery.auth import key_secrets
from delivery.auth.models import ApiKey
from delivery.auth.queries import LIVE_KEY
from delivery.database import now, transaction
from delivery.idempotency import read_caller
from delivery.users.models import User
from delivery.web import Caller

logger = logging.getLogger(__name__)

NOTED_EVERY = timedelta(minutes=5)
_OWNER: Any = (
    select(ApiKey.id.label("key_id"), ApiKey.scopes, ApiKey.test, ApiKey.last_used_at, User.id, User.role)
    .join(User, User.id == ApiKey.user_id)
    .where(ApiKey.hash == bindparam("hash"), LIVE_KEY, User.active)
)


def caller_by_key(secret: str) -> Caller | None:
    """Return whom a key lets act; None when it does not work (any more), and nobody can tell why."""
    digest = key_secrets.digest_of(secret)
    row = read_caller(_OWNER, {"hash": digest}, test=secret.startswith(key_secrets.TEST)) if digest else None
    if row is None:
        return None
    if row.last_used_at is None or row.last_used_at < clock.now() - NOTED_EVERY:
        after_this_request(partial(_note_when_sent, row.key_id))
    scopes = frozenset(row.scopes)
    return Caller(id=row.id, role=row.role, kind="api_key", key_id=row.key_id, scopes=scopes, test=row.test)


def _note_when_sent(key_id: UUID, response: Response) -> Response:
    """Have the note written when the answer is out: whoever only reads waits for no writer."""
    response.call_on_close(partial(_note, current_app._get_current_object(), key_id))  # type: ignore[attr-defined]  # noqa: SLF001  # Flask's own way
    return response


def _note(app: Flask, key_id: UUID) -> None:
    """Write when the key was used, unless another request just did; if it cannot be written, the next one tries."""
    stale = or_(ApiKey.last_used_at.is_(None), ApiKey.last_used_at < now(plus=-NOTED_EVERY.total_seconds()))
    statement = update(ApiKey.__table__).where(ApiKey.id == key_id, stale).values(last_used_at=now())
    try:
        with app.app_context(), transaction() as session:
            session.execute(statement)
    except SQLAlchemyError as error:
        failed = {"key_id": str(key_id), "error_class": type(error).__name__}
        logger.warning("the use of an API key was not noted", extra=failed)
