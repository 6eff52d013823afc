"""The objects of rendered manifests, and how to look into them."""

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
OVERLAYS = ROOT / "deploy" / "k8s" / "overlays"

Object = dict[str, Any]
Place = tuple[str | int, ...]
"""Keys and indices that lead to a value."""

ORIGIN = "config.kubernetes.io/origin"
MADE_BY = "made-by"


class NoKubectl(Exception):  # noqa: N818 - it says what is the matter
    """There is no kubectl to render manifests with."""


def render(folder: Path) -> list[Object]:
    """The objects of a kustomization, each with its file. Raises NoKubectl, or RuntimeError with kustomize's words."""
    if shutil.which("kubectl") is None:
        raise NoKubectl(
            "kubectl is missing: it renders the manifests (kubectl kustomize), and needs no cluster for that"
        )
    with TemporaryDirectory() as temporary:
        whole = Path(temporary).resolve()
        outer = {"resources": [os.path.relpath(folder.resolve(), whole)], "buildMetadata": ["originAnnotations"]}
        (whole / "kustomization.yaml").write_text(yaml.safe_dump(outer))
        done = subprocess.run(["kubectl", "kustomize", whole], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{folder}: {done.stderr.strip()}")
    objects = [one for one in yaml.load_all(done.stdout, yaml.CSafeLoader) if one]
    for one in objects:
        annotations = one["metadata"]["annotations"]
        origin = yaml.safe_load(annotations[ORIGIN])
        file = (whole / (origin.get("path") or origin["configuredIn"])).resolve()
        annotations[ORIGIN] = str(file.relative_to(ROOT)) if file.is_relative_to(ROOT) else file.name
    return objects


def find(value: Any, steps: Sequence[str | int]) -> Iterator[tuple[Place, Any]]:
    """The values at a path in which `*` stands for every key or index, with their places."""
    if not steps:
        yield (), value
        return
    first, rest = steps[0], steps[1:]
    for key, inner in entries(value):
        if first in ("*", key):
            for place, found in find(inner, rest):
                yield (key, *place), found


def walk(value: Any) -> Iterator[tuple[Place, Any]]:
    """Every value within one, and itself, with its place."""
    yield (), value
    for key, inner in entries(value):
        for place, found in walk(inner):
            yield (key, *place), found


def entries(value: Any) -> Iterator[tuple[Any, Any]]:
    """What an object or a list holds, by key or index."""
    if isinstance(value, dict):
        yield from value.items()
    elif isinstance(value, list):
        yield from enumerate(value)


def at(value: Any, place: Sequence[str | int]) -> Any:
    """What is at a place; None where there is none."""
    for found in find(value, place):
        return found[1]
    return None


def group_of(one: Object) -> str:
    """The API group: empty for the core."""
    return str(one.get("apiVersion", "")).rpartition("/")[0]


def name_of(one: Object) -> str:
    """Its name, as others refer to it."""
    return str(at(one, ("metadata", "name")) or "")


def namespace_of(one: Object) -> str:
    """Its namespace; empty for what belongs to the whole cluster."""
    return str(at(one, ("metadata", "namespace")) or "")


def labels_of(one: Object) -> dict[str, str]:
    """The labels of an object or of a pod's template."""
    return at(one, ("metadata", "labels")) or {}


def called(one: Object) -> str:
    """What findings call it: kind, name, and the file that it came from."""
    file = at(one, ("metadata", "annotations", ORIGIN)) or "elsewhere.yaml"
    return f"{one.get('kind')} {name_of(one)} ({file})"
