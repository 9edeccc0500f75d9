"""API keys for tests."""

from delivery.auth.states import Scope
from tests.factories import Api

KEYS = "/api/auth/api-keys"
SECRET = r"dms_live_[0-9A-Za-z]{49}"


def made(owner, *, headers=None, **changes):
    """A new key of somebody's with all scopes, as the API answers it."""
    body = {"name": "Shop", "scopes": list(Scope), **changes}
    response = owner.post(KEYS, json=body, headers=headers)
    assert response.status_code == 201, response.text
    return response.json


def using(owner, secret):
    """The API as a program sees it that has a key."""
    return Api(owner.app, user_id=owner.user_id, token=secret)


def key_of(owner, *scopes):
    """The API with a new key of somebody's: with these scopes, or all."""
    return using(owner, made(owner, scopes=list(scopes or Scope))["secret"])


def sandbox_of(owner, *scopes):
    """The API with a new test key of somebody's: with these scopes, or all."""
    return using(owner, made(owner, scopes=list(scopes or Scope), test=True)["secret"])


def works(key):
    """Whether a key lets anybody in."""
    response = key.get("/api/auth/me")
    assert response.status_code in {200, 401}, response.text
    return response.status_code == 200
