"""Where somebody is signed in: for themselves, and for admins who help them."""

from functools import partial
from typing import Any
from uuid import UUID

from flask import Response

from delivery.auth import queries, services
from delivery.auth.access import session_for
from delivery.auth.schemas import SessionPage, session_out
from delivery.database import transaction
from delivery.users.access import user_for
from delivery.web import Blueprint, answer, caller, found, no_content, signed_in
from delivery.web.paging import PageArgs, page_from, uuid_position

blp = Blueprint("sessions", __name__, url_prefix="/api", description="Sessions: where somebody is signed in.")


@blp.route("/auth/sessions")
@signed_in
@blp.errors(400, 401, 422)
@blp.arguments(PageArgs, location="query")
@blp.response(200, SessionPage)
def index(args: dict[str, Any]) -> Response:
    """List your sessions that have not ended, the newest first.

    `current` says which of them asks.
    """
    return _page(caller().id, args)


@blp.route("/auth/sessions/<uuid:session_id>", methods=("DELETE",))
@signed_in
@found(session_for)
@blp.errors(401, 404)
@blp.response(204)
@transaction()
def end(session: Any) -> Response:
    """End one of your sessions; its tokens are dead at once.

    API keys are no sessions, and go on. One that has ended already is a 404.
    """
    services.sign_out(session.user_id, session.id)
    return no_content()


@blp.route("/users/<uuid:user_id>/sessions")
@signed_in
@found(user_for)
@blp.errors(400, 401, 404, 422)
@blp.arguments(PageArgs, location="query")
@blp.response(200, SessionPage)
def of_user(user: Any, args: dict[str, Any]) -> Response:
    """List a user's sessions: your own, or anybody's as an admin.

    Those that have not ended, the newest first.
    """
    return _page(user.id, args)


@blp.route("/users/<uuid:user_id>/sessions", methods=("DELETE",))
@signed_in
@found(user_for)
@blp.errors(401, 404)
@blp.response(204)
@transaction()
def end_of_user(user: Any) -> Response:
    """End all of a user's sessions: your own, or anybody's as an admin.

    Whoever uses one has to sign in again; API keys go on.
    """
    services.sign_out_everywhere(user.id)
    return no_content()


def _page(user_id: UUID | None, args: dict[str, Any]) -> Response:
    after = uuid_position(args["cursor"], sort="-id")
    rows = queries.sessions(user_id=user_id, after=after, limit=args["limit"] + 1)
    return answer(page_from(rows, limit=args["limit"], shown=partial(session_out, current_id=caller().session_id)))
