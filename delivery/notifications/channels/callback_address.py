"""Where a provider of text messages sends its receipts."""

from ipaddress import ip_address
from urllib.parse import urlsplit

PATH = "/api/callbacks/twilio/status/"


def status_address(published: str, *, provider: str) -> str:
    """Return the address that a message's id is appended to; empty where the provider could not call it.

    Twilio refuses a message whose callback address nobody can reach. A provider on this machine reaches what is on it.
    """
    if not published or (is_local(published) and not is_local(provider)):
        return ""
    return published + PATH


def is_local(address: str) -> bool:
    """Is this a host that only its neighbours know?"""
    host = urlsplit(address).hostname or ""
    try:
        return not ip_address(host).is_global
    except ValueError:
        return "." not in host
