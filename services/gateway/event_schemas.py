"""What public events look like, as JSON Schemas of their CloudEvents and as an AsyncAPI 3 document."""

from collections.abc import Iterable, Mapping
from typing import Any

from libs.common.contracts import Contracts
from services.gateway.json_schema import JsonSchemas, Schema
from services.gateway.publication import Publication, Tree, schema_address
from services.gateway.relay import SKIPPED_TYPE

_DESCRIPTION = """
What has happened in Stepladder, as CloudEvents 1.0 in JSON (structured mode), each exactly once, in the order in which
it happened. Names and free texts are never in them: read those where you may, by the ids.

Five ways lead to the same events and positions: a JetStream consumer of the stream EVENTS (the channels below are its
subjects), `EventService.WatchEvents` by gRPC, server-sent events at `/v1/events:stream`, webhooks, and pages at
`/v1/events`.

Fields are added to events, never changed or removed: pass over those that you do not know.
""".strip()


def event_schemas(publications: Iterable[Publication], contracts: Contracts) -> Mapping[str, Schema]:
    """The JSON Schema (draft 2020-12) of each type's CloudEvents."""
    schemas = JsonSchemas(contracts, "", written=False)
    found = {one.type: _cloud_event(one.type, _data(one, schemas, contracts)) for one in publications}
    mark = "Stands in place of an event that could not be published; an operator has looked at it."
    return found | {SKIPPED_TYPE: _cloud_event(SKIPPED_TYPE, None) | {"description": mark}}


def asyncapi(schemas: Mapping[str, Schema]) -> dict[str, Any]:
    """An AsyncAPI 3.0 document of all types; `schemas` are theirs."""
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "Stepladder events", "version": "1.0.0", "description": _DESCRIPTION},
        "defaultContentType": "application/cloudevents+json",
        "channels": {name: _channel(name) for name in schemas},
        "operations": {
            f"send.{name}": {"action": "send", "channel": {"$ref": f"#/channels/{name}"}} for name in schemas
        },
        "components": {"messages": {name: _message(name, schema) for name, schema in schemas.items()}},
    }


def _cloud_event(name: str, data: Schema | None) -> Schema:
    """Attributes as CloudEvents 1.0.2 names them (section 3.1), those of ours among them as extensions."""
    text: Schema = {"type": "string", "minLength": 1}
    properties: dict[str, Schema] = {
        "specversion": {"const": "1.0"},
        "id": {**text, "description": "Of the event itself: the same wherever it is read."},
        "source": {"const": f"/stepladder/{name.split('.')[1]}"},
        "type": {"const": name},
        "subject": {**text, "description": "Kind and id of what it happened to, such as `plan/p-1`."},
        "time": {"type": "string", "format": "date-time", "description": "When it was recorded."},
        "logposition": {
            "type": "string",
            "pattern": "^[0-9]+$",
            "description": "Position in the log: as `at_least`, a read includes the event.",
        },
    }
    required = list(properties)
    if data is not None:
        properties |= {
            "datacontenttype": {"const": "application/json"},
            "dataschema": {"const": schema_address(name)},
            "data": data,
            "employeeid": {**text, "description": "Whom it is about; left out where that is nobody."},
            "teamid": {**text, "description": "Of which team, on the day; left out where that is none."},
            "dataomitted": {"const": True, "description": "The event is too large: read it at the service."},
        }
        required += ["datacontenttype", "dataschema"]
    schema: Schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": schema_address(name),
        "title": name,
        "type": "object",
        "properties": properties,
        "required": required,
    }
    if data is not None:
        schema["oneOf"] = [{"required": ["data"]}, {"required": ["dataomitted"]}]
        if text_of_data := data.get("description"):
            schema["description"] = text_of_data
    return schema


def _data(publication: Publication, schemas: JsonSchemas, contracts: Contracts) -> Schema:
    schema = _object(publication.fields, schemas)
    if comment := contracts.comments.get(publication.kind.name):
        schema["description"] = comment
    return schema


def _object(fields: Tree, schemas: JsonSchemas) -> Schema:
    properties: dict[str, Schema] = {}
    for field, within in fields.items():
        if not within:
            properties[field.json_name] = schemas.field(field)
        elif field.is_repeated:
            properties[field.json_name] = {"type": "array", "items": _object(within, schemas)}
        else:
            properties[field.json_name] = _object(within, schemas)
    required = [field.json_name for field in fields if field.is_repeated or not field.has_presence]
    return {"type": "object", "properties": properties, **({"required": required} if required else {})}


def _channel(name: str) -> dict[str, Any]:
    _, service, kind, version = name.split(".")
    return {
        "address": f"events.{service}.{kind}.{version}.{{team}}.{{employee}}",
        "title": name,
        "parameters": {
            "team": {"description": "The team's id; `_` where there is none."},
            "employee": {"description": "The employee's id; `_` where there is none."},
        },
        "messages": {"event": {"$ref": f"#/components/messages/{name}"}},
    }


def _message(name: str, schema: Schema) -> dict[str, Any]:
    payload = {key: value for key, value in schema.items() if not key.startswith("$")}
    return {"name": name, "title": name, "contentType": "application/cloudevents+json", "payload": payload}
