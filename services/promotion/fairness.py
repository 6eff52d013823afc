"""Selection rates of groups at each stage, and what of them may be told without telling of anybody. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import chain
from math import comb

from libs.facts.values import decimal
from stepladder.promotion.v1.fairness_pb2 import AdverseImpact, Fairness, GroupRate, StageRates

Stage = StageRates.Stage
STAGES: Sequence[Stage.ValueType] = [stage for stage in Stage.values() if stage > StageRates.STAGE_OVERALL]
"""In their order, without the one from end to end."""

FOUR_FIFTHS = Fraction(4, 5)
"""29 CFR 1607.4 D: a rate under four fifths of the highest group's is generally evidence of adverse impact."""
RATE_DIGITS, PROBABILITY_DIGITS = 4, 6
SMALLEST_GROUP = 5
"""Where the rules say no other number."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """What became of somebody in a competition.

    Attributes:
        employee_id: whoever is in several competitions of a unit is one person there.
        found: whether they got through each stage of which that is known.
        withdrew: ended by themself.
        refused: ended by others.
        groups: by dimension.
    """

    employee_id: str
    found: Mapping[Stage.ValueType, bool]
    withdrew: bool = False
    refused: bool = False
    groups: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Count:
    """Who came to a stage, and who of them got through it."""

    came: int = 0
    passed: int = 0

    def __add__(self, other: "Count") -> "Count":
        return Count(self.came + other.came, self.passed + other.passed)

    def __sub__(self, other: "Count") -> "Count":
        return Count(self.came - other.came, self.passed - other.passed)

    @property
    def rate(self) -> Fraction:
        return Fraction(self.passed, self.came)

    def telling(self, smallest: int) -> bool:
        """Whether it tells of so few people that it tells of somebody: who came, who got through, or who did not."""
        return any(0 < abs(number) < smallest for number in (self.came, self.passed, self.came - self.passed))


@dataclass(frozen=True, slots=True)
class Chosen:
    """Whether somebody is selected under the rules in force, and under those tried; groups by dimension."""

    before: bool
    after: bool
    groups: Mapping[str, str]


_ONE = {False: Count(1, 0), True: Count(1, 1)}

Counts = Mapping[tuple[str, Stage.ValueType], Mapping[str, Count]]
"""By dimension and stage, then group; the empty one is of those who declared none."""


@dataclass(frozen=True, slots=True)
class Unit:
    """Candidates that are looked at together: of a competition, with its smallest group, or those of all parts.

    Competitions come in the order in which applications closed: what somebody had declared by the last one counts.
    """

    candidates: Sequence[Candidate] = ()
    parts: Sequence["Unit"] = ()
    of_rules: int = SMALLEST_GROUP

    @property
    def smallest(self) -> int:
        """Groups of fewer people are not told."""
        return max((part.smallest for part in self.parts), default=self.of_rules)


def outcomes(one: Candidate) -> dict[Stage.ValueType, bool]:
    """What came of each stage that somebody came to, and of all together: whoever was refused has not got through the
    stage at which they were. Whoever withdrew came to none: they are no candidate any more.
    """
    if one.withdrew:
        return {}
    found = dict(one.found)
    turned_down = any(not passed for stage, passed in found.items() if stage != StageRates.STAGE_RECOMMENDED)
    if one.refused and not turned_down:
        last = max(found, default=StageRates.STAGE_OVERALL)
        found.update((stage, False) for stage in STAGES if stage == last + 1)
    if found.get(StageRates.STAGE_APPOINTED):
        found[StageRates.STAGE_OVERALL] = True
    elif one.refused:
        found[StageRates.STAGE_OVERALL] = False
    return found


def counted(unit: Unit) -> Counts:
    """How many people of each group came to each stage and got through it, where nobody still waits.

    29 CFR 1607.16 R compares the applicants of whom somebody was selected: who was in two competitions and got one post
    was selected, and is no second person whom a group is large enough with. They came to a stage, or got through it, if
    they did in one of them.
    """
    counts: dict[tuple[str, Stage.ValueType], dict[str, Count]] = defaultdict(lambda: defaultdict(Count))
    everybody = list(_candidates(unit))
    groups_of = {one.employee_id: one.groups for one in everybody}
    dimensions = {dimension for groups in groups_of.values() for dimension in groups}
    for stage in (StageRates.STAGE_OVERALL, *STAGES):
        if any(_waits(one, stage) for one in everybody):
            continue
        through: dict[str, bool] = {}
        for one in everybody:
            if (passed := outcomes(one).get(stage)) is not None:
                through[one.employee_id] = passed or through.get(one.employee_id, False)
        for employee_id, passed in through.items():
            for dimension in dimensions:
                counts[dimension, stage][groups_of[employee_id].get(dimension, "")] += _ONE[passed]
    return counts


def told(unit: Unit) -> Counts:
    """Groups of which the numbers may be told: two or more of a dimension at a stage, or none.

    Neither a group's numbers, nor how they differ from its numbers at another stage that is told, nor what is left of
    it without the unit's parts in which it is told, nor what is left of everybody without the groups that are told, may
    be of fewer people than the unit's smallest group: who knows all candidates could subtract. What is told of a part
    is by the part's own. Of groups that are large enough, the smallest are left out until that is so; of stages, the
    later ones, and the one from end to end comes first.
    """
    safe, _ = _told(unit)
    return safe


def _told(unit: Unit) -> tuple[Counts, Counts]:
    """What may be told, and how much of each group is known by what is told of the unit or else of its parts."""
    smallest, parts = unit.smallest, [known for _, known in map(_told, unit.parts)]
    safe: dict[tuple[str, Stage.ValueType], dict[str, Count]] = {}
    known: dict[tuple[str, Stage.ValueType], dict[str, Count]] = {}
    heard: dict[tuple[str, str], set[int]] = defaultdict(set)
    for (dimension, stage), groups in sorted(counted(unit).items()):
        key = dimension, stage
        of_parts = {group: _sum(part.get(key, {}).get(group, Count()) for part in parts) for group in groups}
        apart = {
            group: count
            for group, count in groups.items()
            if not (count - of_parts[group]).telling(smallest)
            and not any(
                0 < abs(number - other) < smallest
                for number in _of_all(stage, count)
                for other in heard[dimension, group]
            )
        }
        safe[key] = _kept(groups, apart, smallest)
        known[key] = of_parts | safe[key]
        for group, count in safe[key].items():
            heard[dimension, group] |= _of_all(stage, count)
    return safe, known


def _of_all(stage: Stage.ValueType, count: Count) -> set[int]:
    """A group's numbers at a stage of whom each is of people among the one before: who is not recommended goes on."""
    return {count.came} if stage == StageRates.STAGE_RECOMMENDED else {count.came, count.passed}


def _kept(groups: Mapping[str, Count], apart: Mapping[str, Count], smallest: int) -> dict[str, Count]:
    """Groups of one dimension and stage that may be told, out of those that what is told elsewhere keeps apart."""
    kept = {group: count for group, count in apart.items() if group and count.came and not count.telling(smallest)}
    while kept and (_sum(groups.values()) - _sum(kept.values())).telling(smallest):
        del kept[min(kept, key=lambda group: (kept[group].came, group))]
    return kept if len(kept) > 1 else {}


def fairness(unit: Unit) -> Iterator[Fairness.Dimension]:
    """Every dimension of which something may be told, by its name."""
    counts, safe = counted(unit), told(unit)
    rows: dict[str, list[StageRates]] = defaultdict(list)
    for dimension, stage in sorted(counts):
        large = [count for group, count in counts[dimension, stage].items() if group and count.came >= unit.smallest]
        if len(large) < 2:
            continue
        groups = safe.get((dimension, stage), {})
        rows[dimension].append(
            StageRates(
                stage=stage,
                below_four_fifths=any(_below(one, _best(large)) for one in large),
                groups=_rates(groups),
            )
        )
    for dimension, stages in rows.items():
        yield Fairness.Dimension(dimension=dimension, stages=stages)


def impact(chosen: Iterable[Chosen], smallest: int) -> Iterator[AdverseImpact]:
    """Every dimension of which it may be told what rules do that are tried, by its name.

    Compared are the groups whose numbers might be told under both rules, and no others.
    """
    everybody = list(chosen)
    for dimension in sorted({dimension for one in everybody for dimension in one.groups}):
        before, after = defaultdict[str, Count](Count), defaultdict[str, Count](Count)
        for one in everybody:
            group = one.groups.get(dimension, "")
            before[group] += _ONE[one.before]
            after[group] += _ONE[one.after]
        both = _kept(before, before, smallest).keys() & _kept(after, after, smallest).keys()
        if len(both) > 1:
            best, best_after = (_best(counts[group] for group in both) for counts in (before, after))
            groups = [
                AdverseImpact.Group(
                    group=group,
                    below_four_fifths_before=_below(before[group], best),
                    below_four_fifths_after=_below(after[group], best_after),
                )
                for group in sorted(both)
            ]
            yield AdverseImpact(dimension=dimension, groups=groups)


def fisher(one: Count, other: Count) -> Fraction:
    """Fisher's exact test, two-sided: how likely it is, of groups that are alike, that those who got through are spread
    over both as they are, or in a way that is no more likely.
    """
    passed = one.passed + other.passed
    ways = [
        comb(one.came, mine) * comb(other.came, passed - mine)
        for mine in range(max(0, passed - other.came), min(passed, one.came) + 1)
    ]
    found = comb(one.came, one.passed) * comb(other.came, other.passed)
    return Fraction(sum(way for way in ways if way <= found), sum(ways))


def _rates(groups: Mapping[str, Count]) -> Iterator[GroupRate]:
    """The highest rate first; of equal rates the larger group's."""
    ordered = sorted(groups.items(), key=lambda item: (-item[1].rate, -item[1].came, item[0]))
    for group, count in ordered:
        best = ordered[0][1]
        yield GroupRate(
            group=group,
            candidates=count.came,
            selected=count.passed,
            rate=decimal(count.rate, RATE_DIGITS),
            ratio=decimal(count.rate / best.rate, RATE_DIGITS) if best.passed else "",
            below_four_fifths=_below(count, best),
            probability=decimal(fisher(best, count), PROBABILITY_DIGITS),
        )


def _best(counts: Iterable[Count]) -> Count:
    return max(counts, key=lambda count: count.rate)


def _below(count: Count, best: Count) -> bool:
    return count.rate < FOUR_FIFTHS * best.rate


def _sum(counts: Iterable[Count]) -> Count:
    return sum(counts, Count())


def _waits(one: Candidate, stage: Stage.ValueType) -> bool:
    """Whether it is still open what comes of a stage for somebody."""
    if one.withdrew or one.refused:
        return False
    last = StageRates.STAGE_APPOINTED if stage == StageRates.STAGE_OVERALL else stage
    return max(one.found, default=StageRates.STAGE_OVERALL) < last


def _competitions(unit: Unit) -> Iterator[Unit]:
    """The unit itself, if it has no parts."""
    return chain.from_iterable(map(_competitions, unit.parts)) if unit.parts else iter([unit])


def _candidates(unit: Unit) -> Iterator[Candidate]:
    return chain.from_iterable(one.candidates for one in _competitions(unit))
