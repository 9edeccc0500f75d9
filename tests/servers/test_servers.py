"""The fakes and servers do what tests will trust them to do."""

import smtplib
import ssl
import subprocess
import sys
from pathlib import Path

import boto3
import botocore.exceptions
import psutil
import psycopg
import pytest
import redis
import requests
from sqlalchemy import make_url
from twilio.base.exceptions import TwilioRestException
from twilio.rest import Client

from tests.servers.folders import short_folder
from tests.servers.processes import alive
from tests.servers.waiting import wait_until

MAIL = "From: a@example.com\r\nTo: b@example.com\r\nSubject: Grüße\r\n\r\nHello\r\n".encode()


def connection_info(url):
    parts = make_url(url)
    return {"host": parts.query["host"], "user": parts.username, "dbname": parts.database}


def test_databases_are_separate_and_gone_afterwards(postgres, postgres_url):
    with postgres.database() as other:
        with psycopg.connect(**connection_info(other)) as connection:
            connection.execute("CREATE TABLE only_here (id int)")
        with psycopg.connect(**connection_info(postgres_url)) as connection:
            assert connection.execute("SELECT to_regclass('only_here')").fetchone() == (None,)
    with pytest.raises(psycopg.OperationalError, match="does not exist"):
        psycopg.connect(**connection_info(other))


def test_a_new_postgres_database_may_copy_another(new_postgres_database):
    original = new_postgres_database()
    with psycopg.connect(**connection_info(original)) as connection:
        connection.execute("CREATE TABLE copied (id int)")
    copy = new_postgres_database(template=make_url(original).database)
    with psycopg.connect(**connection_info(copy)) as connection:
        assert connection.execute("SELECT count(*) FROM copied").fetchone() == (0,)


def test_redis_keeps_its_data_through_a_kill(redis_server):
    client = redis_server.client()
    client.set("key", "value")
    # While the disk is slow to sync, the server answers up to two seconds before it writes.
    wait_until(lambda: client.info("persistence")["aof_buffer_length"] == 0, what="the write", seconds=10)
    redis_server.kill()
    with pytest.raises(redis.ConnectionError):
        client.ping()
    redis_server.start()
    assert client.get("key") == b"value"


def test_a_frozen_redis_answers_nobody_until_thawed(redis_server):
    client = redis.Redis.from_url(redis_server.url, socket_timeout=0.1, retry=None)
    redis_server.freeze()
    with pytest.raises(redis.TimeoutError):
        client.ping()
    redis_server.thaw()
    assert client.ping()


def test_redis_is_empty_for_each_test(redis_server):
    assert redis_server.client().dbsize() == 0


def test_smtp_keeps_the_mail_as_sent(smtp):
    with smtplib.SMTP(smtp.host, smtp.port) as client:
        client.sendmail("a@example.com", ["b@example.com", "c@example.com"], MAIL)
    [mail] = smtp.wait_for(1)
    assert (mail.mail_from, mail.rcpt_tos, mail.raw) == ("a@example.com", ["b@example.com", "c@example.com"], MAIL)
    assert not mail.tls
    assert mail.message["To"] == "b@example.com"


def test_smtp_starttls_and_login(smtp):
    smtp.logins["user"] = "password"
    context = ssl.create_default_context(cafile=smtp.certificate)
    with smtplib.SMTP("localhost", smtp.port) as client:
        client.starttls(context=context)
        client.ehlo()
        assert client.docmd("MAIL FROM:<a@example.com>")[0] == 530
        with pytest.raises(smtplib.SMTPAuthenticationError):
            client.login("user", "wrong")
        client.login("user", "password")
        client.sendmail("a@example.com", ["b@example.com"], MAIL)
    [mail] = smtp.received
    assert (mail.tls, mail.user) == (True, "user")


def test_smtp_tls_from_the_first_byte(smtp):
    context = ssl.create_default_context(cafile=smtp.certificate)
    with smtplib.SMTP_SSL("localhost", smtp.tls_port, context=context) as client:
        client.sendmail("a@example.com", ["b@example.com"], MAIL)
    assert smtp.received[0].tls


def test_smtp_certificate_is_refused_by_those_who_do_not_know_it(smtp):
    with pytest.raises(ssl.SSLCertVerificationError):
        smtplib.SMTP_SSL("localhost", smtp.tls_port, context=ssl.create_default_context())


def test_smtp_refuses_as_scripted(smtp):
    smtp.refuse_recipient("550 5.1.1 No such user", address="b@example.com")
    smtp.refuse_data("451 4.3.0 Later")
    with smtplib.SMTP(smtp.host, smtp.port) as client:
        with pytest.raises(smtplib.SMTPRecipientsRefused):
            client.sendmail("a@example.com", ["b@example.com"], MAIL)
        with pytest.raises(smtplib.SMTPDataError) as caught:
            client.sendmail("a@example.com", ["b@example.com"], MAIL)
        assert caught.value.smtp_code == 451
        assert smtp.received == []
        client.sendmail("a@example.com", ["b@example.com"], MAIL)
    assert len(smtp.received) == 1


def test_smtp_drops_after_data_but_has_the_mail(smtp):
    smtp.drop_after_data()
    client = smtplib.SMTP(smtp.host, smtp.port)
    with pytest.raises(smtplib.SMTPServerDisconnected):
        client.sendmail("a@example.com", ["b@example.com"], MAIL)
    client.close()
    assert len(smtp.received) == 1


def test_smtp_refuses_a_connection_then_dawdles(smtp):
    smtp.refuse_connections()
    with pytest.raises(smtplib.SMTPConnectError):
        smtplib.SMTP(smtp.host, smtp.port)
    smtp.banner_delay = 5
    with pytest.raises(smtplib.SMTPServerDisconnected, match="timed out"):
        smtplib.SMTP(smtp.host, smtp.port, timeout=0.1)


@pytest.fixture
def twilio_client(twilio):
    client = Client(twilio.account, twilio.token)
    original = client.http_client.request
    client.http_client.request = lambda method, url, *args, **options: original(
        method, url.replace("https://api.twilio.com", twilio.url), *args, **options
    )
    yield client
    client.http_client.session.close()


def test_twilio_accepts_fetches_and_lists(twilio, twilio_client):
    sent = twilio_client.messages.create(to="+15005550006", from_="+15005550001", body="Grüße")
    assert (sent.status, sent.body, sent.error_code) == ("queued", "Grüße", None)
    assert twilio_client.messages(sent.sid).fetch().to == "+15005550006"
    assert [message.sid for message in twilio_client.messages.list(to="+15005550006")] == [sent.sid]
    assert twilio_client.messages.list(to="+15005550007") == []
    assert twilio.messages[0]["sid"] == sent.sid


@pytest.mark.parametrize(
    ("script", "status", "code"),
    [
        (lambda twilio: twilio.refuse_number("+15005550006"), 400, 21211),
        (lambda twilio: twilio.limit(), 429, 20429),
        (lambda twilio: twilio.fail(500), 500, 20500),
    ],
)
def test_twilio_fails_as_scripted_and_then_no_more(twilio, twilio_client, script, status, code):
    script(twilio)
    with pytest.raises(TwilioRestException) as caught:
        twilio_client.messages.create(to="+15005550006", from_="+15005550001", body="Hi")
    assert (caught.value.status, caught.value.code) == (status, code)
    assert twilio.messages == []
    twilio_client.messages.create(to="+15005550006", from_="+15005550001", body="Hi")
    assert len(twilio.messages) == 1


def test_twilio_wants_its_password(twilio):
    url = f"{twilio.url}/2010-04-01/Accounts/{twilio.account}/Messages.json"
    answer = requests.post(url, data={"To": "+1", "Body": "Hi"}, auth=(twilio.account, "wrong"), timeout=5)
    assert (answer.status_code, answer.json()["code"]) == (401, 20003)


def test_twilio_limits_with_retry_after_and_drops_after_accepting(twilio):
    url, login = f"{twilio.url}/2010-04-01/Accounts/{twilio.account}/Messages.json", (twilio.account, twilio.token)
    twilio.limit(retry_after=7)
    assert requests.post(url, data={"To": "+1", "Body": "Hi"}, auth=login, timeout=5).headers["Retry-After"] == "7"
    twilio.drop_after_accept()
    with pytest.raises(requests.ConnectionError):
        requests.post(url, data={"To": "+1", "Body": "Hi"}, auth=login, timeout=5)
    assert len(twilio.messages) == 1


def test_twilio_may_be_slow(twilio):
    twilio.delay = 5
    with pytest.raises(requests.ReadTimeout):
        requests.get(twilio.url, timeout=0.1)


def sns_client(sns):
    keys = {"aws_access_key_id": "a", "aws_secret_access_key": "b"}
    config = boto3.session.Config(retries={"total_max_attempts": 1})
    return boto3.client("sns", endpoint_url=sns.url, region_name=sns.region, config=config, **keys)


def test_sns_keeps_what_was_published(sns):
    published = sns_client(sns).publish(PhoneNumber="+15005550006", Message="Grüße")
    [message] = sns.messages
    assert (message.id, message.to, message.body) == (published["MessageId"], "+15005550006", "Grüße")


def test_sns_fails_as_scripted_and_then_no_more(sns):
    client = sns_client(sns)
    sns.fail(400, code="Throttling")
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        client.publish(PhoneNumber="+15005550006", Message="Hi")
    assert caught.value.response["Error"]["Code"] == "Throttling"
    assert sns.messages == []
    client.publish(PhoneNumber="+15005550006", Message="Hi")
    assert len(sns.messages) == 1


HOLD = """
import sys
sys.path.insert(0, {root!r})
from tests.servers.postgres import postgres_server
from tests.servers.redis import redis_server
with postgres_server() as postgres, redis_server() as redis:
    print(postgres.folder, redis.folder, flush=True)
    sys.stdin.read()
"""


def test_servers_die_with_a_killed_owner():
    root = str(Path(__file__).parents[2])
    with subprocess.Popen(
        [sys.executable, "-c", HOLD.format(root=root)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as owner:
        folders = owner.stdout.readline().split()
        assert len(folders) == 2
        servers = psutil.Process(owner.pid).children(recursive=True)
        assert {"postgres", "valkey-server"} & {server.name() for server in servers}
        owner.kill()
    wait_until(lambda: not any(alive(server) for server in servers), what="servers gone")
    for prefix in ("pg-", "redis-"):
        with short_folder(prefix):
            assert not any(Path(folder).exists() for folder in folders if Path(folder).name.startswith(prefix))


def test_a_receiver_keeps_requests_and_answers_challenges(receiver):
    challenge = {"type": "endpoint.verify", "data": {"challenge": "c1"}}
    assert requests.post(f"{receiver.url}/a", json=challenge, timeout=5).json() == {"challenge": "c1"}
    assert requests.post(f"{receiver.url}/a", json={"type": "x"}, headers={"webhook-id": "1"}, timeout=5).ok
    assert [(request.path, request.type, request.id) for request in receiver.requests] == [
        ("/a", "endpoint.verify", None),
        ("/a", "x", "1"),
    ]
    assert receiver.connections == 2


def test_a_receiver_fails_as_scripted_and_then_no_more(receiver):
    receiver.limit(7, path="/a")
    receiver.redirect("http://127.0.0.1:1/")
    receiver.reset()
    assert requests.post(f"{receiver.url}/b", data=b"{}", timeout=5, allow_redirects=False).status_code == 302
    refused = requests.post(f"{receiver.url}/a", data=b"{}", timeout=5)
    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "7")
    with pytest.raises(requests.ConnectionError):
        requests.post(f"{receiver.url}/b", data=b"{}", timeout=5)
    assert requests.post(f"{receiver.url}/b", data=b"{}", timeout=5).status_code == 204
    assert len(receiver.requests) == 4


def test_a_receiver_drips(receiver):
    receiver.drip(seconds=0.01)
    answer = requests.post(receiver.url, data=b"{}", timeout=5, stream=True)
    assert next(answer.iter_content(3)) == b"xxx"
    answer.close()
