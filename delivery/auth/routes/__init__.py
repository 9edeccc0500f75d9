"""/api/auth: signing in and out, and the links in mails."""

from delivery.auth.routes import links, signing_in
from delivery.auth.routes.blueprint import blp

__all__ = ["blp", "links", "signing_in"]
