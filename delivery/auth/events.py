"""What can happen while signing in, as facts."""

from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True, slots=True)
class VerificationRequested:
    """The owner of an unverified address asked for a fresh link; nobody's id where there is none."""

    user_id: UUID


@dataclass(frozen=True, slots=True)
class RefreshTokenReused:
    """Somebody came with a refresh token that had been used long ago, and the session was ended for it."""

    user_id: UUID


@dataclass(frozen=True, slots=True)
class PasswordResetRequested:
    """Somebody asked for a link to choose a new password; nobody's id where there is no such account."""

    user_id: UUID


@dataclass(frozen=True, slots=True)
class PasswordChanged:
    """An account has a new password."""

    user_id: UUID


@dataclass(frozen=True, slots=True)
class ApiKeysRevoked:
    """All API keys of an account must end."""

    user_id: UUID


@dataclass(frozen=True, slots=True)
class ApiKeyCreated:
    """An account has another API key, a new one or in place of one."""

    user_id: UUID
    key_id: UUID


@dataclass(frozen=True, slots=True)
class EmailChangeRequested:
    """Somebody asked for their account to have another address."""

    user_id: UUID


@dataclass(frozen=True, slots=True)
class EmailChanged:
    """An account has another address; `former_id` is the row that still knows the one before."""

    user_id: UUID
    former_id: UUID


@dataclass(frozen=True, slots=True)
class InvitationSent:
    """An admin invited somebody who has no account."""

    invitation_id: UUID
