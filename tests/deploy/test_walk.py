"""docs/kubernetes.md: what its commands make, and name, is what the manifests need, and have."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
import yaml

from tests.deploy.images import ROOT

PAGE = (ROOT / "docs" / "kubernetes.md").read_text()
OVERLAYS = ("dev", "production")
KUBECTL = shutil.which("kubectl")
pytestmark = pytest.mark.skipif(KUBECTL is None, reason="there is no kubectl")

CREATE = """
kubectl() { case "$*" in *create*) command kubectl "$@" --dry-run=client --output=json ;; esac; }
"""


@cache
def objects(overlay: str) -> list[dict[str, Any]]:
    """What an overlay consists of."""
    done = subprocess.run(
        ["kubectl", "kustomize", f"deploy/k8s/overlays/{overlay}"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return [one for one in yaml.safe_load_all(done.stdout) if one]


def commands(heading: str) -> str:
    """The indented lines of a section."""
    section = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    return "\n".join(line for line in section.splitlines() if line.startswith("    "))


def secrets_named(thing: object) -> Iterator[tuple[str, str]]:
    """Secrets and their keys (empty: any) that are named somewhere within an object."""
    match thing:
        case {"secretKeyRef": {"name": name, "key": key}}:
            yield name, key
        case {"secret": {"secretName": name}}:
            yield name, ""
        case {"secret": {"name": name, "items": [*items]}}:
            yield from ((name, item["key"]) for item in items)
        case {"passwordSecret": {"name": name}} | {"initdb": {"secret": {"name": name}}}:
            yield from ((name, key) for key in ("username", "password"))
        case dict():
            for value in thing.values():
                yield from secrets_named(value)
        case list():
            for value in thing:
                yield from secrets_named(value)


def made_by_hand() -> dict[str, set[str]]:
    """The keys of each Secret that the page's commands make."""
    done = subprocess.run(
        ["bash", "-euc", CREATE + commands("Secrets")], cwd=ROOT, capture_output=True, text=True, check=True
    )
    decoder, text, found = json.JSONDecoder(), done.stdout.strip(), dict[str, set[str]]()
    while text:
        one, end = decoder.raw_decode(text)
        found[one["metadata"]["name"]] = set(one["data"])
        text = text[end:].strip()
    return found


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_secret_is_made(overlay: str) -> None:
    """Each Secret that is named is made, with its key: by the page's commands, cert-manager or CloudNativePG."""
    made = made_by_hand()
    by_operators = {one["spec"]["secretName"] for one in objects(overlay) if one["kind"] == "Certificate"}
    by_operators |= {f"{one['metadata']['name']}-ca" for one in objects(overlay) if one["kind"] == "Cluster"}
    values = yaml.safe_load((ROOT / "deploy/nats/values.yaml").read_text()) if by_operators else None
    named = {(name, key) for name, key in secrets_named([objects(overlay), values]) if name not in by_operators}
    assert not {(name, key) for name, key in named if key not in made.get(name, ()) and (key or name not in made)}
    unneeded = set(made) - {name for one in OVERLAYS for name, _ in secrets_named(objects(one))}
    assert not unneeded


def test_a_secret_that_is_forgotten_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without one of its users, the page does not make what nats-server needs."""
    monkeypatch.setitem(globals(), "PAGE", PAGE.replace(" setup backup restore;", " setup restore;"))
    with pytest.raises(AssertionError):
        test_every_secret_is_made("production")


@pytest.mark.parametrize(("heading", "overlay"), [("To try it: dev", "dev"), ("For real: production", "production")])
def test_what_commands_name_is_there(heading: str, overlay: str) -> None:
    """Jobs, Deployments, Services and files of a section are those of its overlay."""
    names = {f"{one['kind'].lower()}/{one['metadata']['name']}" for one in objects(overlay)}
    names |= {"statefulset/nats"}  # production's is made by the chart
    text = commands(heading)
    services = re.findall(r"for service in (.+); do", text)[0].split()
    named = re.findall(r"\b((?:job|deployment|service|statefulset|cluster)/[\w$-]+)", text)
    assert named
    for one in named:
        for name in [one.replace("$service", service) for service in services] if "$" in one else [one]:
            assert name in names, name
    for file in re.findall(r"deploy/[\w./-]+", text):
        assert (ROOT / file).exists(), file
