"""The long fault run: `make faults`, or `make faults SEED=<n>` to repeat one."""

import argparse
import asyncio
import sys
import tempfile
from functools import partial
from pathlib import Path
from random import SystemRandom

from tests.faults.checker import broken_log, violations
from tests.faults.competing import not_once, run_competitions
from tests.faults.storm import run_storm


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=SystemRandom().randrange(1_000_000))
    parser.add_argument("--kills", type=int, default=120)
    arguments = parser.parse_args()
    print(f"seed {arguments.seed}; the same kills again: make faults SEED={arguments.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="stepladder-faults-") as folder:
        broken = asyncio.run(rage(Path(folder), arguments.seed, arguments.kills))
    for line in broken[:50]:
        print(f"BROKEN {line}")
    sys.exit(f"{len(broken)} promises broken" if broken else 0)


async def rage(folder: Path, seed: int, kills: int) -> list[str]:
    """Both storms, one after the other; what they broke."""
    tell = partial(print, flush=True)
    evidence, said = await run_storm(folder / "facts", seed, kills=kills, tell=tell)
    tell(said)
    held, field, said = await run_competitions(folder / "competitions", seed, kills=kills // 2, tell=tell)
    tell(said)
    return [*violations(evidence), *broken_log(held), *field.wrong, *not_once(field.wanted, held)]


if __name__ == "__main__":
    main()
