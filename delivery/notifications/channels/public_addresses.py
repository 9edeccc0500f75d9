"""Where a webhook may go: the form of its URL, and which addresses are public enough to connect to.

Python's `is_global` alone is no guard: it takes NAT64, 6to4, site-local and multicast addresses for global ones.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from urllib.parse import SplitResult, urlsplit

from delivery.notifications.channels import Failure

LONGEST_URL = 2048
Address = IPv4Address | IPv6Address

# What stands for other addresses or is set aside, although Pythons call it global (RFC 3056, 3068, 3879, 6052, 6890,
# 8215, 9637, 9602).
_NOT_PUBLIC = tuple(
    map(
        ip_network,
        (
            "2002::/16", "64:ff9b::/96", "64:ff9b:1::/48", "fec0::/10", "3fff::/20", "5f00::/16",
            "192.0.0.0/24", "192.88.99.0/24",
        ),
    )
)  # fmt: skip
# Visible ASCII alone: some parsers take out tabs and line breaks, some take a backslash for a slash.
_VISIBLE = re.compile(r"[!-\[\]-~]+")
_NAME = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)(\.(?!-)[a-z0-9-]{1,63}(?<!-))*", re.IGNORECASE)
# What many resolvers take for an IPv4 address in another spelling: 2130706433, 0x7f.1, 127.1 (WHATWG URL, 3.5).
_LIKE_A_NUMBER = re.compile(r"(.*\.)?(\d+|0x[0-9a-f]*)", re.IGNORECASE)
_PORTS = {"https": 443, "http": 80}


class Refused(Exception):
    """We do not send there, and why, in words for whoever gave the URL."""


@dataclass(frozen=True, slots=True)
class Target:
    """A URL, taken apart once: nobody reads the text again."""

    scheme: str
    host: str
    port: int
    path: str
    literal: Address | None

    @property
    def is_near(self) -> bool:
        """Whether it can only be this machine (RFC 6761, 6.3); other names may lead anywhere."""
        if self.literal is not None:
            return _plain(self.literal).is_loopback
        return self.host == "localhost" or self.host.endswith(".localhost")

    @property
    def host_header(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Rules:
    """Which ports are allowed, whether loopback is, by any port and without TLS, and what else is not public."""

    ports: Sequence[int] = (443,)
    loopback: bool = False
    refused: Sequence[str] = ()

    def target(self, url: str) -> Target:
        """Take a URL apart.

        Raises:
            Refused: it is not one that we send to, wherever its name may lead.
        """
        if len(url) > LONGEST_URL or not _VISIBLE.fullmatch(url):
            raise Refused(f"Must be an ASCII URL of at most {LONGEST_URL} characters; names in Unicode as xn--.")
        target = _parsed(url)
        if target.literal is not None:
            self.check(target.literal)
        near = self.loopback and target.is_near
        if target.scheme != "https" and not near:
            raise Refused("Must begin with https://.")
        if target.port not in self.ports and not near:
            raise Refused(f"Must use port {' or '.join(map(str, self.ports))}.")
        return target

    def check(self, address: Address) -> None:
        """Refuse an address that is not public.

        Raises:
            Refused: it is not.
        """
        if not self.allows(address):
            raise Refused("Must not lead to an address that is not public.")

    def allows(self, address: Address) -> bool:
        address = _plain(address)
        if address.is_loopback:
            return self.loopback
        if getattr(address, "scope_id", None) or any(address in network for network in _NOT_PUBLIC):
            return False
        if any(address in ip_network(network) for network in self.refused):
            return False
        return address.is_global and not (address.is_multicast or address.is_reserved or address.is_unspecified)

    def check_reached(self, target: Target, address: Address) -> None:
        """Refuse what loopback alone may do, where a name turned out to lead elsewhere.

        Raises:
            Refused: no TLS, or another port, to an address that is not this machine's.
        """
        self.check(address)
        usual = target.scheme == "https" and target.port in self.ports
        if not usual and not _plain(address).is_loopback:
            raise Refused("Must be https:// and use an allowed port.")


def _plain(address: Address) -> Address:
    """Unwrap an IPv4 address from its IPv6 form."""
    return getattr(address, "ipv4_mapped", None) or address


def _parsed(url: str) -> Target:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise Refused("Must be a URL.") from None
    if parts.scheme not in _PORTS or not host or port == 0:
        raise Refused("Must be a URL that begins with https:// and names a host.")
    if "@" in parts.netloc or "#" in url:
        raise Refused("Must have neither user name, password nor fragment.")
    literal = _literal(parts, host)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Target(parts.scheme, host, port or _PORTS[parts.scheme], path, literal)


def _literal(parts: SplitResult, host: str) -> Address | None:
    """Return the address that a host is; None: it is a name."""
    try:
        address = ip_address(host)
    except ValueError:
        address = None
    if address is not None and isinstance(address, IPv6Address) == ("[" in parts.netloc):
        return address
    if address is not None or "[" in parts.netloc or not _NAME.fullmatch(host) or _LIKE_A_NUMBER.fullmatch(host):
        raise Refused("Must name a host, or be an address in its usual spelling.")
    return None


def failure(refused: Refused) -> Failure:
    """Say it of an attempt: names may lead elsewhere tomorrow, so it is not for good."""
    return Failure("address_refused", str(refused))
