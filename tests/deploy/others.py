"""What the manifests build upon and others make: operators, charts, whoever sets a cluster up."""

from collections.abc import Iterator, Sequence

import yaml

from tests.deploy.objects import MADE_BY, ROOT, Object, at, find, name_of, namespace_of

NATS_VALUES = ROOT / "deploy" / "nats" / "values.yaml"
NAMESPACE = "stepladder"
ELSEWHERE = ROOT / "deploy" / "k8s" / "elsewhere.yaml"
"""Says who makes what; what operators make of our own objects is worked out here."""


def given(overlay: str) -> list[Object]:
    """The objects that have to be there before an overlay is applied."""
    said = [one for one in yaml.safe_load_all(ELSEWHERE.read_text()) if one]
    there = [one for one in said if at(one, ("metadata", "annotations", "overlay")) in (None, overlay)]
    return [*there, *_nats()] if overlay == "production" else there


def _nats() -> Iterator[Object]:
    """What the chart of nats-server, installed as `nats`, makes of our values (helm/charts/nats of nats-io/k8s)."""
    values = yaml.safe_load(NATS_VALUES.read_text())
    whole = {"metadata": {"namespace": NAMESPACE}}
    labels = {f"app.kubernetes.io/{key}": "nats" for key in ("name", "instance", "component")}
    ports = {"nats": 4222, "cluster": 6222, "monitor": 8222}
    container = {
        "name": "nats",
        "ports": [{"name": name, "containerPort": number} for name, number in ports.items()],
        "env": [{"name": name, **source} for name, source in values["container"]["env"].items()],
    }
    secrets = {name for _, name in find(values, ("config", "*", "tls", "secretName"))} | {values["tlsCA"]["secretName"]}
    volumes = [{"name": name, "secret": {"secretName": name}} for name in sorted(secrets)]
    volumes += [patch["value"] for patch in values["podTemplate"]["patch"] if patch["path"] == "/spec/volumes/-"]
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container], "volumes": volumes}}
    yield _object("apps/v1", "StatefulSet", whole, "nats", "chart of NATS", spec={"template": template})
    shown = {"nats", *(name for name, port in values["service"]["ports"].items() if port["enabled"])}
    for service, named in (("nats", shown), ("nats-headless", set(ports))):
        spec = {
            "selector": labels,
            "ports": [{"name": name, "port": ports[name], "targetPort": name} for name in sorted(named)],
        }
        yield _object("v1", "Service", whole, service, "chart of NATS", spec=spec)


def made_by_operators(ours: Sequence[Object]) -> list[Object]:
    """The objects that operators make of ours."""
    return [made for one in ours for made in _made_of(one)]


def _made_of(one: Object) -> Iterator[Object]:
    if one["kind"] == "Certificate":
        yield _object(
            "v1",
            "Secret",
            one,
            at(one, ("spec", "secretName")),
            "operator cert-manager",
            data=dict.fromkeys(("tls.crt", "tls.key", "ca.crt"), ""),
        )
    if one["kind"] == "Cluster":
        yield from _postgres(one)


def _postgres(cluster: Object) -> Iterator[Object]:
    """Of a cluster of CloudNativePG (its documentation, Service Management and Certificates)."""
    name = name_of(cluster)
    labels = {
        "cnpg.io/cluster": name,
        "cnpg.io/podRole": "instance",
        **(at(cluster, ("spec", "inheritedMetadata", "labels")) or {}),
    }
    ports = {"postgresql": 5432, "metrics": 9187, "status": 8000}
    containers = [
        {"name": "postgres", "ports": [{"name": port, "containerPort": number} for port, number in ports.items()]}
    ]
    template = {"metadata": {"labels": labels}, "spec": {"containers": containers}}
    yield _object("apps/v1", "StatefulSet", cluster, name, "operator CloudNativePG", spec={"template": template})
    for purpose in ("rw", "ro", "r"):
        spec = {
            "selector": {"cnpg.io/cluster": name},
            "ports": [{"name": "postgres", "port": 5432, "targetPort": 5432}],
        }
        yield _object("v1", "Service", cluster, f"{name}-{purpose}", "operator CloudNativePG", spec=spec)
    yield _object("v1", "Secret", cluster, f"{name}-ca", "operator CloudNativePG", data={"ca.crt": "", "ca.key": ""})
    owner = at(cluster, ("spec", "bootstrap", "initdb", "secret", "name"))
    if owner is None:
        keys = ("username", "password", "uri", "host", "port", "dbname", "user", "pgpass", "jdbc-uri")
        yield _object("v1", "Secret", cluster, f"{name}-app", "operator CloudNativePG", data=dict.fromkeys(keys, ""))


def _object(api: str, kind: str, source: Object, name: str, maker: str, **rest: object) -> Object:
    metadata = {"name": name, "namespace": namespace_of(source), "annotations": {MADE_BY: maker}}
    return {"apiVersion": api, "kind": kind, "metadata": metadata, **rest}
