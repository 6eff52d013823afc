"""The import against a small real server: what is sent, once, in order, and again when it must be."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import grpc
import pytest
import pytest_asyncio
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from hypothesis import given
from hypothesis import strategies as st

from libs.cli import importing
from libs.cli.call_mapping import load_mapping
from libs.cli.calls import read_calls
from libs.cli.importing import (
    FACT_REQUESTS_AT_ONCE,
    ImportFailed,
    ImportResult,
    SetupRequest,
    batches,
    identified,
    import_centre,
    import_facts,
    preset_requests,
    staff_requests,
)
from libs.cli.presets import PRESETS
from libs.cli.sample import SampleCentre
from services.performance.policy import kpis_of, policies_of
from stepladder.performance.v1 import directory_pb2, facts_pb2, kpi_pb2, policy_pb2
from stepladder.performance.v1.directory_pb2 import HireEmployeeRequest
from stepladder.performance.v1.facts_pb2 import Fact, Reading, RecordFactsRequest, RecordFactsResponse
from stepladder.performance.v1.facts_pb2_grpc import FactsServiceStub
from tests.call_records import write_calls

FIRST_DAY = date(2026, 1, 1)

Failure = tuple[grpc.StatusCode, bool]
"""How a request fails, and whether after it took effect: the answer alone is lost."""


class Centre:
    """The services as far as the import uses them: facts and resources in dictionaries, each request id once.

    A request is refused when what it rests on is missing. `failures` are met by the next requests, first come first.
    """

    def __init__(self) -> None:
        self.known: set[str] | None = None
        self.facts: dict[tuple[str, str, str], Fact] = {}
        self.answers: dict[str, tuple[Message, Message]] = {}
        self.requests: list[Message] = []
        self.resources: dict[str, Message] = {}
        self.failures: list[Failure] = []
        self.at_once = self.most_at_once = 0
        self.pause = 0.0

    async def meet(
        self,
        request: Any,
        context: grpc.aio.ServicerContext[Any, Any],
        answer: Callable[[], Awaitable[Message]],
    ) -> Message:
        self.requests.append(request)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await asyncio.sleep(self.pause)
            failure = self.failures.pop(0) if self.failures else None
            if failure and not failure[1]:
                await context.abort(failure[0], "as the test wants it")
            if request.request_id not in self.answers:
                self.answers[request.request_id] = (request, await answer())
            before, given = self.answers[request.request_id]
            if before != request:
                await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "REQUEST_ID_REUSED")
            if failure:
                await context.abort(failure[0], "as the test wants it")
            return given
        finally:
            self.at_once -= 1

    async def record(self, request: RecordFactsRequest) -> RecordFactsResponse:
        response = RecordFactsResponse()
        for index, fact in enumerate(request.facts):
            key = (fact.employee_id, fact.date, fact.source)
            if self.known is not None and fact.employee_id not in self.known:
                response.rejections.add(index=index, reason="EMPLOYEE_NOT_FOUND", message="who is that?")
            elif key not in self.facts:
                self.facts[key] = fact
                response.recorded += 1
            elif self.facts[key] == fact:
                response.unchanged += 1
            else:
                response.rejections.add(index=index, reason="FACT_ALREADY_RECORDED", message="correct it")
        response.log_position = len(self.facts)
        return response

    async def set_up(self, request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Message:
        """Stores the resource, if what it names is there."""
        own, needs, answer = _resource(request)
        for need in needs:
            if need not in self.resources:
                await context.abort(grpc.StatusCode.NOT_FOUND, f"there is no {need}")
        if own in self.resources and self.resources[own] != answer:
            await context.abort(grpc.StatusCode.ALREADY_EXISTS, f"there is another {own}")
        self.resources[own] = answer
        stored = type(answer)()
        stored.CopyFrom(answer)
        stored.log_position = len(self.resources)  # type: ignore[attr-defined] # every resource has one
        return stored


def _resource(request: Any) -> tuple[str, Sequence[str], Message]:
    """What a request makes, what it rests on, and how it is answered."""
    name: str = type(request).__name__
    needs: list[str] = []
    answer: Message
    match request:
        case kpi_pb2.CreateKpiRequest():
            name, answer = f"kpi {request.kpi.kpi_id}", request.kpi
        case kpi_pb2.SetTargetRequest():
            name, needs, answer = f"target {request.target.kpi_id}", [f"kpi {request.target.kpi_id}"], request.target
        case policy_pb2.SetPolicyRequest():
            name, answer = request.policy.policy_id, request.policy
            needs = [f"kpi {kpi_id}" for _, kpi_id in kpis_of(request.policy)]
            needs += [policy_id for _, _, policy_id in policies_of(request.policy)]
        case directory_pb2.CreateTeamRequest():
            name, answer = f"team {request.team.team_id}", request.team
        case HireEmployeeRequest():
            name, answer = f"employee {request.employee.employee_id}", request.employee
            needs = [f"team {request.employee.team_id}"]
        case directory_pb2.AppointTeamLeadRequest():
            name, answer = f"lead {request.team_id} {request.effective_date}", directory_pb2.Team()
            needs = [f"team {request.team_id}", f"employee {request.lead_id}"]
        case facts_pb2.RateMonthRequest():
            name, answer = f"rating {request.employee_id} {request.month}", facts_pb2.MonthRating()
            needs = [f"employee {request.employee_id}"]
        case _:
            name, answer = f"{name} {request.employee_id}", directory_pb2.Employee()
            needs = [f"employee {request.employee_id}"]
    return name, needs, answer


async def start(centre: Centre, port: int = 0) -> tuple[grpc.aio.Server, int]:
    """A server for the centre, and its port."""

    def handler(method: MethodDescriptor) -> "grpc.RpcMethodHandler[Any, Any]":
        async def answer(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Message:
            if isinstance(request, RecordFactsRequest):
                return await centre.meet(request, context, lambda: centre.record(request))
            return await centre.meet(request, context, lambda: centre.set_up(request, context))

        return grpc.unary_unary_rpc_method_handler(
            answer,
            request_deserializer=GetMessageClass(method.input_type).FromString,
            response_serializer=lambda message: message.SerializeToString(),
        )

    server = grpc.aio.server()
    for module in (facts_pb2, kpi_pb2, policy_pb2, directory_pb2):
        for service in module.DESCRIPTOR.services_by_name.values():
            handlers = {method.name: handler(method) for method in service.methods if not method.client_streaming}
            server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service.full_name, handlers),))
    port = server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    return server, port


@pytest.fixture
def centre() -> Centre:
    return Centre()


@pytest_asyncio.fixture
async def channel(centre: Centre) -> AsyncIterator[grpc.aio.Channel]:
    server, port = await start(centre)
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield channel
    await server.stop(None)


@pytest.fixture
def stub(channel: grpc.aio.Channel) -> FactsServiceStub:
    return FactsServiceStub(channel)


def some_facts(employees: int = 6, days: int = 40) -> list[Fact]:
    return [
        Fact(
            employee_id=f"e-{employee}",
            date=(FIRST_DAY + timedelta(days=day)).isoformat(),
            source="calls",
            readings=[Reading(kpi_id="calls-handled", numerators=[employee + day])],
        )
        for employee in range(employees)
        for day in range(days)
    ]


async def test_every_fact_is_recorded_once(centre: Centre, stub: FactsServiceStub) -> None:
    """All facts arrive, in at most four requests at once, and the progress ends with the result."""
    centre.pause = 0.01
    told: list[ImportResult] = []
    facts = some_facts()
    result = await import_facts(stub, iter(facts), file_digest="f", batch=31, progress=told.append)
    assert sorted(centre.facts.values(), key=lambda fact: (fact.employee_id, fact.date)) == facts
    assert (result.recorded, result.unchanged, result.rejected) == (len(facts), 0, ())
    assert result.facts == len(facts)
    assert result.log_position == len(facts)
    assert centre.most_at_once == FACT_REQUESTS_AT_ONCE
    assert len(told) == result.batches == len(centre.requests)
    assert told[-1] == result
    assert [one.facts for one in told] == sorted(one.facts for one in told)


async def test_nothing_to_send(stub: FactsServiceStub) -> None:
    """An empty file is no error."""
    assert await import_facts(stub, [], file_digest="f") == ImportResult()


async def test_the_same_file_again_changes_nothing(centre: Centre, stub: FactsServiceStub) -> None:
    """The same requests have the same ids and the same answers; of another file the same facts are known already."""
    first = await import_facts(stub, some_facts(), file_digest="f", batch=50)
    stored = dict(centre.facts)
    again = await import_facts(stub, some_facts(), file_digest="f", batch=50)
    assert again == first
    assert len(centre.answers) == first.batches
    for digest, batch in (("g", 50), ("f", 100)):
        other = await import_facts(stub, some_facts(), file_digest=digest, batch=batch)
        assert (other.recorded, other.unchanged) == (0, len(stored))
    assert centre.facts == stored


async def test_a_killed_import_is_finished_by_the_next(centre: Centre, stub: FactsServiceStub) -> None:
    """Killed half way with requests in flight and started again, the import ends as if nothing had happened."""
    centre.pause = 0.01
    half_way = asyncio.Event()

    def watch(result: ImportResult) -> None:
        if result.batches == 3:
            half_way.set()

    killed = asyncio.create_task(import_facts(stub, some_facts(), file_digest="f", batch=20, progress=watch))
    await half_way.wait()
    killed.cancel()
    with pytest.raises(asyncio.CancelledError):
        await killed
    assert 0 < len(centre.facts) < len(some_facts())
    result = await import_facts(stub, some_facts(), file_digest="f", batch=20)
    assert len(centre.facts) == result.recorded == len(some_facts())
    assert result.unchanged == 0
    assert len(centre.answers) == result.batches


@pytest.mark.parametrize(
    "failures",
    [
        [(grpc.StatusCode.UNAVAILABLE, False)] * 3,
        [(grpc.StatusCode.ABORTED, False), (grpc.StatusCode.UNAVAILABLE, True), (grpc.StatusCode.ABORTED, False)],
        [(grpc.StatusCode.UNAVAILABLE, True)] * 6,
        [(grpc.StatusCode.DEADLINE_EXCEEDED, True)],
        [(grpc.StatusCode.CANCELLED, False), (grpc.StatusCode.CANCELLED, True)],
    ],
)
async def test_passing_failures_are_overcome(centre: Centre, stub: FactsServiceStub, failures: list[Failure]) -> None:
    """A service that is away, busy, or whose answer is lost, is asked again; nothing is recorded twice."""
    centre.failures = list(failures)
    result = await import_facts(stub, some_facts(), file_digest="f", batch=50)
    assert (result.recorded, result.unchanged) == (len(some_facts()), 0)
    assert len(centre.requests) == result.batches + len(failures)


async def test_a_restart_of_the_service_is_overcome(centre: Centre) -> None:
    """The server goes away with requests in flight and comes back on its port: every fact is recorded once."""
    centre.pause = 0.05
    first, port = await start(centre)
    gone = asyncio.Event()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        running = asyncio.create_task(
            import_facts(
                FactsServiceStub(channel), some_facts(), file_digest="f", batch=20, progress=lambda _: gone.set()
            )
        )
        await gone.wait()
        await first.stop(None)
        assert not running.done()
        second, _ = await start(centre, port)
        result = await running
        await second.stop(None)
    assert len(centre.facts) == result.recorded == len(some_facts())


async def test_patience_has_an_end(centre: Centre, stub: FactsServiceStub) -> None:
    """A service that stays away ends the import with the reason, within the patience."""
    centre.failures = [(grpc.StatusCode.UNAVAILABLE, False)] * 1000
    async with asyncio.timeout(5):
        with pytest.raises(ImportFailed, match="UNAVAILABLE: as the test wants it") as caught:
            await import_facts(stub, some_facts(), file_digest="f", batch=50, patience=0.5)
    assert caught.value.code is grpc.StatusCode.UNAVAILABLE
    assert not centre.facts


async def test_a_refusal_ends_the_import_at_once(centre: Centre, stub: FactsServiceStub) -> None:
    """What will not get better is not tried again."""
    centre.failures = [(grpc.StatusCode.PERMISSION_DENIED, False)] * 1000
    with pytest.raises(ImportFailed, match="PERMISSION_DENIED"):
        await import_facts(stub, some_facts(), file_digest="f", batch=50)
    assert len(centre.requests) <= FACT_REQUESTS_AT_ONCE


async def test_rejected_facts_are_named(centre: Centre, stub: FactsServiceStub) -> None:
    """What the service leaves is told with employee, day and reason, in order; the rest is recorded."""
    centre.known = {f"e-{employee}" for employee in range(6) if employee != 3}
    facts = some_facts()
    result = await import_facts(stub, facts, file_digest="f", batch=25)
    left = [fact for fact in facts if fact.employee_id == "e-3"]
    assert [(one.employee_id, one.date) for one in result.rejected] == [(one.employee_id, one.date) for one in left]
    assert {(one.source, one.reason, one.message) for one in result.rejected} == {
        ("calls", "EMPLOYEE_NOT_FOUND", "who is that?")
    }
    assert result.recorded == len(facts) - len(left)


@given(st.integers(1, 80), st.lists(st.integers(0, 70), max_size=8))
def test_batches_hold_whole_months(size: int, days: list[int]) -> None:
    """Nothing is lost or reordered, no batch is too large, and a month is only cut if it is larger than a batch."""

    def month(fact: Fact) -> tuple[str, str]:
        return fact.employee_id, fact.date[:7]

    facts = [fact for fact in some_facts(len(days), 70) if day_of(fact) < days[int(fact.employee_id[2:])]]
    cut = list(batches(facts, size))
    assert [fact for chunk in cut for fact in chunk] == facts
    assert all(1 <= len(chunk) <= size for chunk in cut)
    months = Counter(map(month, facts))
    assert all(
        months[month(after[0])] > size for before, after in pairwise(cut) if month(before[-1]) == month(after[0])
    )


def day_of(fact: Fact) -> int:
    return (date.fromisoformat(fact.date) - FIRST_DAY).days


@pytest.mark.parametrize("size", [0, 10_001])
def test_a_batch_has_the_size_of_a_request(size: int) -> None:
    """Sizes that the contract does not take are refused."""
    with pytest.raises(ValueError, match="1 to 10000"):
        list(batches(some_facts(), size))


async def test_a_call_file_becomes_a_centre(centre: Centre, channel: grpc.aio.Channel, tmp_path: Path) -> None:
    """Presets, a team, its lead and the agents are there before the facts; all of it again changes nothing."""
    write_calls(tmp_path / "calls.tsv", start=date(2024, 3, 1))
    calls = read_calls(tmp_path / "calls.tsv", load_mapping(PRESETS / "brown-calls.toml"), centre="test")
    requests = [*staff_requests(calls), *preset_requests()]
    told: list[tuple[int, int]] = []
    for _ in range(2):
        result = await import_centre(channel, requests, progress=lambda *counts: told.append(counts))
        assert result.existing == ()
        assert result.log_position > 0
        assert len(centre.answers) == len(centre.resources) == len(requests)
    assert told == 2 * [(done + 1, len(requests)) for done in range(len(requests))]
    team = centre.resources["team t-test"]
    assert isinstance(team, directory_pb2.Team)
    hired = [one for one in centre.resources.values() if isinstance(one, directory_pb2.Employee)]
    assert {one.display_name for one in hired} == {*calls.agents.values(), "Lead of test"}
    # The day before the first call is 29 February.
    assert {(one.hire_date, one.team_id, one.status) for one in hired} == {
        ("2023-02-28", "t-test", directory_pb2.EMPLOYMENT_STATUS_CONFIRMED)
    }
    assert [one.position for one in hired].count("lead") == 1

    centre.known = {one.employee_id for one in hired}
    recorded = await import_facts(FactsServiceStub(channel), calls, file_digest=calls.digest)
    assert (recorded.recorded, recorded.rejected) == (len(calls), ())


async def test_what_exists_otherwise_is_left_and_named(
    centre: Centre, channel: grpc.aio.Channel, tmp_path: Path
) -> None:
    """A later call file finds its agents hired, on another day: they stay as they are."""
    mapping = load_mapping(PRESETS / "brown-calls.toml")
    for start in (date(2026, 3, 1), date(2026, 3, 20)):
        write_calls(tmp_path / "calls.tsv", start=start)
        calls = read_calls(tmp_path / "calls.tsv", mapping, centre="test")
        result = await import_centre(channel, staff_requests(calls))
    assert result.existing == tuple(sorted(f"employee {one}" for one in centre_employees(centre)))
    assert len(result.existing) == len(calls.agents) + 1


async def test_the_sample_centre_is_set_up(centre: Centre, channel: grpc.aio.Channel) -> None:
    """Everything of the sample finds what it rests on, in spite of failures on the way."""
    sample = SampleCentre(date(2026, 3, 10), months=2, teams=2, agents_per_team=10)
    requests: list[SetupRequest] = [*sample.setup(), *preset_requests()]
    centre.failures = [(grpc.StatusCode.UNAVAILABLE, index % 2 == 0) for index in range(40)]
    result = await import_centre(channel, requests)
    assert (result.sent, result.existing) == (len(requests), ())
    assert len(centre.resources) == len(requests)


def hires_into(team_id: str, sample: SampleCentre) -> list[HireEmployeeRequest]:
    hires = [request for request in sample.setup() if isinstance(request, HireEmployeeRequest)]
    return [hire for hire in hires if hire.employee.team_id == team_id]


async def test_what_is_not_known_yet_is_asked_again(centre: Centre, channel: grpc.aio.Channel) -> None:
    """A replica that has not heard of the new team yet is no reason to give up."""
    sample = SampleCentre(date(2026, 3, 10), teams=1, agents_per_team=1)
    hires = hires_into("t-sample-1", sample)
    centre.resources["team t-sample-1"] = directory_pb2.Team(team_id="t-sample-1")
    centre.failures = [(grpc.StatusCode.NOT_FOUND, False)] * 2
    result = await import_centre(channel, hires)
    assert len(centre.requests) == result.sent + 2


async def test_a_set_up_that_cannot_succeed_fails_with_the_request(
    centre: Centre, channel: grpc.aio.Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A refused request ends the set-up and is named."""
    monkeypatch.setattr(importing, "SETTLE_SECONDS", 0.2)
    sample = SampleCentre(date(2026, 3, 10), teams=1, agents_per_team=1)
    orphans = hires_into("t-sample-1", sample)
    with pytest.raises(ImportFailed, match=r"HireEmployeeRequest, employee e-.*there is no team t-sample-1"):
        await import_centre(channel, orphans)
    assert not centre.resources


def test_a_request_id_is_made_of_kind_and_content() -> None:
    """The same content has the same id, whatever id it had; other content has another one."""
    one = identified(directory_pb2.AppointTeamLeadRequest(request_id="old", team_id="t", lead_id="e"))
    same = identified(directory_pb2.AppointTeamLeadRequest(team_id="t", lead_id="e"))
    other = identified(directory_pb2.AppointTeamLeadRequest(team_id="t", lead_id="f"))
    assert one == same
    assert one.request_id != other.request_id


def centre_employees(centre: Centre) -> list[str]:
    return [one.employee_id for one in centre.resources.values() if isinstance(one, directory_pb2.Employee)]
