"""Faults: what somebody might get wrong in a manifest, wherever it can be got wrong."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from tests.deploy.finding import Check
from tests.deploy.objects import Object, Place, find
from tests.deploy.world import Container, World

GONE = object()
"""In place of a value: nothing is there any more."""

Change = tuple[Place, Any]
"""What one fault does to the rendered objects: another value at one place. One beyond a list's end is added."""


@dataclass(frozen=True)
class Fault:
    """A kind of fault: every change that is one, the check that has to find each, and words of what it has to say."""

    plant: Callable[[World], Iterable[Change]]
    caught_by: Check
    saying: str

    @property
    def name(self) -> str:
        return self.plant.__name__


def planted(world: World, change: Change) -> World:
    """The world with one change; what is not on its way is shared with the other."""
    place, value = change
    return World(_changed(world.ours, place, value), world.given)


def _changed(node: Any, place: Place, value: Any) -> Any:
    key, rest = place[0], place[1:]
    copy = node.copy()
    if rest:
        copy[key] = _changed(node[key] if not isinstance(node, dict) or key in node else {}, rest, value)
    elif value is GONE:
        del copy[key]
    elif isinstance(copy, list) and key == len(copy):
        copy.append(value)
    else:
        copy[key] = value
    return copy


def within(world: World, kind: str, path: str) -> Iterator[tuple[Place, Any]]:
    """The values at a path within every rendered object of a kind."""
    for index, one in world.own(kind):
        for place, value in find(one, path.split(".")):
            yield (index, *place), value


def within_containers(world: World, path: str) -> Iterator[tuple[Place, Any]]:
    """The values at a path within every container."""
    for container in world.containers:
        for place, value in find(container.spec, path.split(".")):
            yield (*container.place, *place), value


def within_pods(world: World, path: str) -> Iterator[tuple[Place, Any]]:
    """The values at a path within the specification of every pod."""
    for pod in world.pods:
        for place, value in find(pod.spec, path.split(".")):
            yield (*pod.place, "spec", *place), value


def ours(world: World) -> Iterator[Container]:
    """The containers that run the project's own images."""
    return (one for one in world.containers if "stepladder/" in str(one.spec.get("image")))


def added(world: World, one: Object) -> Change:
    """One object more."""
    return (len(world.ours),), one
