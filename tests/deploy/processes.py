"""What containers start exists, gets the settings that it knows, and finds the files that these name."""

import importlib.util
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import PurePosixPath
from urllib.parse import urlsplit

import click
from pydantic import ValidationError

from libs.cli.main import main as command_line
from libs.common.settings import PREFIX, Settings
from tests.deploy.code import (
    COMMAND_LINE,
    argv,
    entrypoints,
    environment,
    files_in,
    module_of,
    process_of,
    settings_of,
    stage_of,
    validated,
)
from tests.deploy.finding import Finding
from tests.deploy.objects import ROOT, Object, at, name_of
from tests.deploy.world import Container, World

ACCOUNTS = ROOT / "deploy" / "nats" / "accounts.conf"
READ_BY_LIBRARIES = {"PGSSLMODE", "PGSSLROOTCERT"}
"""Variables that are no settings of ours: asyncpg's."""


def commands_exist(world: World) -> Iterator[Finding]:
    """Each image of ours is a stage of the Dockerfile, and starts a module, or a command with what that takes."""
    for container in world.containers:
        stage = stage_of(container)
        if stage is None:
            continue
        if stage not in entrypoints():
            yield Finding(
                container.where,
                f"no stage of the Dockerfile makes image {stage!r}",
                f"its stages are {', '.join(entrypoints())}",
            )
            continue
        words = argv(container)
        started = module_of(words)
        if started is None:
            yield Finding(
                container.where,
                f"starts {words}, which is nothing of ours",
                "start python -m <module> or stepladder <command>",
            )
            continue
        module, arguments = started
        wrong = _not_a_module(module) or (_not_a_command(arguments) if module == COMMAND_LINE else None)
        if wrong:
            yield Finding(container.where, wrong, "correct the command")
        elif process_of(container) is None:
            yield Finding(
                container.where,
                f"what {' '.join(words)} reaches is not known",
                "add it to PROCESSES (tests/deploy/code.py)",
            )


def _not_a_module(module: str) -> str | None:
    try:
        spec = importlib.util.find_spec(module)
        if spec is not None and spec.submodule_search_locations is not None:
            spec = importlib.util.find_spec(f"{module}.__main__")
    except ModuleNotFoundError:
        spec = None
    return None if spec else f"there is no module {module} to start"


def _not_a_command(arguments: list[str]) -> str | None:
    """What the command line itself would say to these words."""
    command: click.Command | None = command_line
    context = None
    try:
        while isinstance(command, click.Group):
            context = click.Context(command, parent=context, info_name=command.name)
            _, command, arguments = command.resolve_command(context, arguments or [""])
        if command is not None:
            command.make_context(command.name, arguments, parent=context).close()
    except click.UsageError as problem:
        return f"stepladder would refuse that: {problem.format_message()}"
    return None


def settings_are_known(world: World) -> Iterator[Finding]:
    """Variables of our processes are settings with values that these take; a name put into one stands before it."""
    for container in world.containers:
        if stage_of(container) is None:
            continue
        variables = environment(container, world)
        written = " ".join(str(one.get("value", "")) for one in container.env)
        for name, value in variables.items():
            missing = re.findall(r"\$\(([\w.-]+)\)", value)
            if missing:
                yield Finding(
                    f"{container.where}, {name}",
                    f"{', '.join(missing)} is not set before it",
                    "move it up, or correct the name",
                )
            if name.startswith(PREFIX):
                if name.removeprefix(PREFIX).lower() not in Settings.model_fields:
                    yield Finding(
                        f"{container.where}, {name}", "is no setting", "see libs/common/settings.py for their names"
                    )
            elif f"$({name})" not in written and name not in READ_BY_LIBRARIES:
                yield Finding(f"{container.where}, {name}", "nothing reads it", "remove it, or correct the name")
        try:
            validated(variables)
        except ValidationError as error:
            for problem in error.errors(include_input=False, include_url=False):
                yield Finding(
                    f"{container.where}, {PREFIX}{str(problem['loc'][0]).upper()}",
                    problem["msg"],
                    "give it a value that it takes",
                )


def needed_settings_are_set(world: World) -> Iterator[Finding]:
    """What a process connects to is said by its variables: the default is this machine, where a pod finds nothing."""
    for container in world.containers:
        process = process_of(container)
        if process is None:
            continue
        variables = environment(container, world)
        for name in (*process.calls, *process.listens):
            default = Settings.model_fields[name].default
            if f"{PREFIX}{name.upper()}" not in variables and isinstance(default, str) and default:
                yield Finding(
                    container.where, f"{PREFIX}{name.upper()} is not set", f"its default, {default}, is for one machine"
                )


def instances_have_names_of_their_own(world: World) -> Iterator[Finding]:
    """No two replicas have the same name: the follower's lease of one would be the other's."""
    for container in world.containers:
        for one in container.env:
            if (
                one["name"] == f"{PREFIX}INSTANCE"
                and at(one, ("valueFrom", "fieldRef", "fieldPath")) != "metadata.name"
            ):
                yield Finding(
                    container.where, "all replicas have the same STEPLADDER_INSTANCE", "leave it to the pod's host name"
                )


def files_are_mounted(world: World) -> Iterator[Finding]:
    """Files that settings and arguments name lie in a volume that is mounted there."""
    for container in world.containers:
        process, settings = process_of(container), settings_of(container, world)
        wanted: dict[str, str] = {}
        if process and settings:
            wanted = {f"{PREFIX}{name.upper()}": str(getattr(settings, name)) for name in process.files}
        if process and settings and {"database_url", "keys_url"} & set(process.calls):
            wanted["PGSSLROOTCERT"] = environment(container, world).get("PGSSLROOTCERT", "")
        if stage_of(container) is None:
            words = [str(word) for word in container.spec.get("args") or []]
            wanted |= {option: word for option, word in pairwise(words) if option.startswith("--config")}
        for what, path in wanted.items():
            if path and "://" not in path:
                yield from _is_there(world, container, what, PurePosixPath(path))


def _is_there(world: World, container: Container, what: str, path: PurePosixPath) -> Iterator[Finding]:
    mounts = dict(files_in(container, world))
    for mounted, names in mounts.items():
        if path.is_relative_to(mounted):
            inner = str(path.relative_to(mounted))
            if names is not None and inner not in names:
                yield Finding(
                    container.where,
                    f"{what}: {path} is not there",
                    f"{mounted} holds {', '.join(sorted(names)) or 'nothing'}",
                )
            return
    yield Finding(
        container.where,
        f"{what}: nothing is mounted where {path} would be",
        f"mounted are {', '.join(mounts) or 'none'}",
    )


def nats_knows_its_variables(world: World) -> Iterator[Finding]:
    """What nats-server's configuration takes from the environment is in its container's, and the other way round."""
    for container in world.containers:
        if str(container.spec.get("image", "")).partition(":")[0] != "nats":
            continue
        names = {volume.get("configMap", {}).get("name") for volume in container.pod.spec.get("volumes") or []}
        texts = [
            str(text)
            for one in world.of("ConfigMap")
            if at(one, ("metadata", "name")) in names
            for text in (one.get("data") or {}).values()
        ]
        wanted = set(re.findall(r"[:=]\s*\$([A-Z]\w*)", "\n".join(texts)))
        given = {one["name"] for one in container.env}
        for name in wanted - given:
            yield Finding(
                container.where, f"its configuration takes ${name} from the environment, which is not set", "set it"
            )
        for name in given - wanted:
            yield Finding(container.where, f"its configuration does not take ${name}", "remove it, or correct the name")


def stores_know_their_users(world: World) -> Iterator[Finding]:
    """Users in addresses are those of nats-server's accounts; users and databases those that CloudNativePG makes."""
    users = set(re.findall(r"(?m)^\s*user: *(\w+)", ACCOUNTS.read_text()))
    clusters = {name_of(one): one for one in world.of("Cluster")}
    for container in world.containers:
        process, settings = process_of(container), settings_of(container, world)
        if process is None or settings is None:
            continue
        for name in set(process.calls) & {"nats_url", "database_url", "keys_url"}:
            url = urlsplit(str(getattr(settings, name)))
            where = f"{container.where}, {PREFIX}{name.upper()}"
            if name == "nats_url":
                if url.username not in users:
                    yield Finding(
                        where, f"nats-server has no user {url.username!r}", f"its users are {', '.join(sorted(users))}"
                    )
                continue
            cluster = clusters.get(str(url.hostname).removesuffix("-rw"))
            if cluster is not None:
                made = _databases(world, cluster)
                if (url.path.strip("/"), url.username) not in made:
                    wrong = f"{name_of(cluster)} has no database {url.path.strip('/')!r} of {url.username!r}"
                    yield Finding(
                        where, wrong, f"it has {', '.join(f'{one} of {owner}' for one, owner in sorted(made))}"
                    )


def _databases(world: World, cluster: Object) -> set[tuple[str, str]]:
    """Each database of a cluster, and the role that owns it."""
    first = at(cluster, ("spec", "bootstrap", "initdb")) or {}
    roles = {str(one["name"]) for one in at(cluster, ("spec", "managed", "roles")) or [] if one.get("login")}
    databases = {(str(one["spec"]["name"]), str(one["spec"]["owner"])) for one in world.of("Database")}
    return {
        (str(first.get("database")), str(first.get("owner"))),
        *((name, owner) for name, owner in databases if owner in roles),
    }
