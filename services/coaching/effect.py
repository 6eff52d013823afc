"""What was measured before, during and after coaching, in groups, with how sure one can be of it. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import comb
from statistics import median

from libs.facts.values import format_value
from stepladder.coaching.v1.effect_pb2 import Change, EffectGroup
from stepladder.coaching.v1.measure_pb2 import Measure
from stepladder.performance.v1.kpi_pb2 import Kpi

CONFIDENCE = Fraction(95, 100)


@dataclass(frozen=True, slots=True)
class Case:
    """A measure of an employee, exact, in its unit; `during` is None where nothing was recorded.

    `upwards` says whether more is towards the goal.
    """

    employee_id: str
    upwards: bool
    before: Fraction
    during: Fraction | None
    after: Fraction

    @property
    def change(self) -> Fraction:
        """How far it went towards the goal; negative: away from it."""
        return (self.after - self.before) * (1 if self.upwards else -1)


def groups_of(
    cases: Mapping[str, Sequence[Case]], kpi: Kpi, measure: Measure, smallest: int, *, coached: bool
) -> list[EffectGroup]:
    """Cases of a measure by the name of their group.

    A group of too few people is not shown, nor is one that has all cases but those of too few, nor the next larger one
    while those not shown are too few together: they could be told from the others and the whole.

    Args:
        kpi: the measure's definition.
        smallest: how many people a group must have to be shown.
    """
    every = {id(case): case for of_group in cases.values() for case in of_group}  # one may be in several groups
    by_size = sorted(cases, key=lambda name: (len(people(cases[name])), name))
    hidden: set[str] = set()
    for name in by_size:
        unseen = {one for other in hidden for one in people(cases[other])}
        mine = {id(case) for case in cases[name]}
        others = people(case for key, case in every.items() if key not in mine)
        if len(people(cases[name])) < smallest or any(0 < len(few) < smallest for few in (unseen, others)):
            hidden.add(name)
    return [
        EffectGroup(measure=measure, group=name, not_coached=not coached, suppressed=True)
        if name in hidden
        else _shown(cases[name], kpi, EffectGroup(measure=measure, group=name, not_coached=not coached))
        for name in sorted(cases)
    ]


def people(cases: Iterable[Case]) -> set[str]:
    return {case.employee_id for case in cases}


def _shown(cases: Sequence[Case], kpi: Kpi, group: EffectGroup) -> EffectGroup:
    changes = [case.change for case in cases]
    by_person: dict[str, list[Fraction]] = {}
    for case in cases:
        by_person.setdefault(case.employee_id, []).append(case.change)
    group.cases, group.employees = len(cases), len(people(cases))
    group.before = _middle(kpi, (case.before for case in cases))
    group.during = _middle(kpi, (case.during for case in cases if case.during is not None))
    group.after = _middle(kpi, (case.after for case in cases))
    group.change.CopyFrom(change_of([median(own) for own in by_person.values()], kpi))
    group.better = sum(change > 0 for change in changes)
    group.same = sum(change == 0 for change in changes)
    group.worse = sum(change < 0 for change in changes)
    return group


def change_of(changes: Sequence[Fraction], kpi: Kpi) -> Change:
    """The median of people's differences, and an interval in which that of all such people lies.

    Each person counts once: several cases of one tell less than as many of others. See `Change` for the source.
    """
    ordered = sorted(changes)
    change = Change(median=_middle(kpi, ordered))
    if rank := interval_rank(len(ordered)):
        change.lower = format_value(kpi, ordered[rank - 1])
        change.upper = format_value(kpi, ordered[-rank])
        change.confidence = f"{float(confidence(len(ordered), rank) * 100):.1f}"
    return change


def interval_rank(cases: int) -> int:
    """The largest rank k for which the k-th smallest and k-th largest value enclose the median with 95 % confidence.

    0: there is none.
    """
    rank = 0
    while rank < cases // 2 and confidence(cases, rank + 1) >= CONFIDENCE:
        rank += 1
    return rank


def confidence(cases: int, rank: int) -> Fraction:
    """The chance that so many values have their median between the k-th smallest and the k-th largest of them.

    It is not there only if fewer than k values lie on one side of it, each with a chance of 1/2.
    """
    return 1 - 2 * Fraction(sum(comb(cases, below) for below in range(rank)), 2**cases)


def _middle(kpi: Kpi, values: Iterable[Fraction]) -> str:
    found = list(values)
    return format_value(kpi, median(found)) if found else ""
