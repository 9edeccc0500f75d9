"""Reading the audit log as a test wants it."""

from uuid import UUID

from delivery.audit.queries import entries


def acts(app, pattern="*", *, of=None):
    """(act, object's id, details) of each entry, the oldest first; of one object where asked."""
    with app.app_context():
        rows = entries(before=None, limit=1000, act=pattern, object_id=of and UUID(of))
    return [(row.act, row.object_id, row.details) for row in reversed(rows)]
