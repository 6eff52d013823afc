"""The long fault run: `make faults`, or `make faults SEED=<n>` to repeat one."""

import argparse
import asyncio
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from random import SystemRandom

from tests.faults.checker import DISORDERED, DOUBLED, LOST, STUCK, WRONG, Outcome
from tests.faults.competing import run_competitions
from tests.faults.network import go_inside
from tests.faults.scenarios import SCENARIOS, run
from tests.faults.storm import run_storm

WHOLE = 1000
"""Kills for which scenarios say how often they strike."""
FACTS, COMPETITIONS = 0.4, 0.15
"""Shares of the kills that go to the storms on one node."""
STORMS = ("everything-killed", "competitions")
"""What is run on one node."""
tell = partial(print, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=SystemRandom().randrange(1_000_000))
    parser.add_argument("--kills", type=int, default=WHOLE)
    parser.add_argument("--only", default="", help="some scenarios, with spaces between them")
    arguments = parser.parse_args()
    names = [*STORMS, *(scenario.name for scenario in SCENARIOS)]
    if unknown := [name for name in arguments.only.split() if name not in names]:
        parser.error(f"no such scenario: {' '.join(unknown)}; there are {' '.join(names)}")
    go_inside("tests.faults")
    tell(f"seed {arguments.seed}; the same faults again, if not at the same moments: make faults SEED={arguments.seed}")
    folder, began = Path(tempfile.mkdtemp(prefix="stepladder-faults-")), time.monotonic()
    try:
        outcomes = asyncio.run(rage(folder, arguments.seed, arguments.kills, arguments.only.split()))
    except BaseException:
        shutil.rmtree(folder)
        raise
    broken = report(outcomes)
    tell(f"{sum(one.kills for one in outcomes)} kills in {(time.monotonic() - began) / 60:.1f} minutes")
    if not broken:
        shutil.rmtree(folder)
    sys.exit(f"{broken} promises broken; what the processes said is in {folder}" if broken else 0)


async def rage(folder: Path, seed: int, kills: int, only: Sequence[str]) -> list[Outcome]:
    """All scenarios, one after the other, or only some."""
    outcomes: list[Outcome] = []
    if not only or STORMS[0] in only:
        _, outcome = await run_storm(folder / "facts", seed, kills=max(4, round(FACTS * kills)), tell=tell)
        outcomes.append(outcome)
    if not only or STORMS[1] in only:
        few = max(4, round(COMPETITIONS * kills))
        _, _, outcome = await run_competitions(folder / "held", seed, kills=few, tell=tell)
        outcomes.append(outcome)
    for scenario in SCENARIOS:
        if not only or scenario.name in only:
            times = max(1, round(scenario.times * kills / WHOLE))
            outcomes.append(await run(scenario, folder / scenario.name, seed, times, tell))
    return outcomes


def report(outcomes: Sequence[Outcome]) -> int:
    """Prints the table and what was broken; answers how many promises were."""
    kinds = (LOST, DOUBLED, DISORDERED, WRONG, STUCK)
    rows = [["scenario", "faults", "kills", "acknowledged", *kinds, "longest unavailable"]]
    for one in outcomes:
        broken_by_kind = [sum(broken.kind == kind for broken in one.broken) for kind in kinds]
        numbers = [one.faults, one.kills, one.acknowledged, *broken_by_kind]
        rows.append([one.name, *map(str, numbers), f"{one.longest_gap:.1f} s"])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for name, *cells in rows:
        tell("  ".join([name.ljust(widths[0]), *map(str.rjust, cells, widths[1:])]))
    broken = [f"{one.name}: {violation}" for one in outcomes for violation in one.broken]
    for line in broken[:50]:
        tell(f"BROKEN {line}")
    return len(broken)


if __name__ == "__main__":
    main()
