"""A record from its creation to the settlement of a dispute about it."""

from dataclasses import replace

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import strategies as st

from libs.common.errors import AlreadyExists, Invalid, NotAllowed, NotFound
from services.performance.outcome import outcome_of
from services.performance.record import RECORD, State, to_resource
from stepladder.performance.v1.events_pb2 import (
    RecordAcknowledged,
    RecordCorrected,
    RecordCreated,
    RecordDisputed,
    RecordDisputeSettled,
    RecordRetracted,
)
from stepladder.performance.v1.facts_pb2 import (
    DISPUTE_OUTCOME_OVERTURNED,
    DISPUTE_OUTCOME_UPHELD,
    DisputeOutcome,
)
from stepladder.performance.v1.policy_pb2 import Form, Policy
from stepladder.performance.v1.record_pb2 import (
    AcknowledgeRecordRequest,
    Complaint,
    CorrectRecord,
    CreateRecord,
    DisputeRecordRequest,
    Evaluation,
    Record,
    RetractRecordRequest,
    SettleRecordDispute,
    SettleRecordDisputeRequest,
)
from tests.deciding import Given, context, given, twice_is_once

FORM = Policy(
    policy_id="calls",
    log_position=7,
    form=Form(
        sections=[Form.Section(items=[Form.Item(item_id=name, weight="50") for name in ("greeting", "solution")])]
    ),
)


def evaluation(greeting: int = 0, note: str = "", solution: int = 0) -> Record:
    answers = [
        Evaluation.Answer(item_id="greeting", achieved=greeting),
        Evaluation.Answer(item_id="solution", achieved=solution),
    ]
    return Record(
        record_id="r-1",
        employee_id="e-1",
        date="2026-03-02",
        note=note,
        evaluation=Evaluation(form_id="calls", contact_id="c-1", evaluator_id="q-1", answers=answers),
    )


COMPLAINT = Record(record_id="r-1", employee_id="e-1", date="2026-03-02", complaint=Complaint())


def created(record: Record) -> RecordCreated:
    bare = Record()
    bare.CopyFrom(record)
    bare.note = ""
    return RecordCreated(record=bare, outcome=outcome_of(record, FORM), employee_id="e-1", note=record.note)


def corrected(record: Record, reason: str) -> RecordCorrected:
    return RecordCorrected(record=record, outcome=outcome_of(record, FORM), employee_id="e-1", reason=reason)


def create(record: Record) -> CreateRecord:
    return CreateRecord(record=record, policy=FORM)


def correct(record: Record) -> CorrectRecord:
    return CorrectRecord(record=record, policy=FORM, reason="wrong contact")


def dispute(*item_ids: str, reviewer_id: str = "u-1") -> DisputeRecordRequest:
    return DisputeRecordRequest(record_id="r-1", item_ids=item_ids, reason="I did greet", reviewer_id=reviewer_id)


def disputed(*item_ids: str) -> RecordDisputed:
    return RecordDisputed(
        record_id="r-1", employee_id="e-1", item_ids=item_ids, reason="I did greet", reviewer_id="u-1"
    )


def settle(outcome: "DisputeOutcome.ValueType", *item_ids: str) -> SettleRecordDispute:
    request = SettleRecordDisputeRequest(
        record_id="r-1", outcome=outcome, overturned_item_ids=item_ids, reason="listened"
    )
    return SettleRecordDispute(request=request, policy=FORM)


def settled(outcome: "DisputeOutcome.ValueType", *item_ids: str) -> RecordDisputeSettled:
    return RecordDisputeSettled(
        record_id="r-1", employee_id="e-1", outcome=outcome, overturned_item_ids=item_ids, reason="listened"
    )


RETRACT = RetractRecordRequest(record_id="r-1", reason="wrong person")
RETRACTED = RecordRetracted(record_id="r-1", employee_id="e-1", reason="wrong person")


def test_created_once() -> None:
    """The note lies beside the record; the same again changes nothing; other content is refused."""
    record = evaluation(100, "well done")
    shown = to_resource(given(RECORD, created(record)).state, 42)
    after = given(RECORD).when(create(record)).then(created(record))
    after.when(create(record)).then()
    after.when(create(shown)).then()
    after.when(create(evaluation())).refused(AlreadyExists, "RECORD_EXISTS")
    assert (shown.note, shown.outcome.score, shown.state) == ("well done", "50.00", Record.STATE_RECORDED)


def test_corrected() -> None:
    """Other content by the same rules; whom it is about and its kind stay; the employee has to see it again."""
    before = given(RECORD, created(evaluation()), RecordAcknowledged(acknowledged_time=Timestamp(seconds=5)))
    after = before.when(correct(evaluation(100))).then(corrected(evaluation(100), "wrong contact"))
    after.when(correct(evaluation(100))).then()
    assert not to_resource(after.state, 42).HasField("acknowledged_time")
    before.when(correct(COMPLAINT)).refused(Invalid, "RECORD_INVALID")
    stranger = evaluation(100)
    stranger.employee_id = "e-2"
    before.when(correct(stranger)).refused(Invalid, "RECORD_INVALID")


def test_taken_back() -> None:
    """Once; nothing can be done with it then."""
    after = given(RECORD, created(evaluation())).when(RETRACT).then(RETRACTED)
    after.when(RETRACT).then()
    for command in (correct(evaluation(1)), dispute(), settle(DISPUTE_OUTCOME_UPHELD)):
        after.when(command).refused(NotAllowed, "RETRACTED")
    after.when(create(evaluation())).refused(NotAllowed, "RETRACTED")
    assert to_resource(after.state, 42).state == Record.STATE_RETRACTED


def test_acknowledged() -> None:
    """Once."""
    before = given(RECORD, created(evaluation()))
    command = AcknowledgeRecordRequest(record_id="r-1")
    own = replace(context(), actor="user:e-1")
    (event,) = RECORD.decide(before.state, command, own)
    assert isinstance(event, RecordAcknowledged)
    state = RECORD.evolve(before.state, event)
    assert to_resource(state, 42).acknowledged_time == event.acknowledged_time
    assert not RECORD.decide(state, command, own)


@pytest.mark.parametrize("reviewer_id", ["e-1", "q-1"])
def test_nobody_settles_their_own(reviewer_id: str) -> None:
    """Neither whom it is about nor who evaluated."""
    given(RECORD, created(evaluation())).when(dispute(reviewer_id=reviewer_id)).refused(Invalid, "REVIEWER_INVALID")


def test_disputed() -> None:
    """One dispute at a time, about items that there are; nothing is changed meanwhile."""
    before = given(RECORD, created(evaluation()))
    before.when(dispute("none")).refused(Invalid, "ITEM_NOT_FOUND")
    after = before.when(dispute("greeting")).then(disputed("greeting"))
    after.when(dispute("greeting")).then()
    after.when(dispute("solution")).refused(NotAllowed, "ALREADY_DISPUTED")
    after.when(correct(evaluation(100))).refused(NotAllowed, "DISPUTED")
    after.when(RETRACT).refused(NotAllowed, "DISPUTED")


def contested(*item_ids: str) -> Given[State]:
    return given(RECORD, created(evaluation()), disputed(*item_ids))


def test_settled_by_the_reviewer() -> None:
    """And nobody else; about what is disputed only."""
    given(RECORD, created(evaluation())).when(settle(DISPUTE_OUTCOME_UPHELD)).refused(NotAllowed, "NOT_DISPUTED")
    before = contested("greeting")
    when = replace(before.when(settle(DISPUTE_OUTCOME_UPHELD)), context=replace(context(), actor="user:u-2"))
    when.refused(NotAllowed, "NOT_THE_REVIEWER")
    before.when(settle(DISPUTE_OUTCOME_OVERTURNED, "solution")).refused(Invalid, "ITEM_NOT_DISPUTED")


def test_upheld() -> None:
    """It stands, and may be disputed again."""
    upheld = settle(DISPUTE_OUTCOME_UPHELD)
    after = contested("greeting").when(upheld).then(settled(DISPUTE_OUTCOME_UPHELD))
    after.when(upheld).then()
    after.when(dispute("solution")).then(disputed("solution"))


def test_items_overturned() -> None:
    """They count as achieved; those disputed and not overturned stay."""
    overturned = settle(DISPUTE_OUTCOME_OVERTURNED, "greeting")
    after = contested("greeting", "solution").when(overturned)
    state = after.then(settled(DISPUTE_OUTCOME_OVERTURNED, "greeting"), corrected(evaluation(100), "listened"))
    state.when(overturned).then()
    contested("greeting", "solution").when(settle(DISPUTE_OUTCOME_OVERTURNED)).then(
        settled(DISPUTE_OUTCOME_OVERTURNED, "greeting", "solution"),
        corrected(evaluation(100, solution=100), "listened"),
    )


def test_a_record_overturned_is_taken_back() -> None:
    """As an appeal against a violation is upheld."""
    overturned = settle(DISPUTE_OUTCOME_OVERTURNED)
    before = given(RECORD, created(COMPLAINT), disputed())
    after = before.when(overturned).then(
        settled(DISPUTE_OUTCOME_OVERTURNED),
        RecordRetracted(record_id="r-1", employee_id="e-1", reason="listened"),
    )
    after.when(overturned).then()


def test_nothing_without_a_record() -> None:
    for command in (correct(evaluation()), RETRACT, dispute(), settle(DISPUTE_OUTCOME_UPHELD)):
        given(RECORD).when(command).refused(NotFound, "RECORD_NOT_FOUND")


def test_twice_is_once() -> None:
    """Saying any command twice changes nothing."""
    records = st.builds(evaluation, st.sampled_from([0, 100]))
    items = st.sampled_from([(), ("greeting",), ("greeting", "solution")])
    commands = st.one_of(
        st.builds(correct, records),
        st.just(RETRACT),
        st.builds(lambda some: dispute(*some), items),
        st.builds(settle, st.sampled_from([DISPUTE_OUTCOME_UPHELD, DISPUTE_OUTCOME_OVERTURNED])),
    )
    twice_is_once(RECORD, commands, created(evaluation()))
    twice_is_once(RECORD, st.builds(create, records))
