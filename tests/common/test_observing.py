"""What is measured of followers and deadlines, on both kinds of database."""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.x509 import load_pem_x509_certificate
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.database import open_database
from libs.common.errors import Unavailable
from libs.common.eventsourcing import Recorded
from libs.common.log import EventLog
from libs.common.memory_stream import MemoryStream
from libs.common.metrics import REGISTRY, Gauges
from libs.common.observing import measure_followers, measure_process
from libs.common.projecting import Follower, State
from libs.common.streams import Append, Entry
from services.performance.team import TEAM
from tests.certificates import Authority
from tests.common.test_commands import Rivalled, by, create, process, rename
from tests.common.test_projecting import EPOCH, World, running, until
from tests.common.test_projecting import world as world  # noqa: PLC0414 - a fixture
from tests.servers import free_port

LAG = "stepladder_follower_lag_"


async def measured(world: World, *followers: Follower) -> dict[str, float]:
    """Values by name, of the first follower."""
    gauges = Gauges()
    await measure_followers(world.engine, followers, [], gauges)
    return {sample.name: sample.value for family in gauges.families() for sample in family.samples}


async def test_who_keeps_up_is_level(world: World) -> None:
    """Nothing is behind a follower that has applied everything, and nobody is asked for that."""
    async with running(world.follower()) as follower:
        await follower.wait_for(await world.write(("a", "A")), 5)
        await until(lambda: follower._listens is not None and follower._listens.level)
        world.stream.away = True
        found = await measured(world, follower)
    assert (found[f"{LAG}events"], found[f"{LAG}seconds"]) == (0, 0)


async def test_who_stands_still_is_further_behind_all_the_time(world: World) -> None:
    """Events that come while a batch takes long are counted, and the oldest grows older."""
    async with running(world.follower()) as follower:
        await follower.wait_for(await world.write(("a", "A")), 5)
        async with follower.stepping:  # as long as a batch takes
            await world.write(("b", "B"), ("c", "C"))
            await until(lambda: follower._listens is None)
            world.time += timedelta(seconds=30)
            first = await measured(world, follower)
            await world.write(("d", "D"))
            world.time += timedelta(seconds=30)
            second = await measured(world, follower)
        await follower.catch_up(5)
        await until(lambda: follower._listens is not None and follower._listens.level)
        last = await measured(world, follower)
    assert [(one[f"{LAG}events"], one[f"{LAG}seconds"]) for one in (first, second, last)] == [(2, 30), (3, 60), (0, 0)]


async def test_who_has_stopped_is_behind_what_comes(world: World) -> None:
    """A follower whose rows are of another version applies nothing, and how far it is behind is known."""
    async with running(world.follower()) as follower:
        await follower.wait_for(await world.write(("a", "A")), 5)
    later = world.follower()
    later.handler.version += 1  # type: ignore[misc] # its class says that it is read
    async with running(later):
        await until(lambda: later.state.value == "stopped")
        await world.write(("b", "B"), ("c", "C"))
        world.time += timedelta(seconds=9)
        found = await measured(world, later)
    assert (found[f"{LAG}events"], found[f"{LAG}seconds"]) == (2, 9)


async def test_who_waits_for_the_owner_tells_no_lag(world: World) -> None:
    """Of what another process follows, only that one knows; what is parked both find in the database."""
    async with running(world.follower()) as owner:
        await world.write_unknown("a")
        await owner.catch_up(5)
        other = world.follower(instance="two")
        async with running(other):
            found = await measured(world, other)
    assert f"{LAG}events" not in found
    assert found["stepladder_follower_parked_events"] == 1


async def test_who_is_in_trouble_is_behind(world: World) -> None:
    """An owner that tries the same batch again and again tells how far it is behind."""
    async with running(world.follower()) as follower:
        await follower.wait_for(await world.write(("a", "A")), 5)
        follower.handler.apply = trouble  # type: ignore[method-assign] # as a database that is away has it
        await world.write(("b", "B"))
        world.time += timedelta(seconds=5)
        await until(lambda: follower.state is State.STANDBY)
        found = await measured(world, follower)
    assert (found[f"{LAG}events"], found[f"{LAG}seconds"]) == (1, 5)


async def trouble(rows: AsyncConnection, events: Sequence[Recorded]) -> None:  # noqa: ARG001 - as handlers have it
    raise OperationalError("a statement", None, Exception("the database is away"))


async def test_a_log_that_is_away_makes_no_lag(world: World) -> None:
    """What is behind a follower that stands still is left out while nobody can tell, and the rest is not."""
    async with running(world.follower()) as follower:
        await follower.wait_for(await world.write(("a", "A")), 5)
        async with follower.stepping:
            await world.write(("b", "B"))
            await until(lambda: follower._listens is None)
            world.stream.away = True
            found = await measured(world, follower)
        world.stream.away = False
    assert f"{LAG}events" not in found
    assert found["stepladder_database_reachable"] == 1


async def test_a_database_that_is_away_makes_no_rows(world: World) -> None:
    """That it is away is told, and what every follower does; nothing is told that lies in it."""
    nowhere = open_database(f"postgresql+asyncpg://stepladder@127.0.0.1:{free_port()}/none")
    gauges = Gauges()
    await measure_followers(nowhere, [world.follower()], [], gauges)
    await nowhere.dispose()
    found = {family.name: family.samples[0].value for family in gauges.families()}
    assert found == {"stepladder_database_reachable": 0, "stepladder_follower_state": 1}


def expiry(file: Path) -> float:
    return load_pem_x509_certificate(file.read_bytes()).not_valid_after_utc.timestamp()


async def test_a_certificate_says_until_when_it_is_good(tmp_path: Path) -> None:
    """As it lies in the file, which may have been renewed since the process began."""
    settings = Authority("authority").issue(tmp_path)
    gauges = Gauges()
    await measure_process(settings, gauges)
    (sample,) = next(one for one in gauges.families() if "certificate" in one.name).samples
    assert sample.value == expiry(tmp_path / "tls.crt")


def counted(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


async def test_conflicts_and_what_came_of_commands_are_counted() -> None:
    """Each time that others were faster is a conflict; the command is counted once, as what came of it."""
    stream = Rivalled(1)
    commands = process(stream)
    ok = {"aggregate": "performance.team", "command": "UpdateTeamRequest", "result": "ok"}
    await commands.handle(TEAM, "t-1", create("Blue"), by("r-1"))
    before = counted("stepladder_append_conflicts_total", aggregate="performance.team")
    done = counted("stepladder_commands_total", **ok)
    stream.intrusions = 2
    await commands.handle(TEAM, "t-1", rename("Red"), by("r-2"))
    assert counted("stepladder_append_conflicts_total", aggregate="performance.team") == before + 2
    assert counted("stepladder_commands_total", **ok) == done + 1


async def test_appends_to_a_log_that_is_away_are_counted() -> None:
    """Each attempt that found nobody is counted, and the append that was given up once."""
    stream = MemoryStream(EPOCH)
    stream.away = True
    labels = {"stream": "LOG", "cause": "absent"}
    retries = counted("stepladder_append_retries_total", **labels)
    failures = counted("stepladder_append_failures_total", stream="LOG")
    with pytest.raises(Unavailable):
        await EventLog(stream, patience=0.02, pause=0.002).append(Append("log.test.thing.1", 0, [Entry("1", "t", b"")]))
    assert counted("stepladder_append_retries_total", **labels) > retries
    assert counted("stepladder_append_failures_total", stream="LOG") == failures + 1
