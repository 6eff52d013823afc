"""State machines found by trying every command in every state that commands lead to; and how they are shown."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from typing import Any, Generic, TypeVar

from google.protobuf.message import Message

from libs.common.errors import Refused
from libs.common.eventsourcing import Aggregate, Context
from tests.deciding import TODAY, fold

S = TypeVar("S")

NOTHING = "nothing"
"""Before the first event."""
WAYS = 20
"""Into how many different ones of the states that are shown as one every command is tried."""


@dataclass(frozen=True)
class Step:
    """A command as somebody gives it on a day."""

    command: Message
    actor: str = "user:u-1"
    today: date = TODAY
    said: str = ""
    """What distinguishes it from other ways to give the same command."""
    called: str = ""
    """Another name than its message has."""

    @property
    def name(self) -> str:
        name = self.called or self.command.DESCRIPTOR.name.removesuffix("Request")
        return f"{name} ({self.said})" if self.said else name

    @property
    def context(self) -> Context:
        return Context(now=datetime.combine(self.today, time(9), UTC), today=self.today, actor=self.actor)


@dataclass(frozen=True)
class Machine(Generic[S]):
    """What is tried of an aggregate.

    Attributes:
        title: how it is called in the documentation.
        source: the module that decides.
        steps: every command, in every way in which it makes a difference.
        shown: the state as it is shown: all that are shown alike must answer every command alike.
        states: those in which every step is tried, where what was said before also makes a difference: one of each that
            is shown; None: all that steps lead to.
    """

    title: str
    source: str
    aggregate: Aggregate[S]
    steps: Sequence[Step]
    shown: Callable[[S], str]
    states: Sequence[S] | None = None


@dataclass(frozen=True)
class Answer:
    """What comes of a command: a state and the events that lead to it, or the reason of a refusal."""

    state: str = ""
    events: tuple[str, ...] = ()
    refused: str = ""

    def __str__(self) -> str:
        return self.refused or " + ".join(self.events) or "–"


@dataclass
class Explored:
    """Answers by state and step, states in the order in which they were come to."""

    answers: dict[str, dict[str, Answer]] = field(default_factory=dict)

    def arrows(self) -> Iterator[tuple[str, str, str]]:
        """From which state which steps lead to which other; ways to give a command where they make a difference."""
        for state, answers in self.answers.items():
            by_target: dict[str, list[str]] = {}
            for step, answer in answers.items():
                if answer.events and answer.state != state:
                    by_target.setdefault(answer.state, []).append(step)
            for target, steps in by_target.items():
                plain = {one for one in steps if " (" not in one}
                yield (
                    state,
                    target,
                    ", ".join(one for one in steps if one in plain or one.partition(" (")[0] not in plain),
                )


def explore(machine: Machine[S]) -> Explored:
    """Tries every step in every state, from nothing on.

    Raises AssertionError where two states that are shown alike answer a step differently, or where a step leads to a
    state that is none of those to be shown.
    """
    explored = Explored()
    if machine.states is not None:
        for state in machine.states:
            answers = {step.name: _answer(machine, state, step)[0] for step in machine.steps}
            explored.answers[_shown(machine, state)] = answers
        for shown, answered in explored.answers.items():
            for name, answer in answered.items():
                is_shown = answer.refused or answer.state in explored.answers
                assert is_shown, f"{machine.title}, {shown}: {name} leads to {answer.state}, which is not shown"
        return explored
    tried: dict[str, list[S]] = {}
    ahead = deque([machine.aggregate.initial])
    while ahead:
        state = ahead.popleft()
        shown = _shown(machine, state)
        before = tried.setdefault(shown, [])
        if state in before or len(before) >= WAYS:
            continue
        before.append(state)
        for step in machine.steps:
            answer, after = _answer(machine, state, step)
            known = explored.answers.setdefault(shown, {}).setdefault(step.name, answer)
            assert known == answer, f"{machine.title}, {shown}: {step.name} leads to {known} or {answer}"
            if answer.events:
                ahead.append(after)
    return explored


def _answer(machine: Machine[S], state: S, step: Step) -> tuple[Answer, S]:
    try:
        events = machine.aggregate.decide(state, step.command, step.context)
    except Refused as refusal:
        return Answer(refused=refusal.reason), state
    after = fold(machine.aggregate, state, events)
    return Answer(_shown(machine, after), tuple(event.DESCRIPTOR.name for event in events)), after


def _shown(machine: Machine[S], state: S) -> str:
    return NOTHING if state == machine.aggregate.initial else machine.shown(state)


def page(machines: Sequence[Machine[Any]]) -> str:
    """The page of the documentation: of every machine a diagram and a table."""
    parts = [HEAD]
    for machine in machines:
        explored = explore(machine)
        parts += [f"## {machine.title}", f"Decided in [`{machine.source}`](../{machine.source})."]
        parts += [_diagram(explored), _table(machine, explored)]
    return "\n\n".join(parts) + "\n"


HEAD = """# State machines

Made from the code: every command was tried in every state that commands lead to (`python -m tests.machines` writes this
page, and a test compares them). A cell says which events follow, `–` that nothing changes, or the
reason of the refusal."""


def _diagram(explored: Explored) -> str:
    arrows = list(explored.arrows())
    come_back = any(end == NOTHING for _, end, _ in arrows)
    names = {state: f"s{index}" for index, state in enumerate(explored.answers) if come_back or state != NOTHING}
    lines = ["```mermaid", "stateDiagram-v2"]
    lines += [f'    state "{state}" as {name}' for state, name in names.items()]
    if come_back:
        lines.append(f"    [*] --> {names[NOTHING]}")
    lines += [f"    {names.get(start, '[*]')} --> {names[end]}: {steps}" for start, end, steps in arrows]
    return "\n".join([*lines, "```"])


def _table(machine: Machine[S], explored: Explored) -> str:
    states = list(explored.answers)
    rows = [["", *states], ["---"] * (len(states) + 1)]
    rows += [[step.name, *(str(explored.answers[state][step.name]) for state in states)] for step in machine.steps]
    return "\n".join("| " + " | ".join(cell.replace("_", "\\_") for cell in row) + " |" for row in rows)
