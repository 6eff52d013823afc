"""Coaching plans, as they are tried."""

from datetime import date

from services.coaching.plan import PLAN, State
from stepladder.coaching.v1.plan_pb2 import Plan
from tests.coaching.test_plan import (
    ACTIVATE,
    ASSESS,
    CALL,
    CANCEL,
    CLOSE,
    DIAGNOSE,
    MAY,
    OBSERVE,
    PROPOSE,
    REVIEW,
    note,
)
from tests.machines.exploring import Machine, Step


def shown(state: State) -> str:
    parts = [Plan.State.Name(state.stage).removeprefix("STATE_")]
    if state.closed.outcome == Plan.OUTCOME_CANCELLED:
        parts = ["CANCELLED"]
    parts += ["due"] if state.reassessment_due else []
    parts += ["with results"] if "CANCELLED" in parts and state.reassessed.results else []
    parts += ["drifted" if state.drift_open else "drift reviewed"] if state.drift_position else []
    return ", ".join(parts)


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
        Step(note("results[0]", 940, 200)),
        Step(REVIEW),
    ],
    shown=shown,
)
