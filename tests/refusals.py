"""What a caller sees of a refused call."""

from collections.abc import Awaitable
from typing import Any, NamedTuple

import pytest
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo
from grpc import StatusCode, aio
from grpc_status import rpc_status


class Refusal(NamedTuple):
    """The sentence, and the fields that it is about."""

    message: str
    fields: list[str]


async def refused(call: Awaitable[Any], code: StatusCode, reason: str) -> Refusal:
    """The call is refused so; answers how."""
    with pytest.raises(aio.AioRpcError) as caught:
        await call
    error: Any = caught.value
    info, bad = ErrorInfo(), BadRequest()
    for detail in rpc_status.from_call(error).details:
        assert detail.Unpack(info) or detail.Unpack(bad)
    assert (error.code(), info.reason) == (code, reason), error.details()
    return Refusal(error.details(), [violation.field for violation in bad.field_violations])
