"""A year of a centre told to the service: everything that it answers equals what is worked out by hand."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from stepladder.performance.v1.policy_pb2 import Policy
from tests.servers import running_nats
from tests.services.world import open_world
from tests.year.centre import MONTHS, Centre
from tests.year.comparing import CONDUCT_DAYS, Comparer
from tests.year.naive import Positions, month_results
from tests.year.papers import SITE
from tests.year.telling import Teller

SEED = 7


async def test_a_year_equals_the_one_worked_out_by_hand(tmp_path: Path) -> None:
    """Given a year with late facts and corrections, when every month is closed in its turn, every field agrees."""
    with running_nats(tmp_path / "nats", 1) as servers:
        async with open_world(tmp_path, servers[0], site=SITE) as world:
            world.clock[0] = datetime(2025, 1, 2, tzinfo=UTC)
            teller = Teller(world)
            comparer = Comparer(teller)
            async for close in comparer.told(Centre(SEED, people=10, workdays=0.2).year()):
                assert not teller.closings[close.month].unchanged
            await teller.caught_up()
            positions = await comparer.positions(MONTHS)
            assert await comparer.mismatches(MONTHS, positions) == []
            for _, ask in comparer.others():
                assert await ask == []
            assert teller.figures.closed > 90  # of 120: some are hired or gone, or without a policy at first
            await what_is_planted_is_found(comparer, positions)


async def what_is_planted_is_found(comparer: Comparer, positions: Positions) -> None:
    """Differences put into the ledger only: the comparison can fail."""
    ledger = comparer.teller.ledger
    month = "2025-09"
    results = month_results(ledger, month, positions)
    counted = {(one, line.kpi_id) for one, result in results.items() for line in result.scorecard.lines if line.days}
    readings = [(key, samples) for one in results for key, samples in ledger.of_month(one, month).items()]
    added_up = [(key, samples) for key, samples in readings if key[3] in {"aht", "volume", "busy"}]
    key, samples = next((key, samples) for key, samples in added_up if (key[0], key[3]) in counted)
    (first, *rest), denominators = samples
    ledger.put(key, ((first + 1, *rest), denominators))
    found = await comparer.mismatches([month], positions)
    assert any(line.startswith(f"{month} {key[0]}: lines[") and ".numerator: " in line for line in found)
    ledger.put(key, samples)

    papers = [paper for papers in ledger.papers.values() for paper in papers.values() if paper.stands]
    offence = next(paper for paper in papers if paper.record.HasField("violation"))
    offence.stands = False
    assert await comparer.conduct_mismatches(CONDUCT_DAYS)
    offence.stands = True

    end = await comparer.teller.world.end()
    comparer.moments = [replace(one, position=end) for one in comparer.moments]
    assert await comparer.mismatches_then()  # what was put right since

    rule = next(rule for rule in ledger.rules if isinstance(rule, Policy) and rule.detection.HasField("points"))
    rule.detection.points.at_least = 1
    assert await comparer.detection_mismatches("2024-12-01", "2026-01-04")
