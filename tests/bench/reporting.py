"""How long a report of a large centre takes."""

import asyncio
from datetime import date, timedelta
from statistics import median

from grpc import StatusCode, aio

from libs.cli.importing import identified
from stepladder.performance.v1.directory_pb2 import CreateTeamRequest, Employee, HireEmployeeRequest, Team
from stepladder.performance.v1.directory_pb2_grpc import DirectoryServiceStub
from stepladder.performance.v1.facts_pb2 import Fact, Reading, RecordFactsRequest
from stepladder.performance.v1.facts_pb2_grpc import FactsServiceStub
from stepladder.performance.v1.kpi_pb2 import CreateKpiRequest, Kpi, SetTargetRequest, Target
from stepladder.performance.v1.kpi_pb2_grpc import KpiServiceStub
from stepladder.performance.v1.report_pb2 import GetReportRequest, Report
from stepladder.performance.v1.report_pb2_grpc import ReportServiceStub
from tests.bench.figures import Figure, Measured, Stopwatch, tell
from tests.bench.running import running_performance
from tests.tokens import as_person, as_system

REPORT_LIMIT_SECONDS = 5.0
TEAMS = 20
KPIS = [f"kpi-{number}" for number in range(8)]
HOURS = range(9, 17)
FIRST = date(2024, 1, 1)
HR = "e-hr"


async def report_year(quick: bool) -> Measured:
    """The year of 500 people with 250 days of 8 KPIs, two of them by the hour; and its busiest month and day."""
    employees, days, rounds = (40, 20, 1) if quick else (500, 250, 3)
    async with running_performance() as system:
        await _set_up(system.channel, employees)
        position = await _record(system.channel, employees, days)
        reports, as_hr = ReportServiceStub(system.channel), as_person(HR)
        await _included(reports, position)
        seconds: dict[str, list[float]] = {"year": [], "month": [], "day": []}
        for _ in range(rounds):
            for period, own in seconds.items():
                watch = Stopwatch()
                request = GetReportRequest(period=period, date="2024-01-15")
                report: Report = await reports.GetReport(request, metadata=as_hr)
                own.append(watch.seconds)
                if len(report.kpis) != len(KPIS) or len(report.teams) != TEAMS:
                    raise RuntimeError(f"the report of the {period} is not whole")
            tell(f"  {', '.join(f'{period} {own[-1]:.2f} s' for period, own in seconds.items())}")
        also = {f"{period}_seconds": median(own) for period, own in seconds.items() if period != "year"}
        return Measured(median(seconds["year"]), REPORT_LIMIT_SECONDS, also)


async def _set_up(channel: aio.Channel, employees: int) -> None:
    kpis, directory = KpiServiceStub(channel), DirectoryServiceStub(channel)
    for kpi_id in KPIS:
        kpi = Kpi(
            kpi_id=kpi_id,
            display_name=kpi_id,
            unit=Kpi.UNIT_COUNT,
            direction=Kpi.DIRECTION_HIGHER,
            aggregation=Kpi.AGGREGATION_SUM if kpi_id == KPIS[0] else Kpi.AGGREGATION_RATIO,
            scale_numerator=1,
            scale_denominator=1,
        )
        await kpis.CreateKpi(identified(CreateKpiRequest(kpi=kpi)), metadata=as_system())
        target = Target(kpi_id=kpi_id, effective_date="2020-01-01", minimum="3", per_day=kpi_id == KPIS[0])
        await kpis.SetTarget(identified(SetTargetRequest(target=target)), metadata=as_system())
    for number in range(TEAMS):
        team = Team(team_id=f"t-{number}", display_name=f"Team {number}")
        await directory.CreateTeam(identified(CreateTeamRequest(team=team)), metadata=as_system())
    hired = [(HR, "hr", "t-0"), *((f"e-{number:04}", "", f"t-{number % TEAMS}") for number in range(employees))]
    for one, family, team_id in hired:
        employee = Employee(
            employee_id=one, display_name=f"Employee {one}", hire_date="2020-01-01", job_family=family, team_id=team_id
        )
        await directory.HireEmployee(identified(HireEmployeeRequest(employee=employee)), metadata=as_system())


async def _record(channel: aio.Channel, employees: int, days: int) -> int:
    stub, position = FactsServiceStub(channel), 0
    for first in range(0, days, 25):
        for number in range(0, employees, 20):
            some = range(number, min(number + 20, employees))
            facts = [_fact(employee, day) for employee in some for day in range(first, min(first + 25, days))]
            answer = await stub.RecordFacts(RecordFactsRequest(facts=facts), metadata=as_system())
            position = max(position, answer.log_position)
        tell(f"  {min(first + 25, days)} of {days} days recorded")
    return position


def _fact(employee: int, day: int) -> Fact:
    def reading(place: int, kpi_id: str) -> Reading:
        hourly = place < 2
        samples = len(HOURS) if hourly else 1
        return Reading(
            kpi_id=kpi_id,
            numerators=[20 + (7 * employee + 13 * day + sample) % 60 for sample in range(samples)],
            denominators=[] if place == 0 else [1 + (employee + sample) % 9 for sample in range(samples)],
            starts=[hour * 60 for hour in HOURS] if hourly else [],
        )

    readings = [reading(place, kpi_id) for place, kpi_id in enumerate(KPIS)]
    text = (FIRST + timedelta(days=day)).isoformat()
    return Fact(employee_id=f"e-{employee:04}", date=text, source="calls", readings=readings)


async def _included(reports: ReportServiceStub, position: int) -> None:
    async with asyncio.timeout(600):
        while True:
            try:
                request = GetReportRequest(period="day", date="2024-01-15", at_least=position)
                await reports.GetReport(request, metadata=as_person(HR))
            except aio.AioRpcError as error:
                if error.code() is not StatusCode.UNAVAILABLE:
                    raise
            else:
                return


FIGURES = (
    Figure(
        "report_seconds",
        "s",
        "lower",
        1.0,
        "the report of a year of 500 employees with 250 days of 8 KPIs, two of them by the hour",
        report_year,
    ),
)
