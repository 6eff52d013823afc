"""Whatever is called is there, lets the caller in, and shows a certificate for the name by which it is called."""

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

from libs.cli.embedded import SERVICES
from tests.deploy.code import process_of, settings_of
from tests.deploy.finding import Finding
from tests.deploy.network import FRONT_DOOR, is_about, peers_of, ports_of
from tests.deploy.objects import Object, at, called, namespace_of
from tests.deploy.world import Container, Pod, World, matches

CLUSTER_DOMAINS = ("", "svc", "svc.cluster.local")
NOT_SHOWN_OURS = {"database_url", "keys_url", "gateway_http_address", "token_keys", "otlp_endpoint"}
"""Whom our authority's certificates do not concern: PostgreSQL has its operator's, SCIM none, the others their own."""
_NATS, _POSTGRES = {"app.kubernetes.io/component": "nats"}, {"cnpg.io/podRole": "instance"}
CALLED_BY_OTHERS = (
    (_NATS, _NATS, (6222,)),
    (_POSTGRES, _POSTGRES, (5432, 8000)),
    ({"app.kubernetes.io/name": "cloudnative-pg"}, _POSTGRES, (8000,)),
)
"""Labels of who calls and of who is called, and the ports (NATS's clustering, CloudNativePG's networking)."""


@dataclass(frozen=True)
class Call:
    """A connection that a pod opens, to a host and port as its settings write them."""

    pod: Pod
    where: str
    """The container and the variable that says so."""
    host: str
    port: int
    shown_ours: bool
    """Whether who is called has to show a certificate of our authority."""


def calls(world: World) -> Iterator[Call]:
    """Every connection that processes of the manifests open, by their settings and what the code does with these."""
    for container in world.containers:
        process, settings = process_of(container), settings_of(container, world)
        if process is None or settings is None:
            continue
        for name in process.calls:
            for address in str(getattr(settings, name)).split(","):
                url = urlsplit(address if "://" in address else f"//{address}")
                if url.hostname and url.scheme != "sqlite+aiosqlite":
                    port = url.port or {"https": 443, "http": 80}.get(url.scheme, 0)
                    shown = bool(settings.tls_certificate) and name not in NOT_SHOWN_OURS
                    where = f"{container.where}, STEPLADDER_{name.upper()}"
                    yield Call(container.pod, where, url.hostname, port, shown)


def service_at(world: World, host: str, namespace: str) -> Object | None:
    """The Service that a name in the cluster's DNS stands for."""
    name, *rest = host.split(".")
    if not rest:
        return world.get("Service", name, namespace)
    if _is_pod(host):
        return world.get("Service", rest[0], namespace)
    if ".".join(rest[1:]) in CLUSTER_DOMAINS:
        return world.get("Service", name, rest[0])
    return None


def _is_pod(host: str) -> bool:
    """Whether a name is that of one pod of a StatefulSet, behind a headless Service of the same namespace."""
    name, _, rest = host.partition(".")
    return rest != "" and "." not in rest and name.rpartition("-")[2].isdecimal()


def _is_outside(host: str) -> bool:
    """Whether a host is none of the cluster's."""
    if _is_pod(host):
        return False
    try:
        return not ip_address(host).is_loopback
    except ValueError:
        return len(host.split(".")) > 1 and not host.endswith((".svc", ".svc.cluster.local"))


def calls_arrive(world: World) -> Iterator[Finding]:
    """Whatever a process calls is a Service's port, and policies on both sides let the connection through."""
    for call in calls(world):
        where, pod = call.where, call.pod
        if call.host in ("127.0.0.1", "localhost", "::1"):
            if not any(number == call.port for _, number, _ in pod.ports()) and not _listens(world, pod, call.port):
                yield Finding(where, f"nothing in the pod listens at {call.port}", ports_of(pod))
            continue
        service = service_at(world, call.host, pod.namespace)
        if service is None:
            if not _is_outside(call.host) or (
                call.host.count(".") == 1 and world.get("Namespace", call.host.split(".")[1], "")
            ):
                yield Finding(
                    where,
                    f"there is no Service {call.host!r}",
                    "correct the address, or say in elsewhere.yaml who makes it",
                )
            elif not _may_leave(world, pod, call.port):
                yield Finding(
                    where,
                    f"no NetworkPolicy lets it out to {call.host}:{call.port}",
                    "allow egress to an ipBlock at that port",
                )
            continue
        ports = [port for port in at(service, ("spec", "ports")) or [] if port["port"] == call.port]
        if not ports:
            has = ", ".join(str(port["port"]) for port in at(service, ("spec", "ports")) or [])
            yield Finding(where, f"Service {call.host!r} has no port {call.port}", f"its ports are {has}")
            continue
        for target in world.chosen({"matchLabels": at(service, ("spec", "selector"))}, namespace_of(service)):
            number = target.port(ports[0].get("targetPort", call.port))
            if number is not None:
                yield from _passes(world, pod, target, number, where)


def _listens(world: World, pod: Pod, port: int) -> bool:
    return any(
        port in listening.values() for container in pod.containers for listening in (_listening(container, world),)
    )


def _passes(world: World, source: Pod, target: Pod, port: int, where: str, protocol: str = "TCP") -> Iterator[Finding]:
    """Both sides' policies let a connection through."""
    if not _allowed(world, source, target, port, protocol, "Egress"):
        yield Finding(
            where, f"no NetworkPolicy lets {source.where} out to {target.where} at {port}", "allow it in egress"
        )
    if not _allowed(world, target, source, port, protocol, "Ingress"):
        yield Finding(
            where, f"no NetworkPolicy lets {source.where} in to {target.where} at {port}", "allow it in ingress"
        )


def _allowed(world: World, held: Pod, other: Pod, port: int, protocol: str, way: str) -> bool:
    """Whether the policies about one pod let it speak with another; the port is of whichever takes the call."""
    field, peers = way.lower(), "from" if way == "Ingress" else "to"
    about = [
        one for one in world.of("NetworkPolicy") if is_about(one, held) and way in one["spec"].get("policyTypes", [])
    ]
    if not about:
        return True
    target = held if way == "Ingress" else other
    for one in about:
        for rule in one["spec"].get(field) or []:
            named = rule.get("ports")
            at_port = not named or any(
                protocol == one_port.get("protocol", "TCP") and target.port(one_port["port"], protocol) == port
                for one_port in named
            )
            from_other = not rule.get(peers) or any(
                other in peers_of(world, peer, held.namespace) for peer in rule[peers]
            )
            if at_port and from_other:
                return True
    return False


def _may_leave(world: World, pod: Pod, port: int) -> bool:
    """Whether policies let a pod out of the cluster at a port."""
    return any(
        "ipBlock" in peer
        for one in world.of("NetworkPolicy")
        if is_about(one, pod)
        for rule in one["spec"].get("egress") or []
        if any(named["port"] == port for named in rule.get("ports") or [])
        for peer in rule.get("to") or []
    )


def names_are_asked(world: World) -> Iterator[Finding]:
    """Every pod may ask the cluster's DNS, by UDP and by TCP."""
    for dns in (pod for pod in world.all_pods if pod.labels.get("k8s-app") == "kube-dns"):
        for pod in world.all_pods:
            for protocol in ("UDP", "TCP"):
                if not _allowed(world, pod, dns, 53, protocol, "Egress"):
                    yield Finding(pod.where, f"may not ask for names ({protocol} 53)", "allow egress to kube-dns")


def metrics_arrive(world: World) -> Iterator[Finding]:
    """What a PodMonitor watches are pods with that port, and Prometheus may reach it."""
    watchers = [pod for pod in world.all_pods if pod.labels.get("app.kubernetes.io/name") == "prometheus"]
    for _, one in world.own("PodMonitor"):
        watched = world.chosen(one["spec"]["selector"], namespace_of(one))
        if not watched:
            yield Finding(called(one), "chooses nothing", "correct its selector")
        for endpoint in one["spec"]["podMetricsEndpoints"]:
            for pod in watched:
                number = pod.port(endpoint.get("port", ""))
                if number is None:
                    yield Finding(called(one), f"{pod.where} has no port {endpoint.get('port')!r}", ports_of(pod))
                    continue
                for watcher in watchers:
                    if not _allowed(world, pod, watcher, number, "TCP", "Ingress"):
                        yield Finding(
                            called(one),
                            f"no NetworkPolicy lets Prometheus in to {pod.where} at {number}",
                            "allow it in ingress",
                        )


def operators_arrive(world: World) -> Iterator[Finding]:
    """What others make talks to itself, and its operator to it: nodes of NATS, and instances of PostgreSQL."""
    for source, target, ports in CALLED_BY_OTHERS:
        for caller in (pod for pod in world.all_pods if matches({"matchLabels": source}, pod.labels)):
            for pod in (pod for pod in world.all_pods if matches({"matchLabels": target}, pod.labels)):
                for port in ports:
                    yield from _passes(world, caller, pod, port, caller.where)


def _listening(container: Container, world: World) -> dict[str, int]:
    """The ports at which a container's process takes calls from other pods, by the setting that says so."""
    process, settings = process_of(container), settings_of(container, world)
    if process is None or settings is None:
        return {}
    found = {}
    for name in process.listens:
        host, _, port = str(getattr(settings, name)).rpartition(":")
        if port:
            found[f"STEPLADDER_{name.upper()} at {host}"] = int(port)
    return found


def ports_are_listened_at(world: World) -> Iterator[Finding]:
    """A container's ports are those at which its process listens, for others than itself, and the other way round."""
    for container in world.containers:
        process = process_of(container)
        if process is None or process.name not in SERVICES:
            continue
        declared = {port["containerPort"] for port in container.ports}
        listening = _listening(container, world)
        for what, port in listening.items():
            here_only = what.endswith(("127.0.0.1", "localhost", "[::1]"))
            if here_only and port in declared:
                yield Finding(
                    container.where,
                    f"port {port} is reached in the pod only ({what})",
                    "listen at 0.0.0.0, or remove the port",
                )
            elif not here_only and port not in declared:
                yield Finding(
                    container.where, f"listens at {port} ({what}) and has no such port", "add it to its ports"
                )
        for port in declared - set(listening.values()):
            yield Finding(
                container.where, f"has port {port}, at which its process does not listen", f"it listens at {listening}"
            )


def front_door_is_listened_at(world: World) -> Iterator[Finding]:
    """The port that is open to everybody is the one at which Envoy listens, by what is printed for it beside it."""
    for container in world.containers:
        process, settings = process_of(container), settings_of(container, world)
        if process is None or settings is None or process.name != "envoy":
            continue
        if container.pod.port(FRONT_DOOR) != settings.public_port:
            wrong = f"Envoy listens at {settings.public_port}, which is not port {FRONT_DOOR!r}"
            yield Finding(container.where, wrong, ports_of(container.pod))


def certificates_name_hosts(world: World) -> Iterator[Finding]:
    """With TLS, whoever is called has a certificate that names the host by which the caller calls it."""
    for call in calls(world):
        service = service_at(world, call.host, call.pod.namespace)
        if not call.shown_ours or (service is None and call.host != "127.0.0.1"):
            continue
        selector = {"matchLabels": at(service, ("spec", "selector"))}
        for pod in world.chosen(selector, namespace_of(service)) if service else [call.pod]:
            names = _certified(world, pod)
            if not names & {call.host, f"*.{call.host.partition('.')[2]}"}:
                has = ", ".join(sorted(names)) or "none"
                yield Finding(call.where, f"{pod.where} has no certificate for {call.host!r}", f"it has one for {has}")


def _certified(world: World, pod: Pod) -> set[str]:
    """The names in the certificates whose Secrets a pod mounts."""
    secrets = {at(volume, ("secret", "secretName")) for volume in pod.spec.get("volumes") or []}
    return {
        str(name)
        for _, one in world.own("Certificate")
        if at(one, ("spec", "secretName")) in secrets and namespace_of(one) == pod.namespace
        for name in [*(at(one, ("spec", "dnsNames")) or []), *(at(one, ("spec", "ipAddresses")) or [])]
    }
