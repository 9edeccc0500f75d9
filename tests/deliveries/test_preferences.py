"""Who is told in the end: defaults, the delivery's switches, the person's, opt-outs and quiet hours."""

from datetime import UTC, datetime, timedelta
from itertools import product
from uuid import UUID

import pytest

from delivery import clock, notifications
from delivery.database import transaction
from delivery.deliveries import told
from delivery.notifications import jobs, opt_outs, preferences
from delivery.notifications.channels import Letter
from delivery.notifications.channels.memory import MemoryTransport
from delivery.notifications.preferences import Wishes
from delivery.notifications.states import Channel
from delivery.subscriptions import COMPOSERS
from tests.deliveries.telling import cells, rows, verdicts, write_every_cell
from tests.factories import delivery_in
from tests.notifications.conftest import on_sqlite
from tests.web.answers import wrong

# The table of the design, written out once more: what is told when nobody has switched anything.
DEFAULTS = {
    ("created", "sender", "mail"), ("created", "recipient", "mail"),
    ("out_for_delivery", "recipient", "mail"), ("out_for_delivery", "recipient", "sms"),
    ("delivered", "sender", "mail"), ("delivered", "recipient", "mail"), ("delivered", "recipient", "sms"),
    ("attempt_failed", "sender", "mail"), ("attempt_failed", "recipient", "mail"),
    ("attempt_failed", "recipient", "sms"),
    ("on_hold", "sender", "mail"), ("on_hold", "recipient", "mail"),
    ("returned", "sender", "mail"), ("returned", "recipient", "mail"),
    ("lost", "sender", "mail"), ("lost", "recipient", "mail"),
    ("cancelled", "sender", "mail"), ("cancelled", "recipient", "mail"),
}  # fmt: skip
EVERY_CELL = set(product(told.EVENTS, told.AUDIENCES, map(str, told.CHANNELS)))
GRACE, PHONE = "grace@home.example", "+442079460000"


def switches(chosen, *, on):
    """All of these cells on, or off."""
    made = {}
    for event, audience, channel in chosen:
        made.setdefault(event, {}).setdefault(audience, {})[channel] = on
    return made


def path(api):
    return f"/api/users/{api.user_id}/notification-preferences"


def prefer(api, **body):
    response = api.put(path(api), json=body)
    assert response.status_code == 200, response.text
    return response.json


def recipients_wish(app, wishes, channel="mail", address=GRACE):
    with app.app_context(), transaction():
        preferences.replace(wishes, address_hash=opt_outs.address_hash(channel, address))


def sent(app):
    return {cell for cell, made in verdicts(app).items() if isinstance(made, Letter)}


def reasons(app):
    """{cell: why not} of what is not sent."""
    return {cell: made for cell, made in verdicts(app).items() if not isinstance(made, Letter)}


@pytest.fixture
def sender(people):
    return people.customer(phone="+442079461111")


def test_by_default_exactly_the_table_is_told(app, sender):
    write_every_cell(app, sender.create())

    assert sent(app) == DEFAULTS
    assert reasons(app) == dict.fromkeys(EVERY_CELL - DEFAULTS, "preference")


def test_every_cell_can_be_switched_on_by_the_person(app, sender):
    senders = {cell for cell in EVERY_CELL if cell[1] == "sender"}
    prefer(sender, events=switches(senders, on=True))
    for channel, address in (("mail", GRACE), ("sms", PHONE)):
        recipients_wish(app, Wishes(switches(EVERY_CELL, on=True)), channel, address)
    write_every_cell(app, sender.create())

    assert sent(app) == EVERY_CELL


def test_every_cell_can_be_switched_off_by_the_person(app, sender):
    prefer(sender, events=switches({cell for cell in EVERY_CELL if cell[1] == "sender"}, on=False))
    for channel, address in (("mail", GRACE), ("sms", PHONE)):
        recipients_wish(app, Wishes(switches(EVERY_CELL, on=False)), channel, address)
    write_every_cell(app, sender.create())

    assert reasons(app) == dict.fromkeys(EVERY_CELL, "preference")


def test_every_cell_can_be_switched_on_by_the_delivery(app, sender):
    write_every_cell(app, sender.create(notifications={"events": switches(EVERY_CELL, on=True)}))

    assert sent(app) == EVERY_CELL


def test_every_cell_can_be_switched_off_by_the_delivery(app, sender):
    write_every_cell(app, sender.create(notifications={"events": switches(EVERY_CELL, on=False)}))

    assert reasons(app) == dict.fromkeys(EVERY_CELL, "delivery_switch")


def test_an_audience_and_channel_can_be_off_for_a_whole_delivery_but_for_one_event(app, sender):
    only = {"delivered": {"recipient": {"sms": True}}}
    write_every_cell(app, sender.create(notifications={"recipient": {"sms": False}, "events": only}))

    quiet = {cell for cell in EVERY_CELL if cell[1:] == ("recipient", "sms")} - {("delivered", "recipient", "sms")}
    assert sent(app) == DEFAULTS - quiet
    assert {cell for cell, why in reasons(app).items() if why == "delivery_switch"} == quiet


def test_off_goes_before_on_whoever_says_which(app, sender):
    first, second = ("lost", "sender", "mail"), ("in_transit", "sender", "mail")
    prefer(sender, events=switches([first], on=False) | switches([second], on=True))
    events = switches([first], on=True) | switches([second], on=False)
    write_every_cell(app, sender.create(notifications={"events": events}))

    assert reasons(app)[first] == "preference"
    assert reasons(app)[second] == "delivery_switch"


def test_an_opt_out_goes_before_everything_and_is_of_one_address_and_channel(app, people):
    sender = people.customer(phone="+442079461111", email="sender@shop.example")
    prefer(sender, events=switches({cell for cell in EVERY_CELL if cell[1] == "sender"}, on=True))
    write_every_cell(app, sender.create(notifications={"events": switches(EVERY_CELL, on=True)}))
    silent = set()
    for channel, address, audience in (
        ("mail", "Grace@HOME.example", "recipient"),
        ("sms", PHONE, "recipient"),
        ("mail", "sender@shop.example", "sender"),
        ("sms", "+442079461111", "sender"),
    ):
        with app.app_context(), transaction():
            opt_outs.opt_out(channel, address, "test")
        silent |= {cell for cell in EVERY_CELL if cell[1:] == (audience, channel)}
        assert reasons(app) == dict.fromkeys(silent, "opted_out")


def test_an_opt_in_ends_it_and_both_are_remembered(app, sender):
    with app.app_context():
        for number in range(2):
            with transaction():
                assert opt_outs.opt_out("mail", GRACE, "link") is (number == 0)
        for number in range(2):
            with transaction():
                assert opt_outs.opt_in("mail", GRACE, "cli") is (number == 0)
        with transaction():
            assert opt_outs.opt_out("mail", GRACE, "stop")
        periods = opt_outs.opt_outs_of(email=GRACE, phone=None)
        assert [(row.source, row.ended_by) for row in periods] == [("link", "cli"), ("stop", None)]
        assert opt_outs.opted_out([("mail", GRACE), ("sms", GRACE), ("mail", "eve@x.example")]) == {("mail", GRACE)}
        assert opt_outs.opted_out([]) == set()


def test_who_has_no_address_is_not_written_to_and_that_is_said(app, people):
    write_every_cell(app, people.customer().create(recipient={"name": "Grace"}))

    nowhere = {cell for cell in EVERY_CELL if cell[1] == "recipient" or cell[2] == "sms"}
    assert {cell for cell, why in reasons(app).items() if why == "no_address"} == nowhere


def at(app, travel, moment):
    travel(seconds=(moment - clock.now()).total_seconds())


QUIET = {"from": "21:00", "to": "08:00", "time_zone": "Europe/Berlin"}


@pytest.mark.parametrize(
    ("moment", "until"),
    [
        (datetime(2027, 3, 27, 23, 0, tzinfo=UTC), datetime(2027, 3, 28, 6, 0, tzinfo=UTC)),
        (datetime(2027, 10, 30, 23, 0, tzinfo=UTC), datetime(2027, 10, 31, 7, 0, tzinfo=UTC)),
        (datetime(2027, 10, 31, 7, 0, tzinfo=UTC), None),
    ],
)
def test_a_sender_is_left_alone_in_quiet_hours(app, sender, travel, moment, until):
    prefer(sender, quiet_hours=QUIET)
    write_every_cell(app, sender.create())
    at(app, travel, moment)

    deferred = dict.fromkeys((cell for cell in DEFAULTS if cell[1] == "sender"), ("quiet_hours", until))
    found = {cell: why for cell, why in reasons(app).items() if why != "preference"}
    assert found == (deferred if until else {})


def test_the_house_keeps_recipients_phones_silent_by_night(make_app, sender, travel):
    app = make_app(QUIET_HOURS="21:00-08:00", TIME_ZONE="Europe/Berlin")
    write_every_cell(app, sender.create())
    at(app, travel, datetime(2027, 1, 1, 23, 0, tzinfo=UTC))

    late = ("quiet_hours", datetime(2027, 1, 2, 7, 0, tzinfo=UTC))
    found = {cell: why for cell, why in reasons(app).items() if why != "preference"}
    assert found == dict.fromkeys((cell for cell in DEFAULTS if cell[2] == "sms"), late)


def test_a_text_message_of_the_night_is_sent_in_the_morning_and_only_the_newest(make_app, people, sender, travel):
    """Though a text message lives for two hours."""
    begin, end = (f"{clock.now() + timedelta(hours=hours):%H:%M}" for hours in (-1, 3))
    app = make_app(QUIET_HOURS=f"{begin}-{end}")
    dispatcher = people.dispatcher()
    first, second = (dispatcher.create(owner_id=sender.user_id) for _ in range(2))
    for delivery in (first, second):
        dispatcher.walk(delivery, "picked_up", "out_for_delivery")
    with app.app_context():
        sms = MemoryTransport()
        notifications.init_app(app, COMPOSERS, transports={**dict.fromkeys(Channel, MemoryTransport()), "sms": sms})
        jobs.deliver("sms", seconds=20)
        assert sms.sent == []
        waiting = [(row.state, row.error_class, row.attempts) for row in rows(app) if row.channel == "sms"]
        assert waiting == [("pending", "quiet_hours", 0)] * 2
        dispatcher.walk(second, "delivered")
        jobs.deliver("sms", seconds=20)
        travel(hours=3, minutes=1)
        jobs.deliver("sms", seconds=20)

    ends = [(row.event, row.state) for row in rows(app) if row.channel == "sms"]
    assert ends == [("out_for_delivery", "sent"), ("out_for_delivery", "superseded"), ("delivered", "sent")]
    assert len(sms.sent) == 2


def test_a_recipients_own_hours_go_before_the_houses(make_app, sender, travel):
    app = make_app(QUIET_HOURS="21:00-08:00", TIME_ZONE="Europe/Berlin")
    recipients_wish(app, Wishes({}, "de", ("12:00", "13:00", "UTC")), "sms", PHONE)
    write_every_cell(app, sender.create())
    at(app, travel, datetime(2027, 1, 1, 23, 0, tzinfo=UTC))

    assert sent(app) == DEFAULTS


def test_a_sender_who_switched_them_on_hears_of_every_move_and_edit(app, sender, people):
    """As the original did, by mail and SMS."""
    prefer(sender, events=switches({cell for cell in EVERY_CELL if cell[1] == "sender"}, on=True))
    delivery = sender.create(recipient={"name": "Grace"})
    sender.patch(f"/api/deliveries/{delivery['id']}", json={"item_name": "Red"}, headers={"If-Match": "*"})
    people.dispatcher().walk(delivery, "picked_up", "in_transit", "out_for_delivery", "delivered")

    events = ["created", "updated", "picked_up", "in_transit", "out_for_delivery", "delivered"]
    assert cells(app) == [(event, "sender", channel) for event in events for channel in ("mail", "sms")]
    assert sent(app) == set(cells(app))


def test_what_is_off_is_written_and_says_why(app, sender):
    prefer(sender, events={"created": {"sender": {"mail": False}}})
    sender.create(notifications={"recipient": {"mail": False}})

    assert reasons(app) == {
        ("created", "sender", "mail"): "preference",
        ("created", "recipient", "mail"): "delivery_switch",
    }


def test_a_drafts_edits_are_nobodys_business(app, sender):
    prefer(sender, events={"updated": {"sender": {"mail": True}}})
    draft = sender.create(draft=True)
    sender.patch(f"/api/deliveries/{draft['id']}", json={"item_name": "Red"}, headers={"If-Match": "*"})

    assert cells(app) == []


def test_a_new_owners_wishes_count_from_the_edit_on(app, sender, people):
    other = people.customer()
    prefer(sender, events={"updated": {"sender": {"sms": True}}})
    prefer(other, events={"updated": {"sender": {"mail": True}}})
    delivery = sender.create()
    people.dispatcher().patch(
        f"/api/deliveries/{delivery['id']}", json={"owner_id": other.user_id}, headers={"If-Match": "*"}
    )

    assert cells(app)[2:] == [("updated", "sender", "mail")]


def test_what_somebody_wants_is_shown_whole_and_can_be_sent_back(api):
    before = api.get(path(api)).json
    assert before["locale"] is before["quiet_hours"] is None
    on = {
        (event, "sender", channel)
        for event, one in before["events"].items()
        for channel, on in one["sender"].items()
        if on
    }
    assert on == {cell for cell in DEFAULTS if cell[1] == "sender"}
    assert set(before["events"]) == set(told.EVENTS)

    assert prefer(api, **before) == before
    changed = prefer(api, events={"picked_up": {"sender": {"sms": True}}}, locale="de", quiet_hours=QUIET)

    assert changed["events"]["picked_up"] == {"sender": {"mail": False, "sms": True}}
    assert api.get(path(api)).json == changed == prefer(api, **changed)
    assert prefer(api) == before  # what is not in it goes back to its default


def test_what_says_the_same_as_its_default_follows_it(app, api):
    prefer(api, **api.get(path(api)).json)
    with app.app_context():
        assert preferences.of_user(UUID(api.user_id)).cells == {}


MEANINGLESS = [
    ({"events": {"stolen": {}}}, ["/events/stolen"]),
    ({"events": {"draft": {}}}, ["/events/draft"]),
    ({"events": {"created": {"recipient": {"mail": True}}}}, ["/events/created/recipient"]),
    ({"events": {"created": {"sender": {"fax": True}}}}, ["/events/created/sender/fax"]),
    ({"events": {"created": {"sender": {"mail": "yes"}}}}, ["/events/created/sender/mail"]),
    ({"events": {"created": {"sender": {"mail": None}}}}, ["/events/created/sender/mail"]),
    ({"quiet_hours": {}}, ["/quiet_hours/from", "/quiet_hours/time_zone", "/quiet_hours/to"]),
    ({"quiet_hours": {**QUIET, "from": "24:00"}}, ["/quiet_hours/from"]),
    ({"quiet_hours": {**QUIET, "from": "9:00"}}, ["/quiet_hours/from"]),
    ({"quiet_hours": {**QUIET, "from": "21:00\n"}}, ["/quiet_hours/from"]),
    ({"quiet_hours": {**QUIET, "to": "21:00"}}, ["/quiet_hours/to"]),
    ({"quiet_hours": {**QUIET, "time_zone": "Mars/Olympus"}}, ["/quiet_hours/time_zone"]),
    ({"quiet_hours": {**QUIET, "time_zone": "../UTC"}}, ["/quiet_hours/time_zone"]),
    ({"locale": "deutsch!"}, ["/locale"]),
]


@on_sqlite
def test_what_means_nothing_is_refused(api):
    for body, pointers in MEANINGLESS:
        assert sorted(wrong(api.put(path(api), json=body))) == pointers, body


NO_SWITCHES = [
    ({"recipient": {"sms": True}}, "/notifications/recipient/sms"),
    ({"courier": {}}, "/notifications/courier"),
    ({"events": {"created": {"recipient": {"sms": 1}}}}, "/notifications/events/created/recipient/sms"),
    ([], "/notifications"),
]


@on_sqlite
def test_switches_that_mean_nothing_are_refused(api):
    for switched, pointer in NO_SWITCHES:
        response = api.post("/api/deliveries", json=delivery_in(notifications=switched))
        assert list(wrong(response)) == [pointer], switched


def test_a_deliverys_switches_are_shown_and_replaced_whole(api):
    first = {"recipient": {"sms": False}, "events": {"picked_up": {"sender": {"mail": True}}}}
    delivery = api.create(notifications=first)
    url = f"/api/deliveries/{delivery['id']}"
    assert api.get(url).json["notifications"] == delivery["notifications"] == first

    changed = api.patch(url, json={"notifications": {"sender": {"mail": False}}}, headers={"If-Match": "*"})
    assert changed.json["notifications"] == {"sender": {"mail": False}}
    none = api.patch(url, json={"notifications": None}, headers={"If-Match": "*"})
    assert none.json["notifications"] is None
    assert api.create()["notifications"] is None


def test_preferences_and_switches_cost_a_change_no_statement(app, sender, people, count_statements):
    def cost(**body):
        with count_statements() as statements:
            delivery = sender.create(**body)
            assert sender.move(delivery, "cancelled").status_code == 200
        return len([one for one in statements if not one.startswith("BEGIN")])

    plain = cost()
    prefer(sender, events=switches({cell for cell in EVERY_CELL if cell[1] == "sender"}, on=True), quiet_hours=QUIET)

    assert cost(notifications={"events": switches(EVERY_CELL, on=True)}) == plain


def test_a_batch_costs_the_same_for_one_and_for_many(app, sender, count_statements):
    def cost():
        with count_statements() as statements:
            assert sent(app)
        return len([one for one in statements if "FROM" in one]) - 1  # the test's own look

    sender.create()
    few = cost()
    for _ in range(5):
        sender.create()

    assert cost() == few == 3
