"""Whose turn it is with a PIP: what it waits for, and who is to do it, of those who may. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date

from google.protobuf.message import Message

from services.coaching.pip_rights import apart, may
from services.coaching.pip_schedule import is_over
from services.coaching.pip_state import PipState, user
from stepladder.coaching.v1.events_pb2 import (
    PipAppealed,
    PipDecided,
    PipHearerNamed,
    PipPreconditionOverridden,
    PipWitnessNamed,
)
from stepladder.coaching.v1.pip_pb2 import (
    AcknowledgePipRequest,
    ApprovePipRequest,
    DecidePipRequest,
    DeliverPipRequest,
    HearPipAppealRequest,
    HoldPipCheckpointRequest,
    NamePipHearerRequest,
    NamePipWitnessRequest,
    OverridePipPreconditionRequest,
    Pip,
    PipCheckpoint,
    ProposePipResultRequest,
    ResumePipRequest,
    ReviewPipDriftRequest,
    SubmitPipRequest,
    WithdrawPipRequest,
    WitnessPipRefusalRequest,
)
from stepladder.coaching.v1.worklist_pb2 import WorkItem

REQUESTS: Mapping[WorkItem.Kind.ValueType, type[Message]] = {
    WorkItem.KIND_SUBMIT_PIP: SubmitPipRequest,
    WorkItem.KIND_OVERRIDE_PIP_PRECONDITION: OverridePipPreconditionRequest,
    WorkItem.KIND_APPROVE_PIP: ApprovePipRequest,
    WorkItem.KIND_DELIVER_PIP: DeliverPipRequest,
    WorkItem.KIND_ACKNOWLEDGE_PIP: AcknowledgePipRequest,
    WorkItem.KIND_NAME_PIP_WITNESS: NamePipWitnessRequest,
    WorkItem.KIND_WITNESS_PIP_REFUSAL: WitnessPipRefusalRequest,
    WorkItem.KIND_HOLD_PIP_CHECKPOINT: HoldPipCheckpointRequest,
    WorkItem.KIND_PROPOSE_PIP_RESULT: ProposePipResultRequest,
    WorkItem.KIND_DECIDE_PIP: DecidePipRequest,
    WorkItem.KIND_NAME_PIP_HEARER: NamePipHearerRequest,
    WorkItem.KIND_HEAR_PIP_APPEAL: HearPipAppealRequest,
    WorkItem.KIND_RESUME_PIP: ResumePipRequest,
    WorkItem.KIND_REVIEW_PIP_DRIFT: ReviewPipDriftRequest,
    WorkItem.KIND_WITHDRAW_PIP: WithdrawPipRequest,
}
"""What is said to do each."""

UP_TO_HR = (Pip.STATE_IN_REVIEW, Pip.STATE_PROPOSED, Pip.STATE_DECIDED, Pip.STATE_APPEALED)
"""Where drift keeps HR's own step, or the end, from being taken: there it is HR who looks."""


@dataclass(frozen=True, slots=True)
class People:
    """Those around a PIP today.

    Attributes:
        lead_id: who leads the employee; empty: nobody.
        employed: ids of those of the lead, who drafted it, the witness and the hearer who are.
        in_charge: of these, those who are in HR, or lead a team.
        on_leave: the employee is.
    """

    lead_id: str
    employed: frozenset[str]
    in_charge: frozenset[str]
    on_leave: bool = False


@dataclass(frozen=True, slots=True)
class Turn:
    """Something that waits for somebody; for HR where it names nobody: but for those `apart`, who may not do it."""

    kind: WorkItem.Kind.ValueType
    since: str
    party: WorkItem.Party.ValueType
    person_id: str = ""
    due_date: str = ""
    number: int = 0
    apart: frozenset[str] = frozenset()


def turns(pip: PipState, people: People, today: date, until: str) -> Iterator[Turn]:
    """All that an open PIP waits for; `until` a day ahead also what falls due by then."""
    if pip.drift_to_review:
        yield _turn(WorkItem.KIND_REVIEW_PIP_DRIFT, pip, people, hr_only=pip.stage in UP_TO_HR)
    if Pip.PAUSE_HR in pip.pauses:
        yield _turn(WorkItem.KIND_RESUME_PIP, pip, people)
    if pip.pauses:
        return
    for kind in _steps(pip, people, today):
        yield _turn(kind, pip, people, pip.schedule.due_date)
    if pip.stage == Pip.STATE_ACTIVE:
        for one in pip.checkpoints:
            if one.state != PipCheckpoint.STATE_HELD and one.due_date <= until:
                yield _turn(WorkItem.KIND_HOLD_PIP_CHECKPOINT, pip, people, one.due_date, one.number)


def _steps(pip: PipState, people: People, today: date) -> Iterator[WorkItem.Kind.ValueType]:
    """What has to be done for a PIP to go on. Nothing is decided by facts while somebody has to look at their drift."""
    match pip.stage:
        case Pip.STATE_DRAFT:
            yield WorkItem.KIND_SUBMIT_PIP
        case Pip.STATE_IN_REVIEW if not pip.coaching_done and PipPreconditionOverridden not in pip.told:
            yield WorkItem.KIND_OVERRIDE_PIP_PRECONDITION
        case Pip.STATE_IN_REVIEW if not pip.drift_to_review:
            yield WorkItem.KIND_APPROVE_PIP
        case Pip.STATE_APPROVED if not people.on_leave:
            yield WorkItem.KIND_DELIVER_PIP
        case Pip.STATE_DELIVERED:
            yield WorkItem.KIND_ACKNOWLEDGE_PIP
            if pip.last(PipWitnessNamed).witness_id in people.employed:
                yield WorkItem.KIND_WITNESS_PIP_REFUSAL
            elif is_over(pip.schedule, today):
                yield WorkItem.KIND_NAME_PIP_WITNESS
        case Pip.STATE_DECISION_DUE:
            yield WorkItem.KIND_PROPOSE_PIP_RESULT
        case Pip.STATE_PROPOSED if not pip.drift_to_review:
            yield WorkItem.KIND_DECIDE_PIP
        case Pip.STATE_APPEALED:
            hearer_id = pip.last(PipHearerNamed).hearer_id
            if hearer_id not in people.in_charge or user(hearer_id) in apart(pip, HearPipAppealRequest):
                yield WorkItem.KIND_NAME_PIP_HEARER
            elif not pip.drift_to_review:
                yield WorkItem.KIND_HEAR_PIP_APPEAL


def _turn(
    kind: WorkItem.Kind.ValueType,
    pip: PipState,
    people: People,
    due: str = "",
    number: int = 0,
    *,
    hr_only: bool = False,
) -> Turn:
    """Whose turn it is: of those who may, in this order. Where nobody is left who may, HR can only withdraw it."""
    those = frozenset({"hr"}) if hr_only else may(REQUESTS[kind])
    kept, since = apart(pip, REQUESTS[kind]), _since(kind, pip)
    drafter_id = pip.drafted.by.removeprefix("user:")
    if "self" in those:
        return Turn(kind, since, WorkItem.PARTY_EMPLOYEE, pip.drafted.employee_id, due)
    if "witness" in those:
        return Turn(kind, since, WorkItem.PARTY_WITNESS, pip.last(PipWitnessNamed).witness_id, due)
    if "hearer" in those:
        return Turn(kind, since, WorkItem.PARTY_HEARER, pip.last(PipHearerNamed).hearer_id, due)
    for word, party, person_id in (
        ("lead", WorkItem.PARTY_LEAD, people.lead_id),
        ("drafter", WorkItem.PARTY_DRAFTER, drafter_id),
    ):
        if word in those and person_id in people.employed and user(person_id) not in kept:
            return Turn(kind, since, party, person_id, due, number)
    if "hr" in those:
        return Turn(kind, since, WorkItem.PARTY_HR, due_date=due, number=number, apart=kept)
    return Turn(WorkItem.KIND_WITHDRAW_PIP, since, WorkItem.PARTY_HR, due_date=due)


def _since(kind: WorkItem.Kind.ValueType, pip: PipState) -> str:
    """Since when it waits: for HR to go on, for an appeal to be heard, or as long as what runs has run."""
    if kind == WorkItem.KIND_RESUME_PIP:
        return pip.pauses[Pip.PAUSE_HR]
    if pip.stage == Pip.STATE_APPEALED:
        return pip.last(PipAppealed).date or pip.last(PipDecided).decided_date
    return pip.schedule.from_date or pip.begun or pip.drafted.drafted_date


def around(pip: PipState) -> frozenset[str]:
    """Ids of whoever it may wait for but the lead, and of the employee."""
    named = pip.last(PipWitnessNamed).witness_id, pip.last(PipHearerNamed).hearer_id
    return frozenset({pip.drafted.employee_id, pip.drafted.by.removeprefix("user:"), *named} - {""})
