"""The table of scenarios that are under way."""

from uuid import UUID

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from delivery.database import Base


class SandboxRun(Base):
    """The scenario that a test delivery follows, so that the next call need not name it."""

    __tablename__ = "sandbox_runs"

    delivery_id: Mapped[UUID] = mapped_column(ForeignKey("deliveries.id"), primary_key=True)
    scenario: Mapped[str] = mapped_column(String(40))
