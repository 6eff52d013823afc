"""gRPC: stepladder.coaching.v1.SeparationService."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import date, datetime

from libs.common.days import ONE_DAY, parse_day
from libs.common.errors import FieldViolation, Invalid, Unavailable
from libs.common.eventsourcing import Context
from libs.common.log import EventLog
from libs.common.service import Service
from libs.common.streams import Stored, Stream, stream_of
from libs.facts.audit import audited
from libs.facts.callers import caller_id
from services.coaching.pip import PIP_READS
from services.coaching.separation import SUBJECTS, Findings, Reading, checked
from stepladder.coaching.v1 import separation_pb2 as pb

MOST_TOLD = 1000
PAGE = 1000
AT_ONCE = 100
"""Aggregates whose events are asked for together."""
SILENCE_SECONDS = 6.0
TELL_SECONDS = 1.0


class SeparationApi:
    """Implements the service: everything out of the streams as they are, without codec, states or read models.

    The days are read once for the digest and for which aggregates were decided about; then each of these is read whole
    and judged. At no time are more than a page of events, or the histories of a few aggregates, in memory.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        self._streams: Mapping[str, Sequence[str]] = {
            name: [subject for subject in SUBJECTS if stream_of(subject) == name] for name in service.streams
        }

    async def CheckSeparation(self, request: pb.CheckSeparationRequest, context: Context) -> pb.SeparationReport:
        asked = pb.StreamSeparationRequest(start_date=request.start_date, end_date=request.end_date)
        report = pb.SeparationReport()
        async for progress in self.StreamSeparation(asked, context):
            report = progress.report
        return report

    async def StreamSeparation(
        self, request: pb.StreamSeparationRequest, context: Context
    ) -> AsyncIterator[pb.StreamSeparationResponse]:
        start, end = parse_day(request.start_date, "start_date"), parse_day(request.end_date, "end_date")
        if end < start:
            message = "the last day must not be before the first"
            raise Invalid("DATE_INVALID", message, (FieldViolation("end_date", message),))
        report, findings, told = pb.SeparationReport(), Findings(MOST_TOLD), time.monotonic()
        for name, subjects in self._streams.items():
            stream, reading = self._service.streams[name], Reading()
            after = await stream.position_before(self._midnight(start))
            through = await stream.position_before(self._midnight(end + ONE_DAY))
            async for page, left in pages_between(stream, subjects, after, through):
                for entry in page:
                    reading.add(entry)
                if time.monotonic() - told > TELL_SECONDS:
                    told = time.monotonic()
                    yield _progress(name, reading, findings, left)
            judged = 0
            async for histories in histories_of(stream, reading.decided):
                for history in histories:
                    findings.add(*checked(history, after, caller_id(context)))
                judged += len(histories)
                if time.monotonic() - told > TELL_SECONDS:
                    told = time.monotonic()
                    yield _progress(name, reading, findings, len(reading.decided) - judged)
            report.readings.add(
                stream=name,
                after_position=after,
                through_position=through,
                events=reading.events,
                digest=reading.digest,
            )
        findings.tell(report)
        await self._note_reads(report, context)
        yield pb.StreamSeparationResponse(report=report)

    async def _note_reads(self, report: pb.SeparationReport, context: Context) -> None:
        """Of the PIPs that a report tells of."""
        ids = dict[str, list[str]]()
        for case in report.cases:
            if case.pip_id:
                ids.setdefault(case.employee_id, []).append(case.pip_id)
        await audited(self._service.commands, PIP_READS, context, ids)

    def _midnight(self, day: date) -> datetime:
        return datetime(day.year, day.month, day.day, tzinfo=self._service.settings.site_time_zone)


def _progress(stream: str, reading: Reading, findings: Findings, left: int) -> pb.StreamSeparationResponse:
    return pb.StreamSeparationResponse(stream=stream, events=reading.events, decisions=findings.cases, left=left)


async def pages_between(
    stream: Stream, subjects: Sequence[str], after: int, through: int
) -> AsyncIterator[tuple[list[Stored], int]]:
    """Every event of some subjects behind one position and up to another, as the leader knows them, in order.

    With each page about how many wait behind it. Raises Unavailable.
    """
    last = max(await asyncio.gather(*(stream.last_position(subject) for subject in subjects)))
    position, end = after, min(through, last)
    async with stream.feed(subjects, after) as feed:
        while position < end:
            if not (entries := await feed.next(PAGE, SILENCE_SECONDS)):
                raise Unavailable("LOG_UNAVAILABLE", "the event log tells nothing right now; try again in a moment")
            position = entries[-1].position
            yield [entry for entry in entries if entry.position <= through], feed.pending


async def histories_of(stream: Stream, decided: Mapping[str, int]) -> AsyncIterator[list[list[Stored]]]:
    """Of aggregates, by subject, every event up to a position: a few aggregates at a time, in the order of subjects."""
    log, subjects = EventLog(stream), sorted(decided)
    for start in range(0, len(subjects), AT_ONCE):
        some = subjects[start : start + AT_ONCE]
        yield list(await asyncio.gather(*(_told_to(log, subject, decided[subject]) for subject in some)))


async def _told_to(log: EventLog, subject: str, position: int) -> list[Stored]:
    """An aggregate's events up to a position at which it has one."""
    told = await log.read(subject)
    if not told or told[-1].position < position:
        told = await log.read_latest(subject)
    return [entry for entry in told if entry.position <= position]
