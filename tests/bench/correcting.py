"""How long it takes until a late correction has reached everything that rests on it."""

import asyncio
from statistics import median

from grpc.aio import Channel

from libs.cli.credentials import issuer_of
from libs.cli.embedded import running
from libs.common.jetstream import JetStreamStream, connect
from stepladder.common.v1.envelope_pb2 import Envelope
from stepladder.performance.v1.directory_pb2 import (
    AppointTeamLeadRequest,
    CreateTeamRequest,
    Employee,
    HireEmployeeRequest,
    Team,
)
from stepladder.performance.v1.directory_pb2_grpc import DirectoryServiceStub
from stepladder.performance.v1.facts_pb2 import (
    RATING_GOOD,
    RATING_QUALIFIED,
    CorrectFactRequest,
    Fact,
    Reading,
    RecordFactsRequest,
)
from stepladder.performance.v1.facts_pb2_grpc import FactsServiceStub
from stepladder.performance.v1.kpi_pb2 import CreateKpiRequest, Kpi, SetTargetRequest, Target
from stepladder.performance.v1.kpi_pb2_grpc import KpiServiceStub
from stepladder.performance.v1.policy_pb2 import Policy, Scope, ScorecardPolicy, SetPolicyRequest
from stepladder.performance.v1.policy_pb2_grpc import PolicyServiceStub
from stepladder.performance.v1.scorecard_pb2 import CloseMonthRequest
from stepladder.performance.v1.scorecard_pb2_grpc import ScorecardServiceStub
from stepladder_client import connect as open_channel
from tests.bench.figures import Figure, Measured, Stopwatch
from tests.bench.running import new_folder
from tests.policies import detecting, rule
from tests.servers import log_of, own_ports

CASCADE_LIMIT_MS = 100.0
AGENTS = 20
HR = "e-hr"
KPIS = [f"kpi-{number}" for number in range(8)]
MONTHS = [f"2024-{number:02}" for number in range(1, 13)]
OWN = ("MonthRevised", "DetectionDrifted", "PlanEvidenceDrifted")
"""What follows a correction about the employee; the lead's own month is revised after them."""


def _policy(policy_id: str, basis: "ScorecardPolicy.Basis.ValueType", position: str = "") -> SetPolicyRequest:
    card = ScorecardPolicy(
        scope=Scope(position=position),
        basis=basis,
        items=[
            ScorecardPolicy.Item(kpi_id=kpi_id, weight="12.5", attainment=ScorecardPolicy.Attainment())
            for kpi_id in KPIS
        ],
        missing=ScorecardPolicy.MISSING_SPREAD,
        bands=[
            ScorecardPolicy.Band(rating=RATING_QUALIFIED, lower="0", upper="80"),
            ScorecardPolicy.Band(rating=RATING_GOOD, lower="80", upper="100"),
        ],
        ties=ScorecardPolicy.TIES_STANDARD,
    )
    return SetPolicyRequest(policy=Policy(policy_id=policy_id, effective_date="2020-01-01", scorecard=card))


def _facts(agent: int, month: str, days: int) -> list[Fact]:
    readings = [Reading(kpi_id=kpi_id, numerators=[20], denominators=[100]) for kpi_id in KPIS]
    return [
        Fact(employee_id=f"e-{agent}", date=f"{month}-{day:02}", source="calls", readings=readings)
        for day in range(1, days + 1)
    ]


async def _tell(channel: Channel, as_hr: Channel, months: list[str], days: int) -> None:
    """A team with its lead, closed months, and a detection with a plan for everybody."""
    directory, kpis, policies = DirectoryServiceStub(channel), KpiServiceStub(channel), PolicyServiceStub(channel)
    await directory.CreateTeam(CreateTeamRequest(team=Team(team_id="t-1", display_name="One")))
    for number in range(AGENTS + 1):
        lead = number == AGENTS
        person = Employee(
            employee_id=f"e-{number}",
            display_name="Somebody",
            hire_date="2023-01-01",
            team_id="t-1",
            position="team-lead" if lead else "agent",
        )
        await directory.HireEmployee(HireEmployeeRequest(employee=person))
    await directory.AppointTeamLead(
        AppointTeamLeadRequest(team_id="t-1", lead_id=f"e-{AGENTS}", effective_date="2023-01-01")
    )
    for kpi_id in KPIS:
        kpi = Kpi(
            kpi_id=kpi_id,
            display_name=kpi_id,
            unit=Kpi.UNIT_PERCENT,
            direction=Kpi.DIRECTION_LOWER,
            aggregation=Kpi.AGGREGATION_RATIO,
            scale_numerator=100,
            scale_denominator=1,
        )
        await kpis.CreateKpi(CreateKpiRequest(kpi=kpi))
        await kpis.SetTarget(SetTargetRequest(target=Target(kpi_id=kpi_id, effective_date="2020-01-01", maximum="10")))
    await policies.SetPolicy(_policy("agents", ScorecardPolicy.BASIS_OWN))
    await policies.SetPolicy(_policy("leads", ScorecardPolicy.BASIS_TEAM, "team-lead"))
    await policies.SetPolicy(detecting("misses", rule(KPIS[0], streak=2)))
    await directory.CreateTeam(CreateTeamRequest(team=Team(team_id="t-hr", display_name="Of HR")))
    person = Employee(employee_id=HR, display_name="Somebody", hire_date="2023-01-01", team_id="t-hr", job_family="hr")
    await directory.HireEmployee(HireEmployeeRequest(employee=person))
    facts, cards = FactsServiceStub(channel), ScorecardServiceStub(as_hr)
    for month in months:
        for agent in range(AGENTS):
            await facts.RecordFacts(RecordFactsRequest(facts=_facts(agent, month, days)))
        await cards.CloseMonth(CloseMonthRequest(month=month))


async def correction_ms(quick: bool) -> Measured:
    """Milliseconds from the answer to CorrectFact, in the first of twelve closed months, to the plan's flag.

    By then the employee's month is revised, the detection is told, and coaching has flagged the plan. `with_lead`:
    until the lead's own scorecard, out of twenty people's facts, is revised, too.
    """
    months, days, times = (MONTHS[:2], 5, 3) if quick else (MONTHS, 22, 20)
    with new_folder() as folder:
        async with running(folder / "system", own_ports()) as system:
            settings = system.settings
            client = await connect(log_of(system, "coaching"), "coaching")
            stream = JetStreamStream(client)
            issuer = issuer_of(system.folder)
            channel = open_channel(settings.performance_address, token=issuer.system("bench"))
            async with open_channel(settings.performance_address, token=issuer.person(HR)) as as_hr:
                await _tell(channel, as_hr, months, days)
            own: list[float] = []
            whole: list[float] = []
            for number in range(times):
                await _quiet(stream)
                after = (await stream.state()).last
                fact = Fact(
                    employee_id=f"e-{number % AGENTS}",
                    date=f"{months[0]}-0{1 + number // AGENTS}",
                    source="calls",
                    readings=[Reading(kpi_id=KPIS[0], numerators=[3], denominators=[100])],
                )
                async with stream.feed(["log.performance.>", "log.coaching.>"], after) as feed:
                    await FactsServiceStub(channel).CorrectFact(CorrectFactRequest(fact=fact, reason="measured"))
                    watch = Stopwatch()
                    seen: list[str] = []
                    while len(seen) < 1 + len(OWN) + 1:
                        arrived = await feed.next(10, wait_seconds=1.0)
                        seen += [Envelope.FromString(one.payload).type.rpartition(".")[2] for one in arrived]
                        if watch.seconds > 30:
                            raise RuntimeError(f"a correction was followed by {seen} only")
                        if len(seen) == 1 + len(OWN):
                            own.append(1000 * watch.seconds)
                    whole.append(1000 * watch.seconds)
            await channel.close()
            await client.close()
    return Measured(median(own or whole), CASCADE_LIMIT_MS, {"with_lead": median(whole)})


async def _quiet(stream: JetStreamStream) -> None:
    """Returns when nothing has been written for a while."""
    before = -1
    while (last := (await stream.state()).last) != before:
        before = last
        await asyncio.sleep(1.0)


FIGURES = (
    Figure(
        "correction_ms",
        "ms",
        "lower",
        1.0,
        "from a correction eleven months late to everything of the employee's revised and flagged",
        correction_ms,
    ),
)
