"""The benchmark of sending: each part measures what it says, on a handful of messages, by the real workers."""

import importlib
import smtplib
import ssl
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "bench"))  # as it is when bench/sending.py runs
outbox = importlib.import_module("sending.outbox")
parts = importlib.import_module("sending.parts")
processes = importlib.import_module("sending.processes")
sinks = importlib.import_module("sending.sinks")

pytestmark = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)


@pytest.fixture
def bench(request, app, redis_server, tmp_path, monkeypatch):
    """A system with deliveries to tell of; its workers share the app's keys."""
    root = Path(parts.__file__).parents[2]
    monkeypatch.setenv("PYTHONPATH", f"{root}:{root / 'bench'}")
    with sinks.sink(getattr(request, "param", "smtp"), tmp_path, distance_seconds=0.001) as smtp, app.app_context():
        given = processes.settings(
            database_url=app.config["DATABASE_URL"], redis_url=redis_server.url, folder=tmp_path, smtp=smtp
        )
        outbox.seed(30)
        yield parts.Bench({**given, "SECRET_KEY": app.config["SECRET_KEY"]}, tmp_path, smtp, workers=1)


@pytest.mark.parametrize("bench", ["smtp", "submission"], indirect=True)
def test_mail_is_measured_beside_smtplib_and_forks(bench):
    lines = list(parts.mail(bench, rounds=1, mails=20, forked_mails=2))
    assert [line.aim for line in lines[:2]] == [">= 80 %", ">= 15"]
    assert {name: len(speeds) for name, speeds in bench.figures["mail"].items()} == {
        "worker": 1, "bare": 1, "forked": 1,
    }  # fmt: skip
    assert all(speed.per_second > 1 for speeds in bench.figures["mail"].values() for speed in speeds)


def test_latency_and_memory_are_measured(bench):
    idle, queued = parts.latency(bench, fresh=3, queued=10)
    assert (idle.aim, queued.aim) == ("< 1 s", "< 5 s")
    [line] = parts.memory(bench, checkpoints=(5, 10), chunk=5)
    assert [sent for sent, *_ in bench.figures["memory"]] == [0, 5, 10]
    assert all(pss > 10 and uss > 1 for _, pss, uss in bench.figures["memory"])
    assert line.met


def test_webhooks_are_measured(bench):
    whole, at_once = parts.http(bench, messages=12, endpoints=3, answer_seconds=0.01)
    assert (whole.met, at_once.met) == (True, True)


def test_an_empty_sweep_is_measured_beside_settled_messages(bench):
    statement, whole = parts.empty_sweep(bench, settled_rows=50, runs=3)
    assert statement.aim == "< 1 ms"
    assert "50 settled" in whole.what


def test_the_sink_takes_several_commands_in_one_piece(bench):
    bench.smtp.clear()
    with smtplib.SMTP("127.0.0.1", bench.smtp.port, local_hostname="localhost") as smtp:
        smtp.ehlo()
        smtp.send(b"MAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nDATA\r\n")
        assert [smtp.getreply()[0] for _ in range(3)] == [250, 250, 354]
        smtp.send(b"Message-ID: <some-id@b.example>\r\n\r\nText\r\n.\r\n")
        assert smtp.getreply()[0] == 250
    assert [one.id for one in bench.smtp.came()] == ["some-id"]


@pytest.mark.parametrize("bench", ["submission"], indirect=True)
def test_the_sink_for_submission_takes_nothing_without_tls_and_a_sign_in(bench):
    given = bench.smtp.settings()
    with smtplib.SMTP("127.0.0.1", bench.smtp.port, local_hostname="localhost") as smtp:
        with pytest.raises(smtplib.SMTPNotSupportedError):
            smtp.login(given["SMTP_USER"], given["SMTP_PASSWORD"])
        smtp.starttls(context=ssl.create_default_context(cafile=given["SSL_CERT_FILE"]))
        smtp.ehlo()
        assert smtp.mail("a@b.example")[0] == 530
        with pytest.raises(smtplib.SMTPAuthenticationError):
            smtp.login(given["SMTP_USER"], "another password")
        smtp.login(given["SMTP_USER"], given["SMTP_PASSWORD"])
        assert smtp.mail("a@b.example")[0] == 250
