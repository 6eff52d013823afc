"""The restricted stream: the same promises as LOG's, and nothing of it anywhere else."""

import hashlib
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count

import pytest
from sqlalchemy import Column, MetaData, String, Table, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from structlog.testing import capture_logs

from libs.cli.nats_server import NatsServer
from libs.common.background import in_background
from libs.common.commands import Commands, Handled
from libs.common.envelope import ERASED, Codec, event_types
from libs.common.errors import Invalid, LogCorrupted, NotAllowed
from libs.common.eventsourcing import Context, Recorded
from libs.common.jetstream import JetStreamStream, connect
from libs.common.log import EventLog
from libs.common.memory_stream import MemoryStream
from libs.common.positions import METADATA
from libs.common.projecting import Follower, ReadModel
from libs.common.reading import Reading
from libs.common.rebuilding import rebuild
from libs.common.streams import LOG, LOG_RESTRICTED, PREFIXES, Stream
from services.performance.employee import EMPLOYEE
from services.performance.team import TEAM
from stepladder.performance.v1 import events_pb2
from stepladder.performance.v1.directory_pb2 import (
    CreateTeamRequest,
    Employee,
    HireEmployeeRequest,
    Team,
    TransferEmployeeRequest,
    UpdateEmployeeRequest,
)
from stepladder.performance.v1.events_pb2 import EmployeeHired

NOON = datetime(2026, 3, 16, 12, tzinfo=UTC)
SECRET = replace(EMPLOYEE, name="performance.secret", restricted=True)
NAME = "Wilhelmine Zauberhaft"
TYPES = event_types([events_pb2.DESCRIPTOR])
UNIQUE = count()


class Keys:
    """Data keys in a dict."""

    def __init__(self) -> None:
        self.erased: set[str] = set()

    async def get_or_create(self, employee_id: str) -> bytes:
        return hashlib.sha256(employee_id.encode()).digest()

    async def get(self, employee_id: str) -> bytes | None:
        return None if employee_id in self.erased else await self.get_or_create(employee_id)

    async def gone(self, employee_ids: Collection[str]) -> frozenset[str]:
        return frozenset(self.erased.intersection(employee_ids))


Streams = Mapping[str, Stream]


@pytest.fixture(params=["memory-1", "memory-3", "memory-lossy-3", "nats"])
async def streams(request: pytest.FixtureRequest) -> AsyncIterator[Streams]:
    """Both streams, on memory and on a real server."""
    if request.param != "nats":
        replicas, lost = int(request.param[-1]), 0.4 if "lossy" in request.param else 0.0
        yield {name: MemoryStream(NOON, name=name, replicas=replicas, lost_acks=lost, seed=5) for name in PREFIXES}
        return
    server: NatsServer = request.getfixturevalue("nats_one")
    client = await connect(server.url, "test")
    yield {name: JetStreamStream(client, name) for name in PREFIXES}
    await client.close()


def process(streams: Streams, keys: Keys | None = None) -> Commands:
    """What a service has that was just started."""
    logs = [EventLog(stream, pause=0.001, patience=2.0) for stream in streams.values()]
    return Commands(logs, Codec(TYPES, keys or Keys()))


def new_id() -> str:
    """An id that is not taken, on a server that tests share."""
    return f"s-{next(UNIQUE)}"


def by(request_id: str = "", *, etag: str = "") -> Context:
    return Context(now=NOON, today=NOON.date(), actor="user:u-1", request_id=request_id, etag=etag)


def hire(employee_id: str, name: str = NAME) -> HireEmployeeRequest:
    given = Employee(employee_id=employee_id, display_name=name, hire_date="2026-01-05", team_id="t-1")
    return HireEmployeeRequest(employee=given)


def rename(employee_id: str, name: str) -> UpdateEmployeeRequest:
    return UpdateEmployeeRequest(employee=Employee(employee_id=employee_id, display_name=name))


def transfer(employee_id: str, team_id: str) -> TransferEmployeeRequest:
    return TransferEmployeeRequest(employee_id=employee_id, team_id=team_id, effective_date="2026-03-01")


async def written(stream: Stream, after: int) -> list[bytes]:
    """Everything in a stream behind a position."""
    payloads: list[bytes] = []
    end = (await stream.state()).last
    if end > after:
        async with stream.feed([f"{PREFIXES[stream.name]}.>"], after) as feed:
            while len(payloads) < end - after and (some := await feed.next(100, wait_seconds=5)):
                payloads += [one.payload for one in some]
    return payloads


async def test_a_restricted_event_is_never_in_log(streams: Streams) -> None:
    """By one command or many, alone or beside others that are not restricted: each lies in its own stream."""
    before = {name: (await stream.state()).last for name, stream in streams.items()}
    commands, secret, other, team = process(streams), new_id(), new_id(), new_id()
    await commands.handle(SECRET, secret, hire(secret), by("r-1"))
    await commands.handle_all(SECRET, [(one, transfer(one, "hidden")) for one in (secret, other)], by("r-2"))
    await commands.handle(TEAM, team, CreateTeamRequest(team=Team(team_id=team, display_name="Open")), by("r-1"))
    await commands.handle(EMPLOYEE, secret, hire(secret), by("r-1"))
    found = {name: b"".join(await written(stream, before[name])) for name, stream in streams.items()}
    assert b"hidden" in found[LOG_RESTRICTED]
    assert b"hidden" not in found[LOG]
    assert b"TeamCreated" in found[LOG]
    assert b"TeamCreated" not in found[LOG_RESTRICTED]
    assert await streams[LOG].read_from_leader(SECRET.subject(secret)) == []
    assert SECRET.subject(secret) == f"restricted.performance.secret.{secret}"


async def test_commands_on_it_keep_every_promise(streams: Streams) -> None:
    """Repetition for ever, etags, copies that are found stale, many at once, states as they were known."""
    one, two, secret = process(streams), process(streams), new_id()
    hired = await one.handle(SECRET, secret, hire(secret), by("r-1"))
    await two.load(SECRET, secret)
    moved = await one.handle(SECRET, secret, transfer(secret, "t-2"), by("r-2"))
    for commands in (one, two, process(streams)):
        assert await commands.handle(SECRET, secret, hire(secret), by("r-1")) == hired
        with pytest.raises(Invalid, match="used for a different request"):
            await commands.handle(SECRET, secret, transfer(secret, "t-3"), by("r-2"))
    renamed = await two.handle(SECRET, secret, rename(secret, "Else"), by("r-3", etag=str(moved.position)))
    assert renamed.state.team_on(NOON.date()) == "t-2"
    assert (await one.load(SECRET, secret, known_at=hired.position)).state == hired.state
    assert (await one.known(SECRET, [secret, "s-none"]))[secret].state.display_name == "Else"
    several = [new_id() for _ in range(30)]
    outcomes = await one.handle_all(SECRET, [(each, hire(each)) for each in several], by("bulk"))
    assert all(isinstance(outcome, Handled) for outcome in outcomes)
    assert [*(await process(streams).known(SECRET, several))] == several


async def test_an_aggregate_of_the_same_name_in_log_is_another(streams: Streams) -> None:
    """Neither copies in memory nor request ids are mixed up between the streams."""
    commands, one = process(streams), new_id()
    await commands.handle(replace(SECRET, restricted=False), one, hire(one, "Open"), by("r-1"))
    await commands.handle(SECRET, one, hire(one, "Hidden"), by("r-1"))
    for some in (commands, process(streams)):
        assert (await some.load(replace(SECRET, restricted=False), one)).state.display_name == "Open"
        assert (await some.load(SECRET, one)).state.display_name == "Hidden"


async def test_personal_fields_are_sealed_there_too(streams: Streams) -> None:
    """Nobody reads a name out of the stream; with the key erased, nobody reads it at all."""
    keys, secret = Keys(), new_id()
    before = (await streams[LOG_RESTRICTED].state()).last
    await process(streams, keys).handle(SECRET, secret, hire(secret), by("r-1"))
    stored = b"".join(await written(streams[LOG_RESTRICTED], before))
    assert secret.encode() in stored
    assert not any(part.encode() in stored for part in NAME.split())
    assert (await process(streams, keys).load(SECRET, secret)).state.display_name == NAME
    keys.erased.add(secret)
    assert (await process(streams, keys).load(SECRET, secret)).state.display_name == ERASED


async def test_its_events_are_chained() -> None:
    """What was changed in it, or taken out, is found when it is loaded."""
    streams = {name: MemoryStream(NOON, name=name) for name in PREFIXES}
    commands = process(streams)
    await commands.handle(SECRET, "s", hire("s"), by("r-1"))
    await commands.handle(SECRET, "s", transfer("s", "t-2"), by("r-2"))
    await commands.handle(SECRET, "s", transfer("s", "t-3"), by("r-3"))
    del streams[LOG_RESTRICTED]._by_subject[SECRET.subject("s")][1]
    with pytest.raises(LogCorrupted, match="hash does not match"):
        await process(streams).load(SECRET, "s")


class Secrets(ReadModel):
    """A read model of the restricted stream, which cannot apply what is called Poison."""

    name = "secrets"
    version = 1
    subjects = ("restricted.performance.secret.*",)

    def __init__(self, metadata: MetaData, suffix: str = "") -> None:
        self.secrets = Table(f"secrets{suffix}", metadata, Column("employee_id", String, primary_key=True))
        self.tables = (self.secrets,)

    async def apply(self, rows: AsyncConnection, events: Sequence[Recorded]) -> None:
        for recorded in events:
            if isinstance(recorded.event, EmployeeHired):
                if "Poison" in recorded.event.display_name:
                    raise ValueError(f"cannot apply {recorded.event.display_name}")
                await rows.execute(insert(self.secrets).values(employee_id=recorded.event.employee_id))


@pytest.fixture
async def tables(engine: AsyncEngine) -> AsyncEngine:
    """A database with the tables of a follower and its rows."""
    metadata = MetaData()
    Secrets(metadata)
    async with engine.begin() as transaction:
        for one in (metadata, METADATA):
            await transaction.run_sync(one.create_all)
    return engine


def follower(streams: Streams, tables: AsyncEngine, name: str = LOG_RESTRICTED) -> Follower:
    codec = Codec(TYPES, Keys())
    return Follower(
        Secrets(MetaData()), Reading(streams[name], codec), tables, instance="one", now=lambda: NOON, pause=0.01
    )


async def test_a_follower_of_it_has_a_position_of_its_own(tables: AsyncEngine) -> None:
    """However far LOG is; a rebuild reads the restricted stream, and comes out the same."""
    streams = {name: MemoryStream(NOON, name=name) for name in PREFIXES}
    commands = process(streams)
    for number in range(20):
        await commands.handle(EMPLOYEE, f"e-{number}", hire(f"e-{number}"), by())
    at = await commands.handle(SECRET, "s", hire("s"), by())
    one = follower(streams, tables)
    async with in_background(one.run()):
        await one.wait_for(at.position, 5)
        standing = await one.standing()
        assert (standing.position, standing.end, standing.lag) == (1, 1, 0)
        await one.wait_for(20, 5)  # a position in LOG stands for the end of this stream
        steps = [step async for step in rebuild(one)]
        assert (steps[-1].position, steps[-1].end, steps[-1].changed_rows) == (1, 1, 0)
    async with tables.connect() as connection:
        assert list(await connection.scalars(select(Secrets(MetaData()).secrets))) == ["s"]


async def test_a_restricted_stream_that_was_made_anew_is_noticed(tables: AsyncEngine) -> None:
    """LOG being the same as ever does not vouch for it."""
    streams = {name: MemoryStream(NOON, name=name) for name in PREFIXES}
    one = follower(streams, tables)
    assert await one.claim()
    again = {**streams, LOG_RESTRICTED: MemoryStream(NOON + timedelta(days=1), name=LOG_RESTRICTED)}
    with pytest.raises(Exception, match="made anew"):
        await follower(again, tables).claim()


async def test_poison_in_it_is_shown_without_its_content(tables: AsyncEngine) -> None:
    """Parked rows, refusals, logs and what a follower says of itself: kind and place of the error, no more."""
    streams = {name: MemoryStream(NOON, name=name) for name in PREFIXES}
    await process(streams).handle(SECRET, "s", hire("s", "Poison Ivy"), by())
    one = follower(streams, tables)
    with capture_logs() as logged:
        async with in_background(one.run()):
            await one.wait_for(1, 5)
            (parked,) = await one.parked()
            with pytest.raises(NotAllowed) as refused:
                await one.retry(parked.subject)
            standing = await one.standing()
    assert (parked.error, parked.position, standing.parked) == ("ValueError", 1, 1)
    assert refused.value.reason == "STILL_POISONED"
    assert {"batch_is_poisoned", "event_is_poison"} <= {line["event"] for line in logged}
    poison = next(line for line in logged if line["event"] == "event_is_poison")
    assert "in apply" in poison["at"][-1]
    for shown in (parked, refused.value.message, standing, *logged):
        assert "Ivy" not in repr(shown)
