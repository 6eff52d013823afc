"""Sends facts, and what a centre needs before it has facts, to the services over gRPC.

Every request carries an id made of its content, so whatever is sent again, after a kill or out of the same file,
changes nothing. Two matters of the channel: who is asking, and how soon it connects again after a break
(`grpc.max_reconnect_backoff_ms`; by default up to two minutes, longer than the patience here).
"""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import groupby, islice
from typing import Any, Protocol, TypeVar

from google.protobuf.message import Message
from grpc import StatusCode
from grpc.aio import AioRpcError, Channel

from libs.cli.calls import CallFacts, employee_id
from libs.cli.presets import load_kpis, load_policies, load_targets
from stepladder.performance.v1.directory_pb2 import (
    EMPLOYMENT_STATUS_CONFIRMED,
    AppointTeamLeadRequest,
    ChangeEmploymentStatusRequest,
    ChangePositionRequest,
    CreateTeamRequest,
    Employee,
    HireEmployeeRequest,
    Team,
    TransferEmployeeRequest,
)
from stepladder.performance.v1.directory_pb2_grpc import DirectoryServiceStub
from stepladder.performance.v1.facts_pb2 import Fact, RecordFactsRequest, RecordFactsResponse
from stepladder.performance.v1.facts_pb2_grpc import FactsServiceStub
from stepladder.performance.v1.kpi_pb2 import CreateKpiRequest, SetTargetRequest
from stepladder.performance.v1.kpi_pb2_grpc import KpiServiceStub
from stepladder.performance.v1.policy_pb2 import SetPolicyRequest
from stepladder.performance.v1.policy_pb2_grpc import PolicyServiceStub
from stepladder.performance.v1.scorecard_pb2 import CloseMonthRequest
from stepladder.performance.v1.scorecard_pb2_grpc import ScorecardServiceStub

SetupRequest = (
    CreateKpiRequest
    | CreateTeamRequest
    | SetTargetRequest
    | SetPolicyRequest
    | HireEmployeeRequest
    | AppointTeamLeadRequest
    | TransferEmployeeRequest
    | ChangePositionRequest
    | ChangeEmploymentStatusRequest
    | CloseMonthRequest
)

R = TypeVar("R", bound=SetupRequest)
T = TypeVar("T")

FACT_REQUESTS_AT_ONCE = 4
SETUP_REQUESTS_AT_ONCE = 16
CALL_SECONDS = 30.0
"""How long one request may take before it is sent again."""
PATIENCE_SECONDS = 60.0
"""How long a request is sent again while the service is not there. The longest change of a leader took 5.5 s."""
SETTLE_SECONDS = 5.0
"""How long something just created may be unknown to its users: they may ask a replica that is behind."""
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.1, 2.0


class ImportFailed(Exception):  # noqa: N818 - states what is the case
    """The service refused a request, or could not be reached for long. What was answered before stays recorded."""

    def __init__(self, code: StatusCode, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True, order=True)
class Rejected:
    """A fact that the service left, and why."""

    employee_id: str
    date: str
    source: str
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class ImportResult:
    """What came of the facts sent so far.

    Attributes:
        batches: requests answered.
        recorded, unchanged: facts, as the service counted them; an answer given again counts as it did the first time.
        rejected: by employee and date.
        log_position: reads with this `at_least` include everything recorded.
    """

    batches: int = 0
    recorded: int = 0
    unchanged: int = 0
    rejected: tuple[Rejected, ...] = ()
    log_position: int = 0

    @property
    def facts(self) -> int:
        """Facts answered for."""
        return self.recorded + self.unchanged + len(self.rejected)


@dataclass(frozen=True, slots=True)
class SetupResult:
    """What came of a set-up: requests sent, and what was there already with other content and was left as it is."""

    sent: int
    existing: tuple[str, ...]
    log_position: int


async def import_facts(
    stub: FactsServiceStub,
    facts: Iterable[Fact],
    *,
    file_digest: str,
    batch: int = 500,
    progress: Callable[[ImportResult], None] | None = None,
    patience: float = PATIENCE_SECONDS,
) -> ImportResult:
    """Records facts; started again with the same arguments, it records nothing twice.

    Args:
        stub: the facts service.
        facts: those of an employee's month follow each other; they are read as they are sent.
        file_digest: names the input: file, mapping and centre (`CallFacts.digest`), or a sample's settings.
        batch: facts in a request, 1 to 10000.
        progress: is given the result so far after every answer.
        patience: seconds for which a request is sent again while the service is unavailable.

    Raises ImportFailed.
    """
    so_far = ImportResult()
    free = asyncio.Semaphore(FACT_REQUESTS_AT_ONCE)

    async def send(index: int, request: RecordFactsRequest) -> None:
        nonlocal so_far
        try:
            answer = await send_patiently(stub.RecordFacts, request, f"batch {index} of the facts", patience)
        finally:
            free.release()
        left = (_rejected(request.facts[one.index], one) for one in answer.rejections)
        so_far = ImportResult(
            batches=so_far.batches + 1,
            recorded=so_far.recorded + answer.recorded,
            unchanged=so_far.unchanged + answer.unchanged,
            rejected=tuple(sorted((*so_far.rejected, *left))),
            log_position=max(so_far.log_position, answer.log_position),
        )
        if progress:
            progress(so_far)

    try:
        async with asyncio.TaskGroup() as tasks:
            for index, chunk in enumerate(batches(facts, batch)):
                await free.acquire()
                tasks.create_task(send(index, _record_request(chunk, file_digest, index)))
    except ExceptionGroup as group:
        raise group.exceptions[0] from None
    return so_far


def batches(facts: Iterable[Fact], size: int) -> Iterator[list[Fact]]:
    """Cuts facts into lists of at most `size`, never within an employee's month, unless that alone is larger.

    The service writes the facts of an employee and month together.
    """
    if not 1 <= size <= 10_000:
        raise ValueError("a request takes 1 to 10000 facts")
    chunk: list[Fact] = []
    for _, group in groupby(facts, lambda fact: (fact.employee_id, fact.date[:7])):
        while month := list(islice(group, size)):
            if len(chunk) + len(month) > size:
                yield chunk
                chunk = []
            chunk += month
    if chunk:
        yield chunk


def _record_request(facts: Sequence[Fact], file_digest: str, index: int) -> RecordFactsRequest:
    """The id holds the content too: with another `batch`, or a newer mapper, the same index is another request."""
    request = RecordFactsRequest(facts=facts)
    content = request.SerializeToString(deterministic=True)
    digest = hashlib.sha256(f"{file_digest}\n{index}\n".encode() + content)
    request.request_id = f"import-{digest.hexdigest()[:32]}"
    return request


def _rejected(fact: Fact, rejection: RecordFactsResponse.Rejection) -> Rejected:
    return Rejected(fact.employee_id, fact.date, fact.source, rejection.reason, rejection.message)


def identified(request: R) -> R:
    """The request with an id made of its content."""
    request.ClearField("request_id")
    content = request.SerializeToString(deterministic=True)
    digest = hashlib.sha256(request.DESCRIPTOR.full_name.encode() + b"\n" + content)
    request.request_id = f"setup-{digest.hexdigest()[:32]}"
    return request


def preset_requests() -> list[SetupRequest]:
    """What every new centre starts with: KPIs, targets and policies."""
    return [
        *(identified(CreateKpiRequest(kpi=kpi)) for kpi in load_kpis()),
        *(identified(SetTargetRequest(target=target)) for target in load_targets()),
        *(identified(SetPolicyRequest(policy=policy)) for policy in load_policies()),
    ]


def lead_of(centre: str) -> str:
    """Id of who leads the team of a call file's agents."""
    return employee_id(centre, _lead_name(centre))


def _lead_name(centre: str) -> str:
    return f"Lead of {centre}"


def staff_requests(calls: CallFacts) -> list[SetupRequest]:
    """The agents found in a call file as one team with a lead. A call file knows no more of them than their names.

    They count as hired a year and a day before the first call.
    """
    if calls.first_date is None:
        return []
    team_id = f"t-{calls.centre}"
    lead_name, lead_id = _lead_name(calls.centre), lead_of(calls.centre)
    eve = calls.first_date - timedelta(days=1)
    leap_day = (eve.month, eve.day) == (2, 29)
    hired = eve.replace(year=eve.year - 1, day=28 if leap_day else eve.day).isoformat()

    def hire(employee: str, name: str, position: str) -> SetupRequest:
        return identified(
            HireEmployeeRequest(
                employee=Employee(
                    employee_id=employee,
                    display_name=name,
                    hire_date=hired,
                    team_id=team_id,
                    job_family="customer-service",
                    position=position,
                    position_since=hired,
                    status=EMPLOYMENT_STATUS_CONFIRMED,
                )
            )
        )

    return [
        identified(CreateTeamRequest(team=Team(team_id=team_id, display_name=calls.centre))),
        hire(lead_id, lead_name, "lead"),
        *(hire(employee, name, "agent") for employee, name in calls.agents.items()),
        identified(AppointTeamLeadRequest(team_id=team_id, lead_id=lead_id, effective_date=hired)),
    ]


async def import_centre(
    channel: Channel,
    requests: Iterable[SetupRequest],
    *,
    progress: Callable[[int, int], None] | None = None,
    patience: float = PATIENCE_SECONDS,
) -> SetupResult:
    """Sends set-up requests: what others rest on first, the rest at once; those about one thing in the given order.

    Something that exists with other content is left as it is and named in the result: it may have been changed since.

    Args:
        channel: reaches every service.
        requests: in any order of kinds; their request ids are sent as they are.
        progress: is given the requests answered and the requests in all.
        patience: seconds for which a request is sent again while the service is unavailable.

    Raises ImportFailed.
    """
    routes = _routes(channel)
    stages: list[dict[str, list[SetupRequest]]] = [{} for _ in range(5)]
    total = 0
    for request in requests:
        route = routes[type(request)]
        stages[_stage(request, route)].setdefault(route.about(request), []).append(request)
        total += 1
    free = asyncio.Semaphore(SETUP_REQUESTS_AT_ONCE)
    existing: list[str] = []
    answered = position = 0

    async def send_all(about: str, own: Sequence[SetupRequest]) -> None:
        nonlocal answered, position
        for request in own:
            route = routes[type(request)]
            what = f"{type(request).__name__}, {about}"
            settling = SETTLE_SECONDS if route.stage else 0.0
            try:
                async with free:
                    answer = await send_patiently(route.method, request, what, patience, unknown_for=settling)
                position = max(position, answer.log_position)
            except ImportFailed as failure:
                if failure.code is not StatusCode.ALREADY_EXISTS:
                    raise
                existing.append(about)
            answered += 1
            if progress:
                progress(answered, total)

    try:
        for stage in stages:
            async with asyncio.TaskGroup() as tasks:
                for about, own in stage.items():
                    tasks.create_task(send_all(about, own))
    except ExceptionGroup as group:
        raise group.exceptions[0] from None
    return SetupResult(total, tuple(sorted(existing)), position)


class _Answer(Protocol):
    @property
    def log_position(self) -> int: ...


@dataclass(frozen=True, slots=True)
class _Route:
    """Where a kind of request goes, in which stage, and the thing that it is about."""

    stage: int
    about: Callable[[Any], str]
    method: Callable[..., Awaitable[_Answer]]


def _routes(channel: Channel) -> dict[type[SetupRequest], _Route]:
    directory = DirectoryServiceStub(channel)
    kpis = KpiServiceStub(channel)
    policies = PolicyServiceStub(channel)
    scorecards = ScorecardServiceStub(channel)
    return {
        CreateKpiRequest: _Route(0, lambda r: f"KPI {r.kpi.kpi_id}", kpis.CreateKpi),
        CreateTeamRequest: _Route(0, lambda r: f"team {r.team.team_id}", directory.CreateTeam),
        SetTargetRequest: _Route(2, lambda r: f"target {r.target.kpi_id} {r.target.team_id}".strip(), kpis.SetTarget),
        SetPolicyRequest: _Route(2, lambda r: f"policy {r.policy.policy_id}", policies.SetPolicy),
        HireEmployeeRequest: _Route(2, lambda r: f"employee {r.employee.employee_id}", directory.HireEmployee),
        AppointTeamLeadRequest: _Route(3, lambda r: f"team {r.team_id}", directory.AppointTeamLead),
        TransferEmployeeRequest: _Route(3, lambda r: f"employee {r.employee_id}", directory.TransferEmployee),
        ChangePositionRequest: _Route(3, lambda r: f"employee {r.employee_id}", directory.ChangePosition),
        ChangeEmploymentStatusRequest: _Route(
            3, lambda r: f"employee {r.employee_id}", directory.ChangeEmploymentStatus
        ),
        CloseMonthRequest: _Route(3, lambda _: "months", scorecards.CloseMonth),
    }


POLICY_STAGES = {"calendar": 1, "competition": 3, "ladder": 4}
"""Of policies that others name, or that name others."""


def _stage(request: SetupRequest, route: _Route) -> int:
    """What others rest on comes first."""
    match request:
        case CreateKpiRequest(kpi=kpi) if kpi.HasField("derived"):
            return 1
        case SetPolicyRequest(policy=policy):
            return POLICY_STAGES.get(policy.WhichOneof("content") or "", route.stage)
        case _:
            return route.stage


_PASSING = {StatusCode.UNAVAILABLE, StatusCode.ABORTED, StatusCode.DEADLINE_EXCEEDED, StatusCode.CANCELLED}
"""A server that stops cancels the calls that it is answering."""


async def send_patiently(
    method: Callable[..., Awaitable[T]],
    request: Message,
    what: str,
    patience: float,
    *,
    unknown_for: float = 0.0,
    seconds: float = CALL_SECONDS,
) -> T:
    """Sends a request until there is an answer or `patience` seconds are over; NOT_FOUND is none for `unknown_for`.

    Each time it waits `seconds` for the answer.

    Raises ImportFailed, which says `what` it was.
    """
    clock = asyncio.get_running_loop().time
    start, pause = clock(), FIRST_PAUSE_SECONDS
    while True:
        try:
            return await method(request, timeout=seconds)
        except AioRpcError as error:
            code = error.code()
            bound = patience if code in _PASSING else unknown_for if code is StatusCode.NOT_FOUND else 0.0
            if clock() - start + pause > bound:
                raise ImportFailed(code, f"{what}: {code.name}: {error.details()}") from error
        await asyncio.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
