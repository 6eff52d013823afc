"""Coaching plans, as they are tried."""

from datetime import date

from services.coaching.plan import PLAN, State
from stepladder.coaching.v1.plan_pb2 import Plan
from tests.coaching.test_plan import ACTIVATE, ASSESS, CALL, CANCEL, CLOSE, DIAGNOSE, MAY, OBSERVE, PROPOSE
from tests.machines.exploring import Machine, Step


def shown(state: State) -> str:
    name = Plan.State.Name(state.stage).removeprefix("STATE_")
    if state.stage == Plan.STATE_CLOSED:
        return "CANCELLED" if state.closed.outcome == Plan.OUTCOME_CANCELLED else name
    return f"{name}, due" if state.reassessment_due else name


PLANS = Machine(
    title="Coaching plan",
    source="services/coaching/plan.py",
    aggregate=PLAN,
    steps=[
        Step(PROPOSE),
        Step(ASSESS),
        Step(DIAGNOSE),
        Step(ACTIVATE),
        Step(OBSERVE),
        Step(CALL, today=date(2026, 4, 30), said="too early"),
        Step(CALL, today=MAY),
        Step(CLOSE, today=MAY),
        Step(CANCEL),
    ],
    shown=shown,
)
