"""The mails about an account: links that prove an address, and notices of what has been changed."""

from typing import Any
from uuid import UUID

from flask import current_app
from sqlalchemy import func, select
from sqlalchemy.sql.expression import bindparam

from delivery import limits
from delivery.auth.addresses import VERIFY
from delivery.auth.events import (
    ApiKeyCreated,
    EmailChanged,
    EmailChangeRequested,
    InvitationSent,
    PasswordChanged,
    PasswordResetRequested,
    RefreshTokenReused,
    VerificationRequested,
)
from delivery.auth.invitations import state_of
from delivery.auth.models import ApiKey, Invitation
from delivery.auth.queries import LIVE_KEY
from delivery.auth.states import InvitationState
from delivery.database import reader
from delivery.errors import TooMany
from delivery.notifications.channels import Letter, Suppress
from delivery.notifications.held import ClaimedMessage
from delivery.notifications.queries import newest_to
from delivery.notifications.rendering import letter
from delivery.notifications.services import NewMessage
from delivery.notifications.states import Channel
from delivery.tokens import Purpose, issue
from delivery.users.events import AddressTaken, UserRegistered
from delivery.users.models import FormerEmail, User

TAKEN, REVOKED = "already_registered", "session_revoked"
RESET, PASSWORD_CHANGED = "reset_password", "password_changed"
CHANGE_EMAIL, EMAIL_CHANGED = "change_email", "email_changed"
INVITATION, KEY_CREATED = "invitation", "api_key_created"
_FACTS = select(
    User.id, User.name, User.email, User.locale, User.epoch, User.active, User.email_verified_at,
    User.verify_nonce, User.reset_nonce, User.new_email, User.email_nonce,
).where(User.id == bindparam("user_id"))  # fmt: skip
_HOLDER = select(User.id).where(User.email == bindparam("email"))
_FORMER = (
    select(User.name, User.locale, FormerEmail.email)
    .join(User, User.id == FormerEmail.user_id)
    .where(FormerEmail.id == bindparam("former_id"))
)
_KEYS = select(func.count()).select_from(ApiKey).where(ApiKey.user_id == bindparam("user_id"), LIVE_KEY)
_KEY = (
    select(User.name, User.locale, User.email, ApiKey.name.label("key_name"), ApiKey.hint)
    .join(User, User.id == ApiKey.user_id)
    .where(ApiKey.id == bindparam("key_id"))
)
_INVITATION = select(*Invitation.__table__.columns).where(Invitation.id == bindparam("id"))


def registered(fact: UserRegistered | VerificationRequested) -> list[NewMessage]:
    return [_message(fact.user_id, VERIFY)]


def address_taken(fact: AddressTaken) -> list[NewMessage]:
    return [_message(fact.user_id, TAKEN)]


def session_revoked(fact: RefreshTokenReused) -> list[NewMessage]:
    return [_message(fact.user_id, REVOKED)]


def reset_requested(fact: PasswordResetRequested) -> list[NewMessage]:
    return [_message(fact.user_id, RESET)]


def password_changed(fact: PasswordChanged) -> list[NewMessage]:
    return [_message(fact.user_id, PASSWORD_CHANGED)]


def api_key_created(fact: ApiKeyCreated) -> list[NewMessage]:
    return [_message(fact.user_id, KEY_CREATED, key_id=str(fact.key_id))]


def email_change_requested(fact: EmailChangeRequested) -> list[NewMessage]:
    return [_message(fact.user_id, CHANGE_EMAIL)]


def email_changed(fact: EmailChanged) -> list[NewMessage]:
    return [_message(fact.user_id, EMAIL_CHANGED, former_id=str(fact.former_id))]


def invited(fact: InvitationSent) -> list[NewMessage]:
    """Address an invitation: there is no account yet, so the recipient's id is the invitation's."""
    return [_message(fact.invitation_id, INVITATION)]


def _message(recipient_id: UUID, template: str, **data: str) -> NewMessage:
    return NewMessage(
        channel=Channel.MAIL,
        audience="account",
        recipient_id=recipient_id,
        owner_id=None if template == INVITATION else recipient_id,
        template=template,
        event=template,
        data=data,
    )


def compose_verification(message: ClaimedMessage) -> Letter | Suppress:
    """Send the link that is the newest now: of mails that waited each has it, and so has one that is tried again."""
    user = _recipient(message)
    if user is None or user.email_verified_at is not None:
        return Suppress("nothing_to_verify")
    if _is_one_too_many(message):
        return Suppress("too_many_mails")
    asked = newest_to(user.id, VERIFY) or message.id
    link = _link_for(Purpose.VERIFY_EMAIL, user, user.verify_nonce, asked=asked.hex)
    return _letter(message, user, link=link)


def compose_taken(message: ClaimedMessage) -> Letter | Suppress:
    """Tell an owner that somebody tried to register with their address; by name if they have proven to be there."""
    user = reader().execute(_FACTS, {"user_id": message.recipient_id}).one()
    if user.email is None:
        return Suppress("no_address")
    if _is_one_too_many(message):
        return Suppress("too_many_mails")
    return _letter(message, user, name=user.name if user.email_verified_at else "")


def compose_notice(message: ClaimedMessage) -> Letter | Suppress:
    user = reader().execute(_FACTS, {"user_id": message.recipient_id}).one()
    return Suppress("no_address") if user.email is None else _letter(message, user)


def compose_password_changed(message: ClaimedMessage) -> Letter | Suppress:
    """Say how many API keys still work, now that it is sent: a new password does not end them by itself."""
    user = reader().execute(_FACTS, {"user_id": message.recipient_id}).one()
    if user.email is None:
        return Suppress("no_address")
    return _letter(message, user, keys=reader().execute(_KEYS, {"user_id": user.id}).scalar_one())


def compose_api_key_created(message: ClaimedMessage) -> Letter | Suppress:
    """Name a new key by what its owner knows it by; one that ended meanwhile, too. An erased account has none."""
    key_id = message.data.get("key_id")
    key = reader().execute(_KEY, {"key_id": key_id and UUID(key_id)}).one_or_none()
    if key is None or key.email is None:
        return Suppress("no_address")
    return _letter(message, key, key_name=key.key_name, hint=key.hint)


def compose_reset(message: ClaimedMessage) -> Letter | Suppress:
    user = _recipient(message)
    if user is None or user.reset_nonce is None:
        return Suppress("nothing_to_reset")
    return _letter(message, user, link=_link_for(Purpose.RESET_PASSWORD, user, user.reset_nonce))


def compose_change_email(message: ClaimedMessage) -> Letter | Suppress:
    """Write to the new address, unless it is somebody else's: they did not ask, and the link could not work."""
    user = _recipient(message)
    if user is None or user.new_email is None:
        return Suppress("nothing_to_change")
    holder = reader().execute(_HOLDER, {"email": user.new_email}).scalar_one_or_none()
    if holder not in {None, user.id}:
        return Suppress("address_taken")
    link = _link_for(Purpose.CHANGE_EMAIL, user, user.email_nonce)
    return _letter(message, user, address=user.new_email, link=link)


def compose_email_changed(message: ClaimedMessage) -> Letter | Suppress:
    """Write to the address before the change, while it is known."""
    former_id = message.data.get("former_id")
    former = reader().execute(_FORMER, {"former_id": former_id and UUID(former_id)}).one_or_none()
    return Suppress("no_address") if former is None else _letter(message, former)


def compose_invitation(message: ClaimedMessage) -> Letter | Suppress:
    """Write to the invitation's address, unless it ended or was replaced while its mail waited."""
    row = reader().execute(_INVITATION, {"id": message.recipient_id}).one_or_none()
    if row is None or row.email is None or state_of(row) != InvitationState.OPEN:
        return Suppress("no_open_invitation")
    link = _link(Purpose.INVITATION, {"id": str(row.id), "nonce": row.nonce})
    words = {"name": row.name, "company": current_app.config["COMPANY_NAME"], "role": row.role, "link": link}
    return letter(message.template, locale=None, channel=message.channel, address=row.email, context=words)


def _recipient(message: ClaimedMessage) -> Any:
    """Return the account that a message is about; None where there is none, or none that is active."""
    user = reader().execute(_FACTS, {"user_id": message.recipient_id}).one_or_none()
    return None if user is None or user.email is None or not user.active else user


def _is_one_too_many(message: ClaimedMessage) -> bool:
    """Count a mail that any stranger can cause: once, however often it is tried, and wherever it was asked for."""
    try:
        limits.take(limits.ACCOUNT_MAIL, str(message.recipient_id), attempt_id=message.id)
    except TooMany:
        return True
    return False


_PAGES = {
    Purpose.VERIFY_EMAIL: "verify-email",
    Purpose.RESET_PASSWORD: "reset-password",
    Purpose.CHANGE_EMAIL: "confirm-email",
    Purpose.INVITATION: "accept-invitation",
}


def _link_for(purpose: Purpose, user: Any, nonce: str, **more: str) -> str:
    return _link(purpose, {"uid": str(user.id), "epoch": user.epoch, "nonce": nonce, **more})


def _link(purpose: Purpose, claims: dict[str, Any]) -> str:
    """Mint a link, now that it is sent: no token is ever stored. Its host is the settings', never a request's."""
    token = issue(purpose, claims)
    return f"{current_app.config['PUBLIC_BASE_URL']}/api/auth/{_PAGES[purpose]}?token={token}"


def _letter(message: ClaimedMessage, user: Any, *, address: str | None = None, **words: str | int) -> Letter | Suppress:
    return letter(
        message.template,
        locale=user.locale,
        channel=message.channel,
        address=address or user.email,
        context={"name": user.name, "company": current_app.config["COMPANY_NAME"], **words},
    )
