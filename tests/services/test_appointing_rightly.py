"""Who gets a post by real calls, whatever comes at the same time: nobody by accident, and nobody is left waiting."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
from google.protobuf.message import Message
from grpc import StatusCode

from libs.common.eventsourcing import Aggregate, Context, Recorded
from services.promotion.candidacy import CANDIDACY, candidacy_key
from services.promotion.career import CAREER
from services.promotion.competition import COMPETITION
from services.promotion.rankings import Rankings
from stepladder.promotion.v1 import candidacy_pb2 as told
from stepladder.promotion.v1 import competition_pb2 as pb
from stepladder.promotion.v1.candidacy_pb2 import Candidacy
from stepladder.promotion.v1.career_pb2 import ReserveAppointment
from stepladder.promotion.v1.score_pb2 import Score
from tests.refusals import refused
from tests.services.competing import Competing, competing
from tests.services.test_check_ins import appoint, by
from tests.services.test_competitions import Contest, founded
from tests.services.world import World, caught_up

NOT_NOW = StatusCode.FAILED_PRECONDITION


@pytest.fixture
async def contest(world: World) -> Contest:
    return await founded(world)


@pytest.fixture
async def people(world: World) -> Competing:
    return await competing(world)


@contextmanager
def held(world: World, name: str) -> Iterator[None]:
    """A policy of the service that hears nothing for a while."""
    (follower,) = (one for one in world.services["promotion"].followers if one.handler.name == name)
    handler, go = follower.handler, asyncio.Event()
    act: Callable[..., Any] = handler.act

    async def later(events: Sequence[Recorded]) -> None:
        await go.wait()
        await act(events)

    handler.act = later  # type: ignore[method-assign] # of this one only
    try:
        yield
    finally:
        handler.act = act  # type: ignore[method-assign] # as above
        go.set()


async def on_the_list(people: Competing) -> None:
    """After the notice."""
    await people.apply()
    await people.reviewed()
    await people.interviewed()
    people.at("2026-03-16")
    await people.listed()
    people.at("2026-03-24")


async def trained(people: Competing) -> Candidacy:
    await on_the_list(people)
    await people.approve()
    await people.act(told.IssueLetterRequest, people.hr[0])
    people.at("2026-03-26")
    await people.passes("2026-03-25")
    return await people.act(told.PassPostTrainingRequest, people.hr[0])


async def poisoned(world: World) -> list[str]:
    return [
        one.handler.name for one in world.services["promotion"].followers if any(part.poisoned for part in one.parts)
    ]


async def command(world: World, aggregate: Aggregate[Any], name: str, said: Message, actor: str) -> None:
    """What another process of the service has just said."""
    service = world.services["promotion"]
    context = Context(now=service.now(), today=service.today(), actor=f"user:{actor}")
    await service.commands.handle(aggregate, name, said, context)


async def reserved(people: Competing) -> str:
    return (await people.service.commands.load(CAREER, people.candidate)).state.reserved_for


async def test_an_approval_that_is_refused_reserves_nothing(people: Competing) -> None:
    """Given on a candidacy that has changed since: the employee may still be approved elsewhere."""
    await on_the_list(people)
    stale = told.ApproveCandidacyRequest(candidacy_id=people.key, etag="1", reason="in order")
    await refused(people.say(stale, people.hr[1]), StatusCode.ABORTED, "ETAG_MISMATCH")
    assert await reserved(people) == ""


async def test_withdrawn_while_it_is_approved(people: Competing) -> None:
    """What is reserved for a candidacy that has ended is released, though the end was heard of before."""
    await on_the_list(people)
    await people.act(told.WithdrawCandidacyRequest, people.candidate, reason="moves to Riga")
    await caught_up(people.world, "promotion")
    reserve = ReserveAppointment(employee_id=people.candidate, candidacy_id=people.key)
    await command(people.world, CAREER, people.candidate, reserve, people.hr[1])
    await caught_up(people.world, "promotion")
    assert await reserved(people) == ""


async def test_two_of_hr_at_once(people: Competing) -> None:
    """Of two approvals one is taken; of an approval and an objection, whichever comes first."""
    await on_the_list(people)
    answers = await asyncio.gather(people.approve(people.hr[1]), people.approve(people.hr[2]), return_exceptions=True)
    assert [isinstance(one, Candidacy) for one in answers].count(True) == 1
    assert await reserved(people) == people.key
    objection = told.RaiseObjectionRequest(candidacy_id=people.key, objection_id="o-1", reason="took my calls")
    await refused(people.say(objection, people.agents[1]), NOT_NOW, "NOT_LISTED")


async def test_an_objection_while_it_is_approved(people: Competing) -> None:
    """The approval was made on what is not so any more."""
    await on_the_list(people)
    etag = (await people.seen()).etag
    objection = told.RaiseObjectionRequest(candidacy_id=people.key, objection_id="o-1", reason="took my calls")
    await people.say(objection, people.agents[1])
    approve = told.ApproveCandidacyRequest(candidacy_id=people.key, etag=etag, reason="in order")
    await refused(people.say(approve, people.hr[1]), NOT_NOW, "OBJECTION_OPEN")
    assert await reserved(people) == ""


async def test_who_objected_does_not_reject(people: Competing) -> None:
    """Otherwise they would settle their own objection."""
    await on_the_list(people)
    objection = told.RaiseObjectionRequest(candidacy_id=people.key, objection_id="o-1", reason="took my calls")
    await people.say(objection, people.hr[0])
    reject = {"reason": "took my calls"}
    await refused(people.act(told.RejectCandidacyRequest, people.hr[0], **reject), NOT_NOW, "SEPARATION_OF_DUTIES")
    rejected = await people.act(told.RejectCandidacyRequest, people.hr[1], **reject)
    assert rejected.state == Candidacy.STATE_REJECTED


@pytest.mark.parametrize("cancelled", [False, True])
async def test_closed_right_after_somebody_was_appointed(people: Competing, cancelled: bool) -> None:
    """They keep their seat, though the competition gave back its seats before they sat down."""
    appoint_now = {"etag": (await trained(people)).etag, "start_date": "2026-03-26"}
    with held(people.world, "take-seats"):
        await people.act(told.AppointCandidacyRequest, people.hr[0], **appoint_now)
        close = pb.CloseCompetitionRequest(competition_id=people.id, cancelled=cancelled)
        await people.say(close, people.hr[0], "competitions")
        (follower,) = (one for one in people.service.followers if one.handler.name == "follow-competitions")
        await follower.wait_for(await people.world.end(), 10)
    for _ in range(3):
        await caught_up(people.world, "promotion")
        await caught_up(people.world)
    assert await poisoned(people.world) == []
    career = (await people.service.commands.load(CAREER, people.candidate)).state
    assert career.running is not None


async def test_nobody_is_appointed_in_a_competition_that_is_over(people: Competing) -> None:
    """Though what follows from its end has not reached the candidacy yet."""
    appoint_now = {"etag": (await trained(people)).etag, "start_date": "2026-03-26"}
    with held(people.world, "follow-competitions"):
        close = pb.CloseCompetitionRequest(competition_id=people.id, cancelled=True)
        await people.say(close, people.hr[0], "competitions")
        await refused(people.act(told.AppointCandidacyRequest, people.hr[0], **appoint_now), NOT_NOW, "NO_SEAT")
    await caught_up(people.world, "promotion")
    assert (await people.seen()).state == Candidacy.STATE_NOT_SELECTED
    await caught_up(people.world, "promotion")
    assert await reserved(people) == ""


async def test_published_before_it_is_known_that_somebody_left(contest: Contest) -> None:
    """Who has withdrawn is no candidacy on the list; the next is listed when it is published again."""
    ids = await contest.competed(5, 4)
    await contest.rank()
    with held(contest.world, "follow-candidacies"):
        request = told.WithdrawCandidacyRequest(candidacy_id=ids[0], reason="another plan")
        await contest.world.candidacies.WithdrawCandidacy(request, metadata=by(contest.agents[0]))
        await contest.say(pb.PublishListRequest(competition_id="c-1"))
    await contest.settled()
    assert await contest.states(ids) == ["WITHDRAWN", "SCORED"]
    assert list((await contest.publish()).listed_candidacy_ids) == ids[1:]
    assert await contest.states(ids) == ["WITHDRAWN", "LISTED"]


async def test_scored_anew_after_a_crash_of_the_ranking(contest: Contest) -> None:
    """What an interviewer gave between the crash and the ranking counts."""
    ids = await contest.competed(3, 5)
    score = Score(candidacy_id=ids[0], total="68.00", known_at=await contest.world.end())
    await command(contest.world, CANDIDACY, ids[0], told.NoteScore(score=score), contest.hr)
    for interviewer in contest.interviewers:
        await contest.interviewed(ids[1], interviewer, 4)
    assert [one.total for one in (await contest.rank()).ranking] == ["80.00", "68.00"]


async def test_a_conflict_declared_while_it_is_ranked(contest: Contest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is ranked by who must not judge them: it is said again."""
    first = contest.interviewers[0]
    ids = await contest.competed(3, 5)
    await contest.panel(*contest.interviewers, contest.agents[3])
    for one, points in zip(ids, (3, 5), strict=True):
        await contest.interviewed(one, contest.agents[3], points)
    await contest.interviewed(ids[0], first, 5)
    make = Rankings.make

    async def meanwhile(*given: Any) -> Any:
        made = await make(*given)
        conflict = pb.DeclareConflictRequest(
            competition_id="c-1", interviewer_id=first, candidacy_id=ids[0], reason="they are related"
        )
        await contest.say(conflict, first)
        return made

    with monkeypatch.context() as patch:
        patch.setattr(Rankings, "make", meanwhile)
        await refused(contest.rank(), StatusCode.ABORTED, "ETAG_MISMATCH")
    assert [one.total for one in (await contest.rank()).ranking] == ["92.00", "68.00"]


async def test_who_interviews_does_not_apply(contest: Contest) -> None:
    """And if both came at once, nobody is ranked by a rival."""
    await contest.opened()
    await contest.panel(*contest.interviewers, contest.agents[3])
    request = told.ApplyRequest(competition_id="c-1", motivation="I know the questions")
    await refused(contest.world.candidacies.Apply(request, metadata=by(contest.agents[3])), NOT_NOW, "ON_PANEL")
    (first,) = await contest.apply(contest.agents[0])
    key = candidacy_key("c-1", contest.agents[3])
    found = told.ActOnCandidacy.Application(candidacy_id=key, employee_id=contest.agents[3], lead_id=contest.lead)
    found.eligibility.eligible = True
    at_once = told.ActOnCandidacy(apply=request, application=found)
    await contest.reviewed(first, "80")
    for interviewer in (*contest.interviewers, contest.agents[3]):
        await contest.interviewed(first, interviewer, 3)
    await command(contest.world, CANDIDACY, key, at_once, contest.agents[3])
    withdraw = told.WithdrawCandidacyRequest(candidacy_id=key, reason="it does not matter")
    await contest.world.candidacies.WithdrawCandidacy(withdraw, metadata=by(contest.agents[3]))
    await contest.say(pb.CloseApplicationsRequest(competition_id="c-1"))
    await refused(contest.rank(), NOT_NOW, "INTERVIEWER_IS_CANDIDATE")
    await contest.panel()
    assert [one.candidacy_id for one in (await contest.rank()).ranking] == [first]


async def test_who_judged_the_candidate_decides_nothing(people: Competing) -> None:
    """Somebody of HR who interviewed, or as a peer gave a score: neither settles an objection nor approves."""
    interviewer, peer = people.hr[2], await people.world.employee(people.team, job_family="hr")
    people.panel.append(interviewer)
    people.agents.append(peer)
    panel = (await people.service.commands.load(COMPETITION, people.id)).state.panel
    larger = pb.SetPanel(
        request=pb.SetPanelRequest(competition_id=people.id, interviewer_ids=people.panel),
        minimum_interviewers=2,
        question_ids=panel.question_ids,
        bank_position=panel.bank_position,
    )
    await people.command(COMPETITION, people.id, larger)
    await people.apply()
    await people.reviewed()
    await people.interviewed()
    await people.peers("80", "70", "90")
    people.at("2026-03-16")
    await people.listed()
    raising = told.RaiseObjectionRequest(candidacy_id=people.key, objection_id="o-1", reason="the calls were mine")
    objection_id = (await people.say(raising, people.lead)).objection_id
    settling = told.SettleObjectionRequest(
        candidacy_id=people.key, objection_id=objection_id, upheld=False, reason="they were not"
    )
    people.at("2026-03-24")
    for person in (interviewer, peer):
        await refused(people.say(settling, person), NOT_NOW, "SEPARATION_OF_DUTIES")
    await people.say(settling, people.hr[0])
    people.at("2026-04-09")
    refusals = [
        await refused(people.approve(person), NOT_NOW, "SEPARATION_OF_DUTIES")
        for person in (people.hr[0], interviewer, peer)
    ]
    assert len({one.message for one in refusals}) == 1
    assert await reserved(people) == ""
    assert (await people.approve()).state == Candidacy.STATE_APPROVED


async def test_who_leads_the_candidate_by_now_does_not_interview(people: Competing) -> None:
    await people.apply()
    await people.reviewed()
    await appoint(people.world, people.team, people.panel[0])
    await refused(people.interviewed(), NOT_NOW, "CONFLICT_OF_INTEREST")


async def test_what_the_public_is_told_of_a_competition_does_not_change_with_its_candidates(contest: Contest) -> None:
    """Neither a conflict of interest nor a withdrawal."""
    await contest.competed(3, 5)
    await contest.rank()
    seen = await contest.get(contest.agents[3])
    assert (seen.etag, seen.log_position) == ("", 0)
    await contest.withdraw(contest.agents[0])
    assert await contest.get(contest.agents[3]) == seen
