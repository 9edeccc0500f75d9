"""Plays orders through the API: creates each delivery and makes its moves, many deliveries side by side."""

import hashlib
import sys
import threading
import uuid
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import TypeVar

from replay.client import Account, Client, Meter, Refused
from replay.orders import Move, Order

KEYS = uuid.UUID("6f0a1a6e-9a53-5d0e-8a51-0d7d3c1f6b58")  # the namespace of this script's idempotency keys
COURIER_EMAIL = "courier@replay.example"
PROGRESS_EVERY = 500

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Played:
    """What became of one order; error says why it was given up."""

    order: Order
    delivery_id: str = ""
    number: str = ""
    error: str | None = None


class Crowd:
    """A fixed number of threads with one keep-alive connection each."""

    def __init__(self, url: str, *, account: Account, meter: Meter, size: int) -> None:
        self._new_client = lambda: Client(url, account=account, meter=meter)
        self._size = size

    def each(self, do: Callable[[Client, Item], Result], items: Iterable[Item], *, title: str) -> list[Result]:
        """Run do for every item; results come in the order of the items."""
        local = threading.local()

        def connect() -> None:
            local.client = clients.enter_context(closing(self._new_client()))

        with ExitStack() as clients, ThreadPoolExecutor(self._size, initializer=connect) as pool:
            return list(_told(pool.map(lambda item: do(local.client, item), items), title=title))


def _told(results: Iterator[Result], *, title: str) -> Iterator[Result]:
    for number, result in enumerate(results, start=1):
        if number % PROGRESS_EVERY == 0:
            print(f"{title}: {number}", file=sys.stderr, flush=True)
        yield result


def play(client: Client, order: Order, *, courier_id: str) -> Played:
    """Create the order's delivery and make its moves; the first refusal ends this order, not the trial."""
    delivery_id = number = ""
    try:
        created = client.post(
            "/api/deliveries", body=order.delivery, key=key(order.reference, "create"), kind="create", expected=201
        )
        delivery_id, number = created["id"], created["tracking_number"]
        for position, move in enumerate(order.moves, start=1):
            _make(client, move, order=order, position=position, delivery_id=delivery_id, courier_id=courier_id)
    except Refused as refusal:
        return Played(order, delivery_id, number, error=str(refusal))
    return Played(order, delivery_id, number)


def _make(client: Client, move: Move, *, order: Order, position: int, delivery_id: str, courier_id: str) -> None:
    body = {"to": move.to, "occurred_at": move.occurred_at}
    if move.reason_code:
        body["reason_code"] = move.reason_code
    if move.to == "assigned":
        body["courier_id"] = courier_id
    step_key = key(order.reference, f"{position} {move.to}")
    try:
        client.post(
            f"/api/deliveries/{delivery_id}/transitions", body=body, key=step_key, kind="transition", expected=200
        )
    except Refused as refusal:
        raise Refused(f"move {position} to {move.to}: {refusal}") from refusal


def key(reference: str, step: str) -> str:
    """The same step of the same order has the same key in every run, so a second run doubles nothing."""
    return str(uuid.uuid5(KEYS, f"{reference} {step}"))


def make_courier(client: Client, *, password: str) -> str:
    """Create, as an admin, the courier to whom orders are assigned; answers its id, also in a second run.

    Its password is derived from the caller's, because a second run must send the same bytes under the same key.
    """
    body = {
        "name": "Replay Courier",
        "email": COURIER_EMAIL,
        "password": hashlib.sha256(f"replay courier {password}".encode()).hexdigest(),
        "role": "courier",
    }
    return str(client.post("/api/users", body=body, key=key(COURIER_EMAIL, "create"), kind="user", expected=201)["id"])
