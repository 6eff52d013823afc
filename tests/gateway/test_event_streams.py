"""Reading public events through the front door: as streams, as pages, by systems and by people."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from aiohttp import ClientResponse, ClientSession, ClientTimeout
from google.protobuf.json_format import MessageToDict
from grpc import StatusCode, aio

from libs.cli.envoy import Envoy
from services.gateway import event_api
from services.gateway.__main__ import open_gateway
from stepladder.gateway.v1.event_stream_pb2 import EventFilter, ListEventsRequest, PublicEvent, WatchEventsRequest
from stepladder.gateway.v1.event_stream_pb2_grpc import EventServiceStub
from stepladder.performance.v1.directory_pb2 import EMPLOYMENT_STATUS_LEFT
from stepladder.performance.v1.events_pb2 import EmploymentStatusChanged, RecordRetracted
from stepladder_client import connect
from tests.gateway.publishing import Log, fact_recorded, open_log
from tests.gateway.world import World
from tests.tokens import as_person, as_system

FACT = "stepladder.performance.fact-recorded.v1"
RECORD = "stepladder.performance.record-retracted.v1"
NUMBERS = count(1)
EVENTS = as_system("events")


@dataclass
class Centre:
    """People of the test's own in a log that others write to, too."""

    port: int
    log: Log
    service: EventServiceStub

    def new(self, prefix: str) -> str:
        return f"{prefix}-{next(NUMBERS)}"

    async def person(self, team_id: str, job_family: str = "") -> str:
        employee_id = self.new("e")
        await self.log.hire(employee_id, team_id, job_family)
        return employee_id

    async def end(self) -> int:
        """Where EVENTS ends, once everything is in it."""
        await self.log.relayed((await self.log.log.state()).last)
        return (await self.log.events.state()).last

    @asynccontextmanager
    async def sse(
        self, metadata: Sequence[tuple[str, str]] = EVENTS, last_event_id: str = "", **query: Any
    ) -> AsyncIterator["Frames"]:
        """A stream as browsers read it."""
        headers = dict(metadata) | ({"Last-Event-ID": last_event_id} if last_event_id else {})
        url = f"http://127.0.0.1:{self.port}/v1/events:stream?{urlencode(query, doseq=True)}"
        async with (
            ClientSession(timeout=ClientTimeout(total=None, sock_connect=20)) as session,
            session.get(url, headers=headers) as answer,
        ):
            assert answer.status == 200, await answer.text()
            assert answer.headers["content-type"] == "text/event-stream"
            frames = Frames(answer)
            await frames.next()
            yield frames


class Frames:
    """Server-sent events, as HTML has them be read: fields by name, the id that holds until the next."""

    def __init__(self, answer: ClientResponse) -> None:
        self._answer = answer
        self.last_event_id = ""

    async def next(self) -> dict[str, str]:
        """The fields of the next block. Raises EOFError behind the last one."""
        fields: dict[str, str] = {}
        while line := (await self._answer.content.readline()).decode():
            if line == "\n":
                self.last_event_id = fields.get("id", self.last_event_id)
                return fields
            name, _, value = line.rstrip("\n").partition(": ")
            if name:
                fields[name] = value
        raise EOFError

    async def event(self) -> dict[str, Any]:
        """The next block with data."""
        async with asyncio.timeout(20):
            while "data" not in (fields := await self.next()):
                pass
        event: dict[str, Any] = json.loads(fields["data"])
        assert fields["event"] == event["type"]
        return event


@pytest.fixture
async def centre(world: World, tmp_path: Path) -> AsyncIterator[Centre]:
    async with open_log(world.envoy.settings.nats_url, tmp_path) as log:
        yield Centre(world.envoy.settings.public_port, log, EventServiceStub(world.channel))


def cloud_event(answer: PublicEvent) -> dict[str, Any]:
    return MessageToDict(answer.event)


async def history(centre: Centre, metadata: Any = EVENTS, **asked: Any) -> list[PublicEvent]:
    """Every page of events."""
    found: list[PublicEvent] = []
    request = ListEventsRequest(**asked)
    while True:
        answer = await centre.service.ListEvents(request, metadata=metadata)
        found += answer.events
        if not answer.next_page_token:
            return found
        request.page_token = answer.next_page_token


async def watched(call: Any, until: int) -> list[PublicEvent]:
    """What a watcher is told up to a position."""
    found: list[PublicEvent] = []
    async with asyncio.timeout(30):
        async for answer in call:
            found += answer.events
            if answer.position >= until:
                return found
    raise EOFError


async def test_every_way_tells_the_same(centre: Centre) -> None:
    """By gRPC, server-sent events and pages: the same events, with the same positions, in the same order."""
    anna = await centre.person("riga")
    start = await centre.end()
    for number in range(5):
        await centre.log.fact(anna, source=f"s{number}")
    end = await centre.end()
    pages = await history(centre, after=start, page_size=2)
    told = await watched(centre.service.WatchEvents(WatchEventsRequest(after=start), metadata=EVENTS), end)
    async with centre.sse(after=start) as frames:
        streamed = [await frames.event() for _ in range(5)]
        assert frames.last_event_id == str(end)
    assert [one.position for one in pages] == list(range(start + 1, end + 1))
    assert [one.SerializeToString() for one in told] == [one.SerializeToString() for one in pages]
    assert [cloud_event(one) for one in pages] == streamed
    assert streamed[0]["employeeid"] == anna
    assert streamed[0]["data"]["fact"]["readings"][0]["numerators"] == ["300"]


async def test_streams_begin_with_what_comes(centre: Centre) -> None:
    """Unless told otherwise; and an event comes as soon as there is one, not with the next."""
    anna = await centre.person("riga")
    await centre.end()
    async with centre.sse() as frames:
        call = centre.service.WatchEvents(WatchEventsRequest(), metadata=EVENTS)
        beginning = await anext(aiter(call))
        assert not beginning.events
        await centre.log.fact(anna, source="now")
        assert (await frames.event())["data"]["fact"]["source"] == "now"
        (told,) = await watched(call, beginning.position + 1)
        assert cloud_event(told)["data"]["fact"]["source"] == "now"
        call.cancel()


async def test_a_browser_goes_on_where_it_was(centre: Centre) -> None:
    """Whatever the address says: Last-Event-ID goes before it. Zero is the beginning."""
    anna = await centre.person("riga")
    start = await centre.end()
    for number in range(3):
        await centre.log.fact(anna, source=f"s{number}")
    await centre.end()
    async with centre.sse(after=start) as frames:
        first = await frames.event()
        seen = frames.last_event_id
    async with centre.sse(last_event_id=seen, after=start) as frames:
        rest = [await frames.event() for _ in range(2)]
    assert [one["data"]["fact"]["source"] for one in (first, *rest)] == ["s0", "s1", "s2"]
    async with centre.sse(after=0) as frames:
        await frames.event()
        assert frames.last_event_id == "1"


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"types": [FACT]}, "facts of both"),
        ({"team_id": "TEAM"}, "of the one"),
        ({"employee_id": "OTHER"}, "of the other"),
        ({"types": [RECORD], "employee_id": "ONE"}, "record"),
    ],
)
async def test_events_are_filtered(centre: Centre, asked: dict[str, Any], expected: str) -> None:
    """By type, team and employee, in all ways."""
    team, other_team = centre.new("t"), centre.new("t")
    one, other = await centre.person(team), await centre.person(other_team)
    start = await centre.end()
    await centre.log.fact(one)
    await centre.log.fact(other)
    retracted = RecordRetracted(record_id="r-1", employee_id=one, reason="of another")
    await centre.log.write(f"log.performance.record.{centre.new('r')}", retracted)
    sentinel = await centre.person(team)
    end = await centre.end()
    names = {"TEAM": team, "ONE": one, "OTHER": other}
    asked = {key: names.get(value, value) if isinstance(value, str) else value for key, value in asked.items()}
    wanted = {
        "facts of both": [one, other],
        "of the one": [one, one, sentinel],
        "of the other": [other],
        "record": [one],
    }[expected]
    pages = await history(centre, after=start, until=end, filter=EventFilter(**asked))
    assert [cloud_event(event)["employeeid"] for event in pages] == wanted
    query = {f"filter.{key}": value for key, value in MessageToDict(EventFilter(**asked)).items()}
    async with centre.sse(after=start, **query) as frames:
        assert [(await frames.event())["employeeid"] for _ in wanted] == wanted


async def test_pages_have_both_bounds(centre: Centre) -> None:
    """Behind one position, up to another; whoever has read them all knows where to go on."""
    anna = await centre.person("riga")
    start = await centre.end()
    for number in range(6):
        await centre.log.fact(anna, source=f"s{number}")
    await centre.end()
    answer = await centre.service.ListEvents(ListEventsRequest(after=start + 1, until=start + 4), metadata=EVENTS)
    assert [one.position for one in answer.events] == [start + 2, start + 3, start + 4]
    assert (answer.position, answer.next_page_token) == (start + 4, "")


@pytest.mark.parametrize(
    ("query", "headers", "reason"),
    [
        ("after=99999999", {}, "POSITION_NOT_REACHED"),
        ("filter.types=stepladder.coaching.pip-drafted.v1", {}, "UNKNOWN_EVENT_TYPE"),
        ("", {"Last-Event-ID": "soon"}, "POSITION_INVALID"),
        ("after=-1", {}, "INVALID_FIELDS"),
    ],
)
async def test_what_cannot_be_streamed_is_refused(
    world: World, query: str, headers: dict[str, str], reason: str
) -> None:
    """With the status of a refusal, upon which browsers do not connect again."""
    answer = await world.http("GET", f"/v1/events:stream?{query}", headers=dict(EVENTS) | headers)
    assert (answer.status, answer.reasons) == (400, [reason])


async def test_people_see_what_concerns_them(centre: Centre) -> None:
    """Oneself everything, the lead and the manager as the event's audience says, others what everybody may see."""
    riga, heads = centre.new("t"), centre.new("t")
    anna, lea, max_, bert = [await centre.person(team) for team in (riga, riga, heads, centre.new("t"))]
    hr = await centre.person(heads, "hr")
    await centre.log.team(riga, lea)
    await centre.log.team(heads, max_)
    await centre.log.transfer(lea, heads, "2024-01-01")
    start = await centre.end()
    await centre.log.fact(anna)  # those who see her
    retracted = RecordRetracted(record_id="r-1", employee_id=anna, reason="of another")
    await centre.log.write(f"log.performance.record.{centre.new('r')}", retracted)  # need to know
    await centre.log.team(centre.new("t"))  # everybody
    end = await centre.end()

    async def seen(who: str) -> list[str]:
        events = await history(centre, as_person(who), after=start, until=end)
        call = centre.service.WatchEvents(WatchEventsRequest(after=start), metadata=as_person(who))
        assert [one.position for one in await watched(call, end)] == [one.position for one in events]
        call.cancel()
        return [cloud_event(one)["type"].split(".")[2] for one in events]

    everything = ["fact-recorded", "record-retracted", "team-created"]
    assert await seen(anna) == everything
    assert await seen(lea) == everything
    assert await seen(hr) == everything
    assert await seen(max_) == ["fact-recorded", "team-created"]
    assert await seen(bert) == ["team-created"]


async def test_a_right_that_is_lost_is_lost_at_once(centre: Centre) -> None:
    """From the event on by which it is lost, in a stream that runs; one that is gained likewise."""
    riga, oslo = centre.new("t"), centre.new("t")
    anna, lea, olaf = await centre.person(riga), await centre.person(riga), await centre.person(oslo)
    await centre.log.team(riga, lea)
    await centre.log.team(oslo, olaf)
    await centre.end()
    of_lea, of_olaf = (
        centre.service.WatchEvents(WatchEventsRequest(filter=EventFilter(types=[FACT])), metadata=as_person(who))
        for who in (lea, olaf)
    )
    for call in (of_lea, of_olaf):
        await anext(aiter(call))
    await centre.log.fact(anna, source="before")
    (told,) = await watched(of_lea, await centre.end())
    assert cloud_event(told)["data"]["fact"]["source"] == "before"
    await centre.log.transfer(anna, oslo)
    await centre.log.fact(anna, source="behind")
    await centre.log.fact(lea, source="own")
    await centre.log.fact(olaf, source="own")
    end = await centre.end()

    def sources(events: list[PublicEvent]) -> list[str]:
        return [cloud_event(one)["data"]["fact"]["source"] for one in events]

    assert sources(await watched(of_lea, end - 1)) == ["own"]
    assert sources(await watched(of_olaf, end)) == ["behind", "own"]


async def test_who_leaves_is_told_no_more(centre: Centre) -> None:
    """A stream ends with the employment; a new one is refused."""
    anna = await centre.person("riga")
    await centre.end()
    call = centre.service.WatchEvents(WatchEventsRequest(), metadata=as_person(anna))
    await anext(aiter(call))
    left = EmploymentStatusChanged(
        employee_id=anna, status=EMPLOYMENT_STATUS_LEFT, effective_date=datetime.now(UTC).date().isoformat()
    )
    await centre.log.write(f"log.performance.employee.{anna}", left)
    with pytest.raises(aio.AioRpcError) as ended:
        await watched(call, 10**9)
    with pytest.raises(aio.AioRpcError) as refused:
        await centre.service.ListEvents(ListEventsRequest(), metadata=as_person(anna))
    assert ended.value.code() == refused.value.code() == StatusCode.PERMISSION_DENIED


async def test_systems_need_the_role(centre: Centre) -> None:
    """A system that may do other things is refused."""
    with pytest.raises(aio.AioRpcError) as refused:
        await centre.service.ListEvents(ListEventsRequest(), metadata=as_system("facts"))
    assert refused.value.code() == StatusCode.PERMISSION_DENIED


async def test_many_who_were_away_miss_nothing(centre: Centre) -> None:
    """For thousands of events, in order, without a gap: by gRPC, by server-sent events that break off, and by pages."""
    anna = await centre.person("riga")
    start = await centre.end()
    for number in range(20):
        facts = [fact_recorded(anna, "2026-03-01", f"s{number}-{index}") for index in range(150)]
        await centre.log.write(f"log.performance.facts.{anna}_2026-03", *facts)
    end = await centre.end()
    expected = list(range(start + 1, end + 1))
    assert len(expected) == 3000

    async def by_grpc() -> list[int]:
        call = centre.service.WatchEvents(WatchEventsRequest(after=start), metadata=EVENTS)
        return [one.position for one in await watched(call, end)]

    async def by_browser() -> list[int]:
        found, seen = list[int](), str(start)
        while len(found) < len(expected):
            async with centre.sse(last_event_id=seen) as frames:
                for _ in range(700):  # then the connection breaks off
                    await frames.event()
                    found.append(int(frames.last_event_id))
                    if len(found) == len(expected):
                        break
                seen = frames.last_event_id
        return found

    async def by_pages() -> list[int]:
        return [one.position for one in await history(centre, after=start, page_size=500)]

    for found in await asyncio.gather(by_grpc(), by_browser(), by_pages(), by_grpc()):
        assert found == expected


async def test_one_who_does_not_read_delays_nobody(centre: Centre) -> None:
    """What it does not take waits at the server; others are told everything meanwhile, and it, too, in the end."""
    anna = await centre.person("riga")
    start = await centre.end()
    slow = centre.service.WatchEvents(WatchEventsRequest(after=start), metadata=EVENTS)
    await anext(aiter(slow))
    async with centre.sse(after=start) as frames:
        for number in range(12):
            facts = [fact_recorded(anna, "2026-03-01", f"s{number}-{index}", 500) for index in range(50)]
            await centre.log.write(f"log.performance.facts.{anna}_2026-03", *facts)
        for _ in range(600):
            await frames.event()
    end = await centre.end()
    assert [one.position for one in await watched(slow, end)] == list(range(start + 1, end + 1))


async def test_streams_end_cleanly_when_the_service_stops(envoy: Envoy, tmp_path: Path) -> None:
    """Nobody is cut off in the middle: a browser connects again, and goes on where it was."""
    async with (
        open_log(envoy.settings.nats_url, tmp_path) as log,
        connect(f"127.0.0.1:{envoy.settings.public_port}") as channel,
    ):
        centre = Centre(envoy.settings.public_port, log, EventServiceStub(channel))
        async with AsyncExitStack() as stack:
            async with open_gateway(envoy.settings):
                anna = await centre.person("riga")
                await centre.end()
                frames = await stack.enter_async_context(centre.sse())
                call = centre.service.WatchEvents(WatchEventsRequest(), metadata=EVENTS)
                await anext(aiter(call))
                await log.fact(anna, source="before")
                await frames.event()
            with pytest.raises(EOFError):
                await frames.next()
            with pytest.raises(EOFError):
                await watched(call, 10**9)
        await log.fact(anna, source="meanwhile")
        async with open_gateway(envoy.settings), centre.sse(last_event_id=frames.last_event_id) as frames:
            assert (await frames.event())["data"]["fact"]["source"] == "meanwhile"


async def test_a_quiet_stream_says_that_it_is_there(centre: Centre, monkeypatch: pytest.MonkeyPatch) -> None:
    """A word now and then, with the position behind which to go on."""
    monkeypatch.setattr(event_api, "HEARTBEAT_SECONDS", 0.1)
    end = await centre.end()
    async with centre.sse() as frames:
        assert [await frames.next() for _ in range(3)] == [{"id": str(end)}] * 3
