"""The outside: mail server, SMS provider, receiver of webhooks; they misbehave on demand, and keep what they got."""

import logging
import re
import threading
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from tests.servers.certificate import server_context
from tests.servers.folders import short_folder
from tests.servers.receiver import Listener as HookListener
from tests.servers.receiver import Receiver
from tests.servers.script import Script
from tests.servers.smtp import DROP, smtp_server
from tests.servers.twilio import Listener, TwilioServer

_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")
# A tracking number: a text message says which delivery it is about, and by its words which event.
_NUMBER = re.compile(r"\b[0-9A-HJKMNP-TV-Z]{13}\b")
GONE_PATH = "/gone"  # of the one endpoint that may be told that it is gone
# Longer than the short pace waits.
HANG_SECONDS, SLOW_BANNER_SECONDS = 4.0, 10.0


@dataclass(frozen=True)
class Received:
    """One message as the outside world got it: by which id, or, of a text message, in which words."""

    channel: str
    at: float
    to: str
    id: str | None = None
    text: str = ""
    sid: str | None = None


class Misdeeds:
    """What the outside did on purpose to which message: the harness must forgive the outbox that, and nothing else."""

    def __init__(self):
        self._lock = threading.Lock()
        self.rows = []  # (name, subject): the id of a mail, the address or number that was refused, a sid

    def add(self, name, subject):
        with self._lock:
            self.rows.append((name, subject))

    def about(self, *names):
        with self._lock:
            return {subject for name, subject in self.rows if name in names}


class TellingScript(Script):
    """A script that tells what it did, and to whom."""

    def __init__(self, tell):
        super().__init__()
        self._tell = tell

    def take(self, subject=None):
        fault = super().take(subject)
        return fault if fault is None else self._tell(fault, subject)


def id_of(raw):
    """The row's id in a mail's Message-ID."""
    head = raw.split(b"\r\n\r\n", 1)[0].decode("ascii", "replace")
    line = re.search(r"^message-id:\s*(\S+)", head, re.IGNORECASE | re.MULTILINE)
    found = line and _ID.search(line[1])
    return found and found[0]


class Outside:
    """The servers and their faults."""

    def __init__(self, smtp, twilio, hooks, *, stranger):
        self.smtp, self.twilio, self.hooks = smtp, twilio, hooks
        self.misdeeds = hooks.misdeeds
        self._tls, self._stranger = smtp.tls, stranger  # a certificate that nobody trusts
        smtp.bodies, smtp.recipients = TellingScript(self._of_mail), TellingScript(self._of_address)
        twilio.script = TellingScript(self._of_text)
        self.texts = twilio.texts

    def _of_mail(self, fault, envelope):
        self.misdeeds.add("smtp_drop" if fault is DROP else "smtp_451", id_of(envelope.original_content))
        return fault

    def _of_address(self, fault, address):
        self.misdeeds.add("smtp_550", address)
        return fault

    def _of_text(self, fault, form):
        """Each delivery has a telephone number of its own, so the number says which one it was done to."""
        name = f"sms_{fault['status']}" if isinstance(fault, dict) else f"sms_{fault}"
        self.misdeeds.add(name, form["To"])
        if fault == "hang":
            time.sleep(HANG_SECONDS)
            return None
        if name == "sms_500":
            self.twilio.accept(form)  # and yet: an error
        return fault

    def received(self):
        """Everything that was accepted, in the order in which it came."""
        mails = [
            Received("mail", mail.at, mail.rcpt_tos[0] if mail.rcpt_tos else "", id=id_of(mail.raw))
            for mail in list(self.smtp.received)
        ]
        hooks = [
            Received("webhook", one.at, one.path, id=one.id, text=one.body.decode())
            for one in list(self.hooks.requests)
            if one.type != "endpoint.verify"
        ]
        return sorted([*mails, *self.texts, *hooks], key=lambda one: one.at)

    def calm(self):
        """End the misdeeds that last."""
        self.smtp.banner_delay, self.smtp.tls = 0.0, self._tls

    def behave(self):
        """No faults from now on; what has been received stays."""
        self.calm()
        for script in (self.smtp.bodies, self.smtp.recipients, self.smtp.greetings, self.twilio.script):
            script.clear()
        self.hooks.script.clear()

    def forget(self):
        """Begin with nothing received."""
        self.behave()
        self.smtp.received.clear()
        self.texts.clear()
        self.hooks.requests.clear()
        self.misdeeds.rows.clear()

    def do(self, name):
        """Begin one misdeed; of those that last, return how many seconds, and calm() ends them."""
        smtp, twilio, hooks = self.smtp, self.twilio, self.hooks
        misdeeds = {
            "smtp_drop": smtp.drop_after_data,
            "smtp_451": lambda: smtp.refuse_data(times=2),
            "smtp_550": smtp.refuse_recipient,
            "smtp_closing": lambda: smtp.refuse_connections(times=2),
            "smtp_slow": lambda: setattr(smtp, "banner_delay", SLOW_BANNER_SECONDS),
            "smtp_tls": lambda: setattr(smtp, "tls", self._stranger),
            "sms_drop": twilio.drop_after_accept,
            "sms_500": lambda: twilio.fail(500),
            "sms_429": lambda: twilio.limit(retry_after=2),
            "sms_number": twilio.refuse_number,
            "sms_hang": lambda: twilio.script.add("hang", times=2),
            "hook_302": lambda: hooks.redirect(f"{hooks.url}/elsewhere"),
            "hook_410": lambda: hooks.gone(path=GONE_PATH),
            "hook_429": lambda: hooks.limit(retry_after=2),
            "hook_500": lambda: hooks.fail(times=3),
            "hook_drip": lambda: hooks.drip(seconds=0.5),
            "hook_endless": hooks.endless,
            "hook_reset": hooks.reset,
            "hook_hang": hooks.hang,
        }
        misdeeds[name]()
        return {"smtp_slow": 4.0, "smtp_tls": 3.0}.get(name, 0.0)


class Provider(TwilioServer):
    """Twilio's protocol, keeping what was accepted as the check wants it."""

    def __init__(self):
        super().__init__()
        self.texts = []

    def accept(self, form):
        message = super().accept(form)
        found = _ID.search(form.get("StatusCallback", ""))
        identity = found and found[0]
        self.texts.append(Received("sms", time.time(), form["To"], id=identity, text=form["Body"], sid=message["sid"]))
        return message


class Hooks(Receiver):
    """A receiver that tells which webhook it treated badly."""

    def __init__(self):
        super().__init__()
        self.misdeeds = Misdeeds()

    def _add(self, fault, *, path, times):
        def telling(handler):
            name = "hook_410" if handler.path == GONE_PATH and path == GONE_PATH else "hook"
            self.misdeeds.add(name, handler.headers.get("webhook-id"))
            fault(handler)

        super()._add(telling, path=path, times=times)


@contextmanager
def outside():
    """Start all three; stop them at the end."""
    provider, hooks = Provider(), Hooks()
    logging.getLogger("mail.log").setLevel(logging.CRITICAL)  # aiosmtpd's, about clients that trust nobody
    with ExitStack() as stack:
        folder, smtp = stack.enter_context(short_folder("tls-")), stack.enter_context(smtp_server())
        provider.url = stack.enter_context(_served(Listener(provider)))
        stack.callback(hooks.stopping.set)
        listener = HookListener(hooks, host="127.0.0.1", port=0, tls=None)
        hooks.url = stack.enter_context(_served(listener))
        yield Outside(smtp, provider, hooks, stranger=server_context(folder)[0])


@contextmanager
def _served(server):
    with server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join(timeout=10)
