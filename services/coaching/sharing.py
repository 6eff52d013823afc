"""A sharing: somebody's way of working shown to others as an example; who it is and why, and who took part."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import assert_never, cast

from google.protobuf.message import Message

from libs.common.days import parse_day
from libs.common.errors import AlreadyExists, FieldViolation, Invalid, NotAllowed, NotFound
from libs.common.eventsourcing import Aggregate, Context
from stepladder.coaching.v1.events_pb2 import SharingCancelled, SharingHeld, SharingPrepared
from stepladder.coaching.v1.measure_pb2 import Measured
from stepladder.coaching.v1.sharing_pb2 import CancelSharingRequest, HoldSharingRequest, PrepareSharing, Sharing

Command = PrepareSharing | HoldSharingRequest | CancelSharingRequest
Event = SharingPrepared | SharingHeld | SharingCancelled


@dataclass(frozen=True, slots=True)
class State:
    """The sharing, each part as its event told it; `stage` is unspecified before it is prepared."""

    stage: Sharing.State.ValueType = Sharing.STATE_UNSPECIFIED
    prepared: SharingPrepared = field(default_factory=SharingPrepared)
    held: SharingHeld = field(default_factory=SharingHeld)
    reason: str = ""


def evolve(state: State, event: Message) -> State:
    match cast(Event, event):
        case SharingPrepared() as prepared:
            return replace(state, stage=Sharing.STATE_PREPARED, prepared=prepared)
        case SharingHeld() as held:
            return replace(state, stage=Sharing.STATE_HELD, held=held)
        case SharingCancelled(reason=reason):
            return replace(state, stage=Sharing.STATE_CANCELLED, reason=reason)
        case unknown:
            assert_never(unknown)


def decide(state: State, command: Message, context: Context) -> Sequence[Message]:
    sharing_id, employee_id = state.prepared.sharing_id, state.prepared.employee_id
    match state.stage, cast(Command, command):
        case Sharing.STATE_UNSPECIFIED, PrepareSharing(measured=measured) as looked_up:
            if not measured.value:
                days = f"{measured.start_date} to {measured.end_date}"
                raise NotAllowed("NO_FACTS", f"nothing of this measure was recorded of the example from {days}")
            return [_prepared(looked_up, context.actor, context.today.isoformat())]
        case _, PrepareSharing() as looked_up:
            if _said(_prepared(looked_up, "", "")) != _said(state.prepared):
                raise AlreadyExists("SHARING_EXISTS", f"sharing {sharing_id} was prepared with other content")
            return []
        case Sharing.STATE_UNSPECIFIED, _:
            raise NotFound("SHARING_NOT_FOUND", "there is no such sharing")

        case Sharing.STATE_PREPARED, HoldSharingRequest(date=day, participant_ids=participant_ids):
            if not state.prepared.prepared_date <= parse_day(day, "date").isoformat() <= context.today.isoformat():
                message = f"must be {state.prepared.prepared_date}, when it was prepared, or later, and not to come"
                raise Invalid("DATE_INVALID", message, (FieldViolation("date", message),))
            if employee_id in participant_ids:
                message = f"{employee_id} is the example"
                raise Invalid("PARTICIPANT_INVALID", message, (FieldViolation("participant_ids", message),))
            return [SharingHeld(sharing_id=sharing_id, date=day, participant_ids=participant_ids)]
        case Sharing.STATE_PREPARED, CancelSharingRequest(reason=reason):
            return [SharingCancelled(sharing_id=sharing_id, employee_id=employee_id, reason=reason)]

        # The same said again in the state that it led to.
        case (
            Sharing.STATE_HELD,
            HoldSharingRequest(date=state.held.date, participant_ids=state.held.participant_ids),
        ) | (Sharing.STATE_CANCELLED, CancelSharingRequest(reason=state.reason)):
            return []
        case stage, _:
            name = Sharing.State.Name(stage).removeprefix("STATE_")
            raise NotAllowed("WRONG_STATE", f"the sharing is {name}: nothing can be changed any more")


SHARING = Aggregate(name="coaching.sharing", initial=State(), evolve=evolve, decide=decide)


def _prepared(looked_up: PrepareSharing, actor: str, day: str) -> SharingPrepared:
    request = looked_up.request
    return SharingPrepared(
        sharing_id=request.sharing_id,
        employee_id=request.employee_id,
        measured=looked_up.measured,
        attitude=request.attitude,
        helpfulness=request.helpfulness,
        topic=request.topic,
        prepared_by=actor,
        prepared_date=day,
    )


def _said(prepared: SharingPrepared) -> SharingPrepared:
    """What was said, without what was measured: by that a repetition is told."""
    measured = prepared.measured
    said = SharingPrepared()
    said.CopyFrom(prepared)
    said.measured.CopyFrom(
        Measured(measure=measured.measure, start_date=measured.start_date, end_date=measured.end_date)
    )
    said.ClearField("prepared_by")
    said.ClearField("prepared_date")
    return said


def to_resource(state: State, position: int) -> Sharing:
    prepared = state.prepared
    return Sharing(
        sharing_id=prepared.sharing_id,
        employee_id=prepared.employee_id,
        state=state.stage,
        measured=prepared.measured,
        attitude=prepared.attitude,
        helpfulness=prepared.helpfulness,
        topic=prepared.topic,
        prepared_by=prepared.prepared_by,
        prepared_date=prepared.prepared_date,
        held_date=state.held.date,
        participant_ids=state.held.participant_ids,
        reason=state.reason,
        etag=str(position),
        log_position=position,
    )
