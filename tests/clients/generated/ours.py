"""Creates, lists and moves a delivery with our own client, installed by pip from clients/python."""

import os

from delivery_client import Client, Conflict

with Client(os.environ["DELIVERY_URL"], email="admin@example.com", password=os.environ["DELIVERY_PASSWORD"]) as client:
    made = client.deliveries.create(
        item_name="Blue bicycle",
        recipient={"name": "Grace Doorstep", "email": "grace@home.example"},
        destination={"line1": "12 Harbour Street", "city": "Bristol", "country": "GB"},
    )
    assert made["id"] in [one["id"] for one in client.deliveries.list(status=["pending"])]
    edited = client.deliveries.edit(made, tags=["cold"])
    assert client.deliveries.move(made["id"], "picked_up")["version"] == edited["version"] + 1
    try:
        client.deliveries.move(made["id"], "pending")
        refused = None
    except Conflict as conflict:
        refused = conflict.code
    assert refused == "illegal_move"
