"""Scores explained, interviewers compared, and documents, as callers get them."""

import asyncio
import io
import re
from datetime import timedelta
from hashlib import sha256
from typing import Any

import pytest
from google.api.httpbody_pb2 import HttpBody
from google.protobuf.field_mask_pb2 import FieldMask
from grpc import StatusCode
from pypdf import PdfReader

from libs.common.envelope import ERASED
from libs.common.eventsourcing import Recorded
from libs.common.keys import SqlDataKeys
from services.promotion.candidacy import candidacy_key
from services.promotion.competition_policies import FollowCompetitions
from stepladder.performance.v1.directory_pb2 import Employee, UpdateEmployeeRequest
from stepladder.performance.v1.promotion_rules_pb2 import CompetitionRules
from stepladder.promotion.v1 import candidacy_pb2 as told
from stepladder.promotion.v1.competition_pb2 import (
    CloseApplicationsRequest,
    GetPublicListRequest,
    ListCompetitionsRequest,
    PublishListRequest,
)
from stepladder.promotion.v1.document_pb2 import (
    ExportCandidacyFileRequest,
    ExportLetterRequest,
    ExportPublicListRequest,
)
from stepladder.promotion.v1.events_pb2 import CandidacyApplied
from stepladder.promotion.v1.post_pb2 import SetHeadcountRequest
from stepladder.promotion.v1.scoring_pb2 import (
    DryRunRankingRequest,
    DryRunRankingResponse,
    GetInterviewSpreadRequest,
    GetScoreRequest,
    InterviewSpread,
    ScoreExplanation,
)
from tests.promotion import rules as asked
from tests.refusals import refused
from tests.services.test_competitions import Contest, by, founded
from tests.services.test_fairness import declare, happen
from tests.services.world import World, fact

NO = StatusCode.PERMISSION_DENIED, "NEED_TO_KNOW"
REFUSED = StatusCode.FAILED_PRECONDITION


@pytest.fixture
async def contest(world: World) -> Contest:
    return await founded(world)


async def score(contest: Contest, candidacy_id: str, caller: str = "") -> ScoreExplanation:
    request = GetScoreRequest(candidacy_id=candidacy_id)
    answer: ScoreExplanation = await contest.world.scores.GetScore(request, metadata=by(caller or contest.hr))
    return answer


async def spread(contest: Contest, caller: str = "", competition_id: str = "c-1") -> InterviewSpread:
    request = GetInterviewSpreadRequest(competition_id=competition_id)
    answer: InterviewSpread = await contest.world.scores.GetInterviewSpread(request, metadata=by(caller or contest.hr))
    return answer


async def public_list(contest: Contest, caller: str, kind: str = "html") -> HttpBody:
    request = ExportPublicListRequest(competition_id="c-1", format=kind)
    answer: HttpBody = await contest.world.documents.ExportPublicList(request, metadata=by(caller))
    return answer


async def letter(contest: Contest, candidacy_id: str, caller: str, kind: str = "html", language: str = "") -> HttpBody:
    request = ExportLetterRequest(candidacy_id=candidacy_id, format=kind, language=language)
    answer: HttpBody = await contest.world.documents.ExportLetter(request, metadata=by(caller))
    return answer


async def case_file(contest: Contest, candidacy_id: str, caller: str, kind: str = "html") -> HttpBody:
    request = ExportCandidacyFileRequest(candidacy_id=candidacy_id, format=kind)
    answer: HttpBody = await contest.world.documents.ExportCandidacyFile(request, metadata=by(caller))
    return answer


def text_of(file: HttpBody) -> str:
    return re.sub(r"<[^>]+>", " ", file.data.decode())


async def test_one_call_explains_every_number(contest: Contest) -> None:
    """50 % of a KPI in bands, 30 % of two interviews, 20 % of the manager: each down to its facts."""
    kpi_id, agents = await contest.world.kpi(), contest.agents
    measured = asked.pm("50")
    measured.kpi.kpi_id, measured.kpi.months = kpi_id, 2
    interview = asked.interview("30")
    await contest.rules(measured, interview, asked.manager("20"))
    await contest.world.record(
        fact(agents[0], "2026-01-05", kpi_id, 60),
        fact(agents[0], "2026-02-05", kpi_id, 79),  # together 139 of 200: 69.5 %
        fact(agents[0], "2026-03-05", kpi_id, 100),  # of the month in which applications closed
        fact(agents[1], "2026-02-05", kpi_id, 80),
    )
    first, second = await contest.competed(3, 5)
    ranked = await contest.rank()
    explained = await score(contest, first)
    made = explained.score
    by_part = {part.part_id: part for part in made.parts}
    # 6 of 10 points: 60 x 0.5; 3 of 5 for every key point: 60 x 0.3; the manager's 80 x 0.2.
    assert made.total == "64.00"
    assert (made.candidacy_id, made.rules_position) == (first, (await contest.get()).rules_position)
    banded = by_part["pm"]
    assert (banded.source.value, banded.band_points, banded.full_points) == ("69.5", "6", "10")
    (months,) = banded.inputs
    assert (months.name, months.value.value, len(months.positions)) == ("2026-01 to 2026-02", "69.5", 2)
    given = by_part["interview"].inputs
    assert [one.name for one in given] == sorted(contest.interviewers)
    assert [one.value.value for one in given] == ["60", "60"]
    assert [(one.name, one.value.value) for one in by_part["manager"].inputs] == [(contest.manager, "80")]
    assert (explained.ranked, explained.candidates, explained.seats) == (ranked.ranking[1], 2, 1)
    assert explained.ranking_position == ranked.log_position
    assert not explained.within_seats
    # The other has 50 + 30 + 16: not even all points of one part are enough.
    assert {one.part_id: one.enough.value for one in explained.changes} == {"pm": "", "interview": "", "manager": ""}
    best = await score(contest, second)
    assert (best.within_seats, list(best.changes), best.ranked.rank) == (True, [], 1)


async def test_what_told_ties_apart(contest: Contest) -> None:
    """Of three with the same total the earliest application is first; what would have changed that, is told."""
    first, second, _ = await contest.competed(4, 4, 4)
    await contest.rank()
    explained = await score(contest, second)
    (rule,) = explained.comparisons
    assert (explained.ranked.rank, explained.ranked.tie_broken_by, rule.rule) == (2, "APPLIED_FIRST", "APPLIED_FIRST")
    positions = [(await score(contest, one)).ranked.applied_position for one in (second, first)]
    assert [rule.own, rule.other] == [str(one) for one in positions]
    # 60 % of 80 and 40 % of 80: a cent more of either is 80.01 in all.
    assert {one.part_id: one.enough.value for one in explained.changes} == {
        "interview": "80.008334",
        "manager": "80.0125",
    }


async def test_lots_are_by_a_seed_that_nobody_has_before_the_ranking_and_everybody_after(contest: Contest) -> None:
    """Whoever is ranked draws the lots again, by hand; no ids tell of them before, nor do the questions."""
    by_lot = [asked.Tie(rule=CompetitionRules.RULE_LOT)]
    await contest.store("competitions", asked.rules(asked.interview("60"), asked.manager("40"), ties=by_lot))
    ids = await contest.competed(4, 4, 4)
    before = await contest.get()
    assert not before.lot_seed
    ranked = await contest.rank()
    assert re.fullmatch("[0-9a-f]{32}", ranked.lot_seed)
    assert re.fullmatch("[0-9a-f]{32}", ranked.question_seed)
    assert ranked.lot_seed != ranked.question_seed == before.question_seed
    lots = {one: sha256(f"{ranked.lot_seed}/{one}".encode()).hexdigest() for one in ids}
    assert [one.candidacy_id for one in ranked.ranking] == sorted(ids, key=lots.__getitem__)
    others = [f"q-{number}" for number in range(2, 6)]
    drawn = sorted(others, key=lambda one: sha256(f"{ranked.question_seed}/{one}".encode()).digest())[:2]
    assert list(ranked.question_ids) == ["q-1", *drawn]
    for place, one in enumerate(ranked.ranking):
        mine = await score(contest, one.candidacy_id, one.employee_id)
        assert mine.lot_seed == ranked.lot_seed
        assert [each.own for each in mine.comparisons] == ([lots[one.candidacy_id]] if place else [])


async def test_only_hr_is_told_names_and_only_those_concerned_a_score(contest: Contest) -> None:
    first, second = await contest.competed(3, 3)
    own, other = contest.agents[:2]
    interviewers, outsider = contest.interviewers, contest.agents[3]
    await refused(score(contest, first, own), REFUSED, "NOT_SCORED")
    await refused(score(contest, first, contest.lead), REFUSED, "NOT_SCORED")
    assert (await score(contest, first)).provisional
    await contest.rank()
    assert not (await score(contest, first)).provisional
    for caller in (own, contest.lead, contest.manager):
        explained = await score(contest, first, caller)
        assert explained.score.total == (await score(contest, first)).score.total
        assert not set(re.findall(r"e-\w+", str(explained))) & {*interviewers, other}
        by_part = {part.part_id: part for part in explained.score.parts}
        assert [one.name for one in by_part["interview"].inputs] == ["interviewer-1", "interviewer-2"]
        assert not explained.changes
    told_of_second = await score(contest, second, other)
    assert (await score(contest, second)).changes  # of which the total of the first can be reckoned
    assert [one.other for one in told_of_second.comparisons] == [""]
    assert not told_of_second.changes
    for caller in (other, outsider, *interviewers):
        await refused(score(contest, first, caller), *NO)
        await refused(score(contest, "c-none", caller), *NO)
    await refused(score(contest, "c-none"), StatusCode.NOT_FOUND, "CANDIDACY_NOT_FOUND")


async def test_whoever_moves_up_reads_that_they_did(contest: Contest) -> None:
    """Not that they are outside of the seats, nor what would have put them within."""
    _, second = await contest.competed(5, 3)
    await contest.rank()
    assert (await score(contest, second)).changes
    await contest.withdraw(contest.agents[0])
    await contest.publish()
    assert not (await score(contest, second)).changes
    for caller in (contest.hr, contest.agents[1]):
        page = text_of(await case_file(contest, second, caller))
        assert "at rank 2 of 2, for 1 seat, listed later, as others had left." in page
        assert "not within the seats" not in page
        assert contest.agents[0] not in page


async def test_whoever_was_not_selected_reads_their_rank_and_why(contest: Contest) -> None:
    first, second = await contest.competed(5, 3)
    asking = told.GetCandidacyRequest(candidacy_id=second)

    async def seen(caller: str) -> tuple[int, str]:
        found = await contest.world.candidacies.GetCandidacy(asking, metadata=by(caller))
        return found.rank, found.ended_reason

    own = contest.agents[1]
    assert await seen(own) == (0, "")
    await contest.rank()
    await contest.publish()
    assert await seen(own) == (2, "")
    assert await seen(contest.interviewers[0]) == (0, "")
    await contest.withdraw(contest.agents[0])
    await contest.close()
    assert await seen(own) == (2, "The competition was closed: ranked 2 of 2 for 1 seat.")
    assert (await contest.candidacy(first)).ended_reason == "another plan"


async def test_who_was_not_selected_reads_that_the_competition_was_cancelled(contest: Contest) -> None:
    (one,) = await contest.competed(5)
    await contest.rank()
    await contest.close(cancelled=True)
    found = await contest.candidacy(one)
    assert (found.rank, found.ended_reason) == (1, "The competition was cancelled.")


async def test_there_is_no_score_of_who_has_left(contest: Contest) -> None:
    first, _ = await contest.competed(3, 3)
    await contest.withdraw(contest.agents[0])
    await refused(score(contest, first), REFUSED, "NOT_SCORED")
    await contest.rank()
    await refused(score(contest, first), REFUSED, "NOT_SCORED")


async def test_how_far_interviewers_are_apart(contest: Contest) -> None:
    """The first gives 20 less than the second, each time: 10 off the mean, which the rules call harsh."""
    interview = asked.interview("100")
    interview.interview.harshness = "10"
    await contest.rules(interview)
    await contest.opened()
    ids = await contest.apply(*contest.agents[:3])
    await contest.say(CloseApplicationsRequest(competition_id="c-1"))
    await contest.panel()
    harsh, lenient = contest.interviewers
    for one in ids:
        await contest.reviewed(one, "")
        await contest.interviewed(one, harsh, 3)
        await contest.interviewed(one, lenient, 4)
    found = await spread(contest)
    assert {one.interviewer_id: (one.mean_difference.value, one.leaning) for one in found.interviewers} == {
        harsh: ("-10", InterviewSpread.LEANING_HARSH),
        lenient: ("10", InterviewSpread.LEANING_LENIENT),
    }
    assert [(one.candidacy_id, one.mean.value, one.spread.value) for one in found.candidates] == [
        (one, "70", "20") for one in sorted(ids)
    ]
    for caller in (contest.lead, harsh, contest.agents[0]):
        await refused(spread(contest, caller), *NO)
        await refused(spread(contest, caller, "none"), *NO)
    await refused(spread(contest, competition_id="none"), StatusCode.NOT_FOUND, "COMPETITION_NOT_FOUND")


async def test_a_competition_without_interviews_has_no_spread(contest: Contest) -> None:
    await contest.rules(asked.manager("100"))
    await contest.opened()
    await refused(spread(contest), REFUSED, "NO_INTERVIEW")


async def test_everybody_employed_reads_the_list(contest: Contest) -> None:
    """Names, ranks and days, in every format; no scores."""
    outsider = contest.agents[3]
    await contest.competed(3, 5)
    await refused(public_list(contest, outsider), REFUSED, "LIST_NOT_PUBLISHED")
    await contest.rank()
    await contest.publish()
    page = text_of(await public_list(contest, outsider))
    assert contest.agents[1] in page
    assert contest.agents[0] not in page
    assert "Senior" in page
    assert (await contest.candidacy((await contest.get()).listed_candidacy_ids[0])).notice_until in page
    assert "92" not in page
    for kind, begins in (("pdf", b"%PDF"), ("csv", b"\xef\xbb\xbf"), ("xlsx", b"PK")):
        assert (await public_list(contest, outsider, kind)).data.startswith(begins)
    await refused(public_list(contest, "nobody"), *NO)
    await refused(public_list(contest, outsider, "docx"), StatusCode.INVALID_ARGUMENT, "INVALID_FIELDS")


async def approved(contest: Contest) -> str:
    """The best of two candidacies, up to its letter."""
    _, best = await contest.competed(3, 5)
    await contest.rank()
    await contest.publish()
    contest.world.clock[0] += timedelta(days=9)
    await contest.settled()
    await approve(contest, best)
    return best


async def approve(contest: Contest, candidacy_id: str) -> None:
    etag = (await contest.candidacy(candidacy_id)).etag
    request: Any = told.ApproveCandidacyRequest(candidacy_id=candidacy_id, etag=etag, reason="best")
    await contest.world.candidacies.ApproveCandidacy(request, metadata=by(contest.hr2))


async def test_no_list_goes_on_paper_without_its_days(contest: Contest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks before the candidacies have heard of the list is to ask again."""
    await contest.competed(5)
    await contest.rank()
    may = asyncio.Event()
    react = FollowCompetitions.react

    async def later(policy: FollowCompetitions, event: Recorded) -> None:
        await may.wait()
        await react(policy, event)

    monkeypatch.setattr(FollowCompetitions, "react", later)
    await contest.say(PublishListRequest(competition_id="c-1"))
    await refused(public_list(contest, contest.hr), StatusCode.UNAVAILABLE, "NOT_YET_INCLUDED")
    may.set()
    await contest.settled()
    assert "2026-03-23" in text_of(await public_list(contest, contest.hr))


async def test_a_list_says_until_when_objections_are_taken(contest: Contest) -> None:
    """As the candidacies take them: after the last day of the notice, too, and none once it is approved."""
    _, best = await contest.competed(3, 5)
    await contest.rank()
    await contest.publish()
    contest.world.clock[0] += timedelta(days=9)
    await contest.settled()
    outsider = contest.agents[3]
    page = text_of(await public_list(contest, outsider))
    assert "until the approval" in page
    assert best in page
    raised = told.RaiseObjectionRequest(candidacy_id=best, objection_id="o-1", reason="too new")
    await contest.world.candidacies.RaiseObjection(raised, metadata=by(outsider))
    key = (await contest.candidacy(best)).objections[0].objection_id
    settle = told.SettleObjectionRequest(
        candidacy_id=best,
        objection_id=key,
        upheld=False,
        reason="not so",
        etag=(await contest.candidacy(best)).etag,
    )
    await contest.world.candidacies.SettleObjection(settle, metadata=by(contest.hr))
    await approve(contest, best)
    page = text_of(await public_list(contest, outsider))
    assert "until the approval" not in page
    assert "no longer: approved on 2026-03-25" in page
    raised.objection_id = "o-2"
    await refused(contest.world.candidacies.RaiseObjection(raised, metadata=by(outsider)), REFUSED, "NOT_LISTED")


async def test_the_letter_in_two_languages(contest: Contest) -> None:
    best = await approved(contest)
    own, other = contest.agents[1], contest.agents[0]
    await refused(letter(contest, best, own), REFUSED, "NO_LETTER")
    issue = told.IssueLetterRequest(candidacy_id=best, etag=(await contest.candidacy(best)).etag)
    await contest.world.candidacies.IssueLetter(issue, metadata=by(contest.hr))
    english = text_of(await letter(contest, best, own))
    assert "Dear Somebody," in english
    assert "the post of Senior" in english
    assert "on trial for 2 weeks" in english
    chinese = text_of(await letter(contest, best, contest.hr, language="zh"))
    assert "2周" in chinese
    pages = PdfReader(io.BytesIO((await letter(contest, best, own, "pdf", "zh")).data)).pages
    assert len(pages) == 1
    for caller in (other, contest.lead, contest.manager, *contest.interviewers):
        await refused(letter(contest, best, caller), *NO)
        await refused(letter(contest, "none", caller), *NO)
    await refused(letter(contest, best, own, language="fr"), StatusCode.INVALID_ARGUMENT, "INVALID_FIELDS")


async def test_the_case_file_for_hr_and_for_the_candidate(contest: Contest) -> None:
    best = await approved(contest)
    own, other = contest.agents[1], contest.agents[0]
    for_hr, for_them = text_of(await case_file(contest, best, contest.hr)), text_of(await case_file(contest, best, own))
    for words in ("92.00", "within the seats", "I train the new ones", "Interviewed: 30 of 30 points.", "clear"):
        assert words in for_hr
        assert words in for_them
    for words in ("What did you do? (q-1)", "5 of 5: What did you do?", "On average 100 % of the full points, 0 from"):
        assert words in for_hr
        assert words not in for_them
    named = {contest.lead, contest.manager, contest.hr, contest.hr2, *contest.interviewers}
    assert all(one in for_hr for one in named)
    assert not [one for one in named if one in for_them]
    assert other not in for_hr + for_them
    pages = PdfReader(io.BytesIO((await case_file(contest, best, contest.hr, "pdf")).data)).pages
    assert "At a glance" in pages[0].extract_text()
    for caller in (other, contest.lead, contest.manager, *contest.interviewers):
        await refused(case_file(contest, best, caller), *NO)
        await refused(case_file(contest, "none", caller), *NO)
    await refused(case_file(contest, "none", contest.hr), StatusCode.NOT_FOUND, "CANDIDACY_NOT_FOUND")


async def everything(contest: Contest, candidacy_id: str) -> str:
    """All that HR reads of a competition and of a candidacy, and all the paper that there is of it."""
    world, caller = contest.world, by(contest.hr)
    listed = await world.candidacies.ListCandidacies(told.ListCandidaciesRequest(), metadata=caller)
    answers = [
        *[one for one in listed.candidacies if one.candidacy_id == candidacy_id],
        await contest.candidacy(candidacy_id),
        await contest.get(),
        await score(contest, candidacy_id),
        await spread(contest),
        await world.competitions.ListCompetitions(ListCompetitionsRequest(), metadata=caller),
        await world.competitions.GetPublicList(GetPublicListRequest(competition_id="c-1"), metadata=caller),
    ]
    files = [
        await public_list(contest, contest.hr),
        *[await letter(contest, candidacy_id, contest.hr, language=one) for one in ("en", "zh")],
        await case_file(contest, candidacy_id, contest.hr),
    ]
    return "".join([*map(str, answers), *map(text_of, files)])


async def named(contest: Contest, **names: str) -> None:
    """Gives people names to be known by."""
    for employee_id, name in names.items():
        employee = Employee(employee_id=employee_id, display_name=name)
        request = UpdateEmployeeRequest(employee=employee, update_mask=FieldMask(paths=["display_name"]))
        await contest.world.directory.UpdateEmployee(request)


async def test_of_whoever_was_erased_no_name_and_no_word_comes_back(contest: Contest) -> None:
    """The candidate, an interviewer, who objected, and who signed: all is still answered, and says so plainly."""
    _, best = await contest.competed(3, 5)
    objector, own, interviewer = contest.agents[3], contest.agents[1], contest.interviewers[0]
    people = {own: "Ilze Kalnina", interviewer: "Andris Ozols", objector: "Peteris Liepa", contest.hr: "Ruta Zarina"}
    await named(contest, **people)
    await contest.rank()
    await contest.publish()
    await contest.settled()
    candidacies = contest.world.candidacies
    objection = told.RaiseObjectionRequest(candidacy_id=best, objection_id="o-1", reason="The nights were mine")
    raised = await candidacies.RaiseObjection(objection, metadata=by(objector))
    settle = told.SettleObjectionRequest(
        candidacy_id=best, objection_id=raised.objection_id, upheld=False, reason="They were shared"
    )
    await candidacies.SettleObjection(settle, metadata=by(contest.hr))
    contest.world.clock[0] += timedelta(days=20)
    etag = (await contest.candidacy(best)).etag
    approve = told.ApproveCandidacyRequest(candidacy_id=best, etag=etag, reason="best")
    await candidacies.ApproveCandidacy(approve, metadata=by(contest.hr2))
    issue = told.IssueLetterRequest(candidacy_id=best, etag=(await contest.candidacy(best)).etag)
    await candidacies.IssueLetter(issue, metadata=by(contest.hr))

    words = ("I train the new ones", "clear", "The nights were mine", "They were shared")
    before = await everything(contest, best)
    assert all(one in before for one in (*people.values(), *words))
    keys = contest.world.services["promotion"].codec._keys
    assert isinstance(keys, SqlDataKeys)
    for count, (erased, name) in enumerate(reversed(people.items()), 1):
        await keys.erase(erased)
        after = await everything(contest, best)
        assert name not in after
        assert f"{ERASED} ({erased})" in after
        assert sum(one in after for one in people.values()) == len(people) - count
        assert all(one in after for one in words) == (erased != own)
    assert not [one for one in words if one in after]
    assert "The candidate’s personal data was erased" in after
    assert f"Dear {ERASED}," in after
    for caller in (own, contest.hr):
        for kind in ("pdf", "csv", "xlsx"):
            assert (await case_file(contest, best, caller, kind)).data


async def test_the_candidate_reads_nothing_of_interviews_before_the_ranking(contest: Contest) -> None:
    first, _ = await contest.competed(3, 5)
    page = text_of(await case_file(contest, first, contest.agents[0]))
    assert "There is no score yet." in page
    assert "Interviewed" not in page
    assert "Interviewed: 18 of 30 points." in text_of(await case_file(contest, first, contest.hr))


async def replayed(contest: Contest, caller: str = "", **asked_for: Any) -> list[DryRunRankingResponse]:
    """Everything that is told of trying rules on a competition, unless a cycle or a year is asked for."""
    unit = {} if asked_for.keys() & {"cycle_id", "year"} else {"competition_id": "c-1"}
    request = DryRunRankingRequest(**{**unit, **asked_for})
    call = contest.world.scores.DryRunRanking(request, metadata=by(caller or contest.hr))
    return [one async for one in call]


def moved(answer: DryRunRankingResponse) -> list[tuple[str, int, int, str, str, bool, bool]]:
    return [
        (
            one.candidacy_id,
            one.rank_before,
            one.rank_after,
            one.total_before,
            one.total_after,
            one.within_seats_before,
            one.within_seats_after,
        )
        for one in answer.replay.candidates
    ]


async def test_rules_are_tried_on_a_ranked_competition(contest: Contest) -> None:
    """A draft turns the ranks round, by what was known then; the pinned rules change nothing, and nothing is stored."""
    kpi_id, agents = await contest.world.kpi(), contest.agents
    await contest.world.record(fact(agents[0], "2026-02-05", kpi_id, 90), fact(agents[1], "2026-02-05", kpi_id, 70))
    first, second = await contest.competed(3, 5)
    await contest.rank()
    await contest.world.record(fact(agents[1], "2026-02-06", kpi_id, 100))  # too late to count
    pinned = (await contest.get()).rules_position
    end = await contest.world.end()
    measured = asked.part_of_kpi(kpi_id, "60")
    one, last = await replayed(contest, rules=asked.rules(measured, asked.manager("40")))
    # 60 and 100 % of the interview and 80 of the manager, 60:40; then 90 and 70 % of the KPI, and the manager's, 60:40.
    assert moved(one) == [
        (second, 1, 2, "92.00", "74.00", True, False),
        (first, 2, 1, "68.00", "86.00", False, True),
    ]
    assert (one.competitions, one.of_competitions, one.replay.rules_position, one.replay.seats) == (1, 1, pinned, 1)
    assert not last.HasField("replay")
    assert (last.competitions, last.of_competitions, last.known_at, last.smallest_group) == (1, 1, end, 5)
    same, _ = await replayed(contest, policy_position=pinned, year=2026)
    assert moved(same) == [(second, 1, 1, "92.00", "92.00", True, True), (first, 2, 2, "68.00", "68.00", False, False)]
    peers = asked.rules(asked.peers("50"), asked.manager("50"))
    asked_of_nobody, _ = await replayed(contest, contest.hr2, rules=peers, cycle_id="spring")
    assert [(one[2], one[4], one[6]) for one in moved(asked_of_nobody)] == [(0, "", False)] * 2
    assert [[(part.part_id, part.missing) for part in one.missing] for one in asked_of_nobody.replay.candidates] == [
        [("peers", "PEERS_NOT_CLOSED")]
    ] * 2
    assert await contest.world.end() == end


async def test_the_adverse_impact_of_rules_that_are_tried(contest: Contest) -> None:
    """Three men are within the seats by the interview, three women would be by the KPI: a flag each, no number; with
    a larger smallest group, or for a draft, nothing.
    """
    world, kpi_id = contest.world, await contest.world.kpi()
    contest.agents += [await world.employee(contest.team) for _ in range(2)]
    headcount = SetHeadcountRequest(position="senior", team_id=contest.team, headcount=3, effective_date="2019-01-01")
    await world.posts.SetHeadcount(headcount, metadata=by(contest.hr))
    for number, agent in enumerate(contest.agents):
        await declare(world, agent, sex="male" if number < 3 else "female")
        await world.record(fact(agent, "2026-02-05", kpi_id, 50 if number < 3 else 90))
    pinned = asked.rules(asked.interview("60"), asked.manager("40"))
    pinned.smallest_group = 3
    await contest.store("competitions", pinned)
    world.clock[0] += timedelta(minutes=1)
    await contest.competed(5, 5, 5, 3, 3, 3, seats=3)
    await contest.rank()
    tried = asked.rules(asked.part_of_kpi(kpi_id, "100"))
    tried.smallest_group = 3
    await declare(world, contest.agents[0])  # after applications closed: it changes nothing
    *_, last = await replayed(contest, policy_position=await contest.store("tried", tried))
    (told_of,) = last.impact
    assert (told_of.dimension, last.smallest_group) == ("sex", 3)
    assert [(one.group, one.below_four_fifths_before, one.below_four_fifths_after) for one in told_of.groups] == [
        ("female", True, False),
        ("male", False, True),
    ]
    *_, last = await replayed(contest, rules=tried)
    assert (list(last.impact), last.smallest_group) == ([], 3)  # of a draft nothing is told
    tried.smallest_group = 4
    *_, last = await replayed(contest, policy_position=await contest.store("tried", tried))
    assert (list(last.impact), last.smallest_group) == ([], 4)


async def test_who_tries_rules_on_competitions_and_which(contest: Contest) -> None:
    """HR and the executive, but no candidate; ranked competitions, and rules that could be stored."""
    draft = asked.rules(asked.manager("100"))
    await contest.competed(3, 5)
    executive = await contest.world.employee(contest.team, job_family="executive")
    await refused(replayed(contest, rules=draft), REFUSED, "NOT_RANKED")
    assert [one.HasField("replay") for one in await replayed(contest, rules=draft, year=2026)] == [False]
    await contest.rank()
    assert len(await replayed(contest, executive, rules=draft)) == 2
    for caller in (contest.lead, contest.manager, contest.agents[0], *contest.interviewers, "nobody"):
        await refused(replayed(contest, caller, rules=draft), *NO)
        await refused(replayed(contest, caller, rules=draft, competition_id="none"), *NO)
    candidate = contest.hr2
    applied = CandidacyApplied(
        candidacy_id=candidacy_key("c-1", candidate), competition_id="c-1", employee_id=candidate
    )
    await happen(contest.world, "candidacy", applied.candidacy_id, applied)
    await refused(replayed(contest, candidate, rules=draft), *NO)
    assert [one.HasField("replay") for one in await replayed(contest, candidate, rules=draft, year=2026)] == [False]
    ninety = asked.rules(*asked.EXAMPLE_B)
    unknown = asked.rules(asked.part_of_kpi("none", "100"))
    missing, invalid = StatusCode.NOT_FOUND, StatusCode.INVALID_ARGUMENT
    for what, code, reason in (
        ({"rules": draft, "competition_id": "none"}, missing, "COMPETITION_NOT_FOUND"),
        ({"rules": draft, "cycle_id": "none"}, missing, "CYCLE_NOT_FOUND"),
        ({"policy_position": 10**9}, missing, "POLICY_NOT_FOUND"),
        ({"policy_position": (await contest.get()).eligibility_position}, missing, "POLICY_NOT_FOUND"),
        ({"rules": unknown}, missing, "KPI_NOT_FOUND"),
        ({"rules": ninety}, invalid, "POLICY_INVALID"),
        ({}, invalid, "INVALID_FIELDS"),
    ):
        await refused(replayed(contest, **what), code, reason)
    await contest.close(cancelled=True)
    await refused(replayed(contest, rules=draft), REFUSED, "NOT_RANKED")
