"""REDIS_URL taken apart where it names Sentinels; tests/notifications/test_sentinel.py kills real ones."""

import pytest

from delivery.sentinel import Address, client_of, is_behind_sentinels

WHOLE = "rediss+sentinel://delivery:p%2Fw@one:26380,[::1],two/main/3?sentinel_password=s%26t"


def test_every_part_of_the_address_reaches_its_client():
    address = Address.of(WHOLE)
    assert address.sentinels == [("one", 26380), ("::1", 26379), ("two", 26379)]
    assert address.master == "main"
    assert address.connection() == {"db": 3, "username": "delivery", "password": "p/w", "ssl": True}
    assert address.asking()["password"] == "s&t"
    pool = client_of(WHOLE, socket_connect_timeout=0.2).connection_pool
    assert pool.service_name == "main"
    assert pool.connection_kwargs["password"] == "p/w"
    assert pool.connection_kwargs["socket_connect_timeout"] == 0.2
    asked = pool.sentinel_manager.sentinels[1].connection_pool.connection_kwargs
    assert (asked["host"], asked["port"], asked["password"]) == ("::1", 26379, "s&t")


@pytest.mark.parametrize("url", ["redis+sentinel://one/main", "redis+sentinel://one/main/"])
def test_what_is_left_out_has_a_default(url):
    address = Address.of(url)
    assert address.connection() == {"db": 0, "username": None, "password": None, "ssl": False}
    assert address.asking()["password"] is None


def test_rq_is_told_in_its_own_words():
    told = Address.of(WHOLE).for_rq()
    assert told["INSTANCES"][0] == ("one", 26380)
    assert (told["MASTER_NAME"], told["CONNECTION_KWARGS"]["db"]) == ("main", 3)


def test_other_addresses_are_left_alone():
    assert not is_behind_sentinels("redis://one:6379/0")
    assert client_of("redis://one:6379/4").connection_pool.connection_kwargs["db"] == 4
