"""Canaries: words that stand for what is personal or secret, and bodies that are full of them."""

import itertools
import secrets

# Words in a body that say nothing about a person, and figures.
HARMLESS = {
    "country": "GB",
    "locale": "en",
    "time_zone": "UTC",
    "from": "21:00",
    "to": "08:00",
    "List-Unsubscribe": "One-Click",
    "reason_code": "nobody_home",
    "events": "*",
    "cursor": None,
    "mapping": {"item_name": "Item"},
    "delimiter": ";",
    "encoding": "utf-8",
    "date_format": "%Y-%m-%d",
    **dict.fromkeys(("weight_grams", "length_mm", "width_mm", "height_mm", "pieces"), 3),
    **dict.fromkeys(("overlap_seconds", "steps", "version"), 3),
}
# Fields of text about a person, or that hold a secret: a word will do in each.
WORDS = frozenset({
    "name", "line1", "line2", "city", "region", "postcode", "notes", "note", "public_note", "description", "reference",
    "item_name", "tags", "token", "scope", "client_id", "client_secret", "refresh_token", "key", "reason",
})  # fmt: skip


class Canaries:
    """Every canary that was drawn, by what it stands for."""

    def __init__(self):
        self.drawn = {}
        self._phones = itertools.count(secrets.randbelow(5000) + 1000)

    def word(self, label):
        """A word that nobody else would write."""
        return self.secret(label, f"zq{secrets.token_hex(6)}x")

    def secret(self, label, text):
        """Keep a text that the system itself has made."""
        self.drawn[text.lower()] = label
        return text

    def email(self, label="email"):
        return f"{self.word(label)}@canary.example"

    def phone(self, label="phone"):
        national = f"207946{next(self._phones)}"
        self.drawn[national] = label
        return f"+44{national}"

    def coordinate(self, label):
        return float(f"1.{self.secret(label, str(secrets.randbelow(8_000_000) + 1_000_001))}")

    def value(self, name, schema):
        """What to write into a field of this name.

        Raises:
            AssertionError: nobody has said yet whether it is about people.
        """
        if name in HARMLESS:
            return HARMLESS[name]
        make = next((make for names, make in self._makers(name) if name in names), None)
        assert make, f"is `{name}` about people? Say so in tests/canaries/words.py: {schema}"
        return make()

    def _makers(self, name):
        return (
            ({"email", "username", "new_email"}, self.email),
            ({"phone"}, self.phone),
            ({"url"}, lambda: f"https://hooks.example/{self.word(name)}"),
            ({"defaults"}, lambda: {"recipient.name": self.word(name)}),
            ({"lat", "lng"}, lambda: self.coordinate(name)),
            ({"password", "current_password", "new_password"}, lambda: f"{self.word(name)} horse"),
            (WORDS, lambda: self.word(name)),
        )

    def found_in(self, text):
        """The labels of those that stand in a text, however it is written."""
        lowered = text.lower()
        return sorted({label for canary, label in self.drawn.items() if canary in lowered})


class Bodies:
    """Bodies made of the OpenAPI document, so that a new field is filled in, too."""

    def __init__(self, document, canaries, **fixed):
        self.schemas = document["components"]["schemas"]
        self.canaries, self.fixed = canaries, fixed

    def of(self, schema):
        """A body with every property that a schema has."""
        return {
            name: self._value(name, self._resolved(one)) for name, one in self._resolved(schema)["properties"].items()
        }

    def _resolved(self, schema):
        if "$ref" in schema:
            return self.schemas[schema["$ref"].rpartition("/")[2]]
        options = [one for one in schema.get("anyOf", ()) if one.get("type") != "null"]
        return self._resolved(options[0]) if options else schema

    def _value(self, name, schema):
        if name in self.fixed:
            return self.fixed[name]
        if "properties" in schema:
            return self.of(schema)
        if "items" in schema:
            return [self._value(name, self._resolved(schema["items"]))]
        if "enum" in schema:
            return schema["enum"][0]
        is_flag = schema.get("type") == "boolean"
        if is_flag or schema.get("format") in {"uuid", "date-time"}:
            return False if is_flag else None
        return self.canaries.value(name, schema)
