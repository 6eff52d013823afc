"""gRPC: a command that is safe to repeat, facts as a stream, and a refusal as a typed error.

After `make up`:

    TOKEN=$(.venv/bin/stepladder token bi --role directory --role facts) .venv/bin/python examples/python/grpc_calls.py
"""

import asyncio
import os

from stepladder.performance.v1.directory_pb2 import CreateTeamRequest, GetTeamRequest, Team
from stepladder.performance.v1.directory_pb2_grpc import DirectoryServiceStub
from stepladder.performance.v1.facts_pb2 import Fact, Reading, RecordFactsRequest, StreamFactsRequest
from stepladder.performance.v1.facts_pb2_grpc import FactsServiceStub
from stepladder_client import NotFound, connect

ADDRESS = os.environ.get("STEPLADDER", "127.0.0.1:8080")


async def main() -> None:
    async with connect(ADDRESS, os.environ["TOKEN"]) as channel:
        directory = DirectoryServiceStub(channel)
        # The same request_id answers the same however often it is sent: after a crash, send it again.
        request = CreateTeamRequest(request_id="make-night", team=Team(team_id="night", display_name="Night shift"))
        print("created:", (await directory.CreateTeam(request)).display_name)

        try:
            await directory.GetTeam(GetTeamRequest(team_id="nobody"))
        except NotFound as error:
            print("refused:", error.reason, "-", error.message)

        readings = [Reading(kpi_id="aht", numerators=[310, 290])]
        facts = [Fact(employee_id="nobody", date="2026-01-31", source="acd", readings=readings)]
        batches = (
            StreamFactsRequest(batch=RecordFactsRequest(request_id=f"acd-{number}", facts=facts)) for number in range(2)
        )
        print("batches:", (await FactsServiceStub(channel).StreamFacts(batches)).batches)


asyncio.run(main())
