"""Policies answer every event once, and clocks every deadline, whatever breaks in between; on both databases."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from sqlalchemy import MetaData, Table, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from libs.common import reacting
from libs.common.background import in_background
from libs.common.commands import Commands
from libs.common.database import upsert
from libs.common.envelope import Codec, event_types
from libs.common.errors import NotAllowed, NotKnown, Unavailable
from libs.common.eventsourcing import Context, Recorded
from libs.common.keys import METADATA as KEYS
from libs.common.keys import SqlDataKeys
from libs.common.log import EventLog
from libs.common.memory_stream import MemoryStream
from libs.common.positions import METADATA
from libs.common.projecting import Follower, ReadModel, State
from libs.common.reacting import Clock, Policy, day_over, deadlines, reaction
from libs.common.reading import Reading
from libs.common.settings import Settings
from libs.common.telemetry import tracing
from services.performance.team import TEAM
from stepladder.performance.v1 import events_pb2
from stepladder.performance.v1.directory_pb2 import CreateTeamRequest, Team
from stepladder.performance.v1.events_pb2 import TeamCreated

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass
class World:
    """A log, a database and a clock that only tests move."""

    engine: AsyncEngine
    stream: MemoryStream
    codec: Codec
    time: datetime = EPOCH

    def now(self) -> datetime:
        return self.time

    def commands(self) -> Commands:
        """Of a process that was just started."""
        return Commands([EventLog(self.stream, pause=0.001)], self.codec)

    async def create(self, *team_ids: str, traceparent: str = "00-1-2-01") -> int:
        """Creates teams; answers the last position."""
        position = 0
        for team_id in team_ids:
            context = Context(now=self.time, today=self.time.date(), actor="user:test", traceparent=traceparent)
            command = CreateTeamRequest(team=Team(team_id=team_id, display_name="Blue"))
            position = (await self.commands().handle(TEAM, team_id, command, context)).position
        return position

    async def teams(self) -> list[Recorded]:
        """Every event in the log."""
        return [await self.codec.decode(stored) for stored in self.stream._entries]

    def follower(self, handler: Policy | ReadModel, instance: str = "one") -> Follower:
        return Follower(
            handler, Reading(self.stream, self.codec), self.engine, instance=instance, now=self.now, pause=0.01
        )


@pytest.fixture
async def world(engine: AsyncEngine) -> World:
    async with engine.begin() as transaction:
        for tables in (METADATA, KEYS):
            await transaction.run_sync(tables.create_all)
    codec = Codec(event_types([events_pb2.DESCRIPTOR]), SqlDataKeys(engine, b"k" * 32))
    return World(engine, MemoryStream(EPOCH, lost_acks=0.3, seed=3), codec)


@asynccontextmanager
async def running(follower: Follower, clock: Clock | None = None) -> AsyncIterator[Follower]:
    async with in_background(follower.run(), *([clock.run()] if clock else [])):
        yield follower


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)


class Twin(Policy):
    """Every team gets a twin; counts how often it was asked for one. `crashes` happen after the command was given."""

    name = "twin"
    subjects: Sequence[str] = ("log.performance.team.*",)

    def __init__(self, world: World, crashes: int = 0) -> None:
        self._world = world
        self._commands = world.commands()
        self.crashes = crashes
        self.given: list[str] = []

    async def react(self, event: Recorded) -> None:
        match event.event:
            case TeamCreated(team_id=team_id) if not team_id.startswith("twin-"):
                command = CreateTeamRequest(team=Team(team_id=f"twin-{team_id}", display_name="Twin"))
                context = reaction(self.name, event, self._world.now(), self._world.now().date())
                await self._commands.handle(TEAM, f"twin-{team_id}", command, context)
                self.given.append(team_id)

    async def apply(self, rows: AsyncConnection, events: Sequence[Recorded]) -> None:
        if self.crashes:
            self.crashes -= 1
            raise OSError("the database went away before the position had moved")


async def test_every_event_is_answered_once(world: World) -> None:
    """A policy's commands name the event as their cause, and its trace goes on."""
    last = await world.create("a", "b")
    async with running(world.follower(Twin(world))) as follower:
        await follower.wait_for(last, 5)
        await follower.wait_for(await world.create("c"), 5)
    events = await world.teams()
    assert sorted(event.subject.rpartition(".")[2] for event in events) == ["a", "b", "c", "twin-a", "twin-b", "twin-c"]
    first = next(event for event in events if event.subject.endswith(".a"))
    twin = next(event for event in events if event.subject.endswith("twin-a"))
    assert twin.envelope.cause == first.envelope.event_id
    assert twin.envelope.actor == "policy:twin"
    assert twin.envelope.traceparent == "00-1-2-01"


async def test_a_trace_goes_on_from_a_command_to_what_follows_from_it(world: World) -> None:
    """Command, event, policy, its command and its event are one trace, also of those that share a batch."""
    exporter, callers = (
        InMemorySpanExporter(),
        {"a": f"00-{'a' * 32}-{'1' * 16}-01", "b": f"00-{'b' * 32}-{'2' * 16}-01"},
    )
    with tracing("test", Settings(), exporter):
        for team_id, traceparent in callers.items():
            last = await world.create(team_id, traceparent=traceparent)
        async with running(world.follower(Twin(world))) as follower:
            await follower.wait_for(last, 5)
    spans = {f"{span.context.span_id:016x}": span for span in exporter.get_finished_spans() if span.context}
    made = {
        event.subject.rpartition(".")[2]: event.envelope.traceparent.split("-")[1:3] for event in await world.teams()
    }
    assert {team: trace_id for team, (trace_id, _) in made.items()} == {
        "a": "a" * 32,
        "twin-a": "a" * 32,
        "b": "b" * 32,
        "twin-b": "b" * 32,
    }

    def parent(span_id: str) -> str:
        above = spans[span_id].parent
        assert above
        return f"{above.span_id:016x}"

    names = {team: spans[span_id].name for team, (_, span_id) in made.items()}
    assert set(names.values()) == {"command performance.team"}
    assert [parent(made[team][1]) for team in ("a", "b")] == ["1" * 16, "2" * 16]
    batch = parent(made["twin-a"][1])
    assert spans[batch].name == "follow twin"
    assert parent(batch) == made["a"][1]
    assert [f"{link.context.span_id:016x}" for link in spans[batch].links] == [made["b"][1]]
    assert parent(made["twin-b"][1]) == made["b"][1]


async def test_a_crash_between_command_and_position_does_nothing_twice(world: World) -> None:
    """The events are seen again, and the commands given again change nothing."""
    last = await world.create("a", "b", "c")
    policy = Twin(world, crashes=3)
    async with running(world.follower(policy)) as follower:
        await follower.wait_for(last, 5)
    assert policy.given == ["a", "b", "c"] * 4
    assert len(await world.teams()) == 6


async def test_a_process_that_was_killed_there_does_nothing_twice(world: World) -> None:
    """The same for another process, at another time, that knows nothing of the first."""

    class Dying(Twin):
        async def act(self, events: Sequence[Recorded]) -> None:
            await super().act(events)
            await asyncio.Event().wait()  # killed here: nothing of this ends

    last = await world.create("a", "b")
    dying = Dying(world)
    async with running(world.follower(dying)):
        await until(lambda: len(dying.given) == 2)
    world.time += timedelta(days=3)
    world.stream.forget_ids()
    policy = Twin(world)
    async with running(world.follower(policy, instance="two")) as follower:
        await follower.wait_for(last, 5)
    assert policy.given == ["a", "b"]
    assert len(await world.teams()) == 4


async def test_a_policy_waits_while_the_log_is_away(world: World) -> None:
    """Nothing is parked for it, and nothing lost."""
    last = await world.create("a")
    policy = Twin(world)
    policy._commands = Commands([EventLog(world.stream, patience=0.01, pause=0.001)], world.codec)
    async with running(world.follower(policy)) as follower:
        await follower.wait_for(last, 5)
        last = await world.create("b")
        world.stream.away = True
        await until(lambda: follower.state is State.STANDBY or follower.position >= last)
        world.stream.away = False
        await follower.wait_for(last, 5)
        assert await follower.parked() == []
    assert len(await world.teams()) == 4


class Alarms(ReadModel):
    """A read model that keeps deadlines: every new team is due at once; the tests set others."""

    name = "alarms"
    version = 1
    subjects: Sequence[str] = ("log.performance.team.*",)

    def __init__(self, metadata: MetaData, suffix: str = "") -> None:
        self.deadlines = deadlines(f"alarms{suffix}", metadata)
        self.tables: Sequence[Table] = (self.deadlines,)

    async def apply(self, rows: AsyncConnection, events: Sequence[Recorded]) -> None:
        for event in events:
            assert isinstance(event.event, TeamCreated)
            due = {"kind": "ring", "key": event.event.team_id, "due_time": EPOCH, "position": event.position}
            await rows.execute(upsert(self.deadlines, rows), due)


@dataclass
class Alarm:
    """A clock over the deadlines of a follower, and what it rang for."""

    world: World
    table: Table
    follower: Follower
    rung: list[str] = field(default_factory=list)
    answers: dict[str, Callable[[], Awaitable[None]]] = field(default_factory=dict)
    positions: Iterator[int] = field(default_factory=itertools.count)

    async def ring(self, key: str) -> None:
        self.rung.append(key)
        if key in self.answers:
            await self.answers[key]()

    def clock(self) -> Clock:
        return Clock(self.follower, self.table, self.world.engine, self.world.now, {"ring": self.ring})

    async def set(self, key: str, due: datetime, kind: str = "ring") -> None:
        values = {"kind": kind, "key": key, "due_time": due.astimezone(UTC), "position": next(self.positions)}
        async with self.world.engine.begin() as transaction:
            await transaction.execute(upsert(self.table, transaction), values)

    async def left(self) -> dict[str, datetime]:
        """The deadlines that are still kept."""
        async with self.world.engine.connect() as connection:
            rows = await connection.execute(select(self.table))
            return {row.key: row.due_time.replace(tzinfo=UTC) for row in rows}

    async def until_left(self, *keys: str) -> None:
        """Returns when exactly these deadlines are kept: a clock takes them off after it has rung."""
        async with asyncio.timeout(10):
            while set(await self.left()) != set(keys):
                await asyncio.sleep(0.005)


@pytest.fixture
async def alarm(world: World) -> AsyncIterator[Alarm]:
    """An alarm whose follower runs."""
    model = Alarms(metadata := MetaData())
    async with world.engine.begin() as transaction:
        await transaction.run_sync(metadata.create_all)
    async with running(world.follower(model)) as follower:
        await until(lambda: follower.state is State.RUNNING)
        yield Alarm(world, model.deadlines, follower)


def minutes(number: float) -> datetime:
    return EPOCH + timedelta(minutes=number)


async def test_deadlines_ring_when_they_are_due_and_once(alarm: Alarm) -> None:
    """Not before, in the order in which they were due, whatever time zone they were set in."""
    await alarm.set("second", minutes(2))
    await alarm.set("first", minutes(1).astimezone(timezone(timedelta(hours=8))))
    await alarm.set("third", minutes(3))
    clock = alarm.clock()
    assert await clock.tick() == 0
    alarm.world.time = minutes(1) - timedelta(microseconds=1)
    assert await clock.tick() == 0
    alarm.world.time = minutes(2)
    assert await clock.tick() == 2
    assert alarm.rung == ["first", "second"]
    assert await clock.tick() == 0
    assert list(await alarm.left()) == ["third"]


async def test_a_deadline_set_anew_while_it_rings_rings_again(alarm: Alarm) -> None:
    """Also for the same moment: what it is set for became known after it was looked at."""
    await alarm.set("again", minutes(0))
    alarm.answers["again"] = lambda: alarm.set("again", minutes(0))
    clock = alarm.clock()
    assert await clock.tick() == 1
    alarm.answers.clear()
    assert [await clock.tick(), await clock.tick()] == [1, 0]
    assert alarm.rung == ["again", "again"]


async def test_more_deadlines_than_one_look_finds_all_ring(alarm: Alarm) -> None:
    """A clock that was away for long catches up."""
    async with alarm.world.engine.begin() as transaction:
        rows = [{"kind": "ring", "key": f"{n:03}", "due_time": minutes(-n), "position": n} for n in range(250)]
        await transaction.execute(insert(alarm.table), rows)
    clock = alarm.clock()
    assert [await clock.tick() for _ in range(4)] == [100, 100, 50, 0]
    assert alarm.rung == sorted(alarm.rung, reverse=True)
    assert len(set(alarm.rung)) == 250


async def test_a_deadline_that_is_moved_meanwhile_is_not_lost(alarm: Alarm) -> None:
    """A new fact may push a deadline back just while its command runs."""
    await alarm.set("moved", minutes(0))
    alarm.answers["moved"] = lambda: alarm.set("moved", minutes(10))
    clock = alarm.clock()
    await clock.tick()
    assert await alarm.left() == {"moved": minutes(10)}
    alarm.answers.clear()
    alarm.world.time = minutes(10)
    await clock.tick()
    assert alarm.rung == ["moved", "moved"]
    assert await alarm.left() == {}


async def test_a_refused_command_is_not_given_again(alarm: Alarm) -> None:
    """What the domain refuses now, it would refuse for ever: the deadline is over; others ring."""

    async def refuse() -> None:
        raise NotAllowed("WRONG_STATE", "it is closed")

    await alarm.set("refused", minutes(0))
    await alarm.set("fine", minutes(0.5))
    alarm.answers["refused"] = refuse
    alarm.world.time = minutes(1)
    await alarm.clock().tick()
    assert alarm.rung == ["refused", "fine"]
    assert await alarm.left() == {}


async def test_what_is_not_known_yet_is_asked_again(alarm: Alarm) -> None:
    """A calendar that ends too early may be longer tomorrow: the deadline is put off, not lost."""

    async def refuse() -> None:
        raise NotKnown("CALENDAR_ENDS", "public holidays are known to 2026 only")

    await alarm.set("waiting", minutes(0))
    alarm.answers["waiting"] = refuse
    alarm.world.time = minutes(1)
    await alarm.clock().tick()
    assert alarm.rung == ["waiting"]
    assert list(await alarm.left()) == ["waiting"]


async def test_trouble_is_waited_out(alarm: Alarm, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the log is away nothing is lost, and the command is given again until it is accepted."""
    monkeypatch.setattr(reacting, "POLL_SECONDS", 0.01)

    async def trouble() -> None:
        if alarm.rung.count("troubled") < 3:
            raise Unavailable("LOG_UNAVAILABLE", "in a moment")

    await alarm.set("troubled", minutes(0))
    alarm.answers["troubled"] = trouble
    with pytest.raises(Unavailable):
        await alarm.clock().tick()
    assert list(await alarm.left()) == ["troubled"]
    ticking = asyncio.create_task(alarm.clock().run())
    await until(lambda: len(alarm.rung) == 3)
    await alarm.set("later", minutes(0))
    await until(lambda: "later" in alarm.rung)
    ticking.cancel()
    assert alarm.rung == ["troubled", "troubled", "troubled", "later"]


async def test_a_command_that_fails_does_not_stop_the_clock(alarm: Alarm, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault of ours in one command is put off and tried again; the other deadlines ring meanwhile."""
    monkeypatch.setattr(reacting, "POLL_SECONDS", 0.01)

    async def fail() -> None:
        raise KeyError("a fault of ours")

    await alarm.set("faulty", minutes(0))
    await alarm.set("fine", minutes(0.5))
    alarm.answers["faulty"] = fail
    alarm.world.time = minutes(1)
    ticking = asyncio.create_task(alarm.clock().run())
    await until(lambda: "fine" in alarm.rung)
    await alarm.set("another", minutes(1))
    await until(lambda: "another" in alarm.rung)
    await alarm.until_left("faulty")
    assert alarm.rung.count("faulty") == 1
    alarm.answers.clear()
    alarm.world.time = minutes(1) + timedelta(seconds=reacting.POSTPONE_SECONDS)
    await until(lambda: alarm.rung.count("faulty") == 2)
    ticking.cancel()


async def test_a_crash_after_the_command_gives_it_again(alarm: Alarm) -> None:
    """A deadline outlives a process that was killed before it could take it off."""
    await alarm.set("crashing", minutes(0))

    async def die() -> None:
        raise asyncio.CancelledError

    alarm.answers["crashing"] = die
    with pytest.raises(asyncio.CancelledError):
        await alarm.clock().tick()
    alarm.answers.clear()
    await alarm.clock().tick()
    assert alarm.rung == ["crashing", "crashing"]
    assert await alarm.left() == {}


async def test_overdue_are_those_that_have_come(alarm: Alarm) -> None:
    """Deadlines count from their time on, by how late the oldest is, until their command was given."""
    clock = alarm.clock()
    await alarm.set("a", minutes(1))
    await alarm.set("b", minutes(2))
    await alarm.set("elsewhere", EPOCH, kind="of another clock")
    alarm.world.time = EPOCH
    assert await clock.overdue() == {"ring": (0, 0.0)}
    alarm.world.time = minutes(3)
    assert await clock.overdue() == {"ring": (2, 120.0)}
    await clock.tick()
    assert await clock.overdue() == {"ring": (0, 0.0)}


async def test_deadlines_of_a_kind_that_is_named_earlier_come_first(alarm: Alarm) -> None:
    """Whichever of them was set for an earlier time; those given together come behind."""
    heard: list[str] = []

    async def hear(key: str) -> None:
        heard.append(key)

    async def hear_all(keys: Sequence[str]) -> None:
        heard.extend(keys)

    kinds = {"urgent": hear, "less": hear}
    clock = Clock(alarm.follower, alarm.table, alarm.world.engine, alarm.world.now, kinds, {"many": hear_all})
    alarm.world.time = minutes(9)
    for number, kind in enumerate(("many", "less", "urgent", "many")):
        await alarm.set(f"{kind}-{number}", minutes(number), kind)
    assert await clock.tick() == 4
    assert heard == ["urgent-2", "less-1", "many-0", "many-3"]


async def test_deadlines_together_ring_once_and_alone_when_that_fails(alarm: Alarm) -> None:
    """Those of another kind are left alone, or to a clock of their own; only the one at fault is put off."""
    heard: list[list[str]] = []

    async def ring(keys: Sequence[str]) -> None:
        heard.append(list(keys))
        if "faulty" in keys:
            raise KeyError("a fault of ours")
        if "refused" in keys:
            raise NotAllowed("WRONG_STATE", "it is closed")

    clock = Clock(alarm.follower, alarm.table, alarm.world.engine, alarm.world.now, {}, {"ring": ring})
    strange = Clock(alarm.follower, alarm.table, alarm.world.engine, alarm.world.now, {"knock": alarm.ring})
    alarm.world.time = minutes(3)
    for number, key in enumerate(("a", "b")):
        await alarm.set(key, minutes(number))
    assert [await strange.tick(), await clock.tick()] == [0, 2]
    assert heard == [["a", "b"]]
    heard.clear()
    for number, key in enumerate(("faulty", "refused", "fine")):
        await alarm.set(key, minutes(number))
    assert await clock.tick() == 3
    assert heard == [["faulty", "refused", "fine"], ["faulty"], ["refused"], ["fine"]]
    assert list(await alarm.left()) == ["faulty"]


async def test_only_the_owner_of_the_rows_rings(alarm: Alarm, monkeypatch: pytest.MonkeyPatch) -> None:
    """A standby instance leaves the deadlines to the one that follows."""
    monkeypatch.setattr(reacting, "POLL_SECONDS", 0.01)
    await alarm.set("due", minutes(0))
    standby = Alarm(alarm.world, alarm.table, alarm.world.follower(Alarms(MetaData()), instance="two"))
    async with running(standby.follower, standby.clock()):
        ticking = asyncio.create_task(alarm.clock().run())
        await until(lambda: alarm.rung == ["due"])
        ticking.cancel()
    assert standby.rung == []


async def test_what_is_due_when_it_is_written_rings_at_once(alarm: Alarm, monkeypatch: pytest.MonkeyPatch) -> None:
    """The follower wakes the clock, also when it moves while the clock looks, and long before that looks by itself."""
    monkeypatch.setattr(reacting, "POLL_SECONDS", 60.0)

    class Interrupted(Clock):
        async def tick(self) -> int:
            due = await super().tick()
            if not due and alarm.rung == ["a"]:
                await alarm.follower.wait_for(await alarm.world.create("b"), 5)
            return due

    clock = Interrupted(alarm.follower, alarm.table, alarm.world.engine, alarm.world.now, {"ring": alarm.ring})
    async with in_background(clock.run()):
        for team, rung in (("a", ["a", "b"]), ("c", ["a", "b", "c"])):
            await alarm.world.create(team)
            await until(lambda rung=rung: alarm.rung == rung)  # type: ignore[misc] # mypy cannot type a lambda's default
            await alarm.until_left()


async def test_a_busy_follower_leaves_the_clock_some_rest(world: World) -> None:
    """Many moves in a moment share a look."""
    ticks = 0

    class Counting(Clock):
        async def tick(self) -> int:
            nonlocal ticks
            ticks += 1
            return 0

    model = Alarms(MetaData())
    follower = world.follower(model)
    follower.state = State.RUNNING
    time = asyncio.get_running_loop().time
    async with in_background(Counting(follower, model.deadlines, world.engine, world.now, {}).run()):
        end = time() + 0.2
        while time() < end:
            await follower.moved_to(follower.position + 1)
            await asyncio.sleep(0)
    assert follower.position > 100
    assert 2 <= ticks <= 0.2 / reacting.REST_SECONDS + 2


async def test_the_standing_of_a_follower_shows_its_deadlines(alarm: Alarm) -> None:
    """How many there are, and the next one."""
    await alarm.set("b", minutes(9))
    await alarm.set("a", minutes(5))
    standing = await alarm.follower.standing()
    assert standing.deadlines == 2
    assert standing.next_deadline is not None
    assert standing.next_deadline.replace(tzinfo=UTC) == minutes(5)


def test_a_day_is_over_when_it_has_ended_everywhere() -> None:
    """West of everybody (UTC-12) the day ends at noon UTC of the next one."""
    over = day_over(date(2026, 2, 28))
    assert over == datetime(2026, 3, 1, 12, tzinfo=UTC)
    assert over.astimezone(timezone(timedelta(hours=-12))).date() == date(2026, 3, 1)
    assert (over - timedelta(seconds=1)).astimezone(timezone(timedelta(hours=-12))).date() == date(2026, 2, 28)
