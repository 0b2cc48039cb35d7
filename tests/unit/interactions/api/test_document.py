"""The OpenAPI document against the application, in both directions: what is missing on either side fails."""

import json
import re

import msgspec
import pytest

from interactions.api.app import create_api, operations
from interactions.api.page import page
from interactions.api.problems import BASE, CATALOGUE
from interactions.api.resources.documents import document
from tonearm.scopes import SCOPES
from tonearm.settings import load

DOCUMENT = json.loads(document())
OPERATIONS = {each.id: each for each in operations()}
SPOKEN = {
    spoken["operationId"]: (path, method, spoken)
    for path, methods in DOCUMENT["paths"].items()
    for method, spoken in methods.items()
}
STRUCTS = {kind.__name__: kind for each in OPERATIONS.values() for kind in (each.body, each.answer) if kind}
_, SCHEMAS = msgspec.json.schema_components(list(STRUCTS.values()), ref_template="#/components/schemas/{name}")


def found(value):
    while "$ref" in value:
        place = DOCUMENT
        for name in value["$ref"].removeprefix("#/").split("/"):
            place = place[name]
        value = place
    return value


def test_every_route_of_the_application_is_in_the_document_and_the_other_way_round() -> None:
    app = create_api(load((), {"TONEARM_REDIS_URL": "redis://x", "TONEARM_DATABASE_URL": "postgresql://x/y"}))
    routed = {route.path for route in app.routes if route.path.startswith(BASE)}
    assert routed == set(DOCUMENT["paths"])
    assert {(each.id, BASE + each.path, each.method.lower()) for each in OPERATIONS.values()} == {
        (id, path, method) for id, (path, method, _) in SPOKEN.items()
    }


@pytest.mark.parametrize("id", OPERATIONS)
def test_an_operation_is_as_it_is_documented(id) -> None:
    operation = OPERATIONS[id]
    path, _, spoken = SPOKEN[id]
    assert spoken.get("x-scope") == operation.scope
    assert spoken["security"] == ([{"key": []}] if operation.scope else [])
    parameters = {(each["in"], each["name"]): each for each in map(found, spoken.get("parameters", []))}
    assert {name for place, name in parameters if place == "path"} == set(re.findall(r"{(\w+)}", path))
    queries = set(operation.query.__struct_fields__) if operation.query else set()
    assert {name for place, name in parameters if place == "query"} == queries
    headers = {name for place, name in parameters if place == "header"}
    assert ("Idempotency-Key" in headers) == operation.is_repeatable
    assert ("If-Match" in headers) == operation.needs_match
    assert ("If-None-Match" in headers) == operation.has_etag
    assert {int(status) for status in spoken["responses"] if status < "400"} == set(operation.statuses)
    body = spoken.get("requestBody", {}).get("content", {}).get("application/json")
    assert (body is not None) == (operation.body is not None)
    if body is not None:
        assert body["schema"] == {"$ref": f"#/components/schemas/{operation.body.__name__}"}
        msgspec.convert(body["example"], operation.body)
    for status in operation.statuses:
        for kind, media in spoken["responses"][str(status)].get("content", {}).items():
            assert "example" in media
            if kind == "application/json" and operation.answer is not None:
                assert media["schema"] == {"$ref": f"#/components/schemas/{operation.answer.__name__}"}
                example = msgspec.convert(media["example"], operation.answer)
                assert set(media["example"]) == set(example.__struct_fields__)


@pytest.mark.parametrize("name", sorted({*SCHEMAS, *DOCUMENT["components"]["schemas"]} - {"Snowflake", "Problem"}))
def test_every_field_is_in_the_document_and_the_other_way_round(name) -> None:
    spoken, made = DOCUMENT["components"]["schemas"][name], SCHEMAS[name]
    assert spoken.get("type") == made.get("type")
    assert spoken.get("enum") == made.get("enum")
    assert set(spoken.get("properties", {})) == set(made.get("properties", {}))
    if name.endswith("Wish"):
        assert set(spoken.get("required", ())) == set(made.get("required", ()))
        assert spoken["additionalProperties"] is False
    for field, schema in made.get("properties", {}).items():
        theirs = found(spoken["properties"][field])
        for word in ("type", "format", "pattern", "minimum", "maximum", "minLength", "maxLength", "enum", "$ref"):
            if word in schema and "$ref" not in spoken["properties"][field]:
                assert theirs.get(word) == schema[word], (field, word)
        ours = {each.get("type", "object") for each in schema.get("anyOf", [])}
        assert ours == {found(each).get("type", "object") for each in theirs.get("anyOf", [])}


def test_every_kind_of_problem_is_named_and_has_its_status() -> None:
    spoken = {
        kind: CATALOGUE[kind].status
        for response in DOCUMENT["components"]["responses"].values()
        for kind in re.findall(r"\(`([a-z-]+)`\)", response["description"])
    }
    assert spoken == {kind: entry.status for kind, entry in CATALOGUE.items()}


def test_every_scope_opens_something() -> None:
    assert {each.scope for each in OPERATIONS.values() if each.scope} == set(SCOPES)


def test_the_page_needs_nothing_from_elsewhere_and_has_every_operation() -> None:
    shown = page(document()).decode()
    assert all(f"<section id='{id}'" in shown for id in OPERATIONS)
    assert all(f"<tr id='{kind}'" in shown for kind in CATALOGUE)
    assert "<script" not in shown
    assert not re.findall(r"""(?:src|href)=['"](?:https?:)?//""", shown)


def test_no_money_is_a_float() -> None:
    assert '"number"' not in document().decode()
