"""Each service's user in nats-server may do what the service does, and nothing else."""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Iterator, MutableMapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from nats.aio.client import Client
from structlog.testing import capture_logs

from libs.cli.nats_server import USERS, NatsServer, new_passwords
from libs.common.inspecting import WrongConfiguration, check_configuration
from libs.common.jetstream import JetStreamStream, connect, create_streams
from libs.common.streams import (
    EVENTS,
    LOG,
    LOG_RESTRICTED,
    STREAMS,
    Append,
    Entry,
    NoAnswer,
    OneWriterStream,
    matches,
)

SERVICES = ("performance", "coaching", "promotion")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    server = NatsServer(tmp_path_factory.mktemp("nats"), passwords=new_passwords())
    server.start()
    try:
        server.wait_ready()
        yield server
    finally:
        server.stop()


@pytest.fixture(autouse=True)
async def streams(server: NatsServer) -> None:
    """Made by the user who may."""
    async with user(server, "setup") as client:
        await create_streams(client, 1)


@asynccontextmanager
async def user(server: NatsServer, name: str) -> AsyncIterator[Client]:
    client = await connect(server.url_of(name), name)
    try:
        yield client
    finally:
        await client.close()


async def ends(server: NatsServer) -> dict[str, int]:
    """Where each stream ends."""
    async with user(server, "performance") as inside, user(server, "gateway") as outside:
        asked = {LOG: inside, LOG_RESTRICTED: inside, EVENTS: outside}
        return {name: (await JetStreamStream(client, name).state()).last for name, client in asked.items()}


def entries(count: int) -> list[Entry]:
    return [Entry(os.urandom(8).hex(), "test", b"x") for _ in range(count)]


async def write(stream: OneWriterStream, subject: str, count: int) -> int:
    """Appends to an aggregate; answers the last position."""
    return await stream.publish([Append(subject, await stream.last_position(subject), entries(count))])


@pytest.mark.parametrize("name", SERVICES)
async def test_a_service_writes_its_own_and_reads_both_streams(server: NatsServer, name: str) -> None:
    """Single events and batches, every way of reading, and the check before it starts."""
    async with user(server, name) as client:
        await check_configuration(client, 1, server.monitor_url, streams=(LOG, LOG_RESTRICTED))
        for stream_name, prefix in ((LOG, "log"), (LOG_RESTRICTED, "restricted")):
            stream, subject = JetStreamStream(client, stream_name), f"{prefix}.{name}.thing.1"
            first = await write(stream, subject, 1)
            last = await write(stream, subject, 3)
            assert len(await stream.read(subject, first - 1)) == 4
            assert len(await stream.read_from_leader(subject, first - 1)) == 4
            assert (await stream.last_positions([subject])) == {subject: last}
            assert (await stream.read_at(last)) is not None
            async with stream.feed([f"{prefix}.{name}.*.*"], first - 1) as feed:
                assert len(await feed.next(10, 10)) == 4


async def test_the_gateway_reads_the_log_and_writes_the_public_stream(server: NatsServer) -> None:
    async with user(server, "gateway") as client:
        await check_configuration(client, 1, server.monitor_url, streams=(LOG, EVENTS))
        log, events = JetStreamStream(client, LOG), JetStreamStream(client, EVENTS)
        assert await write(log, "log.gateway.webhook.1", 1) == (await log.state()).last
        end = (await events.state()).last
        last = await events.publish_behind(end, [("events.a.b.v1.t.e", one) for one in entries(2)])
        assert (await events.read_at(last)) is not None
        async with events.feed(["events.>"], end) as feed:
            assert len(await feed.next(10, 10)) == 2


LOOKS = ("$JS.API.STREAM.INFO.*", "$JS.API.DIRECT.GET.*")
RECOVERING = {
    "backup": LOOKS,
    "restore": (*LOOKS, "log.>", "restricted.>", "events.>", "$JS.API.STREAM.CREATE.*", "$JS.API.STREAM.UPDATE.LOG"),
}
"""What users may who are no service: of all streams."""


def others(name: str) -> list[str]:
    """Subjects of what a user of this name may not do."""
    may = RECOVERING.get(name, ())
    return [subject for subject in _of_others(name) if not any(matches(subject, pattern) for pattern in may)]


def _of_others(name: str) -> list[str]:
    readers = {LOG: {*SERVICES, "gateway"}, LOG_RESTRICTED: set(SERVICES), EVENTS: {"gateway"}}
    writes = [f"{prefix}.{one}.thing.1" for prefix in ("log", "restricted") for one in USERS if one != name]
    unread = [stream for stream in STREAMS if name not in readers[stream]]
    return [
        *writes,
        *(["events.a.b.v1.t.e"] if name != "gateway" else ["restricted.gateway.thing.1"]),
        *(
            f"$JS.API.STREAM.{verb}.{stream}"
            for verb in ("DELETE", "PURGE", "UPDATE", "MSG.DELETE")
            for stream in STREAMS
        ),
        *(f"$JS.API.STREAM.{verb}.{stream}" for verb in ("SNAPSHOT", "RESTORE") for stream in STREAMS),
        *(f"$JS.API.STREAM.{verb}.{stream}" for verb in ("INFO", "MSG.GET") for stream in unread),
        *(f"$JS.API.DIRECT.GET.{stream}" for stream in unread),
        *(f"$JS.API.CONSUMER.CREATE.{stream}.c" for stream in unread if name != "setup" or stream != EVENTS),
        *(f"$JS.API.CONSUMER.{verb}.{stream}.c" for verb in ("MSG.NEXT", "DELETE") for stream in unread),
        *(["$JS.API.STREAM.CREATE.LOG", "$JS.API.STREAM.CREATE.OTHER"] if name != "setup" else []),
        "$JS.API.STREAM.NAMES",
        "$JS.API.INFO",
        "$SYS.REQ.SERVER.PING",
        "_INBOX_somebody.else",
    ]


async def refusals(said: Sequence[MutableMapping[str, Any]], count: int) -> str:
    """What the log says that may not be, once it says so many times."""
    async with asyncio.timeout(20):
        while len(found := [one["error"] for one in said if one["event"] == "nats_refused"]) < count:
            await asyncio.sleep(0.01)
    return " ".join(found).lower()


@pytest.mark.parametrize("name", USERS)
async def test_nobody_can_do_anything_else(server: NatsServer, name: str) -> None:
    """Each is refused, and the log says what; nothing is written or taken away."""
    before = await ends(server)
    forbidden = others(name)
    with capture_logs() as said:
        async with user(server, name) as client:
            for subject in forbidden:
                await client.publish(subject, b"{}")
            refused = await refusals(said, len(forbidden))
    assert [subject for subject in forbidden if f'publish to "{subject}"'.lower() not in refused] == []
    assert await ends(server) == before


@pytest.mark.parametrize("name", USERS)
async def test_nobody_hears_what_is_for_others(server: NatsServer, name: str) -> None:
    """Neither events on their way into the streams, nor answers to others."""
    with capture_logs() as said:
        async with user(server, name) as client:
            for subject in ("log.>", "restricted.>", "events.>", "_INBOX_somebody.>", ">", "$JS.>"):
                await client.subscribe(subject)
            await refusals(said, 6)


@pytest.mark.parametrize("name", [*SERVICES, "gateway"])
async def test_an_answer_cannot_be_written_into_a_stream(server: NatsServer, name: str) -> None:
    """A request may name any subject for its answer, and a consumer any for its deliveries: none becomes an event.

    Nor does what the server tells of a message on its way.
    """
    writers = {
        "log.performance.thing.9": "performance",
        "log.coaching.thing.9": "coaching",
        "restricted.promotion.thing.9": "promotion",
        "events.a.b.v1.t.e": "gateway",
    }
    targets = [target for target, writer in writers.items() if writer != name]
    own = f"log.{name}.thing.2"
    async with user(server, name) as client:
        await write(JetStreamStream(client, LOG), own, 1)
        before = await ends(server)
        position = await JetStreamStream(client, LOG).last_position(own)
        readable = [LOG, EVENTS] if name == "gateway" else [LOG, LOG_RESTRICTED]
        for target in targets:
            for stream in readable:
                await client.publish(f"$JS.API.STREAM.INFO.{stream}", b"", target)
                await client.publish(f"$JS.API.STREAM.MSG.GET.{stream}", b'{"seq": 1}', target)
            await client.publish("$JS.API.DIRECT.GET.LOG", json.dumps({"seq": position}).encode(), target)
            for stream in readable:
                consumer = os.urandom(4).hex()
                for made in ({"name": f"push-{consumer}", "deliver_subject": target}, {"name": f"pull-{consumer}"}):
                    config = {**made, "ack_policy": "none", "deliver_policy": "all"}
                    asked = json.dumps({"stream_name": stream, "config": config, "action": "create"}).encode()
                    await client.request(f"$JS.API.CONSUMER.CREATE.{stream}.{made['name']}", asked, timeout=20)
                await client.publish(f"$JS.API.CONSUMER.MSG.NEXT.{stream}.pull-{consumer}", b'{"batch": 1}', target)
            await client.publish(own, b"{}", target, headers={"Nats-Expected-Stream": "OTHER"})  # refused, to there
            await client.publish(own, b"{}", headers={"Nats-Trace-Dest": target, "Nats-Trace-Only": "true"})
        await asyncio.sleep(0.5)
        await client.flush(20)
    assert await ends(server) == before


async def test_in_the_account_of_a_stream_it_could(nats_one: NatsServer) -> None:
    """Which is why nobody connects to one: on a server without accounts, an answer does become an event."""
    client = await connect(nats_one.url, "coaching")
    before = (await JetStreamStream(client, LOG).state()).last
    await client.publish("$JS.API.STREAM.INFO.LOG", b"", "log.performance.answer.1")
    async with asyncio.timeout(20):
        while (await JetStreamStream(client, LOG).state()).last != before + 1:
            await asyncio.sleep(0.01)
    await client.close()


async def test_who_may_not_ask_does_not_start(server: NatsServer) -> None:
    """A service whose user lacks what it needs says so, and does not wait for it for ever."""
    async with user(server, "gateway") as client:
        with pytest.raises(WrongConfiguration, match=r"(?i)violation.*LOG_RESTRICTED.*accounts\.conf"):
            await check_configuration(client, 1, server.monitor_url)


async def test_what_is_refused_later_ends_and_is_told(server: NatsServer) -> None:
    """An append that may not be is without an answer for a while, and then there is none; the log names the subject."""
    with capture_logs() as said:
        async with user(server, "coaching") as client:
            with pytest.raises(NoAnswer):
                await JetStreamStream(client, LOG, answer_seconds=1).publish(
                    [Append("log.performance.thing.1", 0, entries(1))]
                )
    (refusal,) = (one for one in said if one["event"] == "nats_refused")
    assert refusal["user"] == "coaching"
    assert "log.performance.thing.1" in refusal["error"]
