"""Policy: what is over and settled is judged by the detection policies; what they find becomes a detection.

A detection whose facts have changed since is judged again by its own rule, and told what has become of it.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from datetime import date

from libs.common.days import ONE_DAY, Span
from libs.common.eventsourcing import Context
from libs.common.reacting import day_over
from libs.common.service import Service
from libs.facts import employee
from libs.facts.adding import Counted
from libs.facts.catalogue import Catalogue, Rules
from libs.facts.conduct import Offending
from libs.facts.people import People
from libs.facts.readings import Readings
from libs.facts.violations import POINTS, Violations
from services.performance.detection import DETECTION, detection_id
from services.performance.detections import Detections
from services.performance.employee import EMPLOYEE
from services.performance.judgements import Judgements, judgement_key
from services.performance.months import Months
from services.performance.policy import kpis_of
from services.performance.scorecards import Scorecards
from services.performance.trigger import Known, days_to_look_at, evidence_from, find, look_again, period_of
from stepladder.performance.v1.detection_pb2 import Detection, DetectionDrift, MissedPeriod
from stepladder.performance.v1.policy_pb2 import Policy

AT_ONCE = 20
"""How many employees' readings are in memory at once."""


class Judging:
    """Gives the command to detect, where the facts say so. Judging again what was judged changes nothing."""

    def __init__(
        self,
        service: Service,
        months: Months,
        readings: Readings,
        violations: Violations,
        judgements: Judgements,
        people: People,
        catalogue: Catalogue,
        detections: Detections,
        scorecards: Scorecards,
    ) -> None:
        self._service = service
        self._months = months
        self._readings = readings
        self._violations = violations
        self._judgements = judgements
        self._people = people
        self._catalogue = catalogue
        self._detections = detections
        self._scorecards = scorecards

    async def judge(self, keys: Sequence[str]) -> None:
        """Judges the days that deadlines' keys name (see `judgements.judgement_key`), and the periods around them."""
        known_at = await self._months.catch_up()
        rules = await self._catalogue.rules(self._service.engine)
        days: dict[int, dict[str, list[date]]] = {}
        for key in keys:
            policy_id, employee_id, text = key.split(" ")
            day = date.fromisoformat(text)
            if (policy := rules.policy_on(policy_id, day)) is not None:
                days.setdefault(policy.log_position, {}).setdefault(employee_id, []).append(day)
        for position, of_employees in days.items():
            policy = rules.version(position)
            for start in range(0, len(of_employees), AT_ONCE):
                some = dict(list(of_employees.items())[start : start + AT_ONCE])
                known = await self._known(list(some), policy, rules, date.min, date.max)
                await self._judge(policy, known, some, rules, known_at)

    async def judge_past(self, key: str) -> None:
        """Judges every period of an employee with facts of the day that a key names, or a later one.

        Periods that are not over, or for which more is waited, are left to deadlines of their own.
        """
        policy_id, employee_id, since = key.split(" ")
        known_at = await self._months.catch_up()
        rules = await self._catalogue.rules(self._service.engine)
        for policy, until in rules.versions_of(policy_id):
            if until <= since:
                continue
            known = await self._known([employee_id], policy, rules, date.min, date.max)
            span = Span(date.fromisoformat(since), date.max)
            starts = days_to_look_at(policy.detection, known[employee_id], span)
            keys = {
                judgement_key(policy_id, employee_id, day.isoformat()): day
                for day in starts
                if policy.effective_date <= day.isoformat() < until
            }
            # Asked after the readings were: what is waited for among them is planned by then.
            planned = await self._judgements.planned(self._service.engine, keys)
            ends = {key: day_over(period_of(policy.detection, keys[key]).end) for key in keys.keys() - planned}
            now = self._service.now()
            over = [keys[key] for key, end in ends.items() if end <= now]
            await self._judge(policy, known, {employee_id: over}, rules, known_at)
            later = {key: end for key, end in ends.items() if end > now}
            await self._judgements.plan_judgements(self._service.engine, later, known_at)

    async def _judge(
        self,
        policy: Policy,
        known: Mapping[str, Known],
        days: Mapping[str, Sequence[date]],
        rules: Rules,
        known_at: int,
    ) -> None:
        """Detects what a policy finds around days of employees."""
        commands = self._service.commands
        ids = await self._detections.ids_of(self._service.engine, list(days), policy.policy_id)
        states = [one.state for one in (await commands.known(DETECTION, ids)).values()]
        found: dict[str, list[Detection]] = {}
        for state in states:
            if state.stands:
                found.setdefault(state.detection.employee_id, []).append(state.detection)
        over = Span(rules.in_force_from(policy.policy_id), self._service.today() - ONE_DAY)
        for employee_id, judged in days.items():
            for periods in find(policy.detection, known[employee_id], judged, over, found.get(employee_id, ())):
                detection = await self._detection(policy, employee_id, periods)
                detection.known_at = known_at
                await commands.handle(DETECTION, detection.detection_id, detection, self._context())

    async def review(self, employee_id: str, span: Span, known_at: int) -> None:
        """Judges the detections of an employee again that may rest on days of a span; `known_at`: caught up so far."""
        commands = self._service.commands
        ids = await self._detections.ids_of(self._service.engine, [employee_id])
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
            known = await self._known([employee_id], policy, rules, start, end)
            looked = look_again(policy.detection, known[employee_id], found.periods)
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
            if not drift.stands:  # it may have kept others from being found
                key = judgement_key(found.policy_id, employee_id, found.periods[0].start_date)
                await self._judgements.plan_past(self._service.engine, key, self._service.now(), known_at)

    async def dry_run(self, policy: Policy, employee_ids: Sequence[str], span: Span) -> list[Detection]:
        """What a policy would find of employees on the days of a span, by employee and day. Changes nothing."""
        await self._months.catch_up()
        rules = await self._catalogue.rules(self._service.engine)
        rule = policy.detection
        start = evidence_from(rule, span.start)
        over = Span(span.start, min(span.end, self._service.today() - ONE_DAY))
        detections: list[Detection] = []
        for employee_id in employee_ids:
            known = (await self._known([employee_id], policy, rules, start, span.end))[employee_id]
            finds = find(rule, known, days_to_look_at(rule, known, span), over)
            detections += [await self._detection(policy, employee_id, periods) for periods in finds]
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

    async def _known(
        self, employee_ids: Sequence[str], policy: Policy, rules: Rules, start: date, end: date
    ) -> dict[str, Known]:
        """What a policy looks at of employees, over days from one to another."""
        engine, rule = self._service.engine, policy.detection
        kpi_ids = [kpi_id for _, kpi_id in kpis_of(policy)]
        readings: dict[str, dict[str, list[Counted]]] = {employee_id: {} for employee_id in employee_ids}
        for one in await self._readings.readings_of(engine, employee_ids, kpi_ids, start.isoformat(), end.isoformat()):
            readings[one.employee_id].setdefault(one.kpi_id, []).append(one)
        found = await self._service.commands.known(EMPLOYEE, employee_ids)
        states = {employee_id: one.state for employee_id, one in found.items()}
        return {
            one: Known(
                kpis=rules.kpis,
                readings=readings[one],
                target_on=rules.targets_of(states.get(one, employee.State())),
                ratings=await self._scorecards.rated_months(engine, one) if rule.HasField("ratings") else {},
                violations=await self._violations_of(one) if rule.HasField("points") else (),
            )
            for one in employee_ids
        }

    async def _violations_of(self, employee_id: str) -> Sequence[Offending]:
        async with self._service.engine.connect() as connection:
            return await self._violations.violations_of(connection, employee_id)

    def _context(self) -> Context:
        return Context(now=self._service.now(), today=self._service.today(), actor="policy:detection")


def _positions(periods: Iterable[MissedPeriod]) -> set[int]:
    return {fact.log_position for period in periods for fact in period.facts}
