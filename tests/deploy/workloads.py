"""How pods run: probes, resources, privileges, images, jobs, how many there are, and how they stop."""

import re
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from zoneinfo import available_timezones

from cronsim import CronSim, CronSimError

from tests.deploy.code import health_services, process_of, settings_of
from tests.deploy.finding import Finding
from tests.deploy.objects import Object, at, called, find, group_of, name_of, namespace_of
from tests.deploy.world import TEMPLATES, Container, Pod, World

PROBES = ("startupProbe", "livenessProbe", "readinessProbe")
SCALERS = ("ScaledObject", "HorizontalPodAutoscaler")
SCALED = ("Deployment", "StatefulSet")
SPOKEN = ("grpc", "httpGet", "tcpSocket", "exec")

_QUANTITY = re.compile(r"(\d+(?:\.\d+)?)(m|k|M|G|T|P|Ki|Mi|Gi|Ti|Pi)?")
_UNITS = {"": 1, "m": Decimal("0.001"), **{unit: 1000**n for n, unit in enumerate("kMGTP", 1)}}
_UNITS |= {f"{unit}i": 1024**n for n, unit in enumerate("KMGTP", 1)}


def quantity(text: object) -> Decimal | None:
    """What a quantity such as 500m or 2Gi amounts to; None where it is none."""
    parts = _QUANTITY.fullmatch(str(text))
    return Decimal(parts[1]) * _UNITS[parts[2] or ""] if parts else None


def probes_are_answered(world: World) -> Iterator[Finding]:
    """Every serving container has three probes, at ports that it has, by ways that its process answers."""
    for container in world.containers:
        serves = bool(container.ports) and not container.starts_first and container.pod.owner["kind"] in SCALED
        for name in PROBES:
            probe = container.spec.get(name)
            if probe is None:
                if serves:
                    yield Finding(container.where, f"has no {name}", "add one: without it nobody knows how it is")
                continue
            yield from _answered(world, container, name, probe)
        live, ready = container.spec.get("livenessProbe"), container.spec.get("readinessProbe")
        if live and ready and _patience(live) < _patience(ready):
            yield Finding(
                container.where,
                "is killed sooner than it is left in peace",
                "let livenessProbe wait longer than readinessProbe",
            )


def _patience(probe: Object) -> int:
    """Seconds of no answer until a probe has failed."""
    return int(probe.get("periodSeconds", 10)) * int(probe.get("failureThreshold", 3))


def _answered(world: World, container: Container, name: str, probe: Object) -> Iterator[Finding]:
    spoken = next((way for way in SPOKEN if way in probe), None)
    if spoken is None:
        yield Finding(container.where, f"{name} asks nothing", f"give it one of {', '.join(SPOKEN)}")
        return
    wanted = probe[spoken].get("port")
    numbers = {port["containerPort"]: port for port in container.ports}
    named = {port.get("name"): port for port in container.ports}
    if spoken != "exec" and wanted not in numbers and wanted not in named:
        yield Finding(
            container.where, f"{name} asks at port {wanted!r}, which it has not", f"its ports are {list(named)}"
        )
    if spoken != "grpc":
        return
    process, settings = process_of(container), settings_of(container, world)
    known = health_services() if process else None
    if known is not None and probe["grpc"].get("service", "") not in known:
        wrong = f"{name} asks for {probe['grpc'].get('service', '')!r}, for which its health service has no answer"
        yield Finding(container.where, wrong, f"it answers for {sorted(known)}")
    if process and settings and settings.tls_certificate:
        secured = settings.address_of(process.name).rpartition(":")[2]
        if str(wanted) == secured:
            yield Finding(
                container.where, f"{name} speaks plain gRPC to a port with TLS", "ask at the port of the health service"
            )


def resources_are_bounded(world: World) -> Iterator[Finding]:
    """Every container asks for CPU and memory, is bounded in memory, and asks for no more than its limit."""
    for pod in world.pods:
        for container in pod.containers:
            requests = at(container.spec, ("resources", "requests")) or {}
            limits = at(container.spec, ("resources", "limits")) or {}
            for name in ("cpu", "memory"):
                if name not in requests:
                    yield Finding(container.where, f"asks for no {name}", f"set resources.requests.{name}")
            if "memory" not in limits:
                yield Finding(container.where, "has no limit of memory", "set resources.limits.memory")
            for name in requests.keys() & limits.keys():
                asked, most = quantity(requests[name]), quantity(limits[name])
                if asked is not None and most is not None and asked > most:
                    yield Finding(
                        container.where,
                        f"asks for more {name} ({requests[name]}) than its limit ({limits[name]})",
                        "raise the limit",
                    )
        for volume in pod.spec.get("volumes") or []:
            if "emptyDir" in volume and "sizeLimit" not in volume["emptyDir"]:
                yield Finding(pod.where, f"volume {volume['name']!r} is not bounded", "set emptyDir.sizeLimit")
    for one in world.ours:
        for path in (
            "spec.template.spec.*.*.resources",
            "spec.jobTemplate.spec.template.spec.*.*.resources",
            "spec.resources",
        ):
            for place, resources in find(one, path.split(".")):
                for part in ("requests", "limits"):
                    for name, value in (resources.get(part) or {}).items():
                        if not quantity(value):
                            yield Finding(
                                f"{called(one)}, {'.'.join(map(str, place))}",
                                f"{part}.{name} {value!r} is no quantity",
                                "write 500m or 2Gi",
                            )
        for field in ("storage", "walStorage"):
            size = at(one, ("spec", field, "size")) if one["kind"] == "Cluster" else None
            if size is not None and not quantity(size):
                yield Finding(called(one), f"{field}.size {size!r} is no quantity", "write it like 50Gi")
        for _, template in find(one, ("spec", "volumeClaimTemplates", "*", "spec", "resources", "requests", "storage")):
            if not quantity(template):
                yield Finding(called(one), f"storage {template!r} is no quantity", "write it like 50Gi")


def pods_are_restricted(world: World) -> Iterator[Finding]:
    """Pods keep to the restricted profile of the Pod Security Standards, and have a read-only root."""
    for pod in world.pods:
        context = pod.spec.get("securityContext") or {}
        for name in ("hostNetwork", "hostPID", "hostIPC"):
            if pod.spec.get(name):
                yield Finding(pod.where, f"has {name}", "remove it")
        for volume in pod.spec.get("volumes") or []:
            if "hostPath" in volume:
                yield Finding(
                    pod.where,
                    f"volume {volume['name']!r} is a folder of the node",
                    "take a claim, a ConfigMap or an emptyDir",
                )
        for container in pod.containers:
            own = container.spec.get("securityContext") or {}
            both = {**context, **own}
            wrong = {
                "may run as root": both.get("runAsNonRoot") is not True or both.get("runAsUser") == 0,
                "is not told a user": not both.get("runAsUser"),
                "may gain privileges": own.get("allowPrivilegeEscalation") is not False,
                "is privileged": bool(own.get("privileged")),
                "keeps capabilities": at(own, ("capabilities", "drop")) != ["ALL"],
                "adds capabilities": bool(set(at(own, ("capabilities", "add")) or ()) - {"NET_BIND_SERVICE"}),
                "may call whatever the kernel offers": at(both, ("seccompProfile", "type"))
                not in ("RuntimeDefault", "Localhost"),
                "may write in its image": own.get("readOnlyRootFilesystem") is not True,
                "takes ports of the node": any("hostPort" in port for port in container.ports),
            }
            for what, is_so in wrong.items():
                if is_so:
                    yield Finding(container.where, what, "set its securityContext as the other containers have it")
    for _, one in world.own("Namespace"):
        if at(one, ("metadata", "labels", "pod-security.kubernetes.io/enforce")) != "restricted":
            yield Finding(
                called(one),
                "does not enforce the restricted profile",
                "label it pod-security.kubernetes.io/enforce: restricted",
            )


def images_are_pinned(world: World) -> Iterator[Finding]:
    """Every image has a version, and none that moves by its name."""
    # A Cluster that names none has what CloudNativePG wrote down when it was made.
    named = [(index, one) for index, one in world.own("Cluster") if "imageName" in one["spec"]]
    images = [(container.where, str(container.spec.get("image", ""))) for container in world.containers]
    images += [(called(one), str(one["spec"]["imageName"])) for _, one in named]
    for where, image in images:
        tag = image.partition("@")[0].rpartition("/")[2].partition(":")[2]
        if "@sha256:" not in image and (not tag or tag == "latest"):
            yield Finding(where, f"image {image!r} is of no version", "name a tag other than latest, or a digest")


def jobs_end(world: World) -> Iterator[Finding]:
    """A Job is tried so many times and no more; a CronJob has a schedule, a time zone, and runs once at a time."""
    for index, one in world.own("Job", "CronJob"):
        pod = next(pod for pod in world.pods if pod.place[0] == index)
        job = one["spec"] if one["kind"] == "Job" else at(one, ("spec", "jobTemplate", "spec")) or {}
        if pod.spec.get("restartPolicy") not in ("Never", "OnFailure"):
            yield Finding(
                called(one), "its pods are started again when they are through", "set restartPolicy: Never or OnFailure"
            )
        if "backoffLimit" not in job:
            yield Finding(called(one), "does not say how often it is tried", "set backoffLimit")
        if one["kind"] == "CronJob":
            yield from _runs_when_it_should(one)


def _runs_when_it_should(one: Object) -> Iterator[Finding]:
    spec = one["spec"]
    try:
        next(CronSim(str(spec.get("schedule")), datetime(2026, 1, 1)))  # noqa: DTZ001 - any moment
    except (CronSimError, StopIteration):
        yield Finding(
            called(one),
            f"{spec.get('schedule')!r} is no schedule",
            'write minute, hour, day, month, weekday: "17 2 * * *"',
        )
    if spec.get("timeZone") not in available_timezones():
        yield Finding(called(one), f"{spec.get('timeZone')!r} is no time zone", "set timeZone, such as Etc/UTC")
    if spec.get("concurrencyPolicy") != "Forbid":
        yield Finding(called(one), "may run twice at once", "set concurrencyPolicy: Forbid")


def replicas_of(world: World, one: Object) -> int:
    """The fewest replicas that a workload has: by who scales it, or by itself."""
    for _, scaler in world.own(*SCALERS):
        if _target(world, scaler) is one:
            return int(at(scaler, ("spec", "minReplicaCount")) or at(scaler, ("spec", "minReplicas")) or 0)
    replicas = at(one, ("spec", "replicas"))
    return 1 if replicas is None else int(replicas)


def _target(world: World, scaler: Object) -> Object | None:
    target = at(scaler, ("spec", "scaleTargetRef")) or {}
    return world.get(target.get("kind", "Deployment"), str(target.get("name")), namespace_of(scaler))


def scaling_has_one_master(world: World) -> Iterator[Finding]:
    """One scaler for each workload, which itself says nothing of replicas; sane bounds; partitions enough."""
    scaled: dict[int, str] = {}
    for _, one in world.own(*SCALERS):
        spec, target = one["spec"], _target(world, one)
        least, most = (
            spec.get("minReplicaCount", spec.get("minReplicas")),
            spec.get("maxReplicaCount", spec.get("maxReplicas")),
        )
        if not least:
            yield Finding(called(one), "scales to none", "keep at least one: deadlines fall due without an event")
        if most is None or (least or 0) > most:
            yield Finding(
                called(one), f"has at least {least} and at most {most} replicas", "let the most be above the least"
            )
        if target is None:
            continue  # names_exist says so
        if id(target) in scaled:
            yield Finding(called(one), f"{called(target)} is scaled by {scaled[id(target)]}, too", "leave one")
        scaled[id(target)] = called(one)
        if at(target, ("spec", "replicas")) is not None:
            yield Finding(
                called(target), f"says how many replicas it has, against {called(one)}", "leave spec.replicas out"
            )
        pod = next(pod for pod in world.pods if pod.owner is target)
        yield from _fits(world, one, pod, most or 0)


def _fits(world: World, scaler: Object, pod: Pod, most: int) -> Iterator[Finding]:
    """Replicas beyond the partitions follow nothing; a share of CPU is one of what is asked for."""
    by_lag = any("lag" in str(query) for _, query in find(scaler, ("spec", "triggers", "*", "metadata", "query")))
    for container in pod.containers:
        settings = settings_of(container, world) if process_of(container) else None
        partitions = getattr(settings, "partitions", None) if settings and container.ports else None
        if by_lag and partitions is not None and most > partitions:
            yield Finding(
                called(scaler),
                f"makes up to {most} replicas of {partitions} partitions",
                "raise STEPLADDER_PARTITIONS, or scale less",
            )
    for _, metric in find(scaler, ("spec", "metrics", "*", "resource", "name")):
        for container in pod.containers:
            if not container.starts_first and metric not in (at(container.spec, ("resources", "requests")) or {}):
                yield Finding(
                    called(scaler), f"goes by {metric}, of which {container.where} asks for none", "set its request"
                )


def disruptions_are_possible(world: World) -> Iterator[Finding]:
    """A PodDisruptionBudget is about pods, and lets at least one of them go; what has two replicas has a budget."""
    guarded = []
    for _, one in world.own("PodDisruptionBudget"):
        spec = one["spec"]
        pods = world.chosen(spec.get("selector"), namespace_of(one))
        guarded += [pod.place for pod in pods]
        if not pods:
            yield Finding(called(one), "is about no pods", "correct its selector")
            continue
        replicas = sum(replicas_of(world, pod.owner) for pod in pods)
        least, most = spec.get("minAvailable"), spec.get("maxUnavailable")
        if least is not None and _share(least, replicas) >= replicas:
            yield Finding(
                called(one),
                f"wants {least} of {replicas} replicas: none may ever go, and nodes cannot be drained",
                "ask for fewer",
            )
        if most is not None and _share(most, replicas) < 1:
            yield Finding(called(one), "lets no pod go: nodes cannot be drained", "set maxUnavailable: 1")
    for pod in world.pods:
        if pod.owner["kind"] in SCALED and replicas_of(world, pod.owner) > 1 and pod.place not in guarded:
            yield Finding(pod.where, "has replicas and no PodDisruptionBudget: all may go at once", "add one")


def _share(value: object, replicas: int) -> float:
    """A number, or per cent of the replicas (of which Kubernetes rounds up)."""
    text = str(value)
    return -(-replicas * int(text[:-1]) // 100) if text.endswith("%") else int(text)


def pods_spread_among_their_own(world: World) -> Iterator[Finding]:
    """Constraints of spread choose their own pods; those of affinity pods that there are."""
    for pod in world.pods:
        for constraint in pod.spec.get("topologySpreadConstraints") or []:
            if pod not in world.chosen(constraint.get("labelSelector"), pod.namespace):
                wrong = f"spreads over {constraint.get('topologyKey')} by labels that its own pods have not"
                yield Finding(pod.where, wrong, "give labelSelector the labels of the pods")
        for place, selector in find(pod.spec, ("affinity", "*", "*", "*", "labelSelector")):
            if not world.chosen(selector, pod.namespace):
                yield Finding(pod.where, f"{'.'.join(map(str, place))} chooses no pods", "correct its labels")


def _waits(hook: object) -> float:
    """For how many seconds a preStop hook waits: one that does something before waits by Python's `time.sleep`."""
    if seconds := at(hook, ("sleep", "seconds")):
        return float(seconds)
    said = re.search(r"time\.sleep\((\d+)\)", " ".join(at(hook, ("exec", "command")) or ()))
    return float(said[1]) if said else 0.0


def pods_stop_in_time(world: World) -> Iterator[Finding]:
    """What a container waits before it is asked to stop, and then for its calls, is over before it is killed."""
    for pod in world.pods:
        grace = float(pod.spec.get("terminationGracePeriodSeconds", 30))
        for container in pod.containers:
            waits = _waits(at(container.spec, ("lifecycle", "preStop")) or {})
            process, settings = process_of(container), settings_of(container, world)
            serving = (
                process is not None
                and settings is not None
                and any(port.get("name") == "grpc" for port in container.ports)
            )
            calls = settings.drain_seconds + settings.shutdown_grace_seconds if serving and settings else 0.0
            if waits + calls >= grace:
                wrong = f"waits {waits:g} s and then {calls:g} s for its calls, and is killed after {grace:g} s"
                yield Finding(container.where, wrong, "raise terminationGracePeriodSeconds")
            if serving and not waits:
                yield Finding(
                    container.where, "stops at once, while others still have its address", "add lifecycle.preStop.sleep"
                )


def secrets_are_not_in_manifests(world: World) -> Iterator[Finding]:
    """No secret stands in a manifest: Secrets are made by others, and variables take them by reference."""
    for one in world.ours:
        if one["kind"] == "Secret":
            yield Finding(
                called(one),
                "a secret in the manifests is known to whoever reads them",
                "say in elsewhere.yaml who makes it",
            )
    for container in world.containers:
        for variable in container.env:
            yield from _plain(container.where, str(variable["name"]), str(variable.get("value", "")))
    for _, config in world.own("ConfigMap"):
        for key, value in (config.get("data") or {}).items():
            yield from _plain(called(config), str(key), str(value))


def _plain(where: str, name: str, value: str) -> Iterator[Finding]:
    open_password = re.search(r"://[^\s/:@]+:(?!\$\()[^\s/@<]+@", value)
    by_name = re.search(r"(PASSWORD|SECRET|_TOKEN|PRIVATE_KEY)$", name) and value and not value.startswith("$(")
    if open_password or by_name or "PRIVATE KEY-----" in value:
        yield Finding(where, f"{name} holds a secret in plain text", "take it from a Secret by secretKeyRef")


def kinds_of_workloads_are_known(world: World) -> Iterator[Finding]:
    """Bare Pods and ReplicaSets, which nobody would start again, are none of ours."""
    for one in world.ours:
        if one["kind"] in ("Pod", "ReplicaSet", "ReplicationController") and group_of(one) in ("", "apps"):
            yield Finding(called(one), f"nobody starts a {one['kind']} again", f"make it one of {', '.join(TEMPLATES)}")


def headless_sets(world: World) -> Iterator[Finding]:
    """A StatefulSet's Service has no address of its own: its pods' names come from there."""
    for _, one in world.own("StatefulSet"):
        service = world.get("Service", str(at(one, ("spec", "serviceName"))), namespace_of(one))
        if service is not None and at(service, ("spec", "clusterIP")) != "None":
            yield Finding(
                called(one), f"its Service {name_of(service)!r} has an address of its own", "set clusterIP: None there"
            )
