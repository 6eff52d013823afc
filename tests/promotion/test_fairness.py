"""Selection rates by hand, and that nobody can be told of by subtraction."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.promotion.fairness import (
    STAGES,
    Candidate,
    Chosen,
    Count,
    Unit,
    counted,
    fairness,
    fisher,
    impact,
    outcomes,
    told,
)
from stepladder.promotion.v1.fairness_pb2 import StageRates

OVERALL = StageRates.STAGE_OVERALL
RECOMMENDED = StageRates.STAGE_RECOMMENDED
MANAGER = StageRates.STAGE_MANAGER_APPROVED
INTERVIEWED = StageRates.STAGE_INTERVIEWED
LISTED = StageRates.STAGE_LISTED
APPROVED = StageRates.STAGE_APPROVED
APPOINTED = StageRates.STAGE_APPOINTED
CONFIRMED = StageRates.STAGE_CONFIRMED


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        # The lady tasting tea: 1 + 16 of 70 ways on this side, and as many on the other.
        (Count(4, 3), Count(4, 1), Fraction(34, 70)),
        # C(16,9) = 11440 ways; no more likely than the 45 * 6 = 270 found are 10 * 1 and 120 * 1. scipy: 0.0349650...
        (Count(10, 8), Count(6, 1), Fraction(400, 11440)),
        # C(13,7) = 1716 ways; 140 found, 28 and 8. scipy: 0.1025641...
        (Count(8, 6), Count(5, 1), Fraction(176, 1716)),
        # Nobody and everybody: there is one way.
        (Count(7, 0), Count(9, 0), Fraction(1)),
        (Count(7, 7), Count(9, 9), Fraction(1)),
        # All of five against none of five: 2 of 252.
        (Count(5, 5), Count(5, 0), Fraction(2, 252)),
    ],
)
def test_the_exact_test(one: Count, other: Count, expected: Fraction) -> None:
    """Worked by hand; it says the same from both sides."""
    assert fisher(one, other) == fisher(other, one) == expected


counts = st.integers(1, 12).flatmap(lambda came: st.builds(Count, st.just(came), st.integers(0, came)))


@settings(derandomize=True, database=None, deadline=None)
@given(counts, counts)
def test_the_exact_test_is_a_probability(one: Count, other: Count) -> None:
    """What was found is one of the ways; groups that are alike are as likely as can be."""
    assert 0 < fisher(one, other) <= 1
    assert fisher(one, one) == 1


NUMBERS = itertools.count()


def somebody(
    found: Mapping[StageRates.Stage.ValueType, bool],
    groups: Mapping[str, str] | None = None,
    *,
    withdrew: bool = False,
    refused: bool = False,
) -> Candidate:
    """Of whom there is no other candidacy."""
    return Candidate(f"e-{next(NUMBERS)}", found, withdrew, refused, groups or {})


@pytest.mark.parametrize(
    ("one", "expected"),
    [
        (somebody({}), {}),
        (somebody({}, withdrew=True), {}),
        (somebody({}, refused=True), {OVERALL: False, RECOMMENDED: False}),
        # Not recommended goes on.
        (somebody({RECOMMENDED: False}), {RECOMMENDED: False}),
        (
            somebody({RECOMMENDED: False, MANAGER: False}, refused=True),
            {OVERALL: False, RECOMMENDED: False, MANAGER: False},
        ),
        # By the executive, say: not let through to the interviews.
        (
            somebody({RECOMMENDED: True, MANAGER: True}, refused=True),
            {OVERALL: False, RECOMMENDED: True, MANAGER: True, INTERVIEWED: False},
        ),
        (
            somebody({RECOMMENDED: True, MANAGER: True, INTERVIEWED: True}, withdrew=True),
            {},
        ),
        (
            somebody({**dict.fromkeys(STAGES, True), CONFIRMED: False}),
            {OVERALL: True, **dict.fromkeys(STAGES, True), CONFIRMED: False},
        ),
    ],
)
def test_what_came_of_a_candidate(one: Candidate, expected: Mapping[StageRates.Stage.ValueType, bool]) -> None:
    """Who is refused has come to a stage and not got through it; who withdraws is no candidate any more."""
    assert outcomes(one) == expected


def people(group: str, reviewed: int, recommended: int, dimension: str = "sex") -> list[Candidate]:
    """So many, all refused after the lead's review."""
    groups = {dimension: group} if group else {}
    return [
        somebody({RECOMMENDED: number < recommended, MANAGER: False}, groups, refused=True)
        for number in range(reviewed)
    ]


def rates(unit: Unit, stage: StageRates.Stage.ValueType = RECOMMENDED) -> StageRates:
    (dimension,) = fairness(unit)
    (found,) = [one for one in dimension.stages if one.stage == stage]
    return found


def test_four_fifths() -> None:
    """48 of 80 are 60 %, 12 of 40 are 30 %: half of the highest rate. Exactly four fifths are enough."""
    found = rates(Unit([*people("a", 80, 48), *people("b", 40, 12), *people("c", 25, 12)]))
    assert found.below_four_fifths
    assert [(one.group, one.candidates, one.selected, one.rate, one.ratio) for one in found.groups] == [
        ("a", 80, 48, "0.6000", "1.0000"),
        ("c", 25, 12, "0.4800", "0.8000"),
        ("b", 40, 12, "0.3000", "0.5000"),
    ]
    assert [one.below_four_fifths for one in found.groups] == [False, False, True]
    assert found.groups[0].probability == "1.000000"
    small = rates(Unit([*people("a", 10, 5), *people("b", 6, 0)]))
    assert [(one.group, one.ratio) for one in small.groups] == [("a", "1.0000"), ("b", "0.0000")]
    # C(16,5) = 4368 ways; found are 252 * 1, no more likely 10 * 15 and 1 * 6 the other way round.
    assert small.groups[1].probability == "0.093407"


def test_nobody_got_through() -> None:
    """Without a rate there is no ratio to it, and nothing to flag."""
    found = rates(Unit([*people("a", 9, 0), *people("b", 7, 0)]))
    assert not found.below_four_fifths
    assert [(one.group, one.rate, one.ratio) for one in found.groups] == [("a", "0.0000", ""), ("b", "0.0000", "")]


def shown(unit: Unit) -> dict[str, Count]:
    return dict(told(unit).get(("sex", RECOMMENDED), {}))


def test_small_groups_are_not_told() -> None:
    """Nor those who are left when all others are subtracted, for who knows all candidates can do that."""
    two = [*people("a", 20, 10), *people("b", 12, 6)]
    assert shown(Unit(two)) == {"a": Count(20, 10), "b": Count(12, 6)}
    # Three of c, alone: with them the smallest of the others is left out, and one group says nothing.
    assert shown(Unit([*two, *people("c", 3, 0)])) == {}
    assert shown(Unit([*two, *people("d", 30, 15), *people("c", 3, 0)])) == {"a": Count(20, 10), "d": Count(30, 15)}
    # Three of c and two of another, or who declared nothing: together they are enough.
    assert shown(Unit([*two, *people("c", 3, 0), *people("", 2, 0)])) == shown(Unit(two))
    # Of two who were recommended, or were not, it would be told.
    assert shown(Unit([*two, *people("c", 30, 2)])) == {}
    assert shown(Unit([*two, *people("c", 30, 28)])) == {}
    assert shown(Unit([*two, *people("c", 30, 0)])) == {**shown(Unit(two)), "c": Count(30, 0)}


def test_who_is_the_only_one_who_did_not_get_through_is_not_told() -> None:
    """Everybody sees who was refused: of ten of a nine got through, of eight of b all."""
    assert shown(Unit([*people("a", 10, 9), *people("b", 8, 8)])) == {}


def test_stages_are_not_subtracted_from_each_other() -> None:
    """One of b is refused by the manager, one after the interviews, six are listed: 8 who came less 7, then 6."""

    def unit(refused_early: int, refused_late: int) -> Unit:
        def of(group: str, many: int, early: int, late: int) -> list[Candidate]:
            ways = [{MANAGER: False}] * early + [{MANAGER: True, INTERVIEWED: True}] * late
            ways += [{MANAGER: True, INTERVIEWED: True, LISTED: True, APPROVED: True, APPOINTED: True}] * many
            return [somebody({RECOMMENDED: True, **way}, {"sex": group}, refused=len(way) < 5) for way in ways]

        return Unit([*of("a", 10, 10, 10), *of("b", 10, refused_early, refused_late)])

    apart = told(unit(10, 10))
    assert [stage for _, stage in apart if apart["sex", stage]] == [OVERALL, *STAGES[:-1]]
    # 12 came and 10 were appointed in the end: of two it is not told at any stage, nor end to end.
    together = told(unit(6, 6))
    assert {stage for _, stage in together if "b" in together["sex", stage]} == {OVERALL, *STAGES[:-1]}
    early = told(unit(6, 1))
    # End to end 17 came, 10 were appointed: 11 who were interviewed would tell of one.
    assert early["sex", OVERALL]["b"] == Count(17, 10)
    assert early["sex", MANAGER] == early["sex", INTERVIEWED] == early["sex", LISTED] == {}
    assert early["sex", APPOINTED]["b"] == Count(10, 10)


def test_somebody_in_two_competitions_is_one_person() -> None:
    """Selected if they got one of the posts; three in two competitions each are three people, and not told."""
    first = [*people("a", 10, 5), *people("b", 10, 5)]
    again = [
        Candidate(
            one.employee_id, {RECOMMENDED: not one.found[RECOMMENDED], MANAGER: False}, refused=True, groups=one.groups
        )
        for one in first
    ]
    both = Unit(parts=[Unit(first), Unit(again)])
    assert counted(both)["sex", RECOMMENDED] == {"a": Count(10, 10), "b": Count(10, 10)}
    three = people("b", 3, 0)
    assert shown(Unit(parts=[Unit([*first[:10], *three]), Unit([*people("a", 9, 0), *three])])) == {}


def test_what_was_declared_by_the_last_competition_counts() -> None:
    (one,) = people("", 1, 0)
    later = replace(one, groups={"sex": "b"})
    assert counted(Unit(parts=[Unit([one]), Unit([later])]))["sex", RECOMMENDED] == {"b": Count(1, 0)}


def test_a_flag_without_numbers() -> None:
    """Two of forty against ten of forty: whom it concerns is not told, that it has to be looked into is."""
    found = rates(Unit([*people("a", 40, 10), *people("b", 40, 2)]))
    assert found.below_four_fifths
    assert not found.groups
    assert not list(fairness(Unit([*people("a", 40, 10), *people("b", 4, 0)])))


def test_a_competition_is_not_to_be_had_from_its_cycle() -> None:
    """The cycle's numbers without those of the competition that is told would be the other one's three."""
    first = Unit([*people("a", 20, 10), *people("b", 20, 10)])
    second = Unit([*people("a", 20, 10), *people("b", 3, 0), *people("", 5, 0)])
    assert shown(first) == {"a": Count(20, 10), "b": Count(20, 10)}
    assert shown(second) == {}
    assert shown(Unit(parts=[first, second])) == {}
    assert shown(Unit(parts=[Unit(parts=[first, second])])) == {}  # nor from a year, of which the cycle is not told
    third = Unit([*people("a", 20, 10), *people("b", 4, 0), *people("", 5, 0)])
    assert shown(Unit(parts=[first, second, third])) == {"a": Count(60, 30), "b": Count(27, 10)}


def test_rules_with_another_smallest_group_tell_no_more_of_others() -> None:
    """What the one competition tells by its rules is known when the cycle is told by stricter ones."""
    loose = Unit([*people("a", 4, 0), *people("b", 20, 10)], of_rules=3)
    strict = Unit([*people("a", 1, 0), *people("b", 20, 10), *people("", 9, 5)], of_rules=5)
    assert shown(loose) == {"a": Count(4, 0), "b": Count(20, 10)}
    assert shown(strict) == shown(Unit(parts=[loose, strict])) == {}


def test_a_stage_counts_when_nobody_waits() -> None:
    """One decision more would tell of one person."""
    reviewed = [*people("a", 10, 5), *people("b", 10, 5)]
    waiting = somebody({}, {"sex": "a"})
    assert ("sex", RECOMMENDED) not in counted(Unit([*reviewed, waiting]))
    done = Unit(reviewed)
    assert ("sex", RECOMMENDED) not in counted(Unit(parts=[done, Unit([waiting])]))
    withdrawn = somebody({RECOMMENDED: True}, {"sex": "a"}, withdrew=True)
    assert counted(Unit([*reviewed, withdrawn])) == counted(done)
    later = somebody({RECOMMENDED: True}, {"sex": "b"})
    found = counted(Unit([*reviewed, later]))
    assert found["sex", RECOMMENDED]["b"] == Count(11, 6)
    assert ("sex", OVERALL) not in found
    assert ("sex", MANAGER) not in found
    appointed = somebody(dict.fromkeys(STAGES[:-1], True), {"sex": "b"})
    assert counted(Unit([*reviewed, appointed]))["sex", OVERALL]["b"] == Count(11, 1)


def test_confirmed_of_those_whose_trial_ended() -> None:
    """Overall ends with the beginning of the trial; what came of it is a stage of its own."""
    unit = Unit(
        [
            somebody({**dict.fromkeys(STAGES, True), CONFIRMED: number % 2 == 0}, {"age": group})
            for group in ("over-40", "under-40")
            for number in range(10)
        ]
    )
    found = told(unit)
    assert found["age", OVERALL] == found["age", APPOINTED] == dict.fromkeys(("over-40", "under-40"), Count(10, 10))
    assert found["age", CONFIRMED] == dict.fromkeys(("over-40", "under-40"), Count(10, 5))
    assert [one.stage for one in rates_of(unit)] == [OVERALL, *STAGES]


def rates_of(unit: Unit) -> Sequence[StageRates]:
    (dimension,) = fairness(unit)
    return dimension.stages


competitions = st.tuples(
    st.lists(st.tuples(st.sampled_from(["a", "b", "c", ""]), st.integers(1, 6), st.integers(0, 6)), max_size=4).map(
        lambda groups: [one for group, came, passed in groups for one in people(group, came, min(came, passed))]
    ),
    st.sampled_from([3, 3, 4]),
).map(lambda made: Unit(made[0], of_rules=made[1]))
units = st.lists(competitions, min_size=1, max_size=3).map(lambda parts: Unit(parts=parts))


@settings(derandomize=True, database=None, deadline=None, max_examples=200)
@given(st.lists(units, min_size=1, max_size=2).map(lambda parts: Unit(parts=parts)))
def test_nobody_can_subtract(year: Unit) -> None:
    """Of no unit can the number of a small group be worked out of all that is told, and of how many there are in all.

    Everything known is a linear equation over the groups' numbers in the competitions; a number that is told by them is
    a row that they span.
    """
    leaves, nodes = leaves_of(year), [year, *year.parts, *leaves_of(year)]
    known = [row(leaves, [leaf], ["a", "b", "c", ""]) for leaf in leaves]
    known += [row(leaves, leaves_of(node), [group]) for node in nodes for group in shown(node)]
    basis = reduced(known)
    for node in nodes:
        for group, count in counted(node).get(("sex", RECOMMENDED), {}).items():
            if group and count.telling(node.smallest):
                assert not spans(basis, row(leaves, leaves_of(node), [group])), (node, group)


def leaves_of(node: Unit) -> list[Unit]:
    return [leaf for part in node.parts for leaf in leaves_of(part)] if node.parts else [node]


def row(leaves: Sequence[Unit], among: Sequence[Unit], groups: Sequence[str]) -> list[Fraction]:
    chosen = [any(leaf is one for one in among) for leaf in leaves]
    return [Fraction(is_in and group in groups) for is_in in chosen for group in ("a", "b", "c", "")]


def reduced(rows: Sequence[list[Fraction]]) -> list[list[Fraction]]:
    """A basis of what the rows span, each with a column of its own."""
    basis: list[list[Fraction]] = []
    for one in rows:
        rest = remainder(basis, one)
        if any(rest):
            basis.append(rest)
    return basis


def remainder(basis: Sequence[list[Fraction]], one: list[Fraction]) -> list[Fraction]:
    rest = list(one)
    for base in basis:
        pivot = next(index for index, value in enumerate(base) if value)
        if rest[pivot]:
            share = rest[pivot] / base[pivot]
            rest = [value - share * other for value, other in zip(rest, base, strict=True)]
    return rest


def spans(basis: Sequence[list[Fraction]], one: list[Fraction]) -> bool:
    return not any(remainder(basis, one))


def tried(smallest: int, groups: Mapping[str, tuple[int, int, int]]) -> dict[str, tuple[bool, bool]]:
    """What is told of groups by how many there are, how many the rules in force select, and how many those tried; of
    `none` nobody has declared anything.
    """
    chosen = [
        Chosen(number < before, number < after, {} if group == "none" else {"sex": group})
        for group, (came, before, after) in groups.items()
        for number in range(came)
    ]
    found = list(impact(chosen, smallest))
    assert [one.dimension for one in found] in ([], ["sex"])
    return {
        group.group: (group.below_four_fifths_before, group.below_four_fifths_after)
        for one in found
        for group in one.groups
    }


@pytest.mark.parametrize(
    ("groups", "expected"),
    [
        # 10 of 20 both; then 10 of 20 against 7 of 20: 7 / 10 is under four fifths.
        ({"male": (20, 10, 10), "female": (20, 10, 7)}, {"male": (False, False), "female": (False, True)}),
        # 8 / 10 is four fifths, not under it.
        ({"male": (20, 10, 10), "female": (20, 10, 8)}, {"male": (False, False), "female": (False, False)}),
        # It is turned round.
        ({"male": (20, 12, 6), "female": (20, 6, 12)}, {"male": (False, True), "female": (True, False)}),
        # Nobody is selected: there is no best group.
        ({"male": (20, 10, 0), "female": (20, 10, 0)}, {"male": (False, False), "female": (False, False)}),
        # Fewer than five selected of a group, under either rules; then of all who said nothing; then fewer candidates.
        ({"male": (20, 10, 10), "female": (20, 10, 4)}, {}),
        ({"male": (20, 10, 10), "female": (20, 4, 10)}, {}),
        ({"male": (20, 10, 10), "female": (20, 10, 10), "none": (4, 0, 0)}, {}),
        ({"male": (20, 10, 10), "female": (20, 10, 10), "none": (9, 9, 1)}, {}),
        ({"male": (20, 10, 10), "female": (4, 0, 0)}, {}),
        ({"male": (20, 10, 10)}, {}),
        # One group's candidates are too few: the others are compared only if that group cannot be worked out.
        ({"male": (20, 10, 10), "female": (20, 10, 7), "other": (4, 0, 0)}, {}),
        (
            {"male": (20, 10, 10), "female": (20, 10, 7), "other": (4, 0, 0), "none": (5, 0, 0)},
            {"male": (False, False), "female": (False, True)},
        ),
    ],
)
def test_adverse_impact_by_hand(
    groups: Mapping[str, tuple[int, int, int]], expected: Mapping[str, tuple[bool, bool]]
) -> None:
    """Flags of groups of five or more, before and after; nothing where the numbers would tell of fewer."""
    assert tried(5, groups) == expected


def test_a_larger_smallest_group_tells_less() -> None:
    groups = {"male": (20, 10, 10), "female": (20, 10, 7)}
    assert tried(7, groups)
    assert not tried(8, groups)
