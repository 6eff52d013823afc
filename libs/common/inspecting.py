"""Looks at nats-server and the streams: whether they are set up as the code demands (D4), and how full they are."""

import asyncio
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from http.client import HTTPException
from ssl import SSLContext
from typing import Any
from urllib.request import urlopen

from nats.aio.client import Client

from libs.common.jetstream import ask, is_refusal, stream_configuration
from libs.common.streams import STREAMS, NoAnswer, NoResponders


class WrongConfiguration(Exception):  # noqa: N818 - states what is the case
    """The server or a stream is not set up as the code demands; starting would risk acknowledged events."""


@dataclass(frozen=True, slots=True)
class StreamCondition:
    """How much a stream holds, and how many servers hold all of it now, its leader among them."""

    events: int
    bytes: int
    replicas_in_sync: int


@dataclass(frozen=True, slots=True)
class ServerCondition:
    """What one server stores, and the room that it may use."""

    name: str
    stored_bytes: int
    room_bytes: int


async def inspect_servers(monitor_url: str, tls: SSLContext | None = None) -> tuple[list[ServerCondition], list[str]]:
    """Asks the monitoring of a server or, with commas between them, of several; answers how those are that answer
    and have opened their store.

    Beside that, sentences on what is set up wrongly. Raises OSError when none answers, NoResponders while all that do
    have yet to open their store.
    """
    reading = (asyncio.to_thread(_read_varz, url, tls) for url in monitor_url.split(","))
    answers = await asyncio.gather(*reading, return_exceptions=True)
    conditions: list[ServerCondition] = []
    problems: list[str] = []
    told = [answer for answer in answers if not isinstance(answer, BaseException)]
    if not told:
        raise next(answer for answer in answers if isinstance(answer, BaseException))
    for varz in told:
        store, name = varz.get("jetstream", {}), str(varz.get("server_name"))
        config = store.get("config")
        if config is None:  # monitoring begins before; a server without a store would not answer for streams either
            continue
        if not config.get("sync_always"):
            problems.append(f"server {name} does not sync every write (sync_interval: always)")
        version = tuple(int(part) for part in varz.get("version", "0").split("-")[0].split("."))
        if version < (2, 15, 1):
            problems.append(f"nats-server is {varz.get('version')}, 2.15.1 or newer is needed")
        stored = store.get("stats", {}).get("storage", 0)
        conditions.append(ServerCondition(name, stored, config.get("max_storage", 0)))
    if not conditions:
        raise NoResponders
    return conditions, problems


async def inspect_streams(
    client: Client, replicas: int, streams: Iterable[str] = STREAMS
) -> tuple[dict[str, StreamCondition], list[str]]:
    """Asks the leaders of streams; answers those that are there by name, and sentences on what is set up wrongly.

    Raises NoAnswer or NoResponders when they do not answer, and WrongConfiguration when the user may not even ask.
    """
    conditions: dict[str, StreamCondition] = {}
    problems: list[str] = []
    for name in streams:
        try:
            answer = await ask(client, f"$JS.API.STREAM.INFO.{name}", {})
        except NoAnswer:
            if is_refusal(client.last_error):
                raise WrongConfiguration(f"{client.last_error}; see deploy/nats/accounts.conf") from None
            raise
        if "error" in answer:
            problems.append(f"stream {name}: {answer['error']['description']}")
            continue
        problems += _differences(name, answer["config"], replicas)
        conditions[name] = _condition(answer)
    return conditions, problems


async def check_configuration(
    client: Client, replicas: int, monitor_url: str, tls: SSLContext | None = None, streams: Iterable[str] = STREAMS
) -> None:
    """Raises WrongConfiguration unless acknowledged means on disk and nothing stored in these streams can vanish (D4).

    `monitor_url` is where the servers' monitoring tells of them. Raises otherwise what the inspections raise.
    """
    _, of_servers = await inspect_servers(monitor_url, tls)
    _, of_streams = await inspect_streams(client, replicas, streams)
    if problems := of_servers + of_streams:
        raise WrongConfiguration("; ".join(problems))


def _read_varz(monitor_url: str, tls: SSLContext | None) -> dict[str, Any]:
    try:
        with urlopen(f"{monitor_url}/varz", timeout=5, context=tls) as answer:  # noqa: S310 - the address is the operator's setting
            varz: dict[str, Any] = json.load(answer)
            return varz
    except HTTPException as broken:
        raise OSError(f"the answer of {monitor_url} broke off") from broken


def _differences(name: str, found: Mapping[str, Any], replicas: int) -> list[str]:
    defaults = {"allow_rollup_hdrs": False, "sealed": False, "no_ack": False, "max_age": 0}
    problems = [
        f"stream {name}: {key} is {found.get(key)!r}, must be {wanted!r}"
        for key, wanted in stream_configuration(name, replicas).items()
        if found.get(key, defaults.get(key)) != wanted
    ]
    if description := found.get("description"):
        problems.append(f"stream {name}: {description}")
    unwanted = ("mirror", "sources", "republish", "subject_transform", "allow_msg_ttl", "persist_mode")
    return problems + [f"stream {name}: {key} must not be set" for key in unwanted if found.get(key)]


def _condition(answer: Mapping[str, Any]) -> StreamCondition:
    others = answer.get("cluster", {}).get("replicas", [])
    in_sync = sum(1 for other in others if other.get("current") and not other.get("offline"))
    return StreamCondition(answer["state"]["messages"], answer["state"]["bytes"], 1 + in_sync)
