"""The certificate that the public address presents: whether clients take it, and for how long they still will."""

import socket
import ssl
from urllib.parse import urlsplit

from flask import current_app

from delivery import clock
from delivery.ops.checks import Finding, Level

SECONDS = 3.0  # for the connection, and for each answer of the handshake
SOON_DAYS, DAY_SECONDS = 14, 86_400
# What no client overlooks, whomever it trusts: X509_V_ERR_ of openssl/x509_vfy.h.
REFUSED = {9: "is not valid yet", 10: "has expired", 62: "is for another name", 64: "is for another address"}
LOOK_FROM_OUTSIDE = "look from outside, see docs/operations.md"


def certificate() -> Finding:
    """Ask the host of PUBLIC_BASE_URL as a client would; who cannot be reached from here may be well for others."""
    address = urlsplit(current_app.config["PUBLIC_BASE_URL"])
    if address.scheme != "https":
        return Finding(Level.OK, "none, PUBLIC_BASE_URL is http")
    place = address.hostname or "", address.port or 443
    try:
        return _judged(place)
    except ssl.SSLCertVerificationError as error:
        return Finding(Level.FAIL, f"it {REFUSED.get(error.verify_code, 'is not valid')}, so clients refuse it")
    except (OSError, UnicodeError) as error:
        return Finding(Level.WARN, f"no answer by TLS from here ({type(error).__name__})", LOOK_FROM_OUTSIDE)


def _judged(place: tuple[str, int]) -> Finding:
    try:
        return _lasting(_end_of(place, ssl.create_default_context()))
    except ssl.SSLCertVerificationError as error:
        if error.verify_code in REFUSED:
            raise
    # Nobody whom this machine trusts vouches for it. OpenSSL looks at that first, and at the rest no more.
    found = _lasting(_end_of(place, _trusting(ssl.get_server_certificate(place, timeout=SECONDS))))
    detail = f"{found.detail}; nobody whom this machine trusts vouches for it"
    return Finding(Level.WARN, detail, found.advice or LOOK_FROM_OUTSIDE)


def _trusting(certificate: str) -> ssl.SSLContext:
    """Make a client that takes this certificate on trust, but neither its times nor its names."""
    context = ssl.create_default_context(cadata=certificate)
    context.verify_flags = ssl.VERIFY_X509_TRUSTED_FIRST | ssl.VERIFY_X509_PARTIAL_CHAIN
    return context


def _end_of(place: tuple[str, int], context: ssl.SSLContext) -> int:
    """Return when the certificate ends, in seconds of Unix's time.

    Raises:
        ssl.SSLCertVerificationError: a client with this context refuses it.
    """
    with (
        socket.create_connection(place, timeout=SECONDS) as plain,
        context.wrap_socket(plain, server_hostname=place[0]) as connection,
    ):
        presented = connection.getpeercert() or {}
        return ssl.cert_time_to_seconds(str(presented["notAfter"]))


def _lasting(end: int) -> Finding:
    days = int((end - clock.now().timestamp()) // DAY_SECONDS)
    left = f"{days} day{'' if days == 1 else 's'} left"
    return Finding(Level.WARN, left) if days < SOON_DAYS else Finding(Level.OK, left)
