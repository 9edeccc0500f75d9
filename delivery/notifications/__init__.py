"""The outbox: messages that are never lost and never invented; knows no feature."""
