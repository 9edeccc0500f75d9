"""Forgetting people: at once what hangs on an account, delivery by delivery what stands in deliveries.

An erasure is a row, and so is each delivery that it has still to reach. The first few are done in the transaction of
the request; `flask cron` goes on, and comes back for open deliveries, which need their address, when they are over.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Row, Table, Uuid, and_, case, delete, exists, insert, literal, or_, select, update

from delivery import audit, clock, idempotency
from delivery.auth import addresses, invitations
from delivery.auth.models import AuthSession
from delivery.database import db, new_id, upsert
from delivery.deliveries.forgetting import forget_people, forget_words, recipient_forgotten, sender_forgotten
from delivery.deliveries.models import Delivery
from delivery.deliveries.states import TERMINAL
from delivery.imports.forgetting import forget_mentions
from delivery.notifications import preferences
from delivery.notifications.preferences import NotificationPreference
from delivery.notifications.services import cancel
from delivery.privacy.models import Erasure, ErasureDelivery
from delivery.privacy.queries import email_hash, phone_hash
from delivery.privacy.states import Kind
from delivery.users.events import UserErased

# Deliveries and notes that a request does itself.
AT_ONCE = 100
_erasures, _rest, _deliveries = Erasure.__table__, ErasureDelivery.__table__, Delivery.__table__
_OVER = or_(_deliveries.c.status.in_(sorted(TERMINAL)), _deliveries.c.deleted_at.is_not(None))
# Rows that are about an account and nothing else; those that refer to others come first.
_ROWS_OF: Sequence[tuple[Table, ColumnElement[Any]]] = (
    (AuthSession.__table__, AuthSession.__table__.c.user_id),
    (NotificationPreference.__table__, NotificationPreference.__table__.c.user_id),
)


def erase_traces(fact: UserErased) -> None:
    """Forget what hangs on an account that was erased: sessions, queued messages, saved answers, notes, addresses."""
    mine = {"kind": Kind.USER, "user_id": fact.user_id}
    db.session.execute(upsert(_erasures).values(_new(**mine)).on_conflict_do_nothing())  # after a restore it is there
    by_user = select(_erasures.c.id).where(_erasures.c.user_id == fact.user_id)
    erasure_id = db.session.execute(by_user.with_for_update()).scalar_one()
    for table, owner in _ROWS_OF:
        db.session.execute(delete(table).where(owner == fact.user_id))
    if fact.email:
        addresses.forget(fact.email)
    for deleted in (_deliveries.c.deleted_at.is_(None), _deliveries.c.deleted_at.is_not(None)):  # an index for each
        _remember(erasure_id, _deliveries.c.owner_id == fact.user_id, deleted)
    answers = idempotency.forget_mentions([fact.user_id])
    _work_on(erasure_id, limit=AT_ONCE, messages=cancel([fact.user_id]), answers=answers)


def erase_recipient(*, email: str | None, phone: str | None) -> UUID:
    """Forget whoever has this address or number, in all that exists now; returns the erasure's id.

    An account that has the address is not touched: erasing it is another act.
    """
    hashes = {"email_hash": email and email_hash(email), "phone_hash": phone and phone_hash(phone)}
    erasure = _new(kind=Kind.RECIPIENT, **hashes)
    db.session.execute(insert(_erasures).values(erasure))
    theirs = [
        column == value
        for column, value in ((_deliveries.c.recipient_email, email), (_deliveries.c.recipient_phone, phone))
        if value
    ]
    _remember(erasure["id"], or_(*theirs))
    preferences.forget(email=email, phone=phone)  # an opt-out stays (notifications/opt_outs.py)
    imported = forget_mentions(email=email, phone=phone)
    _work_on(erasure["id"], limit=AT_ONCE, imported=imported, **(_forget_address(email) if email else {}))
    erasure_id: UUID = erasure["id"]
    audit.record("recipient.erased", object_type="erasure", object_id=erasure_id)
    return erasure_id


def erase_recipient_again(erasure_id: UUID, *, email: str | None, before: datetime) -> None:
    """Go on with an erasure that a restored backup did not know; `email` is the address, where one was found."""
    _work_on(erasure_id, limit=AT_ONCE, **(_forget_address(email, before=before) if email else {}))


def go_on(limit: int) -> int:
    """Do up to `limit` deliveries and notes of erasures that are not finished; returns how many were done."""
    _sweep()
    reachable = select(_rest.c.erasure_id).join(_deliveries, _deliveries.c.id == _rest.c.delivery_id).where(_OVER)
    can_go_on = or_(_erasures.c.kind == Kind.USER, _erasures.c.id.in_(reachable))
    unfinished = select(_erasures.c.id).where(_erasures.c.finished_at.is_(None), can_go_on).order_by(_erasures.c.id)
    done = 0
    for erasure_id in db.session.execute(unfinished.limit(limit)).scalars():
        if done < limit:
            done += _work_on(erasure_id, limit=limit - done)
    return done


def _forget_address(email: str, *, before: datetime | None = None) -> dict[str, int]:
    """Forget an address that is no account's own: as wanted, as former, as invited; and the answers that show it."""
    wanted, former = addresses.forget(email, before=before)
    invited = invitations.forget_address(email, before=before)
    answers = idempotency.forget_mentions([*invited, *former])  # an account's answers showed what was its own
    return {"addresses": len(wanted) + len(former), "invitations": len(invited), "answers": answers}


def _sweep() -> None:
    """Delete the rows of erased accounts that came in at the same moment: a login, checked before and written after."""
    lately = _erasures.c.requested_at > clock.now() - timedelta(days=1)
    erased = select(_erasures.c.user_id).where(_erasures.c.kind == Kind.USER, lately)
    for table, owner in _ROWS_OF:
        db.session.execute(delete(table).where(owner.in_(erased)))


def _new(**who: Any) -> dict[str, Any]:
    return {"id": new_id(), "requested_at": clock.now(), "counts": {}, **who}


def _remember(erasure_id: UUID, *which: ColumnElement[bool]) -> None:
    """Write down the deliveries that the erasure must reach: their addresses cannot be asked for again."""
    found = select(literal(erasure_id, Uuid()), _deliveries.c.id).where(*which)
    db.session.execute(insert(_rest).from_select(["erasure_id", "delivery_id"], found))


def _work_on(erasure_id: UUID, *, limit: int, **done: int) -> int:
    """Do the next part of an erasure, unless somebody else is at it; `done` is counted with it."""
    mine = select(*_erasures.c).where(_erasures.c.id == erasure_id, _erasures.c.finished_at.is_(None))
    erasure = db.session.execute(mine.with_for_update(skip_locked=True)).one_or_none()
    if erasure is None:
        return 0
    words = forget_words(erasure.user_id, limit=limit) if erasure.user_id else 0
    counts = Counter(erasure.counts) + Counter({**done, "words": words})
    rows = _reachable(erasure_id, limit=limit)
    if rows:
        counts += _forget_in(rows, Kind(erasure.kind))
        reached = _rest.c.delivery_id.in_([row.id for row in rows])
        db.session.execute(delete(_rest).where(_rest.c.erasure_id == erasure_id, reached))
    nothing_left = and_(literal(words < limit), ~exists().where(_rest.c.erasure_id == erasure_id))
    finished_at = case((nothing_left, clock.now()))
    values = {"counts": dict(counts), "finished_at": finished_at}
    db.session.execute(update(_erasures).where(_erasures.c.id == erasure_id).values(values))
    return len(rows) + words


def _reachable(erasure_id: UUID, *, limit: int) -> Sequence[Row[Any]]:
    """Lock the next deliveries that are over; whoever erases an account holds its row, and must not wait here."""
    query = (
        select(*_deliveries.c)
        .join(_rest, _rest.c.delivery_id == _deliveries.c.id)
        .where(_rest.c.erasure_id == erasure_id, _OVER)
        .order_by(_deliveries.c.id)
        .limit(limit)
        .with_for_update(of=_deliveries, skip_locked=True)
    )
    return db.session.execute(query).all()


def _forget_in(rows: Sequence[Row[Any]], kind: Kind) -> Counter[str]:
    forgotten = sender_forgotten if kind is Kind.USER else recipient_forgotten
    changed = forget_people(rows, forgotten, reason_code=f"{kind}_erased")
    to_recipients = [row.id for row in rows if kind is Kind.RECIPIENT or row.deleted_at]
    # Nobody is answered about a delivery after its last change, and no answer is kept for longer than this.
    since = clock.now() - timedelta(hours=idempotency.KEPT_HOURS + 1)
    answers = idempotency.forget_mentions([row.id for row in rows if row.updated_at > since])
    messages = cancel(to_recipients) if to_recipients else 0
    return Counter(deliveries=changed, messages=messages, answers=answers)
