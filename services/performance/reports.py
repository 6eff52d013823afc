"""Reports: what a day, a week, a month or a year came to, from what is known of people, rules and facts."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from fractions import Fraction

from libs.common.days import ONE_DAY, Span, month_of, week_of
from libs.common.errors import FieldViolation, Invalid, NotFound
from libs.common.service import Service
from libs.facts import employee
from libs.facts.adding import add_portions, combined
from libs.facts.catalogue import Catalogue, Rules
from libs.facts.people import People
from libs.facts.values import decimal, format_value, kpi_value
from services.performance.figures import (
    Counts,
    Figures,
    HourSum,
    Scopes,
    Stretch,
    Sum,
    Total,
    before,
    figures_of,
    sums_of,
)
from services.performance.months import Months
from services.performance.policy import kpis_of
from services.performance.results import Results
from services.performance.scorecards import Scorecards
from services.performance.scoring import HUNDRED, attainment, show_bound
from services.performance.team import TEAM
from stepladder.performance.v1 import report_pb2 as pb
from stepladder.performance.v1.directory_pb2 import EMPLOYMENT_STATUS_LEFT
from stepladder.performance.v1.kpi_pb2 import Kpi
from stepladder.performance.v1.policy_pb2 import Policy

PEAK_PERCENT = 80
"""Of the busiest hour's volume, unless a request says otherwise."""

BUCKETS = {"day": "", "week": "date", "month": "date", "year": "month"}
"""What the series of a period goes by; that of a day goes by hours, which are kept by themselves."""


def span_of(period: str, day: date) -> Span:
    """The day, week, month or year that contains a day."""
    match period:
        case "day":
            return Span(day, day)
        case "week":
            return week_of(day)
        case "month":
            return month_of(day)
        case _:
            return Span(day.replace(month=1, day=1), day.replace(month=12, day=31))


@dataclass(frozen=True)
class _Asked:
    """A request looked into: its days, the rules known then, and everybody, by id."""

    request: pb.GetReportRequest
    span: Span
    through: date
    rules: Rules
    states: Mapping[str, employee.State]
    scopes: Scopes
    stretches: Sequence[Stretch]

    def name_of(self, employee_id: str) -> str:
        state = self.states.get(employee_id)
        return state.display_name if state else ""

    def counts(self, employee_id: str, day: date) -> bool:
        """Whether somebody belongs to whom the report is about on a day."""
        state = self.states.get(employee_id)
        return not self.request.team_id or (state is not None and state.team_on(day) == self.request.team_id)


@dataclass(frozen=True)
class _Read:
    """What was read of a period; of the one before only what is compared with."""

    totals: Sequence[Total]
    sums: Sequence[Sum]
    days: Mapping[tuple[str, str, int], int]
    items: Sequence[Counts]
    offences: Sequence[Counts]
    by_employee: Sequence[Sum]


class Reports:
    """Makes reports; changes nothing."""

    def __init__(
        self,
        service: Service,
        months: Months,
        people: People,
        catalogue: Catalogue,
        results: Results,
        scorecards: Scorecards,
    ) -> None:
        self._service = service
        self._months = months
        self._people = people
        self._catalogue = catalogue
        self._results = results
        self._scorecards = scorecards

    async def report(self, request: pb.GetReportRequest, day: date, today: date) -> pb.Report:
        """The report that a request asks for, of the period that contains a day.

        Raises Invalid `DATE_INVALID` for a period to come, NotFound `TEAM_NOT_FOUND` and `KPI_NOT_FOUND`.
        """
        asked = await self._asked(request, span_of(request.period, day), today)
        earlier = before(asked.span)
        if asked.through < asked.span.end:
            earlier = Span(earlier.start, min(earlier.end, earlier.start + (asked.through - asked.span.start)))
        then = asked.scopes.stretches(asked.states.values(), earlier, request.team_id)
        now, past, sums = await asyncio.gather(
            self._read(asked, asked.stretches, BUCKETS[request.period], by_employee=request.period == "day"),
            self._read(asked, then, ""),
            self._hours(asked),
        )
        report = pb.Report(
            period=request.period,
            start_date=asked.span.start.isoformat(),
            end_date=asked.span.end.isoformat(),
            through_date=asked.through.isoformat(),
            team_id=request.team_id,
            known_at=request.known_at,
        )
        teams = await self._team_names(asked)
        report.team_name = teams.get(request.team_id, "")
        # Of a large centre it is work for half a second: the event loop goes on meanwhile.
        await asyncio.to_thread(_tell_figures, report, asked, now, past, sums, teams)
        report.attendance.CopyFrom(_attendance(now.totals))
        report.watched_kpi_ids.extend(_watched(asked))
        report.findings.extend(await self._findings(asked))
        report.disputes.CopyFrom(await self._disputes(asked))
        if request.period == "month":
            report.scorecards.CopyFrom(await self._scorecards_of(asked))
        if request.period in {"month", "year"}:
            versions = await self._versions(one.version for one in (*now.items, *now.offences))
            report.errors.CopyFrom(_errors(versions, now, past))
            report.workforce.CopyFrom(_workforce(asked))
        return report

    async def _asked(self, request: pb.GetReportRequest, span: Span, today: date) -> _Asked:
        if span.start > today:
            message = f"the {request.period} begins on {span.start}, after today"
            raise Invalid("DATE_INVALID", message, (FieldViolation("date", message),))
        engine = self._service.engine
        if request.team_id and not await self._service.commands.known(TEAM, [request.team_id], check=False):
            raise NotFound("TEAM_NOT_FOUND", f"there is no team {request.team_id}")
        rules = await self._catalogue.rules(engine, request.known_at)
        if request.volume_kpi_id and request.volume_kpi_id not in rules.kpis:
            raise NotFound("KPI_NOT_FOUND", f"there is no KPI {request.volume_kpi_id}")
        states = await self._months.states(await self._people.everyone(engine), request.known_at)
        through, scopes = min(span.end, today), Scopes(rules)
        stretches = scopes.stretches(states.values(), Span(span.start, through), request.team_id)
        return _Asked(request, span, through, rules, states, scopes, stretches)

    async def _hours(self, asked: _Asked) -> list[HourSum]:
        """Read beside the rest: of a large centre's year, they are as many again."""
        async with self._figures(asked, asked.stretches) as figures:
            return await figures.hours(asked.rules.kpis)

    async def _read(self, asked: _Asked, stretches: Sequence[Stretch], at: str, *, by_employee: bool = False) -> _Read:
        kpis = asked.rules.kpis
        per_day = sorted(
            {target.kpi_id for scope in asked.scopes.scopes for target in scope.targets.values() if target.per_day}
        )
        async with self._figures(asked, stretches) as figures:
            totals, parts = await figures.totals(at), await figures.parts()
            employees = await figures.totals("employee_id") if by_employee else ()
            return _Read(
                totals=totals,
                sums=sums_of(totals, parts, kpis),
                days=await figures.days(at, per_day),
                items=await figures.missed_items(),
                offences=await figures.offences(),
                by_employee=sums_of(employees, parts, kpis),
            )

    def _figures(self, asked: _Asked, stretches: Sequence[Stretch]) -> AbstractAsyncContextManager[Figures]:
        return figures_of(self._service.engine, self._results, stretches, asked.request.known_at)

    async def _team_names(self, asked: _Asked) -> dict[str, str]:
        ids = {scope.team_id for scope in asked.scopes.scopes} | {asked.request.team_id}
        commands = self._service.commands
        if known_at := asked.request.known_at:
            return {one: (await commands.load(TEAM, one, known_at)).state.display_name for one in ids if one}
        known = await commands.known(TEAM, [one for one in ids if one])
        return {team_id: standing.state.display_name for team_id, standing in known.items()}

    async def _versions(self, positions: Iterable[int]) -> dict[int, Policy]:
        """Versions of policies by the positions of their events, those among them that others took the place of."""
        engine = self._service.engine
        return {one: (await self._catalogue.rules(engine, one)).version(one) for one in sorted(set(positions))}

    async def _findings(self, asked: _Asked) -> list[pb.Finding]:
        rows = await self._results.details.findings_in(
            self._service.engine, asked.span, asked.request.team_id, asked.request.known_at
        )
        versions = await self._versions(int(row.policy_position) for row in rows)
        return [
            pb.Finding(
                detection_id=row.detection_id,
                policy_id=row.policy_id,
                trigger=versions[row.policy_position].detection.WhichOneof("trigger") or "",
                employee_id=row.employee_id,
                display_name=asked.name_of(row.employee_id),
                team_id=row.team_id,
                date=row.date,
                fallen=not row.stands,
            )
            for row in rows
        ]

    async def _disputes(self, asked: _Asked) -> pb.DisputesReport:
        zone, known_at = self._service.settings.site_time_zone, asked.request.known_at

        def site_day(seconds: int) -> date:
            return datetime.fromtimestamp(seconds, UTC).astimezone(zone).date()

        def begins(day: date) -> int:
            return int(datetime(day.year, day.month, day.day, tzinfo=zone).timestamp())

        report = pb.DisputesReport()
        oldest: dict[str, date] = {}
        open_now: Counter[str] = Counter()
        start, end = begins(asked.span.start), begins(asked.through + ONE_DAY)
        for row in await self._results.details.contested_in(self._service.engine, start, end, known_at):
            opened = site_day(row.opened)
            if not asked.counts(row.employee_id, opened):
                continue
            report.opened += opened >= asked.span.start
            if row.settled:
                report.settled += asked.span.start <= site_day(row.settled) <= asked.through
                continue
            open_now[row.reviewer_id] += 1
            oldest[row.reviewer_id] = min(oldest.get(row.reviewer_id, opened), opened)
        report.open = open_now.total()
        for reviewer_id in sorted(oldest, key=lambda one: (oldest[one], one)):
            report.reviewers.add(
                reviewer_id=reviewer_id,
                display_name=asked.name_of(reviewer_id),
                open=open_now[reviewer_id],
                oldest_days=(asked.through - oldest[reviewer_id]).days,
            )
        return report

    async def _scorecards_of(self, asked: _Asked) -> pb.ScorecardsReport:
        engine, month, known_at = self._service.engine, asked.span.start.isoformat()[:7], asked.request.known_at
        ties = asked.rules.ties_on(asked.span.end)
        ratings = await self._scorecards.ratings_in(engine, month, known_at)
        ranked = await self._scorecards.ranked(engine, month, ties, known_at, limit=len(asked.states))
        members = set()
        for employee_id, state in asked.states.items():
            last = state.last_day_in(asked.span)
            if last is not None and asked.request.team_id in ("", state.team_on(last)):
                members.add(employee_id)
        closed = {card.employee_id for card in ranked}
        report = pb.ScorecardsReport(not_closed=len(members - closed - ratings.keys()))
        for card in ranked:
            if asked.request.team_id in ("", card.team_id):
                report.ranking.add(scorecard=card, display_name=asked.name_of(card.employee_id))
        for rating, count in sorted(Counter(ratings[one] for one in members & ratings.keys()).items(), reverse=True):
            report.distribution.add(rating=rating, employees=count)
        return report


def _figure(kpi: Kpi, sums: Sequence[Sum | HourSum]) -> pb.Figure:
    """What sums come to, without bounds."""
    numerator = combined(kpi, [one.numerator for one in sums])
    denominator = sum(one.denominator for one in sums)
    value = kpi_value(kpi, numerator, denominator) if sums else None
    return pb.Figure(
        numerator=numerator,
        denominator=denominator,
        readings=sum(one.readings for one in sums),
        value=format_value(kpi, value) if value is not None else "",
    )


def _judged(kpi: Kpi, sums: Sequence[Sum], scopes: Scopes, days: Mapping[tuple[str, str, int], int]) -> pb.Figure:
    """What sums come to, and what comes of the days among them that have a target."""
    figure, one = _figure(kpi, sums), add_portions(kpi, scopes.portions(sums, days))
    figure.minimum, figure.maximum, figure.missed = show_bound(one.minimum), show_bound(one.maximum), one.missed
    if one.value is not None and (one.minimum is not None or one.maximum is not None):
        figure.attainment = decimal(attainment(one, HUNDRED), 1)
    return figure


def _tell_figures(
    report: pb.Report, asked: _Asked, now: _Read, past: _Read, sums: Sequence[HourSum], teams: Mapping[str, str]
) -> None:
    hours = _of_hours(sums, asked.rules)
    report.kpis.extend(_kpis(asked, now, past, hours))
    if not asked.request.team_id:
        report.teams.extend(_teams(asked, now, teams))
    report.off_target.extend(_off_target(asked, now))
    report.profile.CopyFrom(_profile(asked, sums, hours))


def _by(sums: Iterable[Sum], key: Callable[[Sum], tuple[str, ...]]) -> dict[tuple[str, ...], list[Sum]]:
    found: dict[tuple[str, ...], list[Sum]] = {}
    for one in sorted(sums, key=key):
        found.setdefault(key(one), []).append(one)
    return found


def _kpis(
    asked: _Asked, now: _Read, past: _Read, hours: Mapping[str, Mapping[int, pb.Figure]]
) -> Iterable[pb.KpiReport]:
    points = _by(now.sums, lambda one: (one.kpi_id, one.at))
    current = _by(now.sums, lambda one: (one.kpi_id,))
    earlier = _by(past.sums, lambda one: (one.kpi_id,))
    for (kpi_id,) in sorted({*current, *earlier}):
        kpi = asked.rules.kpis[kpi_id]
        report = pb.KpiReport(kpi_id=kpi_id, display_name=kpi.display_name, unit=kpi.unit, direction=kpi.direction)
        report.figure.CopyFrom(_judged(kpi, current.get((kpi_id,), []), asked.scopes, now.days))
        report.before.CopyFrom(_judged(kpi, earlier.get((kpi_id,), []), asked.scopes, past.days))
        if asked.request.period == "day":
            for hour, one in hours.get(kpi_id, {}).items():
                report.series.add(at=f"{hour:02}", figure=one)
        else:
            for (_, at), sums in points.items():
                if sums[0].kpi_id == kpi_id:
                    report.series.add(at=at, figure=_judged(kpi, sums, asked.scopes, now.days))
        yield report


def _teams(asked: _Asked, now: _Read, names: Mapping[str, str]) -> Iterable[pb.TeamReport]:
    scopes = asked.scopes.scopes
    grouped = _by(now.sums, lambda one: (scopes[one.scope].team_id, one.kpi_id))
    for team_id in sorted(names):
        report = pb.TeamReport(team_id=team_id, display_name=names[team_id])
        for (own_id, kpi_id), sums in grouped.items():
            if own_id == team_id:
                figure = _judged(asked.rules.kpis[kpi_id], sums, asked.scopes, now.days)
                report.kpis.add(kpi_id=kpi_id, figure=figure)
        yield report


def _off_target(asked: _Asked, now: _Read) -> list[pb.OffTarget]:
    found: dict[str, pb.OffTarget] = {}
    for (employee_id, kpi_id), sums in _by(now.by_employee, lambda one: (one.at, one.kpi_id)).items():
        one_day = {(one.kpi_id, one.at, one.scope): 1 for one in sums}
        figure = _judged(asked.rules.kpis[kpi_id], sums, asked.scopes, one_day)
        if figure.missed:
            state = asked.states[employee_id]
            one = pb.OffTarget(
                employee_id=employee_id, display_name=state.display_name, team_id=state.team_on(asked.span.start)
            )
            found.setdefault(employee_id, one).kpis.add(kpi_id=kpi_id, figure=figure)
    return sorted(found.values(), key=lambda one: (-len(one.kpis), one.employee_id))


def _attendance(totals: Sequence[Total]) -> pb.AttendanceReport:
    shifts = [one for one in totals if one.measure == "attendance.scheduled"]
    worked = [one for one in totals if one.measure == "attendance.worked"]
    return pb.AttendanceReport(
        shifts=sum(one.readings for one in shifts),
        absences=sum(one.zeros for one in worked),
        late=_measured(totals, "attendance.late"),
        scheduled_seconds=sum(one.numerator for one in shifts),
        worked_seconds=sum(one.numerator for one in worked),
        leave_days=_measured(totals, "leave.days"),
    )


def _measured(totals: Sequence[Total], measure: str) -> int:
    return sum(one.numerator for one in totals if one.measure == measure)


def _watched(asked: _Asked) -> list[str]:
    policies = asked.rules.policies_on("detection", asked.through)
    watching = [policy for policy in policies if policy.detection.HasField("contradiction")]
    return sorted({kpi_id for policy in watching for _, kpi_id in kpis_of(policy)})


def _errors(versions: Mapping[int, Policy], now: _Read, past: _Read) -> pb.ErrorsReport:
    def complaints(read: _Read) -> pb.ErrorsReport.Complaints:
        return pb.ErrorsReport.Complaints(
            received=_measured(read.totals, "complaint.received"),
            justified=_measured(read.totals, "complaint.justified"),
        )

    report = pb.ErrorsReport(complaints=complaints(now), complaints_before=complaints(past))
    items_before = {(one.policy_id, one.name): one for one in past.items}
    for one in sorted(now.items, key=lambda one: (-one.times, one.policy_id, one.name)):
        form = versions[one.version].form
        item = next(item for section in form.sections for item in section.items if item.item_id == one.name)
        earlier = items_before.get((one.policy_id, one.name))
        if one.times:
            report.items.add(
                form_id=one.policy_id,
                item_id=one.name,
                display_name=item.display_name,
                fatal=item.fatal,
                missed=one.times,
                applied=one.of,
                employees=one.employees,
                missed_before=earlier.times if earlier else 0,
                applied_before=earlier.of if earlier else 0,
            )
    times_before = {(one.policy_id, one.name): one.times for one in past.offences}
    for one in sorted(now.offences, key=lambda one: (-one.times, one.policy_id, one.name)):
        book = versions[one.version].rule_book
        report.offences.add(
            rule_book_id=one.policy_id,
            offence_id=one.name,
            display_name=next(each.display_name for each in book.offences if each.offence_id == one.name),
            times=one.times,
            employees=one.employees,
            times_before=times_before.get((one.policy_id, one.name), 0),
        )
    return report


def _workforce(asked: _Asked) -> pb.WorkforceReport:
    span, team_id = Span(asked.span.start, asked.through), asked.request.team_id
    days = (span.end - span.start).days + 1
    employed = [one for one in asked.stretches if one.employed]
    report = pb.WorkforceReport(
        at_start=sum(one.from_date == span.start for one in employed),
        at_end=sum(one.until_date == span.end + ONE_DAY for one in employed),
        employee_days=sum((one.until_date - one.from_date).days for one in employed),
        days=days,
    )
    for state in asked.states.values():
        hired = date.fromisoformat(state.hired.hire_date)
        report.hired += span.start <= hired <= span.end and team_id in ("", state.team_on(hired))
        left = next((day for day, status in state.statuses if status == EMPLOYMENT_STATUS_LEFT), None)
        if left is not None:
            report.left += span.start <= left <= span.end and team_id in ("", state.team_on(left - ONE_DAY))
        for day, team in state.teams:
            from_team = state.team_on(day - ONE_DAY)
            if team_id and span.start <= day <= span.end and day > hired and from_team != team:
                report.moved_in += team == team_id
                report.moved_out += from_team == team_id
    if report.employee_days:
        report.attrition = decimal(Fraction(report.left * days * 100, report.employee_days), 1)
    return report


def _of_hours(sums: Iterable[HourSum], rules: Rules) -> dict[str, dict[int, pb.Figure]]:
    """By KPI and hour, both ascending."""
    grouped: defaultdict[tuple[str, int], list[HourSum]] = defaultdict(list)
    for one in sums:
        grouped[one.kpi_id, one.hour].append(one)
    found: dict[str, dict[int, pb.Figure]] = {}
    for (kpi_id, hour), those in sorted(grouped.items()):
        found.setdefault(kpi_id, {})[hour] = _figure(rules.kpis[kpi_id], those)
    return found


def _profile(asked: _Asked, sums: Sequence[HourSum], hours: Mapping[str, Mapping[int, pb.Figure]]) -> pb.DayProfile:
    percent = asked.request.peak_percent or PEAK_PERCENT
    volume_id = asked.request.volume_kpi_id or _busiest(asked.rules, hours)
    profile = pb.DayProfile(volume_kpi_id=volume_id, peak_percent=percent)
    volume = hours.get(volume_id, {})
    most = max((one.numerator for one in volume.values()), default=0)
    for hour in sorted({hour for own in hours.values() for hour in own}):
        shown = profile.hours.add(hour=hour, volume=volume.get(hour))
        shown.peak = most > 0 and hour in volume and volume[hour].numerator * 100 >= most * percent
        for kpi_id, own in hours.items():
            if hour in own:
                shown.kpis.add(kpi_id=kpi_id, figure=own[hour])
    cells: defaultdict[tuple[int, int], list[HourSum]] = defaultdict(list)
    days: defaultdict[int, set[str]] = defaultdict(set)
    for one in sums:
        if one.kpi_id == volume_id:
            weekday = date.fromisoformat(one.date).isoweekday()
            cells[weekday, one.hour].append(one)
            days[weekday].add(one.date)
    for (weekday, hour), those in sorted(cells.items()):
        kpi = asked.rules.kpis[volume_id]
        figure = _figure(kpi, those)
        whole = kpi_value(kpi, figure.numerator, figure.denominator)
        count = len(days[weekday])
        per_day = decimal(whole / count, 1) if whole is not None else ""
        profile.cells.add(weekday=weekday, hour=hour, volume=figure, days=count, per_day=per_day)
    return profile


def _busiest(rules: Rules, hours: Mapping[str, Mapping[int, pb.Figure]]) -> str:
    """Of the KPIs that are sums of counts, the one that counted most; empty when there is none."""
    totals = {
        kpi_id: sum(one.numerator for one in own.values())
        for kpi_id, own in hours.items()
        if rules.kpis[kpi_id].unit == Kpi.UNIT_COUNT and rules.kpis[kpi_id].aggregation == Kpi.AGGREGATION_SUM
    }
    return max(sorted(totals), key=lambda kpi_id: totals[kpi_id], default="")
