"""Competitions as callers see them: from the seats that are claimed to those that are given back."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from shutil import copytree
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from google.protobuf.message import Message
from grpc import StatusCode

from libs.cli.nats_server import NatsServer
from libs.common.eventsourcing import Context
from libs.common.rebuilding import rebuild
from services.promotion import rankings
from services.promotion.candidacy import CANDIDACY, candidacy_key
from services.promotion.post import POST, post_id
from stepladder.performance.v1.directory_pb2 import AppointTeamLeadRequest
from stepladder.performance.v1.policy_pb2 import Calendar, Policy, SetPolicyRequest
from stepladder.performance.v1.promotion_rules_pb2 import CompetitionRules, EligibilityRules, Ladder, QuestionBank
from stepladder.promotion.v1 import candidacy_pb2 as told
from stepladder.promotion.v1 import competition_pb2 as pb
from stepladder.promotion.v1.candidacy_pb2 import Candidacy
from stepladder.promotion.v1.competition_pb2 import Competition, PublicList
from stepladder.promotion.v1.cycle_pb2 import CloseCycleRequest, OpenCycleRequest
from stepladder.promotion.v1.events_pb2 import CandidacyApplied
from stepladder.promotion.v1.interview_pb2 import AnswerScore
from stepladder.promotion.v1.post_pb2 import ClaimSeats, GetPostRequest, SetHeadcountRequest, Vacancies
from tests.promotion import rules as asked
from tests.refusals import refused
from tests.servers import in_a_loop_of_its_own, running_nats
from tests.services.world import World, caught_up, open_world, until
from tests.tokens import as_person

MORNING = datetime(2026, 3, 16, 9, tzinfo=UTC)
"""Of a Monday."""
UNTIL = date(2026, 3, 27)
"""The last day for applications."""
FLOOR = {"ladder_id": "positions", "rung_id": "senior"}


def by(caller: str) -> tuple[tuple[str, str]]:
    return as_person(caller)


def question(question_id: str, *, compulsory: bool = False) -> QuestionBank.Question:
    texts = [QuestionBank.Text(language="en", text="What did you do?")]
    points = [QuestionBank.KeyPoint(key_point_id=one, points=5, texts=texts) for one in ("a", "b")]
    kind = QuestionBank.KIND_BEHAVIOURAL
    return QuestionBank.Question(
        question_id=question_id, kind=kind, compulsory=compulsory, texts=texts, key_points=points
    )


@dataclass
class Contest:
    """A floor with a lead, a manager over it, and agents who may become seniors; two interviewers; two of HR."""

    world: World
    team: str
    lead: str
    manager: str
    agents: list[str]
    interviewers: list[str]
    hr: str
    hr2: str

    @property
    def post_id(self) -> str:
        return post_id("senior", 0, self.team)

    async def say(self, request: Message, caller: str = "") -> Any:
        """A request to the service of competitions."""
        rpc = getattr(self.world.competitions, request.DESCRIPTOR.name.removesuffix("Request"))
        return await rpc(request, metadata=by(caller or self.hr))

    def opening(self, competition_id: str = "c-1", **changes: Any) -> pb.OpenCompetitionRequest:
        said = {"competition_id": competition_id, "cycle_id": "spring", "team_id": self.team, "seats": 1}
        return pb.OpenCompetitionRequest(**{**FLOOR, **said, **changes})

    async def opened(self, competition_id: str = "c-1", **changes: Any) -> Competition:
        answer: Competition = await self.say(self.opening(competition_id, **changes))
        return answer

    async def get(self, caller: str = "", competition_id: str = "c-1") -> Competition:
        answer: Competition = await self.say(pb.GetCompetitionRequest(competition_id=competition_id), caller)
        return answer

    async def cycle(self, cycle_id: str = "spring") -> None:
        own = OpenCycleRequest.Own(
            cycle_id=cycle_id, display_name="A", end_date="2026-06-30", applications_until=UNTIL.isoformat()
        )
        await self.world.cycles.OpenCycle(OpenCycleRequest(own=own), metadata=by(self.hr))

    async def store(self, policy_id: str, content: Message) -> int:
        policy = Policy(policy_id=policy_id, effective_date="2020-01-01")
        name = {QuestionBank: "question_bank", EligibilityRules: "eligibility", CompetitionRules: "competition"}
        getattr(policy, name.get(type(content), type(content).__name__.lower())).CopyFrom(content)
        return int((await self.world.policies.SetPolicy(SetPolicyRequest(policy=policy))).log_position)

    async def rules(self, *parts: CompetitionRules.Part, calendar_id: str = "") -> None:
        rules = asked.rules(*(parts or (asked.interview("60"), asked.manager("40"))))
        rules.calendar_id = calendar_id
        await self.store("competitions", rules)

    async def vacancies(self) -> Vacancies:
        request = GetPostRequest(post_id=self.post_id)
        return (await self.world.posts.GetPost(request, metadata=by(self.hr))).vacancies

    async def apply(self, *agents: str, competition_id: str = "c-1") -> list[str]:
        """Applications, one after the other; their ids."""
        for one in agents:
            request = told.ApplyRequest(competition_id=competition_id, motivation="I train the new ones")
            await self.world.candidacies.Apply(request, metadata=by(one))
        return [candidacy_key(competition_id, one) for one in agents]

    async def reviewed(self, candidacy_id: str, score: str) -> None:
        """By the lead, then by the manager."""
        recommend = told.ReviewAsLeadRequest(
            candidacy_id=candidacy_id,
            recommended=True,
            interview_date=self.world.services["promotion"].today().isoformat(),
            report="ready",
        )
        await self.world.candidacies.ReviewAsLead(recommend, metadata=by(self.lead))
        approve = told.ReviewAsManagerRequest(candidacy_id=candidacy_id, approved=True, score=score, report="yes")
        await self.world.candidacies.ReviewAsManager(approve, metadata=by(self.manager))

    async def interviewed(self, candidacy_id: str, interviewer: str, points: int) -> None:
        """So many points for each key point."""
        scores = [AnswerScore.KeyPointScore(key_point_id=one, points=points) for one in ("a", "b")]
        given = AnswerScore.KeyPointScores(scores=scores)
        answers = [AnswerScore(question_id=one, key_points=given) for one in (await self.get()).question_ids]
        request = told.ScoreInterviewRequest(candidacy_id=candidacy_id, answers=answers, notes="clear")
        await self.world.candidacies.ScoreInterview(request, metadata=by(interviewer))

    async def panel(self, *interviewers: str) -> Competition:
        names = interviewers or self.interviewers
        answer: Competition = await self.say(pb.SetPanelRequest(competition_id="c-1", interviewer_ids=names))
        return answer

    async def candidacy(self, candidacy_id: str) -> Candidacy:
        request = told.GetCandidacyRequest(candidacy_id=candidacy_id)
        answer: Candidacy = await self.world.candidacies.GetCandidacy(request, metadata=by(self.hr))
        return answer

    async def withdraw(self, agent: str) -> None:
        request = told.WithdrawCandidacyRequest(candidacy_id=candidacy_key("c-1", agent), reason="another plan")
        await self.world.candidacies.WithdrawCandidacy(request, metadata=by(agent))
        await self.settled()

    async def competed(self, *points: int, seats: int = 1) -> list[str]:
        """Candidacies of as many agents, complete: what each got for every key point of the interviews."""
        await self.opened(seats=seats)
        ids = await self.apply(*self.agents[: len(points)])
        await self.say(pb.CloseApplicationsRequest(competition_id="c-1"))
        await self.panel()
        for one, got in zip(ids, points, strict=True):
            await self.reviewed(one, "80")
            for interviewer in self.interviewers:
                await self.interviewed(one, interviewer, got)
        return ids

    async def rank(self, caller: str = "") -> Competition:
        answer: Competition = await self.say(pb.RankCompetitionRequest(competition_id="c-1"), caller)
        return answer

    async def publish(self) -> Competition:
        answer: Competition = await self.say(pb.PublishListRequest(competition_id="c-1"))
        await self.settled()
        return answer

    async def close(self, *, cancelled: bool = False) -> Competition:
        answer: Competition = await self.say(pb.CloseCompetitionRequest(competition_id="c-1", cancelled=cancelled))
        await self.settled()
        return answer

    async def states(self, ids: list[str]) -> list[str]:
        found = [await self.candidacy(one) for one in ids]
        return [Candidacy.State.Name(one.state).removeprefix("STATE_") for one in found]

    async def settled(self) -> None:
        """Every policy has done what follows, and what follows from that."""
        for _ in range(3):
            await caught_up(self.world, "promotion")


async def founded(world: World) -> Contest:
    world.clock[0] = MORNING
    team, leads, office = await asyncio.gather(*(world.team() for _ in range(3)))
    lead, manager, *others = await asyncio.gather(
        *(world.employee(one) for one in (leads, office, *[team] * 4, *[office] * 2)),
        *(world.employee(office, job_family="hr") for _ in range(2)),
    )
    agents, interviewers, (hr, hr2) = others[:4], others[4:6], others[6:]
    for led, leader in ((team, lead), (leads, manager)):
        appoint = AppointTeamLeadRequest(team_id=led, lead_id=leader, effective_date="2019-01-01")
        await world.directory.AppointTeamLead(appoint)
    contest = Contest(world, team, lead, manager, agents, interviewers, hr, hr2)
    rungs = [
        Ladder.Rung(rung_id="agent", display_name="Agent", position="agent"),
        Ladder.Rung(
            rung_id="senior",
            display_name="Senior",
            position="senior",
            eligibility_id="a-year",
            competition_id="competitions",
        ),
    ]
    tenure = EligibilityRules.Criterion(
        criterion_id="tenure", display_name="A year", tenure=EligibilityRules.Tenure(months=12)
    )
    bank = [question("q-1", compulsory=True), *(question(f"q-{number}") for number in range(2, 6))]
    await asyncio.gather(
        contest.store("a-year", EligibilityRules(criteria=[tenure])),
        contest.store("bank", QuestionBank(questions=bank)),
        contest.cycle(),
    )
    await contest.rules()
    await contest.store("positions", Ladder(display_name="Positions", rungs=rungs))
    headcount = SetHeadcountRequest(position="senior", team_id=team, headcount=2, effective_date="2019-01-01")
    await world.posts.SetHeadcount(headcount, metadata=by(hr))
    return contest


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Contest]:
    """A contest that is founded once, with the folder in which everything of it is stored."""
    folder = tmp_path_factory.mktemp("ground")

    async def made(nats: NatsServer) -> Contest:
        async with open_world(folder, nats) as world:
            contest = await founded(world)
            await contest.settled()
            return contest

    with running_nats(folder / "nats", 1) as servers:
        contest = in_a_loop_of_its_own(made(servers[0]))
    return folder, contest


@pytest.fixture
async def contest(ground: tuple[Path, Contest], tmp_path: Path) -> AsyncIterator[Contest]:
    """The same in a world of the test's own."""
    folder, contest = ground
    copytree(folder, tmp_path, dirs_exist_ok=True)
    with running_nats(tmp_path / "nats", 1) as servers:
        async with open_world(tmp_path, servers[0], now=MORNING) as world:
            yield replace(contest, world=world)


async def test_to_its_end(both: World) -> None:
    """From the claimed seat to the list, by what everybody gave; who leaves it makes room for the next."""
    contest = await founded(both)
    opened = await contest.opened()
    assert (opened.position, opened.stars, opened.team_id) == ("senior", 0, contest.team)
    assert (opened.applications_until, opened.opened_date) == ("2026-03-27", "2026-03-16")
    assert min(opened.ladder_position, opened.eligibility_position, opened.rules_position) > 0
    assert ((await contest.vacancies()).claimed, (await contest.vacancies()).vacant) == (1, 1)
    first, second, third = ids = await contest.apply(*contest.agents[:3])
    both.clock[0] = MORNING + timedelta(days=11, hours=14, minutes=59)
    assert (await contest.get()).state == Competition.STATE_OPEN
    both.clock[0] = MORNING + timedelta(days=11, hours=15, minutes=1)  # it is the 28th
    closed = await until(contest.get, lambda one: one.state == Competition.STATE_APPLICATIONS_CLOSED)
    assert closed.applications_closed_date == "2026-03-28"
    panel = await contest.panel()
    assert list(panel.interviewer_ids) == contest.interviewers
    assert len(set(panel.question_ids)) == 3
    assert panel.question_ids[0] == "q-1"
    for one, score, points in ((first, "70", 3), (second, "90", 4), (third, "60", 4)):
        await contest.reviewed(one, score)
        for interviewer in contest.interviewers:
            await contest.interviewed(one, interviewer, points)
    ranked = await contest.rank()
    # 60 % of the interview (3 or 4 points of 5) and 40 % of what the manager gave.
    assert [(one.candidacy_id, one.total, one.rank) for one in ranked.ranking] == [
        (second, "84.00", 1),
        (third, "72.00", 2),
        (first, "64.00", 3),
    ]
    assert {(await contest.candidacy(one)).score.known_at for one in ids} == {
        (await contest.candidacy(first)).score.known_at
    }
    assert await contest.states(ids) == ["SCORED"] * 3
    listed = await contest.publish()
    assert list(listed.listed_candidacy_ids) == [second]
    assert await contest.states(ids) == ["SCORED", "LISTED", "SCORED"]
    request = pb.GetPublicListRequest(competition_id="c-1")
    public: PublicList = await contest.say(request, contest.agents[3])
    assert [(one.rank, one.employee_id, one.display_name) for one in public.entries] == [
        (1, contest.agents[1], "Somebody")
    ]
    await contest.withdraw(contest.agents[1])
    assert not (await contest.say(request, contest.agents[3])).entries
    again = await contest.publish()
    assert (list(again.listed_candidacy_ids), list(again.left_candidacy_ids)) == ([third], [second])
    assert await contest.states(ids) == ["SCORED", "WITHDRAWN", "LISTED"]
    running = contest.close()
    assert third in (await refused(running, StatusCode.FAILED_PRECONDITION, "CANDIDACIES_RUNNING")).message
    await contest.close(cancelled=True)
    assert await contest.states(ids) == ["NOT_SELECTED", "WITHDRAWN", "NOT_SELECTED"]
    assert ((await contest.vacancies()).claimed, (await contest.vacancies()).vacant) == (0, 2)
    await refused(contest.say(request), StatusCode.FAILED_PRECONDITION, "LIST_NOT_PUBLISHED")
    (follower,) = (one for one in both.services["promotion"].followers if one.handler.name == "competitions")
    assert [step async for step in rebuild(follower)][-1].changed_rows == 0


async def test_a_rung_with_stars(contest: Contest) -> None:
    """Is competed for by seats of the post with these stars, or where there is none, of the one of no stars."""
    rungs = [
        Ladder.Rung(rung_id=f"title-{stars}", display_name="Title", position="expert", stars=stars) for stars in (2, 3)
    ]
    rungs[1].eligibility_id, rungs[1].competition_id = "a-year", "competitions"
    await contest.store("titles", Ladder(display_name="Titles", rungs=rungs))
    whatever = SetHeadcountRequest(position="expert", team_id=contest.team, headcount=2, effective_date="2019-01-01")
    await contest.world.posts.SetHeadcount(whatever, metadata=by(contest.hr))
    opened = await contest.opened(ladder_id="titles", rung_id="title-3")
    assert (opened.post_id, opened.stars) == (post_id("expert", 0, contest.team), 3)
    with_stars = SetHeadcountRequest(
        position="expert", stars=3, team_id=contest.team, headcount=1, effective_date="2019-01-01"
    )
    post = await contest.world.posts.SetHeadcount(with_stars, metadata=by(contest.hr))
    assert (await contest.opened("c-2", ladder_id="titles", rung_id="title-3")).post_id == post.post_id
    assert await contest.opened(ladder_id="titles", rung_id="title-3") == opened


async def test_applications_close_with_the_day_of_the_site(tmp_path: Path, nats: NatsServer) -> None:
    """By its clock on the wall; once closed by hand, the clock has nothing to do."""
    async with open_world(tmp_path, nats, site=ZoneInfo("Asia/Tokyo")) as world:
        contest = await founded(world)
        await contest.opened("c-1")
        await contest.opened("c-2")
        by_hand = await contest.say(pb.CloseApplicationsRequest(competition_id="c-2"))
        world.clock[0] = datetime(2026, 3, 27, 14, 59, tzinfo=UTC)
        await contest.settled()
        assert (await contest.get()).state == Competition.STATE_OPEN
        world.clock[0] = datetime(2026, 3, 27, 15, 1, tzinfo=UTC)
        closed = await until(contest.get, lambda one: one.state == Competition.STATE_APPLICATIONS_CLOSED)
        assert closed.applications_closed_date == "2026-03-28"
        assert await contest.get(competition_id="c-2") == by_hand


async def test_what_is_not_opened(contest: Contest) -> None:
    """Says why, and claims nothing."""
    await contest.world.cycles.OpenCycle(
        OpenCycleRequest(
            own=OpenCycleRequest.Own(
                cycle_id="over", display_name="B", end_date="2026-06-30", applications_until="2026-03-17"
            )
        ),
        metadata=by(contest.hr),
    )
    await contest.world.cycles.CloseCycle(CloseCycleRequest(cycle_id="over"), metadata=by(contest.hr))
    other = await contest.world.team()
    for changes, code, reason in (
        ({"cycle_id": "none"}, StatusCode.NOT_FOUND, "CYCLE_NOT_FOUND"),
        ({"cycle_id": "over"}, StatusCode.FAILED_PRECONDITION, "CYCLE_CLOSED"),
        ({"team_id": "none"}, StatusCode.NOT_FOUND, "TEAM_NOT_FOUND"),
        ({"ladder_id": "none"}, StatusCode.NOT_FOUND, "POLICY_NOT_FOUND"),
        ({"ladder_id": "bank"}, StatusCode.NOT_FOUND, "POLICY_NOT_FOUND"),
        ({"rung_id": "none"}, StatusCode.NOT_FOUND, "RUNG_NOT_FOUND"),
        ({"rung_id": "agent"}, StatusCode.NOT_FOUND, "RUNG_NOT_FOUND"),
        ({"team_id": other}, StatusCode.NOT_FOUND, "POST_NOT_FOUND"),
        ({"applications_until": "2026-03-15"}, StatusCode.INVALID_ARGUMENT, "DATE_INVALID"),
        ({"seats": 3}, StatusCode.FAILED_PRECONDITION, "NO_VACANCY"),
        ({"seats": 0}, StatusCode.INVALID_ARGUMENT, "INVALID_FIELDS"),
    ):
        await refused(contest.opened(**changes), code, reason)
    assert (await contest.vacancies()).claimed == 0
    assert not (await contest.say(pb.ListCompetitionsRequest(at_least=await contest.world.end()))).competitions


async def test_opened_once(contest: Contest) -> None:
    """By two at once, or again by another request; something else under the same id is refused."""
    one, two = await asyncio.gather(*(contest.say(contest.opening(), who) for who in (contest.hr, contest.hr2)))
    assert one == two == await contest.opened(request_id="r-1") == await contest.opened(request_id="r-1")
    await refused(contest.opened(seats=2), StatusCode.ALREADY_EXISTS, "COMPETITION_EXISTS")
    assert (await contest.vacancies()).claimed == 1


async def test_one_request_id_for_two_competitions(contest: Contest) -> None:
    """They are of the same post, and still two things: each has its own."""
    for competition_id in ("c-1", "c-2"):
        assert (await contest.opened(competition_id, request_id="r-1")).competition_id == competition_id


async def test_two_want_the_last_seats(contest: Contest) -> None:
    """Of two competitions at once that need all there are, one is opened."""
    answers = await asyncio.gather(*(contest.opened(one, seats=2) for one in ("c-1", "c-2")), return_exceptions=True)
    assert [isinstance(one, Competition) for one in answers].count(True) == 1
    assert (await contest.vacancies()).claimed == 2


async def test_one_id_for_two_posts(contest: Contest) -> None:
    """Whoever is second gives back the seats of theirs."""
    other = await contest.world.team()
    headcount = SetHeadcountRequest(position="senior", team_id=other, headcount=2, effective_date="2019-01-01")
    there = await contest.world.posts.SetHeadcount(headcount, metadata=by(contest.hr))
    calls = (contest.opened(team_id=team) for team in (contest.team, other))
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert [isinstance(one, Competition) for one in answers].count(True) == 1
    request = GetPostRequest(post_id=there.post_id)
    claimed = (await contest.world.posts.GetPost(request, metadata=by(contest.hr))).vacancies.claimed
    assert claimed + (await contest.vacancies()).claimed == 1


async def test_a_crash_between_the_claim_and_the_opening(contest: Contest) -> None:
    """Is mended by saying it again, for another cycle if that one is over by then."""
    service = contest.world.services["promotion"]
    context = Context(now=service.now(), today=service.today(), actor=f"user:{contest.hr}")
    for claim_id in ("c-1", "c-2"):
        await service.commands.handle(POST, contest.post_id, ClaimSeats(claim_id=claim_id, seats=1), context)
    assert (await contest.opened()).state == Competition.STATE_OPEN
    await refused(contest.opened("c-2", seats=2), StatusCode.FAILED_PRECONDITION, "CLAIM_TAKEN")
    await contest.world.cycles.CloseCycle(CloseCycleRequest(cycle_id="spring"), metadata=by(contest.hr))
    await refused(contest.opened("c-2"), StatusCode.FAILED_PRECONDITION, "CYCLE_CLOSED")
    await contest.cycle("next")
    await contest.opened("c-2", cycle_id="next")
    assert (await contest.vacancies()).claimed == 2


async def test_decided_by_the_rules_of_its_day(contest: Contest) -> None:
    """Rules that take the place of those it pins change nothing of it."""
    pinned = (await contest.opened()).rules_position
    await contest.rules(asked.manager("100"))
    (one,) = await contest.apply(contest.agents[0])
    await contest.say(pb.CloseApplicationsRequest(competition_id="c-1"))
    await contest.reviewed(one, "80")
    incomplete = await refused(contest.rank(), StatusCode.FAILED_PRECONDITION, "CANDIDACIES_INCOMPLETE")
    assert one in incomplete.message
    assert "interview" in incomplete.message
    assert (await contest.opened("c-2")).rules_position > pinned


async def test_who_lacks_what(contest: Contest) -> None:
    """Every candidacy that is not complete is named with what it lacks; nothing is written."""
    await contest.opened()
    first, second = ids = await contest.apply(*contest.agents[:2])
    await contest.panel()
    await refused(contest.rank(), StatusCode.FAILED_PRECONDITION, "WRONG_STATE")
    await contest.say(pb.CloseApplicationsRequest(competition_id="c-1"))
    await contest.reviewed(first, "80")
    await contest.interviewed(first, contest.interviewers[0], 3)
    message = (await refused(contest.rank(), StatusCode.FAILED_PRECONDITION, "CANDIDACIES_INCOMPLETE")).message
    of_first, of_second = message.split("; ")
    assert (first in of_first, contest.interviewers[0] in of_first, contest.interviewers[1] in of_first) == (
        *(True, False, True),
    )
    assert second in of_second
    assert "the lead's review, the manager's review" in of_second
    assert await contest.states(ids) == ["MANAGER_REVIEWED", "APPLIED"]
    await contest.withdraw(contest.agents[1])
    await contest.interviewed(first, contest.interviewers[1], 3)
    assert [one.candidacy_id for one in (await contest.rank()).ranking] == [first]


async def test_nobody_is_ranked_without_a_part_that_must_be_there(contest: Contest) -> None:
    """Who has no score in it is named, with the part; whoever withdraws is not in the way."""
    await contest.rules(asked.work("50"), asked.manager("50"))
    await contest.opened()
    (one,) = ids = await contest.apply(contest.agents[0])
    await contest.say(pb.CloseApplicationsRequest(competition_id="c-1"))
    await contest.reviewed(one, "80")
    message = (await refused(contest.rank(), StatusCode.FAILED_PRECONDITION, "NO_SCORE")).message
    months = "2025-09, 2025-10, 2025-11, 2025-12, 2026-01, 2026-02"
    assert f"{one}: work (NO_SCORECARDS: none closed of {months})" in message
    assert await contest.states(ids) == ["MANAGER_REVIEWED"]
    await contest.withdraw(contest.agents[0])
    assert not (await contest.rank()).ranking
    await refused(contest.publish(), StatusCode.FAILED_PRECONDITION, "NOBODY_TO_LIST")
    await contest.close()


async def test_on_what_was_read(contest: Contest) -> None:
    """A command on something that has changed since is refused; the same request answers the same for ever."""
    opened = await contest.opened()
    close = pb.CloseApplicationsRequest(competition_id="c-1", etag=opened.etag, request_id="r-1")
    closed = await contest.say(close)
    assert await contest.say(close) == closed
    stale = pb.CloseCompetitionRequest(competition_id="c-1", etag=opened.etag, cancelled=True)
    await refused(contest.say(stale), StatusCode.ABORTED, "ETAG_MISMATCH")
    assert await contest.get() == closed


async def test_ranked_twice(contest: Contest) -> None:
    """Is the same; whoever gives no score again changes nothing."""
    await contest.competed(3, 5, 4)
    ranked, again = await asyncio.gather(contest.rank(), contest.rank(contest.hr2))
    assert ranked.ranking == again.ranking == (await contest.rank()).ranking
    assert ranked.lot_seed == again.lot_seed == (await contest.rank()).lot_seed
    assert [one.total for one in ranked.ranking] == ["92.00", "80.00", "68.00"]
    await contest.publish()
    await refused(contest.rank(), StatusCode.FAILED_PRECONDITION, "WRONG_STATE")


async def test_a_crash_while_it_is_ranked(contest: Contest, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the scores written and no ranking, it is ranked by those scores when it is said again."""
    ids = await contest.competed(3, 5)

    def crash(*_: object) -> None:
        raise RuntimeError("the process ends here")

    with monkeypatch.context() as patch:
        patch.setattr(rankings, "rank", crash)
        await refused(contest.rank(), StatusCode.INTERNAL, "INTERNAL")
    assert await contest.states(ids) == ["SCORED", "SCORED"]
    scores = [(await contest.candidacy(one)).score for one in ids]
    ranked = await contest.rank()
    assert [(await contest.candidacy(one)).score for one in ids] == scores
    assert [(one.candidacy_id, one.total) for one in ranked.ranking] == [(ids[1], "92.00"), (ids[0], "68.00")]


async def test_published_after_somebody_left(contest: Contest) -> None:
    """The next takes their place; twice at once lists nobody twice."""
    ids = await contest.competed(5, 4, 3, seats=2)
    await contest.rank()
    await contest.withdraw(contest.agents[0])
    one, two = await asyncio.gather(contest.publish(), contest.publish())
    assert list(one.listed_candidacy_ids) == list(two.listed_candidacy_ids) == ids[1:]
    assert await contest.states(ids) == ["WITHDRAWN", "LISTED", "LISTED"]
    position = (await contest.get()).log_position
    assert (await contest.publish()).log_position == position
    await contest.withdraw(contest.agents[1])
    await contest.withdraw(contest.agents[2])
    assert not (await contest.publish()).listed_candidacy_ids
    await contest.close()
    assert (await contest.vacancies()).vacant == 2


async def test_a_list_whose_notice_cannot_be_counted(contest: Contest) -> None:
    """Is not published: nothing would come of it."""
    await contest.store("far", Calendar(country="CN"))
    await contest.rules(calendar_id="far")
    await contest.competed(3)
    await contest.rank()
    contest.world.clock[0] = datetime(2150, 1, 1, 9, tzinfo=UTC)
    await refused(contest.publish(), StatusCode.FAILED_PRECONDITION, "CALENDAR_ENDS")


async def test_panels(contest: Contest) -> None:
    """Of people who are employed and no candidates, as many as the rules ask for; the questions stay."""
    first, second = contest.interviewers
    await contest.opened()
    (one,) = await contest.apply(contest.agents[0])
    for names, code, reason in (
        ([first], StatusCode.FAILED_PRECONDITION, "TOO_FEW_INTERVIEWERS"),
        ([first, "nobody"], StatusCode.NOT_FOUND, "EMPLOYEE_NOT_FOUND"),
        ([first, contest.agents[0]], StatusCode.FAILED_PRECONDITION, "INTERVIEWER_IS_CANDIDATE"),
    ):
        await refused(contest.panel(*names), code, reason)
    panel = await contest.panel()
    await contest.store("bank", QuestionBank(questions=[question(f"p-{n}", compulsory=n == 1) for n in range(1, 4)]))
    await contest.reviewed(one, "80")
    await contest.interviewed(one, first, 3)
    changed = await contest.panel(first, contest.agents[3])
    assert (changed.question_ids, changed.bank_position) == (panel.question_ids, panel.bank_position)
    assert changed.question_seed == panel.question_seed
    left_out = contest.panel(second, contest.agents[3])
    await refused(left_out, StatusCode.FAILED_PRECONDITION, "INTERVIEWER_HAS_SCORED")


async def test_a_panel_with_the_lead_of_a_candidate(contest: Contest) -> None:
    """HR reads who does not judge whom; without enough others it is refused. Whoever withdraws is judged by nobody."""
    first, second = contest.interviewers
    await contest.opened()
    (one,) = await contest.apply(contest.agents[0])
    for over in (contest.lead, contest.manager):
        few = await refused(contest.panel(first, over), StatusCode.FAILED_PRECONDITION, "TOO_FEW_INTERVIEWERS")
        assert f"{one} is not judged by {over}" in few.message
    panel = await contest.panel(first, second, contest.lead, contest.manager)
    assert [(named.candidacy_id, set(named.interviewer_ids)) for named in panel.apart] == [
        (one, {contest.lead, contest.manager})
    ]
    assert (await contest.panel(first, second, contest.lead, contest.manager)).apart == panel.apart
    assert not (await contest.get(first)).apart
    assert not (await contest.panel()).apart
    await contest.withdraw(contest.agents[0])
    assert not (await contest.panel(first, contest.lead)).apart


async def test_applications_closed_by_hand(contest: Contest) -> None:
    """Whoever comes after that reads when they were closed, and not that the last day is over."""
    await contest.opened()
    await contest.say(pb.CloseApplicationsRequest(competition_id="c-1"))
    late = await refused(contest.apply(contest.agents[0]), StatusCode.FAILED_PRECONDITION, "APPLICATIONS_CLOSED")
    assert "closed on 2026-03-16, before the end of 2026-03-27" in late.message


async def test_no_panel_without_an_interview(contest: Contest) -> None:
    await contest.rules(asked.manager("100"))
    await contest.opened()
    await refused(contest.panel(), StatusCode.FAILED_PRECONDITION, "NO_INTERVIEW")


async def test_conflicts(contest: Contest) -> None:
    """Said by the interviewer or by HR; what they gave does not count, and enough others must remain."""
    first, second = contest.interviewers
    third = contest.agents[3]
    ids = await contest.competed(3, 5)
    await contest.panel(first, second, third)
    for one, got in zip(ids, (3, 5), strict=True):
        await contest.interviewed(one, third, got)

    def conflict(interviewer: str, candidacy_id: str) -> pb.DeclareConflictRequest:
        return pb.DeclareConflictRequest(
            competition_id="c-1", interviewer_id=interviewer, candidacy_id=candidacy_id, reason="they are related"
        )

    await contest.interviewed(ids[0], first, 5)  # instead of 3
    for caller in (second, contest.agents[0], "nobody"):
        await refused(contest.say(conflict(first, ids[0]), caller), StatusCode.PERMISSION_DENIED, "NEED_TO_KNOW")
    seen = await contest.say(conflict(first, ids[0]), first)
    assert [(one.interviewer_id, one.reason) for one in seen.conflicts] == [(first, "they are related")]
    assert await contest.say(conflict(first, ids[0]), first) == seen
    strange = contest.say(conflict(first, "none"))
    await refused(strange, StatusCode.NOT_FOUND, "CANDIDACY_NOT_FOUND")
    outsider = contest.say(conflict(contest.agents[2], ids[0]))
    await refused(outsider, StatusCode.FAILED_PRECONDITION, "NOT_ON_PANEL")
    assert [one.total for one in (await contest.rank()).ranking] == ["92.00", "68.00"]
    assert not (await contest.get(second)).conflicts
    await refused(contest.say(conflict(second, ids[0])), StatusCode.FAILED_PRECONDITION, "WRONG_STATE")


async def test_who_sees_what(contest: Contest) -> None:
    """Everybody who is employed that it is; interviewers their panel; HR all of it."""
    ids = await contest.competed(3, 5)
    await contest.rank()
    await contest.publish()
    everything = await contest.get()
    public = await contest.get(contest.agents[0])
    assert (len(everything.ranking), list(everything.listed_candidacy_ids)) == (2, [ids[1]])
    for name in ("ranking", "listed_candidacy_ids", "interviewer_ids", "question_ids", "bank_position", "conflicts"):
        assert not getattr(public, name)
    assert (public.state, public.seats, public.position) == (Competition.STATE_LISTED, 1, "senior")
    panel = await contest.get(contest.interviewers[0])
    assert panel.question_ids == everything.question_ids
    assert not panel.ranking
    assert (public.question_seed, public.lot_seed, panel.lot_seed) == ("", "", "")
    assert panel.question_seed == everything.question_seed
    listing = pb.ListCompetitionsRequest(
        cycle_id="spring", state=Competition.STATE_LISTED, at_least=await contest.world.end()
    )
    for caller, seen in ((contest.hr, everything), (contest.agents[0], public), (contest.interviewers[0], panel)):
        assert list((await contest.say(listing, caller)).competitions) == [seen]
    listing.state = Competition.STATE_OPEN
    assert not (await contest.say(listing)).competitions
    public_list = pb.GetPublicListRequest(competition_id="c-1")
    for request in (pb.GetCompetitionRequest(competition_id="c-1"), listing, public_list):
        await refused(contest.say(request, "nobody"), StatusCode.PERMISSION_DENIED, "NEED_TO_KNOW")


async def test_only_hr(contest: Contest) -> None:
    """Says what happens; nobody else is told whether there is such a competition."""
    await contest.opened()
    for competition_id in ("c-1", "none"):
        for request in (
            pb.CloseApplicationsRequest(competition_id=competition_id),
            pb.SetPanelRequest(competition_id=competition_id, interviewer_ids=contest.interviewers),
            pb.RankCompetitionRequest(competition_id=competition_id),
            pb.PublishListRequest(competition_id=competition_id),
            pb.CloseCompetitionRequest(competition_id=competition_id, cancelled=False),
        ):
            for caller in (contest.lead, "nobody"):
                await refused(contest.say(request, caller), StatusCode.PERMISSION_DENIED, "NEED_TO_KNOW")
            if competition_id == "none":
                await refused(contest.say(request), StatusCode.NOT_FOUND, "COMPETITION_NOT_FOUND")
    opening = contest.say(contest.opening("c-2"), contest.lead)
    await refused(opening, StatusCode.PERMISSION_DENIED, "NEED_TO_KNOW")


async def test_hr_who_is_a_candidate(contest: Contest) -> None:
    """Decides nothing of it, and sees what everybody sees; of other competitions all."""
    rival = await contest.world.employee(contest.team, job_family="hr")
    await contest.opened()
    await contest.opened("c-2")
    await contest.apply(rival)
    await contest.panel()
    for request in (
        pb.CloseApplicationsRequest(competition_id="c-1"),
        pb.SetPanelRequest(competition_id="c-1", interviewer_ids=contest.interviewers),
        pb.RankCompetitionRequest(competition_id="c-1"),
        pb.PublishListRequest(competition_id="c-1"),
        pb.CloseCompetitionRequest(competition_id="c-1", cancelled=True),
    ):
        await refused(contest.say(request, rival), StatusCode.FAILED_PRECONDITION, "OWN_COMPETITION")
    assert not (await contest.get(rival)).question_ids
    await contest.say(pb.CloseApplicationsRequest(competition_id="c-2"), rival)


async def test_an_application_while_it_is_closed(contest: Contest) -> None:
    """Of the application and the end, whichever is written later is answered: nobody waits for ever."""
    await contest.opened()
    await contest.close(cancelled=True)
    service, agent = contest.world.services["promotion"], contest.agents[0]
    late = told.ActOnCandidacy(
        apply=told.ApplyRequest(competition_id="c-1", motivation="I was told too late"),
        application=told.ActOnCandidacy.Application(candidacy_id=candidacy_key("c-1", agent), employee_id=agent),
    )
    late.application.eligibility.eligible = True
    context = Context(now=service.now(), today=service.today(), actor=f"user:{agent}")
    handled = await service.commands.handle(CANDIDACY, candidacy_key("c-1", agent), late, context)
    assert handled.state.last(CandidacyApplied).employee_id == agent
    await contest.settled()
    assert await contest.states([candidacy_key("c-1", agent)]) == ["NOT_SELECTED"]
