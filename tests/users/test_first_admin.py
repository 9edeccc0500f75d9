"""The first admin: made where there is none, once, however many processes start at once."""

from sqlalchemy import select

from delivery.database import db, transaction
from delivery.users import passwords, services
from delivery.users.models import User
from delivery.users.services import FIRST_ADMIN
from tests.auth.signing_in import login
from tests.web.racing import race

PASSWORD = "generated at the first start"


def ensure(app):
    with app.app_context():
        password_hash = passwords.hash_password(PASSWORD)
        with transaction():
            return services.ensure_first_admin(password_hash=password_hash)


def admins(app):
    with app.app_context():
        return db.session.execute(select(User.email).where(User.role == "admin")).scalars().all()


def test_the_first_admin_is_made_once_and_signs_in(app, client):
    assert ensure(app)
    assert not ensure(app)
    assert admins(app) == [FIRST_ADMIN]
    assert login(client, FIRST_ADMIN, PASSWORD).status_code == 200


def test_where_there_is_an_admin_none_is_made(app, people):
    people.admin(email="root@x.example")
    assert not ensure(app)
    assert admins(app) == ["root@x.example"]


def test_two_starts_at_once_make_one_first_admin(app):
    assert sorted(race(lambda: ensure(app), lambda: ensure(app), lambda: ensure(app))) == [False, False, True]
    assert admins(app) == [FIRST_ADMIN]
