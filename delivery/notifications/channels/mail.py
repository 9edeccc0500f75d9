"""Mail by SMTP: mime.py writes it, our own connection carries it, because the moment of truth matters.

Until the final dot of DATA has left, a lost connection means: not sent. After it, and before the answer, nobody can
tell (RFC 5321, 4.5.3.2.6 and RFC 1047). smtplib's sendmail hides that moment, so we give the commands ourselves.
Flask-Mail's own connection has no time-out, and on Python 3.11 it does not verify certificates.
"""

import functools
import smtplib
import ssl
import time
from collections.abc import Callable
from typing import Self
from uuid import UUID

from flask import Config

from delivery.notifications.channels import Failure, Letter, Unknown, Unreachable, mime
from delivery.notifications.channels.smtp import SmtpClient

POSITIVE, GO_ON, NEGATIVE, PERMANENT = 200, 354, 400, 500
SERVICE_CLOSING = 421
QUIT_SECONDS = 2
# Our own credentials are refused (RFC 4954, 6): no letter is to blame, none will get through.
AUTHENTICATION_CODES = frozenset({530, 534, 535, 538})


class SmtpTransport:
    """One kept connection to one server, as SMTP_TLS says: starttls, tls or none; never less than was asked for."""

    name = "smtp"
    hand_off_size = 10
    concurrency = 1

    def __init__(
        self, *, host: str, port: int, sender: str, tls: str, user: str, password: str, timeout_seconds: float
    ) -> None:
        self._host, self._port, self._tls = host, port, tls
        self._user, self._password = user, password
        self._sender = sender
        self._envelope_sender = mime.mailbox(sender)[1]
        self._domain = self._envelope_sender.rpartition("@")[2] or "localhost"
        self._timeout_seconds = timeout_seconds
        self._smtp: SmtpClient | None = None
        self._sent = 0  # over this connection
        self._owed = 0  # answers to commands that were given ahead
        self._deadline = 0.0  # of connecting, or of sending a letter, connecting anew included

    @classmethod
    def from_config(cls, config: Config) -> Self:
        return cls(
            host=config["SMTP_HOST"],
            port=config["SMTP_PORT"],
            sender=config["MAIL_FROM"],
            tls=config["SMTP_TLS"],
            user=config["SMTP_USER"],
            password=config["SMTP_PASSWORD"],
            timeout_seconds=config["SMTP_TIMEOUT_SECONDS"],
        )

    def open(self) -> None:
        self._deadline = time.monotonic() + self._timeout_seconds
        self._open()

    def _open(self) -> None:
        if self._smtp is not None:
            return
        try:
            self._smtp = self._connect()
        except smtplib.SMTPResponseException as error:
            raise Unreachable(f"smtp_{error.smtp_code}", _text(error.smtp_error)) from error
        except ssl.SSLError as error:
            raise Unreachable("tls", f"No secure connection: {error.reason}") from error
        except (OSError, smtplib.SMTPException) as error:
            raise Unreachable("smtp_unreachable", type(error).__name__) from error
        self._sent = self._owed = 0

    def _connect(self) -> SmtpClient:
        trust = self._trust if self._tls == "tls" else None
        # Naming ourselves spares smtplib's look-up of our host name, which may take seconds.
        smtp = SmtpClient(deadline=self._deadline, local_hostname=self._domain, trust=trust)
        try:
            smtp.open(self._host, self._port)
            if self._tls == "starttls":
                smtp.starttls(context=self._trust)
            smtp.ehlo_or_helo_if_needed()
            if self._user:
                self._sign_in(smtp)
        except BaseException:
            smtp.close()
            raise
        return smtp

    def _sign_in(self, smtp: SmtpClient) -> None:
        try:
            smtp.login(self._user, self._password)
        except ValueError as error:  # smtplib knows ASCII alone
            raise Unreachable("smtp_credentials", "SMTP_USER or SMTP_PASSWORD cannot be sent.") from error

    @functools.cached_property
    def _trust(self) -> ssl.SSLContext:
        """Whom we believe to be the server; reading all authorities takes 10 ms, so once a process."""
        return ssl.create_default_context()

    def close(self) -> None:
        smtp, self._smtp = self._smtp, None
        if smtp is not None:
            smtp.quit_briefly(seconds=QUIT_SECONDS)

    def send(self, message_id: UUID, letter: Letter) -> str | None:
        address = mime.wire_address(letter.address)
        content = mime.write(letter, message_id=f"{message_id}@{self._domain}", sender=self._sender)
        self._deadline = time.monotonic() + self._timeout_seconds
        self._begin(address)
        self._command(lambda smtp: self._next(smtp) or smtp.rcpt(address), of_recipient=True)
        self._command(lambda smtp: self._next(smtp) or smtp.docmd("DATA"))
        return _text(self._deliver(content)) or None

    def _begin(self, address: str) -> None:
        """MAIL FROM; a server that only had enough of this connection gets a new one."""
        used = self._sent > 0
        try:
            self._mail_from(address)
        except Unreachable:
            if not used:
                raise
            self._mail_from(address)

    def _mail_from(self, address: str) -> None:
        self._open()
        try:
            self._command(lambda smtp: self._envelope(smtp, address))
        except _Disconnected as error:
            raise Unreachable(error.error_class, error.message) from error

    def _envelope(self, smtp: SmtpClient, address: str) -> tuple[int, bytes]:
        """Give the first command, and with it the other two where the server takes them in one piece (RFC 2920)."""
        if not smtp.has_extn("pipelining"):
            return smtp.mail(self._envelope_sender)
        smtp.send(f"MAIL FROM:<{self._envelope_sender}>\r\nRCPT TO:<{address}>\r\nDATA\r\n")
        self._owed = 2
        return smtp.getreply()

    def _next(self, smtp: SmtpClient) -> tuple[int, bytes] | None:
        """Return the next answer to what was given ahead; None: nothing was."""
        if self._owed == 0:
            return None
        self._owed -= 1
        return smtp.getreply()

    def _command(self, call: Callable[[SmtpClient], tuple[int, bytes]], *, of_recipient: bool = False) -> None:
        """Give one command before the final dot: whatever goes wrong, the letter has not been sent."""
        try:
            code, answer = call(self._in_time())
        except (OSError, smtplib.SMTPException) as error:
            self._drop()
            raise _Disconnected from error
        if not POSITIVE <= code < NEGATIVE:
            raise self._refusal(code, answer, of_recipient=of_recipient)

    def _deliver(self, content: bytes) -> bytes:
        smtp = self._in_time()
        try:
            smtp.send(content)
        except (OSError, smtplib.SMTPException) as error:
            # Not all was sent, so the final dot, which comes last, has not left.
            self._drop()
            raise _Disconnected from error
        try:
            code, answer = smtp.getreply()
        except (OSError, smtplib.SMTPException) as error:
            self._drop()
            raise Unknown("smtp_no_answer", "The server had the whole mail and did not answer.") from error
        if code < POSITIVE:
            self._drop()
            raise Unknown("smtp_no_answer", "The server had the whole mail and answered nonsense.")
        if code >= NEGATIVE:
            raise self._refusal(code, answer)
        self._sent += 1
        return answer

    def _in_time(self) -> SmtpClient:
        """Return the connection, allowed to block for what is left of this letter's time."""
        if self._smtp is None or self._smtp.sock is None:
            raise smtplib.SMTPServerDisconnected
        self._smtp.deadline = self._deadline
        return self._smtp

    def _refusal(self, code: int, answer: bytes, *, of_recipient: bool = False) -> Failure:
        """Word the server's refusal, and make the connection ready for the next letter."""
        error_class, text = f"smtp_{code}", f"{code} {_text(answer)}"
        if code in AUTHENTICATION_CODES or code == SERVICE_CLOSING:
            self._drop()
            return Unreachable(error_class, text)
        try:
            self._hear_out()
            self._in_time().rset()
        except (OSError, smtplib.SMTPException):
            self._drop()
        return Failure(error_class, text, permanent=code >= PERMANENT, of_recipient=of_recipient)

    def _hear_out(self) -> None:
        """Hear what else was given ahead. A server that now waits for a mail will not get one, nor an empty one.

        Raises:
            SMTPServerDisconnected: it does.
        """
        while answer := self._next(self._in_time()):
            if answer[0] == GO_ON:
                raise smtplib.SMTPServerDisconnected

    def _drop(self) -> None:
        if self._smtp is not None:
            self._smtp.close()
        self._smtp, self._sent, self._owed = None, 0, 0


class _Disconnected(Failure):
    """The server went away before the final dot."""

    def __init__(self) -> None:
        super().__init__("smtp_disconnected", "The server closed the connection or did not answer in time.")


def _text(answer: bytes | str) -> str:
    return answer.decode("utf-8", "replace") if isinstance(answer, bytes) else answer
