"""/api/auth: signing in and out, sessions, the links in mails, and API keys; /api/invitations."""

from delivery.auth.routes import invitations, keys, links, passwords, sessions, signing_in
from delivery.auth.routes.blueprint import blp

__all__ = ["blp", "invitations", "keys", "links", "passwords", "sessions", "signing_in"]
