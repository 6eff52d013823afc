"""A storm over promotions: competitions are run by several callers while everything is killed, and then corrected."""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

from google.protobuf.message import Message
from grpc import aio

from services.promotion.candidacy import candidacy_key
from services.promotion.post import post_id
from stepladder.common.v1.envelope_pb2 import Envelope
from stepladder.performance.v1.directory_pb2 import (
    AppointTeamLeadRequest,
    CreateTeamRequest,
    Employee,
    HireEmployeeRequest,
    Team,
)
from stepladder.performance.v1.directory_pb2_grpc import DirectoryServiceStub
from stepladder.performance.v1.facts_pb2 import CorrectFactRequest, Fact, Reading, RecordFactsRequest
from stepladder.performance.v1.facts_pb2_grpc import FactsServiceStub
from stepladder.performance.v1.policy_pb2 import Policy, SetPolicyRequest
from stepladder.performance.v1.policy_pb2_grpc import PolicyServiceStub
from stepladder.performance.v1.promotion_rules_pb2 import CompetitionRules, EligibilityRules, Ladder
from stepladder.promotion.v1 import candidacy_pb2, competition_pb2
from stepladder.promotion.v1.candidacy_pb2_grpc import CandidacyServiceStub
from stepladder.promotion.v1.competition_pb2_grpc import CompetitionServiceStub
from stepladder.promotion.v1.cycle_pb2 import CloseCycleRequest, OpenCycleRequest
from stepladder.promotion.v1.cycle_pb2_grpc import CycleServiceStub
from stepladder.promotion.v1.events_pb2 import (
    ApplicationsClosed,
    CandidacyApplied,
    CandidacyDrifted,
    CandidacyListed,
    CandidacyNotSelected,
    CandidacyWithdrawn,
    CandidateLeft,
    CompetitionClosed,
    CompetitionOpened,
    CompetitionRanked,
    CycleClosed,
    LeadReviewed,
    ListPublished,
    ManagerReviewed,
    SeatsClaimed,
    SeatsReleased,
)
from stepladder.promotion.v1.post_pb2 import GetPostRequest, SetHeadcountRequest
from stepladder.promotion.v1.post_pb2_grpc import PostServiceStub
from tests.faults.checker import DOUBLED, LOST, WRONG, Evidence, Outcome, Violation, broken_log
from tests.faults.load import AGAIN, KPI_ID
from tests.faults.storm import ANSWER_SECONDS, Storm, storm
from tests.promotion import rules as asked
from tests.tokens import as_person, as_system

CANDIDATES, SEATS, TOUCHED = 8, 3, 3  # who has the last seat leads by far: a correction displaces nobody
HR, LEAD, MANAGER = ("hr-1", "hr-2"), "l-1", "m-1"
PEOPLE = [f"c-{number}" for number in range(CANDIDATES)]
POST = post_id("senior", 0, "t-2")

Happened = Counter[tuple[str, str]]
"""How many events of a type an aggregate has; both by name."""


@dataclass
class Field:
    """Callers of a system in a storm, and what has to be in its log because of what they were answered."""

    raging: Storm
    wanted: Happened = field(default_factory=Counter)
    requests: int = 0
    repeated: int = 0
    longest_gap: float = 0.0
    """The longest time without an answer, in seconds."""
    answered: float = field(default_factory=time.monotonic)
    """When the last answer came, by the monotonic clock."""
    held: list[str] = field(default_factory=list)
    numbers: dict[str, int] = field(default_factory=lambda: {one: 500 - 40 * (n // 2) for n, one in enumerate(PEOPLE)})
    """What each has of 1000: two each have the same, and so the same total."""
    wrong: list[Violation] = field(default_factory=list)

    async def say(self, stub: Callable[[aio.Channel], Any], rpc: str, request: Any, actor: str = "") -> Any:
        """An answer, however often it takes, from a connection of its own: as another caller would."""
        settings = self.raging.system.settings
        ours = stub in (DirectoryServiceStub, FactsServiceStub, PolicyServiceStub)
        address = settings.performance_address if ours else settings.promotion_address
        options = [("grpc.max_reconnect_backoff_ms", 200), ("grpc.initial_reconnect_backoff_ms", 50)]
        metadata = as_system() if ours else as_person(actor or HR[0])
        deadline = time.monotonic() + ANSWER_SECONDS
        self.requests += 1
        async with aio.insecure_channel(address, options=options) as channel:
            while True:
                try:
                    return self._heard(await getattr(stub(channel), rpc)(request, timeout=20, metadata=metadata))
                except aio.AioRpcError as error:
                    if error.code().name not in AGAIN or time.monotonic() > deadline:
                        raise
                    self.repeated += 1
                    await asyncio.sleep(0.05)

    def _heard(self, answer: Any) -> Any:
        now = time.monotonic()
        self.longest_gap, self.answered = max(self.longest_gap, now - self.answered), now
        return answer

    async def twice(self, stub: Callable[[aio.Channel], Any], rpc: str, request: Any, *actors: str) -> Any:
        """Said at once by one caller in two places, or by two callers: it has to be done once."""
        request.request_id = f"{rpc}-{request}"[:100] if len(actors) < 2 else ""
        one, other = (*actors, actors[0])[:2]
        answers = await asyncio.gather(self.say(stub, rpc, request, one), self.say(stub, rpc, request, other))
        return answers[0]

    def want(self, aggregate: str, *events: type[Message]) -> None:
        """One more event of each type."""
        for event in events:
            self.wanted[aggregate, event.DESCRIPTOR.name] += 1

    def expect(self, what: str, found: object, wanted: object) -> None:
        if found != wanted:
            self.wrong.append(Violation(WRONG, f"{what}: {found}, should be {wanted}"))

    def total(self, employee_id: str) -> str:
        """60 % of what the manager gave, which is the number's first two digits, and 40 % of the number."""
        number = self.numbers[employee_id]
        return f"{float(Fraction(60 * (number // 10) + 40 * Fraction(number, 10), 100)):.2f}"

    async def until(self, what: str, question: Callable[[], Awaitable[object]], wanted: object) -> None:
        """Asks until the answer is the wanted one: policies take their time."""

        async def missing() -> str:
            found = await question()
            return "" if found == wanted else f"{what}: {found}, should be {wanted}"

        await self.raging.until_none(missing, ANSWER_SECONDS)

    async def prepare(self) -> None:
        """People, rules, a cycle and a post with as many seats as one competition takes."""
        year = (datetime.now(UTC) + timedelta(days=366)).date().isoformat()
        for team in ("t-2", "t-3", "t-4"):
            created = CreateTeamRequest(team=Team(team_id=team, display_name=team))
            await self.say(DirectoryServiceStub, "CreateTeam", created)
        hired = [(LEAD, "t-3", ""), (MANAGER, "t-4", ""), *((one, "t-4", "hr") for one in HR)]
        for one, team, family in [*hired, *((one, "t-2", "") for one in PEOPLE)]:
            person = Employee(
                employee_id=one, display_name=one, hire_date="2000-01-01", team_id=team, job_family=family
            )
            person.position, person.position_since = "agent", "2000-01-01"
            await self.say(DirectoryServiceStub, "HireEmployee", HireEmployeeRequest(employee=person))
        for team, lead in (("t-2", LEAD), ("t-3", MANAGER)):
            lead_it = AppointTeamLeadRequest(team_id=team, lead_id=lead, effective_date="2000-01-01")
            await self.say(DirectoryServiceStub, "AppointTeamLead", lead_it)
        facts = [self.fact(one) for one in PEOPLE]
        await self.say(FactsServiceStub, "RecordFacts", RecordFactsRequest(request_id="all", facts=facts))
        lot = [CompetitionRules.Tie(rule=CompetitionRules.RULE_LOT)]
        rules = asked.rules(asked.manager("60"), asked.part_of_kpi(KPI_ID, "40"), ties=lot)
        tenure = EligibilityRules.Criterion(
            criterion_id="tenure", display_name="A year", tenure=EligibilityRules.Tenure(months=12)
        )
        rungs = [
            Ladder.Rung(rung_id="agent", display_name="Agent", position="agent"),
            Ladder.Rung(rung_id="senior", display_name="Senior", position="senior", eligibility_id="who"),
        ]
        rungs[1].competition_id = "how"
        for policy in (
            Policy(policy_id="who", eligibility=EligibilityRules(criteria=[tenure])),
            Policy(policy_id="how", competition=rules),
            Policy(policy_id="ladder", ladder=Ladder(display_name="Positions", rungs=rungs)),
        ):
            policy.effective_date = "2000-01-01"
            request = SetPolicyRequest(request_id=policy.policy_id, policy=policy)
            await self.say(PolicyServiceStub, "SetPolicy", request)
        own = OpenCycleRequest.Own(cycle_id="cycle", display_name="A", end_date=year, applications_until=year)
        await self.say(CycleServiceStub, "OpenCycle", OpenCycleRequest(own=own))
        seats = SetHeadcountRequest(position="senior", team_id="t-2", headcount=SEATS, effective_date="2000-01-01")
        await self.say(PostServiceStub, "SetHeadcount", seats)

    def fact(self, employee_id: str) -> Fact:
        """Of last month."""
        day = datetime.now(UTC).date().replace(day=1) - timedelta(days=3)
        reading = Reading(kpi_id=KPI_ID, numerators=[self.numbers[employee_id]], denominators=[1000])
        return Fact(employee_id=employee_id, date=day.isoformat(), source="work", readings=[reading])

    async def hold(self, number: int) -> None:
        """A competition from its opening to its end; then, of some who were in it, the number is corrected."""
        competition_id = f"held-{number}"
        keys = {one: candidacy_key(competition_id, one) for one in PEOPLE}
        opening = competition_pb2.OpenCompetitionRequest(
            competition_id=competition_id, cycle_id="cycle", ladder_id="ladder", rung_id="senior", team_id="t-2"
        )
        opening.seats = SEATS
        await self.twice(CompetitionServiceStub, "OpenCompetition", opening, *HR)
        self.want(POST, SeatsClaimed)
        self.want(competition_id, CompetitionOpened)
        await asyncio.gather(*(self.enter(competition_id, one) for one in PEOPLE))
        await self.of(competition_id, competition_pb2.CloseApplicationsRequest)
        ranked = await self.of(competition_id, competition_pb2.RankCompetitionRequest)
        self.want(competition_id, ApplicationsClosed, CompetitionRanked)
        lots = {one: sha256(f"{ranked.lot_seed}/{keys[one]}".encode()).hexdigest() for one in PEOPLE}
        order = sorted(PEOPLE, key=lambda one: (-Fraction(self.total(one)), lots[one]))
        found = [(one.employee_id, one.total) for one in ranked.ranking]
        self.expect(f"{competition_id} is ranked", found, [(one, self.total(one)) for one in order])
        await self.of(competition_id, competition_pb2.PublishListRequest)
        listed_first = partial(self.candidacy, keys[order[0]], "state")
        await self.until(f"the state of {keys[order[0]]}", listed_first, candidacy_pb2.Candidacy.STATE_LISTED)
        leaving = candidacy_pb2.WithdrawCandidacyRequest(candidacy_id=keys[order[0]], reason="another plan")
        await self.twice(CandidacyServiceStub, "WithdrawCandidacy", leaving, order[0])
        self.want(competition_id, ListPublished, CandidateLeft)
        self.want(keys[order[0]], CandidacyWithdrawn)
        listed = [keys[one] for one in order[1 : SEATS + 1]]

        async def on_list() -> object:
            published = await self.of(competition_id, competition_pb2.PublishListRequest)
            return list(published.listed_candidacy_ids)

        await self.until(f"the list of {competition_id}", on_list, listed)
        self.want(competition_id, ListPublished)
        for one in order[: SEATS + 1]:
            self.want(keys[one], CandidacyListed)
        self.held.append(competition_id)
        await self.correct(number)
        await self.of(competition_id, competition_pb2.CloseCompetitionRequest, cancelled=True)
        self.want(competition_id, CompetitionClosed)
        self.want(POST, SeatsReleased)
        for one in order[1:]:
            self.want(keys[one], CandidacyNotSelected)

        async def vacant() -> object:
            return (await self.say(PostServiceStub, "GetPost", GetPostRequest(post_id=POST))).vacancies.vacant

        await self.until("vacant seats", vacant, SEATS)

    async def of(self, competition_id: str, kind: type[Message], **said: object) -> Any:
        """What two of HR say at once of a competition."""
        request: Any = kind(competition_id=competition_id, **said)
        rpc = kind.DESCRIPTOR.name.removesuffix("Request")
        return await self.twice(CompetitionServiceStub, rpc, request, *HR)

    async def enter(self, competition_id: str, employee_id: str) -> None:
        """An application and both reviews."""
        key = candidacy_key(competition_id, employee_id)
        today = datetime.now(UTC).date().isoformat()
        applying = candidacy_pb2.ApplyRequest(competition_id=competition_id, motivation="I train the new ones")
        await self.twice(CandidacyServiceStub, "Apply", applying, employee_id)
        led = candidacy_pb2.ReviewAsLeadRequest(candidacy_id=key, recommended=True, interview_date=today, report="good")
        await self.twice(CandidacyServiceStub, "ReviewAsLead", led, LEAD)
        given = str(self.numbers[employee_id] // 10)
        managed = candidacy_pb2.ReviewAsManagerRequest(candidacy_id=key, approved=True, score=given, report="good")
        await self.twice(CandidacyServiceStub, "ReviewAsManager", managed, MANAGER)
        self.want(key, CandidacyApplied, LeadReviewed, ManagerReviewed)

    async def correct(self, number: int) -> None:
        """Other numbers for some: every competition in which they were scored tells of it once, and no other."""
        touched = [PEOPLE[(number + place) % CANDIDATES] for place in range(TOUCHED)]
        for one in touched:
            self.numbers[one] += 1
            request = CorrectFactRequest(fact=self.fact(one), reason="counted twice")
            await self.say(FactsServiceStub, "CorrectFact", request)
        for one in touched:
            for competition_id in self.held:
                key = candidacy_key(competition_id, one)
                self.want(key, CandidacyDrifted)
                await self.until(f"what would come out of {key}", partial(self.drift, key), self.numbers[one])

    async def candidacy(self, candidacy_id: str, name: str) -> Any:
        """A field of it."""
        request = candidacy_pb2.GetCandidacyRequest(candidacy_id=candidacy_id)
        return getattr(await self.say(CandidacyServiceStub, "GetCandidacy", request), name)

    async def drift(self, candidacy_id: str) -> object:
        """By which number a candidate would be scored now, of 1000; None: as they were."""
        drift = await self.candidacy(candidacy_id, "drift")
        parts = [part.score for part in drift.score.parts if part.part_id == "kpi"]
        return Fraction(10 * int(parts[0].numerator), int(parts[0].denominator)) if parts else None


def events_of(log: Sequence[Any]) -> Happened:
    """How many events of each type the aggregates of a log have."""
    return Counter(
        (stored.subject.rpartition(".")[2], Envelope.FromString(stored.payload).type.rpartition(".")[2])
        for stored in log
    )


def not_once(wanted: Mapping[tuple[str, str], int], evidence: Evidence) -> list[Violation]:
    """What was acknowledged or had to follow, and is not in the log as often as that: lost, or done twice."""
    kinds, happened = {name for _, name in wanted}, events_of(evidence.log)
    named = sorted({key for key in {*wanted, *happened} if key[1] in kinds and key[0] in {one for one, _ in wanted}})
    return [
        Violation(
            LOST if happened[one, name] < wanted.get((one, name), 0) else DOUBLED,
            f"{name} of {one} is there {happened[one, name]} times, should be {wanted.get((one, name), 0)}",
        )
        for one, name in named
        if happened[one, name] != wanted.get((one, name), 0)
    ]


async def run_competitions(
    folder: Path,
    seed: int,
    *,
    kills: int,
    calm_seconds: tuple[float, float] = (1.0, 5.0),
    tell: Callable[[str], None] = lambda _: None,
) -> tuple[Evidence, Field, Outcome]:
    """One competition after the other until all kills are done; what is left behind, and what came of it."""
    began = time.monotonic()
    async with storm(folder, seed, tell=tell) as raging:
        field = Field(raging)
        await field.prepare()
        rage, number = asyncio.create_task(raging.rage(kills, calm_seconds)), 0
        while number == 0 or not rage.done():
            await field.hold(number)
            number += 1
            tell(f"{number} competitions held")
        await rage
        await field.twice(CycleServiceStub, "CloseCycle", CloseCycleRequest(cycle_id="cycle"), *HR)
        field.want("cycle", CycleClosed)
        await raging.settle()
        evidence = await raging.log()
        tell(
            f"seed {seed}: {raging.kills.total()} kills {dict(raging.kills)}, answers lost {raging.answers_lost} times;"
            f" {number} competitions of {CANDIDATES}, {field.requests} requests ({field.repeated} repetitions),"
            f" {len(evidence.log)} events; {time.monotonic() - began:.0f} s"
        )
        broken = [*broken_log(evidence), *field.wrong, *not_once(field.wanted, evidence)]
        outcome = Outcome("competitions", kills + raging.answers_lost, kills, field.requests, field.longest_gap, broken)
        return evidence, field, outcome
