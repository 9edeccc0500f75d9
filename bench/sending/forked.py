"""What many projects do: RQ's own worker, which forks for each job, and a job, a message and a connection a mail.

`python -m sending.forked REDIS_URL PORT` works until nothing is queued.
"""

import sys

from flask import Flask
from flask_mail import Mail, Message
from redis import Redis
from rq import Queue, Worker

QUEUE = "forked"
app = Flask(__name__)
mail = Mail()


def configure(port):
    app.config.update(MAIL_SERVER="127.0.0.1", MAIL_PORT=port, MAIL_DEFAULT_SENDER="no-reply@bench.example")
    mail.init_app(app)


def send(port, address, subject, text, html):
    """The job."""
    if "mail" not in app.extensions:
        configure(port)
    with app.app_context():
        mail.send(Message(subject, recipients=[address], body=text, html=html))


def main():
    redis = Redis.from_url(sys.argv[1])
    configure(int(sys.argv[2]))
    print("ready", flush=True)
    sys.stdin.readline()
    Worker([Queue(QUEUE, connection=redis)], connection=redis).work(burst=True, logging_level="WARNING")


if __name__ == "__main__":
    main()
