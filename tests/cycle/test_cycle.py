"""The short form of `make cycle`: two competitions of eight candidates for two seats each."""

from pathlib import Path

from tests.cycle.centre import Size
from tests.cycle.story import Story
from tests.servers import running_nats
from tests.services.world import open_world


async def test_a_cycle_from_the_clock_to_posts_held_for_good(tmp_path: Path) -> None:
    """Objections, a waiver, two levels at once, a failed trial: everything comes out as reckoned."""
    with running_nats(tmp_path / "nats", 1) as servers:
        async with open_world(tmp_path, servers[0]) as world:
            story = Story(world, Size(competitions=2, candidates=8, seats=2), tmp_path / "papers")
            assert await story.run() == []
            assert story.checks > 100
