"""Coaching plans: the transition table, what is refused, and what changes nothing."""

from collections.abc import Sequence
from datetime import date
from typing import Any

import hypothesis
import protovalidate
import pytest
from google.protobuf.message import Message
from hypothesis import strategies as st

from libs.common.days import timestamp
from libs.common.envelope import ERASED
from libs.common.errors import AlreadyExists, Conflict, Forbidden, Invalid, NotAllowed, NotFound, Refused
from services.coaching.measuring import ITEM
from services.coaching.plan import PLAN, coached_since, described, evidence_days, pins, plan_id, to_resource
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
from stepladder.coaching.v1.measure_pb2 import Measure, Measured, PinDrift
from stepladder.coaching.v1.plan_pb2 import (
    ActivatePlan,
    ActivatePlanRequest,
    AssessPlan,
    AssessPlanRequest,
    CallReassessment,
    CancelPlanRequest,
    ClosePlanRequest,
    DiagnosePlan,
    DiagnosePlanRequest,
    Evidence,
    EvidenceDrift,
    EvidencePeriod,
    FurtherCause,
    GivePlanViewRequest,
    Goal,
    GoalBasis,
    GoalResult,
    Mentoring,
    NoteDrift,
    NotePinDrift,
    ObservePlanRequest,
    Plan,
    ProposePlanRequest,
    ReviewPlanDriftRequest,
    Support,
)
from tests.deciding import Given, context, days, fold, given, twice_is_once

IDS: dict[str, Any] = {"plan_id": "p-1", "employee_id": "e-1"}
EVIDENCE = Evidence(
    detection_id="d-1",
    detection_position=70,
    policy_id="csat-daily",
    policy_position=60,
    kpi_id="csat",
    periods=[
        EvidencePeriod(start_date="2026-03-02", end_date="2026-03-02", value="93.0", fact_positions=[66]),
        EvidencePeriod(start_date="2026-03-01", end_date="2026-03-01", value="94.0", fact_positions=[65]),
    ],
)
CSAT = Measure(kpi_id="csat")


def measured(per_mille: int, start: str = "2026-03-01", end: str = "2026-03-02", known_at: int = 80) -> Measured:
    """So many of 1000 customers were satisfied."""
    return Measured(
        measure=CSAT,
        start_date=start,
        end_date=end,
        numerator=per_mille,
        denominator=1000,
        value=f"{per_mille / 10:.1f}",
        fact_positions=[65, 66],
        known_at=known_at,
    )


BASELINE = measured(935)
AFTER = measured(952, "2026-03-17", "2026-04-30", 190)
GIVEN_GOAL = Goal(kpi_id="csat", target="95", deadline="2026-04-30")
BASIS = GoalBasis(definition=ITEM, baseline=BASELINE)
"""An item of a form is counted as satisfied customers are: higher is better, in per cent with one digit."""
GOAL = Goal(
    kpi_id="csat",
    baseline="93.5",
    target="95",
    deadline="2026-04-30",
    measure=CSAT,
    baseline_start_date="2026-03-01",
    baseline_end_date="2026-03-02",
    measured_baseline=BASELINE,
    definition=ITEM,
)
RESOURCES = ["a talk every Monday"]
SUPPORTS = [
    Support(course_id="difficult-calls"),
    Support(mentor_id="e-7", text="sits beside them"),
    Support(example=Support.Example(record_id="qa-1"), text="the part about refunds"),
    Support(adjusted_work=Support.AdjustedWork(end_date="2026-04-15"), text="no complaints"),
    Support(other=Support.Other(), text="another headset"),
]
TEXTS = ["", "sits beside them", "the part about refunds", "no complaints", "another headset"]
BARE = [
    Support(course_id="difficult-calls"),
    Support(mentor_id="e-7"),
    Support(example=Support.Example(record_id="qa-1")),
    Support(adjusted_work=Support.AdjustedWork(end_date="2026-04-15")),
    Support(other=Support.Other()),
]

PROPOSE = ProposePlanRequest(plan_id="p-1", employee_id="e-1", lead_id="e-9", kpi_id="csat")
ASSESS = AssessPlan(
    request=AssessPlanRequest(
        plan_id="p-1",
        assessment="serious",
        employee_view="too many new products",
        start_date="2026-03-01",
        end_date="2026-03-02",
    ),
    measured=BASELINE,
)
VIEW = GivePlanViewRequest(plan_id="p-1", view="nobody explained them")


def diagnose(cause_facts: Sequence[Measured] = (), superseded: Sequence[int] = (), **said: Any) -> DiagnosePlan:
    """With what the facts that it names say."""
    request = DiagnosePlanRequest(plan_id="p-1", **said)
    return DiagnosePlan(request=request, cause_facts=cause_facts, superseded=superseded)


FACT = measured(930, "2026-03-02", "2026-03-02")
DIAGNOSE = diagnose(
    [FACT],
    cause=Plan.CAUSE_KNOWLEDGE,
    cause_note="new products",
    fact_positions=[66, 65],
    further_causes=[FurtherCause(cause=Plan.CAUSE_EXTERNAL, note="two jobs")],
)
ACTIVATE = ActivatePlan(
    request=ActivatePlanRequest(plan_id="p-1", goals=[GIVEN_GOAL], resources=RESOURCES, supports=SUPPORTS),
    bases=[BASIS],
    mentoring=[Mentoring(mentor_id="e-7", employed=True, plans=2)],
    mentor_limit=3,
    rules_position=50,
)
OBSERVE = ObservePlanRequest(plan_id="p-1", observe_until="2026-04-30")
CALL = CallReassessment(plan_id="p-1", measured=[AFTER])
CLOSE = ClosePlanRequest(plan_id="p-1", outcome=Plan.OUTCOME_IMPROVED, reason="on target for a month")
CANCEL = CancelPlanRequest(plan_id="p-1", reason="moved to another site")


def note(pin: str, per_mille: int, position: int) -> NotePinDrift:
    """What a pin is now, over its days."""
    kept = AFTER if pin.startswith("results") else BASELINE
    now = measured(per_mille, kept.start_date, kept.end_date, position)
    return NotePinDrift(plan_id="p-1", pins=[PinDrift(pin=pin, now=now)])


NOTE = NotePinDrift(
    plan_id="p-1",
    pins=[
        PinDrift(pin="assessed", now=measured(935, known_at=200)),  # nothing new
        PinDrift(pin="goals[0].baseline", now=measured(945, known_at=200)),
        PinDrift(pin="goals[7].baseline", now=measured(999, known_at=200)),  # the plan has no such goal
    ],
)
REVIEW = ReviewPlanDriftRequest(plan_id="p-1", drift_position=200, note="does not change the picture")

PROPOSED = PlanProposed(
    plan_id="p-1", employee_id="e-1", lead_id="e-9", evidence=Evidence(kpi_id="csat"), proposed_date="2026-03-16"
)
ASSESSED = PlanAssessed(assessment="serious", employee_view="too many new products", measured=BASELINE, **IDS)
VIEWED = PlanViewGiven(view="nobody explained them", **IDS)
DIAGNOSED = PlanDiagnosed(
    cause=Plan.CAUSE_KNOWLEDGE,
    cause_note="new products",
    fact_positions=[65, 66],
    further_causes=[FurtherCause(cause=Plan.CAUSE_EXTERNAL)],
    further_notes=["two jobs"],
    cause_facts=[FACT],
    **IDS,
)
ACTIVATED = PlanActivated(
    goals=[GOAL],
    resources=RESOURCES,
    activated_date="2026-03-16",
    supports=BARE,
    support_texts=TEXTS,
    rules_position=50,
    **IDS,
)
OBSERVED = PlanObserved(plan_id="p-1", observe_until="2026-04-30")
FELL_DUE = ReassessmentFellDue(
    plan_id="p-1", results=[GoalResult(measured=AFTER, met=True)], suggested_outcome=Plan.OUTCOME_IMPROVED
)
DRIFTED = PlanPinsDrifted(
    pins=[PinDrift(pin="goals[0].baseline", before=BASELINE, now=measured(945, known_at=200))],
    drift_position=200,
    **IDS,
)
REVIEWED = PlanDriftReviewed(
    drift_position=200,
    reviewed_by="user:u-1",
    reviewed_time=timestamp(context(date(2026, 5, 1)).now),
    note="does not change the picture",
    **IDS,
)


def closed(
    day: str, outcome: Plan.Outcome.ValueType = Plan.OUTCOME_IMPROVED, reason: str = "on target for a month"
) -> PlanClosed:
    """Decided when the results suggest that all is well."""
    return PlanClosed(outcome=outcome, reason=reason, closed_date=day, suggested_outcome=Plan.OUTCOME_IMPROVED, **IDS)


CLOSED = closed("2026-05-01")
CANCELLED = PlanClosed(outcome=Plan.OUTCOME_CANCELLED, reason="moved to another site", closed_date="2026-03-16", **IDS)
CANCELLED_DUE = closed("2026-03-16", Plan.OUTCOME_CANCELLED, "moved to another site")

WHOLE_LIFE = [PROPOSED, ASSESSED, DIAGNOSED, ACTIVATED, OBSERVED, FELL_DUE, CLOSED]
PATHS: dict[str, list[Message]] = {
    "PROPOSED": WHOLE_LIFE[:1],
    "ASSESSED": WHOLE_LIFE[:2],
    "DIAGNOSED": WHOLE_LIFE[:3],
    "ACTIVE": WHOLE_LIFE[:4],
    "IN_OBSERVATION": WHOLE_LIFE[:5],
    "due": WHOLE_LIFE[:6],
    "drifted": [*WHOLE_LIFE[:6], DRIFTED],
    "reviewed": [*WHOLE_LIFE[:6], DRIFTED, REVIEWED],
    "CLOSED": WHOLE_LIFE,
    "closed, drifted": [*WHOLE_LIFE, DRIFTED],
    "cancelled": [PROPOSED, CANCELLED],
}
MAY = date(2026, 5, 1)
"""The day after the observation."""


def test_ids() -> None:
    """A detection leads to one plan."""
    assert plan_id("d-abc") == "p-abc"


def test_a_plan_that_goes_well() -> None:
    """From its proposal to its outcome; each step said twice is one step."""
    plan = given(PLAN)
    steps = [(PROPOSE, PROPOSED), (ASSESS, ASSESSED), (DIAGNOSE, DIAGNOSED), (ACTIVATE, ACTIVATED), (OBSERVE, OBSERVED)]
    for command, event in steps:
        plan = plan.when(command).then(event).when(command).then().when(command, today=MAY).then()
    for command, event in ((CALL, FELL_DUE), (NOTE, DRIFTED), (REVIEW, REVIEWED), (CLOSE, CLOSED)):
        plan = plan.when(command, today=MAY).then(event).when(command, today=MAY).then()


def test_propose_out_of_a_detection() -> None:
    """The plan keeps its evidence; nobody need lead the team."""
    propose = ProposePlanRequest(plan_id="p-1", employee_id="e-1", evidence=EVIDENCE)
    protovalidate.validate(propose)
    proposed = PlanProposed(plan_id="p-1", employee_id="e-1", evidence=EVIDENCE, proposed_date="2026-03-16")
    given(PLAN).when(propose).then(proposed).when(propose, today=MAY).then()


def test_propose_about_no_kpi_or_two() -> None:
    """The contract wants the KPI, once."""
    for evidence, kpi_id in ((None, ""), (Evidence(policy_id="x"), ""), (EVIDENCE, "aht")):
        with pytest.raises(protovalidate.ValidationError, match="kpi_id is needed"):
            protovalidate.validate(
                ProposePlanRequest(plan_id="p-1", employee_id="e-1", kpi_id=kpi_id, evidence=evidence)
            )


@pytest.mark.parametrize(
    "other",
    [
        ProposePlanRequest(plan_id="p-1", employee_id="e-2", lead_id="e-9", kpi_id="csat"),
        ProposePlanRequest(plan_id="p-1", employee_id="e-1", lead_id="e-9", kpi_id="aht"),
        ProposePlanRequest(plan_id="p-1", employee_id="e-1", lead_id="e-9", evidence=EVIDENCE),
    ],
)
def test_propose_with_other_content(other: ProposePlanRequest) -> None:
    """The id of a plan is taken, whatever became of the plan."""
    for path in PATHS.values():
        given(PLAN, *path).when(other).refused(AlreadyExists, "PLAN_EXISTS")
        given(PLAN, *path).when(PROPOSE).then()


COMMANDS = [ASSESS, DIAGNOSE, ACTIVATE, OBSERVE, CALL, CLOSE, CANCEL, NOTE, REVIEW]


@pytest.mark.parametrize("command", [*COMMANDS, VIEW])
def test_nothing_else_before_the_proposal(command: Message) -> None:
    """A plan that does not exist goes nowhere."""
    given(PLAN).when(command).refused(NotFound, "PLAN_NOT_FOUND")


RUNNING, WRONG, BLOCKED, NONE = "OBSERVATION_RUNNING", "WRONG_STATE", "DRIFT_NOT_REVIEWED", "NO_DRIFT"
TODAY = closed("2026-03-16")
SEEN = PlanDriftReviewed()
SEEN.CopyFrom(REVIEWED)
SEEN.reviewed_time.FromDatetime(context().now)
UNPINNED = None  # a plan that keeps no such measure has no drift of it
TABLE: dict[str, list[Message | str | None]] = {
    "PROPOSED": [ASSESSED, WRONG, WRONG, WRONG, None, WRONG, CANCELLED, UNPINNED, NONE],
    "ASSESSED": [None, DIAGNOSED, WRONG, WRONG, None, WRONG, CANCELLED, UNPINNED, NONE],
    "DIAGNOSED": [WRONG, None, ACTIVATED, WRONG, None, WRONG, CANCELLED, UNPINNED, NONE],
    "ACTIVE": [WRONG, WRONG, None, OBSERVED, None, WRONG, CANCELLED, DRIFTED, NONE],
    "IN_OBSERVATION": [WRONG, WRONG, WRONG, None, RUNNING, RUNNING, CANCELLED, DRIFTED, NONE],
    "due": [WRONG, WRONG, WRONG, None, None, TODAY, CANCELLED_DUE, DRIFTED, NONE],
    "drifted": [WRONG, WRONG, WRONG, None, None, BLOCKED, CANCELLED_DUE, None, SEEN],
    "reviewed": [WRONG, WRONG, WRONG, None, None, TODAY, CANCELLED_DUE, None, None],
    "CLOSED": [WRONG, WRONG, WRONG, WRONG, None, None, WRONG, DRIFTED, NONE],
    "closed, drifted": [WRONG, WRONG, WRONG, WRONG, None, None, WRONG, None, SEEN],
    "cancelled": [WRONG, WRONG, WRONG, WRONG, None, WRONG, None, UNPINNED, NONE],
}
"""What each command leads to in each state: an event, nothing, or the reason of a refusal."""


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("column", range(len(COMMANDS)), ids=[type(command).__name__ for command in COMMANDS])
def test_every_command_in_every_state(path: str, column: int) -> None:
    """A step is taken from one state, changes nothing in the one that it led to, and is refused elsewhere."""
    when = given(PLAN, *PATHS[path]).when(COMMANDS[column])
    match TABLE[path][column]:
        case str(reason):
            when.refused(NotAllowed, reason)
        case None:
            when.then()
        case event:
            when.then(event)


def assess(**said: str) -> AssessPlan:
    return AssessPlan(request=AssessPlanRequest(plan_id="p-1", **said))


def activate(*goals: Goal, supports: list[Support] | None = None, **looked_up: Any) -> ActivatePlan:
    """Goals, each with the same basis."""
    request = ActivatePlanRequest(plan_id="p-1", goals=goals, supports=supports)
    return ActivatePlan(request=request, bases=[BASIS] * len(goals), **looked_up)


@pytest.mark.parametrize(
    ("path", "other"),
    [
        ("ASSESSED", assess(assessment="serious", employee_view="too many new products")),
        ("ASSESSED", assess(assessment="serious", start_date="2026-03-01", end_date="2026-03-02")),
        ("DIAGNOSED", diagnose(cause=Plan.CAUSE_SKILL, cause_note="new products")),
        ("DIAGNOSED", diagnose(cause=Plan.CAUSE_KNOWLEDGE, cause_note="new products")),
        ("ACTIVE", activate(GIVEN_GOAL, GIVEN_GOAL)),
        ("ACTIVE", activate(GIVEN_GOAL)),
        ("ACTIVE", activate(Goal(kpi_id="csat", target="95.0", deadline="2026-05-30"), supports=SUPPORTS)),
        ("IN_OBSERVATION", ObservePlanRequest(plan_id="p-1", observe_until="2026-05-31")),
        ("CLOSED", ClosePlanRequest(plan_id="p-1", outcome=Plan.OUTCOME_NOT_IMPROVED, reason=CLOSE.reason)),
        (
            "CLOSED",
            ClosePlanRequest(
                plan_id="p-1", outcome=Plan.OUTCOME_IMPROVED, reason=CLOSE.reason, watch_until="2026-08-01"
            ),
        ),
        ("CLOSED", CancelPlanRequest(plan_id="p-1", reason=CLOSE.reason)),
        ("cancelled", ClosePlanRequest(plan_id="p-1", outcome=Plan.OUTCOME_IMPROVED, reason=CANCEL.reason)),
        ("cancelled", CancelPlanRequest(plan_id="p-1", reason="left the company")),
    ],
)
def test_a_step_again_with_other_content(path: str, other: Message) -> None:
    """What was said stands; the refusal names the state, the outcome if there is one, and what is possible."""
    plan = given(PLAN, *PATHS[path])
    refused = plan.when(other).refused(NotAllowed, "WRONG_STATE")
    assert refused.message.startswith(f"the plan is {described(plan.state)}: ")


def test_described() -> None:
    """A plan that is closed is told with its outcome."""
    assert described(given(PLAN, *PATHS["ACTIVE"]).state) == "ACTIVE"
    assert described(given(PLAN, *PATHS["cancelled"]).state) == "CLOSED as CANCELLED"


def test_said_again_when_facts_and_rules_have_changed() -> None:
    """A repetition is told by what the caller said: not by what is looked up for it by now."""
    again = AssessPlan(request=ASSESS.request, measured=Measured())
    given(PLAN, *PATHS["ASSESSED"]).when(again).then()
    for baseline in ("", "93.5", "93.50"):
        goal = Goal(baseline=baseline, baseline_start_date="2026-03-01", baseline_end_date="2026-03-02")
        goal.MergeFrom(GIVEN_GOAL)
        request = ActivatePlanRequest(plan_id="p-1", goals=[goal], resources=RESOURCES, supports=SUPPORTS)
        bases = [GoalBasis(definition=ITEM, baseline=measured(999))]
        again_later = ActivatePlan(request=request, bases=bases, mentoring=[Mentoring(mentor_id="e-7")], mentor_limit=1)
        given(PLAN, *PATHS["ACTIVE"]).when(again_later).then()


def test_an_assessment_of_days_without_facts() -> None:
    """Days that are named rest on something."""
    request = AssessPlanRequest(plan_id="p-1", assessment="?", start_date="2026-03-01", end_date="2026-03-02")
    refused = given(PLAN, PROPOSED).when(AssessPlan(request=request)).refused(NotAllowed, "NO_FACTS")
    assert "from 2026-03-01 to 2026-03-02" in refused.message


def test_an_assessment_of_days_to_come() -> None:
    """Today may be among them, as far as it has come."""
    request = AssessPlanRequest(plan_id="p-1", assessment="?", start_date="2026-03-01", end_date="2026-03-17")
    command = AssessPlan(request=request, measured=measured(935, end="2026-03-17"))
    refused = given(PLAN, PROPOSED).when(command).refused(Invalid, "DATE_INVALID")
    assert [one.field for one in refused.violations] == ["end_date"]
    assert given(PLAN, PROPOSED).when(command, today=date(2026, 3, 17))._decide()


def test_the_days_of_the_evidence() -> None:
    """Those that the assessment names, or else all of the detection's; a plan by a person may have none."""
    found = PlanProposed(plan_id="p-1", employee_id="e-1", evidence=EVIDENCE, proposed_date="2026-03-16")
    assert evidence_days(given(PLAN, PROPOSED).state) is None
    span = evidence_days(given(PLAN, found).state)
    assert span is not None
    assert (str(span.start), str(span.end)) == ("2026-03-01", "2026-03-02")
    other = PlanAssessed(assessment="serious", measured=measured(935, "2026-02-01", "2026-02-28"), **IDS)
    span = evidence_days(given(PLAN, found, other).state)
    assert span is not None
    assert (str(span.start), str(span.end)) == ("2026-02-01", "2026-02-28")


@pytest.mark.parametrize("path", PATHS)
def test_the_employee_says_how_they_see_it(path: str) -> None:
    """Until the plan is closed; what they say last stands."""
    plan = given(PLAN, *PATHS[path])
    if plan.state.closed.outcome:
        plan.when(VIEW, actor="user:e-1").refused(NotAllowed, "WRONG_STATE")
        return
    said = plan.when(VIEW, actor="user:e-1").then(VIEWED).when(VIEW, actor="user:e-1").then()
    other = GivePlanViewRequest(plan_id="p-1", view="now they have")
    said = said.when(other, actor="user:e-1").then(PlanViewGiven(view="now they have", **IDS))
    assert to_resource(said.state, 9).own_view == "now they have"


def test_causes_are_named_once() -> None:
    """More than one cause may apply; the main one is not a further one."""
    for causes, field in (
        ([Plan.CAUSE_SKILL, Plan.CAUSE_SKILL], "further_causes[0].cause"),
        ([Plan.CAUSE_SKILL, Plan.CAUSE_ABILITY, Plan.CAUSE_ABILITY], "further_causes[1].cause"),
    ):
        further = [FurtherCause(cause=cause, note="?") for cause in causes[1:]]
        command = diagnose(cause=causes[0], cause_note="?", further_causes=further)
        refused = given(PLAN, *PATHS["ASSESSED"]).when(command).refused(Invalid, "CAUSE_TWICE")
        assert [one.field for one in refused.violations] == [field]


def test_facts_of_causes() -> None:
    """They stand when they are named, and are not too many to be looked at again; what was kept is said again."""
    assessed = given(PLAN, *PATHS["ASSESSED"])
    said: dict[str, Any] = {"cause": Plan.CAUSE_SKILL, "fact_positions": [65, 66]}
    refused = assessed.when(diagnose([FACT], [66], **said)).refused(NotFound, "FACT_NOT_FOUND")
    assert "recorded at 66 in" in refused.message
    assessed.when(diagnose([FACT] * 1001, **said)).refused(Invalid, "TOO_MANY_FACTS")
    kept = PlanDiagnosed(cause=Plan.CAUSE_SKILL, fact_positions=[65, 66], cause_facts=[FACT], **IDS)
    diagnosed = assessed.when(diagnose([FACT], **said)).then(kept)
    diagnosed.when(diagnose([measured(100)], [66], **said)).then()


@pytest.mark.parametrize(
    "baseless",
    [
        DiagnosePlanRequest(plan_id="p-1", cause=Plan.CAUSE_SKILL),
        DiagnosePlanRequest(
            plan_id="p-1",
            cause=Plan.CAUSE_SKILL,
            cause_note="?",
            further_causes=[FurtherCause(cause=Plan.CAUSE_ABILITY)],
        ),
    ],
)
def test_a_cause_rests_on_something(baseless: DiagnosePlanRequest) -> None:
    """On facts or on words; facts alone are enough."""
    with pytest.raises(protovalidate.ValidationError, match="rests on facts or on a note"):
        protovalidate.validate(baseless)
    protovalidate.validate(DiagnosePlanRequest(plan_id="p-1", cause=Plan.CAUSE_SKILL, fact_positions=[65]))


@pytest.mark.parametrize(
    ("goal", "fields"),
    [
        (Goal(kpi_id="csat", target="95", deadline="2026-03-16"), ["goals[1].deadline"]),
        (Goal(kpi_id="csat"), ["goals[1].deadline", "goals[1].target"]),
        (Goal(target="95", deadline="2026-04-30"), ["goals[1].measure"]),
        (Goal(kpi_id="csat", target="93.5", deadline="2026-01-01"), ["goals[1].deadline", "goals[1].target"]),
    ],
)
def test_goals_that_are_not_smart(goal: Goal, fields: list[str]) -> None:
    """Every wrong field of every goal is named; what is wrong of one is told in test_goals."""
    refused = given(PLAN, *PATHS["DIAGNOSED"]).when(activate(GIVEN_GOAL, goal)).refused(Invalid, "GOAL_NOT_SMART")
    assert [violation.field for violation in refused.violations] == fields


def test_days_in_no_calendar() -> None:
    """29 February passes the contract every year, and the calendar only in leap years."""
    goal = Goal(kpi_id="csat", target="95", deadline="2027-02-29")
    refused = given(PLAN, *PATHS["DIAGNOSED"]).when(activate(goal)).refused(Invalid, "DATE_INVALID")
    assert refused.violations[0].field == "goals[0].deadline"
    observe = ObservePlanRequest(plan_id="p-1", observe_until="2027-02-29")
    given(PLAN, *PATHS["ACTIVE"]).when(observe).refused(Invalid, "DATE_INVALID")


@pytest.mark.parametrize(
    ("support", "mentoring", "kind", "reason"),
    [
        (Support(mentor_id="e-1"), Mentoring(mentor_id="e-1", employed=True), Invalid, "MENTOR_INVALID"),
        (Support(mentor_id="e-8"), Mentoring(mentor_id="e-8"), NotFound, "EMPLOYEE_NOT_FOUND"),
        (Support(mentor_id="e-8"), Mentoring(mentor_id="e-8", employed=True, plans=3), NotAllowed, "MENTOR_OVERLOADED"),
        (
            Support(adjusted_work=Support.AdjustedWork(end_date="2026-03-16"), text="?"),
            Mentoring(),
            Invalid,
            "DATE_INVALID",
        ),
    ],
)
def test_support_that_cannot_be_given(
    support: Support, mentoring: Mentoring, kind: type[Invalid | NotFound | NotAllowed], reason: str
) -> None:
    """A mentor is another employee who has time; other work ends. The refusal says which one is meant."""
    command = activate(GIVEN_GOAL, supports=[Support(course_id="c-1"), support], mentoring=[mentoring], mentor_limit=3)
    plan = given(PLAN, *PATHS["DIAGNOSED"])
    refused = plan.when(command).refused(kind, reason)
    assert "supports[1]" in str((refused.message, getattr(refused, "violations", "")))
    if reason == "MENTOR_OVERLOADED":
        assert "supports 3 open plans already" in refused.message
        assert "allow 3" in refused.message
        command.mentor_limit = 0
        assert plan.when(command)._decide()


@pytest.mark.parametrize(
    "wordless",
    [
        Support(),
        Support(text="?"),
        Support(other=Support.Other()),
        Support(example=Support.Example()),
        Support(adjusted_work=Support.AdjustedWork(end_date="2026-04-30")),
    ],
)
def test_support_says_what_it_is(wordless: Support) -> None:
    """By an id or in words."""
    with pytest.raises(protovalidate.ValidationError):
        protovalidate.validate(wordless)


def test_observation_lies_ahead() -> None:
    """Observation ends tomorrow at the earliest."""
    today = ObservePlanRequest(plan_id="p-1", observe_until="2026-03-16")
    given(PLAN, *PATHS["ACTIVE"]).when(today).refused(Invalid, "DATE_INVALID")
    given(PLAN, *PATHS["ACTIVE"]).when(today, today=date(2026, 3, 15)).then(
        PlanObserved(plan_id="p-1", observe_until="2026-03-16")
    )


def test_reassessment_falls_due_the_day_after() -> None:
    """The last day still belongs to the observation."""
    plan = given(PLAN, *PATHS["IN_OBSERVATION"])
    plan.when(CALL, today=date(2026, 4, 30)).refused(NotAllowed, "OBSERVATION_RUNNING")
    plan.when(CALL, today=MAY).then(FELL_DUE)


def test_closing_waits_for_the_clock() -> None:
    """A plan is closed once reassessment was called for, not before."""
    given(PLAN, *PATHS["IN_OBSERVATION"]).when(CLOSE, today=MAY).refused(NotAllowed, "OBSERVATION_RUNNING")


def test_a_person_decides() -> None:
    """Neither the clock nor a policy closes a plan or looks at its drift."""
    for command, path in ((CLOSE, "due"), (REVIEW, "drifted")):
        for actor in ("policy:x", "system:x"):
            given(PLAN, *PATHS[path]).when(command, today=MAY, actor=actor).refused(Forbidden, "NOT_A_PERSON")


def test_deciding_otherwise_than_the_facts_suggest() -> None:
    """Needs the reason only; both are kept."""
    close = ClosePlanRequest(plan_id="p-1", outcome=Plan.OUTCOME_NOT_IMPROVED, reason="others took the hard calls")
    event = closed("2026-05-01", Plan.OUTCOME_NOT_IMPROVED, "others took the hard calls")
    plan = to_resource(given(PLAN, *PATHS["due"]).when(close, today=MAY).then(event).state, 9)
    assert (plan.outcome, plan.suggested_outcome) == (Plan.OUTCOME_NOT_IMPROVED, Plan.OUTCOME_IMPROVED)


def test_watched_for_a_while() -> None:
    """Who has improved, and from now on."""
    close = ClosePlanRequest(plan_id="p-1", outcome=Plan.OUTCOME_IMPROVED, reason="?", watch_until="2026-05-01")
    protovalidate.validate(close)
    given(PLAN, *PATHS["due"]).when(close, today=MAY).refused(Invalid, "DATE_INVALID")
    close.watch_until = "2026-08-01"
    event = closed("2026-05-01", reason="?")
    event.watch_until = "2026-08-01"
    given(PLAN, *PATHS["due"]).when(close, today=MAY).then(event).when(close, today=MAY).then()
    close.outcome = Plan.OUTCOME_PARTLY_IMPROVED
    with pytest.raises(protovalidate.ValidationError, match="only who has improved"):
        protovalidate.validate(close)


@pytest.mark.parametrize(
    ("values", "outcome"),
    [
        ((952, 953), Plan.OUTCOME_IMPROVED),
        ((950, 949), Plan.OUTCOME_PARTLY_IMPROVED),
        ((935, 949), Plan.OUTCOME_NOT_IMPROVED),
        ((952, None), Plan.OUTCOME_PARTLY_IMPROVED),
        ((None, None), Plan.OUTCOME_UNSPECIFIED),
    ],
)
def test_what_results_suggest(values: tuple[int | None, ...], outcome: Plan.Outcome.ValueType) -> None:
    """All goals met: improved; some: partly; none: not; nothing where nothing was recorded."""
    activated = PlanActivated(goals=[GOAL, GOAL], activated_date="2026-03-16", **IDS)
    found = [Measured(measure=CSAT) if one is None else measured(one) for one in values]
    call = CallReassessment(plan_id="p-1", measured=found)
    (event,) = given(PLAN, PROPOSED, ASSESSED, DIAGNOSED, activated, OBSERVED).when(call, today=MAY)._decide()
    assert isinstance(event, ReassessmentFellDue)
    assert event.suggested_outcome == outcome
    assert [one.met for one in event.results] == [one is not None and one >= 950 for one in values]


def test_silence_is_held_against_nobody() -> None:
    """Where nothing was recorded the plan did not show that there was no improvement; everything else is to be said."""
    call = CallReassessment(plan_id="p-1", measured=[Measured(measure=CSAT)])
    plan = given(PLAN, *PATHS["IN_OBSERVATION"])
    due = given(PLAN, *PATHS["IN_OBSERVATION"], *plan.when(call, today=MAY)._decide())
    close = ClosePlanRequest(plan_id="p-1", outcome=Plan.OUTCOME_NOT_IMPROVED, reason="was never there")
    due.when(close, today=MAY).refused(NotAllowed, "NOTHING_MEASURED")
    close.outcome = Plan.OUTCOME_IMPROVED
    assert due.when(close, today=MAY)._decide()
    assert due.when(CancelPlanRequest(plan_id="p-1", reason="was never there"), today=MAY)._decide()


def test_what_would_come_out_now() -> None:
    """The result as it was stays, and so does what it suggested; beside them stands what the facts say now."""
    now = measured(949, "2026-03-17", "2026-04-30", 300)
    command = NotePinDrift(plan_id="p-1", pins=[PinDrift(pin="results[0]", now=now)])
    drift = PinDrift(pin="results[0]", before=AFTER, now=now)
    drifted = given(PLAN, *PATHS["due"]).when(command).then(PlanPinsDrifted(pins=[drift], drift_position=300, **IDS))
    plan = to_resource(drifted.state, 9)
    assert list(plan.results) == list(FELL_DUE.results)
    assert (plan.suggested_outcome, plan.outcome_now) == (Plan.OUTCOME_IMPROVED, Plan.OUTCOME_NOT_IMPROVED)
    assert list(plan.pin_drifts) == [drift]
    review = ReviewPlanDriftRequest(plan_id="p-1", drift_position=300, note="seen")
    reviewed = drifted.when(review, today=MAY)._decide()
    close = ClosePlanRequest(plan_id="p-1", outcome=Plan.OUTCOME_NOT_IMPROVED, reason="?")
    told = PlanPinsDrifted(pins=[drift], drift_position=300, **IDS)
    (event,) = given(PLAN, *PATHS["due"], told, *reviewed).when(close, today=MAY)._decide()
    assert isinstance(event, PlanClosed)
    assert event.suggested_outcome == Plan.OUTCOME_NOT_IMPROVED


def test_drift_of_what_is_kept() -> None:
    """It is told when it is another than was last told: also when it is gone."""
    plan, pin = given(PLAN, *PATHS["drifted"]), "goals[0].baseline"
    assert sorted(pins(plan.state)) == ["assessed", "cause_facts[0]", pin, "results[0]"]
    plan.when(note(pin, 945, 210)).then()  # told already
    contested = note(pin, 945, 220)
    contested.pins[0].now.disputed = True
    drift = PinDrift(pin=pin, before=BASELINE, now=contested.pins[0].now)
    plan = plan.when(contested).then(PlanPinsDrifted(pins=[drift], drift_position=220, **IDS))
    plan.when(note(pin, 950, 219)).then()  # whoever measured before was slow
    later = note("results[0]", 940, 230)
    later.pins[0].now.start_date, later.pins[0].now.end_date = AFTER.start_date, AFTER.end_date
    other = PinDrift(pin="results[0]", before=AFTER, now=later.pins[0].now)
    both = plan.when(later).then(PlanPinsDrifted(pins=[drift, other], drift_position=230, **IDS))
    assert sorted(both.state.pin_drifts) == [pin, "results[0]"]
    as_it_was = note(pin, 935, 231)
    plan = plan.when(as_it_was).then(PlanPinsDrifted(drift_position=231, **IDS)).when(as_it_was).then()
    assert not to_resource(plan.state, 9).pin_drifts
    assert plan.state.drift_open
    plan.when(CLOSE, today=MAY).refused(NotAllowed, "DRIFT_NOT_REVIEWED")


def test_a_review_names_the_drift_that_was_looked_at() -> None:
    """Another that came meanwhile is not looked at yet; whoever looks is recorded, with when and what they say."""
    plan = given(PLAN, *PATHS["drifted"])
    for position in (199, 201):
        other = ReviewPlanDriftRequest(plan_id="p-1", drift_position=position, note="?")
        assert "200" in plan.when(other).refused(Conflict, "DRIFT_CHANGED").message
    plan = plan.when(REVIEW, today=MAY).then(REVIEWED)
    assert not plan.state.drift_open
    second = plan.when(REVIEW, actor="user:u-2")._decide()
    assert [one.reviewed_by for one in second if isinstance(one, PlanDriftReviewed)] == ["user:u-2"]
    now = EvidenceDrift(stands=False, drift_position=150)
    plan = plan.when(NoteDrift(plan_id="p-1", drift=now)).then(PlanEvidenceDrifted(drift=now, **IDS))
    assert plan.state.drift_open  # whatever became known first, it was told last
    plan.when(CLOSE, today=MAY).refused(NotAllowed, "DRIFT_NOT_REVIEWED")
    assert plan.when(REVIEW, today=MAY)._decide() == []
    review = ReviewPlanDriftRequest(plan_id="p-1", drift_position=plan.state.drift_position, note="seen too")
    assert len(plan.when(review)._decide()) == 1


def test_texts_of_an_erased_person() -> None:
    """One word stands in place of all; what else is known is still in its place."""
    activated, diagnosed = PlanActivated(), PlanDiagnosed()
    activated.CopyFrom(ACTIVATED)
    activated.support_texts[:] = [ERASED]
    diagnosed.CopyFrom(DIAGNOSED)
    diagnosed.further_causes.add(cause=Plan.CAUSE_SKILL)
    diagnosed.further_notes[:] = [ERASED]
    plan = to_resource(given(PLAN, PROPOSED, ASSESSED, diagnosed, activated).state, 9)
    assert [one.text for one in plan.supports] == [ERASED] * 5
    assert plan.supports[1].mentor_id == "e-7"
    assert [one.note for one in plan.further_causes] == [ERASED] * 2


OLD_LIFE: dict[Any, str] = {
    PlanProposed: "0a05702d6f6c641203652d311a03652d39224a0a05642d6f6c6410461a0a637361742d6461696c79203c2a0463736174322b"
    "0a0a323032362d30332d3031120a323032362d30332d3031185e20642a0439342e3032023935420141483d2a0a323032362d30332d3136",
    PlanAssessed: "0a05702d6f6c641203652d311a07736572696f75732215746f6f206d616e79206e65772070726f6475637473",
    PlanDiagnosed: "0a05702d6f6c641203652d311803220c6e65772070726f6475637473",
    PlanActivated: "0a05702d6f6c641203652d311a1c0a0463736174120439332e351a023935220a323032362d30342d3330"
    "2217636f757273653a20646966666963756c742063616c6c7322066d656e746f72",
    PlanEvidenceDrifted: "0a05702d6f6c641203652d311a3408011a2b0a0a323032362d30332d3031120a323032362d30332d3031185e2064"
    "2a0439342e3032023935420141483d22015a285b",
    PlanObserved: "0a05702d6f6c64120a323032362d30342d3330",
    ReassessmentFellDue: "0a05702d6f6c64",
    PlanClosed: "0a05702d6f6c641203652d31180122156f6e2074617267657420666f722061206d6f6e74682a0a323032362d30352d3031",
}
"""A plan's events as they lie in the log since before goals kept what they rest on."""


def test_a_plan_stored_before_goals_kept_what_they_rest_on() -> None:
    """It reads as it was; repetitions are told; it goes on without results, and its drift has to be looked at."""
    life = [kind.FromString(bytes.fromhex(stored)) for kind, stored in OLD_LIFE.items()]
    old: dict[str, Any] = {"plan_id": "p-old"}
    goal = Goal(kpi_id="csat", baseline="93.5", target="95", deadline="2026-04-30")
    resources = ["course: difficult calls", "mentor"]
    said: list[Message] = [
        AssessPlan(request=AssessPlanRequest(assessment="serious", employee_view="too many new products", **old)),
        DiagnosePlan(request=DiagnosePlanRequest(cause=Plan.CAUSE_KNOWLEDGE, cause_note="new products", **old)),
        ActivatePlan(request=ActivatePlanRequest(goals=[goal], resources=resources, **old), bases=[BASIS]),
    ]
    for steps, command in enumerate(said, start=2):
        given(PLAN, *life[:steps]).when(command).then()

    observed = given(PLAN, *life[:6])
    plan = to_resource(observed.state, 9)
    assert list(plan.goals) == [goal]
    assert list(plan.resources) == resources
    assert (plan.drift_position, plan.drift_open, pins(observed.state)) == (91, True, {})
    assert coached_since(observed.state) == date(2026, 3, 16)
    due = observed.when(CallReassessment(**old), today=MAY).then(life[6])
    close = ClosePlanRequest(outcome=Plan.OUTCOME_IMPROVED, reason="on target for a month", **old)
    due.when(close, today=MAY).refused(NotAllowed, "DRIFT_NOT_REVIEWED")
    reviewed = due.when(ReviewPlanDriftRequest(drift_position=91, note="seen", **old), today=MAY)._decide()
    given(PLAN, *life[:7], *reviewed).when(close, today=MAY).then(life[7])

    closed_plan = to_resource(given(PLAN, *life).state, 9)
    assert (closed_plan.outcome, closed_plan.closed_date) == (Plan.OUTCOME_IMPROVED, "2026-05-01")
    assert (closed_plan.suggested_outcome, closed_plan.outcome_now) == (0, 0)
    given(PLAN, *life).when(close).then()


def test_resource() -> None:
    """The resource tells the whole story."""
    assert to_resource(given(PLAN, *WHOLE_LIFE).state, 42) == Plan(
        plan_id="p-1",
        employee_id="e-1",
        lead_id="e-9",
        state=Plan.STATE_CLOSED,
        evidence=Evidence(kpi_id="csat"),
        assessment="serious",
        employee_view="too many new products",
        assessed=BASELINE,
        cause=Plan.CAUSE_KNOWLEDGE,
        cause_note="new products",
        cause_fact_positions=[65, 66],
        cause_facts=[FACT],
        further_causes=[FurtherCause(cause=Plan.CAUSE_EXTERNAL, note="two jobs")],
        goals=[GOAL],
        resources=RESOURCES,
        supports=SUPPORTS,
        activated_date="2026-03-16",
        rules_position=50,
        observe_until="2026-04-30",
        results=FELL_DUE.results,
        suggested_outcome=Plan.OUTCOME_IMPROVED,
        outcome_now=Plan.OUTCOME_IMPROVED,
        outcome=Plan.OUTCOME_IMPROVED,
        outcome_reason="on target for a month",
        proposed_date="2026-03-16",
        closed_date="2026-05-01",
        etag="42",
        log_position=42,
    )
    assert to_resource(given(PLAN, *PATHS["due"]).state, 42).reassessment_due
    assert not to_resource(given(PLAN, *PATHS["IN_OBSERVATION"]).state, 42).reassessment_due


@pytest.mark.parametrize("path", [[], *PATHS.values()], ids=["none", *PATHS])
def test_twice_is_once(path: list[Message]) -> None:
    """Saying any command of a plan twice changes nothing, from whichever state."""
    texts, goals = st.sampled_from(["a", "b"]), st.builds(_goal, days)
    outcomes = st.sampled_from([Plan.OUTCOME_IMPROVED, Plan.OUTCOME_NOT_IMPROVED])
    values, positions = st.sampled_from([935, 950, 960]), st.integers(199, 202)
    commands = st.one_of(
        st.sampled_from([PROPOSE, ASSESS, DIAGNOSE, ACTIVATE, OBSERVE, CALL, CLOSE, VIEW, NOTE, REVIEW]),
        st.builds(lambda kpi: ProposePlanRequest(plan_id="p-1", employee_id="e-1", kpi_id=kpi), texts),
        st.builds(lambda text: assess(assessment=text), texts),
        st.builds(activate, goals),
        st.builds(lambda day: ObservePlanRequest(plan_id="p-1", observe_until=day), days),
        st.builds(_close, outcomes, texts, st.one_of(st.just(""), days)),
        st.builds(lambda text: CancelPlanRequest(plan_id="p-1", reason=text), texts),
        st.builds(note, st.sampled_from(["goals[0].baseline", "results[0]"]), values, positions),
        st.builds(
            lambda at, text: ReviewPlanDriftRequest(plan_id="p-1", drift_position=at, note=text), positions, texts
        ),
    )
    twice_is_once(PLAN, commands, *path)


@hypothesis.settings(derandomize=True, database=None, deadline=None, max_examples=300)
@hypothesis.given(
    said=st.lists(
        st.tuples(
            st.one_of(
                st.sampled_from([ASSESS, DIAGNOSE, ACTIVATE, OBSERVE, CALL, CLOSE, CANCEL, VIEW, NOTE]),
                st.builds(note, st.just("results[0]"), st.sampled_from([940, 952, 960]), st.integers(199, 205)),
                st.builds(
                    lambda at: ReviewPlanDriftRequest(plan_id="p-1", drift_position=at, note="seen"),
                    st.integers(199, 206),
                ),
            ),
            st.sampled_from(["user:e-1", "user:e-9", "policy:x"]),
            st.sampled_from([date(2026, 3, 16), MAY]),
        ),
        max_size=40,
    ),
    start=st.sampled_from(["PROPOSED", "ACTIVE", "due", "drifted", "reviewed"]),
)
def test_no_way_leads_past_whoever_has_to_look(said: list[tuple[Message, str, date]], start: str) -> None:
    """Whatever is said by whom: a person closes, once, when the plan is due and all drift was looked at."""
    plan = given(PLAN, *PATHS[start])
    to_be_seen = 200 if start == "drifted" else 0
    due = start in ("due", "drifted", "reviewed")
    ended = False
    for command, actor, today in said:
        try:
            events = PLAN.decide(plan.state, command, context(today, actor))
        except Refused:
            continue
        for event in events:
            match event:
                case PlanPinsDrifted(drift_position=position):
                    assert position > to_be_seen
                    to_be_seen = position
                case PlanDriftReviewed(drift_position=position):
                    assert actor != "policy:x"
                    to_be_seen = 0 if position == to_be_seen else to_be_seen
                case ReassessmentFellDue():
                    due = True
                case PlanClosed(outcome=outcome):
                    assert not ended
                    assert outcome == Plan.OUTCOME_CANCELLED or (due and not to_be_seen and actor != "policy:x")
                    ended = True
        plan = Given(PLAN, fold(PLAN, plan.state, events))


def _goal(day: str) -> Goal:
    return Goal(kpi_id="csat", target="95", deadline=day)


def _close(outcome: Plan.Outcome.ValueType, reason: str, watch_until: str) -> ClosePlanRequest:
    watched = watch_until if outcome == Plan.OUTCOME_IMPROVED else ""
    return ClosePlanRequest(plan_id="p-1", outcome=outcome, reason=reason, watch_until=watched)
