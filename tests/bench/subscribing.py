"""Public events on their way to those who read them, in the whole system as `stepladder up` runs it."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from grpc import aio

from libs.cli.embedded import running
from libs.cli.issuer import Issuer
from libs.common.auth import bearer
from libs.common.jetstream import JetStreamStream, connect
from libs.common.streams import EVENTS, STREAMS
from stepladder.gateway.v1.event_stream_pb2 import ListEventsRequest, WatchEventsRequest
from stepladder.gateway.v1.event_stream_pb2_grpc import EventServiceStub
from stepladder.performance.v1.directory_pb2 import CreateTeamRequest, Employee, HireEmployeeRequest, Team
from stepladder.performance.v1.directory_pb2_grpc import DirectoryServiceStub
from stepladder.performance.v1.facts_pb2 import Fact, Reading, RecordFactsRequest
from stepladder.performance.v1.facts_pb2_grpc import FactsServiceStub
from stepladder.performance.v1.kpi_pb2 import CreateKpiRequest, Kpi
from stepladder.performance.v1.kpi_pb2_grpc import KpiServiceStub
from stepladder_client import connect as connect_service
from tests.bench.figures import Figure, Measured, Stopwatch, tell
from tests.bench.running import new_folder
from tests.servers import log_of, own_ports

LATENCY_LIMIT_MS = 25.0
SUBSCRIBERS = 1000
AWAY = 100_000
ACKNOWLEDGED = b"event: stepladder.performance.fact-recorded.v1"


@dataclass
class Centre:
    """A running system with one employee and one KPI, and who may record facts and read events."""

    port: int
    nats_url: str
    token: str
    channel: aio.Channel

    async def record(self, first: int, count: int) -> None:
        """Records so many facts, each an event: of a source each."""
        facts = [_fact(first + number) for number in range(count)]
        answer = await FactsServiceStub(self.channel).RecordFacts(RecordFactsRequest(facts=facts))
        if answer.recorded != count:
            raise RuntimeError(f"{answer.recorded} of {count} facts were recorded: {answer.rejections[:1]}")

    @asynccontextmanager
    async def subscriber(self, after: str = "") -> AsyncIterator[asyncio.StreamReader]:
        """Server-sent events, in clear; the stream has begun."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, limit=2**22)
        ((key, value),) = bearer(self.token)
        query = f"?after={after}" if after else ""
        writer.write(f"GET /v1/events:stream{query} HTTP/1.1\r\nhost: stepladder\r\n{key}: {value}\r\n\r\n".encode())
        while not (line := await reader.readline()).startswith(b"id: "):
            if not line:
                raise RuntimeError("the stream was refused")
        try:
            yield reader
        finally:
            writer.close()


@asynccontextmanager
async def running_centre() -> AsyncIterator[Centre]:
    with new_folder() as folder:
        async with running(folder / "system", own_ports()) as system:
            token = Issuer.of(system.folder, system.settings).system("bench")
            port = system.settings.public_port
            async with connect_service(f"127.0.0.1:{port}", token=token) as channel:
                directory = DirectoryServiceStub(channel)
                await directory.CreateTeam(CreateTeamRequest(team=Team(team_id="riga", display_name="Riga")))
                anna = Employee(employee_id="anna", display_name="Anna", hire_date="2020-01-01", team_id="riga")
                anna.position, anna.position_since = "agent", "2020-01-01"
                await directory.HireEmployee(HireEmployeeRequest(employee=anna))
                kpi = Kpi(kpi_id="aht", display_name="AHT", unit=Kpi.UNIT_SECONDS, direction=Kpi.DIRECTION_LOWER)
                kpi.aggregation, kpi.scale_numerator, kpi.scale_denominator = Kpi.AGGREGATION_SUM, 1, 1
                await KpiServiceStub(channel).CreateKpi(CreateKpiRequest(kpi=kpi))
                yield Centre(port, log_of(system, "gateway"), token, channel)


async def subscriber_p99(quick: bool) -> Measured:
    """Milliseconds from a fact's acknowledgement until a subscriber by server-sent events has it, on a quiet system."""
    async with running_centre() as centre, centre.subscriber() as reader:
        found: list[float] = []
        for number in range(20 if quick else 300):
            arrived = asyncio.create_task(_arrival(reader))
            await centre.record(number, 1)
            acknowledged = time.perf_counter()
            found.append(max(0.01, 1000 * (await arrived - acknowledged)))
            await asyncio.sleep(0.02)
        found.sort()
        return Measured(found[len(found) * 99 // 100], LATENCY_LIMIT_MS, {"p50": found[len(found) // 2]})


async def _arrival(reader: asyncio.StreamReader) -> float:
    while not (await reader.readline()).startswith(ACKNOWLEDGED):
        pass
    return time.perf_counter()


async def sse_subscribers(quick: bool) -> Measured:
    """Subscribers by server-sent events at once who were all told everything in order; `seconds`: 20 events to all."""
    wanted, events = (50 if quick else SUBSCRIBERS), 20
    async with running_centre() as centre, AsyncExitStack() as stack:
        readers = []
        for start in range(0, wanted, 50):
            some = range(start, min(start + 50, wanted))
            readers += await asyncio.gather(*(stack.enter_async_context(centre.subscriber()) for _ in some))
        watch = Stopwatch()
        taken = [asyncio.create_task(_ids(reader, events)) for reader in readers]
        for number in range(events):
            await centre.record(number, 1)
        told = await asyncio.wait_for(asyncio.gather(*taken), 100)
        seconds = watch.seconds
        whole = sum(one == told[0] and one == list(range(one[0], one[0] + events)) for one in told)
        return Measured(whole, wanted, {"seconds": seconds})


async def _ids(reader: asyncio.StreamReader, count: int) -> list[int]:
    """The positions of so many events."""
    found: list[int] = []
    position = 0
    while len(found) < count and (line := await reader.readline()):
        if line.startswith(b"id: "):
            position = int(line[4:])
        elif line.startswith(b"event: "):
            found.append(position)
    return found


async def events_caught_up(quick: bool) -> Measured:
    """Events that one who was away is told in order without a gap, the least of all ways; `*_rate`: events a second."""
    away = 2000 if quick else AWAY
    async with running_centre() as centre:
        client = await connect(centre.nats_url, "gateway")
        stream = JetStreamStream(client, EVENTS)
        start = (await stream.state()).last
        for first in range(0, away, 1000):
            await centre.record(first, min(1000, away - first))
        while (await stream.state()).last < start + away:
            await asyncio.sleep(0.1)
        ways: dict[str, Callable[[Centre, int, int], Coroutine[Any, Any, list[int]]]] = {
            "grpc": _by_grpc,
            "sse": _by_sse,
            "pages": _by_pages,
            "jetstream": _by_jetstream,
        }
        least, rates = away, dict[str, float]()
        for name, read in ways.items():
            watch = Stopwatch()
            told = await read(centre, start, away)
            rates[f"{name}_rate"] = away / watch.seconds
            tell(f"  {name}: {away:,} in {watch.seconds:.1f} s")
            expected = range(start + 1, start + away + 1)
            gap = next((i for i, (one, due) in enumerate(zip(told, expected, strict=False)) if one != due), len(told))
            least = min(least, gap)
        await client.close()
        return Measured(least, away, rates)


async def _by_grpc(centre: Centre, start: int, count: int) -> list[int]:
    found: list[int] = []
    async for answer in EventServiceStub(centre.channel).WatchEvents(WatchEventsRequest(after=start)):
        found += [one.position for one in answer.events]
        if len(found) >= count:
            break
    return found


async def _by_sse(centre: Centre, start: int, count: int) -> list[int]:
    """The connection breaks off four times."""
    found: list[int] = []
    while len(found) < count:
        async with centre.subscriber(str(found[-1] if found else start)) as reader:
            found += await _ids(reader, min(count // 5 + 1, count - len(found)))
    return found


async def _by_pages(centre: Centre, start: int, count: int) -> list[int]:
    found: list[int] = []
    request = ListEventsRequest(after=start, page_size=1000)
    while len(found) < count:
        answer = await EventServiceStub(centre.channel).ListEvents(request)
        found += [one.position for one in answer.events]
        request.page_token = answer.next_page_token
    return found


async def _by_jetstream(centre: Centre, start: int, count: int) -> list[int]:
    client = await connect(centre.nats_url, "gateway")
    found: list[int] = []
    async with JetStreamStream(client, EVENTS).feed([f"{STREAMS[EVENTS]}.>"], start) as feed:
        while len(found) < count:
            found += [one.position for one in await feed.next(1000, 5)]
    await client.close()
    return found


def _fact(number: int) -> Fact:
    reading = Reading(kpi_id="aht", numerators=[300 + number])
    return Fact(
        employee_id="anna",
        date=f"2024-{1 + number % 12:02}-{1 + number // 12 % 28:02}",
        source=f"s{number}",
        readings=[reading],
    )


FIGURES = (
    Figure("subscriber_p99", "ms", "lower", 1.0, "a fact acknowledged, until an SSE subscriber has it", subscriber_p99),
    Figure(
        "sse_subscribers", "subscribers", "higher", 1.0, "SSE subscribers at once who miss nothing", sse_subscribers
    ),
    Figure("caught_up", "events", "higher", 1.0, "events told in order to who was away", events_caught_up),
)
