"""Followers: exactly once, in order, parked, fenced; on SQLite and PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from sqlalchemy import BigInteger, Column, Integer, MetaData, String, Table, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from libs.common import projecting
from libs.common.background import in_background
from libs.common.envelope import Codec, chain_start, event_types
from libs.common.errors import NotAllowed, NotFound, Unavailable
from libs.common.eventsourcing import Context, Recorded
from libs.common.keys import METADATA as KEYS
from libs.common.keys import SqlDataKeys
from libs.common.log import EventLog
from libs.common.memory_stream import MemoryStream
from libs.common.positions import FOLLOWERS, METADATA, SKIPPED
from libs.common.projecting import Follower, ReadModel, State
from libs.common.reading import Reading
from libs.common.service import Together
from libs.common.settings import Settings
from libs.common.streams import Append, Entry, NoAnswer, StreamState
from libs.common.telemetry import instrument_engine, tracing
from stepladder.common.v1.envelope_pb2 import Envelope
from stepladder.performance.v1 import events_pb2
from stepladder.performance.v1.events_pb2 import TeamCreated

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


class Names(ReadModel):
    """A read model to follow with: every team's names, in order; the name `poison` cannot be applied."""

    name = "names"
    version = 1
    subjects = ("log.performance.team.*",)
    poison = "poison"

    def __init__(self, metadata: MetaData, suffix: str = "") -> None:
        self.names = Table(
            f"names{suffix}",
            metadata,
            Column("position", BigInteger, primary_key=True),
            Column("team_id", String, nullable=False, index=True),
            Column("name", String, nullable=False),
        )
        self.counts = Table(
            f"counts{suffix}", metadata, Column("team_id", String, primary_key=True), Column("events", Integer)
        )
        self.tables = (self.names, self.counts)

    async def apply(self, rows: AsyncConnection, events: Sequence[Recorded]) -> None:
        for recorded in events:
            event = recorded.event
            assert isinstance(event, TeamCreated)
            await rows.execute(
                insert(self.names).values(position=recorded.position, team_id=event.team_id, name=event.display_name)
            )
            if event.display_name == self.poison:
                raise ValueError("this name is poison")
            counted = await rows.execute(
                update(self.counts)
                .where(self.counts.c.team_id == event.team_id)
                .values(events=self.counts.c.events + 1)
            )
            if not counted.rowcount:
                await rows.execute(insert(self.counts).values(team_id=event.team_id, events=1))


@dataclass
class World:
    """A log, a database and a clock that only tests move."""

    engine: AsyncEngine
    stream: MemoryStream
    codec: Codec
    time: datetime = EPOCH
    hashes: dict[str, tuple[int, bytes]] = field(default_factory=dict)

    def now(self) -> datetime:
        return self.time

    async def write(self, *pairs: tuple[str, str], traceparent: str = "") -> int:
        """Appends TeamCreated events (team, name), one command each; answers the last position."""
        position = 0
        for number, (team, name) in enumerate(pairs):
            subject = f"log.performance.team.{team}"
            expected, previous = self.hashes.get(subject, (0, chain_start(subject)))
            context = Context(now=self.time, today=self.time.date(), actor="user:test", traceparent=traceparent)
            encoded = await self.codec.encode(
                subject,
                [TeamCreated(team_id=team, display_name=name)],
                command_id=f"{team}-{expected}-{number}",
                command_digest=b"",
                context=context,
                previous_hash=previous,
            )
            position = await EventLog(self.stream).append(Append(subject, expected, encoded.entries))
            self.hashes[subject] = (position, encoded.last_hash)
        return position

    async def write_unknown(self, team: str) -> int:
        """Appends an event of a type that this code does not know."""
        subject = f"log.performance.team.{team}"
        expected, _ = self.hashes.get(subject, (0, b""))
        payload = Envelope(event_id=f"x-{team}", type="stepladder.performance.v1.TeamSang", schema_version=1)
        entry = Entry(payload.event_id, payload.type, payload.SerializeToString())
        position = await EventLog(self.stream).append(Append(subject, expected, [entry]))
        self.hashes[subject] = (position, b"")
        return position

    def follower(self, instance: str = "one", model: type[ReadModel] = Names) -> Follower:
        return Follower(
            model(MetaData()),
            Reading(self.stream, self.codec),
            self.engine,
            instance=instance,
            now=self.now,
            pause=0.01,
        )

    async def rows(self) -> list[tuple[str, str]]:
        names = Names(MetaData()).names
        async with self.engine.connect() as connection:
            found = await connection.execute(select(names.c.team_id, names.c.name).order_by(names.c.position))
            return [(row.team_id, row.name) for row in found]

    async def counts(self) -> dict[str, int]:
        counts = Names(MetaData()).counts
        async with self.engine.connect() as connection:
            return {row.team_id: row.events for row in await connection.execute(select(counts))}


@pytest.fixture
async def world(engine: AsyncEngine) -> World:
    metadata = MetaData()
    Names(metadata)
    async with engine.begin() as transaction:
        for tables in (metadata, METADATA, KEYS):
            await transaction.run_sync(tables.create_all)
    codec = Codec(event_types([events_pb2.DESCRIPTOR]), SqlDataKeys(engine, b"k" * 32))
    return World(engine, MemoryStream(EPOCH), codec)


@asynccontextmanager
async def running(follower: Follower) -> AsyncIterator[Follower]:
    async with in_background(follower.run()):
        yield follower


async def leases_pass(world: World, name: str) -> None:
    """Three leases, in steps: at each, whoever is at work gives a sign of life before time goes on."""
    query = select(FOLLOWERS.c.beat_time).where(FOLLOWERS.c.name == name)

    async def has_beaten() -> bool:
        async with world.engine.connect() as connection:
            beat = await connection.scalar(query)
        return beat is not None and beat.replace(tzinfo=UTC) >= world.time

    for _ in range(6):
        world.time += timedelta(seconds=projecting.LEASE_SECONDS / 2)
        async with asyncio.timeout(10):
            while not await has_beaten():
                await asyncio.sleep(0.02)  # others look whether they may take over, too


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)


async def test_rows_and_position_move_together(world: World) -> None:
    """What is in the log before and after the start is applied once, in order."""
    await world.write(("a", "A"), ("b", "B"))
    async with running(world.follower()) as follower:
        last = await world.write(("a", "A2"))
        await follower.wait_for(last, 5)
        assert await world.rows() == [("a", "A"), ("b", "B"), ("a", "A2")]
        standing = await follower.standing()
        assert (standing.position, standing.end, standing.lag, standing.parked) == (last, last, 0, 0)


async def test_a_restart_goes_on_where_it_was(world: World) -> None:
    """A second run applies only what came since."""
    last = await world.write(("a", "A"))
    async with running(world.follower()) as follower:
        await follower.wait_for(last, 5)
    last = await world.write(("a", "A2"))
    async with running(world.follower(instance="two")) as follower:
        await follower.wait_for(last, 5)
    assert await world.counts() == {"a": 2}


async def test_a_poison_event_parks_its_aggregate_only(world: World) -> None:
    """The poison event and those behind it wait in order; other aggregates go on."""
    last = await world.write(("a", "A"), ("b", "poison"), ("b", "B2"), ("c", "C"))
    async with running(world.follower()) as follower:
        await follower.wait_for(last, 5)
        last = await world.write(("b", "B3"), ("c", "C2"))
        await follower.wait_for(last, 5)
        assert await world.rows() == [("a", "A"), ("c", "C"), ("c", "C2")]
        (parked,) = await follower.parked()
        assert (parked.subject, parked.position, parked.events) == ("log.performance.team.b", 2, 3)
        assert "this name is poison" in parked.error


async def test_parked_events_can_be_retried_once_mended(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A retry applies them in order when the cause is gone, and says so when it is not."""
    last = await world.write(("b", "poison"), ("b", "B2"))
    async with running(world.follower()) as follower:
        await follower.wait_for(last, 5)
        with pytest.raises(NotAllowed, match="this name is poison"):
            await follower.retry("log.performance.team.b")
        assert (await follower.parked())[0].attempts == 2
        monkeypatch.setattr(Names, "poison", "nothing")
        assert await follower.retry("log.performance.team.b") == 2
        assert await world.rows() == [("b", "poison"), ("b", "B2")]
        assert await follower.parked() == []
        await follower.wait_for(await world.write(("b", "B3")), 5)
        assert await world.counts() == {"b": 3}
        with pytest.raises(NotFound):
            await follower.retry("log.performance.team.b")


async def test_a_parked_event_can_be_skipped_with_a_reason(world: World) -> None:
    """Skipping gives up the one event named, keeps the reason, and applies those behind it."""
    last = await world.write(("b", "poison"), ("b", "B2"))
    async with running(world.follower()) as follower:
        await follower.wait_for(last, 5)
        with pytest.raises(NotAllowed, match="first parked"):
            await follower.skip("log.performance.team.b", 2, "wrong one", "user:op")
        assert await follower.skip("log.performance.team.b", 1, "typed by mistake", "user:op") == 1
        assert await world.rows() == [("b", "B2")]
    async with world.engine.connect() as connection:
        (skipped,) = (await connection.execute(select(SKIPPED))).all()
    assert (skipped.position, skipped.reason, skipped.actor) == (1, "typed by mistake", "user:op")


async def test_an_unknown_event_type_parks(world: World) -> None:
    """An event this version does not know waits for one that does; it is never passed over."""
    await world.write(("a", "A"))
    await world.write_unknown("a")
    last = await world.write(("b", "B"))
    async with running(world.follower()) as follower:
        await follower.wait_for(last, 5)
        (parked,) = await follower.parked()
        assert "TeamSang" in parked.error
    assert await world.rows() == [("a", "A"), ("b", "B")]


async def test_a_runner_that_was_overtaken_commits_nothing(world: World) -> None:
    """Frozen in the middle of a batch while another took over, a runner rolls back when it wakes."""
    frozen, thaw = asyncio.Event(), asyncio.Event()

    class Freezing(Names):
        async def apply(self, rows: AsyncConnection, events: Sequence[Recorded]) -> None:
            await super().apply(rows, events)

        async def act(self, events: Sequence[Recorded]) -> None:
            frozen.set()
            await thaw.wait()

    await world.write(("a", "A"))
    async with running(world.follower("slow", Freezing)) as slow:
        await frozen.wait()
        world.time += timedelta(seconds=60)
        async with running(world.follower("quick")) as quick:
            last = await world.write(("a", "A2"))
            await quick.wait_for(last, 5)
            thaw.set()
            await until(lambda: slow.state is State.STANDBY)
            assert await world.rows() == [("a", "A"), ("a", "A2")]
            assert quick.state is State.RUNNING


async def test_a_second_instance_waits_until_the_owner_is_silent(world: World) -> None:
    """While the owner gives signs of life nobody takes over; once it is silent long enough, another does."""
    async with running(world.follower("one")) as one:
        await until(lambda: one.state is State.RUNNING)
        async with running(world.follower("two")) as two:
            await asyncio.sleep(0.1)
            assert two.state is State.STANDBY
            last = await world.write(("a", "A"))
            await two.wait_for(last, 5)  # a standby answers reads too, from the shared rows
            world.time += timedelta(seconds=projecting.LEASE_SECONDS + 1)
            await until(lambda: two.state is State.RUNNING)


@pytest.mark.parametrize("poisoned", [False, True], ids=["together", "one by one"])
async def test_nobody_takes_over_from_who_is_at_work(
    world: World, monkeypatch: pytest.MonkeyPatch, *, poisoned: bool
) -> None:
    """Effects that take longer than the lease are lived through; the other instance stands by."""
    at_work, go_on = asyncio.Event(), asyncio.Event()

    async def act(_self: Names, events: Sequence[Recorded]) -> None:
        if poisoned and len(events) > 1:
            raise ValueError("one of them is poison")
        at_work.set()
        await go_on.wait()

    monkeypatch.setattr(Names, "act", act)
    monkeypatch.setattr(projecting, "LEASE_SECONDS", 0.5)
    last = await world.write(("a", "A"), ("b", "B"))
    async with running(world.follower("one")) as one, running(world.follower("two")) as two:
        await at_work.wait()
        owner, other = (one, two) if one.state is State.RUNNING else (two, one)
        await leases_pass(world, Names.name)
        assert (owner.state, other.state) == (State.RUNNING, State.STANDBY)
        shown = await other.standing()
        assert (shown.position, shown.lag) == (0, 2)  # a standby knows how far behind the owner is
        go_on.set()
        await owner.wait_for(last, 5)
        assert owner.epoch == 1


async def test_who_waits_for_what_is_to_come_makes_nobody_believe_it_came(world: World) -> None:
    """A position beyond the end is waited for up to the end; whoever catches up later waits for what came since."""
    follower = world.follower()
    together = Together(world.stream, [follower])
    await together.wait_for(10**12)
    last = await world.write(("a", "A"))
    catching_up = asyncio.create_task(together.catch_up())
    await asyncio.sleep(0.05)
    assert not catching_up.done()
    async with running(follower):
        assert await catching_up == last
        assert await world.rows() == [("a", "A")]


async def test_who_stands_by_and_misses_nothing_says_so_at_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """No feed is opened to wait for what is not there."""
    last = await world.write(("a", "A"))
    async with running(world.follower("one")) as one, running(world.follower("two")) as two:
        await two.wait_for(last, 5)
        other = two if one.state is State.RUNNING else one
        monkeypatch.delattr(MemoryStream, "feed")
        standing = await other.standing()
        assert (standing.state, standing.position, standing.lag) == (State.STANDBY, last, 0)


async def test_the_standing_is_shown_before_bytes_that_are_no_event(world: World) -> None:
    """An operator sees where a follower stands, above all when something is wrong with what comes next."""
    follower = world.follower()
    assert await follower.claim()
    await EventLog(world.stream).append(Append("log.performance.team.a", 0, [Entry("x", "x", b"\xff")]))
    standing = await follower.standing()
    assert (standing.position, standing.lag, standing.lag_seconds) == (0, 1, 0.0)


async def test_reads_wait_for_a_position_or_say_how_far_it_is(world: World) -> None:
    """`at_least` includes what was acknowledged; a position that never comes is answered in time."""
    last = await world.write(("a", "A"))
    follower = world.follower()
    with pytest.raises(Unavailable, match="is at 0 of 1"):
        await follower.wait_for(last, 0.05)
    async with running(follower):
        await follower.wait_for(last, 5)
        await follower.wait_for(last + 1000, 5)  # nothing of that concerns it: all that does is included
    assert await world.rows() == [("a", "A")]


async def test_reads_that_ask_for_no_position_go_on_while_the_log_is_away(world: World) -> None:
    """Without the log, rows can still be read as they are."""
    world.stream.away = True
    await world.follower().wait_for(0, 0.05)
    with pytest.raises(Unavailable):
        await world.follower().wait_for(1, 0.05)


async def test_trouble_with_the_database_is_not_the_events_fault(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the database fails for a while nothing is parked, and the batch is applied when it is back."""
    failures = 3

    async def flaky(self: Names, rows: AsyncConnection, events: Sequence[Recorded]) -> None:
        nonlocal failures
        if failures:
            failures -= 1
            raise OSError("the database went away")
        await apply(self, rows, events)

    apply = Names.apply
    monkeypatch.setattr(Names, "apply", flaky)
    last = await world.write(("a", "A"))
    async with running(world.follower()) as follower:
        await follower.wait_for(last, 5)
        assert await follower.parked() == []
    assert await world.rows() == [("a", "A")]


async def test_a_callers_trace_goes_on_to_the_followers_sql(world: World) -> None:
    """The span of a batch, and of its SQL, belongs to the trace of the command that caused it."""
    exporter, trace_id = InMemorySpanExporter(), "0af7651916cd43dd8448eb211c80319c"
    with tracing("test", Settings(), exporter):
        instrument_engine(world.engine)
        last = await world.write(("a", "A"), traceparent=f"00-{trace_id}-b7ad6b7169203331-01")
        async with running(world.follower()) as follower:
            await follower.wait_for(last, 5)
    spans = [span for span in exporter.get_finished_spans() if f"{span.context.trace_id:032x}" == trace_id]
    names = [span.name for span in spans]
    assert "follow names" in names
    assert any(name.startswith("INSERT") for name in names)


async def test_the_checker_of_positions_catches_a_runner_without_one(world: World) -> None:
    """The negative control: a runner that forgets its position applies events twice, and the rows show it."""
    last = await world.write(("a", "A"))
    async with running(world.follower()) as follower:
        await follower.wait_for(last, 5)
    names = Names(MetaData())
    async with world.engine.begin() as transaction:
        await transaction.execute(update(FOLLOWERS).values(position=0))
        await transaction.execute(names.names.delete())
    async with running(world.follower()) as follower:
        await follower.wait_for(last, 5)
    assert await world.counts() == {"a": 2}
    async with world.engine.connect() as connection:
        assert await connection.scalar(select(func.count()).select_from(names.names)) == 1


async def test_who_gets_nowhere_tries_less_and_less_often(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the log is in trouble it is not asked all the time; once it is back, the follower goes on."""
    asked: list[int] = []
    state = world.stream.state

    async def away() -> StreamState:
        asked.append(1)
        raise NoAnswer

    position = await world.write(("a", "one"))
    with monkeypatch.context() as patch:
        patch.setattr(world.stream, "state", away)
        async with running(world.follower()) as follower:
            await asyncio.sleep(1)
            assert 1 < len(asked) < 20  # and not a hundred times
            patch.setattr(world.stream, "state", state)
            await follower.wait_for(position, 10)
    assert await world.rows() == [("a", "one")]
