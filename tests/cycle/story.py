"""The story of a cycle, told over gRPC: from the clock that opens it to posts held for good."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from fractions import Fraction
from pathlib import Path
from typing import Any

from google.api.httpbody_pb2 import HttpBody
from google.rpc.error_details_pb2 import ErrorInfo
from grpc import aio
from grpc_status import rpc_status

from stepladder.performance.v1.directory_pb2 import (
    AppointTeamLeadRequest,
    CreateTeamRequest,
    GetEmployeeRequest,
    HireEmployeeRequest,
    Team,
)
from stepladder.performance.v1.facts_pb2 import CorrectFactRequest, Fact, Reading, RecordFactsRequest
from stepladder.performance.v1.kpi_pb2 import CreateKpiRequest, SetTargetRequest
from stepladder.performance.v1.policy_pb2 import Calendar, Policy, SetPolicyRequest
from stepladder.performance.v1.record_pb2 import CreateRecordsRequest, Record, Training
from stepladder.performance.v1.scorecard_pb2 import CloseMonthRequest
from stepladder.promotion.v1 import (
    candidacy_pb2,
    career_pb2,
    competition_pb2,
    cycle_pb2,
    document_pb2,
    fairness_pb2,
    peer_score_pb2,
    post_pb2,
    scoring_pb2,
)
from stepladder.promotion.v1.candidacy_pb2 import Candidacy
from stepladder.promotion.v1.candidacy_pb2_grpc import CandidacyServiceStub
from stepladder.promotion.v1.career_pb2_grpc import CareerServiceStub
from stepladder.promotion.v1.competition_pb2_grpc import CompetitionServiceStub
from stepladder.promotion.v1.cycle_pb2_grpc import CycleServiceStub
from stepladder.promotion.v1.document_pb2_grpc import DocumentServiceStub
from stepladder.promotion.v1.fairness_pb2_grpc import FairnessServiceStub
from stepladder.promotion.v1.interview_pb2 import AnswerScore
from stepladder.promotion.v1.peer_score_pb2_grpc import PeerScoreServiceStub
from stepladder.promotion.v1.post_pb2_grpc import PostServiceStub
from stepladder.promotion.v1.scoring_pb2_grpc import ScoreServiceStub
from tests.cycle.centre import (
    COURSE,
    EXECUTIVE,
    HR,
    LADDER,
    MANAGER,
    MONTHS,
    PANEL,
    QUALITY,
    RULES_DAY,
    RUNG,
    Centre,
    Size,
    kpis,
    pick,
    policies,
    targets,
)
from tests.cycle.reckoning import Reckoning
from tests.services.world import World, until
from tests.tokens import as_person

BEFORE = date(2026, 5, 29)
OPENED = date(2026, 6, 1)
HR_ONE, HR_TWO, HR_THREE = HR


@dataclass
class Story:
    """Everything is said and asked over gRPC; `found` holds what is not as it must be."""

    world: World
    size: Size
    papers: Path
    tell: Callable[[str], None] = lambda _: None
    found: list[str] = field(default_factory=list)
    checks: int = 0
    commands: int = 0
    candidacies: dict[str, str] = field(default_factory=dict)
    """By employee."""

    def __post_init__(self) -> None:
        self.centre = Centre(self.size)
        self.reckoning = Reckoning(self.centre)
        channel = self.world.channels["promotion"]
        self.posts, self.cycles = PostServiceStub(channel), CycleServiceStub(channel)
        self.competitions, self.runs = CompetitionServiceStub(channel), CandidacyServiceStub(channel)
        self.peers, self.careers = PeerScoreServiceStub(channel), CareerServiceStub(channel)
        self.scores, self.documents = ScoreServiceStub(channel), DocumentServiceStub(channel)
        self.fairness = FairnessServiceStub(channel)

    async def run(self) -> list[str]:
        """Tells all of it; answers what differs."""
        self.go(BEFORE)
        await self.found_centre()
        self.tell(f"{len(self.centre.hired)} people, their work of {len(MONTHS)} months, and the rules")
        await self.open()
        await self.apply()
        await self.review()
        await self.interview()
        await self.ask_peers()
        await self.rank()
        await self.publish()
        await self.object()
        await self.approve()
        await self.appoint()
        await self.end_trials()
        await self.explain()
        await self.correct()
        return self.found

    def go(self, day: date, hour: int = 9) -> None:
        """Sets the clock."""
        self.world.clock[0] = datetime.combine(day, time(hour), UTC)

    @property
    def today(self) -> date:
        return self.world.clock[0].date()

    def expect(self, what: str, answered: object, wanted: object) -> None:
        self.checks += 1
        if answered != wanted:
            self.found.append(f"{what}: answered {answered}, wanted {wanted}")

    async def say(self, caller: str, method: Callable[..., Awaitable[Any]], request: Any) -> Any:
        """A command of somebody's with an id of its own; every tenth is said twice, and answered the same."""
        self.commands += 1
        if "request_id" in request.DESCRIPTOR.fields_by_name:
            request.request_id = f"cycle-{self.commands}"
        answer = await method(request, metadata=by(caller))
        if self.commands % 10 == 0:
            again = await method(request, metadata=by(caller))
            self.expect(f"{request.DESCRIPTOR.name} said twice", again == answer, True)
        return answer

    async def refused(self, reason: str, caller: str, method: Callable[..., Awaitable[Any]], request: Any) -> str:
        """A command that must be refused for a reason; answers the words."""
        self.commands += 1
        request.request_id = f"cycle-{self.commands}"
        try:
            await method(request, metadata=by(caller))
        except aio.AioRpcError as error:
            self.expect(f"{request.DESCRIPTOR.name} by {caller}", reason_of(error), reason)
            return error.details() or ""
        self.found.append(f"{request.DESCRIPTOR.name} by {caller}: accepted, wanted {reason}")
        return ""

    async def ask(self, caller: str, method: Callable[..., Awaitable[Any]], request: Any) -> Any:
        return await method(request, metadata=by(caller))

    async def candidacy(self, employee: str) -> Candidacy:
        request = candidacy_pb2.GetCandidacyRequest(candidacy_id=self.candidacies[employee])
        found: Candidacy = await self.ask(HR_ONE, self.runs.GetCandidacy, request)
        return found

    async def comes_to(self, employee: str, state: "Candidacy.State.ValueType") -> Candidacy:
        """Waits until a candidacy is in a state to which it is brought by itself."""
        return await until(lambda: self.candidacy(employee), lambda found: found.state == state)

    # What there is before it begins.

    async def found_centre(self) -> None:
        world = self.world
        for kpi in kpis():
            await world.kpis.CreateKpi(CreateKpiRequest(kpi=kpi))
        for target in targets():
            await world.kpis.SetTarget(SetTargetRequest(target=target))
        for team in self.centre.teams:
            await world.directory.CreateTeam(CreateTeamRequest(team=Team(team_id=team, display_name=team.title())))
        await all_at_once(
            [world.directory.HireEmployee(HireEmployeeRequest(employee=one)) for one in self.centre.hired]
        )
        for team, lead in self.centre.teams.items():
            appoint = AppointTeamLeadRequest(team_id=team, lead_id=lead, effective_date=RULES_DAY)
            await world.directory.AppointTeamLead(appoint)
        for policy in policies():
            policy.effective_date = RULES_DAY
            await world.policies.SetPolicy(SetPolicyRequest(policy=policy))
        recorded = await world.facts.RecordFacts(RecordFactsRequest(facts=self.centre.facts()))
        self.expect("facts rejected", len(recorded.rejections), 0)
        self.go(OPENED, 0)
        for month in MONTHS:
            await world.scorecards.CloseMonth(CloseMonthRequest(month=month))
        self.go(BEFORE)
        for department in self.centre.departments:
            headcount = post_pb2.SetHeadcountRequest(
                position=RUNG, team_id=department, headcount=self.size.seats, effective_date=RULES_DAY
            )
            post = await self.say(HR_ONE, self.posts.SetHeadcount, headcount)
            self.expect(f"vacancies of {department}", post.vacancies.vacant, self.size.seats)
        for number, one in enumerate(self.centre.hired):
            groups = [fairness_pb2.DeclaredGroup(dimension="sex", group=("female", "male")[number % 2])]
            await self.say(
                one.employee_id, self.fairness.DeclareGroups, fairness_pb2.DeclareGroupsRequest(groups=groups)
            )

    # The cycle, step by step.

    async def open(self) -> None:
        self.go(OPENED)
        request = cycle_pb2.ListCyclesRequest(state=cycle_pb2.Cycle.STATE_OPEN)
        listed = await until(
            lambda: self.ask(HR_ONE, self.cycles.ListCycles, request), lambda found: len(found.cycles) == 1
        )
        (cycle,) = listed.cycles
        # Five business days of June 2026 in Latvia: the 1st to the 5th.
        self.expect("the cycle", (cycle.month, cycle.applications_until), ("2026-06", "2026-06-05"))
        for department in self.centre.departments:
            opened = competition_pb2.OpenCompetitionRequest(
                competition_id=f"senior-{department}",
                cycle_id=cycle.cycle_id,
                ladder_id=LADDER,
                rung_id=RUNG,
                team_id=department,
                seats=self.size.seats,
            )
            await self.say(HR_ONE, self.competitions.OpenCompetition, opened)
        opened.competition_id = "one-too-many"
        await self.refused("NO_VACANCY", HR_ONE, self.competitions.OpenCompetition, opened)
        self.cycle_id = cycle.cycle_id
        self.tell(f"cycle {cycle.cycle_id} opened by the clock; {len(self.centre.departments)} competitions")

    async def apply(self) -> None:
        eligible = 0
        for department in self.centre.departments:
            for employee in self.centre.candidates(department):
                await self._apply(employee, department)
                eligible += 1
            bad, new = self.centre.bad(department), self.centre.new(department)
            words = await self.refused("NOT_ELIGIBLE", bad, self.runs.Apply, self._application(department))
            self.expect("who works too badly is told so", "quality" in words.lower(), True)
            await self.refused("NOT_ELIGIBLE", new, self.runs.Apply, self._application(department))
        department = self.centre.departments[0]
        self.waived = self.centre.new(department)
        waive = career_pb2.WaiveCriterionRequest(
            employee_id=self.waived,
            ladder_id=LADDER,
            rung_id=RUNG,
            criterion_id="tenure",
            reason="Taught the whole department the new system.",
            until_date="2026-12-31",
        )
        await self.refused("NEED_TO_KNOW", HR_ONE, self.careers.WaiveCriterion, waive)
        await self.say(EXECUTIVE, self.careers.WaiveCriterion, waive)
        applied = await self._apply(self.waived, department)
        tenure = next(one for one in applied.eligibility.criteria if one.name == "tenure")
        self.expect("the waiver is shown", (tenure.met, tenure.waiver_position > 0), (False, True))
        self.junior = self.centre.agents(department)[0]
        self.expect("two levels", (await self.candidacy(self.junior)).two_levels, True)
        self.withdrawn = self.centre.candidates(department)[-1]
        withdraw = candidacy_pb2.WithdrawCandidacyRequest(
            candidacy_id=self.candidacies[self.withdrawn], reason="A child is coming."
        )
        await self.say(self.withdrawn, self.runs.WithdrawCandidacy, withdraw)
        self.go(date(2026, 6, 6))
        for one in self.centre.departments:
            request = competition_pb2.GetCompetitionRequest(competition_id=f"senior-{one}")
            await until(
                lambda request=request: self.ask(HR_ONE, self.competitions.GetCompetition, request),  # type: ignore[misc] # bound now
                lambda found: found.state == competition_pb2.Competition.STATE_APPLICATIONS_CLOSED,
            )
        await self.refused("APPLICATIONS_CLOSED", self.centre.peers(one)[-1], self.runs.Apply, self._application(one))
        self.tell(
            f"{len(self.candidacies)} applied, {len(self.centre.departments) * 2} were not eligible, one of them waived"
        )

    def _application(self, department: str) -> candidacy_pb2.ApplyRequest:
        return candidacy_pb2.ApplyRequest(
            competition_id=f"senior-{department}", motivation="I want to lead by example."
        )

    async def _apply(self, employee: str, department: str) -> Candidacy:
        answer: Candidacy = await self.say(employee, self.runs.Apply, self._application(department))
        self.candidacies[employee] = answer.candidacy_id
        return answer

    def running(self, department: str) -> list[str]:
        """Who applied and goes on, in the order of the applications."""
        gone = (self.withdrawn, self.rejected)
        return [one for one in self.candidacies if one.startswith(f"{department}-") and one not in gone]

    async def review(self) -> None:
        self.go(date(2026, 6, 8))
        self.rejected = self.centre.candidates(self.centre.departments[0])[-2]
        for employee, candidacy in self.candidacies.items():
            if employee == self.withdrawn:
                continue
            lead = f"{employee.rpartition('-')[0]}-lead"
            review = candidacy_pb2.ReviewAsLeadRequest(
                candidacy_id=candidacy, recommended=True, interview_date="2026-06-08", report="Ready for it."
            )
            await self.say(lead, self.runs.ReviewAsLead, review)
            self.reckoning.of(employee).manager = 50 + pick(50, "manager", employee)
            approves = employee != self.rejected
            score = str(self.reckoning.of(employee).manager) if approves else ""
            manage = candidacy_pb2.ReviewAsManagerRequest(
                candidacy_id=candidacy, approved=approves, score=score, report="I have seen them at work."
            )
            await self.refused("NEED_TO_KNOW", PANEL[0], self.runs.ReviewAsManager, manage)
            await self.say(MANAGER, self.runs.ReviewAsManager, manage)
        state = (await self.candidacy(self.rejected)).state
        self.expect("a manager's no", state, Candidacy.STATE_REJECTED)
        self.tell("reviewed by leads and by the manager, who turned one down")

    async def interview(self) -> None:
        self.go(date(2026, 6, 10))
        for department in self.centre.departments:
            panel = competition_pb2.SetPanelRequest(competition_id=f"senior-{department}", interviewer_ids=PANEL)
            competition = await self.say(HR_ONE, self.competitions.SetPanel, panel)
            for employee in self.running(department):
                for interviewer in PANEL:
                    await self._score(employee, interviewer, list(competition.question_ids))
        self.tell(f"{len(PANEL) * sum(len(self.running(one)) for one in self.centre.departments)} interviews scored")

    async def _score(self, employee: str, interviewer: str, questions: list[str]) -> None:
        answers, points, full = list[AnswerScore](), 0, 0
        for question in questions:
            key = ("answer", employee, question, interviewer)
            if question == "why":
                given = 8 + pick(12, *key)
                band = AnswerScore.BandScore(band_id="very-good" if given >= 16 else "good", points=given)
                answers.append(AnswerScore(question_id=question, band=band))
                full += 20
            else:
                each = [pick(5, *key, number) for number in (1, 2)]
                given = sum(each)
                scores = [
                    AnswerScore.KeyPointScore(key_point_id=f"point-{number}", points=one)
                    for number, one in enumerate(each, 1)
                ]
                answers.append(AnswerScore(question_id=question, key_points=AnswerScore.KeyPointScores(scores=scores)))
                full += 10
            points += given
        request = candidacy_pb2.ScoreInterviewRequest(
            candidacy_id=self.candidacies[employee], answers=answers, notes="Calm and clear."
        )
        await self.say(interviewer, self.runs.ScoreInterview, request)
        self.reckoning.of(employee).interviews[interviewer] = Fraction(points * 100, full)

    async def ask_peers(self) -> None:
        given = 0
        self.lonely = self.running(self.centre.departments[-1])[1]
        for department in self.centre.departments:
            peers = self.centre.peers(department)
            for employee in self.running(department):
                asked = peer_score_pb2.AskPeersRequest(candidacy_id=self.candidacies[employee], peer_ids=peers)
                await self.say(MANAGER, self.peers.AskPeers, asked)
                for number, peer in enumerate(peers):
                    if employee == self.lonely and number > 1:
                        continue  # fewer than the rules ask for
                    score = 40 + pick(60, "peer", employee, peer)
                    give = peer_score_pb2.GivePeerScoreRequest(
                        candidacy_id=self.candidacies[employee], score=str(score)
                    )
                    await self.say(peer, self.peers.GivePeerScore, give)
                    self.reckoning.of(employee).peers.append(score)
                    given += 1
                close = peer_score_pb2.ClosePeersRequest(candidacy_id=self.candidacies[employee])
                closed = await self.say(MANAGER, self.peers.ClosePeers, close)
                self.expect("peers", closed.gave, len(self.reckoning.of(employee).peers))
        self.tell(f"{given} scores of peers")

    async def rank(self) -> None:
        self.go(date(2026, 6, 12))
        junior = candidacy_pb2.ReviewTwoLevelsRequest(
            candidacy_id=self.candidacies[self.junior], approved=True, reason="Did the work of two for a year."
        )
        await self.refused("NEED_TO_KNOW", PANEL[1], self.runs.ReviewTwoLevels, junior)
        await self.say(EXECUTIVE, self.runs.ReviewTwoLevels, junior)
        for department in self.centre.departments:
            request = competition_pb2.RankCompetitionRequest(competition_id=f"senior-{department}")
            ranked = await self.say(HR_ONE, self.competitions.RankCompetition, request)
            wanted = self.reckoning.ranking(self.running(department))
            self.expect(f"ranks of {department}", [one.employee_id for one in ranked.ranking], wanted)
            for one in ranked.ranking:
                self.expect(f"total of {one.employee_id}", one.total, self.reckoning.total(one.employee_id))
        self.tell("ranked; every total as reckoned")

    async def publish(self) -> None:
        self.go(date(2026, 6, 12), 12)  # a Friday
        self.listed: dict[str, list[str]] = {}
        for department in self.centre.departments:
            request = competition_pb2.PublishListRequest(competition_id=f"senior-{department}")
            published = await self.say(HR_TWO, self.competitions.PublishList, request)
            best = [one.employee_id for one in published.ranking[: self.size.seats]]
            self.listed[department] = best
            for employee in best:
                found = await self.comes_to(employee, Candidacy.STATE_LISTED)
                # 15 to 19 June; Latvia's next holidays are the 23rd and 24th.
                self.expect(f"notice of {employee}", found.notice_until, "2026-06-19")
        self.tell(f"{sum(map(len, self.listed.values()))} listed")

    async def object(self) -> None:
        first, second = self.centre.departments[:2]
        doubted, wrong = self.listed[first][0], self.listed[second][0]
        self.go(date(2026, 6, 16))
        raised = {}
        for employee, by_whom in ((doubted, f"{second}-lead"), (wrong, f"{first}-lead")):
            objection = candidacy_pb2.RaiseObjectionRequest(
                candidacy_id=self.candidacies[employee], objection_id="doubts", reason="I doubt it."
            )
            raised[employee] = (await self.say(by_whom, self.runs.RaiseObjection, objection)).objection_id
        self.go(date(2026, 6, 22))
        await self.refused("OBJECTION_OPEN", HR_THREE, self.runs.ApproveCandidacy, await self._approval(doubted))
        for employee, upheld in ((doubted, False), (wrong, True)):
            settle = candidacy_pb2.SettleObjectionRequest(
                candidacy_id=self.candidacies[employee],
                objection_id=raised[employee],
                upheld=upheld,
                reason="Heard both sides.",
            )
            settled = await self.say(HR_TWO, self.runs.SettleObjection, settle)
            if not upheld:
                # Only the 15th counted, and then the 25th, 26th, 27th and 29th: the 23rd and 24th are holidays,
                # and of 2026 Latvia works on that Saturday in place of Monday the 22nd.
                self.expect("notice of who was doubted", settled.notice_until, "2026-06-29")
        self.expect("upheld", (await self.candidacy(wrong)).state, Candidacy.STATE_REJECTED)
        self.objected_to = wrong
        # The seat is free: whoever is next is listed for it, with a notice of their own.
        competition_id = f"senior-{second}"
        listing = competition_pb2.PublishListRequest(competition_id=competition_id)
        get = competition_pb2.GetCompetitionRequest(competition_id=competition_id)
        await until(
            lambda: self.ask(HR_ONE, self.competitions.GetCompetition, get), lambda found: found.left_candidacy_ids
        )
        published = await self.say(HR_TWO, self.competitions.PublishList, listing)
        runner_up = published.ranking[self.size.seats].employee_id
        found = await self.comes_to(runner_up, Candidacy.STATE_LISTED)
        self.expect("notice of the next", found.notice_until, "2026-06-30")
        self.listed[second] = [*self.listed[second][1:], runner_up]
        self.doubted, self.runner_up = doubted, runner_up
        self.tell("two objections: one dismissed, the notice was paused; one upheld, the next is listed")

    async def _approval(self, employee: str) -> candidacy_pb2.ApproveCandidacyRequest:
        etag = (await self.candidacy(employee)).etag
        return candidacy_pb2.ApproveCandidacyRequest(
            candidacy_id=self.candidacies[employee], etag=etag, reason="Nothing speaks against it."
        )

    @property
    def chosen(self) -> list[str]:
        return [one for listed in self.listed.values() for one in listed]

    async def approve(self) -> None:
        await self.refused("NOTICE_RUNNING", HR_THREE, self.runs.ApproveCandidacy, await self._approval(self.doubted))
        # A day off that the site adds in mid-notice moves the end.
        added = Calendar(country="LV", days_off=["2026-06-29"])
        policy = Policy(policy_id="site-days", effective_date="2026-06-01", calendar=added)
        await self.world.policies.SetPolicy(SetPolicyRequest(policy=policy))
        await until(lambda: self.candidacy(self.doubted), lambda found: found.notice_until == "2026-06-30")
        self.go(date(2026, 6, 30))
        await self.refused("NOTICE_RUNNING", HR_THREE, self.runs.ApproveCandidacy, await self._approval(self.doubted))
        self.go(date(2026, 7, 3))
        for employee in self.chosen:
            approval = await self._approval(employee)
            if employee == self.doubted:
                await self.refused("SEPARATION_OF_DUTIES", HR_TWO, self.runs.ApproveCandidacy, approval)
            approved = await self.say(HR_THREE, self.runs.ApproveCandidacy, approval)
            self.expect(f"approved {employee}", approved.state, Candidacy.STATE_APPROVED)
            letter = candidacy_pb2.IssueLetterRequest(candidacy_id=self.candidacies[employee])
            await self.say(HR_ONE, self.runs.IssueLetter, letter)
        self.tell(f"{len(self.chosen)} approved; the site took a day off meanwhile, and the notice moved")

    async def appoint(self) -> None:
        self.go(date(2026, 7, 8))
        untrained = candidacy_pb2.PassPostTrainingRequest(candidacy_id=self.candidacies[self.chosen[0]])
        await self.refused("TRAINING_MISSING", HR_ONE, self.runs.PassPostTraining, untrained)
        records = [
            Record(
                record_id=f"course-{employee}",
                employee_id=employee,
                date="2026-07-07",
                training=Training(course_id=COURSE, attended=True, exam=Training.Exam(score="88", passed=True)),
            )
            for employee in self.chosen
        ]
        created = await self.world.records.CreateRecords(CreateRecordsRequest(records=records))
        self.expect("records", created.recorded, len(records))
        for employee in self.chosen:
            passed = candidacy_pb2.PassPostTrainingRequest(candidacy_id=self.candidacies[employee])
            trained = await self.say(HR_ONE, self.runs.PassPostTraining, passed)
            start = candidacy_pb2.AppointCandidacyRequest(
                candidacy_id=self.candidacies[employee], etag=trained.etag, start_date="2026-07-13"
            )
            appointed = await self.say(HR_ONE, self.runs.AppointCandidacy, start)
            self.expect("two weeks", appointed.trial_until, "2026-07-26")
        self.go(date(2026, 7, 13))
        for employee in self.chosen:
            await self.holds(employee, RUNG, acting=True)
        self.tell(f"{len(self.chosen)} trained, and on trial by the directory")

    async def holds(self, employee: str, position: str, *, acting: bool) -> None:
        """Waits until the directory says so."""
        await until(
            lambda: self.world.directory.GetEmployee(GetEmployeeRequest(employee_id=employee)),
            lambda found: (found.position, found.acting) == (position, acting),
        )
        self.checks += 1

    async def end_trials(self) -> None:
        failed = self.listed[self.centre.departments[0]][1]
        for employee in self.chosen:
            decide = career_pb2.DecideAppointmentRequest(
                employee_id=employee,
                appointment_id=self.candidacies[employee],
                confirmed=employee != failed,
                effective_date="2026-07-27",
                reason="What the trial has shown.",
            )
            if employee == self.chosen[0]:
                await self.refused("TRIAL_RUNNING", HR_ONE, self.careers.DecideAppointment, decide)
            self.go(date(2026, 7, 27))
            await self.say(HR_ONE, self.careers.DecideAppointment, decide)
        for employee in self.chosen:
            await self.comes_to(employee, Candidacy.STATE_RETURNED if employee == failed else Candidacy.STATE_CONFIRMED)
            before = "junior" if employee == self.junior else "agent"
            await self.holds(employee, before if employee == failed else RUNG, acting=False)
        self.failed = failed
        for department in self.centre.departments:
            close = competition_pb2.CloseCompetitionRequest(competition_id=f"senior-{department}", cancelled=False)
            await self.say(HR_ONE, self.competitions.CloseCompetition, close)
            for employee in self.running(department):
                if employee not in self.chosen and (await self.candidacy(employee)).state != Candidacy.STATE_REJECTED:
                    await self.comes_to(employee, Candidacy.STATE_NOT_SELECTED)
        listed = await self.ask(HR_ONE, self.posts.ListPosts, post_pb2.ListPostsRequest())
        vacant = {post.team_id: post.vacancies.vacant for post in listed.posts}
        first = self.centre.departments[0]
        self.expect("seats free", vacant, {one: int(one == first) for one in self.centre.departments})
        self.tell(f"{len(self.chosen) - 1} hold their posts for good, one is back in the old one")

    # What comes out of it.

    async def explain(self) -> None:
        """One call explains every number; the papers are written to be looked at."""
        for employee, candidacy in self.candidacies.items():
            if employee in (self.withdrawn, self.rejected):
                continue
            told = await self.ask(HR_ONE, self.scores.GetScore, scoring_pb2.GetScoreRequest(candidacy_id=candidacy))
            self.expect(f"explained {employee}", told.score.total, self.reckoning.total(employee))
            parts = self.reckoning.parts(employee)
            answered = {
                one.part_id: Fraction(int(one.score.numerator), int(one.score.denominator))
                for one in told.score.parts
                if not one.missing
            }
            self.expect(f"parts of {employee}", answered, parts)
            sources = [given for one in told.score.parts for given in one.inputs]
            self.expect(f"inputs of {employee}", all(given.positions for given in sources), True)
        self.papers.mkdir(parents=True, exist_ok=True)
        for department in self.centre.departments:
            public = document_pb2.ExportPublicListRequest(competition_id=f"senior-{department}", format="pdf")
            await self.write(f"list-{department}", self.documents.ExportPublicList, public)
        for employee in self.chosen:
            letter = document_pb2.ExportLetterRequest(candidacy_id=self.candidacies[employee], format="pdf")
            await self.write(f"letter-{employee}", self.documents.ExportLetter, letter)
        for employee in {self.chosen[0], self.junior, self.doubted, self.failed, self.runner_up, self.lonely}:
            file = document_pb2.ExportCandidacyFileRequest(candidacy_id=self.candidacies[employee], format="pdf")
            await self.write(f"case-{employee}", self.documents.ExportCandidacyFile, file)
        await self.say(HR_ONE, self.cycles.CloseCycle, cycle_pb2.CloseCycleRequest(cycle_id=self.cycle_id))
        rates = await self.ask(
            HR_ONE, self.fairness.GetFairness, fairness_pb2.GetFairnessRequest(cycle_id=self.cycle_id)
        )
        self.expect("groups are compared", [one.dimension for one in rates.dimensions], ["sex"])
        self.tell(f"every number explained; papers in {self.papers}")

    async def correct(self) -> None:
        """A number corrected afterwards shows which decisions it touches: also whom it lets in; and no other."""
        employee, month = self.chosen[-1], MONTHS[-1]
        lower = Reading(kpi_id=QUALITY, numerators=[self.centre.quality(employee, month) - 30], denominators=[100])
        fact = Fact(employee_id=employee, date=f"{month}-10", source="work", readings=[lower])
        await self.world.facts.CorrectFact(CorrectFactRequest(fact=fact, reason="Counted twice."))
        drifted = await until(lambda: self.candidacy(employee), lambda found: found.drift.HasField("score"))
        was, now = (
            {
                one.part_id: Fraction(int(one.score.numerator), int(one.score.denominator))
                for one in score.parts
                if one.HasField("score")  # where too few peers gave theirs, there is none
            }
            for score in (drifted.score, drifted.drift.score)
        )
        self.expect("what would come out now", now, {**was, "work": was["work"] - Fraction(30, len(MONTHS))})
        told = await self.ask(
            HR_ONE, self.scores.GetScore, scoring_pb2.GetScoreRequest(candidacy_id=drifted.candidacy_id)
        )
        self.expect("it is said", f"{drifted.drift.score.total}, not {drifted.score.total}" in told.drift, True)
        department = self.centre.departments[-1]
        behind = [one for one in self.running(department) if one not in self.chosen and one != self.objected_to]
        following = self.reckoning.ranking(behind)[0]
        lets_in = Fraction(self.reckoning.total(following)) > Fraction(drifted.drift.score.total)
        touched = {employee, following} if lets_in else {employee}
        request = candidacy_pb2.ListCandidaciesRequest(drifted_only=True)
        listed = await until(
            lambda: self.ask(HR_ONE, self.runs.ListCandidacies, request),
            lambda found: len(found.candidacies) == len(touched),
        )
        self.expect("nobody else", {one.employee_id for one in listed.candidacies}, touched)
        now_out = (await self.candidacy(employee)).drift.HasField("displacement")
        self.expect("displaced", now_out, lets_in)
        self.tell(f"a number corrected afterwards: {len(touched)} decisions that it touches are flagged")

    async def write(self, name: str, method: Callable[..., Awaitable[HttpBody]], request: Any) -> None:
        paper = await method(request, metadata=by(HR_ONE))
        self.expect(name, paper.data[:5], b"%PDF-")
        (self.papers / f"{name}.pdf").write_bytes(paper.data)


def by(caller: str) -> tuple[tuple[str, str]]:
    return as_person(caller)


def reason_of(error: aio.AioRpcError) -> str:
    """The stable word for why."""
    found: Any = error
    info = ErrorInfo()
    for detail in rpc_status.from_call(found).details:
        detail.Unpack(info)
    return str(info.reason)


async def all_at_once(calls: list[Awaitable[Any]], most: int = 16) -> None:
    """Some at a time."""
    for start in range(0, len(calls), most):
        await asyncio.gather(*calls[start : start + most])
