"""A system whose log grows: what it takes on disk and in memory, and how long it follows, starts and rebuilds."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from grpc import aio

from libs.cli.embedded import Embedded, running
from libs.cli.issuer import Issuer
from libs.common.settings import Settings
from stepladder.common.v1.operations_pb2 import ListFollowersRequest, RebuildFollowerRequest
from stepladder.common.v1.operations_pb2_grpc import OperationsServiceStub
from stepladder.performance.v1.directory_pb2 import CreateTeamRequest, Employee, HireEmployeeRequest, Team
from stepladder.performance.v1.directory_pb2_grpc import DirectoryServiceStub
from stepladder.performance.v1.facts_pb2 import Fact, RecordFactsRequest
from stepladder.performance.v1.facts_pb2_grpc import FactsServiceStub
from stepladder.performance.v1.kpi_pb2 import CreateKpiRequest
from stepladder.performance.v1.kpi_pb2_grpc import KpiServiceStub
from stepladder_client import connect
from tests.bench.centre import KPIS, employee_id, fact, kpi
from tests.bench.figures import Stopwatch
from tests.bench.running import new_folder
from tests.servers import own_ports

TEAM_SIZE = 15
AT_ONCE = 4
"""Requests of facts in flight, each of a thousand."""
MEGABYTE = 1024 * 1024


@dataclass(frozen=True)
class Taken:
    """What a system takes at some size of its log.

    Attributes:
        events: how many are in LOG and LOG_RESTRICTED.
        disk: megabytes of each stream, and of each service's read models.
        memory: megabytes of each process (PSS: a page that several share is counted once).
        recorded: facts that were recorded on the way here; 0 where the system was started again.
        seconds: how long that took, or to start.
        behind: seconds from then until every follower, and the relay, had caught up.
    """

    events: int
    disk: dict[str, float]
    memory: dict[str, float]
    recorded: int = 0
    seconds: float = 0
    behind: float = 0


@dataclass
class Growing:
    """A centre of so many employees, of whom each day brings a fact each."""

    employees: int
    tell: Callable[[str], None]
    facts: int = field(default=0, init=False)

    async def run(self, sizes: Sequence[int]) -> AsyncIterator[Taken]:
        """What is taken with so many facts, one size after the other; then by the same system, started again."""
        settings = own_ports().model_copy(update={"calls_per_second": 1_000_000})
        with new_folder() as folder:
            async with self._system(folder / "system", settings) as (system, channel):
                await self._hire(channel)
                await self._caught_up(channel)
                for size in sizes:
                    yield await self._grow(system, channel, size)
                self.tell(await _rebuilt(channel))
            watch = Stopwatch()
            async with self._system(folder / "system", settings) as (system, channel):
                seconds = watch.seconds
                await self._caught_up(channel)
                yield Taken(*await _size(system, channel), seconds=seconds)

    @asynccontextmanager
    async def _system(self, folder: Path, settings: Settings) -> AsyncIterator[tuple[Embedded, aio.Channel]]:
        async with running(folder, settings) as system:
            token = Issuer.of(folder, settings).system("capacity")
            async with connect(f"127.0.0.1:{settings.public_port}", token=token) as channel:
                yield system, channel

    async def _hire(self, channel: aio.Channel) -> None:
        """Everybody has a name, so a data key, and a team."""
        directory, kpis = DirectoryServiceStub(channel), KpiServiceStub(channel)
        for kpi_id in KPIS:
            await kpis.CreateKpi(CreateKpiRequest(kpi=kpi(kpi_id)))
        for number in range(0, self.employees, TEAM_SIZE):
            await directory.CreateTeam(CreateTeamRequest(team=Team(team_id=_team(number), display_name=_team(number))))

        async def hire(number: int) -> None:
            one = Employee(employee_id=employee_id(number), display_name="Anna Liepa", team_id=_team(number))
            one.hire_date, one.position, one.position_since = "2020-01-01", "agent", "2020-01-01"
            await directory.HireEmployee(HireEmployeeRequest(employee=one))

        await _in_turn(AT_ONCE * 16, (hire(number) for number in range(self.employees)))

    async def _grow(self, system: Embedded, channel: aio.Channel, size: int) -> Taken:
        service, before, watch = FactsServiceStub(channel), self.facts, Stopwatch()

        async def record(facts: list[Fact]) -> None:
            answer = await service.RecordFacts(RecordFactsRequest(facts=facts))
            if answer.rejections:
                raise RuntimeError(f"facts were refused: {answer.rejections[0]}")
            self.facts += answer.recorded

        def requests() -> Iterator[Coroutine[Any, Any, None]]:
            told = self.facts
            while told < size:
                day, first = divmod(told, self.employees)
                count = min(1000, self.employees - first, size - told)
                yield record([fact(number, day) for number in range(first, first + count)])
                told += count
                if told % 50_000 < count:
                    self.tell(f"{told:,} facts of {size:,}")

        await _in_turn(AT_ONCE, requests())
        seconds = watch.seconds
        await self._caught_up(channel)
        taken = await _size(system, channel)
        return Taken(*taken, recorded=self.facts - before, seconds=seconds, behind=watch.seconds - seconds)

    async def _caught_up(self, channel: aio.Channel) -> None:
        operations, told = OperationsServiceStub(channel), Stopwatch()
        while True:
            followers = (await operations.ListFollowers(ListFollowersRequest(service="-"))).followers
            if parked := [one.name for one in followers if one.parked_events or one.error]:
                raise RuntimeError(f"followers have trouble: {parked}")
            if not (behind := [one for one in followers if one.lag]):
                return
            last = max(behind, key=lambda one: one.lag)
            if told.seconds > 10:
                self.tell(f"{last.service}/{last.name} is {last.lag:,} events behind")
                told = Stopwatch()
            await asyncio.sleep(0.2)


def _team(number: int) -> str:
    return f"t-{number // TEAM_SIZE:04d}"


async def _in_turn(at_once: int, work: Iterator[Coroutine[Any, Any, None]]) -> None:
    async def do() -> None:
        for one in work:
            await one

    await asyncio.gather(*(do() for _ in range(at_once)))


async def _size(system: Embedded, channel: aio.Channel) -> tuple[int, dict[str, float], dict[str, float]]:
    followers = (await OperationsServiceStub(channel).ListFollowers(ListFollowersRequest(service="-"))).followers
    events = sum({one.stream: one.end for one in followers}.values())
    streams = (system.folder / "nats" / "store" / "jetstream").glob("*/streams/*")
    disk = {one.name: _megabytes(one.rglob("*")) for one in streams}
    databases = {one.stem for one in system.folder.glob("*.db")}
    disk |= {f"{name}.db": _megabytes(system.folder.glob(f"{name}.db*")) for name in sorted(databases)}
    memory = {}
    for name, server in system.servers.items():
        if server.process:
            process = psutil.Process(server.process.pid)
            every = (process, *process.children(recursive=True))
            memory[name] = sum(one.memory_full_info().pss for one in every) / MEGABYTE
    return events, disk, memory


def _megabytes(files: Iterator[Path]) -> float:
    return sum(file.stat().st_blocks * 512 for file in files if file.is_file()) / MEGABYTE


async def _rebuilt(channel: aio.Channel) -> str:
    """Rebuilds the largest read model while the system serves."""
    watch, last = Stopwatch(), 0
    request = RebuildFollowerRequest(service="performance", follower="results")
    async for step in OperationsServiceStub(channel).RebuildFollower(request):
        last = step.end
    return f"performance/results was rebuilt in {watch.seconds:.1f} s, {last / watch.seconds:,.0f} events/s"
