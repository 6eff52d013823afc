"""gRPC: stepladder.coaching.v1.SeparationService."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime

from libs.common.days import ONE_DAY, parse_day
from libs.common.errors import FieldViolation, Invalid
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
            entries = await _between(stream, subjects, after, through)
            report.readings.add(
                stream=name,
                after_position=after,
                through_position=through,
                events=len(entries),
                digest=digest(entries),
            )
            log = EventLog(stream)
            for subject in sorted({entry.subject for entry in entries if has_part(entry.payload)}):
                history = [entry for entry in await log.read_latest(subject) if entry.position <= through]
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


async def _between(stream: Stream, subjects: Sequence[str], after: int, through: int) -> list[Stored]:
    """Every event of some subjects behind one position and up to another, as the leader knows them."""
    found: list[Stored] = []
    for subject in subjects:
        told = await stream.read(subject, after)
        told += await stream.read_from_leader(subject, told[-1].position if told else after)
        found += [entry for entry in told if entry.position <= through]
    return sorted(found, key=lambda entry: entry.position)
