"""The Python client believes the webhooks that the public library believes, and those alone."""

import json
import time
from datetime import UTC, datetime
from uuid import uuid4

import pytest
from delivery_client import Forged, verify
from standardwebhooks import Webhook, WebhookVerificationError

from delivery.webhooks import signing

BODY = json.dumps({"type": "delivery.delivered", "timestamp": "2026-11-26T20:43:56Z", "data": {"sequence": 7}})
SECRET, OTHER = signing.new_secret(), signing.new_secret()


def signed(body=BODY, *, at=None, keys=(SECRET,)):
    return signing.headers(uuid4(), body, at=int(time.time() if at is None else at), keys=keys)


def both(body, headers, secret=SECRET):
    """Whether ours and the public library believe it; they agree."""
    try:
        verify(body, headers, secret)
    except Forged:
        ours = False
    else:
        ours = True
    try:
        Webhook(secret).verify(body, headers)
    except WebhookVerificationError:
        theirs = False
    else:
        theirs = True
    assert ours == theirs
    return ours


def test_a_webhook_of_ours_is_believed_and_read():
    headers = signed()
    webhook = verify(BODY.encode(), headers, SECRET)
    assert (webhook.id, webhook.type, webhook.data) == (headers["webhook-id"], "delivery.delivered", {"sequence": 7})
    assert both(BODY.encode(), headers)


def test_a_webhook_of_the_public_library_is_believed():
    now = datetime.now(UTC)
    headers = {"webhook-id": "msg_1", "webhook-timestamp": str(int(now.timestamp()))}
    headers["webhook-signature"] = Webhook(SECRET).sign("msg_1", now, BODY)
    assert verify(BODY.encode(), headers, SECRET).id == "msg_1"


def test_headers_count_in_whatever_case():
    assert verify(BODY.encode(), {name.upper(): value for name, value in signed().items()}, SECRET).id


@pytest.mark.parametrize("keys", [(OTHER, SECRET), (SECRET, OTHER)])
def test_one_of_two_signatures_is_enough_while_a_secret_is_changed(keys):
    headers = signed(keys=keys)
    assert both(BODY.encode(), headers, SECRET)
    assert both(BODY.encode(), headers, OTHER)
    assert not both(BODY.encode(), headers, signing.new_secret())


FORGED = {
    "webhook-id": ["another", None],
    "webhook-timestamp": ["a second later", "soon", "", "nan", "1" * 5000, "١٧٩٥٧٢٥٨٣٦", None],
    "webhook-signature": ["", "v1,", "v1,éé", "v2,{}", "{}", None],  # with the right one after another version, or none
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in FORGED.items() for value in values])
def test_what_was_tampered_with_is_forged(name, value):
    headers = signed()
    right = headers.pop(name)
    if value == "a second later":
        headers[name] = str(int(right) + 1)
    elif value is not None:
        headers[name] = value.format(right.removeprefix("v1,"))
    with pytest.raises(Forged):
        verify(BODY.encode(), headers, SECRET)


@pytest.mark.parametrize("body", [BODY.encode() + b" ", BODY.replace("7", "8").encode(), b"", b"\xff"])
def test_another_body_is_forged(body):
    with pytest.raises(Forged):
        verify(body, signed(), SECRET)


@pytest.mark.parametrize(("seconds", "believed"), [(-290, True), (290, True), (-310, False), (310, False)])
def test_an_old_webhook_is_not_believed_nor_one_of_the_future(seconds, believed):
    assert both(BODY.encode(), signed(at=time.time() + seconds)) is believed


def test_a_secret_that_is_none_is_a_mistake_of_the_programs():
    with pytest.raises(ValueError, match="whsec_"):
        verify(BODY.encode(), signed(), "whsec_not base64!")
