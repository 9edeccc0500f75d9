"""Signing in through the API."""

from uuid import UUID

from delivery.database import transaction
from delivery.users.models import User
from tests.factories import PASSWORD, Api


def login(client, email, password=PASSWORD, **options):
    return client.post("/api/auth/login", json={"email": email, "password": password}, **options)


def signed_in_again(somebody):
    """The same person with a new session."""
    with somebody.app.app_context(), transaction() as session:
        email = session.get(User, UUID(somebody.user_id)).email
    response = login(somebody.client, email)
    assert response.status_code == 200, response.text
    return Api(somebody.app, user_id=somebody.user_id, token=response.json["access_token"])
