"""The OpenAPI 3.1 document of everything that Envoy answers over REST, out of the contracts (google.api.http)."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from google.api.annotations_pb2 import http as http_rule
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor, ServiceDescriptor

from libs.common.access import EVERYONE
from libs.common.contracts import Contracts
from services.gateway.json_schema import JsonSchemas, Schema, required_fields

_VARIABLE = re.compile(r"{([^}=]+)(?:=[^}]*)?}")
_FILE = "google.api.HttpBody"
_IN_QUERIES = {"google.protobuf.Timestamp", "google.protobuf.Duration", "google.protobuf.FieldMask"}
"""Messages that are one text in JSON."""

_ABOUT = """Every RPC of every service, as REST. The same calls are there as gRPC and gRPC-Web on the same port.

Names are written as here or as in the contracts (`team_id`); 64-bit numbers are texts. Fields that a request does not
have are refused in a query, and ignored in a body. Every refusal is a `google.rpc.Status`; the reason in its
`google.rpc.ErrorInfo` is stable, and where fields are wrong `google.rpc.BadRequest` names them.

Each call says who may make it (`x-who-may`): `everyone` without a token; `employee`, `hr`, `qa` and `executive` by what
they are today; `self`, `lead` and `manager` by what they are to the employee whom the call is about; `system:` and the
role of a system. The text of each service says more."""

_REFUSALS = {
    400: ("Wrong", "It is wrong in itself, or the state of things forbids it now."),
    401: ("Unauthenticated", "It does not say who calls, or that cannot be verified."),
    403: ("Forbidden", "It is not for this caller."),
    404: ("NotFound", "Something named does not exist."),
    409: ("Conflict", "The id is taken, or others changed the same thing; read again and decide again."),
    413: ("TooLarge", "The request is too large; send it in parts."),
    429: ("TooMany", "Too many requests, or too large a message; `Retry-After` says when to go on."),
    500: ("Fault", "Something is wrong on our side; its number helps when it is reported."),
    503: ("Unavailable", "Not right now; send the same again."),
    504: ("TooSlow", "There was no answer in time; send the same again."),
}
"""Name and meaning of each HTTP status of a refusal."""


def _detail(name: str, properties: Schema) -> Schema:
    """A message in `google.rpc.Status.details` (google/rpc/error_details.proto)."""
    kind = {"@type": {"const": f"type.googleapis.com/google.rpc.{name}"}}
    return {"type": "object", "properties": kind | properties, "required": ["@type", *properties]}


_TEXT = {"type": "string"}
_REASON = {"type": "string", "pattern": "^[A-Z][A-Z0-9_]+$", "description": "Stable, for programs."}
_VIOLATION = {"type": "object", "properties": {"field": _TEXT, "description": _TEXT}}
_ERRORS: dict[str, Schema] = {
    "google.rpc.ErrorInfo": _detail(
        "ErrorInfo", {"reason": {**_TEXT, "pattern": "^[A-Z][A-Z0-9_]+$"}, "domain": _TEXT}
    ),
    "google.rpc.BadRequest": _detail("BadRequest", {"fieldViolations": {"type": "array", "items": _VIOLATION}}),
    "google.rpc.RetryInfo": _detail("RetryInfo", {"retryDelay": _TEXT}),
    "google.rpc.Status": {
        "type": "object",
        "properties": {
            "code": {"type": "integer", "description": "The gRPC code (google.rpc.Code).", "minimum": 1, "maximum": 16},
            "message": {**_TEXT, "description": "What was wrong, where, and what to do; for people."},
            "details": {
                "type": "array",
                "items": {"type": "object", "properties": {"@type": _TEXT}, "required": ["@type"]},
                "contains": {"$ref": "#/components/schemas/google.rpc.ErrorInfo"},
                "description": "Always a google.rpc.ErrorInfo; where fields are wrong a google.rpc.BadRequest.",
            },
        },
        "required": ["code", "message", "details"],
    },
}


def openapi_document(contracts: Contracts, rules: Mapping[str, frozenset[str]], version: str) -> dict[str, Any]:
    """The whole document as JSON values; `rules` say who may call what, `version` is that of the program."""
    return _Document(contracts, rules).whole(version)


class _Document:
    def __init__(self, contracts: Contracts, rules: Mapping[str, frozenset[str]]) -> None:
        self._contracts = contracts
        self._rules = rules
        self._written = JsonSchemas(contracts, "#/components/schemas/", written=True)
        self._answered = JsonSchemas(contracts, "#/components/schemas/", written=False)

    def whole(self, version: str) -> dict[str, Any]:
        paths: dict[str, dict[str, Any]] = {}
        for service in self._contracts.services:
            for method in service.methods:
                for number, (verb, path, body) in enumerate(bindings(method)):
                    name = f"{service.name}_{method.name}" + (f"_{number + 1}" if number else "")
                    shown = _VARIABLE.sub(lambda found: f"{{{_in_path(found[1])}}}", path)
                    operation = {"operationId": name, **self._operation(method, path, body)}
                    paths.setdefault(shown, {})[verb] = operation
        schemas = {**self._written.definitions, **self._answered.definitions, **_ERRORS}
        return {
            "openapi": "3.1.0",
            "info": {"title": "Stepladder", "version": version, "description": _ABOUT},
            "servers": [{"url": "/"}],
            "tags": [self._tag(service) for service in self._contracts.services],
            "paths": dict(sorted(paths.items())),
            "components": {
                "schemas": dict(sorted(schemas.items())),
                "responses": {name: _refusal(text) for name, text in _REFUSALS.values()},
                "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
            },
        }

    def _tag(self, service: ServiceDescriptor) -> dict[str, str]:
        return {"name": service.name, "description": self._contracts.comments.get(service.full_name, "")}

    def _operation(self, method: MethodDescriptor, path: str, body: str) -> dict[str, Any]:
        comment = self._contracts.comments.get(method.full_name, "")
        may = self._rules.get(f"{method.containing_service.full_name}/{method.name}", frozenset())
        operation: dict[str, Any] = {"tags": [method.containing_service.name], "x-who-may": sorted(may)}
        if EVERYONE not in may:
            operation["security"] = [{"bearer": []}]
        if comment:
            operation |= {"description": comment}
        in_path = set(_VARIABLE.findall(path))
        if parameters := list(self._parameters(method.input_type, in_path, body)):
            operation["parameters"] = parameters
        if body:
            content = {"application/json": {"schema": self._body(method, in_path, body)}}
            operation["requestBody"] = {"content": content, "required": True}
        refusals = {status: name for status, (name, _) in _REFUSALS.items() if body or status != 413}
        operation["responses"] = {"200": self._answer(method)} | {
            str(status): {"$ref": f"#/components/responses/{name}"} for status, name in refusals.items()
        }
        return operation

    def _parameters(self, message: Descriptor, in_path: set[str], body: str) -> Iterator[dict[str, Any]]:
        """Those of the path, then those of the query: what is neither in the path nor in the body."""
        for name in sorted(in_path):
            field = _field(message, name)
            yield {
                "name": _in_path(name),
                "in": "path",
                "required": True,
                "schema": self._written.field(field, given=True),
            }
        if body == "*":
            return
        for name, field, required in _query_fields(message):
            if name not in in_path and name.split(".")[0] != body:
                parameter = {"name": _camel(name), "in": "query", "schema": self._written.field(field)}
                yield parameter | ({"required": True} if required else {})

    def _body(self, method: MethodDescriptor, in_path: set[str], body: str) -> Schema:
        if method.client_streaming:
            return {"type": "array", "items": self._written.reference(method.input_type)}
        if body == "*":
            return self._written.message(method.input_type, leave_out=frozenset(in_path))
        inside = frozenset(name.removeprefix(f"{body}.") for name in in_path)
        resource = method.input_type.fields_by_name[body].message_type
        return self._written.message(resource, leave_out=inside)  # type: ignore[arg-type] # a body is a message

    def _answer(self, method: MethodDescriptor) -> dict[str, Any]:
        raw = method.output_type.full_name == _FILE
        if raw and not method.server_streaming:
            return {"description": "A file or page, of the type that its header says.", "content": {"*/*": {}}}
        schema = {"type": "object"} if raw else self._answered.reference(method.output_type)
        if method.server_streaming:
            data = {"type": "string", "contentMediaType": "application/json", "contentSchema": schema}
            event = {"type": "object", "properties": {"data": data}}
            content = {"text/event-stream": {"schema": event}}
            return {"description": "Server-sent events as they come; this is the schema of each.", "content": content}
        return {"description": "Done, or found.", "content": {"application/json": {"schema": schema}}}


def bindings(method: MethodDescriptor) -> Iterator[tuple[str, str, str]]:
    """HTTP method, path template and body (a field's name, `*` or nothing) of each way to a method by REST."""
    rule = method.GetOptions().Extensions[http_rule]
    for binding in (rule, *rule.additional_bindings):
        verb = binding.WhichOneof("pattern")
        if verb:
            yield verb, getattr(binding, verb), binding.body


def _query_fields(message: Descriptor, prefix: str = "") -> Iterator[tuple[str, FieldDescriptor, bool]]:
    """Path, descriptor and whether it is needed of what can be in a query: fields of fields are named with points."""
    needed = required_fields(message)
    for field in message.fields:
        name = f"{prefix}{field.name}"
        if not field.message_type or field.message_type.full_name in _IN_QUERIES:
            yield name, field, field.name in needed
        elif not field.is_repeated:
            yield from _query_fields(field.message_type, f"{name}.")


def _field(message: Descriptor, path: str) -> FieldDescriptor:
    first, _, rest = path.partition(".")
    field = message.fields_by_name[first]
    return _field(field.message_type, rest) if rest else field  # type: ignore[arg-type] # by its path it is a message


def _in_path(path: str) -> str:
    """`teamId` of `team.team_id`: the same path by another method has the same name in it."""
    return _camel(path.rpartition(".")[2])


def _camel(path: str) -> str:
    return re.sub(r"_([a-z0-9])", lambda found: found[1].upper(), path)


def _refusal(text: str) -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/google.rpc.Status"}
    return {"description": text, "content": {"application/json": {"schema": schema}}}
