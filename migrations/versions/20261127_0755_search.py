"""Search on SQLite, and indexes for the filters that had none; PostgreSQL's search came later (4e9a7c1d05b8).

Rules: works while the release before still serves (expand now, contract a release later); takes short locks only;
has a downgrade; imports no models, because they will change; runs on PostgreSQL and SQLite.
"""

import sqlalchemy as sa
from alembic import op

revision = "b81d5f27c9e4"
down_revision = "6b0e94d1c7f2"
branch_labels = None
depends_on = None

ALIVE = sa.text("deleted_at IS NULL")
OPEN = sa.text("deleted_at IS NULL AND status NOT IN ('cancelled', 'delivered', 'lost', 'returned')")
SEARCHED = ("tracking_number", "reference", "recipient_name", "recipient_phone")
MADE = ("ix_deliveries_reference", "ix_deliveries_open_window")


def words(row: str) -> str:
    """Return what is searched of a row, two blanks before each word: so the first character of each has a trigram."""
    texts = (f"replace(coalesce({row}{name}, ''), ' ', '  ')" for name in SEARCHED)
    return "'  ' || " + " || char(10) || '  ' || ".join(texts)


ADD = f"""
    INSERT INTO delivery_search_rows (delivery_id) VALUES (NEW.id);
    INSERT INTO delivery_search (rowid, words)
        SELECT number, {words("NEW.")} FROM delivery_search_rows WHERE delivery_id = NEW.id;
"""  # noqa: S608  # the names are ours
REMOVE = """
    DELETE FROM delivery_search WHERE rowid IN (SELECT number FROM delivery_search_rows WHERE delivery_id = OLD.id);
    DELETE FROM delivery_search_rows WHERE delivery_id = OLD.id;
"""
TRIGGERS = {
    "insert": ("INSERT ON deliveries WHEN NEW.deleted_at IS NULL", ADD),
    "update": (
        f"UPDATE OF {', '.join(SEARCHED)} ON deliveries WHEN NEW.deleted_at IS NULL AND OLD.deleted_at IS NULL",
        REMOVE + ADD,
    ),
    "delete": ("UPDATE OF deleted_at ON deliveries WHEN NEW.deleted_at IS NOT NULL", REMOVE),
    "gone": ("DELETE ON deliveries", REMOVE),
}
FILL = f"""
    INSERT INTO delivery_search (rowid, words)
        SELECT number, {words("d.")} FROM delivery_search_rows JOIN deliveries d ON d.id = delivery_id
"""  # noqa: S608  # the names are ours
FTS = (
    "CREATE VIRTUAL TABLE delivery_search USING fts5 (words, tokenize = 'trigram', columnsize = 0)",
    # FTS5 knows rows by numbers, and VACUUM gives rows without a number of their own new ones.
    "CREATE TABLE delivery_search_rows (number INTEGER PRIMARY KEY, delivery_id CHAR(32) NOT NULL UNIQUE)",
    "INSERT INTO delivery_search_rows (delivery_id) SELECT id FROM deliveries WHERE deleted_at IS NULL",
    FILL,
    *(f"CREATE TRIGGER deliveries_search_{name} AFTER {when} BEGIN {do} END" for name, (when, do) in TRIGGERS.items()),
)


def upgrade() -> None:
    on_postgresql = op.get_bind().dialect.name == "postgresql"
    with op.get_context().autocommit_block():
        if on_postgresql:
            drop_unfinished()
        op.create_index(
            "ix_deliveries_reference",
            "deliveries",
            ["reference", "id"],
            postgresql_where=ALIVE,
            sqlite_where=ALIVE,
            postgresql_concurrently=True,
            if_not_exists=True,
        )
        op.create_index(
            "ix_deliveries_open_window",
            "deliveries",
            ["window_latest", "id"],
            postgresql_where=OPEN,
            sqlite_where=OPEN,
            postgresql_concurrently=True,
            if_not_exists=True,
        )
    if not on_postgresql:
        for statement in FTS:
            op.execute(statement)


def drop_unfinished() -> None:
    """Drop what a build left that was broken off: it is of no use, and would count as being there."""
    left = "SELECT indexrelid::regclass::text FROM pg_index WHERE NOT indisvalid AND indrelid = 'deliveries'::regclass"
    for name in op.get_bind().execute(sa.text(left)).scalars().all():
        if name in MADE:
            op.execute(f"DROP INDEX CONCURRENTLY {name}")


def downgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        for name in TRIGGERS:
            op.execute(f"DROP TRIGGER deliveries_search_{name}")
        op.drop_table("delivery_search")
        op.drop_table("delivery_search_rows")
    op.drop_index("ix_deliveries_open_window", "deliveries")
    op.drop_index("ix_deliveries_reference", "deliveries")
