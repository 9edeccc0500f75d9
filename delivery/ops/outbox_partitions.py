"""The outbox in partitions, a month of deliveries each; the table as it stands becomes the default one.

Nothing is copied: what is in the outbox stays where it is until retention throws it away, with what is about no
delivery. An id is unique within its partition alone, so the three references to a message's id become triggers. They do
what PostgreSQL does for a foreign key: whoever refers to a row locks it against deletion, and whoever deletes it looks
again, after that, for who refers to it.
"""

from uuid import UUID

import click
from sqlalchemy import MetaData, Table, delete, exists, select, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from delivery.notifications.models import OutboxAttempt, OutboxMessage
from delivery.notifications.receipts import MessageReceipt
from delivery.notifications.retention import is_past
from delivery.ops import months

TABLE = "outbox_messages"
PATIENCE_SECONDS = 5.0
_DEFAULT = months.default_of(TABLE)
_messages = OutboxMessage.__table__
_REFERRING = ("outbox_attempts", "message_receipts", TABLE)
_NAMED = text(
    "SELECT conrelid::regclass::text AS owner, conname AS name FROM pg_constraint"
    " WHERE contype = 'f' AND confrelid = to_regclass(:name)"
)
_INDEXES = text(
    "SELECT inhrelid::regclass::text AS name, inhparent::regclass::text AS parent FROM pg_inherits"
    " WHERE inhrelid IN (SELECT indexrelid FROM pg_index WHERE indrelid = to_regclass(:name))"
)
_FOREIGN_KEYS = text(
    "SELECT conname AS name, pg_get_constraintdef(oid) AS definition FROM pg_constraint"
    " WHERE conrelid = to_regclass(:name) AND contype = 'f' AND conparentid = 0"
)
_BEING_SENT = text(f"SELECT count(*) FROM {TABLE} WHERE state = 'sending' AND lease_until > now()")  # noqa: S608
_NEWEST = text(f"SELECT delivery_id FROM {TABLE} WHERE delivery_id < :end ORDER BY delivery_id DESC LIMIT 1")  # noqa: S608
# Many at once: an index is searched for all of them, partition by partition. A plan that was made while the tables were
# small must not read whole ones when they are not.
_FUNCTIONS = """
CREATE FUNCTION require_outbox_messages(wanted uuid[]) RETURNS void LANGUAGE plpgsql SET enable_seqscan = off AS $$
DECLARE found bigint;
BEGIN
  WITH there AS (SELECT id FROM outbox_messages WHERE id = ANY (wanted) FOR KEY SHARE)
  SELECT count(DISTINCT id) INTO found FROM there;
  IF found < (SELECT count(DISTINCT id) FROM unnest(wanted) id) THEN
    RAISE EXCEPTION 'there is no such message' USING ERRCODE = 'foreign_key_violation';
  END IF;
END $$;
CREATE FUNCTION outbox_references_stand() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM require_outbox_messages((SELECT array_agg(message_id) FROM added));
  RETURN NULL;
END $$;
CREATE FUNCTION outbox_reference_stands() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM require_outbox_messages(ARRAY[NEW.message_id]);
  RETURN NULL;
END $$;
CREATE FUNCTION outbox_repeat_stands() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM require_outbox_messages(ARRAY[NEW.resend_of]);
  RETURN NULL;
END $$;
CREATE FUNCTION outbox_message_is_free() RETURNS trigger LANGUAGE plpgsql SET enable_seqscan = off AS $$
BEGIN
  IF TG_OP = 'DELETE' THEN
    DELETE FROM message_receipts WHERE message_id = OLD.id;
  END IF;
  IF EXISTS (SELECT FROM outbox_attempts WHERE message_id = OLD.id)
    OR EXISTS (SELECT FROM message_receipts WHERE message_id = OLD.id)
    OR EXISTS (SELECT FROM outbox_messages WHERE resend_of = OLD.id) THEN
    RAISE EXCEPTION 'an attempt, a receipt or a message refers to it' USING ERRCODE = 'foreign_key_violation';
  END IF;
  RETURN NULL;
END $$;
CREATE FUNCTION outbox_is_free() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (SELECT FROM outbox_attempts) OR EXISTS (SELECT FROM message_receipts) THEN
    RAISE EXCEPTION 'attempts or receipts refer to messages' USING ERRCODE = 'foreign_key_violation';
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER message_is_there AFTER INSERT ON outbox_attempts REFERENCING NEW TABLE AS added
  FOR EACH STATEMENT EXECUTE FUNCTION outbox_references_stand();
CREATE TRIGGER message_is_there AFTER INSERT ON message_receipts REFERENCING NEW TABLE AS added
  FOR EACH STATEMENT EXECUTE FUNCTION outbox_references_stand();
CREATE TRIGGER message_stays AFTER UPDATE OF message_id ON outbox_attempts
  FOR EACH ROW EXECUTE FUNCTION outbox_reference_stands();
CREATE TRIGGER message_stays AFTER UPDATE OF message_id ON message_receipts
  FOR EACH ROW EXECUTE FUNCTION outbox_reference_stands();
CREATE TRIGGER message_is_free AFTER DELETE ON outbox_messages
  FOR EACH ROW EXECUTE FUNCTION outbox_message_is_free();
CREATE TRIGGER message_keeps_its_id AFTER UPDATE OF id ON outbox_messages
  FOR EACH ROW WHEN (OLD.id <> NEW.id) EXECUTE FUNCTION outbox_message_is_free();
"""
# Each partition has its own: pg_restore with several jobs defines those of the whole before the partitions have rows.
_REPEATED = """
CREATE TRIGGER repeated_is_there AFTER INSERT OR UPDATE OF resend_of ON {}
  FOR EACH ROW WHEN (NEW.resend_of IS NOT NULL) EXECUTE FUNCTION outbox_repeat_stands()"""
_EMPTIED = "CREATE TRIGGER outbox_is_free AFTER TRUNCATE ON {} FOR EACH STATEMENT EXECUTE FUNCTION outbox_is_free()"


def split(session: Session) -> int:
    """Make the outbox the default partition of one that is split; returns how many messages there are.

    Raises:
        ClickException: messages are being sent: what came of them could not be written down meanwhile. Or somebody
            holds the tables.
    """
    _lock(session)
    if count := session.execute(_BEING_SENT).scalar_one():
        raise click.ClickException(
            f"{count} messages are being sent. Run flask notifications hold, and come again in a minute."
        )
    total: int = session.execute(text(f"SELECT count(*) FROM {TABLE}")).scalar_one()  # noqa: S608
    newest = session.execute(_NEWEST, {"end": months.first_id(months.later(months.this_month(), 1))}).scalar()
    for one in session.execute(_NAMED, {"name": TABLE}).all():
        session.execute(text(f"ALTER TABLE {one.owner} DROP CONSTRAINT {one.name}"))
    _put_parent_in_place(session)
    _make_this_month(session, newest)
    _attach(session)
    session.execute(text(_FUNCTIONS))
    session.execute(text(_EMPTIED.format(TABLE)))
    for name in months.partitions(session, TABLE):
        _guard(session, name)
    return total


def _lock(session: Session) -> None:
    """Lock the tables, unless somebody works for long: whoever asks for them meanwhile waits behind."""
    session.execute(text(f"SET LOCAL lock_timeout = '{PATIENCE_SECONDS}s'"))
    session.execute(text("SET LOCAL statement_timeout = 0"))
    try:
        # The history first, as those lock it who write; its foreign key is defined again.
        session.execute(text("LOCK TABLE delivery_events IN SHARE ROW EXCLUSIVE MODE"))
        session.execute(text(f"LOCK TABLE {', '.join(_REFERRING)} IN ACCESS EXCLUSIVE MODE"))
    except OperationalError as error:
        raise click.ClickException(
            "Somebody holds the outbox; nothing was changed. Come again when it is quiet."
        ) from error


def _put_parent_in_place(session: Session) -> None:
    """Rename the table, and define an empty one like it.

    What is equal is adopted when it is attached, not built again. LIKE copies conditions as they are stored, which no
    text does; but from a table with this primary key it would copy that as well.
    """
    keys = session.execute(_FOREIGN_KEYS, {"name": TABLE}).all()
    session.execute(text(f"ALTER TABLE {TABLE} RENAME TO {_DEFAULT}"))
    session.execute(text(f"ALTER INDEX pk_{TABLE} RENAME TO pk_{_DEFAULT}"))
    session.execute(text(f"CREATE TABLE {TABLE}_shape (LIKE {_DEFAULT} INCLUDING ALL)"))
    session.execute(text(f"ALTER TABLE {TABLE}_shape DROP CONSTRAINT {TABLE}_shape_pkey"))
    session.execute(text(f"CREATE TABLE {TABLE} (LIKE {TABLE}_shape INCLUDING ALL) PARTITION BY RANGE (delivery_id)"))
    session.execute(text(f"DROP TABLE {TABLE}_shape"))
    for one in keys:
        session.execute(text(f"ALTER TABLE {TABLE} ADD CONSTRAINT {one.name} {one.definition}"))


def _attach(session: Session) -> None:
    """Make the old table the default partition; the new one's indexes take the names by which migrations know them."""
    session.execute(text(f"ALTER TABLE {TABLE} ATTACH PARTITION {_DEFAULT} DEFAULT"))
    for one in session.execute(_INDEXES, {"name": _DEFAULT}).all():
        session.execute(text(f"ALTER INDEX {one.name} RENAME TO {one.name.replace(TABLE, _DEFAULT)}"))
        session.execute(text(f"ALTER INDEX {one.parent} RENAME TO {one.name}"))


def _make_this_month(session: Session, newest: UUID | None) -> None:
    """Make what is left of this month: from the first delivery on that has no message yet. It is complete by itself."""
    month = months.this_month()
    first = months.first_id(month)
    if newest is not None and newest >= first:
        first = UUID(int=newest.int + 1)
    months.make(session, TABLE, month, since=first)
    _key(session, months.name_of(TABLE, month))


def complete(session: Session, name: str) -> None:
    """Give a new partition what only partitions have."""
    _key(session, name)
    _guard(session, name)


def _key(session: Session, name: str) -> None:
    session.execute(text(f"ALTER TABLE {name} ADD CONSTRAINT pk_{name} PRIMARY KEY (id)"))


def _guard(session: Session, name: str) -> None:
    for trigger in (_REPEATED, _EMPTIED):
        session.execute(text(trigger.format(name)))


def forget(session: Session, name: str) -> None:
    """Delete what belongs to a partition's messages, so that it can be dropped.

    Nobody waits while that takes its time; that nothing has changed meanwhile is looked at again under the lock.

    Raises:
        ClickException: it holds a message that is open, or was settled too lately.
    """
    ids = select(_part(name).c.id)
    _refuse_if_kept(session, name)
    for table in (OutboxAttempt.__table__, MessageReceipt.__table__):
        session.execute(delete(table).where(table.c.message_id.in_(ids)))
    _lock(session)
    _refuse_if_kept(session, name)


def _refuse_if_kept(session: Session, name: str) -> None:
    part, repeats = _part(name), _messages.alias("repeats")
    whole = select(part.c.id).where(repeats.c.resend_of == part.c.id, ~is_past(repeats.c))
    kept = exists().where(~is_past(part.c)) | exists(
        whole.select_from(part.join(repeats, repeats.c.resend_of == part.c.id))
    )
    if session.execute(select(kept)).scalar_one():
        raise click.ClickException(f"{name} holds messages that are open, or are still kept.")


def _part(name: str) -> Table:
    return _messages.to_metadata(MetaData(), name=name)
