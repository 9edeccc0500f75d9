"""What can happen to an account, as facts."""

from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True, slots=True)
class UserRegistered:
    """Somebody asked for an account with an address that was free."""

    user_id: UUID


@dataclass(frozen=True, slots=True)
class AddressTaken:
    """Somebody asked for an account with the address of `user_id`."""

    user_id: UUID


@dataclass(frozen=True, slots=True)
class UserLeft:
    """An account is about to be erased; whoever depends on it may object by raising Conflict."""

    user_id: UUID


@dataclass(frozen=True, slots=True)
class UserErased:
    """An account is a pseudonym now; what else is held about the person, or under its address, must go, too."""

    user_id: UUID
    email: str | None = None


@dataclass(frozen=True, slots=True)
class AccessRevoked:
    """All sessions of an account must end; `in_itself`: nothing else was asked for, and it is noted as an act."""

    user_id: UUID
    in_itself: bool = False
