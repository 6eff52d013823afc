"""The page about state machines is what the code does; and states that differ are not shown as one."""

from dataclasses import replace

import pytest

from tests.machines.__main__ import PAGE, written
from tests.machines.exploring import explore
from tests.machines.plans import PLANS


def test_the_page_is_up_to_date() -> None:
    """`python -m tests.machines` has been run since the last change."""
    assert PAGE.read_text(encoding="utf-8") == written()


def test_states_that_answer_differently_are_found() -> None:
    """Negative control: shown as one, states that commands tell apart fail."""
    with pytest.raises(AssertionError, match="leads to"):
        explore(replace(PLANS, shown=lambda _: "there"))
