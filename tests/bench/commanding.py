"""How long a command takes, how many run at once, and when what was recorded can be read."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from statistics import median, quantiles

from libs.common.jetstream import JetStreamStream
from libs.common.log import EventLog
from libs.common.streams import Append, Entry
from stepladder.performance.v1.directory_pb2 import CreateTeamRequest, Team, UpdateTeamRequest
from stepladder.performance.v1.directory_pb2_grpc import DirectoryServiceStub
from stepladder.performance.v1.facts_pb2 import ListFactsRequest, RecordFactsRequest
from stepladder.performance.v1.facts_pb2_grpc import FactsServiceStub
from tests.bench import bare
from tests.bench.centre import Writer, employee_id, fact
from tests.bench.figures import Figure, Measured, Stopwatch, compare, tell
from tests.bench.running import Performance, new_folder, running_log, running_performance
from tests.tokens import as_system

TEAMS = 64
AT_ONCE = 64
VISIBLE_LIMIT_MS = 25.0
PAYLOAD = b"x" * 300


class _Renaming:
    """Renames teams again and again: each command is one event on an aggregate that the service knows."""

    def __init__(self, system: Performance) -> None:
        self._directory = DirectoryServiceStub(system.channel)
        self._names = itertools.count()

    async def set_up(self) -> None:
        for number in range(TEAMS):
            team = Team(team_id=f"t-{number}", display_name="New")
            await self._directory.CreateTeam(CreateTeamRequest(team=team), metadata=as_system())

    async def rename(self, team: int) -> float:
        """Seconds that one command takes."""
        name = next(self._names)
        request = UpdateTeamRequest(request_id=f"r-{name}", team=Team(team_id=f"t-{team}", display_name=f"Name {name}"))
        watch = Stopwatch()
        await self._directory.UpdateTeam(request, metadata=as_system())
        return watch.seconds

    async def rate(self, commands: int) -> float:
        """Commands a second with one under way on each of 64 teams."""

        async def work(team: int) -> None:
            for _ in range(commands // AT_ONCE):
                await self.rename(team)

        watch = Stopwatch()
        await asyncio.gather(*(work(team) for team in range(AT_ONCE)))
        return commands / watch.seconds


@asynccontextmanager
async def _renaming() -> AsyncIterator[tuple[Performance, _Renaming]]:
    async with running_performance() as system:
        renaming = _Renaming(system)
        await renaming.set_up()
        yield system, renaming


async def _median_ms(measure: Callable[[], Awaitable[float]], times: int) -> float:
    return 1000 * median([await measure() for _ in range(times)])


async def command_p50(quick: bool) -> Measured:
    """One command after the other, against an echo and a publish after each other; in short rounds, for the noise."""
    times = 50
    async with _renaming() as (system, renaming), bare.echoing() as echo:

        async def value() -> float:
            return await _median_ms(lambda: renaming.rename(0), times)

        async def one_echo() -> float:
            watch = Stopwatch()
            await echo(PAYLOAD)
            return watch.seconds

        async def limit() -> float:
            echoed = await _median_ms(one_echo, times)
            return echoed + await _median_ms(lambda: bare.publish_one(system.client, PAYLOAD), times)

        return await compare(1 if quick else 30, value, limit)


async def command_rate(quick: bool) -> Measured:
    """64 commands at once, against the slower of 64 echoes at once and 64 publishes at once."""
    count = 640 if quick else 6400
    async with _renaming() as (system, renaming), bare.echoing() as echo:

        async def echo_rate() -> float:
            async def work() -> None:
                for _ in range(count // AT_ONCE):
                    await echo(PAYLOAD)

            watch = Stopwatch()
            await asyncio.gather(*(work() for _ in range(AT_ONCE)))
            return count / watch.seconds

        async def limit() -> float:
            return min(await echo_rate(), await bare.publish_rate(system.client, count, AT_ONCE, PAYLOAD))

        return await compare(1 if quick else 5, lambda: renaming.rate(count), limit)


async def visible_p99(quick: bool) -> Measured:
    """Milliseconds from the answer to RecordFacts until ListFacts with that position answers."""
    times = 40 if quick else 500
    async with running_performance() as system:
        writer = Writer(system.client)
        await writer.create_kpis()
        await writer.hire(10)
        stub = FactsServiceStub(system.channel)
        waits: list[float] = []
        for number in range(times):
            one = fact(number % 10, number // 10)
            recorded = await stub.RecordFacts(RecordFactsRequest(facts=[one]), metadata=as_system())
            watch = Stopwatch()
            request = ListFactsRequest(
                employee_id=employee_id(number % 10),
                start_date=one.date,
                end_date=one.date,
                at_least=recorded.log_position,
            )
            answer = await stub.ListFacts(request, metadata=as_system())
            waits.append(1000 * watch.seconds)
            if not answer.readings:
                raise RuntimeError("what was recorded cannot be read")
        return Measured(quantiles(waits, n=100)[98], VISIBLE_LIMIT_MS, {"p50": median(waits)})


async def load_flatness(quick: bool) -> Measured:
    """Milliseconds to load one aggregate of five events: in a full log, and in the same log when it held little."""
    few, many = (2_000, 20_000) if quick else (10_000, 1_000_000)
    times = 100 if quick else 500
    with new_folder() as folder:
        async with running_log(folder) as (_, client):
            stream = JetStreamStream(client)
            log = EventLog(stream)

            async def fill(start: int, end: int) -> None:
                """Aggregates of five events each, by number of event."""
                for first in range(start, end, 10_000):
                    numbers = range(first, min(first + 10_000, end), 5)
                    await log.append_all([_five(number) for number in numbers])
                    if first and first % 200_000 == 0:
                        tell(f"  {first:,} of {end:,} events")

            async def load() -> float:
                numbers = itertools.cycle(range(0, few, 5 * 7))

                async def one() -> float:
                    watch = Stopwatch()
                    found = await log.read(_five(next(numbers)).subject)
                    if len(found) != 5:
                        raise RuntimeError("an aggregate is not whole")
                    return watch.seconds

                return await _median_ms(one, times)

            await fill(0, few)
            await load()
            limit = median([await load() for _ in range(3)])
            await fill(few, many)
            return Measured(median([await load() for _ in range(3)]), limit, {"events": many})


def _five(number: int) -> Append:
    subject = f"log.bench.thing.{number}"
    return Append(subject, 0, [Entry(f"{subject}.{index}", "bench.Happened", PAYLOAD) for index in range(5)])


FIGURES = (
    Figure(
        "command_p50", "ms", "lower", 1.3, "one command at a time; against a bare echo and a bare publish", command_p50
    ),
    Figure(
        "command_rate",
        "commands/s",
        "higher",
        0.8,
        "64 commands at once; against bare echoes and publishes",
        command_rate,
    ),
    Figure("visible_p99", "ms", "lower", 1.0, "from a fact's acknowledgement to reading it", visible_p99),
    Figure(
        "load_flatness", "ms", "lower", 1.2, "loading an aggregate from a full log; against a small one", load_flatness
    ),
)
