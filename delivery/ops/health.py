"""/healthz and /readyz: is the process alive, and can it serve."""

from contextlib import suppress
from http import HTTPStatus
from threading import Thread

from flask import Flask, Response, current_app
from marshmallow import fields, validate
from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError

from delivery import jobs
from delivery.ops.schema import database_status, is_read_only
from delivery.web import Blueprint, Schema, Word, answer, public

PATIENCE_SECONDS = 2.0
_LOOK = "delivery.look"
# What one can do without for a while.
_PARTS = ("redis", "writes")
blp = Blueprint("health", __name__, description="For load balancers and people on call.")


class HealthOut(Schema):
    status = Word(20, required=True, metadata={"example": "ok"})


class ReadinessOut(Schema):
    status = fields.String(required=True, validate=validate.OneOf(["ready", "migrating", "database_down"]))
    degraded = fields.List(
        fields.String(validate=validate.OneOf(_PARTS)),
        required=True,
        validate=validate.Length(max=len(_PARTS)),
        metadata={"description": "Parts that are down, but not needed to serve.", "example": []},
    )


@blp.route("/healthz")
@public
@blp.response(200, HealthOut)
def healthz() -> Response:
    """Tell that the process answers.

    It asks neither the database nor Redis; /readyz does.
    """
    return answer({"status": "ok"})


@blp.route("/readyz")
@public
@blp.response(200, ReadinessOut)
@blp.alt_response(503, schema=ReadinessOut)
def readyz() -> Response:
    """Tell whether this process can serve: the database is there, and its schema is not behind the code.

    Without Redis it can: messages then wait for the next sweep. While a restore runs it can read.
    """
    status, takes_writes = _status_in_time()
    answers = (_redis_answers(), takes_writes)
    degraded = [part for part, well in zip(_PARTS, answers, strict=True) if not well]
    code = HTTPStatus.OK if status == "ready" else HTTPStatus.SERVICE_UNAVAILABLE
    headers = {} if status == "ready" else {"Retry-After": "5"}
    return answer({"status": status, "degraded": degraded}, code, headers=headers)


class _Look(Thread):
    """One look at the database, in a thread: the driver has no time-out of its own for an answer that never comes."""

    def __init__(self, app: Flask) -> None:
        super().__init__(daemon=True)
        self.status, self.takes_writes = "database_down", True
        self._app = app

    def run(self) -> None:
        with self._app.app_context():
            self.status = database_status()
            with suppress(SQLAlchemyError):  # then the next look tells
                self.takes_writes = self.status == "database_down" or not is_read_only()


def _status_in_time() -> tuple[str, bool]:
    """Return how the database is, and whether it takes writes.

    While one look hangs there is no second, which would take one connection more.
    """
    app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]  # noqa: SLF001  # Flask's documented way
    look: _Look | None = app.extensions.get(_LOOK)
    if look is None or not look.is_alive():
        look = app.extensions[_LOOK] = _Look(app)
        look.start()
    look.join(PATIENCE_SECONDS)
    return ("database_down", True) if look.is_alive() else (look.status, look.takes_writes)


def _redis_answers() -> bool:
    try:
        with jobs.brief_redis() as redis:
            redis.ping()
    except RedisError:
        return False
    return True
