"""/api/auth: signing in and out, sessions, the links in mails, and API keys."""

from delivery.auth.routes import keys, links, passwords, sessions, signing_in
from delivery.auth.routes.blueprint import blp

__all__ = ["blp", "keys", "links", "passwords", "sessions", "signing_in"]
