"""What the code knows of the processes that manifests start: commands, settings, connections, ports and files."""

import asyncio
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from pydantic import ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from libs.cli.embedded import SERVICES
from libs.common.server import probed
from libs.common.settings import PREFIX, Settings
from tests.deploy.images import DOCKERFILE, stages
from tests.deploy.objects import at
from tests.deploy.world import Container, World

COMMAND_LINE = "libs.cli.main"
_SECRET = "secret"  # noqa: S105 - stands for what only the cluster knows

_STORES = ("nats_url", "nats_monitor_url", "database_url", "keys_url")
_TLS = ("tls_certificate", "tls_key", "tls_authority")
_LISTENS = ("health_address", "metrics_address")
_BEHIND = ("performance_address", "coaching_address", "promotion_address")


@dataclass(frozen=True)
class Process:
    """What one of our processes does with its settings, by their names."""

    name: str
    calls: tuple[str, ...] = ()
    listens: tuple[str, ...] = ()
    files: tuple[str, ...] = _TLS


PROCESSES = {
    **{
        name: Process(
            name,
            (*_STORES, "token_keys", "otlp_endpoint"),
            (f"{name}_address", *_LISTENS),
            ("kek_file", "token_keys", *_TLS),
        )
        for name in SERVICES[:3]
    },
    "gateway": Process(
        "gateway",
        (*_STORES, "token_keys", "otlp_endpoint", *_BEHIND),
        ("gateway_address", "gateway_http_address", *_LISTENS),
        ("kek_file", "token_keys", *_TLS),
    ),
    # It prints what Envoy does, which shares its pod: calls whatever is behind it, and asks the issuer for keys.
    "envoy": Process(
        "envoy", (*_BEHIND, "gateway_address", "gateway_http_address", "token_keys"), ("public_port",), ("token_keys",)
    ),
    "migrate": Process("migrate", ("nats_url", "database_url", "keys_url")),
    **{f"migrate {name}": Process(f"migrate {name}", ("database_url",)) for name in SERVICES},
    "migrate keys": Process("migrate keys", ("keys_url",)),
    "migrate streams": Process("migrate streams", ("nats_url",)),
    "backup": Process("backup", ("nats_url", "database_url", "keys_url")),
}
"""By the service's name, or by the command of `stepladder` with its first argument where that decides."""


class _Written(Settings):
    """Settings by what is written in a manifest, and not by this process's own environment."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - as it is called
        init_settings: PydanticBaseSettingsSource,
        *_: PydanticBaseSettingsSource,
        **__: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings,)


def environment(container: Container, world: World) -> dict[str, str]:
    """The variables that a container's process gets; `secret` stands for what is not in the manifests."""
    found: dict[str, str] = {}
    for source in container.spec.get("envFrom") or []:
        holder = at(source, ("configMapRef", "name"))
        config = world.get("ConfigMap", str(holder), container.pod.namespace) if holder else None
        found |= {
            source.get("prefix", "") + key: str(value) for key, value in ((config or {}).get("data") or {}).items()
        }
    for one in container.env:
        value = one.get("value")
        if value is None:
            value = _referred(one.get("valueFrom") or {}, container, world)
        # As Kubernetes does it: what stands before this one is put in, anything else stays as it is.
        found[one["name"]] = re.sub(r"\$\(([\w.-]+)\)", lambda name: found.get(name[1], name[0]), str(value))
    return found


def _referred(source: dict[str, Any], container: Container, world: World) -> str:
    reference = source.get("configMapKeyRef")
    config = world.get("ConfigMap", reference["name"], container.pod.namespace) if reference else None
    return str((config.get("data") or {}).get(reference["key"], "")) if config and reference else _SECRET


def settings_of(container: Container, world: World) -> Settings | None:
    """The settings that a container's process would have; None where it would not start by them."""
    try:
        return validated(environment(container, world))
    except ValidationError:
        return None


def validated(variables: dict[str, str]) -> Settings:
    """Settings by an environment. Raises ValidationError."""
    known = {name.removeprefix(PREFIX).lower(): value for name, value in variables.items() if name.startswith(PREFIX)}
    return _Written(**{name: value for name, value in known.items() if name in Settings.model_fields})  # type: ignore[arg-type]  # text, as in the environment


@cache
def health_services() -> frozenset[str]:
    """The names for which the health service of a process answers from its first moment."""

    async def asked() -> frozenset[str]:
        async with probed(_Written()) as checks:
            return frozenset(checks._server_status)  # type: ignore[attr-defined]  # the stubs leave out what is private

    return asyncio.run(asked())


@cache
def entrypoints() -> dict[str, list[str]]:
    """What each stage of the Dockerfile starts."""
    return {name: stage.entrypoint for name, stage in stages(DOCKERFILE.read_text()).items()}


def stage_of(container: Container) -> str | None:
    """The stage of our Dockerfile that a container's image is made of; None for images of others."""
    name = str(container.spec.get("image", "")).partition("@")[0].rpartition("/")[2].partition(":")[0]
    ours = str(container.spec.get("image", "")).find("stepladder/") >= 0
    return name if ours else None


def argv(container: Container) -> list[str]:
    """What a container of ours starts, as words; of a shell's line the Python command in it."""
    spec, stage = container.spec, stage_of(container)
    if stage is None:
        return []
    words = [str(word) for word in (spec.get("command") or entrypoints().get(stage, [])) + (spec.get("args") or [])]
    if words[:2] in (["sh", "-c"], ["/bin/sh", "-c"]) and len(words) > 2:
        inner = list(shlex.shlex(words[2], posix=True, punctuation_chars=True))
        start = next(
            (index for index, word in enumerate(inner) if word.rpartition("/")[2] in ("python", "stepladder")),
            len(inner),
        )
        words = []
        for word in inner[start:]:
            if word in (">", "|", "&&", ";", "||", "&"):
                break
            words.append(word)
    return words


def module_of(words: list[str]) -> tuple[str, list[str]] | None:
    """The Python module that words start, and what it is told; None where they start something else."""
    program = words[0].rpartition("/")[2] if words else ""
    if program in ("python", "python3") and words[1:2] == ["-m"] and len(words) > 2:
        return words[2], words[3:]
    return (COMMAND_LINE, words[1:]) if program == "stepladder" else None


def process_of(container: Container) -> Process | None:
    """Which of our processes a container runs; None where it runs another's, or what is not known."""
    started = module_of(argv(container))
    if started is None:
        return None
    module, arguments = started
    if module != COMMAND_LINE:
        return PROCESSES.get(module.removeprefix("services."))
    return PROCESSES.get(" ".join(arguments[:2])) or PROCESSES.get(" ".join(arguments[:1]))


def files_in(container: Container, world: World) -> Iterator[tuple[str, set[str] | None]]:
    """Where each volume is mounted in a container, and what lies there; None for what is not in the manifests."""
    volumes = {str(one["name"]): one for one in container.pod.spec.get("volumes") or []}
    for mount in container.spec.get("volumeMounts") or []:
        names: set[str] | None = None
        for source in _sources(volumes.get(mount["name"], {})):
            kind, name = (
                ("Secret", source.get("secretName") or source.get("name"))
                if "_secret" in source
                else ("ConfigMap", source.get("name"))
            )
            holder = world.get(kind, str(name), container.pod.namespace) or {}
            keys = {key for part in ("data", "stringData", "binaryData") for key in holder.get(part) or {}}
            items = source.get("items")
            names = (names or set()) | ({str(item["path"]) for item in items} if items else keys)
        yield str(mount["mountPath"]), names


def _sources(volume: dict[str, Any]) -> list[dict[str, Any]]:
    """The ConfigMaps and Secrets that a volume holds."""
    parts = [volume, *(at(volume, ("projected", "sources")) or [])]
    return [
        *({**part["secret"], "_secret": True} for part in parts if "secret" in part),
        *(part["configMap"] for part in parts if "configMap" in part),
    ]
