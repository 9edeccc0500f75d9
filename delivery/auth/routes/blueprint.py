"""The blueprint of /api/auth, to which the modules beside it add their routes."""

from delivery.web import Blueprint

blp = Blueprint(
    "auth",
    __name__,
    url_prefix="/api/auth",
    description="Signing in and out.",
    template_folder="../templates",
    static_folder="../static",
)
