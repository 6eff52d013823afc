"""PIPs, as they are tried."""

from datetime import date

from services.coaching.pip import PIP
from services.coaching.pip_state import State
from stepladder.coaching.v1.events_pb2 import PipClosed, PipWitnessNamed
from stepladder.coaching.v1.pip_pb2 import ActOnPip, Pip
from tests.coaching.pips import (
    ACKNOWLEDGE,
    AGENT,
    APPEAL,
    APPEAL_OVER,
    APPROVE,
    DELIVER,
    DRAFT,
    EDIT,
    EXTEND,
    FAIL,
    HOLD,
    HR,
    HR2,
    LEAD,
    NAME_HEARER,
    NAME_WITNESS,
    NEUTRAL,
    OTHER_STANDARD,
    OVERTURN,
    PASS,
    PATHS,
    PAUSE,
    PERIOD_OVER,
    PROPOSE,
    RESCHEDULE,
    RESPOND,
    RESUME,
    SEND_BACK,
    SUBMIT,
    UPHOLD,
    WITHDRAW,
    WITNESS,
    WITNESS_REFUSAL,
    Said,
    after,
    by,
    leave,
    tick,
)
from tests.machines.exploring import Machine, Step

DELIVERED_LONG_AGO = date(2026, 3, 19)
LEFT = leave(date(2026, 3, 27), left=True)
LEAVE, PAUSED = leave(date(2026, 3, 20), on_leave=True), by(HR, PAUSE)
OTHERS = [
    [*PATHS["PROPOSED"], by(HR2, PASS, PERIOD_OVER)],
    [*PATHS["ACTIVE"], by(LEAD, OTHER_STANDARD)],
    [*PATHS["ACTIVE"], by(HR, WITHDRAW)],
    [*PATHS["ACTIVE"], LEFT],
    [*PATHS["DELIVERED"], by(LEAD, NAME_WITNESS, DELIVERED_LONG_AGO)],
    *([*PATHS[name], LEAVE] for name in ("DELIVERED", "ACTIVE", "DECISION_DUE", "PROPOSED", "DECIDED", "APPEALED")),
    *([*PATHS[name], PAUSED] for name in ("DELIVERED", "DECISION_DUE", "PROPOSED", "DECIDED", "APPEALED")),
]
"""What else it may come to, beside the states of which there is a path."""


def step(said: Said, how: str = "") -> Step:
    command = said.command
    request = getattr(command, command.WhichOneof("request") or "") if isinstance(command, ActOnPip) else command
    name = request.DESCRIPTOR.name.removesuffix("Request")
    return Step(command, said.actor, said.today, how, name)


def shown(state: State) -> str:
    pip = state.pips["pip-1"]
    if pip.stage == Pip.STATE_CLOSED:
        return f"CLOSED, {Pip.Outcome.Name(pip.last(PipClosed).outcome).removeprefix('OUTCOME_').lower()}"
    name = Pip.State.Name(pip.stage).removeprefix("STATE_")
    if Pip.PAUSE_LEAVE in pip.pauses:
        return f"{name}, on leave"
    if pip.pauses:
        return f"{name}, paused"
    named = pip.stage == Pip.STATE_DELIVERED and pip.last(PipWitnessNamed).witness_id
    return f"{name}, witness named" if named else name


PIPS = Machine(
    title="PIP",
    source="services/coaching/pip.py",
    aggregate=PIP,
    steps=[
        step(by(LEAD, DRAFT)),
        step(by(LEAD, EDIT)),
        step(by(LEAD, OTHER_STANDARD), "another standard"),
        step(by(LEAD, SUBMIT)),
        step(by(HR, SEND_BACK)),
        step(by(HR, APPROVE)),
        step(by(LEAD, DELIVER)),
        step(by(AGENT, ACKNOWLEDGE)),
        step(by(LEAD, NAME_WITNESS, DELIVERED_LONG_AGO)),
        step(by(WITNESS, WITNESS_REFUSAL, DELIVERED_LONG_AGO)),
        step(by(AGENT, RESPOND)),
        step(by(LEAD, HOLD, date(2026, 3, 30))),
        step(by(LEAD, RESCHEDULE)),
        step(by(HR, PAUSE)),
        step(by(HR, RESUME)),
        step(LEAVE, "a leave begins"),
        step(leave(date(2026, 3, 27), on_leave=False), "it is over"),
        step(LEFT, "the employment has ended"),
        step(tick(date(2026, 4, 14)), "too early"),
        step(tick(PERIOD_OVER), "the period is over"),
        step(by(LEAD, PROPOSE, PERIOD_OVER)),
        step(by(HR2, PASS, PERIOD_OVER), "passed"),
        step(by(HR2, EXTEND, PERIOD_OVER), "extended"),
        step(by(HR2, FAIL, PERIOD_OVER), "not passed"),
        step(by(AGENT, APPEAL, PERIOD_OVER)),
        step(by(HR2, NAME_HEARER, PERIOD_OVER)),
        step(by(NEUTRAL, UPHOLD, PERIOD_OVER), "upheld"),
        step(by(NEUTRAL, OVERTURN, PERIOD_OVER), "overturned"),
        step(tick(APPEAL_OVER), "nobody appealed in time"),
        step(by(HR, WITHDRAW)),
    ],
    shown=shown,
    states=[after(path) for path in (*PATHS.values(), *OTHERS)],
)
