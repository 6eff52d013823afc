"""Plans that calls propose are taken to their ends over gRPC: every answer equals what is reckoned from the calls."""

from collections import Counter
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path

import pytest

from tests.bank.reckoning import AHT
from tests.bank.telling import Telling
from tests.call_records import COLUMNS, call_row
from tests.cli.test_calls import bank_calls
from tests.servers import running_nats
from tests.services.world import open_world

MONDAY = date(1999, 2, 1)

AGENTS = {
    "Ada": ((3, 150), (3, 150)),
    "Bea": ((2, 150), (0, 150)),
    "Cid": ((2, 150), (2, 150)),
    "Dan": ((0, 300), (0, 300)),
    "Eva": ((2, 150), (1, 120)),
    "Fay": ((2, 150), (2, 200)),
    "Gus": ((1, 150), (1, 200)),
    "Hal": ((0, 300), (0, 200)),
    "Ida": ((0, 150), (0, 150)),
}
"""In each of two weeks: of ten calls a day how many are cut off, and the seconds of any other."""

ENDS = {
    "Ada": ("NOT_IMPROVED", "NOT_IMPROVED"),
    "Bea": ("IMPROVED", "IMPROVED"),
    "Cid": ("NOT_IMPROVED", "PARTLY_IMPROVED"),
    "Dan": ("NOT_IMPROVED", "CANCELLED"),
    "Eva": ("PARTLY_IMPROVED", "PARTLY_IMPROVED"),
    "Fay": ("PARTLY_IMPROVED", "IMPROVED"),
    "Gus": ("PARTLY_IMPROVED", "PARTLY_IMPROVED"),
    "Hal": ("IMPROVED", "IMPROVED"),
}
"""What the second week suggests, and what is decided."""


def write_log(path: Path) -> None:
    """Two weeks of five days."""
    rows: list[Sequence[str]] = [COLUMNS]
    for number in (0, 1, 2, 3, 4, 7, 8, 9, 10, 11):
        day = MONDAY + timedelta(days=number)
        for agent, weeks in AGENTS.items():
            short, seconds = weeks[number // 7]
            rows += [call_row(day, agent, (8 + call) * 3600, 5 if call < short else seconds) for call in range(10)]
    path.write_text("".join("\t".join(row) + "\n" for row in rows), "latin-1")


async def test_plans_are_taken_to_their_ends(tmp_path: Path) -> None:
    """Nine agents, of whom eight get a plan: nothing differs, and what is planted in the reckoning is found."""
    calls = tmp_path / "calls.tsv"
    write_log(calls)
    with running_nats(tmp_path / "nats", 1) as servers:
        async with open_world(tmp_path, servers[0]) as world:
            telling = Telling(world, calls)
            assert await telling.tell() == []
            cases = telling.coaching.cases
            assert {case.agent: (case.suggested, case.decided) for case in cases} == ENDS
            assert {case.agent: case.drifts for case in cases if case.drifts} == {
                "Ada": ["after the end: result 30.00 → 15.00, would be partly improved"],
                "Eva": [
                    "assessed 20.00 → 16.00",
                    "baseline 20.00 → 16.00",
                    "short-call-share on 1999-02-01 20.00 → 0.00",
                ],
                "Fay": ["result 20.00 → 10.00"],
                "Gus": ["disputed", "upheld"],
            }

            case = telling.parts.at_once
            telling.bank.reckoning.of(case.agent, MONDAY + timedelta(days=9)).seconds += 600
            await telling.coaching.compare(case)
            result, due = f"{case.title}: result of {AHT}: ", f"{case.title}: due: "
            assert sorted(line[: len(result)] for line in telling.bank.found if line.startswith(result)) == [result]
            assert any(line.startswith(due) for line in telling.bank.found)


@pytest.mark.skipif(bank_calls() is None, reason="the bank's call log is not here; set STEPLADDER_BANK_CALLS")
async def test_the_plans_of_the_bank_s_agents(tmp_path: Path) -> None:
    """The same over real calls: 17 plans, most of which changed nothing."""
    calls = bank_calls()
    assert calls is not None
    with running_nats(tmp_path / "nats", 1) as servers:
        async with open_world(tmp_path, servers[0]) as world:
            telling = Telling(world, calls)
            assert await telling.tell() == []
            assert Counter(case.suggested for case in telling.coaching.cases) == {
                "IMPROVED": 3,
                "PARTLY_IMPROVED": 4,
                "NOT_IMPROVED": 10,
            }
