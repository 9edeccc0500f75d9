"""/api/auth: signing in and out, sessions, and the links in mails."""

from delivery.auth.routes import links, sessions, signing_in
from delivery.auth.routes.blueprint import blp

__all__ = ["blp", "links", "sessions", "signing_in"]
