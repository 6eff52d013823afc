"""From readings to a month's score: exact, rounded only to be shown, each step with what it rests on. Pure."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import groupby

from libs.facts.adding import Counted, Judged, add_up
from libs.facts.values import decimal, format_value
from stepladder.performance.v1.facts_pb2 import RATING_UNSPECIFIED, Rating
from stepladder.performance.v1.kpi_pb2 import Kpi, Target
from stepladder.performance.v1.policy_pb2 import Policy, ScorecardPolicy
from stepladder.performance.v1.scorecard_pb2 import AdjustmentLine, Scorecard, ScorecardLine

HUNDRED = Fraction(100)


def scorecard(
    policy: Policy,
    kpis: Mapping[str, Kpi],
    readings: Mapping[str, Sequence[Counted]],
    target_on: Callable[[Counted], Target | None],
) -> Scorecard:
    """Scores one month under a policy; what identifies the card is left to the caller.

    Args:
        kpis: those that the policy names, at least.
        readings: of the month by KPI, in any order; none for a KPI without.
        target_on: the target for the work that a reading is about.
    """
    card = policy.scorecard
    lines: list[ScorecardLine] = []
    scored: list[tuple[ScorecardLine, Fraction, Fraction]] = []
    for item in card.items:
        line, score = _line(item, kpis[item.kpi_id], readings.get(item.kpi_id, ()), target_on)
        lines.append(line)
        if score is None and card.missing == ScorecardPolicy.MISSING_ZERO:
            score = Fraction()
        if score is not None:
            scored.append((line, score, Fraction(item.weight)))
    weights = sum((weight for _, _, weight in scored), Fraction())
    for line, score, weight in scored:
        line.score = decimal(score, 6)
        line.share = decimal(weight / weights * HUNDRED, 6)
    result = Scorecard(
        policy_id=policy.policy_id,
        policy_position=policy.log_position,
        lines=lines,
        normalized=sum(Fraction(item.weight) for item in card.items) != HUNDRED,
    )
    if not scored:
        return result
    total = sum((score * weight for _, score, weight in scored), Fraction()) / weights
    for adjustment in card.adjustments:
        kpi = kpis[adjustment.kpi_id]
        one = add_up(kpi, readings.get(adjustment.kpi_id, ()), lambda _: None)
        if one.value is None:
            continue
        points = one.value * Fraction(adjustment.factor)
        total += points
        result.adjustments.append(
            AdjustmentLine(
                kpi_id=adjustment.kpi_id,
                value=format_value(kpi, one.value),
                factor=adjustment.factor,
                points=decimal(points, 6),
                fact_positions=_positions(one.readings),
                disputed_positions=_positions(reading for reading in one.readings if reading.disputed),
            )
        )
    total = min(max(total, Fraction(card.bands[0].lower)), Fraction(card.bands[-1].upper))
    result.total = decimal(total, card.precision)
    result.rating = rating_of(card.bands, Fraction(result.total))
    return result


def _line(
    item: ScorecardPolicy.Item,
    kpi: Kpi,
    readings: Sequence[Counted],
    target_on: Callable[[Counted], Target | None],
) -> tuple[ScorecardLine, Fraction | None]:
    one = add_up(kpi, readings, target_on)
    if item.HasField("steps"):  # they need no target: every day counts
        one = replace(
            add_up(kpi, readings, lambda _: None), minimum=one.minimum, maximum=one.maximum, targets=one.targets
        )
    line = ScorecardLine(
        kpi_id=item.kpi_id,
        numerator=one.numerator,
        denominator=one.denominator,
        value=format_value(kpi, one.value) if one.value is not None else "",
        minimum=show_bound(one.minimum),
        maximum=show_bound(one.maximum),
        weight=item.weight,
        days=one.days,
        fact_positions=_positions(one.readings),
        target_positions=one.targets,
        disputed_positions=_positions(reading for reading in one.readings if reading.disputed),
    )
    if not readings:
        line.unscored = ScorecardLine.UNSCORED_NO_FACTS
    elif one.value is None:
        line.unscored = ScorecardLine.UNSCORED_ZERO_DENOMINATOR
    elif item.HasField("steps"):
        return line, step_score(item.steps.steps, one.value)
    elif one.minimum is None and one.maximum is None:
        line.unscored = ScorecardLine.UNSCORED_NO_TARGET
    else:
        return line, attainment(one, Fraction(item.attainment.cap or HUNDRED))
    return line, None


def attainment(one: Judged, cap: Fraction) -> Fraction:
    """How much of the target is attained, in per cent, from 0 to `cap`; 100 at the bound.

    Towards a minimum it is value / minimum, towards a maximum maximum / value. Inside a band it is 100, outside the
    share of the nearer bound. A bound of 0 or less, of which there is no share, is attained or not: 100 or 0.
    """
    value = one.value or Fraction()
    if one.minimum is not None and one.maximum is not None:
        if not one.missed:
            return HUNDRED
        share = _of_minimum(value, one.minimum) if value < one.minimum else _of_maximum(value, one.maximum, cap)
    elif one.minimum is not None:
        share = _of_minimum(value, one.minimum)
    else:
        share = _of_maximum(value, one.maximum or Fraction(), cap)
    return min(max(share, Fraction()), cap)


def _of_minimum(value: Fraction, minimum: Fraction) -> Fraction:
    if minimum <= 0:
        return HUNDRED if value >= minimum else Fraction()
    return value / minimum * HUNDRED


def _of_maximum(value: Fraction, maximum: Fraction, cap: Fraction) -> Fraction:
    if maximum <= 0:
        return HUNDRED if value <= maximum else Fraction()
    return maximum / value * HUNDRED if value > 0 else cap


def step_score(steps: Sequence[ScorecardPolicy.Step], value: Fraction) -> Fraction:
    """The score of the last step that begins at or below the value."""
    reached = [step for step in steps if not step.lower or Fraction(step.lower) <= value]
    return Fraction(reached[-1].score)


def rating_of(bands: Sequence[ScorecardPolicy.Band], total: Fraction) -> Rating.ValueType:
    """The rating of a total within the ends of the bands; a lower end belongs to its band."""
    return max((band.rating for band in bands if Fraction(band.lower) <= total), default=RATING_UNSPECIFIED)


def ranks(totals: Mapping[str, Fraction], ties: ScorecardPolicy.Ties.ValueType) -> dict[str, int]:
    """Places from 1 for the largest total; equal totals share one."""
    found: dict[str, int] = {}
    place = 1
    ordered = sorted(totals, key=lambda key: -totals[key])
    for _, group in groupby(ordered, key=lambda key: totals[key]):
        equal = list(group)
        found |= dict.fromkeys(equal, place)
        place += 1 if ties == ScorecardPolicy.TIES_DENSE else len(equal)
    return found


def show_bound(bound: Fraction | None) -> str:
    """A bound without needless zeros; empty for an open one."""
    if bound is None:
        return ""
    return decimal(bound, 9).rstrip("0").rstrip(".")


def _positions(readings: Iterable[Counted]) -> list[int]:
    return sorted({reading.log_position for reading in readings})
