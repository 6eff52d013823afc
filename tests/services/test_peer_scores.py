"""Peers' scores over gRPC: what each gave is in no answer, error, position or log line, whoever asks for whatever."""

import asyncio
import importlib
import json
import pkgutil
from collections.abc import Collection, Iterator
from types import ModuleType
from typing import Any

import pytest
import structlog
from google.api.httpbody_pb2 import HttpBody
from google.protobuf import json_format
from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from grpc import StatusCode, aio

import stepladder.coaching.v1
import stepladder.performance.v1
import stepladder.promotion.v1
from libs.common.streams import LOG_RESTRICTED
from services.promotion.peer_scores import PEER_SCORES
from stepladder.promotion.v1 import peer_score_pb2 as pb
from stepladder.promotion.v1.candidacy_pb2 import ReviewTwoLevelsRequest
from tests.refusals import refused
from tests.services.competing import Competing, competing
from tests.services.test_candidacies import another
from tests.services.test_check_ins import by
from tests.services.world import World, caught_up

NOT_NOW = StatusCode.FAILED_PRECONDITION
NEED_TO_KNOW = (StatusCode.PERMISSION_DENIED, "NEED_TO_KNOW")
CONTRACTS = (stepladder.performance.v1, stepladder.coaching.v1, stepladder.promotion.v1)
SCORES = ("81.37", "62.59", "93.11")
"""Nothing else has these digits."""
MEAN = "79.023333"


@pytest.fixture
async def people(world: World) -> Competing:
    """A candidacy that the manager has reviewed."""
    people = await competing(world)
    await people.apply()
    await people.reviewed()
    return people


async def peers(people: Competing, request: Message, person: str) -> Any:
    return await people.say(request, person, "peer_scores")


def give(people: Competing, score: str) -> pb.GivePeerScoreRequest:
    return pb.GivePeerScoreRequest(candidacy_id=people.key, score=score)


async def test_how_many_and_their_mean(people: Competing) -> None:
    """Asked, given and given again, closed for ever; the mean comes to the candidacy by itself."""
    asked = people.agents[-3:]
    ask = pb.AskPeersRequest(candidacy_id=people.key, peer_ids=asked)
    assert (await peers(people, ask, people.manager)).asked == 3
    await caught_up(people.world, "promotion")
    mine = await peers(people, pb.ListPeerScoringsAskedOfMeRequest(), asked[0])
    assert [(one.candidacy_id, one.employee_id) for one in mine.asked] == [(people.key, people.candidate)]
    for peer, score in zip(asked, ("10", "80", "70"), strict=True):
        assert await peers(people, give(people, score), peer) == pb.GivePeerScoreResponse()
    await peers(people, give(people, "90"), asked[0])
    seen = await peers(people, pb.GetPeerScoringRequest(candidacy_id=people.key), people.hr[0])
    assert (seen.asked, seen.gave, seen.minimum, seen.closed) == (3, 3, 3, False)
    await peers(people, pb.ClosePeersRequest(candidacy_id=people.key), people.hr[0])
    assert (await people.seen()).peers_mean.value == "80"
    await caught_up(people.world, "promotion")
    assert (await people.seen()).peers_mean.value == "80"
    assert not (await peers(people, pb.ListPeerScoringsAskedOfMeRequest(), asked[0])).asked


async def test_what_was_given_cannot_be_tried_out(people: Competing) -> None:
    """The same again and anything else are answered alike, and nothing in the log is made of the score in clear."""
    asked = people.agents[-3:]
    await peers(people, pb.AskPeersRequest(candidacy_id=people.key, peer_ids=asked), people.manager)
    await peers(people, give(people, "81.37"), asked[0])
    subject = PEER_SCORES.subject(people.key)
    (*_, given) = (await people.world.services["promotion"].commands.histories([subject]))[subject]
    assert given.envelope.command_digest == b""
    await peers(people, pb.ClosePeersRequest(candidacy_id=people.key), people.manager)
    for score in ("81.37", "81.38"):
        await refused(peers(people, give(people, score), asked[0]), NOT_NOW, "PEERS_CLOSED")


async def test_too_few_have_no_mean(people: Competing) -> None:
    await people.peers("80", "70")
    seen = await people.seen()
    assert (seen.peers_closed, seen.peers, seen.HasField("peers_mean")) == (True, 2, False)


async def test_who_can_be_asked(people: Competing) -> None:
    """Members of the team, but neither the lead nor whoever competes."""
    await people.apply(people.agents[1])
    others = [people.candidate, people.agents[1], people.lead, people.hr[1], *people.agents[2:5]]
    ask = pb.AskPeersRequest(candidacy_id=people.key, peer_ids=others)
    refusal = await refused(peers(people, ask, people.hr[0]), StatusCode.INVALID_ARGUMENT, "PEERS_INVALID")
    assert refusal.fields == [f"peer_ids[{place}]" for place in range(4)]
    for person in (people.candidate, people.lead, people.panel[0], people.chair, people.agents[5]):
        await refused(peers(people, ask, person), *NEED_TO_KNOW)


async def test_who_competes_by_now_gives_no_score(people: Competing) -> None:
    """Though they were asked; what they gave before does not count: rivals judge nobody."""
    await people.peers("80", "70", "60", "0", asked=4, close=False)
    rival = people.agents[-1]
    await people.apply(rival)
    await refused(peers(people, give(people, "0"), rival), *NEED_TO_KNOW)
    await peers(people, give(people, "90"), people.agents[-2])
    await peers(people, pb.ClosePeersRequest(candidacy_id=people.key), people.hr[0])
    seen = await people.seen()
    assert (seen.peers, seen.peers_mean.value) == (3, "80")


async def test_who_reviewed_the_candidate_gives_no_score(people: Competing) -> None:
    """Though they were asked: nobody judges somebody in two parts, whichever comes first."""
    people = await another(people, "head")
    chair = await people.world.employee(people.team, job_family="executive")
    people.agents.append(chair)
    await people.apply()
    await people.reviewed()
    await people.peers(close=False)
    await people.act(ReviewTwoLevelsRequest, chair, approved=True, reason="did the work of two")
    await refused(peers(people, give(people, "80"), chair), NOT_NOW, "SEPARATION_OF_DUTIES")


@pytest.mark.parametrize("score", ["101", "-1", "80.123", "1e1", "", "８０"])
async def test_what_is_no_score(people: Competing, score: str) -> None:
    await people.peers(close=False)
    with pytest.raises(aio.AioRpcError) as wrong:
        await peers(people, give(people, score), people.agents[-1])
    assert wrong.value.code() == StatusCode.INVALID_ARGUMENT


def services_of(contract: ModuleType) -> Iterator[ServiceDescriptor]:
    for module in pkgutil.iter_modules(contract.__path__):
        if module.name.endswith("_pb2"):
            yield from importlib.import_module(
                f"{contract.__name__}.{module.name}"
            ).DESCRIPTOR.services_by_name.values()


CHANGING = {"GivePeerScore", "ClosePeers", "WithdrawCandidacy"}
"""What would change what is looked for, if whoever may said it."""


async def answers(
    people: Competing, person: str, *, without: Collection[str] = (), contracts: Collection[ModuleType] = CONTRACTS
) -> list[str]:
    """What every RPC of every service answers somebody who names the candidacy, the people and the competition."""
    asked = []
    known = {
        "candidacy_id": people.key,
        "competition_id": people.id,
        "employee_id": people.candidate,
        "team_id": people.team,
        "post_id": people.post,
        "objection_id": "o-1",
        "score": "50",
        "peer_ids": people.agents[-3:],
        "reason": "x",
        "etag": "1",
        "subject": PEER_SCORES.subject(people.key),
        "stream": LOG_RESTRICTED,
        "format": "html",
    }
    for contract in contracts:
        channel = people.world.channels[contract.__name__.split(".")[1]]
        for descriptor in services_of(contract):
            for method in descriptor.methods:
                if method.name in without:
                    continue
                request = GetMessageClass(method.input_type)()
                for field in request.DESCRIPTOR.fields:
                    if (value := known.get(field.name)) is not None and not field.message_type:
                        if field.is_repeated:
                            getattr(request, field.name).extend(value)
                        elif field.type == field.TYPE_STRING:
                            setattr(request, field.name, value)
                asked.append(answer(channel, f"/{descriptor.full_name}/{method.name}", method, request, person))
    found = await asyncio.gather(*asked)
    assert not [one for one in found if str(StatusCode.INTERNAL) in one]
    return found


async def answer(channel: Any, path: str, method: Any, request: Message, person: str) -> str:
    """All that comes back: the answer or the error, with trailing metadata."""
    kind = channel.unary_stream if method.server_streaming else channel.unary_unary
    call = kind(
        path,
        request_serializer=lambda one: one.SerializeToString(),
        response_deserializer=GetMessageClass(method.output_type).FromString,
    )(request, metadata=by(person), timeout=0.3 if method.server_streaming else 10)
    try:
        found = [one async for one in call] if method.server_streaming else [await call]
        files = [one.data.decode() for one in found if isinstance(one, HttpBody)]
        return path + json.dumps([json_format.MessageToDict(one) for one in found]) + "".join(files)
    except aio.AioRpcError as error:
        return f"{path} {error.code()} {error.details()} {error.trailing_metadata()}"


def tells(text: str) -> bool:
    """Whether it has a score, as a number of any shape, or as a fraction of hundreds."""
    return any(score in text or score.replace(".", "") in text for score in SCORES)


def callers(people: Competing) -> dict[str, str]:
    """The candidate comes last, for they withdraw."""
    return {
        "hr": people.hr[1],
        "lead": people.lead,
        "manager": people.manager,
        "executive": people.chair,
        "interviewer": people.panel[0],
        "rival": people.agents[1],
        "a peer": people.agents[-1],
        "a colleague": people.agents[2],
        "nobody": "e-nobody",
        "candidate": people.candidate,
    }


async def test_nobody_is_told_who_gave_what(people: Competing, capsys: pytest.CaptureFixture[str]) -> None:
    """With exactly as many as the rules ask for: neither before it is closed nor after, by any RPC, for any caller."""
    asked, everybody = people.agents[-3:], callers(people)
    await people.apply(people.agents[1])
    await people.peers(*SCORES, close=False)
    for role in ("hr", "manager", "a peer", "candidate"):
        heard = await answers(people, everybody[role], without=CHANGING)
        assert not [text for text in heard if tells(text) or MEAN in text], role
    await people.say(pb.ClosePeersRequest(candidacy_id=people.key), people.hr[0], "peer_scores")
    await caught_up(people.world, "promotion")
    found = {role: await answers(people, person) for role, person in everybody.items()}
    for role, texts in found.items():
        assert not [text for text in texts if tells(text)], role
        counted = [text for text in texts if "/GetPeerScoring" in text or "/ClosePeers" in text]
        assert not [text for text in counted if any(one in text for one in asked)], role
    # The search finds what is there: the mean, which before the ranking is for HR alone.
    assert {role for role, texts in found.items() if any(MEAN in text for text in texts)} == {"hr"}
    structlog.get_logger().info("control", of=SCORES[0])
    *logged, control = "".join(capsys.readouterr()).splitlines()
    assert tells(control)
    assert not [line for line in logged if tells(line)]


async def test_what_lies_in_the_log_is_sealed(people: Competing) -> None:
    """Whoever reads the stream without the keys sees who gave when, and not what."""
    await people.peers(*SCORES, close=False)
    stored = await people.service.streams[LOG_RESTRICTED].read(PEER_SCORES.subject(people.key))
    assert len(stored) == 4
    for one in stored:
        assert not any(score.encode() in one.payload for score in SCORES)


async def test_a_repetition_tells_nothing(people: Competing) -> None:
    """The same score again, another one, an id used before: the same empty answer, or an error of one's own only."""
    await people.peers(*SCORES, close=False)
    (first, second, _) = people.agents[-3:]
    assert await peers(people, give(people, SCORES[0]), first) == pb.GivePeerScoreResponse()
    assert await peers(people, give(people, SCORES[0]), second) == pb.GivePeerScoreResponse()
    await refused(peers(people, give(people, "50"), people.agents[1]), *NEED_TO_KNOW)
    await refused(peers(people, give(people, "50"), people.hr[0]), *NEED_TO_KNOW)
    elsewhere = pb.GivePeerScoreRequest(candidacy_id="nobodys", score="50")
    await refused(peers(people, elsewhere, first), *NEED_TO_KNOW)
