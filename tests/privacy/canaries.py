"""Strings that occur nowhere else, put into every personal field, and a look for them into every table."""

import itertools
from uuid import UUID, uuid4

from sqlalchemy import MetaData, create_engine, insert, select

from delivery import clock
from delivery.audit.models import AuditEntry
from delivery.auth.models import Invitation
from delivery.database import db, new_id, transaction
from delivery.deliveries.models import Delivery
from delivery.ops.housekeeping import Housekeeping
from delivery.tokens import Purpose, issue
from delivery.users.models import FormerEmail
from tests.factories import PASSWORD

_numbers = itertools.count(10)


def canary(what):
    return f"canary-{what}-{next(_numbers)}x"


class Canaries:
    """Unique strings of one person; what must vanish, and what may stay."""

    def __init__(self, who):
        self.who, self.phone = who, f"+44207946{next(_numbers):04}"
        self.email = f"{canary(who)}@home.example"
        self.words = {}
        self.place = {"lat": 51.0004545 + next(_numbers) / 1000, "lng": -2.0005454 - next(_numbers) / 1000}

    def __getitem__(self, what):
        return self.words.setdefault(what, canary(f"{self.who}-{what}"))

    def address(self, **more):
        words = {name: self[name] for name in ("line1", "line2", "postcode", "notes")}
        words["postcode"] = words["postcode"][-20:]
        return {**words, "city": "Bristol", "country": "GB", **self.place, **more}

    def recipient(self):
        return {"name": self["name"], "email": self.email, "phone": self.phone}

    def all(self):
        postcode = [self.words["postcode"][-20:]] if "postcode" in self.words else []
        return [*self.words.values(), *postcode, self.email, self.phone, *map(str, self.place.values())]


def as_text(value):
    if isinstance(value, bytes | memoryview):
        return bytes(value).decode("latin-1")
    return str(value)


def dump(url):
    """Every value of every column of every table, as the database has them now, as text."""
    engine = create_engine(url)
    try:
        tables = MetaData()
        tables.reflect(engine)
        with engine.connect() as connection:
            return {
                name: "\n".join(as_text(value) for row in connection.execute(select(table)) for value in row)
                for name, table in tables.tables.items()
            }
    finally:
        engine.dispose()


def hold(app, admin, canaries, *, wanting, leaving):
    """Invite somebody, whose address one account wants to have and another had before; returns the link's token."""
    body = {"email": canaries.email, "role": "courier", "name": canaries["invited"]}
    response = admin.post("/api/invitations", json=body, headers={"Idempotency-Key": str(uuid4())})
    assert response.status_code == 201, response.text
    assert (
        wanting.post("/api/auth/change-email", json={"email": canaries.email, "password": PASSWORD}).status_code == 202
    )
    former = {"id": new_id(), "user_id": UUID(leaving.user_id), "email": canaries.email, "changed_at": clock.now()}
    with app.app_context(), transaction() as session:
        session.execute(insert(FormerEmail).values(former))
        nonce = session.get(Invitation, UUID(response.json["id"])).nonce
        return issue(Purpose.INVITATION, {"id": response.json["id"], "nonce": nonce})


def sightings(url, canaries):
    """Where a canary is still seen: (table, canary)."""
    tables = dump(url)
    return [(name, word) for word in canaries.all() for name, text in tables.items() if word in text]


def url_of(app):
    return app.config["DATABASE_URL"]


def keep_house(app):
    with app.app_context():
        Housekeeping().do()


def entries(app):
    """The audit log, but for how the people of a test came to be there."""
    query = select(AuditEntry).where(AuditEntry.act != "user.created").order_by(AuditEntry.seq)
    with app.app_context():
        return db.session.execute(query).scalars().all()


def row_of(app, delivery):
    with app.app_context():
        return db.session.get(Delivery, UUID(delivery["id"]))
