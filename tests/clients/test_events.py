"""The client's reader of events, against a gateway behind Envoy that stops, starts and is cut off."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import aclosing, asynccontextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from grpc import aio

from libs.cli.envoy import Envoy
from libs.common.auth import LEEWAY_SECONDS
from services.gateway.__main__ import open_gateway
from stepladder.gateway.v1.event_stream_pb2 import EventFilter, WatchEventsRequest
from stepladder_client import Failed, InvalidArgument, PermissionDenied, Unauthenticated, connect, watch_events
from tests.gateway.publishing import Log, open_log
from tests.gateway.webhook_world import until
from tests.gateway.world import running_envoy
from tests.servers import running_nats
from tests.tokens import ISSUER

FACT = "stepladder.performance.fact-recorded.v1"
NUMBERS = count(1)
READER = ISSUER.system("tests", ["events"])


@pytest.fixture(scope="module")
def envoy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Envoy]:
    with (
        running_nats(tmp_path_factory.mktemp("nats"), 1) as (server,),
        running_envoy(tmp_path_factory.mktemp("envoy"), server) as running,
    ):
        yield running


@pytest.fixture
async def log(envoy: Envoy, tmp_path: Path) -> AsyncIterator[Log]:
    async with open_log(envoy.settings.nats_url, tmp_path) as log:
        yield log


@pytest.fixture
async def channel(envoy: Envoy) -> AsyncIterator[aio.Channel]:
    async with connect(f"127.0.0.1:{envoy.settings.public_port}", READER) as channel:
        yield channel


async def person(log: Log, team_id: str) -> str:
    employee_id = f"e-{next(NUMBERS)}"
    await log.relayed(await log.hire(employee_id, team_id))
    return employee_id


async def end(log: Log) -> int:
    return (await log.events.state()).last


def source(event: Mapping[str, Any]) -> str:
    """Which of the facts it is."""
    told: str = event["data"]["fact"]["source"]
    return told


async def test_a_gateway_that_stops_and_starts(envoy: Envoy, log: Log, channel: aio.Channel) -> None:
    """What happened before, while it was away and after is given once, in order, of the team that was asked for."""
    async with open_gateway(envoy.settings):
        anna, bert = await person(log, "riga"), await person(log, "oslo")
        asked = WatchEventsRequest(filter=EventFilter(types=[FACT], team_id="riga"), after=await end(log))
        before = asked.SerializeToString()
        events = watch_events(channel, asked)
        await log.fact(anna, source="before")
        assert source((await anext(events))[1]) == "before"
    await log.fact(bert, source="elsewhere")
    await log.fact(anna, source="meanwhile")
    async with aclosing(events), open_gateway(envoy.settings):
        assert source((await anext(events))[1]) == "meanwhile"
        await log.fact(anna, source="after")
        position, event = await anext(events)
        assert (position, source(event)) == (await end(log), "after")
    assert asked.SerializeToString() == before, "the caller's own request is left as it was"


class Line:
    """The way to Envoy, over which connections are reset now and then, in the middle of whatever they carry."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._writers: list[asyncio.StreamWriter] = []
        self.cuts = 0

    @asynccontextmanager
    async def up(self) -> AsyncIterator[str]:
        """Its address."""
        server = await asyncio.start_server(self._carry, "127.0.0.1", 0)
        try:
            yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        finally:
            self.cut()
            server.close()

    def cut(self) -> None:
        self.cuts += bool(self._writers)
        while self._writers:
            self._writers.pop().transport.abort()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            onward, back = await asyncio.open_connection("127.0.0.1", self._port)
            self._writers += [writer, back]
            await asyncio.gather(self._copy(reader, back), self._copy(onward, writer))

    async def _copy(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while part := await source.read(1000):
                target.write(part)
                await target.drain()


async def test_a_line_that_is_cut(envoy: Envoy, log: Log) -> None:
    """However often, nothing is left out or given twice, from the next event to come on."""
    line, found, rounds = Line(envoy.settings.public_port), list[tuple[int, str]](), 3
    async with open_gateway(envoy.settings), line.up() as address, connect(address, READER) as channel:
        anna = await person(log, "riga")
        start = await end(log)
        async with aclosing(watch_events(channel, WatchEventsRequest(after=start))) as events:
            for number in range(rounds):
                for fact in range(20):
                    await log.fact(anna, source=f"s{20 * number + fact}")
                while len(found) < 20 * number + 10:
                    position, event = await anext(events)
                    found.append((position, source(event)))
                line.cut()
            while len(found) < 20 * rounds:
                position, event = await anext(events)
                found.append((position, source(event)))
    assert line.cuts >= rounds
    assert found == [(start + number + 1, f"s{number}") for number in range(20 * rounds)]


async def test_a_token_that_ends(envoy: Envoy, log: Log) -> None:
    """The stream goes on with the next one."""
    last = [3600, 5 - LEEWAY_SECONDS]

    def token() -> str:
        return ISSUER.system("tests", ["events"], seconds=last.pop())

    async with open_gateway(envoy.settings), connect(f"127.0.0.1:{envoy.settings.public_port}", token) as channel:
        await channel.channel_ready()
        anna = await person(log, "riga")
        async with aclosing(watch_events(channel, WatchEventsRequest(after=await end(log)))) as events:
            await log.fact(anna, source="first")
            assert source((await anext(events))[1]) == "first"
            second = asyncio.ensure_future(anext(events))
            await until(lambda: not last)
            await log.fact(anna, source="second")
            assert source((await second)[1]) == "second"


@pytest.mark.parametrize(
    ("token", "asked", "kind", "reason"),
    [
        ("", WatchEventsRequest(), Unauthenticated, "TOKEN_MISSING"),
        (ISSUER.system("tests", ["facts"]), WatchEventsRequest(), PermissionDenied, "ROLE_MISSING"),
        (READER, WatchEventsRequest(filter=EventFilter(types=["nothing"])), InvalidArgument, "UNKNOWN_EVENT_TYPE"),
        (READER, WatchEventsRequest(filter=EventFilter(team_id="A team")), InvalidArgument, "INVALID_FIELDS"),
        (READER, WatchEventsRequest(after=10**9), InvalidArgument, "POSITION_NOT_REACHED"),
    ],
    ids=["no token", "wrong role", "unknown type", "bad team", "behind the end"],  # a token differs in each process
)
async def test_what_would_come_of_every_attempt_is_raised(
    envoy: Envoy, token: str, asked: WatchEventsRequest, kind: type[Failed], reason: str
) -> None:
    """As the error that it is."""
    async with (
        open_gateway(envoy.settings),
        connect(f"127.0.0.1:{envoy.settings.public_port}", token) as channel,
    ):
        with pytest.raises(kind) as caught:
            await anext(watch_events(channel, asked))
    assert caught.value.reason == reason
