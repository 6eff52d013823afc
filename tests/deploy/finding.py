"""What a check says."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tests.deploy.world import World


@dataclass(frozen=True)
class Finding:
    """Something that would go wrong in a cluster."""

    where: str
    wrong: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.where}: {self.wrong}; {self.remedy}"


Check = Callable[[World], Iterator[Finding]]
"""Looks at the whole world for one sort of mistake."""
