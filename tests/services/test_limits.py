"""At the limits of sizes and disks: whole requests are taken or refused, and everything goes on once there is room."""

import asyncio
from collections.abc import Awaitable
from typing import Any

from grpc import StatusCode, aio
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine

from libs.common import jetstream
from libs.common.jetstream import stream_configuration
from libs.common.keys import SqlDataKeys
from libs.common.projecting import State
from libs.common.streams import LOG
from stepladder.performance.v1.directory_pb2 import (
    Employee,
    GetEmployeeRequest,
    GetTeamRequest,
    HireEmployeeRequest,
    ListEmployeesRequest,
    Team,
    UpdateTeamRequest,
)
from stepladder.performance.v1.facts_pb2 import (
    CorrectFactRequest,
    Fact,
    ListFactsRequest,
    Reading,
    RecordFactsRequest,
)
from tests.refusals import refused
from tests.services.world import World, fact

BIGGEST = 10**12
"""The largest sample: six bytes, ten if negative."""


def large(employee_id: str, kpis: list[str], day: str = "2020-01-01", samples: int = 10_000) -> Fact:
    """A fact of many large samples for each KPI."""
    readings = [
        Reading(kpi_id=kpi, numerators=[BIGGEST, -BIGGEST] * (samples // 2), denominators=[1] * samples) for kpi in kpis
    ]
    return Fact(employee_id=employee_id, date=day, source="calls", readings=readings)


async def test_a_fact_larger_than_an_event_refuses_the_request_whole(world: World) -> None:
    """Good facts beside it, of other months too, are not recorded: the caller splits it and sends all again."""
    team = await world.team()
    ann, ben = await world.employee(team), await world.employee(team)
    kpis = [await world.kpi() for _ in range(15)]
    end = await world.end()
    small = [fact(ben, "2020-01-01", kpis[0], 1), fact(ann, "2020-02-01", kpis[0], 1)]
    request = RecordFactsRequest(request_id="r-1", facts=[small[0], large(ann, kpis), small[1]])
    await refused(world.facts.RecordFacts(request), StatusCode.INVALID_ARGUMENT, "EVENT_TOO_LARGE")
    assert await world.end() == end
    del request.facts[1]
    request.facts.extend([large(ann, kpis[:8]), large(ann, kpis[8:])])
    answer = await world.facts.RecordFacts(request)
    assert (answer.recorded, list(answer.rejections)) == (4, [])


async def test_a_correction_larger_than_an_event_changes_nothing(world: World) -> None:
    """The fact stays as it was."""
    ann, kpis = await world.employee(await world.team()), [await world.kpi() for _ in range(15)]
    for kpi in kpis:
        await world.record(fact(ann, "2020-01-01", kpi, 1))
    end = await world.end()
    correction = CorrectFactRequest(fact=large(ann, kpis), reason="counted anew")
    await refused(world.facts.CorrectFact(correction), StatusCode.INVALID_ARGUMENT, "EVENT_TOO_LARGE")
    assert await world.end() == end


async def test_more_new_facts_of_one_month_than_one_write_takes_are_refused_whole(world: World) -> None:
    """A month is written together or not at all; a thousand at once can be."""
    ann, kpi = await world.employee(await world.team()), await world.kpi()
    facts = [fact(ann, "2020-01-01", kpi, 1) for _ in range(1001)]
    for number, one in enumerate(facts):
        one.source = f"s-{number}"
    other_month = fact(ann, "2020-02-01", kpi, 1)
    end = await world.end()
    call = world.facts.RecordFacts(RecordFactsRequest(facts=[other_month, *facts]))
    await refused(call, StatusCode.INVALID_ARGUMENT, "TOO_MANY_EVENTS")
    assert await world.end() == end
    assert (await world.record(other_month, *facts[:1000])).recorded == 1001


async def test_a_request_has_at_most_ten_thousand_facts(world: World) -> None:
    """One more is refused by its field; ten thousand are looked at one by one."""
    ann, kpi = await world.employee(await world.team()), await world.kpi()
    end = await world.end()
    request = RecordFactsRequest(facts=[fact(ann, "2020-01-01", kpi, 1)] * 10_001)
    _, fields = await refused(world.facts.RecordFacts(request), StatusCode.INVALID_ARGUMENT, "INVALID_FIELDS")
    assert fields == ["facts"]
    assert await world.end() == end
    answer = await world.record(*request.facts[:10_000])
    assert (answer.recorded, answer.unchanged) == (1, 9_999)


NO_IDS = ["a\n", "a ", " a", "a\x00", "ä", "A", "a_b", "a.b", "-a", "a" * 64, "a\tb", "*", ">"]


async def test_an_id_is_an_id_wherever_it_stands(world: World) -> None:
    """Nothing that would mean something elsewhere (subjects, tables, lines of a log) passes for one."""
    team = await world.team()
    end = await world.end()
    employee = Employee(employee_id="e-x", display_name="X", hire_date="2020-01-01", team_id=team)
    for wrong in NO_IDS:
        for name in ("employee_id", "team_id", "position", "job_family"):
            hire = HireEmployeeRequest(employee=employee)
            setattr(hire.employee, name, wrong)
            _, fields = await refused(world.directory.HireEmployee(hire), StatusCode.INVALID_ARGUMENT, "INVALID_FIELDS")
            assert fields == [f"employee.{name}"]
        read = GetEmployeeRequest(employee_id=wrong)
        _, fields = await refused(world.directory.GetEmployee(read), StatusCode.INVALID_ARGUMENT, "INVALID_FIELDS")
        assert fields == ["employee_id"]
    assert await world.end() == end


NO_DAYS = ["2020-01-01\n", "2020-1-1", "20200101", "2020-W01-1", "1899-12-31", "2200-01-01", "today"]


async def test_a_day_is_a_day_wherever_it_stands(world: World) -> None:
    """Other spellings of days are refused by their field."""
    ann, kpi = await world.employee(await world.team()), await world.kpi()
    end = await world.end()
    for wrong in NO_DAYS:
        span = ListFactsRequest(employee_id=ann, start_date="2020-01-01", end_date=wrong)
        calls: list[tuple[Awaitable[Any], str]] = [
            (world.facts.RecordFacts(RecordFactsRequest(facts=[fact(ann, wrong, kpi, 1)])), "facts[0].date"),
            (world.directory.GetEmployee(GetEmployeeRequest(employee_id=ann, as_of=wrong)), "as_of"),
            (world.facts.ListFacts(span), "end_date"),
        ]
        for call, field in calls:
            assert (await refused(call, StatusCode.INVALID_ARGUMENT, "INVALID_FIELDS")).fields == [field]
    assert await world.end() == end


async def test_an_etag_that_was_never_given_is_a_stale_one(world: World) -> None:
    """Whatever it looks like."""
    team_id = await world.team()
    for etag in ("0", "x", "-1", "1\n", "01", "9" * 30, "٣"):
        update = UpdateTeamRequest(team=Team(team_id=team_id, display_name="Other", etag=etag))
        await refused(world.directory.UpdateTeam(update), StatusCode.ABORTED, "ETAG_MISMATCH")


async def test_a_position_before_the_beginning_is_none(world: World) -> None:
    """There is nothing to wait for."""
    team_id = await world.team()
    for at_least in (-1, -(2**63)):
        read = GetTeamRequest(team_id=team_id, at_least=at_least)
        assert (await world.directory.GetTeam(read)).team_id == team_id
        await world.directory.ListEmployees(ListEmployeesRequest(at_least=at_least))


async def limit_log(world: World, size: int) -> None:
    """Lets the log grow to so many bytes, as an operator would; -1: without a limit."""
    stream: Any = world.services["performance"].stream
    configuration = stream_configuration(LOG, 1) | {"max_bytes": size}
    answer = await jetstream.ask(stream._client, f"$JS.API.STREAM.UPDATE.{LOG}", configuration)
    assert "error" not in answer, answer


async def log_size(world: World) -> int:
    stream: Any = world.services["performance"].stream
    answer = await jetstream.ask(stream._client, f"$JS.API.STREAM.INFO.{LOG}", {})
    return int(answer["state"]["bytes"])


async def test_a_log_without_room_refuses_whole_batches(world: World) -> None:
    """Nothing of a request that does not fit is written; once there is room, the same request is taken."""
    team = await world.team()
    agents, kpi = [await world.employee(team) for _ in range(3)], await world.kpi()
    days = [f"2020-01-{day:02}" for day in range(1, 21)]
    facts = [large(agent, [kpi], day, samples=200) for agent in agents for day in days]
    await limit_log(world, await log_size(world) + 60_000)
    end = await world.end()
    request = RecordFactsRequest(request_id="r-1", facts=facts)
    assert request.ByteSize() > 80_000
    for _ in range(3):
        await refused(world.facts.RecordFacts(request), StatusCode.UNAVAILABLE, "LOG_REFUSED")
        assert await world.end() == end
    small = RecordFactsRequest(request_id="r-2", facts=[fact(agents[0], "2020-02-01", kpi, 1)])
    assert (await world.facts.RecordFacts(small)).log_position == end + 1  # what fits is taken meanwhile
    await limit_log(world, -1)
    answer = await world.facts.RecordFacts(request)
    assert (answer.recorded, answer.log_position) == (60, end + 61)
    assert await world.facts.RecordFacts(request) == answer


class Disk:
    """Room for an SQLite database: while `full`, it cannot grow."""

    def __init__(self, engine: AsyncEngine) -> None:
        self.full = False
        event.listen(engine.sync_engine, "checkout", self._limit)

    def _limit(self, connection: Any, _record: object, _proxy: object) -> None:
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA max_page_count = {1 if self.full else 2**31}")  # never less than there are
        cursor.close()


async def test_read_models_on_a_full_disk_wait_and_go_on(world: World) -> None:
    """Facts are taken meanwhile; nothing is parked or lost, and the rows are complete once there is room."""
    ann, kpi = await world.employee(await world.team()), await world.kpi()
    service = world.services["performance"]
    (results,) = (part for one in service.followers if one.name == "results" for part in one.parts)
    await results.wait_for(await world.end(), 10)
    disk = Disk(service.engine)
    disk.full = True
    days = [f"2020-{month:02}-{day:02}" for month in range(1, 13) for day in range(1, 29)]
    facts = [fact(ann, day, kpi, number) for number, day in enumerate(days)]
    for one in facts:
        one.source = "s" * 60
    answer = await world.record(*facts, request_id="r-1")
    assert answer.recorded == len(days)
    async with asyncio.timeout(30):
        while results.state is State.RUNNING:  # it stands by between its attempts
            await asyncio.sleep(0.01)
    assert results.position < answer.log_position
    assert await results.parked() == []
    disk.full = False
    await results.wait_for(answer.log_position, 20)
    assert await results.parked() == []
    request = ListFactsRequest(employee_id=ann, start_date="2020-01-01", end_date="2020-12-31", page_size=1000)
    listed = await world.facts.ListFacts(request)
    assert [one.numerator for one in listed.readings] == list(range(len(days)))


async def test_keys_on_a_full_disk_refuse_who_needs_a_new_one(world: World) -> None:
    """Nobody is hired without a key to seal their name with; the same request is taken once there is room."""
    team = await world.team()
    keys = world.services["performance"].codec._keys
    assert isinstance(keys, SqlDataKeys)
    disk = Disk(keys._engine)
    disk.full = True
    end = await world.end()
    for number in range(100):  # the last page has some room
        employee = Employee(employee_id=f"e-x{number}", display_name="X", hire_date="2020-01-01", team_id=team)
        request = HireEmployeeRequest(request_id=f"r-{number}", employee=employee)
        try:
            hired = await world.directory.HireEmployee(request)
        except aio.AioRpcError:
            break
        end = hired.log_position
    await refused(world.directory.HireEmployee(request), StatusCode.UNAVAILABLE, "DATABASE_UNAVAILABLE")
    assert await world.end() == end
    disk.full = False
    assert (await world.directory.HireEmployee(request)).log_position == end + 1
