"""Whom Envoy lets in, how much of it, and from which web pages."""

import asyncio
import hmac
import json
import time
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from google.rpc.error_details_pb2 import RetryInfo
from grpc import StatusCode, aio

from libs.cli.envoy import Envoy
from libs.cli.issuer import Issuer
from libs.cli.nats_server import NatsServer
from libs.common.auth import bearer
from libs.common.rpc import answered
from libs.common.settings import Settings
from stepladder.gateway.v1.event_stream_pb2 import WatchEventsRequest, WatchEventsResponse
from stepladder.gateway.v1.event_stream_pb2_grpc import EventServiceStub
from stepladder.performance.v1.directory_pb2 import ListTeamsRequest
from stepladder.performance.v1.directory_pb2_grpc import DirectoryServiceStub
from stepladder_client import connect
from tests.gateway.scim import fetch
from tests.gateway.world import World, running_envoy, running_world
from tests.tokens import ISSUER, as_person, as_system

STRANGER = Issuer(ec.generate_private_key(ec.SECP256R1()), Settings())
NO_TOKEN = {"authorization": ""}


def changed(**claims: object) -> str:
    """A token of the issuer with other claims."""
    own = jwt.decode(ISSUER.person("li"), options={"verify_signature": False})
    return ISSUER._signed({**own, **claims}, 600)


def by_the_public_key() -> str:
    """A token signed with the issuer's public key, taken for a shared secret."""
    public = ISSUER._key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    _, claims, _ = ISSUER.person("li").split(".")
    head = urlsafe_b64encode(json.dumps({"alg": "HS256", "kid": ISSUER._id}).encode()).decode().rstrip("=")
    mac = hmac.digest(public, f"{head}.{claims}".encode(), "sha256")
    return f"{head}.{claims}.{urlsafe_b64encode(mac).decode().rstrip('=')}"


@pytest.mark.parametrize(
    ("token", "reason"),
    [
        (ISSUER.person("li", seconds=-3600), "TOKEN_EXPIRED"),
        (changed(aud="somebody-else"), "TOKEN_AUDIENCE"),
        (changed(iss="somebody-else"), "TOKEN_ISSUER"),
        (STRANGER.person("li"), "TOKEN_INVALID"),
        (jwt.encode({"sub": "li", "iss": "stepladder-embedded"}, "", algorithm="none"), "TOKEN_INVALID"),
        (by_the_public_key(), "TOKEN_INVALID"),
        ("nonsense", "TOKEN_INVALID"),
    ],
    ids=[
        "expired",
        "of another audience",
        "of another issuer",
        "of another key",
        "unsigned",
        "signed with the public key",
        "no token",
    ],
)
async def test_a_bad_token_does_not_get_in(world: World, token: str, reason: str) -> None:
    """By REST, SSE, SCIM and gRPC alike, for what everyone may call as well, with the reasons that services have.

    Nor past Envoy.
    """
    settings, refused = world.envoy.settings, (StatusCode.UNAUTHENTICATED, True)
    for path in ("/v1/teams", "/docs", "/v1/events:stream"):
        answer = await world.http("GET", path, headers=dict(bearer(token)))
        assert (answer.status, answer.json["code"], answer.reasons) == (401, 16, [reason]), path
    for port in (settings.public_port, int(settings.gateway_http_address.rpartition(":")[2])):
        refusal = await asyncio.to_thread(fetch, port, "GET", "/scim/v2/Users", None, dict(bearer(token)))
        assert (refusal.status, refusal.json["detail"].endswith(f"({reason})")) == (401, True)
    async with connect(world.envoy.url.removeprefix("http://"), retry=False) as channel:
        with pytest.raises(aio.AioRpcError) as caught:
            await DirectoryServiceStub(channel).ListTeams(ListTeamsRequest(), metadata=bearer(token))
    assert (caught.value.code(), reason in str(answered(caught.value))) == refused
    async with connect(settings.gateway_address, retry=False) as channel:
        with pytest.raises(aio.AioRpcError) as caught:
            await anext(aiter(EventServiceStub(channel).WatchEvents(WatchEventsRequest(), metadata=bearer(token))))
    assert (caught.value.code(), reason in str(answered(caught.value))) == refused
    assert not world.performance.heard


async def test_a_good_token_gets_in(world: World) -> None:
    """By each of these ways: what refuses the bad ones is the token."""
    reader, provider = dict(as_system("events")), dict(as_system("directory"))
    settings = world.envoy.settings
    assert (await world.http("GET", "/v1/events", headers=reader)).status == 200
    for port in (settings.public_port, int(settings.gateway_http_address.rpartition(":")[2])):
        assert (await asyncio.to_thread(fetch, port, "GET", "/scim/v2/Users", None, provider)).status == 200
    for address in (world.envoy.url.removeprefix("http://"), settings.gateway_address):
        async with connect(address, retry=False) as channel:
            watching = EventServiceStub(channel).WatchEvents(WatchEventsRequest(), metadata=as_system("events"))
            assert isinstance(await anext(aiter(watching)), WatchEventsResponse)


async def test_no_token_is_for_the_service_to_judge(world: World) -> None:
    """Whether one is needed is in the rules of access only; a query's is none."""
    assert (await world.http("GET", "/docs", headers=NO_TOKEN)).status == 200
    answer = await world.http("GET", "/v1/teams", headers=NO_TOKEN)
    assert (answer.status, answer.reasons) == (401, ["TOKEN_MISSING"])
    answer = await world.http("GET", f"/v1/teams?access_token={ISSUER.person('li')}", headers=NO_TOKEN)
    assert answer.status in {400, 401}


async def test_keys_can_lie_at_an_address(tmp_path: Path, log_server: NatsServer) -> None:
    """The issuer's keys are fetched from where the settings say."""

    class Keys(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(ISSUER.keys.encode())

        def log_message(self, *_: object) -> None:
            pass

    issuer = HTTPServer(("127.0.0.1", 0), Keys)
    thread = Thread(target=issuer.serve_forever)
    thread.start()
    try:
        with running_envoy(tmp_path, log_server, token_keys=f"http://127.0.0.1:{issuer.server_port}/keys") as envoy:
            async with running_world(envoy) as world:
                assert (await world.http("GET", "/v1/teams")).status == 200
                forged = dict(bearer(STRANGER.person("li")))
                assert (await world.http("GET", "/v1/teams", headers=forged)).reasons == ["TOKEN_INVALID"]
    finally:
        issuer.shutdown()
        thread.join()
        issuer.server_close()


@pytest.fixture(scope="module")
def narrow_envoy(tmp_path_factory: pytest.TempPathFactory, log_server: NatsServer) -> Iterator[Envoy]:
    """Lets each caller make ten calls at once, and pages of one origin."""
    folder = tmp_path_factory.mktemp("narrow")
    with running_envoy(folder, log_server, calls_per_second=1, allowed_origins="https://hr.example") as running:
        yield running


@pytest.fixture
async def narrow(narrow_envoy: Envoy) -> AsyncIterator[World]:
    async with running_world(narrow_envoy) as running:
        yield running


async def test_too_many_calls_are_refused(narrow: World) -> None:
    """A caller who calls too often is told when to go on, over REST and gRPC; other callers are not slowed."""
    unique = f"e{time.time_ns()}"
    headers = dict(as_person(unique))
    while (answer := await narrow.http("GET", "/v1/teams", headers=headers)).status == 200:
        pass
    assert (answer.status, answer.json["code"], answer.reasons) == (429, 8, ["RATE_LIMITED"])
    assert answer.headers["retry-after"] == "1"
    (retry,) = (detail for detail in answer.json["details"] if detail["@type"].endswith("RetryInfo"))
    assert retry["retryDelay"] == "1s"

    async def call_on() -> None:
        async with connect(narrow.envoy.url.removeprefix("http://"), retry=False) as channel:
            for _ in range(100):
                await DirectoryServiceStub(channel).ListTeams(ListTeamsRequest(), metadata=as_person(unique))

    with pytest.raises(aio.AioRpcError) as caught:
        await call_on()
    status, retry_info = answered(caught.value), RetryInfo()
    assert caught.value.code() == StatusCode.RESOURCE_EXHAUSTED
    assert status is not None
    assert status.details[1].Unpack(retry_info)
    assert (await narrow.http("GET", "/v1/teams", headers=dict(as_person(f"{unique}-2")))).status == 200


@pytest.mark.parametrize("forged", [{}, {"x-stepladder-subject": "somebody"}, {"authorization": "Basic bGk6"}])
async def test_callers_without_a_token_are_told_apart_by_their_address(narrow: World, forged: dict[str, str]) -> None:
    """Whatever else they say of themselves."""
    for number in range(100):
        named = {name: f"{value}{number}" for name, value in forged.items()}
        if (answer := await narrow.http("GET", "/docs", headers={**NO_TOKEN, **named})).status == 429:
            break
    assert answer.reasons == ["RATE_LIMITED"]
    assert (await narrow.http("GET", "/v1/teams", headers=dict(as_system()))).status == 200


PREFLIGHT = {"access-control-request-method": "POST", "access-control-request-headers": "authorization"}


async def test_pages_of_allowed_origins_may_call(narrow: World) -> None:
    """A browser is told that it may send a token and read answers and refusals, over REST and gRPC-Web."""
    origin = {"origin": "https://hr.example"}
    own = dict(as_person(f"e{time.time_ns()}"))
    for path in ("/v1/teams", "/stepladder.performance.v1.DirectoryService/ListTeams"):
        preflight = await narrow.http("OPTIONS", path, headers={**origin, **PREFLIGHT, **NO_TOKEN})
        assert preflight.status == 200
        assert preflight.headers["access-control-allow-origin"] == "https://hr.example"
        assert "authorization" in preflight.headers["access-control-allow-headers"]
    for path, status in (("/v1/teams", 200), ("/v1/teams?nobodyKnowsThis=1", 400), ("/v1/nowhere", 404)):
        answer = await narrow.http("GET", path, headers={**origin, **own})
        assert (answer.status, answer.headers["access-control-allow-origin"]) == (status, "https://hr.example")
        assert "grpc-status" in answer.headers["access-control-expose-headers"]


async def test_pages_of_other_origins_may_not(narrow: World, world: World) -> None:
    """A browser is told nothing that would let a script read an answer; by default that is so for every origin."""
    for system, origin in ((narrow, "https://evil.example"), (world, "https://hr.example")):
        headers = {"origin": origin, **dict(as_person(f"e{time.time_ns()}"))}
        for method, more in (("OPTIONS", PREFLIGHT), ("GET", {})):
            answer = await system.http(method, "/v1/teams", headers={**headers, **more})
            assert "access-control-allow-origin" not in answer.headers
