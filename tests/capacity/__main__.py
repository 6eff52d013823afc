"""`make capacity`: what a log of a million facts takes; EMPLOYEES=<n> and FACTS=<n> say how many there are."""

import argparse
import asyncio
import sys

from tests.bench.figures import Stopwatch
from tests.capacity.growing import Growing
from tests.capacity.table import table


async def measure(employees: int, facts: int) -> None:
    watch = Stopwatch()

    def tell(text: str) -> None:
        print(f"{watch.seconds:7.1f} s  {text}", file=sys.stderr, flush=True)

    sizes = [facts // 4, facts // 2, facts]
    print(table([taken async for taken in Growing(employees, tell).run(sizes)]))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.capacity", description=__doc__)
    parser.add_argument("--employees", type=int, default=2000)
    parser.add_argument("--facts", type=int, default=1_000_000)
    arguments = parser.parse_args()
    asyncio.run(measure(arguments.employees, arguments.facts))


if __name__ == "__main__":
    main()
