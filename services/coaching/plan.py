"""A coaching plan, from its proposal to an outcome that a person decides."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal
from typing import assert_never, cast

from google.protobuf.message import Message

from libs.common.days import parse_day
from libs.common.errors import AlreadyExists, FieldViolation, Invalid, NotAllowed, NotFound
from libs.common.eventsourcing import Aggregate, Context
from stepladder.coaching.v1.events_pb2 import (
    PlanActivated,
    PlanAssessed,
    PlanClosed,
    PlanDiagnosed,
    PlanEvidenceDrifted,
    PlanObserved,
    PlanProposed,
    ReassessmentFellDue,
)
from stepladder.coaching.v1.plan_pb2 import (
    ActivatePlanRequest,
    AssessPlanRequest,
    CallReassessment,
    CancelPlanRequest,
    ClosePlanRequest,
    DiagnosePlanRequest,
    Evidence,
    EvidenceDrift,
    Goal,
    NoteDrift,
    ObservePlanRequest,
    Plan,
    ProposePlanRequest,
)

Command = (
    ProposePlanRequest
    | AssessPlanRequest
    | DiagnosePlanRequest
    | ActivatePlanRequest
    | ObservePlanRequest
    | CallReassessment
    | ClosePlanRequest
    | CancelPlanRequest
    | NoteDrift
)
Event = (
    PlanProposed
    | PlanAssessed
    | PlanDiagnosed
    | PlanActivated
    | PlanObserved
    | ReassessmentFellDue
    | PlanClosed
    | PlanEvidenceDrifted
)


def plan_id(detection_id: str) -> str:
    """The id of the plan that a detection leads to. Stored for ever."""
    return "p-" + detection_id.removeprefix("d-")


@dataclass(frozen=True, slots=True)
class State:
    """The plan, each part as its event told it; `stage` is unspecified before the proposal."""

    stage: Plan.State.ValueType = Plan.STATE_UNSPECIFIED
    proposed: PlanProposed = field(default_factory=PlanProposed)
    assessed: PlanAssessed = field(default_factory=PlanAssessed)
    diagnosed: PlanDiagnosed = field(default_factory=PlanDiagnosed)
    activated: PlanActivated = field(default_factory=PlanActivated)
    observe_until: str = ""
    reassessment_due: bool = False
    closed: PlanClosed = field(default_factory=PlanClosed)
    drift: EvidenceDrift = field(default_factory=EvidenceDrift)


def evolve(state: State, event: Message) -> State:
    match cast(Event, event):
        case PlanProposed() as proposed:
            return replace(state, stage=Plan.STATE_PROPOSED, proposed=proposed)
        case PlanAssessed() as assessed:
            return replace(state, stage=Plan.STATE_ASSESSED, assessed=assessed)
        case PlanDiagnosed() as diagnosed:
            return replace(state, stage=Plan.STATE_DIAGNOSED, diagnosed=diagnosed)
        case PlanActivated() as activated:
            return replace(state, stage=Plan.STATE_ACTIVE, activated=activated)
        case PlanObserved(observe_until=day):
            return replace(state, stage=Plan.STATE_IN_OBSERVATION, observe_until=day)
        case ReassessmentFellDue():
            return replace(state, reassessment_due=True)
        case PlanClosed() as closed:
            return replace(state, stage=Plan.STATE_CLOSED, closed=closed, reassessment_due=False)
        case PlanEvidenceDrifted(drift=drift):
            return replace(state, drift=drift)
        case unknown:
            assert_never(unknown)


def decide(state: State, command: Message, context: Context) -> Sequence[Message]:
    plan, employee = state.proposed.plan_id, state.proposed.employee_id
    match state.stage, cast(Command, command):
        case Plan.STATE_UNSPECIFIED, ProposePlanRequest() as propose:
            return [_proposed(propose, context.today.isoformat())]
        case _, ProposePlanRequest() as propose:
            if _proposed(propose, state.proposed.proposed_date) != state.proposed:
                raise AlreadyExists("PLAN_EXISTS", f"plan {plan} was proposed with other content")
            return []
        case Plan.STATE_UNSPECIFIED, _:
            raise NotFound("PLAN_NOT_FOUND", "there is no such plan")

        case _, NoteDrift(drift=drift):
            if drift.drift_position <= state.drift.drift_position:
                return []
            return [PlanEvidenceDrifted(plan_id=plan, employee_id=employee, drift=drift)]

        case Plan.STATE_PROPOSED, AssessPlanRequest(assessment=assessment, employee_view=view):
            return [PlanAssessed(plan_id=plan, employee_id=employee, assessment=assessment, employee_view=view)]
        case Plan.STATE_ASSESSED, DiagnosePlanRequest(cause=cause, cause_note=note):
            return [PlanDiagnosed(plan_id=plan, employee_id=employee, cause=cause, cause_note=note)]
        case Plan.STATE_DIAGNOSED, ActivatePlanRequest(goals=goals, resources=resources):
            _refuse_unless_smart(goals, context.today)
            return [PlanActivated(plan_id=plan, employee_id=employee, goals=goals, resources=resources)]
        case Plan.STATE_ACTIVE, ObservePlanRequest(observe_until=day):
            _refuse_unless_ahead(day, context.today)
            return [PlanObserved(plan_id=plan, observe_until=day)]
        case Plan.STATE_IN_OBSERVATION, CallReassessment() if not state.reassessment_due:
            if context.today <= date.fromisoformat(state.observe_until):
                raise _observation_running(state)
            return [ReassessmentFellDue(plan_id=plan)]
        case Plan.STATE_IN_OBSERVATION, ClosePlanRequest(outcome=outcome, reason=reason):
            if not state.reassessment_due:
                raise _observation_running(state)
            return [_closed(state, outcome, reason, context.today)]
        case stage, CancelPlanRequest(reason=reason) if stage != Plan.STATE_CLOSED:
            return [_closed(state, Plan.OUTCOME_CANCELLED, reason, context.today)]

        # The same said again in the state that it led to.
        case (
            (
                Plan.STATE_ASSESSED,
                AssessPlanRequest(assessment=state.assessed.assessment, employee_view=state.assessed.employee_view),
            )
            | (
                Plan.STATE_DIAGNOSED,
                DiagnosePlanRequest(cause=state.diagnosed.cause, cause_note=state.diagnosed.cause_note),
            )
            | (
                Plan.STATE_ACTIVE,
                ActivatePlanRequest(goals=state.activated.goals, resources=state.activated.resources),
            )
            | (Plan.STATE_IN_OBSERVATION, ObservePlanRequest(observe_until=state.observe_until))
            | (Plan.STATE_CLOSED, ClosePlanRequest(outcome=state.closed.outcome, reason=state.closed.reason))
            | (_, CallReassessment())
        ):
            return []
        case Plan.STATE_CLOSED, CancelPlanRequest(reason=state.closed.reason) if (
            state.closed.outcome == Plan.OUTCOME_CANCELLED
        ):
            return []
        case stage, _:
            raise NotAllowed("WRONG_STATE", f"the plan is {Plan.State.Name(stage)[6:]}: {_POSSIBLE[stage]}")


PLAN = Aggregate(name="coaching.plan", initial=State(), evolve=evolve, decide=decide)

_POSSIBLE: dict[Plan.State.ValueType, str] = {
    Plan.STATE_PROPOSED: "it can be assessed or cancelled",
    Plan.STATE_ASSESSED: "it can be diagnosed or cancelled",
    Plan.STATE_DIAGNOSED: "it can be activated or cancelled",
    Plan.STATE_ACTIVE: "it can be observed or cancelled",
    Plan.STATE_IN_OBSERVATION: "it can be closed, once reassessment is due, or cancelled",
    Plan.STATE_CLOSED: "nothing can be changed any more",
}


def _proposed(propose: ProposePlanRequest, day: str) -> PlanProposed:
    """A proposal; one by a person rests on no detection and only names the KPI."""
    evidence = Evidence(kpi_id=propose.kpi_id)
    evidence.MergeFrom(propose.evidence)
    return PlanProposed(
        plan_id=propose.plan_id,
        employee_id=propose.employee_id,
        lead_id=propose.lead_id,
        evidence=evidence,
        proposed_date=day,
    )


def _closed(state: State, outcome: Plan.Outcome.ValueType, reason: str, today: date) -> PlanClosed:
    return PlanClosed(
        plan_id=state.proposed.plan_id,
        employee_id=state.proposed.employee_id,
        outcome=outcome,
        reason=reason,
        closed_date=today.isoformat(),
    )


def _refuse_unless_smart(goals: Sequence[Goal], today: date) -> None:
    """A goal asks for a change, by a day ahead; that it names a KPI and numbers is the contract's rule."""
    violations: list[FieldViolation] = []
    for index, goal in enumerate(goals):
        name = f"goals[{index}]"
        if parse_day(goal.deadline, f"{name}.deadline") <= today:
            violations.append(FieldViolation(f"{name}.deadline", "must lie after today"))
        if Decimal(goal.baseline) == Decimal(goal.target):
            violations.append(FieldViolation(f"{name}.target", "must differ from the baseline"))
    if violations:
        raise Invalid(
            "GOAL_NOT_SMART", "a goal needs a target other than its baseline, and a deadline ahead", tuple(violations)
        )


def _refuse_unless_ahead(observe_until: str, today: date) -> None:
    if parse_day(observe_until, "observe_until") <= today:
        message = "the last day of observation must lie after today"
        raise Invalid("DATE_INVALID", message, (FieldViolation("observe_until", message),))


def _observation_running(state: State) -> NotAllowed:
    return NotAllowed(
        "OBSERVATION_RUNNING",
        f"reassessment falls due at noon UTC of the day after {state.observe_until}",
    )


def to_resource(state: State, position: int) -> Plan:
    return Plan(
        plan_id=state.proposed.plan_id,
        employee_id=state.proposed.employee_id,
        lead_id=state.proposed.lead_id,
        state=state.stage,
        evidence=state.proposed.evidence,
        assessment=state.assessed.assessment,
        employee_view=state.assessed.employee_view,
        cause=state.diagnosed.cause,
        cause_note=state.diagnosed.cause_note,
        goals=state.activated.goals,
        resources=state.activated.resources,
        observe_until=state.observe_until,
        reassessment_due=state.reassessment_due,
        outcome=state.closed.outcome,
        outcome_reason=state.closed.reason,
        proposed_date=state.proposed.proposed_date,
        closed_date=state.closed.closed_date,
        etag=str(position),
        log_position=position,
        drift=state.drift if state.drift.drift_position else None,
    )
