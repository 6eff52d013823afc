"""What readings add up to, and the bounds that the targets of their days add up to: exact. Pure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import NamedTuple

from libs.facts.values import kpi_value
from stepladder.performance.v1.kpi_pb2 import Kpi, Target


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
