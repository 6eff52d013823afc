"""HomeService: the page that a browser sees first."""

import asyncio
from base64 import b64encode
from collections.abc import Mapping, Sequence
from datetime import timedelta
from hashlib import sha256
from html import escape
from pathlib import Path
from string import Template

from google.api.httpbody_pb2 import HttpBody
from grpc.aio import AioRpcError

from libs.common.eventsourcing import Context
from libs.common.operations import Operations
from libs.common.parking import RETRY
from services.gateway.operations_api import Elsewhere
from stepladder.common.v1.operations_pb2 import Follower, ListFollowersRequest
from stepladder.gateway.v1.home_pb2 import GetHomeRequest

ANSWER_SECONDS = 2.0
"""A service that takes longer to say how it is is shown as away."""

_PAGE = Template(Path(__file__).with_name("home.html").read_text())
_SCRIPT = Path(__file__).with_name("home.js").read_text()
_SCRIPT_HASH = f"sha256-{b64encode(sha256(_SCRIPT.encode()).digest()).decode()}"
"""The only script that a browser runs on the page (Content Security Policy, level 3, 2.3.1)."""
_STATES = {Follower.STATE_RUNNING: "running", Follower.STATE_STANDBY: "standby", Follower.STATE_STOPPED: "stopped"}


class HomeApi:
    """Implements stepladder.gateway.v1.HomeService; asks each service, by name, how its followers are."""

    def __init__(self, services: Mapping[str, Operations | Elsewhere], public_port: int) -> None:
        self._services = services
        self._public_port = public_port

    async def GetHome(self, _: GetHomeRequest, context: Context) -> HttpBody:
        standings = await asyncio.gather(
            *(_standing(name, service, context) for name, service in self._services.items())
        )
        page = _PAGE.substitute(
            services="\n".join(standings),
            address=f"localhost:{self._public_port}",
            month_ago=context.today - timedelta(days=30),
            yesterday=context.today - timedelta(days=1),
            today=context.today,
            script=_SCRIPT,
            script_hash=_SCRIPT_HASH,
        )
        return HttpBody(content_type="text/html; charset=utf-8", data=page.encode())


async def _standing(name: str, service: Operations | Elsewhere, context: Context) -> str:
    """A service's part of the page."""
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            answer = await service.ListFollowers(ListFollowersRequest(service=name), context)
    except (AioRpcError, TimeoutError, *RETRY):
        return f'<h3>{escape(name)} <span class="bad">away</span></h3>'
    return f"<h3>{escape(name)}</h3>\n{_table(answer.followers)}"


def _table(followers: Sequence[Follower]) -> str:
    rows = "\n".join(_row(follower) for follower in followers)
    return (
        f"<table>\n<tr><th>follower<th>state<th>behind<th>parked<th>last event<th>end of its log</tr>\n{rows}\n</table>"
    )


def _row(follower: Follower) -> str:
    state = _STATES.get(follower.state, "unknown")
    behind = f"{follower.lag:,} ({follower.lag_seconds:,.0f} s)" if follower.lag else "0"
    cells = [
        f"<td>{escape(follower.name)}",
        f'<td{_bad(state == "stopped")} data-name="state">{state}',
        f'<td data-name="behind">{behind}',
        f'<td{_bad(follower.parked_events > 0)} data-name="parked">{follower.parked_events:,}',
        f'<td data-name="last event">{f"{follower.position:,}" if follower.position else "none yet"}',
        f'<td data-name="end of its log">{follower.end:,}',
    ]
    error = f'\n<tr><td colspan="6" class="bad">{escape(follower.error)}</tr>' if follower.error else ""
    return f"<tr>{''.join(cells)}</tr>{error}"


def _bad(bad: bool) -> str:
    return ' class="bad"' if bad else ""
