"""/api/notifications: what was sent and what was not, and why; and sending it once more."""

from typing import Any

from flask import Response

from delivery.idempotency import transactional
from delivery.notifications import queries, services
from delivery.notifications.access import Part, message_for, parts_of, visible_to
from delivery.notifications.breakers import held_up
from delivery.notifications.queries import Filter
from delivery.notifications.schemas import (
    MessageArgs,
    MessageOut,
    MessagePage,
    MessageWithAttemptsOut,
    message_out,
    message_page,
    story_out,
)
from delivery.web import Blueprint, answer, caller, found, signed_in
from delivery.web.blueprint import LOCATED
from delivery.web.paging import uuid_position

blp = Blueprint(
    "notifications", __name__, url_prefix="/api/notifications", description="Messages: sent, waiting, and why not."
)


@blp.route("")
@signed_in
@blp.errors(400, 401, 403, 422)
@blp.arguments(MessageArgs, location="query")
@blp.response(200, MessagePage)
def index(args: dict[str, Any]) -> Response:
    """List messages, the newest first: those about your deliveries and account, or all, by your role.

    All filters hold together; of `state` any of those given is enough. What was not sent is among them, and why.
    """
    limit, before = args.pop("limit"), uuid_position(args.pop("cursor"), sort="-id")
    rows = queries.page(Filter(**args), visible=visible_to(caller()), before=before, limit=limit + 1)
    return answer(message_page(rows, limit=limit, held_up=held_up(rows)))


@blp.route("/<uuid:message_id>")
@signed_in
@found(message_for)
@blp.errors(401, 403, 404)
@blp.response(200, MessageWithAttemptsOut)
def show(row: Any) -> Response:
    """Read a message, with every attempt to send it.

    `reason` says in a sentence why it was not sent, or not yet. What a provider answered is for staff.
    """
    staff = Part.STAFF in parts_of(caller(), row)
    return answer(story_out(row, queries.attempts_of(row.id), staff=staff, held_up=held_up([row])))


@blp.route("/<uuid:message_id>/resend", methods=("POST",))
@signed_in
@found(message_for)
@blp.errors(400, 401, 403, 404, 409, 422)
@blp.response(202, MessageOut, headers=LOCATED)
@transactional
def resend(row: Any) -> Response:
    """Send a message once more: under its own id when it did not arrive, else as a new message.

    The answer is the message that goes out.
    """
    goes_out = services.resend_one(row.id)
    return answer(message_out(goes_out), 202, headers={"Location": f"/api/notifications/{goes_out.id}"})
