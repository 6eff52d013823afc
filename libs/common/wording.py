"""What is wrong with a field, in words for people: the contracts' own, or ours for protovalidate's rules. Pure."""

from collections.abc import Callable, Mapping
from typing import Any

from google.protobuf.descriptor import FieldDescriptor, OneofDescriptor
from google.protobuf.message import Message
from protovalidate import ViolationPb as Violation

from buf.validate.validate_pb2 import FieldRules
from buf.validate.validate_pb2 import field as RULES  # noqa: N812 - it is a constant


def in_words(violation: Violation, message: Message) -> str:
    """What a violation in a message says; the library's own message where that is in words for people."""
    found, elements = _found(violation, message.DESCRIPTOR), violation.field.elements if violation.field else []
    if isinstance(found, OneofDescriptor):
        return f"must have exactly one of {', '.join(one.name for one in found.fields)}"
    if found is None or violation.rule_id not in _WORDS:
        return violation.message
    rules = found.GetOptions().Extensions[RULES]
    return _WORDS[violation.rule_id](rules.repeated.items if elements[-1].subscript is not None else rules, found)


def _found(violation: Violation, of: Any) -> FieldDescriptor | OneofDescriptor | None:
    """What a violation is about; None: the whole message."""
    found: FieldDescriptor | OneofDescriptor | None = None
    for element in violation.field.elements if violation.field else ():
        found = of.fields_by_name.get(element.field_name) or of.oneofs_by_name[element.field_name]
        of = getattr(found, "message_type", None) or of
    return found


def _names(rules: FieldRules, field: FieldDescriptor) -> str:
    """Those of an enum that a field may have."""
    values = field.enum_type.values if field.enum_type else []
    allowed = list(getattr(rules.enum, "in")) or [one.number for one in values]
    names = [one.name for one in values if one.number in {*allowed} - {*rules.enum.not_in}]
    return f"must be one of {', '.join(names)}"


def _least(rules: FieldRules, _: FieldDescriptor) -> str:
    fewest = rules.string.min_len
    return f"must be at least {fewest} characters" if fewest > 1 else "must not be empty"


_WORDS: Mapping[str, Callable[[FieldRules, FieldDescriptor], str]] = {
    "required": lambda _, field: (
        "must be said: true or false" if field.type == FieldDescriptor.TYPE_BOOL else "must be given"
    ),
    "string.min_len": _least,
    "string.in": lambda rules, _: f"must be one of {', '.join(filter(None, getattr(rules.string, 'in')))}",
    "repeated.min_items": lambda rules, _: f"must have {rules.repeated.min_items} or more",
    "repeated.max_items": lambda rules, _: f"must have {rules.repeated.max_items} at most",
    "repeated.unique": lambda *_: "has the same twice",
    "int32.gte_lte": lambda rules, _: f"must be from {rules.int32.gte} to {rules.int32.lte}",
    "int64.gte_lte": lambda rules, _: f"must be from {rules.int64.gte} to {rules.int64.lte}",
    "timestamp.gte_lt": lambda rules, _: (
        f"must be from {rules.timestamp.gte.ToJsonString()} on, and before {rules.timestamp.lt.ToJsonString()}"
    ),
    "enum.defined_only": _names,
    "enum.in": _names,
    "enum.not_in": _names,
}
"""By the rule's id, for the rules of a field."""
