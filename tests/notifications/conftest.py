"""An outbox whose letters are made of nothing and go to memory, and a look into its tables."""

import contextlib
import uuid

import pytest
from flask import current_app
from sqlalchemy import insert, select, update

from delivery import jobs, notifications
from delivery.database import db, new_id, now, transaction
from delivery.deliveries.models import Delivery, DeliveryEvent
from delivery.notifications.channels import Letter
from delivery.notifications.channels.memory import MemoryTransport
from delivery.notifications.models import OutboxAttempt, OutboxMessage
from delivery.notifications.registry import each
from delivery.notifications.services import NewMessage, add
from delivery.notifications.states import Channel
from delivery.users.models import User
from tests.factories import People

# For what does not depend on the database.
on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
on_postgresql = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)

# A template that may be sent twice, and one that may not.
REPEATABLE, ONCE, WEBHOOK = "verify_email", "created", "webhook"


def plain_letter(message):
    return Letter("grace@home.example", f"text of {message.id}", "subject")


def new_message(**fields):
    given = {"channel": Channel.MAIL, "audience": "recipient", "recipient_id": uuid.uuid4(), "template": ONCE}
    return NewMessage(**{**given, "event": "created", **fields})


def rows():
    """The whole outbox, the oldest first."""
    with current_app.extensions["delivery.read_engine"].connect() as connection:
        return connection.execute(select(OutboxMessage.__table__).order_by(OutboxMessage.id)).all()


class Outbox:
    """The outbox under test, in its app's context."""

    def __init__(self, app):
        self.app = app
        self.composers = dict.fromkeys((ONCE, REPEATABLE, WEBHOOK), each(plain_letter))
        self.mail, self.sms = MemoryTransport(), MemoryTransport(hand_off_size=1)
        self.webhook = MemoryTransport(hand_off_size=16, concurrency=16)
        transports = {Channel.MAIL: self.mail, Channel.SMS: self.sms, Channel.WEBHOOK: self.webhook}
        notifications.init_app(app, self.composers, transports=transports)

    def add(self, *messages):
        """Commit messages and return their ids, in order."""
        before = set(self.ids())
        with transaction():
            add(messages)
        return [identity for identity in self.ids() if identity not in before]

    def add_many(self, count, **fields):
        return self.add(*(new_message(**fields) for _ in range(count)))

    def ids(self):
        return [row.id for row in rows()]

    def rows(self):
        return rows()

    def row(self, identity):
        return next(row for row in rows() if row.id == identity)

    def attempts(self, identity):
        table = OutboxAttempt.__table__
        with current_app.extensions["delivery.read_engine"].connect() as connection:
            return connection.execute(select(table).where(table.c.message_id == identity).order_by(table.c.n)).all()

    def states(self):
        return [row.state for row in rows()]


@pytest.fixture
def outbox(app):
    with app.app_context():
        yield Outbox(app)


@pytest.fixture
def make_texts(make_app, twilio):
    """Call it with settings for an app that sends text messages by Twilio's protocol (tests.notifications.texting)."""
    from tests.notifications.texting import Texts, settings  # noqa: PLC0415  it needs this module

    with contextlib.ExitStack() as stack:

        def make(**more):
            app = make_app(**settings(twilio, **more))
            stack.enter_context(app.app_context())
            return Texts(app, twilio, People(app))

        yield make


@pytest.fixture
def texts(make_texts):
    return make_texts()


@pytest.fixture(autouse=True)
def going_on():
    """A test that asks this process to stop does not stop the next one."""
    yield
    jobs._Stop.requested = False


@pytest.fixture
def delivery_id(app):
    """A delivery with three events, as the tables want it and no more."""
    with app.app_context(), transaction() as session:
        user = User(name="Ada", email="ada@shop.example", password_hash="-", created_at=now(), updated_at=now())
        session.add(user)
        session.flush()
        identity = new_id()
        given = {"id": identity, "owner_id": user.id, "tracking_number": "0123456789ABC", "item_name": "Bicycle"}
        given |= {"status": "picked_up", "recipient_name": "Grace", "recipient_email": "grace@home.example"}
        given |= {"destination": {}, "requirements": {}, "version": 3, "created_at": now(), "updated_at": now()}
        session.execute(insert(Delivery.__table__).values(given))
        for seq, (before, after) in enumerate(
            [(None, "pending"), ("pending", "picked_up"), ("picked_up", "picked_up")], 1
        ):
            event = {
                "delivery_id": identity,
                "seq": seq,
                "kind": "moved" if seq < 3 else "edited",
                "from_state": before,
            }
            event |= {"to_state": after, "actor_type": "user", "occurred_at": now(), "recorded_at": now()}
            session.execute(insert(DeliveryEvent.__table__).values(event))
    return identity


def put(outbox, state, **fields):
    """A message that has come to this state."""
    [identity] = outbox.add(new_message(**fields))
    with db.engine.begin() as connection:
        at = None if state in {"pending", "sending"} else OutboxMessage.created_at
        lease = {"lease_token": uuid.uuid4(), "lease_until": OutboxMessage.created_at} if state == "sending" else {}
        statement = update(OutboxMessage.__table__).where(OutboxMessage.id == identity)
        connection.execute(statement.values(state=state, settled_at=at, **lease))
    return identity
