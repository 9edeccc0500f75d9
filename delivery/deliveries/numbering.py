"""Giving events their place in the feed: after their commit, one batch after another, so that none is passed over.

Whoever reads a feed by position goes on after the last one seen. A number that is drawn when an event is written (a
serial, a UUIDv7, a time) may become visible later than a greater one, and would then never be read. Here a number is
drawn for events that are visible already, under a lock that is held until the numbers are visible, too: a position is
only ever added above all positions that anybody can have seen. Transactions may take as long as they like; a dump that
is restored elsewhere keeps its positions, as it would not those made of PostgreSQL's transaction ids.
"""

from sqlalchemy import BigInteger, func, select, text

from delivery.database import backend, db, now, reader, transaction, upsert
from delivery.deliveries.models import DeliveryEvent, FeedFloor

_floors, _position = FeedFloor.__table__, DeliveryEvent.__table__.c.position
BATCH_SIZE = 1000
# More events than are written between a backup and its restore.
LEAP = 1_000_000_000
# One at a time, until its commit; who comes second leaves it to the first. SQLite has one writer anyway.
_TURN = text("SELECT pg_try_advisory_xact_lock(5120733641908275)")
_NEW = text("SELECT 1 FROM delivery_events WHERE position IS NULL LIMIT 1")
# By the time at which they were written, as far as the hosts' clocks agree, but of a delivery always by seq. Chosen by
# the index of those without a number, so that a long backlog is done piece by piece.
_NUMBER = text(
    """
    WITH chosen AS (
        SELECT delivery_id, seq, recorded_at FROM delivery_events WHERE position IS NULL
        ORDER BY delivery_id, seq LIMIT :limit
    ), timed AS (
        SELECT delivery_id, seq, max(recorded_at) OVER (PARTITION BY delivery_id ORDER BY seq) AS moment FROM chosen
    ), numbered AS (
        SELECT delivery_id, seq, row_number() OVER (ORDER BY moment, delivery_id, seq) AS place FROM timed
    )
    UPDATE delivery_events
    SET position = numbered.place + (
        SELECT max(position) FROM (
            SELECT max(position) AS position FROM delivery_events WHERE position IS NOT NULL
            UNION ALL SELECT coalesce(max(position), 0) FROM feed_floors
        ) AS given
    )
    FROM numbered
    WHERE delivery_events.delivery_id = numbered.delivery_id AND delivery_events.seq = numbered.seq
    RETURNING position
    """
).columns(position=BigInteger)


def leap() -> None:
    """Have the next positions begin far above all that anybody can have seen; after a restore.

    Whoever read on after the backup holds positions that it does not know, and would pass over events that get them.
    """
    newest = select(func.coalesce(func.max(_position), 0) + LEAP).where(_position.is_not(None)).scalar_subquery()
    floor = upsert(_floors).values(position=newest, set_at=now())
    db.session.execute(floor.on_conflict_do_nothing())


def number_new_events() -> int:
    """Number the events that have been committed since the last time; returns how many there were.

    Where there are none it costs one look into an index.
    """
    if reader().execute(_NEW).first() is None:
        return 0
    count = batch = _number_batch()
    while batch == BATCH_SIZE:
        count += (batch := _number_batch())
    return count


def _number_batch() -> int:
    with transaction():
        if backend() == "postgresql" and not db.session.execute(_TURN).scalar_one():
            return 0
        return len(db.session.execute(_NUMBER, {"limit": BATCH_SIZE}).all())
