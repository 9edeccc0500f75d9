"""Endpoints: their owners say where their programs are told of which events."""

from typing import Any

from flask import Response

from delivery import limits
from delivery.database import transaction
from delivery.idempotency import heeds_key, transactional, transactional_with_secret
from delivery.users.schemas import Accepted
from delivery.web import (
    Blueprint,
    Expected,
    accepted,
    answer,
    caller,
    created,
    etag_of,
    found,
    if_match,
    if_match_optional,
    no_content,
    signed_in,
    single,
)
from delivery.web.paging import PageArgs, page_from, uuid_position
from delivery.webhooks import services
from delivery.webhooks.access import endpoint_for
from delivery.webhooks.queries import endpoints
from delivery.webhooks.replaying import replay
from delivery.webhooks.routes.positions import read_position, write_position
from delivery.webhooks.schemas import (
    EndpointIn,
    EndpointOut,
    EndpointPage,
    EndpointPatch,
    NewEndpointOut,
    ReplayIn,
    ReplayOut,
    endpoint_out,
)

blp = Blueprint(
    "webhook-endpoints",
    __name__,
    url_prefix="/api/webhook-endpoints",
    description="Where your programs are told of events.",
)


@blp.route("")
@signed_in
@blp.errors(400, 401, 403, 422)
@blp.arguments(PageArgs, location="query")
@blp.response(200, EndpointPage)
def index(args: dict[str, Any]) -> Response:
    """List your endpoints, the newest first.

    A test key sees those that test keys made, all else the others.
    """
    after = uuid_position(args["cursor"], sort="-id")
    rows = endpoints(caller().id, test=caller().test, after=after, limit=args["limit"] + 1)
    return answer(page_from(rows, limit=args["limit"], shown=endpoint_out))


@blp.route("", methods=("POST",))
@signed_in
@blp.errors(400, 401, 403, 409, 413, 415, 422)
@blp.arguments(EndpointIn)
@blp.response(201, NewEndpointOut)
@transactional_with_secret("secret")
def create(body: dict[str, Any]) -> Response:
    """Make an endpoint. Its `secret` is shown this once; events are sent when it has answered a challenge.

    Keep the secret at once: it verifies signatures, and is shown no more. The challenge is an event
    `endpoint.verify`: answer it with 200 and its `challenge`. Ten endpoints are the most.
    """
    made, secret = services.create(caller(), **body)
    response = created({**endpoint_out(made), "secret": secret}, location=f"/api/webhook-endpoints/{made.id}")
    response.headers["Cache-Control"] = "no-store"
    return response


@blp.route("/<uuid:endpoint_id>")
@signed_in
@found(endpoint_for)
@blp.errors(401, 403, 404)
@blp.response(200, EndpointOut)
def show(endpoint: Any) -> Response:
    """Read one of your endpoints.

    Its ETag is for `If-Match`; it is never a 304, since `failing_since` changes without a new version.
    """
    # Never 304: `failing_since` changes without a new version.
    return answer(endpoint_out(endpoint), headers={"ETag": etag_of(endpoint.version)})


@blp.route("/<uuid:endpoint_id>", methods=("PATCH",))
@signed_in
@found(endpoint_for)
@blp.errors(400, 401, 403, 404, 409, 412, 413, 415, 422, 428)
@blp.arguments(EndpointPatch)
@blp.response(200, EndpointOut)
@if_match
@transactional
def change(endpoint: Any, body: dict[str, Any], *, expected: Expected) -> Response:
    """Change one of your endpoints; with a new URL it has to answer a challenge before it is sent events again.

    What is left out stays as it is; `events` is replaced whole. Needs `If-Match`.
    """
    return single(endpoint_out(services.change(endpoint, expected=expected, **body)))


@blp.route("/<uuid:endpoint_id>", methods=("DELETE",))
@signed_in
@found(endpoint_for)
@blp.errors(400, 401, 403, 404, 409, 412, 428)
@blp.response(204)
@if_match
@transaction()
def delete(endpoint: Any, *, expected: Expected) -> Response:
    """Delete one of your endpoints; what is queued for it is not sent.

    Its log stays for a while. Needs `If-Match`.
    """
    services.remove(endpoint, expected=expected)
    return no_content()


@blp.route("/<uuid:endpoint_id>/rotate-secret", methods=("POST",))
@signed_in
@found(endpoint_for)
@blp.errors(400, 401, 403, 404, 409, 412)
@blp.response(200, NewEndpointOut)
@if_match_optional
@transactional_with_secret("secret")
def rotate_secret(endpoint: Any, *, expected: Expected) -> Response:
    """Give one of your endpoints a new secret, shown this once; for 24 hours the old one signs, too.

    Meanwhile `webhook-signature` holds two. A second call within the day ends the oldest secret at once.
    """
    changed, secret = services.rotate(endpoint, expected=expected)
    headers = {"ETag": etag_of(changed.version), "Cache-Control": "no-store"}
    return answer({**endpoint_out(changed), "secret": secret}, headers=headers)


@blp.route("/<uuid:endpoint_id>/verify", methods=("POST",))
@signed_in
@found(endpoint_for)
@blp.errors(400, 401, 403, 404, 409, 429)
@blp.response(200, EndpointOut)
@heeds_key
def verify(endpoint: Any) -> Response:
    """Send one of your endpoints the challenge again, if it has not answered one yet.

    An active or disabled one is a 409 `not_unverified`; 20 an hour for an endpoint, tests and challenges together.
    """
    limits.take(limits.WEBHOOK_CALL, str(endpoint.id))
    return _changed(services.verify, endpoint)


@blp.route("/<uuid:endpoint_id>/enable", methods=("POST",))
@signed_in
@found(endpoint_for)
@blp.errors(400, 401, 403, 404, 409, 429)
@blp.response(200, EndpointOut)
@heeds_key
def enable(endpoint: Any) -> Response:
    """Enable one of your endpoints that was disabled; it is sent events when it has answered a challenge.

    One that is not disabled is a 409 `not_disabled`. What happened meanwhile is not sent by itself: replay it.
    """
    limits.take(limits.WEBHOOK_CALL, str(endpoint.id))
    return _changed(services.enable, endpoint)


@transactional
def _changed(verb: Any, endpoint: Any) -> Response:
    return single(endpoint_out(verb(endpoint)))


@blp.route("/<uuid:endpoint_id>/test", methods=("POST",))
@signed_in
@found(endpoint_for)
@blp.errors(400, 401, 403, 404, 409, 429)
@blp.response(202, Accepted)
@heeds_key
def send_test(endpoint: Any) -> Response:
    """Send one of your endpoints an event of the type `endpoint.test`.

    It is signed as real ones are, and comes in a moment; what was answered stands in `/api/webhook-deliveries`. An
    endpoint that is not active is a 409.
    """
    limits.take(limits.WEBHOOK_CALL, str(endpoint.id))
    return _tested(endpoint)


@transactional
def _tested(endpoint: Any) -> Response:
    services.send_test(endpoint)
    return accepted("A test event is on its way.")


@blp.route("/<uuid:endpoint_id>/replay", methods=("POST",))
@signed_in
@found(endpoint_for)
@blp.errors(400, 401, 403, 404, 409, 413, 415, 422)
@blp.arguments(ReplayIn)
@blp.response(202, ReplayOut)
@transactional
def replay_range(endpoint: Any, body: dict[str, Any]) -> Response:
    """Send one of your endpoints a range of events again, or for the first time; a batch a request.

    What is on its way is left alone, and each has a new id. Up to 500 events a request: go on with `next_cursor`,
    and the same range, until it is null.
    """
    after = read_position(body.pop("cursor"))
    done = replay(endpoint, **body, after=after)
    more = write_position(done.position)
    return answer({"repeated": done.repeated, "made": done.made, "next_cursor": more}, 202)
