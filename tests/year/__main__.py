"""The long form: `make year`. Says how far it is and what it took, and ends with 1 on any mismatch."""

import argparse
import asyncio
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter

from tests.servers import running_nats
from tests.services.world import open_world
from tests.year.centre import MONTHS, Centre
from tests.year.comparing import Comparer
from tests.year.papers import SITE
from tests.year.telling import Teller


async def run(folder: Path, seed: int, people: int) -> list[str]:
    """Tells a year month by month, then compares; answers the mismatches."""
    started = perf_counter()

    def tell(text: str) -> None:
        print(f"{perf_counter() - started:7.1f} s  {text}", flush=True)

    with running_nats(folder / "nats", 1) as servers:
        async with open_world(folder, servers[0], site=SITE) as world:
            world.clock[0] = datetime(2025, 1, 2, tzinfo=UTC)
            teller = Teller(world)
            comparer, figures = Comparer(teller), teller.figures
            async for close in comparer.told(Centre(seed, people, mistakes=0.4).year()):
                closed = teller.closings[close.month].closed
                tell(f"{close.month} closed for {closed}, {figures.facts} facts and {figures.records} records so far")
            told = perf_counter()
            await teller.caught_up(3600)
            tell(f"caught up {perf_counter() - told:.1f} s after the last word")
            found: list[str] = []
            for month in MONTHS:
                found += await comparer.mismatches([month], await comparer.positions([month]))
                tell(f"{month} compared, {len(found)} mismatches so far")
            for what, ask in comparer.others():
                found += await ask
                tell(f"{what} compared, {len(found)} mismatches so far")
    tell(
        f"{figures.facts} facts of {figures.readings} readings, loaded in {figures.loading:.1f} s; {figures.records} "
        f"records in {figures.writing:.1f} s; {figures.closed} scorecards closed, "
        f"{figures.closing / max(figures.closed, 1) * 1000:.2f} s per 1000"
    )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--people", type=int, default=500)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="stepladder-year-") as folder:
        found = asyncio.run(run(Path(folder), arguments.seed, arguments.people))
    for line in found[:200]:
        print(f"DIFFERS {line}")
    sys.exit(f"{len(found)} mismatches" if found else 0)


if __name__ == "__main__":
    main()
