"""The long form: `make bank`. Prints what came of every plan, and ends with 1 on any mismatch."""

import argparse
import asyncio
import logging
import sys
import tempfile
from pathlib import Path
from time import perf_counter

import structlog

from tests.bank.telling import Telling, TooFewPlans
from tests.cli.test_calls import bank_calls
from tests.servers import running_nats
from tests.services.world import open_world


async def run(folder: Path, calls: Path) -> list[str]:
    """Tells the story and prints it; answers the mismatches."""
    started = perf_counter()

    def tell(text: str) -> None:
        print(f"{perf_counter() - started:6.1f} s  {text}", flush=True)

    with running_nats(folder / "nats", 1) as servers:
        async with open_world(folder, servers[0]) as world:
            telling = Telling(world, calls, tell)
            found = await telling.tell()
            print(*telling.proof.table(), sep="\n")
            for line in (telling.improving.told, *telling.proof.counts()):
                tell(line)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--calls", type=Path, help="a call log of two weeks; by default the bank's, where it is present"
    )
    calls = parser.parse_args().calls or bank_calls()
    if calls is None:
        parser.error("the bank's call log is not here: name one with --calls, or set STEPLADDER_BANK_CALLS")
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    with tempfile.TemporaryDirectory(prefix="stepladder-bank-") as folder:
        try:
            found = asyncio.run(run(Path(folder), calls))
        except TooFewPlans as too_few:
            sys.exit(f"{calls}: {too_few}")
    for line in found:
        print(f"DIFFERS {line}")
    sys.exit(f"{len(found)} mismatches" if found else 0)


if __name__ == "__main__":
    main()
