"""Search keeps up with every change, forgets who was erased, and reads no whole table; nor does any other list."""

import sqlite3

import pytest
from sqlalchemy import event, text

from delivery import replica
from delivery.database import db
from delivery.deliveries import creating, finding
from scripts.backups.sqlite import contents
from tests.auth.keys import sandbox_of
from tests.conftest import SEARCHED
from tests.factories import People, delivery_in, id_at
from tests.web.answers import wrong

ROWS = 10_000
# What is rare among them, and the index by which it is found.
PLANS = {
    "q=SO-777-": "ix_delivery_search",
    "q=Weatherby%20Q7771": "ix_delivery_search",
    "q=nobody": "ix_delivery_search",
    "q=zq": "ix_delivery_search",
    "q=SO-777-x": "ix_deliveries_reference",
    "q=C000000000777": "uq_deliveries_tracking_number",
    "reference=SO-777-x": "ix_deliveries_reference",
    "status=lost": "ix_deliveries_status",
    "status=lost&status=on_hold": "ix_deliveries_status",
    "status=delivered": "ix_deliveries_status",
    "late=true": "ix_deliveries_open_window",
    "updated_after=2999-01-01T00:00:00Z": "ix_deliveries_updated",
    "sort=updated_at": "ix_deliveries_updated",
    "sort=-updated_at&owner_id={owner}": "updated",
    "courier_id={owner}": "ix_deliveries_courier",
    "owner_id={stranger}": "ix_deliveries_owner",
    "": "pk_deliveries",
    "created_before=2001-01-01T00:00:00Z": "pk_deliveries",
    "q=Q55": "ix_delivery_search",
    "q=Q55&owner_id={owner}": "ix_delivery_search",
    "q=Weatherby&sort=updated_at": "ix_deliveries_updated",
    "q=777&status=lost": "ix_deliveries_status",
    "q=Weatherby&status=delivered": "ix_deliveries_status",
    "q=Weatherby&courier_id={owner}": "ix_deliveries_courier",
    "q=Weatherby&status=lost&status=on_hold": "ix_deliveries_status",
    "q=Weatherby&tag=rare1&sort=updated_at": "ix_delivery_tags_tag_id",
    "q=nobody&status=delivered": "ix_delivery_search",
    "q=nobody&sort=-updated_at": "ix_delivery_search",
    "owner_id={owner}&status=cancelled": "ix_deliveries_owner_status",
}
_MANY = """
    INSERT INTO deliveries (id, owner_id, tracking_number, reference, item_name, status, recipient_name,
        recipient_phone, recipient_locale, destination, requirements, window_latest, version, created_at, updated_at)
    SELECT (lpad(to_hex((extract(epoch FROM now()) * 1000)::bigint - (:rows - n) * 600000::bigint), 12, '0')
        || '70008000' || lpad(n::text, 12, '0'))::uuid, :owner, 'C' || lpad(n::text, 12, '0'),
        'SO-' || n || '-x', 'Bicycle',
        CASE WHEN n = 777 THEN 'lost' WHEN n % 400 = 0 THEN 'cancelled' ELSE 'delivered' END, 'Ann Weatherby Q' || n,
        '+4420' || (n * 7919) % 100000000, 'en', '{}', '{}', now(), 1, now(), now()
    FROM generate_series(1, :rows) n
"""
# A tag that a fifth has, and a hundred that are rare.
_TAGGED = """
    INSERT INTO tags (id, name) SELECT md5('tag' || n)::uuid, CASE n WHEN 0 THEN 'often' ELSE 'rare' || n END
        FROM generate_series(0, 100) n;
    INSERT INTO delivery_tags SELECT id, md5('tag' || CASE WHEN n % 5 = 0 THEN 0 ELSE 1 + n % 100 END)::uuid
        FROM (SELECT id, row_number() OVER (ORDER BY id) AS n FROM deliveries) numbered
"""
_READ = """
    SELECT pg_stat_get_xact_numscans('delivery_search'::regclass) AS table,
        pg_stat_get_xact_numscans('ix_delivery_search'::regclass) AS index
"""


def found(who, q):
    response = who.get("/api/deliveries", query_string={"q": q})
    assert response.status_code == 200, response.text
    return sorted(item["item_name"] for item in response.json["items"])


@pytest.fixture
def two(api):
    api.create(item_name="lamp", reference="2026-0815", recipient={"name": "Łukasz Źdźbło", "phone": "+442079460123"})
    api.create(item_name="chair", reference="A(0)B-7", recipient={"name": "李 O'Brien-Smith", "phone": "+33142685300"})
    return api


@pytest.mark.parametrize(
    ("q", "names"),
    [
        ("+442079460123", ["lamp"]),
        ("020 7946 0123", ["lamp"]),
        ("+44 (20) 7946-0123", ["lamp"]),
        ("+44 (0)20 7946 0123", ["lamp"]),
        ("(0)20 7946 0123", ["lamp"]),
        ("+44\u00a020\u202f7946\u00a00123", ["lamp"]),
        ("A(0)B", ["chair"]),
        ("9460123", ["lamp"]),
        ("79460", ["lamp"]),
        ("01 42 68 53 00", ["chair"]),
        ("00000", []),
        ("łUKASZ źDŹ", ["lamp"]),
        ("李", ["chair"]),
        ("o'brien", ["chair"]),
        ("smith,", ["chair"]),
        ("brien smith", ["chair"]),
        ("smith lukasz", []),
        ("2026-0815", ["lamp"]),
        ("0815", ["lamp"]),
        ('"', []),
        ('bri"en', ["chair"]),
        ("NOT lukasz", []),
        ("brie*", ["chair"]),
        ("smi OR luk", []),
    ],
)
def test_people_find_what_they_type(two, q, names):
    assert found(two, q) == names


def test_what_has_changed_is_found_as_it_is(two):
    lamp = next(one for one in two.get("/api/deliveries").json["items"] if one["item_name"] == "lamp")
    changed = two.patch(
        f"/api/deliveries/{lamp['id']}",
        json={"recipient": {"name": "Somebody Else"}, "reference": None},
        headers={"If-Match": f'"{lamp["version"]}"'},
    )
    assert changed.status_code == 200, changed.text
    assert found(two, "lukas") == found(two, "0815") == []
    assert found(two, "somebody") == found(two, lamp["tracking_number"][:6]) == ["lamp"]
    two.delete(f"/api/deliveries/{lamp['id']}", headers={"If-Match": changed.headers["ETag"]})
    assert found(two, "somebody") == []
    assert found(two, lamp["tracking_number"]) == []


def test_nobody_finds_what_is_not_theirs(two, people):
    assert found(people.customer(), "smith") == []
    assert found(people.courier(), "2026-0815") == []
    assert found(people.dispatcher(), "smith") == ["chair"]


def test_tests_are_found_by_whoever_tests(api, people):
    sandbox, everybody = sandbox_of(api), sandbox_of(people.admin())
    api.create(item_name="live", recipient={"name": "Grace Weatherby"})
    sandbox.create(item_name="test", recipient={"name": "Grace Weatherby"})
    assert found(api, "weather") == ["live"]
    assert found(sandbox, "weather") == found(everybody, "weather") == ["test"]


def test_a_whole_reference_is_found_alone_on_every_page(api):
    api.create(item_name="alone", reference="order-10")
    for number in range(3):
        api.create(item_name=f"more {number}", reference=f"order-100{number}")
    assert found(api, "ORDER-10") == ["alone", "more 0", "more 1", "more 2"]
    assert found(api, "order-10") == ["alone"]
    assert len(found(api, "order-1")) == 4


def test_too_many_words_are_a_422(api):
    assert found(api, "a b c d e f g h i j") == []
    assert wrong(api.get("/api/deliveries?q=a+b+c+d+e+f+g+h+i+j+k")) == {"/q": "invalid"}


def test_an_erased_recipient_is_gone_from_the_index(people, app):
    customer, admin = people.customer(), people.admin()
    delivery = customer.create(recipient={"name": "Qxzwvj Kjfqpw", "email": "qx@home.example"})
    customer.walk(delivery, "cancelled")
    done = admin.post("/api/privacy/erasures", json={"email": "qx@home.example"})
    assert done.status_code == 200, done.text
    assert found(admin, "qxzwvj") == []
    with app.app_context():
        if db.engine.dialect.name == "sqlite":
            blocks = db.session.execute(text("SELECT block FROM delivery_search_data")).scalars().all()
            db.session.rollback()
            assert not any(trigram in block for block in blocks for trigram in (b"xzw", b"jfq"))


def test_an_empty_database_has_no_rows_to_back_up(sqlite_template):
    connection = sqlite3.connect(sqlite_template)
    _, tables = contents(connection)
    connection.close()
    assert "deliveries" in tables
    assert {name for name, count in tables.items() if count} == {"alembic_version"}


DAY = 24 * 3600


@pytest.fixture
def at(monkeypatch):
    """Call it with so many seconds for whatever is made next to be made then."""
    ids = iter(range(1, 1_000_000))
    moment = [0.0]
    monkeypatch.setattr(creating, "new_id", lambda: id_at(moment[0], next(ids)))
    return lambda seconds: moment.__setitem__(0, seconds)


@pytest.mark.parametrize("newest", [0, 40 * DAY], ids=["now", "a wrong clock"])
def test_pages_go_on_from_the_newest_to_the_oldest_wherever_they_were_made(api, at, newest):
    """Of some hours, weeks and years, with strangers' and others of one's own between, and one of the future."""
    stranger = People(api.app).customer()
    ages = [newest, 0, -60, -3600, -7 * 3600, -11 * 3600, -2 * DAY, -11 * DAY, -30 * DAY, -400 * DAY, -20_000 * DAY]
    at(-61)  # the newest hundred are read as they come
    others = [delivery_in(recipient={"name": "Somebody Else"})] * 100
    assert stranger.post("/api/deliveries/bulk", json={"items": others}).json["created"] == len(others)
    for age in ages:
        at(age)
        api.create(item_name=str(age), recipient={"name": "Grace Weatherby"})
        api.create(item_name="other", recipient={"name": "Grant Weathers"})
        stranger.create(item_name="strange", recipient={"name": "Grace Weatherby"})
    for who in (api, People(api.app).admin()):
        seen, cursor = [], None
        while True:
            page = who.get("/api/deliveries", query_string={"q": "eatherby grace", "limit": 3, "cursor": cursor}).json
            seen += [item["item_name"] for item in page["items"] if item["item_name"] != "strange"]
            cursor = page["next_cursor"]
            if not cursor:
                break
        assert seen == [str(age) for age in ages]


@pytest.fixture
def many(people, app, postgres_template):
    """A list's plans on many rows of one owner; the database is left small again."""
    url, connection = postgres_template
    app.config["DATABASE_URL"] = url
    admin, owner = people.admin(), people.customer().user_id
    with app.app_context(), db.engine.begin() as writing:
        writing.execute(text("SET LOCAL session_replication_role = replica"))
        writing.execute(text(_MANY), {"owner": owner, "rows": ROWS})
        writing.execute(text(SEARCHED))
        writing.execute(text(_TAGGED))
    connection.execute("VACUUM ANALYZE deliveries, delivery_search, tags, delivery_tags")
    yield lambda query: _plan(app, admin, query.format(owner=owner, stranger=admin.user_id))
    connection.execute("TRUNCATE deliveries, delivery_search, tags CASCADE")
    connection.execute("VACUUM ANALYZE deliveries, delivery_search, tags, delivery_tags")


def _plan(app, admin, query):
    ran = []
    with app.app_context():
        engine = app.extensions["delivery.read_engine"]

        def note(_connection, _cursor, statement, parameters, *_):
            if "deliveries.item_name" in statement or "delivery_search_newest" in statement:
                ran.append((statement, parameters))

        event.listen(engine, "before_cursor_execute", note)
        response = admin.get(f"/api/deliveries?{query}")
        event.remove(engine, "before_cursor_execute", note)
        assert response.status_code == 200, response.text
        with engine.connect() as connection:
            plans = [connection.exec_driver_sql(f"EXPLAIN {one}", given).scalars().all() for one, given in ran]
        with db.engine.connect() as connection:  # what a function reads stands in no plan
            before = connection.execute(text(_READ)).one()
            for one, given in ran:
                connection.exec_driver_sql(one, given)
            after = connection.execute(text(_READ)).one()
    assert plans
    assert after.table == before.table, query
    return "\n".join([*(line for plan in plans for line in plan), "ix_delivery_search" * (after.index > before.index)])


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_no_list_reads_the_whole_table(many):
    for query, index in PLANS.items():
        plan = many(query)
        assert "Seq Scan on deliver" not in plan.replace("delivery_tags", ""), f"{query}\n{plan}"
        assert index in plan, f"{query}\n{plan}"


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_page_by_change_has_nobody_twice(api, monkeypatch):
    made = [api.create(recipient={"name": "Grace Weatherby"}) for _ in range(3)]
    monkeypatch.setattr(finding, "_FEW", 1)
    steps = []

    def rows(query, asked):
        steps.append(replica.read(lambda connection: connection.execute(query, asked).all()))
        with db.engine.begin() as connection:
            connection.execute(text("UPDATE deliveries SET updated_at = now() WHERE id = :id"), made[0])
        return steps[-1]

    monkeypatch.setattr(finding.replica, "rows", rows)
    page = api.get("/api/deliveries?q=weatherby&sort=updated_at").json["items"]
    assert len(steps) > 1
    assert len(steps[0]) == 1
    assert [row["id"] for row in page] == [row["id"] for row in (*made[1:], made[0])]


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_tag_is_read_whole_only_if_it_is_rare(many):
    for query in ("tag=rare1", "tag=rare1&owner_id={owner}"):
        assert "ix_delivery_tags_tag_id" in many(query), query
    for query in ("tag=often", "tag=often&owner_id={owner}", "tag=often&tag=rare1", "tag=often&sort=updated_at"):
        assert "ix_delivery_tags_tag_id" not in many(query), query


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_what_all_have_is_found_among_the_newest_hundred(many):
    for query in ("q=Weatherby", "q=Weatherby&owner_id={owner}"):
        assert "ix_delivery_search" not in many(query), query


def test_pages_stay_with_what_the_first_was_of(api, people):
    """Of parts of references, when one becomes the whole; and of whole ones, when they are gone."""

    def ask(who, cursor=None):
        return who.get("/api/deliveries", query_string={"q": "SO-12", "limit": 2, "cursor": cursor}).json

    oldest, *_ = (api.create(reference=f"SO-12{number}", item_name=str(number)) for number in range(6))
    page = ask(api)
    changed = api.patch(f"/api/deliveries/{oldest['id']}", json={"reference": "SO-12"}, headers={"If-Match": '"1"'})
    names = [item["item_name"] for item in page["items"]]
    while page["next_cursor"]:
        page = ask(api, page["next_cursor"])
        names += [item["item_name"] for item in page["items"]]
    assert names == ["5", "4", "3", "2", "1", "0"]

    people.customer().create(reference="SO-12", item_name="newer")
    people.customer().create(reference="SO-12", item_name="newest")
    page = ask(people.admin())
    assert [item["item_name"] for item in page["items"]] == ["newest", "newer"]
    api.delete(f"/api/deliveries/{oldest['id']}", headers={"If-Match": changed.headers["ETag"]})
    assert ask(people.admin(), page["next_cursor"])["items"] == []
