"""/api/sandbox: for test keys, which make test deliveries; moving these along, and reading what would be sent."""

from typing import Any

from flask import Response

from delivery.deliveries.access import Permit, permit_for
from delivery.deliveries.moving import allowed_for
from delivery.deliveries.schemas import delivery_out
from delivery.idempotency import transactional
from delivery.notifications.access import visible_to
from delivery.sandbox import queries, services
from delivery.sandbox.schemas import (
    AdvanceIn,
    AdvanceOut,
    CapturedArgs,
    CapturedPage,
    ScenarioList,
    captured_out,
    scenarios_out,
)
from delivery.sandbox.states import MOST_STEPS
from delivery.web import Blueprint, answer, caller, etag_of, found, signed_in
from delivery.web.blueprint import VERSIONED
from delivery.web.paging import page_from, uuid_position

blp = Blueprint(
    "sandbox",
    __name__,
    url_prefix="/api/sandbox",
    description="For test keys: move test deliveries, and read what would be sent.",
)


@blp.route("/scenarios")
@signed_in
@blp.errors(401, 403)
@blp.response(200, ScenarioList)
def scenarios() -> Response:
    """List the scenarios that a test delivery can follow, with the states that each goes through.

    Name one of them to `POST /api/sandbox/deliveries/{delivery_id}/advance`.
    """
    return answer(scenarios_out())


@blp.route("/deliveries/<uuid:delivery_id>/advance", methods=("POST",))
@signed_in
@found(permit_for)
@blp.errors(400, 401, 403, 404, 409, 413, 415, 422)
@blp.arguments(AdvanceIn)
@blp.response(200, AdvanceOut, headers=VERSIONED)
@transactional
def advance(permit: Permit, body: dict[str, Any]) -> Response:
    """Make the next moves of a scenario: one, `steps` of them, or all `to_end`; they are ordinary transitions.

    Messages are captured and webhooks are sent, as of real moves. Without `scenario` it goes on with the one
    before, at first `happy`; at its end it is a 409 `scenario_over`.
    """
    steps = MOST_STEPS if body["to_end"] else body.get("steps", 1)
    done = services.advance(permit, scenario=body["scenario"], steps=steps)
    shown = delivery_out(done.row, allowed=allowed_for(caller(), done.row))
    told = {"scenario": done.scenario, "made": done.made, "next": done.next, "delivery": shown}
    return answer(told, headers={"ETag": etag_of(done.row.version)})


@blp.route("/messages")
@signed_in
@blp.errors(400, 401, 403, 422)
@blp.arguments(CapturedArgs, location="query")
@blp.response(200, CapturedPage)
def messages(args: dict[str, Any]) -> Response:
    """List the messages about your test deliveries, the newest first, worded as they would be sent now; none was.

    Where `would_be_sent` is false, `reason` says why a live one would not go out.
    """
    limit, before = args.pop("limit"), uuid_position(args.pop("cursor"), sort="-id")
    rows = queries.captured(visible_to(caller()), before=before, limit=limit + 1, filters=args)
    words = queries.in_words(rows[:limit])
    return answer(page_from(rows, limit=limit, shown=lambda row: captured_out(row, words[row.id])))
