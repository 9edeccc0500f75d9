"""What letters are about where there is no delivery and no account: previews, checks and tests."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

AUDIENCES = ("recipient", "sender")
_LINK = "https://delivery.example/api/auth/confirm?token=eyJ1aWQiOiI3In0.aXQ.c2FtcGxl"


class Delivery(NamedTuple):
    """The columns that a template may read."""

    tracking_number: str
    item_name: str
    reference: str | None
    status: str
    window_earliest: datetime | None
    window_latest: datetime | None


_EARLY, _LATE = datetime(2026, 11, 24, 9, tzinfo=UTC), datetime(2026, 11, 24, 11, 30, tzinfo=UTC)
_DELIVERY = Delivery("7K3M9XW2QF4TB", "Blue bicycle", "ORDER-1042", "in_transit", _EARLY, _LATE)
_ABOUT_DELIVERIES: dict[str, Any] = {
    "audience": "recipient",
    "company": "Swift & Sons",
    "delivery": _DELIVERY,
    "sender_name": "Ada Novak",
    "recipient_name": "Grace Mbeki",
    "public_note": "Rang twice, nobody at home.",
    "tracking_url": "https://delivery.example/track/7K3M9XW2QF4TB",
    "unsubscribe_url": "https://delivery.example/unsubscribe/c2FtcGxl",
}
# A letter may come without them: `{% if tracking_url is defined %}`.
OPTIONAL = frozenset({"tracking_url", "unsubscribe_url"})
_PERSON = {"company": "Swift & Sons", "name": "Ada Novak"}
SAMPLES: Mapping[str, Mapping[str, Any]] = {
    **dict.fromkeys(
        (
            "created", "updated", "moved", "out_for_delivery", "delivered", "attempt_failed", "on_hold", "returned",
            "lost", "cancelled",
        ),
        _ABOUT_DELIVERIES,
    ),
    "verify_email": {**_PERSON, "link": _LINK},
    "already_registered": _PERSON,
    "session_revoked": _PERSON,
    "reset_password": {**_PERSON, "link": _LINK},
    "password_changed": {**_PERSON, "keys": 2},
    "change_email": {**_PERSON, "link": _LINK},
    "email_changed": _PERSON,
    "invitation": {**_PERSON, "link": _LINK, "role": "courier"},
    "webhook_disabled": {**_PERSON, "url": "https://shop.example/hooks?shop=7&test=1", "reason": "failing"},
    "api_key_created": {**_PERSON, "key_name": "Shop", "hint": "dms_live_...x7Qd"},
}  # fmt: skip


def variants(template: str) -> Iterator[Mapping[str, Any]]:
    """Yield a template's sample, and those of its occasions that take other branches of it."""
    sample = SAMPLES[template]
    if "audience" not in sample:
        yield sample
        yield {**sample, "name": "", "keys": 1} if "keys" in sample else {**sample, "name": ""}
        return
    bare = {name: value for name, value in sample.items() if name not in OPTIONAL}
    for audience in AUDIENCES:
        yield {**sample, "audience": audience}
        for earliest, latest in ((None, None), (_EARLY, None), (None, _LATE), (_EARLY, _LATE.replace(day=25))):
            windowed = _DELIVERY._replace(reference=None, window_earliest=earliest, window_latest=latest)
            yield {**bare, "audience": audience, "delivery": windowed, "public_note": None}
