"""Requests from other places, so that the limits of one test's subject are all that it meets."""

import itertools
from ipaddress import ip_address

_numbers = itertools.count(1)


def elsewhere():
    """Options of a test client's call that come from an address which nobody else has."""
    return {"environ_overrides": {"REMOTE_ADDR": str(ip_address("10.0.0.0") + next(_numbers))}}
