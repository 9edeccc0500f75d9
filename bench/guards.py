"""Measures what idempotency, ETag and validation add to a create, on a private PostgreSQL on disk and Valkey.

`scripts/bench guards` sends the same creation, in one process and one at a time, with all three and without: no key, no
ETag, and a body that is read as JSON, but was loaded before. Both take turns in short blocks, so that a busy machine
disturbs both alike; it prints the medians of the time that passed and of this process's processor time, and the ratio
of each pair of blocks.
"""

import argparse
import itertools
import statistics
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

import orjson
from flask import request

from delivery.app import create_app
from delivery.deliveries import routes
from delivery.deliveries.schemas import DeliveryIn
from delivery.web import answer
from delivery.web.body import Parser
from tests.conftest import migrate, settings
from tests.factories import People, delivery_in
from tests.servers.postgres import DURABLE, postgres_server
from tests.servers.redis import redis_server

_keys = itertools.count(1)
BODY = delivery_in()


@contextmanager
def nothing():
    """Take the three away."""
    loaded = DeliveryIn().load(BODY)

    def unread(*_args, **_options):
        orjson.loads(request.get_data(cache=True))
        return {**loaded}

    def bare(body, *, location):
        return answer(body, 201, headers={"Location": location})

    with patch.object(Parser, "parse", unread), patch.object(routes, "created", bare):
        yield


def block(api, count, *, keyed):
    """The seconds of time and of processor time that a request took."""
    began, spent = time.perf_counter(), time.process_time()
    for _ in range(count):
        headers = {"Idempotency-Key": f"key-{next(_keys)}"} if keyed else {}
        response = api.post("/api/deliveries", json=BODY, headers=headers)
        assert response.status_code == 201, response.text
    return (time.perf_counter() - began) / count, (time.process_time() - spent) / count


def pair(api, count, *, guarded_first):
    """A block with and a block without; which comes first changes, for what was first finds colder caches."""
    if guarded_first:
        guarded = block(api, count, keyed=True)
    with nothing():
        bare = block(api, count, keyed=False)
    if not guarded_first:
        guarded = block(api, count, keyed=True)
    return guarded, bare


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=40, help="of blocks (default: %(default)s)")
    parser.add_argument("--requests", type=int, default=25, help="in a block (default: %(default)s)")
    args = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="bench-")))
        url = stack.enter_context(stack.enter_context(postgres_server(settings=DURABLE)).database())
        redis_url = stack.enter_context(redis_server()).url
        given = {"DATABASE_URL": url, "REDIS_URL": redis_url, "LOG_LEVEL": "WARNING"}
        migrate(folder, **given)
        app = create_app(settings(folder, **given))
        api = People(app).customer()
        block(api, args.requests, keyed=True)
        pairs = [pair(api, args.requests, guarded_first=bool(one % 2)) for one in range(args.pairs)]
    for name, at in (("time", 0), ("processor time", 1)):
        with_all, bare = ([one[side][at] * 1000 for one in pairs] for side in (0, 1))
        ratios = [one / other for one, other in zip(with_all, bare, strict=True)]
        quarters = statistics.quantiles(ratios, n=4)
        print(f"{name}: with {statistics.median(with_all):.2f} ms, without {statistics.median(bare):.2f} ms,"
              f" ratio {quarters[1]:.3f} (quartiles {quarters[0]:.3f} to {quarters[2]:.3f})")  # fmt: skip


if __name__ == "__main__":
    main()
