"""What is said of public events is what they look like."""

import json
import re
from collections.abc import Iterator
from random import Random
from typing import Any, cast

import pytest
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from jsonschema import Draft202012Validator, FormatChecker

from libs.common.contracts import load_contracts
from libs.common.eventsourcing import Recorded
from services.gateway.__main__ import EVENTS
from services.gateway.event_schemas import asyncapi, event_schemas
from services.gateway.publication import About, Publication, cloud_event, publications
from stepladder.common.v1.envelope_pb2 import Envelope
from tests.gateway.world import World

PUBLICATIONS = list(publications(EVENTS).values())
SCHEMAS = event_schemas(PUBLICATIONS, load_contracts())


def filled(message: Message, chance: Random, depth: int = 0) -> Message:
    """A message with a value in most of its fields."""
    for field in cast("list[FieldDescriptor]", message.DESCRIPTOR.fields):
        if depth > 4 or chance.random() < 0.2:
            continue
        if field.is_repeated:
            values = getattr(message, field.name)
            for _ in range(chance.randint(0, 3)):
                if field.message_type:
                    filled(values.add(), chance, depth + 1)
                else:
                    values.append(_value(field, chance))
        elif field.message_type:
            within = getattr(message, field.name)
            within.SetInParent()
            if field.message_type.full_name != "google.protobuf.Timestamp":
                filled(within, chance, depth + 1)
        else:
            setattr(message, field.name, _value(field, chance))
    return message


def _value(field: FieldDescriptor, chance: Random) -> Any:
    if field.enum_type:
        return chance.choice(field.enum_type.values).number
    if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        return b"\x00\xff" if field.type == FieldDescriptor.TYPE_BYTES else chance.choice(["", "a", "2026-03-02", "长"])
    return chance.choice([True, False]) if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL else chance.randint(0, 9)


def samples(publication: Publication) -> Iterator[dict[str, Any]]:
    """CloudEvents of events with all kinds of content."""
    for seed in range(10):
        event = filled(publication.kind.message(), Random(seed))
        envelope = Envelope(event_id="c1.0", type=publication.kind.name, schema_version=1)
        envelope.time.FromJsonString("2026-03-02T12:00:00.123456Z")
        recorded = Recorded(7, "log.coaching.plan.p-1", event, envelope)
        about = About("anna", "riga") if seed % 2 else About()
        yield json.loads(cloud_event(publication, recorded, about))
    yield json.loads(cloud_event(publication, Recorded(7, "log.x.y.z", publication.kind.message(), envelope), About()))


def only_what_is_named(schema: Any) -> Any:
    """A schema that takes no field that it does not name."""
    if isinstance(schema, list):
        return [only_what_is_named(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    strict = {key: only_what_is_named(value) for key, value in schema.items()}
    return strict | {"additionalProperties": False} if "properties" in schema and "type" in schema else strict


@pytest.mark.parametrize("publication", PUBLICATIONS, ids=lambda one: one.type)
def test_events_are_as_their_schema_says(publication: Publication) -> None:
    """Every type, full and empty, has all that its schema asks for and nothing that it does not name."""
    schema = only_what_is_named(SCHEMAS[publication.type])
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema, format_checker=FormatChecker())
    for event in samples(publication):
        validator.validate(event)
    assert not validator.is_valid(event | {"type": "another"})
    assert not validator.is_valid({key: event[key] for key in event if key != "data"})


async def test_schemas_are_served(world: World) -> None:
    """To everybody, by the path that `dataschema` names."""
    path = SCHEMAS[PUBLICATIONS[0].type]["$id"].removeprefix("stepladder:")
    answer = await world.http("GET", path)
    assert (answer.status, answer.headers["content-type"]) == (200, "application/schema+json")
    assert answer.json == SCHEMAS[PUBLICATIONS[0].type]
    missing = await world.http("GET", "/v1/events/schemas/stepladder.coaching.pip-drafted.v1")
    assert (missing.status, missing.reasons) == (404, ["UNKNOWN_EVENT_TYPE"])


async def test_asyncapi_is_served(world: World) -> None:
    """To everybody, with a channel for each type."""
    answer = await world.http("GET", "/v1/asyncapi.json")
    assert (answer.status, answer.headers["content-type"]) == (200, "application/vnd.aai.asyncapi+json;version=3.0.0")
    assert answer.json == asyncapi(SCHEMAS)
    assert set(answer.json["channels"]) == {one.type for one in PUBLICATIONS} | {"stepladder.gateway.event-skipped.v1"}


def test_every_reference_of_asyncapi_leads_somewhere() -> None:
    """Channels name messages and operations channels that are there."""
    document = asyncapi(SCHEMAS)
    for reference in re.findall(r'"\$ref": "#/([^"]+)"', json.dumps(document)):
        place: Any = document
        for name in reference.split("/"):
            place = place[name]
