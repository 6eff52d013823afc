"""What REST through Envoy costs beside the same call by gRPC, straight to its service."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from statistics import median

from aiohttp import ClientSession

from libs.cli.embedded import running
from libs.cli.issuer import Issuer
from libs.common.auth import bearer
from stepladder.performance.v1.directory_pb2 import CreateTeamRequest, GetTeamRequest, Team
from stepladder.performance.v1.directory_pb2_grpc import DirectoryServiceStub
from stepladder_client import connect
from tests.bench.figures import Figure, Measured, Stopwatch, compare
from tests.bench.running import new_folder
from tests.servers import own_ports

AT_ONCE = 64


@dataclass(frozen=True)
class _Reading:
    """The same team, read in either way."""

    by_rest: Callable[[], Awaitable[None]]
    by_grpc: Callable[[], Awaitable[None]]


@asynccontextmanager
async def _reading() -> AsyncIterator[_Reading]:
    settings = own_ports().model_copy(update={"calls_per_second": 1_000_000})
    with new_folder() as folder:
        async with running(folder / "system", settings) as system:
            token = Issuer.of(system.folder, settings).system("bench")
            url = f"http://127.0.0.1:{settings.public_port}/v1/teams/t-1"
            async with connect(settings.performance_address, token=token) as channel, ClientSession() as session:
                directory, headers = DirectoryServiceStub(channel), dict(bearer(token))
                await directory.CreateTeam(CreateTeamRequest(team=Team(team_id="t-1", display_name="One")))

                async def by_rest() -> None:
                    async with session.get(url, headers=headers) as answer:
                        if (await answer.json())["teamId"] != "t-1":
                            raise RuntimeError("the team was not read")

                async def by_grpc() -> None:
                    if (await directory.GetTeam(GetTeamRequest(team_id="t-1"))).team_id != "t-1":
                        raise RuntimeError("the team was not read")

                yield _Reading(by_rest, by_grpc)


async def rest_p50(quick: bool) -> Measured:
    """Milliseconds of one read at a time."""
    times = 20 if quick else 200

    async def median_ms(read: Callable[[], Awaitable[None]]) -> float:
        found = []
        for _ in range(times):
            watch = Stopwatch()
            await read()
            found.append(1000 * watch.seconds)
        return median(found)

    async with _reading() as reading:
        return await compare(1 if quick else 15, lambda: median_ms(reading.by_rest), lambda: median_ms(reading.by_grpc))


async def rest_rate(quick: bool) -> Measured:
    """Reads a second, 64 at once."""
    count = 640 if quick else 6400

    async def rate(read: Callable[[], Awaitable[None]]) -> float:
        async def work() -> None:
            for _ in range(count // AT_ONCE):
                await read()

        watch = Stopwatch()
        await asyncio.gather(*(work() for _ in range(AT_ONCE)))
        return count / watch.seconds

    async with _reading() as reading:
        return await compare(1 if quick else 5, lambda: rate(reading.by_rest), lambda: rate(reading.by_grpc))


FIGURES = (
    Figure("rest_p50", "ms", "lower", 1.8, "one read at a time over REST; against the same by gRPC, direct", rest_p50),
    Figure(
        "rest_rate", "calls/s", "higher", 0.5, "64 reads at once over REST; against the same by gRPC, direct", rest_rate
    ),
)
