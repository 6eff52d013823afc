"""Texts of requests, of every contract."""

import protovalidate
import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from buf.validate.validate_pb2 import IGNORE_ALWAYS
from buf.validate.validate_pb2 import field as rules_of
from libs.common.errors import FieldViolation
from libs.common.texts import unreadable_texts
from services.gateway.__main__ import CONTRACTS
from stepladder.coaching.v1.session_pb2 import AgreedAction, HoldSessionRequest
from stepladder.performance.v1.facts_pb2 import Fact, RecordFactsRequest

REQUESTS = [
    method.input_type
    for file in CONTRACTS
    for service in file.DESCRIPTOR.services_by_name.values()
    for method in service.methods
]


def with_a_nul(message: Descriptor, depth: int = 6) -> list[tuple[str, Message]]:
    """Messages with the character in one text each, by that text's path."""
    found: list[tuple[str, Message]] = []
    for field in message.fields:
        name = f"{field.name}[0]" if field.is_repeated else field.name
        if field.type == FieldDescriptor.TYPE_STRING:
            found.append((name, holding(message, field, "a\x00")))
        elif field.message_type and depth and not has_rules_of_its_own(field):
            inside = with_a_nul(field.message_type, depth - 1)
            found += [(f"{name}.{path}", holding(message, field, one)) for path, one in inside]
    return found


def has_rules_of_its_own(field: FieldDescriptor) -> bool:
    """The KPI of UpdateKpi, of which the fields named are checked by what takes them."""
    return bool(field.GetOptions().Extensions[rules_of].ignore == IGNORE_ALWAYS)


def holding(message: Descriptor, field: FieldDescriptor, value: object) -> Message:
    made = GetMessageClass(message)(**{field.name: [value] if field.is_repeated else value})
    assert isinstance(made, Message)
    return made


def test_they_are_told_by_their_paths() -> None:
    """Wherever they are; tabs and line breaks are none, nor is what reads from right to left."""
    request = HoldSessionRequest(observed="a\tb\r\nc \u202e", feedback="\x07")
    request.actions.extend([AgreedAction(text="fine"), AgreedAction(text="\x1b[2J")])
    message = "must not have control characters but tabs and line breaks"
    assert list(unreadable_texts(request)) == [
        FieldViolation("feedback", message),
        FieldViolation("actions[1].text", message),
    ]


@pytest.mark.parametrize("blanks", [" ", "\t\n", "\u3000", "\u200b", "\ufeff \u00ad"])
def test_blanks_say_nothing(blanks: str) -> None:
    """Whatever kind of blanks they are; a text that is left out is for the field's own rules."""
    request = HoldSessionRequest(observed=blanks, feedback=f"{blanks}x")
    request.actions.extend([AgreedAction(text="")])
    assert [one.field for one in unreadable_texts(request)] == ["observed"]


@pytest.mark.parametrize("request_type", REQUESTS, ids=lambda one: one.full_name)
def test_no_request_has_any(request_type: Descriptor) -> None:
    """Each text of each request of each contract is refused with one: by its own rules, or here."""
    for path, made in with_a_nul(request_type):
        by_rules = {one.proto.rule_id for one in protovalidate.collect_violations(made)}
        found = [one.field for one in unreadable_texts(made)]
        assert found == [path] or any(rule.startswith("string.") for rule in by_rules), path


def test_facts_are_not_searched() -> None:
    """They have no free texts: ten thousand of them are not looked at one by one."""
    facts = [Fact(source="a\x00") for _ in range(10_000)]
    assert list(unreadable_texts(RecordFactsRequest(facts=facts))) == []
