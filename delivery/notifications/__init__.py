"""The outbox: messages that are never lost and never invented; knows no feature."""

from delivery.notifications.registry import init_app

__all__ = ["init_app"]
