"""Cycles, as they are tried."""

from services.promotion.cycle import CYCLE, State
from stepladder.promotion.v1.cycle_pb2 import Cycle
from tests.deciding import given
from tests.machines.exploring import Machine, Step
from tests.promotion.test_cycle import CLOSE, CLOSED, MARCH, OF_ITS_OWN, OWN, REGULAR, other


def shown(state: State) -> str:
    name = Cycle.State.Name(state.stage).removeprefix("STATE_")
    return f"{name}, {'regular' if state.opened.month else 'of its own'}"


CYCLES = Machine(
    title="Promotion cycle",
    source="services/promotion/cycle.py",
    aggregate=CYCLE,
    steps=[
        Step(MARCH),
        Step(OWN, said="of its own"),
        Step(other(display_name="Another"), said="another of the same id"),
        Step(CLOSE),
    ],
    shown=shown,
    states=[
        given(CYCLE, *events).state
        for events in ((), (REGULAR,), (OF_ITS_OWN,), (REGULAR, CLOSED), (OF_ITS_OWN, CLOSED))
    ],
)
