"""One INSERT or UPDATE of however many rows: they are its only parameter, as JSON that the database takes apart.

It is the same text for one row and for a thousand. A statement with a parameter for each value of a thousand rows takes
longer to write and to parse than to run.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, TypeAlias

import orjson
from sqlalchemy import (
    JSON,
    ColumnElement,
    String,
    Table,
    Uuid,
    bindparam,
    cast,
    column,
    func,
    literal_column,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from delivery.database import backend, db

Values: TypeAlias = dict[str, ColumnElement[Any]]
_ROWS = bindparam("rows", type_=String())


def _nothing(_given: Values) -> Values:
    return {}


def insertion(table: Table, *, computed: Callable[[Values], Values] = _nothing, **also: Any) -> dict[str, Any]:
    """Return, for each kind of database, an INSERT of many rows, to be finished with ON CONFLICT or RETURNING.

    Args:
        computed: from what is given to the values of columns that the rows do not have.
        also: the types of what the rows have besides the table's columns.
    """
    types = {one.name: one.type for one in table.columns if one.computed is None} | also
    found = {}
    for name, insert in _INSERT.items():
        source, given = _TAKEN_APART[name](types)
        values = {key: value for key, value in given.items() if key not in also} | computed(given)
        # Without WHERE, SQLite takes ON CONFLICT for a condition of a join (its documentation of UPSERT, 2.2).
        rows = select(*values.values()).select_from(source).where(literal_column("true"))
        found[name] = insert(table).from_select(list(values), rows, include_defaults=False)
    return found


def change(table: Table, *columns: str, **values: Any) -> dict[str, Any]:
    """Return, for each kind of database, an UPDATE of many rows, to be finished with RETURNING.

    Each row has an `id`, the version that was `seen`, without which nothing is written, and the columns' new values.

    Args:
        values: what other columns get.
    """
    types = {"id": table.c.id.type, "seen": table.c.version.type} | {name: table.c[name].type for name in columns}
    found = {}
    for name, taken_apart in _TAKEN_APART.items():
        source, given = taken_apart(types)
        rows = select(*(value.label(key) for key, value in given.items())).select_from(source).subquery("changes")
        same = (table.c.id == rows.c.id, table.c.version == rows.c.seen)
        found[name] = update(table).where(*same).values({key: rows.c[key] for key in columns} | values)
    return found


def _in_postgresql(types: Mapping[str, Any]) -> tuple[Any, Values]:
    columns = [column(name, type_) for name, type_ in types.items()]
    rows = func.json_to_recordset(cast(_ROWS, JSON)).table_valued(*columns)
    source = rows.render_derived(name="given", with_types=True)
    return source, dict(source.c.items())


def _in_sqlite(types: Mapping[str, Any]) -> tuple[Any, Values]:
    """Take them apart with json_each(); ids are kept without hyphens there."""
    source = func.json_each(_ROWS).table_valued("value", name="given")
    return source, {name: _extracted(source.c.value, name, type_) for name, type_ in types.items()}


def _extracted(row: Any, name: str, type_: Any) -> ColumnElement[Any]:
    path = f"'$.{name}'"
    value = func.json_extract(row, literal_column(path), type_=type_)
    return func.replace(value, literal_column("'-'"), literal_column("''")) if isinstance(type_, Uuid) else value


_INSERT: dict[str, Any] = {"postgresql": postgresql_insert, "sqlite": sqlite_insert}
_TAKEN_APART = {"postgresql": _in_postgresql, "sqlite": _in_sqlite}


def execute(statement: Mapping[str, Any], rows: Iterable[Mapping[str, Any]]) -> Any:
    """Write rows, in their order, by what insertion() or change() returned; a column that a row lacks is NULL."""
    return db.session.connection().execute(statement[backend()], {"rows": _as_json(list(rows))})


def _as_json(rows: list[Any]) -> str:
    option = orjson.OPT_PASSTHROUGH_DATETIME if backend() == "sqlite" else 0
    return orjson.dumps(rows, default=_for_sqlite, option=option).decode()


def _for_sqlite(value: Any) -> Any:
    """Return a time as SQLAlchemy keeps it there: without a zone, with all its digits."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "microseconds")
    raise TypeError
