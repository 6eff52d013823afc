"""Candidacies over gRPC: from the application to the post, and what is refused on the way."""

from dataclasses import replace
from typing import Any

import pytest
from grpc import StatusCode

from libs.common.rebuilding import rebuild
from services.promotion.career import CAREER
from services.promotion.competition import COMPETITION
from stepladder.performance.v1.directory_pb2 import GetEmployeeRequest
from stepladder.performance.v1.policy_pb2 import GetPolicyRequest
from stepladder.promotion.v1 import candidacy_pb2 as pb
from stepladder.promotion.v1.candidacy_pb2 import Candidacy
from stepladder.promotion.v1.career_pb2 import DecideAppointmentRequest
from stepladder.promotion.v1.competition_pb2 import CloseApplicationsRequest, RankCompetitionRequest
from tests.refusals import refused
from tests.services.competing import Competing, answers, competing, opened
from tests.services.test_check_ins import appoint, by
from tests.services.world import World, caught_up, new_id

NOT_NOW = StatusCode.FAILED_PRECONDITION
NEED_TO_KNOW = (StatusCode.PERMISSION_DENIED, "NEED_TO_KNOW")


@pytest.fixture
async def people(world: World) -> Competing:
    return await competing(world)


async def on_the_list(people: Competing) -> None:
    """The candidate is listed on Monday 16 March."""
    await people.apply()
    await people.reviewed()
    await people.interviewed()
    people.at("2026-03-16")
    await people.listed()


async def test_from_the_application_to_the_post(both: World) -> None:
    """Every step by whoever it is for; the directory shows the post; rebuilt, the rows are the same."""
    people = await competing(both)
    applied = await people.apply()
    assert (applied.state, applied.eligibility.eligible, applied.lead_id) == (
        Candidacy.STATE_APPLIED,
        True,
        people.lead,
    )
    assert (await people.apply()).candidacy_id == applied.candidacy_id == people.key
    await people.reviewed()
    await people.interviewed()
    await people.peers("80", "90", "70")
    seen = await people.seen()
    assert (seen.state, seen.peers, seen.peers_mean.value) == (Candidacy.STATE_MANAGER_REVIEWED, 3, "80")
    assert [(one.interviewer_id, one.points, one.full_points) for one in seen.interviews] == [
        (person, 15, 20) for person in people.panel
    ]
    people.at("2026-03-16")
    await people.listed()
    assert (await people.seen()).notice_until == "2026-03-23"
    people.at("2026-03-23")
    await refused(people.approve(), NOT_NOW, "NOTICE_RUNNING")
    people.at("2026-03-24")
    approved = await people.approve()
    assert (approved.state, approved.vacancies.headcount, approved.approved_by) == (
        Candidacy.STATE_APPROVED,
        1,
        f"user:{people.hr[1]}",
    )
    await people.act(pb.IssueLetterRequest, people.hr[0])
    missing = await refused(people.act(pb.PassPostTrainingRequest, people.hr[0]), NOT_NOW, "TRAINING_MISSING")
    assert missing.message == "not passed since the letter of 2026-03-24: leading"
    await people.passes("2026-03-23")
    await refused(people.act(pb.PassPostTrainingRequest, people.hr[0]), NOT_NOW, "TRAINING_MISSING")
    people.at("2026-03-26")
    await people.passes("2026-03-25")
    trained = await people.act(pb.PassPostTrainingRequest, people.hr[0])
    assert len(trained.training_positions) == 1
    appointed = await people.act(pb.AppointCandidacyRequest, people.hr[0], etag=trained.etag, start_date="2026-03-26")
    assert (appointed.state, appointed.trial_until) == (Candidacy.STATE_APPOINTED, "2026-04-08")
    for _ in range(2):
        await caught_up(both, "promotion")
        await caught_up(both)
    employee = await both.directory.GetEmployee(GetEmployeeRequest(employee_id=people.candidate))
    assert (employee.position, employee.acting) == ("deputy", True)
    people.at("2026-04-09")
    decide = DecideAppointmentRequest(
        employee_id=people.candidate,
        appointment_id=people.key,
        confirmed=True,
        effective_date="2026-04-09",
        reason="did well",
    )
    await both.careers.DecideAppointment(decide, metadata=by(people.hr[1]))
    await caught_up(both, "promotion")
    assert (await people.seen()).state == Candidacy.STATE_CONFIRMED
    for name in ("candidacies", "peer-scorings"):
        (follower,) = (one for one in both.services["promotion"].followers if one.handler.name == name)
        assert [step async for step in rebuild(follower)][-1].changed_rows == 0


async def test_who_is_not_eligible_is_told_why(people: Competing) -> None:
    """Each criterion that is not met; and too late is too late."""
    young = await people.world.employee(people.team, hire_date="2025-09-01")
    refusal = await refused(people.apply(young), NOT_NOW, "NOT_ELIGIBLE")
    assert "Time in post" in refusal.message
    people.at("2026-04-01")
    await refused(people.apply(), NOT_NOW, "APPLICATIONS_CLOSED")
    request = pb.ApplyRequest(competition_id="c-none", motivation="x")
    await refused(people.say(request, people.candidate), StatusCode.NOT_FOUND, "COMPETITION_NOT_FOUND")


async def test_objections_pause_and_are_settled_by_somebody_else(people: Competing) -> None:
    """Anybody may object to a public list; nobody is told who and in what words, but HR."""
    objection = pb.RaiseObjectionRequest(candidacy_id=people.key, objection_id="o-1", reason="took my calls")
    for key in (people.key, "nobodys"):
        other = pb.RaiseObjectionRequest(candidacy_id=key, objection_id="o-1", reason="x")
        await refused(people.say(other, people.agents[1]), NOT_NOW, "NOT_LISTED")
    await on_the_list(people)
    people.at("2026-03-18")
    raised = await people.say(objection, people.agents[1])
    assert await people.say(objection, people.agents[1]) == raised
    await refused(people.say(objection, people.candidate), NOT_NOW, "CONFLICT_OF_INTEREST")
    for person in (people.candidate, people.lead):
        (shown,) = (await people.seen(person)).objections
        assert (shown.raised_by, shown.objection_id, shown.reason) == ("", "", "")
        assert (shown.outcome, shown.raised_date) == (Candidacy.Objection.OUTCOME_OPEN, "2026-03-18")
    (for_hr,) = (await people.seen()).objections
    assert (for_hr.raised_by, for_hr.reason) == (f"user:{people.agents[1]}", "took my calls")
    assert for_hr.objection_id == raised.objection_id
    people.at("2026-04-20")
    await refused(people.approve(), NOT_NOW, "OBJECTION_OPEN")
    settle: dict[str, Any] = {"objection_id": raised.objection_id, "upheld": False, "reason": "they were not"}
    await refused(people.act(pb.SettleObjectionRequest, people.lead, **settle), *NEED_TO_KNOW)
    settled = await people.act(pb.SettleObjectionRequest, people.hr[0], **settle)
    assert settled.notice_until == "2026-04-24"  # 17 March; 21 22 23 24 April
    people.at("2026-04-25")
    await refused(people.approve(people.hr[0]), NOT_NOW, "SEPARATION_OF_DUTIES")
    assert (await people.approve(people.hr[1])).state == Candidacy.STATE_APPROVED


async def test_nobody_finds_out_by_trying_who_objected(people: Competing) -> None:
    """An id is the caller's own: one that a colleague has used is free, and what they read is the same either way."""
    await on_the_list(people)
    mine = pb.RaiseObjectionRequest(candidacy_id=people.key, objection_id="o-1", reason="took my calls")
    await people.say(mine, people.agents[1])
    other = pb.RaiseObjectionRequest(candidacy_id=people.key, objection_id="o-1", reason="was late")
    await refused(people.say(other, people.agents[1]), StatusCode.ALREADY_EXISTS, "OBJECTION_EXISTS")
    await people.say(other, people.agents[2])
    raised = [one.reason for one in (await people.seen()).objections]
    assert raised == ["took my calls", "was late"]


async def test_a_calendar_set_in_mid_notice_moves_it(people: Competing) -> None:
    """By itself, and never to before what was promised."""
    await on_the_list(people)
    people.at("2026-03-18")
    await people.set_calendar("2026-03-19", "2026-03-20")
    assert (await people.seen()).notice_until == "2026-03-25"
    people.at("2026-03-24")
    await refused(people.approve(), NOT_NOW, "NOTICE_RUNNING")
    await people.set_calendar("2026-03-19", since="2026-03-01")
    assert (await people.seen()).notice_until == "2026-03-24"
    await people.set_calendar(since="2026-03-01")
    assert (await people.seen()).notice_until == "2026-03-23"
    assert (await people.approve()).state == Candidacy.STATE_APPROVED


async def test_interviews_by_the_panel_only(people: Competing) -> None:
    """Scores lie in their bands; an interviewer sees their own, not yet the other's."""
    await people.apply()
    one, other = people.panel
    score = pb.ScoreInterviewRequest(candidacy_id=people.key, answers=answers(15), notes="clear")
    await refused(people.say(score, one), NOT_NOW, "WRONG_STATE")
    await people.reviewed()
    wrong = pb.ScoreInterviewRequest(candidacy_id=people.key, answers=answers(15), notes="clear")
    wrong.answers[0].band.points = 21
    refusal = await refused(people.say(wrong, one), StatusCode.INVALID_ARGUMENT, "ANSWERS_INVALID")
    assert refusal.fields == ["answers[0].band.points"]
    await refused(people.say(score, people.agents[1]), *NEED_TO_KNOW)
    await people.say(score, one)
    shown = await people.seen(other)
    assert not shown.interviews
    assert (shown.eligibility.eligible, len(shown.eligibility.criteria)) == (
        True,
        0,
    )  # their conduct is not its business
    assert not (await people.seen(people.candidate)).interviews
    await people.act(pb.ScoreInterviewRequest, other, answers=answers(9), notes="short")
    assert [one.points for one in (await people.seen(other)).interviews] == [9]
    await people.act(pb.ScoreInterviewRequest, one, answers=answers(17), notes="on reflection")
    assert [one.points for one in (await people.seen()).interviews] == [17, 9]


async def test_whoever_competes_judges_nobody(people: Competing) -> None:
    """A lead who applies too is told nothing, and HR reviews in their place."""
    await people.apply()
    await people.apply(people.agents[1])
    rival = people.agents[1]
    await refused(people.seen(rival), *NEED_TO_KNOW)
    review: dict[str, Any] = {"recommended": True, "interview_date": "2026-03-09", "report": "x"}
    await refused(people.act(pb.ReviewAsLeadRequest, rival, **review), *NEED_TO_KNOW)
    await refused(people.act(pb.ReviewAsLeadRequest, people.hr[0], **review), *NEED_TO_KNOW)
    await appoint(people.world, people.team, rival)
    await people.act(pb.ReviewAsLeadRequest, people.lead, **review)  # of the day of the application


async def another(people: Competing, rung: str) -> Competing:
    """The same people in another competition."""
    positions = {}
    for suffix in ("", "-bank", "-who", "-how"):
        asked = GetPolicyRequest(policy_id=f"{people.ladder}{suffix}")
        policy = await people.world.policies.GetPolicy(asked, metadata=by(people.hr[0]))
        positions[suffix] = policy.log_position
    other = replace(people, id=new_id("c"))
    await opened(other, positions, rung)
    return other


async def test_hr_stands_in_for_a_lead_who_competes(people: Competing) -> None:
    """Who is told nothing of their own people any more."""
    await people.apply()
    await people.apply(people.lead)
    review: dict[str, Any] = {"recommended": True, "interview_date": "2026-03-09", "report": "x"}
    await refused(people.act(pb.ReviewAsLeadRequest, people.lead, **review), *NEED_TO_KNOW)
    await refused(people.seen(people.lead), *NEED_TO_KNOW)
    reviewed = await people.act(pb.ReviewAsLeadRequest, people.hr[0], **review)
    assert reviewed.lead_review.reviewed_by == f"user:{people.hr[0]}"
    decide: dict[str, Any] = {"approved": True, "score": "85.5", "report": "ready"}
    await refused(people.act(pb.ReviewAsManagerRequest, people.hr[1], **decide), *NEED_TO_KNOW)
    assert (await people.act(pb.ReviewAsManagerRequest, people.manager, **decide)).manager_review.approved


async def test_two_levels_at_once_are_for_the_executive(people: Competing) -> None:
    """Who sees those candidacies only; without them nobody is ranked, and a no ends it."""
    people = await another(people, "head")
    assert (await people.apply()).two_levels
    await people.reviewed()
    await people.interviewed()
    await people.peers("80", "90", "70")
    await people.command(COMPETITION, people.id, CloseApplicationsRequest(competition_id=people.id))
    rank = RankCompetitionRequest(competition_id=people.id)
    refusal = await refused(people.say(rank, people.hr[0], "competitions"), NOT_NOW, "CANDIDACIES_INCOMPLETE")
    assert refusal.message == f"{people.key} lacks the executive's review of two levels"
    assert (await people.seen(people.chair)).motivation == "I keep calm"
    found = await people.say(pb.ListCandidaciesRequest(competition_id=people.id), people.chair)
    assert [one.candidacy_id for one in found.candidacies] == [people.key]
    no: dict[str, Any] = {"approved": False, "reason": "one step after the other"}
    for person in (people.hr[0], people.manager):
        await refused(people.act(pb.ReviewTwoLevelsRequest, person, **no), *NEED_TO_KNOW)
    assert (await people.act(pb.ReviewTwoLevelsRequest, people.chair, **no)).state == Candidacy.STATE_REJECTED


async def test_who_has_ever_objected_does_not_interview(people: Competing) -> None:
    """Though the objection was to another candidacy of the same person."""
    await on_the_list(people)
    objection = pb.RaiseObjectionRequest(candidacy_id=people.key, objection_id="o-1", reason="took my calls")
    await people.say(objection, people.panel[0])
    people = await another(people, "head")
    await people.apply()
    await people.reviewed(day="2026-03-16")
    await refused(people.interviewed(), NOT_NOW, "CONFLICT_OF_INTEREST")
    await people.act(pb.ScoreInterviewRequest, people.panel[1], answers=answers(15), notes="clear")


async def test_lists_have_what_the_caller_may_see(people: Competing) -> None:
    await people.apply()
    await people.apply(people.agents[1])
    await caught_up(people.world, "promotion")

    async def listed(person: str) -> list[str]:
        found = await people.say(pb.ListCandidaciesRequest(competition_id=people.id), person)
        return sorted(one.employee_id for one in found.candidacies)

    both = sorted(people.agents[:2])
    for person in (people.hr[0], people.lead, people.manager, people.panel[0]):
        assert await listed(person) == both
    assert await listed(people.candidate) == [people.candidate]
    assert await listed(people.agents[5]) == []
    assert await listed(people.chair) == []


async def test_approved_again_after_a_crash_and_nobody_twice(people: Competing) -> None:
    """What a crash left reserved is used; etags of before are refused."""
    await on_the_list(people)
    people.at("2026-03-24")
    etag = (await people.seen()).etag
    request = pb.ApproveCandidacyRequest(candidacy_id=people.key, etag=etag, reason="in order", request_id="a-1")
    stale = pb.ApproveCandidacyRequest(candidacy_id=people.key, etag="1", reason="in order")
    await refused(people.say(stale, people.hr[1]), StatusCode.ABORTED, "ETAG_MISMATCH")
    approved = await people.say(request, people.hr[1])
    assert (await people.say(request, people.hr[1])).etag == approved.etag
    await people.act(pb.WithdrawCandidacyRequest, people.candidate, reason="moves to Riga")
    await caught_up(people.world, "promotion")
    career = (await people.service.commands.load(CAREER, people.candidate)).state
    assert career.reserved_for == ""
