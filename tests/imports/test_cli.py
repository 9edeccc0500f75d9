"""Imports from a shell: the same rules, a progress bar for people, exit codes for programs."""

import json

import pytest

from tests.imports.making import MAPPING, OPTIONS, asked, row, rows, table


@pytest.fixture
def flask(app):
    def run(*words):
        return app.test_cli_runner().invoke(args=list(words))

    return run


@pytest.fixture
def settings(tmp_path):
    path = tmp_path / "settings.json"
    path.write_text(json.dumps(OPTIONS))
    return str(path)


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "orders.csv"
    path.write_bytes(table([row(1), row(2), row(3, mail="wrong", town="=cmd()")]))
    return str(path)


def test_a_file_is_imported_and_what_was_refused_is_written_down(api, flask, file, settings, tmp_path):
    call = ("deliveries", "import", file, "--owner", api.user_id, "--settings", settings)
    trial = flask(*call, "--dry-run")
    assert (trial.exit_code, "Would import 3 rows: 2 created, 0 updated, 0 skipped, 1 failed." in trial.output) == (
        1,
        True,
    )
    assert api.get("/api/deliveries").json["items"] == []

    done = flask(*call, "--errors", str(tmp_path / "bad.csv"), "--json")
    assert done.exit_code == 1
    assert json.loads(done.stdout)["rows"]["created"] == 2
    bad = (tmp_path / "bad.csv").read_text(encoding="utf-8-sig").splitlines()
    assert len(bad) == 2
    assert bad[1].startswith("4,mail: ")
    assert ",'=cmd(),GB" in bad[1], "a spreadsheet must not calculate it"
    assert api.history(api.get("/api/deliveries").json["items"][0])[0]["actor_type"] == "cli"
    assert flask(*call).exit_code == 1, "the same file again"
    again = flask(*call).stderr
    assert "; see --again." in again
    assert json.loads(done.stdout)["id"] in again


def test_a_file_without_a_wrong_row_exits_with_0(api, flask, tmp_path, settings):
    (tmp_path / "good.csv").write_bytes(table(rows(2)))
    call = ("deliveries", "import", str(tmp_path / "good.csv"), "--owner", api.user_id, "--settings", settings)
    assert flask(*call).exit_code == 0
    assert flask(*call, "--again", "--on-duplicate", "error").exit_code == 1


def test_what_is_no_file_or_no_settings_is_one_line(api, flask, tmp_path, file, settings):
    broken = tmp_path / "broken.json"
    broken.write_text("{")
    odd = tmp_path / "odd.json"
    odd.write_text('{"mapping": {"recipient.nmae": "x"}}')
    (tmp_path / "empty.csv").write_bytes(b"")
    for words in (
        (str(tmp_path / "none.csv"),), (file, "--settings", str(broken)), (file, "--settings", str(odd)), (file,),
        (str(tmp_path / "empty.csv"), "--settings", settings),
    ):  # fmt: skip
        result = flask("deliveries", "import", *words, "--owner", api.user_id)
        assert result.exit_code in {1, 2}, words
        assert "Traceback" not in result.output
        assert result.stderr.strip(), words
    assert flask("imports", "list").output.strip() == "There are no imports."


def test_what_a_file_lacks_is_said_in_words_of_the_shell(api, flask, file, tmp_path):
    settings = tmp_path / "few.json"
    settings.write_text(json.dumps({"mapping": MAPPING}))
    result = flask("deliveries", "import", file, "--owner", api.user_id, "--settings", str(settings))
    assert result.stderr.strip() == "Error: mapping/item_name: Needs a column or a default."


def test_the_state_of_every_import_is_seen(app, api, flask):
    import_id = asked(app, api.user_id)
    assert import_id in flask("imports", "list", "--state", "queued").output
    assert flask("imports", "list", "--owner", api.user_id, "--state", "failed", "--json").output.strip() == "[]"
    assert json.loads(flask("imports", "show", import_id, "--json").output)["state"] == "queued"
    assert (
        'delivery_imports{state="queued"} 1.0'
        in api.get("/metrics", headers={"Authorization": "Bearer metrics-for-tests-0c1d"}).text
    )
    assert flask("imports", "cancel", import_id).exit_code == 0
    assert flask("imports", "cancel", import_id).exit_code == 1
    assert flask("imports", "show", "0190a0a0-0000-7000-8000-000000000000").exit_code == 1
    assert "import_errors" in flask("imports", "errors", import_id).output
