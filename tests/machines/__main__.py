"""Writes the page about state machines."""

from pathlib import Path
from typing import Any

from tests.machines.candidacies import CANDIDACIES
from tests.machines.careers import APPOINTMENTS, DEMOTIONS, WAIVERS
from tests.machines.competitions import COMPETITIONS
from tests.machines.cycles import CYCLES
from tests.machines.exploring import Machine, page
from tests.machines.masteries import MASTERIES
from tests.machines.pips import PIPS
from tests.machines.plans import PLANS
from tests.machines.posts import POSTS
from tests.machines.sessions import INTERVIEWS, SESSIONS
from tests.machines.sharings import SHARINGS
from tests.machines.suggestions import SUGGESTIONS
from tests.machines.trainings import TRAININGS
from tests.machines.webhooks import WEBHOOKS

PAGE = Path(__file__).parents[2] / "docs" / "state-machines.md"
MACHINES: list[Machine[Any]] = [
    PLANS,
    PIPS,
    SESSIONS,
    INTERVIEWS,
    SUGGESTIONS,
    TRAININGS,
    SHARINGS,
    MASTERIES,
    CYCLES,
    COMPETITIONS,
    CANDIDACIES,
    POSTS,
    APPOINTMENTS,
    DEMOTIONS,
    WAIVERS,
    WEBHOOKS,
]


def written() -> str:
    """The page as it should be."""
    return page(MACHINES)


if __name__ == "__main__":
    PAGE.write_text(written(), encoding="utf-8")
