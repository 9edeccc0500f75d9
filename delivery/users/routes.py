"""/api/users: registration, and accounts for their owners and for admins."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from flask import Response, current_app

from delivery import limits
from delivery.database import transaction
from delivery.errors import Forbidden, invalid_field
from delivery.idempotency import heeds_key, transactional
from delivery.users import passwords, services
from delivery.users.access import check_role_given, user_for
from delivery.users.queries import users
from delivery.users.schemas import Accepted, UserArgs, UserIn, UserOut, UserPage, UserPatch, user_out
from delivery.users.states import Role
from delivery.web import (
    Blueprint,
    Expected,
    accepted,
    answer,
    caller,
    created,
    found,
    if_match,
    no_content,
    signed_in,
    signed_in_or_not,
    single,
)
from delivery.web.paging import page_from, uuid_position

blp = Blueprint(
    "users", __name__, url_prefix="/api/users", description="Accounts: who people are and what their role is."
)
_ADMIN_ONLY = frozenset({"role", "active"})
_CLOSED = {
    "invitation": "Accounts are made by invitation here; ask for one.",
    "closed": "Nobody can register here.",
}


def _open_to_caller(view: Callable[..., Any]) -> Callable[..., Any]:
    """Refuse whoever may not make an account here, before the body is looked at; an admin always may."""

    @wraps(view)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        mode = current_app.config["REGISTRATION"]
        if mode in _CLOSED and not _by_admin():
            raise Forbidden(_CLOSED[mode], code="registration_closed")
        return view(*args, **kwargs)

    return wrapper


def _by_admin() -> bool:
    return caller() is not None and caller().role == Role.ADMIN


@blp.route("", methods=("POST",))
@signed_in_or_not
@_open_to_caller
@blp.errors(400, 401, 403, 409, 413, 415, 422, 429, 503)
@blp.arguments(UserIn)
@blp.response(202, Accepted, description="Somebody registered: the same answer for every address")
@blp.alt_response(201, schema=UserOut, success=True, description="An admin created a user")
@heeds_key
def register(body: dict[str, Any]) -> Response:
    """Register an account, or create one as an admin.

    Everybody but an admin gets the same 202, whether the address was free or not: the mail to it tells its owner.
    """
    check_role_given(caller(), body["role"], to_new=True)
    by_admin = _by_admin()
    if body["role"] != Role.CUSTOMER and not by_admin:
        raise invalid_field("/role", "Only an admin may set the role.", code="forbidden")
    if not by_admin:
        limits.take(limits.REGISTER)
    fields = {**body, "password_hash": passwords.hash_password(body["password"])}
    del fields["password"]
    return _create(fields) if by_admin else _register(fields)


@transactional
def _create(fields: dict[str, Any]) -> Response:
    user = services.create(**fields)
    return created(user_out(user), location=f"/api/users/{user.id}")


@transactional
def _register(fields: dict[str, Any]) -> Response:
    services.register(**fields)
    return accepted("Thank you. If the address is free, a mail with a link to confirm it is on its way.")


@blp.route("")
@signed_in
@blp.errors(400, 401, 403, 422)
@blp.arguments(UserArgs, location="query")
@blp.response(200, UserPage)
def index(args: dict[str, Any]) -> Response:
    """List users, the newest first; for admins.

    All filters hold together; `q` finds a part of a name or an address.
    """
    limit, after = args.pop("limit"), uuid_position(args.pop("cursor"), sort="-id")
    rows = users(after=after, limit=limit + 1, **args)
    return answer(page_from(rows, limit=limit, shown=user_out))


@blp.route("/<uuid:user_id>")
@signed_in
@found(user_for)
@blp.errors(401, 404)
@blp.response(200, UserOut)
@blp.not_modified
def show(user: Any) -> Response:
    """Read a user: yourself, or anybody as an admin.

    Its ETag is for `If-Match`, where it is to be changed. Whoever is neither is answered 404.
    """
    return single(user_out(user))


@blp.route("/<uuid:user_id>", methods=("PATCH",))
@signed_in
@found(user_for)
@blp.errors(400, 401, 403, 404, 412, 413, 415, 422, 428)
@blp.arguments(UserPatch)
@blp.response(200, UserOut)
@if_match
@transactional
def change(user: Any, body: dict[str, Any], *, expected: Expected) -> Response:
    """Change a user: yourself, or anybody as an admin. No API key changes a role.

    What is left out stays as it is. The address and the password are changed elsewhere. Needs `If-Match`.
    """
    check_role_given(caller(), body.get("role"), to_new=False)
    if body.keys() & _ADMIN_ONLY and caller().role != Role.ADMIN:
        raise Forbidden("Only an admin may change the role or whether an account is active.")
    return single(user_out(services.change(user.id, expected=expected, **body)))


@blp.route("/<uuid:user_id>", methods=("DELETE",))
@signed_in
@found(user_for)
@blp.errors(400, 401, 404, 409, 412, 428)
@blp.response(204)
@if_match
@transaction()
def delete(user: Any, *, expected: Expected) -> Response:
    """Erase an account; refused while it has open deliveries. Drafts go with it, finished deliveries stay.

    Its sessions and keys are dead at once. Open deliveries are a 409 `open_deliveries`, the last admin is a 409
    `last_admin`. Needs `If-Match`.
    """
    services.erase(user.id, expected=expected)
    return no_content()
