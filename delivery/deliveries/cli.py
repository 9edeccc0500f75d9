"""`flask deliveries`: seed believable ones, look at one, move one, find those that nobody moves."""

import secrets
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any
from uuid import UUID

import click
from sqlalchemy import Row, select

from delivery import clock
from delivery.cli import (
    CLI,
    Checked,
    Group,
    confirm_in_production,
    examples,
    in_batches,
    json_option,
    print_json,
    print_table,
    progress,
    rehearsable,
    shown,
    yes_option,
)
from delivery.database import reader, transaction
from delivery.deliveries import moving, seeding
from delivery.deliveries.access import Permit, delivery_for
from delivery.deliveries.queries import by_number, stuck, timeline
from delivery.deliveries.schemas import MoveIn, delivery_out, event_out
from delivery.deliveries.states import State
from delivery.errors import NotFound
from delivery.notifications.models import OutboxMessage
from delivery.notifications.queries import Filter, page
from delivery.users import passwords
from delivery.users import seeding as people
from delivery.users import services as users
from delivery.users.cli import EMAIL
from delivery.users.models import User
from delivery.users.states import Role
from delivery.web import Caller, Line

group = Group("deliveries", help="Deliveries: seed, show, move, find stuck ones.")

NUMBER_OR_ID = Checked(Line(100), name="text")
_MOVE = MoveIn().fields
_BATCH = 500
# An operator sees either world, one at a time.
_OF_TESTS = replace(CLI, test=True)
_MOST_PEOPLE = 500
# Who is added when there is nobody of this role yet.
_CREW = {Role.CUSTOMER: 20, Role.COURIER: 8}
_MOST_EVENTS, _MOST_MESSAGES = 10_000, 1_000


@group.command(
    "seed",
    epilog=examples(
        "flask deliveries seed",
        "flask deliveries seed --count 50 --owner ada@example.com",
        "flask deliveries seed --count 20000 --seed 42 --json",
    ),
)
@click.option("--count", type=click.IntRange(1, 1_000_000), default=1000, show_default=True)
@click.option("--seed", type=int, help="Number that decides everything below; random when not given.")
@click.option("--owner", type=EMAIL, help="Address of the account that they all belong to; all customers otherwise.")
@yes_option
@json_option
def seed(count: int, seed: int | None, owner: str | None, *, yes: bool, as_json: bool) -> None:
    """Add believable deliveries of the past four weeks, each with a legal history. No message is sent.

    Where there are no customers or couriers yet, a few are added; their password is printed. The same --seed and
    --count give the same goods, people, places, tags and lives, counted back from now, among the same accounts; ids,
    tracking numbers and references differ, so that it can be run again. It cannot be taken back: histories are never
    deleted. In production it asks first.
    """
    confirm_in_production(f"Add {count} invented deliveries to the production database, for ever?", yes=yes)
    seed = secrets.randbelow(1_000_000) if seed is None else seed
    password = _add_crew([Role.COURIER] if owner else [Role.CUSTOMER, Role.COURIER], seed=seed)
    owners = [_user_id(owner)] if owner else _ids_of(Role.CUSTOMER)
    invented = seeding.invent(
        count, faker=people.source(seed), owners=owners, couriers=_ids_of(Role.COURIER), now=clock.now()
    )
    by_status = _add(invented, count=count, quiet=as_json)
    if as_json:
        print_json({"added": count, "seed": seed, "by_status": by_status, "password": password})
        return
    click.echo(f"Added {count} deliveries (seed {seed}).")
    print_table([{"status": status, "deliveries": number} for status, number in by_status.items()], empty="")
    if password:
        click.echo(f"Added customers or couriers, too; see `flask users list`. Password of each: {password}")


def _add(invented: Iterable[seeding.Rows], *, count: int, quiet: bool) -> dict[str, int]:
    """Write them, a transaction a batch, and return how many there are in each state."""
    found: Counter[str] = Counter()
    with progress("Adding deliveries", length=count, quiet=quiet) as bar:
        for batch in in_batches(invented, size=_BATCH):
            with transaction():
                seeding.add(batch)
            found.update(rows.delivery["status"] for rows in batch)
            bar.update(len(batch))
    return {state.value: found[state] for state in State if found[state]}


def _add_crew(roles: Sequence[Role], *, seed: int) -> str | None:
    """Add people of each role that nobody has; return their password if there are any."""
    missing = [role for role in roles if not _ids_of(role)]
    if not missing:
        return None
    password = people.new_password()
    password_hash = passwords.hash_password(password)
    with transaction():
        for role in missing:
            users.seed(list(people.accounts(_CREW[role], role=role, seed=seed, password_hash=password_hash)))
    return password


def _ids_of(role: Role) -> list[UUID]:
    query = select(User.id).where(User.role == role, User.active).order_by(User.id).limit(_MOST_PEOPLE)
    return list(reader().execute(query).scalars())


def _user_id(email: str) -> UUID:
    found: UUID | None = reader().execute(select(User.id).where(User.email == email)).scalar_one_or_none()
    if found is None:
        raise NotFound(f"There is no account with the address {email}.")
    return found


def _find(number_or_id: str) -> Row[Any]:
    try:
        delivery_id: UUID | None = UUID(number_or_id)
    except ValueError:
        delivery_id = by_number(number_or_id)
    if delivery_id:
        for operator in (CLI, _OF_TESTS):
            with suppress(NotFound):
                return delivery_for(operator, delivery_id)
    raise NotFound(f"There is no delivery {number_or_id}, or it is deleted.")


def _operator_of(row: Row[Any]) -> Caller:
    return _OF_TESTS if row.test else CLI


@group.command(
    "show",
    epilog=examples("flask deliveries show 7KQ2M0X4ZPA9C", "flask deliveries show 7KQ2-M0X4-ZPA9-C --json"),
)
@click.argument("number_or_id", type=NUMBER_OR_ID)
@json_option
def show(number_or_id: str, *, as_json: bool) -> None:
    """Show a delivery with its history and its messages, by tracking number or id."""
    row = _find(number_or_id)
    body = delivery_out(row, allowed=moving.allowed_for(_operator_of(row), row))
    history = [event_out(event, staff=True) for event in timeline(row.id, after=0, limit=_MOST_EVENTS)]
    messages = [_message(one) for one in reversed(page(Filter(delivery_id=row.id), limit=_MOST_MESSAGES))]
    if as_json:
        print_json(body | {"history": history, "messages": messages})
        return
    for name, value in _lines(body):
        click.echo(f"{name:<17}{shown(value)}")
    click.echo("\nHistory")
    print_table([_event_line(event) for event in history], empty="")
    click.echo("\nMessages")
    print_table(messages, empty="None.")


def _message(row: Row[Any]) -> dict[str, Any]:
    names = ("id", "seq", "event", "channel", "audience", "state", "attempts", "created_at", "settled_at")
    return {name: getattr(row, name) for name in names}


def _lines(body: dict[str, Any]) -> list[tuple[str, Any]]:
    recipient, place, window = body["recipient"], body["destination"], body["window"]
    street = [place.get(name) for name in ("line1", "line2", "postcode", "city", "region", "country")]
    plain = ("tracking_number", "id", "test", "status", "version", "reference", "item_name", "owner_id", "courier_id")
    return [
        *((name.replace("_", " "), body[name]) for name in plain),
        ("recipient", ", ".join(filter(None, (recipient["name"], recipient["email"], recipient["phone"])))),
        ("destination", ", ".join(filter(None, street))),
        ("window", f"{shown(window['earliest'])} to {shown(window['latest'])}"),
        ("tags", ", ".join(body["tags"])),
        *((name.replace("_", " "), body[name]) for name in ("created_at", "picked_up_at", "updated_at")),
        ("may become", ", ".join(body["allowed_transitions"])),
    ]


def _event_line(event: dict[str, Any]) -> dict[str, Any]:
    return {
        "seq": event["seq"],
        "occurred_at": event["occurred_at"],
        "kind": event["kind"],
        "state": event["to_state"],
        "reason": event["reason_code"],
        "by": event["actor_type"],
        "note": event["note"],
    }


@group.command(
    "move",
    epilog=examples(
        "flask deliveries move 7KQ2M0X4ZPA9C assigned --courier max@example.com",
        "flask deliveries move 7KQ2M0X4ZPA9C on_hold --reason-code weather --public-note 'Snow.' --dry-run",
    ),
)
@click.argument("number_or_id", type=NUMBER_OR_ID)
@click.argument("state", metavar="STATE", type=click.Choice([str(state) for state in State]))
@click.option("--courier", type=EMAIL, help="With `assigned`: the courier's address.")
@click.option("--reason-code", type=Checked(_MOVE["reason_code"], name="word"), help="Such as nobody_home.")
@click.option("--note", type=Checked(_MOVE["note"], name="text"), help="For staff.")
@click.option("--public-note", type=Checked(_MOVE["public_note"], name="text"), help="For the recipient.")
@click.option("--dry-run", is_flag=True, help="Only say what would happen.")
@json_option
def move(
    number_or_id: str, state: str, courier: str | None, *, dry_run: bool, as_json: bool, **words: str | None
) -> None:
    """Move a delivery to another STATE; everybody concerned is told as usual.

    Exit code 1 when there is no such move from where it is: the error names those that are allowed.
    """
    seen = _find(number_or_id)
    given: dict[str, Any] = {"courier_id": _user_id(courier) if courier else None, **words}
    with rehearsable(dry_run=dry_run) as session:
        changed = moving.move(Permit(_operator_of(seen), seen.id), to=State(state), **given)
        mine = (OutboxMessage.delivery_id == changed.id, OutboxMessage.seq == changed.version)
        rows = session.execute(select(OutboxMessage.audience, OutboxMessage.channel).where(*mine)).all()
    told = [{"audience": row.audience, "channel": row.channel} for row in rows]
    if as_json:
        body = delivery_out(changed, allowed=moving.allowed_for(_operator_of(seen), changed))
        print_json({"dry_run": dry_run, "from": seen.status, "delivery": body, "messages": told})
        return
    listed = ", ".join(f"{one['audience']} by {one['channel']}" for one in told) or "nobody"
    verb, tell = ("Would move", "would tell") if dry_run else ("Moved", "told")
    click.echo(f"{verb} {seen.tracking_number} from {seen.status} to {changed.status}; {tell} {listed}.")


@group.command(
    "stuck",
    epilog=examples("flask deliveries stuck", "flask deliveries stuck --hours 72 --limit 10 --json"),
)
@click.option("--hours", type=click.FloatRange(min=0), default=24, show_default=True, help="Untouched for so long.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True)
@json_option
def stuck_ones(hours: float, limit: int, *, as_json: bool) -> None:
    """List open deliveries that nobody has touched for a while, the longest first; drafts do not count."""
    rows = [_stuck(row) for row in stuck(for_hours=hours, limit=limit)]
    if as_json:
        print_json(rows)
        return
    print_table([_stuck_line(row) for row in rows], empty="No open delivery has been left alone for so long.")
    if len(rows) == limit:
        click.echo(f"There may be more than {limit}; see --limit.", err=True)


def _stuck(row: Row[Any]) -> dict[str, Any]:
    names = ("tracking_number", "status", "updated_at", "reference", "courier_id", "id")
    hours = (clock.now() - row.updated_at).total_seconds() / 3600
    return {name: getattr(row, name) for name in names} | {"hours": round(hours, 1)}


def _stuck_line(row: dict[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in ("tracking_number", "status", "hours", "updated_at", "reference")}
