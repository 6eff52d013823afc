"""Divided followers: each event in its part, in order, once; on SQLite and PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from random import Random

import pytest
from sqlalchemy import MetaData, func, insert, select, update

from libs.common import projecting
from libs.common.background import in_background
from libs.common.database import writing
from libs.common.dividing import DIVIDED, DividedFollower, lay_out, rows_of
from libs.common.errors import NotAllowed, NotFound
from libs.common.parking import RETRY
from libs.common.partitions import Sharing
from libs.common.positions import FOLLOWERS
from libs.common.projecting import State
from libs.common.reading import Reading
from libs.common.rebuilding import rebuild
from libs.common.replicas import REPLICAS, Replicas
from tests.common.test_projecting import Names, World, world

__all__ = ["world"]
TEAMS = [f"t{number}" for number in range(40)]
LOOK = 0.1


class SharedNames(Names):
    """Every team's names, by team."""

    sharing = Sharing(by_id=Names.subjects)


class OtherNames(SharedNames):
    """Of rows that the other ones cannot be made into."""

    version = SharedNames.version + 1


class Replica:
    """A service with one follower, as one of several."""

    def __init__(self, world: World, instance: str, partitions: int, names: type[SharedNames] = SharedNames) -> None:
        self.follower = DividedFollower(
            names(MetaData()),
            Reading(world.stream, world.codec),
            world.engine,
            instance=instance,
            now=world.now,
            partitions=partitions,
        )
        self._replicas = Replicas(world.engine, [self.follower], instance=instance, now=world.now)

    def held(self) -> list[int]:
        """Numbers of the parts that run here."""
        return [number for number, part in enumerate(self.follower.parts) if part.state is State.RUNNING]

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Replica"]:
        async with in_background(self._replicas.run()):
            yield self


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("libs.common.replicas.LOOK_SECONDS", LOOK)
    monkeypatch.setattr(projecting, "IDLE_SECONDS", 0.05)


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(30):  # generous: only a hang takes so long
        while not condition():
            await asyncio.sleep(0.01)


async def until_held(replica: Replica, count: int) -> None:
    await until(lambda: len(replica.held()) == count)


async def write_many(world: World, chance: Random, count: int) -> int:
    last = 0
    for number in range(count):
        last = await world.write((chance.choice(TEAMS), f"n{number}"))
    return last


async def replicas(world: World) -> list[str]:
    """Those who have told that they are there."""
    async with world.engine.connect() as connection:
        return list(await connection.scalars(select(REPLICAS.c.instance)))


async def check(world: World, last: int) -> None:
    """Every event is applied once, each team's in order."""
    counts = await world.counts()
    assert sum(counts.values()) == last
    names = Names(MetaData()).names
    async with world.engine.connect() as connection:
        assert await connection.scalar(select(func.count()).select_from(names)) == last


async def test_parts_together_make_what_one_would(world: World) -> None:
    """Whatever came before the start and since, and with a restart in between."""
    chance = Random(1)
    await write_many(world, chance, 60)
    async with Replica(world, "one", 4).running() as one:
        last = await write_many(world, chance, 60)
        await one.follower.wait_for(last, 60)
        await check(world, last)
        assert one.held() == [0, 1, 2, 3]
        async with asyncio.timeout(30):  # what belongs to other parts is committed a moment later
            while (standing := await one.follower.standing()).lag:
                await asyncio.sleep(0.01)
        assert (standing.name, standing.state) == ("names", State.RUNNING)
        assert len({number for team in TEAMS if (number := _number(team)) is not None}) == 4
    async with Replica(world, "two", 4).running() as two:
        last = await write_many(world, chance, 20)
        await two.follower.wait_for(last, 60)
    await check(world, last)


async def test_the_old_version_follows_until_it_goes(world: World) -> None:
    """Its rows are none that the new one could go on with: nothing stands still for a share of it."""
    async with Replica(world, "old", 4).running() as old:
        await until(lambda: old.held() == [0, 1, 2, 3])
        async with Replica(world, "new", 4, OtherNames).running():
            while "new" not in await replicas(world):
                await asyncio.sleep(0.01)
            last = await write_many(world, Random(9), 20)
            for _ in range(5):
                await asyncio.sleep(LOOK)
                assert old.held() == [0, 1, 2, 3]
            await old.follower.wait_for(last, 60)
    await check(world, last)


def _number(team: str) -> int | None:
    return SharedNames.sharing.number(f"log.performance.team.{team}", 4)


async def test_replicas_share_the_parts_and_take_over_from_each_other(world: World) -> None:
    """Who comes is given its share, who leaves gives back at once; a read anywhere waits for all parts."""
    chance = Random(2)
    async with Replica(world, "one", 4).running() as one:
        await until(lambda: one.held() == [0, 1, 2, 3])
        async with Replica(world, "two", 4).running() as two:
            await until(lambda: len(one.held()) == len(two.held()) == 2)
            last = await write_many(world, chance, 60)
            for replica in (one, two):
                await replica.follower.wait_for(last, 60)
                await check(world, last)
            assert {*one.held(), *two.held()} == {0, 1, 2, 3}
        await until(lambda: one.held() == [0, 1, 2, 3])  # no lease has passed: time stands still
        assert await replicas(world) == ["one"]
    await check(world, last)


async def test_who_comes_while_another_one_divides_tries_again(world: World) -> None:
    """Replicas that start at once, with new settings: one divides, and to the others that is no fault."""
    follower = Replica(world, "two", 4).follower
    await Replica(world, "one", 1).follower.agree()
    async with writing(world.engine) as transaction:
        rows = await rows_of(transaction, "names")
        agreed = asyncio.create_task(follower.agree())
        await asyncio.sleep(0.3)  # it waits for those rows
        await lay_out(transaction, "names", rows, [0] * 4)
    with suppress(*RETRY):
        await agreed
    assert await follower.agree() == 4


async def test_who_stops_while_it_gives_something_up_lets_go_of_all(world: World) -> None:
    """Also of what it is about to give up, and of which the batch is not through."""
    async with AsyncExitStack() as batches:
        async with Replica(world, "one", 4).running() as one:
            await until_held(one, 4)
            for part in one.follower.parts:
                await batches.enter_async_context(part.stepping)
            async with world.engine.begin() as transaction:
                alike = await transaction.scalar(select(REPLICAS.c.follows))
                two = {"instance": "two", "beat_time": world.now(), "follows": alike}
                await transaction.execute(insert(REPLICAS), two)
            await asyncio.sleep(0.5)  # it has seen that, and waits
        assert one.held() == []
    async with world.engine.connect() as connection:
        owners = await connection.scalars(select(FOLLOWERS.c.owner).where(FOLLOWERS.c.owner != DIVIDED))
        assert set(owners) == {""}


async def test_what_was_owned_in_a_life_before_is_given_back(world: World) -> None:
    """A replica that comes back to less than it had lets go of the rest, though no lease has passed."""
    async with Replica(world, "one", 4).running() as one:
        await until_held(one, 4)
    async with world.engine.begin() as transaction:
        await transaction.execute(update(FOLLOWERS).where(FOLLOWERS.c.owner == "").values(owner="one"))
    async with Replica(world, "two", 4).running() as two, Replica(world, "one", 4).running() as one:
        await until(lambda: len(one.held()) == len(two.held()) == 2)


async def test_a_follower_that_was_whole_is_divided_where_it_stands(world: World) -> None:
    """And further; what was parked goes along, and what is said of fewer parts is left until a rebuild."""
    chance = Random(3)
    await world.write(("t1", "poison"), ("t1", "behind"))
    async with Replica(world, "one", 1).running() as one:
        await one.follower.wait_for(await write_many(world, chance, 30), 60)
    for partitions, there in ((2, 2), (8, 8), (4, 8), (1, 8)):
        async with Replica(world, "one", partitions).running() as one:
            await until_held(one, there)
            await one.follower.wait_for(await write_many(world, chance, 30), 60)
            (parked,) = await one.follower.parked()
            assert (parked.follower, parked.subject) == ("names", "log.performance.team.t1")
    parked_events = parked.events
    assert parked_events >= 2
    await check(world, sum((await world.counts()).values()))
    applied = sum((await world.counts()).values())
    end = (await world.stream.state()).last
    assert applied + parked_events == end


async def test_replicas_of_other_settings_follow_what_the_rows_say(world: World) -> None:
    """Whoever is told of more divides; whoever is told of less does as the others do."""
    chance = Random(4)
    async with Replica(world, "old", 1).running() as old:
        await old.follower.wait_for(await write_many(world, chance, 30), 60)
        async with Replica(world, "new", 4).running() as new:
            await until(lambda: len(old.held()) == len(new.held()) == 2)
            last = await write_many(world, chance, 60)
            await old.follower.wait_for(last, 60)
            await check(world, last)
    async with world.engine.connect() as connection:
        rows = (await connection.execute(select(FOLLOWERS).order_by(FOLLOWERS.c.name))).all()
    assert [(row.name, row.owner, row.partitions) for row in rows] == [
        ("names", DIVIDED, 4),
        *((f"names/{number}", "", 4) for number in range(4)),
    ]


@pytest.mark.parametrize("partitions", [1, 4, 6])
async def test_a_rebuild_is_divided_as_the_settings_say(world: World, partitions: int) -> None:
    """Its parts begin at one position, whoever ran those of before; nothing is lost or doubled, or taken back."""
    chance = Random(5)
    await world.write(("t1", "poison"), ("t1", "behind"))
    async with Replica(world, "one", 4).running() as one, Replica(world, "two", 4).running() as two:
        await until(lambda: len(one.held()) == len(two.held()) == 2)
        await one.follower.wait_for(await write_many(world, chance, 50), 60)
        names = Names(MetaData()).names
        async with world.engine.begin() as transaction:
            first = await transaction.scalar(select(func.min(names.c.position)))
            await transaction.execute(update(names).where(names.c.position == first).values(name="tampered"))
        one.follower.wanted = two.follower.wanted = partitions
        steps = [step async for step in rebuild(one.follower)]
        assert steps[-1].done
        assert steps[-1].changed_rows == 2
        await until(lambda: len(one.follower.parts) == len(two.follower.parts) == partitions)
        last = await write_many(world, chance, 50)
        for replica in (one, two):
            await replica.follower.wait_for(last, 60)
        await until(lambda: one.held() or two.held())
        again = rebuild(two.follower if two.held() else one.follower)
        assert [step async for step in again][-1].changed_rows == 0
        (parked,) = await one.follower.parked()
        assert sum((await world.counts()).values()) + parked.events == last


async def test_what_is_parked_is_retried_and_skipped_in_its_part(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its subject alone, and by whichever replica an operator asks."""
    await world.write(("t1", "poison"), ("t1", "behind"), ("t2", "poison"))
    async with Replica(world, "one", 4).running() as one:
        await until(lambda: len(one.held()) == 4)
        await one.follower.wait_for(3, 60)
        with pytest.raises(NotFound):
            await one.follower.retry("log.performance.team.t3")
        with pytest.raises(NotAllowed, match="this name is poison"):
            await one.follower.retry("log.performance.team.t1")
        assert await one.follower.skip("log.performance.team.t1", 1, "typed by mistake", "user:op") == 1
        monkeypatch.setattr(Names, "poison", "nothing")
        assert await Replica(world, "two", 4).follower.retry("log.performance.team.t2") == 1
        assert await one.follower.parked() == []
    assert await world.rows() == [("t1", "behind"), ("t2", "poison")]
