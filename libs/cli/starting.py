"""`stepladder up` and the import of call logs."""

import asyncio
import json
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from google.protobuf.message import Message
from grpc import aio

from libs.cli.call_mapping import load_mapping
from libs.cli.calling import front_door
from libs.cli.calls import CallFacts, read_calls
from libs.cli.credentials import issuer_of
from libs.cli.embedded import running
from libs.cli.importing import (
    PATIENCE_SECONDS,
    SetupRequest,
    import_centre,
    import_facts,
    lead_of,
    preset_requests,
    send_patiently,
    staff_requests,
)
from libs.cli.issuer import Issuer
from libs.cli.mapping import find_mapping
from libs.cli.progress import progress
from libs.cli.sample import SampleCentre
from libs.cli.sample_talks import Talk
from libs.common.auth import bearer
from libs.common.operations import troubles
from libs.common.server import until_stopped
from libs.common.settings import load_settings
from libs.common.streams import LOG
from stepladder.coaching.v1.session_pb2 import (
    AcknowledgeSessionRequest,
    FollowUpActionRequest,
    HoldSessionRequest,
    MissSessionRequest,
)
from stepladder.coaching.v1.session_pb2_grpc import SessionServiceStub
from stepladder.common.v1.operations_pb2 import Follower, ListFollowersRequest
from stepladder.common.v1.operations_pb2_grpc import OperationsServiceStub
from stepladder.performance.v1.check_in_pb2 import CheckIn, CreateCheckInRequest
from stepladder.performance.v1.check_in_pb2_grpc import CheckInServiceStub
from stepladder.performance.v1.detection_pb2 import ListDetectionsRequest
from stepladder.performance.v1.detection_pb2_grpc import DetectionServiceStub
from stepladder.performance.v1.facts_pb2 import Fact
from stepladder.performance.v1.facts_pb2_grpc import FactsServiceStub
from stepladder.performance.v1.record_pb2 import CreateRecordsRequest, Record
from stepladder.performance.v1.record_pb2_grpc import RecordServiceStub
from stepladder_client import connect

RECORDS_AT_ONCE = 500

BEGINNING_SECONDS = 10.0
"""Longest wait for followers to begin before `up` says how they are."""
SETTLING_SECONDS = 60.0
"""Longest wait for what follows from an import before `up` says what to try."""


async def up(folder: Path, calls: Path | None, mapping: str, centre: str, *, empty: bool, days_ahead: int = 0) -> int:
    """Runs the system until it is asked to stop, by a clock that is so many days ahead.

    Says what an operator has to look at, at the start and at the end; answers 1 when there is something at the end.
    """
    began = time.monotonic()
    settings = load_settings().model_copy(update={"days_ahead": days_ahead})
    address = f"127.0.0.1:{settings.public_port}"
    print("Starting nats-server, Envoy and four services ...", flush=True)
    async with running(folder, settings) as system:
        token = issuer_of(folder).system("up")
        found = await _troubles(address, token)
        print(f"{'Running' if found else 'Everything is healthy'} after {time.monotonic() - began:.1f} s.", flush=True)
        _print_troubles(found)
        if days_ahead:
            today = datetime.now(settings.site_time_zone) + timedelta(days=days_ahead)
            print(f"For trying only: the services take today for {today:%Y-%m-%d}, and record it so.", flush=True)
        watching = asyncio.create_task(system.watch(lambda line: print(line, flush=True)))
        stopping = asyncio.create_task(until_stopped())
        loading = asyncio.create_task(_load(folder, address, calls, mapping, centre, empty=empty))
        try:
            await asyncio.wait({stopping, loading}, return_when=asyncio.FIRST_COMPLETED)
            if loading.done():
                _print_what_to_try(settings.public_port, loading.result())
                await stopping
            _print_troubles(found := await _troubles(address, token))
            print("Stopping ...", flush=True)
        finally:
            for task in (loading, watching, stopping):
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
    print(f"Stopped. Everything is kept in {folder}; the next start on it goes on from there.")
    return int(bool(found))


async def _troubles(address: str, token: str) -> list[str]:
    """What an operator has to look at, once every follower has begun, or could not."""
    deadline = time.monotonic() + BEGINNING_SECONDS
    async with connect(address, token=token) as channel:
        stub = OperationsServiceStub(channel)
        while True:
            try:
                followers = (await stub.ListFollowers(ListFollowersRequest(service="-"))).followers
            except aio.AioRpcError as error:
                return [error.details() or error.code().name]
            begun = all(one.state != Follower.STATE_STANDBY for one in followers)
            if begun or time.monotonic() > deadline:
                return troubles(followers)
            await asyncio.sleep(0.1)


def _print_troubles(found: Sequence[str]) -> None:
    for trouble in found:
        print(f"  To be looked at: {trouble}", flush=True)
    if found:
        print("  What to do: docs/operate.md", flush=True)


async def import_calls(file: Path, mapping_name: str, centre: str, report: Path, token: str) -> None:
    """Imports a call log into a running system."""
    async with front_door(token) as channel:
        await _import_calls(channel, file, mapping_name, centre, report)


async def _load(folder: Path, address: str, calls: Path | None, mapping: str, centre: str, *, empty: bool) -> str:
    """Imports what is asked for; answers the id of somebody who sees what came of it, empty where nobody is known."""
    if empty:
        return ""
    issuer = issuer_of(folder)
    async with connect(address, token=issuer.system("setup")) as channel:
        if calls is not None:
            await _import_calls(channel, calls, mapping, centre, folder / "unusable.csv")
            seeing = lead_of(centre)
        else:
            seeing = await _import_sample(channel, address, issuer, folder / "sample.json")
        end = await _settle(channel)
        if seeing:
            asked = ListDetectionsRequest(page_size=1000, at_least=end)
            as_them = bearer(issuer.person(seeing))
            found = await DetectionServiceStub(channel).ListDetections(asked, metadata=as_them)
            print(f"{len(found.detections)} detections.")
    return seeing


async def _import_sample(channel: aio.Channel, address: str, issuer: Issuer, note: Path) -> str:
    """Imports the sample centre once, into an empty log; `note` remembers up to which day, so that it can go on.

    Answers the id of somebody of HR; empty if the log has something else.
    """
    if not note.exists() and (events := await _end_of_log(channel)):
        print(f"Everything is as it was: {events} events. The sample centre goes into a new folder only.")
        return ""
    known = json.loads(note.read_text()) if note.exists() else {"end": str(date.today() - timedelta(days=1))}  # noqa: DTZ011 - a person's day
    centre = SampleCentre(end=date.fromisoformat(known["end"]), zone=load_settings().site_time_zone)
    hr = centre.somebody("hr-specialist")
    if known.get("done"):
        print(f"The sample centre was imported before (up to {known['end']}).")
        return hr
    note.write_text(json.dumps(known))
    await import_sample(channel, address, issuer, centre)
    note.write_text(json.dumps({**known, "done": True}))
    return hr


async def import_sample(channel: aio.Channel, address: str, issuer: Issuer, centre: SampleCentre) -> None:
    """Imports a sample centre by way of the front door at an address; what is known already changes nothing."""
    await _set_up(channel, [*preset_requests(), *centre.setup()], "teams, people, KPIs, policies")
    facts = list(centre.facts())
    await _send_facts(channel, facts, centre.digest)
    await _send_records(channel, list(centre.records()))
    await _send_check_ins(channel, issuer, list(centre.check_ins()))
    await _send_talks(channel, issuer, list(centre.talks()))
    async with connect(address, token=issuer.person(centre.somebody("hr-specialist"))) as as_hr:
        await _set_up(as_hr, centre.closings(), "months to close")


async def _import_calls(channel: aio.Channel, file: Path, mapping_name: str, centre: str, report: Path) -> None:
    mapping = load_mapping(find_mapping(mapping_name, "calls"))
    with progress(f"reading {file.name}", file.stat().st_size) as tell:
        calls = await asyncio.to_thread(read_calls, file, mapping, centre=centre, report=report, progress=tell)
    _print_rows(calls, report)
    await _set_up(channel, [*preset_requests(), *staff_requests(calls)], "people, KPIs, policies")
    await _send_facts(channel, list(calls), calls.digest)


def _print_rows(calls: CallFacts, report: Path) -> None:
    print(f"{calls.rows} rows: {calls.used} used, {calls.rows - calls.used} not; {len(calls.agents)} agents.")
    for reason, count in calls.unusable.items():
        print(f"  {count:>6} {reason}")
    if calls.unusable:
        print(f"  each listed in {report}")


async def _set_up(channel: aio.Channel, requests: Sequence[SetupRequest], what: str) -> None:
    with progress(what, len(requests)) as tell:
        result = await import_centre(channel, requests, progress=lambda done, _: tell(done))
    for name in result.existing:
        print(f"  left as it is: {name} exists with other content")


async def _send_facts(channel: aio.Channel, facts: Sequence[Fact], digest: str) -> None:
    with progress("facts", len(facts)) as tell:
        result = await import_facts(
            FactsServiceStub(channel), facts, file_digest=digest, progress=lambda so_far: tell(so_far.facts)
        )
    print(f"{result.recorded} facts recorded, {result.unchanged} known before, {len(result.rejected)} rejected.")
    for one in result.rejected[:10]:
        print(f"  {one.employee_id} {one.date} {one.source}: {one.message} ({one.reason})")


async def _send_records(channel: aio.Channel, records: Sequence[Record]) -> None:
    """One request at a time; a record that is there is known by its id."""
    stub = RecordServiceStub(channel)
    recorded, left = 0, 0
    with progress("records", len(records)) as tell:
        for first in range(0, len(records), RECORDS_AT_ONCE):
            request = CreateRecordsRequest(records=records[first : first + RECORDS_AT_ONCE])
            answer = await send_patiently(stub.CreateRecords, request, "a batch of records", PATIENCE_SECONDS)
            recorded += answer.recorded
            left += len(answer.rejections)
            tell(first + len(request.records))
    print(f"{recorded} records recorded, {len(records) - recorded - left} known before, {left} rejected.")


async def _send_check_ins(channel: aio.Channel, issuer: Issuer, check_ins: Sequence[CheckIn]) -> None:
    """Each given by whom it is about."""
    stub = CheckInServiceStub(channel)
    with progress("check-ins", len(check_ins)) as tell:
        for done, one in enumerate(check_ins, 1):
            create = partial(stub.CreateCheckIn, metadata=bearer(issuer.person(one.employee_id)))
            request = CreateCheckInRequest(check_in=one)
            await send_patiently(create, request, f"check-in {one.check_in_id}", PATIENCE_SECONDS)
            tell(done)


async def _send_talks(channel: aio.Channel, issuer: Issuer, talks: Sequence[Talk]) -> None:
    """Each by who leads the employee, or the employee."""
    stub = SessionServiceStub(channel)
    methods: dict[type[Message], Any] = {
        HoldSessionRequest: stub.HoldSession,
        MissSessionRequest: stub.MissSession,
        AcknowledgeSessionRequest: stub.AcknowledgeSession,
        FollowUpActionRequest: stub.FollowUpAction,
    }
    with progress("sessions", len(talks)) as tell:
        for done, talk in enumerate(talks, 1):
            schedule = partial(stub.ScheduleSession, metadata=bearer(issuer.person(talk.schedule.lead_id)))
            session = await send_patiently(schedule, talk.schedule, "a session", PATIENCE_SECONDS)
            for caller, request in talk.told:
                request.session_id = session.session_id
                say = partial(methods[type(request)], metadata=bearer(issuer.person(caller)))
                await send_patiently(say, request, f"session {session.session_id}", PATIENCE_SECONDS)
            tell(done)


async def _end_of_log(channel: aio.Channel) -> int:
    followers = await OperationsServiceStub(channel).ListFollowers(ListFollowersRequest(service="-"))
    return _log_end(followers.followers)


def _log_end(followers: Sequence[Follower]) -> int:
    """The last position in LOG, which those in the restricted stream say nothing about."""
    return max(one.end for one in followers if one.stream == LOG)


async def _settle(channel: aio.Channel) -> int:
    """Waits until every follower has caught up and nothing is about to fall due; answers the end of the log."""
    stub = OperationsServiceStub(channel)
    deadline = time.monotonic() + SETTLING_SECONDS
    followers: Sequence[Follower] = ()

    async def left() -> int:
        nonlocal followers
        followers = (await stub.ListFollowers(ListFollowersRequest(service="-"))).followers
        soon = time.time() + SETTLING_SECONDS
        due = [one.deadlines for one in followers if one.deadlines and one.next_deadline_time.seconds < soon]
        return sum(due) + sum(one.lag for one in followers)

    total = await left()
    with progress("judging (once facts have settled)", total) as tell:
        while time.monotonic() < deadline and (now := await left()):
            tell(max(0, total - now))
            await asyncio.sleep(0.5)
        tell(total)
    return _log_end(followers)


def _print_what_to_try(port: int, seeing: str) -> None:
    """`seeing`: the id of somebody who sees what was imported; empty: nobody is known."""
    whom = seeing or "EMPLOYEE"
    print(
        f"""
Try next, in another terminal:
  # the state of everything: in a browser, and here
  http://127.0.0.1:{port}/
  .venv/bin/stepladder status
  # a token that speaks for an employee: for that page, and for REST: who fell short, with the facts under it
  TOKEN=$(.venv/bin/stepladder token {whom})
  curl -H "Authorization: Bearer $TOKEN" 'http://127.0.0.1:{port}/v1/detections?pageSize=1'
  # gRPC: the KPI catalogue
  .venv/bin/stepladder call KpiService.ListKpis '{{"page_size": 2}}'
Ctrl-C stops everything.""",
        flush=True,
    )
