"""Policy: an employee's period that is over and settled is judged; a streak of misses becomes a detection."""

from collections.abc import Callable, Sequence
from datetime import date
from itertools import groupby

from libs.common.days import Span
from libs.common.eventsourcing import Context
from libs.common.projecting import Follower
from libs.common.service import AT_LEAST_SECONDS, Service
from services.performance.catalogue import Catalogue
from services.performance.detection import DETECTION, PeriodResult, detection_id, find_streak
from services.performance.detectionpolicy import DETECTION_POLICY, period_of
from services.performance.detections import Detections
from services.performance.kpi import KPI
from services.performance.people import People
from services.performance.results import Results
from stepladder.performance.v1.detection_pb2 import Detection, DetectionPolicy, FactReference
from stepladder.performance.v1.facts_pb2 import RecordedReading
from stepladder.performance.v1.kpi_pb2 import Kpi, Target


class Judging:
    """Gives the command to detect, where the facts say so. Judging again what was judged changes nothing."""

    def __init__(
        self,
        service: Service,
        results: Results,
        people: People,
        catalogue: Catalogue,
        detections: Detections,
        followers: Sequence[Follower],
    ) -> None:
        self._service = service
        self._results = results
        self._people = people
        self._catalogue = catalogue
        self._detections = detections
        self._followers = followers
        self._included = 0

    async def judge(self, key: str) -> None:
        """Judges the period that a deadline's key names (see `results.judgement_key`)."""
        policy_id, employee_id, start = key.split(" ")
        commands, engine = self._service.commands, self._service.engine
        end = (await self._service.stream.state()).last
        if end > self._included:  # what was decided before is judged by
            for follower in self._followers:
                await follower.wait_for(end, AT_LEAST_SECONDS)
            self._included = end
        policy_standing = (await commands.known(DETECTION_POLICY, [policy_id]))[policy_id]
        policy = policy_standing.state.policy
        kpi = (await commands.known(KPI, [policy.kpi_id]))[policy.kpi_id].state.kpi
        readings = await self._results.readings_of(engine, employee_id, policy.kpi_id)
        target_on = await self._targets(employee_id, policy.kpi_id)
        judged = period_of(policy, date.fromisoformat(start))
        results = [one for one in period_results(policy, kpi, readings) if one.period.end < self._service.today()]
        ids = await self._detections.ids_of(engine, employee_id, policy_id)
        known = [one.state.detection for one in (await commands.known(DETECTION, ids)).values()]
        streak = find_streak(policy, kpi, results, target_on, judged, known)
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
        )
        context = Context(now=self._service.now(), today=self._service.today(), actor="policy:detection")
        await commands.handle(DETECTION, detection.detection_id, detection, context)

    async def _targets(self, employee_id: str, kpi_id: str) -> Callable[[date], Target | None]:
        """The target for an employee on any day: of the team of that day, or else the centre's."""
        teams = await self._people.teams_of(self._service.engine, employee_id)
        targets = await self._catalogue.targets_of(self._service.engine, kpi_id)

        def target_on(day: date) -> Target | None:
            text = day.isoformat()
            team_id = next((span.team_id for span in teams if span.from_date <= text < span.until_date), "")
            in_force = [t for t in targets if t.team_id in ("", team_id) and t.effective_date <= text]
            return max(in_force, key=lambda t: (t.team_id != "", t.effective_date), default=None)

        return target_on


def period_results(policy: DetectionPolicy, kpi: Kpi, readings: Sequence[RecordedReading]) -> list[PeriodResult]:
    """What an employee's readings of one KPI (ascending by day) add up to in each of the policy's periods."""

    def period(reading: RecordedReading) -> Span:
        return period_of(policy, date.fromisoformat(reading.date))

    return [_result(kpi, span, list(group)) for span, group in groupby(readings, key=period)]


def _result(kpi: Kpi, period: Span, readings: list[RecordedReading]) -> PeriodResult:
    numerators = [reading.numerator for reading in readings]
    combine = {Kpi.AGGREGATION_MINIMUM: min, Kpi.AGGREGATION_MAXIMUM: max}.get(kpi.aggregation, sum)
    facts = tuple(
        FactReference(
            date=reading.date,
            source=reading.source,
            numerator=reading.numerator,
            denominator=reading.denominator,
            log_position=reading.log_position,
        )
        for reading in readings
    )
    return PeriodResult(period, combine(numerators), sum(reading.denominator for reading in readings), facts)
