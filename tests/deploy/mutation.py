"""Plants every kind of fault in a world, one at a time, and says which its check did not catch."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

from tests.deploy.faults.planting import Fault, planted
from tests.deploy.world import World


@dataclass
class Planting:
    """What became of one kind of fault: how often it was planted, and where nobody saw it."""

    fault: Fault
    planted: int = 0
    missed: list[str] = field(default_factory=list)


def plant(world: World, faults: Sequence[Fault], sample: int | None = None, seed: int = 0) -> list[Planting]:
    """Plants each kind wherever it can be planted, or in so many places of those, drawn by the seed."""
    random = Random(seed)
    outcomes = []
    for fault in faults:
        outcome, before = Planting(fault), set(fault.caught_by(world))
        changes = list(fault.plant(world))
        if sample is not None and len(changes) > sample:
            changes = random.sample(changes, sample)
        for change in changes:
            outcome.planted += 1
            found = set(fault.caught_by(planted(world, change))) - before
            if not any(fault.saying in str(finding) for finding in found):
                outcome.missed.append(_written(world, change[0]))
        outcomes.append(outcome)
    return outcomes


def _written(world: World, place: tuple[str | int, ...]) -> str:
    index = int(place[0])
    name = (
        f"{world.ours[index]['kind']} {world.ours[index]['metadata']['name']}"
        if index < len(world.ours)
        else "one object more"
    )
    return f"{name}: {'.'.join(map(str, place[1:]))}"
