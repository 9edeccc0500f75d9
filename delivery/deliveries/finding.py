"""How a page of a search is found on PostgreSQL: as quickly among a million deliveries as among a thousand.

The newest of all that somebody sees are found by their grams. A list that is filtered, or in another order, is walked
first: what many have is soon met there. What hardly anybody has is found by its grams; of what is in between some of
the newest are tried, or it is walked on. At last the planner decides.
"""

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import (
    Boolean,
    Column,
    ColumnElement,
    Connection,
    Integer,
    Row,
    Select,
    Text,
    Uuid,
    and_,
    any_,
    func,
    literal_column,
    select,
)
from sqlalchemy import text as sql
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.sql.expression import bindparam

from delivery import replica
from delivery.deliveries.models import Delivery
from delivery.deliveries.ordering import NEWEST_FIRST, Order
from delivery.deliveries.queries import DELIVERIES

# How many of a list are walked, each in some 3 us; far only where that has found something.
_FEW, _MORE, _FAR = 120, 1_000, 5_000
_SOME = 500  # as quickly found as a hundred
_SIZES = (2, 6, 11, 21, 51, 101, 1000)
_patterns = sql("ARRAY(SELECT lower(one) FROM unnest(CAST(:patterns AS text[])) one)")
_matches: ColumnElement[bool] = func.delivery_search_words(
    Delivery.tracking_number, Delivery.reference, Delivery.recipient_name, Delivery.recipient_phone
).op("~", is_comparison=True)(func.all(_patterns))


def _newest(most: ColumnElement[int]) -> Select[Any]:
    sought = func.delivery_search_query(bindparam("sought", type_=ARRAY(Text)))
    whose, tests = bindparam("whose", type_=Uuid), bindparam("tests", type_=Boolean)
    below = bindparam("below", type_=Uuid)
    return select(func.delivery_search_newest(sought, _patterns, whose, tests, below, most, type_=Uuid).label("id"))


def _is_one_of(ids: Select[Any]) -> ColumnElement[bool]:
    """As an array, because that is read once: a plan may call for the rows of an IN again and again."""
    return Delivery.id == any_(func.array(ids.scalar_subquery(), type_=ARRAY(Uuid)))


_NEWEST = _newest(bindparam("most", type_=Integer))
# What is written as CASE the planner takes for true of every other row, which the grams have seen to.
_IS_FOUND: ColumnElement[bool] = sql(  # type: ignore[assignment]  # a condition like another
    "deliveries.id IN (SELECT delivery_id FROM delivery_search"
    " WHERE delivery_search_grams(delivery_id, owner_id, test, words) @@ delivery_search_query(CAST(:sought AS text[]))"
    " AND CASE WHEN words ~ ALL (ARRAY(SELECT lower(one) FROM unnest(CAST(:patterns AS text[])) one))"
    " THEN true ELSE false END)"
)
IS_AMONG_NEWEST_FOUND = _is_one_of(_newest(bindparam("limit", type_=Integer)))
_IS_TRIED = Delivery.id == any_(bindparam("tried", type_=ARRAY(Uuid)))


def walked(
    order: Order,
    keys: Sequence[Column[Any]],
    within: Sequence[ColumnElement[bool]],
    fits: ColumnElement[bool],
    *,
    of: int,
    size: int,
) -> Select[Any]:
    """Return the query for what is found among the first of a list, at most `limit`.

    Args:
        order: that of the list.
        keys: the columns of the index that has it in that order.
        within: what that index tells of it.
        fits: all else that is asked.
        of: so many of it are looked at.
        size: `limit` is at most this. Both are written out: the planner would keep no plan for any number of them.
    """
    listed = select(Delivery.id, and_(fits, _matches).label("fits")).where(*within)
    one = listed.order_by(*order.by(keys)).limit(literal_column(str(of))).subquery("one")
    found = select(one.c.id).where(one.c.fits).limit(literal_column(str(size)))
    return DELIVERIES.where(_is_one_of(found)).order_by(*order.by(order.keys)).limit(bindparam("limit", type_=Integer))


def rows(
    order: Order,
    asked: dict[str, Any],
    *,
    walk: Callable[..., Select[Any]] | None,
    listed: Callable[..., Select[Any]],
) -> Sequence[Row[Any]]:
    """Return a page, by as few and as short steps as fill it.

    Args:
        order: that of the list.
        asked: the parameters.
        walk: makes the query of walked() for the list; None: no index has it in its order.
        listed: makes the query for the page of those that also meet a condition.
    """
    page: list[Row[Any]] = []
    limit, of, is_frequent = asked["limit"], _FEW, False
    for some in (0, _SOME, None):
        if walk and of:
            query = walk(of=of, size=_size_for(asked["limit"]), continued="after_0" in asked)
            found = replica.rows(query, asked)
            if len(page) + len(found) == limit:
                return [*page, *found]
            is_frequent |= bool(found)
            of = _FAR if is_frequent and of < _FAR else _MORE if of == _FEW else 0
            if found and order.by_age:  # by when they were changed one may come again, unless the page is read at once
                page += found
                asked = asked | order.position(order.place_of(found[-1])) | {"limit": limit - len(page)}
                asked |= order.edges(asked)
        if some is not None and order == NEWEST_FIRST:
            rest, is_all = _tried(max(some, asked["limit"] * 5 // 4), asked, listed)
            if is_all:
                return [*page, *rest]
    return [*page, *_planned(listed(also=_IS_FOUND, continued="after_0" in asked), asked)]


def _tried(most: int, asked: dict[str, Any], listed: Callable[..., Select[Any]]) -> tuple[Sequence[Row[Any]], bool]:
    """Return the page of so many of the newest found, and whether there is no more to it."""
    newest = [row.id for row in replica.rows(_NEWEST, asked | {"most": most})]
    query = listed(also=_IS_TRIED, continued="after_0" in asked)
    page = replica.rows(query, asked | {"tried": newest}) if newest else []
    return page, len(page) == asked["limit"] or len(newest) < most


def _planned(query: Select[Any], asked: dict[str, Any]) -> Sequence[Row[Any]]:
    """Let the planner decide by what is asked for where it begins: what all have is read by what else is asked.

    psycopg would prepare it when it comes again, and PostgreSQL keep one plan for what is rare and what is everywhere.
    """

    def read(connection: Connection) -> Sequence[Row[Any]]:
        driver: Any = connection.connection.driver_connection
        before, driver.prepare_threshold = driver.prepare_threshold, None
        try:
            return connection.execute(query, asked).all()
        finally:
            driver.prepare_threshold = before

    return replica.read(read)


def _size_for(limit: int) -> int:
    """Return the size of page that a statement is prepared for."""
    return next((size for size in _SIZES if size >= limit), limit)
