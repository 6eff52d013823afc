"""Composite scores worked by hand: both examples, every band edge, every rule of rounding and of what is missing."""

import ast
import inspect
import random
from dataclasses import replace
from datetime import date
from fractions import Fraction
from types import ModuleType

import pytest
from google.protobuf.descriptor import FieldDescriptor
from hypothesis import given, settings
from hypothesis import strategies as st

from services.promotion import interviewing, ranking, scoring
from services.promotion.scoring import Given, Inputs, exact, fraction, rounded, score, shown, smallest, with_part
from stepladder.performance.v1.promotion_rules_pb2 import CompetitionRules
from stepladder.promotion.v1 import score_pb2, scoring_pb2
from stepladder.promotion.v1.score_pb2 import PartScore, Score
from tests.promotion.rules import EXAMPLE_B, interview, manager, peers, pm, rules, work

CLOSED = date(2026, 6, 15)
TOTALS = ("90", "91", "92.5", "88", "94", "95.5")  # December to May: 551 together

KNOWN = Inputs(
    closed=CLOSED,
    totals=[
        Given(month, Fraction(total), (100 + place,))
        for place, (month, total) in enumerate(
            zip(("2025-12", "2026-01", "2026-02", "2026-03", "2026-04", "2026-05"), TOTALS, strict=True)
        )
    ],
    kpis={("pm", 6): Given("2025-12 to 2026-05", Fraction(76), (201, 202))},
    interviews=[
        Given("i-1", Fraction(80), (301,)),
        Given("i-2", Fraction(85), (302,)),
        Given("i-3", Fraction(90), (303,)),
    ],
    manager=Given("m-1", Fraction(88), (401,)),
    peers=(3, Given("3", Fraction(260, 3), (501,))),
)


def by_part(made: Score) -> dict[str, PartScore]:
    return {part.part_id: part for part in made.parts}


def test_example_a_by_hand() -> None:
    """551/6 x 0.4 + 80 x 0.1 + 85 x 0.3 + 88 x 0.1 + 260/3 x 0.1 = 36.73… + 8 + 25.5 + 8.8 + 8.66… = 87.7."""
    made = score(rules(), KNOWN)
    assert {name: fraction(part.weighted) for name, part in by_part(made).items()} == {
        "work": Fraction(2204, 60),
        "pm": 8,
        "interview": Fraction("25.5"),
        "manager": Fraction("8.8"),
        "peers": Fraction(26, 3),
    }
    assert (made.total, fraction(made.exact_total)) == ("87.70", Fraction("87.7"))
    assert (made.weights, made.in_proportion) == ("100", False)


def test_example_b_adds_up_to_90_and_is_taken_in_proportion() -> None:
    """(36.73… + 25.5 + 8.8 + 8.66…) / 0.9 = 79.7 / 0.9 = 88.5555…, and the score says so."""
    made = score(rules(*EXAMPLE_B, normalize=True), KNOWN)
    assert (made.total, fraction(made.exact_total)) == ("88.56", Fraction(797, 9))
    assert (made.weights, made.in_proportion) == ("90", True)


@pytest.mark.parametrize(
    ("value", "points", "expected"),
    [
        ("-5", "0", 0),
        ("0", "0", 0),
        ("59.999", "0", 0),
        ("60", "6", 60),
        ("69.99", "6", 60),
        ("70", "8", 80),
        ("79.9", "8", 80),
        ("80", "10", 100),
        ("100", "10", 100),
        ("250", "10", 100),
    ],
)
def test_a_lower_end_belongs_to_its_band_and_an_upper_one_to_the_next(value: str, points: str, expected: int) -> None:
    inputs = replace(KNOWN, kpis={("pm", 6): Given("months", Fraction(value))})
    (part,) = score(rules(pm("100")), inputs).parts
    assert (part.band_points, part.full_points, fraction(part.score)) == (points, "10", Fraction(expected))
    assert fraction(part.source) == Fraction(value)


@pytest.mark.parametrize(
    ("value", "expected"), [("-3", "0"), ("0", "0"), ("41.25", "41.25"), ("100", "100"), ("131", "100")]
)
def test_without_bands_a_score_is_held_within_0_and_100_and_the_source_stays_as_it_is(
    value: str, expected: str
) -> None:
    inputs = replace(KNOWN, kpis={("pm", 6): Given("months", Fraction(value))})
    (part,) = score(rules(pm("100", bands=False)), inputs).parts
    assert (part.source.value, part.score.value) == (shown(Fraction(value)), expected)


HALF_UP, HALF_EVEN, DOWN = (
    CompetitionRules.ROUNDING_HALF_UP,
    CompetitionRules.ROUNDING_HALF_EVEN,
    CompetitionRules.ROUNDING_DOWN,
)


@pytest.mark.parametrize(
    ("value", "digits", "up", "even", "down"),
    [
        ("0.5", 0, "1", "0", "0"),
        ("1.5", 0, "2", "2", "1"),
        ("2.5", 0, "3", "2", "2"),
        ("2.4999", 0, "2", "2", "2"),
        ("2.5001", 0, "3", "3", "2"),
        ("87.125", 2, "87.13", "87.12", "87.12"),
        ("87.135", 2, "87.14", "87.14", "87.13"),
        ("87.1", 2, "87.10", "87.10", "87.10"),
        ("99.9999999", 6, "100.000000", "100.000000", "99.999999"),
        ("0", 3, "0.000", "0.000", "0.000"),
    ],
)
def test_every_rounding(value: str, digits: int, up: str, even: str, down: str) -> None:
    assert [rounded(Fraction(value), digits, rule) for rule in (HALF_UP, HALF_EVEN, DOWN)] == [up, even, down]


def test_it_is_rounded_once_at_the_end_unless_a_part_is() -> None:
    """Peers 86.666…: as it is, 26/3 of 30; rounded to a digit first, 86.7."""
    exactly = score(rules(peers("30"), manager("70")), KNOWN)
    assert (exactly.total, fraction(exactly.exact_total)) == ("87.60", 26 + Fraction("61.6"))
    by_digit = peers("30")
    by_digit.precision = 1
    first = score(rules(by_digit, manager("70")), KNOWN)
    assert (first.total, fraction(first.exact_total)) == ("87.61", Fraction("26.01") + Fraction("61.6"))
    assert fraction(by_part(first)["peers"].source) == Fraction(260, 3)
    down = score(rules(by_digit, manager("70"), rounding=DOWN), KNOWN)
    assert by_part(down)["peers"].score.value == "86.6"


def test_a_part_that_is_rounded_to_whole_numbers_is() -> None:
    whole = peers("100")
    whole.precision = 0
    assert by_part(score(rules(whole), KNOWN))["peers"].score.value == "87"


WITHOUT_PEERS = replace(KNOWN, peers=(2, None))


def test_a_missing_part_is_spread_over_the_others_and_the_score_shows_it() -> None:
    """(36.73… + 8 + 25.5 + 8.8) / 0.9 = 79.0333… / 0.9 = 87.8148…"""
    made = score(rules(missing=CompetitionRules.MISSING_SPREAD), WITHOUT_PEERS)
    assert (made.total, made.weights, made.in_proportion) == ("87.81", "90", True)
    assert fraction(made.exact_total) == Fraction(2371, 27)
    missing = by_part(made)["peers"]
    assert (missing.missing, missing.HasField("score"), missing.HasField("weighted")) == ("TOO_FEW_PEERS", False, False)


def test_a_missing_part_is_0() -> None:
    made = score(rules(missing=CompetitionRules.MISSING_ZERO), WITHOUT_PEERS)
    assert (made.total, made.weights, made.in_proportion) == ("79.03", "100", False)
    missing = by_part(made)["peers"]
    assert (missing.missing, fraction(missing.score), fraction(missing.weighted)) == (
        "TOO_FEW_PEERS",
        Fraction(),
        Fraction(),
    )
    assert not missing.HasField("source")


def test_a_missing_part_leaves_no_total_where_it_must_have_one() -> None:
    made = score(rules(missing=CompetitionRules.MISSING_REFUSED), WITHOUT_PEERS)
    assert (made.total, made.HasField("exact_total")) == ("", False)
    assert by_part(made)["work"].HasField("score")


def test_of_nothing_there_is_no_total() -> None:
    made = score(rules(missing=CompetitionRules.MISSING_SPREAD), Inputs(CLOSED))
    assert (made.total, made.weights) == ("", "0")
    assert {name: part.missing for name, part in by_part(made).items()} == {
        "work": "NO_SCORECARDS",
        "pm": "NO_FACTS",
        "interview": "NO_INTERVIEWS",
        "manager": "NO_REVIEW",
        "peers": "PEERS_NOT_CLOSED",
    }


@pytest.mark.parametrize(("minimum", "missing"), [(0, "NO_SCORECARDS"), (6, "NO_SCORECARDS"), (5, ""), (1, "")])
def test_months_without_a_scorecard_count_as_the_rules_say(minimum: int, missing: str) -> None:
    made = score(rules(work("100", minimum_months=minimum)), replace(KNOWN, totals=KNOWN.totals[1:]))
    (part,) = made.parts
    assert part.missing == missing
    assert [one.name for one in part.inputs] == ["2026-01", "2026-02", "2026-03", "2026-04", "2026-05"]
    if not missing:
        assert fraction(part.source) == Fraction(461, 5)


def test_only_the_full_months_before_applications_closed_count() -> None:
    more = [*KNOWN.totals, Given("2026-06", Fraction(0)), Given("2025-11", Fraction(0))]
    assert score(rules(), replace(KNOWN, totals=more)) == score(rules(), KNOWN)


@pytest.mark.parametrize(("interviewers", "peers_given"), [(1, 3), (2, 2)])
def test_fewer_interviewers_or_peers_than_the_rules_ask_for_are_no_score(interviewers: int, peers_given: int) -> None:
    inputs = replace(KNOWN, interviews=KNOWN.interviews[:interviewers], peers=(peers_given, Given("", Fraction(80))))
    made = by_part(score(rules(interview("50"), peers("50")), inputs))
    assert made["interview"].missing == ("NO_INTERVIEWS" if interviewers < 2 else "")
    assert made["peers"].missing == ("TOO_FEW_PEERS" if peers_given < 3 else "")


def test_every_input_is_there_with_what_it_rests_on() -> None:
    disputed = replace(
        KNOWN, interviews=[replace(KNOWN.interviews[0], positions=(9, 7, 9), disputed=True), *KNOWN.interviews[1:]]
    )
    first, *_ = by_part(score(rules(), disputed))["interview"].inputs
    assert (first.name, first.value.value, list(first.positions), first.disputed) == ("i-1", "80", [7, 9], True)


def test_one_part_may_be_put_in_another_place() -> None:
    made = score(rules(), KNOWN)
    assert with_part(rules(), made, "manager", Fraction(100)).total == "88.90"
    assert with_part(rules(), made, "manager", Fraction(88)) == made
    spread = score(rules(missing=CompetitionRules.MISSING_SPREAD), WITHOUT_PEERS)
    mended = with_part(rules(missing=CompetitionRules.MISSING_SPREAD), spread, "peers", Fraction(260, 3))
    assert (mended.total, mended.in_proportion) == ("87.70", False)


def test_the_smallest_score_is_one_that_the_part_can_have() -> None:
    given = rules()
    assert smallest(given, pm(), lambda value: value >= 61) == 80
    assert smallest(given, manager(), lambda value: value >= Fraction(200, 3)) == Fraction("66.666667")
    whole = manager()
    whole.precision = 0
    assert smallest(given, whole, lambda value: value > 66) == 67
    assert smallest(given, whole, lambda value: value >= 0) == 0
    assert smallest(given, whole, lambda value: value >= 100) == 100
    assert smallest(given, whole, lambda _: False) is None
    assert smallest(given, pm(), lambda _: False) is None


numbers = st.fractions(min_value=-20, max_value=130, max_denominator=997)
named = st.lists(st.tuples(st.sampled_from([f"2025-{month:02}" for month in range(1, 13)]), numbers), max_size=12)


@st.composite
def competitions(draw: st.DrawFn) -> tuple[CompetitionRules, Inputs]:
    parts = [
        draw(st.builds(work, months=st.integers(1, 12), minimum_months=st.integers(0, 12))),
        draw(st.builds(pm, bands=st.booleans())),
        interview(),
        manager(),
        peers(),
    ]
    for part in parts:
        part.weight = draw(st.sampled_from(["0.5", "7", "33.333333333", "100"]))
        if draw(st.booleans()):
            part.precision = draw(st.integers(0, 6))
    given_rules = rules(
        *draw(st.lists(st.sampled_from(parts), min_size=1, unique_by=lambda part: part.part_id)),
        normalize=draw(st.booleans()),
        missing=draw(st.sampled_from([1, 2, 3])),  # type: ignore[arg-type]
        precision=draw(st.integers(0, 6)),
        rounding=draw(st.sampled_from([HALF_UP, HALF_EVEN, DOWN])),
    )
    totals = [Given(name, value, (place,)) for place, (name, value) in enumerate(dict(draw(named)).items())]
    inputs = Inputs(
        closed=date(2026, 1, 10),
        totals=totals,
        kpis={("pm", 6): Given("months", draw(numbers))} if draw(st.booleans()) else {},
        interviews=[Given(f"i-{place}", value) for place, value in enumerate(draw(st.lists(numbers, max_size=5)))],
        manager=draw(st.none() | st.builds(Given, st.just("m"), numbers)),
        peers=draw(st.none() | st.tuples(st.integers(0, 9), st.none() | st.builds(Given, st.just("9"), numbers))),
    )
    return given_rules, inputs


@settings(derandomize=True, database=None, deadline=None)
@given(competitions(), st.randoms(use_true_random=False))
def test_the_order_of_inputs_does_not_matter(case: tuple[CompetitionRules, Inputs], chance: random.Random) -> None:
    given_rules, inputs = case
    totals, interviews = list(inputs.totals), list(inputs.interviews)
    chance.shuffle(totals)
    chance.shuffle(interviews)
    assert score(given_rules, replace(inputs, totals=totals, interviews=interviews)) == score(given_rules, inputs)


@settings(derandomize=True, database=None, deadline=None)
@given(competitions())
def test_anybody_can_add_it_up_again(case: tuple[CompetitionRules, Inputs]) -> None:
    """What every part adds is the total before rounding; scores lie within 0 and 100, and so does the total."""
    given_rules, inputs = case
    made = score(given_rules, inputs)
    weights = sum((Fraction(part.weight) for part in made.parts if part.HasField("score")), Fraction())
    assert made.weights == shown(weights, 9)
    if not made.total:
        assert not made.HasField("exact_total")
        return
    added = Fraction()
    for part in made.parts:
        if part.HasField("score"):
            assert 0 <= fraction(part.score) <= 100
            assert fraction(part.weighted) == fraction(part.score) * Fraction(part.weight) / weights
            added += fraction(part.weighted)
    assert added == fraction(made.exact_total)
    assert 0 <= Fraction(made.total) <= 100
    assert abs(Fraction(made.total) - added) < Fraction(1, 10**given_rules.precision)


@settings(derandomize=True, database=None, deadline=None)
@given(st.fractions())
def test_an_exact_number_comes_back_as_it_was(value: Fraction) -> None:
    assert fraction(exact(value)) == value


@pytest.mark.parametrize("module", [scoring, ranking, interviewing])
def test_no_score_is_reckoned_with_floats(module: ModuleType) -> None:
    tree = ast.parse(inspect.getsource(module))
    assert not [
        node.lineno for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, float)
    ]
    assert not [
        node.lineno for node in ast.walk(tree) if isinstance(node, ast.Name) and node.id in ("float", "statistics")
    ]


def test_there_is_no_float_in_any_contract_of_scores() -> None:
    binary = {FieldDescriptor.CPPTYPE_FLOAT, FieldDescriptor.CPPTYPE_DOUBLE}
    seen = [message for file in (score_pb2, scoring_pb2) for message in file.DESCRIPTOR.message_types_by_name.values()]
    for message in seen:
        seen += message.nested_types
        assert not [field.full_name for field in message.fields if field.cpp_type in binary]
