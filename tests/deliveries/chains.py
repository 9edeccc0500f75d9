"""The invariants of a history, asked of the database itself."""

from sqlalchemy import text

from delivery.database import db

# Each query finds what must never be; all must be empty.
BROKEN = {
    "a gap, or a version without its event": """
        SELECT d.id FROM deliveries d LEFT JOIN delivery_events e ON e.delivery_id = d.id
        GROUP BY d.id, d.version
        HAVING count(e.seq) <> d.version OR min(e.seq) <> 1 OR max(e.seq) <> d.version""",
    "a state that is not the newest event's": """
        SELECT d.id FROM deliveries d JOIN delivery_events e ON e.delivery_id = d.id AND e.seq = d.version
        WHERE e.to_state <> d.status""",
    "an event that does not begin where the one before ended": """
        SELECT e.delivery_id FROM delivery_events e
        JOIN delivery_events p ON p.delivery_id = e.delivery_id AND p.seq = e.seq - 1
        WHERE e.from_state IS NULL OR e.from_state <> p.to_state""",
    "a beginning out of nowhere": """
        SELECT delivery_id FROM delivery_events
        WHERE seq = 1 AND (from_state IS NOT NULL OR to_state NOT IN ('draft', 'pending'))""",
    "an edit that moves": """
        SELECT delivery_id FROM delivery_events WHERE kind = 'edited' AND from_state <> to_state""",
    "a parcel on the road that nobody picked up": """
        SELECT id FROM deliveries WHERE picked_up_at IS NULL AND deleted_at IS NULL AND status IN
        ('picked_up', 'in_transit', 'out_for_delivery', 'delivered', 'returning', 'returned', 'lost')""",
    "a message about an event that was not": """
        SELECT m.id FROM outbox_messages m
        LEFT JOIN delivery_events e ON e.delivery_id = m.delivery_id AND e.seq = m.seq
        WHERE m.delivery_id IS NOT NULL AND e.seq IS NULL""",
}


def broken(app):
    """Return which invariants do not hold; nothing, if all is well."""
    with app.app_context(), db.engine.connect() as connection:
        return [name for name, query in BROKEN.items() if connection.execute(text(query)).all()]


def moves(app):
    """Return every (from, to) that the histories hold, but for edits."""
    query = "SELECT DISTINCT from_state, to_state FROM delivery_events WHERE kind IN ('moved', 'assigned') AND seq > 1"
    with app.app_context(), db.engine.connect() as connection:
        return {tuple(row) for row in connection.execute(text(query))}
