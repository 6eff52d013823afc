"""Ranks worked by hand: every rule that tells ties apart, chains of them, and what would have changed the outcome."""

import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st

from services.promotion.ranking import Candidate, changes, compared, displaced, lot, rank, replayed, within
from services.promotion.scoring import Given, Inputs, fraction, score
from stepladder.performance.v1.promotion_rules_pb2 import CompetitionRules
from stepladder.promotion.v1.score_pb2 import Score
from tests.promotion.rules import APPLIED_FIRST, Tie, interview, manager, pm, rules

TENURE, LOT = Tie(rule=CompetitionRules.RULE_TENURE), Tie(rule=CompetitionRules.RULE_LOT)
BY_INTERVIEW, BY_MANAGER = Tie(part_id="interview"), Tie(part_id="manager")
HALVES = (interview("50"), manager("50"))


def candidate(
    name: str,
    interviewed: str | None,
    managed: str | None,
    since: str = "2024-01-01",
    applied: int = 10,
    given_rules: CompetitionRules | None = None,
) -> Candidate:
    """Of a competition decided half by the interview and half by the manager, unless rules are given."""
    inputs = Inputs(
        closed=date(2026, 6, 15),
        interviews=[Given(one, Fraction(interviewed)) for one in ("i-1", "i-2")] if interviewed else [],
        manager=Given("m-1", Fraction(managed)) if managed else None,
        kpis={("pm", 6): Given("months", Fraction(interviewed))} if interviewed else {},
    )
    return Candidate(
        candidacy_id=name,
        employee_id=f"e-{name}",
        score=score(given_rules or rules(*HALVES, missing=CompetitionRules.MISSING_ZERO), inputs),
        score_position=100 + applied,
        position_since=date.fromisoformat(since) if since else None,
        applied_position=applied,
    )


def ranked(ties: Sequence[Tie], *candidates: Candidate) -> list[tuple[str, str]]:
    """By rank: who, and what told them from the one before."""
    return [(one.candidacy_id, one.tie_broken_by) for one in rank(rules(*HALVES, ties=ties), "c-1", candidates)]


def test_the_higher_total_comes_first_and_no_tie_is_told() -> None:
    made = rank(
        rules(*HALVES), "c-1", [candidate("b", "70", "80"), candidate("a", "80", "81"), candidate("c", "10", "9")]
    )
    assert [(one.candidacy_id, one.rank, one.total, one.tie_broken_by) for one in made] == [
        ("a", 1, "80.50", ""),
        ("b", 2, "75.00", ""),
        ("c", 3, "9.50", ""),
    ]
    assert (made[0].employee_id, made[0].score_position, made[0].position_since) == ("e-a", 110, "2024-01-01")


def test_equal_totals_by_the_higher_score_of_a_part() -> None:
    tied = candidate("a", "80", "90"), candidate("b", "90", "80")
    assert ranked([BY_INTERVIEW, APPLIED_FIRST], *tied) == [("b", ""), ("a", "interview")]
    assert ranked([BY_MANAGER, APPLIED_FIRST], *tied) == [("a", ""), ("b", "manager")]


def test_a_part_without_a_score_comes_behind_one_with_0() -> None:
    """(0 + 50) / 100 x 100 = 50, and 50 alone in proportion."""
    spread = rules(*HALVES, missing=CompetitionRules.MISSING_SPREAD, ties=[BY_INTERVIEW, APPLIED_FIRST])
    without = candidate("a", None, "50", applied=1, given_rules=spread)
    nothing = candidate("b", "0", "100", applied=2, given_rules=spread)
    made = rank(spread, "c-1", [without, nothing])
    assert [(one.candidacy_id, one.total, one.tie_broken_by) for one in made] == [
        ("b", "50.00", ""),
        ("a", "50.00", "interview"),
    ]


def test_equal_totals_by_the_longer_time_in_the_position() -> None:
    tied = candidate("a", "80", "80", since="2024-05-02"), candidate("b", "80", "80", since="2024-05-01")
    assert ranked([TENURE, APPLIED_FIRST], *tied) == [("b", ""), ("a", "TENURE")]


def test_a_position_held_nobody_knows_since_when_comes_behind() -> None:
    tied = candidate("a", "80", "80", since=""), candidate("b", "80", "80", since="2026-06-14")
    assert ranked([TENURE, APPLIED_FIRST], *tied) == [("b", ""), ("a", "TENURE")]


def test_equal_totals_by_the_earlier_application() -> None:
    tied = candidate("a", "80", "80", applied=12), candidate("b", "80", "80", applied=11)
    assert ranked([APPLIED_FIRST], *tied) == [("b", ""), ("a", "APPLIED_FIRST")]


def test_equal_totals_by_a_lot_that_is_the_same_for_ever() -> None:
    """As sha256sum has it of `c-4/a` and so on; another seed draws anew."""
    tied = [candidate(name, "80", "80") for name in "abc"]
    assert [lot("c-4", name)[:4] for name in "abc"] == ["7c92", "43eb", "4c45"]
    drawn = {seed: rank(rules(*HALVES, ties=[LOT]), seed, tied) for seed in ("c-4", "c-6")}
    assert [(one.candidacy_id, one.tie_broken_by) for one in drawn["c-4"]] == [("b", ""), ("c", "LOT"), ("a", "LOT")]
    assert [one.candidacy_id for one in drawn["c-6"]] == ["a", "c", "b"]


def test_ties_are_told_apart_by_one_rule_after_the_other() -> None:
    tied = (
        candidate("a", "80", "90", since="2024-01-01", applied=4),
        candidate("b", "90", "80", since="2024-01-01", applied=3),
        candidate("c", "90", "80", since="2023-01-01", applied=2),
        candidate("d", "90", "80", since="2024-01-01", applied=1),
    )
    assert ranked([BY_INTERVIEW, TENURE, APPLIED_FIRST], *tied) == [
        ("c", ""),
        ("d", "TENURE"),
        ("b", "APPLIED_FIRST"),
        ("a", "interview"),
    ]


def test_what_ties_were_compared_by_is_told_up_to_what_told_them_apart() -> None:
    one = candidate("b", "90", "80", since="2024-01-01", applied=3)
    other = candidate("c", "90", "80", since="2023-01-01", applied=2)
    found = compared(rules(*HALVES, ties=[BY_INTERVIEW, TENURE, APPLIED_FIRST]), "c-1", one, other)
    assert [(each.rule, each.own, each.other) for each in found] == [
        ("interview", "90", "90"),
        ("TENURE", "2024-01-01", "2023-01-01"),
    ]
    assert compared(rules(*HALVES), "c-1", one, candidate("d", "1", "1")) == []


def test_totals_that_differ_only_before_rounding_are_equal() -> None:
    tied = candidate("a", "80.001", "80", applied=2), candidate("b", "80", "80", applied=1)
    assert ranked([APPLIED_FIRST], *tied) == [("b", ""), ("a", "APPLIED_FIRST")]


def test_whoever_is_below_the_pass_mark_takes_no_seat() -> None:
    given_rules = rules(*HALVES, passing="80")
    made = rank(
        given_rules, "c-1", [candidate("a", "80", "79.98"), candidate("b", "80", "79.99"), candidate("c", "90", "90")]
    )
    assert [(one.candidacy_id, one.total, one.passed) for one in made] == [
        ("c", "90.00", True),
        ("b", "80.00", True),
        ("a", "79.99", False),
    ]
    assert [one.candidacy_id for one in within(made, 3)] == ["c", "b"]
    assert [one.candidacy_id for one in within(made, 1)] == ["c"]


def test_what_each_part_would_have_had_to_be() -> None:
    """c has (70 + 60) / 2 = 65 behind 75: the interview needs 90, the manager 80."""
    others = candidate("a", "90", "90", applied=1), candidate("b", "75", "75", applied=3)
    by_part = {
        one.part_id: one
        for one in changes(rules(*HALVES), "c-1", [*others, candidate("c", "70", "60", applied=2)], "c", 2)
    }
    # 74.995 is rounded to 75.00, which is a tie.
    assert by_part["interview"].enough.value == "89.99"
    assert (by_part["manager"].score.value, by_part["manager"].enough.value) == ("60", "79.99")
    later = candidate("c", "70", "60", applied=4)
    found = changes(rules(*HALVES), "c-1", [*others, later], "c", 2)
    assert [one.enough.value for one in found] == ["90.01", "80.01"]


def test_no_part_alone_may_be_enough() -> None:
    others = candidate("a", "99", "99"), candidate("b", "98", "98")
    found = changes(rules(*HALVES), "c-1", [*others, candidate("c", "10", "20")], "c", 1)
    assert [one.HasField("enough") for one in found] == [False, False]


def test_a_banded_part_needs_one_of_its_bands() -> None:
    """c: 65 is worth 60, with 60 of the manager 60; to get beyond 75, the PM has to be worth 100."""
    banded = rules(pm("50"), manager("50"))
    all_three = [
        candidate("b", "75", "70", given_rules=banded),  # (80 + 70) / 2
        candidate("c", "65", "60", given_rules=banded, applied=11),  # (60 + 60) / 2
    ]
    found = {one.part_id: one for one in changes(banded, "c-1", all_three, "c", 1)}
    assert (found["pm"].score.value, found["pm"].enough.value) == ("60", "100")
    assert found["manager"].enough.value == "90.01"


def test_the_pass_mark_has_to_be_reached_too() -> None:
    given_rules = rules(*HALVES, passing="80")
    found = changes(given_rules, "c-1", [candidate("c", "70", "60")], "c", 1)
    assert [one.enough.value for one in found] == ["99.99", "89.99"]


def test_a_part_without_a_score_would_have_had_to_have_one() -> None:
    spread = rules(*HALVES, missing=CompetitionRules.MISSING_SPREAD)
    both = candidate("b", "80", "80"), candidate("c", None, "70", applied=11, given_rules=spread)
    found = {one.part_id: one for one in changes(spread, "c-1", both, "c", 1)}
    assert not found["interview"].HasField("score")
    assert found["interview"].enough.value == "90.01"


@st.composite
def fields(draw: st.DrawFn) -> tuple[CompetitionRules, list[Candidate]]:
    """Rules and candidates, of whom many have the same total."""
    last = draw(st.sampled_from([APPLIED_FIRST, LOT]))
    ties = [
        *draw(
            st.lists(st.sampled_from([BY_INTERVIEW, BY_MANAGER, TENURE]), unique_by=lambda tie: tie.SerializeToString())
        ),
        last,
    ]
    given_rules = rules(
        *HALVES, ties=ties, precision=draw(st.integers(0, 2)), passing=draw(st.sampled_from(["", "60"]))
    )
    few = st.sampled_from(["0", "50", "60.5", "70", "79.5", "100"])
    people = [
        candidate(
            f"c-{place}",
            draw(few),
            draw(few),
            draw(st.sampled_from(["", "2024-01-01", "2025-01-01"])),
            place,
            given_rules,
        )
        for place in range(draw(st.integers(1, 6)))
    ]
    return given_rules, people


@settings(derandomize=True, database=None, deadline=None)
@given(fields(), st.randoms(use_true_random=False))
def test_the_order_of_candidates_does_not_matter(
    field: tuple[CompetitionRules, list[Candidate]], chance: random.Random
) -> None:
    given_rules, people = field
    shuffled = chance.sample(people, len(people))
    assert rank(given_rules, "c-1", shuffled) == rank(given_rules, "c-1", people)


@settings(derandomize=True, database=None, deadline=None)
@given(fields(), st.integers(1, 6))
def test_what_would_have_been_enough_is_and_a_step_less_is_not(
    field: tuple[CompetitionRules, list[Candidate]], seats: int
) -> None:
    """By scoring again from inputs, and ranking all of them again."""
    given_rules, people = field

    def listed(changed: Candidate) -> bool:
        again = [changed if one.candidacy_id == changed.candidacy_id else one for one in people]
        found = within(rank(given_rules, "c-1", again), seats)
        return changed.candidacy_id in [one.candidacy_id for one in found]

    for one in people:
        if listed(one):
            continue
        for change in changes(given_rules, "c-1", people, one.candidacy_id, seats):
            if not change.HasField("enough"):
                assert not listed(scored_again(given_rules, one, change.part_id, Fraction(100)))
                continue
            enough = fraction(change.enough)
            assert listed(scored_again(given_rules, one, change.part_id, enough))
            assert not listed(scored_again(given_rules, one, change.part_id, enough - Fraction(1, 10**6)))


def scored_again(given_rules: CompetitionRules, one: Candidate, part_id: str, value: Fraction) -> Candidate:
    scores = {part.part_id: fraction(part.score) for part in one.score.parts} | {part_id: value}
    inputs = Inputs(
        closed=date(2026, 6, 15),
        interviews=[Given(name, scores["interview"]) for name in ("i-1", "i-2")],
        manager=Given("m-1", scores["manager"]),
    )
    return replace(one, score=score(given_rules, inputs))


def test_other_rules_over_a_ranking() -> None:
    """By halves a has 80, b 75, c 70 and d 50; by the interview alone, passed at 75, b and c are ahead of a, and d, who
    had none, has no rank. Of two seats one goes from a to c.
    """
    marks = {"a": ("70", "90"), "b": ("90", "60"), "c": ("80", "60"), "d": (None, "100")}
    by_halves = rules(*HALVES, missing=CompetitionRules.MISSING_ZERO)
    ranking = rank(by_halves, "c-1", [candidate(name, *given) for name, given in marks.items()])
    assert [(one.candidacy_id, one.total) for one in ranking] == [
        ("a", "80.00"),
        ("b", "75.00"),
        ("c", "70.00"),
        ("d", "50.00"),
    ]
    alone = rules(interview("100"), passing="75")
    tried = [candidate(name, *given, given_rules=alone) for name, given in marks.items()]
    made = replayed(alone, "c-1", 2, ranking, tried)
    assert [
        (
            one.employee_id,
            one.rank_before,
            one.rank_after,
            one.total_before,
            one.total_after,
            one.within_seats_before,
            one.within_seats_after,
        )
        for one in made
    ] == [
        ("e-a", 1, 3, "80.00", "70.00", True, False),
        ("e-b", 2, 1, "75.00", "90.00", True, True),
        ("e-c", 3, 2, "70.00", "80.00", False, True),
        ("e-d", 4, 0, "50.00", "", False, False),
    ]
    assert [[(part.part_id, part.missing) for part in one.missing] for one in made] == [
        [],
        [],
        [],
        [("interview", "NO_INTERVIEWS")],
    ]
    once_more = replayed(rules(interview("100"), passing="85"), "c-1", 2, ranking, tried)
    assert [one.within_seats_after for one in once_more] == [False, True, False, False]


def moved(
    given_rules: CompetitionRules, seats: int, before: Sequence[Candidate], now: Sequence[Candidate]
) -> dict[str, tuple[bool, list[str]]]:
    """Who is displaced when scores are others: whether they would be within the seats, and by whose facts."""
    ranking = rank(given_rules, "c-1", before)
    scores = {one.candidacy_id: one.score for one in now if one.score.total}
    changed = [was.candidacy_id for was, one in zip(before, now, strict=True) if was.score != one.score]
    found = displaced(given_rules, "c-1", seats, ranking, scores, changed)
    return {name: (one.within_seats, list(one.candidacy_ids)) for name, one in found.items()}


def test_a_number_corrected_displaces_or_lets_in_another() -> None:
    """By halves a has 80, b 75, c 70 and d 60, for two seats."""
    halves = rules(*HALVES)
    a, b, c, d = before = [
        candidate(name, *given)
        for name, given in {"a": ("70", "90"), "b": ("90", "60"), "c": ("80", "60"), "d": ("50", "70")}.items()
    ]
    fallen = scored_again(halves, a, "interview", Fraction(40))  # 65
    behind = scored_again(halves, b, "interview", Fraction(85))  # 72.5
    risen = scored_again(halves, d, "interview", Fraction(100))  # 85
    assert moved(halves, 2, before, before) == {}
    assert moved(halves, 2, before, [fallen, b, c, d]) == {"a": (False, ["a"]), "c": (True, ["a"])}
    assert moved(halves, 2, before, [a, behind, c, d]) == {}
    assert moved(halves, 2, before, [a, behind, c, risen]) == {
        "b": (False, ["b", "d"]),
        "d": (True, ["b", "d"]),
    }
    assert moved(halves, 2, before, [fallen, behind, c, risen]) == {
        "a": (False, ["a", "b", "d"]),
        "d": (True, ["a", "b", "d"]),
    }
    assert moved(halves, 4, before, [fallen, behind, c, risen]) == {}
    unscored = without_total(a)
    assert moved(halves, 2, before, [unscored, b, c, d]) == {"a": (False, ["a"]), "c": (True, ["a"])}
    passed_at_70 = rules(*HALVES, passing="70")
    assert moved(passed_at_70, 3, before, [fallen, b, c, d]) == {"a": (False, ["a"])}


def without_total(one: Candidate) -> Candidate:
    return replace(one, score=Score(parts=one.score.parts))


def test_a_position_said_late_displaces_another() -> None:
    """Where it tells ties apart: the score says since when."""
    by_position = rules(*HALVES, ties=[TENURE, APPLIED_FIRST])
    before = [since(candidate("a", "80", "80", "2023-01-01")), since(candidate("b", "80", "80", "2024-01-01"))]
    now = [since(candidate("a", "80", "80", "2025-01-01")), before[1]]
    assert moved(by_position, 1, before, now) == {"a": (False, ["a"]), "b": (True, ["a"])}


def since(one: Candidate) -> Candidate:
    """With the day in the score, as the rules ask for it."""
    made = Score()
    made.CopyFrom(one.score)
    made.position_since = one.position_since.isoformat() if one.position_since else ""
    return replace(one, score=made)


@settings(derandomize=True, database=None, deadline=None)
@given(fields(), st.integers(1, 6), st.randoms(use_true_random=False))
def test_whoever_is_displaced_is_so_by_somebodys_facts(
    field: tuple[CompetitionRules, list[Candidate]], seats: int, chance: random.Random
) -> None:
    """And nobody else is; with the facts of all of these put right, whose own have not changed is where they were."""
    given_rules, people = field
    before = [since(one) for one in people]
    now = [
        replace(one, score=since(scored_again(given_rules, one, "interview", Fraction(55))).score)
        if chance.random() < 0.5
        else one
        for one in before
    ]
    found = moved(given_rules, seats, before, now)
    seated, would_be = (
        {one.candidacy_id for one in within(rank(given_rules, "c-1", each), seats)} for each in (before, now)
    )
    assert found.keys() == seated ^ would_be
    for name, (within_seats, by) in found.items():
        assert within_seats == (name in would_be)
        assert by
        if name in by:
            continue
        put_right = [was if was.candidacy_id in by else one for was, one in zip(before, now, strict=True)]
        assert name not in moved(given_rules, seats, before, put_right)
