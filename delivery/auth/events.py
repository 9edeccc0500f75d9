"""What can happen while signing in, as facts."""

from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True, slots=True)
class VerificationRequested:
    """The owner of an unverified address asked for a fresh link."""

    user_id: UUID


@dataclass(frozen=True, slots=True)
class RefreshTokenReused:
    """Somebody came with a refresh token that had been used long ago, and the session was ended for it."""

    user_id: UUID


@dataclass(frozen=True, slots=True)
class ApiKeysRevoked:
    """All API keys of an account must end."""

    user_id: UUID


@dataclass(frozen=True, slots=True)
class InvitationSent:
    """An admin invited somebody who has no account."""

    invitation_id: UUID
