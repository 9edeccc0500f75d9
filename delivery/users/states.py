"""The roles a user can have, and what one is to an account; plain Python."""

from enum import StrEnum


class Role(StrEnum):
    """customer: own deliveries; courier: assigned ones; dispatcher: all deliveries; admin: everything."""

    CUSTOMER = "customer"
    COURIER = "courier"
    DISPATCHER = "dispatcher"
    ADMIN = "admin"


class Part(StrEnum):
    """What a person is to an account."""

    SELF = "self"
    ADMIN = "admin"
