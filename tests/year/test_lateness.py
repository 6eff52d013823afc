"""Whatever is late or put right comes in the end to what it would have been in order and in time."""

import tempfile
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import hypothesis
from hypothesis import strategies as st

from tests.servers import running_nats
from tests.services.world import open_world
from tests.year.centre import Centre
from tests.year.ledger import (
    Change,
    Close,
    Correct,
    Dispute,
    Lead,
    Ledger,
    Promotion,
    Record,
    Retract,
    Settle,
    Step,
    Transfer,
)
from tests.year.naive import Positions, month_results
from tests.year.telling import Teller

MONTHS = ["2025-02", "2025-03", "2025-04"]
FEW = hypothesis.settings(derandomize=True, database=None, deadline=None, max_examples=4)


def in_time(seed: int) -> list[Step]:
    """A quarter in which everything is said when it should be."""
    return list(Centre(seed, people=14, months=MONTHS, workdays=0.25, mistakes=False).year())


async def comes_to_the_same(steps: Sequence[Step], untimely: Sequence[Step]) -> None:
    """Tells the untimely steps, and compares what they come to with what the others should come to."""
    wanted = Ledger()
    for step in steps:
        wanted.hear(step)
    with tempfile.TemporaryDirectory() as name, running_nats(Path(name) / "nats", 1) as servers:
        async with open_world(Path(name), servers[0]) as world:
            world.clock[0] = datetime(2025, 1, 2, tzinfo=UTC)
            teller = Teller(world)
            await teller.tell(untimely)
            await teller.caught_up()
            for month in MONTHS:
                assert month_results(teller.ledger, month, Positions()) == month_results(wanted, month, Positions())
            assert await teller.mismatches(MONTHS, await teller.positions()) == []


@FEW
@hypothesis.given(st.integers(0, 10**6))
async def test_facts_in_any_order_again_and_late(seed: int) -> None:
    """Given facts that come anyhow, twice, and behind the closing of their month, the scorecards are those in time."""
    chance, steps = Random(seed), in_time(seed)
    untimely: list[Step] = []
    waiting: list[Step] = []
    late: list[Step] = []
    kinds: Counter[str] = Counter()
    for step in steps:
        if isinstance(step, Record):
            kind = chance.choices(["in time", "twice", "late", "twice and late"], [90, 5, 4, 1])[0]
            kinds[kind] += 1
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
    assert len(kinds) == 4
    await comes_to_the_same(steps, untimely)


@FEW
@hypothesis.given(st.integers(0, 10**6))
async def test_what_was_wrong_is_put_right_late(seed: int) -> None:
    """Given readings corrected, retracted or overturned behind the closing, the scorecards are as if right in time."""
    chance, steps = Random(seed), in_time(seed)
    centre = Centre(seed, people=2)  # for other samples
    untimely: list[Step] = []
    late: list[Step] = []
    kinds: Counter[type[Step]] = Counter()
    reviewer = "e-0000"
    for step in steps:
        if isinstance(step, Record) and chance.random() < 0.05 and step.key[0] != reviewer:
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
            kinds[kind] += 1
            continue
        untimely.append(step)
        if isinstance(step, Close):
            told, late = late[: len(late) // 2], late[len(late) // 2 :]
            untimely.extend(told)
    untimely.extend(late)
    assert len(kinds) == 4
    await comes_to_the_same(steps, untimely)


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
    hypothesis.assume(any(slow.values()))
    await comes_to_the_same(steps, untimely)
