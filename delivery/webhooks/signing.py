"""Secrets of endpoints, encrypted, and what is signed with them (Standard Webhooks 1.0.0).

The key to the secrets is in the settings and not in the database: whoever copies the database can sign nothing.
"""

import base64
import hmac
import secrets
from collections.abc import Iterable
from functools import lru_cache
from uuid import UUID

from cryptography.fernet import Fernet, MultiFernet
from flask import current_app

PREFIX = "whsec_"
SECRET_BYTES = 32


def new_secret() -> str:
    """Return a secret as its owner sees it."""
    return PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def sealed(secret: str) -> bytes:
    """Encrypt a secret with the newest key."""
    return _keyring().encrypt(secret.encode())


def opened(secret: bytes) -> str:
    """Decrypt a secret.

    Raises:
        cryptography.fernet.InvalidToken: none of the keys is its own.
    """
    return _keyring().decrypt(secret).decode()


def headers(message_id: UUID, body: str, *, at: int, keys: Iterable[str]) -> dict[str, str]:
    """Return what goes with a body; each secret that is valid signs, so that receivers may change over at leisure.

    Args:
        at: when it is sent, in seconds since 1970; receivers refuse what is much older.
    """
    content = f"{message_id}.{at}.{body}".encode()
    signed = (base64.b64encode(hmac.digest(_raw(key), content, "sha256")).decode() for key in keys)
    return {
        "Content-Type": "application/json",
        "webhook-id": str(message_id),
        "webhook-timestamp": str(at),
        "webhook-signature": " ".join(f"v1,{signature}" for signature in signed),
    }


def _raw(secret: str) -> bytes:
    return base64.b64decode(secret.removeprefix(PREFIX))


def _keyring() -> MultiFernet:
    config = current_app.config
    return _of((*config["WEBHOOK_ENCRYPTION_KEYS"], config["SECRET_KEY"]))


@lru_cache(maxsize=8)
def _of(texts: tuple[str, ...]) -> MultiFernet:
    """SECRET_KEY comes last: it opens what was sealed before there were keys of their own."""
    derived = (hmac.digest(text.encode(), b"delivery.webhooks.secrets", "sha256") for text in texts)
    return MultiFernet([Fernet(base64.urlsafe_b64encode(key)) for key in derived])
