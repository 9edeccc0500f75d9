"""What gunicorn, `flask worker` and `flask cron` load under the harness: the project's app, with its hooks in place."""

import os

from tests.faults import bugs, hooks, pace

_pace = os.environ["FAULTS_PACE"]
pace.PACES[_pace].apply()
_bug = os.environ.get("FAULTS_BUG", "")
bugs.plant(_bug)
if _pace == "short" or _bug:
    from delivery.notifications import jobs
    from delivery.notifications.channels.webhook import WebhookTransport

    WebhookTransport.__init__.__kwdefaults__["total_seconds"] = pace.SHORT_WEBHOOK_SECONDS
    jobs.LEASE_MARGIN_SECONDS = -1_000 if _bug == "no_lease_check" else pace.SHORT_MARGIN_SECONDS
hooks.install(hooks.Folder(os.environ["FAULTS_FOLDER"]), role=os.environ["FAULTS_ROLE"])

from wsgi import app  # noqa: E402  after the hooks

__all__ = ["app"]
