"""What is no file of deliveries is refused at once, with the reason; nothing of it stays."""

import io
import json
import tracemalloc
import zipfile
from contextlib import contextmanager

import pytest
from sqlalchemy import func, select
from sqlalchemy.exc import OperationalError

from delivery.database import db
from delivery.idempotency import keyed
from delivery.imports.models import Import, ImportChunk
from tests.imports.making import COLUMNS, MAPPING, OPTIONS, asked, form, imported, row, rows, run, table, upload
from tests.web.answers import problem, wrong


def zipped():
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("orders.csv", table(rows(1)))
    return out.getvalue()


GOOD = table(rows(2))
HEADER = ",".join(COLUMNS).encode()
HOSTILE = {
    "empty": (b"", "empty_file"),
    "blank lines": (b"\r\n\r\n", "empty_file"),
    "only a header": (HEADER + b"\r\n", "no_rows"),
    "a header and blank lines": (HEADER + b"\r\n\r\n,,,,,,\r\n", "no_rows"),
    "a ZIP archive": (zipped(), "not_text"),
    "a picture": (b"\x89PNG\r\n\x1a\n" + bytes(range(256)), "not_text"),
    "a PDF": (b"%PDF-1.7\n", "not_text"),
    "bytes of no meaning": (bytes(range(256)) * 10, "not_text"),
    "NUL late": (GOOD + b"a" * 5000 + b"\0", "not_text"),
    "a quote that is never closed": (HEADER + b'\r\nSO-1,"Grace\r\n' + b"x,y\r\n" * 100, "quote_not_closed"),
    "a quote that is never closed in a long file": (HEADER + b'\r\nSO-1,"Grace\r\n' + GOOD * 2000, "record_too_long"),
    "a page": (b"<!DOCTYPE html>\n<html>\n", "not_csv"),
    "JSON in one line": (b'[{"order": "SO-1", "name": "Grace", "mail": ""}]\n', "not_csv"),
    "JSON in many": (b'{\n  "order": "SO-1",\n  "name": "Grace"\n}\n', "not_csv"),
    "text behind a quote": (HEADER + b'\r\nSO-1,"Grace" Hopper,x\r\n', "bad_quote"),
    "a line without end": (HEADER + b"\r\n" + b"x" * 3_000_000, "record_too_long"),
    "a thousand columns": (b",".join(b"c%d" % number for number in range(1000)) + b"\r\n1\r\n", "too_many_columns"),
    "half a character at the end": (GOOD + b"SO-3,\xc3\xa9\xc3", None),
}


def leftovers(app):
    """How many imports and parts of files there are."""
    with app.app_context():
        return [db.session.execute(select(func.count()).select_from(table)).scalar() for table in (Import, ImportChunk)]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_file_that_cannot_be_read_is_refused_with_the_reason(api, name):
    data, code = HOSTILE[name]
    response = upload(api, data)
    if code is None:
        assert response.status_code == 202
        return
    assert wrong(response) == {"/file": code}
    assert leftovers(api.app) == [0, 0]


def test_a_file_in_another_encoding_than_declared_is_refused_and_says_where(api):
    data = table([row(1), row(2, name="Zoë")], encoding="cp1252")
    response = upload(api, data, options={**OPTIONS, "encoding": "utf-8"})
    assert wrong(response) == {"/file": "wrong_encoding"}
    assert "line 1 and" in response.json["errors"][0]["message"]


@pytest.mark.parametrize("options", [{}, OPTIONS])
def test_a_file_that_is_not_separated_as_declared_is_told_what_its_one_column_is(api, options):
    response = upload(api, GOOD, options={**options, "delimiter": ";"})
    assert wrong(response) == {"/file": "not_csv"}
    message = response.json["errors"][0]["message"]
    assert f"Only one column was found, '{','.join(COLUMNS)}', with the delimiter ';'" in message


@pytest.mark.parametrize(
    ("data", "line"),
    [
        (HEADER + b"\r\n" + b"x" * 3_000_000, 2), (b"x" * 3_000_000, 1),
        (GOOD + b'SO-3,"Ada' + b"\r\nmore" * 50_000, 4),
    ],
)  # fmt: skip
def test_a_record_without_end_is_told_where_it_begins(api, data, line):
    response = upload(api, data)
    assert wrong(response) == {"/file": "record_too_long"}
    assert f"begins in line {line} is" in response.json["errors"][0]["message"]


def test_a_file_over_the_limit_is_a_413_and_leaves_nothing(api):
    api.app.config["IMPORT_MAX_BYTES"] = 300_000
    assert upload(api, b"x" * 299_999).status_code == 422
    problem(upload(api, b"x" * 300_001), 413, "request_entity_too_large")
    problem(upload(api, b"x" * 1_000_000), 413, "request_entity_too_large")
    assert leftovers(api.app) == [0, 0]


def test_memory_stays_flat_however_large_the_file(api):
    """A line of 100 MB, and a good file of 20 MB, are never whole in memory."""
    api.app.config["IMPORT_MAX_BYTES"] = 200_000_000
    with_line = io.BytesIO()  # a part of its own making, so that no client of the test's holds it twice
    with_line.write(b'--b\r\nContent-Disposition: form-data; name="file"; filename="x.csv"\r\n\r\n' + HEADER + b"\r\n")
    for _ in range(100):
        with_line.write(b"x" * 1_000_000)
    with_line.write(b"\r\n--b--\r\n")
    with_line.seek(0)
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    response = api.post("/api/imports", input_stream=with_line, content_type="multipart/form-data; boundary=b",
                        content_length=with_line.getbuffer().nbytes)  # fmt: skip
    peak = tracemalloc.get_traced_memory()[1] - before
    tracemalloc.stop()
    assert "/file" in wrong(response)
    assert peak < 8_000_000


FILE = {"file": ("x.csv", GOOD)}


@pytest.mark.parametrize(
    ("words", "files", "expected"),
    [
        ({"a": "b"}, {}, {"/file": "required"}),
        ({"file": "not a file"}, {}, {"/file": "required"}),
        ({}, {"document": ("x.csv", GOOD)}, {"/file": "required"}),
        ({}, {**FILE, "other": ("x.csv", GOOD)}, {"/file": "required"}),
        ({"dry_run": "true"}, FILE, {"/dry_run": "unknown"}),
        ({"options": "[]"}, FILE, {"/options": "invalid"}),
        ({"options": "{}"}, FILE, None),
        ({"options": '{"name": "\\u0000"}'}, FILE, {"/options": "invalid"}),
    ],
)
def test_the_parts_of_a_form_are_a_file_and_options(api, words, files, expected):
    response = api.post("/api/imports", **form(words, files))
    if expected is None:  # no column is named as a field
        assert wrong(response)["/options/mapping/recipient.name"] == "required"
    else:
        assert wrong(response) == expected
    assert leftovers(api.app) == [0, 0]


def test_options_that_are_no_json_are_a_400_and_another_body_a_415(api):
    problem(api.post("/api/imports", **form({"options": "{"}, FILE)), 400, "malformed")
    problem(api.post("/api/imports", data=GOOD, content_type="text/csv"), 415)
    problem(api.post("/api/imports", json={}), 415)
    problem(api.post("/api/imports", data=b"--b", content_type="multipart/form-data; boundary=b"), 400)
    problem(api.post("/api/imports", data=b"x", content_type="multipart/form-data"), 400)
    assert leftovers(api.app) == [0, 0]


@pytest.mark.parametrize(
    ("options", "pointer", "code"),
    [
        ({"mapping": {"recipient.nmae": "name"}}, "/options/mapping/recipient.nmae", "invalid"),
        ({"mapping": {**MAPPING, "reference": "ordre"}}, "/options/mapping/reference", "no_such_column"),
        ({"mapping": MAPPING}, "/options/mapping/item_name", "required"),
        ({**OPTIONS, "defaults": {"package.pieces": "many"}}, "/options/defaults/package.pieces", "invalid"),
        ({**OPTIONS, "date_format": "%Q"}, "/options/date_format", "invalid"),
        ({**OPTIONS, "date_format": "%d.%m"}, "/options/date_format", "invalid"),
        ({**OPTIONS, "time_zone": "Mars/Olympus"}, "/options/time_zone", "invalid"),
        ({**OPTIONS, "encoding": "rot13"}, "/options/encoding", "invalid"),
        ({**OPTIONS, "delimiter": "x"}, "/options/delimiter", "invalid"),
        ({**OPTIONS, "on_duplicate": "ignore"}, "/options/on_duplicate", "invalid"),
        ({**OPTIONS, "template_id": "0190a0a0-0000-7000-8000-000000000000"}, "/options/template_id", "invalid"),
        ({**OPTIONS, "dryrun": True}, "/options/dryrun", "unknown"),
    ],
)  # fmt: skip
def test_settings_without_meaning_are_refused_before_anything_runs(api, options, pointer, code):
    assert wrong(upload(api, GOOD, options=options))[pointer] == code
    assert leftovers(api.app) == [0, 0]


def test_what_was_probably_meant_is_said(api):
    response = upload(api, GOOD, options={**OPTIONS, "mapping": {**MAPPING, "reference": "ordr"}})
    assert "Did you mean 'order'?" in response.json["errors"][0]["message"]
    response = upload(api, GOOD, options={"mapping": {"recipient.mail": "mail"}})
    assert "Did you mean recipient.email?" in response.json["errors"][0]["message"]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_lines_and_delimiters_of_any_kind_are_found_out(api, end, delimiter):
    done = imported(api, table(rows(3, street="1, Quay; Bristol"), delimiter=delimiter, end=end))
    assert (done["rows"]["created"], done["delimiter"]) == (3, delimiter)
    assert api.get("/api/deliveries").json["items"][0]["destination"]["line1"] == "1, Quay; Bristol"


@pytest.mark.parametrize(
    ("encoding", "name", "guessed"),
    [
        ("utf-8", "Zoë Łuczak 王", False),
        ("utf-8-sig", "Zoë Łuczak 王", False),
        ("utf-16", "Zoë Łuczak 王", False),
        ("utf-16-le", "Zoë Smith", False),
        ("utf-16-be", "Zoë Smith", False),
        ("cp1252", "José Núñez", True),
        ("cp1251", "Пётр Иванов", True),
        ("cp1250", "Łukasz Żółkiewski", True),
        ("shift_jis", "田中太郎", True),
    ],
)
def test_encodings_are_found_out(api, encoding, name, guessed):
    done = imported(api, table(rows(3, name=name), encoding=encoding))
    assert (done["rows"]["created"], done["encoding_guessed"]) == (3, guessed)
    assert api.get("/api/deliveries").json["items"][0]["recipient"]["name"] == name


def test_an_encoding_that_is_declared_is_not_guessed(api):
    done = imported(api, table(rows(1, name="Ţăran")), options={**OPTIONS, "encoding": "utf-8"})
    assert (done["encoding"], done["encoding_guessed"]) == ("utf-8", False)


def test_a_name_of_a_file_cannot_do_harm(api):
    response = upload(api, GOOD, filename="../../etc/pass\u202ewd\x07.csv")
    assert response.json["filename"] == "passwd.csv"


def test_an_import_that_nobody_worked_on_keeps_its_file_until_its_end(api):
    asked(api.app, api.user_id)
    assert leftovers(api.app) == [1, 1]
    run(api.app)
    assert leftovers(api.app) == [1, 0]


def test_options_may_be_sent_as_a_part_of_json(api):
    sent = form({"options": json.dumps(OPTIONS)}, FILE)
    sent["data"] = sent["data"].replace(b'name="options"\r\n', b'name="options"\r\nContent-Type: application/json\r\n')
    assert api.post("/api/imports", **sent).status_code == 202


@pytest.mark.parametrize("headers", [None, {"Idempotency-Key": "k"}], ids=["no key", "a key"])
def test_a_commit_whose_answer_is_lost_keeps_the_file(api, monkeypatch, headers):
    """As on a fail-over: the import is there, and whoever asked for it cannot know."""
    real = keyed.transaction

    @contextmanager
    def lost():
        with real() as session:
            yield session
        raise OperationalError("COMMIT", None, Exception("server closed the connection unexpectedly"))

    with monkeypatch.context() as patch:
        patch.setattr(keyed, "transaction", lost)
        response = upload(api, GOOD, headers=headers)
    assert response.status_code == (202 if headers else 503)
    assert leftovers(api.app) == [1, 1]
    run(api.app)
    assert len(api.get("/api/deliveries").json["items"]) == 2
    if headers:
        assert upload(api, GOOD, headers=headers).data == response.data
    assert leftovers(api.app) == [1, 0]


def test_a_key_that_is_none_is_refused_before_the_file_is_read(api):
    problem(upload(api, b"no CSV\0", headers={"Idempotency-Key": "a b"}), 400, "malformed")
    assert leftovers(api.app) == [0, 0]
