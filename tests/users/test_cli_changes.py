"""`flask users`: what an operator does to accounts is what the API does, and is written down as the command line's."""

import json

import pytest
from sqlalchemy import select

from delivery import limits
from delivery.audit.queries import entries
from delivery.database import db
from delivery.errors import TooMany
from delivery.notifications.models import OutboxMessage
from tests.audit.entries import acts
from tests.auth.invitations import KIM
from tests.auth.links import link_token, register
from tests.auth.signing_in import login
from tests.commands import run, run_json
from tests.settings import PRODUCTION
from tests.web.answers import problem

ADA = "ada@shop.example"
CHANGES = (["set-role", "courier"], ["deactivate"], ["activate"], ["end-sessions"], ["unlock"])


@pytest.fixture
def ada(people):
    return people.customer(name="Ada Shop", email=ADA)


def change(app, who, verb, *words, **options):
    return run(app, "users", verb, who, *words, **options)


def done(result, words):
    assert (result.exit_code, result.stdout) == (0, f"{words}\n"), result.stderr


def refused(result, words):
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.endswith(f"Error: {words}\n")


def test_an_account_is_shown_by_address_or_id(app, ada):
    by_address, by_id = (run_json(app, "users", "show", who) for who in (" ADA@shop.example", ada.user_id))
    assert by_address == by_id == ada.get("/api/auth/me").json
    shown = run(app, "users", "show", ADA).stdout
    assert "email              ada@shop.example\n" in shown
    assert "argon2" not in shown


@pytest.mark.parametrize(
    "who", ["nobody@x.example", "01890a5d-ac96-774b-bcce-b302099a8057", "Ada Shop", "%", "é\U0001f40e", "a@..b"]
)
def test_who_is_not_there_is_one_clear_line(app, people, who):
    for verb, *words in (["show"], *CHANGES):
        refused(change(app, who, verb, *words), f"There is no account {who}.")


def test_who_was_erased_is_not_there(app, ada):
    ada.delete(f"/api/users/{ada.user_id}", headers={"If-Match": "*"})
    refused(change(app, ada.user_id, "activate"), f"There is no account {ada.user_id}.")


def test_a_role_is_set_and_sessions_end(app, ada):
    done(change(app, ADA, "set-role", "courier"), f"Changed {ADA} from customer to courier.")
    problem(ada.get("/api/auth/me"), 401)
    assert run_json(app, "users", "show", ADA)["role"] == "courier"
    assert change(app, ADA, "set-role", "king").exit_code == 2


def test_an_account_is_put_to_sleep_and_woken(app, client, ada):
    done(change(app, ada.user_id, "deactivate"), f"Deactivated {ADA}.")
    problem(ada.get("/api/auth/me"), 401)
    problem(login(client, ADA), 401)
    done(change(app, ADA, "activate"), f"Activated {ADA}.")
    assert login(client, ADA).status_code == 200


def test_sessions_end_and_may_be_opened_again(app, client, ada):
    done(change(app, ADA, "end-sessions"), f"Ended all sessions of {ADA}.")
    problem(ada.get("/api/auth/me"), 401)
    assert login(client, ADA).status_code == 200


def test_links_end_with_the_sessions(app, client):
    register(client, ADA)
    token = link_token(app, ADA)
    change(app, ADA, "end-sessions")
    problem(client.post("/api/auth/verify-email", json={"token": token}), 400, "invalid_token")


def test_the_last_admin_stays(app, people):
    root = people.admin(email="root@x.example")
    last = "This is the last admin; make another one first."
    refused(change(app, "root@x.example", "set-role", "customer"), last)
    refused(change(app, "root@x.example", "deactivate"), last)
    assert root.get("/api/users").status_code == 200


def test_a_rehearsal_says_what_would_happen_and_changes_nothing(app, ada):
    before, told = run_json(app, "users", "show", ADA), acts(app)
    said = [change(app, ADA, verb, *words, "--dry-run") for verb, *words in CHANGES]
    assert all(one.exit_code == 0 and one.stdout.startswith("Would ") for one in said)
    refused(change(app, "nobody@x.example", "deactivate", "--dry-run"), "There is no account nobody@x.example.")
    assert run_json(app, "users", "show", ADA) == before
    assert acts(app) == told
    assert ada.get("/api/auth/me").status_code == 200


def test_each_act_names_the_command_line_as_its_author(app, ada):
    for verb, *words in CHANGES:
        assert change(app, ADA, verb, *words).exit_code == 0
    with app.app_context():
        ended = entries(before=None, limit=100, act="session.*")
        rows = entries(before=None, limit=100, act="user.*") + ended
    told = {row.act for row in rows if row.actor_type == "cli" and str(row.object_id) == ada.user_id}
    assert told >= {"user.role_changed", "user.deactivated", "user.activated", "user.unlocked", "session.all_ended"}
    assert [row.details for row in ended] == [{"count": 0}], "the role had ended them"


def test_json_is_one_document_with_the_account(app, ada):
    for verb, *words in CHANGES:
        for dry_run in (True, False):
            said = json.loads(change(app, ADA, verb, *words, "--json", *["--dry-run"] * dry_run).stdout)
            assert (said["dry_run"], said["user"]["email"]) == (dry_run, ADA)


def test_an_unlocked_account_need_not_wait(app, ada):
    def fail_to_sign_in():
        with app.test_request_context(environ_base={"REMOTE_ADDR": "192.0.2.1"}):
            limits.take(limits.LOGIN, ADA)

    for _ in range(5):
        fail_to_sign_in()
    with pytest.raises(TooMany):
        fail_to_sign_in()
    done(change(app, ADA, "unlock"), f"Forgot the failed logins of {ADA}.")
    fail_to_sign_in()


def test_the_list_tells_the_active_from_the_others(app, people, ada):
    people.courier(name="Max Wheel")
    change(app, ADA, "deactivate")
    assert [one["name"] for one in run_json(app, "users", "list", "--inactive")] == ["Ada Shop"]
    assert [one["name"] for one in run_json(app, "users", "list", "--active")] == ["Max Wheel"]
    assert len(run_json(app, "users", "list")) == 2
    assert run(app, "users", "list", "--search", "x" * 101).exit_code == 2


def test_an_invitation_by_command_is_one_like_any_other(app, people):
    admin = people.admin()
    done(run(app, "users", "invite", "Kim@Wheels.example", "--role", "courier"), f"Invited {KIM} as courier.")
    [made] = admin.get("/api/invitations").json["items"]
    assert (made["email"], made["role"], made["invited_by"], made["state"]) == (KIM, "courier", None, "open")
    said = run_json(app, "users", "invite", KIM, "--name", "Kim")
    assert (said["dry_run"], said["invitation"]["name"], said["invitation"]["role"]) == (False, "Kim", "customer")
    assert "nonce" not in said["invitation"]


def test_who_has_an_account_is_not_invited_and_a_rehearsal_says_so(app, ada):
    refused(run(app, "users", "invite", ADA, "--dry-run"), "A user with this address exists.")
    done(run(app, "users", "invite", KIM, "--dry-run"), f"Would invite {KIM} as customer.")
    assert acts(app, "invitation.*") == []
    assert run(app, "users", "invite", "nonsense").exit_code == 2


def test_an_operator_has_a_reset_sent_as_its_owner_would(app, ada):
    done(change(app, ADA, "send-reset", "--dry-run"), f"Would send {ADA} a link to choose a new password.")
    assert acts(app, "password.*") == []
    done(change(app, ada.user_id, "send-reset"), f"Sent {ADA} a link to choose a new password.")
    with app.app_context():
        told = db.session.execute(select(OutboxMessage.template, OutboxMessage.recipient_id)).all()
    assert [(template, str(user_id)) for template, user_id in told] == [("reset_password", ada.user_id)]
    assert [act for act, *_ in acts(app, "password.*", of=ada.user_id)] == ["password.reset_requested"]
    assert ada.get("/api/auth/me").status_code == 200
    assert json.loads(change(app, ADA, "send-reset", "--json").stdout)["user"]["email"] == ADA


def test_who_may_not_sign_in_gets_no_reset(app, ada):
    change(app, ADA, "deactivate")
    refused(change(app, ADA, "send-reset"), f"{ADA} may not sign in; see `flask users activate`.")
    refused(change(app, "nobody@x.example", "send-reset"), "There is no account nobody@x.example.")


@pytest.mark.parametrize("group", ["users", "deliveries"])
def test_seeding_production_asks_first(app, people, group):
    people.customer()
    app.config["ENVIRONMENT"] = PRODUCTION["ENVIRONMENT"]
    listed = len(run_json(app, "users", "list"))
    for typed in ("n\n", "\n", ""):
        result = run(app, group, "seed", "--count", 1, input=typed)
        assert (result.exit_code, result.stdout) == (1, "")
        assert "to the production database" in result.stderr
    assert len(run_json(app, "users", "list")) == listed
    assert run(app, group, "seed", "--count", 1, input="y\n").exit_code == 0
    assert run(app, group, "seed", "--count", 1, "--yes").exit_code == 0
