"""PostgreSQL's search has a table of its own, and an index of runs of four characters; an owner's states have one, too.

Runs of three, as pg_trgm makes them, are shared by so many names that to read their lists grows with the table. The
table is written by triggers when a delivery comes, goes, or is called otherwise: a move does not touch it.

Rules: works while the release before still serves (expand now, contract a release later); takes short locks only;
has a downgrade; imports no models, because they will change; runs on PostgreSQL and SQLite.
"""

from uuid import UUID

import sqlalchemy as sa
from alembic import op

revision = "4e9a7c1d05b8"
down_revision = "c07f4d9be3a6"
branch_labels = None
depends_on = None

ALIVE = sa.text("deleted_at IS NULL")
# A gram is each run of four characters of a word, the last three of it, and its first and first two after ^. What
# follows three characters is a letter, a digit, or ~ for all else: so all grams that begin alike can be named. Besides,
# a row says whose it is (@owner; of tests ! and !owner), and in which spans it was made: of hours, days and weeks.
FUNCTIONS = (
    """
    CREATE OR REPLACE FUNCTION delivery_search_grams(delivery_id uuid, owner_id uuid, test boolean, words text)
    RETURNS tsvector LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
    DECLARE
      milliseconds bigint := ('x' || translate(left(delivery_id::text, 13), '-', ''))::bit(48)::bigint;
      grams text[] := ARRAY['23:' || (milliseconds >> 23), '27:' || (milliseconds >> 27), '31:' || (milliseconds >> 31),
        CASE WHEN test THEN '!' ELSE '@' END || owner_id, CASE WHEN test THEN '!' END];
      written text[] := string_to_array(words, ' ');
      followed text[] := string_to_array(regexp_replace(words, '[^a-z0-9 ]', '~', 'g'), ' ');
      word text;
      plain text;
    BEGIN
      FOR number IN 1 .. cardinality(written) LOOP
        word := written[number];
        plain := followed[number];
        CONTINUE WHEN word = '';
        grams := grams || ('^' || left(word, 1)) || ('^' || left(word, 2));
        FOR place IN 1 .. length(word) - 2 LOOP
          grams := grams || (substr(word, place, 3) || substr(plain, place + 3, 1));
        END LOOP;
      END LOOP;
      RETURN array_to_tsvector(array_remove(grams, NULL));
    END $$
    """,
    # Of each word the ways in which it may be written, a line each.
    r"""
    CREATE OR REPLACE FUNCTION delivery_search_query(sought text[])
    RETURNS tsquery LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
    DECLARE
      follows text[] := string_to_array('abcdefghijklmnopqrstuvwxyz0123456789~', NULL) || ''::text;
      written text;
      way text;
      parts text[];
      last int;
      grams text[];
      all_of text[];
      one_of text[];
      queries text[] := ARRAY[]::text[];
    BEGIN
      FOREACH written IN ARRAY sought LOOP
        one_of := ARRAY[]::text[];
        FOREACH way IN ARRAY string_to_array(lower(written), chr(10)) LOOP
          parts := array_remove(string_to_array(way, ' '), '');
          all_of := ARRAY[]::text[];
          FOR number IN 1 .. cardinality(parts) LOOP
            way := parts[number];
            last := length(way) - 3;
            CONTINUE WHEN last < 0 AND number = 1 AND cardinality(parts) > 1;  -- it may be the end of a word
            grams := CASE
              WHEN last < 0 THEN ARRAY['^' || way]
              WHEN last = 0 THEN ARRAY(SELECT way || one FROM unnest(follows) one)
              ELSE ARRAY(
                SELECT substr(way, place, 3) || regexp_replace(substr(way, place + 3, 1), '[^a-z0-9]', '~')
                FROM (SELECT least(one, last) AS place FROM generate_series(1, last + 3, 4) one) places
              ) END;
            grams := ARRAY(SELECT format('''%s''', replace(replace(g, '\', '\\'), '''', '''''')) FROM unnest(grams) g);
            all_of := all_of || ('(' || array_to_string(grams, CASE last WHEN 0 THEN ' | ' ELSE ' & ' END) || ')');
          END LOOP;
          one_of := one_of || ('(' || array_to_string(all_of, ' & ') || ')');
        END LOOP;
        queries := queries || ('(' || array_to_string(one_of, ' | ') || ')');
      END LOOP;
      RETURN array_to_string(queries, ' & ');
    END $$
    """,
    # The newest hundred as they come, then by their grams those of longer and longer spans, until the page is full.
    # Planned once, without the values, and to read the grams first: what else is asked for stands in functions, by
    # which no index is read.
    """
    CREATE OR REPLACE FUNCTION delivery_search_newest(
      sought tsquery, patterns text[], whose uuid, tests boolean, before uuid, most int
    )
    RETURNS SETOF uuid LANGUAGE plpgsql STABLE ROWS 20
    SET search_path FROM CURRENT SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
    DECLARE
      above uuid := coalesce(before, 'ffffffff-ffff-ffff-ffff-ffffffffffff');
      lowest uuid;
      newest uuid[];
      matching uuid[];
      milliseconds bigint;
      theirs boolean;
      spans int[];
      span bigint;
      within tsquery;
      asked int := most;
      found int;
    BEGIN
      -- what many have is among them
      SELECT array_agg(one.delivery_id ORDER BY one.delivery_id DESC), array_agg(one.delivery_id) FILTER (
        WHERE one.test = tests AND (whose IS NULL OR one.owner_id = whose) AND one.words ~ ALL (patterns)
      ) INTO newest, matching FROM (
        SELECT * FROM delivery_search s WHERE s.delivery_id < above ORDER BY s.delivery_id DESC LIMIT 100
      ) one;
      RETURN QUERY SELECT one FROM unnest(matching) one ORDER BY one DESC LIMIT most;
      most := most - coalesce(cardinality(matching), 0);
      IF most <= 0 OR newest[100] IS NULL THEN
        RETURN;
      END IF;
      above := newest[100];
      milliseconds := ('x' || translate(left(above::text, 13), '-', ''))::bit(48)::bigint;
      -- a list of a large part of all rows takes longer to read than it saves: that of an owner who has a twentieth
      theirs := tests OR whose IS NOT NULL AND NOT EXISTS (
        SELECT FROM pg_stats
        WHERE schemaname = current_schema AND tablename = 'delivery_search' AND attname = 'owner_id'
          AND most_common_freqs[array_position(most_common_vals::text::uuid[], whose)] > 0.05
      );
      IF theirs THEN
        sought := sought && quote_literal(CASE WHEN tests THEN '!' ELSE '@' END || coalesce(whose::text, ''))::tsquery;
      END IF;
      -- bits of a span, from which to which before that of the hundredth, and how many times as much as was read before
      FOREACH spans SLICE 1 IN ARRAY ARRAY[
        [23, 0, 1, 16], [23, 2, 7, 4], [27, 0, 1, 0], [31, 0, 1, 0], [48, 0, 1, 0]
      ] LOOP
        -- few are theirs; or this has hardly so many times as many as before
        CONTINUE WHEN spans[1] = 23 AND (theirs OR spans[4] * (asked - most + 1) < most);
        CONTINUE WHEN spans[1] = 31 AND most = asked;  -- what some thousands lack, few have
        span := milliseconds >> spans[1];
        lowest := (lpad(to_hex(greatest(span - spans[3], 0) << spans[1]), 12, '0') || repeat('0', 20))::uuid;
        within := CASE WHEN spans[1] = 48 THEN sought ELSE sought && (
          SELECT string_agg(format('''%s:%s''', spans[1], span - back), ' | ')
          FROM generate_series(spans[2], spans[3]) back)::tsquery END;
        RETURN QUERY
          SELECT one.delivery_id FROM (
            SELECT s.delivery_id FROM delivery_search s
            WHERE delivery_search_grams(s.delivery_id, s.owner_id, s.test, s.words) @@ within
              AND uuid_ge(s.delivery_id, lowest) AND uuid_lt(s.delivery_id, above) AND s.test = tests
              AND (whose IS NULL OR s.owner_id = whose) AND s.words ~ ALL (patterns)
            OFFSET 0
          ) one ORDER BY one.delivery_id DESC LIMIT most;
        GET DIAGNOSTICS found = ROW_COUNT;
        most := most - found;
        EXIT WHEN most <= 0;
        above := lowest;
      END LOOP;
    END $$
    """,
    """
    CREATE OR REPLACE FUNCTION delivery_search_words(VARIADIC texts text[])
    RETURNS text LANGUAGE sql STABLE AS $$ SELECT ' ' || lower(array_to_string(texts, '  ')) $$
    """,
    """
    CREATE OR REPLACE FUNCTION delivery_search_added()
    RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
    BEGIN
      INSERT INTO delivery_search
      SELECT id, owner_id, test, delivery_search_words(tracking_number, reference, recipient_name, recipient_phone)
      FROM added WHERE deleted_at IS NULL;
      RETURN NULL;
    END $$
    """,
    """
    CREATE OR REPLACE FUNCTION delivery_search_changed()
    RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
    BEGIN
      DELETE FROM delivery_search WHERE delivery_id = OLD.id;
      IF TG_OP = 'UPDATE' AND NEW.deleted_at IS NULL THEN
        INSERT INTO delivery_search VALUES (NEW.id, NEW.owner_id, NEW.test,
          delivery_search_words(NEW.tracking_number, NEW.reference, NEW.recipient_name, NEW.recipient_phone));
      END IF;
      RETURN NULL;
    END $$
    """,
)
# In this order: once a row is there, nothing happens to its delivery without it.
TRIGGERS = (
    """
    CREATE OR REPLACE TRIGGER deliveries_search_gone
    AFTER DELETE ON deliveries FOR EACH ROW EXECUTE FUNCTION delivery_search_changed()
    """,
    """
    CREATE OR REPLACE TRIGGER deliveries_search_changed
    AFTER UPDATE OF tracking_number, reference, recipient_name, recipient_phone, deleted_at ON deliveries FOR EACH ROW
    EXECUTE FUNCTION delivery_search_changed()
    """,
    """
    CREATE OR REPLACE TRIGGER deliveries_search_added AFTER INSERT ON deliveries
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION delivery_search_added()
    """,
)
# Locked, so that nobody renames or deletes between the reading and the writing.
FILL = sa.text("""
    WITH batch AS (
      SELECT * FROM deliveries WHERE id > :after AND deleted_at IS NULL ORDER BY id LIMIT 500 FOR SHARE
    ), written AS (
      INSERT INTO delivery_search
      SELECT id, owner_id, test, delivery_search_words(tracking_number, reference, recipient_name, recipient_phone)
      FROM batch ON CONFLICT DO NOTHING
    )
    SELECT id FROM batch ORDER BY id DESC LIMIT 1
""")
INDEX = """
    CREATE INDEX CONCURRENTLY IF NOT EXISTS ix_delivery_search ON delivery_search
    USING gin (delivery_search_grams(delivery_id, owner_id, test, words)) WITH (gin_pending_list_limit = 256)
"""


def upgrade() -> None:
    with op.get_context().autocommit_block():
        if op.get_bind().dialect.name == "postgresql":
            drop_unfinished()
            make_search()
        op.create_index(
            "ix_deliveries_owner_status",
            "deliveries",
            ["owner_id", "status", "id", "test"],
            postgresql_where=ALIVE,
            sqlite_where=ALIVE,
            postgresql_concurrently=True,
            if_not_exists=True,
        )


def drop_unfinished() -> None:
    """Drop what a build left that was broken off: it is of no use, and would count as being there."""
    left = "SELECT indexrelid::regclass::text FROM pg_index WHERE NOT indisvalid"
    for name in op.get_bind().execute(sa.text(left)).scalars().all():
        if name in {"ix_delivery_search", "ix_deliveries_owner_status"}:
            op.execute(f"DROP INDEX CONCURRENTLY {name}")


def make_search() -> None:
    """Make the table, have it written from now on, write what there was before, then index all of it."""
    for function in FUNCTIONS:
        op.execute(function)
    op.create_table(
        "delivery_search",
        sa.Column("delivery_id", sa.Uuid(), primary_key=True),
        sa.Column("owner_id", sa.Uuid(), nullable=False),
        sa.Column("test", sa.Boolean(), nullable=False),
        sa.Column("words", sa.Text(), nullable=False),
        if_not_exists=True,
    )
    for trigger in TRIGGERS:
        op.execute(trigger)
    after: UUID | None = UUID(int=0)
    while after:
        after = op.get_bind().execute(FILL, {"after": after}).scalar_one_or_none()
    op.execute(INDEX)
    op.execute("ANALYZE delivery_search")
    # Made before the first release by an earlier form of b81d5f27c9e4.
    op.execute("DROP INDEX CONCURRENTLY IF EXISTS ix_deliveries_search")


def downgrade() -> None:
    op.drop_index("ix_deliveries_owner_status", "deliveries")
    if op.get_bind().dialect.name == "postgresql":
        for name in ("added", "changed", "gone"):
            op.execute(f"DROP TRIGGER deliveries_search_{name} ON deliveries")
        op.drop_table("delivery_search")
        for name in ("newest", "query", "grams", "words", "added", "changed"):
            op.execute(f"DROP FUNCTION delivery_search_{name}")
