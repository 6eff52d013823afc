"""Eligibility as it is kept, against what is judged afresh, after events and days in any order."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from random import Random

import pytest
from grpc.aio import AioRpcError
from sqlalchemy import MetaData, select, update

from libs.common.database import upsert, writing
from libs.common.positions import FOLLOWERS
from libs.common.projecting import Follower, State
from libs.common.rebuilding import rebuild
from services.promotion.eligibility_changes import Changes, Touched
from stepladder.performance.v1.directory_pb2 import (
    EMPLOYMENT_STATUS_CONFIRMED,
    EMPLOYMENT_STATUS_ON_LEAVE,
    TransferEmployeeRequest,
)
from stepladder.performance.v1.facts_pb2 import RATING_GOOD, RATING_QUALIFIED
from stepladder.performance.v1.kpi_pb2 import Kpi
from stepladder.performance.v1.promotion_rules_pb2 import EligibilityRules
from stepladder.performance.v1.record_pb2 import Record, Training
from stepladder.promotion.v1.eligibility_pb2 import Eligibility, ListEligibilitiesRequest
from stepladder.promotion.v1.post_pb2 import SetHeadcountRequest
from tests.services.test_eligibilities import (
    at,
    by,
    judged,
    move,
    rate,
    ratings,
    record,
    set_ladder,
    set_rules,
    tenure,
    watching,
)
from tests.services.test_eligibilities import status as set_status
from tests.services.world import HR, World, fact, new_id, until

Rules = EligibilityRules


def said(one: Eligibility) -> object:
    """All of it that does not grow older by itself."""
    criteria = [(each.name, each.met, each.met_from, each.disputed, each.waiver_position) for each in one.criteria]
    since = "" if one.eligible else one.eligible_from
    return one.rung_id, one.from_rung_id, one.eligible, since, criteria, one.policy_position


@pytest.mark.parametrize("seed", range(3))
async def test_rows_are_what_is_judged_afresh(world: World, seed: int) -> None:
    """And whoever watches, breaking off now and then, has been told of the same."""
    chance, day = Random(seed), date(2026, 1, 27)
    at(world, day.isoformat())
    ladder, kpi = await set_ladder(world, "agent", "senior", "lead"), await world.kpi(Kpi.AGGREGATION_SUM)
    teams = [await world.team(), await world.team()]
    agents = [await world.employee(teams[0], f"2025-{month:02}-28") for month in (2, 3, 8)]

    def sometime() -> str:
        return (day + timedelta(days=chance.randint(-3, 4))).isoformat()

    def before() -> str:
        return (day - timedelta(days=chance.randint(0, 40))).isoformat()

    def criteria() -> list[Rules.Criterion]:
        limit = Rules.KpiLimit(kpi_id=kpi, months=1, minimum=str(chance.randint(1, 4)))
        courses = Rules.Courses(course_ids=["safety"], within_months=1)
        every = [
            tenure(chance.randint(10, 12)),
            ratings(1),
            Rules.Criterion(courses=courses),
            Rules.Criterion(kpi_limit=limit),
            Rules.Criterion(vacancy=Rules.Vacancy()),
            Rules.Criterion(confirmed=Rules.Confirmed()),
        ]
        return chance.sample(every, chance.randint(1, 4))

    async def headcount() -> None:
        request = SetHeadcountRequest(team_id=teams[0], headcount=chance.randint(0, 2), effective_date=sometime())
        request.position = chance.choice(["senior", "lead"])
        await world.posts.SetHeadcount(request, metadata=by(HR))

    async def course() -> None:
        training = Training(course_id="safety", attended=chance.random() < 0.8)
        await record(world, Record(record_id=new_id("r"), employee_id=agent, date=before(), training=training))

    async def transfer() -> None:
        request = TransferEmployeeRequest(employee_id=agent, team_id=chance.choice(teams), effective_date=sometime())
        await world.directory.TransferEmployee(request)

    acts: list[Callable[[], Awaitable[object]]] = [
        headcount,
        course,
        transfer,
        lambda: rate(world, agent, before()[:7], rating=chance.choice([RATING_GOOD, RATING_QUALIFIED])),
        lambda: world.record(fact(agent, before(), kpi, chance.randint(0, 3), None)),
        lambda: move(world, agent, chance.choice(["agent", "senior"]), sometime(), acting=chance.random() < 0.3),
        lambda: set_status(
            world, agent, chance.choice([EMPLOYMENT_STATUS_CONFIRMED, EMPLOYMENT_STATUS_ON_LEAVE]), sometime()
        ),
        lambda: set_rules(world, f"{ladder}-{chance.choice(['senior', 'lead'])}", *criteria(), day=sometime()),
    ]
    columns, told, resume = Changes(MetaData()).table.c, dict[str, Eligibility](), ""
    for _ in range(12):
        for _ in range(chance.randint(0, 4)):
            agent = chance.choice(agents)
            with suppress(AioRpcError):  # what is refused, such as a status held already, changes nothing
                await chance.choice(acts)()
        if chance.random() < 0.7:
            day += timedelta(days=chance.choice([1, 1, 2, 5]))
            at(world, day.isoformat())
        await judged(world)
        fresh = await world.eligibility.ListEligibilities(ListEligibilitiesRequest(ladder_id=ladder), metadata=by(HR))
        query = select(columns.content, columns.sequence).where(columns.ladder_id == ladder, columns.sequence > 0)
        async with world.services["promotion"].engine.connect() as connection:
            kept = [(Eligibility.FromString(content), number) for content, number in await connection.execute(query)]
        found = {one.employee_id: said(one) for one in fresh.eligibilities}
        assert {one.employee_id: said(one) for one, _ in kept if one.rung_id} == found
        new = sum(number > int(resume or 0) for _, number in kept)
        async with watching(world, HR, ladder_id=ladder, resume=resume) as watch:
            for _ in range(new):
                one = await watch.next()
                assert int(one.resume) > int(resume or 0)
                told[one.eligibility.employee_id], resume = one.eligibility, one.resume
        assert {one.employee_id: one.rung_id for one in told.values() if one.rung_id} == {
            one.employee_id: one.rung_id for one in fresh.eligibilities
        }


async def test_rows_of_another_log_go_when_they_are_made_again(world: World) -> None:
    """What was known behind a restored log's end keeps nothing out, and nobody who is not in the log stays."""
    at(world, "2026-01-27")
    ladder, agent = await set_ladder(world, "agent", "senior"), await world.employee(await world.team(), "2025-02-28")
    await judged(world)
    service = world.services["promotion"]
    (follower,) = (one for one in service.followers if isinstance(one.handler, Touched))
    table = Changes(MetaData()).table

    async def kept() -> dict[str, str]:
        query = select(table.c.employee_id, table.c.rung_id).where(table.c.ladder_id == ladder, table.c.rung_id != "")
        async with service.engine.connect() as connection:
            return {row.employee_id: row.rung_id for row in await connection.execute(query)}

    right = await kept()
    assert agent in right
    # given: rows of a log that was longer, and somebody hired behind the end of this one
    lost = [
        {
            "employee_id": one,
            "ladder_id": ladder,
            "rung_id": "gone",
            "vacancy": -1,
            "sequence": number,
            "content": Eligibility(
                employee_id=one, ladder_id=ladder, rung_id="gone", known_at=await world.end() + 1_000
            ).SerializeToString(),
        }
        for number, one in enumerate([agent, new_id("e")], 1)
    ]
    async with writing(service.engine) as rows:
        await rows.execute(upsert(table, rows), lost)
        of_another = {"stream_created": datetime(2020, 1, 1, tzinfo=UTC), "owner": "", "epoch": FOLLOWERS.c.epoch + 1}
        await rows.execute(update(FOLLOWERS).where(FOLLOWERS.c.name == follower.name).values(of_another))
    await until(lambda: standing(follower), lambda state: state is State.STOPPED)
    # when
    assert [step async for step in rebuild(follower)][-1].done
    # then
    await until(lambda: standing(follower), lambda state: state is State.RUNNING)
    await judged(world)
    assert await kept() == right


async def standing(follower: Follower) -> State:
    return (await follower.standing()).state
