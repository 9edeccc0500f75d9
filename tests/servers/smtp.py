"""A real SMTP server in a thread: keeps every mail it accepted, and refuses, drops or dawdles as its script says."""

import asyncio
import email
import email.policy
import threading
import time
import weakref
from contextlib import contextmanager
from dataclasses import dataclass, field

from aiosmtpd.smtp import SMTP, AuthResult

from tests.servers.certificate import server_context
from tests.servers.folders import short_folder
from tests.servers.script import Script
from tests.servers.waiting import wait_until

DROP = object()  # the fault: close the connection without an answer


@dataclass(frozen=True)
class Envelope:
    """One accepted mail as it crossed the wire."""

    mail_from: str
    rcpt_tos: list[str]
    raw: bytes
    tls: bool
    user: str | None
    at: float = field(default_factory=time.time)

    @property
    def message(self):
        """The parsed mail (email.message.EmailMessage)."""
        return email.message_from_bytes(self.raw, policy=email.policy.default)


class SmtpServer:
    """The server's state and script. `port` offers STARTTLS, `tls_port` speaks TLS from the first byte."""

    host = "127.0.0.1"

    def __init__(self, folder):
        self.received = []
        self.connections = 0
        self.logins = {}  # user -> password; empty: AUTH is neither offered nor asked for
        self.banner_delay = self.data_delay = 0.0  # seconds
        self.pipelining = False  # offered or not (RFC 2920); taken always
        self.recipients, self.bodies, self.greetings = Script(), Script(), Script()
        self.tls, self.certificate = server_context(folder)
        self.port = self.tls_port = 0
        self.sessions = weakref.WeakSet()

    def refuse_recipient(self, answer="550 5.1.1 No such user", *, address=None, times=1):
        """Answer RCPT with this; of `address` only, where given. times=None: always."""
        self.recipients.add(answer, times=times, when=lambda rcpt: address in (None, rcpt))

    def refuse_data(self, answer="451 4.3.0 Try again later", *, times=1):
        """Answer the end of DATA with this; the mail is not kept."""
        self.bodies.add(answer, times=times)

    def drop_after_data(self, *, times=1):
        """Accept and keep the mail, then close without an answer: the client cannot know."""
        self.bodies.add(DROP, times=times)

    def refuse_connections(self, answer="421 4.3.2 Closing", *, times=1):
        """Greet with this instead of 220 and close."""
        self.greetings.add(answer, times=times)

    def wait_for(self, count, *, seconds=10.0):
        """The received mails once there are at least `count`."""
        wait_until(lambda: len(self.received) >= count, what=f"{count} mails", seconds=seconds)
        return list(self.received)

    def clear(self):
        """Forget mails, script and logins."""
        self.received.clear()
        self.logins.clear()
        self.connections = 0
        self.banner_delay = self.data_delay = 0.0
        self.pipelining = False
        for script in (self.recipients, self.bodies, self.greetings):
            script.clear()


class Session(SMTP):
    """aiosmtpd's protocol with our greeting and AUTH by the server's current logins."""

    def __init__(self, server, *, implicit_tls, loop):
        super().__init__(
            Hooks(server),
            loop=loop,
            hostname="localhost",
            tls_context=None if implicit_tls else server.tls,
            authenticator=self._check_login,
            auth_require_tls=False,
            auth_exclude_mechanism=[] if server.logins else ["LOGIN", "PLAIN"],
        )
        self._scripted = server
        server.sessions.add(self)

    async def _handle_client(self):
        self._scripted.connections += 1
        await asyncio.sleep(self._scripted.banner_delay)
        if answer := self._scripted.greetings.take():
            await self.push(answer)
            self.transport.close()
            return
        await super()._handle_client()

    def _check_login(self, _server, _session, _envelope, _mechanism, data):
        user, password = data.login.decode(), data.password.decode()
        return AuthResult(success=self._scripted.logins.get(user) == password, handled=False, auth_data=user)


class Hooks:
    """What aiosmtpd asks at each command."""

    def __init__(self, server):
        self.server = server

    async def handle_EHLO(self, _smtp, session, _envelope, hostname, answers):  # noqa: N802
        session.host_name = hostname
        return [*answers[:-1], "250-PIPELINING", answers[-1]] if self.server.pipelining else answers

    async def handle_MAIL(self, _smtp, session, envelope, address, options):  # noqa: N802  aiosmtpd's name
        if self.server.logins and not session.authenticated:
            return "530 5.7.0 Authentication required"
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 OK"

    async def handle_RCPT(self, _smtp, _session, envelope, address, _options):  # noqa: N802
        if answer := self.server.recipients.take(address):
            return answer
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, smtp, session, envelope):  # noqa: N802
        await asyncio.sleep(self.server.data_delay)
        fault = self.server.bodies.take(envelope)
        if isinstance(fault, str):
            return fault
        tls = smtp.transport.get_extra_info("ssl_object") is not None
        user = session.auth_data if session.authenticated else None
        mail = Envelope(envelope.mail_from, list(envelope.rcpt_tos), envelope.original_content, tls=tls, user=user)
        self.server.received.append(mail)
        if fault is DROP:
            smtp.transport.abort()
        return "250 OK"


@contextmanager
def smtp_server():
    """Start a server on two free loopback ports in a thread of its own; stop it at the end."""
    with short_folder("smtp-") as folder:
        server, loop = SmtpServer(folder), asyncio.new_event_loop()
        plain, secure = _listen(loop, server, context=None), _listen(loop, server, context=server.tls)
        server.port, server.tls_port = (listener.sockets[0].getsockname()[1] for listener in (plain, secure))
        thread = threading.Thread(target=loop.run_forever, name="smtp", daemon=True)
        thread.start()
        try:
            yield server
        finally:
            asyncio.run_coroutine_threadsafe(_end(server, plain, secure), loop).result(timeout=10)
            loop.call_soon_threadsafe(loop.stop)
            thread.join(timeout=10)
            loop.close()


def _listen(loop, server, *, context):
    def session():
        return Session(server, implicit_tls=context is not None, loop=loop)

    return loop.run_until_complete(loop.create_server(session, server.host, 0, ssl=context))


async def _end(server, *listeners):
    for listener in listeners:
        listener.close()
    for session in list(server.sessions):
        if session.transport is not None:
            session.transport.abort()
    conversations = asyncio.all_tasks() - {asyncio.current_task()}
    await asyncio.wait_for(asyncio.gather(*conversations, return_exceptions=True), timeout=5)
