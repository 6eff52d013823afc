"""The OpenAPI document and its page say what is answered."""

import json
import re
from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from libs.common.access import RULES
from libs.common.contracts import load_contracts
from services.gateway.docs_page import docs_page
from services.gateway.openapi import bindings, openapi_document
from tests.gateway.test_contracts import METHODS
from tests.gateway.world import World

DOCUMENT = openapi_document(load_contracts(), RULES, "1.2.3")


def operation(path: str, verb: str) -> Any:
    return DOCUMENT["paths"][path][verb]


def test_document_is_openapi() -> None:
    """A validator of others finds nothing wrong in it."""
    assert not list(OpenAPIV31SpecValidator(DOCUMENT).iter_errors())


def test_every_binding_is_an_operation() -> None:
    """Each way to each RPC is there once, under a name of its own."""
    found = [one for operations in DOCUMENT["paths"].values() for one in operations.values()]
    assert len(found) == sum(len(list(bindings(method))) for method in METHODS)
    assert len({one["operationId"] for one in found}) == len(found)


def test_parameters_are_where_the_contract_puts_them() -> None:
    """What the path and the body leave over is in the query; fields of fields are named with points."""
    patch = operation("/v1/teams/{teamId}", "patch")
    places = [(one["name"], one["in"]) for one in patch["parameters"]]
    assert places == [("teamId", "path"), ("requestId", "query"), ("updateMask", "query")]
    body = patch["requestBody"]["content"]["application/json"]["schema"]
    assert "displayName" in body["properties"]
    assert "teamId" not in body["properties"]
    listing = {one["name"]: one for one in operation("/v1/kpiResults", "get")["parameters"]}
    assert listing["startDate"]["required"]
    assert "required" not in listing["kpiId"]
    lead = operation("/v1/teams/{teamId}:appointLead", "post")
    assert [one["name"] for one in lead["parameters"]] == ["teamId"]
    assert "teamId" not in lead["requestBody"]["content"]["application/json"]["schema"]["properties"]


@pytest.mark.parametrize(
    ("path", "verb", "media_type"),
    [
        ("/v1/teams", "get", "application/json"),
        ("/v1/eligibilities:watch", "get", "text/event-stream"),
        ("/v1/events:stream", "get", "text/event-stream"),
        ("/v1/worklist:export", "get", "*/*"),
    ],
)
def test_answers_have_their_media_type(path: str, verb: str, media_type: str) -> None:
    """A message is JSON, a stream is server-sent events, and a file is of any type."""
    assert list(operation(path, verb)["responses"]["200"]["content"]) == [media_type]


def test_who_may_is_said() -> None:
    """A call needs a token unless everyone may make it; who may is there as the rules have it."""
    assert "security" not in operation("/docs", "get")
    teams = operation("/v1/teams", "post")
    assert teams["security"] == [{"bearer": []}]
    assert set(teams["x-who-may"]) == RULES["stepladder.performance.v1.DirectoryService/CreateTeam"]


def test_a_stream_of_requests_is_an_array() -> None:
    """Each item is a message of the stream."""
    schema = operation("/v1/facts:stream", "post")["requestBody"]["content"]["application/json"]["schema"]
    assert schema["type"] == "array"


def test_page_names_every_call() -> None:
    """Every operation and message has a place on the page that links lead to, and comments are shown as text."""
    page = docs_page(DOCUMENT)
    places = re.findall(r' id="([^"]+)"', page)
    assert len(places) == len(set(places))
    assert set(re.findall(r'href="#([^"]+)"', page)) <= set(places)
    for operations in DOCUMENT["paths"].values():
        assert {one["operationId"] for one in operations.values()} <= set(places)
    hostile = {**DOCUMENT, "info": {"description": "<script>alert(1)</script>"}}
    assert "<script>alert" not in docs_page(hostile)


async def test_both_are_served(world: World) -> None:
    """They come as they are, and the page loads nothing from anywhere."""
    answer = await world.http("GET", "/v1/openapi.json")
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    assert json.loads(answer.body)["paths"] == DOCUMENT["paths"]
    page = await world.http("GET", "/docs")
    assert (page.status, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert not re.search(rb'(src|href)="(https?:)?//', page.body)
