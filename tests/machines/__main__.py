"""Writes the page about state machines."""

from pathlib import Path

from tests.machines.exploring import page
from tests.machines.plans import PLANS

PAGE = Path(__file__).parents[2] / "docs" / "state-machines.md"
MACHINES = [PLANS]


def written() -> str:
    """The page as it should be."""
    return page(MACHINES)


if __name__ == "__main__":
    PAGE.write_text(written(), encoding="utf-8")
