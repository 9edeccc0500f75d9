"""The Python client's shapes are the document's: a field more, less or of another kind fails here."""

import re
import tomllib
from pathlib import Path
from typing import get_args

import pytest
from delivery_client import bulk_types, client, import_types, sandbox_types, types, webhook_types

from delivery.app import create_app
from tests.conftest import close, settings

PACKAGE = Path("clients/python")
SHAPES = {
    "Address": types.Address,
    "AdvanceIn": sandbox_types.Advance,
    "AdvanceOut": sandbox_types.Advanced,
    "Attempt": types.Attempt,
    "Captured": sandbox_types.CapturedMessage,
    "Counts": import_types.ImportCounts,
    "CreatedItem": bulk_types.CreatedItem,
    "CreatedItems": bulk_types.CreatedItems,
    "Delivery": types.Delivery,
    "DeliveryIn": types.NewDelivery,
    "DeliveryPatch": types.DeliveryChanges,
    "Endpoint": types.WebhookEndpoint,
    "EndpointIn": types.NewEndpoint,
    "EndpointPatch": types.EndpointChanges,
    "Event": types.DeliveryEvent,
    "FeedEvent": types.FeedEvent,
    "FeedPage": types.FeedPage,
    "Import": import_types.Import,
    "ImportIn": import_types.ImportOptions,
    "Location": types.Location,
    "Message": types.Notification,
    "MessageWithAttempts": types.NotificationWithAttempts,
    "MoveItem": bulk_types.MoveItem,
    "MovedItem": bulk_types.MovedItem,
    "MovedItems": bulk_types.MovedItems,
    "NewEndpoint": types.WebhookEndpointWithSecret,
    "Package": types.Package,
    "OneWebhookOut": webhook_types.WebhookDeliveryWithAttempts,
    "Recipient": types.Recipient,
    "RecipientIn": types.NewRecipient,
    "Redelivered": webhook_types.Redelivered,
    "ReplayIn": webhook_types.ReplayRange,
    "ReplayOut": webhook_types.Replayed,
    "Requirements": types.Requirements,
    "Template": import_types.ImportTemplate,
    "TemplateIn": import_types.NewImportTemplate,
    "Scenario": sandbox_types.Scenario,
    "TemplatePatch": import_types.ImportTemplateChanges,
    "WebhookOut": webhook_types.WebhookDelivery,
    "Window": types.Window,
}
FILTERS = {
    "/api/deliveries": types.DeliveryFilters,
    "/api/deliveries/export.csv": types.ExportFilters,
    "/api/imports": import_types.ImportFilters,
    "/api/sandbox/messages": sandbox_types.CapturedFilters,
    "/api/notifications": types.AllNotificationFilters,
    "/api/webhook-deliveries": webhook_types.WebhookDeliveryFilters,
}


@pytest.fixture(scope="module")
def document(tmp_path_factory):
    app = create_app(settings(tmp_path_factory.mktemp("shapes")))
    yield app.test_client().get("/openapi.json").json
    close(app)


def schema_of(document, name):
    """The schema of this name; flask-smorest's plain names end in Out where there is an In."""
    schemas = document["components"]["schemas"]
    return schemas.get(f"{name}Out") or schemas[name]


def takes_null(schema):
    one_of = schema.get("anyOf", schema.get("oneOf", []))
    return "null" in schema.get("type", ()) or None in schema.get("enum", ()) or any(map(takes_null, one_of))


@pytest.mark.parametrize("name", SHAPES)
def test_a_shape_has_the_fields_of_the_document(document, name):
    ours, theirs = SHAPES[name], schema_of(document, name)
    assert set(ours.__annotations__) == set(theirs["properties"])
    assert ours.__required_keys__ == set(theirs.get("required", []))


@pytest.mark.parametrize("name", SHAPES)
def test_a_field_may_be_none_where_the_document_has_null(document, name):
    for field, schema in schema_of(document, name)["properties"].items():
        ours = SHAPES[name].__annotations__[field].__forward_arg__
        assert ("None" in ours) is takes_null(schema), field


@pytest.mark.parametrize("path", FILTERS)
def test_a_list_takes_the_filters_of_the_document(document, path):
    theirs = {parameter["name"] for parameter in document["paths"][path]["get"]["parameters"]}
    names = {name.removesuffix("[]") for name in theirs if name not in {"cursor", "X-Request-ID", "If-None-Match"}}
    assert set(FILTERS[path].__annotations__) == names


def test_the_states_are_those_of_the_document(document):
    assert set(get_args(types.State)) == set(document["components"]["schemas"]["MoveIn"]["properties"]["to"]["enum"])


def test_the_version_is_told_once():
    version = tomllib.loads((PACKAGE / "pyproject.toml").read_text())["project"]["version"]
    assert f"delivery-client/{version}" == client._USER_AGENT


def test_it_runs_on_what_it_says_it_runs_on():
    """Nothing but urllib3 and the standard library is imported outside TYPE_CHECKING."""
    allowed = {"base64", "binascii", "dataclasses", "datetime", "enum", "hmac", "json", "os", "pathlib", "random", "re",
               "threading", "time", "typing", "urllib", "urllib3", "uuid", "__future__", "delivery_client"}  # fmt: skip
    for path in (PACKAGE / "src").rglob("*.py"):
        found = re.findall(r"(?m)^(?:from|import) ([a-z_0-9]+)", path.read_text())
        assert set(found) <= allowed, path
