"""Trainings, as they are tried."""

from datetime import date

from services.coaching.training import TRAINING, State
from stepladder.coaching.v1.training_pb2 import Training
from tests.coaching.test_training import ACCEPT, ASK, CANCEL, CLOSE, HOLD, LATER, SCHEDULE
from tests.machines.exploring import Machine, Step


def shown(state: State) -> str:
    return Training.State.Name(state.stage).removeprefix("STATE_")


TRAININGS = Machine(
    title="Training",
    source="services/coaching/training.py",
    aggregate=TRAINING,
    steps=[
        Step(ASK),
        Step(ACCEPT),
        Step(SCHEDULE),
        Step(HOLD, today=date(2026, 3, 22), said="too early"),
        Step(HOLD, today=LATER),
        Step(CLOSE),
        Step(CANCEL),
    ],
    shown=shown,
)
