"""A check-in: how somebody is on a day. Restricted: only few may read it."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import assert_never, cast

from google.protobuf.message import Message

from libs.common.errors import AlreadyExists, NotAllowed, NotFound
from libs.common.eventsourcing import Aggregate, Context, opaque_id
from libs.facts.reads import reads_of
from stepladder.performance.v1.check_in_pb2 import (
    CheckIn,
    CorrectCheckInRequest,
    CreateCheckInRequest,
    RetractCheckInRequest,
)
from stepladder.performance.v1.events_pb2 import CheckInCorrected, CheckInCreated, CheckInRetracted

Command = CreateCheckInRequest | CorrectCheckInRequest | RetractCheckInRequest
Event = CheckInCreated | CheckInCorrected | CheckInRetracted


def check_in_key(employee_id: str, check_in_id: str) -> str:
    """The aggregate's id. It tells nobody who sees it, among parked events for one, whose it is. Stored for ever."""
    return opaque_id("c", employee_id, check_in_id)


@dataclass(frozen=True, slots=True)
class State:
    """A check-in as given, with its note; without an id before it is created."""

    check_in: CheckIn = field(default_factory=CheckIn)
    given_by: str = ""
    corrected_by: str = ""
    retracted: bool = False


def evolve(state: State, event: Message) -> State:
    match cast(Event, event):
        case CheckInCreated(check_in=check_in, note=note, given_by=actor):
            return State(_noted(check_in, note), given_by=actor)
        case CheckInCorrected(check_in=check_in, note=note, corrected_by=actor):
            return replace(state, check_in=_noted(check_in, note), corrected_by=actor)
        case CheckInRetracted():
            return replace(state, retracted=True)
        case unknown:
            assert_never(unknown)


def decide(state: State, command: Message, context: Context) -> Sequence[Message]:
    check_in_id, employee_id = state.check_in.check_in_id, state.check_in.employee_id
    match state, cast(Command, command):
        case State(check_in=CheckIn(check_in_id="")), CreateCheckInRequest(check_in=given):
            return [
                CheckInCreated(
                    check_in=_bare(given), employee_id=given.employee_id, note=given.note, given_by=context.actor
                )
            ]
        case State(check_in=CheckIn(check_in_id="")), _:
            raise NotFound("CHECK_IN_NOT_FOUND", "the employee has no such check-in")
        case State(retracted=True), RetractCheckInRequest():
            return []
        case State(retracted=True), _:
            raise NotAllowed("RETRACTED", f"check-in {check_in_id} was taken back: give a new one another id")
        case _, CreateCheckInRequest(check_in=given):
            if _stored(given) != state.check_in:
                message = f"check-in {check_in_id} says something else already: use CorrectCheckIn"
                raise AlreadyExists("CHECK_IN_EXISTS", message)
            return []
        case _, CorrectCheckInRequest(check_in=given):
            if _stored(given) == state.check_in:
                return []
            return [
                CheckInCorrected(
                    check_in=_bare(given), employee_id=employee_id, note=given.note, corrected_by=context.actor
                )
            ]
        case _, RetractCheckInRequest():
            return [CheckInRetracted(check_in_id=check_in_id, employee_id=employee_id)]
        case _, unknown:
            assert_never(unknown)


CHECK_IN = Aggregate(name="performance.checkin", initial=State(), evolve=evolve, decide=decide, restricted=True)
CHECK_IN_READS = reads_of("performance.checkinread")


def _stored(given: CheckIn) -> CheckIn:
    """As given, without output-only fields."""
    return CheckIn(
        check_in_id=given.check_in_id,
        employee_id=given.employee_id,
        date=given.date,
        mood=given.mood,
        stress=given.stress,
        note=given.note,
    )


def _bare(given: CheckIn) -> CheckIn:
    """Without the note, which lies in the log sealed, beside it."""
    bare = _stored(given)
    bare.ClearField("note")
    return bare


def _noted(check_in: CheckIn, note: str) -> CheckIn:
    noted = CheckIn(note=note)
    noted.MergeFrom(check_in)
    return noted


def to_resource(state: State, position: int) -> CheckIn:
    check_in = CheckIn(
        state=CheckIn.STATE_RETRACTED if state.retracted else CheckIn.STATE_GIVEN,
        given_by=state.given_by,
        corrected_by=state.corrected_by,
        log_position=position,
    )
    check_in.MergeFrom(state.check_in)
    return check_in
