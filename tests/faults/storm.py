"""A storm: the real services on a real log under load, while they and the server are killed at random moments."""

import asyncio
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from urllib.parse import urlsplit

from grpc import aio
from sqlalchemy import MetaData, select

from libs.cli.child import ChildProcess
from libs.cli.embedded import Embedded, ServiceProcess, make_key, migrate_all, stored_in, wait_serving
from libs.cli.nats_server import NatsServer
from libs.common.database import open_database
from libs.common.jetstream import JetStreamStream, connect, create_streams
from libs.common.settings import Settings
from libs.common.streams import Stored
from services.coaching.plans import Plans
from services.performance.results import Results
from stepladder.common.v1.operations_pb2 import Follower, ListFollowersRequest, ListFollowersResponse
from stepladder.common.v1.operations_pb2_grpc import OperationsServiceStub
from stepladder.performance.v1.directory_pb2 import (
    AppointTeamLeadRequest,
    CreateTeamRequest,
    Employee,
    HireEmployeeRequest,
    Team,
)
from stepladder.performance.v1.directory_pb2_grpc import DirectoryServiceStub
from stepladder.performance.v1.kpi_pb2 import CreateKpiRequest, Kpi, SetTargetRequest, Target
from stepladder.performance.v1.kpi_pb2_grpc import KpiServiceStub
from stepladder.performance.v1.policy_pb2_grpc import PolicyServiceStub
from stepladder_client import connect as open_channel
from tests.faults.checker import Evidence, Outcome, violations
from tests.faults.counting import Counting
from tests.faults.load import EMPLOYEES, KPI_ID, Load
from tests.faults.proxy import LossyProxy
from tests.policies import detecting, rule
from tests.servers import free_port
from tests.tokens import SYSTEM, TOKEN_KEYS, as_system

SERVICES = ("performance", "coaching", "promotion")
READINGS_SECONDS = 120.0
"""An answer that a service misses while it starts costs it 6.5 s: with a third of a core, these took up to 17 s."""
ANSWER_SECONDS = 90.0
"""Patience with what is asked before it is asked again, and as long for the second answer."""


class CountingProcess(ChildProcess):
    """The counting follower, or its careless double, as a process."""

    def __init__(self, nats_url: str, database: Path, *arguments: str) -> None:
        self.log = database.with_suffix(".log")
        self._command = [sys.executable, "-m", "tests.faults.counting", nats_url, str(database), *arguments]

    def start(self) -> None:
        self.spawn(self._command)


@dataclass
class Storm:
    """A running system, what is killed of it, and what it leaves behind.

    `log_url` is where the log is read when all is over, past everything that fails.
    """

    system: Embedded
    log_url: str
    random: Random
    tell: Callable[[str], None]
    proxy: LossyProxy | None = None
    services: Sequence[str] = SERVICES
    kills: Counter[str] = field(default_factory=Counter)

    async def rage(self, kills: int, calm_seconds: tuple[float, float]) -> None:
        """Kills one process after the other, each some time after the last, and starts it again."""
        names = list(self.system.servers)
        for number in range(kills):
            await asyncio.sleep(self.random.uniform(*calm_seconds))
            name = names[number % len(names)] if number < len(names) else self.random.choice(names)
            server = self.system.servers[name]
            await asyncio.to_thread(server.kill)
            server.start()
            self.kills[name] += 1
            self.tell(f"kill {number + 1} of {kills}: {name}")

    def unsupervised(self) -> Mapping[str, ChildProcess]:
        """Servers by name that nobody starts again when they end by themselves."""
        return self.system.servers

    async def until_none(self, missing: Callable[[], Awaitable[str]], seconds: float) -> None:
        """Waits until nothing is missing. Raises AssertionError with what still is, or with who will not do it."""
        deadline = time.monotonic() + seconds
        while said := await missing():
            for name, server in self.unsupervised().items():
                if server.ended():
                    raise AssertionError(f"{said}; {name} has ended: {server.last_words()}")
            if time.monotonic() > deadline:
                raise AssertionError(f"after {seconds:.0f} s, {said}")
            await asyncio.sleep(0.1)

    @property
    def answers_lost(self) -> int:
        """How often what the log answered was lost."""
        return self.proxy.lost if self.proxy is not None else 0

    def calm_down(self) -> None:
        """Nothing is lost on the way any more."""
        if self.proxy is not None:
            self.proxy.calm = True

    async def settle(self, seconds: float = 90.0) -> None:
        """Waits until every follower has caught up and nothing is due any more."""
        self.calm_down()
        await wait_serving(self.system, self.services)

        async def unrest() -> str:
            found = [await _unrest(self.system.settings.address_of(name), name) for name in self.services]
            return "; ".join(filter(None, found))

        await self.until_none(unrest, seconds)

    async def evidence(self, load: Load) -> Evidence:
        """Everything that the checker looks at."""
        found = await self.log()
        results, plans = Results(MetaData()), Plans(MetaData())
        performance = open_database(self.system.settings.database_for("performance"))
        coaching = open_database(self.system.settings.database_for("coaching"))
        async with performance.connect() as connection:
            readings = (await connection.execute(select(results.facts.readings.readings))).all()
        async with coaching.connect() as connection:
            plan_ids = list(await connection.scalars(select(plans.plans.c.plan_id)))
        for engine in (performance, coaching):
            await engine.dispose()
        return replace(
            found,
            acknowledged=load.acknowledged,
            misread=load.misread,
            rows={
                (row.employee_id, row.date, row.source, row.measure): ((row.numerator, row.denominator), row.position)
                for row in readings
            },
            plan_rows=plan_ids,
        )

    async def log(self) -> Evidence:
        """The log, and its events as they were counted."""
        log, counting = await read_log(self.log_url), Counting(MetaData())
        counts = open_database(f"sqlite+aiosqlite:///{self.system.folder}/counting.db")

        async def uncounted() -> str:
            total = await counting.total(counts)
            return f"{total} of {len(log)} events are counted" if total < len(log) else ""

        await self.until_none(uncounted, 60)
        found = Evidence(log, counts=await counting.read(counts), disordered=await counting.disordered(counts))
        await counts.dispose()
        return found


async def _unrest(address: str, service: str) -> str:
    """What keeps a service's followers from being at rest."""
    async with aio.insecure_channel(address) as channel:
        stub = OperationsServiceStub(channel)
        try:
            request = ListFollowersRequest(service=service)
            answer: ListFollowersResponse = await stub.ListFollowers(request, timeout=5, metadata=as_system())
        except aio.AioRpcError as error:
            return f"{service} does not tell of its followers: {error.code().name} {error.details()}"
    if parked := [f for f in answer.followers if f.parked_events or f.error]:
        raise AssertionError(f"parked or stopped: {parked}")
    now = datetime.now(UTC)
    restless = [f for f in answer.followers if f.lag or _is_due(f, now) or f.state != f.STATE_RUNNING]
    return f"{service} is not at rest: {', '.join(map(_told, restless))}" if restless else ""


def _is_due(follower: Follower, now: datetime) -> bool:
    """Whether its clock has something to do: what is kept for an hour is none of that."""
    return follower.deadlines > 0 and follower.next_deadline_time.ToDatetime(UTC) <= now


def _told(follower: Follower) -> str:
    due = f", {follower.deadlines} deadlines from {follower.next_deadline_time.ToJsonString()}"
    return (
        f"{follower.name} {Follower.State.Name(follower.state)} at {follower.position} of {follower.end},"
        f" {follower.lag} behind{due if follower.deadlines else ''}"
    )


async def read_log(url: str) -> list[Stored]:
    """Every entry, straight from the server."""
    client = await connect(url, urlsplit(url).username or "checker")
    stream = JetStreamStream(client)
    last = (await stream.state()).last
    entries: list[Stored] = []
    async with stream.feed(["log.>"], 0) as feed:
        while len(entries) < last:
            entries += await feed.next(1000, wait_seconds=5)
    await client.close()
    return entries


@asynccontextmanager
async def storm(
    folder: Path, seed: int, *, tell: Callable[[str], None] = lambda _: None, lost_every: float = 3.0
) -> AsyncIterator[Storm]:
    """The system with a log of its own, its services behind a proxy that loses answers every so many seconds."""
    for part in ("nats", "logs"):
        (folder / part).mkdir(parents=True)
    make_key(folder / "kek")
    nats = NatsServer(folder / "nats", port=free_port(), monitor_port=free_port())
    addresses = {f"{name}_address": f"127.0.0.1:{free_port()}" for name in SERVICES}
    settings = stored_in(folder, Settings(**addresses, log_level="warning"))  # type: ignore[arg-type] # all are strings
    nats.start()
    servers: dict[str, ChildProcess] = {"nats-server": nats}
    try:
        await migrate_all(settings)
        await asyncio.to_thread(nats.wait_ready)
        client = await connect(nats.url, "setup")
        await create_streams(client, replicas=1)
        await client.close()
        async with LossyProxy(nats.port, seed, lost_every).running() as proxy:
            log_at = {
                "nats_url": f"nats://127.0.0.1:{proxy.port}",
                "nats_monitor_url": nats.monitor_url,
                "token_keys": TOKEN_KEYS,
            }
            system = Embedded(folder, settings.model_copy(update=log_at), servers)
            for name in SERVICES:
                servers[name] = ServiceProcess(name, system.settings, folder / "logs" / f"{name}.log")
            servers["counting"] = CountingProcess(log_at["nats_url"], folder / "counting.db")
            for name in (*SERVICES, "counting"):
                servers[name].start()
            await wait_serving(system, SERVICES)
            await set_up(system.settings.performance_address)
            proxy.calm = False
            yield Storm(system, nats.url, Random(seed), tell, proxy)
    finally:
        for name in [*(name for name in servers if name != "nats-server"), "nats-server"]:
            servers[name].stop()


async def set_up(address: str) -> None:
    """A KPI with a target and a detection policy, a team, its lead and its members."""
    async with open_channel(address, retry=False, token=SYSTEM) as channel:
        kpi = Kpi(
            kpi_id=KPI_ID,
            display_name="Short calls",
            unit=Kpi.UNIT_PERCENT,
            direction=Kpi.DIRECTION_LOWER,
            aggregation=Kpi.AGGREGATION_RATIO,
            scale_numerator=100,
            scale_denominator=1,
        )
        kpis, directory = KpiServiceStub(channel), DirectoryServiceStub(channel)
        await kpis.CreateKpi(CreateKpiRequest(kpi=kpi))
        await kpis.SetTarget(SetTargetRequest(target=Target(kpi_id=KPI_ID, effective_date="1990-01-01", maximum="10")))
        await PolicyServiceStub(channel).SetPolicy(detecting("short", rule(KPI_ID, settle_seconds=1)))
        await directory.CreateTeam(CreateTeamRequest(team=Team(team_id="t-1", display_name="One")))
        for number in range(EMPLOYEES):
            employee = Employee(
                employee_id=f"e-{number}", display_name=f"Agent {number}", hire_date="2000-01-01", team_id="t-1"
            )
            await directory.HireEmployee(HireEmployeeRequest(employee=employee))
        lead = AppointTeamLeadRequest(team_id="t-1", lead_id="e-1", effective_date="2000-01-01")
        await directory.AppointTeamLead(lead)


async def run_storm(
    folder: Path,
    seed: int,
    *,
    kills: int,
    callers: int = 4,
    calm_seconds: tuple[float, float] = (0.3, 1.5),
    tell: Callable[[str], None] = lambda _: None,
) -> tuple[Evidence, Outcome]:
    """One storm from start to rest; answers what it left behind, and what came of it."""
    began = time.monotonic()
    async with storm(folder, seed, tell=tell) as raging:
        load = Load(raging.system.settings.performance_address)
        load.start(callers, seed)
        await raging.rage(kills, calm_seconds)
        # The kills may have left little room for work.
        await raging.until_none(load.too_little, READINGS_SECONDS)
        load.going = False
        raging.calm_down()
        await raging.until_none(load.unanswered, ANSWER_SECONDS)
        tell("calm; waiting until everything has caught up")
        await raging.settle()
        evidence = await raging.evidence(load)
        tell(
            f"seed {seed}: {raging.kills.total()} kills {dict(raging.kills)}, answers lost {raging.answers_lost} times;"
            f" {load.requests} requests ({load.repeated} repetitions), {len(load.acknowledged)} readings acknowledged,"
            f" {len(evidence.log)} events, {len(evidence.plan_rows)} plans; {time.monotonic() - began:.0f} s"
        )
        return evidence, Outcome(
            "everything-killed",
            *(kills + raging.answers_lost, kills, len(load.acknowledged), load.longest_gap, violations(evidence)),
        )
