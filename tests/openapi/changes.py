"""What of a document breaks clients of the one before: a small comparison, of what a client can have relied on.

A request may only be asked less of, an answer may only promise more; each finding is one line, such as
`POST /api/deliveries request /item_name: maxLength 200 became 100`.
"""

METHODS = ("get", "put", "post", "delete", "patch")
# (keyword, whether a smaller value asks more of what is sent)
LIMITS = (("maxLength", True), ("maximum", True), ("maxItems", True), ("minLength", False), ("minimum", False))
LIMITS += (("minItems", False),)


def breaking(before, after):
    """Return what breaks, as lines."""
    return set(_of_paths(before, after))


def _of_paths(before, after):
    for path, methods in before["paths"].items():
        for method in METHODS:
            if method in methods:
                name = f"{method.upper()} {path}"
                old, new = methods[method], after["paths"].get(path, {}).get(method)
                if new is None:
                    yield f"{name}: removed"
                    continue
                yield from _Operation(name, before, after).compare(old, new)


class _Operation:
    def __init__(self, name, before, after):
        self.name, self.before, self.after = name, before, after

    def compare(self, old, new):
        if old["operationId"] != new["operationId"]:
            yield f"{self.name}: operationId {old['operationId']} became {new['operationId']}"
        if (old.get("security") or None) is None and new.get("security"):
            yield f"{self.name}: needs credentials"
        if old.get("x-required-scope") != new.get("x-required-scope"):
            yield f"{self.name}: scope {old.get('x-required-scope')} became {new.get('x-required-scope')}"
        gone = set(old.get("x-roles", ())) - set(new.get("x-roles", old.get("x-roles", ())))
        yield from (f"{self.name}: not for the role {role}" for role in gone)
        yield from self.of_parameters(old, new)
        yield from self.of_bodies(old.get("requestBody", {}), new.get("requestBody", {}), "request")
        for status in old["responses"].keys() - {"default"}:
            if status not in new["responses"] and status < "400":
                yield f"{self.name} {status}: removed"
            elif status < "400":
                mine, theirs = old["responses"][status], new["responses"][status]
                yield from self.of_bodies(mine, theirs, status)
                yield from (f"{self.name} {status}: header {one} removed" for one in _headers(mine) - _headers(theirs))

    def of_parameters(self, old, new):
        was, now = ({(one["in"], one["name"]): one for one in each.get("parameters", ())} for each in (old, new))
        for key, one in now.items():
            if one.get("required") and not was.get(key, {}).get("required"):
                yield f"{self.name} {'/'.join(key)}: required now"
        for key, one in was.items():
            if key not in now:
                yield f"{self.name} {'/'.join(key)}: removed"
            else:
                yield from self.of_schemas(one["schema"], now[key]["schema"], f"{'/'.join(key)}", asked=True)

    def of_bodies(self, old, new, place):
        for kind, media in old.get("content", {}).items():
            if kind not in new.get("content", {}):
                yield f"{self.name} {place}: {kind} removed"
            else:
                theirs = new["content"][kind].get("schema", {})
                yield from self.of_schemas(media.get("schema", {}), theirs, place, asked=place == "request")
        if place == "request" and new.get("required") and not old.get("required"):
            yield f"{self.name} request: required now"

    def of_schemas(self, old, new, place, *, asked, seen=()):
        if old.get("$ref") and old["$ref"] in seen:
            return
        seen = (*seen, old.get("$ref"))
        old, new = _plain(old, self.before), _plain(new, self.after)
        yield from (f"{self.name} {place}: {what}" for what in _narrowed(old, new, asked=asked))
        required = set(new.get("required", ())), set(old.get("required", ()))
        more, fewer = required[0] - required[1], required[1] - required[0]
        broken = ((name, "required now") for name in more) if asked else ((name, "not always there") for name in fewer)
        yield from (f"{self.name} {place}/{name}: {what}" for name, what in broken)
        for name, inner in old.get("properties", {}).items():
            if name in new.get("properties", {}):
                yield from self.of_schemas(inner, new["properties"][name], f"{place}/{name}", asked=asked, seen=seen)
            else:
                yield f"{self.name} {place}/{name}: removed"
        if "items" in old and "items" in new:
            yield from self.of_schemas(old["items"], new["items"], f"{place}[]", asked=asked, seen=seen)


def _headers(response):
    return set(response.get("headers", ()))


def _plain(schema, document):
    """Return a schema without references; one that may be null says so in its type."""
    if "anyOf" in schema:
        first, *rest = schema["anyOf"]
        found = _plain(first, document)
        return {**found, "type": [*_kinds(found), "null"]} if {"type": "null"} in rest else found
    if "$ref" in schema:
        return _plain(document["components"]["schemas"][schema["$ref"].rpartition("/")[2]], document)
    return schema


def _kinds(schema):
    kinds = schema.get("type", [])
    return [kinds] if isinstance(kinds, str) else kinds


def _narrowed(old, new, *, asked):
    """Tell what may no longer be sent, or what may come that never came."""
    wide, narrow = (old, new) if asked else (new, old)
    word = "no longer" if asked else "now also"
    for one in set(_kinds(wide)) - set(_kinds(narrow)):
        yield f"{word} {one}"
    if "enum" in narrow:
        values = set(wide.get("enum", ())) - set(narrow["enum"])
        yield from (f"{word} {one}" for one in sorted(map(str, values)))
        if "enum" not in wide:
            yield f"{word} any text"
    for keyword, below in LIMITS:
        mine, theirs = old.get(keyword), new.get(keyword)
        if mine != theirs and _is_tighter(narrow.get(keyword), wide.get(keyword), below=below):
            yield f"{keyword} {mine} became {theirs}"
    if asked and new.get("pattern") and old.get("pattern") != new["pattern"]:
        yield f"pattern {old.get('pattern')} became {new['pattern']}"
    if old.get("format") != new.get("format"):
        yield f"format {old.get('format')} became {new.get('format')}"


def _is_tighter(tight, loose, *, below):
    if tight is None:
        return False
    return loose is None or (tight < loose if below else tight > loose)
