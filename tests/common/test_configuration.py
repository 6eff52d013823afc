"""The server and its streams are as the code demands, or the service says what is wrong and does not start."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from nats.aio.client import Client

from libs.cli.nats_server import NatsServer
from libs.common import jetstream
from libs.common.inspecting import WrongConfiguration, check_configuration
from libs.common.jetstream import (
    connect,
    create_streams,
    stream_configuration,
)
from libs.common.metrics import Gauges
from libs.common.observing import measure_log
from libs.common.settings import Settings
from libs.common.streams import EVENTS, LOG, LOG_RESTRICTED, STREAMS, NoResponders, Rejected
from tests.servers import running_nats


class Careless(NatsServer):
    """A server that tells of events as stored before they are."""

    def _configuration(self, ports: Path) -> str:
        return super()._configuration(ports).replace("sync_interval: always", "sync_interval: 2m")


class WithoutStore(NatsServer):
    """A server whose monitoring answers as every one's does for a moment after its start, before the store is open."""

    def _configuration(self, ports: Path) -> str:
        return "\n".join(line for line in super()._configuration(ports).splitlines() if "jetstream" not in line)


STORE_NOT_MADE = 10049
"""While the folder of the stream that had the name before is still being removed."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    """A server whose streams are these tests' own."""
    with running_nats(Path(tmp_path_factory.mktemp("nats")), 1) as servers:
        yield servers[0]


@pytest.fixture
async def client(server: NatsServer) -> AsyncIterator[Client]:
    """A connection to it, with the streams gone; each test makes those that it needs."""
    client = await connect(server.url, "test")
    for name in STREAMS:
        await jetstream.ask(client, f"$JS.API.STREAM.DELETE.{name}", {})
    yield client
    await client.close()


async def make(client: Client, name: str = LOG, **differences: Any) -> None:
    """Creates a stream that differs from the right one so."""
    configuration = stream_configuration(name, 1) | differences
    async with asyncio.timeout(30):
        while True:
            answer = await jetstream.ask(client, f"$JS.API.STREAM.CREATE.{name}", configuration)
            if answer.get("error", {}).get("err_code") != STORE_NOT_MADE:
                break
            await asyncio.sleep(0.05)
    assert "error" not in answer, answer


async def problems(client: Client, server: NatsServer, replicas: int = 1) -> list[str]:
    """What is found to be wrong."""
    with pytest.raises(WrongConfiguration) as found:
        await check_configuration(client, replicas, server.monitor_url)
    return str(found.value).split("; ")


async def test_streams_as_they_are_created_are_accepted(client: Client, server: NatsServer) -> None:
    """Set-up makes what the check demands, and made again changes nothing."""
    await create_streams(client, 1)
    await create_streams(client, 1)
    await check_configuration(client, 1, server.monitor_url)


async def test_streams_of_a_cluster_are_accepted(nats_three: list[NatsServer]) -> None:
    """The same with three replicas, asked of any node; with one replica it is not the same."""
    for server in nats_three:
        client = await connect(server.url, "test")
        await check_configuration(client, 3, server.monitor_url)
        with pytest.raises(WrongConfiguration, match="stream LOG: num_replicas is 3, must be 1"):
            await check_configuration(client, 1, server.monitor_url)
        await client.close()


async def test_a_server_that_does_not_sync_every_write_is_refused(tmp_path: Path) -> None:
    """Acknowledged would not mean on disk; it says which setting would."""
    server = Careless(tmp_path)
    server.start()
    try:
        server.wait_ready()
        client = await connect(server.url, "test")
        await create_streams(client, 1)
        assert await problems(client, server) == ["server embedded does not sync every write (sync_interval: always)"]
        await client.close()
    finally:
        server.stop()


@pytest.mark.parametrize("missing", list(STREAMS))
async def test_a_missing_stream_is_named(client: Client, server: NatsServer, missing: str) -> None:
    """Services never make streams themselves."""
    for name in STREAMS:
        if name != missing:
            await make(client, name)
    assert await problems(client, server) == [f"stream {missing}: stream not found"]


ALTERED: list[tuple[str, Any]] = [
    ("max_age", 3_600_000_000_000),
    ("max_msgs_per_subject", 1),
    ("max_msgs", 1000),
    ("max_bytes", 1_000_000),
    ("max_msg_size", 1000),
    ("max_consumers", 3),
    ("discard", "old"),
    ("storage", "memory"),
    ("retention", "interest"),
    ("duplicate_window", 1_000_000_000),
    ("subjects", ["log.>", "other.>"]),
    ("deny_delete", False),
    ("deny_purge", False),
    ("allow_direct", False),
    ("allow_atomic", False),
    ("no_ack", True),
    ("compression", "s2"),
]


@pytest.mark.parametrize(("key", "value"), ALTERED, ids=[key for key, _ in ALTERED])
async def test_an_altered_stream_is_refused(client: Client, server: NatsServer, key: str, value: object) -> None:
    """Whatever could lose an event, or an answer about one, is named with what it must be."""
    await make(client, LOG_RESTRICTED)
    await make(client, EVENTS)
    await make(client, LOG, **{key: value})
    wanted = stream_configuration(LOG, 1)[key]
    (problem,) = await problems(client, server)
    assert problem.startswith(f"stream LOG: {key} is ")
    assert problem.endswith(f"must be {wanted!r}")


async def test_a_stream_that_was_altered_since_is_measured(client: Client, server: NatsServer) -> None:
    """The log answers, and is not set up as it must be; while a stream is missing, neither is it."""
    settings = Settings(nats_monitor_url=server.monitor_url)

    async def measured() -> tuple[float, float]:
        gauges = Gauges()
        await measure_log(client, settings, None, (LOG, EVENTS), gauges)
        found = {family.name: family.samples[0].value for family in gauges.families()}
        return found["stepladder_log_reachable"], found["stepladder_log_configuration_right"]

    await make(client, LOG)
    assert await measured() == (1, 0)
    await make(client, EVENTS)
    assert await measured() == (1, 1)
    altered = stream_configuration(EVENTS, 1) | {"max_age": 3_600_000_000_000}
    assert "error" not in await jetstream.ask(client, f"$JS.API.STREAM.UPDATE.{EVENTS}", altered)
    assert await measured() == (1, 0)


async def test_roll_ups_are_refused(client: Client, server: NatsServer) -> None:
    """The server takes them only where purging is allowed; both are named."""
    await make(client, LOG_RESTRICTED)
    await make(client, EVENTS)
    await make(client, LOG, allow_rollup_hdrs=True, deny_purge=False)
    found = await problems(client, server)
    assert [problem.split(" is ")[0] for problem in found] == [
        "stream LOG: deny_purge",
        "stream LOG: allow_rollup_hdrs",
    ]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("allow_msg_ttl", True),
        ("republish", {"src": "log.>", "dest": "elsewhere.>"}),
        ("subject_transform", {"src": "log.>", "dest": "log.x.>"}),
        ("sources", [{"name": LOG_RESTRICTED}]),
        ("persist_mode", "async"),
    ],
)
async def test_what_has_no_place_in_the_log_is_refused(
    client: Client, server: NatsServer, key: str, value: object
) -> None:
    """Copies elsewhere, events that end by themselves, and subjects that are rewritten."""
    await make(client, LOG_RESTRICTED)
    differences = {key: value} | ({"allow_atomic": False} if key == "persist_mode" else {})
    await make(client, LOG, **differences)
    assert f"stream LOG: {key} must not be set" in await problems(client, server)


async def test_a_stream_altered_while_it_runs_is_refused_at_the_next_start(client: Client, server: NatsServer) -> None:
    """An update that `deny_delete` does not prevent is found, too."""
    await create_streams(client, 1)
    altered = stream_configuration(LOG, 1) | {"max_msgs_per_subject": 1}
    answer = await jetstream.ask(client, f"$JS.API.STREAM.UPDATE.{LOG}", altered)
    assert "error" not in answer
    assert await problems(client, server) == ["stream LOG: max_msgs_per_subject is 1, must be -1"]


async def test_every_problem_is_told_at_once(client: Client, server: NatsServer) -> None:
    """Nobody mends one thing after another."""
    await make(client, LOG, max_age=3_600_000_000_000, deny_delete=False)
    found = await problems(client, server)
    assert [problem.split(" is ")[0] for problem in found] == [
        "stream LOG: max_age",
        "stream LOG: deny_delete",
        "stream LOG_RESTRICTED: stream not found",
        "stream EVENTS: stream not found",
    ]


async def test_set_up_does_not_change_a_stream_that_is_there(client: Client, server: NatsServer) -> None:
    """An altered stream stays as it is: repairing it is a decision."""
    await make(client, LOG, max_age=3_600_000_000_000)
    await create_streams(client, 1)
    assert await problems(client, server) == ["stream LOG: max_age is 3600000000000, must be 0"]


async def test_set_up_says_what_the_server_refuses(client: Client) -> None:
    """Three replicas need three servers."""
    with pytest.raises(Rejected, match="replicas"):
        await create_streams(client, 3)


async def test_a_monitor_that_is_away_is_waited_for(client: Client) -> None:
    """That is not a wrong configuration: whoever starts tries again."""
    await create_streams(client, 1)
    with pytest.raises(OSError, match="refused"):
        await check_configuration(client, 1, "http://127.0.0.1:9")


async def test_a_store_that_is_not_open_yet_is_waited_for(client: Client, server: NatsServer, tmp_path: Path) -> None:
    """A server that has just started tells nothing of how it stores: not wrong either, and no matter beside others."""
    await create_streams(client, 1)
    starting = WithoutStore(tmp_path)
    starting.start()
    try:
        await asyncio.to_thread(starting.wait_ready)
        with pytest.raises(NoResponders):
            await check_configuration(client, 1, starting.monitor_url)
        await check_configuration(client, 1, f"{starting.monitor_url},{server.monitor_url}")
    finally:
        starting.stop()


async def test_a_monitor_that_dies_while_it_answers_is_waited_for(client: Client) -> None:
    """Half an answer is none."""

    async def answer_half(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"version"')
        writer.close()

    await create_streams(client, 1)
    async with await asyncio.start_server(answer_half, "127.0.0.1", 0) as dying:
        with pytest.raises(OSError, match="broke off"):
            await check_configuration(client, 1, f"http://127.0.0.1:{dying.sockets[0].getsockname()[1]}")
