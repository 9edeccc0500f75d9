"""The mails about an account: to confirm an address, that it is taken or a session was ended, to invite somebody."""

from typing import Any, TypeAlias

from flask import current_app
from sqlalchemy import select
from sqlalchemy.sql.expression import bindparam

from delivery.auth.events import InvitationSent, RefreshTokenReused, VerificationRequested
from delivery.auth.invitations import state_of
from delivery.auth.models import Invitation
from delivery.auth.states import InvitationState
from delivery.database import reader
from delivery.notifications.channels import Letter, Suppress
from delivery.notifications.held import ClaimedMessage
from delivery.notifications.rendering import letter
from delivery.notifications.services import NewMessage
from delivery.notifications.states import Channel
from delivery.tokens import Purpose, issue
from delivery.users.events import AddressTaken, UserRegistered
from delivery.users.models import User

VERIFY, TAKEN, REVOKED = "verify_email", "already_registered", "session_revoked"
INVITATION = "invitation"
_AboutOne: TypeAlias = UserRegistered | VerificationRequested | AddressTaken | RefreshTokenReused
_FACTS = select(
    User.id, User.name, User.email, User.locale, User.epoch, User.verify_nonce, User.email_verified_at, User.active
).where(User.id == bindparam("user_id"))
_INVITATION = select(*Invitation.__table__.columns).where(Invitation.id == bindparam("id"))


def registered(fact: UserRegistered | VerificationRequested) -> list[NewMessage]:
    return [_message(fact, VERIFY)]


def address_taken(fact: AddressTaken) -> list[NewMessage]:
    return [_message(fact, TAKEN)]


def session_revoked(fact: RefreshTokenReused) -> list[NewMessage]:
    return [_message(fact, REVOKED)]


def invited(fact: InvitationSent) -> list[NewMessage]:
    """Address an invitation: there is no account yet, so the recipient's id is the invitation's."""
    return [
        NewMessage(
            channel=Channel.MAIL,
            audience="account",
            recipient_id=fact.invitation_id,
            template=INVITATION,
            event=INVITATION,
        )
    ]


def _message(fact: _AboutOne, template: str) -> NewMessage:
    return NewMessage(
        channel=Channel.MAIL,
        audience="account",
        recipient_id=fact.user_id,
        template=template,
        event=template,
    )


def compose_verification(message: ClaimedMessage) -> Letter | Suppress:
    """Mint the link now: no token is ever stored."""
    user = reader().execute(_FACTS, {"user_id": message.recipient_id}).one_or_none()
    if user is None or user.email is None or not user.active or user.email_verified_at is not None:
        return Suppress("nothing_to_verify")
    claims = {"uid": str(user.id), "epoch": user.epoch, "nonce": user.verify_nonce}
    link = f"{current_app.config['PUBLIC_BASE_URL']}/api/auth/verify-email?token={issue(Purpose.VERIFY_EMAIL, claims)}"
    return _letter(message, user, link=link)


def compose_notice(message: ClaimedMessage) -> Letter | Suppress:
    user = reader().execute(_FACTS, {"user_id": message.recipient_id}).one()
    return Suppress("no_address") if user.email is None else _letter(message, user)


def compose_invitation(message: ClaimedMessage) -> Letter | Suppress:
    """Mint the link now, unless the invitation ended or was replaced while its mail waited."""
    row = reader().execute(_INVITATION, {"id": message.recipient_id}).one_or_none()
    if row is None or row.email is None or state_of(row) != InvitationState.OPEN:
        return Suppress("no_open_invitation")
    token = issue(Purpose.INVITATION, {"id": str(row.id), "nonce": row.nonce})
    link = f"{current_app.config['PUBLIC_BASE_URL']}/api/auth/accept-invitation?token={token}"
    return letter(
        message.template,
        locale=message.locale,
        channel=message.channel,
        address=row.email,
        context={"name": row.name, "company": current_app.config["COMPANY_NAME"], "role": row.role, "link": link},
    )


def _letter(message: ClaimedMessage, user: Any, **words: str) -> Letter | Suppress:
    return letter(
        message.template,
        locale=user.locale,
        channel=message.channel,
        address=user.email,
        context={"name": user.name, "company": current_app.config["COMPANY_NAME"], **words},
    )
