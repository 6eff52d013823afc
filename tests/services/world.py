"""The three services in one process, on a real log and real databases, with a clock that tests move."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from grpc import aio

from libs.cli.embedded import make_key, migrate_all, stored_in
from libs.cli.nats_server import NatsServer
from libs.common.service import Service, open_service
from libs.common.settings import Settings
from services.coaching import __main__ as coaching
from services.performance import __main__ as performance
from services.promotion import __main__ as promotion
from stepladder.coaching.v1.case_file_pb2_grpc import CaseFileServiceStub
from stepladder.coaching.v1.comparison_pb2_grpc import ComparisonServiceStub
from stepladder.coaching.v1.effect_pb2_grpc import EffectServiceStub
from stepladder.coaching.v1.mastery_pb2_grpc import MasteryServiceStub
from stepladder.coaching.v1.pip_pb2_grpc import PipServiceStub
from stepladder.coaching.v1.plan_pb2_grpc import PlanServiceStub
from stepladder.coaching.v1.rhythm_pb2_grpc import RhythmServiceStub
from stepladder.coaching.v1.separation_pb2_grpc import SeparationServiceStub
from stepladder.coaching.v1.session_pb2_grpc import SessionServiceStub
from stepladder.coaching.v1.sharing_pb2_grpc import SharingServiceStub
from stepladder.coaching.v1.suggestion_pb2_grpc import SuggestionServiceStub
from stepladder.coaching.v1.training_pb2_grpc import TrainingServiceStub
from stepladder.coaching.v1.worklist_pb2_grpc import WorklistServiceStub
from stepladder.performance.v1.assessment_pb2_grpc import AssessmentServiceStub
from stepladder.performance.v1.calibration_pb2_grpc import CalibrationServiceStub
from stepladder.performance.v1.check_in_pb2_grpc import CheckInServiceStub
from stepladder.performance.v1.detection_pb2_grpc import DetectionServiceStub
from stepladder.performance.v1.directory_pb2 import (
    AppointTeamLeadRequest,
    CreateTeamRequest,
    Employee,
    HireEmployeeRequest,
    Team,
)
from stepladder.performance.v1.directory_pb2_grpc import DirectoryServiceStub
from stepladder.performance.v1.facts_pb2 import (
    DisputeFactRequest,
    Fact,
    Reading,
    ReadingsOfDay,
    RecordFactsRequest,
    RecordFactsResponse,
)
from stepladder.performance.v1.facts_pb2_grpc import FactsServiceStub
from stepladder.performance.v1.kpi_pb2 import CreateKpiRequest, Kpi
from stepladder.performance.v1.kpi_pb2_grpc import KpiServiceStub
from stepladder.performance.v1.lead_comparison_pb2_grpc import LeadComparisonServiceStub
from stepladder.performance.v1.policy_pb2_grpc import PolicyServiceStub
from stepladder.performance.v1.record_pb2_grpc import RecordServiceStub
from stepladder.performance.v1.report_pb2_grpc import ReportServiceStub
from stepladder.performance.v1.roster_pb2_grpc import AtRiskServiceStub
from stepladder.performance.v1.scorecard_pb2_grpc import ScorecardServiceStub
from stepladder.promotion.v1.candidacy_pb2_grpc import CandidacyServiceStub
from stepladder.promotion.v1.career_pb2_grpc import CareerServiceStub
from stepladder.promotion.v1.competition_pb2_grpc import CompetitionServiceStub
from stepladder.promotion.v1.cycle_pb2_grpc import CycleServiceStub
from stepladder.promotion.v1.document_pb2_grpc import DocumentServiceStub
from stepladder.promotion.v1.eligibility_pb2_grpc import EligibilityServiceStub
from stepladder.promotion.v1.fairness_pb2_grpc import FairnessServiceStub
from stepladder.promotion.v1.peer_score_pb2_grpc import PeerScoreServiceStub
from stepladder.promotion.v1.post_pb2_grpc import PostServiceStub
from stepladder.promotion.v1.scoring_pb2_grpc import ScoreServiceStub
from stepladder_client import connect
from tests.tokens import SYSTEM, TOKEN_KEYS, as_person

HR = "e-hr"
"""Of HR, and calls where a test does not say who, and the call is not for everybody; hired with the first such call."""
UNIQUE = itertools.count()
PARTITIONS = 3
"""Into how many a follower is divided that can be, where there is PostgreSQL."""
MODULES = {"performance": performance, "coaching": coaching, "promotion": promotion}
T = TypeVar("T")


@dataclass
class World:
    """Stubs of every service, and the clock that they all go by."""

    channels: dict[str, aio.Channel]
    services: dict[str, Service]
    clock: list[datetime] = field(default_factory=list)
    addresses: dict[str, str] = field(default_factory=dict)

    @property
    def directory(self) -> DirectoryServiceStub:
        return DirectoryServiceStub(self.channels["performance"])

    @property
    def kpis(self) -> KpiServiceStub:
        return KpiServiceStub(self.channels["performance"])

    @property
    def facts(self) -> FactsServiceStub:
        return FactsServiceStub(self.channels["performance"])

    @property
    def detections(self) -> DetectionServiceStub:
        return DetectionServiceStub(self.channels["hr-performance"])

    @property
    def policies(self) -> PolicyServiceStub:
        return PolicyServiceStub(self.channels["performance"])

    @property
    def records(self) -> RecordServiceStub:
        return RecordServiceStub(self.channels["hr-performance"])

    @property
    def assessments(self) -> AssessmentServiceStub:
        return AssessmentServiceStub(self.channels["hr-performance"])

    @property
    def calibrations(self) -> CalibrationServiceStub:
        return CalibrationServiceStub(self.channels["hr-performance"])

    @property
    def reports(self) -> ReportServiceStub:
        return ReportServiceStub(self.channels["hr-performance"])

    @property
    def scorecards(self) -> ScorecardServiceStub:
        return ScorecardServiceStub(self.channels["hr-performance"])

    @property
    def comparisons(self) -> LeadComparisonServiceStub:
        return LeadComparisonServiceStub(self.channels["hr-performance"])

    @property
    def check_ins(self) -> CheckInServiceStub:
        return CheckInServiceStub(self.channels["performance"])

    @property
    def at_risk(self) -> AtRiskServiceStub:
        return AtRiskServiceStub(self.channels["performance"])

    @property
    def plans(self) -> PlanServiceStub:
        return PlanServiceStub(self.channels["hr"])

    @property
    def pips(self) -> PipServiceStub:
        return PipServiceStub(self.channels["coaching"])

    @property
    def sessions(self) -> SessionServiceStub:
        return SessionServiceStub(self.channels["coaching"])

    @property
    def masteries(self) -> MasteryServiceStub:
        return MasteryServiceStub(self.channels["hr"])

    @property
    def trainings(self) -> TrainingServiceStub:
        return TrainingServiceStub(self.channels["hr"])

    @property
    def sharings(self) -> SharingServiceStub:
        return SharingServiceStub(self.channels["hr"])

    @property
    def suggestions(self) -> SuggestionServiceStub:
        return SuggestionServiceStub(self.channels["coaching"])

    @property
    def effects(self) -> EffectServiceStub:
        return EffectServiceStub(self.channels["hr"])

    @property
    def case_files(self) -> CaseFileServiceStub:
        return CaseFileServiceStub(self.channels["coaching"])

    @property
    def rhythm(self) -> RhythmServiceStub:
        return RhythmServiceStub(self.channels["coaching"])

    @property
    def separation(self) -> SeparationServiceStub:
        return SeparationServiceStub(self.channels["coaching"])

    @property
    def worklists(self) -> WorklistServiceStub:
        return WorklistServiceStub(self.channels["coaching"])

    @property
    def outcomes(self) -> ComparisonServiceStub:
        return ComparisonServiceStub(self.channels["coaching"])

    @property
    def eligibility(self) -> EligibilityServiceStub:
        return EligibilityServiceStub(self.channels["hr-promotion"])

    @property
    def fairness(self) -> FairnessServiceStub:
        return FairnessServiceStub(self.channels["promotion"])

    @property
    def competitions(self) -> CompetitionServiceStub:
        return CompetitionServiceStub(self.channels["promotion"])

    @property
    def cycles(self) -> CycleServiceStub:
        return CycleServiceStub(self.channels["promotion"])

    @property
    def posts(self) -> PostServiceStub:
        return PostServiceStub(self.channels["hr-promotion"])

    @property
    def careers(self) -> CareerServiceStub:
        return CareerServiceStub(self.channels["hr-promotion"])

    @property
    def scores(self) -> ScoreServiceStub:
        return ScoreServiceStub(self.channels["promotion"])

    @property
    def documents(self) -> DocumentServiceStub:
        return DocumentServiceStub(self.channels["promotion"])

    @property
    def candidacies(self) -> CandidacyServiceStub:
        return CandidacyServiceStub(self.channels["hr-promotion"])

    @property
    def peer_scores(self) -> PeerScoreServiceStub:
        return PeerScoreServiceStub(self.channels["promotion"])

    async def end(self) -> int:
        """The last position in the log."""
        return (await self.services["performance"].stream.state()).last

    async def team(self) -> str:
        """A new team."""
        team_id = new_id("t")
        await self.directory.CreateTeam(CreateTeamRequest(team=Team(team_id=team_id, display_name="A team")))
        return team_id

    async def employee(self, team_id: str, hire_date: str = "2019-01-01", job_family: str = "") -> str:
        """A new member of a team."""
        employee = Employee(
            employee_id=new_id("e"),
            display_name="Somebody",
            hire_date=hire_date,
            team_id=team_id,
            job_family=job_family,
            position="agent",
            position_since=hire_date,
        )
        await self.directory.HireEmployee(HireEmployeeRequest(employee=employee))
        return employee.employee_id

    async def lead(self, team_id: str) -> str:
        """A new member of a team who leads it."""
        lead_id = await self.employee(team_id)
        appoint = AppointTeamLeadRequest(team_id=team_id, lead_id=lead_id, effective_date="2019-01-01")
        await self.directory.AppointTeamLead(appoint)
        return lead_id

    async def kpi(self, aggregation: "Kpi.Aggregation.ValueType" = Kpi.AGGREGATION_RATIO) -> str:
        """A new KPI in per cent, lower is better."""
        kpi = Kpi(
            kpi_id=new_id("k"),
            display_name="A KPI",
            unit=Kpi.UNIT_PERCENT,
            direction=Kpi.DIRECTION_LOWER,
            aggregation=aggregation,
            scale_numerator=100 if aggregation == Kpi.AGGREGATION_RATIO else 1,
            scale_denominator=1,
            precision=1,
        )
        await self.kpis.CreateKpi(CreateKpiRequest(kpi=kpi))
        return kpi.kpi_id

    async def record(self, *facts: Fact, request_id: str = "") -> RecordFactsResponse:
        answer: RecordFactsResponse = await self.facts.RecordFacts(
            RecordFactsRequest(request_id=request_id, facts=facts)
        )
        return answer

    async def dispute(self, readings: ReadingsOfDay, reviewer_id: str) -> None:
        """The employee says that readings are not theirs."""
        request = DisputeFactRequest(readings=readings, reason="not mine", reviewer_id=reviewer_id)
        await self.facts.DisputeFact(request, metadata=as_person(readings.employee_id))


class _AsHr(aio.UnaryUnaryClientInterceptor):
    """Lets HR call where nobody else does."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._hiring = asyncio.Lock()
        self._hired = False

    async def intercept_unary_unary(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        if not client_call_details.metadata:
            await self._hire()
            client_call_details = client_call_details._replace(metadata=as_person(HR))
        return await continuation(client_call_details, request)

    async def _hire(self) -> None:
        async with self._hiring:
            if not self._hired:
                directory, team = self._world.directory, await self._world.team()
                person = Employee(employee_id=HR, display_name="Of HR", team_id=team, job_family="hr")
                person.hire_date, person.position, person.position_since = "1990-01-01", "specialist", "1990-01-01"
                await directory.HireEmployee(HireEmployeeRequest(employee=person))
                self._hired = True


def new_id(prefix: str) -> str:
    """An id that is not taken."""
    return f"{prefix}-{next(UNIQUE):05}"  # sorts in the order of making


def fact(employee_id: str, day: str, kpi_id: str, numerator: int, denominator: int | None = 100) -> Fact:
    """One reading of one day; without a denominator for a KPI that is no ratio."""
    denominators = [] if denominator is None else [denominator]
    reading = Reading(kpi_id=kpi_id, numerators=[numerator], denominators=denominators)
    return Fact(employee_id=employee_id, date=day, source="calls", readings=[reading])


async def until(question: Callable[[], Awaitable[T]], wanted: Callable[[T], bool]) -> T:
    """Asks again until the answer is the wanted one."""
    async with asyncio.timeout(20):
        while not wanted(answer := await question()):
            await asyncio.sleep(0.02)
        return answer


async def caught_up(world: World, service: str = "performance") -> None:
    """Returns when every read model and policy of a service has done what is in the log."""
    end = await world.end()
    for follower in world.services[service].followers:
        await follower.wait_for(end, 20)


async def judged(world: World) -> None:
    """Returns when every period that is due was judged, and everybody has heard of what came of it."""

    async def deadlines() -> int:
        await caught_up(world)
        return sum([(await follower.standing()).deadlines for follower in world.services["performance"].followers])

    await until(deadlines, lambda left: left == 0)
    await caught_up(world)


_EMPTY: dict[str, bytes] = {}


async def empty_databases() -> dict[str, bytes]:
    """Files of databases of this version, by name; made once, for migrating is most of what opening a world takes."""
    if not _EMPTY:
        with TemporaryDirectory() as folder:
            await migrate_all(stored_in(Path(folder), Settings()))
            _EMPTY.update(_databases_in(Path(folder)))
    return _EMPTY


def _databases_in(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*.db")}


@asynccontextmanager
async def open_world(
    folder: Path,
    nats: NatsServer,
    database_url: str = "",
    site: ZoneInfo | None = None,
    now: datetime | None = None,
) -> AsyncIterator[World]:
    """All three services on ports of their own, with what is in the folder.

    `database_url` (with `{service}`) takes the place of SQLite, and is of databases that are migrated. There, followers
    that can be divided are.
    """
    make_key(folder / "kek")
    free = {f"{name}_address": "127.0.0.1:0" for name in MODULES}
    settings = stored_in(folder, Settings(**free)).model_copy(  # type: ignore[arg-type] # all are strings
        update={"nats_url": nats.url, "nats_monitor_url": nats.monitor_url, "token_keys": TOKEN_KEYS}
    )
    if database_url:
        settings = settings.model_copy(update={"database_url": database_url, "partitions": PARTITIONS})
    if site:
        settings = settings.model_copy(update={"site_time_zone": site})
    for name, content in (await empty_databases()).items():
        with suppress(FileExistsError), (folder / name).open("xb") as file:
            file.write(content)
    clock = [now or datetime.now(UTC)]
    async with AsyncExitStack() as stack:
        world = World({}, {}, clock)
        for name, module in MODULES.items():
            service = await stack.enter_async_context(open_service(name, settings, module.EVENTS, now=lambda: clock[0]))
            serving = await stack.enter_async_context(service.serving(module.build(service)))
            world.services[name] = service
            world.addresses[name] = serving.address
            world.channels[name] = await stack.enter_async_context(connect(serving.address, retry=False, token=SYSTEM))
        as_hr = _AsHr(world)
        for channel_name, server in (
            ("hr-performance", "performance"),
            ("hr", "coaching"),
            ("hr-promotion", "promotion"),
        ):
            channel = aio.insecure_channel(world.addresses[server], interceptors=[as_hr])
            world.channels[channel_name] = await stack.enter_async_context(channel)
        yield world
