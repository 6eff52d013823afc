"""gRPC and gRPC-Web through the front door, on the port that REST has."""

import asyncio
import json
import struct
import sys
from pathlib import Path
from typing import Any

import pytest
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo
from grpc import StatusCode, aio

from libs.common.errors import FieldViolation, Invalid, NotFound
from libs.common.rpc import TRACEPARENT_KEY, answered
from stepladder.coaching.v1.plan_pb2 import GetPlanRequest, Plan
from stepladder.coaching.v1.plan_pb2_grpc import PlanServiceStub
from stepladder.common.v1.operations_pb2 import RebuildFollowerRequest, RebuildFollowerResponse
from stepladder.common.v1.operations_pb2_grpc import OperationsServiceStub
from stepladder.performance.v1.directory_pb2 import ListEmployeesRequest, ListEmployeesResponse
from stepladder.performance.v1.directory_pb2_grpc import DirectoryServiceStub
from stepladder.performance.v1.facts_pb2 import RecordFactsRequest, StreamFactsRequest, StreamFactsResponse
from stepladder.performance.v1.facts_pb2_grpc import FactsServiceStub
from stepladder.promotion.v1.eligibility_pb2 import ListEligibilitiesRequest
from stepladder.promotion.v1.eligibility_pb2_grpc import EligibilityServiceStub
from tests.gateway.test_contracts import NAMES
from tests.gateway.world import World, fact
from tests.tokens import ISSUER, as_person, as_system

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


async def test_call_passes_with_its_metadata(world: World) -> None:
    """A call arrives as it was sent, with who calls and the trace."""
    world.coaching.answers["GetPlan"] = [Plan(plan_id="p1")]
    metadata = (*as_person("li"), (TRACEPARENT_KEY, TRACEPARENT))
    assert await PlanServiceStub(world.channel).GetPlan(GetPlanRequest(plan_id="p1"), metadata=metadata) == Plan(
        plan_id="p1"
    )
    heard = world.coaching.heard["GetPlan"]
    assert heard.requests == [GetPlanRequest(plan_id="p1")]
    assert (heard.context.actor, heard.context.traceparent) == ("user:li", TRACEPARENT)


async def test_streams_pass(world: World) -> None:
    """Streams pass in both directions."""
    world.performance.answers["StreamFacts"] = [StreamFactsResponse(batches=3)]
    requests = [StreamFactsRequest(batch=RecordFactsRequest(facts=[fact()])) for _ in range(3)]
    assert (await FactsServiceStub(world.channel).StreamFacts(iter(requests), metadata=as_system("facts"))).batches == 3
    assert world.performance.heard["StreamFacts"].requests == requests
    world.coaching.answers["RebuildFollower"] = [RebuildFollowerResponse(position=number) for number in (1, 2)]
    rebuild = OperationsServiceStub(world.channel).RebuildFollower(
        RebuildFollowerRequest(service="coaching", follower="plans"), metadata=as_system("operator")
    )
    assert [progress.position async for progress in rebuild] == [1, 2]


async def test_refusal_passes_with_its_details(world: World) -> None:
    """A refusal has its code, reason and fields on the other side of the front door, too."""
    world.coaching.answers["GetPlan"] = Invalid("ODD", "it is odd — 不行", (FieldViolation("plan_id", "is odd"),))
    with pytest.raises(aio.AioRpcError) as caught:
        await PlanServiceStub(world.channel).GetPlan(GetPlanRequest(plan_id="p1"))
    assert (caught.value.code(), caught.value.details()) == (StatusCode.INVALID_ARGUMENT, "it is odd — 不行")
    status = answered(caught.value)
    assert status is not None
    info, bad = ErrorInfo(), BadRequest()
    assert status.details[0].Unpack(info)
    assert status.details[1].Unpack(bad)
    assert info.reason == "ODD"
    assert bad.field_violations[0].field == "plan_id"


def reason(error: aio.AioRpcError) -> str:
    """The stable reason in an error's details."""
    status, info = answered(error), ErrorInfo()
    assert status is not None
    assert status.details[0].Unpack(info)
    return str(info.reason)


async def test_unknown_method_is_unimplemented(world: World) -> None:
    """What nobody answers is UNIMPLEMENTED, whether or not there is such a service."""
    for path in ("/stepladder.coaching.v1.PlanService/FlyPlan", "/somebody.elses.v1.Service/Call"):
        call: Any = world.channel.unary_unary(path, bytes, bytes)
        with pytest.raises(aio.AioRpcError) as caught:
            await call(b"")
        assert caught.value.code() == StatusCode.UNIMPLEMENTED
    assert reason(caught.value) == "UNKNOWN_METHOD"


async def test_service_that_is_away_is_unavailable(world: World) -> None:
    """Envoy's own refusals are gRPC, not JSON; nor can a caller make them so."""
    await world.promotion.serving.aclose()
    with pytest.raises(aio.AioRpcError) as caught:
        await EligibilityServiceStub(world.channel).ListEligibilities(
            ListEligibilitiesRequest(), metadata=(("x-envoy-original-path", "/"),)
        )
    assert caught.value.code() == StatusCode.UNAVAILABLE
    assert "{" not in (caught.value.details() or "")
    assert reason(caught.value) == "SERVICE_AWAY"


async def test_too_large_message_is_refused(world: World) -> None:
    """A message of 4 MiB arrives, a larger one is refused with the same reason as over REST."""
    plans, size = PlanServiceStub(world.channel), 4 * 1024 * 1024
    fitting = GetPlanRequest(plan_id="p" * (size - 5))
    assert fitting.ByteSize() == size
    with pytest.raises(aio.AioRpcError) as caught:
        await plans.GetPlan(fitting)
    assert (caught.value.code(), reason(caught.value)) == (StatusCode.INVALID_ARGUMENT, "INVALID_FIELDS")
    with pytest.raises(aio.AioRpcError) as caught:
        await plans.GetPlan(GetPlanRequest(plan_id="p" * (size - 4)))
    assert (caught.value.code(), reason(caught.value)) == (StatusCode.RESOURCE_EXHAUSTED, "REQUEST_TOO_LARGE")


GRPC_WEB = {"content-type": "application/grpc-web+proto", "x-grpc-web": "1"}


def frames(body: bytes) -> list[tuple[int, bytes]]:
    """Flag and content of each frame; the trailers' flag is 128."""
    found = []
    while body:
        flag, size = struct.unpack(">BI", body[:5])
        found.append((flag, body[5 : 5 + size]))
        body = body[5 + size :]
    return found


async def test_grpc_web_passes(world: World) -> None:
    """A browser's call over HTTP/1.1 gets its message and its trailers in the body."""
    world.coaching.answers["GetPlan"] = [Plan(plan_id="p1")]
    request = GetPlanRequest(plan_id="p1").SerializeToString()
    body = struct.pack(">BI", 0, len(request)) + request
    answer = await world.http("POST", "/stepladder.coaching.v1.PlanService/GetPlan", body, GRPC_WEB)
    assert (answer.status, answer.headers["content-type"]) == (200, "application/grpc-web+proto")
    (message, content), (trailer, trailers) = frames(answer.body)
    assert (message, Plan.FromString(content)) == (0, Plan(plan_id="p1"))
    assert (trailer, b"grpc-status:0" in trailers) == (128, True)


async def test_grpc_web_is_told_of_refusals(world: World) -> None:
    """A refusal without a message comes in the headers."""
    world.coaching.answers["GetPlan"] = NotFound("PLAN_NOT_FOUND", "there is none")
    body = struct.pack(">BI", 0, 0)
    answer = await world.http("POST", "/stepladder.coaching.v1.PlanService/ListPlans", body, GRPC_WEB)
    assert b"grpc-status:0" in answer.body
    request = GetPlanRequest(plan_id="p1").SerializeToString()
    body = struct.pack(">BI", 0, len(request)) + request
    answer = await world.http("POST", "/stepladder.coaching.v1.PlanService/GetPlan", body, GRPC_WEB)
    assert (answer.headers["grpc-status"], answer.headers["grpc-message"]) == ("5", "there is none")


async def buf(folder: Path, *arguments: str) -> str:
    """What `buf curl` prints; it finds the contracts by reflection."""
    environment = {"HOME": str(folder), "PATH": "/usr/bin:/bin"}
    process = await asyncio.create_subprocess_exec(
        Path(sys.executable).parent / "buf",
        *("curl", "--protocol", "grpc", "-H", f"authorization: Bearer {ISSUER.person('li')}", *arguments),
        env=environment,
        stdout=-1,
    )
    printed, _ = await process.communicate()
    assert process.returncode == 0
    return printed.decode()


async def test_reflection_shows_every_service(world: World, tmp_path: Path) -> None:
    """A real client that knows nothing but the port finds every service and can call it."""
    listed = await buf(tmp_path, "--list-services", world.envoy.url)
    assert set(listed.split()) == NAMES | {"grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection"}
    world.performance.answers["ListEmployees"] = [ListEmployeesResponse(next_page_token="more")]
    url = f"{world.envoy.url}/stepladder.performance.v1.DirectoryService/ListEmployees"
    assert json.loads(await buf(tmp_path, "-d", '{"page_size": 5}', url)) == {"nextPageToken": "more"}
    assert world.performance.heard["ListEmployees"].requests == [ListEmployeesRequest(page_size=5)]


async def test_every_service_can_be_reached(world: World) -> None:
    """Calls go to the service whose they are."""
    await DirectoryServiceStub(world.channel).ListEmployees(ListEmployeesRequest())
    await EligibilityServiceStub(world.channel).ListEligibilities(ListEligibilitiesRequest(ladder_id="titles"))
    assert list(world.performance.heard) == ["ListEmployees"]
    assert list(world.promotion.heard) == ["ListEligibilities"]
    assert not world.coaching.heard
