"""The logs: their two forms, the ids on their lines, and what never gets onto one."""

import io
import json
import logging
import re
import subprocess
import sys
from contextvars import Context
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from flask import Flask

from delivery import clock, logs
from delivery.errors import NotFound

ROOT = Path(__file__).parent.parent
ADDRESS = "maria.rossi@example.org"


@pytest.fixture(autouse=True)
def _restored_logging():
    touched = [
        logging.getLogger(name)
        for name in (None, "delivery", "gunicorn.error", "gunicorn.access", "rq.worker", "werkzeug")
    ]
    before = [(one, one.level, one.propagate, one.handlers[:]) for one in touched]
    for one in touched[1:]:  # another test's worker may have left them in its own fashion
        one.level, one.propagate, one.disabled, one.handlers[:] = logging.NOTSET, True, False, []
        one.manager._clear_cache()
    yield
    for one, level, propagate, handlers in before:
        one.level, one.propagate, one.handlers[:] = level, propagate, handlers
        one.manager._clear_cache()


def configured(*, log_format="json", level="INFO", name="delivery.app"):
    app = Flask(name)
    app.config.update(LOG_FORMAT=log_format, LOG_LEVEL=level)
    logs.init_app(app)
    return app


@pytest.fixture
def lines(capsys):
    """Give a function that returns the records that came out as JSON since it was last asked."""
    configured()
    return lambda: [json.loads(line) for line in capsys.readouterr().err.splitlines()]


log = logging.getLogger("delivery.access")


# Form


def test_a_record_is_one_json_object_a_line(lines, monkeypatch):
    monkeypatch.setattr(clock, "now", lambda: datetime(2026, 3, 1, 12, 0, 0, 7000, tzinfo=clock.ZONE))

    log.info("request", extra={"method": "GET", "path": "/api/deliveries/<id>", "status": 200, "duration_ms": 1.5})

    assert lines() == [
        {
            "ts": "2026-03-01T12:00:00.007Z",
            "level": "INFO",
            "logger": "delivery.access",
            "msg": "request",
            "method": "GET",
            "path": "/api/deliveries/<id>",
            "status": 200,
            "duration_ms": 1.5,
        }
    ]


def test_times_follow_the_clock_of_the_process(lines, monkeypatch):
    monkeypatch.setattr(clock, "offset", timedelta(days=-4000))

    log.info("long ago")

    assert lines()[0]["ts"] < "2020"


def test_text_lines_are_for_people(capsys):
    configured(log_format="text")

    log.info("request %s", "done", extra={"status": 200})

    written = capsys.readouterr().err
    assert re.fullmatch(r"\S+Z INFO delivery\.access request done status=200\n", written)


@pytest.mark.parametrize("log_format", ["json", "text"])
@pytest.mark.parametrize("control", ["\n", "\r", "\x00", "\x1b[2J", "\x7f", "\x85", "\u2028", "\u202e", "\udcff"])
def test_control_characters_are_escaped_everywhere(capsys, log_format, control):
    configured(log_format=log_format)

    with logs.bound(request_id=f"a{control}b"):
        log.info("one%stwo", control, extra={"code": f"x{control}y"})

    written = capsys.readouterr().err
    assert written.count("\n") == 1
    assert control not in written.removesuffix("\n")
    written.encode()


def test_the_least_level_is_heeded(lines):
    configured(level="WARNING")
    logging.getLogger("rq.worker").setLevel(logging.INFO)  # as RQ does itself

    log.info("too little")
    logging.getLogger("rq.worker").info("too little")
    log.warning("enough")

    assert [line["msg"] for line in lines()] == ["enough"]


def test_debug_opens_our_own_loggers_and_no_library(lines):
    configured(level="DEBUG")

    logging.getLogger("delivery.jobs").debug("ours")
    logging.getLogger("botocore.endpoint").debug("theirs")

    assert [line["logger"] for line in lines()] == ["delivery.jobs"]


def test_a_second_app_does_not_double_the_lines(lines):
    configured()
    configured()

    log.info("once")

    assert len(lines()) == 1


def test_a_line_stays_short(capsys):
    configured()

    log.info("x" * 100_000, extra={"code": "y" * 100_000})

    assert len(capsys.readouterr().err) < 4096


# Fields


def test_only_listed_extras_come_out(lines):
    log.info("sent", extra={"channel": "mail", "email": ADDRESS, "recipient": ADDRESS, "user_id": None})

    (line,) = lines()
    assert line["channel"] == "mail"
    assert not {"email", "recipient", "user_id"} & set(line)
    assert ADDRESS not in str(line)


def test_every_listed_extra_comes_out(lines):
    log.info("all", extra=dict.fromkeys(logs.FIELDS, "v"))

    assert dict.fromkeys(logs.FIELDS, "v").items() <= lines()[0].items()


# Ids


def test_ids_stand_on_every_line_inside_and_on_none_outside(lines):
    with logs.bound(request_id="r1"):
        log.info("in a request")
        with logs.bound(job_id="j1"):
            logging.getLogger("rq.worker").warning("in a job of it")
        log.info("in the request again")
    log.info("outside")

    assert [(line.get("request_id"), line.get("job_id")) for line in lines()] == [
        ("r1", None),
        ("r1", "j1"),
        ("r1", None),
        (None, None),
    ]


def test_an_error_inside_unbinds_too(lines):
    with pytest.raises(NotFound), logs.bound(request_id="r1"):
        raise NotFound

    log.info("after")
    assert "request_id" not in lines()[0]


def test_the_request_id_can_be_asked_for():
    assert logs.current_request_id() is None
    with logs.bound(request_id="r1"), logs.bound(job_id="j1"):
        assert logs.current_request_id() == "r1"
    assert logs.current_request_id() is None


def test_what_was_bound_here_can_be_unbound_in_another_context():
    def begin():
        binding = logs.bound(request_id="r1")
        binding.__enter__()
        return binding

    binding = Context().run(begin)

    Context().run(binding.__exit__, None, None, None)


# Exceptions


class LibraryError(Exception):
    """Stands for any library's error; this module is not ours in the sense of the logs."""


def fail():
    raise LibraryError(f"no such mailbox: {ADDRESS}")


@pytest.mark.parametrize("log_format", ["json", "text"])
def test_a_foreign_exception_shows_where_and_not_what(capsys, log_format):
    configured(log_format=log_format)

    try:
        fail()
    except LibraryError:
        log.exception("sending failed")

    written = capsys.readouterr().err
    assert re.search(rf"{re.escape(__name__)}:\d+", written)
    assert "LibraryError" in written
    assert ADDRESS not in written
    assert "mailbox" not in written


def test_the_frames_are_innermost_last_with_the_causes_named(lines):
    try:
        try:
            fail()
        except LibraryError as error:
            raise RuntimeError(ADDRESS) from error
    except RuntimeError:
        log.exception("sending failed")

    (line,) = lines()
    assert line["exception"] == "RuntimeError"
    assert [cause.rpartition(".")[2] for cause in line["caused_by"]] == ["LibraryError"]
    assert ADDRESS not in str(line)


def test_endless_recursion_leaves_a_short_line(capsys):
    configured()

    def deeper():
        deeper()

    try:
        deeper()
    except RecursionError:
        log.exception("deep")

    written = capsys.readouterr().err
    line = json.loads(written)
    assert len(line["frames"]) == logs.MOST_FRAMES
    assert len(written) < 4096


def test_our_own_errors_are_told_in_full(lines):
    log.error("refused", exc_info=NotFound("There is no such delivery."))

    (line,) = lines()
    assert line["exception"] == "delivery.errors.NotFound"
    assert line["exception_text"] == "There is no such delivery."


@pytest.mark.parametrize("name", ["delivery.access", "gunicorn.error"])
def test_an_exception_as_the_message_is_its_class(lines, name):
    logging.getLogger(name).error(LibraryError(ADDRESS))

    assert lines()[0]["msg"] == "LibraryError"


def test_exception_without_an_exception_is_a_plain_line(lines):
    log.exception("nothing happened")  # noqa: LOG004

    assert "exception" not in lines()[0]


# Libraries


@pytest.mark.parametrize(
    ("name", "message", "args", "expected"),
    [
        ("gunicorn.error", "Booting worker with pid: %s", (4711,), "Booting worker with pid: 4711"),
        ("gunicorn.error", "Error handling request %s", ("/v?token=abc",), "Error handling request [hidden]"),
        ("gunicorn.error", f"Invalid request from ip=192.0.2.7: {ADDRESS}", (), "Invalid request from [hidden]"),
        (
            "rq.worker",
            "Worker %s: job %s failed\n%s",
            ("w1", "j-1", f"T: {ADDRESS}"),
            "Worker w1: job j-1 failed\n[hidden]",
        ),
        (
            "urllib3.connection",
            "Retry %(n)d of %(url)s",
            ({"n": 2, "url": "http://h/+4912345"},),
            "Retry 2 of [hidden]",
        ),
        ("delivery.app", "Exception on %s [%s]", ("/verify/abc", "GET"), "Exception on [hidden] [GET]"),
    ],
)
def test_of_a_library_the_template_numbers_and_identifiers_are_kept(lines, name, message, args, expected):
    logging.getLogger(name).warning(message, *args)

    assert [line["msg"] for line in lines()] == [expected]


@pytest.mark.parametrize("name", ["delivery.jobs", "redis.client"])
def test_arguments_that_do_not_fit_are_not_printed(name):
    record = logging.LogRecord(name, logging.INFO, "", 0, "sent %d", (ADDRESS,), None)

    assert json.loads(logs.JsonLines(flask_logger="").format(record))["msg"] == "sent %d"


@pytest.mark.parametrize("name", ["gunicorn.access", "werkzeug"])
def test_the_servers_own_access_logs_are_silent(lines, name):
    logging.getLogger(name).setLevel(logging.INFO)  # as they do themselves

    logs.adopt()
    logging.getLogger(name).info("GET /api/auth/verify?token=abc")

    assert lines() == []


@pytest.mark.parametrize("name", ["twilio.http_client", "sqlalchemy.engine.Engine"])
def test_what_repeats_requests_or_statements_is_silent(lines, name):
    logging.getLogger(name).info("To=+4915112345678")

    assert lines() == []


def test_flask_needs_no_handler_of_its_own(capsys):
    app = configured()

    app.logger.warning("seen")

    assert app.logger.handlers == []
    assert json.loads(capsys.readouterr().err)["msg"] == "seen"


def test_handlers_that_gunicorn_and_rq_have_set_up_are_taken_over(lines):
    for name in ("gunicorn.error", "rq.worker"):
        logging.getLogger(name).addHandler(logging.StreamHandler(io.StringIO()))
        logging.getLogger(name).propagate = False

    logs.adopt()
    logging.getLogger("gunicorn.error").warning("one")
    logging.getLogger("rq.worker").warning("two")

    assert [line["msg"] for line in lines()] == ["one", "two"]
    assert not logging.getLogger("gunicorn.error").handlers


def test_gunicorn_writes_nothing_but_json_once_it_has_loaded_the_app(tmp_path):
    (tmp_path / "small.py").write_text(
        "from flask import Flask\n"
        "from delivery import logs\n"
        "app = Flask('small')\n"
        "app.config.update(LOG_FORMAT='json', LOG_LEVEL='INFO')\n"
        "logs.init_app(app)\n"
    )
    (tmp_path / "conf.py").write_text(
        "import os, signal\n"
        "preload_app = True\n"
        "control_socket_disable = True\n"
        "bind = 'unix:app.sock'\n"
        "def post_worker_init(worker):\n"
        "    os.kill(os.getppid(), signal.SIGTERM)\n"
    )

    ended = subprocess.run(
        [sys.executable, "-m", "gunicorn", "-c", "conf.py", "small:app"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )

    said = [json.loads(line)["msg"] for line in ended.stderr.splitlines()]
    assert said[0].startswith("Starting gunicorn")
    assert any(text.startswith("Booting worker with pid: ") for text in said)
    assert ended.stdout == ""
