"""Whoever runs this sees tests by command, and that they are such."""

from tests.auth.keys import sandbox_of
from tests.commands import run, run_json


def test_a_test_delivery_is_shown_and_moved_as_what_it_is(app, api):
    delivery = sandbox_of(api).create()
    assert run_json(app, "deliveries", "show", delivery["tracking_number"])["test"] is True
    assert "test             yes" in run(app, "deliveries", "show", delivery["id"]).stdout
    moved = run_json(app, "deliveries", "move", delivery["id"], "picked_up")
    assert (moved["delivery"]["status"], moved["delivery"]["test"]) == ("picked_up", True)
    assert sandbox_of(api).history(delivery)[-1]["actor_type"] == "cli"
    assert {one["state"] for one in run_json(app, "deliveries", "show", delivery["id"])["messages"]} == {"suppressed"}


def test_what_nobody_moves_is_found_among_live_deliveries_alone(app, api, travel):
    sandbox_of(api).create()
    live = api.create()
    travel(days=4)
    assert [one["id"] for one in run_json(app, "deliveries", "stuck", "--hours", "72")] == [live["id"]]


def test_the_list_of_endpoints_says_which_are_for_tests(app, api):
    sandbox_of(api).post("/api/webhook-endpoints", json={"url": "https://hooks.example/in"})
    [listed] = run_json(app, "webhooks", "list")
    assert listed["test"] is True
    assert "test" in run(app, "webhooks", "list").stdout.splitlines()[0]
