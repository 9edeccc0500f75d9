"""`flask deliveries`: what is seeded could have happened, and moves by command are moves like any other."""

import itertools
from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import func, select, update

from delivery import clock, jobs
from delivery.database import db, transaction
from delivery.deliveries import seeding
from delivery.deliveries.models import Delivery, DeliveryEvent
from delivery.deliveries.schemas import Address, MoveIn, Package, RecipientIn, Requirements
from delivery.deliveries.seeding.goods import REASONS, TAGS
from delivery.deliveries.seeding.lives import Step, life
from delivery.deliveries.states import INITIAL, TERMINAL, State, is_legal
from delivery.notifications.models import OutboxMessage
from delivery.users import seeding as people_seeding
from tests.commands import run, run_json
from tests.conftest import counted


def read(app, statement):
    with app.app_context():
        return db.session.execute(statement).all()


def seeded(app, count=300, seed=7, **options):
    words = [word for name, value in options.items() for word in (f"--{name}", value)]
    return run_json(app, "deliveries", "seed", "--count", count, "--seed", seed, *words)


def histories(app):
    rows = read(app, select(DeliveryEvent).order_by(DeliveryEvent.delivery_id, DeliveryEvent.seq))
    grouped = itertools.groupby((row[0] for row in rows), key=lambda event: event.delivery_id)
    return {delivery_id: list(events) for delivery_id, events in grouped}


@pytest.fixture
def all_seeded(app):
    """300 seeded deliveries, by id, and their histories."""
    seeded(app)
    return {row[0].id: row[0] for row in read(app, select(Delivery))}, histories(app)


def test_every_seeded_history_is_legal_gap_free_and_ends_where_its_delivery_is(all_seeded):
    deliveries, all_events = all_seeded
    assert len(deliveries) == len(all_events) == 300
    for delivery_id, events in all_events.items():
        delivery, picked_up = deliveries[delivery_id], False
        assert [event.seq for event in events] == list(range(1, delivery.version + 1))
        assert events[0].from_state is None
        assert events[0].to_state in INITIAL
        for before, event in itertools.pairwise(events):
            assert event.from_state == before.to_state
            assert is_legal(State(event.from_state), State(event.to_state), picked_up=picked_up)
            assert event.occurred_at > before.occurred_at
            picked_up = picked_up or event.to_state == State.PICKED_UP
        assert (events[-1].to_state, events[-1].recorded_at) == (delivery.status, delivery.updated_at)


def test_seeded_deliveries_have_the_courier_and_the_pick_up_that_their_moves_gave_them(all_seeded):
    deliveries, all_events = all_seeded
    for delivery_id, events in all_events.items():
        delivery, states = deliveries[delivery_id], [event.to_state for event in events]
        picked_up = [event.occurred_at for event in events if event.to_state == State.PICKED_UP]
        assert [delivery.picked_up_at] == (picked_up or [None])
        since_pending = states[len(states) - states[::-1].index(State.PENDING) :] if State.PENDING in states else []
        assert (delivery.courier_id is not None) == (State.ASSIGNED in since_pending)


def test_a_seeded_delivery_that_went_back_to_pending_lost_its_courier(monkeypatch):
    states = [None, State.PENDING, State.ASSIGNED, State.PENDING, State.PICKED_UP]
    steps = [Step(*pair, timedelta(hours=hour)) for hour, pair in enumerate(itertools.pairwise(states))]
    monkeypatch.setattr("delivery.deliveries.seeding.rows.life", lambda *_, **__: steps)
    [rows] = seeding.invent(1, faker=people_seeding.source(1), owners=["owner"], couriers=["courier"], now=clock.now())
    assert (rows.delivery["status"], rows.delivery["courier_id"]) == (State.PICKED_UP, None)
    assert [event["actor_id"] for event in rows.events] == ["owner", None, None, None]


def test_seeded_deliveries_are_of_the_past_weeks_and_listed_by_age(all_seeded):
    deliveries, _ = all_seeded
    now = clock.now()
    for delivery in deliveries.values():
        assert now - timedelta(days=28, minutes=1) < delivery.created_at <= delivery.updated_at <= now
    assert sorted(deliveries) == sorted(deliveries, key=lambda one: deliveries[one].created_at)


def test_seeded_deliveries_are_in_all_kinds_of_states(app):
    by_status = seeded(app, count=2000)["by_status"]
    assert sum(by_status.values()) == 2000
    assert {*TERMINAL, State.PENDING, State.ASSIGNED, State.IN_TRANSIT, State.OUT_FOR_DELIVERY} <= set(by_status)
    assert by_status["delivered"] > 1000


def test_seeded_fields_are_what_the_api_would_accept(all_seeded):
    deliveries, _ = all_seeded
    for delivery in deliveries.values():
        assert Address().load(delivery.destination) == delivery.destination
        assert Address().load(delivery.pickup) == delivery.pickup
        assert Package().load(delivery.package) == delivery.package
        assert Requirements().load(delivery.requirements) == delivery.requirements
        recipient = {name: getattr(delivery, f"recipient_{name}") for name in ("name", "email", "phone", "locale")}
        assert RecipientIn().load(recipient) == recipient
        assert delivery.window_earliest > delivery.created_at


def test_seeded_deliveries_are_read_moved_and_edited_by_the_api(app, people):
    seeded(app, count=200)
    admin = people.admin()
    page = admin.get("/api/deliveries?limit=100&status=pending&status=in_transit").json["items"]
    assert set(itertools.chain(*(one["tags"] for one in page))) <= set(TAGS)
    for one in page:
        assert admin.move(one, "on_hold").status_code == 200
        etag = {"If-Match": f'"{one["version"] + 1}"'}
        assert admin.patch(f"/api/deliveries/{one['id']}", json={"tags": ["x"]}, headers=etag).status_code == 200


def test_the_words_for_reasons_fit_the_states_and_the_api():
    assert set(REASONS) <= set(State)
    for state, reasons in REASONS.items():
        for code, note, public_note in reasons:
            MoveIn().load({"to": state, "reason_code": code, "note": note, "public_note": public_note})


def test_seeding_tells_nobody(app, redis_server):
    seeded(app, count=50)
    assert read(app, select(OutboxMessage)) == []
    with app.app_context():
        assert jobs.redis_for_web().keys("rq:queue:*") == []


def test_the_same_seed_gives_the_same_lives_again_under_new_numbers(app):
    def told(rows):
        event_names, names = ("to_state", "kind", "reason_code"), ("item_name", "recipient_name", "destination")
        return [
            [
                [rows.delivery[name] for name in (*names, "package", "status", "version")],
                [[event[name] for name in event_names] for event in rows.events],
                rows.tags,
            ]
            for rows in rows
        ]

    def invented(seed):
        people = {"owners": [1, 2, 3], "couriers": [4, 5]}
        return list(seeding.invent(50, faker=people_seeding.source(seed), now=clock.now(), **people))

    first, again, other = invented(1), invented(1), invented(2)
    assert told(first) == told(again)
    assert told(first) != told(other)
    for name in ("id", "tracking_number"):
        assert not {rows.delivery[name] for rows in first} & {rows.delivery[name] for rows in again}


def test_seeding_again_with_the_same_seed_adds_as_many(app):
    seeded(app, count=20)
    seeded(app, count=20)
    assert len(read(app, select(Delivery.id))) == 40


def test_few_deliveries_can_be_seeded_too(app):
    for seed in range(10):
        assert seeded(app, count=1, seed=seed)["added"] == 1


def test_seeding_takes_few_statements_however_many_deliveries(app):
    seeded(app, count=1)
    with counted(app) as statements:
        seeded(app, count=1000)
    assert len(statements) <= 20


def test_seeding_adds_people_only_where_there_are_none(app, people):
    said = seeded(app, count=5)
    roles = {role: len(run_json(app, "users", "list", "--role", role)) for role in ("customer", "courier", "admin")}
    assert roles == {"customer": 20, "courier": 8, "admin": 0}
    email = run_json(app, "users", "list", "--role", "customer")[0]["email"]
    login = app.test_client().post("/api/auth/login", json={"email": email, "password": said["password"]})
    assert login.status_code == 200
    assert seeded(app, count=5)["password"] is None
    assert len(run_json(app, "users", "list")) == 28


def test_seeded_deliveries_can_belong_to_one_account(app, people):
    ada = people.customer(email="ada@shop.example")
    result = run(app, "deliveries", "seed", "--count", 10, "--owner", "Ada@shop.example")
    assert "Added 10 deliveries (seed " in result.stdout
    assert len(ada.get("/api/deliveries?limit=100").json["items"]) == 10
    assert run_json(app, "users", "list", "--role", "customer")[0]["email"] == "ada@shop.example"


def test_an_unknown_owner_is_one_clear_line(app):
    result = run(app, "deliveries", "seed", "--owner", "ada@shop.example")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "Error: There is no account with the address ada@shop.example.\n" in result.stderr


def test_a_life_ends_in_a_last_state_or_now():
    faker = people_seeding.source(1)
    for _ in range(500):
        steps = list(life(faker.random, age=timedelta(days=5)))
        assert steps[-1].after <= timedelta(days=5)
        assert all(step.target not in TERMINAL for step in steps[:-1])


def test_show_tells_all_about_a_delivery_by_number_or_id(app, api):
    delivery = api.create(reference="order-1001", tags=["gift"])
    number = delivery["tracking_number"]
    dashed = f"{number[:4]}-{number[4:]}".lower()
    for name in (number, dashed, delivery["id"]):
        shown = run(app, "deliveries", "show", name)
        assert shown.exit_code == 0
        for part in (number, delivery["id"], "order-1001", "Grace Doorstep", "Bristol", "gift", "pending", "created"):
            assert part in shown.stdout
    body = run_json(app, "deliveries", "show", number)
    assert [event["to_state"] for event in body["history"]] == ["pending"]
    told = {(one["audience"], one["channel"], one["event"], one["state"]) for one in body["messages"]}
    assert told == {("sender", "mail", "created", "pending"), ("recipient", "mail", "created", "pending")}


def test_show_says_when_nobody_was_told(app, api):
    draft = api.create(draft=True)
    assert run(app, "deliveries", "show", draft["id"]).stdout.endswith("Messages\nNone.\n")


@pytest.mark.parametrize("name", ["NOSUCHNUMBER0", "01a20918-3c14-73b6-b90a-0e057a696db0", "' OR 1=1", "é"])
@pytest.mark.parametrize("command", [["show"], ["move", "cancelled"]])
def test_what_does_not_exist_is_one_clear_line(app, command, name):
    result = run(app, "deliveries", command[0], name, *command[1:])
    assert (result.exit_code, result.stdout) == (1, "")
    assert f"Error: There is no delivery {name}, or it is deleted." in result.stderr


def test_a_deleted_delivery_is_not_shown(app, api):
    delivery = api.create()
    api.delete(f"/api/deliveries/{delivery['id']}", headers={"If-Match": '"1"'})
    assert run(app, "deliveries", "show", delivery["id"]).exit_code == 1


def test_a_move_by_command_is_written_down_and_told_like_any_other(app, api, people):
    courier = people.courier(email="max@wheel.example")
    delivery = api.create()
    number = delivery["tracking_number"]
    run(app, "deliveries", "move", number, "assigned", "--courier", "max@wheel.example")
    words = ["--reason-code", "weather", "--note", "Road closed.", "--public-note", "Snow, sorry."]
    result = run(app, "deliveries", "move", number, "on_hold", *words)
    assert result.stdout == f"Moved {number} from assigned to on_hold; told sender by mail, recipient by mail.\n"
    now_is = api.get(f"/api/deliveries/{delivery['id']}").json
    assert (now_is["status"], now_is["courier_id"], now_is["version"]) == ("on_hold", courier.user_id, 3)
    last = people.dispatcher().history(delivery)[-1]
    assert [last[name] for name in ("actor_type", "actor_id", "reason_code", "note", "public_note")] == [
        "cli", None, "weather", "Road closed.", "Snow, sorry."
    ]  # fmt: skip
    told = read(app, select(OutboxMessage.audience).where(OutboxMessage.seq == 3))
    assert sorted(told) == [("recipient",), ("sender",)]


def test_a_move_by_command_wakes_the_workers(app, api, redis_server):
    delivery = api.create()
    redis_server.flush()
    run(app, "deliveries", "move", delivery["id"], "cancelled")
    with app.app_context():
        assert jobs.queue("mail", redis=jobs.redis_for_web()).count == 1


def test_a_dry_run_says_the_same_and_changes_nothing(app, api, redis_server):
    delivery = api.create()
    redis_server.flush()
    before = read(app, select(func.count()).select_from(OutboxMessage))
    number = delivery["tracking_number"]
    result = run(app, "deliveries", "move", number, "cancelled", "--dry-run")
    assert result.stdout == (
        f"Would move {number} from pending to cancelled; would tell sender by mail, recipient by mail.\n"
    )
    said = run_json(app, "deliveries", "move", number, "cancelled", "--dry-run")
    assert (said["dry_run"], said["from"], said["delivery"]["status"]) == (True, "pending", "cancelled")
    assert api.get(f"/api/deliveries/{delivery['id']}").json["status"] == "pending"
    assert len(api.history(delivery)) == 1
    assert read(app, select(func.count()).select_from(OutboxMessage)) == before
    with app.app_context():
        assert jobs.queue("mail", redis=jobs.redis_for_web()).count == 0


def test_an_illegal_move_names_those_that_are_allowed(app, api):
    delivery = api.create()
    result = run(app, "deliveries", "move", delivery["id"], "delivered", "--json")
    assert (result.exit_code, result.stdout) == (1, "")
    assert (
        "Error: A delivery that is pending cannot become delivered. Allowed: assigned, picked_up, on_hold, cancelled.\n"
        in result.stderr
    )
    run(app, "deliveries", "move", delivery["id"], "cancelled")
    for dry_run in ([], ["--dry-run"]):
        refused = run(app, "deliveries", "move", delivery["id"], "pending", *dry_run)
        assert refused.exit_code == 1
        assert "Allowed: nothing." in refused.stderr


def test_only_couriers_can_be_assigned(app, api, people):
    delivery = api.create()
    people.customer(email="ada@shop.example")
    for courier in (["--courier", "ada@shop.example"], ["--courier", "nobody@shop.example"], []):
        assert run(app, "deliveries", "move", delivery["id"], "assigned", *courier).exit_code == 1
    assert len(api.history(delivery)) == 1


@pytest.mark.parametrize("name", ["\x00", "\udcff", "\x1b[2J"])
def test_what_no_number_could_be_is_exit_code_2(app, name):
    assert run(app, "deliveries", "show", name).exit_code == 2


@pytest.mark.parametrize(
    "words", [["nowhere"], ["on_hold", "--reason-code", "Bad Code"], ["on_hold", "--note", "x" * 2001], []]
)
def test_a_move_used_wrongly_is_exit_code_2(app, api, words):
    delivery = api.create()
    assert run(app, "deliveries", "move", delivery["id"], *words).exit_code == 2
    assert len(api.history(delivery)) == 1


def touched(app, delivery, *, hours_ago):
    with app.app_context(), transaction() as session:
        when = clock.now() - timedelta(hours=hours_ago)
        session.execute(update(Delivery).where(Delivery.id == UUID(delivery["id"])).values(updated_at=when))


def test_stuck_are_open_deliveries_that_nobody_touched_the_longest_first(app, api):
    young, old, done, draft = api.create(), api.create(), api.create(), api.create(draft=True)
    api.walk(done, "cancelled")
    for delivery, hours in ((young, 10), (old, 40), (done, 40), (draft, 40)):
        touched(app, delivery, hours_ago=hours)
    assert [one["id"] for one in run_json(app, "deliveries", "stuck")] == [old["id"]]
    both = run_json(app, "deliveries", "stuck", "--hours", 5)
    assert [(one["id"], one["hours"]) for one in both] == [(old["id"], 40.0), (young["id"], 10.0)]
    limited = run(app, "deliveries", "stuck", "--hours", 5, "--limit", 1)
    assert old["tracking_number"] in limited.stdout
    assert young["tracking_number"] not in limited.stdout
    assert "There may be more than 1" in limited.stderr


def test_stuck_says_when_there_are_none(app):
    assert run(app, "deliveries", "stuck").stdout == "No open delivery has been left alone for so long.\n"
    assert run_json(app, "deliveries", "stuck") == []
