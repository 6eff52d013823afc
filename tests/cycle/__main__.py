"""The long form: `make cycle`. 200 candidates, 12 vacancies; ends with 1 when anything is not as reckoned."""

import argparse
import asyncio
import logging
import sys
import tempfile
from pathlib import Path
from time import perf_counter

import structlog

from tests.cycle.centre import Size
from tests.cycle.story import Story
from tests.servers import running_nats
from tests.services.world import open_world

SIZE = Size(competitions=4, candidates=50, seats=3)


async def run(folder: Path, papers: Path) -> list[str]:
    """Tells the story and prints it; answers what differs."""
    started = perf_counter()

    def tell(text: str) -> None:
        print(f"{perf_counter() - started:6.1f} s  {text}", flush=True)

    with running_nats(folder / "nats", 1) as servers:
        async with open_world(folder, servers[0]) as world:
            story = Story(world, SIZE, papers, tell)
            found = await story.run()
            tell(f"{story.commands} commands, {story.checks} comparisons, {len(found)} differences")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--papers", type=Path, default=Path("cycle-papers"), help="where lists, letters and files go")
    papers = parser.parse_args().papers
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    with tempfile.TemporaryDirectory(prefix="stepladder-cycle-") as folder:
        found = asyncio.run(run(Path(folder), papers))
    for line in found:
        print(f"DIFFERS {line}")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
