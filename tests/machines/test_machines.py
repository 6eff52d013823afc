"""The page about state machines is what the code does; and states that differ are not shown as one."""

from dataclasses import replace

import pytest

from tests.machines.__main__ import PAGE, written
from tests.machines.competitions import COMPETITIONS
from tests.machines.exploring import explore
from tests.machines.plans import PLANS


def test_the_page_is_up_to_date() -> None:
    """`python -m tests.machines` has been run since the last change."""
    assert PAGE.read_text(encoding="utf-8") == written()


def test_a_state_that_is_come_to_and_not_shown_is_found() -> None:
    """Negative control: the diagram would show its arrows as if they led to nothing."""
    assert COMPETITIONS.states
    with pytest.raises(AssertionError, match="CANCELLED, which is not shown"):
        explore(replace(COMPETITIONS, states=COMPETITIONS.states[:-1]))


def test_states_that_answer_differently_are_found() -> None:
    """Negative control: shown as one, states that commands tell apart fail."""
    with pytest.raises(AssertionError, match="leads to"):
        explore(replace(PLANS, shown=lambda _: "there"))
