"""Twilio's message API on loopback: basic auth, create, fetch, list by pages, signed receipts, scripted faults.

The shapes are those of www.twilio.com/docs/messaging/api/message-resource, and of .../docs/usage/security.
"""

import base64
import itertools
import json
import threading
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urldefrag, urlencode, urlsplit
from urllib.request import ProxyHandler, Request, build_opener

from twilio.request_validator import RequestValidator

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
        self.reports = []  # what is said of each accepted message at once: statuses, or (status, error code)
        self.answers = []  # (status of the message, HTTP status) of each receipt that was sent
        self.hung = threading.Event()  # set: those that hang are let go
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

    def limit_number(self, to, *, retry_after):
        """429 for one number."""
        self.fail(429, code=20429, message="Too Many Requests", retry_after=retry_after, to=to)

    def drop_after_accept(self, *, times=1):
        """Accept and keep the message, then close without an answer: the client cannot know."""
        self.script.add("drop", times=times)

    def refuse_opted_out(self, to=None, *, times=1):
        """400, 21610: whoever has the number told it STOP. Permanent."""
        self.fail(400, code=21610, message="Attempt to send to unsubscribed recipient", to=to, times=times)

    def break_after_accept(self, *, times=1):
        """Accept and keep the message, then answer 500: the client cannot know."""
        self.script.add("break", times=times)

    def hang_after_accept(self, *, times=1):
        """Accept and keep the message, then say nothing until the client gives up, or `hung` is set."""
        self.script.add("hang", times=times)

    def clear(self):
        self.hung.set()
        self.hung = threading.Event()
        for kept in (self.messages, self.requests, self.reports, self.answers):
            kept.clear()
        self.script.clear()
        self.delay = 0.0

    def receipt(self, message, status, *, error_code=None):
        """The form of a status callback and its headers, as Twilio signs it for the address that it was given."""
        address, _ = urldefrag(message["status_callback"])
        form = {
            "AccountSid": self.account,
            "ApiVersion": "2010-04-01",
            "From": message["from"] or "+15005550006",
            "MessageSid": message["sid"],
            "MessageStatus": status,
            "SmsSid": message["sid"],
            "SmsStatus": status,
            "To": message["to"],
            **({} if error_code is None else {"ErrorCode": str(error_code)}),
        }
        message["status"], message["error_code"] = status, error_code
        return form, self.signed(address, form)

    def signed(self, address, form):
        """The headers of a call that is Twilio's."""
        return {"X-Twilio-Signature": RequestValidator(self.token).compute_signature(address, form)}

    def report(self, message, status, *, error_code=None):
        """Call the address that the message came with; give the HTTP status of the answer."""
        form, headers = self.receipt(message, status, error_code=error_code)
        address, _ = urldefrag(message["status_callback"])
        request = Request(address, data=urlencode(form).encode(), headers=headers, method="POST")
        try:
            with _opener.open(request, timeout=10) as answer:
                code = answer.status
        except OSError as error:  # HTTPError is one, too
            code = getattr(error, "code", None)
        self.answers.append((status, code))
        return code

    def report_all(self, message):
        """Say of a message what `reports` lists, in its order."""
        for one in list(self.reports) if message["status_callback"] else []:
            status, code = one if isinstance(one, tuple) else (one, None)
            self.report(message, status, error_code=code)

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
            "status_callback": form.get("StatusCallback"),
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
            self._take(twilio, form, fault)

    def _take(self, twilio, form, fault):
        message, hung = twilio.accept(form), twilio.hung
        if twilio.reports:
            threading.Thread(target=twilio.report_all, args=(message,), daemon=True).start()
        if fault == "hang":
            hung.wait(60)
        if fault in {"drop", "hang"}:
            self.close_connection = True
        elif fault == "break":
            self._refuse(500, code=20500, message="Internal error")
        else:
            self._answer(201, _shown(message))

    def do_GET(self):
        twilio, url = self.server.twilio, urlsplit(self.path)
        folder = f"/2010-04-01/Accounts/{twilio.account}/Messages"
        if not self._admitted(folder):
            return
        if url.path == f"{folder}.json":
            self._answer(200, _page(twilio.messages, parse_qs(url.query), path=url.path))
        elif found := [message for message in twilio.messages if message["uri"] == url.path]:
            self._answer(200, _shown(found[0]))
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


_opener = build_opener(ProxyHandler({}))


def _shown(message):
    return {name: value for name, value in message.items() if name != "status_callback"}


def _sent_within(message, query):
    """The filters DateSent, DateSent> and DateSent<, by day; what was not sent yet has no date and fits none."""
    filters = {sign: query[f"DateSent{sign}"][0][:10] for sign in ("", ">", "<") if f"DateSent{sign}" in query}
    if not filters:
        return True
    if message["date_sent"] is None:
        return False
    day = parsedate_to_datetime(message["date_sent"]).date().isoformat()
    fits = {"": lambda one: day == one, ">": lambda one: day >= one, "<": lambda one: day <= one}
    return all(fits[sign](one) for sign, one in filters.items())


def _page(messages, query, *, path):
    """One page of the list, newest first, by the filters To, From, DateSent, and by PageSize and Page."""
    wanted = {field.lower(): query[field][0] for field in ("To", "From") if field in query}
    found = [
        _shown(message)
        for message in reversed(messages)
        if all(message[key] == value for key, value in wanted.items()) and _sent_within(message, query)
    ]
    size, page = int(query.get("PageSize", ["50"])[0]), int(query.get("Page", ["0"])[0])
    begin = size * page
    more = urlencode({**{name: values[0] for name, values in query.items()}, "Page": page + 1})
    return {
        "messages": found[begin : begin + size],
        "page": page,
        "page_size": size,
        "next_page_uri": f"{path}?{more}" if begin + size < len(found) else None,
        "start": begin,
        "end": begin + len(found[begin : begin + size]),
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
