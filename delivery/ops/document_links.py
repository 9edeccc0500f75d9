"""Links of the OpenAPI document: what an answer names, other operations take. They follow from the paths."""

import re
from typing import Any

_ID = "$response.body#/id"
_FIRST = "$response.body#/items/0/id"
_SEEN = "$response.header.ETag"


def add_links(paths: dict[str, Any]) -> None:
    """Link what answers with an id, or a page of them, to what is found under its path: /x to /x/{x_id}/..."""
    for path, operations in paths.items():
        targets = list(_targets(paths, path))
        for method, status, place in (("post", "201", _ID), ("get", "200", _FIRST)):
            answer = operations.get(method, {}).get("responses", {}).get(status, {})
            if "$ref" not in answer and _has_json(answer):
                links = {operation["operationId"]: _link(operation, name, place) for name, operation in targets}
                if links:
                    answer["links"] = links


def _targets(paths: dict[str, Any], path: str) -> Any:
    below = re.compile(re.escape(path) + r"/\{(\w+)\}(/[^{]*)?")
    for other, operations in paths.items():
        if match := below.fullmatch(other):
            yield from ((match[1], one) for one in operations.values() if "operationId" in one)


def _has_json(answer: dict[str, Any]) -> bool:
    return "application/json" in answer.get("content", {})


def _link(operation: dict[str, Any], name: str, place: str) -> dict[str, Any]:
    parameters = {f"path.{name}": place}
    if place == _ID and any(one.get("name") == "If-Match" for one in operation.get("parameters", ())):
        parameters["header.If-Match"] = _SEEN
    return {"operationId": operation["operationId"], "parameters": parameters}
