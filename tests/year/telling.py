"""Tells the service what a centre says, keeps the ledger beside it, and compares the two."""

import asyncio
import itertools
from collections.abc import Collection, Coroutine, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from time import perf_counter

from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message

from libs.common.projecting import Standing
from stepladder.performance.v1.directory_pb2 import (
    AppointTeamLeadRequest,
    ChangeEmploymentStatusRequest,
    ChangePositionRequest,
    CreateTeamRequest,
    Employee,
    HireEmployeeRequest,
    Team,
    TransferEmployeeRequest,
)
from stepladder.performance.v1.facts_pb2 import (
    DISPUTE_OUTCOME_OVERTURNED,
    DISPUTE_OUTCOME_UPHELD,
    RATING_GOOD,
    CorrectFactRequest,
    DisputeFactRequest,
    Fact,
    ListFactsRequest,
    RateMonthRequest,
    Reading,
    ReadingsOfDay,
    RecordFactsRequest,
    RetractFactRequest,
    SettleFactDisputeRequest,
    StreamFactsRequest,
)
from stepladder.performance.v1.kpi_pb2 import CreateKpiRequest, Kpi, SetTargetRequest, Target, UpdateKpiRequest
from stepladder.performance.v1.policy_pb2 import Policy, SetPolicyRequest
from stepladder.performance.v1.policy_pb2_grpc import PolicyServiceStub
from stepladder.performance.v1.scorecard_pb2 import (
    CloseMonthRequest,
    CloseMonthResponse,
    GetScorecardRequest,
    ListScorecardsRequest,
    MonthlyScorecard,
    RankedScorecard,
)
from stepladder.performance.v1.scorecard_pb2_grpc import ScorecardServiceStub
from tests.services.world import World
from tests.year.ledger import (
    Close,
    Correct,
    Dispute,
    Found,
    Key,
    Lead,
    Ledger,
    Promotion,
    RateElsewhere,
    Record,
    Retire,
    Retract,
    Samples,
    Settle,
    Status,
    Step,
    Transfer,
    month_of,
)
from tests.year.naive import Positions, Result, month_results

REASON = "as it was agreed"
AT_ONCE = 16


@dataclass
class Figures:
    """What the telling took."""

    facts: int = 0
    readings: int = 0
    loading: float = 0.0
    closed: int = 0
    closing: float = 0.0


@dataclass
class Teller:
    """One centre's story, told to a world."""

    world: World
    ledger: Ledger = field(default_factory=Ledger)
    rules: dict[int, int] = field(default_factory=dict)
    """Positions of the rules by their index in the ledger."""
    figures: Figures = field(default_factory=Figures)
    closings: list[CloseMonthResponse] = field(default_factory=list)

    @property
    def cards(self) -> ScorecardServiceStub:
        return ScorecardServiceStub(self.world.channels["performance"])

    async def tell(self, steps: Iterable[Step]) -> None:
        """Each step in its turn; readings in a row go in one stream."""
        for recording, group in itertools.groupby(steps, lambda step: isinstance(step, Record)):
            self.time_passes()
            if recording:
                await self.record([step for step in group if isinstance(step, Record)])
            else:
                for step in group:
                    self.time_passes()
                    await self.say(step)

    async def record(self, records: Sequence[Record]) -> None:
        """Readings in bulk, those of a day and source together."""
        facts: dict[tuple[str, date, str], Fact] = {}
        for record in records:
            employee_id, day, source, _ = record.key
            fact = facts.setdefault(
                (employee_id, day, source), Fact(employee_id=employee_id, date=day.isoformat(), source=source)
            )
            fact.readings.append(reading(record.key, record.samples))
            self.ledger.hear(record)
        self.month_passes(month_of(max(record.key[1] for record in records)))
        found, started = list(facts.values()), perf_counter()

        def batches() -> Iterator[StreamFactsRequest]:
            for start in range(0, len(found), 1000):
                yield StreamFactsRequest(batch=RecordFactsRequest(facts=found[start : start + 1000]))

        answer = await self.world.facts.StreamFacts(batches())
        assert not answer.rejected, answer.rejections[:5]
        self.figures.loading += perf_counter() - started
        self.figures.facts += len(found)
        self.figures.readings += len(records)

    async def say(self, step: Step) -> None:
        """One step by the command that it is."""
        if not isinstance(step, Close):
            self.ledger.hear(step)
        directory, facts, kpis = self.world.directory, self.world.facts, self.world.kpis
        match step:
            case Kpi():
                await kpis.CreateKpi(CreateKpiRequest(kpi=step))
            case Found():
                await directory.CreateTeam(CreateTeamRequest(team=Team(team_id=step.team_id, display_name="A team")))
            case Employee():
                await directory.HireEmployee(HireEmployeeRequest(employee=step))
            case Target():
                target = await kpis.SetTarget(SetTargetRequest(target=step))
                self.rules[len(self.ledger.rules) - 1] = target.log_position
            case Policy():
                policies = PolicyServiceStub(self.world.channels["performance"])
                policy = await policies.SetPolicy(SetPolicyRequest(policy=step))
                self.rules[len(self.ledger.rules) - 1] = policy.log_position
            case Transfer() | Promotion() | Status() | Lead():
                await self.change(step)
            case Retire():
                kpi = Kpi(kpi_id=step.kpi_id, retired_date=step.day.isoformat())
                await kpis.UpdateKpi(UpdateKpiRequest(kpi=kpi, update_mask=FieldMask(paths=["retired_date"])))
            case Record():
                await facts.RecordFacts(RecordFactsRequest(facts=[fact_of(step.key, step.samples)]))
            case Correct():
                await facts.CorrectFact(CorrectFactRequest(fact=fact_of(step.key, step.samples), reason=REASON))
            case Retract():
                await facts.RetractFact(RetractFactRequest(readings=named(step.key), reason=REASON))
            case Dispute():
                await facts.DisputeFact(
                    DisputeFactRequest(readings=named(step.key), reason=REASON, reviewer_id=step.reviewer_id)
                )
            case Settle():
                await self.settle(step)
            case RateElsewhere():
                await facts.RateMonth(
                    RateMonthRequest(employee_id=step.employee_id, month=step.month, rating=RATING_GOOD)
                )
            case Close():
                await self.close(step)

    async def change(self, change: Transfer | Promotion | Status | Lead) -> None:
        directory, day = self.world.directory, change.day.isoformat()
        match change:
            case Transfer(employee_id=employee_id, team_id=team_id):
                await directory.TransferEmployee(
                    TransferEmployeeRequest(employee_id=employee_id, team_id=team_id, effective_date=day)
                )
            case Promotion(employee_id=employee_id, position=position, stars=stars):
                await directory.ChangePosition(
                    ChangePositionRequest(employee_id=employee_id, position=position, stars=stars, effective_date=day)
                )
            case Status(employee_id=employee_id, status=status):
                await directory.ChangeEmploymentStatus(
                    ChangeEmploymentStatusRequest(employee_id=employee_id, status=status, effective_date=day)  # type: ignore[arg-type]
                )
            case Lead(team_id=team_id, employee_id=employee_id):
                await directory.AppointTeamLead(
                    AppointTeamLeadRequest(team_id=team_id, lead_id=employee_id, effective_date=day)
                )

    async def settle(self, step: Settle) -> None:
        outcome = DISPUTE_OUTCOME_OVERTURNED if step.overturned else DISPUTE_OUTCOME_UPHELD
        corrected = [] if step.corrected is None else [reading(step.key, step.corrected)]
        await self.world.facts.SettleFactDispute(
            SettleFactDisputeRequest(readings=named(step.key), outcome=outcome, corrected=corrected, reason=REASON),
            metadata=(("x-stepladder-actor", f"user:{step.reviewer_id}"),),
        )

    async def close(self, step: Close) -> None:
        """Closes a month."""
        self.month_passes(step.month)
        self.ledger.hear(step)
        started = perf_counter()
        answer = await self.cards.CloseMonth(CloseMonthRequest(month=step.month, team_id=step.team_id))
        self.figures.closing += perf_counter() - started
        self.figures.closed += answer.closed
        self.closings.append(answer)

    def time_passes(self) -> None:
        """No two commands are given at the same moment: a clock tells a deadline that was moved by its time."""
        self.world.clock[0] += timedelta(milliseconds=1)

    def month_passes(self, month: str) -> None:
        """It is the third day after a month, or later."""
        year, number = map(int, month.split("-"))
        after = datetime(year + number // 12, number % 12 + 1, 3, tzinfo=UTC)
        self.world.clock[0] = max(self.world.clock[0], after)

    async def caught_up(self, seconds: float = 60) -> None:
        """Waits until every follower is at the end and no month is left to be looked at again."""
        followers = self.world.services["performance"].followers
        before: list[Standing] = []
        async with asyncio.timeout(seconds):
            while True:
                now = [await follower.standing() for follower in followers]
                assert not any(standing.parked for standing in now)
                at_rest = not any(standing.lag or standing.deadlines for standing in now)
                if at_rest and [s.position for s in before] == [s.position for s in now]:
                    return
                before = now if at_rest else []
                self.world.clock[0] += timedelta(minutes=1)
                await asyncio.sleep(0.05)

    async def positions(self) -> Positions:
        """Where the readings lie, as the service tells; and the rules."""
        found: dict[Key, int] = {}

        async def ask(employee_id: str) -> None:
            request = ListFactsRequest(
                employee_id=employee_id, start_date="2024-01-01", end_date="2026-12-31", page_size=1000
            )
            while True:
                answer = await self.world.facts.ListFacts(request)
                for row in answer.readings:
                    found[row.employee_id, date.fromisoformat(row.date), row.source, row.kpi_id] = row.log_position
                if not answer.next_page_token:
                    return
                request.page_token = answer.next_page_token

        await several(ask(employee_id) for employee_id in self.ledger.hires)
        return Positions(found, self.rules)

    async def mismatches(self, months: Iterable[str], positions: Positions) -> list[str]:
        """What the service says differently of these months, a line each."""
        found: list[str] = []
        for month in months:
            expected = month_results(self.ledger, month, positions)
            cards: dict[str, MonthlyScorecard] = {}
            await several(self.get(employee_id, month, cards) for employee_id in expected)
            listed = await self.listed(month)
            for employee_id, result in expected.items():
                card = cards[employee_id]
                found.extend(f"{month} {employee_id}: {line}" for line in differences(result, card))
                found.extend(f"{month} {employee_id} listed: {line}" for line in unlike(result, listed[employee_id]))
            found.extend(f"{month} {other}: should not be listed" for other in listed.keys() - expected.keys())
            found.extend(f"{month}: {line}" for line in disorder(list(listed.values())))
        return found

    async def get(self, employee_id: str, month: str, into: dict[str, MonthlyScorecard]) -> None:
        into[employee_id] = await self.cards.GetScorecard(GetScorecardRequest(employee_id=employee_id, month=month))

    async def listed(self, month: str) -> dict[str, RankedScorecard]:
        """A month's scorecards of this centre's employees, in the order of the list."""
        request = ListScorecardsRequest(month=month, page_size=1000)
        found: dict[str, RankedScorecard] = {}
        request.at_least = await self.world.end()
        while True:
            answer = await self.cards.ListScorecards(request)
            found |= {row.employee_id: row for row in answer.scorecards if row.employee_id in self.ledger.hires}
            if not answer.next_page_token:
                return found
            request.page_token = answer.next_page_token


def reading(key: Key, samples: Samples) -> Reading:
    return Reading(kpi_id=key[3], numerators=samples[0], denominators=samples[1])


def fact_of(key: Key, samples: Samples) -> Fact:
    return Fact(employee_id=key[0], date=key[1].isoformat(), source=key[2], readings=[reading(key, samples)])


def named(key: Key) -> ReadingsOfDay:
    return ReadingsOfDay(employee_id=key[0], date=key[1].isoformat(), source=key[2], kpi_ids=[key[3]])


async def several(calls: Iterable[Coroutine[None, None, None]]) -> None:
    """Some at a time."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(call: Coroutine[None, None, None]) -> None:
        async with gate:
            await call

    async with asyncio.TaskGroup() as group:
        for call in calls:
            group.create_task(one(call))


def differences(expected: Result, found: MonthlyScorecard) -> Iterator[str]:
    """Every field of a scorecard, and its ranks, that are not as expected."""
    if not found.closed:
        yield "not closed"
    if found.rating != expected.scorecard.rating:
        yield f"rating in force {found.rating}, expected {expected.scorecard.rating}"
    yield from of_message("", expected.scorecard, found.scorecard, leave_out=["rules_known_at"])
    yield from of_message("team_rank.", expected.team_rank, found.team_rank)
    yield from of_message("centre_rank.", expected.centre_rank, found.centre_rank)


def unlike(expected: Result, found: RankedScorecard) -> Iterator[str]:
    """What a row of the list says differently."""
    card = expected.scorecard
    row = RankedScorecard(
        employee_id=card.employee_id,
        team_id=card.team_id,
        policy_id=card.policy_id,
        total=card.total,
        rating=card.rating,
        team_rank=expected.team_rank,
        centre_rank=expected.centre_rank,
    )
    return of_message("", row, found, leave_out=["log_position"])


def of_message(where: str, expected: Message, found: Message, leave_out: Collection[str] = ()) -> Iterator[str]:
    """Field by field, so that a report names the first thing that is wrong."""
    for described in expected.DESCRIPTOR.fields:
        name = described.name
        if name in leave_out:
            continue
        wanted, given = getattr(expected, name), getattr(found, name)
        if isinstance(wanted, Message):
            yield from of_message(f"{where}{name}.", wanted, given)
        elif described.is_repeated and described.message_type is not None:
            if len(wanted) != len(given):
                yield f"{where}{name}: {len(given)}, expected {len(wanted)}"
            for index, (one, other) in enumerate(zip(wanted, given, strict=False)):
                yield from of_message(f"{where}{name}[{index}].", one, other)
        elif wanted != given:
            yield f"{where}{name}: {given}, expected {wanted}"


def disorder(rows: Sequence[RankedScorecard]) -> Iterator[str]:
    """The list is in the order of the ranks, which are those of a policy; those without a total are its last."""
    places = [(row.policy_id, not row.total, row.centre_rank.rank, row.employee_id) for row in rows]
    if places != sorted(places):
        yield "not in the order of the ranks"
