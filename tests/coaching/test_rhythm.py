"""What falls due again and again, told day by day."""

from datetime import date, timedelta

import hypothesis
import pytest
from hypothesis import strategies as st

from services.coaching.rhythm import Due, check_in_due, sessions_due
from stepladder.coaching.v1.rhythm_pb2 import (
    TIMELINESS_LATE,
    TIMELINESS_MISSED,
    TIMELINESS_NOT_YET,
    TIMELINESS_ON_TIME,
    TIMELINESS_OVERDUE,
    Timeliness,
)

BEGUN = date(2026, 3, 2)


def day(number: int) -> date:
    """So many days after the plan became active."""
    return BEGUN + timedelta(days=number)


def told(held: list[int], ended: int | None, today: int) -> list[tuple[int, int | None, str]]:
    """Sessions every 14 days: when each fell due, when it was held, and what that is called."""
    dues = sessions_due(BEGUN, None if ended is None else day(ended), map(day, held), 14, day(today))
    return [
        (
            (due.day - BEGUN).days,
            (due.done - BEGUN).days if due.done else None,
            Timeliness.Name(due.timeliness(day(today))).removeprefix("TIMELINESS_"),
        )
        for due in dues
    ]


@pytest.mark.parametrize(
    ("held", "ended", "today", "expected"),
    [
        ([], None, 0, [(14, None, "NOT_YET")]),
        ([], None, 14, [(14, None, "NOT_YET")]),
        ([], None, 15, [(14, None, "OVERDUE")]),
        ([], None, 27, [(14, None, "OVERDUE")]),
        ([], None, 28, [(14, None, "MISSED"), (28, None, "NOT_YET")]),
        ([14], None, 15, [(14, 14, "ON_TIME"), (28, None, "NOT_YET")]),
        ([10, 30], None, 40, [(14, 10, "ON_TIME"), (24, 30, "LATE"), (44, None, "NOT_YET")]),
        ([10, 50], None, 50, [(14, 10, "ON_TIME"), (24, None, "MISSED"), (38, 50, "LATE"), (64, None, "NOT_YET")]),
        ([28], None, 28, [(14, None, "MISSED"), (28, 28, "ON_TIME"), (42, None, "NOT_YET")]),
        ([], 14, 40, []),
        ([], 15, 40, [(14, None, "MISSED")]),
        ([18], 20, 40, [(14, 18, "LATE")]),
        ([10, 50], 60, 90, [(14, 10, "ON_TIME"), (24, None, "MISSED"), (38, 50, "LATE")]),
    ],
)
def test_sessions_of_a_plan(
    held: list[int], ended: int | None, today: int, expected: list[tuple[int, int | None, str]]
) -> None:
    """By the clock, by what was held, and by the plan's end."""
    assert told(held, ended, today) == expected


@hypothesis.settings(derandomize=True, database=None, deadline=None)
@hypothesis.given(
    held=st.lists(st.integers(0, 200), max_size=8),
    ended=st.none() | st.integers(0, 200),
    every=st.integers(1, 40),
    today=st.integers(0, 200),
)
def test_every_session_held_does_one_that_was_due(held: list[int], ended: int | None, every: int, today: int) -> None:
    """However they are spaced; only the last is open, and what was due is at most so many days after the one before."""
    dues = sessions_due(BEGUN, None if ended is None else day(ended), map(day, held), every, day(today))
    assert [due.done for due in dues if due.done] == sorted(map(day, held))
    assert all(due.done or due.missed for due in dues[:-1])
    before = BEGUN
    for due in dues:
        assert due.day == before + timedelta(days=every)
        before = due.done or due.day


def test_whether_it_was_done_by_its_day() -> None:
    """The day itself is in time."""
    cases = {
        Due(day(3)): TIMELINESS_NOT_YET,
        Due(day(2)): TIMELINESS_OVERDUE,
        Due(day(2), done=day(2)): TIMELINESS_ON_TIME,
        Due(day(2), done=day(3)): TIMELINESS_LATE,
        Due(day(2), missed=True): TIMELINESS_MISSED,
    }
    assert {due: due.timeliness(day(3)) for due in cases} == cases


@pytest.mark.parametrize(
    ("last", "asked", "expected"),
    [
        (0, {0: 30}, (0, 30)),
        (None, {0: 30}, (0, 30)),
        (None, {0: 0, 10: 30}, (10, 40)),  # nobody waits before there are rules
        (0, {0: 0, 100: 30}, (0, 100)),
        (0, {0: 30, 29: 30}, (0, 30)),  # another version that asks for the same
        (0, {0: 30, 20: 7}, (0, 20)),  # rules that ask for more: due on their first day, and not before
        (0, {0: 30, 20: 25}, (0, 25)),
        (0, {0: 7, 20: 30}, (0, 7)),  # rules that ask for less come too late
        (0, {0: 14, 7: 30}, (0, 30)),
        (0, {0: 30, 10: 0}, None),
        (None, {0: 0}, None),
    ],
)
def test_a_check_in_is_due_by_the_rules_of_its_day(
    last: int | None, asked: dict[int, int], expected: tuple[int, int] | None
) -> None:
    """What was in time is not overdue by rules of later, nor the other way round."""
    found = check_in_due(None if last is None else day(last), {day(one): every for one, every in asked.items()})
    assert found == (expected and (day(expected[0]), day(expected[1])))
