"""JSON Schemas (draft 2020-12) of messages, in protobuf's JSON mapping (protobuf.dev/programming-guides/json).

Two views of the same message differ. What a caller sends keeps the rules of its contract (protovalidate). What is
answered or published does not have to, for a text may have been erased; but no field without presence is left out.
"""

import re
from typing import Any

import protovalidate
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from buf.validate import validate_pb2 as rules_pb2
from libs.common.contracts import Contracts
from stepladder.common.v1 import rules_pb2 as predefined_pb2

Schema = dict[str, Any]

PREDEFINED = predefined_pb2.DESCRIPTOR.extensions_by_name
"""Our own rules; that they are imported makes them known where options are read."""

_WELL_KNOWN: dict[str, Schema] = {
    "google.protobuf.Timestamp": {"type": "string", "format": "date-time"},
    "google.protobuf.Duration": {"type": "string", "pattern": r"^-?[0-9]+([.][0-9]{1,9})?s$"},
    "google.protobuf.FieldMask": {"type": "string", "description": "Names of fields, separated by commas."},
    "google.protobuf.Struct": {"type": "object"},
    "google.protobuf.Value": {},
    "google.protobuf.ListValue": {"type": "array"},
    "google.protobuf.Any": {
        "type": "object",
        "properties": {"@type": {"type": "string"}},
        "required": ["@type"],
    },
}
_SCALARS: dict[int, Schema] = {
    FieldDescriptor.CPPTYPE_BOOL: {"type": "boolean"},
    FieldDescriptor.CPPTYPE_INT32: {"type": "integer", "format": "int32"},
    FieldDescriptor.CPPTYPE_UINT32: {"type": "integer", "format": "uint32"},
    FieldDescriptor.CPPTYPE_INT64: {"type": "string", "format": "int64", "pattern": "^-?[0-9]+$"},
    FieldDescriptor.CPPTYPE_UINT64: {"type": "string", "format": "uint64", "pattern": "^[0-9]+$"},
    FieldDescriptor.CPPTYPE_FLOAT: {"type": "number", "format": "float"},
    FieldDescriptor.CPPTYPE_DOUBLE: {"type": "number", "format": "double"},
    FieldDescriptor.CPPTYPE_STRING: {"type": "string"},
}
_KEYWORDS = {
    "min_len": "minLength",
    "max_len": "maxLength",
    "pattern": "pattern",
    "gte": "minimum",
    "gt": "exclusiveMinimum",
    "lte": "maximum",
    "lt": "exclusiveMaximum",
    "min_items": "minItems",
    "max_items": "maxItems",
    "unique": "uniqueItems",
    "min_pairs": "minProperties",
    "max_pairs": "maxProperties",
    "const": "const",
}
_BOUNDS = {"gte": "from", "gt": "after", "lte": "until", "lt": "before"}
_MATCHES = re.compile(r"(?:!rule \|\| )?this\.matches\('(.*)'\)")
_VALIDATOR = protovalidate.Validator()


class JsonSchemas:
    """Schemas of messages, and in `definitions`, by name, of all messages that those refer to.

    `written`: as callers send them, with the rules of the contract; names of definitions end in `Input`. Otherwise as
    they are answered and published. `prefix` is where the definitions will lie, such as `#/components/schemas/`.
    """

    def __init__(self, contracts: Contracts, prefix: str, *, written: bool) -> None:
        self.definitions: dict[str, Schema] = {}
        self._comments = contracts.comments
        self._prefix = prefix
        self._written = written

    def reference(self, message: Descriptor) -> Schema:
        """What stands for a message where it is used; its definition is there from now on."""
        if message.full_name in _WELL_KNOWN:
            return dict(_WELL_KNOWN[message.full_name])
        name = f"{message.full_name}Input" if self._written else message.full_name
        if name not in self.definitions:
            self.definitions[name] = {}  # a message may hold itself
            self.definitions[name] = self.message(message)
        return {"$ref": f"{self._prefix}{name}"}

    def message(self, message: Descriptor, leave_out: frozenset[str] = frozenset()) -> Schema:
        """An object with the fields of a message, without those named."""
        fields = [field for field in message.fields if field.name not in leave_out]
        schema: Schema = {"type": "object", "properties": {field.json_name: self.field(field) for field in fields}}
        needed = required_fields(message) if self._written else {f.name for f in fields if _always_printed(f)}
        if required := [field.json_name for field in fields if field.name in needed]:
            schema["required"] = required
        texts = [self._comments.get(message.full_name, "")]
        if self._written:
            either = [
                {"oneOf": [{"required": [field.json_name]} for field in oneof.fields]}
                for oneof in message.oneofs
                if oneof.GetOptions().Extensions[rules_pb2.oneof].required
            ]
            schema |= {"allOf": either} if either else {}
            texts += [_rule(cel.message) for cel in message.GetOptions().Extensions[rules_pb2.message].cel]
        return _described(schema, texts)

    def field(self, field: FieldDescriptor, *, given: bool = False) -> Schema:
        """A field's value, with its comment and, as callers write it, its rules; `given`: it is not left empty."""
        schema = self._value(field)
        texts = [self._comments.get(field.full_name, "")]
        if self._written:
            free, rules = dict(schema), field.GetOptions().Extensions[rules_pb2.field]
            texts += _apply(rules, schema, field.enum_type)
            if rules.ignore == rules_pb2.IGNORE_IF_ZERO_VALUE and schema != free and not given:
                schema = {"anyOf": [{"const": _zero(field)}, schema]}
        return _described(schema, texts)

    def _value(self, field: FieldDescriptor) -> Schema:
        if field.message_type and field.message_type.GetOptions().map_entry:
            return {"type": "object", "additionalProperties": self._one(field.message_type.fields_by_name["value"])}
        return {"type": "array", "items": self._one(field)} if field.is_repeated else self._one(field)

    def _one(self, field: FieldDescriptor) -> Schema:
        if field.message_type:
            return self.reference(field.message_type)
        if field.enum_type:
            return self._enum(field.enum_type)
        if field.type == FieldDescriptor.TYPE_BYTES:
            return {"type": "string", "contentEncoding": "base64"}
        scalar = _SCALARS[field.cpp_type]
        if self._written and scalar.get("format") in {"int64", "uint64"}:
            return {**scalar, "type": ["string", "integer"]}
        return dict(scalar)

    def _enum(self, enum: EnumDescriptor) -> Schema:
        said = {value.name: self._comments.get(f"{enum.full_name}.{value.name}", "") for value in enum.values}
        text = "\n".join(f"- `{name}`: {comment}" for name, comment in said.items() if comment)
        return _described({"type": "string", "enum": list(said)}, [self._comments.get(enum.full_name, ""), text])


def required_fields(message: Descriptor) -> set[str]:
    """Fields for want of which an empty message is refused."""
    empty: Message = GetMessageClass(message)()
    paths = [violation.proto.field for violation in _VALIDATOR.collect_violations(empty)]
    return {path.elements[0].field_name for path in paths if path} & set(message.fields_by_name)


def _apply(rules: Any, schema: Schema, enum: EnumDescriptor | None) -> list[str]:
    """Adds a field's rules to its schema; answers, in words, those that JSON Schema has no word for."""
    texts = [_apply_cel(rule, schema) for rule in rules.cel]
    kind = rules.WhichOneof("type")
    for rule, value in getattr(rules, kind).ListFields() if kind else ():
        if rule.is_extension:
            texts += [_apply_cel(cel, schema) for cel in rule.GetOptions().Extensions[rules_pb2.predefined].cel]
        elif rule.name == "items":
            texts += _apply(value, schema["items"], enum)
        elif rule.name == "in":
            schema["enum"] = [enum.values_by_number[one].name if enum else one for one in value]
        elif rule.name == "not_in" and enum:
            others = {enum.values_by_number[one].name for one in value}
            schema["enum"] = [name for name in schema["enum"] if name not in others]
        elif kind == "timestamp":
            texts.append(_rule(f"must be {_BOUNDS[rule.name]} {value.ToJsonString()}"))
        elif keyword := _KEYWORDS.get(rule.name):
            schema[keyword] = value
    return texts


def _apply_cel(rule: Any, schema: Schema) -> str:
    matched = _MATCHES.fullmatch(rule.expression)
    if matched and r"\p" not in matched[1]:  # classes of Unicode are not in every dialect that reads schemas
        schema["pattern"] = matched[1].replace(r"\\", "\\")  # as CEL writes texts
    return _rule(rule.message)


def _zero(field: FieldDescriptor) -> Any:
    return field.enum_type.values_by_number[0].name if field.enum_type else field.default_value


def _rule(text: str) -> str:
    return f"Rule: {text}." if text else ""


def _described(schema: Schema, texts: list[str]) -> Schema:
    """Beside what a definition that it refers to says of itself."""
    text = "\n\n".join(text for text in [schema.get("description", ""), *texts] if text)
    return {**schema, "description": text} if text else schema


def _always_printed(field: FieldDescriptor) -> bool:
    return field.is_repeated or not field.has_presence
