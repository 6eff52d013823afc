"""Goals of a coaching plan: what makes one SMART, how far it is, and what results suggest. Exact and pure."""

from collections.abc import Iterator, Sequence
from datetime import date
from fractions import Fraction
from itertools import pairwise

from libs.common.days import ONE_DAY, Span, parse_day
from libs.common.errors import FieldViolation
from libs.facts.values import decimal, kpi_value
from stepladder.coaching.v1.measure_pb2 import Measure, Measured
from stepladder.coaching.v1.plan_pb2 import Goal, GoalBasis, GoalProgress, GoalResult, Plan, StageProgress
from stepladder.performance.v1.kpi_pb2 import Kpi


def measure_of(goal: Goal) -> Measure:
    """What a goal measures; without an id where it does not say."""
    return goal.measure if goal.HasField("measure") else Measure(kpi_id=goal.kpi_id)


def named(measure: Measure) -> str:
    """A measure in words."""
    item = measure.form_item
    return f"item {item.item_id} of form {item.form_id}" if item.form_id else f"KPI {measure.kpi_id}"


def violations(goal: Goal, basis: GoalBasis, today: date, name: str) -> Iterator[FieldViolation]:
    """Everything that keeps a goal from being SMART; `name` is the path of its field.

    Raises Invalid `DATE_INVALID` for days that no calendar has.
    """
    deadline = parse_day(goal.deadline, f"{name}.deadline") if goal.deadline else None
    measure = measure_of(goal)
    if not goal.HasField("measure") and not goal.kpi_id:
        yield FieldViolation(f"{name}.measure", "is missing: name a KPI or an item of a form")
        return
    match basis.definition.direction:
        case Kpi.DIRECTION_UNSPECIFIED:
            yield FieldViolation(f"{name}.measure", f"there is no {named(measure)}")
            return
        case Kpi.DIRECTION_NONE:
            yield FieldViolation(f"{name}.measure", f"{named(measure)} is shown only: no value of it is better")
            return
    if deadline is None:
        yield FieldViolation(f"{name}.deadline", "is missing")
    elif deadline <= today:
        yield FieldViolation(f"{name}.deadline", "must lie after today")
    if not goal.target:
        yield FieldViolation(f"{name}.target", "is missing")
    if basis.baseline.end_date > today.isoformat():
        yield FieldViolation(f"{name}.baseline_end_date", "must not lie after today")
    start = _value(basis.definition, basis.baseline)
    if start is None:
        yield _no_baseline(measure, basis.baseline, name)
        return
    shown = decimal(start, basis.definition.precision)
    if not _says(goal.baseline, shown, basis.definition.precision):
        days = f"{basis.baseline.start_date} to {basis.baseline.end_date}"
        yield FieldViolation(f"{name}.baseline", f"must be {shown}, as the facts of {days} say; or leave it to them")
    if goal.target and not _better(basis.definition, Fraction(goal.target), start):
        yield FieldViolation(f"{name}.target", f"must be better than the baseline, which is {shown}")
    elif goal.target and deadline is not None:
        yield from _stages(goal, start, today, deadline, name)


def _no_baseline(measure: Measure, baseline: Measured, name: str) -> FieldViolation:
    if not baseline.start_date:
        message = "is missing: the plan has no evidence whose days could be taken"
        return FieldViolation(f"{name}.baseline_start_date", message)
    days = f"from {baseline.start_date} to {baseline.end_date}"
    message = f"nothing of {named(measure)} was recorded {days}: name other days"
    return FieldViolation(f"{name}.baseline", message)


def _stages(goal: Goal, start: Fraction, today: date, deadline: date, name: str) -> Iterator[FieldViolation]:
    """Stages lead from today to the deadline, and from the baseline to the target."""
    days = [today, *(parse_day(one.date, f"{name}.stages[{i}].date") for i, one in enumerate(goal.stages)), deadline]
    values = [start, *(Fraction(one.target) for one in goal.stages), Fraction(goal.target)]
    rising = values[-1] > start
    for index, ((day, later), (value, next_value)) in enumerate(zip(pairwise(days), pairwise(values), strict=True)):
        # The last pair is a stage and what it leads to; that a goal without stages leads somewhere is known already.
        stage = min(index, len(goal.stages) - 1)
        if stage >= 0 and later <= day:
            message = "must lie after today and the stage before it, and before the deadline"
            yield FieldViolation(f"{name}.stages[{stage}].date", message)
        if stage >= 0 and (next_value <= value if rising else next_value >= value):
            message = "must be nearer to the target than the baseline and the stage before it, and short of the target"
            yield FieldViolation(f"{name}.stages[{stage}].target", message)


def kept(goal: Goal, basis: GoalBasis) -> Goal:
    """A SMART goal, with what its baseline rests on and how it is counted."""
    measure, definition, baseline = measure_of(goal), basis.definition, basis.baseline
    start = _value(definition, baseline)
    if start is None:
        raise ValueError("a goal without a baseline is not SMART")
    return Goal(
        kpi_id=measure.kpi_id,
        baseline=decimal(start, definition.precision),
        target=goal.target,
        deadline=goal.deadline,
        measure=measure,
        baseline_start_date=baseline.start_date,
        baseline_end_date=baseline.end_date,
        stages=goal.stages,
        measured_baseline=baseline,
        definition=definition,
    )


def restates(given: Goal, goal: Goal) -> bool:
    """Whether a goal as given says nothing else than one that is kept."""
    return (
        measure_of(given) == measure_of(goal)
        and (given.target, given.deadline) == (goal.target, goal.deadline)
        and _says(given.baseline, goal.baseline, goal.definition.precision)
        and given.baseline_start_date in ("", goal.baseline_start_date)
        and given.baseline_end_date in ("", goal.baseline_end_date)
        and given.stages == goal.stages
    )


def whole(activated: date, last: date) -> Span | None:
    """The days from an activation up to a `last` one; None: they are to come."""
    return Span(activated + ONE_DAY, last) if activated < last else None


def spans(goal: Goal, activated: date, last: date) -> list[Span | None]:
    """The days of each stage, and then those of the goal itself, up to a `last` one; None: they are to come."""
    found = list[Span | None]()
    since = own = activated
    for stage in goal.stages:
        day = date.fromisoformat(stage.date)
        found.append(whole(since, min(day, last)))
        since = day
        own = day if day < last else own
    return [*found, whole(own, last)]


def progress(goal: Goal, since_activation: Measured, measured: Sequence[Measured], last: date) -> GoalProgress:
    """How far a goal is. `measured`: over its `spans` up to the `last` day."""
    *stages, now = measured
    start, value = _value(goal.definition, goal.measured_baseline), _value(goal.definition, now)
    share = ""
    if start is not None and value is not None:
        share = decimal((value - start) / (Fraction(goal.target) - start) * 100, 1)
    return GoalProgress(
        now=now,
        since_activation=since_activation,
        share=share,
        met=met(goal, goal.target, now),
        stages=[
            StageProgress(
                date=stage.date,
                target=stage.target,
                measured=found,
                met=met(goal, stage.target, found),
                over=date.fromisoformat(stage.date) < last,
            )
            for stage, found in zip(goal.stages, stages, strict=True)
        ],
    )


def met(goal: Goal, target: str, measured: Measured) -> bool:
    """Whether a value has reached a target of a goal, coming from its baseline; no value has reached none."""
    value, start = _value(goal.definition, measured), _value(goal.definition, goal.measured_baseline)
    if value is None or start is None:
        return False
    return value >= Fraction(target) if Fraction(goal.target) > start else value <= Fraction(target)


def suggested(results: Sequence[GoalResult]) -> Plan.Outcome.ValueType:
    """All goals met: improved; none: not improved; otherwise partly improved. Nothing where nothing was measured."""
    reached = [result.met for result in results]
    if not any(result.measured.value for result in results):
        return Plan.OUTCOME_UNSPECIFIED
    if all(reached):
        return Plan.OUTCOME_IMPROVED
    return Plan.OUTCOME_PARTLY_IMPROVED if any(reached) else Plan.OUTCOME_NOT_IMPROVED


def _value(definition: Kpi, measured: Measured) -> Fraction | None:
    """The exact value; None where nothing was recorded."""
    return kpi_value(definition, measured.numerator, measured.denominator) if measured.value else None


def _better(definition: Kpi, target: Fraction, start: Fraction) -> bool:
    match definition.direction:
        case Kpi.DIRECTION_HIGHER:
            return target > start
        case Kpi.DIRECTION_LOWER:
            return target < start
        case _:
            return target != start


def _says(given: str, shown: str, precision: int) -> bool:
    """Whether a number is one as it is shown, or is left out."""
    return given in ("", shown) or decimal(Fraction(given), precision) == shown
