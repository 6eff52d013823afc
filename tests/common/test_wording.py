"""What people are told of wrong fields: for every request of every contract in words, without the rules' jargon."""

import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import protovalidate
import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from libs import gen
from libs.common.rpc import field_path
from libs.common.wording import in_words
from stepladder.performance.v1 import policy_pb2
from stepladder.performance.v1.promotion_rules_pb2 import QuestionBank
from stepladder.promotion.v1 import candidacy_pb2, cycle_pb2, document_pb2, peer_score_pb2, post_pb2

GENERATED = Path(gen.__path__[0])
CONTRACTS = [
    import_module(".".join(path.relative_to(GENERATED).with_suffix("").parts))
    for path in sorted(GENERATED.glob("stepladder/*/v1/*_pb2.py"))
]
REQUESTS = sorted(
    {
        method.input_type
        for contract in CONTRACTS
        for service in contract.DESCRIPTOR.services_by_name.values()
        for method in service.methods
    },
    key=lambda one: one.full_name,
)
JARGON = re.compile(
    r"[\\^$|{}\[\]]|regex|item\(s\)|oneof|defined enum|greater than or equal to \S+ and|^value is|repeated value|"
    r"in list"
)
VALIDATOR = protovalidate.Validator()
WRONG: dict[int, list[Any]] = {
    FieldDescriptor.CPPTYPE_STRING: ["", "Nö! " * 4000],
    FieldDescriptor.CPPTYPE_INT32: [-(2**31), 2**31 - 1],
    FieldDescriptor.CPPTYPE_INT64: [-(2**63), 2**63 - 1],
    FieldDescriptor.CPPTYPE_ENUM: [0, 99],
    FieldDescriptor.CPPTYPE_BOOL: [False],
}


def filled(kind: Descriptor, turn: int, depth: int = 5) -> Message:
    """A message with something wrong in every field of it: each `turn` takes other wrong values and other choices."""
    message = GetMessageClass(kind)()
    chosen = {one.name: one.fields[turn % len(one.fields)] for one in kind.oneofs}
    for field in kind.fields:
        one_of = field.containing_oneof
        if one_of is not None and chosen[one_of.name] != field:
            continue
        if field.message_type is not None:
            if field.message_type.GetOptions().map_entry or not depth or field.message_type.file.package == "google":
                continue
            inner = filled(field.message_type, turn, depth - 1)
            if field.is_repeated:
                getattr(message, field.name).extend([inner, inner])
            else:
                getattr(message, field.name).CopyFrom(inner)
            continue
        values = WRONG[field.cpp_type]
        value = values[turn % len(values)]
        if field.is_repeated:
            getattr(message, field.name).extend([value, value])
        else:
            setattr(message, field.name, value)
    return message


def told(message: Message) -> Iterator[tuple[str, str]]:
    """Fields and messages."""
    for one in VALIDATOR.collect_violations(message):
        yield field_path(one.proto.field), in_words(one.proto, message)


@pytest.mark.parametrize("kind", REQUESTS, ids=lambda one: one.name)
def test_no_message_has_a_regex_or_the_words_of_a_library(kind: Descriptor) -> None:
    """Neither of an empty request nor of one with something wrong everywhere."""
    for message in (GetMessageClass(kind)(), *(filled(kind, turn) for turn in range(14))):
        for field, words in told(message):
            assert not JARGON.search(words), (field, words)


def test_enough_is_wrong_to_see_the_messages() -> None:
    found = [one for kind in REQUESTS for turn in range(14) for one in told(filled(kind, turn))]
    assert len({words for _, words in found}) > 60
    assert JARGON.search("does not match regex pattern `^[a-z]{2}$`")


REVIEW = candidacy_pb2.ReviewAsManagerRequest(candidacy_id="c-1", approved=True, report="ready", score="101")
HEADCOUNT = post_pb2.SetHeadcountRequest(position="agent", stars=6, team_id="t-1", effective_date="2026-02-30")


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (REVIEW, {"score": "must be a number from 0 to 100 with up to two digits behind the point, such as 85.5"}),
        (
            HEADCOUNT,
            {
                "stars": "must be from 0 to 5",
                "effective_date": "must be a day of the calendar, written YYYY-MM-DD, such as 2026-03-31",
            },
        ),
        (
            candidacy_pb2.GetCandidacyRequest(candidacy_id="No 1"),
            {
                "candidacy_id": "must be 1 to 63 lower-case letters, digits or hyphens and not start with a hyphen, "
                "such as team-7"
            },
        ),
        (cycle_pb2.OpenCycleRequest(), {"cycle": "must have exactly one of regular, own"}),
        (policy_pb2.SetPolicyRequest(), {"policy": "must be given"}),
        (candidacy_pb2.SettleObjectionRequest(), {"upheld": "must be said: true or false"}),
        (
            QuestionBank.Text(language="english", text=""),
            {
                "language": "must be a language by its two letters, such as en or zh",
                "text": "must not be empty",
            },
        ),
        (
            peer_score_pb2.AskPeersRequest(candidacy_id="c-1", peer_ids=["e-1", "e-1"]),
            {"peer_ids": "has the same twice"},
        ),
        (candidacy_pb2.ScoreInterviewRequest(candidacy_id="c-1"), {"answers": "must have 1 or more"}),
        (
            document_pb2.ExportLetterRequest(candidacy_id="c-1", format="pdf", language="fr"),
            {"language": "must be one of en, zh"},
        ),
    ],
)
def test_what_is_expected_is_said_with_an_example(message: Message, expected: dict[str, str]) -> None:
    assert dict(told(message)).items() >= expected.items()
