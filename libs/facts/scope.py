"""Whom a rule is for: of several that fit, the narrowest."""

from collections.abc import Callable, Iterable
from typing import Protocol, TypeVar

from libs.facts.employee import Position


class Scope(Protocol):
    """What a rule may ask of whom it is for; what is empty fits all."""

    @property
    def team_id(self) -> str: ...

    @property
    def position(self) -> str: ...

    @property
    def stars(self) -> int: ...


R = TypeVar("R")


def narrowest(
    rules: Iterable[R],
    team_id: str,
    held: Position,
    *,
    scope: Callable[[R], Scope],
    version: Callable[[R], tuple[str, int]],
) -> R | None:
    """Of the rules that fit, one for the team, or else for the stars, or else for the position; of equals the latest.

    Args:
        version: a rule's effective date and position.
    """

    def rank(rule: R) -> tuple[bool, bool, bool, tuple[str, int]]:
        wanted = scope(rule)
        return wanted.team_id != "", wanted.stars != 0, wanted.position != "", version(rule)

    return max((rule for rule in rules if _fits(scope(rule), team_id, held)), key=rank, default=None)


def _fits(scope: Scope, team_id: str, held: Position) -> bool:
    return scope.team_id in ("", team_id) and scope.position in ("", held.name) and scope.stars in (0, held.stars)
