"""Calls of any gRPC method by its name, with JSON in and out."""

import importlib
from pathlib import Path

from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.json_format import MessageToJson, Parse, ParseError
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from grpc import aio

from libs.common.settings import load_settings
from libs.common.tls import channel_credentials
from stepladder_client import connect

DESCRIPTORS = Path(__file__).parents[1] / "gen" / "descriptors.binpb"


class WrongCall(Exception):  # noqa: N818 - states what is the case
    """There is no such method, or the request does not fit it."""


def front_door(token: str) -> aio.Channel:
    """A channel to the front door on this machine."""
    settings = load_settings()
    return connect(f"127.0.0.1:{settings.public_port}", token, credentials=channel_credentials(settings))


async def call(name: str, text: str, token: str) -> None:
    """Calls `Service.Method` at the front door and prints what it answers, each message of a stream as it comes."""
    method = _method(name)
    if method.client_streaming:
        raise WrongCall(f"{name} takes a stream of requests, which this command cannot send")
    try:
        request = Parse(text, GetMessageClass(method.input_type)())
    except ParseError as error:
        raise WrongCall(f"the request is no JSON of a {method.input_type.full_name}: {error}") from None
    path = f"/{method.containing_service.full_name}/{method.name}"
    coding = (type(request).SerializeToString, GetMessageClass(method.output_type).FromString)
    async with front_door(token) as channel:
        if method.server_streaming:
            async for answer in channel.unary_stream(path, *coding)(request):
                _show(answer)
        else:
            _show(await channel.unary_unary(path, *coding)(request))


def _show(answer: Message) -> None:
    print(MessageToJson(answer, preserving_proto_field_name=True, ensure_ascii=False))


def _method(name: str) -> MethodDescriptor:
    """The method of that name in the contracts; the package may be left out."""
    methods: dict[str, MethodDescriptor] = {}
    for file in FileDescriptorSet.FromString(DESCRIPTORS.read_bytes()).file:
        if file.service:
            module = importlib.import_module(file.name.removesuffix(".proto").replace("/", ".") + "_pb2")
            for service in module.DESCRIPTOR.services_by_name.values():
                methods |= {f"{service.full_name}.{method.name}": method for method in service.methods}
    found = [method for full_name, method in methods.items() if f".{full_name}".endswith(f".{name}")]
    if len(found) != 1:
        known = "\n  ".join(sorted(methods))
        raise WrongCall(f"there is no one method {name}; there are\n  {known}")
    return found[0]
