"""`flask privacy`: what is held about somebody, forgetting them, and forgetting again after a restore."""

import os
import shutil
from pathlib import Path
from typing import Any
from uuid import UUID

import click
from flask import current_app

from delivery import audit
from delivery.cli import Checked, Group, examples, json_option, print_json, rehearsable
from delivery.database import transaction
from delivery.errors import NotFound
from delivery.privacy import erasure_list, restoring, services
from delivery.privacy.archives import export
from delivery.privacy.queries import email_hash, just_written, phone_hash
from delivery.privacy.schemas import erasure_out
from delivery.privacy.sources import OF_ACCOUNT, OF_RECIPIENT, account, recipient
from delivery.users.queries import exists
from delivery.users.schemas import Email, Phone

group = Group("privacy", help="What is held about somebody; forgetting them; and again, after a restore.")

EMAIL, PHONE = Checked(Email(), name="email"), Checked(Phone(), name="phone")
_FILE = click.Path(path_type=Path, dir_okay=False)


@group.command(
    "export",
    epilog=examples(
        "flask privacy export --user 01890a5d-ac96-774b-bcce-b302099a8057 --output account.zip",
        "flask privacy export --email grace@home.example --phone +442079460000 --output grace.zip",
    ),
)
@click.option("--user", "user_id", type=click.UUID, help="The id of an account.")
@click.option("--email", type=EMAIL, help="The address of a recipient.")
@click.option("--phone", type=PHONE, help="The number of a recipient.")
@click.option("--output", type=_FILE, required=True, help="The archive to write; it must not exist.")
def export_person(user_id: UUID | None, email: str | None, phone: str | None, output: Path) -> None:
    """Write all that is held about somebody into a ZIP archive of JSON files.

    An account by its id; or a recipient, who need not have one, by the address or number that deliveries go to. Give it
    only to whom it is about: make sure who asks.
    """
    if bool(user_id) == bool(email or phone):
        raise click.UsageError("Give --user, or --email and --phone of a recipient.")
    _record_export(user_id, email=email, phone=phone)
    if user_id:
        archive = export(OF_ACCOUNT, whom=f"the account {user_id}", **account(user_id))
    else:
        whom = " and ".join(filter(None, (email, phone)))
        archive = export(OF_RECIPIENT, whom=f"the recipient {whom}", **recipient(email=email, phone=phone))
    with archive, _new_file(output) as file:
        shutil.copyfileobj(archive, file)
    click.echo(f"Wrote {output}.")


def _record_export(user_id: UUID | None, *, email: str | None, phone: str | None) -> None:
    if user_id and not exists(user_id):
        raise NotFound("There is no account with this id, or it is erased.")
    hashes: dict[str, Any] = {}
    hashes |= {"email_hash": email_hash(email).hex()} if email else {}
    hashes |= {"phone_hash": phone_hash(phone).hex()} if phone else {}
    with transaction():
        if user_id:
            audit.record("user.exported", object_type="user", object_id=user_id)
        else:
            audit.record("recipient.exported", **hashes)


def _new_file(path: Path) -> Any:
    """Open a file that only its owner reads and that was not there before."""
    try:
        return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")
    except OSError as error:
        raise click.ClickException(f"Cannot write {path}: {error.strerror}.") from None


@group.command(
    "erase",
    epilog=examples(
        "flask privacy erase --email grace@home.example --dry-run",
        "flask privacy erase --email grace@home.example --phone +442079460000",
    ),
)
@click.option("--email", type=EMAIL, help="The recipient's address.")
@click.option("--phone", type=PHONE, help="The recipient's number.")
@click.option("--dry-run", is_flag=True, help="Say what would be erased, and change nothing.")
@json_option
def erase(email: str | None, phone: str | None, *, dry_run: bool, as_json: bool) -> None:
    """Forget a recipient in all deliveries that exist now, and whoever was invited to the address.

    Open deliveries keep their address until they are over; `flask cron` erases it then. Nobody is told. What is
    delivered to the same address later is new, and not touched.
    """
    if not email and not phone:
        raise click.UsageError("Give --email, --phone or both.")
    with rehearsable(dry_run=dry_run):
        done = erasure_out(just_written(services.erase_recipient(email=email, phone=phone)))
    if as_json:
        print_json(done | {"dry_run": dry_run})
        return
    counts = ", ".join(f"{number} {name}" for name, number in sorted(done["counts"].items())) or "nothing"
    click.echo(f"{'Would erase' if dry_run else 'Erased'}: {counts}; {done['waiting']} deliveries wait for cron.")


@group.command(
    "reapply",
    epilog=examples(
        "flask privacy reapply --dry-run",
        "flask privacy reapply --list /mnt/safe/erasures.jsonl",
    ),
)
@click.option("--list", "path", type=_FILE, help="The list of erasures; ERASURE_LIST when not given.")
@click.option("--dry-run", is_flag=True, help="Say what would be erased, and change nothing.")
@json_option
def reapply(path: Path | None, *, dry_run: bool, as_json: bool) -> None:
    """Do the erasures again that a restored database knows nothing of, before it is used.

    It is safe to run twice. Exit code 1 when something is left: lines that cannot be read, recipients whose hashes were
    made with another SECRET_KEY, or an account that is the last admin.
    """
    path = path or current_app.config["ERASURE_LIST"]
    try:
        lines, unreadable = erasure_list.read(path)
    except OSError as error:
        raise click.ClickException(f"Cannot read {path}: {error.strerror}.") from None
    made = restoring.plan(lines)
    refused = [] if dry_run else restoring.reapply(made)
    deliveries = sum(map(len, made.deliveries.values()))
    done = {"users": len(made.users) - len(refused), "recipients": len(made.recipients), "deliveries": deliveries}
    left = {"unreadable": unreadable, "other_key": made.other_key, "last_admins": refused}
    if as_json:
        print_json(done | left | {"dry_run": dry_run})
    else:
        _say(done, left, dry_run=dry_run)
    if any(left.values()):
        raise click.exceptions.Exit(1)


def _say(done: dict[str, int], left: dict[str, Any], *, dry_run: bool) -> None:
    erased = "Would erase again" if dry_run else "Erased again"
    click.echo(f"{erased}: {{users}} accounts, {{recipients}} recipients in {{deliveries}} deliveries.".format(**done))
    if left["unreadable"]:
        click.echo(f"{left['unreadable']} lines of the list cannot be read.", err=True)
    if left["other_key"]:
        click.echo(f"{left['other_key']} recipients' hashes were made with another SECRET_KEY.", err=True)
    for user_id in left["last_admins"]:
        click.echo(f"{user_id} is the last admin; make another one and run this again.", err=True)
