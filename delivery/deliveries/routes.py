"""/api/deliveries: creating deliveries, moving them on, and looking at them."""

from functools import partial
from typing import Any

from flask import Response

from delivery.database import transaction
from delivery.deliveries import creating, exporting, listing, moving, ordering, preferences, queries, services
from delivery.deliveries.access import Permit, delivery_for, parts_of, permit_for, seen_by
from delivery.deliveries.ordering import ORDERS
from delivery.deliveries.preferences import PreferencesIn, PreferencesOut
from delivery.deliveries.schemas import (
    DeliveryArgs,
    DeliveryIn,
    DeliveryOut,
    DeliveryPage,
    DeliveryPatch,
    EventPage,
    ExportArgs,
    MoveIn,
    delivery_out,
    event_out,
)
from delivery.deliveries.states import Part
from delivery.idempotency import transactional
from delivery.notifications import queries as messages
from delivery.notifications.breakers import held_up
from delivery.notifications.schemas import DeliveryMessageArgs, MessagePage, message_page
from delivery.users.access import user_for
from delivery.web import (
    Blueprint,
    Expected,
    answer,
    caller,
    created,
    found,
    if_match,
    if_match_optional,
    no_content,
    signed_in,
    single,
)
from delivery.web.paging import PageArgs, page_from, read_cursor, uuid_position

blp = Blueprint("deliveries", __name__, url_prefix="/api", description="Deliveries, from order to doorstep.")


def _shown(row: Any) -> dict[str, Any]:
    return delivery_out(row, allowed=moving.allowed_for(caller(), row))


@blp.route("/deliveries", methods=("POST",))
@signed_in
@blp.errors(400, 401, 403, 409, 413, 415, 422)
@blp.arguments(DeliveryIn)
@blp.response(201, DeliveryOut)
@transactional
def create(body: dict[str, Any]) -> Response:
    """Create a delivery, `pending` at once or, with `draft`, later.

    It gets a tracking number, and whoever is to receive it is told. A `reference` that you have used is a 409 with the
    id of the delivery that has it; an `Idempotency-Key` makes the request safe to repeat.
    """
    row = creating.create(caller(), **body)
    return created(_shown(row), location=f"/api/deliveries/{row.id}")


@blp.route("/deliveries")
@signed_in
@blp.errors(400, 401, 422)
@blp.arguments(DeliveryArgs, location="query")
@blp.response(200, DeliveryPage)
def index(args: dict[str, Any]) -> Response:
    """List the deliveries that you may see: your own, those assigned to you, or all, by your role.

    All filters hold together; of `status` and `tag` any of those given is enough. Pages follow `next_cursor`.
    """
    return _page(args)


@blp.route("/users/<uuid:user_id>/deliveries")
@signed_in
@found(user_for)
@blp.errors(400, 401, 404, 422)
@blp.arguments(DeliveryArgs, location="query")
@blp.response(200, DeliveryPage)
def of_user(user: Any, args: dict[str, Any]) -> Response:
    """List the deliveries that a user owns: your own, or anybody's as an admin.

    The filters, the orders and the pages are those of `GET /api/deliveries`.
    """
    return _page({**args, "owner_id": user.id})


def _page(args: dict[str, Any]) -> Response:
    sort, limit = args["sort"], args["limit"]
    cursor = args["cursor"]
    after, whole = ordering.position(read_cursor(cursor, sort=sort)) if cursor else (None, False)
    rows = listing.deliveries(seen_by(caller()), sort=sort, after=after, limit=limit + 1, filters=args, whole=whole)
    position = partial(ORDERS[sort].position_of, q=args["q"])
    return answer(page_from(rows, limit=limit, shown=_shown, sort=sort, position=position))


@blp.route("/deliveries/export.csv")
@signed_in
@blp.errors(401, 422, 503)
@blp.arguments(ExportArgs, location="query")
@blp.file_response("text/csv")
def export(args: dict[str, Any]) -> Response:
    """Download a whole list as CSV, however long it is. A connection that breaks off is a file that is not whole.

    The filters and orders are those of `GET /api/deliveries`, without pages; UTF-8, RFC 4180. A cell that begins
    like a formula has an apostrophe in front. Too many exports at once are a 503.
    """
    found = exporting.batches(seen_by(caller()), sort=args["sort"], filters=args)
    return exporting.download(found)


@blp.route("/deliveries/<uuid:delivery_id>")
@signed_in
@found(delivery_for)
@blp.errors(401, 404)
@blp.response(200, DeliveryOut)
@blp.not_modified
def show(row: Any) -> Response:
    """Read a delivery.

    Its ETag is for `If-Match`; with `If-None-Match` it is a 304 while nothing has changed. One that is not yours to
    see is a 404.
    """
    return single(_shown(row))


@blp.route("/deliveries/<uuid:delivery_id>", methods=("PATCH",))
@signed_in
@found(permit_for)
@blp.errors(400, 401, 403, 404, 409, 412, 413, 415, 422, 428)
@blp.arguments(DeliveryPatch)
@blp.response(200, DeliveryOut)
@if_match
@transactional
def edit(permit: Permit, body: dict[str, Any], *, expected: Expected) -> Response:
    """Change what a delivery says; nested objects are replaced whole. Its state changes only by a transition.

    A field that is left out stays as it is. `recipient`, `destination`, `pickup`, `package`, `window`, `requirements`,
    `notifications` and `tags` are replaced whole: send all that is to stay, for what such an object lacks is removed or
    goes back to its default. null clears a field that may be null. A delivery that has come to its end is a 409
    `finished`. Each change raises the version by one and stands in the history, one to the same value, too; an empty
    body changes nothing.
    """
    return single(_shown(services.edit(permit, expected=expected, **body)))


@blp.route("/deliveries/<uuid:delivery_id>", methods=("DELETE",))
@signed_in
@found(permit_for)
@blp.errors(400, 401, 403, 404, 409, 412, 428)
@blp.response(204)
@if_match
@transaction()
def delete(permit: Permit, *, expected: Expected) -> Response:
    """Delete a delivery that has not been picked up.

    Once it has been, it is a 409. A deleted one is found no more.
    """
    services.delete(permit, expected=expected)
    return no_content()


@blp.route("/deliveries/<uuid:delivery_id>/transitions", methods=("POST",))
@signed_in
@found(permit_for)
@blp.errors(400, 401, 403, 404, 409, 412, 413, 415, 422)
@blp.arguments(MoveIn)
@blp.response(200, DeliveryOut)
@if_match_optional
@transactional
def move(permit: Permit, body: dict[str, Any], *, expected: Expected) -> Response:
    """Move a delivery to another state; `allowed_transitions` says where it may go.

    A move that its state or your part in it does not allow is a 409 `illegal_move` with `from`, `to` and `allowed`, or
    a 403. `If-Match` is heeded when it is sent.
    """
    return single(_shown(moving.move(permit, expected=expected, **body)))


@blp.route("/deliveries/<uuid:delivery_id>/events")
@signed_in
@found(delivery_for)
@blp.errors(400, 401, 404, 422)
@blp.arguments(PageArgs, location="query")
@blp.response(200, EventPage)
def timeline(row: Any, args: dict[str, Any]) -> Response:
    """Read a delivery's history, the oldest event first.

    One event a version; nothing in it is ever changed.
    """
    sort, limit = f"events-{row.id}", args["limit"]
    after = int(read_cursor(args["cursor"], sort=sort)[0]) if args["cursor"] else 0
    rows = queries.timeline(row.id, after=after, limit=limit + 1)
    shown = partial(event_out, staff=bool(parts_of(caller(), row) & {Part.COURIER, Part.DISPATCHER}))
    return answer(page_from(rows, limit=limit, shown=shown, sort=sort, position=lambda event: (event.seq,)))


@blp.route("/deliveries/<uuid:delivery_id>/notifications")
@signed_in
@found(delivery_for)
@blp.errors(400, 401, 403, 404, 422)
@blp.arguments(DeliveryMessageArgs, location="query")
@blp.response(200, MessagePage)
def notifications(row: Any, args: dict[str, Any]) -> Response:
    """List the messages about a delivery, the newest first.

    All filters hold together. What was not sent is among them, with the reason; text and address are not shown.
    """
    limit, before = args.pop("limit"), uuid_position(args.pop("cursor"), sort="-id")
    rows = messages.page(messages.Filter(**args, delivery_id=row.id), before=before, limit=limit + 1)
    return answer(message_page(rows, limit=limit, held_up=held_up(rows)))


wanted = Blueprint(
    "preferences",
    __name__,
    url_prefix="/api/users/<uuid:user_id>/notification-preferences",
    description="What people want to be told of their deliveries, in which language, and when not.",
)


@wanted.route("")
@signed_in
@found(user_for)
@wanted.errors(401, 404)
@wanted.response(200, PreferencesOut)
def show_preferences(user: Any) -> Response:
    """Read what a user is told of deliveries: every event and channel, on or off.

    Cells that nobody has set show their default.
    """
    return answer(preferences.of(user.id))


@wanted.route("", methods=("PUT",))
@signed_in
@found(user_for)
@wanted.errors(400, 401, 404, 413, 415, 422)
@wanted.arguments(PreferencesIn)
@wanted.response(200, PreferencesOut)
@transaction()
def replace_preferences(user: Any, body: dict[str, Any]) -> Response:
    """Set what a user is told of deliveries, whole: what is not in it goes back to its default.

    It holds for messages that are not sent yet, too. A delivery's own `notifications` go before it.
    """
    return answer(preferences.replace(user.id, **body))
