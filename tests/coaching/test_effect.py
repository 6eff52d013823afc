"""What coaching has changed: medians, exact intervals, small groups."""

from fractions import Fraction
from itertools import product
from statistics import median

import pytest

from services.coaching.effect import Case, change_of, confidence, groups_of, interval_rank
from stepladder.coaching.v1.effect_pb2 import Change, EffectGroup
from stepladder.coaching.v1.measure_pb2 import Measure
from stepladder.performance.v1.kpi_pb2 import Kpi

CSAT = Kpi(kpi_id="csat", unit=Kpi.UNIT_PERCENT, precision=1, direction=Kpi.DIRECTION_HIGHER)
MEASURE = Measure(kpi_id="csat")


def case(employee_id: str, before: int, after: int, *, during: int | None = 0, upwards: bool = True) -> Case:
    return Case(employee_id, upwards, Fraction(before), None if during is None else Fraction(during), Fraction(after))


@pytest.mark.parametrize(
    ("cases", "rank", "of_hundred"),
    [(1, 0, None), (5, 0, None), (6, 1, "96.9"), (8, 1, "99.2"), (9, 2, "96.1"), (20, 6, "95.9"), (100, 40, "96.5")],
)
def test_ranks_of_the_interval(cases: int, rank: int, of_hundred: str | None) -> None:
    """As in Conover's table A3: of six values the extremes are the first interval with 95 %."""
    assert interval_rank(cases) == rank
    if of_hundred:
        assert f"{float(confidence(cases, rank) * 100):.1f}" == of_hundred


def test_the_confidence_is_what_counting_says() -> None:
    """Of all ways in which seven values fall below or above the median, so many leave it inside."""
    ways = list(product([0, 1], repeat=7))
    inside = [way for way in ways if 1 <= sum(way) <= 6]
    assert confidence(7, 1) == Fraction(len(inside), len(ways))


def test_a_group() -> None:
    """Medians of each phase, and changes towards the goal."""
    cases = [case(f"e-{n}", 80, 80 + n, during=81 + n) for n in range(-1, 6)]
    (group,) = groups_of({"CAUSE_SKILL": cases}, CSAT, MEASURE, 5, coached=True)
    assert group == EffectGroup(
        measure=MEASURE,
        group="CAUSE_SKILL",
        cases=7,
        employees=7,
        before="80.0",
        during="83.0",
        after="82.0",
        change=Change(median="2.0", lower="-1.0", upper="5.0", confidence="98.4"),
        better=5,
        same=1,
        worse=1,
    )


def test_a_goal_below() -> None:
    """Where less is better, less is a change towards the goal."""
    assert case("e-1", 80, 70, upwards=False).change == 10


def test_a_few_people_are_not_shown() -> None:
    """Many cases of few people are few people."""
    cases = [case(f"e-{n % 4}", 80, 90) for n in range(20)]
    assert groups_of({"": cases}, CSAT, MEASURE, 5, coached=True) == [EffectGroup(measure=MEASURE, suppressed=True)]


def test_what_is_not_shown_cannot_be_told_from_the_rest() -> None:
    """Beside one small group the next one is hidden, too: the whole less the others would be the small one."""
    cases = {name: [case(f"{name}-{n}", 80, 90) for n in range(size)] for name, size in (("a", 9), ("b", 3), ("c", 6))}
    found = groups_of(cases, CSAT, MEASURE, 5, coached=True)
    assert [(group.group, group.suppressed, group.cases) for group in found] == [
        ("a", False, 9),
        ("b", True, 0),
        ("c", True, 0),
    ]


def test_those_not_coached_have_no_time_between() -> None:
    """Nothing was done, so there is nothing during it."""
    cases = [case(f"e-{n}", 80, 85, during=None) for n in range(5)]
    (group,) = groups_of({"": cases}, CSAT, MEASURE, 5, coached=False)
    assert (group.not_coached, group.during, group.after) == (True, "", "85.0")


def test_few_cases_have_no_interval() -> None:
    """Five differences say nothing with 95 % confidence."""
    change = change_of([Fraction(n) for n in range(5)], CSAT)
    assert change == Change(median="2.0")
    assert median([Fraction(1), Fraction(2)]) == Fraction(3, 2)  # exact: no floats in between


def test_who_is_left_over_is_not_told() -> None:
    """Cases in several groups: all but one had a course, and the whole less those would be that one's."""
    cases = [case(f"e-{n}", 80, 90) for n in range(7)]
    groups = {"course_id": cases[:6], "mentor_id": cases[2:]}
    shown = groups_of(groups, CSAT, MEASURE, 5, coached=True)
    assert [(one.group, one.suppressed) for one in shown] == [("course_id", True), ("mentor_id", True)]


def test_a_person_counts_once() -> None:
    """Many cases of one person are no more certain than that person is; all of them are counted."""
    cases = [case("e-0", 80, 80 + n) for n in range(10)] + [case(f"e-{n}", 80, 80) for n in range(1, 5)]
    (group,) = groups_of({"": cases}, CSAT, MEASURE, 5, coached=True)
    assert (group.cases, group.employees, group.better) == (14, 5, 9)
    assert group.change == Change(median="0.0")
