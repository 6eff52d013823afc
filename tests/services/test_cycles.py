"""Cycles as callers see them: opened and closed by the clock by the rules in force, or by hand; once each."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from grpc import StatusCode

from libs.cli.nats_server import NatsServer
from libs.common.rebuilding import rebuild
from services.promotion.cycle import regular_id
from stepladder.performance.v1.policy_pb2 import Calendar, Policy, SetPolicyRequest
from stepladder.performance.v1.promotion_rules_pb2 import CycleRules
from stepladder.promotion.v1.cycle_pb2 import (
    CloseCycleRequest,
    Cycle,
    GetCycleRequest,
    ListCyclesRequest,
    OpenCycleRequest,
)
from tests.refusals import refused
from tests.services.world import World, caught_up, open_world, until
from tests.tokens import as_person

CLOCK = "policy:cycle-clock"


def by(caller: str) -> tuple[tuple[str, str]]:
    return as_person(caller)


async def somebody(world: World, job_family: str = "hr") -> str:
    return await world.employee(await world.team(), job_family=job_family)


async def store(world: World, day: str, *months: int, open_days: int = 30, calendar: str = "") -> None:
    """Stores a version of the rules `half-years`."""
    rules = CycleRules(months=months, calendar_id=calendar, applications_business_days=10, open_days=open_days)
    policy = Policy(policy_id="half-years", effective_date=day, cycles=rules)
    await world.policies.SetPolicy(SetPolicyRequest(policy=policy))


def at(world: World, *moment: int) -> None:
    """What the time is, in UTC."""
    world.clock[0] = datetime(*moment, tzinfo=UTC)  # type: ignore[misc,arg-type] # year, month, day, hour, minute


async def cycles(world: World, hr: str, state: "Cycle.State.ValueType" = Cycle.STATE_UNSPECIFIED) -> list[Cycle]:
    """All that there are, or that are in a state; the earliest first."""
    request = ListCyclesRequest(state=state, at_least=await world.end())
    return list((await world.cycles.ListCycles(request, metadata=by(hr))).cycles)[::-1]


async def opened(world: World, hr: str, *months: str) -> list[Cycle]:
    """Waits until the cycles of these months, and no others, are there."""
    found = await until(lambda: cycles(world, hr), lambda found: [one.month for one in found] == list(months))
    await caught_up(world, "promotion")
    return found


async def deadlines(world: World) -> int:
    """How many a clock is waiting for."""
    await caught_up(world, "promotion")
    followers = world.services["promotion"].followers
    return (await next(one for one in followers if one.handler.name == "cycles").standing()).deadlines


async def settled(world: World) -> None:
    """Returns when nothing is due any more."""

    async def due() -> bool:
        await caught_up(world, "promotion")
        follower = next(one for one in world.services["promotion"].followers if one.handler.name == "cycles")
        first = (await follower.standing()).next_deadline  # SQLite keeps no time zones
        return first is None or first.replace(tzinfo=UTC) > world.services["promotion"].site_clock()

    await until(due, bool)


async def test_regular_cycles(both: World) -> None:
    """Opened on the first day of the rules' months, with what they rest on; closed when their last day is over."""
    world = both
    at(world, 2026, 3, 16, 9)
    hr, agent = await somebody(world), await somebody(world, "agent")
    calendar = Policy(policy_id="riga", effective_date="2020-01-01", calendar=Calendar(country="LV"))
    await world.policies.SetPolicy(SetPolicyRequest(policy=calendar))
    await store(world, "2026-01-01", 6, 12, calendar="riga")
    at(world, 2026, 5, 31, 23, 59)
    assert await deadlines(world) == 1
    assert not await cycles(world, hr)
    at(world, 2026, 6, 1, 0, 1)
    (june,) = await opened(world, hr, "2026-06")
    assert (june.cycle_id, june.policy_id, june.display_name) == (
        *(regular_id("half-years", "2026-06"), "half-years", "2026-06"),
    )
    assert (june.opened_date, june.end_date) == ("2026-06-01", "2026-06-30")
    assert june.applications_until == "2026-06-12"  # the tenth business day
    assert 0 < june.calendar_position < june.rules_position < june.log_position
    assert "LV" in june.calendar_version
    assert (june.opened_by, june.state) == (CLOCK, Cycle.STATE_OPEN)
    assert await world.cycles.GetCycle(GetCycleRequest(cycle_id=june.cycle_id), metadata=by(agent)) == june
    at(world, 2026, 6, 30, 23, 59)
    assert await deadlines(world) == 2
    assert await cycles(world, hr, Cycle.STATE_OPEN) == [june]
    at(world, 2026, 7, 1, 0, 1)
    (closed,) = await until(lambda: cycles(world, hr, Cycle.STATE_CLOSED), bool)
    assert (closed.closed_date, closed.closed_by) == ("2026-07-01", CLOCK)
    assert await deadlines(world) == 1
    at(world, 2026, 12, 1, 0, 1)
    assert (await opened(world, hr, "2026-06", "2026-12"))[1].opened_date == "2026-12-01"
    (follower,) = (one for one in world.services["promotion"].followers if one.handler.name == "cycles")
    assert [step async for step in rebuild(follower)][-1].changed_rows == 0


async def test_a_day_of_the_site(tmp_path: Path, nats: NatsServer) -> None:
    """June begins in Tokyo while it is May in Greenwich."""
    async with open_world(tmp_path, nats, site=ZoneInfo("Asia/Tokyo")) as world:
        at(world, 2026, 3, 16, 9)
        hr = await somebody(world)
        await store(world, "2026-01-01", 6)
        at(world, 2026, 5, 31, 14, 59)
        await settled(world)
        assert not await cycles(world, hr)
        at(world, 2026, 5, 31, 15, 1)
        (june,) = await opened(world, hr, "2026-06")
        assert june.opened_date == "2026-06-01"
        at(world, 2026, 6, 30, 15, 1)
        assert await until(lambda: cycles(world, hr, Cycle.STATE_CLOSED), bool)


async def test_a_clock_that_comes_late(world: World) -> None:
    """Opens each that has come due meanwhile once, by the rules of its own month."""
    at(world, 2026, 3, 16, 9)
    hr = await somebody(world)
    await store(world, "2026-01-01", 6, 12)
    await store(world, "2026-08-01", 9, open_days=10)
    at(world, 2026, 10, 5, 9)
    june, september = await opened(world, hr, "2026-06", "2026-09")
    assert (june.opened_date, june.end_date, june.applications_until) == ("2026-10-05", "2026-11-03", "2026-06-12")
    assert (september.end_date, september.applications_until) == ("2026-10-14", "2026-09-14")
    assert june.rules_position < september.rules_position
    await settled(world)
    assert len(await cycles(world, hr)) == 2


async def test_rules_that_change(world: World) -> None:
    """Take effect for the next cycle; the one that is open stays as it is."""
    at(world, 2026, 3, 16, 9)
    hr = await somebody(world)
    await store(world, "2026-01-01", 6, 12)
    at(world, 2026, 6, 1, 9)
    (june,) = await opened(world, hr, "2026-06")
    await store(world, "2026-01-01", 6, 9, open_days=15)
    at(world, 2026, 6, 16, 9)
    await settled(world)
    assert await cycles(world, hr) == [june]
    at(world, 2026, 9, 1, 9)
    assert (await opened(world, hr, "2026-06", "2026-09"))[1].end_date == "2026-09-15"


async def test_by_hand(world: World) -> None:
    """A regular one before its time, by two at once, is that one; the clock waits for the next."""
    at(world, 2026, 5, 28, 9)
    hr, other = await somebody(world), await somebody(world)
    await store(world, "2026-01-01", 6, 12)
    regular = OpenCycleRequest(regular=OpenCycleRequest.Regular(policy_id="half-years", month="2026-06"))
    one, two = await asyncio.gather(*(world.cycles.OpenCycle(regular, metadata=by(who)) for who in (hr, other)))
    assert one == two
    assert (one.opened_date, one.end_date, one.applications_until) == ("2026-05-28", "2026-06-30", "2026-06-12")
    assert one.opened_by in (f"user:{hr}", f"user:{other}")
    at(world, 2026, 6, 1, 9)
    await settled(world)
    assert await cycles(world, hr) == [one]
    assert await world.cycles.OpenCycle(regular, metadata=by(hr)) == one
    at(world, 2026, 12, 1, 9)
    await opened(world, hr, "2026-06", "2026-12")


async def test_of_its_own(world: World) -> None:
    """Opened and closed by hand, each once; one that nobody closes, by the clock."""
    at(world, 2026, 3, 16, 9)
    hr = await somebody(world)

    def own(cycle_id: str, end_date: str) -> OpenCycleRequest:
        cycle = OpenCycleRequest.Own(
            cycle_id=cycle_id, display_name="A lead has left", end_date=end_date, applications_until="2026-03-27"
        )
        return OpenCycleRequest(own=cycle)

    one = await world.cycles.OpenCycle(own("one", "2026-04-30"), metadata=by(hr))
    assert (one.month, one.policy_id, one.rules_position, one.opened_by) == ("", "", 0, f"user:{hr}")
    assert await world.cycles.OpenCycle(own("one", "2026-04-30"), metadata=by(hr)) == one
    taken = world.cycles.OpenCycle(own("one", "2026-05-01"), metadata=by(hr))
    await refused(taken, StatusCode.ALREADY_EXISTS, "CYCLE_EXISTS")
    over = world.cycles.OpenCycle(own("none", "2026-03-15"), metadata=by(hr))
    assert (await refused(over, StatusCode.INVALID_ARGUMENT, "DATE_INVALID")).fields == ["own.end_date"]
    await world.cycles.OpenCycle(own("two", "2026-04-30"), metadata=by(hr))
    stale = CloseCycleRequest(cycle_id="one", etag="1")
    await refused(world.cycles.CloseCycle(stale, metadata=by(hr)), StatusCode.ABORTED, "ETAG_MISMATCH")
    close = CloseCycleRequest(cycle_id="one", etag=one.etag, request_id="r-1")
    closed = await world.cycles.CloseCycle(close, metadata=by(hr))
    assert (closed.state, closed.closed_by) == (Cycle.STATE_CLOSED, f"user:{hr}")
    assert await world.cycles.CloseCycle(close, metadata=by(hr)) == closed
    assert await deadlines(world) == 1
    at(world, 2026, 5, 1, 0, 1)
    two = (await until(lambda: cycles(world, hr, Cycle.STATE_CLOSED), lambda found: len(found) == 2))[1]
    assert (two.cycle_id, two.closed_by) == ("two", CLOCK)


async def test_no_such_cycle(world: World) -> None:
    """Rules that there are not, a month that is not theirs, a cycle that nobody has opened."""
    at(world, 2026, 3, 16, 9)
    hr = await somebody(world)
    await store(world, "2026-01-01", 6, 12)
    for policy_id, month, code, reason in (
        ("none", "2026-06", StatusCode.NOT_FOUND, "POLICY_NOT_FOUND"),
        ("half-years", "2026-07", StatusCode.FAILED_PRECONDITION, "MONTH_NOT_REGULAR"),
        ("half-years", "2025-12", StatusCode.FAILED_PRECONDITION, "MONTH_NOT_REGULAR"),
    ):
        regular = OpenCycleRequest.Regular(policy_id=policy_id, month=month)
        await refused(world.cycles.OpenCycle(OpenCycleRequest(regular=regular), metadata=by(hr)), code, reason)
    close = world.cycles.CloseCycle(CloseCycleRequest(cycle_id="none"), metadata=by(hr))
    await refused(close, StatusCode.NOT_FOUND, "CYCLE_NOT_FOUND")
    get = world.cycles.GetCycle(GetCycleRequest(cycle_id="none"), metadata=by(hr))
    await refused(get, StatusCode.NOT_FOUND, "CYCLE_NOT_FOUND")


async def test_who_may(world: World) -> None:
    """HR opens and closes; whoever is employed sees; nobody else is told anything."""
    at(world, 2026, 3, 16, 9)
    agent = await somebody(world, "agent")
    regular = OpenCycleRequest.Regular(policy_id="half-years", month="2026-06")
    for caller in (agent, "nobody", "anonymous"):
        for call in (
            world.cycles.OpenCycle(OpenCycleRequest(regular=regular), metadata=by(caller)),
            world.cycles.CloseCycle(CloseCycleRequest(cycle_id="none"), metadata=by(caller)),
        ):
            await refused(call, StatusCode.PERMISSION_DENIED, "NEED_TO_KNOW")
    assert not (await world.cycles.ListCycles(ListCyclesRequest(), metadata=by(agent))).cycles
    for read in (
        world.cycles.ListCycles(ListCyclesRequest(), metadata=by("nobody")),
        world.cycles.GetCycle(GetCycleRequest(cycle_id="none"), metadata=by("nobody")),
    ):
        await refused(read, StatusCode.PERMISSION_DENIED, "NEED_TO_KNOW")
