"""The access matrix: every method of a contract, asked by every kind of caller, ends as the table of rules says."""

import asyncio
import importlib
import pkgutil
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any, NamedTuple

from google.api.annotations_pb2 import http
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.rpc.error_details_pb2 import ErrorInfo
from grpc import aio
from grpc_status import rpc_status

from libs.common.access import EVERYONE, ROLES, RULES, STANDING, SYSTEM
from tests.tokens import as_person, as_system

REFUSED = {
    ("UNAUTHENTICATED", "TOKEN_MISSING"),
    ("PERMISSION_DENIED", "NEED_TO_KNOW"),
    ("PERMISSION_DENIED", "NOT_FOR_PEOPLE"),
    ("PERMISSION_DENIED", "ROLE_MISSING"),
}

INVALID, FAULT = ("INVALID_ARGUMENT", "INVALID_FIELDS"), ("INTERNAL", "INTERNAL")
WATCHING_SECONDS = 0.5
"""So long a stream is listened to that may have nothing to tell those who are let on."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls, and what they are in what the requests are about; `elsewhere`: what they are besides, to others."""

    metadata: Sequence[tuple[str, str]]
    held: frozenset[str]
    elsewhere: frozenset[str] = frozenset()


def person(employee_id: str, *held: str, elsewhere: Sequence[str] = ("self",)) -> Caller:
    """Somebody who is what is `held`; whoever was ever employed is `self` elsewhere."""
    return Caller(as_person(employee_id), frozenset(held), frozenset(elsewhere))


OTHERS: Mapping[str, Caller] = {
    "no token": Caller((), frozenset()),
    **{f"{SYSTEM}{role}": Caller(as_system(role), frozenset({f"{SYSTEM}{role}"})) for role in sorted(ROLES)},
}
"""Callers who are no people."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request about what is there, and the same about what is not; equal where it is about nobody in particular.

    `only`: of the words of the method's row those that such a request is for; None: all.
    """

    there: Message
    none: Message
    only: frozenset[str] | None = None


class Ended(NamedTuple):
    """How a call ended: the code and the reason, the sentence, and what was answered."""

    how: tuple[str, str]
    message: str
    answer: Message


def methods(contract: ModuleType) -> Iterator[MethodDescriptor]:
    """Every method of a contract, such as `stepladder.coaching.v1`."""
    for module in pkgutil.iter_modules(contract.__path__):
        if module.name.endswith("_pb2"):
            file = importlib.import_module(f"{contract.__name__}.{module.name}").DESCRIPTOR
            for service in file.services_by_name.values():
                yield from service.methods


def path(method: MethodDescriptor) -> str:
    """A method's name as the table has it."""
    return f"{method.containing_service.full_name}/{method.name}"


def reads(method: MethodDescriptor) -> bool:
    """Whether it changes nothing."""
    return bool(method.GetOptions().Extensions[http].get)


def told(said: Any, ids: Mapping[str, str]) -> Any:
    """With the ids that are named in braces."""
    match said:
        case dict():
            return {key: told(value, ids) for key, value in said.items() if key != "only"}
        case list():
            return [told(value, ids) for value in said]
        case str():
            return said.format(**ids)
    return said


async def ask(
    channel: aio.Channel,
    method: MethodDescriptor,
    request: Message,
    metadata: Sequence[tuple[str, str]],
    seconds: float | None = None,
) -> Ended:
    """Calls with nothing but this metadata, and waits so long; of a stream of answers the first counts."""
    kind: Any = getattr(
        channel,
        f"{'stream' if method.client_streaming else 'unary'}_{'stream' if method.server_streaming else 'unary'}",
    )
    reply = GetMessageClass(method.output_type)
    call = kind(f"/{path(method)}", lambda message: message.SerializeToString(), reply.FromString)
    try:
        answer = call(_once(request) if method.client_streaming else request, metadata=metadata, timeout=seconds)
        told = await anext(aiter(answer)) if method.server_streaming else await answer
        answer.cancel()
    except aio.AioRpcError as error:
        info, refusal = ErrorInfo(), error
        status = rpc_status.from_call(refusal)  # type: ignore[arg-type] # an error of grpc.aio serves as well
        for detail in status.details if status else ():
            detail.Unpack(info)
        return Ended((error.code().name, info.reason), error.details() or "", reply())
    return Ended(("OK", ""), "", told)


async def _once(request: Message) -> AsyncIterator[Message]:
    yield request


def is_allowed(row: frozenset[str], caller: Caller, asked: Asked) -> bool:
    """Whether a method's row names what a caller is."""
    row &= row if asked.only is None else asked.only
    plain = {word for word in row if not word.startswith(SYSTEM)} <= STANDING
    held = caller.held | caller.elsewhere if plain or asked.there == asked.none else caller.held
    return EVERYONE in row or not row.isdisjoint(held)


async def differences(
    channel: aio.Channel,
    asked: Mapping[MethodDescriptor, Sequence[Asked]],
    callers: Mapping[str, Caller],
    rules: Mapping[str, frozenset[str]] = RULES,
) -> list[str]:
    """Where calls end otherwise than the table says; a line each.

    Whom a row names is not refused, though the call may fail otherwise. Everybody else is, in the same words whether
    there is what they asked about or not; or a list has nothing in it for them. `channel` adds no token.
    In this order: whoever is to be refused; then the others, what changes nothing first. Callers ask at once what
    changes nothing for them.
    """
    wrong = list[str]()
    allowed = list[tuple[MethodDescriptor, Asked, list[str]]]()
    for method, requests in asked.items():
        row = rules.get(path(method), frozenset())
        for one in requests:
            names = [name for name, caller in callers.items() if is_allowed(row, caller, one)]
            allowed.append((method, one, names))
            others = [name for name in callers if name not in names]
            found = await asyncio.gather(*(_wrongly_told(channel, method, one, callers[name]) for name in others))
            wrong += [
                f"{path(method)} {name}: {what}\n{one.there}" for name, what in zip(others, found, strict=True) if what
            ]
    for method, one, names in sorted(allowed, key=lambda each: not reads(each[0])):
        calls = [_wrongly_refused(channel, method, one, callers[name]) for name in names]
        found = await asyncio.gather(*calls) if reads(method) else [await call for call in calls]
        wrong += [
            f"{path(method)} {name}: {what}\n{one.there}" for name, what in zip(names, found, strict=True) if what
        ]
    return wrong


async def _wrongly_told(channel: aio.Channel, method: MethodDescriptor, one: Asked, caller: Caller) -> str:
    """What is wrong where a caller should be refused; empty: nothing."""
    ended = await ask(channel, method, one.there, caller.metadata)
    told_nothing = ended.how == ("OK", "") and reads(method) and not ended.answer.ListFields()
    if not (ended.how in REFUSED or told_nothing):
        return f"the words of its row do not name them, {ended.how}"
    if one.there != one.none and await ask(channel, method, one.none, caller.metadata) != ended:
        return "hears whether there is something"
    return ""


async def _wrongly_refused(channel: aio.Channel, method: MethodDescriptor, one: Asked, caller: Caller) -> str:
    """What is wrong where a caller should be let on; empty: nothing."""
    seconds = WATCHING_SECONDS if method.server_streaming else None
    ended = await ask(channel, method, one.there, caller.metadata, seconds)
    return f"the words of its row name them, {ended}" if ended.how in {*REFUSED, INVALID, FAULT} else ""
