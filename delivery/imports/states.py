"""What an import can be, and the limits of its file; plain Python."""

from enum import StrEnum


class ImportState(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    COMPLETED = "completed"
    COMPLETED_WITH_ERRORS = "completed_with_errors"
    FAILED = "failed"
    CANCELLED = "cancelled"


class OnDuplicate(StrEnum):
    """What becomes of a row whose reference one of the owner's deliveries has already."""

    SKIP = "skip"
    UPDATE = "update"
    ERROR = "error"


COUNTS = ("created", "updated", "skipped", "failed")
UNFINISHED = frozenset({ImportState.QUEUED, ImportState.RUNNING})
DELIMITERS = (",", ";", "\t", "|")
MOST_ROWS = 1_000_000
MOST_COLUMNS = 500
# A record, in characters, with all its lines: no cell of a delivery comes near it.
LONGEST_RECORD = 131_072
MOST_TEMPLATES = 100
# Columns of errors.csv that are ours, and are passed over when it comes back.
OUR_COLUMNS = ("import_row", "import_errors", "import_suggestions")
