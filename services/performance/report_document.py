"""What a report says, in its order."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from decimal import Decimal

from libs.common.days import ONE_DAY, months_between
from libs.documents.document import Bars, Cell, Chart, Document, Heat, Section, Table, Trend
from stepladder.performance.v1 import report_pb2 as pb
from stepladder.performance.v1.facts_pb2 import Rating
from stepladder.performance.v1.kpi_pb2 import Kpi

WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")

UNITS = {
    Kpi.UNIT_PERCENT: "%",
    Kpi.UNIT_PER_MILLE: "‰",
    Kpi.UNIT_SECONDS: "s",
    Kpi.UNIT_MINUTES: "min",
    Kpi.UNIT_CHARACTERS_PER_MINUTE: "characters/min",
    Kpi.UNIT_POINTS: "points",
}
"""Counts and times of day speak for themselves."""

MOST_BARS = 12
TEAMS_BESIDE = 5
"""In one chart: of more columns, names could not be told apart."""


def report_document(report: pb.Report) -> Document:
    """What a report says. Sections without content are left out."""
    kpis = {one.kpi_id: one for one in report.kpis}
    sections = [
        _kpis(report),
        _off_target(report, kpis),
        _teams(report, kpis),
        _peaks(report, kpis),
        _watch(report, kpis),
        _findings(report),
        _scorecards(report),
        _errors(report),
        _attendance(report),
        _disputes(report),
        _workforce(report),
    ]
    return Document(
        title=f"{report.team_name or report.team_id or 'Centre'} · {_period(report)}",
        subtitle=_subtitle(report),
        headlines=_headlines(report),
        sections=[one for one in sections if one is not None],
    )


def _period(report: pb.Report) -> str:
    start = date.fromisoformat(report.start_date)
    match report.period:
        case "day":
            return f"{start:%A}, {start.day} {start:%B %Y}"
        case "week":
            year, week, _ = start.isocalendar()
            return f"week {week} of {year}"
        case "month":
            return f"{start:%B %Y}"
        case _:
            return f"{start.year}"


def _before(report: pb.Report) -> str:
    """What is compared with."""
    same = ", same days" if report.through_date < report.end_date else ""
    return f"{report.period.capitalize()} before{same}"


def _subtitle(report: pb.Report) -> str:
    days = report.start_date if report.start_date == report.end_date else f"{report.start_date} to {report.end_date}"
    parts = [f"{report.period.capitalize()} report, {days}"]
    if report.through_date < report.end_date:
        parts.append(f"so far, up to {report.through_date}")
    if report.known_at:
        parts.append(f"as known at position {report.known_at}")
    return "; ".join(parts)


def _headlines(report: pb.Report) -> list[tuple[str, Cell]]:
    judged = [one for one in report.kpis if one.figure.attainment]
    found: list[tuple[str, Cell]] = (
        [("KPIs on target", f"{sum(not one.figure.missed for one in judged)} of {len(judged)}")] if judged else []
    )
    volume = next((one for one in report.kpis if one.kpi_id == report.profile.volume_kpi_id), None)
    if volume is not None:
        found.append((volume.display_name, _number(volume.figure.value)))
    if report.period == "day":
        found.append(("People off target", len(report.off_target)))
    if report.HasField("workforce") and report.workforce.days:
        found.append(("Average headcount", _average(report.workforce)))
    if report.HasField("scorecards") and report.scorecards.ranking:
        found.append(("Scorecards closed", len(report.scorecards.ranking)))
    found += [("Findings", len(report.findings)), ("Open disputes", report.disputes.open)]
    return found


def _kpis(report: pb.Report) -> Section:
    rows: list[list[Cell]] = []
    for one in report.kpis:
        now, then = one.figure, one.before
        rows.append(
            [
                one.display_name,
                _unit(one),
                _value(now),
                _number(now.minimum),
                _number(now.maximum),
                _number(now.attainment),
                _value(then),
                _change(now, then),
                _status(now),
                now.readings,
            ]
        )
    before = _before(report)
    columns = ["KPI", "Unit", "Value", "At least", "At most", "Attained, %", before, "Change", "Target", "Readings"]
    missed = [one for one in report.kpis if one.figure.missed]
    judged = [one for one in report.kpis if one.figure.attainment]
    sentences = []
    if not any(one.figure.readings for one in report.kpis):
        sentences.append("Nothing was recorded.")
    elif not judged:
        sentences.append("No KPI that was recorded has a target.")
    elif missed:
        names = ", ".join(one.display_name for one in missed)
        sentences.append(f"{len(missed)} of {len(judged)} KPIs with a target missed it: {names}.")
    else:
        sentences.append(f"All {len(judged)} KPIs with a target are on it.")
    charts = [_trend(report, one) for one in _charted(report)]
    behind = _series(report)
    return Section(
        "Key figures",
        sentences,
        [chart for chart in charts if sum(value is not None for value in chart.values) > 1],
        [
            Table("KPIs", columns, rows, frozenset(i for i, one in enumerate(report.kpis) if one.figure.missed)),
            *([behind] if behind.rows else []),
        ],
    )


def _charted(report: pb.Report) -> list[pb.KpiReport]:
    """What has a target, and the volume; those that missed it first."""
    wanted = [one for one in report.kpis if one.figure.attainment or one.kpi_id == report.profile.volume_kpi_id]
    if report.period == "day":
        wanted = [one for one in report.kpis if one.unit != Kpi.UNIT_TIME_OF_DAY]
    return sorted(wanted, key=lambda one: not one.figure.missed)


def _trend(report: pb.Report, one: pb.KpiReport) -> Trend:
    labels = _steps(report)
    figures = {point.at: point.figure for point in one.series}
    found = [figures.get(label, pb.Figure()) for label in labels]
    return Trend(
        title=one.display_name,
        unit=_unit(one),
        labels=labels,
        values=[_number(figure.value) for figure in found],
        minimum=[_number(figure.minimum) for figure in found],
        maximum=[_number(figure.maximum) for figure in found],
        missed=frozenset(place for place, figure in enumerate(found) if figure.missed),
    )


def _steps(report: pb.Report) -> list[str]:
    """Every hour with anything, day or month of the period so far, with or without readings."""
    start, through = date.fromisoformat(report.start_date), date.fromisoformat(report.through_date)
    if report.period == "day":
        return [f"{one.hour:02}" for one in report.profile.hours]
    if report.period == "year":
        return months_between(report.start_date[:7], report.through_date[:7])
    return [(start + number * ONE_DAY).isoformat() for number in range((through - start).days + 1)]


def _series(report: pb.Report) -> Table:
    rows: list[list[Cell]] = [
        [one.display_name, _unit(one), point.at, _value(point.figure), *_bounds(point.figure), point.figure.readings]
        for one in report.kpis
        for point in one.series
    ]
    what = {"day": "Hour", "week": "Day", "month": "Day", "year": "Month"}[report.period]
    columns = ["KPI", "Unit", what, "Value", "At least", "At most", "Readings"]
    return Table(f"KPIs by {what.lower()}", columns, rows, behind=True)


def _off_target(report: pb.Report, kpis: Mapping[str, pb.KpiReport]) -> Section | None:
    if report.period != "day" or not report.off_target:
        return None
    teams = _team_names(report)
    count: dict[str, int] = {}
    rows: list[list[Cell]] = []
    for one in report.off_target:
        for missed in one.kpis:
            kpi = kpis[missed.kpi_id]
            count[kpi.display_name] = count.get(kpi.display_name, 0) + 1
            figure = missed.figure
            rows.append(
                [
                    one.display_name,
                    teams.get(one.team_id, one.team_id),
                    kpi.display_name,
                    _unit(kpi),
                    _value(figure),
                    *_bounds(figure),
                    _number(figure.attainment),
                ]
            )
    people = len(report.off_target)
    return Section(
        "Off target",
        [f"{_count(people, 'person', 'people')} missed at least one target."],
        [_bars("Who missed the target of a KPI", "people", [(name, Decimal(many)) for name, many in count.items()])],
        [Table("Off target", ["Name", "Team", "KPI", "Unit", "Value", "At least", "At most", "Attained, %"], rows)],
    )


def _teams(report: pb.Report, kpis: Mapping[str, pb.KpiReport]) -> Section | None:
    teams = [team for team in report.teams if team.kpis]
    if not teams:
        return None
    judged = [one for one in report.kpis if one.figure.attainment]
    rows: list[list[Cell]] = []
    marked: set[int] = set()
    missed: list[tuple[int, str]] = []
    for team in teams:
        own = {one.kpi_id: one.figure for one in team.kpis}
        if many := sum(figure.missed for figure in own.values()):
            missed.append((many, team.display_name))
        for kpi_id, figure in own.items():
            if figure.missed:
                marked.add(len(rows))
            kpi = kpis[kpi_id]
            rows.append(
                [
                    team.display_name,
                    kpi.display_name,
                    _unit(kpi),
                    _value(figure),
                    *_bounds(figure),
                    _number(figure.attainment),
                    _status(figure),
                    figure.readings,
                ]
            )
    columns = ["Team", "KPI", "Unit", "Value", "At least", "At most", "Attained, %", "Target", "Readings"]
    told = ", ".join(f"{name} ({many})" for many, name in sorted(missed, key=lambda one: -one[0]))
    sentences = [f"Targets missed: {told}."] if told else ["No team missed a target."]
    charts = []
    if judged and len(teams) > 1:
        groups = [teams[start : start + TEAMS_BESIDE] for start in range(0, len(teams), TEAMS_BESIDE)]
        charts = [_attained(judged, group) for group in groups]
    return Section("Teams", sentences, charts, [Table("Teams", columns, rows, frozenset(marked), behind=bool(charts))])


def _attained(judged: Sequence[pb.KpiReport], teams: Sequence[pb.TeamReport]) -> Heat:
    values: list[list[Decimal | None]] = []
    fields: set[tuple[int, int]] = set()
    for i, one in enumerate(judged):
        found = [next((each.figure for each in team.kpis if each.kpi_id == one.kpi_id), None) for team in teams]
        values.append([_number(figure.attainment) if figure else None for figure in found])
        fields |= {(i, place) for place, figure in enumerate(found) if figure and figure.missed}
    return Heat(
        "How much of each target the teams attained, in per cent; missed ones are red",
        "Per cent of the target, at most 100",
        [one.display_name for one in judged],
        [team.display_name for team in teams],
        values,
        missed=frozenset(fields),
    )


def _peaks(report: pb.Report, kpis: Mapping[str, pb.KpiReport]) -> Section | None:
    profile = report.profile
    if profile.volume_kpi_id not in kpis or not profile.hours:
        return None
    volume = kpis[profile.volume_kpi_id].display_name
    hours = [one.hour for one in profile.hours]
    peaks = [one.hour for one in profile.hours if one.peak]
    others = sorted({one.kpi_id for hour in profile.hours for one in hour.kpis} - {profile.volume_kpi_id})
    # Of a first reading that came in while the report was made, there may be hours and no sum yet.
    others = [one for one in others if one in kpis and kpis[one].unit != Kpi.UNIT_TIME_OF_DAY]
    rows: list[list[Cell]] = []
    for one in profile.hours:
        own = {each.kpi_id: each.figure for each in one.kpis}
        rows.append(
            [f"{one.hour:02}:00", "peak" if one.peak else "", _value(one.volume)]
            + [_value(own[kpi_id]) if kpi_id in own else None for kpi_id in others]
        )
    columns = ["Hour", "Peak", volume, *(_titled(kpis[kpi_id]) for kpi_id in others)]
    tables = [Table("Hours of the day", columns, rows)]
    charts: list[Chart] = []
    if report.period != "day":
        cells = {(one.weekday, one.hour): one for one in profile.cells}
        days = sorted({one.weekday for one in profile.cells})
        values = [
            [_number(cells[day, hour].per_day) if (day, hour) in cells else None for hour in hours] for day in days
        ]
        charts.append(
            Heat(
                f"{volume} by weekday and hour",
                f"{volume} in the hour, on an average day",
                [WEEKDAYS[day - 1] for day in days],
                [f"{hour:02}" for hour in hours],
                values,
                frozenset(i for i, hour in enumerate(hours) if hour in peaks),
            )
        )
        by_day: list[list[Cell]] = [
            [WEEKDAYS[one.weekday - 1], f"{one.hour:02}:00", _value(one.volume), one.days, _number(one.per_day)]
            for one in profile.cells
        ]
        columns = ["Weekday", "Hour", volume, "Days", "On an average day"]
        tables.append(Table("Weekdays and hours", columns, by_day, behind=True))
    rule = f"These are the hours with at least {profile.peak_percent} % of the busiest hour's volume."
    sentences = [f"Peak: {', '.join(_spans(peaks))}. {rule}"] if peaks else []
    return Section("Peak hours", sentences, charts, tables)


def _watch(report: pb.Report, kpis: Mapping[str, pb.KpiReport]) -> Section | None:
    watched = [kpis[kpi_id] for kpi_id in report.watched_kpi_ids if kpi_id in kpis]
    if not any(one.figure.readings for one in watched):
        return None
    found = [one for one in report.findings if one.trigger == "contradiction" and not one.fallen]
    sentence = (
        f"{_count(len(found), 'contradiction was', 'contradictions were')} found between them: see the findings."
        if found
        else "No contradiction was found between them."
    )
    rows: list[list[Cell]] = [
        [
            one.display_name,
            _unit(one),
            _value(one.figure),
            _value(one.before),
            _change(one.figure, one.before),
            _percent_change(one.figure, one.before),
            _status(one.figure),
        ]
        for one in watched
    ]
    columns = ["KPI", "Unit", "Value", _before(report), "Change", "Change, %", "Target"]
    marked = frozenset(i for i, one in enumerate(watched) if one.figure.missed)
    return Section("Watched together", [sentence], (), [Table("Watched together", columns, rows, marked)])


def _findings(report: pb.Report) -> Section | None:
    if not report.findings:
        return None
    teams = _team_names(report)
    rows: list[list[Cell]] = [
        [
            one.date,
            one.display_name,
            teams.get(one.team_id, one.team_id),
            one.policy_id,
            one.trigger,
            "fallen" if one.fallen else "stands",
        ]
        for one in report.findings
    ]
    fallen = sum(one.fallen for one in report.findings)
    sentences = [f"{_count(fallen, 'finding', 'findings')} would not be made any more on the facts as they are now."]
    columns = ["Period ends", "Name", "Team", "Policy", "Found by", "State"]
    return Section("Findings", sentences if fallen else (), (), [Table("Findings", columns, rows)])


def _scorecards(report: pb.Report) -> Section | None:
    if not report.HasField("scorecards"):
        return None
    cards, teams = report.scorecards, _team_names(report)
    sentences = []
    if cards.not_closed:
        without = _count(cards.not_closed, "person has", "people have")
        sentences.append(f"{without} no closed scorecard: not closed yet, or no scorecard policy is for them.")
    ratings: list[list[Cell]] = [[_rating(one.rating), one.employees] for one in cards.distribution]
    rows: list[list[Cell]] = [
        [
            one.scorecard.centre_rank.rank or None,
            one.scorecard.team_rank.rank or None,
            one.display_name,
            teams.get(one.scorecard.team_id, one.scorecard.team_id),
            one.scorecard.policy_id,
            _number(one.scorecard.total),
            _rating(one.scorecard.rating),
        ]
        for one in cards.ranking
    ]
    charts = []
    tables = []
    if ratings:
        rated = [(_rating(one.rating), Decimal(one.employees)) for one in cards.distribution]
        charts.append(Bars("Ratings", "people", [name for name, _ in rated], [many for _, many in rated]))
        tables.append(Table("Ratings", ["Rating", "People"], ratings, behind=True))
    if rows:
        columns = ["Rank", "In the team", "Name", "Team", "Policy", "Total", "Rating"]
        tables.append(Table("Ranking", columns, rows))
    return Section("Scorecards", sentences, charts, tables)


def _errors(report: pb.Report) -> Section | None:
    errors = report.errors
    if not (errors.items or errors.offences or errors.complaints.received or errors.complaints_before.received):
        return None
    charts: list[Chart] = []
    tables: list[Table] = []
    sentences = []
    if errors.items:
        worst = errors.items[0]
        sentences.append(
            f"Missed most often: {worst.display_name}, in {worst.missed:,} of {worst.applied:,} evaluations "
            f"of {_count(worst.employees, 'person', 'people')}."
        )
        labelled = [(one.display_name, Decimal(one.missed)) for one in errors.items]
        fatal = frozenset(i for i, one in enumerate(errors.items[:MOST_BARS]) if one.fatal)
        title = "Items missed most often" + ("; fatal ones are marked" if fatal else "")
        charts.append(_bars(title, "evaluations", labelled, fatal))
        rows: list[list[Cell]] = [
            [
                one.display_name,
                one.form_id,
                "fatal" if one.fatal else "",
                one.missed,
                one.applied,
                _share(one.missed, one.applied),
                _share(one.missed_before, one.applied_before),
                one.employees,
            ]
            for one in errors.items
        ]
        before = f"{_before(report)}, %"
        columns = ["Item", "Form", "Fatal", "Missed", "Of", "Missed, %", before, "By people"]
        fatal_rows = frozenset(i for i, one in enumerate(errors.items) if one.fatal)
        tables.append(Table("Items missed", columns, rows, fatal_rows))
    if errors.offences:
        offences: list[list[Cell]] = [
            [one.display_name, one.rule_book_id, one.times, one.times_before, one.employees] for one in errors.offences
        ]
        columns = ["Offence", "Rule book", "Times", _before(report), "By people"]
        tables.append(Table("Offences", columns, offences))
    now, then = errors.complaints, errors.complaints_before
    complaints: list[list[Cell]] = [
        ["Received", now.received, then.received],
        ["Found justified", now.justified, then.justified],
    ]
    tables.append(Table("Complaints", ["Complaints", "Number", _before(report)], complaints))
    return Section("Common errors", sentences, charts, tables)


def _attendance(report: pb.Report) -> Section | None:
    one = report.attendance
    if not one.shifts and not one.leave_days:
        return None
    rows: list[list[Cell]] = [
        ["Shifts", one.shifts],
        ["Without any work", one.absences],
        ["Begun late, or not at all", one.late],
        ["Hours scheduled", _hours(one.scheduled_seconds)],
        ["Hours worked", _hours(one.worked_seconds)],
        ["Days of leave", one.leave_days],
    ]
    return Section("Attendance", (), (), [Table("Attendance", ["Attendance and leave", "Number"], rows)])


def _disputes(report: pb.Report) -> Section | None:
    one = report.disputes
    if not (one.opened or one.settled or one.open):
        return None
    rows: list[list[Cell]] = [[each.display_name, each.open, each.oldest_days] for each in one.reviewers]
    sentence = f"Opened {one.opened}, settled {one.settled}; {one.open} still open."
    tables = [Table("Open disputes", ["To be settled by", "Open", "Oldest, days"], rows)] if rows else []
    return Section("Disputes", [sentence], (), tables)


def _workforce(report: pb.Report) -> Section | None:
    if not report.HasField("workforce"):
        return None
    one = report.workforce
    rows: list[list[Cell]] = [
        ["On the first day", one.at_start],
        ["On the last day", one.at_end],
        ["On average", _average(one)],
        ["Hired", one.hired],
        ["Left", one.left],
        ["Attrition, % of the average", _number(one.attrition)],
    ]
    if report.team_id:
        rows += [["Moved in from other teams", one.moved_in], ["Moved out to other teams", one.moved_out]]
    return Section("Workforce", (), (), [Table("Workforce", ["People", "Number"], rows)])


def _bars(title: str, unit: str, labelled: Iterable[tuple[str, Decimal]], marked: frozenset[int] = frozenset()) -> Bars:
    """The largest ones, in the order of their size."""
    largest = sorted(labelled, key=lambda one: -one[1])[:MOST_BARS]
    return Bars(title, unit, [name for name, _ in largest], [value for _, value in largest], marked)


def _team_names(report: pb.Report) -> dict[str, str]:
    return {one.team_id: one.display_name for one in report.teams} | {report.team_id: report.team_name}


def _unit(one: pb.KpiReport) -> str:
    return UNITS.get(one.unit, "")


def _titled(one: pb.KpiReport) -> str:
    return f"{one.display_name}, {_unit(one)}" if _unit(one) else one.display_name


def _value(figure: pb.Figure) -> Cell:
    """A time of day stays as it is written."""
    return figure.value if ":" in figure.value else _number(figure.value)


def _number(text: str) -> Decimal | None:
    return Decimal(text) if text and ":" not in text else None


def _bounds(figure: pb.Figure) -> tuple[Cell, Cell]:
    return _number(figure.minimum), _number(figure.maximum)


def _change(now: pb.Figure, then: pb.Figure) -> Decimal | None:
    """Of the values as they are shown."""
    value, before = _number(now.value), _number(then.value)
    return value - before if value is not None and before is not None else None


def _percent_change(now: pb.Figure, then: pb.Figure) -> Decimal | None:
    before, change = _number(then.value), _change(now, then)
    return (change / before * 100).quantize(Decimal("0.1")) if change is not None and before else None


def _share(part: int, whole: int) -> Decimal | None:
    return (Decimal(part) / whole * 100).quantize(Decimal("0.1")) if whole else None


def _average(one: pb.WorkforceReport) -> Decimal:
    return (Decimal(one.employee_days) / one.days).quantize(Decimal("0.1"))


def _hours(seconds: int) -> Decimal:
    return (Decimal(seconds) / 3600).quantize(Decimal("0.1"))


def _status(figure: pb.Figure) -> str:
    if not figure.attainment:
        return ""
    return "missed" if figure.missed else "met"


def _rating(rating: Rating.ValueType) -> str:
    return Rating.Name(rating).removeprefix("RATING_").replace("_", " ").lower() if rating else ""


def _count(many: int, one: str, several: str) -> str:
    return f"{many} {one if many == 1 else several}"


def _spans(hours: Sequence[int]) -> list[str]:
    """Hours in a row together: 09:00 to 11:00."""
    found: list[list[int]] = []
    for hour in hours:
        if found and found[-1][1] == hour:
            found[-1][1] = hour + 1
        else:
            found.append([hour, hour + 1])
    return [f"{start:02}:00 to {end:02}:00" for start, end in found]
