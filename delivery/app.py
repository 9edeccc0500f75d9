"""The factory: the one place where the parts are put together."""

from collections.abc import Mapping
from typing import Any

from flask import Flask
from flask_cors import CORS
from werkzeug.middleware.proxy_fix import ProxyFix

from delivery import database, events, logs, notifications, replica
from delivery.audit import cli as audit_cli
from delivery.audit.routes import blp as audit_blueprint
from delivery.auth import access, sessions
from delivery.auth import cli as auth_cli
from delivery.auth.routes import blp as auth_blueprint
from delivery.auth.routes.invitations import blp as invitations_blueprint
from delivery.auth.routes.keys import blp as keys_blueprint
from delivery.auth.routes.sessions import blp as sessions_blueprint
from delivery.deliveries import cli as deliveries_cli
from delivery.deliveries import cli_export
from delivery.deliveries.bulk import blp as bulk_blueprint
from delivery.deliveries.pages import blp as unsubscribe_blueprint
from delivery.deliveries.printing import blp as labels_blueprint
from delivery.deliveries.queries import by_number
from delivery.deliveries.routes import blp as deliveries_blueprint
from delivery.deliveries.routes import wanted as preferences_blueprint
from delivery.extensions import mail
from delivery.imports import cli as imports_cli
from delivery.imports import routes as imports
from delivery.notifications import cli as notifications_cli
from delivery.notifications import cli_preview, rendering
from delivery.notifications.callbacks import blp as twilio_blueprint
from delivery.notifications.routes import blp as notifications_blueprint
from delivery.ops import (
    cli_restored,
    cli_up,
    cron,
    doctor,
    partitions,
    reports,
    schema,
    status,
    tallies,
    traces,
    worker,
)
from delivery.ops import docs as api_documents
from delivery.ops.health import blp as health_blueprint
from delivery.ops.metrics import blp as metrics_blueprint
from delivery.policy import POLICY
from delivery.privacy import cli as privacy_cli
from delivery.privacy.routes import blp as privacy_blueprint
from delivery.subscriptions import COMPOSERS, REACTIONS
from delivery.users import passwords
from delivery.users.routes import blp as users_blueprint
from delivery.web import callers, hosts, problems, requests, throttle
from delivery.webhooks import cli as webhooks_cli
from delivery.webhooks import routes as webhooks

EXPOSED_HEADERS = [
    "ETag", "Idempotent-Replayed", "Location", "RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset",
    "Retry-After", "WWW-Authenticate", "X-Request-ID",
]  # fmt: skip


def create_app(config: Any) -> Flask:
    """Build the app.

    Args:
        config: an object or mapping with the settings of config.py.
    """
    app = Flask(__name__)
    app.config.from_mapping(config) if isinstance(config, Mapping) else app.config.from_object(config)
    _add_parts(app)
    _add_blueprints(app)
    _add_commands(app)
    tallies.init_app(app)
    traces.init_app(app)
    reports.init_app(app)
    return app


def _add_parts(app: Flask) -> None:
    logs.init_app(app)
    database.init_app(app)
    mail.init_app(app)
    events.init_app(app, REACTIONS)
    notifications.init_app(app, COMPOSERS)
    rendering.init_app(app)
    sessions.init_app(app)
    passwords.init_app(app)
    callers.init_app(app, access.identify, POLICY)
    throttle.init_app(app)
    replica.init_app(app)
    requests.init_app(app)
    if origins := app.config["CORS_ORIGINS"]:
        CORS(app, origins=origins, expose_headers=EXPOSED_HEADERS, max_age=600)
    hosts.init_app(app)  # beneath the proxies' headers: theirs is the host that counts
    hops = app.config["PROXY_HOPS"]
    if hops:
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=hops, x_proto=hops, x_host=hops)  # type: ignore[method-assign]


def _add_blueprints(app: Flask) -> None:
    app.url_map.strict_slashes = False
    problems.init_app(app)
    for blueprint in (
        auth_blueprint,
        keys_blueprint,
        sessions_blueprint,
        users_blueprint,
        invitations_blueprint,
        deliveries_blueprint,
        bulk_blueprint,
        labels_blueprint,
        notifications_blueprint,
        preferences_blueprint,
        unsubscribe_blueprint,
        twilio_blueprint,
        webhooks.endpoints,
        webhooks.log,
        webhooks.feed,
        imports.runs,
        imports.templates,
        audit_blueprint,
        privacy_blueprint,
        health_blueprint,
        metrics_blueprint,
        api_documents.pages,
    ):
        app.register_blueprint(blueprint)


def _add_commands(app: Flask) -> None:
    notifications_cli.group.add_command(cli_preview.preview)
    deliveries_cli.group.add_command(cli_export.export)
    notifications_cli.init_app(app, by_number)
    for group in (
        auth_cli.group,
        deliveries_cli.group,
        notifications_cli.group,
        webhooks_cli.group,
        imports_cli.group,
        audit_cli.group,
        privacy_cli.group,
        status.group,
        partitions.group,
    ):
        app.cli.add_command(group)
    for command in (schema.database, doctor.doctor, worker.worker, cron.cron, cli_up.up, cli_restored.restored):
        app.cli.add_command(command)
