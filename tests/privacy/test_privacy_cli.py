"""flask privacy erase: what the API does, with a rehearsal."""

import pytest

from tests.commands import run, run_json
from tests.factories import delivery_in
from tests.privacy.canaries import Canaries, entries, sightings, url_of


@pytest.fixture
def grace():
    return Canaries("grace")


@pytest.fixture
def delivery(api, people, grace):
    body = delivery_in(recipient=grace.recipient(), destination=grace.address())
    made = api.post("/api/deliveries", json=body).json
    return people.dispatcher().walk(made, "picked_up", "delivered")


def test_a_dry_run_says_the_same_and_changes_nothing(app, delivery, grace):
    before = sightings(url_of(app), grace)
    said = run_json(app, "privacy", "erase", "--email", grace.email, "--dry-run")
    assert (said["dry_run"], said["counts"]["deliveries"]) == (True, 1)
    assert sightings(url_of(app), grace) == before
    assert entries(app) == []
    shown = run(app, "privacy", "erase", "--phone", grace.phone, "--dry-run")
    assert shown.stdout == "Would erase: 1 deliveries, 3 messages; 0 deliveries wait for cron.\n"


def test_erasing_by_command(app, delivery, grace):
    result = run(app, "privacy", "erase", "--email", grace.email.upper(), "--phone", grace.phone)
    assert result.stdout == "Erased: 1 deliveries, 3 messages; 0 deliveries wait for cron.\n"
    assert sightings(url_of(app), grace) == []
    [entry] = entries(app)
    assert (entry.act, entry.actor_type) == ("recipient.erased", "cli")
    again = run(app, "privacy", "erase", "--email", grace.email)
    assert again.stdout == "Erased: nothing; 0 deliveries wait for cron.\n"


@pytest.mark.parametrize("words", [[], ["--email", "no address"], ["--phone", "12"]])
def test_whoever_names_nobody_has_used_it_wrongly(app, words):
    assert run(app, "privacy", "erase", *words).exit_code == 2
