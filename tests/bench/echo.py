"""`python -m tests.bench.echo <address>`: a grpc.aio server that answers each call with what it was sent."""

import asyncio
import sys

import grpc
from grpc import aio

METHOD = "/echo/Echo"


async def _echo(request: bytes, _: aio.ServicerContext[bytes, bytes]) -> bytes:
    return request


async def _main(address: str) -> None:
    server = aio.server()
    handlers: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {"Echo": grpc.unary_unary_rpc_method_handler(_echo)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("echo", handlers),))
    server.add_insecure_port(address)
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1]))
