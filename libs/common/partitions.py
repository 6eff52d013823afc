"""Which of a follower's events belong together, so that several may share them: said by the subject alone.

So an event is put to its place before it is decoded, and one that nobody can read has a place, too.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from zlib import crc32

WHOLE, MONTH, EVERYWHERE = range(3)


@dataclass(frozen=True)
class Sharing:
    """How a handler's events are shared, by subjects of whole kinds (`log.performance.facts.*`).

    What is named in none of these is one share's, in one order: the first's. Rows that an event changes must be changed
    by no event of another share, but for those of `everywhere`.

    Attributes:
        by_id: aggregates that are somebody's by their id, or that nothing else depends on.
        by_month: aggregates whose id is somebody's with a month behind it (`e-1_2026-03`).
        everywhere: what every share has to know before what comes behind it. Whatever it changes it must set, not add
            to: each share does it.
    """

    by_id: Sequence[str] = ()
    by_month: Sequence[str] = ()
    everywhere: Sequence[str] = ()

    @cached_property
    def _rules(self) -> dict[str, int]:
        named = ((self.by_id, WHOLE), (self.by_month, MONTH), (self.everywhere, EVERYWHERE))
        return {pattern.removesuffix(".*"): rule for patterns, rule in named for pattern in patterns}

    def number(self, subject: str, of: int) -> int | None:
        """Which of so many shares a subject belongs to; None: to all of them. The same for ever."""
        kind, _, aggregate_id = subject.rpartition(".")
        rule = self._rules.get(kind)
        if rule is None:
            return 0
        if rule == EVERYWHERE:
            return None
        whose = aggregate_id.rpartition("_")[0] if rule == MONTH else aggregate_id
        return crc32(whose.encode()) % of


@dataclass(frozen=True)
class Partition:
    """One of so many shares, numbered from 0. When these are divided further, `n` becomes `n`, `n + of`, ..."""

    sharing: Sharing
    number: int
    of: int

    def takes(self, subject: str) -> bool:
        """Whether a subject belongs to it."""
        number = self.sharing.number(subject, self.of)
        return number is None or number == self.number


def name_of(follower: str, number: int, of: int) -> str:
    """By which a share's position is kept. Stored for ever; who shares with nobody has the follower's own name."""
    return follower if of == 1 else f"{follower}/{number}"
