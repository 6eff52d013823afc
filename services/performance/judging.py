"""Policy: what is over and settled is judged by the detection policies; what they find becomes a detection.

A detection whose facts have changed since is judged again by its own rule, and told what has become of it.
"""

import asyncio
from collections.abc import Iterable, Sequence
from datetime import date

from libs.common.days import ONE_DAY, Span
from libs.common.eventsourcing import Context
from libs.common.service import Service
from services.performance import employee
from services.performance.catalogue import Catalogue, Rules
from services.performance.conduct import Offending
from services.performance.detection import DETECTION, detection_id
from services.performance.detections import Detections
from services.performance.employee import EMPLOYEE
from services.performance.months import Months
from services.performance.people import People
from services.performance.policy import kpis_of
from services.performance.readings import Readings
from services.performance.scorecards import Scorecards
from services.performance.scoring import Counted
from services.performance.trigger import Known, days_to_look_at, evidence_from, find, look_again
from services.performance.violations import POINTS, Violations
from stepladder.performance.v1.detection_pb2 import Detection, DetectionDrift, MissedPeriod
from stepladder.performance.v1.policy_pb2 import Policy


class Judging:
    """Gives the command to detect, where the facts say so. Judging again what was judged changes nothing."""

    def __init__(
        self,
        service: Service,
        months: Months,
        readings: Readings,
        violations: Violations,
        people: People,
        catalogue: Catalogue,
        detections: Detections,
        scorecards: Scorecards,
    ) -> None:
        self._service = service
        self._months = months
        self._readings = readings
        self._violations = violations
        self._people = people
        self._catalogue = catalogue
        self._detections = detections
        self._scorecards = scorecards

    async def judge(self, key: str) -> None:
        """Judges the day that a deadline's key names (see `judgements.judgement_key`), and the period around it."""
        policy_id, employee_id, text = key.split(" ")
        day, commands = date.fromisoformat(text), self._service.commands
        known_at = await self._months.catch_up()
        rules = await self._catalogue.rules(self._service.engine)
        policy = rules.policy_on(policy_id, day)
        if policy is None or not policy.HasField("detection"):
            return
        ids = await self._detections.ids_of(self._service.engine, employee_id, policy_id)
        states = [one.state for one in (await commands.known(DETECTION, ids)).values()]
        found = [state.detection for state in states if state.stands]
        known = await self._known(employee_id, policy, rules, date.min, date.max)
        over = Span(rules.in_force_from(policy_id), self._service.today() - ONE_DAY)
        for periods in find(policy.detection, known, day, over, found):
            detection = await self._detection(policy, employee_id, periods)
            detection.known_at = known_at
            await commands.handle(DETECTION, detection.detection_id, detection, self._context())

    async def review(self, employee_id: str, span: Span, known_at: int) -> None:
        """Judges the detections of an employee again that may rest on days of a span; `known_at`: caught up so far."""
        commands = self._service.commands
        ids = await self._detections.ids_of(self._service.engine, employee_id)
        for one in (await commands.known(DETECTION, ids)).values():
            found, before = one.state.detection, one.state.periods
            rules = await self._catalogue.rules(self._service.engine, found.known_at or one.position)
            policy = (await self._catalogue.rules(self._service.engine, found.policy_position)).version(
                found.policy_position
            )
            start = evidence_from(policy.detection, date.fromisoformat(found.periods[0].start_date))
            end = date.fromisoformat(found.periods[-1].end_date)
            if span.start > end or (span.end < start and not policy.detection.HasField("points")):
                continue  # points rest on violations of any day before
            known = await self._known(employee_id, policy, rules, start, end)
            looked = look_again(policy.detection, known, found.periods)
            causes = await self._readings.changes(
                self._service.engine,
                [employee_id],
                [kpi_id for _, kpi_id in kpis_of(policy)],
                "" if policy.detection.HasField("points") else start.isoformat(),
                end.isoformat(),
                one.state.known_at or one.position,
                measures=[POINTS] if policy.detection.HasField("points") else [],
            )
            drift = DetectionDrift(
                stands=not any(period.period.met for period in looked),
                disputed=any(period.disputed for period in looked),
                periods=[period.period for period in looked],
                causes=sorted({*causes, *_positions(period.period for period in looked)} - _positions(before)),
                known_at=known_at,
                evidence_start=start.isoformat(),
            )
            await commands.handle(DETECTION, found.detection_id, drift, self._context())

    async def dry_run(self, policy: Policy, employee_ids: Sequence[str], span: Span) -> list[Detection]:
        """What a policy would find of employees on the days of a span, by employee and day. Changes nothing."""
        await self._months.catch_up()
        rules = await self._catalogue.rules(self._service.engine)
        rule = policy.detection
        start = evidence_from(rule, span.start)
        over = Span(span.start, min(span.end, self._service.today() - ONE_DAY))
        detections: list[Detection] = []
        for employee_id in employee_ids:
            known = await self._known(employee_id, policy, rules, start, span.end)
            found: list[Detection] = []
            for day in days_to_look_at(rule, known, span):
                finds = find(rule, known, day, over, found)
                found += [await self._detection(policy, employee_id, periods) for periods in finds]
            detections += found
            await asyncio.sleep(0)  # others have their turn
        return detections

    async def _detection(self, policy: Policy, employee_id: str, periods: Sequence[MissedPeriod]) -> Detection:
        team_id, lead_id = await self._people.team_and_lead(self._service.engine, employee_id, periods[-1].end_date)
        kpi_ids = [kpi_id for _, kpi_id in kpis_of(policy)]
        start = evidence_from(policy.detection, date.fromisoformat(periods[0].start_date))
        return Detection(
            detection_id=detection_id(policy.policy_id, employee_id, date.fromisoformat(periods[0].start_date)),
            policy_id=policy.policy_id,
            policy_position=policy.log_position,
            kpi_id=kpi_ids[0] if len(kpi_ids) == 1 else "",
            employee_id=employee_id,
            team_id=team_id,
            lead_id=lead_id,
            periods=periods,
            purpose=policy.detection.purpose,
            evidence_start=min([start.isoformat(), *(fact.date for period in periods for fact in period.facts)]),
        )

    async def _known(self, employee_id: str, policy: Policy, rules: Rules, start: date, end: date) -> Known:
        """What a policy looks at of an employee, over days from one to another."""
        engine, rule = self._service.engine, policy.detection
        kpi_ids = [kpi_id for _, kpi_id in kpis_of(policy)]
        readings: dict[str, list[Counted]] = {}
        for one in await self._readings.readings_of(engine, [employee_id], kpi_ids, start.isoformat(), end.isoformat()):
            readings.setdefault(one.kpi_id, []).append(one)
        states = (await self._service.commands.known(EMPLOYEE, [employee_id])).values()
        state = next((standing.state for standing in states), employee.State())
        return Known(
            kpis=rules.kpis,
            readings=readings,
            target_on=rules.targets_of(state),
            ratings=await self._scorecards.rated_months(engine, employee_id) if rule.HasField("ratings") else {},
            violations=await self._violations_of(employee_id) if rule.HasField("points") else (),
        )

    async def _violations_of(self, employee_id: str) -> Sequence[Offending]:
        async with self._service.engine.connect() as connection:
            return await self._violations.violations_of(connection, employee_id)

    def _context(self) -> Context:
        return Context(now=self._service.now(), today=self._service.today(), actor="policy:detection")


def _positions(periods: Iterable[MissedPeriod]) -> set[int]:
    return {fact.log_position for period in periods for fact in period.facts}
