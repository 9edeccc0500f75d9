"""What many projects do: RQ's own worker, which forks for each job, and a job, a message and a connection a mail.

`python -m sending.forked REDIS_URL` works until nothing is queued; the environment names the mail server.
"""

import os
import sys

from flask import Flask
from flask_mail import Mail, Message
from redis import Redis
from rq import Queue, Worker

QUEUE = "forked"
app = Flask(__name__)
mail = Mail()


def configure():
    given = os.environ
    app.config.update(
        MAIL_SERVER=given["SMTP_HOST"],
        MAIL_PORT=int(given["SMTP_PORT"]),
        MAIL_USE_TLS=given["SMTP_TLS"] == "starttls",
        MAIL_USERNAME=given.get("SMTP_USER"),
        MAIL_PASSWORD=given.get("SMTP_PASSWORD"),
        MAIL_DEFAULT_SENDER="no-reply@bench.example",
    )
    mail.init_app(app)


def send(address, subject, text, html):
    """The job; RQ imports this module once more, by its name."""
    if "mail" not in app.extensions:
        configure()
    with app.app_context():
        mail.send(Message(subject, recipients=[address], body=text, html=html))


def main():
    redis = Redis.from_url(sys.argv[1])
    configure()
    print("ready", flush=True)
    sys.stdin.readline()
    Worker([Queue(QUEUE, connection=redis)], connection=redis).work(burst=True, logging_level="WARNING")


if __name__ == "__main__":
    main()
