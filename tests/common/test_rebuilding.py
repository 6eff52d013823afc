"""Rebuilds: complete, beside the live rows, by the owner only; on SQLite and PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest
from sqlalchemy import MetaData, delete, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common import projecting
from libs.common.database import upsert
from libs.common.errors import NotAllowed, Unavailable
from libs.common.eventsourcing import Recorded
from libs.common.memory_stream import MemoryStream
from libs.common.projecting import Follower, ReadModel, State
from libs.common.reacting import Policy, deadlines
from libs.common.reading import Reading
from libs.common.rebuilding import Progress, rebuild
from libs.common.streams import Feed, Stored
from stepladder.performance.v1.events_pb2 import TeamCreated
from tests.common.test_projecting import EPOCH, Names, World, leases_pass, running, until, world

__all__ = ["world"]
A, B = "log.performance.team.a", "log.performance.team.b"


class NewNames(Names):
    """The next version of the read model."""

    version = Names.version + 1


class Diary(Policy):
    """Notes what it reacted to; poison is what it cannot."""

    name = "diary"
    subjects = ("log.performance.team.*",)

    def __init__(self) -> None:
        self.notes: set[int] = set()

    async def react(self, event: Recorded) -> None:
        if isinstance(event.event, TeamCreated) and event.event.display_name == "poison":
            raise ValueError("poison")
        self.notes.add(event.position)


def follow(world: World, policy: Policy, instance: str = "one") -> Follower:
    """A follower of a policy."""
    return Follower(
        policy, Reading(world.stream, world.codec), world.engine, instance=instance, now=world.now, pause=0.01
    )


async def done(follower: Follower) -> Progress:
    """The last word of a rebuild."""
    return [step async for step in rebuild(follower)][-1]


async def test_a_log_that_was_exchanged_is_refused(world: World) -> None:
    """A follower that knows more than the log holds stops and says what to do; a rebuild lets it go on."""
    last = await world.write(("a", "A"), ("a", "A2"))
    async with running(world.follower()) as follower:
        await follower.wait_for(last, 5)
    world.stream, world.hashes = MemoryStream(EPOCH + timedelta(days=1)), {}
    last = await world.write(("z", "Z"))
    async with running(world.follower()) as follower:
        await until(lambda: follower.state is State.STOPPED)
        assert "rebuild it" in follower.error
        assert await world.rows() == [("a", "A"), ("a", "A2")]
        assert [step async for step in rebuild(follower)][-1].done
        await until(lambda: follower.state is State.RUNNING)
        await follower.wait_for(await world.write(("z", "Z2")), 5)
    assert await world.rows() == [("z", "Z"), ("z", "Z2")]


async def test_a_rebuild_goes_on_beside_the_live_model_and_swaps(world: World) -> None:
    """A rebuild reports progress, counts differing rows, mends them, and misses no event written meanwhile."""
    for number in range(30):
        last = await world.write((f"t{number % 7}", f"N{number}"))
    async with running(world.follower()) as follower:
        await follower.wait_for(last, 5)
        names = Names(MetaData()).names
        async with world.engine.begin() as transaction:
            await transaction.execute(update(names).where(names.c.position == 3).values(name="tampered"))
        steps: list[Progress] = []
        async for step in rebuild(follower):
            steps.append(step)
            last = await world.write(("late", f"L{len(steps)}"))
        assert steps[-1].done
        assert steps[-1].changed_rows >= 2  # the tampered row on one side, the right one on the other
        await follower.wait_for(last, 5)
        rows = await world.rows()
        assert len(rows) == len(set(rows)) == last
        assert ("t2", "N2") in rows
        for _ in range(2):  # nothing is in the way of another one
            again = [step async for step in rebuild(follower)][-1]
            assert (again.done, again.changed_rows) == (True, 0)


async def test_a_rebuild_keeps_what_was_parked_and_skipped(world: World) -> None:
    """Skipped events stay skipped and poison stays parked in the rebuilt model."""
    last = await world.write(("a", "poison"), ("a", "A2"), ("b", "poison"), ("c", "C"))
    async with running(world.follower()) as follower:
        await follower.wait_for(last, 5)
        await follower.skip("log.performance.team.a", 1, "test data", "user:op")
        assert [step async for step in rebuild(follower)][-1].changed_rows == 0
        assert [one.subject for one in await follower.parked()] == ["log.performance.team.b"]
        await follower.wait_for(await world.write(("b", "B2"), ("a", "A3")), 5)
    assert await world.rows() == [("a", "A2"), ("c", "C"), ("a", "A3")]


async def test_a_rebuild_that_cannot_catch_up_leaves_the_live_rows(world: World) -> None:
    """When the log falls silent before the new rows are complete, they do not take the place of the old ones."""
    last = await world.write(("a", "A"), ("b", "B"))
    async with running(world.follower()) as follower:
        await follower.wait_for(last, 5)
        follower.stream = MemoryStream(EPOCH)  # one that never says anything
        with pytest.raises(Unavailable, match="silent at 0 of 2"):
            [step async for step in rebuild(follower)]
    assert await world.rows() == [("a", "A"), ("b", "B")]


async def test_a_skip_during_a_rebuild_is_refused(world: World) -> None:
    """The rebuild would undo it: the operator skips when it is done."""
    last = await world.write(("b", "poison"), ("b", "B2"))
    async with running(world.follower()) as follower:
        await follower.wait_for(last, 5)
        steps = rebuild(follower)
        await anext(steps)
        with pytest.raises(NotAllowed, match="being rebuilt"):
            await follower.skip(B, 1, "typed by mistake", "user:op")
        assert [step async for step in steps][-1].done
        assert await follower.skip(B, 1, "typed by mistake", "user:op") == 1
    assert await world.rows() == [("b", "B2")]


async def test_one_rebuild_at_a_time(world: World) -> None:
    """A second one is refused, and the first goes on; one that is given up leaves the way free."""
    last = await world.write(("a", "A"), ("b", "B"))
    async with running(world.follower()) as follower:
        await follower.wait_for(last, 5)
        steps = rebuild(follower)
        await anext(steps)
        with pytest.raises(NotAllowed, match="already"):
            await done(follower)
        await steps.aclose()
        assert (await done(follower)).done
    assert await world.rows() == [("a", "A"), ("b", "B")]


async def test_a_new_version_leaves_the_rows_to_the_old_one(world: World) -> None:
    """In a rolling upgrade, the old version keeps its rows up to date until it is gone; then a rebuild is possible."""
    last = await world.write(("a", "A"))
    async with running(world.follower("old")) as old:
        await old.wait_for(last, 5)
        async with running(world.follower("new", NewNames)) as new:
            await until(lambda: new.state is State.STOPPED)
            with pytest.raises(Unavailable, match="has stopped"):
                await new.wait_for(last, 5)
            with pytest.raises(NotAllowed, match="another instance has taken it over"):
                await done(new)
            await old.wait_for(await world.write(("a", "A2")), 5)
            assert old.state is State.RUNNING
    async with running(world.follower("new", NewNames)) as new:
        await until(lambda: new.state is State.STOPPED)
        assert (await done(new)).done
        await until(lambda: new.state is State.RUNNING)
    assert await world.rows() == [("a", "A"), ("a", "A2")]


async def test_what_stops_everywhere_goes_on_everywhere(world: World) -> None:
    """A rebuild at one instance lets the others stand by again."""
    last = await world.write(("a", "A"))
    async with running(world.follower("old")) as old:
        await old.wait_for(last, 5)
    async with running(world.follower("one", NewNames)) as one, running(world.follower("two", NewNames)) as two:
        await until(lambda: one.state is two.state is State.STOPPED)
        assert (await done(two)).done
        await until(lambda: {one.state, two.state} == {State.RUNNING, State.STANDBY})
        assert one.error == two.error == ""


async def test_a_stopped_instance_keeps_others_off_while_it_rebuilds(world: World) -> None:
    """However long it takes; one that was taken over changes nothing."""
    last = await world.write(("a", "A"))
    async with running(world.follower("old")) as old:
        await old.wait_for(last, 5)
    async with running(world.follower("one", NewNames)) as one, running(world.follower("two", NewNames)) as two:
        await until(lambda: one.state is two.state is State.STOPPED)
        steps = rebuild(one)
        await anext(steps)
        with pytest.raises(NotAllowed, match="another instance has taken it over"):
            await done(two)
        world.time += timedelta(seconds=projecting.LEASE_SECONDS + 1)  # it was frozen
        assert (await done(two)).done
        with pytest.raises(NotAllowed, match="another instance has taken it over"):
            [step async for step in steps]
    assert await world.rows() == [("a", "A")]


async def test_a_policy_is_started_over(world: World) -> None:
    """On a restored log it stops; told to, it reacts again to all but what was skipped, and goes on."""
    diary = Diary()

    async def write() -> int:
        return await world.write(("a", "A"), ("b", "poison"), ("b", "B2"), ("c", "poison"))

    last = await write()
    async with running(follow(world, diary)) as one:
        await one.wait_for(last, 5)
        await one.skip(B, 2, "typed by mistake", "user:op")
    world.stream, world.hashes = MemoryStream(EPOCH + timedelta(days=1)), {}
    assert await write() == last
    diary.notes.clear()
    async with running(follow(world, diary)) as one:
        await until(lambda: one.state is State.STOPPED)
        assert "rebuild it" in one.error
        assert (await done(one)).done
        await until(lambda: one.state is State.RUNNING)
        assert diary.notes == {1, 3}
        assert [parked.position for parked in await one.parked()] == [4]
        await one.wait_for(await world.write(("a", "A2")), 5)
    assert diary.notes == {1, 3, 5}


async def test_nobody_starts_over_what_is_being_started_over(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also when a poison event makes a policy react to the others one by one, for longer than the lease."""
    at_work, go_on = asyncio.Event(), asyncio.Event()

    class Slow(Diary):
        async def react(self, event: Recorded) -> None:
            await super().react(event)
            at_work.set()
            await go_on.wait()

    async with running(follow(world, Diary(), "old")) as old:
        await old.wait_for(await world.write(("a", "A")), 5)
    world.stream, world.hashes = MemoryStream(EPOCH + timedelta(days=1)), {}
    await world.write(("a", "poison"), ("b", "B"))
    monkeypatch.setattr(projecting, "LEASE_SECONDS", 0.2)
    async with running(follow(world, Slow(), "one")) as one, running(follow(world, Diary(), "two")) as two:
        await until(lambda: one.state is two.state is State.STOPPED)
        starting_over = asyncio.create_task(done(one))
        await at_work.wait()
        await leases_pass(world, Diary.name)
        with pytest.raises(NotAllowed, match="another instance has taken it over"):
            await done(two)
        go_on.set()
        assert (await starting_over).done


class Reminders(ReadModel):
    """Every event is due at once."""

    name = "reminders"
    version = 1
    subjects = ("log.performance.team.*",)

    def __init__(self, metadata: MetaData, suffix: str = "") -> None:
        self.deadlines = deadlines(f"reminders{suffix}", metadata)
        self.tables = (self.deadlines,)

    async def apply(self, rows: AsyncConnection, events: Sequence[Recorded]) -> None:
        values = [
            {"kind": "remind", "key": event.envelope.event_id, "due_time": EPOCH, "position": event.position}
            for event in events
        ]
        await rows.execute(upsert(self.deadlines, rows), values)


async def test_what_was_delivered_is_not_due_again(world: World) -> None:
    """A rebuild keeps what is still to be delivered, and nothing else."""
    async with world.engine.begin() as transaction:
        await transaction.run_sync(Reminders(MetaData()).deadlines.metadata.create_all)
    last = await world.write(("a", "A"), ("b", "B"))
    async with running(world.follower(model=Reminders)) as follower:
        await follower.wait_for(last, 5)
        table = follower.handler.tables[0]
        async with world.engine.begin() as transaction:
            keys = list(await transaction.scalars(select(table.c.key).order_by(table.c.key)))
            await transaction.execute(delete(table).where(table.c.key == keys[0]))
        assert (await done(follower)).changed_rows == 0
        async with world.engine.connect() as connection:
            assert list(await connection.scalars(select(table.c.key))) == keys[1:]


class Halting(MemoryStream):
    """Goes silent for a while after the first events, as while a leader is elected."""

    @asynccontextmanager
    async def feed(self, subjects: Sequence[str], after: int) -> AsyncIterator[Feed]:
        async with super().feed(subjects, after) as feed:
            yield _HaltingFeed(feed)


class _HaltingFeed:
    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self._calls = 0

    @property
    def pending(self) -> int:
        return self._feed.pending

    async def next(self, most: int, wait_seconds: float) -> list[Stored]:
        self._calls += 1
        return [] if self._calls == 2 else await self._feed.next(min(most, 3), wait_seconds)


async def test_a_log_that_halts_makes_no_rebuild_of_a_part(world: World) -> None:
    """Also where the follower has stopped, and nobody but the log knows how far there is to go."""
    last = await world.write(*((f"t{number}", "A") for number in range(9)))
    async with running(world.follower("old")) as old:
        await old.wait_for(last, 5)
    halting = Halting(EPOCH)
    halting.__dict__.update(world.stream.__dict__)
    world.stream = halting
    async with running(world.follower("new", NewNames)) as new:
        await until(lambda: new.state is State.STOPPED)
        assert (await done(new)).position == last
    assert len(await world.rows()) == 9
