"""Sharings, as they are tried."""

from datetime import date

from services.coaching.sharing import SHARING, State
from stepladder.coaching.v1.sharing_pb2 import Sharing
from tests.coaching.test_sharing import CANCEL, HOLD, LATER, PREPARE
from tests.machines.exploring import Machine, Step


def shown(state: State) -> str:
    return Sharing.State.Name(state.stage).removeprefix("STATE_")


SHARINGS = Machine(
    title="Sharing of a benchmark",
    source="services/coaching/sharing.py",
    aggregate=SHARING,
    steps=[Step(PREPARE), Step(HOLD, today=date(2026, 3, 22), said="too early"), Step(HOLD, today=LATER), Step(CANCEL)],
    shown=shown,
)
