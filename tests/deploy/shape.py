"""Every object is what Kubernetes and its operators take: by their schemas, and without doubles."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

import kubernetes_validate
import yaml
from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

from tests.deploy.finding import Finding
from tests.deploy.objects import Object, at, called, group_of, labels_of, name_of, namespace_of, walk
from tests.deploy.world import CLUSTER_WIDE, World

SCHEMAS = Path(__file__).parent / "schemas"
PART_OF = "app.kubernetes.io/part-of"


@cache
def _operators_schemas() -> dict[tuple[str, str], Draft202012Validator]:
    """Our reduced schemas of operators' kinds, by apiVersion and kind."""
    schemas = {}
    for file in SCHEMAS.glob("*.yaml"):
        schema = yaml.safe_load(file.read_text())
        for kind, of_kind in schema["kinds"].items():
            schemas[schema["apiVersion"], kind] = Draft202012Validator({**of_kind, "$defs": schema.get("$defs", {})})
    return schemas


@cache
def _wrong_with(text: str) -> str | None:
    """What the schema of its kind says against an object (as JSON: the same one is asked about again and again)."""
    one = json.loads(text)
    api, kind = str(one.get("apiVersion")), str(one.get("kind"))
    schema = _operators_schemas().get((api, kind))
    if schema is not None:
        error = best_match(schema.iter_errors(one))
        return error and f"{'.'.join(map(str, error.absolute_path))}: {error.message}"
    try:
        kubernetes_validate.validate(one, kubernetes_validate.latest_version(), strict=True)
    except kubernetes_validate.SchemaNotFoundError:
        return f"no schema is known for {kind} of {api}"
    except kubernetes_validate.ValidationError as error:
        return f"{'.'.join(map(str, error.absolute_path))}: {error.message}"
    return None


def schemas_hold(world: World) -> Iterator[Finding]:
    """Each object is one by the strict schema of its kind; a kind that has none is a finding. Nothing is null."""
    for one in world.ours:
        wrong = _wrong_with(json.dumps(one, sort_keys=True, default=str))
        if wrong:
            yield Finding(called(one), wrong[:300], "write it as the kind's reference says (kubectl explain)")
        for place, value in walk(one):
            if value is None:
                yield Finding(called(one), f"{'.'.join(map(str, place))} has no value", "give it one, or remove it")


def nothing_twice(world: World) -> Iterator[Finding]:
    """No two objects, containers, ports, variables, volumes or mounts of one place have the same name."""
    yield from _twice(
        "the manifests", "object", [(group_of(one), one["kind"], namespace_of(one), name_of(one)) for one in world.ours]
    )
    for pod in world.pods:
        yield from _twice(pod.where, "container", [one.spec.get("name") for one in pod.containers])
        yield from _twice(pod.where, "volume", [one.get("name") for one in pod.spec.get("volumes") or []])
        yield from _twice(pod.where, "port", [(number, protocol) for _, number, protocol in pod.ports()])
        yield from _twice(pod.where, "port name", [name for name, _, _ in pod.ports() if name])
        for container in pod.containers:
            mounts = container.spec.get("volumeMounts") or []
            yield from _twice(container.where, "variable", [one.get("name") for one in container.env])
            yield from _twice(container.where, "mount", [one.get("mountPath") for one in mounts])
    for _, one in world.own("Service"):
        ports = at(one, ("spec", "ports")) or []
        yield from _twice(called(one), "port", [(port.get("port"), port.get("protocol", "TCP")) for port in ports])
        yield from _twice(called(one), "port name", [port.get("name") for port in ports])


def _twice(where: str, what: str, names: Iterable[object]) -> Iterator[Finding]:
    for name, times in Counter(names).items():
        if times > 1:
            shown = " ".join(str(part) for part in name if part) if isinstance(name, tuple) else name
            yield Finding(where, f"{what} {shown} is there {times} times", "leave one")


def namespaces_exist(world: World) -> Iterator[Finding]:
    """Every object that has a namespace says so, and the namespace is there."""
    for one in world.ours:
        if one["kind"] in CLUSTER_WIDE:
            continue
        if not namespace_of(one):
            yield Finding(
                called(one), "has no namespace", "name it in the kustomization, or it lands where kubectl happens to be"
            )
        elif world.get("Namespace", namespace_of(one), "") is None:
            yield Finding(
                called(one), f"there is no namespace {namespace_of(one)!r}", "correct it, or add the namespace"
            )


def labels_say_whose(world: World) -> Iterator[Finding]:
    """Every object and every pod says that it is part of the system."""
    holders: list[tuple[str, Object]] = [(called(one), one) for one in world.ours]
    holders += [(f"{pod.where}, pods", pod.template) for pod in world.pods]
    for where, one in holders:
        if PART_OF not in labels_of(one):
            yield Finding(where, f"has no label {PART_OF}", "let the kustomization add it")
