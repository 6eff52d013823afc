"""Who reaches whom: Services and ports, NetworkPolicies, addresses that processes call, names in certificates."""

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from urllib.parse import urlsplit

from libs.cli.embedded import SERVICES
from tests.deploy.code import process_of, settings_of
from tests.deploy.finding import Finding
from tests.deploy.objects import Object, at, called, find, name_of, namespace_of
from tests.deploy.world import Container, Pod, World, matches

CLUSTER_DOMAINS = ("", "svc", "svc.cluster.local")


@dataclass(frozen=True)
class Call:
    """A connection that a container opens: to a host and port as its settings write them."""

    caller: Container
    what: str
    """The variable, or whatever else says so."""
    host: str
    port: int


def services_find_pods(world: World) -> Iterator[Finding]:
    """Every Service chooses pods, and each of its ports is one of theirs."""
    for _, one in world.own("Service"):
        selector = at(one, ("spec", "selector"))
        pods = world.chosen({"matchLabels": selector}, namespace_of(one)) if selector else []
        if not pods:
            yield Finding(called(one), f"chooses no pods by {selector}", "give it labels that pods have")
        for port in at(one, ("spec", "ports")) or []:
            wanted = port.get("targetPort", port["port"])
            for pod in pods:
                if pod.port(wanted, port.get("protocol", "TCP")) is None:
                    yield Finding(
                        called(one), f"port {port['port']} leads to {wanted!r}, which {pod.where} has not", _ports(pod)
                    )


def _ports(pod: Pod) -> str:
    return "its ports are " + ", ".join(f"{name or '-'} {number}/{protocol}" for name, number, protocol in pod.ports())


def services_for_balancing_have_no_address(world: World) -> Iterator[Finding]:
    """A Service that is called by gRPC has no address of its own: its one connection would lead to one pod for ever."""
    for _, one in world.own("Service"):
        ports = at(one, ("spec", "ports")) or []
        if any(port.get("name") == "grpc" for port in ports) and at(one, ("spec", "clusterIP")) != "None":
            yield Finding(
                called(one), "has an address of its own, behind which gRPC finds one pod only", "set clusterIP: None"
            )


def ingresses_find_services(world: World) -> Iterator[Finding]:
    """Every Ingress leads to a port that a Service has."""
    for _, one in world.own("Ingress"):
        for place, backend in find(one, ("spec", "rules", "*", "http", "paths", "*", "backend", "service")):
            service = world.get("Service", backend["name"], namespace_of(one))
            ports = at(service, ("spec", "ports")) or [] if service else []
            wanted = backend.get("port", {})
            if not any(
                wanted.get("name") == port.get("name") or wanted.get("number") == port["port"] for port in ports
            ):
                yield Finding(
                    called(one), f"{'.'.join(map(str, place))}: no Service {backend} is there", "name a Service's port"
                )


def policies_choose_pods(world: World) -> Iterator[Finding]:
    """What a NetworkPolicy says is about pods that there are, and ports that they have."""
    for _, one in world.own("NetworkPolicy"):
        spec, namespace = one["spec"], namespace_of(one)
        pods = world.chosen(spec.get("podSelector"), namespace)
        if not pods:
            yield Finding(called(one), "chooses no pods", "correct its podSelector")
        for way, peers in (("ingress", "from"), ("egress", "to")):
            if spec.get(way) and way.capitalize() not in spec.get("policyTypes", []):
                yield Finding(
                    called(one), f"has rules of {way} and does not say so in policyTypes", f"add {way.capitalize()}"
                )
            for index, rule in enumerate(spec.get(way) or []):
                where = f"{called(one)}, {way} {index}"
                for peer in rule.get(peers) or []:
                    yield from _peer_is_known(world, where, peer, namespace)
                others = [pod for peer in rule.get(peers) or [] for pod in _peers(world, peer, namespace)]
                outside = way == "egress" and any("ipBlock" in peer for peer in rule.get(peers) or [])
                for port in rule.get("ports") or []:
                    having = pods if way == "ingress" else others
                    if not outside and not any(pod.port(port["port"], port.get("protocol", "TCP")) for pod in having):
                        yield Finding(
                            where, f"port {port['port']!r} is none of the pods that it is about", "correct the port"
                        )


def _peer_is_known(world: World, where: str, peer: Object, namespace: str) -> Iterator[Finding]:
    if "ipBlock" in peer:
        block = peer["ipBlock"]
        try:
            whole = ip_network(block["cidr"])
            wrong = [one for one in block.get("except") or [] if not ip_network(one).subnet_of(whole)]  # type: ignore[arg-type]  # of one version, or TypeError
        except (ValueError, TypeError) as problem:
            yield Finding(where, str(problem), "write a network such as 10.1.0.0/16")
        else:
            for one in wrong:
                yield Finding(where, f"{one} is no part of {block['cidr']}", "take parts of the network itself")
    elif not _peers(world, peer, namespace):
        yield Finding(
            where, f"chooses no pods by {peer}", "correct its selector, or say in elsewhere.yaml what is there"
        )


def _peers(world: World, peer: Object, namespace: str) -> list[Pod]:
    """The pods that one peer of a rule stands for."""
    selector = peer.get("podSelector", {})
    if "ipBlock" in peer:
        return []
    if "namespaceSelector" not in peer:
        return world.chosen(selector, namespace)
    named = {
        name_of(one)
        for one in world.of("Namespace")
        if matches(
            peer["namespaceSelector"],
            {"kubernetes.io/metadata.name": name_of(one), **(at(one, ("metadata", "labels")) or {})},
        )
    }
    return [pod for pod in world.all_pods if pod.namespace in named and matches(selector, pod.labels)]


def nothing_is_open(world: World) -> Iterator[Finding]:
    """Every pod is closed both ways but for what policies name; only the front door's port is open to all."""
    policies = [one for _, one in world.own("NetworkPolicy")]
    for pod in world.pods:
        for way in ("Ingress", "Egress"):
            held = [one for one in policies if way in one["spec"].get("policyTypes", []) and _is_about(one, pod)]
            if not held:
                yield Finding(
                    pod.where,
                    f"no NetworkPolicy closes its {way.lower()}",
                    "let one with an empty podSelector deny everything",
                )
    for one in policies:
        for way, peers in (("ingress", "from"), ("egress", "to")):
            for index, rule in enumerate(one["spec"].get(way) or []):
                where = f"{called(one)}, {way} {index}"
                if not rule.get("ports"):
                    yield Finding(where, "allows every port", "name the ports")
                if not rule.get(peers) and not (
                    way == "ingress" and {port["port"] for port in rule.get("ports") or []} == {"public"}
                ):
                    yield Finding(
                        where, f"allows everybody as `{peers}`", "name who it is; only port `public` is for all"
                    )
                for peer in rule.get(peers) or []:
                    if peer == {"podSelector": {}} or peer.get("namespaceSelector") == {} or not peer:
                        yield Finding(where, "allows every pod there is", "choose pods by their labels")


def _is_about(policy: Object, pod: Pod) -> bool:
    return namespace_of(policy) == pod.namespace and matches(policy["spec"].get("podSelector"), pod.labels)


def calls(world: World) -> Iterator[Call]:
    """Every connection that processes of the manifests open, by their settings and what the code does with these."""
    for container in world.containers:
        process = process_of(container)
        settings = settings_of(container, world)
        if process is None or settings is None:
            continue
        for name in process.calls:
            address = str(getattr(settings, name))
            url = urlsplit(address if "://" in address else f"//{address}")
            if url.hostname and url.scheme != "sqlite+aiosqlite":
                port = url.port or {"https": 443, "http": 80}.get(url.scheme, 0)
                yield Call(container, f"STEPLADDER_{name.upper()}", url.hostname, port)


def _service(world: World, host: str, namespace: str) -> Object | None:
    """The Service that a name in the cluster's DNS stands for."""
    name, *rest = host.split(".")
    if not rest:
        return world.get("Service", name, namespace)
    if ".".join(rest[1:]) in CLUSTER_DOMAINS:
        return world.get("Service", name, rest[0])
    return None


def _is_outside(host: str) -> bool:
    """Whether a host is none of the cluster's."""
    try:
        return not ip_address(host).is_loopback
    except ValueError:
        return len(host.split(".")) > 1 and not host.endswith((".svc", ".svc.cluster.local"))


def calls_arrive(world: World) -> Iterator[Finding]:
    """Whatever a process calls is a Service's port, and policies on both sides let the connection through."""
    for call in calls(world):
        where = f"{call.caller.where}, {call.what}"
        pod = call.caller.pod
        if call.host in ("127.0.0.1", "localhost", "::1"):
            if not any(number == call.port for _, number, _ in pod.ports()) and not _listens(world, pod, call.port):
                yield Finding(where, f"nothing in the pod listens at {call.port}", _ports(pod))
            continue
        service = _service(world, call.host, pod.namespace)
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
    yield from _names_are_asked(world)
    yield from _metrics_arrive(world)


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
        one for one in world.of("NetworkPolicy") if _is_about(one, held) and way in one["spec"].get("policyTypes", [])
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
                other in _peers(world, peer, held.namespace) for peer in rule[peers]
            )
            if at_port and from_other:
                return True
    return False


def _may_leave(world: World, pod: Pod, port: int) -> bool:
    """Whether policies let a pod out of the cluster at a port."""
    return any(
        "ipBlock" in peer
        for one in world.of("NetworkPolicy")
        if _is_about(one, pod)
        for rule in one["spec"].get("egress") or []
        if any(named["port"] == port for named in rule.get("ports") or [])
        for peer in rule.get("to") or []
    )


def _names_are_asked(world: World) -> Iterator[Finding]:
    """Every pod may ask the cluster's DNS, by UDP and by TCP."""
    for dns in (pod for pod in world.all_pods if pod.labels.get("k8s-app") == "kube-dns"):
        for pod in world.pods:
            for protocol in ("UDP", "TCP"):
                if not _allowed(world, pod, dns, 53, protocol, "Egress"):
                    yield Finding(pod.where, f"may not ask for names ({protocol} 53)", "allow egress to kube-dns")


def _metrics_arrive(world: World) -> Iterator[Finding]:
    """What a PodMonitor watches are pods with that port, and Prometheus may reach it."""
    watchers = [pod for pod in world.all_pods if pod.labels.get("app.kubernetes.io/name") == "prometheus"]
    for _, one in world.own("PodMonitor", "ServiceMonitor"):
        watched = _watched(world, one)
        if not watched:
            yield Finding(called(one), "chooses nothing", "correct its selector")
        for endpoint in [*(at(one, ("spec", "podMetricsEndpoints")) or []), *(at(one, ("spec", "endpoints")) or [])]:
            for pod in watched:
                number = pod.port(endpoint.get("port", ""))
                if number is None:
                    yield Finding(called(one), f"{pod.where} has no port {endpoint.get('port')!r}", _ports(pod))
                    continue
                for watcher in watchers:
                    if not _allowed(world, pod, watcher, number, "TCP", "Ingress"):
                        yield Finding(
                            called(one),
                            f"no NetworkPolicy lets Prometheus in to {pod.where} at {number}",
                            "allow it in ingress",
                        )


def _watched(world: World, monitor: Object) -> list[Pod]:
    selector = at(monitor, ("spec", "selector"))
    if monitor["kind"] == "PodMonitor":
        return world.chosen(selector, namespace_of(monitor))
    return [
        pod
        for one in world.of("Service")
        if namespace_of(one) == namespace_of(monitor) and matches(selector, at(one, ("metadata", "labels")) or {})
        for pod in world.chosen({"matchLabels": at(one, ("spec", "selector"))}, namespace_of(one))
    ]


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


def certificates_name_hosts(world: World) -> Iterator[Finding]:
    """With TLS, whoever is called has a certificate that names the host by which the caller calls it."""
    for call in calls(world):
        settings = settings_of(call.caller, world)
        service = _service(world, call.host, call.caller.pod.namespace)
        if settings is None or not settings.tls_certificate or (service is None and call.host != "127.0.0.1"):
            continue
        if call.what.endswith(("DATABASE_URL", "KEYS_URL", "GATEWAY_HTTP_ADDRESS", "TOKEN_KEYS", "OTLP_ENDPOINT")):
            continue  # PostgreSQL's is its operator's; SCIM has none; the others are not shown ours
        pods = (
            world.chosen({"matchLabels": at(service, ("spec", "selector"))}, namespace_of(service))
            if service
            else [call.caller.pod]
        )
        for pod in pods:
            names = _certified(world, pod)
            if names and call.host not in names:
                wrong = f"{pod.where} has no certificate for {call.host!r}"
                yield Finding(
                    f"{call.caller.where}, {call.what}", wrong, f"add it to its dnsNames: {', '.join(sorted(names))}"
                )


def _certified(world: World, pod: Pod) -> set[str]:
    """The names in the certificates whose Secrets a pod mounts."""
    secrets = {at(volume, ("secret", "secretName")) for volume in pod.spec.get("volumes") or []}
    return {
        str(name)
        for _, one in world.own("Certificate")
        if at(one, ("spec", "secretName")) in secrets and namespace_of(one) == pod.namespace
        for name in [*(at(one, ("spec", "dnsNames")) or []), *(at(one, ("spec", "ipAddresses")) or [])]
    }
