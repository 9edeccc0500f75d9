"""The roles a user can have; plain Python."""

from enum import StrEnum


class Role(StrEnum):
    """customer: own deliveries; courier: assigned ones; dispatcher: all deliveries; admin: everything."""

    CUSTOMER = "customer"
    COURIER = "courier"
    DISPATCHER = "dispatcher"
    ADMIN = "admin"
