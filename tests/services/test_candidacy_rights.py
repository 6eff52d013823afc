"""Who may say and see what of a candidacy: every RPC of both services, asked by every kind of caller."""

from typing import Any

import pytest
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message_factory import GetMessageClass
from google.rpc.error_details_pb2 import ErrorInfo
from grpc import aio
from grpc_status import rpc_status

from stepladder.promotion.v1 import candidacy_pb2, peer_score_pb2
from tests.services.competing import Competing, answers, competing
from tests.services.world import World
from tests.tokens import as_person

METHODS: list[MethodDescriptor] = [
    *candidacy_pb2.DESCRIPTOR.services_by_name["CandidacyService"].methods[1:],
    *peer_score_pb2.DESCRIPTOR.services_by_name["PeerScoreService"].methods,
    candidacy_pb2.DESCRIPTOR.services_by_name["CandidacyService"].methods_by_name["Apply"],
]
"""The application comes last: whoever applies is a rival from then on."""
FOR_ANYBODY = {"Apply", "RaiseObjection", "ListCandidacies", "ListPeerScoringsAskedOfMe"}
"""For whoever is employed."""
FOR: dict[str, set[str]] = {
    "ReviewAsLead": {"lead"},
    "ReviewAsManager": {"manager"},
    "ReviewTwoLevels": set(),
    "ScoreInterview": {"interviewer"},
    "WithdrawCandidacy": {"candidate"},
    "GetCandidacy": {"hr", "lead", "manager", "interviewer", "candidate"},
    "GivePeerScore": set(),
    "AskPeers": {"hr", "manager"},
    "ClosePeers": {"hr", "manager"},
    "GetPeerScoring": {"hr", "manager"},
}
"""Who may; of the rest HR. Of one level nothing is for the executive; nobody is asked as a peer yet."""


def callers(people: Competing) -> dict[str, str]:
    return {
        "hr": people.hr[0],
        "lead": people.lead,
        "manager": people.manager,
        "interviewer": people.panel[0],
        "candidate": people.candidate,
        "colleague": people.agents[2],
        "rival": people.agents[1],
        "executive": people.chair,
        "nobody": "e-nobody",
        "": "anonymous",
    }


@pytest.fixture
async def people(world: World) -> Competing:
    people = await competing(world)
    await people.apply()
    await people.apply(people.agents[1])
    return people


def request_of(method: MethodDescriptor, people: Competing, key: str) -> Any:
    """A valid request; what it asks for need not be possible."""
    known: dict[str, Any] = {
        "candidacy_id": key,
        "objection_id": "o-1",
        "motivation": "x",
        "competition_id": people.id if method.name == "Apply" else "",
        "etag": "1",
        "reason": "x",
        "report": "x",
        "recommended": True,
        "approved": True,
        "upheld": False,
        "interview_date": "2026-03-09",
        "start_date": "2026-04-01",
        "score": "50",
    }
    request: Any = GetMessageClass(method.input_type)()
    for field in request.DESCRIPTOR.fields:
        if field.name in known:
            setattr(request, field.name, known[field.name])
    if method.name == "ScoreInterview":
        request.answers.extend(answers(15))
    if method.name == "AskPeers":
        request.peer_ids.extend(people.agents[-3:])
    return request


async def outcome(people: Competing, method: MethodDescriptor, person: str, key: str) -> tuple[str, str]:
    """The reason of a refusal with its words; empty for an answer."""
    service = people.world.peer_scores if "Peer" in method.name else people.world.candidacies
    metadata = as_person(person)
    try:
        await getattr(service, method.name)(request_of(method, people, key), metadata=metadata)
    except aio.AioRpcError as error:
        info = ErrorInfo()
        details: Any = rpc_status.from_call(error)  # type: ignore[arg-type] # a call that ended
        found = [one for one in details.details if one.Unpack(info)]
        return (info.reason if found else error.code().name), error.details() or ""
    return "", ""


async def test_for_whom_each_call_is(people: Competing) -> None:
    """Whoever it is not for hears the same words about this candidacy and about one that is not there."""
    for method in METHODS:
        for role, person in callers(people).items():
            told = {key: await outcome(people, method, person, key) for key in ("nobodys", people.key)}
            employed = role not in {"nobody", ""}
            may = employed if method.name in FOR_ANYBODY else role in FOR.get(method.name, {"hr"})
            assert (told[people.key][0] != "NEED_TO_KNOW") == may, (method.name, role, told)
            if not may and role != "hr":
                assert told[people.key] == told["nobodys"], (method.name, role)
