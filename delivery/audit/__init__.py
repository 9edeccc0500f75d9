"""The audit log: who did what to accounts and access, in a chain that shows when somebody rewrote it."""

from delivery.audit.services import record

__all__ = ["record"]
