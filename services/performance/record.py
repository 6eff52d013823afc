"""A record: one fact of work that is more than a number, and what has become of it."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import assert_never, cast

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from libs.common.days import timestamp
from libs.common.errors import AlreadyExists, FieldViolation, Invalid, NotAllowed, NotFound
from libs.common.eventsourcing import Aggregate, Context
from services.performance.outcome import outcome_of
from stepladder.performance.v1.events_pb2 import (
    RecordAcknowledged,
    RecordCorrected,
    RecordCreated,
    RecordDisputed,
    RecordDisputeSettled,
    RecordRetracted,
)
from stepladder.performance.v1.facts_pb2 import DISPUTE_OUTCOME_UNSPECIFIED, DISPUTE_OUTCOME_UPHELD
from stepladder.performance.v1.policy_pb2 import Policy
from stepladder.performance.v1.record_pb2 import (
    AcknowledgeRecordRequest,
    CorrectRecord,
    CreateRecord,
    DisputeRecordRequest,
    Outcome,
    Record,
    RecordDispute,
    RetractRecordRequest,
    SettleRecordDispute,
    SettleRecordDisputeRequest,
)

Command = (
    CreateRecord
    | CorrectRecord
    | RetractRecordRequest
    | AcknowledgeRecordRequest
    | DisputeRecordRequest
    | SettleRecordDispute
)
Event = RecordCreated | RecordCorrected | RecordRetracted | RecordAcknowledged | RecordDisputed | RecordDisputeSettled


@dataclass(frozen=True, slots=True)
class State:
    """A record as given, with its note; without an id before it is created. `dispute` is the latest."""

    record: Record = field(default_factory=Record)
    outcome: Outcome = field(default_factory=Outcome)
    retracted: bool = False
    acknowledged: Timestamp | None = None
    dispute: RecordDispute = field(default_factory=RecordDispute)

    @property
    def disputed(self) -> bool:
        return self.dispute.reviewer_id != "" and self.dispute.outcome == DISPUTE_OUTCOME_UNSPECIFIED


def evolve(state: State, event: Message) -> State:
    match cast(Event, event):
        case RecordCreated(record=record, outcome=outcome, note=note):
            return State(_noted(record, note), outcome)
        case RecordCorrected(record=record, outcome=outcome, note=note):
            return replace(state, record=_noted(record, note), outcome=outcome, acknowledged=None)
        case RecordRetracted():
            return replace(state, retracted=True)
        case RecordAcknowledged(acknowledged_time=moment):
            return replace(state, acknowledged=moment)
        case RecordDisputed(item_ids=item_ids, reason=reason, reviewer_id=reviewer_id):
            return replace(state, dispute=RecordDispute(item_ids=item_ids, reason=reason, reviewer_id=reviewer_id))
        case RecordDisputeSettled(outcome=outcome, overturned_item_ids=item_ids, reason=reason):
            dispute = RecordDispute(outcome=outcome, overturned_item_ids=item_ids, settlement=reason)
            dispute.MergeFrom(state.dispute)
            return replace(state, dispute=dispute)
        case unknown:
            assert_never(unknown)


def decide(state: State, command: Message, context: Context) -> Sequence[Message]:
    record_id, employee_id = state.record.record_id, state.record.employee_id
    match state, cast(Command, command):
        case State(record=Record(record_id="")), CreateRecord(record=given, policy=policy):
            record = _stored(given)
            return [
                RecordCreated(
                    record=_bare(record),
                    outcome=outcome_of(record, policy),
                    employee_id=record.employee_id,
                    note=record.note,
                )
            ]
        case State(retracted=True), CreateRecord():
            raise NotAllowed("RETRACTED", f"record {record_id} was taken back: give a new one another id")
        case _, CreateRecord(record=given):
            if _stored(given) != state.record:
                message = f"record {record_id} has other content already: use CorrectRecord"
                raise AlreadyExists("RECORD_EXISTS", message)
            return []
        case State(record=Record(record_id="")), _:
            raise NotFound("RECORD_NOT_FOUND", "there is no such record")
        case State(retracted=True), RetractRecordRequest():
            return []
        case State(retracted=True), SettleRecordDispute(request=request) if _settled_so(state, request, context):
            return []
        case State(retracted=True), _:
            raise NotAllowed("RETRACTED", f"record {record_id} was taken back")

        case _, CorrectRecord(record=given, policy=policy, reason=reason):
            record = _stored(given)
            if record == state.record:
                return []
            _refuse_while_disputed(state)
            kind = state.record.WhichOneof("content")
            if record.employee_id != employee_id or record.WhichOneof("content") != kind:
                message = f"it is about {employee_id} and a {kind}: take it back and create another"
                raise Invalid("RECORD_INVALID", message, (FieldViolation("record", message),))
            return [_corrected(record, policy, reason)]
        case _, RetractRecordRequest(reason=reason):
            _refuse_while_disputed(state)
            return [RecordRetracted(record_id=record_id, employee_id=employee_id, reason=reason)]
        case _, AcknowledgeRecordRequest():
            if state.acknowledged is not None:
                return []
            return [
                RecordAcknowledged(
                    record_id=record_id, employee_id=employee_id, acknowledged_time=timestamp(context.now)
                )
            ]
        case _, DisputeRecordRequest(item_ids=item_ids, reason=reason, reviewer_id=reviewer_id):
            _refuse_wrong_dispute(state, item_ids, reviewer_id)
            if state.disputed:
                same = RecordDispute(item_ids=item_ids, reason=reason, reviewer_id=reviewer_id)
                if state.dispute == same:
                    return []
                raise NotAllowed("ALREADY_DISPUTED", f"a dispute is open, for {state.dispute.reviewer_id} to settle")
            return [
                RecordDisputed(
                    record_id=record_id,
                    employee_id=employee_id,
                    item_ids=item_ids,
                    reason=reason,
                    reviewer_id=reviewer_id,
                )
            ]
        case _, SettleRecordDispute(request=request, policy=policy):
            return _settled(state, request, policy, context)
        case _, unknown:
            assert_never(unknown)


RECORD = Aggregate(name="performance.record", initial=State(), evolve=evolve, decide=decide)


def _settled(state: State, request: SettleRecordDisputeRequest, policy: Policy, context: Context) -> list[Message]:
    """The settlement, and what it makes of the record."""
    if _settled_so(state, request, context):
        return []
    record, dispute, reason = state.record, state.dispute, request.reason
    if not state.disputed:
        raise NotAllowed("NOT_DISPUTED", "there is no open dispute about it")
    if context.actor != f"user:{dispute.reviewer_id}":
        raise NotAllowed("NOT_THE_REVIEWER", f"it is for {dispute.reviewer_id} to settle")
    if strangers := [one for one in request.overturned_item_ids if one not in dispute.item_ids]:
        message = f"{', '.join(strangers)} is not disputed"
        raise Invalid("ITEM_NOT_DISPUTED", message, (FieldViolation("overturned_item_ids", message),))
    overturned = list(request.overturned_item_ids or dispute.item_ids)
    upheld = request.outcome == DISPUTE_OUTCOME_UPHELD
    settled = RecordDisputeSettled(
        record_id=record.record_id,
        employee_id=record.employee_id,
        outcome=request.outcome,
        overturned_item_ids=[] if upheld else overturned,
        reason=reason,
    )
    if upheld:
        return [settled]
    if not overturned:
        return [settled, RecordRetracted(record_id=record.record_id, employee_id=record.employee_id, reason=reason)]
    corrected = Record()
    corrected.CopyFrom(record)
    for answer in corrected.evaluation.answers:
        if answer.item_id in overturned:
            answer.achieved = 100
    return [settled, _corrected(corrected, policy, reason)]


def _settled_so(state: State, request: SettleRecordDisputeRequest, context: Context) -> bool:
    """Whether the dispute was settled in this way already."""
    dispute = state.dispute
    return (
        dispute.outcome == request.outcome
        and dispute.settlement == request.reason
        and context.actor == f"user:{dispute.reviewer_id}"
    )


def _corrected(record: Record, policy: Policy, reason: str) -> RecordCorrected:
    return RecordCorrected(
        record=_bare(record),
        outcome=outcome_of(record, policy),
        employee_id=record.employee_id,
        note=record.note,
        reason=reason,
    )


def _refuse_while_disputed(state: State) -> None:
    if state.disputed:
        raise NotAllowed("DISPUTED", f"a dispute is open: {state.dispute.reviewer_id} settles it")


def _refuse_wrong_dispute(state: State, item_ids: Sequence[str], reviewer_id: str) -> None:
    record = state.record
    if reviewer_id in (record.employee_id, record.evaluation.evaluator_id):
        message = "neither whom it is about nor who evaluated settles a dispute"
        raise Invalid("REVIEWER_INVALID", message, (FieldViolation("reviewer_id", message),))
    answered = {answer.item_id for answer in record.evaluation.answers}
    if strangers := [item_id for item_id in item_ids if item_id not in answered]:
        message = f"the record has no item {', '.join(strangers)}"
        raise Invalid("ITEM_NOT_FOUND", message, (FieldViolation("item_ids", message),))


def _stored(given: Record) -> Record:
    """As given, without output-only fields."""
    record = Record()
    record.CopyFrom(given)
    for name in ("state", "acknowledged_time", "dispute", "outcome", "etag", "log_position"):
        record.ClearField(name)
    return record


def _bare(record: Record) -> Record:
    """Without the note, which lies in the log sealed, beside it."""
    bare = Record()
    bare.CopyFrom(record)
    bare.ClearField("note")
    return bare


def _noted(record: Record, note: str) -> Record:
    noted = Record(note=note)
    noted.MergeFrom(record)
    return noted


def to_resource(state: State, position: int) -> Record:
    record = Record(
        state=Record.STATE_RETRACTED if state.retracted else Record.STATE_RECORDED,
        acknowledged_time=state.acknowledged,
        dispute=state.dispute if state.dispute.reviewer_id else None,
        outcome=state.outcome,
        etag=str(position),
        log_position=position,
    )
    record.MergeFrom(state.record)
    return record
