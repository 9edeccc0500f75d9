"""What is held about somebody, and where: each source is a file of an export, and one more is one line."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, LargeBinary, Row, Select, String, Uuid, and_, or_, select, tuple_
from sqlalchemy.sql.expression import bindparam

from delivery.audit.models import AuditEntry
from delivery.auth.models import ApiKey, AuthSession, Invitation
from delivery.database import reader
from delivery.deliveries.models import Delivery, DeliveryEvent, DeliveryEventDetail
from delivery.deliveries.queries import COLUMNS
from delivery.deliveries.schemas import delivery_out, event_out
from delivery.imports.models import Import, ImportTemplate
from delivery.notifications.models import OutboxMessage
from delivery.notifications.opt_outs import OptOut, address_hash
from delivery.notifications.preferences import NotificationPreference
from delivery.notifications.states import Channel
from delivery.users.models import FormerEmail, User
from delivery.users.schemas import user_out
from delivery.webhooks.models import WebhookEndpoint

PAGE = 500
Shown = Callable[[Row[Any]], dict[str, Any]]


def _as_it_is(row: Row[Any]) -> dict[str, Any]:
    return dict(row._mapping)  # noqa: SLF001  # public by its documentation


@dataclass(frozen=True, slots=True)
class Source:
    """A file's name, what it is, and its rows, in the order of `key`; the query's parameters say about whom."""

    name: str
    about: str
    query: Select[Any]
    key: Sequence[ColumnElement[Any]]
    shown: Shown = _as_it_is


def rows(source: Source, **who: Any) -> Iterator[dict[str, Any]]:
    """Yield what a source holds about somebody, read page by page."""
    query = source.query.order_by(*source.key).limit(PAGE)
    page = reader().execute(query, who).all()
    while page:
        yield from map(source.shown, page)
        position = tuple(getattr(page[-1], str(column.key)) for column in source.key)
        more = len(page) == PAGE
        page = reader().execute(query.where(tuple_(*source.key) > position), who).all() if more else []


def _plain(name: str, about: str, mine: ColumnElement[Any], columns: str) -> Source:
    """Build a source of some columns of one table, the first its key, where the column `mine` is the person's id."""
    chosen = [mine.table.c[column] for column in columns.split()]
    return Source(name, about, select(*chosen).where(mine == _WHO), chosen[:1])


def _account(row: Row[Any]) -> dict[str, Any]:
    return {**user_out(row), "new_email": row.new_email}


def _delivery(row: Row[Any]) -> dict[str, Any]:
    shown = delivery_out(row, allowed=[])
    del shown["allowed_transitions"]
    return shown


def _received(row: Row[Any]) -> dict[str, Any]:
    shown = _delivery(row)
    return {name: shown[name] for name in _RECEIVED}


def _wanted(row: Row[Any]) -> dict[str, Any]:
    return {"email": row.new_email}  # whose account it is, is not theirs to know


def _event(row: Row[Any]) -> dict[str, Any]:
    return {"delivery_id": row.delivery_id, **event_out(row, staff=True)}


def _told(row: Row[Any]) -> dict[str, Any]:
    shown = _event(row)
    return {name: shown[name] for name in ("delivery_id", "to_state", "public_note", "occurred_at")}


def account(user_id: UUID) -> dict[str, Any]:
    """Return the parameters of OF_ACCOUNT."""
    query = select(User.email, User.phone).where(User.id == user_id)
    row = reader().execute(query).one_or_none()
    return {"who": user_id, **(_hashes(row.email, row.phone) if row else _hashes(None, None))}


def recipient(*, email: str | None, phone: str | None) -> dict[str, Any]:
    """Return the parameters of OF_RECIPIENT."""
    return {"email": email, "phone": phone, **_hashes(email, phone)}


def _hashes(email: str | None, phone: str | None) -> dict[str, bytes | None]:
    """Return by which hashes preferences and opt-outs of an address and a number are kept."""
    return {
        "mail_hash": address_hash(Channel.MAIL, email) if email else None,
        "sms_hash": address_hash(Channel.SMS, phone) if phone else None,
    }


_WHO = bindparam("who", type_=Uuid())
_sessions, _entries, _messages = AuthSession.__table__.c, AuditEntry.__table__.c, OutboxMessage.__table__.c
_users, _keys, _former = User.__table__.c, ApiKey.__table__.c, FormerEmail.__table__.c
_invitations, _wishes, _opt_outs = Invitation.__table__.c, NotificationPreference.__table__.c, OptOut.__table__.c
_hooks = WebhookEndpoint.__table__.c
_asked, _ways = Import.__table__.c, ImportTemplate.__table__.c
_deliveries, _events, _details = Delivery.__table__.c, DeliveryEvent.__table__.c, DeliveryEventDetail.__table__.c
_OWNED, _CAUSED = select(*COLUMNS).where(_deliveries.owner_id == _WHO), _events.actor_id == _WHO
_EVENTS = select(*_events, _details.note, _details.public_note, _details.lat, _details.lng).join_from(
    DeliveryEvent.__table__,
    DeliveryEventDetail.__table__,
    and_(_details.delivery_id == _events.delivery_id, _details.seq == _events.seq),
    isouter=True,
)
_BY_ID, _BY_EVENT = (_deliveries.id,), (_events.delivery_id, _events.seq)
_MESSAGE = "id created_at channel event template state settled_at delivery_id"
_SESSION = "id created_at refreshed_at expires_at revoked_at user_agent"
_KEY = "id name hint scopes created_at expires_at last_used_at rolled_at revoked_at"
_HOOK = "id url description events status created_at verified_at failing_since"
_IMPORT = "id filename state created_at finished_at"
_INVITATION = "id email name role created_at accepted_at"
_OPT_OUT = "id channel source since ended_by ended_at"
_WISH = "id cells locale quiet_from quiet_to quiet_zone updated_at"
_ENTRY = "seq at act actor_type actor_id object_type object_id details"
_RECEIVED = (
    "id", "tracking_number", "status", "item_name", "recipient", "destination", "window",
    "created_at", "updated_at", "picked_up_at",
)  # fmt: skip
# With a literal condition, so that each finds its partial index.
_ALIVE = _deliveries.deleted_at.is_(None)
_EMAIL, _PHONE = bindparam("email", type_=String()), bindparam("phone", type_=String())
_HASHES = (bindparam("mail_hash", type_=LargeBinary()), bindparam("sms_hash", type_=LargeBinary()))
_INVITED = select(*(_invitations[name] for name in _INVITATION.split())).where(_invitations.email == _EMAIL)
_THEIRS = or_(_deliveries.recipient_email == _EMAIL, _deliveries.recipient_phone == _PHONE)

_OPTED_OUT = Source(
    "opt_outs",
    "When your address or number wanted no messages about deliveries, and how you said so; kept as a hash, for ever.",
    select(*(_opt_outs[name] for name in _OPT_OUT.split())).where(_opt_outs.address_hash.in_(_HASHES)),
    (_opt_outs.id,),
)
# About `who`, the id of an account.
OF_ACCOUNT = (
    Source("account", "Your account.", select(User.__table__).where(User.id == _WHO), (User.__table__.c.id,), _account),
    _plain("former_addresses", "Addresses that you had until a week ago.", _former.user_id, "id email changed_at"),
    Source("deliveries", "Your deliveries, with recipients and tags.", _OWNED.where(_ALIVE), _BY_ID, _delivery),
    Source("deleted_deliveries", "Those that you deleted.", _OWNED.where(~_ALIVE), _BY_ID, _delivery),
    Source(
        "assigned_deliveries",
        "Deliveries that are assigned to you as their courier; to whom they go is not about you.",
        select(_deliveries.id, _deliveries.created_at, _deliveries.picked_up_at, _deliveries.updated_at).where(
            _deliveries.courier_id == _WHO, _ALIVE
        ),
        _BY_ID,
    ),
    Source(
        "events", "What you did to deliveries, and wrote.", _EVENTS.where(_events.actor_id == _WHO), _BY_EVENT, _event
    ),
    _plain("messages", "Messages to you: which, when, and what became of them.", _messages.recipient_id, _MESSAGE),
    _plain("notification_preferences", "What you want to be told, over the defaults.", _wishes.user_id, _WISH),
    _OPTED_OUT,
    _plain("sessions", "Where you are signed in, or were.", _sessions.user_id, _SESSION),
    _plain("api_keys", "Keys that programs of yours act with; of each its last characters.", _keys.user_id, _KEY),
    _plain("webhook_endpoints", "Where programs of yours are told of events.", _hooks.owner_id, _HOOK),
    _plain("imports", "Files that you had imported.", _asked.created_by, _IMPORT),
    _plain("import_templates", "How your files are read.", _ways.owner_id, "id name settings created_at updated_at"),
    _plain("invitations", "The invitation that your account came from.", _invitations.user_id, _INVITATION),
    _plain("audit_by_you", "What the audit log says that you did.", _entries.actor_id, _ENTRY),
    _plain("audit_about_you", "What it says was done to your account.", _entries.object_id, _ENTRY),
)
# About whoever has the address `email` or the number `phone`.
OF_RECIPIENT = (
    Source("deliveries", "Deliveries to you.", select(*COLUMNS).where(_THEIRS), _BY_ID, _received),
    Source(
        "events",
        "What happened to them.",
        _EVENTS.join(Delivery.__table__, _deliveries.id == _events.delivery_id).where(_THEIRS),
        _BY_EVENT,
        _told,
    ),
    Source(
        "messages",
        "Messages to you: which, when, and what became of them.",
        select(*(_messages[name] for name in _MESSAGE.split()))
        .join(Delivery.__table__, _deliveries.id == _messages.recipient_id)
        .where(_THEIRS),
        (_messages.id,),
    ),
    Source(
        "notification_preferences",
        "What you want to be told, over the defaults.",
        select(*(_wishes[name] for name in _WISH.split())).where(_wishes.address_hash.in_(_HASHES)),
        (_wishes.id,),
    ),
    _OPTED_OUT,
    Source("invitations", "Invitations to make an account.", _INVITED, (_invitations.id,)),
    Source(
        "wanted_addresses",
        "Your address, where somebody asked for their account to have it.",
        select(_users.id, _users.new_email).where(_users.new_email == _EMAIL),
        (_users.id,),
        _wanted,
    ),
    Source(
        "former_addresses",
        "Your address, where an account had it until a week ago.",
        select(_former.id, _former.email, _former.changed_at).where(_former.email == _EMAIL),
        (_former.id,),
    ),
)
