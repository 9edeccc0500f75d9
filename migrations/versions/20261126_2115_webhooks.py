"""Endpoints of webhooks, and a place in the feed for each event.

Rules: works while the release before still serves (expand now, contract a release later); takes short locks only;
has a downgrade; imports no models, because they will change; runs on PostgreSQL and SQLite.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "c41f8be2d706"
down_revision = "e1b74c2f9a06"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)
JSON = sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")
# What nobody may change of an event, whatever else may be added to it.
FIXED = (
    "delivery_id, seq, kind, from_state, to_state, reason_code, actor_type, actor_id, request_id, occurred_at, "
    "recorded_at"
)
REFUSED = "SELECT RAISE(ABORT, 'delivery_events is append-only')"
RENUMBERED = "OLD.position IS NOT NULL OR NEW.position IS NULL"


def upgrade() -> None:
    op.create_table(
        "webhook_endpoints",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("owner_id", sa.Uuid(), nullable=False),
        sa.Column("watches", sa.Uuid(), nullable=False),
        sa.Column("url", sa.String(length=2048), nullable=False),
        sa.Column("description", sa.String(length=200), nullable=True),
        sa.Column("events", JSON, nullable=False),
        sa.Column("status", sa.String(length=12), nullable=False),
        sa.Column("disabled_reason", sa.String(length=12), nullable=True),
        sa.Column("challenge", sa.String(length=43), nullable=False),
        sa.Column("verified_at", TIME, nullable=True),
        sa.Column("failing_since", TIME, nullable=True),
        sa.Column("secret", sa.LargeBinary(), nullable=False),
        sa.Column("old_secret", sa.LargeBinary(), nullable=True),
        sa.Column("old_secret_until", TIME, nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("updated_at", TIME, nullable=False),
        sa.CheckConstraint("status IN ('unverified', 'active', 'disabled')", name="status"),
        sa.CheckConstraint("disabled_reason IN ('gone', 'failing', 'by_owner', 'by_operator')", name="disabled_reason"),
        sa.CheckConstraint("(status = 'disabled') = (disabled_reason IS NOT NULL)", name="disabled"),
        sa.CheckConstraint("(old_secret IS NULL) = (old_secret_until IS NULL)", name="old_secret"),
        sa.CheckConstraint("version >= 1", name="version"),
        sa.ForeignKeyConstraint(["owner_id"], ["users.id"], name="fk_webhook_endpoints_owner_id"),
        sa.PrimaryKeyConstraint("id", name="pk_webhook_endpoints"),
    )
    op.create_index("ix_webhook_endpoints_owner", "webhook_endpoints", ["owner_id", "id"])
    op.create_index("ix_webhook_endpoints_watches", "webhook_endpoints", ["watches"], **where("status <> 'disabled'"))
    op.add_column("delivery_events", sa.Column("position", sa.BigInteger(), nullable=True))
    op.create_index(
        "uq_delivery_events_position", "delivery_events", ["position"], unique=True, **where("position IS NOT NULL")
    )
    op.create_index("ix_delivery_events_new", "delivery_events", ["delivery_id", "seq"], **where("position IS NULL"))
    allow_numbering()


def downgrade() -> None:
    refuse_every_change()
    op.drop_index("ix_delivery_events_new", "delivery_events")
    op.drop_index("uq_delivery_events_position", "delivery_events")
    op.drop_column("delivery_events", "position")
    op.drop_table("webhook_endpoints")


def is_postgresql() -> bool:
    return op.get_bind().dialect.name == "postgresql"


def where(condition: str) -> dict[str, sa.TextClause]:
    return {"postgresql_where": sa.text(condition), "sqlite_where": sa.text(condition)}


def allow_numbering() -> None:
    """Let the position be written, once; everything else of an event stays as it is."""
    if not is_postgresql():
        op.execute("DROP TRIGGER delivery_events_no_update")
        op.execute(
            f"CREATE TRIGGER delivery_events_no_update BEFORE UPDATE OF {FIXED} ON delivery_events BEGIN {REFUSED}; END"
        )
        op.execute(
            f"""
            CREATE TRIGGER delivery_events_numbered_once BEFORE UPDATE OF position ON delivery_events
            WHEN {RENUMBERED} BEGIN {REFUSED}; END
            """
        )
        return
    op.execute("DROP TRIGGER delivery_events_append_only ON delivery_events")
    op.execute(
        f"""
        CREATE TRIGGER delivery_events_append_only
        BEFORE UPDATE OF {FIXED} OR DELETE OR TRUNCATE ON delivery_events
        FOR EACH STATEMENT EXECUTE FUNCTION refuse_rewriting_history()
        """
    )
    op.execute(
        f"""
        CREATE TRIGGER delivery_events_numbered_once BEFORE UPDATE OF position ON delivery_events
        FOR EACH ROW WHEN ({RENUMBERED}) EXECUTE FUNCTION refuse_rewriting_history()
        """
    )


def refuse_every_change() -> None:
    if not is_postgresql():
        op.execute("DROP TRIGGER delivery_events_numbered_once")
        op.execute("DROP TRIGGER delivery_events_no_update")
        op.execute(f"CREATE TRIGGER delivery_events_no_update BEFORE UPDATE ON delivery_events BEGIN {REFUSED}; END")
        return
    op.execute("DROP TRIGGER delivery_events_numbered_once ON delivery_events")
    op.execute("DROP TRIGGER delivery_events_append_only ON delivery_events")
    op.execute(
        """
        CREATE TRIGGER delivery_events_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON delivery_events
        FOR EACH STATEMENT EXECUTE FUNCTION refuse_rewriting_history()
        """
    )
