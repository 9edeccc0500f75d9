"""Verification links, as the mail would carry them."""

from sqlalchemy import select

from delivery.database import db
from delivery.tokens import Purpose, issue
from delivery.users.models import User

PASSWORD = "correct horse battery"


def register(client, email, **more):
    """Ask for an account, as anybody may."""
    body = {"name": "Ada", "email": email, "password": PASSWORD, **more}
    response = client.post("/api/users", json=body)
    assert response.status_code == 202, response.text
    return response


def link_token(app, email):
    """The token of the newest link for an address."""
    with app.app_context():
        user = db.session.execute(select(User).where(User.email == email)).scalar_one()
        return issue(Purpose.VERIFY_EMAIL, {"uid": str(user.id), "epoch": user.epoch, "nonce": user.verify_nonce})
