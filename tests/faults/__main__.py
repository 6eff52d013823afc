"""The long fault run: `make faults`, or `make faults SEED=<n>` to repeat one."""

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path
from random import SystemRandom

from tests.faults.checker import violations
from tests.faults.storm import run_storm


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=SystemRandom().randrange(1_000_000))
    parser.add_argument("--kills", type=int, default=120)
    arguments = parser.parse_args()
    print(f"seed {arguments.seed}; the same kills again: make faults SEED={arguments.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="stepladder-faults-") as folder:
        evidence, said = asyncio.run(
            run_storm(
                Path(folder) / "storm",
                arguments.seed,
                kills=arguments.kills,
                tell=lambda line: print(line, flush=True),
            )
        )
    print(said)
    broken = violations(evidence)
    for line in broken[:50]:
        print(f"BROKEN {line}")
    sys.exit(f"{len(broken)} promises broken" if broken else 0)


if __name__ == "__main__":
    main()
