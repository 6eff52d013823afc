"""A coaching plan, from its proposal to an outcome that a person decides."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import assert_never, cast

from google.protobuf.message import Message

from libs.common.days import Span, parse_day, timestamp
from libs.common.errors import AlreadyExists, Conflict, FieldViolation, Forbidden, Invalid, NotAllowed, NotFound
from libs.common.eventsourcing import Aggregate, Context
from services.coaching import goals
from services.coaching.pins import drifts_of, is_told, known_at
from stepladder.coaching.v1.events_pb2 import (
    PlanActivated,
    PlanAssessed,
    PlanClosed,
    PlanDiagnosed,
    PlanDriftReviewed,
    PlanEvidenceDrifted,
    PlanObserved,
    PlanPinsDrifted,
    PlanProposed,
    PlanViewGiven,
    ReassessmentFellDue,
)
from stepladder.coaching.v1.measure_pb2 import Measured, PinDrift
from stepladder.coaching.v1.plan_pb2 import (
    ActivatePlan,
    AssessPlan,
    AssessPlanRequest,
    CallReassessment,
    CancelPlanRequest,
    ClosePlanRequest,
    DiagnosePlan,
    DriftReview,
    Evidence,
    EvidenceDrift,
    FurtherCause,
    GivePlanViewRequest,
    Goal,
    GoalResult,
    NoteDrift,
    NotePinDrift,
    ObservePlanRequest,
    Plan,
    ProposePlanRequest,
    ReviewPlanDriftRequest,
    Support,
)

Command = (
    ProposePlanRequest
    | AssessPlan
    | GivePlanViewRequest
    | DiagnosePlan
    | ActivatePlan
    | ObservePlanRequest
    | CallReassessment
    | ClosePlanRequest
    | CancelPlanRequest
    | NoteDrift
    | NotePinDrift
    | ReviewPlanDriftRequest
)
Event = (
    PlanProposed
    | PlanAssessed
    | PlanViewGiven
    | PlanDiagnosed
    | PlanActivated
    | PlanObserved
    | ReassessmentFellDue
    | PlanClosed
    | PlanEvidenceDrifted
    | PlanPinsDrifted
    | PlanDriftReviewed
)


MOST_CAUSE_FACTS = 1000
"""KPIs on a day that causes may rest on: all of them lie in one event, and are measured again when facts change."""


def plan_id(detection_id: str) -> str:
    """The id of the plan that a detection leads to. Stored for ever."""
    return "p-" + detection_id.removeprefix("d-")


@dataclass(frozen=True, slots=True)
class State:
    """The plan, each part as its event told it; `stage` is unspecified before the proposal.

    `pin_drifts` has what is something else now of `pins`. `drift_position` names all drift there is, and grows with
    every change of it.
    """

    stage: Plan.State.ValueType = Plan.STATE_UNSPECIFIED
    proposed: PlanProposed = field(default_factory=PlanProposed)
    assessed: PlanAssessed = field(default_factory=PlanAssessed)
    own_view: str = ""
    diagnosed: PlanDiagnosed = field(default_factory=PlanDiagnosed)
    activated: PlanActivated = field(default_factory=PlanActivated)
    observe_until: str = ""
    reassessment_due: bool = False
    reassessed: ReassessmentFellDue = field(default_factory=ReassessmentFellDue)
    closed: PlanClosed = field(default_factory=PlanClosed)
    drift: EvidenceDrift = field(default_factory=EvidenceDrift)
    pin_drifts: Mapping[str, PinDrift] = field(default_factory=dict)
    drift_position: int = 0
    reviews: tuple[DriftReview, ...] = ()

    @property
    def drift_open(self) -> bool:
        """Whether a person has yet to look at the drift."""
        return self.drift_position > max((review.drift_position for review in self.reviews), default=0)


def evolve(state: State, event: Message) -> State:
    match cast(Event, event):
        case PlanProposed() as proposed:
            return replace(state, stage=Plan.STATE_PROPOSED, proposed=proposed)
        case PlanAssessed() as assessed:
            return replace(state, stage=Plan.STATE_ASSESSED, assessed=assessed)
        case PlanViewGiven(view=view):
            return replace(state, own_view=view)
        case PlanDiagnosed() as diagnosed:
            return replace(state, stage=Plan.STATE_DIAGNOSED, diagnosed=diagnosed)
        case PlanActivated() as activated:
            return replace(state, stage=Plan.STATE_ACTIVE, activated=activated)
        case PlanObserved(observe_until=day):
            return replace(state, stage=Plan.STATE_IN_OBSERVATION, observe_until=day)
        case ReassessmentFellDue() as reassessed:
            return replace(state, reassessment_due=True, reassessed=reassessed)
        case PlanClosed() as closed:
            return replace(state, stage=Plan.STATE_CLOSED, closed=closed, reassessment_due=False)
        case PlanEvidenceDrifted(drift=drift):
            return replace(state, drift=drift, drift_position=max(drift.drift_position, state.drift_position + 1))
        case PlanPinsDrifted(pins=pins, drift_position=position):
            return replace(state, pin_drifts={one.pin: one for one in pins}, drift_position=position)
        case PlanDriftReviewed() as reviewed:
            return replace(state, reviews=(*state.reviews, _review(reviewed)))
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

        case _, NotePinDrift(pins=changed):
            return _drifted(state, changed)
        case _, ReviewPlanDriftRequest() as review:
            return _reviewed(state, review, context)

        case Plan.STATE_PROPOSED, AssessPlan(request=request, measured=measured):
            return [_assessed(state, request, measured, context.today)]
        case stage, GivePlanViewRequest(view=view) if stage != Plan.STATE_CLOSED:
            return [PlanViewGiven(plan_id=plan, employee_id=employee, view=view)] if view != state.own_view else []
        case Plan.STATE_ASSESSED, DiagnosePlan() as diagnose:
            _refuse_superseded(diagnose)
            return [_diagnosed(state, diagnose, diagnose.cause_facts)]
        case Plan.STATE_DIAGNOSED, ActivatePlan() as activate:
            return [_activated(state, activate, context.today)]
        case Plan.STATE_ACTIVE, ObservePlanRequest(observe_until=day):
            _refuse_unless_ahead(day, "observe_until", context.today)
            return [PlanObserved(plan_id=plan, observe_until=day)]
        case Plan.STATE_IN_OBSERVATION, CallReassessment(measured=measured) if not state.reassessment_due:
            if context.today <= date.fromisoformat(state.observe_until):
                raise _observation_running(state)
            return [_reassessed(state, measured)]
        case Plan.STATE_IN_OBSERVATION, ClosePlanRequest() as close:
            if not state.reassessment_due:
                raise _observation_running(state)
            _refuse_unless_person(context)
            _refuse_unless_reviewed(state)
            if close.outcome == Plan.OUTCOME_NOT_IMPROVED and state.reassessed.results and not outcome_now(state):
                raise NotAllowed(
                    "NOTHING_MEASURED",
                    "nothing was recorded that any of the goals is measured by, so it does not show that they did not"
                    " improve: cancel the plan with the reason, and propose another one",
                )
            if close.watch_until:
                _refuse_unless_ahead(close.watch_until, "watch_until", context.today)
            return [_closed(state, close.outcome, close.reason, context.today, close.watch_until)]
        case stage, CancelPlanRequest(reason=reason) if stage != Plan.STATE_CLOSED:
            return [_closed(state, Plan.OUTCOME_CANCELLED, reason, context.today)]

        # The same said again in the state that it led to.
        case Plan.STATE_ASSESSED, AssessPlan(request=request) if _restates_assessment(request, state.assessed):
            return []
        case Plan.STATE_DIAGNOSED, DiagnosePlan() as diagnose if (
            _diagnosed(state, diagnose, state.diagnosed.cause_facts) == state.diagnosed
        ):
            return []
        case Plan.STATE_ACTIVE, ActivatePlan() as activate if _restates(activate, state.activated):
            return []
        case (
            (Plan.STATE_IN_OBSERVATION, ObservePlanRequest(observe_until=state.observe_until))
            | (
                Plan.STATE_CLOSED,
                ClosePlanRequest(
                    outcome=state.closed.outcome, reason=state.closed.reason, watch_until=state.closed.watch_until
                ),
            )
            | (Plan.STATE_CLOSED, GivePlanViewRequest(view=state.own_view))
            | (_, CallReassessment())
        ):
            return []
        case Plan.STATE_CLOSED, CancelPlanRequest(reason=state.closed.reason) if (
            state.closed.outcome == Plan.OUTCOME_CANCELLED
        ):
            return []
        case stage, _:
            raise NotAllowed("WRONG_STATE", f"the plan is {described(state)}: {_POSSIBLE[stage]}")


PLAN = Aggregate(name="coaching.plan", initial=State(), evolve=evolve, decide=decide)

_POSSIBLE: dict[Plan.State.ValueType, str] = {
    Plan.STATE_PROPOSED: "it can be assessed or cancelled",
    Plan.STATE_ASSESSED: "it can be diagnosed or cancelled",
    Plan.STATE_DIAGNOSED: "it can be activated or cancelled",
    Plan.STATE_ACTIVE: "it can be observed or cancelled",
    Plan.STATE_IN_OBSERVATION: "it can be closed, once reassessment is due, or cancelled",
    Plan.STATE_CLOSED: "nothing is decided any more",
}


def described(state: State) -> str:
    """The state of a plan in words, with the outcome if it has one."""
    name = Plan.State.Name(state.stage).removeprefix("STATE_")
    outcome = Plan.Outcome.Name(state.closed.outcome).removeprefix("OUTCOME_")
    return f"{name} as {outcome}" if state.closed.outcome else name


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


def _assessed(state: State, request: AssessPlanRequest, measured: Measured, today: date) -> PlanAssessed:
    if request.end_date > today.isoformat():
        message = "must not lie after today"
        raise Invalid("DATE_INVALID", f"end_date: {message}", (FieldViolation("end_date", message),))
    if request.start_date and not measured.value:
        days = f"from {request.start_date} to {request.end_date}"
        message = f"nothing of KPI {state.proposed.evidence.kpi_id} was recorded {days}: name other days"
        raise NotAllowed("NO_FACTS", message)
    return PlanAssessed(
        plan_id=state.proposed.plan_id,
        employee_id=state.proposed.employee_id,
        assessment=request.assessment,
        employee_view=request.employee_view,
        measured=measured if request.start_date else None,
    )


def _restates_assessment(request: AssessPlanRequest, assessed: PlanAssessed) -> bool:
    """Whether a request says nothing else than the assessment, whatever the facts say by now."""
    said = (request.assessment, request.employee_view, request.start_date, request.end_date)
    measured = assessed.measured
    return said == (assessed.assessment, assessed.employee_view, measured.start_date, measured.end_date)


def _refuse_superseded(diagnose: DiagnosePlan) -> None:
    if gone := diagnose.superseded:
        message = f"what was recorded at {', '.join(map(str, gone))} in the log was corrected or taken back since"
        raise NotFound("FACT_NOT_FOUND", f"{message}, or no KPI is made of it: name what is so now")


def _diagnosed(state: State, command: DiagnosePlan, cause_facts: Iterable[Measured]) -> PlanDiagnosed:
    """The causes, with what the facts say; notes of further ones beside them, to be sealed."""
    diagnose = command.request
    if len(facts := list(cause_facts)) > MOST_CAUSE_FACTS:
        message = f"they say {len(facts)} things, more than {MOST_CAUSE_FACTS}: name those that count"
        raise Invalid("TOO_MANY_FACTS", message, (FieldViolation("fact_positions", message),))
    causes = [diagnose.cause, *(further.cause for further in diagnose.further_causes)]
    if twice := [index for index, cause in enumerate(causes) if cause in causes[:index]]:
        message = f"{Plan.Cause.Name(causes[twice[0]])[6:].lower()} is named before: say all of it in one place"
        raise Invalid("CAUSE_TWICE", message, (FieldViolation(f"further_causes[{twice[0] - 1}].cause", message),))
    return PlanDiagnosed(
        plan_id=state.proposed.plan_id,
        employee_id=state.proposed.employee_id,
        cause=diagnose.cause,
        cause_note=diagnose.cause_note,
        fact_positions=sorted(diagnose.fact_positions),
        further_causes=[
            FurtherCause(cause=further.cause, fact_positions=sorted(further.fact_positions))
            for further in diagnose.further_causes
        ],
        further_notes=[further.note for further in diagnose.further_causes],
        cause_facts=facts,
    )


def _activated(state: State, activate: ActivatePlan, today: date) -> PlanActivated:
    request = activate.request
    violations = [
        violation
        for index, (goal, basis) in enumerate(zip(request.goals, activate.bases, strict=True))
        for violation in goals.violations(goal, basis, today, f"goals[{index}]")
    ]
    if violations:
        text = "; ".join(f"{one.field} {one.message}" for one in violations)
        raise Invalid("GOAL_NOT_SMART", text, tuple(violations))
    for index, support in enumerate(request.supports):
        if support.HasField("adjusted_work"):
            _refuse_unless_ahead(support.adjusted_work.end_date, f"supports[{index}].adjusted_work.end_date", today)
    _refuse_mentors(state, activate)
    return PlanActivated(
        plan_id=state.proposed.plan_id,
        employee_id=state.proposed.employee_id,
        goals=[goals.kept(goal, basis) for goal, basis in zip(request.goals, activate.bases, strict=True)],
        resources=request.resources,
        activated_date=today.isoformat(),
        supports=[_bare(support) for support in request.supports],
        support_texts=[support.text for support in request.supports],
        rules_position=activate.rules_position,
    )


def _refuse_mentors(state: State, activate: ActivatePlan) -> None:
    limit = activate.mentor_limit
    loads = {one.mentor_id: one for one in activate.mentoring}
    for index, support in enumerate(activate.request.supports):
        if not support.HasField("mentor_id"):
            continue
        mentor, name = support.mentor_id, f"supports[{index}].mentor_id"
        if mentor == state.proposed.employee_id:
            message = "nobody is their own mentor"
            raise Invalid("MENTOR_INVALID", message, (FieldViolation(name, message),))
        if not loads[mentor].employed:
            raise NotFound("EMPLOYEE_NOT_FOUND", f"{name}: there is no employee {mentor}, or not any more")
        if limit and loads[mentor].plans >= limit:
            raise NotAllowed(
                "MENTOR_OVERLOADED",
                f"{name}: {mentor} supports {loads[mentor].plans} open plans already, and the coaching rules allow"
                f" {limit}: name another mentor, or wait until one of those is closed",
            )


def _restates(activate: ActivatePlan, activated: PlanActivated) -> bool:
    """Whether a request says nothing else than what the plan was activated with, whatever the facts say by now."""
    request = activate.request
    return (
        len(request.goals) == len(activated.goals)
        and all(map(goals.restates, request.goals, activated.goals))
        and request.resources == activated.resources
        and list(request.supports) == _supports(activated)
    )


def _reassessed(state: State, measured: Sequence[Measured]) -> ReassessmentFellDue:
    """What the goals came to; nothing where they do not say how they are counted."""
    results = _results(state.activated.goals, measured)
    return ReassessmentFellDue(
        plan_id=state.proposed.plan_id, results=results, suggested_outcome=goals.suggested(results)
    )


def _results(of: Iterable[Goal], measured: Iterable[Measured]) -> list[GoalResult]:
    """One for each goal; none of goals that nothing was measured of."""
    pairs = zip(of, measured, strict=False)
    return [GoalResult(measured=one, met=goals.met(goal, goal.target, one)) for goal, one in pairs]


def _closed(
    state: State, outcome: Plan.Outcome.ValueType, reason: str, today: date, watch_until: str = ""
) -> PlanClosed:
    return PlanClosed(
        plan_id=state.proposed.plan_id,
        employee_id=state.proposed.employee_id,
        outcome=outcome,
        reason=reason,
        closed_date=today.isoformat(),
        suggested_outcome=outcome_now(state),
        watch_until=watch_until,
    )


def _drifted(state: State, measured: Sequence[PinDrift]) -> list[Message]:
    """The drift, if it is another than was last told, and nothing that became known later was told."""
    drifts = drifts_of(pins(state), measured, state.pin_drifts)
    if is_told(drifts, state.pin_drifts) or known_at(measured) < state.drift_position:
        return []
    return [
        PlanPinsDrifted(
            plan_id=state.proposed.plan_id,
            employee_id=state.proposed.employee_id,
            pins=[drifts[pin] for pin in sorted(drifts)],
            drift_position=max(state.drift_position + 1, known_at(measured)),
        )
    ]


def _reviewed(state: State, request: ReviewPlanDriftRequest, context: Context) -> list[Message]:
    mine = (request.drift_position, context.actor, request.note)
    if mine in {(review.drift_position, review.reviewed_by, review.note) for review in state.reviews}:
        return []
    if not state.drift_position:
        raise NotAllowed("NO_DRIFT", "nothing that the plan rests on has changed")
    if request.drift_position != state.drift_position:
        raise Conflict("DRIFT_CHANGED", f"the drift is at {state.drift_position} by now: look at that, and review it")
    _refuse_unless_person(context)
    return [
        PlanDriftReviewed(
            plan_id=state.proposed.plan_id,
            employee_id=state.proposed.employee_id,
            drift_position=request.drift_position,
            reviewed_by=context.actor,
            reviewed_time=timestamp(context.now),
            note=request.note,
        )
    ]


def _review(reviewed: PlanDriftReviewed) -> DriftReview:
    return DriftReview(
        drift_position=reviewed.drift_position,
        reviewed_by=reviewed.reviewed_by,
        reviewed_time=reviewed.reviewed_time,
        note=reviewed.note,
    )


def _refuse_unless_person(context: Context) -> None:
    if not context.actor.startswith("user:"):
        raise Forbidden("NOT_A_PERSON", "a person decides this, never the system")


def _refuse_unless_reviewed(state: State) -> None:
    if state.drift_open:
        raise NotAllowed(
            "DRIFT_NOT_REVIEWED",
            f"facts that the plan rests on have changed (drift {state.drift_position}): look at it and say so by"
            " ReviewPlanDrift",
        )


def _refuse_unless_ahead(day: str, name: str, today: date) -> None:
    if parse_day(day, name) <= today:
        message = f"{day} must lie after today"
        raise Invalid("DATE_INVALID", f"{name}: {message}", (FieldViolation(name, message),))


def _observation_running(state: State) -> NotAllowed:
    return NotAllowed(
        "OBSERVATION_RUNNING",
        f"reassessment falls due at noon UTC of the day after {state.observe_until}",
    )


def pins(state: State) -> dict[str, Measured]:
    """Everything that the plan measured and keeps, by the name of its pin. What is to be measured again."""
    found = {f"goals[{i}].baseline": goal.measured_baseline for i, goal in enumerate(state.activated.goals)}
    found |= {f"cause_facts[{i}]": fact for i, fact in enumerate(state.diagnosed.cause_facts)}
    found |= {f"results[{i}]": result.measured for i, result in enumerate(state.reassessed.results)}
    if state.assessed.HasField("measured"):
        found["assessed"] = state.assessed.measured
    return {pin: measured for pin, measured in found.items() if measured.HasField("measure")}


def outcome_now(state: State) -> Plan.Outcome.ValueType:
    """The outcome that the results suggest, as the facts are now."""
    drifts = state.pin_drifts
    measured = [
        drifts[pin].now if (pin := f"results[{i}]") in drifts else result.measured
        for i, result in enumerate(state.reassessed.results)
    ]
    return goals.suggested(_results(state.activated.goals, measured))


def evidence_days(state: State) -> Span | None:
    """The days whose facts the plan rests on: those that the assessment names, or else those of the detection."""
    if state.assessed.HasField("measured"):
        measured = state.assessed.measured
        return Span(date.fromisoformat(measured.start_date), date.fromisoformat(measured.end_date))
    periods = state.proposed.evidence.periods
    if not periods:
        return None
    return Span(
        date.fromisoformat(min(period.start_date for period in periods)),
        date.fromisoformat(max(period.end_date for period in periods)),
    )


def coached_since(state: State) -> date:
    """The day whose next is the first on which goals are measured: of the activation, where it was kept."""
    return date.fromisoformat(state.activated.activated_date or state.proposed.proposed_date)


def _bare(support: Support) -> Support:
    """Without its text, which lies in the log sealed, beside it."""
    bare = Support()
    bare.CopyFrom(support)
    bare.ClearField("text")
    return bare


def _supports(activated: PlanActivated) -> list[Support]:
    found = []
    for support, text in zip(activated.supports, _beside(activated.support_texts, activated.supports), strict=True):
        whole = Support(text=text)
        whole.MergeFrom(support)
        found.append(whole)
    return found


def _further_causes(diagnosed: PlanDiagnosed) -> list[FurtherCause]:
    notes = _beside(diagnosed.further_notes, diagnosed.further_causes)
    return [
        FurtherCause(cause=further.cause, note=note, fact_positions=further.fact_positions)
        for further, note in zip(diagnosed.further_causes, notes, strict=True)
    ]


def _beside(texts: Sequence[str], things: Sequence[Message]) -> Sequence[str]:
    """Texts, one for each thing; of an employee whose key is erased there is one in place of all."""
    return texts if len(texts) == len(things) else [*texts] * len(things)


def to_resource(state: State, position: int) -> Plan:
    """The plan without what is measured live, and without what other plans and envelopes say."""
    return Plan(
        plan_id=state.proposed.plan_id,
        employee_id=state.proposed.employee_id,
        lead_id=state.proposed.lead_id,
        state=state.stage,
        evidence=state.proposed.evidence,
        assessment=state.assessed.assessment,
        employee_view=state.assessed.employee_view,
        own_view=state.own_view,
        assessed=state.assessed.measured if state.assessed.HasField("measured") else None,
        cause=state.diagnosed.cause,
        cause_note=state.diagnosed.cause_note,
        cause_fact_positions=state.diagnosed.fact_positions,
        cause_facts=state.diagnosed.cause_facts,
        further_causes=_further_causes(state.diagnosed),
        goals=state.activated.goals,
        resources=state.activated.resources,
        supports=_supports(state.activated),
        activated_date=state.activated.activated_date,
        rules_position=state.activated.rules_position,
        observe_until=state.observe_until,
        reassessment_due=state.reassessment_due,
        results=state.reassessed.results,
        suggested_outcome=state.closed.suggested_outcome or state.reassessed.suggested_outcome,
        outcome_now=outcome_now(state),
        outcome=state.closed.outcome,
        outcome_reason=state.closed.reason,
        watch_until=state.closed.watch_until,
        proposed_date=state.proposed.proposed_date,
        closed_date=state.closed.closed_date,
        etag=str(position),
        log_position=position,
        drift=state.drift if state.drift.drift_position else None,
        pin_drifts=[state.pin_drifts[pin] for pin in sorted(state.pin_drifts)],
        drift_position=state.drift_position,
        drift_open=state.drift_open,
        drift_reviews=state.reviews,
    )
