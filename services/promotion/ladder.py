"""Ladders and the steps on them: which rung is held, and which comes next. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import NamedTuple

from libs.common.errors import NotFound
from stepladder.performance.v1.policy_pb2 import Policy
from stepladder.performance.v1.promotion_rules_pb2 import EligibilityRules, Ladder

LADDER, ELIGIBILITY, COMPETITION_RULES = "ladder", "eligibility", "competition"
"""Kinds of policies."""

MOST_LEVELS = 2
"""Steps of one rung, or of two: those the executive has to review."""


class Held(NamedTuple):
    """A position with its stars that is held from a day on; `position` of the event that says so."""

    day: date
    name: str
    stars: int
    acting: bool
    position: int


@dataclass(frozen=True, slots=True)
class Step:
    """Onto a rung of a ladder, by its number from the lowest; `rules` say who may. Both are versions of policies."""

    ladder: Policy
    number: int
    rules: Policy

    @property
    def rung(self) -> Ladder.Rung:
        return self.ladder.ladder.rungs[self.number]

    @property
    def eligibility(self) -> EligibilityRules:
        return self.rules.eligibility


def rung_held(ladder: Ladder, held: Held | None) -> int | None:
    """The number of the rung on which whoever holds something stands; None: on none."""
    if held is None:
        return None
    rungs = enumerate(ladder.rungs)
    return next((n for n, rung in rungs if rung.position == held.name and rung.stars in (0, held.stars)), None)


def is_for(position: str, stars: int, rung: Ladder.Rung) -> bool:
    """Whether who stands on a rung holds a post of a position and its stars: either may leave the stars open."""
    return position == rung.position and (0 in (stars, rung.stars) or stars == rung.stars)


def held_on(positions: Sequence[Held], day: date) -> Held | None:
    """What is held on a day for good: while somebody is acting elsewhere, what they held before goes on."""
    return next((held for held in reversed(positions) if held.day <= day and not held.acting), None)


def held_since(positions: Sequence[Held], day: date, *, with_stars: bool) -> Held | None:
    """The beginning of the time in which what is held for good on a day was held without a break."""
    began: Held | None = None
    for held in positions:
        if held.day > day:
            break
        if not held.acting and (began is None or held.name != began.name or (with_stars and held.stars != began.stars)):
            began = held
    return began if began and began.name else None


def rung_number(ladder: Policy, rung_id: str) -> int:
    """The number of a rung. Raises NotFound `RUNG_NOT_FOUND`, also for the first rung, onto which nobody steps."""
    numbers = {rung.rung_id: number for number, rung in enumerate(ladder.ladder.rungs)}
    if not numbers.get(rung_id):
        raise NotFound("RUNG_NOT_FOUND", f"ladder {ladder.policy_id} has no rung {rung_id} above its first one")
    return numbers[rung_id]
