"""A year of a centre told to the service: every scorecard and rank equals the one worked out by hand."""

from datetime import UTC, datetime
from pathlib import Path

from tests.servers import running_nats
from tests.services.world import open_world
from tests.year.centre import MONTHS, Centre
from tests.year.naive import month_results
from tests.year.telling import Teller

SEED = 7


async def test_a_year_equals_the_one_worked_out_by_hand(tmp_path: Path) -> None:
    """Given a year with late facts and corrections, when every month is closed in its turn, every field agrees."""
    with running_nats(tmp_path / "nats", 1) as servers:
        async with open_world(tmp_path, servers[0]) as world:
            world.clock[0] = datetime(2025, 1, 2, tzinfo=UTC)
            teller = Teller(world)
            await teller.tell(Centre(SEED, people=40).year())
            await teller.caught_up()
            positions = await teller.positions()
            assert await teller.mismatches(MONTHS, positions) == []
            assert teller.figures.closed > 400  # of 480: some are hired or gone, or without a policy at first

            # a planted difference: one more in one reading of one day, in the ledger only
            counted = {
                line.kpi_id for line in month_results(teller.ledger, "2025-09", positions)["e-0009"].scorecard.lines
            }
            readings = teller.ledger.of_month("e-0009", "2025-09")
            key = next(key for key in readings if key[3] in counted & {"aht", "volume", "busy"})
            (first, *rest), denominators = readings[key]
            teller.ledger.put(key, ((first + 1, *rest), denominators))
            found = await teller.mismatches(["2025-09"], positions)
            assert any(line.startswith("2025-09 e-0009: lines[") and ".numerator: " in line for line in found)
