"""What manifests refer to by name exists: ConfigMaps and Secrets with their keys, accounts, volumes, targets."""

from collections.abc import Iterator
from dataclasses import dataclass

from tests.deploy.finding import Finding
from tests.deploy.objects import MADE_BY, Object, Place, at, called, find, namespace_of
from tests.deploy.world import TEMPLATES, Pod, World

IN_PODS = {
    "serviceAccountName": "ServiceAccount",
    "priorityClassName": "PriorityClass",
    "imagePullSecrets.*.name": "Secret",
    "containers.*.env.*.valueFrom.secretKeyRef": "Secret",
    "containers.*.env.*.valueFrom.configMapKeyRef": "ConfigMap",
    "containers.*.envFrom.*.secretRef": "Secret",
    "containers.*.envFrom.*.configMapRef": "ConfigMap",
    "volumes.*.secret": "Secret",
    "volumes.*.configMap": "ConfigMap",
    "volumes.*.projected.sources.*.secret": "Secret",
    "volumes.*.projected.sources.*.configMap": "ConfigMap",
    "volumes.*.persistentVolumeClaim": "PersistentVolumeClaim",
}
"""Where a pod refers to something, and of what kind that is."""

IN_KINDS = {
    "StatefulSet": {"spec.serviceName": "Service"},
    "Ingress": {"spec.tls.*.secretName": "Secret"},
    "HorizontalPodAutoscaler": {"spec.scaleTargetRef": "Deployment"},
    "ScaledObject": {"spec.scaleTargetRef": "Deployment"},
    "Certificate": {"spec.issuerRef": "Issuer"},
    "Issuer": {"spec.ca.secretName": "Secret"},
    "Database": {"spec.cluster.name": "Cluster"},
    "Cluster": {"spec.bootstrap.initdb.secret": "Secret", "spec.managed.roles.*.passwordSecret": "Secret"},
}
"""The same for objects, where the reference does not say itself of what kind it is."""

_NAME_FIELDS = ("name", "secretName", "claimName")


@dataclass(frozen=True)
class Reference:
    """A name written somewhere, of something that has to exist."""

    where: str
    namespace: str
    place: Place
    """Of the name."""
    kind: str
    name: str
    keys: tuple[tuple[Place, str], ...] = ()
    """Keys that it has to have, and where they are written."""

    @property
    def is_ours(self) -> bool:
        """Whether it stands in a rendered object, and not in what others make."""
        return isinstance(self.place[0], int)


def references(world: World) -> Iterator[Reference]:
    """Every reference of the rendered objects, and of the pods that others make of what is ours."""
    for pod in world.all_pods:
        # Envs and volumes of init containers are like those of the others.
        paths = {
            **IN_PODS,
            **{f"initC{path[1:]}": kind for path, kind in IN_PODS.items() if path.startswith("containers")},
        }
        for path, kind in paths.items():
            yield from _at(path.split("."), kind, pod.spec, (*pod.place, "spec"), pod.where, pod.namespace)
    for index, one in enumerate(world.ours):
        for path, kind in IN_KINDS.get(str(one["kind"]), {}).items():
            yield from _at(path.split("."), kind, one, (index,), called(one), namespace_of(one))


def _at(path: list[str], kind: str, holder: Object, base: Place, where: str, namespace: str) -> Iterator[Reference]:
    for place, node in find(holder, path):
        written = f"{where}, {'.'.join(map(str, place))}"
        if isinstance(node, str):
            yield Reference(written, namespace, (*base, *place), kind, node)
            continue
        field = next((field for field in _NAME_FIELDS if field in node), "name")
        whole = (*base, *place)
        keys = [((*whole, "key"), str(node["key"]))] if "key" in node else []
        keys += [
            ((*whole, "items", index, "key"), str(item["key"])) for index, item in enumerate(node.get("items") or [])
        ]
        yield Reference(
            written,
            str(node.get("namespace") or namespace),
            (*whole, field),
            str(node.get("kind", kind)),
            str(node.get(field, "")),
            tuple(keys),
        )


def keys_of(one: Object) -> set[str]:
    """The keys of a ConfigMap or Secret."""
    return {key for part in ("data", "stringData", "binaryData") for key in one.get(part) or {}}


def names_exist(world: World) -> Iterator[Finding]:
    """What is referred to by name exists, in the namespace of who refers to it, with the keys that are asked for."""
    for reference in references(world):
        found = world.get(reference.kind, reference.name, reference.namespace)
        if found is None:
            wrong = f"there is no {reference.kind} {reference.name!r} in {reference.namespace or 'the cluster'}"
            yield Finding(reference.where, wrong, "correct the name, add it, or say in elsewhere.yaml who makes it")
            continue
        for _, key in reference.keys:
            if key not in keys_of(found):
                has = ", ".join(sorted(keys_of(found))) or "nothing"
                wrong = f"{reference.kind} {reference.name!r} has no key {key!r}"
                yield Finding(reference.where, wrong, f"it holds {has}")


def nothing_is_left_over(world: World) -> Iterator[Finding]:
    """Whatever is only there to be referred to is referred to: otherwise somebody misses it, or it was forgotten."""
    wanted = {(one.kind, one.namespace, one.name) for one in references(world)}
    for one in (*world.ours, *world.others):
        if one["kind"] not in ("ConfigMap", "Secret", "ServiceAccount", "PersistentVolumeClaim"):
            continue
        if str(at(one, ("metadata", "annotations", MADE_BY))).startswith("operator "):
            continue  # it makes what it makes
        if (one["kind"], namespace_of(one), at(one, ("metadata", "name"))) not in wanted:
            yield Finding(called(one), "nothing refers to it", "remove it, or refer to it where it is missed")


def mounts_have_volumes(world: World) -> Iterator[Finding]:
    """Every mount has its volume, every volume is mounted, and a file mounted alone is one of the volume's keys."""
    for pod in world.pods:
        volumes = {str(one["name"]): one for one in pod.spec.get("volumes") or []}
        volumes |= {
            str(at(one, ("metadata", "name"))): one for one in at(pod.owner, ("spec", "volumeClaimTemplates")) or []
        }
        mounted = set()
        for container in pod.containers:
            for mount in container.spec.get("volumeMounts") or []:
                mounted.add(mount["name"])
                if mount["name"] not in volumes:
                    yield Finding(
                        container.where,
                        f"mounts {mount['name']!r}, which is no volume of the pod",
                        f"its volumes are {', '.join(volumes)}",
                    )
                elif "subPath" in mount and mount["subPath"] not in _files(
                    world, pod, volumes[mount["name"]], mount["subPath"]
                ):
                    wrong = f"mounts {mount['subPath']!r}, which is not in volume {mount['name']!r}"
                    yield Finding(container.where, wrong, "name one of the keys of its ConfigMap or Secret")
        for name in volumes.keys() - mounted:
            yield Finding(pod.where, f"volume {name!r} is mounted by no container", "mount it, or remove it")


def _files(world: World, pod: Pod, volume: Object, wanted: str) -> set[str]:
    """What lies in a volume; what is not known from the manifests may be there."""
    for field, kind, name in (("configMap", "ConfigMap", "name"), ("secret", "Secret", "secretName")):
        if field in volume:
            items = volume[field].get("items")
            if items:
                return {str(item["path"]) for item in items}
            found = world.get(kind, str(volume[field].get(name)), pod.namespace)
            return keys_of(found) if found else set()
    return {wanted}


def tokens_are_not_mounted(world: World) -> Iterator[Finding]:
    """No pod gets a token of Kubernetes' API, which none of ours calls."""
    for _, one in world.own("ServiceAccount"):
        if one.get("automountServiceAccountToken") is not False:
            yield Finding(called(one), "mounts its token into pods", "set automountServiceAccountToken: false")
    for pod in world.pods:
        if pod.spec.get("automountServiceAccountToken") is not False:
            yield Finding(
                pod.where, "mounts a token of Kubernetes' API", "set automountServiceAccountToken: false in the pod"
            )


def own_selectors(world: World) -> Iterator[Finding]:
    """A workload chooses its own pods, and no others."""
    for index, one in world.own(*(kind for kind in TEMPLATES if kind not in ("Job", "CronJob"))):
        own = next(pod for pod in world.pods if pod.place[0] == index)
        chosen = world.chosen(at(one, ("spec", "selector")), namespace_of(one))
        if own not in chosen:
            yield Finding(
                called(one),
                "its selector does not choose its own pods",
                "give the template the labels of spec.selector",
            )
        for other in chosen:
            if other is not own:
                yield Finding(
                    called(one),
                    f"its selector chooses the pods of {other.where}, too",
                    "make it choose by a label of its own",
                )
