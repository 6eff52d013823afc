"""From readings to a month's score: exact, rounded only to be shown, each step with what it rests on. Pure."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import groupby
from typing import NamedTuple

from services.performance.kpi import decimal, format_value, kpi_value
from stepladder.performance.v1.facts_pb2 import RATING_UNSPECIFIED, Rating
from stepladder.performance.v1.kpi_pb2 import Kpi, Target
from stepladder.performance.v1.policy_pb2 import Policy, ScorecardPolicy
from stepladder.performance.v1.scorecard_pb2 import AdjustmentLine, Scorecard, ScorecardLine

HUNDRED = Fraction(100)


class Counted(NamedTuple):
    """What one source says of one KPI on an employee's day; `log_position` of the event that says so.

    No message: hundreds of thousands of them are added up when a month is closed.
    """

    employee_id: str
    date: str
    source: str
    kpi_id: str
    numerator: int
    denominator: int
    log_position: int
    disputed: bool = False


@dataclass(frozen=True, slots=True)
class Judged:
    """What readings add up to under a KPI, and the bounds that the targets of their days add up to.

    `value`, `minimum` and `maximum` are in the KPI's unit; None: there is none. `readings` are those that counted,
    `targets` the positions of their days' targets, ascending.
    """

    numerator: int
    denominator: int
    value: Fraction | None
    days: int
    minimum: Fraction | None
    maximum: Fraction | None
    targets: tuple[int, ...]
    readings: Sequence[Counted]

    @property
    def missed(self) -> bool:
        """Whether the value lies outside the bounds, both inclusive. Compares exact values."""
        return self.value is not None and (
            (self.minimum is not None and self.value < self.minimum)
            or (self.maximum is not None and self.value > self.maximum)
        )


class Portion(NamedTuple):
    """Some days' work on a KPI, added up, with the target of all of those days (None: they have none).

    `days` counts the days of each employee; `last_date` is the latest of them.
    """

    numerator: int
    denominator: int
    days: int
    last_date: str
    target: Target | None = None


def add_up(kpi: Kpi, readings: Sequence[Counted], target_on: Callable[[Counted], Target | None]) -> Judged:
    """Adds readings up, and the targets of their days in the same way: see `add_portions`."""
    pairs = [(reading, target_on(reading)) for reading in readings]
    if judged := [(reading, target) for reading, target in pairs if target is not None]:
        readings = [reading for reading, _ in judged]
    by_target: dict[int, tuple[Target | None, list[Counted]]] = {}
    if judged:  # first the target of the last day
        last = max(judged, key=lambda pair: pair[0].date)[1]
        by_target[last.log_position] = (last, [])
    for reading, target in judged or pairs:
        by_target.setdefault(target.log_position if target else 0, (target, []))[1].append(reading)
    whole = add_portions(kpi, [_portion(kpi, those, target) for target, those in by_target.values()])
    return replace(whole, days=len({one.date for one in readings}), readings=readings)


def _portion(kpi: Kpi, readings: Sequence[Counted], target: Target | None) -> Portion:
    return Portion(
        combined(kpi, [one.numerator for one in readings]),
        sum([one.denominator for one in readings]),
        len({(one.employee_id, one.date) for one in readings}),
        max(one.date for one in readings),
        target,
    )


def combined(kpi: Kpi, numerators: Sequence[int]) -> int:
    """What numerators come to under a KPI's aggregation; 0 without any."""
    combine = {Kpi.AGGREGATION_MINIMUM: min, Kpi.AGGREGATION_MAXIMUM: max}.get(kpi.aggregation, sum)
    return combine(numerators) if numerators else 0


def add_portions(kpi: Kpi, portions: Sequence[Portion]) -> Judged:
    """Adds portions up, and the targets of their days in the same way; `readings` is left empty.

    Where any day has a target, only days with one count. A ratio's bound is the mean of the days' bounds weighted by
    their denominators, so that the value is on it exactly if the numerators are; a sum's is the sum of the days', where
    they are per day; any other KPI's, and any other sum's, is that of the last day.
    """
    judged = [one for one in portions if one.target is not None]
    portions = judged or portions
    numerator = combined(kpi, [one.numerator for one in portions])
    denominator = sum([one.denominator for one in portions])
    shares = _shares(kpi, judged)
    return Judged(
        numerator=numerator,
        denominator=denominator,
        value=kpi_value(kpi, numerator, denominator) if portions else None,
        days=sum([one.days for one in portions]),
        minimum=_bound(shares, lambda target: target.minimum),
        maximum=_bound(shares, lambda target: target.maximum),
        targets=tuple(sorted({one.target.log_position for one in judged if one.target})),
        readings=(),
    )


def _shares(kpi: Kpi, portions: Sequence[Portion]) -> list[tuple[Target, Fraction]]:
    """How often each target's bounds count in those of the whole."""
    targets = [(one, one.target) for one in portions if one.target]
    if not targets or kpi.direction == Kpi.DIRECTION_NONE:
        return []
    last = max(targets, key=lambda pair: pair[0].last_date)[1]
    if kpi.aggregation == Kpi.AGGREGATION_RATIO:
        if whole := sum(one.denominator for one in portions):
            return [(target, Fraction(one.denominator, whole)) for one, target in targets if one.denominator]
    elif kpi.aggregation == Kpi.AGGREGATION_SUM and last.per_day:
        if not all(target.per_day for _, target in targets):
            return []  # a bound for any period cannot be added to one for a day
        return [(target, Fraction(one.days)) for one, target in targets]
    return [(last, Fraction(1))]


def _bound(shares: Sequence[tuple[Target, Fraction]], end: Callable[[Target], str]) -> Fraction | None:
    """None if any of the targets is open at that end."""
    if not shares or not all(end(target) for target, _ in shares):
        return None
    return sum([Fraction(end(target)) * share for target, share in shares], Fraction())


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
