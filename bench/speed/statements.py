"""The floor's SQL: the session check with the first statement of the work, and the JSON of reads made by PostgreSQL."""

# A token is as alive as its session and its user.
_WHO = """
who AS (
    SELECT users.id FROM auth_sessions JOIN users ON users.id = auth_sessions.user_id
    WHERE auth_sessions.id = %(sid)s AND auth_sessions.revoked_at IS NULL AND auth_sessions.expires_at > now()
      AND users.active AND users.epoch = %(epoch)s AND users.role = 'customer'
)"""

# row_to_json writes no spaces, unlike json_build_object.
_BODY = """(SELECT row_to_json(shown)::text FROM (SELECT
    d.id, d.tracking_number, d.test, d.status, d.owner_id, d.courier_id, d.reference, d.item_name, d.description,
    (SELECT row_to_json(r) FROM (SELECT d.recipient_name AS name, d.recipient_email AS email,
        d.recipient_phone AS phone, d.recipient_locale AS locale) r) AS recipient,
    d.pickup, d.destination, d.package,
    (SELECT row_to_json(w) FROM (SELECT d.window_earliest AS earliest, d.window_latest AS latest) w) AS "window",
    d.requirements,
    ARRAY(SELECT tags.name FROM delivery_tags JOIN tags ON tags.id = delivery_tags.tag_id
          WHERE delivery_tags.delivery_id = d.id ORDER BY tags.name) AS tags,
    d.notifications, d.version, d.created_at, d.updated_at, d.picked_up_at) shown)"""

SHOW = f"""
WITH found AS (SELECT * FROM deliveries WHERE id = %(id)s AND deleted_at IS NULL), {_WHO}
SELECT d.version, d.status, d.picked_up_at IS NOT NULL, CASE WHEN d.id IS NOT NULL THEN {_BODY} END
FROM who LEFT JOIN found d ON d.owner_id = who.id"""

# The limit as text: with a parameter PostgreSQL would plan anew each time.
INDEX = f"""
WITH {_WHO}
SELECT d.id, d.status, d.picked_up_at IS NOT NULL, CASE WHEN d.id IS NOT NULL THEN {_BODY} END
FROM who LEFT JOIN LATERAL (
    SELECT * FROM deliveries WHERE owner_id = who.id AND deleted_at IS NULL ORDER BY id DESC LIMIT {{}}
) d ON true"""

CREATE = f"""
WITH {_WHO}
INSERT INTO deliveries (id, owner_id, tracking_number, item_name, status, recipient_name, recipient_email,
    recipient_phone, recipient_locale, destination, requirements, version, created_at, updated_at)
SELECT %(id)s, who.id, %(number)s, %(item_name)s, 'pending', %(recipient_name)s, %(recipient_email)s,
    %(recipient_phone)s, 'en', %(destination)s, %(requirements)s, 1, %(now)s, %(now)s FROM who"""

APPEND = """
INSERT INTO delivery_events (delivery_id, seq, kind, to_state, actor_type, actor_id, request_id, occurred_at,
    recorded_at)
VALUES (%(id)s, 1, 'moved', 'pending', 'user', %(owner_id)s, %(request_id)s, %(now)s, %(now)s)"""

TELL = """
INSERT INTO outbox_messages (id, channel, audience, recipient_id, delivery_id, seq, event, template, locale, lane, data,
    state, attempts, next_at, created_at, request_id)
SELECT message.id, 'mail', message.audience, message.recipient_id, %(id)s, 1, 'created', 'created', message.locale,
    'mail:' || message.recipient_id || ':' || %(id)s::uuid, '{}', 'pending', 0, now(), now(), %(request_id)s
FROM (VALUES
    (%(mail_to_sender)s::uuid, 'sender', %(owner_id)s::uuid, NULL),
    (%(mail_to_recipient)s::uuid, 'recipient', %(id)s::uuid, 'en')
) message (id, audience, recipient_id, locale)"""

CREDENTIALS = "SELECT id, epoch, password_hash FROM users WHERE email = %s AND active AND email_verified_at IS NOT NULL"
OPEN_SESSION = """
WITH opened AS (
    INSERT INTO auth_sessions (id, user_id, epoch, created_at, expires_at)
    VALUES (%(sid)s, %(user_id)s, %(epoch)s, %(now)s, %(ends)s)
)
INSERT INTO refresh_tokens (hash, session_id, created_at, expires_at) VALUES (%(hash)s, %(sid)s, %(now)s, %(ends)s)"""
