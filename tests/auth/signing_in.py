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
    return as_granted(somebody, response.json)


def as_granted(somebody, granted):
    """The same person with the tokens that a login or a refresh gave them."""
    token, next_token = granted["access_token"], granted["refresh_token"]
    return Api(somebody.app, user_id=somebody.user_id, token=token, refresh_token=next_token)


def refresh(client, token, **options):
    return client.post("/api/auth/refresh", json={"refresh_token": token}, **options)
