"""Interviews over gRPC: who reads what of the others', and what becomes of one that does not count."""

from typing import Any

import pytest
from grpc import StatusCode

from services.promotion.candidacy import CANDIDACY
from stepladder.performance.v1.promotion_rules_pb2 import QuestionBank
from stepladder.promotion.v1 import candidacy_pb2 as pb
from stepladder.promotion.v1.competition_pb2 import DeclareConflictRequest, GetInterviewQuestionsRequest
from stepladder.promotion.v1.eligibility_pb2 import Criterion, Eligibility
from tests.refusals import refused
from tests.services.test_appointing_rightly import command
from tests.services.test_check_ins import appoint
from tests.services.test_competitions import Contest, by, founded, question
from tests.services.test_scores import case_file, score, spread, text_of
from tests.services.world import World

NO = StatusCode.PERMISSION_DENIED, "NEED_TO_KNOW"
NOT_NOW = StatusCode.FAILED_PRECONDITION


@pytest.fixture
async def contest(world: World) -> Contest:
    return await founded(world)


async def seen(contest: Contest, candidacy_id: str, caller: str) -> pb.Candidacy:
    request = pb.GetCandidacyRequest(candidacy_id=candidacy_id)
    answer: pb.Candidacy = await contest.world.candidacies.GetCandidacy(request, metadata=by(caller))
    return answer


async def listed(contest: Contest, caller: str, **asked: Any) -> list[str]:
    request = pb.ListCandidaciesRequest(competition_id="c-1", **asked)
    found = await contest.world.candidacies.ListCandidacies(request, metadata=by(caller))
    return [one.candidacy_id for one in found.candidacies]


def by_whom(candidacy: pb.Candidacy) -> list[str]:
    return [one.interviewer_id for one in candidacy.interviews]


async def reject(contest: Contest, candidacy_id: str, caller: str) -> None:
    request = pb.RejectCandidacyRequest(candidacy_id=candidacy_id, reason="unfit")
    await contest.world.candidacies.RejectCandidacy(request, metadata=by(caller))


async def declare(contest: Contest, interviewer: str, candidacy_id: str, caller: str = "") -> None:
    conflict = DeclareConflictRequest(
        competition_id="c-1", interviewer_id=interviewer, candidacy_id=candidacy_id, reason="they are cousins"
    )
    await contest.say(conflict, caller)


async def test_an_interviewer_reads_nothing_of_the_others_while_scores_can_be_given(contest: Contest) -> None:
    """Having given theirs they could give them again; once the competition is ranked nobody can."""
    (key,) = await contest.competed(3)
    first, second = contest.interviewers
    for one in (first, second):
        assert by_whom(await seen(contest, key, one)) == [one]
    await contest.interviewed(key, second, 5)
    assert by_whom(await seen(contest, key, second)) == [second]
    await contest.rank()
    for one in (first, second):
        assert by_whom(await seen(contest, key, one)) == [first, second]
    await refused(contest.interviewed(key, first, 5), NOT_NOW, "WRONG_STATE")


async def test_hr_on_the_panel_is_an_interviewer_only_until_the_ranking(contest: Contest) -> None:
    """Neither candidacies, scores, the spread nor case files tell them what the others gave; then they are HR again."""
    hr = contest.hr2
    contest.interviewers.append(hr)
    (key,) = await contest.competed(3)
    shown = await seen(contest, key, hr)
    assert (by_whom(shown), len(shown.eligibility.criteria), shown.manager_review.score) == ([hr], 0, "")
    for hidden in (score(contest, key, hr), spread(contest, hr), case_file(contest, key, hr)):
        await refused(hidden, *NO)
    await refused(reject(contest, key, hr), *NO)
    assert (await score(contest, key)).provisional
    await contest.rank()
    assert by_whom(await seen(contest, key, hr)) == contest.interviewers
    assert (await score(contest, key, hr)).score.total
    assert len((await spread(contest, hr)).candidates[0].given) == 3
    assert "ready" in text_of(await case_file(contest, key, hr))


async def test_only_the_panel_and_hr_read_its_questions(contest: Contest) -> None:
    """As they were drawn, with how they are scored, whatever the bank has become; nobody else, whatever there is."""
    rival = await contest.world.employee(contest.team, job_family="hr")
    await contest.opened()
    await contest.apply(contest.agents[0], rival)
    first, second = contest.interviewers
    asked = GetInterviewQuestionsRequest(competition_id="c-1")
    assert not (await contest.say(asked)).questions
    await refused(contest.say(asked, first), *NO)
    drawn = list((await contest.panel(first, second)).question_ids)
    later = [question(one, compulsory=one == "q-1") for one in ("q-1", "q-6", "q-7")]
    await contest.store("bank", QuestionBank(questions=later))
    for caller in (first, second, contest.hr):
        questions = (await contest.say(asked, caller)).questions
        assert list(questions) == [question(one, compulsory=one == "q-1") for one in drawn]
    nobody = (contest.agents[0], contest.agents[1], rival, contest.lead, contest.manager, "nobody")
    for caller in nobody:
        await refused(contest.say(asked, caller), *NO)
    none = GetInterviewQuestionsRequest(competition_id="none")
    await refused(contest.say(none), StatusCode.NOT_FOUND, "COMPETITION_NOT_FOUND")
    await refused(contest.say(none, first), *NO)
    await contest.panel(first, contest.agents[3])
    await refused(contest.say(asked, second), *NO)
    assert (await contest.say(asked, contest.agents[3])).questions


async def test_hr_who_may_have_read_interviews_does_not_join_the_panel(contest: Contest) -> None:
    await contest.opened()
    (key,) = await contest.apply(contest.agents[0])
    first, second = contest.interviewers
    await contest.panel(first, contest.hr2)
    await contest.panel(first, second)
    await contest.reviewed(key, "80")
    await contest.interviewed(key, first, 3)
    await refused(contest.panel(first, second, contest.hr2), NOT_NOW, "INTERVIEWS_READABLE")
    await contest.panel(first, second, contest.agents[3])


async def test_who_is_told_of_a_drift_is_hr_of_the_candidacy(contest: Contest) -> None:
    """Not who interviews."""
    contest.interviewers.append(contest.hr2)
    (key,) = await contest.competed(3)
    await contest.settled()
    drifted = Eligibility(criteria=[Criterion(name="tenure")])
    await command(contest.world, CANDIDACY, key, pb.NoteDrift(eligibility=drifted), contest.hr)
    now = await contest.world.end()
    assert await listed(contest, contest.hr, drifted_only=True, at_least=now) == [key]
    assert await listed(contest, contest.hr2, drifted_only=True) == []
    assert await listed(contest, contest.hr2) == [key]


async def test_a_score_dropped_for_a_conflict_of_interest_stays_visible(contest: Contest) -> None:
    """With what was declared, by whom and when, for HR; the candidate is told that it does not count, and no names."""
    third = contest.agents[3]
    contest.interviewers.append(third)
    first = contest.interviewers[0]
    key, other = await contest.competed(5, 3)
    await contest.interviewed(key, first, 1)
    await declare(contest, first, key)  # by HR, who has read that the first one gave so little
    dropped, *counted = (await seen(contest, key, contest.hr)).interviews
    assert (dropped.interviewer_id, dropped.points) == (first, 6)
    told = dropped.not_counted
    assert (told.reason, told.declared_by, told.declared_date) == (
        "they are cousins",
        f"user:{contest.hr}",
        "2026-03-16",
    )
    assert not any(one.HasField("not_counted") for one in counted)
    await contest.rank()
    for caller in (contest.agents[0], contest.lead):
        dropped, *counted = (await seen(contest, key, caller)).interviews
        assert (dropped.points, dropped.HasField("not_counted"), str(dropped.not_counted)) == (6, True, "")
        part = (await score(contest, key, caller)).score.parts[0]
        assert [len(part.inputs), *((one.name, one.value.value) for one in part.not_counted)] == [
            2,
            ("interviewer-1", "20"),
        ]
    part = (await score(contest, key)).score.parts[0]
    assert [(one.name, one.value.value) for one in part.not_counted] == [(first, "20")]
    assert [one.name for one in part.inputs] == sorted(contest.interviewers[1:])
    assert not (await score(contest, other)).score.parts[0].not_counted
    whole = text_of(await case_file(contest, key, contest.hr))
    own = text_of(await case_file(contest, key, contest.agents[0]))
    for file, names in ((whole, True), (own, False)):
        assert "What they gave does not count" in file
        assert ("they are cousins" in file, first in file) == (names, names)


async def test_who_must_not_judge_a_candidate_reads_nothing_of_them(contest: Contest) -> None:
    """By what was declared, or because they lead them by now; also HR, who decides nothing of them afterwards."""
    contest.interviewers.append(contest.hr2)
    first, _, hr = contest.interviewers
    key, other = await contest.competed(3, 3)
    await declare(contest, first, key, first)
    await declare(contest, hr, key, hr)
    for _ in range(2):
        for one in (first, hr):
            await refused(seen(contest, key, one), *NO)
            assert await listed(contest, one) == [other]
        await refused(score(contest, key, hr), *NO)
        await refused(reject(contest, key, hr), *NO)
        if not (await contest.get()).ranking:
            await contest.panel(*contest.interviewers, contest.agents[3])
            for candidacy_id in (key, other):
                await contest.interviewed(candidacy_id, contest.agents[3], 4)
            await contest.rank()


async def test_who_leads_a_candidate_by_now_is_no_interviewer_of_theirs(contest: Contest) -> None:
    """They read what a lead reads: interviews once they are scored, without names."""
    (key,) = await contest.competed(3)
    first = contest.interviewers[0]
    await appoint(contest.world, contest.team, first)
    shown = await seen(contest, key, first)
    assert (shown.manager_review.score, by_whom(shown)) == ("80", [])
    await contest.rank()
    assert by_whom(await seen(contest, key, first)) == ["", ""]
