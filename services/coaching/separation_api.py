"""gRPC: stepladder.coaching.v1.SeparationService."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import date, datetime

from libs.common.days import ONE_DAY, parse_day
from libs.common.errors import FieldViolation, Invalid, Unavailable
from libs.common.eventsourcing import Context
from libs.common.log import EventLog
from libs.common.service import Service
from libs.common.streams import Stored, Stream, stream_of
from libs.facts.callers import caller_id, directory_around
from libs.facts.relations import Relation, need_to_know, relations
from services.coaching.separation import SUBJECTS, checked, digest, has_part
from stepladder.coaching.v1 import separation_pb2 as pb

MOST_DAYS = 366
MOST_TOLD = 1000
MOST_EVENTS = 50_000
"""So many are read and judged within the time that the gateway gives a call."""
PAGE = 1000
AT_ONCE = 100
"""Aggregates whose earlier events are asked for together."""
SILENCE_SECONDS = 6.0


class SeparationApi:
    """Implements the service: everything out of the streams as they are, without codec, states or read models."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._streams: Mapping[str, Sequence[str]] = {
            name: [subject for subject in SUBJECTS if stream_of(subject) == name] for name in service.streams
        }

    async def CheckSeparation(self, request: pb.CheckSeparationRequest, context: Context) -> pb.SeparationReport:
        caller = caller_id(context)
        directory = await directory_around(self._service.commands, caller, context.today)
        if Relation.HR not in relations(directory, caller, "", context.today):
            raise need_to_know()
        start, end = parse_day(request.start_date, "start_date"), parse_day(request.end_date, "end_date")
        if not 0 <= (end - start).days < MOST_DAYS:
            message = f"the last day must not be before the first, and there are at most {MOST_DAYS} days"
            raise Invalid("DATE_INVALID", message, (FieldViolation("end_date", message),))
        report = pb.SeparationReport()
        cases: list[pb.SeparationCase] = []
        violations: list[pb.SeparationViolation] = []
        for name, subjects in self._streams.items():
            stream = self._service.streams[name]
            after = await stream.position_before(self._midnight(start))
            through = await stream.position_before(self._midnight(end + ONE_DAY))
            entries = await events_between(stream, subjects, after, through)
            report.readings.add(
                stream=name,
                after_position=after,
                through_position=through,
                events=len(entries),
                digest=digest(entries),
            )
            for history in await histories_of(stream, entries, after):
                found, wrong = checked(history, after)
                cases += found
                violations += wrong
        cases.sort(key=lambda case: not case.violated)
        report.cases.extend(cases[:MOST_TOLD])
        report.cases_found = len(cases)
        report.violations.extend(violations[:MOST_TOLD])
        report.violations_found = len(violations)
        return report

    def _midnight(self, day: date) -> datetime:
        return datetime(day.year, day.month, day.day, tzinfo=self._service.settings.site_time_zone)


async def events_between(stream: Stream, subjects: Sequence[str], after: int, through: int) -> list[Stored]:
    """Every event of some subjects behind one position and up to another, as the leader knows them.

    Raises Invalid `TOO_MANY_EVENTS`; Unavailable.
    """
    found: list[Stored] = []
    last = max(await asyncio.gather(*(stream.last_position(subject) for subject in subjects)))
    position, end = after, min(through, last)
    async with stream.feed(subjects, after) as feed:
        while position < end:
            if not (entries := await feed.next(PAGE, SILENCE_SECONDS)):
                raise Unavailable("LOG_UNAVAILABLE", "the event log tells nothing right now; try again in a moment")
            position = entries[-1].position
            found += [entry for entry in entries if entry.position <= through]
            if len(found) > MOST_EVENTS:
                message = f"more than {MOST_EVENTS} events lie on these days: ask for fewer days"
                raise Invalid("TOO_MANY_EVENTS", message, (FieldViolation("end_date", message),))
    return found


async def histories_of(stream: Stream, entries: Sequence[Stored], after: int) -> list[list[Stored]]:
    """Of those aggregates of which an event belongs to a decision: these events, and what lies before the days."""
    within: dict[str, list[Stored]] = {}
    for entry in entries:
        within.setdefault(entry.subject, []).append(entry)
    decided = [subject for subject in sorted(within) if any(has_part(entry.payload) for entry in within[subject])]
    if not after:  # nothing lies before
        return [within[subject] for subject in decided]
    log, histories = EventLog(stream), list[list[Stored]]()
    for start in range(0, len(decided), AT_ONCE):
        some = decided[start : start + AT_ONCE]
        told = await asyncio.gather(*(_told_to(log, within[subject][0]) for subject in some))
        for subject, history in zip(some, told, strict=True):
            histories.append([*(entry for entry in history if entry.position <= after), *within[subject]])
    return histories


async def _told_to(log: EventLog, entry: Stored) -> list[Stored]:
    """An aggregate's events, up to one of them at least."""
    told = await log.read(entry.subject)
    return told if told and told[-1].position >= entry.position else await log.read_latest(entry.subject)
