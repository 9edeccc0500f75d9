"""Templates: how somebody's files are read, under a name; in the caller's transaction."""

from typing import Any

from sqlalchemy import Row, delete, func, select, update

from delivery import clock
from delivery.database import db, new_id, reader, upsert
from delivery.errors import Conflict, invalid_field, lost_race
from delivery.imports.models import ImportTemplate
from delivery.imports.queries import TEMPLATE_BY_ID
from delivery.imports.schemas import SettingsIn, with_defaults
from delivery.imports.states import MOST_TEMPLATES
from delivery.web import Caller, Expected

_templates = ImportTemplate.__table__
_t = _templates.c
SETTINGS = tuple(SettingsIn().fields)


def applied(by: Caller, options: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of an import: those given, over those of its template, over the usual ones.

    Raises:
        Invalid: there is no such template of the caller's.
    """
    template: dict[str, Any] = {}
    if options.get("template_id"):
        row = reader().execute(TEMPLATE_BY_ID, {"id": options["template_id"]}).one_or_none()
        if row is None or row.owner_id != by.id:
            raise invalid_field("/options/template_id", "There is no such template of yours.")
        template = row.settings
    return with_defaults({**template, **_settings(options)})


def create(by: Caller, *, name: str, **settings: Any) -> Row[Any]:
    """Keep settings under a name.

    Raises:
        Conflict: the caller has a template of this name, or MOST_TEMPLATES.
    """
    count = select(func.count()).select_from(_templates).where(_t.owner_id == by.id)
    if db.session.execute(count).scalar_one() >= MOST_TEMPLATES:
        raise Conflict(f"There are {MOST_TEMPLATES} templates already; delete one first.", code="too_many_templates")
    values = {
        "id": new_id(), "owner_id": by.id, "name": name, "settings": _settings(settings), "version": 1,
        "created_at": clock.now(), "updated_at": clock.now(),
    }  # fmt: skip
    statement = upsert(_templates).values(values).on_conflict_do_nothing().returning(*_t)
    made = db.session.execute(statement).one_or_none()
    if made is None:
        raise _taken()
    return made


def change(seen: Any, *, expected: Expected, name: str | None = None, **settings: Any) -> Row[Any]:
    """Change a template; imports that were begun with it are not touched.

    Raises:
        Conflict: the owner has another template of this name.
        PreconditionFailed: it changed since the caller read it.
    """
    expected.check(seen.version)
    if name not in {None, seen.name}:
        same = select(_t.id).where(_t.owner_id == seen.owner_id, _t.name == name)
        if db.session.execute(same).first():
            raise _taken()
    values = {
        "name": name or seen.name, "settings": {**seen.settings, **_settings(settings)}, "version": seen.version + 1,
        "updated_at": clock.now(),
    }  # fmt: skip
    statement = update(_templates).where(_t.id == seen.id, _t.version == seen.version).values(values).returning(*_t)
    changed = db.session.execute(statement).one_or_none()
    if changed is None:
        raise lost_race()
    return changed


def remove(seen: Any, *, expected: Expected) -> None:
    """Delete a template.

    Raises:
        PreconditionFailed: it changed since the caller read it.
    """
    expected.check(seen.version)
    gone = delete(_templates).where(_t.id == seen.id, _t.version == seen.version).returning(_t.id)
    if db.session.execute(gone).one_or_none() is None:
        raise lost_race()


def _settings(given: dict[str, Any]) -> dict[str, Any]:
    return {name: given[name] for name in SETTINGS if name in given}


def _taken() -> Conflict:
    return Conflict("You have a template of this name already.", code="name_taken")
