"""flask notifications opt-out, opt-in, opted-out."""

from tests.commands import run, run_json
from tests.notifications.conftest import on_sqlite
from tests.privacy.canaries import dump, entries, url_of

GRACE, PHONE = "grace@home.example", "+442079460000"


def test_out_in_and_what_was_said(app):
    for _ in range(2):  # the second time changes nothing
        assert run(app, "notifications", "opt-out", "--email", "Grace@HOME.example", "--phone", PHONE).exit_code == 0
    for _ in range(2):
        assert run(app, "notifications", "opt-in", "--email", GRACE).exit_code == 0

    said = run_json(app, "notifications", "opted-out", "--email", GRACE, "--phone", PHONE)
    assert {(one["channel"], one["source"], one["ended_by"]) for one in said} == {
        ("mail", "cli", "cli"), ("sms", "cli", None),
    }  # fmt: skip
    assert "mail     cli" in run(app, "notifications", "opted-out", "--email", GRACE).stdout
    acts = [(entry.act, entry.actor_type, entry.details["channel"]) for entry in entries(app)]
    assert acts == [
        ("address.opted_out", "cli", "mail"), ("address.opted_out", "cli", "sms"), ("address.opted_in", "cli", "mail"),
    ]  # fmt: skip
    assert not any(word in text for word in (GRACE, PHONE[1:]) for text in dump(url_of(app)).values())


@on_sqlite
def test_nobody_and_no_address_are_used_wrongly(app):
    for command in ("opt-out", "opt-in", "opted-out"):
        assert run(app, "notifications", command).exit_code == 2
        assert run(app, "notifications", command, "--email", "grace").exit_code == 2
        assert run(app, "notifications", command, "--phone", "123").exit_code == 2
    assert run(app, "notifications", "opted-out", "--email", GRACE).stdout == "It never opted out.\n"
