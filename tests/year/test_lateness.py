"""Whatever is late or put right comes in the end to what it would have been in order and in time."""

import tempfile
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from random import Random

import hypothesis
import pytest
from hypothesis import strategies as st

from stepladder.performance.v1.directory_pb2 import Employee
from stepladder.performance.v1.policy_pb2 import Policy, Scope, ScorecardPolicy
from stepladder.performance.v1.record_pb2 import Record as Written
from tests.servers import running_nats
from tests.services.world import open_world
from tests.year.centre import Centre
from tests.year.comparing import Comparer
from tests.year.ledger import (
    Appeal,
    Change,
    Close,
    Correct,
    Decide,
    Dispute,
    Found,
    Lead,
    Ledger,
    Promotion,
    Record,
    Retract,
    Revoke,
    Rewrite,
    Settle,
    Step,
    Transfer,
    Write,
)
from tests.year.measures import conduct
from tests.year.naive import Positions, month_results
from tests.year.papers import SITE, Papers
from tests.year.telling import Teller

MONTHS = ["2025-02", "2025-03", "2025-04"]
LATER = date(2025, 5, 15)
UNCONTESTING = {"e-0000", "e-0001"}
"""Who settles, and who evaluates."""
FEW = hypothesis.settings(
    derandomize=True, database=None, deadline=None, max_examples=2, phases=[hypothesis.Phase.generate]
)  # a seed shrinks to nothing that tells more


def in_time(seed: int) -> list[Step]:
    """A quarter in which everything is said when it should be."""
    return list(Centre(seed, people=10, months=MONTHS, workdays=0.25, mistakes=0).year())


async def comes_to_the_same(steps: Sequence[Step], untimely: Sequence[Step]) -> None:
    """Tells the untimely steps, and compares what they come to with what the others should come to."""
    wanted = Ledger()
    for step in steps:
        wanted.hear(step)
    with tempfile.TemporaryDirectory() as name, running_nats(Path(name) / "nats", 1) as servers:
        async with open_world(Path(name), servers[0], site=SITE) as world:
            world.clock[0] = datetime(2025, 1, 2, tzinfo=UTC)
            teller = Teller(world)
            comparer = Comparer(teller)
            await teller.tell(untimely)
            await teller.caught_up()
            for month in MONTHS:
                assert month_results(teller.ledger, month, Positions()) == month_results(wanted, month, Positions())
            for employee_id in wanted.hires:
                assert conduct(teller.ledger, employee_id, LATER) == conduct(wanted, employee_id, LATER)
            assert await comparer.mismatches(MONTHS, await comparer.positions(MONTHS)) == []
            assert await comparer.conduct_mismatches([LATER]) == []


def two_teams() -> list[Step]:
    """Somebody with facts in the first of two teams, and a lead with a scorecard in each."""
    centre, day = Centre(1, people=2, months=MONTHS), date(2024, 1, 1)
    people = [("e-one", "t-00", "lead"), ("e-two", "t-01", "lead"), ("e-three", "t-00", "agent")]
    return [
        *centre.kpis(),
        *(Found(team) for team in centre.teams),
        *(
            Employee(
                employee_id=name,
                display_name="Somebody",
                hire_date=day.isoformat(),
                team_id=team,
                position=position,
                position_since=day.isoformat(),
            )
            for name, team, position in people
        ),
        Lead("t-00", day, "e-one"),
        Lead("t-01", day, "e-two"),
        centre.target("volume", "2024-01-01", "30", per_day=True),
        centre.policy("all", "2024-01-01", [centre.attained("volume", "100")]),
        centre.policy(
            "leads",
            "2024-01-01",
            [centre.attained("volume", "100")],
            scope=Scope(position="lead"),
            basis=ScorecardPolicy.BASIS_TEAM,
        ),
        *(Record(("e-three", date(2025, 2, day), "calls", "volume"), ((20,), ())) for day in (3, 4, 20)),
    ]


@pytest.mark.parametrize("day", [date(2025, 2, 10), date(2025, 2, 1), date(2025, 1, 15)], ids=str)
async def test_whom_somebody_left_is_looked_at_again(day: date) -> None:
    """Given a transfer said behind the closing, both leads' scorecards are as if it had been said in time."""
    steps, move, closes = two_teams(), Transfer("e-three", day, "t-01"), [Close(month) for month in MONTHS]
    await comes_to_the_same([*steps, move, *closes], [*steps, *closes, move])


async def test_somebody_hired_late_is_in_the_leads_scorecard() -> None:
    """Given a hiring, and facts, said behind the closing, the lead's scorecard has them."""
    steps, closes = two_teams(), [Close(month) for month in MONTHS]
    hired = Employee(
        employee_id="e-four",
        display_name="Somebody",
        hire_date="2025-02-03",
        team_id="t-00",
        position="agent",
        position_since="2025-02-03",
    )
    fact = Record(("e-four", date(2025, 2, 5), "calls", "volume"), ((44,), ()))
    again = [Close(month) for month in MONTHS]  # their own
    await comes_to_the_same([*steps, hired, fact, *closes], [*steps, *closes, hired, fact, *again])


@FEW
@hypothesis.given(st.integers(0, 10**6))
async def test_facts_in_any_order_again_and_late(seed: int) -> None:
    """Given readings and records that come anyhow, twice, and behind the closing, the scorecards are those in time."""
    chance, steps = Random(seed), in_time(seed)
    untimely: list[Step] = []
    waiting: list[Step] = []
    late: list[Step] = []
    kinds: Counter[tuple[str, type[Step]]] = Counter()
    for step in steps:
        if isinstance(step, Record | Write):
            kind = chance.choices(["in time", "twice", "late", "twice and late"], [86, 5, 5, 4])[0]
            kinds[kind, type(step)] += 1
            if "late" not in kind:
                waiting.append(step)
            if kind != "in time":
                late.append(step)
        else:
            chance.shuffle(waiting)
            untimely.extend([*waiting, *chance.sample(waiting, len(waiting) // 20)])
            waiting = []
            untimely.append(step)
            if isinstance(step, Close):
                chance.shuffle(late)
                told, late = late[: len(late) // 2], late[len(late) // 2 :]
                untimely.extend(told)
    untimely.extend(late)
    assert len(kinds) == 8
    await comes_to_the_same(steps, untimely)


@FEW
@hypothesis.given(st.integers(0, 10**6))
async def test_what_was_wrong_is_put_right_late(seed: int) -> None:
    """Given readings corrected, retracted or overturned behind the closing, the scorecards are as if right in time."""
    chance, steps = Random(seed), in_time(seed)
    centre = Centre(seed, people=2)  # for other samples
    untimely: list[Step] = []
    late: list[Step] = []
    kinds: Counter[tuple[type[Step], type[Step]]] = Counter()
    reviewer = "e-0000"
    for step in steps:
        if isinstance(step, Policy):
            centre.papers.hear(step)
        if isinstance(step, Write) and chance.random() < 0.2 and step.record.employee_id not in UNCONTESTING:
            first, then = wrong_first(step.record, centre.papers, chance)
            untimely.extend(first)
            late.extend(then)
            kinds[Write, type(then[-1])] += 1
            continue
        if isinstance(step, Record) and chance.random() < 0.03 and step.key[0] != reviewer:
            wrong = Record(step.key, centre.samples(step.key[3]))
            employee_id, day, _, kpi_id = step.key
            never = Record((employee_id, day, "elsewhere", kpi_id), centre.samples(kpi_id))
            match chance.choice([Correct, Retract, Settle, Dispute]):
                case kind if kind is Correct:
                    untimely.append(wrong)
                    late.append(Correct(step.key, step.samples))
                case kind if kind is Retract:
                    untimely.extend([step, never])
                    late.append(Retract(never.key))
                case kind if kind is Settle:
                    untimely.extend([wrong, Dispute(step.key, reviewer)])
                    late.append(Settle(step.key, reviewer, overturned=True, corrected=step.samples))
                case kind:
                    untimely.extend([step, never])
                    late.extend([Dispute(never.key, reviewer), Settle(never.key, reviewer, overturned=True)])
            kinds[Record, kind] += 1
            continue
        untimely.append(step)
        if isinstance(step, Close):
            told, late = late[: len(late) // 2], late[len(late) // 2 :]
            untimely.extend(told)
    untimely.extend(late)
    assert len(kinds) == 7
    await comes_to_the_same(steps, untimely)


def wrong_first(record: Written, papers: Papers, chance: Random) -> tuple[list[Step], list[Step]]:
    """What is said at first, and what puts it right."""
    never, missed = Written(), Written()
    never.CopyFrom(record)
    never.record_id = f"{record.record_id}-never"
    missed.CopyFrom(record)
    achieved = [one.item_id for one in record.evaluation.answers if one.achieved == 100]
    match chance.choice([Rewrite, Revoke, Decide]):
        case kind if kind is Rewrite:
            return [Write(papers.other(record))], [Rewrite(record)]
        case kind if kind is Revoke:
            return [Write(record), Write(never)], [Revoke(never.record_id)]
        case _ if achieved:  # an item that does not stand counts as achieved
            for answer in missed.evaluation.answers:
                answer.achieved = 30 if answer.item_id == achieved[0] else answer.achieved
            appeal = Appeal(record.record_id, "e-0000", (achieved[0],))
            return [Write(missed), appeal], [Decide(record.record_id, "e-0000", overturned=True)]
        case _:
            appeal = Appeal(never.record_id, "e-0000")
            return [Write(record), Write(never), appeal], [Decide(never.record_id, "e-0000", overturned=True)]


@FEW
@hypothesis.given(st.integers(0, 10**6))
async def test_moves_said_late(seed: int) -> None:
    """Given transfers, positions and leads said behind the closing, the scorecards are as if they had been in time."""
    chance, steps = Random(seed), in_time(seed)
    untimely: list[Step] = []
    late: list[Change] = []
    slow: dict[str, bool] = {}
    for step in steps:
        if isinstance(step, Transfer | Promotion | Lead) and step.day.isoformat() >= MONTHS[0]:
            about = step.team_id if isinstance(step, Lead) else step.employee_id
            if slow.setdefault(about, chance.random() < 0.7):  # all of someone's changes, to keep their order
                late.append(step)
                continue
        untimely.append(step)
        if isinstance(step, Close) and chance.random() < 0.5:
            untimely.extend(late)
            late = []
    untimely.extend(late)
    assert any(slow.values())
    await comes_to_the_same(steps, untimely)
