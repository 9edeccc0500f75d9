"""Pages of deliveries: what somebody sees, filtered, searched, in an order."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import (
    Column,
    ColumnElement,
    Integer,
    Row,
    Select,
    String,
    Uuid,
    and_,
    false,
    func,
    or_,
    select,
    true,
    union_all,
)
from sqlalchemy.sql.expression import BindParameter, bindparam

from delivery import clock, replica
from delivery.database import backend, now, oldest_id
from delivery.deliveries import finding, searching
from delivery.deliveries.models import OPEN, Delivery, Tag, delivery_tags
from delivery.deliveries.ordering import NEWEST_FIRST, ORDERS, Order, in_index
from delivery.deliveries.queries import ALIVE, DELIVERIES


@dataclass(frozen=True, slots=True)
class Seen:
    """The deliveries that somebody sees.

    Attributes:
        condition: what they meet; its parameter is `caller_id`.
        owner_id: whose they are; None: not one owner's.
        test: whether they are tests.
        by_owner: whether these two tell all of it.
    """

    condition: ColumnElement[bool]
    caller_id: UUID | None
    owner_id: UUID | None
    test: bool
    by_owner: bool


class _List(NamedTuple):
    """What a list's statements are made by.

    Attributes:
        visible: the condition of what somebody sees.
        whose: the parameter that tells whose they are, an owner's or a courier's; "": everybody's.
        test: whether they are tests.
        order: that of the list.
        names: the filters that are given.
        states: how many states are given.
        on: the kind of database.
    """

    visible: ColumnElement[bool]
    whose: str
    test: bool
    order: Order
    names: frozenset[str]
    states: int
    on: str


def deliveries(
    seen: Seen, *, sort: str, after: Sequence[Any] | None, limit: int, filters: dict[str, Any], whole: bool = False
) -> Sequence[Row[Any]]:
    """Return a page of the deliveries that somebody sees.

    Args:
        seen: that of access.seen_by().
        sort: a key of ORDERS.
        after: the position to begin after: (id,) or (updated_at, id).
        limit: how many rows at the most.
        filters: the arguments of schemas.DeliveryArgs; None or empty means any.
        whole: the page before was of what has `q` as its whole number or reference.
    """
    order, on = ORDERS[sort], backend()
    given = {
        _meant(name, value): value for name, value in filters.items() if name in _FILTERS and value not in (None, [])
    }
    states = {f"state_{place}": state for place, state in enumerate(sorted(set(filters.get("status") or ())))}
    owner_id = seen.owner_id or given.get("owner_id")
    asked = {**given, **states, **_bounds(given), **order.position(after or ()), "limit": limit}
    asked |= {**order.edges(asked), "caller_id": seen.caller_id, "whose": owner_id, "tests": seen.test}
    whose = "caller_id" if not seen.by_owner else "whose" if owner_id else ""
    if "tag" in given:
        asked["tags"] = [row.id for row in replica.rows(_TAGS, asked)]
        if not asked["tags"]:
            return []
    list_ = _List(seen.condition, whose, seen.test, order, frozenset(given), len(states), on)
    page = partial(_page, list_, continued=after is not None)
    if not (q := filters.get("q")):
        return replica.rows(page(), asked)
    as_a_whole = searching.whole(q)
    if as_a_whole and (whole or not after):  # by indexes that are flat at any size
        found = replica.rows(page(also=_WHOLE), asked | as_a_whole)
        if found or whole:
            return found
    words = searching.words_of(q)
    return _found(list_, page, asked | searching.values(words, on=on)) if words else []


def _found(list_: _List, page: Callable[..., Select[Any]], asked: dict[str, Any]) -> Sequence[Row[Any]]:
    if list_.on == "sqlite":
        return replica.rows(page(also=searching.MATCHING), asked)
    by_owner = list_.whose != "caller_id"
    if by_owner and list_.order == NEWEST_FIRST and not list_.states and list_.names <= {"owner_id"}:
        return replica.rows(page(also=finding.IS_AMONG_NEWEST_FOUND), asked)
    # No index has tests, or a courier's deliveries, in every order.
    has_index = not list_.test and (by_owner or list_.order.by_age)
    return finding.rows(list_.order, asked, walk=partial(_walked, list_) if has_index else None, listed=page)


def _meant(name: str, value: object) -> str:
    return f"not_{name}" if value is False else name


def _bounds(given: Mapping[str, Any]) -> dict[str, UUID]:
    """Return between which ids a range of creation lies: ids are in its order, and lists are in theirs."""
    apart = _CLOCKS_APART_SECONDS
    margins = {"created_after": apart + max(0.0, clock.offset.total_seconds()), "created_before": -apart}
    return {f"{name}_id": oldest_id(given[name], minus_seconds=margins[name]) for name in margins.keys() & given.keys()}


@lru_cache(maxsize=256)  # to build and describe a statement costs as much as to run it
def _page(list_: _List, *, continued: bool, also: ColumnElement[bool] | None = None) -> Select[Any]:
    """Return the query for a page of a list, or of what in it meets a condition."""
    order = list_.order
    beyond = [order.continued()] if continued else []
    conditions = [ALIVE, list_.visible, *(_FILTERS[name] for name in sorted(list_.names)), *beyond]
    if also is not None:
        conditions += [_in_one_of(list_.states), also]
    elif list_.states:
        # The first of each state, by an index that is read alone: none has several states in one order.
        listed = select(Delivery.id).where(*conditions)
        first = (_in_state(list_, listed, place).subquery() for place in range(list_.states))
        conditions = [Delivery.id.in_(union_all(*(select(one.c.id) for one in first)))]
    return DELIVERIES.where(*conditions).order_by(*order.by(order.keys)).limit(_LIMIT)


def _in_state(list_: _List, listed: Select[Any], place: int) -> Select[Any]:
    keys, in_state = list_.order.keys, _state(place) == _STATUS
    all_live = not (list_.whose or list_.test or list_.names - _CREATED)
    if all_live and list_.on == "postgresql" and list_.order.by_age:
        keys, in_state = [_STATUS, *keys], in_index({_STATUS: _state(place)})
    return listed.where(in_state).order_by(*list_.order.by(keys)).limit(_LIMIT)


@lru_cache(maxsize=256)
def _walked(list_: _List, *, of: int, size: int, continued: bool) -> Select[Any]:
    """Return the query for what is found when a list is walked as an index has it; what that does not tell is asked."""
    order, names, whose = list_.order, list_.names, list_.whose
    columns: dict[Column[Any], BindParameter[Any]] = {}
    within: list[ColumnElement[bool]] = [ALIVE]
    if order.by_age:
        told = names & ({"late"} if whose else {"late", "tag", "unassigned"})
        if whose == "caller_id" or "courier_id" in names:
            columns = {_COURIER: bindparam("caller_id" if whose == "caller_id" else "courier_id", type_=Uuid)}
        elif list_.states == 1 and not told and not whose:
            columns = {_STATUS: _state(0)}
        within.append(in_index(columns))
        within += [_state(0) == _STATUS] if list_.states == 1 and whose == "whose" else []
    else:
        told = names & {"updated_after", "updated_before"}
        within += [order.continued()] if continued else []
    within += [bindparam("whose", type_=Uuid) == _OWNER] if whose == "whose" and not columns else []
    within += (_FILTERS[name] for name in sorted(told))
    asked = (_TAGGED if name == "tag" else _FILTERS[name] for name in sorted(names - told))
    fits = and_(list_.visible, *asked, _in_one_of(list_.states))
    return finding.walked(order, [*columns, *order.keys], within, fits, of=of, size=size)


def _state(place: int) -> BindParameter[str]:
    return bindparam(f"state_{place}", type_=String)


def _in_one_of(states: int) -> ColumnElement[bool]:
    return or_(*(_state(place) == _STATUS for place in range(states))) if states else true()


_COURIER, _OWNER, _STATUS = (Delivery.__table__.c[name] for name in ("courier_id", "owner_id", "status"))
_LIMIT: BindParameter[int] = bindparam("limit", type_=Integer)
_LATE = and_(Delivery.window_latest < now(), OPEN)  # in the index's own words, so that it is used
_CLOCKS_APART_SECONDS = 5
_CREATED = {"created_after", "created_before"}
# The ids of tags are written out: of one that many have the list is read in its order, of a rare one by the tag, and
# PostgreSQL has counted how many have each.
_IS_A_TAG = delivery_tags.c.tag_id.in_(bindparam("tags", expanding=True, literal_execute=True))
# What each argument of a list means; its value is the parameter of the same name.
_FILTERS: dict[str, ColumnElement[bool]] = {
    "tag": Delivery.id.in_(select(delivery_tags.c.delivery_id).where(_IS_A_TAG)),
    "courier_id": Delivery.courier_id == bindparam("courier_id"),
    "owner_id": Delivery.owner_id == bindparam("owner_id"),
    "reference": Delivery.reference == bindparam("reference"),
    "created_after": and_(
        Delivery.created_at >= bindparam("created_after"), Delivery.id >= bindparam("created_after_id")
    ),
    "created_before": and_(
        Delivery.created_at < bindparam("created_before"), Delivery.id < bindparam("created_before_id")
    ),
    "updated_after": Delivery.updated_at >= bindparam("updated_after"),
    "updated_before": Delivery.updated_at < bindparam("updated_before"),
    "window_after": Delivery.window_latest >= bindparam("window_after"),
    "window_before": Delivery.window_earliest < bindparam("window_before"),
    "unassigned": Delivery.courier_id.is_(None),
    "not_unassigned": Delivery.courier_id.is_not(None),
    "late": _LATE,
    "not_late": ~func.coalesce(_LATE, false()),
}
# The filter of tags as a question of each delivery: an IN that is no condition would read all that have the tag.
_TAGGED = (
    select(true())
    .where(delivery_tags.c.delivery_id == Delivery.id, _IS_A_TAG)
    .correlate(Delivery.__table__)
    .limit(1)
    .scalar_subquery()
)
_TAGS = select(Tag.id).where(Tag.name.in_(bindparam("tag"))).order_by(Tag.id)
_WHOLE = or_(Delivery.tracking_number == bindparam("number"), Delivery.reference == bindparam("q"))
