"""Coaching plans: the transition table, what is refused, and what changes nothing."""

from datetime import date

import protovalidate
import pytest
from google.protobuf.message import Message
from hypothesis import strategies as st

from libs.common.errors import AlreadyExists, Invalid, NotAllowed, NotFound
from services.coaching.plan import PLAN, plan_id, to_resource
from stepladder.coaching.v1.events_pb2 import (
    PlanActivated,
    PlanAssessed,
    PlanClosed,
    PlanDiagnosed,
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
    EvidencePeriod,
    Goal,
    ObservePlanRequest,
    Plan,
    ProposePlanRequest,
)
from tests.deciding import days, given, twice_is_once

IDS = {"plan_id": "p-1", "employee_id": "e-1"}
EVIDENCE = Evidence(
    detection_id="d-1",
    detection_position=70,
    policy_id="csat-daily",
    policy_position=60,
    kpi_id="csat",
    periods=[EvidencePeriod(start_date="2026-03-01", end_date="2026-03-01", value="94.0", fact_positions=[65])],
)
GOAL = Goal(kpi_id="csat", baseline="93.5", target="95", deadline="2026-04-30")
RESOURCES = ["course: difficult calls", "mentor"]

PROPOSE = ProposePlanRequest(plan_id="p-1", employee_id="e-1", lead_id="e-9", kpi_id="csat")
ASSESS = AssessPlanRequest(plan_id="p-1", assessment="serious", employee_view="too many new products")
DIAGNOSE = DiagnosePlanRequest(plan_id="p-1", cause=Plan.CAUSE_KNOWLEDGE, cause_note="new products")
ACTIVATE = ActivatePlanRequest(plan_id="p-1", goals=[GOAL], resources=RESOURCES)
OBSERVE = ObservePlanRequest(plan_id="p-1", observe_until="2026-04-30")
CALL = CallReassessment(plan_id="p-1")
CLOSE = ClosePlanRequest(plan_id="p-1", outcome=Plan.OUTCOME_IMPROVED, reason="on target for a month")
CANCEL = CancelPlanRequest(plan_id="p-1", reason="moved to another site")

PROPOSED = PlanProposed(
    plan_id="p-1", employee_id="e-1", lead_id="e-9", evidence=Evidence(kpi_id="csat"), proposed_date="2026-03-16"
)
ASSESSED = PlanAssessed(assessment="serious", employee_view="too many new products", **IDS)
DIAGNOSED = PlanDiagnosed(cause=Plan.CAUSE_KNOWLEDGE, cause_note="new products", **IDS)
ACTIVATED = PlanActivated(goals=[GOAL], resources=RESOURCES, **IDS)
OBSERVED = PlanObserved(plan_id="p-1", observe_until="2026-04-30")
FELL_DUE = ReassessmentFellDue(plan_id="p-1")
CLOSED = PlanClosed(outcome=Plan.OUTCOME_IMPROVED, reason="on target for a month", closed_date="2026-05-01", **IDS)
CANCELLED = PlanClosed(outcome=Plan.OUTCOME_CANCELLED, reason="moved to another site", closed_date="2026-03-16", **IDS)

CLOSED_TODAY = PlanClosed(
    outcome=Plan.OUTCOME_IMPROVED, reason="on target for a month", closed_date="2026-03-16", **IDS
)

WHOLE_LIFE = [PROPOSED, ASSESSED, DIAGNOSED, ACTIVATED, OBSERVED, FELL_DUE, CLOSED]
PATHS: dict[str, list[Message]] = {
    "PROPOSED": WHOLE_LIFE[:1],
    "ASSESSED": WHOLE_LIFE[:2],
    "DIAGNOSED": WHOLE_LIFE[:3],
    "ACTIVE": WHOLE_LIFE[:4],
    "IN_OBSERVATION": WHOLE_LIFE[:5],
    "due": WHOLE_LIFE[:6],
    "CLOSED": WHOLE_LIFE,
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
    for command, event in ((CALL, FELL_DUE), (CLOSE, CLOSED)):
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


@pytest.mark.parametrize("command", [ASSESS, DIAGNOSE, ACTIVATE, OBSERVE, CALL, CLOSE, CANCEL])
def test_nothing_else_before_the_proposal(command: Message) -> None:
    """A plan that does not exist goes nowhere."""
    given(PLAN).when(command).refused(NotFound, "PLAN_NOT_FOUND")


RUNNING, WRONG = "OBSERVATION_RUNNING", "WRONG_STATE"
COMMANDS = [ASSESS, DIAGNOSE, ACTIVATE, OBSERVE, CALL, CLOSE, CANCEL]
TABLE: dict[str, list[Message | str | None]] = {
    "PROPOSED": [ASSESSED, WRONG, WRONG, WRONG, None, WRONG, CANCELLED],
    "ASSESSED": [None, DIAGNOSED, WRONG, WRONG, None, WRONG, CANCELLED],
    "DIAGNOSED": [WRONG, None, ACTIVATED, WRONG, None, WRONG, CANCELLED],
    "ACTIVE": [WRONG, WRONG, None, OBSERVED, None, WRONG, CANCELLED],
    "IN_OBSERVATION": [WRONG, WRONG, WRONG, None, RUNNING, RUNNING, CANCELLED],
    "due": [WRONG, WRONG, WRONG, None, None, CLOSED_TODAY, CANCELLED],
    "CLOSED": [WRONG, WRONG, WRONG, WRONG, None, None, WRONG],
    "cancelled": [WRONG, WRONG, WRONG, WRONG, None, WRONG, None],
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


@pytest.mark.parametrize(
    ("path", "other"),
    [
        ("ASSESSED", AssessPlanRequest(plan_id="p-1", assessment="serious")),
        ("DIAGNOSED", DiagnosePlanRequest(plan_id="p-1", cause=Plan.CAUSE_SKILL, cause_note="new products")),
        ("ACTIVE", ActivatePlanRequest(plan_id="p-1", goals=[GOAL, GOAL], resources=RESOURCES)),
        ("ACTIVE", ActivatePlanRequest(plan_id="p-1", goals=[GOAL])),
        ("IN_OBSERVATION", ObservePlanRequest(plan_id="p-1", observe_until="2026-05-31")),
        ("CLOSED", ClosePlanRequest(plan_id="p-1", outcome=Plan.OUTCOME_NOT_IMPROVED, reason=CLOSE.reason)),
        ("CLOSED", CancelPlanRequest(plan_id="p-1", reason=CLOSE.reason)),
        ("cancelled", ClosePlanRequest(plan_id="p-1", outcome=Plan.OUTCOME_IMPROVED, reason=CANCEL.reason)),
        ("cancelled", CancelPlanRequest(plan_id="p-1", reason="left the company")),
    ],
)
def test_a_step_again_with_other_content(path: str, other: Message) -> None:
    """What was said stands; the refusal names the state and what is possible."""
    refused = given(PLAN, *PATHS[path]).when(other).refused(NotAllowed, "WRONG_STATE")
    assert refused.message.startswith(f"the plan is {path.upper() if path != 'cancelled' else 'CLOSED'}: ")


@pytest.mark.parametrize(
    ("goal", "fields"),
    [
        (Goal(baseline="95", target="95.0", deadline="2026-04-30"), ["goals[1].target"]),
        (Goal(baseline="94", target="95", deadline="2026-03-16"), ["goals[1].deadline"]),
        (Goal(baseline="-1", target="-1.00", deadline="2026-01-01"), ["goals[1].deadline", "goals[1].target"]),
    ],
)
def test_goals_that_are_not_smart(goal: Goal, fields: list[str]) -> None:
    """A goal asks for a change, by a day ahead."""
    activate = ActivatePlanRequest(plan_id="p-1", goals=[GOAL, goal])
    refused = given(PLAN, *PATHS["DIAGNOSED"]).when(activate).refused(Invalid, "GOAL_NOT_SMART")
    assert [violation.field for violation in refused.violations] == fields


def test_days_in_no_calendar() -> None:
    """29 February passes the contract every year, and the calendar only in leap years."""
    activate = ActivatePlanRequest(plan_id="p-1", goals=[Goal(baseline="1", target="2", deadline="2027-02-29")])
    refused = given(PLAN, *PATHS["DIAGNOSED"]).when(activate).refused(Invalid, "DATE_INVALID")
    assert refused.violations[0].field == "goals[0].deadline"
    observe = ObservePlanRequest(plan_id="p-1", observe_until="2027-02-29")
    given(PLAN, *PATHS["ACTIVE"]).when(observe).refused(Invalid, "DATE_INVALID")


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
        cause=Plan.CAUSE_KNOWLEDGE,
        cause_note="new products",
        goals=[GOAL],
        resources=RESOURCES,
        observe_until="2026-04-30",
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
    commands = st.one_of(
        st.sampled_from([PROPOSE, ASSESS, DIAGNOSE, ACTIVATE, OBSERVE, CALL, CLOSE]),
        st.builds(lambda kpi: ProposePlanRequest(plan_id="p-1", employee_id="e-1", kpi_id=kpi), texts),
        st.builds(lambda text: AssessPlanRequest(plan_id="p-1", assessment=text), texts),
        st.builds(lambda goal: ActivatePlanRequest(plan_id="p-1", goals=[goal]), goals),
        st.builds(lambda day: ObservePlanRequest(plan_id="p-1", observe_until=day), days),
        st.builds(lambda o, text: ClosePlanRequest(plan_id="p-1", outcome=o, reason=text), outcomes, texts),
        st.builds(lambda text: CancelPlanRequest(plan_id="p-1", reason=text), texts),
    )
    twice_is_once(PLAN, commands, *path)


def _goal(day: str) -> Goal:
    return Goal(kpi_id="csat", baseline="1", target="2", deadline=day)
