"""A competition that people take part in over gRPC: who they are, the rules, and the way of a candidacy."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any

from google.protobuf.message import Message

from libs.common.eventsourcing import Context
from libs.common.service import Service
from services.promotion.candidacy import CANDIDACY, candidacy_key
from services.promotion.competition import COMPETITION
from services.promotion.post import POST, post_id
from services.promotion.scoring import exact
from stepladder.performance.v1.policy_pb2 import Calendar, Policy, SetPolicyRequest
from stepladder.performance.v1.promotion_rules_pb2 import CompetitionRules, EligibilityRules, Ladder, QuestionBank
from stepladder.performance.v1.record_pb2 import CreateRecordsRequest, Record, Training
from stepladder.promotion.v1 import candidacy_pb2 as pb
from stepladder.promotion.v1 import competition_pb2
from stepladder.promotion.v1.interview_pb2 import AnswerScore
from stepladder.promotion.v1.peer_score_pb2 import AskPeersRequest, ClosePeersRequest, GivePeerScoreRequest
from stepladder.promotion.v1.post_pb2 import ClaimSeats, SetHeadcountRequest
from stepladder.promotion.v1.score_pb2 import Ranked, Score
from tests.services.test_check_ins import appoint, by
from tests.services.world import World, caught_up, new_id

ENGLISH = [QuestionBank.Text(language="en", text="What would you do?")]
BANK = QuestionBank(
    questions=[
        QuestionBank.Question(
            question_id="q-calm",
            kind=QuestionBank.KIND_BEHAVIOURAL,
            compulsory=True,
            texts=ENGLISH,
            bands=[
                QuestionBank.RubricBand(band_id="low", lower=0, upper=7, texts=ENGLISH),
                QuestionBank.RubricBand(band_id="high", lower=8, upper=20, texts=ENGLISH),
            ],
            zero_rules=[QuestionBank.ZeroRule(rule_id="rude", texts=ENGLISH)],
        )
    ]
)


def part(part_id: str, weight: str, **source: Any) -> CompetitionRules.Part:
    return CompetitionRules.Part(part_id=part_id, display_name=part_id, weight=weight, **source)


@dataclass
class Competing:
    """A team that competes for one seat as its deputy, by the rules of 2026."""

    world: World
    ladder: str
    team: str
    lead: str
    manager: str
    chair: str
    hr: list[str]
    panel: list[str]
    agents: list[str]
    calendar: str
    post: str = ""
    id: str = field(default_factory=lambda: new_id("c"))

    @property
    def service(self) -> Service:
        return self.world.services["promotion"]

    @property
    def candidate(self) -> str:
        return self.agents[0]

    @property
    def key(self) -> str:
        return candidacy_key(self.id, self.candidate)

    def at(self, day: str) -> None:
        self.world.clock[0] = datetime.fromisoformat(f"{day}T12:00:00").replace(tzinfo=UTC)

    async def say(self, request: Message, person: str, service: str = "candidacies") -> Any:
        """Calls the RPC that a request is for."""
        name = request.DESCRIPTOR.name.removesuffix("Request")
        return await getattr(getattr(self.world, service), name)(request, metadata=by(person))

    async def act(self, kind: type[Message], person: str, key: str = "", **fields: Any) -> pb.Candidacy:
        answer: pb.Candidacy = await self.say(kind(candidacy_id=key or self.key, **fields), person)
        return answer

    async def seen(self, person: str = "", key: str = "") -> pb.Candidacy:
        return await self.act(pb.GetCandidacyRequest, person or self.hr[0], key)

    async def command(self, aggregate: Any, name: str, command: Message) -> None:
        """What other parts of the service say."""
        now = self.service.now()
        context = Context(now=now, today=self.service.today(), actor=f"user:{self.hr[0]}")
        await self.service.commands.handle(aggregate, name, command, context)

    async def apply(self, person: str = "") -> pb.Candidacy:
        request = pb.ApplyRequest(competition_id=self.id, motivation="I keep calm")
        answer: pb.Candidacy = await self.say(request, person or self.candidate)
        return answer

    async def reviewed(self, key: str = "", day: str = "2026-03-09") -> None:
        await self.act(
            pb.ReviewAsLeadRequest, self.lead, key, recommended=True, interview_date=day, report="good with people"
        )
        await self.act(pb.ReviewAsManagerRequest, self.manager, key, approved=True, score="85.5", report="ready")

    async def interviewed(self, key: str = "") -> None:
        for person in self.panel:
            await self.act(pb.ScoreInterviewRequest, person, key, answers=answers(15), notes="clear")

    async def peers(self, *scores: str, asked: int = 3, close: bool = True) -> None:
        """Asks so many peers; the first of them give these scores."""
        peers = self.agents[-asked:]
        request = AskPeersRequest(candidacy_id=self.key, peer_ids=peers)
        await self.say(request, self.hr[0], "peer_scores")
        for peer, score in zip(peers, scores, strict=False):
            await self.say(GivePeerScoreRequest(candidacy_id=self.key, score=score), peer, "peer_scores")
        if close:
            await self.say(ClosePeersRequest(candidacy_id=self.key), self.hr[0], "peer_scores")
            await caught_up(self.world, "promotion")

    async def listed(self, *people: str) -> None:
        """Applications closed, scored, ranked and published, as the competition does it."""
        await self.command(COMPETITION, self.id, competition_pb2.CloseApplicationsRequest(competition_id=self.id))
        ranking = []
        for rank, person in enumerate(people or [self.candidate], 1):
            key = candidacy_key(self.id, person)
            score = Score(candidacy_id=key, total="80", exact_total=exact(Fraction(80)), weights="100")
            await self.command(CANDIDACY, key, pb.NoteScore(score=score))
            ranking.append(Ranked(candidacy_id=key, employee_id=person, total="80", rank=rank, passed=True))
        rank_all = competition_pb2.RankCompetition(competition_id=self.id, ranking=ranking)
        await self.command(COMPETITION, self.id, rank_all)
        await self.command(COMPETITION, self.id, competition_pb2.PublishListRequest(competition_id=self.id))
        await caught_up(self.world, "promotion")

    async def approve(self, person: str = "", key: str = "") -> pb.Candidacy:
        etag = (await self.seen(key=key)).etag
        return await self.act(pb.ApproveCandidacyRequest, person or self.hr[1], key, etag=etag, reason="in order")

    async def passes(self, day: str) -> None:
        """The candidate's record of the course."""
        one = Record(record_id=new_id("r"), employee_id=self.candidate, date=day)
        one.training.CopyFrom(Training(course_id="leading", attended=True, exam=Training.Exam(score="90", passed=True)))
        await self.world.records.CreateRecords(CreateRecordsRequest(records=[one]))
        await caught_up(self.world, "promotion")

    async def set_calendar(self, *days_off: str, since: str = "2026-01-01") -> None:
        policy = Policy(policy_id=self.calendar, effective_date=since, calendar=Calendar(days_off=days_off))
        await self.world.policies.SetPolicy(SetPolicyRequest(policy=policy))
        await caught_up(self.world, "promotion")


def answers(points: int) -> list[AnswerScore]:
    band = AnswerScore.BandScore(band_id="high" if points > 7 else "low", points=points)
    return [AnswerScore(question_id="q-calm", band=band)]


async def competing(world: World, day: str = "2026-03-09") -> Competing:
    """People, rules, a post with one seat, and a competition for it that is open until the end of the month."""
    world.clock[0] = datetime.fromisoformat(f"{day}T12:00:00").replace(tzinfo=UTC)
    team, leads, office = await world.team(), await world.team(), await world.team()
    lead, manager = await world.employee(leads), await world.employee(office)
    await appoint(world, team, lead)
    await appoint(world, leads, manager)
    people = Competing(
        world=world,
        ladder=new_id("ladder"),
        team=team,
        lead=lead,
        manager=manager,
        chair=await world.employee(office, job_family="executive"),
        hr=[await world.employee(office, job_family="hr") for _ in range(3)],
        panel=[await world.employee(office) for _ in range(2)],
        agents=[await world.employee(team) for _ in range(6)],
        calendar=new_id("calendar"),
    )
    await people.set_calendar()
    rules = CompetitionRules(
        parts=[
            part(
                "interview",
                "60",
                interview=CompetitionRules.Interview(
                    question_bank_id=f"{people.ladder}-bank", compulsory_questions=1, minimum_interviewers=2
                ),
            ),
            part("manager", "20", manager=CompetitionRules.Manager()),
            part("peers", "20", peers=CompetitionRules.Peers(minimum=3)),
        ],
        missing=CompetitionRules.MISSING_SPREAD,
        rounding=CompetitionRules.ROUNDING_HALF_UP,
        ties=[CompetitionRules.Tie(rule=CompetitionRules.RULE_LOT)],
        calendar_id=people.calendar,
        notice_business_days=5,
        objections_pause_notice=True,
        course_ids=["leading"],
        trial_weeks=2,
    )
    tenure = EligibilityRules.Criterion(
        criterion_id="tenure", display_name="Time in post", tenure=EligibilityRules.Tenure(months=12)
    )
    rungs = [
        Ladder.Rung(rung_id="agent", display_name="Agent", position="agent"),
        *(
            Ladder.Rung(
                rung_id=name,
                display_name=name,
                position=name,
                eligibility_id=f"{people.ladder}-who",
                competition_id=f"{people.ladder}-how",
            )
            for name in ("deputy", "head")
        ),
    ]
    positions = {}
    for suffix, content in (
        ("-bank", {"question_bank": BANK}),
        ("-who", {"eligibility": EligibilityRules(criteria=[tenure])}),
        ("-how", {"competition": rules}),
        ("", {"ladder": Ladder(display_name="Positions", rungs=rungs)}),
    ):
        policy = Policy(policy_id=f"{people.ladder}{suffix}", effective_date="2026-01-01", **content)
        stored = await world.policies.SetPolicy(SetPolicyRequest(policy=policy))
        positions[suffix] = stored.log_position
    await caught_up(world, "promotion")
    await opened(people, positions)
    return people


async def opened(people: Competing, positions: dict[str, int], rung: str = "deputy") -> None:
    people.post = post_id(rung, 0, people.team)
    headcount = SetHeadcountRequest(position=rung, team_id=people.team, headcount=1, effective_date="2026-01-01")
    await people.world.posts.SetHeadcount(headcount, metadata=by(people.hr[0]))
    await people.command(POST, people.post, ClaimSeats(claim_id=people.id, seats=1))
    opening = competition_pb2.OpenCompetition(
        request=competition_pb2.OpenCompetitionRequest(
            competition_id=people.id,
            cycle_id="by-hand",
            ladder_id=people.ladder,
            rung_id=rung,
            team_id=people.team,
            seats=1,
        ),
        post_id=people.post,
        position=rung,
        applications_until="2026-03-31",
        ladder_position=positions[""],
        eligibility_position=positions["-who"],
        rules_position=positions["-how"],
        calendar_id=people.calendar,
    )
    await people.command(COMPETITION, people.id, opening)
    panel = competition_pb2.SetPanel(
        request=competition_pb2.SetPanelRequest(competition_id=people.id, interviewer_ids=people.panel),
        minimum_interviewers=2,
        question_ids=["q-calm"],
        bank_position=positions["-bank"],
    )
    await people.command(COMPETITION, people.id, panel)
    await caught_up(people.world, "promotion")
