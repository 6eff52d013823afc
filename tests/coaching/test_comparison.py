"""Comparisons tell what became of groups, never of few: what is left out cannot be worked out."""

import itertools
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import TypeAlias

import pytest

from services.coaching import plan
from services.coaching.comparison import FATES, everything, fate_of, told
from stepladder.coaching.v1.comparison_pb2 import ComparedGroup
from stepladder.coaching.v1.events_pb2 import EmployeeStandingChanged
from stepladder.coaching.v1.pip_pb2 import Pip
from stepladder.coaching.v1.plan_pb2 import Plan

Fate: TypeAlias = "ComparedGroup.Fate.ValueType"
Words: TypeAlias = tuple[tuple[tuple[Fate, ...], int], ...]
SMALLEST = 3
SOME = (
    ComparedGroup.FATE_NO_PLAN,
    *(ComparedGroup.FATE_PROPOSED, ComparedGroup.FATE_ACTIVE),
    *(ComparedGroup.FATE_IMPROVED, ComparedGroup.FATE_CANCELLED),
    *(ComparedGroup.FATE_PIP_BEGUN, ComparedGroup.FATE_PIP_DEMOTION),
)
"""Two of every larger group: with more of them there would only be more that it may be."""


NEVER = EmployeeStandingChanged()
DAY = "2026-03-16"


def fates(*counts: int) -> list[Fate]:
    """So many of each of the first fates."""
    return [fate for fate, count in zip(FATES, counts, strict=False) for _ in range(count)]


def people(groups: Sequence[ComparedGroup]) -> list[int]:
    return [group.people for group in groups]


def counts_of(people: int, groups: int) -> Iterator[tuple[int, ...]]:
    """Every way in which so many people can be in so many groups."""
    for bars in itertools.combinations(range(people + groups - 1), groups - 1):
        yield tuple(b - a - 1 for a, b in pairwise((-1, *bars, people + groups - 1)))


def test_no_number_that_is_left_out_can_be_worked_out() -> None:
    """Of all centres that would be told in the same words, somebody who knows the rule cannot say which it is.

    For each fate that is not told by itself there are several numbers of people that it may have, unless nobody has it.
    """
    for total in range(SMALLEST, SMALLEST + 6):
        possible = defaultdict[Words, list[tuple[int, ...]]](list)
        for counts in counts_of(total, len(SOME)):
            groups = told([fate for fate, count in zip(SOME, counts, strict=True) for _ in range(count)], [], SMALLEST)
            assert sum(people(groups)) == total
            assert not any(0 < number < SMALLEST for number in people(groups))
            possible[tuple((tuple(group.fates), group.people) for group in groups)].append(counts)
        for words, centres in possible.items():
            open_ones = {fate for some, number in words if len(some) > 1 and number for fate in some}
            for place, fate in enumerate(SOME):
                assert (len({counts[place] for counts in centres}) > 1) == (fate in open_ones)


@pytest.mark.parametrize(
    ("counts", "groups"),
    [
        ((5, 4, 3), [5, 4, 3, *[0] * 11]),
        ((0, 0, 0, 0, 0, 0, 0, 3, 4, 0, 0, 5), [*[0] * 7, 3, 4, 0, 0, 5, 0, 0]),
        ((3, 4, 2, 3), [3, 6, 3, 0]),
        ((3, 4, 0, 1, 1, 1), [3, 4, 3, 0]),
        ((3, 4, 3, 0, 0, 0, 0, 1, 1, 0, 0, 0, 1), [3, 7, 0, 3]),
        ((5, 4, 3, 3, 0, 0, 0, 0, 0, 0, 0, 0, 1), [16]),
        ((5, 1, 0, 4), [10]),
        ((1, 1, 1), [3]),
        ((1, 1), []),
        ((), []),
    ],
)
def test_small_groups_are_told_as_larger_ones(counts: tuple[int, ...], groups: list[int]) -> None:
    """Without a plan, open, closed, with a PIP; or all together; or nothing."""
    assert people(told(fates(*counts), [], SMALLEST)) == groups


@pytest.mark.parametrize(
    ("counts", "of_strangers", "groups"),
    [
        ((5, 4), (), [5, 4, *[0] * 12]),
        ((5, 4), (3, 3), [5, 4, *[0] * 12]),
        ((5, 4), (0, 3), [5, 4, *[0] * 12]),
        ((3, 5, 3), (0, 2, 1), [3, 8, 0, 0]),
        ((5, 4), (2, 1), [9]),
        ((5, 4), (1, 1), []),
    ],
)
def test_nobody_can_be_left_over_of_a_group(
    counts: tuple[int, ...], of_strangers: tuple[int, ...], groups: list[int]
) -> None:
    """Whoever takes away those of whom they know what became of them is left with none, or with not few."""
    assert people(told(fates(*counts), fates(*of_strangers), SMALLEST)) == groups


def test_all_is_told_to_whoever_may_know() -> None:
    """Small groups, and empty ones."""
    assert people(everything(fates(2, 0, 1))) == [2, 0, 1, *[0] * 11]


def test_whoever_was_found_has_a_fate() -> None:
    """By the plan's state, or by its outcome once it is closed; or by a PIP, and by what was decided of that."""
    found = {fate_of(None, NEVER, DAY)}
    for stage in Plan.State.values()[1:]:
        for outcome in Plan.Outcome.values()[1:] if stage == Plan.STATE_CLOSED else [Plan.OUTCOME_UNSPECIFIED]:
            state = plan.State(stage=stage)
            state.closed.outcome = outcome
            found.add(fate_of(state, NEVER, DAY))
    for action in Pip.Action.values():
        ended = EmployeeStandingChanged(since_date=DAY, ended_date="2026-05-01", action=action)
        found |= {fate_of(one, ended, DAY) for one in (None, plan.State(stage=Plan.STATE_CLOSED))}
    found.add(fate_of(None, EmployeeStandingChanged(since_date=DAY, under_pip=True), DAY))
    assert found == set(FATES)


def test_a_pip_of_before_is_not_what_became_of_somebody() -> None:
    """Nor one that counts as not having been."""
    before = EmployeeStandingChanged(since_date="2026-03-15", under_pip=True)
    assert fate_of(None, before, DAY) == fate_of(None, NEVER, DAY) == ComparedGroup.FATE_NO_PLAN
