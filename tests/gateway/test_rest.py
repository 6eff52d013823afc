"""REST through the front door: what arrives at the services, and what comes back."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest
from google.api.httpbody_pb2 import HttpBody
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

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
from stepladder.coaching.v1.plan_pb2 import ListPlansRequest, ListPlansResponse, Plan
from stepladder.common.v1.operations_pb2 import RebuildFollowerResponse
from stepladder.performance.v1.directory_pb2 import CreateTeamRequest, Employee, GetEmployeeRequest, Team
from stepladder.performance.v1.facts_pb2 import RecordFactsRequest, StreamFactsRequest, StreamFactsResponse
from stepladder.promotion.v1.candidacy_pb2 import ReviewAsManagerRequest
from tests.gateway.world import Answer, World, fact
from tests.tokens import as_system

REBUILD = "/v1/operations/coaching/followers/plans:rebuild"
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


async def test_path_and_query_make_the_request(world: World) -> None:
    """Fields come out of the path and the query, written in either way."""
    await world.http("GET", "/v1/employees/anna?as_of=2026-01-31&atLeast=7")
    expected = GetEmployeeRequest(employee_id="anna", as_of="2026-01-31", at_least=7)
    assert world.performance.heard["GetEmployee"].requests == [expected]
    await world.http("GET", "/v1/plans?state=STATE_CLOSED&pageSize=3")
    expected_list = ListPlansRequest(state=Plan.STATE_CLOSED, page_size=3)
    assert world.coaching.heard["ListPlans"].requests == [expected_list]


async def test_answer_is_json_with_every_field(world: World) -> None:
    """Names are in lowerCamelCase, enums are names, 64-bit numbers are strings, and nothing is left out."""
    world.performance.answers["GetEmployee"] = [Employee(employee_id="anna", log_position=2**60)]
    answer = await world.http("GET", "/v1/employees/anna")
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    assert answer.json == {
        "employeeId": "anna",
        "displayName": "",
        "hireDate": "",
        "teamId": "",
        "leadId": "",
        "jobFamily": "",
        "position": "",
        "stars": 0,
        "acting": False,
        "positionSince": "",
        "status": "EMPLOYMENT_STATUS_UNSPECIFIED",
        "etag": "",
        "logPosition": str(2**60),
    }


async def test_large_answer_arrives(world: World) -> None:
    """A page of long plans is larger than what Envoy buffers by itself."""
    world.coaching.answers["ListPlans"] = [ListPlansResponse(plans=[Plan(assessment="长" * 5000)] * 270)]
    answer = await world.http("GET", "/v1/plans")
    assert (answer.status, len(answer.json["plans"])) == (200, 270)
    assert len(answer.body) > 4_000_000


async def test_body_headers_and_trace_arrive(world: World) -> None:
    """The body is the request; who calls and the trace come as headers."""
    await world.http(
        "POST",
        "/v1/teams",
        {"requestId": "r-1", "team": {"team_id": "t1", "displayName": "一队"}},
        {"traceparent": TRACEPARENT, "content-type": "application/json"},
    )
    heard = world.performance.heard["CreateTeam"]
    assert heard.requests == [CreateTeamRequest(request_id="r-1", team=Team(team_id="t1", display_name="一队"))]
    assert (heard.context.actor, heard.context.traceparent) == ("user:li", TRACEPARENT)


async def test_patch_leaves_an_empty_mask_empty(world: World) -> None:
    """A mask in the query arrives; without one it is for the service to find out which fields were meant."""
    await world.http("PATCH", "/v1/teams/t1", {"displayName": "One"})
    (request,) = world.performance.heard["UpdateTeam"].requests
    assert request.team == Team(team_id="t1", display_name="One")
    assert request.update_mask == FieldMask()
    await world.http("PATCH", "/v1/teams/t1?updateMask=displayName&requestId=r-2", {"displayName": "One"})
    (request,) = world.performance.heard["UpdateTeam"].requests
    assert (request.update_mask, request.request_id) == (FieldMask(paths=["display_name"]), "r-2")


async def test_body_cannot_redirect_a_command(world: World) -> None:
    """A body may repeat what the path says, as a resource that was read and is sent back does; not overrule it."""
    for body in ({"teamId": "t1"}, {"team_id": "t1"}, {"teamId": "t2"}):
        assert (await world.http("PATCH", "/v1/teams/t1", {**body, "displayName": "One"})).status == 200
        (request,) = world.performance.heard.pop("UpdateTeam").requests
        assert request.team.team_id == "t1"
    answer = await world.http("PATCH", "/v1/teams/t1", {"team_id": "t2", "displayName": "One"})
    assert (answer.status, answer.reasons) == (400, ["MALFORMED_REQUEST"])
    assert not world.performance.heard


async def test_facts_can_be_streamed(world: World) -> None:
    """A JSON array is a stream of messages, longer in all than one request may be."""
    world.performance.answers["StreamFacts"] = [StreamFactsResponse(batches=70)]
    requests = [
        StreamFactsRequest(batch=RecordFactsRequest(request_id=f"r-{n}", facts=[fact(5000)])) for n in range(70)
    ]
    body = json.dumps([MessageToDict(request) for request in requests]).encode()
    assert len(body) > 4 * 1024 * 1024
    answer = await world.http("POST", "/v1/facts:stream", body, dict(as_system("facts")))
    assert (answer.status, answer.json["batches"]) == (200, "70")
    assert world.performance.heard["StreamFacts"].requests == requests


def events(answer: Answer) -> list[Any]:
    """Data of server-sent events, each a JSON object."""
    assert (answer.status, answer.headers["content-type"]) == (200, "text/event-stream")
    lines = [line for line in answer.body.decode().split("\n\n") if line]
    return [json.loads(line.removeprefix("data: ")) for line in lines]


@pytest.mark.parametrize("accept", ["*/*", "text/event-stream", "application/json"])
async def test_rebuild_streams_its_progress(world: World, accept: str) -> None:
    """A stream of answers is server-sent events, whatever else a caller would like."""
    world.coaching.answers["RebuildFollower"] = [
        RebuildFollowerResponse(position=5, end=9),
        RebuildFollowerResponse(position=9, end=9, done=True, changed_rows=2),
    ]
    headers = {"accept": accept, **dict(as_system("operator"))}
    assert events(await world.http("POST", REBUILD, {}, headers)) == [
        {"position": "5", "end": "9", "done": False, "changedRows": "0"},
        {"position": "9", "end": "9", "done": True, "changedRows": "2"},
    ]


async def test_an_event_comes_when_it_is_there(world: World) -> None:
    """The first event of a stream is read while the second has not happened yet."""
    read = asyncio.Event()

    async def waiting() -> AsyncIterator[Message]:
        yield RebuildFollowerResponse(position=5, end=9)
        await read.wait()
        yield RebuildFollowerResponse(position=9, end=9, done=True)

    world.coaching.answers["RebuildFollower"] = waiting
    reader, writer = await asyncio.open_connection("127.0.0.1", world.envoy.settings.public_port)
    try:
        ((name, token),) = as_system("operator")
        writer.write(f"POST {REBUILD} HTTP/1.1\r\nhost: x\r\n{name}: {token}\r\ncontent-length: 2\r\n\r\n{{}}".encode())
        async with asyncio.timeout(20):
            assert b'"done":false' in await reader.readuntil(b"\n\n")
            read.set()
            assert b'"done":true' in await reader.readuntil(b"\n\n")
    finally:
        writer.close()


@pytest.mark.parametrize(
    ("kind", "status", "code"),
    [
        (Invalid, 400, 3),
        (NotFound, 404, 5),
        (AlreadyExists, 409, 6),
        (NotAllowed, 400, 9),
        (Conflict, 409, 10),
        (Unavailable, 503, 14),
    ],
)
async def test_refusals_have_their_status(world: World, kind: type[Refused], status: int, code: int) -> None:
    """A refusal arrives with its sentence and its stable reason, under the HTTP status of its kind."""
    world.coaching.answers["ClosePlan"] = kind("THE_REASON", "it cannot be — 不行")
    body = {"outcome": "OUTCOME_IMPROVED", "reason": "better"}
    answer = await world.http("POST", "/v1/plans/p1:close", body)
    assert (answer.status, answer.headers["content-type"]) == (status, "application/json")
    assert answer.json == {
        "code": code,
        "message": "it cannot be — 不行",
        "details": [
            {
                "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                "reason": "THE_REASON",
                "domain": "stepladder",
                "metadata": {},
            }
        ],
    }


async def test_wrong_fields_are_named(world: World) -> None:
    """Violations of a contract's rules and of the domain's name their fields."""
    answer = await world.http("POST", "/v1/teams", {"team": {"teamId": "no spaces please"}})
    assert (answer.status, answer.reasons[0]) == (400, "INVALID_FIELDS")
    (bad,) = (detail for detail in answer.json["details"] if detail["@type"].endswith("BadRequest"))
    assert [violation["field"] for violation in bad["fieldViolations"]] == ["team.team_id", "team.display_name"]
    assert all(violation["description"] for violation in bad["fieldViolations"])
    world.coaching.answers["GetPlan"] = Invalid("OF_THE_DOMAIN", "no", (FieldViolation("plan_id", "is odd"),))
    answer = await world.http("GET", "/v1/plans/p1")
    assert "is odd" in answer.body.decode()


async def test_many_violations_arrive(world: World) -> None:
    """However much is wrong, the answer is whole."""
    answer = await world.http("POST", "/v1/facts:record", {"facts": [{}] * 10_000}, dict(as_system("facts")))
    assert (answer.status, answer.reasons[0]) == (400, "INVALID_FIELDS")
    assert answer.json["message"].startswith("facts[0].employee_id")


async def test_rebuild_that_breaks_off_is_not_done(world: World) -> None:
    """HTTP has no place for a refusal behind the first message: the events end without a `done`."""

    async def broken() -> AsyncIterator[Message]:
        yield RebuildFollowerResponse(position=5, end=9)
        raise NotAllowed("NOT_OWNER", "another instance has taken it over")

    world.coaching.answers["RebuildFollower"] = broken
    answer = await world.http("POST", REBUILD, {}, dict(as_system("operator")))
    assert [progress["done"] for progress in events(answer)] == [False]


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/nope"), ("DELETE", "/v1/teams"), ("POST", "/"), ("GET", "/v1/facts:stream"), ("GET", "/v1/teams/a/b")],
)
async def test_unknown_path_is_not_found(world: World, method: str, path: str) -> None:
    """What nobody answers is a 404 in the shape of every other error."""
    answer = await world.http(method, path)
    assert (answer.status, answer.headers["content-type"]) == (404, "application/json")
    assert (answer.json["code"], answer.reasons) == (5, ["UNKNOWN_PATH"])
    assert answer.json["message"] == f"nothing answers {method} {path}"


@pytest.mark.parametrize("path", ["/v1/eligibilities?ladderId=title", "/v1/operations/promotion/followers"])
async def test_service_that_is_away_is_unavailable(world: World, path: str) -> None:
    """While a service is away its callers get a 503 that says so, from whoever notices; others go on."""
    await world.promotion.serving.aclose()
    answer = await world.http("GET", path)
    assert (answer.status, answer.headers["content-type"]) == (503, "application/json")
    assert (answer.json["code"], answer.reasons) == (14, ["SERVICE_AWAY"])
    assert (await world.http("GET", "/v1/teams")).status == 200


@pytest.mark.parametrize("headers", [{}, {"transfer-encoding": "chunked"}])
async def test_too_large_body_is_refused(world: World, headers: Mapping[str, str]) -> None:
    """A body of 4 MiB is taken, a larger one is a 413 with the code of gRPC, and says how large it may be."""
    fitting = json.dumps({"team": {"teamId": "t1", "displayName": "One"}}).encode().ljust(4 * 1024 * 1024)
    assert (await world.http("POST", "/v1/teams", fitting)).status == 200
    larger = b"%x\r\n%b\r\n0\r\n\r\n" % (len(fitting) + 1, fitting + b" ") if headers else fitting + b" "
    answer = await world.http("POST", "/v1/teams", larger, headers)
    assert (answer.status, answer.json["code"], answer.reasons) == (413, 8, ["REQUEST_TOO_LARGE"])
    assert "4 MiB" in answer.json["message"]


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/v1/teams", b"{"),
        ("POST", "/v1/teams", b"[]"),
        ("POST", "/v1/teams", b'{"team": {"teamId": 7}}'),
        ("POST", "/v1/facts:stream", b"[{]"),
        ("GET", "/v1/teams?nobodyKnowsThis=1", None),
        ("GET", "/v1/teams?pageSize=many", None),
        ("GET", "/v1/plans?state=STATE_OF_THE_ART", None),
    ],
)
async def test_malformed_request_is_refused(world: World, method: str, path: str, body: bytes | None) -> None:
    """What does not fit the contract is a 400 that says where, and is no request to any service."""
    answer = await world.http(method, path, body)
    assert (answer.status, answer.reasons) == (400, ["MALFORMED_REQUEST"])
    assert (answer.json["code"], answer.headers["content-type"]) == (3, "application/json")
    assert answer.json["message"]
    assert not any(heard.requests for backend in world.services.values() for heard in backend.heard.values())


async def test_unknown_field_of_a_body_is_ignored(world: World) -> None:
    """Envoy passes over what the contract does not know in a body; its transcoder cannot be told otherwise."""
    body = {"team": {"teamId": "t1", "displayName": "One", "nobodyKnowsThis": 1}}
    assert (await world.http("POST", "/v1/teams", body)).status == 200


async def test_a_mistyped_decision_is_no_decision(world: World) -> None:
    """A no that is said arrives; a yes whose name is dropped from the body is missed, and does not count as a no."""
    path, report = "/v1/candidacies/c1:reviewAsManager", {"report": "so"}
    answer = await world.http("POST", path, {**report, "aproved": True})
    assert (answer.status, answer.reasons[0]) == (400, "INVALID_FIELDS")
    (bad,) = (detail for detail in answer.json["details"] if detail["@type"].endswith("BadRequest"))
    assert [violation["field"] for violation in bad["fieldViolations"]] == ["approved"]
    assert "ReviewAsManager" not in world.promotion.heard
    assert (await world.http("POST", path, {**report, "approved": False})).status == 200
    (request,) = world.promotion.heard["ReviewAsManager"].requests
    assert request == ReviewAsManagerRequest(candidacy_id="c1", approved=False, report="so")


@pytest.mark.parametrize("headers", [{"x-large": "x" * 62_000}, {f"x-{number}": "x" for number in range(200)}])
async def test_too_large_headers_are_refused(world: World, headers: Mapping[str, str]) -> None:
    """Too many or too long headers are refused in the shape of every other error."""
    answer = await world.http("GET", "/v1/teams", headers=headers)
    assert (answer.status, answer.json["code"], answer.reasons) == (431, 8, ["HEADERS_TOO_LARGE"])


async def test_nothing_is_kept_on_the_way(world: World) -> None:
    """No cache keeps what is about people unless its service says so; no browser guesses its type, or frames it."""
    headers = (await world.http("GET", "/v1/teams")).headers
    assert (headers["cache-control"], headers["x-content-type-options"]) == ("no-store", "nosniff")
    assert (headers["x-frame-options"], headers["referrer-policy"]) == ("DENY", "no-referrer")


async def logged(world: World, path: str) -> Any:
    """Calls a path; what is logged of it."""
    trace = f"00-{time.time_ns():032x}-b7ad6b7169203331-01"
    await world.http("GET", path, headers={"traceparent": trace})
    async with asyncio.timeout(10):
        while trace not in (log := world.envoy.log.read_text()):
            await asyncio.sleep(0.05)
    (line,) = (line for line in map(json.loads, log.splitlines()) if line.get("traceparent") == trace)
    return line


async def test_every_request_is_logged(world: World) -> None:
    """A line of JSON names method, path, RPC, outcome and trace, without the query."""
    line = await logged(world, "/v1/teams?pageToken=private")
    assert (line["event"], line["method"], line["path"], line["code"]) == ("request", "GET", "/v1/teams", 200)
    assert (line["rpc"], line["grpc_code"]) == ("/stepladder.performance.v1.DirectoryService/ListTeams", 0)
    assert "private" not in world.envoy.log.read_text()


async def test_a_refusal_is_logged_with_its_code(world: World) -> None:
    """The log has the gRPC code that a refusal had, over REST as well, whoever refused."""
    world.coaching.answers["GetPlan"] = NotAllowed("NOT_NOW", "later")
    line = await logged(world, "/v1/plans/p1")
    assert (line["code"], line["grpc_code"]) == (400, 9)
    line = await logged(world, "/v1/nowhere")
    assert (line["code"], line["grpc_code"]) == (404, 5)


async def test_a_file_comes_as_it_is(world: World) -> None:
    """A report of some megabytes is passed on raw, with its media type; the query says of which kind."""
    data = bytes(range(256)) * 12_000
    world.performance.answers["ExportReport"] = [HttpBody(content_type="application/pdf", data=data)]
    answer = await world.http("GET", "/v1/reports/month/2026-10-01:export?format=pdf&teamId=north")
    assert (answer.status, answer.headers["content-type"]) == (200, "application/pdf")
    assert answer.body == data
    (asked,) = world.performance.heard["ExportReport"].requests
    assert (asked.period, asked.date, asked.format, asked.team_id) == ("month", "2026-10-01", "pdf", "north")


@pytest.mark.parametrize("token", ["", "Bearer x.y.z", "Basic YTpi"])
async def test_who_calls_must_be_known(world: World, token: str) -> None:
    """401, with how to authenticate; the page is for everybody."""
    answer = await world.http("GET", "/v1/plans", headers={"authorization": token})
    assert (answer.status, answer.headers["www-authenticate"]) == (401, "Bearer")
    assert answer.reasons[0].startswith("TOKEN_")
    assert not world.coaching.heard
    assert (await world.http("GET", "/", headers={"authorization": ""})).status == 200
