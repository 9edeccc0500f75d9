"""What a channel is: it takes a letter, carries it to a provider, and says what its failures mean."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol, runtime_checkable
from uuid import UUID

from delivery.notifications.states import Outcome

_MAIL_ADDRESS = r"[^\s<>()\"',;:]+@[^\s<>()\"',;:]+"
_ADDRESSES = re.compile(rf"{_MAIL_ADDRESS}|\+?\d[\d\s()-]{{6,}}\d")
_ERROR_MAX, _ERROR_CLASS_MAX = 500, 40


@dataclass(frozen=True, slots=True)
class Letter:
    """A message in words, addressed. Text messages have neither subject, HTML nor headers.

    `expects`: words that a receiver's answer must hold, where it has to prove that it read this one.
    """

    address: str
    text: str
    subject: str = ""
    html: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    expects: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    """What a provider says that it took of us: its reference, how far it got, and the code of what went wrong."""

    reference: str
    status: str
    error_code: int | None = None


@dataclass(frozen=True, slots=True)
class Suppress:
    """There is nothing to send, and why: no_address, opted_out, ..."""

    reason: str


@dataclass(frozen=True, slots=True)
class Defer:
    """Not now, but at that time, and why: quiet_hours."""

    reason: str
    until: datetime


def printable(text: str) -> str:
    """Return what a provider said on one line: PostgreSQL keeps no U+0000 and terminals obey the rest."""
    return "".join(character if character.isprintable() else " " for character in text)


def without_address(text: str, address: str) -> str:
    """Blot out of a provider's words whom it was to reach, be it by the name before the @ or the digits alone.

    Other digits stay: a reference is made of them.
    """
    parts = [part for part in (address.partition("@")[0], address.lstrip("+")) if part]
    if not _may_name(text, parts):  # to compile a pattern takes longer than to write a whole mail
        return text
    patterns = [_MAIL_ADDRESS, *(rf"(?<!\w){re.escape(part)}(?!\w)" for part in parts)]
    return re.sub("|".join(patterns), "***", text, flags=re.IGNORECASE)


def _may_name(text: str, parts: Sequence[str]) -> bool:
    """Tell whether a text may hold an address; beyond ASCII, case is more than lower() knows."""
    small = text.lower()
    return "@" in text or not text.isascii() or any(not part.isascii() or part.lower() in small for part in parts)


class Failure(Exception):
    """A letter was not sent, for certain.

    Args:
        error_class: what happened, in one word for machines.
        message: what the provider said; addresses in it are blotted out, since it is kept and shown.
        permanent: another attempt would fail the same way.
        retry_after_seconds: when the provider asked to come back.
        of_recipient: it is about this recipient alone, and says nothing against the provider.
    """

    outcome = Outcome.TEMPORARY

    def __init__(
        self,
        error_class: str,
        message: str,
        *,
        permanent: bool = False,
        retry_after_seconds: float | None = None,
        of_recipient: bool = False,
    ) -> None:
        self.error_class = printable(error_class)[:_ERROR_CLASS_MAX]
        self.message = _ADDRESSES.sub("***", printable(message))[:_ERROR_MAX]
        self.permanent = permanent
        if permanent:
            self.outcome = Outcome.PERMANENT
        self.retry_after_seconds = retry_after_seconds
        self.of_recipient = of_recipient
        super().__init__(f"{self.error_class}: {self.message}")


class Unreachable(Failure):
    """The provider does not serve us now, whatever the letter: down, refusing our credentials, or too busy."""


class Unknown(Failure):
    """The provider had all of the letter and did not answer: sent or not, nobody can tell."""

    outcome = Outcome.UNCERTAIN


class Transport(Protocol):
    """One provider of a channel. A process keeps one of each."""

    @property
    def name(self) -> str:
        """The provider's name, as kept with each attempt."""

    @property
    def hand_off_size(self) -> int:
        """How many letters are on record as handed off at once; so many may be uncertain after a crash."""

    @property
    def concurrency(self) -> int:
        """From how many threads at once send() may be called."""

    def open(self) -> None:
        """Connect, unless connected.

        Raises:
            Unreachable: no letter will get through now.
        """

    def send(self, message_id: UUID, letter: Letter) -> str | None:
        """Send a letter, under its message's id where the provider takes one; return the provider's reference.

        Raises:
            Failure: not sent; Unreachable and Unknown say more.
        """

    def close(self) -> None:
        """Disconnect; must not raise."""


@runtime_checkable
class Searchable(Protocol):
    """A provider that can be asked what it took: what nobody could tell when the connection broke."""

    def find(self, letter: Letter, *, since: datetime, until: datetime) -> Sequence[Found]:
        """Return what it took of us with these words for this address between two moments.

        Raises:
            Unreachable: it cannot be asked now.
        """
