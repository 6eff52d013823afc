"""Facts that change under candidacies: each that would come out otherwise now says so, and no other."""

from datetime import timedelta

import pytest
from grpc import StatusCode
from sqlalchemy import update

from libs.common.database import writing
from libs.common.eventsourcing import Context
from libs.common.positions import FOLLOWERS
from libs.common.rebuilding import rebuild
from services.promotion.candidacy import CANDIDACY, candidacy_key
from stepladder.performance.v1.facts_pb2 import (
    DISPUTE_OUTCOME_OVERTURNED,
    RATING_GOOD,
    RATING_UNQUALIFIED,
    CorrectFactRequest,
)
from stepladder.performance.v1.policy_pb2 import Offence, Policy, RuleBook, SetPolicyRequest
from stepladder.performance.v1.promotion_rules_pb2 import CompetitionRules, EligibilityRules
from stepladder.performance.v1.record_pb2 import (
    CorrectRecordRequest,
    DisputeRecordRequest,
    Record,
    RetractRecordRequest,
    SettleRecordDisputeRequest,
    Training,
    Violation,
)
from stepladder.promotion.v1.candidacy_pb2 import (
    ApproveCandidacyRequest,
    Candidacy,
    GetCandidacyRequest,
    ListCandidaciesRequest,
    NoteScore,
)
from stepladder.promotion.v1.score_pb2 import Displacement, Score
from tests.promotion import rules as asked
from tests.refusals import refused
from tests.services.test_competitions import MORNING, Contest, by, founded
from tests.services.test_eligibilities import move, named, rate, ratings, record, tenure
from tests.services.test_records import create, derived, evaluation, form
from tests.services.test_scores import case_file, score, text_of
from tests.services.world import World, fact

AFTER_NOTICE = MORNING + timedelta(days=21)


@pytest.fixture
async def contest(world: World) -> Contest:
    return await founded(world)


async def drifted(contest: Contest) -> list[str]:
    """Ids of those that HR finds with a drift."""
    await contest.settled()
    request = ListCandidaciesRequest(competition_id="c-1", drifted_only=True)
    found = await contest.world.candidacies.ListCandidacies(request, metadata=by(contest.hr))
    return [one.candidacy_id for one in found.candidacies]


async def listed(
    contest: Contest, readings: tuple[int, int] = (60, 80), points: tuple[int, int] = (3, 5)
) -> tuple[str, list[str]]:
    """A competition with its list, half of the score out of a KPI: the KPI, and two candidacies, the second listed."""
    kpi_id, agents = await contest.world.kpi(), contest.agents
    measured = asked.pm("50")
    measured.kpi.kpi_id, measured.kpi.months = kpi_id, 2
    await contest.rules(measured, asked.interview("30"), asked.manager("20"))
    facts = [fact(agent, "2026-02-05", kpi_id, of) for agent, of in zip(agents[:2], readings, strict=True)]
    await contest.world.record(*facts)
    ids = await contest.competed(*points)
    await contest.rank()
    await contest.publish()
    assert await contest.states(ids) == ["SCORED", "LISTED"]
    return kpi_id, ids


async def correct(contest: Contest, kpi_id: str, numerator: int, agent: int = 1) -> None:
    """The number of the one who is listed is another, or of another agent."""
    fixed = fact(contest.agents[agent], "2026-02-05", kpi_id, numerator)
    await contest.world.facts.CorrectFact(CorrectFactRequest(fact=fixed, reason="counted twice"))


async def test_a_fact_corrected_after_the_list(both: World) -> None:
    """Is said of its candidacy alone, in figures and in words; put right, it is gone; seen again, it is silence."""
    contest = await founded(both)
    kpi_id, (_, second) = await listed(contest)
    assert await drifted(contest) == []
    await correct(contest, kpi_id, 65)
    assert await drifted(contest) == [second]
    found = await contest.candidacy(second)
    # 10 of 10 points x 0.5 before, 6 of 10 now; 100 x 0.3; 80 x 0.2.
    assert (found.score.total, found.drift.score.total, found.drift.HasField("eligibility")) == (
        "96.00",
        "76.00",
        False,
    )
    sentence = "Facts have changed since: by what is known now the total would be 76.00, not 96.00."
    assert (await score(contest, second)).drift == sentence
    assert (await score(contest, second, contest.agents[1])).drift == sentence
    paper = text_of(await case_file(contest, second, contest.hr))
    assert sentence in paper
    assert "Facts changed. What would come out now: total: 76.00." in paper
    await correct(contest, kpi_id, 66)  # in the same band
    await contest.settled()
    assert (await contest.candidacy(second)).etag == found.etag
    await seen_again(contest)
    assert (await contest.candidacy(second)).etag == found.etag
    await correct(contest, kpi_id, 81)
    assert await drifted(contest) == []
    assert not (await contest.candidacy(second)).HasField("drift")
    assert (await score(contest, second)).drift == ""
    (follower,) = (one for one in both.services["promotion"].followers if one.handler.name == "candidacies")
    assert [step async for step in rebuild(follower)][-1].changed_rows == 0


async def test_a_correction_that_lets_in_another(both: World) -> None:
    """Both are told, HR alone by whose facts; put right, neither is any more."""
    contest = await founded(both)
    kpi_id, (first, second) = await listed(contest)
    await correct(contest, kpi_id, 55)  # 46 in all, and the first has 64
    assert await drifted(contest) == [second, first]
    out, let_in = (await contest.candidacy(second)).drift, (await contest.candidacy(first)).drift
    assert out.displacement == Displacement(within_seats=False, candidacy_ids=[second])
    assert let_in == Candidacy.Drift(
        known_at=let_in.known_at, displacement=Displacement(within_seats=True, candidacy_ids=[second])
    )
    sentence = "Facts have changed since: by what is known now "
    assert (await score(contest, second)).drift == (
        f"{sentence}the total would be 46.00, not 96.00, and the candidate would not be within the seats."
    )
    told = f"{sentence}the candidate would be within the seats, with the facts of another candidate that have changed."
    by_hr = told.replace("candidate that", f"candidate ({second}) that")
    assert (await score(contest, first)).drift == by_hr
    assert by_hr in text_of(await case_file(contest, first, contest.hr))
    own_file = text_of(await case_file(contest, first, contest.agents[0]))
    assert told in own_file
    assert second not in own_file
    for person in (contest.agents[0], contest.lead, contest.manager):
        assert (await score(contest, first, person)).drift == told
        seen = await both.candidacies.GetCandidacy(GetCandidacyRequest(candidacy_id=first), metadata=by(person))
        assert seen.drift.displacement == Displacement(within_seats=True)
    await seen_again(contest)
    assert (await contest.candidacy(first)).drift == let_in
    await correct(contest, kpi_id, 80)
    assert await drifted(contest) == []
    (follower,) = (one for one in both.services["promotion"].followers if one.handler.name == "candidacies")
    assert [step async for step in rebuild(follower)][-1].changed_rows == 0


async def test_nobody_approves_who_is_displaced_unseen(contest: Contest) -> None:
    """It is another's number, and the etag of the one who is listed moves, however soon.

    In a competition that is cancelled nobody is displaced.
    """
    kpi_id, (first, second) = await listed(contest, readings=(60, 75), points=(4, 5))  # 70 and 86
    contest.world.clock[0] = AFTER_NOTICE
    before = (await contest.candidacy(second)).etag
    await correct(contest, kpi_id, 80, agent=0)  # 90
    approve = ApproveCandidacyRequest(candidacy_id=second, etag=before, reason="in order")
    approving = contest.world.candidacies.ApproveCandidacy(approve, metadata=by(contest.hr2))
    await refused(approving, StatusCode.ABORTED, "ETAG_MISMATCH")
    displaced = (await contest.candidacy(second)).drift.displacement
    assert displaced == Displacement(within_seats=False, candidacy_ids=[first])
    await contest.close(cancelled=True)
    assert await drifted(contest) == [first]


async def test_who_has_left_displaces_nobody(contest: Contest) -> None:
    kpi_id, (first, second) = await listed(contest)
    await correct(contest, kpi_id, 55)
    assert await drifted(contest) == [second, first]
    await contest.withdraw(contest.agents[1])
    assert await drifted(contest) == [second]
    assert not (await contest.candidacy(second)).drift.HasField("displacement")


async def test_a_correction_after_the_competition_was_closed(contest: Contest) -> None:
    """Touches the same; here a violation that comes late, without which nobody would have taken part."""
    await conduct(contest)
    first, second = await contest.competed(3, 5)
    await contest.rank()
    await contest.close()
    assert await contest.states([first, second]) == ["NOT_SELECTED", "NOT_SELECTED"]
    await noise(contest, contest.agents[1])
    assert await drifted(contest) == [second, first]
    let_in = (await contest.candidacy(first)).drift.displacement
    assert let_in == Displacement(within_seats=True, candidacy_ids=[second])


async def seen_again(contest: Contest) -> None:
    """Who follows the facts begins anew, as after a crash before anything of it was kept."""
    service = contest.world.services["promotion"]
    (follower,) = (part for one in service.followers if one.name == "watch-candidacies" for part in one.parts)
    async with follower.stepping, writing(service.engine) as rows:
        epoch = follower.epoch
        await rows.execute(update(FOLLOWERS).where(FOLLOWERS.c.name == follower.handler.name).values(position=0))
    await contest.world.employee(contest.team)  # moves it, and it finds itself overtaken
    await contest.settled()
    assert follower.epoch > epoch


async def test_nobody_approves_unseen(contest: Contest) -> None:
    """By an etag of before the correction it is refused, however soon; by the new one a person decides."""
    kpi_id, (_, second) = await listed(contest)
    contest.world.clock[0] = AFTER_NOTICE
    before = (await contest.candidacy(second)).etag
    await correct(contest, kpi_id, 65)
    approve = ApproveCandidacyRequest(candidacy_id=second, etag=before, reason="in order")
    approving = contest.world.candidacies.ApproveCandidacy(approve, metadata=by(contest.hr2))
    await refused(approving, StatusCode.ABORTED, "ETAG_MISMATCH")
    seen = await contest.candidacy(second)
    assert seen.drift.score.total == "76.00"
    approve.etag, approve.reason = seen.etag, "within the seats all the same"
    approved = await contest.world.candidacies.ApproveCandidacy(approve, metadata=by(contest.hr2))
    assert (approved.state, approved.drift.score.total) == (Candidacy.STATE_APPROVED, "76.00")


async def test_a_score_is_looked_at_when_it_is_written(contest: Contest) -> None:
    """Of a fact and a score, whichever is seen second: here what the score rested on is not so any more."""
    (only,) = await contest.competed(3)
    service = contest.world.services["promotion"]
    context = Context(now=service.now(), today=service.today(), actor=f"user:{contest.hr}")
    await service.commands.handle(CANDIDACY, only, NoteScore(score=Score(total="1.00")), context)
    assert await drifted(contest) == [only]
    assert (await contest.candidacy(only)).drift.score.total == "68.00"


async def test_only_hr_lists_drifts(contest: Contest) -> None:
    request = ListCandidaciesRequest(drifted_only=True)
    for caller in (contest.agents[0], contest.lead, contest.manager, contest.interviewers[0]):
        asking = contest.world.candidacies.ListCandidacies(request, metadata=by(caller))
        await refused(asking, StatusCode.PERMISSION_DENIED, "NEED_TO_KNOW")


async def conduct(contest: Contest, *more: EligibilityRules.Criterion) -> None:
    """Rules of eligibility with fewer than three points, and the book that gives them."""
    clean = EligibilityRules.Criterion(conduct=EligibilityRules.Conduct(points=3, years=1))
    criteria = [clean, *more]
    for one in criteria:
        one.criterion_id = one.display_name = one.WhichOneof("test") or ""
    await contest.store("a-year", EligibilityRules(criteria=criteria))
    book = RuleBook(offences=[Offence(offence_id="noise", display_name="Noise", points=3)])
    policy = Policy(policy_id="book", effective_date="2020-01-01", rule_book=book)
    await contest.world.policies.SetPolicy(SetPolicyRequest(policy=policy))


async def noise(contest: Contest, agent: str, day: str = "2026-03-02") -> str:
    one = Record(record_id=f"noise-{agent}", employee_id=agent, date=day)
    one.violation.MergeFrom(Violation(rule_book_id="book", offence_id="noise"))
    await record(contest.world, one)
    return one.record_id


async def test_an_appeal_that_overturns_a_violation(contest: Contest) -> None:
    """A violation that comes late is a drift of who had applied; overturned, it is none."""
    await conduct(contest)
    await contest.opened()
    first, _ = await contest.apply(*contest.agents[:2])
    reviewer = await contest.world.employee(contest.team)
    record_id = await noise(contest, contest.agents[0])
    assert await drifted(contest) == [first]
    now = (await contest.candidacy(first)).drift.eligibility
    assert (now.eligible, now.as_of) == (False, "2026-03-16")
    assert [one.name for one in now.criteria if not one.met] == ["conduct"]
    assert (
        "by what is known now the candidate would not have been eligible on 2026-03-16, "
        "and “conduct” would be not met (3 points in 2026)."
    ) in text_of(await case_file(contest, first, contest.hr))
    records = contest.world.records
    dispute = DisputeRecordRequest(record_id=record_id, reason="not me", reviewer_id=reviewer)
    await records.DisputeRecord(dispute, metadata=by(contest.agents[0]))
    assert await drifted(contest) == [first]
    settle = SettleRecordDisputeRequest(
        record_id=record_id, outcome=DISPUTE_OUTCOME_OVERTURNED, reason="another's desk"
    )
    await records.SettleRecordDispute(settle, metadata=by(reviewer))
    assert await drifted(contest) == []


async def test_a_month_rated_anew_and_a_position_said_late(contest: Contest) -> None:
    """Both are judged as of the day of the application, by the rules of that day, though they were changed since."""
    await conduct(contest, ratings(2), tenure(12))
    for agent in contest.agents[:2]:
        await rate(contest.world, agent, "2026-01", "2026-02", rating=RATING_GOOD)
    await contest.opened()
    first, second = await contest.apply(*contest.agents[:2])
    await conduct(contest)
    await rate(contest.world, contest.agents[0], "2026-02", rating=RATING_UNQUALIFIED)
    assert await drifted(contest) == [first]
    await move(contest.world, contest.agents[1], "backoffice", "2026-03-01")
    assert await drifted(contest) == [second, first]
    await rate(contest.world, contest.agents[0], "2026-02", rating=RATING_GOOD)
    assert await drifted(contest) == [second]


async def test_a_course_that_was_not_taken_and_rules_of_an_earlier_day(contest: Contest) -> None:
    """A record taken back is a drift of who had applied with it; rules stored later, from whatever day, are of none."""
    courses = EligibilityRules.Courses(course_ids=["first-aid"], exam_passed=True)
    await conduct(contest, EligibilityRules.Criterion(courses=courses))
    for agent in contest.agents[:2]:
        course = Record(record_id=f"course-{agent}", employee_id=agent, date="2026-02-02")
        exam = Training.Exam(score="90", passed=True)
        course.training.MergeFrom(Training(course_id="first-aid", attended=True, exam=exam))
        await record(contest.world, course)
    await contest.opened()
    _, second = await contest.apply(*contest.agents[:2])
    await contest.store("a-year", EligibilityRules(criteria=[named(tenure(240))]))
    assert await drifted(contest) == []
    await contest.world.records.RetractRecord(
        RetractRecordRequest(record_id=f"course-{contest.agents[1]}", reason="another's exam")
    )
    assert await drifted(contest) == [second]
    now = (await contest.candidacy(second)).drift.eligibility
    assert [one.name for one in now.criteria if not one.met] == ["courses"]


async def test_a_quality_score_that_is_another(contest: Contest) -> None:
    """An evaluation scored again, or taken back, is a drift of the candidate whose score it went into."""
    world, agents = contest.world, contest.agents
    quality, form_id = await derived(world, "evaluation.score", "evaluation.count", per=100), await form(world)
    await contest.rules(asked.part_of_kpi(quality, "50"), asked.interview("30"), asked.manager("20"))
    first_call, second_call = (
        evaluation(form_id, agents[0], contest.interviewers[0], "2026-02-05", solution=solution)
        for solution in (100, 50)
    )
    other = evaluation(form_id, agents[1], contest.interviewers[0], "2026-02-05", solution=0)
    await create(world, first_call, second_call, other)
    first, second = await contest.competed(4, 4)
    await contest.rank()
    assert await drifted(contest) == []
    # (100 + 70) / 2 x 0.5, 80 x 0.3 and 80 x 0.2; the other has 40 x 0.5.
    assert [(await contest.candidacy(one)).score.total for one in (first, second)] == ["82.50", "60.00"]
    scored_again = evaluation(form_id, agents[0], contest.interviewers[0], "2026-02-05", solution=0)
    scored_again.record_id = second_call.record_id
    await world.records.CorrectRecord(CorrectRecordRequest(record=scored_again, reason="calibrated"))
    assert await drifted(contest) == [first]
    assert (await contest.candidacy(first)).drift.score.total == "75.00"
    retract = RetractRecordRequest(record_id=first_call.record_id, reason="another's call")
    await world.records.RetractRecord(retract)
    assert await drifted(contest) == [first]
    now = (await contest.candidacy(first)).drift
    assert (now.score.total, now.HasField("displacement")) == ("60.00", False)  # who applied first stays the first
    await world.records.RetractRecord(RetractRecordRequest(record_id=second_call.record_id, reason="another's call"))
    assert await drifted(contest) == [second, first]
    none = (await contest.candidacy(first)).drift
    assert (none.score.total, [one.missing for one in none.score.parts]) == ("", ["NO_FACTS", "", ""])
    assert (await contest.candidacy(second)).drift.displacement.within_seats


async def test_a_position_that_told_a_tie_apart(contest: Contest) -> None:
    """Since when it was held is what a rank rests on where the rules look at it; the total is the same."""
    ties = [asked.Tie(rule=CompetitionRules.RULE_TENURE), asked.APPLIED_FIRST]
    await contest.store("competitions", asked.rules(asked.interview("60"), asked.manager("40"), ties=ties))
    ids = await contest.competed(4, 4)
    await contest.rank()
    assert await drifted(contest) == []
    await move(contest.world, contest.agents[0], "trainee", "2019-01-01")
    await move(contest.world, contest.agents[0], "agent", "2020-01-01")
    assert await drifted(contest) == [ids[1], ids[0]]
    assert "the position would be held since 2020-01-01, not 2019-01-01" in (await score(contest, ids[0])).drift
    assert "the candidate would be within the seats" in (await score(contest, ids[1])).drift


async def test_it_is_looked_after_for_three_years(contest: Contest) -> None:
    """What ended longer ago stays as it is."""
    await conduct(contest)
    await contest.opened()
    first, second = await contest.apply(*contest.agents[:2])
    await contest.withdraw(contest.agents[0])
    contest.world.clock[0] = MORNING + timedelta(days=1)
    await contest.withdraw(contest.agents[1])
    contest.world.clock[0] = MORNING.replace(year=2029) + timedelta(days=1)
    for agent in contest.agents[:2]:
        await noise(contest, agent)
    assert await drifted(contest) == [second]
    assert [first, second] == [candidacy_key("c-1", agent) for agent in contest.agents[:2]]
