"""The envelope: events to stored bytes and back, sealed, chained, and versioned."""

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import hypothesis
import pytest
from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import Message
from hypothesis import strategies as st

from libs.common.envelope import ERASED, Codec, UnknownEventType, chain_start, event_types, payload_hash
from libs.common.errors import LogCorrupted
from libs.common.eventsourcing import Context, Recorded
from libs.common.streams import Entry, Stored
from stepladder.coaching.v1 import events_pb2 as coaching
from stepladder.coaching.v1.plan_pb2 import Goal, Plan, Support
from stepladder.common.v1 import rules_pb2
from stepladder.common.v1.envelope_pb2 import CommandNoted, Envelope
from stepladder.performance.v1 import events_pb2 as performance

SUBJECT = "log.performance.employee.e-1"
CONTEXT = Context(
    now=datetime(2026, 3, 16, 12, 30, 15, 250_000, tzinfo=UTC),
    today=datetime(2026, 3, 16, tzinfo=UTC).date(),
    actor="user:u-1",
    cause="c.0",
    traceparent="00-1-2-01",
)
TYPES = event_types([performance.DESCRIPTOR, coaching.DESCRIPTOR])


class Keys:
    """Data keys in a dict."""

    def __init__(self) -> None:
        self.keys: dict[str, bytes] = {}

    async def get_or_create(self, employee_id: str) -> bytes:
        return self.keys.setdefault(employee_id, hashlib.sha256(employee_id.encode()).digest())

    async def get(self, employee_id: str) -> bytes | None:
        return self.keys.get(employee_id)

    async def gone(self, employee_ids: Collection[str]) -> frozenset[str]:
        return frozenset(one for one in employee_ids if one not in self.keys)


@pytest.fixture
def keys() -> Keys:
    return Keys()


async def encode(codec: Codec, *events: Message, subject: str = SUBJECT) -> tuple[list[Entry], bytes]:
    encoded = await codec.encode(
        subject,
        events,
        command_id="c-1",
        command_digest=b"digest",
        context=CONTEXT,
        previous_hash=chain_start(subject),
    )
    return encoded.entries, encoded.last_hash


def stored(entry: Entry, subject: str = SUBJECT) -> Stored:
    return Stored(7, subject, entry.payload, entry.event_id)


async def through_the_log(keys: Keys, *events: Message, subject: str = SUBJECT) -> list[Recorded]:
    """Events as they are read after they were written."""
    codec = Codec(TYPES, keys)
    entries, _ = await encode(codec, *events, subject=subject)
    return [await codec.decode(stored(entry, subject)) for entry in entries]


hired = st.builds(
    performance.EmployeeHired,
    employee_id=st.sampled_from(["e-1", "e-2"]),
    display_name=st.text(max_size=50),
    hire_date=st.dates().map(str),
    stars=st.integers(0, 5),
    acting=st.booleans(),
)
activated = st.builds(
    coaching.PlanActivated,
    plan_id=st.just("p-1"),
    employee_id=st.just("e-1"),
    goals=st.lists(st.builds(Goal, kpi_id=st.just("aht"), baseline=st.just("4"), target=st.just("3.5")), max_size=3),
    resources=st.lists(st.text(max_size=30), max_size=3),
    supports=st.lists(st.builds(Support, mentor_id=st.just("e-2")), max_size=3),
    support_texts=st.lists(st.text(max_size=30), max_size=3),
)
diagnosed = st.builds(
    coaching.PlanDiagnosed,
    plan_id=st.just("p-1"),
    employee_id=st.just("e-1"),
    cause=st.just(Plan.CAUSE_SKILL),
    cause_note=st.text(max_size=50),
)
created = st.builds(performance.TeamCreated, team_id=st.just("t-1"), display_name=st.text(max_size=50))


@hypothesis.settings(derandomize=True, database=None, deadline=None, max_examples=200)
@hypothesis.given(events=st.lists(st.one_of(hired, activated, diagnosed, created), min_size=1, max_size=4))
async def test_what_is_written_is_read(events: list[Message]) -> None:
    """Every event comes back as it was, with its envelope, and the next one names its hash."""
    keys = Keys()
    codec = Codec(TYPES, keys)
    entries, last_hash = await encode(codec, *events)
    previous = chain_start(SUBJECT)
    for index, (event, entry) in enumerate(zip(events, entries, strict=True)):
        recorded = await codec.decode(stored(entry))
        envelope = recorded.envelope
        assert recorded.event == event
        assert (recorded.position, recorded.subject) == (7, SUBJECT)
        assert (envelope.event_id, entry.event_id, envelope.command_id) == (f"c-1.{index}", f"c-1.{index}", "c-1")
        assert (envelope.type, entry.type) == (event.DESCRIPTOR.full_name, event.DESCRIPTOR.full_name)
        assert (envelope.actor, envelope.cause, envelope.traceparent) == ("user:u-1", "c.0", "00-1-2-01")
        assert envelope.time.ToDatetime(UTC) == CONTEXT.now
        assert envelope.previous_hash == previous
        previous = payload_hash(entry.payload)
    assert last_hash == previous


PERSONAL: Sequence[tuple[Message, str]] = [
    (performance.EmployeeHired(employee_id="e-1", display_name="Zauberhaft"), "Zauberhaft"),
    (performance.EmployeeRenamed(employee_id="e-1", display_name="Zauberhaft"), "Zauberhaft"),
    (performance.EmployeeAccountChanged(employee_id="e-1", user_name="zauber@haft"), "zauber@haft"),
    (performance.FactCorrected(employee_id="e-1", reason="was ill that day"), "ill that"),
    (performance.FactRetracted(employee_id="e-1", reason="was ill that day"), "ill that"),
    (performance.FactDisputed(employee_id="e-1", reason="was ill that day"), "ill that"),
    (performance.FactDisputeSettled(employee_id="e-1", reason="was ill that day"), "ill that"),
    (performance.RecordCreated(employee_id="e-1", note="was ill that day"), "ill that"),
    (performance.RecordCorrected(employee_id="e-1", note="was late", reason="was ill that day"), "ill that"),
    (performance.RecordRetracted(employee_id="e-1", reason="was ill that day"), "ill that"),
    (performance.RecordDisputed(employee_id="e-1", reason="was ill that day"), "ill that"),
    (performance.RecordDisputeSettled(employee_id="e-1", reason="was ill that day"), "ill that"),
    (performance.AssessmentGiven(employee_id="e-1", comment="was ill that day"), "ill that"),
    (performance.AssessmentCancelled(employee_id="e-1", reason="was ill that day"), "ill that"),
    (performance.CalibrationRetracted(employee_id="e-1", reason="was ill that day"), "ill that"),
    (performance.RatingProposed(employee_id="e-1", reason="was ill all month"), "ill all"),
    (performance.RatingDecided(employee_id="e-1", reason="was ill all month"), "ill all"),
    (performance.CheckInCreated(employee_id="e-1", note="sleeps badly"), "badly"),
    (performance.CheckInCorrected(employee_id="e-1", note="sleeps badly"), "badly"),
    (performance.AtRiskReviewed(employee_id="e-1", note="sleeps badly"), "badly"),
    (coaching.PlanAssessed(employee_id="e-1", assessment="slow", employee_view="too many calls"), "too many"),
    (coaching.PlanViewGiven(employee_id="e-1", view="nobody explained"), "nobody"),
    (coaching.PlanDiagnosed(employee_id="e-1", cause_note="family matters"), "family"),
    (coaching.PlanDiagnosed(employee_id="e-1", further_notes=["", "family matters"]), "family"),
    (coaching.PlanActivated(employee_id="e-1", resources=["talk to Anna", "course"]), "Anna"),
    (coaching.PlanActivated(employee_id="e-1", support_texts=["", "talk to Anna"]), "Anna"),
    (coaching.PlanDriftReviewed(employee_id="e-1", note="family matters"), "family"),
    (coaching.PlanClosed(employee_id="e-1", reason="much calmer"), "calmer"),
    (coaching.SessionRescheduled(employee_id="e-1", reason="ill since Monday"), "Monday"),
    (coaching.SessionHeld(employee_id="e-1", observed="so slow", feedback="ask first", texts=["see Anna"]), "Anna"),
    (coaching.SessionAcknowledged(employee_id="e-1", words="fair enough"), "enough"),
    (coaching.SessionMissed(employee_id="e-1", reason="overslept"), "overslept"),
    (coaching.SessionCancelled(employee_id="e-1", reason="ill since Monday"), "Monday"),
    (coaching.ActionFollowedUp(employee_id="e-1", note="heard them all"), "heard"),
    (coaching.RepetitionRecorded(employee_id="e-1", note="read it from a sheet"), "sheet"),
    (coaching.MasteryWithdrawn(employee_id="e-1", reason="had help after all"), "help"),
    (coaching.TrainingRequested(employee_id="e-1", note="Anna does not listen"), "Anna"),
    (coaching.TrainingClosed(employee_id="e-1", reason="Anna listens now"), "Anna"),
    (coaching.TrainingCancelled(employee_id="e-1", reason="Anna has left"), "Anna"),
    (coaching.PipDrafted(employee_id="e-1", standards=["no shouting"], support="a mentor"), "shouting"),
    (coaching.PipEdited(employee_id="e-1", conducts=["shouting at callers"], consequence="dismissal"), "shouting"),
    (coaching.PipSentBack(employee_id="e-1", reason="no shouting"), "shouting"),
    (coaching.PipPreconditionOverridden(employee_id="e-1", reason="no shouting"), "shouting"),
    (coaching.PipDelivered(employee_id="e-1", note="no shouting"), "shouting"),
    (coaching.PipRefusalWitnessed(employee_id="e-1", note="no shouting"), "shouting"),
    (coaching.PipResponded(employee_id="e-1", text="no shouting"), "shouting"),
    (coaching.PipCheckpointHeld(employee_id="e-1", notes="no shouting"), "shouting"),
    (coaching.PipCheckpointRescheduled(employee_id="e-1", reason="no shouting"), "shouting"),
    (coaching.PipPaused(employee_id="e-1", reason="no shouting"), "shouting"),
    (coaching.PipResultProposed(employee_id="e-1", reason="no shouting"), "shouting"),
    (coaching.PipDecided(employee_id="e-1", reason="no shouting"), "shouting"),
    (coaching.PipAppealed(employee_id="e-1", text="no shouting"), "shouting"),
    (coaching.PipAppealHeard(employee_id="e-1", reason="no shouting"), "shouting"),
    (coaching.PipClosed(employee_id="e-1", reason="no shouting"), "shouting"),
    (coaching.PipDriftReviewed(employee_id="e-1", note="no shouting"), "shouting"),
    (coaching.SharingPrepared(employee_id="e-1", attitude="calm", helpfulness="asks", topic="listens"), "calm"),
    (coaching.SharingCancelled(employee_id="e-1", reason="is on leave"), "leave"),
    (coaching.SuggestionRaised(employee_id="e-1", text="more fresh air"), "fresh"),
    (coaching.SuggestionAccepted(employee_id="e-1", reason="windows open"), "windows"),
    (coaching.SuggestionDeclined(employee_id="e-1", reason="windows open"), "windows"),
    (coaching.SuggestionCompleted(employee_id="e-1", reason="windows open"), "windows"),
    (coaching.SuggestionEscalated(employee_id="e-1", reason="windows open"), "windows"),
]


@pytest.mark.parametrize(("event", "secret"), PERSONAL, ids=lambda value: type(value).__name__)
async def test_personal_fields_lie_in_the_log_sealed(keys: Keys, event: Message, secret: str) -> None:
    """The stored bytes do not hold the text; the key's owner reads it, nobody else does."""
    codec = Codec(TYPES, keys)
    (entry,), _ = await encode(codec, event)
    assert secret.encode() not in entry.payload
    assert (await codec.decode(stored(entry))).event == event
    erased = (await Codec(TYPES, Keys()).decode(stored(entry))).event
    assert secret not in str(erased)
    assert ERASED in str(erased)
    assert getattr(erased, "employee_id") == "e-1"  # noqa: B009 - every one of them has it, Message does not


def test_every_personal_event_is_tried() -> None:
    """An event with personal fields that is added must be added above, too."""
    tried = {event.DESCRIPTOR.full_name for event, _ in PERSONAL}
    assert tried == {kind.name for kind in TYPES.values() if kind.personal}


async def test_a_field_left_empty_is_not_shown_as_erased(keys: Keys) -> None:
    """Only what was said can be erased."""
    codec = Codec(TYPES, keys)
    (entry,), _ = await encode(codec, coaching.PlanAssessed(employee_id="e-1", assessment="slow"))
    erased: Any = (await Codec(TYPES, Keys()).decode(stored(entry))).event
    assert (erased.assessment, erased.employee_view) == (ERASED, "")


async def test_the_same_words_are_sealed_differently_every_time(keys: Keys) -> None:
    """Equal names cannot be told from equal ciphertexts."""
    codec = Codec(TYPES, keys)
    event = performance.EmployeeRenamed(employee_id="e-1", display_name="Zauberhaft")
    (first, second), _ = await encode(codec, event, event)
    sealed = [Envelope.FromString(entry.payload).personal for entry in (first, second)]
    assert sealed[0].nonce != sealed[1].nonce
    assert sealed[0].ciphertext != sealed[1].ciphertext


@pytest.mark.parametrize("field", ["event_id", "type", "schema_version", "subject", "ciphertext", "nonce"])
async def test_sealed_fields_belong_to_their_event(keys: Keys, field: str) -> None:
    """Moved to another event, subject, type or version, or changed themselves, they are refused."""
    codec = Codec(TYPES, keys)
    (entry,), _ = await encode(codec, performance.EmployeeHired(employee_id="e-1", display_name="Zauberhaft"))
    envelope = Envelope.FromString(entry.payload)
    subject = SUBJECT
    match field:
        case "event_id":
            envelope.event_id = "c-2.0"
        case "type":
            envelope.type = performance.EmployeeRenamed.DESCRIPTOR.full_name
        case "schema_version":
            envelope.schema_version = 0
        case "subject":
            subject = "log.performance.employee.e-2"
        case "ciphertext":
            envelope.personal.ciphertext = (
                bytes([envelope.personal.ciphertext[0] ^ 1]) + envelope.personal.ciphertext[1:]
            )
        case "nonce":
            envelope.personal.nonce = bytes(12)
    with pytest.raises(LogCorrupted, match="sealed"):
        await codec.decode(stored(replace(entry, payload=envelope.SerializeToString()), subject))


@pytest.mark.parametrize("payload", [b"\xff\xff", b"\x0a", Envelope(type="x").SerializeToString()[:-1] + b"\xff"])
async def test_bytes_that_are_no_envelope_are_said_to_be_none(keys: Keys, payload: bytes) -> None:
    """A payload that cannot be decoded is a corrupted log."""
    with pytest.raises(LogCorrupted, match=r"log\.performance\.employee\.e-1 at 7: not an event"):
        await Codec(TYPES, keys).decode(Stored(7, SUBJECT, payload, "x"))


async def test_an_event_within_that_cannot_be_decoded_is_a_corrupted_log(keys: Keys) -> None:
    """The same for the event in a sound envelope."""
    payload = Envelope(type=performance.TeamCreated.DESCRIPTOR.full_name, schema_version=1, event=b"\xff")
    with pytest.raises(LogCorrupted, match="not an event"):
        await Codec(TYPES, keys).decode(Stored(7, SUBJECT, payload.SerializeToString(), "x"))


@pytest.mark.parametrize(
    ("envelope", "message"),
    [
        (Envelope(), "unknown event type ''"),
        (Envelope(type="stepladder.performance.v1.TeamSang", schema_version=1), "unknown event type"),
        (Envelope(type="stepladder.performance.v1.TeamCreated", schema_version=2), "schema version 2"),
    ],
)
async def test_what_this_version_does_not_know_is_said(keys: Keys, envelope: Envelope, message: str) -> None:
    """Events of later versions are neither skipped nor guessed at."""
    with pytest.raises(UnknownEventType, match=message):
        await Codec(TYPES, keys).decode(Stored(7, SUBJECT, envelope.SerializeToString(), "x"))


async def test_a_command_without_events_is_noted(keys: Keys) -> None:
    """Every codec knows the note, whatever contracts it was given."""
    (recorded,) = await through_the_log(keys, CommandNoted())
    assert recorded.event == CommandNoted()
    assert list(event_types([])) == [CommandNoted.DESCRIPTOR.full_name]


def test_chains_of_different_aggregates_begin_differently() -> None:
    """What a first event names as its predecessor is its subject."""
    assert chain_start("log.a.b.1") != chain_start("log.a.b.2")
    assert len(chain_start("log.a.b.1")) == 32


STRING, INT = FieldDescriptorProto.TYPE_STRING, FieldDescriptorProto.TYPE_INT32


def a_contract(message: DescriptorProto) -> FileDescriptor:
    """A file of contracts with one event."""
    message.options.Extensions[rules_pb2.schema_version] = 1
    pool = DescriptorPool()
    found: list[str] = []

    def add(file: FileDescriptor) -> None:
        for dependency in file.dependencies:
            add(dependency)
        if file.name not in found:
            found.append(file.name)
            pool.AddSerializedFile(file.serialized_pb)

    add(rules_pb2.DESCRIPTOR)
    pool.Add(
        FileDescriptorProto(
            name="test.proto",
            package="test",
            dependency=[rules_pb2.DESCRIPTOR.name],
            message_type=[message],
            syntax="proto3",
        )
    )
    return pool.FindFileByName("test.proto")


def an_event(**kinds: str) -> DescriptorProto:
    """An event whose fields are marked `personal`, `data_subject` or not; those named number_... are integers."""
    message = DescriptorProto(name="Happened")
    for number, (name, mark) in enumerate(kinds.items(), 1):
        kind = INT if name.startswith("number") else STRING
        field = message.field.add(name=name, number=number, type=kind, label=FieldDescriptorProto.LABEL_OPTIONAL)
        if mark == "personal":
            field.options.Extensions[rules_pb2.personal] = True
        elif mark == "data_subject":
            field.options.Extensions[rules_pb2.data_subject] = True
    return message


def test_a_sound_contract_is_taken() -> None:
    """Personal strings and the one employee whom they are about."""
    kind = event_types([a_contract(an_event(employee_id="data_subject", name="personal", number_a=""))])[
        "test.Happened"
    ]
    assert (kind.version, kind.personal, kind.data_subject) == (1, ("name",), "employee_id")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"name": "personal"}, "exactly one data_subject"),
        ({"employee_id": "data_subject"}, "exactly one data_subject"),
        ({"a": "data_subject", "b": "data_subject", "name": "personal"}, "exactly one data_subject"),
        ({"employee_id": "data_subject", "number_a": "personal"}, "only strings"),
    ],
)
def test_a_contract_that_cannot_be_sealed_is_refused(fields: dict[str, str], message: str) -> None:
    """A mark that would not be honoured stops the service before it writes anything."""
    with pytest.raises(ValueError, match=message):
        event_types([a_contract(an_event(**fields))])


def test_personal_fields_within_messages_are_refused() -> None:
    """They would be stored in clear."""
    event = an_event(employee_id="data_subject", name="personal")
    inner = event.nested_type.add(name="Inner")
    inner.field.add(name="note", number=1, type=STRING, label=FieldDescriptorProto.LABEL_OPTIONAL).options.Extensions[
        rules_pb2.personal
    ] = True
    event.field.add(
        name="inner",
        number=9,
        type=FieldDescriptorProto.TYPE_MESSAGE,
        type_name=".test.Happened.Inner",
        label=FieldDescriptorProto.LABEL_REPEATED,
    )
    with pytest.raises(ValueError, match="not in a message within"):
        event_types([a_contract(event)])
