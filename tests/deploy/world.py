"""What a cluster would hold once an overlay is applied: rendered objects, those that others make, and pods."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from tests.deploy.objects import Object, Place, at, called, labels_of, name_of, namespace_of
from tests.deploy.others import made_by_operators

CLUSTER_WIDE = {"Namespace", "ClusterIssuer", "ClusterRole", "ClusterRoleBinding", "PriorityClass", "StorageClass"}
TEMPLATES: Mapping[str, Place] = {
    "Deployment": ("spec", "template"),
    "StatefulSet": ("spec", "template"),
    "DaemonSet": ("spec", "template"),
    "Job": ("spec", "template"),
    "CronJob": ("spec", "jobTemplate", "spec", "template"),
}
"""Where the kinds that make pods hold what these look like."""


def matches(selector: Object | None, labels: Mapping[str, str]) -> bool:
    """Whether a label selector chooses what has the labels; an empty one chooses everything, none nothing."""
    if selector is None:
        return False
    wanted: Mapping[str, str] = selector.get("matchLabels") or {}
    return all(labels.get(key) == value for key, value in wanted.items()) and all(
        {
            "In": labels.get(one["key"]) in one.get("values", []),
            "NotIn": labels.get(one["key"]) not in one.get("values", []),
            "Exists": one["key"] in labels,
            "DoesNotExist": one["key"] not in labels,
        }[one["operator"]]
        for one in selector.get("matchExpressions") or []
    )


@dataclass(frozen=True)
class Container:
    """One container of a pod's template, and its place in the rendered objects."""

    pod: "Pod"
    spec: Object
    place: Place
    starts_first: bool
    """Whether it is an init container."""

    @property
    def where(self) -> str:
        return f"{self.pod.where}, container {self.spec.get('name')}"

    @property
    def ports(self) -> list[Object]:
        return self.spec.get("ports") or []

    @property
    def env(self) -> list[Object]:
        return self.spec.get("env") or []


@dataclass(frozen=True)
class Pod:
    """The pods of one workload: their template, and its place in the rendered objects."""

    owner: Object
    template: Object
    place: Place

    @property
    def where(self) -> str:
        return called(self.owner)

    @property
    def spec(self) -> Object:
        return self.template.get("spec") or {}

    @property
    def labels(self) -> dict[str, str]:
        return labels_of(self.template)

    @property
    def namespace(self) -> str:
        return namespace_of(self.owner)

    @cached_property
    def containers(self) -> list[Container]:
        """Those that run, then those that start first."""
        return [
            Container(self, one, (*self.place, "spec", key, index), key == "initContainers")
            for key in ("containers", "initContainers")
            for index, one in enumerate(self.spec.get(key) or [])
        ]

    def ports(self) -> Iterator[tuple[str, int, str]]:
        """Name, number and protocol of every port that its containers have."""
        for container in self.containers:
            for port in container.ports:
                yield str(port.get("name", "")), port["containerPort"], port.get("protocol", "TCP")

    def port(self, wanted: str | int, protocol: str = "TCP") -> int | None:
        """The number of a port that it has, by name or number."""
        for name, number, spoken in self.ports():
            if wanted in (name, number) and protocol == spoken:
                return number
        return None


class World:
    """What a cluster would hold: `ours` are the rendered objects, `given` those that are there before them."""

    def __init__(self, ours: Sequence[Object], given: Sequence[Object]) -> None:
        self.ours = list(ours)
        self.given = given

    @cached_property
    def others(self) -> list[Object]:
        """The objects that are not ours: given, or made of ours by operators."""
        return [*self.given, *made_by_operators(self.ours)]

    @cached_property
    def _by_kind(self) -> dict[str, list[Object]]:
        kinds: dict[str, list[Object]] = {}
        for one in (*self.ours, *self.others):
            kinds.setdefault(str(one.get("kind")), []).append(one)
        return kinds

    def of(self, *kinds: str) -> list[Object]:
        """All objects of some kinds, whoever makes them."""
        return [one for kind in kinds for one in self._by_kind.get(kind, [])]

    def own(self, *kinds: str) -> Iterator[tuple[int, Object]]:
        """The rendered objects of some kinds, with their places in `ours`."""
        return ((index, one) for index, one in enumerate(self.ours) if one.get("kind") in kinds)

    def get(self, kind: str, name: str, namespace: str) -> Object | None:
        """One object; namespaces do not count for what belongs to the whole cluster."""
        for one in self.of(kind):
            if name_of(one) == name and (kind in CLUSTER_WIDE or namespace_of(one) == namespace):
                return one
        return None

    @cached_property
    def pods(self) -> list[Pod]:
        """The pods that the rendered objects make."""
        return [
            Pod(one, at(one, TEMPLATES[one["kind"]]) or {}, (index, *TEMPLATES[one["kind"]]))
            for index, one in self.own(*TEMPLATES)
        ]

    @cached_property
    def all_pods(self) -> list[Pod]:
        """Theirs and those that others make."""
        others = [one for one in self.others if one["kind"] in TEMPLATES]
        return [*self.pods, *(Pod(one, at(one, TEMPLATES[one["kind"]]) or {}, ()) for one in others)]

    def chosen(self, selector: Object | None, namespace: str) -> list[Pod]:
        """The pods of a namespace that a selector chooses."""
        return [pod for pod in self.all_pods if pod.namespace == namespace and matches(selector, pod.labels)]

    @property
    def containers(self) -> Iterator[Container]:
        """Those of the rendered objects."""
        return (container for pod in self.pods for container in pod.containers)
