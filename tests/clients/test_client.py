"""The Python client against a real server: tokens, idempotency keys, repetitions and typed errors."""

import subprocess
import sys
import zipfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from grpc import aio

from libs.common import errors
from libs.common.server import serve
from stepladder.common.v1.operations_pb2 import RebuildFollowerRequest
from stepladder.common.v1.operations_pb2_grpc import OperationsServiceStub
from stepladder.performance.v1.facts_pb2 import RecordFactsResponse, StreamFactsRequest
from stepladder.performance.v1.facts_pb2_grpc import FactsServiceStub
from stepladder_client import (
    Aborted,
    Failed,
    FieldViolation,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    Unauthenticated,
    Unavailable,
    connect,
)
from tests.common.test_rpc import FACTS, LATE, OPERATIONS, SETTINGS, Facts, Operations, a_request
from tests.tokens import SYSTEM

CLIENT = Path(__file__).parents[2] / "clients" / "python"


@dataclass(frozen=True)
class World:
    facts: Facts
    operations: Operations
    channel: aio.Channel
    address: str


@pytest.fixture
async def world() -> AsyncIterator[World]:
    facts, operations = Facts(), Operations()
    async with (
        serve(SETTINGS, "performance", {FACTS: facts, OPERATIONS: operations}, clock=lambda: LATE) as serving,
        connect(serving.address, SYSTEM) as channel,
    ):
        yield World(facts, operations, channel, serving.address)


async def test_a_command_has_one_key_however_often_it_is_sent(world: World) -> None:
    """A new one for each command, unless the caller gives it."""
    away = errors.Unavailable("LOG_UNAVAILABLE", "not now")
    world.facts.outcomes = [away, away]
    stub = FactsServiceStub(world.channel)
    request = a_request()
    assert await stub.RecordFacts(request) == RecordFactsResponse(recorded=1)
    await stub.RecordFacts(request)
    await stub.RecordFacts(a_request("mine"))
    keys = [context.request_id for context in world.facts.contexts]
    assert len(keys) == 5
    assert len(set(keys[:3])) == 1
    assert keys[0]
    assert keys[3] not in {"", keys[0]}
    assert keys[4] == "mine"
    assert not request.request_id, "the caller's own message is left as it was"


async def test_large_requests_are_sent_again(world: World) -> None:
    """As large as they may be: facts come in bulk."""
    world.facts.outcomes = [errors.Unavailable("LOG_UNAVAILABLE", "not now")]
    request = a_request(dates=("2026-03-31",) * 45)
    for fact in request.facts:
        fact.readings[0].numerators.extend([10**15] * 9999)
    assert 3_000_000 < request.ByteSize() < 4 * 1024 * 1024
    assert (await FactsServiceStub(world.channel).RecordFacts(request)).recorded == len(request.facts)


async def test_without_retry_a_call_is_sent_once_and_as_it_is(world: World) -> None:
    """For one who repeats by themself."""
    world.facts.outcomes = [errors.Unavailable("LOG_UNAVAILABLE", "not now")]
    async with connect(world.address, SYSTEM, retry=False) as channel:
        with pytest.raises(Unavailable):
            await FactsServiceStub(channel).RecordFacts(a_request())
    assert [context.request_id for context in world.facts.contexts] == [""]


@pytest.mark.parametrize(
    ("refusal", "kind"),
    [
        (errors.NotFound("PLAN_NOT_FOUND", "there is no plan p-1"), NotFound),
        (errors.Conflict("ETAG_MISMATCH", "read it again"), Aborted),
        (errors.Forbidden("NEED_TO_KNOW", "not for you"), PermissionDenied),
        (errors.Unavailable("LOG_UNAVAILABLE", "not now"), Unavailable),
        (errors.Invalid("INVALID", "wrong", (errors.FieldViolation("facts[0].date", "is no day"),)), InvalidArgument),
    ],
)
async def test_errors_are_typed(world: World, refusal: errors.Refused, kind: type[Failed]) -> None:
    """With the reason, the sentence and the fields; and who catches gRPC's own error catches them, too."""
    world.facts.outcomes = [refusal] * 5
    with pytest.raises(kind) as caught:
        await FactsServiceStub(world.channel).RecordFacts(a_request())
    error = caught.value
    assert isinstance(error, aio.AioRpcError)
    assert (error.reason, error.message) == (refusal.reason, refusal.message)
    assert error.violations == tuple(FieldViolation(one.field, one.message) for one in refusal.violations)
    assert str(error) == f"{refusal.message} ({refusal.reason})"


async def test_streams_carry_the_token_and_typed_errors(world: World) -> None:
    """In both directions."""
    sent = await FactsServiceStub(world.channel).StreamFacts(iter([StreamFactsRequest(batch=a_request())] * 3))
    assert sent.batches == 3
    rebuild = OperationsServiceStub(world.channel).RebuildFollower(
        RebuildFollowerRequest(service="performance", follower="unknown")
    )
    steps = aiter(rebuild)
    assert (await anext(steps)).position == 1
    with pytest.raises(NotFound) as caught:
        await anext(steps)
    assert caught.value.reason == "FOLLOWER_NOT_FOUND"


async def test_a_token_is_asked_for_with_every_call(world: World) -> None:
    """So that an expired one is replaced."""
    given = iter(["wrong", SYSTEM])

    async def token() -> str:
        return next(given)

    async with connect(world.address, token) as channel:
        stub = FactsServiceStub(channel)
        with pytest.raises(Unauthenticated) as caught:
            await stub.RecordFacts(a_request())
        assert caught.value.reason == "TOKEN_INVALID"
        assert (await stub.RecordFacts(a_request())).recorded == 1


async def test_nothing_listens() -> None:
    """Where no service could say why, there is no reason."""
    async with connect("127.0.0.1:1") as channel:
        with pytest.raises(Unavailable) as caught:
            await FactsServiceStub(channel).RecordFacts(a_request())
    assert caught.value.reason == ""


def test_the_package_holds_the_contracts(tmp_path: Path) -> None:
    """What is built needs nothing of this repository: the generated code lies in the wheel, with its types."""
    build = "from hatchling.build import build_wheel; import sys; print(build_wheel(sys.argv[1]))"
    done = subprocess.run(
        [sys.executable, "-c", build, str(tmp_path)], cwd=CLIENT, capture_output=True, text=True, check=True, timeout=60
    )
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    code = {"stepladder_client/channel.py", "stepladder/coaching/v1/plan_pb2_grpc.py"}
    types = {"stepladder_client/py.typed", "stepladder/py.typed", "stepladder/coaching/v1/plan_pb2.pyi"}
    assert code | types <= names, done.stdout
    assert not any(name.startswith(("libs/", "services/", "tests/")) for name in names)
