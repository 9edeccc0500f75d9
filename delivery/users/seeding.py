"""Believable people: the same ones for the same seed, and none of them real."""

import secrets
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from flask import current_app

from delivery import clock
from delivery.users.schemas import LONGEST_PASSWORD
from delivery.users.states import Role

if TYPE_CHECKING:
    from faker import Faker

# Nobody ever gets mail there (RFC 2606, 3).
DOMAINS = ("example.com", "example.net", "example.org")
ZONES = ("America/New_York", "America/Chicago", "America/Denver", "America/Los_Angeles")
SHORTEST_PASSWORD = 20
_NUMBERS = range(10, 100_000)


class Person(NamedTuple):
    name: str
    email: str
    phone: str


def source(seed: int | str) -> "Faker":
    """Return a source of names; its `random` decides everything else, too."""
    from faker import Faker  # noqa: PLC0415  # only who seeds needs it, and every process loads this module

    faker = Faker("en_US", use_weighting=False)
    faker.seed_instance(seed)
    return faker


def person(faker: "Faker", *, area: int) -> Person:
    """Invent somebody with a telephone in an area: NANPA keeps 555-0100 to 555-0199 for fiction."""
    first, last = faker.first_name(), faker.last_name()
    number, domain = faker.random.choice(_NUMBERS), faker.random.choice(DOMAINS)
    email = f"{first}.{last}{number}@{domain}".lower().replace("'", "").replace(" ", "")
    return Person(f"{first} {last}", email, f"+1{area}55501{faker.random.randrange(100):02}")


def accounts(count: int, *, role: Role, seed: int, password_hash: str) -> Iterator[dict[str, Any]]:
    """Yield rows for users.services.seed: people who have confirmed their address and share a password."""
    faker = source(f"{seed} {role}")
    taken: set[str] = set()
    while len(taken) < count:
        somebody = person(faker, area=212)
        zone = faker.random.choice(ZONES)
        if somebody.email not in taken:
            taken.add(somebody.email)
            yield {
                **somebody._asdict(),
                "role": role,
                "time_zone": zone,
                "password_hash": password_hash,
                "email_verified_at": clock.now(),
            }


def new_password() -> str:
    """Return a random password, longer than any that the settings ask for."""
    length = max(SHORTEST_PASSWORD, current_app.config["PASSWORD_MIN_LENGTH"])
    return secrets.token_urlsafe(LONGEST_PASSWORD)[:length]
