"""Invitations, and their links as the mail would carry them."""

from uuid import UUID

from delivery.auth.models import Invitation
from delivery.database import db
from delivery.tokens import Purpose, issue

PASSWORD = "correct horse battery"
KIM = "kim@wheels.example"


def invite(admin, email=KIM, role="courier", **more):
    """Invite somebody and return the answer's body."""
    response = admin.post("/api/invitations", json={"email": email, "role": role, **more})
    assert response.status_code == 201, response.text
    return response.json


def invited(admin, email=KIM, role="courier", **more):
    """The same, with the token of its link."""
    made = invite(admin, email, role, **more)
    with admin.app.app_context():
        nonce = db.session.get(Invitation, UUID(made["id"])).nonce
        return made | {"token": issue(Purpose.INVITATION, {"id": made["id"], "nonce": nonce})}


def accept(client, token, **more):
    return client.post(
        "/api/auth/accept-invitation", json={"token": token, "name": "Kim", "password": PASSWORD, **more}
    )
