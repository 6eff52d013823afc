"""Fairness through the service: who declares, who may ask, and what of a competition is told."""

import unicodedata
from collections.abc import Sequence
from datetime import timedelta

import pytest
from google.protobuf.message import Message
from grpc import StatusCode
from sqlalchemy import MetaData, select

from libs.common.eventsourcing import Aggregate, Context
from libs.common.streams import LOG_RESTRICTED
from services.promotion.groups import GROUPS, groups_key
from stepladder.performance.v1.policy_pb2 import Policy, SetPolicyRequest
from stepladder.performance.v1.promotion_rules_pb2 import CompetitionRules
from stepladder.promotion.v1.events_pb2 import (
    ApplicationsClosed,
    CandidacyApplied,
    CandidacyAppointed,
    CandidacyApproved,
    CandidacyListed,
    CandidacyNotSelected,
    CandidacyRejected,
    CandidacyScored,
    CandidacyWithdrawn,
    CompetitionClosed,
    CompetitionOpened,
    CycleClosed,
    CycleOpened,
    InterviewScored,
    LeadReviewed,
    ManagerReviewed,
    TrialEnded,
)
from stepladder.promotion.v1.fairness_pb2 import (
    DeclaredGroup,
    DeclareGroupsRequest,
    Fairness,
    GetDeclaredGroupsRequest,
    GetFairnessRequest,
    StageRates,
)
from tests.refusals import refused
from tests.services.world import World, new_id
from tests.tokens import as_person

Metadata = tuple[tuple[str, str], ...]


def by(employee_id: str) -> Metadata:
    return as_person(employee_id)


async def happen(world: World, aggregate: str, aggregate_id: str, *events: Message) -> int:
    """Writes events as the promotion service does."""
    told = Aggregate[None](
        name=f"promotion.{aggregate}", initial=None, evolve=lambda state, _: state, decide=lambda *_: events
    )
    service = world.services["promotion"]
    context = Context(now=world.clock[0], today=service.today(), actor="system:test")
    return (await service.commands.handle(told, aggregate_id, events[0], context)).position


async def declare(world: World, employee_id: str, **groups: str) -> None:
    declared = [DeclaredGroup(dimension=dimension, group=group) for dimension, group in groups.items()]
    await world.fairness.DeclareGroups(DeclareGroupsRequest(groups=declared), metadata=by(employee_id))


class Competition:
    """A competition of the test's own, under rules with a smallest group of 3."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.competition_id, self.cycle_id = new_id("comp"), new_id("cycle")
        self.end = 0

    async def open(self, year: int = 2020) -> None:
        rules = CompetitionRules(
            parts=[
                CompetitionRules.Part(
                    part_id="m", display_name="Manager", weight="100", manager=CompetitionRules.Manager()
                )
            ],
            missing=CompetitionRules.MISSING_ZERO,
            rounding=CompetitionRules.ROUNDING_HALF_UP,
            ties=[CompetitionRules.Tie(rule=CompetitionRules.RULE_LOT)],
            notice_business_days=5,
            trial_months=1,
            smallest_group=3,
        )
        policy = Policy(policy_id=new_id("rules"), effective_date="2020-01-01", competition=rules)
        stored = await self.world.policies.SetPolicy(SetPolicyRequest(policy=policy))
        opened = CycleOpened(cycle_id=self.cycle_id, opened_date=f"{year}-01-01", end_date=f"{year}-12-31")
        await happen(self.world, "cycle", self.cycle_id, opened)
        await happen(
            self.world,
            "competition",
            self.competition_id,
            CompetitionOpened(
                competition_id=self.competition_id,
                cycle_id=self.cycle_id,
                rules_position=stored.log_position,
            ),
        )

    async def close(self, *, cancelled: bool = False) -> None:
        self.world.clock[0] += timedelta(minutes=1)
        closed = CompetitionClosed(competition_id=self.competition_id, cancelled=cancelled)
        applications = ApplicationsClosed(competition_id=self.competition_id)
        self.end = await happen(self.world, "competition", self.competition_id, applications, closed)

    async def end_cycle(self) -> None:
        self.end = await happen(self.world, "cycle", self.cycle_id, CycleClosed(cycle_id=self.cycle_id))

    async def candidate(self, team: str, events: Sequence[Message], **groups: str) -> str:
        """Somebody who declared groups, and to whom these events happened."""
        employee_id, candidacy_id = await self.world.employee(team), new_id("cand")
        if groups:
            await declare(self.world, employee_id, **groups)
        applied = CandidacyApplied(competition_id=self.competition_id, employee_id=employee_id)
        told = [applied, *events]
        for event in told:
            event.candidacy_id = candidacy_id  # type: ignore[attr-defined] # every event of a candidacy has it
            if "employee_id" in event.DESCRIPTOR.fields_by_name:
                event.employee_id = employee_id  # type: ignore[attr-defined]
        self.end = await happen(self.world, "candidacy", candidacy_id, *told)
        return employee_id

    async def fairness(self, hr: str, **unit: str | int) -> Fairness:
        request = GetFairnessRequest(at_least=self.end, **(unit or {"competition_id": self.competition_id}))  # type: ignore[arg-type]
        answer: Fairness = await self.world.fairness.GetFairness(request, metadata=by(hr))
        return answer


def appointed() -> list[Message]:
    return [
        LeadReviewed(recommended=True),
        ManagerReviewed(approved=True),
        InterviewScored(),
        InterviewScored(),
        CandidacyListed(),
        CandidacyApproved(),
        CandidacyAppointed(),
        TrialEnded(passed=True),
    ]


def not_selected() -> list[Message]:
    return [
        LeadReviewed(recommended=False),
        ManagerReviewed(approved=True),
        InterviewScored(),
        CandidacyNotSelected(),
    ]


@pytest.fixture
async def competition(world: World) -> Competition:
    competition = Competition(world)
    await competition.open()
    return competition


async def office(world: World) -> tuple[str, str, str]:
    """A team, somebody of HR, and the executive."""
    team = await world.team()
    return team, await world.employee(team, job_family="hr"), await world.employee(team, job_family="executive")


def numbers(row: StageRates) -> list[tuple[str, int, int, str]]:
    return [(one.group, one.selected, one.candidates, one.ratio) for one in row.groups]


async def test_groups_in_any_script(world: World) -> None:
    """As they were written; an accent that is a character of its own makes no other group."""
    team, *_ = await office(world)
    agent = await world.employee(team)
    for dimension, group in (
        ("性别", "女"),
        ("возраст", "до-30-лет"),
        ("लिंग", "महिला"),
        ("sex", "vīrietis"),
        ("a" * 63, "1"),
    ):
        await declare(world, agent, **{dimension: unicodedata.normalize("NFD", group)})
        mine = await world.fairness.GetDeclaredGroups(GetDeclaredGroupsRequest(), metadata=by(agent))
        assert [(one.dimension, one.group) for one in mine.groups] == [(dimension, group)]


async def test_groups_that_are_no_words(world: World) -> None:
    """Without capitals, so that none is there twice, and of nothing but letters, digits and hyphens."""
    team, *_ = await office(world)
    agent = await world.employee(team)
    no_words = [
        "",
        "Female",
        "女 ",
        "女\n男",
        "a=b",
        "a\u2028b",
        "a\u200bb",
        "\u0301",
        "-女",
        "女" * 64,
        "<b>",
        "a\x00b",
    ]
    for wrong in no_words:
        for one in (DeclaredGroup(dimension="sex", group=wrong), DeclaredGroup(dimension=wrong, group="x")):
            declaring = world.fairness.DeclareGroups(DeclareGroupsRequest(groups=[one]), metadata=by(agent))
            refusal = await refused(declaring, StatusCode.INVALID_ARGUMENT, "INVALID_FIELDS")
            assert "letters of any script" in refusal.message


async def test_declaring_is_ones_own(world: World) -> None:
    """What somebody declares, only they read; it lies sealed, under an id that tells nothing, and in no row."""
    team, hr, _ = await office(world)
    agent = await world.employee(team)
    await declare(world, agent, sex="female", age="over-40")
    mine = await world.fairness.GetDeclaredGroups(GetDeclaredGroupsRequest(), metadata=by(agent))
    assert [(one.dimension, one.group) for one in mine.groups] == [("age", "over-40"), ("sex", "female")]
    theirs = await world.fairness.GetDeclaredGroups(GetDeclaredGroupsRequest(), metadata=by(hr))
    assert not theirs.groups
    (stored,) = await world.services["promotion"].streams[LOG_RESTRICTED].read(GROUPS.subject(groups_key(agent)))
    assert agent not in stored.subject
    assert b"female" not in stored.payload
    await declare(world, agent)
    mine = await world.fairness.GetDeclaredGroups(GetDeclaredGroupsRequest(), metadata=by(agent))
    assert not mine.groups
    for call in (
        world.fairness.DeclareGroups(DeclareGroupsRequest(), metadata=by("nobody")),
        world.fairness.GetDeclaredGroups(GetDeclaredGroupsRequest(), metadata=by("nobody")),
    ):
        await refused(call, StatusCode.PERMISSION_DENIED, "NEED_TO_KNOW")
    twice = DeclareGroupsRequest(groups=[DeclaredGroup(dimension="sex", group=one) for one in ("male", "female")])
    refusal = await refused(
        world.fairness.DeclareGroups(twice, metadata=by(agent)), StatusCode.INVALID_ARGUMENT, "GROUPS_INVALID"
    )
    assert refusal.fields == ["groups[1].dimension"]


async def test_rates_of_a_competition(world: World, competition: Competition) -> None:
    """By stage and overall, for HR and the executive; whoever withdrew is no candidate; the cycle and the year say the
    same.
    """
    team, hr, executive = await office(world)
    for selected, group in ((6, "male"), (3, "female")):
        for number in range(9):
            events = appointed() if number < selected else not_selected()
            await competition.candidate(team, events, sex=group)
    await competition.candidate(team, [LeadReviewed(recommended=True), CandidacyWithdrawn()], sex="female")
    assert not (running := await competition.fairness(hr)).dimensions
    assert not running.over
    await competition.close()
    found = await competition.fairness(hr)
    assert found.smallest_group == 3
    (sex,) = found.dimensions
    assert sex.dimension == "sex"
    rows = {row.stage: row for row in sex.stages}
    assert len(rows) == len(StageRates.Stage.values()) - 1
    for stage in (StageRates.STAGE_OVERALL, StageRates.STAGE_RECOMMENDED, StageRates.STAGE_LISTED):
        assert rows[stage].below_four_fifths
        assert numbers(rows[stage]) == [("male", 6, 9, "1.0000"), ("female", 3, 9, "0.5000")]
        # Of C(18,9) = 48620 ways 84 * 84 = 7056 are as found, as many the other way round, and 1296, 81, 1 beyond each.
        assert rows[stage].groups[1].probability == "0.346935"
    assert not rows[StageRates.STAGE_CONFIRMED].below_four_fifths
    assert numbers(rows[StageRates.STAGE_CONFIRMED]) == [("male", 6, 6, "1.0000"), ("female", 3, 3, "1.0000")]
    assert found.dimensions == (await competition.fairness(executive)).dimensions
    assert found.over
    of_cycle = await competition.fairness(hr, cycle_id=competition.cycle_id)
    assert (of_cycle.over, list(of_cycle.dimensions)) == (False, [])  # another competition can still be opened in it
    await competition.end_cycle()
    assert found.dimensions == (await competition.fairness(hr, cycle_id=competition.cycle_id)).dimensions
    assert found.dimensions == (await competition.fairness(hr, year=2020)).dimensions
    assert not (await competition.fairness(hr, year=2021)).dimensions


async def test_a_competition_without_interviews(world: World, competition: Competition) -> None:
    """Who was ranked and not listed was turned down by the ranking, and not before."""
    team, hr, _ = await office(world)
    for selected, group in ((6, "male"), (3, "female")):
        for number in range(9):
            events: list[Message] = [LeadReviewed(recommended=True), ManagerReviewed(approved=True), CandidacyScored()]
            listed = [CandidacyListed(), CandidacyApproved(), CandidacyAppointed(), TrialEnded(passed=True)]
            await competition.candidate(
                team, [*events, *(listed if number < selected else [CandidacyNotSelected()])], sex=group
            )
    await competition.close()
    (sex,) = (await competition.fairness(hr)).dimensions
    rows = {row.stage: numbers(row) for row in sex.stages}
    assert rows[StageRates.STAGE_INTERVIEWED] == [("female", 9, 9, "1.0000"), ("male", 9, 9, "1.0000")]
    assert rows[StageRates.STAGE_LISTED] == [("male", 6, 9, "1.0000"), ("female", 3, 9, "0.5000")]


async def test_who_may_not_ask(world: World, competition: Competition) -> None:
    """Everybody else hears the same, whether or not there is anything; HR, that there is nothing."""
    team, hr, _ = await office(world)
    agent, lead = await world.employee(team), await world.lead(team)
    for caller in (agent, lead, "nobody"):
        for competition_id in (competition.competition_id, "none"):
            request = GetFairnessRequest(competition_id=competition_id)
            call = world.fairness.GetFairness(request, metadata=by(caller))
            await refused(call, StatusCode.PERMISSION_DENIED, "NEED_TO_KNOW")
    for request, reason in (
        (GetFairnessRequest(competition_id="none"), "COMPETITION_NOT_FOUND"),
        (GetFairnessRequest(cycle_id="none"), "CYCLE_NOT_FOUND"),
    ):
        await refused(world.fairness.GetFairness(request, metadata=by(hr)), StatusCode.NOT_FOUND, reason)


async def test_nothing_is_told_of_few_or_of_who_waits(world: World, competition: Competition) -> None:
    """Two of a group, a competition that runs, one who waits, a cancelled competition: there are no numbers."""
    team, hr, _ = await office(world)
    few = Competition(world)
    await few.open()
    for one, women in ((few, 2), (competition, 3)):
        for group in ["male"] * 4 + ["female"] * women:
            await one.candidate(team, [CandidacyRejected()], sex=group)
        assert not (await one.fairness(hr)).dimensions
        await one.close()
    assert not (await few.fairness(hr)).dimensions
    (told,) = (await competition.fairness(hr)).dimensions
    assert [row.stage for row in told.stages] == [StageRates.STAGE_OVERALL, StageRates.STAGE_RECOMMENDED]
    # Their candidacies end a moment after the competition.
    await competition.candidate(team, [LeadReviewed(recommended=True)])
    (told,) = (await competition.fairness(hr)).dimensions
    assert [row.stage for row in told.stages] == [StageRates.STAGE_RECOMMENDED]
    await competition.candidate(team, [])
    assert not (await competition.fairness(hr)).dimensions
    cancelled = Competition(world)
    await cancelled.open()
    for group in ["male"] * 4 + ["female"] * 4:
        await cancelled.candidate(team, [CandidacyRejected()], sex=group)
    await cancelled.close(cancelled=True)
    assert not (await cancelled.fairness(hr)).dimensions


async def test_nobody_is_found_out_by_asking_before_and_after(world: World, competition: Competition) -> None:
    """What is declared, or withdrawn, after applications closed changes nothing that is told, then or later."""
    team, hr, _ = await office(world)
    people = [
        await competition.candidate(team, [CandidacyRejected()], sex=group) for group in ["male"] * 5 + ["female"] * 5
    ]
    silent = [await competition.candidate(team, [CandidacyRejected()]) for _ in range(5)]
    await declare(world, silent[0], sex="female")
    await competition.close()
    told = (await competition.fairness(hr)).dimensions
    assert {one.group: one.candidates for one in told[0].stages[0].groups} == {"male": 5, "female": 6}
    await declare(world, people[0])
    await declare(world, silent[1], sex="female")
    await declare(world, silent[2], sex="male", age="over-40")
    assert (await competition.fairness(hr)).dimensions == told


async def test_a_year_is_told_of_when_it_is_over(world: World, competition: Competition) -> None:
    """And every cycle of it, however long these ran."""
    team, hr, _ = await office(world)
    for group in ["male"] * 4 + ["female"] * 4:
        await competition.candidate(team, [CandidacyRejected()], sex=group)
    await competition.close()
    assert (await competition.fairness(hr)).dimensions
    assert not (await competition.fairness(hr, year=2020)).over
    await competition.end_cycle()
    assert (await competition.fairness(hr, year=2020)).dimensions
    this_year = Competition(world)
    await this_year.open(year=world.clock[0].year)
    await this_year.close()
    await this_year.end_cycle()
    assert not (await this_year.fairness(hr, year=world.clock[0].year)).over
    assert (await this_year.fairness(hr, cycle_id=this_year.cycle_id)).over


async def test_no_row_holds_a_group(world: World, competition: Competition) -> None:
    """The read models of the service know what became of candidates, not to whom they belong."""
    team, hr, _ = await office(world)
    employee_id = await competition.candidate(team, appointed(), sex="unmistakable")
    await competition.fairness(hr)
    metadata = MetaData()
    async with world.services["promotion"].engine.connect() as connection:
        await connection.run_sync(metadata.reflect)
        rows = [row for table in metadata.sorted_tables for row in await connection.execute(select(table))]
    assert employee_id in repr(rows)
    assert "unmistakable" not in repr(rows)
