"""Verifying webhooks (Standard Webhooks 1.0.0): who sent one, and when."""

from __future__ import annotations

import base64
import binascii
import hmac
import json
import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from delivery_client.errors import DeliveryError

if TYPE_CHECKING:
    from collections.abc import Mapping

_VERSION = "v1,"
_SECONDS = re.compile(r"[0-9]{1,12}")  # since 1970


class Forged(DeliveryError):
    """It was not signed with this secret, or is too old to be believed: answer 4xx, and do nothing."""


@dataclass(frozen=True)
class Webhook:
    """One event; `id` stays the same when it is sent again."""

    id: str
    type: str
    timestamp: str  # when it happened; RFC 3339
    data: dict[str, Any]


def verify(body: bytes, headers: Mapping[str, str], secret: str, *, tolerance_seconds: float = 300) -> Webhook:
    """Return the webhook that a request is.

    Args:
        body: the bytes that arrived, not JSON that was read and written again.
        headers: in whatever case.
        secret: `whsec_...`, as it was shown when the endpoint was made.
        tolerance_seconds: how far its clock and ours may be apart.

    Raises:
        Forged: it is not genuine.
    """
    given = {name.lower(): value for name, value in headers.items()}
    try:
        webhook_id, sent_at, signatures = (given[f"webhook-{name}"] for name in ("id", "timestamp", "signature"))
    except KeyError as missing:
        raise Forged(f"The header {missing} is missing.") from None
    if not _SECONDS.fullmatch(sent_at) or abs(time.time() - int(sent_at)) > tolerance_seconds:
        raise Forged("It was sent too long ago, or the clocks differ.")
    signed = hmac.digest(_key(secret), f"{webhook_id}.{sent_at}.".encode() + body, "sha256")
    # While a secret is being changed there are two.
    if not any([_matches(signature, signed) for signature in signatures.split(" ")]):  # noqa: C419  all, in equal time
        raise Forged("No signature matches.")
    return _read(webhook_id, body)


def _matches(signature: str, signed: bytes) -> bool:
    expected = (_VERSION + base64.b64encode(signed).decode()).encode()
    return hmac.compare_digest(signature.encode(errors="replace"), expected)


def _key(secret: str) -> bytes:
    try:
        return base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except binascii.Error:
        raise ValueError("The secret of an endpoint is whsec_ and base64.") from None


def _read(webhook_id: str, body: bytes) -> Webhook:
    event = json.loads(body)  # its sender signed it
    return Webhook(id=webhook_id, type=event["type"], timestamp=event["timestamp"], data=event["data"])
