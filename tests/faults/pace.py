"""The pace of a round: as in production, or with the waits of the outbox shortened, and nothing else.

What is waited for is the same: a lease still covers two time-outs of its channel and more (60 s: 15 s twice and 5 s;
here 12 s: 3 s twice and 1 s), a ladder still has as many rungs.
"""

import sys
from dataclasses import dataclass
from importlib import import_module


@dataclass(frozen=True)
class Pace:
    """Constants of the package by module and name, and settings."""

    lease_seconds: int
    rest_seconds: float  # until nothing may be due any more, when all is well again
    constants: dict
    ladders: dict
    settings: dict

    def apply(self):
        """Change the constants; to be called before anybody has read them."""
        if "delivery.notifications.claims" in sys.modules:
            raise RuntimeError("too late: the claim's statement has been built")
        for (module, name), value in self.constants.items():
            if not hasattr(import_module(module), name):
                raise RuntimeError(f"{module} has no {name} any more")
            setattr(sys.modules[module], name, value)
        ladders = import_module("delivery.notifications.states").LADDERS
        for channel, ladder in self.ladders.items():
            if len(ladders[channel]) != len(ladder):
                raise RuntimeError(f"the ladder of {channel} has {len(ladders[channel])} rungs")
            ladders[channel] = ladder


REAL = Pace(60, 1200.0, {}, {}, {"SMTP_TIMEOUT_SECONDS": "15", "SMS_TIMEOUT_SECONDS": "15"})
SHORT = Pace(
    12,
    72.0,
    {
        ("delivery.notifications.states", "BREAKER_SECONDS"): 5,
        ("delivery.notifications.attempts", "LEASE_SECONDS"): 12,
    },
    {"mail": (0, 1, 2, 4, 6, 8, 8), "sms": (0, 1, 4, 8), "webhook": (0, 1, 1, 2, 2, 4, 4, 8, 8, 8)},
    {"SMTP_TIMEOUT_SECONDS": "3", "SMS_TIMEOUT_SECONDS": "3"},
)
# Read when a batch is sent, so they may be set when everything is loaded.
SHORT_MARGIN_SECONDS, SHORT_WEBHOOK_SECONDS = 7, 3.0
PACES = {"real": REAL, "short": SHORT}
