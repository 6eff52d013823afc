"""Suggestions and complaints, as they are tried: addressed to the lead, with a day by which they are to be answered."""

from services.coaching.suggestion import SUGGESTION, State
from stepladder.coaching.v1.suggestion_pb2 import Suggestion
from tests.coaching.test_suggestion import ACCEPT, COMPLETE, DECLINE, DUE, ESCALATE, LATE, RAISE
from tests.machines.exploring import Machine, Step


def shown(state: State) -> str:
    name = Suggestion.State.Name(state.stage).removeprefix("STATE_")
    return f"{name}, escalated" if state.is_escalated else name


SUGGESTIONS = Machine(
    title="Suggestion or complaint to the lead",
    source="services/coaching/suggestion.py",
    aggregate=SUGGESTION,
    steps=[
        Step(RAISE, "user:e-1"),
        Step(ACCEPT, "user:l-1", said="the lead"),
        Step(DECLINE, "user:l-1", said="the lead"),
        Step(COMPLETE, "user:l-1", said="the lead"),
        Step(ACCEPT, said="HR"),
        Step(DECLINE, said="HR"),
        Step(COMPLETE, said="HR"),
        Step(ESCALATE, "user:e-1", today=DUE, said="too early"),
        Step(ESCALATE, "user:e-1", today=LATE),
    ],
    shown=shown,
)
