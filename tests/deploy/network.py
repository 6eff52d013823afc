"""Services, Ingresses and NetworkPolicies are about pods and ports that there are, and nothing is open besides."""

from collections.abc import Iterator
from ipaddress import ip_network

from tests.deploy.finding import Finding
from tests.deploy.objects import Object, at, called, find, name_of, namespace_of
from tests.deploy.world import Pod, World, matches

FRONT_DOOR = "public"
"""The one port that is open to everybody."""


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
                        called(one),
                        f"port {port['port']} leads to {wanted!r}, which {pod.where} has not",
                        ports_of(pod),
                    )


def ports_of(pod: Pod) -> str:
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
                others = [pod for peer in rule.get(peers) or [] for pod in peers_of(world, peer, namespace)]
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
    elif not peers_of(world, peer, namespace):
        yield Finding(
            where, f"chooses no pods by {peer}", "correct its selector, or say in elsewhere.yaml what is there"
        )


def peers_of(world: World, peer: Object, namespace: str) -> list[Pod]:
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
            held = [one for one in policies if way in one["spec"].get("policyTypes", []) and is_about(one, pod)]
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
                    way == "ingress" and {port["port"] for port in rule.get("ports") or []} == {FRONT_DOOR}
                ):
                    yield Finding(
                        where, f"allows everybody as `{peers}`", "name who it is; only port `public` is for all"
                    )
                for peer in rule.get(peers) or []:
                    if peer == {"podSelector": {}} or peer.get("namespaceSelector") == {} or not peer:
                        yield Finding(where, "allows every pod there is", "choose pods by their labels")


def is_about(policy: Object, pod: Pod) -> bool:
    """Whether a NetworkPolicy holds for a pod."""
    return namespace_of(policy) == pod.namespace and matches(policy["spec"].get("podSelector"), pod.labels)
