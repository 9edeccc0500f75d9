"""Where canaries must not get to: every key of Redis, every table that is not to hold what people wrote, the log."""

import base64
import itertools
import zlib

from sqlalchemy import select

from delivery.database import db

# Tables and columns that are there to hold what people wrote; every other one is searched, new ones too.
HOLDERS = frozenset({
    "auth_sessions.user_agent", "api_keys.name",  # shown to whom it belongs
    "invitations.email", "invitations.name", "former_emails.email",  # a mail goes there; gone with an erasure, or soon
    "webhook_endpoints.url", "webhook_endpoints.description",  # likewise
    "import_templates.name", "import_templates.settings",  # likewise
    "outbox_messages.body",  # its owner's own reference; tests/webhooks/ holds what else may stand in it
    "users", "deliveries", "delivery_event_details", "tags",
    "idempotency_keys",  # saved answers; erasure deletes them
})  # fmt: skip


def texts_of(value):
    """A stored value as text, and as what it is when it was packed: RQ packs what it keeps."""
    data = value if isinstance(value, bytes) else str(value).encode()
    yield data.decode(errors="replace")
    for unpack in (zlib.decompress, lambda packed: zlib.decompress(base64.b64decode(packed))):
        try:
            yield unpack(data).decode(errors="replace")
        except (zlib.error, ValueError):
            continue


def redis_texts(redis):
    """(where, text) of every key and value of Redis."""
    readers = {
        b"string": lambda key: [redis.get(key)],
        b"hash": lambda key: itertools.chain(*redis.hgetall(key).items()),
        b"list": lambda key: redis.lrange(key, 0, -1),
        b"set": redis.smembers,
        b"zset": lambda key: redis.zrange(key, 0, -1),
        b"stream": lambda key: [part for _, entry in redis.xrange(key) for pair in entry.items() for part in pair],
        b"none": lambda _: [],  # its time was up just now
    }
    for key in redis.scan_iter():
        for value in [key, *readers[redis.type(key)](key)]:
            for text in texts_of(value):
                yield f"redis {key.decode(errors='replace')}", text


def table_texts(app):
    """(where, text) of every value of every table that is not to hold what people wrote."""
    with app.app_context():
        for table in db.metadata.sorted_tables:
            for column in table.columns:
                if not {table.name, str(column)} & HOLDERS:
                    for value in db.session.execute(select(column)).scalars():
                        yield from ((str(column), text) for text in texts_of(value))


def leaks(app, canaries, *, log, redis):
    """{(where it was found, what it is)}."""
    places = [*redis_texts(redis), *table_texts(app), *((f"log: {line[:160]}", line) for line in log.splitlines())]
    return {(where, label) for where, content in places for label in canaries.found_in(content)}
