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
from tests.year.ledger import Close, Step
from tests.year.telling import Teller


async def run(folder: Path, seed: int, people: int) -> list[str]:
    """Tells a year month by month, then compares; answers the mismatches."""
    started = perf_counter()

    def tell(text: str) -> None:
        print(f"{perf_counter() - started:7.1f} s  {text}", flush=True)

    with running_nats(folder / "nats", 1) as servers:
        async with open_world(folder, servers[0]) as world:
            world.clock[0] = datetime(2025, 1, 2, tzinfo=UTC)
            teller, steps = Teller(world), list[Step]()
            for step in Centre(seed, people).year():
                steps.append(step)
                if isinstance(step, Close):
                    await teller.tell(steps)
                    steps = []
                    tell(f"{step.month} closed for {teller.closings[-1].closed}, {teller.figures.facts} facts so far")
            await teller.tell(steps)
            told = perf_counter()
            await teller.caught_up(3600)
            tell(f"caught up {perf_counter() - told:.1f} s after the last word")
            positions = await teller.positions()
            found: list[str] = []
            for month in MONTHS:
                found += await teller.mismatches([month], positions)
                tell(f"{month} compared, {len(found)} mismatches so far")
    figures = teller.figures
    tell(
        f"{figures.facts} facts of {figures.readings} readings, loaded in {figures.loading:.1f} s; {figures.closed} "
        f"scorecards closed, {figures.closing / max(figures.closed, 1) * 1000:.2f} s per 1000"
    )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--people", type=int, default=500)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="stepladder-year-") as folder:
        found = asyncio.run(run(Path(folder), arguments.seed, arguments.people))
    for line in found[:50]:
        print(f"DIFFERS {line}")
    sys.exit(f"{len(found)} mismatches" if found else 0)


if __name__ == "__main__":
    main()
