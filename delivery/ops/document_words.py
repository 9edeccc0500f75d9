"""What the OpenAPI document says of parameters and properties whose fields do not say it themselves.

What all readers of a schema's code must know stands in its field's `metadata`; here stands what an integrator has to be
told besides. `Schema.property` goes before `property`; a schema's own name is for what it is as a whole.
"""

from typing import Any

from delivery.ops.document_sentences import OF_PROPERTIES, OF_SCHEMAS

# Of a parameter of a query, or, as `operationId.parameter`, of that of one operation.
OF_PARAMETERS = {
    "limit": "How many there are on a page at most.",
    "sort": "The order; `-` is for the newest first.",
    "status": "The states that they may be in; several times for several.",
    "tag": "Tags, one of which they must have; several times for several.",
    "courier_id": "Assigned to this courier.",
    "owner_id": "Belonging to this account.",
    "reference": "With exactly this reference.",
    "created_after": "Made then or later (inclusive).",
    "created_before": "Made before then (exclusive).",
    "updated_after": "Last changed then or later (inclusive).",
    "updated_before": "Last changed before then (exclusive).",
    "window_after": "Whose window ends then or later (inclusive).",
    "window_before": "Whose window begins before then (exclusive).",
    "late": "`true`: only open ones whose window is over; `false`: only the others.",
    "unassigned": "`true`: only those without a courier; `false`: only the others.",
    "role": "Only those with this role.",
    "active": "Whether they may sign in.",
    "state": "The state that they are in; where several can be given, any of them.",
    "channel": "Only by this channel.",
    "event": "Only of this event.",
    "audience": "Only to the sender, the recipient, or another part in it.",
    "delivery_id": "Only about this delivery.",
    "endpoint_id": "Only to this endpoint.",
    "actor_id": "Only what this account did.",
    "object_id": "Only what was done to this.",
    "audit_index.since": "Done then or later (inclusive).",
    "audit_index.until": "Done before then (exclusive).",
}


def add_words(document: dict[str, Any]) -> set[str]:
    """Describe what has no description yet; returns which of the words were used."""
    used: set[str] = set()
    for operations in document["paths"].values():
        for operation in operations.values():
            if "operationId" in operation:
                used |= _of_query(operation)
    for name, schema in document["components"]["schemas"].items():
        used |= _of_schema(name, schema)
    return used


def _of_query(operation: dict[str, Any]) -> set[str]:
    asked = [one for one in operation.get("parameters", ()) if one.get("in") == "query"]
    keys = ((one, f"{operation['operationId']}.{one['name']}", one["name"]) for one in asked)
    return _described(keys, OF_PARAMETERS)


def _of_schema(name: str, schema: dict[str, Any]) -> set[str]:
    properties = schema.get("properties", {}).items()
    used = _described(((one, f"{name}.{key}", key) for key, one in properties), OF_PROPERTIES)
    return used | _described([(schema, name)], OF_SCHEMAS)


def _described(places: Any, words: dict[str, str]) -> set[str]:
    """Give each of the places, which come with the keys to try, the first of the words that there are for it."""
    used = set()
    for place, *keys in places:
        key = next((key for key in keys if key in words), None)
        if key and "description" not in place:
            place["description"] = words[key]
            used.add(key)
    return used
