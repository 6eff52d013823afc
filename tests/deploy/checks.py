"""Every check there is, and the world that they look at."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.deploy import connections, network, processes, queries, references, shape, workloads
from tests.deploy.finding import Check, Finding
from tests.deploy.objects import render
from tests.deploy.others import given
from tests.deploy.world import World

CHECKS: Sequence[Check] = (
    shape.schemas_hold,
    shape.nothing_twice,
    shape.namespaces_exist,
    shape.labels_say_whose,
    references.names_exist,
    references.nothing_is_left_over,
    references.mounts_have_volumes,
    references.tokens_are_not_mounted,
    references.own_selectors,
    network.services_find_pods,
    network.services_for_balancing_have_no_address,
    network.ingresses_find_services,
    network.policies_choose_pods,
    network.nothing_is_open,
    connections.calls_arrive,
    connections.operators_arrive,
    connections.names_are_asked,
    connections.metrics_arrive,
    connections.ports_are_listened_at,
    connections.front_door_is_listened_at,
    connections.certificates_name_hosts,
    processes.commands_exist,
    processes.settings_are_known,
    processes.needed_settings_are_set,
    processes.instances_have_names_of_their_own,
    processes.files_are_mounted,
    processes.nats_knows_its_variables,
    processes.stores_know_their_users,
    queries.queries_name_metrics,
    workloads.probes_are_answered,
    workloads.resources_are_bounded,
    workloads.pods_are_restricted,
    workloads.images_are_pinned,
    workloads.jobs_end,
    workloads.scaling_has_one_master,
    workloads.disruptions_are_possible,
    workloads.pods_spread_among_their_own,
    workloads.pods_stop_in_time,
    workloads.secrets_are_not_in_manifests,
    workloads.kinds_of_workloads_are_known,
    workloads.headless_sets,
)


def world_of(overlay: Path) -> World:
    """An overlay as a cluster would hold it. Raises NoKubectl, and RuntimeError for what kustomize refuses."""
    return World(render(overlay), given(overlay.name))


def findings(world: World) -> Mapping[Check, list[Finding]]:
    """What every check finds."""
    return {check: list(dict.fromkeys(check(world))) for check in CHECKS}
