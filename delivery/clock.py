"""The clock of this process; the only caller of datetime.now."""

from datetime import UTC, datetime, timedelta

# Tests move time with it; database.now() adds the same offset, so that both clocks agree.
offset = timedelta()
ZONE = UTC


def now() -> datetime:
    """Return the current time, aware, in UTC."""
    return datetime.now(ZONE) + offset
