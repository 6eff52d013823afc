"""What happens in the observed system: calls that are answered and refused, a plan, a webhook that fails."""

import secrets
from contextlib import suppress
from dataclasses import dataclass

from grpc import aio

from libs.cli.issuer import Issuer
from libs.common.auth import bearer
from stepladder.coaching.v1.plan_pb2 import AssessPlanRequest, ListPlansRequest
from stepladder.coaching.v1.plan_pb2_grpc import PlanServiceStub
from stepladder.common.v1.operations_pb2 import ListFollowersRequest
from stepladder.common.v1.operations_pb2_grpc import OperationsServiceStub
from stepladder.gateway.v1.webhook_pb2 import CreateWebhookRequest, Webhook
from stepladder.gateway.v1.webhook_pb2_grpc import WebhookServiceStub
from stepladder.performance.v1.directory_pb2 import (
    AppointTeamLeadRequest,
    CreateTeamRequest,
    Employee,
    GetEmployeeRequest,
    GetTeamRequest,
    HireEmployeeRequest,
    Team,
)
from stepladder.performance.v1.directory_pb2_grpc import DirectoryServiceStub
from stepladder.performance.v1.facts_pb2 import Fact, Reading, RecordFactsRequest
from stepladder.performance.v1.facts_pb2_grpc import FactsServiceStub
from stepladder.performance.v1.kpi_pb2 import CreateKpiRequest, Kpi, SetTargetRequest, Target
from stepladder.performance.v1.kpi_pb2_grpc import KpiServiceStub
from stepladder.performance.v1.policy_pb2_grpc import PolicyServiceStub
from stepladder_client import AlreadyExists, InvalidArgument, NotFound, PermissionDenied, connect
from tests.observing.running import Observed
from tests.policies import DAY, detecting, rule
from tests.servers import free_port
from tests.services.world import until

Metadata = tuple[tuple[str, str], ...]

MARK = "Mnemosyne"
"""Stands in every name and every free text: what is logged, counted or traced holds it nowhere."""
TEAM, KPI, LEAD, AGENT, HR, WEBHOOK = (
    "t-observed",
    "k-observed",
    "e-lead-seen",
    "e-agent-seen",
    "e-hr-seen",
    "w-observed",
)
IDS = (TEAM, LEAD, AGENT, HR, WEBHOOK)


@dataclass(frozen=True)
class Story:
    """What came of it. The trace is one of a caller's, of some of its calls."""

    trace_id: str
    span_id: str
    plan_id: str


async def tell(observed: Observed) -> Story:
    """Tells the story once, through the front door."""
    settings = observed.system.settings
    issuer = Issuer.of(observed.system.folder, settings)
    async with connect(f"127.0.0.1:{settings.public_port}", issuer.system("observing")) as channel:
        trace_id, span_id = secrets.token_hex(16), secrets.token_hex(8)
        traced = (*bearer(issuer.system("observing")), ("traceparent", f"00-{trace_id}-{span_id}-01"))
        await _found(channel)
        appoint = AppointTeamLeadRequest(team_id=TEAM, lead_id=LEAD, effective_date="2019-01-01")
        await DirectoryServiceStub(channel).AppointTeamLead(appoint, metadata=traced)
        await _fail_a_webhook(channel)
        reading = Reading(kpi_id=KPI, numerators=[50], denominators=[100])
        fact = Fact(employee_id=AGENT, date="2020-01-10", source="calls", readings=[reading])
        await FactsServiceStub(channel).RecordFacts(RecordFactsRequest(facts=[fact]), metadata=traced)
        as_hr, plans = bearer(issuer.person(HR)), PlanServiceStub(channel)
        listed = await until(
            lambda: plans.ListPlans(ListPlansRequest(), metadata=as_hr), lambda found: bool(found.plans)
        )
        plan_id = listed.plans[0].plan_id
        await plans.AssessPlan(
            AssessPlanRequest(plan_id=plan_id, assessment=f"{MARK} hangs up early", employee_view=f"{MARK} again"),
            metadata=as_hr,
        )
        operators = OperationsServiceStub(channel)
        await operators.ListFollowers(ListFollowersRequest(service="-"), metadata=traced)
        await _refused(channel, (*bearer(issuer.person(AGENT)), traced[1]))
    return Story(trace_id, span_id, plan_id)


async def _found(channel: aio.Channel) -> None:
    """A team with a lead, an agent and somebody of HR, a KPI with its target, and a policy that finds who misses it."""
    directory, kpis = DirectoryServiceStub(channel), KpiServiceStub(channel)
    await directory.CreateTeam(CreateTeamRequest(team=Team(team_id=TEAM, display_name=f"Team {MARK}")))
    for employee_id, family in ((LEAD, ""), (AGENT, ""), (HR, "hr")):
        person = Employee(
            employee_id=employee_id,
            display_name=f"{MARK} {employee_id.upper()}",
            hire_date="2019-01-01",
            team_id=TEAM,
            job_family=family,
            position="agent",
            position_since="2019-01-01",
        )
        await directory.HireEmployee(HireEmployeeRequest(employee=person))
    kpi = Kpi(
        kpi_id=KPI,
        display_name=f"KPI {MARK}",
        unit=Kpi.UNIT_PERCENT,
        direction=Kpi.DIRECTION_LOWER,
        aggregation=Kpi.AGGREGATION_RATIO,
        scale_numerator=100,
        scale_denominator=1,
        precision=1,
    )
    await kpis.CreateKpi(CreateKpiRequest(kpi=kpi))
    await kpis.SetTarget(SetTargetRequest(target=Target(kpi_id=KPI, effective_date="2020-01-01", maximum="10")))
    await PolicyServiceStub(channel).SetPolicy(detecting("observed", rule(KPI, DAY)))


async def _fail_a_webhook(channel: aio.Channel) -> None:
    """A webhook to where nobody listens, from the first event on."""
    url = f"http://127.0.0.1:{free_port()}/events"
    webhook = Webhook(webhook_id=WEBHOOK, url=url, description=f"for {MARK}")
    await WebhookServiceStub(channel).CreateWebhook(CreateWebhookRequest(webhook=webhook, after=0))


async def _refused(channel: aio.Channel, as_agent: Metadata) -> None:
    """Calls that are refused, each for another reason."""
    directory = DirectoryServiceStub(channel)
    with suppress(NotFound):
        await directory.GetTeam(GetTeamRequest(team_id="t-nowhere"))
    with suppress(InvalidArgument):
        await directory.CreateTeam(CreateTeamRequest(team=Team(team_id=f"{MARK}!", display_name="x" * 1000)))
    with suppress(AlreadyExists):
        await directory.CreateTeam(CreateTeamRequest(team=Team(team_id=TEAM, display_name=f"Another {MARK}")))
    with suppress(PermissionDenied):
        await directory.GetEmployee(GetEmployeeRequest(employee_id=LEAD), metadata=as_agent)
