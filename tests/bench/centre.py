"""A made-up centre to measure with: KPIs, employees, and the facts of any day."""

from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

from google.protobuf.message import Message
from nats.aio.client import Client

from libs.common.commands import Commands
from libs.common.envelope import Codec, event_types
from libs.common.errors import Refused
from libs.common.eventsourcing import Aggregate, Context
from libs.common.jetstream import JetStreamStream
from libs.common.log import EventLog
from services.performance.employee import EMPLOYEE
from services.performance.facts import FACTS, facts_id
from services.performance.kpi import KPI
from stepladder.performance.v1 import events_pb2
from stepladder.performance.v1.directory_pb2 import Employee, HireEmployeeRequest
from stepladder.performance.v1.facts_pb2 import Fact, Reading, RecordFactsRequest
from stepladder.performance.v1.kpi_pb2 import CreateKpiRequest, Kpi

FIRST_DAY = date(2024, 1, 1)

KPIS = {
    "aht": Kpi.AGGREGATION_RATIO,
    "csat": Kpi.AGGREGATION_RATIO,
    "talk-time": Kpi.AGGREGATION_SUM,
    "short-calls": Kpi.AGGREGATION_RATIO,
    "first-call": Kpi.AGGREGATION_MINIMUM,
}


def employee_id(number: int) -> str:
    return f"e-{number:06d}"


def fact(employee: int, day: int, samples: int = 1, kpis: Sequence[str] = ()) -> Fact:
    """An employee's day: three to five readings unless told which, each with so many samples."""
    readings = [
        Reading(
            kpi_id=kpi_id,
            numerators=[300 + (7 * employee + 13 * day + sample) % 600 for sample in range(samples)],
            denominators=[1 + (employee + sample) % 40 for sample in range(samples)]
            if KPIS[kpi_id] == Kpi.AGGREGATION_RATIO
            else [],
        )
        for kpi_id in kpis or list(KPIS)[: 3 + employee % 3]
    ]
    text = (FIRST_DAY + timedelta(days=day)).isoformat()
    return Fact(employee_id=employee_id(employee), date=text, source="calls", readings=readings)


class Writer:
    """Writes the centre to the log by the services' own rules, but faster than by way of gRPC."""

    def __init__(self, client: Client) -> None:
        self._commands = Commands([EventLog(JetStreamStream(client))], CODEC)

    async def create_kpis(self) -> None:
        await self._write(KPI, ((kpi_id, CreateKpiRequest(kpi=kpi(kpi_id))) for kpi_id in KPIS))

    async def hire(self, employees: int) -> None:
        """Employees have no names here: each would take a data key."""
        hires = (Employee(employee_id=employee_id(number), hire_date="2020-01-01") for number in range(employees))
        await self._write(EMPLOYEE, ((hire.employee_id, HireEmployeeRequest(employee=hire)) for hire in hires))

    async def record(self, facts: Iterable[Fact]) -> None:
        """Records one fact of each employee named."""
        commands = ((facts_id(one.employee_id, one.date), RecordFactsRequest(facts=[one])) for one in facts)
        await self._write(FACTS, commands)

    async def _write(self, aggregate: Aggregate[Any], commands: Iterable[tuple[str, Message]]) -> None:
        now = datetime.now(UTC)
        context = Context(now=now, today=now.date(), actor="system:bench")
        for outcome in await self._commands.handle_all(aggregate, list(commands), context):
            if isinstance(outcome, Refused):
                raise outcome


def kpi(kpi_id: str) -> Kpi:
    return Kpi(
        kpi_id=kpi_id,
        display_name=kpi_id,
        unit=Kpi.UNIT_COUNT,
        direction=Kpi.DIRECTION_HIGHER,
        aggregation=KPIS[kpi_id],
        scale_numerator=1,
        scale_denominator=1,
    )


class _NoKeys:
    """Nothing personal is written here."""

    async def get_or_create(self, employee_id: str) -> bytes:
        raise NotImplementedError(employee_id)

    async def get(self, employee_id: str) -> bytes | None:
        raise NotImplementedError(employee_id)

    async def gone(self, employee_ids: Collection[str]) -> frozenset[str]:
        return frozenset(employee_ids)


CODEC = Codec(event_types([events_pb2.DESCRIPTOR]), _NoKeys())
