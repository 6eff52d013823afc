"""Scores worked by hand: every rule of arithmetic, every edge."""

from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import TypeAlias

import pytest

from libs.facts.adding import Counted, add_up
from libs.facts.values import decimal
from services.performance.scoring import attainment, ranks, rating_of, scorecard, show_bound, step_score
from stepladder.performance.v1.facts_pb2 import (
    RATING_EXCELLENT,
    RATING_GOOD,
    RATING_QUALIFIED,
    RATING_UNSPECIFIED,
)
from stepladder.performance.v1.kpi_pb2 import Kpi, Target
from stepladder.performance.v1.policy_pb2 import Policy, ScorecardPolicy
from stepladder.performance.v1.scorecard_pb2 import ScorecardLine

Item: TypeAlias = ScorecardPolicy.Item
Band: TypeAlias = ScorecardPolicy.Band
Step: TypeAlias = ScorecardPolicy.Step


def kpi(
    kpi_id: str,
    aggregation: "Kpi.Aggregation.ValueType" = Kpi.AGGREGATION_RATIO,
    direction: "Kpi.Direction.ValueType" = Kpi.DIRECTION_HIGHER,
) -> Kpi:
    scale = 100 if aggregation == Kpi.AGGREGATION_RATIO else 1
    return Kpi(
        kpi_id=kpi_id,
        direction=direction,
        aggregation=aggregation,
        scale_numerator=scale,
        scale_denominator=1,
        precision=1,
    )


CSAT, VOLUME = kpi("csat"), kpi("volume", Kpi.AGGREGATION_SUM)
FIRST = kpi("first", Kpi.AGGREGATION_MINIMUM, Kpi.DIRECTION_LOWER)


def reading(day: int, numerator: int, denominator: int = 0, position: int = 0, source: str = "calls") -> Counted:
    return Counted("e-1", f"2026-02-{day:02}", source, "", numerator, denominator, position or 100 + day)


def bounds(minimum: str = "", maximum: str = "", position: int = 1, *, per_day: bool = False) -> Target:
    return Target(minimum=minimum, maximum=maximum, log_position=position, per_day=per_day)


def always(target: Target | None) -> Callable[[Counted], Target | None]:
    return lambda _: target


def until(day: int, before: Target | None, after: Target | None) -> Callable[[Counted], Target | None]:
    return lambda one: before if one.date < f"2026-02-{day:02}" else after


def test_a_ratio() -> None:
    """Numerators over denominators, whatever the days'; the bound is the target's."""
    one = add_up(CSAT, [reading(2, 9, 10), reading(3, 50, 100)], always(bounds("90")))
    assert (one.numerator, one.denominator, one.days, one.value) == (59, 110, 2, Fraction(5900, 110))
    assert (one.minimum, one.maximum, one.missed) == (Fraction(90), None, True)


def test_a_target_changed_within_the_period() -> None:
    """Each day counts under its own: the bound is met exactly when the days' bounds are on the whole."""
    days = [reading(2, 80, 100), reading(20, 285, 300)]
    one = add_up(CSAT, days, until(15, bounds("80", position=1), bounds("95", position=2)))
    assert one.minimum == Fraction(80 * 100 + 95 * 300, 400) == one.value
    assert not one.missed
    assert one.targets == (1, 2)
    worse = add_up(CSAT, [reading(2, 79, 100), days[1]], until(15, bounds("80", position=1), bounds("95", position=2)))
    assert worse.missed


def test_days_without_a_target_do_not_count_where_others_have_one() -> None:
    """Nothing was expected of them."""
    one = add_up(CSAT, [reading(2, 0, 100), reading(20, 95, 100)], until(15, None, bounds("90")))
    assert (one.value, one.days, one.missed) == (Fraction(95), 1, False)
    assert add_up(CSAT, [reading(2, 0, 100), reading(20, 95, 100)], always(None)).value == Fraction(95, 2)


def test_a_target_open_on_one_side_for_some_days() -> None:
    """Is open on that side: a day without a minimum allows anything below."""
    one = add_up(CSAT, [reading(2, 1, 10), reading(20, 9, 10)], until(15, bounds("", "50", 1), bounds("40", "60", 2)))
    assert (one.minimum, one.maximum) == (None, Fraction(55))


def test_sums() -> None:
    """A bound per day is taken as often as there are days with readings; another is for any period."""
    days = [reading(2, 30), reading(3, 50), reading(3, 5, source="chats")]
    assert add_up(VOLUME, days, always(bounds("40", per_day=True))).minimum == 80
    assert add_up(VOLUME, days, always(bounds("40"))).minimum == 40
    assert add_up(VOLUME, days, always(bounds("40"))).value == 85
    changed = until(3, bounds("40", position=1, per_day=True), bounds("45", position=2, per_day=True))
    assert add_up(VOLUME, days, changed).minimum == 85
    mixed = until(3, bounds("40", position=1), bounds("45", position=2, per_day=True))
    assert add_up(VOLUME, days, mixed).minimum is None  # a bound for any period cannot be added to one for a day


def test_the_least_and_the_most() -> None:
    """Are held to the target of the last day."""
    one = add_up(FIRST, [reading(2, 30), reading(20, 50)], until(15, bounds("", "40", 1), bounds("", "35", 2)))
    assert (one.value, one.maximum, one.missed) == (Fraction(30), Fraction(35), False)


@pytest.mark.parametrize("readings", [[], [reading(2, 0, 0)]])
def test_nothing_out_of_nothing(readings: list[Counted]) -> None:
    """No facts, or a denominator of 0: no value, nothing missed."""
    one = add_up(CSAT, readings, always(bounds("90")))
    assert one.value is None
    assert not one.missed


def test_a_kpi_that_is_only_shown() -> None:
    """Has no bounds."""
    shown = kpi("shown", direction=Kpi.DIRECTION_NONE)
    assert add_up(shown, [reading(2, 1, 100)], always(bounds("90"))).minimum is None


@pytest.mark.parametrize(
    ("value", "minimum", "maximum", "missed"),
    [
        (Fraction(95), "95", "", False),
        (Fraction(95) - Fraction(1, 10**12), "95", "", True),
        (Fraction(306, 100), "", "3.06", False),
        (Fraction(551, 180), "", "3.06", True),
        (Fraction(3), "2.5", "3.5", False),
        (Fraction(4), "2.5", "3.5", True),
    ],
)
def test_missed(value: Fraction, minimum: str, maximum: str, missed: bool) -> None:
    """Bounds are inclusive and compared with the exact value, never with the one shown."""
    exact = kpi("exact")
    exact.scale_numerator = 1
    one = add_up(exact, [reading(2, value.numerator, value.denominator)], always(bounds(minimum, maximum)))
    assert one.missed == missed


@pytest.mark.parametrize(
    ("value", "minimum", "maximum", "cap", "score"),
    [
        ("90", "90", "", "100", "100"),
        ("45", "90", "", "100", "50"),
        ("99", "90", "", "100", "100"),
        ("99", "90", "", "120", "110"),
        ("200", "90", "", "120", "120"),
        ("-9", "90", "", "100", "0"),
        ("5", "0", "", "100", "100"),
        ("-1", "0", "", "100", "0"),
        ("4", "", "4", "100", "100"),
        ("8", "", "4", "100", "50"),
        ("2", "", "4", "150", "150"),
        ("0", "", "4", "150", "150"),
        ("0", "", "0", "150", "100"),
        ("1", "", "0", "150", "0"),
        ("3", "2", "4", "150", "100"),
        ("1", "2", "4", "150", "50"),
        ("5", "2", "4", "150", "80"),
    ],
)
def test_attainment(value: str, minimum: str, maximum: str, cap: str, score: str) -> None:
    """In per cent of the target; a cap; a band; bounds of 0 or less."""
    shown = kpi("x")
    shown.scale_numerator = 1
    number = Fraction(value)
    one = add_up(shown, [reading(2, number.numerator, number.denominator)], always(bounds(minimum, maximum)))
    assert attainment(one, Fraction(cap)) == Fraction(score)


@pytest.mark.parametrize(("value", "score"), [("-5", "10"), ("2.99", "10"), ("3", "20"), ("4", "5"), ("99", "5")])
def test_steps(value: str, score: str) -> None:
    """A step begins at its lower end."""
    steps = [Step(score="10"), Step(lower="3", score="20"), Step(lower="4", score="5")]
    assert step_score(steps, Fraction(value)) == Fraction(score)


BANDS = [
    Band(rating=RATING_QUALIFIED, lower="0", upper="80"),
    Band(rating=RATING_GOOD, lower="80", upper="90"),
    Band(rating=RATING_EXCELLENT, lower="90", upper="100"),
]


@pytest.mark.parametrize(
    ("total", "rating"),
    [
        ("0", RATING_QUALIFIED),
        ("79.9", RATING_QUALIFIED),
        ("80", RATING_GOOD),
        ("90", RATING_EXCELLENT),
        ("100", RATING_EXCELLENT),
    ],
)
def test_band_edges(total: str, rating: int) -> None:
    """A lower end belongs to its band, the last band is closed."""
    assert rating_of(BANDS, Fraction(total)) == rating


def policy(*items: Item, **other: object) -> Policy:
    card = ScorecardPolicy(items=items, bands=BANDS, precision=1, missing=ScorecardPolicy.MISSING_SPREAD)
    card.MergeFrom(ScorecardPolicy(**other))  # type: ignore[arg-type] # names and values of fields
    return Policy(policy_id="agents", log_position=9, scorecard=card)


def attained(kpi_id: str, weight: str) -> Item:
    return Item(kpi_id=kpi_id, weight=weight, attainment=ScorecardPolicy.Attainment())


KPIS = {"csat": CSAT, "volume": VOLUME, "points": kpi("points", Kpi.AGGREGATION_SUM)}
READINGS: dict[str, Sequence[Counted]] = {"csat": [reading(2, 81, 100)], "volume": [reading(2, 50)]}


def target_on(one: Counted) -> Target:
    return bounds("90" if one.denominator else "100", position=7)


def test_a_scorecard() -> None:
    """81 of 90 is 90 points, 50 of 100 is 50: 0.6 × 90 + 0.4 × 50 = 74."""
    card = scorecard(policy(attained("csat", "60"), attained("volume", "40")), KPIS, READINGS, target_on)
    assert (card.total, card.rating, card.normalized) == ("74.0", RATING_QUALIFIED, False)
    assert (card.policy_id, card.policy_position) == ("agents", 9)
    assert card.lines[0] == ScorecardLine(
        kpi_id="csat",
        numerator=81,
        denominator=100,
        value="81.0",
        minimum="90",
        weight="60",
        share="60.000000",
        score="90.000000",
        days=1,
        fact_positions=[102],
        target_positions=[7],
    )


def test_the_rating_is_that_of_the_total_as_shown() -> None:
    """79.95 is shown as 80.0, so it is good."""
    readings = {"csat": [reading(2, 7995, 10000)]}
    steps = ScorecardPolicy.Attainment(cap="100")
    item = Item(kpi_id="csat", weight="100", attainment=steps)
    card = scorecard(policy(item), KPIS, readings, always(bounds("100")))
    assert (card.total, card.rating) == ("80.0", RATING_GOOD)


def test_a_kpi_without_a_score() -> None:
    """Its weight goes to the others, or it scores 0; the reason is said."""
    items = attained("csat", "60"), attained("volume", "40")
    only = {"csat": READINGS["csat"]}
    spread = scorecard(policy(*items), KPIS, only, target_on)
    assert (spread.total, spread.lines[0].share, spread.lines[1].share) == ("90.0", "100.000000", "")
    assert spread.lines[1].unscored == ScorecardLine.UNSCORED_NO_FACTS
    zero = scorecard(policy(*items, missing=ScorecardPolicy.MISSING_ZERO), KPIS, only, target_on)
    assert (zero.total, zero.lines[1].share, zero.lines[1].score) == ("54.0", "40.000000", "0.000000")
    empty = scorecard(policy(*items), KPIS, {"csat": [reading(2, 0, 0)]}, target_on)
    assert empty.lines[0].unscored == ScorecardLine.UNSCORED_ZERO_DENOMINATOR
    assert (empty.total, empty.rating) == ("", RATING_UNSPECIFIED)
    aimless = scorecard(policy(*items), KPIS, READINGS, always(None))
    assert [line.unscored for line in aimless.lines] == [ScorecardLine.UNSCORED_NO_TARGET] * 2


def test_steps_count_every_day() -> None:
    """They need no target: that some days have one leaves the others in."""
    steps = ScorecardPolicy.Steps(steps=[Step(score="10"), Step(lower="50", score="60")])
    days = {"csat": [reading(2, 0, 100), reading(20, 60, 100)]}
    card = scorecard(policy(Item(kpi_id="csat", weight="100", steps=steps)), KPIS, days, until(15, None, bounds("40")))
    assert (card.lines[0].value, card.lines[0].days, card.total) == ("30.0", 2, "10.0")


def test_a_line_rests_on_what_it_counts() -> None:
    """A day left out for want of a target is no part of the evidence, and its dispute is none of the line's."""
    left_out = reading(2, 0, 100)._replace(disputed=True)
    days = {"csat": [left_out, reading(20, 95, 100)]}
    card = scorecard(policy(attained("csat", "100")), KPIS, days, until(15, None, bounds("40")))
    assert (list(card.lines[0].fact_positions), list(card.lines[0].disputed_positions)) == ([120], [])


def test_weights_in_proportion() -> None:
    """Example B: 90 in all, each taken for its ninetieth, and the card says so."""
    card = scorecard(
        policy(attained("csat", "60"), attained("volume", "30"), normalize=True), KPIS, READINGS, target_on
    )
    assert card.normalized
    assert [line.share for line in card.lines] == ["66.666667", "33.333333"]
    assert card.total == "76.7"  # (60 × 90 + 30 × 50) / 90


def test_adjustments() -> None:
    """Points are taken off, down to the bottom of the bands, and named with what they rest on."""
    one = policy(attained("csat", "100"), adjustments=[ScorecardPolicy.Adjustment(kpi_id="points", factor="-1.5")])
    card = scorecard(one, KPIS, {**READINGS, "points": [reading(5, 3), reading(6, 1)]}, target_on)
    assert card.total == "84.0"
    (line,) = card.adjustments
    assert (line.value, line.points, list(line.fact_positions)) == ("4.0", "-6.000000", [105, 106])
    worst = scorecard(one, KPIS, {**READINGS, "points": [reading(5, 300)]}, target_on)
    assert worst.total == "0.0"
    assert not scorecard(one, KPIS, READINGS, target_on).adjustments


def test_disputed_readings_are_named() -> None:
    contested = reading(3, 9, 10)._replace(disputed=True)
    card = scorecard(policy(attained("csat", "100")), KPIS, {"csat": [reading(2, 9, 10), contested]}, target_on)
    assert list(card.lines[0].disputed_positions) == [103]


def test_the_order_of_facts_does_not_matter() -> None:
    """Readings come in any order."""
    readings = [reading(day, day, 30) for day in range(1, 20)]
    cards = [
        scorecard(policy(attained("csat", "100")), KPIS, {"csat": some}, target_on)
        for some in (readings, readings[::-1])
    ]
    assert cards[0] == cards[1]


@pytest.mark.parametrize(
    ("ties", "places"), [(ScorecardPolicy.TIES_STANDARD, [1, 2, 2, 4]), (ScorecardPolicy.TIES_DENSE, [1, 2, 2, 3])]
)
def test_ranks(ties: "ScorecardPolicy.Ties.ValueType", places: list[int]) -> None:
    """Equal totals share a place."""
    totals = {"c": Fraction(80), "a": Fraction(90), "b": Fraction(80), "d": Fraction(7)}
    found = ranks(totals, ties)
    assert [found[one] for one in "abcd"] == places
    assert ranks({"a": Fraction(1)}, ties) == {"a": 1}
    assert ranks({}, ties) == {}


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [("0.05", 1, "0.1"), ("-0.05", 1, "-0.1"), ("-0.04", 1, "0.0"), ("2.5", 0, "3"), ("1/3", 6, "0.333333")],
)
def test_rounding(value: str, digits: int, text: str) -> None:
    """Half up, away from zero; every digit written."""
    assert decimal(Fraction(value), digits) == text


@pytest.mark.parametrize(("bound", "text"), [("100", "100"), ("0", "0"), ("2.50", "2.5"), ("1/3", "0.333333333")])
def test_bounds_are_shown_short(bound: str, text: str) -> None:
    assert show_bound(Fraction(bound)) == text
