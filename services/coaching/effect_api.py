"""gRPC: stepladder.coaching.v1.EffectService."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from fractions import Fraction
from statistics import median_low

from libs.common.days import ONE_DAY, Span, parse_day
from libs.common.errors import FieldViolation, Invalid
from libs.common.eventsourcing import Context
from libs.common.service import Service, Together
from libs.facts.catalogue import Rules
from libs.facts.values import kpi_value
from services.coaching.effect import Case, groups_of
from services.coaching.goals import measure_of
from services.coaching.measuring import Ask, Measuring, definition
from services.coaching.plan import PLAN, State, coached_since
from services.coaching.plans import Plans
from services.coaching.rules import smallest_group
from stepladder.coaching.v1 import effect_pb2 as pb
from stepladder.coaching.v1.measure_pb2 import Measure, Measured
from stepladder.coaching.v1.plan_pb2 import EvidencePeriod, Plan
from stepladder.performance.v1.kpi_pb2 import Kpi

DAYS = 28
"""Before and after, unless the request says otherwise."""
LONGEST = timedelta(days=3 * 366)
ALL = ("",)
"""The one group where there are no others."""


@dataclass(frozen=True, slots=True)
class _Looked:
    """A measure to be looked at before, during (None: not coached) and after, and the groups it belongs to."""

    employee_id: str
    measure: Measure
    upwards: bool
    groups: Sequence[str]
    before: tuple[date, date]
    during: tuple[date, date] | None
    after: tuple[date, date]

    def asks(self) -> Iterator[Ask]:
        for span in (self.before, self.during, self.after):
            if span is not None:
                yield Ask(self.employee_id, self.measure, span[0].isoformat(), span[1].isoformat())


@dataclass(frozen=True, slots=True)
class _Cases:
    """Cases of a measure by the name of their group, all coached or none."""

    measure: Measure
    coached: bool
    groups: dict[str, list[Case]] = field(default_factory=dict)


class EffectApi:
    """Implements the service: plans out of the log, what they changed out of the facts."""

    def __init__(self, service: Service, plans: Plans, together: Together, measuring: Measuring) -> None:
        self._commands = service.commands
        self._engine = service.engine
        self._plans = plans
        self._together = together
        self._measuring = measuring

    async def GetEffect(self, request: pb.GetEffectRequest, context: Context) -> pb.Effect:
        start, end = _span(request)
        days = request.days or DAYS
        known_at = await self._together.catch_up()
        rules = await self._measuring.rules(known_at)
        states = await self._states(await self._plans.activated_between(self._engine, str(start), str(end)))
        left_out: Counter[pb.LeftOut.Reason.ValueType] = Counter()
        coached = list(self._coached(states, request.group_by, days, context.today, left_out))
        waits = {kpi_id: median_low(waits) for kpi_id, waits in _waits(coached).items()}
        found = await self._states(await self._plans.never_activated(self._engine, str(start), str(end)))
        of_them = await self._plans.of_employees(self._engine, {one.proposed.employee_id for one in found})
        coachings = _coachings(await self._states(of_them), context.today)
        others = list(self._others(found, coachings, rules, waits, days, context.today))
        effect = pb.Effect(known_at=known_at)
        smallest = smallest_group(rules, context.today)
        for one in await self._cases([*coached, *others], rules, known_at, left_out):
            kpi = definition(rules, one.measure)
            effect.groups.extend(groups_of(one.groups, kpi, one.measure, smallest, coached=one.coached))
        for reason, count in sorted((+left_out).items()):
            effect.left_out.add(reason=reason, cases=count)
        return effect

    async def _states(self, plan_ids: Iterable[str]) -> list[State]:
        return [one.state for one in (await self._commands.known(PLAN, plan_ids)).values()]

    @staticmethod
    def _coached(
        states: Iterable[State],
        group_by: pb.GetEffectRequest.GroupBy.ValueType,
        days: int,
        today: date,
        left_out: Counter[pb.LeftOut.Reason.ValueType],
    ) -> Iterator[_Looked]:
        for state in states:
            goals = [goal for goal in state.activated.goals if goal.HasField("measured_baseline")]
            left_out[pb.LeftOut.REASON_NO_FACTS] += len(state.activated.goals) - len(goals)
            if state.closed.outcome == Plan.OUTCOME_CANCELLED:
                left_out[pb.LeftOut.REASON_CANCELLED] += len(goals)
                continue
            closed = state.closed.closed_date
            if not closed or date.fromisoformat(closed) + timedelta(days=days) >= today:
                left_out[pb.LeftOut.REASON_NOT_OVER] += len(goals)
                continue
            since, until = coached_since(state), date.fromisoformat(closed)
            for goal in goals:
                yield _Looked(
                    state.proposed.employee_id,
                    measure_of(goal),
                    Fraction(goal.target) > Fraction(goal.baseline),
                    _groups(state, group_by),
                    (since - timedelta(days=days - 1), since),
                    (since + ONE_DAY, until),
                    (until + ONE_DAY, until + timedelta(days=days)),
                )

    @staticmethod
    def _others(
        states: Iterable[State],
        coachings: Mapping[str, Sequence[Span]],
        rules: Rules,
        waits: Mapping[str, int],
        days: int,
        today: date,
    ) -> Iterator[_Looked]:
        """Those of whom the same was found and who were not coached, looked at again after as long a time.

        Nor were they coached by another plan on any day between the first and the last that are looked at.
        """
        for state in states:
            evidence = state.proposed.evidence
            if evidence.kpi_id not in waits or not evidence.periods:
                continue
            last = date.fromisoformat(evidence.periods[-1].end_date)
            employee_id, first = state.proposed.employee_id, last - timedelta(days=days - 1)
            after = last + timedelta(days=waits[evidence.kpi_id])
            end = after + timedelta(days=days)
            coached = any(one.start <= end and one.end >= first for one in coachings.get(employee_id, ()))
            if end < today and not coached:
                yield _Looked(
                    employee_id,
                    Measure(kpi_id=evidence.kpi_id),
                    _missed_below(rules.kpis[evidence.kpi_id], evidence.periods[-1]),
                    ALL,
                    (first, last),
                    None,
                    (after + ONE_DAY, end),
                )

    async def _cases(
        self,
        looked: Sequence[_Looked],
        rules: Rules,
        known_at: int,
        left_out: Counter[pb.LeftOut.Reason.ValueType],
    ) -> list[_Cases]:
        """Those coached of each measure before those not. Counts whom nothing was recorded of."""
        asks = [ask for one in looked for ask in one.asks()]
        measured = iter(await self._measuring.measure_all(asks, known_at) if asks else ())
        found: dict[tuple[bytes, bool], _Cases] = {}
        for one in looked:
            kpi, coached = definition(rules, one.measure), one.during is not None
            values = [_value(kpi, next(measured)) for _ in one.asks()]
            before, after = values[0], values[-1]
            if before is None or after is None:
                left_out[pb.LeftOut.REASON_NO_FACTS] += coached
                continue
            case = Case(one.employee_id, one.upwards, before, values[1] if coached else None, after)
            key = (one.measure.SerializeToString(deterministic=True), not coached)
            cases = found.setdefault(key, _Cases(one.measure, coached))
            for name in one.groups:
                cases.groups.setdefault(name, []).append(case)
        return [found[key] for key in sorted(found)]


def _span(request: pb.GetEffectRequest) -> tuple[date, date]:
    start, end = parse_day(request.start_date, "start_date"), parse_day(request.end_date, "end_date")
    if not start <= end <= start + LONGEST:
        message = f"must lie between {start} and three years later"
        raise Invalid("DATES_INVALID", f"end_date {message}", (FieldViolation("end_date", message),))
    return start, end


def _groups(state: State, group_by: pb.GetEffectRequest.GroupBy.ValueType) -> Sequence[str]:
    match group_by:
        case pb.GetEffectRequest.GROUP_BY_CAUSE:
            return [Plan.Cause.Name(state.diagnosed.cause)]
        case pb.GetEffectRequest.GROUP_BY_LEAD:
            return [state.proposed.lead_id]
        case pb.GetEffectRequest.GROUP_BY_SUPPORT:
            kinds = {support.WhichOneof("kind") or "" for support in state.activated.supports}
            return sorted(kinds) or ["none"]
        case _:
            return ALL


def _coachings(states: Iterable[State], today: date) -> dict[str, list[Span]]:
    """The days on which employees were coached, by any plan, whatever came of it."""
    found: dict[str, list[Span]] = {}
    for state in states:
        if state.activated.plan_id:
            until = date.fromisoformat(state.closed.closed_date) if state.closed.closed_date else today
            found.setdefault(state.proposed.employee_id, []).append(Span(coached_since(state), until))
    return found


def _waits(coached: Iterable[_Looked]) -> dict[str, list[int]]:
    """By KPI, how many days passed between what was looked at before and after."""
    found: dict[str, list[int]] = {}
    for one in coached:
        found.setdefault(one.measure.kpi_id, []).append((one.after[0] - one.before[1]).days - 1)
    return found


def _missed_below(kpi: Kpi, period: EvidencePeriod) -> bool:
    """Whether a period missed its target from below."""
    value = kpi_value(kpi, period.numerator, period.denominator)
    return value is not None and bool(period.minimum) and value < Fraction(period.minimum)


def _value(kpi: Kpi, measured: Measured) -> Fraction | None:
    return kpi_value(kpi, measured.numerator, measured.denominator) if measured.value else None
