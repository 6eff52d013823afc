"""A lead's mastery of a task, as it is tried: two repetitions in a row are enough here."""

from google.protobuf.message import Message

from services.coaching.mastery import MASTERY, State, to_resource
from tests.coaching.test_mastery import RULES, WITHDRAW, seen
from tests.deciding import context, fold
from tests.machines.exploring import Machine, Step

NEEDED = 2
FIRST, SECOND = seen("r-1", needed=NEEDED), seen("r-2", needed=NEEDED)
HELPED = seen("r-3", alone=False, needed=NEEDED)
AGAIN = seen("r-4", needed=NEEDED)


def after(*commands: Message) -> State:
    state = MASTERY.initial
    for command in commands:
        state = fold(MASTERY, state, MASTERY.decide(state, command, context()))
    return state


def shown(state: State) -> str:
    task = to_resource("l-1", state, 1, RULES, 1).tasks[0]
    name = "mastered" if task.mastered_date else f"{task.in_a_row} in a row"
    return f"{name}, after a withdrawal" if task.withdrawn_date else name


MASTERIES = Machine(
    title="Mastery of a task",
    source="services/coaching/mastery.py",
    aggregate=MASTERY,
    steps=[
        Step(FIRST, said="the first"),
        Step(AGAIN, said="alone and correct"),
        Step(seen("r-5", alone=False, needed=NEEDED), said="with help"),
        Step(seen("r-5", correct=False, needed=NEEDED), said="not correct"),
        Step(seen("r-5", "2026-03-17", needed=NEEDED), said="still to come"),
        Step(seen("r-5", needed=0), said="no task of the rules"),
        Step(AGAIN, "user:l-1", said="the lead themself"),
        Step(WITHDRAW),
        Step(WITHDRAW, "user:l-1", said="the lead themself"),
    ],
    shown=shown,
    states=[
        after(),
        after(FIRST),
        after(FIRST, HELPED),
        after(FIRST, SECOND),
        after(FIRST, SECOND, WITHDRAW),
        after(FIRST, SECOND, WITHDRAW, seen("r-6", needed=NEEDED)),
        after(FIRST, SECOND, WITHDRAW, seen("r-6", needed=NEEDED), seen("r-7", needed=NEEDED)),
    ],
)
