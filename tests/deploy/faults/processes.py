"""Faults of what containers start and by which settings."""

from collections.abc import Iterator

from tests.deploy import processes, queries
from tests.deploy.faults.planting import GONE, Change, Fault, ours, within, within_containers, within_pods
from tests.deploy.world import World


def image_of_no_stage(world: World) -> Iterator[Change]:
    for container in ours(world):
        image = str(container.spec["image"])
        yield (*container.place, "image"), image.replace(":", "s:")


def command_misspelt(world: World) -> Iterator[Change]:
    for container in ours(world):
        if container.spec.get("args"):
            yield (*container.place, "args", 0), f"{container.spec['args'][0]}x"
        elif container.spec.get("command"):
            yield (
                (*container.place, "command", -1),
                container.spec["command"][-1]
                .replace("stepladder ", "stepladder x")
                .replace("libs.cli.main ", "libs.cli.main x"),
            )


def module_not_there(world: World) -> Iterator[Change]:
    for container in ours(world):
        yield (*container.place, "command"), ["python", "-m", "services.perfomance"]


def nothing_of_ours_started(world: World) -> Iterator[Change]:
    for container in ours(world):
        yield (*container.place, "command"), ["sleep", "60"]


def command_of_which_nothing_is_known(world: World) -> Iterator[Change]:
    for container in ours(world):
        if container.spec.get("args"):
            yield (*container.place, "args"), ["status"]
        else:
            yield (*container.place, "command"), ["stepladder", "parked", "list"]


def setting_misspelt(world: World) -> Iterator[Change]:
    for place, data in within(world, "ConfigMap", "data"):
        for name, value in data.items():
            if name.startswith("STEPLADDER_"):
                yield (*place, f"{name}S"), value
    for container in ours(world):
        for index, one in enumerate(container.env):
            if one["name"].startswith("STEPLADDER_"):
                yield (*container.place, "env", index, "name"), f"{one['name']}S"


def value_that_no_setting_takes(world: World) -> Iterator[Change]:
    for name in (
        "REPLICAS",
        "SHUTDOWN_GRACE_SECONDS",
        "SITE_TIME_ZONE",
        "PERFORMANCE_ADDRESS",
        "NATS_MONITOR_URL",
        "TLS_KEY",
    ):
        for place, _ in within(world, "ConfigMap", f"data.STEPLADDER_{name}"):
            yield place, "" if name == "TLS_KEY" else "2 or so"
    for container in ours(world):
        for index, one in enumerate(container.env):
            if one["name"].endswith("_URL"):
                yield (*container.place, "env", index, "value"), "somewhere"


def password_put_in_before_it_is_set(world: World) -> Iterator[Change]:
    for container in ours(world):
        if any("$(" in str(one.get("value")) for one in container.env):
            yield (*container.place, "env"), sorted(container.env, key=lambda one: "$(" not in str(one.get("value")))


def variable_nobody_reads(world: World) -> Iterator[Change]:
    for container in ours(world):
        yield (
            (*container.place, "env", len(container.env)) if container.env else (*container.place, "env"),
            ({"name": "LOG_LEVEL", "value": "debug"} if container.env else [{"name": "LOG_LEVEL", "value": "debug"}]),
        )


def database_not_said(world: World) -> Iterator[Change]:
    for container in ours(world):
        for index, one in enumerate(container.env):
            if one["name"].endswith("_URL"):
                yield (*container.place, "env", index), GONE


def one_name_for_all_replicas(world: World) -> Iterator[Change]:
    for container in ours(world):
        if container.ports:
            yield (
                (*container.place, "env", len(container.env)),
                {"name": "STEPLADDER_INSTANCE", "value": "performance-0"},
            )


def another_user_of_the_log(world: World) -> Iterator[Change]:
    for place, value in within_containers(world, "env.*.value"):
        if "://" in str(value) and "@nats:" in value:
            yield place, value.replace("://", "://x")


def another_database(world: World) -> Iterator[Change]:
    if any(world.own("Cluster")):
        for place, value in within_containers(world, "env.*.value"):
            if str(value).startswith("postgresql"):
                yield place, f"{value}x"


def file_of_another_name(world: World) -> Iterator[Change]:
    for name in ("STEPLADDER_KEK_FILE", "STEPLADDER_TLS_KEY", "PGSSLROOTCERT"):
        for place, value in within(world, "ConfigMap", f"data.{name}"):
            yield place, f"{value}x"


def file_nobody_mounts(world: World) -> Iterator[Change]:
    for name in ("STEPLADDER_KEK_FILE", "STEPLADDER_TLS_KEY", "PGSSLROOTCERT"):
        for place, _ in within(world, "ConfigMap", f"data.{name}"):
            yield place, "/somewhere/else"


def mounted_elsewhere(world: World) -> Iterator[Change]:
    needed = {"kek", "tls", "postgres-ca"}
    for container in ours(world):
        if container.pod.owner["kind"] != "Deployment" or container.starts_first:
            continue
        for index, mount in enumerate(container.spec.get("volumeMounts") or []):
            if mount["name"] in needed:
                yield (*container.place, "volumeMounts", index, "mountPath"), "/somewhere/else"


def only_another_key_is_mounted(world: World) -> Iterator[Change]:
    for place, items in within_pods(world, "volumes.*.secret.items"):
        yield (*place, 0, "path"), f"{items[0]['path']}-x"


def password_of_nats_server_forgotten(world: World) -> Iterator[Change]:
    for place, name in within_containers(world, "env.*.name"):
        if str(name).endswith("_NATS_PASSWORD"):
            yield place[:-1], GONE


def metric_nobody_tells(world: World) -> Iterator[Change]:
    for place, query in within(world, "ScaledObject", "spec.triggers.*.metadata.query"):
        yield place, query.replace("stepladder_", "stepladder_s")


def prometheus_elsewhere(world: World) -> Iterator[Change]:
    for place, _ in within(world, "ScaledObject", "spec.triggers.*.metadata.serverAddress"):
        yield place, "http://prometheus-operated.monitoring.svc:9091"
        yield place, "http://prometheus.monitoring.svc:9090"


def metric_of_somebody_else(world: World) -> Iterator[Change]:
    for place, query in within(world, "ScaledObject", "spec.triggers.*.metadata.query"):
        yield place, query.replace('service="', 'service="x')
        yield place, query.replace('namespace="', 'namespace="x')


def password_nats_server_does_not_take(world: World) -> Iterator[Change]:
    for place, name in within_containers(world, "env.*.name"):
        if str(name).endswith("_NATS_PASSWORD"):
            yield place, f"{name}_OLD"


FAULTS = (
    Fault(image_of_no_stage, processes.commands_exist, "no stage of the Dockerfile"),
    Fault(command_misspelt, processes.commands_exist, "would refuse that"),
    Fault(module_not_there, processes.commands_exist, "there is no module"),
    Fault(nothing_of_ours_started, processes.commands_exist, "which is nothing of ours"),
    Fault(command_of_which_nothing_is_known, processes.commands_exist, "is not known"),
    Fault(setting_misspelt, processes.settings_are_known, "is no setting"),
    Fault(value_that_no_setting_takes, processes.settings_are_known, "give it a value that it takes"),
    Fault(password_put_in_before_it_is_set, processes.settings_are_known, "is not set before it"),
    Fault(variable_nobody_reads, processes.settings_are_known, "nothing reads it"),
    Fault(database_not_said, processes.needed_settings_are_set, "is not set"),
    Fault(one_name_for_all_replicas, processes.instances_have_names_of_their_own, "all replicas have the same"),
    Fault(another_user_of_the_log, processes.stores_know_their_users, "has no user"),
    Fault(another_database, processes.stores_know_their_users, "has no database"),
    Fault(file_of_another_name, processes.files_are_mounted, "is not there"),
    Fault(file_nobody_mounts, processes.files_are_mounted, "nothing is mounted where"),
    Fault(mounted_elsewhere, processes.files_are_mounted, "nothing is mounted where"),
    Fault(only_another_key_is_mounted, processes.files_are_mounted, "is not there"),
    Fault(metric_nobody_tells, queries.queries_name_metrics, "no process tells"),
    Fault(prometheus_elsewhere, queries.queries_name_metrics, "no Service is at"),
    Fault(metric_of_somebody_else, queries.queries_name_metrics, "is another"),
    Fault(password_nats_server_does_not_take, processes.nats_knows_its_variables, "does not take $"),
    Fault(password_of_nats_server_forgotten, processes.nats_knows_its_variables, "takes $"),
)
