"""Many deliveries in little time: written by one statement, without the history that no list reads."""

from faker import Faker
from sqlalchemy import text

from delivery.database import db
from tests.conftest import SEARCHED

_NAMES = 8_000

# A shop has four of ten, a customer a thousand or a fifth, and two thousand others what is left; three of four were
# assigned; all but the newest, and some that are late, are over. One every half minute until now.
_DELIVERIES = text("""
INSERT INTO deliveries (id, owner_id, courier_id, tracking_number, reference, item_name, status, recipient_name,
    recipient_email, recipient_phone, recipient_locale, destination, package, requirements, window_earliest,
    window_latest, version, created_at, updated_at)
SELECT (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0')
        || '7' || substr(h, 1, 3) || '8' || substr(h, 4, 15))::uuid,
    CASE WHEN n % 10 < 4 THEN CAST(:shop AS uuid) WHEN n % GREATEST(5, :rows / 1000) = 4 THEN CAST(:customer AS uuid)
        ELSE md5('owner' || n * 7 % 2000)::uuid END,
    CASE WHEN n % 40 = 0 THEN CAST(:courier AS uuid) WHEN n % 8 < 6 THEN md5('courier' || n % 50)::uuid END,
    (SELECT string_agg(substr('0123456789ABCDEFGHJKMNPQRSTVWXYZ', 1 + get_byte(b, i) % 32, 1), '')
        FROM generate_series(0, 12) i),
    'SO-' || n || '-' || substr(h, 20, 4), 'Bicycle number ' || n,
    CASE WHEN n > :rows - :rows / 50 OR n % 200 = 0
        THEN (ARRAY['pending', 'assigned', 'in_transit', 'out_for_delivery'])[1 + n % 4]
        WHEN n % 20011 = 7 THEN 'lost' ELSE 'delivered' END,
    first.name || ' ' || last.name,
    'r' || n || '@home.example', '+4420' || lpad((('x' || substr(h, 14, 7))::bit(28)::int % 100000000)::text, 8, '0'),
    'en', '{"line1": "12 Harbour Street", "city": "Bristol", "postcode": "BS1 4ST", "country": "GB"}',
    '{"weight_grams": 1200, "pieces": 1}', '{"photo": false, "signature": true, "pin": false}',
    CASE WHEN n % 200 > 0 THEN at + interval '1 day' END,
    at + CASE WHEN n % 200 = 0 THEN interval '10 minutes' ELSE interval '1 day 4 hours' END, 1, at,
    at + (('x' || substr(h, 1, 4))::bit(16)::int * interval '1 s')
FROM (SELECT n, md5(n::text) AS h, decode(md5(n::text || 'b'), 'hex') AS b,
    now() - (:rows - n) * interval '30 seconds' AS at FROM generate_series(1, :rows) n) made
JOIN unnest(CAST(:first_names AS text[])) WITH ORDINALITY first (name, place)
    ON first.place = 1 + (get_byte(b, 13) * 256 + get_byte(b, 14)) % :names
JOIN unnest(CAST(:last_names AS text[])) WITH ORDINALITY last (name, place)
    ON last.place = 1 + (get_byte(b, 11) * 256 + get_byte(b, 12)) % :names
ORDER BY n
""")
_TAGS = text("""
INSERT INTO delivery_tags SELECT id, md5('fragile')::uuid FROM deliveries WHERE item_name LIKE '%3'
""")
# No trigger and no key is asked: the rows are what they would let through, but for their history.
_QUIETLY = """
SET LOCAL session_replication_role = replica; SET LOCAL statement_timeout = 0; SET LOCAL maintenance_work_mem = '512MB'
"""


def _names():
    """As many people's names as Faker draws them: the frequent ones come often."""
    fakers = [Faker(locale) for locale in ("en_GB", "en_US", "de_DE", "fr_FR", "pl_PL", "es_ES", "it_IT", "nl_NL")]
    for number, faker in enumerate(fakers):
        faker.seed_instance(number)
    drawn = [(faker.first_name(), faker.last_name()) for _ in range(_NAMES // len(fakers)) for faker in fakers]
    first, last = map(list, zip(*drawn, strict=True))
    return {"first_names": first, "last_names": last, "names": len(drawn)}


def fill(rows, ids):
    """Add so many deliveries of the people whose ids these are, and let PostgreSQL count what there is of what."""
    with db.engine.begin() as connection:
        connection.exec_driver_sql(_QUIETLY)
        connection.execute(_DELIVERIES, {"rows": rows, **_names(), **ids})
        # To build it anew takes a third of the time.
        (search,) = connection.exec_driver_sql("SELECT pg_get_indexdef('ix_delivery_search'::regclass)").one()
        connection.exec_driver_sql("DROP INDEX ix_delivery_search")
        connection.exec_driver_sql(SEARCHED)
        connection.exec_driver_sql(search)
        connection.exec_driver_sql("INSERT INTO tags (id, name) VALUES (md5('fragile')::uuid, 'fragile')")
        connection.execute(_TAGS)
    with db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("SET statement_timeout = 0")
        connection.exec_driver_sql("VACUUM ANALYZE")
