"""A storm: the real services on a real log under load, while they and the server are killed at random moments."""

import asyncio
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from random import Random

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
from stepladder.performance.v1.facts_pb2 import Fact, Reading, RecordFactsRequest
from stepladder.performance.v1.facts_pb2_grpc import FactsServiceStub
from stepladder.performance.v1.kpi_pb2 import CreateKpiRequest, Kpi, SetTargetRequest, Target
from stepladder.performance.v1.kpi_pb2_grpc import KpiServiceStub
from stepladder.performance.v1.policy_pb2_grpc import PolicyServiceStub
from stepladder_client import connect as open_channel
from tests.faults.checker import Evidence, FactKey, Numbers
from tests.faults.counting import Counting
from tests.faults.proxy import LossyProxy
from tests.policies import detecting, rule
from tests.servers import free_port
from tests.tokens import SYSTEM, TOKEN_KEYS, as_system

SERVICES = ("performance", "coaching", "promotion")
EMPLOYEES = 30
FACTS_IN_A_REQUEST = 20
KPI_ID = "short-calls"
LEAST_READINGS = 400
"""Acknowledged before a storm ends, so that there is something to check."""
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
class Load:
    """Callers that record facts and repeat what was not answered, with the same request id, until it is."""

    address: str
    acknowledged: dict[FactKey, Numbers] = field(default_factory=dict)
    requests: int = 0
    repeated: int = 0
    refusal: str = ""
    going: bool = True
    _callers: list[asyncio.Task[None]] = field(default_factory=list)

    def start(self, callers: int, seed: int) -> None:
        """Sends that many callers to work."""
        self._callers = [asyncio.create_task(self._call(number, seed)) for number in range(callers)]

    async def too_little(self) -> str:
        """What is missing of the readings that a storm needs."""
        self._check()
        if len(self.acknowledged) >= LEAST_READINGS:
            return ""
        return f"{len(self.acknowledged)} of {LEAST_READINGS} readings are acknowledged {self._told()}"

    async def unanswered(self) -> str:
        """How many callers wait for their last answer."""
        self._check()
        waiting = sum(not caller.done() for caller in self._callers)
        return f"{waiting} callers wait for their last answer {self._told()}" if waiting else ""

    def _check(self) -> None:
        """Raises what ended a caller, if anything did."""
        for caller in self._callers:
            if caller.done():
                caller.result()

    def _told(self) -> str:
        return f"({self.requests} requests, {self.repeated} repetitions; the last refusal: {self.refusal or 'none'})"

    async def _call(self, number: int, seed: int) -> None:
        """One caller: its facts have a source of its own, so that nobody else records them."""
        chance = Random(f"{seed}-{number}")
        day = date(2001 + number, 1, 1)
        async with aio.insecure_channel(
            self.address, options=[("grpc.max_reconnect_backoff_ms", 200), ("grpc.initial_reconnect_backoff_ms", 50)]
        ) as channel:
            stub = FactsServiceStub(channel)
            while self.going:
                facts = [_fact(chance, employee, day, f"caller-{number}") for employee in range(FACTS_IN_A_REQUEST)]
                day += timedelta(days=1)
                self.requests += 1
                await self._send(stub, RecordFactsRequest(request_id=f"{number}-{day}", facts=facts))

    async def _send(self, stub: FactsServiceStub, request: RecordFactsRequest) -> None:
        while True:
            try:
                answer = await stub.RecordFacts(request, timeout=40, metadata=as_system())
                break
            except aio.AioRpcError as error:
                if error.code().name not in ("UNAVAILABLE", "DEADLINE_EXCEEDED", "ABORTED", "CANCELLED"):
                    raise
                self.repeated += 1
                self.refusal = f"{error.code().name} {error.details()}"
                await asyncio.sleep(0.05)
        # A repeated request answers what the first one would have: everything recorded, nothing known before.
        if answer.recorded != len(request.facts):
            raise AssertionError(f"{request.request_id} was answered {answer}")
        for fact in request.facts:
            for reading in fact.readings:
                key = (fact.employee_id, fact.date, fact.source, reading.kpi_id)
                self.acknowledged[key] = (sum(reading.numerators), sum(reading.denominators))


def _fact(chance: Random, employee: int, day: date, source: str) -> Fact:
    short = chance.randint(0, 30 if employee % 5 == 0 else 8)
    reading = Reading(kpi_id=KPI_ID, numerators=[short], denominators=[100])
    return Fact(employee_id=f"e-{employee}", date=day.isoformat(), source=source, readings=[reading])


@dataclass
class Storm:
    """A running system, what is killed of it, and what it leaves behind."""

    system: Embedded
    proxy: LossyProxy
    random: Random
    tell: Callable[[str], None]
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

    async def until_none(self, missing: Callable[[], Awaitable[str]], seconds: float) -> None:
        """Waits until nothing is missing. Raises AssertionError with what still is, or with who will not do it."""
        deadline = time.monotonic() + seconds
        while said := await missing():
            for name, server in self.system.servers.items():
                if server.ended():
                    raise AssertionError(f"{said}; {name} has ended: {server.last_words()}")
            if time.monotonic() > deadline:
                raise AssertionError(f"after {seconds:.0f} s, {said}")
            await asyncio.sleep(0.1)

    async def settle(self, seconds: float = 90.0) -> None:
        """Waits until every follower has caught up and nothing is due any more."""
        self.proxy.calm = True
        await wait_serving(self.system, SERVICES)

        async def unrest() -> str:
            found = [await _unrest(self.system.settings.address_of(name), name) for name in SERVICES]
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
            rows={
                (row.employee_id, row.date, row.source, row.measure): ((row.numerator, row.denominator), row.position)
                for row in readings
            },
            plan_rows=plan_ids,
        )

    async def log(self) -> Evidence:
        """The log, and its events as they were counted."""
        nats = self.system.servers["nats-server"]
        assert isinstance(nats, NatsServer)
        log, counting = await read_log(nats), Counting(MetaData())
        counts = open_database(f"sqlite+aiosqlite:///{self.system.folder}/counting.db")

        async def uncounted() -> str:
            total = await counting.total(counts)
            return f"{total} of {len(log)} events are counted" if total < len(log) else ""

        await self.until_none(uncounted, 60)
        found = Evidence(log, counts=await counting.read(counts))
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


async def read_log(nats: NatsServer) -> list[Stored]:
    """Every entry, straight from the server."""
    client = await connect(nats.url, "checker")
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
            await _set_up(system.settings.performance_address)
            proxy.calm = False
            yield Storm(system, proxy, Random(seed), tell)
    finally:
        for name in [*(name for name in servers if name != "nats-server"), "nats-server"]:
            servers[name].stop()


async def _set_up(address: str) -> None:
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
) -> tuple[Evidence, str]:
    """One storm from start to rest; answers what it left behind, and a line that says how hard it was."""
    began = time.monotonic()
    async with storm(folder, seed, tell=tell) as raging:
        load = Load(raging.system.settings.performance_address)
        load.start(callers, seed)
        await raging.rage(kills, calm_seconds)
        # The kills may have left little room for work.
        await raging.until_none(load.too_little, READINGS_SECONDS)
        load.going = False
        raging.proxy.calm = True
        await raging.until_none(load.unanswered, ANSWER_SECONDS)
        tell("calm; waiting until everything has caught up")
        await raging.settle()
        evidence = await raging.evidence(load)
        said = (
            f"seed {seed}: {raging.kills.total()} kills {dict(raging.kills)}, answers lost {raging.proxy.lost} times;"
            f" {load.requests} requests ({load.repeated} repetitions), {len(load.acknowledged)} readings acknowledged,"
            f" {len(evidence.log)} events, {len(evidence.plan_rows)} plans; {time.monotonic() - began:.0f} s"
        )
        return evidence, said
