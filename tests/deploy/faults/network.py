"""Faults of who reaches whom."""

from collections.abc import Iterator

from tests.deploy import connections, network
from tests.deploy.faults.planting import GONE, Change, Fault, added, within, within_containers
from tests.deploy.world import World


def service_of_no_pods(world: World) -> Iterator[Change]:
    for place, selector in within(world, "Service", "spec.selector"):
        for key, value in selector.items():
            yield (*place, key), f"{value}-x"


def port_of_no_container(world: World) -> Iterator[Change]:
    for place, port in within(world, "Service", "spec.ports.*.targetPort"):
        yield place, f"{port}-x"


def container_port_renamed(world: World) -> Iterator[Change]:
    wanted = {port for _, port in within(world, "Service", "spec.ports.*.targetPort")}
    for place, name in within_containers(world, "ports.*.name"):
        if name in wanted:
            yield place, f"{name}-x"


def one_address_for_all_pods(world: World) -> Iterator[Change]:
    for index, one in world.own("Service"):
        if any(port["name"] == "grpc" for port in one["spec"]["ports"]):
            yield (index, "spec", "clusterIP"), GONE


def policy_about_nobody(world: World) -> Iterator[Change]:
    for place, labels in within(world, "NetworkPolicy", "spec.podSelector.matchLabels"):
        for key, value in labels.items():
            yield (*place, key), f"{value}-x"


def policy_at_another_port(world: World) -> Iterator[Change]:
    for way, peers in (("ingress", "from"), ("egress", "to")):
        for place, rule in within(world, "NetworkPolicy", f"spec.{way}.*"):
            if way == "egress" and any("ipBlock" in peer for peer in rule.get(peers) or []):
                continue
            for index, _ in enumerate(rule.get("ports") or []):
                yield (*place, "ports", index, "port"), 9999


def policy_of_nobody(world: World) -> Iterator[Change]:
    for way, peers in (("ingress", "from"), ("egress", "to")):
        for selector in ("podSelector", "namespaceSelector"):
            for place, labels in within(world, "NetworkPolicy", f"spec.{way}.*.{peers}.*.{selector}.matchLabels"):
                for key, value in labels.items():
                    yield (*place, key), f"{value}-x"


def policy_that_forgets_its_type(world: World) -> Iterator[Change]:
    for index, one in world.own("NetworkPolicy"):
        for way in ("Ingress", "Egress"):
            if one["spec"].get(way.lower()):
                yield (index, "spec", "policyTypes"), [kind for kind in one["spec"]["policyTypes"] if kind != way]


def part_of_another_network(world: World) -> Iterator[Change]:
    for place, block in within(world, "NetworkPolicy", "spec.egress.*.to.*.ipBlock"):
        if block.get("except"):
            yield (*place, "cidr"), "2001:db8::/32" if ":" in block["cidr"] else "192.0.2.0/24"


def network_of_no_address(world: World) -> Iterator[Change]:
    for place, _ in within(world, "NetworkPolicy", "spec.egress.*.to.*.ipBlock.cidr"):
        yield place, "10.0.0.300/8"


def nothing_is_denied(world: World) -> Iterator[Change]:
    for index, one in world.own("NetworkPolicy"):
        if one["spec"].get("podSelector") == {} and not one["spec"].get("egress"):
            yield (index, "spec", "podSelector"), {"matchLabels": {"app.kubernetes.io/name": "nobody"}}


def open_to_everybody(world: World) -> Iterator[Change]:
    for way, peers in (("ingress", "from"), ("egress", "to")):
        for place, _ in within(world, "NetworkPolicy", f"spec.{way}.*.{peers}"):
            yield place, GONE


def open_to_every_pod(world: World) -> Iterator[Change]:
    for way, peers in (("ingress", "from"), ("egress", "to")):
        for place, _ in within(world, "NetworkPolicy", f"spec.{way}.*.{peers}.*.podSelector"):
            yield place[:-1], {"podSelector": {}}


def open_at_every_port(world: World) -> Iterator[Change]:
    for way in ("ingress", "egress"):
        for place, _ in within(world, "NetworkPolicy", f"spec.{way}.*.ports"):
            yield place, GONE


_CALLING_BY_THEMSELVES = (
    {"podSelector": {"matchLabels": {"app.kubernetes.io/component": "tools"}}},
    {"podSelector": {"matchLabels": {"cnpg.io/cluster": "postgres"}}},
    {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "cnpg-system"}}},
    {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}},
)
"""Whom no setting makes call: people with the command line, PostgreSQL, its operator, Prometheus."""


def called_and_not_let_through(world: World) -> Iterator[Change]:
    called = {"grpc", 4222, 8222, 5432}
    for way, peers in (("ingress", "from"), ("egress", "to")):
        for place, rule in within(world, "NetworkPolicy", f"spec.{way}.*"):
            if any(peer in _CALLING_BY_THEMSELVES for peer in rule.get(peers) or []):
                continue
            for index, port in enumerate(rule.get("ports") or []):
                if port["port"] in called:
                    yield (*place, "ports", index, "port"), 53


def nodes_kept_apart(world: World) -> Iterator[Change]:
    for way in ("ingress", "egress"):
        for place, port in within(world, "NetworkPolicy", f"spec.{way}.*.ports.*.port"):
            if port in (6222, 8000):
                yield place, 5432


def names_not_asked_for(world: World) -> Iterator[Change]:
    for place, port in within(world, "NetworkPolicy", "spec.egress.*.ports.*"):
        if port["port"] == 53:
            yield place, {**port, "port": 54}


def address_of_another_port(world: World) -> Iterator[Change]:
    for place, value in _addresses(world):
        host, _, port = value.rpartition(":")
        yield place, f"{host}:{int(port) + 1}"


def address_of_nobody(world: World) -> Iterator[Change]:
    for place, value in _addresses(world):
        host, _, port = value.rpartition(":")
        yield place, f"{host}x:{port}"


def _addresses(world: World) -> Iterator[tuple[tuple[str | int, ...], str]]:
    for name in ("PERFORMANCE_ADDRESS", "COACHING_ADDRESS", "PROMOTION_ADDRESS", "NATS_MONITOR_URL"):
        yield from within(world, "ConfigMap", f"data.STEPLADDER_{name}")


def metrics_at_no_port(world: World) -> Iterator[Change]:
    for place, port in within(world, "PodMonitor", "spec.podMetricsEndpoints.*.port"):
        yield place, f"{port}-x"


def metrics_of_nobody(world: World) -> Iterator[Change]:
    for place, labels in within(world, "PodMonitor", "spec.selector.matchLabels"):
        for key, value in labels.items():
            yield (*place, key), f"{value}-x"


def listens_at_a_port_it_has_not(world: World) -> Iterator[Change]:
    for place, value in within_containers(world, "env.*.value"):
        if value.startswith("0.0.0.0:"):
            yield place, "0.0.0.0:7999"
    for name in ("HEALTH_ADDRESS", "METRICS_ADDRESS"):
        for place, _ in within(world, "ConfigMap", f"data.STEPLADDER_{name}"):
            yield place, "0.0.0.0:7999"


def envoy_at_another_port(world: World) -> Iterator[Change]:
    for place, port in within_containers(world, "ports.*"):
        if port["name"] == network.FRONT_DOOR:
            yield (*place, "containerPort"), 8081


def listens_to_itself_only(world: World) -> Iterator[Change]:
    for place, value in within_containers(world, "env.*.value"):
        if value.startswith("0.0.0.0:"):
            yield place, f"127.0.0.1:{value.rpartition(':')[2]}"


def port_nobody_listens_at(world: World) -> Iterator[Change]:
    for place, ports in within_containers(world, "ports"):
        if any(port["name"] == "grpc" for port in ports):
            yield (*place, len(ports)), {"name": "nobody", "containerPort": 7999}


def certificate_for_another_host(world: World) -> Iterator[Change]:
    called = ("performance", "coaching", "promotion", "nats")
    for index, one in world.own("Certificate"):
        if one["metadata"]["name"] in called:
            yield (index, "spec", "dnsNames"), ["another"]


def ingress_to_no_port(world: World) -> Iterator[Change]:
    for _, one in world.own("Service"):
        backend = {"service": {"name": one["metadata"]["name"], "port": {"number": 7999}}}
        rule = {"http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}}
        metadata = {"name": "public", "namespace": one["metadata"]["namespace"]}
        ingress = {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "Ingress",
            "metadata": metadata,
            "spec": {"rules": [rule]},
        }
        yield added(world, ingress)


def nobody_listens_in_the_pod(world: World) -> Iterator[Change]:
    for place, value in within_containers(world, "env.*.value"):
        if value.startswith("127.0.0.1:"):
            yield place, "127.0.0.1:7999"


def issuer_of_tokens_not_reached(world: World) -> Iterator[Change]:
    for place, port in within(world, "NetworkPolicy", "spec.egress.*.ports.*.port"):
        whose = world.ours[int(place[0])]["spec"]["podSelector"].get("matchLabels")
        if port == 443 and whose == {"app.kubernetes.io/component": "service"}:
            yield place, 444


def prometheus_not_let_in(world: World) -> Iterator[Change]:
    for place, port in within(world, "NetworkPolicy", "spec.ingress.*.ports.*.port"):
        if port == "metrics":
            yield place, "health"


FAULTS = (
    Fault(ingress_to_no_port, network.ingresses_find_services, "is there"),
    Fault(nobody_listens_in_the_pod, connections.calls_arrive, "nothing in the pod listens"),
    Fault(issuer_of_tokens_not_reached, connections.calls_arrive, "lets it out to"),
    Fault(prometheus_not_let_in, connections.metrics_arrive, "lets Prometheus in"),
    Fault(service_of_no_pods, network.services_find_pods, "chooses no pods"),
    Fault(port_of_no_container, network.services_find_pods, "leads to"),
    Fault(container_port_renamed, network.services_find_pods, "leads to"),
    Fault(one_address_for_all_pods, network.services_for_balancing_have_no_address, "an address of its own"),
    Fault(policy_about_nobody, network.policies_choose_pods, "chooses no pods"),
    Fault(policy_at_another_port, network.policies_choose_pods, "is none of the pods"),
    Fault(policy_of_nobody, network.policies_choose_pods, "chooses no pods by"),
    Fault(policy_that_forgets_its_type, network.policies_choose_pods, "does not say so in policyTypes"),
    Fault(part_of_another_network, network.policies_choose_pods, "is no part of"),
    Fault(network_of_no_address, network.policies_choose_pods, "10.0.0.300/8"),
    Fault(nothing_is_denied, network.nothing_is_open, "no NetworkPolicy closes its"),
    Fault(open_to_everybody, network.nothing_is_open, "allows everybody"),
    Fault(open_to_every_pod, network.nothing_is_open, "allows every pod"),
    Fault(open_at_every_port, network.nothing_is_open, "allows every port"),
    Fault(called_and_not_let_through, connections.calls_arrive, "no NetworkPolicy lets"),
    Fault(nodes_kept_apart, connections.operators_arrive, "no NetworkPolicy lets"),
    Fault(names_not_asked_for, connections.names_are_asked, "may not ask for names"),
    Fault(address_of_another_port, connections.calls_arrive, "has no port"),
    Fault(address_of_nobody, connections.calls_arrive, "there is no Service"),
    Fault(metrics_at_no_port, connections.metrics_arrive, "has no port"),
    Fault(metrics_of_nobody, connections.metrics_arrive, "chooses nothing"),
    Fault(listens_at_a_port_it_has_not, connections.ports_are_listened_at, "and has no such port"),
    Fault(envoy_at_another_port, connections.front_door_is_listened_at, "Envoy listens at"),
    Fault(listens_to_itself_only, connections.ports_are_listened_at, "in the pod only"),
    Fault(port_nobody_listens_at, connections.ports_are_listened_at, "does not listen"),
    Fault(certificate_for_another_host, connections.certificates_name_hosts, "has no certificate for"),
)
