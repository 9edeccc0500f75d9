"""All that a round left behind: what clients and the outside saw, who was killed, and the database afterwards."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy import NullPool, create_engine, text


@dataclass
class Record:
    """What the checks read; nothing in it comes from the code under test but the rows that it wrote."""

    calls: list = field(default_factory=list)  # traffic.Call
    received: list = field(default_factory=list)  # outside.Received
    misdeeds: list = field(default_factory=list)  # (name, subject) of what the outside did on purpose
    kills: list = field(default_factory=list)  # name, pid, at
    handed_off: list = field(default_factory=list)  # pid, at, ids
    deliveries: list = field(default_factory=list)
    events: list = field(default_factory=list)
    messages: list = field(default_factory=list)
    attempts: list = field(default_factory=list)
    users: dict = field(default_factory=dict)  # address -> id, of those who forgot their password
    endpoints: dict = field(default_factory=dict)  # id -> (its owner's address, whether it may go away)
    feed: list = field(default_factory=list)  # (delivery's id, sequence), as a program read them
    probes: list = field(default_factory=list)  # (delivery's id, seconds until the first mail or None)
    outages: list = field(default_factory=list)  # (from, to): there was no API to answer
    leftovers: list = field(default_factory=list)  # processes that were still there at the end
    lease_seconds: float = 60.0
    ladders: dict = field(default_factory=dict)


_DELIVERIES = """
    SELECT d.id, d.reference, d.tracking_number AS number, d.status, d.version, d.recipient_email AS email,
           d.recipient_phone AS phone, u.email AS sender
    FROM deliveries d JOIN users u ON u.id = d.owner_id WHERE d.reference LIKE :like
"""
_OF_THEM = "delivery_id IN (SELECT id FROM deliveries WHERE reference LIKE :like)"
_EVENTS = f"""
    SELECT delivery_id, seq, kind, from_state AS before, to_state AS state FROM delivery_events
    WHERE {_OF_THEM} ORDER BY delivery_id, seq
"""
_MESSAGES = """
    SELECT id, channel, audience, recipient_id, delivery_id, seq, event, template, state, attempts, error_class,
           provider_ref, resend_of, created_at, settled_at FROM outbox_messages WHERE created_at >= :since
"""
_ATTEMPTS = """
    SELECT a.message_id, a.n, a.handoff_at, a.ended_at, a.outcome, a.error_class FROM outbox_attempts a
    JOIN outbox_messages m ON m.id = a.message_id WHERE m.created_at >= :since
"""
_OPEN = "SELECT count(*) FROM outbox_messages WHERE state IN ('pending', 'sending')"


class Reader:
    """Reads the database from outside, by SQL of its own."""

    def __init__(self, url):
        self._engine = create_engine(url, isolation_level="AUTOCOMMIT", poolclass=NullPool)  # it is restarted meanwhile
        self._sqlite = self._engine.dialect.name == "sqlite"

    def count_open(self):
        with self._engine.connect() as connection:
            return connection.execute(text(_OPEN)).scalar_one()

    def now(self):
        """The database's clock, as a bound for rows that come after it."""
        clock = "strftime('%Y-%m-%d %H:%M:%f', 'now')" if self._sqlite else "now()"
        with self._engine.connect() as connection:
            return connection.execute(text(f"SELECT {clock}")).scalar_one()

    def fill(self, record, *, like, since, addresses):
        """Add to a record the rows of a round."""
        record.deliveries = self._rows(_DELIVERIES, like=like)
        record.events = self._rows(_EVENTS, like=like)
        record.messages = self._rows(_MESSAGES, since=since)
        record.attempts = self._rows(_ATTEMPTS, since=since)
        asked = set(addresses)
        people = self._rows("SELECT id, email FROM users")
        record.users = {row["email"]: row["id"] for row in people if row["email"] in asked}

    def _rows(self, statement, **values):
        with self._engine.connect() as connection:
            rows = connection.execute(text(statement), values).mappings().all()
        return [{name: _plain(name, value) for name, value in row.items()} for row in rows]

    def close(self):
        self._engine.dispose()


def _plain(name, value):
    """UUIDs as text, times in seconds, whatever the database makes of them."""
    if value is None:
        return None
    if name == "id" or (name.endswith("_id") and name != "request_id"):
        return str(UUID(str(value)))
    if name.endswith("_at"):
        moment = datetime.fromisoformat(value) if isinstance(value, str) else value
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    return value
