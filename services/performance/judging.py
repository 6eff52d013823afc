"""Policy: an employee's period that is over and settled is judged; a streak of misses becomes a detection.

A detection whose facts have changed since is judged again by its own rules, and told what has become of it.
"""

from collections.abc import Callable, Sequence
from datetime import date
from itertools import groupby

from libs.common.days import Span
from libs.common.eventsourcing import Context
from libs.common.service import Service
from services.performance import employee
from services.performance.catalogue import Catalogue, Rules
from services.performance.detection import DETECTION, PeriodResult, detection_id, find_streak, judge_again
from services.performance.detectionpolicy import DETECTION_POLICY, period_of
from services.performance.detections import Detections
from services.performance.employee import EMPLOYEE
from services.performance.months import Months
from services.performance.people import People
from services.performance.results import Results
from stepladder.performance.v1.detection_pb2 import Detection, DetectionDrift, DetectionPolicy
from stepladder.performance.v1.facts_pb2 import RecordedReading
from stepladder.performance.v1.kpi_pb2 import Target


class Judging:
    """Gives the command to detect, where the facts say so. Judging again what was judged changes nothing."""

    def __init__(
        self,
        service: Service,
        months: Months,
        results: Results,
        people: People,
        catalogue: Catalogue,
        detections: Detections,
    ) -> None:
        self._service = service
        self._months = months
        self._results = results
        self._people = people
        self._catalogue = catalogue
        self._detections = detections

    async def judge(self, key: str) -> None:
        """Judges the period that a deadline's key names (see `results.judgement_key`)."""
        policy_id, employee_id, start = key.split(" ")
        commands, engine = self._service.commands, self._service.engine
        known_at = await self._months.catch_up()
        policy_standing = (await commands.known(DETECTION_POLICY, [policy_id]))[policy_id]
        policy = policy_standing.state.policy
        rules = await self._catalogue.rules(engine)
        readings = await self._results.readings_of(engine, [employee_id], [policy.kpi_id])
        results = [one for one in period_results(policy, readings) if one.period.end < self._service.today()]
        ids = await self._detections.ids_of(engine, employee_id, policy_id)
        found = [one.state.detection for one in (await commands.known(DETECTION, ids)).values()]
        target_on = await self._targets(rules, employee_id)
        judged = period_of(policy, date.fromisoformat(start))
        streak = find_streak(policy, rules.kpis[policy.kpi_id], results, target_on, judged, found)
        if not streak:
            return
        team_id, lead_id = await self._people.team_and_lead(engine, employee_id, streak[-1].end_date)
        detection = Detection(
            detection_id=detection_id(policy_id, employee_id, date.fromisoformat(streak[0].start_date)),
            policy_id=policy_id,
            policy_position=policy_standing.position,
            kpi_id=policy.kpi_id,
            employee_id=employee_id,
            team_id=team_id,
            lead_id=lead_id,
            periods=streak,
            known_at=known_at,
        )
        await commands.handle(DETECTION, detection.detection_id, detection, self._context())

    async def review(self, employee_id: str, span: Span) -> None:
        """Judges the detections of an employee again that rest on days of a span."""
        commands, engine = self._service.commands, self._service.engine
        known_at = await self._months.catch_up()
        ids = await self._detections.ids_of(engine, employee_id)
        for one in (await commands.known(DETECTION, ids)).values():
            found, before = one.state.detection, one.state.periods
            start, end = before[0].start_date, before[-1].end_date
            if end < span.start.isoformat() or start > span.end.isoformat():
                continue
            policy = (await commands.known(DETECTION_POLICY, [found.policy_id]))[found.policy_id].state.policy
            rules = await self._catalogue.rules(engine, found.known_at)
            readings = await self._results.readings_of(engine, [employee_id], [found.kpi_id], start, end)
            target_on = await self._targets(rules, employee_id)
            periods = judge_again(policy, rules.kpis[found.kpi_id], period_results(policy, readings), target_on, found)
            drift = DetectionDrift(
                stands=not any(period.met for period in periods),
                disputed=any(reading.disputed for reading in readings),
                periods=periods,
                causes=await self._results.changes(
                    engine, [employee_id], [found.kpi_id], start, end, one.state.known_at
                ),
                known_at=known_at,
            )
            await commands.handle(DETECTION, found.detection_id, drift, self._context())

    async def _targets(self, rules: Rules, employee_id: str) -> Callable[[RecordedReading], Target | None]:
        """The target for what an employee did on a day: of the team and the position of that day."""
        known = await self._service.commands.known(EMPLOYEE, [employee_id])
        state = known[employee_id].state if known else employee.State()

        def target_on(reading: RecordedReading) -> Target | None:
            day = date.fromisoformat(reading.date)
            return rules.target_on(reading.kpi_id, state.team_on(day), state.position_on(day), day)

        return target_on

    def _context(self) -> Context:
        return Context(now=self._service.now(), today=self._service.today(), actor="policy:detection")


def period_results(policy: DetectionPolicy, readings: Sequence[RecordedReading]) -> list[PeriodResult]:
    """An employee's readings of one KPI (ascending by day) in each of the policy's periods."""

    def period(reading: RecordedReading) -> Span:
        return period_of(policy, date.fromisoformat(reading.date))

    return [PeriodResult(span, tuple(group)) for span, group in groupby(readings, key=period)]
