"""The delivery log: what was sent to your endpoints, and what they answered."""

from typing import Any

from flask import Response

from delivery.idempotency import transactional
from delivery.notifications.queries import attempts_of
from delivery.notifications.schemas import attempt_out
from delivery.web import Blueprint, answer, caller, found, signed_in
from delivery.web.paging import page_from, uuid_position
from delivery.webhooks.access import webhook_for
from delivery.webhooks.queries import sent
from delivery.webhooks.replaying import redeliver
from delivery.webhooks.schemas import (
    OneWebhookOut,
    Redelivered,
    WebhookArgs,
    WebhookPage,
    webhook_out,
)

blp = Blueprint(
    "webhook-deliveries",
    __name__,
    url_prefix="/api/webhook-deliveries",
    description="What was sent to your endpoints, and what they answered.",
)


@blp.route("")
@signed_in
@blp.errors(400, 401, 403, 422)
@blp.arguments(WebhookArgs, location="query")
@blp.response(200, WebhookPage)
def index(args: dict[str, Any]) -> Response:
    """List the webhooks to your endpoints, the newest first.

    Challenges and tests are among them. All filters hold together.
    """
    after = uuid_position(args["cursor"], sort="-id")
    rows = sent(caller().id, test=caller().test, after=after, limit=args["limit"] + 1, filters=args)
    return answer(page_from(rows, limit=args["limit"], shown=webhook_out))


@blp.route("/<uuid:webhook_id>")
@signed_in
@found(webhook_for)
@blp.errors(401, 403, 404)
@blp.response(200, OneWebhookOut)
def show(row: Any) -> Response:
    """Read one webhook: the bytes that are signed, and each attempt.

    The challenge's and a test's, too. Where the receiver answered badly, `error` has the beginning of its answer.
    """
    attempts = [attempt_out(attempt, staff=True) for attempt in attempts_of(row.id)]
    return answer({**webhook_out(row), "body": row.body, "attempts_made": attempts})


@blp.route("/<uuid:webhook_id>/redeliver", methods=("POST",))
@signed_in
@found(webhook_for)
@blp.errors(400, 401, 403, 404, 409)
@blp.response(202, Redelivered)
@transactional
def send_again(row: Any) -> Response:
    """Send one webhook again: under its own id, or under a new one where receivers have seen the old.

    `id` says which. One that is still being tried is a 409 `on_its_way`, one of a deleted endpoint `endpoint_gone`.
    """
    return answer({"id": redeliver(row)}, 202)
