"""What can happen while signing in, as facts."""

from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True, slots=True)
class VerificationRequested:
    """The owner of an unverified address asked for a fresh link."""

    user_id: UUID
