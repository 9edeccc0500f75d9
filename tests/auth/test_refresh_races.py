"""Refreshing at the same moment, from two apps with connections of their own: one winner, and never a live loser."""

import multiprocessing

import pytest
from sqlalchemy import func, select

from delivery.app import create_app
from delivery.auth.models import RefreshToken
from delivery.database import db
from tests.auth.signing_in import as_granted, refresh
from tests.conftest import close, settings
from tests.web.answers import problem
from tests.web.racing import race

ROUNDS = 8


@pytest.fixture
def clients(make_app):
    """Call it for a client of each of two apps in turn, like the processes of one server."""
    apps = [make_app(), make_app()]
    return lambda count: [apps[number % 2].test_client() for number in range(count)]


def test_eight_at_once_get_one_and_the_same_successor(app, people, clients):
    user = people.customer()
    answers = race(*[lambda client=client: refresh(client, user.refresh_token) for client in clients(8)])

    assert [answer.status_code for answer in answers] == 8 * [200]
    [successor] = {answer.json["refresh_token"] for answer in answers}
    assert len({answer.json["access_token"] for answer in answers}) == 8
    for answer in answers:
        assert as_granted(user, answer.json).get("/api/auth/me").status_code == 200
    with app.app_context():
        assert db.session.scalar(select(func.count()).select_from(RefreshToken)) == 2
    assert refresh(app.test_client(), successor).status_code == 200


def refresh_in_a_process(config, token, start, answers):
    """Four threads of a process of its own refresh one token, when the other process is ready."""
    app = create_app(config)
    start.wait(20)
    for answer in race(*[lambda: refresh(app.test_client(), token)] * 4):
        answers.put((answer.status_code, answer.json["refresh_token"]))
    close(app)


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_so_it_is_across_processes(app, people, database_url, redis_server, tmp_path):
    user, context = people.customer(), multiprocessing.get_context("fork")
    start, answers = context.Barrier(2), context.Queue()
    config = settings(tmp_path, DATABASE_URL=database_url, REDIS_URL=redis_server.url)
    arguments = (config, user.refresh_token, start, answers)
    processes = [context.Process(target=refresh_in_a_process, args=arguments) for _ in range(2)]
    for process in processes:
        process.start()
    answered = {answers.get(timeout=40) for _ in range(8)}
    for process in processes:
        process.join(10)

    [(status, successor)] = answered
    assert status == 200
    with app.app_context():
        assert db.session.scalar(select(func.count()).select_from(RefreshToken)) == 2
    assert refresh(app.test_client(), successor).status_code == 200


ENDINGS = {
    "logging out everywhere": lambda client, _, user: client.post("/api/auth/logout-all", headers=user.headers),
    "deactivation": lambda client, admin, user: client.patch(
        f"/api/users/{user.user_id}", json={"active": False}, headers={**admin.headers, "If-Match": "*"}
    ),
    "another role": lambda client, admin, user: client.patch(
        f"/api/users/{user.user_id}", json={"role": "courier"}, headers={**admin.headers, "If-Match": "*"}
    ),
}


@pytest.mark.parametrize("name", ENDINGS)
def test_whoever_wins_nothing_is_alive_after_the_end(people, clients, name):
    admin = people.admin()
    for _ in range(ROUNDS):
        user = people.customer()
        one, other = clients(2)
        answer, ended = race(
            lambda client=one, user=user: refresh(client, user.refresh_token),
            lambda client=other, user=user: ENDINGS[name](client, admin, user),
        )
        assert ended.status_code in {200, 204}, ended.text
        assert answer.status_code in {200, 401}, answer.text
        problem(user.get("/api/auth/me"), 401)
        problem(refresh(one, user.refresh_token), 401)
        if answer.status_code == 200:
            problem(as_granted(user, answer.json).get("/api/auth/me"), 401)
            problem(refresh(one, answer.json["refresh_token"]), 401)
