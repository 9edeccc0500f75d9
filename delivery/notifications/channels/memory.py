"""Memory: keeps letters and fails on demand; for tests."""

from collections import deque
from uuid import UUID

from delivery.notifications.channels import Failure, Letter


class MemoryTransport:
    """Keeps what was sent; `failures` are raised first, one at each send, and `refusals` at each opening."""

    name = "memory"

    def __init__(self, *, hand_off_size: int = 10, concurrency: int = 1) -> None:
        self.hand_off_size, self.concurrency = hand_off_size, concurrency
        self.sent: list[tuple[UUID, Letter]] = []
        self.failures: deque[Failure | None] = deque()
        self.refusals: deque[Failure] = deque()

    def open(self) -> None:
        if self.refusals:
            raise self.refusals.popleft()

    def send(self, message_id: UUID, letter: Letter) -> str | None:
        failure = self.failures.popleft() if self.failures else None
        if failure is not None:
            raise failure
        self.sent.append((message_id, letter))
        return f"memory-{len(self.sent)}"

    def close(self) -> None:
        """Nothing to disconnect from."""
