"""People and deliveries for tests, with sensible defaults."""

import itertools
from uuid import UUID

from delivery import clock
from delivery.auth import sessions
from delivery.database import oldest_id, transaction
from delivery.users import passwords, services
from delivery.users.states import Role

PASSWORD = "correct horse battery staple"
_numbers = itertools.count(1)


def delivery_in(**changes):
    """A body that POST /api/deliveries accepts."""
    return {
        "item_name": "Blue bicycle",
        "recipient": {"name": "Grace Doorstep", "email": "grace@home.example", "phone": "+442079460000"},
        "destination": {"line1": "12 Harbour Street", "city": "Bristol", "country": "GB"},
        **changes,
    }


def id_at(seconds, tail):
    """A UUIDv7 as one made so many seconds from now; `tail` tells those of one millisecond apart."""
    return UUID(int=oldest_id(clock.now(), minus_seconds=-seconds).int | (7 << 76) | (2 << 62) | tail)


class Api:
    """Somebody's view of the API: a test client with a token."""

    def __init__(self, app, *, user_id, token, refresh_token=None):
        self.app, self.user_id, self.refresh_token = app, user_id, refresh_token
        self.headers = {"Authorization": f"Bearer {token}"}
        self.client = app.test_client()

    def request(self, method, path, *, headers=None, **options):
        return self.client.open(path, method=method, headers={**self.headers, **(headers or {})}, **options)

    def get(self, path, **options):
        return self.request("GET", path, **options)

    def post(self, path, **options):
        return self.request("POST", path, **options)

    def put(self, path, **options):
        return self.request("PUT", path, **options)

    def patch(self, path, **options):
        return self.request("PATCH", path, **options)

    def delete(self, path, **options):
        return self.request("DELETE", path, **options)

    def create(self, **changes):
        """A new delivery, as the API answers it."""
        response = self.post("/api/deliveries", json=delivery_in(**changes))
        assert response.status_code == 201, response.text
        return response.json

    def move(self, delivery, to, **words):
        return self.post(f"/api/deliveries/{delivery['id']}/transitions", json={"to": to, **words})

    def walk(self, delivery, *states):
        """Move a delivery through states that must all be legal; returns the last answer."""
        for to in states:
            response = self.move(delivery, to)
            assert response.status_code == 200, response.text
            delivery = response.json
        return delivery

    def history(self, delivery):
        return self.get(f"/api/deliveries/{delivery['id']}/events?limit=100").json["items"]


class People:
    """Makes accounts and signs them in."""

    def __init__(self, app, *, called="person"):
        self.app, self._called = app, called

    def make(self, role, **fields):
        number = next(_numbers)
        fields = {"name": f"Person {number}", "email": f"{self._called}{number}@people.example", **fields}
        with self.app.app_context():
            password_hash = passwords.hash_password(PASSWORD)
            with transaction():
                user = services.create(role=role, password_hash=password_hash, **fields)
                granted = sessions.open_session(user_id=user.id, epoch=user.epoch)
        tokens = {"token": granted.access_token, "refresh_token": granted.refresh_token}
        return Api(self.app, user_id=str(user.id), **tokens)

    def customer(self, **fields):
        return self.make(Role.CUSTOMER, **fields)

    def courier(self, **fields):
        return self.make(Role.COURIER, **fields)

    def dispatcher(self, **fields):
        return self.make(Role.DISPATCHER, **fields)

    def admin(self, **fields):
        return self.make(Role.ADMIN, **fields)
