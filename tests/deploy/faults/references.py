"""Faults of names, volumes and shapes."""

from collections.abc import Iterator

from tests.deploy import references, shape
from tests.deploy.faults.planting import GONE, Change, Fault, added, within, within_containers, within_pods
from tests.deploy.objects import find
from tests.deploy.world import TEMPLATES, World


def _another_name(world: World, *kinds: str) -> Iterator[Change]:
    for one in references.references(world):
        if one.kind in kinds and one.is_ours:
            yield one.place, f"{one.name}-x"


def secret_not_there(world: World) -> Iterator[Change]:
    return _another_name(world, "Secret")


def config_map_not_there(world: World) -> Iterator[Change]:
    return _another_name(world, "ConfigMap")


def account_not_there(world: World) -> Iterator[Change]:
    return _another_name(world, "ServiceAccount")


def claim_not_there(world: World) -> Iterator[Change]:
    return _another_name(world, "PersistentVolumeClaim")


def issuer_not_there(world: World) -> Iterator[Change]:
    return _another_name(world, "Issuer")


def workload_to_scale_not_there(world: World) -> Iterator[Change]:
    return _another_name(world, *TEMPLATES)


def cluster_of_databases_not_there(world: World) -> Iterator[Change]:
    return _another_name(world, "Cluster")


def service_of_a_set_not_there(world: World) -> Iterator[Change]:
    return _another_name(world, "Service")


def key_not_there(world: World) -> Iterator[Change]:
    for one in references.references(world):
        for place, key in one.keys:
            if one.is_ours:
                yield place, f"{key}-x"


def certificate_for_another_secret(world: World) -> Iterator[Change]:
    for place, name in within(world, "Certificate", "spec.secretName"):
        yield place, f"{name}-x"


def config_map_nobody_uses(world: World) -> Iterator[Change]:
    for _, one in world.own("ConfigMap"):
        yield added(world, {**one, "metadata": {**one["metadata"], "name": "forgotten"}})


def mount_without_volume(world: World) -> Iterator[Change]:
    for place, name in within_containers(world, "volumeMounts.*.name"):
        yield place, f"{name}-x"


def file_not_in_its_volume(world: World) -> Iterator[Change]:
    for pod in world.pods:
        known = {one["name"] for one in pod.spec.get("volumes") or [] if "secret" in one or "configMap" in one}
        for container in pod.containers:
            for index, mount in enumerate(container.spec.get("volumeMounts") or []):
                if mount["name"] in known:
                    yield (*container.place, "volumeMounts", index, "subPath"), "nothing"


def volume_nobody_mounts(world: World) -> Iterator[Change]:
    for place, volumes in within_pods(world, "volumes"):
        yield (*place, len(volumes)), {"name": "forgotten", "emptyDir": {"sizeLimit": "1Mi"}}


def token_mounted(world: World) -> Iterator[Change]:
    for place, _ in within_pods(world, "automountServiceAccountToken"):
        yield place, GONE
    for place, _ in within(world, "ServiceAccount", "automountServiceAccountToken"):
        yield place, True


def pods_of_another_label(world: World) -> Iterator[Change]:
    for kind in ("Deployment", "StatefulSet"):
        for place, wanted in within(world, kind, "spec.selector.matchLabels"):
            for key in wanted:
                yield (place[0], "spec", "template", "metadata", "labels", key), "somebody-else"


def selector_of_everything(world: World) -> Iterator[Change]:
    for kind in ("Deployment", "StatefulSet"):
        for place, _ in within(world, kind, "spec.selector.matchLabels"):
            yield place, {}


def field_misspelt(world: World) -> Iterator[Change]:
    for index, one in enumerate(world.ours):
        yield (index, "sepc"), {}
        if one.get("spec"):
            yield (index, "spec", "relpicas"), 1
    for container in world.containers:
        yield (*container.place, "readynessProbe"), {}
    for pod in world.pods:
        yield (*pod.place, "spec", "terminationGraceSeconds"), 30
    for path in (
        "spec.managed.roles.*",
        "spec.postgresql",
        "spec.triggers.*.metadata",
        "spec.podMetricsEndpoints.*",
        "spec.privateKey",
    ):
        for index, one in enumerate(world.ours):
            for place, _ in find(one, path.split(".")):
                yield (index, *place, "misspelt"), "x"


def value_of_another_type(world: World) -> Iterator[Change]:
    for place, port in within_containers(world, "ports.*.containerPort"):
        yield place, str(port)
    for place, _ in within_containers(world, "env.*.value"):
        yield place, 7101
    for place, port in within(world, "Service", "spec.ports.*.port"):
        yield place, str(port)
    for kind, path in (
        ("Cluster", "spec.instances"),
        ("ScaledObject", "spec.maxReplicaCount"),
        ("PodMonitor", "spec.podMetricsEndpoints"),
    ):
        for place, _ in within(world, kind, path):
            yield place, "many"


def required_field_left_out(world: World) -> Iterator[Change]:
    for path in (
        "spec.scaleTargetRef",
        "spec.issuerRef",
        "spec.cluster",
        "spec.instances",
        "spec.podMetricsEndpoints",
        "spec.selector",
    ):
        for index, one in enumerate(world.ours):
            if one["kind"] in (
                "ScaledObject",
                "Certificate",
                "Database",
                "Cluster",
                "PodMonitor",
                "Deployment",
                "StatefulSet",
            ):
                for place, _ in find(one, path.split(".")):
                    yield (index, *place), GONE


def version_of_the_api_that_was(world: World) -> Iterator[Change]:
    for index, one in enumerate(world.ours):
        yield (index, "apiVersion"), f"{one['apiVersion']}beta9"


def kind_nobody_knows(world: World) -> Iterator[Change]:
    for index, one in enumerate(world.ours):
        yield (index, "kind"), f"{one['kind']}s"


def value_left_empty(world: World) -> Iterator[Change]:
    for place, _ in within_containers(world, "resources.limits"):
        yield place, None
    for place, _ in within(world, "Service", "spec.selector"):
        yield place, None


def object_twice(world: World) -> Iterator[Change]:
    for one in world.ours:
        yield added(world, one)


def variable_twice(world: World) -> Iterator[Change]:
    for place, env in within_containers(world, "env"):
        for one in env:
            yield (*place, len(env)), one


def port_twice(world: World) -> Iterator[Change]:
    for place, ports in within_containers(world, "ports"):
        for one in ports:
            yield (*place, len(ports)), {**one, "name": "again"}


def container_twice(world: World) -> Iterator[Change]:
    for place, containers in within_pods(world, "containers"):
        for one in containers:
            yield (*place, len(containers)), one


def namespace_left_out(world: World) -> Iterator[Change]:
    for index, one in enumerate(world.ours):
        if "namespace" in one["metadata"]:
            yield (index, "metadata", "namespace"), GONE


def namespace_not_there(world: World) -> Iterator[Change]:
    for index, one in enumerate(world.ours):
        if "namespace" in one["metadata"]:
            yield (index, "metadata", "namespace"), "step-ladder"


def nobody_knows_whose_it_is(world: World) -> Iterator[Change]:
    for index, one in enumerate(world.ours):
        if shape.PART_OF in (one["metadata"].get("labels") or {}):
            yield (index, "metadata", "labels", shape.PART_OF), GONE
    for pod in world.pods:
        yield (*pod.place, "metadata", "labels", shape.PART_OF), GONE


FAULTS = (
    Fault(secret_not_there, references.names_exist, "there is no Secret"),
    Fault(config_map_not_there, references.names_exist, "there is no ConfigMap"),
    Fault(account_not_there, references.names_exist, "there is no ServiceAccount"),
    Fault(claim_not_there, references.names_exist, "there is no PersistentVolumeClaim"),
    Fault(issuer_not_there, references.names_exist, "there is no Issuer"),
    Fault(workload_to_scale_not_there, references.names_exist, "there is no Deployment"),
    Fault(cluster_of_databases_not_there, references.names_exist, "there is no Cluster"),
    Fault(service_of_a_set_not_there, references.names_exist, "there is no Service"),
    Fault(key_not_there, references.names_exist, "has no key"),
    Fault(certificate_for_another_secret, references.names_exist, "there is no Secret"),
    Fault(config_map_nobody_uses, references.nothing_is_left_over, "nothing refers to it"),
    Fault(mount_without_volume, references.mounts_have_volumes, "which is no volume of the pod"),
    Fault(file_not_in_its_volume, references.mounts_have_volumes, "which is not in volume"),
    Fault(volume_nobody_mounts, references.mounts_have_volumes, "is mounted by no container"),
    Fault(token_mounted, references.tokens_are_not_mounted, "token"),
    Fault(pods_of_another_label, references.own_selectors, "does not choose its own pods"),
    Fault(selector_of_everything, references.own_selectors, "too"),
    Fault(field_misspelt, shape.schemas_hold, "not allowed"),
    Fault(value_of_another_type, shape.schemas_hold, "is not of type"),
    Fault(required_field_left_out, shape.schemas_hold, "is a required property"),
    Fault(version_of_the_api_that_was, shape.schemas_hold, "no schema is known"),
    Fault(kind_nobody_knows, shape.schemas_hold, "no schema is known"),
    Fault(value_left_empty, shape.schemas_hold, "has no value"),
    Fault(object_twice, shape.nothing_twice, "object"),
    Fault(variable_twice, shape.nothing_twice, "variable"),
    Fault(port_twice, shape.nothing_twice, "port"),
    Fault(container_twice, shape.nothing_twice, "container"),
    Fault(namespace_left_out, shape.namespaces_exist, "has no namespace"),
    Fault(namespace_not_there, shape.namespaces_exist, "there is no namespace"),
    Fault(nobody_knows_whose_it_is, shape.labels_say_whose, "has no label"),
)
