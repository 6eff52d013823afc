"""Faults of how pods run."""

from collections.abc import Iterator

from tests.deploy import workloads
from tests.deploy.faults.planting import GONE, Change, Fault, added, within, within_containers, within_pods
from tests.deploy.objects import find
from tests.deploy.world import World


def probe_forgotten(world: World) -> Iterator[Change]:
    for name in workloads.PROBES:
        for place, _ in within_containers(world, name):
            yield place, GONE


def probe_at_another_port(world: World) -> Iterator[Change]:
    for name in workloads.PROBES:
        for way in ("grpc", "httpGet", "tcpSocket"):
            for place, _ in within_containers(world, f"{name}.{way}.port"):
                yield place, 7999


def probe_for_another_service(world: World) -> Iterator[Change]:
    for name in workloads.PROBES:
        for place, _ in within_containers(world, f"{name}.grpc"):
            yield (*place, "service"), "stepladder"


def probe_of_nothing(world: World) -> Iterator[Change]:
    for name in workloads.PROBES:
        for place, _ in within_containers(world, name):
            yield place, {"periodSeconds": 5}


def plain_probe_of_a_port_with_tls(world: World) -> Iterator[Change]:
    if not any(within(world, "ConfigMap", "data.STEPLADDER_TLS_KEY")):
        return
    for name in workloads.PROBES:
        for container in world.containers:
            grpc = [port["containerPort"] for port in container.ports if port.get("name") == "grpc"]
            if grpc and name in container.spec:
                yield (*container.place, name, "grpc", "port"), grpc[0]


def killed_before_it_is_left_in_peace(world: World) -> Iterator[Change]:
    for place, probe in within_containers(world, "livenessProbe"):
        yield place, {**probe, "periodSeconds": 1, "failureThreshold": 1}


def no_limit_of_memory(world: World) -> Iterator[Change]:
    for place, _ in within_containers(world, "resources.limits.memory"):
        yield place, GONE


def no_request(world: World) -> Iterator[Change]:
    for name in ("cpu", "memory"):
        for place, _ in within_containers(world, f"resources.requests.{name}"):
            yield place, GONE


def request_above_limit(world: World) -> Iterator[Change]:
    for place, _ in within_containers(world, "resources.requests.memory"):
        yield place, "64Gi"


def quantity_that_is_none(world: World) -> Iterator[Change]:
    for path in ("resources.requests.*", "resources.limits.*"):
        for place, value in within_containers(world, path):
            yield place, f"{value}b"
    for path in ("spec.storage.size", "spec.walStorage.size"):
        for place, value in within(world, "Cluster", path):
            yield place, f"{value}b"
    for place, value in within(world, "StatefulSet", "spec.volumeClaimTemplates.*.spec.resources.requests.storage"):
        yield place, f"{value}b"
    for place, value in within(world, "PersistentVolumeClaim", "spec.resources.requests.storage"):
        yield place, f"{value}b"


def volume_without_bound(world: World) -> Iterator[Change]:
    for place, _ in within_pods(world, "volumes.*.emptyDir.sizeLimit"):
        yield place, GONE


def runs_as_root(world: World) -> Iterator[Change]:
    for place, _ in within_pods(world, "securityContext.runAsUser"):
        yield place, 0
    for place, _ in within_pods(world, "securityContext.runAsNonRoot"):
        yield place, GONE
    for container in world.containers:
        yield (*container.place, "securityContext", "runAsNonRoot"), False


def _in_security(world: World, name: str, value: object) -> Iterator[Change]:
    for container in world.containers:
        yield (*container.place, "securityContext", name), value


def gains_privileges(world: World) -> Iterator[Change]:
    for place, _ in within_containers(world, "securityContext.allowPrivilegeEscalation"):
        yield place, GONE
    yield from _in_security(world, "allowPrivilegeEscalation", True)


def is_privileged(world: World) -> Iterator[Change]:
    return _in_security(world, "privileged", True)


def keeps_capabilities(world: World) -> Iterator[Change]:
    return _in_security(world, "capabilities", {"drop": ["NET_RAW"]})


def adds_capabilities(world: World) -> Iterator[Change]:
    return _in_security(world, "capabilities", {"drop": ["ALL"], "add": ["SYS_ADMIN"]})


def writes_in_its_image(world: World) -> Iterator[Change]:
    for place, _ in within_containers(world, "securityContext.readOnlyRootFilesystem"):
        yield place, GONE


def no_seccomp(world: World) -> Iterator[Change]:
    for place, _ in within_pods(world, "securityContext.seccompProfile"):
        yield place, GONE
    yield from _in_security(world, "seccompProfile", {"type": "Unconfined"})


def of_the_node(world: World) -> Iterator[Change]:
    for pod in world.pods:
        for name in ("hostNetwork", "hostPID", "hostIPC"):
            yield (*pod.place, "spec", name), True


def folder_of_the_node(world: World) -> Iterator[Change]:
    for place, volume in within_pods(world, "volumes.*"):
        yield place, {"name": volume["name"], "hostPath": {"path": "/var/lib"}}


def port_of_the_node(world: World) -> Iterator[Change]:
    for place, port in within_containers(world, "ports.*"):
        yield (*place, "hostPort"), port["containerPort"]


def namespace_takes_everything(world: World) -> Iterator[Change]:
    for index, _ in world.own("Namespace"):
        yield (index, "metadata", "labels", "pod-security.kubernetes.io/enforce"), "privileged"


def image_of_no_version(world: World) -> Iterator[Change]:
    for place, image in within_containers(world, "image"):
        name = image.partition("@")[0]
        base = name[: name.rindex(":")] if ":" in name.rpartition("/")[2] else name
        yield place, base
        yield place, f"{base}:latest"
    for index, _ in world.own("Cluster"):
        yield (index, "spec", "imageName"), "registry.example/cloudnative-pg/postgresql"


def job_without_end(world: World) -> Iterator[Change]:
    for place, _ in within_pods(world, "restartPolicy"):
        yield place, "Always"


def job_tried_for_ever(world: World) -> Iterator[Change]:
    for kind, path in (("Job", "spec.backoffLimit"), ("CronJob", "spec.jobTemplate.spec.backoffLimit")):
        for place, _ in within(world, kind, path):
            yield place, GONE


def schedule_that_is_none(world: World) -> Iterator[Change]:
    for place, _ in within(world, "CronJob", "spec.schedule"):
        yield place, "61 2 * * *"
        yield place, "every night"


def no_time_zone(world: World) -> Iterator[Change]:
    for place, _ in within(world, "CronJob", "spec.timeZone"):
        yield place, GONE
        yield place, "Europe/Athen"


def twice_at_once(world: World) -> Iterator[Change]:
    for place, _ in within(world, "CronJob", "spec.concurrencyPolicy"):
        yield place, GONE


def replicas_against_a_scaler(world: World) -> Iterator[Change]:
    scaled = {name for kind in workloads.SCALERS for _, name in within(world, kind, "spec.scaleTargetRef.name")}
    for index, one in world.own("Deployment"):
        if one["metadata"]["name"] in scaled:
            yield (index, "spec", "replicas"), 2


def least_above_most(world: World) -> Iterator[Change]:
    for kind, field in (("ScaledObject", "minReplicaCount"), ("HorizontalPodAutoscaler", "minReplicas")):
        for place, _ in within(world, kind, f"spec.{field}"):
            yield place, 99


def scaled_to_none(world: World) -> Iterator[Change]:
    for place, _ in within(world, "ScaledObject", "spec.minReplicaCount"):
        yield place, 0
        yield place, GONE


def two_scalers(world: World) -> Iterator[Change]:
    for kind in workloads.SCALERS:
        for _, one in world.own(kind):
            yield added(world, {**one, "metadata": {**one["metadata"], "name": "another"}})


def more_replicas_than_partitions(world: World) -> Iterator[Change]:
    for place, _ in within(world, "ScaledObject", "spec.maxReplicaCount"):
        yield place, 99


def scaled_by_what_is_not_asked_for(world: World) -> Iterator[Change]:
    for place, _ in within(world, "HorizontalPodAutoscaler", "spec.metrics.*.resource.name"):
        yield place, "ephemeral-storage"


def budget_that_keeps_all(world: World) -> Iterator[Change]:
    for index, one in world.own("PodDisruptionBudget"):
        selector = one["spec"]["selector"]
        for least in (2, "100%", "51%"):
            yield (index, "spec"), {"minAvailable": least, "selector": selector}


def budget_of_none(world: World) -> Iterator[Change]:
    for place, _ in within(world, "PodDisruptionBudget", "spec.maxUnavailable"):
        yield place, 0
        yield place, "0%"


def budget_about_nobody(world: World) -> Iterator[Change]:
    for place, labels in within(world, "PodDisruptionBudget", "spec.selector.matchLabels"):
        for key, value in labels.items():
            yield (*place, key), f"{value}-x"


def budget_forgotten(world: World) -> Iterator[Change]:
    for index, _ in world.own("PodDisruptionBudget"):
        yield (index,), GONE


def spread_over_others(world: World) -> Iterator[Change]:
    for place, labels in within_pods(world, "topologySpreadConstraints.*.labelSelector.matchLabels"):
        for key, value in labels.items():
            yield (*place, key), f"{value}-x"
    for place, _ in within_pods(world, "topologySpreadConstraints.*.labelSelector"):
        yield place, GONE


def apart_from_nobody(world: World) -> Iterator[Change]:
    term = {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": "stepladder"}}}
    for pod in world.pods:
        apart = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
        yield (*pod.place, "spec", "affinity"), apart


def killed_before_it_is_through(world: World) -> Iterator[Change]:
    for pod in world.pods:
        if any(find(pod.spec, ("containers", "*", "lifecycle", "preStop", "sleep"))):
            yield (*pod.place, "spec", "terminationGracePeriodSeconds"), 20


def stops_at_once(world: World) -> Iterator[Change]:
    for container in world.containers:
        if any(port.get("name") == "grpc" for port in container.ports):
            yield (*container.place, "lifecycle"), GONE


def password_in_plain_text(world: World) -> Iterator[Change]:
    for place, variable in within_containers(world, "env.*"):
        if "secretKeyRef" in (variable.get("valueFrom") or {}):
            yield place, {"name": variable["name"], "value": "correct-horse"}
        elif "$(" in str(variable.get("value")):
            yield (*place, "value"), variable["value"].replace("$(", "").replace(")", "")


def secret_in_the_manifests(world: World) -> Iterator[Change]:
    for one in world.others:
        if one["kind"] == "Secret":
            yield added(world, one)


def pod_on_its_own(world: World) -> Iterator[Change]:
    for pod in world.pods:
        yield added(world, {"apiVersion": "v1", "kind": "Pod", "metadata": pod.owner["metadata"], "spec": pod.spec})


def set_behind_one_address(world: World) -> Iterator[Change]:
    sets = {name for _, name in within(world, "StatefulSet", "spec.serviceName")}
    for index, one in world.own("Service"):
        if one["metadata"]["name"] in sets:
            yield (index, "spec", "clusterIP"), GONE


FAULTS = (
    Fault(probe_forgotten, workloads.probes_are_answered, "has no"),
    Fault(probe_at_another_port, workloads.probes_are_answered, "which it has not"),
    Fault(probe_for_another_service, workloads.probes_are_answered, "has no answer"),
    Fault(probe_of_nothing, workloads.probes_are_answered, "asks nothing"),
    Fault(plain_probe_of_a_port_with_tls, workloads.probes_are_answered, "a port with TLS"),
    Fault(killed_before_it_is_left_in_peace, workloads.probes_are_answered, "is killed sooner"),
    Fault(no_limit_of_memory, workloads.resources_are_bounded, "has no limit of memory"),
    Fault(no_request, workloads.resources_are_bounded, "asks for no"),
    Fault(request_above_limit, workloads.resources_are_bounded, "asks for more"),
    Fault(quantity_that_is_none, workloads.resources_are_bounded, "is no quantity"),
    Fault(volume_without_bound, workloads.resources_are_bounded, "is not bounded"),
    Fault(runs_as_root, workloads.pods_are_restricted, "may run as root"),
    Fault(gains_privileges, workloads.pods_are_restricted, "may gain privileges"),
    Fault(is_privileged, workloads.pods_are_restricted, "is privileged"),
    Fault(keeps_capabilities, workloads.pods_are_restricted, "keeps capabilities"),
    Fault(adds_capabilities, workloads.pods_are_restricted, "adds capabilities"),
    Fault(writes_in_its_image, workloads.pods_are_restricted, "may write in its image"),
    Fault(no_seccomp, workloads.pods_are_restricted, "whatever the kernel offers"),
    Fault(of_the_node, workloads.pods_are_restricted, "has host"),
    Fault(folder_of_the_node, workloads.pods_are_restricted, "a folder of the node"),
    Fault(port_of_the_node, workloads.pods_are_restricted, "takes ports of the node"),
    Fault(namespace_takes_everything, workloads.pods_are_restricted, "does not enforce"),
    Fault(image_of_no_version, workloads.images_are_pinned, "is of no version"),
    Fault(job_without_end, workloads.jobs_end, "are started again"),
    Fault(job_tried_for_ever, workloads.jobs_end, "how often it is tried"),
    Fault(schedule_that_is_none, workloads.jobs_end, "is no schedule"),
    Fault(no_time_zone, workloads.jobs_end, "is no time zone"),
    Fault(twice_at_once, workloads.jobs_end, "may run twice"),
    Fault(replicas_against_a_scaler, workloads.scaling_has_one_master, "says how many replicas"),
    Fault(least_above_most, workloads.scaling_has_one_master, "at most"),
    Fault(scaled_to_none, workloads.scaling_has_one_master, "scales to none"),
    Fault(two_scalers, workloads.scaling_has_one_master, "is scaled by"),
    Fault(more_replicas_than_partitions, workloads.scaling_has_one_master, "partitions"),
    Fault(scaled_by_what_is_not_asked_for, workloads.scaling_has_one_master, "asks for none"),
    Fault(budget_that_keeps_all, workloads.disruptions_are_possible, "none may ever go"),
    Fault(budget_of_none, workloads.disruptions_are_possible, "lets no pod go"),
    Fault(budget_about_nobody, workloads.disruptions_are_possible, "is about no pods"),
    Fault(budget_forgotten, workloads.disruptions_are_possible, "no PodDisruptionBudget"),
    Fault(spread_over_others, workloads.pods_spread_among_their_own, "by labels that its own pods have not"),
    Fault(apart_from_nobody, workloads.pods_spread_among_their_own, "chooses no pods"),
    Fault(killed_before_it_is_through, workloads.pods_stop_in_time, "and is killed after"),
    Fault(stops_at_once, workloads.pods_stop_in_time, "stops at once"),
    Fault(password_in_plain_text, workloads.secrets_are_not_in_manifests, "in plain text"),
    Fault(secret_in_the_manifests, workloads.secrets_are_not_in_manifests, "known to whoever reads them"),
    Fault(pod_on_its_own, workloads.kinds_of_workloads_are_known, "nobody starts"),
    Fault(set_behind_one_address, workloads.headless_sets, "an address of its own"),
)
