"""Signs in, creates, lists and moves a delivery with the client that openapi-python-client generated."""

import os
from http import HTTPStatus
from typing import TypeVar
from uuid import uuid4

from generated import AuthenticatedClient, Client
from generated.api.auth import auth_login, auth_me
from generated.api.deliveries import (
    deliveries_create,
    deliveries_edit,
    deliveries_index,
    deliveries_move,
    deliveries_timeline,
)
from generated.models import Address, DeliveryIn, DeliveryPatch, LoginIn, MoveIn, Problem, RecipientIn
from generated.models.deliveries_index_status_item import DeliveriesIndexStatusItem
from generated.models.move_in_to import MoveInTo

T = TypeVar("T")


def ok(answer: T | Problem | None) -> T:
    assert answer is not None
    assert not isinstance(answer, Problem), answer
    return answer


def journey(url: str, password: str) -> None:
    tokens = ok(auth_login.sync(client=Client(url), body=LoginIn(email="admin@example.com", password=password)))
    client = AuthenticatedClient(url, token=tokens.access_token)
    me = ok(auth_me.sync(client=client))
    reference = f"python-{uuid4().hex}"
    order = DeliveryIn(
        item_name="Blue bicycle",
        recipient=RecipientIn(name="Grace Doorstep", email="grace@home.example"),
        destination=Address(line1="12 Harbour Street", city="Bristol", country="GB"),
        reference=reference,
    )
    made, again = (ok(deliveries_create.sync(client=client, body=order, idempotency_key=reference)) for _ in "ab")
    assert made == again
    page = ok(deliveries_index.sync(client=client, reference=reference, status=[DeliveriesIndexStatusItem.PENDING]))
    assert [(one.id, one.owner_id) for one in page.items] == [(made.id, me.id)]
    ok(deliveries_edit.sync(made.id, client=client, body=DeliveryPatch(tags=["cold"]), if_match='"1"'))
    moved = ok(deliveries_move.sync(made.id, client=client, body=MoveIn(to=MoveInTo.PICKED_UP)))
    assert (moved.status.value, moved.tags, moved.version) == ("picked_up", ["cold"], 3)
    history = ok(deliveries_timeline.sync(made.id, client=client))
    assert len(history.items) == 3
    refused = deliveries_move.sync_detailed(made.id, client=client, body=MoveIn(to=MoveInTo.PENDING))
    assert refused.status_code == HTTPStatus.CONFLICT
    assert isinstance(refused.parsed, Problem)
    assert refused.parsed.code == "illegal_move"


journey(os.environ["DELIVERY_URL"], os.environ["DELIVERY_PASSWORD"])
