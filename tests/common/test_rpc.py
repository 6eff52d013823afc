"""The gRPC shell and server, called over a real connection."""

# ruff: noqa: N802 - methods are named like the RPCs that they answer

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterable, AsyncIterator, Awaitable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from types import SimpleNamespace
from typing import Any, NoReturn
from zoneinfo import ZoneInfo

import pytest
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo
from grpc import StatusCode, aio
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest, ServerReflectionResponse
from grpc_status import rpc_status
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from structlog.testing import capture_logs

from libs.cli.issuer import LASTS_SECONDS
from libs.common.auth import LEEWAY_SECONDS, bearer
from libs.common.errors import (
    AlreadyExists,
    Conflict,
    FieldViolation,
    Invalid,
    NotAllowed,
    NotFound,
    Refused,
    Unavailable,
)
from libs.common.eventsourcing import Context
from libs.common.rpc import TRACEPARENT_KEY, open_channel
from libs.common.server import Serving, serve, until_stopped
from libs.common.settings import Settings
from libs.common.telemetry import tracing
from stepladder.common.v1 import operations_pb2
from stepladder.common.v1.operations_pb2 import (
    ListFollowersRequest,
    ListFollowersResponse,
    RebuildFollowerRequest,
    RebuildFollowerResponse,
)
from stepladder.common.v1.operations_pb2_grpc import OperationsServiceStub
from stepladder.performance.v1 import facts_pb2
from stepladder.performance.v1.facts_pb2 import (
    DISPUTE_OUTCOME_UPHELD,
    Fact,
    ListRatingsRequest,
    ListRatingsResponse,
    RateMonthRequest,
    Reading,
    ReadingsOfDay,
    RecordFactsRequest,
    RecordFactsResponse,
    SettleFactDisputeRequest,
    StreamFactsRequest,
    StreamFactsResponse,
)
from stepladder.performance.v1.facts_pb2_grpc import FactsServiceStub
from stepladder_client import connect
from tests.tokens import ISSUER, SYSTEM, TOKEN_KEYS, as_person, as_system

FACTS = facts_pb2.DESCRIPTOR.services_by_name["FactsService"]
OPERATIONS = operations_pb2.DESCRIPTOR.services_by_name["OperationsService"]
RECORD_FACTS = "/stepladder.performance.v1.FactsService/RecordFacts"

SETTINGS = Settings(performance_address="127.0.0.1:0", site_time_zone=ZoneInfo("Asia/Shanghai"), token_keys=TOKEN_KEYS)
LATE = datetime(2026, 3, 31, 16, 30, tzinfo=UTC)
NO_DAY = "must be a day of the calendar, written YYYY-MM-DD, such as 2026-03-31"
"""Half past midnight of 1 April in Shanghai."""

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
TRACEPARENT = f"00-{TRACE_ID}-b7ad6b7169203331-01"


async def _not_asked(_self: object, _request: object, _context: Context) -> NoReturn:
    raise AssertionError("no test calls this")


class Facts:
    """Counts facts; answers with `outcomes` first, one a call."""

    def __init__(self) -> None:
        self.contexts: list[Context] = []
        self.outcomes: list[Exception | object] = []

    async def RecordFacts(self, request: RecordFactsRequest, context: Context) -> object:
        self.contexts.append(context)
        if self.outcomes:
            outcome = self.outcomes.pop(0)
            if isinstance(outcome, Exception):
                raise outcome
            return outcome
        return RecordFactsResponse(recorded=len(request.facts))

    async def StreamFacts(self, requests: AsyncIterator[StreamFactsRequest], context: Context) -> StreamFactsResponse:
        self.contexts.append(context)
        summary = StreamFactsResponse()
        async for request in requests:
            summary.batches += 1
            summary.recorded += len(request.batch.facts)
        return summary

    async def ListRatings(self, _request: ListRatingsRequest, _context: Context) -> ListRatingsResponse:
        """Whatever the caller is."""
        return ListRatingsResponse()

    CorrectFact = RetractFact = DisputeFact = SettleFactDispute = ListFacts = _not_asked
    ListKpiResults = RateMonth = FindPosition = _not_asked


class Operations:
    """Calls that take as long as the test says."""

    def __init__(self) -> None:
        self.entered = asyncio.Event()
        self.released = asyncio.Event()
        self.left = asyncio.Event()

    async def ListFollowers(self, _request: ListFollowersRequest, _context: Context) -> ListFollowersResponse:
        self.entered.set()
        try:
            await self.released.wait()
        finally:
            self.left.set()
        return ListFollowersResponse()

    async def RebuildFollower(
        self, request: RebuildFollowerRequest, _context: Context
    ) -> AsyncIterator[RebuildFollowerResponse]:
        try:
            yield RebuildFollowerResponse(position=1)
            if request.follower == "unknown":
                raise NotFound("FOLLOWER_NOT_FOUND", "there is no such follower")
            await self.released.wait()
            yield RebuildFollowerResponse(position=2, done=True)
        finally:
            self.left.set()

    ListParked = RetryParked = SkipParked = _not_asked


@dataclass
class World:
    """A running server, what it serves, and a channel to it."""

    facts: Facts
    operations: Operations
    serving: Serving
    channel: aio.Channel
    record: aio.UnaryUnaryMultiCallable[RecordFactsRequest, RecordFactsResponse] = field(init=False)

    def __post_init__(self) -> None:
        self.record = FactsServiceStub(self.channel).RecordFacts


@pytest.fixture
async def world() -> AsyncIterator[World]:
    facts, operations = Facts(), Operations()
    async with (
        serve(SETTINGS, "performance", {FACTS: facts, OPERATIONS: operations}, clock=lambda: LATE) as serving,
        connect(serving.address, token=SYSTEM) as channel,
    ):
        yield World(facts, operations, serving, channel)


def a_request(request_id: str = "", dates: tuple[str, ...] = ("2026-03-31",)) -> RecordFactsRequest:
    readings = [Reading(kpi_id="calls", numerators=[7])]
    facts = [Fact(employee_id="anna", date=day, source="acd", readings=readings) for day in dates]
    return RecordFactsRequest(request_id=request_id, facts=facts)


def details(error: aio.AioRpcError) -> tuple[ErrorInfo, list[FieldViolation]]:
    """What a refusal says beside its code and message."""
    call: Any = error
    info, bad = ErrorInfo(), BadRequest()
    for detail in rpc_status.from_call(call).details:
        assert detail.Unpack(info) or detail.Unpack(bad)
    return info, [FieldViolation(violation.field, violation.description) for violation in bad.field_violations]


async def test_implementation_gets_request_and_context(world: World) -> None:
    """A call brings its request id and actor; the server brings the time, and the day it is at the site."""
    request = a_request("r-1")
    answer = await world.record(request, metadata=bearer(ISSUER.system("anna@example.com")))
    assert answer.recorded == 1
    assert world.facts.contexts == [Context(LATE, date(2026, 4, 1), "system:anna@example.com", "r-1", request)]


async def test_a_stream_ends_with_its_token(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether it answers or takes what is sent; a call that is under way is answered."""
    left = LASTS_SECONDS + LEEWAY_SECONDS - 1
    monkeypatch.setattr(
        "libs.common.rpc.time", SimpleNamespace(time=lambda: time.time() + left, perf_counter=time.perf_counter)
    )
    answers = OperationsServiceStub(world.channel).RebuildFollower(
        RebuildFollowerRequest(service="coaching", follower="plans")
    )
    for ended in (read_all(answers), wait_for(FactsServiceStub(world.channel).StreamFacts())):
        with pytest.raises(aio.AioRpcError) as caught:
            async with asyncio.timeout(30):
                await ended
        assert caught.value.code() is StatusCode.UNAUTHENTICATED
        assert details(caught.value)[0].reason == "TOKEN_EXPIRED"
        assert "call again" in str(caught.value.details())
    assert (await world.record(a_request())).recorded == 1


async def read_all(answers: AsyncIterable[object]) -> None:
    async for _ in answers:
        pass


async def wait_for(answer: Awaitable[object]) -> None:
    await answer


async def test_an_answer_without_asking_who_may_is_a_fault(world: World) -> None:
    """Where the rule depends on whom the call is about; nobody is told to send it again."""
    request, stub = ListRatingsRequest(employee_id="anna"), FactsServiceStub(world.channel)
    with pytest.raises(aio.AioRpcError) as caught:
        await stub.ListRatings(request, metadata=as_person("anna"))
    assert caught.value.code() is StatusCode.INTERNAL
    assert details(caught.value)[0].reason == "INTERNAL"
    await stub.ListRatings(request, metadata=as_system("facts"))


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (Invalid, StatusCode.INVALID_ARGUMENT),
        (NotFound, StatusCode.NOT_FOUND),
        (AlreadyExists, StatusCode.ALREADY_EXISTS),
        (NotAllowed, StatusCode.FAILED_PRECONDITION),
        (Conflict, StatusCode.ABORTED),
        (Unavailable, StatusCode.UNAVAILABLE),
    ],
)
async def test_refusals_have_their_codes(world: World, kind: type[Refused], code: StatusCode) -> None:
    """Each kind of refusal arrives with its code, its sentence and its stable reason."""
    world.facts.outcomes = [kind("THE_REASON", "it cannot be — 不行")] * 5  # as often as UNAVAILABLE is tried again
    with pytest.raises(aio.AioRpcError) as caught:
        await world.record(a_request())
    assert (caught.value.code(), caught.value.details()) == (code, "it cannot be — 不行")
    assert details(caught.value) == (ErrorInfo(reason="THE_REASON", domain="stepladder"), [])


async def test_refusal_names_fields(world: World) -> None:
    """The violations of a refusal by the domain arrive as a BadRequest."""
    violations = (FieldViolation("facts[1].date", "is not a working day"),)
    world.facts.outcomes = [Invalid("DATE_INVALID", "a wrong day", violations)]
    with pytest.raises(aio.AioRpcError) as caught:
        await world.record(a_request())
    assert details(caught.value)[1] == list(violations)


async def test_field_rules_are_checked(world: World) -> None:
    """A request against the rules of its contract is refused with the path of every wrong field."""
    request = a_request("x" * 101, ("2026-01-01", "2026-01-02", "2026-02-30"))
    with pytest.raises(aio.AioRpcError) as caught:
        await world.record(request)
    assert caught.value.code() == StatusCode.INVALID_ARGUMENT
    assert caught.value.details() == (f"request_id: must be at most 100 characters; facts[2].date: {NO_DAY}")
    info, violations = details(caught.value)
    assert info == ErrorInfo(reason="INVALID_FIELDS", domain="stepladder")
    assert violations == [
        FieldViolation("request_id", "must be at most 100 characters"),
        FieldViolation("facts[2].date", NO_DAY),
    ]
    assert not world.facts.contexts


@pytest.mark.parametrize("facts", [1000, 10_000])
async def test_many_violations_fit_into_a_status(world: World, facts: int) -> None:
    """However much is wrong, the caller gets a status that its headers can carry."""
    with pytest.raises(aio.AioRpcError) as caught:
        await world.record(RecordFactsRequest(facts=[Fact()] * facts))
    assert caught.value.code() == StatusCode.INVALID_ARGUMENT
    assert details(caught.value)[1][0].field == "facts[0].employee_id"


async def test_long_texts_fit_into_a_status(world: World) -> None:
    """A refusal with long texts is cut, not lost."""
    violations = tuple(FieldViolation(f"field_{number}", "太长了" * 100) for number in range(100))
    world.facts.outcomes = [Invalid("TOO_LONG", "太长了" * 10_000, violations)]
    with pytest.raises(aio.AioRpcError) as caught:
        await world.record(a_request())
    assert caught.value.code() == StatusCode.INVALID_ARGUMENT
    info, named = details(caught.value)
    assert info.reason == "TOO_LONG"
    assert named == list(violations[: len(named)])
    assert named


@pytest.mark.parametrize("raw", [b"\xff\xff", b"\x0a\x02\xff\xfe", b"\x12\x7f"], ids=["junk", "not-utf-8", "cut-off"])
async def test_undecodable_bytes_are_invalid(world: World, raw: bytes) -> None:
    """Bytes that are no request are the caller's fault, for a single request and within a stream."""

    async def stream() -> AsyncIterator[bytes]:
        yield raw

    calls: list[Any] = [
        world.channel.unary_unary(RECORD_FACTS, bytes)(raw),
        world.channel.stream_unary("/stepladder.performance.v1.FactsService/StreamFacts", bytes)(stream()),
    ]
    for call in calls:
        with pytest.raises(aio.AioRpcError) as caught:
            await call
        assert caught.value.code() == StatusCode.INVALID_ARGUMENT
        assert details(caught.value)[0].reason == "MALFORMED_REQUEST"


@pytest.mark.parametrize("fault", [RuntimeError("the secret"), None, RateMonthRequest(request_id="the secret")])
async def test_fault_is_logged_and_not_told(world: World, fault: object) -> None:
    """A bug, be it an exception or an answer of the wrong type, reaches the log in full and the caller as a number."""
    world.facts.outcomes = [fault]
    with capture_logs() as logged, pytest.raises(aio.AioRpcError) as caught:
        await world.record(a_request())
    assert caught.value.code() == StatusCode.INTERNAL
    (line,) = logged
    assert line["event"] == "call_failed"
    assert line["correlation_id"] in (caught.value.details() or "")
    assert isinstance(line["exc_info"], Exception)
    assert "secret" not in f"{caught.value.details()} {details(caught.value)}"
    assert details(caught.value)[0].reason == "INTERNAL"


async def test_client_stream_is_read_to_its_end(world: World) -> None:
    """The implementation gets every message of a stream, in order, and answers once."""
    requests = [StreamFactsRequest(batch=a_request(dates=("2026-01-01",) * size)) for size in (1, 2, 3)]
    answer = await FactsServiceStub(world.channel).StreamFacts(iter(requests))
    assert (answer.batches, answer.recorded) == (3, 6)
    assert world.facts.contexts[0].request_id == ""


async def test_a_rule_about_the_whole_request_names_no_field(world: World) -> None:
    """And its sentence stands by itself."""
    of_day = ReadingsOfDay(employee_id="anna", date="2026-03-31", source="acd", kpi_ids=["calls"])
    settled = SettleFactDisputeRequest(readings=of_day, outcome=DISPUTE_OUTCOME_UPHELD, reason="as it was")
    settled.corrected.add(kpi_id="calls", numerators=[1])
    with pytest.raises(aio.AioRpcError) as caught:
        await FactsServiceStub(world.channel).SettleFactDispute(settled, metadata=as_person("anna"))
    assert (caught.value.details() or "").startswith("corrected readings belong to the outcome")


@pytest.mark.parametrize("text", ["a\x00", "\x1b[31mred", "\x0b"])
async def test_control_characters_are_refused(world: World, text: str) -> None:
    """In every service, before anybody looks at the request; tabs and line breaks are none."""
    await world.record(a_request("a\tb\r\nc"))
    with pytest.raises(aio.AioRpcError) as caught:
        await world.record(a_request(text))
    assert caught.value.code() == StatusCode.INVALID_ARGUMENT
    info, violations = details(caught.value)
    assert (info.reason, [one.field for one in violations]) == ("INVALID_FIELDS", ["request_id"])
    assert len(world.facts.contexts) == 1


async def test_a_message_that_is_too_large_is_refused_with_the_reason(world: World) -> None:
    """In a stream, which Envoy does not bound, and by itself; what came before it is taken."""
    large = a_request(dates=("2026-01-01",) * 180_000)
    assert 4 * 1024 * 1024 < large.ByteSize() < 8 * 1024 * 1024
    stub = FactsServiceStub(world.channel)
    requests = [StreamFactsRequest(batch=a_request()), StreamFactsRequest(batch=large)]
    for call, where in ((stub.StreamFacts(iter(requests)), "message 2 of the stream: "), (stub.RecordFacts(large), "")):
        with pytest.raises(aio.AioRpcError) as caught:
            await call
        assert caught.value.code() == StatusCode.RESOURCE_EXHAUSTED
        assert caught.value.details() == f"{where}the request is larger than 4 MiB; send it in parts"
        assert details(caught.value)[0].reason == "REQUEST_TOO_LARGE"


async def test_client_stream_is_checked_message_by_message(world: World) -> None:
    """A message against the rules ends the stream, and the refusal says which one it was."""
    requests = [StreamFactsRequest(batch=a_request()), StreamFactsRequest(batch=a_request(dates=("2026-01-01", "now")))]
    with pytest.raises(aio.AioRpcError) as caught:
        await FactsServiceStub(world.channel).StreamFacts(iter(requests))
    assert caught.value.code() == StatusCode.INVALID_ARGUMENT
    assert (caught.value.details() or "").startswith("message 2 of the stream: batch.facts[1].date: ")
    info, violations = details(caught.value)
    assert info.reason == "INVALID_FIELDS"
    assert violations == [FieldViolation("batch.facts[1].date", NO_DAY)]


async def test_server_stream_arrives(world: World) -> None:
    """Every message that the implementation yields arrives."""
    world.operations.released.set()
    call = OperationsServiceStub(world.channel).RebuildFollower(
        RebuildFollowerRequest(service="coaching", follower="plans")
    )
    assert [answer.position async for answer in call] == [1, 2]


async def test_server_stream_may_end_in_a_refusal(world: World) -> None:
    """A refusal after the first message ends the stream with its code."""
    call = OperationsServiceStub(world.channel).RebuildFollower(
        RebuildFollowerRequest(service="coaching", follower="unknown")
    )
    answers = aiter(call)
    assert (await anext(answers)).position == 1
    with pytest.raises(aio.AioRpcError) as caught:
        await anext(answers)
    assert caught.value.code() == StatusCode.NOT_FOUND


async def test_server_stream_request_is_checked(world: World) -> None:
    """The rules hold for requests of streams, too."""
    with pytest.raises(aio.AioRpcError) as caught:
        await anext(aiter(OperationsServiceStub(world.channel).RebuildFollower(RebuildFollowerRequest())))
    assert [violation.field for violation in details(caught.value)[1]] == ["service", "follower"]


async def test_cancelled_stream_is_closed(world: World) -> None:
    """When the caller hangs up, the implementation is cleaned up at once and nothing is reported as a fault."""
    call = OperationsServiceStub(world.channel).RebuildFollower(
        RebuildFollowerRequest(service="coaching", follower="plans")
    )
    await anext(aiter(call))
    with capture_logs() as logged:
        call.cancel()
        await world.operations.left.wait()
        await world.record(a_request())
    assert not logged


async def test_cancelled_call_is_cancelled_inside(world: World) -> None:
    """A caller who hangs up cancels the implementation, and nothing is reported as a fault."""
    call = OperationsServiceStub(world.channel).ListFollowers(ListFollowersRequest(service="-"))
    waiting = asyncio.ensure_future(_answer_of(call))
    await world.operations.entered.wait()
    with capture_logs() as logged:
        waiting.cancel()
        await world.operations.left.wait()
        await world.record(a_request())
    assert not logged


async def _answer_of(call: Any) -> Any:
    return await call


async def test_unavailable_is_tried_again(world: World) -> None:
    """The channel sends a call again that was answered UNAVAILABLE."""
    world.facts.outcomes = [Unavailable("LOG_UNAVAILABLE", "not now"), Unavailable("LOG_UNAVAILABLE", "not now")]
    assert (await world.record(a_request())).recorded == 1
    assert len(world.facts.contexts) == 3


async def test_one_who_passes_calls_on_does_not_try_again(world: World) -> None:
    """A channel without retries leaves it to the caller's caller."""
    world.facts.outcomes = [Unavailable("LOG_UNAVAILABLE", "not now")]
    async with open_channel(world.serving.address) as channel:
        with pytest.raises(aio.AioRpcError) as caught:
            await FactsServiceStub(channel).RecordFacts(a_request(), metadata=as_system())
    assert caught.value.code() == StatusCode.UNAVAILABLE


async def test_calls_that_are_passed_on_go_round_all_replicas(world: World) -> None:
    """Of a service with two addresses, both are called."""
    other = Facts()
    async with (
        serve(SETTINGS, "performance", {FACTS: other}, clock=lambda: LATE) as serving,
        open_channel(f"ipv4:{world.serving.address},{serving.address}") as channel,
        asyncio.timeout(20),
    ):
        while not (other.contexts and world.facts.contexts):  # the first come before there is a second connection
            await FactsServiceStub(channel).RecordFacts(a_request(), metadata=as_system())


async def test_refusal_of_a_service_behind_is_passed_on(world: World) -> None:
    """What another service refused reaches the caller as that service said it."""
    world.facts.outcomes = [Invalid("DATE_INVALID", "a wrong day — 不行", (FieldViolation("date", "is odd"),))]
    with pytest.raises(aio.AioRpcError) as first:
        await world.record(a_request())
    world.facts.outcomes = [first.value]
    with pytest.raises(aio.AioRpcError) as second:
        await world.record(a_request())
    assert (second.value.code(), second.value.details()) == (first.value.code(), first.value.details())
    assert details(second.value) == details(first.value)


async def test_failed_connection_to_a_service_behind_is_a_fault(world: World) -> None:
    """What grpc says of a broken connection names addresses; it is logged and not told."""
    world.facts.outcomes = [aio.AioRpcError(StatusCode.UNAVAILABLE, aio.Metadata(), aio.Metadata(), "10.0.0.7:7101")]
    with capture_logs() as logged, pytest.raises(aio.AioRpcError) as caught:
        await world.record(a_request())
    assert (caught.value.code(), len(logged)) == (StatusCode.INTERNAL, 1)
    assert "10.0.0.7" not in f"{caught.value.details()} {details(caught.value)}"


class WithoutStreams(Facts):
    StreamFacts = None  # type: ignore[assignment]


class WithPlainMethod(Facts):
    def RecordFacts(self, _request: object, _context: object) -> object:  # type: ignore[override]
        raise AssertionError


class WithStreamForUnary(Facts):
    async def ListFacts(self, _request: object, _context: object) -> AsyncIterator[object]:  # type: ignore[override]
        yield None


@pytest.mark.parametrize(
    ("kind", "method"),
    [(WithoutStreams, "StreamFacts"), (WithPlainMethod, "RecordFacts"), (WithStreamForUnary, "ListFacts")],
)
async def test_missing_method_stops_the_start(kind: type[Facts], method: str) -> None:
    """A server whose implementation lacks a method, or has one of another shape, does not start."""
    with pytest.raises(TypeError, match=f"{kind.__name__} has no method .* stepladder.*FactsService/{method}"):
        async with serve(SETTINGS, "performance", {FACTS: kind()}, clock=lambda: LATE):
            pass


async def test_address_in_use_stops_the_start(world: World) -> None:
    """Two servers never share an address."""
    taken = Settings(performance_address=world.serving.address)
    with pytest.raises(RuntimeError, match=world.serving.address):
        async with serve(taken, "performance", {FACTS: Facts()}, clock=lambda: LATE):
            pass


def health_of(channel: aio.Channel, service: str) -> Any:
    check = channel.unary_unary(
        "/grpc.health.v1.Health/Check", HealthCheckRequest.SerializeToString, HealthCheckResponse.FromString
    )
    return check(HealthCheckRequest(service=service))


@pytest.mark.parametrize("service", ["", FACTS.full_name, OPERATIONS.full_name])
async def test_health_says_whether_calls_are_wanted(world: World, service: str) -> None:
    """Health answers for the process and for each of its services, as the process last said."""
    assert (await health_of(world.channel, service)).status == HealthCheckResponse.SERVING
    await world.serving.set_serving(False)
    assert (await health_of(world.channel, service)).status == HealthCheckResponse.NOT_SERVING
    await world.serving.set_serving(True)
    assert (await health_of(world.channel, service)).status == HealthCheckResponse.SERVING


async def calls_while_not_serving(channel: aio.Channel) -> None:
    while True:
        assert (await health_of(channel, "")).status == HealthCheckResponse.NOT_SERVING


async def test_stop_lets_running_calls_finish() -> None:
    """A stopping server says NOT_SERVING and takes no new calls, while a running one gets its answer."""
    operations, stop = Operations(), asyncio.Event()

    async def run(ready: asyncio.Future[str]) -> None:
        async with serve(SETTINGS, "performance", {OPERATIONS: operations}, clock=lambda: LATE) as serving:
            ready.set_result(serving.address)
            await stop.wait()

    address: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    server = asyncio.create_task(run(address))
    async with connect(await address, token=SYSTEM) as channel, aio.insecure_channel(await address) as other:
        running = asyncio.ensure_future(
            _answer_of(OperationsServiceStub(channel).ListFollowers(ListFollowersRequest(service="-")))
        )
        await operations.entered.wait()
        watch: Any = channel.unary_stream(
            "/grpc.health.v1.Health/Watch", HealthCheckRequest.SerializeToString, HealthCheckResponse.FromString
        )(HealthCheckRequest())
        states = aiter(watch)
        assert (await anext(states)).status == HealthCheckResponse.SERVING
        stop.set()
        assert (await anext(states)).status == HealthCheckResponse.NOT_SERVING
        watch.cancel()
        with pytest.raises(aio.AioRpcError) as caught:
            await calls_while_not_serving(other)
        assert caught.value.code() == StatusCode.UNAVAILABLE
        assert not running.done()
        operations.released.set()
        assert await running == ListFollowersResponse()
        await server


async def test_reflection_lists_services_and_types(world: World) -> None:
    """Reflection names every service, and hands out the contract that one of them is from."""
    reflect = world.channel.stream_stream(
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
        ServerReflectionRequest.SerializeToString,
        ServerReflectionResponse.FromString,
    )
    questions = [
        ServerReflectionRequest(list_services=""),
        ServerReflectionRequest(file_containing_symbol=FACTS.full_name),
    ]
    listing, contract = [answer async for answer in reflect(iter(questions))]
    assert [service.name for service in listing.list_services_response.service] == [
        "grpc.health.v1.Health",
        "grpc.reflection.v1alpha.ServerReflection",
        OPERATIONS.full_name,
        FACTS.full_name,
    ]
    assert any(b"RecordFactsRequest" in file for file in contract.file_descriptor_response.file_descriptor_proto)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
async def test_signal_ends_the_wait(number: signal.Signals) -> None:
    """A process that is asked to stop goes on behind until_stopped."""
    before = signal.signal(number, signal.default_int_handler)  # tests may run under nohup, which ignores SIGHUP
    try:
        asyncio.get_running_loop().call_soon(os.kill, os.getpid(), number)
        await until_stopped()
    finally:
        signal.signal(number, before)


async def test_call_continues_the_callers_trace() -> None:
    """A traced call is a span under the caller's, the command carries it on, and only a fault makes it an error."""
    exporter, facts = InMemorySpanExporter(), Facts()
    facts.outcomes = [RecordFactsResponse(), NotFound("NOT_THERE", "not there"), RuntimeError("secret")]
    with tracing("performance", Settings(trace_ratio=0), exporter):
        async with (
            serve(SETTINGS, "performance", {FACTS: facts}, clock=lambda: LATE) as serving,
            connect(serving.address, token=SYSTEM) as channel,
        ):
            record = FactsServiceStub(channel).RecordFacts
            await record(a_request(), metadata=((TRACEPARENT_KEY, TRACEPARENT),))
            for _ in range(2):
                with pytest.raises(aio.AioRpcError):
                    await record(a_request(), metadata=((TRACEPARENT_KEY, TRACEPARENT),))
            await record(a_request())
    spans = exporter.get_finished_spans()
    assert [span.name for span in spans] == ["stepladder.performance.v1.FactsService/RecordFacts"] * 3
    assert [span.status.is_ok for span in spans] == [True, True, False]
    assert all(span.parent and f"{span.parent.span_id:016x}" == "b7ad6b7169203331" for span in spans)
    assert not any("secret" in span.to_json() for span in spans)
    carried = [f"00-{TRACE_ID}-{span.context.span_id:016x}-01" for span in spans if span.context]
    assert [context.traceparent for context in facts.contexts] == [*carried, ""]
