"""Twilio's message API on loopback: basic auth, create, fetch, list, scripted faults.

The shapes are those of www.twilio.com/docs/messaging/api/message-resource.
"""

import base64
import itertools
import json
import threading
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from tests.servers.script import Script

MORE_INFO = "https://www.twilio.com/docs/errors/{}"
NEW_MESSAGE = {
    "api_version": "2010-04-01",
    "date_sent": None,
    "direction": "outbound-api",
    "error_code": None,
    "error_message": None,
    "num_media": "0",
    "num_segments": "1",
    "price": None,
    "price_unit": None,
    "status": "queued",
    "tags": None,
}


class TwilioServer:
    """What was sent, and what goes wrong next."""

    account, token = "AC" + "0" * 32, "a-test-token-of-32-characters-xx"

    def __init__(self):
        self.messages = []  # Twilio's JSON of each accepted message, in order
        self.requests = []  # the form fields of every POST, refused ones included
        self.delay = 0.0  # seconds before every answer
        self.script = Script()
        self.url = ""
        self._numbers = itertools.count(1)

    def fail(self, status, *, code=20500, message="Internal error", retry_after=None, to=None, times=1):
        """Answer a create with this error, of number `to` only where given. times=None: always."""
        fault = {"status": status, "code": code, "message": message, "retry_after": retry_after}
        self.script.add(fault, times=times, when=lambda form: to in (None, form.get("To")))

    def refuse_number(self, to=None, *, times=1):
        """400, 21211: the number is not valid. Permanent."""
        self.fail(
            400, code=21211, message=f"The 'To' number {to or ''} is not a valid phone number.", to=to, times=times
        )

    def limit(self, retry_after=1, *, times=1):
        """429, 20429: too many requests."""
        self.fail(429, code=20429, message="Too Many Requests", retry_after=retry_after, times=times)

    def drop_after_accept(self, *, times=1):
        """Accept and keep the message, then close without an answer: the client cannot know."""
        self.script.add("drop", times=times)

    def clear(self):
        self.messages.clear()
        self.requests.clear()
        self.script.clear()
        self.delay = 0.0

    def accept(self, form):
        """Keep a message and give Twilio's resource of it."""
        sid, now = f"SM{next(self._numbers):032x}", format_datetime(datetime.now(UTC))
        path = f"/2010-04-01/Accounts/{self.account}/Messages/{sid}"
        message = NEW_MESSAGE | {
            "account_sid": self.account,
            "body": form["Body"],
            "date_created": now,
            "date_updated": now,
            "from": form.get("From"),
            "messaging_service_sid": form.get("MessagingServiceSid"),
            "sid": sid,
            "subresource_uris": {"media": f"{path}/Media.json"},
            "to": form["To"],
            "uri": f"{path}.json",
        }
        self.messages.append(message)
        return message


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server: "Listener"

    def do_POST(self):
        twilio, size = self.server.twilio, int(self.headers.get("Content-Length", 0))
        form = {name: values[0] for name, values in parse_qs(self.rfile.read(size).decode()).items()}
        if not self._admitted(f"/2010-04-01/Accounts/{twilio.account}/Messages.json"):
            return
        twilio.requests.append(form)
        fault = twilio.script.take(form)
        if isinstance(fault, dict):
            self._refuse(**fault)
        elif missing := [name for name, code in (("To", 21604), ("Body", 21602)) if not form.get(name)]:
            self._refuse(400, code=21604, message=f"A '{missing[0]}' is required.")
        else:
            message = twilio.accept(form)
            if fault == "drop":
                self.close_connection = True
            else:
                self._answer(201, message)

    def do_GET(self):
        twilio, url = self.server.twilio, urlsplit(self.path)
        folder = f"/2010-04-01/Accounts/{twilio.account}/Messages"
        if not self._admitted(folder):
            return
        if url.path == f"{folder}.json":
            self._answer(200, _page(twilio.messages, parse_qs(url.query)))
        elif found := [message for message in twilio.messages if message["uri"] == url.path]:
            self._answer(200, found[0])
        else:
            self._refuse(404, code=20404, message=f"The requested resource {url.path} was not found")

    def _admitted(self, folder):
        twilio = self.server.twilio
        time.sleep(twilio.delay)
        expected = base64.b64encode(f"{twilio.account}:{twilio.token}".encode()).decode()
        if self.headers.get("Authorization") != f"Basic {expected}":
            self._refuse(401, code=20003, message="Authenticate")
        elif not self.path.startswith(folder):
            self._refuse(404, code=20404, message=f"The requested resource {self.path} was not found")
        else:
            return True
        return False

    def _refuse(self, status, *, code, message, retry_after=None):
        headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
        error = {"code": code, "message": message, "more_info": MORE_INFO.format(code), "status": status}
        self._answer(status, error, headers=headers)

    def _answer(self, status, body, *, headers=None):
        data = json.dumps(body).encode()
        self.send_response(status)
        for name, value in {
            "Content-Type": "application/json",
            "Content-Length": str(len(data)),
            **(headers or {}),
        }.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        """Say nothing: the test's output is for the test."""


class Listener(ThreadingHTTPServer):
    """Threads that end with the process; a client that hangs up is no news."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, twilio):
        super().__init__(("127.0.0.1", 0), Handler)
        self.twilio = twilio

    def handle_error(self, *_):
        """A client that gave up waiting is part of many tests."""


def _page(messages, query):
    """One page of the list, newest first, by the filters To, From and PageSize."""
    wanted = {field.lower(): query[field][0] for field in ("To", "From") if field in query}
    found = [message for message in reversed(messages) if all(message[key] == value for key, value in wanted.items())]
    size = int(query.get("PageSize", ["50"])[0])
    return {
        "messages": found[:size],
        "page": 0,
        "page_size": size,
        "next_page_uri": None,
        "start": 0,
        "end": len(found[:size]),
    }


@contextmanager
def twilio_server():
    """Start a server on a free loopback port in a thread; stop it at the end."""
    twilio = TwilioServer()
    with Listener(twilio) as listener:
        twilio.url = f"http://127.0.0.1:{listener.server_port}"
        thread = threading.Thread(
            target=listener.serve_forever, kwargs={"poll_interval": 0.05}, name="twilio", daemon=True
        )
        thread.start()
        try:
            yield twilio
        finally:
            listener.shutdown()
            thread.join(timeout=10)
