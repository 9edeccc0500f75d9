"""Links, as mails carry them."""

import re
from urllib.parse import parse_qs, urlsplit

from sqlalchemy import select, update

from delivery.auth.addresses import VERIFY
from delivery.database import transaction
from delivery.notifications.queries import newest_to
from delivery.tokens import Purpose, issue
from delivery.users.models import User

PASSWORD = "correct horse battery"
NONCES = {
    Purpose.VERIFY_EMAIL: "verify_nonce", Purpose.RESET_PASSWORD: "reset_nonce", Purpose.CHANGE_EMAIL: "email_nonce",
}  # fmt: skip


def register(client, email, **more):
    """Ask for an account, as anybody may."""
    body = {"name": "Ada", "email": email, "password": PASSWORD, **more}
    response = client.post("/api/users", json=body)
    assert response.status_code == 202, response.text
    return response


def link_token(app, email, purpose=Purpose.VERIFY_EMAIL):
    """The token of the newest link of a kind for an account, made up as by asking for it."""
    nonce, more = NONCES[purpose], {"new_email": f"new.{email}"} if purpose is Purpose.CHANGE_EMAIL else {}
    with app.app_context(), transaction() as session:
        statement = select(User).where(User.email == email)
        user = session.execute(statement).scalar_one()
        if getattr(user, nonce) is None:
            session.execute(update(User).where(User.email == email).values({nonce: "0" * 32, **more}))
        claims = {"uid": str(user.id), "epoch": user.epoch, "nonce": getattr(user, nonce) or "0" * 32}
        if purpose is Purpose.VERIFY_EMAIL and (asked := newest_to(user.id, VERIFY)):
            claims["asked"] = asked.hex
        return issue(purpose, claims)


def link_of(letter):
    return re.search(r"http\S+", letter.text)[0]


def token_of(letter):
    return parse_qs(urlsplit(link_of(letter)).query)["token"][0]
