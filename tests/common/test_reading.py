"""One reading for many: nothing is lost, doubled or out of order, whoever joins, leaves, lags or fails."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta
from random import Random

import pytest
from sqlalchemy import MetaData
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common import reading as reading_module
from libs.common.background import in_background
from libs.common.envelope import Codec, event_types
from libs.common.eventsourcing import Recorded
from libs.common.memory_stream import MemoryStream, _MemoryFeed
from libs.common.projecting import Follower, Handler, State
from libs.common.reacting import Policy
from libs.common.reading import Heard, Listener, Reading
from libs.common.streams import Append, Entry, Feed, NoAnswer, NoResponders, Stored, matches
from stepladder.common.v1.envelope_pb2 import Envelope
from stepladder.performance.v1 import events_pb2
from stepladder.performance.v1.events_pb2 import TeamCreated
from tests.common.test_projecting import EPOCH, Names, World, until, world
from tests.common.test_restricted import Keys

__all__ = ["world"]

TEAMS, KPIS, ALL = "log.performance.team.*", "log.performance.kpi.*", "log.performance.>"


class CountingCodec(Codec):
    """Counts how often each entry is decoded; decoding those in `trouble` fails of the database."""

    def __init__(self) -> None:
        super().__init__(event_types([events_pb2.DESCRIPTOR]), Keys())
        self.decoded = Counter[int]()
        self.trouble: set[int] = set()

    async def decode(self, stored: Stored) -> Recorded:
        self.decoded[stored.position] += 1
        await asyncio.sleep(0)
        if stored.position in self.trouble:
            raise OperationalError("SELECT", {}, Exception("the keys are away"))
        return await super().decode(stored)


async def write(stream: MemoryStream, *subjects: str) -> int:
    """Appends an event about each subject; answers the last position."""
    last = 0
    for subject in subjects:
        last = (await stream.state()).last + 1
        event = TeamCreated(team_id=str(last)).SerializeToString()
        kind = TeamCreated.DESCRIPTOR.full_name
        envelope = Envelope(event_id=str(last), type=kind, schema_version=1, event=event).SerializeToString()
        expected = await stream.last_position(subject)
        await stream.publish([Append(subject, expected, [Entry(str(last), kind, envelope)])])
    return last


async def no_answer(*_: object) -> list[Stored]:
    """What the log's server does when it has troubles."""
    await asyncio.sleep(0)
    raise NoAnswer


def reading_of(*subjects: str) -> tuple[MemoryStream, CountingCodec, Reading[Recorded]]:
    stream, codec = MemoryStream(EPOCH), CountingCodec()
    reading = Reading(stream, codec)
    reading.add(subjects)
    return stream, codec, reading


async def take(listener: Listener[Recorded], count: int) -> list[Heard[Recorded]]:
    """So many entries, however many portions they come in."""
    heard: list[Heard[Recorded]] = []
    async with asyncio.timeout(5):
        while len(heard) < count:
            heard += await listener.next(count - len(heard), 0.5)
    return heard


async def test_what_several_want_is_decoded_once() -> None:
    """And what nobody wants is not decoded."""
    stream, codec, reading = reading_of(TEAMS, KPIS, ALL)
    async with reading.feed([TEAMS], 0) as one, reading.feed([TEAMS, KPIS], 0) as two:
        assert await one.next(10, 0.01) == await two.next(10, 0.01) == []
        last = await write(stream, "log.performance.team.a", "log.performance.kpi.a", "log.performance.target.a")
        (team,) = await take(one, 1)
        assert [heard.position for heard in await take(two, 2)] == [1, 2]
        assert team.position == 1
        assert await one.next(10, 0.01) == await two.next(10, 0.01) == []
    assert codec.decoded == {1: 1, 2: 1}
    assert last == 3


@pytest.mark.parametrize("seed", range(20))
async def test_everybody_hears_all_in_order_and_once(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Listeners that begin anywhere, dawdle, stop, and begin again behind what they heard; with little room.

    Half of the times the log has its troubles, too.
    """
    random = Random(seed)
    trouble = 0.1 * (seed % 2)
    undisturbed = _MemoryFeed.next

    async def disturbed(feed: _MemoryFeed, most: int, wait_seconds: float) -> list[Stored]:
        if random.random() < trouble:
            await asyncio.sleep(random.choice([0, 0.001]))
            raise NoAnswer
        return await undisturbed(feed, most, wait_seconds)

    monkeypatch.setattr(_MemoryFeed, "next", disturbed)
    monkeypatch.setattr(reading_module, "ROOM_BYTES", random.choice([100, 1000, 4_000_000]))
    kinds = ("team", "kpi", "target")
    subjects = [[TEAMS], [KPIS], [TEAMS, KPIS], [ALL]]
    stream, _, reading = reading_of(*(one for some in subjects for one in some))
    said: list[tuple[int, str]] = []

    async def tell(events: int) -> None:
        for _ in range(events):
            subject = f"log.performance.{random.choice(kinds)}.{random.randrange(4)}"
            said.append((await write(stream, subject), subject))
            if random.random() < 0.3:
                await asyncio.sleep(random.choice([0, 0.001]))

    def wanted_of(patterns: Sequence[str]) -> list[tuple[int, str]]:
        return [one for one in said if any(matches(one[1], pattern) for pattern in patterns)]

    done = asyncio.Event()

    async def listen(wanted: Sequence[str]) -> list[tuple[int, str]]:
        heard: list[tuple[int, str]] = []
        while True:
            after = heard[-1][0] if heard else 0
            with suppress(NoAnswer):
                async with reading.feed(wanted, after) as listener:
                    for _ in range(random.randrange(1, 20)):
                        got = await listener.next(random.choice([1, 3, 100]), 0.005)
                        heard += [(one.position, one.subject) for one in got]
                        await asyncio.sleep(random.choice([0, 0, 0.003]))
                        if done.is_set() and len(heard) >= len(wanted_of(wanted)):
                            return heard

    await tell(random.randrange(30))
    wanted = [*subjects, *(random.choice(subjects) for _ in range(4))]
    listening = [asyncio.create_task(listen(one)) for one in wanted]
    await tell(150)
    done.set()
    async with asyncio.timeout(10):
        all_heard = await asyncio.gather(*listening)
    for one, heard in zip(wanted, all_heard, strict=True):
        assert heard == wanted_of(one)


async def test_who_is_slow_keeps_little_and_holds_up_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """The slow one gets no more than there is room for, and reads the others by itself when it comes to them."""
    monkeypatch.setattr(reading_module, "ROOM_BYTES", 1000)
    stream, codec, reading = reading_of(TEAMS)
    async with reading.feed([TEAMS], 0) as slow, reading.feed([TEAMS], 0) as quick:
        assert await slow.next(10, 0.01) == await quick.next(10, 0.01) == []
        for _ in range(20):
            await write(stream, *["log.performance.team.a"] * 10)
            assert len(await take(quick, 10)) == 10
        kept = await slow.next(1000, 0.01)
        assert 0 < sum(one.size for one in kept) <= 1000
        assert [one.position for one in kept + await take(slow, 200 - len(kept))] == [*range(1, 201)]
        again = codec.decoded.total()
        await write(stream, "log.performance.team.a")
        assert await take(slow, 1) == await take(quick, 1)  # it has caught up, and shares again
        assert codec.decoded.total() == again + 1


async def test_who_begins_far_behind_reads_by_itself_up_to_the_others() -> None:
    """The others do not hear anew what they have heard."""
    stream, codec, reading = reading_of(TEAMS)
    last = await write(stream, *["log.performance.team.a"] * 10)
    async with reading.feed([TEAMS], last) as ahead:
        assert await ahead.next(10, 0.01) == []
        async with reading.feed([TEAMS], 4) as behind:
            assert [one.position for one in await take(behind, 6)] == [5, 6, 7, 8, 9, 10]
            await write(stream, "log.performance.team.b")
            assert await take(ahead, 1) == await take(behind, 1)
    assert codec.decoded == dict.fromkeys(range(5, 12), 1)


async def test_trouble_with_the_log_is_told_to_all_and_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was handed on before is heard first; whoever begins again misses nothing."""
    stream, _, reading = reading_of(TEAMS)
    async with reading.feed([TEAMS], 0) as one, reading.feed([TEAMS], 0) as two:
        assert await one.next(10, 0.01) == await two.next(10, 0.01) == []
        await write(stream, "log.performance.team.a")
        assert len(await take(one, 1)) == 1
        with monkeypatch.context() as broken:
            broken.setattr("libs.common.memory_stream._MemoryFeed.next", no_answer)
            await write(stream, "log.performance.team.a")
            with pytest.raises(NoAnswer):
                await take(one, 2)
        assert [heard.position for heard in await take(two, 1)] == [1]
        with pytest.raises(NoAnswer):
            await take(two, 2)
        stream.away = True
        async with reading.feed([TEAMS], 1) as early:
            with pytest.raises(NoResponders):
                await early.next(10, 0.01)
        stream.away = False
    async with reading.feed([TEAMS], 1) as again:
        assert [heard.position for heard in await take(again, 1)] == [2]


async def test_whoever_could_not_begin_can_try_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of what lies behind its position is taken as heard."""
    stream, _, reading = reading_of(TEAMS)
    await write(stream, "log.performance.team.a")
    async with reading.feed([TEAMS], 0) as listener:
        with monkeypatch.context() as broken:
            broken.setattr(stream, "last_position", no_answer)
            with pytest.raises(NoAnswer):
                await listener.next(1, 0.01)
        await write(stream, "log.performance.team.a")
        assert [heard.position for heard in await take(listener, 2)] == [1, 2]


async def test_an_entry_that_cannot_be_read_troubles_only_who_wants_it() -> None:
    """Its trouble comes with it, in its place."""
    stream, codec, reading = reading_of(TEAMS, KPIS)
    codec.trouble = {2}
    async with reading.feed([TEAMS], 0) as teams, reading.feed([KPIS], 0) as kpis:
        assert await teams.next(10, 0.01) == await kpis.next(10, 0.01) == []
        await write(stream, "log.performance.team.a", "log.performance.kpi.a", "log.performance.team.a")
        assert all(isinstance(one.outcome, Recorded) for one in await take(teams, 2))
        (kpi,) = await take(kpis, 1)
        assert isinstance(kpi.outcome, OperationalError)


async def test_whoever_follows_less_than_another_is_covered_by_it_and_not_the_other_way() -> None:
    """One of two ways to say the same of today's subjects is asked of the server."""
    every = "log.performance.team.>"
    stream, _, reading = reading_of(TEAMS, every)
    async with reading.feed([TEAMS], 0) as one, reading.feed([every], 0) as two:
        assert await one.next(10, 0.01) == await two.next(10, 0.01) == []
        await write(stream, "log.performance.team.a")
        assert await take(one, 1) == await take(two, 1)


def test_a_single_aggregate_cannot_be_followed() -> None:
    """Who wants what is known by the kinds of aggregates."""
    with pytest.raises(ValueError, match="all aggregates of a kind"):
        reading_of("log.performance.team.t-1")


class Others(Policy):
    """Follows the same events as `Names`."""

    name = "others"
    subjects = (TEAMS,)

    def __init__(self) -> None:
        self.heard: list[int] = []
        self.hold = asyncio.Event()
        self.hold.set()

    async def act(self, events: Sequence[Recorded]) -> None:
        await self.hold.wait()
        self.heard += [event.position for event in events]


def follow(world: World, reading: Reading[Recorded], handler: Handler, instance: str = "one") -> Follower:
    return Follower(handler, reading, world.engine, instance=instance, now=world.now, pause=0.01)


async def test_what_is_poison_for_one_is_not_for_another(world: World) -> None:
    """Of two followers that read together, one parks an event and the other takes it."""
    reading = Reading(world.stream, world.codec)
    others = Others()
    names, other = follow(world, reading, Names(MetaData())), follow(world, reading, others)
    async with in_background(names.run(), other.run()):
        await until(lambda: names.state is other.state is State.RUNNING)
        last = await world.write(("a", "poison"), ("b", "B"), ("a", "A"))
        await names.wait_for(last, 5)
        await other.wait_for(last, 5)
        assert await world.rows() == [("b", "B")]
        assert [(parked.subject, parked.events) for parked in await names.parked()] == [("log.performance.team.a", 2)]
        assert others.heard == [1, 2, 3]
        assert await other.parked() == []


async def test_what_was_read_alone_has_not_passed_before_it_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor while the server is told that no more is read alone, which takes as long as it takes."""
    stream, _, reading = reading_of(TEAMS)
    await write(stream, "log.performance.team.a", "log.performance.team.b")
    ending, end = asyncio.Event(), asyncio.Event()
    feed_of = stream.feed

    @asynccontextmanager
    async def slow(subjects: Sequence[str], after: int) -> AsyncIterator[Feed]:
        async with feed_of(subjects, after) as feed:
            yield feed
        if after == 0:
            ending.set()
            await end.wait()

    monkeypatch.setattr(stream, "feed", slow)
    async with reading.feed([TEAMS], 0) as listener:
        taking = asyncio.create_task(listener.next(10, 1))
        await ending.wait()
        assert listener.passed == 0
        end.set()
        assert [heard.position for heard in await taking] == [1, 2]
        assert listener.passed == 2


async def test_a_slow_follower_holds_up_no_other(world: World) -> None:
    """While one is at work on an event, another takes those that come; then the first one goes on with all of them."""
    reading = Reading(world.stream, world.codec)
    others = Others()
    names, other = follow(world, reading, Names(MetaData())), follow(world, reading, others)
    async with in_background(names.run(), other.run()):
        await until(lambda: names.state is other.state is State.RUNNING)
        others.hold.clear()
        for number in range(5):
            await names.wait_for(await world.write((f"t-{number}", "A")), 5)
        assert (names.position, others.heard, (await other.standing()).lag) == (5, [], 5)
        others.hold.set()
        await other.wait_for(5, 5)
        assert others.heard == [1, 2, 3, 4, 5]


async def test_of_who_read_together_one_can_be_overtaken_alone(world: World) -> None:
    """Another process takes one of two followers over: what the first held of it commits nothing; the other stays."""
    at_work, thaw = asyncio.Event(), asyncio.Event()

    class Freezing(Names):
        async def apply(self, rows: AsyncConnection, events: Sequence[Recorded]) -> None:
            await super().apply(rows, events)

        async def act(self, events: Sequence[Recorded]) -> None:
            at_work.set()
            await thaw.wait()

    here, there = (Reading(world.stream, world.codec) for _ in range(2))
    others = Others()
    slow, other = follow(world, here, Freezing(MetaData())), follow(world, here, others)
    async with in_background(slow.run(), other.run()):
        await until(lambda: slow.state is other.state is State.RUNNING)
        await world.write(("a", "A"))
        await at_work.wait()
        world.time += timedelta(seconds=60)
        async with in_background((quick := follow(world, there, Names(MetaData()), "two")).run()):
            last = await world.write(("a", "A2"))
            await quick.wait_for(last, 5)
            thaw.set()
            await until(lambda: slow.state is State.STANDBY)
            await other.wait_for(last, 5)
        assert await world.rows() == [("a", "A"), ("a", "A2")]
        assert (other.state, other.epoch, others.heard) == (State.RUNNING, 1, [1, 2])


async def test_who_has_not_heard_of_a_failure_yet_gets_nothing_of_the_next_reading(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What was handed on before the trouble is heard, then the trouble: nothing that came later, behind a gap."""
    stream, _, reading = reading_of(TEAMS)
    async with reading.feed([TEAMS], 0) as slow:
        async with reading.feed([TEAMS], 0) as quick:
            assert await slow.next(10, 0.01) == await quick.next(10, 0.01) == []
            await write(stream, "log.performance.team.a")
            assert [one.position for one in await take(quick, 1)] == [1]
            with monkeypatch.context() as broken:
                broken.setattr("libs.common.memory_stream._MemoryFeed.next", no_answer)
                await write(stream, "log.performance.team.a")
                with pytest.raises(NoAnswer):
                    await take(quick, 1)
        await write(stream, "log.performance.team.a")
        async with reading.feed([TEAMS], 1) as again:
            assert [one.position for one in await take(again, 2)] == [2, 3]
            await write(stream, "log.performance.team.a")
            assert [one.position for one in await take(again, 1)] == [4]
            assert [one.position for one in await take(slow, 1)] == [1]
            with pytest.raises(NoAnswer):
                await slow.next(10, 0.5)


def slow_to_close(stream: MemoryStream, monkeypatch: pytest.MonkeyPatch) -> tuple[asyncio.Event, asyncio.Event]:
    """Makes the next feeds end late: the first event says that one is at it, the second one lets it go."""
    ending, go_on = asyncio.Event(), asyncio.Event()
    feed = stream.feed

    @asynccontextmanager
    async def closing(subjects: Sequence[str], after: int) -> AsyncIterator[Feed]:
        async with feed(subjects, after) as one:
            try:
                yield one
            finally:
                ending.set()
                await go_on.wait()

    monkeypatch.setattr(stream, "feed", closing)
    return ending, go_on


async def come_and_go(reading: Reading[Recorded]) -> None:
    """Listens for a moment."""
    async with reading.feed([TEAMS], 0) as listener:
        await listener.next(1, 0.01)


async def test_who_comes_while_the_last_one_goes_is_not_left_unheard(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reading ends with its last listener; who joins while it ends is told of it, and can begin again."""
    stream, _, reading = reading_of(TEAMS)
    ending, go_on = slow_to_close(stream, monkeypatch)
    going = asyncio.create_task(come_and_go(reading))
    await ending.wait()
    async with reading.feed([TEAMS], 0) as late:
        assert await late.next(1, 0.01) == []
        go_on.set()
        await going
        await write(stream, "log.performance.team.a")
        with pytest.raises(NoAnswer):
            await take(late, 1)
    async with reading.feed([TEAMS], 0) as again:
        assert [one.position for one in await take(again, 1)] == [1]


@pytest.mark.parametrize("created", [EPOCH, EPOCH + timedelta(days=1)], ids=["shorter", "made anew"])
async def test_of_a_restored_stream_nobody_waits_for_what_the_old_one_had(created: datetime) -> None:
    """Whoever begins on it hears what comes; those who still listened to the old one are told."""
    stream, _, reading = reading_of(TEAMS)
    last = await write(stream, *["log.performance.team.a"] * 5)
    async with reading.feed([TEAMS], last) as old:
        assert await old.next(10, 0.01) == []
        restored = MemoryStream(created)
        await write(restored, *["log.performance.team.a"] * 2)
        stream.__dict__.update(vars(restored))
        async with reading.feed([TEAMS], 2) as new:
            assert await new.next(10, 0.01) == []
            await write(stream, "log.performance.team.a")
            assert [one.position for one in await take(new, 1)] == [3]
        with pytest.raises(NoAnswer):
            await take(old, 1)


async def test_who_is_told_to_stop_while_the_reading_ends_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    """The end of the reading is awaited by its last listener, which can be cancelled there as everywhere."""
    stream, _, reading = reading_of(TEAMS)
    ending, go_on = slow_to_close(stream, monkeypatch)
    going = asyncio.create_task(come_and_go(reading))
    await ending.wait()
    going.cancel()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await going
