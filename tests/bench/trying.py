"""How long it takes to try rules of eligibility on a large centre."""

from collections.abc import Iterator, Sequence
from datetime import date
from itertools import cycle, islice
from typing import Any

from sqlalchemy import MetaData, Table
from sqlalchemy.ext.asyncio import AsyncEngine

from libs.common.commands import Commands
from libs.common.database import open_database, upsert_rows, writing
from libs.common.days import months_between, months_later
from libs.common.envelope import Codec, event_types
from libs.common.eventsourcing import Context
from libs.common.keys import DATA_KEYS, SqlDataKeys
from libs.common.log import EventLog
from libs.common.memory_stream import MemoryStream
from libs.common.migrating import migrate
from libs.common.service import Together, utc_now
from libs.common.streams import LOG_RESTRICTED
from libs.facts.catalogue import Catalogue, Rules
from libs.facts.knowing import NEVER
from libs.facts.people import People
from services.promotion import dry_run
from services.promotion.declarations import declared
from services.promotion.dry_run import Trial
from services.promotion.eligibilities import Eligibilities
from services.promotion.groups import GROUPS, groups_key
from services.promotion.histories import Histories, Kind
from services.promotion.holders import Holders
from services.promotion.post import POST, post_id
from services.promotion.posts import Posts
from services.promotion.vacancies import Vacancies
from stepladder.performance.v1.directory_pb2 import EMPLOYMENT_STATUS_CONFIRMED
from stepladder.performance.v1.facts_pb2 import RATING_EXCELLENT, RATING_GOOD
from stepladder.performance.v1.kpi_pb2 import Kpi
from stepladder.performance.v1.policy_pb2 import Offence, Policy
from stepladder.performance.v1.promotion_rules_pb2 import EligibilityRules, Ladder
from stepladder.promotion.v1 import events_pb2
from stepladder.promotion.v1.fairness_pb2 import DeclaredGroup, DeclareOwnGroups
from stepladder.promotion.v1.post_pb2 import SetHeadcount, SetHeadcountRequest
from tests.bench.figures import Figure, Measured, Stopwatch, tell
from tests.bench.running import new_folder

LIMIT_SECONDS = 60.0
MONTHS = months_between("2025-01", "2025-12")
KNOWN_MONTHS = months_between("2024-01", "2025-12")
TODAY = date(2026, 1, 15)
WORKDAYS = range(1, 22)
POINTS = 10
TEAM = 20
"""Employees who share a post of one seat more than is held."""
KPI = Kpi(
    kpi_id="quality",
    unit=Kpi.UNIT_PERCENT,
    direction=Kpi.DIRECTION_HIGHER,
    aggregation=Kpi.AGGREGATION_RATIO,
    scale_numerator=100,
    scale_denominator=1,
    precision=1,
)
LADDER = Policy(
    policy_id="ladder",
    effective_date="2000-01-01",
    log_position=1,
    ladder=Ladder(
        rungs=[
            Ladder.Rung(rung_id="agent", position="agent"),
            Ladder.Rung(rung_id="senior", position="senior", eligibility_id="rules"),
        ]
    ),
)


def rules(tenure: int, minimum: str) -> EligibilityRules:
    """One criterion of each kind."""
    tests = {
        "tenure": EligibilityRules.Tenure(months=tenure),
        "confirmed": EligibilityRules.Confirmed(),
        "ratings": EligibilityRules.RatingStreak(at_least=RATING_GOOD, months=6),
        "courses": EligibilityRules.Courses(course_ids=["first"], exam_passed=True, within_months=18),
        "skills": EligibilityRules.Skills(task_ids=["talk", "roster"]),
        "conduct": EligibilityRules.Conduct(points=POINTS, years=2),
        "no_pip": EligibilityRules.NoPip(),
        "kpi_limit": EligibilityRules.KpiLimit(kpi_id=KPI.kpi_id, months=3, minimum=minimum),
        "vacancy": EligibilityRules.Vacancy(),
    }
    criteria: list[Any] = [{"criterion_id": kind, kind: test} for kind, test in tests.items()]
    return EligibilityRules(criteria=[EligibilityRules.Criterion(**one) for one in criteria])


async def dry_run_seconds(quick: bool) -> Measured:
    """Everything of the RPC but the call: read from SQLite and a log in memory, judged under both rules on 12 days,
    counted, and compared by groups.
    """
    employees, rounds = (200, 1) if quick else (10_000, 3)
    ids = [f"e-{number:05}" for number in range(employees)]
    everybody = [*ids, *(f"s-{team}" for team in range(employees // TEAM))]
    with new_folder() as folder:
        engine = open_database(f"sqlite+aiosqlite:///{folder}/promotion.db", disposable=True)
        try:
            await migrate(engine, "promotion")
            async with writing(engine) as rows:
                await rows.run_sync(DATA_KEYS.create)
            metadata = MetaData()
            histories, people, posts = Histories(metadata), People(metadata), Posts(metadata)
            await _fill(engine, histories, people, ids)
            tell(f"  {employees} employees with {len(KNOWN_MONTHS)} months are there")
            stream, restricted = MemoryStream(utc_now()), MemoryStream(utc_now(), name=LOG_RESTRICTED)
            codec = Codec(event_types([events_pb2.DESCRIPTOR]), SqlDataKeys(engine, b"k" * 32))
            commands = Commands([EventLog(stream), EventLog(restricted)], codec)
            await _say(engine, posts, commands, ids)
            vacancies = Vacancies(commands, engine, posts, Holders(engine, histories, people))
            eligibilities = Eligibilities(engine, histories, Catalogue(metadata), vacancies, Together(stream, []))
            before = Policy(policy_id="rules", effective_date="2000-01-01", log_position=2, eligibility=rules(12, "90"))
            known = Rules(2, {KPI.kpi_id: KPI}, {}, [LADDER, before])
            trial = Trial("ladder", "senior", Policy(eligibility=rules(24, "85")), MONTHS)
            seconds = []
            for _ in range(rounds):
                watch = Stopwatch()
                months = await dry_run.months_of(eligibilities, known, trial, TODAY, 0)
                async for _judged in dry_run.tried(eligibilities, months, everybody):
                    pass
                groups_of = await declared(commands, everybody, utc_now())
                told = [month.told(groups_of) for month in months]
                seconds.append(watch.seconds)
                if not all(one.judged == employees and one.become and one.no_longer and one.impact for one in told):
                    raise RuntimeError("the rules that are tried change nothing")
                tell(f"  {seconds[-1]:.1f} s, {told[-1].become} more and {told[-1].no_longer} fewer in the last month")
            return Measured(max(seconds), LIMIT_SECONDS)
        finally:
            await engine.dispose()


async def _fill(engine: AsyncEngine, histories: Histories, people: People, ids: Sequence[str]) -> None:
    recorded, always = histories.recorded, (1, NEVER)
    offence = Offence(offence_id="noise", points=3).SerializeToString()
    numbers, seniors = list(enumerate(ids)), [(f"s-{team}", team) for team in range(len(ids) // TEAM)]
    await _insert(engine, histories.histories, _known(ids))
    held = (
        (one, int(kind), "2020-01-01", 1, NEVER, name, "2020-01-01", "", number, 0, "")
        for one, _ in seniors
        for kind, name, number in (
            (Kind.POSITION, "senior", 0),
            (Kind.STATUS, "", EMPLOYMENT_STATUS_CONFIRMED),
        )
    )
    await _insert(engine, histories.histories, held)
    teams = [*((one, number // TEAM) for number, one in numbers), *seniors]
    members = ((one, "2020-01-01", *always, "9999-12-31", f"t-{team}") for one, team in teams)
    await _insert(engine, people.memberships, members)
    await _insert(engine, recorded.readings.parts, [(KPI.kpi_id, KPI.kpi_id, 0, KPI.aggregation)])
    violations = recorded.violations.violations
    async with writing(engine) as rows:
        some = [
            {"record_id": f"v-{one}", "position": 1, "superseded": NEVER, "employee_id": one, "date": "2025-03-01"}
            | {"rule_book_id": "book", "offence": offence}
            for one in ids[::3]
        ]
        await rows.execute(violations.insert(), some)
    days = [f"{month}-{day:02}" for month in KNOWN_MONTHS[9:] for day in WORKDAYS]
    readings = (
        (one, day, "calls", KPI.kpi_id, *always, 82 + number % 13, 100) for number, one in numbers for day in days
    )
    await _insert(engine, recorded.readings.readings, readings)


def _known(ids: Sequence[str]) -> Iterator[tuple[str | int, ...]]:
    """Rows of histories: in the order of their columns."""
    for number, one in enumerate(ids):
        began = months_later(date(2024, 12, 1), -(number % 40)).isoformat()
        rating = RATING_EXCELLENT if number % 4 else RATING_GOOD

        def row(kind: Kind, key: str, name: str, day: str, value: int, one: str = one) -> tuple[str | int, ...]:
            return one, int(kind), key, 1, NEVER, name, day, "", value, 0, ""

        yield row(Kind.POSITION, began, "agent", began, 0)
        yield row(Kind.STATUS, began, "", began, EMPLOYMENT_STATUS_CONFIRMED)
        yield row(Kind.COURSE, "r-1", "first", "2024-11-01", 1)
        for task in ("talk", "roster"):
            yield row(Kind.MASTERY, task, task, "2024-10-01", 0)
        for month in KNOWN_MONTHS:
            yield row(Kind.RATING, month, "", f"{month}-01", rating)


async def _say(engine: AsyncEngine, posts: Posts, commands: Commands, ids: Sequence[str]) -> None:
    """A post of two seats in every team, and to which group everybody belongs."""
    context = Context(now=utc_now(), today=TODAY, actor="user:hr")
    wanted = [
        SetHeadcountRequest(position="senior", team_id=f"t-{team}", headcount=2, effective_date="2020-01-01")
        for team in range(len(ids) // TEAM)
    ]
    headcounts = [(post_id(one.position, 0, one.team_id), SetHeadcount(request=one)) for one in wanted]
    await commands.handle_all(POST, headcounts, context)
    await _insert(engine, posts.posts, [(one, "senior", 0, said.request.team_id) for one, said in headcounts])
    for start in range(0, len(ids), 1000):
        some = [
            (groups_key(one), DeclareOwnGroups(employee_id=one, groups=[DeclaredGroup(dimension="sex", group=group)]))
            for one, group in zip(ids[start : start + 1000], cycle(("female", "male")), strict=False)
        ]
        await commands.handle_all(GROUPS, some, context)


async def _insert(engine: AsyncEngine, table: Table, values: Any) -> None:
    left = iter(values)
    while some := list(islice(left, 50_000)):
        async with writing(engine) as rows:
            await upsert_rows(rows, table, some)


FIGURES = (
    Figure(
        "dry_run",
        "s",
        "lower",
        1.0,
        "rules of eligibility with a criterion of each kind, tried on 10,000 employees over 12 months",
        dry_run_seconds,
    ),
)
