"""/api/deliveries/bulk and /transitions: many deliveries in one request, with an outcome for each."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from flask import Response, g
from marshmallow import ValidationError, fields, validate

from delivery.deliveries.creating import create_many
from delivery.deliveries.moving import Move, move_many
from delivery.deliveries.schemas import DeliveryIn, MoveWords, target_field, tracking_number_field
from delivery.deliveries.states import State
from delivery.errors import AppError, FieldError, Invalid, invalid_field, problem, wrong_fields
from delivery.idempotency import transactional
from delivery.web import ANY_VERSION, Blueprint, Each, Expected, Flag, Schema, Text, Whole, answer, caller, signed_in
from delivery.web.body import ERRORS_AT_MOST
from delivery.web.problems import Problem
from delivery.web.schema import field_errors

MOST_CREATED, MOST_MOVED = 1000, 500
blp = Blueprint("bulk", __name__, url_prefix="/api/deliveries", description="Many deliveries in one request.")
# Of one item; without an end, a body of a megabyte would be answered with fifty.
_ERRORS_OF_ONE = 20
_DUPLICATE = "duplicate_reference"
Do = Callable[[Sequence[Any]], Sequence[Any]]


class DeliveriesIn(Schema):
    items = Each(DeliveryIn, MOST_CREATED, required=True)
    atomic = Flag(load_default=False, metadata={"description": "All or nothing: what is wrong with one is a 422."})


class MoveItem(MoveWords):
    id = fields.UUID(required=True)
    to = target_field()
    version = Whole(1, 2**31 - 1, metadata={"description": "As If-Match: refused if it has changed since."})


class MovesIn(MoveWords):
    """What stands beside `items` holds for each item that does not say otherwise."""

    items = Each(MoveItem, MOST_MOVED, required=True)
    to = target_field()
    dry_run = Flag(load_default=False, metadata={"description": "Only tell what would become of them."})


_INDEX = {"description": "Its place among `items`, from 0."}
_DUPLICATE_ID = {"description": "Of a duplicate: the delivery that has its reference."}


def _why() -> fields.Nested:
    """Build the field of an item's problem; its pointers begin at the body's root."""
    return fields.Nested(Problem, required=True, allow_none=True)


class CreatedItem(Schema):
    index = Whole(0, MOST_CREATED - 1, required=True, metadata=_INDEX)
    outcome = fields.String(required=True, validate=validate.OneOf(["created", "duplicate", "refused"]))
    id = fields.UUID(required=True, allow_none=True, metadata=_DUPLICATE_ID)
    tracking_number = tracking_number_field(allow_none=True)
    reference = Text(100, required=True, allow_none=True, metadata={"example": "order-1001"})
    problem = _why()


class CreatedItems(Schema):
    created = Whole(0, MOST_CREATED, required=True)
    duplicates = Whole(0, MOST_CREATED, required=True)
    refused = Whole(0, MOST_CREATED, required=True)
    items = fields.List(fields.Nested(CreatedItem), required=True, validate=validate.Length(max=MOST_CREATED))


class MovedItem(Schema):
    index = Whole(0, MOST_MOVED - 1, required=True, metadata=_INDEX)
    id = fields.UUID(required=True, allow_none=True)
    ok = fields.Boolean(required=True)
    status = fields.Enum(State, by_value=True, required=True, allow_none=True)
    version = fields.Integer(required=True, allow_none=True)
    problem = _why()


class MovedItems(Schema):
    ok = Whole(0, MOST_MOVED, required=True)
    failed = Whole(0, MOST_MOVED, required=True)
    dry_run = fields.Boolean(required=True)
    items = fields.List(fields.Nested(MovedItem), required=True, validate=validate.Length(max=MOST_MOVED))


@blp.route("/bulk", methods=("POST",))
@signed_in
@blp.errors(400, 401, 403, 409, 413, 415, 422)
@blp.arguments(DeliveriesIn)
@blp.response(200, CreatedItems)
@transactional
def create(body: dict[str, Any]) -> Response:
    """Create up to 1,000 deliveries, with an outcome for each; or all or none, with `atomic`.

    It is a 200 even if all of them were refused: look at each `outcome`. A body may have a megabyte, usually; send
    an `Idempotency-Key`, so that a repeat creates nothing twice.
    """
    outcomes = _each(body["items"], lambda rows: create_many(caller(), rows))
    if body["atomic"]:
        _all_or_none(outcomes)
    items = [_created(index, outcome) for index, outcome in enumerate(outcomes)]
    names = [item["outcome"] for item in items]
    counts = {name: names.count(one) for name, one in _COUNTED.items()}
    return answer({**counts, "items": items})


_COUNTED = {"created": "created", "duplicates": "duplicate", "refused": "refused"}


@blp.route("/transitions", methods=("POST",))
@signed_in
@blp.errors(400, 401, 403, 409, 413, 415, 422)
@blp.arguments(MovesIn)
@blp.response(200, MovedItems)
@transactional
def move(body: dict[str, Any]) -> Response:
    """Move up to 500 deliveries, with an outcome for each; what holds for all can stand beside `items`.

    It is a 200 even if none could be moved: look at each `ok`. An item's own words go before those beside `items`;
    `dry_run` tells the outcomes and changes nothing.
    """
    asked, dry_run = body.pop("items"), body.pop("dry_run")
    moves = [_move(body, item) for item in asked]
    outcomes = _each(moves, lambda chosen: move_many(caller(), chosen, dry_run=dry_run))
    ids = [None if isinstance(item, ValidationError) else item["id"] for item in asked]
    items = [_moved(index, *pair) for index, pair in enumerate(zip(ids, outcomes, strict=True))]
    ok = sum(item["ok"] for item in items)
    return answer({"ok": ok, "failed": len(items) - ok, "dry_run": dry_run, "items": items})


def _move(for_all: Mapping[str, Any], item: Any) -> Any:
    if isinstance(item, ValidationError):
        return item
    given = {**for_all, **item}
    if "to" not in given:
        return ValidationError({"to": ["Missing data for required field."]})
    version = given.pop("version", None)
    expected = ANY_VERSION if version is None else Expected([("", str(version))])
    return Move(delivery_id=given.pop("id"), expected=expected, **given)


def _each(items: Sequence[Any], do: Do) -> list[Any]:
    """Do what is asked with all items that have the right shape; returns an outcome for each, in their order."""
    done = iter(do([item for item in items if not isinstance(item, ValidationError)]))
    outcomes = [_misshapen(item) if isinstance(item, ValidationError) else next(done) for item in items]
    return [_placed(index, one) if isinstance(one, AppError) else one for index, one in enumerate(outcomes)]


def _misshapen(error: ValidationError) -> Invalid:
    return wrong_fields(islice(field_errors(error.messages), _ERRORS_OF_ONE))


def _placed(index: int, error: AppError) -> AppError:
    """Have an error's pointers begin at the body's root."""
    error.errors = [{**one, "pointer": f"/items/{index}{one['pointer']}"} for one in error.errors]
    return error


def _all_or_none(outcomes: Sequence[Any]) -> None:
    """Refuse the whole request if something is wrong with one of them.

    Raises:
        Invalid: what is wrong with which; what was written goes with the transaction.
    """
    wrong = (error for index, one in enumerate(outcomes) if isinstance(one, AppError) for error in _named(index, one))
    if errors := list(islice(wrong, ERRORS_AT_MOST)):
        raise Invalid("Nothing was created; `errors` says what is wrong with which item.", errors=errors)


def _named(index: int, error: AppError) -> Iterator[FieldError]:
    field = {_DUPLICATE: "/reference", "forbidden": "/owner_id"}.get(error.code, "")
    yield from error.errors or invalid_field(f"/items/{index}{field}", error.detail, code=error.code).errors


def _created(index: int, outcome: Any) -> dict[str, Any]:
    if not isinstance(outcome, AppError):
        shown = {name: getattr(outcome, name) for name in ("id", "tracking_number", "reference")}
        return {"index": index, "outcome": "created", **shown, "problem": None}
    is_duplicate = outcome.code == _DUPLICATE
    return {
        "index": index,
        "outcome": "duplicate" if is_duplicate else "refused",
        "id": outcome.extra["existing_id"] if is_duplicate else None,
        "tracking_number": None,
        "reference": None,
        "problem": _problem(outcome),
    }


def _moved(index: int, delivery_id: Any, outcome: Any) -> dict[str, Any]:
    failed = isinstance(outcome, AppError)
    return {
        "index": index,
        "id": delivery_id,
        "ok": not failed,
        "status": None if failed else outcome.status,
        "version": None if failed else outcome.version,
        "problem": _problem(outcome) if failed else None,
    }


def _problem(error: AppError) -> dict[str, Any]:
    return problem(error, request_id=g.request_id)
