"""Mail by SMTP: Flask-Mail writes the message, our own connection carries it, because the moment of truth matters.

Until the final dot of DATA has left, a lost connection means: not sent. After it, and before the answer, nobody can
tell (RFC 5321, 4.5.3.2.6 and RFC 1047). smtplib's sendmail hides that moment, so the commands are given one by one.
Flask-Mail's own connection has no time-out, and on Python 3.11 it does not verify certificates.
"""

import contextlib
import functools
import re
import smtplib
import ssl
import time
from collections.abc import Callable
from email.charset import QP, Charset
from email.mime.text import MIMEText
from email.utils import parseaddr
from typing import Self
from uuid import UUID

from flask import Config
from flask_mail import Message

from delivery import clock
from delivery.notifications.channels import Failure, Letter, Unknown, Unreachable

POSITIVE, NEGATIVE, PERMANENT = 200, 400, 500
SERVICE_CLOSING = 421
# Our own credentials are refused (RFC 4954, 6): no letter is to blame, none will get through.
AUTHENTICATION_CODES = frozenset({530, 534, 535, 538})
LONGEST_LINE = 900  # RFC 5322, 2.1.1: 998 octets
# RFC 5321, 4.1.2, without the quoted form: nothing in it can end the address.
_PLAIN_ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9.-]+")


class SmtpTransport:
    """One kept connection to one server, as SMTP_TLS says: starttls, tls or none; never less than was asked for."""

    name = "smtp"
    hand_off_size = 10

    def __init__(
        self, *, host: str, port: int, sender: str, tls: str, user: str, password: str, timeout_seconds: float
    ) -> None:
        self._host, self._port, self._tls = host, port, tls
        self._user, self._password = user, password
        self._sender = sender
        self._envelope_sender = parseaddr(sender)[1]
        self._domain = self._envelope_sender.rpartition("@")[2] or "localhost"
        self._timeout_seconds = timeout_seconds
        self._smtp: smtplib.SMTP | None = None
        self._sent = 0  # over this connection
        self._deadline = 0.0

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
        self._sent = 0

    def _connect(self) -> smtplib.SMTP:
        context = ssl.create_default_context()
        smtp_class = functools.partial(smtplib.SMTP_SSL, context=context) if self._tls == "tls" else smtplib.SMTP
        # Naming ourselves spares smtplib's look-up of our host name, which may take seconds.
        smtp = smtp_class(self._host, self._port, local_hostname=self._domain, timeout=self._timeout_seconds)
        try:
            if self._tls == "starttls":
                smtp.starttls(context=context)
            smtp.ehlo_or_helo_if_needed()
            if self._user:
                smtp.login(self._user, self._password)
        except BaseException:
            smtp.close()
            raise
        return smtp

    def close(self) -> None:
        smtp, self._smtp = self._smtp, None
        if smtp is not None:
            with contextlib.suppress(smtplib.SMTPException, OSError):
                smtp.quit()
            smtp.close()

    def send(self, message_id: UUID, letter: Letter) -> str | None:
        content = _on_the_wire(self._compose(message_id, letter))
        self._deadline = time.monotonic() + self._timeout_seconds
        self._begin()
        self._command(lambda smtp: smtp.rcpt(_for_the_wire(letter.address)))
        self._command(lambda smtp: smtp.docmd("DATA"))
        return _text(self._deliver(content)) or None

    def _begin(self) -> None:
        """MAIL FROM; a server that only had enough of this connection gets a new one."""
        used = self._sent > 0
        try:
            self._mail_from()
        except Unreachable:
            if not used:
                raise
            self._mail_from()

    def _mail_from(self) -> None:
        self.open()
        try:
            self._command(lambda smtp: smtp.mail(self._envelope_sender))
        except _Disconnected as error:
            raise Unreachable(error.error_class, error.message) from error

    def _command(self, call: Callable[[smtplib.SMTP], tuple[int, bytes]]) -> None:
        """Give one command before the final dot: whatever goes wrong, the letter has not been sent."""
        try:
            code, answer = call(self._in_time())
        except (OSError, smtplib.SMTPException) as error:
            self._drop()
            raise _Disconnected from error
        if not POSITIVE <= code < NEGATIVE:
            raise self._refusal(code, answer)

    def _deliver(self, content: bytes) -> bytes:
        smtp = self._in_time()
        try:
            smtp.send(content)
        except (OSError, smtplib.SMTPException) as error:
            # sendall failed, so the final dot, which comes last, has not left.
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

    def _in_time(self) -> smtplib.SMTP:
        """Return the connection, allowed to block for what is left of this letter's time."""
        if self._smtp is None or self._smtp.sock is None:
            raise smtplib.SMTPServerDisconnected
        self._smtp.sock.settimeout(max(0.1, self._deadline - time.monotonic()))
        return self._smtp

    def _refusal(self, code: int, answer: bytes) -> Failure:
        """Word the server's refusal, and make the connection ready for the next letter."""
        error_class, text = f"smtp_{code}", f"{code} {_text(answer)}"
        if code in AUTHENTICATION_CODES or code == SERVICE_CLOSING:
            self._drop()
            return Unreachable(error_class, text)
        try:
            self._in_time().rset()
        except (OSError, smtplib.SMTPException):
            self._drop()
        return Failure(error_class, text, permanent=code >= PERMANENT)

    def _drop(self) -> None:
        if self._smtp is not None:
            self._smtp.close()
        self._smtp, self._sent = None, 0

    def _compose(self, message_id: UUID, letter: Letter) -> bytes:
        message = _Mail(
            subject=_one_line(letter.subject),
            recipients=[_for_the_wire(letter.address)],
            body=letter.text,
            html=letter.html or None,
            sender=self._sender,
            date=clock.now().timestamp(),
            # RFC 3834: no holiday notes in answer to this.
            extra_headers={"Auto-Submitted": "auto-generated"} | _headers(letter),
        )
        message.msgId = f"<{message_id}@{self._domain}>"
        return message.as_bytes()


class _Disconnected(Failure):
    """The server went away before the final dot."""

    def __init__(self) -> None:
        super().__init__("smtp_disconnected", "The server closed the connection or did not answer in time.")


class _Mail(Message):
    """Flask-Mail's message, with bodies in ASCII: 8-bit ones and long lines are not for every server."""

    def _mimetext(self, text: str | None, subtype: str = "plain") -> MIMEText:
        words = text or ""
        simple = words.isascii() and all(len(line) < LONGEST_LINE for line in words.splitlines())
        charset = Charset("utf-8")
        charset.body_encoding = None if simple else QP  # type: ignore[assignment]  # 7 bits need no encoding
        return MIMEText(words, _subtype=subtype, _charset=charset)  # type: ignore[arg-type]  # as documented


def _for_the_wire(address: str) -> str:
    """Return an address in ASCII, with no room in it for another recipient, command or header."""
    local, _, domain = address.rpartition("@")
    with contextlib.suppress(UnicodeError):
        plain = f"{local}@{domain.encode('idna').decode()}"
        if _PLAIN_ADDRESS.fullmatch(plain):
            return plain
    raise Failure("bad_address", "This is not an address that mail can be sent to.", permanent=True)


def _headers(letter: Letter) -> dict[str, str]:
    return {name: _one_line(value) for name, value in letter.headers.items()}


def _one_line(text: str) -> str:
    """A header's value cannot begin a second header."""
    return " ".join("".join(one if one.isprintable() else " " for one in text).split())


def _on_the_wire(content: bytes) -> bytes:
    """CRLF at every line's end, dots doubled at its beginning, the final dot last (RFC 5321, 4.5.2)."""
    lines = content.replace(b"\r\n", b"\n").replace(b"\r", b"\n").removesuffix(b"\n").split(b"\n")
    return b"".join((b"." + line if line.startswith(b".") else line) + b"\r\n" for line in lines) + b".\r\n"


def _text(answer: bytes | str) -> str:
    return answer.decode("utf-8", "replace") if isinstance(answer, bytes) else answer
