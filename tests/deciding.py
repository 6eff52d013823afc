"""Given events, when a command, then events or a refusal: how aggregates are tested."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Generic, TypeVar

import hypothesis
import protovalidate
import pytest
from google.protobuf.message import Message
from hypothesis import strategies as st

from libs.common.errors import Refused
from libs.common.eventsourcing import Aggregate, Context

S = TypeVar("S")
R = TypeVar("R", bound=Refused)

TODAY = date(2026, 3, 16)
"""A Monday."""

days = st.sampled_from(
    ["2026-01-01", "2026-02-28", "2026-02-29", "2026-03-15", "2026-03-16", "2026-03-17", "2026-05-01"]
)
"""Few, so that commands meet; one of them passes the contract and is in no calendar."""


def context(today: date = TODAY, actor: str = "user:u-1") -> Context:
    return Context(now=datetime.combine(today, time(9), UTC), today=today, actor=actor)


@dataclass(frozen=True)
class Given(Generic[S]):
    aggregate: Aggregate[S]
    state: S

    def when(self, command: Message, today: date = TODAY, actor: str = "user:u-1") -> "When[S]":
        return When(self, command, context(today, actor))


@dataclass(frozen=True)
class When(Generic[S]):
    given: Given[S]
    command: Message
    context: Context

    def then(self, *expected: Message) -> Given[S]:
        """Exactly these events follow. Answers what is given after them."""
        events = self._decide()
        assert list(events) == list(expected)
        return Given(self.given.aggregate, fold(self.given.aggregate, self.given.state, events))

    def refused(self, kind: type[R], reason: str) -> R:
        """The command is refused, with a sentence. Answers the refusal."""
        with pytest.raises(kind) as raised:
            self._decide()
        assert raised.value.reason == reason
        assert raised.value.message
        return raised.value

    def _decide(self) -> Sequence[Message]:
        return self.given.aggregate.decide(self.given.state, self.command, self.context)


def given(aggregate: Aggregate[S], *events: Message) -> Given[S]:
    return Given(aggregate, fold(aggregate, aggregate.initial, events))


def fold(aggregate: Aggregate[S], state: S, events: Sequence[Message]) -> S:
    for event in events:
        state = aggregate.evolve(state, event)
    return state


def twice_is_once(
    aggregate: Aggregate[S],
    commands: st.SearchStrategy[Message],
    *events: Message,
    days_between: Sequence[int] = (0, 1),
) -> None:
    """After these events and any valid commands, saying one of those again, so many days later, changes nothing.

    A command may be refused, with an `errors.Refused`; anything else raised fails.
    """

    @hypothesis.settings(derandomize=True, database=None, deadline=None, max_examples=100)
    @hypothesis.given(st.lists(st.tuples(commands, st.integers(0, 60)), min_size=1, max_size=12))
    def check(said: list[tuple[Message, int]]) -> None:
        state = fold(aggregate, aggregate.initial, events)
        for command, days_later in said:
            protovalidate.validate(command)
            today = TODAY + timedelta(days=days_later)
            try:
                decided = aggregate.decide(state, command, context(today))
            except Refused:
                continue
            state = fold(aggregate, state, decided)
            for later in days_between:
                assert not aggregate.decide(state, command, context(today + timedelta(days=later)))

    check()
