"""First tables.

The history is an unbroken chain that only grows: each event refers to the one before, each delivery to its newest
event (checked at commit), and triggers refuse to change or delete what has happened.

Rules: works while the release before still serves (expand now, contract a release later); takes short locks only;
has a downgrade; imports no models, because they will change; runs on PostgreSQL and SQLite.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "d389737af8e6"
down_revision = None
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)
JSON = sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")
STATES = (
    "'draft', 'pending', 'assigned', 'picked_up', 'in_transit', 'out_for_delivery', 'delivered', "
    "'attempt_failed', 'on_hold', 'returning', 'returned', 'cancelled', 'lost'"
)
MESSAGE_STATES = (
    "'pending', 'sending', 'sent', 'delivered', 'failed', 'dead', 'uncertain', 'suppressed', 'superseded', 'cancelled'"
)
TOLD_ONCE = ["channel", "recipient_id", "delivery_id", "seq", "audience"]
TABLES = [
    "idempotency_keys",
    "tags",
    "users",
    "auth_sessions",
    "deliveries",
    "delivery_events",
    "delivery_tags",
    "delivery_event_details",
    "outbox_messages",
    "outbox_attempts",
]


def is_postgresql() -> bool:
    return op.get_bind().dialect.name == "postgresql"


def where(condition: str) -> dict[str, sa.TextClause]:
    return {"postgresql_where": sa.text(condition), "sqlite_where": sa.text(condition)}


def newest_event() -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["id", "version", "status"],
        ["delivery_events.delivery_id", "delivery_events.seq", "delivery_events.to_state"],
        name="fk_deliveries_newest_event",
        initially="DEFERRED",
        deferrable=True,
    )


def upgrade() -> None:
    op.create_table(
        "idempotency_keys",
        sa.Column("caller_id", sa.Uuid(), nullable=False),
        sa.Column("key", sa.String(length=255), nullable=False),
        sa.Column("fingerprint", sa.LargeBinary(length=32), nullable=False),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("headers", JSON, nullable=True),
        sa.Column("body", sa.LargeBinary(), nullable=True),
        sa.Column("created_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("caller_id", "key", name="pk_idempotency_keys"),
    )
    op.create_index("ix_idempotency_keys_created_at", "idempotency_keys", ["created_at"])

    op.create_table(
        "tags",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(length=50), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_tags"),
        sa.UniqueConstraint("name", name="uq_tags_name"),
    )
    op.create_table(
        "users",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("email", sa.String(length=254), nullable=True),
        sa.Column("phone", sa.String(length=16), nullable=True),
        sa.Column("role", sa.String(length=12), nullable=False),
        sa.Column("locale", sa.String(length=15), nullable=False),
        sa.Column("time_zone", sa.String(length=40), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("first_admin", sa.Boolean(), nullable=False),
        sa.Column("password_hash", sa.String(length=200), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("email_verified_at", TIME, nullable=True),
        sa.Column("verify_nonce", sa.String(length=32), nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("updated_at", TIME, nullable=False),
        sa.Column("erased_at", TIME, nullable=True),
        sa.CheckConstraint("role IN ('customer', 'courier', 'dispatcher', 'admin')", name="role"),
        sa.CheckConstraint("email = lower(email)", name="email_folded"),
        sa.CheckConstraint("erased_at IS NOT NULL OR email IS NOT NULL", name="email"),
        sa.CheckConstraint("erased_at IS NULL OR (NOT active AND email IS NULL)", name="erased"),
        sa.CheckConstraint("version >= 1", name="version"),
        sa.PrimaryKeyConstraint("id", name="pk_users"),
    )
    op.create_index("ix_users_role", "users", ["role", "id"])
    op.create_index("uq_users_email", "users", ["email"], unique=True)
    op.create_index("uq_users_first_admin", "users", ["first_admin"], unique=True, **where("first_admin"))

    op.create_table(
        "auth_sessions",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("expires_at", TIME, nullable=False),
        sa.Column("revoked_at", TIME, nullable=True),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_auth_sessions_user_id"),
        sa.PrimaryKeyConstraint("id", name="pk_auth_sessions"),
    )
    op.create_index("ix_auth_sessions_expires_at", "auth_sessions", ["expires_at"])
    op.create_index("ix_auth_sessions_user_id", "auth_sessions", ["user_id"])

    op.create_table(
        "deliveries",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("owner_id", sa.Uuid(), nullable=False),
        sa.Column("courier_id", sa.Uuid(), nullable=True),
        sa.Column("tracking_number", sa.String(length=13), nullable=False),
        sa.Column("reference", sa.String(length=100), nullable=True),
        sa.Column("item_name", sa.String(length=200), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("recipient_name", sa.String(length=200), nullable=False),
        sa.Column("recipient_email", sa.String(length=254), nullable=True),
        sa.Column("recipient_phone", sa.String(length=16), nullable=True),
        sa.Column("recipient_locale", sa.String(length=15), nullable=False),
        sa.Column("pickup", JSON, nullable=True),
        sa.Column("destination", JSON, nullable=False),
        sa.Column("package", JSON, nullable=True),
        sa.Column("requirements", JSON, nullable=False),
        sa.Column("window_earliest", TIME, nullable=True),
        sa.Column("window_latest", TIME, nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("updated_at", TIME, nullable=False),
        sa.Column("picked_up_at", TIME, nullable=True),
        sa.Column("deleted_at", TIME, nullable=True),
        sa.CheckConstraint(
            "picked_up_at IS NULL OR (deleted_at IS NULL"
            " AND status NOT IN ('assigned', 'cancelled', 'draft', 'pending'))",
            name="no_way_back",
        ),
        sa.CheckConstraint("status <> 'assigned' OR courier_id IS NOT NULL", name="courier"),
        sa.CheckConstraint(f"status IN ({STATES})", name="status"),
        sa.CheckConstraint("NOT window_earliest > window_latest", name="window"),
        sa.CheckConstraint("version >= 1", name="version"),
        sa.ForeignKeyConstraint(["courier_id"], ["users.id"], name="fk_deliveries_courier_id"),
        *([] if is_postgresql() else [newest_event()]),
        sa.ForeignKeyConstraint(["owner_id"], ["users.id"], name="fk_deliveries_owner_id"),
        sa.PrimaryKeyConstraint("id", name="pk_deliveries"),
        sa.UniqueConstraint("tracking_number", name="uq_deliveries_tracking_number"),
    )
    op.create_index(
        "uq_deliveries_reference",
        "deliveries",
        ["owner_id", "reference"],
        unique=True,
        **where("deleted_at IS NULL"),
    )
    op.create_index("ix_deliveries_courier", "deliveries", ["courier_id", "id"], **where("deleted_at IS NULL"))
    op.create_index("ix_deliveries_owner", "deliveries", ["owner_id", "id"], **where("deleted_at IS NULL"))
    op.create_index(
        "ix_deliveries_owner_updated", "deliveries", ["owner_id", "updated_at", "id"], **where("deleted_at IS NULL")
    )
    op.create_index("ix_deliveries_status", "deliveries", ["status", "id"], **where("deleted_at IS NULL"))
    op.create_index("ix_deliveries_updated", "deliveries", ["updated_at", "id"], **where("deleted_at IS NULL"))

    op.create_table(
        "delivery_events",
        sa.Column("delivery_id", sa.Uuid(), nullable=False),
        sa.Column("seq", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("prev_seq", sa.Integer(), sa.Computed("NULLIF(seq - 1, 0)", persisted=True), nullable=True),
        sa.Column("kind", sa.String(length=10), nullable=False),
        sa.Column("from_state", sa.String(length=16), nullable=True),
        sa.Column("to_state", sa.String(length=16), nullable=False),
        sa.Column("reason_code", sa.String(length=40), nullable=True),
        sa.Column("actor_type", sa.String(length=10), nullable=False),
        sa.Column("actor_id", sa.Uuid(), nullable=True),
        sa.Column("request_id", sa.String(length=64), nullable=True),
        sa.Column("occurred_at", TIME, nullable=False),
        sa.Column("recorded_at", TIME, nullable=False),
        sa.CheckConstraint(
            "kind IN ('moved', 'assigned', 'corrected') OR from_state = to_state", name="edit_keeps_state"
        ),
        sa.CheckConstraint("kind IN ('moved', 'edited', 'assigned', 'proof', 'corrected')", name="kind"),
        sa.CheckConstraint("seq > 1 OR to_state IN ('draft', 'pending')", name="initial"),
        sa.CheckConstraint(f"to_state IN ({STATES})", name="to_state"),
        sa.CheckConstraint("(seq = 1) = (from_state IS NULL)", name="first"),
        sa.CheckConstraint("seq >= 1", name="seq"),
        sa.ForeignKeyConstraint(["actor_id"], ["users.id"], name="fk_delivery_events_actor_id"),
        sa.ForeignKeyConstraint(
            ["delivery_id", "prev_seq", "from_state"],
            ["delivery_events.delivery_id", "delivery_events.seq", "delivery_events.to_state"],
            name="fk_delivery_events_chain",
        ),
        sa.ForeignKeyConstraint(["delivery_id"], ["deliveries.id"], name="fk_delivery_events_delivery_id"),
        sa.PrimaryKeyConstraint("delivery_id", "seq", name="pk_delivery_events"),
        sa.UniqueConstraint("delivery_id", "seq", "to_state", name="uq_delivery_events_chain"),
    )
    op.create_table(
        "delivery_tags",
        sa.Column("delivery_id", sa.Uuid(), nullable=False),
        sa.Column("tag_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["delivery_id"], ["deliveries.id"], name="fk_delivery_tags_delivery_id", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["tag_id"], ["tags.id"], name="fk_delivery_tags_tag_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("delivery_id", "tag_id", name="pk_delivery_tags"),
    )
    op.create_index("ix_delivery_tags_tag_id", "delivery_tags", ["tag_id"])

    op.create_table(
        "delivery_event_details",
        sa.Column("delivery_id", sa.Uuid(), nullable=False),
        sa.Column("seq", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("note", sa.Text(), nullable=True),
        sa.Column("public_note", sa.Text(), nullable=True),
        sa.Column("lat", sa.Float(), nullable=True),
        sa.Column("lng", sa.Float(), nullable=True),
        sa.CheckConstraint("lat BETWEEN -90 AND 90", name="lat"),
        sa.CheckConstraint("lng BETWEEN -180 AND 180", name="lng"),
        sa.ForeignKeyConstraint(
            ["delivery_id", "seq"],
            ["delivery_events.delivery_id", "delivery_events.seq"],
            name="fk_delivery_event_details_delivery_id_seq",
        ),
        sa.PrimaryKeyConstraint("delivery_id", "seq", name="pk_delivery_event_details"),
    )
    op.create_table(
        "outbox_messages",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("channel", sa.String(length=10), nullable=False),
        sa.Column("audience", sa.String(length=12), nullable=False),
        sa.Column("recipient_id", sa.Uuid(), nullable=False),
        sa.Column("delivery_id", sa.Uuid(), nullable=True),
        sa.Column("seq", sa.Integer(), nullable=True),
        sa.Column("event", sa.String(length=40), nullable=False),
        sa.Column("template", sa.String(length=40), nullable=False),
        sa.Column("locale", sa.String(length=15), nullable=True),
        sa.Column("lane", sa.String(length=100), nullable=False),
        sa.Column("data", JSON, nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_at", TIME, nullable=False),
        sa.Column("lease_token", sa.Uuid(), nullable=True),
        sa.Column("lease_until", TIME, nullable=True),
        sa.Column("handoff_at", TIME, nullable=True),
        sa.Column("expires_at", TIME, nullable=True),
        sa.Column("provider", sa.String(length=20), nullable=True),
        sa.Column("provider_ref", sa.String(length=100), nullable=True),
        sa.Column("error_class", sa.String(length=40), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("resend_of", sa.Uuid(), nullable=True),
        sa.Column("request_id", sa.String(length=64), nullable=True),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("settled_at", TIME, nullable=True),
        sa.CheckConstraint("(settled_at IS NULL) = (state IN ('pending', 'sending'))", name="settled"),
        sa.CheckConstraint("(state = 'sending') = (lease_token IS NOT NULL)", name="lease"),
        sa.CheckConstraint("channel IN ('mail', 'sms')", name="channel"),
        sa.CheckConstraint(f"state IN ({MESSAGE_STATES})", name="state"),
        sa.CheckConstraint("(delivery_id IS NULL) = (seq IS NULL)", name="event"),
        sa.CheckConstraint("(lease_token IS NULL) = (lease_until IS NULL)", name="lease_until"),
        sa.CheckConstraint("attempts >= 0", name="attempts"),
        sa.ForeignKeyConstraint(
            ["delivery_id", "seq"],
            ["delivery_events.delivery_id", "delivery_events.seq"],
            name="fk_outbox_messages_delivery_id_seq",
        ),
        sa.ForeignKeyConstraint(["resend_of"], ["outbox_messages.id"], name="fk_outbox_messages_resend_of"),
        sa.PrimaryKeyConstraint("id", name="pk_outbox_messages"),
    )
    op.create_index("ix_outbox_messages_delivery", "outbox_messages", ["delivery_id", "id"])
    op.create_index(
        "ix_outbox_messages_due", "outbox_messages", ["channel", "next_at"], **where("state IN ('pending', 'sending')")
    )
    op.create_index(
        "ix_outbox_messages_lane", "outbox_messages", ["lane", "id"], **where("state IN ('pending', 'sending')")
    )
    op.create_index("ix_outbox_messages_state", "outbox_messages", ["state", "id"])
    op.create_index(
        "uq_outbox_messages_told_once", "outbox_messages", TOLD_ONCE, unique=True, **where("resend_of IS NULL")
    )

    op.create_table(
        "outbox_attempts",
        sa.Column("message_id", sa.Uuid(), nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("started_at", TIME, nullable=False),
        sa.Column("handoff_at", TIME, nullable=True),
        sa.Column("ended_at", TIME, nullable=True),
        sa.Column("outcome", sa.String(length=12), nullable=True),
        sa.Column("provider", sa.String(length=20), nullable=True),
        sa.Column("provider_ref", sa.String(length=100), nullable=True),
        sa.Column("error_class", sa.String(length=40), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["message_id"], ["outbox_messages.id"], name="fk_outbox_attempts_message_id"),
        sa.PrimaryKeyConstraint("message_id", "n", name="pk_outbox_attempts"),
    )
    if is_postgresql():
        op.create_foreign_key(
            "fk_deliveries_newest_event",
            "deliveries",
            "delivery_events",
            ["id", "version", "status"],
            ["delivery_id", "seq", "to_state"],
            initially="DEFERRED",
            deferrable=True,
        )
    refuse_rewriting_history()


def refuse_rewriting_history() -> None:
    if is_postgresql():
        op.execute(
            """
            CREATE FUNCTION refuse_rewriting_history() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN RAISE EXCEPTION 'delivery_events is append-only' USING ERRCODE = 'restrict_violation'; END $$
            """
        )
        op.execute(
            """
            CREATE TRIGGER delivery_events_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON delivery_events
            FOR EACH STATEMENT EXECUTE FUNCTION refuse_rewriting_history()
            """
        )
        return
    for verb in ("UPDATE", "DELETE"):
        op.execute(
            f"""
            CREATE TRIGGER delivery_events_no_{verb.lower()} BEFORE {verb} ON delivery_events
            BEGIN SELECT RAISE(ABORT, 'delivery_events is append-only'); END
            """
        )


def downgrade() -> None:
    if is_postgresql():
        op.execute("DROP TRIGGER delivery_events_append_only ON delivery_events")
        op.execute("DROP FUNCTION refuse_rewriting_history")
        op.drop_constraint("fk_deliveries_newest_event", "deliveries", type_="foreignkey")
    for table in reversed(TABLES):
        op.drop_table(table)
