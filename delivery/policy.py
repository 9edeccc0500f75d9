"""The table: who may call what. An endpoint without a row cannot be called and fails the build.

docs/security.md shows it; tests/test_policy.py tries every cell of it.
"""

from delivery.auth.states import Scope
from delivery.deliveries.states import Part
from delivery.notifications.access import Part as Message
from delivery.users.states import Part as Account
from delivery.users.states import Role
from delivery.web.rules import Policy, of_object, operators, public, signed_in, unlimited

_SELF_OR_ADMIN = (Account.SELF, Account.ADMIN)

POLICY: Policy = {
    "health.healthz": unlimited(),
    "health.readyz": unlimited(),
    "metrics.metrics": operators(),
    # Signed by Twilio, from few addresses and as often as there are text messages
    "twilio.status": unlimited(),
    "twilio.inbound": unlimited(),
    # Signing in and out
    "auth.login": public(),
    "auth.refresh": public(),
    "auth.logout": signed_in(),
    "auth.logout_all": signed_in(),
    "auth.me": signed_in(scope=Scope.USERS_READ),
    "auth.request_verification": public(),
    "auth.verify_email_page": public(),
    "auth.verify_email": public(),
    "auth.request_password_reset": public(),
    "auth.reset_password_page": public(),
    "auth.reset_password": public(),
    "auth.change_password": signed_in(),
    "auth.change_email": signed_in(),
    "auth.confirm_email_page": public(),
    "auth.confirm_email": public(),
    "sessions.index": signed_in(),
    "sessions.end": of_object(Account.SELF),
    "sessions.of_user": of_object(*_SELF_OR_ADMIN),
    "sessions.end_of_user": of_object(*_SELF_OR_ADMIN),
    # API keys: no key makes or manages keys
    "api-keys.index": signed_in(),
    "api-keys.create": signed_in(),
    "api-keys.show": of_object(Account.SELF),
    "api-keys.revoke": of_object(Account.SELF),
    "api-keys.roll": of_object(Account.SELF),
    "api-keys.of_user": of_object(*_SELF_OR_ADMIN),
    "api-keys.revoke_all": of_object(*_SELF_OR_ADMIN),
    "auth.accept_invitation_page": public(),
    "auth.accept_invitation": public(),
    # Accounts
    "users.register": public(scope=Scope.USERS_WRITE),
    "users.index": signed_in(scope=Scope.USERS_READ, roles={Role.ADMIN}),
    "users.show": of_object(*_SELF_OR_ADMIN, scope=Scope.USERS_READ),
    "users.change": of_object(*_SELF_OR_ADMIN, scope=Scope.USERS_WRITE),
    "users.delete": of_object(*_SELF_OR_ADMIN),
    "invitations.invite": signed_in(scope=Scope.USERS_WRITE, roles={Role.ADMIN}),
    "invitations.index": signed_in(scope=Scope.USERS_READ, roles={Role.ADMIN}),
    "invitations.show": of_object(Account.ADMIN, scope=Scope.USERS_READ),
    "invitations.revoke": of_object(Account.ADMIN, scope=Scope.USERS_WRITE),
    "privacy.export": of_object(*_SELF_OR_ADMIN),
    "privacy.erase": of_object(*_SELF_OR_ADMIN),
    "privacy.erase_recipient": signed_in(roles={Role.ADMIN}),
    "privacy.index": signed_in(roles={Role.ADMIN}),
    "audit.index": signed_in(scope=Scope.AUDIT_READ, roles={Role.ADMIN}),
    # Deliveries; couriers see what is assigned to them, and create nothing
    "deliveries.create": signed_in(scope=Scope.DELIVERIES_WRITE, roles={Role.CUSTOMER, Role.DISPATCHER, Role.ADMIN}),
    "bulk.create": signed_in(scope=Scope.DELIVERIES_WRITE, roles={Role.CUSTOMER, Role.DISPATCHER, Role.ADMIN}),
    # Each delivery by itself: what is not theirs to see is not found
    "bulk.move": signed_in(scope=Scope.DELIVERIES_MOVE),
    "labels.show": of_object(*Part, scope=Scope.DELIVERIES_READ),
    "labels.sheet": signed_in(scope=Scope.DELIVERIES_READ),
    "deliveries.index": signed_in(scope=Scope.DELIVERIES_READ),
    "deliveries.export": signed_in(scope=Scope.DELIVERIES_READ),
    "deliveries.of_user": of_object(*_SELF_OR_ADMIN, scope=Scope.DELIVERIES_READ),
    "deliveries.show": of_object(*Part, scope=Scope.DELIVERIES_READ),
    "deliveries.edit": of_object(Part.OWNER, Part.DISPATCHER, scope=Scope.DELIVERIES_WRITE),
    "deliveries.delete": of_object(Part.OWNER, Part.DISPATCHER, scope=Scope.DELIVERIES_WRITE),
    "deliveries.move": of_object(*Part, scope=Scope.DELIVERIES_MOVE),
    "deliveries.timeline": of_object(*Part, scope=Scope.DELIVERIES_READ),
    "deliveries.notifications": of_object(Part.OWNER, Part.DISPATCHER, scope=Scope.NOTIFICATIONS_READ),
    # Imports: whoever may create deliveries may import them
    "imports.create": signed_in(scope=Scope.DELIVERIES_WRITE, roles={Role.CUSTOMER, Role.DISPATCHER, Role.ADMIN}),
    "imports.index": signed_in(scope=Scope.DELIVERIES_READ),
    "imports.show": of_object(Account.SELF, scope=Scope.DELIVERIES_READ),
    "imports.errors": of_object(Account.SELF, scope=Scope.DELIVERIES_READ),
    "imports.cancel": of_object(Account.SELF, scope=Scope.DELIVERIES_WRITE),
    "import-templates.index": signed_in(scope=Scope.DELIVERIES_READ),
    "import-templates.create": signed_in(
        scope=Scope.DELIVERIES_WRITE, roles={Role.CUSTOMER, Role.DISPATCHER, Role.ADMIN}
    ),
    "import-templates.show": of_object(Account.SELF, scope=Scope.DELIVERIES_READ),
    "import-templates.change": of_object(Account.SELF, scope=Scope.DELIVERIES_WRITE),
    "import-templates.delete": of_object(Account.SELF, scope=Scope.DELIVERIES_WRITE),
    # Messages; a mail about an account is for its owner and admins, and asked for again where it was asked for
    "notifications.index": signed_in(
        scope=Scope.NOTIFICATIONS_READ, roles={Role.CUSTOMER, Role.DISPATCHER, Role.ADMIN}
    ),
    "notifications.show": of_object(*Message, scope=Scope.NOTIFICATIONS_READ),
    "notifications.resend": of_object(Message.OWNER, Message.STAFF, scope=Scope.NOTIFICATIONS_WRITE),
    # What people want to be told
    "preferences.show_preferences": of_object(*_SELF_OR_ADMIN, scope=Scope.USERS_READ),
    "preferences.replace_preferences": of_object(*_SELF_OR_ADMIN, scope=Scope.USERS_WRITE),
    # Mail providers post for all their people from a few addresses, and each link is signed.
    "unsubscribe.show": unlimited(),
    "unsubscribe.leave": unlimited(),
    "unsubscribe.come_back": unlimited(),
    "unsubscribe.show_preferences": unlimited(),
    "unsubscribe.save_preferences": unlimited(),
    "events.index": signed_in(scope=Scope.DELIVERIES_READ),
    # Webhooks: whoever may own deliveries may have programs told of them
    "webhook-endpoints.index": signed_in(scope=Scope.WEBHOOKS_READ),
    "webhook-endpoints.create": signed_in(
        scope=Scope.WEBHOOKS_WRITE, roles={Role.CUSTOMER, Role.DISPATCHER, Role.ADMIN}
    ),
    "webhook-endpoints.show": of_object(Account.SELF, scope=Scope.WEBHOOKS_READ),
    "webhook-endpoints.change": of_object(Account.SELF, scope=Scope.WEBHOOKS_WRITE),
    "webhook-endpoints.delete": of_object(Account.SELF, scope=Scope.WEBHOOKS_WRITE),
    "webhook-endpoints.rotate_secret": of_object(Account.SELF, scope=Scope.WEBHOOKS_WRITE),
    "webhook-endpoints.verify": of_object(Account.SELF, scope=Scope.WEBHOOKS_WRITE),
    "webhook-endpoints.enable": of_object(Account.SELF, scope=Scope.WEBHOOKS_WRITE),
    "webhook-endpoints.send_test": of_object(Account.SELF, scope=Scope.WEBHOOKS_WRITE),
    "webhook-endpoints.replay_range": of_object(Account.SELF, scope=Scope.WEBHOOKS_WRITE),
    "webhook-deliveries.index": signed_in(scope=Scope.WEBHOOKS_READ),
    "webhook-deliveries.show": of_object(Account.SELF, scope=Scope.WEBHOOKS_READ),
    "webhook-deliveries.send_again": of_object(Account.SELF, scope=Scope.WEBHOOKS_WRITE),
}
