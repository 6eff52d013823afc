"""Compares what the service says of a centre with what is worked out by hand out of the ledger."""

import asyncio
from collections.abc import AsyncIterator, Collection, Coroutine, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

from google.protobuf.message import Message

from stepladder.performance.v1.detection_pb2 import Detection, DryRunDetectionRequest, ListDetectionsRequest
from stepladder.performance.v1.directory_pb2 import GetEmployeeRequest
from stepladder.performance.v1.facts_pb2 import ListFactsRequest
from stepladder.performance.v1.policy_pb2 import Policy
from stepladder.performance.v1.record_pb2 import Conduct, GetConductRequest
from stepladder.performance.v1.scorecard_pb2 import (
    GetScorecardRequest,
    ListScorecardsRequest,
    MonthlyScorecard,
    RankedScorecard,
)
from tests.year.detections import Missed, Place, found_in, missed_under
from tests.year.ledger import Close, Key, Step, days_of
from tests.year.measures import conduct
from tests.year.naive import Positions, Result, month_results
from tests.year.telling import Teller

AT_ONCE = 16
CONDUCT_DAYS = [date(2025, 2, 28), date(2025, 3, 31), date(2025, 8, 17), date(2025, 12, 31), date(2026, 6, 30)]


@dataclass(frozen=True)
class Moment:
    """What should be known of a month, and of conduct on its last day, when the log ended at a position."""

    month: str
    position: int
    results: Mapping[str, Result]
    conduct: Mapping[str, Conduct]


@dataclass
class Comparer:
    """Asks about one centre's story, as it was told; answers what is different, a line each."""

    teller: Teller
    moments: list[Moment] = field(default_factory=list)

    async def told(self, steps: Iterable[Step]) -> AsyncIterator[Close]:
        """Has them told, and stops at every closing, of which it keeps what should be known then."""
        untold: list[Step] = []
        for step in steps:
            untold.append(step)
            if isinstance(step, Close):
                await self.teller.tell(untold)
                untold = []
                await self.remember(step.month)
                yield step
        await self.teller.tell(untold)

    async def remember(self, month: str) -> None:
        """Keeps what should be known now that a month was closed."""
        ledger, position = self.teller.ledger, self.teller.closings[month].log_position
        *_, last = days_of(month)
        positions = await self.positions([month], position)
        results = month_results(ledger, month, positions)
        found = {employee_id: conduct(ledger, employee_id, last) for employee_id in ledger.hires}
        self.moments.append(Moment(month, position, results, found))

    def others(self) -> Iterator[tuple[str, Coroutine[None, None, list[str]]]]:
        """Everything but the scorecards as they are now."""
        yield "what was known when each month was closed", self.mismatches_then()
        yield "conduct", self.conduct_mismatches(CONDUCT_DAYS)
        yield "detections", self.detection_mismatches("2024-12-01", "2026-01-04")
        yield "names", self.name_mismatches()

    async def positions(self, months: Sequence[str], known_at: int = 0) -> Positions:
        """Where the readings and measures of some months lie, as the service tells; and the rules."""
        found: dict[Key, int] = {}
        *_, last = days_of(months[-1])
        end = await self.teller.world.end()
        for follower in self.teller.world.services["performance"].followers:
            await follower.wait_for(end, 300)

        async def ask(employee_id: str) -> None:
            request = ListFactsRequest(
                employee_id=employee_id,
                start_date=f"{months[0]}-01",
                end_date=last.isoformat(),
                page_size=1000,
                known_at=known_at,
            )
            while True:
                answer = await self.teller.world.facts.ListFacts(request)
                for row in answer.readings:
                    source = row.source.removeprefix("record:")
                    found[row.employee_id, date.fromisoformat(row.date), source, row.kpi_id] = row.log_position
                if not answer.next_page_token:
                    return
                request.page_token = answer.next_page_token

        await several(ask(employee_id) for employee_id in self.teller.ledger.hires)
        return Positions(found, self.teller.rules)

    async def mismatches(self, months: Iterable[str], positions: Positions) -> list[str]:
        """Of scorecards and ranks as they are now."""
        found: list[str] = []
        for month in months:
            expected = month_results(self.teller.ledger, month, positions)
            found += await self.of_month(month, expected)
        return found

    async def mismatches_then(self) -> list[str]:
        """Of scorecards, ranks and conduct as they were known when each month was closed."""
        found: list[str] = []
        for moment in self.moments:
            then = await self.of_month(moment.month, moment.results, moment.position)
            *_, last = days_of(moment.month)
            then += await self.of_conduct(last, moment.conduct, moment.position)
            found.extend(f"known at {moment.position}: {line}" for line in then)
        return found

    async def of_month(self, month: str, expected: Mapping[str, Result], known_at: int = 0) -> list[str]:
        found: list[str] = []
        cards: dict[str, MonthlyScorecard] = {}

        async def ask(employee_id: str) -> None:
            request = GetScorecardRequest(employee_id=employee_id, month=month, known_at=known_at)
            cards[employee_id] = await self.teller.world.scorecards.GetScorecard(request)

        await several(ask(employee_id) for employee_id in expected)
        listed = await self.listed(month, known_at)
        for employee_id, result in expected.items():
            found.extend(f"{month} {employee_id}: {line}" for line in differences(result, cards[employee_id]))
            row = listed.get(employee_id, RankedScorecard())
            found.extend(f"{month} {employee_id} listed: {line}" for line in unlike(result, row))
        found.extend(f"{month} {other}: should not be listed" for other in listed.keys() - expected.keys())
        found.extend(f"{month}: {line}" for line in disorder(list(listed.values())))
        return found

    async def listed(self, month: str, known_at: int) -> dict[str, RankedScorecard]:
        """A month's scorecards of this centre's employees, in the order of the list."""
        request = ListScorecardsRequest(month=month, page_size=1000, known_at=known_at)
        found: dict[str, RankedScorecard] = {}
        while True:
            answer = await self.teller.world.scorecards.ListScorecards(request)
            found |= {row.employee_id: row for row in answer.scorecards if row.employee_id in self.teller.ledger.hires}
            if not answer.next_page_token:
                return found
            request.page_token = answer.next_page_token

    async def conduct_mismatches(self, days: Iterable[date]) -> list[str]:
        """Of everyone's conduct points, as they are now known to have been on some days."""
        ledger, found = self.teller.ledger, list[str]()
        for day in days:
            expected = {employee_id: conduct(ledger, employee_id, day) for employee_id in ledger.hires}
            found += await self.of_conduct(day, expected)
        return found

    async def of_conduct(self, day: date, expected: Mapping[str, Conduct], known_at: int = 0) -> list[str]:
        found: list[str] = []

        async def ask(employee_id: str) -> None:
            answer = await self.teller.world.records.GetConduct(
                GetConductRequest(employee_id=employee_id, as_of=day.isoformat(), known_at=known_at)
            )
            for violation in answer.violations:
                violation.ClearField("log_position")
            lines = of_message("", expected[employee_id], answer)
            found.extend(f"conduct of {employee_id} on {day}: {line}" for line in lines)

        await several(ask(employee_id) for employee_id in expected)
        return found

    async def detection_mismatches(self, start: str, end: str) -> list[str]:
        """Of what is found: by a dry run of each policy, and by what was found while the year was told."""
        found: list[str] = []
        ledger = self.teller.ledger
        for rule in ledger.rules:
            if not isinstance(rule, Policy) or not rule.HasField("detection"):
                continue
            missed = missed_under(ledger, rule, start)
            expected = found_in(ledger, rule, missed)
            request = DryRunDetectionRequest(policy=rule, start_date=start, end_date=end)
            dry = await self.teller.world.detections.DryRunDetection(request)
            found.extend(f"{rule.policy_id} dry: {line}" for line in unlike_found(expected, dry.detections))
            missed = missed_under(ledger, rule, rule.effective_date)
            expected = found_in(ledger, rule, missed)
            made = await self.detected(rule.policy_id)
            found.extend(f"{rule.policy_id}: {line}" for line in unfounded(expected, missed, made))
        return found

    async def detected(self, policy_id: str) -> list[Detection]:
        request = ListDetectionsRequest(policy_id=policy_id, page_size=1000)
        found: list[Detection] = []
        while True:
            answer = await self.teller.world.detections.ListDetections(request)
            found += answer.detections
            if not answer.next_page_token:
                return found
            request.page_token = answer.next_page_token

    async def name_mismatches(self) -> list[str]:
        """Of what people are called."""
        found: list[str] = []

        async def ask(employee_id: str, name: str) -> None:
            answer = await self.teller.world.directory.GetEmployee(GetEmployeeRequest(employee_id=employee_id))
            if answer.display_name != name:
                found.append(f"{employee_id} is called {answer.display_name}, expected {name}")

        await several(ask(employee_id, hire.display_name) for employee_id, hire in self.teller.ledger.hires.items())
        return found


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


def unlike_found(expected: Mapping[Place, Detection], given: Sequence[Detection]) -> Iterator[str]:
    """What a dry run finds differently; by employee and first day."""
    found = {(one.employee_id, one.periods[0].start_date): one for one in given}
    if len(found) < len(given):
        yield f"{len(given) - len(found)} found twice"
    for employee_id, day in sorted(expected.keys() - found.keys()):
        yield f"{employee_id} {day} is not found"
    for employee_id, day in sorted(found.keys() - expected.keys()):
        yield f"{employee_id} {day} should not be found"
    for key in expected.keys() & found.keys():
        for period in found[key].periods:
            period.ClearField("facts")
            period.ClearField("target_position")
            period.ClearField("target_positions")
        leave_out = ["detection_id", "policy_position", "log_position", "known_at", "drift", "evidence_start"]
        for line in of_message("", expected[key], found[key], leave_out=leave_out):
            yield f"{key[0]} {key[1]}: {line}"


def unfounded(
    expected: Mapping[Place, Detection], missed: Mapping[Place, Missed], made: Sequence[Detection]
) -> Iterator[str]:
    """What was found and does not hold, or holds and was not found; one that no longer holds says so."""
    standing: dict[Place, str] = {}
    for one in made:
        periods = one.drift.periods if one.HasField("drift") else one.periods
        keys = [(one.employee_id, period.start_date) for period in periods]
        stands, should = not one.HasField("drift") or one.drift.stands, all(key in missed for key in keys)
        if stands != should:
            yield f"{one.employee_id} {keys[0][1]}: stands {stands}, expected {should}"
        if stands:
            standing.update((key, one.detection_id) for key in keys)
        for key, period in zip(keys, periods, strict=True):
            wanted = missed.get(key)
            if wanted is not None and wanted.period.value != period.value:
                yield f"{key}: {period.value}, expected {wanted.period.value}"
    for employee_id, day in expected:
        if not any((employee_id, start) in standing for start in missed[employee_id, day].row):
            yield f"{employee_id} {day} was not found"
