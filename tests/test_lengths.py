"""No schema lets text through that its column is too short for: SQLite would keep it, PostgreSQL refuse it."""

import pytest
from marshmallow import validate

from delivery.deliveries.models import Delivery, DeliveryEvent, DeliveryEventDetail
from delivery.deliveries.schemas import DeliveryIn, MoveIn, RecipientIn
from delivery.users.models import User
from delivery.users.schemas import UserIn, UserPatch

PAIRS = [
    (UserIn, User, ""),
    (UserPatch, User, ""),
    (DeliveryIn, Delivery, ""),
    (RecipientIn, Delivery, "recipient_"),
    (MoveIn, DeliveryEvent, ""),
    (MoveIn, DeliveryEventDetail, ""),
]
# Bounded by other means: E.164, the IANA database, an enumeration, a pattern that counts.
OTHERWISE = {"phone", "time_zone", "role", "reason_code"}


@pytest.mark.parametrize(("schema", "model", "prefix"), PAIRS)
def test_text_that_passes_fits(schema, model, prefix):
    for name, field in schema().fields.items():
        column = model.__table__.columns.get(f"{prefix}{name}")
        length = getattr(getattr(column, "type", None), "length", None)
        if length is None or name in OTHERWISE:
            continue
        bounds = [check.max for check in field.validators if isinstance(check, validate.Length)]
        assert bounds, f"{schema.__name__}.{name}"
        assert min(bounds) <= length, f"{schema.__name__}.{name}"
