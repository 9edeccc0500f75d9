"""What can happen to an endpoint, as facts."""

from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True, slots=True)
class EndpointDisabled:
    """An endpoint is told nothing any more, because of how it answered; its owner did not ask for it."""

    endpoint_id: UUID
    owner_id: UUID
    reason: str
